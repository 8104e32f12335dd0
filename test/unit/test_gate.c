/* SPDX-License-Identifier: Apache-2.0 */
/* test_gate.c - the alignment of barriers against a naive model, by seed.
 *
 * The model keeps what each input delivered last and whether the newest checkpoint is done, and
 * asks the whole list every time. The gate asserts its own invariants on every call. */
#include "flow_kit.h"

#include "flow/gate.h"

enum { INPUTS_MAX = 9, STEPS = 100000 };

struct model {
    uint32_t count;
    int64_t delivered[INPUTS_MAX];
    bool ended[INPUTS_MAX];
    int64_t newest;
    bool done; /* the newest is snapshotted, or there was none */
};

static bool model_holds(const struct model *model, uint32_t input)
{
    return !model->done && !model->ended[input] && model->delivered[input] == model->newest;
}

static uint32_t model_live(const struct model *model)
{
    uint32_t live = 0;

    for (uint32_t i = 0; i < model->count; i++)
        live += !model->ended[i];
    return live;
}

static bool model_aligned(const struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (!model->ended[i] && !model_holds(model, i))
            return false;
    }
    return !model->done && model_live(model) > 0;
}

static void compare(const struct sb_gate *gate, const struct model *model)
{
    assert_int_equal(gate->state == SB_GATE_ALIGNED, model_aligned(model));
    assert_int_equal(gate->state == SB_GATE_OPEN, model->done);
    assert_int_equal(gate->live, model_live(model));
    for (uint32_t i = 0; i < model->count; i++) {
        if (!model->ended[i])
            assert_int_equal(sb_gate_holds(gate, i), model_holds(model, i));
    }
}

static void start(struct sb_gate *gate,
                  struct model *model,
                  const struct sb_env *env,
                  uint32_t inputs)
{
    sb_gate_reset(gate);
    *model = (struct model){.count = inputs, .done = true};
    assert_int_equal(sb_gate_init(gate, env, inputs), SABOT_OK);
}

/* An input that is free goes on: mostly with the barrier that is under way or a newer one, now and
 * then with one that was given up, or it ends. */
static void move_input(struct sb_gate *gate, struct model *model, struct kit_random *random)
{
    const uint32_t input = kit_random_below(random, model->count);
    int64_t epoch;

    if (model->ended[input] || model_holds(model, input))
        return;
    if (kit_random_below(random, 50) == 0) {
        sb_gate_end(gate, input);
        model->ended[input] = true;
        return;
    }
    epoch = model->delivered[input] + 1 + kit_random_below(random, 3);
    if (epoch > model->newest + 1)
        epoch = model->newest + 1;
    if (epoch <= model->delivered[input])
        return;
    if (model->done && epoch == model->newest)
        epoch = model->newest + 1; /* nobody sends a barrier again that was already aligned */
    model->delivered[input] = epoch;
    assert_int_equal(sb_gate_barrier(gate, input, epoch), epoch >= model->newest);
    if (epoch > model->newest) {
        model->newest = epoch;
        model->done = false;
    }
}

static void a_random_run_of_barriers_and_ends_is_what_the_model_says(void **state)
{
    const struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    struct sb_gate gate = {.env = NULL};
    struct model model;
    uint32_t aligned = 0;

    start(&gate, &model, kit->env, 4);
    for (uint32_t step = 0; step < STEPS; step++) {
        if (model_live(&model) == 0)
            start(&gate, &model, kit->env, 1 + kit_random_below(&random, INPUTS_MAX));
        move_input(&gate, &model, &random);
        compare(&gate, &model);
        if (gate.state == SB_GATE_ALIGNED) {
            sb_gate_reopen(&gate);
            model.done = true;
            aligned++;
            compare(&gate, &model);
        }
    }
    assert_true(aligned > STEPS / 1000);
    sb_gate_reset(&gate);
}

static void without_alignment_nobody_is_held(void **state)
{
    const struct kit *kit = *state;
    struct sb_gate gate;

    assert_int_equal(sb_gate_init(&gate, kit->env, 3), SABOT_OK);
    gate.unaligned = true;
    assert_true(sb_gate_barrier(&gate, 0, 1));
    assert_false(sb_gate_holds(&gate, 0));
    sb_gate_end(&gate, 0); /* behind the barrier, before the others have it */
    assert_int_equal(gate.state, SB_GATE_OPEN);
    assert_true(sb_gate_barrier(&gate, 2, 1));
    assert_false(sb_gate_holds(&gate, 2));
    assert_int_equal(gate.state, SB_GATE_ALIGNING);
    assert_true(sb_gate_barrier(&gate, 1, 1));
    assert_int_equal(gate.state, SB_GATE_ALIGNED);
    sb_gate_reopen(&gate);
    sb_gate_end(&gate, 1);
    sb_gate_end(&gate, 2);
    sb_gate_reset(&gate);
}

static void a_newer_barrier_frees_who_waited_for_the_older(void **state)
{
    const struct kit *kit = *state;
    struct sb_gate gate;

    assert_int_equal(sb_gate_init(&gate, kit->env, 3), SABOT_OK);
    assert_true(sb_gate_barrier(&gate, 0, 1));
    assert_true(sb_gate_holds(&gate, 0));
    assert_true(sb_gate_barrier(&gate, 1, 2));
    assert_false(sb_gate_holds(&gate, 0));
    assert_false(sb_gate_barrier(&gate, 2, 1)); /* given up meanwhile */
    assert_true(sb_gate_barrier(&gate, 2, 2));
    assert_int_equal(gate.state, SB_GATE_ALIGNING);
    assert_true(sb_gate_barrier(&gate, 0, 2));
    assert_int_equal(gate.state, SB_GATE_ALIGNED);
    sb_gate_reset(&gate);
}

static void an_input_that_ends_completes_the_barrier(void **state)
{
    const struct kit *kit = *state;
    struct sb_gate gate;

    assert_int_equal(sb_gate_init(&gate, kit->env, 2), SABOT_OK);
    assert_true(sb_gate_barrier(&gate, 0, 7));
    sb_gate_end(&gate, 1);
    assert_int_equal(gate.state, SB_GATE_ALIGNED);
    sb_gate_reopen(&gate);
    assert_true(sb_gate_barrier(&gate, 0, 8));
    assert_int_equal(gate.state, SB_GATE_ALIGNED);
    sb_gate_reset(&gate);
}

static void without_memory_there_is_no_gate(void **state)
{
    struct kit *kit = *state;
    struct sb_gate gate;

    sb_os_env_fail_allocation(kit->env, 1);
    assert_int_equal(sb_gate_init(&gate, kit->env, 2), SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(kit->env, 0);
    sb_gate_reset(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(a_random_run_of_barriers_and_ends_is_what_the_model_says),
        KIT_TEST(without_alignment_nobody_is_held),
        KIT_TEST(a_newer_barrier_frees_who_waited_for_the_older),
        KIT_TEST(an_input_that_ends_completes_the_barrier),
        KIT_TEST(without_memory_there_is_no_gate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
