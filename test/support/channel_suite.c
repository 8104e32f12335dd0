/* SPDX-License-Identifier: Apache-2.0 */
/* channel_suite.c - the conformance suite of channels; see the header for how to use it. This file
 * has the tests without transactions; channel_suite_txn.c has the others.
 *
 * Each test works on a channel of its own. Wakers are one per object, so a test proves that the
 * object itself wakes its waiter. */
#include "channel_suite_internal.h"

#include <inttypes.h>

#include "base/hash.h"

const struct channel_suite *channel_suite;

/* --- Fixture ---------------------------------------------------------------------------------- */

int suite_setup(void **state)
{
    struct suite *s = calloc(1, sizeof *s);

    if (s == NULL || sb_os_env_create(&s->os, NULL) != SABOT_OK)
        return -1;
    if (channel_suite->setup != NULL)
        s->context = channel_suite->setup(s->os);
    s->env = channel_suite->env == NULL ? s->os : channel_suite->env(s->context);
    for (uint32_t i = 0; i < SUITE_WAKERS; i++) {
        if (s->env->type->waker_create(s->env->self, &s->wakers[i], NULL) != SABOT_OK)
            return -1;
    }
    (void)snprintf(s->name, sizeof s->name, "suite-%016" PRIx64, sb_random(s->env));
    *state = s;
    return 0;
}

int suite_teardown(void **state)
{
    struct suite *s = *state;

    for (uint32_t i = 0; i < SUITE_WAKERS; i++)
        s->env->type->waker_destroy(s->env->self, s->wakers[i]);
    if (channel_suite->teardown != NULL)
        channel_suite->teardown(s->context);
    sb_os_env_destroy(s->os);
    free(s->taken);
    free(s);
    return 0;
}

int64_t suite_deadline(const struct suite *s)
{
    return sb_now_us(s->env) + channel_suite->patience_ms * 1000;
}

void suite_wait(const struct suite *s, enum suite_waker which, int64_t deadline_us)
{
    if (sb_now_us(s->env) >= deadline_us)
        fail_msg("nothing happened for %" PRId64 " ms", channel_suite->patience_ms);
    if (channel_suite->wait != NULL)
        channel_suite->wait(s->context);
    else
        s->env->type->wait(s->env->self, s->wakers[which], deadline_us);
}

void suite_ok(const struct suite *s, sabot_status status)
{
    if (status != SABOT_OK)
        fail_msg("%s: %s", sabot_status_name(status), s->error.text);
}

/* --- Channels --------------------------------------------------------------------------------- */

struct sb_channel *suite_open_as(struct suite *s,
                                 enum suite_waker waker,
                                 const char *name,
                                 int32_t partitions,
                                 const struct sb_channel_config *like)
{
    const struct sb_channel_type *type = channel_suite->type;
    const int64_t deadline_us = suite_deadline(s);
    struct sb_channel_config config = *like;
    struct sb_channel *channel;
    char url[1024];
    sabot_status status;

    channel_suite->url(s->context, name, partitions, url, sizeof url);
    config.name = name;
    config.url = url;
    config.with_headers = true;
    if (config.record_max == 0)
        config.record_max = 1 << 20;
    if (config.buffer_bytes == 0)
        config.buffer_bytes = 1 << 24;
    if (config.start == NULL)
        config.start = "earliest";
    if (channel_suite->configure != NULL)
        channel_suite->configure(s->context, &config);
    suite_ok(s, type->open(s->env, &config, s->wakers[waker], &channel, &s->error));
    while ((status = type->prepare(channel, &s->error)) == SABOT_AGAIN)
        suite_wait(s, waker, deadline_us);
    suite_ok(s, status);
    assert_int_equal(type->partition_count(channel), partitions);
    return channel;
}

struct sb_channel *suite_open_writing(struct suite *s, const char *name, int32_t partitions)
{
    return suite_open_as(s, SUITE_WRITING, name, partitions,
                         &(struct sb_channel_config){.for_writing = true});
}

struct sb_channel *suite_open_reading(struct suite *s, const char *name, int32_t partitions)
{
    return suite_open_as(s, SUITE_READING, name, partitions,
                         &(struct sb_channel_config){.for_reading = true});
}

void suite_close(struct sb_channel *channel)
{
    channel_suite->type->close(channel);
}

/* --- Writing ---------------------------------------------------------------------------------- */

struct sb_writer *suite_writer(struct suite *s, struct sb_channel *channel, struct sb_txn *txn)
{
    struct sb_writer *writer;

    suite_ok(s, channel_suite->type->writer_open(channel, txn, s->wakers[SUITE_WRITER], &writer,
                                                 &s->error));
    return writer;
}

sabot_status suite_try_write(struct suite *s,
                             struct sb_writer *writer,
                             const struct sb_record *record)
{
    const int64_t deadline_us = suite_deadline(s);
    sabot_status status;

    while ((status = channel_suite->type->write(writer, record, &s->error)) == SABOT_AGAIN)
        suite_wait(s, SUITE_WRITER, deadline_us);
    return status;
}

