/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - keyed state through the public calls on a context, beside a bare open-addressing table
 * and, where it is built in, beside bare calls of RocksDB; all in one run.
 *
 *     build/bench/state [keys max in memory, default 10000000 [parts: memory,timers,rocksdb; or
 * grow; or many, with as many timers]]
 *
 * Keys are 8 bytes, values 32. Both tables get the same keys in batches of 1024, hash them with the
 * same hash and fetch ahead alike, as an agent's batches do. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef SB_HAVE_ROCKSDB
#include <rocksdb/c.h>
#endif

#include <sabot/sabot.h>

#include "base/mem.h"
#include "base/metric.h"
#include "op/context.h"
#include "state/rows.h"
#include "state/store.h"

enum {
    BATCH = 1024,
    AHEAD_INDEX = 16,
    OPERATIONS = 1 << 22,
    KIND_OPERATIONS = 1 << 20, /* of each call of the other kinds */
    PASSES = 2,
};

struct value {
    int64_t count;
    int64_t sum;
    int64_t last;
    int64_t spare;
};

static const sabot_field value_fields[] = {
    SABOT_FIELD(struct value, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct value, sum, "sum", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct value, last, "last", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct value, spare, "spare", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema value_table = SABOT_SCHEMA("value", 1, struct value, value_fields);

static struct sb_env *env;
static struct sb_schema *schema;
static sabot_error error;

static void fail(const char *what)
{
    fprintf(stderr, "bench/state: %s: %s\n", what, error.text);
    exit(1);
}

/* CPU time of this thread: what else the machine does isn't counted. */
static int64_t cpu_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double seconds_since(int64_t start_us)
{
    return (double)(cpu_us() - start_us) / 1e6;
}

/* --- Keys ---------------------------------------------------------------------------------------
 */

/* Numbers of keys: uniform, or Zipf with exponent 0.99 (Gray et al., SIGMOD 1994). */
static uint32_t *make_keys(uint64_t keys, bool zipf)
{
    uint32_t *numbers = malloc(OPERATIONS * sizeof *numbers);
    const double theta = 0.99;
    double zeta = 0;
    uint64_t random = 88172645463325252;

    if (numbers == NULL)
        exit(1);
    for (uint64_t i = 1; zipf && i <= keys; i++)
        zeta += 1 / pow((double)i, theta);
    const double eta =
        (1 - pow(2.0 / (double)keys, 1 - theta)) / (1 - (1 + pow(0.5, theta)) / zeta);
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if (!zipf) {
            numbers[i] = (uint32_t)(random % keys);
            continue;
        }
        const double uniform = (double)(random >> 11) / 9007199254740992.0;
        const double scaled = uniform * zeta;
        double rank = (double)keys * pow(eta * uniform - eta + 1, 1 / (1 - theta));

        if (scaled < 1)
            rank = 0;
        else if (scaled < 1 + pow(0.5, theta))
            rank = 1;
        /* The hot keys are anywhere, not the first ones. */
        numbers[i] = (uint32_t)((uint64_t)rank * UINT64_C(0x9e3779b97f4a7c15) % keys);
    }
    return numbers;
}

/* Keys and hashes of a batch. */
struct batch {
    uint64_t keys[BATCH];
    uint64_t hashes[BATCH];
};

static void fill_batch(struct batch *batch, const uint32_t *numbers)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        batch->keys[i] = __builtin_bswap64(numbers[i] ^ (uint64_t)1 << 63);
        batch->hashes[i] = sb_hash(&batch->keys[i], 8, 1);
    }
}

/* --- A bare table -------------------------------------------------------------------------------
 */

struct bare_slot {
    uint64_t key;
    uint64_t used;
    struct value value;
};

struct bare {
    struct bare_slot *slots;
    uint64_t mask;
};

static void bare_open(struct bare *bare, uint64_t keys)
{
    uint64_t slots = 16;

    while (slots < keys * 3 / 2)
        slots *= 2;
    bare->slots = sb_alloc_array(env, slots, sizeof *bare->slots);
    if (bare->slots == NULL)
        exit(1);
    bare->mask = slots - 1;
}

static struct value *bare_edit(const struct bare *bare, uint64_t key, uint64_t hash)
{
    for (uint64_t at = hash & bare->mask;; at = (at + 1) & bare->mask) {
        struct bare_slot *slot = &bare->slots[at];

        if (slot->used == 0) {
            slot->used = 1;
            slot->key = key;
            return &slot->value;
        }
        if (slot->key == key)
            return &slot->value;
    }
}

