/* SPDX-License-Identifier: Apache-2.0 */
/* test_pace.c - how long commits took is known to the next run, and a hint that is wrong is none.
 */
#include "test.h"

#include <stdio.h>
#include <unistd.h>

#include "ckpt/pace.h"

struct fixture {
    struct sb_env *env;
    struct sb_ckpt_folder folder;
    char path[64];
    char file[128];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK)
        return -1;
    if (!test_folder(f->path, sizeof f->path, "pace"))
        return -1;
    (void)snprintf(f->file, sizeof f->file, "%s/commit.ms", f->path);
    f->folder = (struct sb_ckpt_folder){.env = f->env, .path = f->path};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->file);
    (void)rmdir(f->path);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

static void fast_commits_leave_no_file(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(sb_pace_read_ms(&f->folder), 0);
    sb_pace_note_ms(&f->folder, SB_PACE_FAST_MS - 1);
    assert_int_equal(access(f->file, F_OK), -1);
}

static void slow_commits_are_remembered_until_they_are_fast_again(void **state)
{
    const struct fixture *f = *state;

    sb_pace_note_ms(&f->folder, 12345);
    assert_int_equal(sb_pace_read_ms(&f->folder), 12345);
    sb_pace_note_ms(&f->folder, 3);
    assert_int_equal(sb_pace_read_ms(&f->folder), 3);
}

static void a_worker_that_was_frozen_for_a_day_is_no_measure(void **state)
{
    const struct fixture *f = *state;

    sb_pace_note_ms(&f->folder, INT64_C(24) * 3600 * 1000);
    assert_int_equal(sb_pace_read_ms(&f->folder), SB_PACE_MAX_MS);
}

static void a_damaged_hint_is_none(void **state)
{
    static const char *const texts[] = {"", "\n", "soon\n", "-5\n", "12 34\n", "99999999999999\n"};
    const struct fixture *f = *state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *file = fopen(f->file, "w");

        assert_non_null(file);
        assert_true(fputs(texts[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(sb_pace_read_ms(&f->folder), 0);
    }
}

static void the_interval_counts_unless_writing_took_more_than_its_share(void **state)
{
    (void)state;
    /* Begun at 1000, over at 1030. */
    assert_int_equal(sb_pace_next_us(1000, 1030, 100, 0), 1100);
    assert_int_equal(sb_pace_next_us(1000, 1030, 100, 7), 1100);
    assert_int_equal(sb_pace_next_us(1000, 1030, 100, 20), 1210);
    assert_int_equal(sb_pace_next_us(1000, 1030, 10, 0), 1030); /* at once */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fast_commits_leave_no_file),
        TEST(slow_commits_are_remembered_until_they_are_fast_again),
        TEST(a_worker_that_was_frozen_for_a_day_is_no_measure),
        TEST(a_damaged_hint_is_none),
        cmocka_unit_test(the_interval_counts_unless_writing_took_more_than_its_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
