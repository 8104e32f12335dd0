/* SPDX-License-Identifier: Apache-2.0 */
/* test_window_random.c - windows against a naive reference, on random streams by seed.
 *
 * Each case draws a window (kind, sizes, trigger, lateness, accumulation, evictors), some of all
 * aggregates and a backend; then records out of order among watermarks and ticks of the clock, at a
 * random place a snapshot and a restore, often on the other backend. After every step the number of
 * results is compared, so that nothing fires early or late; at the end all results, the late
 * records, and that no state is left behind.
 *
 *     SABOT_WINDOW_SEED=n    only that case
 *     SABOT_LONG=1           ten times as many */
#include "window_kit.h"

#include "state_rocksdb.h"
#include "test.h"

enum { CACHE = 64 * 1024, DATABASE = 8 * 1024 * 1024 };
enum { CASES = 2000, CASES_ROCKSDB = 40, STEPS_MAX = 60, KEYS = 3 };

static const struct state_backend memory = {.name = "memory"};

static const sabot_text words[] = {
    {"a", 1}, {"bee", 3}, {"", 0}, {"zz top", 6}, {"\xc3\xa9", 2},
};

struct draw {
    uint64_t seed;
    uint64_t random;
    sabot_window_spec spec;
    uint32_t chosen;
    int64_t base_ms;   /* times are around it */
    int64_t spread_ms; /* records are out of order by up to this */
};

static uint64_t below(struct draw *draw, uint64_t limit)
{
    return window_below(&draw->random, limit);
}

static bool chance(struct draw *draw, uint32_t percent)
{
    return below(draw, 100) < percent;
}

/* --- Callbacks: all of them look at nothing but the record and the view --------------------------
 */

static int64_t gap(const void *record, int64_t event_time_ms, void *user)
{
    (void)event_time_ms;
    (void)user;
    return 1 + ((const struct window_event *)record)->id % 7 * 5;
}

static uint32_t assign(const void *record,
                       int64_t event_time_ms,
                       sabot_window_bounds *windows_out,
                       void *user)
{
    const struct window_event *event = record;
    const uint32_t count = (uint32_t)(event->id % 4);

    (void)user;
    if (event_time_ms < INT64_MIN / 2 || event_time_ms > INT64_MAX / 2)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        const int64_t start = event_time_ms / 10 * 10 - (int64_t)i * 20;

        windows_out[i] = (sabot_window_bounds){start, start + 35 + (int64_t)i};
    }
    return count;
}

static sabot_window_action trigger(const sabot_window_view *view, void *user)
{
    (void)user;
    switch (view->moment) {
    case SABOT_ON_RECORD:
        if (view->record != NULL && ((const struct window_event *)view->record)->id % 11 == 0)
            return SABOT_PURGE;
        return view->fresh >= 3     ? SABOT_FIRE
               : view->records >= 7 ? SABOT_FIRE_AND_PURGE
                                    : SABOT_CONTINUE;
    case SABOT_ON_LATE_RECORD: return view->event_time_ms % 2 == 0 ? SABOT_FIRE : SABOT_CONTINUE;
    case SABOT_ON_EARLY_TIME: return view->firings % 2 == 0 ? SABOT_FIRE : SABOT_FIRE_AND_PURGE;
    case SABOT_ON_END: break;
    }
    return view->records % 5 == 4 ? SABOT_CONTINUE : SABOT_FIRE;
}

static bool evictor(const sabot_window_view *view,
                    const void *record,
                    int64_t event_time_ms,
                    void *user)
{
    (void)view;
    (void)user;
    return ((const struct window_event *)record)->id % 3 != 0 || event_time_ms % 2 == 0;
}

/* --- Drawing a case ------------------------------------------------------------------------------
 */

static void draw_shape(struct draw *draw)
{
    static const int64_t sizes[] = {1, 7, 10, 60, 1000};
    sabot_window_spec *spec = &draw->spec;

    spec->kind = (sabot_window_kind)(1 + below(draw, 5));
    switch (spec->kind) {
    case SABOT_TUMBLING: spec->size_ms = sizes[below(draw, 5)]; break;
    case SABOT_SLIDING:
        spec->slide_ms = 1 + (int64_t)below(draw, 20);
        spec->size_ms = chance(draw, 50) ? spec->slide_ms * (1 + (int64_t)below(draw, 12))
                                         : 1 + (int64_t)below(draw, 100);
        break;
    case SABOT_SESSION:
        spec->gap_ms = 1 + (int64_t)below(draw, 30);
        spec->gap_field = chance(draw, 30) ? "gap" : NULL;
        spec->gap = chance(draw, 20) ? gap : NULL;
        break;
    case SABOT_ASSIGNED: spec->assign = assign; break;
    case SABOT_GLOBAL: spec->early_count = 1 + (int64_t)below(draw, 5); break;
    }
    if (spec->size_ms > 0 && chance(draw, 40))
        spec->offset_ms = (int64_t)below(draw, 200) - 100;
}

