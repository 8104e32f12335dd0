/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - the transfers of a seed, and what must hold of what is committed.
 *
 *   each leg of each transfer once; per account the sequence 1, 2, 3 ... and the balance that the
 *   sequence makes; the sum of all amounts nothing after every commit; each alarm once, of an entry
 *   that there is, and at the end all of them; each reminder once, and the others in the state; a
 *   row of the table as it was at some time, never at an earlier one than before.
 *
 * Times are unique, so that an alarm tells which transfer it is of. The last transfers, one for
 * each partition and each account, are far ahead: they push the watermark past all others, and
 * their own alarms never ring. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_model.h"

enum { SWAP = 4 /* transfers come this much out of order */ };

/* --- Input -------------------------------------------------------------------------------------
 */

/* Two accounts to a transfer. */
static uint32_t count_last(const struct ledger *ledger)
{
    const uint32_t pairs = (ledger->account_count + 1) / 2;
    const uint32_t partitions = (uint32_t)ledger->partitions;

    return pairs > partitions ? pairs : partitions;
}

static void draw_transfers(struct ledger *ledger, struct sb_draw *draw)
{
    ledger->ordinary = 20 + sb_draw_wide(draw, TRANSFERS_MAX - LAST_MAX - 20);
    ledger->count = ledger->ordinary + count_last(ledger);
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
            const uint32_t number = i - ledger->ordinary;

            transfer->from = 2 * number % ledger->account_count;
            transfer->to = (transfer->from + 1) % ledger->account_count;
            transfer->time_ms = FAR_AHEAD_MS;
            transfer->partition = (int32_t)number % ledger->partitions;
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

/* Updates of the table: first one for each account, which is there before all else. */
static void draw_rates(struct ledger *ledger, struct sb_draw *draw)
{
    ledger->rate_count =
        ledger->account_count + sb_draw_wide(draw, RATES_MAX - ledger->account_count);
    for (uint32_t i = 0; i < ledger->rate_count; i++) {
        const bool is_first = i < ledger->account_count;
        const uint32_t number = is_first ? i : sb_draw_below(draw, ledger->account_count);
        struct account *account = &ledger->known.accounts[number];

        ledger->rate_accounts[i] = number;
        account->rate_deletes[account->rates++] = !is_first && sb_draw_one_in(draw, 6);
        account->rate = 1;
    }
}

static sabot_status next_rate(void *user, uint32_t index, struct sb_sim_input *input_out)
{
    struct ledger *ledger = user;
    const uint32_t at = ledger->rates_sent;
    const struct account *account;
    uint32_t number = 0;
    int size;

    (void)index;
    if (at == ledger->rate_count)
        return SABOT_END;
    ledger->rates_sent++;
    account = &ledger->known.accounts[ledger->rate_accounts[at]];
    for (uint32_t i = 0; i < at; i++)
        number += ledger->rate_accounts[i] == ledger->rate_accounts[at];
    size = snprintf(ledger->text, sizeof ledger->text,
                    "{\"account\":\"a%" PRIu32 "\",\"version\":%" PRIu32 "}",
                    ledger->rate_accounts[at], number + 1);
    *input_out = (struct sb_sim_input){
        .partition = SB_PARTITION_ANY,
        .key = {ledger->text + strlen("{\"account\":\""), strcspn(ledger->text, ",") - 13},
        .value = {ledger->text, (size_t)size},
        .timestamp_ms = 0,
    };
    if (account->rate_deletes[number])
        input_out->value = (sabot_text){NULL, 0};
    return SABOT_OK;
}

sabot_status ledger_set(struct ledger *ledger, const char *name, int64_t value, sabot_error *error)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return sabot_config_set(ledger->config, SABOT_FROM_OPTION, name, text, error);
}

