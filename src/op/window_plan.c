/* SPDX-License-Identifier: Apache-2.0 */
/* window_plan.c - what an app says of a window, checked and compiled.
 *
 * Runs when a pipeline is built, never on the path of a batch. What comes behind may rely on: sizes
 * are positive, functions are there, fields exist and have types that their use can have, each
 * aggregate has its place in a unit and, where there is an output, its field there.
 *
 * Threads: the one that builds. Memory: the plan's arena. */
#include "op/window_plan.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static sabot_status SABOT_PRINTF(4, 5) refuse(const struct sb_window_plan *plan,
                                              sabot_status status,
                                              sabot_error *error,
                                              const char *format,
                                              ...)
{
    sabot_error reason;
    va_list arguments;

    va_start(arguments, format);
    (void)sabot_raise_list(&reason, status, format, arguments);
    va_end(arguments);
    return sabot_raise(error, status, "%s: %s", plan->name, reason.text);
}

static sabot_status no_memory(const struct sb_window_plan *plan, sabot_error *error)
{
    return refuse(plan, SABOT_ERR_MEMORY, error, "no memory for its plan");
}

/* --- The spec ------------------------------------------------------------------------------------
 */

static const char *kind_name(sabot_window_kind kind)
{
    switch (kind) {
    case SABOT_TUMBLING: return "tumbling";
    case SABOT_SLIDING: return "sliding";
    case SABOT_SESSION: return "session";
    case SABOT_GLOBAL: return "global";
    case SABOT_ASSIGNED: return "assigned";
    }
    return NULL;
}

/* What only some kinds have. */
static sabot_status check_shape(const struct sb_window_plan *plan, sabot_error *error)
{
    const sabot_window_spec *spec = &plan->spec;
    const char *kind = kind_name(spec->kind);
    const bool is_fixed = spec->kind == SABOT_TUMBLING || spec->kind == SABOT_SLIDING;
    const bool has_gap = spec->gap_ms != 0 || spec->gap_field != NULL || spec->gap != NULL;

    if (kind == NULL)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "there is no kind of window %d",
                      (int)spec->kind);
    if (is_fixed && spec->size_ms < 1)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a %s window of %lld ms: 1 or more", kind,
                      (long long)spec->size_ms);
    if (spec->kind == SABOT_SLIDING && spec->slide_ms < 1)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "a sliding window that slides by %lld ms: 1 or more",
                      (long long)spec->slide_ms);
    if (spec->kind == SABOT_SLIDING && spec->size_ms / spec->slide_ms > SABOT_WINDOW_PANES_MAX)
        return refuse(plan, SABOT_ERR_LIMIT, error,
                      "a sliding window of %lld ms by %lld ms: %d windows at a time are allowed",
                      (long long)spec->size_ms, (long long)spec->slide_ms, SABOT_WINDOW_PANES_MAX);
    if ((spec->size_ms != 0 || spec->offset_ms != 0) && !is_fixed)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a %s window has no size_ms or offset_ms",
                      kind);
    if (spec->slide_ms != 0 && spec->kind != SABOT_SLIDING)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a %s window has no slide_ms", kind);
    if (has_gap != (spec->kind == SABOT_SESSION))
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a %s window %s a gap", kind,
                      has_gap ? "has not" : "needs");
    if (spec->gap_ms < 0 ||
        (has_gap && spec->gap == NULL && spec->gap_field == NULL && spec->gap_ms < 1))
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a gap of %lld ms: 1 or more",
                      (long long)spec->gap_ms);
    if ((spec->assign != NULL) != (spec->kind == SABOT_ASSIGNED))
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "a %s window %s a function `assign`", kind,
                      spec->assign != NULL ? "has not" : "needs");
    return SABOT_OK;
}

static sabot_status check_rules(const struct sb_window_plan *plan, sabot_error *error)
{
    const sabot_window_spec *spec = &plan->spec;
    const bool evicts = spec->evict_count != 0 || spec->evict_age_ms != 0 || spec->evictor != NULL;

    if (spec->allowed_lateness_ms < 0 || spec->early_count < 0 || spec->early_ms < 0 ||
        spec->evict_count < 0 || spec->evict_age_ms < 0)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "allowed_lateness_ms, early_count, early_ms, evict_count and evict_age_ms "
                      "are 0 or more");
    if (spec->early_clock != SABOT_EVENT_TIME && spec->early_clock != SABOT_PROCESSING_TIME)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "there is no clock %d for early_clock",
                      (int)spec->early_clock);
    if (spec->trigger != NULL && spec->early_count != 0)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "with a trigger of its own early_count has no meaning: the trigger sees how "
                      "many records are fresh");
    if (evicts && !spec->keep_records)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "evictors choose among the records that a window keeps: set keep_records");
    if (spec->kind == SABOT_GLOBAL && spec->early_count == 0 && spec->early_ms == 0 &&
        spec->trigger == NULL)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "a global window would never fire: it needs early_count, early_ms or a "
                      "trigger");
    return SABOT_OK;
}

