/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - the operator that is an agent: the app's function, called for each row. */
#ifndef SB_OP_PROCESS_H
#define SB_OP_PROCESS_H

#include "op/context.h"
#include "op/operator.h"
#include "op/window_agent.h"
#include "state/rows.h"
#include "state/store.h"

/* What an app declared of an agent; read-only while it runs. */
struct sb_process_settings {
    const void *owner; /* the agent's identity, as in its handles */
    sabot_agent_function function;
    void *user;
    const struct sb_state_spec *states; /* none without a key */
    uint32_t state_count;
    const sabot_timer_function *timers; /* by state; NULL where it is none */
    const struct sb_state_use *uses;    /* states of others; their loans are numbered as here */
    uint32_t use_count;
    const struct sabot_window *const *windows;
    uint32_t window_count;
    uint32_t rows_size;                /* of the structs of packed rows that it reads */
    struct sb_account *account;        /* of all state of the process; NULL: not counted */
    const struct sb_rows_source *rows; /* behind states that aren't kept in memory; NULL: all are */
    uint64_t cache_bytes;              /* of each instance, in front of its rows */
    uint16_t id;                       /* of the agent, in the keys of its rows */
};

extern const struct sb_operator_type sb_operator_process;

#endif
