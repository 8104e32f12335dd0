/* SPDX-License-Identifier: Apache-2.0 */
/* test_json_decode.c - what a JSON record becomes in the columns, and how each kind of malformed or
 * unfit record is refused. */
#include "json_fixture.h"

#define TEXT_IS(text, string)                                         \
    do {                                                              \
        assert_int_equal((text).size, sizeof(string) - 1);            \
        assert_memory_equal((text).data, string, sizeof(string) - 1); \
    } while (0)

static size_t append(char *record, size_t size, const char *piece)
{
    for (; *piece != '\0'; piece++)
        record[size++] = *piece;
    return size;
}

/* --- What is taken ---------------------------------------------------------------------------- */

static void each_type_lands_in_its_column(void **state)
{
    struct json_fixture *json = *state;
    const struct wide row = json_good(
        json, "{\"flag\":true,\"small\":-12,\"big\":9007199254740993,\"real\":1.5,"
              "\"time\":1767607872000,\"name\":\"Valpara\xc3\xadso\",\"blob\":\"AAEC/w==\","
              "\"card\":{\"country\":\"CL\",\"number\":7,\"owner\":{\"name\":\"Ana\"}}}");

    assert_true(row.flag);
    assert_int_equal(row.small, -12);
    assert_int_equal(row.big, INT64_C(9007199254740993));
    assert_true(row.real == 1.5);
    assert_int_equal(row.time, INT64_C(1767607872000));
    TEXT_IS(row.name, "Valpara\xc3\xadso");
    TEXT_IS(row.blob, "\0\1\2\xff");
    TEXT_IS(row.country, "CL");
    assert_int_equal(row.number, 7);
    TEXT_IS(row.owner, "Ana");
}

static void keys_come_in_any_order_and_with_any_space(void **state)
{
    struct json_fixture *json = *state;

    for (int i = 0; i < 3; i++) {
        struct wide row =
            json_good(json, " {\n\t\"card\" : { \"number\":1 , \"country\" :\"PE\" }\r,"
                            "\"name\" : \"x\" , \"small\": 2 } \n");

        TEXT_IS(row.country, "PE");
        TEXT_IS(row.name, "x");
        assert_int_equal(row.number, 1);
        row = json_good(json, "{\"small\":3,\"name\":\"y\",\"card\":{\"country\":\"CL\"}}");
        TEXT_IS(row.country, "CL");
        TEXT_IS(row.name, "y");
        assert_int_equal(row.small, 3);
        assert_false(json_has(json, NUMBER));
    }
}

static void the_same_keys_with_other_space_mean_the_same(void **state)
{
    struct json_fixture *json = *state;

    for (int i = 0; i < 2; i++) {
        (void)json_good(json, "{\"small\":1,\"card\":{\"number\":2},\"name\":\"x\"}");
        const struct wide row =
            json_good(json, "{\"small\": \n1,\"card\":\t{\"number\":\r\n2},\"name\":  \"x\"}");

        assert_int_equal(row.small, 1);
        assert_int_equal(row.number, 2);
        TEXT_IS(row.name, "x");
    }
    assert_int_equal(json_decode(json, "{\"small\":  ", 11), SABOT_ERR_FORMAT);
}

static void unknown_fields_are_passed(void **state)
{
    struct json_fixture *json = *state;

    for (int i = 0; i < 3; i++) {
        const struct wide row = json_good(
            json,
            "{\"a\":null,\"b\":[1,-2.5e+3,\"]\",{\"small\":9,\"x\":[[],{}]}],\"small\":4,\"c\":{},"
            "\"d\":\"\\u00e9\\n\\ud83d\\ude00\",\"Small\":5,\"smal\":6,\"card\":{\"z\":[true,false]"
            ","
            "\"owner\":{\"nam\":1}},\"\":\"\"}");

        assert_int_equal(row.small, 4);
        assert_false(json_has(json, OWNER));
    }
}

/* --- Keys of any length ------------------------------------------------------------------------
 *
 * They are compared in blocks of bytes: a field for each length, and strangers that differ from it
 * in one byte. */

enum { KEYS = 120 };

struct keys {
    int64_t values[KEYS];
};

static char key_names[KEYS][KEYS + 1];
static sabot_field key_fields[KEYS];

static void open_keys(struct json_fixture *json)
{
    static const sabot_schema table = SABOT_SCHEMA("keys", 1, struct keys, key_fields);

    for (uint32_t i = 0; i < KEYS; i++) {
        for (uint32_t j = 0; j <= i; j++)
            key_names[i][j] = (char)('a' + (i + j) % 26);
        key_fields[i] = (sabot_field){.path = key_names[i],
                                      .type = SABOT_INT64,
                                      .offset = i * (uint32_t)sizeof(int64_t),
                                      .size = sizeof(int64_t),
                                      .count = 1};
    }
    json_fixture_open(json, &table, 64, 1024 * 1024);
}

/* `"key":value,`, the letter at `escaped` as \u00xx; none: KEYS. */
static void append_key(struct sb_buffer *out, const char *key, uint32_t escaped, uint32_t value)
{
    sabot_status status = sb_buffer_format(out, "\"");

    for (uint32_t i = 0; key[i] != '\0' && status == SABOT_OK; i++)
        status =
            sb_buffer_format(out, i == escaped ? "\\u%04x" : "%c", (unsigned)(unsigned char)key[i]);
    if (status == SABOT_OK)
        status = sb_buffer_format(out, "\":%u,", value);
    assert_int_equal(status, SABOT_OK);
}

