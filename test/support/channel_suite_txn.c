/* SPDX-License-Identifier: Apache-2.0 */
/* channel_suite_txn.c - the conformance suite's tests with transactions.
 *
 * A broker answers a commit before every partition shows it, so nothing here reads "all there is"
 * behind one. Instead a plain record is written as a full stop: it is shown only when all
 * transactions before it have ended, so what was shown until then is all that ever will be. */
#include "channel_suite_internal.h"

#include <inttypes.h>

/* --- Calls that complete ---------------------------------------------------------------------- */

static struct sb_txn *open_txn(struct suite *s,
                               struct sb_channel *channel,
                               enum suite_waker waker,
                               const char *id,
                               int64_t timeout_ms)
{
    struct sb_txn *txn;

    suite_ok(s, channel_suite->type->txn_open(channel, id, timeout_ms, s->wakers[waker], &txn,
                                              &s->error));
    return txn;
}

/* A call of a txn, until it is complete. */
static sabot_status complete(struct suite *s,
                             enum suite_waker waker,
                             sabot_status (*call)(struct sb_txn *txn, sabot_error *error),
                             struct sb_txn *txn)
{
    const int64_t deadline_us = suite_deadline(s);
    sabot_status status;

    for (;;) {
        s->error.retriable = false;
        s->error.fatal = false;
        status = call(txn, &s->error);
        if (status != SABOT_AGAIN && (status == SABOT_OK || !s->error.retriable))
            return status;
        if (status == SABOT_AGAIN)
            suite_wait(s, waker, deadline_us);
        else if (sb_now_us(s->env) > deadline_us)
            return status;
    }
}

static void fence(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    suite_ok(s, complete(s, waker, channel_suite->type->txn_fence, txn));
}

static sabot_status try_begin(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    return complete(s, waker, channel_suite->type->txn_begin, txn);
}

static void begin(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    suite_ok(s, try_begin(s, waker, txn));
}

static sabot_status try_commit(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    return complete(s, waker, channel_suite->type->txn_commit, txn);
}

static void commit(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    suite_ok(s, try_commit(s, waker, txn));
}

static void abort_txn(struct suite *s, enum suite_waker waker, struct sb_txn *txn)
{
    suite_ok(s, complete(s, waker, channel_suite->type->txn_abort, txn));
}

