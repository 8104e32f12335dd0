/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_memory.c - what the embedded log does beyond the conformance suite: who holds whom
 * back, ends, names, memory that fails, and threads.
 *
 * Records are numbered; the checks are that numbers come in order and none is missing. */
#include "test.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "channel/memory.h"
#include "channel/memory_log.h"

#define TYPE sb_channel_memory

enum { PATIENCE_US = 20 * 1000 * 1000, SMALL = 64 * 1024, RECORD = 100 };

struct fixture {
    struct sb_env *env;
    struct sb_log *log;
    struct sb_waker *wakers[2]; /* of a reader, of a writer */
    sabot_error error;
    uint64_t count; /* records shown */
    uint64_t first; /* number of the first of them */
    uint64_t next;  /* the number that must come */
    uint64_t wrong;
};

enum { READER, WRITER };

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK ||
        sb_log_create(f->env, &f->log, NULL) != SABOT_OK)
        return -1;
    for (uint32_t i = 0; i < 2; i++) {
        if (f->env->type->waker_create(f->env->self, &f->wakers[i], NULL) != SABOT_OK)
            return -1;
    }
    *state = f;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *f = *state;

    sb_log_destroy(f->log);
    for (uint32_t i = 0; i < 2; i++)
        f->env->type->waker_destroy(f->env->self, f->wakers[i]);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

static sabot_status try_open(struct fixture *f,
                             const char *url,
                             const struct sb_channel_config *like,
                             struct sb_channel **channel_out)
{
    struct sb_channel_config config = *like;

    config.name = "numbers";
    config.url = url;
    config.log = f->log;
    config.record_max = config.record_max == 0 ? 1 << 20 : config.record_max;
    return TYPE.open(f->env, &config, f->wakers[READER], channel_out, &f->error);
}

static struct sb_channel *open_like(struct fixture *f,
                                    const char *url,
                                    const struct sb_channel_config *like)
{
    struct sb_channel *channel;

    assert_int_equal(try_open(f, url, like, &channel), SABOT_OK);
    assert_int_equal(TYPE.prepare(channel, &f->error), SABOT_OK);
    return channel;
}

static struct sb_channel *open_channel(struct fixture *f, const char *url)
{
    return open_like(f, url, &(struct sb_channel_config){.start = "earliest"});
}

static struct sb_reader *open_reader(struct fixture *f, struct sb_channel *channel, int64_t offset)
{
    const struct sb_reader_position position = {.offset = offset};
    struct sb_reader *reader;

    assert_int_equal(TYPE.reader_open(channel, &position, 1, f->wakers[READER], &reader, &f->error),
                     SABOT_OK);
    return reader;
}

static struct sb_writer *open_writer(struct fixture *f,
                                     struct sb_channel *channel,
                                     struct sb_txn *txn)
{
    struct sb_writer *writer;

    assert_int_equal(TYPE.writer_open(channel, txn, f->wakers[WRITER], &writer, &f->error),
                     SABOT_OK);
    return writer;
}

static struct sb_txn *open_txn(struct fixture *f, struct sb_channel *channel, const char *id)
{
    struct sb_txn *txn;

    assert_int_equal(TYPE.txn_open(channel, id, 60000, f->wakers[WRITER], &txn, &f->error),
                     SABOT_OK);
    assert_int_equal(TYPE.txn_fence(txn, &f->error), SABOT_OK);
    return txn;
}

/* A record of 100 bytes that begins with its number. */
static sabot_status write_number(struct sb_writer *writer, uint64_t number, sabot_error *error)
{
    char value[RECORD + 1];
    const struct sb_record record = {.value = {value, RECORD}, .timestamp_ms = 1};

    (void)snprintf(value, sizeof value, "%-*" PRIu64, (int)RECORD, number);
    return TYPE.write(writer, &record, error);
}

/* Write numbers from `number` on while there is room; the first that was not taken. */
static uint64_t write_while_room(struct fixture *f,
                                 struct sb_writer *writer,
                                 uint64_t number,
                                 sabot_status expected)
{
    sabot_status status;

    while ((status = write_number(writer, number, &f->error)) == SABOT_OK) {
        number++;
        assert_true(number < 100000);
    }
    assert_int_equal(status, expected);
    return number;
}

/* The writer was woken, and gets its record in. */
static void expect_room(struct fixture *f, struct sb_writer *writer, uint64_t number)
{
    const int64_t deadline_us = sb_now_us(f->env) + PATIENCE_US;

    f->env->type->wait(f->env->self, f->wakers[WRITER], deadline_us);
    assert_true(sb_now_us(f->env) < deadline_us);
    assert_int_equal(write_number(writer, number, &f->error), SABOT_OK);
}

static uint64_t parse_number(sabot_text value)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%.*s", value.size < 20 ? (int)value.size : 20,
                   value.data);
    return strtoull(digits, NULL, 10);
}

static sabot_status check_number(void *context, const struct sb_record *record)
{
    struct fixture *f = context;
    const uint64_t number = parse_number(record->value);

    if (f->count == 0)
        f->first = f->next = number;
    f->wrong += number == f->next ? 0 : 1;
    f->count++;
    f->next++;
    return SABOT_OK;
}

/* Read what is there; the status that ended it. */
static sabot_status read_on(struct fixture *f, struct sb_reader *reader)
{
    sabot_status status;

    do
        status = TYPE.poll(reader, 0, 100, check_number, f, &f->error);
    while (status == SABOT_OK);
    assert_int_equal(f->wrong, 0);
    return status;
}

