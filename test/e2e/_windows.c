/* SPDX-License-Identifier: Apache-2.0 */
/* _windows.c - the app of the tests of agents' windows: each record into windows of every make, and
 * a line for each that fires. Compiled by windows.py as a user would; VERSION says what a later
 * version of it has changed:
 *
 *     1   as it is
 *     2   a mean where there was a sum, which are kept alike
 *     3   the sum of another field
 *     4   one aggregate more
 *     5   records are kept no more
 *     6   the gap of visits, which what is kept does not depend on */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sabot/sabot.h>

#ifndef VERSION
#define VERSION 1
#endif

struct item {
    sabot_text user;
    int64_t id;
    int64_t amount;
    int64_t time_ms;
};
static const sabot_field item_fields[] = {
    SABOT_FIELD(struct item, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct item, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct item, time_ms, "time", SABOT_TIMESTAMP, SABOT_REQUIRED),
};
static const sabot_schema item_schema = SABOT_SCHEMA("item", 1, struct item, item_fields);

struct fired {
    sabot_text window;
    sabot_text user;
    int64_t start_ms;
    int64_t end_ms;
    int64_t number;
    int64_t records;
    int64_t total;
    sabot_text ids;
    int64_t kept;
};
static const sabot_field fired_fields[] = {
    SABOT_FIELD(struct fired, window, "window", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, start_ms, "start", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, end_ms, "end", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, number, "number", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, records, "records", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, total, "total", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct fired, ids, "ids", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct fired, kept, "kept", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema fired_schema = SABOT_SCHEMA("fired", 1, struct fired, fired_fields);

enum { MINUTES, VISITS, SLIDES, EARLY, WINDOWS };

struct windows {
    sabot_window *of[WINDOWS];
    sabot_output *output;
};

static sabot_status add(sabot_context *context, const void *record)
{
    const struct windows *windows = sabot_user(context);

    for (int i = 0; i < WINDOWS; i++) {
        const sabot_status status = sabot_window_add(context, windows->of[i], record, NULL);

        if (status != SABOT_OK)
            return status;
    }
    return SABOT_OK;
}

static sabot_status add_id(sabot_context *context, const void *record, int64_t time_ms, void *user)
{
    (void)context;
    (void)time_ms;
    *(int64_t *)user += ((const struct item *)record)->id;
    return SABOT_OK;
}

static sabot_status tell(sabot_context *context,
                         const sabot_window_result *result,
                         const char *window,
                         bool keeps)
{
    const struct windows *windows = sabot_user(context);
    const sabot_window_bounds bounds = sabot_window_result_bounds(result);
    struct fired fired = {
        .window = {window, strlen(window)},
        .user = sabot_key(context),
        .start_ms = bounds.start_ms,
        .end_ms = bounds.end_ms,
        .number = sabot_window_result_number(result),
        .records = sabot_window_result_records(result),
    };

    (void)sabot_window_result_int64(result, 0, &fired.total);
    (void)sabot_window_result_text(result, 1, &fired.ids);
    if (keeps) {
        const sabot_status status = sabot_window_records(context, result, add_id, &fired.kept);

        if (status != SABOT_OK)
            return status;
    }
    return sabot_emit(context, windows->output, &fired);
}

static sabot_status minute(sabot_context *context, const sabot_window_result *result)
{
    return tell(context, result, "minutes", VERSION != 5);
}

static sabot_status visit(sabot_context *context, const sabot_window_result *result)
{
    return tell(context, result, "visits", false);
}

static sabot_status slide(sabot_context *context, const sabot_window_result *result)
{
    return tell(context, result, "slides", false);
}

static sabot_status early(sabot_context *context, const sabot_window_result *result)
{
    return tell(context, result, "early", false);
}

static sabot_status build(sabot_app *app)
{
    static const sabot_window_spec specs[WINDOWS] = {
        [MINUTES] = {.kind = SABOT_TUMBLING, .size_ms = 60000, .keep_records = VERSION != 5},
        [VISITS] = {.kind = SABOT_SESSION, .gap_ms = VERSION == 6 ? 30001 : 30000},
        [SLIDES] = {.kind = SABOT_SLIDING, .size_ms = 60000, .slide_ms = 20000},
        [EARLY] = {.kind = SABOT_TUMBLING, .size_ms = 60000, .early_count = 3},
    };
    static const sabot_window_aggregate of_slides = {
        .function = VERSION == 2 ? SABOT_WINDOW_MEAN : SABOT_WINDOW_SUM,
        .field = VERSION == 3 ? "id" : "amount",
        .name = "total",
    };
    static const sabot_window_aggregate totals[] = {
        {.function = SABOT_WINDOW_SUM, .field = "amount", .name = "total"},
        {.function = SABOT_WINDOW_COLLECT, .field = "id", .name = "ids"},
        {.function = SABOT_WINDOW_COUNT, .name = "count"},
    };
    const size_t more = VERSION == 4;
    sabot_channel *in = sabot_channel_open(app, "in", NULL, &item_schema);
    struct windows *windows = sabot_app_memory(app, sizeof *windows);
    sabot_agent *agent = sabot_agent_create(app, "counter", in, add, windows);

    if (windows == NULL)
        return sabot_app_status(app);
    sabot_channel_event_time(in, "time");
    sabot_channel_lateness(in, 60000);
    sabot_agent_key(agent, "user");
    windows->output =
        sabot_agent_output(agent, sabot_channel_open(app, "out", NULL, &fired_schema));
    windows->of[MINUTES] = sabot_agent_window(agent, "minutes", &specs[MINUTES], totals, 2, minute);
    windows->of[VISITS] =
        sabot_agent_window(agent, "visits", &specs[VISITS], totals, 2 + more, visit);
    windows->of[SLIDES] = sabot_agent_window(agent, "slides", &specs[SLIDES], &of_slides, 1, slide);
    windows->of[EARLY] = sabot_agent_window(agent, "early", &specs[EARLY], totals, 1, early);
    return sabot_app_status(app);
}

SABOT_APP(app, "windows", build);
