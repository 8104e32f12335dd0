/* SPDX-License-Identifier: Apache-2.0 */
/* test_key.c - keys as bytes, text and hashes: byte order is number order, and a hash is always
 * that of the bytes. */
#include "test.h"

#include "base/hash.h"
#include "data/key.h"

struct row {
    int64_t big;
    int32_t small;
    bool flag;
    int64_t time_ms;
    sabot_text text;
    sabot_text blob;
};

enum { BIG, SMALL, FLAG, TIME, TEXT, BLOB, FIELDS };

static const sabot_field row_fields[] = {
    SABOT_FIELD(struct row, big, "big", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, small, "small", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, text, "text", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct row, blob, "blob", SABOT_BINARY, SABOT_OPTIONAL),
};
static const sabot_schema row_table = SABOT_SCHEMA("row", 1, struct row, row_fields);
static const struct sb_batch_origin origin = {.partition = -1};

struct fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    struct sb_batch *batch;
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_schema_create(fixture->env, &row_table, SB_SCHEMA_RECORD, &fixture->schema, NULL) !=
        SABOT_OK)
        return -1;
    if (sb_batch_pool_create(fixture->env, fixture->schema, 64, &fixture->pool, NULL) != SABOT_OK)
        return -1;
    *state = fixture;
    return sb_builder_init(&fixture->builder, fixture->pool) == SABOT_OK ? 0 : -1;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_batch_unref(fixture->batch);
    sb_builder_reset(&fixture->builder);
    sb_batch_pool_destroy(fixture->pool);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static const struct sb_batch *seal(struct fixture *fixture)
{
    assert_int_equal(sb_builder_seal(&fixture->builder, &origin, &fixture->batch), SABOT_OK);
    return fixture->batch;
}

static void add(struct fixture *fixture, const struct row *row)
{
    assert_int_equal(sb_builder_record(&fixture->builder, row, 0, NULL), SABOT_OK);
}

static void add_missing(struct fixture *fixture)
{
    uint32_t missing;

    assert_int_equal(sb_builder_begin(&fixture->builder), SABOT_OK);
    assert_int_equal(sb_builder_commit(&fixture->builder, 0, 0, &missing), SABOT_OK);
}

static void the_byte_order_of_integer_keys_is_number_order(void **state)
{
    static const int64_t numbers[] = {INT64_MIN,
                                      INT64_MIN + 1,
                                      INT32_MIN,
                                      -256,
                                      -255,
                                      -2,
                                      -1,
                                      0,
                                      1,
                                      2,
                                      255,
                                      256,
                                      65536,
                                      INT32_MAX,
                                      (int64_t)INT32_MAX + 1,
                                      INT64_MAX - 1,
                                      INT64_MAX};
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    struct fixture *fixture = *state;
    const struct sb_batch *batch;
    uint8_t before[SB_KEY_SCRATCH];
    uint8_t scratch[SB_KEY_SCRATCH];

    for (size_t i = 0; i < COUNT; i++)
        add(fixture, &(struct row){.big = numbers[i], .time_ms = numbers[i]});
    batch = seal(fixture);
    for (uint32_t field = BIG; field <= TIME; field += TIME - BIG) {
        for (uint32_t row = 0; row < COUNT; row++) {
            const sabot_text key = sb_key_of(batch, field, row, scratch);

            assert_int_equal(key.size, 8);
            if (row > 0)
                assert_true(memcmp(before, key.data, 8) < 0);
            memcpy(before, key.data, 8);
        }
    }
}

