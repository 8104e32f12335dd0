/* SPDX-License-Identifier: Apache-2.0 */
/* test_flow.c - pipelines as a whole: every record comes out as often as it should, in order, for
 * any number of workers and partitions, with full rings and moody channels; stop, failure, barriers
 * and memory that runs out.
 *
 * The channels are the test's own (flow_channel.h): a record's id tells its partition and offset.
 * Agents are real ones (op/process.h). */
#include "flow_channel.h"

#include "flow/flow.h"
#include "op/process.h"

enum { AGENTS_MAX = 3, OUTPUTS_MAX = 3, RECORDS_MAX = 4000 };

struct agent {
    char name[16];
    struct sb_process_settings settings;
    struct sabot_output outputs[OUTPUTS_MAX];
    uint32_t output_count;
    uint32_t burst;  /* copies of each record to each output */
    int64_t fail_id; /* the record that it fails at, after it has emitted; -1: none */
};

struct stage {
    struct kit *kit;
    struct sb_waker *owner;
    struct sb_graph graph;
    struct sb_flow *flow;
    struct sb_flow_config config;
    bool threads;
    struct sb_channel input;
    uint32_t source; /* node */
    struct sb_channel outputs[OUTPUTS_MAX];
    uint32_t sinks[OUTPUTS_MAX]; /* nodes */
    uint32_t output_count;
    struct agent agents[AGENTS_MAX];
    uint32_t tasks[AGENTS_MAX]; /* nodes */
    uint32_t agent_count;
    sabot_error error;
};

/* --- Building ------------------------------------------------------------------------------------
 */

static sabot_status copy(sabot_context *context, const void *record)
{
    const struct agent *agent = sabot_user(context);
    const struct kit_row *row = record;

    for (uint32_t i = 0; i < agent->output_count; i++) {
        for (uint32_t n = 0; n < agent->burst; n++)
            SABOT_TRY(sabot_emit(context, &agent->outputs[i], row));
    }
    if (row->id == agent->fail_id)
        return sabot_fail(context, SABOT_ERR_USER, "I don't like %lld", (long long)row->id);
    return SABOT_OK;
}

static void open_stage(struct stage *stage, struct kit *kit, int32_t partitions, uint32_t records)
{
    memset(stage, 0, sizeof *stage);
    stage->kit = kit;
    stage->config = (struct sb_flow_config){
        .name = "test",
        .workers = 1,
        .batch_rows = 100,
        .ring_bytes = 1 << 20,
        .hash_seed = 17,
    };
    assert_int_equal(kit->env->type->waker_create(kit->env->self, &stage->owner, NULL), SABOT_OK);
    stage->config.owner = stage->owner;
    assert_int_equal(sb_graph_init(&stage->graph, kit->env), SABOT_OK);
    kit_input_init(&stage->input, kit, partitions, records, 13);
}

static struct sb_port port_of(struct stage *stage, struct sb_channel *channel)
{
    return (struct sb_port){
        .type = &kit_channel_type,
        .channel = channel,
        .codec = &kit_codec,
        .schema = stage->kit->schema,
        .event_time_field = KIT_TIME,
        .key_field = SB_NO_FIELD,
    };
}

static uint32_t add_node(struct stage *stage, const struct sb_node *node)
{
    uint32_t index;

    assert_int_equal(sb_graph_node(&stage->graph, node, &index, NULL), SABOT_OK);
    return index;
}

static void add_source(struct stage *stage)
{
    const struct sb_node node = {
        .kind = SB_NODE_SOURCE,
        .name = "in",
        .port = port_of(stage, &stage->input),
        .output_count = 1,
    };

    stage->source = add_node(stage, &node);
}

/* Returns the number of the output. */
static uint32_t add_sink(struct stage *stage)
{
    const uint32_t number = stage->output_count++;
    const struct sb_node node = {
        .kind = SB_NODE_SINK,
        .name = "out",
        .port = port_of(stage, &stage->outputs[number]),
    };

    kit_output_init(&stage->outputs[number], stage->kit);
    stage->sinks[number] = add_node(stage, &node);
    return number;
}

/* Returns the number of the agent. */
static uint32_t add_agent(struct stage *stage, int32_t key_field, uint32_t outputs)
{
    const uint32_t number = stage->agent_count++;
    struct agent *agent = &stage->agents[number];
    struct sb_node node = {
        .kind = SB_NODE_TASK,
        .name = agent->name,
        .type = &sb_operator_process,
        .settings = &agent->settings,
        .input = stage->kit->schema,
        .key_field = key_field,
        .output_count = outputs,
    };

    (void)snprintf(agent->name, sizeof agent->name, "agent%u", number);
    agent->settings = (struct sb_process_settings){.owner = agent, .function = copy, .user = agent};
    agent->output_count = outputs;
    agent->burst = 1;
    agent->fail_id = -1;
    for (uint32_t i = 0; i < outputs; i++) {
        agent->outputs[i] = (struct sabot_output){.owner = agent, .index = i};
        node.outputs[i] = stage->kit->schema;
        node.output_times[i] = KIT_TIME;
    }
    stage->tasks[number] = add_node(stage, &node);
    return number;
}