static void send_offset(struct suite *s,
                        struct sb_txn *txn,
                        const char *group,
                        int64_t offset,
                        const char *metadata)
{
    const int64_t deadline_us = suite_deadline(s);
    char text[32];
    const struct sb_offset offsets = {.channel = s->name, .offset = offset, .metadata = text};
    sabot_status status;

    (void)snprintf(text, sizeof text, "%s", metadata);
    while ((status = channel_suite->type->txn_offsets(txn, group, &offsets, 1, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_TXN, deadline_us);
    suite_ok(s, status);
}

/* --- A channel with a plain writer and one in a transaction ----------------------------------- */

struct pair {
    struct sb_channel *channel;
    struct sb_txn *txn;
    struct sb_writer *writer; /* of the txn */
    struct sb_writer *plain;
};

static struct pair open_pair(struct suite *s, int32_t partitions)
{
    struct pair pair;

    pair.channel = suite_open_writing(s, s->name, partitions);
    pair.txn = open_txn(s, pair.channel, SUITE_TXN, s->name, channel_suite->patience_ms);
    fence(s, SUITE_TXN, pair.txn);
    pair.writer = suite_writer(s, pair.channel, pair.txn);
    pair.plain = suite_writer(s, pair.channel, NULL);
    return pair;
}

static void close_pair(struct pair *pair)
{
    suite_writer_close(pair->plain);
    suite_writer_close(pair->writer);
    channel_suite->type->txn_close(pair->txn);
    suite_close(pair->channel);
}

/* Everything that is shown of a channel without open transactions, by partition. */
static void read_committed(struct suite *s, const char *name, int32_t partitions)
{
    struct sb_channel *channel = suite_open_writing(s, name, partitions);
    struct sb_writer *writer = suite_writer(s, channel, NULL);
    struct sb_reader *reader;
    uint32_t kept = 0;
    char stop[32];

    (void)snprintf(stop, sizeof stop, "stop %" PRIu32, ++s->stops);
    for (int32_t i = 0; i < partitions; i++)
        suite_write(s, writer, i, stop);
    suite_flush(s, writer);
    suite_writer_close(writer);
    suite_close(channel);
    channel = suite_open_reading(s, name, partitions);
    reader = suite_reader(s, channel);
    s->taken_count = 0;
    for (int32_t i = 0; i < partitions; i++) {
        do
            suite_ok(s, suite_poll_wait(s, reader, (uint32_t)i, 1));
        while (strcmp(s->taken[s->taken_count - 1].value, stop) != 0);
    }
    for (uint32_t i = 0; i < s->taken_count; i++) {
        if (strncmp(s->taken[i].value, "stop", 4) != 0)
            s->taken[kept++] = s->taken[i];
    }
    s->taken_count = kept;
    suite_reader_close(reader);
    suite_close(channel);
}

static void expect_numbers(struct suite *s, const uint32_t *numbers, uint32_t count)
{
    read_committed(s, s->name, 1);
    assert_int_equal(s->taken_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(suite_number(&s->taken[i]), numbers[i]);
}

/* --- What is shown ---------------------------------------------------------------------------- */

static void records_are_shown_when_their_transaction_commits(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);

    suite_write_number(s, pair.plain, 0, 1);
    suite_flush(s, pair.plain);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 2);
    suite_write_number(s, pair.writer, 0, 3);
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 4);
    suite_flush(s, pair.plain);
    suite_take(s, reader, 1, 1);
    assert_int_equal(suite_number(&s->taken[0]), 1);
    assert_int_equal(suite_poll(s, reader, 0, 10), SABOT_AGAIN);
    commit(s, SUITE_TXN, pair.txn);
    suite_take(s, reader, 1, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(suite_number(&s->taken[i]), 2 + i);
    suite_reader_close(reader);
    suite_close(reading);
    close_pair(&pair);
}

static void an_abort_hides_its_records_and_no_others(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);

    suite_write_number(s, pair.plain, 0, 1);
    suite_flush(s, pair.plain);
    begin(s, SUITE_TXN, pair.txn);
    for (uint32_t i = 0; i < 100; i++)
        suite_write_number(s, pair.writer, 0, 1000 + i);
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 2);
    suite_flush(s, pair.plain);
    abort_txn(s, SUITE_TXN, pair.txn);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 3);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){1, 2, 3}, 3);
    close_pair(&pair);
}

static void a_transaction_may_be_empty(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);

    for (uint32_t i = 0; i < 3; i++) {
        begin(s, SUITE_TXN, pair.txn);
        commit(s, SUITE_TXN, pair.txn);
        begin(s, SUITE_TXN, pair.txn);
        abort_txn(s, SUITE_TXN, pair.txn);
    }
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){1}, 1);
    close_pair(&pair);
}

static void a_transaction_spans_partitions_and_channels(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 3);
    char other[sizeof s->name + 8];
    struct sb_channel *channel;
    struct sb_writer *writer;

    (void)snprintf(other, sizeof other, "%s-other", s->name);
    channel = suite_open_writing(s, other, 1);
    writer = suite_writer(s, channel, pair.txn);
    for (uint32_t round = 0; round < 3; round++) {
        begin(s, SUITE_TXN, pair.txn);
        for (int32_t i = 0; i < 3; i++)
            suite_write_number(s, pair.writer, i, round);
        suite_write_number(s, writer, 0, round);
        if (round == 1)
            abort_txn(s, SUITE_TXN, pair.txn);
        else
            commit(s, SUITE_TXN, pair.txn);
    }
    read_committed(s, s->name, 3);
    assert_int_equal(s->taken_count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(suite_number(&s->taken[i]), i % 2 == 0 ? 0 : 2);
    read_committed(s, other, 1);
    assert_int_equal(s->taken_count, 2);
    suite_writer_close(writer);
    suite_close(channel);
    close_pair(&pair);
}

