/* SPDX-License-Identifier: Apache-2.0 */
/* window_fold.c - aggregates of fixed size: adding, merging, results.
 *
 * On the path of a batch twice: sb_fold_add_rows() for records that meet their unit (a loop per
 * aggregate and type, nothing else in it), sb_fold_add() for all others. Threads: stateless.
 * Memory: the accumulators'. */
#include "op/window_fold.h"

#include <string.h>

/* --- Values --------------------------------------------------------------------------------------
 */

static struct sb_value value_in_batch(const struct sb_window_input *input, uint32_t field)
{
    const struct sb_batch *batch = input->batch;
    const uint32_t row = input->row;
    struct sb_value value = {.present = sb_column_has(&batch->columns[field], row)};

    switch (batch->columns[field].type) {
    case SABOT_BOOL: value.int64 = sb_batch_bool(batch, field, row); break;
    case SABOT_INT32: value.int64 = sb_batch_int32(batch, field, row); break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: value.int64 = sb_batch_int64(batch, field, row); break;
    case SABOT_FLOAT64: value.float64 = sb_batch_float64(batch, field, row); break;
    case SABOT_UTF8:
    case SABOT_BINARY: value.text = sb_batch_text(batch, field, row); break;
    case SABOT_CHARS: break;
    }
    return value;
}

static struct sb_value value_in_struct(const struct sb_schema *schema,
                                       const struct sb_window_input *input,
                                       uint32_t field)
{
    const struct sb_schema_field *of = &schema->fields[field];
    const uint8_t *member = (const uint8_t *)input->record + of->offset;
    struct sb_value value = {.present = true};
    int32_t int_value;

    switch (of->type) {
    case SABOT_BOOL: value.int64 = *member != 0; break;
    case SABOT_INT32:
        memcpy(&int_value, member, sizeof int_value);
        value.int64 = int_value;
        break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: memcpy(&value.int64, member, sizeof value.int64); break;
    case SABOT_FLOAT64: memcpy(&value.float64, member, sizeof value.float64); break;
    case SABOT_UTF8:
    case SABOT_BINARY:
        memcpy(&value.text, member, sizeof value.text);
        value.present = value.text.data != NULL;
        break;
    case SABOT_CHARS: break;
    }
    if (input->present != NULL)
        value.present = (input->present[field >> 3] >> (field & 7)) & 1;
    return value;
}

struct sb_value sb_input_value(const struct sb_window_plan *plan,
                               const struct sb_window_input *input,
                               uint32_t field)
{
    return input->batch != NULL ? value_in_batch(input, field)
                                : value_in_struct(plan->input, input, field);
}

/* --- Adding --------------------------------------------------------------------------------------
 */

static inline sb_int128 load_sum(const struct sb_fold_int64 *sum)
{
    return sum->high * ((sb_int128)1 << 64) + (uint64_t)sum->low;
}

static inline void store_sum(struct sb_fold_int64 *sum, sb_int128 value)
{
    sum->low = (int64_t)(uint64_t)value;
    sum->high = (int64_t)(value >> 64);
}

static inline void sum_int64(void *accumulator, int64_t value)
{
    struct sb_fold_int64 *sum = accumulator;

    sum->values++;
    store_sum(sum, load_sum(sum) + value);
}

static inline void sum_float64(void *accumulator, double value)
{
    struct sb_fold_number *sum = accumulator;

    sum->values++;
    sum->value.float64 += value;
}

static inline void min_int64(void *accumulator, int64_t value)
{
    struct sb_fold_number *kept = accumulator;

    if (kept->values++ == 0 || value < kept->value.int64)
        kept->value.int64 = value;
}

static inline void max_int64(void *accumulator, int64_t value)
{
    struct sb_fold_number *kept = accumulator;

    if (kept->values++ == 0 || value > kept->value.int64)
        kept->value.int64 = value;
}

