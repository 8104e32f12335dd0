/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - what the parts of one running pipeline share: stop, failure, barriers, counters.
 *
 * Everything else moves through rings. A task that fails says so here and discards what still comes
 * to it; sources see it and end; so the rest is processed, flushed, and comes to rest in order.
 *
 * Threads: any. The lock guards `error` until `failed` is set; then it is constant. */
#ifndef SB_FLOW_CONTROL_H
#define SB_FLOW_CONTROL_H

#include <stdatomic.h>

#include "base/env.h"
#include "base/lock.h"
#include "base/metric.h"
#include "flow/checkpoint.h"

/* What one worker counts; read by anybody. */
struct sb_flow_metrics {
    _Alignas(64) struct sb_counter records_read; /* taken from inputs */
    struct sb_counter records_processed;         /* handled with SABOT_OK */
    struct sb_counter records_late;              /* came too late for all of their windows */
    struct sb_counter records_skipped;           /* refused by the decoder and passed over */
    struct sb_counter records_failed;            /* ended the run */
    struct sb_counter records_written;           /* handed to output channels */
    struct sb_counter bytes_read;                /* encoded, of records_read */
    struct sb_histogram delay_us; /* from arrival to hand-over, a count for each record written */
};

struct sb_control {
    const struct sb_env *env;
    const char *name;         /* of the pipeline */
    struct sb_waker **wakers; /* one a worker */
    uint32_t waker_count;
    struct sb_waker *owner;           /* woken when a worker has come to rest */
    _Atomic bool stopping;            /* sources end now */
    _Atomic bool failed;              /* `error` is valid */
    _Atomic bool broken;              /* there will be no last checkpoint: sources end at once */
    _Atomic bool aborting;            /* workers return at once; what is in flight is lost */
    _Atomic int64_t barrier;          /* newest checkpoint that sources shall start; 0: none */
    struct sb_checkpoint *checkpoint; /* that one; valid once `barrier` names it */
    _Atomic int64_t thawed;          /* up to this checkpoint, rows were checkpointed or given up */
    bool has_checkpoints;            /* sources end by a last barrier only; set before the start */
    bool stages;                     /* sinks stage what a transaction will write; likewise */
    uint64_t staged_max;             /* bytes; beyond it sources wait for a commit */
    _Atomic uint64_t staged;         /* bytes that no commit has written yet */
    _Atomic uint32_t tables_loading; /* instances of tables; streams wait for them (loading.h) */
    _Atomic uint32_t sources_waiting; /* have nothing more, and wait for the last barrier */
    _Atomic uint32_t workers_done;
    _Atomic int64_t first_record_us; /* when a task first got a record; 0: not yet */
    struct sb_lock lock;
    sabot_error error; /* the first one */
};

void sb_control_init(struct sb_control *control, const struct sb_env *env, const char *name);
void sb_control_reset(struct sb_control *control);

/* The pipeline fails: the first error is kept, all sources end. */
void sb_control_fail(struct sb_control *control, const sabot_error *error);

/* The same, and what the pipeline holds is not consistent any more: no last checkpoint. */
void sb_control_break(struct sb_control *control, const sabot_error *error);

/* Sources end now; what is in flight is finished. Any thread; also from a signal handler. */
void sb_control_stop(struct sb_control *control);

/* Has so much been staged that a checkpoint should come now? */
static inline bool sb_control_presses(struct sb_control *control)
{
    return control->staged_max > 0 &&
           atomic_load_explicit(&control->staged, memory_order_relaxed) > control->staged_max / 2;
}

static inline bool sb_control_stopping(const struct sb_control *control)
{
    return atomic_load_explicit(&control->stopping, memory_order_relaxed);
}

/* Start gathering a checkpoint, whose id is larger than any before: every source sends its barrier.
 * `reports`: instances that will report. The one before has been gathered in whole. */
void sb_control_barrier(struct sb_control *control,
                        struct sb_checkpoint *checkpoint,
                        uint32_t reports);

/* Rows that are newer than this checkpoint may be written into the database now. */
void sb_control_thaw(struct sb_control *control, int64_t checkpoint);

/* A transaction has written so much of what was staged: sources that waited for it go on. */
void sb_control_committed(struct sb_control *control, uint64_t bytes);

/* An instance of a table has all that its channel held at the start. */
void sb_control_loaded(struct sb_control *control);

/* The checkpoint that a barrier names. */
static inline struct sb_checkpoint *sb_control_checkpoint(const struct sb_control *control,
                                                          int64_t barrier)
{
    SB_ASSERT(control->checkpoint != NULL);
    SB_ASSERT(control->checkpoint->id == barrier);
    return control->checkpoint;
}

#endif