sabot_status ledger_topic(struct ledger *ledger,
                          struct sb_sim *sim,
                          const char *name,
                          int32_t partitions,
                          sb_sim_next next,
                          sabot_error *error)
{
    char url[SABOT_NAME_MAX + 32];

    if (next == NULL) {
        SB_ASSERT(ledger->output_count < OUTPUTS_MAX);
        ledger->outputs[ledger->output_count++] = name;
    }
    if (next == NULL && ledger->writes_files) {
        (void)snprintf(url, sizeof url, "file:/out/%s", name);
        return sabot_config_bind(ledger->config, name, url, error);
    }
    (void)snprintf(url, sizeof url, "sim:%s", name);
    SABOT_TRY(sb_sim_topic(sim, name, partitions, next, 0, error));
    return sabot_config_bind(ledger->config, name, url, error);
}

/* All transfers as the lines of a file. */
static sabot_status put_transfers(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    struct sb_sim_input input;
    struct sb_buffer lines;

    sb_buffer_init(&lines, ledger->env);
    while (next_transfer(ledger, 0, &input) == SABOT_OK)
        SB_ASSERT(sb_buffer_append(&lines, input.value.data, input.value.size) == SABOT_OK &&
                  sb_buffer_append(&lines, "\n", 1) == SABOT_OK);
    sb_sim_put_file(sim, "/in", "/in/transfers",
                    (sabot_text){(const char *)lines.data, lines.size});
    sb_buffer_reset(&lines);
    sb_sim_ends_by_itself(sim);
    return sabot_config_bind(ledger->config, "transfers", "file:/in/transfers", error);
}

static sabot_status open_transfers(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    if (ledger->reads_file)
        return put_transfers(ledger, sim, error);
    return ledger_topic(ledger, sim, "transfers", ledger->partitions, next_transfer, error);
}

static sabot_status open_topics(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    struct sb_draw *draw = sb_sim_draw(sim);

    SABOT_TRY(open_transfers(ledger, sim, error));
    SABOT_TRY(
        ledger_topic(ledger, sim, "entries", 1 + (int32_t)sb_draw_below(draw, 3), NULL, error));
    SABOT_TRY(
        ledger_topic(ledger, sim, "alarms", 1 + (int32_t)sb_draw_below(draw, 2), NULL, error));
    return ledger_topic(ledger, sim, "reminders", 1, NULL, error);
}

static sabot_status open_parts(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    struct sb_draw *draw = sb_sim_draw(sim);

    if (ledger->at_least_once)
        return SABOT_OK;
    if (!ledger->reads_file && sb_draw_one_in(draw, 3)) {
        draw_rates(ledger, draw);
        SABOT_TRY(ledger_topic(ledger, sim, "rates", 1 + (int32_t)sb_draw_below(draw, 2), next_rate,
                               error));
        SABOT_TRY(sb_sim_topic_begin(sim, "rates", ledger->account_count));
        SABOT_TRY(
            sabot_config_set(ledger->config, SABOT_FROM_OPTION, "ledger.table", "true", error));
    }
    if (sb_draw_one_in(draw, sb_sim_is_busy(sim) ? 8 : 3))
        SABOT_TRY(ledger_windows_open(ledger, sim, WINDOWS_BOOK, error));
    if (ledger->reads_file || ledger->writes_files)
        return SABOT_OK;
    ledger->may_choose = !sb_draw_one_in(draw, 4);
    if (ledger->may_choose)
        return SABOT_OK;
    sb_sim_topic_is_read(sim, "entries");
    return ledger_windows_open(ledger, sim, WINDOWS_STREAM, error);
}

