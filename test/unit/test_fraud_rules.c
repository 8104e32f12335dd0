/* SPDX-License-Identifier: Apache-2.0 */
/* test_fraud_rules.c - the fraud example without an engine: its rules and its made-up bank.
 *
 * The example's files are included here with the engine's calls replaced by small ones of this
 * test, so that one transaction at a time can be given to the agent. What it reports is compared
 * with the rules written down a second time, without any of the example's shortcuts. */
#include "test.h"

#include <sabot/sabot.h>

#include "base/hash.h"
#include "data/batch.h"
#include "data/schema.h"

#define sabot_user fake_user
#define sabot_value_edit fake_value_edit
#define sabot_context_status fake_context_status
#define sabot_emit fake_emit
#define sabot_app_memory fake_app_memory
#define sabot_app_option_int64 fake_app_option_int64
#define sabot_app_status fake_app_status
#define sabot_channel_open fake_channel_open
#define sabot_channel_key fake_channel_key
#define sabot_channel_event_time fake_channel_event_time
#define sabot_channel_source fake_channel_source
#define sabot_agent_create fake_agent_create
#define sabot_agent_key fake_agent_key
#define sabot_agent_value fake_agent_value
#define sabot_agent_output fake_agent_output
#define sabot_source_write fake_source_write
#define sabot_source_due_us fake_source_due_us
#define sabot_source_clock_us fake_source_clock_us
#define sabot_source_wait_until_us fake_source_wait_until_us

/* --- The engine ------------------------------------------------------------------------------- */

enum { ALERTS_MAX = 8, TEXT_MAX = 4096 };

struct seen {
    char id[64], type[32], severity[16], details[TEXT_MAX], related[TEXT_MAX];
    int64_t transaction, time_ms;
};

struct sabot_context {
    void *user;
    void *account;
    struct seen alerts[ALERTS_MAX];
    int alert_count;
};

struct sabot_source {
    int64_t clock_us, due_us, wait_us;
    size_t records_max, written;
    char lines[64][512];
    int64_t dues_us[64];
};

static int64_t options[4]; /* count, seed, rate, accounts */
static void *source_user;
static sabot_source_fill source_fill;

static void *fake_user(const sabot_context *context)
{
    return context->user;
}

static void *fake_value_edit(sabot_context *context, const sabot_value *value)
{
    (void)value;
    return context->account;
}

static sabot_status fake_context_status(const sabot_context *context)
{
    (void)context;
    return SABOT_ERR_MEMORY;
}

static sabot_status fake_emit(sabot_context *context,
                              const sabot_output *output,
                              const void *record);

static void *fake_app_memory(sabot_app *app, size_t size)
{
    (void)app;
    return test_calloc(1, size);
}

static int64_t fake_app_option_int64(sabot_app *app,
                                     const char *name,
                                     int64_t default_value,
                                     int64_t min,
                                     int64_t max,
                                     const char *doc)
{
    static const char *const names[] = {"count", "seed", "rate", "accounts"};

    (void)app;
    assert_true(min <= default_value && default_value <= max && *doc != '\0');
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(names[i], name) == 0)
            return options[i];
    }
    fail_msg("an option %s", name);
    return 0;
}

static sabot_status fake_app_status(const sabot_app *app)
{
    (void)app;
    return SABOT_OK;
}

static sabot_channel *fake_channel_open(sabot_app *app,
                                        const char *name,
                                        const char *url,
                                        const sabot_schema *schema)
{
    (void)app, (void)name, (void)url, (void)schema;
    return NULL;
}

static void fake_channel_key(sabot_channel *channel, const char *path)
{
    (void)channel, (void)path;
}

static void fake_channel_event_time(sabot_channel *channel, const char *path)
{
    (void)channel, (void)path;
}

static void fake_channel_source(sabot_channel *channel, sabot_source_fill fill, void *user)
{
    (void)channel;
    source_fill = fill;
    source_user = user;
}

