/* SPDX-License-Identifier: Apache-2.0 */
/* file_stage.c - the helpers of file_stage.h. Memory is counted in globals: one test runs at a
 * time, though its driver threads may allocate at once. */
#include "file_stage.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

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

size_t stage_memory_peak(void)
{
    return atomic_load(&memory_peak);
}

int stage_make(void **state)
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

int stage_free(void **state)
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

const char *stage_path(const struct stage *stage, const char *name)
{
    static char path[PATH_SIZE];

    (void)snprintf(path, sizeof path, "%s/%s", stage->folder, name);
    return path;
}

void stage_put_bytes(const struct stage *stage,
                     const char *name,
                     const char *mode,
                     const char *bytes,
                     size_t size)
{
    FILE *file = fopen(stage_path(stage, name), mode);

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void stage_put(const struct stage *stage, const char *name, const char *text)
{
    stage_put_bytes(stage, name, "w", text, strlen(text));
}

void stage_append(const struct stage *stage, const char *name, const char *text)
{
    stage_put_bytes(stage, name, "a", text, strlen(text));
}

char *stage_get(const struct stage *stage, const char *name, size_t *size_out)
{
    FILE *file = fopen(stage_path(stage, name), "r");
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

void stage_assert_file(const struct stage *stage, const char *name, const char *text)
{
    size_t size;
    char *bytes = stage_get(stage, name, &size);

    assert_string_equal(bytes, text);
    assert_int_equal(size, strlen(text));
    free(bytes);
}

/* --- Channels --------------------------------------------------------------------------------- */

sabot_status stage_try_open(struct stage *stage, struct setup setup, struct sb_channel **channel)
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

sabot_status stage_try_prepare(struct stage *stage,
                               struct setup setup,
                               struct sb_channel **channel_out)
{
    sabot_status status = stage_try_open(stage, setup, channel_out);

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

struct sb_channel *stage_channel(struct stage *stage, struct setup setup)
{
    struct sb_channel *channel;

    if (stage_try_prepare(stage, setup, &channel) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    assert_int_equal(FILES->prepare(channel, NULL), SABOT_OK);
    assert_int_equal(FILES->partition_count(channel), 1);
    assert_true(FILES->connected(channel));
    return channel;
}

sabot_status stage_try_reader(struct stage *stage,
                              struct sb_channel *channel,
                              int64_t offset,
                              struct sb_reader **reader_out)
{
    const struct sb_reader_position position = {.partition = 0, .offset = offset};

    return FILES->reader_open(channel, &position, 1, stage->waker, reader_out, &stage->error);
}

struct sb_reader *stage_reader(struct stage *stage, struct sb_channel *channel, int64_t offset)
{
    struct sb_reader *reader;

    if (stage_try_reader(stage, channel, offset, &reader) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    return reader;
}

struct sb_writer *stage_writer(struct stage *stage, struct sb_channel *channel)
{
    struct sb_writer *writer;

    if (FILES->writer_open(channel, NULL, stage->waker, &writer, &stage->error) != SABOT_OK)
        fail_msg("%s", stage->error.text);
    return writer;
}

int64_t stage_position(const struct sb_reader *reader)
{
    struct sb_reader_position position;

    FILES->position(reader, 0, &position);
    assert_int_equal(position.partition, 0);
    return position.offset;
}

void stage_wait(struct stage *stage)
{
    stage->type.wait(stage->env.self, stage->waker, INT64_MAX);
}

sabot_status basket_collect(void *context, const struct sb_record *record)
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
    basket->count++;
    basket->next_offset = record->next_offset;
    basket->timestamp_ms = record->timestamp_ms;
    basket->arrival_us = record->arrival_us;
    return verdict;
}

void basket_empty(struct basket *basket)
{
    free(basket->text);
    *basket = (struct basket){.values_only = basket->values_only};
}

sabot_status stage_poll(struct stage *stage,
                        struct sb_reader *reader,
                        uint32_t records_max,
                        struct basket *basket)
{
    for (;;) {
        const sabot_status status =
            FILES->poll(reader, 0, records_max, basket_collect, basket, &stage->error);

        if (status != SABOT_AGAIN)
            return status;
        stage_wait(stage);
    }
}

sabot_status stage_poll_all(struct stage *stage, struct sb_reader *reader, struct basket *basket)
{
    sabot_status status;

    do
        status = stage_poll(stage, reader, 1000, basket);
    while (status == SABOT_OK);
    return status;
}

void basket_assert(struct basket *basket, const char *text)
{
    assert_string_equal(basket->text == NULL ? "" : basket->text, text);
    basket_empty(basket);
}

void stage_assert_reads(struct stage *stage,
                        struct setup setup,
                        const char *bytes,
                        size_t size,
                        const char *expected)
{
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put_bytes(stage, setup.file, "w", bytes, size);
    channel = stage_channel(stage, setup);
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(stage_position(reader), size);
    assert_int_equal(FILES->lag(reader, 0), 0);
    FILES->reader_close(reader);
    FILES->close(channel);
    basket_assert(&basket, expected);
}

sabot_status stage_write(struct stage *stage, struct sb_writer *writer, const char *text)
{
    const struct sb_record record = {
        .value = {text, strlen(text)},
        .partition = SB_PARTITION_ANY,
        .timestamp_ms = SB_TIMESTAMP_NOW,
    };
    return FILES->write(writer, &record, &stage->error);
}

sabot_status stage_flush(struct stage *stage, struct sb_writer *writer)
{
    sabot_status status;

    while ((status = FILES->flush(writer, &stage->error)) == SABOT_AGAIN)
        stage_wait(stage);
    return status;
}

void stage_assert_error(const struct stage *stage, const char *part)
{
    if (strstr(stage->error.text, part) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", part, stage->error.text);
}

void stage_assert_place(const struct sb_reader *reader, int64_t offset, const char *end)
{
    char text[SB_PLACE_MAX];

    FILES->place(reader, 0, offset, text, sizeof text);
    const size_t length = strlen(text);
    assert_true(length >= strlen(end));
    assert_string_equal(text + length - strlen(end), end);
}

int stage_pipe(const struct stage *stage, const char *name)
{
    int fd;

    assert_int_equal(mkfifo(stage_path(stage, name), 0600), 0);
    fd = open(stage_path(stage, name), O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

void stage_send(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}
