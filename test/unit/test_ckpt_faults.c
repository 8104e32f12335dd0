/* SPDX-License-Identifier: Apache-2.0 */
/* test_ckpt_faults.c - what is done with checkpoints and savepoints beside writing them: finding,
 * reading, copying, removing; each call on the disk fails in turn, and each allocation.
 *
 * What fails says which file, leaves no file open and no memory, and works when it is done again.
 */
#include "ckpt_kit.h"
#include "disk.h"

#include "ckpt/pace.h"
#include "ckpt/prune.h"
#include "ckpt/restore.h"
#include "ckpt/savepoint.h"

enum { STATE_SIZE = 700, CALLS_MAX = 200 };

#define NONCE 77

struct fixture {
    struct sb_env *os;
    struct kit_random random;
    struct disk disk;
    struct sb_ckpt_folder folder;
    struct sb_manifest manifest; /* of the checkpoint that is there */
    uint32_t attempt;            /* at what is tested, with this disk */
    sabot_error error;
};

static void power_on(struct fixture *f)
{
    disk_make(&f->disk, f->os);
    f->attempt = 0;
    sb_manifest_init(&f->manifest, &f->disk.env);
}

static void power_off(struct fixture *f)
{
    sb_manifest_reset(&f->manifest);
    sb_ckpt_folder_close(&f->folder);
    disk_free(&f->disk);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->os, NULL) != SABOT_OK)
        return -1;
    f->random = kit_random_start(f->os);
    power_on(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    power_off(f);
    sb_os_env_destroy(f->os);
    free(f);
    return 0;
}

#define WELL(call)                         \
    do {                                   \
        if ((call) != SABOT_OK)            \
            fail_msg("%s", f->error.text); \
    } while (0)

/* --- What is there at first ------------------------------------------------------------------- */

static void write_state(struct fixture *f, const struct sb_ckpt_folder *folder, int64_t id)
{
    char bytes[STATE_SIZE];
    const sabot_text part = {bytes, sizeof bytes};

    memset(bytes, (int)id, sizeof bytes);
    sb_manifest_reset(&f->manifest);
    ckpt_kit_manifest(&f->manifest, &f->disk.env, &f->random, 2, sizeof bytes);
    f->manifest.id = id;
    f->manifest.nonce = NONCE;
    WELL(ckpt_kit_write(folder, &f->manifest, SB_FILE_CHUNKS, part, &f->error));
}

static void not_even_folders(struct fixture *f)
{
    (void)f;
}

static void nothing(struct fixture *f)
{
    WELL(sb_ckpt_folder_open(&f->folder, &f->disk.env, "/dir", "app", "pipe", &f->error));
}

static void one_checkpoint(struct fixture *f)
{
    nothing(f);
    write_state(f, &f->folder, 1);
}

static void three_checkpoints(struct fixture *f)
{
    one_checkpoint(f);
    write_state(f, &f->folder, 2);
    write_state(f, &f->folder, 3);
}

static struct sb_savepoint savepoint_of(struct fixture *f,
                                        const char *path,
                                        struct sb_savepoint_pipeline *pipeline)
{
    *pipeline = (struct sb_savepoint_pipeline){
        .name = "pipe",
        .entry = {f->manifest.id, f->manifest.nonce},
        .checksum = f->manifest.checksum,
    };
    return (struct sb_savepoint){
        .env = &f->disk.env,
        .path = path,
        .app = "app",
        .time_ms = 1764101974000,
        .pipeline_count = 1,
        .pipelines = pipeline,
    };
}

static void a_savepoint(struct fixture *f)
{
    struct sb_savepoint_pipeline pipeline;
    struct sb_savepoint savepoint;
    struct sb_ckpt_folder folder;

    nothing(f);
    WELL(sb_savepoint_begin(&f->disk.env, "/saved", &f->error));
    WELL(sb_ckpt_folder_open(&folder, &f->disk.env, "/saved", "app", "pipe", &f->error));
    write_state(f, &folder, 42);
    savepoint = savepoint_of(f, "/saved", &pipeline);
    WELL(sb_savepoint_seal(&savepoint, &f->error));
    sb_ckpt_folder_close(&folder);
}