static double run_bare(const struct bare *bare, const uint32_t *numbers)
{
    const int64_t start = cpu_us();
    struct batch batch;

    for (uint32_t at = 0; at + BATCH <= OPERATIONS; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            struct value *value;

            if (i + AHEAD_INDEX < BATCH)
                __builtin_prefetch(&bare->slots[batch.hashes[i + AHEAD_INDEX] & bare->mask], 1, 3);
            value = bare_edit(bare, batch.keys[i], batch.hashes[i]);
            value->count++;
            value->sum += i;
        }
    }
    return OPERATIONS / seconds_since(start) / 1e6;
}

static int64_t read_sum;

static double read_bare(const struct bare *bare, const uint32_t *numbers)
{
    const int64_t start = cpu_us();
    struct batch batch;

    for (uint32_t at = 0; at + BATCH <= OPERATIONS; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            if (i + AHEAD_INDEX < BATCH)
                __builtin_prefetch(&bare->slots[batch.hashes[i + AHEAD_INDEX] & bare->mask]);
            read_sum += bare_edit(bare, batch.keys[i], batch.hashes[i])->count;
        }
    }
    return OPERATIONS / seconds_since(start) / 1e6;
}

/* --- Sabot --------------------------------------------------------------------------------------
 */

enum { VALUE, BLOB, MAP, LIST, TIMERS, STATES };

struct rig {
    struct sb_account *account;
    struct sb_rows *rows;
    struct sabot_context context;
    bool many; /* keys */
};

static const int owner;

#define HANDLE(number, of_kind, of_size)                                                          \
    {                                                                                             \
        .owner = &owner, .kind = (of_kind), .index = (number), .size = (of_size), .name = "bench" \
    }

static const struct sabot_value value_handle = {HANDLE(VALUE, SB_STATE_VALUE, 32)};
static const struct sabot_blob blob_handle = {HANDLE(BLOB, SB_STATE_VALUE, 0)};
static const struct sabot_map map_handle = {HANDLE(MAP, SB_STATE_MAP, 32)};
static const struct sabot_list list_handle = {HANDLE(LIST, SB_STATE_LIST, 32)};
static const struct sabot_timer timer_handle = {HANDLE(TIMERS, SB_STATE_TIMERS, 0)};

static void rig_open(struct rig *rig, struct sb_rows *rows, uint64_t cache_bytes)
{
    const struct sb_state_spec states[STATES] = {
        [VALUE] = {.name = "value", .kind = SB_STATE_VALUE, .schema = schema},
        [BLOB] = {.name = "blob", .kind = SB_STATE_VALUE},
        [MAP] = {.name = "map", .kind = SB_STATE_MAP, .schema = schema},
        [LIST] = {.name = "list", .kind = SB_STATE_LIST, .schema = schema},
        [TIMERS] = {.name = "timers", .kind = SB_STATE_TIMERS},
    };
    struct sb_store_config config = {.env = env,
                                     .owner = "bench",
                                     .states = states,
                                     .state_count = STATES,
                                     .hash_seed = 1,
                                     .rows = rows,
                                     .cache_bytes = cache_bytes};

    *rig = (struct rig){.rows = rows, .context = {.env = env, .agent = "bench", .owner = &owner}};
    if (sb_account_create(env, 0, &rig->account, &error) != SABOT_OK)
        fail("account");
    config.account = rig->account;
    if (sb_store_create(&config, &rig->context.store, &error) != SABOT_OK)
        fail("store");
    sb_store_time(rig->context.store, 0, 0);
    rig->context.active = true;
}

static void rig_close(struct rig *rig)
{
    sb_store_destroy(rig->context.store);
    sb_account_destroy(rig->account);
}

/* A row of an agent that has timers only. */
static void take(struct rig *rig, const struct batch *batch, uint32_t i)
{
    rig->context.key = (sabot_text){(const char *)&batch->keys[i], 8};
    rig->context.hash = batch->hashes[i];
    if (sb_store_begin(rig->context.store, 0, &error) != SABOT_OK)
        fail("begin");
}

/* A row of one that has values, too: they are fetched ahead. */
static void begin(struct rig *rig, const struct batch *batch, uint32_t i)
{
    struct sb_store *store = rig->context.store;

    sb_store_ahead(store, VALUE, batch->hashes, i, BATCH);
    take(rig, batch, i);
}

/* Millions per second of one operation on many keys. */
typedef void (*operation)(struct rig *rig, uint32_t i);

static double run(struct rig *rig, const uint32_t *numbers, uint32_t count, operation operate)
{
    const int64_t start = cpu_us();
    struct batch batch;

    for (uint32_t at = 0; at + BATCH <= count; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            begin(rig, &batch, i);
            operate(rig, at + i);
        }
    }
    if (rig->context.error.status != SABOT_OK) {
        error = rig->context.error;
        fail("operation");
    }
    return count / seconds_since(start) / 1e6;
}

