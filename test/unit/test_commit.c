/* SPDX-License-Identifier: Apache-2.0 */
/* test_commit.c - output and offsets go out together, on the embedded log, whatever a call says.
 *
 * Between the commit and the log stands a channel that fails when it is told: a call says that it
 * is under way, should be repeated, can only be aborted, or is of no use any more. */
#include "flow_kit.h"

#include <inttypes.h>

#include "channel/memory.h"
#include "ckpt/commit.h"
#include "flow/stage.h"

enum { PARTITIONS = 3, SOURCE = 0, SINK = 1, NODES = 2, VALUE_MAX = 32, SCHEDULES = 300 };

#define GROUP "sabot.app.pipe"

/* --- A channel that fails --------------------------------------------------------------------- */

enum fault { FAULT_NONE, FAULT_AGAIN, FAULT_RETRIABLE, FAULT_ABORTABLE, FAULT_FATAL };

/* The faults of the calls to come; one test runs at a time, on one thread. */
static struct {
    struct kit_random random;
    uint32_t per_thousand[FAULT_FATAL + 1];
    enum fault next; /* of the next call to `at`, once */
    const char *at;
    uint32_t aborts;
} moods;

static struct kit_random carried; /* from one schedule to the next: one seed for all */

static enum fault draw(const char *call)
{
    if (moods.at != NULL && strcmp(moods.at, call) == 0 && moods.next != FAULT_NONE) {
        const enum fault fault = moods.next;

        moods.next = FAULT_NONE;
        return fault;
    }
    for (enum fault fault = FAULT_AGAIN; fault <= FAULT_FATAL; fault++) {
        if (kit_random_below(&moods.random, 1000) < moods.per_thousand[fault])
            return fault;
    }
    return FAULT_NONE;
}

/* SABOT_OK: make the call. */
static sabot_status meddle(const char *call, sabot_error *error)
{
    const enum fault fault = draw(call);

    if (fault == FAULT_NONE)
        return SABOT_OK;
    if (fault == FAULT_AGAIN)
        return SABOT_AGAIN;
    (void)sabot_raise(error, SABOT_ERR_BROKER, "%s: it was told to fail", call);
    error->retriable = fault == FAULT_RETRIABLE;
    error->fatal = fault == FAULT_FATAL;
    return error->status;
}

static sabot_status bad_fence(struct sb_txn *txn, sabot_error *error)
{
    SABOT_TRY(meddle("fence", error));
    return sb_channel_memory.txn_fence(txn, error);
}

static sabot_status bad_begin(struct sb_txn *txn, sabot_error *error)
{
    SABOT_TRY(meddle("begin", error));
    return sb_channel_memory.txn_begin(txn, error);
}

static sabot_status bad_offsets(struct sb_txn *txn,
                                const char *group,
                                const struct sb_offset *offsets,
                                uint32_t offset_count,
                                sabot_error *error)
{
    SABOT_TRY(meddle("offsets", error));
    return sb_channel_memory.txn_offsets(txn, group, offsets, offset_count, error);
}

static sabot_status bad_write(struct sb_writer *writer,
                              const struct sb_record *record,
                              sabot_error *error)
{
    SABOT_TRY(meddle("write", error));
    return sb_channel_memory.write(writer, record, error);
}

static sabot_status bad_flush(struct sb_writer *writer, sabot_error *error)
{
    SABOT_TRY(meddle("flush", error));
    return sb_channel_memory.flush(writer, error);
}

static sabot_status bad_commit(struct sb_txn *txn, sabot_error *error)
{
    SABOT_TRY(meddle("commit", error));
    return sb_channel_memory.txn_commit(txn, error);
}

static sabot_status bad_abort(struct sb_txn *txn, sabot_error *error)
{
    SABOT_TRY(meddle("abort", error));
    moods.aborts++;
    return sb_channel_memory.txn_abort(txn, error);
}

/* --- A pipeline of two channels --------------------------------------------------------------- */

struct fixture {
    struct sb_env *env;
    struct sb_waker *waker;
    struct sb_log *log;
    struct sb_channel_type type; /* memory, but for what fails */
    struct sb_node nodes[NODES];
    struct sb_graph graph;
    struct sb_commit *commit;
    struct sb_manifest manifest; /* of the last checkpoint that was staged */
    struct sb_manifest_source source;
    struct sb_part_position positions[PARTITIONS];
    uint32_t staged;    /* records, numbered from 0 */
    uint64_t no_memory; /* the n-th allocation of keeping fails, and all that follow; 0: none */
    int64_t offset;     /* of the last checkpoint that was committed, in every partition; 0: none */
    sabot_error error;
};

