/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_reader.c - partitions of a topic to records: the beginning of the path of a batch.
 *
 * Sabot assigns partitions itself, each at an absolute offset, and takes every partition's records
 * from a queue of its own by a callback: the record is shown while it lies in the buffer it was
 * fetched into, and never copied by us, but for one case. librdkafka can't take a record back, so a
 * record that the caller did not want (its batch is full) is copied aside and shown first next
 * time: once per batch at most.
 *
 * Back-pressure is the length of a queue: when it is full librdkafka stops fetching for that
 * partition. Never pause and resume (they throw away what was fetched), never the batch call (it
 * loses records in 2.0).
 *
 *   OPENING --driver: find offsets, assign--> READY --seek--> OPENING
 *
 * Position: behind the last record taken, or behind the control records and aborted records that
 * follow it. A partition that has failed stays failed, with its first error, until it is sought.
 *
 * Threads: calls by the reader's worker thread; open_run and release by the driver thread, while
 * the job is WAITING and the worker thread touches no partition. Librdkafka's threads wake the
 * waker. Memory: the reader with its partitions in one block; a buffer per partition for the record
 * aside. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum aside {
    ASIDE_NONE,
    ASIDE_RECORD,    /* shown, not taken */
    ASIDE_TOO_LARGE, /* not shown: more than record_max bytes */
    ASIDE_TOO_MANY,  /* not shown: more than SB_HEADERS_MAX headers */
};

struct part {
    struct sb_reader *reader;
    int32_t partition;
    bool is_moved; /* to be assigned by the job */
    bool is_assigned;
    bool was_full;    /* its queue, so that nothing may be fetched for it */
    bool was_woken;   /* librdkafka, since the last record */
    int64_t asked;    /* where to begin, as it was given */
    int64_t position; /* may be SB_OFFSET_BEGIN or _END until the job is done */
    int64_t end;      /* first offset not to be shown; INT64_MAX: none */
    rd_kafka_queue_t *queue;
    rd_kafka_topic_partition_list_t *self; /* of one, for rd_kafka_position */
    enum aside aside;
    struct sb_record record; /* aside: its texts lie in `bytes` */
    size_t record_size;      /* ASIDE_TOO_LARGE: bytes; ASIDE_TOO_MANY: headers */
    struct sb_buffer bytes;
    sabot_status failed; /* SABOT_OK: it works */
    sabot_error failure;
};

struct sb_reader {
    struct sb_channel *channel;
    struct sb_kafka_client *client; /* the channel's consumer, or its own */
    bool owns_client;               /* another reader of the channel had one of the partitions */
    bool is_opening;                /* the job is under way */
    bool is_stopped;
    sabot_status failed; /* of the job */
    sabot_error failure;
    struct sb_kafka_job job;
    struct sb_lock lock;    /* guards the waker: librdkafka may wake it up to the close */
    struct sb_waker *waker; /* NULL: closed */
    size_t size;            /* of this block */
    uint32_t part_count;
    struct sb_header headers[SB_HEADERS_MAX];
    struct part parts[];
};

/* --- Assigning: the driver thread ------------------------------------------------------------- */

/* A message for a waiting worker has come. By librdkafka's thread, under the lock of the queue. */
static void on_queue(rd_kafka_t *handle, void *context)
{
    struct sb_reader *reader = ((const struct part *)context)->reader;

    (void)handle;
    sb_lock_take(&reader->lock);
    if (reader->waker != NULL)
        sb_wake(reader->channel->env, reader->waker);
    sb_lock_drop(&reader->lock);
}