static void edit(struct rig *rig, uint32_t i)
{
    struct value *value = sabot_value_edit(&rig->context, &value_handle);

    if (value == NULL)
        fail("edit");
    value->count++;
    value->sum += i;
}

static void look(struct rig *rig, uint32_t i)
{
    const struct value *value = sabot_value_read(&rig->context, &value_handle);

    (void)i;
    read_sum += value->count;
}

static void blob_put(struct rig *rig, uint32_t i)
{
    const struct value value = {.count = i};

    if (sabot_blob_put(&rig->context, &blob_handle, &value, sizeof value) != SABOT_OK)
        fail("put");
}

static void blob_get(struct rig *rig, uint32_t i)
{
    (void)i;
    read_sum += (int64_t)sabot_blob_get(&rig->context, &blob_handle).size;
}

static sabot_text map_key(uint32_t *number, uint32_t i)
{
    *number = i % 16;
    return (sabot_text){(const char *)number, sizeof *number};
}

static void map_put(struct rig *rig, uint32_t i)
{
    const struct value value = {.count = i};
    uint32_t number;

    if (sabot_map_put(&rig->context, &map_handle, map_key(&number, i), &value, sizeof value) !=
        SABOT_OK)
        fail("map put");
}

static void map_get(struct rig *rig, uint32_t i)
{
    uint32_t number;

    read_sum += (int64_t)sabot_map_get(&rig->context, &map_handle, map_key(&number, i)).size;
}

static void map_scan(struct rig *rig, uint32_t i)
{
    sabot_cursor cursor;
    sabot_bytes value;

    (void)i;
    rig->context.call++; /* as each call of an agent is one */
    sabot_map_scan(&rig->context, &map_handle, (sabot_text){NULL, 0}, &cursor);
    while (sabot_map_next(&rig->context, &cursor, NULL, &value))
        read_sum += (int64_t)value.size;
}

static void list_scan(struct rig *rig, uint32_t i)
{
    sabot_cursor cursor;
    sabot_bytes element;

    (void)i;
    rig->context.call++;
    sabot_list_scan(&rig->context, &list_handle, &cursor);
    while (sabot_list_next(&rig->context, &cursor, &element))
        read_sum += (int64_t)element.size;
}

static void list_append(struct rig *rig, uint32_t i)
{
    const struct value value = {.count = i};

    if (sabot_list_append(&rig->context, &list_handle, &value, sizeof value) != SABOT_OK)
        fail("append");
}

/* Times of timers: anywhere in 10^7 ms, or the ends of windows, which many keys share. */
static void timer_set_spread(struct rig *rig, uint32_t i)
{
    if (sabot_timer_set(&rig->context, &timer_handle, (int64_t)(i * 2654435761U % 10000000)) !=
        SABOT_OK)
        fail("timer");
}

static void timer_set_windows(struct rig *rig, uint32_t i)
{
    const int64_t end_ms = ((int64_t)i / 524288 + 1) * 1000000;

    if (sabot_timer_set(&rig->context, &timer_handle, end_ms) != SABOT_OK)
        fail("timer");
}

static sabot_status timer_fired(void *context,
                                uint32_t index,
                                sabot_text key,
                                uint64_t hash,
                                int64_t time_ms,
                                sabot_error *unused)
{
    uint64_t *fired = context;

    (void)index;
    (void)key;
    (void)hash;
    (void)time_ms;
    (void)unused;
    ++*fired;
    return SABOT_OK;
}

/* --- Bare timers: a set of (key, time) by open addressing, and a binary heap of both ------------
 */

struct bare_timer {
    int64_t time_ms;
    uint64_t key;
};

struct bare_timers {
    struct bare_timer *slots; /* time 0: empty */
    uint64_t mask;
    struct bare_timer *heap;
    uint64_t count;
};

static uint64_t bare_timer_place(const struct bare_timers *bare, uint64_t hash, int64_t time_ms)
{
    return (hash ^ (uint64_t)time_ms * UINT64_C(0x9e3779b97f4a7c15)) *
                   UINT64_C(0xc2b2ae3d27d4eb4f) >>
               32 &
           bare->mask;
}

static void bare_timer_set(struct bare_timers *bare, uint64_t key, uint64_t hash, int64_t time_ms)
{
    uint64_t at = bare_timer_place(bare, hash, time_ms);
    uint64_t child = bare->count;

    for (; bare->slots[at].time_ms != 0; at = (at + 1) & bare->mask)
        if (bare->slots[at].key == key && bare->slots[at].time_ms == time_ms)
            return;
    bare->slots[at] = (struct bare_timer){time_ms, key};
    for (; child > 0 && bare->heap[(child - 1) / 2].time_ms > time_ms; child = (child - 1) / 2)
        bare->heap[child] = bare->heap[(child - 1) / 2];
    bare->heap[child] = (struct bare_timer){time_ms, key};
    bare->count++;
}

