/* SPDX-License-Identifier: Apache-2.0 */
/* test_table.c - tables: the last record of each key of a channel, read by agents (state.h).
 *
 *   customers --> table, with texts (packed rows) --+
 *   limits -----> table, without (cells) -----------+--> enrich --> out
 *   orders -------------------------------------------^
 *
 * `enrich` says of each order what it finds in both tables; it is judged by a model that keeps the
 * last record of a key. Most runs are stepped by hand, one record at a time, so that the model
 * knows the order in which records arrive; the wall clock is the test's. */
#include "test.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include <sabot/sabot.h>

#include "api/run.h"

enum { KEYS = 6, NAME_MAX_SIZE = 2000, NONE = -1 };

struct customer {
    sabot_text id;
    sabot_text name; /* optional */
    int64_t level;
    bool gone;
    double score;
    int32_t rank;
    int64_t time_ms;
};

static const sabot_field customer_fields[] = {
    SABOT_FIELD(struct customer, id, "id", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct customer, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct customer, level, "level", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct customer, gone, "gone", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct customer, score, "score", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct customer, rank, "rank", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct customer, time_ms, "time", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema customer_schema =
    SABOT_SCHEMA("customer", 1, struct customer, customer_fields);
/* Of a later app: a field is gone, two are new, others have moved; and with its version forgotten.
 */
struct newer_customer {
    int64_t level;
    sabot_text name;
    sabot_text city; /* new */
    sabot_text id;
    bool gone;
    double score;
    int32_t rank;
    int64_t limit; /* new */
};

static const sabot_field newer_fields[] = {
    SABOT_FIELD_DEFAULT(struct newer_customer, city, "city", SABOT_UTF8, "\"Delft\""),
    SABOT_FIELD(struct newer_customer, id, "id", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct newer_customer, level, "level", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct newer_customer, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct newer_customer, rank, "rank", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct newer_customer, gone, "gone", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct newer_customer, score, "score", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct newer_customer, limit, "limit", SABOT_INT64, "500"),
};
static const sabot_schema newer_schema =
    SABOT_SCHEMA("customer", 2, struct newer_customer, newer_fields);
static const sabot_schema forgotten_schema =
    SABOT_SCHEMA("customer", 1, struct newer_customer, newer_fields);

struct limit {
    int64_t id;
    int64_t limit;
    int64_t time_ms;
};

static const sabot_field limit_fields[] = {
    SABOT_FIELD(struct limit, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct limit, limit, "limit", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct limit, time_ms, "time", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema limit_schema = SABOT_SCHEMA("limit", 1, struct limit, limit_fields);

struct order {
    sabot_text customer;
    int64_t number;
    int64_t id;
    sabot_text name;
    int64_t level;
    int64_t limit;
    int64_t time_ms;
};

static const sabot_field order_fields[] = {
    SABOT_FIELD(struct order, customer, "customer", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct order, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct order, id, "id", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct order, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct order, level, "level", SABOT_INT64, "0"),
    SABOT_FIELD_DEFAULT(struct order, limit, "limit", SABOT_INT64, "0"),
    SABOT_FIELD(struct order, time_ms, "time", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema order_schema = SABOT_SCHEMA("order", 1, struct order, order_fields);

/* --- The app -------------------------------------------------------------------------------------
 */

struct shop {
    sabot_table *customers;
    sabot_table *limits;
    sabot_table *foreign; /* that no agent reads */
    sabot_timer *timer;
    sabot_output *out;
    sabot_output *marked;
};

static struct {
    const char *misuse; /* what is wrong with the app; NULL: nothing */
    int64_t ttl_ms;     /* of customers; 0: none */
    sabot_clock ttl_clock;
    bool by_number;    /* limits are read, by an agent with that key */
    bool reads_inside; /* customers come from an agent */
    bool is_read_twice;
    bool has_timer;
    bool reads_foreign;
    const sabot_schema *changed; /* the field table of customers, or NULL */
    sabot_source_fill source;
    int64_t wall_ms;
} setting;

static int64_t fired_ms; /* when a timer has fired; NONE: not */
static int64_t changes_seen;

static bool is_wrong(const char *what)
{
    return setting.misuse != NULL && strcmp(setting.misuse, what) == 0;
}

static sabot_status enrich(sabot_context *context, const void *record)
{
    const struct shop *shop = sabot_user(context);
    const struct customer *customer = sabot_table_read(context, shop->customers);
    const struct order *in = record;
    struct order out = *in;

    if (setting.reads_foreign)
        (void)sabot_table_read(context, shop->foreign);
    if (shop->timer != NULL)
        SABOT_TRY(sabot_timer_set(context, shop->timer, in->time_ms));
    out.level = customer == NULL ? NONE : customer->level;
    out.limit = NONE;
    out.name = customer == NULL ? (sabot_text){NULL, 0} : customer->name;
    if (customer != NULL && (customer->id.size != in->customer.size || customer->gone ||
                             customer->score != 0.5 * (double)customer->level ||
                             customer->rank != (int32_t)-customer->level))
        return sabot_fail(context, SABOT_ERR_USER, "a row was mixed up");
    return sabot_emit(context, shop->out, &out);
}

static sabot_status enrich_newer(sabot_context *context, const void *record)
{
    const struct shop *shop = sabot_user(context);
    const struct newer_customer *customer = sabot_table_read(context, shop->customers);
    struct order out = *(const struct order *)record;

    if (customer == NULL)
        return sabot_fail(context, SABOT_ERR_USER, "a row is gone");
    if (customer->id.size != out.customer.size || customer->gone || customer->rank != -8 ||
        customer->score != 4.0)
        return sabot_fail(context, SABOT_ERR_USER, "a row was mixed up");
    out.name = customer->name.data == NULL ? customer->city : customer->name;
    out.level = customer->level;
    out.limit = customer->limit;
    return sabot_emit(context, shop->out, &out);
}

static sabot_status restrict_number(sabot_context *context, const void *record)
{
    const struct shop *shop = sabot_user(context);
    const struct limit *limit = sabot_table_read(context, shop->limits);
    struct order out = *(const struct order *)record;

    out.level = NONE;
    out.limit = limit == NULL ? NONE : limit->limit;
    return sabot_emit(context, shop->out, &out);
}

static sabot_status pass(sabot_context *context, const void *record)
{
    const struct shop *shop = sabot_user(context);

    return sabot_emit(context, shop->marked, record);
}

static sabot_status count_change(sabot_context *context, const void *record)
{
    (void)context;
    (void)record;
    changes_seen++;
    return SABOT_OK;
}

static sabot_status on_timer(sabot_context *context, int64_t time_ms)
{
    (void)context;
    fired_ms = time_ms;
    return SABOT_OK;
}

static void add_enrich(sabot_app *app, struct shop *shop, sabot_channel *orders, sabot_channel *out)
{
    sabot_agent *agent = sabot_agent_create(app, "enrich", orders,
                                            setting.changed == NULL ? enrich : enrich_newer, shop);

    sabot_agent_key(agent, is_wrong("type") ? "number" : "customer");
    sabot_agent_table(agent, is_wrong("null") ? NULL : shop->customers);
    shop->out = sabot_agent_output(agent, out);
    if (setting.has_timer)
        shop->timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, on_timer);
}

static void add_limits(sabot_app *app, struct shop *shop, sabot_channel *orders, sabot_channel *out)
{
    sabot_channel *limits = sabot_channel_open(app, "limits", NULL, &limit_schema);
    sabot_agent *agent = sabot_agent_create(app, "restrict", orders, restrict_number, shop);

    sabot_channel_key(limits, "id");
    shop->limits = sabot_table_create(app, "limit", limits);
    sabot_agent_key(agent, "number");
    sabot_agent_table(agent, shop->limits);
    shop->out = sabot_agent_output(agent, out);
}

static sabot_channel *add_changes(sabot_app *app, struct shop *shop)
{
    sabot_channel *changes = sabot_channel_open(
        app, "customers", NULL, setting.changed != NULL ? setting.changed : &customer_schema);
    sabot_channel *inside;
    sabot_agent *agent;

    sabot_channel_key(changes, "id");
    if (setting.source != NULL)
        sabot_channel_source(changes, setting.source, NULL);
    if (!setting.reads_inside)
        return changes;
    inside = sabot_channel_open(app, "marked", "memory:", &customer_schema);
    agent = sabot_agent_create(app, "pass", changes, pass, shop);
    shop->marked = sabot_agent_output(agent, inside);
    sabot_channel_key(inside, "id");
    return inside;
}

static sabot_status build(sabot_app *app)
{
    struct shop *shop = sabot_app_memory(app, sizeof *shop);
    sabot_channel *orders = sabot_channel_open(app, "orders", NULL, &order_schema);
    sabot_channel *out = sabot_channel_open(app, "out", NULL, &order_schema);
    sabot_channel *changes;

    if (shop == NULL)
        return sabot_app_status(app);
    sabot_channel_event_time(orders, "time");
    if (setting.by_number) {
        add_limits(app, shop, orders, out);
        return sabot_app_status(app);
    }
    changes = is_wrong("key") ? out : add_changes(app, shop);
    if (!is_wrong("key") && setting.changed == NULL)
        sabot_channel_event_time(changes, "time");
    shop->customers = sabot_table_create(app, "customer", changes);
    if (!is_wrong("key"))
        sabot_table_delete_by(shop->customers, is_wrong("delete") ? "level" : "gone");
    if (is_wrong("twice"))
        (void)sabot_table_create(app, "customer", changes);
    if (setting.ttl_ms > 0)
        sabot_table_ttl(shop->customers, setting.ttl_ms, setting.ttl_clock);
    if (setting.is_read_twice)
        (void)sabot_agent_create(app, "watch", changes, count_change, NULL);
    if (setting.reads_foreign)
        shop->foreign = sabot_table_create(app, "foreign", changes);
    add_enrich(app, shop, orders, out);
    return sabot_app_status(app);
}

static const sabot_app_entry shop_app = {"SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry),
                                         "shop", build};

/* --- A run ---------------------------------------------------------------------------------------
 */

struct rig {
    char folder[64];
    struct sb_env *os;
    struct sb_env_type type; /* as the system's, but for the wall clock */
    struct sb_env env;
    sabot_config *config;
    sabot_run *run;
    sabot_pipe *changes;
    sabot_pipe *orders;
    sabot_pipe *out;
    sabot_error error;
    uint64_t random;
};

static int64_t wall_ms(void *self)
{
    (void)self;
    return setting.wall_ms;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    sabot_error error;

    *state = rig;
    memset(&setting, 0, sizeof setting);
    setting.wall_ms = 1000000;
    fired_ms = NONE;
    changes_seen = 0;
    if (rig == NULL || sb_os_env_create(&rig->os, &error) != SABOT_OK)
        return -1;
    rig->type = *rig->os->type;
    rig->type.wall_ms = wall_ms;
    rig->env = (struct sb_env){&rig->type, rig->os->self, SABOT_LOG_ERROR};
    if (!test_folder(rig->folder, sizeof rig->folder, "table"))
        return -1;
    rig->config = sabot_config_create(NULL);
    return rig->config == NULL ? -1 : 0;
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
    struct rig *rig = *state;

    sabot_config_destroy(rig->config);
    sb_os_env_destroy(rig->os);
    if (nftw(rig->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    free(rig);
    return 0;
}

static uint64_t draw(struct rig *rig, uint64_t below)
{
    rig->random = rig->random * 6364136223846793005u + 1442695040888963407u;
    return (rig->random >> 33) % below;
}

static void set(struct rig *rig, const char *name, const char *value)
{
    assert_int_equal(sabot_config_set(rig->config, SABOT_FROM_OPTION, name, value, &rig->error),
                     SABOT_OK);
}

static void make(struct rig *rig)
{
    if (sb_run_create(&rig->env, &shop_app, rig->config, &rig->run, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
}

static void open_pipe(struct rig *rig, const char *channel, bool for_writing, sabot_pipe **pipe)
{
    if (sabot_run_pipe(rig->run, channel, for_writing, pipe, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
}

static void begin(struct rig *rig)
{
    make(rig);
    if (setting.source == NULL)
        open_pipe(rig, setting.by_number ? "limits" : "customers", true, &rig->changes);
    open_pipe(rig, "orders", true, &rig->orders);
    open_pipe(rig, "out", false, &rig->out);
}

static void send(struct rig *rig, sabot_pipe *pipe, const char *text)
{
    if (sabot_pipe_send(pipe, sabot_text_of(text), &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
}

/* Step until nothing is left to do at once. */
static void settle(struct rig *rig)
{
    int64_t wait_us = 0;

    while (wait_us == 0) {
        if (sabot_run_step(rig->run, &wait_us, &rig->error) != SABOT_AGAIN)
            fail_msg("%s", rig->error.text);
    }
}

static void change(struct rig *rig, const char *key, const char *name, int64_t level, int64_t time)
{
    char text[NAME_MAX_SIZE + 256];

    (void)snprintf(text, sizeof text,
                   "{\"id\":\"%s\",%s%s%s\"level\":%lld,\"score\":%lld.%c,\"rank\":%lld,"
                   "\"time\":%lld}",
                   key, name == NULL ? "" : "\"name\":\"", name == NULL ? "" : name,
                   name == NULL ? "" : "\",", (long long)level, (long long)(level / 2),
                   level % 2 == 0 ? '0' : '5', (long long)-level, (long long)time);
    send(rig, rig->changes, text);
}

static void delete_key(struct rig *rig, const char *key)
{
    if (sabot_pipe_delete(rig->changes, sabot_text_of(key), &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
}

static void order(struct rig *rig, const char *key, int64_t number, int64_t time)
{
    char text[256];

    (void)snprintf(text, sizeof text, "{\"customer\":\"%s\",\"number\":%lld,\"time\":%lld}", key,
                   (long long)number, (long long)time);
    send(rig, rig->orders, text);
}

/* The number behind `name` in the text; NONE - 1: it isn't there. */
static int64_t number_of(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at == NULL ? NONE - 1 : strtoll(at + strlen(name), NULL, 10);
}

/* The next record of the output, as a string. */
static const char *next(struct rig *rig)
{
    static char text[NAME_MAX_SIZE + 256];
    sabot_record record;

    if (sabot_pipe_take(rig->out, 0, &record, &rig->error) != SABOT_OK)
        fail_msg("no output: %s", rig->error.text);
    assert_in_range(record.value.size, 1, sizeof text - 1);
    memcpy(text, record.value.data, record.value.size);
    text[record.value.size] = '\0';
    return text;
}

static void expect(struct rig *rig, const char *name, int64_t level)
{
    char part[NAME_MAX_SIZE + 32];
    const char *text = next(rig);

    assert_int_equal(number_of(text, "\"level\":"), level);
    (void)snprintf(part, sizeof part, "\"name\":\"%s\"", name == NULL ? "" : name);
    if (name == NULL)
        assert_null(strstr(text, "\"name\""));
    else if (strstr(text, part) == NULL)
        fail_msg("%s is not in %s", part, text);
}

/* An order comes, and this is what it finds. */
static void expect_order(struct rig *rig, const char *key, const char *name, int64_t level)
{
    order(rig, key, 0, 0);
    settle(rig);
    expect(rig, name, level);
}

static sabot_status step_to_the_end(struct rig *rig)
{
    sabot_status status;

    while ((status = sabot_run_step(rig->run, NULL, &rig->error)) == SABOT_AGAIN) {}
    return status;
}

static sabot_status finish(struct rig *rig)
{
    sabot_status status;

    if (rig->changes != NULL)
        assert_int_equal(sabot_pipe_close(rig->changes, &rig->error), SABOT_OK);
    assert_int_equal(sabot_pipe_close(rig->orders, &rig->error), SABOT_OK);
    status = step_to_the_end(rig);
    assert_int_equal(sabot_pipe_close(rig->out, NULL), SABOT_OK);
    sabot_run_destroy(rig->run);
    rig->changes = NULL;
    return status;
}

static void finish_well(struct rig *rig)
{
    if (finish(rig) != SABOT_END)
        fail_msg("%s", rig->error.text);
}

/* --- Rows ----------------------------------------------------------------------------------------
 */

static void the_last_record_of_a_key_is_its_row(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 6; i++) {
        set(rig, "state", i < 3 ? "memory" : "rocksdb");
        set(rig, "threads", i % 3 == 0 ? "1" : i % 3 == 1 ? "2" : "4");
        begin(rig);
        expect_order(rig, "a", NULL, NONE);
        change(rig, "a", "Ann", 1, 0);
        change(rig, "b", "", 2, 0);
        settle(rig);
        expect_order(rig, "a", "Ann", 1);
        expect_order(rig, "b", "", 2);
        expect_order(rig, "c", NULL, NONE);
        change(rig, "a", NULL, 3, 0);
        settle(rig);
        expect_order(rig, "a", NULL, 3);
        finish_well(rig);
    }
}

static void a_record_without_a_value_deletes_its_key(void **state)
{
    struct rig *rig = *state;

    setting.is_read_twice = true;
    for (int i = 0; i < 4; i++) {
        set(rig, "threads", i % 2 == 0 ? "1" : "4");
        set(rig, "state", i < 2 ? "memory" : "rocksdb");
        changes_seen = 0;
        begin(rig);
        change(rig, "a", "Ann", 1, 0);
        change(rig, "b", "Bob", 2, 0);
        delete_key(rig, "a");
        delete_key(rig, "never");
        settle(rig);
        expect_order(rig, "a", NULL, NONE);
        expect_order(rig, "b", "Bob", 2);
        change(rig, "a", "Ada", 4, 0);
        settle(rig);
        expect_order(rig, "a", "Ada", 4);
        finish_well(rig);
        assert_int_equal(changes_seen, 3); /* an agent that reads the channel gets records only */
    }
}

static void a_field_may_delete_too_and_an_agent_may_feed_a_table(void **state)
{
    struct rig *rig = *state;

    setting.reads_inside = true;
    begin(rig);
    change(rig, "a", "Ann", 1, 0);
    settle(rig);
    expect_order(rig, "a", "Ann", 1);
    send(rig, rig->changes, "{\"id\":\"a\",\"level\":0,\"gone\":true}");
    settle(rig);
    expect_order(rig, "a", NULL, NONE);
    finish_well(rig);
}

static void rows_without_texts_are_cells(void **state)
{
    struct rig *rig = *state;

    setting.by_number = true;
    for (int i = 0; i < 2; i++) {
        set(rig, "state", i == 0 ? "memory" : "rocksdb");
        begin(rig);
        send(rig, rig->changes, "{\"id\":7,\"limit\":70}");
        send(rig, rig->changes, "{\"id\":-8,\"limit\":80}");
        settle(rig);
        order(rig, "x", 7, 0);
        settle(rig);
        assert_int_equal(number_of(next(rig), "\"limit\":"), 70);
        delete_key(rig, "7");
        delete_key(rig, "-9223372036854775808");
        settle(rig);
        order(rig, "x", 7, 0);
        order(rig, "x", -8, 0);
        settle(rig);
        const int64_t first = number_of(next(rig), "\"limit\":");
        assert_int_equal(first + number_of(next(rig), "\"limit\":"), NONE + 80);
        finish_well(rig);
    }
}

static void a_delete_whose_key_is_none_is_refused(void **state)
{
    static const struct {
        const char *key;
        const char *text;
    } cases[] = {
        {"9223372036854775808", "no int64 in decimal"},
        {"seven", "no int64 in decimal"},
        {"", "no int64 in decimal"},
        {"-", "no int64 in decimal"},
    };
    struct rig *rig = *state;

    setting.by_number = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(rig);
        delete_key(rig, cases[i].key);
        assert_int_equal(finish(rig), SABOT_ERR_SCHEMA);
        if (strstr(rig->error.text, cases[i].text) == NULL ||
            strstr(rig->error.text, "channel limits: partition 0, offset 0") == NULL)
            fail_msg("%s", rig->error.text);
    }
}

static sabot_status write_deletes(sabot_source *source, size_t max, sabot_position *at, void *user)
{
    static const char ann[] =
        "{\"id\":\"a\",\"name\":\"Ann\",\"level\":2,\"score\":1.0,\"rank\":-2}";
    static const char bob[] =
        "{\"id\":\"b\",\"name\":\"Bob\",\"level\":4,\"score\":2.0,\"rank\":-4}";

    (void)max;
    (void)at;
    (void)user;
    SABOT_TRY(sabot_source_write(source, sabot_text_of("a"), sabot_text_of(ann), 0));
    SABOT_TRY(sabot_source_write(source, sabot_text_of("b"), sabot_text_of(bob), 0));
    SABOT_TRY(sabot_source_write(source, sabot_text_of("c"), sabot_text_of(" null "), 0));
    SABOT_TRY(sabot_source_write(source, sabot_text_of("a"), sabot_text_of("null"), 0));
    SABOT_TRY(sabot_source_write(source, sabot_text_of("c"), (sabot_text){NULL, 0}, 0));
    return SABOT_END;
}

static void null_as_json_deletes_too(void **state)
{
    struct rig *rig = *state;

    setting.source = write_deletes;
    begin(rig);
    order(rig, "a", 0, 0);
    order(rig, "b", 0, 0);
    assert_int_equal(sabot_pipe_close(rig->orders, &rig->error), SABOT_OK);
    /* A source of the app is loaded when it has ended; so the orders come after all of it. */
    if (step_to_the_end(rig) != SABOT_END)
        fail_msg("%s", rig->error.text);
    expect(rig, NULL, NONE);
    expect(rig, "Bob", 4);
    assert_int_equal(sabot_pipe_close(rig->out, NULL), SABOT_OK);
    sabot_run_destroy(rig->run);
}

/* --- Time ----------------------------------------------------------------------------------------
 */

static void a_silent_table_does_not_hold_event_time_back(void **state)
{
    struct rig *rig = *state;

    setting.has_timer = true;
    set(rig, "time.idle_after_ms", "0"); /* nothing but the rule for tables can help */
    begin(rig);
    change(rig, "a", "Ann", 1, 5);
    settle(rig);
    order(rig, "a", 0, 100);
    settle(rig);
    assert_int_equal(fired_ms, NONE);
    order(rig, "a", 0, 200);
    settle(rig);
    assert_int_equal(fired_ms, 100);
    sabot_run_stats stats;
    sabot_run_get_stats(rig->run, &stats);
    assert_int_equal(stats.watermark_ms, 200);
    finish_well(rig);
}

static void rows_that_are_not_refreshed_expire(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 2; i++) {
        set(rig, "state", i == 0 ? "memory" : "rocksdb");
        setting.ttl_ms = 1000;
        setting.ttl_clock = SABOT_PROCESSING_TIME;
        begin(rig);
        change(rig, "a", "Ann", 1, 0);
        settle(rig);
        setting.wall_ms += 999;
        expect_order(rig, "a", "Ann", 1);
        setting.wall_ms += 1;
        expect_order(rig, "a", NULL, NONE);
        finish_well(rig);

        setting.ttl_clock = SABOT_EVENT_TIME;
        begin(rig);
        change(rig, "a", "Ann", 1, 5000);
        settle(rig);
        order(rig, "a", 0, 5999);
        settle(rig);
        expect(rig, "Ann", 1);
        order(rig, "a", 0, 6000);
        settle(rig);
        expect(rig, NULL, NONE);
        finish_well(rig);
    }
}

/* --- Against a model -----------------------------------------------------------------------------
 */

struct model {
    bool there[KEYS];
    int64_t level[KEYS];
    char name[KEYS][NAME_MAX_SIZE];
    bool has_name[KEYS];
};

static void random_change(struct rig *rig, struct model *model)
{
    const uint64_t key = draw(rig, KEYS);
    const char text[] = {'k', (char)('0' + key), '\0'};
    size_t size;

    if (draw(rig, 4) == 0) {
        delete_key(rig, text);
        model->there[key] = false;
        return;
    }
    size = draw(rig, 10) == 0 ? draw(rig, NAME_MAX_SIZE - 1) : draw(rig, 20);
    memset(model->name[key], 'a' + (int)draw(rig, 26), size);
    model->name[key][size] = '\0';
    model->has_name[key] = draw(rig, 5) != 0;
    model->there[key] = true;
    model->level[key] = (int64_t)draw(rig, 1000);
    change(rig, text, model->has_name[key] ? model->name[key] : NULL, model->level[key], 0);
}

static void expect_model(struct rig *rig, const struct model *model)
{
    const uint64_t key = draw(rig, KEYS);
    const char text[] = {'k', (char)('0' + key), '\0'};

    if (model->there[key])
        expect_order(rig, text, model->has_name[key] ? model->name[key] : NULL, model->level[key]);
    else
        expect_order(rig, text, NULL, NONE);
}

static uint64_t seed_count(uint64_t usual)
{
    return getenv("SABOT_LONG") == NULL ? usual : usual * 20;
}

static void random_changes_are_as_in_a_model(void **state)
{
    static const char *const threads[] = {"1", "2", "4"};
    static struct model model;
    struct rig *rig = *state;

    for (uint64_t seed = 1; seed <= seed_count(6); seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        rig->random = seed;
        memset(&model, 0, sizeof model);
        set(rig, "threads", threads[draw(rig, 3)]);
        set(rig, "state", draw(rig, 2) == 0 ? "memory" : "rocksdb");
        begin(rig);
        for (int i = 0; i < 300; i++) {
            for (uint64_t changes = draw(rig, 4); changes > 0; changes--)
                random_change(rig, &model);
            settle(rig);
            expect_model(rig, &model);
        }
        finish_well(rig);
    }
}

/* --- Tables are loaded first, and outlive a run --------------------------------------------------
 */

enum { CHANGES = 400, ORDERS = 300 };

static void bind(struct rig *rig, const char *channel, const char *query)
{
    char url[160];

    (void)snprintf(url, sizeof url, "file:%s/%s.jsonl%s", rig->folder, channel, query);
    assert_int_equal(sabot_config_bind(rig->config, channel, url, &rig->error), SABOT_OK);
}

static FILE *open_file(const struct rig *rig, const char *channel, const char *mode)
{
    char path[160];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s.jsonl", rig->folder, channel);
    file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static void write_files(struct rig *rig, struct model *model)
{
    FILE *file = open_file(rig, "customers", "w");

    memset(model, 0, sizeof *model);
    for (int i = 0; i < CHANGES; i++) {
        const uint64_t key = draw(rig, KEYS);
        const int64_t level = (int64_t)draw(rig, 500) * 2;

        model->there[key] = draw(rig, 4) != 0;
        model->level[key] = level;
        assert_true(fprintf(file,
                            "{\"id\":\"k%d\",\"name\":\"n%d\",\"level\":%d,\"score\":%d,\"rank\":%d"
                            ",\"gone\":%s}\n",
                            (int)key, (int)level, (int)level, (int)level / 2, (int)-level,
                            model->there[key] ? "false" : "true") > 0);
    }
    assert_int_equal(fclose(file), 0);
    file = open_file(rig, "orders", "w");
    for (int i = 0; i < ORDERS; i++)
        assert_true(fprintf(file, "{\"customer\":\"k%d\",\"number\":%d}\n", i % KEYS, i) > 0);
    assert_int_equal(fclose(file), 0);
}

/* Each order once, with the row that its customer had in the end. */
static void expect_last_rows(const struct rig *rig, const struct model *model)
{
    FILE *file = open_file(rig, "out", "r");
    bool seen[ORDERS] = {false};
    char line[256];
    int count = 0;

    while (fgets(line, sizeof line, file) != NULL) {
        const int64_t number = number_of(line, "\"number\":");
        const int64_t key = number % KEYS;

        assert_in_range(number, 0, ORDERS - 1);
        assert_false(seen[number]);
        seen[number] = true;
        count++;
        assert_int_equal(number_of(line, "\"level\":"),
                         model->there[key] ? model->level[key] : NONE);
        if (model->there[key])
            assert_int_equal(number_of(line, "\"name\":\"n"), model->level[key]);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(count, ORDERS);
}

static void streams_wait_until_tables_are_loaded(void **state)
{
    static struct model model;
    struct rig *rig = *state;

    bind(rig, "customers", "");
    bind(rig, "orders", "");
    bind(rig, "out", "");
    for (uint64_t seed = 1; seed <= 12; seed++) {
        rig->random = seed;
        write_files(rig, &model);
        setting.reads_inside = seed % 2 == 0;
        set(rig, "threads", seed % 3 == 0 ? "1" : seed % 3 == 1 ? "2" : "4");
        set(rig, "batch.rows", seed % 4 < 2 ? "7" : "1024");
        if (sabot_app_run(&shop_app, rig->config, &rig->error) != SABOT_OK)
            fail_msg("%s", rig->error.text);
        expect_last_rows(rig, &model);
    }
    set(rig, "tables.load", "along");
    assert_int_equal(sabot_app_run(&shop_app, rig->config, &rig->error), SABOT_OK);
}

static void runs_destroyed_at_any_step_lose_no_row(void **state)
{
    static const char *const threads[] = {"1", "2", "4"};
    static struct model model;
    struct rig *rig = *state;

    bind(rig, "customers", "");
    bind(rig, "orders", "");
    bind(rig, "out", "");
    set(rig, "checkpoint.interval_ms", "1");
    for (uint64_t seed = 1; seed <= seed_count(3); seed++) {
        sabot_status status = SABOT_AGAIN;
        char path[128];

        print_message("seed %llu\n", (unsigned long long)seed);
        rig->random = seed;
        write_files(rig, &model);
        (void)snprintf(path, sizeof path, "%s/state%d", rig->folder, (int)seed);
        set(rig, "state.dir", path);
        for (int runs = 0; status == SABOT_AGAIN && runs < 6; runs++) {
            const uint64_t steps = runs < 5 ? 20 + draw(rig, 900) : UINT64_MAX;

            set(rig, "threads", threads[draw(rig, 3)]);
            set(rig, "state", draw(rig, 2) == 0 ? "memory" : "rocksdb");
            set(rig, "batch.rows", draw(rig, 2) == 0 ? "3" : "50");
            make(rig);
            for (uint64_t i = 0; status == SABOT_AGAIN && i < steps; i++)
                status = sabot_run_step(rig->run, NULL, &rig->error);
            sabot_run_destroy(rig->run);
        }
        if (status != SABOT_END)
            fail_msg("%s", rig->error.text);
        expect_last_rows(rig, &model);
    }
}

static void write_file(struct rig *rig, const char *channel, const char *text)
{
    FILE *file = open_file(rig, channel, "a");

    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Two customers, one of them without a name, are kept by the first field table. */
static void keep_customers(struct rig *rig)
{
    sabot_run_stats stats = {0};
    char path[128];

    (void)snprintf(path, sizeof path, "%s/state", rig->folder);
    set(rig, "state.dir", path);
    bind(rig, "customers", "?follow=true");
    bind(rig, "orders", "?follow=true");
    bind(rig, "out", "");
    write_file(rig, "customers",
               "{\"id\":\"k1\",\"name\":\"n\",\"level\":8,\"score\":4.0,\"rank\":-8}\n"
               "{\"id\":\"k2\",\"level\":8,\"score\":4.0,\"rank\":-8}\n");
    write_file(rig, "orders", "{\"customer\":\"k1\"}\n");
    make(rig);
    while (stats.records_written == 0) {
        assert_int_equal(sabot_run_step(rig->run, NULL, &rig->error), SABOT_AGAIN);
        sabot_run_get_stats(rig->run, &stats);
    }
    sabot_run_stop(rig->run);
    if (step_to_the_end(rig) != SABOT_END)
        fail_msg("%s", rig->error.text);
    sabot_run_destroy(rig->run);
}

static void expect_in_file(const struct rig *rig, const char *line)
{
    FILE *file = open_file(rig, "out", "r");
    char text[256];
    bool found = false;

    while (fgets(text, sizeof text, file) != NULL)
        found |= strstr(text, line) != NULL;
    assert_int_equal(fclose(file), 0);
    if (!found)
        fail_msg("%s is not in the output", line);
}

static void follow_newer_table(struct rig *rig, const char *backend)
{
    set(rig, "state", backend);
    keep_customers(rig);
    write_file(rig, "orders", "{\"customer\":\"k2\"}\n{\"customer\":\"k1\",\"number\":1}\n");
    set(rig, "until.end", "true");
    setting.changed = &newer_schema;
    make(rig);
    if (step_to_the_end(rig) != SABOT_END)
        fail_msg("%s: %s", backend, rig->error.text);
    sabot_run_destroy(rig->run);
    expect_in_file(rig, "\"name\":\"Delft\",\"level\":8,\"limit\":500");
    expect_in_file(rig, "\"number\":1,\"id\":0,\"name\":\"n\",\"level\":8,\"limit\":500");
}

static void rows_with_texts_follow_a_newer_field_table(void **state)
{
    follow_newer_table(*state, "memory");
}

static void rows_in_rocksdb_follow_a_newer_field_table(void **state)
{
    follow_newer_table(*state, "rocksdb");
}

static void a_field_table_that_was_changed_under_its_version_is_refused_at_restore(void **state)
{
    struct rig *rig = *state;

    keep_customers(rig);
    setting.changed = &forgotten_schema; /* no order comes: nobody reads a row */
    make(rig);
    assert_int_equal(step_to_the_end(rig), SABOT_ERR_RECOVERY);
    if (strstr(rig->error.text,
               "state row of agent customer: the fields of customer differ from "
               "those in the snapshot, but both are version 1: raise the version") == NULL)
        fail_msg("%s", rig->error.text);
    sabot_run_destroy(rig->run);
}

/* --- What is refused, and said -------------------------------------------------------------------
 */

static void wrong_tables_are_refused_when_the_app_is_built(void **state)
{
    static const struct {
        const char *misuse;
        const char *text;
    } cases[] = {
        {"type", "agent enrich can't read table customer: they must be keyed by the same type, and "
                 "enrich is keyed by number (int64), customer by id (utf8)"},
        {"key", "table customer: its channel out has no key: see sabot_channel_key()"},
        {"delete", "deletes of table customer: field level has type int64"},
        {"twice", "table customer is created twice"},
        {"null", "agent enrich: the table that it reads is none of this app"},
    };
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setting.misuse = cases[i].misuse;
        assert_int_not_equal(sabot_run_create(&shop_app, rig->config, &rig->run, &rig->error),
                             SABOT_OK);
        if (strstr(rig->error.text, cases[i].text) == NULL)
            fail_msg("\"%s\" is not in: %s", cases[i].text, rig->error.text);
    }
}

static void a_table_that_the_agent_does_not_read_is_refused(void **state)
{
    struct rig *rig = *state;

    setting.reads_foreign = true;
    begin(rig);
    order(rig, "a", 0, 0);
    assert_int_equal(finish(rig), SABOT_ERR_ARGUMENT);
    if (strstr(rig->error.text, "agent enrich: partition 0, offset 0: read of table foreign, which "
                                "agent enrich does not read: see sabot_agent_table()") == NULL)
        fail_msg("%s", rig->error.text);
}

static void a_run_says_which_tables_there_are(void **state)
{
    struct rig *rig = *state;
    bool said_table = false;
    bool said_reader = false;
    const char *line;

    begin(rig);
    settle(rig);
    for (size_t i = 0; sabot_run_describe(rig->run, i, &line); i++) {
        if (i == 0)
            assert_non_null(strstr(line, "1 pipeline,"));
        said_table |= strcmp(line, "  table  customer on customers, by id") == 0;
        said_reader |= strcmp(line, "  agent  enrich on orders, by customer, reads table customer, "
                                    "to out") == 0;
    }
    assert_true(said_table);
    assert_true(said_reader);
    finish_well(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_last_record_of_a_key_is_its_row),
        TEST(a_record_without_a_value_deletes_its_key),
        TEST(a_field_may_delete_too_and_an_agent_may_feed_a_table),
        TEST(rows_without_texts_are_cells),
        TEST(a_delete_whose_key_is_none_is_refused),
        TEST(null_as_json_deletes_too),
        TEST(a_silent_table_does_not_hold_event_time_back),
        TEST(rows_that_are_not_refreshed_expire),
        TEST(random_changes_are_as_in_a_model),
        TEST(streams_wait_until_tables_are_loaded),
        TEST(runs_destroyed_at_any_step_lose_no_row),
        TEST(rows_with_texts_follow_a_newer_field_table),
        TEST(rows_in_rocksdb_follow_a_newer_field_table),
        TEST(a_field_table_that_was_changed_under_its_version_is_refused_at_restore),
        TEST(wrong_tables_are_refused_when_the_app_is_built),
        TEST(a_table_that_the_agent_does_not_read_is_refused),
        TEST(a_run_says_which_tables_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
