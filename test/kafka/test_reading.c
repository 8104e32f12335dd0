/* SPDX-License-Identifier: Apache-2.0 */
/* test_reading.c - reading topics of a real broker: marks of transactions, ends, what is gone, and
 * regressions of what librdkafka 2.0 does wrong. */
#include <librdkafka/rdkafka.h>

#include "kafka_rig.h"
#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

static sabot_status first_poll(struct rig *rig, struct sb_reader *reader, struct rig_seen *seen)
{
    sabot_status status;

    while ((status = kafka->poll(reader, 0, 100, rig_see, seen, &rig->error)) == SABOT_AGAIN)
        rig_wait(rig);
    return status;
}

/* Ten numbers in a transaction that is committed or aborted. */
static void write_transaction(struct rig *rig, const char *id, uint64_t first, bool commits)
{
    struct sb_channel *channel = rig_open(rig, 2, RIG_WRITING);
    struct sb_txn *txn;
    struct sb_writer *writer;

    rig_ok(rig, kafka->txn_open(channel, id, 10000, rig->waker, &txn, &rig->error));
    rig_ok(rig, rig_fence(rig, txn));
    rig_begin(rig, txn);
    writer = rig_writer(rig, channel, txn);
    rig_write(rig, writer, first, 10);
    rig_ok(rig, rig_flush(rig, writer));
    if (commits)
        rig_ok(rig, rig_commit(rig, txn));
    else
        rig_abort(rig, txn);
    kafka->writer_close(writer);
    kafka->txn_close(txn);
    kafka->close(channel);
}

static void a_partition_that_ends_with_marks_ends(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;

    write_transaction(rig, rig->topic, 0, true);
    rig_read_all(rig, &seen);
    assert_int_equal(seen.counts[0] + seen.counts[1], 10);
    assert_int_equal(seen.sum, 45);
}

static void aborted_records_are_not_read_and_do_not_hold_up_the_end(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;

    write_transaction(rig, rig->topic, 0, true);
    write_transaction(rig, rig->topic, 100, false);
    rig_read_all(rig, &seen);
    assert_int_equal(seen.counts[0] + seen.counts[1], 10);
    assert_int_equal(seen.sum, 45);
}

static void a_topic_of_nothing_but_aborted_records_ends(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen;

    write_transaction(rig, rig->topic, 0, false);
    rig_read_all(rig, &seen);
    assert_int_equal(seen.counts[0] + seen.counts[1], 0);
}

static void the_position_counts_marks(void **state)
{
    struct rig *rig = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;
    struct sb_reader_position position;
    struct rig_seen seen = {.partition_count = 2};

    write_transaction(rig, rig->topic, 0, true);
    write_transaction(rig, rig->topic, 0, false);
    channel = rig_open(rig, 0, RIG_READING | RIG_UNTIL_END);
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    rig_read(rig, reader, UINT64_MAX, &seen);
    for (uint32_t i = 0; i < 2; i++) {
        /* 5 records, a mark, 5 aborted records, a mark. */
        assert_int_equal(seen.next[i], 5);
        kafka->position(reader, i, &position);
        assert_int_equal(position.offset, 12);
        assert_int_equal(kafka->lag(reader, i), 0);
    }
    kafka->reader_close(reader);
    /* From there on there is nothing, and that is no error. */
    reader = rig_reader(rig, channel, 12);
    assert_int_equal(first_poll(rig, reader, &seen), SABOT_END);
    kafka->reader_close(reader);
    kafka->close(channel);
}

/* --- Every record once, whatever the pace ----------------------------------------------------- */

struct jumpy {
    struct rig_seen seen;
    uint64_t random;
    uint64_t refused;
    uint64_t again_shown_wrong;
    int64_t refused_offset[8];
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Takes, takes and stops, or refuses; a refused record must be the next one shown. */
static sabot_status jump(void *context, const struct sb_record *record)
{
    struct jumpy *jumpy = context;
    const uint64_t choice = next_random(&jumpy->random) % 50;

    if (jumpy->refused_offset[record->partition] >= 0 &&
        jumpy->refused_offset[record->partition] != record->offset)
        jumpy->again_shown_wrong++;
    jumpy->refused_offset[record->partition] = -1;
    if (choice == 0) {
        jumpy->refused_offset[record->partition] = record->offset;
        jumpy->refused++;
        return SABOT_END;
    }
    (void)rig_see(&jumpy->seen, record);
    return choice == 1 ? SABOT_AGAIN : SABOT_OK;
}

static void no_record_is_skipped_by_a_reader_that_stops_and_goes(void **state)
{
    enum { COUNT = 300000 };
    struct rig *rig = *state;
    struct jumpy jumpy = {.random = sb_random(rig->env), .refused_offset = {-1, -1, -1, -1}};
    struct sb_channel *channel;
    struct sb_reader *reader;
    uint32_t ended = 0;

    printf("seed %llu\n", (unsigned long long)jumpy.random);
    rig->buffer_bytes = 64 << 10; /* queues that are full most of the time */
    rig->options = (const struct rig_option[]){{"kafka.queued.min.messages", "2000"}, {NULL, NULL}};
    rig_fill(rig, 3, COUNT);
    channel = rig_open(rig, 0, RIG_READING | RIG_UNTIL_END);
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    while (ended != 7) {
        /* One partition is served for a while, the others are not: what a pause would be for. */
        const uint32_t index = (uint32_t)(next_random(&jumpy.random) % 3);
        const uint32_t records_max = 1 + (uint32_t)(next_random(&jumpy.random) % 700);
        sabot_status status = SABOT_OK;

        for (int i = 0; i < 20 && status == SABOT_OK; i++)
            status = kafka->poll(reader, index, records_max, jump, &jumpy, &rig->error);
        if (status == SABOT_END)
            ended |= 1u << index;
        else if (status != SABOT_OK && status != SABOT_AGAIN)
            rig_ok(rig, status);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jumpy.seen.counts[i], COUNT / 3);
        assert_int_equal(jumpy.seen.next[i], COUNT / 3);
    }
    assert_int_equal(jumpy.seen.out_of_order, 0);
    assert_int_equal(jumpy.seen.sum, (uint64_t)COUNT * (COUNT - 1) / 2);
    assert_int_equal(jumpy.again_shown_wrong, 0);
    assert_true(jumpy.refused > 0);
    kafka->reader_close(reader);
    kafka->close(channel);
}

