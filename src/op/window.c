/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - the operator of windows: rows of a batch to the engine, results to an outlet.
 *
 *     slice --row--> its key's cell --meets the newest unit--> a run, folded column by column
 *                                   --any other row---------> sb_window_add()
 *     watermark --timers that are due--> sb_window_timer() --results--> outlet 0
 *     a row that entered no window ------------------------------------> outlet 1, if there is one
 *
 * A row in order costs one look-up of state (prefetched some rows ahead) and a comparison with the
 * bounds of the unit it meets; no division, no call per aggregate. Rows that meet their units are
 * gathered in runs, whose units are all at hand, and each aggregate then goes over the run in one
 * loop of its own. A row that opens a unit, comes out of order, or fires something ends the run.
 *
 * Thread: the worker's. Memory: the store, and the engine's scratch. */
#include "op/window.h"

#include "base/mutant.h"
#include "op/keyed.h"
#include "op/window_unit.h"

enum {
    RUN_MAX = 64,    /* rows folded at a time */
    FIRE_MAX = 1024, /* timers of one step */
    OUTLET_RESULTS = 0,
    OUTLET_LATE = 1,
};

/* Rows that have met their units. */
struct run {
    uint32_t count;
    uint32_t rows[RUN_MAX];
    struct sb_window_unit *units[RUN_MAX];
};

struct sb_operator {
    const struct sb_env *env;
    const struct sb_window_plan *plan;
    const char *name;
    struct sb_outlet *outlets;
    uint32_t outlet_count;
    struct sb_store *store;
    struct sb_keyed keyed; /* that has it */
    void *record;          /* a row as a struct */
    uint32_t record_size;
    int64_t watermark_ms;
    uint64_t late; /* rows since it was last asked */
    struct run run;
    struct sb_window_engine engine;
};

/* --- Results -------------------------------------------------------------------------------------
 */

static void set_number(struct sb_builder *builder, int32_t field, int64_t value)
{
    if (field != SB_NO_FIELD)
        sb_builder_int64(builder, (uint32_t)field, value);
}

static sabot_status set_text(struct sb_builder *builder,
                             int32_t field,
                             sabot_text text,
                             sabot_error *error)
{
    const sabot_status status =
        sb_builder_text(builder, (uint32_t)field, text.size == 0 ? "" : text.data, text.size);

    if (status != SABOT_OK)
        return sabot_raise(error, status, "no room for a text of %zu bytes in a result", text.size);
    return SABOT_OK;
}

static sabot_status set_value(struct sb_builder *builder,
                              int32_t field,
                              const struct sb_value *value,
                              sabot_error *error)
{
    switch (builder->batch->columns[field].type) {
    case SABOT_BOOL: sb_builder_bool(builder, (uint32_t)field, value->int64 != 0); break;
    case SABOT_INT32: sb_builder_int32(builder, (uint32_t)field, (int32_t)value->int64); break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: sb_builder_int64(builder, (uint32_t)field, value->int64); break;
    case SABOT_FLOAT64: sb_builder_float64(builder, (uint32_t)field, value->float64); break;
    case SABOT_UTF8:
    case SABOT_BINARY: return set_text(builder, field, value->text, error);
    case SABOT_CHARS: break;
    }
    return SABOT_OK;
}

/* The key from its bytes (data/key.h); an empty one of a number is a missing one. */
static sabot_status set_key(const struct sb_operator *self,
                            struct sb_builder *builder,
                            sabot_error *error)
{
    const int32_t field = self->plan->key_output;
    const sabot_text key = self->engine.key;
    struct sb_value value = {.text = key};

    if (field == SB_NO_FIELD)
        return SABOT_OK;
    if (sb_value_class_of(self->plan->input->fields[self->plan->key_field].type) ==
        SB_VALUE_INT64) {
        if (key.size == 0)
            return SABOT_OK;
        value.int64 = key.size == 1 ? key.data[0] : sb_get_ordered((const uint8_t *)key.data);
    }
    return set_value(builder, field, &value, error);
}

static const char *firing_name(sabot_firing firing)
{
    switch (firing) {
    case SABOT_EARLY: return "early";
    case SABOT_ON_TIME: return "on_time";
    case SABOT_LATE: break;
    }
    return "late";
}

