/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - from a hash to references of cells: open addressing, apart from the cells.
 *
 *     slot    32 bits of the hash (tag) | reference; reference 0: empty
 *     place   tag & (slots - 1), then the next ones: linear probing
 *
 * A slot has all of the hash that its place needs, so growing never looks at a cell. It grows, and
 * shrinks, in steps: a new array is made, and each change moves MOVED slots of the old one to it;
 * until that is done, what isn't in the new array is looked for in the old one, where a moved or
 * removed slot is marked. The array that comes next is taken before this one is full, and cleared
 * in steps as well. So no change pays for a whole table, not even for the zeros of one.
 *
 * Keys come to all shards of a table alike. So that their indexes don't all grow at the same time,
 * and ask for more pages than can be made ready, each begins at another load (`spread`).
 *
 * Invariants: at most 3/4 of the slots of the new array are used; both arrays together hold every
 * cell once; the old array is empty before the new one is full, and before a next one is taken.
 * Threads: the store's. Memory: the arrays, reserved from the account. */
#ifndef SB_STATE_INDEX_H
#define SB_STATE_INDEX_H

#include "state/arena.h"

struct sb_slot {
    uint32_t tag;
    sb_ref ref;
};

#define SB_SLOT_GONE UINT32_MAX /* a reference: moved to the new array, or removed */
enum { SB_RUN_AHEAD = 40 };     /* bytes: few runs of used slots go on farther */

struct sb_index {
    struct sb_slot *slots;
    struct sb_slot *old; /* NULL: all has moved */
    uint32_t mask;       /* slots - 1; 0: none yet */
    uint32_t count;      /* cells in both arrays */
    union {
        struct { /* there is an old array */
            uint32_t old_mask;
            uint32_t old_moved; /* slots of it that were looked at */
        };
        /* There is none. An array of twice the slots, being cleared, NULL: none; until it is used
         * the tag of its first slot says how many slots are clear. */
        struct sb_slot *next;
    };
};

void sb_index_reset(struct sb_index *index, struct sb_pool *pool);
/* Room for one more. `spread`: the shard. SABOT_ERR_MEMORY: unchanged. */
SABOT_MUST_CHECK sabot_status sb_index_grow(struct sb_index *index,
                                            struct sb_pool *pool,
                                            uint32_t spread);
/* Room for so many in an index that has none, so that it need not grow. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_index_reserve(struct sb_index *index,
                                               struct sb_pool *pool,
                                               uint64_t count);
/* Enter a cell that isn't there; sb_index_grow() has made room. */
void sb_index_insert(struct sb_index *index, uint64_t hash, sb_ref ref);
/* Remove a cell that is there. */
void sb_index_remove(struct sb_index *index, struct sb_pool *pool, uint64_t hash, sb_ref ref);

static inline uint32_t sb_index_tag(uint64_t hash)
{
    return (uint32_t)hash;
}
/* Where a tag's first slot is, for a prefetch: no array is as good as any. */
static inline const void *sb_index_near(const struct sb_index *index, uint64_t hash)
{
    return (const void *)((uintptr_t)index->slots +
                          sizeof(struct sb_slot) * (sb_index_tag(hash) & index->mask));
}
static inline void sb_index_prefetch(const struct sb_index *index, uint64_t hash)
{
    __builtin_prefetch(sb_index_near(index, hash), 0, 3);
}
/* The places that a look for a tag begins at: up to 2; how many there are. */
static inline uint32_t sb_index_places(const struct sb_index *index,
                                       uint64_t hash,
                                       const void **places)
{
    places[0] = sb_index_near(index, hash);
    if (__builtin_expect(index->old == NULL, 1))
        return index->slots == NULL ? 0 : 1;
    places[1] = &index->old[sb_index_tag(hash) & index->old_mask];
    return 2;
}

/* The cells with the tag of a hash, one after the other: a caller compares keys.
 *
 *     struct sb_probe probe = sb_index_probe(index, hash);
 *     while ((ref = sb_index_match(&probe)) != 0)
 *         if (it is the one) ... */
struct sb_probe {
    const struct sb_index *index;
    const struct sb_slot *slots; /* the array being looked at; NULL: the end */
    uint32_t mask;
    uint32_t tag;
    uint32_t at;
};

static inline struct sb_probe sb_index_probe(const struct sb_index *index, uint64_t hash)
{
    const uint32_t tag = sb_index_tag(hash);

    return (struct sb_probe){index, index->slots, index->mask, tag, tag & index->mask};
}

static inline sb_ref sb_index_match(struct sb_probe *probe)
{
    for (;;) {
        if (__builtin_expect(probe->slots == NULL, 0))
            return 0;
        for (;;) {
            const struct sb_slot slot = probe->slots[probe->at];

            if (slot.ref == 0)
                break;
            probe->at = (probe->at + 1) & probe->mask;
            if (slot.tag == probe->tag && slot.ref != SB_SLOT_GONE)
                return slot.ref;
        }
        probe->slots = probe->slots == probe->index->old ? NULL : probe->index->old;
        probe->mask = probe->index->old_mask;
        probe->at = probe->tag & probe->mask;
    }
}

/* Walk all cells: *at from 0 on; false at the end. Removing the cell just given is allowed; a cell
 * may come twice when others are inserted or removed meanwhile. */
bool sb_index_walk(const struct sb_index *index, uint64_t *at, struct sb_slot *slot_out);

#endif
