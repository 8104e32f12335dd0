/* SPDX-License-Identifier: Apache-2.0 */
/* clicks.c - what visitors do, by windows of event time: two streams over one channel.
 *
 *   clicks --by user--> minutes, of one minute ------------> minutes
 *      |                   +- too late for any minute -----> late-clicks
 *      +------by user--> visits, until half an hour of quiet -> visits
 *
 * Clicks come out of order: one that is up to five seconds older than the newest is on time. A
 * minute that has fired is told again for each click that still comes within ten more seconds; the
 * highest window_number is the last word on it. docs/clicks.md runs it. */
#include <sabot/sabot.h>

enum { MINUTE_MS = 60 * 1000, HALF_AN_HOUR_MS = 30 * MINUTE_MS };

struct click {
    sabot_text user;
    sabot_text page;
    int64_t time_ms;
};
static const sabot_field click_fields[] = {
    SABOT_FIELD(struct click, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct click, page, "page", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct click, time_ms, "time", SABOT_TIMESTAMP, SABOT_REQUIRED),
};
static const sabot_schema click_schema = SABOT_SCHEMA("click", 1, struct click, click_fields);

/* --- Minutes -------------------------------------------------------------------------------------
 */

struct minute {
    sabot_text user;
    int64_t start_ms;
    int64_t end_ms;
    int64_t clicks;
    int64_t pages; /* different ones */
    sabot_text firing;
    int64_t number;
};
static const sabot_field minute_fields[] = {
    SABOT_FIELD(struct minute, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, start_ms, "window_start", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, end_ms, "window_end", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, clicks, "clicks", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, pages, "pages", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, firing, "window_firing", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct minute, number, "window_number", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema minute_schema = SABOT_SCHEMA("minute", 1, struct minute, minute_fields);

static const sabot_window_spec one_minute = {
    .kind = SABOT_TUMBLING,
    .size_ms = MINUTE_MS,
    .allowed_lateness_ms = 10000,
};
static const sabot_window_aggregate of_a_minute[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
    {.function = SABOT_WINDOW_COUNT_DISTINCT, .field = "page", .name = "pages"},
};

/* --- Visits --------------------------------------------------------------------------------------
 */

struct visit {
    sabot_text user;
    int64_t start_ms;
    int64_t end_ms; /* half an hour after the last click */
    int64_t clicks;
    sabot_text first_page;
    sabot_text last_page;
};
static const sabot_field visit_fields[] = {
    SABOT_FIELD(struct visit, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct visit, start_ms, "window_start", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct visit, end_ms, "window_end", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct visit, clicks, "clicks", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct visit, first_page, "first_page", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct visit, last_page, "last_page", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_schema visit_schema = SABOT_SCHEMA("visit", 1, struct visit, visit_fields);

static const sabot_window_spec until_half_an_hour_of_quiet = {
    .kind = SABOT_SESSION,
    .gap_ms = HALF_AN_HOUR_MS,
};
static const sabot_window_aggregate of_a_visit[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
    {.function = SABOT_WINDOW_FIRST, .field = "page", .name = "first_page"},
    {.function = SABOT_WINDOW_LAST, .field = "page", .name = "last_page"},
};

/* --- The app -------------------------------------------------------------------------------------
 */

static sabot_status build(sabot_app *app)
{
    sabot_channel *clicks = sabot_channel_open(app, "clicks", NULL, &click_schema);
    sabot_channel *minutes = sabot_channel_open(app, "minutes", NULL, &minute_schema);
    sabot_channel *visits = sabot_channel_open(app, "visits", NULL, &visit_schema);
    sabot_channel *late = sabot_channel_open(app, "late-clicks", NULL, &click_schema);
    sabot_stream *by_user = sabot_stream_key(sabot_stream_from(clicks), "user");
    sabot_stream *per_minute = sabot_stream_window(by_user, "minutes", &one_minute);
    sabot_stream *per_visit = sabot_stream_window(by_user, "visits", &until_half_an_hour_of_quiet);

    sabot_channel_event_time(clicks, "time");
    sabot_channel_lateness(clicks, 5000);
    sabot_channel_key(clicks, "user");
    sabot_channel_key(minutes, "user");
    sabot_channel_key(visits, "user");
    sabot_channel_key(late, "user");
    sabot_stream_to(sabot_stream_aggregate(per_minute, of_a_minute, 2), minutes);
    sabot_stream_late(per_minute, late);
    sabot_stream_to(sabot_stream_aggregate(per_visit, of_a_visit, 3), visits);
    return sabot_app_status(app);
}

SABOT_APP(app, "clicks", build);
