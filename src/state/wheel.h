/* SPDX-License-Identifier: Apache-2.0 */
/* wheel.h - a queue of times: a hierarchical timing wheel (G. Varghese, T. Lauck, 1987) whose
 * entries are numbers, so that moving one touches nothing but the queue.
 *
 * Of the 64 bits of a time each level takes 8, the lowest first:
 *
 *     level 0    256 slots of 1 ms       the entries of a slot have one time
 *     level 1    256 slots of 256 ms
 *     ...
 *     level 7    256 slots of 2^56 ms
 *
 * An entry is on the level of the highest digit in which its time differs from `now`, in the slot
 * of that digit; at the end of the slot's newest block, so that adding costs the same for one timer
 * as for tens of millions of one time. When now comes to a slot of a higher level, its entries move
 * down (`moving`), some at each call, so that no call pays for all; each moves at most once a
 * level. What comes next is taken into a small array (`ready`), so that its owner can fetch ahead:
 * from slots of level 0, or all of a slot of level 1 that has few entries, sorted there and then.
 * Times that have passed when they are added wait in a heap of their own (`due`).
 *
 * Nothing is removed but from the front: an entry that its owner doesn't want any more stays where
 * it is, and is thrown away when its time comes, or when the owner sorts out (sb_wheel_sift).
 *
 * Times are unsigned; timer.c flips the sign. Order: by time; of one time undefined, but the same
 * for the same calls. Invariants: no entry of a slot has a time before now; a slot whose digit is
 * that of now is empty above level 0; ready, due and now: each entry of `ready` or `due` comes
 * before or at now. Threads: the store's. Memory: 16 bytes an entry and what the last block of a
 * slot has left, in blocks of 256 bytes to 4 KiB, from the account. */
#ifndef SB_STATE_WHEEL_H
#define SB_STATE_WHEEL_H

#include "state/account.h"

enum {
    SB_WHEEL_DIGITS = 256,
    SB_WHEEL_LEVELS = 8,
    SB_WHEEL_SLOTS = SB_WHEEL_DIGITS * SB_WHEEL_LEVELS,
    SB_WHEEL_WORDS = SB_WHEEL_DIGITS / 64,
    SB_WHEEL_READY = 256,
    SB_WHEEL_SIZES = 3, /* of blocks */
};

struct sb_wheel_entry {
    uint64_t time;
    uint64_t mark; /* the owner's */
};

struct sb_wheel_block {
    struct sb_wheel_block *next; /* of the slot: an older one */
    uint32_t count;
    uint32_t size; /* which of the sizes */
    struct sb_wheel_entry entries[];
};

struct sb_wheel {
    const struct sb_env *env;
    struct sb_account *account;
    struct sb_account_line *line; /* of the state, where the memory is counted */
    uint64_t now;
    uint64_t count; /* entries in all, those that nobody wants too */
    struct sb_wheel_entry ready[SB_WHEEL_READY];
    uint32_t ready_at;
    uint32_t ready_count;
    uint32_t due_count;
    uint32_t due_room;
    struct sb_wheel_entry *due; /* heap: the earliest first */
    struct sb_wheel_block *moving;
    uint64_t moving_from;                           /* none of `moving` is before this time */
    bool sifting;                                   /* `moving` is a slot being sorted out */
    uint32_t sift_at;                               /* the slot that is sorted out next */
    uint64_t used[SB_WHEEL_LEVELS][SB_WHEEL_WORDS]; /* a bit per slot that has entries */
    struct sb_wheel_block *slots[SB_WHEEL_SLOTS];
    struct sb_wheel_block *free[SB_WHEEL_SIZES];
    uint32_t free_count[SB_WHEEL_SIZES];
    /* The owner's (timer.c): */
    uint64_t live;      /* timers in memory: entries that are wanted */
    uint64_t rows_from; /* timers from this time on may be in rows only; UINT64_MAX: none are */
    uint32_t serial;    /* of the last timer made */
};

void sb_wheel_init(struct sb_wheel *wheel,
                   const struct sb_env *env,
                   struct sb_account *account,
                   struct sb_account_line *line);
void sb_wheel_reset(struct sb_wheel *wheel);

/* SABOT_ERR_MEMORY: unchanged. */
SABOT_MUST_CHECK sabot_status sb_wheel_add(struct sb_wheel *wheel, uint64_t time, uint64_t mark);
/* The earliest entry at or before `limit`, which never goes back; NULL in *entry_out: there is
 * none. Each entry that moves costs one of *moves; none
 * left: SABOT_AGAIN. */
SABOT_MUST_CHECK sabot_status sb_wheel_peek(struct sb_wheel *wheel,
                                            uint64_t limit,
                                            uint32_t *moves,
                                            const struct sb_wheel_entry **entry_out);
/* Remove what peek gave. */
void sb_wheel_pop(struct sb_wheel *wheel);
/* No entry is before this time; UINT64_MAX: there is none. */
uint64_t sb_wheel_next(const struct sb_wheel *wheel);

/* Sort out: look at `count` entries, one after the other, on a round over all slots; those that
 * `wanted` says no to are removed. Begun by the first call, over when `sifting` is false. */
void sb_wheel_sift(struct sb_wheel *wheel,
                   uint32_t count,
                   bool (*wanted)(void *context, const struct sb_wheel_entry *entry),
                   void *context);

#endif
