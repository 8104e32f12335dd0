/* SPDX-License-Identifier: Apache-2.0 */
/* test_schema.c - field tables: what compiles, and that each mistake is refused with the field's
 * name and a reason. */
#include "test.h"

#include "data/schema.h"

struct order {
    int64_t id;
    sabot_text account;
    double amount;
    int32_t count;
    bool urgent;
    int64_t time_ms;
    sabot_text blob;
};

struct cell {
    int64_t total;
    double amounts[4];
    char city[16];
    char tags[2][8];
    bool seen;
};

static int make_env(void **state)
{
    struct sb_env *env;

    if (sb_os_env_create(&env, NULL) != SABOT_OK)
        return -1;
    *state = env;
    return 0;
}

static int free_env(void **state)
{
    sb_os_env_destroy(*state);
    return 0;
}

static const sabot_field order_fields[] = {
    SABOT_FIELD(struct order, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct order, account, "who.account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct order, amount, "amount", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct order, count, "who.count", SABOT_INT32, "-7"),
    SABOT_FIELD_DEFAULT(struct order, urgent, "urgent", SABOT_BOOL, "true"),
    SABOT_FIELD(struct order, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct order, blob, "a.b.c.d.e.f.g.h", SABOT_BINARY, "\"AAEC/w==\""),
};
static const sabot_schema order_table = SABOT_SCHEMA("order", 3, struct order, order_fields);

static const sabot_field cell_fields[] = {
    SABOT_FIELD(struct cell, total, "total", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct cell, amounts, "amounts", SABOT_FLOAT64),
    SABOT_FIELD_DEFAULT(struct cell, city, "city", SABOT_CHARS, "\"Reykjav\\u00edk\""),
    SABOT_FIELD_ARRAY(struct cell, tags, "tags", SABOT_CHARS),
    SABOT_FIELD(struct cell, seen, "seen", SABOT_BOOL, SABOT_OPTIONAL),
};
static const sabot_schema cell_table = SABOT_SCHEMA("cell", 1, struct cell, cell_fields);

static void a_record_schema_is_compiled(void **state)
{
    struct sb_schema *schema;

    assert_int_equal(sb_schema_create(*state, &order_table, SB_SCHEMA_RECORD, &schema, NULL),
                     SABOT_OK);
    assert_string_equal(schema->name, "order");
    assert_int_equal(schema->version, 3);
    assert_int_equal(schema->record_size, sizeof(struct order));
    assert_int_equal(schema->field_count, 7);
    assert_true(schema->fields[0].required);
    assert_int_equal(schema->fields[1].step_count, 2);
    assert_int_equal(schema->fields[1].step_sizes[0], 3);
    assert_memory_equal(schema->fields[1].steps[1], "account", 7);
    assert_int_equal(schema->fields[1].step_sizes[1], 7);
    assert_int_equal(schema->fields[1].offset, offsetof(struct order, account));
    assert_false(schema->fields[2].has_default);
    assert_int_equal(schema->fields[3].default_int, -7);
    assert_int_equal(schema->fields[4].default_int, 1);
    assert_int_equal(schema->fields[6].step_count, SABOT_FIELD_DEPTH_MAX);
    assert_int_equal(schema->fields[6].default_text.size, 4);
    assert_memory_equal(schema->fields[6].default_text.data, "\0\1\2\xff", 4);
    assert_int_equal(sb_schema_find(schema, "who.count"), 3);
    assert_int_equal(sb_schema_find(schema, "who"), SB_NO_FIELD);
    sb_schema_destroy(schema);
    sb_schema_destroy(NULL);
}

static void a_state_schema_is_compiled(void **state)
{
    struct sb_schema *schema;

    assert_int_equal(sb_schema_create(*state, &cell_table, SB_SCHEMA_STATE, &schema, NULL),
                     SABOT_OK);
    assert_int_equal(schema->fields[1].count, 4);
    assert_int_equal(schema->fields[1].size, 32);
    assert_int_equal(schema->fields[3].count, 2);
    assert_int_equal(schema->fields[2].default_text.size, 10);
    assert_memory_equal(schema->fields[2].default_text.data, "Reykjav\xc3\xadk", 10);
    sb_schema_destroy(schema);
}

/* --- Mistakes --------------------------------------------------------------------------------- */

static void refused(struct sb_env *env,
                    const sabot_schema *table,
                    enum sb_schema_use use,
                    const char *why)
{
    struct sb_schema *schema = (struct sb_schema *)&schema;
    sabot_error error = {0};

    assert_int_equal(sb_schema_create(env, table, use, &schema, &error), SABOT_ERR_SCHEMA);
    assert_null(schema);
    if (strstr(error.text, why) == NULL)
        print_error("expected \"%s\" in \"%s\"\n", why, error.text);
    assert_non_null(strstr(error.text, why));
}

/* A record of one field, which is wrong. */
static void field_refused(void **state, sabot_field field, enum sb_schema_use use, const char *why)
{
    const sabot_schema table = {"t", 1, 64, &field, 1};
    char text[200];

    (void)snprintf(text, sizeof text, "schema t, field 1 (%.100s): %s",
                   field.path == NULL ? "?" : field.path, why);
    refused(*state, &table, use, text);
}

static void path_refused(void **state, const char *path, const char *why)
{
    field_refused(state, (sabot_field){path, SABOT_INT64, 0, 0, 8, 1, NULL}, SB_SCHEMA_RECORD, why);
}

static void bad_paths_are_refused(void **state)
{
    char longest[258];
    struct sb_schema *schema;
    sabot_field field = {longest, SABOT_INT64, 0, 0, 8, 1, NULL};
    const sabot_schema table = {"t", 1, 64, &field, 1};

    path_refused(state, NULL, "the path is empty");
    path_refused(state, "", "the path is empty");
    path_refused(state, ".", "the path has an empty step");
    path_refused(state, ".a", "the path has an empty step");
    path_refused(state, "a.", "the path has an empty step");
    path_refused(state, "a..b", "the path has an empty step");
    path_refused(state, "a.b.c.d.e.f.g.h.i", "the path has more than 8 steps");
    path_refused(state, "a\xff", "the path is not UTF-8");
    memset(longest, 'x', sizeof longest);
    longest[256] = '\0';
    refused(*state, &table, SB_SCHEMA_RECORD, "the path has 256 bytes, 255 are allowed");
    longest[255] = '\0';
    assert_int_equal(sb_schema_create(*state, &table, SB_SCHEMA_RECORD, &schema, NULL), SABOT_OK);
    sb_schema_destroy(schema);
}

static void paths_inside_of_each_other_are_refused(void **state)
{
    static const char *const pairs[][3] = {
        {"a", "a", "field 2 (a): field 1 has the same path"},
        {"a", "a.b", "field 2 (a.b): a path can't lie inside of another one, as with field 1 (a)"},
        {"a.b.c", "a.b", "field 2 (a.b): a path can't lie inside of another one"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const sabot_field fields[] = {{pairs[i][0], SABOT_INT64, 0, 0, 8, 1, NULL},
                                      {pairs[i][1], SABOT_INT64, 0, 8, 8, 1, NULL}};
        const sabot_schema table = {"t", 1, 16, fields, 2};

        refused(*state, &table, SB_SCHEMA_RECORD, pairs[i][2]);
    }
}

static void similar_paths_are_no_conflict(void **state)
{
    const sabot_field fields[] = {{"a.b", SABOT_INT64, 0, 0, 8, 1, NULL},
                                  {"a.bc", SABOT_INT64, 0, 8, 8, 1, NULL},
                                  {"a-b", SABOT_INT64, 0, 16, 8, 1, NULL},
                                  {"b", SABOT_INT64, 0, 24, 8, 1, NULL}};
    const sabot_schema table = {"t", 1, 32, fields, 4};
    struct sb_schema *schema;

    assert_int_equal(sb_schema_create(*state, &table, SB_SCHEMA_RECORD, &schema, NULL), SABOT_OK);
    sb_schema_destroy(schema);
}

static void bad_members_are_refused(void **state)
{
    static const struct {
        sabot_field field;
        enum sb_schema_use use;
        const char *why;
    } cases[] = {
        {{"a", SABOT_INT64, 0, 0, 4, 1, NULL},
         0,
         "a member of 4 bytes can't hold int64, which has 8"},
        {{"a", SABOT_INT32, 0, 0, 8, 1, NULL}, 0, "a member of 8 bytes can't hold int32"},
        {{"a", SABOT_BOOL, 0, 0, 4, 1, NULL}, 0, "a member of 4 bytes can't hold bool"},
        {{"a", SABOT_UTF8, 0, 0, 8, 1, NULL}, 0, "a member of 8 bytes can't hold utf8"},
        {{"a", SABOT_INT64, 0, 60, 8, 1, NULL}, 0, "the member ends at byte 68 of a struct of 64"},
        {{"a", SABOT_INT64, 0, UINT32_MAX - 7, 8, 1, NULL},
         0,
         "the member ends at byte 4294967296"},
        {{"a", SABOT_INT64, 0, 4, 8, 1, NULL}, 0, "the member is not aligned"},
        {{"a", SABOT_UTF8, 0, 12, 16, 1, NULL}, 0, "the member is not aligned"},
        {{"a", (sabot_type)0, 0, 0, 8, 1, NULL}, 0, "there is no type with number 0"},
        {{"a", (sabot_type)9, 0, 0, 8, 1, NULL}, 0, "there is no type with number 9"},
        {{"a", SABOT_CHARS, 0, 0, 8, 1, NULL}, 0, "a record can't hold chars"},
        {{"a", SABOT_INT64, 0, 0, 16, 2, NULL}, 0, "a record can't hold an array (of 2 elements)"},
        {{"a", SABOT_UTF8, 0, 0, 16, 1, NULL}, 1, "state can't hold utf8"},
        {{"a", SABOT_BINARY, 0, 0, 16, 1, NULL}, 1, "state can't hold binary"},
        {{"a", SABOT_CHARS, 0, 0, 8, 8, NULL}, 1, "a char[8] is one element"},
        {{"a", SABOT_CHARS, 0, 0, 0, 1, NULL}, 1, "the member has no elements"},
        {{"a", SABOT_INT64, 0, 0, 8, 0, NULL}, 1, "the member has no elements"},
        {{"a", SABOT_INT64, 0, 0, 20, 3, NULL}, 1, "20 bytes are no array of 3 elements"},
        {{"a", SABOT_INT64, 0, 0, 24, 4, NULL}, 1, "a member of 6 bytes can't hold int64"},
        {{"a", SABOT_INT64, 2, 0, 8, 1, NULL}, 0, "the flags 2 are neither"},
        {{"a", SABOT_INT64, 1, 0, 8, 1, "1"}, 0, "a required field can't have a default"},
        {{"a", SABOT_INT64, 0, 0, 16, 2, "1"}, 1, "an array can't have a default"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        field_refused(state, cases[i].field, cases[i].use, cases[i].why);
}

static void members_that_share_bytes_are_refused(void **state)
{
    const sabot_field fields[] = {{"a", SABOT_INT64, 0, 8, 8, 1, NULL},
                                  {"b", SABOT_INT32, 0, 12, 4, 1, NULL}};
    const sabot_schema table = {"t", 1, 16, fields, 2};

    refused(*state, &table, SB_SCHEMA_RECORD,
            "field 2 (b): the member shares bytes with that of field 1 (a)");
}

static void bad_tables_are_refused(void **state)
{
    static sabot_field many[SABOT_FIELDS_MAX + 1];
    static char names[SABOT_FIELDS_MAX + 1][8];
    sabot_schema table = {"t", 1, sizeof(int64_t) * SABOT_FIELDS_MAX + 8, many, 0};
    struct sb_schema *schema;

    refused(*state, NULL, SB_SCHEMA_RECORD, "the schema is NULL");
    refused(*state, &table, SB_SCHEMA_RECORD, "schema t: it has no fields");
    for (uint32_t i = 0; i <= SABOT_FIELDS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "f%u", i);
        many[i] = (sabot_field){names[i], SABOT_INT64, 0, i * 8, 8, 1, NULL};
    }
    table.field_count = SABOT_FIELDS_MAX + 1;
    refused(*state, &table, SB_SCHEMA_RECORD, "schema t: it has 257 fields, 256 are allowed");
    table.field_count = SABOT_FIELDS_MAX;
    assert_int_equal(sb_schema_create(*state, &table, SB_SCHEMA_RECORD, &schema, NULL), SABOT_OK);
    sb_schema_destroy(schema);
    table.version = 0;
    refused(*state, &table, SB_SCHEMA_RECORD, "schema t: versions count from 1");
    table.version = 1;
    table.name = "";
    refused(*state, &table, SB_SCHEMA_RECORD, "the schema has no name");
    table.name = "\xff";
    refused(*state, &table, SB_SCHEMA_RECORD, "the name is not UTF-8");
    table.name = "t";
    table.fields = NULL;
    refused(*state, &table, SB_SCHEMA_RECORD, "schema t: it has no fields");
}

/* --- Defaults --------------------------------------------------------------------------------- */

static struct sb_schema *with_default(void **state,
                                      sabot_type type,
                                      uint32_t size,
                                      const char *text)
{
    const sabot_field field = {"a", type, 0, 0, size, 1, text};
    const sabot_schema table = {"t", 1, 64, &field, 1};
    const enum sb_schema_use use = type == SABOT_CHARS ? SB_SCHEMA_STATE : SB_SCHEMA_RECORD;
    struct sb_schema *schema;
    sabot_error error;

    if (sb_schema_create(*state, &table, use, &schema, &error) == SABOT_OK)
        return schema;
    assert_int_equal(error.status, SABOT_ERR_SCHEMA);
    assert_non_null(strstr(error.text, "schema t, field 1 (a): the default "));
    return NULL;
}

static void number_defaults_are_those_of_json(void **state)
{
    static const struct {
        sabot_type type;
        const char *text;
        int64_t value;
    } good[] = {
        {SABOT_INT64, "0", 0},
        {SABOT_INT64, "-0", 0},
        {SABOT_INT64, "9223372036854775807", INT64_MAX},
        {SABOT_INT64, "-9223372036854775808", INT64_MIN},
        {SABOT_INT32, "2147483647", INT32_MAX},
        {SABOT_INT32, "-2147483648", INT32_MIN},
        {SABOT_TIMESTAMP, "1700000000000", INT64_C(1700000000000)},
        {SABOT_BOOL, "true", 1},
        {SABOT_BOOL, "false", 0},
    };
    static const struct {
        sabot_type type;
        const char *text;
    } bad[] = {
        {SABOT_INT64, ""},
        {SABOT_INT64, "-"},
        {SABOT_INT64, "01"},
        {SABOT_INT64, "+1"},
        {SABOT_INT64, " 1"},
        {SABOT_INT64, "1 "},
        {SABOT_INT64, "1.0"},
        {SABOT_INT64, "1e3"},
        {SABOT_INT64, "0x10"},
        {SABOT_INT64, "\"1\""},
        {SABOT_INT64, "true"},
        {SABOT_BOOL, "1"},
        {SABOT_BOOL, "True"},
        {SABOT_BOOL, ""},
        {SABOT_BOOL, "true "},
        {SABOT_FLOAT64, "."},
        {SABOT_FLOAT64, "1."},
        {SABOT_FLOAT64, ".5"},
        {SABOT_FLOAT64, "1e"},
        {SABOT_FLOAT64, "1e+"},
        {SABOT_FLOAT64, "nan"},
        {SABOT_FLOAT64, "inf"},
        {SABOT_FLOAT64, "0x1"},
        {SABOT_FLOAT64, "1e999"},
        {SABOT_FLOAT64, "1,5"},
        {SABOT_FLOAT64, "00"},
        {SABOT_FLOAT64, "-"},
        {SABOT_FLOAT64, ""},
        {SABOT_INT32, "2147483648"},
        {SABOT_INT64, "9223372036854775808"},
        {SABOT_INT32, "99999999999999999999"},
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const uint32_t size = good[i].type == SABOT_BOOL ? 1 : good[i].type == SABOT_INT32 ? 4 : 8;
        struct sb_schema *schema = with_default(state, good[i].type, size, good[i].text);

        assert_non_null(schema);
        assert_true(schema->fields[0].has_default);
        assert_true(schema->fields[0].default_int == good[i].value);
        sb_schema_destroy(schema);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const uint32_t size = bad[i].type == SABOT_BOOL ? 1 : bad[i].type == SABOT_INT32 ? 4 : 8;

        assert_null(with_default(state, bad[i].type, size, bad[i].text));
    }
}

static void float_defaults_are_those_of_json(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0}, {"-1.5", -1.5}, {"1e3", 1000}, {"1E-2", 0.01}, {"12.25e+1", 122.5}};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct sb_schema *schema = with_default(state, SABOT_FLOAT64, 8, good[i].text);

        assert_non_null(schema);
        assert_true(schema->fields[0].default_float == good[i].value);
        sb_schema_destroy(schema);
    }
}