/* --- Who holds writers back ------------------------------------------------------------------- */

static void with_nobody_to_read_the_oldest_goes(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    const struct sb_reader_position gone = {.offset = 0};
    struct sb_reader *reader;

    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(write_number(writer, i, &f->error), SABOT_OK);
    assert_int_equal(TYPE.reader_open(channel, &gone, 1, f->wakers[READER], &reader, &f->error),
                     SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(f->error.text, "numbers: partition 0 has no offset 0"));
    reader = open_reader(f, channel, SB_OFFSET_BEGIN);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(f->next, 10000);
    assert_in_range(f->count, SMALL / 2 / (RECORD + 40), SMALL / RECORD);
    TYPE.reader_close(reader);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

static void an_open_reader_holds_its_writer_back_until_it_goes(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_reader *slow = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_reader *fast = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_reader_position position = {0};
    uint64_t written = write_while_room(f, writer, 0, SABOT_AGAIN);

    assert_int_equal(read_on(f, fast), SABOT_AGAIN);
    assert_int_equal(f->count, written);
    written = write_while_room(f, writer, written, SABOT_AGAIN);
    TYPE.reader_close(slow);
    expect_room(f, writer, written++);
    written = write_while_room(f, writer, written, SABOT_AGAIN);
    assert_int_equal(read_on(f, fast), SABOT_AGAIN);
    assert_int_equal(f->count, written);
    expect_room(f, writer, written++);
    written = write_while_room(f, writer, written, SABOT_AGAIN);
    TYPE.stop(fast); /* takes no more, so holds nothing back */
    expect_room(f, writer, written++);
    position.offset = (int64_t)written - 1;
    assert_int_equal(TYPE.seek(fast, &position, &f->error), SABOT_OK);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(write_number(writer, i, &f->error), SABOT_OK);
    TYPE.reader_close(fast);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

/* It stands at 1 for as long as the group has nothing to say; nobody reads from there. */
static void an_offset_that_is_only_a_mark_holds_no_records(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_offset offset = {.offset = 1, .is_mark = true};

    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_OK);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(write_number(writer, i, &f->error), SABOT_OK);
    offset.is_mark = false;
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_OK);
    (void)write_while_room(f, writer, 0, SABOT_AGAIN);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

static void a_group_holds_from_its_first_commit_on(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_offset offset = {.offset = 0};
    uint64_t written;

    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_OK);
    written = write_while_room(f, writer, 0, SABOT_AGAIN);
    offset.offset = (int64_t)written / 2;
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_OK);
    expect_room(f, writer, written++);
    written = write_while_room(f, writer, written, SABOT_AGAIN);
    assert_int_equal(TYPE.commit(channel, "other", &offset, 1, &f->error), SABOT_OK);
    offset.offset = (int64_t)written;
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_OK);
    assert_int_equal(write_number(writer, written, &f->error), SABOT_AGAIN); /* the other's */
    assert_int_equal(TYPE.commit(channel, "other", &offset, 1, &f->error), SABOT_OK);
    expect_room(f, writer, written);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

static void a_reader_at_its_end_holds_nothing(void **state)
{
    struct fixture *f = *state;
    const struct sb_channel_config until_end = {.until_end = true};
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_channel *reading;
    struct sb_reader *reader;
    uint64_t written;

    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(write_number(writer, i, &f->error), SABOT_OK);
    reading = open_like(f, "memory:", &until_end);
    reader = open_reader(f, reading, SB_OFFSET_NONE);
    written = write_while_room(f, writer, 10, SABOT_AGAIN);
    assert_int_equal(read_on(f, reader), SABOT_END);
    assert_int_equal(f->count, 10);
    expect_room(f, writer, written);
    for (uint32_t i = 0; i < 10000; i++)
        assert_int_equal(write_number(writer, i, &f->error), SABOT_OK);
    assert_int_equal(read_on(f, reader), SABOT_END);
    TYPE.reader_close(reader);
    TYPE.close(reading);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

static void a_transaction_that_all_wait_for_may_fill_the_log_once_more(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_writer *writer = open_writer(f, channel, txn);
    struct sb_writer *plain = open_writer(f, channel, NULL);
    uint64_t written;

    assert_int_equal(write_number(plain, 0, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    written = write_while_room(f, writer, 1000, SABOT_AGAIN); /* the reader has one to read */
    assert_int_equal(write_number(plain, 1, &f->error), SABOT_AGAIN);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(f->count, 1);
    f->env->type->wait(f->env->self, f->wakers[WRITER], INT64_MAX);
    (void)write_while_room(f, writer, written, SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "the transaction does not fit"));
    assert_int_equal(write_number(plain, 1, &f->error), SABOT_AGAIN);
    assert_int_equal(TYPE.txn_abort(txn, &f->error), SABOT_OK);
    f->env->type->wait(f->env->self, f->wakers[WRITER], INT64_MAX);
    assert_int_equal(write_number(plain, 1, &f->error), SABOT_AGAIN);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN); /* steps over what was aborted */
    expect_room(f, plain, 1);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(f->count, 2);
    TYPE.writer_close(plain);
    TYPE.writer_close(writer);
    TYPE.txn_close(txn);
    TYPE.reader_close(reader);
    TYPE.close(channel);
}

static void records_as_large_as_a_partition_pass_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_NONE);
    char *bytes = calloc(1, SMALL + 1);
    struct sb_record record = {.value = {bytes, SMALL - 100}};

    assert_non_null(bytes);
    for (uint64_t i = 0; i < 20; i++) {
        (void)snprintf(bytes, 8, "%" PRIu64, i);
        assert_int_equal(TYPE.write(writer, &record, &f->error), SABOT_OK);
        assert_int_equal(TYPE.write(writer, &record, &f->error), SABOT_AGAIN);
        assert_int_equal(read_on(f, reader), SABOT_AGAIN);
        assert_int_equal(f->next, i + 1);
    }
    record.value.size = SMALL + 1;
    assert_int_equal(TYPE.write(writer, &record, &f->error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "raise ?bytes="));
    free(bytes);
    TYPE.reader_close(reader);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

