/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_api.c - keyed state and timers as an app sees them: include/sabot/state.h.
 *
 * An app with one agent is stepped by hand, so that its functions run on the test's own thread and
 * may assert; the wall clock is the test's. Records are {"key", "id", "time"}; what the agent
 * emits is {"key", "value"}. What a store does with all this is test_state_*.c's. */
#include "test.h"

#include <sabot/sabot.h>

#include "api/run.h"

enum { NOTES_MAX = 4096 };

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

struct number {
    int64_t value;
};

static const sabot_field number_fields[] = {
    SABOT_FIELD(struct number, value, "value", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema number_schema = SABOT_SCHEMA("number", 1, struct number, number_fields);

/* What the app is made of in one test. */
static struct {
    void (*declare)(sabot_agent *agent);
    sabot_agent_function function;
    sabot_value *value;
    sabot_blob *blob;
    sabot_list *list;
    sabot_map *map;
    sabot_reducing *reducing[5];
    sabot_aggregating *aggregating[6];
    sabot_timer *timer;
    sabot_timer *other_timer;
    sabot_value *foreign; /* of another agent */
    sabot_output *output;
    int64_t wall_ms;
} test;

/* What happened, in order. */
static struct {
    int64_t items[NOTES_MAX];
    uint32_t count;
} notes;

static void note(int64_t item)
{
    assert_true(notes.count < NOTES_MAX);
    notes.items[notes.count++] = item;
}

static void expect_notes(const int64_t *items, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < notes.count; i++)
        assert_int_equal(notes.items[i], items[i]);
    assert_int_equal(notes.count, count);
}

static sabot_status nothing(sabot_context *context, const void *record)
{
    (void)context;
    (void)record;
    return SABOT_OK;
}

static sabot_status call(sabot_context *context, const void *record)
{
    return test.function(context, record);
}

static sabot_status build(sabot_app *app)
{
    sabot_channel *in = sabot_channel_open(app, "in", NULL, &record_schema);
    sabot_channel *out = sabot_channel_open(app, "out", NULL, &record_schema);
    sabot_agent *agent = sabot_agent_create(app, "worker", in, call, NULL);
    sabot_agent *stranger = sabot_agent_create(app, "stranger", in, nothing, NULL);

    sabot_channel_event_time(in, "time");
    sabot_agent_key(agent, "key");
    sabot_agent_key(stranger, "key");
    test.foreign = sabot_agent_value(stranger, "theirs", &number_schema);
    test.output = sabot_agent_output(agent, out);
    test.declare(agent);
    return sabot_app_status(app);
}

static const sabot_app_entry app = {
    "SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry), "stateful", build,
};

/* --- A run ---------------------------------------------------------------------------------------
 */

struct rig {
    struct sb_env *os;
    struct sb_env_type type; /* as the system's, but for the wall clock */
    struct sb_env env;
    sabot_config *config;
    sabot_run *run;
    sabot_pipe *in;
    sabot_error error;
};

static int64_t wall_ms(void *self)
{
    (void)self;
    return test.wall_ms;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    sabot_error error;

    *state = rig;
    memset(&test, 0, sizeof test);
    notes.count = 0;
    test.wall_ms = 1000000;
    if (rig == NULL || sb_os_env_create(&rig->os, &error) != SABOT_OK)
        return -1;
    rig->type = *rig->os->type;
    rig->type.wall_ms = wall_ms;
    rig->env = (struct sb_env){&rig->type, rig->os->self, SABOT_LOG_ERROR};
    rig->config = sabot_config_create(NULL);
    return rig->config == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    sabot_config_destroy(rig->config);
    sb_os_env_destroy(rig->os);
    free(rig);
    return 0;
}

static void begin(struct rig *rig, void (*declare)(sabot_agent *), sabot_agent_function function)
{
    test.declare = declare;
    test.function = function;
    if (sb_run_create(&rig->env, &app, rig->config, &rig->run, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
    assert_int_equal(sabot_run_pipe(rig->run, "in", true, &rig->in, &rig->error), SABOT_OK);
}

static void send(struct rig *rig, const char *key, int64_t id, int64_t time_ms)
{
    char text[128];
    const int size = snprintf(text, sizeof text, "{\"key\": \"%s\", \"id\": %lld, \"time\": %lld}",
                              key, (long long)id, (long long)time_ms);
    const sabot_text record = {text, (size_t)size};

    assert_int_equal(sabot_pipe_send(rig->in, record, &rig->error), SABOT_OK);
}

/* Step until nothing is left to do; the wait that the run asks for. */
static int64_t settle(struct rig *rig)
{
    int64_t wait_us = 0;

    while (wait_us == 0)
        assert_int_equal(sabot_run_step(rig->run, &wait_us, &rig->error), SABOT_AGAIN);
    return wait_us;
}

static sabot_status step_to_the_end(struct rig *rig)
{
    sabot_status status;

    assert_int_equal(sabot_pipe_close(rig->in, &rig->error), SABOT_OK);
    while ((status = sabot_run_step(rig->run, NULL, &rig->error)) == SABOT_AGAIN) {}
    return status;
}

static sabot_status finish(struct rig *rig)
{
    const sabot_status status = step_to_the_end(rig);

    sabot_run_destroy(rig->run);
    return status;
}

static void finish_well(struct rig *rig)
{
    if (finish(rig) != SABOT_END)
        fail_msg("%s", rig->error.text);
}

static void expect_failure(struct rig *rig, sabot_status status, const char *text)
{
    assert_int_equal(finish(rig), status);
    if (strstr(rig->error.text, text) == NULL)
        fail_msg("\"%s\" is not in: %s", text, rig->error.text);
}

static void declare_all(sabot_agent *agent)
{
    test.value = sabot_agent_value(agent, "value", &number_schema);
    test.blob = sabot_agent_blob(agent, "blob");
    test.list = sabot_agent_list(agent, "list", &number_schema);
    test.map = sabot_agent_map(agent, "map", NULL);
}

/* --- Kinds ---------------------------------------------------------------------------------------
 */

static sabot_status use_blob(sabot_context *context, const void *record)
{
    const struct record *in = record;
    const sabot_bytes before = sabot_blob_get(context, test.blob);
    char text[64];

    note((int64_t)before.size);
    if (before.data == NULL)
        return sabot_blob_put(context, test.blob, NULL, 0); /* empty is not none */
    if (before.size == 9)
        return sabot_blob_clear(context, test.blob);
    memset(text, 'a', sizeof text);
    assert_int_equal(sabot_blob_put(context, test.blob, text, (size_t)in->id), SABOT_OK);
    assert_int_equal(sabot_blob_get(context, test.blob).size, in->id);
    return SABOT_OK;
}

static void a_blob_has_any_size_and_is_of_its_key(void **state)
{
    static const int64_t expected[] = {0, 0, 0, 7, 9, 0};

    begin(*state, declare_all, use_blob);
    send(*state, "a", 1, 1);
    send(*state, "b", 2, 2);
    send(*state, "a", 7, 3);
    send(*state, "a", 9, 4);
    send(*state, "a", 1, 5); /* clears */
    send(*state, "a", 1, 6);
    finish_well(*state);
    expect_notes(expected, 6);
}

static sabot_status use_list(sabot_context *context, const void *record)
{
    const struct record *in = record;
    const struct number element = {in->id};
    sabot_cursor cursor;
    sabot_bytes bytes;

    if (in->id < 0)
        return sabot_list_clear(context, test.list);
    SABOT_TRY(sabot_list_append(context, test.list, &element, sizeof element));
    SABOT_TRY(sabot_list_trim(context, test.list, 3));
    note((int64_t)sabot_list_count(context, test.list));
    sabot_list_scan(context, test.list, &cursor);
    while (sabot_list_next(context, &cursor, &bytes)) {
        assert_int_equal(bytes.size, sizeof(struct number));
        note(((const struct number *)bytes.data)->value);
    }
    return SABOT_OK;
}

static void a_list_keeps_its_order(void **state)
{
    static const int64_t expected[] = {1, 5, 2, 5, 6, 3, 5, 6, 7, 3, 6, 7, 8, 1, 9};

    begin(*state, declare_all, use_list);
    for (int64_t id = 5; id < 9; id++)
        send(*state, "k", id, id);
    send(*state, "k", -1, 9);
    send(*state, "k", 9, 10);
    finish_well(*state);
    expect_notes(expected, sizeof expected / sizeof expected[0]);
}

static sabot_status use_map(sabot_context *context, const void *record)
{
    static const char *const keys[] = {"ab", "b", "", "aa", "a"};
    sabot_cursor cursor;
    sabot_text key;
    sabot_bytes value;

    (void)record;
    for (size_t i = 0; i < 5; i++)
        SABOT_TRY(
            sabot_map_put(context, test.map, sabot_text_of(keys[i]), keys[i], strlen(keys[i])));
    assert_null(sabot_map_get(context, test.map, sabot_text_of("c")).data);
    assert_int_equal(sabot_map_get(context, test.map, (sabot_text){NULL, 0}).size, 0);
    assert_non_null(sabot_map_get(context, test.map, (sabot_text){NULL, 0}).data);
    sabot_map_scan(context, test.map, sabot_text_of("a"), &cursor);
    while (sabot_map_next(context, &cursor, &key, &value)) {
        assert_memory_equal(key.data, value.data, key.size);
        note(key.size < 2 ? 0 : key.data[1]);
        if (key.size == 1) /* removing while walking: what is gone is not returned */
            SABOT_TRY(sabot_map_remove(context, test.map, sabot_text_of("ab")));
    }
    SABOT_TRY(sabot_map_clear(context, test.map));
    sabot_map_scan(context, test.map, (sabot_text){NULL, 0}, &cursor);
    assert_false(sabot_map_next(context, &cursor, NULL, NULL));
    return SABOT_OK;
}

static void a_map_is_walked_in_order_of_its_keys(void **state)
{
    static const int64_t expected[] = {0, 'a'};

    begin(*state, declare_all, use_map);
    send(*state, "k", 1, 1);
    finish_well(*state);
    expect_notes(expected, 2);
}

static sabot_status keep_longest(sabot_context *context, void *kept, const void *value)
{
    struct number *longest = kept;
    const struct number *number = value;

    if (number->value < 0)
        return sabot_fail(context, SABOT_ERR_USER, "%lld has no length", (long long)number->value);
    if (number->value > longest->value)
        *longest = *number;
    return SABOT_OK;
}

/* Text with ", " between, the newest last; "-" forgets what was. */
static sabot_status join(sabot_context *context, sabot_bytes *kept, sabot_bytes value)
{
    char *joined;

    if (value.size == 1 && memcmp(value.data, "-", 1) == 0) {
        *kept = (sabot_bytes){NULL, 0};
        return SABOT_OK;
    }
    if (kept->size == 0) {
        *kept = value;
        return SABOT_OK;
    }
    joined = sabot_scratch(context, kept->size + 2 + value.size);
    if (joined == NULL)
        return sabot_context_status(context);
    memcpy(joined, kept->data, kept->size);
    joined[kept->size] = ',';
    joined[kept->size + 1] = ' ';
    if (value.size > 0)
        memcpy(joined + kept->size + 2, value.data, value.size);
    *kept = (sabot_bytes){joined, kept->size + 2 + value.size};
    return SABOT_OK;
}

static sabot_status size_of(sabot_context *context, sabot_bytes accumulator, void *result)
{
    (void)context;
    *(int64_t *)result = (int64_t)accumulator.size;
    return SABOT_OK;
}

static void declare_folds_of_bytes(sabot_agent *agent)
{
    static const sabot_aggregate_bytes functions = {.add = join, .merge = join, .result = size_of};

    declare_all(agent);
    test.reducing[0] = sabot_agent_reducing_bytes(agent, "joined", join);
    test.aggregating[0] = sabot_agent_aggregating_bytes(agent, "length", &functions);
}

static void expect_bytes(sabot_bytes bytes, const char *text)
{
    assert_non_null(bytes.data);
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
}

static sabot_status fold_bytes(sabot_context *context, const void *record)
{
    const struct record *in = record;
    const sabot_reducing *joined = test.reducing[0];
    const sabot_aggregating *length = test.aggregating[0];
    int64_t size = -1;

    if (in->id == 1) {
        assert_null(sabot_reducing_read_bytes(context, joined).data);
        assert_false(sabot_aggregating_result_bytes(context, length, &size));
        SABOT_TRY(sabot_reducing_add_bytes(context, joined, "", 0));
        expect_bytes(sabot_reducing_read_bytes(context, joined), "");
        SABOT_TRY(sabot_reducing_add_bytes(context, joined, "one", 3));
        SABOT_TRY(sabot_reducing_add_bytes(context, joined, "two", 3));
        SABOT_TRY(sabot_aggregating_add_bytes(context, length, "abc", 3));
        return SABOT_OK;
    }
    expect_bytes(sabot_reducing_read_bytes(context, joined), "one, two");
    for (int i = 0; i < 1000; i++)
        SABOT_TRY(sabot_reducing_add_bytes(context, joined, "many", 4));
    assert_int_equal(sabot_reducing_read_bytes(context, joined).size, 8 + 1000 * 6);
    SABOT_TRY(sabot_reducing_add_bytes(context, joined, "-", 1));
    expect_bytes(sabot_reducing_read_bytes(context, joined), "");
    SABOT_TRY(sabot_reducing_clear(context, joined));
    assert_null(sabot_reducing_read_bytes(context, joined).data);
    SABOT_TRY(sabot_aggregating_merge_bytes(context, length, "defg", 4));
    expect_bytes(sabot_aggregating_read_bytes(context, length), "abc, defg");
    assert_true(sabot_aggregating_result_bytes(context, length, &size));
    note(size);
    return sabot_aggregating_clear(context, length);
}

static void bytes_of_any_size_are_folded(void **state)
{
    static const int64_t expected[] = {9};

    begin(*state, declare_folds_of_bytes, fold_bytes);
    send(*state, "k", 1, 1);
    send(*state, "k", 2, 2);
    finish_well(*state);
    expect_notes(expected, 1);
}

static void declare_reducing(sabot_agent *agent)
{
    test.reducing[0] = sabot_agent_reducing(agent, "longest", &number_schema, keep_longest);
    test.reducing[1] = sabot_agent_reducing_int64(agent, "sum", SABOT_SUM);
    test.reducing[2] = sabot_agent_reducing_int64(agent, "min", SABOT_MIN);
    test.reducing[3] = sabot_agent_reducing_float64(agent, "max", SABOT_MAX);
    test.reducing[4] = sabot_agent_reducing_float64(agent, "count", SABOT_COUNT);
}

static sabot_status use_reducing(sabot_context *context, const void *record)
{
    const int64_t id = ((const struct record *)record)->id;
    const double real = (double)id / 2;
    double max;

    for (int i = 0; i < 5; i++)
        SABOT_TRY(sabot_reducing_add(context, test.reducing[i],
                                     i == 4   ? NULL
                                     : i == 3 ? (const void *)&real
                                              : (const void *)&id));
    note(*(const int64_t *)sabot_reducing_read(context, test.reducing[0]));
    note(*(const int64_t *)sabot_reducing_read(context, test.reducing[1]));
    note(*(const int64_t *)sabot_reducing_read(context, test.reducing[2]));
    max = *(const double *)sabot_reducing_read(context, test.reducing[3]);
    note((int64_t)(2 * max));
    note(*(const int64_t *)sabot_reducing_read(context, test.reducing[4]));
    if (id == 2)
        SABOT_TRY(sabot_reducing_clear(context, test.reducing[1]));
    if (id == 2)
        assert_null(sabot_reducing_read(context, test.reducing[1]));
    return SABOT_OK;
}

static void reducing_state_folds_values_into_one(void **state)
{
    static const int64_t expected[] = {5, 5, 5, 5, 1, 5, 7, 2, 5, 2, 9, 9, 2, 9, 3};

    begin(*state, declare_reducing, use_reducing);
    send(*state, "k", 5, 1);
    send(*state, "k", 2, 2);
    send(*state, "k", 9, 3);
    finish_well(*state);
    expect_notes(expected, 15);
}

static void a_function_that_fails_fails_the_record(void **state)
{
    begin(*state, declare_reducing, use_reducing);
    send(*state, "k", 5, 1);
    send(*state, "k", -5, 2);
    expect_failure(*state, SABOT_ERR_USER, "-5 has no length");
}

static void declare_sum(sabot_agent *agent)
{
    test.reducing[0] = sabot_agent_reducing_int64(agent, "sum", SABOT_SUM);
}

static sabot_status use_sum(sabot_context *context, const void *record)
{
    return sabot_reducing_add(context, test.reducing[0], &((const struct record *)record)->id);
}

static void a_sum_does_not_overflow_unseen(void **state)
{
    begin(*state, declare_sum, use_sum);
    send(*state, "k", INT64_MAX, 1);
    send(*state, "k", 1, 2);
    expect_failure(*state, SABOT_ERR_LIMIT, "the sum of 9223372036854775807 and 1 is no int64");
}

static sabot_status add_square(sabot_context *context, void *accumulator, const void *value)
{
    const int64_t number = *(const int64_t *)value;

    (void)context;
    ((struct number *)accumulator)->value += number * number;
    return SABOT_OK;
}

static sabot_status merge_squares(sabot_context *context, void *accumulator, const void *other)
{
    (void)context;
    ((struct number *)accumulator)->value += ((const struct number *)other)->value;
    return SABOT_OK;
}

static sabot_status halve_squares(sabot_context *context, const void *accumulator, void *result)
{
    (void)context;
    *(double *)result = (double)((const struct number *)accumulator)->value / 2;
    return SABOT_OK;
}

static void declare_aggregating(sabot_agent *agent)
{
    static const sabot_aggregate squares = {add_square, merge_squares, halve_squares};

    test.aggregating[0] = sabot_agent_aggregating(agent, "squares", &number_schema, &squares);
    test.aggregating[1] = sabot_agent_aggregating_int64(agent, "sum", SABOT_SUM);
    test.aggregating[2] = sabot_agent_aggregating_int64(agent, "min", SABOT_MIN);
    test.aggregating[3] = sabot_agent_aggregating_int64(agent, "max", SABOT_MAX);
    test.aggregating[4] = sabot_agent_aggregating_int64(agent, "count", SABOT_COUNT);
    test.aggregating[5] = sabot_agent_aggregating_int64(agent, "mean", SABOT_MEAN);
}

static sabot_status use_aggregating(sabot_context *context, const void *record)
{
    static const struct number other = {100};
    static const sabot_sum_int64 sum = {2, 100};
    const int64_t id = ((const struct record *)record)->id;
    double real;
    int64_t number;

    assert_int_equal(sabot_aggregating_result(context, test.aggregating[0], &real), id != 3);
    for (int i = 0; i < 6; i++) {
        SABOT_TRY(sabot_aggregating_add(context, test.aggregating[i], &id));
        if (id == 6)
            SABOT_TRY(sabot_aggregating_merge(context, test.aggregating[i],
                                              i == 0 ? (const void *)&other : (const void *)&sum));
    }
    assert_true(sabot_aggregating_result(context, test.aggregating[0], &real));
    note((int64_t)(2 * real));
    for (int i = 1; i < 5; i++) {
        assert_true(sabot_aggregating_result(context, test.aggregating[i], &number));
        note(number);
    }
    assert_true(sabot_aggregating_result(context, test.aggregating[5], &real));
    note((int64_t)(4 * real));
    return SABOT_OK;
}

static void aggregating_state_makes_a_result_of_its_accumulator(void **state)
{
    static const int64_t expected[] = {9, 3, 3, 3, 1, 12, 145, 109, 3, 100, 4, 109};

    begin(*state, declare_aggregating, use_aggregating);
    send(*state, "k", 3, 1);
    send(*state, "k", 6, 2);
    finish_well(*state);
    expect_notes(expected, 12);
}

static void declare_with_ttl(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ttl(agent, "value", 10, SABOT_EVENT_TIME, SABOT_ON_WRITE);
}

static sabot_status count_records(sabot_context *context, const void *record)
{
    struct number *number = sabot_value_edit(context, test.value);

    (void)record;
    note(++number->value);
    return SABOT_OK;
}

static void what_has_expired_is_not_seen(void **state)
{
    static const int64_t expected[] = {1, 2, 1};

    begin(*state, declare_with_ttl, count_records);
    send(*state, "k", 1, 100);
    send(*state, "k", 2, 109);
    send(*state, "k", 3, 119);
    finish_well(*state);
    expect_notes(expected, 3);
}

/* --- Looking ahead -------------------------------------------------------------------------------
 */

enum { AHEAD_KEYS = 40, AHEAD_ROUNDS = 12, AHEAD_FAR = 8 };

static void look_ahead(const void *value)
{
    note(((const struct number *)value)->value);
}

static void declare_ahead(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ahead(agent, "value", look_ahead);
}

static sabot_status set_id(sabot_context *context, const void *record)
{
    struct number *number = sabot_value_edit(context, test.value);

    number->value = ((const struct record *)record)->id;
    note(-number->value);
    return SABOT_OK;
}

/* Every value but of the first few records is shown once, some records before its own, as the
 * record of the round before has left it. */
static void a_value_is_shown_some_records_before_its_own(void **state)
{
    struct rig *rig = *state;
    char key[8];
    uint32_t shown = 0;
    int64_t record = 0;

    begin(rig, declare_ahead, set_id);
    for (int64_t id = 1; id <= AHEAD_KEYS; id++) {
        (void)snprintf(key, sizeof key, "k%d", (int)id);
        send(rig, key, id, id);
    }
    (void)settle(rig);
    assert_int_equal(notes.count, AHEAD_KEYS); /* there was nothing to be shown */
    notes.count = 0;
    for (int64_t id = 1; id <= AHEAD_KEYS; id++) {
        (void)snprintf(key, sizeof key, "k%d", (int)id);
        send(rig, key, id, id);
    }
    finish_well(rig);
    for (uint32_t i = 0; i < notes.count; i++) {
        if (notes.items[i] < 0) {
            record = -notes.items[i];
            continue;
        }
        assert_in_range(notes.items[i], record + 1, record + AHEAD_FAR);
        shown++;
    }
    assert_in_range(shown, AHEAD_KEYS / 2,
                    AHEAD_KEYS - 1); /* two keys may be in each other's way */
}

static void forbid_zeros(const void *value)
{
    assert_int_not_equal(((const struct number *)value)->value, 0);
    note(0);
}

static void declare_forbid(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ahead(agent, "value", forbid_zeros);
}

static sabot_status set_or_clear(sabot_context *context, const void *record)
{
    struct number *number;

    if (((const struct record *)record)->id % 3 == 0)
        return sabot_value_clear(context, test.value);
    number = sabot_value_edit(context, test.value);
    number->value = ((const struct record *)record)->id;
    return SABOT_OK;
}

static void a_value_that_is_gone_is_not_shown(void **state)
{
    struct rig *rig = *state;
    int64_t id = 0;
    char key[8];

    begin(rig, declare_forbid, set_or_clear);
    for (int round = 0; round < AHEAD_ROUNDS; round++) {
        for (int i = 0; i < AHEAD_KEYS; i++) {
            (void)snprintf(key, sizeof key, "k%d", i * (round + 1) % 7);
            id++;
            send(rig, key, id, id);
        }
        (void)settle(rig);
    }
    finish_well(rig);
    assert_in_range(notes.count, 1, AHEAD_ROUNDS * AHEAD_KEYS);
}

/* --- Timers --------------------------------------------------------------------------------------
 */

static sabot_status fired(sabot_context *context, int64_t time_ms)
{
    const struct record out = {sabot_key(context), time_ms, time_ms};
    struct number *number = sabot_value_edit(context, test.value);

    note(time_ms);
    assert_int_equal(sabot_record_partition(context), -1);
    number->value++;
    if (time_ms % 100 == 50) /* a timer sets a timer */
        SABOT_TRY(sabot_timer_set(context, test.timer, time_ms + 7));
    return sabot_emit(context, test.output, &out);
}

static sabot_status fired_other(sabot_context *context, int64_t time_ms)
{
    (void)context;
    note(-time_ms);
    return SABOT_OK;
}

static void declare_event_timers(sabot_agent *agent)
{
    declare_all(agent);
    test.timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, fired);
    test.other_timer = sabot_agent_timer(agent, "other", SABOT_EVENT_TIME, fired_other);
}

static sabot_status set_timers(sabot_context *context, const void *record)
{
    const struct record *in = record;

    SABOT_TRY(sabot_timer_set(context, test.timer, in->id));
    SABOT_TRY(sabot_timer_set(context, test.timer, in->id)); /* the same */
    SABOT_TRY(sabot_timer_set(context, test.other_timer, in->id + 1));
    SABOT_TRY(sabot_timer_set(context, test.other_timer, in->id + 2));
    return sabot_timer_delete(context, test.other_timer, in->id + 2);
}

static void timers_of_event_time_fire_in_order_and_at_the_end(void **state)
{
    static const int64_t expected[] = {200, -201, 300, -301, 350, -351, 357};

    begin(*state, declare_event_timers, set_timers);
    send(*state, "a", 300, 1);
    send(*state, "b", 200, 2);
    send(*state, "c", 350, 3);
    finish_well(*state);
    expect_notes(expected, 7);
}

static sabot_status note_and_set(sabot_context *context, const void *record)
{
    note(((const struct record *)record)->id);
    return set_timers(context, record);
}

static void a_timer_fires_when_the_watermark_has_come(void **state)
{
    static const int64_t expected[] = {10, 500, 10, -11, 900, 500, -501, 900, -901};
    struct rig *rig = *state;

    begin(rig, declare_event_timers, note_and_set);
    send(rig, "a", 10, 5);
    settle(rig);
    send(rig, "a", 500, 400); /* so 10 has passed */
    settle(rig);
    send(rig, "b", 900, 700);
    finish_well(rig);
    expect_notes(expected, 9);
}

static void a_timer_for_a_time_that_has_passed_fires_after_the_batch(void **state)
{
    static const int64_t expected[] = {900, 900, -901, 10, 20, 10, -11, 20, -21, 30, 30, -31};
    struct rig *rig = *state;

    begin(rig, declare_event_timers, note_and_set);
    send(rig, "a", 900, 1000);
    settle(rig); /* the watermark is 1000 */
    send(rig, "a", 10, 1000);
    send(rig, "b", 20, 1000);
    settle(rig); /* no watermark comes after these */
    assert_int_equal(notes.count, 9);
    send(rig, "a", 30, 1000);
    finish_well(rig);
    expect_notes(expected, 12);
}

static sabot_status many_past_timers(sabot_context *context, const void *record)
{
    const struct record *in = record;

    for (int64_t i = 0; in->time_ms == 1000000000 && in->id == 2 && i < 3000; i++)
        SABOT_TRY(sabot_timer_set(context, test.timer, 1000 * i));
    return SABOT_OK;
}

static void many_timers_that_have_passed_fire_and_all_they_emit_arrives(void **state)
{
    struct rig *rig = *state;
    sabot_pipe *out;
    sabot_record record;
    uint32_t count = 0;

    assert_int_equal(
        sabot_config_set(rig->config, SABOT_FROM_OPTION, "ring.bytes", "64KiB", &rig->error),
        SABOT_OK);
    begin(rig, declare_event_timers, many_past_timers);
    assert_int_equal(sabot_run_pipe(rig->run, "out", false, &out, &rig->error), SABOT_OK);
    send(rig, "a", 1, 1000000000);
    settle(rig);
    send(rig, "a", 2, 1000000000);
    assert_int_equal(step_to_the_end(rig), SABOT_END);
    while (sabot_pipe_take(out, 0, &record, &rig->error) == SABOT_OK)
        count++;
    assert_int_equal(notes.count, 3000);
    assert_int_equal(count, 3000);
    assert_int_equal(sabot_pipe_close(out, &rig->error), SABOT_OK);
    sabot_run_destroy(rig->run);
}

static sabot_status many_timers(sabot_context *context, const void *record)
{
    (void)record;
    for (int64_t i = 0; i < 3000; i++)
        SABOT_TRY(sabot_timer_set(context, test.timer, 1000 * i));
    return SABOT_OK;
}

static void many_timers_of_one_watermark_fire_and_all_they_emit_arrives(void **state)
{
    struct rig *rig = *state;
    sabot_pipe *out;
    sabot_record record;
    uint32_t count = 0;

    assert_int_equal(
        sabot_config_set(rig->config, SABOT_FROM_OPTION, "ring.bytes", "64KiB", &rig->error),
        SABOT_OK);
    begin(rig, declare_event_timers, many_timers);
    assert_int_equal(sabot_run_pipe(rig->run, "out", false, &out, &rig->error), SABOT_OK);
    send(rig, "a", 1, 1);
    assert_int_equal(step_to_the_end(rig), SABOT_END);
    while (sabot_pipe_take(out, 0, &record, &rig->error) == SABOT_OK)
        count++;
    assert_int_equal(notes.count, 3000);
    assert_int_equal(count, 3000);
    assert_int_equal(sabot_pipe_close(out, &rig->error), SABOT_OK);
    sabot_run_destroy(rig->run);
}

static sabot_status see_value(sabot_context *context, int64_t time_ms)
{
    (void)time_ms;
    note(((const struct number *)sabot_value_read(context, test.value))->value);
    return SABOT_OK;
}

static void declare_ttl_and_timer(sabot_agent *agent)
{
    declare_with_ttl(agent);
    test.timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, see_value);
}

static sabot_status count_and_set(sabot_context *context, const void *record)
{
    const struct record *in = record;

    SABOT_TRY(sabot_timer_set(context, test.timer, in->time_ms + 9));
    SABOT_TRY(sabot_timer_set(context, test.timer, in->time_ms + 10));
    ((struct number *)sabot_value_edit(context, test.value))->value++;
    return SABOT_OK;
}

static void a_timer_sees_what_has_not_expired_by_its_own_time(void **state)
{
    static const int64_t expected[] = {1, 0, 1, 0};

    begin(*state, declare_ttl_and_timer, count_and_set);
    send(*state, "a", 1, 100);
    send(*state, "b", 1, 5000);
    finish_well(*state);
    expect_notes(expected, 4);
}

static void declare_clock_timers(sabot_agent *agent)
{
    declare_all(agent);
    test.timer = sabot_agent_timer(agent, "timer", SABOT_PROCESSING_TIME, fired);
}

static sabot_status set_clock_timer(sabot_context *context, const void *record)
{
    const struct record *in = record;

    assert_int_equal(sabot_processing_time_ms(context), test.wall_ms);
    return sabot_timer_set(context, test.timer, sabot_processing_time_ms(context) + in->id);
}

static void timers_of_processing_time_fire_when_the_clock_has_come(void **state)
{
    struct rig *rig = *state;
    int64_t wait_us;

    assert_int_equal(
        sabot_config_set(rig->config, SABOT_FROM_OPTION, "time.idle_after_ms", "0", &rig->error),
        SABOT_OK); /* or it would wake up for that */
    begin(rig, declare_clock_timers, set_clock_timer);
    send(rig, "a", 700, 1);
    send(rig, "b", 300, 2);
    wait_us = settle(rig);
    assert_true(wait_us > 0 && wait_us <= 300000); /* the run asks to be called then */
    test.wall_ms += 299;
    (void)settle(rig);
    assert_int_equal(notes.count, 0);
    test.wall_ms += 1;
    wait_us = settle(rig);
    assert_int_equal(notes.count, 1);
    assert_int_equal(notes.items[0], 1000300);
    assert_true(wait_us > 0 && wait_us <= 400000);
    test.wall_ms += 4000;
    wait_us = settle(rig);
    assert_int_equal(notes.count, 2);
    assert_true(wait_us == INT64_MAX); /* nothing to wake up for */
    send(rig, "c", 5000, 3);           /* not due when the input ends */
    finish_well(rig);
    assert_int_equal(notes.count, 2);
}

static sabot_status fail_at_once(sabot_context *context, int64_t time_ms)
{
    (void)time_ms;
    return sabot_fail(context, SABOT_ERR_USER, "no rent for %lld", (long long)time_ms);
}

static void declare_failing_timer(sabot_agent *agent)
{
    declare_all(agent);
    test.timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, fail_at_once);
}

