/* SPDX-License-Identifier: Apache-2.0 */
/* decode.c - how fast JSON becomes columns, and columns JSON, beside what else one could do.
 *
 * The same bank transactions (11 fields, about 290 bytes) are decoded by Sabot, by a strict loop
 * that looks at one byte after the other and fills the same columns, by simdjson On-Demand and by
 * jansson; in turns, in one run, so that the ratios hold even when the machine is busy. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format/codec.h"

#include "decode.h"

enum {
    RECORDS = 8192,
    RECORD_MAX = 512,
    ROUNDS = 41,
    PASSES = 4, /* over all records, per round */
    CONTESTANTS_MAX = 6,
};

struct transaction {
    int64_t id;
    sabot_text account, user, date;
    double amount;
    sabot_text currency, type, city, method, country;
    int64_t time_ms;
};

#define TEXT(member, name) SABOT_FIELD(struct transaction, member, name, SABOT_UTF8, SABOT_REQUIRED)
static const sabot_field fields[FIELD_COUNT] = {
    SABOT_FIELD(struct transaction, id, "transaction_id", SABOT_INT64, SABOT_REQUIRED),
    TEXT(account, "account_number"),
    TEXT(user, "user_id"),
    TEXT(date, "transaction_date"),
    SABOT_FIELD(struct transaction, amount, "transaction_amount", SABOT_FLOAT64, SABOT_REQUIRED),
    TEXT(currency, "currency"),
    TEXT(type, "transaction_type"),
    TEXT(city, "branch_city"),
    TEXT(method, "payment_method"),
    TEXT(country, "country"),
    SABOT_FIELD(struct transaction, time_ms, "timestamp_ms", SABOT_TIMESTAMP, SABOT_REQUIRED),
};
static const sabot_schema table = SABOT_SCHEMA("transaction", 1, struct transaction, fields);

struct bench {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_builder builder;
    struct sb_decoder *decoder;
    struct plain_columns *plain;
    char *text; /* all records, one behind the other, and padding for simdjson */
    size_t text_size;
    sabot_text records[RECORDS];
};

static void check(bool good, const char *what)
{
    if (good)
        return;
    (void)fprintf(stderr, "bench decode: %s\n", what);
    exit(1);
}

/* --- Records ---------------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;

static uint64_t dice(uint64_t sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % sides;
}

static void write_values(char values[FIELD_COUNT][64], int i)
{
    static const char *const cities[] = {"Santiago",          "Valpara\xc3\xadso",
                                         "Concepci\xc3\xb3n", "La Serena",
                                         "Antofagasta",       "Temuco",
                                         "Punta Arenas",      "Lima",
                                         "Arequipa"};
    static const char *const methods[] = {"debit_card", "credit_card", "transfer", "cash"};
    static const char *const types[] = {"purchase", "transfer", "withdrawal", "deposit"};
    const bool chile = dice(3) != 0;

#define VALUE(field, ...) (void)snprintf(values[field], sizeof values[field], __VA_ARGS__)
    VALUE(0, "%d", 1234567 + i);
    VALUE(1, "\"ACC-%07d\"", (int)dice(20000));
    VALUE(2, "\"USR-%05d\"", (int)dice(20000));
    VALUE(3, "\"2026-01-05T10:%02d:%02dZ\"", i / 60 % 60, i % 60);
    VALUE(4, "%d.%d", (int)dice(500000), (int)dice(100));
    VALUE(5, "\"%s\"", chile ? "CLP" : "PEN");
    VALUE(6, "\"%s\"", types[dice(4)]);
    VALUE(7, "\"%s\"", cities[dice(9)]);
    VALUE(8, "\"%s\"", methods[dice(4)]);
    VALUE(9, "\"%s\"", chile ? "CL" : "PE");
    VALUE(10, "%lld", 1767607872000LL + 7LL * i);
#undef VALUE
}

static void make_records(struct bench *bench, bool shuffled)
{
    char values[FIELD_COUNT][64];
    int order[FIELD_COUNT] = {0};
    char *at = bench->text;

    for (int i = 0; i < RECORDS; i++) {
        char *start = at;

        write_values(values, i);
        for (int j = 0; j < FIELD_COUNT; j++) {
            const int other = shuffled ? (int)dice((uint64_t)j + 1) : j;

            order[j] = order[other];
            order[other] = j;
        }
        for (int j = 0; j < FIELD_COUNT; j++)
            at += snprintf(at, 128, "%c\"%s\":%s", j == 0 ? '{' : ',', fields[order[j]].path,
                           values[order[j]]);
        *at++ = '}';
        bench->records[i] = (sabot_text){start, (size_t)(at - start)};
    }
    bench->text_size = (size_t)(at - bench->text);
}

/* A batch is sealed when it is full, as a channel does. */
static void make_room(struct bench *bench)
{
    const struct sb_batch_origin origin = {0};
    struct sb_batch *batch;

    if (!sb_builder_full(&bench->builder))
        return;
    check(sb_builder_seal(&bench->builder, &origin, &batch) == SABOT_OK, "seal failed");
    sb_batch_unref(batch);
}