/* --- Ends ------------------------------------------------------------------------------------- */

static void a_channel_ends_when_it_had_writers_and_has_none(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_writer *writers[2];

    assert_false(TYPE.finite(channel));
    assert_int_equal(read_on(f, reader), SABOT_AGAIN); /* it never had one */
    writers[0] = open_writer(f, channel, NULL);
    writers[1] = open_writer(f, channel, NULL);
    assert_true(TYPE.finite(channel));
    assert_int_equal(write_number(writers[0], 0, &f->error), SABOT_OK);
    TYPE.writer_close(writers[0]);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    f->env->type->wait(f->env->self, f->wakers[READER], 0);
    TYPE.writer_close(writers[1]);
    f->env->type->wait(f->env->self, f->wakers[READER], INT64_MAX);
    assert_int_equal(read_on(f, reader), SABOT_END);
    assert_int_equal(f->count, 1);

    writers[0] = open_writer(f, channel, NULL);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(write_number(writers[0], 1, &f->error), SABOT_OK);
    TYPE.writer_close(writers[0]);
    assert_int_equal(read_on(f, reader), SABOT_END);
    assert_int_equal(f->count, 2);
    TYPE.reader_close(reader);
    TYPE.close(channel);
}

static void the_end_waits_for_open_transactions(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_writer *writer = open_writer(f, channel, txn);

    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    assert_int_equal(write_number(writer, 0, &f->error), SABOT_OK);
    TYPE.writer_close(writer);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(TYPE.txn_commit(txn, &f->error), SABOT_OK);
    f->env->type->wait(f->env->self, f->wakers[READER], INT64_MAX);
    assert_int_equal(read_on(f, reader), SABOT_END);
    assert_int_equal(f->count, 1);
    TYPE.txn_close(txn);
    TYPE.reader_close(reader);
    TYPE.close(channel);
}

/* --- Names and bad use ------------------------------------------------------------------------ */

static void partitions_are_what_any_url_says_until_one_is_prepared(void **state)
{
    struct fixture *f = *state;
    const struct sb_channel_config config = {.start = "earliest"};
    struct sb_channel *channels[4];

    assert_int_equal(try_open(f, "memory:", &config, &channels[0]), SABOT_OK);
    assert_int_equal(try_open(f, "memory:numbers?partitions=3", &config, &channels[1]), SABOT_OK);
    assert_int_equal(try_open(f, "memory:?partitions=2", &config, &channels[2]), SABOT_ERR_CONFIG);
    assert_non_null(strstr(f->error.text, "partitions=2, but the channel has 3"));
    assert_int_equal(TYPE.prepare(channels[0], &f->error), SABOT_OK);
    assert_int_equal(TYPE.partition_count(channels[0]), 3);
    channels[2] = open_channel(f, "memory:numbers?partitions=3");
    assert_true(TYPE.same(channels[0], channels[2]));
    assert_int_equal(try_open(f, "memory:?bytes=1MiB", &config, &channels[3]), SABOT_ERR_CONFIG);
    channels[3] = open_channel(f, "memory:alone");
    assert_int_equal(TYPE.partition_count(channels[3]), 1);
    assert_false(TYPE.same(channels[0], channels[3]));
    for (uint32_t i = 0; i < 4; i++)
        TYPE.close(channels[i]);
    assert_int_equal(try_open(f, "memory:alone?partitions=2", &config, &channels[0]),
                     SABOT_ERR_CONFIG);
}

static void a_bad_url_is_refused(void **state)
{
    static const char *const urls[] = {"memory:x?partitions=0", "memory:x?partitions=4097",
                                       "memory:x?bytes=1", "memory:x?follow=true", "memory"};
    struct fixture *f = *state;
    struct sb_channel *channel;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_int_equal(try_open(f, urls[i], &(struct sb_channel_config){0}, &channel),
                         SABOT_ERR_CONFIG);
        assert_null(channel);
    }
}

