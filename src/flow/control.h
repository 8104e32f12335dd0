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

/* What one worker counts; read by anybody. */
struct sb_flow_metrics {
    _Alignas(64) struct sb_counter records_read; /* taken from inputs */
    struct sb_counter records_processed;         /* handled with SABOT_OK */
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
    struct sb_waker *owner;        /* woken when a worker has come to rest */
    _Atomic bool stopping;         /* sources end now */
    _Atomic bool failed;           /* `error` is valid */
    _Atomic bool aborting;         /* workers return at once; what is in flight is lost */
    _Atomic int64_t barrier;       /* newest checkpoint that sources shall start; 0: none */
    _Atomic uint32_t barrier_acks; /* sinks that have it */
    _Atomic uint32_t workers_done;
    _Atomic int64_t first_record_us; /* when a task first got a record; 0: not yet */
    struct sb_lock lock;
    sabot_error error; /* the first one */
};

void sb_control_init(struct sb_control *control, const struct sb_env *env, const char *name);
void sb_control_reset(struct sb_control *control);

/* The pipeline fails: the first error is kept, all sources end. */
void sb_control_fail(struct sb_control *control, const sabot_error *error);

/* Sources end now; what is in flight is finished. Any thread; also from a signal handler. */
void sb_control_stop(struct sb_control *control);

static inline bool sb_control_stopping(const struct sb_control *control)
{
    return atomic_load_explicit(&control->stopping, memory_order_relaxed);
}

/* Start checkpoint `id`, which is larger than any before: every source sends its barrier. */
void sb_control_barrier(struct sb_control *control, int64_t id);

#endif