static void keys_of_every_length_are_told_from_those_that_differ_in_a_byte(void **state)
{
    struct json_fixture json;
    struct sb_buffer record;

    (void)state;
    open_keys(&json);
    sb_buffer_init(&record, json.env);
    for (uint32_t at = 0; at < KEYS; at++) {
        struct keys row;

        record.size = 0;
        assert_int_equal(sb_buffer_append(&record, "{", 1), SABOT_OK);
        for (uint32_t i = 0; i < KEYS; i++) {
            char stranger[KEYS + 1];

            append_key(&record, key_names[i], i % 3 == 0 ? at : KEYS, i + 1);
            memcpy(stranger, key_names[i], sizeof stranger);
            stranger[at < i ? at : i] = '#';
            append_key(&record, stranger, i % 5 == 0 ? i : KEYS, 7777);
        }
        record.data[record.size - 1] = '}';
        if (sb_builder_full(&json.builder))
            sb_builder_truncate(&json.builder, 0);
        assert_int_equal(json_decode(&json, record.data, record.size), SABOT_OK);
        sb_batch_record(json.builder.batch, sb_builder_rows(&json.builder) - 1, &row);
        for (uint32_t i = 0; i < KEYS; i++)
            assert_int_equal(row.values[i], i + 1);
    }
    sb_buffer_reset(&record);
    json_fixture_close(&json);
}

static void keys_of_every_length_are_written_and_read_again(void **state)
{
    struct json_fixture json;
    struct sb_buffer out;

    (void)state;
    open_keys(&json);
    sb_buffer_init(&out, json.env);
    for (uint32_t first = 0; first < KEYS; first++) { /* each once as the first of its object */
        char text[8 + KEYS];

        (void)snprintf(text, sizeof text, "{\"%.*s\":5}", (int)first + 1, key_names[first]);
        assert_int_equal(json_decode(&json, text, strlen(text)), SABOT_OK);
        out.size = 0;
        assert_int_equal(sb_codec_json.encode(json.encoder, json.builder.batch,
                                              json.builder.batch->rows - 1, &out, &json.error),
                         SABOT_OK);
        assert_int_equal(out.size, strlen(text));
        assert_memory_equal(out.data, text, out.size);
    }
    sb_buffer_reset(&out);
    json_fixture_close(&json);
}

/* Longer, with its escapes, than any key of a schema could be. */
static void an_endless_escaped_key_is_a_stranger(void **state)
{
    enum { LETTERS = 4 * SABOT_FIELD_PATH_MAX };
    struct json_fixture *json = *state;
    struct sb_buffer record;

    for (uint32_t i = 0; i < 2; i++) {
        const char *end = i == 0 ? "" : "\\u00";

        sb_buffer_init(&record, json->env);
        assert_int_equal(sb_buffer_format(&record, "{\""), SABOT_OK);
        for (uint32_t at = 0; at < LETTERS; at++)
            assert_int_equal(sb_buffer_format(&record, "\\u0061"), SABOT_OK);
        assert_int_equal(sb_buffer_format(&record, "%s\":1,\"small\":2}", end), SABOT_OK);
        assert_int_equal(json_decode(json, record.data, record.size),
                         i == 0 ? SABOT_OK : SABOT_ERR_FORMAT);
        sb_buffer_reset(&record);
    }
    assert_int_equal(json_row(json).small, 2);
}

static void the_word_null_alone_is_no_record(void **state)
{
    static const char *const nulls[] = {"null", " null", "null\n", "\t\r\n null \r\n\t"};
    static const char *const others[] = {"", " ", "nul", "nulls", "n ull", "NULL", "{}", "0"};

    (void)state;
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        assert_true(sb_codec_json.is_null(sabot_text_of(nulls[i])));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(sb_codec_json.is_null(sabot_text_of(others[i])));
}

static void null_is_missing(void **state)
{
    struct json_fixture *json = *state;

    (void)json_good(json, "{\"flag\":null,\"small\":null,\"big\":null,\"real\":null,\"time\":null,"
                          "\"name\":null,\"blob\":null,\"card\":null}");
    for (uint32_t i = FLAG; i <= OWNER; i++)
        assert_false(json_has(json, i));
    (void)json_good(json, "{}");
    for (uint32_t i = FLAG; i <= OWNER; i++)
        assert_false(json_has(json, i));
    (void)json_good(json, "{\"card\":{\"owner\":null,\"number\":3}}");
    assert_true(json_has(json, NUMBER));
}

static void of_duplicate_keys_the_last_wins(void **state)
{
    struct json_fixture *json = *state;
    struct wide row =
        json_good(json, "{\"small\":1,\"name\":\"long text here\",\"small\":2,"
                        "\"name\":\"b\",\"flag\":true,\"flag\":false,\"big\":1,\"big\":null}");

    assert_int_equal(row.small, 2);
    TEXT_IS(row.name, "b");
    assert_false(row.flag);
    assert_true(json_has(json, FLAG));
    assert_false(json_has(json, BIG));
    /* The next row begins where that text ends. */
    row = json_good(json, "{\"name\":\"c\"}");
    TEXT_IS(row.name, "c");
    row = json_good(json, "{\"na\\u006de\":\"d\",\"name\":\"e\"}");
    TEXT_IS(row.name, "e");
}

