/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - the transfers of a seed, and what must hold of what is committed.
 *
 *   each leg of each transfer once; per account the sequence 1, 2, 3 ... and the balance that the
 *   sequence makes; the sum of all amounts nothing after every commit; each alarm once, of an entry
 *   that there is, and at the end all of them.
 *
 * Times are unique, so that an alarm tells which transfer it is of. The last transfers, one for
 * each partition, are far ahead: they push the watermark past all others, and their own alarms
 * never ring. */
#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sabot/sabot.h>

extern const sabot_app_entry ledger_app;

enum {
    TRANSFERS_MAX = 512,
    ACCOUNTS_MAX = 12,
    PARTITIONS_MAX = 4,
    STEP_MS = 10,
    ALARM_AFTER_MS = 50,
    FAR_AHEAD_MS = 10000000,
    SWAP = 4, /* transfers come this much out of order */
};

struct transfer {
    uint32_t from, to;
    int64_t amount, time_ms;
    int32_t partition;
    bool seen[2];  /* the leg that takes, the leg that gives */
    bool alarm[2]; /* likewise */
};

struct account {
    int64_t sequence, balance;
};

struct ledger {
    const struct sb_env *env;
    sabot_config *config;
    struct transfer transfers[TRANSFERS_MAX];
    uint32_t order[TRANSFERS_MAX]; /* as they are sent */
    uint32_t count;                /* with the last ones */
    uint32_t ordinary;             /* without */
    uint32_t sent;
    uint32_t account_count;
    int32_t partitions;
    struct account accounts[ACCOUNTS_MAX];
    int64_t sum;
    uint32_t entries, alarms;
    char text[256];
};

/* --- Input -------------------------------------------------------------------------------------
 */

static void draw_transfers(struct ledger *ledger, struct sb_draw *draw)
{
    ledger->ordinary = 20 + sb_draw_wide(draw, TRANSFERS_MAX - PARTITIONS_MAX - 20);
    ledger->count = ledger->ordinary + (uint32_t)ledger->partitions;
    for (uint32_t i = 0; i < ledger->count; i++) {
        struct transfer *transfer = &ledger->transfers[i];
        const bool is_last = i >= ledger->ordinary;

        *transfer = (struct transfer){
            .from = sb_draw_below(draw, ledger->account_count),
            .amount = 1 + sb_draw_below(draw, 1000),
            .time_ms = (int64_t)i * STEP_MS,
            .partition = (int32_t)sb_draw_below(draw, (uint32_t)ledger->partitions),
        };
        transfer->to = (transfer->from + 1 + sb_draw_below(draw, ledger->account_count - 1)) %
                       ledger->account_count;
        if (is_last) {
            transfer->time_ms = FAR_AHEAD_MS;
            transfer->partition = (int32_t)(i - ledger->ordinary);
        }
        ledger->order[i] = i;
    }
    for (uint32_t i = 0; i + SWAP < ledger->ordinary; i++) {
        const uint32_t with = i + sb_draw_below(draw, SWAP);
        const uint32_t at = ledger->order[i];

        ledger->order[i] = ledger->order[with];
        ledger->order[with] = at;
    }
}

static sabot_status next_transfer(void *user, uint32_t index, struct sb_sim_input *input_out)
{
    struct ledger *ledger = user;
    const struct transfer *transfer;
    uint32_t id;
    int size;

    (void)index;
    if (ledger->sent == ledger->count)
        return SABOT_END;
    id = ledger->order[ledger->sent++];
    transfer = &ledger->transfers[id];
    size = snprintf(ledger->text, sizeof ledger->text,
                    "{\"id\":%" PRIu32 ",\"from\":\"a%" PRIu32 "\",\"to\":\"a%" PRIu32
                    "\",\"amount\":%" PRId64 ",\"time_ms\":%" PRId64 "}",
                    id, transfer->from, transfer->to, transfer->amount, transfer->time_ms);
    *input_out = (struct sb_sim_input){
        .partition = transfer->partition,
        .value = {ledger->text, (size_t)size},
        .timestamp_ms = transfer->time_ms,
    };
    return SABOT_OK;
}

