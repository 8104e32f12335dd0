/* SPDX-License-Identifier: Apache-2.0 */
/* account.h - who holds how much of the memory that is given to state.
 *
 * One account is shared by all stores of a process; a store has a line in it for each of its
 * states. What a store takes from the system (chunks, large values, index slots) is reserved from
 * the account first, so that the limit holds whatever the states do; what the cells of one state
 * take is written into its line, so that the error at the limit can say which state holds what.
 *
 * Threads: reserve and release by any; a line is written by its store's thread alone and read by
 * whoever makes the error. Memory: lines belong to the stores. */
#ifndef SB_STATE_ACCOUNT_H
#define SB_STATE_ACCOUNT_H

#include <stdatomic.h>

#include "state/store.h"

struct sb_account_line {
    struct sb_account_line *next; /* guarded by the account's lock */
    const char *owner;
    const char *state;
    _Atomic uint64_t bytes;
};

/* False: it would go over the limit. NULL account: always true. */
bool sb_account_reserve(struct sb_account *account, uint64_t bytes);
void sb_account_release(struct sb_account *account, uint64_t bytes);
uint64_t sb_account_limit(const struct sb_account *account); /* 0: none */

void sb_account_add(struct sb_account *account, struct sb_account_line *line);
void sb_account_remove(struct sb_account *account, struct sb_account_line *line);

static inline void sb_account_count(struct sb_account_line *line, int64_t bytes)
{
    const uint64_t now = atomic_load_explicit(&line->bytes, memory_order_relaxed);

    atomic_store_explicit(&line->bytes, now + (uint64_t)bytes, memory_order_relaxed);
}

/* "score.account 400.0 MiB, count.words 90.2 MiB and 3 more": the greatest first. */
void sb_account_describe(struct sb_account *account, char *text, size_t size);

#endif