static void a_write_without_a_transaction_is_refused(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    const struct sb_record record = {.value = sabot_text_of("1")};

    assert_int_equal(suite_try_write(s, pair.writer, &record), SABOT_ERR_STATE);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 2);
    commit(s, SUITE_TXN, pair.txn);
    assert_int_equal(suite_try_write(s, pair.writer, &record), SABOT_ERR_STATE);
    expect_numbers(s, (const uint32_t[]){2}, 1);
    close_pair(&pair);
}

static void positions_behind_marks_are_good_ones(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_reader_position position = {.offset = SB_OFFSET_NONE};

    for (uint32_t i = 0; i < 20; i++) {
        struct sb_channel *reading;
        struct sb_reader *reader;

        begin(s, SUITE_TXN, pair.txn);
        suite_write_number(s, pair.writer, 0, i);
        if (i % 3 == 2)
            abort_txn(s, SUITE_TXN, pair.txn);
        else
            commit(s, SUITE_TXN, pair.txn);
        reading = suite_open_reading(s, s->name, 1);
        reader = suite_reader_at(s, reading, &position, 1);
        suite_take(s, reader, 1, i % 3 == 2 ? 0 : 1);
        if (s->taken_count == 1)
            assert_int_equal(suite_number(&s->taken[0]), i);
        assert_int_equal(suite_poll(s, reader, 0, 1), SABOT_AGAIN);
        channel_suite->type->position(reader, 0, &position);
        suite_reader_close(reader);
        suite_close(reading);
    }
    close_pair(&pair);
}

/* What was not sent when the transaction was aborted is not sent with the next one. */
static void an_abort_takes_what_was_not_flushed_with_it(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);

    begin(s, SUITE_TXN, pair.txn);
    for (uint32_t i = 0; i < 100; i++)
        suite_write_number(s, pair.writer, 0, 1000 + i);
    abort_txn(s, SUITE_TXN, pair.txn);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){1}, 1);
    close_pair(&pair);
}

static void an_abort_wakes_who_waits_for_what_is_behind(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);

    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 2);
    suite_flush(s, pair.plain);
    assert_int_equal(suite_poll(s, reader, 0, 1), SABOT_AGAIN);
    abort_txn(s, SUITE_TXN, pair.txn);
    suite_take(s, reader, 1, 1);
    assert_int_equal(suite_number(&s->taken[0]), 2);
    suite_reader_close(reader);
    suite_close(reading);
    close_pair(&pair);
}

/* A record that is refused is none of the transaction, which goes on. */
static void a_refused_record_leaves_its_transaction_whole(void **state)
{
    struct suite *s = *state;
    struct pair pair = {.channel = suite_open_as(
                            s, SUITE_WRITING, s->name, 1,
                            &(struct sb_channel_config){.for_writing = true, .record_max = 4096})};
    char *large = calloc(1, 8192);
    const struct sb_record record = {.value = {large, 8192}};

    assert_non_null(large);
    pair.txn = open_txn(s, pair.channel, SUITE_TXN, s->name, channel_suite->patience_ms);
    fence(s, SUITE_TXN, pair.txn);
    pair.writer = suite_writer(s, pair.channel, pair.txn);
    pair.plain = suite_writer(s, pair.channel, NULL);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    assert_int_equal(suite_try_write(s, pair.writer, &record), SABOT_ERR_LIMIT);
    suite_write_number(s, pair.writer, 0, 2);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){1, 2}, 2);
    close_pair(&pair);
    free(large);
}

/* The end is that of what is committed: what a transaction holds back then is behind it. */
static void until_end_stands_before_an_open_transaction(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_channel *reading;
    struct sb_reader *reader;

    suite_write_number(s, pair.plain, 0, 1);
    suite_flush(s, pair.plain);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 2);
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 3);
    suite_flush(s, pair.plain);
    reading = suite_open_until_end(s, s->name, 1);
    reader = suite_reader(s, reading);
    suite_take(s, reader, 1, 1);
    assert_int_equal(suite_number(&s->taken[0]), 1);
    assert_int_equal(suite_poll_wait(s, reader, 0, 1), SABOT_END);
    commit(s, SUITE_TXN, pair.txn);
    assert_int_equal(suite_poll_wait(s, reader, 0, 1), SABOT_END);
    suite_reader_close(reader);
    suite_close(reading);
    close_pair(&pair);
}

