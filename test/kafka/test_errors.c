/* SPDX-License-Identifier: Apache-2.0 */
/* test_errors.c - error codes of a broker that a healthy one does not give: librdkafka's mock
 * cluster says them on demand. Only for codes: it knows nothing of transactions. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "kafka_rig.h"
#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

/* Numbers of requests in the protocol. */
enum { PRODUCE = 0, FETCH = 1, LIST_OFFSETS = 2, METADATA = 3 };

struct mock {
    rd_kafka_t *client; /* owns the cluster */
    rd_kafka_mock_cluster_t *cluster;
};

/* A mock cluster instead of the broker, with the test's topic. */
static struct mock mock_start(struct rig *rig)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct mock mock;

    /* It warns that it has no brokers: it is only the home of some. */
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "0", NULL, 0), RD_KAFKA_CONF_OK);
    mock.client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(mock.client);
    mock.cluster = rd_kafka_mock_cluster_new(mock.client, 1);
    assert_non_null(mock.cluster);
    assert_int_equal(rd_kafka_mock_topic_create(mock.cluster, rig->topic, 1, 1),
                     RD_KAFKA_RESP_ERR_NO_ERROR);
    (void)snprintf(rig->brokers, sizeof rig->brokers, "%s",
                   rd_kafka_mock_cluster_bootstraps(mock.cluster));
    rig->env->log_level = SABOT_LOG_ERROR;
    return mock;
}

static void mock_stop(struct mock *mock)
{
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->client);
}

static void errors_that_pass_are_waited_out_by_prepare(void **state)
{
    struct rig *rig = *state;
    struct mock mock = mock_start(rig);
    struct sb_channel *channel;

    rd_kafka_mock_topic_set_error(mock.cluster, rig->topic, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
    /* The last one is librdkafka's own: it says so right after a broker was fenced for a while. */
    rd_kafka_mock_push_request_errors(
        mock.cluster, LIST_OFFSETS, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION);
    rig_ok(rig, rig_try_open(rig, 0, RIG_READING | RIG_UNTIL_END, &channel));
    assert_int_equal(kafka->prepare(channel, &rig->error), SABOT_AGAIN);
    rd_kafka_mock_topic_set_error(mock.cluster, rig->topic, RD_KAFKA_RESP_ERR_NO_ERROR);
    rig_ok(rig, rig_prepare(rig, channel));
    kafka->close(channel);
    mock_stop(&mock);
}

static void a_topic_that_may_not_be_seen_is_an_error_of_prepare(void **state)
{
    struct rig *rig = *state;
    struct mock mock = mock_start(rig);
    struct sb_channel *channel;

    rd_kafka_mock_topic_set_error(mock.cluster, rig->topic,
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    rig_ok(rig, rig_try_open(rig, 0, RIG_READING, &channel));
    rig_is(rig, rig_prepare(rig, channel), SABOT_ERR_BROKER, rig->topic);
    kafka->close(channel);
    mock_stop(&mock);
}

static void errors_that_pass_are_waited_out_by_writing_and_reading(void **state)
{
    struct rig *rig = *state;
    struct mock mock = mock_start(rig);
    struct rig_seen seen;

    rd_kafka_mock_push_request_errors(
        mock.cluster, PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT);
    rig_fill(rig, 0, 100);
    rd_kafka_mock_push_request_errors(
        mock.cluster, FETCH, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH);
    rig_read_all(rig, &seen);
    assert_int_equal(seen.counts[0], 100);
    assert_int_equal(seen.out_of_order, 0);
    mock_stop(&mock);
}

static void a_writer_that_may_not_write_fails_with_advice(void **state)
{
    struct rig *rig = *state;
    struct mock mock = mock_start(rig);
    struct sb_channel *channel = rig_open(rig, 0, RIG_WRITING);
    struct sb_writer *writer = rig_writer(rig, channel, NULL);

    rd_kafka_mock_push_request_errors(mock.cluster, PRODUCE, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    rig_write(rig, writer, 0, 1);
    rig_is(rig, rig_flush(rig, writer), SABOT_ERR_BROKER, "the right to write");
    kafka->writer_close(writer);
    kafka->close(channel);
    mock_stop(&mock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(errors_that_pass_are_waited_out_by_prepare),
        TEST(a_topic_that_may_not_be_seen_is_an_error_of_prepare),
        TEST(errors_that_pass_are_waited_out_by_writing_and_reading),
        TEST(a_writer_that_may_not_write_fails_with_advice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
