/* SPDX-License-Identifier: Apache-2.0 */
/* test_window.c - windows case by case: bounds at every end of time, sharing of panes, what is
 * refused and how it is said. Random streams are test_window_random.c's. */
#include "window_kit.h"

#include "base/os.h"
#include "op/window_time.h"
#include "test.h"

static const struct state_backend memory = {.name = "memory"};

enum { COUNT_AND_SUM = 1 << 0 | 1 << 2 };

static struct window_event event_at(int64_t id, int64_t key, int64_t time_ms)
{
    return (struct window_event){
        .id = id, .key = key, .time_ms = time_ms, .number = id, .has_number = true, .gap_ms = 1};
}

static void add(struct window_kit *kit, int64_t id, int64_t key, int64_t time_ms)
{
    const struct window_event event = event_at(id, key, time_ms);

    window_kit_record(kit, &event);
}

/* --- Bounds --------------------------------------------------------------------------------------
 */

static void bounds_are_floored_at_every_time(void **state)
{
    static const struct {
        int64_t time_ms;
        int64_t offset_ms;
        sabot_window_bounds bounds; /* of the window of 1000 ms that holds it */
    } cases[] = {
        {0, 0, {0, 1000}},
        {999, 0, {0, 1000}},
        {1000, 0, {1000, 2000}},
        {-1, 0, {-1000, 0}},
        {-1000, 0, {-1000, 0}},
        {-1001, 0, {-2000, -1000}},
        {0, 1, {-999, 1}},
        {0, -1, {-1, 999}},
        {0, 5000001, {-999, 1}},
        {INT64_C(253402300799999), 0, {INT64_C(253402300799000), INT64_C(253402300800000)}},
        {INT64_MAX - 1, 0, {INT64_MAX - 807, INT64_MAX}},
        {INT64_MIN + 1, 0, {INT64_MIN + 1, INT64_MIN + 808}},
        {INT64_MAX - 1, INT64_MIN, {INT64_MAX - 615, INT64_MAX}},
        {INT64_MIN + 1, INT64_MAX, {INT64_MIN + 1, INT64_MIN + 615}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct sb_window_grid grid = {1000, 1000, cases[i].offset_ms, 1000};
        const sb_int128 last = sb_window_last_of(&grid, cases[i].time_ms);
        const sabot_window_bounds bounds = sb_window_bounds(&grid, last);

        assert_true(last == sb_window_first_of(&grid, cases[i].time_ms));
        if (bounds.start_ms != cases[i].bounds.start_ms || bounds.end_ms != cases[i].bounds.end_ms)
            fail_msg("case %zu: [%lld, %lld)", i, (long long)bounds.start_ms,
                     (long long)bounds.end_ms);
    }
}

static void the_ends_of_time_are_in_windows_like_any_other(void **state)
{
    static const sabot_window_spec spec = {.kind = SABOT_TUMBLING, .size_ms = 1000};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);
    struct window_results *results = window_kit_results(kit);

    (void)state;
    add(kit, 1, 0, INT64_MIN);
    add(kit, 2, 0, INT64_MIN + 1);
    add(kit, 3, 0, 0);
    add(kit, 4, 0, INT64_MAX - 1);
    add(kit, 5, 0, INT64_MAX);
    window_kit_watermark(kit, INT64_MAX);
    window_results_sort(results);
    assert_int_equal(results->count, 3);
    assert_int_equal(results->items[0].values[2].int64, 1 + 2);
    assert_int_equal(results->items[1].values[2].int64, 3);
    assert_int_equal(results->items[2].values[2].int64, 4 + 5);
    assert_true(results->items[2].end_ms == INT64_MAX);
    window_kit_destroy(kit);
}

static void a_window_fires_when_the_watermark_is_its_end_and_not_before(void **state)
{
    static const sabot_window_spec spec = {.kind = SABOT_TUMBLING, .size_ms = 10};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);

    (void)state;
    add(kit, 1, 0, 5);
    window_kit_watermark(kit, 9);
    assert_int_equal(window_kit_results(kit)->count, 0);
    add(kit, 2, 0, 9);
    window_kit_watermark(kit, 10);
    assert_int_equal(window_kit_results(kit)->count, 1);
    assert_int_equal(window_kit_results(kit)->items[0].values[0].int64, 2);
    window_kit_destroy(kit);
}

/* --- Panes ---------------------------------------------------------------------------------------
 */