/* --- Offsets ---------------------------------------------------------------------------------- */

static void offsets_are_committed_with_the_output(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);

    begin(s, SUITE_TXN, pair.txn);
    send_offset(s, pair.txn, s->name, 5, "first");
    suite_write_number(s, pair.writer, 0, 1);
    commit(s, SUITE_TXN, pair.txn);
    suite_expect_offset(s, reading, s->name, 0, 5, "first");

    begin(s, SUITE_TXN, pair.txn);
    send_offset(s, pair.txn, s->name, 6, "aborted");
    suite_write_number(s, pair.writer, 0, 2);
    abort_txn(s, SUITE_TXN, pair.txn);
    suite_expect_offset(s, reading, s->name, 0, 5, "first");

    begin(s, SUITE_TXN, pair.txn); /* only offsets; the last of a partition counts */
    send_offset(s, pair.txn, s->name, 7, "early");
    send_offset(s, pair.txn, s->name, 8, "late");
    commit(s, SUITE_TXN, pair.txn);
    suite_expect_offset(s, reading, s->name, 0, 8, "late");
    expect_numbers(s, (const uint32_t[]){1}, 1);
    suite_close(reading);
    close_pair(&pair);
}

static void committed_waits_for_an_open_transaction(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_offset offset = {.partition = 0};

    for (uint32_t round = 0; round < 2; round++) {
        begin(s, SUITE_TXN, pair.txn);
        send_offset(s, pair.txn, s->name, 5, "pending");
        assert_int_equal(channel_suite->type->committed(reading, s->name, &offset, 1, &s->error),
                         SABOT_AGAIN);
        if (round == 0)
            abort_txn(s, SUITE_TXN, pair.txn);
        else
            commit(s, SUITE_TXN, pair.txn);
        suite_expect_offset(s, reading, s->name, 0, round == 0 ? SB_OFFSET_NONE : 5,
                            round == 0 ? "" : "pending");
    }
    suite_close(reading);
    close_pair(&pair);
}

/* Inputs are several, and the anchor is a topic that nobody reads: one transaction has all. */
static void offsets_of_several_channels_are_committed_together(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 2);
    char other[sizeof s->name + 8];
    char mark[] = "mark";
    struct sb_offset offsets[3] = {{.channel = s->name, .partition = 0, .offset = 1},
                                   {.channel = s->name, .partition = 1, .offset = 2},
                                   {.channel = other, .partition = 0, .offset = 7000}};
    const int64_t deadline_us = suite_deadline(s);
    struct sb_channel *channel;
    sabot_status status;

    (void)snprintf(other, sizeof other, "%s-other", s->name);
    channel = suite_open_as(s, SUITE_READING, other, 1,
                            &(struct sb_channel_config){.for_reading = true, .for_writing = true});
    for (uint32_t i = 0; i < 3; i++)
        offsets[i].metadata = mark;
    begin(s, SUITE_TXN, pair.txn);
    while ((status = channel_suite->type->txn_offsets(pair.txn, s->name, offsets, 3, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_TXN, deadline_us);
    suite_ok(s, status);
    suite_write_number(s, pair.writer, 0, 1);
    commit(s, SUITE_TXN, pair.txn);
    for (uint32_t i = 0; i < 3; i++)
        offsets[i].metadata = NULL;
    while ((status = channel_suite->type->committed(channel, s->name, offsets, 3, &s->error)) ==
           SABOT_AGAIN)
        suite_wait(s, SUITE_READING, deadline_us);
    suite_ok(s, status);
    assert_int_equal(offsets[0].offset, 1);
    assert_int_equal(offsets[1].offset, 2);
    assert_int_equal(offsets[2].offset, 7000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(offsets[i].metadata, "mark");
        sb_string_free(s->env, offsets[i].metadata);
    }
    suite_close(channel);
    close_pair(&pair);
}

static void committed_waits_for_its_own_partitions_only(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 2);
    struct sb_channel *reading = suite_open_reading(s, s->name, 2);

    begin(s, SUITE_TXN, pair.txn);
    send_offset(s, pair.txn, s->name, 5, "pending"); /* of partition 0 */
    suite_expect_offset(s, reading, s->name, 1, SB_OFFSET_NONE, "");
    commit(s, SUITE_TXN, pair.txn);
    suite_expect_offset(s, reading, s->name, 0, 5, "pending");
    suite_close(reading);
    close_pair(&pair);
}