static void join(struct stage *stage, uint32_t from, uint32_t output, uint32_t to)
{
    const struct sb_node *receiver = &stage->graph.nodes[to];
    const bool keyed = receiver->kind == SB_NODE_TASK && receiver->key_field != SB_NO_FIELD;
    const struct sb_edge edge = {
        .from = from,
        .output = output,
        .to = to,
        .route = keyed ? SB_ROUTE_KEY : SB_ROUTE_LOCAL,
        .key_field = keyed ? receiver->key_field : SB_NO_FIELD,
    };

    assert_int_equal(sb_graph_edge(&stage->graph, &edge, NULL), SABOT_OK);
}

/* in --> agent --> out */
static void build_single(struct stage *stage, int32_t key_field)
{
    add_source(stage);
    (void)add_agent(stage, key_field, 1);
    (void)add_sink(stage);
    join(stage, stage->source, 0, stage->tasks[0]);
    join(stage, stage->tasks[0], 0, stage->sinks[0]);
    assert_int_equal(sb_graph_check(&stage->graph, NULL), SABOT_OK);
}

/* in --> agent --> agent --> out; the nodes are added against the order of the data. */
static void build_chain(struct stage *stage, int32_t first_key, int32_t second_key)
{
    (void)add_sink(stage);
    (void)add_agent(stage, first_key, 1);
    (void)add_agent(stage, second_key, 1);
    add_source(stage);
    join(stage, stage->tasks[1], 0, stage->sinks[0]);
    join(stage, stage->tasks[0], 0, stage->tasks[1]);
    join(stage, stage->source, 0, stage->tasks[0]);
    assert_int_equal(sb_graph_check(&stage->graph, NULL), SABOT_OK);
}

/* in --> agent0 --+--> out0
 *    |            +--> agent2 --> out2
 *    +-> agent1 --+--> out1 (two outputs into one sink) */
static void build_fan(struct stage *stage, int32_t key_field)
{
    add_source(stage);
    (void)add_agent(stage, key_field, 1);
    (void)add_agent(stage, SB_NO_FIELD, 2);
    (void)add_agent(stage, KIT_KEY, 1);
    for (uint32_t i = 0; i < 3; i++)
        (void)add_sink(stage);
    join(stage, stage->source, 0, stage->tasks[0]);
    join(stage, stage->source, 0, stage->tasks[1]);
    join(stage, stage->tasks[0], 0, stage->sinks[0]);
    join(stage, stage->tasks[0], 0, stage->tasks[2]);
    join(stage, stage->tasks[1], 0, stage->sinks[1]);
    join(stage, stage->tasks[1], 1, stage->sinks[1]);
    join(stage, stage->tasks[2], 0, stage->sinks[2]);
    assert_int_equal(sb_graph_check(&stage->graph, NULL), SABOT_OK);
}

/* --- Running -------------------------------------------------------------------------------------
 */

static void start(struct stage *stage)
{
    assert_int_equal(
        sb_flow_create(stage->kit->env, &stage->graph, &stage->config, &stage->flow, &stage->error),
        SABOT_OK);
    if (stage->threads)
        assert_int_equal(sb_flow_start(stage->flow, &stage->error), SABOT_OK);
}

static sabot_status finish(struct stage *stage)
{
    const struct sb_env *env = stage->kit->env;
    sabot_status status;

    while ((status = sb_flow_status(stage->flow, &stage->error)) == SABOT_AGAIN) {
        if (stage->threads)
            env->type->wait(env->self, stage->owner, INT64_MAX);
        else
            (void)sb_flow_step(stage->flow);
    }
    return status;
}

/* The flow goes; what was written stays until close. */
static void end(struct stage *stage)
{
    sb_flow_destroy(stage->flow);
    stage->flow = NULL;
    assert_int_equal(stage->input.readers, 0);
}

static void close_stage(struct stage *stage)
{
    const struct sb_env *env = stage->kit->env;

    sb_flow_destroy(stage->flow);
    sb_graph_reset(&stage->graph);
    for (uint32_t i = 0; i < stage->output_count; i++)
        kit_output_reset(&stage->outputs[i]);
    env->type->waker_destroy(env->self, stage->owner);
}

static uint64_t sum_of(const struct stage *stage, size_t counter)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < stage->config.workers; i++)
        sum += sb_counter_get(
            (const struct sb_counter *)((const uint8_t *)&stage->flow->metrics[i] + counter));
    return sum;
}

#define SUM(stage, counter) sum_of(stage, offsetof(struct sb_flow_metrics, counter))

/* --- Judging -------------------------------------------------------------------------------------
 */

struct tally {
    bool ordered; /* two outputs of one agent to one sink have no order between them */
    uint8_t times[KIT_PARTITIONS_MAX][RECORDS_MAX];
    int64_t last[KIT_PARTITIONS_MAX][64]; /* offset, by key */
    int32_t writer[KIT_PARTITIONS_MAX][64];
};

