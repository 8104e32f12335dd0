/* SPDX-License-Identifier: Apache-2.0 */
/* test_rocksdb_checkpoint.c - checkpoints of a database that two stores share, as files: what is
 * restored is what each had at its own barrier, whatever both have changed since; in chains, after
 * checkpoints that were given up, with states in memory beside, and by reading row by row. Damage
 * is found before RocksDB opens anything. The oracle is the model of state_suite.c. */
#include "state_rocksdb.h"
#include "test.h"

#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>

#include "ckpt/restore.h"
#include "ckpt/rows.h"
#include "state/image.h"
#include "state/rows.h"

#ifdef SB_HAVE_ROCKSDB

enum { STORES = 2, CHECKPOINTS = 8, CACHE = 3 << 20, MEMORY = 8 << 20, ROUNDS = 2, SAMPLES = 300 };

/* One of the stores, and what its checkpoint is made of. */
struct side {
    struct rig *rig;
    uint32_t node;
    struct state_backend backend;
    struct state_rig *state;
    struct state_rig *barrier; /* the model as it was there */
    bool done;
};

struct rig {
    struct sb_env *env;
    uint64_t random;
    char folder[256];
    char live[300];
    struct sb_rocksdb *db;
    struct side sides[STORES];
    struct sb_ckpt_folder checkpoints;
    struct sb_ckpt_writer writer;
    struct sb_ckpt_link links[SB_CHAIN_MAX];
    uint32_t link_count;
    struct sb_ckpt_known known;
    struct sb_ckpt_entry entry; /* of the last */
    int64_t base;
    int64_t next_id;
};

static struct sb_rocksdb *shared; /* that open_rows() takes */

static struct sb_rows *open_rows(struct sb_env *env)
{
    struct sb_rows *rows = NULL;
    sabot_error error = {.text = ""};

