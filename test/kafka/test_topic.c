/* SPDX-License-Identifier: Apache-2.0 */
/* test_topic.c - URLs, options, and topics that are there, are missing, or are made. */
#include "kafka_rig.h"
#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

static void a_missing_topic_is_not_found_and_the_error_says_how_to_make_it(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;

    for (int for_what = RIG_READING; for_what <= RIG_WRITING; for_what++) {
        rig_ok(rig, rig_try_open(rig, 0, for_what, &channel));
        rig_is(rig, rig_prepare(rig, channel), SABOT_ERR_NOT_FOUND, rig->topic);
        assert_non_null(strstr(rig->error.text, "?partitions=N"));
        kafka->close(channel);
    }
}

static void a_missing_topic_is_made_when_the_url_says_how(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 5, RIG_READING);

    assert_int_equal(kafka->partition_count(channel), 5);
    assert_true(kafka->connected(channel));
    kafka->close(channel);
    channel = rig_open(rig, 0, RIG_WRITING);
    assert_int_equal(kafka->partition_count(channel), 5);
    kafka->close(channel);
}

static void two_may_make_a_topic_at_once(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channels[2];
    bool is_ready[2] = {false, false};

    for (int i = 0; i < 2; i++)
        rig_ok(rig, rig_try_open(rig, 3, RIG_WRITING, &channels[i]));
    while (!is_ready[0] || !is_ready[1]) {
        for (int i = 0; i < 2; i++) {
            const sabot_status status = kafka->prepare(channels[i], &rig->error);

            is_ready[i] = status == SABOT_OK;
            if (status != SABOT_AGAIN)
                rig_ok(rig, status);
        }
        if (!is_ready[0] || !is_ready[1])
            rig_wait(rig);
    }
    assert_true(kafka->same(channels[0], channels[1]));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kafka->partition_count(channels[i]), 3);
        kafka->close(channels[i]);
    }
}

static void a_topic_with_other_partitions_is_used_as_it_is(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel = rig_open(rig, 2, RIG_WRITING);

    kafka->close(channel);
    rig->env->log_level = SABOT_LOG_ERROR; /* it warns */
    channel = rig_open(rig, 4, RIG_WRITING);
    assert_int_equal(kafka->partition_count(channel), 2);
    kafka->close(channel);
}

static void a_bad_url_is_refused_with_what_is_wrong(void **state)
{
    static const struct {
        const char *url;
        const char *text;
    } cases[] = {
        {"kafka:topic", "kafka://host:port/topic"},
        {"kafka://host:9092", "kafka://host:port/topic"},
        {"kafka:///topic", "no brokers"},
        {"kafka://one,,two/topic", "no brokers"},
        {"kafka://user@host/topic", "kafka.sasl.username"},
        {"kafka://host:9092/", "no topic"},
        {"kafka://host:9092/a/b", "no topic"},
        {"kafka://host:9092/a b", "no topic"},
        {"kafka://host:9092/..", "no topic"},
        {"kafka://host:9092/t?partitions=0", "partitions=0"},
        {"kafka://host:9092/t?partitions=x", "partitions=x"},
        {"kafka://host:9092/t?replication=3", "replication without partitions"},
        {"kafka://host:9092/t?linger=3", "unknown parameter \"linger\""},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sb_channel_config config = {
            .name = "c", .url = cases[i].url, .for_reading = true};
        struct sb_channel *channel;

        rig_is(rig, kafka->open(rig->env, &config, rig->waker, &channel, &rig->error),
               SABOT_ERR_CONFIG, cases[i].text);
        assert_null(channel);
    }
}

