/* SPDX-License-Identifier: Apache-2.0 */
/* window.c - windows: ns per record and per result, beside bare loops over the same batches.
 *
 *     build/bench/window [keys max, default 1000000]
 *
 * One stream for all: records of 64-bit keys in random order whose time goes on evenly, so many of
 * each key in each pane as is said. A tumbling window is 60 panes long, a sliding one is as long
 * and begins with every pane, a session never pauses. Each counts records and sums a number. The
 * watermark follows one pane behind. Time in rows() and time in watermark() are told apart; results
 * are dropped.
 *
 * The bare loops do the same to one window of each key: an array by number of the key (the pane
 * update of a stream whose keys are dense), and an open-addressing table with prefetch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "op/keyed.h"
#include "op/window.h"

enum {
    BATCHES = 1024,
    ROWS = SB_BATCH_ROWS,
    PANES = 60,
    PANE_MS = 1000,
    SIZE_MS = PANES * PANE_MS,
    GAP_MS = 10 * PANE_MS,
    AHEAD = 16,
    SEED = 1,
};

struct event {
    int64_t key;
    int64_t amount;
};
struct total {
    int64_t key;
    int64_t start_ms;
    int64_t end_ms;
    int64_t count;
    int64_t sum;
};

static const sabot_field event_fields[] = {
    SABOT_FIELD(struct event, key, "key", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct event, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema event_table = SABOT_SCHEMA("event", 1, struct event, event_fields);
static const sabot_field total_fields[] = {
    SABOT_FIELD(struct total, key, "key", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, start_ms, "window_start", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, end_ms, "window_end", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, count, "count", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, sum, "sum", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema total_table = SABOT_SCHEMA("total", 1, struct total, total_fields);

static const sabot_window_aggregate aggregates[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "count"},
    {.function = SABOT_WINDOW_SUM, .field = "amount", .name = "sum"},
};

static struct sb_env *env;
static struct sb_schema *event_schema;
static struct sb_schema *total_schema;
static struct sb_batch *batches[BATCHES];
static struct sb_slice *slices[BATCHES];
static struct sb_slice_pool slice_pool;
static sabot_error error;

static void must(sabot_status status, const char *what)
{
    if (status == SABOT_OK)
        return;
    fprintf(stderr, "bench/window: %s: %s\n", what, error.text);
    exit(1);
}

/* CPU time of this thread: what else the machine does isn't counted. */
static int64_t cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* --- The stream ----------------------------------------------------------------------------------
 */

static void make_batches(int64_t keys)
{
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    uint64_t random = 88172645463325252;

    must(sb_batch_pool_create(env, event_schema, ROWS, &pool, &error), "pool");
    must(sb_builder_init(&builder, pool), "builder");
    sb_slice_pool_init(&slice_pool, env, ROWS);
    for (uint32_t i = 0; i < BATCHES; i++) {
        const struct sb_batch_origin origin = {.partition = 0};

        for (uint32_t row = 0; row < ROWS; row++) {
            struct event event = {.amount = row};

            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            event.key = (int64_t)(random % (uint64_t)keys);
            must(sb_builder_record(&builder, &event, 0, &error), "record");
        }
        must(sb_builder_seal(&builder, &origin, &batches[i]), "seal");
        slices[i] = sb_slice_take(&slice_pool, batches[i]);
        if (slices[i] == NULL)
            exit(1);
        slices[i]->count = ROWS;
        for (uint32_t row = 0; row < ROWS; row++)
            slices[i]->rows[row] = row;
        sb_key_hashes(batches[i], 0, SEED, slices[i]->hashes);
    }
    sb_builder_reset(&builder);
    sb_batch_pool_destroy(pool);
}

static void drop_batches(void)
{
    for (uint32_t i = 0; i < BATCHES; i++) {
        sb_slice_drop(slices[i]);
        sb_batch_unref(batches[i]);
    }
    sb_slice_pool_reset(&slice_pool);
}

/* Records of each key in each pane. */
static int64_t records_per_pane(int64_t keys)
{
    return keys > 10000 ? 8 : 64;
}

/* The time of record number `at` of the stream. */
static int64_t time_of(int64_t at, int64_t keys)
{
    return at / records_per_pane(keys) * PANE_MS / keys;
}

