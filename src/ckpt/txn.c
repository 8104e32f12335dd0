/* SPDX-License-Identifier: Apache-2.0 */
/* txn.c - the transitions of a commit; txn.h draws them. */
#include "ckpt/txn.h"

#include "base/mutant.h"

enum sb_txn_event sb_txn_event_of(sabot_status status, const sabot_error *error)
{
    if (status == SABOT_OK)
        return SB_TXN_OK;
    if (status == SABOT_ERR_FENCED || error->fatal)
        return SB_TXN_FATAL;
    if (SB_MUTANT(ABORTABLE_IGNORED) && !error->retriable)
        return SB_TXN_OK;
    return error->retriable ? SB_TXN_RETRIABLE : SB_TXN_ABORTABLE;
}

void sb_txn_start(struct sb_txn_machine *machine)
{
    SB_ASSERT(machine->state == SB_TXN_READY);
    machine->tries = 1;
    machine->state = SB_TXN_BEGIN;
}

static enum sb_txn_state after_success(enum sb_txn_state state)
{
    switch (state) {
    case SB_TXN_FENCE: return SB_TXN_READY;
    case SB_TXN_BEGIN: return SB_TXN_OFFSETS;
    case SB_TXN_OFFSETS: return SB_TXN_PRODUCE;
    case SB_TXN_PRODUCE: return SB_TXN_COMMIT;
    case SB_TXN_COMMIT: return SB_TXN_READY;
    case SB_TXN_ABORT: return SB_TXN_BEGIN;
    case SB_TXN_READY:
    case SB_TXN_LOST: break;
    }
    SB_ASSERT(false);
    return SB_TXN_LOST;
}

/* What can't even be fenced, begun or aborted can't be mended by an abort. */
static bool may_abort(enum sb_txn_state state)
{
    return state == SB_TXN_OFFSETS || state == SB_TXN_PRODUCE || state == SB_TXN_COMMIT;
}

void sb_txn_done(struct sb_txn_machine *machine, enum sb_txn_event event)
{
    const enum sb_txn_state state = machine->state;

    SB_ASSERT(state != SB_TXN_READY);
    SB_ASSERT(state != SB_TXN_LOST);
    switch (event) {
    case SB_TXN_OK: machine->state = after_success(state); break;
    case SB_TXN_RETRIABLE:
        if (SB_MUTANT(SEND_AGAIN) && state == SB_TXN_COMMIT)
            machine->state = SB_TXN_BEGIN;
        if (SB_MUTANT(TIMEOUT_IS_SUCCESS) && state == SB_TXN_COMMIT)
            machine->state = SB_TXN_READY;
        break;
    case SB_TXN_ABORTABLE: machine->state = may_abort(state) ? SB_TXN_ABORT : SB_TXN_LOST; break;
    case SB_TXN_FATAL: machine->state = SB_TXN_LOST; break;
    }
    if (state == SB_TXN_ABORT && machine->state == SB_TXN_BEGIN && ++machine->tries > SB_TXN_TRIES)
        machine->state = SB_TXN_LOST;
    SB_ASSERT(machine->tries <= SB_TXN_TRIES + 1);
}
