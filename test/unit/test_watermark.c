/* SPDX-License-Identifier: Apache-2.0 */
/* test_watermark.c - the minimum over inputs, against one that looks at all of them every time. */
#include "flow_kit.h"

#include "flow/watermark.h"

enum { INPUTS_MAX = 8, STEPS = 100000 };

struct model {
    uint32_t count;
    int64_t times[INPUTS_MAX];
    bool ended[INPUTS_MAX];
    int64_t now; /* the largest minimum there ever was */
};

static int64_t lowest(const struct model *model)
{
    int64_t lowest = INT64_MAX;
    uint32_t live = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        if (model->ended[i])
            continue;
        live++;
        if (model->times[i] < lowest)
            lowest = model->times[i];
    }
    return live == 0 ? model->now : lowest;
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

static void step(struct sb_watermark *watermark, struct model *model, struct kit_random *random)
{
    const uint32_t input = kit_random_below(random, model->count);
    const int64_t time_ms = (int64_t)kit_random_below(random, 1000) - 300;
    const bool ends = kit_random_below(random, 200) == 0;
    int64_t after;
    bool moved;

    if (model->ended[input])
        return;
    if (ends)
        model->ended[input] = true;
    else if (time_ms > model->times[input])
        model->times[input] = time_ms;
    after = lowest(model);
    moved =
        ends ? sb_watermark_end(watermark, input) : sb_watermark_advance(watermark, input, time_ms);
    assert_int_equal(moved, after > model->now);
    if (after > model->now)
        model->now = after;
    assert_true(watermark->now == model->now);
}

static void the_watermark_is_the_lowest_of_the_inputs_that_go_on(void **state)
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

static void the_largest_time_is_a_time_like_others(void **state)
{
    const struct kit *kit = *state;
    struct sb_watermark watermark;

    assert_int_equal(sb_watermark_init(&watermark, kit->env, 2), SABOT_OK);
    assert_false(sb_watermark_advance(&watermark, 0, INT64_MAX));
    assert_true(sb_watermark_advance(&watermark, 1, 5));
    assert_true(watermark.now == 5);
    assert_true(sb_watermark_advance(&watermark, 1, INT64_MAX));
    assert_true(watermark.now == INT64_MAX);
    assert_false(sb_watermark_end(&watermark, 0));
    assert_false(sb_watermark_end(&watermark, 1));
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
        KIT_TEST(the_watermark_is_the_lowest_of_the_inputs_that_go_on),
        KIT_TEST(the_largest_time_is_a_time_like_others),
        KIT_TEST(without_inputs_nothing_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
