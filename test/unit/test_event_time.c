/* SPDX-License-Identifier: Apache-2.0 */
/* test_event_time.c - event time from the records of a channel to the tasks: lateness, idleness,
 * the future, the app's own function, and what a restart keeps.
 *
 * The clock is the test's: nothing waits. One operator looks at all rows and watermarks that reach
 * a task; a record of a partition that was never idle must never be behind the watermark there. */
#include "flow_channel.h"

#include "flow/flow.h"

enum { RECORDS_MAX = 400, IDLE_AFTER_MS = 1000, ROUNDS = 150 };

static int64_t fake_now_us;
static int64_t fake_wall_ms;

static int64_t now_us(void *self)
{
    (void)self;
    return fake_now_us;
}

static int64_t wall_ms(void *self)
{
    (void)self;
    return fake_wall_ms;
}

struct stage {
    struct kit *kit;
    struct sb_env_type env_type;
    struct sb_env env; /* the kit's, with the clocks of the test */
    struct sb_waker *owner;
    struct sb_graph graph;
    struct sb_flow_config config;
    struct sb_flow *flow;
    struct sb_channel input;
    int64_t times[KIT_PARTITIONS_MAX][RECORDS_MAX];
    /* What the operator saw. */
    bool was_idle[KIT_PARTITIONS_MAX]; /* at some time */
    uint32_t rows;
    uint32_t late_rows;
    bool is_over; /* INT64_MAX was seen */
};

/* --- The operator that looks ---------------------------------------------------------------------
 */

struct sb_operator {
    const struct sb_env *env;
    struct stage *stage;
    int64_t watermark_ms;
};

static sabot_status look_create(const struct sb_operator_config *config,
                                struct sb_operator **operator_out,
                                sabot_error *error)
{
    (void)error;
    *operator_out = sb_alloc(config->env, sizeof **operator_out);
    assert_non_null(*operator_out);
    **operator_out = (struct sb_operator){
        .env = config->env,
        .stage = (struct stage *)(uintptr_t)config->settings,
        .watermark_ms = INT64_MIN,
    };
    return SABOT_OK;
}

static void look_destroy(struct sb_operator *self)
{
    sb_free(self->env, self, sizeof *self);
}

static sabot_status look_rows(struct sb_operator *self,
                              const struct sb_slice *slice,
                              uint32_t *cursor,
                              uint32_t end,
                              sabot_error *error)
{
    struct stage *stage = self->stage;
    const struct sb_batch *batch = slice->batch;

    (void)error;
    for (uint32_t i = *cursor; i < end; i++) {
        const bool late = batch->event_times[slice->rows[i]] < self->watermark_ms;

        assert_false(late && !stage->was_idle[batch->origin.partition]);
        stage->rows++;
        stage->late_rows += late;
    }
    *cursor = end;
    return SABOT_OK;
}

static sabot_status look_watermark(struct sb_operator *self,
                                   int64_t watermark_ms,
                                   sabot_error *error)
{
    (void)error;
    assert_true(watermark_ms >= self->watermark_ms);
    self->watermark_ms = watermark_ms;
    self->stage->is_over = self->stage->is_over || watermark_ms == INT64_MAX;
    return SABOT_OK;
}

static const struct sb_operator_type look = {
    .name = "look",
    .create = look_create,
    .destroy = look_destroy,
    .rows = look_rows,
    .watermark = look_watermark,
};

/* --- A pipeline: in --by key--> look -------------------------------------------------------------
 */

static int64_t time_of(const struct sb_channel *channel, int64_t id)
{
    const struct stage *stage = channel->times;

    return stage->times[id / KIT_PARTITION][id % KIT_PARTITION];
}

