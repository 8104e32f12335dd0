/* SPDX-License-Identifier: Apache-2.0 */
/* ring.h - a bounded queue of fixed-size slots from one thread to one other.
 *
 * Rings carry batches and marks between tasks. Full means: the sender waits (back-pressure), never
 * growth. Bounded twice: by slots and by the bytes that the sender says a slot stands for.
 *
 * Memory order: the sender publishes `tail` with release, the receiver reads it with acquire, and
 * the other way round for `head`; each side keeps a copy of the other's index so that a line moves
 * only when that copy is used up (Lee, Bu, Chandranmenon: MCRingBuffer, 2010).
 *
 * Threads: push by one, pop and peek by one. Ownership: the bytes of a slot are copied in and out.
 */
#ifndef SB_BASE_RING_H
#define SB_BASE_RING_H

#include <stdatomic.h>

#include "base/mem.h"

struct sb_ring {
    const struct sb_env *env;
    uint8_t *slots;
    uint32_t slot_count; /* a power of two */
    uint32_t slot_size;
    uint64_t bytes_max;
    _Alignas(SB_CACHE_LINE) _Atomic uint64_t tail; /* slots ever pushed */
    uint64_t head_seen;                            /* sender's copy of head */
    uint64_t bytes_out_seen;                       /* sender's copy of bytes_out */
    _Atomic uint64_t bytes_in;                     /* bytes ever pushed */
    _Alignas(SB_CACHE_LINE) _Atomic uint64_t head; /* slots ever popped */
    uint64_t tail_seen;                            /* receiver's copy of tail */
    _Atomic uint64_t bytes_out;                    /* bytes ever popped */
};

SABOT_MUST_CHECK sabot_status sb_ring_init(struct sb_ring *ring,
                                           const struct sb_env *env,
                                           uint32_t slot_count,
                                           uint32_t slot_size,
                                           uint64_t bytes_max);
void sb_ring_reset(struct sb_ring *ring);

/* Sender. False: full. A slot of more than bytes_max is taken when the ring is empty. */
bool sb_ring_push(struct sb_ring *ring, const void *slot, uint64_t bytes);
/* Receiver. Peek gives the oldest slot in place, NULL when empty; pop drops it; `bytes` as it was
 * pushed. */
void *sb_ring_peek(struct sb_ring *ring);
void sb_ring_pop(struct sb_ring *ring, uint64_t bytes);
/* Either side. */
uint32_t sb_ring_count(const struct sb_ring *ring);

#endif
