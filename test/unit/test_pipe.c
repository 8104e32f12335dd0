/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipe.c - records by hand: feeding and reading an embedded run, and files without one. The
 * app counts words (words_app.h). */
#include "words_app.h"

#include "api/run.h"
#include "base/hash.h"

static struct words_seen seen;

static sabot_run *make(struct words *words)
{
    sabot_run *run;

    assert_int_equal(sabot_run_create(&words_app, words->config, &run, &words->error), SABOT_OK);
    return run;
}

static sabot_pipe *open_pipe(struct words *words,
                             sabot_run *run,
                             const char *channel,
                             bool for_writing)
{
    sabot_pipe *pipe = NULL;

    if (sabot_run_pipe(run, channel, for_writing, &pipe, &words->error) != SABOT_OK)
        print_message("%s\n", words->error.text);
    assert_non_null(pipe);
    return pipe;
}

static void send(struct words *words, sabot_pipe *pipe, int64_t first, int64_t end)
{
    char text[128];

    for (int64_t id = first; id < end; id++) {
        const size_t size = words_format(text, sizeof text, id);

        assert_int_equal(sabot_pipe_send(pipe, (sabot_text){text, size}, &words->error), SABOT_OK);
    }
}

static void close_pipe(struct words *words, sabot_pipe *pipe)
{
    assert_int_equal(sabot_pipe_close(pipe, &words->error), SABOT_OK);
}

/* Take until the end. */
static void take_all(struct words *words, sabot_pipe *pipe)
{
    sabot_record record;
    sabot_status status;

    memset(&seen, 0, sizeof seen);
    while ((status = sabot_pipe_take(pipe, -1, &record, &words->error)) == SABOT_OK)
        words_see(&seen, record.value.data, record.value.size);
    assert_int_equal(status, SABOT_END);
}

static sabot_status step_to_the_end(struct words *words, sabot_run *run)
{
    sabot_status status;

    while ((status = sabot_run_step(run, NULL, &words->error)) == SABOT_AGAIN) {}
    return status;
}

/* --- In a run ------------------------------------------------------------------------------------
 */

static void what_is_sent_comes_out_as_results(void **state)
{
    struct words *words = *state;

    for (uint32_t i = 0; i < 8; i++) {
        sabot_run *run;
        sabot_pipe *in;
        sabot_pipe *out;

        words_setting.chain = i % 2 == 0;
        words_setting.in = i / 2 % 2 == 0 ? NULL : "memory:?partitions=4";
        words_setting.out = i / 2 % 2 == 0 ? NULL : "memory:?partitions=3";
        words_set(words, "threads", i / 2 % 2 == 0 ? "1" : "3");
        run = make(words);
        in = open_pipe(words, run, "words", true);
        out = open_pipe(words, run, "results", false);
        if (i < 4)
            assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
        send(words, in, 0, 2000);
        close_pipe(words, in);
        if (i >= 4)
            assert_int_equal(step_to_the_end(words, run), SABOT_END);
        take_all(words, out);
        words_expect(&seen, 2000);
        if (i < 4)
            assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
        close_pipe(words, out);
        sabot_run_destroy(run);
    }
}

static void each_record_is_answered_while_the_run_goes_on(void **state)
{
    struct words *words = *state;
    sabot_run *run = make(words);
    sabot_pipe *in = open_pipe(words, run, "words", true);
    sabot_pipe *out = open_pipe(words, run, "results", false);
    sabot_record record;

    memset(&seen, 0, sizeof seen);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    for (int64_t id = 0; id < 200; id++) {
        send(words, in, id, id + 1);
        assert_int_equal(sabot_pipe_take(out, -1, &record, &words->error), SABOT_OK);
        words_see(&seen, record.value.data, record.value.size);
        assert_int_equal(record.offset, id);
        assert_int_equal(record.partition, 0);
        assert_int_equal(record.timestamp_ms, id);
        assert_int_equal(record.key.size, 2);
        assert_memory_equal(record.key.data, record.value.data + strlen("{\"word\":\""), 2);
    }
    words_expect(&seen, 200);
    assert_int_equal(sabot_run_wait(run, 0, &words->error), SABOT_AGAIN);
    close_pipe(words, in);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    close_pipe(words, out);
    sabot_run_destroy(run);
}

