/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - the channel of an app's own function (sabot_channel_source): one partition, one reader
 * at a time, no writers.
 *
 * It stands in for a memory channel, so it is opened by a memory: URL, of which ?bytes= bounds what
 * the function may be ahead of the reader, else the buffer of the configuration and SB_FEED_AHEAD;
 * ?records= ends it behind so many, whether the function would go on or not.
 *
 * Positions. The app's bytes say where a call of its function began, not where a record inside of
 * that call is. So a position is the bytes before the call and the number of records taken since
 * (`opaque`, `opaque_taken`); `offset` is a running number, for people. A restored reader lets the
 * function begin at those bytes and drops that many records. Calls may be cut otherwise than
 * before, as the records after a position are the same: the count goes on over their borders.
 *
 * Epochs. Each start and seek is an epoch: the reader asks, and from then on throws away blocks of
 * older epochs until the driver has noticed.
 *
 * The driver is spawned by the first reader and joined when the channel is closed; that waits for
 * a call of fill that is under way.
 *
 * Threads: the reader's calls come from one thread; source.h says what it shares with the driver.
 * Memory: records are shown in their block, valid during the call that shows them. */
#include "channel/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "channel/url.h"

enum { RULE_PARTITIONS, RULE_BYTES, RULE_RECORDS };

static const struct sb_url_rule url_rules[] = {
    [RULE_PARTITIONS] = {"partitions", SB_URL_INT, 1, SB_PARTITIONS_MAX},
    [RULE_BYTES] = {"bytes", SB_URL_BYTES, SB_FEED_BYTES_MIN, INT64_MAX / 2},
    [RULE_RECORDS] = {"records", SB_URL_INT, 0, INT64_MAX},
};

struct sb_channel {
    struct sabot_source source;
    bool has_reader;
};

struct sb_reader {
    struct sb_channel *channel;
    uint64_t epoch;
    uint32_t at; /* byte of the first block in the queue */
    bool stopped;
    int64_t number;          /* of the next record */
    sabot_position position; /* where the call began that made it */
    uint64_t taken;          /* of its records */
    uint64_t skip;           /* records to drop: they were taken before */
};

/* --- Channel ---------------------------------------------------------------------------------- */

static void source_close(struct sb_channel *channel)
{
    struct sabot_source *source;
    const struct sb_env *env;

    if (channel == NULL)
        return;
    SB_ASSERT(!channel->has_reader);
    source = &channel->source;
    env = source->env;
    if (source->thread != NULL) {
        sb_lock_take(&source->lock);
        source->request.closing = true;
        atomic_fetch_add(&source->request_number, 1);
        sb_lock_drop(&source->lock);
        sb_wake(env, source->waker);
        env->type->join(env->self, source->thread);
    }
    sb_feed_free_blocks(source);
    env->type->waker_destroy(env->self, source->waker);
    sb_lock_reset(&source->lock);
    sb_string_free(env, source->channel);
    sb_free(env, channel, sizeof *channel);
}

static uint32_t power_of_two(uint64_t at_least)
{
    uint32_t power = 1;

    while (power < at_least)
        power *= 2;
    return power;
}

static uint64_t clamp(uint64_t value, uint64_t min, uint64_t max)
{
    if (value < min)
        return min;
    return value > max ? max : value;
}

/* Sizes follow from the bytes of the buffer, the largest record, and what the URL says (0: nothing)
 * of how far the function may be ahead. */
static void set_sizes(struct sabot_source *source,
                      uint64_t buffer,
                      uint32_t record_max,
                      uint64_t url)
{
    const uint64_t bytes_max = (uint64_t)SB_FEED_BLOCK * SB_FEED_BLOCKS_MAX;
    const uint64_t call = clamp(url != 0 ? url : buffer, SB_FEED_BYTES_MIN, bytes_max);
    const uint64_t ahead = url != 0 ? call : clamp(call, SB_FEED_BYTES_MIN, SB_FEED_AHEAD);

    source->bytes_max = ahead;
    source->block_size = (uint32_t)clamp(ahead / SB_FEED_BLOCKS / 8 * 8, 0, SB_FEED_BLOCK);
    source->record_max = record_max;
    source->records_max = (uint32_t)clamp(call / record_max, 1, SB_FEED_RECORDS_MAX);
    SB_ASSERT(source->block_size >= SB_FEED_BLOCK_MIN);
}

