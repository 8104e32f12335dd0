/* SPDX-License-Identifier: Apache-2.0 */
/* test_app.c - building an app: every way to misuse the builder gives one error that names what is
 * wrong, and later calls do nothing. */
#include "test.h"

#include <sabot/sabot.h>

#include "api/run.h"

struct number {
    int64_t id;
    sabot_text word;
    double weight;
    bool even;
    int64_t time_ms;
};

static const sabot_field number_fields[] = {
    SABOT_FIELD(struct number, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct number, word, "word", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct number, weight, "weight", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct number, even, "even", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct number, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
};
static const sabot_schema number_schema = SABOT_SCHEMA("number", 1, struct number, number_fields);

static const sabot_field bad_fields[] = {
    SABOT_FIELD(struct number, id, "id..x", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema bad_schema = SABOT_SCHEMA("bad", 1, struct number, bad_fields);

struct count {
    int64_t times;
};

static const sabot_field count_fields[] = {
    SABOT_FIELD(struct count, times, "times", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema count_schema = SABOT_SCHEMA("count", 1, struct count, count_fields);

static char name_129[130];

static sabot_status ignore(sabot_context *context, const void *record)
{
    (void)context;
    (void)record;
    return SABOT_OK;
}

static sabot_status fill_nothing(sabot_source *source,
                                 size_t records_max,
                                 sabot_position *position,
                                 void *user)
{
    (void)source;
    (void)records_max;
    (void)position;
    (void)user;
    return SABOT_END;
}

static sabot_channel *input(sabot_app *app)
{
    return sabot_channel_open(app, "numbers", "file:/nowhere/in.jsonl", &number_schema);
}

static sabot_channel *output(sabot_app *app)
{
    return sabot_channel_open(app, "results", "file:/nowhere/out.jsonl", &number_schema);
}

static sabot_agent *agent(sabot_app *app)
{
    return sabot_agent_create(app, "worker", input(app), ignore, NULL);
}

/* --- What is wrong -------------------------------------------------------------------------------
 */

static void empty_channel_name(sabot_app *app)
{
    (void)sabot_channel_open(app, "", NULL, &number_schema);
}
static void channel_name_with_a_space(sabot_app *app)
{
    (void)sabot_channel_open(app, "a b", NULL, &number_schema);
}
static void channel_without_name(sabot_app *app)
{
    (void)sabot_channel_open(app, NULL, NULL, &number_schema);
}
static void channel_name_too_long(sabot_app *app)
{
    (void)sabot_channel_open(app, name_129, NULL, &number_schema);
}
static void channel_name_of_a_folder(sabot_app *app)
{
    (void)sabot_channel_open(app, "..", NULL, &number_schema);
}
static void channel_twice(sabot_app *app)
{
    (void)input(app);
    (void)input(app);
}
static void channel_without_schema(sabot_app *app)
{
    (void)sabot_channel_open(app, "numbers", NULL, NULL);
}
static void channel_with_a_bad_schema(sabot_app *app)
{
    (void)sabot_channel_open(app, "numbers", NULL, &bad_schema);
}
static void too_many_channels(sabot_app *app)
{
    char name[32];

    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "channel%d", i);
        (void)sabot_channel_open(app, name, NULL, &number_schema);
    }
}
static void unknown_key_of_a_channel(sabot_app *app)
{
    sabot_channel_key(input(app), "nonsense");
}
static void key_of_a_channel_is_null(sabot_app *app)
{
    sabot_channel_key(input(app), NULL);
}
static void key_of_a_channel_is_a_float(sabot_app *app)
{
    sabot_channel_key(input(app), "weight");
}
static void key_of_a_channel_is_a_bool(sabot_app *app)
{
    sabot_channel_key(input(app), "even");
}
static void event_time_is_a_text(sabot_app *app)
{
    sabot_channel_event_time(input(app), "word");
}
static void lateness_below_zero(sabot_app *app)
{
    sabot_channel_lateness(input(app), -1);
}
static void idle_below_zero(sabot_app *app)
{
    sabot_channel_idle_after(input(app), -1);
}
static void future_below_zero(sabot_app *app)
{
    sabot_channel_max_future(input(app), -1, SABOT_FUTURE_SKIP);
}
static void no_such_future(sabot_app *app)
{
    sabot_channel_max_future(input(app), 1, (sabot_future)7);
}
static void time_without_a_function(sabot_app *app)
{
    sabot_channel_time(input(app), NULL, NULL);
}
static void event_time_is_unknown(sabot_app *app)
{
    sabot_channel_event_time(input(app), "id.x");
}
static void source_without_function(sabot_app *app)
{
    sabot_channel_source(input(app), NULL, NULL);
}
static void agent_with_a_bad_name(sabot_app *app)
{
    (void)sabot_agent_create(app, "a/b", input(app), ignore, NULL);
}
static void agent_twice(sabot_app *app)
{
    sabot_channel *channel = input(app);

    (void)sabot_agent_create(app, "twin", channel, ignore, NULL);
    (void)sabot_agent_create(app, "twin", channel, ignore, NULL);
}
static void agent_without_channel(sabot_app *app)
{
    (void)sabot_agent_create(app, "orphan", NULL, ignore, NULL);
}
static void agent_without_function(sabot_app *app)
{
    (void)sabot_agent_create(app, "lazy", input(app), NULL, NULL);
}
static void too_many_agents(sabot_app *app)
{
    sabot_channel *channel = input(app);
    char name[32];

    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "agent%d", i);
        (void)sabot_agent_create(app, name, channel, ignore, NULL);
    }
}
static void unknown_key_of_an_agent(sabot_app *app)
{
    sabot_agent_key(agent(app), "nonsense");
}
static void key_of_an_agent_is_a_float(sabot_app *app)
{
    sabot_agent_key(agent(app), "weight");
}
static void state_with_a_bad_name(sabot_app *app)
{
    (void)sabot_agent_value(agent(app), "a b", &count_schema);
}
static void state_twice(sabot_app *app)
{
    sabot_agent *owner = agent(app);

    (void)sabot_agent_value(owner, "seen", &count_schema);
    (void)sabot_agent_value(owner, "seen", &count_schema);
}
static void state_without_schema(sabot_app *app)
{
    (void)sabot_agent_value(agent(app), "seen", NULL);
}
static void state_with_a_text(sabot_app *app)
{
    (void)sabot_agent_value(agent(app), "seen", &number_schema);
}
static void state_without_key(sabot_app *app)
{
    (void)sabot_agent_value(agent(app), "seen", &count_schema);
}
static void too_many_states(sabot_app *app)
{
    sabot_agent *owner = agent(app);
    char name[32];

    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof name, "state%d", i);
        (void)sabot_agent_value(owner, name, &count_schema);
    }
}
static void output_to_no_channel(sabot_app *app)
{
    (void)sabot_agent_output(agent(app), NULL);
}
static void too_many_outputs(sabot_app *app)
{
    sabot_agent *owner = agent(app);
    sabot_channel *channel = output(app);

    for (int i = 0; i < 20; i++)
        (void)sabot_agent_output(owner, channel);
}
static void unknown_scheme(sabot_app *app)
{
    sabot_channel *channel = sabot_channel_open(app, "c", "pigeon:coop", &number_schema);

    (void)sabot_agent_create(app, "worker", channel, ignore, NULL);
}
static void option_out_of_range(sabot_app *app)
{
    (void)sabot_app_option_int64(app, "small", 1000, 0, 10, "A small number.");
}
static void the_apps_own_reason(sabot_app *app)
{
    (void)sabot_app_fail(app, SABOT_ERR_NOT_FOUND, "no file %s", "rules.csv");
}
static void no_reason_at_all(sabot_app *app)
{
    (void)sabot_app_fail(app, SABOT_OK, "it failed well");
}
static void source_and_writers(sabot_app *app)
{
    sabot_channel *channel = sabot_channel_open(app, "both", "memory:", &number_schema);

    sabot_channel_source(channel, fill_nothing, NULL);
    (void)sabot_agent_output(sabot_agent_create(app, "worker", channel, ignore, NULL), channel);
}
static void a_circle(sabot_app *app)
{
    sabot_channel *there = sabot_channel_open(app, "there", "memory:", &number_schema);
    sabot_channel *back = sabot_channel_open(app, "back", "memory:", &number_schema);

    (void)sabot_agent_output(sabot_agent_create(app, "ping", there, ignore, NULL), back);
    (void)sabot_agent_output(sabot_agent_create(app, "pong", back, ignore, NULL), there);
}
static void a_circle_of_aliases(sabot_app *app)
{
    sabot_channel *in[2] = {sabot_channel_open(app, "x", "memory:one", &number_schema),
                            sabot_channel_open(app, "y", "memory:two", &number_schema)};
    sabot_channel *out[2] = {sabot_channel_open(app, "to-x", "memory:one", &number_schema),
                             sabot_channel_open(app, "to-y", "memory:two", &number_schema)};
    sabot_channel *aside = sabot_channel_open(app, "aside", "memory:three", &number_schema);
    sabot_agent *ping = sabot_agent_create(app, "ping", in[0], ignore, NULL);

    (void)sabot_agent_output(ping, out[1]);
    (void)sabot_agent_output(ping, aside);
    (void)sabot_agent_output(sabot_agent_create(app, "pong", in[1], ignore, NULL), out[0]);
}
static void no_agent(sabot_app *app)
{
    (void)input(app);
}

