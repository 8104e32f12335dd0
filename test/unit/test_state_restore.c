/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_restore.c - state in the hands of a newer app: fields by name, versions, kinds, from
 * the logical form and from an image; and bytes that were damaged on the way. */
#include "tape.h"
#include "test.h"

struct old_cell {
    int64_t count;
    double gone;
    char city[8];
    int32_t last[2];
};

struct new_cell {
    bool fresh;
    char city[16];
    int32_t last[4];
    int64_t limit;
    int64_t count;
};

struct odd_cell {
    double count;
};

static const sabot_field old_fields[] = {
    SABOT_FIELD(struct old_cell, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct old_cell, gone, "gone", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct old_cell, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct old_cell, last, "last", SABOT_INT32),
};
static const sabot_field new_fields[] = {
    SABOT_FIELD(struct new_cell, fresh, "fresh", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD(struct new_cell, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct new_cell, last, "last", SABOT_INT32),
    SABOT_FIELD_DEFAULT(struct new_cell, limit, "limit", SABOT_INT64, "500"),
    SABOT_FIELD(struct new_cell, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_field odd_fields[] = {
    SABOT_FIELD(struct odd_cell, count, "count", SABOT_FLOAT64, SABOT_OPTIONAL),
};

static const sabot_schema old_table = SABOT_SCHEMA("cell", 1, struct old_cell, old_fields);
static const sabot_schema new_table = SABOT_SCHEMA("cell", 2, struct new_cell, new_fields);
static const sabot_schema new_table_same = SABOT_SCHEMA("cell", 1, struct new_cell, new_fields);
static const sabot_schema odd_table = SABOT_SCHEMA("cell", 2, struct odd_cell, odd_fields);

struct fixture {
    struct sb_env *env;
    struct sb_schema *schemas[2];
    struct sb_store *stores[2];
    struct tape tape;
    bool by_image;
    sabot_error error;
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int make_image_fixture(void **state)
{
    if (make_fixture(state) != 0)
        return -1;
    ((struct fixture *)*state)->by_image = true;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 2; i++) {
        sb_store_destroy(fixture->stores[i]);
        sb_schema_destroy(fixture->schemas[i]);
    }
    tape_reset(&fixture->tape);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static struct sb_store *open_store(struct fixture *fixture,
                                   int i,
                                   const sabot_schema *table,
                                   enum sb_state_kind kind,
                                   const char *name)
{
    struct sb_state_spec spec = {.name = name, .kind = kind};
    const struct sb_store_config config = {
        .env = fixture->env, .owner = "agent", .states = &spec, .state_count = 1};

    if (table != NULL)
        assert_int_equal(sb_schema_create(fixture->env, table, SB_SCHEMA_STATE,
                                          &fixture->schemas[i], &fixture->error),
                         SABOT_OK);
    spec.schema = fixture->schemas[i];
    assert_int_equal(sb_store_create(&config, &fixture->stores[i], &fixture->error), SABOT_OK);
    return fixture->stores[i];
}

static void close_second(struct fixture *fixture)
{
    sb_store_destroy(fixture->stores[1]);
    sb_schema_destroy(fixture->schemas[1]);
    fixture->stores[1] = NULL;
    fixture->schemas[1] = NULL;
}

static const sabot_text key = {"santiago", 8};

static uint64_t hash(void)
{
    return sb_hash(key.data, key.size, 0);
}

static sabot_status restore_image(struct fixture *fixture)
{
    const struct sb_image_file file = tape_image_file(&fixture->tape);
    struct sb_image *image;
    sabot_status status;

    assert_int_equal(sb_image_open(fixture->env, &file, 1, 0, &image, &fixture->error), SABOT_OK);
    status =
        sb_store_restore_image(fixture->stores[1], image, sb_hash_shard(hash()), &fixture->error);
    sb_image_close(image);
    return status;
}

static void snapshot(struct fixture *fixture)
{
    const struct sb_byte_sink sink = tape_sink(&fixture->tape);

    if (fixture->by_image) {
        tape_take_image(&fixture->tape, fixture->stores[0], 0);
        return;
    }
    assert_int_equal(sb_store_snapshot(fixture->stores[0], sb_hash_shard(hash()), &sink, NULL),
                     SABOT_OK);
}

static sabot_status restore(struct fixture *fixture)
{
    const struct sb_byte_source source = tape_source(&fixture->tape);

    if (fixture->by_image)
        return restore_image(fixture);
    return sb_store_restore(fixture->stores[1], &source, &fixture->error);
}

/* A snapshot with one cell of the old table. */
static void save_old_cell(struct fixture *fixture)
{
    struct old_cell *cell;

    open_store(fixture, 0, &old_table, SB_STATE_VALUE, "cells");
    cell = sb_store_edit(fixture->stores[0], 0, key, hash(), NULL);
    *cell = (struct old_cell){.count = 7, .gone = 1.5, .city = "Arica", .last = {3, -4}};
    snapshot(fixture);
}

static void a_newer_table_finds_its_fields_by_name(void **state)
{
    struct fixture *fixture = *state;
    const struct new_cell *cell;

    save_old_cell(fixture);
    open_store(fixture, 1, &new_table, SB_STATE_VALUE, "cells");
    assert_int_equal(restore(fixture), SABOT_OK);
    cell = sb_store_read(fixture->stores[1], 0, key, hash());
    assert_int_equal(cell->count, 7);
    assert_string_equal(cell->city, "Arica");
    assert_int_equal(cell->last[0], 3);
    assert_int_equal(cell->last[1], -4);
    assert_int_equal(cell->last[2], 0);
    assert_int_equal(cell->limit, 500); /* added: its default */
    assert_false(cell->fresh);
}

static void a_changed_table_of_the_same_version_is_refused(void **state)
{
    struct fixture *fixture = *state;

    save_old_cell(fixture);
    open_store(fixture, 1, &new_table_same, SB_STATE_VALUE, "cells");
    assert_int_equal(restore(fixture), SABOT_ERR_SCHEMA);
    assert_non_null(strstr(fixture->error.text, "raise the version"));
}

static void a_field_of_another_type_is_refused(void **state)
{
    struct fixture *fixture = *state;

    save_old_cell(fixture);
    open_store(fixture, 1, &odd_table, SB_STATE_VALUE, "cells");
    assert_int_equal(restore(fixture), SABOT_ERR_SCHEMA);
    assert_non_null(
        strstr(fixture->error.text, "state cells of agent agent, field count: it is int64"));
}

static void an_older_app_refuses_what_a_newer_one_wrote(void **state)
{
    struct fixture *fixture = *state;

    open_store(fixture, 0, &new_table, SB_STATE_VALUE, "cells");
    snapshot(fixture);
    open_store(fixture, 1, &new_table_same, SB_STATE_VALUE, "cells");
    assert_int_equal(restore(fixture), SABOT_ERR_SCHEMA);
    assert_non_null(strstr(fixture->error.text, "written by a newer app"));
}

static void a_field_that_shrinks_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const sabot_schema older = SABOT_SCHEMA("cell", 3, struct old_cell, old_fields);

    open_store(fixture, 0, &new_table, SB_STATE_VALUE, "cells");
    snapshot(fixture);
    open_store(fixture, 1, &older, SB_STATE_VALUE, "cells");
    assert_int_equal(restore(fixture), SABOT_ERR_SCHEMA);
    assert_non_null(strstr(fixture->error.text, "may grow, but not shrink"));
}

static void another_kind_name_or_form_of_a_state_is_refused(void **state)
{
    static const struct {
        const sabot_schema *table;
        enum sb_state_kind kind;
        const char *name;
        const char *error;
    } cases[] = {
        {&old_table, SB_STATE_LIST, "cells", "another kind"},
        {&old_table, SB_STATE_VALUE, "others", "does not declare"},
        {NULL, SB_STATE_VALUE, "cells", "a struct in the snapshot and bytes in the app"},
    };
    struct fixture *fixture = *state;

    save_old_cell(fixture);
    for (int i = 0; i < 3; i++) {
        open_store(fixture, 1, cases[i].table, cases[i].kind, cases[i].name);
        assert_int_equal(restore(fixture), SABOT_ERR_SCHEMA);
        assert_non_null(strstr(fixture->error.text, cases[i].error));
        close_second(fixture);
    }
}

static void every_flipped_byte_and_every_cut_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    size_t whole;

    save_old_cell(fixture);
    whole = fixture->tape.size;
    for (size_t i = 0; i < whole; i++) {
        open_store(fixture, 1, &old_table, SB_STATE_VALUE, "cells");
        fixture->tape.bytes[i] ^= 0x20;
        assert_int_equal(restore(fixture), SABOT_ERR_CORRUPT);
        fixture->tape.bytes[i] ^= 0x20;
        close_second(fixture);
    }
    for (fixture->tape.size = 0; fixture->tape.size < whole; fixture->tape.size++) {
        open_store(fixture, 1, &old_table, SB_STATE_VALUE, "cells");
        assert_int_equal(restore(fixture), SABOT_ERR_CORRUPT);
        close_second(fixture);
    }
}

/* The state next to it is new: nothing of the image fits, and all of it is found. */
static void a_state_that_was_added_is_empty_and_the_others_are_as_they_were(void **state)
{
    struct fixture *fixture = *state;
    struct sb_state_spec specs[2] = {{.name = "added", .kind = SB_STATE_LIST},
                                     {.name = "cells", .kind = SB_STATE_VALUE}};
    const struct sb_store_config config = {
        .env = fixture->env, .owner = "agent", .states = specs, .state_count = 2};
    const struct old_cell *cell;

    save_old_cell(fixture);
    specs[1].schema = fixture->schemas[0];
    assert_int_equal(sb_store_create(&config, &fixture->stores[1], &fixture->error), SABOT_OK);
    assert_int_equal(restore(fixture), SABOT_OK);
    cell = sb_store_read(fixture->stores[1], 1, key, hash());
    assert_int_equal(cell->count, 7);
    assert_string_equal(cell->city, "Arica");
    assert_int_equal(sb_list_count(fixture->stores[1], 0, key, hash()), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)
#define IMAGE(name) cmocka_unit_test_setup_teardown(name, make_image_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_newer_table_finds_its_fields_by_name),
        TEST(a_changed_table_of_the_same_version_is_refused),
        TEST(a_field_of_another_type_is_refused),
        TEST(an_older_app_refuses_what_a_newer_one_wrote),
        TEST(a_field_that_shrinks_is_refused),
        TEST(another_kind_name_or_form_of_a_state_is_refused),
        TEST(a_state_that_was_added_is_empty_and_the_others_are_as_they_were),
        TEST(every_flipped_byte_and_every_cut_is_noticed),
        IMAGE(a_newer_table_finds_its_fields_by_name),
        IMAGE(a_changed_table_of_the_same_version_is_refused),
        IMAGE(a_field_of_another_type_is_refused),
        IMAGE(an_older_app_refuses_what_a_newer_one_wrote),
        IMAGE(a_field_that_shrinks_is_refused),
        IMAGE(another_kind_name_or_form_of_a_state_is_refused),
        IMAGE(a_state_that_was_added_is_empty_and_the_others_are_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
