/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - what snapshots of state in memory cost, each beside its limit, in one run.
 *
 *     build/bench/checkpoint [MiB of state, default 1024 [folder for files, default /var/tmp
 * [parts]]]
 *
 * The state is values of 112 bytes under keys of 8, in cells of 128. A thread of its own writes the
 * blocks, as the coordinator does; updates are uniform over all keys, as fast as they go. */
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sabot/sabot.h>

#include "measure.h"

#include "api/run.h"
#include "ckpt/pace.h"
#include "flow/carrier.h"
#include "flow/checkpoint.h"
#include "state/image.h"

enum {
    SLICE = 1024,
    SOME = 256, /* while an image is made */
    FEW = 32,   /* while many copies wait to be written */
    STEP_CHUNKS = 32,
    CELL = 128,
    BARRIERS = 1000,
    SLICES_MAX = 1 << 20,
    READ_BLOCK = 1 << 20,
    AHEAD = 16, /* of these, asked for */
    STAGES = 3,
    RECORDS = 3000000,
    PINGS = 2000,
};

struct value {
    int64_t number;
    char text[104];
};

static const sabot_field value_fields[] = {
    SABOT_FIELD(struct value, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct value, text, "text", SABOT_CHARS, SABOT_OPTIONAL),
};
static const sabot_schema value_table = SABOT_SCHEMA("value", 1, struct value, value_fields);

static struct sb_env *env;
static struct sb_schema *schema;
static sabot_error error;
static char path[4096];
static int64_t samples[SLICES_MAX];

static void fail(const char *what)
{
    fprintf(stderr, "bench/checkpoint: %s: %s\n", what, error.text);
    exit(1);
}

/* Of `samples`, which are sorted here. */
static double percentile_us(size_t count, double share)
{
    return percentile(samples, count, share);
}

/* --- The writer ---------------------------------------------------------------------------------
 */

struct writer {
    struct sb_carrier carrier;
    struct sb_waker *task;
    struct sb_waker *waker;
    struct sb_thread *thread;
    struct sb_file *file;
    _Atomic bool ended; /* no more blocks will come */
    uint64_t bytes;
    uint64_t chunks;
    struct sb_hasher hasher; /* of them, as a manifest names it */
    int64_t begun_ns;
    int64_t writing_ns;         /* how long writing has taken */
    _Atomic int64_t durable_ns; /* when it was */
};

static void open_file(struct writer *writer)
{
    (void)unlink(path);
    if (env->type->file_open(env->self, path, SB_OPEN_NEW, &writer->file, &error) != SABOT_OK)
        fail("open");
}

static struct sb_step write_blocks(void *context)
{
    struct writer *writer = context;
    const bool ended = atomic_load(&writer->ended);
    const int64_t begun = now_ns();
    struct sb_carried carried;

    if (writer->file == NULL)
        open_file(writer);
    while (sb_carrier_next(&writer->carrier, &carried)) {
        const struct sb_image_block *block = carried.block;

        sb_hasher_add(&writer->hasher, block, carried.size);
        if (env->type->file_write(writer->file, block, carried.size, -1, &error) != SABOT_OK)
            fail("write");
        writer->bytes += carried.size;
        writer->chunks += block->kind == SB_IMAGE_CHUNKS ? block->used : 0;
        sb_carrier_back(&writer->carrier, carried.block);
    }
    writer->writing_ns += now_ns() - begun;
    if (!ended)
        return sb_step_wait(INT64_MAX);
    const int64_t synced = now_ns();

    if (env->type->file_sync(writer->file, &error) != SABOT_OK)
        fail("sync");
    env->type->file_close(env->self, writer->file);
    writer->durable_ns = now_ns();
    writer->writing_ns += writer->durable_ns - synced;
    return sb_step_done();
}

static void *take(void *context, bool must)
{
    return sb_carrier_take(context, must ? SB_CARRIER_MAX : SB_CARRIER_COPIER);
}

static void give(void *context, void *block, uint32_t size)
{
    sb_carrier_give(context, block, size);
}

