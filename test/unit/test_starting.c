/* SPDX-License-Identifier: Apache-2.0 */
/* test_starting.c - a worker that is being restored says to whoever asks how far it has come. */
#include "words_app.h"

#include <ftw.h>
#include <stdatomic.h>

#include <sabot/control.h>

#include "api/run.h"

static char state_dir[128];
static sabot_error answers[2]; /* while the checkpoint is verified, and when it was read */
static _Atomic uint32_t asked;

static void ask(sabot_error *answer_out)
{
    sabot_answer *answer;

    answer_out->status =
        sabot_control_ask(state_dir, words_app.name, "stats", NULL, 0, -1, &answer, answer_out);
    sabot_answer_destroy(answer);
    (void)atomic_fetch_add(&asked, 1);
}

/* On the thread of the run, which answers nobody meanwhile. */
static void on_point(void *self, const char *label)
{
    (void)self;
    if (strcmp(label, "restore.manifest_read") == 0)
        ask(&answers[0]);
    else if (strcmp(label, "restore.complete") == 0)
        ask(&answers[1]);
}

static void run_until_stopped(struct words *words, const struct sb_env *env)
{
    sabot_run_stats stats = {.checkpoints = 0};
    sabot_run *run;

    assert_int_equal(sb_run_create(env, &words_app, words->config, &run, &words->error), SABOT_OK);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    while (stats.checkpoints == 0) {
        if (sabot_run_wait(run, 1, &words->error) != SABOT_AGAIN)
            fail_msg("%s", words->error.text);
        sabot_run_get_stats(run, &stats);
    }
    sabot_run_stop(run);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    sabot_run_destroy(run);
}

static void a_worker_that_is_restored_says_how_far_it_has_come(void **state)
{
    struct words *words = *state;
    struct sb_env_type type;
    struct sb_env *os;
    struct sb_env env;

    words_setting.has_source = true;
    words_setting.source_count = -1;
    words_setting.out = "file:/dev/null";
    (void)snprintf(state_dir, sizeof state_dir, "%s/state", words->folder);
    words_set(words, "state.dir", state_dir);
    words_set(words, "checkpoint.interval_ms", "1");
    assert_int_equal(sb_os_env_create(&os, NULL), SABOT_OK);
    type = *os->type;
    type.crash_point = on_point;
    env = *os;
    env.type = &type;
    run_until_stopped(words, os);
    run_until_stopped(words, &env);
    assert_int_equal(atomic_load(&asked), 2);
    assert_int_equal(answers[0].status, SABOT_ERR_STATE);
    assert_non_null(strstr(answers[0].text, "looking for the checkpoint that counts"));
    assert_int_equal(answers[1].status, SABOT_ERR_STATE);
    assert_non_null(strstr(answers[1].text, "the worker is starting: pipeline "));
    assert_non_null(strstr(answers[1].text, ": restoring checkpoint "));
    assert_non_null(strstr(answers[1].text, " bytes"));
    sb_os_env_destroy(os);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_worker_that_is_restored_says_how_far_it_has_come,
                                        words_setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
