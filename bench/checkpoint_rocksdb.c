/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_rocksdb.c - what checkpoints of state in RocksDB cost the stream, beside the same
 * stream without, in one run.
 *
 *     build/bench/checkpoint_rocksdb [MiB of state, default 1024 [folder, default /var/tmp [MiB of
 * memory, default 256]]]
 *
 * The state is values of 112 bytes under keys of 8. Updates are uniform over a sixteenth of the
 * keys, in slices, as a task does; between two slices it makes a piece of the checkpoint, and a
 * thread of its own stages the database and takes its files, as the coordinator does. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#include "ckpt/rows.h"
#include "state/image.h"
#include "state/rows.h"

enum {
    SLICE = 1024,
    STEP_CHUNKS = 32,
    ALONE = 500,
    HOT = 16, /* one of so many keys is updated */
    SLICES_MAX = 1 << 20,
    CHECKPOINTS = 5,
    VALUE = 112,
    ROW = 5 + 3 + 8 + VALUE, /* bytes of key and value in the database */
};

static struct sb_env *env;
static sabot_error error;
static int64_t samples[SLICES_MAX];

struct bench {
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    struct sb_store *store;
    struct sb_ckpt_folder folder;
    struct sb_ckpt_known known;
    struct sb_waker *waker;
    struct sb_ckpt_entry entry;
    uint64_t new_bytes;
    _Atomic bool staged;
    _Atomic bool durable;
    int64_t begun_ns;
    int64_t staged_ns;
    int64_t durable_ns;
};

static void fail(const char *what)
{
    fprintf(stderr, "bench/checkpoint_rocksdb: %s: %s\n", what, error.text);
    exit(1);
}

/* Of `samples`, which are sorted here. */
static double percentile_us(size_t count, double share)
{
    return percentile(samples, count, share);
}

/* --- The stream ------------------------------------------------------------------------------- */

static void update(struct sb_store *store, uint64_t key)
{
    const sabot_text text = {(const char *)&key, sizeof key};
    uint64_t value[VALUE / sizeof(uint64_t)] = {key, draw()};

    if (sb_store_begin(store, 0, &error) != SABOT_OK ||
        sb_store_put(store, 0, text, sb_hash(&key, sizeof key, 1),
                     (sabot_text){(const char *)value, sizeof value}, &error) != SABOT_OK)
        fail("update");
}

static void slice(struct sb_store *store, uint64_t keys)
{
    for (uint32_t i = 0; i < SLICE; i++)
        update(store, draw() % keys);
}

/* --- The coordinator's part ------------------------------------------------------------------- */

static struct sb_step take_files(void *context)
{
    struct bench *bench = context;
    struct sb_ckpt_writer writer;
    struct sb_manifest manifest;
    const char *staged;

    if (sb_rocksdb_stage(bench->db, &staged, &error) != SABOT_OK)
        fail("stage");
    bench->staged_ns = now_ns();
    atomic_store(&bench->staged, true);
    sb_manifest_init(&manifest, env);
    manifest.app = "bench";
    manifest.pipeline = "rocksdb";
    manifest.id = ++bench->entry.id;
    if (sb_ckpt_begin(&writer, &bench->folder, &bench->entry, &error) != SABOT_OK)
        fail("begin");
    writer.staged = staged;
    writer.known = &bench->known;
    if (sb_ckpt_finish(&writer, &manifest, NULL, 0, &error) != SABOT_OK)
        fail("finish");
    bench->new_bytes = writer.rows_size;
    sb_rocksdb_unstage(bench->db);
    sb_ckpt_known_set(&bench->known, &manifest);
    sb_manifest_reset(&manifest);
    bench->durable_ns = now_ns();
    atomic_store(&bench->durable, true);
    return sb_step_done();
}

