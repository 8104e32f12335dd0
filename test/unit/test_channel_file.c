/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_file.c - files of lines as channels: what is a record and where it stands, what a
 * broken file or a full disk is told, and that nothing is lost between the threads. */
#include "test.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "channel/channel.h"

#define FILES (&sb_channel_file)

enum {
    BLOCKS = 4, /* of a ring: buffer_bytes is that many times the size of a block */
    BUFFER = 256 * 1024,
    PATH_SIZE = 256,
    URL_SIZE = 320,
};

/* A folder for files, and memory that is counted. */
struct stage {
    struct sb_env *os;
    struct sb_env_type type;
    struct sb_env env; /* of `os`, but for memory */
    struct sb_waker *waker;
    char folder[64];
    sabot_error error;
};

static _Atomic size_t memory_used;
static _Atomic size_t memory_peak;
static const struct sb_env_type *os_type;

static void count_memory(size_t size)
{
    const size_t used = atomic_fetch_add(&memory_used, size) + size;

    if (used > atomic_load(&memory_peak))
        atomic_store(&memory_peak, used);
}

static void *counted_allocate(void *self, size_t size, size_t alignment)
{
    void *memory = os_type->allocate(self, size, alignment);

    if (memory != NULL)
        count_memory(size);
    return memory;
}

static void *counted_reallocate(void *self, void *memory, size_t old_size, size_t size)
{
    void *moved = os_type->reallocate(self, memory, old_size, size);

    if (moved != NULL) {
        atomic_fetch_sub(&memory_used, old_size);
        count_memory(size);
    }
    return moved;
}

static void counted_release(void *self, void *memory, size_t size)
{
    if (memory != NULL)
        atomic_fetch_sub(&memory_used, size);
    os_type->release(self, memory, size);
}

static int make_stage(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);

    if (stage == NULL || sb_os_env_create(&stage->os, NULL) != SABOT_OK)
        return -1;
    os_type = stage->os->type;
    stage->type = *os_type;
    stage->type.allocate = counted_allocate;
    stage->type.reallocate = counted_reallocate;
    stage->type.release = counted_release;
    stage->env = *stage->os;
    stage->env.type = &stage->type;
    atomic_store(&memory_used, 0);
    atomic_store(&memory_peak, 0);
    if (stage->type.waker_create(stage->env.self, &stage->waker, NULL) != SABOT_OK)
        return -1;
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/sabot-file-XXXXXX");
    if (mkdtemp(stage->folder) == NULL)
        return -1;
    *state = stage;
    return 0;
}