/* Mostly from topics to topics. Without transactions nobody is fenced: only one may run. */
static sabot_status draw_ways(struct ledger *ledger, struct sb_sim *sim, sabot_error *error)
{
    struct sb_draw *draw = sb_sim_draw(sim);
    const uint32_t drawn = sb_draw_below(draw, 9);
    const uint32_t way = sb_sim_is_busy(sim) ? 9 : drawn; /* where there is something to choose */

    ledger->reads_file = way == 0 || way == 1;
    ledger->writes_files = way == 0 || way == 2;
    ledger->at_least_once = way == 3;
    if (ledger->reads_file)
        ledger->partitions = 1;
    if (ledger->writes_files || ledger->at_least_once)
        sb_sim_runs_alone(sim);
    if (ledger->writes_files)
        sb_sim_put_file(sim, "/out", "/out/.made", (sabot_text){"", 0});
    if (!ledger->at_least_once)
        return SABOT_OK;
    SABOT_TRY(sabot_config_set(ledger->config, SABOT_FROM_OPTION, "ledger.exact", "false", error));
    return sabot_config_set(ledger->config, SABOT_FROM_OPTION, "guarantee", "at-least-once", error);
}

static sabot_status open_ledger(void *user, struct sb_sim *sim, sabot_error *error)
{
    struct ledger *ledger = user;
    struct sb_draw *draw = sb_sim_draw(sim);

    ledger->sim = sim;
    ledger->account_count = 2 + sb_draw_below(draw, ACCOUNTS_MAX - 1);
    ledger->partitions = 1 + (int32_t)sb_draw_below(draw, PARTITIONS_MAX);
    SABOT_TRY(draw_ways(ledger, sim, error));
    draw_transfers(ledger, draw);
    SABOT_TRY(open_topics(ledger, sim, error));
    SABOT_TRY(sabot_config_set(ledger->config, SABOT_FROM_OPTION, "state.dir", "/state", error));
    SABOT_TRY(ledger_set(ledger, "batch.rows", 1 + sb_draw_wide(draw, 64), error));
    SABOT_TRY(ledger_set(ledger, "threads", 1 + sb_draw_below(draw, 3), error));
    SABOT_TRY(ledger_set(ledger, "checkpoint.keep", 1 + sb_draw_below(draw, 3), error));
    SABOT_TRY(ledger_set(ledger, "checkpoint.interval_ms", 20 + sb_draw_wide(draw, 2000), error));
    if (sb_draw_one_in(draw, 8))
        SABOT_TRY(
            ledger_set(ledger, "checkpoint.timeout_ms", 50 + sb_draw_below(draw, 500), error));
    /* Each partition has records at the end: none needs to be given up. */
    ledger->never_idle = ledger->writes_files || sb_draw_one_in(draw, 2);
    if (ledger->never_idle)
        SABOT_TRY(ledger_set(ledger, "channels.transfers.idle_after_ms", 0, error));
    return open_parts(ledger, sim, error);
}

/* --- What is committed -------------------------------------------------------------------------
 */

int64_t ledger_digits(sabot_text text, size_t at)
{
    char digits[24] = "";
    size_t size = at < text.size ? text.size - at : 0;

    if (size >= sizeof digits)
        size = sizeof digits - 1;
    if (size > 0)
        memcpy(digits, text.data + at, size); /* a text has no end of its own */
    return strtoll(digits, NULL, 10);
}

bool ledger_number(sabot_text object, const char *name, int64_t *number_out)
{
    const char *at = memmem(object.data, object.size, name, strlen(name));

    if (at == NULL)
        return false;
    *number_out = ledger_digits(object, (size_t)(at - object.data) + strlen(name));
    return true;
}

bool ledger_account(const struct ledger *ledger, sabot_text object, uint32_t *account_out)
{
    int64_t number;

    if (!ledger_number(object, "\"account\":\"a", &number) || number < 0 ||
        number >= (int64_t)ledger->account_count)
        return false;
    *account_out = (uint32_t)number;
    return true;
}

sabot_status ledger_raise(const struct sb_record *record, const char *why, sabot_error *error)
{
    (void)sabot_raise(error, SABOT_ERR_STATE, "%.*s: %s", (int)record->value.size,
                      record->value.data, why);
    return SABOT_ERR_STATE;
}