/* --- Contestants ------------------------------------------------------------------------------ */

static bool by_sabot(struct bench *bench, sabot_text record)
{
    make_room(bench);
    return sb_codec_json.decode(bench->decoder, record, FIELD_COUNT - 1, 0, 0, &bench->builder,
                                NULL) == SABOT_OK;
}

/* The strict loop. It knows the schema, keeps no guesses and looks at bytes one by one. */
struct loop {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static uint8_t loop_peek(const struct loop *loop)
{
    return loop->at < loop->end ? *loop->at : 0;
}

static uint8_t loop_space(struct loop *loop)
{
    while (loop->at < loop->end &&
           (*loop->at == ' ' || *loop->at == '\n' || *loop->at == '\r' || *loop->at == '\t'))
        loop->at++;
    return loop_peek(loop);
}

static void loop_expect(struct loop *loop, uint8_t byte)
{
    loop->bad = loop->bad || loop_space(loop) != byte;
    loop->at++;
}

/* The bytes behind the first of a sequence of UTF-8; the first is at `at`. */
static void loop_utf8(struct loop *loop)
{
    const uint8_t first = *loop->at;
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;

    loop->bad = loop->bad || first < 0xc2 || first > 0xf4 || loop->end - loop->at <= more;
    if (loop->bad)
        return;
    for (int i = 1; i <= more; i++)
        loop->bad = loop->bad || (loop->at[i] & 0xc0) != 0x80;
    loop->bad = loop->bad || (first == 0xe0 && loop->at[1] < 0xa0) ||
                (first == 0xed && loop->at[1] > 0x9f) || (first == 0xf0 && loop->at[1] < 0x90) ||
                (first == 0xf4 && loop->at[1] > 0x8f);
    loop->at += more;
}

/* A string: where it begins; its end is before loop->at. These records have no escapes. */
static const uint8_t *loop_string(struct loop *loop)
{
    const uint8_t *start;

    loop_expect(loop, '"');
    for (start = loop->at; !loop->bad; loop->at++) {
        const uint8_t byte = loop_peek(loop);

        if (byte == '"')
            break;
        if (byte < 0x20 || byte == '\\')
            loop->bad = true;
        else if (byte >= 0x80)
            loop_utf8(loop);
    }
    loop->at++;
    return start;
}

static bool loop_is_digit(const struct loop *loop)
{
    return loop->at < loop->end && *loop->at >= '0' && *loop->at <= '9';
}

/* A number of at most 18 digits, which these are. */
static int64_t loop_number(struct loop *loop, int *scale_out)
{
    const bool negative = loop_space(loop) == '-';
    int64_t value = 0;
    const uint8_t *start;

    loop->at += negative;
    for (start = loop->at; loop_is_digit(loop); loop->at++)
        value = value * 10 + (*loop->at - '0');
    loop->bad = loop->bad || loop->at == start || (*start == '0' && loop->at > start + 1);
    *scale_out = 0;
    if (loop_peek(loop) == '.') {
        loop->at++;
        for (start = loop->at; loop_is_digit(loop); loop->at++, (*scale_out)++)
            value = value * 10 + (*loop->at - '0');
        loop->bad = loop->bad || loop->at == start;
    }
    loop->bad = loop->bad || (loop_peek(loop) | 0x20) == 'e';
    return negative ? -value : value;
}

static void loop_value(struct bench *bench, struct loop *loop, uint32_t field)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    int scale;