static void draw_rules(struct draw *draw)
{
    sabot_window_spec *spec = &draw->spec;

    if (chance(draw, 50))
        spec->allowed_lateness_ms = (int64_t)below(draw, 50);
    spec->discarding = chance(draw, 40);
    if (chance(draw, 20))
        spec->early_count = 1 + (int64_t)below(draw, 4);
    if (chance(draw, 30)) {
        spec->early_ms = 1 + (int64_t)below(draw, 20);
        spec->early_clock = chance(draw, 50) ? SABOT_EVENT_TIME : SABOT_PROCESSING_TIME;
    }
    if (chance(draw, 20)) {
        spec->trigger = trigger;
        spec->early_count = 0;
    }
    spec->keep_records = chance(draw, 30);
    if (spec->keep_records && chance(draw, 40))
        spec->evict_count = 1 + (int64_t)below(draw, 6);
    if (spec->keep_records && chance(draw, 40))
        spec->evict_age_ms = 1 + (int64_t)below(draw, 40);
    if (spec->keep_records && chance(draw, 30))
        spec->evictor = evictor;
}

static void draw_times(struct draw *draw)
{
    static const int64_t bases[] = {
        0, -50, 1700000000000, INT64_C(253402300799999), INT64_MAX - 40, INT64_MIN + 40,
    };

    draw->base_ms = bases[chance(draw, 50) ? below(draw, 2) : below(draw, 6)];
    draw->spread_ms = 1 + (int64_t)below(draw, 80);
    draw->chosen = chance(draw, 40) ? UINT32_C(0x1ff) : (uint32_t)below(draw, 65536);
}