sabot_status ledger_leg(struct ledger *ledger,
                        const struct sb_record *record,
                        struct transfer **transfer_out,
                        bool *gives_out,
                        sabot_error *error)
{
    struct transfer *transfer;
    int64_t id, amount;
    uint32_t number;

    if (!ledger_number(record->value, "\"id\":", &id) ||
        !ledger_number(record->value, "\"amount\":", &amount) ||
        !ledger_account(ledger, record->value, &number))
        return ledger_raise(record, "no entry", error);
    if (id < 0 || id >= (int64_t)ledger->count)
        return ledger_raise(record, "there is no such transfer", error);
    transfer = &ledger->transfers[id];
    *gives_out = amount > 0;
    *transfer_out = transfer;
    if (number != (*gives_out ? transfer->to : transfer->from) ||
        amount != (*gives_out ? transfer->amount : -transfer->amount))
        return ledger_raise(record, "the transfer is another one", error);
    return SABOT_OK;
}

/* The row that an entry has seen is that of the last one, or of an update behind it. */
static sabot_status see_rate(const struct ledger *ledger,
                             struct account *account,
                             const struct sb_record *record,
                             sabot_error *error)
{
    int64_t rate;
    int64_t at = account->rate;

    if (ledger->rate_count == 0)
        return SABOT_OK;
    if (!ledger_number(record->value, "\"rate\":", &rate))
        return ledger_raise(record, "it has no rate", error);
    if (rate == 0) {
        while (at <= (int64_t)account->rates && !account->rate_deletes[at - 1])
            at++;
    } else if (rate >= at) {
        at = rate;
    } else {
        at = INT64_MAX;
    }
    if (at > (int64_t)account->rates || account->rate_deletes[at - 1] != (rate == 0))
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%.*s: the table had come to update %" PRId64 " of %" PRIu32 " before",
                           (int)record->value.size, record->value.data, account->rate,
                           account->rates);
    account->rate = at;
    return SABOT_OK;
}

/* An unknown one is added; NULL: there are too many. */
static struct reminder *find_reminder(struct ledger *ledger, uint32_t account, int64_t time_ms)
{
    for (uint32_t i = 0; i < ledger->known.reminder_count; i++) {
        struct reminder *reminder = &ledger->known.reminders[i];

        if (reminder->account == account && reminder->time_ms == time_ms)
            return reminder;
    }
    if (ledger->known.reminder_count == REMINDERS_MAX)
        return NULL;
    ledger->known.reminders[ledger->known.reminder_count] =
        (struct reminder){.account = account, .time_ms = time_ms};
    return &ledger->known.reminders[ledger->known.reminder_count++];
}

static sabot_status expect_reminder(struct ledger *ledger,
                                    uint32_t account,
                                    const struct sb_record *record,
                                    sabot_error *error)
{
    struct reminder *reminder;
    int64_t time_ms;

    if (!ledger_number(record->value, "\"remind_ms\":", &time_ms))
        return ledger_raise(record, "no entry", error);
    if (time_ms == 0)
        return SABOT_OK;
    reminder = find_reminder(ledger, account, time_ms);
    if (reminder == NULL)
        return ledger_raise(record, "there can't be so many reminders", error);
    reminder->entries++;
    return SABOT_OK;
}

static sabot_status see_entry(struct ledger *ledger,
                              const struct sb_record *record,
                              sabot_error *error)
{
    int64_t sequence, balance;
    struct transfer *transfer;
    struct account *account;
    uint32_t number;
    bool gives;

    SABOT_TRY(ledger_leg(ledger, record, &transfer, &gives, error));
    if (ledger->at_least_once) {
        ledger_marks(ledger, transfer)->seen[gives] = true;
        return SABOT_OK;
    }
    if (!ledger_number(record->value, "\"sequence\":", &sequence) ||
        !ledger_number(record->value, "\"balance\":", &balance))
        return ledger_raise(record, "no entry", error);
    if (ledger_marks(ledger, transfer)->seen[gives])
        return ledger_raise(record, "it has come twice", error);
    ledger_marks(ledger, transfer)->seen[gives] = true;
    number = gives ? transfer->to : transfer->from;
    account = &ledger->known.accounts[number];
    if (sequence != account->sequence + 1)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%.*s: the sequence of the account has come to %" PRId64 " before",
                           (int)record->value.size, record->value.data, account->sequence);
    account->recent[account->sequence++ % RECENT_MAX] = ledger_leg_id(ledger, transfer, gives);
    account->balance += gives ? transfer->amount : -transfer->amount;
    ledger->known.sum += gives ? transfer->amount : -transfer->amount;
    if (balance != account->balance)
        return sabot_raise(error, SABOT_ERR_STATE, "%.*s: the entries make a balance of %" PRId64,
                           (int)record->value.size, record->value.data, account->balance);
    SABOT_TRY(see_rate(ledger, account, record, error));
    return expect_reminder(ledger, number, record, error);
}

