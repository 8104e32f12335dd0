/* SPDX-License-Identifier: Apache-2.0 */
/* window_kit.c - see the header. */
#include "window_kit.h"

#include "test.h"

#include "base/os.h"

enum { LATE_MAX = 65536, SEED = 42, PIECE = 37 /* rows handled at a time */ };

struct window_kit {
    struct sb_env *os;
    struct sb_env_type type; /* as the system's, but for the wall clock */
    struct sb_env env;
    struct sb_schema *input;
    struct sb_schema *output;
    struct sb_window_plan *plan;
    sabot_window_aggregate aggregates[WINDOW_AGGREGATES];
    uint32_t aggregate_of[WINDOW_AGGREGATES];
    uint32_t aggregate_count;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    const struct state_backend *backend;
    struct sb_rows *rows;
    struct sb_rows_source source;
    struct sb_window_settings settings;
    struct sb_keyed_settings keyed;
    struct sb_outlet outlets[2];
    struct sb_operator *instance;
    struct window_results results;
    int64_t late[LATE_MAX];
    size_t late_count;
    uint64_t late_counted;
    sabot_error error;
};

uint64_t window_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t window_below(uint64_t *state, uint64_t limit)
{
    return window_random(state) % limit;
}

static void must(sabot_status status, const sabot_error *error)
{
    if (status != SABOT_OK)
        fail_msg("%s", error->text);
}

static int64_t wall_now_ms; /* one kit at a time looks at it */

static int64_t wall_ms(void *self)
{
    (void)self;
    return wall_now_ms;
}

/* --- The instance --------------------------------------------------------------------------------
 */

static sabot_status open_rows(void *context, struct sb_rows **rows_out, sabot_error *error)
{
    struct window_kit *kit = context;

    (void)error;
    *rows_out = kit->rows;
    return SABOT_OK;
}

static void close_rows(struct sb_rows *rows)
{
    (void)rows; /* the backend's, after the operator */
}

static void open_instance(struct window_kit *kit, const struct state_backend *backend)
{
    struct sb_operator_config config = {
        .env = &kit->env,
        .name = "windows",
        .settings = &kit->settings,
        .keyed = &kit->keyed,
        .input = kit->input,
        .key_field = EVENT_KEY,
        .outlets = kit->outlets,
        .outlet_count = 2,
        .worker_count = 1,
        .hash_seed = SEED,
    };

    kit->backend = backend;
    kit->rows = backend->open == NULL ? NULL : backend->open(kit->os);
    kit->source = (struct sb_rows_source){open_rows, close_rows, kit};
    kit->keyed.rows = kit->rows == NULL ? NULL : &kit->source;
    kit->keyed.cache_bytes = backend->cache;
    must(sb_operator_window.create(&config, &kit->instance, &kit->error), &kit->error);
}

static void close_instance(struct window_kit *kit)
{
    sb_operator_window.destroy(kit->instance);
    kit->instance = NULL;
    if (kit->rows != NULL)
        kit->backend->close(kit->os, kit->rows);
    kit->rows = NULL;
}

static void make_plan(struct window_kit *kit, const sabot_window_spec *spec, uint32_t chosen)
{
    struct sb_window_config config = {
        .env = &kit->env,
        .name = "windows",
        .spec = spec,
        .aggregates = kit->aggregates,
        .input = kit->input,
        .key_field = EVENT_KEY,
        .output = kit->output,
        .late = kit->input,
        .prefix = "",
    };

    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++) {
        if (!((chosen >> i) & 1))
            continue;
        kit->aggregate_of[kit->aggregate_count] = i;
        kit->aggregates[kit->aggregate_count++] = window_aggregates[i];
    }
    config.aggregate_count = kit->aggregate_count;
    must(sb_window_plan_create(&config, &kit->plan, &kit->error), &kit->error);
    kit->settings.plan = kit->plan;
    kit->keyed.states = sb_window_plan_states(kit->plan, &kit->keyed.state_count);
}

struct window_kit *window_kit_create(const sabot_window_spec *spec,
                                     uint32_t chosen,
                                     const struct state_backend *backend)
{
    struct window_kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    wall_now_ms = 0;
    must(sb_os_env_create(&kit->os, &kit->error), &kit->error);
    kit->type = *kit->os->type;
    kit->type.wall_ms = wall_ms;
    kit->env = (struct sb_env){&kit->type, kit->os->self, SABOT_LOG_ERROR};
    must(sb_schema_create(&kit->env, &window_event_schema, SB_SCHEMA_RECORD, &kit->input,
                          &kit->error),
         &kit->error);
    must(sb_schema_create(&kit->env, &window_output_schema, SB_SCHEMA_RECORD, &kit->output,
                          &kit->error),
         &kit->error);
    make_plan(kit, spec, chosen);
    must(sb_outlet_init(&kit->outlets[0], &kit->env, kit->output, SB_NO_FIELD, &kit->error),
         &kit->error);
    must(sb_outlet_init(&kit->outlets[1], &kit->env, kit->input, EVENT_TIME, &kit->error),
         &kit->error);
    must(sb_batch_pool_create(&kit->env, kit->input, SB_BATCH_ROWS, &kit->pool, &kit->error),
         &kit->error);
    assert_int_equal(sb_builder_init(&kit->builder, kit->pool), SABOT_OK);
    open_instance(kit, backend);
    return kit;
}

