/* SPDX-License-Identifier: Apache-2.0 */
/* account.c - the memory of one account: a ring of transactions, and running values over it.
 *
 * Invariants, between two calls:
 *   1. 0 <= known <= 100; next is the slot of the oldest when 100 are known, else known.
 *   2. No known time is later than latest_ms.
 *   3. sum and squares are off by less than 1e-12 of the root of `taken`, and of `taken`: it is at
 *      least as large as anything that was added or subtracted, and the ring is counted anew each
 *      time it is full, so that 300 roundings of 2^-53 at most lie behind them.
 * Nothing here allocates, and nothing but a new count each 100 transactions loops over the ring. */
#include "account.h"

#include <math.h>
#include <string.h>

static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, known, "known", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, next, "next", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, sum, "sum", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, squares, "squares", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, taken, "taken", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, latest_ms, "latest_ms", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, city_rest, "city_rest", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct account, times_ms, "times_ms", SABOT_TIMESTAMP),
    SABOT_FIELD_ARRAY(struct account, amounts, "amounts", SABOT_FLOAT64),
    SABOT_FIELD_ARRAY(struct account, ids, "ids", SABOT_INT64),
};
const sabot_schema account_schema = SABOT_SCHEMA("account", 1, struct account, account_fields);

/* --- Cities ----------------------------------------------------------------------------------- */

/* A hash of the bytes behind the first `size`; 0 when there are none. */
static int64_t city_rest(sabot_text city, size_t size)
{
    int64_t hash = 0;

    for (size_t i = size; i < city.size; i++)
        hash = (hash * 131 + (city.data[i] & 0xff) + 1) % 36028797018963913; /* a prime */
    return hash;
}

bool account_is_in(const struct account *account, sabot_text city)
{
    size_t size = 0;

    /* By bytes: a wider look would wait for the next line of the cache, too. */
    while (size < city.size && account->city[size] != '\0' &&
           account->city[size] == city.data[size])
        size++;
    return account->city[size] == '\0' && city_rest(city, size) == account->city_rest;
}

/* Copies what fits, up to a NUL in it and without a broken character at its end. */
static size_t copy_city(char name_out[ACCOUNT_CITY_SIZE], sabot_text city)
{
    size_t size = 0;

    while (size < city.size && size < ACCOUNT_CITY_SIZE - 1 && city.data[size] != '\0')
        size++;
    while (size > 0 && size < city.size && (city.data[size] & 0xc0) == 0x80)
        size--;
    memset(name_out, 0, ACCOUNT_CITY_SIZE);
    memcpy(name_out, city.data, size);
    return size;
}

void account_city_name(sabot_text city, char name_out[ACCOUNT_CITY_SIZE])
{
    copy_city(name_out, city);
}

/* --- Amounts ---------------------------------------------------------------------------------- */

bool account_is_usual(const struct account *account, double amount)
{
    const double mean = account->sum / account->known;
    const double variance = account->squares / account->known - mean * mean;
    const double off = amount - mean;
    const double slack = 1e-9 * (account->taken + amount * amount + 1e-280);

    return off * off * 0.12 + slack < variance; /* 0.12: 1 / 2.9^2, rounded up */
}

double account_deviation(const struct account *account, double *mean_out)
{
    const double first = account->amounts[0];
    double sum = 0;
    double squares = 0;
    bool equal = true;

    for (int32_t i = 0; i < account->known; i++) {
        const double amount = account->amounts[account_slot(account, i)];

        sum += amount;
        equal = equal && amount == first;
    }
    *mean_out = sum / account->known;
    for (int32_t i = 0; i < account->known; i++) {
        const double off = account->amounts[account_slot(account, i)] - *mean_out;

        squares += off * off;
    }
    return equal ? 0 : sqrt(squares / account->known);
}

/* --- Remembering ------------------------------------------------------------------------------ */

/* Take what lies in a slot into the running values. */
static void count_in(struct account *account, int32_t slot)
{
    const double amount = account->amounts[slot];
    const double square = amount * amount;

    account->sum += amount;
    account->squares += square;
    account->taken += square;
    if (account->times_ms[slot] > account->latest_ms)
        account->latest_ms = account->times_ms[slot];
}

static void count_anew(struct account *account)
{
    account->sum = 0;
    account->squares = 0;
    account->taken = 0;
    account->latest_ms = INT64_MIN;
    for (int32_t slot = 0; slot < ACCOUNT_HISTORY; slot++)
        count_in(account, slot);
}

void account_remember(struct account *account,
                      int64_t id,
                      int64_t time_ms,
                      double amount,
                      sabot_text city)
{
    const int32_t slot = account->next;

    if (account->known == ACCOUNT_HISTORY) {
        const double oldest = account->amounts[slot];

        account->sum -= oldest;
        account->squares -= oldest * oldest;
    } else {
        account->known++;
    }
    account->ids[slot] = id;
    account->times_ms[slot] = time_ms;
    account->amounts[slot] = amount;
    count_in(account, slot);
    account->next = slot + 1 == ACCOUNT_HISTORY ? 0 : slot + 1;
    if (account->next == 0)
        count_anew(account);
    if (!account_is_in(account, city))
        account->city_rest = city_rest(city, copy_city(account->city, city));
}