static sabot_agent *fake_agent_create(sabot_app *app,
                                      const char *name,
                                      sabot_channel *channel,
                                      sabot_agent_function function,
                                      void *user)
{
    (void)app, (void)name, (void)channel, (void)function, (void)user;
    return NULL;
}

static void fake_agent_key(sabot_agent *agent, const char *path)
{
    (void)agent, (void)path;
}

static sabot_value *fake_agent_value(sabot_agent *agent,
                                     const char *name,
                                     const sabot_schema *schema)
{
    (void)agent, (void)name, (void)schema;
    return NULL;
}

static sabot_output *fake_agent_output(sabot_agent *agent, sabot_channel *channel)
{
    (void)agent, (void)channel;
    return NULL;
}

static sabot_status fake_source_write(sabot_source *source,
                                      sabot_text key,
                                      sabot_text value,
                                      int64_t timestamp_ms)
{
    assert_true(source->written < source->records_max);
    assert_true(value.size < sizeof source->lines[0]);
    assert_true(timestamp_ms > 0 && key.size == 11);
    memcpy(source->lines[source->written], value.data, value.size);
    source->lines[source->written][value.size] = '\0';
    source->dues_us[source->written++] = source->due_us;
    return SABOT_OK;
}

static void fake_source_due_us(sabot_source *source, int64_t due_us)
{
    source->due_us = due_us;
}

static int64_t fake_source_clock_us(sabot_source *source)
{
    return source->clock_us;
}

static void fake_source_wait_until_us(sabot_source *source, int64_t time_us)
{
    source->wait_us = time_us;
}

/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "../../examples/fraud/account.c"
#include "../../examples/fraud/bank.c"
#include "../../examples/fraud/source.c"
/* The one that defines `app` comes last. */
#include "../../examples/fraud/fraud.c"
/* NOLINTEND(bugprone-suspicious-include) */

static void copy_text(char *copy, sabot_text text, size_t size)
{
    assert_non_null(text.data);
    assert_true(text.size < size);
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
}

static sabot_status fake_emit(sabot_context *context,
                              const sabot_output *output,
                              const void *record)
{
    const struct alert *alert = record;
    struct seen *seen = &context->alerts[context->alert_count++];

    (void)output;
    assert_true(context->alert_count <= ALERTS_MAX);
    copy_text(seen->id, alert->id, sizeof seen->id);
    copy_text(seen->type, alert->type, sizeof seen->type);
    copy_text(seen->severity, alert->severity, sizeof seen->severity);
    copy_text(seen->details, alert->details, sizeof seen->details);
    copy_text(seen->related, alert->related, sizeof seen->related);
    seen->transaction = alert->transaction;
    seen->time_ms = alert->time_ms;
    assert_true(sb_utf8_valid(alert->details.data, alert->details.size));
    return SABOT_OK;
}

/* --- One account, and the rules without shortcuts ------------------------------------------------
 */

struct model {
    size_t count;
    struct transaction *past; /* all of them, in order of arrival */
};

struct bench {
    struct fraud fraud;
    struct account account;
    struct sabot_context context;
    struct model model;
};

static struct bench *bench_create(void)
{
    struct bench *bench = test_calloc(1, sizeof *bench);

    bench->context.user = &bench->fraud;
    bench->context.account = &bench->account;
    bench->model.past = test_calloc(100000, sizeof *bench->model.past);
    return bench;
}

static void bench_destroy(struct bench *bench)
{
    test_free(bench->model.past);
    test_free(bench);
}

/* Call the agent; the alerts are in bench->context. */
static void give(struct bench *bench, const struct transaction *now)
{
    bench->context.alert_count = 0;
    assert_int_equal(score(&bench->context, now), SABOT_OK);
    bench->model.past[bench->model.count++] = *now;
}

static struct transaction at(int64_t time_ms, double value, const char *city)
{
    static int64_t next_id = 1;

    return (struct transaction){.id = next_id++,
                                .time_ms = time_ms,
                                .amount = value,
                                .account = sabot_text_of("CL-1"),
                                .city = sabot_text_of(city)};
}