static sabot_status find_key_and_gap(struct sb_window_plan *plan, sabot_error *error)
{
    const char *path = plan->spec.gap_field;

    plan->gap_field = SB_NO_FIELD;
    if (plan->key_field == SB_NO_FIELD)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "windows are kept by key: name the field that is the key");
    if (path == NULL || plan->spec.gap != NULL)
        return SABOT_OK;
    plan->gap_field = sb_schema_find(plan->input, path);
    if (plan->gap_field == SB_NO_FIELD)
        return refuse(plan, SABOT_ERR_SCHEMA, error, "%s has no field %s for the gap",
                      plan->input->name, path);
    if (plan->input->fields[plan->gap_field].type != SABOT_INT32 &&
        plan->input->fields[plan->gap_field].type != SABOT_INT64)
        return refuse(plan, SABOT_ERR_SCHEMA, error, "the gap %s is %s: int32 or int64", path,
                      sabot_type_name(plan->input->fields[plan->gap_field].type));
    return SABOT_OK;
}

/* --- Aggregates ----------------------------------------------------------------------------------
 */

static const char *function_name(sabot_window_function function)
{
    switch (function) {
    case SABOT_WINDOW_COUNT: return "count";
    case SABOT_WINDOW_SUM: return "sum";
    case SABOT_WINDOW_MIN: return "min";
    case SABOT_WINDOW_MAX: return "max";
    case SABOT_WINDOW_MEAN: return "mean";
    case SABOT_WINDOW_VARIANCE: return "variance";
    case SABOT_WINDOW_FIRST: return "first";
    case SABOT_WINDOW_LAST: return "last";
    case SABOT_WINDOW_COUNT_DISTINCT: return "count_distinct";
    case SABOT_WINDOW_COLLECT: return "collect";
    case SABOT_WINDOW_CUSTOM: return "custom";
    }
    return NULL;
}

/* Does the function calculate with values of this type? */
static bool may_take(sabot_window_function function, sabot_type type)
{
    switch (function) {
    case SABOT_WINDOW_SUM:
    case SABOT_WINDOW_MEAN:
    case SABOT_WINDOW_VARIANCE:
        return type == SABOT_INT32 || type == SABOT_INT64 || type == SABOT_FLOAT64;
    case SABOT_WINDOW_MIN:
    case SABOT_WINDOW_MAX:
        return type == SABOT_INT32 || type == SABOT_INT64 || type == SABOT_TIMESTAMP ||
               type == SABOT_FLOAT64;
    case SABOT_WINDOW_COUNT:
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST:
    case SABOT_WINDOW_COUNT_DISTINCT:
    case SABOT_WINDOW_COLLECT:
    case SABOT_WINDOW_CUSTOM: break;
    }
    return true;
}

/* What the function makes, and the size of its accumulator. */
static void shape_fold(struct sb_fold *fold)
{
    fold->gives = SB_VALUE_INT64;
    switch (fold->function) {
    case SABOT_WINDOW_COUNT:
        /* Of all records: the unit counts them itself. */
        fold->size = fold->field == SB_NO_FIELD ? 0 : sizeof(int64_t);
        break;
    case SABOT_WINDOW_COUNT_DISTINCT:
        fold->size = sizeof(int64_t);
        fold->has_parts = true;
        break;
    case SABOT_WINDOW_COLLECT:
        fold->size = sizeof(int64_t);
        fold->has_parts = true;
        fold->gives = SB_VALUE_TEXT;
        break;
    case SABOT_WINDOW_SUM:
        fold->size = fold->takes == SB_VALUE_FLOAT64 ? sizeof(struct sb_fold_number)
                                                     : sizeof(struct sb_fold_int64);
        fold->gives = fold->takes;
        break;
    case SABOT_WINDOW_MIN:
    case SABOT_WINDOW_MAX:
        fold->size = sizeof(struct sb_fold_number);
        fold->gives = fold->takes;
        break;
    case SABOT_WINDOW_MEAN:
        fold->size = fold->takes == SB_VALUE_FLOAT64 ? sizeof(struct sb_fold_number)
                                                     : sizeof(struct sb_fold_int64);
        fold->gives = SB_VALUE_FLOAT64;
        break;
    case SABOT_WINDOW_VARIANCE:
        fold->size = sizeof(struct sb_fold_variance);
        fold->gives = SB_VALUE_FLOAT64;
        break;
    case SABOT_WINDOW_FIRST:
    case SABOT_WINDOW_LAST:
        fold->size = sizeof(struct sb_fold_at);
        fold->has_parts = fold->takes == SB_VALUE_TEXT;
        fold->gives = fold->takes;
        break;
    case SABOT_WINDOW_CUSTOM:
        fold->size = (fold->custom_schema->record_size + 7) / 8 * 8;
        fold->gives = sb_value_class_of(fold->custom.type);
        break;
    }
}