static void a_null_default_is_none(void **state)
{
    struct sb_schema *schema = with_default(state, SABOT_INT64, 8, "null");

    assert_non_null(schema);
    assert_false(schema->fields[0].has_default);
    sb_schema_destroy(schema);
}

static void string_defaults_are_those_of_json(void **state)
{
    static const struct {
        const char *text;
        const char *value;
        size_t size;
    } good[] = {
        {"\"\"", "", 0},
        {"\"CLP\"", "CLP", 3},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10},
        {"\"\\u0000x\"", "\0x", 2},
        {"\"\xe2\x82\xac\"", "\xe2\x82\xac", 3},
    };
    static const char *const bad[] = {
        "",
        "\"",
        "CLP",
        "'a'",
        "\"a",
        "a\"",
        "\"a\"b",
        "\"a\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "\"\xff\"",
        "\"\xe2\x82\"",
        "\"\\",
        "\"\\u",
        "\"\\ud83d\\u",
        "1",
    };

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct sb_schema *schema = with_default(state, SABOT_UTF8, 16, good[i].text);

        assert_non_null(schema);
        assert_int_equal(schema->fields[0].default_text.size, good[i].size);
        assert_memory_equal(schema->fields[0].default_text.data, good[i].value, good[i].size);
        sb_schema_destroy(schema);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(with_default(state, SABOT_UTF8, 16, bad[i]));
}