static void bare_timer_unset(struct bare_timers *bare, struct bare_timer timer)
{
    uint64_t at = bare_timer_place(bare, sb_hash(&timer.key, 8, 1), timer.time_ms);
    uint64_t hole;

    while (bare->slots[at].key != timer.key || bare->slots[at].time_ms != timer.time_ms)
        at = (at + 1) & bare->mask;
    hole = at;
    for (;;) {
        at = (at + 1) & bare->mask;
        const struct bare_timer slot = bare->slots[at];

        if (slot.time_ms == 0)
            break;
        const uint64_t place = bare_timer_place(bare, sb_hash(&slot.key, 8, 1), slot.time_ms);

        if (((at - place) & bare->mask) < ((at - hole) & bare->mask))
            continue;
        bare->slots[hole] = slot;
        hole = at;
    }
    bare->slots[hole].time_ms = 0;
}

static void bare_timer_fire(struct bare_timers *bare)
{
    struct bare_timer *heap = bare->heap;
    const struct bare_timer last = heap[--bare->count];
    uint64_t at = 0;

    bare_timer_unset(bare, heap[0]);
    for (;;) {
        uint64_t child = 2 * at + 1;

        if (child >= bare->count)
            break;
        child += child + 1 < bare->count && heap[child + 1].time_ms < heap[child].time_ms;
        if (heap[child].time_ms >= last.time_ms)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
}

static void run_bare_timers(const uint32_t *numbers)
{
    struct bare_timers bare = {.mask = 2 * OPERATIONS - 1};
    const int64_t start = cpu_us();
    struct batch batch;
    double set_s;
    uint64_t count;

    bare.slots = sb_alloc_array(env, bare.mask + 1, sizeof *bare.slots);
    bare.heap = sb_alloc_array(env, OPERATIONS, sizeof *bare.heap);
    if (bare.slots == NULL || bare.heap == NULL)
        exit(1);
    for (uint32_t at = 0; at + BATCH <= OPERATIONS; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            if (i + AHEAD_INDEX < BATCH)
                __builtin_prefetch(
                    &bare.slots[bare_timer_place(
                        &bare, batch.hashes[i + AHEAD_INDEX],
                        1 + (int64_t)((at + i + AHEAD_INDEX) * 2654435761U % 10000000))],
                    1, 3);
            bare_timer_set(&bare, batch.keys[i], batch.hashes[i],
                           1 + (int64_t)((at + i) * 2654435761U % 10000000));
        }
    }
    set_s = seconds_since(start);
    count = bare.count;
    while (bare.count > 0)
        bare_timer_fire(&bare);
    printf("  bare set and heap: set and fire %6.2f M/s (set %6.2f, fire %6.2f)\n",
           (double)count / seconds_since(start) / 1e6, OPERATIONS / set_s / 1e6,
           (double)count / (seconds_since(start) - set_s) / 1e6);
    sb_free_array(env, bare.slots, bare.mask + 1, sizeof *bare.slots);
    sb_free_array(env, bare.heap, OPERATIONS, sizeof *bare.heap);
}

/* Set, then fire as time goes on: millions of both together per second. */
static void run_timers(struct rig *rig, const uint32_t *numbers, const char *name, operation set)
{
    const int64_t start = cpu_us();
    uint64_t fired = 0;
    double set_s;

    (void)run(rig, numbers, OPERATIONS, set);
    set_s = seconds_since(start);
    for (int64_t time_ms = 0; time_ms <= 10000000; time_ms += 1000) {
        sb_store_time(rig->context.store, time_ms, 0);
        while (sb_store_fire(rig->context.store, 10000, timer_fired, &fired, &error) ==
               SABOT_AGAIN) {}
    }
    printf("  timers, %s: set and fire %6.2f M/s (set %6.2f, fire %6.2f), %llu fired\n", name,
           (double)fired / seconds_since(start) / 1e6, OPERATIONS / set_s / 1e6,
           (double)fired / (seconds_since(start) - set_s) / 1e6, (unsigned long long)fired);
}

/* --- In memory ----------------------------------------------------------------------------------
 */

/* How long each call took: by the clock on the wall, and by that of this thread, which stands still
 * while others have the processor. */
struct took {
    struct sb_histogram wall_ns;
    struct sb_histogram cpu_ns;
    uint64_t over_wall; /* 1 ms */
    uint64_t over_cpu;
};