static sabot_status set_custom(struct sb_window_plan *plan,
                               struct sb_fold *fold,
                               const sabot_window_aggregate *aggregate,
                               sabot_error *error)
{
    const sabot_window_custom *custom = aggregate->custom;

    if (custom == NULL || custom->schema == NULL || custom->add == NULL || custom->merge == NULL ||
        custom->result == NULL || aggregate->field != NULL)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "aggregate %s: a custom one needs a schema, add, merge and result, and has "
                      "no field",
                      fold->name);
    if (custom->type != SABOT_INT64 && custom->type != SABOT_FLOAT64)
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "aggregate %s: its result is int64 or float64, not %s", fold->name,
                      sabot_type_name(custom->type));
    fold->custom = *custom;
    return sb_schema_create(plan->env, custom->schema, SB_SCHEMA_STATE, &fold->custom_schema,
                            error);
}

static sabot_status set_field(struct sb_window_plan *plan,
                              struct sb_fold *fold,
                              const sabot_window_aggregate *aggregate,
                              sabot_error *error)
{
    const char *function = function_name(fold->function);

    if (aggregate->field == NULL && fold->function == SABOT_WINDOW_COUNT)
        return SABOT_OK;
    if (aggregate->field == NULL)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "aggregate %s: the %s of which field?",
                      fold->name, function);
    fold->field = sb_schema_find(plan->input, aggregate->field);
    if (fold->field == SB_NO_FIELD)
        return refuse(plan, SABOT_ERR_SCHEMA, error, "aggregate %s: %s has no field %s", fold->name,
                      plan->input->name, aggregate->field);
    fold->type = plan->input->fields[fold->field].type;
    fold->takes = sb_value_class_of(fold->type);
    if (!may_take(fold->function, fold->type))
        return refuse(plan, SABOT_ERR_SCHEMA, error, "aggregate %s: there is no %s of %s, a %s",
                      fold->name, function, aggregate->field, sabot_type_name(fold->type));
    return SABOT_OK;
}

static bool is_name(const char *name)
{
    return name != NULL && *name != '\0' && strlen(name) <= SABOT_NAME_MAX &&
           name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                             "0123456789._-")] == '\0';
}

static sabot_status add_fold(struct sb_window_plan *plan,
                             const sabot_window_aggregate *aggregate,
                             sabot_error *error)
{
    struct sb_fold *fold = &plan->folds[plan->fold_count];

    if (!is_name(aggregate->name))
        return refuse(plan, SABOT_ERR_ARGUMENT, error,
                      "aggregate %u: the name \"%s\" is none: [A-Za-z0-9._-]+",
                      plan->fold_count + 1, aggregate->name == NULL ? "" : aggregate->name);
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        if (strcmp(plan->folds[i].name, aggregate->name) == 0)
            return refuse(plan, SABOT_ERR_EXISTS, error, "two aggregates have the name %s",
                          aggregate->name);
    }
    *fold = (struct sb_fold){
        .function = aggregate->function,
        .name = sb_arena_copy(&plan->arena, aggregate->name, strlen(aggregate->name)),
        .field = SB_NO_FIELD,
        .output_field = SB_NO_FIELD,
    };
    if (fold->name == NULL)
        return no_memory(plan, error);
    if (function_name(fold->function) == NULL)
        return refuse(plan, SABOT_ERR_ARGUMENT, error, "aggregate %s: there is no function %d",
                      fold->name, (int)fold->function);
    plan->fold_count++; /* what it has made so far is destroyed with the plan */
    if (fold->function == SABOT_WINDOW_CUSTOM)
        SABOT_TRY(set_custom(plan, fold, aggregate, error));
    else
        SABOT_TRY(set_field(plan, fold, aggregate, error));
    shape_fold(fold);
    return SABOT_OK;
}

/* --- Modes and places ----------------------------------------------------------------------------
 */

/* Panes are shared by windows that tell all that came, at their end and when something comes late.
 * Whatever else a window does needs its own unit. */