/* --- Fencing ---------------------------------------------------------------------------------- */

/* A fenced client may hear of it late: at the latest when it commits. Kafka may first say only that
 * a record came outside of a transaction, the fenced one's being gone: the abort that this asks for
 * then tells. Then always. */
static void expect_fenced(struct suite *s, struct pair *pair)
{
    const struct sb_record record = {.value = sabot_text_of("9999")};
    sabot_status status = suite_try_write(s, pair->writer, &record);

    if (status == SABOT_OK)
        status = suite_try_flush(s, pair->writer);
    if (status == SABOT_OK)
        status = try_commit(s, SUITE_TXN, pair->txn);
    if (status == SABOT_ERR_BROKER && !s->error.fatal && !s->error.retriable)
        status = complete(s, SUITE_TXN, channel_suite->type->txn_abort, pair->txn);
    if (status != SABOT_ERR_FENCED)
        fail_msg("not fenced, but %s: %s", sabot_status_name(status), s->error.text);
    assert_int_equal(try_commit(s, SUITE_TXN, pair->txn), SABOT_ERR_FENCED);
    assert_true(s->error.fatal);
    assert_true(strlen(s->error.text) > 0);
    assert_int_equal(complete(s, SUITE_TXN, channel_suite->type->txn_abort, pair->txn),
                     SABOT_ERR_FENCED);
    assert_int_equal(try_begin(s, SUITE_TXN, pair->txn), SABOT_ERR_FENCED);
    assert_int_equal(suite_try_write(s, pair->writer, &record), SABOT_ERR_FENCED);
    assert_int_equal(suite_try_flush(s, pair->writer), SABOT_ERR_FENCED);
}

static void the_newest_with_an_id_fences_the_others(void **state)
{
    struct suite *s = *state;
    struct pair old = open_pair(s, 1);
    struct sb_channel *channel = suite_open_writing(s, s->name, 1);
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_writer *writer;
    struct sb_txn *txn;

    begin(s, SUITE_TXN, old.txn);
    suite_write_number(s, old.writer, 0, 1);
    commit(s, SUITE_TXN, old.txn);
    begin(s, SUITE_TXN, old.txn);
    suite_write_number(s, old.writer, 0, 2);
    send_offset(s, old.txn, s->name, 2, "old");
    suite_flush(s, old.writer);

    txn = open_txn(s, channel, SUITE_OTHER_TXN, s->name, channel_suite->patience_ms);
    fence(s, SUITE_OTHER_TXN, txn);
    writer = suite_writer(s, channel, txn);
    suite_expect_offset(s, reading, s->name, 0, SB_OFFSET_NONE, "");
    begin(s, SUITE_OTHER_TXN, txn);
    suite_write_number(s, writer, 0, 3);
    commit(s, SUITE_OTHER_TXN, txn);
    expect_fenced(s, &old);
    expect_numbers(s, (const uint32_t[]){1, 3}, 2);
    begin(s, SUITE_OTHER_TXN, txn); /* what the fenced one tried does not hurt the new one */
    suite_write_number(s, writer, 0, 4);
    commit(s, SUITE_OTHER_TXN, txn);
    expect_numbers(s, (const uint32_t[]){1, 3, 4}, 3);

    suite_writer_close(writer);
    channel_suite->type->txn_close(txn);
    suite_close(reading);
    suite_close(channel);
    close_pair(&old);
}

