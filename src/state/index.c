/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - changes of an index: insert, remove, and the move from an array to the next in steps.
 *
 *     one array --(some 5/8 full)--> and one being cleared --(it is clear)-->
 *     two arrays --(all slots moved)--> one array
 *
 * A small array is cleared when it is made, at 3/4; one that shrinks is made when nearly empty.
 *
 * Removing from the newer array closes the gap by moving later slots back (Knuth, 6.4, algorithm
 * R), so that it never needs marks; the old array only lives shortly and is marked instead. */
#include "state/index.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

enum {
    SLOTS_MIN = 8,
    MOVED = 32,  /* slots of the old array per change */
    SHRINK = 16, /* smaller when one of so many slots is used */
    /* An array of so many slots is followed by one that is cleared in steps, from a load of 9/16 to
     * 11/16 on. What is left until 3/4 of it is full is enough to clear twice as many slots. */
    STEPPED_MIN = 4096,
    CLEARED = 64, /* slots of the next array per change */
};
_Static_assert(STEPPED_MIN * sizeof(struct sb_slot) >= SB_CHUNK_SIZE, "it lies in the pool");
_Static_assert(CLEARED / 16 > 2, "an array is clear before it is needed");

static void slots_give(struct sb_pool *pool, struct sb_slot *slots, uint32_t mask)
{
    sb_pool_give_table(pool, slots, ((uint64_t)mask + 1) * sizeof *slots);
}

/* --- The array that comes next ------------------------------------------------------------------
 */

static uint64_t slot_count(const struct sb_index *index)
{
    return index->slots == NULL ? 0 : (uint64_t)index->mask + 1;
}

static bool has_next(const struct sb_index *index)
{
    return index->old == NULL && index->next != NULL;
}

static void next_give(struct sb_index *index, struct sb_pool *pool)
{
    if (!has_next(index))
        return;
    slots_give(pool, index->next, index->mask * 2 + 1);
    index->next = NULL;
}

/* Take it when it is time, and clear some of it. Without memory: another time. */
static void prepare_next(struct sb_index *index, struct sb_pool *pool, uint32_t spread)
{
    const uint64_t slots = slot_count(index);
    const uint64_t begins = slots / 16 * 9 + slots / 8 * (spread % SB_SHARD_COUNT) / SB_SHARD_COUNT;
    uint32_t clear;
    uint64_t left;

    if (index->old != NULL || slots < STEPPED_MIN || index->count < begins)
        return;
    if (index->next == NULL) {
        /* Of any content. */
        index->next =
            sb_pool_take(pool, (uint32_t)(slots * 2 * sizeof(struct sb_slot) / SB_CHUNK_SIZE));
        if (index->next != NULL)
            index->next[0] = (struct sb_slot){.tag = 1};
        return;
    }
    clear = index->next[0].tag;
    left = slots * 2 - clear;
    memset(index->next + clear, 0, (left < CLEARED ? left : CLEARED) * sizeof *index->next);
    index->next[0].tag += (uint32_t)(left < CLEARED ? left : CLEARED);
}

/* It, all clear; NULL: there is none. It is the caller's. */
static struct sb_slot *next_take(struct sb_index *index)
{
    struct sb_slot *next = index->next;
    uint32_t clear;

    if (!has_next(index))
        return NULL;
    clear = next[0].tag;
    memset(next + clear, 0, (slot_count(index) * 2 - clear) * sizeof *next);
    next[0] = (struct sb_slot){0, 0};
    index->next = NULL;
    return next;
}

void sb_index_reset(struct sb_index *index, struct sb_pool *pool)
{
    next_give(index, pool);
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
    index->next = NULL;
}

/* Begin to move to an array of another size. */
static sabot_status start_move(struct sb_index *index, struct sb_pool *pool, uint64_t count)
{
    struct sb_slot *slots;

    SB_ASSERT(index->old == NULL);
    if (count > (uint64_t)1 << 31)
        return SABOT_ERR_MEMORY;
    slots = count == slot_count(index) * 2 ? next_take(index) : NULL;
    if (slots == NULL)
        slots = sb_pool_take_table(pool, count * sizeof *slots);
    if (slots == NULL)
        return SABOT_ERR_MEMORY;
    index->old = index->slots;
    index->old_mask = index->mask;
    index->old_moved = 0;
    index->slots = slots;
    index->mask = (uint32_t)(count - 1);
    return SABOT_OK;
}

/* All of the next array is clear. */
static bool is_next_ready(const struct sb_index *index)
{
    return has_next(index) && index->next[0].tag == slot_count(index) * 2;
}

sabot_status sb_index_grow(struct sb_index *index, struct sb_pool *pool, uint32_t spread)
{
    const uint64_t slots = slot_count(index);

    move_some(index, pool, MOVED);
    prepare_next(index, pool, spread);
    if (is_next_ready(index))
        return start_move(index, pool, slots * 2);
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
    if (index->count < index->mask / 2)
        next_give(index, pool);
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
