/* SPDX-License-Identifier: Apache-2.0 */
/* test_outlet.c - what an operator emits: kept or undone call by call, sealed and taken in order.
 */
#include "flow_kit.h"

#include "op/outlet.h"

enum { IDS_MAX = 400000, STEPS = 600 };

/* Everything that was kept, in order, and how much of it has been taken out again. */
struct model {
    int64_t *ids;
    uint32_t kept;
    uint32_t taken;
    int64_t next_id; /* of the record emitted next, whether it is kept or not */
};

static void make(struct sb_outlet *outlet, const struct kit *kit)
{
    assert_int_equal(sb_outlet_init(outlet, kit->env, kit->schema, KIT_TIME, NULL), SABOT_OK);
}

static sabot_status emit(struct sb_outlet *outlet, int64_t id)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "record %lld", (long long)id);
    const struct kit_row row = {
        .id = id,
        .key = id % 10,
        .time_ms = 2 * id,
        .text = {id % 3 == 0 ? NULL : text, id % 3 == 0 ? 0 : (size_t)size},
    };

    return sb_outlet_record(outlet, &row, 0, NULL);
}

static void check_row(const struct sb_batch *batch, uint32_t row, int64_t id)
{
    char expected[32];
    const sabot_text text = sb_batch_text(batch, KIT_TEXT, row);

    assert_true(sb_batch_int64(batch, KIT_ID, row) == id);
    assert_true(sb_batch_int64(batch, KIT_KEY, row) == id % 10);
    assert_true(batch->event_times[row] == 2 * id);
    if (id % 3 == 0) {
        assert_null(text.data);
        return;
    }
    assert_int_equal(text.size, snprintf(expected, sizeof expected, "record %lld", (long long)id));
    assert_memory_equal(text.data, expected, text.size);
}

static void take_all(struct sb_outlet *outlet, struct model *model)
{
    struct sb_batch *batch;

    while ((batch = sb_outlet_take(outlet)) != NULL) {
        assert_true(batch->rows > 0);
        assert_true(batch->rows <= SB_BATCH_ROWS);
        assert_int_equal(batch->origin.partition, -1);
        for (uint32_t row = 0; row < batch->rows; row++) {
            assert_true(model->taken < model->kept);
            check_row(batch, row, model->ids[model->taken++]);
        }
        sb_batch_unref(batch);
    }
}

static void one_call(struct sb_outlet *outlet, struct model *model, struct kit_random *random)
{
    static const uint32_t sizes[] = {0, 1, 2, 7, 300, 1023, 1024, 1025, 2048, 5000};
    const uint32_t records = sizes[kit_random_below(random, sizeof sizes / sizeof sizes[0])];
    const bool kept = kit_random_below(random, 3) > 0 && model->kept + records <= IDS_MAX;

    for (uint32_t i = 0; i < records; i++) {
        const int64_t id = model->next_id++;

        assert_int_equal(emit(outlet, id), SABOT_OK);
        if (kept)
            model->ids[model->kept++] = id;
    }
    if (kept)
        sb_outlet_keep(outlet);
    else
        sb_outlet_undo(outlet);
}

static void calls_that_succeed_leave_their_records_and_no_others_do(void **state)
{
    struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    struct model model = {.ids = calloc(IDS_MAX, sizeof(int64_t))};
    struct sb_outlet outlet;

    assert_non_null(model.ids);
    make(&outlet, kit);
    for (uint32_t step = 0; step < STEPS; step++) {
        one_call(&outlet, &model, &random);
        take_all(&outlet, &model);
        assert_true(model.kept - model.taken < SB_BATCH_ROWS);
        if (kit_random_below(&random, 5) == 0) {
            sb_outlet_seal(&outlet);
            take_all(&outlet, &model);
            assert_int_equal(model.taken, model.kept);
        }
    }
    sb_outlet_seal(&outlet);
    take_all(&outlet, &model);
    assert_int_equal(model.taken, model.kept);
    sb_outlet_reset(&outlet);
    free(model.ids);
}

static void one_call_may_emit_65536_records_and_no_more(void **state)
{
    struct kit *kit = *state;
    struct model model = {.ids = calloc(IDS_MAX, sizeof(int64_t))};
    struct sb_outlet outlet;

    assert_non_null(model.ids);
    make(&outlet, kit);
    /* The worst case: a call before has all but filled a batch. */
    for (; model.next_id < SB_BATCH_ROWS - 1; model.next_id++) {
        assert_int_equal(emit(&outlet, model.next_id), SABOT_OK);
        model.ids[model.kept++] = model.next_id;
    }
    sb_outlet_keep(&outlet);
    for (uint32_t i = 0; i < SB_OUTLET_ROWS_MAX; i++, model.next_id++) {
        assert_int_equal(emit(&outlet, model.next_id), SABOT_OK);
        model.ids[model.kept++] = model.next_id;
    }
    assert_int_equal(emit(&outlet, model.next_id), SABOT_ERR_LIMIT);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    take_all(&outlet, &model);
    assert_int_equal(model.taken, SB_BATCH_ROWS - 1 + SB_OUTLET_ROWS_MAX);
    sb_outlet_reset(&outlet);
    free(model.ids);
}