static void print_took(const char *what, const struct took *took)
{
    const struct sb_histogram *both[] = {&took->wall_ns, &took->cpu_ns};

    for (int i = 0; i < 2; i++)
        printf("  %s, %s: %llu over 1 ms; p50 %lld, p99 %lld, p99.9 %lld, p99.9999 %lld, max %lld "
               "ns\n",
               what, i == 0 ? "wall" : "cpu",
               (unsigned long long)(i == 0 ? took->over_wall : took->over_cpu),
               (long long)sb_histogram_at(both[i], 0.5), (long long)sb_histogram_at(both[i], 0.99),
               (long long)sb_histogram_at(both[i], 0.999),
               (long long)sb_histogram_at(both[i], 0.999999),
               (long long)sb_histogram_at(both[i], 1));
}

/* Operations over 1 ms are what the machine makes of any program: those of a loop that only looks
 * at the clocks are printed beside ours. */
static void took_add(struct took *took, int64_t start_ns, int64_t start_cpu_ns)
{
    const int64_t wall_ns = now_ns() - start_ns;
    const int64_t processor_ns = cpu_ns() - start_cpu_ns;

    sb_histogram_add(&took->wall_ns, (uint64_t)wall_ns, 1);
    sb_histogram_add(&took->cpu_ns, (uint64_t)processor_ns, 1);
    took->over_wall += wall_ns > 1000000;
    took->over_cpu += processor_ns > 1000000;
}

static void time_batch(struct rig *rig,
                       const struct batch *batch,
                       operation operate,
                       struct took *took)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        const int64_t start_cpu_ns = cpu_ns();
        const int64_t start_ns = now_ns();

        begin(rig, batch, i);
        operate(rig, i);
        took_add(took, start_ns, start_cpu_ns);
    }
}

/* For so long. */
static void time_nothing(struct took *took, int64_t for_ns)
{
    int64_t start_cpu_ns = cpu_ns();

    for (const int64_t end_ns = start_cpu_ns + for_ns; start_cpu_ns < end_ns;
         start_cpu_ns = cpu_ns())
        took_add(took, now_ns(), start_cpu_ns);
}

/* Every key once: the table grows. `nothing`: between its batches, as long as they take; may be
 * NULL. */
static void fill(struct rig *rig, uint64_t keys, struct took *took, struct took *nothing)
{
    struct batch batch;
    uint32_t numbers[BATCH];

    memset(took, 0, sizeof *took);
    if (nothing != NULL)
        memset(nothing, 0, sizeof *nothing);
    for (uint64_t at = 0; at < keys; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++)
            numbers[i] = (uint32_t)((at + i) % keys);
        fill_batch(&batch, numbers);
        const int64_t start_ns = cpu_ns();

        time_batch(rig, &batch, edit, took);
        if (nothing != NULL)
            time_nothing(nothing, cpu_ns() - start_ns);
    }
}

static void time_operations(struct rig *rig,
                            const uint32_t *numbers,
                            uint32_t count,
                            operation operate,
                            const char *what)
{
    static struct took took;
    struct batch batch;

    memset(&took, 0, sizeof took);
    for (uint32_t at = 0; at + BATCH <= count; at += BATCH) {
        fill_batch(&batch, numbers + at);
        time_batch(rig, &batch, operate, &took);
    }
    print_took(what, &took);
}

/* How long each call of the other kinds takes. */
static void time_kinds(struct rig *rig, const uint32_t *numbers, const char *keys)
{
    static const struct {
        const char *name;
        operation operate;
        uint32_t share; /* of the operations */
    } calls[] = {
        {"get", blob_get, 1},           {"put", blob_put, 1},      {"map put", map_put, 1},
        {"map get", map_get, 1},        {"map walk", map_scan, 4}, {"list append", list_append, 1},
        {"timer", timer_set_spread, 1},
    };

    for (uint32_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char what[64];

        snprintf(what, sizeof what, "%s, %s", calls[i].name, keys);
        time_operations(rig, numbers, KIND_OPERATIONS / 4 / calls[i].share, calls[i].operate, what);
    }
}

/* Calls of the other kinds, in millions per second. */
static void measure_kinds(struct rig *rig, const uint32_t *numbers, const char *keys)
{
    const uint32_t count = KIND_OPERATIONS;
    const uint32_t scans = count / 4;

    printf("  %s: put %6.2f M/s, get %6.2f;", keys, run(rig, numbers, count, blob_put),
           run(rig, numbers, count, blob_get));
    printf(" map (16 entries a key): put %6.2f, get %6.2f,", run(rig, numbers, count, map_put),
           run(rig, numbers, count, map_get));
    printf(" walks %6.2f;", run(rig, numbers, scans, map_scan));
    printf(" list: append %6.2f,", run(rig, numbers, count, list_append));
    if (strcmp(keys, "uniform") == 0 && rig->many) /* else a list has most of all elements */
        printf(" walks %6.2f", run(rig, numbers, scans, list_scan));
    printf("\n");
}

