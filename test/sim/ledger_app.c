/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_app.c - the app of ledger.h, written as any app is.
 *
 * It looks at itself as well: an account's sum, kept by the engine, is its balance; an id is booked
 * once in an account; what is not so ends the run with SABOT_ERR_SCHEMA, which nothing else does.
 *
 * The options of the app say which parts of it there are (ledger.h).
 */
#include <stdio.h>
#include <string.h>

#include "ledger.h"

enum { REMIND_OF = 8 /* every so manieth transfer */, IDLE_MS = 300 };

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
    int64_t rate;              /* the account's row in the table; 0: it has none */
    int64_t remind_ms;         /* a timer was set for then; 0: none */
};
static const sabot_field entry_fields[] = {
    SABOT_FIELD(struct entry, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, sequence, "sequence", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, balance, "balance", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, rate, "rate", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, remind_ms, "remind_ms", SABOT_INT64, SABOT_OPTIONAL),
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

struct rate {
    sabot_text account;
    int64_t version;
};
static const sabot_field rate_fields[] = {
    SABOT_FIELD(struct rate, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct rate, version, "version", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema rate_schema = SABOT_SCHEMA("rate", 1, struct rate, rate_fields);

/* The result of a window, by the stream's names. */
struct total {
    sabot_text account, firing;
    int64_t start_ms, end_ms, number, count, sum;
};
static const sabot_field total_fields[] = {
    SABOT_FIELD(struct total, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct total, start_ms, "window_start", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, end_ms, "window_end", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, firing, "window_firing", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct total, number, "window_number", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, count, "count", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, sum, "sum", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema total_schema = SABOT_SCHEMA("total", 1, struct total, total_fields);

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
    sabot_timer *reminder;
    sabot_window *windows; /* NULL: there are none */
    sabot_table *rates;    /* likewise */
    sabot_output *legs, *entries, *alarms, *reminders, *totals, *late;
    bool exact; /* nothing comes twice */
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

    if (handles->exact && sabot_map_get(context, handles->ids, text).data != NULL)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "id %s is in the state already", key);
    status = sabot_map_put(context, handles->ids, text, &entry->amount, sizeof entry->amount);
    if (status == SABOT_OK)
        status = sabot_list_append(context, handles->recent, key, (size_t)size);
    if (status == SABOT_OK)
        status = sabot_list_trim(context, handles->recent, LEDGER_RECENT);
    return status;
}

/* The sums of the engine agree with the account's own. */
static sabot_status add_up(sabot_context *context,
                           const struct handles *handles,
                           struct entry *entry)
{
    struct account *account = sabot_value_edit(context, handles->accounts);
    const int64_t *sum;
    sabot_status status;

    if (account == NULL)
        return sabot_context_status(context);
    if (handles->exact && account->sequence > 0 &&
        sabot_watermark_ms(context) < account->watermark_ms)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "the watermark has gone back, from %lld",
                          (long long)account->watermark_ms);
    account->watermark_ms = sabot_watermark_ms(context);
    account->balance += entry->amount;
    entry->sequence = ++account->sequence;
    entry->balance = account->balance;
    status = sabot_reducing_add(context, handles->sums, &entry->amount);
    if (status != SABOT_OK)
        return status;
    sum = sabot_reducing_read(context, handles->sums);
    if (sum == NULL || *sum != entry->balance)
        return sabot_fail(context, SABOT_ERR_SCHEMA, "sum and balance have parted");
    return remember(context, handles, entry);
}

static sabot_status set_timers(sabot_context *context,
                               const struct handles *handles,
                               struct entry *entry)
{
    const sabot_status status =
        sabot_timer_set(context, handles->alarm, entry->time_ms + LEDGER_ALARM_MS);

    if (status != SABOT_OK || entry->id % REMIND_OF != 0)
        return status;
    entry->remind_ms = sabot_processing_time_ms(context) + LEDGER_REMIND_MS;
    return sabot_timer_set(context, handles->reminder, entry->remind_ms);
}

/* An entry that no window takes goes its own way. */
static sabot_status put_into_windows(sabot_context *context,
                                     const struct handles *handles,
                                     const struct entry *entry)
{
    bool is_late = false;
    sabot_status status;

    if (handles->windows == NULL)
        return SABOT_OK;
    status = sabot_window_add(context, handles->windows, entry, &is_late);
    return status == SABOT_OK && is_late ? sabot_emit(context, handles->late, entry) : status;
}

static sabot_status book(sabot_context *context, const void *record)
{
    const struct handles *handles = sabot_user(context);
    const struct entry *leg = record;
    struct entry entry = *leg;
    const struct rate *rate =
        handles->rates == NULL ? NULL : sabot_table_read(context, handles->rates);
    sabot_status status;

    entry.rate = rate == NULL ? 0 : rate->version;
    entry.remind_ms = 0;
    status = add_up(context, handles, &entry);
    if (status == SABOT_OK)
        status = set_timers(context, handles, &entry);
    if (status == SABOT_OK)
        status = put_into_windows(context, handles, leg);
    return status == SABOT_OK ? sabot_emit(context, handles->entries, &entry) : status;
}

static sabot_status ring(sabot_context *context, int64_t time_ms)
{
    const struct handles *handles = sabot_user(context);
    const struct alarm alarm = {.account = sabot_key(context), .time_ms = time_ms};

    return sabot_emit(context, handles->alarms, &alarm);
}

static sabot_status remind(sabot_context *context, int64_t time_ms)
{
    const struct handles *handles = sabot_user(context);
    const struct alarm alarm = {.account = sabot_key(context), .time_ms = time_ms};

    return sabot_emit(context, handles->reminders, &alarm);
}

static sabot_status close_window(sabot_context *context, const sabot_window_result *result)
{
    static const char *const firings[] = {
        [SABOT_EARLY] = "early", [SABOT_ON_TIME] = "on_time", [SABOT_LATE] = "late"};
    const struct handles *handles = sabot_user(context);
    const sabot_window_bounds bounds = sabot_window_result_bounds(result);
    struct total total = {
        .account = sabot_key(context),
        .firing = sabot_text_of(firings[sabot_window_result_firing(result)]),
        .start_ms = bounds.start_ms,
        .end_ms = bounds.end_ms,
        .number = sabot_window_result_number(result),
    };

    if (!sabot_window_result_int64(result, 0, &total.count) ||
        !sabot_window_result_int64(result, 1, &total.sum))
        return sabot_fail(context, SABOT_ERR_SCHEMA, "a window without count or sum");
    return sabot_emit(context, handles->totals, &total);
}

/* --- Building ----------------------------------------------------------------------------------
 */

static const sabot_window_aggregate aggregates[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "count"},
    {.function = SABOT_WINDOW_SUM, .field = "amount", .name = "sum"},
};

/* Options of the same names, behind `part`, say which windows. */
static bool read_windows(sabot_app *app, const char *part, sabot_window_spec *spec)
{
    static const char *const names[] = {"kind", "size", "slide", "lateness"};
    int64_t values[4];

    for (int i = 0; i < 4; i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "%s_%s", part, names[i]);
        values[i] = sabot_app_option_int64(app, name, 0, 0, INT64_MAX / 2, "of the windows");
    }
    *spec = (sabot_window_spec){
        .kind = (sabot_window_kind)values[0],
        .allowed_lateness_ms = values[3],
    };
    if (spec->kind == SABOT_SESSION) {
        spec->gap_ms = values[1];
    } else {
        spec->size_ms = values[1];
        spec->slide_ms = spec->kind == SABOT_SLIDING ? values[2] : 0;
    }
    return values[0] != 0;
}

