/* SPDX-License-Identifier: Apache-2.0 */
/* window_agent.c - the public calls of an agent's windows.
 *
 * A window fires inside of the agent's call that adds a record, or by a timer, as a call of its
 * own; either way its function runs with the agent's context, and what fails in it fails that call.
 *
 * Threads: the worker that owns the agent's instance. Memory: an engine per window. */
#include "op/window_agent.h"

#include <string.h>

#include "op/operator.h"
#include "op/window_part.h"

/* --- Instances -----------------------------------------------------------------------------------
 */

/* The engine's `fired`: the app's function, in the context of the call that runs. */
static sabot_status on_fired(void *argument,
                             const struct sabot_window_result *result,
                             sabot_error *error)
{
    struct sb_agent_window *window = argument;
    sabot_context *context = window->context;
    sabot_status status;

    window->fires = true;
    status = window->declared->fired(context, result);
    window->fires = false;
    if (status == SABOT_OK)
        status = context->error.status;
    if (status == SABOT_OK)
        return SABOT_OK;
    if (status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    if (context->error.status == SABOT_OK)
        (void)sb_context_fail(context, status, "the function of window %s failed: %s",
                              window->declared->name, sabot_status_text(status));
    *error = context->error;
    return error->status;
}

sabot_status sb_agent_windows_create(sabot_context *context,
                                     const struct sabot_window *const *declared,
                                     uint32_t count,
                                     sabot_error *error)
{
    if (count == 0)
        return SABOT_OK;
    SB_ASSERT(context->store != NULL);
    context->windows = sb_alloc_array(context->env, count, sizeof *context->windows);
    if (context->windows == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory", context->agent);
    context->window_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct sb_agent_window *window = &context->windows[i];

        window->declared = declared[i];
        window->context = context;
        SABOT_TRY(sb_window_engine_init(&window->engine, context->env, declared[i]->plan,
                                        context->store, declared[i]->first_state, error));
        window->engine.fired = on_fired;
        window->engine.context = window;
    }
    return SABOT_OK;
}

void sb_agent_windows_destroy(sabot_context *context)
{
    for (uint32_t i = 0; i < context->window_count; i++)
        sb_window_engine_reset(&context->windows[i].engine);
    sb_free_array(context->env, context->windows, context->window_count, sizeof *context->windows);
    context->windows = NULL;
    context->window_count = 0;
}

void sb_agent_windows_time(sabot_context *context)
{
    for (uint32_t i = 0; i < context->window_count; i++)
        sb_window_engine_time(&context->windows[i].engine, context->watermark_ms,
                              sb_passed_ms(context->watermark_ms), context->processing_ms);
}

static struct sb_agent_window *window_of(const sabot_context *context, uint32_t state)
{
    for (uint32_t i = 0; i < context->window_count; i++) {
        struct sb_agent_window *window = &context->windows[i];

        if (state >= window->declared->first_state &&
            state < window->declared->first_state + window->engine.plan->state_count)
            return window;
    }
    return NULL;
}

bool sb_agent_windows_own(const sabot_context *context, uint32_t state)
{
    return window_of(context, state) != NULL;
}

sabot_status sb_agent_windows_timer(sabot_context *context, uint32_t state, int64_t time_ms)
{
    struct sb_agent_window *window = window_of(context, state);
    sabot_error error;
    const sabot_status status =
        sb_window_timer(&window->engine, state, context->key, context->hash, time_ms, &error);

    if (status == SABOT_OK || context->error.status != SABOT_OK)
        return context->error.status;
    return sb_context_fail(context, status, "%s", error.text);
}

/* --- Public calls --------------------------------------------------------------------------------
 */

sabot_status sabot_window_add(sabot_context *context,
                              const sabot_window *window,
                              const void *record,
                              bool *late_out)
{
    const struct sb_window_input input = {.record = record,
                                          .event_time_ms = context->event_time_ms};
    struct sb_agent_window *own;
    sabot_error error;
    sabot_status status;
    bool is_late = false;

    if (window == NULL || window->owner != context->owner || !context->active)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT,
                               "add to a window that is not one of agent %s, or outside of its "
                               "function",
                               context->agent);
    if (record == NULL)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT, "add to window %s: no record",
                               window->name);
    own = &context->windows[window->index];
    if (own->fires)
        return sb_context_fail(context, SABOT_ERR_STATE,
                               "add to window %s from its own function, while it fires",
                               window->name);
    status = sb_window_add(&own->engine, context->key, context->hash, &input, &is_late, &error);
    if (late_out != NULL)
        *late_out = is_late;
    if (status == SABOT_OK || context->error.status != SABOT_OK)
        return context->error.status;
    return sb_context_fail(context, status, "%s", error.text);
}

sabot_window_bounds sabot_window_result_bounds(const sabot_window_result *result)
{
    return result->bounds;
}

sabot_firing sabot_window_result_firing(const sabot_window_result *result)
{
    return result->firing;
}

int64_t sabot_window_result_number(const sabot_window_result *result)
{
    return result->number;
}

int64_t sabot_window_result_records(const sabot_window_result *result)
{
    return result->records;
}

/* The value of an aggregate, if there is one of this class. */
static const struct sb_value *value_of(const sabot_window_result *result,
                                       size_t index,
                                       enum sb_value_class class)
{
    const struct sb_window_plan *plan = result->engine->plan;

    if (index >= plan->fold_count || plan->folds[index].gives != class ||
        !result->values[index].present)
        return NULL;
    return &result->values[index];
}

bool sabot_window_result_int64(const sabot_window_result *result, size_t index, int64_t *value_out)
{
    const struct sb_value *value = value_of(result, index, SB_VALUE_INT64);

    if (value != NULL)
        *value_out = value->int64;
    return value != NULL;
}

bool sabot_window_result_float64(const sabot_window_result *result, size_t index, double *value_out)
{
    const struct sb_value *value = value_of(result, index, SB_VALUE_FLOAT64);

    if (value != NULL)
        *value_out = value->float64;
    return value != NULL;
}

bool sabot_window_result_text(const sabot_window_result *result,
                              size_t index,
                              sabot_text *value_out)
{
    const struct sb_value *value = value_of(result, index, SB_VALUE_TEXT);

    if (value != NULL)
        *value_out = value->text;
    return value != NULL;
}

/* --- Records -------------------------------------------------------------------------------------
 */

sabot_status sabot_window_records(sabot_context *context,
                                  const sabot_window_result *result,
                                  sabot_window_record_function function,
                                  void *user)
{
    struct sb_window_engine *engine = result->engine;
    struct sb_records_walk walk;
    sabot_error error;
    sabot_status status = SABOT_OK;
    int64_t time_ms;
    sabot_text kept;

    if (!engine->plan->keeps_records)
        return sb_context_fail(context, SABOT_ERR_STATE,
                               "%s: its records are not kept: set "
                               "keep_records",
                               engine->plan->name);
    if (sb_records_walk(engine, result->unit_id, &walk, &error) != SABOT_OK)
        return sb_context_fail(context, error.status, "%s", error.text);
    while (status == SABOT_OK && sb_records_next(engine, &walk, &kept, &time_ms)) {
        if (sb_records_decode(engine, kept, &error) != SABOT_OK)
            return sb_context_fail(context, error.status, "%s", error.text);
        status = function(context, engine->record, time_ms, user);
    }
    return status;
}