static void each_record_is_in_exactly_the_sliding_windows_that_hold_it(void **state)
{
    static const sabot_window_spec spec = {
        .kind = SABOT_SLIDING, .size_ms = 60, .slide_ms = 7, .offset_ms = 3};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);
    const struct window_results *results = window_kit_results(kit);
    uint32_t held = 0;

    (void)state;
    add(kit, 1, 0, 100);
    window_kit_watermark(kit, INT64_MAX);
    for (size_t i = 0; i < results->count; i++) {
        assert_true(results->items[i].start_ms <= 100);
        assert_true(results->items[i].end_ms > 100);
        assert_int_equal(results->items[i].end_ms - results->items[i].start_ms, 60);
        assert_int_equal((results->items[i].start_ms - 3) % 7, 0);
        held++;
    }
    assert_int_equal(held, 8); /* starts 45, 52, ... 94 */
    window_kit_destroy(kit);
}

static void sixty_slides_of_many_keys_leave_nothing_behind(void **state)
{
    static const sabot_window_spec spec = {
        .kind = SABOT_SLIDING, .size_ms = 60, .slide_ms = 1, .allowed_lateness_ms = 5};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);
    int64_t sum = 0;

    (void)state;
    for (int64_t i = 0; i < 3000; i++) {
        add(kit, 1, i % 10, i / 10);
        if (i % 100 == 99)
            window_kit_watermark(kit, i / 10 - 5);
    }
    window_kit_watermark(kit, INT64_MAX);
    for (size_t i = 0; i < window_kit_results(kit)->count; i++)
        sum += window_kit_results(kit)->items[i].values[2].int64;
    assert_int_equal(sum, 3000 * 60); /* each in 60 windows, none late */
    assert_true(window_kit_is_empty(kit));
    window_kit_destroy(kit);
}

/* --- Sums ----------------------------------------------------------------------------------------
 */

static void a_sum_may_leave_int64_on_its_way_but_not_in_the_end(void **state)
{
    static const sabot_window_spec spec = {.kind = SABOT_TUMBLING, .size_ms = 10};
    static const sabot_window_spec count = {
        .kind = SABOT_GLOBAL, .early_count = 2, .discarding = true};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);
    struct window_event event = event_at(1, 0, 1);

    (void)state;
    event.number = INT64_MAX;
    window_kit_record(kit, &event);
    window_kit_record(kit, &event);
    event.number = -INT64_MAX;
    window_kit_record(kit, &event);
    window_kit_watermark(kit, INT64_MAX);
    assert_true(window_kit_results(kit)->items[0].values[2].int64 == INT64_MAX);
    window_kit_destroy(kit);

    kit = window_kit_create(&count, COUNT_AND_SUM, &memory);
    event.number = INT64_MIN;
    window_kit_record(kit, &event);
    window_kit_record(kit, &event);
    assert_string_equal(window_kit_fails(kit)->text,
                        "partition 3, offset 101: windows: the sum sum of 2 values leaves the "
                        "range of int64");
    window_kit_destroy(kit);
}

/* --- Refusals ------------------------------------------------------------------------------------
 */

struct refusal {
    sabot_window_spec spec;
    sabot_window_aggregate aggregate;
    const char *text;
};

static uint32_t no_windows(const void *record,
                           int64_t time_ms,
                           sabot_window_bounds *out,
                           void *user)
{
    (void)record;
    (void)time_ms;
    (void)out;
    (void)user;
    return 0;
}

#define FINE                                               \
    {                                                      \
        .function = SABOT_WINDOW_COUNT, .name = "records", \
    }
#define TEN                                    \
    {                                          \
        .kind = SABOT_TUMBLING, .size_ms = 10, \
    }

