/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - the channel type of the embedded log: URLs, topics, channels, writers.
 *
 * A channel is a view of a topic; the topic belongs to the log and stays. A writer picks the
 * partition, stamps the record and appends it, all in the call; there is nothing to flush.
 *
 * Stamps: the time of arrival is for measuring delays, so the clock is read once for a run of
 * records, not for each: a run ends with a flush, a wait for room, after STAMP_RUN records. The
 * first record of a run gives all of them its time, so delays measured from it are never too small.
 * A record that asks for the wall clock (SB_TIMESTAMP_NOW) pays for a look at it.
 *
 * Threads: as in channel.h. Memory: channels and writers from the env, topics from the log's. */
#include "channel/memory.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "channel/memory_log.h"
#include "channel/url.h"

enum { STAMP_RUN = 64 };

enum { RULE_PARTITIONS, RULE_BYTES };

static const struct sb_url_rule url_rules[] = {
    [RULE_PARTITIONS] = {"partitions", SB_URL_INT, 1, SB_PARTITIONS_MAX},
    [RULE_BYTES] = {"bytes", SB_URL_BYTES, SB_LOG_BYTES_MIN, INT64_MAX / 2},
};

struct sb_writer {
    struct sb_channel *channel;
    struct sb_txn *txn;
    uint32_t turn;       /* of records without a key */
    uint32_t stamp_left; /* records that arrival_us may still stand for */
    int64_t arrival_us;
    struct sb_log_waiter *waiters; /* one per partition */
};

/* --- The log ---------------------------------------------------------------------------------- */

sabot_status sb_log_create(const struct sb_env *env, struct sb_log **log_out, sabot_error *error)
{
    struct sb_log *log = sb_alloc(env, sizeof *log);

    *log_out = log;
    if (log == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the embedded log");
    log->env = env;
    sb_lock_init(&log->lock);
    return SABOT_OK;
}

static void free_topic(const struct sb_env *env, struct sb_log_topic *topic)
{
    if (topic->partitions != NULL) {
        for (int32_t i = 0; i < topic->partition_count; i++)
            sb_log_partition_reset(&topic->partitions[i]);
        sb_free_array(env, topic->partitions, (size_t)topic->partition_count,
                      sizeof *topic->partitions);
    }
    sb_string_free(env, topic->name);
    sb_free(env, topic, sizeof *topic);
}

void sb_log_destroy(struct sb_log *log)
{
    if (log == NULL)
        return;
    SB_ASSERT(log->channels == NULL);
    sb_log_free_coordinators(log);
    while (log->topics != NULL) {
        struct sb_log_topic *topic = log->topics;

        log->topics = topic->next;
        free_topic(log->env, topic);
    }
    sb_lock_reset(&log->lock);
    sb_free(log->env, log, sizeof *log);
}

/* --- Topics; the log's lock is held ----------------------------------------------------------- */

static sabot_status find_topic(struct sb_log *log,
                               const char *name,
                               struct sb_log_topic **topic_out,
                               sabot_error *error)
{
    struct sb_log_topic *topic = sb_log_find_topic(log, name);

    *topic_out = topic;
    if (topic != NULL)
        return SABOT_OK;
    if (log->topic_count == SB_LOG_TOPICS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "memory:%s: the log has %d channels already",
                           name, SB_LOG_TOPICS_MAX);
    topic = sb_alloc(log->env, sizeof *topic);
    if (topic != NULL)
        topic->name = sb_string_copy(log->env, name);
    if (topic == NULL || topic->name == NULL) {
        sb_free(log->env, topic, sizeof *topic);
        return sabot_raise(error, SABOT_ERR_MEMORY, "memory:%s: no memory", name);
    }
    topic->next = log->topics;
    log->topics = topic;
    log->topic_count++;
    *topic_out = topic;
    return SABOT_OK;
}

/* What a URL says of the topic must be what others said, or what it has become. */
static sabot_status declare(struct sb_log_topic *topic,
                            const struct sb_url *url,
                            sabot_error *error)
{
    const int32_t partitions = (int32_t)sb_url_number(url, RULE_PARTITIONS, topic->partition_count);
    const uint64_t bytes = (uint64_t)sb_url_number(url, RULE_BYTES, (int64_t)topic->bytes);
    const bool fixed = topic->partitions != NULL;

    if ((fixed || topic->partition_count != 0) && partitions != topic->partition_count)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "memory:%s: partitions=%" PRId32 ", but the channel has %" PRId32,
                           topic->name, partitions, topic->partition_count);
    if ((fixed || topic->bytes != 0) && bytes != topic->bytes)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "memory:%s: bytes=%" PRIu64 ", but the channel has %" PRIu64,
                           topic->name, bytes, topic->bytes);
    topic->partition_count = partitions;
    topic->bytes = bytes;
    return SABOT_OK;
}