static sabot_status set_timer(sabot_context *context, const void *record)
{
    return sabot_timer_set(context, test.timer, ((const struct record *)record)->id);
}

static void the_error_of_a_timer_names_agent_timer_key_and_time(void **state)
{
    begin(*state, declare_failing_timer, set_timer);
    send(*state, "sw-17", 42, 1);
    expect_failure(*state, SABOT_ERR_USER,
                   "agent worker: timer timer of key \"sw-17\" at 42 ms: no rent for 42");
}

/* --- Bad use -------------------------------------------------------------------------------------
 */

static sabot_context *leaked;
static sabot_cursor old_cursor;

static sabot_status of_a_stranger(sabot_context *context, const void *record)
{
    (void)record;
    (void)sabot_value_read(context, test.foreign);
    return SABOT_OK;
}

static sabot_status wrong_kind(sabot_context *context, const void *record)
{
    (void)record;
    (void)sabot_list_count(context, (const sabot_list *)(const void *)test.map);
    return SABOT_OK;
}

static sabot_status wrong_size(sabot_context *context, const void *record)
{
    (void)record;
    (void)!sabot_list_append(context, test.list, "abc", 3);
    return SABOT_OK;
}

static sabot_status value_too_large(sabot_context *context, const void *record)
{
    void *bytes = calloc(1, SABOT_STATE_VALUE_MAX + 1);

    (void)record;
    (void)!sabot_blob_put(context, test.blob, bytes, SABOT_STATE_VALUE_MAX + 1);
    free(bytes);
    return SABOT_OK;
}