/* No record is shown yet, and more may come. */
static void open_stage(struct stage *stage, struct kit *kit, int32_t partitions)
{
    memset(stage, 0, sizeof *stage);
    fake_now_us = 1;
    fake_wall_ms = INT64_C(1700000000000);
    stage->kit = kit;
    stage->env_type = *kit->env->type;
    stage->env_type.now_us = now_us;
    stage->env_type.wall_ms = wall_ms;
    stage->env = (struct sb_env){&stage->env_type, kit->env->self, SABOT_LOG_ERROR};
    stage->config = (struct sb_flow_config){
        .name = "test", .workers = 1, .batch_rows = 16, .ring_bytes = 1 << 20, .hash_seed = 17};
    assert_int_equal(kit->env->type->waker_create(kit->env->self, &stage->owner, NULL), SABOT_OK);
    stage->config.owner = stage->owner;
    kit_input_init(&stage->input, kit, partitions, 0, 13);
    atomic_store(&stage->input.open_ended, true);
    stage->input.time_of = time_of;
    stage->input.times = stage;
}

static void start(struct stage *stage, const struct sb_clock_rules *rules)
{
    const struct sb_node source = {
        .kind = SB_NODE_SOURCE,
        .name = "in",
        .port = {.type = &kit_channel_type,
                 .channel = &stage->input,
                 .codec = &kit_codec,
                 .schema = stage->kit->schema,
                 .event_time_field = KIT_TIME,
                 .time = *rules,
                 .key_field = SB_NO_FIELD},
        .output_count = 1,
    };
    const struct sb_node task = {
        .kind = SB_NODE_TASK,
        .name = "look",
        .type = &look,
        .settings = stage,
        .input = stage->kit->schema,
        .key_field = KIT_KEY,
    };
    struct sb_edge edge = {.route = SB_ROUTE_KEY, .key_field = KIT_KEY};

    assert_int_equal(sb_graph_init(&stage->graph, &stage->env), SABOT_OK);
    assert_int_equal(sb_graph_node(&stage->graph, &source, &edge.from, NULL), SABOT_OK);
    assert_int_equal(sb_graph_node(&stage->graph, &task, &edge.to, NULL), SABOT_OK);
    assert_int_equal(sb_graph_edge(&stage->graph, &edge, NULL), SABOT_OK);
    assert_int_equal(sb_graph_check(&stage->graph, NULL), SABOT_OK);
    assert_int_equal(sb_flow_create(&stage->env, &stage->graph, &stage->config, &stage->flow, NULL),
                     SABOT_OK);
}

/* The source of a partition. */
static const struct sb_source_partition *partition_of(const struct stage *stage, int32_t partition)
{
    const size_t worker = (uint32_t)partition % stage->config.workers;
    const struct sb_source *source = &stage->flow->instances[worker * 2].source;

    return &source->partitions[(uint32_t)partition / stage->config.workers];
}

static bool is_idle(const struct stage *stage, int32_t partition)
{
    return atomic_load(&partition_of(stage, partition)->view.state) == SB_WATERMARK_IDLE;
}

/* Step until nothing moves at this time. */
static struct sb_step settle(struct stage *stage)
{
    struct sb_step step;

    do {
        step = sb_flow_step(stage->flow);
        for (int32_t i = 0; i < stage->input.partitions; i++)
            stage->was_idle[i] = stage->was_idle[i] || is_idle(stage, i);
    } while (step.state == SB_STEP_AGAIN);
    return step;
}

static void pass_ms(struct stage *stage, int64_t time_ms)
{
    fake_now_us += time_ms * 1000;
    fake_wall_ms += time_ms;
    (void)settle(stage);
}

/* One more record of a partition. */
static void show(struct stage *stage, int32_t partition, int64_t time_ms)
{
    const uint32_t count = atomic_load(&stage->input.shown[partition]);

    assert_in_range(count, 0, RECORDS_MAX - 1);
    stage->times[partition][count] = time_ms;
    atomic_store(&stage->input.shown[partition], count + 1);
    (void)settle(stage);
}

