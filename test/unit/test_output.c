/* SPDX-License-Identifier: Apache-2.0 */
/* test_output.c - one output to several edges: the same sequence on each, whatever their pace. */
#include "flow_kit.h"

#include "flow/output.h"

enum { EDGES_MAX = 4, SEED = 5, STEPS = 20000 };

/* An output whose edges each have one receiver. The sequence is batches of one row and marks, both
 * numbered by one counter. */
struct stage {
    struct kit *kit;
    struct sb_exchange exchanges[EDGES_MAX];
    struct sb_ring rings[EDGES_MAX];
    uint32_t edges;
    struct sb_output output;
    int64_t sent;
    int64_t seen[EDGES_MAX];
};

static void open_stage(struct stage *stage, struct kit *kit, uint32_t edges, uint32_t slots)
{
    *stage = (struct stage){.kit = kit, .edges = edges};
    for (uint32_t i = 0; i < edges; i++) {
        assert_int_equal(
            sb_exchange_init(&stage->exchanges[i], kit->env, 1, KIT_KEY, SEED, SB_BATCH_ROWS),
            SABOT_OK);
        assert_int_equal(
            sb_ring_init(&stage->rings[i], kit->env, slots, sizeof(struct sb_message), UINT64_MAX),
            SABOT_OK);
        stage->exchanges[i].targets[0].ring = &stage->rings[i];
    }
    sb_output_init(&stage->output, stage->exchanges, edges);
}

static bool take(struct stage *stage, uint32_t edge)
{
    struct sb_message *message = sb_ring_peek(&stage->rings[edge]);

    if (message == NULL)
        return false;
    if (message->kind == SB_MESSAGE_ROWS)
        assert_true(sb_batch_int64(message->slice->batch, KIT_ID, 0) == stage->seen[edge]);
    else
        assert_true(message->value == stage->seen[edge]);
    stage->seen[edge]++;
    sb_slice_drop(message->slice);
    sb_ring_pop(&stage->rings[edge], message->bytes);
    return true;
}

static void close_stage(struct stage *stage)
{
    sb_output_reset(&stage->output);
    for (uint32_t i = 0; i < stage->edges; i++) {
        struct sb_message *message;

        while ((message = sb_ring_peek(&stage->rings[i])) != NULL) {
            sb_slice_drop(message->slice);
            sb_ring_pop(&stage->rings[i], message->bytes);
        }
        sb_exchange_reset(&stage->exchanges[i]);
        sb_ring_reset(&stage->rings[i]);
    }
}

static void send_batch(struct stage *stage)
{
    sb_output_batch(&stage->output, kit_batch(stage->kit, stage->sent++, 1, 7));
}

static void every_edge_gets_the_whole_sequence_at_its_own_pace(void **state)
{
    struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    struct stage stage;
    bool held_back = false;

    open_stage(&stage, kit, EDGES_MAX, 4);
    for (uint32_t step = 0; step < STEPS; step++) {
        const sabot_status status = sb_output_push(&stage.output);

        assert_int_equal(sb_output_empty(&stage.output), status == SABOT_OK);
        held_back = held_back || status == SABOT_AGAIN;
        for (uint32_t i = kit_random_below(&random, 3); status == SABOT_OK && i > 0; i--) {
            if (kit_random_below(&random, 2) == 0)
                send_batch(&stage);
            else
                sb_output_mark(&stage.output, SB_MESSAGE_WATERMARK, stage.sent++);
        }
        (void)take(&stage, kit_random_below(&random, stage.edges));
    }
    while (sb_output_push(&stage.output) != SABOT_OK) {
        for (uint32_t i = 0; i < stage.edges; i++)
            (void)take(&stage, i);
    }
    for (uint32_t i = 0; i < stage.edges; i++) {
        while (take(&stage, i)) {}
        assert_true(stage.seen[i] == stage.sent);
    }
    assert_true(held_back);
    close_stage(&stage);
}

static void the_queue_takes_what_one_call_can_produce(void **state)
{
    struct stage stage;

    open_stage(&stage, *state, 2, 1);
    for (uint32_t i = 0; i < SB_OUTPUT_QUEUE_MAX - 3; i++)
        send_batch(&stage);
    for (uint32_t i = 0; i < 3; i++)
        sb_output_mark(&stage.output, SB_MESSAGE_WATERMARK, stage.sent++);
    while (sb_output_push(&stage.output) == SABOT_AGAIN) {
        (void)take(&stage, 0);
        (void)take(&stage, 1);
    }
    while (take(&stage, 0)) {}
    while (take(&stage, 1)) {}
    assert_true(stage.seen[0] == stage.sent);
    assert_true(stage.seen[1] == stage.sent);
    close_stage(&stage);
}

static void what_is_queued_goes_with_the_output(void **state)
{
    struct stage stage;

    open_stage(&stage, *state, 2, 1);
    for (uint32_t i = 0; i < 10; i++)
        send_batch(&stage);
    assert_int_equal(sb_output_push(&stage.output), SABOT_AGAIN);
    close_stage(&stage);
}

/* Without memory the run fails. An edge that has a batch doesn't get it again, none gets a later
 * one, and the marks behind it still arrive. */
static void without_memory_batches_end_and_marks_go_on(void **state)
{
    struct stage stage;

    for (uint64_t nth = 1; nth <= 9; nth++) {
        open_stage(&stage, *state, 3, 8);
        send_batch(&stage);
        send_batch(&stage);
        sb_output_mark(&stage.output, SB_MESSAGE_END, stage.sent);
        sb_os_env_fail_allocation(stage.kit->env, nth);
        assert_int_equal(sb_output_push(&stage.output), SABOT_ERR_MEMORY);
        sb_os_env_fail_allocation(stage.kit->env, 0);
        assert_int_equal(sb_output_push(&stage.output), SABOT_OK);
        for (uint32_t i = 0; i < stage.edges; i++) {
            const struct sb_message *message = sb_ring_peek(&stage.rings[i]);

            assert_non_null(message);
            if (message->kind == SB_MESSAGE_ROWS)
                assert_true(take(&stage, i));
            message = sb_ring_peek(&stage.rings[i]);
            assert_non_null(message);
            assert_int_equal(message->kind, SB_MESSAGE_END);
            assert_int_equal(sb_ring_count(&stage.rings[i]), 1);
        }
        close_stage(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(every_edge_gets_the_whole_sequence_at_its_own_pace),
        KIT_TEST(the_queue_takes_what_one_call_can_produce),
        KIT_TEST(what_is_queued_goes_with_the_output),
        KIT_TEST(without_memory_batches_end_and_marks_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