struct misuse {
    void (*build)(sabot_app *app);
    sabot_status status;
    const char *names; /* what the text must have */
};

static const struct misuse misuses[] = {
    {empty_channel_name, SABOT_ERR_ARGUMENT, "channel \"\""},
    {channel_name_with_a_space, SABOT_ERR_ARGUMENT, "channel \"a b\""},
    {channel_without_name, SABOT_ERR_ARGUMENT, "channel \"(null)\""},
    {channel_name_too_long, SABOT_ERR_ARGUMENT, "1 to 128"},
    {channel_name_of_a_folder, SABOT_ERR_ARGUMENT, "channel \"..\""},
    {channel_twice, SABOT_ERR_EXISTS, "channel numbers is opened twice"},
    {channel_without_schema, SABOT_ERR_ARGUMENT, "channel numbers has no schema"},
    {channel_with_a_bad_schema, SABOT_ERR_SCHEMA, "id..x"},
    {too_many_channels, SABOT_ERR_LIMIT, "channel channel256: more than 256"},
    {unknown_key_of_a_channel, SABOT_ERR_SCHEMA, "channel numbers: schema number has no field"},
    {key_of_a_channel_is_null, SABOT_ERR_SCHEMA, "channel numbers"},
    {key_of_a_channel_is_a_float, SABOT_ERR_SCHEMA, "field weight has type float64"},
    {key_of_a_channel_is_a_bool, SABOT_ERR_SCHEMA, "field even has type bool"},
    {event_time_is_a_text, SABOT_ERR_SCHEMA, "field word has type utf8"},
    {event_time_is_unknown, SABOT_ERR_SCHEMA, "no field id.x"},
    {lateness_below_zero, SABOT_ERR_ARGUMENT, "channel numbers: a lateness of -1 ms"},
    {idle_below_zero, SABOT_ERR_ARGUMENT, "channel numbers: idle of -1 ms"},
    {future_below_zero, SABOT_ERR_ARGUMENT, "channel numbers: a future of -1 ms"},
    {no_such_future, SABOT_ERR_ARGUMENT, "channel numbers: 7 is no sabot_future"},
    {time_without_a_function, SABOT_ERR_ARGUMENT, "channel numbers: a time without a function"},
    {source_without_function, SABOT_ERR_ARGUMENT, "channel numbers: a source without"},
    {agent_with_a_bad_name, SABOT_ERR_ARGUMENT, "agent \"a/b\""},
    {agent_twice, SABOT_ERR_EXISTS, "agent twin is created twice"},
    {agent_without_channel, SABOT_ERR_ARGUMENT, "agent orphan has no channel"},
    {agent_without_function, SABOT_ERR_ARGUMENT, "agent lazy has no function"},
    {too_many_agents, SABOT_ERR_LIMIT, "agent agent128: more than 128"},
    {unknown_key_of_an_agent, SABOT_ERR_SCHEMA, "key of agent worker: schema number has no field"},
    {key_of_an_agent_is_a_float, SABOT_ERR_SCHEMA, "field weight has type float64"},
    {state_with_a_bad_name, SABOT_ERR_ARGUMENT, "state \"a b\""},
    {state_twice, SABOT_ERR_EXISTS, "agent worker: state seen is declared twice"},
    {state_without_schema, SABOT_ERR_ARGUMENT, "state seen has no schema"},
    {state_with_a_text, SABOT_ERR_SCHEMA, "state seen"},
    {state_without_key, SABOT_ERR_STATE, "agent worker has state seen, but no key"},
    {too_many_states, SABOT_ERR_LIMIT, "agent worker: more than"},
    {output_to_no_channel, SABOT_ERR_ARGUMENT, "agent worker: an output to no channel"},
    {too_many_outputs, SABOT_ERR_LIMIT, "agent worker: more than 16 outputs"},
    {unknown_scheme, SABOT_ERR_CONFIG, "memory:, file:"},
    {option_out_of_range, SABOT_ERR_CONFIG, "small"},
    {the_apps_own_reason, SABOT_ERR_NOT_FOUND, "no file rules.csv"},
    {no_reason_at_all, SABOT_ERR_USER, "it failed well"},
    {source_and_writers, SABOT_ERR_STATE, "channel both has a source"},
    {a_circle, SABOT_ERR_ARGUMENT, "ping, pong"},
    {a_circle_of_aliases, SABOT_ERR_ARGUMENT, "in a circle: ping, pong;"},
    {no_agent, SABOT_ERR_STATE, "no agent"},
};

