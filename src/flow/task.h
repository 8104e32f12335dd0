/* SPDX-License-Identifier: Apache-2.0 */
/* task.h - one operator on one worker: from its inbox through the operator into its outputs.
 *
 * Thread: the worker's. Memory: at init; a running task takes only pooled batches and slices. */
#ifndef SB_FLOW_TASK_H
#define SB_FLOW_TASK_H

#include "flow/carrier.h"
#include "flow/control.h"
#include "flow/fit.h"
#include "flow/graph.h"
#include "flow/inbox.h"
#include "flow/output.h"

enum sb_task_state {
    SB_TASK_OPEN,
    SB_TASK_FAILED, /* what still comes is dropped, until the end */
    SB_TASK_ENDED,  /* the end is on its way out */
};

struct sb_task;

/* The tasks of one worker that use each other's keyed state (graph.h: loans). Each lines up the
 * barrier at its own inputs, passes it on, and then takes nothing more; when all of them have come
 * so far, all are snapshotted in one go. So what one has written into the state of another is in
 * the snapshot exactly when the record that caused it is, and a task may also feed another of its
 * unit. A task that shares nothing is a unit of its own. */
struct sb_unit {
    struct sb_task *first; /* linked by next_in_unit */
    uint32_t live;         /* have not ended */
    uint32_t waiting;      /* have the barrier */
};

/* What became of the records of one partition, in a task that a source feeds. One writer. */
struct sb_tally {
    struct sb_counter processed;
    struct sb_counter late;
    struct sb_counter failed;
};

struct sb_task {
    const struct sb_env *env;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    uint32_t worker;
    struct sb_inbox inbox;
    struct sb_operator *instance;
    struct sb_outlet *outlets; /* one an output, filled by the operator */
    struct sb_fit *fits;       /* one an output: is a record too large for where it goes? */
    struct sb_output *outputs; /* one an output, on the way to the edges */
    uint32_t output_count;
    struct sb_tally *tallies; /* by partition of its source; NULL: agents feed it */
    uint32_t tally_count;
    struct sb_slice *slice;         /* being handled; NULL: none */
    uint32_t cursor;                /* its next row */
    bool firing;                    /* the operator handles a watermark */
    bool is_idle;                   /* all its inputs were, with the last one */
    bool clock_had_turn;            /* since the last message */
    bool clock_stands;              /* its part of the last checkpoint is taken: no timer fires */
    int64_t watermark_ms;           /* that one, or the last */
    _Atomic int64_t watermark_seen; /* the same, for whoever looks */
    enum sb_task_state state;
    struct sb_store *store;      /* of the operator; NULL: it has none */
    struct sb_carrier carrier;   /* of its images */
    struct sb_checkpoint *image; /* that an image is being made for; NULL: none */
    int64_t frozen_by;           /* the checkpoint that holds newer rows back; 0: none does */
    struct sb_unit own_unit;
    struct sb_unit *unit; /* its own, or that of the first task of several */
    struct sb_task *next_in_unit;
    bool waits; /* has the barrier, and waits for the rest of its unit */
};

/* What a task must know of its place. */
struct sb_task_config {
    const struct sb_env *env;
    const struct sb_graph *graph;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    struct sb_waker *waker;   /* of the worker */
    uint32_t input_count;     /* the caller sets the rings of the inbox */
    uint32_t partition_count; /* of its source; 0: agents feed it */
    uint32_t worker;
    uint32_t worker_count;
    uint64_t hash_seed;
    bool drops_state;
};

SABOT_MUST_CHECK sabot_status sb_task_init(struct sb_task *task,
                                           const struct sb_task_config *config,
                                           sabot_error *error);
void sb_task_reset(struct sb_task *task);

/* Before the first step: `task`, a unit of its own as yet, joins that of `first`. */
void sb_task_join(struct sb_task *task, struct sb_task *first);

/* Before the first step: time has come so far already. When it had come to its end, it says so
 * again, or more has come since. */
void sb_task_restore_time(struct sb_task *task, int64_t watermark_ms);

/* A bounded piece of work. False: nothing to do until woken. */
bool sb_task_step(struct sb_task *task);

/* The worker is at rest: what the task has now is its part of this checkpoint, once more. Then
 * sb_task_step() makes the image, on the caller's thread. False: there is no image to be made. */
bool sb_task_image_again(struct sb_task *task, struct sb_checkpoint *checkpoint);

/* When to step although nothing has come: a timer of processing time is due then (monotonic clock;
 * INT64_MAX: none). After a step that did nothing. */
int64_t sb_task_deadline_us(const struct sb_task *task);

/* Everything has ended and is sent. */
bool sb_task_done(const struct sb_task *task);

#endif
