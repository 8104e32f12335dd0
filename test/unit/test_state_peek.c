/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_peek.c - a snapshot read without the app that made it: every kind of state, every type
 * of field, as JSON; keys there and back; and bytes that were damaged on the way. */
#include "test.h"

#include <math.h>

#include "api/inspect.h"
#include "base/hash.h"
#include "state/peek.h"
#include "tape.h"

struct cell {
    bool flag;
    int32_t small;
    int64_t large;
    double real[3];
    int64_t when;
    char city[8];
};

static const sabot_field cell_fields[] = {
    SABOT_FIELD(struct cell, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct cell, small, "small", SABOT_INT32, SABOT_OPTIONAL),
    SABOT_FIELD(struct cell, large, "large", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct cell, real, "real", SABOT_FLOAT64),
    SABOT_FIELD(struct cell, when, "when", SABOT_TIMESTAMP, SABOT_OPTIONAL),
    SABOT_FIELD(struct cell, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
};
static const sabot_schema cell_table = SABOT_SCHEMA("cell", 3, struct cell, cell_fields);

enum { CELLS, BYTES, LISTS, MAPS, TIMERS, STATE_COUNT };

struct fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_store *store;
    struct tape tape;
    char text[4096]; /* what was read, a line for each row */
    sabot_error error;
};

static const sabot_text key = {"santiago", 8};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sb_state_spec specs[STATE_COUNT] = {
        [CELLS] = {.name = "cells", .kind = SB_STATE_VALUE},
        [BYTES] = {.name = "bytes", .kind = SB_STATE_VALUE},
        [LISTS] = {.name = "lists", .kind = SB_STATE_LIST},
        [MAPS] = {.name = "maps", .kind = SB_STATE_MAP, .ttl_ms = 1000},
        [TIMERS] = {.name = "timers", .kind = SB_STATE_TIMERS},
    };
    struct sb_store_config config = {.owner = "agent", .states = specs, .state_count = STATE_COUNT};

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    *state = fixture;
    config.env = fixture->env;
    if (sb_schema_create(fixture->env, &cell_table, SB_SCHEMA_STATE, &fixture->schema, NULL) !=
        SABOT_OK)
        return -1;
    specs[CELLS].schema = fixture->schema;
    return sb_store_create(&config, &fixture->store, NULL) == SABOT_OK ? 0 : -1;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    tape_reset(&fixture->tape);
    sb_store_destroy(fixture->store);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static uint64_t hash(void)
{
    return sb_hash(key.data, key.size, 0);
}

/* Something of every kind. */
static void fill(struct fixture *fixture)
{
    struct sb_store *store = fixture->store;
    struct cell *cell;

    assert_int_equal(sb_store_begin(store, 5000, NULL), SABOT_OK);
    cell = sb_store_edit(store, CELLS, key, hash(), NULL);
    assert_non_null(cell);
    *cell = (struct cell){.flag = true,
                          .small = INT32_MIN,
                          .large = INT64_MAX,
                          .real = {0.1, -INFINITY, NAN},
                          .when = -1,
                          .city = {'V', 'a', 'l', '\xc3', '\xb1', '"', '\n', '\xc3'}};
    assert_int_equal(sb_store_put(store, BYTES, key, hash(), (sabot_text){"\xff\x00\x10", 3}, NULL),
                     SABOT_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            sb_list_append(store, LISTS, key, hash(), (sabot_text){"abc", 1 + (size_t)i}, NULL),
            SABOT_OK);
    assert_int_equal(
        sb_map_put(store, MAPS, key, hash(), sabot_text_of("left"), sabot_text_of("one"), NULL),
        SABOT_OK);
    assert_int_equal(
        sb_map_put(store, MAPS, key, hash(), (sabot_text){"\x01\xfe", 2}, sabot_text_of(""), NULL),
        SABOT_OK);
    assert_int_equal(sb_timer_set(store, TIMERS, key, hash(), 777, NULL), SABOT_OK);
}

static void snapshot(struct fixture *fixture)
{
    const struct sb_byte_sink sink = tape_sink(&fixture->tape);

    assert_int_equal(sb_store_snapshot(fixture->store, sb_hash_shard(hash()), &sink, NULL),
                     SABOT_OK);
}

