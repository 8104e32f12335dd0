/* SPDX-License-Identifier: Apache-2.0 */
/* test_sink.c - an output at barriers: what it stages and hands over, what it refuses, and what
 * becomes of the checkpoint when it fails; and the parts of a checkpoint without memory.
 *
 * in --> out, one worker, stepped by the test. */
#include "flow_channel.h"

#include "flow/flow.h"
#include "flow/stage.h"

enum { RECORDS = 60, PARTITIONS = 3 };

struct fixture {
    struct kit *kit;
    struct sb_waker *owner;
    struct sb_graph graph;
    struct sb_flow *flow;
    struct sb_flow_config config;
    struct sb_channel input;
    struct sb_channel output;
    struct sb_channel_type type; /* of the output: kit's, and what a test changes */
    uint32_t source;
    uint32_t sink;
    sabot_error error;
};

static struct fixture *fixture_of(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    struct kit *kit = *state;

    memset(f, 0, sizeof *f);
    f->kit = kit;
    f->type = kit_channel_type;
    kit->env->log_level = SABOT_LOG_ERROR;
    assert_int_equal(kit->env->type->waker_create(kit->env->self, &f->owner, NULL), SABOT_OK);
    f->config = (struct sb_flow_config){
        .name = "test",
        .workers = 1,
        .batch_rows = 10,
        .ring_bytes = 1 << 20,
        .hash_seed = 17,
        .owner = f->owner,
    };
    kit_input_init(&f->input, kit, PARTITIONS, RECORDS, 13);
    atomic_store(&f->input.open_ended, true);
    kit_output_init(&f->output, kit);
    return f;
}

static void build(struct fixture *f, bool stages, int32_t key_field)
{
    const struct sb_port port = {
        .type = &kit_channel_type,
        .channel = &f->input,
        .codec = &kit_codec,
        .schema = f->kit->schema,
        .event_time_field = KIT_TIME,
        .key_field = SB_NO_FIELD,
    };
    const struct sb_node source = {
        .kind = SB_NODE_SOURCE, .name = "in", .port = port, .output_count = 1};
    struct sb_node sink = {.kind = SB_NODE_SINK, .name = "out", .port = port};
    struct sb_edge edge = {.route = SB_ROUTE_LOCAL, .key_field = SB_NO_FIELD};

    sink.port.type = &f->type;
    sink.port.channel = &f->output;
    sink.port.key_field = key_field;
    sink.port.stages = stages;
    assert_int_equal(sb_graph_init(&f->graph, f->kit->env), SABOT_OK);
    assert_int_equal(sb_graph_node(&f->graph, &source, &f->source, NULL), SABOT_OK);
    assert_int_equal(sb_graph_node(&f->graph, &sink, &f->sink, NULL), SABOT_OK);
    edge.from = f->source;
    edge.to = f->sink;
    assert_int_equal(sb_graph_edge(&f->graph, &edge, NULL), SABOT_OK);
    if (sb_graph_check(&f->graph, &f->error) != SABOT_OK ||
        sb_flow_create(f->kit->env, &f->graph, &f->config, &f->flow, &f->error) != SABOT_OK)
        fail_msg("%s", f->error.text);
}

static void finish(struct fixture *f)
{
    sb_flow_destroy(f->flow);
    sb_graph_reset(&f->graph);
    kit_output_reset(&f->output);
    f->kit->env->type->waker_destroy(f->kit->env->self, f->owner);
}

/* As long as anything moves. */
static void run(struct fixture *f)
{
    while (sb_flow_status(f->flow, NULL) == SABOT_AGAIN &&
           sb_flow_step(f->flow).state == SB_STEP_AGAIN) {}
}

static sabot_status run_to_the_end(struct fixture *f)
{
    sabot_status status;

    while ((status = sb_flow_status(f->flow, &f->error)) == SABOT_AGAIN)
        (void)sb_flow_step(f->flow);
    return status;
}

static struct sb_checkpoint *order(struct fixture *f, int64_t id)
{
    struct sb_checkpoint *checkpoint;

    assert_int_equal(
        sb_checkpoint_create(f->kit->env, id, f->graph.node_count, 1, &checkpoint, NULL), SABOT_OK);
    sb_flow_checkpoint(f->flow, checkpoint);
    return checkpoint;
}