static void latest_begins_behind_what_is_there(void **state)
{
    struct fixture *f = *state;
    const struct sb_channel_config latest = {.start = "latest"};
    struct sb_channel *channel = open_like(f, "memory:", &latest);
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_reader *reader;

    assert_int_equal(write_number(writer, 1, &f->error), SABOT_OK);
    reader = open_reader(f, channel, SB_OFFSET_NONE);
    assert_int_equal(write_number(writer, 2, &f->error), SABOT_OK);
    assert_int_equal(read_on(f, reader), SABOT_AGAIN);
    assert_int_equal(f->first, 2);
    assert_int_equal(f->count, 1);
    TYPE.reader_close(reader);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

static void bad_use_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    struct sb_writer *writer = open_writer(f, channel, NULL);
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_NONE);
    struct sb_header headers[SB_HEADERS_MAX + 1] = {{{"a", 1}, {"b", 1}}};
    const struct sb_record record = {.headers = headers, .header_count = SB_HEADERS_MAX + 1};
    struct sb_reader_position position = {.partition = 1};
    struct sb_offset offset = {.offset = -1};
    struct sb_reader *other;
    struct sb_txn *txn;

    assert_int_equal(TYPE.write(writer, &record, &f->error), SABOT_ERR_LIMIT);
    assert_int_equal(TYPE.seek(reader, &position, &f->error), SABOT_ERR_ARGUMENT);
    assert_int_equal(TYPE.reader_open(channel, &position, 1, f->wakers[READER], &other, &f->error),
                     SABOT_ERR_ARGUMENT);
    position = (struct sb_reader_position){.offset = 1};
    assert_int_equal(TYPE.seek(reader, &position, &f->error), SABOT_ERR_NOT_FOUND);
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_ERR_ARGUMENT);
    offset = (struct sb_offset){.channel = "nobody's"};
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_ERR_NOT_FOUND);
    assert_int_equal(TYPE.committed(channel, "g", &offset, 1, &f->error), SABOT_ERR_NOT_FOUND);
    offset = (struct sb_offset){.partition = 1};
    assert_int_equal(TYPE.commit(channel, "", &offset, 1, &f->error), SABOT_ERR_ARGUMENT);
    assert_int_equal(TYPE.commit(channel, "g", &offset, 1, &f->error), SABOT_ERR_NOT_FOUND);
    assert_int_equal(TYPE.txn_open(channel, "", 1000, f->wakers[WRITER], &txn, &f->error),
                     SABOT_ERR_ARGUMENT);
    assert_int_equal(TYPE.txn_open(channel, "t", 0, f->wakers[WRITER], &txn, &f->error),
                     SABOT_ERR_CONFIG);
    assert_int_equal(TYPE.txn_open(channel, "t", 1000, f->wakers[WRITER], &txn, &f->error),
                     SABOT_OK);
    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_ERR_STATE);
    assert_int_equal(TYPE.txn_fence(txn, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_commit(txn, &f->error), SABOT_ERR_STATE);
    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_ERR_STATE);
    TYPE.txn_close(txn);
    TYPE.reader_close(reader);
    TYPE.writer_close(writer);
    TYPE.close(channel);
}

/* --- Memory that fails ------------------------------------------------------------------------ */

/* Whatever can be done, until something has no memory: SABOT_OK when nothing had. */
static sabot_status do_everything(struct fixture *f,
                                  struct sb_channel *channel,
                                  struct sb_txn *txn,
                                  uint64_t *number)
{
    const struct sb_reader_position begin = {.offset = SB_OFFSET_BEGIN};
    struct sb_offset offset = {.offset = 1, .metadata = (char[]){"text"}};
    struct sb_writer *writer = NULL;
    struct sb_reader *reader = NULL;
    sabot_status status = TYPE.txn_begin(txn, &f->error);

    if (status == SABOT_OK)
        status = TYPE.reader_open(channel, &begin, 1, f->wakers[READER], &reader, &f->error);
    if (status == SABOT_OK)
        status = TYPE.writer_open(channel, txn, f->wakers[WRITER], &writer, &f->error);
    for (uint32_t i = 0; i < 20 && status == SABOT_OK; i++)
        status = write_number(writer, *number + i, &f->error);
    if (status == SABOT_OK)
        status = TYPE.txn_offsets(txn, "g", &offset, 1, &f->error);
    if (status == SABOT_OK)
        status = TYPE.commit(channel, "h", &offset, 1, &f->error);
    if (status == SABOT_OK)
        status = TYPE.committed(channel, "h", &offset, 1, &f->error);
    if (status == SABOT_OK)
        sb_string_free(f->env, offset.metadata);
    TYPE.writer_close(writer);
    TYPE.reader_close(reader);
    /* Neither needs memory. */
    if (status != SABOT_OK) {
        assert_int_equal(TYPE.txn_abort(txn, NULL), SABOT_OK);
        return status;
    }
    assert_int_equal(TYPE.txn_commit(txn, &f->error), SABOT_OK);
    *number += 20;
    return SABOT_OK;
}

