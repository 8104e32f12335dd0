/* SPDX-License-Identifier: Apache-2.0 */
/* test_copy.c - a savepoint made of a checkpoint: it is the state at the barrier to the byte, in
 * memory for one shard; the checkpoint stays meanwhile, and the stream goes on. */
#include "words_app.h"

#include <ftw.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/run.h"
#include "ckpt/copy.h"
#include "ckpt/prune.h"
#include "data/schema.h"
#include "state/image.h"

enum { KEYS = 40000, NODE = 3, VALUE_SIZE = 96 };

struct value {
    int64_t number;
    char text[VALUE_SIZE - 8];
};

static const sabot_field value_fields[] = {
    SABOT_FIELD(struct value, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct value, text, "text", SABOT_CHARS, SABOT_OPTIONAL),
};
static const sabot_schema value_table = SABOT_SCHEMA("value", 1, struct value, value_fields);

struct fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_store *store;
    struct sb_waker *waker;
    char path[64];
    struct sb_ckpt_folder from;
    struct sb_ckpt_folder to;
    struct sb_manifest manifest; /* of the checkpoint */
    struct sb_manifest_task task;
    struct sb_buffer shards[SB_SHARD_COUNT]; /* in their logical form, at the barrier */
    sabot_error error;
};

/* --- A checkpoint --------------------------------------------------------------------------------
 */

static void update(struct fixture *fixture, uint64_t key)
{
    const sabot_text text = {(const char *)&key, sizeof key};
    struct value *value;

    assert_int_equal(sb_store_begin(fixture->store, 0, &fixture->error), SABOT_OK);
    value = sb_store_edit(fixture->store, 0, text, sb_hash(&key, sizeof key, 1), &fixture->error);
    assert_non_null(value);
    value->number++;
}