static sabot_status see_reminder(struct ledger *ledger,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    struct reminder *reminder;
    int64_t time_ms;
    uint32_t number;

    if (!ledger_number(record->value, "\"time_ms\":", &time_ms) ||
        !ledger_account(ledger, record->value, &number))
        return ledger_raise(record, "no reminder", error);
    reminder = find_reminder(ledger, number, time_ms);
    if (reminder == NULL || reminder->rings == reminder->entries)
        return ledger_raise(record, "nobody has set this reminder, or it has rung before", error);
    reminder->rings++;
    return SABOT_OK;
}

/* Of the last transfers, which are all of one time: once for an account. */
static sabot_status see_last_alarm(struct ledger *ledger,
                                   uint32_t number,
                                   const struct sb_record *record,
                                   sabot_error *error)
{
    bool is_first = false;

    for (uint32_t i = ledger->ordinary; i < ledger->count; i++) {
        const struct transfer *transfer = &ledger->transfers[i];
        bool *alarm = &ledger->known.marks[i].alarm[transfer->to == number];

        if (transfer->from != number && transfer->to != number)
            continue;
        is_first = is_first || !*alarm;
        *alarm = true;
    }
    return is_first ? SABOT_OK : ledger_raise(record, "it has rung twice", error);
}

static sabot_status see_alarm(struct ledger *ledger,
                              const struct sb_record *record,
                              sabot_error *error)
{
    struct transfer *transfer;
    int64_t time_ms;
    uint32_t number;
    int64_t id;

    if (!ledger_number(record->value, "\"time_ms\":", &time_ms) ||
        !ledger_account(ledger, record->value, &number))
        return ledger_raise(record, "no alarm", error);
    if (ledger->reads_file && time_ms == FAR_AHEAD_MS + LEDGER_ALARM_MS)
        return see_last_alarm(ledger, number, record, error);
    id = (time_ms - LEDGER_ALARM_MS) / STEP_MS;
    if (id < 0 || id >= (int64_t)ledger->ordinary || id * STEP_MS + LEDGER_ALARM_MS != time_ms)
        return ledger_raise(record, "nobody has set this alarm", error);
    transfer = &ledger->transfers[id];
    if (number != transfer->from && number != transfer->to)
        return ledger_raise(record, "it is of another account", error);
    if (ledger_marks(ledger, transfer)->alarm[number == transfer->to] && !ledger->at_least_once)
        return ledger_raise(record, "it has rung twice", error);
    ledger_marks(ledger, transfer)->alarm[number == transfer->to] = true;
    return SABOT_OK;
}

static sabot_status see_record(void *user,
                               const char *topic,
                               const struct sb_record *record,
                               sabot_error *error)
{
    const struct ledger *ledger = user;
    const sabot_status status = ledger_windows_see(user, topic, record, error);

    if (status != SABOT_AGAIN)
        return status;
    if (strcmp(topic, "entries") == 0)
        return see_entry(user, record, error);
    if (strcmp(topic, "reminders") == 0 && ledger->at_least_once)
        return SABOT_OK;
    if (strcmp(topic, "reminders") == 0)
        return see_reminder(user, record, error);
    return see_alarm(user, record, error);
}

