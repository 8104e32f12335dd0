/* SPDX-License-Identifier: Apache-2.0 */
/* test_batch.c - builder and batches against a naive model of rows, by seed; pools, references, and
 * memory that fails.
 *
 * The model keeps each row as plain cells. A random program begins, sets, sets again, nulls, drops,
 * commits, truncates and seals; what a sealed batch then says must be what the model says, in every
 * way of reading it. */
#include "test.h"

#include "data/batch.h"

struct row {
    int64_t id;
    sabot_text name;
    int32_t count;
    double amount;
    bool flag;
    sabot_text note;
    int64_t time_ms;
    sabot_text blob;
};

enum { ID, NAME, COUNT, AMOUNT, FLAG, NOTE, TIME, BLOB, FIELDS };

static const sabot_field row_fields[] = {
    SABOT_FIELD(struct row, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct row, name, "name", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD_DEFAULT(struct row, count, "count", SABOT_INT32, "-5"),
    SABOT_FIELD(struct row, amount, "amount", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct row, flag, "flag", SABOT_BOOL, "true"),
    SABOT_FIELD_DEFAULT(struct row, note, "note", SABOT_UTF8, "\"none\""),
    SABOT_FIELD(struct row, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, blob, "blob", SABOT_BINARY, SABOT_OPTIONAL),
};
static const sabot_schema row_table = SABOT_SCHEMA("row", 1, struct row, row_fields);

static const struct sb_batch_origin origin = {.partition = 3,
                                              .base_offset = 100,
                                              .next_offset = 900,
                                              .bytes = 77};

struct fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    uint32_t missing;
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_schema_create(fixture->env, &row_table, SB_SCHEMA_RECORD, &fixture->schema, NULL) !=
        SABOT_OK)
        return -1;
    if (sb_batch_pool_create(fixture->env, fixture->schema, 100, &fixture->pool, NULL) != SABOT_OK)
        return -1;
    if (sb_builder_init(&fixture->builder, fixture->pool) != SABOT_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_builder_reset(&fixture->builder);
    sb_batch_pool_destroy(fixture->pool);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

/* --- The model -------------------------------------------------------------------------------- */

enum { MODEL_ROWS = 100, MODEL_TEXT = 40 };

struct cell {
    bool present;
    int64_t number; /* of every type but texts; a double's bits */
    uint8_t text[MODEL_TEXT];
    size_t size;
};

struct model {
    uint32_t rows;
    struct cell cells[MODEL_ROWS + 1][FIELDS]; /* the last begun row stands behind the rows */
    int64_t times[MODEL_ROWS];
    uint32_t deltas[MODEL_ROWS];
};

static uint64_t random_state;

/* Of G. Marsaglia, with the multiplier of S. Vigna: xorshift64*. */
static uint32_t random_below(uint32_t end)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % end;
}

static void set_text_in_two_ways(struct sb_builder *builder,
                                 uint32_t field,
                                 const struct cell *cell)
{
    if (random_below(2) == 0) {
        assert_int_equal(sb_builder_text(builder, field, cell->text, cell->size), SABOT_OK);
        return;
    }
    /* As a decoder does: ask for more than is used, and write over the end. */
    const size_t asked = cell->size + random_below(100);
    uint8_t *room = sb_builder_text_room(builder, field, asked);

    assert_non_null(room);
    memset(room, 0xee, asked + 64);
    memcpy(room, cell->text, cell->size);
    sb_builder_text_done(builder, field, cell->size);
}

static void set_random(struct sb_builder *builder, struct cell *cell, uint32_t field)
{
    double amount;

    *cell = (struct cell){.present = true, .number = (int64_t)random_below(1000000) - 500000};
    switch (field) {
    case ID:
    case TIME: sb_builder_int64(builder, field, cell->number); break;
    case COUNT: sb_builder_int32(builder, field, (int32_t)cell->number); break;
    case AMOUNT:
        amount = (double)cell->number / 7;
        memcpy(&cell->number, &amount, sizeof amount);
        sb_builder_float64(builder, field, amount);
        break;
    case FLAG:
        cell->number &= 1;
        sb_builder_bool(builder, field, cell->number != 0);
        break;
    default:
        cell->size = random_below(MODEL_TEXT + 1);
        for (size_t i = 0; i < cell->size; i++)
            cell->text[i] = (uint8_t)('a' + random_below(26));
        set_text_in_two_ways(builder, field, cell);
        break;
    }
}