static int64_t watermark_of(const struct stage *stage)
{
    return sb_flow_watermark_ms(stage->flow);
}

static void close_stage(struct stage *stage)
{
    const struct sb_env *env = stage->kit->env;

    sb_flow_destroy(stage->flow);
    sb_graph_reset(&stage->graph);
    env->type->waker_destroy(env->self, stage->owner);
}

static const struct sb_clock_rules plain = {.idle_after_ms = IDLE_AFTER_MS};

/* --- Lateness ------------------------------------------------------------------------------------
 */

static void the_watermark_is_the_newest_record_less_the_lateness(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.lateness_ms = 30};

    open_stage(&stage, *state, 2);
    start(&stage, &rules);
    show(&stage, 0, 100);
    assert_true(watermark_of(&stage) == INT64_MIN); /* the other may be behind */
    show(&stage, 1, 50);
    assert_true(watermark_of(&stage) == 20);
    show(&stage, 1, 25);
    assert_true(watermark_of(&stage) == 20);
    show(&stage, 1, 200);
    assert_true(watermark_of(&stage) == 70);
    close_stage(&stage);
}

/* Or what is late would depend on how fast threads begin. */
static void workers_without_a_partition_hold_nothing_back_before_they_begin(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.lateness_ms = 0};

    open_stage(&stage, *state, 1);
    stage.config.workers = 3;
    start(&stage, &rules);
    stage.times[0][0] = 100;
    atomic_store(&stage.input.shown[0], 1);
    while (sb_worker_step(&stage.flow->workers[0]).state == SB_STEP_AGAIN) {}
    assert_true(atomic_load(&stage.flow->instances[1].task.watermark_seen) == 100);
    (void)settle(&stage);
    assert_true(watermark_of(&stage) == 100);
    assert_false(stage.is_over);
    kit_input_finish(&stage.input);
    (void)settle(&stage);
    assert_true(stage.is_over);
    close_stage(&stage);
}

static void times_at_the_ends_of_the_range_are_times(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.lateness_ms = 30};

    open_stage(&stage, *state, 1);
    start(&stage, &rules);
    show(&stage, 0, INT64_MIN);
    assert_true(watermark_of(&stage) == INT64_MIN);
    show(&stage, 0, INT64_MIN + 31);
    assert_true(watermark_of(&stage) == INT64_MIN + 1);
    show(&stage, 0, -5);
    assert_true(watermark_of(&stage) == -35);
    show(&stage, 0, 0);
    assert_true(watermark_of(&stage) == -30);
    show(&stage, 0, INT64_C(253402300799999)); /* the end of the year 9999 */
    assert_true(watermark_of(&stage) == INT64_C(253402300799969));
    show(&stage, 0, INT64_MAX);
    assert_true(watermark_of(&stage) == INT64_MAX - 30);
    assert_false(stage.is_over);
    close_stage(&stage);
}

static void a_record_at_the_end_of_time_is_not_the_end(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.lateness_ms = 0};

    open_stage(&stage, *state, 1);
    start(&stage, &rules);
    show(&stage, 0, INT64_MAX);
    assert_true(watermark_of(&stage) == INT64_MAX - 1);
    assert_false(stage.is_over);
    kit_input_finish(&stage.input);
    (void)settle(&stage);
    assert_true(stage.is_over);
    close_stage(&stage);
}

/* --- Idleness ------------------------------------------------------------------------------------
 */

static void a_quiet_partition_holds_no_watermark_back(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2);
    start(&stage, &plain);
    show(&stage, 0, 10);
    show(&stage, 1, 20);
    pass_ms(&stage, IDLE_AFTER_MS / 2);
    show(&stage, 1, 100);
    assert_true(watermark_of(&stage) == 10);
    pass_ms(&stage, IDLE_AFTER_MS / 2 - 1);
    assert_true(watermark_of(&stage) == 10);
    pass_ms(&stage, 1);
    assert_true(watermark_of(&stage) == 100);
    close_stage(&stage);
}

