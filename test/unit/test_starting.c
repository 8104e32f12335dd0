/* SPDX-License-Identifier: Apache-2.0 */
/* test_starting.c - a worker that is being restored: it says to whoever asks how far it has come;
 * and where its checkpoint is verified while it is loaded, since no output is cut to it, no bit of
 * it passes unseen. */
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

static char pipeline[256]; /* the name of the app's only one */

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
    (void)snprintf(pipeline, sizeof pipeline, "%s", run->plan.pipelines[0].name);
    sabot_run_destroy(run);
}

/* A run without an end, whose output can't be cut. */
static void set_up(struct words *words)
{
    words_setting.has_source = true;
    words_setting.source_count = -1;
    words_setting.out = "file:/dev/null";
    (void)snprintf(state_dir, sizeof state_dir, "%s/state", words->folder);
    words_set(words, "state.dir", state_dir);
    words_set(words, "checkpoint.interval_ms", "1");
    words_set(words, "log.level", "error");
}

static void a_worker_that_is_restored_says_how_far_it_has_come(void **state)
{
    struct words *words = *state;
    struct sb_env_type type;
    struct sb_env *os;
    struct sb_env env;

    set_up(words);
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

/* The chunks of the newest checkpoint. */
static void find_chunks(const struct sb_env *env, char *path, size_t size)
{
    struct sb_ckpt_folder folder;
    struct sb_ckpt_entry *entries;
    uint32_t count;

    assert_int_equal(sb_ckpt_folder_open(&folder, env, state_dir, words_app.name, pipeline, NULL),
                     SABOT_OK);
    assert_int_equal(sb_ckpt_list(&folder, &entries, &count, NULL), SABOT_OK);
    assert_true(count > 0);
    (void)snprintf(path, size, "%s/ckpt-%016llx-%016llx/chunks", folder.path,
                   (unsigned long long)entries[0].id, (unsigned long long)entries[0].nonce);
    sb_free_array(env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    sb_ckpt_folder_close(&folder);
}

static void flip_bit(FILE *file, long at)
{
    int byte;

    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1 << at % 8, file), byte ^ 1 << at % 8);
    assert_int_equal(fflush(file), 0);
}

static void no_bit_that_changed_passes_unseen(void **state)
{
    struct words *words = *state;
    char path[SB_CKPT_PATH_MAX];
    struct sb_env *env;
    FILE *file;
    long size;

    set_up(words);
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    run_until_stopped(words, env);
    find_chunks(env, path, sizeof path);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_true(size > 0);
    for (long i = 0; i < 16; i++) {
        const long at = i * 7919 % size;
        sabot_run *run;

        flip_bit(file, at);
        assert_int_equal(sb_run_create(env, &words_app, words->config, &run, &words->error),
                         SABOT_OK);
        assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
        assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_ERR_RECOVERY);
        assert_non_null(strstr(words->error.text, path));
        assert_non_null(strstr(words->error.text, "its checksum is wrong"));
        assert_non_null(strstr(words->error.text, "--reset"));
        sabot_run_destroy(run);
        flip_bit(file, at);
    }
    assert_int_equal(fclose(file), 0);
    run_until_stopped(words, env); /* nothing has been done for it */
    sb_os_env_destroy(env);
}

/* The line of the output. */
static const char *describe_output(sabot_run *run)
{
    const char *line;

    for (size_t i = 0; sabot_run_describe(run, i, &line); i++) {
        if (strstr(line, "  writes ") != NULL)
            return line;
    }
    fail_msg("no output is described");
    return "";
}

static void an_output_is_promised_what_it_can_keep(void **state)
{
    static const char *const devices[] = {"file:/dev/null", NULL};
    struct words *words = *state;
    struct sb_env *env;
    char url[160];

    set_up(words);
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    (void)snprintf(url, sizeof url, "file:%s", words->out);
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        const char *expected = devices[i] == NULL ? ": exactly once: a restart cuts it"
                                                  : ": at least once: what was written can't be";
        sabot_run *run;

        words_setting.out = devices[i] == NULL ? url : devices[i];
        words_setting.source_count = 10;
        words_set(words, "checkpoint.reset", "true");
        assert_int_equal(sb_run_create(env, &words_app, words->config, &run, &words->error),
                         SABOT_OK);
        assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
        assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
        assert_non_null(strstr(describe_output(run), expected));
        sabot_run_destroy(run);
    }
    sb_os_env_destroy(env);
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
        cmocka_unit_test_setup_teardown(an_output_is_promised_what_it_can_keep, words_setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_bit_that_changed_passes_unseen, words_setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