static sabot_status key_too_large(sabot_context *context, const void *record)
{
    char *bytes = calloc(1, SABOT_STATE_KEY_MAX + 1);

    (void)record;
    (void)!sabot_map_put(context, test.map, (sabot_text){bytes, SABOT_STATE_KEY_MAX + 1}, "", 0);
    free(bytes);
    return SABOT_OK;
}

static sabot_status edit_without_schema(sabot_context *context, const void *record)
{
    (void)record;
    assert_null(sabot_map_edit(context, test.map, sabot_text_of("x")));
    return SABOT_OK;
}

static sabot_status use_an_old_cursor(sabot_context *context, const void *record)
{
    sabot_bytes element;

    if (((const struct record *)record)->id == 1)
        sabot_list_scan(context, test.list, &old_cursor);
    else
        assert_false(sabot_list_next(context, &old_cursor, &element));
    return SABOT_OK;
}

static const struct {
    sabot_agent_function function;
    sabot_status status;
    const char *text;
} misuses[] = {
    {of_a_stranger, SABOT_ERR_ARGUMENT,
     "read of state theirs, which is agent stranger's and not one that agent worker uses"},
    {wrong_kind, SABOT_ERR_ARGUMENT, "count of state map, which is a map, not a list"},
    {wrong_size, SABOT_ERR_ARGUMENT, "append of state list: 3 bytes, but its struct has 8"},
    {value_too_large, SABOT_ERR_LIMIT, "blob"},
    {key_too_large, SABOT_ERR_LIMIT, "map"},
    {edit_without_schema, SABOT_ERR_ARGUMENT, "edit of state map, which has no schema: use put"},
    {use_an_old_cursor, SABOT_ERR_STATE, "a cursor of a list is used that was not begun"},
};