static const char *url_of(const char *name)
{
    if (strcmp(name, "in") == 0)
        return "memory:in?partitions=3";
    return strcmp(name, "more") == 0 ? "memory:more?partitions=1000" : "memory:out";
}

static struct sb_channel *open_channel(struct fixture *f, const char *name, bool reading)
{
    const struct sb_channel_config config = {
        .name = name,
        .url = url_of(name),
        .for_reading = reading,
        .for_writing = !reading,
        .record_max = 1 << 20,
        .buffer_bytes = 1 << 24,
        .start = "earliest",
        .log = f->log,
    };
    struct sb_channel *channel;

    if (sb_channel_memory.open(f->env, &config, f->waker, &channel, &f->error) != SABOT_OK ||
        sb_channel_memory.prepare(channel, &f->error) != SABOT_OK)
        fail_msg("%s", f->error.text);
    return channel;
}

static void make_commit(struct fixture *f)
{
    const struct sb_commit_config config = {
        .env = f->env,
        .graph = &f->graph,
        .group = GROUP,
        .timeout_ms = 60000,
        .waker = f->waker,
    };

    if (sb_commit_create(&config, &f->commit, &f->error) != SABOT_OK)
        fail_msg("%s", f->error.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK ||
        f->env->type->waker_create(f->env->self, &f->waker, NULL) != SABOT_OK ||
        sb_log_create(f->env, &f->log, NULL) != SABOT_OK)
        return -1;
    memset(&moods, 0, sizeof moods);
    moods.random = carried.state == 0 ? kit_random_start(f->env) : carried;
    f->env->log_level = SABOT_LOG_ERROR; /* what fails here is meant to */
    f->type = sb_channel_memory;
    f->type.txn_fence = bad_fence;
    f->type.txn_begin = bad_begin;
    f->type.txn_offsets = bad_offsets;
    f->type.write = bad_write;
    f->type.flush = bad_flush;
    f->type.txn_commit = bad_commit;
    f->type.txn_abort = bad_abort;
    f->nodes[SOURCE] = (struct sb_node){
        .index = SOURCE,
        .kind = SB_NODE_SOURCE,
        .name = "transactions",
        .port = {.type = &f->type, .channel = open_channel(f, "in", true)},
    };
    f->nodes[SINK] = (struct sb_node){
        .index = SINK,
        .kind = SB_NODE_SINK,
        .name = "alerts",
        .port = {.type = &f->type, .channel = open_channel(f, "out", false), .stages = true},
    };
    f->graph = (struct sb_graph){.env = f->env, .nodes = f->nodes, .node_count = NODES};
    f->source = (struct sb_manifest_source){
        .channel = "transactions",
        .partition_count = PARTITIONS,
        .position_count = PARTITIONS,
        .positions = f->positions,
    };
    make_commit(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sb_commit_destroy(f->commit);
    for (int i = 0; i < NODES; i++)
        sb_channel_memory.close(f->nodes[i].port.channel);
    sb_log_destroy(f->log);
    f->env->type->waker_destroy(f->env->self, f->waker);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

/* --- What is committed ------------------------------------------------------------------------ */

/* A checkpoint whose sink has staged `records` more; its sources stand at id * 100. */
static void stage(struct fixture *f, int64_t id, uint32_t records)
{
    struct sb_checkpoint *checkpoint;
    struct sb_buffer *bytes;

    assert_int_equal(sb_checkpoint_create(f->env, id, NODES, 1, &checkpoint, NULL), SABOT_OK);
    bytes = &sb_checkpoint_part(checkpoint, 0, SINK)->bytes;
    sb_buffer_init(bytes, f->env);
    for (uint32_t i = 0; i < records; i++) {
        char value[VALUE_MAX];
        const int size = snprintf(value, sizeof value, "%" PRIu32, f->staged++);
        const struct sb_record record = {.value = {value, (size_t)size}};

        assert_int_equal(sb_stage_append(bytes, &record), SABOT_OK);
    }
    sb_os_env_fail_allocation(f->env, f->no_memory);
    sb_commit_keep(f->commit, checkpoint);
    sb_checkpoint_destroy(checkpoint);
    for (int32_t i = 0; i < PARTITIONS; i++)
        f->positions[i] = (struct sb_part_position){.partition = i, .offset = id * 100 + i};
    f->manifest = (struct sb_manifest){
        .app = "app",
        .pipeline = "pipe",
        .id = id,
        .nonce = (uint64_t)id * 7,
        .owner = 99,
        .checksum = (uint64_t)id * 13,
        .source_count = 1,
        .sources = &f->source,
    };
}

static sabot_status step(struct fixture *f)
{
    sabot_status status;
    uint64_t bytes;

    do {
        f->error = (sabot_error){.status = SABOT_OK};
        status = sb_commit_step(f->commit, &f->manifest, &bytes, &f->error);
    } while (status == SABOT_AGAIN);
    return status;
}

static sabot_status recover(struct fixture *f, bool *found, struct sb_commit_mark *mark)
{
    sabot_status status;

    do {
        f->error = (sabot_error){.status = SABOT_OK};
        status = sb_commit_recover(f->commit, found, mark, &f->error);
    } while (status == SABOT_AGAIN);
    return status;
}

static void recover_well(struct fixture *f, bool *found, struct sb_commit_mark *mark)
{
    if (recover(f, found, mark) != SABOT_OK)
        fail_msg("%s", f->error.text);
}

/* The process dies, another comes. */
static void start_anew(struct fixture *f)
{
    sb_commit_destroy(f->commit);
    make_commit(f);
}

struct seen {
    uint32_t next; /* number that must come */
};

static sabot_status see(void *context, const struct sb_record *record)
{
    struct seen *seen = context;
    char expected[VALUE_MAX];

    (void)snprintf(expected, sizeof expected, "%" PRIu32, seen->next++);
    if (strlen(expected) != record->value.size ||
        memcmp(expected, record->value.data, record->value.size) != 0)
        fail_msg("record %s was expected, and %.*s came", expected, (int)record->value.size,
                 record->value.data);
    return SABOT_OK;
}

/* Readers see the first `records` in order, each once. */
static void assert_output(struct fixture *f, uint32_t records)
{
    const struct sb_reader_position position = {.offset = SB_OFFSET_BEGIN};
    struct sb_channel *channel = open_channel(f, "out", true);
    struct sb_reader *reader;
    struct seen seen = {.next = 0};
    sabot_status status;

    assert_int_equal(
        sb_channel_memory.reader_open(channel, &position, 1, f->waker, &reader, &f->error),
        SABOT_OK);
    do
        status = sb_channel_memory.poll(reader, 0, 1000, see, &seen, &f->error);
    while (status == SABOT_OK);
    assert_true(status == SABOT_AGAIN || status == SABOT_END);
    assert_int_equal(seen.next, records);
    sb_channel_memory.reader_close(reader);
    sb_channel_memory.close(channel);
}

/* By hand, or by another program; NULL: without metadata. */
static void set_offset(struct fixture *f, int32_t partition, int64_t offset, const char *metadata)
{
    char text[128];
    const struct sb_offset changed = {
        .partition = partition, .offset = offset, .metadata = metadata == NULL ? NULL : text};

    (void)snprintf(text, sizeof text, "%s", metadata == NULL ? "" : metadata);
    assert_int_equal(
        sb_channel_memory.commit(f->nodes[SOURCE].port.channel, GROUP, &changed, 1, &f->error),
        SABOT_OK);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void commit_two(struct fixture *f)
{
    struct sb_commit_mark mark;
    bool found;

    recover_well(f, &found, &mark);
    assert_false(found);
    for (int64_t id = 1; id <= 2; id++) {
        stage(f, id, 10);
        assert_int_equal(step(f), SABOT_OK);
    }
}

static void test_a_commit_is_found_by_the_next_incarnation(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    assert_output(f, 20);
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_true(found);
    assert_int_equal(mark.id, 2);
    assert_int_equal(mark.nonce, 14);
    assert_int_equal(mark.checksum, 26);
    assert_int_equal(mark.owner, 99);
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_OK);
    recover_well(f, &found, &mark); /* however often it is asked */
    assert_true(found);
    assert_int_equal(mark.id, 2);
}

static void test_what_was_staged_waits_for_the_next_commit(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    recover_well(f, &found, &mark);
    stage(f, 1, 7); /* its checkpoint fails: there is no commit */
    stage(f, 2, 5);
    assert_output(f, 0);
    assert_int_equal(step(f), SABOT_OK);
    assert_output(f, 12);
    stage(f, 3, 0);
    assert_int_equal(step(f), SABOT_OK);
    assert_output(f, 12);
}

static void test_after_an_abort_everything_is_sent_again_once(void **state)
{
    static const char *const calls[] = {"offsets", "write", "flush", "commit"};
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    recover_well(f, &found, &mark);
    for (int64_t id = 1; id <= 4; id++) {
        stage(f, id, 20);
        moods.at = calls[id - 1];
        moods.next = FAULT_ABORTABLE;
        if (step(f) != SABOT_OK)
            fail_msg("%s: %s", moods.at, f->error.text);
        assert_int_equal(moods.next, FAULT_NONE);
        assert_output(f, (uint32_t)id * 20);
    }
    assert_int_equal(moods.aborts, 4);
}

static void test_a_call_that_is_fatal_ends_with_the_reason(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    stage(f, 3, 10);
    moods.at = "commit";
    moods.next = FAULT_FATAL;
    assert_int_equal(step(f), SABOT_ERR_BROKER);
    assert_non_null(strstr(f->error.text, "commit: it was told to fail"));
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_int_equal(mark.id, 2);
    assert_output(f, 20);
}

static sabot_status never_commits(struct sb_txn *txn, sabot_error *error)
{
    (void)txn;
    return sabot_raise(error, SABOT_ERR_BROKER, "this transaction is not to be");
}

/* Between two calls the caller's error is anything. */
static void test_a_commit_that_is_given_up_is_never_taken_for_one(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    sabot_status status;
    uint64_t bytes;
    bool found;

    recover_well(f, &found, &mark);
    f->type.txn_commit = never_commits;
    moods.per_thousand[FAULT_AGAIN] = 500;
    stage(f, 1, 10);
    do {
        memset(&f->error, 0, sizeof f->error);
        status = sb_commit_step(f->commit, &f->manifest, &bytes, &f->error);
    } while (status == SABOT_AGAIN);
    assert_int_equal(status, SABOT_ERR_BROKER);
    for (int i = 0; i < 2; i++) {
        memset(&f->error, 0, sizeof f->error);
        assert_int_equal(sb_commit_step(f->commit, &f->manifest, &bytes, &f->error),
                         SABOT_ERR_BROKER);
        assert_non_null(strstr(f->error.text, "not to be"));
    }
    assert_output(f, 0);
}

static void test_after_so_many_aborts_the_commit_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    f->type.txn_commit = never_commits;
    stage(f, 3, 10);
    assert_int_equal(step(f), SABOT_ERR_BROKER);
    assert_non_null(strstr(f->error.text, "not to be"));
    assert_int_equal(moods.aborts, 5);
    f->type.txn_commit = bad_commit;
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_int_equal(mark.id, 2);
    assert_output(f, 20);
}

static void test_who_is_fenced_commits_nothing_and_is_told(void **state)
{
    struct fixture *f = *state;
    struct sb_commit *old = f->commit;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    stage(f, 3, 10);
    make_commit(f); /* another worker */
    recover_well(f, &found, &mark);
    assert_int_equal(mark.id, 2);
    struct sb_commit *young = f->commit;
    f->commit = old;
    assert_int_equal(step(f), SABOT_ERR_FENCED);
    assert_output(f, 20);
    sb_commit_destroy(old);
    f->commit = young;
    f->staged = 20;
    stage(f, 3, 10);
    assert_int_equal(step(f), SABOT_OK);
    assert_output(f, 30);
}

/* --- Offsets that somebody else has touched --------------------------------------------------- */

static void assert_touched(struct fixture *f, const char *what)
{
    struct sb_commit_mark mark;
    bool found;

    start_anew(f);
    assert_int_equal(recover(f, &found, &mark), SABOT_ERR_STATE);
    if (strstr(f->error.text, what) == NULL || strstr(f->error.text, "--reset") == NULL ||
        strstr(f->error.text, "partition 1") == NULL)
        fail_msg("\"%s\" doesn't say \"%s\", the partition and the way out", f->error.text, what);
}

static void test_offsets_without_the_mark_of_a_checkpoint_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "sabot1",
        "sabot2 0000000000000002 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 0000000000000002 000000000000000e 000000000000001a 000000000000006",
        "sabot1 0000000000000002 000000000000000e 000000000000001a 00000000000000633",
        "sabot1 0000000000000002 000000000000000e 000000000000001a 000000000000006g",
        "sabot1 0000000000000002 000000000000000E 000000000000001a 0000000000000063",
        "sabot1 0x00000000000002 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 -000000000000002 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 +000000000000002 000000000000000e 000000000000001a 0000000000000063",
        "sabot1                2 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 0000000000000000 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 8000000000000000 000000000000000e 000000000000001a 0000000000000063",
        "sabot1 0000000000000002-000000000000000e 000000000000001a 0000000000000063",
    };
    struct fixture *f = *state;

    commit_two(f);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        set_offset(f, 1, 201, wrong[i]);
        assert_touched(f, "names no checkpoint");
    }
    set_offset(f, 1, 201, NULL);
    assert_touched(f, "names no checkpoint");
}