void suite_write(struct suite *s, struct sb_writer *writer, int32_t partition, const char *value)
{
    const struct sb_record record = {
        .value = sabot_text_of(value), .partition = partition, .timestamp_ms = SB_TIMESTAMP_NOW};

    suite_ok(s, suite_try_write(s, writer, &record));
}

void suite_write_number(struct suite *s, struct sb_writer *writer, int32_t partition, uint32_t n)
{
    char value[32];

    (void)snprintf(value, sizeof value, "%" PRIu32, n);
    suite_write(s, writer, partition, value);
}

sabot_status suite_try_flush(struct suite *s, struct sb_writer *writer)
{
    const int64_t deadline_us = suite_deadline(s);
    sabot_status status;

    while ((status = channel_suite->type->flush(writer, &s->error)) == SABOT_AGAIN)
        suite_wait(s, SUITE_WRITER, deadline_us);
    return status;
}

void suite_flush(struct suite *s, struct sb_writer *writer)
{
    suite_ok(s, suite_try_flush(s, writer));
}

void suite_writer_close(struct sb_writer *writer)
{
    channel_suite->type->writer_close(writer);
}

/* A channel with `count` numbered records, dealt out to its partitions in turn. */
static void fill(struct suite *s, int32_t partitions, uint32_t count)
{
    struct sb_channel *channel = suite_open_writing(s, s->name, partitions);
    struct sb_writer *writer = suite_writer(s, channel, NULL);

    for (uint32_t i = 0; i < count; i++)
        suite_write_number(s, writer, (int32_t)(i % (uint32_t)partitions), i);
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct sb_reader *suite_reader_at(struct suite *s,
                                  struct sb_channel *channel,
                                  const struct sb_reader_position *positions,
                                  uint32_t count)
{
    struct sb_reader *reader;

    suite_ok(s, channel_suite->type->reader_open(channel, positions, count, s->wakers[SUITE_READER],
                                                 &reader, &s->error));
    return reader;
}

struct sb_reader *suite_reader(struct suite *s, struct sb_channel *channel)
{
    struct sb_reader_position positions[SUITE_PARTITIONS_MAX];
    const int32_t count = channel_suite->type->partition_count(channel);

    assert_in_range(count, 1, SUITE_PARTITIONS_MAX);
    for (int32_t i = 0; i < count; i++)
        positions[i] = (struct sb_reader_position){.partition = i, .offset = SB_OFFSET_NONE};
    return suite_reader_at(s, channel, positions, (uint32_t)count);
}

void suite_reader_close(struct sb_reader *reader)
{
    channel_suite->type->reader_close(reader);
}

static sabot_status keep(void *context, const struct sb_record *record)
{
    struct suite *s = context;
    struct suite_record *kept;

    if (s->answer != SABOT_OK && s->answer != SABOT_AGAIN)
        return s->answer;
    if (s->taken_count == s->taken_capacity) {
        s->taken_capacity = s->taken_capacity == 0 ? 64 : s->taken_capacity * 2;
        s->taken = realloc(s->taken, s->taken_capacity * sizeof *s->taken);
        if (s->taken == NULL)
            abort();
    }
    kept = &s->taken[s->taken_count++];
    *kept = (struct suite_record){.partition = record->partition,
                                  .offset = record->offset,
                                  .next_offset = record->next_offset,
                                  .timestamp_ms = record->timestamp_ms,
                                  .arrival_us = record->arrival_us,
                                  .has_value = record->value.data != NULL,
                                  .value_size = record->value.size};
    (void)snprintf(kept->value, sizeof kept->value, "%.*s",
                   (int)(record->value.size < 256 ? record->value.size : 256),
                   record->value.data == NULL ? "" : record->value.data);
    return s->answer;
}

sabot_status suite_poll(struct suite *s, struct sb_reader *reader, uint32_t index, uint32_t max)
{
    return channel_suite->type->poll(reader, index, max, keep, s, &s->error);
}

/* Poll until something but SABOT_AGAIN comes. */
sabot_status suite_poll_wait(struct suite *s,
                             struct sb_reader *reader,
                             uint32_t index,
                             uint32_t max)
{
    const int64_t deadline_us = suite_deadline(s);
    sabot_status status;

    while ((status = suite_poll(s, reader, index, max)) == SABOT_AGAIN)
        suite_wait(s, SUITE_READER, deadline_us);
    return status;
}

void suite_take(struct suite *s, struct sb_reader *reader, uint32_t partitions, uint32_t count)
{
    const int64_t deadline_us = suite_deadline(s);

    s->taken_count = 0;
    while (s->taken_count < count) {
        uint32_t idle = 0;

        for (uint32_t i = 0; i < partitions && s->taken_count < count; i++) {
            const sabot_status status = suite_poll(s, reader, i, count - s->taken_count);

            if (status == SABOT_AGAIN || status == SABOT_END)
                idle++;
            else
                suite_ok(s, status);
        }
        if (idle == partitions)
            suite_wait(s, SUITE_READER, deadline_us);
    }
    assert_int_equal(s->taken_count, count);
}

/* Read every partition to its end. */
static void take_all(struct suite *s, struct sb_reader *reader, uint32_t partitions)
{
    s->taken_count = 0;
    for (uint32_t i = 0; i < partitions; i++) {
        sabot_status status;

        while ((status = suite_poll_wait(s, reader, i, 100)) == SABOT_OK)
            continue;
        assert_int_equal(status, SABOT_END);
    }
}

/* A reader's channel that ends with what is there now. */
struct sb_channel *suite_open_until_end(struct suite *s, const char *name, int32_t partitions)
{
    return suite_open_as(s, SUITE_READING, name, partitions,
                         &(struct sb_channel_config){.for_reading = true, .until_end = true});
}

void suite_read_all(struct suite *s, const char *name, int32_t partitions)
{
    struct sb_channel *channel = suite_open_until_end(s, name, partitions);
    struct sb_reader *reader = suite_reader(s, channel);

    take_all(s, reader, (uint32_t)partitions);
    suite_reader_close(reader);
    suite_close(channel);
}

uint32_t suite_number(const struct suite_record *record)
{
    return (uint32_t)strtoul(record->value, NULL, 10);
}

/* --- Order and partitions --------------------------------------------------------------------- */

static void records_come_back_in_order_per_partition(void **state)
{
    struct suite *s = *state;
    const int32_t partitions = channel_suite->partitions_max < 3 ? 1 : 3;
    uint32_t next[3] = {0, 1, 2};
    int64_t offset[3] = {-1, -1, -1};

    fill(s, partitions, channel_suite->many);
    suite_read_all(s, s->name, partitions);
    assert_int_equal(s->taken_count, channel_suite->many);
    for (uint32_t i = 0; i < s->taken_count; i++) {
        const struct suite_record *record = &s->taken[i];

        assert_in_range(record->partition, 0, partitions - 1);
        assert_int_equal(suite_number(record), next[record->partition]);
        assert_true(record->offset > offset[record->partition]);
        assert_true(record->next_offset > record->offset);
        next[record->partition] += (uint32_t)partitions;
        offset[record->partition] = record->offset;
    }
}

static void a_key_goes_to_the_partition_of_its_murmur2(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel = suite_open_writing(s, s->name, 4);
    struct sb_writer *writer = suite_writer(s, channel, NULL);

    for (uint32_t i = 0; i < 100; i++) {
        char key[32];
        const int size = snprintf(key, sizeof key, "account-%" PRIu32, i);
        const struct sb_record record = {.key = {key, (size_t)size},
                                         .value = {key, (size_t)size},
                                         .partition = SB_PARTITION_ANY,
                                         .timestamp_ms = SB_TIMESTAMP_NOW};

        suite_ok(s, suite_try_write(s, writer, &record));
    }
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    suite_read_all(s, s->name, 4);
    assert_int_equal(s->taken_count, 100);
    for (uint32_t i = 0; i < s->taken_count; i++) {
        const struct suite_record *record = &s->taken[i];

        assert_int_equal(record->partition,
                         sb_partition_of_key(record->value, strlen(record->value), 4));
    }
}

static void records_without_a_key_are_all_kept(void **state)
{
    struct suite *s = *state;
    const int32_t partitions = channel_suite->partitions_max < 3 ? 1 : 3;
    struct sb_channel *channel = suite_open_writing(s, s->name, partitions);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 300; i++)
        suite_write_number(s, writer, SB_PARTITION_ANY, i);
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    suite_read_all(s, s->name, partitions);
    assert_int_equal(s->taken_count, 300);
    for (uint32_t i = 0; i < s->taken_count; i++)
        sum += suite_number(&s->taken[i]);
    assert_int_equal(sum, 300 * 299 / 2);
}

