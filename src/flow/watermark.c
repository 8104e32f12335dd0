/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.c - the minimum over inputs; watermark.h says by which rules. */
#include "flow/watermark.h"

sabot_status sb_watermark_init(struct sb_watermark *watermark,
                               const struct sb_env *env,
                               uint32_t count)
{
    *watermark = (struct sb_watermark){.env = env, .count = count, .live = count, .now = INT64_MIN};
    watermark->inputs = sb_alloc_array(env, count, sizeof *watermark->inputs);
    if (watermark->inputs == NULL)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        watermark->inputs[i].time_ms = INT64_MIN;
    return SABOT_OK;
}

void sb_watermark_reset(struct sb_watermark *watermark)
{
    if (watermark->env != NULL)
        sb_free_array(watermark->env, watermark->inputs, watermark->count,
                      sizeof *watermark->inputs);
    *watermark = (struct sb_watermark){.env = NULL};
}

/* Inputs are few, and this runs once a batch: a scan is all it needs. */
static bool recompute(struct sb_watermark *watermark)
{
    int64_t lowest = INT64_MAX;

    if (watermark->live == 0)
        return false;
    for (uint32_t i = 0; i < watermark->count; i++) {
        const struct sb_watermark_input *input = &watermark->inputs[i];

        if (!input->ended && input->time_ms < lowest)
            lowest = input->time_ms;
    }
    if (lowest <= watermark->now)
        return false;
    watermark->now = lowest;
    return true;
}

bool sb_watermark_advance(struct sb_watermark *watermark, uint32_t index, int64_t time_ms)
{
    struct sb_watermark_input *input = &watermark->inputs[index];

    SB_ASSERT(index < watermark->count);
    SB_ASSERT(!input->ended);
    if (time_ms <= input->time_ms)
        return false;
    input->time_ms = time_ms;
    return recompute(watermark);
}

bool sb_watermark_end(struct sb_watermark *watermark, uint32_t index)
{
    struct sb_watermark_input *input = &watermark->inputs[index];

    SB_ASSERT(index < watermark->count);
    SB_ASSERT(!input->ended);
    input->ended = true;
    watermark->live--;
    return recompute(watermark);
}