static void count_record(struct tally *tally, const struct kit_written *record, uint32_t writer)
{
    const int64_t partition = record->id / KIT_PARTITION;
    const int64_t offset = record->id % KIT_PARTITION;

    assert_in_range(partition, 0, KIT_PARTITIONS_MAX - 1);
    assert_in_range(offset, 0, RECORDS_MAX - 1);
    assert_in_range(record->key, 0, 63);
    tally->times[partition][offset]++;
    /* Records of one key and partition go one way, and keep their order there. */
    if (tally->ordered)
        assert_true(offset >= tally->last[partition][record->key]);
    tally->last[partition][record->key] = offset;
    assert_true(tally->writer[partition][record->key] < 0 ||
                tally->writer[partition][record->key] == (int32_t)writer);
    tally->writer[partition][record->key] = (int32_t)writer;
}

static struct tally *tally_of(const struct stage *stage, uint32_t number)
{
    static struct tally tally;
    const struct sb_channel *output = &stage->outputs[number];

    memset(&tally, 0, sizeof tally);
    tally.ordered = stage->agents[number].output_count == 1;
    memset(tally.last, 0xff, sizeof tally.last);
    memset(tally.writer, 0xff, sizeof tally.writer);
    for (uint32_t i = 0; i < output->writer_count; i++) {
        const struct sb_writer *writer = &output->writers[i];

        assert_true(writer->closed);
        for (uint32_t n = 0; n < writer->count; n++)
            count_record(&tally, &writer->records[n], i);
    }
    return &tally;
}

/* Every record that the input had, `times` times, in order. */
static void expect_all(const struct stage *stage, uint32_t output, uint32_t times)
{
    const struct tally *tally = tally_of(stage, output);

    for (int32_t i = 0; i < stage->input.partitions; i++) {
        for (uint32_t n = 0; n < RECORDS_MAX; n++)
            assert_int_equal(tally->times[i][n], n < stage->input.shown[i] ? times : 0);
    }
}

static void expect_clean(const struct stage *stage)
{
    for (uint32_t i = 0; i < stage->output_count; i++) {
        for (uint32_t n = 0; n < stage->outputs[i].writer_count; n++)
            assert_false(stage->outputs[i].writers[n].dirty); /* flushed at the end */
    }
}

static uint64_t input_records(const struct stage *stage)
{
    uint64_t records = 0;

    for (int32_t i = 0; i < stage->input.partitions; i++)
        records += stage->input.shown[i];
    return records;
}

/* --- All that comes in goes out ------------------------------------------------------------------
 */

static void every_record_comes_out_once_for_any_number_of_workers_and_partitions(void **state)
{
    static const uint32_t workers[] = {1, 2, 4};
    static struct stage stage;

    for (uint32_t i = 0; i < 3 * KIT_PARTITIONS_MAX * 4; i++) {
        open_stage(&stage, *state, 1 + (int32_t)(i / 12), 700);
        stage.config.workers = workers[i % 3];
        stage.threads = (i / 3) % 2 == 0;
        build_single(&stage, (i / 6) % 2 == 0 ? KIT_KEY : SB_NO_FIELD);
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        assert_int_equal(SUM(&stage, records_read), input_records(&stage));
        assert_int_equal(SUM(&stage, records_processed), input_records(&stage));
        assert_int_equal(SUM(&stage, records_written), input_records(&stage));
        assert_int_equal(SUM(&stage, bytes_read), 24 * input_records(&stage));
        assert_int_equal(SUM(&stage, records_failed), 0);
        assert_int_equal(sb_flow_written(stage.flow, stage.sinks[0]), input_records(&stage));
        assert_int_equal(sb_flow_lag(stage.flow), 0);
        assert_true(sb_flow_watermark_ms(stage.flow) == INT64_MAX);
        end(&stage);
        expect_all(&stage, 0, 1);
        expect_clean(&stage);
        close_stage(&stage);
    }
}

static void an_input_without_partitions_ends_at_once(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 0, 0);
    stage.config.workers = 2;
    build_single(&stage, KIT_KEY);
    start(&stage);
    assert_int_equal(finish(&stage), SABOT_END);
    end(&stage);
    assert_int_equal(kit_output_count(&stage.outputs[0]), 0);
    close_stage(&stage);
}

static void two_agents_in_a_chain_hand_on_every_record_in_order(void **state)
{
    static const int32_t keys[] = {KIT_KEY, SB_NO_FIELD};
    static struct stage stage;

    for (uint32_t i = 0; i < 32; i++) {
        open_stage(&stage, *state, 5, 900);
        stage.config.workers = 1 + i / 4 % 4;
        stage.threads = i / 16 == 0;
        build_chain(&stage, keys[i % 2], keys[i / 2 % 2]);
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        assert_int_equal(SUM(&stage, records_processed), 2 * input_records(&stage));
        end(&stage);
        expect_all(&stage, 0, 1);
        close_stage(&stage);
    }
}