static void test_partitions_that_name_different_checkpoints_are_refused(void **state)
{
    static const char other[] =
        "sabot1 0000000000000001 0000000000000007 000000000000000d 0000000000000063";
    struct fixture *f = *state;

    commit_two(f);
    set_offset(f, 1, 201, other);
    assert_touched(f, "names another checkpoint");
}

static void test_offsets_other_than_those_of_the_manifest_are_refused(void **state)
{
    static const char mark_text[] =
        "sabot1 0000000000000002 000000000000000e 000000000000001a 0000000000000063";
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    set_offset(f, 2, 150, mark_text);
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_true(found);
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "partition 2 at offset 150"));
    assert_non_null(strstr(f->error.text, "--reset"));
}

static void test_a_partition_that_no_manifest_knows_is_refused_unless_it_is_new(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    commit_two(f);
    start_anew(f);
    recover_well(f, &found, &mark);
    f->source.position_count = 2; /* the third has an offset, and no position */
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "partition 2"));
}

static void test_a_partition_whose_offset_is_gone_is_refused(void **state)
{
    static const char mark_text[] =
        "sabot1 0000000000000002 000000000000000e 000000000000001a 0000000000000063";
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    recover_well(f, &found, &mark);
    stage(f, 2, 0);
    set_offset(f, 0, 200, mark_text);
    set_offset(f, 2, 202, mark_text);
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_true(found);
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "partition 1"));
}