static void without_memory_calls_fail_and_nothing_is_half_done(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=128KiB");
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_reader *reader = open_reader(f, channel, SB_OFFSET_BEGIN);
    uint64_t number = 0;
    sabot_status status;

    for (uint64_t nth = 1;; nth++) {
        sb_os_env_fail_allocation(f->env, nth);
        status = do_everything(f, channel, txn, &number);
        sb_os_env_fail_allocation(f->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
        (void)read_on(f, reader);
        assert_int_equal(f->count, number);
    }
    assert_int_equal(do_everything(f, channel, txn, &number), SABOT_OK);
    (void)read_on(f, reader);
    assert_int_equal(f->count, 40);
    TYPE.reader_close(reader);
    TYPE.txn_close(txn);
    TYPE.close(channel);
}

static void without_memory_a_channel_is_not_opened(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel;
    struct sb_log *log;

    sb_os_env_fail_allocation(f->env, 1);
    assert_int_equal(sb_log_create(f->env, &log, &f->error), SABOT_ERR_MEMORY);
    assert_null(log);
    for (uint64_t nth = 1;; nth++) {
        const struct sb_channel_config until_end = {.until_end = true};
        sabot_status status;

        sb_os_env_fail_allocation(f->env, nth);
        status = try_open(f, "memory:?partitions=2", &until_end, &channel);
        if (status == SABOT_OK) {
            status = TYPE.prepare(channel, &f->error);
            TYPE.close(channel);
        }
        sb_os_env_fail_allocation(f->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
    }
}

/* --- Groups and transactional ids ------------------------------------------------------------- */

static sabot_status try_commit(struct fixture *f, struct sb_channel *channel, const char *group)
{
    const struct sb_offset offset = {.offset = 0};

    return TYPE.commit(channel, group, &offset, 1, &f->error);
}

static sabot_status try_txn(struct fixture *f,
                            struct sb_channel *channel,
                            const char *id,
                            int64_t timeout_ms)
{
    struct sb_txn *txn;
    const sabot_status status =
        TYPE.txn_open(channel, id, timeout_ms, f->wakers[WRITER], &txn, &f->error);

    assert_int_equal(txn != NULL, status == SABOT_OK);
    TYPE.txn_close(txn);
    return status;
}

static void names_of_groups_and_ids_have_1_to_256_bytes(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    char name[258];

    memset(name, 'x', sizeof name);
    name[257] = '\0';
    assert_int_equal(try_commit(f, channel, name), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(f->error.text, "1 to 256 bytes"));
    assert_int_equal(try_txn(f, channel, name, 1000), SABOT_ERR_ARGUMENT);
    assert_int_equal(try_commit(f, channel, ""), SABOT_ERR_ARGUMENT);
    assert_int_equal(try_txn(f, channel, "", 1000), SABOT_ERR_ARGUMENT);
    name[256] = '\0';
    assert_int_equal(try_commit(f, channel, name), SABOT_OK);
    assert_int_equal(try_txn(f, channel, name, 1000), SABOT_OK);
    TYPE.close(channel);
}

static void a_timeout_of_a_transaction_is_positive_and_fits_32_bits(void **state)
{
    static const int64_t wrong[] = {0, -1, (int64_t)INT32_MAX + 1, INT64_MAX};
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(try_txn(f, channel, "t", wrong[i]), SABOT_ERR_CONFIG);
        assert_non_null(strstr(f->error.text, "out of range"));
    }
    assert_int_equal(try_txn(f, channel, "t", INT32_MAX), SABOT_OK);
    TYPE.close(channel);
}

static void groups_and_ids_are_not_without_end(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    char name[16];

    for (int i = 0; i <= SB_LOG_GROUPS_MAX; i++) {
        (void)snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(try_commit(f, channel, name),
                         i < SB_LOG_GROUPS_MAX ? SABOT_OK : SABOT_ERR_LIMIT);
    }
    assert_non_null(strstr(f->error.text, "group g1024: the log has 1024 groups already"));
    assert_int_equal(try_commit(f, channel, "g7"), SABOT_OK);
    for (int i = 0; i <= SB_LOG_PRODUCERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(try_txn(f, channel, name, 1000),
                         i < SB_LOG_PRODUCERS_MAX ? SABOT_OK : SABOT_ERR_LIMIT);
    }
    assert_non_null(strstr(f->error.text, "id t4096: the log has 4096 of them already"));
    assert_int_equal(try_txn(f, channel, "t7", 1000), SABOT_OK);
    TYPE.close(channel);
}

static void offsets_of_what_is_not_there_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:numbers?partitions=2");
    struct sb_channel *unprepared;
    struct sb_offset offsets[2] = {{.offset = 0}};
    sabot_error *no_error = NULL;

    assert_int_equal(
        try_open(f, "memory:later", &(struct sb_channel_config){.start = "earliest"}, &unprepared),
        SABOT_OK);
    offsets[1] = (struct sb_offset){.channel = "nowhere"};
    assert_int_equal(TYPE.commit(channel, "g", offsets, 2, &f->error), SABOT_ERR_NOT_FOUND);
    assert_string_equal(f->error.text, "nowhere: the log has no such channel");
    offsets[1] = (struct sb_offset){.channel = "later"};
    assert_int_equal(TYPE.committed(channel, "g", offsets, 2, &f->error), SABOT_ERR_NOT_FOUND);
    for (int32_t partition = -1; partition <= 2; partition += 3) {
        offsets[1] = (struct sb_offset){.partition = partition};
        assert_int_equal(TYPE.commit(channel, "g", offsets, 2, &f->error), SABOT_ERR_NOT_FOUND);
        assert_int_equal(TYPE.committed(channel, "g", offsets, 2, no_error), SABOT_ERR_NOT_FOUND);
        assert_non_null(strstr(f->error.text, "among 2"));
    }
    /* And nothing of what failed was committed. */
    assert_int_equal(TYPE.committed(channel, "g", offsets, 1, &f->error), SABOT_OK);
    assert_int_equal(offsets[0].offset, SB_OFFSET_NONE);
    assert_int_equal(TYPE.commit(channel, "g", offsets, 0, &f->error), SABOT_OK);
    TYPE.close(unprepared);
    TYPE.close(channel);
}