static void *take(void *context, bool must)
{
    (void)context;
    (void)must;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void give(void *context, void *block, uint32_t size)
{
    sabot_error error;

    if (size > 0)
        assert_int_equal(sb_ckpt_append(context, block, size, &error), SABOT_OK);
    free(block);
}

static void write_checkpoint(struct fixture *fixture)
{
    struct sb_ckpt_writer writer;
    const struct sb_ckpt_entry entry = {.id = 7, .nonce = 77};
    const struct sb_image_config image = {.node = NODE, .id = 7, .sink = {take, give, &writer}};

    assert_int_equal(sb_ckpt_begin(&writer, &fixture->from, &entry, &fixture->error), SABOT_OK);
    sb_store_image_begin(fixture->store, &image);
    while (sb_store_image_step(fixture->store, 64) != SB_IMAGE_DONE)
        update(fixture, 3); /* after the barrier: not part of it */
    assert_int_equal(sb_store_image_end(fixture->store, &fixture->error), SABOT_OK);
    sb_manifest_init(&fixture->manifest, fixture->env);
    fixture->task = (struct sb_manifest_task){
        .name = "agent", .watermark_ms = 5, .has_image = true, .image_node = NODE};
    fixture->manifest.app = "app";
    fixture->manifest.pipeline = "pipe";
    fixture->manifest.id = entry.id;
    fixture->manifest.nonce = entry.nonce;
    fixture->manifest.origin = 9;
    fixture->manifest.hash_seed = 1;
    fixture->manifest.task_count = 1;
    fixture->manifest.tasks = &fixture->task;
    assert_int_equal(sb_ckpt_finish(&writer, &fixture->manifest, NULL, 0, &fixture->error),
                     SABOT_OK);
}

static int setup(void **state)
{
    static const struct sb_state_spec spec = {.name = "v", .kind = SB_STATE_VALUE};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sb_state_spec own = spec;
    char saved[80];
    struct sb_store_config config = {
        .owner = "agent", .states = &own, .state_count = 1, .hash_seed = 1};

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    *state = fixture;
    if (!test_folder(fixture->path, sizeof fixture->path, "copy"))
        return -1;
    assert_int_equal(sb_schema_create(fixture->env, &value_table, SB_SCHEMA_STATE, &fixture->schema,
                                      &fixture->error),
                     SABOT_OK);
    (void)snprintf(saved, sizeof saved, "%s/saved", fixture->path);
    own.schema = fixture->schema;
    config.env = fixture->env;
    assert_int_equal(sb_store_create(&config, &fixture->store, &fixture->error), SABOT_OK);
    assert_int_equal(fixture->env->type->waker_create(fixture->env->self, &fixture->waker, NULL),
                     SABOT_OK);
    assert_int_equal(sb_ckpt_folder_open(&fixture->from, fixture->env, fixture->path, "app", "pipe",
                                         &fixture->error),
                     SABOT_OK);
    assert_int_equal(
        sb_ckpt_folder_open(&fixture->to, fixture->env, saved, "app", "pipe", &fixture->error),
        SABOT_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        update(fixture, key);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        const struct sb_byte_sink sink = {sb_buffer_take, &fixture->shards[shard]};

        sb_buffer_init(&fixture->shards[shard], fixture->env);
        assert_int_equal(sb_store_snapshot(fixture->store, shard, &sink, &fixture->error),
                         SABOT_OK);
    }
    write_checkpoint(fixture);
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++)
        sb_buffer_reset(&fixture->shards[shard]);
    sb_manifest_reset(&fixture->manifest);
    sb_ckpt_folder_close(&fixture->from);
    sb_ckpt_folder_close(&fixture->to);
    fixture->env->type->waker_destroy(fixture->env->self, fixture->waker);
    sb_store_destroy(fixture->store);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    (void)nftw(fixture->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

/* --- Copies --------------------------------------------------------------------------------------
 */

static struct sb_copy_config config_of(const struct fixture *fixture)
{
    return (struct sb_copy_config){
        .env = fixture->env,
        .from = &fixture->from,
        .entry = {.id = fixture->manifest.id, .nonce = fixture->manifest.nonce},
        .to = &fixture->to,
        .only_shard = SB_COPY_ALL,
        .owner = fixture->waker,
    };
}

static struct sb_copy_result make(struct fixture *fixture, const struct sb_copy_config *config)
{
    struct sb_copy_result result;
    struct sb_copy *copy;

    assert_int_equal(sb_copy_start(config, &copy, &fixture->error), SABOT_OK);
    while (!sb_copy_is_done(copy))
        fixture->env->type->wait(fixture->env->self, fixture->waker, INT64_MAX);
    sb_copy_end(copy, &result);
    return result;
}

/* How many entries the savepoint's folder of the pipeline has. */
static uint32_t count_copies(const struct fixture *fixture)
{
    struct sb_ckpt_entry *entries;
    uint32_t count;

    assert_int_equal(sb_ckpt_list(&fixture->to, &entries, &count, NULL), SABOT_OK);
    sb_free_array(fixture->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    return count;
}

/* The shards of the copy are those at the barrier; only this one, or all. */
static void expect_shards(struct fixture *fixture,
                          const struct sb_copy_result *result,
                          uint32_t only_shard)
{
    struct sb_manifest manifest;
    const struct sb_manifest_task *task;
    struct sb_file *file;

    sb_manifest_init(&manifest, fixture->env);
    assert_int_equal(sb_ckpt_read(&fixture->to, &result->entry, &manifest, &fixture->error),
                     SABOT_OK);
    assert_int_equal(sb_ckpt_verify(&fixture->to, &manifest, &fixture->error), SABOT_OK);
    assert_int_equal(manifest.checksum, result->checksum);
    assert_int_equal(manifest.id, fixture->manifest.id);
    assert_int_equal(manifest.origin, 0);
    assert_int_equal(manifest.task_count, 1);
    task = &manifest.tasks[0];
    assert_false(task->has_image);
    assert_int_equal(task->watermark_ms, 5);
    assert_int_equal(task->shard_count, only_shard == SB_COPY_ALL ? SB_SHARD_COUNT : 1);
    assert_int_equal(sb_ckpt_open_file(&fixture->to, &manifest, 0, &file, &fixture->error),
                     SABOT_OK);
    for (uint32_t i = 0; i < task->shard_count; i++) {
        const struct sb_manifest_shard *shard = &task->shards[i];
        const struct sb_buffer *expected = &fixture->shards[shard->shard];
        uint8_t *bytes = malloc(shard->size);
        size_t size;

        assert_non_null(bytes);
        assert_int_equal(shard->shard, only_shard == SB_COPY_ALL ? i : only_shard);
        assert_int_equal(shard->size, expected->size);
        assert_int_equal(fixture->env->type->file_read(file, bytes, shard->size,
                                                       (int64_t)shard->start, &size, NULL),
                         SABOT_OK);
        assert_int_equal(size, shard->size);
        assert_memory_equal(bytes, expected->data, shard->size);
        free(bytes);
    }
    fixture->env->type->file_close(fixture->env->self, file);
    sb_manifest_reset(&manifest);
}

static void it_is_the_state_at_the_barrier_in_its_logical_form(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_copy_config config = config_of(fixture);
    const struct sb_copy_result result = make(fixture, &config);

    if (result.error.status != SABOT_OK)
        fail_msg("%s", result.error.text);
    expect_shards(fixture, &result, SB_COPY_ALL);
}

static void one_shard_of_one_task_is_all_that_is_written_when_only_that_is_wanted(void **state)
{
    struct fixture *fixture = *state;
    struct sb_copy_config config = config_of(fixture);
    struct sb_copy_result result;

    config.only_task = "agent";
    config.only_shard = 41;
    result = make(fixture, &config);
    assert_int_equal(result.error.status, SABOT_OK);
    expect_shards(fixture, &result, 41);
}

/* All of it takes some 5 MiB; a shard of it 40 KiB, in pages and an index of its own. */
static void it_takes_memory_for_one_shard_which_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct sb_copy_config config = config_of(fixture);
    struct sb_copy_result result;

    assert_int_equal(
        sb_account_create(fixture->env, UINT64_C(256) * 1024, &config.account, &fixture->error),
        SABOT_OK);
    result = make(fixture, &config);
    if (result.error.status != SABOT_OK)
        fail_msg("%s", result.error.text);
    assert_int_equal(sb_account_used(config.account), 0);
    sb_account_destroy(config.account);
    expect_shards(fixture, &result, SB_COPY_ALL);
}

static void without_memory_for_a_shard_nothing_of_it_stays(void **state)
{
    struct fixture *fixture = *state;
    struct sb_copy_config config = config_of(fixture);
    struct sb_copy_result result;

    assert_int_equal(
        sb_account_create(fixture->env, UINT64_C(8) * 1024, &config.account, &fixture->error),
        SABOT_OK);
    result = make(fixture, &config);
    sb_account_destroy(config.account);
    assert_int_equal(result.error.status, SABOT_ERR_MEMORY);
    assert_int_equal(count_copies(fixture), 0);
}

static void a_checkpoint_that_was_damaged_since_is_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_copy_config config = config_of(fixture);
    struct sb_copy_result result;
    char path[SB_CKPT_PATH_MAX];
    FILE *file;
    int byte;

    (void)snprintf(path, sizeof path, "%s/ckpt-%016x-%016x/chunks", fixture->from.path, 7, 77);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 300000, SEEK_SET), 0);
    byte = fgetc(file);
    assert_int_equal(fseek(file, 300000, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 4, file), byte ^ 4);
    assert_int_equal(fclose(file), 0);
    result = make(fixture, &config);
    assert_int_equal(result.error.status, SABOT_ERR_CORRUPT);
    assert_non_null(strstr(result.error.text, path));
    assert_int_equal(count_copies(fixture), 0);
}

