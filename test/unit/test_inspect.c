/* SPDX-License-Identifier: Apache-2.0 */
/* test_inspect.c - looking at a state directory: what is there, in which order, and what is said
 * of what is damaged; and what is in it. The checkpoints are written as a worker writes them. */
#include "ckpt_kit.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sabot/inspect.h>

#include "api/inspect.h"
#include "base/hash.h"
#include "ckpt/folder.h"
#include "state/peek.h"
#include "state/store.h"

enum { PATH_SIZE = 512 };

struct fixture {
    char folder[64];
    struct sb_env *env;
    sabot_inspection *inspection;
    sabot_error error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL)
        return -1;
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/sabot_inspect_XXXXXX");
    *state = fixture;
    return mkdtemp(fixture->folder) == NULL ||
                   sb_os_env_create(&fixture->env, &fixture->error) != SABOT_OK
               ? -1
               : 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sabot_inspection_close(fixture->inspection);
    sb_os_env_destroy(fixture->env);
    if (nftw(fixture->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    free(fixture);
    return 0;
}

/* A checkpoint whose nonce is 16 times its id, with `text` as its state. */
static void write_checkpoint(struct fixture *fixture,
                             const char *app,
                             const char *pipeline,
                             int64_t id,
                             const char *text)
{
    const sabot_text part = sabot_text_of(text);
    struct sb_manifest manifest;
    struct sb_ckpt_folder folder;

    assert_int_equal(
        sb_ckpt_folder_open(&folder, fixture->env, fixture->folder, app, pipeline, &fixture->error),
        SABOT_OK);
    sb_manifest_init(&manifest, fixture->env);
    manifest.app = app;
    manifest.pipeline = pipeline;
    manifest.id = id;
    manifest.nonce = 16 * (uint64_t)id;
    manifest.time_ms = sb_wall_ms(fixture->env) - 5000;
    manifest.finished = id == 3;
    assert_int_equal(ckpt_kit_write(&folder, &manifest, SB_FILE_STATE, part, &fixture->error),
                     SABOT_OK);
    sb_manifest_reset(&manifest);
    sb_ckpt_folder_close(&folder);
}

static void look(struct fixture *fixture)
{
    sabot_inspection_close(fixture->inspection);
    assert_int_equal(sabot_inspection_open(fixture->folder, &fixture->inspection, &fixture->error),
                     SABOT_OK);
}

static sabot_checkpoint_info info_at(const struct fixture *fixture, size_t index)
{
    sabot_checkpoint_info info;

    assert_true(sabot_inspection_checkpoint(fixture->inspection, index, &info));
    return info;
}

static void expect_count(const struct fixture *fixture, size_t count)
{
    sabot_checkpoint_info info;

    assert_true(count == 0 || sabot_inspection_checkpoint(fixture->inspection, count - 1, &info));
    assert_false(sabot_inspection_checkpoint(fixture->inspection, count, &info));
}

static void file_of(const sabot_checkpoint_info *info, const char *name, char path[PATH_SIZE])
{
    (void)snprintf(path, PATH_SIZE, "%s/%s", info->path, name);
}

/* Overwrite one byte of a file of the first checkpoint. */
static void damage(const struct fixture *fixture, const char *name, long at)
{
    const sabot_checkpoint_info info = info_at(fixture, 0);
    char path[PATH_SIZE];
    FILE *file;
    int byte;

    file_of(&info, name, path);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

static void checkpoints_come_by_app_and_pipeline_and_newest_first(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *app, *pipeline;
        int64_t id;
    } expected[] = {
        {"bank", "fraud", 3}, {"bank", "fraud", 2}, {"bank", "score", 1}, {"words", "count", 7}};

    write_checkpoint(fixture, "words", "count", 7, "a state");
    write_checkpoint(fixture, "bank", "score", 1, "");
    write_checkpoint(fixture, "bank", "fraud", 2, "older");
    write_checkpoint(fixture, "bank", "fraud", 3, "newer");
    look(fixture);
    expect_count(fixture, 4);
    for (size_t i = 0; i < 4; i++) {
        const sabot_checkpoint_info info = info_at(fixture, i);

        assert_string_equal(info.app, expected[i].app);
        assert_string_equal(info.pipeline, expected[i].pipeline);
        assert_int_equal(info.id, expected[i].id);
        assert_int_equal(info.nonce, 16 * expected[i].id);
        assert_int_equal(info.condition, SABOT_WHOLE);
        assert_string_equal(info.reason, "");
        assert_int_equal(info.finished, info.id == 3);
        assert_true(info.age_ms >= 5000);
        assert_int_equal(sabot_inspection_verify(fixture->inspection, i, &fixture->error),
                         SABOT_OK);
    }
    assert_int_equal(info_at(fixture, 3).bytes, strlen("a state"));
}

static void an_empty_folder_has_none_and_nothing_is_made_in_it(void **state)
{
    struct fixture *fixture = *state;
    DIR *directory;
    size_t count = 0;

    look(fixture);
    expect_count(fixture, 0);
    directory = opendir(fixture->folder);
    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(count, 2); /* itself, and the one above */
}

static void a_folder_that_is_missing_is_named(void **state)
{
    struct fixture *fixture = *state;
    sabot_inspection *inspection;

    assert_int_equal(sabot_inspection_open("/nonexistent/x", &inspection, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    assert_null(inspection);
    assert_non_null(strstr(fixture->error.text, "/nonexistent/x"));
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char path[SB_CKPT_PATH_MAX];

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(sabot_inspection_open(path, &fixture->inspection, &fixture->error),
                     SABOT_ERR_LIMIT);
}

static void a_changed_bit_of_the_state_is_found_by_verify(void **state)
{
    struct fixture *fixture = *state;

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    damage(fixture, "state", 3);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, info_at(fixture, 0).path));
    assert_non_null(strstr(fixture->error.text, "/state: "));
}

static void every_changed_byte_of_a_manifest_is_found(void **state)
{
    struct fixture *fixture = *state;
    struct stat file;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "manifest", path);
    assert_int_equal(stat(path, &file), 0);
    for (long at = 0; at < file.st_size; at++) {
        damage(fixture, "manifest", at);
        look(fixture);
        assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
        assert_non_null(strstr(info_at(fixture, 0).reason, "/manifest: "));
        assert_int_equal(info_at(fixture, 0).age_ms, -1);
        damage(fixture, "manifest", at); /* back */
    }
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
}

