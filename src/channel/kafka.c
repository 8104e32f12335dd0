/* SPDX-License-Identifier: Apache-2.0 */
/* kafka.c - the Kafka channel: `kafka://host:port[,host:port]/topic[?partitions=3&replication=1]`.
 *
 * This file holds the channel itself: its URL, finding or creating its topic (prepare), and the
 * ends of its partitions. What reads and writes records is in the files beside this one; kafka.h
 * says who does what.
 *
 *   open --submit--> look up the topic --missing--> create it --> look it up again
 *                          |                                        (until its leaders are known)
 *                          +--> learn its limits --> until_end, writing: read the ends --> ready
 *
 * Threads: calls by the control thread, `prepare_run` by the driver thread; while it is under
 * way the control thread touches nothing that it writes. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum { RULE_PARTITIONS, RULE_REPLICATION };

static const struct sb_url_rule rules[] = {
    [RULE_PARTITIONS] = {"partitions", SB_URL_INT, 1, SB_PARTITIONS_MAX},
    [RULE_REPLICATION] = {"replication", SB_URL_INT, 1, 32},
};

struct sb_kafka_client *sb_kafka_control(const struct sb_channel *channel)
{
    return channel->consumer != NULL ? channel->consumer
                                     : sb_kafka_producer_client(channel->producer);
}

/* --- The topic -------------------------------------------------------------------------------- */

/* A cluster that has just been started, or is overloaded, has no broker for a topic yet, and says
 * it by the same code as one that never will have so many. */
static bool is_starting(rd_kafka_resp_err_t code, const char *reason)
{
    return code == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR && strstr(reason, "fenced") != NULL;
}

/* Ask the controller to make the topic. SABOT_AGAIN: made, or a broker is away: look again. */
static sabot_status create_topic(struct sb_channel *channel, sabot_error *error)
{
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    char reason[256] = "";
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(channel->topic, channel->partitions_wanted,
                                                       channel->replication, reason, sizeof reason);
    const rd_kafka_topic_result_t **results;
    rd_kafka_resp_err_t code;
    size_t count = 0;

    if (topic == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG, "can't create topic %s: %s", channel->topic,
                           reason);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->handle);
    rd_kafka_CreateTopics(client->handle, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, SB_KAFKA_CALL_MS);
    code = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        SB_ASSERT(count == 1);
        code = rd_kafka_topic_result_error(results[0]);
        if (rd_kafka_topic_result_error_string(results[0]) != NULL)
            (void)snprintf(reason, sizeof reason, "%s",
                           rd_kafka_topic_result_error_string(results[0]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        sb_log(channel->env, SABOT_LOG_INFO, channel->name,
               "created topic %s with %" PRId32 " partitions", channel->topic,
               channel->partitions_wanted);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        channel->topic_created = true;
        return SABOT_AGAIN;
    }
    if (sb_kafka_is_transient(code) || is_starting(code, reason))
        return SABOT_AGAIN;
    return sabot_raise(error, sb_kafka_status(code),
                       "can't create topic %s with %" PRId32 " partitions: %s%s%s", channel->topic,
                       channel->partitions_wanted, rd_kafka_err2str(code),
                       reason[0] == '\0' ? "" : ": ", reason);
}

/* A topic that does not exist: create it when the URL says how. */
static sabot_status topic_missing(struct sb_channel *channel, sabot_error *error)
{
    if (channel->topic_created)
        return SABOT_AGAIN; /* brokers hear of it one after the other */
    if (channel->partitions_wanted > 0)
        return create_topic(channel, error);
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "there is no topic \"%s\" at %s; create it, or let Sabot do it: "
                       "kafka://%s/%s?partitions=N",
                       channel->topic, channel->brokers, channel->brokers, channel->topic);
}