static void binary_defaults_are_base64(void **state)
{
    static const struct {
        const char *text;
        const char *value;
        size_t size;
    } good[] = {
        {"\"\"", "", 0},        {"\"Zg==\"", "f", 1},        {"\"Zm8=\"", "fo", 2},
        {"\"Zm9v\"", "foo", 3}, {"\"Zm9vYg==\"", "foob", 4}, {"\"+\\/8=\"", "\xfb\xff", 2},
    };
    static const char *const bad[] = {"\"Zg=\"",  "\"Zg\"",   "\"Z===\"",     "\"====\"",
                                      "\"Zh==\"", "\"Zm9=\"", "\"Zg==Zg==\"", "\"Zm9-\"",
                                      "\"Zm 9\"", "\"=\""};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct sb_schema *schema = with_default(state, SABOT_BINARY, 16, good[i].text);

        assert_non_null(schema);
        assert_int_equal(schema->fields[0].default_text.size, good[i].size);
        assert_memory_equal(schema->fields[0].default_text.data, good[i].value, good[i].size);
        sb_schema_destroy(schema);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_null(with_default(state, SABOT_BINARY, 16, bad[i]));
}

static void a_chars_default_must_fit_its_member(void **state)
{
    sb_schema_destroy(with_default(state, SABOT_CHARS, 4, "\"abcd\""));
    assert_null(with_default(state, SABOT_CHARS, 4, "\"abcde\""));
    assert_null(with_default(state, SABOT_CHARS, 4, "\"a\\u0000b\""));
}