/* What the checkpoint has that was just committed. */
static void remember(struct ledger *ledger)
{
    struct past *past = &ledger->past[ledger->past_count % PAST_MAX];
    char mark[128];
    char *end;

    if (!ledger->may_choose || !sb_sim_topic_metadata(ledger->sim, "transfers", mark, sizeof mark))
        return;
    past->checkpoint = strtoll(mark + strlen("sabot1 "), &end, 16);
    past->nonce = strtoull(end, NULL, 16);
    past->process = sb_sim_committer(ledger->sim);
    past->known = ledger->known;
    ledger->past_count++;
}

static sabot_status see_commit(void *user, sabot_error *error)
{
    struct ledger *ledger = user;

    remember(ledger);
    if (ledger->known.sum != 0)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "what is committed adds up to %" PRId64 ": half of a transfer is there",
                           ledger->known.sum);
    return SABOT_OK;
}

/* Has all come that is to come? */
static sabot_status see_all(void *user, sabot_error *error)
{
    struct ledger *ledger = user;

    for (uint32_t i = 0; i < ledger->count; i++) {
        const struct marks *marks = &ledger->known.marks[i];

        for (int leg = 0; leg < 2; leg++) {
            if (!marks->seen[leg])
                return sabot_raise(error, SABOT_ERR_STATE, "transfer %" PRIu32 ": leg %d is lost",
                                   i, leg);
            if ((i < ledger->ordinary || ledger->reads_file) && !marks->alarm[leg])
                return sabot_raise(error, SABOT_ERR_STATE,
                                   "transfer %" PRIu32 ": the alarm of leg %d has not rung", i,
                                   leg);
        }
    }
    return ledger_windows_end(ledger, error);
}

/* By the machine's clock as it is now. */
static sabot_status all_due_have_rung(const struct ledger *ledger, sabot_error *error)
{
    const int64_t now_ms = sb_wall_ms(sb_sim_env(ledger->sim));

    for (uint32_t i = 0; i < ledger->known.reminder_count; i++) {
        const struct reminder *reminder = &ledger->known.reminders[i];

        if (reminder->time_ms < now_ms && reminder->rings == 0)
            return sabot_raise(error, SABOT_ERR_STATE,
                               "the reminder of account a%" PRIu32 " at %" PRId64
                               " has not rung, and it is %" PRId64,
                               reminder->account, reminder->time_ms, now_ms);
    }
    return SABOT_OK;
}

/* Files are looked at in the end. */
static sabot_status is_settled(void *user, sabot_error *error)
{
    const struct ledger *ledger = user;

    if (ledger->writes_files)
        return SABOT_OK;
    SABOT_TRY(see_all(user, error));
    return ledger->reads_file || ledger->at_least_once ? SABOT_OK
                                                       : all_due_have_rung(ledger, error);
}

static sabot_status see_lines(struct ledger *ledger,
                              const char *name,
                              const struct sb_buffer *bytes,
                              sabot_error *error)
{
    const char *at = (const char *)bytes->data;
    size_t left = bytes->size;

    while (left > 0) {
        const char *end = memchr(at, '\n', left);
        struct sb_record record = {.value = {at, left}};

        if (end == NULL)
            return ledger_raise(&record, "the file ends in the midst of a line", error);
        record.value.size = (size_t)(end - at);
        SABOT_TRY(see_record(ledger, name, &record, error));
        left -= record.value.size + 1;
        at = end + 1;
    }
    return SABOT_OK;
}

static sabot_status see_file(struct ledger *ledger, const char *name, sabot_error *error)
{
    const struct sb_env *env = sb_sim_env(ledger->sim);
    struct sb_file_info info;
    struct sb_buffer bytes;
    struct sb_file *file;
    char path[SABOT_NAME_MAX + 8];
    sabot_status status;

    (void)snprintf(path, sizeof path, "/out/%s", name);
    SABOT_TRY(env->type->file_open(env->self, path, SB_OPEN_READ, &file, error));
    sb_buffer_init(&bytes, ledger->env);
    status = env->type->file_info(file, &info, error);
    if (status == SABOT_OK)
        status = sb_buffer_reserve(&bytes, (size_t)info.size + 1);
    if (status == SABOT_OK)
        status = env->type->file_read(file, bytes.data, (size_t)info.size, 0, &bytes.size, error);
    env->type->file_close(env->self, file);
    if (status == SABOT_OK)
        status = see_lines(ledger, name, &bytes, error);
    sb_buffer_reset(&bytes);
    return status;
}