static void each_reader_of_a_channel_gets_all_of_it(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 12; i++) {
        open_stage(&stage, *state, 3, 900);
        stage.config.workers = 1 + i % 3;
        stage.threads = i / 3 % 2 == 0;
        build_fan(&stage, i < 6 ? KIT_KEY : SB_NO_FIELD);
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        assert_int_equal(SUM(&stage, records_read), input_records(&stage));
        assert_int_equal(SUM(&stage, records_processed), 3 * input_records(&stage));
        end(&stage);
        expect_all(&stage, 0, 1);
        expect_all(&stage, 1, 2);
        expect_all(&stage, 2, 1);
        close_stage(&stage);
    }
}

static void any_pace_of_channels_and_any_size_of_rings_gives_the_same(void **state)
{
    struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    static struct stage stage;

    for (uint32_t i = 0; i < 60; i++) {
        open_stage(&stage, kit, 1 + (int32_t)kit_random_below(&random, KIT_PARTITIONS_MAX),
                   kit_random_below(&random, 800));
        stage.config.workers = 1 + kit_random_below(&random, 4);
        stage.config.batch_rows = 1 + kit_random_below(&random, 60);
        stage.config.ring_bytes = 1 + kit_random_below(&random, 4000);
        stage.threads = kit_random_below(&random, 2) == 0;
        stage.input.piece_max = kit_random_below(&random, 9);
        stage.input.again_every = kit_random_below(&random, 4) * 2;
        build_fan(&stage, kit_random_below(&random, 2) == 0 ? KIT_KEY : SB_NO_FIELD);
        for (uint32_t n = 0; n < 3; n++) {
            stage.agents[n].burst = 1 + kit_random_below(&random, 3);
            stage.outputs[n].full_every = kit_random_below(&random, 4) * 3;
            stage.outputs[n].slow_flush = kit_random_below(&random, 2) == 0;
        }
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        end(&stage);
        expect_all(&stage, 0, stage.agents[0].burst);
        expect_all(&stage, 1, 2 * stage.agents[1].burst);
        expect_all(&stage, 2, stage.agents[0].burst * stage.agents[2].burst);
        expect_clean(&stage);
        close_stage(&stage);
    }
}

static void an_agent_may_emit_thousands_of_records_into_the_smallest_rings(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        open_stage(&stage, *state, 2, 20);
        stage.config.workers = 1 + i % 2;
        stage.config.ring_bytes = 1;
        stage.threads = i / 2 == 0;
        build_chain(&stage, KIT_KEY, KIT_KEY);
        stage.agents[0].burst = 5000;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        end(&stage);
        assert_int_equal(kit_output_count(&stage.outputs[0]), 2 * 20 * 5000);
        close_stage(&stage);
    }
}