/* A window has fired: one record. */
static sabot_status on_fired(void *context,
                             const struct sabot_window_result *result,
                             sabot_error *error)
{
    struct sb_operator *self = context;
    const struct sb_window_plan *plan = self->plan;
    struct sb_outlet *outlet = &self->outlets[OUTLET_RESULTS];
    struct sb_builder *builder;

    SABOT_TRY(sb_outlet_begin(outlet, &builder, error));
    SABOT_TRY(set_key(self, builder, error));
    set_number(builder, plan->start_output, result->bounds.start_ms);
    set_number(builder, plan->end_output, result->bounds.end_ms);
    set_number(builder, plan->number_output, result->number);
    if (plan->firing_output != SB_NO_FIELD)
        SABOT_TRY(set_text(builder, plan->firing_output, sabot_text_of(firing_name(result->firing)),
                           error));
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        if (result->values[i].present)
            SABOT_TRY(set_value(builder, plan->folds[i].output_field, &result->values[i], error));
    }
    return sb_outlet_commit(outlet, builder, result->event_time_ms, error);
}

/* --- Making --------------------------------------------------------------------------------------
 */

static void destroy(struct sb_operator *self)
{
    if (self == NULL)
        return;
    sb_window_engine_reset(&self->engine);
    sb_keyed_close(&self->keyed);
    sb_free(self->env, self->record, self->record_size);
    sb_free(self->env, self, sizeof *self);
}

static sabot_status create(const struct sb_operator_config *config,
                           struct sb_operator **operator_out,
                           sabot_error *error)
{
    const struct sb_window_settings *settings = config->settings;
    struct sb_operator *self = sb_alloc(config->env, sizeof *self);
    sabot_status status;

    *operator_out = NULL;
    if (self == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name);
    SB_ASSERT(settings->plan->output != NULL);
    SB_ASSERT(config->key_field == settings->plan->key_field);
    SB_ASSERT(config->outlet_count > OUTLET_RESULTS);
    *self = (struct sb_operator){
        .env = config->env,
        .plan = settings->plan,
        .name = config->name,
        .outlets = config->outlets,
        .outlet_count = config->outlet_count,
        .record_size = config->input->record_size,
        .watermark_ms = INT64_MIN,
    };
    self->record = sb_alloc(config->env, self->record_size);
    status = self->record == NULL
                 ? sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name)
                 : sb_keyed_open(&self->keyed, config, error);
    self->store = self->keyed.store;
    if (status == SABOT_OK)
        status = sb_window_engine_init(&self->engine, self->env, self->plan, self->store, 0, error);
    if (status != SABOT_OK) {
        destroy(self);
        return status;
    }
    self->engine.fired = on_fired;
    self->engine.context = self;
    *operator_out = self;
    return SABOT_OK;
}

/* --- Around each call of the engine --------------------------------------------------------------
 */

static bool has_sealed(const struct sb_operator *self)
{
    for (uint32_t i = 0; i < self->outlet_count; i++) {
        if (self->outlets[i].sealed_count > 0)
            return true;
    }
    return false;
}

static sabot_status finish_call(struct sb_operator *self, sabot_status status)
{
    for (uint32_t i = 0; i < self->outlet_count; i++) {
        if (status == SABOT_OK)
            sb_outlet_keep(&self->outlets[i]);
        else
            sb_outlet_undo(&self->outlets[i]);
    }
    return status;
}

static void begin(struct sb_operator *self, int64_t arrival_us)
{
    const int64_t passed_ms = sb_passed_ms(self->watermark_ms);
    const int64_t processing_ms = sb_wall_ms(self->env);

    for (uint32_t i = 0; i < self->outlet_count; i++)
        sb_outlet_arrival(&self->outlets[i], arrival_us);
    sb_window_engine_time(&self->engine, self->watermark_ms, passed_ms, processing_ms);
    sb_store_time(self->store, passed_ms, processing_ms);
}

/* --- Rows ----------------------------------------------------------------------------------------
 */

static sabot_status raise_place(const struct sb_slice *slice, uint32_t at, sabot_error *error)
{
    const struct sb_batch *batch = slice->batch;
    const sabot_error cause = *error;

    if (batch->origin.partition < 0)
        return cause.status;
    return sabot_raise(error, cause.status, "partition %d, offset %lld: %s",
                       (int)batch->origin.partition,
                       (long long)sb_batch_offset(batch, slice->rows[at]), cause.text);
}

