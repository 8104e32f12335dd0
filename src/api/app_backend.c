/* SPDX-License-Identifier: Apache-2.0 */
/* app_backend.c - where each state of an app is kept: the options `state` and
 * `states.<agent>.<state>.backend`.
 *
 * Decided when the app is built, for its names are known then; whether this Sabot has the backend
 * is the plan's to find out. Threads: the one that builds the app. Memory: none. */
#include <stdio.h>

#include "api/app_parts.h"

static const char BACKEND[] = ".backend";

/* Is `name` "<agent>.<state>.backend"? Any of them may have dots. */
static bool names_state(const char *name,
                        const sabot_agent *agent,
                        const struct sb_state_spec *state)
{
    char full[(size_t)2 * SABOT_NAME_MAX + sizeof "." + sizeof BACKEND];

    (void)snprintf(full, sizeof full, "%s.%s%s", agent->name, state->name, BACKEND);
    return strcmp(full, name) == 0;
}

static struct sb_state_spec *find_state(const sabot_app *app, const char *name)
{
    for (uint32_t i = 0; i < app->agent_count; i++) {
        sabot_agent *agent = app->agents[i];

        for (uint32_t state = 0; state < agent->state_count; state++) {
            if (names_state(name, agent, &agent->states[state]))
                return &agent->states[state];
        }
    }
    return NULL;
}

/* One option of the group. */
static sabot_status place_one(void *context,
                              const char *name,
                              const char *value,
                              sabot_error *error)
{
    struct sb_state_spec *state = find_state(context, name);

    if (state == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "states.%s=%s: the app has no such state: "
                           "states.AGENT.STATE.backend=memory|rocksdb",
                           name, value);
    state->in_memory = strcmp(value, "memory") == 0;
    if (!state->in_memory && strcmp(value, "rocksdb") != 0)
        return sabot_raise(error, SABOT_ERR_CONFIG, "states.%s=%s: expected memory or rocksdb",
                           name, value);
    return SABOT_OK;
}

void sb_app_place_states(sabot_app *app)
{
    const bool in_memory = sb_config_enum(app->config, "state") == SB_STATE_IN_MEMORY;
    sabot_error error;

    for (uint32_t i = 0; i < app->agent_count; i++) {
        for (uint32_t state = 0; state < app->agents[i]->state_count; state++)
            app->agents[i]->states[state].in_memory = in_memory;
    }
    if (sb_config_each(app->config, "states", place_one, app, &error) != SABOT_OK)
        (void)sabot_app_fail(app, error.status, "%s", error.text);
}
