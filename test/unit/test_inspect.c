/* SPDX-License-Identifier: Apache-2.0 */
/* test_inspect.c - looking at a state directory: what is there, in which order, and what is said
 * of what is damaged. The checkpoints are written as a worker writes them. */
#include "test.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sabot/inspect.h>

#include "ckpt/folder.h"

enum { PATH_SIZE = 512 };

struct fixture {
    char folder[64];
    struct sb_env *env;
    sabot_inspection *inspection;
    sabot_error error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL)
        return -1;
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/sabot_inspect_XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->folder) == NULL ||
                   sb_os_env_create(&fixture->env, &fixture->error) != SABOT_OK
               ? -1
               : 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sabot_inspection_close(fixture->inspection);
    sb_os_env_destroy(fixture->env);
    if (nftw(fixture->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    free(fixture);
    return 0;
}

/* A checkpoint whose nonce is 16 times its id, with `text` as its state. */
static void write_checkpoint(struct fixture *fixture,
                             const char *app,
                             const char *pipeline,
                             int64_t id,
                             const char *text)
{
    const sabot_text part = sabot_text_of(text);
    struct sb_manifest manifest;
    struct sb_ckpt_folder folder;

    assert_int_equal(
        sb_ckpt_folder_open(&folder, fixture->env, fixture->folder, app, pipeline, &fixture->error),
        SABOT_OK);
    sb_manifest_init(&manifest, fixture->env);
    manifest.app = app;
    manifest.pipeline = pipeline;
    manifest.id = id;
    manifest.nonce = 16 * (uint64_t)id;
    manifest.time_ms = sb_wall_ms(fixture->env) - 5000;
    manifest.finished = id == 3;
    assert_int_equal(sb_ckpt_write(&folder, &manifest, &part, 1, &fixture->error), SABOT_OK);
    sb_manifest_reset(&manifest);
    sb_ckpt_folder_close(&folder);
}

static void look(struct fixture *fixture)
{
    sabot_inspection_close(fixture->inspection);
    assert_int_equal(sabot_inspection_open(fixture->folder, &fixture->inspection, &fixture->error),
                     SABOT_OK);
}

static sabot_checkpoint_info info_at(const struct fixture *fixture, size_t index)
{
    sabot_checkpoint_info info;

    assert_true(sabot_inspection_checkpoint(fixture->inspection, index, &info));
    return info;
}

static void expect_count(const struct fixture *fixture, size_t count)
{
    sabot_checkpoint_info info;

    assert_true(count == 0 || sabot_inspection_checkpoint(fixture->inspection, count - 1, &info));
    assert_false(sabot_inspection_checkpoint(fixture->inspection, count, &info));
}

static void file_of(const sabot_checkpoint_info *info, const char *name, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", info->path, name);
}

/* Overwrite one byte of a file of the first checkpoint. */
static void damage(const struct fixture *fixture, const char *name, long at)
{
    const sabot_checkpoint_info info = info_at(fixture, 0);
    char path[PATH_SIZE];
    FILE *file;
    int byte;

    file_of(&info, name, path);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void checkpoints_come_by_app_and_pipeline_and_newest_first(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *app, *pipeline;
        int64_t id;
    } expected[] = {
        {"bank", "fraud", 3}, {"bank", "fraud", 2}, {"bank", "score", 1}, {"words", "count", 7}};

    write_checkpoint(fixture, "words", "count", 7, "a state");
    write_checkpoint(fixture, "bank", "score", 1, "");
    write_checkpoint(fixture, "bank", "fraud", 2, "older");
    write_checkpoint(fixture, "bank", "fraud", 3, "newer");
    look(fixture);
    expect_count(fixture, 4);
    for (size_t i = 0; i < 4; i++) {
        const sabot_checkpoint_info info = info_at(fixture, i);

        assert_string_equal(info.app, expected[i].app);
        assert_string_equal(info.pipeline, expected[i].pipeline);
        assert_int_equal(info.id, expected[i].id);
        assert_int_equal(info.nonce, 16 * expected[i].id);
        assert_int_equal(info.condition, SABOT_WHOLE);
        assert_string_equal(info.reason, "");
        assert_int_equal(info.finished, info.id == 3);
        assert_true(info.age_ms >= 5000);
        assert_int_equal(sabot_inspection_verify(fixture->inspection, i, &fixture->error),
                         SABOT_OK);
    }
    assert_int_equal(info_at(fixture, 3).bytes, strlen("a state"));
}

static void an_empty_folder_has_none_and_nothing_is_made_in_it(void **state)
{
    struct fixture *fixture = *state;
    DIR *directory;
    size_t count = 0;

    look(fixture);
    expect_count(fixture, 0);
    directory = opendir(fixture->folder);
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(count, 2); /* itself, and the one above */
}

static void a_folder_that_is_missing_is_named(void **state)
{
    struct fixture *fixture = *state;
    sabot_inspection *inspection;

    assert_int_equal(sabot_inspection_open("/nonexistent/x", &inspection, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    assert_null(inspection);
    assert_non_null(strstr(fixture->error.text, "/nonexistent/x"));
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[SB_CKPT_PATH_MAX];

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(sabot_inspection_open(path, &fixture->inspection, &fixture->error),
                     SABOT_ERR_LIMIT);
}

static void a_changed_bit_of_the_state_is_found_by_verify(void **state)
{
    struct fixture *fixture = *state;

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    damage(fixture, "state", 3);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, info_at(fixture, 0).path));
    assert_non_null(strstr(fixture->error.text, "/state: "));
}

static void every_changed_byte_of_a_manifest_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct stat file;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "manifest", path);
    assert_int_equal(stat(path, &file), 0);
    for (long at = 0; at < file.st_size; at++) {
        damage(fixture, "manifest", at);
        look(fixture);
        assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
        assert_non_null(strstr(info_at(fixture, 0).reason, "/manifest: "));
        assert_int_equal(info_at(fixture, 0).age_ms, -1);
        damage(fixture, "manifest", at); /* back */
    }
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
}