static void a_partition_that_never_had_a_record_is_idle_when_it_is_caught_up(void **state)
{
    static struct stage stage;

    for (uint32_t workers = 1; workers <= 3; workers++) {
        open_stage(&stage, *state, 3);
        stage.config.workers = workers;
        start(&stage, &plain);
        show(&stage, 1, 70);
        pass_ms(&stage, IDLE_AFTER_MS - 1);
        show(&stage, 1, 80);
        assert_true(watermark_of(&stage) == INT64_MIN);
        pass_ms(&stage, 1);
        assert_true(watermark_of(&stage) == 80);
        close_stage(&stage);
    }
}

static void the_flow_wakes_up_when_a_partition_will_be_idle(void **state)
{
    static struct stage stage;
    struct sb_step step;

    open_stage(&stage, *state, 1);
    start(&stage, &plain);
    show(&stage, 0, 10);
    step = settle(&stage);
    assert_int_equal(step.state, SB_STEP_WAIT);
    assert_true(step.deadline_us == fake_now_us + (int64_t)IDLE_AFTER_MS * 1000);
    fake_now_us = step.deadline_us;
    step = settle(&stage);
    assert_true(is_idle(&stage, 0));
    assert_true(step.deadline_us == INT64_MAX);
    close_stage(&stage);
}

static void without_idle_after_nothing_is_ever_idle(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.idle_after_ms = 0};

    open_stage(&stage, *state, 2);
    start(&stage, &rules);
    show(&stage, 0, 10);
    pass_ms(&stage, INT32_MAX);
    assert_true(settle(&stage).deadline_us == INT64_MAX);
    assert_true(watermark_of(&stage) == INT64_MIN);
    close_stage(&stage);
}

static void a_partition_that_is_not_caught_up_is_not_idle(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2);
    stage.input.is_away = true; /* its broker; who knows what has come there */
    start(&stage, &plain);
    show(&stage, 0, 10);
    pass_ms(&stage, (int64_t)10 * IDLE_AFTER_MS);
    assert_false(is_idle(&stage, 1));
    stage.input.is_away = false;
    (void)settle(&stage);
    pass_ms(&stage, IDLE_AFTER_MS - 1);
    assert_false(is_idle(&stage, 1));
    pass_ms(&stage, 1);
    assert_true(is_idle(&stage, 1));
    close_stage(&stage);
}

static void where_nobody_knows_the_lag_quiet_is_enough(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2);
    stage.input.hides_lag = true;
    start(&stage, &plain);
    show(&stage, 0, 10);
    pass_ms(&stage, IDLE_AFTER_MS);
    assert_true(is_idle(&stage, 1));
    close_stage(&stage);
}

static void time_in_which_the_reader_is_held_back_is_no_quiet_time(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2);
    stage.config.staged_max = 100;
    start(&stage, &plain);
    show(&stage, 0, 10);
    pass_ms(&stage, IDLE_AFTER_MS / 2);
    atomic_store(&stage.flow->control.staged, 200); /* a commit is slow */
    pass_ms(&stage, 0);
    pass_ms(&stage, (int64_t)10 * IDLE_AFTER_MS);
    atomic_store(&stage.flow->control.staged, 0);
    pass_ms(&stage, 0);
    assert_false(is_idle(&stage, 1));
    pass_ms(&stage, IDLE_AFTER_MS / 2 - 1);
    assert_false(is_idle(&stage, 1));
    pass_ms(&stage, 1);
    assert_true(is_idle(&stage, 1));
    close_stage(&stage);
}