/* An image begins; its blocks go into the file. */
static void begin(struct writer *writer, struct sb_store *store, int64_t id, int64_t base)
{
    const struct sb_image_config config = {
        .id = id, .base = base, .sink = {take, give, &writer->carrier}};

    atomic_store(&writer->ended, false);
    writer->bytes = 0;
    writer->chunks = 0;
    writer->file = NULL;
    writer->durable_ns = 0;
    writer->writing_ns = 0;
    sb_hasher_init(&writer->hasher);
    if (env->type->spawn(env->self, "bench-writer", write_blocks, writer, writer->waker,
                         &writer->thread, &error) != SABOT_OK)
        fail("start");
    writer->begun_ns = now_ns();
    sb_store_image_begin(store, &config);
}

static bool step(struct writer *writer, struct sb_store *store, uint32_t chunks)
{
    if (sb_store_image_step(store, chunks) != SB_IMAGE_DONE)
        return false;
    if (sb_store_image_end(store, &error) != SABOT_OK)
        fail("image");
    atomic_store(&writer->ended, true);
    sb_wake(env, writer->waker);
    return true;
}

static void join(struct writer *writer)
{
    env->type->join(env->self, writer->thread);
}

static void open_writer(struct writer *writer, struct sb_store *store)
{
    memset(writer, 0, sizeof *writer);
    if (env->type->waker_create(env->self, &writer->task, &error) != SABOT_OK ||
        env->type->waker_create(env->self, &writer->waker, &error) != SABOT_OK ||
        sb_carrier_init(&writer->carrier, env, store, writer->task, writer->waker) != SABOT_OK)
        fail("writer");
}

static void close_writer(struct writer *writer)
{
    sb_carrier_reset(&writer->carrier);
    env->type->waker_destroy(env->self, writer->task);
    env->type->waker_destroy(env->self, writer->waker);
}

/* Nothing else happens meanwhile. */
static void take_image(struct writer *writer, struct sb_store *store, int64_t id, int64_t base)
{
    begin(writer, store, id, base);
    while (!step(writer, store, STEP_CHUNKS))
        if (sb_carrier_out(&writer->carrier) >= SB_CARRIER_COPIER)
            env->type->wait(env->self, writer->task, INT64_MAX);
    join(writer);
}

/* --- The state ----------------------------------------------------------------------------------
 */

static void update(struct sb_store *store, uint64_t key)
{
    const sabot_text text = {(const char *)&key, sizeof key};
    struct value *value;

    if (sb_store_begin(store, 0, &error) != SABOT_OK)
        fail("begin");
    value = sb_store_edit(store, 0, text, sb_hash(&key, sizeof key, 1), &error);
    if (value == NULL)
        fail("edit");
    value->number++;
}

static struct sb_store *create_store(uint64_t keys)
{
    const struct sb_state_spec state = {.name = "v", .kind = SB_STATE_VALUE, .schema = schema};
    const struct sb_store_config config = {
        .env = env, .owner = "bench", .states = &state, .state_count = 1, .hash_seed = 1};
    struct sb_store *store;

    if (sb_store_create(&config, &store, &error) != SABOT_OK)
        fail("store");
    for (uint64_t i = 0; i < keys; i++)
        update(store, i);
    return store;
}

static void slice(struct sb_store *store, uint64_t keys, uint32_t updates)
{
    for (uint32_t i = 0; i < updates; i++)
        update(store, draw() % keys);
}

/* --- Measurements -------------------------------------------------------------------------------
 */

/* What a barrier does at once: the epochs of all shards. Beside: a checkpoint's object is made. */
static void measure_barrier(struct writer *writer, struct sb_store *store, uint64_t keys)
{
    struct sb_checkpoint *checkpoint;
    double limit_us;

    for (uint32_t i = 0; i < BARRIERS; i++) {
        const int64_t begun = now_ns();

        if (sb_checkpoint_create(env, 1, 4, 2, &checkpoint, &error) != SABOT_OK)
            fail("checkpoint");
        samples[i] = now_ns() - begun;
        sb_checkpoint_destroy(checkpoint);
    }
    limit_us = percentile_us(BARRIERS, 0.5);
    for (uint32_t i = 0; i < BARRIERS; i++) {
        const struct sb_image_config config = {.id = 1000 + i,
                                               .sink = {take, give, &writer->carrier}};

        slice(store, keys, SLICE); /* other things are in the caches */
        const int64_t begun = now_ns();

        sb_store_image_begin(store, &config);
        samples[i] = now_ns() - begun;
        (void)!sb_store_image_end(store, NULL);
    }
    printf(
        "barrier, %.0f MiB of state: p50 %.2f us, p99 %.2f us (goal < 10); a checkpoint's object "
        "%.2f us\n",
        (double)keys * CELL / 1048576, percentile_us(BARRIERS, 0.5), percentile_us(BARRIERS, 0.99),
        limit_us);
}