static void bad_use_fails_the_record_and_says_why(void **state)
{
    for (size_t i = 0; i < sizeof misuses / sizeof misuses[0]; i++) {
        begin(*state, declare_all, misuses[i].function);
        send(*state, "k", 1, 1);
        send(*state, "k", 2, 2);
        expect_failure(*state, misuses[i].status, misuses[i].text);
    }
}

static sabot_status leak(sabot_context *context, const void *record)
{
    (void)record;
    leaked = context;
    return SABOT_OK;
}

static void nothing_can_be_done_outside_of_a_call(void **state)
{
    struct rig *rig = *state;
    sabot_cursor cursor;

    begin(rig, declare_event_timers, leak);
    send(rig, "k", 1, 1);
    (void)settle(rig);
    assert_null(sabot_blob_get(leaked, test.blob).data);
    assert_int_equal(sabot_timer_set(leaked, test.timer, 1), SABOT_ERR_STATE);
    assert_int_equal(sabot_list_append(leaked, test.list, "", 0), SABOT_ERR_STATE);
    sabot_map_scan(leaked, test.map, sabot_text_of(""), &cursor);
    assert_false(sabot_map_next(leaked, &cursor, NULL, NULL));
    finish_well(rig);
}

/* --- Bad declarations ----------------------------------------------------------------------------
 */