static void a_fence_is_one_however_often_it_is_asked_for(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    struct sb_txn *old = open_txn(f, channel, "t");
    struct sb_txn *young;

    assert_int_equal(TYPE.txn_begin(old, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_fence(old, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_commit(old, &f->error), SABOT_OK);
    young = open_txn(f, channel, "t");
    assert_int_equal(TYPE.txn_fence(old, NULL), SABOT_ERR_FENCED);
    assert_int_equal(TYPE.txn_fence(old, &f->error), SABOT_ERR_FENCED);
    assert_true(f->error.fatal);
    assert_non_null(strstr(f->error.text, "another instance has taken it over"));
    TYPE.txn_close(young);
    TYPE.txn_close(old);
    TYPE.close(channel);
}

/* --- The thread that ends transactions ---------------------------------------------------------
 */

static uint32_t working_calls; /* of those below; the next one fails */

static sabot_status few_wakers(void *self, struct sb_waker **waker_out, sabot_error *error)
{
    struct sb_env *env = self;

    *waker_out = NULL;
    if (working_calls-- == 0)
        return sabot_raise(error, SABOT_ERR_IO, "no more wakers");
    return env->type->waker_create(env->self, waker_out, error);
}

static sabot_status few_threads(void *self,
                                const char *name,
                                sb_step_function step,
                                void *context,
                                struct sb_waker *waker,
                                struct sb_thread **thread_out,
                                sabot_error *error)
{
    struct sb_env *env = self;

    *thread_out = NULL;
    if (working_calls-- == 0)
        return sabot_raise(error, SABOT_ERR_IO, "no more threads");
    return env->type->spawn(env->self, name, step, context, waker, thread_out, error);
}

static void destroy_waker(void *self, struct sb_waker *waker)
{
    struct sb_env *env = self;

    env->type->waker_destroy(env->self, waker);
}

static void join_thread(void *self, struct sb_thread *thread)
{
    struct sb_env *env = self;

    env->type->join(env->self, thread);
}

static void wait_for(void *self, struct sb_waker *waker, int64_t deadline_us)
{
    struct sb_env *env = self;

    env->type->wait(env->self, waker, deadline_us);
}

static void *allocate(void *self, size_t size, size_t alignment)
{
    struct sb_env *env = self;

    return env->type->allocate(env->self, size, alignment);
}

static void release(void *self, void *memory, size_t size)
{
    struct sb_env *env = self;

    env->type->release(env->self, memory, size);
}

static int64_t now_us(void *self)
{
    return sb_now_us(self);
}

static void a_log_that_cant_start_its_thread_opens_no_transaction_until_it_can(void **state)
{
    struct fixture *f = *state;
    const struct sb_env_type type = {
        .now_us = now_us,
        .allocate = allocate,
        .release = release,
        .spawn = few_threads,
        .join = join_thread,
        .waker_create = few_wakers,
        .waker_destroy = destroy_waker,
        .wake = f->env->type->wake,
        .wait = wait_for,
    };
    const struct sb_env env = {.type = &type, .self = f->env, .log_level = SABOT_LOG_ERROR};
    struct sb_channel_config config = {
        .name = "numbers", .url = "memory:", .start = "earliest", .record_max = 1 << 20};
    struct sb_channel *channel;
    struct sb_log *log;

    working_calls = UINT32_MAX;
    assert_int_equal(sb_log_create(&env, &log, &f->error), SABOT_OK);
    config.log = log;
    assert_int_equal(TYPE.open(&env, &config, f->wakers[READER], &channel, &f->error), SABOT_OK);
    assert_int_equal(TYPE.prepare(channel, &f->error), SABOT_OK);
    working_calls = 0;
    assert_int_equal(try_txn(f, channel, "t", 1000), SABOT_ERR_IO);
    assert_string_equal(f->error.text, "no more wakers");
    working_calls = 1;
    assert_int_equal(try_txn(f, channel, "t", 1000), SABOT_ERR_IO);
    assert_string_equal(f->error.text, "no more threads");
    working_calls = 2;
    assert_int_equal(try_txn(f, channel, "t", 1000), SABOT_OK);
    TYPE.close(channel);
    sb_log_destroy(log);
}

/* --- Transactions that grow ------------------------------------------------------------------- */

enum { MANY = 20 };

/* Records and offsets of so many partitions, with no memory from the n-th allocation on. */
static sabot_status run_large_transaction(struct fixture *f, struct sb_channel *channel, uint64_t n)
{
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_writer *writer = open_writer(f, channel, txn);
    sabot_status status;

    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    sb_os_env_fail_allocation(f->env, n);
    status = SABOT_OK;
    for (int32_t i = 0; status == SABOT_OK && i < MANY; i++) {
        const struct sb_offset offset = {.partition = i, .offset = 0, .metadata = (char[]){"text"}};
        const struct sb_record record = {.value = {"some", 4}, .partition = i};

        status = TYPE.txn_offsets(txn, "g", &offset, 1, &f->error);
        if (status == SABOT_OK)
            status = TYPE.write(writer, &record, &f->error);
    }
    sb_os_env_fail_allocation(f->env, 0);
    if (status == SABOT_OK)
        status = TYPE.txn_commit(txn, &f->error);
    else
        assert_int_equal(TYPE.txn_abort(txn, NULL), SABOT_OK);
    TYPE.writer_close(writer);
    TYPE.txn_close(txn);
    return status;
}

static int32_t count_committed(struct fixture *f, struct sb_channel *channel)
{
    struct sb_offset offsets[MANY] = {{.offset = 0}};
    int32_t count = 0;

    for (int32_t i = 0; i < MANY; i++)
        offsets[i].partition = i;
    assert_int_equal(TYPE.committed(channel, "g", offsets, MANY, &f->error), SABOT_OK);
    for (int32_t i = 0; i < MANY; i++) {
        count += offsets[i].offset == 0;
        if (offsets[i].metadata != NULL)
            sb_string_free(f->env, offsets[i].metadata);
    }
    return count;
}

static void a_transaction_of_many_partitions_is_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:numbers?partitions=20");
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        status = run_large_transaction(f, channel, n);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
        assert_int_equal(count_committed(f, channel), status == SABOT_OK ? MANY : 0);
    }
    assert_true(n > MANY);
    /* What was committed is read whole or not at all as well. */
    for (n = 1; n <= MANY; n++) {
        struct sb_offset offsets[MANY] = {{.offset = 0}};

        for (int32_t i = 0; i < MANY; i++)
            offsets[i].partition = i;
        sb_os_env_fail_allocation(f->env, n);
        assert_int_equal(TYPE.committed(channel, "g", offsets, MANY, &f->error), SABOT_ERR_MEMORY);
        sb_os_env_fail_allocation(f->env, 0);
        for (int32_t i = 0; i < MANY; i++)
            assert_null(offsets[i].metadata);
    }
    TYPE.close(channel);
}