    (void)env;
    if (sb_rocksdb_rows(shared, &rows, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    return rows;
}

static void close_rows(struct sb_env *env, struct sb_rows *rows)
{
    (void)env;
    sb_rocksdb_rows_close(rows);
}

static uint32_t draw(struct rig *rig, uint32_t bound)
{
    rig->random = sb_hash_int64((int64_t)rig->random, 9);
    return (uint32_t)(rig->random % bound);
}

static void expect_ok(sabot_status status, const sabot_error *error)
{
    if (status != SABOT_OK)
        fail_msg("%s", error->text);
}

/* --- A rig ------------------------------------------------------------------------------------ */

static struct rig *make_rig(uint64_t seed)
{
    struct rig *rig = calloc(1, sizeof *rig);
    sabot_error error = {.text = ""};

    assert_non_null(rig);
    rig->random = seed;
    rig->next_id = 1;
    assert_int_equal(sb_os_env_create(&rig->env, NULL), SABOT_OK);
    rig->known.env = rig->env;
    assert_true(test_folder(rig->folder, sizeof rig->folder, "rocksdb"));
    snprintf(rig->live, sizeof rig->live, "%s/live", rig->folder);
    expect_ok(sb_rocksdb_open(rig->env, rig->live, MEMORY, &rig->db, &error), &error);
    expect_ok(sb_ckpt_folder_open(&rig->checkpoints, rig->env, rig->folder, "app", "pipe", &error),
              &error);
    shared = rig->db;
    for (uint32_t i = 0; i < STORES; i++) {
        struct side *side = &rig->sides[i];

        side->rig = rig;
        side->node = 5 + i;
        side->backend = (struct state_backend){.name = "rocksdb",
                                               .open = open_rows,
                                               .close = close_rows,
                                               .cache = CACHE,
                                               .operator_id = (uint16_t)i,
                                               .mixed = i > 0};
        side->state = state_rig_create(&side->backend, seed * STORES + i);
    }
    return rig;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void free_rig(struct rig *rig)
{
    for (uint32_t i = 0; i < STORES; i++)
        state_rig_destroy(rig->sides[i].state);
    sb_rocksdb_close(rig->db);
    sb_ckpt_known_reset(&rig->known);
    sb_ckpt_folder_close(&rig->checkpoints);
    sb_os_env_destroy(rig->env);
    assert_int_equal(nftw(rig->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(rig);
}

static void run_both(struct rig *rig, uint32_t operations)
{
    for (uint32_t i = 0; i < STORES; i++)
        state_rig_run(rig->sides[i].state, draw(rig, operations));
}

/* --- A checkpoint ----------------------------------------------------------------------------- */

static void *take_block(void *context, bool must)
{
    (void)context;
    (void)must;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void give_block(void *context, void *block, uint32_t size)
{
    struct rig *rig = ((struct side *)context)->rig;
    sabot_error error = {.text = ""};

    if (size > 0)
        expect_ok(sb_ckpt_append(&rig->writer, block, size, &error), &error);
    free(block);
}

static void begin(struct side *side, int64_t base)
{
    const struct sb_image_config config = {.node = side->node,
                                           .id = side->rig->next_id,
                                           .base = base,
                                           .sink = {take_block, give_block, side}};

    side->barrier = state_rig_copy(side->state);
    side->done = false;
    sb_store_image_begin(state_rig_store(side->state), &config);
}

/* A step of one side, and a few operations of another. False: all is done. */
static bool step_one(struct rig *rig)
{
    struct side *side = &rig->sides[draw(rig, STORES)];

    if (!side->done)
        side->done =
            sb_store_image_step(state_rig_store(side->state), 1 + draw(rig, 6)) == SB_IMAGE_DONE;
    state_rig_run(rig->sides[draw(rig, STORES)].state, draw(rig, 12));
    for (uint32_t i = 0; i < STORES; i++)
        if (!rig->sides[i].done)
            return true;
    return false;
}

/* What the manifest says of tasks is the least that a restore needs. */
static void describe(struct rig *rig, struct sb_manifest *manifest)
{
    sb_manifest_init(manifest, rig->env);
    manifest->app = "app";
    manifest->pipeline = "pipe";
    manifest->id = rig->writer.entry.id;
    manifest->nonce = rig->writer.entry.nonce;
}

static void go_on_from(struct rig *rig, const struct sb_manifest *manifest)
{
    rig->entry = rig->writer.entry;
    rig->base = manifest->id;
    rig->link_count = 0;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];
        struct sb_ckpt_link *link = &rig->links[rig->link_count];

        if (file->kind != SB_FILE_CHUNKS)
            continue;
        *link = (struct sb_ckpt_link){
            .entry = rig->entry, .size = file->size, .checksum = file->checksum};
        memcpy(link->name, file->name, strlen(file->name));
        rig->link_count++;
    }
    sb_ckpt_known_set(&rig->known, manifest);
}

static void stage_and_finish(struct rig *rig, struct sb_manifest *manifest, int64_t base)
{
    sabot_error error = {.text = ""};
    const char *staged;

    expect_ok(sb_rocksdb_stage(rig->db, &staged, &error), &error);
    for (uint32_t i = 0; i < STORES; i++)
        sb_store_thaw(state_rig_store(rig->sides[i].state));
    run_both(rig, 600); /* newer rows, while the files are taken */
    rig->writer.staged = staged;
    rig->writer.known = &rig->known;
    describe(rig, manifest);
    expect_ok(
        sb_ckpt_finish(&rig->writer, manifest, rig->links, base == 0 ? 0 : rig->link_count, &error),
        &error);
    sb_rocksdb_unstage(rig->db);
}

static void give_up(struct rig *rig)
{
    for (uint32_t i = 0; i < STORES; i++) {
        (void)!sb_store_image_end(state_rig_store(rig->sides[i].state), NULL);
        sb_store_thaw(state_rig_store(rig->sides[i].state));
        state_rig_drop(rig->sides[i].barrier);
    }
    sb_ckpt_abandon(&rig->writer);
    rig->next_id++;
}

/* False: it was given up. */
static bool checkpoint(struct rig *rig, struct sb_manifest *manifest)
{
    const struct sb_ckpt_entry entry = {rig->next_id, draw(rig, UINT32_MAX)};
    const int64_t base = draw(rig, 4) == 0 ? 0 : rig->base;
    const bool fails = draw(rig, 4) == 0;
    sabot_error error = {.text = ""};

    expect_ok(sb_ckpt_begin(&rig->writer, &rig->checkpoints, &entry, &error), &error);
    for (uint32_t i = 0; i < STORES; i++) {
        begin(&rig->sides[i], base);
        run_both(rig, 300); /* the others have not come to the barrier yet */
    }
    if (fails) {
        for (uint32_t i = draw(rig, 30); i > 0 && step_one(rig); i--)
            ;
        give_up(rig);
        return false;
    }
    while (step_one(rig))
        ;
    for (uint32_t i = 0; i < STORES; i++)
        expect_ok(sb_store_image_end(state_rig_store(rig->sides[i].state), &error), &error);
    run_both(rig, 1500);
    stage_and_finish(rig, manifest, base);
    go_on_from(rig, manifest);
    rig->next_id++;
    return true;
}

/* --- Restored --------------------------------------------------------------------------------- */

static void restore_shards(struct sb_store *store, struct sb_image *image)
{
    sabot_error error = {.text = ""};

    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++)
        expect_ok(sb_store_restore_image(store, image, shard, &error), &error);
}

/* It has what the model has, and goes on as it does. By a copy: what is read is refreshed. */
static void check_store(const struct side *side, struct sb_store *store)
{
    struct state_rig *copy = state_rig_copy(side->barrier);

    state_rig_attach(copy, store);
    state_rig_check(copy);
    state_rig_run(copy, 300);
    state_rig_check(copy);
    state_rig_drop(copy);
}

/* The files are gone on with, by both stores. */
static void check_adopted(struct rig *rig,
                          const struct sb_manifest *manifest,
                          struct sb_image *images[STORES])
{
    struct sb_store *stores[STORES];
    struct sb_rows *rows[STORES];
    sabot_error error = {.text = ""};
    struct sb_rocksdb *db;
    char folder[300];

    snprintf(folder, sizeof folder, "%s/adopted", rig->folder);
    expect_ok(rig->env->type->directory_create(rig->env->self, folder, &error), &error);
    expect_ok(sb_rocksdb_create(rig->env, folder, MEMORY, &db, &error), &error);
    expect_ok(sb_ckpt_put_rows(&rig->checkpoints, manifest, folder, &error), &error);
    expect_ok(sb_rocksdb_start(db, SB_ROCKSDB_ADOPT, &error), &error);
    for (uint32_t i = 0; i < STORES; i++) {
        expect_ok(sb_rocksdb_rows(db, &rows[i], &error), &error);
        stores[i] = state_rig_spare_on(rig->sides[i].barrier, rows[i]);
        assert_true(sb_store_fits(stores[i], images[i]));
        assert_true(sb_image_has_rows(images[i]));
    }
    for (uint32_t i = 0; i < STORES; i++) {
        sb_store_adopt_rows(stores[i]);
        restore_shards(stores[i], images[i]);
        check_store(&rig->sides[i], stores[i]);
    }
    for (uint32_t i = 0; i < STORES; i++) {
        sb_store_destroy(stores[i]);
        sb_rocksdb_rows_close(rows[i]);
    }
    sb_rocksdb_close(db);
    sb_folder_remove(rig->env, folder);
}

/* Row by row, into memory. */
static void check_converted(struct rig *rig,
                            const struct sb_manifest *manifest,
                            struct sb_image *images[STORES])
{
    struct sb_ckpt_reading reading;
    sabot_error error = {.text = ""};

    expect_ok(sb_ckpt_read_rows(&reading, &rig->checkpoints, manifest, &sb_rocksdb_reader, &error),
              &error);
    for (uint32_t i = 0; i < STORES; i++) {
        struct side *side = &rig->sides[i];
        struct sb_store *store = state_rig_spare(side->barrier);

        assert_false(sb_store_fits(store, images[i]));
        assert_int_equal(sb_store_restore_image(store, images[i], 0, &error), SABOT_ERR_CORRUPT);
        sb_image_set_rows(images[i], reading.rows);
        restore_shards(store, images[i]);
        check_store(side, store);
        sb_store_destroy(store);
    }
    sb_ckpt_end_reading(&reading);
}

static void check_checkpoint(struct rig *rig, const struct sb_manifest *manifest)
{
    struct sb_image *images[STORES];
    sabot_error error = {.text = ""};
    struct sb_chunks chunks;

    expect_ok(sb_ckpt_verify(&rig->checkpoints, manifest, &error), &error);
    expect_ok(sb_chunks_open(&chunks, &rig->checkpoints, manifest, &error), &error);
    for (uint32_t i = 0; i < STORES; i++)
        expect_ok(sb_image_open(rig->env, chunks.files, chunks.count, rig->sides[i].node,
                                &images[i], &error),
                  &error);
    check_converted(rig, manifest, images);
    for (uint32_t i = 0; i < STORES; i++)
        sb_image_set_rows(images[i], NULL);
    check_adopted(rig, manifest, images);
    for (uint32_t i = 0; i < STORES; i++) {
        sb_image_close(images[i]);
        state_rig_drop(rig->sides[i].barrier);
    }
    sb_chunks_close(&chunks);
}

static void files_hold_what_each_store_had_at_its_barrier(void **state)
{
    const uint32_t seeds = getenv("SABOT_LONG") == NULL ? ROUNDS : 100;
    uint32_t made = 0;

    (void)state;
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        struct rig *rig = make_rig(seed);

        while (rig->next_id <= CHECKPOINTS) {
            struct sb_ckpt_entry before = rig->entry;
            struct sb_manifest manifest;

            run_both(rig, 2500);
            if (!checkpoint(rig, &manifest))
                continue;
            check_checkpoint(rig, &manifest);
            sb_manifest_reset(&manifest);
            /* The older one goes; the newer is whole in itself. */
            if (before.id > 0)
                assert_int_equal(sb_ckpt_remove(&rig->checkpoints, &before, NULL), SABOT_OK);
            made++;
        }
        for (uint32_t i = 0; i < STORES; i++)
            state_rig_check(rig->sides[i].state);
        free_rig(rig);
    }
    assert_true(made >= seeds * 3);
}

/* --- What is written ---------------------------------------------------------------------------
 */

static struct sb_file_info info_of(struct rig *rig, const char *path)
{
    struct sb_file_info info;
    sabot_error error = {.text = ""};

    expect_ok(rig->env->type->path_info(rig->env->self, path, &info, &error), &error);
    return info;
}

static bool make_checkpoint(struct rig *rig, struct sb_manifest *manifest)
{
    bool made;

    do {
        made = checkpoint(rig, manifest);
    } while (!made);
    for (uint32_t i = 0; i < STORES; i++)
        state_rig_drop(rig->sides[i].barrier);
    return made;
}

/* A file that the checkpoint before had is neither copied nor read. */
static void a_file_that_was_there_is_the_same_and_is_not_read_again(void **state)
{
    struct rig *rig = make_rig(77);
    struct sb_manifest first;
    struct sb_manifest second;
    struct sb_ckpt_entry before;
    uint32_t same = 0;

    (void)state;
    run_both(rig, 5000);
    (void)make_checkpoint(rig, &first);
    before = rig->entry;
    /* Read again, it would have another checksum. */
    for (uint32_t i = 0; i < rig->known.count; i++)
        rig->known.files[i].checksum ^= 1;
    rig->random = 3; /* the next one comes about */
    (void)make_checkpoint(rig, &second);
    for (uint32_t i = 0; i < second.file_count; i++) {
        for (uint32_t at = 0; at < first.file_count; at++) {
            char path[SB_CKPT_PATH_MAX];
            uint64_t inode;

            if (strstr(second.files[i].name, ".sst") == NULL ||
                strcmp(second.files[i].name, first.files[at].name) != 0)
                continue;
            sb_ckpt_path(&rig->checkpoints, &before, first.files[at].name, path);
            inode = info_of(rig, path).inode;
            sb_ckpt_path(&rig->checkpoints, &rig->entry, second.files[i].name, path);
            assert_true(info_of(rig, path).inode == inode);
            assert_true(second.files[i].checksum == (first.files[at].checksum ^ 1));
            same++;
        }
    }
    assert_true(same > 0);
    sb_manifest_reset(&first);
    sb_manifest_reset(&second);
    free_rig(rig);
}

/* --- Failures ----------------------------------------------------------------------------------
 */

static struct rig *blocked;              /* whose staging is in the way of itself */
static const struct rlimit *stage_limit; /* of the size of files, when it is staged; NULL: none */

static void block_stage(void *self, const char *label)
{
    char path[320];

    (void)self;
    if (blocked == NULL || strcmp(label, "ckpt.rows_flushed") != 0)
        return;
    snprintf(path, sizeof path, "%s/staged", blocked->live);
    assert_int_equal(mkdir(path, 0700), 0);
}

/* All of them done, and the database not staged. */
static void fail_to_stage(struct rig *rig)
{
    const struct sb_ckpt_entry entry = {rig->next_id, 1};
    sabot_error error = {.text = ""};
    const char *staged;

    expect_ok(sb_ckpt_begin(&rig->writer, &rig->checkpoints, &entry, &error), &error);
    for (uint32_t i = 0; i < STORES; i++)
        begin(&rig->sides[i], 0);
    while (step_one(rig))
        ;
    for (uint32_t i = 0; i < STORES; i++)
        (void)!sb_store_image_end(state_rig_store(rig->sides[i].state), &error);
    run_both(rig, 500);
    if (stage_limit != NULL)
        assert_int_equal(setrlimit(RLIMIT_FSIZE, stage_limit), 0);
    assert_int_equal(sb_rocksdb_stage(rig->db, &staged, &error), SABOT_ERR_IO);
    assert_non_null(strstr(error.text, rig->live));
    sb_rocksdb_unstage(rig->db);
    give_up(rig);
}

static void a_database_that_is_not_staged_loses_nothing_and_the_next_checkpoint_works(void **state)
{
    struct rig *rig = make_rig(21);
    struct sb_env_type type = *rig->env->type;
    const struct sb_env_type *before = rig->env->type;
    struct sb_manifest manifest;

    (void)state;
    type.crash_point = block_stage;
    rig->env->type = &type;
    for (uint32_t i = 0; i < 3; i++) {
        run_both(rig, 2000);
        blocked = rig;
        fail_to_stage(rig);
        blocked = NULL;
        run_both(rig, 2000);
        while (!checkpoint(rig, &manifest))
            ;
        check_checkpoint(rig, &manifest);
        sb_manifest_reset(&manifest);
    }
    rig->env->type = before;
    free_rig(rig);
}

/* What RocksDB can't write into files stays in memory, and reads are right. */
static void a_database_that_is_not_written_fails_the_checkpoint_and_loses_nothing(void **state)
{
    struct rig *rig = make_rig(22);
    struct rlimit before;
    struct rlimit limit;

    (void)state;
    run_both(rig, 4000);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 4096;
    (void)signal(SIGXFSZ, SIG_IGN);
    stage_limit = &limit;
    fail_to_stage(rig);
    for (uint32_t side = 0; side < STORES; side++)
        state_rig_check(rig->sides[side].state);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    stage_limit = NULL;
    free_rig(rig);
}

/* --- Damage ------------------------------------------------------------------------------------
 */

struct bytes {
    uint8_t *data;
    size_t size;
};

static struct bytes read_whole(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct bytes bytes = {.size = 0};

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    bytes.size = (size_t)ftell(file);
    rewind(file);
    bytes.data = malloc(bytes.size + 1);
    assert_non_null(bytes.data);
    assert_int_equal(fread(bytes.data, 1, bytes.size, file), bytes.size);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static void write_whole(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_found(struct rig *rig, const struct sb_manifest *manifest, const char *name)
{
    sabot_error error = {.text = ""};

    assert_int_equal(sb_ckpt_verify(&rig->checkpoints, manifest, &error), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(error.text, name));
}

/* Every byte with one bit flipped, and cut behind it. */
static uint32_t damage_file(struct rig *rig, const struct sb_manifest *manifest, uint32_t index)
{
    const char *name = manifest->files[index].name;
    struct bytes bytes;
    char path[SB_CKPT_PATH_MAX];
    uint32_t cases = 0;
    uint32_t stride;

    sb_ckpt_path(&rig->checkpoints, &rig->entry, name, path);
    bytes = read_whole(path);
    stride = getenv("SABOT_LONG") == NULL ? 1 + (uint32_t)bytes.size / SAMPLES : 1;
    for (size_t i = draw(rig, stride); i < bytes.size; i += stride) {
        const uint8_t bit = (uint8_t)(1u << draw(rig, 8));

        bytes.data[i] ^= bit;
        write_whole(path, bytes.data, bytes.size);
        assert_found(rig, manifest, name);
        bytes.data[i] ^= bit;
        write_whole(path, bytes.data, i);
        assert_found(rig, manifest, name);
        cases += 2;
    }
    write_whole(path, bytes.data, bytes.size);
    free(bytes.data);
    return cases;
}

static void damage_is_found_with_the_name_of_the_file(void **state)
{
    struct rig *rig = make_rig(5);
    struct sb_manifest manifest;
    sabot_error error = {.text = ""};
    uint32_t cases = 0;
    uint32_t files = 0;

    (void)state;
    rig->random = 3;
    (void)make_checkpoint(rig, &manifest);
    for (uint32_t i = 0; i < manifest.file_count; i++) {
        if (manifest.files[i].kind != SB_FILE_ROWS)
            continue;
        cases += damage_file(rig, &manifest, i);
        files++;
    }
    expect_ok(sb_ckpt_verify(&rig->checkpoints, &manifest, &error), &error);
    print_message("%u files, %u cases\n", files, cases);
    assert_true(files >= 4);
    assert_true(cases > 800);
    sb_manifest_reset(&manifest);
    free_rig(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_hold_what_each_store_had_at_its_barrier),
        cmocka_unit_test(a_file_that_was_there_is_the_same_and_is_not_read_again),
        cmocka_unit_test(a_database_that_is_not_staged_loses_nothing_and_the_next_checkpoint_works),
        cmocka_unit_test(a_database_that_is_not_written_fails_the_checkpoint_and_loses_nothing),
        cmocka_unit_test(damage_is_found_with_the_name_of_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77;
}

#endif