/* A row that came too late goes on as it came: what is missing in it stays missing. */
static sabot_status hand_on_late(struct sb_operator *self,
                                 const struct sb_batch *batch,
                                 uint32_t row,
                                 sabot_error *error)
{
    struct sb_outlet *outlet = &self->outlets[OUTLET_LATE];
    struct sb_builder *builder;

    SABOT_TRY(sb_outlet_begin(outlet, &builder, error));
    SABOT_TRY(sb_builder_copy(builder, batch, row, error));
    return sb_outlet_commit(outlet, builder, batch->event_times[row], error);
}

/* A row by itself. */
static sabot_status add(struct sb_operator *self,
                        const struct sb_slice *slice,
                        uint32_t at,
                        sabot_error *error)
{
    const struct sb_batch *batch = slice->batch;
    const uint32_t row = slice->rows[at];
    const struct sb_window_input input = {
        .batch = batch,
        .row = row,
        .record = self->record,
        .event_time_ms = batch->event_times[row],
    };
    uint8_t scratch[SB_KEY_SCRATCH];
    const sabot_text key = sb_key_of(batch, (uint32_t)self->plan->key_field, row, scratch);
    bool is_late;

    SABOT_TRY(sb_store_begin(self->store, input.event_time_ms, error));
    if (self->plan->needs_record)
        sb_batch_record(batch, row, self->record);
    SABOT_TRY(sb_window_add(&self->engine, key, slice->hashes[at], &input, &is_late, error));
    if (is_late && self->outlet_count > OUTLET_LATE && !SB_MUTANT(LATE_DROPPED))
        SABOT_TRY(hand_on_late(self, batch, row, error));
    self->late += is_late;
    return SABOT_OK;
}

static inline bool holds(const struct sb_window_unit *unit, int64_t time_ms)
{
    return time_ms >= unit->start_ms && time_ms < unit->end_ms;
}

/* Does a session go on with this row, in its newest session? Then it lasts longer. */
static inline bool extend(const struct sb_window_plan *plan,
                          struct sb_window_unit *unit,
                          const struct sb_batch *batch,
                          uint32_t row)
{
    int64_t gap_ms = plan->spec.gap_ms;
    int64_t end_ms;

    if (plan->gap_field != SB_NO_FIELD) {
        const struct sb_window_input input = {.batch = batch, .row = row};
        const struct sb_value gap = sb_input_value(plan, &input, (uint32_t)plan->gap_field);

        if (gap.present)
            gap_ms = gap.int64;
        if (gap_ms < 1)
            return false; /* an error, which sb_window_add() tells */
    }
    end_ms = sb_time_add(batch->event_times[row], gap_ms);
    if (end_ms > unit->end_ms)
        unit->end_ms = end_ms;
    return true;
}

/* The unit that a row meets in the cell of its key; NULL: it needs more than to be folded. */
static inline struct sb_window_unit *meet(const struct sb_operator *self,
                                          void *cell,
                                          const struct sb_batch *batch,
                                          uint32_t row)
{
    const struct sb_window_plan *plan = self->plan;
    const int64_t time_ms = batch->event_times[row];
    struct sb_window_unit *unit = cell; /* the newest one comes first */

    if (__builtin_expect(!holds(unit, time_ms), 0)) {
        if (plan->mode == SB_WINDOW_OF_SESSIONS)
            return NULL;
        unit = sb_cell_unit(plan, sb_cell_head(plan, cell), 1);
        if (!holds(unit, time_ms))
            return NULL;
    }
    /* A window that has fired fires again, late. Of a pane: its first window. */
    if (__builtin_expect(sb_window_passed(&self->engine, sb_window_last_ms(unit->end_ms)), 0))
        return NULL;
    if (plan->mode == SB_WINDOW_OF_SESSIONS && !extend(plan, unit, batch, row))
        return NULL;
    return unit;
}