static void set_some(struct sb_builder *builder, struct model *model)
{
    struct cell *cells = model->cells[model->rows];
    const uint32_t count = random_below(3 * FIELDS);

    memset(cells, 0, sizeof model->cells[0]);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t field = random_below(FIELDS);

        if (random_below(6) == 0) {
            sb_builder_null(builder, field);
            cells[field] = (struct cell){0};
        } else {
            set_random(builder, &cells[field], field);
        }
    }
    /* Most rows shall be whole. */
    for (uint32_t field = ID; field <= NAME; field++)
        if (!cells[field].present && random_below(8) != 0)
            set_random(builder, &cells[field], field);
}

static void apply_defaults(struct cell *cells)
{
    if (!cells[COUNT].present)
        cells[COUNT] = (struct cell){.present = true, .number = -5};
    if (!cells[FLAG].present)
        cells[FLAG] = (struct cell){.present = true, .number = 1};
    if (!cells[NOTE].present)
        cells[NOTE] = (struct cell){.present = true, .text = "none", .size = 4};
}

static void commit_row(struct sb_builder *builder, struct model *model)
{
    struct cell *cells = model->cells[model->rows];
    const int64_t time_ms = (int64_t)random_below(1000) - 500;
    const uint32_t delta = random_below(5000);
    uint32_t missing = 999;
    const sabot_status status = sb_builder_commit(builder, time_ms, delta, &missing);

    if (!cells[ID].present || !cells[NAME].present) {
        assert_int_equal(status, SABOT_ERR_SCHEMA);
        assert_int_equal(missing, cells[ID].present ? NAME : ID);
        return;
    }
    assert_int_equal(status, SABOT_OK);
    apply_defaults(cells);
    model->times[model->rows] = time_ms;
    model->deltas[model->rows] = delta;
    model->rows++;
}

/* --- Comparing -------------------------------------------------------------------------------- */

static void check_text(sabot_text text, const struct cell *cell)
{
    if (!cell->present) {
        assert_null(text.data);
        assert_int_equal(text.size, 0);
        return;
    }
    assert_non_null(text.data);
    assert_int_equal(text.size, cell->size);
    assert_memory_equal(text.data, cell->text, cell->size);
}

static void check_record(const struct sb_batch *batch, uint32_t row, const struct cell *cells)
{
    struct row record;

    memset(&record, 0xaa, sizeof record);
    sb_batch_record(batch, row, &record);
    assert_true(record.id == cells[ID].number);
    assert_true(record.count == cells[COUNT].number);
    assert_memory_equal(&record.amount, &cells[AMOUNT].number, sizeof record.amount);
    assert_true(record.flag == (cells[FLAG].number != 0));
    assert_true(record.time_ms == cells[TIME].number);
    check_text(record.name, &cells[NAME]);
    check_text(record.note, &cells[NOTE]);
    check_text(record.blob, &cells[BLOB]);
}

static void check_columns(const struct sb_batch *batch, const struct model *model)
{
    for (uint32_t field = 0; field < FIELDS; field++) {
        const struct sb_column *column = &batch->columns[field];
        uint32_t nulls = 0;

        assert_int_equal(column->type, row_fields[field].type);
        for (uint32_t row = 0; row < batch->rows; row++) {
            nulls += !model->cells[row][field].present;
            assert_int_equal(sb_column_has(column, row), model->cells[row][field].present);
        }
        for (uint32_t row = batch->rows; row < 128; row++)
            assert_false(sb_column_has(column, row));
        assert_int_equal(column->null_count, nulls);
        if (column->offsets != NULL) {
            assert_int_equal(column->offsets[0], 0);
            assert_true((size_t)column->offsets[batch->rows] <= column->values_capacity);
        }
    }
}