/* What the metadata says of the topic. SABOT_AGAIN: not settled yet. */
static sabot_status look_at(struct sb_channel *channel,
                            const rd_kafka_metadata_topic_t *topic,
                            sabot_error *error)
{
    if (topic->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return topic_missing(channel, error);
    if (sb_kafka_is_transient(topic->err) || (topic->err == 0 && topic->partition_cnt == 0))
        return SABOT_AGAIN;
    if (topic->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return sabot_raise(error, sb_kafka_status(topic->err), "topic %s at %s: %s", channel->topic,
                           channel->brokers, rd_kafka_err2str(topic->err));
    if (topic->partition_cnt > SB_PARTITIONS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "topic %s has %d partitions; Sabot takes %d",
                           channel->topic, topic->partition_cnt, SB_PARTITIONS_MAX);
    for (int i = 0; i < topic->partition_cnt; i++) {
        if (topic->partitions[i].leader < 0)
            return SABOT_AGAIN;
    }
    channel->partition_count = topic->partition_cnt;
    return SABOT_OK;
}

static sabot_status find_topic(struct sb_channel *channel, sabot_error *error)
{
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client->handle, channel->topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;
    sabot_status status = SABOT_AGAIN;
    rd_kafka_resp_err_t code;

    if (topic == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "topic %s: %s", channel->topic,
                           rd_kafka_err2str(rd_kafka_last_error()));
    code = rd_kafka_metadata(client->handle, 0, topic, &metadata, sb_kafka_call_ms(client));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->broker_cnt > 0)
        channel->facts.broker = metadata->brokers[0].id;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1)
        status = look_at(channel, &metadata->topics[0], error);
    else if (code != RD_KAFKA_RESP_ERR_NO_ERROR && !sb_kafka_is_transient(code))
        status = sabot_raise(error, sb_kafka_status(code), "topic %s at %s: %s", channel->topic,
                             channel->brokers, rd_kafka_err2str(code));
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    return status;
}

/* May the answer for a partition that the metadata have named be another one soon? */
static bool passes(const struct sb_channel *channel, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return !channel->ready; /* its leader has not heard of it yet */
    /* Said by librdkafka, right after a broker has stood still and the controller has fenced it. */
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || sb_kafka_is_transient(code);
}

/* Replace the elements that stand for `which` (begin or end), by one request per broker. */
static sabot_status resolve_some(struct sb_channel *channel,
                                 rd_kafka_topic_partition_list_t *list,
                                 int64_t which,
                                 sabot_error *error)
{
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    rd_kafka_topic_partition_list_t *some = rd_kafka_topic_partition_list_new(list->cnt);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    sabot_status status = SABOT_OK;

    for (int i = 0; i < list->cnt; i++) {
        if (list->elems[i].offset == which)
            rd_kafka_topic_partition_list_add(some, list->elems[i].topic, list->elems[i].partition)
                ->offset = which; /* as a time: -2 the first there is, -1 the end */
    }
    if (some->cnt > 0)
        code = rd_kafka_offsets_for_times(client->handle, some, sb_kafka_call_ms(client));
    for (int i = 0; i < some->cnt && status == SABOT_OK; i++) {
        const rd_kafka_topic_partition_t *one = &some->elems[i];

        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = one->err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && one->offset >= 0)
            rd_kafka_topic_partition_list_find(list, one->topic, one->partition)->offset =
                one->offset;
        else if (code == RD_KAFKA_RESP_ERR_NO_ERROR || passes(channel, code))
            status = SABOT_AGAIN;
        else
            status = sabot_raise(
                error, sb_kafka_status(code),
                "topic %s, partition %" PRId32 ": can't read where it %s: %s", one->topic,
                one->partition, which == SB_OFFSET_END ? "ends" : "begins", rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(some);
    return status;
}

sabot_status sb_kafka_resolve(struct sb_channel *channel,
                              rd_kafka_topic_partition_list_t *list,
                              sabot_error *error)
{
    SABOT_TRY(resolve_some(channel, list, SB_OFFSET_BEGIN, error));
    return resolve_some(channel, list, SB_OFFSET_END, error);
}

/* The ends for until_end: of what is committed, as they are now.
 *
 * A writer asks as well, for by its answer a leader says that it is one. The metadata name leaders
 * of a new topic some 50 ms before they are; a batch that comes in between is refused, the next
 * one, already on its way, is taken, and as the leader does not know the producer yet, it misses
 * nothing. librdkafka then takes the first for acknowledged: records are lost without an error. */
static sabot_status read_ends(struct sb_channel *channel, sabot_error *error)
{
    const size_t count = (size_t)channel->partition_count;
    rd_kafka_topic_partition_list_t *list;
    sabot_status status;

    if (channel->ends == NULL)
        channel->ends = sb_alloc_array(channel->env, count, sizeof *channel->ends);
    if (channel->ends == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for %zu partitions", count);
    list = rd_kafka_topic_partition_list_new((int)count);
    for (int32_t i = 0; i < channel->partition_count; i++)
        rd_kafka_topic_partition_list_add(list, channel->topic, i)->offset = SB_OFFSET_END;
    status = sb_kafka_resolve(channel, list, error);
    for (int i = 0; i < list->cnt && status == SABOT_OK; i++)
        channel->ends[list->elems[i].partition] = list->elems[i].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

static sabot_status prepare_run(struct sb_kafka_job *job, sabot_error *error)
{
    struct sb_channel *channel = job->owner;

    if (channel->partition_count == 0)
        SABOT_TRY(find_topic(channel, error));
    SABOT_TRY(sb_kafka_learn(channel, error));
    if ((channel->until_end && channel->for_reading) || channel->producer != NULL)
        SABOT_TRY(read_ends(channel, error));
    return SABOT_OK;
}

static sabot_status prepare(struct sb_channel *channel, sabot_error *error)
{
    if (channel->ready)
        return SABOT_OK;
    if (!channel->prepare_submitted) {
        channel->prepare_submitted = true;
        sb_kafka_job_submit(&channel->driver, &channel->prepare, prepare_run);
    }
    const sabot_status status = sb_kafka_job_result(&channel->prepare, error);

    if (status == SABOT_AGAIN)
        return status;
    channel->prepare_submitted = false;
    SABOT_TRY(status);
    if (channel->partitions_wanted > 0 && channel->partitions_wanted != channel->partition_count)
        sb_log(channel->env, SABOT_LOG_WARN, channel->name,
               "topic %s has %" PRId32 " partitions, not the %" PRId32
               " of the URL: used as it is, for more of them would move keys",
               channel->topic, channel->partition_count, channel->partitions_wanted);
    channel->ready = true;
    return SABOT_OK;
}

/* --- Opening ---------------------------------------------------------------------------------- */

static bool is_topic_name(const char *text, size_t size)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    return size > 0 && size <= SB_KAFKA_TOPIC_MAX && strspn(text, allowed) == size &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
}

/* Each of host:port,host:port; a port may be left out. */
static bool are_brokers(const char *text, size_t size)
{
    bool has_host = false;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == ',') {
            if (!has_host)
                return false;
            has_host = false;
        } else if (text[i] == ' ' || text[i] == '@') {
            return false;
        } else {
            has_host = true;
        }
    }
    return has_host;
}

