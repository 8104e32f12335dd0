/* SPDX-License-Identifier: Apache-2.0 */
/* test_coordinator_steps.c - the coordinator step by step: its flow is stepped by the test, its
 * disk fails when it is told to, and time passes when nobody has anything to do.
 *
 *   in (3 partitions) --> count (by key, one cell each) --> out
 *
 * Whatever becomes of a checkpoint: no record is lost, the next one works, and what was written is
 * what is restored. */
#include "ckpt_kit.h"
#include "disk.h"
#include "flow_channel.h"
#include "state_rocksdb.h"

#include "ckpt/coordinator.h"
#include "ckpt/restore.h"
#include "op/context.h"
#include "op/process.h"
#include "state/rows.h"
#include "state/stream.h"

enum { PARTITIONS = 3, KEYS = 13, OWNER = 5, CALLS_MAX = 300 };

static const int64_t SECOND_US = 1000000;

struct count {
    int64_t times;
};

static const sabot_field count_fields[] = {
    SABOT_FIELD(struct count, times, "times", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema count_table = SABOT_SCHEMA("count", 1, struct count, count_fields);

struct fixture {
    struct kit *kit;
    struct disk disk;
    struct sb_waker *owner;
    struct sb_channel_type type; /* of the input */
    struct sb_channel input;
    struct sb_channel output;
    struct sb_schema *schema; /* of the state */
    struct sb_state_spec spec;
    struct sb_process_settings settings;
    struct sb_keyed_settings keyed;
    struct sb_graph graph;
    uint32_t source;
    struct sb_flow *flow;
    struct sb_ckpt_folder folder;
    struct sb_coordinator_config config;
    struct sb_coordinator coordinator;
    struct sb_follow *follow;
    uint32_t records; /* shown in each partition */
    sabot_error error;
};

static struct fixture fixture; /* one test at a time */

#define WELL(call)                         \
    do {                                   \
        if ((call) != SABOT_OK)            \
            fail_msg("%s", f->error.text); \
    } while (0)

/* --- Time ------------------------------------------------------------------------------------- */

static int64_t clock_us;

static int64_t virtual_now_us(void *self)
{
    (void)self;
    return clock_us;
}

/* --- The agent -------------------------------------------------------------------------------- */

static struct sabot_value counted;
static struct sabot_output results;

static sabot_status count(sabot_context *context, const void *record)
{
    struct count *cell = sabot_value_edit(context, &counted);

    if (cell == NULL)
        return sabot_context_status(context);
    cell->times++;
    return sabot_emit(context, &results, record);
}

/* --- Building --------------------------------------------------------------------------------- */

static void power_on(struct fixture *f)
{
    disk_make(&f->disk, f->kit->env);
    f->disk.type.now_us = virtual_now_us;
    f->disk.env.log_level = SABOT_LOG_ERROR;
}

static struct fixture *begin(void **state)
{
    struct fixture *f = &fixture;
    struct sb_env *env;

    memset(f, 0, sizeof *f);
    f->kit = *state;
    env = f->kit->env;
    env->log_level = SABOT_LOG_ERROR;
    clock_us = SECOND_US;
    f->type = kit_channel_type;
    assert_int_equal(env->type->waker_create(env->self, &f->owner, NULL), SABOT_OK);
    assert_int_equal(sb_schema_create(env, &count_table, SB_SCHEMA_STATE, &f->schema, &f->error),
                     SABOT_OK);
    f->spec = (struct sb_state_spec){.name = "times", .kind = SB_STATE_VALUE, .schema = f->schema};
    f->settings = (struct sb_process_settings){.owner = f, .function = count, .user = f};
    f->keyed = (struct sb_keyed_settings){.states = &f->spec, .state_count = 1};
    counted = (struct sabot_value){.state = {.owner = f,
                                             .agent = "count",
                                             .kind = SB_STATE_VALUE,
                                             .size = sizeof(struct count),
                                             .name = "times"}};
    results = (struct sabot_output){.owner = f, .index = 0};
    power_on(f);
    return f;
}

static void build_graph(struct fixture *f)
{
    const struct sb_port port = {
        .type = &f->type,
        .channel = &f->input,
        .codec = &kit_codec,
        .schema = f->kit->schema,
        .event_time_field = KIT_TIME,
        .key_field = SB_NO_FIELD,
    };
    const struct sb_node source = {
        .kind = SB_NODE_SOURCE, .name = "in", .port = port, .output_count = 1};
    const struct sb_node agent = {
        .kind = SB_NODE_TASK,
        .name = "count",
        .type = &sb_operator_process,
        .settings = &f->settings,
        .keyed = &f->keyed,
        .input = f->kit->schema,
        .key_field = KIT_KEY,
        .output_count = 1,
        .outputs = {f->kit->schema},
        .output_times = {KIT_TIME},
    };
    struct sb_node sink = {.kind = SB_NODE_SINK, .name = "out", .port = port};
    struct sb_edge edge = {.route = SB_ROUTE_KEY, .key_field = KIT_KEY};
    uint32_t task;

    sink.port.channel = &f->output;
    assert_int_equal(sb_graph_init(&f->graph, f->kit->env), SABOT_OK);
    WELL(sb_graph_node(&f->graph, &source, &f->source, &f->error));
    WELL(sb_graph_node(&f->graph, &agent, &task, &f->error));
    edge.from = f->source;
    edge.to = task;
    WELL(sb_graph_edge(&f->graph, &edge, &f->error));
    edge = (struct sb_edge){.from = task, .route = SB_ROUTE_LOCAL, .key_field = SB_NO_FIELD};
    WELL(sb_graph_node(&f->graph, &sink, &edge.to, &f->error));
    WELL(sb_graph_edge(&f->graph, &edge, &f->error));
    WELL(sb_graph_check(&f->graph, &f->error));
}

static sabot_status start_coordinator(struct fixture *f)
{
    f->config = (struct sb_coordinator_config){
        .env = &f->disk.env,
        .flow = f->flow,
        .graph = &f->graph,
        .folder = &f->folder,
        .follow = f->follow,
        .owner = OWNER,
        .interval_us = SECOND_US,
        .refresh_us = 10 * SECOND_US,
        .timeout_us = 60 * SECOND_US,
        .keep = 2,
        .chain_max = 3,
    };
    return sb_coordinator_init(&f->coordinator, &f->config, &f->error);
}

static struct sb_flow_config flow_config(const struct fixture *f)
{
    return (struct sb_flow_config){
        .name = "pipe",
        .workers = 2,
        .batch_rows = 10,
        .ring_bytes = 1 << 20,
        .hash_seed = 17,
        .owner = f->owner,
        .has_checkpoints = true,
    };
}

static void start(struct fixture *f)
{
    const struct sb_flow_config config = flow_config(f);

    kit_input_init(&f->input, f->kit, PARTITIONS, 0, KEYS);
    atomic_store(&f->input.open_ended, true);
    kit_output_init(&f->output, f->kit);
    f->records = 0;
    build_graph(f);
    WELL(sb_flow_create(f->kit->env, &f->graph, &config, &f->flow, &f->error));
    WELL(sb_ckpt_folder_open(&f->folder, &f->disk.env, "/dir", "app", "pipe", &f->error));
    WELL(sb_ckpt_take_owner(&f->folder, OWNER, &f->error));
    WELL(start_coordinator(f));
}

static void stop(struct fixture *f)
{
    sb_flow_halt(f->flow);
    sb_coordinator_reset(&f->coordinator);
    sb_coordinator_reset(&f->coordinator); /* twice is once */
    sb_follow_destroy(f->follow);
    f->follow = NULL;
    sb_flow_destroy(f->flow);
    f->flow = NULL;
    sb_graph_reset(&f->graph);
    kit_output_reset(&f->output);
    sb_ckpt_folder_close(&f->folder);
}

static void power_off(struct fixture *f)
{
    assert_int_equal(f->disk.open_files, 0);
    disk_free(&f->disk);
}

static void finish_rest(struct fixture *f)
{
    power_off(f);
    sb_schema_destroy(f->schema);
    f->kit->env->type->waker_destroy(f->kit->env->self, f->owner);
}

static void finish(struct fixture *f)
{
    stop(f);
    finish_rest(f);
}

/* --- Running ---------------------------------------------------------------------------------- */

static void show_more(struct fixture *f, uint32_t records)
{
    f->records += records;
    kit_input_show(&f->input, f->records);
}

/* Flow and coordinator until both wait, or one of them is done; when the coordinator waits for. */
static int64_t run(struct fixture *f)
{
    struct sb_step step;

    do {
        while (sb_flow_status(f->flow, NULL) == SABOT_AGAIN &&
               sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
        step = sb_coordinator_step(&f->coordinator);
    } while (step.state == SB_STEP_AGAIN || f->coordinator.state == SB_COORDINATOR_WRITING);
    return step.state == SB_STEP_DONE ? INT64_MAX : step.deadline_us;
}

/* Until `completed` checkpoints have come about, or it is over; at most a minute. */
static void run_until(struct fixture *f, uint64_t completed)
{
    const int64_t patience_us = clock_us + 60 * SECOND_US;

    while (f->coordinator.state != SB_COORDINATOR_OVER &&
           atomic_load(&f->coordinator.completed) < completed && clock_us < patience_us) {
        const int64_t next_us = run(f);

        if (next_us > clock_us && next_us != INT64_MAX)
            clock_us = next_us;
    }
}

static void run_to_the_end(struct fixture *f)
{
    kit_input_finish(&f->input);
    run_until(f, UINT64_MAX);
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_OVER);
}

/* --- What was written is what is restored ----------------------------------------------------- */

static sabot_status restore_into(struct fixture *f,
                                 struct sb_restore *restore,
                                 struct sb_flow *flow)
{
    SABOT_TRY(sb_restore_find(restore, &f->error));
    if (!restore->found)
        return SABOT_OK;
    SABOT_TRY(sb_restore_match(restore, &f->graph, &f->error));
    return sb_restore_state(restore, flow, &f->error);
}

/* A flow that has written nothing; the output knows it no more. */
static void destroy_unused(struct fixture *f, struct sb_flow *flow)
{
    f->output.writer_count -= flow->config.workers;
    sb_flow_destroy(flow);
}

/* The newest checkpoint, in a flow of its own: it has seen so many records of each partition. */
static void expect_restored(struct fixture *f, int64_t id, int64_t records)
{
    const struct sb_flow_config config = flow_config(f);
    struct sb_restore restore;
    struct sb_flow *flow;

    WELL(sb_flow_create(f->kit->env, &f->graph, &config, &flow, &f->error));
    sb_restore_init(&restore, &f->disk.env, &f->folder);
    WELL(restore_into(f, &restore, flow));
    assert_true(restore.found);
    assert_int_equal(restore.manifest.id, id);
    assert_int_equal(restore.position_count, PARTITIONS);
    for (uint32_t i = 0; i < restore.position_count; i++)
        assert_int_equal(restore.positions[i].at.offset, records);
    sb_restore_reset(&restore);
    destroy_unused(f, flow);
}

/* --- When there is one ------------------------------------------------------------------------ */

static void a_checkpoint_comes_when_something_has_changed_and_the_interval_is_over(void **state)
{
    struct fixture *f = begin(state);

    start(f);
    assert_int_equal(run(f), clock_us + SECOND_US);
    clock_us += SECOND_US;
    show_more(f, 40);
    run_until(f, 1);
    assert_int_equal(atomic_load(&f->coordinator.completed_id), 1);
    expect_restored(f, 1, 40);
    run_until(f, 2); /* a minute in which nothing changes */
    assert_int_equal(atomic_load(&f->coordinator.completed), 1);
    for (int64_t id = 2; id <= 8; id++) { /* chains, and what goes with them */
        if (id == 6)
            f->coordinator.chain.files_max = 1; /* each is a full one */
        show_more(f, 40);
        run_until(f, (uint64_t)id);
        expect_restored(f, id, 40 * id);
    }
    run_to_the_end(f);
    assert_int_equal(f->coordinator.error.status, SABOT_OK);
    expect_restored(f, 9, 320);
    assert_int_equal(kit_output_count(&f->output), 320 * PARTITIONS);
    finish(f);
}

/* The time of the task in a checkpoint for which its two workers have said these. */
static int64_t time_of_task(void **state, int64_t one_ms, int64_t other_ms)
{
    struct fixture *f = begin(state);
    struct sb_restore restore;
    int64_t time_ms;

    start(f);
    show_more(f, 10);
    (void)sb_coordinator_ask(&f->coordinator);
    assert_int_equal(sb_coordinator_step(&f->coordinator).state, SB_STEP_AGAIN);
    while (sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_GATHERING);
    sb_checkpoint_part(f->coordinator.checkpoint, 0, 1)->watermark_ms = one_ms;
    sb_checkpoint_part(f->coordinator.checkpoint, 1, 1)->watermark_ms = other_ms;
    run_until(f, 1);
    sb_restore_init(&restore, &f->disk.env, &f->folder);
    WELL(sb_restore_find(&restore, &f->error));
    time_ms = restore.manifest.tasks[0].watermark_ms;
    sb_restore_reset(&restore);
    run_to_the_end(f);
    finish(f);
    return time_ms;
}

/* Inputs fall silent at another moment for each worker: what has fired in one of them has fired. */
static void the_time_of_a_task_is_that_of_its_fastest_worker(void **state)
{
    assert_int_equal(time_of_task(state, 660, 740), 740);
    assert_int_equal(time_of_task(state, 740, INT64_MIN), 740);
    assert_int_equal(time_of_task(state, INT64_MAX, 660), 660);
    assert_int_equal(time_of_task(state, INT64_MAX, INT64_MAX), INT64_MAX);
}

static void one_that_is_asked_for_comes_at_once(void **state)
{
    struct fixture *f = begin(state);
    int64_t id;

    start(f);
    id = sb_coordinator_ask(&f->coordinator);
    assert_int_equal(sb_coordinator_asked(&f->coordinator, id, &f->error), SABOT_AGAIN);
    (void)run(f);
    assert_int_equal(sb_coordinator_asked(&f->coordinator, id, &f->error), SABOT_OK);
    run_to_the_end(f);
    id = sb_coordinator_ask(&f->coordinator);
    assert_int_equal(sb_coordinator_asked(&f->coordinator, id, &f->error), SABOT_ERR_CLOSED);
    assert_string_equal(f->error.text, "pipeline pipe has ended");
    finish(f);
}

/* --- Offsets that follow ---------------------------------------------------------------------- */

static uint32_t commits;
static uint32_t pending; /* calls of the next commit that say SABOT_AGAIN */
static uint32_t failing; /* commits that fail */
static bool is_near = true;

static sabot_status commit_offsets(struct sb_channel *channel,
                                   const char *group,
                                   const struct sb_offset *offsets,
                                   uint32_t offset_count,
                                   sabot_error *error)
{
    (void)channel;
    (void)group;
    (void)offsets;
    assert_int_equal(offset_count, PARTITIONS);
    if (pending > 0) {
        pending--;
        return SABOT_AGAIN;
    }
    if (failing > 0) {
        failing--;
        return sabot_raise(error, SABOT_ERR_BROKER, "it was told to fail");
    }
    commits++;
    return SABOT_OK;
}

static sabot_status committed_offsets(struct sb_channel *channel,
                                      const char *group,
                                      struct sb_offset *offsets,
                                      uint32_t offset_count,
                                      sabot_error *error)
{
    (void)channel;
    (void)group;
    (void)offsets;
    (void)offset_count;
    (void)error;
    return SABOT_OK;
}

static const char *name_of(const struct sb_channel *channel)
{
    (void)channel;
    return "in";
}

static bool is_connected(const struct sb_channel *channel)
{
    (void)channel;
    return is_near;
}

static struct fixture *begin_following(void **state)
{
    struct fixture *f = begin(state);

    commits = 0;
    pending = 0;
    failing = 0;
    is_near = true;
    f->type.commit = commit_offsets;
    f->type.committed = committed_offsets;
    f->type.cluster = name_of;
    f->type.topic = name_of;
    f->type.connected = is_connected;
    start(f);
    sb_coordinator_reset(&f->coordinator);
    WELL(sb_follow_create(&f->graph, "group", &f->follow, &f->error));
    WELL(start_coordinator(f));
    return f;
}

static void offsets_are_committed_again_though_nothing_changes(void **state)
{
    struct fixture *f = begin_following(state);
    const int64_t begun_us = clock_us;

    run_until(f, 4);
    assert_int_equal(atomic_load(&f->coordinator.completed), 4);
    assert_int_equal(commits, 4);
    /* The first at the interval, for nobody knows what has changed before it. */
    assert_true(clock_us >= begun_us + 30 * SECOND_US);
    run_to_the_end(f);
    finish(f);
}

/* The first fails a while after its checkpoint, the second with it. */
static void offsets_that_failed_are_tried_again_though_nothing_changes(void **state)
{
    struct fixture *f = begin_following(state);
    int64_t begun_us;

    show_more(f, 10);
    run_until(f, 1);
    begun_us = clock_us;
    pending = 1;
    failing = 2;
    show_more(f, 10);
    run_until(f, 4);
    assert_int_equal(commits, 2);
    assert_true(clock_us == begun_us + (1 + 2 + 4) * SECOND_US);
    run_until(f, 5); /* and then as ever */
    assert_true(clock_us == begun_us + (1 + 2 + 4 + 10) * SECOND_US);
    assert_int_equal(commits, 3);
    run_to_the_end(f);
    finish(f);
}

static void the_end_waits_for_offsets_on_their_way_but_not_for_ever(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct fixture *f = begin_following(state);
        int64_t begun_us;

        show_more(f, 10);
        (void)run(f);
        pending = i == 0 ? 1 : UINT32_MAX;
        is_near = i != 2;
        begun_us = clock_us;
        run_to_the_end(f);
        assert_int_equal(commits, i == 0);
        assert_true(clock_us - begun_us == (i == 1 ? 5 * SECOND_US : 0));
        assert_int_equal(f->coordinator.error.status, SABOT_OK);
        finish(f);
    }
}

/* --- When one fails --------------------------------------------------------------------------- */

/* The n-th call on the disk, or allocation, of the second checkpoint fails. False: it has fewer. */
static bool fail_once(struct fixture *f, uint64_t call, uint64_t allocation)
{
    bool failed;
    int64_t id;

    start(f);
    show_more(f, 40);
    run_until(f, 1);
    show_more(f, 40);
    clock_us += 10 * SECOND_US;
    while (sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
    id = sb_coordinator_ask(&f->coordinator);
    f->disk.fail_at = call == 0 ? 0 : f->disk.calls + call;
    sb_os_env_fail_allocation(f->kit->env, allocation);
    (void)run(f);
    sb_os_env_fail_allocation(f->kit->env, 0);
    f->disk.fail_at = 0;
    failed = sb_coordinator_asked(&f->coordinator, id, &f->error) != SABOT_OK;
    if (call > 0 && !failed && f->disk.failed)
        failed = true; /* what failed was not needed: to remove an old one, say */
    if (atomic_load(&f->coordinator.failed) > 0)
        assert_non_null(strstr(f->error.text, "checkpoint 2 failed: "));
    run_until(f, 2);
    expect_restored(f, atomic_load(&f->coordinator.completed_id), 80);
    show_more(f, 40);
    run_to_the_end(f);
    if (f->coordinator.error.status != SABOT_OK)
        fail_msg("%s", f->coordinator.error.text);
    expect_restored(f, atomic_load(&f->coordinator.completed_id), 120);
    assert_int_equal(kit_output_count(&f->output), 120 * PARTITIONS);
    stop(f);
    power_off(f);
    power_on(f);
    return failed;
}

static void a_checkpoint_that_fails_anywhere_is_made_up_for_by_the_next(void **state)
{
    struct fixture *f = begin(state);
    uint64_t n = 1;

    while (fail_once(f, n, 0))
        assert_true(n++ < CALLS_MAX);
    print_message("%d calls\n", (int)n - 1);
    assert_true(n > 15);
    for (n = 1; fail_once(f, 0, n);)
        assert_true(n++ < CALLS_MAX);
    print_message("%d allocations\n", (int)n - 1);
    assert_true(n > 8);
    start(f);
    finish(f);
}

static void the_last_one_comes_at_once_when_the_end_came_while_another_failed(void **state)
{
    struct fixture *f = begin(state);

    start(f);
    clock_us += SECOND_US;
    show_more(f, 10);
    while (sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
    assert_int_equal(sb_coordinator_step(&f->coordinator).state, SB_STEP_AGAIN); /* it begins */
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_GATHERING);
    f->disk.fail_at = f->disk.calls + 1;
    kit_input_finish(&f->input);
    (void)run(f); /* no time passes */
    assert_true(f->disk.failed);
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_OVER);
    assert_int_equal(atomic_load(&f->coordinator.failed), 1);
    assert_int_equal(atomic_load(&f->coordinator.completed), 1);
    expect_restored(f, 2, 10);
    finish(f);
}

static void the_last_one_is_tried_again_and_then_its_failure_is_that_of_the_run(void **state)
{
    struct fixture *f = begin(state);

    start(f);
    show_more(f, 40);
    (void)run(f);
    f->disk.off_after = f->disk.calls;
    run_to_the_end(f);
    assert_int_equal(f->coordinator.error.status, SABOT_ERR_IO);
    assert_int_equal(atomic_load(&f->coordinator.failed), SB_CHECKPOINT_LAST_TRIES);
    finish(f);
}

static void a_checkpoint_that_a_task_holds_up_is_given_up_by_its_timeout(void **state)
{
    struct fixture *f = begin(state);
    int64_t id;

    start(f);
    id = sb_coordinator_ask(&f->coordinator);
    while (sb_coordinator_step(&f->coordinator).state == SB_STEP_AGAIN) {} /* and no flow */
    assert_int_equal(sb_coordinator_asked(&f->coordinator, id, &f->error), SABOT_AGAIN);
    clock_us += 61 * SECOND_US;
    (void)sb_coordinator_step(&f->coordinator);
    (void)sb_coordinator_step(&f->coordinator); /* it waits for the tasks to hear of it */
    assert_int_equal(atomic_load(&f->coordinator.failed), 0);
    (void)run(f);
    assert_int_equal(sb_coordinator_asked(&f->coordinator, id, &f->error), SABOT_ERR_TIMEOUT);
    assert_non_null(strstr(f->error.text, "it was not gathered after 60000 ms"));
    run_until(f, 1);
    assert_int_equal(atomic_load(&f->coordinator.completed), 1);
    finish(f);
}

static void who_has_lost_the_folder_ends_before_it_writes(void **state)
{
    for (int has_state = 0; has_state < 2; has_state++) {
        struct fixture *f = begin(state);

        start(f);
        WELL(sb_ckpt_take_owner(&f->folder, OWNER + 1, &f->error));
        if (has_state == 1)
            show_more(f, 40);
        (void)sb_coordinator_ask(&f->coordinator);
        (void)run(f);
        assert_int_equal(f->coordinator.state, SB_COORDINATOR_OVER);
        assert_int_equal(f->coordinator.error.status, SABOT_ERR_FENCED);
        assert_int_equal(atomic_load(&f->coordinator.completed), 0);
        finish(f);
    }
}

static void who_has_lost_the_folder_finds_out_though_nothing_changes(void **state)
{
    struct fixture *f = begin(state);
    int64_t begun_us;

    start(f);
    show_more(f, 10);
    run_until(f, 1);
    begun_us = clock_us;
    WELL(sb_ckpt_take_owner(&f->folder, OWNER + 1, &f->error));
    run_until(f, 2);
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_OVER);
    assert_int_equal(f->coordinator.error.status, SABOT_ERR_FENCED);
    assert_true(clock_us <= begun_us + 2 * SECOND_US);
    finish(f);
}