/* Lay the partitions out, once. */
static sabot_status make_partitions(struct sb_log *log, struct sb_log_topic *topic)
{
    const int32_t count = topic->partition_count == 0 ? 1 : topic->partition_count;
    struct sb_log_partition *partitions;
    uint64_t share;

    if (topic->partitions != NULL)
        return SABOT_OK;
    partitions = sb_alloc_array(log->env, (size_t)count, sizeof *partitions);
    if (partitions == NULL)
        return SABOT_ERR_MEMORY;
    share = topic->bytes / (uint64_t)count;
    if (share < SB_LOG_BYTES_MIN)
        share = SB_LOG_BYTES_MIN;
    for (int32_t i = 0; i < count; i++)
        sb_log_partition_init(&partitions[i], log->env, topic, i, share);
    topic->partition_count = count;
    topic->partitions = partitions;
    return SABOT_OK;
}

/* --- Channels --------------------------------------------------------------------------------- */

static void memory_close(struct sb_channel *channel)
{
    struct sb_channel **link;

    if (channel == NULL)
        return;
    link = &channel->log->channels;
    sb_lock_take(&channel->log->lock);
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
    sb_lock_drop(&channel->log->lock);
    if (channel->ends != NULL)
        sb_free_array(channel->env, channel->ends, (size_t)channel->topic->partition_count,
                      sizeof *channel->ends);
    sb_free(channel->env, channel, sizeof *channel);
}

static sabot_status join_topic(struct sb_channel *channel,
                               const struct sb_channel_config *config,
                               const struct sb_url *url,
                               sabot_error *error)
{
    struct sb_log *log = channel->log;
    const char *name = *url->rest == '\0' ? config->name : url->rest;

    if (strlen(name) > SABOT_NAME_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: a name has at most %d bytes", config->url,
                           SABOT_NAME_MAX);
    SABOT_TRY(find_topic(log, name, &channel->topic, error));
    SABOT_TRY(declare(channel->topic, url, error));
    if (channel->topic->bytes == 0 && channel->topic->partitions == NULL)
        channel->bytes_default = config->buffer_bytes;
    channel->next = log->channels;
    log->channels = channel;
    return SABOT_OK;
}

static sabot_status memory_open(const struct sb_env *env,
                                const struct sb_channel_config *config,
                                struct sb_waker *waker,
                                struct sb_channel **channel_out,
                                sabot_error *error)
{
    const size_t rule_count = sizeof url_rules / sizeof url_rules[0];
    struct sb_channel *channel;
    struct sb_url url;
    sabot_status status;

    SB_ASSERT(config->log != NULL);
    *channel_out = NULL;
    SABOT_TRY(sb_url_init(&url, env, config->url, url_rules, rule_count, error));
    channel = sb_alloc(env, sizeof *channel);
    if (channel == NULL) {
        sb_url_reset(&url);
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->url);
    }
    channel->env = env;
    channel->log = config->log;
    channel->waker = waker;
    channel->until_end = config->until_end;
    channel->start_latest = config->start != NULL && strcmp(config->start, "latest") == 0;
    channel->record_max = config->record_max;
    sb_lock_take(&config->log->lock);
    status = join_topic(channel, config, &url, error);
    sb_lock_drop(&config->log->lock);
    sb_url_reset(&url);
    if (status != SABOT_OK) {
        sb_free(env, channel, sizeof *channel);
        return status;
    }
    *channel_out = channel;
    return SABOT_OK;
}

static sabot_status note_ends(struct sb_channel *channel)
{
    const struct sb_log_topic *topic = channel->topic;

    channel->ends =
        sb_alloc_array(channel->env, (size_t)topic->partition_count, sizeof *channel->ends);
    if (channel->ends == NULL)
        return SABOT_ERR_MEMORY;
    for (int32_t i = 0; i < topic->partition_count; i++)
        channel->ends[i] = atomic_load(&topic->partitions[i].stable);
    return SABOT_OK;
}

static sabot_status memory_prepare(struct sb_channel *channel, sabot_error *error)
{
    struct sb_log_topic *topic = channel->topic;
    sabot_status status;

    if (channel->ready)
        return SABOT_OK;
    sb_lock_take(&channel->log->lock);
    if (topic->partitions == NULL && topic->bytes == 0)
        topic->bytes = channel->bytes_default == 0 ? SB_LOG_BYTES_DEFAULT : channel->bytes_default;
    status = make_partitions(channel->log, topic);
    sb_lock_drop(&channel->log->lock);
    if (status == SABOT_OK && channel->until_end)
        status = note_ends(channel);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "memory:%s: no memory for %" PRId32 " partitions",
                           topic->name, topic->partition_count);
    channel->ready = true;
    return SABOT_OK;
}

