/* SPDX-License-Identifier: Apache-2.0 */
/* test_watermark.c - the minimum over inputs, against one that looks at all of them every time. */
#include "flow_kit.h"

#include "flow/watermark.h"

enum { INPUTS_MAX = 8, STEPS = 100000 };

struct model {
    uint32_t count;
    int64_t times[INPUTS_MAX];
    enum sb_watermark_state states[INPUTS_MAX];
    int64_t now;
};

static uint32_t count_of(const struct model *model, enum sb_watermark_state state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < model->count; i++)
        count += model->states[i] == state;
    return count;
}

static int64_t highest_idle(const struct model *model)
{
    int64_t highest = model->now;

    for (uint32_t i = 0; i < model->count; i++) {
        if (model->states[i] == SB_WATERMARK_IDLE && model->times[i] > highest)
            highest = model->times[i];
    }
    return highest;
}

/* What the watermark should be now, from all that was said. */
static int64_t judge(const struct model *model)
{
    int64_t lowest = INT64_MAX;

    if (count_of(model, SB_WATERMARK_ENDED) == model->count)
        return INT64_MAX;
    if (count_of(model, SB_WATERMARK_ACTIVE) == 0)
        return highest_idle(model);
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->states[i] == SB_WATERMARK_ACTIVE && model->times[i] < lowest)
            lowest = model->times[i];
    }
    return lowest > model->now ? lowest : model->now;
}

static void start(struct sb_watermark *watermark,
                  struct model *model,
                  const struct sb_env *env,
                  uint32_t count)
{
    sb_watermark_reset(watermark);
    *model = (struct model){.count = count, .now = INT64_MIN};
    for (uint32_t i = 0; i < count; i++)
        model->times[i] = INT64_MIN;
    assert_int_equal(sb_watermark_init(watermark, env, count), SABOT_OK);
}

static bool speak(struct sb_watermark *watermark,
                  struct model *model,
                  uint32_t input,
                  int64_t time_ms)
{
    if (time_ms > model->times[input])
        model->times[input] = time_ms;
    model->states[input] = time_ms == INT64_MAX ? SB_WATERMARK_ENDED : SB_WATERMARK_ACTIVE;
    return sb_watermark_advance(watermark, input, time_ms);
}

static void step(struct sb_watermark *watermark, struct model *model, struct kit_random *random)
{
    const uint32_t input = kit_random_below(random, model->count);
    const int64_t time_ms = (int64_t)kit_random_below(random, 1000) - 300;
    const uint32_t what = kit_random_below(random, 400);
    bool moved;

    if (model->states[input] == SB_WATERMARK_ENDED)
        return;
    if (what == 0) {
        model->states[input] = SB_WATERMARK_ENDED;
        moved = sb_watermark_end(watermark, input);
    } else if (what < 100) {
        model->states[input] = SB_WATERMARK_IDLE;
        moved = sb_watermark_idle(watermark, input, INT64_MIN);
    } else {
        moved = speak(watermark, model, input, what == 100 ? INT64_MAX : time_ms);
    }
    assert_int_equal(moved, judge(model) > model->now);
    model->now = judge(model);
    assert_true(watermark->now == model->now);
    assert_int_equal(watermark->live, model->count - count_of(model, SB_WATERMARK_ENDED));
    assert_int_equal(sb_watermark_is_idle(watermark),
                     watermark->live > 0 && count_of(model, SB_WATERMARK_ACTIVE) == 0);
}

static void the_watermark_is_the_lowest_of_the_inputs_that_are_active(void **state)
{
    const struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    struct sb_watermark watermark = {.env = NULL};
    struct model model;

    start(&watermark, &model, kit->env, 1);
    for (uint32_t i = 0; i < STEPS; i++) {
        if (watermark.live == 0)
            start(&watermark, &model, kit->env, 1 + kit_random_below(&random, INPUTS_MAX));
        step(&watermark, &model, &random);
    }
    sb_watermark_reset(&watermark);
}

static void the_largest_time_ends_an_input(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    assert_int_equal(sb_watermark_init(&watermark, kit->env, 2), SABOT_OK);
    assert_false(sb_watermark_advance(&watermark, 0, INT64_MAX));
    assert_true(sb_watermark_advance(&watermark, 1, 5));
    assert_true(watermark.now == 5);
    assert_true(sb_watermark_advance(&watermark, 1, INT64_MAX));
    assert_true(watermark.now == INT64_MAX);
    assert_int_equal(watermark.live, 0);
    sb_watermark_reset(&watermark);
}

static void an_input_that_has_ended_does_not_outshine_the_idle_ones(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    assert_int_equal(sb_watermark_init(&watermark, kit->env, 3), SABOT_OK);
    for (uint32_t i = 0; i < 3; i++)
        (void)sb_watermark_advance(&watermark, i, 10 + i);
    assert_true(sb_watermark_idle(&watermark, 0, INT64_MIN));
    assert_true(watermark.now == 11);
    assert_true(sb_watermark_advance(&watermark, 1, INT64_MAX)); /* only the third holds now */
    assert_true(watermark.now == 12);
    assert_false(sb_watermark_idle(&watermark, 2, INT64_MIN));
    assert_true(watermark.now == 12);
    assert_true(sb_watermark_is_idle(&watermark));
    assert_false(sb_watermark_end(&watermark, 2));
    assert_true(watermark.now == 12);
    assert_true(sb_watermark_end(&watermark, 0));
    assert_true(watermark.now == INT64_MAX);
    sb_watermark_reset(&watermark);
}

static void the_order_in_which_inputs_fall_silent_does_not_matter(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    for (uint32_t first = 0; first < 3; first++) {
        assert_int_equal(sb_watermark_init(&watermark, kit->env, 3), SABOT_OK);
        (void)sb_watermark_advance(&watermark, 0, 10);
        (void)sb_watermark_advance(&watermark, 1, 20);
        for (uint32_t i = 0; i < 3; i++) /* the third has never said anything */
            (void)sb_watermark_idle(&watermark, (first + i) % 3, INT64_MIN);
        assert_true(watermark.now == 20);
        sb_watermark_reset(&watermark);
    }
}

static void an_idle_input_that_speaks_again_holds_time_until_it_has_caught_up(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    assert_int_equal(sb_watermark_init(&watermark, kit->env, 2), SABOT_OK);
    assert_false(sb_watermark_idle(&watermark, 0, INT64_MIN));
    assert_true(sb_watermark_advance(&watermark, 1, 100));
    assert_false(sb_watermark_advance(&watermark, 0, 40));
    assert_false(sb_watermark_advance(&watermark, 1, 200));
    assert_true(watermark.now == 100);
    assert_true(sb_watermark_advance(&watermark, 0, 150));
    assert_true(watermark.now == 150);
    sb_watermark_reset(&watermark);
}

static void without_inputs_nothing_is_known(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    assert_int_equal(sb_watermark_init(&watermark, kit->env, 0), SABOT_OK);
    assert_true(watermark.now == INT64_MIN);
    assert_int_equal(watermark.live, 0);
    sb_watermark_reset(&watermark);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(the_watermark_is_the_lowest_of_the_inputs_that_are_active),
        KIT_TEST(the_largest_time_ends_an_input),
        KIT_TEST(an_input_that_has_ended_does_not_outshine_the_idle_ones),
        KIT_TEST(the_order_in_which_inputs_fall_silent_does_not_matter),
        KIT_TEST(an_idle_input_that_speaks_again_holds_time_until_it_has_caught_up),
        KIT_TEST(without_inputs_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