static void a_reader_reads_the_partitions_it_was_given(void **state)
{
    struct suite *s = *state;
    const struct sb_reader_position positions[] = {{.partition = 2, .offset = SB_OFFSET_NONE},
                                                   {.partition = 0, .offset = SB_OFFSET_NONE}};
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 3, 30);
    channel = suite_open_until_end(s, s->name, 3);
    reader = suite_reader_at(s, channel, positions, 2);
    take_all(s, reader, 2);
    assert_int_equal(s->taken_count, 20);
    for (uint32_t i = 0; i < s->taken_count; i++)
        assert_int_equal(s->taken[i].partition, i < 10 ? 2 : 0);
    suite_reader_close(reader);
    suite_close(channel);
}

static void a_partition_that_is_not_there_is_refused(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel = suite_open_writing(s, s->name, 2);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    const struct sb_record record = {.value = sabot_text_of("x"), .partition = 2};

    assert_int_equal(suite_try_write(s, writer, &record), SABOT_ERR_ARGUMENT);
    suite_write(s, writer, 1, "y");
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    suite_read_all(s, s->name, 2);
    assert_int_equal(s->taken_count, 1);
}

/* --- What a record is made of ----------------------------------------------------------------- */

struct expected {
    uint32_t checked;
    sabot_text key;
    sabot_text value;
    struct sb_header headers[3];
    uint32_t header_count;
    int64_t timestamp_ms;
    char wrong[64];
};