/* --- What is done ----------------------------------------------------------------------------- */

/* Find the newest; *id_out 0: there is none. */
static sabot_status find_id(struct fixture *f, int64_t *id_out)
{
    struct sb_restore restore;
    sabot_status status;

    sb_restore_init(&restore, &f->disk.env, &f->folder);
    status = sb_restore_find(&restore, &f->error);
    *id_out = restore.found ? restore.manifest.id : 0;
    sb_restore_reset(&restore);
    return status;
}

static sabot_status find_newest(struct fixture *f)
{
    int64_t id;

    SABOT_TRY(find_id(f, &id));
    assert_int_equal(id, 3);
    return SABOT_OK;
}

static sabot_status find_named(struct fixture *f)
{
    const struct sb_commit_mark mark = {
        .id = 3, .nonce = NONCE, .checksum = f->manifest.checksum, .owner = 1};
    struct sb_restore restore;
    sabot_status status;

    sb_restore_init(&restore, &f->disk.env, &f->folder);
    status = sb_restore_find_named(&restore, &mark, &f->error);
    assert_int_equal(restore.found, status == SABOT_OK);
    sb_restore_reset(&restore);
    return status;
}

static sabot_status find_none(struct fixture *f)
{
    const struct sb_restore restore = {.env = &f->disk.env, .folder = &f->folder};

    return sb_restore_find_none(&restore, &f->error);
}

static sabot_status note_commit(struct fixture *f)
{
    bool had = false;

    SABOT_TRY(sb_ckpt_note_commit(&f->folder, &f->error));
    SABOT_TRY(sb_ckpt_had_commit(&f->folder, &had, &f->error));
    assert_true(had);
    return SABOT_OK;
}

static sabot_status open_folder(struct fixture *f)
{
    sb_ckpt_folder_close(&f->folder);
    return sb_ckpt_folder_open(&f->folder, &f->disk.env, "/dir", "app", "pipe", &f->error);
}

static sabot_status take_over(struct fixture *f)
{
    SABOT_TRY(sb_ckpt_take_owner(&f->folder, 5, &f->error));
    return sb_ckpt_check_owner(&f->folder, 5, &f->error);
}

/* Under another id, as a restored savepoint is. */
static sabot_status copy(struct fixture *f)
{
    struct sb_manifest copied = f->manifest;

    copied.id = 4;
    copied.nonce = 1000 + f->attempt++;
    sb_arena_init(&copied.arena, &f->disk.env);
    const sabot_status status =
        sb_ckpt_copy(&f->folder, &copied, &f->folder, &f->manifest, &f->error);
    sb_arena_reset(&copied.arena);
    return status;
}

static sabot_status save(struct fixture *f)
{
    struct sb_savepoint_pipeline pipeline;
    struct sb_savepoint savepoint;
    char path[32];

    (void)snprintf(path, sizeof path, "/saved%u", (unsigned)f->attempt++);
    savepoint = savepoint_of(f, path, &pipeline);
    SABOT_TRY(sb_savepoint_begin(&f->disk.env, path, &f->error));
    return sb_savepoint_seal(&savepoint, &f->error);
}

static sabot_status read_savepoint(struct fixture *f)
{
    struct sb_savepoint savepoint;
    struct sb_manifest manifest;
    sabot_status status = sb_savepoint_open(&savepoint, &f->disk.env, "/saved", &f->error);

    sb_manifest_init(&manifest, &f->disk.env);
    if (status == SABOT_OK)
        status = sb_savepoint_read(&savepoint, &savepoint.pipelines[0], &manifest, &f->error);
    sb_manifest_reset(&manifest);
    sb_savepoint_close(&savepoint);
    return status;
}

static sabot_status remove_savepoint(struct fixture *f)
{
    struct sb_savepoint savepoint;
    sabot_status status = sb_savepoint_open(&savepoint, &f->disk.env, "/saved", &f->error);

    if (status == SABOT_OK)
        status = sb_savepoint_remove(&savepoint, &f->error);
    sb_savepoint_close(&savepoint);
    return status;
}