static sabot_status make_parts(struct sabot_source *source,
                               const struct sb_channel_config *config,
                               sabot_error *error)
{
    const struct sb_env *env = source->env;
    /* All of a full buffer, and what one call may write beyond: a block or two per record. */
    const uint32_t slots = power_of_two(source->bytes_max / source->block_size +
                                        2 * (uint64_t)source->records_max + 4);
    const uint32_t size = sizeof(struct sb_feed_block *);

    SABOT_TRY(env->type->waker_create(env->self, &source->waker, error));
    source->channel = sb_string_copy(env, config->name);
    if (source->channel == NULL ||
        sb_ring_init(&source->queue, env, slots, size, UINT64_MAX) != SABOT_OK ||
        sb_ring_init(&source->spent, env, slots, size, UINT64_MAX) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its source", config->name);
    return SABOT_OK;
}

static sabot_status source_open(const struct sb_env *env,
                                const struct sb_channel_config *config,
                                struct sb_waker *waker,
                                struct sb_channel **channel_out,
                                sabot_error *error)
{
    struct sb_channel *channel;
    struct sb_url url;
    int64_t partitions;
    int64_t records;
    uint64_t bytes;
    sabot_status status;

    (void)waker; /* prepare never waits */
    SB_ASSERT(config->source != NULL);
    SB_ASSERT(config->record_max > 0);
    *channel_out = NULL;
    SABOT_TRY(sb_url_init(&url, env, config->url, url_rules, sizeof url_rules / sizeof url_rules[0],
                          error));
    partitions = sb_url_number(&url, RULE_PARTITIONS, 1);
    bytes = (uint64_t)sb_url_number(&url, RULE_BYTES, 0);
    records = sb_url_number(&url, RULE_RECORDS, INT64_MAX);
    sb_url_reset(&url);
    if (partitions != 1)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: partitions=%" PRId64 ", but a source of the app has one",
                           config->url, partitions);
    if (config->for_writing)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: channel %s is filled by a source of the app, and can't be written",
                           config->url, config->name);
    channel = sb_alloc(env, sizeof *channel);
    if (channel == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->url);
    channel->source.env = env;
    channel->source.fill = config->source;
    channel->source.user = config->source_user;
    channel->source.codec = config->codec;
    channel->source.schema = config->schema;
    channel->source.records_end = records;
    sb_lock_init(&channel->source.lock);
    set_sizes(&channel->source,
              config->buffer_bytes == 0 ? SB_FEED_BYTES_DEFAULT : config->buffer_bytes,
              config->record_max, bytes);
    status = make_parts(&channel->source, config, error);
    if (status != SABOT_OK) {
        source_close(channel);
        return status;
    }
    *channel_out = channel;
    return SABOT_OK;
}

static sabot_status source_prepare(struct sb_channel *channel, sabot_error *error)
{
    (void)channel;
    (void)error;
    return SABOT_OK;
}

static int32_t source_partition_count(const struct sb_channel *channel)
{
    (void)channel;
    return 1;
}

/* Its function says when; one that never does is as good as a channel that never gets an end. */
static bool source_finite(const struct sb_channel *channel)
{
    (void)channel;
    return true;
}

static bool source_connected(const struct sb_channel *channel)
{
    (void)channel;
    return true;
}

static const char *source_guarantee(const struct sb_channel *channel)
{
    (void)channel;
    return "nothing outlives the process: a source of the app begins again from its start";
}

static bool source_same(const struct sb_channel *channel, const struct sb_channel *other)
{
    return channel == other;
}

/* --- Starting --------------------------------------------------------------------------------- */

/* Let the driver begin at a position, which the reader is at from now on. */
static void start(struct sb_reader *reader, const struct sb_reader_position *position)
{
    struct sabot_source *source = &reader->channel->source;
    const bool fresh = position->offset < 0; /* none, begin, end: a source has but one begin */

    reader->number = fresh ? 0 : position->offset;
    reader->taken = 0;
    reader->skip = fresh ? 0 : position->opaque_taken;
    reader->position = fresh ? (sabot_position){0} : position->opaque;
    sb_lock_take(&source->lock);
    reader->epoch = ++source->request.epoch;
    source->request.running = !reader->stopped;
    source->request.position = reader->position;
    atomic_fetch_add(&source->request_number, 1);
    sb_lock_drop(&source->lock);
    sb_wake(source->env, source->waker);
}

static sabot_status check_position(const struct sabot_source *source,
                                   const struct sb_reader_position *position,
                                   sabot_error *error)
{
    if (position->partition != 0)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "%s: no partition %" PRId32 " among 1",
                           source->channel, position->partition);
    if (position->opaque.size > SABOT_POSITION_MAX)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: a position of %zu bytes, %d is the limit",
                           source->channel, position->opaque.size, SABOT_POSITION_MAX);
    return SABOT_OK;
}