static void give_at(struct bench *bench, int64_t time_ms, double value, const char *city)
{
    const struct transaction now = at(time_ms, value, city);

    give(bench, &now);
}

static bool has(const struct bench *bench, const char *type, const char *severity)
{
    for (int i = 0; i < bench->context.alert_count; i++) {
        if (strcmp(bench->context.alerts[i].type, type) == 0) {
            assert_string_equal(bench->context.alerts[i].severity, severity);
            return true;
        }
    }
    return false;
}

/* 0 <= later - earlier < width */
static bool differs_less(int64_t later, int64_t earlier, uint64_t width)
{
    return later >= earlier && (uint64_t)later - (uint64_t)earlier < width;
}

static bool model_velocity(const struct transaction *past, size_t count, int64_t time_ms)
{
    int found = 0;

    for (size_t i = 0; i < count; i++)
        found += differs_less(time_ms, past[i].time_ms, 60000);
    return found >= 2;
}

/* NULL, or the severity. */
static const char *model_amount(const struct transaction *past, size_t count, double value)
{
    double sum = 0, squares = 0;
    bool equal = true;

    if (count < 5)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        sum += past[i].amount;
        equal = equal && past[i].amount == past[0].amount;
    }
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (past[i].amount - mean) * (past[i].amount - mean);
    const double deviation = equal ? 0 : sqrt(squares / (double)count);
    if (!(deviation > 0) || !(fabs(value - mean) / deviation > 3))
        return NULL;
    return (value - mean) / deviation > 4 ? "CRITICAL" : "HIGH";
}

static bool model_geo(const struct transaction *past, size_t count, const struct transaction *now)
{
    if (count == 0)
        return false;
    const struct transaction *last = &past[count - 1];
    const bool same = last->city.size == now->city.size &&
                      memcmp(last->city.data, now->city.data, now->city.size) == 0;

    return !same && (differs_less(now->time_ms, last->time_ms, 600000) ||
                     differs_less(last->time_ms, now->time_ms, 600000));
}

/* Give it to the agent and compare with the rules. */
static void give_checked(struct bench *bench, const struct transaction *now)
{
    const size_t count = bench->model.count < 100 ? bench->model.count : 100;
    const struct transaction *past = bench->model.past + bench->model.count - count;
    const bool is_fast = model_velocity(past, count, now->time_ms);
    const char *severity = model_amount(past, count, now->amount);
    const bool is_far = model_geo(past, count, now);
    int expected = 0;

    give(bench, now);
    const struct seen *seen = bench->context.alerts;
    if (is_fast)
        assert_string_equal(seen[expected++].type, "VELOCITY");
    if (severity != NULL) {
        assert_string_equal(seen[expected].type, "AMOUNT_ANOMALY");
        assert_string_equal(seen[expected++].severity, severity);
    }
    if (is_far)
        assert_string_equal(seen[expected++].type, "GEO_IMPOSSIBLE");
    assert_int_equal(bench->context.alert_count, expected);
}

/* --- Velocity --------------------------------------------------------------------------------- */

static void two_within_the_minute_and_none_less_are_velocity(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_at(bench, 1000000, 10, "Lima");
    give_at(bench, 1000000, 10, "Lima");
    assert_int_equal(bench->context.alert_count, 0);
    give_at(bench, 1000000, 10, "Lima"); /* equal times count */
    assert_true(has(bench, "VELOCITY", "HIGH"));
    bench_destroy(bench);
}

static void a_minute_sharp_is_no_velocity(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_at(bench, 1000000, 10, "Lima");
    give_at(bench, 1000001, 10, "Lima");
    give_at(bench, 1060000, 10, "Lima"); /* 60,000 and 59,999 ms */
    assert_int_equal(bench->context.alert_count, 0);
    bench_destroy(bench);

    bench = bench_create();
    give_at(bench, 1000001, 10, "Lima");
    give_at(bench, 1000001, 10, "Lima");
    give_at(bench, 1060000, 10, "Lima");
    assert_true(has(bench, "VELOCITY", "HIGH"));
    bench_destroy(bench);
}

