/* SPDX-License-Identifier: Apache-2.0 */
/* carrier.h - blocks of a snapshot on their way from a task to whoever writes them, and back.
 *
 *      task ---- full ring ----> writer (the coordinator)
 *           <--- empty ring ----
 *
 * How many there may be is what bounds the copies of a snapshot (state/store.h, images):
 *
 *     up to SB_CARRIER_COPIER   the copier may have out
 *     from SB_CARRIER_STALL on  the task takes no more input until some have come back
 *     SB_CARRIER_MAX            what changes meanwhile, in what the task has taken, may have out in
 *                               all; beyond it the snapshot is given up, and memory stays bounded
 *
 * Threads: take, give, spare, trim and reset: the task's; next and back: the writer's. Memory: the
 * blocks, held in the name of the task's store, but for the first few: with those a snapshot comes
 * about also when state has reached its limit. Blocks are used again, and all but these few are
 * freed when no snapshot is made. */
#ifndef SB_FLOW_CARRIER_H
#define SB_FLOW_CARRIER_H

#include "base/ring.h"
#include "state/store.h"

enum {
    SB_CARRIER_COPIER = 16,
    SB_CARRIER_STALL = 128,
    SB_CARRIER_MAX = 512, /* 126 MiB */
    SB_CARRIER_KEPT = 4,  /* between snapshots */
};

struct sb_carried {
    void *block;
    uint32_t size;
};

struct sb_carrier {
    const struct sb_env *env;
    struct sb_store *store;  /* in whose name memory is held */
    struct sb_waker *task;   /* woken when a block has come back */
    struct sb_waker *writer; /* when one is full; may be NULL */
    struct sb_ring full;
    struct sb_ring empty;
    void **spares; /* blocks that came to nothing */
    uint32_t spare_count;
    uint32_t made;   /* blocks there are */
    uint32_t filled; /* of these, taken and not given yet */
};

SABOT_MUST_CHECK sabot_status sb_carrier_init(struct sb_carrier *carrier,
                                              const struct sb_env *env,
                                              struct sb_store *store,
                                              struct sb_waker *task,
                                              struct sb_waker *writer);
void sb_carrier_reset(struct sb_carrier *carrier);

/* A block, when fewer than `limit` are out; NULL: else, or there is no memory. */
void *sb_carrier_take(struct sb_carrier *carrier, uint32_t limit);
/* `size` 0: it came to nothing. */
void sb_carrier_give(struct sb_carrier *carrier, void *block, uint32_t size);
/* Blocks that are not back yet. */
uint32_t sb_carrier_out(const struct sb_carrier *carrier);
/* The writer has some of them, and will wake the task when it gives one back. */
bool sb_carrier_is_awaited(const struct sb_carrier *carrier);
/* Free what is back, but for a few. */
void sb_carrier_trim(struct sb_carrier *carrier);

/* The writer's: the oldest full block; false: there is none. Give it back with back(). */
bool sb_carrier_next(struct sb_carrier *carrier, struct sb_carried *carried_out);
void sb_carrier_back(struct sb_carrier *carrier, void *block);

#endif
