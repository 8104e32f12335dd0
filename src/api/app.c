/* SPDX-License-Identifier: Apache-2.0 */
/* app.c - building an app: the public calls that declare channels, agents and options
 * (app_state.c: their state).
 *
 * The first error sticks to the app and makes every later call do nothing, so that a build function
 * needs no checks. A handle that a failed call did not make is NULL; calls take it and do nothing.
 */
#include "api/app_parts.h"
#include "api/stream.h"

#include <stdio.h>

static const char BROKER_SCHEME[] = "kafka://";

/* --- Errors --------------------------------------------------------------------------------------
 */

bool sb_app_failed(const sabot_app *app)
{
    return app == NULL || app->error.status != SABOT_OK;
}

sabot_status sabot_app_status(const sabot_app *app)
{
    return app == NULL ? SABOT_ERR_ARGUMENT : app->error.status;
}

sabot_status sabot_app_fail(sabot_app *app, sabot_status status, const char *format, ...)
{
    va_list arguments;

    if (sb_app_failed(app))
        return sabot_app_status(app);
    if (status == SABOT_OK || status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    va_start(arguments, format);
    status = sabot_raise_list(&app->error, status, format, arguments);
    va_end(arguments);
    return status;
}

void *sb_app_alloc(sabot_app *app, size_t size)
{
    void *memory = sb_arena_alloc(&app->arena, size);

    if (memory == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_MEMORY, "no memory for %zu bytes", size);
    return memory;
}

void *sabot_app_memory(sabot_app *app, size_t size)
{
    return sb_app_failed(app) ? NULL : sb_app_alloc(app, size);
}

void sabot_app_invariant(sabot_app *app, sabot_invariant_function function, void *user)
{
    if (sb_app_failed(app))
        return;
    if (app->invariant != NULL || function == NULL) {
        (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT, "an app has one invariant, and a function");
        return;
    }
    app->invariant = function;
    app->invariant_user = user;
}

const char *sb_app_copy(sabot_app *app, const char *text)
{
    char *copy = sb_arena_copy(&app->arena, text, strlen(text));

    if (copy == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_MEMORY, "no memory for %s", text);
    return copy;
}

/* Names go into URLs, metrics and files: [A-Za-z0-9._-]+, but not "." and "..". */
static bool is_name(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t size;

    if (name == NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    size = strlen(name);
    return size > 0 && size <= SABOT_NAME_MAX && strspn(name, allowed) == size;
}

bool sb_app_check_name(sabot_app *app, const char *kind, const char *name)
{
    if (is_name(name))
        return true;
    (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT,
                         "%s \"%.160s\": a name has 1 to %d of A-Z a-z 0-9 . _ -", kind,
                         name == NULL ? "(null)" : name, SABOT_NAME_MAX);
    return false;
}

/* --- Options -------------------------------------------------------------------------------------
 */

static void take_error(sabot_app *app, const sabot_error *error)
{
    (void)sabot_app_fail(app, error->status, "%s", error->text);
}

int64_t sabot_app_option_int64(sabot_app *app,
                               const char *name,
                               int64_t default_value,
                               int64_t min,
                               int64_t max,
                               const char *doc)
{
    int64_t value = default_value;
    sabot_error error;

    if (!sb_app_failed(app) && sb_config_declare_int64(app->config, app->name, name, default_value,
                                                       min, max, doc, &value, &error) != SABOT_OK)
        take_error(app, &error);
    return value;
}

double sabot_app_option_float64(sabot_app *app,
                                const char *name,
                                double default_value,
                                double min,
                                double max,
                                const char *doc)
{
    double value = default_value;
    sabot_error error;

    if (!sb_app_failed(app) &&
        sb_config_declare_float64(app->config, app->name, name, default_value, min, max, doc,
                                  &value, &error) != SABOT_OK)
        take_error(app, &error);
    return value;
}

bool sabot_app_option_bool(sabot_app *app, const char *name, bool default_value, const char *doc)
{
    bool value = default_value;
    sabot_error error;

    if (!sb_app_failed(app) && sb_config_declare_bool(app->config, app->name, name, default_value,
                                                      doc, &value, &error) != SABOT_OK)
        take_error(app, &error);
    return value;
}

const char *sabot_app_option_text(sabot_app *app,
                                  const char *name,
                                  const char *default_value,
                                  const char *doc)
{
    const char *value = default_value;
    sabot_error error;

    if (sb_app_failed(app))
        return value;
    if (sb_config_declare_text(app->config, app->name, name, default_value, doc, &value, &error) !=
        SABOT_OK)
        take_error(app, &error);
    return value == NULL ? NULL : sb_app_copy(app, value);
}

/* --- Channels ------------------------------------------------------------------------------------
 */

/* The broker's URL with the topic of the channel's name, or "memory:" without a broker. */
static const char *default_url(sabot_app *app, const char *name)
{
    const char *broker = sb_config_text(app->config, "broker");
    size_t size;
    char *url;

    if (broker == NULL || strcmp(broker, "memory:") == 0)
        return "memory:";
    if (strncmp(broker, BROKER_SCHEME, sizeof BROKER_SCHEME - 1) != 0 ||
        strpbrk(broker + sizeof BROKER_SCHEME - 1, "/?") != NULL ||
        broker[sizeof BROKER_SCHEME - 1] == '\0') {
        (void)sabot_app_fail(
            app, SABOT_ERR_CONFIG,
            "broker %s: expected kafka://host:port[,host:port], or memory:", broker);
        return NULL;
    }
    size = strlen(broker) + strlen(name) + 2;
    url = sb_app_alloc(app, size);
    if (url != NULL)
        (void)snprintf(url, size, "%s/%s", broker, name);
    return url;
}

static const char *effective_url(sabot_app *app, const char *name, const char *url)
{
    const char *bound = sb_config_bound(app->config, name);

    if (bound != NULL)
        return sb_app_copy(app, bound);
    if (url != NULL)
        return sb_app_copy(app, url);
    return default_url(app, name);
}

struct sb_schema *sb_app_schema(sabot_app *app,
                                const char *kind,
                                const char *name,
                                const sabot_schema *table,
                                enum sb_schema_use use)
{
    struct sb_schema *schema = NULL;
    sabot_error error;

    if (table == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT, "%s %s has no schema", kind, name);
    else if (sb_schema_create(app->env, table, use, &schema, &error) != SABOT_OK)
        (void)sabot_app_fail(app, error.status, "%s %s: %s", kind, name, error.text);
    return schema;
}

sabot_channel *sb_app_find_channel(const sabot_app *app, const char *name)
{
    for (uint32_t i = 0; i < app->channel_count; i++) {
        if (strcmp(app->channels[i]->name, name) == 0)
            return app->channels[i];
    }
    return NULL;
}

static bool check_new_channel(sabot_app *app, const char *name)
{
    if (!sb_app_check_name(app, "channel", name))
        return false;
    if (sb_app_find_channel(app, name) != NULL) {
        (void)sabot_app_fail(app, SABOT_ERR_EXISTS, "channel %s is opened twice", name);
        return false;
    }
    if (app->channel_count == SB_APP_CHANNELS_MAX) {
        (void)sabot_app_fail(app, SABOT_ERR_LIMIT, "channel %s: more than %d channels", name,
                             SB_APP_CHANNELS_MAX);
        return false;
    }
    return true;
}

sabot_channel *sabot_channel_open(sabot_app *app,
                                  const char *name,
                                  const char *url,
                                  const sabot_schema *schema)
{
    sabot_channel *channel;

    if (sb_app_failed(app) || !check_new_channel(app, name))
        return NULL;
    channel = sb_app_alloc(app, sizeof *channel);
    if (channel == NULL)
        return NULL;
    *channel = (sabot_channel){
        .app = app,
        .index = app->channel_count,
        .declared = schema,
        .key_field = SB_NO_FIELD,
        .event_time_field = SB_NO_FIELD,
    };
    channel->name = sb_app_copy(app, name);
    channel->url = effective_url(app, name, url);
    channel->schema = sb_app_schema(app, "channel", name, schema, SB_SCHEMA_RECORD);
    if (channel->schema != NULL)
        app->channels[app->channel_count++] = channel; /* from here on it is freed with the app */
    return sb_app_failed(app) ? NULL : channel;
}

int32_t sb_app_field(sabot_app *app,
                     const struct sb_schema *schema,
                     const char *what,
                     const char *name,
                     const char *path,
                     uint32_t types)
{
    const int32_t field = path == NULL ? SB_NO_FIELD : sb_schema_find(schema, path);

    if (field == SB_NO_FIELD)
        (void)sabot_app_fail(app, SABOT_ERR_SCHEMA, "%s %s: schema %s has no field %s", what, name,
                             schema->name, path == NULL ? "(null)" : path);
    else if ((types >> schema->fields[field].type & 1) == 0)
        (void)sabot_app_fail(app, SABOT_ERR_SCHEMA,
                             "%s %s: field %s has type %s, which can't be it", what, name, path,
                             sabot_type_name(schema->fields[field].type));
    return sb_app_failed(app) ? SB_NO_FIELD : field;
}

void sabot_channel_key(sabot_channel *channel, const char *path)
{
    if (channel != NULL && !sb_app_failed(channel->app))
        channel->key_field = sb_app_field(
            channel->app, channel->schema, "key of channel", channel->name, path,
            1u << SABOT_UTF8 | 1u << SABOT_INT32 | 1u << SABOT_INT64 | 1u << SABOT_TIMESTAMP);
}

void sabot_channel_event_time(sabot_channel *channel, const char *path)
{
    if (channel != NULL && !sb_app_failed(channel->app))
        channel->event_time_field =
            sb_app_field(channel->app, channel->schema, "event time of channel", channel->name,
                         path, 1u << SABOT_INT64 | 1u << SABOT_TIMESTAMP);
}

void sabot_channel_source(sabot_channel *channel, sabot_source_fill fill, void *user)
{
    if (channel == NULL || sb_app_failed(channel->app))
        return;
    if (fill == NULL) {
        (void)sabot_app_fail(channel->app, SABOT_ERR_ARGUMENT,
                             "channel %s: a source without a function", channel->name);
        return;
    }
    channel->source = fill;
    channel->source_user = user;
}

/* --- Agents --------------------------------------------------------------------------------------
 */

static bool check_new_agent(sabot_app *app,
                            const char *kind,
                            const char *name,
                            const sabot_channel *channel)
{
    if (!sb_app_check_name(app, kind, name))
        return false;
    for (uint32_t i = 0; i < app->agent_count; i++) {
        if (strcmp(app->agents[i]->name, name) == 0) {
            (void)sabot_app_fail(app, SABOT_ERR_EXISTS, "%s %s is created twice", kind, name);
            return false;
        }
    }
    if (app->agent_count == SB_APP_AGENTS_MAX)
        (void)sabot_app_fail(app, SABOT_ERR_LIMIT, "%s %s: more than %d agents and tables", kind,
                             name, SB_APP_AGENTS_MAX);
    else if (channel == NULL || channel->app != app)
        (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT, "%s %s has no channel of this app", kind,
                             name);
    return !sb_app_failed(app);
}

sabot_agent *sb_app_agent(sabot_app *app,
                          const char *kind,
                          const char *name,
                          sabot_channel *channel,
                          sabot_agent_function function,
                          void *user)
{
    sabot_agent *agent;

    if (sb_app_failed(app) || !check_new_agent(app, kind, name, channel))
        return NULL;
    agent = sb_app_alloc(app, sizeof *agent);
    if (agent == NULL)
        return NULL;
    agent->app = app;
    agent->index = app->agent_count;
    agent->name = sb_app_copy(app, name);
    agent->channel = channel;
    agent->function = function;
    agent->user = user;
    agent->key_field = SB_NO_FIELD;
    app->agents[app->agent_count++] = agent;
    return sb_app_failed(app) ? NULL : agent;
}

sabot_agent *sabot_agent_create(sabot_app *app,
                                const char *name,
                                sabot_channel *channel,
                                sabot_agent_function function,
                                void *user)
{
    sabot_agent *agent = sb_app_agent(app, "agent", name, channel, function, user);

    if (agent != NULL && function == NULL)
        (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT, "agent %s has no function", name);
    return sb_app_failed(app) ? NULL : agent;
}

void sabot_agent_key(sabot_agent *agent, const char *path)
{
    if (agent != NULL && !sb_app_failed(agent->app))
        agent->key_field = sb_app_field(agent->app, agent->channel->schema, "key of agent",
                                        agent->name, path, ~(1u << SABOT_FLOAT64));
}

sabot_output *sabot_agent_output(sabot_agent *agent, sabot_channel *channel)
{
    sabot_output *output;

    if (agent == NULL || sb_app_failed(agent->app))
        return NULL;
    if (channel == NULL || channel->app != agent->app) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: an output to no channel of this app", agent->name);
        return NULL;
    }
    if (agent->output_count == SB_AGENT_OUTPUTS_MAX) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_LIMIT, "agent %s: more than %d outputs",
                             agent->name, SB_AGENT_OUTPUTS_MAX);
        return NULL;
    }
    output = sb_app_alloc(agent->app, sizeof *output);
    if (output == NULL)
        return NULL;
    *output = (sabot_output){.owner = agent, .index = agent->output_count};
    agent->outputs[agent->output_count++] = channel;
    return output;
}

