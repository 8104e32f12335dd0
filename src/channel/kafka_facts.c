/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_facts.c - what the cluster says of itself and of a topic, asked once before anything runs.
 *
 *   prepare: topic found --> learn(): cluster id; one DescribeConfigs of topic and broker
 *                            warn():  what may lose data, one line each
 *
 * A user without the right to see configurations works as well: then the limits are not known, and
 * a record that is too large is found out by the broker. So nothing here is needed, and everything
 * has a value that stands for "not known".
 *
 * Threads: the driver's. Memory: the channel's struct. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum {
    /* What a batch of one record has around its key and value: 61 bytes of the batch's head, and
     * at most 5 lengths and differences. */
    BATCH_OVERHEAD = 61 + 1 + 5 * 5 + 10,
    RETENTION_SHORT_MS = 60 * 60 * 1000,
    OFFSETS_SHORT_MINUTES = 2 * 60,
};

/* --- Asking -----------------------------------------------------------------------------------
 */

static void take_entry(struct sb_kafka_facts *facts, const char *name, const char *value)
{
    const struct {
        const char *name;
        int64_t *number;
    } numbers[] = {
        {"max.message.bytes", &facts->batch_max},
        {"retention.ms", &facts->retention_ms},
        {"retention.bytes", &facts->retention_bytes},
        {"transaction.max.timeout.ms", &facts->transaction_ms_max},
        {"offsets.retention.minutes", &facts->offsets_minutes},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(numbers[i].name, name) == 0)
            *numbers[i].number = strtoll(value, NULL, 10);
    }
    if (strcmp(name, "cleanup.policy") == 0) {
        facts->compacts = strstr(value, "compact") != NULL;
        facts->deletes = strstr(value, "delete") != NULL;
    }
    if (strcmp(name, "unclean.leader.election.enable") == 0)
        facts->unclean = strcmp(value, "true") == 0;
}

/* Of the topic, what it has; of the broker, only what a topic hasn't. */
static void take_resource(struct sb_kafka_facts *facts, const rd_kafka_ConfigResource_t *resource)
{
    size_t count = 0;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    const bool is_topic = rd_kafka_ConfigResource_type(resource) == RD_KAFKA_RESOURCE_TOPIC;

    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        const bool is_brokers = strncmp(name, "transaction.", strlen("transaction.")) == 0 ||
                                strncmp(name, "offsets.", strlen("offsets.")) == 0;

        if (value != NULL && is_topic != is_brokers)
            take_entry(facts, name, value);
    }
}

static bool is_forbidden(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
           code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
}

/* SABOT_AGAIN: ask once more. */
static sabot_status take_answer(struct sb_channel *channel, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code =
        event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    const rd_kafka_ConfigResource_t **resources = NULL;
    size_t count = 0;

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        resources = rd_kafka_DescribeConfigs_result_resources(
            rd_kafka_event_DescribeConfigs_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        if (rd_kafka_ConfigResource_error(resources[i]) == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_resource(&channel->facts, resources[i]);
        else
            code = rd_kafka_ConfigResource_error(resources[i]);
    }
    /* A topic that was just made is not known to every broker at once. */
    if (sb_kafka_is_transient(code) || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return SABOT_AGAIN;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        sb_log(channel->env, is_forbidden(code) ? SABOT_LOG_INFO : SABOT_LOG_WARN, channel->name,
               "topic %s: its limits can't be read (%s): what they refuse is found out late",
               channel->topic, rd_kafka_err2str(code));
    return SABOT_OK;
}

static sabot_status describe(struct sb_channel *channel, sabot_error *error)
{
    rd_kafka_t *handle = sb_kafka_control(channel)->handle;
    rd_kafka_ConfigResource_t *asked[2];
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
    sabot_status status;
    char broker[16];

    (void)snprintf(broker, sizeof broker, "%" PRId32, channel->facts.broker);
    asked[0] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, channel->topic);
    asked[1] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, broker);
    if (asked[0] == NULL || asked[1] == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to ask for topic %s",
                           channel->topic);
    queue = rd_kafka_queue_new(handle);
    rd_kafka_DescribeConfigs(handle, asked, 2, NULL, queue);
    event = rd_kafka_queue_poll(queue, SB_KAFKA_CALL_MS);
    status = take_answer(channel, event);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy_array(asked, 2);
    return status;
}