static sabot_status source_reader_open(struct sb_channel *channel,
                                       const struct sb_reader_position *positions,
                                       uint32_t position_count,
                                       struct sb_waker *waker,
                                       struct sb_reader **reader_out,
                                       sabot_error *error)
{
    struct sabot_source *source = &channel->source;
    const struct sb_env *env = source->env;
    struct sb_reader *reader;

    *reader_out = NULL;
    if (position_count != 1 || channel->has_reader)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%s: a source has one partition, and one reader at a time",
                           source->channel);
    SABOT_TRY(check_position(source, positions, error));
    reader = sb_alloc(env, sizeof *reader);
    if (reader == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a reader", source->channel);
    reader->channel = channel;
    if (source->thread == NULL) {
        const sabot_status status = env->type->spawn(env->self, "source", sb_feed_step, source,
                                                     source->waker, &source->thread, error);

        if (status != SABOT_OK) {
            sb_free(env, reader, sizeof *reader);
            return status;
        }
    }
    sb_lock_take(&source->lock);
    source->reader_waker = waker;
    sb_lock_drop(&source->lock);
    start(reader, positions);
    channel->has_reader = true;
    *reader_out = reader;
    return SABOT_OK;
}

static void source_stop(struct sb_reader *reader)
{
    struct sabot_source *source = &reader->channel->source;

    reader->stopped = true;
    sb_lock_take(&source->lock);
    source->request.running = false;
    atomic_fetch_add(&source->request_number, 1);
    sb_lock_drop(&source->lock);
    sb_wake(source->env, source->waker);
}

static void source_reader_close(struct sb_reader *reader)
{
    struct sabot_source *source;

    if (reader == NULL)
        return;
    source = &reader->channel->source;
    source_stop(reader);
    sb_lock_take(&source->lock);
    source->reader_waker = NULL;
    sb_lock_drop(&source->lock);
    reader->channel->has_reader = false;
    sb_free(source->env, reader, sizeof *reader);
}

static sabot_status source_seek(struct sb_reader *reader,
                                const struct sb_reader_position *position,
                                sabot_error *error)
{
    SABOT_TRY(check_position(&reader->channel->source, position, error));
    start(reader, position);
    return SABOT_OK;
}

/* --- Where it stands -------------------------------------------------------------------------- */

static void source_position(const struct sb_reader *reader,
                            uint32_t index,
                            struct sb_reader_position *position_out)
{
    SB_ASSERT(index == 0);
    *position_out = (struct sb_reader_position){
        .offset = reader->number,
        .opaque = reader->position,
        .opaque_taken = reader->taken + reader->skip,
    };
}

static void source_place(const struct sb_reader *reader,
                         uint32_t index,
                         int64_t offset,
                         char *text_out,
                         size_t size)
{
    (void)reader;
    (void)index;
    (void)snprintf(text_out, size, "partition 0, offset %" PRId64, offset);
}

static int64_t source_lag(const struct sb_reader *reader, uint32_t index)
{
    (void)reader;
    (void)index;
    return -1; /* only the app's function knows what it will still make */
}

/* --- Poll ------------------------------------------------------------------------------------- */

/* One poll: what the caller wants, and how far it has come. */
struct showing {
    sb_record_function each;
    void *context;
    uint32_t left;
    bool done; /* `each` wants no more */
};

static void give_back(struct sb_reader *reader, struct sb_feed_block *block)
{
    struct sabot_source *source = &reader->channel->source;
    bool pushed;

    sb_ring_pop(&source->queue, 0);
    pushed = sb_ring_push(&source->spent, &block, 0);
    SB_ASSERT(pushed);
    reader->at = 0;
    if (atomic_exchange(&source->starved, false))
        sb_wake(source->env, source->waker);
}

static sabot_text stored_text(const uint8_t *bytes, uint32_t size)
{
    if (size == UINT32_MAX)
        return (sabot_text){NULL, 0};
    return (sabot_text){(const char *)bytes, size};
}

static void enter_call(struct sb_reader *reader, const struct sb_feed_entry *entry)
{
    SB_ASSERT(entry->value_size <= SABOT_POSITION_MAX);
    reader->position.size = entry->value_size;
    memcpy(reader->position.bytes, entry + 1, entry->value_size);
    reader->taken = 0;
}

/* Show one record. SABOT_OK: taken, or showing->done; an error of `each`: not taken. */
static sabot_status show(struct sb_reader *reader,
                         const struct sb_feed_entry *entry,
                         struct showing *showing)
{
    const uint8_t *bytes = (const uint8_t *)(entry + 1);
    struct sb_record record = {
        .key = stored_text(bytes, entry->key_size),
        .offset = reader->number,
        .next_offset = reader->number + 1,
        .timestamp_ms = entry->timestamp_ms,
        .arrival_us = entry->arrival_us,
    };
    sabot_status status;

    record.value = stored_text(bytes + record.key.size, entry->value_size);
    status = showing->each(showing->context, &record);
    showing->done = status != SABOT_OK;
    if (status == SABOT_END)
        return SABOT_OK;
    if (status != SABOT_OK && status != SABOT_AGAIN)
        return status;
    reader->at += entry->size;
    reader->number++;
    reader->taken++;
    showing->left--;
    return SABOT_OK;
}

