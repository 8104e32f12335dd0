/* SPDX-License-Identifier: Apache-2.0 */
/* context.c - the public calls of a record's context, but for keyed state (state.c).
 *
 * The first error of a call of the app's function is kept and is the one that is reported, even if
 * the function goes on and returns SABOT_OK. */
#include "op/context.h"

#include <stdio.h>

enum { LOG_LINE_MAX = 1024 };

static sabot_status keep_error(sabot_context *context,
                               sabot_status status,
                               const char *format,
                               va_list arguments) SABOT_PRINTF(3, 0);

static sabot_status keep_error(sabot_context *context,
                               sabot_status status,
                               const char *format,
                               va_list arguments)
{
    if (context->error.status == SABOT_OK)
        (void)sabot_raise_list(&context->error, status, format, arguments);
    return status;
}

sabot_status sb_context_fail(sabot_context *context, sabot_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    status = keep_error(context, status, format, arguments);
    va_end(arguments);
    return status;
}

void sb_context_reset(sabot_context *context)
{
    if (context->scratch.env != NULL)
        sb_arena_reset(&context->scratch);
}

/* What an earlier call had is given back when a later one asks. */
void *sabot_scratch(sabot_context *context, size_t size)
{
    void *memory;

    if (!context->active) {
        (void)sb_context_fail(context, SABOT_ERR_STATE,
                              "scratch outside of the call that the context was given to");
        return NULL;
    }
    if (size > SABOT_STATE_VALUE_MAX) {
        (void)sb_context_fail(context, SABOT_ERR_LIMIT, "scratch of %zu bytes, %d are allowed",
                              size, SABOT_STATE_VALUE_MAX);
        return NULL;
    }
    if (context->scratch.env == NULL)
        sb_arena_init(&context->scratch, context->env);
    if (context->scratch_call != context->call)
        sb_arena_rewind(&context->scratch);
    context->scratch_call = context->call;
    memory = sb_arena_alloc(&context->scratch, size);
    if (memory == NULL)
        (void)sb_context_fail(context, SABOT_ERR_MEMORY, "no memory for %zu bytes of scratch",
                              size);
    return memory;
}

sabot_status sabot_fail(sabot_context *context, sabot_status status, const char *format, ...)
{
    va_list arguments;

    /* What the app calls a success or a mark of ours is no way to fail. */
    if (status == SABOT_OK || status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    va_start(arguments, format);
    status = keep_error(context, status, format, arguments);
    va_end(arguments);
    return status;
}

sabot_status sabot_context_status(const sabot_context *context)
{
    return context->error.status;
}

void *sabot_user(const sabot_context *context)
{
    return context->user;
}

sabot_status sabot_emit(sabot_context *context, const sabot_output *output, const void *record)
{
    sabot_error error;
    sabot_status status;

    if (!context->active)
        return sb_context_fail(context, SABOT_ERR_STATE,
                               "emit outside of the call that the context was given to");
    if (output == NULL || output->owner != context->owner)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT,
                               "emit to an output that is not one of agent %s", context->agent);
    if (record == NULL)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT, "emit without a record");
    SB_ASSERT(output->index < context->outlet_count);
    status =
        sb_outlet_record(&context->outlets[output->index], record, context->event_time_ms, &error);
    if (status != SABOT_OK)
        return sb_context_fail(context, status, "emit: %s", error.text);
    return SABOT_OK;
}

int64_t sabot_event_time_ms(const sabot_context *context)
{
    return context->event_time_ms;
}

int64_t sabot_watermark_ms(const sabot_context *context)
{
    return context->watermark_ms;
}

int32_t sabot_record_partition(const sabot_context *context)
{
    return context->partition;
}

int64_t sabot_record_offset(const sabot_context *context)
{
    return context->offset;
}

void sabot_log(sabot_context *context, sabot_log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list arguments;

    if (level > context->env->log_level)
        return;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    sb_log(context->env, level, context->agent, "%s", line);
}