static bool same_text(sabot_text one, sabot_text other, bool nulls)
{
    if (nulls && (one.data == NULL) != (other.data == NULL))
        return false;
    if (one.data == NULL || other.data == NULL)
        return one.size == 0 && other.size == 0;
    return one.size == other.size && memcmp(one.data, other.data, one.size) == 0;
}

static sabot_status compare(void *context, const struct sb_record *record)
{
    struct expected *expected = context;
    const char *wrong = NULL;

    if (!same_text(record->value, expected->value, channel_suite->nulls))
        wrong = "value";
    if (channel_suite->keys && !same_text(record->key, expected->key, channel_suite->nulls))
        wrong = "key";
    if (channel_suite->timestamps && record->timestamp_ms != expected->timestamp_ms)
        wrong = "timestamp";
    if (channel_suite->headers) {
        if (record->header_count != expected->header_count)
            wrong = "number of headers";
        for (uint32_t i = 0; wrong == NULL && i < expected->header_count; i++) {
            if (!same_text(record->headers[i].name, expected->headers[i].name, false) ||
                !same_text(record->headers[i].value, expected->headers[i].value, true))
                wrong = "header";
        }
    }
    if (wrong != NULL)
        (void)snprintf(expected->wrong, sizeof expected->wrong, "%s", wrong);
    expected->checked++;
    return SABOT_OK;
}

static void write_and_compare(struct suite *s, struct expected *expected)
{
    const struct channel_suite *suite = channel_suite;
    struct sb_channel *channel = suite_open_writing(s, s->name, 1);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    const struct sb_record record = {.key = expected->key,
                                     .value = expected->value,
                                     .headers = expected->headers,
                                     .header_count = expected->header_count,
                                     .timestamp_ms = expected->timestamp_ms};
    struct sb_reader *reader;
    sabot_status status;

    suite_ok(s, suite_try_write(s, writer, &record));
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    const int64_t deadline_us = suite_deadline(s);
    while ((status = suite->type->poll(reader, 0, 10, compare, expected, &s->error)) == SABOT_AGAIN)
        suite_wait(s, SUITE_READER, deadline_us);
    suite_ok(s, status);
    assert_int_equal(expected->checked, 1);
    assert_string_equal(expected->wrong, "");
    suite_reader_close(reader);
    suite_close(channel);
}

static void key_value_headers_and_timestamp_come_back(void **state)
{
    struct expected expected = {
        .key = {"k\0y", 3},
        .value = {"v\0\xff lue", 7},
        .headers = {{{"a", 1}, {"1\0", 2}}, {{"b", 1}, {"", 0}}, {{"a", 1}, {NULL, 0}}},
        .header_count = 3,
        .timestamp_ms = 1234567890123,
    };

    if (!channel_suite->keys) /* lines of text: no NUL, no invalid UTF-8 */
        expected.value = sabot_text_of("{\"a\":1}");
    write_and_compare(*state, &expected);
}

static void an_empty_key_and_value_are_not_none(void **state)
{
    struct expected expected = {.key = {"", 0}, .value = {"", 0}, .timestamp_ms = 1};

    write_and_compare(*state, &expected);
}

static void no_key_and_no_value_are_not_empty(void **state)
{
    struct expected expected = {.timestamp_ms = 1};

    write_and_compare(*state, &expected);
}

static void a_record_without_a_time_gets_the_wall_clock(void **state)
{
    struct suite *s = *state;
    const int64_t before_ms = sb_wall_ms(s->env);

    fill(s, 1, 1);
    suite_read_all(s, s->name, 1);
    assert_int_equal(s->taken_count, 1);
    assert_true(s->taken[0].timestamp_ms >= before_ms);
    assert_true(s->taken[0].timestamp_ms <= sb_wall_ms(s->env));
    assert_true(s->taken[0].arrival_us <= sb_now_us(s->env));
}

static void a_record_that_is_too_large_is_refused_and_the_others_go_on(void **state)
{
    struct suite *s = *state;
    const struct sb_channel_config small = {.for_writing = true, .record_max = 1000};
    struct sb_channel *channel = suite_open_as(s, SUITE_WRITING, s->name, 1, &small);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    char bytes[1001];
    struct sb_record record = {.value = {bytes, sizeof bytes}, .timestamp_ms = SB_TIMESTAMP_NOW};

    memset(bytes, '7', sizeof bytes);
    suite_write(s, writer, 0, "1");
    assert_int_equal(suite_try_write(s, writer, &record), SABOT_ERR_LIMIT);
    record.value.size = 1000;
    suite_ok(s, suite_try_write(s, writer, &record));
    suite_write(s, writer, 0, "2");
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    suite_read_all(s, s->name, 1);
    assert_int_equal(s->taken_count, 3);
    assert_int_equal(s->taken[1].value_size, 1000);
    assert_int_equal(suite_number(&s->taken[2]), 2);
}

