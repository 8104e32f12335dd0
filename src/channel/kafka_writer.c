/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_writer.c - records to a topic: the end of the path of a batch.
 *
 * A producer is shared by the writers of its channel, or belongs to a transaction. A writer counts
 * the records it has handed over and the ones that librdkafka has reported: flushed means that both
 * are equal. Reports are served by whoever writes or flushes next; librdkafka wakes the writers
 * that wait when there are some, so that no thread stands by for them.
 *
 *   write --wave (copied)--> librdkafka's queue (copied) --> broker --report--> on_delivery
 *
 * Waves: small records are gathered until they are flushed, and leave when the wave before them has
 * been reported, or when there are many. Few records leave at once, many in few requests. It is
 * what "linger" is for in librdkafka, but without its price: with none its thread spins while
 * requests are under way, with one every record waits. In a transaction there are no waves: what
 * was written must be in it when it commits.
 *
 * A record that could not be delivered for good makes its writer fail, with the first such error,
 * at each later write and flush; in a transaction until the next one begins. Records that were
 * purged by aborting a transaction are no failures.
 *
 * No wake-up is lost: a writer says that it waits, then empties the queue of reports, then returns;
 * what comes to an empty queue wakes it.
 *
 * Threads: a writer has one; reports of it may be served by any other writer's thread, or by the
 * driver while it commits. Memory: a tally outlives its writer, for reports may still come: it is
 * the producer's. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/hash.h"

enum {
    WAVE_BYTES_MAX = 256 * 1024,
    WAVE_RECORD_MAX = 16 * 1024, /* bytes; a larger one goes by itself */
};

/* A record in a wave; its key and value lie behind it. */
struct waiting {
    int64_t timestamp_ms;
    uint32_t key_size;   /* UINT32_MAX: no key */
    uint32_t value_size; /* UINT32_MAX: no value */
    int32_t partition;
};

/* What became of the records of one writer. */
struct tally {
    struct tally *next;
    struct sb_kafka_producer *producer;
    _Atomic uint64_t written; /* only the writer's thread adds */
    _Atomic uint64_t reported;
    _Atomic bool is_waiting; /* the writer wants to be woken */
    _Atomic bool has_failed;
    struct sb_waker *waker; /* guarded by the producer's lock; NULL: the writer is closed */
    sabot_error failure;    /* guarded by the producer's lock */
};

struct sb_kafka_producer {
    struct sb_channel *channel;
    struct sb_kafka_client *client;
    struct sb_lock lock; /* guards the list of tallies, their wakers and failures */
    struct tally *tallies;
};

struct sb_writer {
    struct sb_channel *channel;
    struct sb_kafka_producer *producer;
    struct tally *tally;
    rd_kafka_topic_t *topic;
    int32_t partition_count;
    int32_t turn; /* the partition of the last record without a key */
    bool has_waves;
    struct sb_buffer wave;
    size_t wave_sent; /* bytes of it that have left */
};

/* --- Producers -------------------------------------------------------------------------------- */

/* There are reports: wake who waits for them. librdkafka's thread, under the lock of its queue. */
static void on_reports(rd_kafka_t *handle, void *context)
{
    struct sb_kafka_producer *producer = context;

    (void)handle;
    sb_lock_take(&producer->lock);
    for (struct tally *tally = producer->tallies; tally != NULL; tally = tally->next) {
        if (tally->waker != NULL && atomic_load(&tally->is_waiting))
            sb_wake(producer->channel->env, tally->waker);
    }
    sb_lock_drop(&producer->lock);
}

