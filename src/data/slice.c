/* SPDX-License-Identifier: Apache-2.0 */
/* slice.c - the pool of slices.
 *
 *   owner:  take --> filled --> ... any thread: drop --> stack `spent`
 *             ^                                            |
 *             +---------- list `spare` <--- all at once ---+
 *
 * The owner takes the stack as a whole by one exchange, so there is no ABA (see batch.c, which does
 * the same). Memory: slices stay with the pool until it goes; a running flow allocates none. */
#include "data/slice.h"

void sb_slice_pool_init(struct sb_slice_pool *pool, const struct sb_env *env, uint32_t rows_max)
{
    SB_ASSERT(rows_max > 0);
    *pool = (struct sb_slice_pool){.env = env, .rows_max = rows_max};
}

static void slice_free(struct sb_slice_pool *pool, struct sb_slice *slice)
{
    sb_free_array(pool->env, slice->rows, pool->rows_max, sizeof *slice->rows);
    sb_free_array(pool->env, slice->hashes, pool->rows_max, sizeof *slice->hashes);
    sb_free(pool->env, slice, sizeof *slice);
}

static struct sb_slice *slice_make(struct sb_slice_pool *pool)
{
    struct sb_slice *slice = sb_alloc(pool->env, sizeof *slice);

    if (slice == NULL)
        return NULL;
    slice->pool = pool;
    slice->rows = sb_alloc_array(pool->env, pool->rows_max, sizeof *slice->rows);
    slice->hashes = sb_alloc_array(pool->env, pool->rows_max, sizeof *slice->hashes);
    if (slice->rows == NULL || slice->hashes == NULL) {
        slice_free(pool, slice);
        return NULL;
    }
    pool->made++;
    return slice;
}

void sb_slice_pool_reset(struct sb_slice_pool *pool)
{
    struct sb_slice *lists[2];

    if (pool->env == NULL)
        return;
    lists[0] = pool->spare;
    lists[1] = atomic_exchange_explicit(&pool->spent, NULL, memory_order_acquire);
    for (uint32_t i = 0; i < 2; i++) {
        while (lists[i] != NULL) {
            struct sb_slice *slice = lists[i];

            lists[i] = slice->next;
            slice_free(pool, slice);
            pool->made--;
        }
    }
    SB_ASSERT(pool->made == 0);
    pool->spare = NULL;
}

struct sb_slice *sb_slice_take(struct sb_slice_pool *pool, struct sb_batch *batch)
{
    struct sb_slice *slice;

    SB_ASSERT(batch->rows <= pool->rows_max);
    if (pool->spare == NULL)
        pool->spare = atomic_exchange_explicit(&pool->spent, NULL, memory_order_acquire);
    slice = pool->spare;
    if (slice != NULL)
        pool->spare = slice->next;
    else
        slice = slice_make(pool);
    if (slice == NULL)
        return NULL;
    SB_ASSERT(slice->batch == NULL);
    slice->batch = sb_batch_ref(batch);
    slice->count = 0;
    return slice;
}

void sb_slice_drop(struct sb_slice *slice)
{
    struct sb_slice_pool *pool;

    if (slice == NULL)
        return;
    pool = slice->pool;
    sb_batch_unref(slice->batch);
    slice->batch = NULL;
    slice->next = atomic_load_explicit(&pool->spent, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&pool->spent, &slice->next, slice,
                                                  memory_order_release, memory_order_relaxed)) {}
}

uint64_t sb_slice_bytes(const struct sb_slice *slice)
{
    return sb_batch_bytes(slice->batch) / slice->batch->rows * slice->count + 1;
}
