/* SPDX-License-Identifier: Apache-2.0 */
/* state_bytes.c - the public calls of reducing and aggregating state whose values are bytes of any
 * size; state_fold.c has those of structs.
 *
 * The app's function is shown the bytes that are kept and says which shall be kept instead; it may
 * build them in the context's scratch memory. They are copied when it has returned, so nothing that
 * it hands over need live longer.
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/state.h"

/* Is it one of bytes, and the call right for it? Otherwise the context has failed. */
static bool usable(sabot_context *context,
                   const char *call,
                   const struct sb_state_handle *state,
                   enum sb_state_kind kind)
{
    if (!sb_state_usable(context, call, state, kind))
        return false;
    if (state->size == 0)
        return true;
    (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                          "%s of state %s, which keeps a struct: use the call without _bytes", call,
                          state->name);
    return false;
}

static bool has_data(sabot_context *context,
                     const char *call,
                     const struct sb_state_handle *state,
                     sabot_bytes bytes)
{
    if (bytes.data != NULL || bytes.size == 0)
        return true;
    (void)sb_context_fail(context, SABOT_ERR_ARGUMENT, "%s of state %s: no data", call,
                          state->name);
    return false;
}

static sabot_bytes read_bytes(sabot_context *context, const struct sb_state_handle *state)
{
    struct sb_store *store = sb_state_store(context, state);
    const sabot_text kept = sb_store_get(store, state->index, context->key, context->hash);

    if (sb_state_check_store(context, store) != SABOT_OK)
        return (sabot_bytes){NULL, 0};
    return (sabot_bytes){kept.data, kept.size};
}

static sabot_status keep_bytes(sabot_context *context,
                               const char *call,
                               const struct sb_state_handle *state,
                               sabot_bytes bytes)
{
    const sabot_text text = {bytes.data == NULL ? "" : bytes.data, bytes.size};
    sabot_status status;

    if (!has_data(context, call, state, bytes))
        return context->error.status;
    status = sb_store_put(sb_state_store(context, state), state->index, context->key, context->hash,
                          text, &context->store_error);
    return sb_state_take(context, status, &context->store_error);
}

/* --- Reducing ------------------------------------------------------------------------------------
 */

static bool reducing_usable(sabot_context *context, const char *call, const sabot_reducing *self)
{
    return usable(context, call, self == NULL ? NULL : &self->state, SB_STATE_REDUCING);
}

sabot_status sabot_reducing_add_bytes(sabot_context *context,
                                      const sabot_reducing *reducing,
                                      const void *data,
                                      size_t size)
{
    const sabot_bytes value = {data, size};
    sabot_bytes kept;

    if (!reducing_usable(context, "add", reducing) ||
        !has_data(context, "add", &reducing->state, value))
        return context->error.status;
    kept = read_bytes(context, &reducing->state);
    if (context->error.status != SABOT_OK)
        return context->error.status;
    if (kept.data == NULL)
        return keep_bytes(context, "add", &reducing->state, value);
    SABOT_TRY(sb_state_take_result(context, "add", &reducing->state,
                                   reducing->fold_bytes(context, &kept, value)));
    return keep_bytes(context, "add", &reducing->state, kept);
}

sabot_bytes sabot_reducing_read_bytes(sabot_context *context, const sabot_reducing *reducing)
{
    return reducing_usable(context, "read", reducing) ? read_bytes(context, &reducing->state)
                                                      : (sabot_bytes){NULL, 0};
}

/* --- Aggregating ---------------------------------------------------------------------------------
 */

static bool aggregating_usable(sabot_context *context,
                               const char *call,
                               const sabot_aggregating *self)
{
    return usable(context, call, self == NULL ? NULL : &self->state, SB_STATE_AGGREGATING);
}

/* Let a function change the accumulator, which begins empty. */
static sabot_status change(sabot_context *context,
                           const char *call,
                           const sabot_aggregating *aggregating,
                           sabot_reduce_bytes function,
                           sabot_bytes value)
{
    sabot_bytes accumulator;

    if (!has_data(context, call, &aggregating->state, value))
        return context->error.status;
    accumulator = read_bytes(context, &aggregating->state);
    if (context->error.status != SABOT_OK)
        return context->error.status;
    if (accumulator.data == NULL)
        accumulator.data = "";
    SABOT_TRY(sb_state_take_result(context, call, &aggregating->state,
                                   function(context, &accumulator, value)));
    return keep_bytes(context, call, &aggregating->state, accumulator);
}

sabot_status sabot_aggregating_add_bytes(sabot_context *context,
                                         const sabot_aggregating *aggregating,
                                         const void *data,
                                         size_t size)
{
    if (!aggregating_usable(context, "add", aggregating))
        return context->error.status;
    return change(context, "add", aggregating, aggregating->bytes_functions.add,
                  (sabot_bytes){data, size});
}

sabot_status sabot_aggregating_merge_bytes(sabot_context *context,
                                           const sabot_aggregating *aggregating,
                                           const void *accumulator,
                                           size_t size)
{
    if (!aggregating_usable(context, "merge", aggregating))
        return context->error.status;
    if (aggregating->bytes_functions.merge == NULL)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT,
                               "merge of state %s, which has no function for it",
                               aggregating->state.name);
    return change(context, "merge", aggregating, aggregating->bytes_functions.merge,
                  (sabot_bytes){accumulator, size});
}

sabot_bytes sabot_aggregating_read_bytes(sabot_context *context,
                                         const sabot_aggregating *aggregating)
{
    return aggregating_usable(context, "read", aggregating)
               ? read_bytes(context, &aggregating->state)
               : (sabot_bytes){NULL, 0};
}

bool sabot_aggregating_result_bytes(sabot_context *context,
                                    const sabot_aggregating *aggregating,
                                    void *result_out)
{
    sabot_bytes accumulator;

    if (!aggregating_usable(context, "result", aggregating))
        return false;
    accumulator = read_bytes(context, &aggregating->state);
    if (accumulator.data == NULL)
        return false;
    return sb_state_take_result(
               context, "result", &aggregating->state,
               aggregating->bytes_functions.result(context, accumulator, result_out)) == SABOT_OK;
}