/* "//host:port/topic" into its parts. */
static sabot_status take_apart(struct sb_channel *channel,
                               const char *whole,
                               const char *rest,
                               sabot_error *error)
{
    const char *slash = strncmp(rest, "//", 2) == 0 ? strchr(rest + 2, '/') : NULL;

    if (slash == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: write kafka://host:port/topic, several brokers with commas", whole);
    if (!are_brokers(rest + 2, (size_t)(slash - rest) - 2))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: \"%.*s\" are no brokers: write host:port, several with commas "
                           "(user and password are options: kafka.sasl.username)",
                           whole, (int)(slash - rest) - 2, rest + 2);
    if (!is_topic_name(slash + 1, strlen(slash + 1)))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: \"%s\" is no topic: 1 to %d letters, digits, '.', '_' or '-'",
                           whole, slash + 1, SB_KAFKA_TOPIC_MAX);
    channel->brokers = sb_string_copy_size(channel->env, rest + 2, (size_t)(slash - rest) - 2);
    channel->topic = sb_string_copy(channel->env, slash + 1);
    if (channel->brokers == NULL || channel->topic == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for the channel", whole);
    return SABOT_OK;
}

static sabot_status take_config(struct sb_channel *channel,
                                const struct sb_channel_config *config,
                                sabot_error *error)
{
    struct sb_url url;
    sabot_status status;

    SABOT_TRY(
        sb_url_init(&url, channel->env, config->url, rules, sizeof rules / sizeof rules[0], error));
    channel->name = sb_string_copy(channel->env, config->name == NULL ? "kafka" : config->name);
    status = channel->name == NULL ? sabot_raise(error, SABOT_ERR_MEMORY,
                                                 "%s: no memory for the channel", config->url)
                                   : take_apart(channel, config->url, url.rest, error);
    channel->partitions_wanted = (int32_t)sb_url_number(&url, RULE_PARTITIONS, 0);
    channel->replication = (int32_t)sb_url_number(&url, RULE_REPLICATION, -1);
    if (status == SABOT_OK && url.values[RULE_REPLICATION].given && channel->partitions_wanted == 0)
        status = sabot_raise(error, SABOT_ERR_CONFIG,
                             "%s: replication without partitions: both say how to create the topic",
                             config->url);
    sb_url_reset(&url);
    channel->for_reading = config->for_reading;
    channel->for_writing = config->for_writing;
    channel->until_end = config->until_end;
    channel->with_headers = config->with_headers;
    channel->start_at_end = config->start != NULL && strcmp(config->start, "latest") == 0;
    channel->buffer_bytes = config->buffer_bytes;
    channel->record_max = config->record_max;
    channel->options_each = config->options_each;
    channel->options = config->options;
    return status;
}

