/* SPDX-License-Identifier: Apache-2.0 */
/* txn.h - the order of a commit as a state machine: which call comes next, given how the last went.
 *
 *   FENCE --ok--> READY
 *   READY --sb_txn_start()--> BEGIN --ok--> OFFSETS --ok--> PRODUCE --ok--> COMMIT --ok--> READY
 *   OFFSETS, PRODUCE, COMMIT --abortable--> ABORT --ok--> BEGIN, SB_TXN_TRIES times, then LOST
 *   FENCE, BEGIN, ABORT --abortable--> LOST: there is nothing that an abort could mend
 *   any --retriable--> the same call again; a timeout is one of these: the call is resumed
 *   any --fatal, fenced--> LOST: the outcome is unknown, a new incarnation finds it out
 *
 * It is pure: no clock, no memory, no client. What the calls are is the business of commit.c.
 * Thread: its owner's. */
#ifndef SB_CKPT_TXN_H
#define SB_CKPT_TXN_H

#include "base/env.h"

enum { SB_TXN_TRIES = 5 };

enum sb_txn_state {
    SB_TXN_FENCE,
    SB_TXN_READY, /* between two transactions */
    SB_TXN_BEGIN,
    SB_TXN_OFFSETS,
    SB_TXN_PRODUCE,
    SB_TXN_COMMIT,
    SB_TXN_ABORT,
    SB_TXN_LOST,
};

/* How a call went. */
enum sb_txn_event { SB_TXN_OK, SB_TXN_RETRIABLE, SB_TXN_ABORTABLE, SB_TXN_FATAL };

struct sb_txn_machine {
    enum sb_txn_state state;
    uint32_t tries; /* transactions begun for the commit under way */
};

/* What a status with its error means to the machine. */
enum sb_txn_event sb_txn_event_of(sabot_status status, const sabot_error *error);

/* READY only: begin a commit. */
void sb_txn_start(struct sb_txn_machine *machine);

/* The call of the state has ended; the state is the next call's. */
void sb_txn_done(struct sb_txn_machine *machine, enum sb_txn_event event);

#endif