void window_kit_destroy(struct window_kit *kit)
{
    close_instance(kit);
    sb_builder_reset(&kit->builder);
    sb_batch_pool_destroy(kit->pool);
    sb_outlet_reset(&kit->outlets[0]);
    sb_outlet_reset(&kit->outlets[1]);
    sb_window_plan_destroy(kit->plan);
    sb_schema_destroy(kit->input);
    sb_schema_destroy(kit->output);
    window_results_reset(&kit->results);
    sb_os_env_destroy(kit->os);
    free(kit);
}

/* --- Results -------------------------------------------------------------------------------------
 */

static sabot_firing firing_of(sabot_text name)
{
    if (name.size == 5)
        return SABOT_EARLY;
    return name.size == 7 ? SABOT_ON_TIME : SABOT_LATE;
}

static void take_value(const struct sb_batch *batch,
                       uint32_t field,
                       uint32_t row,
                       struct window_value *value)
{
    const struct sb_column *column = &batch->columns[field];

    if (!sb_column_has(column, row))
        return;
    if (column->type == SABOT_FLOAT64) {
        value->kind = 'f';
        value->float64 = sb_batch_float64(batch, field, row);
    } else if (column->type == SABOT_UTF8) {
        const sabot_text text = sb_batch_text(batch, field, row);

        value->kind = 't';
        value->text = malloc(text.size + 1);
        assert_non_null(value->text);
        memcpy(value->text, text.data, text.size);
        value->text[text.size] = '\0';
    } else {
        value->kind = 'i';
        value->int64 = sb_batch_int64(batch, field, row);
    }
}

static void take_result(struct window_kit *kit, const struct sb_batch *batch, uint32_t row)
{
    struct window_result *result = window_results_add(&kit->results);
    struct window_output output = {0};

    sb_batch_record(batch, row, &output);
    result->key = output.key;
    result->start_ms = output.start_ms;
    result->end_ms = output.end_ms;
    result->firing = firing_of(output.firing);
    result->number = output.number;
    result->event_time_ms = batch->event_times[row];
    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++)
        take_value(batch, i, row, &result->values[i]);
}

static void take_all(struct window_kit *kit)
{
    struct sb_batch *batch;

    sb_outlet_seal(&kit->outlets[0]);
    sb_outlet_seal(&kit->outlets[1]);
    while ((batch = sb_outlet_take(&kit->outlets[0])) != NULL) {
        for (uint32_t row = 0; row < batch->rows; row++)
            take_result(kit, batch, row);
        sb_batch_unref(batch);
    }
    while ((batch = sb_outlet_take(&kit->outlets[1])) != NULL) {
        for (uint32_t row = 0; row < batch->rows; row++) {
            assert_true(kit->late_count < LATE_MAX);
            kit->late[kit->late_count++] = sb_batch_int64(batch, EVENT_ID, row);
        }
        sb_batch_unref(batch);
    }
}

struct window_results *window_kit_results(struct window_kit *kit)
{
    return &kit->results;
}

const int64_t *window_kit_late(const struct window_kit *kit, size_t *count_out)
{
    *count_out = kit->late_count;
    return kit->late;
}

uint64_t window_kit_late_counted(const struct window_kit *kit)
{
    return kit->late_counted;
}

/* --- Feeding -------------------------------------------------------------------------------------
 */

void window_kit_record(struct window_kit *kit, const struct window_event *event)
{
    struct sb_builder *builder = &kit->builder;
    uint32_t missing;

    assert_int_equal(sb_builder_begin(builder), SABOT_OK);
    sb_builder_int64(builder, EVENT_ID, event->id);
    sb_builder_int64(builder, EVENT_KEY, event->key);
    sb_builder_int64(builder, EVENT_TIME, event->time_ms);
    if (event->has_number)
        sb_builder_int64(builder, EVENT_NUMBER, event->number);
    sb_builder_float64(builder, EVENT_PRICE, event->price);
    if (event->word.data != NULL)
        assert_int_equal(sb_builder_text(builder, EVENT_WORD, event->word.data, event->word.size),
                         SABOT_OK);
    sb_builder_int64(builder, EVENT_GAP, event->gap_ms);
    assert_int_equal(sb_builder_commit(builder, event->time_ms, builder->batch->rows, &missing),
                     SABOT_OK);
    if (sb_builder_full(builder))
        window_kit_flush(kit);
}

