/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - the public calls of keyed state on a record's context.
 *
 * Each call checks that it is made from inside of the agent's function, with a handle of this agent
 * of the right kind; then it is one call of the store. The first error sticks to the context, and
 * so the record fails even if the function goes on.
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/context.h"
#include "state/store.h"

/* May this call use the handle? Otherwise the context has failed. */
static bool usable(sabot_context *context, const char *call, const sabot_value *value)
{
    if (__builtin_expect(value != NULL && value->owner == context->owner && context->active, 1))
        return true;
    if (!context->active)
        (void)sb_context_fail(context, SABOT_ERR_STATE,
                              "%s outside of the call that the context was given to", call);
    else
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                              "%s of a state that is not one of agent %s", call, context->agent);
    return false;
}

/* A read that failed gave zeros: the record must fail. */
static void check_store(sabot_context *context)
{
    sabot_error error;

    if (__builtin_expect(context->store->failure == SABOT_OK, 1))
        return;
    if (sb_store_failure(context->store, &error) != SABOT_OK)
        (void)sb_context_fail(context, error.status, "%s", error.text);
}

/* What a misuse reads. */
static const union {
    uint8_t bytes[SB_STATE_FIXED_MAX];
    long double alignment;
} nothing;

const void *sabot_value_read(sabot_context *context, const sabot_value *value)
{
    const void *cell;

    if (!usable(context, "read", value))
        return &nothing;
    cell = sb_store_read(context->store, value->index, context->key, context->hash);
    check_store(context);
    return cell;
}

void *sabot_value_edit(sabot_context *context, const sabot_value *value)
{
    sabot_error error;
    void *cell;

    if (!usable(context, "edit", value))
        return NULL;
    cell = sb_store_edit(context->store, value->index, context->key, context->hash, &error);
    if (cell == NULL)
        (void)sb_context_fail(context, error.status, "%s", error.text);
    return cell;
}

sabot_status sabot_value_clear(sabot_context *context, const sabot_value *value)
{
    sabot_error error;
    sabot_status status;

    if (!usable(context, "clear", value))
        return context->error.status;
    status = sb_store_clear(context->store, value->index, context->key, context->hash, &error);
    if (status != SABOT_OK)
        (void)sb_context_fail(context, status, "%s", error.text);
    return status;
}