/* --- The test ------------------------------------------------------------------------------------
 */

static const struct misuse *current;
static bool go_on; /* the build function goes on after the misuse, with more of it */

/* Everything that can be called, each of it wrong: nothing of it may be said when the app has
 * failed before. */
static void more_misuse(sabot_app *app)
{
    sabot_channel *channel = sabot_channel_open(app, "second error", NULL, NULL);
    sabot_agent *second = sabot_agent_create(app, "second error", channel, NULL, NULL);

    assert_null(channel);
    assert_null(second);
    sabot_channel_key(channel, "second error");
    sabot_channel_lateness(channel, -1);
    sabot_channel_idle_after(channel, -1);
    sabot_channel_max_future(channel, -1, SABOT_FUTURE_FAIL);
    sabot_channel_time(channel, NULL, NULL);
    sabot_channel_event_time(channel, "second error");
    sabot_channel_source(channel, NULL, NULL);
    sabot_agent_key(second, "second error");
    assert_null(sabot_agent_value(second, "second error", NULL));
    assert_null(sabot_agent_output(second, NULL));
    assert_null(sabot_app_memory(app, 100));
    assert_int_equal(sabot_app_option_int64(app, "second error", 3, 0, 1, ""), 3);
    assert_true(sabot_app_option_bool(app, "second error", true, ""));
    assert_true(sabot_app_option_float64(app, "second error", 1.5, 2, 3, "") == 1.5);
    assert_null(sabot_app_option_text(app, "second error", NULL, ""));
    (void)sabot_app_fail(app, SABOT_ERR_USER, "second error");
}