/* A NaN gives way to any number, and no number to a NaN. */
static inline void min_float64(void *accumulator, double value)
{
    struct sb_fold_number *kept = accumulator;

    if (kept->values++ == 0 || value < kept->value.float64 || __builtin_isnan(kept->value.float64))
        kept->value.float64 = value;
}

static inline void max_float64(void *accumulator, double value)
{
    struct sb_fold_number *kept = accumulator;

    if (kept->values++ == 0 || value > kept->value.float64 || __builtin_isnan(kept->value.float64))
        kept->value.float64 = value;
}

static inline void add_variance(void *accumulator, double value)
{
    struct sb_fold_variance *kept = accumulator;
    const double distance = value - kept->mean;

    kept->values++;
    kept->mean += distance / (double)kept->values;
    kept->spread += distance * (value - kept->mean);
}

/* Should the value of this time take the place of the kept one? */
static inline bool comes_first(const struct sb_fold_at *kept, int64_t time_ms)
{
    return kept->values == 0 || time_ms < kept->time_ms;
}
static inline bool comes_last(const struct sb_fold_at *kept, int64_t time_ms)
{
    return kept->values == 0 || time_ms >= kept->time_ms;
}

static void add_at(const struct sb_fold *fold,
                   struct sb_fold_at *kept,
                   const struct sb_value *value,
                   int64_t time_ms)
{
    const bool takes = fold->function == SABOT_WINDOW_FIRST ? comes_first(kept, time_ms)
                                                            : comes_last(kept, time_ms);

    kept->values++;
    if (!takes)
        return;
    kept->time_ms = time_ms;
    if (fold->takes == SB_VALUE_FLOAT64)
        kept->value.float64 = value->float64;
    else if (fold->takes == SB_VALUE_INT64)
        kept->value.int64 = value->int64;
}