/* Or a partition that falls silent last, but is behind, would keep all windows open. */
static void when_all_are_idle_the_newest_of_them_counts_and_stays(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        const int32_t last = (int32_t)i % 2; /* that is quiet */

        open_stage(&stage, *state, 3);
        stage.config.workers = 1 + i / 2 * 2;
        start(&stage, &plain);
        show(&stage, 0, 10);
        show(&stage, 1, 50);
        pass_ms(&stage, 10);
        show(&stage, last, last == 0 ? 11 : 51);
        pass_ms(&stage, IDLE_AFTER_MS - 10);
        pass_ms(&stage, 10);
        assert_true(is_idle(&stage, 0) && is_idle(&stage, 1) && is_idle(&stage, 2));
        assert_true(watermark_of(&stage) == (last == 0 ? 50 : 51));
        pass_ms(&stage, (int64_t)10 * IDLE_AFTER_MS);
        assert_true(watermark_of(&stage) == (last == 0 ? 50 : 51));
        show(&stage, 1, 60);
        assert_true(watermark_of(&stage) == 60); /* only one holds it now */
        show(&stage, 0, 40);                     /* late, and holds it until it has caught up */
        assert_int_equal(stage.late_rows, 1);
        show(&stage, 1, 90);
        assert_true(watermark_of(&stage) == 60);
        show(&stage, 0, 75);
        assert_true(watermark_of(&stage) == 75);
        close_stage(&stage);
    }
}

static void a_finished_partition_does_not_outshine_idle_ones(void **state)
{
    static struct stage stage;

    for (uint32_t workers = 1; workers <= 3; workers++) {
        open_stage(&stage, *state, 3);
        stage.config.workers = workers;
        stage.input.over = 1; /* partition 0 ends */
        start(&stage, &plain);
        show(&stage, 0, 500);
        show(&stage, 1, 10);
        show(&stage, 2, 20);
        assert_true(watermark_of(&stage) == 10);
        pass_ms(&stage, IDLE_AFTER_MS);
        assert_true(is_idle(&stage, 1));
        assert_true(watermark_of(&stage) <= 20);
        assert_false(stage.is_over);
        show(&stage, 1, 30);
        assert_true(watermark_of(&stage) == 30);
        assert_int_equal(stage.late_rows, 0);
        close_stage(&stage);
    }
}

static void a_partition_that_is_a_hundred_times_slower_makes_nothing_late(void **state)
{
    static struct stage stage;

    for (uint32_t workers = 1; workers <= 2; workers++) {
        int64_t slow_ms = INT64_MIN;

        open_stage(&stage, *state, 2);
        stage.config.workers = workers;
        start(&stage, &plain);
        for (int64_t i = 0; i < 350; i++) {
            if (i % 100 == 50) { /* what it was given meanwhile comes late, one by one */
                slow_ms = i / 2;
                show(&stage, 1, slow_ms);
            }
            show(&stage, 0, i);
            pass_ms(&stage, 5); /* it is never quiet for so long that it would be idle */
            assert_true(watermark_of(&stage) == (slow_ms < i ? slow_ms : i));
        }
        assert_int_equal(stage.late_rows, 0);
        close_stage(&stage);
    }
}

static void a_partition_that_starts_late_is_waited_for_from_then_on(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2);
    start(&stage, &plain);
    show(&stage, 0, 100);
    pass_ms(&stage, IDLE_AFTER_MS - 1);
    show(&stage, 0, 200);
    assert_true(watermark_of(&stage) == INT64_MIN); /* nothing fires while it may still begin */
    pass_ms(&stage, 1);
    assert_true(watermark_of(&stage) == 200);
    show(&stage, 1, 250); /* it begins */
    show(&stage, 0, 400);
    assert_true(watermark_of(&stage) == 250);
    show(&stage, 1, 300);
    assert_true(watermark_of(&stage) == 300);
    assert_int_equal(stage.late_rows, 0);
    close_stage(&stage);
}

/* --- The future ----------------------------------------------------------------------------------
 */