static void later_ones_that_came_before_do_not_count(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_at(bench, 2000000, 10, "Lima");
    give_at(bench, 2000001, 10, "Lima");
    give_at(bench, 1999999, 10, "Lima"); /* both differences are negative */
    assert_int_equal(bench->context.alert_count, 0);
    give_at(bench, 2000000, 10, "Lima");
    assert_true(has(bench, "VELOCITY", "HIGH"));
    bench_destroy(bench);
}

static void related_are_those_of_the_minute_in_order_of_arrival(void **state)
{
    struct bench *bench = bench_create();
    struct transaction now = at(1000, 10, "Lima");

    (void)state;
    for (int64_t i = 0; i < 150; i++) { /* round the ring */
        now.id = i;
        now.time_ms = i < 148 ? i * 100000 : INT64_C(20000000) - i;
        give(bench, &now);
    }
    now.id = -7;
    now.time_ms = 20000000;
    give(bench, &now);
    assert_true(has(bench, "VELOCITY", "HIGH"));
    assert_string_equal(bench->context.alerts[0].related, "148,149");
    assert_string_equal(bench->context.alerts[0].id, "-7-VELOCITY");
    assert_string_equal(bench->context.alerts[0].details, "3 transactions within 60 s");
    assert_int_equal(bench->context.alerts[0].transaction, -7);
    assert_int_equal(bench->context.alerts[0].time_ms, 20000000);
    bench_destroy(bench);
}

static void a_hundred_ids_of_full_length_fit(void **state)
{
    struct bench *bench = bench_create();
    struct transaction now = at(5, 10, "Lima");

    (void)state;
    now.id = INT64_MIN;
    for (int i = 0; i < 101; i++)
        give(bench, &now);
    assert_true(has(bench, "VELOCITY", "HIGH"));
    assert_int_equal(strlen(bench->context.alerts[0].related), 100 * 20 + 99);
    bench_destroy(bench);
}

static void the_101st_puts_the_first_out(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_at(bench, 1000000000, 10, "Lima"); /* two far in the future */
    give_at(bench, 1000000000, 10, "Lima");
    for (int64_t i = 0; i < 98; i++)
        give_at(bench, i * 100000, 10, "Lima");
    const struct account full = bench->account;
    give_at(bench, 1000000001, 10, "Lima");
    assert_true(has(bench, "VELOCITY", "HIGH"));
    bench->account = full;
    give_at(bench, 9800000, 10, "Lima"); /* puts one of the two out */
    give_at(bench, 1000000001, 10, "Lima");
    assert_int_equal(bench->context.alert_count, 0);
    bench_destroy(bench);
}

/* --- Amounts ---------------------------------------------------------------------------------- */

static void give_amounts(struct bench *bench, const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        give_at(bench, (int64_t)bench->model.count * 1000000, values[i], "Lima");
}

static void four_known_amounts_are_too_few(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_amounts(bench, (const double[]){10, 11, 10, 11, 1000}, 5);
    assert_int_equal(bench->context.alert_count, 0);
    bench_destroy(bench);

    bench = bench_create();
    give_amounts(bench, (const double[]){10, 11, 10, 11, 10, 1000}, 6);
    assert_true(has(bench, "AMOUNT_ANOMALY", "CRITICAL"));
    assert_string_equal(bench->context.alerts[0].related, "");
    bench_destroy(bench);
}

static void equal_amounts_have_no_deviation(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_amounts(bench, (const double[]){0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1000000}, 8);
    assert_int_equal(bench->context.alert_count, 0);
    bench_destroy(bench);
}

/* Mean 0, deviation 1. */
static const double UNIT[] = {-1, 1, -1, 1, -1, 1};