static sabot_status ask_cluster(struct sb_channel *channel)
{
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    char *cluster = rd_kafka_clusterid(client->handle, sb_kafka_call_ms(client));

    if (cluster == NULL)
        return SABOT_AGAIN;
    (void)snprintf(channel->facts.cluster, sizeof channel->facts.cluster, "%s", cluster);
    rd_kafka_mem_free(client->handle, cluster);
    return SABOT_OK;
}

/* --- Saying -----------------------------------------------------------------------------------
 */

static void warn_reading(const struct sb_channel *channel)
{
    const struct sb_kafka_facts *facts = &channel->facts;

    if (facts->compacts)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s is compacted: older records of a key go, also those that a restart would "
               "have to read again",
               channel->topic);
    if (facts->deletes && facts->retention_ms >= 0 && facts->retention_ms < RETENTION_SHORT_MS)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s keeps records for %" PRId64
               " s only (retention.ms): what a worker that is away for longer hasn't read is lost",
               channel->topic, facts->retention_ms / 1000);
    if (facts->offsets_minutes > 0 && facts->offsets_minutes < OFFSETS_SHORT_MINUTES)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "the brokers of %s forget offsets after %" PRId64
               " minutes (offsets.retention.minutes): a worker that is away for longer starts with "
               "a question; see also checkpoint.refresh_ms",
               channel->brokers, facts->offsets_minutes);
}

static void warn_writing(const struct sb_channel *channel)
{
    const struct sb_kafka_facts *facts = &channel->facts;

    if (facts->compacts)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s is compacted: of the records of a key the last one stays, and one without "
               "a key is refused",
               channel->topic);
    if (facts->deletes && facts->retention_ms >= 0 && facts->retention_ms < RETENTION_SHORT_MS)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s keeps records for %" PRId64
               " s only (retention.ms), counted from their event time",
               channel->topic, facts->retention_ms / 1000);
}

static void warn(const struct sb_channel *channel)
{
    if (channel->for_reading)
        warn_reading(channel);
    if (channel->for_writing)
        warn_writing(channel);
    if (channel->facts.unclean)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s may elect a leader that misses records (unclean.leader.election.enable): "
               "what was acknowledged may be lost",
               channel->topic);
}

/* --- For the others ---------------------------------------------------------------------------
 */

sabot_status sb_kafka_learn(struct sb_channel *channel, sabot_error *error)
{
    struct sb_kafka_facts *facts = &channel->facts;

    if (facts->is_known)
        return SABOT_OK;
    *facts = (struct sb_kafka_facts){.broker = facts->broker,
                                     .batch_max = INT64_MAX,
                                     .retention_ms = -1,
                                     .retention_bytes = -1,
                                     .transaction_ms_max = INT64_MAX};
    SABOT_TRY(ask_cluster(channel));
    SABOT_TRY(describe(channel, error));
    facts->is_known = true;
    warn(channel);
    return SABOT_OK;
}

const char *sb_kafka_cluster(const struct sb_channel *channel)
{
    return channel->facts.cluster[0] == '\0' ? NULL : channel->facts.cluster;
}

uint64_t sb_kafka_record_max(const struct sb_channel *channel)
{
    const int64_t batch_max = channel->facts.batch_max;
    uint64_t record_max = channel->record_max;

    if (batch_max > BATCH_OVERHEAD && (uint64_t)batch_max - BATCH_OVERHEAD < record_max)
        record_max = (uint64_t)batch_max - BATCH_OVERHEAD;
    return record_max;
}

sabot_status sb_kafka_check_size(const struct sb_channel *channel, size_t size, sabot_error *error)
{
    const uint64_t record_max = sb_kafka_record_max(channel);

    if (size <= record_max)
        return SABOT_OK;
    if (record_max == channel->record_max)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "a record of %zu bytes for topic %s; the limit is %" PRIu64
                           " (record.bytes_max)",
                           size, channel->topic, record_max);
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "a record of %zu bytes for topic %s; the limit is %" PRIu64
                       ", for the topic takes batches of %" PRId64
                       ": raise its max.message.bytes, or emit less",
                       size, channel->topic, record_max, channel->facts.batch_max);
}