/* --- Inputs without offsets ------------------------------------------------------------------- */

static void test_a_pipeline_without_offsets_marks_its_output_instead(void **state)
{
    struct fixture *f = *state;
    struct sb_channel_type other = f->type;
    struct sb_offset offset = {.channel = "out", .partition = 0};
    struct sb_commit_mark mark;
    bool found;

    other.committed = NULL; /* as a file's */
    f->nodes[SOURCE].port.type = &other;
    start_anew(f);
    commit_two(f);
    assert_output(f, 20);
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_true(found);
    assert_int_equal(mark.id, 2);
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_OK);
    /* The number is the checkpoint's. */
    assert_int_equal(
        sb_channel_memory.committed(f->nodes[SINK].port.channel, GROUP, &offset, 1, &f->error),
        SABOT_OK);
    assert_int_equal(offset.offset, 2);
    sb_string_free(f->env, offset.metadata);
    f->manifest.id = 1;
    assert_int_equal(sb_commit_compare(f->commit, &f->manifest, &f->error), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "--from-offsets"));
    f->nodes[SOURCE].port.type = &f->type;
}

/* --- Clusters --------------------------------------------------------------------------------- */

static const struct sb_channel *far_away;

static const char *cluster_of(const struct sb_channel *channel)
{
    return channel == far_away ? "moon" : "earth";
}