/* --- Each call -------------------------------------------------------------------------------- */

typedef sabot_status (*what)(struct fixture *f);
typedef void (*before)(struct fixture *f);

/* The error that a call made is an error of a file. */
static void check_error(const struct fixture *f, sabot_status status)
{
    assert_int_not_equal(status, SABOT_OK);
    assert_int_equal(status, f->error.status);
    if (strchr(f->error.text, '/') == NULL)
        fail_msg("\"%s\" doesn't name the file", f->error.text);
}

static void fail_each_call(struct fixture *f, before prepare, what work)
{
    uint64_t n;

    for (n = 1;; n++) {
        prepare(f);
        f->disk.fault = n % 2 == 0 ? DISK_EIO : DISK_ENOSPC;
        f->disk.fail_at = f->disk.calls + n;
        const sabot_status status = work(f);
        const bool failed = f->disk.failed;

        f->disk.fail_at = 0;
        assert_int_equal(f->disk.open_files, 0);
        if (failed)
            check_error(f, status);
        else
            WELL(status);
        if (failed && work != remove_savepoint)
            WELL(work(f));
        power_off(f);
        power_on(f);
        if (!failed)
            break;
        assert_true(n < CALLS_MAX);
    }
    assert_true(n > 1);
}

static void fail_each_allocation(struct fixture *f, before prepare, what work)
{
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        prepare(f);
        sb_os_env_fail_allocation(f->os, n);
        status = work(f);
        sb_os_env_fail_allocation(f->os, 0);
        assert_int_equal(f->disk.open_files, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_non_null(strstr(f->error.text, "no memory"));
            if (work != remove_savepoint)
                WELL(work(f));
        }
        power_off(f);
        power_on(f);
        assert_true(n < CALLS_MAX);
    }
    assert_true(n > 2);
}

static void whatever_fails_says_which_file_and_works_when_done_again(void **state)
{
    struct fixture *f = *state;

    fail_each_call(f, not_even_folders, open_folder);
    fail_each_call(f, nothing, take_over);
    fail_each_call(f, nothing, note_commit);
    fail_each_call(f, nothing, find_none);
    fail_each_call(f, nothing, save);
    fail_each_call(f, three_checkpoints, find_newest);
    fail_each_call(f, three_checkpoints, find_named);
    fail_each_call(f, one_checkpoint, copy);
    fail_each_call(f, a_savepoint, read_savepoint);
    fail_each_call(f, a_savepoint, remove_savepoint);
}

static void memory_that_runs_out_is_said_and_it_works_when_done_again(void **state)
{
    struct fixture *f = *state;

    fail_each_allocation(f, not_even_folders, open_folder);
    fail_each_allocation(f, nothing, save);
    fail_each_allocation(f, three_checkpoints, find_newest);
    fail_each_allocation(f, three_checkpoints, find_named);
    fail_each_allocation(f, one_checkpoint, copy);
    fail_each_allocation(f, a_savepoint, read_savepoint);
    fail_each_allocation(f, a_savepoint, remove_savepoint);
}

static void a_copy_that_fails_is_none(void **state)
{
    struct fixture *f = *state;
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        int64_t id;

        one_checkpoint(f);
        f->disk.fail_at = f->disk.calls + n;
        const sabot_status status = copy(f);
        failed = f->disk.failed;
        f->disk.fail_at = 0;
        WELL(find_id(f, &id));
        assert_true(id == (status == SABOT_OK ? 4 : 1));
        power_off(f);
        power_on(f);
    }
}

static void a_checkpoint_that_has_changed_is_not_copied(void **state)
{
    struct fixture *f = *state;
    char path[128];
    uint8_t *bytes;
    size_t size;
    int64_t id;

    one_checkpoint(f);
    (void)snprintf(path, sizeof path, "/dir/app/pipe/ckpt-%016x-%016x/chunks", 1, NONCE);
    bytes = disk_bytes(&f->disk, path, &size);
    assert_non_null(bytes);
    bytes[size / 2] ^= 1;
    assert_int_equal(copy(f), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "chunks: bytes have changed"));
    disk_put(&f->disk, path, bytes, size - 1);
    assert_int_equal(copy(f), SABOT_ERR_CORRUPT);
    /* And the damage is found by who looks for the newest. */
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "it has 699 bytes, and the manifest says 700"));
    assert_non_null(strstr(f->error.text, "--reset"));
}