static void every_failed_allocation_is_reported_and_leaves_nothing(void **state)
{
    struct sb_env *env = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_schema *schema = NULL;
    uint64_t nth = 0;

    while (status != SABOT_OK) {
        sabot_error error = {0};

        sb_os_env_fail_allocation(env, ++nth);
        status = sb_schema_create(env, &order_table, SB_SCHEMA_RECORD, &schema, &error);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
        assert_true(status == SABOT_OK || schema == NULL);
        assert_int_equal(error.status, status);
    }
    assert_true(nth > 2);
    sb_os_env_fail_allocation(env, 0);
    sb_schema_destroy(schema);
}

static void types_have_names(void **state)
{
    (void)state;
    assert_string_equal(sabot_type_name(SABOT_INT64), "int64");
    assert_string_equal(sabot_type_name(SABOT_CHARS), "chars");
    assert_string_equal(sabot_type_name((sabot_type)99), "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_env, free_env)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_schema_is_compiled),
        TEST(a_state_schema_is_compiled),
        TEST(bad_paths_are_refused),
        TEST(paths_inside_of_each_other_are_refused),
        TEST(similar_paths_are_no_conflict),
        TEST(bad_members_are_refused),
        TEST(members_that_share_bytes_are_refused),
        TEST(bad_tables_are_refused),
        TEST(number_defaults_are_those_of_json),
        TEST(float_defaults_are_those_of_json),
        TEST(a_null_default_is_none),
        TEST(string_defaults_are_those_of_json),
        TEST(binary_defaults_are_base64),
        TEST(a_chars_default_must_fit_its_member),
        TEST(every_failed_allocation_is_reported_and_leaves_nothing),
        TEST(types_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
