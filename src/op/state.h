/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - what the public calls of all kinds of keyed state share.
 *
 * A call is refused unless the agent's function runs and the handle is one of this agent, or one
 * that it may use (sabot_agent_use()), of the right kind. Whatever fails sticks to the context, and
 * so to the record.
 *
 * Threads: the worker that owns the agent's instance. */
#ifndef SB_OP_STATE_H
#define SB_OP_STATE_H

#include "op/context.h"

/* The store of another agent's state; NULL: this agent may not use it. */
struct sb_store *sb_state_lent(const sabot_context *context, const struct sb_state_handle *state);

/* The store that holds a state which may be used. */
static inline struct sb_store *sb_state_store(const sabot_context *context,
                                              const struct sb_state_handle *state)
{
    return __builtin_expect(state->owner == context->owner, 1) ? context->store
                                                               : sb_state_lent(context, state);
}

/* The rarer half of sb_state_usable(): another agent's state, or a refusal that says why. */
bool sb_state_usable_lent(sabot_context *context,
                          const char *call,
                          const struct sb_state_handle *state,
                          enum sb_state_kind kind);

/* May this call use the handle? Otherwise the context has failed. */
static inline bool sb_state_usable(sabot_context *context,
                                   const char *call,
                                   const struct sb_state_handle *state,
                                   enum sb_state_kind kind)
{
    if (__builtin_expect(state != NULL && state->owner == context->owner && context->active &&
                             state->kind == kind,
                         1))
        return true;
    return sb_state_usable_lent(context, call, state, kind) && state != NULL;
}

/* "a list", in errors. */
const char *sb_state_kind_name(enum sb_state_kind kind);

/* Of a function of the app, which may have failed and not said why. */
sabot_status sb_state_take_result(sabot_context *context,
                                  const char *call,
                                  const struct sb_state_handle *state,
                                  sabot_status status);

/* Keep the error of a call of the store; its status. */
sabot_status sb_state_take(sabot_context *context, sabot_status status, const sabot_error *error);

/* A read that failed gave zeros: the record must fail. */
sabot_status sb_state_check_store(sabot_context *context, const struct sb_store *store);

/* Is it a whole struct of the state's schema, or without one any run of bytes? */
sabot_status sb_state_check_size(sabot_context *context,
                                 const char *call,
                                 const struct sb_state_handle *state,
                                 const void *data,
                                 size_t size);

/* Forget what the state holds for the key. */
sabot_status sb_state_clear(sabot_context *context, const struct sb_state_handle *state);

/* How the built-in states fold numbers: both operands are int64_t (double). A mean is kept as a
 * sum; a count is a sum of int64. */
sabot_reduce sb_state_fold(sabot_builtin builtin, bool is_float64);

#endif
