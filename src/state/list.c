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

/* The list of a key that may be seen; NULL: none. *ref_out: its cell, 0 when there is no cell. */
static sabot_status locate(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           struct sb_cell **cell_out,
                           sb_ref *ref_out,
                           sabot_error *error)
{
    SABOT_TRY(sb_key_locate(vault, state, key, cell_out, ref_out, error));
    if (*ref_out == 0)
        return SABOT_OK;
    if (((*cell_out)->head & SB_CELL_ABSENT) != 0 ||
        (state->keys_expire && sb_state_expired(vault, state, *cell_out)))
        *cell_out = NULL;
    return SABOT_OK;
}

void sb_list_erase(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    struct sb_list *list = list_of(state, cell);

    if (!state->backed) {
        sb_key_forget(vault, state, hash, ref);
        return;
    }
    sb_cell_touch(vault, state, shard, ref, cell);
    sb_list_drop_segments(vault, state, shard, list);
    list->first = list->next;
    list->memory_first = list->next;
    cell->head |= SB_CELL_ABSENT;
}

/* The cell of a list for adding to it, made when there is none. */
static sabot_status prepare(struct sb_vault *vault,
                            struct sb_state *state,
                            struct sb_key key,
                            struct sb_cell **cell_out,
                            sb_ref *ref_out,
                            sabot_error *error)
{
    const uint32_t shard = sb_hash_shard(key.hash);

    SABOT_TRY(locate(vault, state, key, cell_out, ref_out, error));
    if (*cell_out == NULL && *ref_out != 0)
        sb_list_erase(vault, state, key.hash, *ref_out);
    if (*ref_out == 0 || (*cell_out == NULL && !state->backed))
        return sb_key_create(vault, state, key, sizeof(struct sb_list), cell_out, ref_out, error);
    *cell_out = sb_cell_at(&vault->cells[shard], *ref_out);
    sb_cell_touch(vault, state, shard, *ref_out, *cell_out);
    if (((*cell_out)->head & SB_CELL_ABSENT) == 0)
        return SABOT_OK;
    (*cell_out)->head &= ~(uint32_t)SB_CELL_ABSENT;
    if (state->keys_expire)
        sb_cell_set_time(*cell_out, vault->store.refresh_ms[state->spec.ttl_time]);
    return SABOT_OK;
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
    ref = sb_cell_alloc(cells, sb_state_tag(state, SB_TAG_PARTS), segment_bytes(room));
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
    SABOT_TRY(prepare(vault, state, named, &cell, &ref, error));
    list = list_of(state, cell);
    if (append(vault, state, shard, list, value) != SABOT_OK) {
        if (list->first == list->next)
            sb_list_erase(vault, state, hash, ref);
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
    struct sb_cell *cell;
    sabot_error error;
    sb_ref ref;

    SB_ASSERT(state->spec.kind == SB_STATE_LIST);
    if (locate(vault, state, (struct sb_key){key, hash}, &cell, &ref, &error) != SABOT_OK) {
        (void)sb_vault_fail(vault, &error);
        return 0;
    }
    return cell == NULL ? 0 : list_of(state, cell)->next - list_of(state, cell)->first;
}

/* Free the segments in memory that lie before the first element. */
static void trim_segments(struct sb_vault *vault,
                          struct sb_state *state,
                          uint32_t shard,
                          struct sb_list *list)
{
    while (list->first_segment != 0) {
        const sb_ref oldest = list->first_segment;
        const struct sb_segment *segment = sb_cell_at(&vault->cells[shard], oldest);

        if (segment->first + segment->count > list->first)
            break;
        list->first_segment = segment->next;
        list->memory_first = segment->first + segment->count;
        drop_segment(vault, state, shard, oldest);
    }
    if (list->first_segment == 0)
        list->last_segment = 0;
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
    const struct sb_key named = {key, hash};
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_cell *cell;
    struct sb_list *list;
    sb_ref ref;

    SB_ASSERT(state->spec.kind == SB_STATE_LIST);
    SABOT_TRY(locate(vault, state, named, &cell, &ref, error));
    if (ref == 0)
        return SABOT_OK;
    if (cell == NULL || keep == 0) { /* expired, or nothing to keep */
        sb_list_erase(vault, state, hash, ref);
        return SABOT_OK;
    }
    list = list_of(state, cell);
    if (list->next - list->first <= keep)
        return SABOT_OK;
    sb_cell_touch(vault, state, shard, ref, cell);
    list->first = list->next - keep;
    trim_segments(vault, state, shard, list);
    return SABOT_OK;
}

/* --- Walking ------------------------------------------------------------------------------------
 */

sabot_status sb_list_scan(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          struct sb_walk *walk,
                          sabot_error *error)
{
    struct sb_cell *cell;
    const struct sb_list *list;
    sb_ref ref;

    SABOT_TRY(locate(vault, state, key, &cell, &ref, error));
    if (cell == NULL)
        return SABOT_OK;
    if (state->keys_expire && state->spec.ttl_on_read)
        sb_state_refresh(vault, state, walk->shard, ref, cell);
    list = list_of(state, cell);
    walk->owner = ref;
    walk->at = list->first_segment;
    if (state->backed && list->first < list->memory_first)
        return sb_spill_walk(vault, state, key, list->rows_first, walk, error);
    return SABOT_OK;
}

/* The element that a walk stands on, in a run of elements; it moves on. */
static sabot_text take_element(const struct sb_state *state,
                               struct sb_walk *walk,
                               const uint8_t *elements)
{
    const uint8_t *from = elements + walk->offset;
    uint32_t size = state->fixed_size;

    if (state->fixed_size == 0) {
        memcpy(&size, from, SIZE_BYTES);
        from += SIZE_BYTES;
    }
    walk->offset += stride_of(state, size);
    walk->element++;
    return (sabot_text){(const char *)from, size};
}

/* The row that comes next becomes the one being read. False: no more rows before memory's. */
static bool next_row(struct sb_vault *vault, const struct sb_list *list, struct sb_walk *walk)
{
    walk->has_row = sb_spill_next(vault, walk, &walk->row_key, &walk->row_value);
    if (walk->has_row && (walk->row_key.size != 8 || walk->row_value.size < SB_SEGMENT_ROW_HEAD))
        walk->has_row = false;
    walk->element = 0;
    walk->offset = SB_SEGMENT_ROW_HEAD;
    if (walk->has_row && sb_big_number((const uint8_t *)walk->row_key.data) >= list->memory_first)
        walk->has_row = false;
    return walk->has_row;
}

static void fail_row(struct sb_vault *vault, const struct sb_state *state)
{
    sabot_error error;

    (void)sabot_raise(&error, SABOT_ERR_CORRUPT,
                      "state %s of agent %s: a row of a list makes no sense; restore from the last "
                      "checkpoint",
                      state->spec.name, vault->config.owner);
    (void)sb_vault_fail(vault, &error);
}

/* An element out of rows. */
static bool next_of_rows(struct sb_vault *vault,
                         const struct sb_state *state,
                         const struct sb_list *list,
                         struct sb_walk *walk,
                         sabot_text *value_out)
{
    while (walk->rows != 0 || walk->has_row) {
        uint32_t count = 0;
        uint64_t number;

        if (walk->has_row)
            memcpy(&count, walk->row_value.data, sizeof count);
        if (walk->element == count || !walk->has_row) {
            if (!next_row(vault, list, walk))
                break;
            continue;
        }
        number = sb_big_number((const uint8_t *)walk->row_key.data) + walk->element;
        *value_out = take_element(state, walk, (const uint8_t *)walk->row_value.data);
        if (walk->offset > walk->row_value.size) {
            fail_row(vault, state);
            break;
        }
        if (number >= list->first && number < list->memory_first)
            return true;
    }
    walk->rows = 0;
    walk->has_row = false;
    walk->element = 0;
    walk->offset = 0;
    return false;
}

bool sb_list_next(struct sb_vault *vault,
                  struct sb_state *state,
                  struct sb_walk *walk,
                  sabot_text *value_out)
{
    const struct sb_cell *cell = sb_cell_at(&vault->cells[walk->shard], walk->owner);
    const struct sb_list *list = list_of(state, cell);

    if ((walk->rows != 0 || walk->has_row) && next_of_rows(vault, state, list, walk, value_out))
        return true;
    while (walk->at != 0 && (cell->head & (SB_CELL_GONE | SB_CELL_ABSENT)) == 0) {
        const struct sb_segment *segment = sb_cell_at(&vault->cells[walk->shard], walk->at);

        if (walk->element == segment->count) {
            walk->at = segment->next;
            walk->element = 0;
            walk->offset = 0;
            continue;
        }
        *value_out = take_element(state, walk, (const uint8_t *)(segment + 1));
        if (segment->first + walk->element - 1 >= list->first)
            return true;
    }
    return false;
}