static void *take_block(void *context, bool must)
{
    (void)context;
    (void)must;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void drop_block(void *context, void *block, uint32_t size)
{
    (void)context;
    (void)size;
    free(block);
}

/* --- A checkpoint while the stream goes on ---------------------------------------------------- */

static void measure(struct bench *bench, uint64_t keys, double alone_p50)
{
    const struct sb_image_config config = {.id = bench->entry.id + 1,
                                           .sink = {take_block, drop_block, NULL}};
    struct sb_thread *thread = NULL;
    bool thawed = false;
    uint32_t count = 0;
    int64_t held_ns = 0;
    int64_t begin_ns;

    atomic_store(&bench->staged, false);
    atomic_store(&bench->durable, false);
    bench->begun_ns = now_ns();
    sb_store_image_begin(bench->store, &config);
    begin_ns = now_ns() - bench->begun_ns;
    while (!atomic_load(&bench->durable) && count < SLICES_MAX) {
        const int64_t begun = now_ns();

        if (thread == NULL && sb_store_image_step(bench->store, STEP_CHUNKS) == SB_IMAGE_DONE) {
            if (sb_store_image_end(bench->store, &error) != SABOT_OK ||
                env->type->spawn(env->self, "bench-files", take_files, bench, bench->waker, &thread,
                                 &error) != SABOT_OK)
                fail("image");
        }
        if (!thawed && atomic_load(&bench->staged)) {
            sb_store_thaw(bench->store);
            thawed = true;
        }
        if (sb_store_is_held(bench->store)) {
            held_ns += now_ns() - begun;
            continue;
        }
        slice(bench->store, keys);
        samples[count++] = now_ns() - begun - (int64_t)(alone_p50 * 1000);
    }
    env->type->join(env->self, thread);
    if (!thawed)
        sb_store_thaw(bench->store);
    if (alone_p50 < 0)
        return;
    printf(
        "barrier %.1f us (goal < 10), staged after %.0f ms, durable after %.0f ms, held %.0f ms; "
        "pause of a slice p50 %.0f us, p99 %.0f us (goal < 1000), max %.0f us; %.1f MiB in new "
        "files\n",
        (double)begin_ns / 1e3, (double)(bench->staged_ns - bench->begun_ns) / 1e6,
        (double)(bench->durable_ns - bench->begun_ns) / 1e6, (double)held_ns / 1e6,
        percentile_us(count, 0.5), percentile_us(count, 0.99), percentile_us(count, 1),
        (double)bench->new_bytes / 1048576);
}

/* Of a checkpoint after so many updates of different keys, with nothing else. */
static void measure_bytes(struct bench *bench, uint64_t updates)
{
    for (uint64_t i = 0; i < updates; i++)
        update(bench->store, i);
    measure(bench, 1, -1);
    for (uint64_t i = 0; i < updates; i++)
        update(bench->store, i);
    measure(bench, 1, -1);
    printf("%llu rows changed: written %.2f times (goal < 1.3)\n", (unsigned long long)updates,
           (double)bench->new_bytes / (double)(updates * ROW));
}

static double measure_alone(struct bench *bench, uint64_t keys)
{
    double p50;

    for (uint32_t i = 0; i < ALONE; i++) {
        const int64_t begun = now_ns();

        slice(bench->store, keys);
        samples[i] = now_ns() - begun;
    }
    p50 = percentile_us(ALONE, 0.5);
    printf("slices of %d updates without a checkpoint: p50 %.0f us, p99 %.0f us, max %.0f us\n",
           SLICE, p50, percentile_us(ALONE, 0.99), percentile_us(ALONE, 1));
    return p50;
}

static void open_bench(struct bench *bench, const char *folder, uint64_t memory)
{
    static const struct sb_state_spec state = {.name = "v", .kind = SB_STATE_VALUE};
    char live[4096];
    struct sb_store_config config = {.env = env,
                                     .owner = "bench",
                                     .states = &state,
                                     .state_count = 1,
                                     .hash_seed = 1,
                                     .cache_bytes = memory / 2};

    (void)snprintf(live, sizeof live, "%s/live", folder);
    if (env->type->directory_create(env->self, folder, &error) != SABOT_OK ||
        sb_rocksdb_open(env, live, memory / 2, &bench->db, &error) != SABOT_OK ||
        sb_rocksdb_rows(bench->db, &bench->rows, &error) != SABOT_OK)
        fail("open");
    config.rows = bench->rows;
    bench->known.env = env;
    if (sb_store_create(&config, &bench->store, &error) != SABOT_OK ||
        env->type->waker_create(env->self, &bench->waker, &error) != SABOT_OK ||
        sb_ckpt_folder_open(&bench->folder, env, folder, "bench", "rocksdb", &error) != SABOT_OK)
        fail("open");
}

static void close_bench(struct bench *bench, const char *folder)
{
    char path[4096];

    sb_store_destroy(bench->store);
    sb_rocksdb_rows_close(bench->rows);
    sb_rocksdb_close(bench->db);
    for (; bench->entry.id > 0; bench->entry.id--)
        (void)!sb_ckpt_remove(&bench->folder, &bench->entry, NULL);
    sb_ckpt_known_reset(&bench->known);
    sb_ckpt_folder_close(&bench->folder);
    env->type->waker_destroy(env->self, bench->waker);
    (void)snprintf(path, sizeof path, "%s/live", folder);
    sb_folder_remove(env, path);
    (void)snprintf(path, sizeof path, "%s/bench", folder);
    sb_folder_remove(env, path);
    sb_folder_remove(env, folder);
}

int main(int argc, char **argv)
{
    const uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) << 20;
    const uint64_t memory = (argc > 3 ? strtoull(argv[3], NULL, 10) : 256) << 20;
    const uint64_t keys = bytes / ROW;
    struct bench bench = {.entry = {.id = 0}};
    char folder[2048];
    double alone;

    if (keys < HOT) {
        fprintf(stderr, "usage: checkpoint_rocksdb [MIB >= 1 [FOLDER [MEMORY-MIB]]]\n");
        return 2;
    }
    if (sb_os_env_create(&env, &error) != SABOT_OK)
        fail("start");
    (void)snprintf(folder, sizeof folder, "%s/sabot-bench-%016llx", argc > 2 ? argv[2] : "/var/tmp",
                   (unsigned long long)sb_random(env));
    setvbuf(stdout, NULL, _IOLBF, 0);
    open_bench(&bench, folder, memory);
    for (uint64_t i = 0; i < keys; i++)
        update(bench.store, i);
    printf("%llu keys, %.0f MiB in RocksDB, memory %.0f MiB\n", (unsigned long long)keys,
           (double)bytes / 1048576, (double)memory / 1048576);
    measure(&bench, keys / HOT, -1); /* all that was made */
    alone = measure_alone(&bench, keys / HOT);
    for (uint32_t i = 0; i < CHECKPOINTS; i++)
        measure(&bench, keys / HOT, alone);
    measure_bytes(&bench, keys / 64);
    close_bench(&bench, folder);
    sb_os_env_destroy(env);
    return 0;
}
