/* SPDX-License-Identifier: Apache-2.0 */
/* test_recovery.c - which recovery point a process goes on from: the one that counts, or the one
 * that was chosen; with transactions (on the embedded log) and without; and each call on the disk
 * and each allocation of all that failing in turn.
 *
 *   in (5 partitions) --> count (state "seen") --> out
 *
 * Nothing runs here: processes come, find out where they are, commit, and go. */
#include "ckpt_kit.h"
#include "disk.h"

#include "api/catalog.h"
#include "api/recovery.h"
#include "api/recovery_choice.h"
#include "channel/memory.h"
#include "ckpt/savepoint.h"
#include "op/keyed.h"
#include "state/stream.h"

enum { PARTITIONS = 5, IN = 0, AGENT = 1, OUT = 2, NODES = 3, CALLS_MAX = 400, OPTIONS_MAX = 4 };

static const struct sb_state_spec seen = {.name = "seen", .kind = SB_STATE_VALUE};
static const struct sb_state_spec other = {.name = "other", .kind = SB_STATE_VALUE};

struct fixture {
    struct sb_env *os;
    struct sb_waker *waker;
    struct disk disk;
    struct sb_log *log;
    struct sb_channel_type type; /* memory, as a test would have it */
    struct sb_keyed_settings keyed;
    struct sb_node nodes[NODES];
    struct sb_graph graph;
    struct sb_flow_config flow; /* of the process, when it has found where it is */
    struct sb_recovery recovery;
    sabot_config *config;
    struct sb_buffer state; /* a shard of the agent, as checkpoints have it */
    uint32_t shard;
    uint64_t nonce; /* of the last checkpoint that was written */
    uint64_t checksum;
    sabot_error error;
};

#define WELL(call)                         \
    do {                                   \
        if ((call) != SABOT_OK)            \
            fail_msg("%s", f->error.text); \
    } while (0)

static struct sb_channel *open_channel(struct fixture *f, const char *name, bool reading)
{
    const struct sb_channel_config config = {
        .name = name,
        .url = reading ? "memory:in?partitions=5" : "memory:out",
        .for_reading = reading,
        .for_writing = !reading,
        .record_max = 1 << 20,
        .buffer_bytes = 1 << 24,
        .start = "earliest",
        .log = f->log,
    };
    struct sb_channel *channel;

    WELL(sb_channel_memory.open(f->os, &config, f->waker, &channel, &f->error));
    WELL(sb_channel_memory.prepare(channel, &f->error));
    return channel;
}

static const char *cluster_of(const struct sb_channel *channel)
{
    (void)channel;
    return "one";
}

/* A machine and a broker on which nothing has happened yet. */
static void power_on(struct fixture *f)
{
    disk_make(&f->disk, f->os);
    WELL(sb_log_create(f->os, &f->log, &f->error));
    f->type = sb_channel_memory;
    f->type.cluster = cluster_of; /* so offsets follow where there are no transactions */
    f->keyed = (struct sb_keyed_settings){.states = &seen, .state_count = 1};
    f->nodes[IN] = (struct sb_node){
        .index = IN,
        .kind = SB_NODE_SOURCE,
        .name = "in",
        .port = {.type = &f->type, .channel = open_channel(f, "in", true)},
    };
    f->nodes[AGENT] = (struct sb_node){
        .index = AGENT,
        .kind = SB_NODE_TASK,
        .name = "count",
        .type = sb_catalog_process(),
        .keyed = &f->keyed,
        .key_field = SB_NO_FIELD,
    };
    f->nodes[OUT] = (struct sb_node){
        .index = OUT,
        .kind = SB_NODE_SINK,
        .name = "out",
        .port = {.type = &f->type, .channel = open_channel(f, "out", false), .stages = true},
    };
    f->graph = (struct sb_graph){.env = &f->disk.env, .nodes = f->nodes, .node_count = NODES};
}

static void end_process(struct fixture *f)
{
    sb_recovery_close(&f->recovery);
    memset(&f->recovery, 0, sizeof f->recovery);
    sabot_config_destroy(f->config);
    f->config = NULL;
}

static void power_off(struct fixture *f)
{
    end_process(f);
    assert_int_equal(f->disk.open_files, 0);
    sb_channel_memory.close(f->nodes[IN].port.channel);
    sb_channel_memory.close(f->nodes[OUT].port.channel);
    sb_log_destroy(f->log);
    disk_free(&f->disk);
}

