/* SPDX-License-Identifier: Apache-2.0 */
/* app_state.c - building an app: the public calls that declare an agent's keyed state.
 *
 * What is declared becomes one struct sb_state_spec of the agent and one handle. All kinds of
 * handles are a struct sb_state_handle with a type of their own.
 *
 * Threads: the one that builds the app. Memory: the app's arena, but schemas (app.h). */
#include "api/app_parts.h"
#include "op/state.h"

_Static_assert((int)SABOT_STATE_VALUE_MAX == (int)SB_STATE_VALUE_MAX, "the public limits are ours");
_Static_assert((int)SABOT_STATE_KEY_MAX == (int)SB_STATE_KEY_MAX, "the public limits are ours");
_Static_assert((int)SABOT_AGENT_USES_MAX == (int)SB_STATE_USES_MAX, "the public limits are ours");
_Static_assert((int)SABOT_AGENT_STATES_MAX == (int)SB_STATES_MAX, "the public limits are ours");
_Static_assert((int)SABOT_EVENT_TIME == (int)SB_TIME_EVENT &&
                   (int)SABOT_PROCESSING_TIME == (int)SB_TIME_PROCESSING,
               "the public clocks are ours");

struct sb_state_spec *sb_app_find_state(sabot_agent *agent, const char *name)
{
    for (uint32_t i = 0; i < agent->state_count; i++) {
        if (strcmp(agent->states[i].name, name) == 0)
            return &agent->states[i];
    }
    return NULL;
}

bool sb_app_check_new_state(sabot_agent *agent, const char *name)
{
    if (!sb_app_check_name(agent->app, "state", name))
        return false;
    if (sb_app_find_state(agent, name) != NULL) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_EXISTS, "agent %s: state %s is declared twice",
                             agent->name, name);
        return false;
    }
    if (agent->state_count == SB_STATES_MAX) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_LIMIT, "agent %s: more than %d states",
                             agent->name, SB_STATES_MAX);
        return false;
    }
    return true;
}

void *sb_app_state(sabot_agent *agent,
                   const char *name,
                   enum sb_state_kind kind,
                   const sabot_schema *table,
                   size_t size)
{
    struct sb_schema *schema = NULL;
    struct sb_state_handle *handle;
    const char *copy;

    if (agent == NULL || sb_app_failed(agent->app) || !sb_app_check_new_state(agent, name))
        return NULL;
    handle = sb_app_alloc(agent->app, size);
    copy = sb_app_copy(agent->app, name);
    if (sb_app_failed(agent->app))
        return NULL;
    if (table != NULL)
        schema = sb_app_schema(agent->app, "state", name, table, SB_SCHEMA_STATE);
    if (sb_app_failed(agent->app))
        return NULL;
    *handle = (struct sb_state_handle){
        .owner = agent,
        .agent = agent->name,
        .kind = kind,
        .index = agent->state_count,
        .size = schema == NULL ? 0 : schema->record_size,
        .name = copy,
    };
    agent->state_schemas[agent->state_count] = schema;
    agent->states[agent->state_count++] =
        (struct sb_state_spec){.name = copy, .kind = kind, .schema = schema};
    return handle;
}

sabot_value *sabot_agent_value(sabot_agent *agent, const char *name, const sabot_schema *schema)
{
    sabot_value *value = NULL;

    if (agent != NULL && schema == NULL && sb_app_check_name(agent->app, "state", name))
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "state %s has no schema: for bytes of any size see "
                             "sabot_agent_blob()",
                             name);
    else
        value = sb_app_state(agent, name, SB_STATE_VALUE, schema, sizeof *value);
    return value;
}

sabot_blob *sabot_agent_blob(sabot_agent *agent, const char *name)
{
    return sb_app_state(agent, name, SB_STATE_VALUE, NULL, sizeof(sabot_blob));
}

sabot_list *sabot_agent_list(sabot_agent *agent, const char *name, const sabot_schema *schema)
{
    return sb_app_state(agent, name, SB_STATE_LIST, schema, sizeof(sabot_list));
}

sabot_map *sabot_agent_map(sabot_agent *agent, const char *name, const sabot_schema *schema)
{
    return sb_app_state(agent, name, SB_STATE_MAP, schema, sizeof(sabot_map));
}

/* --- Reducing and aggregating --------------------------------------------------------------------
 */

struct int64_cell {
    int64_t value;
};
struct float64_cell {
    double value;
};

