/* SPDX-License-Identifier: Apache-2.0 */
/* test_run.c - an app from create to destroy: on threads and by hand, stopped, destroyed, failing,
 * described and counted. The app counts words (words_app.h). */
#include "words_app.h"

#include "api/run.h"

static struct words_seen seen;

static sabot_run *make(struct words *words)
{
    sabot_run *run;

    assert_int_equal(sabot_run_create(&words_app, words->config, &run, &words->error), SABOT_OK);
    return run;
}

static sabot_status step_to_the_end(sabot_run *run, sabot_error *error)
{
    sabot_status status;
    int64_t wait_us;

    while ((status = sabot_run_step(run, &wait_us, error)) == SABOT_AGAIN)
        assert_true(wait_us >= 0);
    return status;
}

static sabot_run_stats stats_of(sabot_run *run)
{
    sabot_run_stats stats;

    sabot_run_get_stats(run, &stats);
    return stats;
}

/* --- The same result everywhere ------------------------------------------------------------------
 */

static void threads_and_steps_give_the_same_result(void **state)
{
    static const char *const threads[] = {"1", "2", "4"};
    struct words *words = *state;

    words_write(words, 5000);
    words_bind_files(words);
    for (uint32_t i = 0; i < 12; i++) {
        words_setting.chain = i % 2 == 0;
        words_set(words, "threads", threads[i / 2 % 3]);
        words_set(words, "batch.rows", i % 4 == 0 ? "7" : "1024");
        if (i < 6) {
            assert_int_equal(sabot_app_run(&words_app, words->config, &words->error), SABOT_OK);
        } else {
            sabot_run *run = make(words);

            assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
            assert_int_equal(sabot_run_step(run, NULL, &words->error), SABOT_END); /* for good */
            sabot_run_destroy(run);
        }
        words_read(words, &seen);
        words_expect(&seen, 5000);
    }
}

static void a_source_of_the_app_is_read_to_its_end(void **state)
{
    struct words *words = *state;

    words_setting.has_source = true;
    words_setting.source_count = 10000;
    for (uint32_t i = 0; i < 4; i++) {
        sabot_run *run;
        sabot_pipe *pipe;
        sabot_record record;

        words_set(words, "threads", i % 2 == 0 ? "1" : "3");
        run = make(words);
        memset(&seen, 0, sizeof seen);
        assert_int_equal(sabot_run_pipe(run, "results", false, &pipe, &words->error), SABOT_OK);
        if (i < 2)
            assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
        else
            assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
        while (sabot_pipe_take(pipe, -1, &record, &words->error) == SABOT_OK)
            words_see(&seen, record.value.data, record.value.size);
        words_expect(&seen, 10000);
        assert_int_equal(sabot_pipe_close(pipe, &words->error), SABOT_OK);
        sabot_run_destroy(run);
    }
}

static void two_runs_live_in_one_process(void **state)
{
    struct words *words = *state;
    sabot_run *runs[2];
    sabot_pipe *pipes[2];

    words_setting.has_source = true;
    for (int i = 0; i < 2; i++) {
        words_setting.source_count = 3000 + i;
        words_set(words, "threads", i == 0 ? "2" : "1");
        runs[i] = make(words);
        assert_int_equal(sabot_run_pipe(runs[i], "results", false, &pipes[i], &words->error),
                         SABOT_OK);
        assert_int_equal(sabot_run_start(runs[i], &words->error), SABOT_OK);
    }
    for (int i = 0; i < 2; i++) {
        sabot_record record;

        memset(&seen, 0, sizeof seen);
        while (sabot_pipe_take(pipes[i], -1, &record, &words->error) == SABOT_OK)
            words_see(&seen, record.value.data, record.value.size);
        words_expect(&seen, 3000 + i);
        assert_int_equal(sabot_run_wait(runs[i], -1, &words->error), SABOT_END);
        assert_int_equal(sabot_pipe_close(pipes[i], &words->error), SABOT_OK);
        sabot_run_destroy(runs[i]);
    }
}

/* --- Stop and destroy ----------------------------------------------------------------------------
 */

struct stopper {
    sabot_run *run;
};

/* When something has come through, end it: from a thread that is not the run's owner. */
static struct sb_step stop_run(void *context)
{
    const struct stopper *stopper = context;

    if (stats_of(stopper->run).records_written < 100)
        return sb_step_again();
    sabot_run_stop(stopper->run);
    return sb_step_done();
}

