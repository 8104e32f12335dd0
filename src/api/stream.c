/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - the public calls that declare streams, and their steps made agents.
 *
 * A handle that a failed call did not make is NULL; calls take it and do nothing, for the app has
 * failed then. */
#include "api/stream.h"

#include "api/app_parts.h"

enum stream_kind {
    STREAM_RECORDS, /* of a channel; with a key, if it has one */
    STREAM_WINDOWS,
    STREAM_RESULTS, /* of windows */
};

struct sabot_stream {
    sabot_app *app;
    enum stream_kind kind;
    sabot_channel *channel;          /* that it comes from */
    int32_t key_field;               /* of its schema, or SB_NO_FIELD */
    struct sb_stream_window *window; /* windows, results */
};

/* --- Declaring -----------------------------------------------------------------------------------
 */

static bool failed(const sabot_stream *stream)
{
    return stream == NULL || sb_app_failed(stream->app);
}

/* What it is called in errors. */
static const char *name_of(const sabot_stream *stream)
{
    return stream->window == NULL ? stream->channel->name : stream->window->agent->name;
}

/* A stream that goes on from this one. NULL: the app has failed. */
static sabot_stream *go_on(const sabot_stream *from, enum stream_kind kind)
{
    sabot_stream *stream = sb_app_alloc(from->app, sizeof *stream);

    if (stream == NULL)
        return NULL;
    *stream = *from;
    stream->kind = kind;
    return stream;
}

/* Is it of the kind that `call` takes? Otherwise the app fails. */
static bool check_kind(const sabot_stream *stream, enum stream_kind kind, const char *call)
{
    static const char *const kinds[] = {
        [STREAM_RECORDS] = "records",
        [STREAM_WINDOWS] = "windows",
        [STREAM_RESULTS] = "results of windows",
    };

    if (stream->kind == kind)
        return true;
    (void)sabot_app_fail(stream->app, SABOT_ERR_ARGUMENT, "stream %s: %s takes %s, these are %s",
                         name_of(stream), call, kinds[kind], kinds[stream->kind]);
    return false;
}

sabot_stream *sabot_stream_from(sabot_channel *channel)
{
    sabot_stream *stream;

    if (channel == NULL || sb_app_failed(channel->app))
        return NULL;
    stream = sb_app_alloc(channel->app, sizeof *stream);
    if (stream != NULL)
        *stream = (sabot_stream){
            .app = channel->app,
            .kind = STREAM_RECORDS,
            .channel = channel,
            .key_field = SB_NO_FIELD,
        };
    return stream;
}

sabot_stream *sabot_stream_key(sabot_stream *stream, const char *path)
{
    sabot_stream *keyed;

    if (failed(stream) || !check_kind(stream, STREAM_RECORDS, "sabot_stream_key()"))
        return NULL;
    keyed = go_on(stream, STREAM_RECORDS);
    if (keyed != NULL)
        keyed->key_field = sb_app_field(stream->app, stream->channel->schema, "key of stream",
                                        stream->channel->name, path, ~(1u << SABOT_FLOAT64));
    return keyed;
}

sabot_stream *sabot_stream_window(sabot_stream *stream,
                                  const char *name,
                                  const sabot_window_spec *spec)
{
    struct sb_stream_window *window;
    sabot_stream *windows;

    if (failed(stream) || !check_kind(stream, STREAM_RECORDS, "sabot_stream_window()"))
        return NULL;
    windows = go_on(stream, STREAM_WINDOWS);
    window = sb_app_alloc(stream->app, sizeof *window);
    if (sb_app_failed(stream->app))
        return NULL;
    window->agent = sb_app_agent(stream->app, "window", name, stream->channel, NULL, NULL);
    if (window->agent == NULL)
        return NULL;
    if (spec == NULL)
        (void)sabot_app_fail(stream->app, SABOT_ERR_ARGUMENT, "window %s has no spec", name);
    else if (stream->key_field == SB_NO_FIELD)
        (void)sabot_app_fail(stream->app, SABOT_ERR_STATE,
                             "window %s has no key: see sabot_stream_key()", name);
    else
        window->spec = *spec;
    window->agent->key_field = stream->key_field;
    window->agent->window = window;
    windows->window = window;
    return sb_app_failed(stream->app) ? NULL : windows;
}