static void two_pipelines_run_side_by_side(void **state)
{
    static struct stage stages[2];

    for (uint32_t i = 0; i < 2; i++) {
        open_stage(&stages[i], *state, 4, 1000 + i);
        stages[i].config.workers = 2;
        stages[i].threads = true;
        build_single(&stages[i], KIT_KEY);
        start(&stages[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(finish(&stages[i]), SABOT_END);
        end(&stages[i]);
        expect_all(&stages[i], 0, 1);
        close_stage(&stages[i]);
    }
}

static void records_that_come_later_are_waited_for(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 3, 0);
    stage.config.workers = 2;
    stage.threads = true;
    atomic_store(&stage.input.open_ended, true);
    build_single(&stage, KIT_KEY);
    start(&stage);
    for (uint32_t shown = 1; shown <= 200; shown++)
        kit_input_show(&stage.input, shown);
    assert_int_equal(sb_flow_status(stage.flow, NULL), SABOT_AGAIN);
    kit_input_finish(&stage.input);
    assert_int_equal(finish(&stage), SABOT_END);
    end(&stage);
    expect_all(&stage, 0, 1);
    close_stage(&stage);
}

/* --- Time ----------------------------------------------------------------------------------------
 */

/* An operator that passes nothing on but at a watermark, and then more than one batch: a record for
 * each millisecond that has passed. */
struct sb_operator {
    const struct sb_env *env;
    struct sb_outlet *outlet;
    int64_t next_ms;
};

static sabot_status ticker_create(const struct sb_operator_config *config,
                                  struct sb_operator **operator_out,
                                  sabot_error *error)
{
    *operator_out = sb_alloc(config->env, sizeof **operator_out);
    if (*operator_out == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a ticker");
    **operator_out = (struct sb_operator){.env = config->env, .outlet = config->outlets};
    return SABOT_OK;
}

static void ticker_destroy(struct sb_operator *self)
{
    sb_free(self->env, self, sizeof *self);
}

static sabot_status ticker_rows(struct sb_operator *self,
                                const struct sb_slice *slice,
                                uint32_t *cursor,
                                uint32_t end,
                                sabot_error *error)
{
    (void)self;
    (void)slice;
    (void)error;
    *cursor = end;
    return SABOT_OK;
}

static sabot_status ticker_watermark(struct sb_operator *self,
                                     int64_t watermark_ms,
                                     sabot_error *error)
{
    while (watermark_ms < INT64_MAX && self->next_ms <= watermark_ms) {
        const struct kit_row row = {.id = self->next_ms, .time_ms = self->next_ms};

        SABOT_TRY(sb_outlet_record(self->outlet, &row, 0, error));
        sb_outlet_keep(self->outlet);
        self->next_ms++;
        if (self->outlet->sealed_count > 0)
            return SABOT_AGAIN;
    }
    return SABOT_OK;
}

static const struct sb_operator_type ticker = {
    .name = "ticker",
    .create = ticker_create,
    .destroy = ticker_destroy,
    .rows = ticker_rows,
    .watermark = ticker_watermark,
};

static void an_operator_may_emit_many_batches_at_one_watermark(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        open_stage(&stage, *state, 1, 3900);
        stage.config.batch_rows = 3900;
        stage.config.ring_bytes = 1 + i * 100000;
        stage.threads = i % 2 == 0;
        build_single(&stage, SB_NO_FIELD);
        stage.graph.nodes[stage.tasks[0]].type = &ticker;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        end(&stage);
        expect_all(&stage, 0, 1);
        close_stage(&stage);
    }
}

/* --- Stop and destroy ----------------------------------------------------------------------------
 */

/* What came out of each partition is all of it up to some record. */
static void expect_prefixes(const struct stage *stage, uint32_t output, uint32_t times)
{
    const struct tally *tally = tally_of(stage, output);

    for (int32_t i = 0; i < stage->input.partitions; i++) {
        uint32_t n = 0;

        while (n < RECORDS_MAX && tally->times[i][n] == times)
            n++;
        for (; n < RECORDS_MAX; n++)
            assert_int_equal(tally->times[i][n], 0);
    }
}

static void a_stop_in_the_middle_finishes_what_was_read(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 20; i++) {
        open_stage(&stage, *state, 4, 3000);
        stage.config.workers = 1 + i % 3;
        stage.config.batch_rows = 10;
        stage.config.ring_bytes = 500;
        stage.threads = i % 2 == 0;
        atomic_store(&stage.input.open_ended, true);
        build_chain(&stage, KIT_KEY, KIT_KEY);
        start(&stage);
        if (!stage.threads) {
            for (uint32_t n = 0; n < 5 + i; n++)
                (void)sb_flow_step(stage.flow);
        }
        sb_flow_stop(stage.flow);
        assert_int_equal(finish(&stage), SABOT_END);
        assert_int_equal(SUM(&stage, records_read), SUM(&stage, records_written));
        assert_true(sb_flow_watermark_ms(stage.flow) < INT64_MAX); /* more may come another day */
        assert_int_equal(stage.input.stops, stage.input.readers);
        end(&stage);
        expect_prefixes(&stage, 0, 1);
        expect_clean(&stage);
        close_stage(&stage);
    }
}

static void a_stop_while_nothing_comes_ends_the_flow(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2, 5);
    stage.config.workers = 2;
    stage.threads = true;
    atomic_store(&stage.input.open_ended, true);
    build_single(&stage, KIT_KEY);
    start(&stage);
    while (SUM(&stage, records_written) < 10) {} /* both workers will soon sleep */
    sb_flow_stop(stage.flow);
    assert_int_equal(finish(&stage), SABOT_END);
    end(&stage);
    expect_all(&stage, 0, 1);
    close_stage(&stage);
}

static void a_flow_may_be_destroyed_at_any_moment(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 30; i++) {
        open_stage(&stage, *state, 4, 3000);
        stage.config.workers = 1 + i % 3;
        stage.config.batch_rows = 1 + i;
        stage.config.ring_bytes = 1 + i * 40;
        stage.threads = i % 2 == 0;
        build_fan(&stage, KIT_KEY);
        start(&stage);
        for (uint32_t n = 0; !stage.threads && n < i * 3; n++)
            (void)sb_flow_step(stage.flow);
        end(&stage);
        close_stage(&stage);
    }
}

/* --- Failure -------------------------------------------------------------------------------------
 */

static void what_an_agent_emitted_before_it_failed_goes_out_and_no_more(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 2; i++) {
        open_stage(&stage, *state, 1, 2000);
        stage.threads = i == 0;
        build_single(&stage, KIT_KEY);
        stage.agents[0].fail_id = 517;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_ERR_USER);
        assert_non_null(strstr(stage.error.text, "agent agent0"));
        assert_non_null(strstr(stage.error.text, "partition 0, offset 517"));
        assert_non_null(strstr(stage.error.text, "I don't like 517"));
        assert_int_equal(SUM(&stage, records_processed), 517);
        assert_int_equal(SUM(&stage, records_failed), 1);
        end(&stage);
        assert_int_equal(kit_output_count(&stage.outputs[0]), 517);
        expect_prefixes(&stage, 0, 1);
        expect_clean(&stage);
        close_stage(&stage);
    }
}