static void check_batch(const struct sb_batch *batch, const struct model *model)
{
    int64_t max = INT64_MIN;

    assert_int_equal(batch->rows, model->rows);
    check_columns(batch, model);
    for (uint32_t row = 0; row < batch->rows; row++) {
        check_record(batch, row, model->cells[row]);
        assert_true(batch->event_times[row] == model->times[row]);
        assert_true(sb_batch_offset(batch, row) == origin.base_offset + model->deltas[row]);
        max = model->times[row] > max ? model->times[row] : max;
    }
    assert_true(batch->event_time_max == max);
    assert_memory_equal(&batch->origin, &origin, sizeof origin);
}

static void seal_and_check(struct fixture *fixture, struct model *model)
{
    struct sb_batch *batch;
    const sabot_status status = sb_builder_seal(&fixture->builder, &origin, &batch);

    if (model->rows == 0) {
        assert_int_equal(status, SABOT_ERR_EMPTY);
        assert_null(batch);
        return;
    }
    assert_int_equal(status, SABOT_OK);
    assert_int_equal(sb_builder_rows(&fixture->builder), 0);
    check_batch(batch, model);
    sb_batch_unref(batch);
    model->rows = 0;
}

static void one_step(struct fixture *fixture, struct model *model)
{
    struct sb_builder *builder = &fixture->builder;

    if (model->rows == MODEL_ROWS) {
        assert_true(sb_builder_full(builder));
        seal_and_check(fixture, model);
    }
    assert_int_equal(sb_builder_begin(builder), SABOT_OK);
    set_some(builder, model);
    if (random_below(8) != 0 && random_below(50) != 0)
        commit_row(builder, model);
    else if (random_below(8) == 0)
        seal_and_check(fixture, model); /* which ends the open row, as a drop does */
    else
        sb_builder_drop(builder);
    if (random_below(20) == 0) {
        const uint32_t rows = random_below(model->rows + 1);

        if (builder->batch != NULL || rows == 0)
            sb_builder_truncate(builder, rows);
        model->rows = rows;
    }
    assert_int_equal(sb_builder_rows(builder), model->rows);
    if (random_below(60) == 0)
        seal_and_check(fixture, model);
}

static void a_random_program_gives_what_the_model_says(void **state)
{
    static struct model model;
    const char *fixed = getenv("SABOT_TEST_SEED");
    struct fixture *fixture = *state;

    for (uint64_t round = 0; round < 20; round++) {
        const uint64_t seed =
            fixed != NULL ? strtoull(fixed, NULL, 10) : sb_random(fixture->env) | 1;

        print_message("SABOT_TEST_SEED=%llu\n", (unsigned long long)seed);
        random_state = seed;
        model.rows = 0;
        for (int step = 0; step < 2000; step++)
            one_step(fixture, &model);
        seal_and_check(fixture, &model);
    }
}

/* --- Single behaviours ------------------------------------------------------------------------ */

static sabot_text text_of(const char *string)
{
    return sabot_text_of(string);
}

static void a_struct_becomes_a_row_and_back(void **state)
{
    struct fixture *fixture = *state;
    const struct row in = {.id = 7,
                           .name = text_of("Zo\xc3\xab"),
                           .count = -1,
                           .amount = 0.1,
                           .flag = false,
                           .note = {NULL, 0},
                           .time_ms = 5,
                           .blob = {"\xff\0", 2}};
    struct sb_batch *batch;
    struct row out;

    assert_int_equal(sb_builder_record(&fixture->builder, &in, 1234, NULL), SABOT_OK);
    assert_int_equal(sb_builder_record(&fixture->builder, &in, 1233, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &batch), SABOT_OK);
    sb_batch_record(batch, 1, &out);
    assert_true(out.id == 7 && out.count == -1 && out.amount == 0.1 && !out.flag &&
                out.time_ms == 5);
    assert_int_equal(out.name.size, 4);
    assert_int_equal(out.note.size, 4); /* the default */
    assert_memory_equal(out.blob.data, "\xff\0", 2);
    assert_true(batch->event_time_max == 1234);
    assert_int_equal(sb_batch_offset(batch, 1), 101);
    sb_batch_unref(batch);
}

