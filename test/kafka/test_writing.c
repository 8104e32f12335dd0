/* SPDX-License-Identifier: Apache-2.0 */
/* test_writing.c - writing to topics of a real broker: order, full queues, records it refuses,
 * transactions that are fenced or time out. */
#include <librdkafka/rdkafka.h>

#include "kafka_rig.h"
#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

static void a_full_queue_makes_the_writer_wait_and_nothing_is_lost(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;

    rig->options =
        (const struct rig_option[]){{"kafka.queue.buffering.max.messages", "100"}, {NULL, NULL}};
    rig_fill(rig, 3, 20000); /* waits whenever the queue is full */
    rig->options = NULL;
    rig_read_all(rig, &seen);
    assert_int_equal(seen.counts[0] + seen.counts[1] + seen.counts[2], 20000);
    assert_int_equal(seen.out_of_order, 0);
    assert_int_equal(seen.sum, (uint64_t)20000 * 19999 / 2);
}

static void writers_of_a_channel_share_its_producer(void **state)
{
    enum { WRITERS = 3, COUNT = 3000 };
    struct rig *rig = *state;
    struct rig_seen seen;
    struct sb_channel *channel = rig_open(rig, 3, RIG_WRITING);
    struct sb_writer *writers[WRITERS];

    for (int i = 0; i < WRITERS; i++)
        writers[i] = rig_writer(rig, channel, NULL);
    for (uint64_t n = 0; n < COUNT; n += 10)
        rig_write(rig, writers[n / 10 % WRITERS], n, 10);
    for (int i = 0; i < WRITERS; i++)
        rig_ok(rig, rig_flush(rig, writers[i]));
    rig_read_all(rig, &seen);
    assert_int_equal(seen.sum, (uint64_t)COUNT * (COUNT - 1) / 2);
    for (int i = 0; i < WRITERS; i++)
        kafka->writer_close(writers[i]);
    kafka->close(channel);
}

static sabot_status write_size(struct rig *rig, struct sb_writer *writer, size_t size)
{
    char *value = calloc(1, size);
    const struct sb_record record = {
        .value = {value, size}, .partition = 0, .timestamp_ms = SB_TIMESTAMP_NOW};
    sabot_status status;

    assert_non_null(value);
    while ((status = kafka->write(writer, &record, &rig->error)) == SABOT_AGAIN)
        rig_wait(rig);
    free(value);
    return status;
}

static void a_record_over_the_clients_limit_is_refused_and_the_writer_goes_on(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;

    rig->record_max = 16 << 20;
    channel = rig_open(rig, 1, RIG_WRITING);
    writer = rig_writer(rig, channel, NULL);
    rig_is(rig, write_size(rig, writer, 10 << 20), SABOT_ERR_LIMIT, "kafka.message.max.bytes");
    rig_is(rig, write_size(rig, writer, (16 << 20) + 1), SABOT_ERR_LIMIT, "the limit is 16777216");
    rig_ok(rig, write_size(rig, writer, 1000));
    rig_ok(rig, rig_flush(rig, writer));
    kafka->writer_close(writer);
    kafka->close(channel);
}

/* A topic that takes small records only. */
static void make_small_topic(const struct rig *rig)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", rig->brokers, NULL, 0),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(client);
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(rig->topic, 1, 1, reason, sizeof reason);
    assert_int_equal(rd_kafka_NewTopic_set_config(topic, "max.message.bytes", "2000"),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, RIG_PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_destroy(client);
}

static void a_record_that_the_broker_refuses_fails_the_writer_again_and_again(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;

    make_small_topic(rig);
    channel = rig_open(rig, 1, RIG_WRITING);
    writer = rig_writer(rig, channel, NULL);
    rig_ok(rig, write_size(rig, writer, 5000));
    for (int i = 0; i < 3; i++) {
        rig_is(rig, rig_flush(rig, writer), SABOT_ERR_LIMIT, rig->topic);
        assert_non_null(strstr(rig->error.text, "max.message.bytes"));
    }
    rig_is(rig, write_size(rig, writer, 10), SABOT_ERR_LIMIT, "was not delivered");
    kafka->writer_close(writer);
    kafka->close(channel);
}

/* --- Transactions ----------------------------------------------------------------------------- */