static sabot_status build_misuse(sabot_app *app)
{
    current->build(app);
    if (go_on && sabot_app_status(app) != SABOT_OK)
        more_misuse(app);
    return sabot_app_status(app);
}

static const sabot_app_entry misuse_entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry),
                                             "clumsy", build_misuse};

static sabot_status create(const sabot_app_entry *entry,
                           const sabot_config *config,
                           sabot_error *error)
{
    sabot_run *run = NULL;
    const sabot_status status = sabot_run_create(entry, config, &run, error);

    assert_true((run != NULL) == (status == SABOT_OK));
    sabot_run_destroy(run);
    return status;
}

static void every_misuse_is_one_error_that_names_it(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;

    (void)state;
    memset(name_129, 'x', sizeof name_129 - 1);
    for (size_t i = 0; i < 2 * sizeof misuses / sizeof misuses[0]; i++) {
        current = &misuses[i / 2];
        go_on = i % 2 == 1;
        assert_int_equal(create(&misuse_entry, config, &error), current->status);
        assert_int_equal(error.status, current->status);
        assert_non_null(strstr(error.text, current->names));
        assert_null(strstr(error.text, "second error"));
    }
    sabot_config_destroy(config);
}

static void calls_on_nothing_do_nothing(void **state)
{
    (void)state;
    assert_int_equal(sabot_app_status(NULL), SABOT_ERR_ARGUMENT);
    assert_int_equal(sabot_app_fail(NULL, SABOT_ERR_USER, "no"), SABOT_ERR_ARGUMENT);
    more_misuse(NULL);
    sabot_run_destroy(NULL);
    sabot_config_destroy(NULL);
}

