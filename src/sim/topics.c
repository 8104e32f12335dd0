/* SPDX-License-Identifier: Apache-2.0 */
/* topics.c - the topics of a simulation: records into the inputs, and what is left to read.
 *
 * The input comes in bursts. With the fault "aborts" a part of it is written in transactions, of
 * which some are aborted: their records are never to be seen, and are written again. A transaction
 * that is open holds back all that is written behind it.
 *
 * Thread: one. Memory: the broker's. */
#include <stdio.h>
#include <string.h>

#include "channel/memory_log.h"
#include "sim/world.h"

enum {
    BURST_MAX = 24,
    PAUSE_US = 1500 * 1000,
    TOPIC_BYTES = 1024 * 1024,
    FEED_TIMEOUT_MS = 600000
};

static const struct sb_channel_type *const log_type = &sb_channel_memory;

/* --- Making ------------------------------------------------------------------------------------
 */

static sabot_status open_output(struct sb_sim_broker *broker,
                                struct sb_sim_topic_entry *topic,
                                sabot_error *error)
{
    struct sb_reader_position positions[SB_PARTITIONS_MAX / 64];
    struct sb_reader *reader;

    SB_ASSERT(topic->partitions <= SB_PARTITIONS_MAX / 64);
    for (int32_t i = 0; i < topic->partitions; i++)
        positions[i] = (struct sb_reader_position){.partition = i, .offset = SB_OFFSET_BEGIN};
    SABOT_TRY(log_type->reader_open(topic->channel, positions, (uint32_t)topic->partitions,
                                    broker->waker, &reader, error));
    topic->reader = reader;
    return SABOT_OK;
}

static sabot_status open_input(struct sb_sim *sim,
                               struct sb_sim_topic_entry *topic,
                               sabot_error *error)
{
    char id[SABOT_NAME_MAX + 16];
    struct sb_writer *writer;
    struct sb_txn *txn;

    (void)snprintf(id, sizeof id, "feeder.%s", topic->name);
    SABOT_TRY(log_type->writer_open(topic->channel, NULL, sim->broker.waker, &writer, error));
    topic->writer = writer;
    if ((sim->drawn & (1U << SB_SIM_ABORTS)) == 0)
        return SABOT_OK;
    SABOT_TRY(
        log_type->txn_open(topic->channel, id, FEED_TIMEOUT_MS, sim->broker.waker, &txn, error));
    topic->txn = txn;
    SABOT_TRY(log_type->txn_fence(txn, error));
    SABOT_TRY(log_type->writer_open(topic->channel, txn, sim->broker.waker, &writer, error));
    topic->txn_writer = writer;
    return SABOT_OK;
}

sabot_status sb_sim_topic(struct sb_sim *sim,
                          const char *name,
                          int32_t partitions,
                          sb_sim_next next,
                          uint32_t index,
                          sabot_error *error)
{
    struct sb_sim_broker *broker = &sim->broker;
    struct sb_sim_topic_entry *topic = &broker->topics[broker->topic_count];
    char url[SABOT_NAME_MAX + 64];
    const struct sb_channel_config config = {
        .name = name,
        .url = url,
        .for_reading = true,
        .for_writing = true,
        .record_max = TOPIC_BYTES / 2,
        .log = broker->log,
    };
    struct sb_channel *channel;

    if (broker->topic_count == SB_SIM_TOPICS_MAX || strlen(name) > SABOT_NAME_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "topic %s: %d topics are the limit", name,
                           SB_SIM_TOPICS_MAX);
    (void)snprintf(url, sizeof url, "memory:%s?partitions=%d&bytes=%d", name, (int)partitions,
                   TOPIC_BYTES * (int)partitions);
    SABOT_TRY(log_type->open(broker->env, &config, broker->waker, &channel, error));
    *topic = (struct sb_sim_topic_entry){
        .channel = channel,
        .next = next,
        .index = index,
        .partitions = partitions,
    };
    (void)snprintf(topic->name, sizeof topic->name, "%s", name);
    broker->topic_count++;
    SABOT_TRY(log_type->prepare(channel, error));
    return next == NULL ? open_output(broker, topic, error) : open_input(sim, topic, error);
}