static sabot_channel *open_channel(sabot_app *app, const char *name, const sabot_schema *schema)
{
    sabot_channel *channel = sabot_channel_open(app, name, NULL, schema);

    sabot_channel_key(channel, "account");
    return channel;
}

/* A pipeline of its own behind the entries: a stream of windows. */
static void build_stream(sabot_app *app, sabot_channel *entries)
{
    sabot_window_spec spec;
    sabot_stream *windows;

    if (!read_windows(app, "stream", &spec))
        return;
    sabot_channel_event_time(entries, "time_ms");
    sabot_channel_idle_after(entries, IDLE_MS);
    windows = sabot_stream_window(sabot_stream_key(sabot_stream_from(entries), "account"), "stream",
                                  &spec);
    sabot_stream_late(windows, open_channel(app, "stream-late", &entry_schema));
    sabot_stream_to(sabot_stream_aggregate(windows, aggregates, 2),
                    open_channel(app, "stream-totals", &total_schema));
}

/* What the bookkeeper may have besides: windows, and a table. */
static void build_parts(sabot_app *app, sabot_agent *bookkeeper, struct handles *handles)
{
    sabot_window_spec spec;

    if (sabot_app_option_bool(app, "table", false, "whether there is a table")) {
        handles->rates = sabot_table_create(app, "rates", open_channel(app, "rates", &rate_schema));
        sabot_agent_table(bookkeeper, handles->rates);
    }
    if (!read_windows(app, "book", &spec))
        return;
    handles->windows =
        sabot_agent_window(bookkeeper, "windows", &spec, aggregates, 2, close_window);
    handles->totals =
        sabot_agent_output(bookkeeper, open_channel(app, "book-totals", &total_schema));
    handles->late = sabot_agent_output(bookkeeper, open_channel(app, "book-late", &entry_schema));
}