static int64_t add_times(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

/* --- Running a case ------------------------------------------------------------------------------
 */

struct run {
    struct draw draw;
    struct window_kit *kit;
    struct window_reference *reference;
    const struct state_backend *backends[2];
    int64_t front_ms; /* of the stream */
    int64_t watermark_ms;
    int64_t now_ms;
    int64_t next_id;
};

static void one_record(struct run *run)
{
    struct draw *draw = &run->draw;
    const int64_t back_ms = (int64_t)below(draw, (uint64_t)draw->spread_ms);
    struct window_event event = {
        .id = run->next_id++,
        .key = (int64_t)below(draw, KEYS) - 1,
        .time_ms = add_times(run->front_ms, -back_ms),
        .price = (double)(int64_t)below(draw, 200) / 4 - 20,
        .gap_ms = 1 + (int64_t)below(draw, 40),
        .has_number = chance(draw, 80),
    };

    if (event.has_number)
        event.number = (int64_t)below(draw, 12) - 5;
    if (chance(draw, 80))
        event.word = words[below(draw, sizeof words / sizeof words[0])];
    run->front_ms = add_times(run->front_ms, (int64_t)below(draw, 12));
    window_kit_record(run->kit, &event);
    window_reference_record(run->reference, &event);
}

static void one_watermark(struct run *run, int64_t watermark_ms)
{
    if (watermark_ms < run->watermark_ms)
        return;
    run->watermark_ms = watermark_ms;
    window_kit_watermark(run->kit, watermark_ms);
    window_reference_watermark(run->reference, watermark_ms);
}

static void one_step(struct run *run)
{
    struct draw *draw = &run->draw;
    const uint64_t what = below(draw, 100);

    if (what < 70) {
        one_record(run);
    } else if (what < 90) {
        one_watermark(run, add_times(run->front_ms, (int64_t)below(draw, 30) - draw->spread_ms));
    } else {
        window_kit_flush(run->kit);
        run->now_ms += (int64_t)below(draw, 15);
        window_kit_clock(run->kit, run->now_ms);
        window_reference_clock(run->reference, run->now_ms);
    }
}

static void print_case(const struct run *run)
{
    const sabot_window_spec *spec = &run->draw.spec;

    print_message(
        "seed %llu: kind %d size %lld slide %lld offset %lld gap %lld%s%s lateness %lld%s "
        "early %lld records, %lld ms (clock %d)%s%s evict %lld %lld%s, from %lld\n",
        (unsigned long long)run->draw.seed, (int)spec->kind, (long long)spec->size_ms,
        (long long)spec->slide_ms, (long long)spec->offset_ms, (long long)spec->gap_ms,
        spec->gap_field == NULL ? "" : " by field", spec->gap == NULL ? "" : " by call",
        (long long)spec->allowed_lateness_ms, spec->discarding ? " discarding" : "",
        (long long)spec->early_count, (long long)spec->early_ms, (int)spec->early_clock,
        spec->trigger == NULL ? "" : " trigger", spec->keep_records ? " keeps" : "",
        (long long)spec->evict_count, (long long)spec->evict_age_ms,
        spec->evictor == NULL ? "" : " evictor", (long long)run->draw.base_ms);
}

static void check_counts(struct run *run)
{
    const size_t got = window_kit_results(run->kit)->count;
    const size_t expected = window_reference_results(run->reference)->count;

    if (got == expected)
        return;
    print_case(run);
    (void)window_results_equal(window_kit_results(run->kit),
                               window_reference_results(run->reference));
    fail_msg("seed %llu: %zu results by now, %zu expected", (unsigned long long)run->draw.seed, got,
             expected);
}

static void check_end(struct run *run, bool ended)
{
    size_t got_count;
    size_t expected_count;
    const int64_t *got = window_kit_late(run->kit, &got_count);
    const int64_t *expected = window_reference_late(run->reference, &expected_count);

    if (!window_results_equal(window_kit_results(run->kit),
                              window_reference_results(run->reference))) {
        print_case(run);
        fail_msg("seed %llu: other results", (unsigned long long)run->draw.seed);
    }
    if (got_count != expected_count || window_kit_late_counted(run->kit) != got_count ||
        (got_count > 0 && memcmp(got, expected, got_count * sizeof *got) != 0))
        fail_msg("seed %llu: %zu late records, %zu expected", (unsigned long long)run->draw.seed,
                 got_count, expected_count);
    if (ended && run->draw.seed % 4 == 0 && !window_kit_is_empty(run->kit))
        fail_msg("seed %llu: state is left when all windows are over",
                 (unsigned long long)run->draw.seed);
}

static void one_case(uint64_t seed, const struct state_backend *first)
{
    const uint32_t other = seed % 2 == 0;
    struct run run = {
        .draw = {.seed = seed, .random = seed},
        .backends = {first, other == 0 ? first : &memory},
        .watermark_ms = INT64_MIN,
    };
    struct draw *draw = &run.draw;
    uint64_t steps;
    uint64_t cut;

    draw_shape(draw);
    draw_rules(draw);
    draw_times(draw);
    steps = 5 + below(draw, STEPS_MAX);
    cut = below(draw, steps);
    run.front_ms = draw->base_ms;
    run.kit = window_kit_create(&draw->spec, draw->chosen, run.backends[0]);
    run.reference = window_reference_create(&draw->spec, draw->chosen);
    for (uint64_t i = 0; i < steps; i++) {
        one_step(&run);
        if (chance(draw, 30))
            window_kit_flush(run.kit);
        if (i == cut) {
            window_kit_move(run.kit, run.backends[1]);
            window_kit_watermark(run.kit, run.watermark_ms);
        }
    }
    window_kit_flush(run.kit);
    check_counts(&run);
    if (chance(draw, 80))
        one_watermark(&run, INT64_MAX);
    window_kit_clock(run.kit, run.now_ms + 1000); /* timers of windows that are over do nothing */
    window_reference_clock(run.reference, run.now_ms + 1000);
    check_end(&run, run.watermark_ms == INT64_MAX);
    window_kit_destroy(run.kit);
    window_reference_destroy(run.reference);
}

static uint64_t first_seed(uint64_t *count)
{
    const char *only = getenv("SABOT_WINDOW_SEED");

    if (only == NULL) {
        *count = test_cases((uint32_t)*count);
        return 1;
    }
    *count = 1;
    return strtoull(only, NULL, 10);
}

static void random_windows_fire_as_the_reference_does(void **state)
{
    uint64_t count = CASES;
    const uint64_t first = first_seed(&count);

    (void)state;
    for (uint64_t i = 0; i < count; i++)
        one_case(first + i, &memory);
}

static void random_windows_in_rocksdb_fire_as_the_reference_does(void **state)
{
    const struct state_backend *rocksdb = state_rocksdb(CACHE, DATABASE);
    uint64_t count = CASES_ROCKSDB;
    const uint64_t first = first_seed(&count);

    (void)state;
    if (rocksdb == NULL)
        skip();
    for (uint64_t i = 0; i < count; i++)
        one_case(first + i, rocksdb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_windows_fire_as_the_reference_does),
        cmocka_unit_test(random_windows_in_rocksdb_fire_as_the_reference_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