static void integers_of_both_sizes_have_the_same_key(void **state)
{
    static const int32_t numbers[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
    struct fixture *fixture = *state;
    const struct sb_batch *batch;
    uint8_t one[SB_KEY_SCRATCH];
    uint8_t two[SB_KEY_SCRATCH];

    for (size_t i = 0; i < 5; i++)
        add(fixture, &(struct row){.big = numbers[i], .small = numbers[i]});
    batch = seal(fixture);
    for (uint32_t row = 0; row < 5; row++)
        assert_memory_equal(sb_key_of(batch, BIG, row, one).data,
                            sb_key_of(batch, SMALL, row, two).data, 8);
}

static void keys_have_the_documented_bytes(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_batch *batch;
    uint8_t scratch[SB_KEY_SCRATCH];

    add(fixture,
        &(struct row){
            .big = 1, .small = -2, .flag = true, .text = {"k\0y", 3}, .blob = {"\xff", 1}});
    add_missing(fixture);
    batch = seal(fixture);
    assert_memory_equal(sb_key_of(batch, BIG, 0, scratch).data, "\x80\0\0\0\0\0\0\1", 8);
    assert_memory_equal(sb_key_of(batch, SMALL, 0, scratch).data,
                        "\x7f\xff\xff\xff\xff\xff\xff\xfe", 8);
    assert_int_equal(sb_key_of(batch, FLAG, 0, scratch).size, 1);
    assert_int_equal(sb_key_of(batch, FLAG, 0, scratch).data[0], 1);
    assert_int_equal(sb_key_of(batch, TEXT, 0, scratch).size, 3);
    assert_memory_equal(sb_key_of(batch, TEXT, 0, scratch).data, "k\0y", 3);
    assert_memory_equal(sb_key_of(batch, BLOB, 0, scratch).data, "\xff", 1);
    for (uint32_t field = 0; field < FIELDS; field++) {
        const sabot_text key = sb_key_of(batch, field, 1, scratch);

        assert_int_equal(key.size, 0);
        assert_non_null(key.data);
    }
}

static void key_texts_are_what_other_clients_write(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_batch *batch;
    char scratch[SB_KEY_SCRATCH];

    add(fixture, &(struct row){.big = INT64_MIN, .small = 42, .flag = true, .text = {"", 0}});
    add_missing(fixture);
    batch = seal(fixture);
    assert_int_equal(sb_key_text(batch, BIG, 0, scratch).size, 20);
    assert_memory_equal(sb_key_text(batch, BIG, 0, scratch).data, "-9223372036854775808", 20);
    assert_int_equal(sb_key_text(batch, SMALL, 0, scratch).size, 2);
    assert_memory_equal(sb_key_text(batch, SMALL, 0, scratch).data, "42", 2);
    assert_memory_equal(sb_key_text(batch, FLAG, 0, scratch).data, "true", 4);
    assert_non_null(sb_key_text(batch, TEXT, 0, scratch).data);
    assert_int_equal(sb_key_text(batch, TEXT, 0, scratch).size, 0);
    for (uint32_t field = 0; field < FIELDS; field++)
        assert_null(sb_key_text(batch, field, 1, scratch).data);
}

static void hashes_are_those_of_the_key_bytes(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_batch *batch;
    uint64_t hashes[64];
    uint8_t scratch[SB_KEY_SCRATCH];

    for (int i = 0; i < 60; i++) {
        char text[60];

        memset(text, 'a' + i % 26, sizeof text);
        add(fixture, &(struct row){.big = i * INT64_C(123456789123),
                                   .small = -i,
                                   .flag = i % 2 == 0,
                                   .time_ms = i,
                                   .text = {text, (size_t)i},
                                   .blob = {text, 3}});
        if (i % 20 == 7)
            add_missing(fixture);
    }
    batch = seal(fixture);
    for (uint32_t field = 0; field < FIELDS; field++) {
        sb_key_hashes(batch, field, 99, hashes);
        for (uint32_t row = 0; row < batch->rows; row++) {
            const sabot_text key = sb_key_of(batch, field, row, scratch);

            assert_true(hashes[row] == sb_hash(key.data, key.size, 99));
        }
    }
}

/* Set the key of a row, and take it back as text. */
static sabot_status set_and_read(struct fixture *fixture, uint32_t field, sabot_text text)
{
    char scratch[SB_KEY_SCRATCH];
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;
    sabot_text read;

    assert_int_equal(sb_builder_begin(&fixture->builder), SABOT_OK);
    status = sb_key_set(&fixture->builder, field, text, &error);
    if (status != SABOT_OK) {
        assert_non_null(strstr(error.text, row_fields[field].path));
        sb_builder_drop(&fixture->builder);
        return status;
    }
    sb_builder_commit_delete(&fixture->builder, INT64_MIN, 0);
    seal(fixture);
    assert_int_equal(fixture->batch->delete_count, 1);
    assert_true(sb_batch_deletes(fixture->batch, 0));
    read = sb_key_text(fixture->batch, field, 0, scratch);
    assert_int_equal(read.size, text.size);
    assert_memory_equal(read.data, text.data, text.size);
    sb_batch_unref(fixture->batch);
    fixture->batch = NULL;
    return SABOT_OK;
}

static void a_key_is_set_from_its_text(void **state)
{
    static const struct {
        uint32_t field;
        const char *text; /* NULL: none */
        sabot_status status;
    } cases[] = {
        {BIG, "9223372036854775807", SABOT_OK},
        {BIG, "-9223372036854775808", SABOT_OK},
        {BIG, "0", SABOT_OK},
        {BIG, "9223372036854775808", SABOT_ERR_SCHEMA},
        {BIG, "-9223372036854775809", SABOT_ERR_SCHEMA},
        {BIG, "99999999999999999999999", SABOT_ERR_SCHEMA},
        {BIG, "", SABOT_ERR_SCHEMA},
        {BIG, "-", SABOT_ERR_SCHEMA},
        {BIG, "+1", SABOT_ERR_SCHEMA},
        {BIG, "1 ", SABOT_ERR_SCHEMA},
        {BIG, NULL, SABOT_ERR_SCHEMA},
        {SMALL, "2147483647", SABOT_OK},
        {SMALL, "-2147483648", SABOT_OK},
        {SMALL, "2147483648", SABOT_ERR_SCHEMA},
        {TIME, "1700000000000", SABOT_OK},
        {TEXT, "Santiago", SABOT_OK},
        {TEXT, "", SABOT_OK},
        {TEXT, "\xff", SABOT_ERR_SCHEMA},
        {TEXT, NULL, SABOT_ERR_SCHEMA},
        {BLOB, "\xff", SABOT_OK},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(set_and_read(*state, cases[i].field, sabot_text_of(cases[i].text)),
                         cases[i].status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_byte_order_of_integer_keys_is_number_order),
        TEST(integers_of_both_sizes_have_the_same_key),
        TEST(keys_have_the_documented_bytes),
        TEST(key_texts_are_what_other_clients_write),
        TEST(hashes_are_those_of_the_key_bytes),
        TEST(a_key_is_set_from_its_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