static void a_flow_that_has_broken_down_gets_no_last_checkpoint(void **state)
{
    struct fixture *f = begin(state);

    start(f);
    f->output.fail_at = 7;
    show_more(f, 40);
    run_until(f, 1);
    assert_int_equal(f->coordinator.state, SB_COORDINATOR_OVER);
    assert_int_equal(f->coordinator.error.status, SABOT_OK); /* the flow has its own */
    assert_int_equal(atomic_load(&f->coordinator.completed), 0);
    finish(f);
}

static void without_memory_there_is_no_coordinator(void **state)
{
    struct fixture *f = begin(state);
    sabot_status status = SABOT_ERR_MEMORY;

    start(f);
    sb_coordinator_reset(&f->coordinator);
    for (uint64_t n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->kit->env, n);
        status = start_coordinator(f);
        sb_os_env_fail_allocation(f->kit->env, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            sb_coordinator_reset(&f->coordinator);
        }
        assert_true(n < 10);
    }
    finish(f);
}

/* --- Restoring -------------------------------------------------------------------------------- */

/* A restore for which one call or allocation fails. False: there are fewer. */
static bool restore_with(struct fixture *f, uint64_t call, uint64_t allocation)
{
    const struct sb_flow_config config = flow_config(f);
    struct sb_restore restore;
    struct sb_flow *flow;
    sabot_status status;
    bool failed;

    WELL(sb_flow_create(f->kit->env, &f->graph, &config, &flow, &f->error));
    sb_restore_init(&restore, &f->disk.env, &f->folder);
    f->disk.failed = false;
    f->disk.fail_at = call == 0 ? 0 : f->disk.calls + call;
    sb_os_env_fail_allocation(f->kit->env, allocation);
    status = restore_into(f, &restore, flow);
    sb_os_env_fail_allocation(f->kit->env, 0);
    f->disk.fail_at = 0;
    failed = call > 0 ? f->disk.failed : status != SABOT_OK;
    if (failed)
        assert_int_equal(status, call > 0 ? SABOT_ERR_IO : SABOT_ERR_MEMORY);
    else
        WELL(status);
    assert_int_equal(f->disk.open_files, 0);
    sb_restore_reset(&restore);
    destroy_unused(f, flow);
    return failed;
}

