/* SPDX-License-Identifier: Apache-2.0 */
/* inbox.h - all inputs of a task merged into one sequence of rows and marks.
 *
 *   ring from worker 0 --+
 *   ring from worker 1 --+--> inbox --> rows, watermark (the minimum), barrier (aligned), end (all)
 *   ring of another edge-+
 *
 * Rows come in the order of their ring, the rings in turn. Marks are merged: a watermark is shown
 * when the minimum over active inputs went forward, and when one is active again after all were
 * idle; IDLE when all have become so; LOADED when all have said so; a barrier when the gate is
 * aligned, the end when all inputs have ended. So a task sees each mark once and knows nothing of
 * its inputs. An input that ended without having said INT64_MAX was stopped: it holds time where it
 * was.
 *
 * Thread: the receiving worker. */
#ifndef SB_FLOW_INBOX_H
#define SB_FLOW_INBOX_H

#include "flow/gate.h"
#include "flow/message.h"
#include "flow/watermark.h"

struct sb_input {
    struct sb_ring *ring;    /* borrowed from the flow */
    struct sb_waker *sender; /* worker that may wait for room; NULL: it is our own */
};

struct sb_inbox {
    const struct sb_env *env;
    struct sb_input *inputs;
    uint32_t count;
    uint32_t next;    /* input to look at first */
    uint32_t live;    /* inputs that have not ended */
    uint32_t loading; /* inputs that have not said LOADED */
    struct sb_gate gate;
    struct sb_watermark watermark;
};

SABOT_MUST_CHECK sabot_status sb_inbox_init(struct sb_inbox *inbox,
                                            const struct sb_env *env,
                                            uint32_t input_count);
/* Drops what is still in the rings; the senders are at rest. */
void sb_inbox_reset(struct sb_inbox *inbox);

/* The next message. False: nothing there now, or nothing will come any more (after END). Rows:
 * their slice is the caller's. A barrier: the caller snapshots, then sb_inbox_reopen(); until then
 * it is shown again. */
bool sb_inbox_take(struct sb_inbox *inbox, struct sb_message *message_out);

static inline void sb_inbox_reopen(struct sb_inbox *inbox)
{
    sb_gate_reopen(&inbox->gate);
}

/* True after END. */
static inline bool sb_inbox_ended(const struct sb_inbox *inbox)
{
    return inbox->live == 0;
}

#endif