static void a_reader_steps_behind_a_record_that_is_too_large(void **state)
{
    struct suite *s = *state;
    const struct sb_channel_config small = {
        .for_reading = true, .until_end = true, .record_max = 100};
    struct sb_channel *channel = suite_open_writing(s, s->name, 1);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    struct sb_reader *reader;
    char bytes[200];
    const struct sb_record large = {.value = {bytes, sizeof bytes},
                                    .timestamp_ms = SB_TIMESTAMP_NOW};

    memset(bytes, '7', sizeof bytes);
    suite_write(s, writer, 0, "1");
    suite_ok(s, suite_try_write(s, writer, &large));
    suite_write(s, writer, 0, "2");
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);

    channel = suite_open_as(s, SUITE_READING, s->name, 1, &small);
    reader = suite_reader(s, channel);
    suite_ok(s, suite_poll_wait(s, reader, 0, 10));
    assert_int_equal(suite_poll_wait(s, reader, 0, 10), SABOT_ERR_LIMIT);
    assert_true(strlen(s->error.text) > 0);
    suite_ok(s, suite_poll_wait(s, reader, 0, 10));
    assert_int_equal(suite_poll_wait(s, reader, 0, 10), SABOT_END);
    assert_int_equal(s->taken_count, 2);
    assert_int_equal(suite_number(&s->taken[1]), 2);
    suite_reader_close(reader);
    suite_close(channel);
}

/* --- Positions -------------------------------------------------------------------------------- */

static void reading_goes_on_from_a_position(void **state)
{
    struct suite *s = *state;
    struct sb_reader_position position;
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 100);
    for (uint32_t first = 0; first < 100; first += 25) {
        channel = suite_open_until_end(s, s->name, 1);
        reader = first == 0 ? suite_reader(s, channel) : suite_reader_at(s, channel, &position, 1);
        suite_take(s, reader, 1, 25);
        for (uint32_t i = 0; i < 25; i++)
            assert_int_equal(suite_number(&s->taken[i]), first + i);
        channel_suite->type->position(reader, 0, &position);
        assert_int_equal(position.partition, 0);
        assert_int_equal(position.offset, s->taken[24].next_offset);
        suite_reader_close(reader);
        suite_close(channel);
    }
}

static void a_seek_goes_back_and_forth(void **state)
{
    struct suite *s = *state;
    struct sb_reader_position positions[2];
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 60);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    suite_take(s, reader, 1, 20);
    channel_suite->type->position(reader, 0, &positions[0]);
    suite_take(s, reader, 1, 20);
    channel_suite->type->position(reader, 0, &positions[1]);
    for (uint32_t round = 0; round < 3; round++) {
        suite_ok(s, channel_suite->type->seek(reader, &positions[round % 2], &s->error));
        suite_take(s, reader, 1, 20);
        assert_int_equal(suite_number(&s->taken[0]), round % 2 == 0 ? 20 : 40);
        assert_int_equal(suite_number(&s->taken[19]), round % 2 == 0 ? 39 : 59);
    }
    suite_reader_close(reader);
    suite_close(channel);
}

static void a_position_that_is_not_there_is_refused(void **state)
{
    struct suite *s = *state;
    const struct sb_reader_position position = {.offset = 1000000};
    struct sb_channel *channel;
    struct sb_reader *reader;
    sabot_status status;

    fill(s, 1, 10);
    channel = suite_open_reading(s, s->name, 1);
    status = channel_suite->type->reader_open(channel, &position, 1, s->wakers[SUITE_READER],
                                              &reader, &s->error);
    if (status == SABOT_OK) {
        status = suite_poll_wait(s, reader, 0, 10);
        suite_reader_close(reader);
    }
    assert_int_equal(status, SABOT_ERR_NOT_FOUND);
    assert_true(strlen(s->error.text) > 0);
    suite_close(channel);
}

static void a_place_names_the_record(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;
    char text[SB_PLACE_MAX];
    char cut[5] = "....";

    fill(s, 1, 20);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    suite_take(s, reader, 1, 18);
    channel_suite->type->place(reader, 0, s->taken[17].offset, text, sizeof text);
    assert_non_null(memchr(text, '\0', sizeof text));
    /* Offset 17 of a log is line 18 of a file. */
    assert_true(strstr(text, "17") != NULL || strstr(text, "18") != NULL);
    channel_suite->type->place(reader, 0, s->taken[17].offset, cut, sizeof cut);
    assert_non_null(memchr(cut, '\0', sizeof cut));
    suite_reader_close(reader);
    suite_close(channel);
}

static void lag_is_what_was_not_taken_or_unknown(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;
    int64_t lag;

    fill(s, 1, 20);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    suite_take(s, reader, 1, 5);
    lag = channel_suite->type->lag(reader, 0);
    assert_true(lag == 15 || lag == -1);
    suite_take(s, reader, 1, 15);
    assert_int_equal(suite_poll_wait(s, reader, 0, 1), SABOT_END);
    lag = channel_suite->type->lag(reader, 0);
    assert_true(lag == 0 || lag == -1);
    suite_reader_close(reader);
    suite_close(channel);
}