static void a_restore_that_fails_anywhere_says_so_and_works_when_done_again(void **state)
{
    struct fixture *f = begin(state);
    uint64_t n = 1;

    start(f);
    show_more(f, 40);
    run_until(f, 1);
    show_more(f, 40);
    run_until(f, 2);
    while (restore_with(f, n, 0))
        assert_true(n++ < CALLS_MAX);
    assert_true(n > 8);
    for (n = 1; restore_with(f, 0, n);)
        assert_true(n++ < CALLS_MAX);
    assert_true(n > 8);
    expect_restored(f, 2, 80);
    finish(f);
}

/* A checkpoint as savepoints are, shard by shard: of one key. */
static void write_logical(struct fixture *f, int64_t id, bool has_image)
{
    const struct sb_store_config config = {.env = f->kit->env,
                                           .owner = "count",
                                           .states = &f->spec,
                                           .state_count = 1,
                                           .hash_seed = 17};
    struct sb_buffer state;
    const struct sb_byte_sink sink = {sb_buffer_take, &state};
    const int64_t number = 1;
    const sabot_text key = {(const char *)&number, sizeof number};
    struct sb_manifest_shard shard = {.shard = sb_hash_shard(sb_hash(key.data, key.size, 17))};
    struct sb_manifest_task task = {.name = "count", .shard_count = 1, .shards = &shard};
    struct sb_manifest manifest = {.app = "app",
                                   .pipeline = "pipe",
                                   .id = id,
                                   .nonce = 1,
                                   .hash_seed = 17,
                                   .task_count = 1,
                                   .tasks = &task};
    struct sb_store *store;
    sabot_text part;

    sb_buffer_init(&state, f->kit->env);
    sb_arena_init(&manifest.arena, f->kit->env);
    WELL(sb_store_create(&config, &store, &f->error));
    ((struct count *)sb_store_edit(store, 0, key, sb_hash(key.data, key.size, 17), NULL))->times =
        7;
    WELL(sb_store_snapshot(store, shard.shard, &sink, &f->error));
    sb_store_destroy(store);
    part = (sabot_text){(const char *)state.data, state.size};
    shard.size = state.size;
    task.has_image = has_image;
    WELL(ckpt_kit_write(&f->folder, &manifest, SB_FILE_STATE, part, &f->error));
    sb_arena_reset(&manifest.arena);
    sb_buffer_reset(&state);
}