static void a_state_that_was_cut_or_is_gone_is_damage(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "state", path);
    assert_int_equal(truncate(path, 3), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_non_null(strstr(info_at(fixture, 0).reason, "it has 3 bytes, and the manifest says 7"));
    assert_int_equal(unlink(path), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_non_null(strstr(info_at(fixture, 0).reason, "/state: it is gone"));
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_CORRUPT);
}

static void one_without_a_manifest_is_partial(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    look(fixture);
    const sabot_checkpoint_info info = info_at(fixture, 0);
    file_of(&info, "manifest", path);
    assert_int_equal(unlink(path), 0);
    /* Removed since it was looked at: that is no damage. */
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    look(fixture);
    expect_count(fixture, 1);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_PARTIAL);
    assert_int_equal(info_at(fixture, 0).time_ms, 0);
}

static void one_of_another_pipeline_is_damage_and_one_moved_aside_is_not(void **state)
{
    struct fixture *fixture = *state;
    char from[PATH_SIZE];
    char to[PATH_SIZE];

    write_checkpoint(fixture, "words", "count", 1, "a state");
    (void)snprintf(from, sizeof from, "%s/words/count", fixture->folder);
    (void)snprintf(to, sizeof to, "%s/words/count.reset-17", fixture->folder);
    assert_int_equal(rename(from, to), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_WHOLE);
    assert_true(info_at(fixture, 0).moved_aside);
    assert_string_equal(info_at(fixture, 0).pipeline, "count.reset-17");
    assert_int_equal(rename(to, from), 0);
    (void)snprintf(to, sizeof to, "%s/words/other.reset-x", fixture->folder);
    assert_int_equal(rename(from, to), 0);
    look(fixture);
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_false(info_at(fixture, 0).moved_aside);
}

