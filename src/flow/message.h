/* SPDX-License-Identifier: Apache-2.0 */
/* message.h - what travels between two tasks: rows, and marks between the rows.
 *
 * Marks are in band: a mark says something about everything before it in its ring.
 *
 *   ROWS       a slice of a batch
 *   WATERMARK  no event before `value` (ms) will follow, but for late ones; it never goes back
 *   IDLE       a watermark, and nothing may follow for long: don't wait for this input. The next
 *              watermark, which comes before the next rows and may be the same, takes it back
 *   LOADED     what a table's channel held at the start has gone before (loading.h)
 *   BARRIER    snapshot here, for checkpoint `value` (Chandy, Lamport 1985)
 *   END        nothing will follow; whether the input has ended or the run was stopped is told
 *              apart by the watermark INT64_MAX that comes before it in the first case only
 *
 * Ownership: a message of rows owns its slice. */
#ifndef SB_FLOW_MESSAGE_H
#define SB_FLOW_MESSAGE_H

#include "base/ring.h"
#include "data/slice.h"

enum sb_message_kind {
    SB_MESSAGE_ROWS,
    SB_MESSAGE_WATERMARK,
    SB_MESSAGE_IDLE,
    SB_MESSAGE_LOADED,
    SB_MESSAGE_BARRIER,
    SB_MESSAGE_END,
};

struct sb_message {
    enum sb_message_kind kind;
    struct sb_slice *slice; /* rows */
    int64_t value;          /* watermark and idle (ms), barrier (checkpoint id) */
    uint64_t bytes;         /* what it stands for in a ring */
};

static inline struct sb_message sb_message_mark(enum sb_message_kind kind, int64_t value)
{
    return (struct sb_message){.kind = kind, .value = value, .bytes = 1};
}

#endif
