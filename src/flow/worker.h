/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - one thread of a pipeline: an instance of every node, stepped in the order of the flow.
 *
 * A worker goes over its sources, tasks and sinks in the order in which data travels, again and
 * again; when a whole round moved nothing it sleeps until a ring or a channel wakes it, or a timer
 * is due. So a batch that was just decoded is still in the cache when the agent and the sink get
 * it.
 *
 * Thread: one; in an application's own loop, the caller's. */
#ifndef SB_FLOW_WORKER_H
#define SB_FLOW_WORKER_H

#include "flow/sink.h"
#include "flow/source.h"
#include "flow/task.h"

/* A node on one worker; which part is in use is told by node->kind. */
struct sb_instance {
    const struct sb_node *node;
    struct sb_source source;
    struct sb_task task;
    struct sb_sink sink;
};

struct sb_worker {
    struct sb_control *control;
    struct sb_waker *waker;
    struct sb_thread *thread; /* NULL: stepped by hand */
    uint32_t index;
    struct sb_instance **instances; /* by the graph's order; borrowed from the flow */
    uint32_t instance_count;
    struct sb_flow_metrics *metrics;
    bool done;
};

/* A step function (base/env.h); `context` is the worker. */
struct sb_step sb_worker_step(void *context);

#endif