/* Whose client reads the partitions: the channel's, unless it reads one of them already. */
static sabot_status choose_client(struct sb_reader *reader, sabot_error *error)
{
    struct sb_channel *channel = reader->channel;

    if (reader->client != NULL)
        return SABOT_OK;
    if (channel->taken == NULL) {
        channel->taken =
            sb_alloc_array(channel->env, (size_t)channel->partition_count, sizeof(bool));
        if (channel->taken == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for %" PRId32 " partitions",
                               channel->partition_count);
    }
    for (uint32_t i = 0; i < reader->part_count; i++) {
        if (channel->taken[reader->parts[i].partition]) {
            SABOT_TRY(sb_kafka_client_create(channel, false, NULL, 0, &reader->client, error));
            reader->owns_client = true;
            return SABOT_OK;
        }
    }
    for (uint32_t i = 0; i < reader->part_count; i++)
        channel->taken[reader->parts[i].partition] = true;
    reader->client = channel->consumer;
    return SABOT_OK;
}

/* BEGIN and END to offsets. */
static sabot_status find_offsets(struct sb_reader *reader, sabot_error *error)
{
    struct sb_channel *channel = reader->channel;
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->part_count);
    sabot_status status;

    for (uint32_t i = 0; i < reader->part_count; i++) {
        if (reader->parts[i].position < 0)
            rd_kafka_topic_partition_list_add(list, channel->topic, reader->parts[i].partition)
                ->offset = reader->parts[i].position;
    }
    status = list->cnt == 0 ? SABOT_OK : sb_kafka_resolve(channel, list, error);
    for (uint32_t i = 0; i < reader->part_count && status == SABOT_OK; i++) {
        struct part *part = &reader->parts[i];

        if (part->position < 0)
            part->position =
                rd_kafka_topic_partition_list_find(list, channel->topic, part->partition)->offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

static sabot_status assign_failed(const struct sb_channel *channel,
                                  rd_kafka_error_t *cause,
                                  sabot_error *error)
{
    const sabot_status status = sabot_raise(error, sb_kafka_status(rd_kafka_error_code(cause)),
                                            "can't assign partitions of topic %s: %s",
                                            channel->topic, rd_kafka_error_string(cause));

    rd_kafka_error_destroy(cause);
    return status;
}

static sabot_status unassign_moved(struct sb_reader *reader, sabot_error *error)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->part_count);
    rd_kafka_error_t *cause = NULL;

    for (uint32_t i = 0; i < reader->part_count; i++) {
        struct part *part = &reader->parts[i];

        if (part->is_moved && part->is_assigned)
            rd_kafka_topic_partition_list_add(list, reader->channel->topic, part->partition);
    }
    if (list->cnt > 0)
        cause = rd_kafka_incremental_unassign(reader->client->handle, list);
    for (uint32_t i = 0; i < reader->part_count && cause == NULL; i++)
        reader->parts[i].is_assigned = reader->parts[i].is_assigned && !reader->parts[i].is_moved;
    rd_kafka_topic_partition_list_destroy(list);
    return cause == NULL ? SABOT_OK : assign_failed(reader->channel, cause, error);
}

/* The partition's own queue must exist, apart from the client's, before it is assigned. */
static void make_queue(struct sb_reader *reader, struct part *part)
{
    if (part->queue != NULL)
        return;
    part->queue = rd_kafka_queue_get_partition(reader->client->handle, reader->channel->topic,
                                               part->partition);
    SB_ASSERT(part->queue != NULL);
    rd_kafka_queue_forward(part->queue, NULL);
    rd_kafka_queue_cb_event_enable(part->queue, on_queue, part);
}

static sabot_status assign_moved(struct sb_reader *reader, sabot_error *error)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)reader->part_count);
    rd_kafka_error_t *cause = NULL;

    for (uint32_t i = 0; i < reader->part_count; i++) {
        struct part *part = &reader->parts[i];

        part->is_moved = part->is_moved && part->position < part->end;
        if (!part->is_moved)
            continue;
        make_queue(reader, part);
        rd_kafka_topic_partition_list_add(list, reader->channel->topic, part->partition)->offset =
            part->position;
    }
    if (list->cnt > 0)
        cause = rd_kafka_incremental_assign(reader->client->handle, list);
    for (uint32_t i = 0; i < reader->part_count && cause == NULL; i++) {
        reader->parts[i].is_assigned = reader->parts[i].is_assigned || reader->parts[i].is_moved;
        reader->parts[i].is_moved = false;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return cause == NULL ? SABOT_OK : assign_failed(reader->channel, cause, error);
}