static struct sb_part *part_of(struct sb_checkpoint *checkpoint, uint32_t node)
{
    return sb_checkpoint_part(checkpoint, 0, node);
}

static void drop(struct fixture *f, struct sb_checkpoint *checkpoint)
{
    assert_int_equal(atomic_load(&checkpoint->missing), 0);
    f->flow->control.checkpoint = NULL;
    sb_checkpoint_destroy(checkpoint);
}

/* --- Staging ---------------------------------------------------------------------------------- */

static uint32_t count_staged(const struct sb_part *part)
{
    struct sb_record record;
    uint32_t count = 0;
    size_t at = 0;

    while (sb_stage_next(&part->bytes, &at, &record))
        count++;
    assert_int_equal(count, part->records);
    return count;
}

static void each_checkpoint_gets_what_was_staged_before_its_barrier(void **state)
{
    struct fixture *f = fixture_of(state);

    build(f, true, KIT_KEY);
    for (int64_t id = 1; id <= 3; id++) {
        struct sb_checkpoint *checkpoint;

        kit_input_show(&f->input, RECORDS * (uint32_t)id);
        run(f);
        checkpoint = order(f, id);
        run(f);
        assert_int_equal(count_staged(part_of(checkpoint, f->sink)), RECORDS * PARTITIONS);
        assert_int_equal(part_of(checkpoint, f->source)->count, PARTITIONS);
        for (uint32_t i = 0; i < PARTITIONS; i++)
            assert_int_equal(part_of(checkpoint, f->source)->positions[i].offset, RECORDS * id);
        sb_control_committed(&f->flow->control, part_of(checkpoint, f->sink)->bytes.size);
        assert_int_equal(atomic_load(&f->flow->control.staged), 0);
        drop(f, checkpoint);
    }
    assert_int_equal(f->output.writer_count, 0); /* the transaction's writer writes */
    finish(f);
}

static uint32_t wakes; /* of the owner */
static struct sb_waker *owner_now;
static const struct sb_env_type *real_type;

static void count_wake(struct sb_waker *waker)
{
    wakes += waker == owner_now;
    real_type->wake(waker);
}

/* Half of what may be staged is full: the coordinator is woken, once. Over all of it nothing more
 * is read, until something was committed. */
static void a_stage_that_fills_up_asks_for_a_checkpoint_and_then_holds_its_input(void **state)
{
    struct fixture *f = fixture_of(state);
    struct sb_env *env = f->kit->env;
    struct sb_env_type counting = *env->type;
    struct sb_checkpoint *checkpoint;
    uint32_t before;

    real_type = env->type;
    counting.wake = count_wake;
    env->type = &counting;
    owner_now = f->owner;
    wakes = 0;
    f->config.staged_max = 2000;
    kit_input_show(&f->input, 5);
    build(f, true, SB_NO_FIELD);
    run(f);
    assert_false(sb_control_presses(&f->flow->control));
    before = wakes;
    kit_input_show(&f->input, 2000);
    run(f);
    assert_true(sb_control_presses(&f->flow->control));
    assert_int_equal(wakes, before + 1);
    assert_true(atomic_load(&f->flow->control.staged) > 2000);
    assert_true(sb_counter_get(&f->flow->metrics[0].records_read) < 1000);
    checkpoint = order(f, 1);
    run(f);
    sb_control_committed(&f->flow->control, part_of(checkpoint, f->sink)->bytes.size);
    drop(f, checkpoint);
    assert_false(sb_control_presses(&f->flow->control));
    before = (uint32_t)sb_counter_get(&f->flow->metrics[0].records_read);
    run(f);
    assert_true(sb_counter_get(&f->flow->metrics[0].records_read) > before);
    finish(f);
    env->type = real_type;
}

static void a_record_that_cant_be_staged_for_memory_fails_the_pipeline(void **state)
{
    struct fixture *f = fixture_of(state);
    sabot_status status;

    build(f, true, SB_NO_FIELD);
    run(f);
    kit_input_show(&f->input, 3000); /* many times what the stage has room for */
    sb_os_env_fail_allocation(f->kit->env, 1);
    run(f);
    sb_os_env_fail_allocation(f->kit->env, 0);
    status = run_to_the_end(f);
    assert_int_equal(status, SABOT_ERR_MEMORY);
    finish(f);
}

/* --- Records that are too large --------------------------------------------------------------- */

