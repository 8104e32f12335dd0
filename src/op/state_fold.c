/* SPDX-License-Identifier: Apache-2.0 */
/* state_fold.c - the public calls of reducing and aggregating state: values that are added up.
 *
 * Both keep one cell per key, as a value does. A reducing cell is the value so far; an aggregating
 * one is the accumulator, which for the built-in ones is a count and a number (struct
 * sabot_sum_int64).
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/state.h"

/* --- Numbers -------------------------------------------------------------------------------------
 */

static sabot_status sum_int64(sabot_context *context, void *kept, const void *value)
{
    const int64_t before = *(int64_t *)kept;

    if (!__builtin_add_overflow(before, *(const int64_t *)value, (int64_t *)kept))
        return SABOT_OK;
    *(int64_t *)kept = before;
    return sb_context_fail(context, SABOT_ERR_LIMIT, "the sum of %lld and %lld is no int64",
                           (long long)before, (long long)*(const int64_t *)value);
}

static sabot_status min_int64(sabot_context *context, void *kept, const void *value)
{
    (void)context;
    if (*(const int64_t *)value < *(int64_t *)kept)
        *(int64_t *)kept = *(const int64_t *)value;
    return SABOT_OK;
}

static sabot_status max_int64(sabot_context *context, void *kept, const void *value)
{
    (void)context;
    if (*(const int64_t *)value > *(int64_t *)kept)
        *(int64_t *)kept = *(const int64_t *)value;
    return SABOT_OK;
}

static sabot_status sum_float64(sabot_context *context, void *kept, const void *value)
{
    (void)context;
    *(double *)kept += *(const double *)value;
    return SABOT_OK;
}

static bool is_nan(double number)
{
    return number != number;
}

static sabot_status min_float64(sabot_context *context, void *kept, const void *value)
{
    (void)context;
    if (*(const double *)value < *(double *)kept || is_nan(*(double *)kept))
        *(double *)kept = *(const double *)value;
    return SABOT_OK;
}

static sabot_status max_float64(sabot_context *context, void *kept, const void *value)
{
    (void)context;
    if (*(const double *)value > *(double *)kept || is_nan(*(double *)kept))
        *(double *)kept = *(const double *)value;
    return SABOT_OK;
}

sabot_reduce sb_state_fold(sabot_builtin builtin, bool is_float64)
{
    switch (builtin) {
    case SABOT_SUM:
    case SABOT_MEAN: return is_float64 ? sum_float64 : sum_int64;
    case SABOT_MIN: return is_float64 ? min_float64 : min_int64;
    case SABOT_MAX: return is_float64 ? max_float64 : max_int64;
    case SABOT_COUNT: return sum_int64;
    }
    return NULL;
}

/* --- What both share -----------------------------------------------------------------------------
 */

static const void *read_cell(sabot_context *context, const struct sb_state_handle *state)
{
    struct sb_store *store = sb_state_store(context, state);
    const void *cell = sb_store_get(store, state->index, context->key, context->hash).data;

    return sb_state_check_store(context, store) == SABOT_OK ? cell : NULL;
}

static void *edit_cell(sabot_context *context, const struct sb_state_handle *state)
{
    sabot_error error;
    void *cell = sb_store_edit(sb_state_store(context, state), state->index, context->key,
                               context->hash, &error);

    if (cell == NULL)
        (void)sb_context_fail(context, error.status, "%s", error.text);
    return cell;
}

static sabot_status no_value(sabot_context *context,
                             const char *call,
                             const struct sb_state_handle *state)
{
    return sb_context_fail(context, SABOT_ERR_ARGUMENT, "%s of state %s: no value", call,
                           state->name);
}

