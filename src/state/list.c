/* SPDX-License-Identifier: Apache-2.0 */
/* list.c - list state: elements in segments that hang on the key's cell, oldest first.
 *
 *     cell of the key (struct sb_list) -> segment -> segment -> ... -> segment being filled
 *
 * A segment is made with room for some elements, each greater than the one before up to a limit,
 * and never grows: an element stays where it was written. Elements of a fixed size lie one behind
 * the other; those of any size have 4 bytes for their size before them, padded to 4.
 *
 * Time to live is that of the whole list. A list without elements is none: its cell is removed.
 * Threads: the store's. Memory: a cell per key and per segment. */
#include "state/vault.h"

enum {
    ROOM_MIN = 32,  /* bytes of a list's first segment */
    ROOM_MAX = 984, /* a segment of this room is a cell of 1 KiB */
    SIZE_BYTES = 4, /* before an element of any size */
};

static struct sb_list *list_of(const struct sb_state *state, const struct sb_cell *cell)
{
    return (struct sb_list *)(void *)sb_cell_value(state, cell);
}

static uint32_t stride_of(const struct sb_state *state, uint32_t size)
{
    return state->fixed_size > 0 ? sb_pad8(size) : (SIZE_BYTES + size + 3U) & ~3U;
}

static uint32_t segment_bytes(uint32_t room)
{
    return (uint32_t)sizeof(struct sb_segment) + room;
}

static void drop_segment(struct sb_vault *vault, struct sb_state *state, uint32_t shard, sb_ref ref)
{
    struct sb_segment *segment = sb_cell_at(&vault->cells[shard], ref);
    const uint32_t bytes = segment_bytes(segment->cell.size);

    sb_cell_change(&vault->cells[shard], ref);
    segment->cell.head |= SB_CELL_GONE;
    sb_vault_drop(vault, state, shard, ref, bytes);
}

void sb_list_drop_segments(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           struct sb_list *list)
{
    while (list->first_segment != 0) {
        const sb_ref ref = list->first_segment;
        const struct sb_segment *segment = sb_cell_at(&vault->cells[shard], ref);

        list->first_segment = segment->next;
        drop_segment(vault, state, shard, ref);
    }
    list->last_segment = 0;
}

/* The list of a key that may be seen; NULL: none. */
static struct sb_cell *visible(struct sb_vault *vault,
                               struct sb_state *state,
                               struct sb_key key,
                               sb_ref *ref_out)
{
    struct sb_cell *cell = NULL;

    *ref_out = sb_key_find(vault, state, key, &cell);
    if (*ref_out == 0 || (state->keys_expire && sb_state_expired(vault, state, cell)))
        return NULL;
    return cell;
}

/* The same for a change: what has expired is removed. */
static struct sb_cell *changeable(struct sb_vault *vault,
                                  struct sb_state *state,
                                  struct sb_key key,
                                  sb_ref *ref_out)
{
    struct sb_cell *cell = visible(vault, state, key, ref_out);

    if (cell == NULL && *ref_out != 0)
        sb_key_forget(vault, state, key.hash, *ref_out);
    return cell;
}

/* A segment with room for `stride` bytes at the end of the list; NULL: no memory. */
static struct sb_segment *add_segment(struct sb_vault *vault,
                                      struct sb_state *state,
                                      uint32_t shard,
                                      struct sb_list *list,
                                      uint32_t stride)
{
    struct sb_cells *cells = &vault->cells[shard];
    struct sb_segment *last =
        list->last_segment == 0 ? NULL : sb_cell_at(cells, list->last_segment);
    uint32_t room = last == NULL ? ROOM_MIN : last->cell.size * 2;
    struct sb_segment *segment;
    sb_ref ref;

    room = room > ROOM_MAX ? ROOM_MAX : room;
    room = room < stride ? stride : room;
    ref = sb_cell_alloc(cells, segment_bytes(room));
    if (ref == 0)
        return NULL;
    sb_account_count(&state->line, sb_cell_size(segment_bytes(room)));
    segment = sb_cell_at(cells, ref);
    segment->cell.size = room;
    segment->first = list->next;
    if (last != NULL) {
        sb_cell_change(cells, list->last_segment);
        last->next = ref;
    } else {
        list->first_segment = ref;
    }
    list->last_segment = ref;
    return segment;
}