static void an_input_ends_when_its_last_pipe_is_closed(void **state)
{
    struct words *words = *state;
    sabot_run *run = make(words);
    sabot_pipe *first = open_pipe(words, run, "words", true);
    sabot_pipe *second = open_pipe(words, run, "words", true);
    sabot_pipe *out = open_pipe(words, run, "results", false);
    sabot_record record;

    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    send(words, first, 0, 100);
    close_pipe(words, first);
    for (int i = 0; i < 100; i++)
        assert_int_equal(sabot_pipe_take(out, -1, &record, &words->error), SABOT_OK);
    assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_AGAIN);
    assert_int_equal(sabot_pipe_take(out, 1, &record, &words->error), SABOT_AGAIN);
    send(words, second, 100, 150);
    close_pipe(words, second);
    for (int i = 0; i < 50; i++)
        assert_int_equal(sabot_pipe_take(out, -1, &record, &words->error), SABOT_OK);
    assert_int_equal(sabot_pipe_take(out, -1, &record, &words->error), SABOT_END);
    assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_END);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    close_pipe(words, out);
    sabot_run_destroy(run);
}

static void a_full_channel_holds_the_sender_back_and_nothing_is_lost(void **state)
{
    struct words *words = *state;
    sabot_run *run;
    sabot_pipe *in;
    sabot_run_stats stats;

    words_set(words, "channel.buffer_bytes", "64KiB");
    words_set(words, "ring.bytes", "64KiB");
    words_setting.chain = true;
    run = make(words);
    in = open_pipe(words, run, "words", true);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    send(words, in, 0, 15000); /* more than ten times as much */
    close_pipe(words, in);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    sabot_run_get_stats(run, &stats);
    assert_int_equal(stats.records_read, 15000);
    assert_int_equal(stats.records_written, 15000);
    sabot_run_destroy(run);
}

static void what_is_sent_before_the_start_is_not_lost(void **state)
{
    struct words *words = *state;
    char text[128];
    sabot_run *run;
    sabot_pipe *in;
    sabot_run_stats stats;
    sabot_status status = SABOT_OK;
    int64_t sent = 0;

    words_set(words, "channel.buffer_bytes", "64KiB");
    run = make(words);
    in = open_pipe(words, run, "words", true);
    while (status == SABOT_OK && sent < 15000) {
        const size_t size = words_format(text, sizeof text, sent);

        status = sabot_pipe_send(in, (sabot_text){text, size}, &words->error);
        sent += status == SABOT_OK;
    }
    assert_int_equal(status, SABOT_AGAIN);
    assert_true(sent > 500);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    send(words, in, sent, 15000);
    close_pipe(words, in);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    sabot_run_get_stats(run, &stats);
    assert_int_equal(stats.records_read, 15000);
    sabot_run_destroy(run);
}

static void a_run_that_is_stepped_by_hand_is_fed_between_the_steps(void **state)
{
    struct words *words = *state;
    char text[128];
    sabot_run *run;
    sabot_pipe *in;
    sabot_run_stats stats;
    uint32_t full = 0;

    words_set(words, "channel.buffer_bytes", "64KiB");
    run = make(words);
    in = open_pipe(words, run, "words", true);
    for (int64_t id = 0; id < 15000;) {
        const size_t size = words_format(text, sizeof text, id);
        const sabot_status status = sabot_pipe_send(in, (sabot_text){text, size}, &words->error);

        if (status == SABOT_OK) {
            id++;
            continue;
        }
        assert_int_equal(status, SABOT_AGAIN);
        assert_int_equal(sabot_run_step(run, NULL, &words->error), SABOT_AGAIN);
        full++;
    }
    assert_true(full > 0);
    close_pipe(words, in);
    assert_int_equal(step_to_the_end(words, run), SABOT_END);
    sabot_run_get_stats(run, &stats);
    assert_int_equal(stats.records_read, 15000);
    sabot_run_destroy(run);
}

static void a_failed_run_does_not_hold_its_senders(void **state)
{
    struct words *words = *state;
    sabot_run *run;
    sabot_pipe *in;

    words_set(words, "channel.buffer_bytes", "64KiB");
    words_setting.fail_id = 10;
    run = make(words);
    in = open_pipe(words, run, "words", true);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    send(words, in, 0, 15000);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_ERR_USER);
    close_pipe(words, in);
    sabot_run_destroy(run);
}

