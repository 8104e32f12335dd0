/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - changes of an index: insert, remove, and the move from an array to the next in steps.
 *
 *     one array --(3/4 full, or nearly empty)--> two arrays --(all slots moved)--> one array
 *
 * Removing from the newer array closes the gap by moving later slots back (Knuth, 6.4, algorithm
 * R), so that it never needs marks; the old array only lives shortly and is marked instead. */
#include "state/index.h"

#include <string.h>

#include "base/mem.h"

enum {
    SLOTS_MIN = 8,
    MOVED = 32,  /* slots of the old array per change */
    SHRINK = 16, /* smaller when one of so many slots is used */
};

/* Small arrays are blocks of their own; from a chunk on they lie in the pool's regions, so that a
 * look into them seldom misses the page tables. */
static struct sb_slot *slots_take(struct sb_pool *pool, uint64_t count)
{
    const uint64_t bytes = count * sizeof(struct sb_slot);
    struct sb_slot *slots;

    if (bytes >= SB_CHUNK_SIZE) {
        slots = sb_pool_take(pool, (uint32_t)(bytes / SB_CHUNK_SIZE));
        return slots == NULL ? NULL : memset(slots, 0, bytes);
    }
    if (!sb_account_reserve(pool->account, bytes))
        return NULL;
    slots = sb_alloc(pool->env, bytes);
    if (slots == NULL)
        sb_account_release(pool->account, bytes);
    else
        pool->bytes += bytes;
    return slots;
}

static void slots_give(struct sb_pool *pool, struct sb_slot *slots, uint32_t mask)
{
    const uint64_t bytes = ((uint64_t)mask + 1) * sizeof *slots;

    if (slots == NULL)
        return;
    if (bytes >= SB_CHUNK_SIZE) {
        sb_pool_give(pool, slots, (uint32_t)(bytes / SB_CHUNK_SIZE));
        return;
    }
    sb_free(pool->env, slots, bytes);
    sb_account_release(pool->account, bytes);
    pool->bytes -= bytes;
}

void sb_index_reset(struct sb_index *index, struct sb_pool *pool)
{
    slots_give(pool, index->slots, index->mask);
    slots_give(pool, index->old, index->old_mask);
    *index = (struct sb_index){.slots = NULL};
}

static void place(struct sb_index *index, struct sb_slot slot)
{
    uint32_t at = slot.tag & index->mask;

    while (index->slots[at].ref != 0)
        at = (at + 1) & index->mask;
    index->slots[at] = slot;
}

/* Move some slots of the old array; free it when that was the last. */
static void move_some(struct sb_index *index, struct sb_pool *pool, uint32_t slots)
{
    if (index->old == NULL)
        return;
    while (slots-- > 0 && index->old_moved <= index->old_mask) {
        struct sb_slot *slot = &index->old[index->old_moved++];

        if (slot->ref == 0 || slot->ref == SB_SLOT_GONE)
            continue;
        place(index, *slot);
        slot->ref = SB_SLOT_GONE;
    }
    if (index->old_moved <= index->old_mask)
        return;
    slots_give(pool, index->old, index->old_mask);
    index->old = NULL;
    index->old_mask = 0;
    index->old_moved = 0;
}

/* Begin to move to an array of another size. */
static sabot_status start_move(struct sb_index *index, struct sb_pool *pool, uint64_t count)
{
    struct sb_slot *slots;

    SB_ASSERT(index->old == NULL);
    if (count > (uint64_t)1 << 31)
        return SABOT_ERR_MEMORY;
    slots = slots_take(pool, count);
    if (slots == NULL)
        return SABOT_ERR_MEMORY;
    index->old = index->slots;
    index->old_mask = index->mask;
    index->old_moved = 0;
    index->slots = slots;
    index->mask = (uint32_t)(count - 1);
    return SABOT_OK;
}

sabot_status sb_index_grow(struct sb_index *index, struct sb_pool *pool)
{
    const uint64_t slots = index->slots == NULL ? 0 : (uint64_t)index->mask + 1;

    move_some(index, pool, MOVED);
    if ((uint64_t)index->count + 1 <= slots / 4 * 3)
        return SABOT_OK;
    if (index->old != NULL) /* grows again while it shrinks: finish first */
        move_some(index, pool, UINT32_MAX);
    return start_move(index, pool, slots == 0 ? SLOTS_MIN : slots * 2);
}

sabot_status sb_index_reserve(struct sb_index *index, struct sb_pool *pool, uint64_t count)
{
    uint64_t slots = SLOTS_MIN;

    SB_ASSERT(index->slots == NULL);
    if (count == 0)
        return SABOT_OK;
    while (slots / 4 * 3 < count)
        slots *= 2;
    return start_move(index, pool, slots);
}

void sb_index_insert(struct sb_index *index, uint64_t hash, sb_ref ref)
{
    SB_ASSERT(index->count < (index->mask / 4 + 1) * 3);
    place(index, (struct sb_slot){sb_index_tag(hash), ref});
    index->count++;
}

/* Where the slot of a cell is in an array; UINT32_MAX: not there. */
static uint32_t find(const struct sb_slot *slots, uint32_t mask, uint32_t tag, sb_ref ref)
{
    if (slots == NULL)
        return UINT32_MAX;
    for (uint32_t at = tag & mask; slots[at].ref != 0; at = (at + 1) & mask)
        if (slots[at].ref == ref)
            return at;
    return UINT32_MAX;
}

/* Close the gap at `hole`. */
static void close_gap(struct sb_index *index, uint32_t hole)
{
    const uint32_t mask = index->mask;
    uint32_t at = hole;

    for (;;) {
        at = (at + 1) & mask;
        if (index->slots[at].ref == 0)
            break;
        /* Its place must not lie between the hole and where it is now. */
        if (((at - (index->slots[at].tag & mask)) & mask) < ((at - hole) & mask))
            continue;
        index->slots[hole] = index->slots[at];
        hole = at;
    }
    index->slots[hole] = (struct sb_slot){0, 0};
}

void sb_index_remove(struct sb_index *index, struct sb_pool *pool, uint64_t hash, sb_ref ref)
{
    const uint32_t tag = sb_index_tag(hash);
    uint32_t at = find(index->slots, index->mask, tag, ref);

    if (at != UINT32_MAX) {
        close_gap(index, at);
    } else {
        at = find(index->old, index->old_mask, tag, ref);
        SB_ASSERT(at != UINT32_MAX);
        index->old[at].ref = SB_SLOT_GONE;
    }
    index->count--;
    move_some(index, pool, MOVED);
    /* Without memory for a smaller array the greater one stays. */
    if (index->old == NULL && index->mask >= SLOTS_MIN && index->count < index->mask / SHRINK)
        (void)start_move(index, pool, ((uint64_t)index->mask + 1) / 4);
}

bool sb_index_walk(const struct sb_index *index, uint64_t *at, struct sb_slot *slot_out)
{
    const uint64_t slots = index->slots == NULL ? 0 : (uint64_t)index->mask + 1;
    const uint64_t old = index->old == NULL ? 0 : (uint64_t)index->old_mask + 1;

    while (*at < old + slots) {
        const uint64_t i = (*at)++;
        const struct sb_slot slot = i < old ? index->old[i] : index->slots[i - old];

        if (slot.ref != 0 && slot.ref != SB_SLOT_GONE) {
            *slot_out = slot;
            return true;
        }
    }
    return false;
}