static void other_ids_are_left_alone(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);
    char other[sizeof s->name + 8];
    struct sb_txn *txn;

    (void)snprintf(other, sizeof other, "%s-other", s->name);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    suite_flush(s, pair.writer);
    txn = open_txn(s, pair.channel, SUITE_OTHER_TXN, other, channel_suite->patience_ms);
    fence(s, SUITE_OTHER_TXN, txn);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){1}, 1);
    channel_suite->type->txn_close(txn);
    close_pair(&pair);
}

static void a_transaction_that_was_left_open_ends_with_the_next_fence(void **state)
{
    struct suite *s = *state;
    struct pair pair = open_pair(s, 1);

    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    suite_flush(s, pair.writer);
    close_pair(&pair); /* as a process that dies */
    pair = open_pair(s, 1);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 2);
    commit(s, SUITE_TXN, pair.txn);
    expect_numbers(s, (const uint32_t[]){2}, 1);
    close_pair(&pair);
}

static void a_transaction_that_takes_too_long_is_aborted_and_fenced(void **state)
{
    struct suite *s = *state;
    struct pair pair = {.channel = suite_open_writing(s, s->name, 1)};
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);

    pair.txn = open_txn(s, pair.channel, SUITE_TXN, s->name, channel_suite->txn_timeout_ms);
    fence(s, SUITE_TXN, pair.txn);
    pair.writer = suite_writer(s, pair.channel, pair.txn);
    pair.plain = suite_writer(s, pair.channel, NULL);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    send_offset(s, pair.txn, s->name, 1, "late");
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 2);
    suite_flush(s, pair.plain);
    suite_take(s, reader, 1, 1); /* it waits, and is woken by the abort */
    assert_int_equal(suite_number(&s->taken[0]), 2);
    expect_fenced(s, &pair);
    suite_expect_offset(s, reading, s->name, 0, SB_OFFSET_NONE, "");
    suite_reader_close(reader);
    suite_close(reading);
    close_pair(&pair);
}

/* Its client is gone, and nobody comes with its id. */
static void what_a_client_has_left_open_is_aborted_in_time(void **state)
{
    struct suite *s = *state;
    struct pair pair = {.channel = suite_open_writing(s, s->name, 1)};
    struct sb_channel *reading = suite_open_reading(s, s->name, 1);
    struct sb_reader *reader = suite_reader(s, reading);

    pair.txn = open_txn(s, pair.channel, SUITE_TXN, s->name, channel_suite->txn_timeout_ms);
    fence(s, SUITE_TXN, pair.txn);
    pair.writer = suite_writer(s, pair.channel, pair.txn);
    pair.plain = suite_writer(s, pair.channel, NULL);
    begin(s, SUITE_TXN, pair.txn);
    suite_write_number(s, pair.writer, 0, 1);
    send_offset(s, pair.txn, s->name, 1, "left");
    suite_flush(s, pair.writer);
    suite_write_number(s, pair.plain, 0, 2);
    suite_flush(s, pair.plain);
    close_pair(&pair);
    suite_take(s, reader, 1, 1);
    assert_int_equal(suite_number(&s->taken[0]), 2);
    suite_expect_offset(s, reading, s->name, 0, SB_OFFSET_NONE, "");
    suite_reader_close(reader);
    suite_close(reading);
}

/* --- Random schedules ------------------------------------------------------------------------- */

enum { SCHEDULE_TXNS = 2, SCHEDULE_PARTITIONS = 2, SCHEDULE_STEPS = 60, SCHEDULE_RECORDS_MAX = 64 };

/* What the log must look like: every record written, in the order of its partition. */
struct model_record {
    int32_t partition;
    uint32_t number;
    int32_t txn; /* whose transaction; -1: none, or it has committed; -2: aborted */
};

struct schedule {
    struct sb_channel *channel;
    struct sb_txn *txns[SCHEDULE_TXNS];
    struct sb_writer *writers[SCHEDULE_TXNS + 1]; /* the last is plain */
    bool open[SCHEDULE_TXNS];
    struct model_record records[SCHEDULE_RECORDS_MAX];
    uint32_t record_count;
    uint64_t seed;
};

