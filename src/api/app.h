/* SPDX-License-Identifier: Apache-2.0 */
/* app.h - an app as it was declared: channels, agents, their states and outputs.
 *
 * Built once by the app's function (app.c), then read-only; plan.c makes pipelines of it.
 *
 * Ownership: everything lies in the app's arena, but schemas, which the app destroys with itself.
 * Threads: built by one, then read by any. */
#ifndef SB_API_APP_H
#define SB_API_APP_H

#include <sabot/sim.h>

#include "api/config.h"
#include "data/schema.h"
#include "flow/clock.h"
#include "op/process.h"
#include "op/table.h"
#include "op/window_agent.h"

enum {
    SB_APP_CHANNELS_MAX = 256,
    SB_APP_AGENTS_MAX = 128,
    SB_AGENT_OUTPUTS_MAX = 16,
    SB_AGENT_WINDOWS_MAX = 16,
};

struct sabot_channel {
    sabot_app *app;
    uint32_t index; /* in app->channels */
    const char *name;
    const char *url; /* in force: bound, declared, or by default */
    struct sb_schema *schema;
    const sabot_schema *declared; /* what it was made of */
    int32_t key_field;            /* or SB_NO_FIELD */
    int32_t event_time_field;     /* or SB_NO_FIELD */
    struct sb_clock_rules time;
    struct {
        bool lateness, idle_after, max_future, future;
    } time_set;               /* by the app */
    sabot_source_fill source; /* NULL: none */
    void *source_user;
};

struct sabot_agent {
    sabot_app *app;
    uint32_t index; /* in app->agents */
    const char *name;
    sabot_channel *channel; /* that it reads */
    sabot_agent_function function;
    void *user;
    const sabot_table *table;        /* that it feeds and is; NULL: it is an agent of the app */
    struct sb_stream_window *window; /* NULL: it has a function */
    int32_t key_field;               /* of the channel's schema, or SB_NO_FIELD */
    uint32_t state_count;
    struct sb_state_spec states[SB_STATES_MAX];
    struct sb_schema *state_schemas[SB_STATES_MAX]; /* NULL: none */
    sabot_timer_function timers[SB_STATES_MAX];     /* by state; NULL: it is none */
    uint32_t lender_count;
    sabot_agent *lenders[SB_LENDERS_MAX]; /* whose state it uses, by number of the loan */
    uint32_t use_count;
    struct sb_state_use uses[SB_STATE_USES_MAX];
    uint32_t rows_size; /* of the structs of packed rows that it reads */
    uint32_t window_count;
    sabot_window *windows[SB_AGENT_WINDOWS_MAX];
    uint32_t output_count;
    sabot_channel *outputs[SB_AGENT_OUTPUTS_MAX];
};

struct sabot_app {
    const struct sb_env *env;
    sabot_config *config; /* the run's own */
    const char *name;
    struct sb_arena arena;
    sabot_error error; /* the first; status SABOT_OK: none */
    uint32_t channel_count;
    sabot_channel *channels[SB_APP_CHANNELS_MAX];
    uint32_t agent_count;
    sabot_agent *agents[SB_APP_AGENTS_MAX];
    sabot_invariant_function invariant; /* for the simulator; NULL: none */
    void *invariant_user;
};

/* Build the app of an entry. The config must outlive it; the app's options are declared there, and
 * what is given for none is refused. SABOT_ERR_ABI; the error of the build, with the app's name. */
SABOT_MUST_CHECK sabot_status sb_app_create(const struct sb_env *env,
                                            const sabot_app_entry *entry,
                                            sabot_config *config,
                                            sabot_app **app_out,
                                            sabot_error *error);
void sb_app_destroy(sabot_app *app);

/* What it is to people: "agent", "table", "window". */
static inline const char *sb_agent_kind(const sabot_agent *agent)
{
    if (agent->table != NULL)
        return "table";
    return agent->window != NULL ? "window" : "agent";
}

/* NULL: none of this name. */
sabot_channel *sb_app_find_channel(const sabot_app *app, const char *name);

#endif
