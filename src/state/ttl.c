/* SPDX-License-Identifier: Apache-2.0 */
/* ttl.c - time to live: what is expired is never returned, and its memory comes back.
 *
 * A cell of a state with a time to live has the time of its last refresh, on the clock of the
 * state:
 *
 *     event time        a refresh is the time of the record (or timer) that did it, if later than
 *                       the one before. The clock is the greater of the record's time and the
 *                       watermark; for a record that isn't late that is the record's own time. So
 *                       what it sees depends on the data alone, not on how far others have come.
 *     processing time   the port layer's wall clock, read once per batch
 *
 * It is expired when the clock is ttl_ms or more past that time: every read checks. A sweep goes
 * round all slots, some per batch, and drops what has expired by the watermark (or wall clock), for
 * no record that isn't late can still see it. What lies in rows is dropped by the database's
 * filter, by the clock of the last checkpoint (sb_store_freeze); but lists are ended by a sweep of
 * their own, for their rows must go together. */
#include "state/vault.h"

bool sb_ttl_is_past(int64_t now_ms, int64_t time_ms, int64_t ttl_ms)
{
    return now_ms > time_ms && (uint64_t)now_ms - (uint64_t)time_ms >= (uint64_t)ttl_ms;
}

bool sb_state_expired(const struct sb_vault *vault,
                      const struct sb_state *state,
                      const struct sb_cell *cell)
{
    return sb_ttl_is_past(vault->store.now_ms[state->spec.ttl_time], sb_cell_time(cell),
                          state->spec.ttl_ms);
}

void sb_state_refresh(struct sb_vault *vault,
                      struct sb_state *state,
                      uint32_t shard,
                      sb_ref ref,
                      struct sb_cell *cell)
{
    const int64_t refresh_ms = vault->store.refresh_ms[state->spec.ttl_time];

    if (refresh_ms <= sb_cell_time(cell))
        return;
    sb_cell_touch(vault, state, shard, ref, cell);
    sb_cell_set_time(cell, refresh_ms);
}

/* Remove a cell of a key, or of an entry, when no record that isn't late can see it any more. The
 * slot's tag is all of the hash that is needed, with the shard. A row behind it has expired as
 * well, and is dropped by the database; but for the rows of a list, which must be removed. */
static void sweep_slot(struct sb_vault *vault,
                       struct sb_state *state,
                       uint32_t shard,
                       struct sb_slot slot)
{
    const int64_t now_ms =
        state->spec.ttl_time == SB_TIME_EVENT ? vault->store.watermark_ms : vault->processing_ms;
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], slot.ref);
    const uint64_t hash = (uint64_t)shard << 57 | slot.tag;

    if ((cell->head & SB_CELL_ABSENT) != 0 && !sb_spill_write_absent(vault, state, shard, cell))
        return;
    if ((cell->head & SB_CELL_ABSENT) == 0 &&
        !sb_ttl_is_past(now_ms, sb_cell_time(cell), state->spec.ttl_ms))
        return;
    if (state->entries_expire)
        sb_entry_remove(vault, state, hash, slot.ref);
    else if (state->backed && (cell->head & SB_CELL_ABSENT) == 0 &&
             state->spec.kind == SB_STATE_LIST)
        sb_list_erase(vault, state, hash, slot.ref);
    else
        sb_key_forget(vault, state, hash, slot.ref);
}

static void sweep(struct sb_vault *vault, struct sb_state *state)
{
    uint32_t budget = SB_SWEEP_SLOTS;
    uint32_t shards = 0;

    while (budget > 0 && shards < SB_SHARD_COUNT) {
        const struct sb_table *table = &state->tables[state->sweep_shard];
        const uint64_t before = state->sweep_at;
        struct sb_slot slot;
        const bool found = sb_index_walk(state->entries_expire ? &table->entries : &table->keys,
                                         &state->sweep_at, &slot);
        const uint64_t looked = state->sweep_at - before;

        budget -= looked > budget ? budget : (uint32_t)looked;
        if (found) {
            sweep_slot(vault, state, state->sweep_shard, slot);
            continue;
        }
        state->sweep_shard = (state->sweep_shard + 1) % SB_SHARD_COUNT;
        state->sweep_at = 0;
        shards++;
    }
}

static void sweep_lists(struct sb_vault *vault, struct sb_state *state)
{
    const int64_t now_ms =
        state->spec.ttl_time == SB_TIME_EVENT ? vault->store.watermark_ms : vault->processing_ms;
    sabot_error error;

    if (sb_spill_sweep_lists(vault, state, now_ms, &error) != SABOT_OK)
        (void)sb_vault_fail(vault, &error);
}

void sb_vault_sweep(struct sb_vault *vault)
{
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        struct sb_state *state = &vault->states[i];

        if (!state->keys_expire && !state->entries_expire)
            continue;
        sweep(vault, state);
        if (state->backed && state->spec.kind == SB_STATE_LIST)
            sweep_lists(vault, state);
    }
}