/* --- Poll ------------------------------------------------------------------------------------- */

static void a_poll_shows_at_most_what_was_asked_for(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 50);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    for (uint32_t before = 0; before < 50; before = s->taken_count) {
        suite_ok(s, suite_poll_wait(s, reader, 0, 7));
        assert_in_range(s->taken_count - before, 1, 7);
    }
    assert_int_equal(suite_poll_wait(s, reader, 0, 7), SABOT_END);
    assert_int_equal(s->taken_count, 50);
    suite_reader_close(reader);
    suite_close(channel);
}

static void who_is_shown_a_record_decides_how_far_a_poll_goes(void **state)
{
    struct suite *s = *state;
    struct sb_reader_position before;
    struct sb_reader_position after;
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 10);
    channel = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, channel);
    s->answer = SABOT_AGAIN; /* taken, stop behind it */
    suite_ok(s, suite_poll_wait(s, reader, 0, 10));
    assert_int_equal(s->taken_count, 1);
    channel_suite->type->position(reader, 0, &before);
    assert_int_equal(before.offset, s->taken[0].next_offset);

    s->answer = SABOT_END; /* not taken, stop before it */
    suite_ok(s, suite_poll_wait(s, reader, 0, 10));
    s->answer = SABOT_ERR_USER; /* not taken, an error */
    (void)snprintf(s->error.text, sizeof s->error.text, "mine");
    assert_int_equal(suite_poll_wait(s, reader, 0, 10), SABOT_ERR_USER);
    assert_string_equal(s->error.text, "mine");
    channel_suite->type->position(reader, 0, &after);
    assert_int_equal(after.offset, before.offset);

    s->answer = SABOT_OK;
    suite_take(s, reader, 1, 9);
    assert_int_equal(suite_number(&s->taken[0]), 1);
    suite_reader_close(reader);
    suite_close(channel);
}

static void stop_takes_no_more_and_keeps_the_position(void **state)
{
    struct suite *s = *state;
    struct sb_reader_position before;
    struct sb_reader_position after;
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 10);
    channel = suite_open_reading(s, s->name, 1);
    reader = suite_reader(s, channel);
    suite_take(s, reader, 1, 4);
    channel_suite->type->position(reader, 0, &before);
    channel_suite->type->stop(reader);
    assert_int_equal(suite_poll_wait(s, reader, 0, 10), SABOT_END);
    assert_int_equal(suite_poll_wait(s, reader, 0, 10), SABOT_END);
    channel_suite->type->position(reader, 0, &after);
    assert_int_equal(after.offset, before.offset);
    assert_int_equal(s->taken_count, 4);
    suite_reader_close(reader);
    suite_close(channel);
}

static void until_end_is_the_end_when_prepared(void **state)
{
    struct suite *s = *state;
    struct sb_channel *writing = suite_open_writing(s, s->name, 1);
    struct sb_writer *writer = suite_writer(s, writing, NULL);
    struct sb_channel *reading;
    struct sb_reader *reader;

    for (uint32_t i = 0; i < 10; i++)
        suite_write_number(s, writer, 0, i);
    suite_flush(s, writer);
    reading = suite_open_until_end(s, s->name, 1);
    assert_true(channel_suite->type->finite(reading));
    for (uint32_t i = 10; i < 20; i++)
        suite_write_number(s, writer, 0, i);
    suite_flush(s, writer);
    reader = suite_reader(s, reading);
    take_all(s, reader, 1);
    assert_int_equal(s->taken_count, 10);
    suite_reader_close(reader);
    suite_close(reading);
    suite_writer_close(writer);
    suite_close(writing);
}

static void an_empty_channel_ends_at_once_with_until_end(void **state)
{
    struct suite *s = *state;

    fill(s, 1, 0);
    suite_read_all(s, s->name, 1);
    assert_int_equal(s->taken_count, 0);
}

/* --- Both sides open -------------------------------------------------------------------------- */

static void a_reader_is_woken_by_a_write(void **state)
{
    struct suite *s = *state;
    struct sb_channel *writing = suite_open_writing(s, s->name, 1);
    struct sb_writer *writer = suite_writer(s, writing, NULL);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);

    assert_int_equal(suite_poll(s, reader, 0, 10), SABOT_AGAIN);
    for (uint32_t i = 0; i < 20; i++) {
        suite_write_number(s, writer, 0, i);
        suite_flush(s, writer);
        suite_take(s, reader, 1, 1);
        assert_int_equal(suite_number(&s->taken[0]), i);
        assert_int_equal(suite_poll(s, reader, 0, 10), SABOT_AGAIN);
    }
    suite_reader_close(reader);
    suite_close(reading);
    suite_writer_close(writer);
    suite_close(writing);
}

