/* SPDX-License-Identifier: Apache-2.0 */
/* test_json_encode.c - rows of columns as JSON, and back again. */
#include "json_fixture.h"

#include <math.h>

/* One row with some of its fields set; what it is as JSON. */
static const char *encoded(struct json_fixture *json, struct sb_buffer *out, uint32_t row)
{
    out->size = 0;
    assert_int_equal(
        sb_codec_json.encode(json->encoder, json->builder.batch, row, out, &json->error), SABOT_OK);
    assert_int_equal(sb_buffer_append(out, "", 1), SABOT_OK);
    return (const char *)out->data;
}

/* Decode, encode, compare. */
static void becomes(struct json_fixture *json, const char *text, const char *expected)
{
    struct sb_buffer out = {.env = json->env};

    (void)json_good(json, text);
    assert_string_equal(encoded(json, &out, sb_builder_rows(&json->builder) - 1), expected);
    sb_buffer_reset(&out);
}

static void fields_are_written_in_the_order_of_the_schema(void **state)
{
    becomes(*state,
            "{\"card\":{\"owner\":{\"name\":\"Ana\"},\"number\":-7,\"country\":\"CL\"},\"blob\":"
            "\"AAEC/w==\","
            "\"name\":\"Valpara\xc3\xadso\",\"time\":1767607872000,\"real\":125000.50,"
            "\"big\":-9223372036854775808,\"small\":2147483647,\"flag\":true}",
            "{\"flag\":true,\"small\":2147483647,\"big\":-9223372036854775808,\"real\":125000.5,"
            "\"time\":1767607872000,\"name\":\"Valpara\xc3\xadso\",\"blob\":\"AAEC/w==\","
            "\"card\":{\"country\":\"CL\",\"number\":-7,\"owner\":{\"name\":\"Ana\"}}}");
}

static void missing_fields_and_empty_objects_are_left_out(void **state)
{
    becomes(*state, "{}", "{}");
    becomes(*state, "{\"flag\":false}", "{\"flag\":false}");
    becomes(*state, "{\"big\":null,\"small\":0,\"card\":{}}", "{\"small\":0}");
    becomes(*state, "{\"card\":{\"owner\":{}}}", "{}");
    becomes(*state, "{\"card\":{\"owner\":{\"name\":\"\"}}}",
            "{\"card\":{\"owner\":{\"name\":\"\"}}}");
    becomes(*state, "{\"card\":{\"number\":1,\"owner\":{}},\"name\":\"x\"}",
            "{\"name\":\"x\",\"card\":{\"number\":1}}");
    becomes(*state, "{\"name\":\"\",\"blob\":\"\"}", "{\"name\":\"\",\"blob\":\"\"}");
}

static void what_has_to_be_escaped_is(void **state)
{
    becomes(*state,
            "{\"name\":\"\\u0000\\u0001\\u001f\\\"\\\\\\/\\b\\f\\n\\r\\t\\u000b\\u007f\\u20ac\"}",
            "{\"name\":\"\\u0000\\u0001\\u001f\\\"\\\\/\\b\\f\\n\\r\\t\\u000b\x7f\xe2\x82\xac\"}");
    becomes(*state, "{\"name\":\"the escape lies behind the first block\\nand another\\t\"}",
            "{\"name\":\"the escape lies behind the first block\\nand another\\t\"}");
}

struct odd {
    int64_t a;
    int64_t b;
    int64_t c;
    int64_t d;
};

