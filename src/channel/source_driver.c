/* SPDX-License-Identifier: Apache-2.0 */
/* source_driver.c - calls the app's function and packs what it writes into blocks.
 *
 *   IDLE --start, seek--> RUNNING --END, error--> ENDED
 *   RUNNING --stop--> IDLE          ENDED --seek--> RUNNING          any --close--> done
 *
 * A stepper with one thread: each step is one call of fill. Between calls it sleeps as the app
 * wishes (wait_until), or while the reader is behind by more than the buffer, and a request of the
 * reader ends either sleep at once. A fill that blocks by itself can't be interrupted: stop and
 * close then take as long as it does.
 *
 * Invariants: published <= used <= capacity; the block being written is the last of the queue;
 * `bytes` is the capacity of all blocks but the empty ones. A call may write records_max records of
 * record_max bytes beyond the bound, which is one buffer at most.
 *
 * Nobody sleeps for ever: who is about to sleep sets its flag (`parked`, `starved`) and looks once
 * more; who has something for it does that first and takes the flag. Both by exchange, so the later
 * of the two sees what the other did before.
 *
 * Threads: everything here runs on the driver's, in or between calls of fill, but for
 * sb_feed_free_blocks(). Memory: blocks circulate; after a while nothing is allocated. */
#include "channel/source.h"

#include <inttypes.h>
#include <string.h>

/* --- Blocks ----------------------------------------------------------------------------------- */

static void free_block(const struct sb_env *env, struct sb_feed_block *block)
{
    env->type->release(env->self, block, sizeof *block + block->capacity);
}

static void free_ring(const struct sb_env *env, struct sb_ring *ring)
{
    struct sb_feed_block **slot;

    if (ring->slots == NULL)
        return;
    while ((slot = sb_ring_peek(ring)) != NULL) {
        free_block(env, *slot);
        sb_ring_pop(ring, 0);
    }
    sb_ring_reset(ring);
}

void sb_feed_free_blocks(struct sabot_source *source)
{
    free_ring(source->env, &source->queue);
    free_ring(source->env, &source->spent);
    while (source->empty != NULL) {
        struct sb_feed_block *next = source->empty->next;

        free_block(source->env, source->empty);
        source->empty = next;
    }
    if (source->encoder != NULL)
        source->codec->encoder_destroy(source->encoder);
    if (source->pool != NULL) {
        sb_builder_reset(&source->builder);
        sb_batch_pool_destroy(source->pool);
    }
    sb_buffer_reset(&source->encoded);
}

/* Take back what the reader has done with. */
static void collect(struct sabot_source *source)
{
    struct sb_feed_block **slot;

    while ((slot = sb_ring_peek(&source->spent)) != NULL) {
        struct sb_feed_block *block = *slot;

        sb_ring_pop(&source->spent, 0);
        SB_ASSERT(source->bytes >= block->capacity);
        source->bytes -= block->capacity;
        if (block->capacity > source->block_size ||
            source->bytes + source->block_size > source->bytes_max) {
            free_block(source->env, block);
            continue;
        }
        block->next = source->empty;
        source->empty = block;
    }
}

/* Is there room for another call? Else the reader wakes us when it gives a block back. */
static bool has_room(struct sabot_source *source)
{
    const uint64_t bytes_max = source->bytes_max - source->block_size;

    collect(source);
    if (source->bytes <= bytes_max)
        return true;
    (void)atomic_exchange(&source->starved, true);
    collect(source);
    return source->bytes <= bytes_max;
}

static void wake_reader(struct sabot_source *source)
{
    if (!atomic_exchange(&source->parked, false))
        return;
    sb_lock_take(&source->lock);
    if (source->reader_waker != NULL)
        sb_wake(source->env, source->reader_waker);
    sb_lock_drop(&source->lock);
}

/* Show the reader what was written. */
static void publish(struct sabot_source *source, bool seal)
{
    struct sb_feed_block *block = source->block;

    if (block == NULL)
        return;
    SB_ASSERT(block->used <= block->capacity);
    atomic_store(&block->published, block->used);
    if (seal) {
        atomic_store(&block->sealed, true);
        source->block = NULL;
    }
    wake_reader(source);
}

static struct sb_feed_block *new_block(struct sabot_source *source, uint32_t size)
{
    const struct sb_env *env = source->env;
    const uint32_t capacity = size > source->block_size ? size : source->block_size;
    struct sb_feed_block *block = source->empty;

