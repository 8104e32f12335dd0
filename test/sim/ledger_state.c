/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_state.c - what the last checkpoint holds is what was committed: every value, every element
 * and entry, every timer that has not fired, every row of the table, and nothing else.
 *
 * It is read as `sabot state` reads it, from the disk of the simulation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/inspect.h"
#include "ledger_model.h"

struct dump {
    struct ledger *ledger;
    const sabot_state_info *state;
    uint64_t rows;
    sabot_error *error;
};

/* A row of a state of account `number`: is it right? `number_of` is the number that it holds. */
typedef bool (*row_function)(struct dump *dump, uint32_t number, const sabot_state_row *row);

static int64_t number_of(sabot_text text)
{
    return ledger_digits(text, text.size > 0 && text.data[0] == '"');
}

static bool field_is(sabot_text object, const char *name, int64_t expected)
{
    int64_t number;

    return ledger_number(object, name, &number) && number == expected;
}

static bool is_account(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    const struct account *account = &dump->ledger->known.accounts[number];

    return field_is(row->value, "\"sequence\":", account->sequence) &&
           field_is(row->value, "\"balance\":", account->balance);
}

static bool is_sum(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    return field_is(row->value, "\"value\":", dump->ledger->known.accounts[number].balance);
}

/* "17+": the leg of transfer 17 that gives. */
static int64_t leg_in(sabot_text text)
{
    const int64_t id = number_of(text);

    return memchr(text.data, '-', text.size) == NULL ? id : -id - 1;
}

static bool is_id(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    const int64_t leg = leg_in(row->entry);
    const int64_t id = leg < 0 ? -leg - 1 : leg;
    const struct transfer *transfer = &dump->ledger->transfers[id];

    return id < (int64_t)dump->ledger->count &&
           ledger_marks(dump->ledger, transfer)->seen[leg >= 0] &&
           number == (leg < 0 ? transfer->from : transfer->to);
}

static bool is_recent(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    const struct account *account = &dump->ledger->known.accounts[number];
    const int64_t first = account->sequence > RECENT_MAX ? account->sequence - RECENT_MAX : 0;

    return leg_in(row->value) == account->recent[(first + row->element) % RECENT_MAX];
}

static bool is_alarm(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    (void)number;
    return !dump->ledger->reads_file && number_of(row->value) == FAR_AHEAD_MS + LEDGER_ALARM_MS;
}

static bool is_reminder(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    for (uint32_t i = 0; i < dump->ledger->known.reminder_count; i++) {
        struct reminder *reminder = &dump->ledger->known.reminders[i];

        if (reminder->account == number && reminder->time_ms == number_of(row->value))
            return ++reminder->rings <= reminder->entries;
    }
    return false;
}

static bool is_rate(struct dump *dump, uint32_t number, const sabot_state_row *row)
{
    const struct account *account = &dump->ledger->known.accounts[number];

    return !account->rate_deletes[account->rates - 1] &&
           field_is(row->value, "\"version\":", account->rates);
}

/* --- How many ----------------------------------------------------------------------------------
 */

static uint64_t count_accounts(const struct ledger *ledger)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < ledger->account_count; i++)
        count += ledger->known.accounts[i].sequence > 0;
    return count;
}

/* Has an account set the alarm that never rings? Who began with offsets only knows nothing of what
 * was read before. */
static bool has_last_alarm(const struct ledger *ledger, uint32_t account)
{
    for (uint32_t i = ledger->ordinary; i < ledger->count; i++) {
        const struct transfer *transfer = &ledger->transfers[i];
        const struct marks *marks = &ledger->known.marks[i];
        const int leg = transfer->to == account;

        if ((transfer->from == account || transfer->to == account) && marks->seen[leg] &&
            !marks->alarm[leg])
            return true;
    }
    return false;
}

/* At the end of time all have rung. */
static uint64_t count_alarms(const struct ledger *ledger)
{
    uint64_t count = 0;

    for (uint32_t i = 0; !ledger->reads_file && i < ledger->account_count; i++)
        count += has_last_alarm(ledger, i);
    return count;
}

static uint64_t count_ids(const struct ledger *ledger)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < ledger->account_count; i++)
        count += (uint64_t)ledger->known.accounts[i].sequence;
    return count;
}

static uint64_t count_recent(const struct ledger *ledger)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < ledger->account_count; i++) {
        const int64_t sequence = ledger->known.accounts[i].sequence;

        count += (uint64_t)(sequence < RECENT_MAX ? sequence : RECENT_MAX);
    }
    return count;
}

static uint64_t count_rates(const struct ledger *ledger)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < ledger->account_count; i++) {
        const struct account *account = &ledger->known.accounts[i];

        count += account->rates > 0 && !account->rate_deletes[account->rates - 1];
    }
    return count;
}

/* --- States ------------------------------------------------------------------------------------
 */

static const struct {
    const char *agent, *name;
    row_function check;
    uint64_t (*count)(const struct ledger *ledger); /* NULL: any */
} states[] = {
    {"book", "account", is_account, count_accounts},
    {"book", "sum", is_sum, count_accounts},
    {"book", "ids", is_id, count_ids},
    {"book", "recent", is_recent, count_recent},
    {"book", "alarm", is_alarm, count_alarms},
    {"book", "reminder", is_reminder, NULL},
    {"rates", "row", is_rate, count_rates},
};

