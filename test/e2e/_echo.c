/* SPDX-License-Identifier: Apache-2.0 */
/* _echo.c - the app of the end-to-end tests: each record of `in` goes to `out` as it is, with the
 * number it has among the records of its key. `echo.fail` fails at that id, `echo.log` logs every
 * record. Compiled by _command.py as a user would. */
#include <sabot/sabot.h>

struct item {
    int64_t id, time_ms;
    double amount;
    int32_t small;
    bool flag;
    sabot_text key, note, country, blob;
    int64_t seen;
};

static const sabot_field item_fields[] = {
    SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct item, key, "key", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct item, amount, "amount", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, small, "small", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, note, "note", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, country, "card.country", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, blob, "blob", SABOT_BINARY, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, time_ms, "time_ms", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, seen, "seen", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema item_schema = SABOT_SCHEMA("item", 1, struct item, item_fields);

struct count {
    int64_t records;
};

static const sabot_field count_fields[] = {
    SABOT_FIELD(struct count, records, "records", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema count_schema = SABOT_SCHEMA("count", 1, struct count, count_fields);

struct echo {
    sabot_value *counts;
    sabot_output *out;
    int64_t fail_at;
    bool log;
};

static sabot_status repeat(sabot_context *context, const void *record)
{
    const struct echo *echo = sabot_user(context);
    struct item item = *(const struct item *)record;
    struct count *count = sabot_value_edit(context, echo->counts);

    if (count == NULL)
        return sabot_context_status(context);
    if (echo->log)
        sabot_log(context, SABOT_LOG_INFO, "record %lld", (long long)item.id);
    if (item.id == echo->fail_at)
        return sabot_fail(context, SABOT_ERR_USER, "id %lld is not wanted here",
                          (long long)item.id);
    item.seen = ++count->records;
    return sabot_emit(context, echo->out, &item);
}

static sabot_status build(sabot_app *app)
{
    struct echo *echo = sabot_app_memory(app, sizeof *echo);
    sabot_channel *in = sabot_channel_open(app, "in", NULL, &item_schema);
    sabot_channel *out = sabot_channel_open(app, "out", NULL, &item_schema);
    sabot_agent *agent = sabot_agent_create(app, "repeat", in, repeat, echo);

    sabot_channel_key(in, "key");
    sabot_channel_key(out, "key");
    sabot_agent_key(agent, "key");
    if (echo == NULL)
        return sabot_app_status(app);
    echo->counts = sabot_agent_value(agent, "count", &count_schema);
    echo->out = sabot_agent_output(agent, out);
    echo->fail_at =
        sabot_app_option_int64(app, "fail", -1, -1, INT64_MAX, "Fail at this id; -1: at none.");
    echo->log = sabot_app_option_bool(app, "log", false, "Log every record.");
    return sabot_app_status(app);
}

SABOT_APP(app, "echo", build);

/* What stands where an app should be. */
SABOT_API const int not_an_app = 1;
SABOT_API const sabot_app_entry other_version = {{'S', 'A', 'B', 'O', 'T', 'A', 'P', 'P'},
                                                 SABOT_ABI_VERSION + 1,
                                                 sizeof(sabot_app_entry),
                                                 "echo",
                                                 build};

static sabot_status build_wrongly(sabot_app *app)
{
    (void)sabot_channel_open(app, "in", NULL, &item_schema);
    (void)sabot_channel_open(app, "in", NULL, &item_schema);
    return sabot_app_status(app);
}

SABOT_APP(wrong, "wrong", build_wrongly);
