/* SPDX-License-Identifier: Apache-2.0 */
/* bank.h - a bank in Chile and Peru that does not exist: its cities and its made-up traffic.
 *
 * The traffic is a pure function of (seed, accounts, start, index): the same bytes on every
 * machine, and any record can be made again by its index alone. Each account makes about one
 * transaction an hour, in its home city, of amounts around its own. Each 1024 records hold one
 * fraud of each kind, so that about one record in a hundred raises an alert. Some transactions
 * arrive a little late.
 *
 * Used by the app's source (source.h) and by the program sabot-bank.
 *
 * Ownership: a bank is its user's memory and allocates nothing. Threads: one at a time. */
#ifndef FRAUD_BANK_H
#define FRAUD_BANK_H

#include <sabot/schema.h>

enum {
    BANK_LINE_MAX = 512,
    BANK_FRAUDS = 3, /* kinds */
    BANK_ACCOUNTS_MAX = 99999999,
    BANK_RATE_MAX = 100000000,
};
#define BANK_COUNT_MAX INT64_C(1000000000000)
#define BANK_START_MS INT64_C(1740787200000) /* 2025-03-01T00:00:00Z */

/* A fraud that is spread over some records of a block. */
struct bank_fraud {
    uint64_t first, stride, count; /* its records are first, first + stride, ... */
    uint64_t account;
};

struct bank {
    uint64_t seed, accounts;
    int64_t start_ms; /* time of the first transaction */
    uint64_t block;   /* that `frauds` are of */
    struct bank_fraud frauds[BANK_FRAUDS];
    int64_t day; /* that `date` is of */
    char date[12];
    char line[BANK_LINE_MAX];
};

/* One transaction as a line of JSON, without a newline; valid until the next. */
struct bank_record {
    sabot_text account, value;
    int64_t time_ms;
};

/* `start_ms`: BANK_START_MS, or another time after 2001. */
void bank_init(struct bank *bank, uint64_t seed, uint64_t accounts, int64_t start_ms);
void bank_make(struct bank *bank, uint64_t index, struct bank_record *record_out);

/* When the record `index` is due, counted from the first one, at `rate` records per second. */
int64_t bank_due_us(uint64_t index, uint64_t rate);

/* The great-circle distance between two cities of the bank; 0 when it does not know one of them. */
double bank_distance_km(const char *one, const char *other);

#endif
