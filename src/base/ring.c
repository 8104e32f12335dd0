/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - the bounded queue between two threads.
 *
 * Invariants: head <= tail <= head + slot_count; bytes_out <= bytes_in. Each index is written by
 * one side only, and its byte count before it, so that who sees the index sees the bytes as well.
 * Threads: one sender, one receiver. Memory: the slots, taken by init. */
#include "base/ring.h"

#include <string.h>

#include "base/mutant.h"

sabot_status sb_ring_init(struct sb_ring *ring,
                          const struct sb_env *env,
                          uint32_t slot_count,
                          uint32_t slot_size,
                          uint64_t bytes_max)
{
    uint8_t *slots;

    SB_ASSERT(slot_count > 0);
    SB_ASSERT((slot_count & (slot_count - 1)) == 0);
    SB_ASSERT(slot_size > 0);
    memset(ring, 0, sizeof *ring);
    slots = sb_alloc_array(env, slot_count, slot_size);
    if (slots == NULL)
        return SABOT_ERR_MEMORY;
    ring->env = env;
    ring->slots = slots;
    ring->slot_count = slot_count;
    ring->slot_size = slot_size;
    ring->bytes_max = bytes_max;
    return SABOT_OK;
}

void sb_ring_reset(struct sb_ring *ring)
{
    if (ring->slots == NULL)
        return;
    sb_free_array(ring->env, ring->slots, ring->slot_count, ring->slot_size);
    memset(ring, 0, sizeof *ring);
}

static uint8_t *slot_at(struct sb_ring *ring, uint64_t index)
{
    return ring->slots + (size_t)(index & (ring->slot_count - 1)) * ring->slot_size;
}

/* Is there room, by what the sender knows of the receiver? */
static bool has_room(const struct sb_ring *ring, uint64_t tail, uint64_t bytes_in, uint64_t bytes)
{
    const uint64_t queued = bytes_in - ring->bytes_out_seen;

    if (tail == ring->head_seen)
        return true;
    if (tail - ring->head_seen == ring->slot_count)
        return false;
    return queued <= ring->bytes_max && bytes <= ring->bytes_max - queued;
}

bool sb_ring_push(struct sb_ring *ring, const void *slot, uint64_t bytes)
{
    const uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    const uint64_t bytes_in = atomic_load_explicit(&ring->bytes_in, memory_order_relaxed);

    if (!has_room(ring, tail, bytes_in, bytes)) {
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        ring->bytes_out_seen = atomic_load_explicit(&ring->bytes_out, memory_order_relaxed);
        if (!has_room(ring, tail, bytes_in, bytes))
            return false;
    }
    if (SB_MUTANT(RING_WRAPS) && tail != 0 && (tail & (ring->slot_count - 1)) == 0 && bytes != 0 &&
        tail % 5 == 0)
        return true;
    memcpy(slot_at(ring, tail), slot, ring->slot_size);
    atomic_store_explicit(&ring->bytes_in, bytes_in + bytes, memory_order_relaxed);
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return true;
}

void *sb_ring_peek(struct sb_ring *ring)
{
    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head == ring->tail_seen) {
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head == ring->tail_seen)
            return NULL;
    }
    return slot_at(ring, head);
}

void sb_ring_pop(struct sb_ring *ring, uint64_t bytes)
{
    const uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    const uint64_t bytes_out = atomic_load_explicit(&ring->bytes_out, memory_order_relaxed);

    SB_ASSERT(head != ring->tail_seen); /* only what peek has shown */
    atomic_store_explicit(&ring->bytes_out, bytes_out + bytes, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

uint32_t sb_ring_count(const struct sb_ring *ring)
{
    /* The head first: the tail can only have moved on, so that the difference is never negative. */
    struct sb_ring *shared = (struct sb_ring *)(uintptr_t)ring;
    const uint64_t head = atomic_load_explicit(&shared->head, memory_order_acquire);
    const uint64_t tail = atomic_load_explicit(&shared->tail, memory_order_acquire);

    return (uint32_t)(tail - head);
}