static void three_deviations_are_usual_and_more_are_not(void **state)
{
    static const struct {
        double value;
        const char *severity;
    } cases[] = {
        {3, NULL},         {3.0000001, "HIGH"},
        {-3, NULL},        {-3.0000001, "HIGH"},
        {4, "HIGH"},       {4.0000001, "CRITICAL"},
        {-4.5, "HIGH"},    {-400, "HIGH"},
        {2.9999999, NULL}, {0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench *bench = bench_create();

        give_amounts(bench, UNIT, 6);
        give_at(bench, 100000000, cases[i].value, "Lima");
        assert_int_equal(bench->context.alert_count, cases[i].severity != NULL);
        if (cases[i].severity != NULL)
            assert_true(has(bench, "AMOUNT_ANOMALY", cases[i].severity));
        bench_destroy(bench);
    }
}

static void enormous_amounts_are_reported_and_forgotten(void **state)
{
    struct bench *bench = bench_create();

    (void)state;
    give_amounts(bench, UNIT, 6);
    for (int i = 0; i < 3; i++) {
        struct transaction now = at(INT64_C(200000000) + (int64_t)i * 1000000, 1.7e308, "Lima");

        give_checked(bench, &now);
        assert_int_equal(bench->context.alert_count, i == 0);
    }
    for (int i = 0; i < 300; i++) {
        struct transaction now =
            at(INT64_C(300000000) + (int64_t)i * 1000000, i % 2 == 0 ? 1 : -1, "Lima");

        give_checked(bench, &now);
    }
    assert_true(bench->account.taken < 1000);
    bench_destroy(bench);
}

/* --- Cities ----------------------------------------------------------------------------------- */

static void another_city_within_ten_minutes_is_impossible(void **state)
{
    static const struct {
        int64_t time_ms;
        bool is_alert;
    } cases[] = {
        {1599999, true}, {1600000, false}, {400001, true}, {400000, false}, {1000000, true}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench *bench = bench_create();

        give_at(bench, 1000000, 10, "Santiago");
        give_at(bench, cases[i].time_ms, 10, "Lima");
        assert_int_equal(has(bench, "GEO_IMPOSSIBLE", "CRITICAL"), cases[i].is_alert);
        give_at(bench, cases[i].time_ms, 10, "Lima"); /* the city before is Lima now */
        assert_false(has(bench, "GEO_IMPOSSIBLE", "CRITICAL"));
        bench_destroy(bench);
    }
}

static void details_carry_the_distance_and_related_the_one_before(void **state)
{
    struct bench *bench = bench_create();
    char id[32];

    (void)state;
    give_at(bench, 1000000, 10, "Concepción");
    snprintf(id, sizeof id, "%lld", (long long)bench->model.past[0].id);
    give_at(bench, 964000, 10, "Cusco");
    assert_true(has(bench, "GEO_IMPOSSIBLE", "CRITICAL"));
    assert_string_equal(bench->context.alerts[0].details,
                        "Concepción, then Cusco: 2592 km apart, 36 s apart");
    assert_string_equal(bench->context.alerts[0].related, id);
    give_at(bench, 964000, 10, "Atlantis");
    assert_string_equal(bench->context.alerts[0].details,
                        "Cusco, then Atlantis: 0 km apart, 0 s apart");
    bench_destroy(bench);
}

static void distances_are_those_of_the_globe(void **state)
{
    (void)state;
    assert_int_equal((int)bank_distance_km("Santiago", "Lima"), 2466);
    assert_int_equal((int)bank_distance_km("Lima", "Santiago"), 2466);
    assert_int_equal((int)bank_distance_km("Arica", "Punta Arenas"), 3857);
    assert_int_equal((int)bank_distance_km("Arica", "Arica"), 0);
    assert_int_equal((int)bank_distance_km("Arica", "arica"), 0);
}

/* Cities which a shortened or a C string would take for each other. */
static sabot_text tricky_city(int index)
{
    static char names[12][256];
    static const size_t sizes[12] = {0, 1, 63, 64, 65, 200, 200, 5, 6, 64, 63, 64};

    memset(names, 'x', sizeof names);
    names[6][199] = 'y';         /* as 5, but for its last byte */
    memcpy(names[7], "Lima", 5); /* with its NUL */
    memcpy(names[8], "Lima\0y", 6);
    memcpy(names[9] + 62, "\xc3\xb3", 2); /* a character of two bytes over the limit */
    memcpy(names[10] + 61, "\xc3\xb3", 2);
    memcpy(names[11] + 60, "\xf0\x9f\x98\x80", 4);
    return (sabot_text){names[index], sizes[index]};
}

static void cities_differ_when_any_byte_does(void **state)
{
    (void)state;
    for (int one = 0; one < 12; one++) {
        for (int other = 0; other < 12; other++) {
            struct bench *bench = bench_create();
            struct transaction now = at(1000, 10, "");

            now.city = tricky_city(one);
            give(bench, &now);
            now.city = tricky_city(other);
            give(bench, &now);
            assert_int_equal(has(bench, "GEO_IMPOSSIBLE", "CRITICAL"), one != other);
            assert_true(sb_utf8_valid(bench->account.city, strlen(bench->account.city)));
            bench_destroy(bench);
        }
    }
}

/* --- At random -------------------------------------------------------------------------------- */

static uint64_t chance(uint64_t *seed)
{
    *seed += 0x9e3779b97f4a7c15;
    return mix(*seed);
}

/* An amount so many deviations off the mean of what is known. */
static double amount_at(const struct bench *bench, double score)
{
    const size_t count = bench->model.count < 100 ? bench->model.count : 100;
    const struct transaction *past = bench->model.past + bench->model.count - count;
    double sum = 0, squares = 0;

    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        sum += past[i].amount;
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (past[i].amount - mean) * (past[i].amount - mean);
    return mean + score * sqrt(squares / (double)count);
}

enum style { STYLE_EQUAL, STYLE_WILD, STYLE_USUAL, STYLE_LARGE, STYLE_TINY, STYLE_COUNT };

/* Amounts of one life of an account; some are just about a limit. */
static double random_amount(const struct bench *bench, uint64_t *seed, enum style style)
{
    const uint64_t bits = chance(seed);
    const double usual = 100000 + (double)(bits >> 10 & 0xffff) / 100;

    if (style != STYLE_EQUAL && bits % 16 == 0) {
        const double limits[] = {3, 4, -3, 3.1};
        const double limit = limits[bits >> 8 & 3] * (1 + (double)(bits >> 12 & 3) * 1e-15);

        /* What is far off beside a large one would be large itself. */
        if (style != STYLE_LARGE || fabs(amount_at(bench, limit)) < 1e6)
            return amount_at(bench, limit);
    }
    switch (style) {
    case STYLE_EQUAL: return bits % 20 == 0 ? usual : 0.1;
    case STYLE_WILD: return ldexp((double)(bits % 1000) - 500, (int)(bits >> 20 & 2047) - 1040);
    case STYLE_LARGE: /* drowns the others */
        return bits % 101 == 0 ? ldexp(usual, (int)(bits >> 30 & 31)) : usual;
    case STYLE_TINY: return ldexp((double)(bits >> 20 & 7), -537); /* its square is denormal */
    case STYLE_USUAL:
    case STYLE_COUNT: break;
    }
    return bits % 50 == 0 ? usual * 30 : usual;
}

static int64_t random_time(uint64_t *seed, int64_t now_ms)
{
    const uint64_t bits = chance(seed);

    switch (bits % 64) {
    case 0: return INT64_MAX - (int64_t)(bits >> 50);
    case 1: return INT64_MIN + (int64_t)(bits >> 50);
    case 2: return now_ms + 600000;
    case 3: return now_ms - 599999;
    case 4: return now_ms + 60000;
    default: return now_ms + (int64_t)(bits >> 30 & 0x1ffff) - 40000;
    }
}

static void the_shortcuts_agree_with_the_rules_at_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct bench *bench = bench_create();
        uint64_t chances = seed;
        const enum style style = chance(&chances) % STYLE_COUNT;
        const bool is_slow = chance(&chances) % 2 == 0;
        int64_t now_ms = 1740787200000;

        if (seed % 25 == 0)
            print_message("seed %d\n", (int)seed);
        for (int i = 0; i < 1500; i++) {
            struct transaction now = at(random_time(&chances, now_ms), 0, "");

            now_ms += (int64_t)(chance(&chances) % (is_slow ? 1000000 : 60000));
            now.amount = random_amount(bench, &chances, style);
            now.city = tricky_city((int)(chance(&chances) % 3 == 0 ? chance(&chances) % 12 : 0));
            give_checked(bench, &now);
        }
        bench_destroy(bench);
    }
}