/* --- Building ------------------------------------------------------------------------------------
 */

static sabot_status check_entry(const sabot_app_entry *entry, sabot_error *error)
{
    if (entry == NULL || memcmp(entry->magic, "SABOTAPP", sizeof entry->magic) != 0)
        return sabot_raise(error, SABOT_ERR_FORMAT, "this is no Sabot app: see SABOT_APP");
    if (entry->abi_version != SABOT_ABI_VERSION || entry->size != sizeof *entry)
        return sabot_raise(error, SABOT_ERR_ABI,
                           "the app was built for version %u of the interface, this Sabot has %d: "
                           "build it again",
                           entry->abi_version, SABOT_ABI_VERSION);
    if (!is_name(entry->name) || entry->build == NULL)
        return sabot_raise(error, SABOT_ERR_FORMAT, "the app has no proper name or no function");
    return SABOT_OK;
}

/* What only the whole app can tell. */
static void check_whole(sabot_app *app)
{
    const char *channel;
    const char *url;

    if (!sb_app_failed(app))
        sb_app_key_tables(app);
    for (uint32_t i = 0; !sb_app_failed(app) && i < app->agent_count; i++) {
        const sabot_agent *agent = app->agents[i];

        if (agent->state_count > 0 && agent->key_field == SB_NO_FIELD)
            (void)sabot_app_fail(app, SABOT_ERR_STATE,
                                 "agent %s has state %s, but no key: see sabot_agent_key()",
                                 agent->name, agent->states[0].name);
    }
    if (!sb_app_failed(app))
        sb_app_check_uses(app);
    for (size_t i = 0; !sb_app_failed(app) && sb_config_bind_at(app->config, i, &channel, &url);
         i++) {
        if (sb_app_find_channel(app, channel) == NULL)
            (void)sabot_app_fail(app, SABOT_ERR_CONFIG,
                                 "bind %s=%s: the app has no channel of this name", channel, url);
    }
}