static sabot_status see_end(void *user, struct sb_sim *sim, sabot_error *error)
{
    struct ledger *ledger = user;

    for (uint32_t i = 0; ledger->writes_files && i < ledger->output_count; i++)
        SABOT_TRY(see_file(ledger, ledger->outputs[i], error));
    SABOT_TRY(see_all(user, error));
    if (ledger->at_least_once)
        return SABOT_OK;
    SABOT_TRY(see_commit(user, error));
    return ledger_state_check(user, sim, error);
}

/* Every record that was read is accounted for, partition by partition. */
static sabot_status see_stopped(void *user, sabot_run *run, sabot_error *error)
{
    sabot_account account;
    sabot_run_stats stats;
    uint64_t split = 0;

    (void)user;
    sabot_run_get_stats(run, &stats);
    for (size_t i = 0; sabot_run_account(run, i, &account); i++) {
        if (account.read != account.processed + account.filtered + account.late + account.skipped +
                                account.failed ||
            account.skipped != 0 || account.failed != 0 || account.filtered != 0)
            return sabot_raise(
                error, SABOT_ERR_STATE,
                "%s, partition %d: %s has read %" PRIu64 ", processed %" PRIu64
                ", filtered %" PRIu64 ", %" PRIu64 " late, skipped %" PRIu64 ", failed %" PRIu64,
                account.channel, (int)account.partition, account.agent, account.read,
                account.processed, account.filtered, account.late, account.skipped, account.failed);
        split += strcmp(account.agent, "ledger") == 0 ? 2 * account.processed : 0;
        stats.records_processed -= account.processed;
        stats.records_late -= account.late;
    }
    if (stats.records_processed + stats.records_late == split)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE,
                       "%" PRIu64 " legs were made, and %" PRIu64 " booked, %" PRIu64
                       " of them late",
                       split, stats.records_processed + stats.records_late, stats.records_late);
}

/* --- Where somebody goes on in place of what counts ---------------------------------------------
 */

/* One of the last few that are kept; it may be gone. */
static int64_t draw_checkpoint(const struct ledger *ledger)
{
    const uint32_t count = ledger->past_count < PAST_MAX ? ledger->past_count : PAST_MAX;
    const uint32_t back = sb_draw_below(sb_sim_draw(ledger->sim), count < 3 ? count : 3);

    return ledger->past[(ledger->past_count - 1 - back) % PAST_MAX].checkpoint;
}

/* The last that was committed with this number; NULL: it is not known any more. */
static const struct past *find_past(const struct ledger *ledger, int64_t checkpoint)
{
    const uint32_t count = ledger->past_count < PAST_MAX ? ledger->past_count : PAST_MAX;

    for (uint32_t i = 1; i <= count; i++) {
        const struct past *past = &ledger->past[(ledger->past_count - i) % PAST_MAX];

        if (past->checkpoint == checkpoint)
            return past;
    }
    return NULL;
}

struct others {
    char own[40], prefix[24];
    bool are_there;
};

static sabot_status see_name(void *context, const char *name)
{
    struct others *others = context;

    if (strncmp(name, others->prefix, strlen(others->prefix)) == 0 &&
        strcmp(name, others->own) != 0)
        others->are_there = true;
    return SABOT_OK;
}

/* Is one of the same number there that was never committed? Nobody knows what is in that, and of
 * the two it may be the one that stays. */
