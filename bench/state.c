/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - keyed state through the public calls on a context, beside a bare open-addressing table
 * and, where it is built in, beside bare calls of RocksDB; all in one run.
 *
 *     build/bench/state [keys max, default 10000000]
 *
 * Keys are 8 bytes, values 32. Both tables get the same keys in batches of 1024, hash them with the
 * same hash and fetch ahead alike, as an agent's batches do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sabot/context.h>

#include "base/mem.h"
#include "base/metric.h"
#include "op/context.h"
#include "state/store.h"

enum { BATCH = 1024, AHEAD_INDEX = 16, AHEAD_CELL = 8, OPERATIONS = 1 << 22 };

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

/* --- Sabot --------------------------------------------------------------------------------------
 */

enum { VALUE, STATES };

struct rig {
    struct sb_account *account;
    struct sabot_context context;
};

static const struct sabot_value value_handle = {
    .state = {.owner = &value_handle, .index = VALUE, .kind = SB_STATE_VALUE}};

static void rig_open(struct rig *rig)
{
    const struct sb_state_spec states[STATES] = {
        [VALUE] = {.name = "value", .kind = SB_STATE_VALUE, .schema = schema},
    };
    struct sb_store_config config = {
        .env = env, .owner = "bench", .states = states, .state_count = STATES, .hash_seed = 1};

    *rig = (struct rig){.context = {.env = env, .agent = "bench", .owner = &value_handle}};
    if (sb_account_create(env, 0, &rig->account, &error) != SABOT_OK)
        fail("account");
    config.account = rig->account;
    if (sb_store_create(&config, &rig->context.store, &error) != SABOT_OK)
        fail("store");
    rig->context.active = true;
}

static void rig_close(struct rig *rig)
{
    sb_store_destroy(rig->context.store);
    sb_account_destroy(rig->account);
}

static void begin(struct rig *rig, const struct batch *batch, uint32_t i)
{
    struct sb_store *store = rig->context.store;

    if (i + AHEAD_INDEX < BATCH)
        sb_store_prefetch(store, VALUE, batch->hashes[i + AHEAD_INDEX]);
    if (i + AHEAD_CELL < BATCH)
        sb_store_prefetch_cell(store, VALUE, batch->hashes[i + AHEAD_CELL]);
    rig->context.key = (sabot_text){(const char *)&batch->keys[i], 8};
    rig->context.hash = batch->hashes[i];
    if (sb_store_begin(store, 0, &error) != SABOT_OK)
        fail("begin");
}

static double run_edit(struct rig *rig, const uint32_t *numbers)
{
    const int64_t start = cpu_us();
    struct batch batch;

    for (uint32_t at = 0; at + BATCH <= OPERATIONS; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            struct value *value;

            begin(rig, &batch, i);
            value = sabot_value_edit(&rig->context, &value_handle);
            if (value == NULL)
                fail("edit");
            value->count++;
            value->sum += i;
        }
    }
    return OPERATIONS / seconds_since(start) / 1e6;
}

static double run_read(struct rig *rig, const uint32_t *numbers)
{
    const int64_t start = cpu_us();
    struct batch batch;
    int64_t sum = 0;

    for (uint32_t at = 0; at + BATCH <= OPERATIONS; at += BATCH) {
        fill_batch(&batch, numbers + at);
        for (uint32_t i = 0; i < BATCH; i++) {
            const struct value *value;

            begin(rig, &batch, i);
            value = sabot_value_read(&rig->context, &value_handle);
            sum += value->count;
        }
    }
    if (sum == 0)
        printf("nothing read\n");
    return OPERATIONS / seconds_since(start) / 1e6;
}

/* Every key once; and the slowest single call. */
static int64_t fill(struct rig *rig, uint64_t keys)
{
    struct batch batch;
    uint32_t numbers[BATCH];
    int64_t slowest_us = 0;

    for (uint64_t at = 0; at < keys; at += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++)
            numbers[i] = (uint32_t)((at + i) % keys);
        fill_batch(&batch, numbers);
        for (uint32_t i = 0; i < BATCH; i++) {
            const int64_t start = cpu_us();

            begin(rig, &batch, i);
            if (sabot_value_edit(&rig->context, &value_handle) == NULL)
                fail("edit");
            const int64_t took_us = cpu_us() - start;
            slowest_us = took_us > slowest_us ? took_us : slowest_us;
        }
    }
    return slowest_us;
}

static void compare(uint64_t keys)
{
    uint32_t *uniform = make_keys(keys, false);
    uint32_t *zipf = make_keys(keys, true);
    struct bare bare;
    struct rig rig;
    int64_t slowest_us;

    bare_open(&bare, keys);
    rig_open(&rig);
    slowest_us = fill(&rig, keys);
    printf("%9llu keys: %5.1f bytes/key, slowest insert %lld us\n", (unsigned long long)keys,
           (double)sb_account_used(rig.account) / (double)keys, (long long)slowest_us);
    (void)run_bare(&bare, uniform);
    (void)run_bare(&bare, zipf);
    for (int pass = 0; pass < 3; pass++) {
        const double bare_uniform = run_bare(&bare, uniform);
        const double edit_uniform = run_edit(&rig, uniform);
        const double read_uniform = run_read(&rig, uniform);
        const double bare_zipf = run_bare(&bare, zipf);
        const double edit_zipf = run_edit(&rig, zipf);

        printf(
            "          uniform: bare %6.1f M/s, edit %6.1f M/s (%.2f), read %6.1f M/s; zipf: bare "
            "%6.1f, edit %6.1f (%.2f)\n",
            bare_uniform, edit_uniform, edit_uniform / bare_uniform, read_uniform, bare_zipf,
            edit_zipf, edit_zipf / bare_zipf);
    }
    rig_close(&rig);
    sb_free_array(env, bare.slots, bare.mask + 1, sizeof *bare.slots);
    free(uniform);
    free(zipf);
}

int main(int argc, char **argv)
{
    const uint64_t max = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;

    if (sb_os_env_create(&env, &error) != SABOT_OK ||
        sb_schema_create(env, &value_table, SB_SCHEMA_STATE, &schema, &error) != SABOT_OK)
        fail("start");
    for (uint64_t keys = 1000; keys <= max; keys *= keys < 1000000 ? 1000 : 10)
        compare(keys);
    sb_schema_destroy(schema);
    sb_os_env_destroy(env);
    return 0;
}
