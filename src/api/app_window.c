/* SPDX-License-Identifier: Apache-2.0 */
/* app_window.c - building an app: the windows of an agent.
 *
 * The states of a window become states of the agent, named "<window>.<state>", so that options,
 * checkpoints and `sabot state` know them like any.
 *
 * Threads: the one that builds the app. Memory: the app's arena, but plans, which the app destroys
 * with itself. */
#include <stdio.h>

#include "api/app_parts.h"

static bool check_window(sabot_agent *agent,
                         const char *name,
                         const sabot_window_spec *spec,
                         const sabot_window_aggregate *aggregates,
                         size_t aggregate_count,
                         sabot_window_fired fired)
{
    if (!sb_app_check_name(agent->app, "window", name))
        return false;
    if (spec == NULL || fired == NULL || (aggregate_count > 0 && aggregates == NULL))
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: window %s lacks its spec, aggregates or function",
                             agent->name, name);
    else if (aggregate_count > SABOT_WINDOW_AGGREGATES_MAX)
        (void)sabot_app_fail(agent->app, SABOT_ERR_LIMIT,
                             "agent %s: window %s: %zu aggregates, %d are allowed", agent->name,
                             name, aggregate_count, SABOT_WINDOW_AGGREGATES_MAX);
    else if (agent->window_count == SB_AGENT_WINDOWS_MAX)
        (void)sabot_app_fail(agent->app, SABOT_ERR_LIMIT, "agent %s: more than %d windows",
                             agent->name, SB_AGENT_WINDOWS_MAX);
    return !sb_app_failed(agent->app);
}

static struct sb_window_plan *make_plan(sabot_agent *agent,
                                        const char *name,
                                        const sabot_window_spec *spec,
                                        const sabot_window_aggregate *aggregates,
                                        size_t aggregate_count)
{
    char prefix[SABOT_NAME_MAX + 2];
    const struct sb_window_config config = {
        .env = agent->app->env,
        .name = name,
        .spec = spec,
        .aggregates = aggregates,
        .aggregate_count = (uint32_t)aggregate_count,
        .input = agent->channel->schema,
        .key_field = agent->key_field,
        .prefix = prefix,
    };
    struct sb_window_plan *plan;
    sabot_error error;

    (void)snprintf(prefix, sizeof prefix, "%s.", name);
    if (sb_window_plan_create(&config, &plan, &error) != SABOT_OK)
        (void)sabot_app_fail(agent->app, error.status, "agent %s: window %s", agent->name,
                             error.text);
    return plan;
}

static void add_states(sabot_agent *agent, const struct sb_window_plan *plan)
{
    uint32_t count;
    const struct sb_state_spec *states = sb_window_plan_states(plan, &count);

    for (uint32_t i = 0; i < count && sb_app_check_new_state(agent, states[i].name); i++)
        agent->states[agent->state_count++] = states[i];
}

sabot_window *sabot_agent_window(sabot_agent *agent,
                                 const char *name,
                                 const sabot_window_spec *spec,
                                 const sabot_window_aggregate *aggregates,
                                 size_t aggregate_count,
                                 sabot_window_fired fired)
{
    struct sb_window_plan *plan;
    sabot_window *window;

    if (agent == NULL || sb_app_failed(agent->app) ||
        !check_window(agent, name, spec, aggregates, aggregate_count, fired))
        return NULL;
    window = sb_app_alloc(agent->app, sizeof *window);
    if (window == NULL)
        return NULL;
    plan = make_plan(agent, name, spec, aggregates, aggregate_count);
    if (plan == NULL)
        return NULL;
    *window = (sabot_window){
        .owner = agent,
        .name = sb_app_copy(agent->app, name),
        .index = agent->window_count,
        .first_state = agent->state_count,
        .plan = plan,
        .fired = fired,
    };
    agent->windows[agent->window_count++] = window;
    add_states(agent, plan);
    return sb_app_failed(agent->app) ? NULL : window;
}

bool sb_app_is_of_window(const sabot_agent *agent, const struct sb_state_spec *state)
{
    const uint32_t index = (uint32_t)(state - agent->states);

    for (uint32_t i = 0; i < agent->window_count; i++) {
        const sabot_window *window = agent->windows[i];
        uint32_t count;

        (void)sb_window_plan_states(window->plan, &count);
        if (index >= window->first_state && index < window->first_state + count)
            return true;
    }
    return false;
}

void sb_app_drop_windows(const sabot_app *app)
{
    for (uint32_t i = 0; i < app->agent_count; i++) {
        for (uint32_t j = 0; j < app->agents[i]->window_count; j++)
            sb_window_plan_destroy(app->agents[i]->windows[j]->plan);
    }
}