/* Slices of updates, with an image being made and without. As in a task (flow/task.c) they are
 * smaller while copies wait for the writer; a pause is what one takes longer than as many do alone.
 */
static void measure_pause(struct writer *writer, struct sb_store *store, uint64_t keys)
{
    const uint32_t alone = 4000;
    double before_p50;
    double before_p99;
    uint32_t count = 0;
    bool done = false;
    int64_t stalled_ns = 0;
    int64_t copied_ns;

    for (uint32_t i = 0; i < alone; i++) {
        const int64_t begun = now_ns();

        slice(store, keys, SLICE);
        samples[i] = now_ns() - begun;
    }
    before_p50 = percentile_us(alone, 0.5);
    before_p99 = percentile_us(alone, 0.99);
    begin(writer, store, 1, 0);
    while (!done && count < SLICES_MAX) {
        const int64_t begun = now_ns();
        uint32_t updates;

        done = step(writer, store, STEP_CHUNKS);
        while (!done && sb_carrier_out(&writer->carrier) >= SB_CARRIER_STALL) {
            const int64_t stall = now_ns();

            env->type->wait(env->self, writer->task, INT64_MAX);
            stalled_ns += now_ns() - stall;
        }
        updates = sb_carrier_out(&writer->carrier) >= SB_CARRIER_STALL / 2 ? FEW : SOME;
        slice(store, keys, updates);
        samples[count++] = now_ns() - begun - (int64_t)(before_p50 * 1000) * updates / SLICE;
    }
    copied_ns = now_ns() - writer->begun_ns;
    join(writer);
    printf(
        "slices of %d updates: p50 %.0f us, p99 %.0f us; while %.0f MiB are snapshotted (%u "
        "slices, "
        "%.0f ms, %.0f ms of them stalled, durable after %.0f ms): pause p50 %.0f us, p99 %.0f us, "
        "max %.0f us (goal p99 < 1000)\n",
        SLICE, before_p50, before_p99, (double)writer->bytes / 1048576, count,
        (double)copied_ns / 1e6, (double)stalled_ns / 1e6,
        (double)(writer->durable_ns - writer->begun_ns) / 1e6, percentile_us(count, 0.5),
        percentile_us(count, 0.99), percentile_us(count, 1));
}

/* Of the next image, based on the last, after some updates. */
static void measure_changes(struct writer *writer, struct sb_store *store, uint64_t keys)
{
    int64_t id = 2;

    take_image(writer, store, id - 1, 0);
    for (uint64_t part = 10000; part >= 10; part /= 10) {
        const uint64_t updates = keys / part;

        for (uint64_t i = 0; i < updates; i++)
            update(store, draw() % keys);
        take_image(writer, store, id, id - 1);
        id++;
        printf("%llu updates: %llu chunks changed, written %.3f times (goal < 1.3)\n",
               (unsigned long long)updates, (unsigned long long)writer->chunks,
               (double)writer->bytes / ((double)writer->chunks * SB_CHUNK_SIZE));
    }
}

/* The same bytes, written and synced by a loop. */
static double plain_write_s(uint64_t bytes)
{
    static char block[SB_IMAGE_BLOCK_MAX];
    const int64_t begun = now_ns();
    struct sb_file *file;

    memset(block, 7, sizeof block);
    (void)unlink(path);
    if (env->type->file_open(env->self, path, SB_OPEN_NEW, &file, &error) != SABOT_OK)
        fail("open");
    for (uint64_t at = 0; at < bytes; at += sizeof block)
        if (env->type->file_write(file, block, sizeof block, -1, &error) != SABOT_OK)
            fail("write");
    if (env->type->file_sync(file, &error) != SABOT_OK)
        fail("sync");
    env->type->file_close(env->self, file);
    return (double)(now_ns() - begun) / 1e9;
}