/* --- Checkpoints that are not what their place says ------------------------------------------- */

static void move_to(struct fixture *f, const char *path)
{
    char from[128];

    (void)snprintf(from, sizeof from, "/dir/app/pipe/ckpt-%016x-%016x", 1, NONCE);
    WELL(f->disk.type.path_rename(&f->disk, from, path, &f->error));
}

static void a_checkpoint_in_the_place_of_another_is_refused(void **state)
{
    struct fixture *f = *state;
    int64_t id;

    one_checkpoint(f);
    move_to(f, "/dir/app/pipe/ckpt-0000000000000002-000000000000004d");
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "it is of checkpoint 1, nonce 000000000000004d"));
    power_off(f);
    power_on(f);
    one_checkpoint(f);
    move_to(f, "/dir/app/pipe/ckpt-0000000000000001-000000000000004e");
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "it was moved here"));
    power_off(f);
    power_on(f);
    one_checkpoint(f);
    f->folder.pipeline = "pump";
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    assert_non_null(
        strstr(f->error.text, "it belongs to pipeline pipe of app app, not to pump of"));
    f->folder.pipeline = "pipe";
    f->folder.app = "apple";
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    f->folder.app = "app";
    assert_int_equal(find_id(f, &id), SABOT_OK);
    assert_int_equal(id, 1);
}

static void names_that_are_no_checkpoints_are_passed_over(void **state)
{
    static const char *const names[] = {
        "ckpt-0000000000000001-000000000000004",   /* short */
        "ckpt-0000000000000001-000000000000004dd", /* long */
        "kept-0000000000000001-000000000000004d",  /* another word */
        "ckpt-0000000000000001_000000000000004d",  /* another sign */
        "ckpt-0000000000000001-000000000000004D",  /* not as we write it */
        "ckpt-0000000000000000-000000000000004d",  /* no id */
        "ckpt-8000000000000001-000000000000004d",  /* a negative one */
        "ckpt-00000000000000 1-000000000000004d",
    };
    struct fixture *f = *state;
    int64_t id;

    nothing(f);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];

        (void)snprintf(path, sizeof path, "/dir/app/pipe/%s", names[i]);
        WELL(f->disk.type.directory_create(&f->disk, path, &f->error));
    }
    WELL(find_id(f, &id));
    assert_int_equal(id, 0);
}

static sabot_status many_names(void *self,
                               const char *path,
                               sb_list_function each,
                               void *context,
                               sabot_error *error)
{
    (void)self;
    (void)path;
    (void)error;
    for (int i = 1; i <= SB_CKPT_LISTED_MAX + 1; i++) {
        char name[64];

        (void)snprintf(name, sizeof name, "ckpt-%016x-%016x", i, NONCE);
        SABOT_TRY(each(context, name));
    }
    return SABOT_OK;
}

static void more_checkpoints_than_can_be_listed_are_an_error(void **state)
{
    struct fixture *f = *state;
    int64_t id;

    nothing(f);
    f->disk.type.directory_list = many_names;
    assert_int_equal(find_id(f, &id), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "more than 4096 checkpoints: remove some by hand"));
}

static sabot_status huge_file(struct sb_file *file,
                              struct sb_file_info *info_out,
                              sabot_error *error)
{
    (void)file;
    (void)error;
    *info_out = (struct sb_file_info){.kind = SB_FILE_REGULAR, .size = UINT64_C(1) << 40};
    return SABOT_OK;
}

static void a_manifest_of_a_terabyte_is_not_read(void **state)
{
    struct fixture *f = *state;
    int64_t id;

    one_checkpoint(f);
    f->disk.type.file_info = huge_file;
    assert_int_equal(find_id(f, &id), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "manifest: 1099511627776 bytes are too many"));
}