static void what_is_no_checkpoint_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_SIZE];
    FILE *file;

    write_checkpoint(fixture, "words", "count", 1, "a state");
    (void)snprintf(path, sizeof path, "%s/README", fixture->folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/words/count/ckpt-1-1", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/lost+found", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    look(fixture);
    expect_count(fixture, 1);
    assert_int_equal(sabot_inspection_verify(fixture->inspection, 1, &fixture->error),
                     SABOT_ERR_ARGUMENT);
}

/* --- What is in them ---------------------------------------------------------------------------
 */

struct tally {
    int64_t id;
};
static const sabot_field tally_fields[] = {
    SABOT_FIELD(struct tally, id, "id", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema tally_table = SABOT_SCHEMA("tally", 2, struct tally, tally_fields);

enum { KEYS = 300 };

static sabot_text key_of(int64_t number, uint8_t bytes[8])
{
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(((uint64_t)number ^ (UINT64_C(1) << 63)) >> (8 * (7 - i)));
    return (sabot_text){(const char *)bytes, 8};
}

static sabot_status append(void *context, const void *bytes, size_t size, sabot_error *error)
{
    (void)error;
    return sb_buffer_append(context, bytes, size);
}

/* Shards of a state where each of 300 keys has the id of the checkpoint. */
static void snapshot(struct fixture *fixture,
                     int64_t id,
                     struct sb_manifest_shard *shards,
                     struct sb_buffer *bytes)
{
    struct sb_state_spec spec = {.name = "tallies", .kind = SB_STATE_VALUE};
    const struct sb_store_config config = {
        .env = fixture->env, .owner = "count", .states = &spec, .state_count = 1, .hash_seed = 7};
    const struct sb_byte_sink sink = {append, bytes};
    struct sb_schema *schema;
    struct sb_store *store;
    uint8_t scratch[8];

    assert_int_equal(
        sb_schema_create(fixture->env, &tally_table, SB_SCHEMA_STATE, &schema, &fixture->error),
        SABOT_OK);
    spec.schema = schema;
    assert_int_equal(sb_store_create(&config, &store, &fixture->error), SABOT_OK);
    for (int64_t i = 0; i < KEYS; i++) {
        const sabot_text key = key_of(i - 1, scratch);
        struct tally *tally = sb_store_edit(store, 0, key, sb_hash(key.data, key.size, 7), NULL);

        assert_non_null(tally);
        tally->id = id;
    }
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++) {
        shards[i] = (struct sb_manifest_shard){.shard = i, .start = bytes->size};
        assert_int_equal(sb_store_snapshot(store, i, &sink, &fixture->error), SABOT_OK);
        shards[i].size = bytes->size - shards[i].start;
    }
    sb_store_destroy(store);
    sb_schema_destroy(schema);
}

static void write_state(struct fixture *fixture, int64_t id)
{
    struct sb_manifest_shard shards[SB_SHARD_COUNT];
    struct sb_manifest_task task = {
        .name = "count", .key_type = SABOT_INT32, .shard_count = SB_SHARD_COUNT, .shards = shards};
    struct sb_buffer bytes = {.env = fixture->env};
    struct sb_manifest manifest;
    struct sb_ckpt_folder folder;

    snapshot(fixture, id, shards, &bytes);
    assert_int_equal(sb_ckpt_folder_open(&folder, fixture->env, fixture->folder, "words", "split",
                                         &fixture->error),
                     SABOT_OK);
    sb_manifest_init(&manifest, fixture->env);
    manifest.app = "words";
    manifest.pipeline = "split";
    manifest.id = id;
    manifest.nonce = 5;
    manifest.time_ms = 1;
    manifest.hash_seed = 7;
    manifest.tasks = &task;
    manifest.task_count = 1;
    assert_int_equal(ckpt_kit_write(&folder, &manifest, SB_FILE_STATE,
                                    (sabot_text){(const char *)bytes.data, bytes.size},
                                    &fixture->error),
                     SABOT_OK);
    sb_manifest_reset(&manifest);
    sb_ckpt_folder_close(&folder);
    sb_buffer_reset(&bytes);
}

struct seen {
    uint32_t rows;
    uint32_t rows_max;
    char key[32]; /* of the last one */
    char value[64];
};

static sabot_status see(void *context, const sabot_state_row *row)
{
    struct seen *seen = context;

    if (seen->rows == seen->rows_max)
        return SABOT_END;
    seen->rows++;
    (void)snprintf(seen->key, sizeof seen->key, "%.*s", (int)row->key.size, row->key.data);
    (void)snprintf(seen->value, sizeof seen->value, "%.*s", (int)row->value.size, row->value.data);
    return SABOT_OK;
}

static void expect_row(struct fixture *fixture, const char *key, const char *value)
{
    struct seen seen = {.rows_max = UINT32_MAX};

    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, key, see, &seen, &fixture->error), SABOT_OK);
    assert_int_equal(seen.rows, 1);
    assert_string_equal(seen.key, key);
    assert_string_equal(seen.value, value);
}

