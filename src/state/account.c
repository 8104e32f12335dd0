/* SPDX-License-Identifier: Apache-2.0 */
/* account.c - the memory of all stores of a process, against one limit.
 *
 * Off the path of a record: called when a store takes or gives back a chunk.
 * Invariant: used <= limit, when there is one. */
#include "state/account.h"

#include <stdio.h>
#include <string.h>

#include "base/lock.h"
#include "base/mem.h"

enum { LINES_SHOWN = 5 };

struct sb_account {
    const struct sb_env *env;
    uint64_t limit;
    _Atomic uint64_t used;
    struct sb_lock lock; /* guards the list of lines */
    struct sb_account_line *lines;
};

sabot_status sb_account_create(const struct sb_env *env,
                               uint64_t limit,
                               struct sb_account **account_out,
                               sabot_error *error)
{
    struct sb_account *account = sb_alloc(env, sizeof *account);

    *account_out = NULL;
    if (account == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the account of state");
    account->env = env;
    account->limit = limit;
    sb_lock_init(&account->lock);
    *account_out = account;
    return SABOT_OK;
}

void sb_account_destroy(struct sb_account *account)
{
    if (account == NULL)
        return;
    SB_ASSERT(account->lines == NULL);
    SB_ASSERT(sb_account_used(account) == 0);
    sb_lock_reset(&account->lock);
    sb_free(account->env, account, sizeof *account);
}

uint64_t sb_account_used(const struct sb_account *account)
{
    return atomic_load_explicit(&account->used, memory_order_relaxed);
}

uint64_t sb_account_limit(const struct sb_account *account)
{
    return account == NULL ? 0 : account->limit;
}

bool sb_account_reserve(struct sb_account *account, uint64_t bytes)
{
    uint64_t used;

    if (account == NULL)
        return true;
    used = atomic_fetch_add_explicit(&account->used, bytes, memory_order_relaxed) + bytes;
    if (account->limit == 0 || used <= account->limit)
        return true;
    sb_account_release(account, bytes);
    return false;
}

void sb_account_release(struct sb_account *account, uint64_t bytes)
{
    uint64_t before;

    if (account == NULL)
        return;
    before = atomic_fetch_sub_explicit(&account->used, bytes, memory_order_relaxed);
    SB_ASSERT(before >= bytes);
}

void sb_account_add(struct sb_account *account, struct sb_account_line *line)
{
    if (account == NULL)
        return;
    sb_lock_take(&account->lock);
    line->next = account->lines;
    account->lines = line;
    sb_lock_drop(&account->lock);
}

void sb_account_remove(struct sb_account *account, struct sb_account_line *line)
{
    struct sb_account_line **link;

    if (account == NULL)
        return;
    sb_lock_take(&account->lock);
    for (link = &account->lines; *link != NULL; link = &(*link)->next) {
        if (*link == line) {
            *link = line->next;
            break;
        }
    }
    sb_lock_drop(&account->lock);
}

/* --- The text of an error -----------------------------------------------------------------------
 */

struct entry {
    const char *owner;
    const char *state;
    uint64_t bytes;
};

static bool same_state(const struct sb_account_line *one, const struct sb_account_line *other)
{
    return strcmp(one->owner, other->owner) == 0 && strcmp(one->state, other->state) == 0;
}

/* The bytes of a state on all threads; counted at the first line of its name, 0 at the others. */
static uint64_t sum_of(const struct sb_account *account, const struct sb_account_line *line)
{
    uint64_t sum = 0;

    for (const struct sb_account_line *first = account->lines; first != NULL; first = first->next) {
        if (first == line)
            break;
        if (same_state(first, line))
            return 0;
    }
    for (const struct sb_account_line *other = line; other != NULL; other = other->next)
        if (same_state(other, line))
            sum += atomic_load_explicit(&other->bytes, memory_order_relaxed);
    return sum;
}

static void keep_greatest(struct entry entries[LINES_SHOWN], struct entry entry)
{
    for (size_t i = 0; i < LINES_SHOWN; i++) {
        if (entry.bytes > entries[i].bytes) {
            const struct entry smaller = entries[i];

            entries[i] = entry;
            entry = smaller;
        }
    }
}

void sb_account_describe(struct sb_account *account, char *text, size_t size)
{
    struct entry entries[LINES_SHOWN] = {{NULL, NULL, 0}};
    size_t used = 0;

    SB_ASSERT(size > 0);
    text[0] = '\0';
    if (account == NULL)
        return;
    sb_lock_take(&account->lock);
    for (const struct sb_account_line *line = account->lines; line != NULL; line = line->next)
        keep_greatest(entries, (struct entry){line->owner, line->state, sum_of(account, line)});
    for (size_t i = 0; i < LINES_SHOWN && entries[i].bytes > 0 && used < size; i++) {
        const int length =
            snprintf(text + used, size - used, "%s%.128s.%.128s %.1f MiB", i == 0 ? "" : ", ",
                     entries[i].owner, entries[i].state, (double)entries[i].bytes / (1024 * 1024));
        used += length > 0 ? (size_t)length : 0;
    }
    sb_lock_drop(&account->lock);
}