void sb_sim_topics_close(struct sb_sim_broker *broker)
{
    for (uint32_t i = 0; i < broker->topic_count; i++) {
        struct sb_sim_topic_entry *topic = &broker->topics[i];

        log_type->reader_close(topic->reader);
        log_type->writer_close(topic->txn_writer);
        log_type->writer_close(topic->writer);
        log_type->txn_close(topic->txn);
        log_type->close(topic->channel);
    }
    broker->topic_count = 0;
}

/* --- Input -------------------------------------------------------------------------------------
 */

static void write_input(struct sb_sim *sim, void *writer, const struct sb_sim_input *input)
{
    const struct sb_record record = {
        .key = input->key,
        .value = input->value,
        .partition = input->partition,
        .timestamp_ms = input->timestamp_ms,
    };
    sabot_error error;

    if (log_type->write(writer, &record, &error) != SABOT_OK)
        sb_sim_violate(sim, "the input can't be written: %s", error.text);
}

static void end_transaction(struct sb_sim *sim, struct sb_sim_topic_entry *topic)
{
    const bool commits = topic->mode == SB_SIM_TXN_COMMITS;
    sabot_error error;
    const sabot_status status = commits ? log_type->txn_commit(topic->txn, &error)
                                        : log_type->txn_abort(topic->txn, &error);

    if (status != SABOT_OK)
        sb_sim_violate(sim, "a transaction of the input: %s", error.text);
    topic->mode = SB_SIM_TXN_NONE;
}

static void begin_transaction(struct sb_sim *sim, struct sb_sim_topic_entry *topic)
{
    sabot_error error;

    if (topic->txn == NULL || topic->mode != SB_SIM_TXN_NONE || !sb_sim_happens(sim, SB_SIM_ABORTS))
        return;
    if (log_type->txn_begin(topic->txn, &error) != SABOT_OK)
        sb_sim_violate(sim, "a transaction of the input: %s", error.text);
    topic->mode = sb_draw_one_in(&sim->draw, 2) ? SB_SIM_TXN_COMMITS : SB_SIM_TXN_ABORTS;
    sim->happened[SB_SIM_ABORTS]++;
}

/* Some records; SABOT_END from `next`: that was all. What a transaction that will be aborted holds
 * is written beside it as well. */
static void feed_burst(struct sb_sim *sim, struct sb_sim_topic_entry *topic)
{
    const uint32_t count = 1 + sb_draw_wide(&sim->input_draw, BURST_MAX);

    begin_transaction(sim, topic);
    for (uint32_t i = 0; i < count && !topic->is_fed; i++) {
        struct sb_sim_input input = {.partition = SB_PARTITION_ANY};

        topic->is_fed = topic->next(sim->plan->user, topic->index, &input) != SABOT_OK;
        if (topic->is_fed)
            break;
        if (topic->mode != SB_SIM_TXN_NONE)
            write_input(sim, topic->txn_writer, &input);
        if (topic->mode != SB_SIM_TXN_COMMITS)
            write_input(sim, topic->writer, &input);
    }
    if (topic->mode != SB_SIM_TXN_NONE &&
        (topic->is_fed || sim->is_calm || sb_draw_one_in(&sim->draw, 2)))
        end_transaction(sim, topic);
    topic->due_us = sim->now_us + sb_draw_wide(&sim->input_draw, PAUSE_US);
}

static struct sb_sim_topic_entry *find_topic(struct sb_sim_broker *broker, const char *name)
{
    uint32_t at = 0;

    while (at < broker->topic_count && strcmp(broker->topics[at].name, name) != 0)
        at++;
    SB_ASSERT(at < broker->topic_count);
    return &broker->topics[at];
}

