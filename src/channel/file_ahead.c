/* SPDX-License-Identifier: Apache-2.0 */
/* file_ahead.c - the driver thread of a reader: reads a file block by block, ahead of who parses
 * it.
 *
 *   READING --end of a followed file--> WAITING --it grew--> READING
 *   READING --end, or failure--> ENDED --seek--> READING
 *   any     --stop--> at rest: the thread is done and touches nothing any more
 *
 * A block goes over as soon as one read has returned, full or not: what a pipe has said is shown at
 * once. Whoever has all blocks out sleeps until half of them are back.
 *
 * A seek only raises the generation: the driver begins anew at the offset given with it, and what
 * was read before is dropped unseen by the reader's side, for its slots carry the old one.
 *
 * Threads: init and reset by the control thread; peek, pop, seek and stop by the reader's; the rest
 * is the driver's. What two of them touch is atomic, or goes over by the ring. Memory: the blocks.
 */
#include "channel/file.h"

#include <inttypes.h>
#include <string.h>

enum {
    STREAM_WAIT_MS = 50,        /* how long a closed channel may wait for a read of a stream */
    FOLLOW_WAIT_US = 1000,      /* first look whether a followed file has grown, then... */
    FOLLOW_WAIT_MAX_US = 32000, /* ...twice as long each time, up to this */
};

static struct sb_step hand_over(struct sb_file_ahead *ahead,
                                enum sb_file_slot_kind kind,
                                size_t size)
{
    const struct sb_env *env = ahead->channel->env;
    const struct sb_file_slot slot = {
        .kind = kind,
        .generation = ahead->generation,
        .block = ahead->blocks + (ahead->pushed % SB_FILE_BLOCKS) * ahead->channel->block_size,
        .size = size,
        .offset = ahead->offset,
        .wall_ms = sb_wall_ms(env),
        .arrival_us = sb_now_us(env),
    };
    const bool pushed = sb_ring_push(&ahead->ring, &slot, 0);

    SB_ASSERT(pushed); /* there was room before the block was filled */
    ahead->pushed++;
    ahead->offset += (int64_t)size;
    ahead->wait_us = 0;
    ahead->ended = kind != SB_FILE_SLOT_DATA;
    sb_file_bell_ring(&ahead->bell, env);
    return sb_step_again();
}

static sabot_status check_not_cut(struct sb_file_ahead *ahead)
{
    const struct sb_channel *channel = ahead->channel;
    const uint64_t expected = channel->follow ? (uint64_t)ahead->offset : channel->info.size;
    struct sb_file_info info;

    SABOT_TRY(channel->env->type->file_info(channel->file, &info, &ahead->failure));
    if (info.size < expected)
        return sabot_raise(&ahead->failure, SABOT_ERR_IO,
                           "%s: was cut from %" PRIu64 " to %" PRIu64 " bytes while it was %s",
                           channel->path, expected, info.size,
                           channel->follow ? "followed" : "read");
    return SABOT_OK;
}

static struct sb_step at_end_of_file(struct sb_file_ahead *ahead)
{
    const struct sb_channel *channel = ahead->channel;

    if (check_not_cut(ahead) != SABOT_OK)
        return hand_over(ahead, SB_FILE_SLOT_FAILED, 0);
    if (!channel->follow || channel->until_end)
        return hand_over(ahead, SB_FILE_SLOT_END, 0);
    atomic_store_explicit(&ahead->end_seen, ahead->offset, memory_order_release);
    ahead->wait_us = ahead->wait_us == 0 ? FOLLOW_WAIT_US : ahead->wait_us * 2;
    if (ahead->wait_us > FOLLOW_WAIT_MAX_US)
        ahead->wait_us = FOLLOW_WAIT_MAX_US;
    return sb_step_wait(sb_now_us(channel->env) + ahead->wait_us);
}

static struct sb_step read_block(struct sb_file_ahead *ahead)
{
    const struct sb_channel *channel = ahead->channel;
    uint8_t *block = ahead->blocks + (ahead->pushed % SB_FILE_BLOCKS) * channel->block_size;
    sabot_status status;
    size_t size;

    if (sb_file_is_seekable(channel))
        status = channel->env->type->file_read(channel->file, block, channel->block_size,
                                               ahead->offset, &size, &ahead->failure);
    else
        status = channel->env->type->file_read_some(channel->file, block, channel->block_size,
                                                    STREAM_WAIT_MS, &size, &ahead->failure);
    if (status == SABOT_AGAIN)
        return sb_step_again(); /* to see whether the reader was stopped */
    if (status != SABOT_OK)
        return hand_over(ahead, SB_FILE_SLOT_FAILED, 0);
    if (size > 0)
        return hand_over(ahead, SB_FILE_SLOT_DATA, size);
    return sb_file_is_seekable(channel) ? at_end_of_file(ahead)
                                        : hand_over(ahead, SB_FILE_SLOT_END, 0);
}

