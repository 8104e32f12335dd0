/* SPDX-License-Identifier: Apache-2.0 */
/* _versions.c - an app in several versions, for savepoints that go from one to another. Each record
 * of `in` goes to `out` with what is known of its key. VERSION is
 *
 *     1  the first one                      5  the state `list` is gone
 *     2  a field of `tally` was added       6  the agent `watch` is gone, and with it its output
 *     3  a field of it was removed          7  the keys are numbers
 *     4  a field of it has another type     8  a field was added, and the version was not raised
 *     9  a pipeline was added: the agent `second`, from `more` to `second-out` */
#include <sabot/sabot.h>

#ifndef VERSION
#define VERSION 1
#endif

struct item {
    int64_t id;
    sabot_text key;
    int64_t number, seen, total, bonus, listed, mapped, fired;
};

static const sabot_field item_fields[] = {
    SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct item, key, "key", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct item, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, seen, "seen", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, total, "total", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, bonus, "bonus", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, listed, "listed", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, mapped, "mapped", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct item, fired, "fired", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema item_schema = SABOT_SCHEMA("item", 1, struct item, item_fields);

struct tally {
#if VERSION == 4
    double seen;
#else
    int64_t seen;
#endif
#if VERSION != 3
    int64_t total;
#endif
#if VERSION == 2 || VERSION == 8
    int64_t bonus;
#endif
};

static const sabot_field tally_fields[] = {
#if VERSION == 4
    SABOT_FIELD(struct tally, seen, "seen", SABOT_FLOAT64, SABOT_OPTIONAL),
#else
    SABOT_FIELD(struct tally, seen, "seen", SABOT_INT64, SABOT_OPTIONAL),
#endif
#if VERSION != 3
    SABOT_FIELD(struct tally, total, "total", SABOT_INT64, SABOT_OPTIONAL),
#endif
#if VERSION == 2 || VERSION == 8
    SABOT_FIELD_DEFAULT(struct tally, bonus, "bonus", SABOT_INT64, "7"),
#endif
};

#if VERSION >= 2 && VERSION <= 4
static const sabot_schema tally_schema = SABOT_SCHEMA("tally", VERSION, struct tally, tally_fields);
#else
static const sabot_schema tally_schema = SABOT_SCHEMA("tally", 1, struct tally, tally_fields);
#endif

struct counter {
    int64_t count;
};

static const sabot_field counter_fields[] = {
    SABOT_FIELD(struct counter, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema counter_schema =
    SABOT_SCHEMA("counter", 1, struct counter, counter_fields);

struct versions {
    sabot_value *tally;
    sabot_list *list;
    sabot_map *map;
    sabot_timer *timer;
    sabot_value *watched;
    sabot_output *out;
    sabot_output *watching;
    sabot_value *seconds;
    sabot_output *second_out;
};

static const int64_t FIRST_TIME_MS = 4000000000000; /* far from any record's */

static sabot_status count(sabot_context *context, const void *record)
{
    const struct versions *versions = sabot_user(context);
    struct item item = *(const struct item *)record;
    struct tally *tally = sabot_value_edit(context, versions->tally);
    const char name[] = {(char)('a' + item.id % 5), '\0'};
    struct counter *entry;

    if (tally == NULL)
        return sabot_context_status(context);
    tally->seen += 1;
    item.seen = (int64_t)tally->seen;
#if VERSION != 3
    item.total = tally->total += item.id;
#endif
#if VERSION == 2 || VERSION == 8
    item.bonus = tally->bonus;
#endif
#if VERSION != 5
    if (sabot_list_append(context, versions->list, &item.id, sizeof item.id) != SABOT_OK)
        return sabot_context_status(context);
    item.listed = (int64_t)sabot_list_count(context, versions->list);
#endif
    entry = sabot_map_edit(context, versions->map, sabot_text_of(name));
    if (entry == NULL)
        return sabot_context_status(context);
    item.mapped = ++entry->count;
    if (sabot_timer_set(context, versions->timer, FIRST_TIME_MS + item.id) != SABOT_OK)
        return sabot_context_status(context);
    return sabot_emit(context, versions->out, &item);
}

/* When the inputs have ended: one for each record. */
static sabot_status fire(sabot_context *context, int64_t time_ms)
{
    const struct versions *versions = sabot_user(context);
    const struct item item = {
        .id = time_ms - FIRST_TIME_MS, .key = sabot_text_of("timer"), .fired = 1};

    return sabot_emit(context, versions->out, &item);
}

#if VERSION != 6
static sabot_status watch(sabot_context *context, const void *record)
{
    const struct versions *versions = sabot_user(context);
    struct item item = *(const struct item *)record;
    struct counter *counter = sabot_value_edit(context, versions->watched);

    if (counter == NULL)
        return sabot_context_status(context);
    item.seen = ++counter->count;
    return sabot_emit(context, versions->watching, &item);
}
#endif

#if VERSION == 9
static sabot_status second(sabot_context *context, const void *record)
{
    const struct versions *versions = sabot_user(context);
    struct item item = *(const struct item *)record;
    struct counter *counter = sabot_value_edit(context, versions->seconds);

    if (counter == NULL)
        return sabot_context_status(context);
    item.seen = ++counter->count;
    return sabot_emit(context, versions->second_out, &item);
}

static void build_second(sabot_app *app, struct versions *versions)
{
    sabot_channel *more = sabot_channel_open(app, "more", NULL, &item_schema);
    sabot_channel *out = sabot_channel_open(app, "second-out", NULL, &item_schema);
    sabot_agent *agent = sabot_agent_create(app, "second", more, second, versions);

    sabot_agent_key(agent, "key");
    versions->seconds = sabot_agent_value(agent, "seconds", &counter_schema);
    versions->second_out = sabot_agent_output(agent, out);
}
#endif

static void build_count(sabot_app *app, sabot_channel *in, struct versions *versions)
{
    sabot_channel *out = sabot_channel_open(app, "out", NULL, &item_schema);
    sabot_agent *agent = sabot_agent_create(app, "count", in, count, versions);

    sabot_agent_key(agent, VERSION == 7 ? "number" : "key");
    versions->tally = sabot_agent_value(agent, "tally", &tally_schema);
#if VERSION != 5
    versions->list = sabot_agent_list(agent, "list", NULL);
#endif
    versions->map = sabot_agent_map(agent, "map", &counter_schema);
    versions->timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, fire);
    versions->out = sabot_agent_output(agent, out);
}

static sabot_status build(sabot_app *app)
{
    struct versions *versions = sabot_app_memory(app, sizeof *versions);
    sabot_channel *in = sabot_channel_open(app, "in", NULL, &item_schema);

    if (versions == NULL)
        return sabot_app_status(app);
    build_count(app, in, versions);
#if VERSION != 6
    {
        sabot_channel *watched = sabot_channel_open(app, "watched", NULL, &item_schema);
        sabot_agent *agent = sabot_agent_create(app, "watch", in, watch, versions);

        sabot_agent_key(agent, "key");
        versions->watched = sabot_agent_value(agent, "watched", &counter_schema);
        versions->watching = sabot_agent_output(agent, watched);
    }
#endif
#if VERSION == 9
    build_second(app, versions);
#endif
    return sabot_app_status(app);
}

SABOT_APP(app, "versions", build);