static void ttl_of_none(sabot_agent *agent)
{
    sabot_agent_ttl(agent, "nowhere", 1, SABOT_EVENT_TIME, SABOT_ON_WRITE);
}

static void ttl_of_nothing(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ttl(agent, "map", 0, SABOT_EVENT_TIME, SABOT_ON_WRITE);
}

static void ttl_of_a_timer(sabot_agent *agent)
{
    declare_event_timers(agent);
    sabot_agent_ttl(agent, "timer", 1, SABOT_EVENT_TIME, SABOT_ON_WRITE);
}

static void look_ahead_of_none(sabot_agent *agent)
{
    sabot_agent_ahead(agent, "nowhere", look_ahead);
}

static void look_ahead_without_function(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ahead(agent, "value", NULL);
}

static void look_ahead_of_bytes(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ahead(agent, "blob", look_ahead);
}

static void look_ahead_of_a_list(sabot_agent *agent)
{
    declare_all(agent);
    sabot_agent_ahead(agent, "list", look_ahead);
}

static void timer_without_function(sabot_agent *agent)
{
    assert_null(sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, NULL));
}

static void one_name_for_two(sabot_agent *agent)
{
    (void)sabot_agent_list(agent, "same", NULL);
    assert_null(sabot_agent_map(agent, "same", NULL));
}