static sabot_status build(sabot_app *app, const sabot_app_entry *entry, sabot_error *error)
{
    const sabot_status status = entry->build(app);

    /* A function that says something went wrong and not what. */
    if (status != SABOT_OK && !sb_app_failed(app))
        (void)sabot_app_fail(app, status, "its build function returned %s",
                             sabot_status_name(status));
    check_whole(app);
    sb_app_compile_streams(app);
    if (!sb_app_failed(app))
        sb_app_set_time(app);
    if (!sb_app_failed(app))
        sb_app_place_states(app);
    if (sb_app_failed(app))
        return sabot_raise(error, app->error.status, "app %s: %s", app->name, app->error.text);
    return sb_config_check_unused(app->config, app->name, error);
}

sabot_status sb_app_create(const struct sb_env *env,
                           const sabot_app_entry *entry,
                           sabot_config *config,
                           sabot_app **app_out,
                           sabot_error *error)
{
    sabot_app *app;
    sabot_status status;

    *app_out = NULL;
    SABOT_TRY(check_entry(entry, error));
    app = sb_alloc(env, sizeof *app);
    if (app == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "app %s: no memory", entry->name);
    app->env = env;
    app->config = config;
    sb_arena_init(&app->arena, env);
    app->name = sb_app_copy(app, entry->name);
    if (app->name == NULL)
        status = sabot_raise(error, SABOT_ERR_MEMORY, "app %s: no memory", entry->name);
    else
        status = build(app, entry, error);
    if (status != SABOT_OK) {
        sb_app_destroy(app);
        return status;
    }
    *app_out = app;
    return SABOT_OK;
}

void sb_app_destroy(sabot_app *app)
{
    if (app == NULL)
        return;
    sb_app_drop_streams(app);
    sb_app_drop_windows(app);
    for (uint32_t i = 0; i < app->channel_count; i++)
        sb_schema_destroy(app->channels[i]->schema);
    for (uint32_t i = 0; i < app->agent_count; i++) {
        for (uint32_t state = 0; state < app->agents[i]->state_count; state++)
            sb_schema_destroy(app->agents[i]->state_schemas[state]);
    }
    sb_arena_reset(&app->arena);
    sb_free(app->env, app, sizeof *app);
}