static bool can_share(const sabot_window_spec *spec)
{
    return spec->kind == SABOT_SLIDING && spec->slide_ms < spec->size_ms && !spec->discarding &&
           spec->early_count == 0 && spec->early_ms == 0 && spec->trigger == NULL &&
           !spec->keep_records;
}

static void choose_mode(struct sb_window_plan *plan)
{
    const sabot_window_spec *spec = &plan->spec;
    struct sb_window_grid *grid = &plan->grid;

    plan->mode = spec->kind == SABOT_SESSION ? SB_WINDOW_OF_SESSIONS
                 : can_share(spec)           ? SB_WINDOW_OF_PANES
                                             : SB_WINDOW_OF_UNITS;
    grid->size_ms = spec->size_ms;
    grid->slide_ms = spec->kind == SABOT_SLIDING ? spec->slide_ms : spec->size_ms;
    grid->offset_ms = spec->offset_ms;
    grid->pane_ms = spec->kind == SABOT_SLIDING ? sb_greatest_divisor(spec->size_ms, spec->slide_ms)
                                                : spec->size_ms;
    plan->keeps_records = spec->keep_records;
    plan->folds_at_firing =
        spec->evict_count != 0 || spec->evict_age_ms != 0 || spec->evictor != NULL;
}

static void place(struct sb_window_plan *plan)
{
    const sabot_window_spec *spec = &plan->spec;
    bool has_parts =
        plan->keeps_records || (plan->mode == SB_WINDOW_OF_PANES && spec->allowed_lateness_ms > 0);
    bool has_custom = false;
    uint32_t at = sizeof(struct sb_window_unit);

    for (uint32_t i = 0; i < plan->fold_count; i++) {
        has_parts = has_parts || plan->folds[i].has_parts;
        has_custom = has_custom || plan->folds[i].function == SABOT_WINDOW_CUSTOM;
    }
    if (has_parts || spec->allowed_lateness_ms > 0 || spec->early_count > 0 || spec->early_ms > 0 ||
        spec->trigger != NULL || spec->kind == SABOT_GLOBAL) {
        plan->meta_offset = at;
        at += (uint32_t)sizeof(struct sb_window_meta);
    }
    plan->is_columnar = spec->early_count == 0 && spec->early_ms == 0 && spec->trigger == NULL &&
                        !plan->keeps_records && !has_custom && spec->gap == NULL &&
                        spec->kind != SABOT_GLOBAL && spec->kind != SABOT_ASSIGNED &&
                        (spec->kind != SABOT_SLIDING || plan->mode == SB_WINDOW_OF_PANES);
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        plan->folds[i].offset = at;
        at += plan->folds[i].size;
        plan->is_columnar = plan->is_columnar && !plan->folds[i].has_parts;
    }
    plan->unit_size = at;
    plan->units_per_entry = plan->mode == SB_WINDOW_OF_PANES ? SB_WINDOW_BLOCK : 1;
    if (plan->units_per_entry * at > SB_STATE_FIXED_MAX)
        plan->units_per_entry = 1;
    plan->cell_size =
        (uint32_t)sizeof(struct sb_window_head) + (uint32_t)SB_WINDOW_SLOTS * plan->unit_size;
    plan->needs_record = plan->keeps_records || has_custom || spec->gap != NULL ||
                         spec->assign != NULL || spec->trigger != NULL;
    plan->state_count = SB_WINDOW_CLOSE + 1;
    if (spec->early_ms > 0 && spec->early_clock == SABOT_PROCESSING_TIME)
        plan->early_state = plan->state_count++;
    if (has_parts)
        plan->parts_state = plan->state_count++;
}

/* --- Field tables --------------------------------------------------------------------------------
 */

/* What to do about a snapshot of other tables. */
static const char WHEN_OTHER[] =
    "the window had other aggregates, other panes, or kept something else when the snapshot was "
    "made: give the window another name, and forget the old one's state with --drop-state";

/* A table in the making; `path` begins each of its paths. */
struct table {
    struct sb_window_plan *plan;
    sabot_field *fields;
    size_t count;
    bool failed;
};