static void reducing_without_function(sabot_agent *agent)
{
    assert_null(sabot_agent_reducing(agent, "longest", &number_schema, NULL));
}

static void reducing_to_a_mean(sabot_agent *agent)
{
    assert_null(sabot_agent_reducing_int64(agent, "mean", SABOT_MEAN));
}

static const struct {
    void (*declare)(sabot_agent *agent);
    const char *text;
} bad_declarations[] = {
    {ttl_of_none, "a time to live for state nowhere, which is not declared"},
    {ttl_of_nothing, "state map: time to live of 0 ms"},
    {ttl_of_a_timer, "timer timer can't have a time to live"},
    {look_ahead_of_none, "a function to look ahead for state nowhere, which is not declared"},
    {look_ahead_without_function, "state value: a function looks ahead of a value with a schema"},
    {look_ahead_of_bytes, "state blob: a function looks ahead of a value with a schema"},
    {look_ahead_of_a_list, "state list: a function looks ahead of a value with a schema"},
    {timer_without_function, "timer timer has no function"},
    {reducing_without_function, "state longest lacks its schema or a function"},
    {reducing_to_a_mean, "state mean: 5 is no sabot_builtin of this kind of state"},
    {one_name_for_two, "state same is declared twice"},
};

static void bad_declarations_are_refused(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof bad_declarations / sizeof bad_declarations[0]; i++) {
        test.declare = bad_declarations[i].declare;
        assert_int_not_equal(sb_run_create(&rig->env, &app, rig->config, &rig->run, &rig->error),
                             SABOT_OK);
        if (strstr(rig->error.text, bad_declarations[i].text) == NULL)
            fail_msg("\"%s\" is not in: %s", bad_declarations[i].text, rig->error.text);
    }
}