static void keys_pick_the_partition_as_other_clients_do(void **state)
{
    struct words *words = *state;
    sabot_run *run;
    sabot_pipe *in;
    sabot_pipe *out;
    sabot_record record;
    int64_t next[5] = {0};

    words_setting.in = "memory:?partitions=5";
    run = make(words);
    in = open_pipe(words, run, "words", true);
    out = open_pipe(words, run, "words", false);
    send(words, in, 0, 300);
    close_pipe(words, in);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_OK);
        assert_int_equal(record.partition,
                         sb_partition_of_key(record.key.data, record.key.size, 5));
        assert_int_equal(record.offset, next[record.partition]++);
    }
    assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_END);
    close_pipe(words, out);
    sabot_run_destroy(run);
}

/* --- Refused -------------------------------------------------------------------------------------
 */

static void what_is_no_record_is_refused_and_not_sent(void **state)
{
    static const struct {
        const char *text;
        sabot_status status;
    } cases[] = {
        {"", SABOT_ERR_FORMAT},
        {"{\"id\": 1", SABOT_ERR_FORMAT},
        {"[]", SABOT_ERR_FORMAT},
        {"{\"id\": 1}", SABOT_ERR_SCHEMA},
        {"{\"id\": \"1\", \"word\": \"w\"}", SABOT_ERR_SCHEMA},
        {"{\"id\": 1.5, \"word\": \"w\"}", SABOT_ERR_SCHEMA},
    };
    struct words *words = *state;
    sabot_run *run = make(words);
    sabot_pipe *in = open_pipe(words, run, "words", true);
    sabot_pipe *out = open_pipe(words, run, "words", false);
    sabot_record record;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const sabot_status status =
            sabot_pipe_send(in, sabot_text_of(cases[i].text), &words->error);

        assert_int_equal(status, cases[i].status);
        assert_int_equal(words->error.status, status);
        send(words, in, (int64_t)i, (int64_t)i + 1); /* the pipe goes on */
    }
    close_pipe(words, in);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_OK);
    assert_int_equal(sabot_pipe_take(out, 0, &record, &words->error), SABOT_END);
    close_pipe(words, out);
    sabot_run_destroy(run);
}

static sabot_status try_pipe(struct words *words, const char *channel, bool for_writing)
{
    sabot_run *run = make(words);
    sabot_pipe *pipe;
    const sabot_status status = sabot_run_pipe(run, channel, for_writing, &pipe, &words->error);

    assert_int_equal(pipe == NULL, status != SABOT_OK);
    (void)!sabot_pipe_close(pipe, NULL);
    sabot_run_destroy(run);
    return status;
}

static void a_pipe_of_a_run_is_for_its_open_memory_channels(void **state)
{
    struct words *words = *state;

    words_setting.chain = true;
    assert_int_equal(try_pipe(words, "words", true), SABOT_OK);
    assert_int_equal(try_pipe(words, "results", false), SABOT_OK);
    assert_int_equal(try_pipe(words, "wrods", true), SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(words->error.text, "wrods"));
    assert_int_equal(try_pipe(words, "counted", false), SABOT_ERR_UNSUPPORTED);
    words_setting.has_source = true;
    assert_int_equal(try_pipe(words, "words", true), SABOT_ERR_STATE);
    words_bind_files(words);
    assert_int_equal(try_pipe(words, "results", false), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(words->error.text, "results"));
}

static void a_pipe_has_one_direction(void **state)
{
    struct words *words = *state;
    sabot_run *run = make(words);
    sabot_pipe *in = open_pipe(words, run, "words", true);
    sabot_pipe *out = open_pipe(words, run, "words", false);
    sabot_record record;

    assert_int_equal(sabot_pipe_take(in, 0, &record, &words->error), SABOT_ERR_STATE);
    assert_int_equal(sabot_pipe_send(out, sabot_text_of("{}"), &words->error), SABOT_ERR_STATE);
    close_pipe(words, out);
    close_pipe(words, in);
    sabot_run_destroy(run);
}

/* --- Without a run -------------------------------------------------------------------------------
 */