/* Batch number `at` of the stream, with its times. */
static uint32_t set_times(int64_t at, int64_t keys)
{
    const uint32_t index = (uint32_t)(at % BATCHES);

    for (uint32_t row = 0; row < ROWS; row++)
        batches[index]->event_times[row] = time_of(at * ROWS + row, keys);
    return index;
}

/* --- Bare loops ----------------------------------------------------------------------------------
 */

struct pane {
    int64_t key;
    int64_t start_ms;
    int64_t count;
    int64_t sum;
};

static double bare_dense(int64_t keys, int64_t count)
{
    struct pane *panes = sb_alloc_array(env, (size_t)keys, sizeof *panes);
    int64_t spent = 0;

    if (panes == NULL)
        exit(1);
    for (int64_t at = 0; at < count; at++) {
        const uint32_t index = set_times(at, keys);
        const int64_t *key = batches[index]->columns[0].values;
        const int64_t *amount = batches[index]->columns[1].values;
        const int64_t start = cpu_ns();

        for (uint32_t row = 0; row < ROWS; row++) {
            struct pane *pane = &panes[key[row]];

            if (row + AHEAD < ROWS)
                __builtin_prefetch(&panes[key[row + AHEAD]], 1, 3);
            pane->count++;
            pane->sum += amount[row];
        }
        spent += cpu_ns() - start;
    }
    sb_free_array(env, panes, (size_t)keys, sizeof *panes);
    return (double)spent / (double)(count * ROWS);
}

static double bare_table(int64_t keys, int64_t count)
{
    uint64_t slots = 16;
    struct pane *panes;
    int64_t spent = 0;

    while (slots < (uint64_t)keys * 3 / 2)
        slots *= 2;
    panes = sb_alloc_array(env, slots, sizeof *panes);
    if (panes == NULL)
        exit(1);
    for (int64_t at = 0; at < count; at++) {
        const uint32_t index = set_times(at, keys);
        const int64_t *key = batches[index]->columns[0].values;
        const int64_t *amount = batches[index]->columns[1].values;
        const uint64_t *hashes = slices[index]->hashes;
        const int64_t start = cpu_ns();

        for (uint32_t row = 0; row < ROWS; row++) {
            uint64_t slot = hashes[row] & (slots - 1);

            if (row + AHEAD < ROWS)
                __builtin_prefetch(&panes[hashes[row + AHEAD] & (slots - 1)], 1, 3);
            while (panes[slot].count != 0 && panes[slot].key != key[row])
                slot = (slot + 1) & (slots - 1);
            panes[slot].key = key[row];
            panes[slot].count++;
            panes[slot].sum += amount[row];
        }
        spent += cpu_ns() - start;
    }
    sb_free_array(env, panes, slots, sizeof *panes);
    return (double)spent / (double)(count * ROWS);
}

/* --- Sabot ---------------------------------------------------------------------------------------
 */

struct rig {
    struct sb_window_plan *plan;
    struct sb_window_settings settings;
    struct sb_keyed_settings keyed;
    struct sb_outlet outlet;
    struct sb_operator *instance;
    int64_t results;
};

static void rig_open(struct rig *rig, const sabot_window_spec *spec)
{
    const struct sb_window_config config = {
        .env = env,
        .name = "bench",
        .spec = spec,
        .aggregates = aggregates,
        .aggregate_count = sizeof aggregates / sizeof aggregates[0],
        .input = event_schema,
        .output = total_schema,
        .prefix = "",
    };
    struct sb_operator_config operator_config = {
        .env = env,
        .name = "bench",
        .settings = &rig->settings,
        .keyed = &rig->keyed,
        .input = event_schema,
        .outlets = &rig->outlet,
        .outlet_count = 1,
        .worker_count = 1,
        .hash_seed = SEED,
    };

    *rig = (struct rig){.plan = NULL};
    must(sb_window_plan_create(&config, &rig->plan, &error), "plan");
    rig->settings.plan = rig->plan;
    rig->keyed.states = sb_window_plan_states(rig->plan, &rig->keyed.state_count);
    must(sb_outlet_init(&rig->outlet, env, total_schema, SB_NO_FIELD, &error), "outlet");
    must(sb_operator_window.create(&operator_config, &rig->instance, &error), "create");
}

static void rig_close(struct rig *rig)
{
    sb_operator_window.destroy(rig->instance);
    sb_outlet_reset(&rig->outlet);
    sb_window_plan_destroy(rig->plan);
}