static void of_duplicate_objects_the_last_replaces_the_first_as_a_whole(void **state)
{
    struct json_fixture *json = *state;
    struct wide row =
        json_good(json, "{\"card\":{\"country\":\"CL\",\"number\":1,\"owner\":{\"name\":\"A\"}},"
                        "\"card\":{\"number\":2}}");

    assert_int_equal(row.number, 2);
    assert_false(json_has(json, COUNTRY));
    assert_false(json_has(json, OWNER));
    (void)json_good(json, "{\"card\":{\"number\":1},\"card\":null}");
    assert_false(json_has(json, NUMBER));
    row = json_good(json, "{\"card\":null,\"card\":{\"number\":3}}");
    assert_int_equal(row.number, 3);
    (void)json_good(json, "{\"card\":{\"owner\":{\"name\":\"A\"},\"owner\":{}}}");
    assert_false(json_has(json, OWNER));
}

static void escapes_are_decoded(void **state)
{
    struct json_fixture *json = *state;
    struct wide row = json_good(json, "{\"name\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac"
                                      "\\uD83D\\uDE00\\u0000!\"}");

    TEXT_IS(row.name, "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0!");
    row = json_good(json, "{\"n\\u0061me\":\"by an escaped key\"}");
    TEXT_IS(row.name, "by an escaped key");
    row = json_good(json, "{\"blob\":\"\\/\\/\\u002f+\"}");
    TEXT_IS(row.blob, "\xff\xff\xfe");
}

static void texts_of_every_length_arrive_whole(void **state)
{
    struct json_fixture *json = *state;
    char text[400];
    char record[500];

    for (size_t size = 0; size < 200; size++) {
        for (size_t i = 0; i < size; i++)
            text[i] = (char)('a' + (size + i) % 26);
        for (int tail = 0; tail < 2; tail++) {
            const int length =
                snprintf(record, sizeof record, "{\"name\":\"%.*s\"%s}", (int)size, text,
                         tail == 0 ? "" : ",\"somewhere\":\"there is more of it\"");

            assert_int_equal(json_decode(json, record, (size_t)length), SABOT_OK);
            assert_int_equal(json_row(json).name.size, size);
            assert_memory_equal(json_row(json).name.data, text, size);
        }
    }
}

static void text_that_is_not_ascii_is_checked_at_every_place(void **state)
{
    static const struct {
        const char *bytes;
        bool valid;
    } pieces[] = {{"\xc3\xad", true},          {"\xe2\x82\xac", true}, {"\xf0\x9f\x98\x80", true},
                  {"\xc3\xad\xc3\xad", true},  {"\xc3", false},        {"\xad", false},
                  {"\xc0\x80", false},         {"\xc1\xbf", false},    {"\xed\xa0\x80", false},
                  {"\xf4\x90\x80\x80", false}, {"\xff", false},        {"\xc3\xc3\xad", false},
                  {"\xe2\x82", false},         {"\xe0\x80\x80", false}};
    struct json_fixture *json = *state;
    char record[200];

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        for (int before = 0; before < 40; before++) {
            for (int after = 0; after < 40; after += 13) {
                const int size = snprintf(
                    record, sizeof record, "{\"name\":\"%.*s%s%.*s\",\"x\":\"0123456789abcdef\"}",
                    before, "........................................", pieces[i].bytes, after,
                    "........................................");

                assert_int_equal(json_decode(json, record, (size_t)size),
                                 pieces[i].valid ? SABOT_OK : SABOT_ERR_FORMAT);
                if (!pieces[i].valid)
                    assert_non_null(strstr(json->error.text, "field name: a string is not UTF-8"));
            }
        }
    }
}

static void integers_reach_to_their_limits(void **state)
{
    struct json_fixture *json = *state;
    struct wide row =
        json_good(json, "{\"small\":2147483647,\"big\":9223372036854775807,\"time\":0}");

    assert_int_equal(row.small, INT32_MAX);
    assert_true(row.big == INT64_MAX);
    row = json_good(json, "{\"small\":-2147483648,\"big\":-9223372036854775808,\"time\":-1}");
    assert_int_equal(row.small, INT32_MIN);
    assert_true(row.big == INT64_MIN);
    assert_int_equal(row.time, -1);
    row = json_good(json, "{\"small\":-0,\"big\":12345678}");
    assert_int_equal(row.small, 0);
    assert_int_equal(row.big, 12345678);
}

static void a_float_takes_any_number(void **state)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"0", 0},
                 {"-0", -0.0},
                 {"-0.0e-5", -0.0},
                 {"12", 12},
                 {"125000.5", 125000.5},
                 {"1E3", 1e3},
                 {"1e+3", 1e3},
                 {"1.25e-2", 0.0125},
                 {"0.1", 0.1},
                 {"123456789012345678901234567890", 123456789012345678901234567890.0},
                 {"1.7976931348623157e308", 1.7976931348623157e308},
                 {"5e-324", 5e-324},
                 {"2.4703282292062327e-324", 0},
                 {"1e-400", 0},
                 {"0e999999999999", 0},
                 {"9007199254740993", 9007199254740992.0},
                 {"9007199254740993.00000000000000000001", 9007199254740994.0}};
    struct json_fixture *json = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char record[100];
        double value;

        (void)snprintf(record, sizeof record, "{\"real\":%s}", cases[i].text);
        value = json_good(json, record).real;
        assert_memory_equal(&value, &cases[i].value, sizeof value);
    }
}