static sabot_status open_run(struct sb_kafka_job *job, sabot_error *error)
{
    struct sb_reader *reader = job->owner;

    SABOT_TRY(choose_client(reader, error));
    SABOT_TRY(find_offsets(reader, error));
    SABOT_TRY(unassign_moved(reader, error));
    return assign_moved(reader, error);
}

/* --- Opening and closing ---------------------------------------------------------------------- */

/* Let a partition begin at a position; the job does the rest. On an error it is as it was. */
static sabot_status place_part(struct part *part,
                               const struct sb_reader_position *position,
                               sabot_error *error)
{
    const struct sb_channel *channel = part->reader->channel;
    int64_t offset = position->offset;

    if (offset == SB_OFFSET_NONE)
        offset = channel->start_at_end ? SB_OFFSET_END : SB_OFFSET_BEGIN;
    if (offset < SB_OFFSET_BEGIN)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "partition %" PRId32 ": %" PRId64 " is no offset", part->partition,
                           position->offset);
    if (offset > part->end)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                           "topic %s, partition %" PRId32 ": offset %" PRId64
                           " lies behind the end, %" PRId64
                           ": what was there is gone, or the topic is not the one it was; choose "
                           "anew where to begin",
                           channel->topic, part->partition, offset, part->end);
    part->position = offset;
    part->asked = position->offset;
    part->is_moved = true;
    part->aside = ASIDE_NONE;
    part->failed = SABOT_OK;
    return SABOT_OK;
}

static sabot_status part_init(struct sb_reader *reader,
                              struct part *part,
                              const struct sb_reader_position *position,
                              sabot_error *error)
{
    const struct sb_channel *channel = reader->channel;

    if (position->partition < 0 || position->partition >= channel->partition_count)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "topic %s has no partition %" PRId32 ": it has %" PRId32, channel->topic,
                           position->partition, channel->partition_count);
    part->reader = reader;
    part->partition = position->partition;
    part->end = channel->until_end ? channel->ends[part->partition] : INT64_MAX;
    return place_part(part, position, error);
}