static int32_t memory_partition_count(const struct sb_channel *channel)
{
    SB_ASSERT(channel->ready);
    return channel->topic->partition_count;
}

static bool memory_finite(const struct sb_channel *channel)
{
    return channel->until_end || atomic_load(&channel->topic->had_writer);
}

static const char *memory_topic(const struct sb_channel *channel)
{
    return channel->topic->name;
}

static bool memory_connected(const struct sb_channel *channel)
{
    (void)channel;
    return true;
}

static const char *memory_guarantee(const struct sb_channel *channel)
{
    (void)channel;
    return "nothing outlives the process: records and offsets are kept in its memory only";
}

static bool memory_same(const struct sb_channel *channel, const struct sb_channel *other)
{
    return channel->topic == other->topic;
}

/* --- Writers ---------------------------------------------------------------------------------- */

static sabot_status memory_writer_open(struct sb_channel *channel,
                                       struct sb_txn *txn,
                                       struct sb_waker *waker,
                                       struct sb_writer **writer_out,
                                       sabot_error *error)
{
    const struct sb_env *env = channel->env;
    const size_t count = (size_t)channel->topic->partition_count;
    struct sb_writer *writer;

    SB_ASSERT(channel->ready);
    *writer_out = NULL;
    if (txn != NULL && sb_txn_log(txn) != channel->log)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "memory:%s: the transaction belongs to another log",
                           channel->topic->name);
    writer = sb_alloc(env, sizeof *writer);
    if (writer != NULL)
        writer->waiters = sb_alloc_array(env, count, sizeof *writer->waiters);
    if (writer == NULL || writer->waiters == NULL) {
        sb_free(env, writer, sizeof *writer);
        return sabot_raise(error, SABOT_ERR_MEMORY, "memory:%s: no memory for a writer",
                           channel->topic->name);
    }
    writer->channel = channel;
    writer->txn = txn;
    for (size_t i = 0; i < count; i++)
        writer->waiters[i].waker = waker;
    /* In this order: a reader that sees the first must see the second. */
    atomic_fetch_add(&channel->topic->writer_count, 1);
    atomic_store(&channel->topic->had_writer, true);
    *writer_out = writer;
    return SABOT_OK;
}

static void memory_writer_close(struct sb_writer *writer)
{
    struct sb_log_topic *topic;

    if (writer == NULL)
        return;
    topic = writer->channel->topic;
    const bool last = atomic_fetch_sub(&topic->writer_count, 1) == 1;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        sb_log_waiter_remove(&topic->partitions[i], &writer->waiters[i]);
        if (last)
            sb_log_wake_readers(&topic->partitions[i]);
    }
    sb_free_array(writer->channel->env, writer->waiters, (size_t)topic->partition_count,
                  sizeof *writer->waiters);
    sb_free(writer->channel->env, writer, sizeof *writer);
}

static sabot_status check_record(const struct sb_writer *writer,
                                 const struct sb_record *record,
                                 uint64_t size,
                                 sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;
    const struct sb_log_topic *topic = channel->topic;
    const uint64_t bytes = (uint64_t)record->key.size + record->value.size;

    if (record->partition < SB_PARTITION_ANY || record->partition >= topic->partition_count)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "memory:%s: no partition %" PRId32 " among %" PRId32, topic->name,
                           record->partition, topic->partition_count);
    if (record->header_count > SB_HEADERS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "memory:%s: record with %" PRIu32 " headers, %d is the limit",
                           topic->name, record->header_count, SB_HEADERS_MAX);
    if (bytes > channel->record_max)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "memory:%s: record of %" PRIu64 " bytes, %" PRIu32 " is the limit",
                           topic->name, bytes, channel->record_max);
    if (size > topic->partitions[0].bytes_max || size > UINT32_MAX / 2)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "memory:%s: record of %" PRIu64 " bytes, but a partition has %" PRIu64
                           ": raise ?bytes= of the channel",
                           topic->name, bytes, topic->partitions[0].bytes_max);
    return SABOT_OK;
}

static int32_t choose_partition(const struct sb_writer *writer, const struct sb_record *record)
{
    const int32_t count = writer->channel->topic->partition_count;

    if (record->partition != SB_PARTITION_ANY)
        return record->partition;
    if (record->key.data != NULL)
        return sb_partition_of_key(record->key.data, record->key.size, count);
    return (int32_t)(writer->turn % (uint32_t)count);
}