sabot_status sb_kafka_producer_create(struct sb_channel *channel,
                                      const char *transactional_id,
                                      int64_t transaction_timeout_ms,
                                      struct sb_kafka_producer **producer_out,
                                      sabot_error *error)
{
    struct sb_kafka_producer *producer = sb_alloc(channel->env, sizeof *producer);
    rd_kafka_queue_t *queue;
    sabot_status status;

    *producer_out = NULL;
    if (producer == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a producer");
    producer->channel = channel;
    sb_lock_init(&producer->lock);
    status = sb_kafka_client_create(channel, true, transactional_id, transaction_timeout_ms,
                                    &producer->client, error);
    if (status != SABOT_OK) {
        sb_kafka_producer_destroy(producer);
        return status;
    }
    queue = rd_kafka_queue_get_main(producer->client->handle);
    rd_kafka_queue_cb_event_enable(queue, on_reports, producer);
    rd_kafka_queue_destroy(queue);
    *producer_out = producer;
    return SABOT_OK;
}

void sb_kafka_producer_destroy(struct sb_kafka_producer *producer)
{
    const struct sb_env *env;
    struct tally *next;

    if (producer == NULL)
        return;
    env = producer->channel->env;
    sb_kafka_client_destroy(producer->client);
    for (struct tally *tally = producer->tallies; tally != NULL; tally = next) {
        SB_ASSERT(tally->waker == NULL);
        next = tally->next;
        sb_free(env, tally, sizeof *tally);
    }
    sb_lock_reset(&producer->lock);
    sb_free(env, producer, sizeof *producer);
}

struct sb_kafka_client *sb_kafka_producer_client(const struct sb_kafka_producer *producer)
{
    return producer->client;
}

void sb_kafka_producer_forget_failures(struct sb_kafka_producer *producer)
{
    sb_lock_take(&producer->lock);
    for (struct tally *tally = producer->tallies; tally != NULL; tally = tally->next)
        atomic_store(&tally->has_failed, false);
    sb_lock_drop(&producer->lock);
}

/* --- Reports ---------------------------------------------------------------------------------- */

/* What to do about a record that was refused. */
static const char *advice_for(rd_kafka_resp_err_t code)
{
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        return "; raise the topic's max.message.bytes, or lower kafka.batch.size";
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: return "; see kafka.message.timeout.ms";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return "; give the user the right to write to the topic";
    default: return "";
    }
}

/* The first failure stays. */
static void note_failure(struct tally *tally, const sabot_error *error)
{
    sb_lock_take(&tally->producer->lock);
    if (!atomic_load(&tally->has_failed))
        tally->failure = *error;
    atomic_store(&tally->has_failed, true);
    sb_lock_drop(&tally->producer->lock);
}

static void fail(struct tally *tally, const rd_kafka_message_t *message)
{
    const struct sb_channel *channel = tally->producer->channel;
    sabot_error error;

    if (atomic_load(&tally->has_failed))
        return;
    /* No call of librdkafka under our lock: it may wake us under one of its own. */
    (void)sabot_raise(&error, sb_kafka_status(message->err),
                      "topic %s at %s, partition %" PRId32
                      ": a record of %zu bytes was not delivered: %s%s",
                      rd_kafka_topic_name(message->rkt), channel->brokers, message->partition,
                      message->len, rd_kafka_err2str(message->err), advice_for(message->err));
    note_failure(tally, &error);
}

/* One record is done for. By whichever thread serves the reports. */
void sb_kafka_on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *context)
{
    struct tally *tally = message->_private;
    struct sb_kafka_producer *producer = tally->producer;
    uint64_t reported;

    (void)handle, (void)context;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR &&
        message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
        message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        fail(tally, message);
    reported = atomic_fetch_add(&tally->reported, 1) + 1;
    if (reported != atomic_load(&tally->written) || !atomic_load(&tally->is_waiting))
        return;
    sb_lock_take(&producer->lock);
    if (tally->waker != NULL)
        sb_wake(producer->channel->env, tally->waker);
    sb_lock_drop(&producer->lock);
}

sabot_status sb_kafka_fatal(const struct sb_kafka_client *client,
                            const char *what,
                            sabot_error *error)
{
    char reason[512];
    const rd_kafka_resp_err_t code = rd_kafka_fatal_error(client->handle, reason, sizeof reason);
    sabot_status status;

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return SABOT_OK;
    status = sabot_raise(error, sb_kafka_status(code), "%s: %s%s", what, reason,
                         sb_kafka_status(code) == SABOT_ERR_FENCED
                             ? "; another instance has this transactional id, or the transaction "
                               "took longer than its timeout"
                             : "");
    if (error != NULL)
        error->fatal = true;
    return status;
}