static void a_state_directory_in_a_folder_that_cant_be_synced_is_taken_as_it_is(void **state)
{
    struct fixture *f = *state;

    nothing(f);
    f->disk.fail_at = f->disk.calls + 2; /* behind the one that finds it there */
    WELL(open_folder(f));
    assert_true(f->disk.failed);
}

static void a_path_that_is_too_long_is_refused_before_anything_is_made(void **state)
{
    struct fixture *f = *state;
    struct sb_savepoint savepoint;
    struct sb_ckpt_folder folder;
    char path[SB_CKPT_PATH_MAX];

    nothing(f);
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 100] = '\0';
    assert_int_equal(sb_ckpt_folder_open(&folder, &f->disk.env, path, "app", "pipe", &f->error),
                     SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "the path is too long"));
    assert_int_equal(sb_savepoint_begin(&f->disk.env, path, &f->error), SABOT_ERR_LIMIT);
    assert_int_equal(sb_savepoint_open(&savepoint, &f->disk.env, path, &f->error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "the path is too long"));
    sb_savepoint_close(&savepoint);
}

/* --- Offsets that name what is not there ------------------------------------------------------ */

static sabot_status find_mark(struct fixture *f, const struct sb_commit_mark *mark)
{
    struct sb_restore restore;
    sabot_status status;

    sb_restore_init(&restore, &f->disk.env, &f->folder);
    status = sb_restore_find_named(&restore, mark, &f->error);
    assert_int_equal(restore.found, status == SABOT_OK);
    sb_restore_reset(&restore);
    sb_restore_reset(&restore); /* twice is once */
    return status;
}

static void offsets_that_name_what_is_not_there_are_refused_with_the_choices(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;

    one_checkpoint(f);
    mark = (struct sb_commit_mark){.id = 1, .nonce = NONCE, .checksum = f->manifest.checksum};
    WELL(find_mark(f, &mark));
    mark.checksum++;
    assert_int_equal(find_mark(f, &mark), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "its manifest was replaced"));
    mark.nonce++;
    assert_int_equal(find_mark(f, &mark), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "name checkpoint 1, nonce 000000000000004e"));
    assert_non_null(strstr(f->error.text, "--from-offsets"));
    assert_non_null(strstr(f->error.text, "--reset"));
}

static void committed_checkpoints_without_committed_offsets_are_refused(void **state)
{
    struct fixture *f = *state;

    one_checkpoint(f);
    WELL(find_none(f));
    WELL(note_commit(f));
    assert_int_equal(find_none(f), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "they have expired or were deleted"));
}

/* --- Removing --------------------------------------------------------------------------------- */

static uint32_t count(struct fixture *f)
{
    struct sb_ckpt_entry *entries;
    uint32_t found;

    WELL(sb_ckpt_list(&f->folder, &entries, &found, &f->error));
    sb_free_array(&f->disk.env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    return found;
}

/* What can't be removed now is removed with the next one. */
static void pruning_that_fails_is_made_up_for(void **state)
{
    struct fixture *f = *state;
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        const struct sb_ckpt_entry none = {0, 0};
        struct sb_ckpt_entry done = {3, NONCE};
        struct sb_prune prune;
        int64_t id;

        three_checkpoints(f);
        WELL(sb_prune_init(&prune, &f->folder, &none, 1, &f->error));
        f->disk.fail_at = f->disk.calls + n;
        sb_prune_look(&prune);
        sb_prune(&prune, &done);
        failed = f->disk.failed;
        f->disk.fail_at = 0;
        WELL(find_id(f, &id));
        assert_int_equal(id, 3);
        write_state(f, &f->folder, 4);
        done.id = 4;
        sb_prune_look(&prune);
        sb_prune(&prune, &done);
        assert_int_equal(count(f), 1);
        sb_prune_reset(&prune);
        sb_prune_reset(&prune); /* twice is once */
        power_off(f);
        power_on(f);
        assert_true(n < CALLS_MAX);
    }
    nothing(f);
    for (uint64_t n = 1; n <= 2; n++) {
        const struct sb_ckpt_entry none = {0, 0};
        struct sb_prune prune;

        sb_os_env_fail_allocation(f->os, n);
        const sabot_status status = sb_prune_init(&prune, &f->folder, &none, 2, &f->error);
        sb_os_env_fail_allocation(f->os, 0);
        assert_int_equal(status, n == 1 ? SABOT_ERR_MEMORY : SABOT_OK);
        sb_prune_reset(&prune);
    }
}