static void one_that_is_given_up_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_copy_config config = config_of(fixture);
    struct sb_copy *copy;

    assert_int_equal(sb_copy_start(&config, &copy, &fixture->error), SABOT_OK);
    sb_copy_end(copy, NULL);
    /* It may have been done before it heard of that. */
    assert_true(count_copies(fixture) <= 1);
}

static void a_checkpoint_that_is_held_is_not_removed(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_ckpt_entry held = {.id = 7, .nonce = 77};
    const struct sb_ckpt_entry none = {.id = 0};
    struct sb_prune prune;

    assert_int_equal(sb_prune_init(&prune, &fixture->from, &none, 1, &fixture->error), SABOT_OK);
    prune.held = held;
    for (int64_t id = 8; id < 12; id++) {
        sb_prune_look(&prune);
        sb_prune(&prune, &(struct sb_ckpt_entry){.id = id, .nonce = 1});
        assert_true(sb_ckpt_exists(&fixture->from, &held));
    }
    prune.held = none;
    sb_prune_look(&prune);
    sb_prune(&prune, &(struct sb_ckpt_entry){.id = 12, .nonce = 1});
    assert_false(sb_ckpt_exists(&fixture->from, &held));
    sb_prune_reset(&prune);
}

/* --- Beside a stream -----------------------------------------------------------------------------
 *
 * A run in which a savepoint is asked for when its first checkpoint begins, until which its source
 * is held up; the thread of the savepoint is, until a checkpoint is complete that came after. */

enum { RECORDS = 4000 };

static _Atomic(sabot_run *) copied_run;
static struct sb_ckpt_folder copied_to;
static struct sb_coordinator_copy asked;
static _Atomic bool is_asked;
static _Atomic bool is_last_committed;
static _Atomic bool has_begun;
static _Atomic uint64_t completed_then; /* checkpoints, when the copy began */

/* Then there is something to checkpoint. */
static bool has_read(const struct sb_flow *flow)
{
    return sb_counter_get(&flow->metrics[0].records_read) > 0;
}