static void a_call_that_was_undone_leaves_no_bytes(void **state)
{
    struct kit *kit = *state;
    struct sb_outlet outlet;
    struct sb_batch *batch;
    uint64_t bytes;

    make(&outlet, kit);
    assert_int_equal(emit(&outlet, 1), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    bytes = sb_batch_bytes(batch);
    sb_batch_unref(batch);
    assert_int_equal(emit(&outlet, 1), SABOT_OK);
    sb_outlet_keep(&outlet);
    for (int64_t id = 100; id < 3000; id++)
        assert_int_equal(emit(&outlet, id), SABOT_OK);
    sb_outlet_undo(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_int_equal(batch->rows, 1);
    assert_int_equal(sb_batch_bytes(batch), bytes);
    assert_true(batch->event_time_max == 2);
    sb_batch_unref(batch);
    assert_null(sb_outlet_take(&outlet));
    sb_outlet_reset(&outlet);
}

static void a_record_that_is_refused_leaves_the_call_as_it_was(void **state)
{
    struct kit *kit = *state;
    const struct kit_row bad = {.id = 5, .text = {"\xff", 1}};
    struct sb_outlet outlet;
    struct sb_batch *batch;

    make(&outlet, kit);
    assert_int_equal(emit(&outlet, 1), SABOT_OK);
    assert_int_equal(sb_outlet_record(&outlet, &bad, 0, NULL), SABOT_ERR_SCHEMA);
    assert_int_equal(emit(&outlet, 2), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_int_equal(batch->rows, 2);
    check_row(batch, 0, 1);
    check_row(batch, 1, 2);
    sb_batch_unref(batch);
    sb_outlet_reset(&outlet);
}

static void a_batch_tells_when_its_oldest_cause_arrived(void **state)
{
    struct kit *kit = *state;
    struct sb_outlet outlet;
    struct sb_batch *batch;

    make(&outlet, kit);
    sb_outlet_arrival(&outlet, 700);
    sb_outlet_arrival(&outlet, 500);
    sb_outlet_arrival(&outlet, 900);
    assert_int_equal(emit(&outlet, 1), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_true(batch->origin.arrival_us == 500);
    sb_batch_unref(batch);
    sb_outlet_arrival(&outlet, 800);
    assert_int_equal(emit(&outlet, 2), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_true(batch->origin.arrival_us == 800);
    sb_batch_unref(batch);
    sb_outlet_reset(&outlet);
}

static void the_event_time_is_the_callers_without_a_field(void **state)
{
    struct kit *kit = *state;
    const struct kit_row row = {.id = 1, .time_ms = 44};
    struct sb_outlet outlet;
    struct sb_batch *batch;

    assert_int_equal(sb_outlet_init(&outlet, kit->env, kit->schema, SB_NO_FIELD, NULL), SABOT_OK);
    assert_int_equal(sb_outlet_record(&outlet, &row, 99, NULL), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_true(batch->event_times[0] == 99);
    sb_batch_unref(batch);
    sb_outlet_reset(&outlet);
}

static void without_memory_an_emit_fails_and_the_rest_stays(void **state)
{
    struct kit *kit = *state;
    struct sb_outlet outlet;
    struct sb_batch *batch;

    make(&outlet, kit);
    sb_os_env_fail_allocation(kit->env, 1);
    assert_int_equal(emit(&outlet, 1), SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(kit->env, 0);
    sb_outlet_undo(&outlet);
    for (int64_t id = 0; id < SB_BATCH_ROWS - 1; id++)
        assert_int_equal(emit(&outlet, id), SABOT_OK);
    sb_outlet_keep(&outlet);
    sb_os_env_fail_allocation(kit->env, 1);
    assert_int_equal(emit(&outlet, 2000), SABOT_OK);
    assert_int_equal(emit(&outlet, 2001), SABOT_ERR_MEMORY); /* the next batch */
    sb_os_env_fail_allocation(kit->env, 0);
    sb_outlet_undo(&outlet);
    assert_null(sb_outlet_take(&outlet));
    sb_outlet_seal(&outlet);
    batch = sb_outlet_take(&outlet);
    assert_non_null(batch);
    assert_int_equal(batch->rows, SB_BATCH_ROWS - 1);
    sb_batch_unref(batch);
    sb_outlet_reset(&outlet);
}

static void what_was_not_taken_goes_with_the_outlet(void **state)
{
    struct kit *kit = *state;
    struct sb_outlet outlet;

    make(&outlet, kit);
    for (int64_t id = 0; id < 5000; id++)
        assert_int_equal(emit(&outlet, id), SABOT_OK);
    sb_outlet_keep(&outlet);
    assert_int_equal(emit(&outlet, 1), SABOT_OK);
    sb_outlet_reset(&outlet);
    sb_outlet_reset(&outlet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(calls_that_succeed_leave_their_records_and_no_others_do),
        KIT_TEST(one_call_may_emit_65536_records_and_no_more),
        KIT_TEST(a_call_that_was_undone_leaves_no_bytes),
        KIT_TEST(a_record_that_is_refused_leaves_the_call_as_it_was),
        KIT_TEST(a_batch_tells_when_its_oldest_cause_arrived),
        KIT_TEST(the_event_time_is_the_callers_without_a_field),
        KIT_TEST(without_memory_an_emit_fails_and_the_rest_stays),
        KIT_TEST(what_was_not_taken_goes_with_the_outlet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