static uint64_t ten_bytes(const struct sb_channel *channel)
{
    (void)channel;
    return 10;
}

static const char *topic_of(const struct sb_channel *channel)
{
    (void)channel;
    return "alerts";
}

static void a_record_that_the_output_doesnt_take_is_named(void **state)
{
    static const char *const texts[] = {
        "channel out: a record of 25 bytes (key \"0\", event time 0 ms); it takes 10, by its "
        "max.message.bytes or record.bytes_max",
        "channel out: a record of 24 bytes (key \"\", event time 0 ms); topic alerts takes 10",
    };

    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_of(state);

        f->type.record_max = ten_bytes;
        f->type.topic = i == 0 ? NULL : topic_of;
        build(f, true, i == 0 ? KIT_KEY : SB_NO_FIELD);
        assert_int_equal(run_to_the_end(f), SABOT_ERR_LIMIT);
        if (strncmp(f->error.text, texts[i], strlen(texts[i])) != 0)
            fail_msg("%s", f->error.text);
        assert_int_equal(sb_counter_get(&f->flow->metrics[0].records_failed), 1);
        finish(f);
    }
}

/* --- Barriers at an output that is slow or fails ---------------------------------------------- */

static int slow_calls; /* that a sync says SABOT_AGAIN; then it says: */
static sabot_status sync_status;

static sabot_status sync_output(struct sb_writer *writer, uint64_t *length_out, sabot_error *error)
{
    if (slow_calls-- > 0) {
        sb_wake(writer->channel->env, writer->waker);
        return SABOT_AGAIN;
    }
    *length_out = writer->count;
    return sync_status == SABOT_OK ? SABOT_OK : sabot_raise(error, sync_status, "the disk is full");
}

static sabot_status flush_fails(struct sb_writer *writer, sabot_error *error)
{
    (void)writer;
    return sabot_raise(error, SABOT_ERR_IO, "the disk is full");
}

static void an_output_that_fails_at_a_flush_ends_the_pipeline_with_its_name(void **state)
{
    struct fixture *f = fixture_of(state);

    f->type.flush = flush_fails;
    build(f, false, SB_NO_FIELD);
    assert_int_equal(run_to_the_end(f), SABOT_ERR_IO);
    assert_string_equal(f->error.text, "channel out: the disk is full");
    finish(f);
}

static void a_barrier_waits_until_what_was_written_is_safe(void **state)
{
    struct fixture *f = fixture_of(state);
    struct sb_checkpoint *checkpoint;

    f->type.sync = sync_output;
    slow_calls = 3;
    sync_status = SABOT_OK;
    build(f, false, SB_NO_FIELD);
    run(f);
    checkpoint = order(f, 1);
    for (int i = 0; i < 3; i++) {
        run(f);
        assert_int_equal(atomic_load(&checkpoint->missing), 1);
    }
    run(f);
    assert_int_equal(slow_calls, -1);
    assert_int_equal(part_of(checkpoint, f->sink)->length, RECORDS * PARTITIONS);
    assert_int_equal(part_of(checkpoint, f->sink)->error.status, SABOT_OK);
    drop(f, checkpoint);
    finish(f);
}

static void an_output_that_fails_at_a_barrier_fails_checkpoint_and_pipeline(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct fixture *f = fixture_of(state);
        struct sb_checkpoint *checkpoint;

        if (i == 0)
            f->type.sync = sync_output;
        else
            f->type.flush = flush_fails;
        slow_calls = 0;
        sync_status = SABOT_ERR_IO;
        build(f, false, SB_NO_FIELD);
        checkpoint = order(f, 1);
        assert_int_equal(run_to_the_end(f), SABOT_ERR_IO);
        assert_string_equal(f->error.text, "channel out: the disk is full");
        assert_int_equal(part_of(checkpoint, f->sink)->error.status, SABOT_ERR_IO);
        drop(f, checkpoint);
        finish(f);
    }
}

static bool is_full;

static sabot_status full_or_broken(struct sb_writer *writer,
                                   const struct sb_record *record,
                                   sabot_error *error)
{
    (void)writer;
    (void)record;
    return is_full ? SABOT_AGAIN : sabot_raise(error, SABOT_ERR_IO, "the disk is gone");
}