static void stamp_record(struct sb_writer *writer,
                         const struct sb_record *record,
                         struct sb_log_stamp *stamp_out)
{
    const struct sb_env *env = writer->channel->env;

    if (writer->stamp_left == 0) {
        writer->arrival_us = sb_now_us(env);
        writer->stamp_left = STAMP_RUN;
    }
    writer->stamp_left--;
    stamp_out->arrival_us = writer->arrival_us;
    stamp_out->timestamp_ms =
        record->timestamp_ms == SB_TIMESTAMP_NOW ? sb_wall_ms(env) : record->timestamp_ms;
    stamp_out->txn = writer->txn == NULL ? 0 : sb_txn_number(writer->txn);
}

static sabot_status raise_append(const struct sb_writer *writer,
                                 const struct sb_log_partition *partition,
                                 sabot_status status,
                                 sabot_error *error)
{
    const char *name = writer->channel->topic->name;

    if (status == SABOT_ERR_LIMIT)
        return sabot_raise(error, status,
                           "memory:%s: partition %" PRId32
                           ": the transaction does not fit into %" PRIu64
                           " bytes: raise ?bytes= of the channel, or commit more often",
                           name, partition->number, partition->bytes_max);
    if (status == SABOT_ERR_MEMORY)
        return sabot_raise(error, status, "memory:%s: no memory for a record", name);
    return status;
}

/* Append; the first record of a transaction in a partition joins it to the transaction. */
static sabot_status append(struct sb_writer *writer,
                           struct sb_log_partition *partition,
                           const struct sb_record *record,
                           uint32_t size,
                           sabot_error *error)
{
    struct sb_log_waiter *waiter = &writer->waiters[partition->number];
    struct sb_log_stamp stamp;
    sabot_status status;

    stamp_record(writer, record, &stamp);
    if (writer->txn != NULL && stamp.txn == 0) {
        SABOT_TRY(sb_txn_check(writer->txn, error));
        return sabot_raise(error, SABOT_ERR_STATE, "memory:%s: no transaction was begun",
                           writer->channel->topic->name);
    }
    status = sb_log_append(partition, record, size, &stamp, waiter);
    if (status == SABOT_ERR_STATE) {
        status = sb_txn_join(writer->txn, partition, waiter, error);
        if (status == SABOT_OK)
            status = sb_log_append(partition, record, size, &stamp, waiter);
        if (status == SABOT_ERR_STATE) /* ended between the two: by a timeout, or another's fence */
            status = sb_txn_check(writer->txn, error);
        SB_ASSERT(status != SABOT_ERR_STATE);
    }
    return raise_append(writer, partition, status, error);
}

static sabot_status memory_write(struct sb_writer *writer,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    const uint64_t size = sb_log_size(record);
    struct sb_log_partition *partition;
    sabot_status status;

    SABOT_TRY(check_record(writer, record, size, error));
    partition = &writer->channel->topic->partitions[choose_partition(writer, record)];
    status = append(writer, partition, record, (uint32_t)size, error);
    if (status == SABOT_OK)
        writer->turn++;
    else
        writer->stamp_left = 0;
    return status;
}

static sabot_status memory_flush(struct sb_writer *writer, sabot_error *error)
{
    writer->stamp_left = 0;
    return writer->txn == NULL ? SABOT_OK : sb_txn_check(writer->txn, error);
}

const struct sb_channel_type sb_channel_memory = {
    .scheme = "memory",
    .open = memory_open,
    .close = memory_close,
    .prepare = memory_prepare,
    .partition_count = memory_partition_count,
    .finite = memory_finite,
    .connected = memory_connected,
    .topic = memory_topic,
    .guarantee = memory_guarantee,
    .same = memory_same,
    .reader_open = sb_memory_reader_open,
    .reader_close = sb_memory_reader_close,
    .poll = sb_memory_poll,
    .position = sb_memory_position,
    .place = sb_memory_place,
    .lag = sb_memory_lag,
    .stop = sb_memory_stop,
    .seek = sb_memory_seek,
    .writer_open = memory_writer_open,
    .writer_close = memory_writer_close,
    .write = memory_write,
    .flush = memory_flush,
    .txn_open = sb_memory_txn_open,
    .txn_close = sb_memory_txn_close,
    .txn_fence = sb_memory_txn_fence,
    .txn_begin = sb_memory_txn_begin,
    .txn_offsets = sb_memory_txn_offsets,
    .txn_commit = sb_memory_txn_commit,
    .txn_abort = sb_memory_txn_abort,
    .commit = sb_memory_commit,
    .committed = sb_memory_committed,
};