static sabot_status append(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           struct sb_list *list,
                           sabot_text value)
{
    const uint32_t stride = stride_of(state, (uint32_t)value.size);
    struct sb_segment *segment =
        list->last_segment == 0 ? NULL : sb_cell_at(&vault->cells[shard], list->last_segment);
    uint8_t *to;

    if (segment == NULL || segment->cell.size - segment->used < stride)
        segment = add_segment(vault, state, shard, list, stride);
    if (segment == NULL)
        return SABOT_ERR_MEMORY;
    sb_cell_change(&vault->cells[shard], list->last_segment);
    to = (uint8_t *)(segment + 1) + segment->used;
    if (state->fixed_size == 0) {
        const uint32_t size = (uint32_t)value.size;

        memcpy(to, &size, SIZE_BYTES);
        to += SIZE_BYTES;
    }
    if (value.size > 0)
        memcpy(to, value.data, value.size);
    segment->used += stride;
    segment->count++;
    list->next++;
    return SABOT_OK;
}

sabot_status sb_list_append(struct sb_store *store,
                            uint32_t index,
                            sabot_text key,
                            uint64_t hash,
                            sabot_text value,
                            sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_cell *cell;
    struct sb_list *list;
    sb_ref ref;

    SB_ASSERT(state->spec.kind == SB_STATE_LIST);
    SABOT_TRY(sb_value_check(vault, state, value.size, error));
    cell = changeable(vault, state, named, &ref);
    if (cell == NULL)
        SABOT_TRY(sb_key_create(vault, state, named, sizeof *list, &cell, &ref, error));
    sb_cell_change(&vault->cells[shard], ref);
    list = list_of(state, cell);
    if (append(vault, state, shard, list, value) != SABOT_OK) {
        if (list->first == list->next)
            sb_key_forget(vault, state, hash, ref);
        return sb_vault_no_memory(vault, state, error);
    }
    if (state->keys_expire)
        sb_state_refresh(vault, state, shard, ref, cell);
    return SABOT_OK;
}

uint64_t sb_list_count(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    sb_ref ref;
    const struct sb_cell *cell = visible(vault, state, (struct sb_key){key, hash}, &ref);

    SB_ASSERT(state->spec.kind == SB_STATE_LIST);
    return cell == NULL ? 0 : list_of(state, cell)->next - list_of(state, cell)->first;
}

sabot_status sb_list_trim(struct sb_store *store,
                          uint32_t index,
                          sabot_text key,
                          uint64_t hash,
                          uint64_t keep,
                          sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const uint32_t shard = sb_hash_shard(hash);
    sb_ref ref;
    struct sb_cell *cell = changeable(vault, state, (struct sb_key){key, hash}, &ref);
    struct sb_list *list = cell == NULL ? NULL : list_of(state, cell);

    (void)error;
    SB_ASSERT(state->spec.kind == SB_STATE_LIST);
    if (cell == NULL || list->next - list->first <= keep)
        return SABOT_OK;
    if (keep == 0) {
        sb_key_forget(vault, state, hash, ref);
        return SABOT_OK;
    }
    sb_cell_change(&vault->cells[shard], ref);
    list->first = list->next - keep;
    for (;;) {
        const sb_ref oldest = list->first_segment;
        const struct sb_segment *segment = sb_cell_at(&vault->cells[shard], oldest);

        if (segment->first + segment->count > list->first)
            break;
        list->first_segment = segment->next;
        drop_segment(vault, state, shard, oldest);
    }
    return SABOT_OK;
}

/* --- Walking ------------------------------------------------------------------------------------
 */

void sb_list_scan(struct sb_vault *vault,
                  struct sb_state *state,
                  struct sb_key key,
                  struct sb_walk *walk)
{
    sb_ref ref;
    const struct sb_cell *cell = visible(vault, state, key, &ref);

    if (cell == NULL)
        return;
    if (state->keys_expire && state->spec.ttl_on_read)
        sb_state_refresh(vault, state, walk->shard, ref,
                         sb_cell_at(&vault->cells[walk->shard], ref));
    walk->owner = ref;
    walk->at = list_of(state, cell)->first_segment;
}

bool sb_list_next(struct sb_vault *vault,
                  struct sb_state *state,
                  struct sb_walk *walk,
                  sabot_text *value_out)
{
    const struct sb_cell *cell = sb_cell_at(&vault->cells[walk->shard], walk->owner);
    const struct sb_list *list = list_of(state, cell);

    while (walk->at != 0 && (cell->head & SB_CELL_GONE) == 0) {
        const struct sb_segment *segment = sb_cell_at(&vault->cells[walk->shard], walk->at);
        const uint8_t *from = (const uint8_t *)(segment + 1) + walk->offset;
        uint32_t size = state->fixed_size;

        if (walk->element == segment->count) {
            walk->at = segment->next;
            walk->element = 0;
            walk->offset = 0;
            continue;
        }
        if (state->fixed_size == 0) {
            memcpy(&size, from, SIZE_BYTES);
            from += SIZE_BYTES;
        }
        walk->offset += stride_of(state, size);
        if (segment->first + walk->element++ < list->first)
            continue;
        *value_out = (sabot_text){(const char *)from, size};
        return true;
    }
    return false;
}