static void a_record_of_the_future_does_not_move_time(void **state)
{
    static struct stage stage;
    struct sb_clock_rules rules = {.max_future_ms = 1000, .lateness_ms = 5};
    const sabot_future policies[] = {SABOT_FUTURE_PASS, SABOT_FUTURE_SKIP};

    for (uint32_t i = 0; i < 2; i++) {
        open_stage(&stage, *state, 1);
        rules.future = policies[i];
        start(&stage, &rules);
        show(&stage, 0, 10);
        show(&stage, 0, fake_wall_ms + 1001);
        show(&stage, 0, INT64_MAX);
        assert_true(watermark_of(&stage) == 5);
        assert_int_equal(stage.rows, rules.future == SABOT_FUTURE_PASS ? 3 : 1);
        assert_int_equal(sb_counter_get(&stage.flow->metrics[0].records_skipped),
                         rules.future == SABOT_FUTURE_PASS ? 0 : 2);
        assert_int_equal(sb_counter_get(&stage.flow->metrics[0].records_read), 3);
        show(&stage, 0, fake_wall_ms + 1000);
        assert_true(watermark_of(&stage) == fake_wall_ms + 995);
        close_stage(&stage);
    }
}

static void a_record_of_the_future_may_end_the_run(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.max_future_ms = 1000, .future = SABOT_FUTURE_FAIL};
    sabot_error error;

    open_stage(&stage, *state, 1);
    start(&stage, &rules);
    show(&stage, 0, 10);
    show(&stage, 0, fake_wall_ms + 1001);
    assert_int_equal(sb_flow_status(stage.flow, &error), SABOT_ERR_SCHEMA);
    assert_string_equal(error.text,
                        "channel in: partition 0, offset 1: its event time 1700000001001 ms is "
                        "more than 1000 ms ahead of the clock (time.max_future_ms)");
    assert_int_equal(stage.rows, 1);
    close_stage(&stage);
}

/* A clock of the machine that is set back makes what was right a future, but nothing goes back. */
static void a_wall_clock_that_jumps_takes_no_time_back(void **state)
{
    static struct stage stage;
    const struct sb_clock_rules rules = {.max_future_ms = 1000, .idle_after_ms = IDLE_AFTER_MS};
    int64_t before;

    open_stage(&stage, *state, 1);
    start(&stage, &rules);
    show(&stage, 0, fake_wall_ms);
    before = watermark_of(&stage);
    fake_wall_ms -= 3600000;
    show(&stage, 0, before + 100);
    assert_true(watermark_of(&stage) == before);
    assert_false(is_idle(&stage, 0));
    fake_wall_ms += 7200000;
    (void)settle(&stage);
    assert_false(is_idle(&stage, 0)); /* that is measured by the clock that never jumps */
    show(&stage, 0, before + 200);
    assert_true(watermark_of(&stage) == before + 200);
    close_stage(&stage);
}

/* --- The app's own function ----------------------------------------------------------------------
 */

/* Every tenth record says that all up to 40 ms before it has come. */
static void tell(const void *record, sabot_event_time *time, void *user)
{
    const struct kit_row *row = record;

    assert_int_equal(row->id / KIT_PARTITION, time->partition);
    assert_true(time->time_ms == row->time_ms);
    time->time_ms += *(const int64_t *)user;
    if (row->id % KIT_PARTITION % 10 == 9)
        time->watermark_ms = time->time_ms - 40;
    else if (row->id % KIT_PARTITION == 5)
        time->watermark_ms = INT64_MAX; /* that can't be */
}

static void a_function_of_the_app_tells_time(void **state)
{
    static struct stage stage;
    static int64_t shift = 1000;
    const struct sb_clock_rules rules = {
        .function = tell, .user = &shift, .max_future_ms = 86400000};

    open_stage(&stage, *state, 1);
    start(&stage, &rules);
    for (int64_t i = 0; i < 9; i++)
        show(&stage, 0, i);
    assert_true(watermark_of(&stage) == INT64_MIN);
    show(&stage, 0, 9);
    assert_true(watermark_of(&stage) == 969);
    close_stage(&stage);
}