static struct sb_txn *open_txn(struct rig *rig, struct sb_channel *channel, int64_t timeout_ms)
{
    struct sb_txn *txn;

    rig_ok(rig, kafka->txn_open(channel, rig->topic, timeout_ms, rig->waker, &txn, &rig->error));
    rig_ok(rig, rig_fence(rig, txn));
    return txn;
}

static void an_older_transaction_with_the_same_id_is_fenced_for_good(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_txn *zombie = open_txn(rig, channel, 10000);
    struct sb_writer *writer = rig_writer(rig, channel, zombie);
    struct sb_txn *txn;

    rig_begin(rig, zombie);
    rig_write(rig, writer, 0, 10);
    rig_ok(rig, rig_flush(rig, writer));
    txn = open_txn(rig, channel, 10000);
    for (int i = 0; i < 2; i++) {
        rig_is(rig, rig_commit(rig, zombie), SABOT_ERR_FENCED, "another instance");
        assert_true(rig->error.fatal);
    }
    rig_is(rig, rig_flush(rig, writer), SABOT_ERR_FENCED, "another instance");
    rig_is(rig, write_size(rig, writer, 10), SABOT_ERR_FENCED, "another instance");
    kafka->writer_close(writer);
    kafka->txn_close(zombie);
    writer = rig_writer(rig, channel, txn);
    rig_begin(rig, txn);
    rig_write(rig, writer, 100, 1);
    rig_ok(rig, rig_commit(rig, txn));
    rig_read_all(rig, &seen);
    assert_int_equal(seen.sum, 100);
    kafka->writer_close(writer);
    kafka->txn_close(txn);
    kafka->close(channel);
}

static void a_write_without_a_transaction_is_out_of_order(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_txn *txn = open_txn(rig, channel, 10000);
    struct sb_writer *writer = rig_writer(rig, channel, txn);

    rig_is(rig, write_size(rig, writer, 10), SABOT_ERR_STATE, rig->topic);
    rig_begin(rig, txn);
    rig_ok(rig, write_size(rig, writer, 10));
    rig_ok(rig, rig_commit(rig, txn));
    kafka->writer_close(writer);
    kafka->txn_close(txn);
    kafka->close(channel);
}

static void a_record_refused_in_a_transaction_aborts_it_and_later_ones_work(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;
    struct sb_channel *channel;
    struct sb_txn *txn;
    struct sb_writer *writer;
    sabot_status status;
    int attempts = 0;

    make_small_topic(rig);
    channel = rig_open(rig, 1, RIG_WRITING);
    txn = open_txn(rig, channel, 10000);
    writer = rig_writer(rig, channel, txn);
    rig_begin(rig, txn);
    rig_ok(rig, write_size(rig, writer, 5000));
    rig_is(rig, rig_flush(rig, writer), SABOT_ERR_LIMIT, "max.message.bytes");
    assert_int_not_equal(rig_commit(rig, txn), SABOT_OK);
    assert_false(rig->error.retriable);
    assert_false(rig->error.fatal);
    /* librdkafka 2.0 leaves a hole in its sequence numbers, so that the next one fails, too, but is
     * abortable; after that it has a new epoch. */
    do {
        rig_abort(rig, txn);
        rig_begin(rig, txn);
        rig_write(rig, writer, 7, 1);
        status = rig_commit(rig, txn);
        assert_false(status != SABOT_OK && rig->error.fatal);
    } while (status != SABOT_OK && ++attempts < 3);
    rig_ok(rig, status);
    rig_read_all(rig, &seen);
    assert_int_equal(seen.sum, 7);
    kafka->writer_close(writer);
    kafka->txn_close(txn);
    kafka->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_queue_makes_the_writer_wait_and_nothing_is_lost),
        TEST(writers_of_a_channel_share_its_producer),
        TEST(a_record_over_the_clients_limit_is_refused_and_the_writer_goes_on),
        TEST(a_record_that_the_broker_refuses_fails_the_writer_again_and_again),
        TEST(an_older_transaction_with_the_same_id_is_fenced_for_good),
        TEST(a_write_without_a_transaction_is_out_of_order),
        TEST(a_record_refused_in_a_transaction_aborts_it_and_later_ones_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
