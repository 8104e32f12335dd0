/* SPDX-License-Identifier: Apache-2.0 */
/* output.h - one output of a task: a short queue of batches and marks, sent to every edge in order.
 *
 *   task --batch, mark--> queue --> exchange 0 (to an agent)
 *                               --> exchange 1 (to a sink) ...
 *
 * Several tasks may read one output; each edge is an exchange (exchange.h). The head of the queue
 * goes to all of them; the next follows when each has pushed it. A task takes no new input before
 * its outputs are empty, so the queue never holds more than one call of an operator produced and a
 * few marks.
 *
 * Without memory for a slice the flow fails; some edges then have a batch that others miss. From
 * there on batches are dropped, so that no edge sees a hole, and marks go on, so that all ends.
 *
 * Thread: the worker that owns the task. */
#ifndef SB_FLOW_OUTPUT_H
#define SB_FLOW_OUTPUT_H

#include "flow/exchange.h"

enum { SB_OUTPUT_QUEUE_MAX = 80 };

struct sb_output_item {
    struct sb_batch *batch; /* one reference; NULL: a mark */
    struct sb_message mark;
};

struct sb_output {
    struct sb_exchange *exchanges; /* borrowed from the flow */
    uint32_t exchange_count;
    bool lossy;     /* memory ran out: batches are dropped */
    uint32_t first; /* of the queue, in items */
    uint32_t count;
    struct sb_output_item items[SB_OUTPUT_QUEUE_MAX];
};

void sb_output_init(struct sb_output *output,
                    struct sb_exchange *exchanges,
                    uint32_t exchange_count);
void sb_output_reset(struct sb_output *output);

/* Queue a batch (its reference is taken), or a mark. There must be room (asserted). */
void sb_output_batch(struct sb_output *output, struct sb_batch *take_batch);
void sb_output_mark(struct sb_output *output, enum sb_message_kind kind, int64_t value);

/* Send on. SABOT_OK: all of it is on its way; SABOT_AGAIN: a ring is full; SABOT_ERR_MEMORY, once:
 * batches are dropped from now on, and the caller sends on what is left. */
SABOT_MUST_CHECK sabot_status sb_output_push(struct sb_output *output);

/* Nothing queued, nothing held? */
bool sb_output_empty(const struct sb_output *output);

#endif