static void of_those_that_are_kept_only_checkpoints_count(void **state)
{
    struct fixture *f = *state;
    const struct sb_ckpt_entry restored = {1, NONCE};
    const struct sb_ckpt_entry done = {3, NONCE};
    struct sb_prune prune;
    int64_t id;

    three_checkpoints(f);
    /* 2 is of nobody's line, and a third beside it has no manifest. */
    WELL(f->disk.type.directory_create(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000001-0000000000000001", &f->error));
    WELL(sb_prune_init(&prune, &f->folder, &restored, 2, &f->error));
    sb_prune_look(&prune);
    sb_prune(&prune, &done);
    assert_int_equal(count(f), 2); /* 3, and 1, which was restored */
    WELL(find_id(f, &id));
    assert_int_equal(id, 3);
    sb_prune_reset(&prune);
}

static void a_folder_with_somebody_elses_file_stays_and_is_named(void **state)
{
    struct fixture *f = *state;
    const struct sb_ckpt_entry entry = {1, NONCE};
    int64_t id;

    one_checkpoint(f);
    disk_put(&f->disk, "/dir/app/pipe/ckpt-0000000000000001-000000000000004d/notes", "x", 1);
    assert_int_equal(sb_ckpt_remove(&f->folder, &entry, &f->error), SABOT_ERR_IO);
    assert_non_null(strstr(f->error.text, "004d: cannot be removed as a whole"));
    assert_false(sb_ckpt_exists(&f->folder, &entry));
    WELL(find_id(f, &id));
    assert_int_equal(id, 0);
}

/* --- Heads of savepoints ---------------------------------------------------------------------- */

static sabot_status read_head(struct fixture *f, const char *text)
{
    disk_put(&f->disk, "/saved/savepoint", text, strlen(text));
    return read_savepoint(f);
}

#define HEAD "sabot savepoint 1\napp app\ntime 1\n"

static void heads_that_no_sabot_has_written_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "sabot savepoint 1\n",
        "sabot savepoint 0\napp app\n",
        "sabot savepoint 1\napp",
        "sabot savepoint 1\napp \n",
        "sabot savepoint 1\napp a/b\n",
        "sabot savepoint 1\napp app\n",
        "sabot savepoint 1\napp app\ntime ",
        "sabot savepoint 1\napp app\ntime 1",
        HEAD,
        HEAD "pipeline ",
        HEAD "pipeline pipe ",
        HEAD "pipeline pipe 1 ",
        HEAD "pipeline pipe 1 2 ",
        HEAD "pipeline pipe 1 2 3",
        HEAD "pipeline pipe 0 2 3\n",
        HEAD "pipeline a/b 1 2 3\n",
        HEAD "pipeline .. 1 2 3\n",
        HEAD "pipeline pipe 1 2 3\n",
        HEAD "pipeline pipe 1 2 3\nend 0\n",
        HEAD "pipeline pipe 1 0000000000000002 0000000000000003\n"
             "end 0000000000000000\n",
        "sabot savepoint 10",
    };
    struct fixture *f = *state;

    a_savepoint(f);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (read_head(f, texts[i]) == SABOT_OK)
            fail_msg("accepted: \"%s\"", texts[i]);
        assert_non_null(strstr(f->error.text, "/saved/savepoint: bytes have changed"));
    }
    assert_int_equal(read_head(f, "sabot savepoint 2\nwhatever\n"), SABOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(f->error.text, "a newer format: use the Sabot that wrote it"));
}