/* --- Entries -------------------------------------------------------------------------------------
 */

static sabot_status build_well(sabot_app *app)
{
    sabot_agent *worker = agent(app);

    sabot_agent_key(worker, "word");
    (void)sabot_agent_value(worker, "seen", &count_schema);
    (void)sabot_agent_output(worker, output(app));
    return sabot_app_status(app);
}

static sabot_status build_silently_wrong(sabot_app *app)
{
    (void)app;
    return SABOT_ERR_IO;
}

static void what_is_no_app_is_refused(void **state)
{
    sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "good", build_well};
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;

    (void)state;
    assert_int_equal(create(&entry, config, &error), SABOT_OK);
    assert_int_equal(create(NULL, config, &error), SABOT_ERR_FORMAT);
    entry.magic[0] = 's';
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_FORMAT);
    entry.magic[0] = 'S';
    entry.abi_version++;
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_ABI);
    assert_non_null(strstr(error.text, "version 2"));
    entry.abi_version--;
    entry.size++;
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_ABI);
    entry.size--;
    entry.name = "not good";
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_FORMAT);
    entry.name = NULL;
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_FORMAT);
    entry.name = "good";
    entry.build = NULL;
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_FORMAT);
    entry.build = build_silently_wrong;
    assert_int_equal(create(&entry, config, &error), SABOT_ERR_IO);
    assert_non_null(strstr(error.text, "SABOT_ERR_IO"));
    sabot_config_destroy(config);
}

/* --- Handles of another app ----------------------------------------------------------------------
 */

static sabot_channel *foreign;

static sabot_status build_with_a_foreign_channel(sabot_app *app)
{
    sabot_agent *mine = agent(app);

    (void)sabot_agent_output(mine, foreign);
    return sabot_app_status(app);
}

static sabot_status keep_channel(sabot_app *app)
{
    (void)agent(app);
    foreign = output(app);
    return sabot_app_status(app);
}

static void a_channel_of_another_app_is_refused(void **state)
{
    const sabot_app_entry first = {"SABOTAPP", SABOT_ABI_VERSION, sizeof first, "a", keep_channel};
    const sabot_app_entry second = {"SABOTAPP", SABOT_ABI_VERSION, sizeof second, "b",
                                    build_with_a_foreign_channel};
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;

    (void)state;
    assert_int_equal(sabot_run_create(&first, config, &run, &error), SABOT_OK);
    assert_int_equal(create(&second, config, &error), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "agent worker: an output to no channel of this app"));
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

/* --- Options and bindings ------------------------------------------------------------------------
 */

static struct {
    int64_t count;
    double rate;
    bool loud;
    char name[32];
} options;

static sabot_status build_options(sabot_app *app)
{
    const char *name;

    options.count = sabot_app_option_int64(app, "count", 5, 0, 100, "How many.");
    options.rate = sabot_app_option_float64(app, "rate", 0.5, 0, 1, "How fast.");
    options.loud = sabot_app_option_bool(app, "loud", false, "Whether it shouts.");
    name = sabot_app_option_text(app, "name", "nobody", "Whose.");
    (void)snprintf(options.name, sizeof options.name, "%s", name == NULL ? "" : name);
    return build_well(app);
}

static const sabot_app_entry options_entry = {"SABOTAPP", SABOT_ABI_VERSION,
                                              sizeof(sabot_app_entry), "tuned", build_options};