/* --- Writers ---------------------------------------------------------------------------------- */

static struct tally *tally_create(struct sb_kafka_producer *producer, struct sb_waker *waker)
{
    struct tally *tally = sb_alloc(producer->channel->env, sizeof *tally);

    if (tally == NULL)
        return NULL;
    tally->producer = producer;
    tally->waker = waker;
    sb_lock_take(&producer->lock);
    tally->next = producer->tallies;
    producer->tallies = tally;
    sb_lock_drop(&producer->lock);
    return tally;
}

/* A batch of many small records may be larger than a topic with an unusual limit takes. */
static sabot_status check_batches(const struct sb_channel *channel,
                                  const struct sb_kafka_client *client,
                                  sabot_error *error)
{
    if ((int64_t)client->batch_bytes <= channel->facts.batch_max)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_CONFIG,
                       "topic %s takes batches of %" PRId64
                       " bytes (max.message.bytes), and the client may make some of %" PRIu64
                       ": set kafka.batch.size=%" PRId64 ", or raise the topic's limit",
                       channel->topic, channel->facts.batch_max, client->batch_bytes,
                       channel->facts.batch_max);
}

sabot_status sb_kafka_writer_open(struct sb_channel *channel,
                                  struct sb_txn *txn,
                                  struct sb_waker *waker,
                                  struct sb_writer **writer_out,
                                  sabot_error *error)
{
    struct sb_kafka_producer *producer =
        txn == NULL ? channel->producer : sb_kafka_txn_producer(txn);
    struct sb_writer *writer;

    SB_ASSERT(channel->ready && channel->for_writing);
    *writer_out = NULL;
    SABOT_TRY(check_batches(channel, producer->client, error));
    writer = sb_alloc(channel->env, sizeof *writer);
    if (writer != NULL) {
        writer->channel = channel;
        writer->partition_count = channel->partition_count;
        writer->has_waves = txn == NULL;
        sb_buffer_init(&writer->wave, channel->env);
        writer->producer = producer;
        writer->tally = tally_create(writer->producer, waker);
        writer->topic = rd_kafka_topic_new(writer->producer->client->handle, channel->topic, NULL);
    }
    if (writer == NULL || writer->tally == NULL || writer->topic == NULL) {
        sb_kafka_writer_close(writer);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a writer");
    }
    *writer_out = writer;
    return SABOT_OK;
}

void sb_kafka_writer_close(struct sb_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->tally != NULL) {
        sb_lock_take(&writer->producer->lock);
        writer->tally->waker = NULL;
        sb_lock_drop(&writer->producer->lock);
    }
    if (writer->topic != NULL)
        rd_kafka_topic_destroy(writer->topic);
    sb_buffer_reset(&writer->wave);
    sb_free(writer->channel->env, writer, sizeof *writer);
}

/* The first failure; but of a client that has been fenced since that it is, as of any other. */
static sabot_status forward_failure(const struct sb_writer *writer, sabot_error *error)
{
    sabot_status status;

    SABOT_TRY(sb_kafka_fatal(writer->producer->client, "can't write", error));
    sb_lock_take(&writer->producer->lock);
    status = writer->tally->failure.status;
    if (error != NULL)
        *error = writer->tally->failure;
    sb_lock_drop(&writer->producer->lock);
    return status;
}

static int32_t choose_partition(struct sb_writer *writer, const struct sb_record *record)
{
    if (record->partition != SB_PARTITION_ANY)
        return record->partition;
    if (record->key.data != NULL)
        return sb_partition_of_key(record->key.data, record->key.size, writer->partition_count);
    writer->turn = (writer->turn + 1) % writer->partition_count;
    return writer->turn;
}

/* librdkafka takes the headers over when it takes the record. */
static rd_kafka_headers_t *copy_headers(const struct sb_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->header_count);

    for (uint32_t i = 0; headers != NULL && i < record->header_count; i++) {
        const struct sb_header *from = &record->headers[i];

        if (rd_kafka_header_add(headers, from->name.data, (ssize_t)from->name.size,
                                from->value.data,
                                (ssize_t)from->value.size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            return NULL;
        }
    }
    return headers;
}