    if (fields[field].type == SABOT_UTF8) {
        const uint8_t *start = loop_string(loop);

        if (!loop->bad)
            loop->bad = sb_builder_text(&bench->builder, field, start,
                                        (size_t)(loop->at - 1 - start)) != SABOT_OK;
        return;
    }
    const int64_t value = loop_number(loop, &scale);
    if (fields[field].type == SABOT_FLOAT64)
        sb_builder_float64(&bench->builder, field, (double)value / powers[scale % 10]);
    else
        sb_builder_int64(&bench->builder, field, value);
}

static bool by_loop(struct bench *bench, sabot_text record)
{
    const uint8_t *bytes = (const uint8_t *)record.data;
    struct loop loop = {bytes, bytes + record.size, false};
    uint32_t missing;

    make_room(bench);
    check(sb_builder_begin(&bench->builder) == SABOT_OK, "no memory");
    loop_expect(&loop, '{');
    for (int i = 0; !loop.bad; i++) {
        const uint8_t *key;
        size_t size;

        if (loop_space(&loop) == '}')
            break;
        if (i > 0)
            loop_expect(&loop, ',');
        key = loop_string(&loop);
        size = (size_t)(loop.at - 1 - key);
        loop_expect(&loop, ':');
        for (uint32_t field = 0; field < FIELD_COUNT; field++)
            if (bench->schema->fields[field].path_size == size &&
                memcmp(key, fields[field].path, size) == 0)
                loop_value(bench, &loop, field);
    }
    loop_expect(&loop, '}');
    if (loop.bad || loop_space(&loop) != 0 || loop.at != loop.end) {
        sb_builder_drop(&bench->builder);
        return false;
    }
    return sb_builder_commit(&bench->builder, 0, 0, &missing) == SABOT_OK;
}

#ifdef SB_BENCH_PEERS
static bool by_simdjson_in_order(struct bench *bench, sabot_text record)
{
    return simdjson_in_order(record.data, record.size, bench->plain);
}

static bool by_simdjson_any_order(struct bench *bench, sabot_text record)
{
    return simdjson_any_order(record.data, record.size, bench->plain);
}
#endif

static bool by_jansson(struct bench *bench, sabot_text record)
{
    json_t *object = json_loadb(record.data, record.size, 0, NULL);

    if (object == NULL)
        return false;
    make_room(bench);
    check(sb_builder_begin(&bench->builder) == SABOT_OK, "no memory");
    for (uint32_t i = 0; i < FIELD_COUNT; i++) {
        const json_t *value = json_object_get(object, fields[i].path);
        uint32_t missing;

        if (fields[i].type == SABOT_UTF8)
            check(sb_builder_text(&bench->builder, i, json_string_value(value),
                                  json_string_length(value)) == SABOT_OK,
                  "no memory");
        else if (fields[i].type == SABOT_FLOAT64)
            sb_builder_float64(&bench->builder, i, json_number_value(value));
        else
            sb_builder_int64(&bench->builder, i, json_integer_value(value));
        if (i + 1 == FIELD_COUNT)
            check(sb_builder_commit(&bench->builder, 0, 0, &missing) == SABOT_OK, "commit");
    }
    json_decref(object);
    return true;
}

/* --- Measuring -------------------------------------------------------------------------------- */

struct contestant {
    const char *name;
    bool (*decode)(struct bench *bench, sabot_text record);
    int passes;
    double ns[ROUNDS]; /* per record */
};

/* CPU time: nothing here waits, and what other processes take does not count. */
static double now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *one, const void *other)
{
    const double a = *(const double *)one;
    const double b = *(const double *)other;

    return (a > b) - (a < b);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static double time_decode(struct bench *bench, const struct contestant *contestant)
{
    const double start = now_ns();

    for (int pass = 0; pass < contestant->passes; pass++)
        for (int i = 0; i < RECORDS; i++)
            check(contestant->decode(bench, bench->records[i]), contestant->name);
    return (now_ns() - start) / ((double)contestant->passes * RECORDS);
}

static void race(struct bench *bench, const char *title, struct contestant *all, int count)
{
    const double bytes = (double)bench->text_size / RECORDS;
    double first = 0;

    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++)
            all[i].ns[round] = time_decode(bench, &all[i]);
    (void)printf("%s, %.0f bytes, %d fields\n", title, bytes, FIELD_COUNT);
    for (int i = 0; i < count; i++) {
        const double ns = median(all[i].ns);

        first = i == 0 ? ns : first;
        (void)printf("  %-34s %7.0f ns/record  %6.2f GB/s  %5.2f\n", all[i].name, ns, bytes / ns,
                     ns / first);
    }
}

