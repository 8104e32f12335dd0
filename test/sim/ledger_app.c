/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_app.c - the app of ledger.h, written as any app is.
 *
 * It looks at itself as well: an account's sum, kept by the engine, is its balance; an id is booked
 * once in an account; what is not so ends the run with SABOT_ERR_SCHEMA, which nothing else does.
 */
#include <stdio.h>
#include <string.h>

#include <sabot/sabot.h>

enum { ALARM_AFTER_MS = 50, RECENT_MAX = 4 };

struct transfer {
    int64_t id, amount, time_ms;
    sabot_text from, to;
};
static const sabot_field transfer_fields[] = {
    SABOT_FIELD(struct transfer, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, from, "from", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, to, "to", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema transfer_schema =
    SABOT_SCHEMA("transfer", 1, struct transfer, transfer_fields);

struct entry {
    int64_t id, amount, time_ms;
    sabot_text account;
    int64_t sequence, balance; /* of the account, with this entry */
};
static const sabot_field entry_fields[] = {
    SABOT_FIELD(struct entry, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, sequence, "sequence", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, balance, "balance", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema entry_schema = SABOT_SCHEMA("entry", 1, struct entry, entry_fields);

struct alarm {
    sabot_text account;
    int64_t time_ms;
};
static const sabot_field alarm_fields[] = {
    SABOT_FIELD(struct alarm, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alarm, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema alarm_schema = SABOT_SCHEMA("alarm", 1, struct alarm, alarm_fields);

struct account {
    int64_t sequence, balance;
    int64_t watermark_ms; /* as the last entry saw it: it never goes back, whatever happens */
};
static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, sequence, "sequence", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, balance, "balance", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, watermark_ms, "watermark_ms", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema account_schema =
    SABOT_SCHEMA("account", 1, struct account, account_fields);

struct handles {
    sabot_value *accounts;
    sabot_reducing *sums;
    sabot_map *ids;
    sabot_list *recent;
    sabot_timer *alarm;
    sabot_output *legs, *entries, *alarms;
};

static sabot_status split(sabot_context *context, const void *record)
{
    const struct handles *handles = sabot_user(context);
    const struct transfer *transfer = record;
    struct entry leg = {.id = transfer->id, .time_ms = transfer->time_ms};
    sabot_status status;

    leg.account = transfer->from;
    leg.amount = -transfer->amount;
    status = sabot_emit(context, handles->legs, &leg);
    if (status != SABOT_OK)
        return status;
    leg.account = transfer->to;
    leg.amount = transfer->amount;
    return sabot_emit(context, handles->legs, &leg);
}

/* The ids of the last few entries, of which none may come again. */
static sabot_status remember(sabot_context *context,
                             const struct handles *handles,
                             const struct entry *entry)
{
    char key[40];
    const int size =
        snprintf(key, sizeof key, "%lld%c", (long long)entry->id, entry->amount < 0 ? '-' : '+');
    const sabot_text text = {key, (size_t)size};
    sabot_status status;

    if (sabot_map_get(context, handles->ids, text).data != NULL)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "id %s is in the state already", key);
    status = sabot_map_put(context, handles->ids, text, &entry->amount, sizeof entry->amount);
    if (status == SABOT_OK)
        status = sabot_list_append(context, handles->recent, key, (size_t)size);
    if (status == SABOT_OK)
        status = sabot_list_trim(context, handles->recent, RECENT_MAX);
    return status;
}

static sabot_status book(sabot_context *context, const void *record)
{
    const struct handles *handles = sabot_user(context);
    struct entry entry = *(const struct entry *)record;
    struct account *account = sabot_value_edit(context, handles->accounts);
    const int64_t *sum;
    sabot_status status;

    if (account == NULL)
        return sabot_context_status(context);
    if (account->sequence > 0 && sabot_watermark_ms(context) < account->watermark_ms)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "the watermark has gone back, from %lld",
                          (long long)account->watermark_ms);
    account->watermark_ms = sabot_watermark_ms(context);
    account->balance += entry.amount;
    entry.sequence = ++account->sequence;
    entry.balance = account->balance;
    status = sabot_reducing_add(context, handles->sums, &entry.amount);
    if (status != SABOT_OK)
        return status;
    sum = sabot_reducing_read(context, handles->sums);
    if (sum == NULL || *sum != entry.balance)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "sum and balance have parted");
    status = remember(context, handles, &entry);
    if (status == SABOT_OK)
        status = sabot_timer_set(context, handles->alarm, entry.time_ms + ALARM_AFTER_MS);
    return status == SABOT_OK ? sabot_emit(context, handles->entries, &entry) : status;
}

static sabot_status ring(sabot_context *context, int64_t time_ms)
{
    const struct handles *handles = sabot_user(context);
    const struct alarm alarm = {.account = sabot_key(context), .time_ms = time_ms};

    return sabot_emit(context, handles->alarms, &alarm);
}

static sabot_status build(sabot_app *app)
{
    struct handles *handles = sabot_app_memory(app, sizeof *handles);
    sabot_channel *transfers = sabot_channel_open(app, "transfers", NULL, &transfer_schema);
    sabot_channel *legs = sabot_channel_open(app, "legs", "memory:", &entry_schema);
    sabot_channel *entries = sabot_channel_open(app, "entries", NULL, &entry_schema);
    sabot_channel *alarms = sabot_channel_open(app, "alarms", NULL, &alarm_schema);
    sabot_agent *splitter = sabot_agent_create(app, "ledger", transfers, split, handles);
    sabot_agent *bookkeeper = sabot_agent_create(app, "book", legs, book, handles);

    if (handles == NULL)
        return sabot_app_status(app);
    sabot_channel_event_time(transfers, "time_ms");
    sabot_channel_key(entries, "account");
    sabot_channel_key(alarms, "account");
    sabot_agent_key(bookkeeper, "account");
    handles->accounts = sabot_agent_value(bookkeeper, "account", &account_schema);
    handles->sums = sabot_agent_reducing_int64(bookkeeper, "sum", SABOT_SUM);
    handles->ids = sabot_agent_map(bookkeeper, "ids", NULL);
    handles->recent = sabot_agent_list(bookkeeper, "recent", NULL);
    handles->alarm = sabot_agent_timer(bookkeeper, "alarm", SABOT_EVENT_TIME, ring);
    handles->legs = sabot_agent_output(splitter, legs);
    handles->entries = sabot_agent_output(bookkeeper, entries);
    handles->alarms = sabot_agent_output(bookkeeper, alarms);
    return sabot_app_status(app);
}

SABOT_APP(ledger_app, "ledger", build);