static void two_readers_see_the_same(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channels[2];
    struct sb_reader *readers[2];

    fill(s, 1, 40);
    for (uint32_t i = 0; i < 2; i++) {
        channels[i] = suite_open_reading(s, s->name, 1);
        readers[i] = suite_reader(s, channels[i]);
    }
    assert_true(channel_suite->type->same(channels[0], channels[1]));
    for (uint32_t i = 0; i < 4; i++) {
        suite_take(s, readers[i % 2], 1, 20);
        assert_int_equal(suite_number(&s->taken[0]), i < 2 ? 0 : 20);
    }
    for (uint32_t i = 0; i < 2; i++) {
        suite_reader_close(readers[i]);
        suite_close(channels[i]);
    }
}

static void channels_of_two_names_are_not_the_same(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channels[2];
    char other[sizeof s->name + 8];

    (void)snprintf(other, sizeof other, "%s-other", s->name);
    channels[0] = suite_open_writing(s, s->name, 1);
    channels[1] = suite_open_writing(s, other, 1);
    assert_false(channel_suite->type->same(channels[0], channels[1]));
    assert_true(strlen(channel_suite->type->guarantee(channels[0])) > 0);
    suite_close(channels[1]);
    suite_close(channels[0]);
}

static void a_reader_ends_when_the_last_writer_has_closed(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;

    fill(s, 1, 10);
    channel = suite_open_reading(s, s->name, 1);
    assert_true(channel_suite->type->finite(channel));
    reader = suite_reader(s, channel);
    take_all(s, reader, 1);
    assert_int_equal(s->taken_count, 10);
    suite_reader_close(reader);
    suite_close(channel);
}

static void a_full_channel_makes_its_writer_wait(void **state)
{
    struct suite *s = *state;
    const struct sb_channel_config small = {.for_writing = true, .buffer_bytes = 65536};
    struct sb_channel *writing = suite_open_as(s, SUITE_WRITING, s->name, 1, &small);
    struct sb_writer *writer = suite_writer(s, writing, NULL);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);
    uint32_t written = 0;
    uint32_t read = 0;
    uint32_t waits = 0;

    while (written < 20000) {
        const int64_t deadline_us = suite_deadline(s);
        char value[64];
        const int size = snprintf(value, sizeof value, "%-60" PRIu32, written);
        const struct sb_record record = {.value = {value, (size_t)size}};
        const sabot_status status = channel_suite->type->write(writer, &record, &s->error);

        if (status == SABOT_OK) {
            written++;
            continue;
        }
        assert_int_equal(status, SABOT_AGAIN);
        waits++;
        suite_take(s, reader, 1, written - read);
        for (uint32_t i = 0; i < s->taken_count; i++)
            assert_int_equal(suite_number(&s->taken[i]), read++);
        suite_wait(s, SUITE_WRITER, deadline_us);
    }
    assert_true(waits > 1);
    suite_reader_close(reader);
    suite_close(reading);
    suite_writer_close(writer);
    suite_close(writing);
}

/* --- Groups ----------------------------------------------------------------------------------- */