static void a_failure_on_one_worker_ends_the_others_in_order(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 12; i++) {
        open_stage(&stage, *state, 5, 2000);
        stage.config.workers = 1 + i % 4;
        stage.config.ring_bytes = 2000;
        stage.threads = i % 2 == 0;
        atomic_store(&stage.input.open_ended, true);
        build_fan(&stage, KIT_KEY);
        stage.agents[i % 3].fail_id = 3 * KIT_PARTITION + 700;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_ERR_USER);
        assert_non_null(strstr(stage.error.text, stage.agents[i % 3].name));
        assert_int_equal(SUM(&stage, records_failed), 1);
        assert_int_equal(stage.input.stops, stage.input.readers);
        end(&stage);
        assert_int_equal(tally_of(&stage, i % 3)->times[3][700], 0);
        expect_clean(&stage);
        close_stage(&stage);
    }
}

static void an_output_that_fails_ends_the_flow_with_its_name(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 6; i++) {
        open_stage(&stage, *state, 3, 1000);
        stage.config.workers = 1 + i % 3;
        stage.config.ring_bytes = 500;
        stage.threads = i % 2 == 0;
        build_fan(&stage, KIT_KEY);
        stage.outputs[2].fail_at = 100;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_ERR_IO);
        assert_string_equal(stage.error.text, "channel out: the disk is full");
        end(&stage);
        close_stage(&stage);
    }
}

static void a_malformed_record_ends_the_flow_behind_those_before_it(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        open_stage(&stage, *state, 3, 1000);
        stage.config.workers = 1 + i % 2;
        stage.threads = i / 2 == 0;
        build_single(&stage, KIT_KEY);
        stage.input.bad_id = KIT_PARTITION + 333;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_ERR_FORMAT);
        assert_string_equal(stage.error.text,
                            "channel in: partition 1, offset 333: 5 bytes are no record");
        assert_int_equal(SUM(&stage, records_failed), 1);
        assert_int_equal(SUM(&stage, records_read), SUM(&stage, records_processed) + 1);
        end(&stage);
        expect_prefixes(&stage, 0, 1);
        assert_int_equal(tally_of(&stage, 0)->times[1][332], 1);
        assert_int_equal(tally_of(&stage, 0)->times[1][333], 0);
        close_stage(&stage);
    }
}

static void a_record_too_large_ends_the_flow_behind_those_before_it(void **state)
{
    static struct stage stage;

    open_stage(&stage, *state, 2, 1000);
    build_single(&stage, KIT_KEY);
    stage.input.large_id = KIT_PARTITION + 77;
    start(&stage);
    assert_int_equal(finish(&stage), SABOT_ERR_LIMIT);
    assert_string_equal(stage.error.text, "channel in: partition 1, offset 77: too large");
    assert_int_equal(SUM(&stage, records_failed), 1);
    end(&stage);
    expect_prefixes(&stage, 0, 1);
    assert_int_equal(tally_of(&stage, 0)->times[1][76], 1);
    close_stage(&stage);
}

static void refused_records_are_counted_and_left_out_where_that_is_wished(void **state)
{
    static struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        struct tally *tally;

        open_stage(&stage, *state, 3, 1000);
        stage.config.workers = 1 + i % 2;
        stage.config.decode_skip = true;
        stage.threads = i / 2 == 0;
        stage.kit->env->log_level = SABOT_LOG_ERROR;
        build_single(&stage, KIT_KEY);
        stage.input.bad_id = KIT_PARTITION + 333;
        stage.input.large_id = 2 * KIT_PARTITION + 999;
        start(&stage);
        assert_int_equal(finish(&stage), SABOT_END);
        assert_int_equal(SUM(&stage, records_read), 3000);
        assert_int_equal(SUM(&stage, records_processed), 2998);
        assert_int_equal(SUM(&stage, records_skipped), 2);
        end(&stage);
        tally = tally_of(&stage, 0);
        assert_int_equal(tally->times[1][333], 0);
        assert_int_equal(tally->times[2][999], 0);
        assert_int_equal(kit_output_count(&stage.outputs[0]), 2998);
        close_stage(&stage);
    }
}

/* --- Barriers ------------------------------------------------------------------------------------
 */

/* Let each writer see how many barriers its sink has had. */
static void watch_epochs(struct stage *stage)
{
    for (uint32_t worker = 0; worker < stage->config.workers; worker++) {
        for (uint32_t i = 0; i < stage->output_count; i++)
            stage->outputs[i].writers[worker].inbox =
                &stage->flow->instances[worker * stage->graph.node_count + stage->sinks[i]]
                     .sink.inbox;
    }
}

/* A barrier cuts each partition in one place: on every output, what lies before it has the lower
 * epoch. */
