/* SPDX-License-Identifier: Apache-2.0 */
/* slice.h - the rows of a batch that one task gets.
 *
 * A keyed exchange doesn't copy records: it hands over the batch and the numbers of the rows whose
 * keys belong to the receiver, with the hashes of these keys, so that each is hashed once. Rows
 * keep their order.
 *
 * Ownership: a slice has one owner at a time and holds one reference to its batch. Slices come from
 * a pool and go back to it from whichever thread drops them; a pool outlives its slices.
 * Threads: taking is the pool's owner's; dropping is anybody's. */
#ifndef SB_DATA_SLICE_H
#define SB_DATA_SLICE_H

#include "data/batch.h"

struct sb_slice_pool;

struct sb_slice {
    struct sb_batch *batch; /* one reference; NULL while it lies in the pool */
    uint32_t count;         /* rows */
    uint32_t *rows;         /* their numbers in the batch, ascending */
    uint64_t *hashes;       /* of their keys, sb_hash; without a meaning where there is no key */
    struct sb_slice_pool *pool;
    struct sb_slice *next; /* in the pool */
};

struct sb_slice_pool {
    const struct sb_env *env;
    uint32_t rows_max;
    struct sb_slice *spare;                                   /* owner's */
    uint32_t made;                                            /* slices that exist */
    _Alignas(SB_CACHE_LINE) _Atomic(struct sb_slice *) spent; /* dropped by any thread */
};

/* A pool of slices of up to `rows_max` rows. Allocates nothing yet. */
void sb_slice_pool_init(struct sb_slice_pool *pool, const struct sb_env *env, uint32_t rows_max);
/* All slices are back (asserted). */
void sb_slice_pool_reset(struct sb_slice_pool *pool);

/* A slice of `batch` (one more reference) with no rows yet; NULL: no memory. */
struct sb_slice *sb_slice_take(struct sb_slice_pool *pool, struct sb_batch *batch);
void sb_slice_drop(struct sb_slice *slice); /* NULL: nothing */

/* Bytes it stands for in a bounded queue: its share of the batch's. */
uint64_t sb_slice_bytes(const struct sb_slice *slice);

#endif