/* The channel that a window's records go to. */
static bool check_channel(const sabot_stream *stream,
                          const sabot_channel *channel,
                          const sabot_channel *taken,
                          const char *what)
{
    const char *name = name_of(stream);

    if (channel == NULL || channel->app != stream->app)
        (void)sabot_app_fail(stream->app, SABOT_ERR_ARGUMENT,
                             "window %s: its %s go to no channel of this app", name, what);
    else if (taken != NULL)
        (void)sabot_app_fail(stream->app, SABOT_ERR_EXISTS,
                             "window %s: its %s go to %s already, and can't go to %s as well", name,
                             what, taken->name, channel->name);
    return !sb_app_failed(stream->app);
}

void sabot_stream_late(sabot_stream *windows, sabot_channel *channel)
{
    if (failed(windows) || !check_kind(windows, STREAM_WINDOWS, "sabot_stream_late()") ||
        !check_channel(windows, channel, windows->window->late, "late records"))
        return;
    windows->window->late = channel;
}

sabot_stream *sabot_stream_aggregate(sabot_stream *windows,
                                     const sabot_window_aggregate *aggregates,
                                     size_t aggregate_count)
{
    struct sb_stream_window *window;
    sabot_window_aggregate *copy;

    if (failed(windows) || !check_kind(windows, STREAM_WINDOWS, "sabot_stream_aggregate()"))
        return NULL;
    window = windows->window;
    if (window->aggregates != NULL) {
        (void)sabot_app_fail(windows->app, SABOT_ERR_EXISTS, "window %s is aggregated twice",
                             name_of(windows));
        return NULL;
    }
    if (aggregates == NULL || aggregate_count == 0 ||
        aggregate_count > SABOT_WINDOW_AGGREGATES_MAX) {
        (void)sabot_app_fail(windows->app, SABOT_ERR_ARGUMENT,
                             "window %s: %zu aggregates: 1 to %d of them", name_of(windows),
                             aggregates == NULL ? 0 : aggregate_count, SABOT_WINDOW_AGGREGATES_MAX);
        return NULL;
    }
    copy = sb_app_alloc(windows->app, aggregate_count * sizeof *copy);
    if (copy == NULL)
        return NULL;
    memcpy(copy, aggregates, aggregate_count * sizeof *copy);
    window->aggregates = copy;
    window->aggregate_count = (uint32_t)aggregate_count;
    return go_on(windows, STREAM_RESULTS);
}

void sabot_stream_to(sabot_stream *stream, sabot_channel *channel)
{
    if (failed(stream) || !check_kind(stream, STREAM_RESULTS, "sabot_stream_to()") ||
        !check_channel(stream, channel, stream->window->results, "results"))
        return;
    stream->window->results = channel;
}

/* --- Compiling -----------------------------------------------------------------------------------
 */

static bool check_whole(sabot_app *app, const struct sb_stream_window *window)
{
    const char *name = window->agent->name;

    if (window->aggregates == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_STATE,
                             "window %s makes nothing: see sabot_stream_aggregate()", name);
    else if (window->results == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_STATE,
                             "window %s: its results go nowhere: see sabot_stream_to()", name);
    return !sb_app_failed(app);
}

static void compile(sabot_app *app, struct sb_stream_window *window)
{
    sabot_agent *agent = window->agent;
    const struct sb_window_config config = {
        .env = app->env,
        .name = agent->name,
        .spec = &window->spec,
        .aggregates = window->aggregates,
        .aggregate_count = window->aggregate_count,
        .input = agent->channel->schema,
        .key_field = agent->key_field,
        .output = window->results->schema,
        .late = window->late == NULL ? NULL : window->late->schema,
        .prefix = "",
    };
    const struct sb_state_spec *states;
    sabot_error error;

    if (sb_window_plan_create(&config, &window->plan, &error) != SABOT_OK) {
        (void)sabot_app_fail(app, error.status, "window %s", error.text);
        return;
    }
    states = sb_window_plan_states(window->plan, &agent->state_count);
    SB_ASSERT(agent->state_count <= SB_STATES_MAX);
    for (uint32_t i = 0; i < agent->state_count; i++)
        agent->states[i] = states[i];
    agent->outputs[agent->output_count++] = window->results;
    if (window->late != NULL)
        agent->outputs[agent->output_count++] = window->late;
}

void sb_app_compile_streams(sabot_app *app)
{
    for (uint32_t i = 0; !sb_app_failed(app) && i < app->agent_count; i++) {
        struct sb_stream_window *window = app->agents[i]->window;

        if (window != NULL && check_whole(app, window))
            compile(app, window);
    }
}

void sb_app_drop_streams(const sabot_app *app)
{
    for (uint32_t i = 0; i < app->agent_count; i++) {
        if (app->agents[i]->window != NULL)
            sb_window_plan_destroy(app->agents[i]->window->plan);
    }
}