sabot_status sb_sim_topic_begin(struct sb_sim *sim, const char *name, uint32_t count)
{
    struct sb_sim_topic_entry *topic = find_topic(&sim->broker, name);

    for (uint32_t i = 0; i < count; i++) {
        struct sb_sim_input input = {.partition = SB_PARTITION_ANY};

        SABOT_TRY(topic->next(sim->plan->user, topic->index, &input));
        write_input(sim, topic->writer, &input);
    }
    return SABOT_OK;
}

void sb_sim_topic_is_read(struct sb_sim *sim, const char *name)
{
    find_topic(&sim->broker, name)->is_read = true;
}

int64_t sb_sim_feed(struct sb_sim_broker *broker)
{
    int64_t next_us = INT64_MAX;

    for (uint32_t i = 0; i < broker->topic_count; i++) {
        struct sb_sim_topic_entry *topic = &broker->topics[i];

        if (topic->next == NULL || topic->is_fed)
            continue;
        if (topic->due_us <= broker->sim->now_us)
            feed_burst(broker->sim, topic);
        if (!topic->is_fed && topic->due_us < next_us)
            next_us = topic->due_us;
    }
    return next_us;
}

/* --- At rest -----------------------------------------------------------------------------------
 */

static sabot_status refuse_record(void *context, const struct sb_record *record)
{
    (void)record;
    *(bool *)context = true;
    return SABOT_END;
}

bool sb_sim_topic_metadata(struct sb_sim *sim, const char *name, char *text_out, size_t size)
{
    struct sb_sim_topic_entry *topic = find_topic(&sim->broker, name);
    struct sb_offset offset = {.channel = topic->name, .partition = 0};
    sabot_error error;

    text_out[0] = '\0';
    if (topic->group[0] == '\0' ||
        log_type->committed(topic->channel, topic->group, &offset, 1, &error) != SABOT_OK)
        return false;
    if (offset.metadata != NULL)
        (void)snprintf(text_out, size, "%s", offset.metadata);
    sb_string_free(sim->broker.env, offset.metadata);
    return text_out[0] != '\0';
}

/* Is there a record behind the committed offset of a partition? */
static bool has_lag(struct sb_sim_broker *broker,
                    struct sb_sim_topic_entry *topic,
                    int32_t partition)
{
    struct sb_offset offset = {.channel = topic->name, .partition = partition};
    struct sb_reader_position position = {.partition = partition, .offset = SB_OFFSET_BEGIN};
    struct sb_reader *reader;
    bool lags = false;
    sabot_error error;

    if (topic->group[0] != '\0') {
        if (log_type->committed(topic->channel, topic->group, &offset, 1, &error) != SABOT_OK)
            return true;
        sb_string_free(broker->env, offset.metadata);
        if (offset.offset != SB_OFFSET_NONE)
            position.offset = offset.offset;
    }
    if (log_type->reader_open(topic->channel, &position, 1, broker->waker, &reader, &error) !=
        SABOT_OK)
        return true;
    (void)!log_type->poll(reader, 0, 1, refuse_record, &lags, &error);
    log_type->reader_close(reader);
    return lags;
}

bool sb_sim_topics_at_rest(struct sb_sim_broker *broker, char *reason, size_t size)
{
    for (uint32_t i = 0; i < broker->topic_count; i++) {
        struct sb_sim_topic_entry *topic = &broker->topics[i];
        const struct sb_channel *channel = topic->channel;

        if (topic->next != NULL && !topic->is_fed) {
            (void)snprintf(reason, size, "%s: not all of the input is in", topic->name);
            return false;
        }
        for (int32_t at = 0; at < topic->partitions; at++) {
            if (channel->topic->partitions[at].open_count > 0) {
                (void)snprintf(reason, size, "%s, partition %d: a transaction is open", topic->name,
                               (int)at);
                return false;
            }
            if ((topic->next != NULL || topic->is_read) && has_lag(broker, topic, at)) {
                (void)snprintf(reason, size,
                               "%s, partition %d: there are records that were not committed as "
                               "read",
                               topic->name, (int)at);
                return false;
            }
        }
    }
    return true;
}