static void expect_cuts(const struct stage *stage, int64_t epochs)
{
    static int64_t first[KIT_PARTITIONS_MAX][RECORDS_MAX];

    memset(first, 0xff, sizeof first);
    for (uint32_t i = 0; i < stage->output_count; i++) {
        for (uint32_t w = 0; w < stage->outputs[i].writer_count; w++) {
            const struct sb_writer *writer = &stage->outputs[i].writers[w];

            for (uint32_t n = 0; n < writer->count; n++) {
                const struct kit_written *record = &writer->records[n];
                int64_t *epoch = &first[record->id / KIT_PARTITION][record->id % KIT_PARTITION];

                assert_in_range(record->epoch, 0, epochs);
                assert_true(*epoch < 0 || *epoch == record->epoch); /* the same on all outputs */
                *epoch = record->epoch;
            }
        }
    }
    for (int32_t p = 0; p < stage->input.partitions; p++) {
        for (uint32_t n = 1; n < stage->input.shown[p]; n++)
            assert_true(first[p][n - 1] <= first[p][n]);
    }
}

/* Order a checkpoint; every instance will report. */
static struct sb_checkpoint *order_checkpoint(struct stage *stage, int64_t id)
{
    struct sb_checkpoint *checkpoint;

    assert_int_equal(sb_checkpoint_create(stage->kit->env, id, stage->graph.node_count,
                                          stage->config.workers, &checkpoint, NULL),
                     SABOT_OK);
    sb_flow_checkpoint(stage->flow, checkpoint);
    return checkpoint;
}

static void drop_checkpoint(struct stage *stage, struct sb_checkpoint *checkpoint)
{
    stage->flow->control.checkpoint = NULL;
    sb_checkpoint_destroy(checkpoint);
}

static void a_barrier_cuts_every_partition_once_on_all_outputs(void **state)
{
    static struct stage stage;
    struct kit *kit = *state;
    const struct sb_env *env = kit->env;

    for (uint32_t i = 0; i < 9; i++) {
        open_stage(&stage, kit, 5, 0);
        stage.config.workers = 1 + i % 3;
        stage.config.batch_rows = 7;
        stage.config.ring_bytes = 700;
        stage.threads = true;
        atomic_store(&stage.input.open_ended, true);
        build_fan(&stage, i % 2 == 0 ? KIT_KEY : SB_NO_FIELD);
        assert_int_equal(sb_flow_create(env, &stage.graph, &stage.config, &stage.flow, NULL),
                         SABOT_OK);
        watch_epochs(&stage);
        assert_int_equal(sb_flow_start(stage.flow, NULL), SABOT_OK);
        for (int64_t id = 1; id <= 6; id++) {
            kit_input_show(&stage.input, (uint32_t)id * 300);
            struct sb_checkpoint *checkpoint = order_checkpoint(&stage, id);

            kit_input_show(&stage.input, (uint32_t)id * 300 + 100);
            while (atomic_load(&checkpoint->missing) > 0)
                env->type->wait(env->self, stage.owner, INT64_MAX);
            drop_checkpoint(&stage, checkpoint);
        }
        kit_input_finish(&stage.input);
        assert_int_equal(finish(&stage), SABOT_END);
        end(&stage);
        expect_all(&stage, 0, 1);
        expect_all(&stage, 2, 1);
        expect_cuts(&stage, 6);
        close_stage(&stage);
    }
}

static void records_behind_a_barrier_stay_behind_it(void **state)
{
    static struct stage stage;
    struct sb_checkpoint *checkpoint;

    open_stage(&stage, *state, 4, 50);
    stage.config.workers = 2;
    atomic_store(&stage.input.open_ended, true);
    build_single(&stage, KIT_KEY);
    assert_int_equal(sb_flow_create(stage.kit->env, &stage.graph, &stage.config, &stage.flow, NULL),
                     SABOT_OK);
    watch_epochs(&stage);
    while (sb_flow_step(stage.flow).state == SB_STEP_AGAIN) {}
    assert_int_equal(SUM(&stage, records_written), 200);
    checkpoint = order_checkpoint(&stage, 1);
    kit_input_show(&stage.input, 80);
    kit_input_finish(&stage.input);
    assert_int_equal(finish(&stage), SABOT_END);
    assert_int_equal(atomic_load(&checkpoint->missing), 0);
    drop_checkpoint(&stage, checkpoint);
    end(&stage);
    for (uint32_t i = 0; i < 2; i++) {
        const struct sb_writer *writer = &stage.outputs[0].writers[i];

        for (uint32_t n = 0; n < writer->count; n++)
            assert_true(writer->records[n].epoch == (writer->records[n].time_ms >= 50));
    }
    close_stage(&stage);
}

/* --- Memory that runs out ------------------------------------------------------------------------
 */

/* What did come out is in order and not too often. */
static void expect_at_most(const struct stage *stage, uint32_t output, uint32_t times)
{
    const struct tally *tally = tally_of(stage, output);

    for (int32_t i = 0; i < stage->input.partitions; i++) {
        for (uint32_t n = 0; n < RECORDS_MAX; n++)
            assert_in_range(tally->times[i][n], 0, times);
    }
}

/* The whole life of a flow with the n-th allocation, and all after it, failing. */
static sabot_status live_with_failing_memory(struct stage *stage, struct kit *kit, uint64_t nth)
{
    sabot_status status;

    open_stage(stage, kit, 3, 300);
    stage->config.workers = 2;
    build_fan(stage, KIT_KEY);
    stage->agents[0].burst = 5;
    sb_os_env_fail_allocation(kit->env, nth);
    status = sb_flow_create(kit->env, &stage->graph, &stage->config, &stage->flow, &stage->error);
    if (status == SABOT_OK)
        status = finish(stage);
    sb_flow_destroy(stage->flow);
    stage->flow = NULL;
    sb_os_env_fail_allocation(kit->env, 0);
    return status;
}