static void a_stop_from_another_thread_finishes_what_is_in_flight(void **state)
{
    struct words *words = *state;
    struct sb_env *env;
    struct sb_waker *waker;

    words_bind_files(words);
    words_setting.has_source = true;
    words_setting.source_count = -1;
    words_setting.chain = true;
    assert_int_equal(sabot_config_bind(words->config, "words", "memory:", NULL), SABOT_OK);
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    for (uint32_t i = 0; i < 4; i++) {
        struct stopper stopper;
        struct sb_thread *thread;
        sabot_run_stats stats;

        words_set(words, "threads", i % 2 == 0 ? "1" : "2");
        stopper.run = make(words);
        assert_int_equal(
            env->type->spawn(env->self, "stopper", stop_run, &stopper, waker, &thread, NULL),
            SABOT_OK);
        if (i < 2) {
            assert_int_equal(sabot_run_start(stopper.run, &words->error), SABOT_OK);
            assert_int_equal(sabot_run_wait(stopper.run, -1, &words->error), SABOT_END);
        } else {
            assert_int_equal(step_to_the_end(stopper.run, &words->error), SABOT_END);
        }
        env->type->join(env->self, thread);
        stats = stats_of(stopper.run);
        assert_true(stats.records_written >= 100);
        assert_int_equal(stats.records_written, stats.records_read);
        assert_int_equal(stats.records_processed, 2 * stats.records_read);
        sabot_run_destroy(stopper.run);
    }
    env->type->waker_destroy(env->self, waker);
    sb_os_env_destroy(env);
}

static void a_stop_before_the_start_ends_the_run(void **state)
{
    struct words *words = *state;
    sabot_run *run;

    words_setting.has_source = true;
    words_setting.source_count = -1;
    for (int i = 0; i < 2; i++) {
        run = make(words);
        sabot_run_stop(run);
        if (i == 0) {
            assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
        } else {
            assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
            assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
        }
        assert_int_equal(stats_of(run).records_read, 0);
        assert_false(stats_of(run).started);
        sabot_run_destroy(run);
    }
}

static void a_run_may_be_destroyed_at_any_moment(void **state)
{
    struct words *words = *state;

    words_setting.has_source = true;
    words_setting.source_count = -1;
    words_setting.chain = true;
    words_set(words, "threads", "2");
    for (int i = 0; i < 20; i++) {
        sabot_run *run = make(words);

        if (i % 2 == 0 && i > 0) {
            assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
            while (i > 10 && !stats_of(run).started) {}
        }
        for (int n = 0; i % 2 == 1 && n < i * 2; n++)
            assert_int_equal(sabot_run_step(run, NULL, &words->error), SABOT_AGAIN);
        sabot_run_destroy(run);
    }
}

static void calls_out_of_order_are_refused(void **state)
{
    struct words *words = *state;
    sabot_run *run;

    words_setting.has_source = true;
    words_setting.source_count = -1;
    run = make(words);
    assert_int_equal(sabot_run_wait(run, 0, &words->error), SABOT_ERR_STATE);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_ERR_STATE);
    assert_int_equal(sabot_run_step(run, NULL, &words->error), SABOT_ERR_STATE);
    assert_int_equal(sabot_run_wait(run, 0, &words->error), SABOT_AGAIN);
    assert_int_equal(sabot_run_wait(run, 1, &words->error), SABOT_AGAIN);
    sabot_run_stop(run);
    assert_int_equal(sabot_run_wait(run, INT64_MAX, &words->error), SABOT_END);
    assert_int_equal(sabot_run_wait(run, -1, NULL), SABOT_END);
    assert_int_equal(sabot_run_start(run, NULL), SABOT_ERR_STATE);
    sabot_run_destroy(run);
}

/* --- Failure -------------------------------------------------------------------------------------
 */

static void an_agent_that_fails_ends_the_run_with_its_place(void **state)
{
    struct words *words = *state;

    words_write(words, 5000);
    words_bind_files(words);
    words_setting.fail_id = 3210;
    for (uint32_t i = 0; i < 4; i++) {
        sabot_run_stats stats;
        sabot_run *run;

        words_setting.chain = i % 2 == 0;
        run = make(words);
        if (i < 2) {
            assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
            assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_ERR_USER);
            assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_ERR_USER);
        } else {
            assert_int_equal(step_to_the_end(run, &words->error), SABOT_ERR_USER);
        }
        assert_non_null(strstr(words->error.text, "agent count: partition 0, offset "));
        assert_non_null(strstr(words->error.text, "word 3210 is one too many"));
        stats = stats_of(run);
        assert_int_equal(stats.records_failed, 1);
        assert_int_equal(stats.records_written, 3210);
        assert_int_equal(stats.records_processed, words_setting.chain ? 6420 : 3210);
        assert_true(stats.records_read >= 3211);
        sabot_run_destroy(run);
        words_read(words, &seen);
        words_expect(&seen, 3210);
    }
}