static sabot_status walk(struct sb_reader *reader,
                         const struct sb_feed_block *block,
                         uint32_t published,
                         struct showing *showing)
{
    while (reader->at < published && showing->left > 0 && !showing->done) {
        const struct sb_feed_entry *entry =
            (const struct sb_feed_entry *)(const void *)(block->bytes + reader->at);

        if (entry->kind == SB_FEED_POSITION) {
            enter_call(reader, entry);
            reader->at += entry->size;
        } else if (reader->skip > 0) {
            reader->skip--;
            reader->taken++;
            reader->at += entry->size;
        } else {
            SABOT_TRY(show(reader, entry, showing));
        }
    }
    return SABOT_OK;
}

/* Show what is in the queue. */
static sabot_status show_blocks(struct sb_reader *reader, struct showing *showing)
{
    struct sb_ring *queue = &reader->channel->source.queue;
    struct sb_feed_block **slot;

    while (showing->left > 0 && !showing->done && (slot = sb_ring_peek(queue)) != NULL) {
        struct sb_feed_block *block = *slot;
        /* In this order: what was published before it was sealed is all there is. */
        const bool sealed = atomic_load(&block->sealed);
        const uint32_t published = atomic_load(&block->published);

        if (block->epoch == reader->epoch)
            SABOT_TRY(walk(reader, block, published, showing));
        else
            reader->at = published;
        if (!sealed || reader->at < published)
            return SABOT_OK;
        give_back(reader, block);
    }
    return SABOT_OK;
}

/* Everything was shown, and the function has ended. */
static sabot_status finish(struct sb_reader *reader, sabot_error *error)
{
    const struct sabot_source *source = &reader->channel->source;

    if (source->final_status == SABOT_END && reader->skip > 0)
        return sabot_raise(error, SABOT_ERR_USER,
                           "source of %s: it ended %" PRIu64
                           " records before the position it had reached already: after a restart "
                           "it must make the same records again",
                           source->channel, reader->skip);
    if (source->final_status == SABOT_END) {
        reader->position = source->final_position;
        reader->taken = 0;
    } else if (error != NULL) {
        *error = source->final_error;
    }
    return source->final_status;
}

static sabot_status source_poll(struct sb_reader *reader,
                                uint32_t index,
                                uint32_t records_max,
                                sb_record_function each,
                                void *context,
                                sabot_error *error)
{
    struct sabot_source *source = &reader->channel->source;
    const int64_t left = source->records_end - reader->number;
    const uint32_t most = left > 0 && left < (int64_t)records_max ? (uint32_t)left : records_max;
    struct showing showing = {.each = each, .context = context, .left = most};

    SB_ASSERT(index == 0);
    SB_ASSERT(records_max > 0);
    if (reader->stopped)
        return SABOT_END;
    if (left <= 0) {
        source_stop(reader);
        return SABOT_END;
    }
    /* The second look is for what came between the first and saying that we wait. */
    for (uint32_t look = 0; look < 2; look++) {
        const bool ended = atomic_load(&source->ended_epoch) == reader->epoch;

        SABOT_TRY(show_blocks(reader, &showing));
        if (showing.left < most || showing.done)
            return SABOT_OK;
        if (ended)
            return finish(reader, error);
        (void)atomic_exchange(&source->parked, true);
    }
    return SABOT_AGAIN;
}

/* --- No writers ------------------------------------------------------------------------------- */

static sabot_status source_writer_open(struct sb_channel *channel,
                                       struct sb_txn *txn,
                                       struct sb_waker *waker,
                                       struct sb_writer **writer_out,
                                       sabot_error *error)
{
    (void)txn;
    (void)waker;
    *writer_out = NULL;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                       "%s: is filled by a source of the app, and can't be written",
                       channel->source.channel);
}

static void source_writer_close(struct sb_writer *writer)
{
    SB_ASSERT(writer == NULL);
}

static sabot_status source_write(struct sb_writer *writer,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    (void)writer;
    (void)record;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "a source can't be written");
}

static sabot_status source_flush(struct sb_writer *writer, sabot_error *error)
{
    (void)writer;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "a source can't be written");
}

const struct sb_channel_type sb_channel_source = {
    .scheme = "memory",
    .open = source_open,
    .close = source_close,
    .prepare = source_prepare,
    .partition_count = source_partition_count,
    .finite = source_finite,
    .connected = source_connected,
    .guarantee = source_guarantee,
    .same = source_same,
    .reader_open = source_reader_open,
    .reader_close = source_reader_close,
    .poll = source_poll,
    .position = source_position,
    .place = source_place,
    .lag = source_lag,
    .stop = source_stop,
    .seek = source_seek,
    .writer_open = source_writer_open,
    .writer_close = source_writer_close,
    .write = source_write,
    .flush = source_flush,
};
