/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - the parts of a checkpoint, and who has reported. */
#include "flow/checkpoint.h"

#include <string.h>

#include "base/mutant.h"
#include "flow/control.h"

sabot_status sb_checkpoint_create(const struct sb_env *env,
                                  int64_t id,
                                  uint32_t node_count,
                                  uint32_t worker_count,
                                  struct sb_checkpoint **checkpoint_out,
                                  sabot_error *error)
{
    const size_t count = (size_t)node_count * worker_count;
    struct sb_checkpoint *checkpoint = sb_alloc(env, sizeof *checkpoint);

    *checkpoint_out = NULL;
    if (checkpoint != NULL) {
        checkpoint->env = env;
        checkpoint->id = id;
        checkpoint->node_count = node_count;
        checkpoint->worker_count = worker_count;
        checkpoint->parts = sb_alloc_array(env, count, sizeof *checkpoint->parts);
    }
    if (checkpoint == NULL || checkpoint->parts == NULL) {
        sb_checkpoint_destroy(checkpoint);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for checkpoint %lld", (long long)id);
    }
    for (size_t i = 0; i < count; i++)
        sb_buffer_init(&checkpoint->parts[i].bytes, env);
    *checkpoint_out = checkpoint;
    return SABOT_OK;
}

static void reset_part(struct sb_part *part, const struct sb_env *env)
{
    sb_buffer_reset(&part->bytes);
    if (part->positions != NULL)
        sb_free_array(env, part->positions, part->capacity, sizeof *part->positions);
}

void sb_checkpoint_destroy(struct sb_checkpoint *checkpoint)
{
    size_t count;

    if (checkpoint == NULL)
        return;
    count = (size_t)checkpoint->node_count * checkpoint->worker_count;
    for (size_t i = 0; checkpoint->parts != NULL && i < count; i++)
        reset_part(&checkpoint->parts[i], checkpoint->env);
    sb_free_array(checkpoint->env, checkpoint->parts, count, sizeof *checkpoint->parts);
    sb_free(checkpoint->env, checkpoint, sizeof *checkpoint);
}

struct sb_part_position *sb_part_add_position(struct sb_part *part, const struct sb_env *env)
{
    const uint32_t capacity = part->capacity == 0 ? 16 : part->capacity * 2;
    struct sb_part_position *larger;

    if (part->count < part->capacity)
        return &part->positions[part->count++];
    larger = sb_alloc_array(env, capacity, sizeof *larger);
    if (larger == NULL) {
        (void)sabot_raise(&part->error, SABOT_ERR_MEMORY, "no memory for %u positions", capacity);
        return NULL;
    }
    if (part->positions != NULL)
        memcpy(larger, part->positions, part->count * sizeof *larger);
    sb_free_array(env, part->positions, part->capacity, sizeof *larger);
    part->positions = larger;
    part->capacity = capacity;
    return &part->positions[part->count++];
}

void sb_checkpoint_report(struct sb_control *control)
{
    struct sb_checkpoint *checkpoint = control->checkpoint;

    if (atomic_fetch_sub(&checkpoint->missing, 1) == 1 && !SB_MUTANT(WAKE_LOST))
        sb_wake(control->env, control->owner);
}
