/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - the loop of one thread; worker.h says in which order. */
#include "flow/worker.h"

static bool step_instance(struct sb_instance *instance)
{
    switch (instance->node->kind) {
    case SB_NODE_SOURCE: return sb_source_step(&instance->source);
    case SB_NODE_TASK: return sb_task_step(&instance->task);
    case SB_NODE_SINK: break;
    }
    return sb_sink_step(&instance->sink);
}

static bool instance_done(const struct sb_instance *instance)
{
    switch (instance->node->kind) {
    case SB_NODE_SOURCE: return sb_source_done(&instance->source);
    case SB_NODE_TASK: return sb_task_done(&instance->task);
    case SB_NODE_SINK: break;
    }
    return sb_sink_done(&instance->sink);
}

static bool all_done(const struct sb_worker *worker)
{
    for (uint32_t i = 0; i < worker->instance_count; i++) {
        if (!instance_done(worker->instances[i]))
            return false;
    }
    return true;
}

/* Nothing moved: until when may the worker sleep? */
static int64_t deadline_us(const struct sb_worker *worker)
{
    int64_t earliest = INT64_MAX;

    for (uint32_t i = 0; i < worker->instance_count; i++) {
        const struct sb_instance *instance = worker->instances[i];
        int64_t deadline;

        if (instance->node->kind == SB_NODE_SINK)
            continue;
        deadline = instance->node->kind == SB_NODE_TASK ? sb_task_deadline_us(&instance->task)
                                                        : sb_source_deadline_us(&instance->source);
        earliest = deadline < earliest ? deadline : earliest;
    }
    return earliest;
}

struct sb_step sb_worker_step(void *context)
{
    struct sb_worker *worker = context;
    bool moved = false;

    if (worker->done || atomic_load_explicit(&worker->control->aborting, memory_order_relaxed))
        return sb_step_done();
    for (uint32_t i = 0; i < worker->instance_count; i++)
        moved = step_instance(worker->instances[i]) || moved;
    if (moved)
        return sb_step_again();
    if (!all_done(worker))
        return sb_step_wait(deadline_us(worker));
    worker->done = true;
    (void)atomic_fetch_add(&worker->control->workers_done, 1);
    sb_wake(worker->control->env, worker->control->owner);
    return sb_step_done();
}
