/* SPDX-License-Identifier: Apache-2.0 */
/* test_away.c - a broker that is away at the start, killed, restarted or frozen: it is waited for,
 * and nothing is lost. Every test has a broker of its own. */
#include <inttypes.h>

#include "kafka_rig.h"
#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

/* Until the channel says whether a broker is there. */
static void await_connected(struct rig *rig, struct sb_channel *channel, bool is_connected)
{
    const int64_t deadline_us = sb_now_us(rig->env) + RIG_PATIENCE_MS * 1000LL;

    while (kafka->connected(channel) != is_connected) {
        if (sb_now_us(rig->env) > deadline_us)
            fail_msg("the channel does not see its broker %s", is_connected ? "come" : "go");
        rig->env->type->wait(rig->env->self, rig->waker, sb_now_us(rig->env) + 10000);
    }
}

static void a_broker_that_is_away_at_the_start_is_waited_for(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;
    struct sb_channel *channel;
    struct sb_writer *writer;

    rig_broker(rig, "where");
    rig->env->log_level = SABOT_LOG_ERROR;
    rig_ok(rig, rig_try_open(rig, 3, RIG_WRITING, &channel));
    assert_int_equal(kafka->prepare(channel, &rig->error), SABOT_AGAIN);
    assert_false(kafka->connected(channel));
    rig_broker(rig, "start");
    rig_ok(rig, rig_prepare(rig, channel));
    assert_true(kafka->connected(channel));
    writer = rig_writer(rig, channel, NULL);
    rig_write(rig, writer, 0, 1000);
    rig_ok(rig, rig_flush(rig, writer));
    rig_read_all(rig, &seen);
    assert_int_equal(seen.sum, 1000 * 999 / 2);
    kafka->writer_close(writer);
    kafka->close(channel);
}

static void a_channel_can_be_closed_while_its_broker_is_away(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;

    rig_broker(rig, "where");
    rig->env->log_level = SABOT_LOG_ERROR;
    for (int for_what = RIG_READING; for_what <= RIG_WRITING; for_what++) {
        rig_ok(rig, rig_try_open(rig, 0, for_what, &channel));
        assert_int_equal(kafka->prepare(channel, &rig->error), SABOT_AGAIN);
        kafka->close(channel);
    }
}

/* Writing and reading at once, while the broker goes and comes back: each number once, in order. */
static void go_through(struct rig *rig, const char *goes, const char *comes)
{
    enum { COUNT = 30000, STEP = 1000 };
    struct rig_seen seen = {.partition_count = 3};
    struct sb_channel *channel;
    struct sb_writer *writer;
    struct sb_reader *reader;
    sabot_status status;

    rig_broker(rig, "start");
    rig->env->log_level = SABOT_LOG_ERROR;
    channel = rig_open(rig, 3, RIG_READING | RIG_WRITING);
    writer = rig_writer(rig, channel, NULL);
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    for (uint64_t n = 0; n < COUNT; n += STEP) {
        if (n == COUNT / 3) {
            rig_write(rig, writer, n, STEP);
            status = kafka->flush(writer, &rig->error); /* they are on their way */
            assert_true(status == SABOT_AGAIN || status == SABOT_OK);
            rig_broker(rig, goes);
            if (strcmp(goes, "kill") == 0)
                await_connected(rig, channel, false);
            n += STEP;
            rig_write(rig, writer, n, STEP); /* and some wait for it */
            rig_broker(rig, comes);
            continue;
        }
        rig_write(rig, writer, n, STEP);
        if (n % (5 * (uint64_t)STEP) == 0) {
            rig_ok(rig, rig_flush(rig, writer));
            rig_read(rig, reader, n / 2, &seen);
        }
    }
    rig_ok(rig, rig_flush(rig, writer));
    rig_read(rig, reader, COUNT, &seen);
    assert_int_equal(seen.counts[0] + seen.counts[1] + seen.counts[2], COUNT);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(seen.sum, (uint64_t)COUNT * (COUNT - 1) / 2);
    assert_true(kafka->connected(channel));
    kafka->reader_close(reader);
    kafka->writer_close(writer);
    kafka->close(channel);
}

static void a_broker_that_is_killed_and_restarted_costs_no_record(void **state)
{
    go_through(*state, "kill", "restart");
}

static void a_broker_that_is_frozen_for_a_while_costs_no_record(void **state)
{
    go_through(*state, "pause", "resume");
}

static void a_transaction_survives_a_restart_or_is_aborted_as_a_whole(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen = {.partition_count = 1};
    struct sb_reader *reader;
    struct sb_channel *channel;
    struct sb_txn *txn;
    struct sb_writer *writer;
    sabot_status status;

    rig_broker(rig, "start");
    rig->env->log_level = SABOT_LOG_ERROR;
    channel = rig_open(rig, 1, RIG_WRITING);
    rig_ok(rig, kafka->txn_open(channel, rig->topic, 60000, rig->waker, &txn, &rig->error));
    rig_ok(rig, rig_fence(rig, txn));
    writer = rig_writer(rig, channel, txn);
    rig_begin(rig, txn);
    rig_write(rig, writer, 1, 10);
    rig_broker(rig, "kill");
    rig_broker(rig, "restart");
    status = rig_commit(rig, txn);
    if (status != SABOT_OK) {
        assert_false(rig->error.fatal);
        rig_abort(rig, txn);
        rig_begin(rig, txn);
        rig_write(rig, writer, 1, 10);
        rig_ok(rig, rig_commit(rig, txn));
    }
    kafka->writer_close(writer);
    kafka->txn_close(txn);
    kafka->close(channel);
    /* Committed is not yet visible: the marks are written behind it. */
    channel = rig_open(rig, 1, RIG_READING);
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    rig_read(rig, reader, 10, &seen);
    assert_int_equal(seen.counts[0], 10);
    assert_int_equal(seen.sum, 55);
    kafka->reader_close(reader);
    kafka->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_broker_that_is_away_at_the_start_is_waited_for),
        TEST(a_channel_can_be_closed_while_its_broker_is_away),
        TEST(a_broker_that_is_killed_and_restarted_costs_no_record),
        TEST(a_broker_that_is_frozen_for_a_while_costs_no_record),
        TEST(a_transaction_survives_a_restart_or_is_aborted_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
