/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.c - the minimum over active inputs; watermark.h says by which rules. */
#include "flow/watermark.h"

sabot_status sb_watermark_init(struct sb_watermark *watermark,
                               const struct sb_env *env,
                               uint32_t count)
{
    *watermark = (struct sb_watermark){
        .env = env, .count = count, .active = count, .live = count, .now = INT64_MIN};
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
static int64_t lowest_active(const struct sb_watermark *watermark)
{
    int64_t lowest = INT64_MAX;

    for (uint32_t i = 0; i < watermark->count; i++) {
        const struct sb_watermark_input *input = &watermark->inputs[i];

        if (input->state == SB_WATERMARK_ACTIVE && input->time_ms < lowest)
            lowest = input->time_ms;
    }
    return lowest;
}

static int64_t highest_idle(const struct sb_watermark *watermark)
{
    int64_t highest = INT64_MIN;

    for (uint32_t i = 0; i < watermark->count; i++) {
        const struct sb_watermark_input *input = &watermark->inputs[i];

        if (input->state == SB_WATERMARK_IDLE && input->time_ms > highest)
            highest = input->time_ms;
    }
    return highest;
}

/* An input has changed. */
static bool settle(struct sb_watermark *watermark)
{
    int64_t time_ms = INT64_MAX;

    SB_ASSERT(watermark->active <= watermark->live);
    if (watermark->active > 0)
        time_ms = lowest_active(watermark);
    else if (watermark->live > 0)
        time_ms = highest_idle(watermark);
    if (time_ms <= watermark->now)
        return false;
    watermark->now = time_ms;
    return true;
}

static void move_to(struct sb_watermark *watermark, uint32_t index, enum sb_watermark_state state)
{
    struct sb_watermark_input *input = &watermark->inputs[index];

    SB_ASSERT(input->state != SB_WATERMARK_ENDED);
    watermark->active -= input->state == SB_WATERMARK_ACTIVE;
    watermark->active += state == SB_WATERMARK_ACTIVE;
    watermark->live -= state == SB_WATERMARK_ENDED;
    input->state = state;
}

bool sb_watermark_advance(struct sb_watermark *watermark, uint32_t index, int64_t time_ms)
{
    struct sb_watermark_input *input = &watermark->inputs[index];

    SB_ASSERT(index < watermark->count);
    /* One that is silent says that it has ended, and before that what it has restored. */
    if (input->state == SB_WATERMARK_ENDED)
        return settle(watermark);
    if (time_ms <= input->time_ms && input->state == SB_WATERMARK_ACTIVE)
        return false;
    if (time_ms > input->time_ms)
        input->time_ms = time_ms;
    move_to(watermark, index, time_ms == INT64_MAX ? SB_WATERMARK_ENDED : SB_WATERMARK_ACTIVE);
    return settle(watermark);
}

bool sb_watermark_idle(struct sb_watermark *watermark, uint32_t index, int64_t time_ms)
{
    struct sb_watermark_input *input = &watermark->inputs[index];

    SB_ASSERT(index < watermark->count);
    if (time_ms > input->time_ms)
        input->time_ms = time_ms;
    move_to(watermark, index, SB_WATERMARK_IDLE);
    return settle(watermark);
}

bool sb_watermark_end(struct sb_watermark *watermark, uint32_t index)
{
    SB_ASSERT(index < watermark->count);
    move_to(watermark, index, SB_WATERMARK_ENDED);
    return settle(watermark);
}

void sb_watermark_silence(struct sb_watermark *watermark, uint32_t index)
{
    SB_ASSERT(index < watermark->count);
    move_to(watermark, index, SB_WATERMARK_ENDED);
}