/* --- Where it is kept ----------------------------------------------------------------------------
 */

static const struct {
    const char *option;
    const char *value;
    sabot_status status;
    const char *text;
} places[] = {
    {"state", "memory", SABOT_OK, ""},
    {"states.worker.map.backend", "memory", SABOT_OK, ""},
    {"states.worker.map.backend", "disk", SABOT_ERR_CONFIG, "expected memory or rocksdb"},
    {"states.worker.mop.backend", "memory", SABOT_ERR_CONFIG, "the app has no such state"},
    {"states.worker.map", "memory", SABOT_ERR_CONFIG, "the app has no such state"},
};

static void a_place_is_given_for_all_states_or_for_one(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        sabot_config *config = sabot_config_create(NULL);
        sabot_status status;

        test.declare = declare_all;
        assert_int_equal(sabot_config_set(config, SABOT_FROM_OPTION, places[i].option,
                                          places[i].value, &rig->error),
                         SABOT_OK);
        status = sb_run_create(&rig->env, &app, config, &rig->run, &rig->error);
        assert_int_equal(status, places[i].status);
        if (status == SABOT_OK)
            sabot_run_destroy(rig->run);
        else if (strstr(rig->error.text, places[i].text) == NULL)
            fail_msg("\"%s\" is not in: %s", places[i].text, rig->error.text);
        sabot_config_destroy(config);
    }
    assert_int_not_equal(
        sabot_config_set(rig->config, SABOT_FROM_OPTION, "state", "disk", &rig->error), SABOT_OK);
}