void suite_commit(struct suite *s,
                  struct sb_channel *channel,
                  const char *group,
                  const struct sb_offset *offsets,
                  uint32_t count)
{
    const int64_t deadline_us = suite_deadline(s);
    sabot_status status;

    while ((status = channel_suite->type->commit(channel, group, offsets, count, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_READING, deadline_us);
    suite_ok(s, status);
}

void suite_expect_offset(struct suite *s,
                         struct sb_channel *channel,
                         const char *group,
                         int32_t partition,
                         int64_t offset,
                         const char *metadata)
{
    const int64_t deadline_us = suite_deadline(s);
    struct sb_offset found = {.partition = partition};
    sabot_status status;

    while ((status = channel_suite->type->committed(channel, group, &found, 1, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_READING, deadline_us);
    suite_ok(s, status);
    assert_int_equal(found.partition, partition);
    assert_int_equal(found.offset, offset);
    /* A transport may not tell no metadata from an empty one. */
    assert_string_equal(found.metadata == NULL ? "" : found.metadata, metadata);
    sb_string_free(s->env, found.metadata);
}

static void offsets_are_kept_by_group_with_their_metadata(void **state)
{
    struct suite *s = *state;
    struct sb_channel *channel;
    char group[2][sizeof s->name + 8];
    struct sb_offset offsets[2] = {{.partition = 0, .offset = 3, .metadata = (char[]){"one"}},
                                   {.partition = 1, .offset = 4}};

    (void)snprintf(group[0], sizeof group[0], "%s-a", s->name);
    (void)snprintf(group[1], sizeof group[1], "%s-b", s->name);
    fill(s, 2, 20);
    channel = suite_open_reading(s, s->name, 2);
    suite_expect_offset(s, channel, group[0], 0, SB_OFFSET_NONE, "");
    suite_commit(s, channel, group[0], offsets, 2);
    suite_expect_offset(s, channel, group[0], 0, 3, "one");
    suite_expect_offset(s, channel, group[0], 1, 4, "");
    suite_expect_offset(s, channel, group[1], 0, SB_OFFSET_NONE, "");
    offsets[0].channel = s->name; /* by name it is the same */
    offsets[0].offset = 1;
    offsets[0].metadata = (char[]){"back"};
    suite_commit(s, channel, group[0], offsets, 1);
    suite_commit(s, channel, group[1], &offsets[1], 1);
    suite_expect_offset(s, channel, group[0], 0, 1, "back");
    suite_expect_offset(s, channel, group[0], 1, 4, "");
    suite_expect_offset(s, channel, group[1], 0, SB_OFFSET_NONE, "");
    suite_expect_offset(s, channel, group[1], 1, 4, "");
    suite_close(channel);

    channel = suite_open_reading(s, s->name, 2);
    suite_expect_offset(s, channel, group[0], 0, 1, "back");
    suite_close(channel);
}

static void metadata_has_a_limit(void **state)
{
    struct suite *s = *state;
    char *text = malloc(SB_OFFSET_METADATA_MAX + 2);
    const struct sb_offset offset = {.offset = 1, .metadata = text};
    struct sb_channel *channel;
    int64_t deadline_us;
    sabot_status status;

    assert_non_null(text);
    memset(text, 'm', SB_OFFSET_METADATA_MAX + 1);
    text[SB_OFFSET_METADATA_MAX + 1] = '\0';
    fill(s, 1, 2);
    channel = suite_open_reading(s, s->name, 1);
    deadline_us = suite_deadline(s);
    while ((status = channel_suite->type->commit(channel, s->name, &offset, 1, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_READING, deadline_us);
    assert_int_not_equal(status, SABOT_OK);
    suite_expect_offset(s, channel, s->name, 0, SB_OFFSET_NONE, "");
    text[SB_OFFSET_METADATA_MAX] = '\0';
    suite_commit(s, channel, s->name, &offset, 1);
    suite_expect_offset(s, channel, s->name, 0, 1, text);
    suite_close(channel);
    free(text);
}

/* --- Which tests apply ------------------------------------------------------------------------ */

static void add(struct CMUnitTest *tests, size_t *count, struct CMUnitTest test, bool applies)
{
    if (applies)
        tests[(*count)++] = test;
}

#define TEST(name) \
    (struct CMUnitTest) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)

int channel_suite_run(const struct channel_suite *suite)
{
    struct CMUnitTest tests[SUITE_TESTS_MAX];
    const bool many = suite->partitions_max >= 4;
    const bool keys = suite->keys && suite->nulls;
    size_t n = 0;

    channel_suite = suite;
    add(tests, &n, TEST(records_come_back_in_order_per_partition), true);
    add(tests, &n, TEST(a_key_goes_to_the_partition_of_its_murmur2), many && suite->keys);
    add(tests, &n, TEST(records_without_a_key_are_all_kept), true);
    add(tests, &n, TEST(a_reader_reads_the_partitions_it_was_given), many);
    add(tests, &n, TEST(a_partition_that_is_not_there_is_refused), many);
    add(tests, &n, TEST(key_value_headers_and_timestamp_come_back), true);
    add(tests, &n, TEST(an_empty_key_and_value_are_not_none), keys);
    add(tests, &n, TEST(no_key_and_no_value_are_not_empty), keys);
    add(tests, &n, TEST(a_record_without_a_time_gets_the_wall_clock), true);
    add(tests, &n, TEST(a_record_that_is_too_large_is_refused_and_the_others_go_on), true);
    add(tests, &n, TEST(a_reader_steps_behind_a_record_that_is_too_large), true);
    add(tests, &n, TEST(reading_goes_on_from_a_position), true);
    add(tests, &n, TEST(a_seek_goes_back_and_forth), true);
    add(tests, &n, TEST(a_position_that_is_not_there_is_refused), suite->gaps);
    add(tests, &n, TEST(a_place_names_the_record), true);
    add(tests, &n, TEST(lag_is_what_was_not_taken_or_unknown), true);
    add(tests, &n, TEST(a_poll_shows_at_most_what_was_asked_for), true);
    add(tests, &n, TEST(who_is_shown_a_record_decides_how_far_a_poll_goes), true);
    add(tests, &n, TEST(stop_takes_no_more_and_keeps_the_position), true);
    add(tests, &n, TEST(until_end_is_the_end_when_prepared), suite->live);
    add(tests, &n, TEST(an_empty_channel_ends_at_once_with_until_end), true);
    add(tests, &n, TEST(a_reader_is_woken_by_a_write), suite->live);
    add(tests, &n, TEST(two_readers_see_the_same), true);
    add(tests, &n, TEST(channels_of_two_names_are_not_the_same), true);
    add(tests, &n, TEST(a_reader_ends_when_the_last_writer_has_closed), suite->ends);
    add(tests, &n, TEST(a_full_channel_makes_its_writer_wait), suite->bounded);
    add(tests, &n, TEST(offsets_are_kept_by_group_with_their_metadata), many && suite->groups);
    add(tests, &n, TEST(metadata_has_a_limit), suite->groups);
    if (suite->transactions)
        n += channel_suite_txn_tests(tests + n, SUITE_TESTS_MAX - n);
    return _cmocka_run_group_tests(suite->name, tests, n, NULL, NULL);
}