/* The agent has seen one key. */
static void make_state(struct fixture *f)
{
    const struct sb_store_config config = {
        .env = f->os, .owner = "count", .states = &seen, .state_count = 1, .hash_seed = 9};
    const struct sb_byte_sink sink = {sb_buffer_take, &f->state};
    const sabot_text key = {"key", 3};
    const uint64_t hash = sb_hash(key.data, key.size, 9);
    struct sb_store *store;

    sb_buffer_init(&f->state, f->os);
    f->shard = sb_hash_shard(hash);
    WELL(sb_store_create(&config, &store, &f->error));
    WELL(sb_store_put(store, 0, key, hash, key, &f->error));
    WELL(sb_store_snapshot(store, f->shard, &sink, &f->error));
    sb_store_destroy(store);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->os, NULL) != SABOT_OK ||
        f->os->type->waker_create(f->os->self, &f->waker, NULL) != SABOT_OK)
        return -1;
    make_state(f);
    power_on(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    power_off(f);
    sb_buffer_reset(&f->state);
    f->os->type->waker_destroy(f->os->self, f->waker);
    sb_os_env_destroy(f->os);
    free(f);
    return 0;
}

/* --- Processes -------------------------------------------------------------------------------- */

struct option {
    const char *name;
    const char *value;
};

/* What a process is told. */
struct choice {
    struct option options[OPTIONS_MAX]; /* up to the first without a name */
};

static const struct choice usual = {{{NULL, NULL}}};

static sabot_status go_on(struct fixture *f)
{
    sabot_status status;

    do
        status = sb_recovery_open(&f->recovery, &f->disk.env, f->config, "app", &f->graph, &f->flow,
                                  &f->error);
    while (status == SABOT_AGAIN);
    if (status != SABOT_OK)
        assert_int_equal(status, f->error.status);
    return status;
}

static void configure(struct fixture *f, const struct choice *choice)
{
    f->config = sabot_config_create(NULL);
    assert_non_null(f->config);
    WELL(sabot_config_set(f->config, SABOT_FROM_OPTION, "state.dir", "/dir", &f->error));
    for (int i = 0; i < OPTIONS_MAX && choice->options[i].name != NULL; i++)
        WELL(sabot_config_set(f->config, SABOT_FROM_OPTION, choice->options[i].name,
                              choice->options[i].value, &f->error));
    f->flow =
        (struct sb_flow_config){.name = "pipe", .workers = 1, .hash_seed = 9, .owner = f->waker};
}

/* Another process, in the place of the last one. */
static sabot_status start(struct fixture *f, const struct choice *choice)
{
    end_process(f);
    configure(f, choice);
    return go_on(f);
}

/* The id that the process has found; 0: none. */
static int64_t found_id(const struct fixture *f)
{
    return f->recovery.restore.found ? f->recovery.restore.manifest.id : 0;
}

static void refused(struct fixture *f, const struct choice *choice, const char *why)
{
    assert_int_equal(start(f, choice), SABOT_ERR_RECOVERY);
    if (strstr(f->error.text, why) == NULL)
        fail_msg("\"%s\" doesn't say \"%s\"", f->error.text, why);
}

/* --- Checkpoints ------------------------------------------------------------------------------ */

struct written {
    struct sb_manifest manifest;
    struct sb_manifest_source source;
    struct sb_part_position positions[PARTITIONS];
    struct sb_manifest_task task;
    struct sb_manifest_shard shard;
    struct sb_manifest_sink sink;
};

/* A checkpoint whose sources stand at id * 100. */
static void describe(struct fixture *f, struct written *written, int64_t id)
{
    *written = (struct written){.manifest = {.app = "app", .pipeline = "pipe"}};
    sb_arena_init(&written->manifest.arena, f->os);
    for (int32_t i = 0; i < PARTITIONS; i++)
        written->positions[i] =
            (struct sb_part_position){.partition = i, .offset = id * 100 + i, .watermark_ms = id};
    written->source = (struct sb_manifest_source){.channel = "in",
                                                  .partition_count = PARTITIONS,
                                                  .position_count = PARTITIONS,
                                                  .positions = written->positions};
    written->shard = (struct sb_manifest_shard){.shard = f->shard, .size = f->state.size};
    written->task =
        (struct sb_manifest_task){.name = "count", .shard_count = 1, .shards = &written->shard};
    written->sink = (struct sb_manifest_sink){.channel = "out"};
    written->manifest.id = id;
    written->manifest.nonce = ++f->nonce;
    written->manifest.hash_seed = 9;
    written->manifest.staged = f->nodes[OUT].port.stages;
    written->manifest.source_count = 1;
    written->manifest.sources = &written->source;
    written->manifest.task_count = 1;
    written->manifest.tasks = &written->task;
    written->manifest.sink_count = 1;
    written->manifest.sinks = &written->sink;
}

static void write_to(struct fixture *f,
                     const struct sb_ckpt_folder *folder,
                     struct written *written)
{
    const sabot_text part = {(const char *)f->state.data, f->state.size};

