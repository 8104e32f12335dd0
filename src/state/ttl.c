/* SPDX-License-Identifier: Apache-2.0 */
/* ttl.c - time to live: what is expired is never returned, and its memory comes back.
 *
 * A cell of a state with a time to live has the time of its last refresh, on the clock of the
 * state:
 *
 *     event time        the greater of the record's time and the watermark. For a record that isn't
 *                       late that is the record's own time, so what it sees depends on the data
 *                       alone, not on how far other partitions have come.
 *     processing time   the port layer's wall clock, read once per batch
 *
 * It is expired when the clock is ttl_ms or more past that time: every read checks. A sweep goes
 * round all slots, some per batch, and drops what has expired by the watermark (or wall clock), for
 * no record that isn't late can still see it. */
#include "state/vault.h"

static bool is_past(int64_t now_ms, int64_t time_ms, int64_t ttl_ms)
{
    return now_ms > time_ms && (uint64_t)now_ms - (uint64_t)time_ms >= (uint64_t)ttl_ms;
}

bool sb_state_expired(const struct sb_vault *vault,
                      const struct sb_state *state,
                      const struct sb_cell *cell)
{
    return is_past(vault->store.now_ms[state->spec.ttl_time], sb_cell_time(cell),
                   state->spec.ttl_ms);
}

void sb_state_refresh(struct sb_vault *vault,
                      const struct sb_state *state,
                      uint32_t shard,
                      sb_ref ref,
                      struct sb_cell *cell)
{
    const int64_t now_ms = vault->store.now_ms[state->spec.ttl_time];

    if (now_ms <= sb_cell_time(cell))
        return;
    sb_cell_change(&vault->cells[shard], ref, sizeof *cell + sizeof now_ms);
    sb_cell_set_time(cell, now_ms);
}

static void sweep_key(struct sb_vault *vault,
                      struct sb_state *state,
                      uint32_t shard,
                      struct sb_slot slot)
{
    const int64_t now_ms = state->spec.ttl_time == SB_TIME_EVENT
                               ? vault->store.watermark_ms
                               : vault->store.now_ms[SB_TIME_PROCESSING];
    const struct sb_cell *cell = sb_cell_at(&vault->cells[shard], slot.ref);

    if (is_past(now_ms, sb_cell_time(cell), state->spec.ttl_ms))
        sb_key_remove(vault, state, (uint64_t)shard << 57 | slot.tag, slot.ref);
}

static void sweep_keys(struct sb_vault *vault, struct sb_state *state)
{
    uint32_t budget = SB_SWEEP_SLOTS;
    uint32_t shards = 0;

    while (budget > 0 && shards < SB_SHARD_COUNT) {
        const struct sb_index *index = &state->tables[state->sweep_shard].keys;
        const uint64_t before = state->sweep_at;
        struct sb_slot slot;

        const bool found = sb_index_walk(index, &state->sweep_at, &slot);
        const uint64_t looked = state->sweep_at - before;

        budget -= looked > budget ? budget : (uint32_t)looked;
        if (found) {
            sweep_key(vault, state, state->sweep_shard, slot);
            continue;
        }
        state->sweep_shard = (state->sweep_shard + 1) % SB_SHARD_COUNT;
        state->sweep_at = 0;
        shards++;
    }
}

void sb_vault_sweep(struct sb_vault *vault)
{
    for (uint32_t i = 0; i < vault->config.state_count; i++)
        if (vault->states[i].keys_expire && !vault->states[i].backed)
            sweep_keys(vault, &vault->states[i]);
}