static sabot_status create_with(const char *name, const char *value, sabot_error *error)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_status status = SABOT_OK;

    if (name != NULL)
        status = sabot_config_set(config, SABOT_FROM_OPTION, name, value, error);
    if (status == SABOT_OK)
        status = create(&options_entry, config, error);
    sabot_config_destroy(config);
    return status;
}

static void options_of_an_app_have_their_default_or_what_was_given(void **state)
{
    sabot_error error;

    (void)state;
    assert_int_equal(create_with(NULL, NULL, &error), SABOT_OK);
    assert_int_equal(options.count, 5);
    assert_true(options.rate == 0.5);
    assert_false(options.loud);
    assert_string_equal(options.name, "nobody");
    assert_int_equal(create_with("tuned.count", "77", &error), SABOT_OK);
    assert_int_equal(options.count, 77);
    assert_int_equal(create_with("tuned.rate", "0.25", &error), SABOT_OK);
    assert_true(options.rate == 0.25);
    assert_int_equal(create_with("tuned.loud", "true", &error), SABOT_OK);
    assert_true(options.loud);
    assert_int_equal(create_with("tuned.name", "Ada", &error), SABOT_OK);
    assert_string_equal(options.name, "Ada");
}

static void options_that_are_unknown_or_out_of_range_are_refused_by_name(void **state)
{
    sabot_error error;

    (void)state;
    assert_int_equal(create_with("tuned.count", "101", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "tuned.count"));
    assert_int_equal(create_with("tuned.cuont", "1", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "tuned.cuont"));
    assert_int_equal(create_with("tuned.loud", "maybe", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "tuned.loud"));
    assert_int_equal(create_with("broker", "redis://x", &error), SABOT_OK); /* all have a URL */
}

static sabot_status build_times(sabot_app *app)
{
    sabot_channel *channel = input(app);

    sabot_channel_lateness(channel, 11);
    sabot_channel_max_future(channel, 12, SABOT_FUTURE_FAIL);
    (void)output(app);
    (void)sabot_agent_create(app, "worker", channel, ignore, NULL);
    return sabot_app_status(app);
}

/* The rules of the app's two channels with up to two options given. */
static void times_with(const char *const given[4], struct sb_clock_rules rules_out[2])
{
    const sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "timed",
                                   build_times};
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;
    sabot_run *run;

    for (uint32_t i = 0; i < 4 && given[i] != NULL; i += 2)
        assert_int_equal(
            sabot_config_set(config, SABOT_FROM_OPTION, given[i], given[i + 1], &error), SABOT_OK);
    assert_int_equal(sabot_run_create(&entry, config, &run, &error), SABOT_OK);
    for (uint32_t i = 0; i < 2; i++)
        rules_out[i] = run->app->channels[i]->time;
    sabot_run_destroy(run);
    sabot_config_destroy(config);
}

static void of_time_the_channels_option_counts_then_the_app_then_the_option_for_all(void **state)
{
    const char *const none[4] = {NULL};
    const char *const all[4] = {"time.lateness_ms", "7", "time.future", "skip"};
    const char *const one[4] = {"channels.numbers.lateness_ms", "8", "channels.numbers.future",
                                "pass"};
    struct sb_clock_rules rules[2];

    (void)state;
    times_with(none, rules);
    assert_true(rules[0].lateness_ms == 11 && rules[1].lateness_ms == 0);
    assert_true(rules[0].idle_after_ms == 5000 && rules[1].idle_after_ms == 5000);
    assert_true(rules[0].max_future_ms == 12 && rules[1].max_future_ms == 86400000);
    assert_true(rules[0].future == SABOT_FUTURE_FAIL && rules[1].future == SABOT_FUTURE_PASS);
    times_with(all, rules);
    assert_true(rules[0].lateness_ms == 11 && rules[1].lateness_ms == 7);
    assert_true(rules[0].future == SABOT_FUTURE_FAIL && rules[1].future == SABOT_FUTURE_SKIP);
    times_with(one, rules);
    assert_true(rules[0].lateness_ms == 8 && rules[1].lateness_ms == 0);
    assert_true(rules[0].future == SABOT_FUTURE_PASS);
}