static void an_output_that_has_failed_has_no_part_in_a_checkpoint(void **state)
{
    struct fixture *f = fixture_of(state);
    struct sb_checkpoint *checkpoint;

    f->type.write = full_or_broken;
    is_full = true;
    build(f, false, SB_NO_FIELD);
    run(f);
    checkpoint = order(f, 1); /* behind the first record, which still waits */
    run(f);
    is_full = false;
    assert_int_equal(run_to_the_end(f), SABOT_ERR_IO);
    assert_string_equal(part_of(checkpoint, f->sink)->error.text, "out has failed");
    drop(f, checkpoint);
    finish(f);
}

/* --- Parts without memory --------------------------------------------------------------------- */

static void a_checkpoint_without_memory_is_none_and_the_next_one_is(void **state)
{
    struct kit *kit = *state;
    struct sb_checkpoint *checkpoint = NULL;
    sabot_error error;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(kit->env, n);
        status = sb_checkpoint_create(kit->env, 7, 3, 2, &checkpoint, &error);
        sb_os_env_fail_allocation(kit->env, 0);
        if (status != SABOT_OK) {
            assert_null(checkpoint);
            assert_string_equal(error.text, "no memory for checkpoint 7");
        }
    }
    assert_int_equal(n, 4);
    sb_checkpoint_destroy(checkpoint);
    sb_checkpoint_destroy(NULL);
}

static void a_part_that_has_no_memory_keeps_what_it_has_and_says_so(void **state)
{
    struct kit *kit = *state;
    struct sb_part part = {.count = 0};

    for (uint32_t count = 0; count < 40; count++) {
        if (count == part.capacity) {
            sb_os_env_fail_allocation(kit->env, 1);
            assert_null(sb_part_add_position(&part, kit->env));
            sb_os_env_fail_allocation(kit->env, 0);
            assert_int_equal(part.error.status, SABOT_ERR_MEMORY);
            assert_int_equal(part.count, count);
        }
        sb_part_add_position(&part, kit->env)->offset = count;
    }
    for (uint32_t at = 0; at < part.count; at++)
        assert_int_equal(part.positions[at].offset, at);
    sb_free_array(kit->env, part.positions, part.capacity, sizeof *part.positions);
}

/* The source has no room for its positions: the checkpoint fails, the stream goes on. */
static void a_source_without_memory_for_its_positions_fails_the_checkpoint_alone(void **state)
{
    struct fixture *f = fixture_of(state);
    struct sb_checkpoint *checkpoint;

    build(f, false, SB_NO_FIELD);
    run(f);
    checkpoint = order(f, 1);
    sb_os_env_fail_allocation(f->kit->env, 1);
    run(f);
    sb_os_env_fail_allocation(f->kit->env, 0);
    assert_int_equal(part_of(checkpoint, f->source)->error.status, SABOT_ERR_MEMORY);
    assert_non_null(
        strstr(part_of(checkpoint, f->source)->error.text, "no memory for 16 positions"));
    drop(f, checkpoint);
    checkpoint = order(f, 2);
    run(f);
    assert_int_equal(part_of(checkpoint, f->source)->error.status, SABOT_OK);
    assert_int_equal(part_of(checkpoint, f->source)->count, PARTITIONS);
    drop(f, checkpoint);
    kit_input_finish(&f->input);
    assert_int_equal(run_to_the_end(f), SABOT_END);
    assert_int_equal(kit_output_count(&f->output), RECORDS * PARTITIONS);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(each_checkpoint_gets_what_was_staged_before_its_barrier),
        KIT_TEST(a_stage_that_fills_up_asks_for_a_checkpoint_and_then_holds_its_input),
        KIT_TEST(a_record_that_cant_be_staged_for_memory_fails_the_pipeline),
        KIT_TEST(a_record_that_the_output_doesnt_take_is_named),
        KIT_TEST(an_output_that_fails_at_a_flush_ends_the_pipeline_with_its_name),
        KIT_TEST(a_barrier_waits_until_what_was_written_is_safe),
        KIT_TEST(an_output_that_fails_at_a_barrier_fails_checkpoint_and_pipeline),
        KIT_TEST(an_output_that_has_failed_has_no_part_in_a_checkpoint),
        KIT_TEST(a_checkpoint_without_memory_is_none_and_the_next_one_is),
        KIT_TEST(a_part_that_has_no_memory_keeps_what_it_has_and_says_so),
        KIT_TEST(a_source_without_memory_for_its_positions_fails_the_checkpoint_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