static void add_field(struct table *table,
                      const char *before,
                      const char *name,
                      sabot_type type,
                      uint32_t offset,
                      uint32_t size,
                      uint32_t count)
{
    char path[2 * SABOT_FIELD_PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s%s", before, name);
    char *copy;

    if (table->failed || table->count == SABOT_FIELDS_MAX || length < 0) {
        table->failed = true;
        return;
    }
    copy = sb_arena_copy(&table->plan->arena, path, strlen(path));
    table->failed = copy == NULL;
    table->fields[table->count++] = (sabot_field){copy, type, 0, offset, size, count, NULL};
}

static void add_int64(struct table *table, const char *before, const char *name, size_t offset)
{
    add_field(table, before, name, SABOT_INT64, (uint32_t)offset, sizeof(int64_t), 1);
}

static void add_fold_fields(struct table *table,
                            const char *before,
                            const struct sb_fold *fold,
                            uint32_t base)
{
    const sabot_type value = fold->takes == SB_VALUE_FLOAT64 ? SABOT_FLOAT64 : SABOT_INT64;
    const uint32_t at = base + fold->offset;

    if (fold->size == 0)
        return;
    if (fold->function == SABOT_WINDOW_CUSTOM) {
        for (uint32_t i = 0; i < fold->custom_schema->field_count; i++) {
            const struct sb_schema_field *field = &fold->custom_schema->fields[i];

            add_field(table, before, field->path, field->type, at + field->offset, field->size,
                      field->count);
        }
        return;
    }
    add_int64(table, before, "values", at);
    if (fold->size == sizeof(int64_t))
        return;
    if (fold->function == SABOT_WINDOW_VARIANCE) {
        add_field(table, before, "mean", SABOT_FLOAT64, at + 8, 8, 1);
        add_field(table, before, "spread", SABOT_FLOAT64, at + 16, 8, 1);
    } else if (fold->function == SABOT_WINDOW_FIRST || fold->function == SABOT_WINDOW_LAST) {
        add_int64(table, before, "time", at + offsetof(struct sb_fold_at, time_ms));
        add_field(table, before, "value", value, at + 16, 8, 1);
    } else if (fold->size == sizeof(struct sb_fold_int64)) {
        add_int64(table, before, "low", at + offsetof(struct sb_fold_int64, low));
        add_int64(table, before, "high", at + offsetof(struct sb_fold_int64, high));
    } else {
        add_field(table, before, "value", value, at + 8, 8, 1);
    }
}

static void add_unit_fields(struct table *table, const char *before, uint32_t base)
{
    const struct sb_window_plan *plan = table->plan;
    const size_t meta = (size_t)base + plan->meta_offset;

    add_int64(table, before, "start", base + offsetof(struct sb_window_unit, start_ms));
    add_int64(table, before, "end", base + offsetof(struct sb_window_unit, end_ms));
    add_int64(table, before, "records", base + offsetof(struct sb_window_unit, records));
    if (plan->meta_offset != 0) {
        add_int64(table, before, "id", meta + offsetof(struct sb_window_meta, id));
        add_int64(table, before, "told", meta + offsetof(struct sb_window_meta, told));
        add_int64(table, before, "firings", meta + offsetof(struct sb_window_meta, firings));
        add_int64(table, before, "newest", meta + offsetof(struct sb_window_meta, newest_ms));
        add_int64(table, before, "early", meta + offsetof(struct sb_window_meta, early_ms));
        add_int64(table, before, "early_set", meta + offsetof(struct sb_window_meta, early_set));
    }
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        char path[2 * SABOT_NAME_MAX];

        (void)snprintf(path, sizeof path, "%sof.%s.", before, plan->folds[i].name);
        add_fold_fields(table, path, &plan->folds[i], base);
    }
}

static void add_head_fields(struct table *table, uint32_t base)
{
    const uint32_t outside = base + (uint32_t)offsetof(struct sb_window_head, outside);
    const uint32_t awaits = base + (uint32_t)offsetof(struct sb_window_head, awaits);

    add_int64(table, "", "wake", base + offsetof(struct sb_window_head, wake_ms));
    add_int64(table, "", "newest_outside", base + offsetof(struct sb_window_head, newest_ms));
    add_int64(table, "", "sequence", base + offsetof(struct sb_window_head, sequence));
    add_field(table, "", "outside", SABOT_INT32, outside, sizeof(int32_t), 1);
    add_field(table, "", "awaits", SABOT_INT32, awaits, sizeof(int32_t), 1);
}

static void add_text(struct sb_hasher *hasher, const char *text)
{
    sb_hasher_add(hasher, text, strlen(text) + 1);
}

static void add_number(struct sb_hasher *hasher, int64_t number)
{
    sb_hasher_add(hasher, &number, sizeof number);
}

/* The version of its tables: of all that says what the numbers in them mean. Sizes, gaps and
 * triggers may change between runs where a unit knows its bounds; panes are what they were. */