static void test_channels_of_two_clusters_are_refused_with_what_is_offered(void **state)
{
    struct fixture *f = *state;
    const struct sb_commit_config config = {
        .env = f->env, .graph = &f->graph, .group = GROUP, .timeout_ms = 60000, .waker = f->waker};
    struct sb_commit *commit;

    f->type.cluster = cluster_of;
    far_away = f->nodes[SOURCE].port.channel;
    assert_int_equal(sb_commit_create(&config, &commit, &f->error), SABOT_ERR_CONFIG);
    assert_null(commit);
    assert_non_null(strstr(f->error.text, "channel transactions is in cluster moon, and channel "
                                          "alerts in earth"));
    assert_non_null(strstr(f->error.text, "guarantee=at-least-once"));
    far_away = NULL;
    assert_int_equal(sb_commit_create(&config, &commit, &f->error), SABOT_OK);
    sb_commit_destroy(commit);
}

/* --- Sinks of one producer -------------------------------------------------------------------- */

enum { TASK = 2, SMALL = 3, MORE_NODES = 4 };

static const struct sb_channel *produced_to; /* the channel that the last producer was opened for */

static sabot_status note_txn_open(struct sb_channel *channel,
                                  const char *id,
                                  int64_t timeout_ms,
                                  struct sb_waker *waker,
                                  struct sb_txn **txn_out,
                                  sabot_error *error)
{
    produced_to = channel;
    return sb_channel_memory.txn_open(channel, id, timeout_ms, waker, txn_out, error);
}

static const struct sb_channel *small; /* its records are the smallest */

static uint64_t record_max_of(const struct sb_channel *channel)
{
    return channel == small ? 1000 : 2000;
}