static void without_memory_a_flow_fails_comes_to_rest_and_leaks_nothing(void **state)
{
    static struct stage stage;
    struct kit *kit = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth;

    for (nth = 1; status != SABOT_END; nth++) {
        status = live_with_failing_memory(&stage, kit, nth);
        if (status != SABOT_END) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_int_equal(stage.error.status, SABOT_ERR_MEMORY);
            assert_true(stage.error.text[0] != '\0');
        }
        expect_at_most(&stage, 0, 5);
        expect_at_most(&stage, 1, 2);
        expect_at_most(&stage, 2, 5);
        close_stage(&stage);
    }
    print_message("%llu allocations\n", (unsigned long long)nth);
    assert_true(nth > 100);
}

static void without_memory_the_threads_come_to_rest_as_well(void **state)
{
    static struct stage stage;
    struct kit *kit = *state;

    for (uint64_t nth = 1; nth <= 40; nth++) {
        open_stage(&stage, kit, 3, 300);
        stage.config.workers = 2;
        stage.threads = true;
        build_fan(&stage, KIT_KEY);
        assert_int_equal(sb_flow_create(kit->env, &stage.graph, &stage.config, &stage.flow, NULL),
                         SABOT_OK);
        sb_os_env_fail_allocation(kit->env, nth);
        if (sb_flow_start(stage.flow, &stage.error) == SABOT_OK) {
            const sabot_status status = finish(&stage);

            assert_true(status == SABOT_END || status == SABOT_ERR_MEMORY);
        }
        sb_os_env_fail_allocation(kit->env, 0);
        end(&stage);
        close_stage(&stage);
    }
}

/* Batches, slices and rings are used again: a flow that has warmed up allocates nothing. */
static void a_flow_that_runs_allocates_nothing(void **state)
{
    static struct stage stage;
    uint64_t allocations;

    open_stage(&stage, *state, 4, 0);
    stage.config.workers = 2;
    atomic_store(&stage.input.open_ended, true);
    build_chain(&stage, KIT_KEY, KIT_KEY);
    start(&stage);
    for (uint32_t i = 1; i <= 10; i++) {
        kit_input_show(&stage.input, i * 100);
        while (sb_flow_step(stage.flow).state == SB_STEP_AGAIN) {}
    }
    allocations = sb_os_env_allocation_count(stage.kit->env);
    for (uint32_t i = 11; i <= 30; i++) {
        kit_input_show(&stage.input, i * 100);
        while (sb_flow_step(stage.flow).state == SB_STEP_AGAIN) {}
    }
    assert_int_equal(sb_os_env_allocation_count(stage.kit->env), allocations);
    kit_input_finish(&stage.input);
    assert_int_equal(finish(&stage), SABOT_END);
    end(&stage);
    expect_all(&stage, 0, 1);
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(every_record_comes_out_once_for_any_number_of_workers_and_partitions),
        KIT_TEST(an_input_without_partitions_ends_at_once),
        KIT_TEST(two_agents_in_a_chain_hand_on_every_record_in_order),
        KIT_TEST(each_reader_of_a_channel_gets_all_of_it),
        KIT_TEST(any_pace_of_channels_and_any_size_of_rings_gives_the_same),
        KIT_TEST(an_agent_may_emit_thousands_of_records_into_the_smallest_rings),
        KIT_TEST(two_pipelines_run_side_by_side),
        KIT_TEST(records_that_come_later_are_waited_for),
        KIT_TEST(an_operator_may_emit_many_batches_at_one_watermark),
        KIT_TEST(a_stop_in_the_middle_finishes_what_was_read),
        KIT_TEST(a_stop_while_nothing_comes_ends_the_flow),
        KIT_TEST(a_flow_may_be_destroyed_at_any_moment),
        KIT_TEST(what_an_agent_emitted_before_it_failed_goes_out_and_no_more),
        KIT_TEST(a_failure_on_one_worker_ends_the_others_in_order),
        KIT_TEST(an_output_that_fails_ends_the_flow_with_its_name),
        KIT_TEST(a_malformed_record_ends_the_flow_behind_those_before_it),
        KIT_TEST(a_record_too_large_ends_the_flow_behind_those_before_it),
        KIT_TEST(refused_records_are_counted_and_left_out_where_that_is_wished),
        KIT_TEST(a_barrier_cuts_every_partition_once_on_all_outputs),
        KIT_TEST(records_behind_a_barrier_stay_behind_it),
        KIT_TEST(without_memory_a_flow_fails_comes_to_rest_and_leaks_nothing),
        KIT_TEST(without_memory_the_threads_come_to_rest_as_well),
        KIT_TEST(a_flow_that_runs_allocates_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