static void a_state_that_was_cut_or_is_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "state", path);
    assert_int_equal(truncate(path, 3), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_non_null(strstr(info_at(fixture, 0).reason, "it has 3 bytes, and the manifest says 7"));
    assert_int_equal(unlink(path), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_non_null(strstr(info_at(fixture, 0).reason, "/state: it is gone"));
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_CORRUPT);
}

static void one_without_a_manifest_is_partial(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "manifest", path);
    assert_int_equal(unlink(path), 0);
    /* Removed since it was looked at: that is no damage. */
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    look(fixture);
    expect_count(fixture, 1);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_PARTIAL);
    assert_int_equal(info_at(fixture, 0).time_ms, 0);
}

static void one_of_another_pipeline_is_damage_and_one_moved_aside_is_not(void **state)
{
    struct fixture *fixture = *state;
    char from[PATH_SIZE];
    char to[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    (void)snprintf(from, sizeof from, "%s/words/count", fixture->folder);
    (void)snprintf(to, sizeof to, "%s/words/count.reset-17", fixture->folder);
    assert_int_equal(rename(from, to), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
    assert_true(info_at(fixture, 0).moved_aside);
    assert_string_equal(info_at(fixture, 0).pipeline, "count.reset-17");
    assert_int_equal(rename(to, from), 0);
    (void)snprintf(to, sizeof to, "%s/words/other.reset-x", fixture->folder);
    assert_int_equal(rename(from, to), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_false(info_at(fixture, 0).moved_aside);
}

static void what_is_no_checkpoint_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];
    FILE *file;

    write_checkpoint(fixture, "words", "count", 1, "a state");
    (void)snprintf(path, sizeof path, "%s/README", fixture->folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/words/count/ckpt-1-1", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/lost+found", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    look(fixture);
    expect_count(fixture, 1);
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 1, &fixture->error),
                     SABOT_ERR_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoints_come_by_app_and_pipeline_and_newest_first),
        TEST(an_empty_folder_has_none_and_nothing_is_made_in_it),
        TEST(a_folder_that_is_missing_is_named),
        TEST(a_path_that_is_too_long_is_refused),
        TEST(a_changed_bit_of_the_state_is_found_by_verify),
        TEST(every_changed_byte_of_a_manifest_is_found),
        TEST(a_state_that_was_cut_or_is_gone_is_damage),
        TEST(one_without_a_manifest_is_partial),
        TEST(one_of_another_pipeline_is_damage_and_one_moved_aside_is_not),
        TEST(what_is_no_checkpoint_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