static void measure_bandwidth(struct writer *writer, struct sb_store *store)
{
    double ratios[5];

    for (uint32_t i = 0; i < 5; i++) {
        double plain;
        double image;

        take_image(writer, store, 100 + i, 0);
        image = (double)(writer->durable_ns - writer->begun_ns) / 1e9;
        plain = plain_write_s(writer->bytes);
        ratios[i] = plain / image;
        printf("full snapshot: %.2f GB/s, plain write and fsync %.2f GB/s, ratio %.2f\n",
               (double)writer->bytes / image / 1e9, (double)writer->bytes / plain / 1e9, ratios[i]);
    }
    for (uint32_t i = 0; i < 5; i++)
        samples[i] = (int64_t)(ratios[i] * 1e6);
    printf("snapshot bandwidth: median ratio %.2f (goal >= 0.7)\n", percentile_us(5, 0.5) / 1000);
}

/* --- Restore ------------------------------------------------------------------------------------
 */

static void forget_pages(void)
{
    const int fd = open(path, O_RDONLY);

    if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        fail("fadvise");
    (void)close(fd);
}

/* All of it, into one block after the other of `into`, or into the same one. */
static uint64_t read_file(uint8_t *into, bool hash)
{
    static uint8_t block[READ_BLOCK];
    struct sb_hasher hasher;
    struct sb_file *file;
    uint64_t at = 0;
    size_t size;

    sb_hasher_init(&hasher);
    if (env->type->file_open(env->self, path, SB_OPEN_READ, &file, &error) != SABOT_OK)
        fail("open");
    if (hash)
        env->type->file_expect(file, 0, (size_t)AHEAD * READ_BLOCK);
    do {
        uint8_t *to = into == NULL ? block : into + at;

        if (hash)
            env->type->file_expect(file, (int64_t)at + (int64_t)AHEAD * READ_BLOCK, READ_BLOCK);
        if (env->type->file_read(file, to, READ_BLOCK, (int64_t)at, &size, &error) != SABOT_OK)
            fail("read");
        if (hash)
            sb_hasher_add(&hasher, to, size);
        at += size;
    } while (size == READ_BLOCK);
    env->type->file_close(env->self, file);
    return at + (sb_hasher_result(&hasher) == 0);
}

/* Into memory that was not used before, as a restore does. */
static double plain_read_s(uint64_t size)
{
    const size_t room = (size_t)(size + READ_BLOCK);
    const int64_t begun = now_ns();
    uint8_t *memory = env->type->allocate(env->self, room, 1 << 21);
    double seconds;

    if (memory == NULL)
        fail("memory");
    (void)read_file(memory, false);
    seconds = (double)(now_ns() - begun) / 1e9;
    env->type->release(env->self, memory, room);
    return seconds;
}

static sabot_status read_at(void *context, uint64_t at, void *buffer, size_t size, sabot_error *why)
{
    size_t got;

    return env->type->file_read(context, buffer, size, (int64_t)at, &got, why);
}

/* As a restart does: every byte is checked by a thread beside the one that reads into place. */
static struct sb_step check_bytes(void *context)
{
    (void)context;
    (void)read_file(NULL, true);
    return sb_step_done();
}

static void restore(uint64_t size)
{
    struct sb_store *store = create_store(0);
    struct sb_image_file from = {.name = path, .size = size, .read = read_at};
    struct sb_thread *thread;
    struct sb_waker *waker;
    struct sb_image *image;
    struct sb_file *file;

    if (env->type->waker_create(env->self, &waker, &error) != SABOT_OK ||
        env->type->spawn(env->self, "bench-verify", check_bytes, NULL, waker, &thread, &error) !=
            SABOT_OK)
        fail("thread");
    if (env->type->file_open(env->self, path, SB_OPEN_READ, &file, &error) != SABOT_OK)
        fail("open");
    from.context = file;
    if (sb_image_open(env, &from, 1, 0, &image, &error) != SABOT_OK)
        fail("image");
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++)
        if (sb_store_restore_image(store, image, shard, &error) != SABOT_OK)
            fail("restore");
    env->type->join(env->self, thread);
    env->type->waker_destroy(env->self, waker);
    sb_image_close(image);
    env->type->file_close(env->self, file);
    sb_store_destroy(store);
}