static uint32_t version_of(const struct sb_window_plan *plan)
{
    struct sb_hasher hasher;

    sb_hasher_init(&hasher);
    add_number(&hasher, plan->mode);
    add_number(&hasher, plan->keeps_records);
    if (plan->mode == SB_WINDOW_OF_PANES) {
        add_number(&hasher, plan->grid.size_ms);
        add_number(&hasher, plan->grid.slide_ms);
        add_number(&hasher, plan->grid.offset_ms);
    }
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        const struct sb_fold *fold = &plan->folds[i];

        add_text(&hasher, fold->name);
        add_number(&hasher, fold->function);
        add_number(&hasher, fold->type);
        if (fold->field != SB_NO_FIELD)
            add_text(&hasher, plan->input->fields[fold->field].path);
        if (fold->custom_schema != NULL)
            add_number(&hasher, fold->custom_schema->version);
    }
    return (uint32_t)(sb_hasher_result(&hasher) >> 33) + 1;
}

static sabot_status compile_table(struct table *table,
                                  const char *name,
                                  uint32_t size,
                                  struct sb_schema **schema_out,
                                  sabot_error *error)
{
    const struct sb_window_plan *plan = table->plan;
    const sabot_schema schema = {name, version_of(plan), size, table->fields, table->count};

    if (table->failed)
        return refuse(plan, SABOT_ERR_LIMIT, error,
                      "its aggregates need more than %d fields of state, or there is no memory",
                      SABOT_FIELDS_MAX);
    SABOT_TRY(sb_schema_create(plan->env, &schema, SB_SCHEMA_STATE, schema_out, error));
    (*schema_out)->when_other = WHEN_OTHER;
    return SABOT_OK;
}

static sabot_status make_schemas(struct sb_window_plan *plan, sabot_error *error)
{
    struct table table = {.plan = plan};

    table.fields = sb_arena_alloc(&plan->arena, SABOT_FIELDS_MAX * sizeof *table.fields);
    if (table.fields == NULL)
        return no_memory(plan, error);
    if (plan->units_per_entry == 1)
        add_unit_fields(&table, "", 0);
    else /* their fields one by one would be too many */
        add_field(&table, "", "panes", SABOT_INT64, 0, plan->units_per_entry * plan->unit_size,
                  plan->units_per_entry * plan->unit_size / (uint32_t)sizeof(int64_t));
    SABOT_TRY(compile_table(&table, "window", plan->units_per_entry * plan->unit_size,
                            &plan->unit_schema, error));
    table.count = 0;
    add_unit_fields(&table, "newest.", 0);
    add_unit_fields(&table, "second.", plan->unit_size);
    add_head_fields(&table, SB_WINDOW_SLOTS * plan->unit_size);
    return compile_table(&table, "windows", plan->cell_size, &plan->cell_schema, error);
}

static sabot_status name_states(struct sb_window_plan *plan, const char *prefix, sabot_error *error)
{
    struct sb_state_spec specs[SB_WINDOW_STATES_MAX] = {
        {.name = "windows", .kind = SB_STATE_VALUE, .schema = plan->cell_schema},
        {.name = "more", .kind = SB_STATE_MAP, .schema = plan->unit_schema},
        {.name = "close", .kind = SB_STATE_TIMERS, .ttl_time = SB_TIME_EVENT},
    };

    if (plan->early_state != 0)
        specs[plan->early_state] = (struct sb_state_spec){
            .name = "early", .kind = SB_STATE_TIMERS, .ttl_time = SB_TIME_PROCESSING};
    if (plan->parts_state != 0)
        specs[plan->parts_state] = (struct sb_state_spec){.name = "parts", .kind = SB_STATE_MAP};
    for (uint32_t i = 0; i < plan->state_count; i++) {
        char name[2 * SABOT_NAME_MAX];

        (void)snprintf(name, sizeof name, "%s%s", prefix, specs[i].name);
        plan->states[i] = specs[i];
        plan->states[i].name = sb_arena_copy(&plan->arena, name, strlen(name));
        if (plan->states[i].name == NULL)
            return no_memory(plan, error);
    }
    return SABOT_OK;
}

/* --- Output --------------------------------------------------------------------------------------
 */

static sabot_status refuse_output(const struct sb_window_plan *plan,
                                  const char *path,
                                  const char *wants,
                                  int32_t field,
                                  sabot_error *error)
{
    if (field == SB_NO_FIELD)
        return refuse(plan, SABOT_ERR_SCHEMA, error, "%s has no field %s for the result: %s",
                      plan->output->name, path, wants);
    return refuse(plan, SABOT_ERR_SCHEMA, error, "field %s of %s is %s, the result is %s", path,
                  plan->output->name, sabot_type_name(plan->output->fields[field].type), wants);
}

