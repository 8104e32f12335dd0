/* SPDX-License-Identifier: Apache-2.0 */
/* test_folder.c - checkpoints on a disk that loses its power, is full, or breaks. */
#include "ckpt_kit.h"
#include "disk.h"

#include "ckpt/folder.h"
#include "ckpt/restore.h"

enum {
    SUBSETS = 40,          /* losses of power for each call */
    STATE_SIZE_MAX = 1500, /* a few sectors */
    CALLS_MAX = 100,       /* of one checkpoint; more is a mistake */
    LINKS_MAX = 3,         /* files of a chain */
};

struct fixture {
    struct sb_env *os;
    struct kit_random random;
    struct disk disk;
    struct sb_ckpt_folder folder;
    struct sb_ckpt_link links[LINKS_MAX]; /* that the next checkpoint is based on */
    size_t link_count;
};

static void power_on(struct fixture *f)
{
    disk_make(&f->disk, f->os);
}

static void power_off(struct fixture *f)
{
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

/* --- Checkpoints whose chunks say which they are ---------------------------------------------- */

static sabot_status open_folder(struct fixture *f, sabot_error *error)
{
    f->link_count = 0; /* a new process begins anew */
    return sb_ckpt_folder_open(&f->folder, &f->disk.env, "/dir", "app", "pipe", error);
}

static size_t state_of(int64_t id, uint8_t *bytes)
{
    const size_t size = 1 + (size_t)(id * 977) % STATE_SIZE_MAX;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(id + (int64_t)i);
    return size;
}

/* The manifest's files of chunks are what the next checkpoint is based on; three of them at most.
 */
static void go_on_from(struct fixture *f, const struct sb_manifest *manifest)
{
    f->link_count = 0;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];

        if (file->kind != SB_FILE_CHUNKS)
            continue;
        assert_true(f->link_count < LINKS_MAX);
        f->links[f->link_count] = (struct sb_ckpt_link){
            .entry = {manifest->id, manifest->nonce},
            .size = file->size,
            .checksum = file->checksum,
        };
        (void)snprintf(f->links[f->link_count++].name, SB_CKPT_NAME_MAX, "%s", file->name);
    }
    if (f->link_count == LINKS_MAX)
        f->link_count = 0;
}

/* With chunks of its own, in two blocks, and those of the ones before. */
static sabot_status write_one(struct fixture *f, int64_t id, sabot_error *error)
{
    uint8_t bytes[STATE_SIZE_MAX + 1];
    const size_t size = state_of(id, bytes);
    struct sb_ckpt_entry entry = {.id = id};
    struct sb_ckpt_writer writer;
    struct sb_manifest manifest;
    sabot_status status;

    ckpt_kit_manifest(&manifest, &f->disk.env, &f->random, 2, 0);
    manifest.id = id;
    entry.nonce = manifest.nonce;
    status = sb_ckpt_begin(&writer, &f->folder, &entry, error);
    if (status == SABOT_OK) {
        status = sb_ckpt_append(&writer, bytes, size / 3, error);
        if (status == SABOT_OK)
            status = sb_ckpt_append(&writer, bytes + size / 3, size - size / 3, error);
        if (status == SABOT_OK)
            status = sb_ckpt_finish(&writer, &manifest, f->links, f->link_count, error);
        else
            sb_ckpt_abandon(&writer);
    }
    if (status == SABOT_OK)
        go_on_from(f, &manifest);
    sb_manifest_reset(&manifest);
    return status;
}

static void write_well(struct fixture *f, int64_t id)
{
    sabot_error error = {.status = SABOT_OK};

    if (write_one(f, id, &error) != SABOT_OK)
        fail_msg("checkpoint %d: %s", (int)id, error.text);
}

static void open_well(struct fixture *f)
{
    sabot_error error = {.status = SABOT_OK};

    if (open_folder(f, &error) != SABOT_OK)
        fail_msg("%s", error.text);
}