static void measure_restore(struct writer *writer, struct sb_store *store)
{
    for (int warm = 0; warm < 2; warm++) {
        double image = 0;

        take_image(writer, store, 200 + warm, 0);
        for (uint32_t i = 0; i < 3; i++) {
            int64_t begun;
            double plain;

            if (!warm)
                forget_pages();
            plain = plain_read_s(writer->bytes);
            if (!warm)
                forget_pages();
            begun = now_ns();
            restore(writer->bytes);
            image = (double)(now_ns() - begun) / 1e9;
            samples[i] = (int64_t)(plain / image * 1e6);
        }
        printf(
            "restore of %.0f MiB, %s: %.2f s the last time, median ratio to a plain read %.2f%s\n",
            (double)writer->bytes / 1048576, warm ? "from the page cache" : "from the disk", image,
            percentile_us(3, 0.5) / 1000, warm ? "" : " (goal >= 0.5)");
    }
}

/* --- Throughput ---------------------------------------------------------------------------------
 *
 * Updates of a stream that catches up: alone; with checkpoints; and, as the limit of that, beside a
 * thread that knows nothing of state and writes as many bytes from memory of its own into a file.
 * The next one begins after a second at the earliest, as ckpt/pace.h has it for such a stream. What
 * counts are whole cycles, from one beginning to the next. */

enum { PAIRS = 3, ALONE_S = 4, CYCLES = 1, INTERVAL_US = 1000000 };

/* When the next may begin, after one of which that is durable now. */
static int64_t next_ns(int64_t begun_ns, int64_t writing_ns)
{
    return sb_pace_next_us(begun_ns / 1000, now_ns() / 1000, INTERVAL_US, writing_ns / 1000) * 1000;
}

/* What updates have cost so far, while a checkpoint was under way and else. */
struct tally {
    uint64_t slices[2];
    int64_t took_ns[2];
    int64_t stalled_ns; /* waited for the writer */
};

static double rate(const struct tally *tally, uint32_t from, uint32_t to)
{
    double slices = 0;
    double took_ns = 1;

    for (uint32_t i = from; i <= to; i++) {
        slices += (double)tally->slices[i];
        took_ns += (double)tally->took_ns[i];
    }
    return slices * SLICE / took_ns * 1e9;
}

static struct tally update_alone(struct sb_store *store, uint64_t keys)
{
    const int64_t begun = now_ns();
    struct tally tally = {.stalled_ns = 0};

    while (tally.took_ns[0] < ALONE_S * INT64_C(1000000000)) {
        slice(store, keys, SLICE);
        tally.slices[0]++;
        tally.took_ns[0] = now_ns() - begun;
    }
    return tally;
}

/* A piece of the image, and a wait when too many copies are out. */
static bool work_on_image(struct writer *writer, struct sb_store *store, struct tally *tally)
{
    int64_t begun;

    if (step(writer, store, STEP_CHUNKS))
        return false;
    if (sb_carrier_out(&writer->carrier) < SB_CARRIER_STALL)
        return true;
    begun = now_ns();
    env->type->wait(env->self, writer->task, INT64_MAX);
    tally->stalled_ns += now_ns() - begun;
    return true;
}

static struct tally update_with_checkpoints(struct writer *writer,
                                            struct sb_store *store,
                                            uint64_t keys)
{
    static int64_t id = 1000;
    struct tally tally = {.stalled_ns = 0};
    int64_t now = now_ns();
    int64_t next = now;
    int64_t base = 0;
    bool making = false;
    bool writing = false;

    for (uint32_t begun = 0; begun < CYCLES || writing || now < next;) {
        const int64_t before = now;
        const bool was_writing = writing;

        if (!making && writing && writer->durable_ns != 0) {
            join(writer);
            writing = false;
            base = id;
            next = next_ns(writer->begun_ns, writer->writing_ns);
        }
        if (!writing && now >= next && begun < CYCLES) {
            begin(writer, store, ++id, base);
            making = true;
            writing = true;
            begun++;
        }
        if (making)
            making = work_on_image(writer, store, &tally);
        slice(store, keys, SLICE);
        now = now_ns();
        tally.slices[was_writing]++;
        tally.took_ns[was_writing] += now - before;
    }
    return tally;
}