static void close_channel(struct sb_channel *channel)
{
    if (channel == NULL)
        return;
    sb_kafka_driver_stop(&channel->driver);
    sb_kafka_client_destroy(channel->consumer);
    sb_kafka_producer_destroy(channel->producer);
    sb_kafka_driver_reset(&channel->driver);
    sb_kafka_offsets_free(channel->offsets);
    sb_free_array(channel->env, channel->ends, (size_t)channel->partition_count,
                  sizeof *channel->ends);
    if (channel->partition_count > 0)
        sb_free_array(channel->env, channel->taken, (size_t)channel->partition_count, sizeof(bool));
    sb_string_free(channel->env, channel->name);
    sb_string_free(channel->env, channel->brokers);
    sb_string_free(channel->env, channel->topic);
    sb_free(channel->env, channel, sizeof *channel);
}

static sabot_status open_channel(const struct sb_env *env,
                                 const struct sb_channel_config *config,
                                 struct sb_waker *waker,
                                 struct sb_channel **channel_out,
                                 sabot_error *error)
{
    struct sb_channel *channel = sb_alloc(env, sizeof *channel);
    sabot_status status;

    *channel_out = NULL;
    if (channel == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for the channel", config->url);
    channel->env = env;
    channel->waker = waker;
    channel->prepare.owner = channel;
    channel->prepare.waker = waker;
    status = take_config(channel, config, error);
    if (status == SABOT_OK)
        status = sb_kafka_driver_init(&channel->driver, channel, error);
    if (status == SABOT_OK && channel->for_reading)
        status = sb_kafka_client_create(channel, false, NULL, 0, &channel->consumer, error);
    if (status == SABOT_OK && (channel->for_writing || !channel->for_reading))
        status = sb_kafka_producer_create(channel, NULL, 0, &channel->producer, error);
    if (status == SABOT_OK)
        status = sb_kafka_driver_start(&channel->driver, error);
    if (status != SABOT_OK) {
        close_channel(channel);
        return status;
    }
    *channel_out = channel;
    return SABOT_OK;
}

/* --- What it is ------------------------------------------------------------------------------- */

static int32_t partition_count(const struct sb_channel *channel)
{
    return channel->partition_count;
}

static bool finite(const struct sb_channel *channel)
{
    return channel->until_end;
}

static bool connected(const struct sb_channel *channel)
{
    return (channel->consumer == NULL || atomic_load(&channel->consumer->connected)) &&
           (channel->producer == NULL ||
            atomic_load(&sb_kafka_producer_client(channel->producer)->connected));
}

static const char *guarantee(const struct sb_channel *channel)
{
    return channel->for_reading
               ? "no offset is committed without checkpoints: a restart begins at kafka.start"
               : "every record is acknowledged by all in-sync replicas, in order; a restart may "
                 "write some again";
}

static bool same(const struct sb_channel *channel, const struct sb_channel *other)
{
    return strcmp(channel->topic, other->topic) == 0 &&
           strcmp(channel->brokers, other->brokers) == 0;
}

/* --- The table -------------------------------------------------------------------------------- */

static const char *kafka_topic(const struct sb_channel *channel)
{
    return channel->topic;
}

const struct sb_channel_type sb_channel_kafka = {
    .scheme = "kafka",
    .open = open_channel,
    .close = close_channel,
    .prepare = prepare,
    .partition_count = partition_count,
    .finite = finite,
    .connected = connected,
    .topic = kafka_topic,
    .cluster = sb_kafka_cluster,
    .record_max = sb_kafka_record_max,
    .guarantee = guarantee,
    .same = same,
    .reader_open = sb_kafka_reader_open,
    .reader_close = sb_kafka_reader_close,
    .poll = sb_kafka_poll,
    .position = sb_kafka_position,
    .place = sb_kafka_place,
    .lag = sb_kafka_lag,
    .stop = sb_kafka_stop,
    .seek = sb_kafka_seek,
    .writer_open = sb_kafka_writer_open,
    .writer_close = sb_kafka_writer_close,
    .write = sb_kafka_write,
    .flush = sb_kafka_flush,
    .txn_open = sb_kafka_txn_open,
    .txn_close = sb_kafka_txn_close,
    .txn_fence = sb_kafka_txn_fence,
    .txn_begin = sb_kafka_txn_begin,
    .txn_offsets = sb_kafka_txn_offsets,
    .txn_commit = sb_kafka_txn_commit,
    .txn_abort = sb_kafka_txn_abort,
    .commit = sb_kafka_commit,
    .committed = sb_kafka_committed,
};