static void without_memory_no_offset_is_committed_and_no_id_made(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->env, n);
        status = try_commit(f, channel, "g");
        sb_os_env_fail_allocation(f->env, 0);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
    }
    assert_true(n > 4);
    assert_int_equal(try_txn(f, channel, "first", 1000), SABOT_OK); /* the thread is there */
    status = SABOT_ERR_MEMORY;
    for (n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->env, n);
        status = try_txn(f, channel, "t", 1000);
        sb_os_env_fail_allocation(f->env, 0);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
    }
    assert_int_equal(n, 5);
    TYPE.close(channel);
}

static void of_two_offsets_in_one_transaction_the_last_counts(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:numbers?partitions=2");
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_offset offsets[2] = {{.partition = 0}, {.partition = 1}};

    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    for (int i = 0; i < 3; i++) {
        offsets[0].metadata = (char[]){"before"};
        offsets[1].metadata = (char[]){"before"};
        assert_int_equal(TYPE.txn_offsets(txn, "g", offsets, 2, &f->error), SABOT_OK);
    }
    offsets[1].metadata = (char[]){"after"};
    assert_int_equal(TYPE.txn_offsets(txn, "g", &offsets[1], 1, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_commit(txn, &f->error), SABOT_OK);
    TYPE.txn_close(txn);
    assert_int_equal(TYPE.committed(channel, "g", offsets, 2, &f->error), SABOT_OK);
    assert_string_equal(offsets[0].metadata, "before");
    assert_string_equal(offsets[1].metadata, "after");
    sb_string_free(f->env, offsets[0].metadata);
    sb_string_free(f->env, offsets[1].metadata);
    TYPE.close(channel);
}

static void a_log_may_go_with_a_transaction_open(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:");
    struct sb_txn *txn = open_txn(f, channel, "t");
    struct sb_writer *writer = open_writer(f, channel, txn);
    const struct sb_offset offset = {.offset = 1, .metadata = (char[]){"text"}};

    assert_int_equal(TYPE.txn_begin(txn, &f->error), SABOT_OK);
    assert_int_equal(write_number(writer, 0, &f->error), SABOT_OK);
    assert_int_equal(TYPE.txn_offsets(txn, "g", &offset, 1, &f->error), SABOT_OK);
    TYPE.writer_close(writer);
    TYPE.txn_close(txn);
    TYPE.close(channel);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { THREAD_RECORDS = 40000, THREAD_WRITERS = 2, THREAD_READERS = 2 };

/* A writer's thread: numbers from 0 on, marked by whose they are. In transactions of some length,
 * of which every third is aborted and written again. */
struct writing {
    struct fixture *f;
    struct sb_waker *waker;
    struct sb_thread *thread;
    struct sb_txn *txn;
    struct sb_writer *writer;
    uint64_t who;
    uint64_t next;
    uint64_t begun_at;
    uint64_t rounds;
    bool open;
    sabot_error error;
};

/* A reader's: counts per writer. */
struct reading {
    struct fixture *f;
    struct sb_waker *waker;
    struct sb_thread *thread;
    struct sb_reader *reader;
    uint64_t next[THREAD_WRITERS];
    uint64_t wrong;
    sabot_status status;
    sabot_error error;
};

static bool in_transaction(struct writing *writing)
{
    sabot_status status = SABOT_OK;

    if (writing->txn == NULL)
        return true;
    if (writing->open &&
        (writing->next - writing->begun_at >= 50 || writing->next == THREAD_RECORDS)) {
        if (writing->rounds++ % 3 == 0) {
            status = TYPE.txn_abort(writing->txn, &writing->error);
            writing->next = writing->begun_at;
        } else {
            status = TYPE.txn_commit(writing->txn, &writing->error);
        }
        writing->open = false;
    }
    if (status == SABOT_OK && !writing->open && writing->next < THREAD_RECORDS) {
        status = TYPE.txn_begin(writing->txn, &writing->error);
        writing->begun_at = writing->next;
        writing->open = true;
    }
    return status == SABOT_OK;
}

static struct sb_step write_step(void *context)
{
    struct writing *writing = context;

    for (uint32_t i = 0; i < 100; i++) {
        sabot_status status;

        if (!in_transaction(writing) || writing->next == THREAD_RECORDS) {
            TYPE.writer_close(writing->writer);
            return sb_step_done();
        }
        status = write_number(writing->writer, writing->who << 32 | writing->next, &writing->error);
        if (status == SABOT_AGAIN)
            return sb_step_wait(INT64_MAX);
        if (status != SABOT_OK) {
            TYPE.writer_close(writing->writer);
            return sb_step_done();
        }
        writing->next++;
    }
    return sb_step_again();
}

static sabot_status check_order(void *context, const struct sb_record *record)
{
    struct reading *reading = context;
    const uint64_t number = parse_number(record->value);
    const uint64_t who = number >> 32;

    if (who >= THREAD_WRITERS || (uint32_t)number != reading->next[who])
        reading->wrong++;
    else
        reading->next[who]++;
    return SABOT_OK;
}

static struct sb_step read_step(void *context)
{
    struct reading *reading = context;

    reading->status = TYPE.poll(reading->reader, 0, 64, check_order, reading, &reading->error);
    if (reading->status == SABOT_OK)
        return sb_step_again();
    return reading->status == SABOT_AGAIN ? sb_step_wait(INT64_MAX) : sb_step_done();
}

static void start(struct fixture *f,
                  sb_step_function step,
                  void *context,
                  struct sb_waker *waker,
                  struct sb_thread **thread_out)
{
    assert_int_equal(
        f->env->type->spawn(f->env->self, "test", step, context, waker, thread_out, NULL),
        SABOT_OK);
}

static void make_waker(struct fixture *f, struct sb_waker **waker_out)
{
    assert_int_equal(f->env->type->waker_create(f->env->self, waker_out, NULL), SABOT_OK);
}

static void threads_read_all_that_threads_write_in_order(void **state)
{
    struct fixture *f = *state;
    struct sb_channel *channel = open_channel(f, "memory:?bytes=64KiB");
    struct writing writings[THREAD_WRITERS] = {0};
    struct reading readings[THREAD_READERS] = {0};
    const struct sb_reader_position none = {.offset = SB_OFFSET_NONE};

    for (uint32_t i = 0; i < THREAD_READERS; i++) {
        readings[i].f = f;
        make_waker(f, &readings[i].waker);
        assert_int_equal(
            TYPE.reader_open(channel, &none, 1, readings[i].waker, &readings[i].reader, &f->error),
            SABOT_OK);
    }
    for (uint32_t i = 0; i < THREAD_WRITERS; i++) {
        writings[i].f = f;
        writings[i].who = i;
        make_waker(f, &writings[i].waker);
        writings[i].txn = i == 0 ? NULL : open_txn(f, channel, "t");
        assert_int_equal(TYPE.writer_open(channel, writings[i].txn, writings[i].waker,
                                          &writings[i].writer, &f->error),
                         SABOT_OK);
    }
    for (uint32_t i = 0; i < THREAD_READERS; i++)
        start(f, read_step, &readings[i], readings[i].waker, &readings[i].thread);
    for (uint32_t i = 0; i < THREAD_WRITERS; i++)
        start(f, write_step, &writings[i], writings[i].waker, &writings[i].thread);
    for (uint32_t i = 0; i < THREAD_WRITERS; i++)
        f->env->type->join(f->env->self, writings[i].thread);
    for (uint32_t i = 0; i < THREAD_READERS; i++)
        f->env->type->join(f->env->self, readings[i].thread);
    for (uint32_t i = 0; i < THREAD_READERS; i++) {
        assert_int_equal(readings[i].status, SABOT_END);
        assert_int_equal(readings[i].wrong, 0);
        for (uint32_t k = 0; k < THREAD_WRITERS; k++)
            assert_int_equal(readings[i].next[k], THREAD_RECORDS);
        TYPE.reader_close(readings[i].reader);
        f->env->type->waker_destroy(f->env->self, readings[i].waker);
    }
    for (uint32_t i = 0; i < THREAD_WRITERS; i++) {
        TYPE.txn_close(writings[i].txn);
        f->env->type->waker_destroy(f->env->self, writings[i].waker);
    }
    TYPE.close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(with_nobody_to_read_the_oldest_goes),
        TEST(an_open_reader_holds_its_writer_back_until_it_goes),
        TEST(an_offset_that_is_only_a_mark_holds_no_records),
        TEST(a_group_holds_from_its_first_commit_on),
        TEST(a_reader_at_its_end_holds_nothing),
        TEST(a_transaction_that_all_wait_for_may_fill_the_log_once_more),
        TEST(records_as_large_as_a_partition_pass_one_by_one),
        TEST(a_channel_ends_when_it_had_writers_and_has_none),
        TEST(the_end_waits_for_open_transactions),
        TEST(partitions_are_what_any_url_says_until_one_is_prepared),
        TEST(a_bad_url_is_refused),
        TEST(latest_begins_behind_what_is_there),
        TEST(bad_use_is_refused),
        TEST(without_memory_calls_fail_and_nothing_is_half_done),
        TEST(without_memory_a_channel_is_not_opened),
        TEST(names_of_groups_and_ids_have_1_to_256_bytes),
        TEST(a_timeout_of_a_transaction_is_positive_and_fits_32_bits),
        TEST(groups_and_ids_are_not_without_end),
        TEST(offsets_of_what_is_not_there_are_refused),
        TEST(a_fence_is_one_however_often_it_is_asked_for),
        TEST(a_log_that_cant_start_its_thread_opens_no_transaction_until_it_can),
        TEST(a_transaction_of_many_partitions_is_whole_or_not_at_all),
        TEST(without_memory_no_offset_is_committed_and_no_id_made),
        TEST(of_two_offsets_in_one_transaction_the_last_counts),
        TEST(a_log_may_go_with_a_transaction_open),
        TEST(threads_read_all_that_threads_write_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