static void compare_memory(uint64_t keys)
{
    static struct took took;
    uint32_t *uniform = make_keys(keys, false);
    uint32_t *zipf = make_keys(keys, true);
    struct bare bare;
    struct rig rig;

    bare_open(&bare, keys);
    rig_open(&rig, NULL, 0);
    rig.many = keys >= 1000000;
    fill(&rig, keys, &took, NULL);
    printf("memory, %llu keys: %.1f bytes a key (%.2f of key + value + 16)\n",
           (unsigned long long)keys, (double)sb_account_used(rig.account) / (double)keys,
           (double)sb_account_used(rig.account) / (double)keys / 56);
    print_took("a new key", &took);
    time_operations(&rig, uniform, OPERATIONS / 4, edit, "edit, uniform");
    time_operations(&rig, zipf, OPERATIONS / 4, edit, "edit, Zipf 0.99");
    (void)run_bare(&bare, uniform);
    for (int pass = 0; pass < PASSES; pass++) {
        const double bare_uniform = run_bare(&bare, uniform);
        const double edit_uniform = run(&rig, uniform, OPERATIONS, edit);
        const double bare_zipf = run_bare(&bare, zipf);
        const double edit_zipf = run(&rig, zipf, OPERATIONS, edit);

        printf(
            "  edit: %6.1f M/s, bare %6.1f, ratio %.2f; Zipf 0.99: %6.1f, bare %6.1f, ratio %.2f; "
            "read: %6.1f, bare %6.1f\n",
            edit_uniform, bare_uniform, edit_uniform / bare_uniform, edit_zipf, bare_zipf,
            edit_zipf / bare_zipf, run(&rig, uniform, OPERATIONS, look), read_bare(&bare, uniform));
    }
    measure_kinds(&rig, uniform, "uniform");
    measure_kinds(&rig, zipf, "Zipf 0.99");
    time_kinds(&rig, uniform, "uniform");
    time_kinds(&rig, zipf, "Zipf 0.99");
    rig_close(&rig);
    sb_free_array(env, bare.slots, bare.mask + 1, sizeof *bare.slots);
    free(uniform);
    free(zipf);
}

/* Only how long a new key takes while a table grows to so many. */
static void measure_growth(uint64_t keys)
{
    static struct took took;
    static struct took nothing;
    struct rig rig;

    rig_open(&rig, NULL, 0);
    fill(&rig, keys, &took, &nothing);
    printf("a table grows to %llu keys, %.1f bytes a key:\n", (unsigned long long)keys,
           (double)sb_account_used(rig.account) / (double)keys);
    print_took("a new key", &took);
    print_took("only clocks", &nothing);
    rig_close(&rig);
}

/* As a stream does it: each record sets a timer some time ahead, and as many fire. */
static void steady_timers(const uint32_t *numbers, uint32_t pending)
{
    const uint32_t batches = OPERATIONS / BATCH;
    const uint32_t lead = pending / BATCH;
    uint64_t fired = 0;
    int64_t start = 0;
    struct batch batch;
    struct rig rig;

    rig_open(&rig, NULL, 0);
    for (uint32_t at = 0; at < batches + lead; at++) {
        if (at == lead) {
            start = cpu_us();
            fired = 0;
        }
        fill_batch(&batch, numbers + (size_t)(at % batches) * BATCH);
        sb_store_time(rig.context.store, 10 * (int64_t)at, 0);
        for (uint32_t i = 0; i < BATCH; i++) {
            take(&rig, &batch, i);
            if (sabot_timer_set(&rig.context, &timer_handle, 10 * (int64_t)(at + lead) + i % 10) !=
                SABOT_OK)
                fail("timer");
        }
        if (sb_store_fire(rig.context.store, UINT32_MAX, timer_fired, &fired, &error) != SABOT_OK)
            fail("fire");
    }
    printf("  timers, steady, %8u pending: set and fire %6.2f M/s\n", lead * BATCH,
           (double)fired / seconds_since(start) / 1e6);
    rig_close(&rig);
}

static void measure_timers(uint64_t keys)
{
    uint32_t *uniform = make_keys(keys, false);
    struct rig rig;

    printf("timers, %llu keys:\n", (unsigned long long)keys);
    run_bare_timers(uniform);
    rig_open(&rig, NULL, 0);
    run_timers(&rig, uniform, "times spread", timer_set_spread);
    rig_close(&rig);
    rig_open(&rig, NULL, 0);
    run_timers(&rig, uniform, "ends of windows", timer_set_windows);
    rig_close(&rig);
    for (uint32_t pending = BATCH; pending <= OPERATIONS; pending *= 16)
        steady_timers(uniform, pending);
    free(uniform);
}