/* "STATE KEY [ENTRY] #ELEMENT @TIME *: VALUE", the star where a key begins. */
static void describe_row(struct fixture *fixture, const struct sb_peek_row *row)
{
    struct sb_buffer line = {.env = fixture->env};
    const size_t used = strlen(fixture->text);

    assert_int_equal(sb_buffer_format(&line, "%s ", row->state->name), SABOT_OK);
    assert_int_equal(sb_inspect_key_json(&line, row->key, SABOT_UTF8), SABOT_OK);
    if (row->has_entry) {
        assert_int_equal(sb_buffer_format(&line, " entry "), SABOT_OK);
        assert_int_equal(sb_inspect_key_json(&line, row->entry, 0), SABOT_OK);
    }
    if (row->element >= 0)
        assert_int_equal(sb_buffer_format(&line, " #%d", (int)row->element), SABOT_OK);
    if (row->state->has_time)
        assert_int_equal(sb_buffer_format(&line, " @%d", (int)row->time_ms), SABOT_OK);
    assert_int_equal(sb_buffer_format(&line, row->begins_key ? " *: " : ": "), SABOT_OK);
    assert_int_equal(sb_inspect_value_json(&line, row), SABOT_OK);
    assert_true(used + line.size + 2 < sizeof fixture->text);
    (void)snprintf(fixture->text + used, sizeof fixture->text - used, "%.*s\n", (int)line.size,
                   (const char *)line.data);
    sb_buffer_reset(&line);
}

/* Read all of it. SABOT_END: it was whole. */
static sabot_status peek_all(struct fixture *fixture, bool describe)
{
    const struct sb_byte_source source = tape_source(&fixture->tape);
    struct sb_peek peek;
    sabot_status status;

    fixture->text[0] = '\0';
    status = sb_peek_begin(&peek, fixture->env, &source, &fixture->error);
    while (status == SABOT_OK) {
        status = sb_peek_next(&peek);
        if (status == SABOT_OK && describe)
            describe_row(fixture, &peek.row);
    }
    sb_peek_reset(&peek);
    return status;
}

static void every_kind_and_type_is_read_by_the_tables_of_the_snapshot(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture);
    snapshot(fixture);
    assert_int_equal(peek_all(fixture, true), SABOT_END);
    assert_string_equal(
        fixture->text,
        "cells \"santiago\" *: {\"flag\":true,\"small\":-2147483648,\"large\":9223372036854775807,"
        "\"real\":[0.1,\"-Infinity\",\"NaN\"],\"when\":-1,"
        "\"city\":\"Val\xc3\xb1\\\"\\u000a\xef\xbf\xbd\"}\n"
        "bytes \"santiago\" *: \"0xff0010\"\n"
        "lists \"santiago\" #0 *: \"a\"\n"
        "lists \"santiago\" #1: \"ab\"\n"
        "lists \"santiago\" #2: \"abc\"\n"
        "maps \"santiago\" entry \"0x01fe\" @5000 *: \"\"\n"
        "maps \"santiago\" entry \"left\" @5000: \"one\"\n"
        "timers \"santiago\" *: 777\n");
}

static void an_empty_shard_has_its_tables_and_no_rows(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_byte_source source = tape_source(&fixture->tape);
    struct sb_peek peek;

    snapshot(fixture);
    assert_int_equal(sb_peek_begin(&peek, fixture->env, &source, &fixture->error), SABOT_OK);
    assert_int_equal(peek.state_count, STATE_COUNT);
    assert_string_equal(peek.states[CELLS].schema, "cell");
    assert_int_equal(peek.states[CELLS].version, 3);
    assert_int_equal(peek.states[CELLS].field_count, 6);
    assert_string_equal(peek.states[CELLS].fields[3].path, "real");
    assert_int_equal(peek.states[CELLS].fields[3].count, 3);
    assert_null(peek.states[BYTES].schema);
    assert_true(peek.states[MAPS].has_time);
    assert_int_equal(sb_peek_next(&peek), SABOT_END);
    sb_peek_reset(&peek);
}

static void every_changed_bit_is_found(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture);
    snapshot(fixture);
    for (size_t bit = 0; bit < 8 * fixture->tape.size; bit++) {
        fixture->tape.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(peek_all(fixture, false), SABOT_ERR_CORRUPT);
        fixture->tape.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(peek_all(fixture, false), SABOT_END);
}

static void one_that_was_cut_is_found_wherever_that_was(void **state)
{
    struct fixture *fixture = *state;
    size_t whole;

    fill(fixture);
    snapshot(fixture);
    whole = fixture->tape.size;
    for (fixture->tape.size = 0; fixture->tape.size < whole; fixture->tape.size++)
        assert_int_equal(peek_all(fixture, false), SABOT_ERR_CORRUPT);
}