/* --- What is refused -------------------------------------------------------------------------- */

#define BYTES(string) string, sizeof(string) - 1

static const struct {
    const char *text;
    size_t size;
    sabot_status status;
    const char *why;
} refused[] = {
    /* The frame */
    {BYTES(""), SABOT_ERR_FORMAT, "byte 0: the record is empty"},
    {BYTES(" \n"), SABOT_ERR_FORMAT, "byte 2: the record is empty; near  \\x0a"},
    {BYTES("\xef\xbb\xbf{}"), SABOT_ERR_FORMAT, "byte 0: a record has no byte-order mark"},
    {BYTES("[]"), SABOT_ERR_FORMAT, "byte 0: a record is an object, beginning with {; near []"},
    {BYTES("1"), SABOT_ERR_FORMAT, "a record is an object"},
    {BYTES("null"), SABOT_ERR_FORMAT, "a record is an object"},
    {BYTES("\0{}"), SABOT_ERR_FORMAT,
     "byte 0: a record is an object, beginning with {; near \\x00{}"},
    {BYTES("{}{}"), SABOT_ERR_FORMAT, "byte 2: bytes behind the record; near {}{}"},
    {BYTES("{}\0"), SABOT_ERR_FORMAT, "byte 2: bytes behind the record; near {}\\x00"},
    {BYTES("{},"), SABOT_ERR_FORMAT, "byte 2: bytes behind the record"},
    {BYTES("{"), SABOT_ERR_FORMAT, "byte 1: the record ends inside of an object"},
    {BYTES("{\"small\":1"), SABOT_ERR_FORMAT, "byte 10: the record ends inside of an object"},
    {BYTES("{\"small\""), SABOT_ERR_FORMAT, "byte 8: the record ends inside of an object"},
    {BYTES("{\"small\":"), SABOT_ERR_FORMAT, "byte 9: the record ends inside of an object"},
    {BYTES("{\"small\":1,"), SABOT_ERR_FORMAT, "byte 11: the record ends inside of an object"},
    {BYTES("{\"small\":1,}"), SABOT_ERR_FORMAT, "byte 11: a key in quotes has to come"},
    {BYTES("{,\"small\":1}"), SABOT_ERR_FORMAT, "byte 1: a key in quotes or } has to come"},
    {BYTES("{\"small\":1 \"big\":2}"), SABOT_ERR_FORMAT, "byte 11: a comma or } has to come"},
    {BYTES("{\"small\" 1}"), SABOT_ERR_FORMAT, "byte 9, field small: a colon has to come"},
    {BYTES("{\"small\"::1}"), SABOT_ERR_FORMAT, "byte 9, field small: no JSON value begins"},
    {BYTES("{small:1}"), SABOT_ERR_FORMAT, "a key in quotes or } has to come"},
    {BYTES("{'small':1}"), SABOT_ERR_FORMAT, "a key in quotes or } has to come"},
    {BYTES("{1:1}"), SABOT_ERR_FORMAT, "a key in quotes or } has to come"},
    {BYTES("{\"small\":1]"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"small\":1}//x"), SABOT_ERR_FORMAT, "bytes behind the record"},
    {BYTES("{/**/\"small\":1}"), SABOT_ERR_FORMAT, "a key in quotes or } has to come"},
    {BYTES("{\"small\":\0001}"), SABOT_ERR_FORMAT, "field small: no JSON value begins"},
    {BYTES("{\"card\":{\"number\":1}"), SABOT_ERR_FORMAT, "the record ends inside of an object"},
    {BYTES("{\"card\":{\"number\":1,}}"), SABOT_ERR_FORMAT, "a key in quotes has to come"},
    {BYTES("{\v\"small\":1}"), SABOT_ERR_FORMAT, "a key in quotes or } has to come"},
    {BYTES("{\"small\":1\f}"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"sm\x80ll\":1}"), SABOT_ERR_FORMAT, "byte 4: a string is not UTF-8"},
    {BYTES("{\"sm\\xll\":1}"), SABOT_ERR_FORMAT, "byte 4: an escape that JSON doesn't have"},
    {BYTES("{\"small\":}"), SABOT_ERR_FORMAT,
     "byte 9, field small: no JSON value begins like this"},
    /* Words */
    {BYTES("{\"flag\":tru}"), SABOT_ERR_FORMAT,
     "byte 8, field flag: no JSON value begins like this"},
    {BYTES("{\"flag\":truex}"), SABOT_ERR_FORMAT, "byte 12: a comma or } has to come"},
    {BYTES("{\"flag\":True}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"flag\":nul}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"flag\":n"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"real\":NaN}"), SABOT_ERR_FORMAT, "field real: no JSON value begins like this"},
    {BYTES("{\"real\":Infinity}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"real\":-Infinity}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    /* Numbers */
    {BYTES("{\"small\":01}"), SABOT_ERR_FORMAT, "field small: a number has no zeros in front"},
    {BYTES("{\"small\":-}"), SABOT_ERR_FORMAT, "byte 10, field small: a digit has to come"},
    {BYTES("{\"small\":+1}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"small\":0x10}"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"small\":-"), SABOT_ERR_FORMAT, "the record ends inside of a number"},
    {BYTES("{\"real\":1.}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    {BYTES("{\"real\":.5}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"real\":1e}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    {BYTES("{\"real\":1e+}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    {BYTES("{\"real\":1.e5}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    {BYTES("{\"real\":1.2.3}"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"real\":-01}"), SABOT_ERR_FORMAT, "a number has no zeros in front"},
    {BYTES("{\"real\":00000000000000000000001}"), SABOT_ERR_FORMAT, "no zeros in front"},
    {BYTES("{\"real\":12345678901234567890.}"), SABOT_ERR_FORMAT, "a digit has to come"},
    {BYTES("{\"real\":1.0e1.5}"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"small\":2147483648}"), SABOT_ERR_SCHEMA, "field small: the integer is out of range"},
    {BYTES("{\"small\":-2147483649}"), SABOT_ERR_SCHEMA,
     "field small: the integer is out of range"},
    {BYTES("{\"big\":9223372036854775808}"), SABOT_ERR_SCHEMA, "field big: the integer is out of"},
    {BYTES("{\"big\":-9223372036854775809}"), SABOT_ERR_SCHEMA, "the integer is out of range"},
    {BYTES("{\"big\":18446744073709551616}"), SABOT_ERR_SCHEMA, "the integer is out of range"},
    {BYTES("{\"big\":10000000000000000000000000}"), SABOT_ERR_SCHEMA,
     "the integer is out of range"},
    {BYTES("{\"big\":1.0}"), SABOT_ERR_SCHEMA,
     "a number with a fraction or exponent is no integer"},
    {BYTES("{\"big\":1e3}"), SABOT_ERR_SCHEMA,
     "a number with a fraction or exponent is no integer"},
    {BYTES("{\"time\":1767607872000.5}"), SABOT_ERR_SCHEMA, "field time: a number with a fraction"},
    {BYTES("{\"real\":1e309}"), SABOT_ERR_SCHEMA, "field real: the number is out of the range of"},
    {BYTES("{\"real\":-1e999999999}"), SABOT_ERR_SCHEMA, "the number is out of the range"},
    /* Strings */
    {BYTES("{\"name\":\"a"), SABOT_ERR_FORMAT,
     "byte 10, field name: the record ends inside of a str"},
    {BYTES("{\"name\":\"a\\"), SABOT_ERR_FORMAT, "the record ends inside of a string"},
    {BYTES("{\"name\":\"a\\\""), SABOT_ERR_FORMAT, "the record ends inside of a string"},
    {BYTES("{\"name\":\"a\nb\"}"), SABOT_ERR_FORMAT, "byte 10, field name: a control character in"},
    {BYTES("{\"name\":\"a\0b\"}"), SABOT_ERR_FORMAT, "byte 10, field name: a control character in"},
    {BYTES("{\"name\":\"\x1f\"}"), SABOT_ERR_FORMAT, "a control character in a string"},
    {BYTES("{\"name\":\"\\a\"}"), SABOT_ERR_FORMAT,
     "byte 9, field name: an escape that JSON doesn't"},
    {BYTES("{\"name\":\"\\U0041\"}"), SABOT_ERR_FORMAT, "an escape that JSON doesn't have"},
    {BYTES("{\"name\":\"\\\0\"}"), SABOT_ERR_FORMAT, "an escape that JSON doesn't have"},
    {BYTES("{\"name\":\"\\u12g4\"}"), SABOT_ERR_FORMAT, "\\u without four hexadecimal digits"},
    {BYTES("{\"name\":\"\\u12\"}"), SABOT_ERR_FORMAT, "\\u without four hexadecimal digits"},
    {BYTES("{\"name\":\"\\ud83d\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"name\":\"\\ude00\\ud83d\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"name\":\"\\ud83d\\u0041\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"name\":\"\\ud83dxxxxxx\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"name\":\"\\ud83d\\n\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"name\":\"\xc3\\u00ad\"}"), SABOT_ERR_FORMAT,
     "byte 9, field name: a string is not UTF"},
    {BYTES("{\"name\":\"\xc3\"}"), SABOT_ERR_FORMAT, "a string is not UTF-8"},
    {BYTES("{\"blob\":\"AAE\"}"), SABOT_ERR_SCHEMA, "field blob: a binary field is base64 with"},
    {BYTES("{\"blob\":\"AA=A\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    {BYTES("{\"blob\":\"====\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    {BYTES("{\"blob\":\"A===\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    {BYTES("{\"blob\":\"AB==\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    {BYTES("{\"blob\":\"AA==AA==\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    {BYTES("{\"blob\":\"AA-_\"}"), SABOT_ERR_SCHEMA, "a binary field is base64 with padding"},
    /* Types */
    {BYTES("{\"small\":\"1\"}"), SABOT_ERR_SCHEMA, "field small: a string, but int32 is wanted"},
    {BYTES("{\"small\":true}"), SABOT_ERR_SCHEMA, "field small: a bool, but int32 is wanted"},
    {BYTES("{\"big\":[1]}"), SABOT_ERR_SCHEMA, "field big: an array, but int64 is wanted"},
    {BYTES("{\"big\":{}}"), SABOT_ERR_SCHEMA, "field big: an object, but int64 is wanted"},
    {BYTES("{\"real\":\"1\"}"), SABOT_ERR_SCHEMA, "field real: a string, but float64 is wanted"},
    {BYTES("{\"time\":\"2026\"}"), SABOT_ERR_SCHEMA,
     "field time: a string, but timestamp is wanted"},
    {BYTES("{\"name\":1}"), SABOT_ERR_SCHEMA, "byte 8, field name: a number, but utf8 is wanted"},
    {BYTES("{\"name\":false}"), SABOT_ERR_SCHEMA, "field name: a bool, but utf8 is wanted"},
    {BYTES("{\"blob\":[]}"), SABOT_ERR_SCHEMA, "field blob: an array, but binary is wanted"},
    {BYTES("{\"flag\":1}"), SABOT_ERR_SCHEMA, "field flag: a number, but bool is wanted"},
    {BYTES("{\"flag\":\"true\"}"), SABOT_ERR_SCHEMA, "field flag: a string, but bool is wanted"},
    {BYTES("{\"card\":1}"), SABOT_ERR_SCHEMA, "field card: a number, but an object is wanted"},
    {BYTES("{\"card\":[]}"), SABOT_ERR_SCHEMA, "field card: an array, but an object is wanted"},
    {BYTES("{\"card\":{\"owner\":\"A\"}}"), SABOT_ERR_SCHEMA,
     "field card.owner: a string, but an obj"},
    {BYTES("{\"card\":{\"owner\":{\"name\":1}}}"), SABOT_ERR_SCHEMA,
     "field card.owner.name: a number"},
    {BYTES("{\"small\":1,\"small\":\"x\"}"), SABOT_ERR_SCHEMA, "field small: a string"},
    {BYTES("{\"small\":\"x\",\"small\":1}"), SABOT_ERR_SCHEMA, "field small: a string"},
    /* In fields that nobody wants */
    {BYTES("{\"x\":}"), SABOT_ERR_FORMAT, "byte 5: no JSON value begins like this"},
    {BYTES("{\"x\":[1,]}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"x\":[1 2]}"), SABOT_ERR_FORMAT, "a comma or ] has to come"},
    {BYTES("{\"x\":[1}"), SABOT_ERR_FORMAT, "a comma or ] has to come"},
    {BYTES("{\"x\":[,1]}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"x\":{\"a\":1]}"), SABOT_ERR_FORMAT, "a comma or } has to come"},
    {BYTES("{\"x\":{\"a\":1,}}"), SABOT_ERR_FORMAT, "a key in quotes has to come"},
    {BYTES("{\"x\":{\"a\" 1}}"), SABOT_ERR_FORMAT, "a colon has to come"},
    {BYTES("{\"x\":{a:1}}"), SABOT_ERR_FORMAT, "a key in quotes has to come"},
    {BYTES("{\"x\":[[]"), SABOT_ERR_FORMAT, "the record ends inside of an object or array"},
    {BYTES("{\"x\":["), SABOT_ERR_FORMAT, "the record ends inside of an object or array"},
    {BYTES("{\"x\":{\"a\""), SABOT_ERR_FORMAT, "the record ends inside of an object or array"},
    {BYTES("{\"x\":\"\xff\"}"), SABOT_ERR_FORMAT,
     "byte 6: a string is not UTF-8; near {\"x\":\"\\xff"},
    {BYTES("{\"x\":\"\\ud800\"}"), SABOT_ERR_FORMAT, "half of a surrogate pair"},
    {BYTES("{\"x\":\"\t\"}"), SABOT_ERR_FORMAT, "a control character in a string"},
    {BYTES("{\"x\":{\"\\q\":1}}"), SABOT_ERR_FORMAT, "an escape that JSON doesn't have"},
    {BYTES("{\"x\":01}"), SABOT_ERR_FORMAT, "a number has no zeros in front"},
    {BYTES("{\"x\":-}"), SABOT_ERR_FORMAT, "a digit has to come in a number"},
    {BYTES("{\"x\":nan}"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
    {BYTES("{\"x\":fals"), SABOT_ERR_FORMAT, "no JSON value begins like this"},
};

static void malformed_and_unfit_records_are_refused_with_place_and_reason(void **state)
{
    struct json_fixture *json = *state;

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const uint32_t rows = sb_builder_rows(&json->builder);
        const sabot_status status = json_decode(json, refused[i].text, refused[i].size);

        if (status != refused[i].status || strstr(json->error.text, refused[i].why) == NULL)
            print_error("%s\n  expected \"%s\"\n  in       \"%s\"\n", refused[i].text,
                        refused[i].why, json->error.text);
        assert_int_equal(status, refused[i].status);
        assert_int_equal(json->error.status, refused[i].status);
        assert_non_null(strstr(json->error.text, refused[i].why));
        assert_int_equal(sb_builder_rows(&json->builder), rows);
        /* Neither the row nor the decoder keeps anything of it. */
        assert_int_equal(json_good(json, "{\"small\":5}").small, 5);
        assert_false(json_has(json, NAME));
    }
}

static void a_record_without_data_is_refused(void **state)
{
    struct json_fixture *json = *state;

    assert_int_equal(sb_codec_json.decode(json->decoder, (sabot_text){NULL, 0}, SB_NO_FIELD, 0, 0,
                                          &json->builder, &json->error),
                     SABOT_ERR_FORMAT);
    assert_string_equal(json->error.text, "byte 0: the record is empty");
}

static void every_beginning_of_a_record_is_refused(void **state)
{
    static const char record[] = "{\"flag\":true,\"x\":[{\"y\":-1.5e3,\"z\":\"\\u00e9\"}],"
                                 "\"small\":-12,\"real\":12345678.25,"
                                 "\"name\":\"Valpara\xc3\xadso\\n\",\"card\":{\"number\":"
                                 "1234567890,\"owner\":{\"name\":\"\"}}}";
    struct json_fixture *json = *state;

    for (size_t size = 0; size < sizeof record - 1; size++)
        assert_int_equal(json_decode(json, record, size), SABOT_ERR_FORMAT);
    for (size_t size = 0; size < sizeof record - 1; size++) {
        (void)json_good(json, record); /* so that every link is learned */
        assert_int_equal(json_decode(json, record, size), SABOT_ERR_FORMAT);
    }
}

static void an_error_shows_at_most_64_bytes_escaped(void **state)
{
    struct json_fixture *json = *state;
    char record[300];
    const char *shown;

    memset(record, '\xff', sizeof record);
    (void)append(record, 0, "{\"name\":1,\"x\":\"");
    assert_int_equal(json_decode(json, record, sizeof record), SABOT_ERR_SCHEMA);
    shown = strstr(json->error.text, "near ");
    assert_non_null(shown);
    assert_int_equal(strlen(shown + 5), 15 + 4 * 49);
}

/* --- Limits ----------------------------------------------------------------------------------- */

static size_t nest(char *text, const char *before, size_t depth)
{
    size_t size = append(text, 0, before);

    memset(text + size, '[', depth);
    memset(text + size + depth, ']', depth);
    size += 2 * depth;
    text[size++] = '}';
    return size;
}

static void nesting_is_limited(void **state)
{
    struct json_fixture *json = *state;
    char text[600];
    size_t size = nest(text, "{\"x\":", 63);

    assert_int_equal(json_decode(json, text, size), SABOT_OK);
    size = nest(text, "{\"x\":", 64);
    assert_int_equal(json_decode(json, text, size), SABOT_ERR_LIMIT);
    assert_non_null(strstr(json->error.text,
                           "byte 68: objects and arrays inside of each other: 64 are allowed"));
    size = nest(text, "{\"card\":{\"x\":", 62);
    text[size++] = '}';
    assert_int_equal(json_decode(json, text, size), SABOT_OK);
    size = nest(text, "{\"card\":{\"x\":", 63);
    text[size++] = '}';
    assert_int_equal(json_decode(json, text, size), SABOT_ERR_LIMIT);
}

static void nesting_of_known_fields_is_limited_too(void **state)
{
    struct json_fixture json;

    (void)state;
    json_fixture_open(&json, &wide_table, 2, 1000);
    (void)json_good(&json, "{\"card\":{\"number\":1}}");
    assert_int_equal(json_decode(&json, BYTES("{\"card\":{\"owner\":{}}}")), SABOT_ERR_LIMIT);
    assert_non_null(strstr(json.error.text, "field card.owner: objects and arrays inside of each"));
    assert_int_equal(json_decode(&json, BYTES("{\"card\":{\"x\":{}}}")), SABOT_ERR_LIMIT);
    json_fixture_close(&json);
}

static void the_size_of_a_record_is_limited(void **state)
{
    struct json_fixture json;

    (void)state;
    json_fixture_open(&json, &wide_table, 64, 20);
    assert_int_equal(json_decode(&json, BYTES("{\"name\":\"123456789\"}")), SABOT_OK);
    assert_int_equal(json_decode(&json, BYTES("{\"name\":\"1234567890\"}")), SABOT_ERR_LIMIT);
    assert_non_null(strstr(json.error.text, "the record has 21 bytes, 20 are allowed"));
    json_fixture_close(&json);
}

static void a_decoder_with_limits_out_of_range_is_refused(void **state)
{
    struct json_fixture *json = *state;
    const struct sb_codec_limits limits[] = {{0, 100}, {1025, 100}, {64, 0}, {64, UINT32_MAX}};

    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct sb_decoder *decoder = (struct sb_decoder *)&decoder;

        assert_int_equal(sb_codec_json.decoder_create(json->env, json->schema, &limits[i], &decoder,
                                                      &json->error),
                         SABOT_ERR_ARGUMENT);
        assert_null(decoder);
    }
}

/* --- Required fields, defaults, event time -----------------------------------------------------
 */

struct event {
    sabot_text id;
    int64_t time;
    int64_t other;
    int32_t count;
};

static const sabot_field event_fields[] = {
    SABOT_FIELD(struct event, id, "meta.id", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct event, time, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct event, other, "other", SABOT_TIMESTAMP, "77"),
    SABOT_FIELD_DEFAULT(struct event, count, "count", SABOT_INT32, "1"),
};
static const sabot_schema event_table = SABOT_SCHEMA("event", 1, struct event, event_fields);

static void a_missing_required_field_is_refused(void **state)
{
    static const char *const records[] = {"{}",
                                          "{\"time\":1}",
                                          "{\"meta\":{}}",
                                          "{\"meta\":null}",
                                          "{\"meta\":{\"id\":null}}",
                                          "{\"meta\":{\"id\":\"x\"},\"meta\":{}}"};
    struct json_fixture json;

    (void)state;
    json_fixture_open(&json, &event_table, 64, 1000);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        assert_int_equal(json_decode(&json, records[i], strlen(records[i])), SABOT_ERR_SCHEMA);
        assert_non_null(
            strstr(json.error.text, "field meta.id: it is required, but missing or null"));
        assert_int_equal(sb_builder_rows(&json.builder), 0);
    }
    json_fixture_close(&json);
}

static int64_t event_time_of(struct json_fixture *json, const char *text, int32_t field)
{
    const sabot_status status = sb_codec_json.decode(json->decoder, sabot_text_of(text), field, -5,
                                                     3, &json->builder, NULL);

    assert_int_equal(status, SABOT_OK);
    assert_int_equal(json->builder.batch->offset_deltas[json->builder.batch->rows - 1], 3);
    return json->builder.batch->event_times[json->builder.batch->rows - 1];
}

static void the_event_time_is_that_of_its_field(void **state)
{
    struct json_fixture json;

    (void)state;
    json_fixture_open(&json, &event_table, 64, 1000);
    assert_int_equal(event_time_of(&json, "{\"meta\":{\"id\":\"x\"},\"time\":12}", 1), 12);
    assert_int_equal(event_time_of(&json, "{\"meta\":{\"id\":\"x\"},\"time\":12}", SB_NO_FIELD),
                     -5);
    assert_int_equal(event_time_of(&json, "{\"meta\":{\"id\":\"x\"}}", 1), -5);
    assert_int_equal(event_time_of(&json, "{\"meta\":{\"id\":\"x\"}}", 2), 77);
    assert_int_equal(sb_batch_int32(json.builder.batch, 3, 0), 1);
    json_fixture_close(&json);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void a_decoder_without_memory_is_an_error(void **state)
{
    struct json_fixture *json = *state;
    const struct sb_codec_limits limits = {64, 1000};
    struct sb_decoder *decoder = NULL;
    uint64_t nth = 1;

    for (;; nth++) {
        sabot_status status;

        sb_os_env_fail_allocation(json->env, nth);
        status = sb_codec_json.decoder_create(json->env, json->schema, &limits, &decoder, NULL);
        sb_os_env_fail_allocation(json->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
        assert_null(decoder);
    }
    assert_true(nth > 2);
    sb_codec_json.decoder_destroy(decoder);
    sb_codec_json.decoder_destroy(NULL);
}

static void a_record_without_memory_leaves_no_row(void **state)
{
    enum { SIZE = 200000 };
    struct json_fixture *json = *state;
    char *record = malloc(SIZE + 32);

    for (uint64_t nth = 1;; nth++) {
        const uint32_t rows = sb_builder_rows(&json->builder);
        sabot_status status;
        size_t size = 0;

        size = append(record, size, "{\"name\":\"");
        memset(record + size, 'n', SIZE / 2);
        size += SIZE / 2;
        size = append(record, size, "\",\"blob\":\"");
        memset(record + size, 'A', SIZE / 4);
        size += SIZE / 4;
        size = append(record, size, "\"}");
        sb_os_env_fail_allocation(json->env, nth);
        status = json_decode(json, record, size);
        sb_os_env_fail_allocation(json->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
        assert_int_equal(sb_builder_rows(&json->builder), rows);
        assert_true(nth < 100);
    }
    assert_int_equal(json_row(json).name.size, SIZE / 2);
    assert_int_equal(json_row(json).blob.size, SIZE / 4 / 4 * 3);
    free(record);
}

static void the_texts_of_a_batch_are_limited(void **state)
{
    enum { SIZE = 1000 * 1000 };
    struct json_fixture *json = *state;
    char *record = malloc(SIZE + 32);
    sabot_status status = SABOT_OK;

    (void)append(record, 0, "{\"name\":\"");
    memset(record + 9, 'n', SIZE);
    (void)append(record, 9 + SIZE, "\"}");
    while (status == SABOT_OK)
        status = json_decode(json, record, SIZE + 11);
    assert_int_equal(status, SABOT_ERR_LIMIT);
    assert_non_null(
        strstr(json->error.text, "bytes in one column of a batch: 67108864 are allowed"));
    assert_int_equal(sb_builder_rows(&json->builder), SB_BATCH_TEXT_MAX / SIZE);
    free(record);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, json_wide_open, json_wide_close)
    const struct CMUnitTest tests[] = {
        TEST(keys_of_every_length_are_told_from_those_that_differ_in_a_byte),
        TEST(keys_of_every_length_are_written_and_read_again),
        TEST(an_endless_escaped_key_is_a_stranger),
        TEST(the_word_null_alone_is_no_record),
        TEST(each_type_lands_in_its_column),
        TEST(keys_come_in_any_order_and_with_any_space),
        TEST(the_same_keys_with_other_space_mean_the_same),
        TEST(unknown_fields_are_passed),
        TEST(null_is_missing),
        TEST(of_duplicate_keys_the_last_wins),
        TEST(of_duplicate_objects_the_last_replaces_the_first_as_a_whole),
        TEST(escapes_are_decoded),
        TEST(texts_of_every_length_arrive_whole),
        TEST(text_that_is_not_ascii_is_checked_at_every_place),
        TEST(integers_reach_to_their_limits),
        TEST(a_float_takes_any_number),
        TEST(malformed_and_unfit_records_are_refused_with_place_and_reason),
        TEST(a_record_without_data_is_refused),
        TEST(every_beginning_of_a_record_is_refused),
        TEST(an_error_shows_at_most_64_bytes_escaped),
        TEST(nesting_is_limited),
        TEST(nesting_of_known_fields_is_limited_too),
        TEST(the_size_of_a_record_is_limited),
        TEST(a_decoder_with_limits_out_of_range_is_refused),
        TEST(a_missing_required_field_is_refused),
        TEST(the_event_time_is_that_of_its_field),
        TEST(a_decoder_without_memory_is_an_error),
        TEST(a_record_without_memory_leaves_no_row),
        TEST(the_texts_of_a_batch_are_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