/* --- A restart -----------------------------------------------------------------------------------
 */

static void a_checkpoint_keeps_the_watermark_of_each_partition(void **state)
{
    static struct stage stage;
    const struct sb_part *part;
    struct sb_checkpoint *checkpoint;
    struct sb_flow_position positions[2];

    open_stage(&stage, *state, 2);
    start(&stage, &plain);
    show(&stage, 0, 10);
    show(&stage, 1, 20);
    assert_int_equal(sb_checkpoint_create(&stage.env, 1, 2, 1, &checkpoint, NULL), SABOT_OK);
    sb_flow_checkpoint(stage.flow, checkpoint);
    (void)settle(&stage);
    part = sb_checkpoint_part(checkpoint, 0, 0);
    assert_int_equal(part->count, 2);
    assert_true(sb_checkpoint_part(checkpoint, 0, 1)->watermark_ms == 10);
    for (uint32_t i = 0; i < 2; i++)
        positions[i] = (struct sb_flow_position){.node = 0, .at = part->positions[i]};
    assert_true(positions[0].at.watermark_ms == 10);
    assert_true(positions[1].at.watermark_ms == 20);
    stage.flow->control.checkpoint = NULL;
    sb_checkpoint_destroy(checkpoint);
    sb_flow_destroy(stage.flow);

    stage.config.positions = positions;
    stage.config.position_count = 2;
    assert_int_equal(sb_flow_create(&stage.env, &stage.graph, &stage.config, &stage.flow, NULL),
                     SABOT_OK);
    (void)settle(&stage);
    assert_true(watermark_of(&stage) == 10); /* before any record */
    assert_false(is_idle(&stage, 0));
    close_stage(&stage);
}

/* A partition that had been idle, and was behind the others when the checkpoint was taken. */
static void what_was_late_at_a_task_is_late_after_a_restart(void **state)
{
    static struct stage stage;
    const struct sb_flow_position position = {.at = {.partition = 0, .watermark_ms = 10}};

    for (uint32_t workers = 1; workers <= 2; workers++) {
        open_stage(&stage, *state, 1);
        stage.config.workers = workers;
        stage.config.positions = &position;
        stage.config.position_count = 1;
        start(&stage, &plain);
        sb_flow_restore_time(stage.flow, 1, 100);
        stage.was_idle[0] = true;
        (void)settle(&stage);
        assert_true(watermark_of(&stage) == 100);
        show(&stage, 0, 99);
        assert_int_equal(stage.late_rows, 1);
        show(&stage, 0, 100);
        assert_int_equal(stage.late_rows, 1);
        assert_true(watermark_of(&stage) == 100);
        show(&stage, 0, 130);
        assert_true(watermark_of(&stage) == 130);
        close_stage(&stage);
    }
}

/* --- By seed -------------------------------------------------------------------------------------
 */

/* A time that is on time in its partition. */
static int64_t next_time(struct stage *stage,
                         struct kit_random *random,
                         int32_t partition,
                         int64_t lateness_ms)
{
    const uint32_t count = atomic_load(&stage->input.shown[partition]);
    int64_t newest = 0;

    for (uint32_t i = 0; i < count; i++)
        newest = stage->times[partition][i] > newest ? stage->times[partition][i] : newest;
    return newest - lateness_ms + kit_random_below(random, (uint32_t)(2 * lateness_ms + 20));
}

/* Partitions of any speed, that start late, fall silent, end; a reader that is held back; a clock
 * that jumps. The operator looks that no record of a partition that was never idle is late. */