/* Changes behind the checksum: what a writer with a bug would write. Any end is fine but a crash,
 * or more than was allowed. */
static void bytes_that_make_no_sense_end_in_an_error_or_a_row(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t seed = sb_random(fixture->env);
    uint64_t random = seed | 1;
    size_t size;

    print_message("seed %llu\n", (unsigned long long)seed);
    fill(fixture);
    snapshot(fixture);
    size = fixture->tape.size - 2UL * SB_BLOCK_HEAD; /* the one block, and the end */
    for (int i = 0; i < 20000; i++) {
        uint64_t sum;
        size_t at;
        uint8_t old;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        at = SB_BLOCK_HEAD + (size_t)(random >> 16) % size;
        old = fixture->tape.bytes[at];
        fixture->tape.bytes[at] = (uint8_t)(random >> 8);
        sum = sb_hash(fixture->tape.bytes + SB_BLOCK_HEAD, size, 0);
        for (size_t byte = 0; byte < 8; byte++)
            fixture->tape.bytes[4 + byte] = (uint8_t)(sum >> (8 * byte));
        (void)peek_all(fixture, false);
        fixture->tape.bytes[at] = old;
    }
}

/* --- Keys ------------------------------------------------------------------------------------- */

static void expect_key(struct fixture *fixture,
                       const char *text,
                       uint32_t type,
                       const char *json,
                       size_t size)
{
    struct sb_buffer bytes = {.env = fixture->env};
    struct sb_buffer shown = {.env = fixture->env};

    assert_int_equal(sb_inspect_key_parse(&bytes, text, type, &fixture->error), SABOT_OK);
    assert_int_equal(bytes.size, size);
    assert_int_equal(
        sb_inspect_key_json(
            &shown, (sabot_text){bytes.data == NULL ? "" : (const char *)bytes.data, bytes.size},
            type),
        SABOT_OK);
    assert_int_equal(shown.size, strlen(json));
    assert_memory_equal(shown.data, json, shown.size);
    sb_buffer_reset(&bytes);
    sb_buffer_reset(&shown);
}

static void keys_are_shown_and_asked_for_by_their_type(void **state)
{
    struct fixture *fixture = *state;

    expect_key(fixture, "42", SABOT_INT64, "42", 8);
    expect_key(fixture, "-9223372036854775808", SABOT_INT64, "-9223372036854775808", 8);
    expect_key(fixture, "-1", SABOT_INT32, "-1", 8);
    expect_key(fixture, "1764101974000", SABOT_TIMESTAMP, "1764101974000", 8);
    expect_key(fixture, "null", SABOT_INT64, "null", 0);
    expect_key(fixture, "true", SABOT_BOOL, "true", 1);
    expect_key(fixture, "false", SABOT_BOOL, "false", 1);
    expect_key(fixture, "42", SABOT_UTF8, "\"42\"", 2);
    expect_key(fixture, "0xff", SABOT_UTF8, "\"0xff\"", 4);
    expect_key(fixture, "", SABOT_UTF8, "\"\"", 0);
    expect_key(fixture, "0xff00", SABOT_BINARY, "\"0xff00\"", 2);
    expect_key(fixture, "ab", SABOT_BINARY, "\"0x6162\"", 2);
    expect_key(fixture, "ab", 0, "\"ab\"", 2);
    expect_key(fixture, "0xff00", 0, "\"0xff00\"", 2);
}

static void a_key_of_another_type_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text;
        uint32_t type;
    } cases[] = {{"x", SABOT_INT64},    {"", SABOT_INT32},      {"1", SABOT_BOOL},
                 {"0xf", SABOT_BINARY}, {"0xfg", SABOT_BINARY}, {"0xFF", 0}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sb_buffer bytes = {.env = fixture->env};

        assert_int_equal(
            sb_inspect_key_parse(&bytes, cases[i].text, cases[i].type, &fixture->error),
            SABOT_ERR_ARGUMENT);
        sb_buffer_reset(&bytes);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_kind_and_type_is_read_by_the_tables_of_the_snapshot),
        TEST(an_empty_shard_has_its_tables_and_no_rows),
        TEST(every_changed_bit_is_found),
        TEST(one_that_was_cut_is_found_wherever_that_was),
        TEST(bytes_that_make_no_sense_end_in_an_error_or_a_row),
        TEST(keys_are_shown_and_asked_for_by_their_type),
        TEST(a_key_of_another_type_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
