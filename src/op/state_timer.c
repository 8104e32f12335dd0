/* SPDX-License-Identifier: Apache-2.0 */
/* state_timer.c - the public calls of timers and of the clock; process.c fires them.
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/state.h"

static bool timer_usable(sabot_context *context, const char *call, const sabot_timer *timer)
{
    return sb_state_usable(context, call, timer == NULL ? NULL : &timer->state, SB_STATE_TIMERS);
}

sabot_status sabot_timer_set(sabot_context *context, const sabot_timer *timer, int64_t time_ms)
{
    sabot_error error;
    sabot_status status;

    if (!timer_usable(context, "set", timer))
        return context->error.status;
    status = sb_timer_set(sb_state_store(context, &timer->state), timer->state.index, context->key,
                          context->hash, time_ms, &error);
    return sb_state_take(context, status, &error);
}

sabot_status sabot_timer_delete(sabot_context *context, const sabot_timer *timer, int64_t time_ms)
{
    sabot_error error;
    sabot_status status;

    if (!timer_usable(context, "delete", timer))
        return context->error.status;
    status = sb_timer_delete(sb_state_store(context, &timer->state), timer->state.index,
                             context->key, context->hash, time_ms, &error);
    return sb_state_take(context, status, &error);
}

int64_t sabot_processing_time_ms(const sabot_context *context)
{
    return context->processing_ms;
}