static bool can_hold(sabot_type type, enum sb_value_class class)
{
    switch (class) {
    case SB_VALUE_INT64:
        return type == SABOT_INT64 || type == SABOT_TIMESTAMP || type == SABOT_INT32 ||
               type == SABOT_BOOL;
    case SB_VALUE_FLOAT64: return type == SABOT_FLOAT64;
    case SB_VALUE_TEXT: break;
    }
    return type == SABOT_UTF8 || type == SABOT_BINARY;
}

static sabot_status bind_folds(struct sb_window_plan *plan, sabot_error *error)
{
    static const char *const wants[] = {
        [SB_VALUE_INT64] = "an int64",
        [SB_VALUE_FLOAT64] = "a float64",
        [SB_VALUE_TEXT] = "a text",
    };

    for (uint32_t i = 0; i < plan->fold_count; i++) {
        struct sb_fold *fold = &plan->folds[i];
        const bool collects = fold->function == SABOT_WINDOW_COLLECT;
        const bool is_binary = fold->type == SABOT_BINARY && !collects;
        sabot_type type;

        fold->output_field = sb_schema_find(plan->output, fold->name);
        if (fold->output_field == SB_NO_FIELD)
            return refuse_output(plan, fold->name, wants[fold->gives], SB_NO_FIELD, error);
        type = plan->output->fields[fold->output_field].type;
        /* What is no text to begin with is none there. */
        if (!can_hold(type, fold->gives) || (is_binary && type == SABOT_UTF8) ||
            (type == SABOT_BOOL && fold->type != SABOT_BOOL) ||
            (type == SABOT_INT32 && fold->type != SABOT_INT32))
            return refuse_output(plan, fold->name, wants[fold->gives], fold->output_field, error);
    }
    return SABOT_OK;
}

/* A field of the output by its path; SB_NO_FIELD: none. */
static sabot_status bind(const struct sb_window_plan *plan,
                         const char *path,
                         bool is_text,
                         int32_t *field_out,
                         sabot_error *error)
{
    *field_out = sb_schema_find(plan->output, path);
    if (*field_out == SB_NO_FIELD)
        return SABOT_OK;
    if (is_text ? plan->output->fields[*field_out].type == SABOT_UTF8
                : plan->output->fields[*field_out].type == SABOT_INT64 ||
                      plan->output->fields[*field_out].type == SABOT_TIMESTAMP)
        return SABOT_OK;
    return refuse_output(plan, path, is_text ? "utf8" : "an int64 or a timestamp", *field_out,
                         error);
}

static sabot_status bind_output(struct sb_window_plan *plan, sabot_error *error)
{
    const struct sb_schema_field *key = &plan->input->fields[plan->key_field];

    if (plan->output == NULL)
        return SABOT_OK;
    plan->key_output = sb_schema_find(plan->output, key->path);
    if (plan->key_output != SB_NO_FIELD && plan->output->fields[plan->key_output].type != key->type)
        return refuse_output(plan, key->path, sabot_type_name(key->type), plan->key_output, error);
    SABOT_TRY(bind(plan, "window_start", false, &plan->start_output, error));
    SABOT_TRY(bind(plan, "window_end", false, &plan->end_output, error));
    SABOT_TRY(bind(plan, "window_firing", true, &plan->firing_output, error));
    SABOT_TRY(bind(plan, "window_number", false, &plan->number_output, error));
    if (plan->start_output == SB_NO_FIELD || plan->end_output == SB_NO_FIELD)
        return refuse(plan, SABOT_ERR_SCHEMA, error,
                      "%s must have the fields window_start and window_end: a result without its "
                      "window can't be understood",
                      plan->output->name);
    return bind_folds(plan, error);
}

/* A late record goes out as it came in, field by field: one that may be missing stays so. */
static sabot_status check_late(const struct sb_window_plan *plan,
                               const struct sb_schema *late,
                               sabot_error *error)
{
    bool same = late == NULL || late->field_count == plan->input->field_count;

    for (uint32_t i = 0; late != NULL && same && i < late->field_count; i++) {
        const struct sb_schema_field *a = &late->fields[i];
        const struct sb_schema_field *b = &plan->input->fields[i];

        same = strcmp(a->path, b->path) == 0 && a->type == b->type && a->required == b->required;
    }
    if (!same)
        return refuse(plan, SABOT_ERR_SCHEMA, error,
                      "late records are those of %s, but their output is of %s: give it the same "
                      "field table",
                      plan->input->name, late->name);
    return SABOT_OK;
}

/* --- The plan ------------------------------------------------------------------------------------
 */

