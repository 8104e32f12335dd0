/* SPDX-License-Identifier: Apache-2.0 */
/* gate.c - the alignment of barriers; gate.h has the states and invariants. */
#include "flow/gate.h"

static void check(const struct sb_gate *gate)
{
    uint32_t at_epoch = 0;
    uint32_t live = 0;

    for (uint32_t i = 0; i < gate->input_count; i++) {
        SB_ASSERT(gate->delivered[i] <= gate->epoch);
        if (gate->delivered[i] == SB_GATE_ENDED)
            continue;
        live++;
        at_epoch += gate->delivered[i] == gate->epoch;
    }
    SB_ASSERT(gate->live == live);
    switch (gate->state) {
    case SB_GATE_OPEN: SB_ASSERT(gate->held == 0); break;
    case SB_GATE_ALIGNING:
        SB_ASSERT(gate->held == at_epoch);
        SB_ASSERT(gate->held > 0);
        SB_ASSERT(gate->held < gate->live);
        break;
    case SB_GATE_ALIGNED:
        SB_ASSERT(gate->held == at_epoch);
        SB_ASSERT(gate->held == gate->live);
        break;
    }
}

sabot_status sb_gate_init(struct sb_gate *gate, const struct sb_env *env, uint32_t input_count)
{
    SB_ASSERT(input_count > 0);
    *gate = (struct sb_gate){.env = env, .input_count = input_count, .live = input_count};
    gate->delivered = sb_alloc_array(env, input_count, sizeof *gate->delivered);
    return gate->delivered == NULL ? SABOT_ERR_MEMORY : SABOT_OK;
}

void sb_gate_reset(struct sb_gate *gate)
{
    if (gate->env != NULL)
        sb_free_array(gate->env, gate->delivered, gate->input_count, sizeof *gate->delivered);
    *gate = (struct sb_gate){.env = NULL};
}

bool sb_gate_barrier(struct sb_gate *gate, uint32_t index, int64_t epoch)
{
    check(gate);
    SB_ASSERT(index < gate->input_count);
    SB_ASSERT(epoch > 0);
    SB_ASSERT(gate->delivered[index] != SB_GATE_ENDED);
    SB_ASSERT(!sb_gate_holds(gate, index));
    SB_ASSERT(epoch > gate->delivered[index]);
    if (epoch < gate->epoch) {
        gate->delivered[index] = epoch;
        return false;
    }
    if (epoch > gate->epoch) {
        gate->epoch = epoch;
        gate->held = 0;
    }
    gate->delivered[index] = epoch;
    gate->held++;
    gate->state = gate->held == gate->live ? SB_GATE_ALIGNED : SB_GATE_ALIGNING;
    check(gate);
    return true;
}

void sb_gate_end(struct sb_gate *gate, uint32_t index)
{
    check(gate);
    SB_ASSERT(index < gate->input_count);
    SB_ASSERT(gate->delivered[index] != SB_GATE_ENDED);
    SB_ASSERT(!sb_gate_holds(gate, index));
    /* Not held, so only where nobody is: it ends behind a barrier that others still owe. */
    if (gate->state == SB_GATE_ALIGNING && gate->delivered[index] == gate->epoch)
        gate->held--;
    gate->delivered[index] = SB_GATE_ENDED;
    gate->live--;
    if (gate->state == SB_GATE_ALIGNING && gate->held == gate->live)
        gate->state = SB_GATE_ALIGNED;
    else if (gate->held == 0)
        gate->state = SB_GATE_OPEN;
    check(gate);
}

void sb_gate_reopen(struct sb_gate *gate)
{
    check(gate);
    SB_ASSERT(gate->state == SB_GATE_ALIGNED);
    gate->held = 0;
    gate->state = SB_GATE_OPEN;
    check(gate);
}
