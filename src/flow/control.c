/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - stop, failure and barriers of one running pipeline. */
#include "flow/control.h"

void sb_control_init(struct sb_control *control, const struct sb_env *env, const char *name)
{
    *control = (struct sb_control){.env = env, .name = name};
    sb_lock_init(&control->lock);
}

void sb_control_reset(struct sb_control *control)
{
    if (control->env != NULL)
        sb_lock_reset(&control->lock);
    control->env = NULL;
}

static void wake_all(struct sb_control *control)
{
    for (uint32_t i = 0; i < control->waker_count; i++)
        sb_wake(control->env, control->wakers[i]);
}

void sb_control_fail(struct sb_control *control, const sabot_error *error)
{
    SB_ASSERT(error->status != SABOT_OK);
    sb_lock_take(&control->lock);
    if (!atomic_load(&control->failed)) {
        control->error = *error;
        atomic_store(&control->failed, true);
    }
    sb_lock_drop(&control->lock);
    sb_control_stop(control);
}

void sb_control_break(struct sb_control *control, const sabot_error *error)
{
    atomic_store(&control->broken, true);
    sb_control_fail(control, error);
    if (control->owner != NULL)
        sb_wake(control->env, control->owner);
}

void sb_control_stop(struct sb_control *control)
{
    atomic_store(&control->stopping, true);
    wake_all(control);
}

void sb_control_barrier(struct sb_control *control,
                        struct sb_checkpoint *checkpoint,
                        uint32_t reports)
{
    SB_ASSERT(checkpoint->id > atomic_load(&control->barrier));
    SB_ASSERT(control->checkpoint == NULL || atomic_load(&control->checkpoint->missing) == 0);
    atomic_store(&checkpoint->missing, reports);
    control->checkpoint = checkpoint;
    atomic_store(&control->barrier, checkpoint->id);
    wake_all(control);
}

void sb_control_thaw(struct sb_control *control, int64_t checkpoint)
{
    atomic_store_explicit(&control->thawed, checkpoint, memory_order_release);
    wake_all(control);
}

void sb_control_committed(struct sb_control *control, uint64_t bytes)
{
    (void)atomic_fetch_sub(&control->staged, bytes);
    wake_all(control);
}

void sb_control_loaded(struct sb_control *control)
{
    const uint32_t before = atomic_fetch_sub(&control->tables_loading, 1);

    SB_ASSERT(before > 0);
    if (before > 1)
        return;
    sb_log(control->env, SABOT_LOG_INFO, control->name, "its tables are loaded");
    wake_all(control);
}