static void test_the_producer_is_made_for_the_sink_of_the_smallest_records(void **state)
{
    struct fixture *f = *state;
    struct sb_channel_type stages_not = f->type;
    struct sb_node nodes[MORE_NODES] = {
        [SOURCE] = f->nodes[SOURCE],
        [SINK] = f->nodes[SINK],
        [TASK] = {.index = TASK, .kind = SB_NODE_TASK, .name = "agent"},
        [SMALL] = {.index = SMALL, .kind = SB_NODE_SINK, .name = "few"},
    };
    const struct sb_graph graph = {.env = f->env, .nodes = nodes, .node_count = MORE_NODES};
    const struct sb_commit_config config = {
        .env = f->env, .graph = &graph, .group = GROUP, .timeout_ms = 60000, .waker = f->waker};
    struct sb_channel *few = open_channel(f, "out", false);
    struct sb_commit *commit;

    f->type.txn_open = note_txn_open;
    f->type.record_max = record_max_of;
    f->type.cluster = cluster_of;
    far_away = NULL;
    small = few;
    nodes[SMALL].port = (struct sb_port){.type = &f->type, .channel = few, .stages = true};
    assert_int_equal(sb_commit_create(&config, &commit, &f->error), SABOT_OK);
    assert_ptr_equal(produced_to, few);
    sb_commit_destroy(commit);
    /* One that doesn't stage, or says nothing of its records, is not asked. */
    stages_not.record_max = NULL;
    nodes[SMALL].port = (struct sb_port){.type = &stages_not, .channel = few};
    assert_int_equal(sb_commit_create(&config, &commit, &f->error), SABOT_OK);
    assert_ptr_equal(produced_to, f->nodes[SINK].port.channel);
    sb_commit_destroy(commit);
    f->type.record_max = NULL;
    assert_int_equal(sb_commit_create(&config, &commit, &f->error), SABOT_OK);
    assert_ptr_equal(produced_to, f->nodes[SINK].port.channel);
    sb_commit_destroy(commit);
    sb_channel_memory.close(few);
}

/* --- More inputs than one --------------------------------------------------------------------- */

enum { MORE = 2, TWO_INPUTS = 3, MORE_PARTITIONS = 1000 };

static sabot_status commit_manifest(struct fixture *f, struct sb_commit *commit)
{
    sabot_status status;
    uint64_t bytes;

    do
        status = sb_commit_step(commit, &f->manifest, &bytes, &f->error);
    while (status == SABOT_AGAIN);
    return status;
}

static struct sb_commit *make_commit_of(struct fixture *f, const struct sb_graph *graph)
{
    const struct sb_commit_config config = {
        .env = f->env, .graph = graph, .group = GROUP, .timeout_ms = 60000, .waker = f->waker};
    struct sb_commit *commit;

    if (sb_commit_create(&config, &commit, &f->error) != SABOT_OK)
        fail_msg("%s", f->error.text);
    return commit;
}

/* Fence, read, compare, and describe what was read. */
static sabot_status recover_two(struct fixture *f, struct sb_commit *commit, bool *found_out)
{
    struct sb_commit_mark mark;
    sabot_status status;

    do
        status = sb_commit_recover(commit, found_out, &mark, &f->error);
    while (status == SABOT_AGAIN);
    if (status == SABOT_OK && *found_out)
        status = sb_commit_compare(commit, &f->manifest, &f->error);
    return status;
}

/* The second input is new at first: its partitions have no offset until a manifest knows them. */
static void test_each_input_stands_where_its_own_manifest_says(void **state)
{
    static struct sb_part_position positions[MORE_PARTITIONS];
    struct fixture *f = *state;
    struct sb_channel *more = open_channel(f, "more", true);
    struct sb_node nodes[TWO_INPUTS] = {f->nodes[SOURCE], f->nodes[SINK], f->nodes[SOURCE]};
    const struct sb_graph graph = {.env = f->env, .nodes = nodes, .node_count = TWO_INPUTS};
    struct sb_manifest_source sources[2];
    struct sb_manifest described;
    struct sb_commit *commit;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n = 0;
    bool found;

    nodes[MORE].index = MORE;
    nodes[MORE].name = "more";
    nodes[MORE].port.channel = more;
    commit_two(f);
    commit = make_commit_of(f, &graph);
    assert_int_equal(recover_two(f, commit, &found), SABOT_OK);
    assert_true(found);
    assert_int_equal(commit_manifest(f, commit), SABOT_OK);
    for (int32_t i = 0; i < MORE_PARTITIONS; i++)
        positions[i] = (struct sb_part_position){.partition = i, .offset = 7000 + i};
    sources[0] = (struct sb_manifest_source){.channel = "more",
                                             .partition_count = MORE_PARTITIONS,
                                             .position_count = MORE_PARTITIONS,
                                             .positions = positions};
    sources[1] = f->source;
    f->manifest.sources = sources;
    f->manifest.source_count = 2;
    assert_int_equal(commit_manifest(f, commit), SABOT_OK);
    sb_commit_destroy(commit);
    commit = make_commit_of(f, &graph);
    assert_int_equal(recover_two(f, commit, &found), SABOT_OK);
    while (status != SABOT_OK) {
        sb_manifest_init(&described, f->env);
        sb_os_env_fail_allocation(f->env, ++n);
        status = sb_commit_describe(commit, &described, &f->error);
        sb_os_env_fail_allocation(f->env, 0);
        if (status != SABOT_OK) {
            assert_string_equal(f->error.text, GROUP ": no memory for offsets");
            sb_manifest_reset(&described);
        }
        assert_true(n < 10);
    }
    assert_int_equal(described.source_count, 2);
    assert_int_equal(described.sources[0].position_count, PARTITIONS);
    assert_int_equal(described.sources[1].position_count, MORE_PARTITIONS);
    assert_int_equal(described.sources[1].positions[999].offset, 7999);
    sb_manifest_reset(&described);
    positions[999].offset++;
    assert_int_equal(recover_two(f, commit, &found), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text, "more partition 999 at offset 7999"));
    sb_commit_destroy(commit);
    sb_channel_memory.close(more);
}