/* The limit: bytes from memory to a file, at the same pace. */
struct plain {
    const uint8_t *memory;
    uint64_t size;
    _Atomic int64_t next_ns; /* when the cycle ends; 0: it writes */
};

static struct sb_step write_plainly(void *context)
{
    static char block[SB_IMAGE_BLOCK_MAX];
    struct plain *plain = context;
    const int64_t begun = now_ns();
    struct sb_file *file;

    (void)unlink(path);
    if (env->type->file_open(env->self, path, SB_OPEN_NEW, &file, &error) != SABOT_OK)
        fail("open");
    for (uint64_t at = 0; at + sizeof block <= plain->size; at += sizeof block) {
        memcpy(block, plain->memory + at, sizeof block);
        if (env->type->file_write(file, block, sizeof block, -1, &error) != SABOT_OK)
            fail("write");
    }
    if (env->type->file_sync(file, &error) != SABOT_OK)
        fail("sync");
    env->type->file_close(env->self, file);
    atomic_store(&plain->next_ns, next_ns(begun, now_ns() - begun));
    return sb_step_done();
}

static struct tally update_beside_plain(struct plain *plain,
                                        struct sb_waker *waker,
                                        struct sb_store *store,
                                        uint64_t keys)
{
    const int64_t begun = now_ns();
    struct tally tally = {.stalled_ns = 0};
    struct sb_thread *thread;

    atomic_store(&plain->next_ns, 0);
    if (env->type->spawn(env->self, "bench-plain", write_plainly, plain, waker, &thread, &error) !=
        SABOT_OK)
        fail("thread");
    while (atomic_load(&plain->next_ns) == 0 || now_ns() < atomic_load(&plain->next_ns)) {
        slice(store, keys, SLICE);
        tally.slices[0]++;
    }
    tally.took_ns[0] = now_ns() - begun;
    env->type->join(env->self, thread);
    return tally;
}

static void measure_throughput(struct writer *writer, struct sb_store *store, uint64_t keys)
{
    struct plain plain = {.size = keys * CELL};
    uint8_t *memory = env->type->allocate(env->self, plain.size, 1 << 21);
    struct sb_waker *waker;
    int64_t limits[PAIRS];

    if (memory == NULL || env->type->waker_create(env->self, &waker, &error) != SABOT_OK)
        fail("memory");
    memset(memory, 1, plain.size);
    plain.memory = memory;
    for (uint32_t i = 0; i < PAIRS; i++) {
        const struct tally alone = update_alone(store, keys);
        const struct tally with = update_with_checkpoints(writer, store, keys);
        const struct tally limit = update_beside_plain(&plain, waker, store, keys);
        const double without = rate(&alone, 0, 0);

        samples[i] = (int64_t)(rate(&with, 0, 1) / without * 1e6);
        limits[i] = (int64_t)(rate(&limit, 0, 0) / without * 1e6);
        printf("updates: %.2f M/s alone; %.2f M/s with a checkpoint each second: %.2f while one is "
               "under way (%.0f %% of the time, %.0f ms stalled), %.2f else; %.2f beside a thread "
               "that only copies "
               "and writes\n",
               without / 1e6, rate(&with, 0, 1) / 1e6, rate(&with, 1, 1) / 1e6,
               (double)with.took_ns[1] * 100 / (double)(with.took_ns[0] + with.took_ns[1]),
               (double)with.stalled_ns / 1e6, rate(&with, 0, 0) / 1e6, rate(&limit, 0, 0) / 1e6);
    }
    printf("throughput, %.0f MiB of state, all of it changing: median ratio %.2f (goal >= 0.95)",
           (double)plain.size / 1048576, percentile_us(PAIRS, 0.5) / 1000);
    memcpy(samples, limits, sizeof limits);
    printf("; of the limit %.2f\n", percentile_us(PAIRS, 0.5) / 1000);
    env->type->waker_destroy(env->self, waker);
    env->type->release(env->self, memory, plain.size);
}

/* --- A barrier through a running pipeline -------------------------------------------------------
 *
 * A source, three keyed agents one behind the other, an output; two threads, all exchanges between
 * them. The points where a test may end the process tell when things happen. */