static sabot_status compile(struct sb_window_plan *plan,
                            const struct sb_window_config *config,
                            sabot_error *error)
{
    SABOT_TRY(check_shape(plan, error));
    SABOT_TRY(check_rules(plan, error));
    SABOT_TRY(find_key_and_gap(plan, error));
    if (config->aggregate_count > SABOT_WINDOW_AGGREGATES_MAX)
        return refuse(plan, SABOT_ERR_LIMIT, error, "%u aggregates, %d are allowed",
                      config->aggregate_count, SABOT_WINDOW_AGGREGATES_MAX);
    for (uint32_t i = 0; i < config->aggregate_count; i++)
        SABOT_TRY(add_fold(plan, &config->aggregates[i], error));
    choose_mode(plan);
    place(plan);
    SABOT_TRY(make_schemas(plan, error));
    SABOT_TRY(name_states(plan, config->prefix, error));
    SABOT_TRY(check_late(plan, config->late, error));
    return bind_output(plan, error);
}

sabot_status sb_window_plan_create(const struct sb_window_config *config,
                                   struct sb_window_plan **plan_out,
                                   sabot_error *error)
{
    struct sb_window_plan *plan = sb_alloc(config->env, sizeof *plan);
    sabot_status status;

    *plan_out = NULL;
    if (plan == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name);
    *plan = (struct sb_window_plan){
        .env = config->env,
        .spec = *config->spec,
        .input = config->input,
        .output = config->output,
        .key_field = config->key_field,
        .key_output = SB_NO_FIELD,
        .start_output = SB_NO_FIELD,
        .end_output = SB_NO_FIELD,
        .firing_output = SB_NO_FIELD,
        .number_output = SB_NO_FIELD,
    };
    sb_arena_init(&plan->arena, config->env);
    plan->name = sb_arena_copy(&plan->arena, config->name, strlen(config->name));
    status = plan->name == NULL
                 ? sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name)
                 : compile(plan, config, error);
    if (status != SABOT_OK) {
        sb_window_plan_destroy(plan);
        return status;
    }
    *plan_out = plan;
    return SABOT_OK;
}

void sb_window_plan_destroy(struct sb_window_plan *plan)
{
    if (plan == NULL)
        return;
    for (uint32_t i = 0; i < plan->fold_count; i++)
        sb_schema_destroy(plan->folds[i].custom_schema);
    sb_schema_destroy(plan->cell_schema);
    sb_schema_destroy(plan->unit_schema);
    sb_arena_reset(&plan->arena);
    sb_free(plan->env, plan, sizeof *plan);
}

const struct sb_state_spec *sb_window_plan_states(const struct sb_window_plan *plan,
                                                  uint32_t *count_out)
{
    *count_out = plan->state_count;
    return plan->states;
}

/* --- In words ------------------------------------------------------------------------------------
 */

struct words {
    char *text;
    size_t size;
    size_t used;
};

static void SABOT_PRINTF(2, 3) say(struct words *words, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(words->text + words->used, words->size - words->used, format, arguments);
    va_end(arguments);
    if (length > 0)
        words->used += (size_t)length;
    if (words->used >= words->size)
        words->used = words->size - 1;
}

void sb_window_plan_describe(const struct sb_window_plan *plan, char *text_out, size_t size)
{
    const sabot_window_spec *spec = &plan->spec;
    struct words words = {text_out, size, 0};

    SB_ASSERT(size > 0);
    text_out[0] = '\0';
    say(&words, "%s", kind_name(spec->kind));
    if (spec->size_ms > 0)
        say(&words, " %lld ms", (long long)spec->size_ms);
    if (spec->kind == SABOT_SLIDING)
        say(&words, " every %lld ms", (long long)spec->slide_ms);
    if (plan->mode == SB_WINDOW_OF_PANES)
        say(&words, " (panes of %lld ms)", (long long)plan->grid.pane_ms);
    if (spec->offset_ms != 0)
        say(&words, " from %lld ms", (long long)spec->offset_ms);
    if (spec->gap != NULL || plan->gap_field != SB_NO_FIELD)
        say(&words, ", gap of each record");
    else if (spec->kind == SABOT_SESSION)
        say(&words, ", gap %lld ms", (long long)spec->gap_ms);
    say(&words, ", allowed lateness %lld ms, %s", (long long)spec->allowed_lateness_ms,
        spec->discarding ? "discarding" : "accumulating");
    if (spec->trigger != NULL)
        say(&words, ", by its trigger");
    if (spec->early_count > 0)
        say(&words, ", early every %lld records", (long long)spec->early_count);
    if (spec->early_ms > 0)
        say(&words, ", early every %lld ms of %s time", (long long)spec->early_ms,
            spec->early_clock == SABOT_EVENT_TIME ? "event" : "processing");
    if (plan->keeps_records)
        say(&words, ", keeping records");
}