static void an_option_goes_to_the_client_or_is_refused_with_its_name(void **state)
{
    static const struct {
        struct rig_option option;
        const char *text; /* NULL: taken */
    } cases[] = {
        {{"kafka.linger.ms", "3"}, NULL},
        {{"kafka.compression.type", "lz4"}, NULL},
        {{"kafka.fetch.wait.max.ms", "7"}, NULL},
        {{"kafka.start", "latest"}, NULL},
        {{"memory.bytes", "1"}, NULL},
        {{"kafka.linger", "3"}, "kafka.linger"},
        {{"kafka.linger.ms", "soon"}, "kafka.linger.ms"},
        {{"kafka.security.protocol", "carrier-pigeon"}, "kafka.security.protocol"},
        {{"kafka.acks", "1"}, "kafka.acks can't be 1: a record counts"},
        {{"kafka.acks", "all"}, NULL},
        {{"kafka.request.required.acks", "0"}, "in-sync replicas"},
        {{"kafka.retries", "0"}, "what is not sent again is lost"},
        {{"kafka.max.in.flight", "6"}, "doubled"},
        {{"kafka.max.in.flight", "1"}, NULL},
        {{"kafka.transactional.id", "mine"}, "it belongs to the pipeline"},
        {{"kafka.transaction.timeout.ms", "1000"}, "it belongs to the pipeline"},
        {{"kafka.isolation.level", "read_uncommitted"}, "only what was committed is read"},
        {{"kafka.enable.auto.commit", "true"}, "kafka.enable.auto.commit can't be set"},
        {{"kafka.auto.offset.reset", "earliest"}, "kafka.start"},
        {{"kafka.bootstrap.servers", "other:9092"}, "the channel's URL"},
        {{"kafka.enable.idempotence", "false"}, "doubled"},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rig_option options[] = {cases[i].option, {NULL, NULL}};
        struct sb_channel *channel;
        sabot_status status;

        rig->options = options;
        status = rig_try_open(rig, 0, RIG_READING | RIG_WRITING, &channel);
        if (cases[i].text != NULL)
            rig_is(rig, status, SABOT_ERR_CONFIG, cases[i].text);
        else
            rig_ok(rig, status);
        kafka->close(channel);
    }
    rig->options = NULL;
}

static void a_channel_may_be_closed_at_any_time(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;
    struct sb_writer *writer;

    rig_ok(rig, rig_try_open(rig, 3, RIG_READING, &channel));
    kafka->close(channel);
    rig_ok(rig, rig_try_open(rig, 3, RIG_READING, &channel));
    assert_int_equal(kafka->prepare(channel, &rig->error), SABOT_AGAIN);
    kafka->close(channel);
    channel = rig_open(rig, 3, RIG_READING | RIG_WRITING);
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    writer = rig_writer(rig, channel, NULL);
    rig_write(rig, writer, 0, 100);
    kafka->writer_close(writer);
    kafka->reader_close(reader);
    kafka->close(channel);
    kafka->close(NULL);
}

static void memory_that_runs_out_is_an_error_and_leaks_nothing(void **state)
{
    struct rig *rig = *state;
    uint64_t nth = 0;
    bool is_open = false;

    while (!is_open) {
        struct sb_channel *channel;

        sb_os_env_fail_allocation(rig->env, ++nth);
        const sabot_status status = rig_try_open(rig, 3, RIG_READING | RIG_WRITING, &channel);
        sb_os_env_fail_allocation(rig->env, 0);
        is_open = status == SABOT_OK;
        if (!is_open)
            assert_int_equal(status, SABOT_ERR_MEMORY);
        kafka->close(channel);
    }
    assert_true(nth > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_topic_is_not_found_and_the_error_says_how_to_make_it),
        TEST(a_missing_topic_is_made_when_the_url_says_how),
        TEST(two_may_make_a_topic_at_once),
        TEST(a_topic_with_other_partitions_is_used_as_it_is),
        TEST(a_bad_url_is_refused_with_what_is_wrong),
        TEST(an_option_goes_to_the_client_or_is_refused_with_its_name),
        TEST(a_channel_may_be_closed_at_any_time),
        TEST(memory_that_runs_out_is_an_error_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
