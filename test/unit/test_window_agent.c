/* SPDX-License-Identifier: Apache-2.0 */
/* test_window_agent.c - windows of an agent, as an app sees them.
 *
 * One agent is stepped by hand, so that its functions run on the test's own thread and may assert.
 * What windows do is proved by test_window_random.c; here is how an agent gets them. */
#include "test.h"

#include <sabot/sabot.h>

#include "api/run.h"

enum { LINES_MAX = 64, LINE_MAX = 128 };

struct record {
    sabot_text key;
    int64_t id;
    int64_t time_ms;
};

static const sabot_field record_fields[] = {
    SABOT_FIELD(struct record, key, "key", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct record, id, "id", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct record, time_ms, "time", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema record_schema = SABOT_SCHEMA("record", 1, struct record, record_fields);

static const sabot_window_aggregate aggregates[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "records"},
    {.function = SABOT_WINDOW_MEAN, .field = "id", .name = "mean"},
    {.function = SABOT_WINDOW_COLLECT, .field = "id", .name = "ids"},
};
static const sabot_window_spec per_ten = {.kind = SABOT_TUMBLING,
                                          .size_ms = 10,
                                          .keep_records = true};

static struct {
    sabot_window_spec spec;
    sabot_window_fired fired;
    sabot_window *window;
    bool has_key;
    bool intrudes; /* the second agent adds to the window of the first */
    uint32_t late;
} test;

/* What the functions of the app were told, a line each. */
static struct {
    char lines[LINES_MAX][LINE_MAX];
    uint32_t count;
} told;

static sabot_status add(sabot_context *context, const void *record)
{
    bool is_late;

    SABOT_TRY(sabot_window_add(context, test.window, record, &is_late));
    test.late += is_late;
    return SABOT_OK;
}

static sabot_status intrude(sabot_context *context, const void *record)
{
    return test.intrudes ? sabot_window_add(context, test.window, record, NULL) : SABOT_OK;
}

static sabot_status build(sabot_app *app)
{
    sabot_channel *in = sabot_channel_open(app, "in", NULL, &record_schema);
    sabot_agent *agent = sabot_agent_create(app, "counter", in, add, NULL);
    sabot_agent *second = sabot_agent_create(app, "second", in, intrude, NULL);

    sabot_channel_event_time(in, "time");
    if (test.has_key)
        sabot_agent_key(agent, "key");
    sabot_agent_key(second, "key");
    test.window = sabot_agent_window(agent, "tens", &test.spec, aggregates, 3, test.fired);
    return sabot_app_status(app);
}

static const sabot_app_entry app = {
    "SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry), "windows", build,
};

/* --- A run ---------------------------------------------------------------------------------------
 */

struct rig {
    struct sb_env *env;
    sabot_config *config;
    sabot_run *run;
    sabot_pipe *in;
    sabot_error error;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    *state = rig;
    memset(&test, 0, sizeof test);
    told.count = 0;
    if (rig == NULL || sb_os_env_create(&rig->env, &rig->error) != SABOT_OK)
        return -1;
    test.has_key = true;
    test.spec = per_ten;
    rig->config = sabot_config_create(NULL);
    return rig->config == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    sabot_config_destroy(rig->config);
    sb_os_env_destroy(rig->env);
    free(rig);
    return 0;
}

static void begin(struct rig *rig, sabot_window_fired fired)
{
    test.fired = fired;
    if (sb_run_create(rig->env, &app, rig->config, &rig->run, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
    assert_int_equal(sabot_run_pipe(rig->run, "in", true, &rig->in, &rig->error), SABOT_OK);
}

static void send(struct rig *rig, const char *key, int64_t id, int64_t time_ms)
{
    char text[LINE_MAX];
    const int size = snprintf(text, sizeof text, "{\"key\": \"%s\", \"id\": %lld, \"time\": %lld}",
                              key, (long long)id, (long long)time_ms);

    assert_int_equal(sabot_pipe_send(rig->in, (sabot_text){text, (size_t)size}, &rig->error),
                     SABOT_OK);
}

static void settle(struct rig *rig)
{
    int64_t wait_us = 0;

    while (wait_us == 0)
        assert_int_equal(sabot_run_step(rig->run, &wait_us, &rig->error), SABOT_AGAIN);
}

static sabot_status finish(struct rig *rig)
{
    sabot_status status;

    assert_int_equal(sabot_pipe_close(rig->in, &rig->error), SABOT_OK);
    while ((status = sabot_run_step(rig->run, NULL, &rig->error)) == SABOT_AGAIN) {}
    sabot_run_destroy(rig->run);
    return status;
}

static void tell(const char *format, ...) SABOT_PRINTF(1, 2);

static void tell(const char *format, ...)
{
    va_list arguments;

    assert_true(told.count < LINES_MAX);
    va_start(arguments, format);
    (void)vsnprintf(told.lines[told.count++], LINE_MAX, format, arguments);
    va_end(arguments);
}

static void expect_lines(const char *const *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < told.count; i++)
        assert_string_equal(told.lines[i], lines[i]);
    assert_int_equal(told.count, count);
}

/* --- Firing --------------------------------------------------------------------------------------
 */

static sabot_status tell_result(sabot_context *context, const sabot_window_result *result)
{
    const sabot_window_bounds bounds = sabot_window_result_bounds(result);
    const sabot_text key = sabot_key(context);
    int64_t records = 0;
    double mean = 0;
    sabot_text ids = {"", 0};

    if (!sabot_window_result_int64(result, 0, &records) ||
        !sabot_window_result_float64(result, 1, &mean) ||
        !sabot_window_result_text(result, 2, &ids))
        return sabot_fail(context, SABOT_ERR_USER, "a value is missing");
    assert_false(sabot_window_result_int64(result, 1, &records));
    assert_false(sabot_window_result_int64(result, 3, &records));
    assert_int_equal(sabot_window_result_records(result), records);
    tell("%.*s [%lld, %lld) %d.%lld: %lld, %g, %.*s", (int)key.size, key.data,
         (long long)bounds.start_ms, (long long)bounds.end_ms,
         (int)sabot_window_result_firing(result), (long long)sabot_window_result_number(result),
         (long long)records, mean, (int)ids.size, ids.data);
    return SABOT_OK;
}

static void a_window_of_an_agent_fires_with_its_key_and_results(void **state)
{
    static const char *const expected[] = {
        "a [0, 10) 2.1: 2, 1.5, [2,1]",
        "a [10, 20) 2.1: 1, 7, [7]",
        "b [0, 10) 2.1: 1, 3, [3]",
    };

    begin(*state, tell_result);
    send(*state, "a", 1, 9);
    send(*state, "a", 2, 4);
    send(*state, "b", 3, 0);
    send(*state, "a", 7, 12);
    assert_int_equal(finish(*state), SABOT_END);
    /* Windows of the same end fire in no certain order of keys. */
    for (uint32_t i = 0; i + 1 < told.count; i++) {
        for (uint32_t j = i + 1; j < told.count; j++) {
            if (strcmp(told.lines[j], told.lines[i]) < 0) {
                char line[LINE_MAX];

                memcpy(line, told.lines[i], LINE_MAX);
                memcpy(told.lines[i], told.lines[j], LINE_MAX);
                memcpy(told.lines[j], line, LINE_MAX);
            }
        }
    }
    expect_lines(expected, 3);
    assert_int_equal(test.late, 0);
}

static void a_record_for_a_window_that_is_over_is_late(void **state)
{
    begin(*state, tell_result);
    send(*state, "a", 1, 3);
    send(*state, "a", 2, 25);
    settle(*state);
    send(*state, "a", 3, 4);
    send(*state, "a", 4, 26);
    assert_int_equal(finish(*state), SABOT_END);
    assert_int_equal(test.late, 1);
    assert_int_equal(told.count, 2);
}

static sabot_status tell_record(sabot_context *context,
                                const void *record,
                                int64_t event_time_ms,
                                void *user)
{
    const struct record *in = record;

    (void)context;
    tell("%.*s %lld at %lld", (int)in->key.size, in->key.data, (long long)in->id,
         (long long)event_time_ms);
    return ++*(uint32_t *)user == 2 ? SABOT_ERR_LIMIT : SABOT_OK;
}

static sabot_status tell_records(sabot_context *context, const sabot_window_result *result)
{
    uint32_t count = 0;

    /* It stops when the function says so. */
    assert_int_equal(sabot_window_records(context, result, tell_record, &count), SABOT_ERR_LIMIT);
    return SABOT_OK;
}

static void the_records_of_a_window_come_by_event_time_then_arrival(void **state)
{
    static const char *const expected[] = {"a 2 at 4", "a 3 at 4"};

    begin(*state, tell_records);
    send(*state, "a", 1, 9);
    send(*state, "a", 2, 4);
    send(*state, "a", 3, 4);
    assert_int_equal(finish(*state), SABOT_END);
    expect_lines(expected, 2);
}

/* --- Errors --------------------------------------------------------------------------------------
 */

static void expect_failure(struct rig *rig, const char *text)
{
    assert_int_not_equal(finish(rig), SABOT_END);
    if (strstr(rig->error.text, text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, rig->error.text);
}

static sabot_status fail_it(sabot_context *context, const sabot_window_result *result)
{
    (void)result;
    return sabot_fail(context, SABOT_ERR_USER, "no more of this");
}

static void what_fails_in_a_firing_fails_the_run_and_names_the_key(void **state)
{
    begin(*state, fail_it);
    send(*state, "anna", 1, 9);
    expect_failure(*state, "no more of this");
}

static sabot_status add_again(sabot_context *context, const sabot_window_result *result)
{
    const struct record record = {.id = 1};

    (void)result;
    return sabot_window_add(context, test.window, &record, NULL);
}

static void a_window_takes_no_record_from_its_own_firing(void **state)
{
    begin(*state, add_again);
    send(*state, "a", 1, 9);
    expect_failure(*state, "while it fires");
}

static void another_agents_window_is_refused(void **state)
{
    test.intrudes = true;
    begin(*state, tell_result);
    send(*state, "a", 1, 9);
    expect_failure(*state, "not one of agent second");
}

static void expect_refusal(struct rig *rig, const char *text)
{
    test.fired = tell_result;
    assert_int_not_equal(sb_run_create(rig->env, &app, rig->config, &rig->run, &rig->error),
                         SABOT_OK);
    if (strstr(rig->error.text, text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, rig->error.text);
}

static void a_window_without_a_key_is_refused(void **state)
{
    test.has_key = false;
    expect_refusal(*state, "agent counter: window tens: windows are kept by key");
}

static void a_window_that_makes_no_sense_is_refused(void **state)
{
    test.spec.size_ms = 0;
    expect_refusal(*state, "a tumbling window of 0 ms: 1 or more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_window_of_an_agent_fires_with_its_key_and_results),
        TEST(a_record_for_a_window_that_is_over_is_late),
        TEST(the_records_of_a_window_come_by_event_time_then_arrival),
        TEST(what_fails_in_a_firing_fails_the_run_and_names_the_key),
        TEST(a_window_takes_no_record_from_its_own_firing),
        TEST(another_agents_window_is_refused),
        TEST(a_window_without_a_key_is_refused),
        TEST(a_window_that_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