/* --- The bank --------------------------------------------------------------------------------- */

static void a_record_is_the_same_in_whatever_order_it_is_made(void **state)
{
    static struct bank forth, back;
    struct bank_record one, other;
    enum { COUNT = 5000 };

    (void)state;
    for (uint64_t accounts = 1; accounts <= 20000; accounts *= 20) {
        bank_init(&forth, 7, accounts, BANK_START_MS);
        bank_init(&back, 7, accounts, BANK_START_MS);
        bank_make(&back, COUNT, &other);
        for (uint64_t i = 0; i < COUNT; i++) {
            bank_make(&back, COUNT - 1 - i, &other);
            bank_init(&forth, 7, accounts, BANK_START_MS);
            bank_make(&forth, COUNT - 1 - i, &one);
            assert_int_equal(one.value.size, other.value.size);
            assert_memory_equal(one.value.data, other.value.data, one.value.size);
            assert_true(one.value.size < BANK_LINE_MAX);
        }
    }
}

static const char FIRST_RECORD[] =
    "{\"transaction_id\":1,\"account_number\":\"PE-00005312\",\"user_id\":\"user-0002656\","
    "\"transaction_date\":\"2025-03-01T00:00:00Z\",\"transaction_amount\":79.34,"
    "\"currency\":\"PEN\",\"transaction_type\":\"withdrawal\",\"branch_city\":\"Arequipa\","
    "\"payment_method\":\"credit_card\",\"country\":\"Perú\",\"timestamp_ms\":1740787200150}";

