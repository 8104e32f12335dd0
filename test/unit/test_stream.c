/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream.c - building streams: every way to misuse them gives one error that names the step;
 * what is built well runs, plans itself, and leaks nothing without memory. */
#include "test.h"

#include <sabot/sabot.h>

#include "api/run.h"
#include "api/why.h"
#include "channel/memory.h"

struct click {
    sabot_text user;
    int64_t price;
    double weight;
    int64_t time_ms;
};
static const sabot_field click_fields[] = {
    SABOT_FIELD(struct click, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct click, price, "price", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct click, weight, "weight", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct click, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
};
static const sabot_schema click_schema = SABOT_SCHEMA("click", 1, struct click, click_fields);

struct total {
    sabot_text user;
    int64_t start_ms;
    int64_t end_ms;
    int64_t clicks;
    int64_t total;
};
static const sabot_field total_fields[] = {
    SABOT_FIELD(struct total, user, "user", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct total, start_ms, "window_start", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct total, end_ms, "window_end", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct total, clicks, "clicks", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct total, total, "total", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema total_schema = SABOT_SCHEMA("total", 1, struct total, total_fields);

static const sabot_window_spec per_minute = {.kind = SABOT_TUMBLING, .size_ms = 60000};
static const sabot_window_spec of_no_size = {.kind = SABOT_TUMBLING};
static const sabot_window_aggregate totals[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
    {.function = SABOT_WINDOW_SUM, .field = "price", .name = "total"},
};
static const sabot_window_aggregate of_no_field[] = {
    {.function = SABOT_WINDOW_SUM, .field = "prize", .name = "total"},
};
static const sabot_window_aggregate of_another_type[] = {
    {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
    {.function = SABOT_WINDOW_MEAN, .field = "price", .name = "total"},
};

static sabot_channel *clicks_of(sabot_app *app)
{
    sabot_channel *clicks = sabot_channel_open(app, "clicks", "memory:", &click_schema);

    sabot_channel_event_time(clicks, "time");
    return clicks;
}

static sabot_channel *totals_of(sabot_app *app)
{
    return sabot_channel_open(app, "totals", "memory:", &total_schema);
}

static sabot_channel *late_of(sabot_app *app)
{
    return sabot_channel_open(app, "late", "memory:", &click_schema);
}

static sabot_stream *by_user(sabot_app *app)
{
    return sabot_stream_key(sabot_stream_from(clicks_of(app)), "user");
}

static sabot_stream *windows_of(sabot_app *app)
{
    return sabot_stream_window(by_user(app), "per-minute", &per_minute);
}

static sabot_stream *results_of(sabot_app *app)
{
    return sabot_stream_aggregate(windows_of(app), totals, 2);
}

/* --- What is wrong -------------------------------------------------------------------------------
 */

static void unknown_key(sabot_app *app)
{
    (void)sabot_stream_key(sabot_stream_from(clicks_of(app)), "usr");
}
static void key_is_a_float(sabot_app *app)
{
    (void)sabot_stream_key(sabot_stream_from(clicks_of(app)), "weight");
}
static void key_of_windows(sabot_app *app)
{
    (void)sabot_stream_key(windows_of(app), "user");
}
static void window_without_a_key(sabot_app *app)
{
    (void)sabot_stream_window(sabot_stream_from(clicks_of(app)), "per-minute", &per_minute);
}
static void window_without_a_name(sabot_app *app)
{
    (void)sabot_stream_window(by_user(app), "per minute", &per_minute);
}
static void window_without_a_spec(sabot_app *app)
{
    (void)sabot_stream_window(by_user(app), "per-minute", NULL);
}
static void window_of_no_size(sabot_app *app)
{
    sabot_stream_to(sabot_stream_aggregate(
                        sabot_stream_window(by_user(app), "per-minute", &of_no_size), totals, 2),
                    totals_of(app));
}
static void name_twice(sabot_app *app)
{
    sabot_stream *stream = by_user(app);

    (void)sabot_stream_window(stream, "per-minute", &per_minute);
    (void)sabot_stream_window(stream, "per-minute", &per_minute);
}
static void window_of_windows(sabot_app *app)
{
    (void)sabot_stream_window(windows_of(app), "again", &per_minute);
}
static void aggregate_of_records(sabot_app *app)
{
    (void)sabot_stream_aggregate(by_user(app), totals, 2);
}
static void aggregated_twice(sabot_app *app)
{
    sabot_stream *windows = windows_of(app);

    (void)sabot_stream_aggregate(windows, totals, 2);
    (void)sabot_stream_aggregate(windows, totals, 2);
}
static void no_aggregates(sabot_app *app)
{
    (void)sabot_stream_aggregate(windows_of(app), totals, 0);
}
static void too_many_aggregates(sabot_app *app)
{
    (void)sabot_stream_aggregate(windows_of(app), totals, 17);
}
static void never_aggregated(sabot_app *app)
{
    (void)windows_of(app);
}
static void results_to_nowhere(sabot_app *app)
{
    (void)results_of(app);
}
static void results_to_no_channel(sabot_app *app)
{
    sabot_stream_to(results_of(app), NULL);
}
static void results_to_two_channels(sabot_app *app)
{
    sabot_stream *results = results_of(app);

    sabot_stream_to(results, totals_of(app));
    sabot_stream_to(results, late_of(app));
}
static void records_to_a_channel(sabot_app *app)
{
    sabot_stream_to(by_user(app), late_of(app));
}
static void late_records_of_results(sabot_app *app)
{
    sabot_stream_late(results_of(app), late_of(app));
}
static void late_records_to_two_channels(sabot_app *app)
{
    sabot_stream *windows = windows_of(app);

    sabot_stream_late(windows, late_of(app));
    sabot_stream_late(windows, totals_of(app));
}
static void late_records_of_another_shape(sabot_app *app)
{
    sabot_stream *windows = windows_of(app);

    sabot_stream_late(windows, totals_of(app));
    sabot_stream_to(sabot_stream_aggregate(windows, totals, 2),
                    sabot_channel_open(app, "more", "memory:", &total_schema));
}
static void aggregate_of_no_field(sabot_app *app)
{
    sabot_stream_to(sabot_stream_aggregate(windows_of(app), of_no_field, 1), totals_of(app));
}
static void result_of_another_type(sabot_app *app)
{
    sabot_stream_to(sabot_stream_aggregate(windows_of(app), of_another_type, 2), totals_of(app));
}
static void results_without_their_window(sabot_app *app)
{
    sabot_stream_to(results_of(app), late_of(app));
}

struct misuse {
    void (*build)(sabot_app *app);
    sabot_status status;
    const char *names; /* what the text must have */
};

static const struct misuse misuses[] = {
    {unknown_key, SABOT_ERR_SCHEMA, "key of stream clicks: schema click has no field usr"},
    {key_is_a_float, SABOT_ERR_SCHEMA, "key of stream clicks: field weight has type float64"},
    {key_of_windows, SABOT_ERR_ARGUMENT,
     "stream per-minute: sabot_stream_key() takes records, these are windows"},
    {window_without_a_key, SABOT_ERR_STATE, "window per-minute has no key"},
    {window_without_a_name, SABOT_ERR_ARGUMENT, "window \"per minute\""},
    {window_without_a_spec, SABOT_ERR_ARGUMENT, "window per-minute has no spec"},
    {window_of_no_size, SABOT_ERR_ARGUMENT, "window per-minute: "},
    {name_twice, SABOT_ERR_EXISTS, "window per-minute is created twice"},
    {window_of_windows, SABOT_ERR_ARGUMENT, "sabot_stream_window() takes records"},
    {aggregate_of_records, SABOT_ERR_ARGUMENT,
     "stream clicks: sabot_stream_aggregate() takes windows, these are records"},
    {aggregated_twice, SABOT_ERR_EXISTS, "window per-minute is aggregated twice"},
    {no_aggregates, SABOT_ERR_ARGUMENT, "window per-minute: 0 aggregates: 1 to 16"},
    {too_many_aggregates, SABOT_ERR_ARGUMENT, "window per-minute: 17 aggregates: 1 to 16"},
    {never_aggregated, SABOT_ERR_STATE, "window per-minute makes nothing"},
    {results_to_nowhere, SABOT_ERR_STATE, "window per-minute: its results go nowhere"},
    {results_to_no_channel, SABOT_ERR_ARGUMENT, "its results go to no channel of this app"},
    {results_to_two_channels, SABOT_ERR_EXISTS, "its results go to totals already"},
    {records_to_a_channel, SABOT_ERR_ARGUMENT, "takes results of windows, these are records"},
    {late_records_of_results, SABOT_ERR_ARGUMENT, "sabot_stream_late() takes windows"},
    {late_records_to_two_channels, SABOT_ERR_EXISTS, "its late records go to late already"},
    {late_records_of_another_shape, SABOT_ERR_SCHEMA, "window per-minute: "},
    {aggregate_of_no_field, SABOT_ERR_SCHEMA, "prize"},
    {result_of_another_type, SABOT_ERR_SCHEMA, "window per-minute: "},
    {results_without_their_window, SABOT_ERR_SCHEMA, "window per-minute: "},
};

static const struct misuse *current;

static sabot_status build_misuse(sabot_app *app)
{
    current->build(app);
    return sabot_app_status(app);
}

static void every_misuse_is_one_error_that_names_the_step(void **state)
{
    const sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "wrong",
                                   build_misuse};
    sabot_config *config = sabot_config_create(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
        sabot_error error = {.status = SABOT_OK};
        sabot_run *run = NULL;

        current = &misuses[i];
        if (sabot_run_create(&entry, config, &run, &error) != current->status ||
            strstr(error.text, current->names) == NULL)
            fail_msg("misuse %zu: %s: %s", i, sabot_status_name(error.status), error.text);
        assert_null(run);
    }
    sabot_config_destroy(config);
}

static void calls_on_nothing_do_nothing(void **state)
{
    (void)state;
    assert_null(sabot_stream_from(NULL));
    assert_null(sabot_stream_key(NULL, "user"));
    assert_null(sabot_stream_window(NULL, "per-minute", &per_minute));
    assert_null(sabot_stream_aggregate(NULL, totals, 2));
    sabot_stream_late(NULL, NULL);
    sabot_stream_to(NULL, NULL);
}

/* --- What is right -------------------------------------------------------------------------------
 */

/* Two streams over one channel: totals of minutes, and of all that is within a minute. */
static sabot_status build_well(sabot_app *app)
{
    static const sabot_window_spec until_quiet = {.kind = SABOT_SESSION, .gap_ms = 60000};
    sabot_stream *stream = by_user(app);
    sabot_stream *minutes = sabot_stream_window(stream, "per-minute", &per_minute);
    sabot_stream *visits = sabot_stream_window(stream, "visits", &until_quiet);

    sabot_stream_late(minutes, late_of(app));
    sabot_stream_to(sabot_stream_aggregate(minutes, totals, 2), totals_of(app));
    sabot_stream_to(sabot_stream_aggregate(visits, totals, 2),
                    sabot_channel_open(app, "visit-totals", "memory:", &total_schema));
    return sabot_app_status(app);
}

static const sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "well",
                                      build_well};

static void send(sabot_pipe *pipe, const char *json)
{
    sabot_error error;

    if (sabot_pipe_send(pipe, sabot_text_of(json), &error) != SABOT_OK)
        fail_msg("%s", error.text);
}

static void settle(sabot_run *run)
{
    int64_t wait_us = 0;

    while (wait_us == 0)
        assert_int_equal(sabot_run_step(run, &wait_us, NULL), SABOT_AGAIN);
}

static void expect(sabot_run *run, const char *channel, const char *const *lines)
{
    sabot_pipe *pipe;
    sabot_record record;

    assert_int_equal(sabot_run_pipe(run, channel, false, &pipe, NULL), SABOT_OK);
    for (; *lines != NULL; lines++) {
        assert_int_equal(sabot_pipe_take(pipe, 0, &record, NULL), SABOT_OK);
        if (record.value.size != strlen(*lines) ||
            memcmp(record.value.data, *lines, record.value.size) != 0)
            fail_msg("%s: %.*s, and not %s", channel, (int)record.value.size, record.value.data,
                     *lines);
    }
    assert_int_not_equal(sabot_pipe_take(pipe, 0, &record, NULL), SABOT_OK);
    assert_int_equal(sabot_pipe_close(pipe, NULL), SABOT_OK);
}

static void a_stream_goes_from_channel_to_channel(void **state)
{
    static const char *const minutes[] = {
        "{\"user\":\"ada\",\"window_start\":0,\"window_end\":60000,\"clicks\":2,\"total\":7}",
        "{\"user\":\"ada\",\"window_start\":60000,\"window_end\":120000,\"clicks\":1,\"total\":5}",
        NULL};
    static const char *const visits[] = {
        "{\"user\":\"ada\",\"window_start\":1000,\"window_end\":70000,\"clicks\":2,\"total\":7}",
        "{\"user\":\"ada\",\"window_start\":70000,\"window_end\":130000,\"clicks\":1,\"total\":5}",
        NULL};
    static const char *const late[] = {
        "{\"user\":\"ada\",\"price\":9,\"weight\":0,\"time\":2000}",
        "{\"user\":\"ada\",\"price\":8,\"time\":3000}", /* what is missing stays missing */
        NULL};
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;
    sabot_pipe *pipe;
    sabot_status status;

    (void)state;
    assert_int_equal(sabot_config_set(config, SABOT_FROM_OPTION, "batch.rows", "1", &error),
                     SABOT_OK);
    assert_int_equal(sabot_run_create(&entry, config, &run, &error), SABOT_OK);
    assert_int_equal(sabot_run_pipe(run, "clicks", true, &pipe, &error), SABOT_OK);
    send(pipe, "{\"user\": \"ada\", \"price\": 4, \"time\": 10000}");
    send(pipe, "{\"user\": \"ada\", \"price\": 3, \"time\": 1000}");
    send(pipe, "{\"user\": \"ada\", \"price\": 5, \"time\": 70000}");
    send(pipe, "{\"user\": \"ada\", \"price\": 9, \"weight\": 0, \"time\": 2000}");
    send(pipe, "{\"user\": \"ada\", \"price\": 8, \"time\": 3000}");
    assert_int_equal(sabot_pipe_close(pipe, &error), SABOT_OK);
    do {
        status = sabot_run_step(run, NULL, &error);
    } while (status == SABOT_AGAIN);
    assert_int_equal(status, SABOT_END);
    expect(run, "totals", minutes);
    expect(run, "visit-totals", visits);
    expect(run, "late", late);
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

/* The price of a record says how far time has come. */
static void tell(const void *record, sabot_event_time *time, void *user)
{
    const struct click *click = record;

    time->time_ms = click->time_ms + *(const int64_t *)user;
    if (click->price > time->watermark_ms)
        time->watermark_ms = click->price;
}

static sabot_status build_with_its_own_time(sabot_app *app)
{
    static const int64_t shift_ms = 1000;
    sabot_channel *clicks = clicks_of(app);
    sabot_stream *stream = sabot_stream_key(sabot_stream_from(clicks), "user");

    sabot_channel_time(clicks, tell, (void *)(uintptr_t)&shift_ms);
    stream = sabot_stream_window(stream, "per-minute", &per_minute);
    sabot_stream_to(sabot_stream_aggregate(stream, totals, 2), totals_of(app));
    return sabot_app_status(app);
}

static void a_function_of_the_app_says_when_a_window_is_over(void **state)
{
    static const char *const first[] = {
        "{\"user\":\"ada\",\"window_start\":0,\"window_end\":60000,\"clicks\":2,\"total\":60007}",
        NULL};
    const sabot_app_entry own = {"SABOTAPP", SABOT_ABI_VERSION, sizeof own, "own",
                                 build_with_its_own_time};
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;
    sabot_pipe *pipe;
    const char *text;

    (void)state;
    assert_int_equal(sabot_run_create(&own, config, &run, &error), SABOT_OK);
    assert_int_equal(sabot_run_plan(run, false, &text, &error), SABOT_OK);
    assert_non_null(strstr(text, "event time: a function of the app tells it"));
    assert_non_null(strstr(text, "on time when the watermark is at its end, closed 0 ms later"));
    assert_int_equal(sabot_run_pipe(run, "clicks", true, &pipe, &error), SABOT_OK);
    send(pipe, "{\"user\": \"ada\", \"price\": 7, \"time\": 58999}");
    settle(run);
    send(pipe, "{\"user\": \"ada\", \"price\": 60000, \"time\": 5}");
    settle(run);
    expect(run, "totals", first);
    assert_int_equal(sabot_pipe_close(pipe, &error), SABOT_OK);
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

static void a_plan_tells_its_times_before_it_runs(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;
    const char *text;

    (void)state;
    assert_int_equal(
        sabot_config_set(config, SABOT_FROM_OPTION, "channels.clicks.lateness_ms", "7000", &error),
        SABOT_OK);
    assert_int_equal(sabot_run_create(&entry, config, &run, &error), SABOT_OK);
    assert_int_equal(sabot_run_plan(run, false, &text, &error), SABOT_OK);
    assert_non_null(strstr(text, "event time: field time, lateness 7000 ms"));
    assert_non_null(strstr(text, "tumbling 60000 ms"));
    assert_non_null(strstr(text, "a record 7000 ms past its end, closed at 7000 ms"));
    assert_int_equal(sabot_run_plan(run, true, &text, &error), SABOT_OK);
    assert_non_null(strstr(text, "\"closes_after_ms\":7000"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

/* --- Why -----------------------------------------------------------------------------------------
 */

static char *ask_why(sabot_run *run, const char *of, const char *step, sabot_status expected)
{
    struct sb_control_request request = {.argument_count = step == NULL ? 1 : 2};
    sabot_error error = {.status = SABOT_OK};
    char *answer;

    request.arguments[0] = of;
    request.arguments[1] = step;
    sb_buffer_init(&request.answer, run->env);
    assert_int_equal(sb_why_serve(run, &request, &error), expected);
    assert_int_equal(sb_buffer_append(&request.answer, "", 1), SABOT_OK);
    answer = strdup(expected == SABOT_OK ? (const char *)request.answer.data : error.text);
    sb_buffer_reset(&request.answer);
    assert_non_null(answer);
    return answer;
}

static void expect_why(sabot_run *run, const char *of, const char *step, const char *part)
{
    char *answer = ask_why(run, of, step, SABOT_OK);

    if (strstr(answer, part) == NULL)
        fail_msg("\"%s\" is not in %s", part, answer);
    free(answer);
}

static void why_names_the_partition_that_holds_a_watermark(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;
    sabot_pipe *pipe;
    char *text;

    (void)state;
    assert_int_equal(sabot_config_bind(config, "clicks", "memory:?partitions=3", &error), SABOT_OK);
    assert_int_equal(
        sabot_config_set(config, SABOT_FROM_OPTION, "time.idle_after_ms", "3600000", &error),
        SABOT_OK);
    assert_int_equal(sabot_run_create(&entry, config, &run, &error), SABOT_OK);
    assert_int_equal(sabot_run_pipe(run, "clicks", true, &pipe, &error), SABOT_OK);
    send(pipe, "{\"user\": \"ada\", \"time\": 100000}"); /* they go to the partitions in turn */
    send(pipe, "{\"user\": \"ada\", \"time\": 30000}");
    settle(run);
    expect_why(run, "of=window", "step=visits",
               "window visits: watermark none yet\\u000a  held by ");
    expect_why(run, "of=window", "step=visits", "no record of it was read yet: all of it is read");
    expect_why(run, "of=window", "step=visits", "3 partitions: 3 active, 0 idle, 0 ended");
    send(pipe, "{\"user\": \"ada\", \"time\": -1}");
    settle(run);
    expect_why(
        run, "of=window", NULL,
        "window per-minute: watermark 1969-12-31T23:59:59.999Z (-1)\\u000a  the next window to "
        "fire on time ends at 1970-01-01T00:00:00.000Z (0), 1 ms further\\u000a");
    expect_why(run, "of=watermark", NULL, "; the newest is 100001 ms ahead");
    expect_why(run, "of=watermark", NULL, "\"state\":\"active\",\"watermark_ms\":-1,\"lag\":0,");
    expect_why(run, "of=watermark", NULL, "\"holds\":true,\"reason\":\"quiet\"}");
    text = ask_why(run, "of=window", "step=nobody", SABOT_ERR_NOT_FOUND);
    assert_string_equal(text, "app well runs no window nobody now");
    free(text);
    assert_int_equal(sabot_pipe_close(pipe, &error), SABOT_OK);
    while (sabot_run_step(run, NULL, &error) == SABOT_AGAIN) {}
    expect_why(run, "of=window", NULL,
               "watermark at the end of time\\u000a  all its inputs have ended");
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

static bool never_connected(const struct sb_channel *channel)
{
    (void)channel;
    return false;
}

/* Of the pipeline of the run. */
static struct sb_port *clicks_port(sabot_run *run)
{
    struct sb_graph *graph = &run->plan.pipelines[0].graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].kind == SB_NODE_SOURCE)
            return &graph->nodes[i].port;
    }
    fail_msg("there is no source");
    return NULL;
}

static void why_tells_a_broker_that_is_away_and_a_reader_that_is_held_back(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    struct sb_channel_type away;
    struct sb_control *control;
    struct sb_port *port;
    sabot_error error;
    sabot_run *run;
    sabot_pipe *pipe;

    (void)state;
    assert_int_equal(sabot_run_create(&entry, config, &run, &error), SABOT_OK);
    assert_int_equal(sabot_run_pipe(run, "clicks", true, &pipe, &error), SABOT_OK);
    settle(run);
    control = &run->plan.pipelines[0].flow->control;
    port = clicks_port(run);
    send(pipe, "{\"user\": \"ada\", \"time\": 7}");
    settle(run);
    expect_why(run, "of=watermark", NULL, "\"watermark_ms\":7,\"lag\":0,");
    /* More is staged than may be, and no commit comes. */
    control->staged_max = 1;
    atomic_store(&control->staged, 2);
    send(pipe, "{\"user\": \"ada\", \"time\": 9}");
    settle(run);
    expect_why(run, "of=watermark", NULL, "\"holds\":true,\"reason\":\"held-back\"}");
    expect_why(run, "of=window", "step=visits",
               "held by clicks, partition 0: its reader is held back: a step behind it is slower");
    /* Nobody knows what it would read, once its broker is back. */
    away = *port->type;
    away.connected = never_connected;
    port->type = &away;
    expect_why(run, "of=watermark", NULL, "\"holds\":true,\"reason\":\"away\"}");
    expect_why(run, "of=window", "step=visits",
               "held by clicks, partition 0: its broker is away\\u000a");
    port->type = &sb_channel_memory;
    atomic_store(&control->staged, 0);
    assert_int_equal(sabot_pipe_close(pipe, &error), SABOT_OK);
    while (sabot_run_step(run, NULL, &error) == SABOT_AGAIN) {}
    expect_why(run, "of=window", NULL, "all its inputs have ended");
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

static void without_memory_a_run_is_not_made_and_nothing_leaks(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_env *env;
    uint64_t nth;

    (void)state;
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    for (nth = 1; status != SABOT_OK; nth++) {
        sabot_error error = {.status = SABOT_OK};
        sabot_run *run = NULL;

        sb_os_env_fail_allocation(env, nth);
        status = sb_run_create(env, &entry, config, &run, &error);
        sb_os_env_fail_allocation(env, 0);
        if (status != SABOT_OK)
            assert_int_equal(error.status, SABOT_ERR_MEMORY);
        sabot_run_destroy(run);
    }
    assert_true(nth > 20);
    sb_os_env_destroy(env);
    sabot_config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_misuse_is_one_error_that_names_the_step),
        cmocka_unit_test(calls_on_nothing_do_nothing),
        cmocka_unit_test(a_stream_goes_from_channel_to_channel),
        cmocka_unit_test(a_function_of_the_app_says_when_a_window_is_over),
        cmocka_unit_test(a_plan_tells_its_times_before_it_runs),
        cmocka_unit_test(why_names_the_partition_that_holds_a_watermark),
        cmocka_unit_test(why_tells_a_broker_that_is_away_and_a_reader_that_is_held_back),
        cmocka_unit_test(without_memory_a_run_is_not_made_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