/* So many timers pending at once, at times that are spread over 10^7 ms: what one takes, and how
 * fast they are set and fire. */
static void measure_many_timers(uint64_t timers)
{
    const uint64_t batches = timers / BATCH;
    uint64_t fired = 0;
    uint32_t numbers[BATCH];
    struct batch batch;
    struct rig rig;
    int64_t start;
    double set_s;

    rig_open(&rig, NULL, 0);
    start = cpu_us();
    for (uint64_t at = 0; at < batches; at++) {
        for (uint32_t i = 0; i < BATCH; i++)
            numbers[i] = (uint32_t)(at * BATCH + i);
        fill_batch(&batch, numbers);
        for (uint32_t i = 0; i < BATCH; i++) {
            take(&rig, &batch, i);
            timer_set_spread(&rig, numbers[i]);
        }
    }
    set_s = seconds_since(start);
    printf("timers, %llu pending: %.1f bytes a timer;", (unsigned long long)(batches * BATCH),
           (double)sb_account_used(rig.account) / (double)(batches * BATCH));
    start = cpu_us();
    for (int64_t time_ms = 0; time_ms <= 10000000; time_ms += 1000) {
        sb_store_time(rig.context.store, time_ms, 0);
        if (sb_store_fire(rig.context.store, UINT32_MAX, timer_fired, &fired, &error) != SABOT_OK)
            fail("fire");
    }
    printf(" set %.2f M/s, fire %.2f M/s, %llu fired\n", (double)fired / set_s / 1e6,
           (double)fired / seconds_since(start) / 1e6, (unsigned long long)fired);
    rig_close(&rig);
}

/* --- In RocksDB ---------------------------------------------------------------------------------
 */

#ifdef SB_HAVE_ROCKSDB

enum { ROCKS_OPERATIONS = 1 << 17 };

static void remove_folder(const char *path)
{
    char command[300];

    snprintf(command, sizeof command, "%s/", path);
    DIR *folder = opendir(command);
    for (struct dirent *entry = folder == NULL ? NULL : readdir(folder); entry != NULL;
         entry = readdir(folder)) {
        char file[600];

        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        (void)unlink(file);
    }
    if (folder != NULL)
        closedir(folder);
    (void)rmdir(path);
}

static void fail_rocksdb(const char *reason)
{
    fprintf(stderr, "bench/state: rocksdb: %s\n", reason);
    exit(1);
}

/* A value by a bare call; zeros: there is none. */
static struct value bare_rocksdb_get(rocksdb_t *db, rocksdb_readoptions_t *reading, uint64_t key)
{
    struct value value = {0};
    char *reason = NULL;
    size_t size = 0;
    char *found = rocksdb_get(db, reading, (const char *)&key, 8, &size, &reason);

    if (reason != NULL)
        fail_rocksdb(reason);
    if (found != NULL)
        memcpy(&value, found, sizeof value);
    free(found);
    return value;
}

/* Read each key by bare calls. */
static double read_bare_rocksdb(rocksdb_t *db, const uint32_t *numbers, uint32_t count)
{
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    const int64_t start = cpu_us();

    for (uint32_t i = 0; i < count; i++)
        read_sum += bare_rocksdb_get(db, reading, __builtin_bswap64(numbers[i])).count;
    rocksdb_readoptions_destroy(reading);
    return count / seconds_since(start) / 1e6;
}

/* Read, change and write each key by bare calls, no log. */
static double run_bare_rocksdb(rocksdb_t *db, const uint32_t *numbers, uint32_t count)
{
    rocksdb_readoptions_t *reading = rocksdb_readoptions_create();
    rocksdb_writeoptions_t *writing = rocksdb_writeoptions_create();
    const int64_t start = cpu_us();
    double rate;

    rocksdb_writeoptions_disable_WAL(writing, 1);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t key = __builtin_bswap64(numbers[i]);
        struct value value = bare_rocksdb_get(db, reading, key);
        char *reason = NULL;

        value.count++;
        rocksdb_put(db, writing, (const char *)&key, 8, (const char *)&value, sizeof value,
                    &reason);
        if (reason != NULL)
            fail_rocksdb(reason);
    }
    rate = count / seconds_since(start) / 1e6;
    rocksdb_readoptions_destroy(reading);
    rocksdb_writeoptions_destroy(writing);
    return rate;
}

/* As rocksdb.c opens it, with twice the memory, for there are no cells in front of it. */
static rocksdb_t *open_bare_rocksdb(const char *path, uint64_t memory)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru((size_t)(memory / 2));
    char *reason = NULL;
    rocksdb_t *db;

    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, (size_t)(memory / 6));
    rocksdb_options_set_max_write_buffer_number(options, 3);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(options, table);
    db = rocksdb_open(options, path, &reason);
    if (reason != NULL)
        fail_rocksdb(reason);
    rocksdb_options_destroy(options);
    rocksdb_block_based_options_destroy(table);
    rocksdb_cache_destroy(cache);
    return db;
}