static void the_traffic_of_a_seed_never_changes(void **state)
{
    static struct bank bank;
    struct bank_record record;
    uint64_t hash = 0;

    (void)state;
    bank_init(&bank, 1, 20000, BANK_START_MS);
    bank_make(&bank, 0, &record);
    assert_memory_equal(FIRST_RECORD, record.value.data, record.value.size);
    assert_int_equal(record.value.size, sizeof FIRST_RECORD - 1);
    for (uint64_t i = 0; i < 10000; i++) {
        bank_make(&bank, i, &record);
        hash = sb_hash(record.value.data, record.value.size, hash);
    }
    assert_int_equal(hash, 0x87723b996bb8dba0);
}

static void the_date_is_that_of_the_time(void **state)
{
    static struct bank bank;

    (void)state;
    bank.day = -1;
    static const struct {
        int64_t time_ms;
        const char *text;
    } cases[] = {
        {951868800000, "2000-03-01T00:00:00Z"},  {1740787199999, "2025-02-28T23:59:59Z"},
        {1740787200000, "2025-03-01T00:00:00Z"}, {1709210096789, "2024-02-29T12:34:56Z"},
        {1767225599000, "2025-12-31T23:59:59Z"}, {4107542399000, "2100-02-28T23:59:59Z"},
        {4107542400000, "2100-03-01T00:00:00Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32] = "";

        put_time(&bank, text, cases[i].time_ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void the_source_goes_on_from_a_position(void **state)
{
    static struct sabot_source whole, parts;
    sabot_position position = {.size = 0};

    (void)state;
    options[0] = 50, options[1] = 3, options[2] = 0, options[3] = 100;
    source_attach(NULL, NULL);
    whole.records_max = 60;
    assert_int_equal(source_fill(&whole, 60, &position, source_user), SABOT_END);
    assert_int_equal(whole.written, 50);

    position.size = 0;
    for (sabot_status status = SABOT_OK; status == SABOT_OK;) {
        parts.records_max = parts.written + 7;
        test_free(source_user); /* another process */
        source_attach(NULL, NULL);
        status = source_fill(&parts, 7, &position, source_user);
        assert_int_equal(status, parts.written < 50 ? SABOT_OK : SABOT_END);
    }
    assert_memory_equal(whole.lines, parts.lines, sizeof whole.lines);
    test_free(source_user);
}

static void a_paced_source_writes_what_is_due_and_says_when_it_was(void **state)
{
    static struct sabot_source source;
    sabot_position position = {.size = 0};

    (void)state;
    options[0] = 50, options[1] = 3, options[2] = 1000, options[3] = 100;
    source_attach(NULL, NULL);
    source.records_max = 60;
    source.clock_us = 5000000;
    assert_int_equal(source_fill(&source, 60, &position, source_user), SABOT_OK);
    assert_int_equal(source.written, 1);
    assert_int_equal(source.wait_us, 5001000);
    source.clock_us = 5003500; /* late */
    assert_int_equal(source_fill(&source, 60, &position, source_user), SABOT_OK);
    assert_int_equal(source.written, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(source.dues_us[i], INT64_C(5000000) + (int64_t)i * 1000);
    assert_int_equal(source.wait_us, 5004000);
    test_free(source_user);
}

static void the_field_tables_are_in_order(void **state)
{
    static const struct {
        const sabot_schema *table;
        enum sb_schema_use use;
    } cases[] = {{&transaction_schema, SB_SCHEMA_RECORD},
                 {&alert_schema, SB_SCHEMA_RECORD},
                 {&account_schema, SB_SCHEMA_STATE}};

    struct sb_env *env;

    (void)state;
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    for (size_t i = 0; i < 3; i++) {
        struct sb_schema *schema = NULL;
        sabot_error error = {.text = ""};
        const sabot_status status =
            sb_schema_create(env, cases[i].table, cases[i].use, &schema, &error);

        assert_string_equal(error.text, "");
        assert_int_equal(status, SABOT_OK);
        sb_schema_destroy(schema);
    }
    sb_os_env_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_within_the_minute_and_none_less_are_velocity),
        cmocka_unit_test(a_minute_sharp_is_no_velocity),
        cmocka_unit_test(later_ones_that_came_before_do_not_count),
        cmocka_unit_test(related_are_those_of_the_minute_in_order_of_arrival),
        cmocka_unit_test(a_hundred_ids_of_full_length_fit),
        cmocka_unit_test(the_101st_puts_the_first_out),
        cmocka_unit_test(four_known_amounts_are_too_few),
        cmocka_unit_test(equal_amounts_have_no_deviation),
        cmocka_unit_test(three_deviations_are_usual_and_more_are_not),
        cmocka_unit_test(enormous_amounts_are_reported_and_forgotten),
        cmocka_unit_test(another_city_within_ten_minutes_is_impossible),
        cmocka_unit_test(details_carry_the_distance_and_related_the_one_before),
        cmocka_unit_test(distances_are_those_of_the_globe),
        cmocka_unit_test(cities_differ_when_any_byte_does),
        cmocka_unit_test(the_shortcuts_agree_with_the_rules_at_random),
        cmocka_unit_test(a_record_is_the_same_in_whatever_order_it_is_made),
        cmocka_unit_test(the_traffic_of_a_seed_never_changes),
        cmocka_unit_test(the_date_is_that_of_the_time),
        cmocka_unit_test(the_source_goes_on_from_a_position),
        cmocka_unit_test(a_paced_source_writes_what_is_due_and_says_when_it_was),
        cmocka_unit_test(the_field_tables_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