static void a_struct_that_does_not_fit_leaves_no_row(void **state)
{
    struct fixture *fixture = *state;
    struct row record = {.id = 1, .name = {NULL, 0}};
    sabot_error error;

    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, &error), SABOT_ERR_SCHEMA);
    assert_string_equal(error.text, "record of row: name is required, but its data is NULL");
    record.name = text_of("a");
    record.note = text_of("\xc3");
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, &error), SABOT_ERR_SCHEMA);
    assert_string_equal(error.text, "record of row: note (1 bytes) is not UTF-8");
    record.note = (sabot_text){"x", (size_t)SB_BATCH_TEXT_MAX + 1};
    record.blob = record.note;
    record.note.data = NULL; /* a size without data is a mistake of the app */
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, &error), SABOT_ERR_SCHEMA);
    record.note.size = 0;
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, &error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(error.text, "blob has 67108865 bytes"));
    assert_int_equal(sb_builder_rows(&fixture->builder), 0);
    record.blob = (sabot_text){NULL, 0};
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, &error), SABOT_OK);
}

static void texts_are_bounded_per_column(void **state)
{
    struct fixture *fixture = *state;
    struct sb_builder *builder = &fixture->builder;

    assert_int_equal(sb_builder_begin(builder), SABOT_OK);
    assert_null(sb_builder_text_room(builder, NAME, SIZE_MAX));
    assert_null(sb_builder_text_room(builder, NAME, SIZE_MAX - 63));
    assert_null(sb_builder_text_room(builder, NAME, (size_t)SB_BATCH_TEXT_MAX + 1));
    assert_int_equal(sb_builder_text(builder, NAME, "", SIZE_MAX), SABOT_ERR_LIMIT);
    sb_builder_int64(builder, ID, 1);
    assert_int_equal(sb_builder_text(builder, NAME, "abc", 3), SABOT_OK);
    assert_int_equal(sb_builder_commit(builder, 0, 0, &fixture->missing), SABOT_OK);
    assert_int_equal(sb_builder_begin(builder), SABOT_OK);
    assert_null(sb_builder_text_room(builder, NAME, SB_BATCH_TEXT_MAX - 2));
    assert_non_null(sb_builder_text_room(builder, NAME, SB_BATCH_TEXT_MAX - 3));
    assert_memory_equal(builder->batch->columns[NAME].values, "abc", 3);
}

/* Builds and drops `count` batches of one row whose name has `size` bytes. */
static size_t capacity_after(struct fixture *fixture, size_t size)
{
    char *name = calloc(1, size + 1);
    struct sb_batch *batch;
    struct row record = {.name = {name, size}};

    assert_non_null(name);
    memset(name, 'x', size);
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &batch), SABOT_OK);
    assert_int_equal(sb_batch_text(batch, NAME, 0).size, size);
    sb_batch_unref(batch);
    assert_int_equal(sb_builder_begin(&fixture->builder), SABOT_OK);
    free(name);
    return fixture->builder.batch->columns[NAME].values_capacity;
}

static void a_text_buffer_keeps_its_growth_but_not_a_huge_one(void **state)
{
    struct fixture *fixture = *state;

    const size_t grown = capacity_after(fixture, 300000);
    assert_true(grown >= 300000);
    assert_int_equal(capacity_after(fixture, 10), grown);
    assert_true(capacity_after(fixture, 3000000) < 100000);
}

static void a_running_flow_allocates_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before = 0;

    for (int round = 0; round < 50; round++) {
        (void)capacity_after(fixture, 5000);
        if (round == 10)
            before = sb_os_env_allocation_count(fixture->env);
    }
    assert_int_equal(sb_os_env_allocation_count(fixture->env), before);
}

static void a_batch_outlives_its_pool_and_builder(void **state)
{
    struct fixture *fixture = *state;
    struct row record = {.id = 11, .name = text_of("late")};
    struct sb_batch *batch;

    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &batch), SABOT_OK);
    assert_ptr_equal(sb_batch_ref(batch), batch);
    sb_builder_reset(&fixture->builder);
    sb_batch_pool_destroy(fixture->pool);
    fixture->pool = NULL;
    sb_batch_unref(batch);
    assert_int_equal(sb_batch_int64(batch, ID, 0), 11);
    assert_int_equal(sb_batch_text(batch, NAME, 0).size, 4);
    sb_batch_unref(batch);
    sb_batch_unref(NULL);
}