static void a_head_of_too_many_pipelines_or_bytes_is_refused(void **state)
{
    struct fixture *f = *state;
    char *text = calloc(1, SB_SAVEPOINT_HEAD_MAX + 2);
    size_t size;

    assert_non_null(text);
    a_savepoint(f);
    size = (size_t)snprintf(text, 64, "%s", HEAD);
    for (int i = 0; i <= SB_SAVEPOINT_PIPELINES_MAX; i++)
        size += (size_t)snprintf(text + size, 96, "pipeline p%d 1 %016x %016x\n", i, 2, 3);
    assert_int_equal(read_head(f, text), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "bytes have changed"));
    memset(text + size, 'x', SB_SAVEPOINT_HEAD_MAX + 1 - size);
    assert_int_equal(read_head(f, text), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "it is too long"));
    free(text);
}

static void a_savepoint_has_the_pipelines_that_its_head_names(void **state)
{
    struct fixture *f = *state;
    struct sb_savepoint savepoint;

    a_savepoint(f);
    WELL(sb_savepoint_open(&savepoint, &f->disk.env, "/saved", &f->error));
    assert_ptr_equal(sb_savepoint_find(&savepoint, "pipe"), &savepoint.pipelines[0]);
    assert_null(sb_savepoint_find(&savepoint, "pump"));
    sb_savepoint_close(&savepoint);
    sb_savepoint_close(&savepoint); /* twice is once */
}

static void a_savepoint_whose_manifest_was_replaced_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_savepoint_pipeline pipeline;
    struct sb_savepoint savepoint;

    a_savepoint(f);
    f->manifest.checksum++;
    savepoint = savepoint_of(f, "/saved", &pipeline);
    WELL(f->disk.type.path_remove(&f->disk, "/saved/savepoint", &f->error));
    WELL(sb_savepoint_seal(&savepoint, &f->error));
    assert_int_equal(read_savepoint(f), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(f->error.text, "savepoint /saved: the manifest of pipeline pipe was "
                                          "replaced"));
}

/* --- The hint of slow commits ----------------------------------------------------------------- */

static void a_hint_that_cant_be_read_or_written_is_none(void **state)
{
    struct fixture *f = *state;
    bool failed = true;

    for (uint64_t n = 1; failed; n++) {
        nothing(f);
        f->disk.fail_at = f->disk.calls + n;
        sb_pace_note_ms(&f->folder, 12345);
        const int64_t read_ms = sb_pace_read_ms(&f->folder);
        failed = f->disk.failed;
        f->disk.fail_at = 0;
        assert_int_equal(f->disk.open_files, 0);
        assert_true(read_ms == 12345 || (failed && read_ms == 0));
        sb_pace_note_ms(&f->folder, 23456);
        assert_int_equal(sb_pace_read_ms(&f->folder), 23456);
        power_off(f);
        power_on(f);
        assert_true(n < CALLS_MAX);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whatever_fails_says_which_file_and_works_when_done_again),
        TEST(memory_that_runs_out_is_said_and_it_works_when_done_again),
        TEST(a_copy_that_fails_is_none),
        TEST(a_checkpoint_that_has_changed_is_not_copied),
        TEST(a_checkpoint_in_the_place_of_another_is_refused),
        TEST(names_that_are_no_checkpoints_are_passed_over),
        TEST(more_checkpoints_than_can_be_listed_are_an_error),
        TEST(a_manifest_of_a_terabyte_is_not_read),
        TEST(a_state_directory_in_a_folder_that_cant_be_synced_is_taken_as_it_is),
        TEST(a_path_that_is_too_long_is_refused_before_anything_is_made),
        TEST(offsets_that_name_what_is_not_there_are_refused_with_the_choices),
        TEST(committed_checkpoints_without_committed_offsets_are_refused),
        TEST(pruning_that_fails_is_made_up_for),
        TEST(of_those_that_are_kept_only_checkpoints_count),
        TEST(a_folder_with_somebody_elses_file_stays_and_is_named),
        TEST(heads_that_no_sabot_has_written_are_refused),
        TEST(a_head_of_too_many_pipelines_or_bytes_is_refused),
        TEST(a_savepoint_has_the_pipelines_that_its_head_names),
        TEST(a_savepoint_whose_manifest_was_replaced_is_refused),
        TEST(a_hint_that_cant_be_read_or_written_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