sabot_status sb_state_take_result(sabot_context *context,
                                  const char *call,
                                  const struct sb_state_handle *state,
                                  sabot_status status)
{
    if (status == SABOT_OK)
        return context->error.status;
    if (status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    return sb_context_fail(context, status, "%s of state %s: its function returned %s", call,
                           state->name, sabot_status_name(status));
}

/* Does it keep a struct, as the call takes it for? */
static bool is_fixed(sabot_context *context, const char *call, const struct sb_state_handle *state)
{
    if (state->size > 0)
        return true;
    (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                          "%s of state %s, which keeps bytes: use the call with _bytes", call,
                          state->name);
    return false;
}

/* --- Reducing ------------------------------------------------------------------------------------
 */

static bool reducing_usable(sabot_context *context, const char *call, const sabot_reducing *self)
{
    return sb_state_usable(context, call, self == NULL ? NULL : &self->state, SB_STATE_REDUCING) &&
           is_fixed(context, call, &self->state);
}

sabot_status sabot_reducing_add(sabot_context *context,
                                const sabot_reducing *reducing,
                                const void *value)
{
    static const int64_t one = 1;
    bool is_first;
    void *cell;

    if (!reducing_usable(context, "add", reducing))
        return context->error.status;
    if (reducing->counts)
        value = &one;
    else if (value == NULL)
        return no_value(context, "add", &reducing->state);
    is_first = read_cell(context, &reducing->state) == NULL;
    cell = edit_cell(context, &reducing->state);
    if (context->error.status != SABOT_OK)
        return context->error.status;
    if (!is_first)
        return sb_state_take_result(context, "add", &reducing->state,
                                    reducing->fold(context, cell, value));
    memcpy(cell, value, reducing->state.size);
    return SABOT_OK;
}

const void *sabot_reducing_read(sabot_context *context, const sabot_reducing *reducing)
{
    return reducing_usable(context, "read", reducing) ? read_cell(context, &reducing->state) : NULL;
}

sabot_status sabot_reducing_clear(sabot_context *context, const sabot_reducing *reducing)
{
    if (!sb_state_usable(context, "clear", reducing == NULL ? NULL : &reducing->state,
                         SB_STATE_REDUCING))
        return context->error.status;
    return sb_state_clear(context, &reducing->state);
}

/* --- Aggregating ---------------------------------------------------------------------------------
 */

static bool aggregating_usable(sabot_context *context,
                               const char *call,
                               const sabot_aggregating *self)
{
    return sb_state_usable(context, call, self == NULL ? NULL : &self->state,
                           SB_STATE_AGGREGATING) &&
           is_fixed(context, call, &self->state);
}

/* `count` values with the number `value` into the accumulator. The number is the same place in
 * struct sabot_sum_int64 and _float64. */
static sabot_status add_numbers(sabot_context *context,
                                const sabot_aggregating *aggregating,
                                sabot_sum_int64 *sum,
                                int64_t count,
                                const void *value)
{
    _Static_assert(offsetof(sabot_sum_int64, value) == offsetof(sabot_sum_float64, value) &&
                       sizeof(sabot_sum_int64) == sizeof(sabot_sum_float64),
                   "either may stand for the other");
    const bool is_first = sum->count == 0;

    SABOT_TRY(sum_int64(context, &sum->count, &count));
    if (aggregating->builtin == SABOT_COUNT)
        return SABOT_OK;
    if (!is_first)
        return aggregating->fold(context, &sum->value, value);
    memcpy(&sum->value, value, sizeof sum->value);
    return SABOT_OK;
}

sabot_status sabot_aggregating_add(sabot_context *context,
                                   const sabot_aggregating *aggregating,
                                   const void *value)
{
    sabot_status status;
    void *cell;

    if (!aggregating_usable(context, "add", aggregating))
        return context->error.status;
    if (value == NULL && aggregating->fold != NULL && aggregating->builtin != SABOT_COUNT)
        return no_value(context, "add", &aggregating->state);
    cell = edit_cell(context, &aggregating->state);
    if (cell == NULL)
        return context->error.status;
    if (aggregating->fold != NULL)
        status = add_numbers(context, aggregating, cell, 1, value);
    else
        status = aggregating->functions.add(context, cell, value);
    return sb_state_take_result(context, "add", &aggregating->state, status);
}

sabot_status sabot_aggregating_merge(sabot_context *context,
                                     const sabot_aggregating *aggregating,
                                     const void *accumulator)
{
    const sabot_sum_int64 *sum = accumulator;
    sabot_status status = SABOT_OK;
    void *cell;

    if (!aggregating_usable(context, "merge", aggregating))
        return context->error.status;
    if (accumulator == NULL)
        return no_value(context, "merge", &aggregating->state);
    if (aggregating->fold == NULL && aggregating->functions.merge == NULL)
        return sb_context_fail(context, SABOT_ERR_ARGUMENT,
                               "merge of state %s, which has no function for it",
                               aggregating->state.name);
    if (aggregating->fold != NULL && sum->count == 0)
        return SABOT_OK; /* there is nothing in it */
    cell = edit_cell(context, &aggregating->state);
    if (cell == NULL)
        return context->error.status;
    if (aggregating->fold != NULL)
        status = add_numbers(context, aggregating, cell, sum->count, &sum->value);
    else
        status = aggregating->functions.merge(context, cell, accumulator);
    return sb_state_take_result(context, "merge", &aggregating->state, status);
}

const void *sabot_aggregating_read(sabot_context *context, const sabot_aggregating *aggregating)
{
    return aggregating_usable(context, "read", aggregating)
               ? read_cell(context, &aggregating->state)
               : NULL;
}

/* The result of a built-in state. */
static void write_number(const sabot_aggregating *aggregating, const void *cell, void *result_out)
{
    const sabot_sum_int64 *integer = cell;
    const sabot_sum_float64 *real = cell;
    double mean;

    switch (aggregating->builtin) {
    case SABOT_COUNT: memcpy(result_out, &integer->count, sizeof integer->count); break;
    case SABOT_MEAN:
        mean = aggregating->is_float64 ? real->value : (double)integer->value;
        mean /= (double)integer->count;
        memcpy(result_out, &mean, sizeof mean);
        break;
    case SABOT_SUM:
    case SABOT_MIN:
    case SABOT_MAX: memcpy(result_out, &integer->value, sizeof integer->value); break;
    }
}

bool sabot_aggregating_result(sabot_context *context,
                              const sabot_aggregating *aggregating,
                              void *result_out)
{
    const void *cell;

    if (!aggregating_usable(context, "result", aggregating))
        return false;
    cell = read_cell(context, &aggregating->state);
    if (cell == NULL)
        return false;
    if (aggregating->fold == NULL)
        return sb_state_take_result(context, "result", &aggregating->state,
                                    aggregating->functions.result(context, cell, result_out)) ==
               SABOT_OK;
    write_number(aggregating, cell, result_out);
    return true;
}

sabot_status sabot_aggregating_clear(sabot_context *context, const sabot_aggregating *aggregating)
{
    if (!sb_state_usable(context, "clear", aggregating == NULL ? NULL : &aggregating->state,
                         SB_STATE_AGGREGATING))
        return context->error.status;
    return sb_state_clear(context, &aggregating->state);
}
