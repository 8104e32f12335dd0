/* SPDX-License-Identifier: Apache-2.0 */
/* test_coordinator.c - runs from file to file whose checkpoints fail, at each call of one.
 *
 * The files of checkpoints are reached through an environment that lets some calls on them fail; a
 * run must end well when its checkpoint can be made up for, and else leave what the next one needs.
 */
#include "words_app.h"

#include <ftw.h>
#include <sched.h>
#include <stdatomic.h>

#include "api/run.h"

enum { RECORDS = 4000, CALLS_MAX = 100, ALWAYS = 1000000 };

/* --- An environment whose checkpoints fail ---------------------------------------------------- */

static const struct sb_env_type *os_type;
static _Atomic(struct sb_file *) file_now; /* the file of a checkpoint that is open */
static _Atomic int64_t calls;              /* on checkpoints, by the run's control */
static _Atomic int64_t fail_from;          /* this call fails, from 1, ... */
static _Atomic int64_t fail_count;         /* ... and so many from there on */

static sabot_status meddle(const char *what, sabot_error *error)
{
    const int64_t call = atomic_fetch_add(&calls, 1) + 1;
    const int64_t from = atomic_load(&fail_from);

    if (call < from || call >= from + atomic_load(&fail_count))
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_IO, "%s: the disk was told to fail", what);
}

static sabot_status meddle_path(const char *path, sabot_error *error)
{
    return strstr(path, "/ckpt-") == NULL ? SABOT_OK : meddle(path, error);
}

static sabot_status meddle_file(struct sb_file *file, const char *what, sabot_error *error)
{
    return file != atomic_load(&file_now) ? SABOT_OK : meddle(what, error);
}

static sabot_status bad_open(void *self,
                             const char *path,
                             enum sb_open_mode mode,
                             struct sb_file **file_out,
                             sabot_error *error)
{
    sabot_status status;

    *file_out = NULL;
    SABOT_TRY(meddle_path(path, error));
    status = os_type->file_open(self, path, mode, file_out, error);
    if (status == SABOT_OK && strstr(path, "/ckpt-") != NULL)
        atomic_store(&file_now, *file_out);
    return status;
}

static void bad_close(void *self, struct sb_file *file)
{
    struct sb_file *expected = file;

    (void)atomic_compare_exchange_strong(&file_now, &expected, NULL);
    os_type->file_close(self, file);
}

static sabot_status bad_write(struct sb_file *file,
                              const void *bytes,
                              size_t size,
                              int64_t offset,
                              sabot_error *error)
{
    SABOT_TRY(meddle_file(file, "write", error));
    return os_type->file_write(file, bytes, size, offset, error);
}

static sabot_status bad_sync(struct sb_file *file, sabot_error *error)
{
    SABOT_TRY(meddle_file(file, "sync", error));
    return os_type->file_sync(file, error);
}

static sabot_status bad_rename(void *self, const char *from, const char *to, sabot_error *error)
{
    SABOT_TRY(meddle_path(from, error));
    return os_type->path_rename(self, from, to, error);
}

static sabot_status bad_link(void *self, const char *from, const char *to, sabot_error *error)
{
    SABOT_TRY(meddle_path(from, error));
    return os_type->path_link(self, from, to, error);
}

static sabot_status bad_create(void *self, const char *path, sabot_error *error)
{
    SABOT_TRY(meddle_path(path, error));
    return os_type->directory_create(self, path, error);
}

static sabot_status bad_directory_sync(void *self, const char *path, sabot_error *error)
{
    SABOT_TRY(meddle_path(path, error));
    return os_type->directory_sync(self, path, error);
}

/* A source waits, when it has read something, for the first barrier; a task, at that barrier, until
 * the checkpoint is given up. */
static _Atomic(sabot_run *) held_run; /* NULL: nothing is held up */

static bool has_read(const struct sb_flow *flow)
{
    uint64_t records = 0;

    for (uint32_t i = 0; i < flow->config.workers; i++)
        records += sb_counter_get(&flow->metrics[i].records_read);
    return records > 0;
}

static void hold_up(void *self, const char *label)
{
    sabot_run *run = atomic_load(&held_run);
    struct sb_control *control;
    struct sb_flow *flow;

    (void)self;
    if (run == NULL)
        return;
    flow = run->plan.pipelines[0].flow;
    if (flow == NULL) /* labels of the start */
        return;
    control = &flow->control;
    if (strcmp(label, "source.polled") == 0 && has_read(flow)) {
        while (atomic_load(&control->barrier) == 0)
            (void)sched_yield();
    } else if (strcmp(label, "task.before_snapshot") == 0 && !control->checkpoint->last) {
        while (!atomic_load(&control->checkpoint->abandoned))
            (void)sched_yield();
        atomic_store(&held_run, NULL);
    }
}

/* --- Runs ------------------------------------------------------------------------------------- */

static struct words_seen seen;
static bool words_hold_up;
static sabot_run_stats stats; /* of the last run, at its end */