static void broken_records_end_the_run_or_are_left_out(void **state)
{
    struct words *words = *state;
    sabot_run_stats stats;
    sabot_run *run;
    FILE *file;

    words_write(words, 100);
    file = fopen(words->in, "a");
    assert_non_null(file);
    assert_true(fprintf(file, "{\"id\": 100\n{\"id\": 100}\n[]\n{\"id\": 100, \"word\": 5}\n") > 0);
    assert_int_equal(fclose(file), 0);
    words_bind_files(words);
    assert_int_equal(sabot_app_run(&words_app, words->config, &words->error), SABOT_ERR_FORMAT);
    assert_non_null(strstr(words->error.text, "channel words: "));
    assert_non_null(strstr(words->error.text, "line 101"));
    words_read(words, &seen);
    words_expect(&seen, 100);
    words_set(words, "errors.decode", "skip");
    words_set(words, "log.level", "error");
    run = make(words);
    assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
    stats = stats_of(run);
    assert_int_equal(stats.records_read, 104);
    assert_int_equal(stats.records_skipped, 4);
    assert_int_equal(stats.records_processed, 100);
    assert_int_equal(stats.records_written, 100);
    sabot_run_destroy(run);
    words_read(words, &seen);
    words_expect(&seen, 100);
}

static void a_missing_file_is_told_with_its_channel(void **state)
{
    struct words *words = *state;

    words_bind_files(words);
    assert_int_equal(sabot_app_run(&words_app, words->config, &words->error), SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(words->error.text, "channel words"));
    assert_non_null(strstr(words->error.text, words->in));
}