static sabot_status set(struct ledger *ledger, const char *name, int64_t value, sabot_error *error)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return sabot_config_set(ledger->config, SABOT_FROM_OPTION, name, text, error);
}

static sabot_status open_ledger(void *user, struct sb_sim *sim, sabot_error *error)
{
    struct ledger *ledger = user;
    struct sb_draw *draw = sb_sim_draw(sim);

    ledger->account_count = 2 + sb_draw_below(draw, ACCOUNTS_MAX - 1);
    ledger->partitions = 1 + (int32_t)sb_draw_below(draw, PARTITIONS_MAX);
    draw_transfers(ledger, draw);
    SABOT_TRY(sb_sim_topic(sim, "transfers", ledger->partitions, next_transfer, 0, error));
    SABOT_TRY(sb_sim_topic(sim, "entries", 1 + (int32_t)sb_draw_below(draw, 3), NULL, 0, error));
    SABOT_TRY(sb_sim_topic(sim, "alarms", 1 + (int32_t)sb_draw_below(draw, 2), NULL, 0, error));
    SABOT_TRY(sabot_config_bind(ledger->config, "transfers", "sim:transfers", error));
    SABOT_TRY(sabot_config_bind(ledger->config, "entries", "sim:entries", error));
    SABOT_TRY(sabot_config_bind(ledger->config, "alarms", "sim:alarms", error));
    SABOT_TRY(sabot_config_set(ledger->config, SABOT_FROM_OPTION, "state.dir", "/state", error));
    SABOT_TRY(set(ledger, "batch.rows", 1 + sb_draw_wide(draw, 64), error));
    SABOT_TRY(set(ledger, "threads", 1 + sb_draw_below(draw, 3), error));
    SABOT_TRY(set(ledger, "checkpoint.keep", 1 + sb_draw_below(draw, 3), error));
    return set(ledger, "checkpoint.interval_ms", 20 + sb_draw_wide(draw, 2000), error);
}

/* --- What is committed -------------------------------------------------------------------------
 */

/* The number behind "name": in an object without blanks. */
static bool find_number(const struct sb_record *record, const char *name, int64_t *number_out)
{
    const char *at = memmem(record->value.data, record->value.size, name, strlen(name));

    if (at == NULL)
        return false;
    *number_out = strtoll(at + strlen(name), NULL, 10);
    return true;
}

static bool find_account(const struct ledger *ledger, const struct sb_record *record, uint32_t *out)
{
    int64_t number;

    if (!find_number(record, "\"account\":\"a", &number) || number < 0 ||
        number >= (int64_t)ledger->account_count)
        return false;
    *out = (uint32_t)number;
    return true;
}

static sabot_status raise_record(const struct sb_record *record,
                                 const char *why,
                                 sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_STATE, "%.*s: %s", (int)record->value.size,
                       record->value.data, why);
}

static sabot_status see_entry(struct ledger *ledger,
                              const struct sb_record *record,
                              sabot_error *error)
{
    int64_t id, amount, sequence, balance;
    struct transfer *transfer;
    struct account *account;
    uint32_t number;
    bool gives;

    if (!find_number(record, "\"id\":", &id) || !find_number(record, "\"amount\":", &amount) ||
        !find_number(record, "\"sequence\":", &sequence) ||
        !find_number(record, "\"balance\":", &balance) || !find_account(ledger, record, &number))
        return raise_record(record, "no entry", error);
    if (id < 0 || id >= (int64_t)ledger->count)
        return raise_record(record, "there is no such transfer", error);
    transfer = &ledger->transfers[id];
    gives = amount > 0;
    if (number != (gives ? transfer->to : transfer->from) ||
        amount != (gives ? transfer->amount : -transfer->amount))
        return raise_record(record, "the transfer is another one", error);
    if (transfer->seen[gives])
        return raise_record(record, "it has come twice", error);
    transfer->seen[gives] = true;
    account = &ledger->accounts[number];
    if (sequence != account->sequence + 1)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%.*s: the sequence of the account has come to %" PRId64 " before",
                           (int)record->value.size, record->value.data, account->sequence);
    account->sequence++;
    account->balance += amount;
    ledger->sum += amount;
    ledger->entries++;
    if (balance != account->balance)
        return sabot_raise(error, SABOT_ERR_STATE, "%.*s: the entries make a balance of %" PRId64,
                           (int)record->value.size, record->value.data, account->balance);
    return SABOT_OK;
}