/* A run to its end. */
static sabot_status run_with(struct words *words, int64_t from, int64_t count)
{
    struct sb_env *os;
    struct sb_env_type type;
    struct sb_env env;
    sabot_run *run;
    sabot_status status;

    assert_int_equal(sb_os_env_create(&os, NULL), SABOT_OK);
    os_type = os->type;
    type = *os->type;
    type.file_open = bad_open;
    type.file_close = bad_close;
    type.file_write = bad_write;
    type.file_sync = bad_sync;
    type.path_rename = bad_rename;
    type.path_link = bad_link;
    type.directory_create = bad_create;
    type.directory_sync = bad_directory_sync;
    env = *os;
    env.type = &type;
    env.log_level = SABOT_LOG_ERROR; /* what fails here is meant to */
    atomic_store(&calls, 0);
    atomic_store(&fail_from, from);
    atomic_store(&fail_count, count);
    type.crash_point = hold_up;
    if (sb_run_create(&env, &words_app, words->config, &run, &words->error) != SABOT_OK)
        fail_msg("%s", words->error.text);
    atomic_store(&held_run, words_hold_up ? run : NULL);
    if (sabot_run_start(run, &words->error) != SABOT_OK)
        fail_msg("%s", words->error.text);
    status = sabot_run_wait(run, -1, &words->error);
    sabot_run_get_stats(run, &stats);
    sabot_run_destroy(run);
    sb_os_env_destroy(os);
    return status;
}

/* A state directory of its own for each number. */
static void begin_anew(struct words *words, int64_t number)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/state%d", words->folder, (int)number);
    words_set(words, "state.dir", path);
}

static void expect_all(const struct words *words)
{
    memset(&seen, 0, sizeof seen);
    words_read(words, &seen);
    words_expect(&seen, RECORDS);
}

static int setup(void **state)
{
    struct words *words;

    if (words_setup(state) != 0)
        return -1;
    words = *state;
    words_write(words, RECORDS);
    words_bind_files(words);
    words_set(words, "checkpoint.interval_ms", "1");
    words_set(words, "threads", "2");
    return 0;
}

static int setup_rocksdb(void **state)
{
    if (setup(state) != 0)
        return -1;
    words_set(*state, "state", "rocksdb");
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    const struct words *words = *state;

    if (nftw(words->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    return words_teardown(state);
}

static void a_run_ends_well_whichever_call_of_a_checkpoint_fails(void **state)
{
    struct words *words = *state;
    int64_t failed;

    for (failed = 1; failed < CALLS_MAX; failed++) {
        begin_anew(words, failed);
        if (run_with(words, failed, 1) != SABOT_END)
            fail_msg("call %d: %s", (int)failed, words->error.text);
        expect_all(words);
        const bool was_met = atomic_load(&calls) >= failed;
        /* And it has finished: the next one has nothing to do. */
        assert_int_equal(run_with(words, 0, 0), SABOT_END);
        expect_all(words);
        if (!was_met)
            break;
    }
    print_message("%d calls\n", (int)failed - 1);
    assert_true(failed > 10);
}

static void a_run_whose_last_checkpoint_always_fails_says_why_and_the_next_one_ends_it(void **state)
{
    struct words *words = *state;

    begin_anew(words, 1);
    assert_int_equal(run_with(words, 1, ALWAYS), SABOT_ERR_IO);
    assert_non_null(strstr(words->error.text, "the disk was told to fail"));
    assert_int_equal(run_with(words, 0, 0), SABOT_END);
    expect_all(words);
}

static void a_checkpoint_that_is_held_up_fails_by_its_timeout_and_the_next_one_works(void **state)
{
    struct words *words = *state;

    words_set(words, "checkpoint.timeout_ms", "1");
    begin_anew(words, 1);
    words_hold_up = true;
    if (run_with(words, 0, 0) != SABOT_END)
        fail_msg("%s", words->error.text);
    words_hold_up = false;
    expect_all(words);
    assert_true(stats.checkpoints_failed > 0);
    assert_true(stats.checkpoints > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_ROCKSDB(name) cmocka_unit_test_setup_teardown(name, setup_rocksdb, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_ends_well_whichever_call_of_a_checkpoint_fails),
        TEST(a_checkpoint_that_is_held_up_fails_by_its_timeout_and_the_next_one_works),
        TEST(a_run_whose_last_checkpoint_always_fails_says_why_and_the_next_one_ends_it),
    };

#ifdef SB_HAVE_ROCKSDB
    const struct CMUnitTest rocksdb_tests[] = {
        TEST_ROCKSDB(a_run_ends_well_whichever_call_of_a_checkpoint_fails),
        TEST_ROCKSDB(a_checkpoint_that_is_held_up_fails_by_its_timeout_and_the_next_one_works),
        TEST_ROCKSDB(a_run_whose_last_checkpoint_always_fails_says_why_and_the_next_one_ends_it),
    };

    if (cmocka_run_group_tests_name("rocksdb", rocksdb_tests, NULL, NULL) != 0)
        return 1;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