static void readers_share_a_channel_by_partitions(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen[2] = {{.partition_count = 1}, {.partition_count = 2}};
    struct sb_channel *channel;
    struct sb_reader *readers[2];
    const struct sb_reader_position first = {.partition = 1, .offset = SB_OFFSET_BEGIN};
    const struct sb_reader_position second[2] = {{.partition = 2, .offset = SB_OFFSET_BEGIN},
                                                 {.partition = 0, .offset = SB_OFFSET_BEGIN}};

    rig_fill(rig, 3, 3000);
    channel = rig_open(rig, 0, RIG_READING | RIG_UNTIL_END);
    rig_ok(rig, kafka->reader_open(channel, &first, 1, rig->waker, &readers[0], &rig->error));
    rig_ok(rig, kafka->reader_open(channel, second, 2, rig->waker, &readers[1], &rig->error));
    for (int i = 0; i < 2; i++)
        rig_read(rig, readers[i], UINT64_MAX, &seen[i]);
    assert_int_equal(seen[0].counts[1], 1000);
    assert_int_equal(seen[1].counts[0], 1000);
    assert_int_equal(seen[1].counts[2], 1000);
    assert_int_equal(seen[0].sum + seen[1].sum, 3000 * 2999 / 2);
    kafka->reader_close(readers[0]);
    kafka->reader_close(readers[1]);
    kafka->close(channel);
}

/* --- What is gone ----------------------------------------------------------------------------- */

static void delete_before(const struct rig *rig, int64_t offset)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_DeleteRecords_t *request;

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", rig->brokers, NULL, 0),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
    assert_non_null(client);
    rd_kafka_topic_partition_list_add(list, rig->topic, 0)->offset = offset;
    request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, RIG_PATIENCE_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(client);
}

static void a_position_whose_records_were_deleted_is_refused_for_good(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen = {.partition_count = 1};
    struct sb_channel *channel;
    struct sb_reader *reader;
    struct sb_reader_position position = {.partition = 0, .offset = 40};

    rig_fill(rig, 1, 100);
    delete_before(rig, 50);
    channel = rig_open(rig, 0, RIG_READING);
    reader = rig_reader(rig, channel, 20);
    rig_is(rig, first_poll(rig, reader, &seen), SABOT_ERR_NOT_FOUND, "partition 0, offset 20");
    rig_is(rig, first_poll(rig, reader, &seen), SABOT_ERR_NOT_FOUND, "choose anew where to begin");
    kafka->position(reader, 0, &position);
    assert_int_equal(position.offset, 20);
    assert_int_equal(seen.counts[0], 0);
    /* Until somebody decides. */
    position.offset = 50;
    rig_ok(rig, kafka->seek(reader, &position, &rig->error));
    rig_ok(rig, first_poll(rig, reader, &seen));
    rig_read(rig, reader, 50, &seen);
    assert_int_equal(seen.next[0], 100);
    kafka->reader_close(reader);
    /* The beginning is where the records begin. */
    reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);
    seen = (struct rig_seen){.partition_count = 1};
    rig_read(rig, reader, 50, &seen);
    assert_int_equal(seen.next[0], 100);
    kafka->reader_close(reader);
    kafka->close(channel);
}

static void latest_begins_at_the_end(void **state)
{
    struct rig *rig = *state;
    struct rig_seen seen = {.partition_count = 1};
    struct sb_channel *channel;
    struct sb_reader *reader;
    struct sb_reader_position position = {.offset = SB_OFFSET_NONE};

    rig->start = "latest";
    rig_fill(rig, 1, 10);
    channel = rig_open(rig, 0, RIG_READING);
    reader = rig_reader(rig, channel, SB_OFFSET_NONE);
    while (kafka->poll(reader, 0, 1, rig_see, &seen, &rig->error) == SABOT_AGAIN) {
        kafka->position(reader, 0, &position);
        if (position.offset >= 0)
            break;
        rig_wait(rig);
    }
    assert_int_equal(position.offset, 10);
    rig_fill(rig, 1, 3);
    rig_read(rig, reader, 3, &seen);
    assert_int_equal(seen.next[0], 13);
    kafka->reader_close(reader);
    kafka->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_partition_that_ends_with_marks_ends),
        TEST(aborted_records_are_not_read_and_do_not_hold_up_the_end),
        TEST(a_topic_of_nothing_but_aborted_records_ends),
        TEST(the_position_counts_marks),
        TEST(no_record_is_skipped_by_a_reader_that_stops_and_goes),
        TEST(readers_share_a_channel_by_partitions),
        TEST(a_position_whose_records_were_deleted_is_refused_for_good),
        TEST(latest_begins_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