    WELL(ckpt_kit_write(folder, &written->manifest, SB_FILE_STATE, part, &f->error));
    f->checksum = written->manifest.checksum;
    f->nonce = written->manifest.nonce;
}

static void commit(struct fixture *f, const struct sb_manifest *manifest)
{
    sabot_status status;
    uint64_t bytes;

    if (f->recovery.commit == NULL)
        return;
    do
        status = sb_commit_step(f->recovery.commit, manifest, &bytes, &f->error);
    while (status == SABOT_AGAIN);
    WELL(status);
    WELL(sb_ckpt_note_commit(&f->recovery.folder, &f->error));
}

/* The process makes a checkpoint that counts; or one that is written and never committed. */
static void checkpoint(struct fixture *f, int64_t id, bool commits)
{
    struct written written;

    describe(f, &written, id);
    write_to(f, &f->recovery.folder, &written);
    if (commits)
        commit(f, &written.manifest);
    sb_arena_reset(&written.manifest.arena);
}

static void three_checkpoints(struct fixture *f)
{
    WELL(start(f, &usual));
    for (int64_t id = 1; id <= 3; id++)
        checkpoint(f, id, true);
}

/* A savepoint of the state at `id`. */
static void save(struct fixture *f, const char *path, const char *app, const char *name, int64_t id)
{
    struct sb_savepoint_pipeline pipeline = {.name = name};
    const struct sb_savepoint savepoint = {
        .env = &f->disk.env,
        .path = path,
        .app = app,
        .time_ms = 1,
        .pipeline_count = 1,
        .pipelines = &pipeline,
    };
    struct sb_ckpt_folder folder;
    struct written written;

    WELL(sb_savepoint_begin(&f->disk.env, path, &f->error));
    WELL(sb_ckpt_folder_open(&folder, &f->disk.env, path, app, name, &f->error));
    describe(f, &written, id);
    written.manifest.app = app;
    written.manifest.pipeline = name;
    write_to(f, &folder, &written);
    pipeline.entry = (struct sb_ckpt_entry){id, f->nonce};
    pipeline.checksum = f->checksum;
    WELL(sb_savepoint_seal(&savepoint, &f->error));
    sb_ckpt_folder_close(&folder);
    sb_arena_reset(&written.manifest.arena);
}

static void three_and_a_savepoint(struct fixture *f)
{
    three_checkpoints(f);
    save(f, "/saved", "app", "pipe", 2);
}

/* --- What counts ------------------------------------------------------------------------------ */

static void the_committed_checkpoint_is_gone_on_from_whatever_is_newer(void **state)
{
    struct fixture *f = *state;

    three_checkpoints(f);
    checkpoint(f, 4, false);
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 3);
    assert_true(f->flow.has_checkpoints);
    assert_int_equal(f->flow.position_count, PARTITIONS);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        assert_int_equal(f->flow.positions[i].at.offset, 300 + i);
}

static void without_transactions_the_newest_manifest_counts(void **state)
{
    struct fixture *f = *state;

    f->nodes[OUT].port.stages = false;
    three_checkpoints(f);
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 3);
    assert_null(f->recovery.commit);
    /* And what another has left that is newer is gone with the next start. */
    WELL(f->disk.type.path_remove(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000003-0000000000000003/manifest", &f->error));
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 2);
    WELL(start(f, &(struct choice){{{"checkpoint.reset", "true"}}}));
    assert_int_equal(found_id(f), 0);
}

static void a_checkpoint_of_an_exactly_once_run_is_not_gone_on_from_without_its_offsets(
    void **state)
{
    struct fixture *f = *state;

    three_checkpoints(f);
    f->nodes[OUT].port.stages = false;
    refused(f, &usual, "whether its output was committed only the offsets in Kafka tell");
    assert_non_null(
        strstr(f->error.text, "checkpoints that are kept, for --restore ID --force: 3, 2, 1"));
}