static sabot_status part_start(struct part *part, sabot_error *error)
{
    const struct sb_channel *channel = part->reader->channel;

    sb_buffer_init(&part->bytes, channel->env);
    part->self = rd_kafka_topic_partition_list_new(1);
    if (part->self == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a reader");
    rd_kafka_topic_partition_list_add(part->self, channel->topic, part->partition);
    return SABOT_OK;
}

static void reader_free(struct sb_reader *reader)
{
    for (uint32_t i = 0; i < reader->part_count; i++) {
        struct part *part = &reader->parts[i];

        if (part->self != NULL)
            rd_kafka_topic_partition_list_destroy(part->self);
        sb_buffer_reset(&part->bytes);
    }
    sb_lock_reset(&reader->lock);
    sb_free(reader->channel->env, reader, reader->size);
}

sabot_status sb_kafka_reader_open(struct sb_channel *channel,
                                  const struct sb_reader_position *positions,
                                  uint32_t position_count,
                                  struct sb_waker *waker,
                                  struct sb_reader **reader_out,
                                  sabot_error *error)
{
    const size_t size = sizeof(struct sb_reader) + position_count * sizeof(struct part);
    struct sb_reader *reader;
    sabot_status status = SABOT_OK;

    SB_ASSERT(channel->ready && channel->for_reading);
    *reader_out = NULL;
    reader = sb_alloc(channel->env, size);
    if (reader == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a reader");
    reader->channel = channel;
    reader->size = size;
    reader->part_count = position_count;
    sb_lock_init(&reader->lock);
    reader->waker = waker;
    reader->job.owner = reader;
    reader->job.waker = waker;
    for (uint32_t i = 0; i < position_count && status == SABOT_OK; i++) {
        status = part_init(reader, &reader->parts[i], &positions[i], error);
        if (status == SABOT_OK)
            status = part_start(&reader->parts[i], error);
    }
    if (status != SABOT_OK) {
        reader_free(reader);
        return status;
    }
    reader->is_opening = true;
    sb_kafka_job_submit(&channel->driver, &reader->job, open_run);
    *reader_out = reader;
    return SABOT_OK;
}

/* Driver thread: nobody polls any more. */
static void release(struct sb_kafka_job *job)
{
    struct sb_reader *reader = job->owner;
    sabot_error error;

    for (uint32_t i = 0; i < reader->part_count; i++) {
        struct part *part = &reader->parts[i];

        part->is_moved = true;
        if (reader->client != NULL && !reader->owns_client)
            reader->channel->taken[part->partition] = false;
    }
    if (reader->client != NULL)
        (void)unassign_moved(reader, &error);
    for (uint32_t i = 0; i < reader->part_count; i++) {
        rd_kafka_queue_t *queue = reader->parts[i].queue;

        if (queue == NULL)
            continue;
        /* Taken back under the queue's lock: on_queue() is not running any more. */
        rd_kafka_queue_cb_event_enable(queue, NULL, NULL);
        rd_kafka_queue_destroy(queue);
    }
    if (reader->owns_client)
        sb_kafka_client_destroy(reader->client);
    reader_free(reader);
}

void sb_kafka_reader_close(struct sb_reader *reader)
{
    if (reader == NULL)
        return;
    sb_lock_take(&reader->lock);
    reader->waker = NULL;
    sb_lock_drop(&reader->lock);
    sb_kafka_job_abandon(&reader->channel->driver, &reader->job, release);
}

/* --- The record aside ------------------------------------------------------------------------- */

static size_t record_bytes(const struct sb_record *record)
{
    size_t size =
        record->header_count * sizeof(struct sb_header) + record->key.size + record->value.size;

    for (uint32_t i = 0; i < record->header_count; i++)
        size += record->headers[i].name.size + record->headers[i].value.size;
    return size;
}

/* A copy of a text in memory that was reserved. */
static sabot_text copy_text(struct sb_buffer *bytes, sabot_text text)
{
    uint8_t *to = bytes->data + bytes->size;

    if (text.data == NULL)
        return text;
    SB_ASSERT(text.size <= bytes->capacity - bytes->size);
    if (text.size > 0)
        memcpy(to, text.data, text.size);
    bytes->size += text.size;
    return (sabot_text){(const char *)to, text.size};
}

static void fail_part(struct part *part, sabot_status status)
{
    SB_ASSERT(status != SABOT_OK && part->failed == SABOT_OK);
    part->failed = status;
}

/* Keep a record that was shown, but not taken: its headers, then all texts, in one buffer. */
static void put_aside(struct part *part, const struct sb_record *record)
{
    const size_t headers_size = record->header_count * sizeof(struct sb_header);
    struct sb_header *headers;

    part->bytes.size = 0;
    if (sb_buffer_reserve(&part->bytes, record_bytes(record) + 1) != SABOT_OK) {
        fail_part(part, sabot_raise(&part->failure, SABOT_ERR_MEMORY,
                                    "topic %s, partition %" PRId32 ", offset %" PRId64
                                    ": no memory to keep a record of %zu bytes",
                                    part->reader->channel->topic, part->partition, record->offset,
                                    record_bytes(record)));
        return;
    }
    headers = (struct sb_header *)(void *)part->bytes.data;
    part->bytes.size = headers_size;
    part->record = *record;
    part->record.key = copy_text(&part->bytes, record->key);
    part->record.value = copy_text(&part->bytes, record->value);
    for (uint32_t i = 0; i < record->header_count; i++) {
        headers[i].name = copy_text(&part->bytes, record->headers[i].name);
        headers[i].value = copy_text(&part->bytes, record->headers[i].value);
    }
    part->record.headers = headers;
    part->aside = ASIDE_RECORD;
}

/* --- Polling ---------------------------------------------------------------------------------- */

/* What one poll has done so far. */
struct showing {
    struct part *part;
    uint32_t left;       /* records that may be taken */
    bool took;           /* some record */
    uint64_t messages;   /* that left the queue */
    uint64_t bytes;      /* of them */
    bool is_over;        /* take no more, for whatever reason */
    bool is_stopped;     /* by `each` */
    sabot_status status; /* of `each`: an error */
    int64_t now_us;
    sb_record_function each;
    void *context;
};

/* Show a record. False: not taken. */
static bool show(struct showing *showing, const struct sb_record *record)
{
    const sabot_status status = showing->each(showing->context, record);

    SB_ASSERT(showing->left > 0);
    if (status == SABOT_OK || status == SABOT_AGAIN) {
        showing->part->position = record->next_offset;
        showing->took = true;
        showing->left--;
        showing->is_over = status == SABOT_AGAIN || showing->left == 0;
        return true;
    }
    showing->is_over = true;
    showing->is_stopped = true;
    if (status != SABOT_END)
        showing->status = status;
    return false;
}

/* False: more headers than SB_HEADERS_MAX. Where nobody wants any, none are asked for: to look,
 * librdkafka allocates a buffer and fills it with zeros, also for a record that has none, and waits
 * for the thread that fetches, which allocates too. That is a fifth of the cost of a record. */
static bool take_headers(struct sb_reader *reader, rd_kafka_message_t *message, size_t *count_out)
{
    rd_kafka_headers_t *headers;
    const void *value;
    const char *name;
    size_t size;

    *count_out = 0;
    if (!reader->channel->with_headers ||
        rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return true;
    *count_out = rd_kafka_header_cnt(headers);
    if (*count_out > SB_HEADERS_MAX)
        return false;
    for (size_t i = 0; i < *count_out; i++) {
        if (rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
            return false;
        reader->headers[i] = (struct sb_header){{name, strlen(name)}, {value, size}};
    }
    return true;
}

static void skip_aside(struct showing *showing, int64_t offset, enum aside why, size_t size)
{
    struct part *part = showing->part;

    part->aside = why;
    part->record.offset = offset;
    part->record_size = size;
    showing->is_over = true;
}

static void on_record(struct showing *showing, rd_kafka_message_t *message)
{
    struct part *part = showing->part;
    struct sb_reader *reader = part->reader;
    const size_t size = message->key_len + message->len;
    rd_kafka_timestamp_type_t type;
    size_t header_count;

    showing->messages++;
    showing->bytes += size;
    if (message->offset < part->position)
        return; /* fetched again */
    if (message->offset >= part->end) {
        part->position = part->end;
        showing->is_over = true;
        return;
    }
    if (size > reader->channel->record_max) {
        skip_aside(showing, message->offset, ASIDE_TOO_LARGE, size);
        return;
    }
    if (!take_headers(reader, message, &header_count)) {
        skip_aside(showing, message->offset, ASIDE_TOO_MANY, header_count);
        return;
    }
    const struct sb_record record = {
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .headers = reader->headers,
        .header_count = (uint32_t)header_count,
        .partition = part->partition,
        .offset = message->offset,
        .next_offset = message->offset + 1,
        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
        .arrival_us = showing->now_us,
    };

    if (!show(showing, &record))
        put_aside(part, &record);
}

/* Something about the partition: its end, or what went wrong. */
static void on_event(struct showing *showing, const rd_kafka_message_t *message)
{
    struct part *part = showing->part;
    const struct sb_channel *channel = part->reader->channel;
    const bool is_gone = message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
                         message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (message->offset > part->position)
            part->position = message->offset;
        return;
    }
    if (sb_kafka_is_transient(message->err)) {
        sb_log(channel->env, SABOT_LOG_DEBUG, channel->name, "topic %s, partition %" PRId32 ": %s",
               channel->topic, part->partition, rd_kafka_message_errstr(message));
        return;
    }
    showing->is_over = true;
    fail_part(part,
              sabot_raise(&part->failure, sb_kafka_status(message->err),
                          "topic %s at %s, partition %" PRId32 ", offset %" PRId64 ": %s%s",
                          channel->topic, channel->brokers, part->partition, part->position,
                          rd_kafka_message_errstr(message),
                          is_gone ? "; its records were deleted, or the topic is not the one it "
                                    "was: choose anew where to begin"
                                  : ""));
}

static void on_message(rd_kafka_message_t *message, void *context)
{
    struct showing *showing = context;

    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        on_record(showing, message);
    else
        on_event(showing, message);
    if (showing->is_over)
        rd_kafka_yield(showing->part->reader->client->handle);
}

/* The record aside that can't be shown: say so, and go behind it. */
static sabot_status raise_aside(struct part *part, sabot_error *error)
{
    const struct sb_channel *channel = part->reader->channel;
    const bool is_large = part->aside == ASIDE_TOO_LARGE;

    part->aside = ASIDE_NONE;
    part->position = part->record.offset + 1;
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "topic %s, partition %" PRId32 ", offset %" PRId64
                       ": a record of %zu %s; the limit is %" PRIu32,
                       channel->topic, part->partition, part->record.offset, part->record_size,
                       is_large ? "bytes" : "headers",
                       is_large ? channel->record_max : (uint32_t)SB_HEADERS_MAX);
}

/* Go behind control records: librdkafka counts them, and shows none. */
static void follow(struct part *part)
{
    if (!part->is_assigned ||
        rd_kafka_position(part->reader->client->handle, part->self) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    if (part->self->elems[0].offset > part->position)
        part->position = part->self->elems[0].offset;
}

/* The result of the driver's job, when there is one. */
static sabot_status opened(struct sb_reader *reader, sabot_error *error)
{
    if (reader->is_opening) {
        const sabot_status status = sb_kafka_job_result(&reader->job, &reader->failure);

        if (status == SABOT_AGAIN)
            return status;
        reader->is_opening = false;
        reader->failed = status;
    }
    if (reader->failed != SABOT_OK && error != NULL)
        *error = reader->failure;
    return reader->failed;
}

/* librdkafka 2.0 does not see a full queue drain. Wake it when a queue that was nearly full is half
 * empty; and once when one is empty though there is more to read, for what the estimate has missed.
 */
static void refill(const struct showing *showing)
{
    struct part *part = showing->part;
    const struct sb_reader *reader = part->reader;
    const struct sb_kafka_client *client = reader->client;
    const uint64_t left = rd_kafka_queue_length(part->queue);
    const uint64_t size = showing->messages == 0 ? 0 : showing->bytes / showing->messages;
    const uint64_t before = left + showing->messages;
    bool wakes = false;

    if (before >= client->queue_messages / 4 * 3 || before * size >= client->queue_bytes / 4 * 3)
        part->was_full = true;
    if (showing->messages > 0) {
        part->was_woken = false;
        wakes = part->was_full && left < client->queue_messages / 2 &&
                left * size < client->queue_bytes / 2;
    } else if (left == 0 && !part->was_woken) {
        part->was_woken = true;
        wakes = sb_kafka_lag(reader, (uint32_t)(part - reader->parts)) > 0;
    }
    if (!wakes)
        return;
    part->was_full = false;
    sb_kafka_client_wake(client);
}

static void take(struct showing *showing)
{
    struct part *part = showing->part;

    if (part->aside == ASIDE_RECORD) {
        if (!show(showing, &part->record))
            return;
        part->aside = ASIDE_NONE;
    }
    if (!showing->is_over && part->is_assigned && part->position < part->end) {
        (void)rd_kafka_consume_callback_queue(part->queue, 0, on_message, showing);
        if (part->reader->client->must_wake)
            refill(showing);
    }
}

sabot_status sb_kafka_poll(struct sb_reader *reader,
                           uint32_t index,
                           uint32_t records_max,
                           sb_record_function each,
                           void *context,
                           sabot_error *error)
{
    struct part *part = &reader->parts[index];
    struct showing showing = {.part = part, .left = records_max, .each = each, .context = context};

    SB_ASSERT(index < reader->part_count && records_max > 0);
    if (reader->is_stopped)
        return SABOT_END;
    SABOT_TRY(opened(reader, error));
    if (part->failed == SABOT_OK && part->aside != ASIDE_TOO_LARGE &&
        part->aside != ASIDE_TOO_MANY) {
        showing.now_us = sb_now_us(reader->channel->env);
        take(&showing);
    }
    if (showing.status != SABOT_OK)
        return showing.status;
    if (showing.took || showing.is_stopped)
        return SABOT_OK;
    if (part->aside != ASIDE_NONE)
        return raise_aside(part, error);
    if (part->failed != SABOT_OK) {
        if (error != NULL)
            *error = part->failure;
        return part->failed;
    }
    if (part->position < part->end)
        follow(part);
    return part->position < part->end ? SABOT_AGAIN : SABOT_END;
}

/* --- Where it stands -------------------------------------------------------------------------- */

void sb_kafka_position(const struct sb_reader *reader,
                       uint32_t index,
                       struct sb_reader_position *position_out)
{
    const struct part *part = &reader->parts[index];

    SB_ASSERT(index < reader->part_count);
    *position_out = (struct sb_reader_position){.partition = part->partition};
    /* While the job is under way the position is the driver's to find. */
    position_out->offset = reader->is_opening ? part->asked : part->position;
}

void sb_kafka_place(const struct sb_reader *reader,
                    uint32_t index,
                    int64_t offset,
                    char *text_out,
                    size_t size)
{
    SB_ASSERT(index < reader->part_count && size > 0);
    (void)snprintf(text_out, size, "partition %" PRId32 ", offset %" PRId64,
                   reader->parts[index].partition, offset);
}

int64_t sb_kafka_lag(const struct sb_reader *reader, uint32_t index)
{
    const struct part *part = &reader->parts[index];
    int64_t low;
    int64_t high = part->end;

    SB_ASSERT(index < reader->part_count);
    if (reader->is_opening || reader->failed != SABOT_OK)
        return SB_LAG_NOT_YET;
    /* As the last fetch said it: no request. */
    if (high == INT64_MAX && (rd_kafka_get_watermark_offsets(
                                  reader->client->handle, reader->channel->topic, part->partition,
                                  &low, &high) != RD_KAFKA_RESP_ERR_NO_ERROR ||
                              high < 0))
        return SB_LAG_NOT_YET;
    return high > part->position ? high - part->position : 0;
}

void sb_kafka_stop(struct sb_reader *reader)
{
    reader->is_stopped = true;
}

sabot_status sb_kafka_seek(struct sb_reader *reader,
                           const struct sb_reader_position *position,
                           sabot_error *error)
{
    struct part *part = NULL;

    SABOT_TRY(opened(reader, error));
    for (uint32_t i = 0; i < reader->part_count && part == NULL; i++) {
        if (reader->parts[i].partition == position->partition)
            part = &reader->parts[i];
    }
    if (part == NULL)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "topic %s: partition %" PRId32 " is not this reader's",
                           reader->channel->topic, position->partition);
    SABOT_TRY(place_part(part, position, error));
    reader->is_opening = true;
    sb_kafka_job_submit(&reader->channel->driver, &reader->job, open_run);
    return SABOT_OK;
}
