/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_model.h - what is known of a seed's input, and of what was committed so far; to the files
 * that check it. */
#ifndef SB_TEST_SIM_LEDGER_MODEL_H
#define SB_TEST_SIM_LEDGER_MODEL_H

#include "ledger.h"
#include "sim/draw.h"
#include "sim/sim.h"

enum {
    TRANSFERS_MAX = 512,
    ACCOUNTS_MAX = 12,
    PARTITIONS_MAX = 4,
    LAST_MAX = 8, /* transfers that push time past all others */
    RATES_MAX = 256,
    REMINDERS_MAX = 512,
    RECENT_MAX = LEDGER_RECENT,
    PAST_MAX = 8,
    SAVED_MAX = 16,
    OUTPUTS_MAX = 8,
    WINDOWS_MAX = 4096, /* a power of two */
    STEP_MS = 10,
};

#define FAR_AHEAD_MS INT64_C(10000000)

/* --- Windows -----------------------------------------------------------------------------------
 */

enum windows_of { WINDOWS_BOOK, WINDOWS_STREAM, WINDOWS_OF };

struct window {
    bool is_used;
    bool on_time;
    uint32_t account;
    int64_t start_ms, end_ms;
    int64_t number, count, sum; /* of the last firing */
};

/* The windows of one kind, as they have fired. */
struct windows {
    sabot_window_kind kind; /* 0: there are none */
    int64_t size_ms;        /* or the gap */
    int64_t slide_ms;
    int64_t lateness_ms;
    uint32_t count;
    struct window all[WINDOWS_MAX]; /* by hash */
};

/* --- The ledger --------------------------------------------------------------------------------
 */

struct transfer {
    uint32_t from, to;
    int64_t amount, time_ms;
    int32_t partition;
};

/* What became of a transfer, by leg: the one that takes, the one that gives. */
struct marks {
    bool seen[2];
    bool alarm[2];            /* it has rung, or never will */
    bool late[WINDOWS_OF][2]; /* no window has taken it */
};

struct account {
    int64_t sequence, balance;
    int64_t recent[RECENT_MAX]; /* the last ids, taken: -id - 1; by sequence */
    int64_t rate;               /* the update of the table that an entry has shown */
    uint32_t rates;
    bool rate_deletes[RATES_MAX]; /* what each of them does; the first is number 1 */
};

/* The same time again is the same timer, if it has not rung meanwhile: the clock may be set back.
 */
struct reminder {
    uint32_t account;
    int64_t time_ms;
    uint32_t entries; /* that have set it */
    uint32_t rings;
};

/* What is known of what was committed. */
struct known {
    struct marks marks[TRANSFERS_MAX];
    struct account accounts[ACCOUNTS_MAX];
    int64_t sum;
    struct reminder reminders[REMINDERS_MAX];
    uint32_t reminder_count;
};

/* The same as a checkpoint has it. */
struct past {
    uint32_t process; /* that has committed it */
    int64_t checkpoint;
    uint64_t nonce;
    struct known known;
};

/* And as a savepoint. */
struct saved {
    bool is_known;
    struct known known;
};

struct ledger {
    const struct sb_env *env;
    struct sb_sim *sim;
    sabot_config *config;
    struct transfer transfers[TRANSFERS_MAX];
    uint32_t order[TRANSFERS_MAX]; /* as they are sent */
    uint32_t count;                /* with the last ones */
    uint32_t ordinary;             /* without */
    uint32_t sent;
    uint32_t account_count;
    int32_t partitions;
    struct known known;
    struct past past[PAST_MAX];
    struct saved saved[SAVED_MAX]; /* by number, from 1 */
    bool reads_file;               /* the transfers: they end, and with them the run */
    bool writes_files;             /* what is committed is seen at the end */
    bool at_least_once;
    bool never_idle; /* a partition of the transfers holds time back until it has records */
    const char *outputs[OUTPUTS_MAX];
    uint32_t output_count;
    bool may_choose;                   /* one pipeline: its commits tell all */
    uint32_t past_count;               /* of all; the last few are there */
    uint32_t rate_accounts[RATES_MAX]; /* whose row each update of the table is */
    uint32_t rate_count;               /* 0: there is no table */
    uint32_t rates_sent;
    struct windows windows[WINDOWS_OF];
    char text[256];
};

/* When a leg of a transfer counts in windows: the last ones never do. */
static inline bool ledger_counts(const struct ledger *ledger, uint32_t id)
{
    return id < ledger->ordinary;
}

static inline struct marks *ledger_marks(struct ledger *ledger, const struct transfer *transfer)
{
    return &ledger->known.marks[transfer - ledger->transfers];
}

/* A number for each leg. */
static inline int64_t ledger_leg_id(const struct ledger *ledger,
                                    const struct transfer *transfer,
                                    bool gives)
{
    const int64_t id = transfer - ledger->transfers;

    return gives ? id : -id - 1;
}

/* --- Records -----------------------------------------------------------------------------------
 */

/* The number that begins at a place of a text; 0: none does. */
int64_t ledger_digits(sabot_text text, size_t at);

/* The number behind `name`, which is "field": of an object without blanks. */
bool ledger_number(sabot_text object, const char *name, int64_t *number_out);
/* The number of the account whose name `text` begins with: "a7". */
bool ledger_account(const struct ledger *ledger, sabot_text text, uint32_t *account_out);
/* The leg that a record speaks of: its transfer, and whether it gives. */
sabot_status ledger_leg(struct ledger *ledger,
                        const struct sb_record *record,
                        struct transfer **transfer_out,
                        bool *gives_out,
                        sabot_error *error);
/* Raise an error that begins with the record. */
sabot_status ledger_raise(const struct sb_record *record, const char *why, sabot_error *error);

/* --- Parts -------------------------------------------------------------------------------------
 */

/* Draw a kind, make its topics, tell the app. */
sabot_status ledger_windows_open(struct ledger *ledger,
                                 struct sb_sim *sim,
                                 enum windows_of which,
                                 sabot_error *error);
/* Is it a record of the windows? SABOT_AGAIN: no. */
sabot_status ledger_windows_see(struct ledger *ledger,
                                const char *topic,
                                const struct sb_record *record,
                                sabot_error *error);
/* All windows begin anew. */
void ledger_windows_begin(struct ledger *ledger);
/* Each window has told all that belongs to it. */
sabot_status ledger_windows_end(struct ledger *ledger, sabot_error *error);

/* The last checkpoint of each pipeline holds what was committed. */
sabot_status ledger_state_check(struct ledger *ledger, struct sb_sim *sim, sabot_error *error);

sabot_status ledger_set(struct ledger *ledger, const char *name, int64_t value, sabot_error *error);
/* A topic, bound to the app's channel of its name. `next` NULL: an output. */
sabot_status ledger_topic(struct ledger *ledger,
                          struct sb_sim *sim,
                          const char *name,
                          int32_t partitions,
                          sb_sim_next next,
                          sabot_error *error);

#endif
