/* SPDX-License-Identifier: Apache-2.0 */
/* json_fixture.h - what the tests of the JSON codec share: a schema with every type and nested
 * paths, a builder for it, and records in memory that ends where they end. */
#ifndef SB_TEST_JSON_FIXTURE_H
#define SB_TEST_JSON_FIXTURE_H

#include "test.h"

#include "format/codec.h"

struct wide {
    bool flag;
    int32_t small;
    int64_t big;
    double real;
    int64_t time;
    sabot_text name;
    sabot_text blob;
    sabot_text country;
    int64_t number;
    sabot_text owner;
};

enum { FLAG, SMALL, BIG, REAL, TIME, NAME, BLOB, COUNTRY, NUMBER, OWNER };

static const sabot_field wide_fields[] = {
    SABOT_FIELD(struct wide, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, small, "small", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, big, "big", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, real, "real", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, time, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, blob, "blob", SABOT_BINARY, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, country, "card.country", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, number, "card.number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct wide, owner, "card.owner.name", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_schema wide_table = SABOT_SCHEMA("wide", 1, struct wide, wide_fields);

struct json_fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    struct sb_decoder *decoder;
    struct sb_encoder *encoder;
    sabot_error error;
};

static inline void json_fixture_open(struct json_fixture *fixture,
                                     const sabot_schema *table,
                                     uint32_t depth_max,
                                     uint32_t record_max)
{
    const struct sb_codec_limits limits = {depth_max, record_max};

    *fixture = (struct json_fixture){0};
    assert_int_equal(sb_os_env_create(&fixture->env, NULL), SABOT_OK);
    assert_int_equal(
        sb_schema_create(fixture->env, table, SB_SCHEMA_RECORD, &fixture->schema, NULL), SABOT_OK);
    assert_int_equal(
        sb_batch_pool_create(fixture->env, fixture->schema, SB_BATCH_ROWS, &fixture->pool, NULL),
        SABOT_OK);
    assert_int_equal(sb_builder_init(&fixture->builder, fixture->pool), SABOT_OK);
    assert_int_equal(sb_codec_json.decoder_create(fixture->env, fixture->schema, &limits,
                                                  &fixture->decoder, NULL),
                     SABOT_OK);
    assert_int_equal(
        sb_codec_json.encoder_create(fixture->env, fixture->schema, &fixture->encoder, NULL),
        SABOT_OK);
}

static inline void json_fixture_close(struct json_fixture *fixture)
{
    sb_codec_json.encoder_destroy(fixture->encoder);
    sb_codec_json.decoder_destroy(fixture->decoder);
    sb_builder_reset(&fixture->builder);
    sb_batch_pool_destroy(fixture->pool);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
}

static inline int json_wide_open(void **state)
{
    struct json_fixture *fixture = malloc(sizeof *fixture);

    json_fixture_open(fixture, &wide_table, 64, 1024 * 1024);
    *state = fixture;
    return 0;
}

static inline int json_wide_close(void **state)
{
    json_fixture_close(*state);
    free(*state);
    return 0;
}

/* Decode from a block of exactly that size, so that ASan sees a read behind it. */
static inline sabot_status json_decode(struct json_fixture *fixture, const void *text, size_t size)
{
    uint8_t *record = malloc(size + (size == 0));
    sabot_status status;

    assert_non_null(record);
    if (size > 0)
        memcpy(record, text, size);
    if (sb_builder_full(&fixture->builder))
        sb_builder_truncate(&fixture->builder, 0);
    fixture->error = (sabot_error){0};
    status = sb_codec_json.decode(fixture->decoder, (sabot_text){(const char *)record, size},
                                  SB_NO_FIELD, 0, 0, &fixture->builder, &fixture->error);
    free(record);
    return status;
}

/* The last row decoded. */
static inline struct wide json_row(const struct json_fixture *fixture)
{
    struct wide wide = {0};

    assert_true(sb_builder_rows(&fixture->builder) > 0);
    sb_batch_record(fixture->builder.batch, sb_builder_rows(&fixture->builder) - 1, &wide);
    return wide;
}

static inline bool json_has(const struct json_fixture *fixture, uint32_t field)
{
    return sb_column_has(&fixture->builder.batch->columns[field],
                         sb_builder_rows(&fixture->builder) - 1);
}

static inline struct wide json_good(struct json_fixture *fixture, const char *text)
{
    const sabot_status status = json_decode(fixture, text, strlen(text));

    if (status != SABOT_OK)
        print_error("%s\n  %s\n", text, fixture->error.text);
    assert_int_equal(status, SABOT_OK);
    return json_row(fixture);
}

/* xorshift64*, so that a seed gives the same records everywhere. */
static inline uint64_t json_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(2685821657736338717);
}

/* One with any number of bits. (Two calls in one expression would come in any order.) */
static inline uint64_t json_random_short(uint64_t *seed)
{
    const uint64_t shift = json_random(seed) % 64;

    return json_random(seed) >> shift;
}

static inline uint64_t json_seed(void)
{
    const char *given = getenv("SABOT_TEST_SEED");
    const uint64_t seed = given == NULL ? 1 : strtoull(given, NULL, 10);

    print_message("SABOT_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed == 0 ? 1 : seed * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
