/* SPDX-License-Identifier: Apache-2.0 */
/* test_savepoint.c - savepoints on the disk: every bit of one is covered, and what is none is
 * refused.
 */
#include "ckpt_kit.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ckpt/savepoint.h"

enum { STATE_SIZE = 700 };

struct fixture {
    struct sb_env *env;
    char folder[64];
    char path[96];
    struct sb_ckpt_entry entry;
    sabot_error error;
};

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

/* A savepoint of one pipeline, with a manifest drawn at random. */
static void write_one(struct fixture *fixture, uint32_t seed)
{
    struct kit_random random = {.state = seed};
    struct sb_ckpt_folder folder;
    struct sb_manifest manifest;
    char state[STATE_SIZE];
    const sabot_text part = {state, sizeof state};
    struct sb_savepoint_pipeline pipeline = {.name = "pipe"};
    const struct sb_savepoint savepoint = {
        .env = fixture->env,
        .path = fixture->path,
        .app = "app",
        .time_ms = 1764101974000,
        .pipeline_count = 1,
        .pipelines = &pipeline,
    };

    for (size_t i = 0; i < sizeof state; i++)
        state[i] = (char)kit_random_below(&random, 256);
    ckpt_kit_manifest(&manifest, fixture->env, &random, 2, sizeof state);
    manifest.id = 42;
    assert_int_equal(sb_savepoint_begin(fixture->env, fixture->path, &fixture->error), SABOT_OK);
    assert_int_equal(
        sb_ckpt_folder_open(&folder, fixture->env, fixture->path, "app", "pipe", &fixture->error),
        SABOT_OK);
    assert_int_equal(ckpt_kit_write(&folder, &manifest, SB_FILE_STATE, part, &fixture->error),
                     SABOT_OK);
    fixture->entry = sb_ckpt_entry_of(&manifest);
    pipeline.entry = fixture->entry;
    pipeline.checksum = manifest.checksum;
    assert_int_equal(sb_savepoint_seal(&savepoint, &fixture->error), SABOT_OK);
    sb_ckpt_folder_close(&folder);
    sb_manifest_reset(&manifest);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL)
        return -1;
    *state = fixture;
    if (!test_folder(fixture->folder, sizeof fixture->folder, "savepoint") ||
        sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/saved", fixture->folder);
    write_one(fixture, 1);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sb_os_env_destroy(fixture->env);
    if (nftw(fixture->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    free(fixture);
    return 0;
}

/* Open it and read all of it. */
static sabot_status read_all(struct fixture *fixture)
{
    struct sb_savepoint savepoint;
    struct sb_manifest manifest;
    sabot_status status =
        sb_savepoint_open(&savepoint, fixture->env, fixture->path, &fixture->error);

    sb_manifest_init(&manifest, fixture->env);
    if (status == SABOT_OK)
        status = sb_savepoint_read(&savepoint, &savepoint.pipelines[0], &manifest, &fixture->error);
    sb_manifest_reset(&manifest);
    sb_savepoint_close(&savepoint);
    return status;
}

static void file_path(const struct fixture *fixture, const char *name, char path[256])
{
    if (strcmp(name, "savepoint") == 0)
        (void)snprintf(path, 256, "%s/savepoint", fixture->path);
    else
        (void)snprintf(path, 256, "%s/app/pipe/ckpt-%016llx-%016llx/%s", fixture->path,
                       (unsigned long long)fixture->entry.id,
                       (unsigned long long)fixture->entry.nonce, name);
}

static const char *const names[] = {"savepoint", "manifest", "state"};

static void each_flipped_bit_is_noticed_and_its_file_named(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    uint32_t cases = 0;

    assert_int_equal(read_all(fixture), SABOT_OK);
    for (size_t i = 0; i < 3; i++) {
        struct stat info;
        int fd;

        file_path(fixture, names[i], path);
        fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &info), 0);
        for (off_t at = 0; at < info.st_size; at++) {
            uint8_t whole;

            assert_int_equal(pread(fd, &whole, 1, at), 1);
            for (int bit = 0; bit < 8; bit++, cases++) {
                const uint8_t flipped = (uint8_t)(whole ^ 1u << bit);

                assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
                assert_int_not_equal(read_all(fixture), SABOT_OK);
                assert_non_null(strstr(fixture->error.text, path));
            }
            assert_int_equal(pwrite(fd, &whole, 1, at), 1);
        }
        (void)close(fd);
    }
    assert_int_equal(read_all(fixture), SABOT_OK);
    print_message("%u bits\n", cases);
}

static void each_cut_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[8192];
    char path[256];

    for (size_t i = 0; i < 3; i++) {
        ssize_t size;
        int fd;

        file_path(fixture, names[i], path);
        fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        size = pread(fd, bytes, sizeof bytes, 0);
        assert_true(size > 0 && size < (ssize_t)sizeof bytes);
        for (ssize_t left = size - 1; left >= 0; left--) {
            assert_int_equal(ftruncate(fd, left), 0);
            assert_int_not_equal(read_all(fixture), SABOT_OK);
            assert_non_null(strstr(fixture->error.text, path));
        }
        assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
        assert_int_equal(pwrite(fd, "x", 1, size), 1);
        assert_int_not_equal(read_all(fixture), SABOT_OK);
        assert_int_equal(ftruncate(fd, size), 0);
        (void)close(fd);
    }
    assert_int_equal(read_all(fixture), SABOT_OK);
}

static void a_file_that_is_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    char path[256];

    file_path(fixture, "state", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_all(fixture), SABOT_ERR_CORRUPT);
    file_path(fixture, "manifest", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_all(fixture), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "manifest"));
}

static void without_its_head_it_is_none(void **state)
{
    struct fixture *fixture = *state;
    char path[256];

    file_path(fixture, "savepoint", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_all(fixture), SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(fixture->error.text, "no savepoint"));
}

static void a_manifest_of_another_savepoint_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_ckpt_entry first = fixture->entry;
    char moved[256];
    char from[256];
    char to[256];

    file_path(fixture, "manifest", from);
    *strrchr(from, '/') = '\0';
    (void)snprintf(moved, sizeof moved, "%s/kept", fixture->folder);
    assert_int_equal(rename(fixture->path, moved), 0);
    write_one(fixture, 2);
    file_path(fixture, "manifest", to);
    *strrchr(to, '/') = '\0';
    /* The head names another: the folder is not there. */
    assert_int_equal(rename(to, from), 0);
    assert_int_equal(read_all(fixture), SABOT_ERR_CORRUPT);
    /* And a folder of the right name holds another's manifest. */
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(read_all(fixture), SABOT_OK);
    assert_int_not_equal(first.nonce, fixture->entry.nonce);
}

static void what_is_removed_is_gone_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct sb_savepoint savepoint;
    struct stat info;

    assert_int_equal(sb_savepoint_open(&savepoint, fixture->env, fixture->path, &fixture->error),
                     SABOT_OK);
    assert_int_equal(sb_savepoint_remove(&savepoint, &fixture->error), SABOT_OK);
    sb_savepoint_close(&savepoint);
    assert_int_equal(stat(fixture->path, &info), -1);
    assert_int_equal(stat(fixture->folder, &info), 0);
}

static void a_folder_that_is_there_is_not_written_to(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(sb_savepoint_begin(fixture->env, fixture->path, &fixture->error),
                     SABOT_ERR_EXISTS);
    assert_int_equal(read_all(fixture), SABOT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_flipped_bit_is_noticed_and_its_file_named, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_cut_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_gone_is_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(without_its_head_it_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_of_another_savepoint_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_removed_is_gone_and_nothing_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_there_is_not_written_to, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
