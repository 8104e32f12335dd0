/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - the end of the path: batches, encoded record by record, into a channel.
 *
 *   inbox --slice--> row --encode--> record --write--> channel
 *
 * One per worker and output channel, whichever agents write to it; a file that is part of
 * checkpoints has one for all workers, so that it has one length at a barrier. Where a transaction
 * is the commit, records are staged instead of written, and a barrier hands them over.
 *
 * A full channel is back-pressure: the row in hand waits. When nothing more comes, what was written
 * is flushed, so that it is seen at once; at the end nothing is done before the flush is.
 *
 * Thread: the worker's. */
#ifndef SB_FLOW_SINK_H
#define SB_FLOW_SINK_H

#include "flow/control.h"
#include "flow/graph.h"
#include "flow/inbox.h"

enum sb_sink_state {
    SB_SINK_OPEN,
    SB_SINK_FAILED, /* what still comes is dropped */
    SB_SINK_ENDING, /* the last flush is under way */
    SB_SINK_ENDED,
};

struct sb_sink_config {
    const struct sb_env *env;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    struct sb_waker *waker; /* of the worker */
    uint32_t worker;
    uint32_t input_count; /* the caller sets the rings of the inbox */
};

struct sb_sink {
    const struct sb_env *env;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    struct sb_counter records; /* written by this sink */
    uint32_t worker;
    struct sb_inbox inbox;
    struct sb_writer *writer; /* NULL: records are staged, or all is written */
    struct sb_encoder *encoder;
    uint64_t record_max;      /* bytes of key and value that the channel takes */
    struct sb_buffer encoded; /* the row in hand */
    bool has_encoded;
    struct sb_slice *slice; /* being written; NULL: none */
    uint32_t cursor;        /* its next row */
    bool dirty;             /* something was written and not flushed */
    struct sb_buffer stage; /* records for the next transaction (stage.h) */
    uint64_t staged;        /* their number */
    bool has_pressed;       /* the owner knows that much is staged */
    int64_t barrier;        /* aligned, and waiting for what was written to be safe; 0: none */
    enum sb_sink_state state;
};

/* Opens the writer; the channel is ready. */
SABOT_MUST_CHECK sabot_status sb_sink_init(struct sb_sink *sink,
                                           const struct sb_sink_config *config,
                                           sabot_error *error);
void sb_sink_reset(struct sb_sink *sink);

/* A bounded piece of work. False: nothing to do until woken. */
bool sb_sink_step(struct sb_sink *sink);
bool sb_sink_done(const struct sb_sink *sink);

#endif