/* librdkafka's macros for the arguments check their types by an extension of GNU C. */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

static rd_kafka_resp_err_t produce(struct sb_writer *writer,
                                   const struct sb_record *record,
                                   int32_t partition)
{
    rd_kafka_headers_t *headers = NULL;
    rd_kafka_resp_err_t code;

    if (record->header_count > 0) {
        headers = copy_headers(record);
        if (headers == NULL)
            return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    }
    /* A timestamp of 0 is "now" to librdkafka. */
    code = rd_kafka_producev(
        writer->producer->client->handle, RD_KAFKA_V_RKT(writer->topic),
        RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(record->key.data, record->key.size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)record->value.data, record->value.size),
        RD_KAFKA_V_TIMESTAMP(record->timestamp_ms < 0 ? 0 : record->timestamp_ms),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(writer->tally), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && headers != NULL)
        rd_kafka_headers_destroy(headers);
    return code;
}

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

static sabot_status raise_produce(struct sb_writer *writer,
                                  const struct sb_record *record,
                                  int32_t partition,
                                  rd_kafka_resp_err_t code,
                                  sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;

    SABOT_TRY(sb_kafka_fatal(writer->producer->client, "can't write", error));
    return sabot_raise(
        error, sb_kafka_status(code),
        "topic %s at %s, partition %" PRId32 ": can't write a record of %zu bytes: %s%s",
        channel->topic, channel->brokers, partition, record->key.size + record->value.size,
        rd_kafka_err2str(code), advice_for(code));
}

static sabot_status check_record(const struct sb_writer *writer,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;
    const size_t size = record->key.size + record->value.size;

    SABOT_TRY(sb_kafka_check_size(channel, size, error));
    if (record->header_count > SB_HEADERS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "a record with %" PRIu32 " headers; the limit is %d",
                           record->header_count, SB_HEADERS_MAX);
    if (record->partition != SB_PARTITION_ANY &&
        (record->partition < 0 || record->partition >= writer->partition_count))
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "topic %s has no partition %" PRId32 ": it has %" PRId32, channel->topic,
                           record->partition, writer->partition_count);
    return SABOT_OK;
}

/* Hand one record to librdkafka. SABOT_AGAIN: its queue is full. */
static sabot_status hand_over(struct sb_writer *writer,
                              const struct sb_record *record,
                              int32_t partition,
                              sabot_error *error)
{
    struct tally *tally = writer->tally;
    rd_kafka_resp_err_t code;

    /* Counted first: its report may come before produce() returns. */
    atomic_fetch_add(&tally->written, 1);
    code = produce(writer, record, partition);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        atomic_store(&tally->is_waiting, true);
        (void)rd_kafka_poll(writer->producer->client->handle, 0);
        code = produce(writer, record, partition);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return SABOT_OK;
    atomic_fetch_sub(&tally->written, 1);
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return SABOT_AGAIN;
    return raise_produce(writer, record, partition, code, error);
}

/* --- Waves ------------------------------------------------------------------------------------ */

static bool fits_wave(const struct sb_writer *writer, const struct sb_record *record)
{
    return writer->has_waves && record->header_count == 0 &&
           record->key.size + record->value.size <= WAVE_RECORD_MAX;
}

static sabot_status join_wave(struct sb_writer *writer,
                              const struct sb_record *record,
                              int32_t partition)
{
    struct sb_buffer *wave = &writer->wave;
    const struct waiting waiting = {
        .timestamp_ms = record->timestamp_ms,
        .key_size = record->key.data == NULL ? UINT32_MAX : (uint32_t)record->key.size,
        .value_size = record->value.data == NULL ? UINT32_MAX : (uint32_t)record->value.size,
        .partition = partition,
    };

    SABOT_TRY(sb_buffer_reserve(wave, sizeof waiting + record->key.size + record->value.size));
    SABOT_TRY(sb_buffer_append(wave, &waiting, sizeof waiting));
    if (record->key.data != NULL)
        SABOT_TRY(sb_buffer_append(wave, record->key.data, record->key.size));
    if (record->value.data != NULL)
        SABOT_TRY(sb_buffer_append(wave, record->value.data, record->value.size));
    return SABOT_OK;
}