/* --- Without a checkpoint --------------------------------------------------------------------- */

static sabot_status describe(struct fixture *f)
{
    const sabot_status status = sb_commit_describe(f->commit, &f->manifest, &f->error);

    if (status != SABOT_OK)
        assert_int_equal(status, f->error.status);
    return status;
}

static void test_a_start_from_the_offsets_takes_them_for_positions(void **state)
{
    struct fixture *f = *state;
    struct sb_commit_mark mark;
    bool found;

    set_offset(f, 0, 17, NULL);
    set_offset(f, 2, 19, "by hand");
    assert_int_equal(recover(f, &found, &mark), SABOT_ERR_STATE);
    sb_manifest_init(&f->manifest, f->env);
    assert_int_equal(describe(f), SABOT_OK);
    assert_int_equal(f->manifest.source_count, 1);
    assert_string_equal(f->manifest.sources[0].channel, "transactions");
    assert_int_equal(f->manifest.sources[0].partition_count, PARTITIONS);
    assert_int_equal(f->manifest.sources[0].position_count, 2);
    for (int i = 0; i < 2; i++) {
        const struct sb_part_position *position = &f->manifest.sources[0].positions[i];

        assert_int_equal(position->partition, 2 * i);
        assert_int_equal(position->offset, 17 + 2 * i);
        assert_true(position->watermark_ms == INT64_MIN);
        assert_false(position->ended);
    }
    sb_manifest_reset(&f->manifest);
}

static void assert_no_offsets(struct fixture *f)
{
    sb_manifest_init(&f->manifest, f->env);
    assert_int_equal(describe(f), SABOT_ERR_STATE);
    assert_non_null(strstr(f->error.text,
                           "--from-offsets: group " GROUP " has no committed offset of any input"));
    sb_manifest_reset(&f->manifest);
}

static void test_a_start_from_offsets_that_are_not_there_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_channel_type other = f->type;
    struct sb_commit_mark mark;
    bool found;

    recover_well(f, &found, &mark);
    assert_false(found);
    assert_no_offsets(f);
    /* And an anchor is no offset of an input. */
    other.committed = NULL;
    f->nodes[SOURCE].port.type = &other;
    start_anew(f);
    commit_two(f);
    start_anew(f);
    recover_well(f, &found, &mark);
    assert_true(found);
    assert_no_offsets(f);
    f->nodes[SOURCE].port.type = &f->type;
}

/* --- No memory -------------------------------------------------------------------------------- */

static void test_memory_that_runs_out_at_a_start_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const struct sb_commit_config config = {
        .env = f->env, .graph = &f->graph, .group = GROUP, .timeout_ms = 60000, .waker = f->waker};
    struct sb_commit_mark mark;
    sabot_status status = SABOT_ERR_MEMORY;
    bool found;
    uint64_t n;

    commit_two(f);
    sb_commit_destroy(f->commit);
    for (n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->env, n);
        status = sb_commit_create(&config, &f->commit, &f->error);
        if (status == SABOT_OK)
            status = recover(f, &found, &mark);
        if (status == SABOT_OK) {
            sb_manifest_init(&f->manifest, f->env);
            status = describe(f);
            sb_manifest_reset(&f->manifest);
        }
        sb_os_env_fail_allocation(f->env, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_non_null(strstr(f->error.text, "no memory"));
            sb_commit_destroy(f->commit);
        }
    }
    print_message("%d allocations\n", (int)n - 2);
    assert_true(n > 8);
    assert_int_equal(mark.id, 2);
}