static void a_restore_shard_by_shard_that_fails_anywhere_says_so_as_well(void **state)
{
    struct fixture *f = begin(state);
    uint64_t n = 1;

    start(f);
    write_logical(f, 1, false);
    while (restore_with(f, n, 0))
        assert_true(n++ < CALLS_MAX);
    assert_true(n > 5);
    for (n = 1; restore_with(f, 0, n);)
        assert_true(n++ < CALLS_MAX);
    assert_true(n > 5);
    finish(f);
}

static void an_image_without_a_file_of_chunks_is_damage(void **state)
{
    struct fixture *f = begin(state);
    const struct sb_flow_config config = flow_config(f);
    struct sb_restore restore;
    struct sb_flow *flow;

    start(f);
    write_logical(f, 1, true);
    WELL(sb_flow_create(f->kit->env, &f->graph, &config, &flow, &f->error));
    sb_restore_init(&restore, &f->disk.env, &f->folder);
    assert_int_equal(restore_into(f, &restore, flow), SABOT_ERR_CORRUPT);
    assert_string_equal(f->error.text, "checkpoint 1: agent count has an image, but there is no "
                                       "file of chunks");
    sb_restore_reset(&restore);
    destroy_unused(f, flow);
    finish(f);
}

/* --- Where a source goes on ------------------------------------------------------------------- */

