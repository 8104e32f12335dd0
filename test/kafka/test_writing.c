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

static rd_kafka_t *admin(const struct rig *rig)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *client;

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", rig->brokers, NULL, 0),
                     RD_KAFKA_CONF_OK);
    client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(client);
    return client;
}

/* The rig's topic takes small records from now on; who has asked before does not know. */
static void make_topic_small(const struct rig *rig)
{
    rd_kafka_t *client = admin(rig);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_ConfigResource_t *topic =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, rig->topic);
    const rd_kafka_ConfigResource_t **resources;
    size_t count = 0;

    assert_int_equal(rd_kafka_ConfigResource_set_config(topic, "max.message.bytes", "2000"),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_AlterConfigs(client, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, RIG_PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    resources =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    assert_int_equal(count, 1);
    assert_int_equal(rd_kafka_ConfigResource_error(resources[0]), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(topic);
    rd_kafka_destroy(client);
}

/* By somebody who asks now; the broker obeys a moment later. */
static struct sb_channel *open_small(struct rig *rig)
{
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);

    while (kafka->record_max(channel) > 2000) {
        kafka->close(channel);
        channel = rig_open(rig, 1, RIG_WRITING);
    }
    return channel;
}

static void a_record_over_a_limit_is_refused_and_the_writer_goes_on(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;

    rig->record_max = 16 << 20;
    channel = rig_open(rig, 1, RIG_WRITING);
    assert_in_range(kafka->record_max(channel), 1000000, 1048588); /* the topic's, and not ours */
    writer = rig_writer(rig, channel, NULL);
    rig_is(rig, write_size(rig, writer, 10 << 20), SABOT_ERR_LIMIT, "max.message.bytes");
    assert_non_null(strstr(rig->error.text, "a record of 10485760 bytes"));
    assert_non_null(strstr(rig->error.text, rig->topic));
    rig_ok(rig, write_size(rig, writer, kafka->record_max(channel)));
    rig_ok(rig, write_size(rig, writer, 1000));
    rig_ok(rig, rig_flush(rig, writer));
    kafka->writer_close(writer);
    kafka->close(channel);
    rig->record_max = 5000;
    channel = rig_open(rig, 1, RIG_WRITING);
    assert_int_equal(kafka->record_max(channel), 5000);
    writer = rig_writer(rig, channel, NULL);
    rig_is(rig, write_size(rig, writer, 5001), SABOT_ERR_LIMIT, "record.bytes_max");
    kafka->writer_close(writer);
    kafka->close(channel);
}

static void batches_larger_than_the_topic_takes_are_refused_before_anything_is_written(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_writer *writer;

    kafka->close(channel);
    make_topic_small(rig);
    channel = open_small(rig);
    rig_is(rig, kafka->writer_open(channel, NULL, rig->waker, &writer, &rig->error),
           SABOT_ERR_CONFIG, "kafka.batch.size=2000");
    assert_null(writer);
    kafka->close(channel);
    rig->options = (const struct rig_option[]){{"kafka.batch.size", "2000"}, {NULL, NULL}};
    channel = rig_open(rig, 1, RIG_WRITING);
    rig->options = NULL;
    writer = rig_writer(rig, channel, NULL);
    rig_is(rig, write_size(rig, writer, 2000), SABOT_ERR_LIMIT, "takes batches of 2000");
    rig_write(rig, writer, 0, 1000);
    rig_ok(rig, write_size(rig, writer, kafka->record_max(channel)));
    rig_ok(rig, rig_flush(rig, writer));
    kafka->writer_close(writer);
    kafka->close(channel);
}

static void a_record_that_the_broker_refuses_fails_the_writer_again_and_again(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_writer *writer = rig_writer(rig, channel, NULL);

    make_topic_small(rig);
    while (rig_flush(rig, writer) == SABOT_OK) /* the broker obeys a moment later */
        rig_ok(rig, write_size(rig, writer, 5000));
    for (int i = 0; i < 3; i++) {
        rig_is(rig, rig_flush(rig, writer), SABOT_ERR_LIMIT, rig->topic);
        assert_non_null(strstr(rig->error.text, "max.message.bytes"));
    }
    rig_is(rig, write_size(rig, writer, 10), SABOT_ERR_LIMIT, "was not delivered");
    kafka->writer_close(writer);
    kafka->close(channel);
}

/* --- Groups ----------------------------------------------------------------------------------- */

static sabot_status committed(struct rig *rig, struct sb_channel *channel, struct sb_offset *offset)
{
    sabot_status status;

    while ((status = kafka->committed(channel, rig->topic, offset, 1, &rig->error)) == SABOT_AGAIN)
        rig_wait(rig);
    return status;
}

static void a_group_with_live_members_is_refused_with_their_names(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_offset offset = {.channel = rig->topic, .partition = 0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_t *assigned = NULL;
    rd_kafka_t *member;

    rig_ok(rig, committed(rig, channel, &offset));
    assert_int_equal(offset.offset, SB_OFFSET_NONE);
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", rig->brokers, NULL, 0);
    (void)rd_kafka_conf_set(conf, "group.id", rig->topic, NULL, 0);
    (void)rd_kafka_conf_set(conf, "client.id", "the-other-one", NULL, 0);
    member = rd_kafka_new(RD_KAFKA_CONSUMER, conf, NULL, 0);
    assert_non_null(member);
    (void)rd_kafka_topic_partition_list_add(topics, rig->topic, 0);
    assert_int_equal(rd_kafka_subscribe(member, topics), RD_KAFKA_RESP_ERR_NO_ERROR);
    do { /* until it has joined */
        rd_kafka_message_t *message = rd_kafka_consumer_poll(member, 100);

        if (message != NULL)
            rd_kafka_message_destroy(message);
        if (assigned != NULL)
            rd_kafka_topic_partition_list_destroy(assigned);
        assert_int_equal(rd_kafka_assignment(member, &assigned), RD_KAFKA_RESP_ERR_NO_ERROR);
    } while (assigned->cnt == 0);
    rig_is(rig, committed(rig, channel, &offset), SABOT_ERR_STATE, "1 live member: the-other-one");
    (void)rd_kafka_consumer_close(member);
    rig_ok(rig, committed(rig, channel, &offset));
    /* The list first: it holds the client's partitions. */
    rd_kafka_topic_partition_list_destroy(assigned);
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_destroy(member);
    kafka->close(channel);
}

static void channels_of_one_cluster_know_it(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *writing = rig_open(rig, 1, RIG_WRITING);
    struct sb_channel *reading = rig_open(rig, 1, RIG_READING);

    assert_non_null(kafka->cluster(writing));
    assert_string_equal(kafka->cluster(writing), kafka->cluster(reading));
    kafka->close(reading);
    kafka->close(writing);
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

/* Write until the broker refuses a record: it obeys the topic's new limit a moment later. */
static void write_until_refused(struct rig *rig, struct sb_writer *writer)
{
    while (rig_flush(rig, writer) == SABOT_OK)
        rig_ok(rig, write_size(rig, writer, 5000));
    rig_is(rig, rig_flush(rig, writer), SABOT_ERR_LIMIT, "max.message.bytes");
}

/* Another failure came first, which only fails the transaction: it is not told any more. */
static void a_writer_that_had_failed_is_fenced_for_good_too(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_txn *zombie = open_txn(rig, channel, 10000);
    struct sb_writer *writer = rig_writer(rig, channel, zombie);
    struct sb_txn *txn;

    make_topic_small(rig);
    rig_begin(rig, zombie);
    write_until_refused(rig, writer);
    txn = open_txn(rig, channel, 10000);
    rig_is(rig, rig_try_abort(rig, zombie), SABOT_ERR_FENCED, "another instance");
    rig_is(rig, write_size(rig, writer, 10), SABOT_ERR_FENCED, "another instance");
    assert_true(rig->error.fatal);
    rig_is(rig, rig_flush(rig, writer), SABOT_ERR_FENCED, "another instance");
    kafka->writer_close(writer);
    kafka->txn_close(zombie);
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
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_txn *txn = open_txn(rig, channel, 10000);
    struct sb_writer *writer = rig_writer(rig, channel, txn);
    sabot_status status;
    int attempts = 0;

    make_topic_small(rig);
    rig_begin(rig, txn);
    write_until_refused(rig, writer);
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

static void a_transaction_makes_no_batch_that_its_topic_refuses(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;
    struct sb_channel *channel = rig_open(rig, 1, RIG_WRITING);
    struct sb_txn *txn;
    struct sb_writer *writer;

    kafka->close(channel);
    make_topic_small(rig);
    channel = open_small(rig);
    txn = open_txn(rig, channel, INT64_MAX); /* the broker bounds this one */
    writer = rig_writer(rig, channel, txn);
    rig_begin(rig, txn);
    rig_is(rig, write_size(rig, writer, 5000), SABOT_ERR_LIMIT, "max.message.bytes");
    rig_write(rig, writer, 0, 5000);
    rig_ok(rig, rig_commit(rig, txn));
    rig_read_all(rig, &seen);
    assert_int_equal(seen.sum, (uint64_t)5000 * 4999 / 2);
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
        TEST(a_record_over_a_limit_is_refused_and_the_writer_goes_on),
        TEST(batches_larger_than_the_topic_takes_are_refused_before_anything_is_written),
        TEST(a_record_that_the_broker_refuses_fails_the_writer_again_and_again),
        TEST(a_group_with_live_members_is_refused_with_their_names),
        TEST(channels_of_one_cluster_know_it),
        TEST(an_older_transaction_with_the_same_id_is_fenced_for_good),
        TEST(a_writer_that_had_failed_is_fenced_for_good_too),
        TEST(a_write_without_a_transaction_is_out_of_order),
        TEST(a_record_refused_in_a_transaction_aborts_it_and_later_ones_work),
        TEST(a_transaction_makes_no_batch_that_its_topic_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