struct item {
    int64_t id;
};

static const sabot_field item_fields[] = {
    SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema item_schema = SABOT_SCHEMA("item", 1, struct item, item_fields);

struct stage {
    sabot_value *seen;
    sabot_output *next;
};

static struct stage stages[STAGES];
static _Atomic int64_t begun_ns;   /* the barrier that is under way */
static _Atomic int64_t aligned_ns; /* when the last task so far had it from all sides */
static int64_t gathered[SLICES_MAX];
static size_t barriers;

static sabot_status pass(sabot_context *context, const void *record)
{
    const struct stage *stage = sabot_user(context);
    struct item *seen = sabot_value_edit(context, stage->seen);

    if (seen == NULL)
        return sabot_context_status(context);
    seen->id++;
    /* One in a thousand leaves: the output is not what is measured. */
    if (stage == &stages[STAGES - 1] && ((const struct item *)record)->id % 1000 != 0)
        return SABOT_OK;
    return sabot_emit(context, stage->next, record);
}

static sabot_status fill(sabot_source *source,
                         size_t records_max,
                         sabot_position *position,
                         void *user)
{
    int64_t id = 0;

    (void)user;
    if (position->size > 0)
        memcpy(&id, position->bytes, sizeof id);
    for (size_t i = 0; i < records_max && id < RECORDS; i++, id++)
        SABOT_TRY(sabot_source_emit(source, &(struct item){(id * 7919) % 100000}));
    memcpy(position->bytes, &id, sizeof id);
    position->size = sizeof id;
    return id == RECORDS ? SABOT_END : SABOT_OK;
}

static sabot_status build(sabot_app *app)
{
    sabot_channel *from = sabot_channel_open(app, "items", NULL, &item_schema);

    sabot_channel_source(from, fill, NULL);
    for (int i = 0; i < STAGES; i++) {
        char name[16];
        char next[16];
        sabot_agent *agent;

        (void)snprintf(name, sizeof name, "stage%d", i + 1);
        (void)snprintf(next, sizeof next, "after%d", i + 1);
        agent = sabot_agent_create(app, name, from, pass, &stages[i]);
        sabot_agent_key(agent, "id");
        stages[i].seen = sabot_agent_value(agent, "seen", &item_schema);
        from = sabot_channel_open(app, next, i + 1 < STAGES ? "memory:" : NULL, &item_schema);
        stages[i].next = sabot_agent_output(agent, from);
    }
    return sabot_app_status(app);
}

static const sabot_app_entry stages_app = {"SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry),
                                           "stages", build};

static void on_point(void *self, const char *label)
{
    const int64_t now = now_ns();
    int64_t last = atomic_load(&aligned_ns);

    (void)self;
    if (strcmp(label, "ckpt.barrier") == 0)
        atomic_store(&begun_ns, now);
    else if (strcmp(label, "task.before_snapshot") == 0)
        while (last < now && !atomic_compare_exchange_weak(&aligned_ns, &last, now)) {}
    else if (strcmp(label, "ckpt.gathered") == 0 && barriers < SLICES_MAX) {
        samples[barriers] = atomic_load(&aligned_ns) - atomic_load(&begun_ns);
        gathered[barriers++] = now - atomic_load(&begun_ns);
    }
}

struct ping {
    struct sb_waker *mine;
    struct sb_waker *other;
    _Atomic uint32_t *turn;
    uint32_t parity;
};

static struct sb_step play(void *context)
{
    const struct ping *ping = context;
    const uint32_t turn = atomic_load(ping->turn);

    if (turn >= PINGS) {
        sb_wake(env, ping->other);
        return sb_step_done();
    }
    if (turn % 2 != ping->parity)
        return sb_step_wait(INT64_MAX);
    atomic_store(ping->turn, turn + 1);
    sb_wake(env, ping->other);
    return sb_step_again();
}

/* From one thread that sleeps to another, one way. */
static double wake_us(void)
{
    _Atomic uint32_t turn = 0;
    struct ping pings[2] = {{.turn = &turn, .parity = 0}, {.turn = &turn, .parity = 1}};
    struct sb_thread *threads[2];
    int64_t begun;

    for (int i = 0; i < 2; i++)
        if (env->type->waker_create(env->self, &pings[i].mine, &error) != SABOT_OK)
            fail("waker");
    pings[0].other = pings[1].mine;
    pings[1].other = pings[0].mine;
    begun = now_ns();
    for (int i = 0; i < 2; i++)
        if (env->type->spawn(env->self, "bench-ping", play, &pings[i], pings[i].mine, &threads[i],
                             &error) != SABOT_OK)
            fail("thread");
    for (int i = 0; i < 2; i++)
        env->type->join(env->self, threads[i]);
    begun = now_ns() - begun;
    for (int i = 0; i < 2; i++)
        env->type->waker_destroy(env->self, pings[i].mine);
    return (double)begun / PINGS / 1000;
}

static int remove_one(const char *name, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(name);
}

static void set(sabot_config *config, const char *name, const char *value)
{
    if (sabot_config_set(config, SABOT_FROM_OPTION, name, value, &error) != SABOT_OK)
        fail(name);
}

static void measure_alignment(void)
{
    struct sb_env_type type = *env->type;
    struct sb_env watched = *env;
    sabot_config *config = sabot_config_create(NULL);
    char folder[4096 + 8];
    char url[4096 + 32];
    sabot_run *run;

    (void)snprintf(folder, sizeof folder, "%s.d", path);
    (void)snprintf(url, sizeof url, "file:%s.out", path);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    set(config, "state.dir", folder);
    set(config, "checkpoint.interval_ms", "5");
    set(config, "threads", "2");
    if (sabot_config_bind(config, "after3", url, &error) != SABOT_OK)
        fail("bind");
    type.crash_point = on_point;
    watched.type = &type;
    watched.log_level = SABOT_LOG_ERROR;
    if (sb_run_create(&watched, &stages_app, config, &run, &error) != SABOT_OK ||
        sabot_run_start(run, &error) != SABOT_OK || sabot_run_wait(run, -1, &error) != SABOT_END)
        fail("run");
    sabot_run_destroy(run);
    sabot_config_destroy(config);
    printf("barrier through %d stages under load, %zu times: aligned p50 %.0f us, p99 %.0f us",
           STAGES, barriers, percentile_us(barriers, 0.5), percentile_us(barriers, 0.99));
    memcpy(samples, gathered, barriers * sizeof *samples);
    printf("; images gathered p50 %.0f us, p99 %.0f us; %d wake-ups of a sleeping thread take %.0f "
           "us\n",
           percentile_us(barriers, 0.5), percentile_us(barriers, 0.99), STAGES + 2,
           (STAGES + 2) * wake_us());
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    (void)unlink(url + 5);
}

int main(int argc, char **argv)
{
    const uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1024) << 20;
    const uint64_t keys = bytes / CELL;
    const char *parts =
        argc > 3 ? argv[3] : "alignment,barrier,pause,changes,bandwidth,restore,throughput";
    struct writer writer;
    struct sb_store *store;

    (void)snprintf(path, sizeof path, "%s/sabot-bench-checkpoint", argc > 2 ? argv[2] : "/var/tmp");
    if (sb_os_env_create(&env, &error) != SABOT_OK ||
        sb_schema_create(env, &value_table, SB_SCHEMA_STATE, &schema, &error) != SABOT_OK)
        fail("start");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strstr(parts, "alignment") != NULL)
        measure_alignment();
    store = create_store(keys);
    open_writer(&writer, store);
    if (strstr(parts, "barrier") != NULL)
        measure_barrier(&writer, store, keys);
    if (strstr(parts, "pause") != NULL)
        measure_pause(&writer, store, keys);
    if (strstr(parts, "changes") != NULL)
        measure_changes(&writer, store, keys);
    if (strstr(parts, "bandwidth") != NULL)
        measure_bandwidth(&writer, store);
    if (strstr(parts, "restore") != NULL)
        measure_restore(&writer, store);
    if (strstr(parts, "throughput") != NULL)
        measure_throughput(&writer, store, keys);
    close_writer(&writer);
    sb_store_destroy(store);
    sb_schema_destroy(schema);
    sb_os_env_destroy(env);
    (void)unlink(path);
    return 0;
}