static bool is_known(const struct ledger *ledger, int64_t checkpoint)
{
    const struct past *past = find_past(ledger, checkpoint);
    struct others others = {.are_there = false};

    if (past == NULL)
        return false;
    (void)snprintf(others.prefix, sizeof others.prefix, "ckpt-%016" PRIx64 "-",
                   (uint64_t)checkpoint);
    (void)snprintf(others.own, sizeof others.own, "%s%016" PRIx64, others.prefix, past->nonce);
    sb_sim_list(ledger->sim, "/state/ledger/ledger", see_name, &others);
    return !others.are_there;
}

/* Windows are not kept in the past. With offsets only a table does not come again by itself, nor
 * does the time of a partition that has been read. */
static bool may_choose(void *user, enum sb_sim_choice choice, int64_t *which)
{
    const struct ledger *ledger = user;
    const bool has_windows = ledger->windows[WINDOWS_BOOK].kind != 0;

    if (!ledger->may_choose || ledger->past_count == 0)
        return false;
    switch (choice) {
    case SB_SIM_AS_IT_WAS:
    case SB_SIM_ANEW: return true;
    case SB_SIM_FROM_CHECKPOINT:
        if (*which == 0)
            *which = draw_checkpoint(ledger);
        return !has_windows && is_known(ledger, *which);
    case SB_SIM_FROM_SAVEPOINT: return !has_windows && ledger->saved[*which % SAVED_MAX].is_known;
    case SB_SIM_FROM_OFFSETS: break;
    }
    return !has_windows && ledger->rate_count == 0 && !ledger->never_idle;
}

/* It has what was committed with the checkpoint that it was made of; where that is kept no more,
 * nobody goes on from it. */
static void see_saved(void *user, uint32_t number, uint32_t process, int64_t checkpoint)
{
    struct ledger *ledger = user;
    struct saved *saved = &ledger->saved[number % SAVED_MAX];

    for (uint32_t i = 0; i < PAST_MAX && i < ledger->past_count; i++) {
        const struct past *past = &ledger->past[i];

        if (past->checkpoint != checkpoint || past->process != process)
            continue;
        saved->is_known = true;
        saved->known = past->known;
    }
}

/* All comes again. The checkpoints until now are put aside, and their numbers too. */
static void begin_anew(struct ledger *ledger)
{
    struct known *known = &ledger->known;

    ledger->past_count = 0;
    memset(known->marks, 0, sizeof known->marks);
    known->reminder_count = 0;
    for (uint32_t i = 0; i < ledger->account_count; i++) {
        struct account *account = &known->accounts[i];

        account->sequence = 0;
        account->balance = 0;
        account->rate = 1;
    }
    ledger_windows_begin(ledger);
}

/* What was read does not come again, and nothing is known of it. */
static void forget_state(struct ledger *ledger)
{
    struct known *known = &ledger->known;

    for (uint32_t i = 0; i < ledger->count; i++) {
        for (int leg = 0; leg < 2; leg++)
            known->marks[i].alarm[leg] = known->marks[i].alarm[leg] || known->marks[i].seen[leg];
    }
    for (uint32_t i = 0; i < known->reminder_count; i++)
        known->reminders[i].rings = known->reminders[i].entries;
    for (uint32_t i = 0; i < ledger->account_count; i++) {
        known->accounts[i].sequence = 0;
        known->accounts[i].balance = 0;
    }
}

static void see_choice(void *user, enum sb_sim_choice choice, int64_t which)
{
    struct ledger *ledger = user;

    if (choice == SB_SIM_ANEW)
        begin_anew(ledger);
    else if (choice == SB_SIM_FROM_OFFSETS)
        forget_state(ledger);
    else if (choice == SB_SIM_FROM_SAVEPOINT)
        ledger->known = ledger->saved[which % SAVED_MAX].known;
    else if (choice == SB_SIM_FROM_CHECKPOINT && find_past(ledger, which) != NULL)
        ledger->known = find_past(ledger, which)->known;
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
        .may_choose = may_choose,
        .chosen = see_choice,
        .saved = see_saved,
        .settled = is_settled,
        .end = see_end,
    };
}