/* Every key once in both. */
static void fill_rocksdb(rocksdb_t *bare, struct rig *rig, uint64_t keys)
{
    uint32_t *numbers = malloc(keys * sizeof *numbers);

    if (numbers == NULL)
        exit(1);
    for (uint64_t i = 0; i < keys; i++)
        numbers[i] = (uint32_t)(i * 7919 % keys);
    (void)run_bare_rocksdb(bare, numbers, (uint32_t)keys);
    (void)run(rig, numbers, (uint32_t)keys, edit);
    free(numbers);
}

static void compare_rocksdb(uint64_t keys, uint64_t memory)
{
    char ours_path[] = "/var/tmp/sabot-bench-XXXXXX";
    char bare_path[] = "/var/tmp/sabot-bench-XXXXXX";
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    rocksdb_t *bare;
    struct rig rig;

    if (mkdtemp(ours_path) == NULL || mkdtemp(bare_path) == NULL)
        fail_rocksdb("no folder");
    bare = open_bare_rocksdb(bare_path, memory);
    if (sb_rocksdb_open(env, ours_path, memory / 2, &db, &error) != SABOT_OK ||
        sb_rocksdb_rows(db, &rows, &error) != SABOT_OK)
        fail("rocksdb");
    rig_open(&rig, rows, memory / 2);
    printf("rocksdb, %llu keys, %llu MiB:\n", (unsigned long long)keys,
           (unsigned long long)memory >> 20);
    fill_rocksdb(bare, &rig, keys);
    for (int is_zipf = 0; is_zipf <= 1; is_zipf++) {
        uint32_t *numbers = make_keys(keys, is_zipf == 1);

        (void)run(&rig, numbers, ROCKS_OPERATIONS, edit);
        for (int pass = 0; pass < PASSES; pass++) {
            const uint32_t *next = numbers + (size_t)(pass + 1) * (ROCKS_OPERATIONS / 2);
            const double bare_rate = run_bare_rocksdb(bare, next, ROCKS_OPERATIONS);
            const double rate = run(&rig, next, ROCKS_OPERATIONS, edit);
            const double bare_read = read_bare_rocksdb(bare, next, ROCKS_OPERATIONS);
            const double read = run(&rig, next, ROCKS_OPERATIONS, look);

            printf("  %s: edit %6.3f M/s, bare %6.3f, ratio %.2f; get %6.3f, bare %6.3f, ratio "
                   "%.2f\n",
                   is_zipf == 1 ? "Zipf 0.99" : "uniform", rate, bare_rate, rate / bare_rate, read,
                   bare_read, read / bare_read);
        }
        time_operations(&rig, numbers, ROCKS_OPERATIONS, edit,
                        is_zipf == 1 ? "edit, Zipf 0.99" : "edit, uniform");
        time_operations(&rig, numbers, ROCKS_OPERATIONS, look,
                        is_zipf == 1 ? "get, Zipf 0.99" : "get, uniform");
        free(numbers);
    }
    rig_close(&rig);
    sb_rocksdb_rows_close(rows);
    sb_rocksdb_close(db);
    rocksdb_close(bare);
    remove_folder(ours_path);
    remove_folder(bare_path);
}

#endif

int main(int argc, char **argv)
{
    const uint64_t max = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    const char *parts = argc > 2 ? argv[2] : "memory,timers,rocksdb";

    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* each part takes minutes */
    if (sb_os_env_create(&env, &error) != SABOT_OK ||
        sb_schema_create(env, &value_table, SB_SCHEMA_STATE, &schema, &error) != SABOT_OK)
        fail("start");
    for (uint64_t keys = 1000; keys <= max; keys *= keys < 1000000 ? 1000 : 10) {
        if (strstr(parts, "memory") != NULL)
            compare_memory(keys);
        if (strstr(parts, "timers") != NULL)
            measure_timers(keys);
    }
    if (strstr(parts, "grow") != NULL)
        measure_growth(max);
    if (strstr(parts, "many") != NULL)
        measure_many_timers(max);
#ifdef SB_HAVE_ROCKSDB
    if (strstr(parts, "rocksdb") != NULL) {
        compare_rocksdb(1000000, (uint64_t)256 << 20);
        compare_rocksdb(1000000, (uint64_t)32 << 20);
    }
#endif
    if (read_sum == 0 && strstr(parts, "memory") != NULL)
        printf("nothing was read\n");
    sb_schema_destroy(schema);
    sb_os_env_destroy(env);
    return 0;
}