/* What is not committed is made again by the next incarnation, and comes once. */
static void test_memory_that_runs_out_in_a_commit_loses_and_doubles_nothing(void **state)
{
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    (void)state;
    for (n = 1; status != SABOT_OK; n++) {
        struct sb_commit_mark mark;
        struct fixture *f;
        void *one = NULL;
        bool found;

        if (setup(&one) != 0 || one == NULL) {
            fail();
            return;
        }
        f = one;
        commit_two(f);
        f->no_memory = n;
        stage(f, 3, 10);
        /* An abort on the way: to write again must go well as well. */
        moods.at = "commit";
        moods.next = FAULT_ABORTABLE;
        status = step(f);
        sb_os_env_fail_allocation(f->env, 0);
        f->no_memory = 0;
        if (status != SABOT_OK) {
            assert_non_null(strstr(f->error.text, "memory"));
            moods.next = FAULT_NONE;
            start_anew(f);
            recover_well(f, &found, &mark);
            assert_int_equal(mark.id, 2);
            assert_output(f, 20);
            f->staged = 20;
            stage(f, 3, 10);
            assert_int_equal(step(f), SABOT_OK);
        }
        assert_output(f, 30);
        carried = moods.random;
        assert_int_equal(teardown(&one), 0);
        assert_true(n < 200);
    }
    print_message("%d allocations\n", (int)n - 2);
    assert_true(n > 4);
}

/* --- Schedules -------------------------------------------------------------------------------- */

/* A few checkpoints, with faults at random; whoever is lost is followed by the next. */
static void run_schedule(struct fixture *f)
{
    const uint32_t mood = kit_random_below(&moods.random, 4);
    uint32_t committed = 0;
    int64_t committed_id = 0;
    struct sb_commit_mark mark;
    bool found;

    moods.per_thousand[FAULT_AGAIN] = 200;
    moods.per_thousand[FAULT_RETRIABLE] = 50 * mood;
    moods.per_thousand[FAULT_ABORTABLE] = 20 * mood;
    moods.per_thousand[FAULT_FATAL] = 3 * mood;
    for (int64_t id = 1; id <= 12; id++) {
        if (recover(f, &found, &mark) != SABOT_OK) {
            start_anew(f); /* it was fatal to fence */
            id--;
            continue;
        }
        for (; id <= 12; id++) {
            stage(f, id, kit_random_below(&moods.random, 30));
            if (kit_random_below(&moods.random, 4) == 0)
                continue; /* the checkpoint fails: its output goes with the next */
            if (step(f) != SABOT_OK)
                break;
            committed = f->staged;
            committed_id = id;
        }
        assert_output(f, committed);
        f->staged = committed; /* what was not committed is made again */
        start_anew(f);
    }
    memset(moods.per_thousand, 0, sizeof moods.per_thousand);
    recover_well(f, &found, &mark);
    assert_int_equal(found, committed_id > 0);
    if (found)
        assert_int_equal(mark.id, committed_id);
    assert_output(f, committed);
}

static void test_schedules_of_faults_lose_and_double_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULES; i++) {
        void *one = NULL;

        if (setup(&one) != 0 || one == NULL) {
            fail();
            return;
        }
        run_schedule(one);
        carried = moods.random;
        assert_int_equal(teardown(&one), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_commit_is_found_by_the_next_incarnation),
        TEST(test_what_was_staged_waits_for_the_next_commit),
        TEST(test_after_an_abort_everything_is_sent_again_once),
        TEST(test_a_call_that_is_fatal_ends_with_the_reason),
        TEST(test_a_commit_that_is_given_up_is_never_taken_for_one),
        TEST(test_after_so_many_aborts_the_commit_is_given_up),
        TEST(test_who_is_fenced_commits_nothing_and_is_told),
        TEST(test_offsets_without_the_mark_of_a_checkpoint_are_refused),
        TEST(test_partitions_that_name_different_checkpoints_are_refused),
        TEST(test_offsets_other_than_those_of_the_manifest_are_refused),
        TEST(test_a_partition_that_no_manifest_knows_is_refused_unless_it_is_new),
        TEST(test_a_partition_whose_offset_is_gone_is_refused),
        TEST(test_a_pipeline_without_offsets_marks_its_output_instead),
        TEST(test_channels_of_two_clusters_are_refused_with_what_is_offered),
        TEST(test_the_producer_is_made_for_the_sink_of_the_smallest_records),
        TEST(test_each_input_stands_where_its_own_manifest_says),
        TEST(test_a_start_from_the_offsets_takes_them_for_positions),
        TEST(test_a_start_from_offsets_that_are_not_there_is_refused),
        TEST(test_memory_that_runs_out_at_a_start_leaves_nothing),
        cmocka_unit_test(test_memory_that_runs_out_in_a_commit_loses_and_doubles_nothing),
        cmocka_unit_test(test_schedules_of_faults_lose_and_double_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