static void states_are_counted_over_all_shards(void **state)
{
    struct fixture *fixture = *state;
    sabot_state_info info;

    write_state(fixture, 1);
    look(fixture);
    assert_false(sabot_inspection_state(fixture->inspection, 0, &info));
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    assert_true(sabot_inspection_state(fixture->inspection, 0, &info));
    assert_string_equal(info.app, "words");
    assert_string_equal(info.agent, "count");
    assert_string_equal(info.name, "tallies");
    assert_string_equal(info.kind, "value");
    assert_string_equal(info.key_type, "int32");
    assert_string_equal(info.schema, "tally");
    assert_string_equal(info.fields, "id int64");
    assert_int_equal(info.version, 2);
    assert_int_equal(info.keys, KEYS);
    assert_int_equal(info.rows, KEYS);
    assert_int_equal(info.bytes, KEYS * 16);
    assert_false(sabot_inspection_state(fixture->inspection, 1, &info));
}

static void every_key_is_found_by_itself_and_none_else(void **state)
{
    struct fixture *fixture = *state;
    struct seen seen = {.rows_max = UINT32_MAX};
    char key[32];

    write_state(fixture, 1);
    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "%d", i - 1);
        expect_row(fixture, key, "{\"id\":1}");
    }
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, "300", see, &seen, &fixture->error),
        SABOT_OK);
    assert_int_equal(seen.rows, 0);
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, "x", see, &seen, &fixture->error),
        SABOT_ERR_ARGUMENT);
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 1, NULL, see, &seen, &fixture->error),
        SABOT_ERR_ARGUMENT);
}

/* What a row of a table with texts, kept by itself, looks like as JSON. */
static void rows_of_tables_are_told_field_by_field(void **state)
{
    static char bytes[] = "####\x02\0\0\0a\"\xff\xff\xff\xff\x01\x07\0\0\0\x02\0\0\0\x00\xfe";
    struct sb_peek_field fields[] = {{"name", SABOT_UTF8, 16, 1},
                                     {"city", SABOT_UTF8, 16, 1},
                                     {"gone", SABOT_BOOL, 1, 1},
                                     {"rank", SABOT_INT32, 4, 1},
                                     {"raw", SABOT_BINARY, 16, 1}};
    const struct sb_peek_state table = {.name = "row",
                                        .kind = SB_STATE_VALUE,
                                        .has_rows = true,
                                        .schema = "customer",
                                        .field_count = 5,
                                        .fields = fields};
    struct sb_peek_row row = {.state = &table, .value = {bytes, sizeof bytes - 1}};
    const struct fixture *fixture = *state;
    struct sb_buffer out = {.env = fixture->env};
    static const char json[] =
        "{\"name\":\"a\\\"\",\"city\":null,\"gone\":true,\"rank\":7,\"raw\":\"0x00fe\"}";

    assert_int_equal(sb_inspect_value_json(&out, &row), SABOT_OK);
    assert_int_equal(out.size, sizeof json - 1);
    assert_memory_equal(out.data, json, out.size);
    row.value.size--; /* cut: as it is */
    out.size = 0;
    assert_int_equal(sb_inspect_value_json(&out, &row), SABOT_OK);
    assert_memory_equal(out.data, "\"0x23232323", 11);
    sb_buffer_reset(&out);
}

