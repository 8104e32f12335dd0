/* SPDX-License-Identifier: Apache-2.0 */
/* gate.h - line up checkpoint barriers at the inputs of one task.
 *
 *   input 0 --+
 *   input 1 --+--> gate --> operator --> outputs
 *   input n --+
 *
 * A task may snapshot only when every input has delivered the barrier of the same checkpoint. Until
 * then an input that is ahead is held, so that no row of the next epoch leaks into the snapshot. An
 * input that has ended holds nothing back. (Carbone et al.: Lightweight Asynchronous Snapshots for
 * Distributed Dataflows, 2015.)
 *
 *   OPEN     --first barrier-->  ALIGNING   sb_gate_barrier()
 *   ALIGNING --last barrier--->  ALIGNED    sb_gate_barrier(), sb_gate_end()
 *   ALIGNED  --snapshot done-->  OPEN       sb_gate_reopen()
 *   ALIGNING --newer barrier->   ALIGNING   sb_gate_barrier(): the older checkpoint is given up
 *
 * Where at-least-once is enough (`unaligned`), barriers are counted and nobody is held: the
 * snapshot then has rows that the positions of the sources lie before, and a restart repeats them.
 *
 * Invariants, asserted on entry to and exit from every function here:
 *   1. delivered[i] <= epoch, for every input i.
 *   2. OPEN: held == 0. Otherwise held == number of inputs with delivered[i] == epoch, not ended.
 *   3. ALIGNING: 0 < held < live. ALIGNED: held == live, the number of inputs that have not ended.
 *
 * Thread: the worker that owns the task; no locks. Memory: one array, at init. */
#ifndef SB_FLOW_GATE_H
#define SB_FLOW_GATE_H

#include "base/mem.h"

enum sb_gate_state { SB_GATE_OPEN, SB_GATE_ALIGNING, SB_GATE_ALIGNED };

enum { SB_GATE_ENDED = -1 }; /* as delivered: this input has ended */

struct sb_gate {
    const struct sb_env *env;
    int64_t epoch;      /* newest checkpoint seen on any input; 0: none */
    int64_t *delivered; /* newest checkpoint that each input delivered, or SB_GATE_ENDED */
    uint32_t input_count;
    uint32_t live; /* inputs that have not ended */
    uint32_t held; /* inputs held back now */
    enum sb_gate_state state;
    bool unaligned; /* set after init: hold nothing back */
};

SABOT_MUST_CHECK sabot_status sb_gate_init(struct sb_gate *gate,
                                           const struct sb_env *env,
                                           uint32_t input_count);
void sb_gate_reset(struct sb_gate *gate);

/* Input `index` delivered the barrier of checkpoint `epoch` (> 0); it is not held, and did not end.
 * False: the barrier is of a checkpoint that was given up meanwhile: pass over it. */
bool sb_gate_barrier(struct sb_gate *gate, uint32_t index, int64_t epoch);

/* Input `index` has ended; it is not held. */
void sb_gate_end(struct sb_gate *gate, uint32_t index);

/* Must this input wait? */
static inline bool sb_gate_holds(const struct sb_gate *gate, uint32_t index)
{
    return !gate->unaligned && gate->state != SB_GATE_OPEN && gate->delivered[index] == gate->epoch;
}

/* ALIGNED only: the snapshot is taken, all inputs go on. */
void sb_gate_reopen(struct sb_gate *gate);

#endif