static void build_book(sabot_agent *bookkeeper, struct handles *handles)
{
    sabot_agent_key(bookkeeper, "account");
    handles->accounts = sabot_agent_value(bookkeeper, "account", &account_schema);
    handles->sums = sabot_agent_reducing_int64(bookkeeper, "sum", SABOT_SUM);
    handles->ids = sabot_agent_map(bookkeeper, "ids", NULL);
    handles->recent = sabot_agent_list(bookkeeper, "recent", NULL);
    handles->alarm = sabot_agent_timer(bookkeeper, "alarm", SABOT_EVENT_TIME, ring);
    handles->reminder = sabot_agent_timer(bookkeeper, "reminder", SABOT_PROCESSING_TIME, remind);
}

static sabot_status build(sabot_app *app)
{
    struct handles *handles = sabot_app_memory(app, sizeof *handles);
    sabot_channel *transfers = sabot_channel_open(app, "transfers", NULL, &transfer_schema);
    sabot_channel *legs = sabot_channel_open(app, "legs", "memory:", &entry_schema);
    sabot_channel *entries = open_channel(app, "entries", &entry_schema);
    sabot_channel *alarms = open_channel(app, "alarms", &alarm_schema);
    sabot_channel *reminders = open_channel(app, "reminders", &alarm_schema);
    sabot_agent *splitter = sabot_agent_create(app, "ledger", transfers, split, handles);
    sabot_agent *bookkeeper = sabot_agent_create(app, "book", legs, book, handles);

    if (handles == NULL)
        return sabot_app_status(app);
    sabot_channel_event_time(transfers, "time_ms");
    handles->exact = sabot_app_option_bool(app, "exact", true, "whether nothing comes twice");
    build_book(bookkeeper, handles);
    handles->legs = sabot_agent_output(splitter, legs);
    handles->entries = sabot_agent_output(bookkeeper, entries);
    handles->alarms = sabot_agent_output(bookkeeper, alarms);
    handles->reminders = sabot_agent_output(bookkeeper, reminders);
    build_parts(app, bookkeeper, handles);
    build_stream(app, entries);
    return sabot_app_status(app);
}

SABOT_APP(ledger_app, "ledger", build);