static void the_bytes_of_a_batch_grow_with_rows_and_texts(void **state)
{
    struct fixture *fixture = *state;
    struct row record = {.id = 1, .name = text_of("abc"), .note = text_of("")};
    struct sb_batch *one;
    struct sb_batch *two;

    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &one), SABOT_OK);
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    record.name = text_of("abcdefgh");
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &two), SABOT_OK);
    /* 12 of time and offset, 28 of numbers, 3 offsets of texts, 8 more letters. */
    assert_int_equal(sb_batch_bytes(two) - sb_batch_bytes(one), 12 + 28 + 12 + 8);
    sb_batch_unref(one);
    sb_batch_unref(two);
}

/* --- Memory that fails ------------------------------------------------------------------------ */

/* The whole life of a pool with each allocation failed in turn, by its number. */
static sabot_status whole_life(struct fixture *fixture, uint64_t nth)
{
    struct sb_batch_pool *pool = (struct sb_batch_pool *)&pool;
    char name[5000] = {0};
    struct row record = {.id = 1, .name = {name, 5000}, .blob = {name, 4000}};
    struct sb_batch *batch = NULL;
    struct sb_builder builder;
    sabot_error error = {0};
    sabot_status status;

    sb_os_env_fail_allocation(fixture->env, nth);
    status = sb_batch_pool_create(fixture->env, fixture->schema, 8, &pool, &error);
    if (status != SABOT_OK) {
        assert_null(pool);
        assert_int_equal(error.status, status);
        return status;
    }
    assert_int_equal(sb_builder_init(&builder, pool), SABOT_OK);
    for (int i = 0; i < 8 && status == SABOT_OK; i++) {
        status = sb_builder_record(&builder, &record, i, &error);
        assert_int_equal(sb_builder_rows(&builder), i + (status == SABOT_OK));
    }
    assert_int_equal(error.status, status);
    if (status == SABOT_OK) {
        assert_int_equal(sb_builder_seal(&builder, &origin, &batch), SABOT_OK);
        sb_batch_unref(batch);
    }
    sb_builder_reset(&builder);
    sb_batch_pool_destroy(pool);
    return status;
}

static void every_failed_allocation_leaves_whole_rows_and_no_leak(void **state)
{
    struct fixture *fixture = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth = 0;

    while (status != SABOT_OK) {
        status = whole_life(fixture, ++nth);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
    }
    assert_true(nth > 8);
    sb_os_env_fail_allocation(fixture->env, 0);
}

static void a_spent_batch_that_cannot_shrink_stays(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = 3000000;
    char *name = calloc(1, size);
    struct row record = {.name = {name, size}};
    struct sb_batch *batch;

    assert_non_null(name);
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &batch), SABOT_OK);
    sb_os_env_fail_allocation(fixture->env, 1);
    sb_batch_unref(batch);
    assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
    sb_os_env_fail_allocation(fixture->env, 0);
    free(name);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { HOLDERS = 3, HANDOVERS = 3000 };

struct holder {
    const struct fixture *fixture;
    struct sb_waker *waker;
    struct sb_thread *thread;
    _Atomic(struct sb_batch *) slot; /* one batch at a time, NULL: none */
    _Atomic bool closed;
    uint64_t sum;
};

static bool holder_is_done(struct holder *holder)
{
    return atomic_load(&holder->closed) && atomic_load(&holder->slot) == NULL;
}

static struct sb_step hold(void *context)
{
    struct holder *holder = context;
    struct sb_batch *batch = atomic_exchange(&holder->slot, NULL);

    if (batch == NULL)
        return holder_is_done(holder) ? sb_step_done() : sb_step_wait(INT64_MAX);
    for (uint32_t row = 0; row < batch->rows; row++)
        holder->sum +=
            (uint64_t)sb_batch_int64(batch, ID, row) + sb_batch_text(batch, NAME, row).size;
    sb_batch_unref(batch);
    return sb_step_again();
}