static uint64_t taken_back; /* what the reader that was opened last was told */

static void position_in_a_call(const struct sb_reader *reader,
                               uint32_t index,
                               struct sb_reader_position *position_out)
{
    kit_channel_type.position(reader, index, position_out);
    position_out->opaque_taken = 5;
}

static sabot_status open_in_a_call(struct sb_channel *channel,
                                   const struct sb_reader_position *positions,
                                   uint32_t position_count,
                                   struct sb_waker *waker,
                                   struct sb_reader **reader_out,
                                   sabot_error *error)
{
    taken_back = positions[0].opaque_taken;
    return kit_channel_type.reader_open(channel, positions, position_count, waker, reader_out,
                                        error);
}

static void a_source_goes_on_in_the_middle_of_a_call_of_its_function(void **state)
{
    struct fixture *f = begin(state);
    struct sb_flow_config config;
    struct sb_restore restore;
    struct sb_flow *flow;

    f->type.position = position_in_a_call;
    f->type.reader_open = open_in_a_call;
    start(f);
    assert_int_equal(taken_back, 0);
    clock_us += SECOND_US;
    show_more(f, 40);
    run_until(f, 1);
    sb_restore_init(&restore, &f->disk.env, &f->folder);
    WELL(sb_restore_find(&restore, &f->error));
    WELL(sb_restore_match(&restore, &f->graph, &f->error));
    config = flow_config(f);
    config.positions = restore.positions;
    config.position_count = restore.position_count;
    WELL(sb_flow_create(f->kit->env, &f->graph, &config, &flow, &f->error));
    assert_int_equal(taken_back, 5);
    destroy_unused(f, flow);
    sb_restore_reset(&restore);
    finish(f);
}

