/* SPDX-License-Identifier: Apache-2.0 */
/* sessions.c - what each visitor did before going away: a map and a timer per key.
 *
 *   clicks --> sessions, with the pages of each user and a timer --> visits
 *
 * A visit has ended when its user has clicked nothing for half an hour of event time. */
#include <sabot/sabot.h>

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

struct visit {
    sabot_text user;
    int64_t clicks;
    int64_t pages; /* different ones */
    int64_t end_ms;
};
static const sabot_field visit_fields[] = {
    SABOT_FIELD(struct visit, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct visit, clicks, "clicks", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct visit, pages, "pages", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct visit, end_ms, "end", SABOT_TIMESTAMP, SABOT_OPTIONAL),
};
static const sabot_schema visit_schema = SABOT_SCHEMA("visit", 1, struct visit, visit_fields);

struct page { /* the state of one page of one user */
    int64_t clicks;
};
static const sabot_field page_fields[] = {
    SABOT_FIELD(struct page, clicks, "clicks", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema page_schema = SABOT_SCHEMA("page", 1, struct page, page_fields);

enum { GAP_MS = 30 * 60 * 1000 };

struct sessions {
    sabot_map *pages;
    sabot_reducing *last; /* click: its time */
    sabot_timer *silence;
    sabot_output *visits;
};

static sabot_status end_visit(sabot_context *context, int64_t end_ms)
{
    const struct sessions *app = sabot_user(context);
    struct visit visit = {.user = sabot_key(context), .end_ms = end_ms};
    sabot_cursor cursor;
    sabot_bytes page;

    sabot_map_scan(context, app->pages, sabot_text_of(""), &cursor);
    while (sabot_map_next(context, &cursor, NULL, &page)) {
        visit.pages++;
        visit.clicks += ((const struct page *)page.data)->clicks;
    }
    SABOT_TRY(sabot_map_clear(context, app->pages));
    SABOT_TRY(sabot_reducing_clear(context, app->last));
    return sabot_emit(context, app->visits, &visit);
}

static sabot_status on_silence(sabot_context *context, int64_t time_ms)
{
    return end_visit(context, time_ms - GAP_MS);
}

static sabot_status on_click(sabot_context *context, const void *record)
{
    const struct sessions *app = sabot_user(context);
    const struct click *click = record;
    const int64_t *last = sabot_reducing_read(context, app->last);
    struct page *page;

    if (last != NULL && click->time_ms > *last) /* the silence ends later, or has ended */
        SABOT_TRY(sabot_timer_delete(context, app->silence, *last + GAP_MS));
    /* The watermark comes after the records it is made of: this one can be ahead of the timer. */
    if (last != NULL && click->time_ms > *last + GAP_MS)
        SABOT_TRY(end_visit(context, *last));
    page = sabot_map_edit(context, app->pages, click->page);
    if (page == NULL)
        return sabot_context_status(context);
    page->clicks++;
    SABOT_TRY(sabot_reducing_add(context, app->last, &click->time_ms));
    last = sabot_reducing_read(context, app->last);
    return last == NULL ? sabot_context_status(context)
                        : sabot_timer_set(context, app->silence, *last + GAP_MS);
}

static sabot_status build(sabot_app *app)
{
    struct sessions *handles = sabot_app_memory(app, sizeof *handles);
    sabot_channel *clicks = sabot_channel_open(app, "clicks", NULL, &click_schema);
    sabot_channel *visits = sabot_channel_open(app, "visits", NULL, &visit_schema);
    sabot_agent *agent = sabot_agent_create(app, "sessions", clicks, on_click, handles);

    if (handles == NULL)
        return sabot_app_status(app);
    sabot_channel_event_time(clicks, "time");
    sabot_agent_key(agent, "user");
    handles->pages = sabot_agent_map(agent, "pages", &page_schema);
    handles->last = sabot_agent_reducing_int64(agent, "last", SABOT_MAX);
    handles->silence = sabot_agent_timer(agent, "silence", SABOT_EVENT_TIME, on_silence);
    handles->visits = sabot_agent_output(agent, visits);
    return sabot_app_status(app);
}

SABOT_APP(app, "sessions", build);