static void race_encoder(struct bench *bench)
{
    struct sb_buffer out = {.env = bench->env};
    struct sb_encoder *encoder;
    static double ns[ROUNDS];
    double value;

    sb_builder_truncate(&bench->builder, 0);
    for (int i = 0; i < SB_BATCH_ROWS; i++)
        check(by_sabot(bench, bench->records[i]), "decode");
    check(sb_codec_json.encoder_create(bench->env, bench->schema, &encoder, NULL) == SABOT_OK,
          "no encoder");
    for (int round = 0; round < ROUNDS; round++) {
        const double start = now_ns();

        for (int pass = 0; pass < PASSES * 8; pass++) {
            out.size = 0;
            for (uint32_t i = 0; i < SB_BATCH_ROWS; i++)
                check(sb_codec_json.encode(encoder, bench->builder.batch, i, &out, NULL) ==
                          SABOT_OK,
                      "encode");
        }
        ns[round] = (now_ns() - start) / (PASSES * 8.0 * SB_BATCH_ROWS);
    }
    value = median(ns);
    (void)printf("columns to JSON\n  %-34s %7.0f ns/record  %6.2f GB/s\n", "sabot", value,
                 (double)out.size / SB_BATCH_ROWS / value);
    sb_codec_json.encoder_destroy(encoder);
    sb_buffer_reset(&out);
}

static void open_bench(struct bench *bench, struct sb_batch_pool **pool)
{
    const struct sb_codec_limits limits = {64, 1024 * 1024};

    check(sb_os_env_create(&bench->env, NULL) == SABOT_OK, "no environment");
    check(sb_schema_create(bench->env, &table, SB_SCHEMA_RECORD, &bench->schema, NULL) == SABOT_OK,
          "no schema");
    check(sb_batch_pool_create(bench->env, bench->schema, SB_BATCH_ROWS, pool, NULL) == SABOT_OK,
          "no pool");
    check(sb_builder_init(&bench->builder, *pool) == SABOT_OK, "no builder");
    check(sb_codec_json.decoder_create(bench->env, bench->schema, &limits, &bench->decoder, NULL) ==
              SABOT_OK,
          "no decoder");
    bench->plain = calloc(1, sizeof *bench->plain);
    bench->text = calloc(RECORDS + 1, RECORD_MAX);
    check(bench->plain != NULL && bench->text != NULL, "no memory");
}

int main(void)
{
    static struct bench bench;
    struct sb_batch_pool *pool;
    static struct contestant in_order[] = {
        {.name = "sabot", by_sabot, PASSES},
        {.name = "a strict loop, byte by byte", by_loop, PASSES},
#ifdef SB_BENCH_PEERS
        {.name = "simdjson On-Demand, order known", by_simdjson_in_order, PASSES},
        {.name = "simdjson On-Demand, any order", by_simdjson_any_order, PASSES},
#endif
        {.name = "jansson", by_jansson, 1},
    };
    static struct contestant shuffled[] = {
        {.name = "sabot", by_sabot, PASSES},
        {.name = "a strict loop, byte by byte", by_loop, PASSES},
#ifdef SB_BENCH_PEERS
        {.name = "simdjson On-Demand, any order", by_simdjson_any_order, PASSES},
#endif
    };

    open_bench(&bench, &pool);
    make_records(&bench, false);
    race(&bench, "JSON to columns", in_order, (int)(sizeof in_order / sizeof in_order[0]));
    race_encoder(&bench);
    make_records(&bench, true);
    race(&bench, "JSON to columns, keys in random order", shuffled,
         (int)(sizeof shuffled / sizeof shuffled[0]));
    sb_codec_json.decoder_destroy(bench.decoder);
    sb_builder_reset(&bench.builder);
    sb_batch_pool_destroy(pool);
    sb_schema_destroy(bench.schema);
    sb_os_env_destroy(bench.env);
    free(bench.plain);
    free(bench.text);
    return 0;
}