static void take_results(struct rig *rig)
{
    struct sb_batch *batch;

    sb_outlet_seal(&rig->outlet);
    while ((batch = sb_outlet_take(&rig->outlet)) != NULL) {
        rig->results += batch->rows;
        sb_batch_unref(batch);
    }
}

static void watermark(struct rig *rig, int64_t watermark_ms)
{
    sabot_status status;

    do {
        status = sb_operator_window.watermark(rig->instance, watermark_ms, &error);
        take_results(rig);
    } while (status == SABOT_AGAIN);
    must(status, "watermark");
}

static double run(const char *name, const sabot_window_spec *spec, int64_t keys, int64_t count)
{
    const int64_t warm = records_per_pane(keys) * keys / ROWS; /* the first pane is not counted */
    int64_t rows_ns = 0;
    int64_t close_ns = 0;
    int64_t pane = 0;
    double each;
    struct rig rig;

    rig_open(&rig, spec);
    for (int64_t at = 0; at < warm + count; at++) {
        const uint32_t index = set_times(at, keys);
        const int64_t now_ms = batches[index]->event_times[ROWS - 1];
        const int64_t start = cpu_ns();
        uint32_t cursor = 0;

        while (cursor < ROWS)
            must(sb_operator_window.rows(rig.instance, slices[index], &cursor, slices[index]->count,
                                         &error),
                 "rows");
        rows_ns += at < warm ? 0 : cpu_ns() - start;
        take_results(&rig);
        if (now_ms / PANE_MS > pane) {
            const int64_t closing = cpu_ns();

            pane = now_ms / PANE_MS;
            watermark(&rig, (pane - 1) * PANE_MS);
            close_ns += cpu_ns() - closing;
        }
    }
    {
        const int64_t closing = cpu_ns();

        watermark(&rig, spec->kind == SABOT_SLIDING ? (pane + 1) * PANE_MS : INT64_MAX);
        close_ns += cpu_ns() - closing;
    }
    each = (double)rows_ns / (double)(count * ROWS);
    printf("  %-26s %6.1f ns a record, %5.1f M/s; %7.0f ns a result (%lld)\n", name, each,
           1000 / each, rig.results == 0 ? 0 : (double)close_ns / (double)rig.results,
           (long long)rig.results);
    rig_close(&rig);
    return each;
}

static void compare(int64_t keys)
{
    static const sabot_window_spec tumbling = {.kind = SABOT_TUMBLING, .size_ms = SIZE_MS};
    static const sabot_window_spec sliding = {
        .kind = SABOT_SLIDING, .size_ms = SIZE_MS, .slide_ms = PANE_MS};
    static const sabot_window_spec session = {.kind = SABOT_SESSION, .gap_ms = GAP_MS};
    /* 4 million records, or three panes. */
    const int64_t least = 3 * records_per_pane(keys) * keys / ROWS;
    const int64_t count = least > 4096 ? least : 4096;
    double dense;
    double table;
    double one;
    double many;

    printf("%lld keys, %lld records, %lld of a key in a pane\n", (long long)keys,
           (long long)(count * ROWS), (long long)records_per_pane(keys));
    make_batches(keys);
    dense = bare_dense(keys, count);
    table = bare_table(keys, count);
    printf("  %-26s %6.1f ns a record\n  %-26s %6.1f ns a record\n", "bare, array by key", dense,
           "bare, hash table", table);
    one = run("tumbling", &tumbling, keys, count);
    many = run("sliding, 60 panes", &sliding, keys, count);
    (void)run("session", &session, keys, count);
    printf("  tumbling has %.2f of the speed of the table, %.2f of the array; "
           "sliding takes %.2f x tumbling\n",
           table / one, dense / one, many / one);
    drop_batches();
}

int main(int argc, char **argv)
{
    const int64_t keys_max = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;

    must(sb_os_env_create(&env, &error), "env");
    must(sb_schema_create(env, &event_table, SB_SCHEMA_RECORD, &event_schema, &error), "schema");
    must(sb_schema_create(env, &total_table, SB_SCHEMA_RECORD, &total_schema, &error), "schema");
    for (int64_t keys = 1000; keys <= keys_max; keys *= 1000)
        compare(keys);
    sb_schema_destroy(event_schema);
    sb_schema_destroy(total_schema);
    sb_os_env_destroy(env);
    return 0;
}