static sabot_status remove_entry(void *context, const char *name)
{
    struct stage *stage = context;
    char path[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", stage->folder, name);
    return stage->type.path_remove(stage->env.self, path, NULL);
}

static int free_stage(void **state)
{
    struct stage *stage = *state;

    stage->type.waker_destroy(stage->env.self, stage->waker);
    (void)stage->type.directory_list(stage->env.self, stage->folder, remove_entry, stage, NULL);
    (void)rmdir(stage->folder);
    const bool is_clean = atomic_load(&memory_used) == 0;
    sb_os_env_destroy(stage->os);
    free(stage);
    return is_clean ? 0 : -1;
}

/* --- Files ------------------------------------------------------------------------------------ */

static const char *path_of(const struct stage *stage, const char *name)
{
    static char path[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", stage->folder, name);
    return path;
}

static void put_at(const struct stage *stage,
                   const char *name,
                   const char *mode,
                   const char *bytes,
                   size_t size)
{
    FILE *file = fopen(path_of(stage, name), mode);

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put(const struct stage *stage, const char *name, const char *text)
{
    put_at(stage, name, "w", text, strlen(text));
}

static void append(const struct stage *stage, const char *name, const char *text)
{
    put_at(stage, name, "a", text, strlen(text));
}

/* The whole file; the caller frees. */
static char *get(const struct stage *stage, const char *name, size_t *size_out)
{
    FILE *file = fopen(path_of(stage, name), "r");
    char *bytes;
    long size;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    bytes = calloc(1, (size_t)size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)size, file), size);
    assert_int_equal(fclose(file), 0);
    *size_out = (size_t)size;
    return bytes;
}

static void assert_file(const struct stage *stage, const char *name, const char *text)
{
    size_t size;
    char *bytes = get(stage, name, &size);

    assert_string_equal(bytes, text);
    assert_int_equal(size, strlen(text));
    free(bytes);
}

/* --- Channels --------------------------------------------------------------------------------- */

struct setup {
    const char *file;       /* in the folder */
    const char *url;        /* or a whole URL */
    const char *parameters; /* "?follow=true" */
    const char *start;
    bool writing;
    bool append;
    bool until_end;
    uint64_t block_size; /* 0: as it comes */
    uint32_t record_max;
};

static sabot_status try_open(struct stage *stage, struct setup setup, struct sb_channel **channel)
{
    char url[URL_SIZE];
    struct sb_channel_config config = {
        .name = "transactions",
        .url = setup.url,
        .for_reading = !setup.writing,
        .for_writing = setup.writing,
        .append = setup.append,
        .until_end = setup.until_end,
        .buffer_bytes = setup.block_size == 0 ? BUFFER : setup.block_size * BLOCKS,
        .record_max = setup.record_max == 0 ? 1024 * 1024 : setup.record_max,
        .start = setup.start == NULL ? "earliest" : setup.start,
    };

    if (setup.url == NULL) {
        (void)snprintf(url, sizeof url, "file:%s/%s%s", stage->folder, setup.file,
                       setup.parameters == NULL ? "" : setup.parameters);
        config.url = url;
    }
    return FILES->open(&stage->env, &config, stage->waker, channel, &stage->error);
}

/* Open it and prepare it; on an error nothing is left. */
static sabot_status try_prepare(struct stage *stage,
                                struct setup setup,
                                struct sb_channel **channel_out)
{
    sabot_status status = try_open(stage, setup, channel_out);

    if (status != SABOT_OK) {
        assert_null(*channel_out);
        return status;
    }
    status = FILES->prepare(*channel_out, &stage->error);
    if (status != SABOT_OK) {
        FILES->close(*channel_out);
        *channel_out = NULL;
    }
    return status;
}

static struct sb_channel *open_channel(struct stage *stage, struct setup setup)
{
    struct sb_channel *channel;

    if (try_prepare(stage, setup, &channel) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    assert_int_equal(FILES->prepare(channel, NULL), SABOT_OK);
    assert_int_equal(FILES->partition_count(channel), 1);
    assert_true(FILES->connected(channel));
    return channel;
}

static sabot_status try_reader(struct stage *stage,
                               struct sb_channel *channel,
                               int64_t offset,
                               struct sb_reader **reader_out)
{
    const struct sb_reader_position position = {.partition = 0, .offset = offset};

    return FILES->reader_open(channel, &position, 1, stage->waker, reader_out, &stage->error);
}

static struct sb_reader *open_reader(struct stage *stage,
                                     struct sb_channel *channel,
                                     int64_t offset)
{
    struct sb_reader *reader;

    if (try_reader(stage, channel, offset, &reader) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    return reader;
}

static struct sb_writer *open_writer(struct stage *stage, struct sb_channel *channel)
{
    struct sb_writer *writer;

    if (FILES->writer_open(channel, NULL, stage->waker, &writer, &stage->error) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    return writer;
}

static int64_t position_of(const struct sb_reader *reader)
{
    struct sb_reader_position position;

    FILES->position(reader, 0, &position);
    assert_int_equal(position.partition, 0);
    return position.offset;
}

static void wait_for_news(struct stage *stage)
{
    stage->type.wait(stage->env.self, stage->waker, INT64_MAX);
}

/* What was shown, each record as "offset:value;". */
struct basket {
    char *text;
    size_t size;
    size_t capacity;
    uint32_t count;
    int64_t first_offset;
    int64_t last_offset;
    int64_t next_offset;
    int64_t timestamp_ms;
    int64_t arrival_us;
    sabot_status verdict; /* on the record number... */
    uint32_t verdict_at;  /* ...this, from 1; 0: none */
    uint32_t asked;       /* records shown, also those not taken */
    bool values_only;     /* each as "value\n" */
};

static sabot_status collect(void *context, const struct sb_record *record)
{
    struct basket *basket = context;
    const size_t need = basket->size + record->value.size + 32;
    sabot_status verdict = SABOT_OK;

    assert_null(record->key.data);
    assert_int_equal(record->header_count, 0);
    assert_int_equal(record->partition, 0);
    if (++basket->asked == basket->verdict_at)
        verdict = basket->verdict;
    if (verdict != SABOT_OK && verdict != SABOT_AGAIN)
        return verdict;
    if (need > basket->capacity) {
        basket->capacity = need * 2;
        basket->text = realloc(basket->text, basket->capacity);
        assert_non_null(basket->text);
    }
    if (!basket->values_only)
        basket->size +=
            (size_t)snprintf(basket->text + basket->size, 24, "%lld:", (long long)record->offset);
    memcpy(basket->text + basket->size, record->value.data, record->value.size);
    basket->size += record->value.size;
    basket->text[basket->size++] = basket->values_only ? '\n' : ';';
    basket->text[basket->size] = '\0';
    if (basket->count++ == 0)
        basket->first_offset = record->offset;
    basket->last_offset = record->offset;
    basket->next_offset = record->next_offset;
    basket->timestamp_ms = record->timestamp_ms;
    basket->arrival_us = record->arrival_us;
    return verdict;
}

static void empty(struct basket *basket)
{
    free(basket->text);
    *basket = (struct basket){.values_only = basket->values_only};
}

/* Poll until it says something else than "not now". */
static sabot_status poll_once(struct stage *stage,
                              struct sb_reader *reader,
                              uint32_t records_max,
                              struct basket *basket)
{
    for (;;) {
        const sabot_status status =
            FILES->poll(reader, 0, records_max, collect, basket, &stage->error);

        if (status != SABOT_AGAIN)
            return status;
        wait_for_news(stage);
    }
}

/* Poll until it is not well any more. */
static sabot_status poll_all(struct stage *stage, struct sb_reader *reader, struct basket *basket)
{
    sabot_status status;

    do
        status = poll_once(stage, reader, 1000, basket);
    while (status == SABOT_OK);
    return status;
}

static void assert_records(struct basket *basket, const char *text)
{
    assert_string_equal(basket->text == NULL ? "" : basket->text, text);
    empty(basket);
}

/* A file of `bytes` read to its end shows `expected`. */
static void assert_reads(struct stage *stage,
                         struct setup setup,
                         const char *bytes,
                         size_t size,
                         const char *expected)
{
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put_at(stage, setup.file, "w", bytes, size);
    channel = open_channel(stage, setup);
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(position_of(reader), size);
    assert_int_equal(FILES->lag(reader, 0), 0);
    FILES->reader_close(reader);
    FILES->close(channel);
    assert_records(&basket, expected);
}

static sabot_status write_text(struct stage *stage, struct sb_writer *writer, const char *text)
{
    const struct sb_record record = {
        .value = {text, strlen(text)},
        .partition = SB_PARTITION_ANY,
        .timestamp_ms = SB_TIMESTAMP_NOW,
    };
    return FILES->write(writer, &record, &stage->error);
}

static sabot_status flush(struct stage *stage, struct sb_writer *writer)
{
    sabot_status status;

    while ((status = FILES->flush(writer, &stage->error)) == SABOT_AGAIN)
        wait_for_news(stage);
    return status;
}

static void assert_error(const struct stage *stage, const char *part)
{
    if (strstr(stage->error.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, stage->error.text);
}

/* --- Reading ---------------------------------------------------------------------------------- */

static void each_line_is_a_record_at_its_byte(void **state)
{
    struct stage *stage = *state;
    const struct setup setup = {.file = "in"};

    assert_reads(stage, setup, "one\ntwo\nthree\n", 14, "0:one;4:two;8:three;");
    assert_reads(stage, setup, "", 0, "");
}

static void a_last_line_without_newline_counts(void **state)
{
    struct stage *stage = *state;

    assert_reads(stage, (struct setup){.file = "in"}, "one\ntwo", 7, "0:one;4:two;");
    assert_reads(stage, (struct setup){.file = "in"}, "one", 3, "0:one;");
    assert_reads(stage, (struct setup){.file = "in"}, "one\r", 4, "0:one;");
}

static void blank_lines_are_skipped_and_a_cr_is_cut(void **state)
{
    struct stage *stage = *state;
    const struct setup setup = {.file = "in"};

    assert_reads(stage, setup, "\n\none\n \t\n\r\ntwo\n\n", 16, "2:one;11:two;");
    assert_reads(stage, setup, "a\r\nb\rc\r\n\r\n\r\r\nd\r\r\n", 17, "0:a;3:b\rc;13:d\r;");
    assert_reads(stage, setup, "\n\n  \n", 5, "");
    assert_reads(stage, setup, "   ", 3, "");
}

static void bytes_that_are_no_text_pass_unchanged(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.values_only = true};
    static const char bytes[] = "a\0b\n\xff\xfe\n\0\n";
    struct sb_channel *channel;
    struct sb_reader *reader;

    put_at(stage, "in", "w", bytes, sizeof bytes - 1);
    channel = open_channel(stage, (struct setup){.file = "in"});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(basket.size, sizeof bytes - 1);
    assert_memory_equal(basket.text, bytes, sizeof bytes - 1);
    empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_line_is_whole_wherever_the_blocks_end(void **state)
{
    struct stage *stage = *state;
    static const char text[] = "a\r\n\nbcdefgh\n  \r\nij\r\n0123456789\nk";

    for (size_t size = 0; size < sizeof text; size++) {
        char *expected;
        struct basket basket = {0};
        struct sb_channel *channel;
        struct sb_reader *reader;

        put_at(stage, "in", "w", text, size);
        channel = open_channel(stage, (struct setup){.file = "in"});
        reader = open_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
        FILES->reader_close(reader);
        FILES->close(channel);
        expected = basket.text;
        for (uint64_t block = 1; block <= size + 1; block++)
            assert_reads(stage, (struct setup){.file = "in", .block_size = block}, text, size,
                         expected == NULL ? "" : expected);
        free(expected);
    }
}

static void records_carry_the_time_of_reading(void **state)
{
    struct stage *stage = *state;
    const int64_t wall_ms = sb_wall_ms(&stage->env);
    const int64_t now_us = sb_now_us(&stage->env);
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\n");
    channel = open_channel(stage, (struct setup){.file = "in"});
    assert_true(FILES->finite(channel));
    reader = open_reader(stage, channel, SB_OFFSET_BEGIN);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_true(basket.timestamp_ms >= wall_ms);
    assert_true(basket.timestamp_ms <= sb_wall_ms(&stage->env));
    assert_true(basket.arrival_us >= now_us);
    assert_true(basket.arrival_us <= sb_now_us(&stage->env));
    empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void the_callback_says_how_far_poll_goes(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.verdict = SABOT_AGAIN, .verdict_at = 2};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\nthree\nfour\nfive\n");
    /* Blocks of 3 bytes: a record shown again must still be there, though its block is gone. */
    channel = open_channel(stage, (struct setup){.file = "in", .block_size = 3});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    while (basket.count < 2)
        assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(position_of(reader), 8);
    assert_records(&basket, "0:one;4:two;");

    basket.verdict = SABOT_END;
    basket.verdict_at = 1;
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(position_of(reader), 8);
    empty(&basket);

    basket.verdict = SABOT_ERR_SCHEMA;
    basket.verdict_at = 1;
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_ERR_SCHEMA);
    assert_int_equal(position_of(reader), 8);
    empty(&basket);

    assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(position_of(reader), 14);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "8:three;14:four;19:five;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Records that are too long ---------------------------------------------------------------- */

static void a_record_over_the_limit_is_an_error_and_can_be_passed(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};

    put(stage, "in", "12345\r\none\n123456\n\n12345678901\r\ntwo\n123456");
    for (uint64_t block = 1; block < 50; block++) {
        struct sb_channel *channel =
            open_channel(stage, (struct setup){.file = "in", .record_max = 5, .block_size = block});
        struct sb_reader *reader = open_reader(stage, channel, SB_OFFSET_NONE);

        assert_int_equal(poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        assert_error(stage, "in: line 3 (byte 11): record of 6 bytes is longer than the limit");
        assert_int_equal(position_of(reader), 18);
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        assert_error(stage, "line 5 (byte 19): record of 1");
        assert_int_equal(position_of(reader), 32);
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        assert_error(stage, "line 7 (byte 36)");
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
        assert_int_equal(position_of(reader), 42);
        assert_records(&basket, "0:12345;7:one;32:two;");
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void records_before_one_over_the_limit_come_first(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\n123456\nthree\n");
    channel = open_channel(stage, (struct setup){.file = "in", .record_max = 5});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_OK);
    assert_records(&basket, "0:one;4:two;");
    assert_int_equal(position_of(reader), 8);
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_ERR_LIMIT);
    assert_int_equal(position_of(reader), 15);
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_OK);
    assert_records(&basket, "15:three;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void ten_megabytes_are_skipped_in_little_memory(void **state)
{
    enum { SIZE = 10 * 1024 * 1024 };
    struct stage *stage = *state;
    struct basket basket = {0};
    char *bytes = malloc(SIZE);
    struct sb_channel *channel;
    struct sb_reader *reader;

    assert_non_null(bytes);
    memset(bytes, 'x', SIZE);
    put(stage, "in", "one\n");
    put_at(stage, "in", "a", bytes, SIZE);
    append(stage, "in", "\ntwo\n");
    free(bytes);
    channel = open_channel(stage, (struct setup){.file = "in", .record_max = 100000});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
    assert_error(stage, "in: line 2 (byte 4): record of 10485760 bytes");
    assert_int_equal(position_of(reader), SIZE + 5);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "0:one;10485765:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
    assert_true(atomic_load(&memory_peak) < BUFFER + 2 * 100000 + 64 * 1024);
}

static void many_blank_lines_are_no_long_step(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char blanks[4096];
    struct sb_channel *channel;
    struct sb_reader *reader;
    uint32_t pauses = 0;

    memset(blanks, '\n', sizeof blanks);
    put_at(stage, "in", "w", blanks, sizeof blanks);
    append(stage, "in", "one\n");
    channel = open_channel(stage, (struct setup){.file = "in", .block_size = 64});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    while (FILES->poll(reader, 0, 10, collect, &basket, NULL) == SABOT_AGAIN) {
        pauses++;
        wait_for_news(stage);
    }
    assert_true(pauses >= 4096 / (64 * BLOCKS) - 1);
    assert_records(&basket, "4096:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Places and positions --------------------------------------------------------------------- */

static void assert_place(const struct sb_reader *reader, int64_t offset, const char *end)
{
    char text[SB_PLACE_MAX];

    FILES->place(reader, 0, offset, text, sizeof text);
    const size_t length = strlen(text);
    assert_true(length >= strlen(end));
    assert_string_equal(text + length - strlen(end), end);
}

static void a_place_is_file_line_and_byte(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.verdict = SABOT_END, .verdict_at = 4};
    struct sb_channel *channel;
    struct sb_reader *reader;
    char text[SB_PLACE_MAX];

    put(stage, "in", "one\n\n\ntwo\nthree\n\nfour\n");
    channel = open_channel(stage, (struct setup){.file = "in"});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_once(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(basket.count, 3);
    assert_place(reader, 0, "/in: line 1 (byte 0)");
    assert_place(reader, 6, "/in: line 4 (byte 6)");
    assert_place(reader, 10, "/in: line 5 (byte 10)");
    assert_place(reader, 17, "/in: line 7 (byte 17)"); /* shown, not taken */
    assert_place(reader, 3, "/in: byte 3");            /* no record begins there */

    /* Of records before the last poll the line is not known any more. */
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_place(reader, 6, "/in: byte 6");
    FILES->place(reader, 0, 6, text, 8);
    assert_int_equal(strlen(text), 7);
    empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_place_in_a_long_path_keeps_its_end(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char url[URL_SIZE];
    char text[SB_PLACE_MAX];
    struct sb_channel *channel;
    struct sb_reader *reader;
    size_t size;

    put(stage, "tx.jsonl", "one\n");
    size = (size_t)snprintf(url, sizeof url, "file:%s", stage->folder);
    while (size < 280) {
        memcpy(url + size, "/.", 3);
        size += 2;
    }
    memcpy(url + size, "/tx.jsonl", sizeof "/tx.jsonl");
    channel = open_channel(stage, (struct setup){.url = url});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    FILES->place(reader, 0, 0, text, sizeof text);
    assert_memory_equal(text, "...", 3);
    assert_place(reader, 0, "/./tx.jsonl: line 1 (byte 0)");
    empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void reading_goes_on_at_a_position(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\nthree\n");
    channel = open_channel(stage, (struct setup){.file = "in"});
    reader = open_reader(stage, channel, 4);
    assert_int_equal(position_of(reader), 4);
    assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(basket.next_offset, 8);
    assert_place(reader, 4, "/in: byte 4"); /* nobody has counted the lines before */
    FILES->reader_close(reader);

    reader = open_reader(stage, channel, 8);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "4:two;8:three;");
    FILES->reader_close(reader);

    reader = open_reader(stage, channel, 14);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    FILES->reader_close(reader);
    reader = open_reader(stage, channel, SB_OFFSET_END);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(basket.count, 0);
    FILES->reader_close(reader);

    assert_int_equal(try_reader(stage, channel, 15, &reader), SABOT_ERR_NOT_FOUND);
    assert_error(stage, "/in: there is no byte 15 to read on from, it has 14 bytes");
    assert_null(reader);
    FILES->close(channel);
}

static void a_reader_seeks_also_behind_the_end(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\nthree\nfour\n");
    for (uint64_t block = 1; block < 24; block++) {
        channel = open_channel(stage, (struct setup){.file = "in", .block_size = block});
        reader = open_reader(stage, channel, 8);
        assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_OK);
        for (int64_t offset = 4; offset >= 0; offset -= 4) {
            const struct sb_reader_position position = {.partition = 0, .offset = offset};

            assert_int_equal(FILES->seek(reader, &position, &stage->error), SABOT_OK);
            assert_int_equal(position_of(reader), offset);
        }
        assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_OK);
        assert_place(reader, 0, "/in: line 1 (byte 0)");
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
        const struct sb_reader_position last = {.partition = 0, .offset = 14};
        assert_int_equal(FILES->seek(reader, &last, &stage->error), SABOT_OK);
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
        const struct sb_reader_position behind = {.partition = 0, .offset = 20};
        assert_int_equal(FILES->seek(reader, &behind, &stage->error), SABOT_ERR_NOT_FOUND);
        assert_records(&basket, "8:three;0:one;4:two;8:three;14:four;14:four;");
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void a_reader_without_partitions_is_fine(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\n");
    channel = open_channel(stage, (struct setup){.file = "in"});
    assert_int_equal(FILES->reader_open(channel, NULL, 0, stage->waker, &reader, &stage->error),
                     SABOT_OK);
    FILES->stop(reader);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void random_files_are_read_from_random_positions(void **state)
{
    struct stage *stage = *state;
    uint64_t seed = sb_random(&stage->env);

    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t round = 0; round < 100; round++) {
        struct basket whole = {0};
        struct basket parts = {0};
        char bytes[400];
        size_t size;
        struct sb_channel *channel;
        struct sb_reader *reader;
        int64_t offset = SB_OFFSET_NONE;
        sabot_status status = SABOT_OK;

        seed = sb_hash_int64((int64_t)seed, round);
        size = seed % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = "abcdef\r\n\n "[sb_hash_int64((int64_t)i, seed) % 10];
        put_at(stage, "in", "w", bytes, size);
        channel = open_channel(stage, (struct setup){.file = "in"});
        reader = open_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(poll_all(stage, reader, &whole), SABOT_END);
        FILES->reader_close(reader);
        FILES->close(channel);

        const uint64_t block = 1 + (seed >> 16) % 40;
        channel = open_channel(stage, (struct setup){.file = "in", .block_size = block});
        while (status == SABOT_OK) {
            reader = open_reader(stage, channel, offset);
            for (uint64_t i = (seed >> 32) % 4; i < 4 && status == SABOT_OK; i++)
                status = poll_once(stage, reader, 1 + (uint32_t)((seed >> 40) % 5), &parts);
            offset = position_of(reader);
            FILES->reader_close(reader);
        }
        assert_int_equal(status, SABOT_END);
        FILES->close(channel);
        assert_string_equal(parts.text == NULL ? "" : parts.text,
                            whole.text == NULL ? "" : whole.text);
        empty(&whole);
        empty(&parts);
    }
}

/* --- Ends ------------------------------------------------------------------------------------- */

static void a_followed_file_waits_for_the_rest_of_the_line(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntw");
    channel = open_channel(stage, (struct setup){.file = "in", .parameters = "?follow=true"});
    assert_false(FILES->finite(channel));
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_records(&basket, "0:one;");
    assert_int_equal(FILES->poll(reader, 0, 10, collect, &basket, NULL), SABOT_AGAIN);
    assert_int_equal(position_of(reader), 4);
    append(stage, "in", "o\nthree\n");
    while (basket.count < 2)
        assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_records(&basket, "4:two;8:three;");
    append(stage, "in", "four\n");
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_place(reader, 14, "/in: line 4 (byte 14)");
    assert_records(&basket, "14:four;");

    /* Its lag is known when the end was seen; nobody tells when that is. */
    while (FILES->lag(reader, 0) != 0)
        assert_int_equal(FILES->poll(reader, 0, 10, collect, &basket, NULL), SABOT_AGAIN);
    FILES->stop(reader);
    assert_int_equal(FILES->poll(reader, 0, 10, collect, &basket, NULL), SABOT_END);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void the_latest_of_a_followed_file_is_the_line_being_written(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    static const char *const texts[] = {"one\ntwo\nthr", "one\ntwo\n", "thr", ""};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sb_channel *channel;
        struct sb_reader *reader;
        char expected[64];

        put(stage, "in", texts[i]);
        channel = open_channel(
            stage, (struct setup){.file = "in", .parameters = "?follow=true", .start = "latest"});
        reader = open_reader(stage, channel, SB_OFFSET_NONE);
        append(stage, "in", "ee\n");
        assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
        (void)snprintf(expected, sizeof expected, "%d:%s;", i < 2 ? 8 : 0,
                       i % 2 == 0 ? "three" : "ee");
        assert_records(&basket, expected);
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void a_followed_file_that_is_cut_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\n");
    channel = open_channel(stage, (struct setup){.file = "in", .parameters = "?follow=true"});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_int_equal(truncate(path_of(stage, "in"), 4), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_ERR_IO);
        assert_error(stage, "/in: was cut from 8 to 4 bytes while it was followed");
    }
    assert_records(&basket, "0:one;4:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_file_that_is_cut_while_it_is_read_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntwo\nthree\n");
    /* The driver reads ahead no more than four bytes. */
    channel = open_channel(stage, (struct setup){.file = "in", .block_size = 1});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(truncate(path_of(stage, "in"), 6), 0);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_ERR_IO);
    assert_error(stage, "/in: was cut from 14 to 6 bytes while it was read");
    assert_records(&basket, "0:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void until_end_is_the_end_when_it_was_prepared(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};

    for (int follow = 0; follow < 2; follow++) {
        struct sb_channel *channel;
        struct sb_reader *reader;

        put(stage, "in", "one\ntwo\n");
        channel = open_channel(stage, (struct setup){.file = "in",
                                                     .parameters = follow ? "?follow=true" : "",
                                                     .until_end = true});
        assert_true(FILES->finite(channel));
        append(stage, "in", "three\n");
        reader = open_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
        assert_records(&basket, "0:one;4:two;");
        assert_int_equal(position_of(reader), 8);
        assert_int_equal(FILES->lag(reader, 0), 0);
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void until_end_takes_a_line_that_was_begun_as_a_whole(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "one\ntw");
    channel = open_channel(stage, (struct setup){.file = "in", .until_end = true});
    append(stage, "in", "o\nthree\n");
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "0:one;4:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Streams ---------------------------------------------------------------------------------- */

/* A named pipe, its other side open for reading and writing, so that no open waits. */
static int make_pipe(const struct stage *stage, const char *name)
{
    int fd;

    assert_int_equal(mkfifo(path_of(stage, name), 0600), 0);
    fd = open(path_of(stage, name), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void send(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void a_pipe_is_read_as_it_comes(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    const int fd = make_pipe(stage, "pipe");
    struct sb_channel *channel = open_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader = open_reader(stage, channel, SB_OFFSET_NONE);

    send(fd, "one\ntw");
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_records(&basket, "0:one;");
    send(fd, "o\n");
    assert_int_equal(poll_once(stage, reader, 10, &basket), SABOT_OK);
    assert_place(reader, 4, "/pipe: line 2 (byte 4)");
    assert_records(&basket, "4:two;");
    send(fd, "three");
    assert_int_equal(close(fd), 0);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "8:three;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_reader_stops_while_a_pipe_says_nothing(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    const int fd = make_pipe(stage, "pipe");
    struct sb_channel *channel = open_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader = open_reader(stage, channel, SB_OFFSET_NONE);

    send(fd, "one\ntwo\nthr");
    assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(FILES->lag(reader, 0), -1);
    FILES->stop(reader);
    assert_int_equal(FILES->poll(reader, 0, 10, collect, &basket, NULL), SABOT_END);
    assert_int_equal(position_of(reader), 4);
    assert_records(&basket, "0:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

static void a_stream_is_read_once(void **state)
{
    struct stage *stage = *state;
    const int fd = make_pipe(stage, "pipe");
    struct sb_channel *channel = open_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader;

    assert_int_equal(try_reader(stage, channel, 7, &reader), SABOT_ERR_NOT_FOUND);
    reader = open_reader(stage, channel, SB_OFFSET_BEGIN);
    const struct sb_reader_position here = {.partition = 0, .offset = 0};
    const struct sb_reader_position there = {.partition = 0, .offset = 7};
    assert_int_equal(FILES->seek(reader, &here, &stage->error), SABOT_OK);
    assert_int_equal(FILES->seek(reader, &there, &stage->error), SABOT_ERR_NOT_FOUND);
    assert_error(stage, "it is a stream");
    FILES->reader_close(reader);
    assert_int_equal(try_reader(stage, channel, SB_OFFSET_NONE, &reader), SABOT_ERR_STATE);
    assert_error(stage, "/pipe: is a stream and was read before");
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

/* Run with a descriptor in place of a standard one. */
static int replace(int standard, int fd)
{
    const int saved = dup(standard);

    assert_true(saved >= 0);
    assert_int_equal(dup2(fd, standard), standard);
    return saved;
}

static void restore(int standard, int saved)
{
    assert_int_equal(dup2(saved, standard), standard);
    assert_int_equal(close(saved), 0);
}

static void a_dash_is_standard_input(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;
    sabot_status status;

    for (int kind = 0; kind < 2; kind++) {
        int ends[2];
        int saved;

        /* A pipe, and a file that the shell has opened and read from. */
        put(stage, "in", "head\none\ntwo\n");
        if (kind == 0) {
            assert_int_equal(pipe(ends), 0);
            send(ends[1], "one\ntwo\n");
            assert_int_equal(close(ends[1]), 0);
        } else {
            ends[0] = open(path_of(stage, "in"), O_RDONLY);
            assert_int_equal(lseek(ends[0], 5, SEEK_SET), 5);
        }
        saved = replace(0, ends[0]);
        channel = open_channel(stage, (struct setup){.url = "file:-"});
        reader = open_reader(stage, channel, SB_OFFSET_NONE);
        status = poll_once(stage, reader, 1, &basket);
        assert_place(reader, 0, "standard input: line 1 (byte 0)");
        if (status == SABOT_OK)
            status = poll_all(stage, reader, &basket);
        FILES->reader_close(reader);
        FILES->close(channel);
        restore(0, saved);
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(status, SABOT_END);
        assert_records(&basket, "0:one;4:two;");
    }
}

static void standard_output_is_appended_to(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    sabot_status status;
    int saved;
    int fd;

    put(stage, "out", "head\n");
    fd = open(path_of(stage, "out"), O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    saved = replace(1, fd);
    channel = open_channel(stage, (struct setup){.url = "file:-", .writing = true});
    writer = open_writer(stage, channel);
    status = write_text(stage, writer, "one");
    if (status == SABOT_OK)
        status = flush(stage, writer);
    FILES->writer_close(writer);
    FILES->close(channel);
    restore(1, saved);
    assert_int_equal(close(fd), 0);
    assert_int_equal(status, SABOT_OK);
    assert_file(stage, "out", "head\none\n");
}

/* --- Set-up ----------------------------------------------------------------------------------- */

static void what_cannot_be_opened_is_said_by_prepare(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;

    assert_int_equal(try_prepare(stage, (struct setup){.file = "missing"}, &channel),
                     SABOT_ERR_NOT_FOUND);
    assert_error(stage, "/missing: cannot open it for reading: No such file or directory");
    assert_int_equal(try_prepare(stage, (struct setup){.file = ""}, &channel), SABOT_ERR_IO);
    assert_error(stage, "is a directory, not a file");
    assert_int_equal(try_prepare(stage, (struct setup){.file = "", .writing = true}, &channel),
                     SABOT_ERR_IO);
    assert_error(stage, "irectory");
    assert_int_equal(
        try_prepare(stage, (struct setup){.file = "no/out", .writing = true}, &channel),
        SABOT_ERR_NOT_FOUND);
    assert_error(stage, "/no/out: cannot open it for writing");
    assert_int_equal(
        try_prepare(stage, (struct setup){.url = "file:/dev/null?follow=true"}, &channel),
        SABOT_ERR_CONFIG);
    assert_error(stage, "can't be followed");
    if (geteuid() == 0)
        return; /* root may read everything */
    put(stage, "secret", "one\n");
    assert_int_equal(chmod(path_of(stage, "secret"), 0), 0);
    assert_int_equal(try_prepare(stage, (struct setup){.file = "secret"}, &channel), SABOT_ERR_IO);
    assert_error(stage, "/secret: cannot open it for reading: Permission denied");
}

static void a_url_that_makes_no_sense_is_refused(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    static const struct {
        const char *url;
        bool writing;
        const char *text;
    } cases[] = {
        {"file:", false, "has no path: write file:PATH"},
        {"file:?follow=true", false, "has no path"},
        {"file:a?follow=1", false, "expected true or false"},
        {"file:a?folow=true", false, "unknown parameter \"folow\"; known: follow"},
        {"file:a?follow=true", true, "follow is for inputs"},
        {"file:-?follow=true", false, "standard input can't be followed"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(try_open(stage,
                                  (struct setup){.url = cases[i].url, .writing = cases[i].writing},
                                  &channel),
                         SABOT_ERR_CONFIG);
        assert_error(stage, cases[i].text);
        assert_error(stage, cases[i].url);
        assert_null(channel);
    }
}

static void a_file_is_not_read_and_written_by_one_app(void **state)
{
    struct stage *stage = *state;
    const struct sb_channel_config config = {
        .name = "loop", .url = "file:a", .for_reading = true, .for_writing = true};
    struct sb_channel *channel;

    assert_int_equal(FILES->open(&stage->env, &config, stage->waker, &channel, &stage->error),
                     SABOT_ERR_CONFIG);
    assert_error(stage, "file:a: the app both reads and writes this channel");
}

static bool are_same(struct stage *stage, struct setup input, struct setup output)
{
    struct sb_channel *one = open_channel(stage, input);
    struct sb_channel *other = open_channel(stage, output);
    const bool same = FILES->same(one, other);

    assert_int_equal(FILES->same(other, one), same);
    assert_true(strlen(FILES->guarantee(one)) > 0);
    assert_true(strlen(FILES->guarantee(other)) > 0);
    FILES->close(one);
    FILES->close(other);
    return same;
}

static void a_file_is_the_same_by_any_name(void **state)
{
    struct stage *stage = *state;
    char target[PATH_SIZE];

    put(stage, "in", "one\n");
    put(stage, "other", "one\n");
    (void)snprintf(target, sizeof target, "%s", path_of(stage, "in"));
    assert_int_equal(symlink(target, path_of(stage, "soft")), 0);
    assert_int_equal(link(target, path_of(stage, "hard")), 0);
    const struct setup input = {.file = "in"};
    assert_true(are_same(stage, input, (struct setup){.file = "in", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "./in", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "soft", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "hard", .writing = true}));
    assert_false(are_same(stage, input, (struct setup){.file = "other", .writing = true}));
    assert_false(are_same(stage, input, (struct setup){.file = "new", .writing = true}));
    assert_false(are_same(stage, (struct setup){.url = "file:/dev/null"},
                          (struct setup){.url = "file:/dev/null", .writing = true}));
    /* A start that is refused has destroyed nothing. */
    assert_file(stage, "in", "one\n");
}

/* --- Writing ---------------------------------------------------------------------------------- */

static void an_output_is_emptied_by_its_first_writer_only(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writers[2];

    put(stage, "out", "old\n");
    channel = open_channel(stage, (struct setup){.file = "out", .writing = true});
    assert_file(stage, "out", "old\n");
    writers[0] = open_writer(stage, channel);
    assert_file(stage, "out", "");
    assert_int_equal(write_text(stage, writers[0], "one"), SABOT_OK);
    assert_int_equal(flush(stage, writers[0]), SABOT_OK);
    writers[1] = open_writer(stage, channel);
    assert_int_equal(write_text(stage, writers[1], "two"), SABOT_OK);
    assert_int_equal(flush(stage, writers[1]), SABOT_OK);
    assert_file(stage, "out", "one\ntwo\n");
    assert_int_equal(write_text(stage, writers[0], "three"), SABOT_OK);
    assert_int_equal(flush(stage, writers[0]), SABOT_OK);
    assert_int_equal(flush(stage, writers[0]), SABOT_OK);
    assert_file(stage, "out", "one\ntwo\nthree\n");
    FILES->writer_close(writers[0]);
    FILES->writer_close(writers[1]);
    FILES->close(channel);
}

static void an_output_that_is_appended_to_keeps_what_it_holds(void **state)
{
    struct stage *stage = *state;
    static const char *const before[] = {"", "old\n", "ol"};
    static const char *const after[] = {"one\n", "old\none\n", "ol\none\n"};

    for (size_t i = 0; i < 3; i++) {
        struct sb_channel *channel;
        struct sb_writer *writer;

        put(stage, "out", before[i]);
        channel =
            open_channel(stage, (struct setup){.file = "out", .writing = true, .append = true});
        writer = open_writer(stage, channel);
        assert_int_equal(flush(stage, writer), SABOT_OK);
        assert_file(stage, "out", before[i]);
        assert_int_equal(write_text(stage, writer, "one"), SABOT_OK);
        assert_int_equal(flush(stage, writer), SABOT_OK);
        assert_file(stage, "out", after[i]);
        /* Others may append as well. */
        append(stage, "out", "other\n");
        assert_int_equal(write_text(stage, writer, "two"), SABOT_OK);
        FILES->writer_close(writer);
        FILES->close(channel);
        put(stage, "expected", after[i]);
        append(stage, "expected", "other\ntwo\n");
        size_t size;
        char *expected = get(stage, "expected", &size);
        assert_file(stage, "out", expected);
        free(expected);
    }
}

static void what_was_not_flushed_is_written_when_it_is_closed(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer = open_writer(stage, channel);

    assert_int_equal(write_text(stage, writer, "one"), SABOT_OK);
    FILES->writer_close(writer);
    FILES->close(channel);
    assert_file(stage, "out", "one\n");
}

static void records_of_any_size_are_whole_lines(void **state)
{
    struct stage *stage = *state;
    static const char *const texts[] = {"a", "bc", "defghijklmnopqrs", "t", "uvwxyz0123", "4"};

    for (uint64_t block = 1; block < 20; block++) {
        struct sb_channel *channel = open_channel(
            stage,
            (struct setup){.file = "out", .writing = true, .block_size = block, .record_max = 16});
        struct sb_writer *writer = open_writer(stage, channel);

        for (size_t i = 0; i < 6; i++) {
            sabot_status status;

            while ((status = write_text(stage, writer, texts[i])) == SABOT_AGAIN)
                wait_for_news(stage);
            assert_int_equal(status, SABOT_OK);
        }
        assert_int_equal(write_text(stage, writer, "defghijklmnopqrst"), SABOT_ERR_LIMIT);
        assert_error(stage, "/out: record of 17 bytes is longer than the limit of 16");
        assert_int_equal(flush(stage, writer), SABOT_OK);
        assert_file(stage, "out", "a\nbc\ndefghijklmnopqrs\nt\nuvwxyz0123\n4\n");
        FILES->writer_close(writer);
        FILES->close(channel);
    }
}

static void a_record_that_is_no_line_is_refused(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer = open_writer(stage, channel);
    static const char *const texts[] = {"a\nb", "\n", "a\r", "", " \t"};
    const struct sb_record none = {.partition = SB_PARTITION_ANY};
    const struct sb_record elsewhere = {.value = {"one", 3}, .partition = 1};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(write_text(stage, writer, texts[i]), SABOT_ERR_FORMAT);
        assert_error(stage, "/out: a record ");
    }
    assert_int_equal(FILES->write(writer, &none, &stage->error), SABOT_ERR_FORMAT);
    assert_int_equal(FILES->write(writer, &elsewhere, &stage->error), SABOT_ERR_ARGUMENT);
    assert_int_equal(write_text(stage, writer, "one"), SABOT_OK);
    assert_int_equal(flush(stage, writer), SABOT_OK);
    assert_file(stage, "out", "one\n");
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void a_full_pipe_holds_the_writer_back(void **state)
{
    enum { PIPE_BYTES = 65536, MUCH = 1048576 };
    struct stage *stage = *state;
    const int fd = make_pipe(stage, "pipe");
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "pipe", .writing = true, .block_size = 1024});
    struct sb_writer *writer = open_writer(stage, channel);
    char text[101];
    char bytes[4096];
    size_t written = 0;
    size_t read_back = 0;

    memset(text, 'x', 100);
    text[100] = '\0';
    /* The driver may be slower than we are: full for good is only when the pipe is. */
    while (written < MUCH) {
        const sabot_status status = write_text(stage, writer, text);

        if (status == SABOT_AGAIN && written > PIPE_BYTES)
            break;
        if (status == SABOT_AGAIN)
            wait_for_news(stage);
        else
            written += 101;
    }
    assert_true(written < MUCH);
    assert_int_equal(FILES->flush(writer, &stage->error), SABOT_AGAIN);
    while (read_back < written) {
        const ssize_t size = read(fd, bytes, sizeof bytes);

        assert_true(size > 0);
        read_back += (size_t)size;
        assert_true(FILES->flush(writer, &stage->error) <= SABOT_AGAIN);
    }
    assert_int_equal(read_back, written);
    assert_int_equal(flush(stage, writer), SABOT_OK);
    FILES->writer_close(writer);
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

static void a_full_disk_is_said_by_every_later_call(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.url = "file:/dev/full", .writing = true});
    struct sb_writer *writer = open_writer(stage, channel);
    struct sb_writer *other = open_writer(stage, channel);

    assert_int_equal(write_text(stage, writer, "one"), SABOT_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(flush(stage, i < 2 ? writer : other), SABOT_ERR_IO);
        assert_error(stage, "/dev/full: cannot write 4 bytes");
        assert_error(stage, "No space left on device");
        assert_true(stage->error.fatal);
        assert_false(stage->error.retriable);
        memset(&stage->error, 0, sizeof stage->error);
        assert_int_equal(write_text(stage, other, "two"), SABOT_ERR_IO);
        assert_error(stage, "No space left on device");
    }
    FILES->writer_close(writer);
    FILES->writer_close(other);
    FILES->close(channel);
}

static void a_pipe_without_a_reader_is_an_error(void **state)
{
    struct stage *stage = *state;
    const int fd = make_pipe(stage, "pipe");
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "pipe", .writing = true});
    struct sb_writer *writer = open_writer(stage, channel);

    assert_int_equal(close(fd), 0);
    assert_int_equal(write_text(stage, writer, "one"), SABOT_OK);
    assert_int_equal(flush(stage, writer), SABOT_ERR_CLOSED);
    assert_error(stage, "/pipe: cannot write 4 bytes, 0 done: Broken pipe");
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void a_file_has_no_transactions(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer;

    assert_int_equal(
        FILES->writer_open(channel, (struct sb_txn *)stage, stage->waker, &writer, &stage->error),
        SABOT_ERR_UNSUPPORTED);
    assert_null(writer);
    assert_null(FILES->txn_open);
    assert_null(FILES->commit);
    FILES->close(channel);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { WRITERS = 4, LINES = 3000 };

struct author {
    struct sb_writer *writer;
    struct sb_waker *waker;
    struct sb_thread *thread;
    uint32_t number;
    uint32_t written;
    sabot_status status;
};

/* "number line xxx...", of changing length. */
static sabot_status write_line(struct author *author)
{
    char text[128];
    const int head = snprintf(text, sizeof text, "%u %u ", author->number, author->written);
    const size_t fill = 1 + sb_hash_int64(author->written, author->number) % 60;
    const struct sb_record record = {.value = {text, (size_t)head + fill},
                                     .partition = SB_PARTITION_ANY};

    memset(text + head, 'a' + (int)author->number, fill);
    return FILES->write(author->writer, &record, NULL);
}

static struct sb_step write_step(void *context)
{
    struct author *author = context;

    author->status = SABOT_OK;
    if (author->written < LINES) {
        author->status = write_line(author);
        if (author->status == SABOT_OK)
            author->written++;
    }
    if (author->status == SABOT_OK && (author->written == LINES || author->written % 97 == 0))
        author->status = FILES->flush(author->writer, NULL);
    if (author->status == SABOT_AGAIN)
        return sb_step_wait(INT64_MAX);
    return author->status != SABOT_OK || author->written == LINES ? sb_step_done()
                                                                  : sb_step_again();
}

/* Each line whole, and those of each author in order. */
static void check_lines(char *bytes)
{
    uint32_t next[WRITERS] = {0};
    char *line = bytes;

    while (*line != '\0') {
        char *end = strchr(line, '\n');
        char *at;
        unsigned long number;
        unsigned long count;

        assert_non_null(end);
        number = strtoul(line, &at, 10);
        count = strtoul(at, &at, 10);
        assert_true(number < WRITERS);
        assert_int_equal(count, next[number]);
        next[number]++;
        assert_int_equal(end - at, 2 + sb_hash_int64((int64_t)count, number) % 60);
        assert_int_equal(strspn(at, (char[]){' ', (char)('a' + number), '\0'}), end - at);
        line = end + 1;
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        assert_int_equal(next[i], LINES);
}

static void lines_of_several_threads_never_mix(void **state)
{
    struct stage *stage = *state;
    struct author authors[WRITERS] = {0};
    struct sb_channel *channel =
        open_channel(stage, (struct setup){.file = "out", .writing = true, .block_size = 500});
    size_t size;

    for (uint32_t i = 0; i < WRITERS; i++) {
        struct author *author = &authors[i];

        author->number = i;
        assert_int_equal(stage->type.waker_create(stage->env.self, &author->waker, NULL), SABOT_OK);
        assert_int_equal(FILES->writer_open(channel, NULL, author->waker, &author->writer, NULL),
                         SABOT_OK);
        assert_int_equal(stage->type.spawn(stage->env.self, "author", write_step, author,
                                           author->waker, &author->thread, NULL),
                         SABOT_OK);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        stage->type.join(stage->env.self, authors[i].thread);
        assert_int_equal(authors[i].status, SABOT_OK);
        FILES->writer_close(authors[i].writer);
        stage->type.waker_destroy(stage->env.self, authors[i].waker);
    }
    FILES->close(channel);
    char *bytes = get(stage, "out", &size);
    check_lines(bytes);
    free(bytes);
}

static void readers_are_closed_while_blocks_come(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char text[2000];
    struct sb_channel *channel;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 == 9 ? '\n' : 'x';
    put_at(stage, "in", "w", text, sizeof text);
    channel = open_channel(stage, (struct setup){.file = "in", .block_size = 7});
    for (uint32_t i = 0; i < 200; i++) {
        struct sb_reader *reader;
        struct sb_waker *waker;
        const struct sb_reader_position position = {.partition = 0, .offset = (int64_t)i * 10};

        /* The waker is gone as soon as the reader is closed. */
        assert_int_equal(stage->type.waker_create(stage->env.self, &waker, NULL), SABOT_OK);
        assert_int_equal(FILES->reader_open(channel, &position, 1, waker, &reader, &stage->error),
                         SABOT_OK);
        for (uint32_t polls = 0; polls < i % 5; polls++)
            assert_true(FILES->poll(reader, 0, 1 + i % 3, collect, &basket, NULL) <= SABOT_END);
        FILES->reader_close(reader);
        stage->type.waker_destroy(stage->env.self, waker);
    }
    FILES->close(channel);
    empty(&basket);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Everything a channel does, from opening to closing; what fails ends it. */
static sabot_status do_everything(struct stage *stage)
{
    struct basket basket = {0};
    struct sb_channel *channel = NULL;
    struct sb_reader *reader = NULL;
    struct sb_writer *writer = NULL;
    sabot_status status;

    status = try_prepare(stage, (struct setup){.file = "out", .writing = true, .block_size = 8},
                         &channel);
    if (status == SABOT_OK)
        status = FILES->writer_open(channel, NULL, stage->waker, &writer, &stage->error);
    if (status == SABOT_OK)
        status = write_text(stage, writer, "a record of more than one block");
    if (status == SABOT_OK)
        status = flush(stage, writer);
    FILES->writer_close(writer);
    if (channel != NULL)
        FILES->close(channel);
    if (status != SABOT_OK)
        return status;
    channel = NULL;
    status = try_prepare(stage, (struct setup){.file = "out", .block_size = 8}, &channel);
    if (status == SABOT_OK)
        status = try_reader(stage, channel, SB_OFFSET_NONE, &reader);
    if (status == SABOT_OK)
        status = poll_all(stage, reader, &basket);
    FILES->reader_close(reader);
    if (channel != NULL)
        FILES->close(channel);
    empty(&basket);
    return status == SABOT_END ? SABOT_OK : status;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct stage *stage = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth = 0;

    while (status != SABOT_OK) {
        sb_os_env_fail_allocation(stage->os, ++nth);
        memset(&stage->error, 0, sizeof stage->error);
        status = do_everything(stage);
        sb_os_env_fail_allocation(stage->os, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_error(stage, "no memory");
        }
        assert_true(nth < 1000);
    }
    assert_true(nth > 15);
}

static void memory_that_comes_back_lets_a_reader_go_on(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    put(stage, "in", "a record of many blocks\n");
    channel = open_channel(stage, (struct setup){.file = "in", .block_size = 2});
    reader = open_reader(stage, channel, SB_OFFSET_NONE);
    sb_os_env_fail_allocation(stage->os, 1);
    assert_int_equal(poll_once(stage, reader, 1, &basket), SABOT_ERR_MEMORY);
    assert_error(stage, "/in: line 1 (byte 0): no memory for 2 bytes of a record");
    sb_os_env_fail_allocation(stage->os, 0);
    assert_int_equal(poll_all(stage, reader, &basket), SABOT_END);
    assert_records(&basket, "0:a record of many blocks;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_stage, free_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_line_is_a_record_at_its_byte),
        TEST(a_last_line_without_newline_counts),
        TEST(blank_lines_are_skipped_and_a_cr_is_cut),
        TEST(bytes_that_are_no_text_pass_unchanged),
        TEST(a_line_is_whole_wherever_the_blocks_end),
        TEST(records_carry_the_time_of_reading),
        TEST(the_callback_says_how_far_poll_goes),
        TEST(a_record_over_the_limit_is_an_error_and_can_be_passed),
        TEST(records_before_one_over_the_limit_come_first),
        TEST(ten_megabytes_are_skipped_in_little_memory),
        TEST(many_blank_lines_are_no_long_step),
        TEST(a_place_is_file_line_and_byte),
        TEST(a_place_in_a_long_path_keeps_its_end),
        TEST(reading_goes_on_at_a_position),
        TEST(a_reader_seeks_also_behind_the_end),
        TEST(a_reader_without_partitions_is_fine),
        TEST(random_files_are_read_from_random_positions),
        TEST(a_followed_file_waits_for_the_rest_of_the_line),
        TEST(the_latest_of_a_followed_file_is_the_line_being_written),
        TEST(a_followed_file_that_is_cut_is_an_error),
        TEST(a_file_that_is_cut_while_it_is_read_is_an_error),
        TEST(until_end_is_the_end_when_it_was_prepared),
        TEST(until_end_takes_a_line_that_was_begun_as_a_whole),
        TEST(a_pipe_is_read_as_it_comes),
        TEST(a_reader_stops_while_a_pipe_says_nothing),
        TEST(a_stream_is_read_once),
        TEST(a_dash_is_standard_input),
        TEST(standard_output_is_appended_to),
        TEST(what_cannot_be_opened_is_said_by_prepare),
        TEST(a_url_that_makes_no_sense_is_refused),
        TEST(a_file_is_not_read_and_written_by_one_app),
        TEST(a_file_is_the_same_by_any_name),
        TEST(an_output_is_emptied_by_its_first_writer_only),
        TEST(an_output_that_is_appended_to_keeps_what_it_holds),
        TEST(what_was_not_flushed_is_written_when_it_is_closed),
        TEST(records_of_any_size_are_whole_lines),
        TEST(a_record_that_is_no_line_is_refused),
        TEST(a_full_pipe_holds_the_writer_back),
        TEST(a_full_disk_is_said_by_every_later_call),
        TEST(a_pipe_without_a_reader_is_an_error),
        TEST(a_file_has_no_transactions),
        TEST(lines_of_several_threads_never_mix),
        TEST(readers_are_closed_while_blocks_come),
        TEST(every_failed_allocation_is_an_error_and_leaks_nothing),
        TEST(memory_that_comes_back_lets_a_reader_go_on),
    };

    return cmocka_run_group_tests_name("channel_file", tests, NULL, NULL);
}