static void a_record_that_is_on_time_is_never_behind_a_watermark(void **state)
{
    static struct stage stage;
    struct kit_random random = kit_random_start(((struct kit *)*state)->env);
    uint32_t rows = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct sb_clock_rules rules = {
            .lateness_ms = kit_random_below(&random, 50),
            .idle_after_ms = kit_random_below(&random, 3) == 0 ? 0 : IDLE_AFTER_MS,
        };

        open_stage(&stage, *state, 1 + (int32_t)kit_random_below(&random, KIT_PARTITIONS_MAX));
        stage.config.workers = 1 + kit_random_below(&random, 4);
        stage.config.batch_rows = 1 + kit_random_below(&random, 8);
        stage.config.staged_max = 100;
        stage.input.over = kit_random_below(&random, 256);
        stage.input.again_every = 3 * kit_random_below(&random, 2);
        start(&stage, &rules);
        for (uint32_t i = 0; i < 300; i++) {
            const int32_t partition =
                (int32_t)kit_random_below(&random, 1 + kit_random_below(&random, 100)) %
                stage.input.partitions;

            switch (kit_random_below(&random, 12)) {
            case 0: pass_ms(&stage, kit_random_below(&random, IDLE_AFTER_MS)); break;
            case 1: atomic_store(&stage.flow->control.staged, 200); break;
            case 2: atomic_store(&stage.flow->control.staged, 0); break;
            case 3: fake_wall_ms += (int64_t)kit_random_below(&random, 200000) - 100000; break;
            default:
                if (atomic_load(&stage.input.shown[partition]) < RECORDS_MAX &&
                    (stage.input.over >> partition & 1) == 0)
                    show(&stage, partition,
                         next_time(&stage, &random, partition, rules.lateness_ms));
            }
        }
        atomic_store(&stage.flow->control.staged, 0);
        stage.input.again_every = 0;
        (void)settle(&stage);
        assert_int_equal(
            stage.is_over,
            stage.input.partitions ==
                __builtin_popcount(stage.input.over & ((1U << stage.input.partitions) - 1)));
        kit_input_finish(&stage.input);
        (void)settle(&stage);
        assert_true(stage.is_over);
        rows += stage.rows;
        close_stage(&stage);
    }
    assert_true(rows > ROUNDS * 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(the_watermark_is_the_newest_record_less_the_lateness),
        KIT_TEST(workers_without_a_partition_hold_nothing_back_before_they_begin),
        KIT_TEST(times_at_the_ends_of_the_range_are_times),
        KIT_TEST(a_record_at_the_end_of_time_is_not_the_end),
        KIT_TEST(a_quiet_partition_holds_no_watermark_back),
        KIT_TEST(a_partition_that_never_had_a_record_is_idle_when_it_is_caught_up),
        KIT_TEST(the_flow_wakes_up_when_a_partition_will_be_idle),
        KIT_TEST(without_idle_after_nothing_is_ever_idle),
        KIT_TEST(a_partition_that_is_not_caught_up_is_not_idle),
        KIT_TEST(where_nobody_knows_the_lag_quiet_is_enough),
        KIT_TEST(time_in_which_the_reader_is_held_back_is_no_quiet_time),
        KIT_TEST(when_all_are_idle_the_newest_of_them_counts_and_stays),
        KIT_TEST(a_finished_partition_does_not_outshine_idle_ones),
        KIT_TEST(a_partition_that_is_a_hundred_times_slower_makes_nothing_late),
        KIT_TEST(a_partition_that_starts_late_is_waited_for_from_then_on),
        KIT_TEST(a_record_of_the_future_does_not_move_time),
        KIT_TEST(a_record_of_the_future_may_end_the_run),
        KIT_TEST(a_wall_clock_that_jumps_takes_no_time_back),
        KIT_TEST(a_function_of_the_app_tells_time),
        KIT_TEST(a_checkpoint_keeps_the_watermark_of_each_partition),
        KIT_TEST(what_was_late_at_a_task_is_late_after_a_restart),
        KIT_TEST(a_record_that_is_on_time_is_never_behind_a_watermark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