static void a_file_is_written_and_read_without_a_run(void **state)
{
    struct words *words = *state;
    sabot_pipe *pipe;
    sabot_record record;
    char text[128];

    words_bind_files(words);
    assert_int_equal(
        sabot_pipe_open(&words_app, words->config, "words", true, &pipe, &words->error), SABOT_OK);
    send(words, pipe, 0, 100);
    close_pipe(words, pipe);
    assert_int_equal(
        sabot_pipe_open(&words_app, words->config, "words", false, &pipe, &words->error), SABOT_OK);
    for (int64_t id = 0; id < 100; id++) {
        const size_t size = words_format(text, sizeof text, id);

        assert_int_equal(sabot_pipe_take(pipe, -1, &record, &words->error), SABOT_OK);
        assert_int_equal(record.value.size, size);
        assert_memory_equal(record.value.data, text, size);
    }
    assert_int_equal(sabot_pipe_take(pipe, -1, &record, &words->error), SABOT_END);
    close_pipe(words, pipe);
}

static void a_pipe_that_cannot_be_opened_says_why(void **state)
{
    struct words *words = *state;
    sabot_pipe *pipe;

    assert_int_equal(
        sabot_pipe_open(&words_app, words->config, "words", true, &pipe, &words->error),
        SABOT_ERR_UNSUPPORTED);
    assert_null(pipe);
    assert_non_null(strstr(words->error.text, "words"));
    words_bind_files(words);
    assert_int_equal(
        sabot_pipe_open(&words_app, words->config, "words", false, &pipe, &words->error),
        SABOT_ERR_NOT_FOUND);
    assert_null(pipe);
    assert_int_equal(
        sabot_pipe_open(&words_app, words->config, "nothing", false, &pipe, &words->error),
        SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(words->error.text, "nothing"));
    assert_int_equal(sabot_pipe_open(NULL, words->config, "words", false, &pipe, &words->error),
                     SABOT_ERR_FORMAT);
}

/* --- Memory --------------------------------------------------------------------------------------
 */

static sabot_status live_with_failing_memory(struct words *words, sabot_run *run)
{
    sabot_pipe *in;
    sabot_pipe *out = NULL;
    sabot_record record;
    sabot_status status = sabot_run_pipe(run, "words", true, &in, &words->error);

    if (status == SABOT_OK)
        status = sabot_run_pipe(run, "words", false, &out, &words->error);
    for (int64_t id = 0; status == SABOT_OK && id < 20; id++) {
        char text[128];
        const size_t size = words_format(text, sizeof text, id);

        status = sabot_pipe_send(in, (sabot_text){text, size}, &words->error);
        if (status == SABOT_OK)
            status = sabot_pipe_take(out, 0, &record, &words->error);
    }
    (void)!sabot_pipe_close(out, NULL);
    (void)!sabot_pipe_close(in, NULL);
    return status;
}

static void without_memory_a_pipe_fails_and_leaks_nothing(void **state)
{
    struct words *words = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_env *env;
    uint64_t nth;

    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    for (nth = 1; status != SABOT_OK; nth++) {
        sabot_run *run;

        assert_int_equal(sb_run_create(env, &words_app, words->config, &run, &words->error),
                         SABOT_OK);
        sb_os_env_fail_allocation(env, nth);
        status = live_with_failing_memory(words, run);
        sb_os_env_fail_allocation(env, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_int_equal(words->error.status, SABOT_ERR_MEMORY);
        }
        sabot_run_destroy(run);
    }
    assert_true(nth > 10);
    sb_os_env_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORDS_TEST(what_is_sent_comes_out_as_results),
        WORDS_TEST(each_record_is_answered_while_the_run_goes_on),
        WORDS_TEST(an_input_ends_when_its_last_pipe_is_closed),
        WORDS_TEST(a_full_channel_holds_the_sender_back_and_nothing_is_lost),
        WORDS_TEST(what_is_sent_before_the_start_is_not_lost),
        WORDS_TEST(a_run_that_is_stepped_by_hand_is_fed_between_the_steps),
        WORDS_TEST(a_failed_run_does_not_hold_its_senders),
        WORDS_TEST(keys_pick_the_partition_as_other_clients_do),
        WORDS_TEST(what_is_no_record_is_refused_and_not_sent),
        WORDS_TEST(a_pipe_of_a_run_is_for_its_open_memory_channels),
        WORDS_TEST(a_pipe_has_one_direction),
        WORDS_TEST(a_file_is_written_and_read_without_a_run),
        WORDS_TEST(a_pipe_that_cannot_be_opened_says_why),
        WORDS_TEST(without_memory_a_pipe_fails_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