/* The id of what a restore finds, whole to the last byte; 0: nothing. */
static int64_t find(struct fixture *f)
{
    uint8_t expected[STATE_SIZE_MAX + 1];
    uint8_t bytes[STATE_SIZE_MAX + 2];
    struct sb_restore restore;
    struct sb_file *file;
    size_t size;
    int64_t id = 0;
    sabot_error error = {.status = SABOT_OK};

    sb_restore_init(&restore, &f->disk.env, &f->folder);
    if (sb_restore_find(&restore, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    if (restore.found) {
        id = restore.manifest.id;
        assert_int_equal(sb_ckpt_open_file(&f->folder, &restore.manifest,
                                           restore.manifest.file_count - 1, &file, NULL),
                         SABOT_OK);
        assert_int_equal(f->disk.type.file_read(file, bytes, sizeof bytes, 0, &size, NULL),
                         SABOT_OK);
        f->disk.type.file_close(&f->disk, file);
        assert_int_equal(size, state_of(id, expected));
        assert_memory_equal(bytes, expected, size);
    }
    sb_restore_reset(&restore);
    return id;
}

/* The machine comes up again. */
static int64_t find_after_loss(struct fixture *f)
{
    f->disk.fail_at = 0;
    disk_lose_power(&f->disk, &f->random);
    sb_ckpt_folder_close(&f->folder);
    open_well(f);
    return find(f);
}

/* --- Power ------------------------------------------------------------------------------------ */

/* Three checkpoints, the oldest removed; the power goes after so many calls. False: all were made
 * before. */
static bool lose_power_after(struct fixture *f, uint64_t calls)
{
    int64_t safe = 0;
    int64_t begun = 0;
    int64_t found;

    f->disk.off_after = calls;
    if (open_folder(f, NULL) == SABOT_OK) {
        for (int64_t id = 1; id <= 3; id++) {
            begun = id;
            if (write_one(f, id, NULL) != SABOT_OK)
                break;
            safe = id;
        }
    }
    const bool is_off = f->disk.calls > calls;
    found = find_after_loss(f);
    if (found != safe && found != begun)
        fail_msg("power lost after call %d: %d was safe, %d begun, and %d was found", (int)calls,
                 (int)safe, (int)begun, (int)found);
    /* And life goes on, also over what was left. */
    write_well(f, begun + 1);
    assert_int_equal(find(f), begun + 1);
    return is_off;
}

static void test_after_a_loss_of_power_the_last_or_the_new_checkpoint_is_whole(void **state)
{
    struct fixture *f = *state;
    bool is_off = true;
    uint64_t calls;

    for (calls = 0; is_off; calls++) {
        for (int subset = 0; subset < SUBSETS; subset++) {
            is_off = lose_power_after(f, calls);
            power_off(f);
            power_on(f);
        }
        assert_true(calls < CALLS_MAX);
    }
    print_message("%d calls\n", (int)calls - 1);
}

/* The process is killed after so many calls, the next one finds a checkpoint, and the power goes.
 */
static bool find_before_loss(struct fixture *f, uint64_t calls)
{
    int64_t found;

    f->disk.off_after = calls;
    if (open_folder(f, NULL) == SABOT_OK) {
        for (int64_t id = 1; id <= 2 && write_one(f, id, NULL) == SABOT_OK; id++) {}
    }
    const bool is_off = f->disk.calls > calls;
    f->disk.off_after = UINT64_MAX;
    sb_ckpt_folder_close(&f->folder);
    open_well(f);
    found = find(f);
    assert_int_equal(find_after_loss(f), found);
    return is_off;
}

static void test_what_a_restore_went_on_from_outlives_a_loss_of_power(void **state)
{
    struct fixture *f = *state;
    bool is_off = true;

    for (uint64_t calls = 0; is_off; calls++) {
        for (int subset = 0; subset < SUBSETS; subset++) {
            is_off = find_before_loss(f, calls);
            power_off(f);
            power_on(f);
        }
    }
}

static void test_a_removed_checkpoint_never_comes_back_instead_of_a_newer_one(void **state)
{
    struct fixture *f = *state;

    for (uint64_t after = 0; after < 12; after++) {
        for (int subset = 0; subset < SUBSETS; subset++) {
            struct sb_ckpt_entry *entries;
            uint32_t count;

            open_well(f);
            write_well(f, 1);
            write_well(f, 2);
            assert_int_equal(sb_ckpt_list(&f->folder, &entries, &count, NULL), SABOT_OK);
            assert_int_equal(count, 2);
            f->disk.off_after = f->disk.calls + after;
            (void)!sb_ckpt_remove(&f->folder, &entries[1], NULL);
            sb_free_array(&f->disk.env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
            assert_int_equal(find_after_loss(f), 2);
            power_off(f);
            power_on(f);
        }
    }
}

static void test_a_reset_is_whole_or_has_not_happened(void **state)
{
    struct fixture *f = *state;

    for (uint64_t after = 0; after < 6; after++) {
        for (int subset = 0; subset < SUBSETS; subset++) {
            int64_t found;

            open_well(f);
            write_well(f, 1);
            f->disk.off_after = f->disk.calls + after;
            const sabot_status status = sb_ckpt_move_aside(&f->folder, NULL);
            found = find_after_loss(f);
            assert_in_range(found, 0, status == SABOT_OK ? 0 : 1);
            write_well(f, 2);
            assert_int_equal(find(f), 2);
            power_off(f);
            power_on(f);
        }
    }
}

/* --- Faults ----------------------------------------------------------------------------------- */

/* The n-th call of the second checkpoint fails. False: it has fewer. */
static bool fail_call(struct fixture *f, uint64_t n, enum disk_fault fault, bool lose_power)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    open_well(f);
    write_well(f, 1);
    f->disk.fault = fault;
    f->disk.fail_at = f->disk.calls + n;
    status = write_one(f, 2, &error);
    if (!f->disk.failed)
        return false;
    if (status == SABOT_OK)
        fail_msg("call %d of a checkpoint failed, and nobody noticed", (int)n);
    if (strncmp(error.text, "/dir/app/pipe", strlen("/dir/app/pipe")) != 0)
        fail_msg("call %d: \"%s\" doesn't name the file", (int)n, error.text);
    assert_false(f->disk.synced_again);
    assert_int_equal(f->disk.open_files, 0);
    if (lose_power)
        assert_in_range(find_after_loss(f), 1, 2);
    else
        assert_int_equal(find(f), 1);
    write_well(f, 2);
    write_well(f, 3);
    assert_false(f->disk.synced_again);
    assert_int_equal(find_after_loss(f), 3);
    return true;
}

static uint64_t fail_each_call(struct fixture *f, enum disk_fault fault, bool lose_power)
{
    const int rounds = lose_power ? SUBSETS : 1;
    bool is_there = true;
    uint64_t n;

    for (n = 1; is_there; n++) {
        for (int round = 0; round < rounds; round++) {
            is_there = fail_call(f, n, fault, lose_power);
            power_off(f);
            power_on(f);
        }
        assert_true(n < CALLS_MAX);
    }
    return n - 2;
}

static void test_a_checkpoint_that_fails_is_none_and_the_next_one_works(void **state)
{
    struct fixture *f = *state;
    const uint64_t calls = fail_each_call(f, DISK_EIO, false);

    print_message("%d calls\n", (int)calls);
    assert_int_equal(fail_each_call(f, DISK_ENOSPC, false), calls);
}

static void test_what_a_failed_checkpoint_left_is_whole_or_nothing_after_a_loss_of_power(
    void **state)
{
    (void)fail_each_call(*state, DISK_EIO, true);
}

static void test_a_damaged_disk_keeps_what_was_written_before(void **state)
{
    struct fixture *f = *state;

    for (uint64_t from = 0; from < 30; from++) {
        open_well(f);
        write_well(f, 1);
        f->disk.off_after = f->disk.calls + from; /* from here on every call fails */
        if (write_one(f, 2, NULL) == SABOT_OK) {
            power_off(f);
            power_on(f);
            assert_true(from > 5);
            return;
        }
        f->disk.off_after = UINT64_MAX;
        assert_in_range(find(f), 1, 2);
        write_well(f, 3);
        assert_int_equal(find(f), 3);
        power_off(f);
        power_on(f);
    }
    fail_msg("a checkpoint has more than 30 calls");
}

static void test_each_call_of_a_start_can_fail(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 1; n < CALLS_MAX; n++) {
        sabot_error error = {.status = SABOT_OK};

        f->disk.fail_at = n;
        sabot_status status = open_folder(f, &error);
        if (status == SABOT_OK)
            status = sb_ckpt_take_owner(&f->folder, 7, &error);
        const bool has_failed = f->disk.failed;
        if (has_failed != (status != SABOT_OK))
            fail_msg("call %d: %s", (int)n, sabot_status_name(status));
        if (has_failed)
            assert_memory_equal(error.text, "/", 1);
        f->disk.fail_at = 0;
        sb_ckpt_folder_close(&f->folder);
        open_well(f);
        assert_int_equal(sb_ckpt_take_owner(&f->folder, 8, &error), SABOT_OK);
        assert_int_equal(sb_ckpt_check_owner(&f->folder, 8, &error), SABOT_OK);
        power_off(f);
        power_on(f);
        if (!has_failed)
            return;
    }
    fail_msg("a start has too many calls");
}

/* --- Owners ----------------------------------------------------------------------------------- */

static void test_who_had_the_folder_before_finds_out(void **state)
{
    struct fixture *f = *state;
    sabot_error error = {.status = SABOT_OK};

    open_well(f);
    assert_int_equal(sb_ckpt_take_owner(&f->folder, 7, &error), SABOT_OK);
    assert_int_equal(sb_ckpt_check_owner(&f->folder, 7, &error), SABOT_OK);
    assert_int_equal(sb_ckpt_take_owner(&f->folder, 8, &error), SABOT_OK);
    assert_int_equal(sb_ckpt_check_owner(&f->folder, 7, &error), SABOT_ERR_FENCED);
    assert_true(error.fatal);
    assert_non_null(strstr(error.text, "/dir/app/pipe/owner"));
    assert_int_equal(sb_ckpt_check_owner(&f->folder, 8, &error), SABOT_OK);
    error.fatal = false;
    assert_int_equal(sb_ckpt_move_aside(&f->folder, &error), SABOT_OK);
    assert_int_equal(sb_ckpt_check_owner(&f->folder, 8, &error), SABOT_ERR_FENCED);
    assert_true(error.fatal);
    assert_non_null(strstr(error.text, "/dir/app/pipe/owner: it is gone"));
}

/* The next process comes while this one stands still. */
static void begin_another(void *self, const char *label)
{
    struct disk *disk = self;
    struct sb_ckpt_folder folder;
    sabot_error error;

    if (strcmp(label, "restore.moved_aside") != 0)
        return;
    assert_int_equal(sb_ckpt_folder_open(&folder, &disk->env, "/dir", "app", "pipe", &error),
                     SABOT_OK);
    assert_int_equal(sb_ckpt_take_owner(&folder, 8, &error), SABOT_OK);
    sb_ckpt_folder_close(&folder);
}

static void test_a_reset_does_not_take_the_folder_in_which_another_has_begun(void **state)
{
    struct fixture *f = *state;
    sabot_error error = {.status = SABOT_OK};

    open_well(f);
    assert_int_equal(sb_ckpt_take_owner(&f->folder, 7, &error), SABOT_OK);
    f->disk.type.crash_point = begin_another;
    assert_int_equal(sb_ckpt_move_aside(&f->folder, &error), SABOT_ERR_FENCED);
    assert_true(error.fatal);
    assert_non_null(strstr(error.text, "/dir/app/pipe: another worker has begun"));
    assert_int_equal(sb_ckpt_check_owner(&f->folder, 8, &error), SABOT_OK);
}

/* --- The folder above ------------------------------------------------------------------------- */

static char synced[64];

static sabot_status note_sync(void *self, const char *path, sabot_error *error)
{
    (void)self;
    (void)error;
    (void)snprintf(synced, sizeof synced, "%s", path);
    return SABOT_OK;
}

static void test_a_name_is_safe_when_the_folder_above_is_synced(void **state)
{
    static const char *const pairs[][2] = {
        {"/dir", "/"},  {"/dir/", "/"},  {"/a/b", "/a"},   {"/a//b//", "/a"},
        {"state", "."}, {"state/", "."}, {"a/b/c", "a/b"}, {"./x", "."},
    };
    const struct sb_env_type type = {.directory_sync = note_sync};
    const struct sb_env env = {.type = &type};

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(sb_sync_above(&env, pairs[i][0], NULL), SABOT_OK);
        assert_string_equal(synced, pairs[i][1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_after_a_loss_of_power_the_last_or_the_new_checkpoint_is_whole),
        TEST(test_what_a_restore_went_on_from_outlives_a_loss_of_power),
        TEST(test_a_removed_checkpoint_never_comes_back_instead_of_a_newer_one),
        TEST(test_a_reset_is_whole_or_has_not_happened),
        TEST(test_a_checkpoint_that_fails_is_none_and_the_next_one_works),
        TEST(test_what_a_failed_checkpoint_left_is_whole_or_nothing_after_a_loss_of_power),
        TEST(test_a_damaged_disk_keeps_what_was_written_before),
        TEST(test_each_call_of_a_start_can_fail),
        TEST(test_who_had_the_folder_before_finds_out),
        TEST(test_a_reset_does_not_take_the_folder_in_which_another_has_begun),
        cmocka_unit_test(test_a_name_is_safe_when_the_folder_above_is_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