/* --- A task that must wait ----------------------------------------------------------------------
 */

struct rocksdb {
    struct sb_rows_source source;
    struct sb_rocksdb *db;
    char folder[256];
};

static sabot_status open_rows(void *context, struct sb_rows **rows_out, sabot_error *error)
{
    const struct rocksdb *rocksdb = context;

    return sb_rocksdb_rows(rocksdb->db, rows_out, error);
}

static void step_flow(struct fixture *f)
{
    while (sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
}

static bool is_held(struct fixture *f, uint32_t worker)
{
    return sb_store_is_held(sb_flow_store(f->flow, worker, f->source + 1));
}

/* The barrier is everywhere, and the database is not checkpointed yet: newer rows stay in memory,
 * which they fill. */
static void a_task_takes_no_more_when_rows_that_may_not_be_written_yet_fill_its_memory(void **state)
{
    enum { RECORDS = 20000, CACHE = 256 * 1024 };
    struct rocksdb rocksdb = {.source = {open_rows, sb_rocksdb_rows_close, &rocksdb}};
    struct sb_checkpoint *checkpoint;
    struct fixture *f;
    uint32_t before;

    if (state_rocksdb(0, 0) == NULL)
        skip();
    f = begin(state);
    state_rocksdb_folder(rocksdb.folder);
    WELL(sb_rocksdb_open(f->kit->env, rocksdb.folder, 0, &rocksdb.db, &f->error));
    f->keyed.rows = &rocksdb.source;
    f->keyed.cache_bytes = CACHE;
    start(f);
    f->input.keys = INT64_MAX; /* each record has a key of its own */
    show_more(f, 100);
    step_flow(f);
    WELL(sb_checkpoint_create(f->kit->env, 1, f->graph.node_count, 2, &checkpoint, &f->error));
    sb_flow_checkpoint(f->flow, checkpoint);
    step_flow(f);
    assert_int_equal(atomic_load(&checkpoint->missing), 0);
    f->flow->control.checkpoint = NULL;
    assert_false(is_held(f, 0) || is_held(f, 1));
    show_more(f, RECORDS);
    step_flow(f);
    before = kit_output_count(&f->output);
    assert_true(is_held(f, 0) && is_held(f, 1));
    assert_in_range(before, 100 * PARTITIONS + 1, (100 + RECORDS) * PARTITIONS - 1);
    step_flow(f);
    assert_int_equal(kit_output_count(&f->output), before);
    sb_control_thaw(&f->flow->control, 1);
    step_flow(f);
    assert_false(is_held(f, 0) || is_held(f, 1));
    assert_int_equal(kit_output_count(&f->output), (100 + RECORDS) * PARTITIONS);
    sb_checkpoint_destroy(checkpoint);
    stop(f);
    sb_rocksdb_close(rocksdb.db);
    state_rocksdb_remove(f->kit->env, rocksdb.folder);
    finish_rest(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(a_checkpoint_comes_when_something_has_changed_and_the_interval_is_over),
        KIT_TEST(the_time_of_a_task_is_that_of_its_fastest_worker),
        KIT_TEST(one_that_is_asked_for_comes_at_once),
        KIT_TEST(offsets_are_committed_again_though_nothing_changes),
        KIT_TEST(offsets_that_failed_are_tried_again_though_nothing_changes),
        KIT_TEST(the_end_waits_for_offsets_on_their_way_but_not_for_ever),
        KIT_TEST(a_checkpoint_that_fails_anywhere_is_made_up_for_by_the_next),
        KIT_TEST(the_last_one_comes_at_once_when_the_end_came_while_another_failed),
        KIT_TEST(the_last_one_is_tried_again_and_then_its_failure_is_that_of_the_run),
        KIT_TEST(a_checkpoint_that_a_task_holds_up_is_given_up_by_its_timeout),
        KIT_TEST(who_has_lost_the_folder_ends_before_it_writes),
        KIT_TEST(who_has_lost_the_folder_finds_out_though_nothing_changes),
        KIT_TEST(a_flow_that_has_broken_down_gets_no_last_checkpoint),
        KIT_TEST(without_memory_there_is_no_coordinator),
        KIT_TEST(a_restore_that_fails_anywhere_says_so_and_works_when_done_again),
        KIT_TEST(a_restore_shard_by_shard_that_fails_anywhere_says_so_as_well),
        KIT_TEST(an_image_without_a_file_of_chunks_is_damage),
        KIT_TEST(a_source_goes_on_in_the_middle_of_a_call_of_its_function),
        KIT_TEST(a_task_takes_no_more_when_rows_that_may_not_be_written_yet_fill_its_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