static void what_makes_no_sense_is_refused_and_said(void **state)
{
    static const struct refusal refusals[] = {
        {{.kind = 9}, FINE, "there is no kind of window 9"},
        {{.kind = SABOT_TUMBLING, .size_ms = -1}, FINE, "a tumbling window of -1 ms: 1 or more"},
        {{.kind = SABOT_SLIDING, .size_ms = 10}, FINE, "slides by 0 ms"},
        {{.kind = SABOT_SLIDING, .size_ms = INT64_MAX, .slide_ms = 1}, FINE, "1000000 windows"},
        {{.kind = SABOT_TUMBLING, .size_ms = 1, .gap_ms = 1},
         FINE,
         "a tumbling window has not a gap"},
        {{.kind = SABOT_SESSION}, FINE, "a session window needs a gap"},
        {{.kind = SABOT_SESSION, .gap_field = "none"}, FINE, "event has no field none for the gap"},
        {{.kind = SABOT_SESSION, .gap_field = "price"}, FINE, "the gap price is float64"},
        {{.kind = SABOT_ASSIGNED}, FINE, "needs a function `assign`"},
        {{.kind = SABOT_GLOBAL, .early_count = 1, .assign = no_windows},
         FINE,
         "has not a function"},
        {{.kind = SABOT_GLOBAL}, FINE, "a global window would never fire"},
        {{.kind = SABOT_TUMBLING, .size_ms = 1, .allowed_lateness_ms = -1}, FINE, "0 or more"},
        {{.kind = SABOT_TUMBLING, .size_ms = 1, .evict_count = 1}, FINE, "set keep_records"},
        {TEN, {.function = 77, .name = "x"}, "there is no function 77"},
        {TEN, {.function = SABOT_WINDOW_COUNT, .name = "a b"}, "the name \"a b\" is none"},
        {TEN, {.function = SABOT_WINDOW_SUM, .name = "sum"}, "the sum of which field?"},
        {TEN, {.function = SABOT_WINDOW_SUM, .field = "no", .name = "sum"}, "has no field no"},
        {TEN,
         {.function = SABOT_WINDOW_SUM, .field = "word", .name = "sum"},
         "no sum of word, a utf8"},
        {TEN, {.function = SABOT_WINDOW_CUSTOM, .name = "ids"}, "a custom one needs a schema"},
        {TEN, {.function = SABOT_WINDOW_COUNT, .name = "none"}, "result has no field none"},
        {TEN, {.function = SABOT_WINDOW_COUNT, .name = "total"}, "total of result is float64"},
        {TEN, {.function = SABOT_WINDOW_COUNT, .name = "last"}, "last of result is utf8"},
    };
    struct sb_schema *input;
    struct sb_schema *output;
    struct sb_env *env;
    sabot_error error;

    (void)state;
    assert_int_equal(sb_os_env_create(&env, &error), SABOT_OK);
    assert_int_equal(sb_schema_create(env, &window_event_schema, SB_SCHEMA_RECORD, &input, &error),
                     SABOT_OK);
    assert_int_equal(
        sb_schema_create(env, &window_output_schema, SB_SCHEMA_RECORD, &output, &error), SABOT_OK);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct sb_window_config config = {
            .env = env,
            .name = "clicks",
            .spec = &refusals[i].spec,
            .aggregates = &refusals[i].aggregate,
            .aggregate_count = 1,
            .input = input,
            .key_field = EVENT_KEY,
            .output = output,
            .prefix = "",
        };
        struct sb_window_plan *plan;

        assert_int_not_equal(sb_window_plan_create(&config, &plan, &error), SABOT_OK);
        assert_null(plan);
        if (strncmp(error.text, "clicks: ", 8) != 0 || strstr(error.text, refusals[i].text) == NULL)
            fail_msg("\"%s\" is not in: %s", refusals[i].text, error.text);
    }
    sb_schema_destroy(input);
    sb_schema_destroy(output);
    sb_os_env_destroy(env);
}

static int64_t no_gap(const void *record, int64_t time_ms, void *user)
{
    (void)time_ms;
    (void)user;
    return 5 - ((const struct window_event *)record)->id;
}

static void a_gap_that_is_none_fails_its_record(void **state)
{
    static const sabot_window_spec spec = {.kind = SABOT_SESSION, .gap = no_gap};
    struct window_kit *kit = window_kit_create(&spec, COUNT_AND_SUM, &memory);

    (void)state;
    add(kit, 1, 0, 1);
    add(kit, 5, 0, 2);
    assert_string_equal(window_kit_fails(kit)->text,
                        "partition 3, offset 101: windows: a session with a gap of 0 ms: 1 or more "
                        "is needed");
    window_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_floored_at_every_time),
        cmocka_unit_test(the_ends_of_time_are_in_windows_like_any_other),
        cmocka_unit_test(a_window_fires_when_the_watermark_is_its_end_and_not_before),
        cmocka_unit_test(each_record_is_in_exactly_the_sliding_windows_that_hold_it),
        cmocka_unit_test(sixty_slides_of_many_keys_leave_nothing_behind),
        cmocka_unit_test(a_sum_may_leave_int64_on_its_way_but_not_in_the_end),
        cmocka_unit_test(what_makes_no_sense_is_refused_and_said),
        cmocka_unit_test(a_gap_that_is_none_fails_its_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