static sabot_status custom_failed(const struct sb_window_plan *plan,
                                  const struct sb_fold *fold,
                                  const char *function,
                                  sabot_status status,
                                  sabot_error *error)
{
    /* Marks of the library are no way to fail. */
    if (status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    return sabot_raise(error, status, "%s: %s of aggregate %s failed: %s", plan->name, function,
                       fold->name, sabot_status_text(status));
}

sabot_status sb_fold_add(const struct sb_window_plan *plan,
                         const struct sb_fold *fold,
                         const struct sb_window_input *input,
                         void *accumulator,
                         sabot_error *error)
{
    struct sb_value value = {.present = true};
    sabot_status status;

    if (fold->field != SB_NO_FIELD)
        value = sb_input_value(plan, input, (uint32_t)fold->field);
    if (!value.present)
        return SABOT_OK;
    switch (fold->function) {
    case SABOT_WINDOW_COUNT:
    case SABOT_WINDOW_COLLECT:
        if (fold->size > 0)
            ++*(int64_t *)accumulator;
        break;
    case SABOT_WINDOW_COUNT_DISTINCT: break; /* counted by its parts */
    case SABOT_WINDOW_SUM:
    case SABOT_WINDOW_MEAN:
        if (fold->takes == SB_VALUE_FLOAT64)
            sum_float64(accumulator, value.float64);
        else
            sum_int64(accumulator, value.int64);
        break;
    case SABOT_WINDOW_MIN:
        if (fold->takes == SB_VALUE_FLOAT64)
            min_float64(accumulator, value.float64);
        else
            min_int64(accumulator, value.int64);
        break;
    case SABOT_WINDOW_MAX:
        if (fold->takes == SB_VALUE_FLOAT64)
            max_float64(accumulator, value.float64);
        else
            max_int64(accumulator, value.int64);
        break;
    case SABOT_WINDOW_VARIANCE:
        add_variance(accumulator,
                     fold->takes == SB_VALUE_FLOAT64 ? value.float64 : (double)value.int64);
        break;
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST: add_at(fold, accumulator, &value, input->event_time_ms); break;
    case SABOT_WINDOW_CUSTOM:
        status = fold->custom.add(accumulator, input->record, fold->custom.user);
        if (status != SABOT_OK)
            return custom_failed(plan, fold, "add", status, error);
        break;
    }
    return SABOT_OK;
}

/* --- Adding a run of rows ------------------------------------------------------------------------
 *
 * One loop for each function and type; `values[row]` is the column.
 */

#define FOLD_ROWS(type, expression, add)                                    \
    do {                                                                    \
        const type *values = column->values;                                \
        for (uint32_t i = 0; i < count; i++) {                              \
            const uint32_t row = rows[i];                                   \
            if (!some_missing || sb_column_has(column, row))                \
                add(sb_unit_fold(fold, units[i]), (expression)values[row]); \
        }                                                                   \
    } while (0)

#define FOLD_INT64(add)                       \
    do {                                      \
        if (column->type == SABOT_INT32)      \
            FOLD_ROWS(int32_t, int64_t, add); \
        else                                  \
            FOLD_ROWS(int64_t, int64_t, add); \
    } while (0)

static void rows_sum(const struct sb_fold *fold,
                     const struct sb_column *column,
                     const uint32_t *rows,
                     struct sb_window_unit *const *units,
                     uint32_t count)
{
    const bool some_missing = column->null_count > 0;

    if (column->type == SABOT_FLOAT64)
        FOLD_ROWS(double, double, sum_float64);
    else
        FOLD_INT64(sum_int64);
}

static void rows_min(const struct sb_fold *fold,
                     const struct sb_column *column,
                     const uint32_t *rows,
                     struct sb_window_unit *const *units,
                     uint32_t count)
{
    const bool some_missing = column->null_count > 0;

    if (column->type == SABOT_FLOAT64)
        FOLD_ROWS(double, double, min_float64);
    else
        FOLD_INT64(min_int64);
}

static void rows_max(const struct sb_fold *fold,
                     const struct sb_column *column,
                     const uint32_t *rows,
                     struct sb_window_unit *const *units,
                     uint32_t count)
{
    const bool some_missing = column->null_count > 0;

    if (column->type == SABOT_FLOAT64)
        FOLD_ROWS(double, double, max_float64);
    else
        FOLD_INT64(max_int64);
}

static void rows_variance(const struct sb_fold *fold,
                          const struct sb_column *column,
                          const uint32_t *rows,
                          struct sb_window_unit *const *units,
                          uint32_t count)
{
    const bool some_missing = column->null_count > 0;

    if (column->type == SABOT_FLOAT64)
        FOLD_ROWS(double, double, add_variance);
    else if (column->type == SABOT_INT32)
        FOLD_ROWS(int32_t, double, add_variance);
    else
        FOLD_ROWS(int64_t, double, add_variance);
}

static void rows_count(const struct sb_fold *fold,
                       const struct sb_column *column,
                       const uint32_t *rows,
                       struct sb_window_unit *const *units,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        *(int64_t *)sb_unit_fold(fold, units[i]) += sb_column_has(column, rows[i]);
}

static void rows_at(const struct sb_fold *fold,
                    const struct sb_batch *batch,
                    const uint32_t *rows,
                    struct sb_window_unit *const *units,
                    uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sb_window_input input = {.batch = batch, .row = rows[i]};
        const struct sb_value value = value_in_batch(&input, (uint32_t)fold->field);

        if (value.present)
            add_at(fold, sb_unit_fold(fold, units[i]), &value, batch->event_times[rows[i]]);
    }
}

void sb_fold_add_rows(const struct sb_fold *fold,
                      const struct sb_batch *batch,
                      const uint32_t *rows,
                      struct sb_window_unit *const *units,
                      uint32_t count)
{
    const struct sb_column *column =
        fold->field == SB_NO_FIELD ? NULL : &batch->columns[fold->field];

    if (column == NULL)
        return; /* the records of a unit are counted by whoever adds them */
    switch (fold->function) {
    case SABOT_WINDOW_COUNT: rows_count(fold, column, rows, units, count); break;
    case SABOT_WINDOW_SUM:
    case SABOT_WINDOW_MEAN: rows_sum(fold, column, rows, units, count); break;
    case SABOT_WINDOW_MIN: rows_min(fold, column, rows, units, count); break;
    case SABOT_WINDOW_MAX: rows_max(fold, column, rows, units, count); break;
    case SABOT_WINDOW_VARIANCE: rows_variance(fold, column, rows, units, count); break;
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST: rows_at(fold, batch, rows, units, count); break;
    case SABOT_WINDOW_COUNT_DISTINCT:
    case SABOT_WINDOW_COLLECT:
    case SABOT_WINDOW_CUSTOM: SB_ASSERT(false); break; /* the plan is not columnar */
    }
}

