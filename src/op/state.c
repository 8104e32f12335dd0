/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - the public calls of keyed state on a record's context: values and blobs, and what the
 * calls of all kinds share (lists and maps:
 * state_entries.c; reducing and aggregating: state_fold.c).
 *
 * Each call checks that it is made from inside of the agent's function, with a handle of this agent
 * of the right kind; then it is one call of the store. The first error sticks to the context, and
 * so the record fails even if the function goes on.
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/state.h"

struct sb_store *sb_state_lent(const sabot_context *context, const struct sb_state_handle *state)
{
    for (uint32_t i = 0; i < context->use_count; i++) {
        const struct sb_state_use *use = &context->uses[i];

        if (use->owner == state->owner && use->index == state->index)
            return context->lent[use->lender];
    }
    return NULL;
}

static void refuse(sabot_context *context,
                   const char *call,
                   const struct sb_state_handle *state,
                   enum sb_state_kind kind)
{
    if (!context->active)
        (void)sb_context_fail(context, SABOT_ERR_STATE,
                              "%s outside of the call that the context was given to", call);
    else if (state == NULL)
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT, "%s of no state", call);
    else if (state->owner != context->owner && sb_state_lent(context, state) == NULL)
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                              "%s of state %s, which is agent %s's and not one that agent %s uses: "
                              "see sabot_agent_use()",
                              call, state->name, state->agent, context->agent);
    else
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                              "%s of state %s, which is a %s, not a %s", call, state->name,
                              sb_state_kind_name(state->kind), sb_state_kind_name(kind));
}

bool sb_state_usable_lent(sabot_context *context,
                          const char *call,
                          const struct sb_state_handle *state,
                          enum sb_state_kind kind)
{
    if (state != NULL && context->active && state->kind == kind &&
        sb_state_store(context, state) != NULL)
        return true;
    refuse(context, call, state, kind);
    return false;
}

const char *sb_state_kind_name(enum sb_state_kind kind)
{
    switch (kind) {
    case SB_STATE_VALUE: return "value";
    case SB_STATE_LIST: return "list";
    case SB_STATE_MAP: return "map";
    case SB_STATE_REDUCING: return "reducing state";
    case SB_STATE_AGGREGATING: return "aggregating state";
    case SB_STATE_TIMERS: break;
    }
    return "timer";
}

sabot_status sb_state_take(sabot_context *context, sabot_status status, const sabot_error *error)
{
    if (__builtin_expect(status != SABOT_OK, 0))
        (void)sb_context_fail(context, status, "%s", error->text);
    return status;
}

sabot_status sb_state_check_store(sabot_context *context, const struct sb_store *store)
{
    sabot_error error;

    if (__builtin_expect(store->failure == SABOT_OK, 1))
        return SABOT_OK;
    return sb_state_take(context, sb_store_failure(store, &error), &error);
}

sabot_status sb_state_check_size(sabot_context *context,
                                 const char *call,
                                 const struct sb_state_handle *state,
                                 const void *data,
                                 size_t size)
{
    if (data == NULL && size > 0)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT, "%s of state %s: no data", call,
                               state->name);
    if (state->size > 0 && size != state->size)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT,
                               "%s of state %s: %zu bytes, but its struct has %u", call,
                               state->name, size, state->size);
    return SABOT_OK;
}

sabot_status sb_state_clear(sabot_context *context, const struct sb_state_handle *state)
{
    sabot_error error;
    const sabot_status status = sb_store_clear(sb_state_store(context, state), state->index,
                                               context->key, context->hash, &error);

    return sb_state_take(context, status, &error);
}

sabot_text sabot_key(const sabot_context *context)
{
    return context->key;
}

/* --- Values --------------------------------------------------------------------------------------
 */

/* What a misuse reads. */
static const union {
    uint8_t bytes[SB_STATE_FIXED_MAX];
    long double alignment;
} nothing;

/* A handle of one kind, as what all have in common. */
static const struct sb_state_handle *value_state(const sabot_value *value)
{
    return value == NULL ? NULL : &value->state;
}

const void *sabot_value_read(sabot_context *context, const sabot_value *value)
{
    const void *cell;

    if (!sb_state_usable(context, "read", value_state(value), SB_STATE_VALUE))
        return &nothing;
    cell = sb_store_read(sb_state_store(context, &value->state), value->state.index, context->key,
                         context->hash);
    (void)sb_state_check_store(context, sb_state_store(context, &value->state));
    return cell;
}

void *sabot_value_edit(sabot_context *context, const sabot_value *value)
{
    void *cell;

    if (!sb_state_usable(context, "edit", value_state(value), SB_STATE_VALUE))
        return NULL;
    cell = sb_store_edit(sb_state_store(context, &value->state), value->state.index, context->key,
                         context->hash, &context->store_error);
    if (__builtin_expect(cell == NULL, 0))
        (void)sb_context_fail(context, context->store_error.status, "%s",
                              context->store_error.text);
    return cell;
}

sabot_status sabot_value_clear(sabot_context *context, const sabot_value *value)
{
    if (!sb_state_usable(context, "clear", value_state(value), SB_STATE_VALUE))
        return context->error.status;
    return sb_state_clear(context, &value->state);
}

/* --- Blobs ---------------------------------------------------------------------------------------
 */

static bool blob_usable(sabot_context *context, const char *call, const sabot_blob *blob)
{
    return sb_state_usable(context, call, blob == NULL ? NULL : &blob->state, SB_STATE_VALUE);
}

sabot_bytes sabot_blob_get(sabot_context *context, const sabot_blob *blob)
{
    sabot_text value;

    if (!blob_usable(context, "get", blob))
        return (sabot_bytes){NULL, 0};
    value = sb_store_get(sb_state_store(context, &blob->state), blob->state.index, context->key,
                         context->hash);
    (void)sb_state_check_store(context, sb_state_store(context, &blob->state));
    return (sabot_bytes){value.data, value.size};
}

sabot_status sabot_blob_put(sabot_context *context,
                            const sabot_blob *blob,
                            const void *data,
                            size_t size)
{
    sabot_error error;
    sabot_status status;

    if (!blob_usable(context, "put", blob))
        return context->error.status;
    SABOT_TRY(sb_state_check_size(context, "put", &blob->state, data, size));
    status = sb_store_put(sb_state_store(context, &blob->state), blob->state.index, context->key,
                          context->hash, (sabot_text){data, size}, &error);
    return sb_state_take(context, status, &error);
}

sabot_status sabot_blob_clear(sabot_context *context, const sabot_blob *blob)
{
    if (!blob_usable(context, "clear", blob))
        return context->error.status;
    return sb_state_clear(context, &blob->state);
}