/* The text at `*at` of the wave, and behind it. */
static sabot_text next_text(const struct sb_buffer *wave, size_t *at, uint32_t size)
{
    const sabot_text text = {(const char *)wave->data + *at, size};

    if (size == UINT32_MAX)
        return (sabot_text){NULL, 0};
    *at += size;
    return text;
}

/* Send what is left of the wave. SABOT_AGAIN: not all of it. */
static sabot_status send_wave(struct sb_writer *writer, sabot_error *error)
{
    while (writer->wave_sent < writer->wave.size) {
        size_t at = writer->wave_sent;
        struct waiting waiting;
        struct sb_record record = {0};

        SB_ASSERT(at + sizeof waiting <= writer->wave.size);
        memcpy(&waiting, writer->wave.data + at, sizeof waiting);
        at += sizeof waiting;
        record.timestamp_ms = waiting.timestamp_ms;
        record.key = next_text(&writer->wave, &at, waiting.key_size);
        record.value = next_text(&writer->wave, &at, waiting.value_size);
        SABOT_TRY(hand_over(writer, &record, waiting.partition, error));
        writer->wave_sent = at;
    }
    writer->wave.size = 0;
    writer->wave_sent = 0;
    return SABOT_OK;
}

/* Send the wave on behalf of a later call: an error is one of an earlier record, for good. */
static sabot_status send_earlier(struct sb_writer *writer, sabot_error *error)
{
    sabot_error failure;
    const sabot_status status = send_wave(writer, &failure);

    if (status == SABOT_OK || status == SABOT_AGAIN)
        return status;
    note_failure(writer->tally, &failure);
    return forward_failure(writer, error);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static sabot_status pass_on(struct sb_writer *writer,
                            const struct sb_record *record,
                            sabot_error *error)
{
    const int32_t partition = choose_partition(writer, record);
    const bool waits = fits_wave(writer, record);

    if (!waits || writer->wave.size >= WAVE_BYTES_MAX)
        SABOT_TRY(send_earlier(writer, error));
    if (!waits)
        return hand_over(writer, record, partition, error);
    if (join_wave(writer, record, partition) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a record of %zu bytes",
                           record->key.size + record->value.size);
    return SABOT_OK;
}

sabot_status sb_kafka_write(struct sb_writer *writer,
                            const struct sb_record *record,
                            sabot_error *error)
{
    const int32_t turn = writer->turn;
    sabot_status status;

    if (atomic_load_explicit(&writer->tally->has_failed, memory_order_acquire))
        return forward_failure(writer, error);
    SABOT_TRY(check_record(writer, record, error));
    status = pass_on(writer, record, error);
    if (status != SABOT_OK)
        writer->turn = turn;
    return status;
}

static bool is_under_way(const struct tally *tally)
{
    return atomic_load(&tally->reported) != atomic_load(&tally->written);
}

sabot_status sb_kafka_flush(struct sb_writer *writer, sabot_error *error)
{
    struct tally *tally = writer->tally;

    if (is_under_way(tally) || writer->wave.size > 0) {
        /* Whatever is in the queue goes out of it: only what comes to an empty one wakes us. */
        atomic_store(&tally->is_waiting, true);
        (void)rd_kafka_poll(writer->producer->client->handle, 0);
    }
    if (atomic_load_explicit(&tally->has_failed, memory_order_acquire))
        return forward_failure(writer, error);
    if (!is_under_way(tally) && writer->wave.size > 0)
        SABOT_TRY(send_earlier(writer, error));
    if (is_under_way(tally))
        return SABOT_AGAIN;
    atomic_store(&tally->is_waiting, false);
    return sb_kafka_fatal(writer->producer->client, "can't flush", error);
}