static void options_of_a_channels_time_are_checked(void **state)
{
    sabot_error error;

    (void)state;
    assert_int_equal(create_with("channels.nombres.lateness_ms", "1", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "channels.nombres.lateness_ms=1: the app has no such"));
    assert_int_equal(create_with("channels.numbers.latness_ms", "1", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "channels.numbers.latness_ms=1: the app has no such"));
    assert_int_equal(create_with("channels.numbers.idle_after_ms", "-1", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "channels.numbers.idle_after_ms=-1: expected a whole"));
    assert_int_equal(create_with("channels.numbers.future", "never", &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "channels.numbers.future=never: expected one of pass|"));
}

static void a_binding_must_name_a_channel_of_the_app(void **state)
{
    sabot_config *config = sabot_config_create(NULL);
    sabot_error error;

    (void)state;
    assert_int_equal(sabot_config_bind(config, "nombres", "file:x.jsonl", &error), SABOT_OK);
    assert_int_equal(create(&options_entry, config, &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "nombres"));
    sabot_config_destroy(config);
}

static sabot_status build_default_transport(sabot_app *app)
{
    (void)sabot_agent_create(
        app, "worker", sabot_channel_open(app, "numbers", NULL, &number_schema), ignore, NULL);
    return sabot_app_status(app);
}

static void a_broker_that_makes_no_url_is_refused(void **state)
{
    static const char *const brokers[] = {"localhost:9092", "kafka://", "kafka://host:1/topic",
                                          "redis://host"};
    const sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "plain",
                                   build_default_transport};

    (void)state;
    for (size_t i = 0; i < sizeof brokers / sizeof brokers[0]; i++) {
        sabot_config *config = sabot_config_create(NULL);
        sabot_error error;

        assert_int_equal(sabot_config_set(config, SABOT_FROM_OPTION, "broker", brokers[i], &error),
                         SABOT_OK);
        assert_int_equal(create(&entry, config, &error), SABOT_ERR_CONFIG);
        assert_non_null(strstr(error.text, brokers[i]));
        sabot_config_destroy(config);
    }
}

/* --- Memory --------------------------------------------------------------------------------------
 */

static sabot_status build_much(sabot_app *app)
{
    (void)sabot_app_memory(app, 100000);
    return build_options(app);
}

static void without_memory_a_run_is_not_made_and_nothing_leaks(void **state)
{
    const sabot_app_entry entry = {"SABOTAPP", SABOT_ABI_VERSION, sizeof entry, "tuned",
                                   build_much};
    sabot_config *config = sabot_config_create(NULL);
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_env *env;
    uint64_t nth;

    (void)state;
    assert_int_equal(sabot_config_set(config, SABOT_FROM_OPTION, "tuned.name", "Ada", NULL),
                     SABOT_OK);
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    for (nth = 1; status != SABOT_OK; nth++) {
        sabot_error error = {.status = SABOT_OK};
        sabot_run *run = NULL;

        sb_os_env_fail_allocation(env, nth);
        status = sb_run_create(env, &entry, config, &run, &error);
        sb_os_env_fail_allocation(env, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_int_equal(error.status, SABOT_ERR_MEMORY);
            assert_null(run);
        }
        sabot_run_destroy(run);
    }
    assert_true(nth > 20);
    sb_os_env_destroy(env);
    sabot_config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_misuse_is_one_error_that_names_it),
        cmocka_unit_test(calls_on_nothing_do_nothing),
        cmocka_unit_test(what_is_no_app_is_refused),
        cmocka_unit_test(a_channel_of_another_app_is_refused),
        cmocka_unit_test(options_of_an_app_have_their_default_or_what_was_given),
        cmocka_unit_test(options_that_are_unknown_or_out_of_range_are_refused_by_name),
        cmocka_unit_test(of_time_the_channels_option_counts_then_the_app_then_the_option_for_all),
        cmocka_unit_test(options_of_a_channels_time_are_checked),
        cmocka_unit_test(a_binding_must_name_a_channel_of_the_app),
        cmocka_unit_test(a_broker_that_makes_no_url_is_refused),
        cmocka_unit_test(without_memory_a_run_is_not_made_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