/* On the thread of the run, as a command is. */
static void ask(sabot_run *run, struct sb_coordinator *coordinator)
{
    sabot_error error;

    asked = (struct sb_coordinator_copy){
        .folder = &copied_to, .only_shard = SB_COPY_ALL, .account = run->plan.account};
    if (sb_coordinator_copy(coordinator, &asked, &error) == SABOT_OK)
        atomic_store(&is_asked, true);
}

static void on_point(void *self, const char *label)
{
    sabot_run *run = atomic_load(&copied_run);
    struct sb_coordinator *coordinator;

    (void)self;
    if (run == NULL)
        return;
    coordinator = &run->plan.pipelines[0].recovery.coordinator;
    if (strcmp(label, "source.polled") == 0) {
        while (!atomic_load(&is_asked) && has_read(run->plan.pipelines[0].flow))
            (void)sched_yield();
    } else if (strcmp(label, "ckpt.barrier") == 0 && !atomic_load(&is_asked)) {
        ask(run, coordinator);
    } else if (strcmp(label, "ckpt.committed") == 0) {
        atomic_store(&is_last_committed, coordinator->checkpoint->last);
    } else if (strcmp(label, "savepoint.shard") == 0) {
        if (!atomic_exchange(&has_begun, true))
            atomic_store(&completed_then, atomic_load(&coordinator->completed));
        while (!atomic_load(&is_last_committed) &&
               atomic_load(&coordinator->completed) <= atomic_load(&completed_then))
            (void)sched_yield();
    }
}

static void the_stream_goes_on_and_takes_checkpoints_while_a_savepoint_is_written(void **state)
{
    static struct words_seen seen;
    struct words *words = *state;
    struct sb_manifest manifest;
    struct sb_env_type type;
    struct sb_env *os;
    struct sb_env env;
    char path[128];
    sabot_run *run;

    words_write(words, RECORDS);
    words_bind_files(words);
    words_set(words, "checkpoint.interval_ms", "1");
    words_set(words, "checkpoint.keep", "1");
    (void)snprintf(path, sizeof path, "%s/state", words->folder);
    words_set(words, "state.dir", path);
    assert_int_equal(sb_os_env_create(&os, NULL), SABOT_OK);
    type = *os->type;
    type.crash_point = on_point;
    env = *os;
    env.type = &type;
    (void)snprintf(path, sizeof path, "%s/saved", words->folder);
    assert_int_equal(sb_ckpt_folder_open(&copied_to, os, path, "words", "saved", &words->error),
                     SABOT_OK);
    assert_int_equal(sb_run_create(&env, &words_app, words->config, &run, &words->error), SABOT_OK);
    atomic_store(&copied_run, run);
    assert_int_equal(sabot_run_start(run, &words->error), SABOT_OK);
    assert_int_equal(sabot_run_wait(run, -1, &words->error), SABOT_END);
    atomic_store(&copied_run, NULL);
    assert_true(asked.done);
    if (asked.result.error.status != SABOT_OK)
        fail_msg("%s", asked.result.error.text);
    /* The checkpoint that it is of was not removed under it, although none but the newest stays. */
    copied_to.pipeline = run->plan.pipelines[0].name;
    copied_to.app = run->app->name;
    sb_manifest_init(&manifest, os);
    assert_int_equal(sb_ckpt_read(&copied_to, &asked.result.entry, &manifest, &words->error),
                     SABOT_OK);
    assert_int_equal(sb_ckpt_verify(&copied_to, &manifest, &words->error), SABOT_OK);
    assert_int_equal(manifest.task_count, 1);
    assert_int_equal(manifest.tasks[0].shard_count, SB_SHARD_COUNT);
    sb_manifest_reset(&manifest);
    sabot_run_destroy(run);
    words_read(words, &seen);
    words_expect(&seen, RECORDS);
    sb_ckpt_folder_close(&copied_to);
    sb_os_env_destroy(os);
}

static int words_down(void **state)
{
    const struct words *words = *state;

    if (nftw(words->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    return words_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_state_at_the_barrier_in_its_logical_form),
        TEST(one_shard_of_one_task_is_all_that_is_written_when_only_that_is_wanted),
        TEST(it_takes_memory_for_one_shard_which_is_counted),
        TEST(without_memory_for_a_shard_nothing_of_it_stays),
        TEST(a_checkpoint_that_was_damaged_since_is_refused),
        TEST(one_that_is_given_up_leaves_nothing),
        TEST(a_checkpoint_that_is_held_is_not_removed),
        cmocka_unit_test_setup_teardown(
            the_stream_goes_on_and_takes_checkpoints_while_a_savepoint_is_written, words_setup,
            words_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