static void rows_end_when_their_reader_has_enough(void **state)
{
    struct fixture *fixture = *state;
    struct seen all = {.rows_max = UINT32_MAX};
    struct seen few = {.rows_max = 9};

    write_state(fixture, 1);
    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, NULL, see, &all, &fixture->error), SABOT_OK);
    assert_int_equal(all.rows, KEYS);
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, NULL, see, &few, &fixture->error), SABOT_END);
    assert_int_equal(few.rows, 9);
}

static void the_newest_whole_checkpoint_is_loaded_or_the_one_asked_for(void **state)
{
    struct fixture *fixture = *state;

    write_state(fixture, 1);
    write_state(fixture, 2);
    write_state(fixture, 3);
    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    expect_row(fixture, "7", "{\"id\":3}");
    assert_int_equal(sabot_inspection_load(fixture->inspection, 1, &fixture->error), SABOT_OK);
    expect_row(fixture, "7", "{\"id\":1}");
    damage(fixture, "state", 4000);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    expect_row(fixture, "7", "{\"id\":2}");
    assert_int_equal(info_at(fixture, 0).condition, SABOT_DAMAGED);
    assert_non_null(strstr(info_at(fixture, 0).reason, "/state: "));
}

static void a_damaged_one_or_none_is_not_loaded(void **state)
{
    struct fixture *fixture = *state;
    sabot_state_info info;

    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    write_state(fixture, 1);
    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 2, &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    damage(fixture, "state", 4000);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 1, &fixture->error),
                     SABOT_ERR_CORRUPT);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, NULL), SABOT_ERR_CORRUPT);
    assert_false(sabot_inspection_state(fixture->inspection, 0, &info));
}

static void what_breaks_after_the_load_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct seen seen = {.rows_max = UINT32_MAX};

    write_state(fixture, 1);
    look(fixture);
    assert_int_equal(sabot_inspection_load(fixture->inspection, 0, &fixture->error), SABOT_OK);
    damage(fixture, "state", 60);
    assert_int_equal(
        sabot_inspection_rows(fixture->inspection, 0, NULL, see, &seen, &fixture->error),
        SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "/state, shard 0: "));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoints_come_by_app_and_pipeline_and_newest_first),
        TEST(an_empty_folder_has_none_and_nothing_is_made_in_it),
        TEST(a_folder_that_is_missing_is_named),
        TEST(a_path_that_is_too_long_is_refused),
        TEST(a_changed_bit_of_the_state_is_found_by_verify),
        TEST(every_changed_byte_of_a_manifest_is_found),
        TEST(a_state_that_was_cut_or_is_gone_is_damage),
        TEST(one_without_a_manifest_is_partial),
        TEST(one_of_another_pipeline_is_damage_and_one_moved_aside_is_not),
        TEST(what_is_no_checkpoint_is_passed_over),
        TEST(states_are_counted_over_all_shards),
        TEST(every_key_is_found_by_itself_and_none_else),
        TEST(rows_of_tables_are_told_field_by_field),
        TEST(rows_end_when_their_reader_has_enough),
        TEST(the_newest_whole_checkpoint_is_loaded_or_the_one_asked_for),
        TEST(a_damaged_one_or_none_is_not_loaded),
        TEST(what_breaks_after_the_load_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
