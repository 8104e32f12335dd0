/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - the operator that is an agent: the app's function, called for each row. */
#ifndef SB_OP_PROCESS_H
#define SB_OP_PROCESS_H

#include "op/context.h"
#include "op/keyed.h"
#include "op/window_agent.h"

/* What an app declared of an agent; read-only while it runs. */
struct sb_process_settings {
    const void *owner; /* the agent's identity, as in its handles */
    sabot_agent_function function;
    void *user;
    const sabot_timer_function *timers; /* by state; NULL where it is none */
    const struct sb_state_use *uses;    /* states of others; their loans are numbered as here */
    uint32_t use_count;
    const struct sabot_window *const *windows;
    uint32_t window_count;
    uint32_t rows_size; /* of the structs of packed rows that it reads */
};

extern const struct sb_operator_type sb_operator_process;

#endif