static uint64_t draw(struct schedule *schedule, uint64_t below)
{
    uint64_t z = (schedule->seed += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (z ^ (z >> 31)) % below;
}

static void end_model(struct schedule *schedule, int32_t txn, int32_t how)
{
    for (uint32_t i = 0; i < schedule->record_count; i++) {
        if (schedule->records[i].txn == txn)
            schedule->records[i].txn = how;
    }
    schedule->open[txn] = false;
}

static void write_random(struct suite *s, struct schedule *schedule, uint32_t who)
{
    struct model_record *record = &schedule->records[schedule->record_count];

    if (schedule->record_count == SCHEDULE_RECORDS_MAX)
        return;
    record->partition = (int32_t)draw(schedule, SCHEDULE_PARTITIONS);
    record->number = schedule->record_count++;
    record->txn = who == SCHEDULE_TXNS ? -1 : (int32_t)who;
    suite_write_number(s, schedule->writers[who], record->partition, record->number);
    /* The model knows the order of the log only if each write is out before the next. */
    suite_flush(s, schedule->writers[who]);
}

static void step_random(struct suite *s, struct schedule *schedule)
{
    const uint32_t who = (uint32_t)draw(schedule, SCHEDULE_TXNS + 1);
    const enum suite_waker waker = who == 0 ? SUITE_TXN : SUITE_OTHER_TXN;
    const uint64_t what = draw(schedule, 10);

    if (who == SCHEDULE_TXNS || (schedule->open[who] && what < 6)) {
        write_random(s, schedule, who);
    } else if (!schedule->open[who]) {
        begin(s, waker, schedule->txns[who]);
        schedule->open[who] = true;
    } else if (what < 8) {
        commit(s, waker, schedule->txns[who]);
        end_model(schedule, (int32_t)who, -1);
    } else {
        abort_txn(s, waker, schedule->txns[who]);
        end_model(schedule, (int32_t)who, -2);
    }
}

/* The next record of a partition that a reader must see from `from` on, or record_count. */
static uint32_t next_visible(const struct schedule *schedule, int32_t partition, uint32_t from)
{
    for (uint32_t i = from; i < schedule->record_count; i++) {
        if (schedule->records[i].partition != partition)
            continue;
        if (schedule->records[i].txn >= 0)
            return schedule->record_count; /* open: nothing behind it */
        if (schedule->records[i].txn == -1)
            return i;
    }
    return schedule->record_count;
}

/* s->taken is what a reader has seen, partitions mixed: each must be as the model says. */
static void compare_schedule(struct suite *s, const struct schedule *schedule)
{
    uint32_t at[SCHEDULE_PARTITIONS] = {0};

    for (uint32_t i = 0; i < s->taken_count; i++) {
        const struct suite_record *record = &s->taken[i];
        uint32_t *from = &at[record->partition];

        *from = next_visible(schedule, record->partition, *from);
        assert_true(*from < schedule->record_count);
        assert_int_equal(suite_number(record), schedule->records[*from].number);
        ++*from;
    }
    for (int32_t i = 0; i < SCHEDULE_PARTITIONS; i++)
        assert_int_equal(next_visible(schedule, i, at[i]), schedule->record_count);
}

/* In the middle: a reader sees what it must, and nothing else that moment. */
static void check_schedule(struct suite *s, const struct schedule *schedule)
{
    struct sb_channel *channel = suite_open_reading(s, s->name, SCHEDULE_PARTITIONS);
    struct sb_reader *reader = suite_reader(s, channel);
    uint32_t count = 0;

    for (int32_t i = 0; i < SCHEDULE_PARTITIONS; i++) {
        uint32_t at = next_visible(schedule, i, 0);

        for (; at < schedule->record_count; at = next_visible(schedule, i, at + 1))
            count++;
    }
    suite_take(s, reader, SCHEDULE_PARTITIONS, count);
    compare_schedule(s, schedule);
    for (uint32_t i = 0; i < SCHEDULE_PARTITIONS; i++)
        assert_int_equal(suite_poll(s, reader, i, 1), SABOT_AGAIN);
    suite_reader_close(reader);
    suite_close(channel);
}

static void run_schedule(struct suite *s, struct schedule *schedule, uint32_t round)
{
    char id[SCHEDULE_TXNS][sizeof s->name + 16];

    (void)snprintf(s->name, sizeof s->name, "suite-%016" PRIx64, sb_random(s->env));
    schedule->channel = suite_open_writing(s, s->name, SCHEDULE_PARTITIONS);
    for (uint32_t i = 0; i < SCHEDULE_TXNS; i++) {
        const enum suite_waker waker = i == 0 ? SUITE_TXN : SUITE_OTHER_TXN;

        (void)snprintf(id[i], sizeof id[i], "%s-%" PRIu32 "-%" PRIu32, s->name, round % 1000, i);
        schedule->txns[i] =
            open_txn(s, schedule->channel, waker, id[i], channel_suite->patience_ms);
        fence(s, waker, schedule->txns[i]);
        schedule->writers[i] = suite_writer(s, schedule->channel, schedule->txns[i]);
    }
    schedule->writers[SCHEDULE_TXNS] = suite_writer(s, schedule->channel, NULL);
    for (uint32_t step = 0; step < SCHEDULE_STEPS; step++) {
        step_random(s, schedule);
        if (draw(schedule, 10) == 0)
            check_schedule(s, schedule);
    }
    for (uint32_t i = 0; i < SCHEDULE_TXNS; i++) {
        if (schedule->open[i]) {
            abort_txn(s, i == 0 ? SUITE_TXN : SUITE_OTHER_TXN, schedule->txns[i]);
            end_model(schedule, (int32_t)i, -2);
        }
    }
    read_committed(s, s->name, SCHEDULE_PARTITIONS);
    compare_schedule(s, schedule);
    for (uint32_t i = 0; i <= SCHEDULE_TXNS; i++)
        suite_writer_close(schedule->writers[i]);
    for (uint32_t i = 0; i < SCHEDULE_TXNS; i++)
        channel_suite->type->txn_close(schedule->txns[i]);
    suite_close(schedule->channel);
}

static void random_schedules_show_what_was_committed(void **state)
{
    struct suite *s = *state;
    const uint64_t seed = sb_random(s->env);

    print_message("seed %" PRIu64 "\n", seed);
    for (uint32_t round = 0; round < channel_suite->rounds; round++) {
        struct schedule schedule = {.seed = seed + round};

        run_schedule(s, &schedule, round);
    }
}

/* --- Which tests apply ------------------------------------------------------------------------ */

#define TEST(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)

size_t channel_suite_txn_tests(struct CMUnitTest *tests, size_t tests_max)
{
    const struct CMUnitTest all[] = {
        TEST(records_are_shown_when_their_transaction_commits),
        TEST(an_abort_hides_its_records_and_no_others),
        TEST(a_transaction_may_be_empty),
        TEST(a_transaction_spans_partitions_and_channels),
        TEST(a_write_without_a_transaction_is_refused),
        TEST(positions_behind_marks_are_good_ones),
        TEST(an_abort_takes_what_was_not_flushed_with_it),
        TEST(an_abort_wakes_who_waits_for_what_is_behind),
        TEST(a_refused_record_leaves_its_transaction_whole),
        TEST(until_end_stands_before_an_open_transaction),
        TEST(offsets_are_committed_with_the_output),
        TEST(offsets_of_several_channels_are_committed_together),
        TEST(committed_waits_for_its_own_partitions_only),
        TEST(committed_waits_for_an_open_transaction),
        TEST(the_newest_with_an_id_fences_the_others),
        TEST(other_ids_are_left_alone),
        TEST(a_transaction_that_was_left_open_ends_with_the_next_fence),
        TEST(a_transaction_that_takes_too_long_is_aborted_and_fenced),
        TEST(what_a_client_has_left_open_is_aborted_in_time),
        TEST(random_schedules_show_what_was_committed),
    };
    const size_t count = sizeof all / sizeof all[0];

    assert_true(count <= tests_max);
    memcpy(tests, all, sizeof all);
    return count;
}