/* --- Merging -------------------------------------------------------------------------------------
 */

static void merge_sum(const struct sb_fold *fold, void *accumulator, const void *other)
{
    if (fold->takes == SB_VALUE_FLOAT64) {
        struct sb_fold_number *into = accumulator;
        const struct sb_fold_number *from = other;

        into->values += from->values;
        into->value.float64 += from->value.float64;
    } else {
        struct sb_fold_int64 *into = accumulator;
        const struct sb_fold_int64 *from = other;

        into->values += from->values;
        store_sum(into, load_sum(into) + load_sum(from));
    }
}

static void merge_extreme(const struct sb_fold *fold, void *accumulator, const void *other)
{
    struct sb_fold_number *into = accumulator;
    const struct sb_fold_number *from = other;
    const int64_t values = into->values + from->values;

    if (from->values == 0)
        return;
    if (fold->takes == SB_VALUE_FLOAT64 && fold->function == SABOT_WINDOW_MIN)
        min_float64(accumulator, from->value.float64);
    else if (fold->takes == SB_VALUE_FLOAT64)
        max_float64(accumulator, from->value.float64);
    else if (fold->function == SABOT_WINDOW_MIN)
        min_int64(accumulator, from->value.int64);
    else
        max_int64(accumulator, from->value.int64);
    into->values = values;
}

static void merge_variance(void *accumulator, const void *other)
{
    struct sb_fold_variance *into = accumulator;
    const struct sb_fold_variance *from = other;
    const double distance = from->mean - into->mean;
    const double values = (double)into->values + (double)from->values;

    if (from->values == 0)
        return;
    into->spread +=
        from->spread + distance * distance * (double)into->values * (double)from->values / values;
    into->mean += distance * (double)from->values / values;
    into->values += from->values;
}

static void merge_at(const struct sb_fold *fold, void *accumulator, const void *other)
{
    struct sb_fold_at *into = accumulator;
    const struct sb_fold_at *from = other;
    const int64_t values = into->values + from->values;

    if (from->values == 0)
        return;
    if (fold->function == SABOT_WINDOW_FIRST ? comes_first(into, from->time_ms)
                                             : comes_last(into, from->time_ms))
        *into = *from;
    into->values = values;
}

sabot_status sb_fold_merge(const struct sb_window_plan *plan,
                           const struct sb_fold *fold,
                           void *accumulator,
                           const void *other,
                           sabot_error *error)
{
    sabot_status status;

    switch (fold->function) {
    case SABOT_WINDOW_COUNT:
    case SABOT_WINDOW_COLLECT:
    case SABOT_WINDOW_COUNT_DISTINCT: /* of parts that don't meet; else counted anew by them */
        if (fold->size > 0)
            *(int64_t *)accumulator += *(const int64_t *)other;
        break;
    case SABOT_WINDOW_SUM:
    case SABOT_WINDOW_MEAN: merge_sum(fold, accumulator, other); break;
    case SABOT_WINDOW_MIN:
    case SABOT_WINDOW_MAX: merge_extreme(fold, accumulator, other); break;
    case SABOT_WINDOW_VARIANCE: merge_variance(accumulator, other); break;
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST: merge_at(fold, accumulator, other); break;
    case SABOT_WINDOW_CUSTOM:
        status = fold->custom.merge(accumulator, other, fold->custom.user);
        if (status != SABOT_OK)
            return custom_failed(plan, fold, "merge", status, error);
        break;
    }
    return SABOT_OK;
}

