/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - what an agent's function holds in its hands: one per instance of an agent.
 *
 * process.c fills it for each record; the public calls (context.c: emit, time, errors; state.c:
 * keyed state) read it. `active` is true only while the app's function runs, so that a call from
 * anywhere else is refused and not obeyed.
 *
 * Threads: the worker that owns the agent's instance. */
#ifndef SB_OP_CONTEXT_H
#define SB_OP_CONTEXT_H

#include <sabot/window.h>

#include "op/outlet.h"
#include "state/store.h"

/* Handles of an app, made while it is built. `owner` is the agent that made it: what another agent
 * does with it is an error. */
struct sabot_output {
    const void *owner;
    uint32_t index; /* of the outlet */
};

enum {
    SB_LENDERS_MAX = 32,    /* agents and tables whose state one agent may use */
    SB_STATE_USES_MAX = 64, /* states of others that one agent may use */
};

/* A state of another agent that this agent may use. */
struct sb_state_use {
    const void *owner; /* the other agent */
    uint32_t index;    /* of the state there */
    uint32_t lender;   /* number of the loan that brings its store */
    /* A row of a table that is kept packed: where its struct is filled, in context->rows. */
    uint32_t row_start;
};

/* What the handles of all kinds of state begin with. */
struct sb_state_handle {
    const void *owner;
    const char *agent; /* the owner's name */
    enum sb_state_kind kind;
    uint32_t index; /* of the state in the agent's store */
    uint32_t size;  /* of its struct; 0: bytes of any size */
    const char *name;
};

struct sabot_value {
    struct sb_state_handle state;
};
struct sabot_blob {
    struct sb_state_handle state;
};
struct sabot_list {
    struct sb_state_handle state;
};
struct sabot_map {
    struct sb_state_handle state;
};

struct sabot_reducing {
    struct sb_state_handle state;
    sabot_reduce fold;
    sabot_reduce_bytes fold_bytes; /* state.size is 0 */
    bool counts;                   /* a 1 is added, whatever the value */
};
struct sabot_aggregating {
    struct sb_state_handle state;
    sabot_aggregate functions;             /* of the app */
    sabot_aggregate_bytes bytes_functions; /* state.size is 0 */
    sabot_reduce fold;                     /* built in; NULL: the app's functions */
    sabot_builtin builtin;
    bool is_float64;
};
struct sabot_timer {
    struct sb_state_handle state;
};

struct sabot_context {
    const struct sb_env *env;
    const char *agent; /* its name */
    const void *owner; /* its identity, as in the handles */
    void *user;
    struct sb_store *store; /* NULL: no key, no state of its own */
    const struct sb_state_use *uses;
    uint32_t use_count;
    uint32_t lent_count;
    struct sb_store *lent[SB_LENDERS_MAX]; /* of other agents; by number of the loan */
    uint8_t *rows;                         /* room for the structs of packed rows; NULL: none */
    struct sb_agent_window *windows;       /* window_agent.h */
    uint32_t window_count;
    struct sb_outlet *outlets;
    uint32_t outlet_count;

    bool active;   /* the app's function is running */
    uint64_t call; /* counts calls of functions: what a cursor is good for */
    sabot_text key;
    uint64_t hash; /* of the key */
    bool deletes;  /* in a table: there is no record, the key is deleted */
    int64_t event_time_ms;
    int64_t watermark_ms;
    int64_t processing_ms; /* read once per batch */
    int32_t partition;
    int64_t offset;
    sabot_error error; /* the first of this call; status SABOT_OK: none */
    /* Of a call of the store: here, so that no call has room for its text. */
    sabot_error store_error;
    struct sb_arena scratch; /* of the app; env == NULL: not used yet */
    uint64_t scratch_call;   /* the call that it was last used in */
};

/* Free what the context has. */
void sb_context_reset(sabot_context *context);

/* Keep the first error of a call and return its status. */
sabot_status sb_context_fail(sabot_context *context, sabot_status status, const char *format, ...)
    SABOT_PRINTF(3, 4);

#endif