static const sabot_field odd_fields[] = {
    SABOT_FIELD(struct odd, a, "x.a\"\\\n", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct odd, b, "b", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct odd, c, "x.y.z.\xc3\xad", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct odd, d, "x.d", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema odd_table = SABOT_SCHEMA("odd", 1, struct odd, odd_fields);

static void fields_of_one_object_are_written_together(void **state)
{
    struct json_fixture json;

    (void)state;
    json_fixture_open(&json, &odd_table, 64, 1000);
    becomes(&json, "{\"x\":{\"a\\\"\\\\\\n\":1,\"y\":{\"z\":{\"\xc3\xad\":3}},\"d\":4},\"b\":2}",
            "{\"x\":{\"a\\\"\\\\\\n\":1,\"y\":{\"z\":{\"\xc3\xad\":3}},\"d\":4},\"b\":2}");
    json_fixture_close(&json);
}

static void what_json_can_not_say_is_refused_and_nothing_written(void **state)
{
    static const struct {
        double value;
        const char *why;
    } cases[] = {{NAN, "field real: JSON has no way to write NaN"},
                 {INFINITY, "field real: JSON has no way to write infinity"},
                 {-INFINITY, "field real: JSON has no way to write -infinity"}};
    struct json_fixture *json = *state;
    struct sb_buffer out = {.env = json->env};

    assert_int_equal(sb_buffer_append(&out, "kept", 4), SABOT_OK);
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct wide wide = {.real = cases[i].value, .name = {"x", 1}};

        assert_int_equal(sb_builder_record(&json->builder, &wide, 0, NULL), SABOT_OK);
        assert_int_equal(
            sb_codec_json.encode(json->encoder, json->builder.batch, i, &out, &json->error),
            SABOT_ERR_SCHEMA);
        assert_non_null(strstr(json->error.text, cases[i].why));
        assert_int_equal(out.size, 4);
        assert_memory_equal(out.data, "kept", 4);
    }
    sb_buffer_reset(&out);
}

/* --- There and back --------------------------------------------------------------------------- */

enum { TEXT_MAX = 100 };

/* UTF-8 of all lengths, with much that has to be escaped. */
static sabot_text random_text(uint64_t *seed, char *room)
{
    static const char *const pieces[] = {
        "a", "\"", "\\", "\n", "\x01", "/", " b", "{", "}", ",", "0123456789abcdef"};
    static const char *const wide_pieces[] = {"\xc3\xad", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    const uint64_t plain = json_random(seed) % 3;
    size_t size = 0;

    for (uint64_t count = json_random(seed) % 12; count > 0; count--) {
        const char *piece = plain == 0   ? pieces[json_random(seed) % 11]
                            : plain == 1 ? pieces[(json_random(seed) & 1) * 10]
                                         : wide_pieces[json_random(seed) % 3];

        if (size + strlen(piece) > TEXT_MAX)
            break;
        memcpy(room + size, piece, strlen(piece));
        size += strlen(piece);
    }
    if (json_random(seed) % 10 == 0)
        room[size++] = '\0';
    return (sabot_text){room, size};
}

static sabot_text random_bytes(uint64_t *seed, char *room)
{
    const size_t size = json_random(seed) % TEXT_MAX;

    for (size_t i = 0; i < size; i++)
        room[i] = (char)json_random(seed);
    return (sabot_text){room, size};
}

static void put_random(struct sb_builder *builder, uint32_t field, uint64_t *seed)
{
    const uint64_t bits = json_random_short(seed);
    char room[TEXT_MAX + 1];
    sabot_text text;
    double real;

    switch (field) {
    case FLAG: sb_builder_bool(builder, field, bits & 1); break;
    case SMALL: sb_builder_int32(builder, field, (int32_t)bits); break;
    case REAL:
        memcpy(&real, &bits, sizeof real);
        sb_builder_float64(builder, field, isfinite(real) ? real : 0.25);
        break;
    case BIG:
    case TIME:
    case NUMBER: sb_builder_int64(builder, field, (int64_t)bits); break;
    default:
        text = field == BLOB ? random_bytes(seed, room) : random_text(seed, room);
        assert_int_equal(sb_builder_text(builder, field, text.data, text.size), SABOT_OK);
    }
}

static void assert_same_row(const struct sb_batch *one, uint32_t row, const struct sb_batch *two)
{
    const uint32_t last = two->rows - 1;
    struct wide a = {0};
    struct wide b = {0};

    sb_batch_record(one, row, &a);
    sb_batch_record(two, last, &b);
    for (uint32_t i = FLAG; i <= OWNER; i++)
        assert_int_equal(sb_column_has(&one->columns[i], row),
                         sb_column_has(&two->columns[i], last));
    assert_int_equal(a.flag, b.flag);
    assert_int_equal(a.small, b.small);
    assert_true(a.big == b.big && a.time == b.time && a.number == b.number);
    assert_memory_equal(&a.real, &b.real, sizeof a.real);
    for (uint32_t i = NAME; i <= OWNER; i++) {
        const sabot_text x = sb_batch_text(one, i == NUMBER ? NAME : i, row);
        const sabot_text y = sb_batch_text(two, i == NUMBER ? NAME : i, last);

        assert_int_equal(x.size, y.size);
        if (x.size > 0)
            assert_memory_equal(x.data, y.data, x.size);
    }
}

static void any_row_survives_there_and_back(void **state)
{
    struct json_fixture *json = *state;
    struct sb_buffer out = {.env = json->env};
    struct sb_builder builder;
    uint64_t seed = json_seed();

    assert_int_equal(sb_builder_init(&builder, json->pool), SABOT_OK);
    for (int i = 0; i < 50000; i++) {
        const uint64_t chosen = json_random(&seed) | (i % 4 == 0 ? UINT64_MAX : 0);
        uint32_t missing;

        if (sb_builder_full(&builder))
            sb_builder_truncate(&builder, 0);
        assert_int_equal(sb_builder_begin(&builder), SABOT_OK);
        for (uint32_t field = FLAG; field <= OWNER; field++)
            if ((chosen >> field & 1) != 0)
                put_random(&builder, field, &seed);
        assert_int_equal(sb_builder_commit(&builder, 0, 0, &missing), SABOT_OK);
        out.size = 0;
        assert_int_equal(
            sb_codec_json.encode(json->encoder, builder.batch, builder.batch->rows - 1, &out, NULL),
            SABOT_OK);
        assert_true(out.size <= sb_codec_json.encoded_max(json->encoder, builder.batch,
                                                          builder.batch->rows - 1));
        assert_int_equal(json_decode(json, out.data, out.size), SABOT_OK);
        assert_same_row(builder.batch, builder.batch->rows - 1, json->builder.batch);
    }
    sb_builder_reset(&builder);
    sb_buffer_reset(&out);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void an_encoder_without_memory_is_an_error(void **state)
{
    struct json_fixture *json = *state;
    struct sb_encoder *encoder = NULL;

    for (uint64_t nth = 1;; nth++) {
        sabot_status status;

        sb_os_env_fail_allocation(json->env, nth);
        status = sb_codec_json.encoder_create(json->env, json->schema, &encoder, NULL);
        sb_os_env_fail_allocation(json->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
        assert_null(encoder);
        assert_true(nth < 100);
    }
    sb_codec_json.encoder_destroy(encoder);
    sb_codec_json.encoder_destroy(NULL);
}

static void a_row_without_memory_leaves_the_buffer_as_it_was(void **state)
{
    static char name[5000];
    struct json_fixture *json = *state;
    const struct wide wide = {.name = {name, sizeof name}, .blob = {name, sizeof name}};

    memset(name, 'n', sizeof name);
    memset(name + 1000, '\n', 3000);
    assert_int_equal(sb_builder_record(&json->builder, &wide, 0, NULL), SABOT_OK);
    for (uint64_t nth = 1;; nth++) {
        struct sb_buffer out = {.env = json->env};
        sabot_status status;

        assert_int_equal(sb_buffer_append(&out, "kept", 4), SABOT_OK);
        sb_os_env_fail_allocation(json->env, nth);
        status = sb_codec_json.encode(json->encoder, json->builder.batch, 0, &out, NULL);
        sb_os_env_fail_allocation(json->env, 0);
        assert_memory_equal(out.data, "kept", 4);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_int_equal(out.size, 4);
        }
        sb_buffer_reset(&out);
        assert_true(nth < 100);
        if (status == SABOT_OK) {
            assert_true(nth > 3);
            return;
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, json_wide_open, json_wide_close)
    const struct CMUnitTest tests[] = {
        TEST(fields_are_written_in_the_order_of_the_schema),
        TEST(missing_fields_and_empty_objects_are_left_out),
        TEST(what_has_to_be_escaped_is),
        TEST(fields_of_one_object_are_written_together),
        TEST(what_json_can_not_say_is_refused_and_nothing_written),
        TEST(any_row_survives_there_and_back),
        TEST(an_encoder_without_memory_is_an_error),
        TEST(a_row_without_memory_leaves_the_buffer_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