static void a_file_is_an_input_or_an_output_of_one_channel(void **state)
{
    struct words *words = *state;
    char url[160];

    words_write(words, 5);
    words_bind_files(words);
    (void)snprintf(url, sizeof url, "file:%s", words->in);
    assert_int_equal(sabot_config_bind(words->config, "results", url, &words->error), SABOT_OK);
    assert_int_equal(sabot_app_run(&words_app, words->config, &words->error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(words->error.text, "words"));
    assert_non_null(strstr(words->error.text, "results"));
    assert_non_null(strstr(words->error.text, "same file"));
}

static void an_embedded_input_that_nobody_writes_is_refused(void **state)
{
    struct words *words = *state;

    assert_int_equal(sabot_app_run(&words_app, words->config, &words->error), SABOT_ERR_STATE);
    assert_non_null(strstr(words->error.text, "channel words: nothing writes to it"));
}

/* --- What it says of itself ----------------------------------------------------------------------
 */

static bool describes(sabot_run *run, const char *part)
{
    const char *line;

    for (size_t i = 0; sabot_run_describe(run, i, &line); i++) {
        assert_non_null(line);
        if (strstr(line, part) != NULL)
            return true;
    }
    assert_null(line);
    return false;
}

static void a_run_describes_what_it_does(void **state)
{
    struct words *words = *state;
    const char *line;
    sabot_run *run;

    words_write(words, 10);
    words_bind_files(words);
    words_setting.chain = true;
    words_set(words, "threads", "2");
    run = make(words);
    assert_false(sabot_run_describe(run, 0, &line));
    assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
    assert_true(describes(run, "app wordcount: 1 pipeline, 2 threads each"));
    assert_true(describes(run, "nothing is kept"));
    assert_true(describes(run, "reads  words (file:"));
    assert_true(describes(run, "writes results (file:"));
    assert_true(describes(run, "passes counted from agent to agent"));
    assert_true(describes(run, "agent  count on words, by word, to counted"));
    assert_true(describes(run, "agent  mark on counted, to results"));
    assert_false(describes(run, "unheard of"));
    assert_false(sabot_run_describe(run, SIZE_MAX, &line));
    sabot_run_destroy(run);
}

static void outputs_are_counted_by_channel(void **state)
{
    struct words *words = *state;
    const char *channel;
    uint64_t records;
    sabot_run *run;

    words_write(words, 321);
    words_bind_files(words);
    words_setting.chain = true;
    run = make(words);
    assert_true(sabot_run_output(run, 0, &channel, &records));
    assert_int_equal(records, 0);
    assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
    assert_true(sabot_run_output(run, 0, &channel, &records));
    assert_string_equal(channel, "results");
    assert_int_equal(records, 321);
    assert_false(sabot_run_output(run, 1, &channel, &records));
    assert_null(channel);
    sabot_run_destroy(run);
}

static void the_counters_of_a_run_add_up(void **state)
{
    struct words *words = *state;
    sabot_run_stats stats;
    sabot_run *run;

    words_write(words, 1000);
    words_bind_files(words);
    words_set(words, "threads", "3");
    run = make(words);
    stats = stats_of(run);
    assert_int_equal(stats.records_read, 0);
    assert_true(stats.watermark_ms == INT64_MIN);
    assert_true(stats.first_record_us == -1);
    assert_true(stats.delay_p50_us == -1 && stats.delay_max_us == -1);
    assert_false(stats.started);
    assert_true(stats.connected);
    assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
    stats = stats_of(run);
    assert_int_equal(stats.records_read, 1000);
    assert_int_equal(stats.records_processed + stats.records_skipped + stats.records_failed, 1000);
    assert_int_equal(stats.records_written, 1000);
    assert_true(stats.bytes_read > 20000);
    assert_int_equal(stats.lag, 0);
    assert_true(stats.watermark_ms == INT64_MAX);
    assert_true(stats.started);
    assert_true(stats.first_record_us >= 0 && stats.first_record_us <= stats.run_us);
    assert_true(stats.delay_p50_us >= 0);
    assert_true(stats.delay_p50_us <= stats.delay_p95_us);
    assert_true(stats.delay_p95_us <= stats.delay_p99_us);
    assert_true(stats.delay_p99_us <= stats.delay_p999_us);
    assert_true(stats.peak_memory_bytes > 0);
    assert_int_equal(stats_of(run).run_us, stats.run_us); /* it stands still at the end */
    sabot_run_destroy(run);
}

static void each_record_of_a_partition_is_accounted_for(void **state)
{
    struct words *words = *state;
    sabot_account account;
    sabot_run *run;

    words_write(words, 700);
    words_bind_files(words);
    words_setting.chain = true;
    words_set(words, "threads", "3");
    run = make(words);
    assert_false(sabot_run_account(run, 0, &account));
    assert_int_equal(step_to_the_end(run, &words->error), SABOT_END);
    assert_true(sabot_run_account(run, 0, &account));
    assert_string_equal(account.channel, "words");
    assert_string_equal(account.agent, "count");
    assert_int_equal(account.partition, 0);
    assert_int_equal(account.read, 700);
    assert_int_equal(account.processed + account.filtered + account.late + account.skipped +
                         account.failed,
                     700);
    assert_false(sabot_run_account(run, 1, &account)); /* the other agent reads no channel */
    sabot_run_destroy(run);
}

/* --- Memory --------------------------------------------------------------------------------------
 */

static sabot_status live_with_failing_memory(struct words *words,
                                             struct sb_env *env,
                                             uint64_t nth,
                                             sabot_error *error)
{
    sabot_run *run;
    sabot_status status;

    sb_os_env_fail_allocation(env, nth);
    status = sb_run_create(env, &words_app, words->config, &run, error);
    if (status == SABOT_OK)
        status = step_to_the_end(run, error);
    sabot_run_destroy(run);
    sb_os_env_fail_allocation(env, 0);
    return status;
}

static void without_memory_a_run_fails_and_leaks_nothing(void **state)
{
    struct words *words = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_env *env;
    uint64_t nth;

    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    words_write(words, 300);
    words_bind_files(words);
    words_setting.chain = true;
    words_set(words, "threads", "2");
    words_set(words, "batch.rows", "50");
    for (nth = 1; status != SABOT_END; nth++) {
        sabot_error error = {.status = SABOT_OK};

        status = live_with_failing_memory(words, env, nth, &error);
        if (status != SABOT_END) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_int_equal(error.status, SABOT_ERR_MEMORY);
            assert_true(error.text[0] != '\0');
        }
    }
    words_read(words, &seen);
    words_expect(&seen, 300);
    print_message("%llu allocations\n", (unsigned long long)nth);
    sb_os_env_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORDS_TEST(threads_and_steps_give_the_same_result),
        WORDS_TEST(a_source_of_the_app_is_read_to_its_end),
        WORDS_TEST(two_runs_live_in_one_process),
        WORDS_TEST(a_stop_from_another_thread_finishes_what_is_in_flight),
        WORDS_TEST(a_stop_before_the_start_ends_the_run),
        WORDS_TEST(a_run_may_be_destroyed_at_any_moment),
        WORDS_TEST(calls_out_of_order_are_refused),
        WORDS_TEST(an_agent_that_fails_ends_the_run_with_its_place),
        WORDS_TEST(broken_records_end_the_run_or_are_left_out),
        WORDS_TEST(a_missing_file_is_told_with_its_channel),
        WORDS_TEST(a_file_is_an_input_or_an_output_of_one_channel),
        WORDS_TEST(an_embedded_input_that_nobody_writes_is_refused),
        WORDS_TEST(a_run_describes_what_it_does),
        WORDS_TEST(outputs_are_counted_by_channel),
        WORDS_TEST(the_counters_of_a_run_add_up),
        WORDS_TEST(each_record_of_a_partition_is_accounted_for),
        WORDS_TEST(without_memory_a_run_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