/* --- Results -------------------------------------------------------------------------------------
 */

static sabot_status result_sum(const struct sb_window_plan *plan,
                               const struct sb_fold *fold,
                               const void *accumulator,
                               struct sb_value *value,
                               sabot_error *error)
{
    const struct sb_fold_int64 *sum = accumulator;
    const sb_int128 total = load_sum(sum);

    value->present = sum->values > 0;
    if (total < INT64_MIN || total > INT64_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: the sum %s of %lld values leaves the range of int64", plan->name,
                           fold->name, (long long)sum->values);
    value->int64 = (int64_t)total;
    return SABOT_OK;
}

static void result_mean(const struct sb_fold *fold, const void *accumulator, struct sb_value *value)
{
    const struct sb_fold_number *number = accumulator;

    value->present = number->values > 0;
    if (number->values == 0)
        return;
    value->float64 = fold->takes == SB_VALUE_FLOAT64
                         ? number->value.float64 / (double)number->values
                         : (double)load_sum(accumulator) / (double)number->values;
}

static void result_number(const struct sb_fold *fold,
                          const void *accumulator,
                          struct sb_value *value)
{
    const struct sb_fold_number *number = accumulator;

    value->present = number->values > 0;
    if (fold->takes == SB_VALUE_FLOAT64)
        value->float64 = number->value.float64;
    else
        value->int64 = number->value.int64;
}

static void result_at(const struct sb_fold *fold, const void *accumulator, struct sb_value *value)
{
    const struct sb_fold_at *at = accumulator;

    value->present = at->values > 0;
    if (fold->takes == SB_VALUE_FLOAT64)
        value->float64 = at->value.float64;
    else
        value->int64 = at->value.int64;
}

static sabot_status result_custom(const struct sb_window_plan *plan,
                                  const struct sb_fold *fold,
                                  const void *accumulator,
                                  struct sb_value *value,
                                  sabot_error *error)
{
    sabot_window_value made = {.int64 = 0};
    const sabot_status status = fold->custom.result(accumulator, &made, fold->custom.user);

    if (status != SABOT_OK)
        return custom_failed(plan, fold, "result", status, error);
    value->present = true;
    if (fold->gives == SB_VALUE_FLOAT64)
        value->float64 = made.float64;
    else
        value->int64 = made.int64;
    return SABOT_OK;
}

sabot_status sb_fold_result(const struct sb_window_plan *plan,
                            const struct sb_fold *fold,
                            const void *accumulator,
                            int64_t records,
                            struct sb_value *value_out,
                            sabot_error *error)
{
    const struct sb_fold_variance *variance = accumulator;

    *value_out = (struct sb_value){.present = true};
    switch (fold->function) {
    case SABOT_WINDOW_COUNT:
        value_out->int64 = fold->size == 0 ? records : *(const int64_t *)accumulator;
        break;
    case SABOT_WINDOW_SUM:
        if (fold->takes != SB_VALUE_FLOAT64)
            return result_sum(plan, fold, accumulator, value_out, error);
        result_number(fold, accumulator, value_out);
        break;
    case SABOT_WINDOW_MIN:
    case SABOT_WINDOW_MAX: result_number(fold, accumulator, value_out); break;
    case SABOT_WINDOW_MEAN: result_mean(fold, accumulator, value_out); break;
    case SABOT_WINDOW_VARIANCE:
        value_out->present = variance->values > 0;
        value_out->float64 = variance->values > 0 ? variance->spread / (double)variance->values : 0;
        break;
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST: result_at(fold, accumulator, value_out); break;
    case SABOT_WINDOW_CUSTOM: return result_custom(plan, fold, accumulator, value_out, error);
    case SABOT_WINDOW_COUNT_DISTINCT:
    case SABOT_WINDOW_COLLECT: SB_ASSERT(false); break; /* window_part.h makes them */
    }
    return SABOT_OK;
}