static void a_reset_begins_anew_and_keeps_the_old_aside(void **state)
{
    static const struct choice reset = {{{"checkpoint.reset", "true"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    WELL(start(f, &reset));
    assert_int_equal(found_id(f), 0);
    assert_null(f->flow.positions);
    checkpoint(f, 1, true);
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 1);
}

static sabot_status fence_is_slow(struct sb_txn *txn, sabot_error *error)
{
    (void)txn;
    (void)error;
    return SABOT_AGAIN;
}

static void who_was_frozen_since_it_came_puts_nothing_aside_that_another_has(void **state)
{
    static const struct choice reset = {{{"checkpoint.reset", "true"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    end_process(f);
    configure(f, &reset);
    f->type.txn_fence = fence_is_slow;
    assert_int_equal(sb_recovery_open(&f->recovery, &f->disk.env, f->config, "app", &f->graph,
                                      &f->flow, &f->error),
                     SABOT_AGAIN);
    WELL(sb_ckpt_take_owner(&f->recovery.folder, f->recovery.owner + 1, &f->error));
    f->type.txn_fence = sb_channel_memory.txn_fence;
    assert_int_equal(go_on(f), SABOT_ERR_FENCED);
    assert_non_null(strstr(f->error.text, "another worker has taken over"));
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 3);
}

static void a_finished_run_has_no_positions_to_go_on_from(void **state)
{
    struct fixture *f = *state;
    struct written written;

    WELL(start(f, &usual));
    describe(f, &written, 1);
    written.manifest.finished = true;
    write_to(f, &f->recovery.folder, &written);
    commit(f, &written.manifest);
    sb_arena_reset(&written.manifest.arena);
    WELL(start(f, &usual));
    assert_true(sb_recovery_finished(&f->recovery));
    assert_int_equal(f->flow.position_count, 0);
}

static void choices_that_exclude_each_other_are_refused(void **state)
{
    static const struct choice wrong[] = {
        {{{"checkpoint.restore", "1"}, {"checkpoint.reset", "true"}}},
        {{{"checkpoint.restore", "1"}, {"checkpoint.from_offsets", "true"}}},
        {{{"checkpoint.reset", "true"}, {"checkpoint.from_offsets", "true"}}},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(start(f, &wrong[i]), SABOT_ERR_CONFIG);
        assert_non_null(strstr(f->error.text, "only one of them"));
    }
    assert_int_equal(start(f, &(struct choice){{{"checkpoint.force", "true"}}}), SABOT_ERR_CONFIG);
    assert_non_null(strstr(f->error.text, "--force: it goes with --restore only"));
    WELL(start(f, &(struct choice){{{"checkpoint.restore", ""}}}));
}

/* --- What was chosen instead ------------------------------------------------------------------ */

static void another_checkpoint_needs_force_which_is_told_what_would_be_read_again(void **state)
{
    static const struct choice unforced = {{{"checkpoint.restore", "1"}}};
    static const struct choice forced = {
        {{"checkpoint.restore", "1"}, {"checkpoint.force", "true"}}};
    static const struct choice what_counts = {{{"checkpoint.restore", "3"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    refused(f, &unforced,
            "--restore 1 is not the checkpoint that counts, which is 3: with --force these are "
            "read again: in, partition 0, from offset 100 to 300; in, partition 1, from offset 101 "
            "to 301; in, partition 2, from offset 102 to 302; and 2 more partitions");
    WELL(start(f, &what_counts));
    assert_int_equal(found_id(f), 3);
    WELL(start(f, &forced));
    assert_int_equal(found_id(f), 4); /* a copy of 1, and committed as such */
    assert_int_equal(f->flow.positions[0].at.offset, 100);
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 4);
}

/* Partition 2 and the input "more" are newer than checkpoint 1; an app's own positions are bytes.
 */
static void write_with_bytes(struct fixture *f, int64_t id, uint32_t partitions, const char *bytes)
{
    struct written written;
    struct sb_manifest_source sources[2];

    describe(f, &written, id);
    written.source.position_count = partitions;
    for (uint32_t i = 0; i < partitions; i++) {
        written.positions[i].offset = 50;
        written.positions[i].opaque.size = i == 0 ? strlen(bytes) : 1;
        memcpy(written.positions[i].opaque.bytes, i == 0 ? bytes : "x",
               written.positions[i].opaque.size);
    }
    sources[0] = written.source;
    sources[1] = written.source;
    sources[1].channel = "more";
    written.manifest.sources = sources;
    written.manifest.source_count = partitions > 2 ? 2 : 1;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
}

static void what_would_be_read_again_is_found_by_offsets_and_by_an_apps_own_positions(void **state)
{
    static const struct choice one = {
        {{"checkpoint.restore", "1"}, {"checkpoint.drop_state", "true"}}};
    static const struct choice three = {
        {{"checkpoint.restore", "3"}, {"checkpoint.drop_state", "true"}}};
    struct fixture *f = *state;

    f->nodes[OUT].port.stages = false;
    WELL(start(f, &usual));
    write_with_bytes(f, 1, 2, "aa");
    write_with_bytes(f, 2, 2, "ab");
    refused(f, &one, "read again: in, partition 0, from offset 50 to 50;");
    write_with_bytes(f, 3, 2, "aab");
    refused(f, &one, "read again: in, partition 0, from offset 50 to 50;");
    write_with_bytes(f, 4, 3, "aab");
    refused(f, &three,
            "read again: in, partition 2, from offset 0 to 50; more, partition 0, from "
            "offset 0 to 50; more, partition 1, from offset 0 to 50; and 1 more");
    /* Where nothing would be, no force is needed. */
    write_with_bytes(f, 5, 2, "aab");
    WELL(start(f, &three));
    assert_int_equal(found_id(f), 6);
}

static void of_twins_with_one_id_one_counts_and_the_other_is_tidied_up(void **state)
{
    struct fixture *f = *state;
    const struct sb_ckpt_entry twin = {1, 1};

    f->nodes[OUT].port.stages = false;
    WELL(start(f, &usual));
    checkpoint(f, 1, true);
    checkpoint(f, 1, true);
    assert_true(sb_ckpt_exists(&f->recovery.folder, &twin));
    WELL(start(f, &usual));
    assert_int_equal(f->recovery.restore.manifest.nonce, 2);
    assert_false(sb_ckpt_exists(&f->recovery.folder, &twin));
}

static void a_checkpoint_that_was_never_committed_needs_force(void **state)
{
    static const struct choice unforced = {{{"checkpoint.restore", "1"}}};
    struct fixture *f = *state;

    WELL(start(f, &usual));
    checkpoint(f, 1, false);
    refused(f, &unforced, "that checkpoint was never committed");
    f->nodes[OUT].port.stages = false;
    refused(f, &unforced, "needs --force here, for which checkpoint counts is not known");
}

static void ids_that_are_none_or_two_are_refused(void **state)
{
    static const char *const wrong[] = {"0", "-1", "one", "1x", "9223372036854775808"};
    static const struct choice seven = {{{"checkpoint.restore", "7"}}};
    static const struct choice two = {{{"checkpoint.restore", "2"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct choice choice = {{{"checkpoint.restore", wrong[i]}}};

        assert_int_equal(start(f, &choice), SABOT_ERR_CONFIG);
        assert_non_null(strstr(f->error.text, "expected the id of a checkpoint"));
    }
    WELL(f->disk.type.directory_create(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000007-0000000000000001", &f->error));
    refused(f, &seven, "/dir/app/pipe has no checkpoint 7; checkpoints that are kept");
    checkpoint(f, 2, false);
    refused(f, &two, "has more than one checkpoint 2");
}

static void only_eight_kept_checkpoints_are_named_and_no_folder_without_a_manifest(void **state)
{
    static const struct choice seven = {{{"checkpoint.restore", "77"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    for (int64_t id = 4; id <= 12; id++)
        checkpoint(f, id, true);
    WELL(f->disk.type.directory_create(
        &f->disk, "/dir/app/pipe/ckpt-000000000000000d-0000000000000001", &f->error));
    refused(f, &seven, "--force: 12, 11, 10, 9, 8, 7, 6, 5");
    assert_null(strstr(f->error.text, ", 4"));
}

static void a_savepoint_of_what_counts_needs_no_force_and_is_restored_once(void **state)
{
    static const struct choice saved = {{{"checkpoint.restore", "/saved"}}};
    struct fixture *f = *state;

    WELL(start(f, &usual));
    save(f, "/saved", "app", "pipe", 2);
    WELL(start(f, &saved));
    assert_int_equal(found_id(f), 1);
    assert_int_equal(f->flow.positions[0].at.offset, 200);
    WELL(start(f, &saved)); /* with the same command again: from where it has come since */
    assert_int_equal(found_id(f), 1);
    checkpoint(f, 2, true); /* it stands where the savepoint does */
    WELL(start(f, &saved));
    assert_int_equal(found_id(f), 3);
    checkpoint(f, 4, true);
    refused(f, &saved, "is not the checkpoint that counts, which is 4");
}

/* A timer of the machine's clock has fired since, and no record has come. */
static void checkpoint_without_records(struct fixture *f, int64_t id, int64_t as)
{
    struct written written;

    describe(f, &written, id);
    for (int32_t i = 0; i < PARTITIONS; i++)
        written.positions[i].offset = as * 100 + i;
    write_to(f, &f->recovery.folder, &written);
    commit(f, &written.manifest);
    sb_arena_reset(&written.manifest.arena);
}

static void a_savepoint_with_the_offsets_of_a_later_checkpoint_needs_force(void **state)
{
    static const struct choice saved = {{{"checkpoint.restore", "/saved"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    save(f, "/saved", "app", "pipe", 3);
    checkpoint_without_records(f, 4, 3);
    refused(f, &saved,
            "is not the checkpoint that counts, which is 4: with --force these are read again: no "
            "records, but timers that have fired since fire again");
    WELL(f->disk.type.path_remove(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000004-0000000000000005/manifest", &f->error));
    refused(f, &saved, "needs --force here, for which checkpoint counts is not known");
}

static void savepoints_of_others_are_refused_and_new_pipelines_begin_without(void **state)
{
    static const struct choice other_app = {{{"checkpoint.restore", "/other"}}};
    static const struct choice other_pipeline = {
        {{"checkpoint.restore", "/pump"}, {"checkpoint.force", "true"}}};
    static const struct choice none = {{{"checkpoint.restore", "/none"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    save(f, "/other", "apple", "pipe", 2);
    save(f, "/pump", "app", "pump", 2);
    refused(f, &other_app, "savepoint /other is of app apple, not of app");
    assert_int_equal(start(f, &none), SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(f->error.text, "there is no savepoint"));
    WELL(start(f, &other_pipeline));
    assert_int_equal(found_id(f), 3);
    /* Unless what counts can't be gone on from. */
    WELL(f->disk.type.path_remove(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000003-0000000000000003/manifest", &f->error));
    refused(f, &other_pipeline, "the committed offsets name checkpoint 3");
}

static void what_the_app_cant_read_is_refused_before_it_counts(void **state)
{
    static const struct choice forced = {
        {{"checkpoint.restore", "1"}, {"checkpoint.force", "true"}}};
    static const struct choice dropping = {{{"checkpoint.restore", "1"},
                                            {"checkpoint.force", "true"},
                                            {"checkpoint.drop_state", "true"}}};
    struct fixture *f = *state;

    three_checkpoints(f);
    f->keyed.states = &other;
    refused(f, &forced, "has a state seen that agent count does not declare");
    f->nodes[AGENT].name = "counter";
    refused(f, &forced, "has what the app does not have any more: the agent count; --drop-state");
    f->nodes[AGENT].name = "count";
    f->keyed.state_count = 0; /* nothing is to be tried */
    WELL(start(f, &forced));
    f->keyed.state_count = 1;
    f->nodes[AGENT].type = sb_catalog_window();
    refused(f, &forced, "has a state seen that agent count does not declare");
    f->nodes[AGENT].type = sb_catalog_process();
    WELL(start(f, &dropping));
    assert_int_equal(found_id(f), 5);
}

static bool says_full(const struct sb_channel *channel)
{
    (void)channel;
    return false;
}

static bool says_empty(const struct sb_channel *channel)
{
    (void)channel;
    return true;
}

static void an_output_that_was_begun_anew_is_not_cut(void **state)
{
    static const struct choice forced = {
        {{"checkpoint.restore", "1"}, {"checkpoint.force", "true"}}};
    struct fixture *f = *state;
    struct written written;

    f->nodes[OUT].port.stages = false;
    f->type.is_empty = NULL;
    WELL(start(f, &usual));
    describe(f, &written, 1);
    written.sink.has_length = true;
    written.sink.length = 700;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
    checkpoint(f, 2, true);
    WELL(start(f, &forced));
    assert_int_equal(f->recovery.restore.manifest.sinks[0].length, 700);
    f->type.is_empty = says_full;
    WELL(start(f, &forced));
    assert_int_equal(f->recovery.restore.manifest.sinks[0].length, 700);
    f->type.is_empty = says_empty;
    WELL(start(f, &forced));
    assert_int_equal(f->recovery.restore.manifest.sinks[0].length, 0);
}

static void offsets_are_gone_on_from_only_where_some_are_committed(void **state)
{
    static const struct choice from_offsets = {{{"checkpoint.from_offsets", "true"}}};
    struct fixture *f = *state;
    const struct sb_offset offset = {.partition = 2, .offset = 42, .metadata = NULL};

    refused(f, &from_offsets, "has no committed offset of any input");
    three_checkpoints(f);
    WELL(sb_channel_memory.commit(f->nodes[IN].port.channel, "sabot.app.pipe", &offset, 1,
                                  &f->error));
    refused(f, &usual, "it names no checkpoint of Sabot");
    WELL(start(f, &from_offsets));
    assert_int_equal(found_id(f), 4);
    assert_int_equal(f->flow.position_count, PARTITIONS);
    assert_int_equal(f->flow.positions[2].at.offset, 42);
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 4);
    f->nodes[OUT].port.stages = false;
    refused(f, &from_offsets, "commits no offsets to a consumer group");
}

/* --- The app and the manifest ----------------------------------------------------------------- */

static void what_the_app_does_not_have_any_more_is_named_as_far_as_there_is_room(void **state)
{
    static const struct choice dropping = {{{"checkpoint.drop_state", "true"}}};
    static char names[4][161];
    struct fixture *f = *state;
    struct sb_manifest_task tasks[4];
    struct written written;

    WELL(start(f, &usual));
    describe(f, &written, 1);
    for (int i = 0; i < 4; i++) {
        memset(names[i], 'a' + i, sizeof names[i] - 1);
        tasks[i] = (struct sb_manifest_task){.name = names[i]};
    }
    written.manifest.tasks = tasks;
    written.manifest.task_count = 4;
    written.source.channel = "gone";
    written.sink.channel = "out of sight";
    write_to(f, &f->recovery.folder, &written);
    f->nodes[OUT].port.stages = false;
    WELL(f->disk.type.path_remove(
        &f->disk, "/dir/app/pipe/ckpt-0000000000000001-0000000000000001/manifest", &f->error));
    written.manifest.staged = false;
    written.manifest.id = 2;
    written.manifest.file_count = 0;
    written.manifest.files = NULL;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
    refused(f, &usual, "the agent aaaa");
    assert_non_null(strstr(f->error.text, "the agent bbbb"));
    assert_null(strstr(f->error.text, "the agent cccc"));
    WELL(start(f, &dropping));
    assert_int_equal(f->flow.position_count, 0);
}

static void keys_of_another_type_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_schema *schema;
    struct written written;

    f->nodes[OUT].port.stages = false;
    WELL(sb_schema_create(f->os, &kit_table, SB_SCHEMA_RECORD, &schema, &f->error));
    WELL(start(f, &usual));
    describe(f, &written, 1);
    written.task.key_type = SABOT_UTF8;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
    f->nodes[AGENT].input = schema;
    WELL(start(f, &usual)); /* it has no key now */
    f->nodes[AGENT].key_field = KIT_TEXT;
    WELL(start(f, &usual));
    f->nodes[AGENT].key_field = KIT_ID;
    refused(f, &usual, "agent count: its keys are int64 now, and were utf8 when its state was");
    checkpoint(f, 2, true); /* it had no key then */
    WELL(start(f, &usual));
    assert_int_equal(found_id(f), 2);
    f->nodes[AGENT].input = NULL;
    f->nodes[AGENT].key_field = SB_NO_FIELD;
    sb_schema_destroy(schema);
}

static sabot_status resume_fails(struct sb_channel *channel, uint64_t length, sabot_error *error)
{
    (void)channel;
    return sabot_raise(error, SABOT_ERR_STATE, "there are only %d of %d bytes", 7, (int)length);
}

static void a_channel_that_is_another_one_now_is_refused(void **state)
{
    struct fixture *f = *state;
    struct written written;

    f->nodes[OUT].port.stages = false;
    WELL(start(f, &usual));
    describe(f, &written, 1);
    written.source.partition_count = PARTITIONS + 1;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
    refused(f, &usual, "channel in has 5 partitions, and had 6 at checkpoint 1: it is another one");
    describe(f, &written, 2);
    written.sink.has_length = true;
    written.sink.length = 700;
    write_to(f, &f->recovery.folder, &written);
    sb_arena_reset(&written.manifest.arena);
    f->type.resume = NULL;
    WELL(start(f, &usual));
    f->type.resume = resume_fails;
    refused(f, &usual, "there are only 7 of 700 bytes");
}

/* --- Pipelines of a savepoint ----------------------------------------------------------------- */

static bool has_pipe(const void *context, const char *pipeline)
{
    (void)context;
    return strcmp(pipeline, "pipe") == 0;
}

static sabot_status check_pipelines(struct fixture *f, const char *path, bool drops)
{
    const struct sb_choice choice = {.restore = path, .drops_state = drops};

    return sb_choice_check_pipelines(&f->disk.env, &choice, "app", has_pipe, NULL, &f->error);
}

static void a_pipeline_that_only_the_savepoint_has_is_dropped_by_word_only(void **state)
{
    struct fixture *f = *state;

    save(f, "/saved", "app", "pipe", 2);
    save(f, "/pump", "app", "pump", 2);
    save(f, "/other", "apple", "pump", 2);
    WELL(check_pipelines(f, NULL, false));
    WELL(check_pipelines(f, "7", false));
    WELL(check_pipelines(f, "/saved", false));
    WELL(check_pipelines(f, "/other", false)); /* which is refused later, and by its name */
    WELL(check_pipelines(f, "/pump", true));
    assert_int_equal(check_pipelines(f, "/pump", false), SABOT_ERR_RECOVERY);
    assert_non_null(strstr(f->error.text, "savepoint /pump has pipeline pump, which the app does "
                                          "not have any more"));
    assert_int_equal(check_pipelines(f, "/none", false), SABOT_ERR_NOT_FOUND);
    disk_put(&f->disk, "/saved/savepoint", "x", 1);
    assert_int_equal(check_pipelines(f, "/saved", false), SABOT_ERR_RECOVERY);
    assert_int_equal(f->error.status, SABOT_ERR_RECOVERY);
}

/* --- Each call -------------------------------------------------------------------------------- */

struct life {
    void (*before)(struct fixture *f);
    struct choice choice;
    bool without_transactions;
    int64_t found; /* by a process that nothing fails for */
};

static const struct life lives[] = {
    {three_checkpoints, {{{NULL, NULL}}}, false, 3},
    {three_checkpoints, {{{NULL, NULL}}}, true, 3},
    {three_checkpoints, {{{"checkpoint.reset", "true"}}}, false, 0},
    {three_checkpoints, {{{"checkpoint.reset", "true"}}}, true, 0},
    {three_checkpoints, {{{"checkpoint.restore", "1"}, {"checkpoint.force", "true"}}}, false, 4},
    {three_checkpoints, {{{"checkpoint.restore", "1"}, {"checkpoint.force", "true"}}}, true, 4},
    {three_checkpoints, {{{"checkpoint.from_offsets", "true"}}}, false, 4},
    {three_and_a_savepoint,
     {{{"checkpoint.restore", "/saved"}, {"checkpoint.force", "true"}}},
     false,
     4},
};

/* A process for which one call fails, and then one for which nothing does. False: fewer calls. */
static bool live_with(struct fixture *f,
                      const struct life *life,
                      uint64_t call,
                      uint64_t allocation)
{
    sabot_status status;
    bool failed;

    f->nodes[OUT].port.stages = !life->without_transactions;
    life->before(f);
    end_process(f);
    configure(f, &life->choice);
    if (call > 0)
        f->disk.fail_at = f->disk.calls + call;
    sb_os_env_fail_allocation(f->os, allocation);
    status = go_on(f);
    sb_os_env_fail_allocation(f->os, 0);
    f->disk.fail_at = 0;
    failed = call > 0 ? f->disk.failed : status != SABOT_OK;
    assert_int_equal(f->disk.open_files, 0);
    if (status == SABOT_OK) {
        /* What failed was not needed: a hint, or what could be removed. */
        assert_int_equal(found_id(f), life->found);
    } else if (allocation > 0) {
        assert_int_equal(status, SABOT_ERR_MEMORY);
    } else if (strchr(f->error.text, '/') == NULL) {
        fail_msg("call %d: \"%s\" names no file", (int)call, f->error.text);
    }
    WELL(start(f, &life->choice));
    if (life->found < 4)
        assert_int_equal(found_id(f), life->found);
    else
        assert_true(found_id(f) >= life->found);
    power_off(f);
    power_on(f);
    return failed;
}

/* Under ThreadSanitizer, which is slow and looks at threads, not every one is tried. */
static uint64_t stride(void)
{
    return test_cases(10) < 10 ? 9 : 1;
}

static void each_call_that_fails_is_said_and_the_next_process_gets_further(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        uint64_t n = 1;

        for (; live_with(f, &lives[i], n, 0); n += stride())
            assert_true(n < CALLS_MAX);
        assert_true(n > 10);
    }
}

static void memory_that_runs_out_is_said_and_the_next_process_gets_further(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
        uint64_t n = 1;

        for (; live_with(f, &lives[i], 0, n); n += stride())
            assert_true(n < CALLS_MAX);
        assert_true(n > 2);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_committed_checkpoint_is_gone_on_from_whatever_is_newer),
        TEST(without_transactions_the_newest_manifest_counts),
        TEST(a_checkpoint_of_an_exactly_once_run_is_not_gone_on_from_without_its_offsets),
        TEST(a_reset_begins_anew_and_keeps_the_old_aside),
        TEST(who_was_frozen_since_it_came_puts_nothing_aside_that_another_has),
        TEST(a_finished_run_has_no_positions_to_go_on_from),
        TEST(choices_that_exclude_each_other_are_refused),
        TEST(another_checkpoint_needs_force_which_is_told_what_would_be_read_again),
        TEST(what_would_be_read_again_is_found_by_offsets_and_by_an_apps_own_positions),
        TEST(of_twins_with_one_id_one_counts_and_the_other_is_tidied_up),
        TEST(a_checkpoint_that_was_never_committed_needs_force),
        TEST(ids_that_are_none_or_two_are_refused),
        TEST(only_eight_kept_checkpoints_are_named_and_no_folder_without_a_manifest),
        TEST(a_savepoint_of_what_counts_needs_no_force_and_is_restored_once),
        TEST(a_savepoint_with_the_offsets_of_a_later_checkpoint_needs_force),
        TEST(savepoints_of_others_are_refused_and_new_pipelines_begin_without),
        TEST(what_the_app_cant_read_is_refused_before_it_counts),
        TEST(an_output_that_was_begun_anew_is_not_cut),
        TEST(offsets_are_gone_on_from_only_where_some_are_committed),
        TEST(what_the_app_does_not_have_any_more_is_named_as_far_as_there_is_room),
        TEST(keys_of_another_type_are_refused),
        TEST(a_channel_that_is_another_one_now_is_refused),
        TEST(a_pipeline_that_only_the_savepoint_has_is_dropped_by_word_only),
        TEST(each_call_that_fails_is_said_and_the_next_process_gets_further),
        TEST(memory_that_runs_out_is_said_and_the_next_process_gets_further),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