static void take_seek(struct sb_file_ahead *ahead)
{
    const uint32_t generation = atomic_load_explicit(&ahead->seek_generation, memory_order_acquire);

    if (generation == ahead->generation)
        return;
    ahead->generation = generation;
    ahead->offset = atomic_load_explicit(&ahead->seek_offset, memory_order_relaxed);
    ahead->ended = false;
    ahead->wait_us = 0;
    atomic_store_explicit(&ahead->end_seen, -1, memory_order_relaxed);
}

static struct sb_step read_step(void *context)
{
    struct sb_file_ahead *ahead = context;

    if (atomic_load_explicit(&ahead->stopping, memory_order_acquire)) {
        atomic_store_explicit(&ahead->rested, true, memory_order_release);
        return sb_step_done();
    }
    take_seek(ahead);
    if (ahead->ended || sb_ring_count(&ahead->ring) == SB_FILE_BLOCKS)
        return sb_step_wait(INT64_MAX);
    return read_block(ahead);
}

/* --- The reader's side ------------------------------------------------------------------------ */

sabot_status sb_file_ahead_init(struct sb_file_ahead *ahead,
                                const struct sb_channel *channel,
                                int64_t offset,
                                struct sb_waker *waker,
                                sabot_error *error)
{
    const struct sb_env *env = channel->env;
    sabot_status status;

    ahead->channel = channel;
    ahead->offset = offset;
    atomic_init(&ahead->end_seen, -1);
    sb_file_bell_init(&ahead->bell, waker);
    ahead->blocks = sb_alloc_array(env, SB_FILE_BLOCKS, channel->block_size);
    if (ahead->blocks == NULL ||
        sb_ring_init(&ahead->ring, env, SB_FILE_BLOCKS, sizeof(struct sb_file_slot), 0) != SABOT_OK)
        status = sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for %d blocks of %zu bytes",
                             channel->path, SB_FILE_BLOCKS, channel->block_size);
    else
        status = env->type->waker_create(env->self, &ahead->waker, error);
    if (status == SABOT_OK)
        status = env->type->spawn(env->self, "file-read", read_step, ahead, ahead->waker,
                                  &ahead->thread, error);
    if (status != SABOT_OK)
        sb_file_ahead_reset(ahead);
    return status;
}

void sb_file_ahead_reset(struct sb_file_ahead *ahead)
{
    const struct sb_env *env;

    if (ahead->channel == NULL)
        return;
    env = ahead->channel->env;
    env->type->join(env->self, ahead->thread);
    env->type->waker_destroy(env->self, ahead->waker);
    sb_ring_reset(&ahead->ring);
    sb_free_array(env, ahead->blocks, SB_FILE_BLOCKS, ahead->channel->block_size);
    sb_lock_reset(&ahead->bell.lock);
    memset(ahead, 0, sizeof *ahead);
}

const struct sb_file_slot *sb_file_ahead_peek(struct sb_file_ahead *ahead)
{
    const struct sb_file_slot *slot;

    while ((slot = sb_ring_peek(&ahead->ring)) != NULL &&
           slot->generation != ahead->reader_generation)
        sb_file_ahead_pop(ahead);
    return slot;
}

void sb_file_ahead_pop(struct sb_file_ahead *ahead)
{
    sb_ring_pop(&ahead->ring, 0);
    /* The driver sleeps only when all blocks are out: wake it once for some, not for each. */
    if (sb_ring_count(&ahead->ring) <= SB_FILE_BLOCKS / 2)
        sb_wake(ahead->channel->env, ahead->waker);
}

void sb_file_ahead_seek(struct sb_file_ahead *ahead, int64_t offset)
{
    ahead->reader_generation++;
    atomic_store_explicit(&ahead->seek_offset, offset, memory_order_relaxed);
    atomic_store_explicit(&ahead->seek_generation, ahead->reader_generation, memory_order_release);
    sb_wake(ahead->channel->env, ahead->waker);
}

void sb_file_ahead_stop(struct sb_file_ahead *ahead)
{
    atomic_store_explicit(&ahead->stopping, true, memory_order_release);
    sb_wake(ahead->channel->env, ahead->waker);
}

bool sb_file_ahead_is_at_end(const struct sb_file_ahead *ahead, int64_t offset)
{
    struct sb_file_ahead *shared = (struct sb_file_ahead *)(uintptr_t)ahead;

    return atomic_load_explicit(&shared->end_seen, memory_order_acquire) == offset;
}
