/* SPDX-License-Identifier: Apache-2.0 */
/* account.h - what the fraud app remembers of one account, and the questions its rules ask of it.
 *
 * The 100 latest transactions lie in a ring, one array per member. Running values beside it answer
 * "clearly not" without a look at the ring; only what they can't decide is counted out.
 *
 * Ownership: the struct is a cell of Sabot's keyed state, so it is flat, and all zeros is an
 * account without transactions. Threads: those of its owner; nothing is shared. */
#ifndef FRAUD_ACCOUNT_H
#define FRAUD_ACCOUNT_H

#include <sabot/sabot.h>

enum { ACCOUNT_HISTORY = 100, ACCOUNT_CITY_SIZE = 64 };

struct account {
    int32_t known, next; /* transactions in the ring, and the slot of the next one */
    double sum, squares; /* of the amounts in the ring, but for rounding errors */
    double taken;        /* sum of squares of all that went into those two: bounds their errors */
    int64_t latest_ms;   /* no time in the ring is later */
    int64_t city_rest;   /* hash of what did not fit into: */
    char city[ACCOUNT_CITY_SIZE]; /* of the last transaction, NUL-terminated */
    int64_t times_ms[ACCOUNT_HISTORY];
    double amounts[ACCOUNT_HISTORY];
    int64_t ids[ACCOUNT_HISTORY];
};

extern const sabot_schema account_schema;

/* The slot of the i-th known transaction in order of arrival. */
static inline int32_t account_slot(const struct account *account, int32_t i)
{
    return (account->next + ACCOUNT_HISTORY - account->known + i) % ACCOUNT_HISTORY;
}

/* 0 <= later - earlier < width, for any two times. */
static inline bool time_is_within(int64_t later, int64_t earlier, int64_t width)
{
    return earlier <= later && (later < INT64_MIN + width || earlier > later - width);
}

/* True only if all that is known happened at least `width` before now. */
static inline bool account_is_quiet(const struct account *account, int64_t now_ms, int64_t width)
{
    return account->latest_ms <= now_ms && !time_is_within(now_ms, account->latest_ms, width);
}

/* Ask for the city, and for the slot of the next transaction, some records before they are needed:
 * with many accounts none of its three places is in a cache (sabot_agent_ahead). */
static inline void account_ahead(const void *value)
{
    const struct account *account = value;

    __builtin_prefetch(account->city);
    __builtin_prefetch(&account->times_ms[account->next], 1);
    __builtin_prefetch(&account->amounts[account->next], 1);
    __builtin_prefetch(&account->ids[account->next], 1);
}

/* Put a transaction in, in the place of the oldest when the ring is full. */
void account_remember(struct account *account,
                      int64_t id,
                      int64_t time_ms,
                      double amount,
                      sabot_text city);

/* Was the last transaction in this city? Cities are the same when all their bytes are. */
bool account_is_in(const struct account *account, sabot_text city);

/* The name of a city as a string, cut to what fits. */
void account_city_name(sabot_text city, char name_out[ACCOUNT_CITY_SIZE]);

/* True only if `amount` is less than 2.9 deviations away from the mean of the known amounts. */
bool account_is_usual(const struct account *account, double amount);

/* Mean and population standard deviation of the known amounts, in two passes in order of arrival.
 * 0 when all amounts are equal. At least one must be known. */
double account_deviation(const struct account *account, double *mean_out);

#endif