enum { STATES = sizeof states / sizeof states[0] };

static int find_state(const sabot_state_info *info)
{
    for (int i = 0; i < STATES; i++) {
        if (strcmp(states[i].agent, info->agent) == 0 && strcmp(states[i].name, info->name) == 0)
            return i;
    }
    return -1;
}

static sabot_status see_row(void *context, const sabot_state_row *row)
{
    struct dump *dump = context;
    const int state = find_state(dump->state);
    const int64_t number = row->key.size < 3 ? -1 : ledger_digits(row->key, 2);

    dump->rows++;
    if (number >= 0 && number < (int64_t)dump->ledger->account_count &&
        states[state].check(dump, (uint32_t)number, row))
        return SABOT_OK;
    return sabot_raise(dump->error, SABOT_ERR_STATE,
                       "the state %s.%s of the last checkpoint has %.*s: %.*s %.*s, which is not "
                       "what was committed",
                       dump->state->agent, dump->state->name, (int)row->key.size, row->key.data,
                       (int)row->entry.size, row->entry.size == 0 ? "" : row->entry.data,
                       (int)row->value.size, row->value.data);
}

static sabot_status check_state(struct ledger *ledger,
                                const sabot_inspection *inspection,
                                size_t index,
                                const sabot_state_info *info,
                                uint32_t *found,
                                sabot_error *error)
{
    struct dump dump = {.ledger = ledger, .state = info, .error = error};
    const int state = find_state(info);

    if (state < 0)
        return SABOT_OK; /* of windows: their own */
    SABOT_TRY(sabot_inspection_rows(inspection, index, NULL, see_row, &dump, error));
    *found |= 1U << state;
    if (states[state].count == NULL || dump.rows == states[state].count(ledger))
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE,
                       "the state %s.%s of the last checkpoint has %" PRIu64 " rows, and %" PRIu64
                       " were committed",
                       info->agent, info->name, dump.rows, states[state].count(ledger));
}

/* Those that have not rung were in the state. */
static sabot_status check_reminders(const struct ledger *ledger, sabot_error *error)
{
    /* When the inputs have ended, those that are not due are dropped. */
    for (uint32_t i = 0; !ledger->reads_file && i < ledger->known.reminder_count; i++) {
        const struct reminder *reminder = &ledger->known.reminders[i];

        if (reminder->rings == 0)
            return sabot_raise(error, SABOT_ERR_STATE,
                               "the reminder of account a%" PRIu32 " at %" PRId64
                               " has not rung, and is not in the state",
                               reminder->account, reminder->time_ms);
    }
    return SABOT_OK;
}

static sabot_status check_states(struct ledger *ledger,
                                 const sabot_inspection *inspection,
                                 sabot_error *error)
{
    sabot_state_info info;
    uint32_t found = 0;

    for (size_t i = 0; sabot_inspection_state(inspection, i, &info); i++)
        SABOT_TRY(check_state(ledger, inspection, i, &info, &found, error));
    for (int i = 0; i < STATES; i++) {
        if ((found & (1U << i)) == 0 && states[i].count != NULL && states[i].count(ledger) > 0)
            return sabot_raise(error, SABOT_ERR_STATE, "the last checkpoint has no state %s.%s",
                               states[i].agent, states[i].name);
    }
    return check_reminders(ledger, error);
}

/* Only those that the committed offsets name count; "sabot1 ID NONCE ...", in hexadecimal. Of a
 * pipeline that reads a file they are of one of its outputs. */
static void hide_others(const struct ledger *ledger, sabot_inspection *inspection)
{
    struct sb_ckpt_entry named[OUTPUTS_MAX + 1] = {{.id = 0}};

    for (uint32_t i = 0; i <= ledger->output_count; i++) {
        const char *topic = i == ledger->output_count ? "transfers" : ledger->outputs[i];
        char mark[128];
        char *end;

        if ((i == ledger->output_count && ledger->reads_file) ||
            !sb_sim_topic_metadata(ledger->sim, topic, mark, sizeof mark))
            continue;
        named[i].id = (int64_t)strtoull(mark + strlen("sabot1 "), &end, 16);
        named[i].nonce = strtoull(end, NULL, 16);
    }
    for (uint32_t i = 0; i < inspection->count; i++) {
        struct sb_inspected *checkpoint = &inspection->checkpoints[i];
        bool is_named = false;

        for (uint32_t at = 0; at <= ledger->output_count; at++)
            is_named = is_named || (checkpoint->entry.id == named[at].id &&
                                    checkpoint->entry.nonce == named[at].nonce);
        if (!is_named)
            checkpoint->info.condition = SABOT_PARTIAL;
    }
}

sabot_status ledger_state_check(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    sabot_inspection *inspection;
    sabot_status status;

    SABOT_TRY(sb_inspection_open(sb_sim_env(sim), "/state", &inspection, error));
    if (!ledger->writes_files) /* else the manifest is the commit */
        hide_others(ledger, inspection);
    status = sabot_inspection_load(inspection, 0, error);
    if (status == SABOT_OK)
        status = check_states(ledger, inspection, error);
    sabot_inspection_close(inspection);
    return status;
}