static sabot_status feed(struct window_kit *kit)
{
    const struct sb_batch_origin origin = {.partition = 3, .base_offset = 100};
    struct sb_batch *batch;
    struct sb_slice_pool pool;
    struct sb_slice *slice;
    sabot_status status = SABOT_OK;
    uint32_t cursor = 0;

    if (sb_builder_seal(&kit->builder, &origin, &batch) != SABOT_OK)
        return SABOT_OK;
    sb_slice_pool_init(&pool, &kit->env, SB_BATCH_ROWS);
    slice = sb_slice_take(&pool, batch);
    assert_non_null(slice);
    sb_key_hashes(batch, EVENT_KEY, SEED, slice->hashes);
    for (slice->count = 0; slice->count < batch->rows; slice->count++)
        slice->rows[slice->count] = slice->count;
    while (status == SABOT_OK && cursor < slice->count) {
        const uint32_t before = cursor;
        const uint32_t left = slice->count - cursor;
        const uint32_t end = left > PIECE ? cursor + PIECE : slice->count;
        uint64_t late;

        status = sb_operator_window.rows(kit->instance, slice, &cursor, end, &kit->error);
        late = sb_operator_window.take_late(kit->instance);
        assert_true(late <= cursor - before);
        kit->late_counted += late;
        take_all(kit);
    }
    sb_slice_drop(slice);
    sb_slice_pool_reset(&pool);
    sb_batch_unref(batch);
    return status;
}

void window_kit_flush(struct window_kit *kit)
{
    must(feed(kit), &kit->error);
}

const sabot_error *window_kit_fails(struct window_kit *kit)
{
    if (feed(kit) == SABOT_OK)
        fail_msg("the rows were handled, though they should not have been");
    return &kit->error;
}

void window_kit_watermark(struct window_kit *kit, int64_t watermark_ms)
{
    sabot_status status;

    window_kit_flush(kit);
    do {
        status = sb_operator_window.watermark(kit->instance, watermark_ms, &kit->error);
        take_all(kit);
    } while (status == SABOT_AGAIN);
    must(status, &kit->error);
}

void window_kit_clock(struct window_kit *kit, int64_t now_ms)
{
    sabot_status status;

    window_kit_flush(kit);
    wall_now_ms = now_ms;
    do {
        status = sb_operator_window.clock(kit->instance, &kit->error);
        take_all(kit);
    } while (status == SABOT_AGAIN);
    must(status, &kit->error);
}

/* --- Moving --------------------------------------------------------------------------------------
 */

/* As a checkpoint of another backend is restored: from rows by way of the logical form. */
static void restore(struct window_kit *kit, struct sb_image *image, struct sb_rows *rows)
{
    if (rows != NULL)
        sb_image_set_rows(image, rows);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        struct sb_store *store = sb_operator_window.store(kit->instance);
        struct tape logical = {.bytes = NULL};
        const struct sb_byte_sink sink = tape_sink(&logical);

        if (!sb_image_has_shard(image, shard))
            continue;
        if (rows == NULL) {
            must(sb_store_restore_image(store, image, shard, &kit->error), &kit->error);
            continue;
        }
        must(sb_image_write(image, shard, &sink, &kit->error), &kit->error);
        const struct sb_byte_source source = tape_source(&logical);

        must(sb_operator_window.restore(kit->instance, &source, &kit->error), &kit->error);
        tape_reset(&logical);
    }
}

void window_kit_move(struct window_kit *kit, const struct state_backend *backend)
{
    const struct state_backend *old_backend = kit->backend;
    struct sb_rows *rows = kit->rows;
    struct tape tape = {.bytes = NULL};
    struct sb_image_file file;
    struct sb_image *image;

    window_kit_flush(kit);
    tape_take_image(&tape, sb_operator_window.store(kit->instance), 0);
    file = tape_image_file(&tape);
    must(sb_image_open(&kit->env, &file, 1, 0, &image, &kit->error), &kit->error);
    sb_operator_window.destroy(kit->instance);
    open_instance(kit, backend);
    restore(kit, image, rows);
    sb_image_close(image);
    tape_reset(&tape);
    if (rows != NULL)
        old_backend->close(kit->os, rows);
}

/* An empty shard has the same size as any other. */
bool window_kit_is_empty(struct window_kit *kit)
{
    size_t least = SIZE_MAX;
    size_t most = 0;

    window_kit_flush(kit);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        struct tape tape = {.bytes = NULL};
        const struct sb_byte_sink sink = tape_sink(&tape);

        must(sb_store_snapshot(sb_operator_window.store(kit->instance), shard, &sink, &kit->error),
             &kit->error);
        least = tape.size < least ? tape.size : least;
        most = tape.size > most ? tape.size : most;
        tape_reset(&tape);
    }
    return most == least;
}