static const sabot_field int64_fields[] = {
    SABOT_FIELD(struct int64_cell, value, "value", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_field float64_fields[] = {
    SABOT_FIELD(struct float64_cell, value, "value", SABOT_FLOAT64, SABOT_OPTIONAL),
};
static const sabot_field sum_int64_fields[] = {
    SABOT_FIELD(sabot_sum_int64, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(sabot_sum_int64, value, "value", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_field sum_float64_fields[] = {
    SABOT_FIELD(sabot_sum_float64, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(sabot_sum_float64, value, "value", SABOT_FLOAT64, SABOT_OPTIONAL),
};
static const sabot_schema int64_schema = SABOT_SCHEMA("int64", 1, struct int64_cell, int64_fields);
static const sabot_schema float64_schema =
    SABOT_SCHEMA("float64", 1, struct float64_cell, float64_fields);
static const sabot_schema sum_int64_schema =
    SABOT_SCHEMA("sum_int64", 1, sabot_sum_int64, sum_int64_fields);
static const sabot_schema sum_float64_schema =
    SABOT_SCHEMA("sum_float64", 1, sabot_sum_float64, sum_float64_fields);

static bool check_function(sabot_agent *agent, const char *name, bool has_all)
{
    if (agent == NULL || !sb_app_check_name(agent->app, "state", name))
        return false;
    if (!has_all)
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: state %s lacks its schema or a function", agent->name,
                             name);
    return has_all;
}

static bool check_builtin(sabot_agent *agent, const char *name, sabot_builtin builtin, int last)
{
    if (agent == NULL || !sb_app_check_name(agent->app, "state", name))
        return false;
    if ((int)builtin >= (int)SABOT_SUM && (int)builtin <= last)
        return true;
    (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                         "agent %s: state %s: %d is no sabot_builtin of this kind of state",
                         agent->name, name, (int)builtin);
    return false;
}

sabot_reducing *sabot_agent_reducing(sabot_agent *agent,
                                     const char *name,
                                     const sabot_schema *schema,
                                     sabot_reduce function)
{
    sabot_reducing *reducing;

    if (!check_function(agent, name, schema != NULL && function != NULL))
        return NULL;
    reducing = sb_app_state(agent, name, SB_STATE_REDUCING, schema, sizeof *reducing);
    if (reducing != NULL)
        reducing->fold = function;
    return reducing;
}

static sabot_reducing *add_reducing(sabot_agent *agent,
                                    const char *name,
                                    sabot_builtin builtin,
                                    bool is_float64)
{
    const bool keeps_float64 = is_float64 && builtin != SABOT_COUNT;
    sabot_reducing *reducing;

    if (!check_builtin(agent, name, builtin, SABOT_COUNT))
        return NULL;
    reducing = sb_app_state(agent, name, SB_STATE_REDUCING,
                            keeps_float64 ? &float64_schema : &int64_schema, sizeof *reducing);
    if (reducing == NULL)
        return NULL;
    reducing->fold = sb_state_fold(builtin, keeps_float64);
    reducing->counts = builtin == SABOT_COUNT;
    return reducing;
}

sabot_reducing *sabot_agent_reducing_int64(sabot_agent *agent,
                                           const char *name,
                                           sabot_builtin builtin)
{
    return add_reducing(agent, name, builtin, false);
}

sabot_reducing *sabot_agent_reducing_float64(sabot_agent *agent,
                                             const char *name,
                                             sabot_builtin builtin)
{
    return add_reducing(agent, name, builtin, true);
}

sabot_aggregating *sabot_agent_aggregating(sabot_agent *agent,
                                           const char *name,
                                           const sabot_schema *schema,
                                           const sabot_aggregate *functions)
{
    sabot_aggregating *aggregating;

    if (!check_function(agent, name,
                        schema != NULL && functions != NULL && functions->add != NULL &&
                            functions->result != NULL))
        return NULL;
    aggregating = sb_app_state(agent, name, SB_STATE_AGGREGATING, schema, sizeof *aggregating);
    if (aggregating != NULL)
        aggregating->functions = *functions;
    return aggregating;
}

static sabot_aggregating *add_aggregating(sabot_agent *agent,
                                          const char *name,
                                          sabot_builtin builtin,
                                          bool is_float64)
{
    sabot_aggregating *aggregating;

    if (!check_builtin(agent, name, builtin, SABOT_MEAN))
        return NULL;
    aggregating =
        sb_app_state(agent, name, SB_STATE_AGGREGATING,
                     is_float64 ? &sum_float64_schema : &sum_int64_schema, sizeof *aggregating);
    if (aggregating == NULL)
        return NULL;
    aggregating->fold = sb_state_fold(builtin, is_float64);
    aggregating->builtin = builtin;
    aggregating->is_float64 = is_float64;
    return aggregating;
}

sabot_reducing *sabot_agent_reducing_bytes(sabot_agent *agent,
                                           const char *name,
                                           sabot_reduce_bytes function)
{
    sabot_reducing *reducing;

    if (!check_function(agent, name, function != NULL))
        return NULL;
    reducing = sb_app_state(agent, name, SB_STATE_REDUCING, NULL, sizeof *reducing);
    if (reducing != NULL)
        reducing->fold_bytes = function;
    return reducing;
}

sabot_aggregating *sabot_agent_aggregating_bytes(sabot_agent *agent,
                                                 const char *name,
                                                 const sabot_aggregate_bytes *functions)
{
    sabot_aggregating *aggregating;

    if (!check_function(agent, name,
                        functions != NULL && functions->add != NULL && functions->result != NULL))
        return NULL;
    aggregating = sb_app_state(agent, name, SB_STATE_AGGREGATING, NULL, sizeof *aggregating);
    if (aggregating != NULL)
        aggregating->bytes_functions = *functions;
    return aggregating;
}

sabot_aggregating *sabot_agent_aggregating_int64(sabot_agent *agent,
                                                 const char *name,
                                                 sabot_builtin builtin)
{
    return add_aggregating(agent, name, builtin, false);
}

sabot_aggregating *sabot_agent_aggregating_float64(sabot_agent *agent,
                                                   const char *name,
                                                   sabot_builtin builtin)
{
    return add_aggregating(agent, name, builtin, true);
}

/* --- Timers --------------------------------------------------------------------------------------
 */

sabot_timer *sabot_agent_timer(sabot_agent *agent,
                               const char *name,
                               sabot_clock clock,
                               sabot_timer_function function)
{
    sabot_timer *timer = sb_app_state(agent, name, SB_STATE_TIMERS, NULL, sizeof *timer);

    if (timer == NULL)
        return NULL;
    agent->states[timer->state.index].ttl_time = (enum sb_state_time)clock;
    agent->timers[timer->state.index] = function;
    if (function == NULL)
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT, "agent %s: timer %s has no function",
                             agent->name, name);
    else if (clock != SABOT_EVENT_TIME && clock != SABOT_PROCESSING_TIME)
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT, "agent %s: timer %s: no clock %d",
                             agent->name, name, (int)clock);
    return sb_app_failed(agent->app) ? NULL : timer;
}

/* --- Time to live --------------------------------------------------------------------------------
 */

/* A state of an app that has not failed yet. NULL: it has now. */
static struct sb_state_spec *find_declared(sabot_agent *agent, const char *name, const char *what)
{
    struct sb_state_spec *state;

    if (agent == NULL || sb_app_failed(agent->app) || !sb_app_check_name(agent->app, "state", name))
        return NULL;
    state = sb_app_find_state(agent, name);
    if (state == NULL)
        (void)sabot_app_fail(agent->app, SABOT_ERR_NOT_FOUND,
                             "agent %s: %s for state %s, which is not declared", agent->name, what,
                             name);
    return state;
}

void sabot_agent_ttl(sabot_agent *agent,
                     const char *name,
                     int64_t ttl_ms,
                     sabot_clock clock,
                     sabot_refresh refresh)
{
    struct sb_state_spec *state = find_declared(agent, name, "a time to live");

    if (state == NULL)
        return;
    if (sb_app_is_of_window(agent, state))
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: state %s is a window's, which forgets by itself",
                             agent->name, name);
    else if (state->kind == SB_STATE_TIMERS)
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: timer %s can't have a time to live", agent->name, name);
    else if (ttl_ms < 1 || (clock != SABOT_EVENT_TIME && clock != SABOT_PROCESSING_TIME) ||
             (refresh != SABOT_ON_WRITE && refresh != SABOT_ON_READ_AND_WRITE))
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: state %s: time to live of %lld ms, clock %d, refresh %d: "
                             "1 ms or more, and the constants of state.h",
                             agent->name, name, (long long)ttl_ms, (int)clock, (int)refresh);
    if (sb_app_failed(agent->app))
        return;
    state->ttl_ms = ttl_ms;
    state->ttl_time = (enum sb_state_time)clock;
    state->ttl_on_read = refresh == SABOT_ON_READ_AND_WRITE;
}

/* --- Large values --------------------------------------------------------------------------------
 */

void sabot_agent_ahead(sabot_agent *agent, const char *name, sabot_ahead_function function)
{
    struct sb_state_spec *state = find_declared(agent, name, "a function to look ahead");

    if (state == NULL)
        return;
    if (function == NULL || state->kind != SB_STATE_VALUE || state->schema == NULL ||
        sb_app_is_of_window(agent, state))
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: state %s: a function looks ahead of a value with a schema, "
                             "and can't be NULL",
                             agent->name, name);
    else
        state->ahead = function;
}
