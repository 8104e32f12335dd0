/* SPDX-License-Identifier: Apache-2.0 */
/* image_check.c - are the lists and maps of a shard whole, that was put into place from an image?
 *
 *     chunks in place -> each cell adopted by itself -> what hangs on each key followed once (here)
 *
 * Who adopts the cells has checked the size of each, and that references lead to parts of the same
 * state. Here they are followed, as everything will follow them later: a list goes on from number
 * to number up to its last segment, a map from key to greater key on every height, and each part
 * belongs to one key. So there are no circles, and nothing is given back twice.
 *
 * Threads: the store's. Memory: none. */
#include "state/vault.h"

/* Who adopts a segment marks it so, and who comes by takes the mark. */
enum { MARK = SB_CELL_HOT };

void sb_segment_mark(struct sb_segment *segment)
{
    segment->cell.head |= MARK;
}

/* Do its elements fill what is used, and no more? */
static bool is_filled(const struct sb_state *state, const struct sb_segment *segment)
{
    const uint8_t *elements = (const uint8_t *)(segment + 1);
    uint64_t used = 0;

    if (state->fixed_size > 0)
        return segment->count * (uint64_t)sb_pad8(state->fixed_size) == segment->used;
    for (uint32_t i = 0; i < segment->count; i++) {
        uint32_t size;

        if (segment->used - used < sizeof size)
            return false;
        memcpy(&size, elements + used, sizeof size);
        used += (sizeof size + (uint64_t)size + 3) / 4 * 4;
        if (used > segment->used)
            return false;
    }
    return used == segment->used;
}

static bool check_list(const struct sb_state *state,
                       const struct sb_cells *cells,
                       const struct sb_list *list,
                       uint64_t *parts)
{
    uint64_t number = list->first;
    sb_ref last = 0;

    for (sb_ref ref = list->first_segment; ref != 0;) {
        struct sb_segment *segment = sb_cell_at(cells, ref);

        if ((segment->cell.head & MARK) == 0)
            return false;
        segment->cell.head &= ~(uint32_t)MARK;
        if (last == 0 && segment->first <= number)
            number = segment->first; /* the first elements of it may have gone */
        if (segment->first != number || segment->count == 0 || !is_filled(state, segment))
            return false;
        number += segment->count;
        last = ref;
        ref = segment->next;
        (*parts)++;
    }
    return number == list->next && last == list->last_segment;
}

static bool check_map(const struct sb_state *state,
                      const struct sb_cells *cells,
                      const struct sb_map *map,
                      sb_ref owner,
                      uint64_t *parts)
{
    const struct sb_cell *before = NULL;
    sb_ref next[SB_MAP_HEIGHT_MAX]; /* of each height */
    uint64_t count = 0;

    memcpy(next, map->tower, sizeof next);
    while (next[0] != 0) {
        const sb_ref ref = next[0];
        const struct sb_cell *cell = sb_cell_at(cells, ref);
        const struct sb_entry *entry = sb_entry_of(state, cell);

        if ((cell->head & SB_CELL_FREE) != 0 || entry->owner != owner ||
            (before != NULL &&
             sb_compare_bytes(sb_entry_key(state, before), sb_cell_key_size(before),
                              sb_entry_key(state, cell), sb_cell_key_size(cell)) >= 0))
            return false;
        for (uint32_t height = 0; height < sb_entry_height(cell); height++) {
            if (next[height] != ref)
                return false;
            next[height] = entry->tower[height];
        }
        before = cell;
        count++;
    }
    for (uint32_t height = 0; height < SB_MAP_HEIGHT_MAX; height++) {
        if (next[height] != 0)
            return false;
    }
    *parts += count;
    return count == map->count;
}

bool sb_parts_are_whole(const struct sb_vault *vault, uint32_t shard, uint64_t parts)
{
    const struct sb_cells *cells = &vault->cells[shard];
    uint64_t followed = 0;

    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];
        struct sb_slot slot;
        uint64_t at = 0;

        if (state->spec.kind != SB_STATE_LIST && state->spec.kind != SB_STATE_MAP)
            continue;
        while (sb_index_walk(&state->tables[shard].keys, &at, &slot)) {
            const struct sb_cell *cell = sb_cell_at(cells, slot.ref);
            const void *value = sb_cell_value(state, cell);

            if (state->spec.kind == SB_STATE_LIST
                    ? !check_list(state, cells, value, &followed)
                    : !check_map(state, cells, value, slot.ref, &followed))
                return false;
        }
    }
    return followed == parts;
}