static sabot_status see_alarm(struct ledger *ledger,
                              const struct sb_record *record,
                              sabot_error *error)
{
    struct transfer *transfer;
    int64_t time_ms;
    uint32_t number;
    int64_t id;

    if (!find_number(record, "\"time_ms\":", &time_ms) || !find_account(ledger, record, &number))
        return raise_record(record, "no alarm", error);
    id = (time_ms - ALARM_AFTER_MS) / STEP_MS;
    if (id < 0 || id >= (int64_t)ledger->ordinary || id * STEP_MS + ALARM_AFTER_MS != time_ms)
        return raise_record(record, "nobody has set this alarm", error);
    transfer = &ledger->transfers[id];
    if (number != transfer->from && number != transfer->to)
        return raise_record(record, "it is of another account", error);
    if (transfer->alarm[number == transfer->to])
        return raise_record(record, "it has rung twice", error);
    transfer->alarm[number == transfer->to] = true;
    ledger->alarms++;
    return SABOT_OK;
}

static sabot_status see_record(void *user,
                               const char *topic,
                               const struct sb_record *record,
                               sabot_error *error)
{
    if (strcmp(topic, "entries") == 0)
        return see_entry(user, record, error);
    return see_alarm(user, record, error);
}

static sabot_status see_commit(void *user, sabot_error *error)
{
    const struct ledger *ledger = user;

    if (ledger->sum != 0)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "what is committed adds up to %" PRId64 ": half of a transfer is there",
                           ledger->sum);
    return SABOT_OK;
}

static sabot_status see_end(void *user, struct sb_sim *sim, sabot_error *error)
{
    const struct ledger *ledger = user;

    (void)sim;
    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct transfer *transfer = &ledger->transfers[i];

        for (int leg = 0; leg < 2; leg++) {
            if (!transfer->seen[leg])
                return sabot_raise(error, SABOT_ERR_STATE, "transfer %" PRIu32 ": leg %d is lost",
                                   i, leg);
            if (i < ledger->ordinary && !transfer->alarm[leg])
                return sabot_raise(error, SABOT_ERR_STATE,
                                   "transfer %" PRIu32 ": the alarm of leg %d has not rung", i,
                                   leg);
        }
    }
    return see_commit(user, error);
}

/* Each record read was split into two, and each of those was booked: nothing else happened to any.
 */
static sabot_status see_stopped(void *user, sabot_run *run, sabot_error *error)
{
    sabot_run_stats stats;

    (void)user;
    sabot_run_get_stats(run, &stats);
    if (stats.records_processed != 3 * stats.records_read || stats.records_skipped != 0 ||
        stats.records_failed != 0)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%" PRIu64 " records were read, %" PRIu64 " processed (three for one), "
                           "%" PRIu64 " skipped, %" PRIu64 " failed",
                           stats.records_read, stats.records_processed, stats.records_skipped,
                           stats.records_failed);
    return SABOT_OK;
}

/* --- Life --------------------------------------------------------------------------------------
 */

struct ledger *ledger_create(const struct sb_env *env)
{
    struct ledger *ledger = sb_alloc(env, sizeof *ledger);
    sabot_error error;

    SB_ASSERT(ledger != NULL);
    ledger->env = env;
    ledger->config = sabot_config_create(&error);
    SB_ASSERT(ledger->config != NULL);
    return ledger;
}

void ledger_destroy(struct ledger *ledger)
{
    sabot_config_destroy(ledger->config);
    sb_free(ledger->env, ledger, sizeof *ledger);
}

void ledger_plan(struct ledger *ledger, struct sb_sim_plan *plan_out)
{
    *plan_out = (struct sb_sim_plan){
        .entry = &ledger_app,
        .config = ledger->config,
        .user = ledger,
        .open = open_ledger,
        .stopped = see_stopped,
        .record = see_record,
        .commit = see_commit,
        .end = see_end,
    };
}