    if (block != NULL && capacity == source->block_size) {
        source->empty = block->next;
    } else {
        /* Not sb_alloc: what is about to be written needs no zeroes. */
        block = env->type->allocate(env->self, sizeof *block + capacity, SB_CACHE_LINE);
        if (block == NULL)
            return NULL;
        memset(block, 0, sizeof *block);
        block->capacity = capacity;
    }
    block->next = NULL;
    block->epoch = source->epoch;
    block->used = 0;
    atomic_store_explicit(&block->published, 0, memory_order_relaxed);
    atomic_store_explicit(&block->sealed, false, memory_order_relaxed);
    return block;
}

/* Begin a block with room for `size` bytes. */
static sabot_status begin_block(struct sabot_source *source, uint32_t size)
{
    struct sb_feed_block *block = new_block(source, size);
    bool pushed;

    if (block == NULL)
        return SABOT_ERR_MEMORY;
    publish(source, true);
    pushed = sb_ring_push(&source->queue, &block, 0);
    SB_ASSERT(pushed);
    source->block = block;
    source->bytes += block->capacity;
    return SABOT_OK;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static uint8_t *put_entry(struct sb_feed_block *block, const struct sb_feed_entry *entry)
{
    uint8_t *to = block->bytes + block->used;

    SB_ASSERT(entry->size <= block->capacity - block->used);
    memcpy(to, entry, sizeof *entry);
    block->used += entry->size;
    return to + sizeof *entry;
}

static void put_position(struct sb_feed_block *block, const sabot_position *position)
{
    const struct sb_feed_entry entry = {.size = sb_feed_entry_size(position->size),
                                        .kind = SB_FEED_POSITION,
                                        .value_size = (uint32_t)position->size};

    memcpy(put_entry(block, &entry), position->bytes, position->size);
}

static sabot_status write_record(struct sabot_source *source,
                                 sabot_text key,
                                 sabot_text value,
                                 int64_t timestamp_ms)
{
    const struct sb_feed_entry entry = {
        .size = sb_feed_entry_size(key.size + value.size),
        .kind = SB_FEED_RECORD,
        .key_size = key.data == NULL ? UINT32_MAX : (uint32_t)key.size,
        .value_size = value.data == NULL ? UINT32_MAX : (uint32_t)value.size,
        .timestamp_ms = timestamp_ms,
        .arrival_us = source->due_us,
    };
    uint32_t size = entry.size;
    uint8_t *to;

    if (!source->call_marked)
        size += sb_feed_entry_size(source->call_position.size);
    if (source->block == NULL || size > source->block->capacity - source->block->used)
        SABOT_TRY(begin_block(source, size));
    if (!source->call_marked)
        put_position(source->block, &source->call_position);
    source->call_marked = true;
    to = put_entry(source->block, &entry);
    if (key.data != NULL && key.size > 0)
        memcpy(to, key.data, key.size);
    if (value.data != NULL && value.size > 0)
        memcpy(to + key.size, value.data, value.size);
    source->call_left--;
    return SABOT_OK;
}

sabot_status sabot_source_write(sabot_source *source,
                                sabot_text key,
                                sabot_text value,
                                int64_t timestamp_ms)
{
    sabot_status status;

    if (source->call_left == 0)
        return sabot_raise(&source->error, SABOT_ERR_LIMIT,
                           "more than the %" PRIu32 " records asked for", source->records_max);
    if (key.size > source->record_max || value.size > source->record_max - key.size)
        return sabot_raise(&source->error, SABOT_ERR_LIMIT,
                           "record with a key of %zu and a value of %zu bytes, %" PRIu32
                           " is the limit",
                           key.size, value.size, source->record_max);
    status = write_record(source, key, value, timestamp_ms);
    if (status != SABOT_OK)
        source->call_status =
            sabot_raise(&source->error, status, "no memory for a block of records");
    return status;
}

static sabot_status make_encoder(struct sabot_source *source)
{
    sabot_error *error = &source->error;

    if (source->encoder != NULL)
        return SABOT_OK;
    if (source->codec == NULL || source->schema == NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "the channel has no schema to encode by");
    if (source->pool == NULL) {
        SABOT_TRY(sb_batch_pool_create(source->env, source->schema, 1, &source->pool, error));
        SABOT_TRY(sb_builder_init(&source->builder, source->pool));
        sb_buffer_init(&source->encoded, source->env);
    }
    return source->codec->encoder_create(source->env, source->schema, &source->encoder, error);
}

sabot_status sabot_source_emit(sabot_source *source, const void *record)
{
    const struct sb_batch_origin origin = {.partition = -1};
    struct sb_batch *batch;
    sabot_status status;

    SABOT_TRY(make_encoder(source));
    if (source->wall_ms == INT64_MIN)
        source->wall_ms = sb_wall_ms(source->env);
    SABOT_TRY(sb_builder_record(&source->builder, record, source->wall_ms, &source->error));
    SABOT_TRY(sb_builder_seal(&source->builder, &origin, &batch));
    source->encoded.size = 0;
    status = source->codec->encode(source->encoder, batch, 0, &source->encoded, &source->error);
    sb_batch_unref(batch);
    SABOT_TRY(status);
    return sabot_source_write(
        source, (sabot_text){NULL, 0},
        (sabot_text){(const char *)source->encoded.data, source->encoded.size}, source->wall_ms);
}

/* --- What else fill may call ------------------------------------------------------------------ */

void sabot_source_due_us(sabot_source *source, int64_t due_us)
{
    source->due_us = due_us;
}

int64_t sabot_source_clock_us(sabot_source *source)
{
    return sb_now_us(source->env);
}

void sabot_source_wait_until_us(sabot_source *source, int64_t time_us)
{
    source->wait_until_us = time_us;
}

sabot_status sabot_source_fail(sabot_source *source, sabot_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)sabot_raise_list(&source->error, status, format, arguments);
    va_end(arguments);
    return status;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Do as the reader wants, if it wants something else than before. */
static void take_request(struct sabot_source *source)
{
    const uint64_t number = atomic_load(&source->request_number);

    if (number == source->request_seen)
        return;
    source->request_seen = number;
    sb_lock_take(&source->lock);
    source->running = source->request.running;
    source->closing = source->request.closing;
    if (source->epoch == source->request.epoch) {
        sb_lock_drop(&source->lock);
        return;
    }
    source->position = source->request.position;
    source->epoch = source->request.epoch;
    sb_lock_drop(&source->lock);
    source->ended = false;
    source->wait_until_us = 0;
    publish(source, true); /* the reader gives the block of the old epoch back when it is sealed */
}

static void end(struct sabot_source *source, sabot_status status)
{
    const char *text = source->error.text;

    if (status != SABOT_END && source->error.status != status)
        text = sabot_status_text(status);
    source->final_status = status;
    source->final_position = source->position;
    if (status != SABOT_END)
        (void)sabot_raise(&source->final_error, status, "source of %s: %s", source->channel, text);
    source->ended = true;
    atomic_store(&source->ended_epoch, source->epoch);
    wake_reader(source);
}

static void call(struct sabot_source *source)
{
    sabot_status status;
    bool wrote;

    source->call_position = source->position;
    source->call_marked = false;
    source->call_left = source->records_max;
    source->call_status = SABOT_OK;
    source->due_us = sb_now_us(source->env);
    source->wall_ms = INT64_MIN;
    source->wait_until_us = 0;
    source->error.status = SABOT_OK;

    status = source->fill(source, source->records_max, &source->position, source->user);
    wrote = source->call_left < source->records_max;
    if ((status == SABOT_OK || status == SABOT_END) && source->call_status != SABOT_OK)
        status = source->call_status;
    if (status == SABOT_AGAIN)
        status = SABOT_OK;
    if (source->position.size > SABOT_POSITION_MAX)
        status =
            sabot_source_fail(source, SABOT_ERR_LIMIT, "a position of %zu bytes, %d is the limit",
                              source->position.size, SABOT_POSITION_MAX);
    publish(source, false);
    if (status != SABOT_OK)
        end(source, status);
    else if (!wrote && source->wait_until_us == 0)
        source->wait_until_us = sb_now_us(source->env) + SB_FEED_IDLE_US;
}

struct sb_step sb_feed_step(void *context)
{
    struct sabot_source *source = context;

    take_request(source);
    if (source->closing)
        return sb_step_done();
    if (!source->running || source->ended)
        return sb_step_wait(INT64_MAX);
    if (source->wait_until_us > 0 && sb_now_us(source->env) < source->wait_until_us)
        return sb_step_wait(source->wait_until_us);
    if (!has_room(source))
        return sb_step_wait(INT64_MAX);
    call(source);
    return sb_step_again();
}
