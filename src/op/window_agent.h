/* SPDX-License-Identifier: Apache-2.0 */
/* window_agent.h - the windows of an agent: the engine over the agent's own store.
 *
 * Threads: the worker that owns the agent's instance. Memory: an engine per window. */
#ifndef SB_OP_WINDOW_AGENT_H
#define SB_OP_WINDOW_AGENT_H

#include "op/context.h"
#include "op/window_engine.h"

/* A window as the app declared it; its handle. */
struct sabot_window {
    const void *owner; /* the agent */
    const char *name;
    uint32_t index;       /* of the agent's windows */
    uint32_t first_state; /* its states are the agent's from here on */
    struct sb_window_plan *plan;
    sabot_window_fired fired;
};

/* What an instance of the agent has of it. */
struct sb_agent_window {
    const struct sabot_window *declared;
    sabot_context *context;
    bool fires; /* the app's function is called */
    struct sb_window_engine engine;
};

/* For the context's store. On an error nothing is left. */
SABOT_MUST_CHECK sabot_status sb_agent_windows_create(sabot_context *context,
                                                      const struct sabot_window *const *declared,
                                                      uint32_t count,
                                                      sabot_error *error);
void sb_agent_windows_destroy(sabot_context *context);

/* The clocks of the context. */
void sb_agent_windows_time(sabot_context *context);

/* Is a timer state one of a window's? Then it does what is due. */
bool sb_agent_windows_own(const sabot_context *context, uint32_t state);
SABOT_MUST_CHECK sabot_status sb_agent_windows_timer(sabot_context *context,
                                                     uint32_t state,
                                                     int64_t time_ms);

#endif