static void batches_come_back_from_other_threads(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct holder holders[HOLDERS] = {0};
    uint64_t expected = 0;
    uint64_t sum = 0;

    for (size_t i = 0; i < HOLDERS; i++) {
        holders[i].fixture = fixture;
        assert_int_equal(env->type->waker_create(env->self, &holders[i].waker, NULL), SABOT_OK);
        assert_int_equal(env->type->spawn(env->self, "holder", hold, &holders[i], holders[i].waker,
                                          &holders[i].thread, NULL),
                         SABOT_OK);
    }
    for (uint32_t i = 0; i < HANDOVERS; i++) {
        struct row record = {.id = i, .name = {"abcdefghij", i % 11}};
        struct sb_batch *batch;

        for (uint32_t row = 0; row < 3; row++)
            assert_int_equal(sb_builder_record(&fixture->builder, &record, 0, NULL), SABOT_OK);
        assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &batch), SABOT_OK);
        for (size_t j = 0; j < HOLDERS; j++) {
            struct sb_batch *none = NULL;

            (void)sb_batch_ref(batch);
            if (atomic_compare_exchange_strong(&holders[j].slot, &none, batch)) {
                expected += 3UL * (i + i % 11);
                sb_wake(env, holders[j].waker);
                break;
            }
            sb_batch_unref(batch);
        }
        sb_batch_unref(batch);
    }
    for (size_t i = 0; i < HOLDERS; i++) {
        atomic_store(&holders[i].closed, true);
        sb_wake(env, holders[i].waker);
        env->type->join(env->self, holders[i].thread);
        env->type->waker_destroy(env->self, holders[i].waker);
        sum += holders[i].sum;
    }
    assert_true(sum == expected);
}

/* One row: deletes the key `id`, or is a record. */
static void add_row(struct fixture *fixture, int64_t id, bool deletes)
{
    const struct row row = {.id = id, .name = {"n", 1}, .amount = 1};

    if (!deletes) {
        assert_int_equal(sb_builder_record(&fixture->builder, &row, 5, NULL), SABOT_OK);
        return;
    }
    assert_int_equal(sb_builder_begin(&fixture->builder), SABOT_OK);
    sb_builder_int64(&fixture->builder, ID, id);
    sb_builder_commit_delete(&fixture->builder, INT64_MIN, 0);
}

static void rows_that_delete_are_told_apart_whatever_is_truncated(void **state)
{
    struct fixture *fixture = *state;
    uint32_t random = 7;
    bool deletes[100];

    for (int round = 0; round < 200; round++) {
        struct sb_batch *batch;
        uint32_t count = 0;
        uint32_t expected = 0;

        for (int i = 0; i < 150 && count < 100; i++) {
            random = random * 1664525 + 1013904223;
            if (random >> 28 == 0) {
                count -= (random >> 8) % (count + 1);
                sb_builder_truncate(&fixture->builder, count);
                continue;
            }
            deletes[count] = random >> 30 == 1 && round % 3 != 0;
            add_row(fixture, count, deletes[count]);
            count++;
        }
        if (sb_builder_seal(&fixture->builder, &origin, &batch) != SABOT_OK)
            continue;
        for (uint32_t row = 0; row < batch->rows; row++) {
            assert_int_equal(sb_batch_deletes(batch, row), deletes[row]);
            assert_int_equal(sb_batch_int64(batch, ID, row), row);
            assert_int_equal(sb_batch_text(batch, NAME, row).size, deletes[row] ? 0 : 1);
            assert_true(batch->event_times[row] == (deletes[row] ? INT64_MIN : 5));
            expected += deletes[row];
        }
        assert_int_equal(batch->rows, count);
        assert_int_equal(batch->delete_count, expected);
        sb_batch_unref(batch);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_random_program_gives_what_the_model_says),
        TEST(a_struct_becomes_a_row_and_back),
        TEST(a_struct_that_does_not_fit_leaves_no_row),
        TEST(texts_are_bounded_per_column),
        TEST(a_text_buffer_keeps_its_growth_but_not_a_huge_one),
        TEST(a_running_flow_allocates_nothing),
        TEST(a_batch_outlives_its_pool_and_builder),
        TEST(the_bytes_of_a_batch_grow_with_rows_and_texts),
        TEST(every_failed_allocation_leaves_whole_rows_and_no_leak),
        TEST(a_spent_batch_that_cannot_shrink_stays),
        TEST(batches_come_back_from_other_threads),
        TEST(rows_that_delete_are_told_apart_whatever_is_truncated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