static void memory_that_is_too_little_for_rocksdb_is_refused_with_how_much_is_enough(void **state)
{
    static const char *const options[][2] = {
        {"state", "rocksdb"}, {"threads", "2"}, {"memory", "1000KiB"}};
    struct rig *rig = *state;

    test.declare = declare_all;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        assert_int_equal(sabot_config_set(rig->config, SABOT_FROM_OPTION, options[i][0],
                                          options[i][1], &rig->error),
                         SABOT_OK);
    assert_int_equal(sb_run_create(&rig->env, &app, rig->config, &rig->run, &rig->error),
                     SABOT_ERR_CONFIG);
    assert_non_null(
        strstr(rig->error.text, "memory=1024000: pipeline worker has state in RocksDB"));
    assert_non_null(strstr(rig->error.text, "memory=2097152 at least, or fewer threads"));
#ifdef SB_HAVE_ROCKSDB
    assert_int_equal(
        sabot_config_set(rig->config, SABOT_FROM_OPTION, "memory", "2MiB", &rig->error), SABOT_OK);
    if (sb_run_create(&rig->env, &app, rig->config, &rig->run, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
    sabot_run_destroy(rig->run);
#endif
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(a_blob_has_any_size_and_is_of_its_key),
        STATE_TEST(a_list_keeps_its_order),
        STATE_TEST(a_map_is_walked_in_order_of_its_keys),
        STATE_TEST(bytes_of_any_size_are_folded),
        STATE_TEST(reducing_state_folds_values_into_one),
        STATE_TEST(a_function_that_fails_fails_the_record),
        STATE_TEST(a_sum_does_not_overflow_unseen),
        STATE_TEST(aggregating_state_makes_a_result_of_its_accumulator),
        STATE_TEST(what_has_expired_is_not_seen),
        STATE_TEST(a_value_is_shown_some_records_before_its_own),
        STATE_TEST(a_value_that_is_gone_is_not_shown),
        STATE_TEST(timers_of_event_time_fire_in_order_and_at_the_end),
        STATE_TEST(a_timer_fires_when_the_watermark_has_come),
        STATE_TEST(a_timer_for_a_time_that_has_passed_fires_after_the_batch),
        STATE_TEST(many_timers_that_have_passed_fire_and_all_they_emit_arrives),
        STATE_TEST(many_timers_of_one_watermark_fire_and_all_they_emit_arrives),
        STATE_TEST(a_timer_sees_what_has_not_expired_by_its_own_time),
        STATE_TEST(timers_of_processing_time_fire_when_the_clock_has_come),
        STATE_TEST(the_error_of_a_timer_names_agent_timer_key_and_time),
        STATE_TEST(bad_use_fails_the_record_and_says_why),
        STATE_TEST(nothing_can_be_done_outside_of_a_call),
        STATE_TEST(bad_declarations_are_refused),
        STATE_TEST(a_place_is_given_for_all_states_or_for_one),
        STATE_TEST(memory_that_is_too_little_for_rocksdb_is_refused_with_how_much_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