/* Gather rows from `at` on that meet their units. */
static sabot_status gather(struct sb_operator *self,
                           const struct sb_slice *slice,
                           uint32_t at,
                           uint32_t end,
                           sabot_error *error)
{
    const struct sb_batch *batch = slice->batch;
    struct run *run = &self->run;
    uint8_t scratch[SB_KEY_SCRATCH];

    run->count = 0;
    SABOT_TRY(sb_store_begin(self->store, batch->event_times[slice->rows[at]], error));
    for (; at < end && run->count < RUN_MAX; at++) {
        const uint32_t row = slice->rows[at];
        struct sb_window_unit *unit;
        void *cell;

        sb_store_ahead(self->store, SB_WINDOW_CELLS, slice->hashes, at, slice->count);
        cell = sb_store_edit(self->store, SB_WINDOW_CELLS,
                             sb_key_of(batch, (uint32_t)self->plan->key_field, row, scratch),
                             slice->hashes[at], error);
        if (cell == NULL)
            return error->status;
        unit = meet(self, cell, batch, row);
        if (unit == NULL)
            return SABOT_OK;
        unit->records++;
        run->rows[run->count] = row;
        run->units[run->count++] = unit;
    }
    return SABOT_OK;
}

static sabot_status add_run(struct sb_operator *self,
                            const struct sb_slice *slice,
                            uint32_t *cursor,
                            uint32_t end,
                            sabot_error *error)
{
    const struct run *run = &self->run;

    SABOT_TRY(gather(self, slice, *cursor, end, error));
    for (uint32_t i = 0; i < self->plan->fold_count && run->count > 0; i++)
        sb_fold_add_rows(&self->plan->folds[i], slice->batch, run->rows, run->units, run->count);
    *cursor += run->count;
    return SABOT_OK;
}

static sabot_status rows(struct sb_operator *self,
                         const struct sb_slice *slice,
                         uint32_t *cursor,
                         uint32_t end,
                         sabot_error *error)
{
    begin(self, slice->batch->origin.arrival_us);
    while (*cursor < end && !has_sealed(self)) {
        sabot_status status = SABOT_OK;

        if (self->plan->is_columnar)
            status = add_run(self, slice, cursor, end, error);
        if (status == SABOT_OK && *cursor < end && self->run.count < RUN_MAX) {
            status = finish_call(self, add(self, slice, *cursor, error));
            *cursor += status == SABOT_OK;
        }
        if (status != SABOT_OK)
            return raise_place(slice, *cursor, error);
    }
    return SABOT_OK;
}

static uint64_t take_late(struct sb_operator *self)
{
    const uint64_t late = self->late;

    self->late = 0;
    return late;
}

/* --- Time ----------------------------------------------------------------------------------------
 */

static sabot_status on_timer(void *argument,
                             uint32_t index,
                             sabot_text key,
                             uint64_t hash,
                             int64_t time_ms,
                             sabot_error *error)
{
    struct sb_operator *self = argument;

    SABOT_TRY(finish_call(self, sb_window_timer(&self->engine, index, key, hash, time_ms, error)));
    return has_sealed(self) ? SABOT_AGAIN : SABOT_OK;
}

static sabot_status watermark(struct sb_operator *self, int64_t watermark_ms, sabot_error *error)
{
    SB_ASSERT(watermark_ms >= self->watermark_ms);
    self->watermark_ms = watermark_ms;
    begin(self, sb_now_us(self->env));
    return sb_store_fire(self->store, FIRE_MAX, on_timer, self, error);
}

static int64_t due_ms(const struct sb_operator *self)
{
    return self->plan->early_state == 0 ? INT64_MAX
                                        : sb_store_next_timer(self->store, SB_TIME_PROCESSING);
}

static sabot_status on_clock(struct sb_operator *self, sabot_error *error)
{
    begin(self, sb_now_us(self->env));
    return sb_store_fire(self->store, FIRE_MAX, on_timer, self, error);
}

/* --- Checkpoints ---------------------------------------------------------------------------------
 */

static struct sb_store *store_of(struct sb_operator *self)
{
    return self->store;
}

static sabot_status restore(struct sb_operator *self,
                            const struct sb_byte_source *source,
                            sabot_error *error)
{
    return sb_store_restore(self->store, source, error);
}

const struct sb_operator_type sb_operator_window = {
    .name = "window",
    .create = create,
    .destroy = destroy,
    .rows = rows,
    .take_late = take_late,
    .watermark = watermark,
    .due_ms = due_ms,
    .clock = on_clock,
    .store = store_of,
    .restore = restore,
};
