/* SPDX-License-Identifier: Apache-2.0 */
/* spill.c - cells as a write-back cache in front of rows (rows.h).
 *
 * A state that is backed has a row for each cell; a cell in memory is the truth while it is there.
 *
 *     not in memory --load--> clean --change--> dirty --write--> clean --evict--> not in memory
 *
 * "There is none" is a cell, too (SB_CELL_ABSENT): known to be absent when clean, to be removed
 * when dirty. Rows, with numbers big-endian so that bytes order as they do:
 *
 *     every row     operator (2) | shard (1) | state (2), then
 *     value         key size (3) | key                       -> [time] value
 *     list          key size (3) | key | 0                   -> [time] first, next, rows_first (8
 * each) its segments  key size (3) | key | 1 | number (8)      -> elements (8) | bytes map's entry
 * key size (3) | key | entry's key         -> [time] value timer         time, sign flipped (8) |
 * key             -> nothing
 *
 * Two generations: sb_spill_freeze() ends one, at a barrier. What is dirty then is written slab by
 * slab (sb_spill_write_some), but for slabs that have not changed since all was written last; a
 * cell that is changed before its turn is written first; and what becomes dirty after stays in
 * memory until sb_store_thaw(), so that the database holds the state of the barrier while it is
 * checkpointed. SB_CELL_PARITY tells the two apart. When newer cells have filled the memory
 * meanwhile, whoever makes them waits (sb_store_is_held).
 *
 * Eviction: a hand goes round all cells (the clock algorithm, F. Corbato, 1968); used ones are
 * spared once. Threads: the store's. Memory: about config.cache_bytes, more within one callback. */
#include "state/rows.h"
#include "state/vault.h"

enum {
    PREFIX = 5,
    KEY_ROOM = PREFIX + 3 + SB_STATE_KEY_MAX + SB_STATE_KEY_MAX + 9,
    LIST_HEAD = 0,
    LIST_SEGMENT = 1,
    BATCH_BYTES = 1024 * 1024, /* of rows collected before they are written */
    ROOM = 16 * 1024,          /* bytes of cells that leave together */
    LOOKS_AT_ONCE = 64,        /* slots looked at before memory is looked at again */
    LOOKS = 8192,              /* slots a tidying looks at, unless memory is far over */
    TURNS_MAX = 64,            /* as many times as much, then */
    IDLE_ROUNDS = 2,           /* of the hand, in which used cells have been spared once */
    TIMERS_PER_SHARD = 256,    /* loaded at once */
    TIMER_NEAR_MS = 60000,     /* timers closer than this stay in memory */
    LISTS_AT_ONCE = 4,         /* that the sweep of rows looks at */
    LOOKS_PER_ROW = 16,        /* slabs looked at that cost as much as one row written */
    SLAB_CHUNKS_MAX = 4,       /* of a slab, which may change one by one */
};

/* --- Keys of rows -------------------------------------------------------------------------------
 */

static void put_big(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

uint64_t sb_big_number(const uint8_t bytes[8])
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void row_add(struct sb_vault *vault, const void *bytes, size_t size)
{
    struct sb_buffer *row = &vault->row;

    SB_ASSERT(row->size + size <= row->capacity); /* KEY_ROOM was reserved */
    if (size > 0)
        memcpy(row->data + row->size, bytes, size);
    row->size += size;
}

static void row_add_number(struct sb_vault *vault, uint64_t value, size_t size)
{
    uint8_t bytes[8];

    put_big(bytes, value, size);
    row_add(vault, bytes, size);
}

static void row_begin(struct sb_vault *vault, const struct sb_state *state, uint32_t shard)
{
    vault->row.size = 0;
    row_add_number(vault, vault->config.operator_id, 2);
    row_add_number(vault, shard, 1);
    row_add_number(vault, state->index, 2);
}

static void row_begin_key(struct sb_vault *vault,
                          const struct sb_state *state,
                          uint32_t shard,
                          sabot_text key)
{
    row_begin(vault, state, shard);
    row_add_number(vault, key.size, 3);
    row_add(vault, key.data, key.size);
}

static sabot_text row_text(const struct sb_vault *vault)
{
    return (sabot_text){(const char *)vault->row.data, vault->row.size};
}

static sabot_text key_text(const struct sb_state *state, const struct sb_cell *cell)
{
    return (sabot_text){(const char *)sb_cell_key(state, cell), sb_cell_key_size(cell)};
}

static struct sb_list *list_of(const struct sb_state *state, const struct sb_cell *cell)
{
    return (struct sb_list *)(void *)sb_cell_value(state, cell);
}

sabot_status sb_spill_init(struct sb_vault *vault, sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;

    sb_buffer_init(&vault->row, vault->config.env);
    sb_buffer_init(&vault->row_value, vault->config.env);
    sb_arena_init(&vault->scratch, vault->config.env);
    if (rows == NULL)
        return SABOT_OK;
    if (sb_buffer_reserve(&vault->row, KEY_ROOM) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory", vault->config.owner);
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];
        struct sb_rows_ttl ttl = {
            .prefix_size = PREFIX, .ttl_ms = state->spec.ttl_ms, .clock = state->spec.ttl_time};

        /* A list's rows go together, or not at all. */
        if (!state->backed || state->spec.ttl_ms == 0 || state->spec.kind == SB_STATE_LIST)
            continue;
        row_begin(vault, state, 0);
        memcpy(ttl.prefix, vault->row.data, PREFIX);
        SABOT_TRY(rows->type->expire(rows, &ttl, error));
    }
    return SABOT_OK;
}

void sb_spill_reset(struct sb_vault *vault)
{
    sb_spill_end_walks(vault);
    sb_buffer_reset(&vault->row);
    sb_buffer_reset(&vault->row_value);
    if (vault->scratch.env != NULL)
        sb_arena_reset(&vault->scratch);
}

/* --- Commit -------------------------------------------------------------------------------------
 *
 * A database that can't be written for a while keeps nobody from going on with what is in memory:
 * what was collected stays collected, its cells stay where they are, and it is tried again. But
 * when a cell has left whose row is only collected, reads would miss it: then that is an error. */

static sabot_status commit(struct sb_vault *vault, sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;

    SABOT_TRY(rows->type->commit(rows, error));
    vault->has_left = false;
    return SABOT_OK;
}

/* The same, where it need not be now: a walk sees what is in memory before what is in rows. */
static sabot_status try_commit(struct sb_vault *vault, sabot_error *error)
{
    sabot_error why = {.status = SABOT_OK};
    const sabot_status status = commit(vault, &why);

    if (status == SABOT_OK || !vault->has_left)
        return SABOT_OK;
    if (error != NULL)
        *error = why;
    return status;
}

/* A cell goes whose row may be among those that are collected. */
static void note_leaving(struct sb_vault *vault)
{
    vault->has_left |= vault->config.rows->type->pending(vault->config.rows) > 0;
}

/* --- Loading ------------------------------------------------------------------------------------
 */

static sabot_status bad_row(struct sb_vault *vault,
                            const struct sb_state *state,
                            sabot_error *error)
{
    return sabot_raise(
        error, SABOT_ERR_CORRUPT,
        "state %s of agent %s: a row of %zu bytes of key makes no sense; restore from "
        "the last checkpoint",
        state->spec.name, vault->config.owner, vault->row.size);
}

/* Cut the time off a row's value. False: too short. */
static bool take_time(bool has_time, sabot_text *value, int64_t *time_ms)
{
    if (!has_time)
        return true;
    if (value->size < sizeof *time_ms)
        return false;
    memcpy(time_ms, value->data, sizeof *time_ms);
    value->data += sizeof *time_ms;
    value->size -= sizeof *time_ms;
    return true;
}

/* The list as its row says, with all of its elements in rows. */
static bool take_list(sabot_text value, struct sb_list *list)
{
    uint64_t numbers[3];

    if (value.size != sizeof numbers)
        return false;
    memcpy(numbers, value.data, sizeof numbers);
    *list = (struct sb_list){.first = numbers[0],
                             .next = numbers[1],
                             .rows_first = numbers[2],
                             .memory_first = numbers[1]};
    return list->rows_first <= list->first && list->first <= list->next;
}

sabot_status sb_spill_load_key(struct sb_vault *vault,
                               struct sb_state *state,
                               struct sb_key key,
                               struct sb_cell **cell_out,
                               sb_ref *ref_out,
                               sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    const bool is_list = state->spec.kind == SB_STATE_LIST;
    sabot_text value = {NULL, 0};
    struct sb_list list = {.first = 0};
    int64_t time_ms = 0;
    uint32_t size;

    if (key.text.size > SB_STATE_KEY_MAX)
        return SABOT_OK; /* no such key can be there; a change says why */
    row_begin_key(vault, state, sb_hash_shard(key.hash), key.text);
    if (is_list)
        row_add_number(vault, LIST_HEAD, 1);
    SABOT_TRY(rows->type->get(rows, row_text(vault), &value, error));
    if (value.data != NULL && !take_time(state->keys_expire, &value, &time_ms))
        return bad_row(vault, state, error);
    if (value.data != NULL && is_list && !take_list(value, &list))
        return bad_row(vault, state, error);
    if (value.size > SB_STATE_VALUE_MAX ||
        (value.data != NULL && !is_list && state->fixed_size > 0 &&
         value.size != state->fixed_size))
        return bad_row(vault, state, error);
    size = is_list ? (uint32_t)sizeof list : (uint32_t)value.size;
    SABOT_TRY(sb_key_create(vault, state, key, size, cell_out, ref_out, error));
    (*cell_out)->head &= ~(uint32_t)SB_CELL_DIRTY;
    (*cell_out)->head |= SB_CELL_HOT | (value.data == NULL ? SB_CELL_ABSENT : 0);
    if (state->keys_expire)
        sb_cell_set_time(*cell_out, time_ms);
    if (is_list)
        *list_of(state, *cell_out) = list;
    else if (value.data != NULL && value.size > 0)
        memcpy(sb_cell_value(state, *cell_out), value.data, value.size);
    return SABOT_OK;
}

sabot_status sb_spill_get_entry(struct sb_vault *vault,
                                struct sb_state *state,
                                struct sb_key key,
                                sabot_text entry,
                                sabot_text *value_out,
                                int64_t *time_out,
                                sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;

    *value_out = (sabot_text){NULL, 0};
    if (key.text.size > SB_STATE_KEY_MAX || entry.size > SB_STATE_KEY_MAX)
        return SABOT_OK;
    row_begin_key(vault, state, sb_hash_shard(key.hash), key.text);
    row_add(vault, entry.data, entry.size);
    SABOT_TRY(rows->type->get(rows, row_text(vault), value_out, error));
    if (value_out->data == NULL)
        return SABOT_OK;
    if (!take_time(state->entries_expire, value_out, time_out) ||
        value_out->size > SB_STATE_VALUE_MAX ||
        (state->fixed_size > 0 && value_out->size != state->fixed_size))
        return bad_row(vault, state, error);
    return SABOT_OK;
}

/* --- Writing ------------------------------------------------------------------------------------
 */

static sabot_status out_of_memory(struct sb_vault *vault, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory to write state",
                       vault->config.owner);
}

/* [time] value, as the value of a row. */
static sabot_status put_row(struct sb_vault *vault,
                            const struct sb_cell *cell,
                            bool has_time,
                            const void *value,
                            size_t size,
                            sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    struct sb_buffer *buffer = &vault->row_value;
    const int64_t time_ms = has_time ? sb_cell_time(cell) : 0;

    buffer->size = 0;
    if ((has_time && sb_buffer_append(buffer, &time_ms, sizeof time_ms) != SABOT_OK) ||
        sb_buffer_append(buffer, value, size) != SABOT_OK)
        return out_of_memory(vault, error);
    rows->type->put(rows, row_text(vault), (sabot_text){(const char *)buffer->data, buffer->size});
    return SABOT_OK;
}

/* Remove the rows of segments that lie wholly before the list's first element. */
static sabot_status trim_rows(struct sb_vault *vault,
                              struct sb_state *state,
                              uint32_t shard,
                              const struct sb_cell *cell,
                              sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    struct sb_list *list = list_of(state, cell);
    struct sb_rows_walk *walk;
    sabot_text key;
    sabot_text value;
    size_t prefix;

    if (list->rows_first >= list->first)
        return SABOT_OK;
    row_begin_key(vault, state, shard, key_text(state, cell));
    row_add_number(vault, LIST_SEGMENT, 1);
    prefix = vault->row.size;
    row_add_number(vault, list->rows_first, 8);
    /* What was collected must be seen by the walk. */
    SABOT_TRY(commit(vault, error));
    SABOT_TRY(rows->type->walk(rows, row_text(vault),
                               (sabot_text){(const char *)vault->row.data, prefix}, &walk, error));
    list->rows_first = list->next;
    while (rows->type->next(walk, &key, &value)) {
        const uint64_t number = sb_big_number((const uint8_t *)key.data + prefix);
        uint64_t count = 0;

        if (value.size >= sizeof count)
            memcpy(&count, value.data, sizeof count);
        if (number + count > list->first) {
            list->rows_first = number;
            break;
        }
        rows->type->remove(rows, key);
    }
    return rows->type->end(walk, error);
}

static sabot_status write_segments(struct sb_vault *vault,
                                   struct sb_state *state,
                                   uint32_t shard,
                                   const struct sb_cell *cell,
                                   sabot_error *error)
{
    struct sb_list *list = list_of(state, cell);
    struct sb_rows *rows = vault->config.rows;
    struct sb_buffer *buffer = &vault->row_value;

    for (sb_ref ref = list->first_segment; ref != 0;) {
        struct sb_segment *segment = sb_cell_at(&vault->cells[shard], ref);
        const uint64_t count = segment->count; /* 8 bytes, so that elements stay aligned */

        ref = segment->next;
        if (segment->written == segment->count)
            continue;
        row_begin_key(vault, state, shard, key_text(state, cell));
        row_add_number(vault, LIST_SEGMENT, 1);
        row_add_number(vault, segment->first, 8);
        buffer->size = 0;
        if (sb_buffer_append(buffer, &count, sizeof count) != SABOT_OK ||
            sb_buffer_append(buffer, segment + 1, segment->used) != SABOT_OK)
            return out_of_memory(vault, error);
        rows->type->put(rows, row_text(vault),
                        (sabot_text){(const char *)buffer->data, buffer->size});
        segment->written = segment->count;
        list->rows_first = segment->first < list->rows_first ? segment->first : list->rows_first;
    }
    return SABOT_OK;
}

static sabot_status write_list(struct sb_vault *vault,
                               struct sb_state *state,
                               uint32_t shard,
                               const struct sb_cell *cell,
                               sabot_error *error)
{
    struct sb_list *list = list_of(state, cell);
    struct sb_rows *rows = vault->config.rows;
    uint64_t numbers[3];

    SABOT_TRY(trim_rows(vault, state, shard, cell, error));
    SABOT_TRY(write_segments(vault, state, shard, cell, error));
    row_begin_key(vault, state, shard, key_text(state, cell));
    row_add_number(vault, LIST_HEAD, 1);
    if ((cell->head & SB_CELL_ABSENT) != 0) {
        rows->type->remove(rows, row_text(vault));
        return SABOT_OK;
    }
    numbers[0] = list->first;
    numbers[1] = list->next;
    numbers[2] = list->rows_first;
    return put_row(vault, cell, state->keys_expire, numbers, sizeof numbers, error);
}

static sabot_status write_timer(struct sb_vault *vault,
                                struct sb_state *state,
                                uint32_t shard,
                                const struct sb_cell *cell)
{
    struct sb_rows *rows = vault->config.rows;
    const int64_t time_ms = ((const struct sb_timer *)(const void *)cell)->time_ms;

    row_begin(vault, state, shard);
    row_add_number(vault, (uint64_t)time_ms ^ (uint64_t)1 << 63, 8);
    row_add(vault, sb_cell_key(state, cell), sb_cell_key_size(cell));
    if ((cell->head & SB_CELL_ABSENT) != 0)
        rows->type->remove(rows, row_text(vault));
    else
        rows->type->put(rows, row_text(vault), (sabot_text){"", 0});
    return SABOT_OK;
}

static sabot_status write_entry(struct sb_vault *vault,
                                struct sb_state *state,
                                uint32_t shard,
                                const struct sb_cell *cell,
                                sabot_error *error)
{
    const struct sb_cell *owner = sb_cell_at(&vault->cells[shard], sb_entry_of(state, cell)->owner);
    struct sb_rows *rows = vault->config.rows;

    row_begin_key(vault, state, shard, key_text(state, owner));
    row_add(vault, sb_entry_key(state, cell), sb_cell_key_size(cell));
    if ((cell->head & SB_CELL_ABSENT) != 0) {
        rows->type->remove(rows, row_text(vault));
        return SABOT_OK;
    }
    return put_row(vault, cell, state->entries_expire, sb_entry_value(state, cell), cell->size,
                   error);
}

/* Collect the row of a dirty cell; it is clean then. */
static sabot_status write_cell(struct sb_vault *vault,
                               struct sb_state *state,
                               uint32_t shard,
                               struct sb_cell *cell,
                               sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    sabot_status status;

    SB_ASSERT((cell->head & SB_CELL_DIRTY) != 0);
    switch (state->spec.kind) {
    case SB_STATE_LIST: status = write_list(vault, state, shard, cell, error); break;
    case SB_STATE_MAP: status = write_entry(vault, state, shard, cell, error); break;
    case SB_STATE_TIMERS: status = write_timer(vault, state, shard, cell); break;
    case SB_STATE_VALUE:
    case SB_STATE_REDUCING:
    case SB_STATE_AGGREGATING:
    default:
        row_begin_key(vault, state, shard, key_text(state, cell));
        status = SABOT_OK;
        if ((cell->head & SB_CELL_ABSENT) != 0)
            rows->type->remove(rows, row_text(vault));
        else
            status = put_row(vault, cell, state->keys_expire, sb_cell_value(state, cell),
                             cell->size, error);
        break;
    }
    SABOT_TRY(status);
    cell->head &= ~(uint32_t)SB_CELL_DIRTY;
    cell->head |= SB_CELL_ROW;
    return rows->type->pending(rows) >= BATCH_BYTES ? try_commit(vault, error) : SABOT_OK;
}

/* Dirty, and of the generation that may be written now? */
static bool is_writable(const struct sb_vault *vault, const struct sb_cell *cell)
{
    return (cell->head & SB_CELL_DIRTY) != 0 &&
           (!vault->frozen || (cell->head & SB_CELL_PARITY) != vault->parity);
}

void sb_spill_settle(struct sb_vault *vault,
                     struct sb_state *state,
                     uint32_t shard,
                     struct sb_cell *cell)
{
    sabot_error error;

    if (vault->frozen && is_writable(vault, cell) &&
        write_cell(vault, state, shard, cell, &error) != SABOT_OK)
        (void)sb_vault_fail(vault, &error);
}

bool sb_spill_write_absent(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           struct sb_cell *cell)
{
    sabot_error error;

    if (is_writable(vault, cell) && write_cell(vault, state, shard, cell, &error) != SABOT_OK)
        (void)sb_vault_fail(vault, &error);
    vault->store.has_work = true; /* a commit, if there is nothing else */
    return (cell->head & SB_CELL_DIRTY) == 0 &&
           vault->config.rows->type->pending(vault->config.rows) == 0;
}

/* --- All that is dirty --------------------------------------------------------------------------
 */

static struct sb_index *index_of(struct sb_state *state, uint32_t shard)
{
    struct sb_table *table = &state->tables[shard];

    return state->spec.kind == SB_STATE_MAP ? &table->entries : &table->keys;
}

/* Cells of one slab. */
struct writing {
    struct sb_vault *vault;
    uint32_t shard;
    uint32_t rows;
    sabot_error *error;
};

static sabot_status write_if_dirty(void *context, sb_ref ref, uint16_t tag, uint32_t size)
{
    struct writing *writing = context;
    struct sb_vault *vault = writing->vault;
    struct sb_state *state = &vault->states[tag / SB_TAGS_PER_STATE];
    struct sb_cell *cell = sb_cell_at(&vault->cells[writing->shard], ref);
    const uint32_t part = state->spec.kind == SB_STATE_MAP ? SB_TAG_PARTS : SB_TAG_KEYS;

    (void)size;
    if (!state->backed || tag % SB_TAGS_PER_STATE != part || !is_writable(vault, cell))
        return SABOT_OK;
    writing->rows++;
    return write_cell(vault, state, writing->shard, cell, writing->error);
}

/* Has the slab changed since all was written? Of a run every chunk has, or none. */
static bool has_changed(const struct sb_vault *vault, const struct sb_cells *arena, uint32_t lead)
{
    const uint32_t chunks = arena->slabs[lead].chunks;

    for (uint32_t i = 0; i < chunks && i < SLAB_CHUNKS_MAX; i++)
        if (arena->chunks[lead + i].epoch > vault->rows_since)
            return true;
    return false;
}

/* Collect rows, slab by slab, from *at on, until about so many are collected or the end is reached.
 */
static sabot_status collect(struct sb_vault *vault,
                            struct sb_spill_place *at,
                            uint32_t rows,
                            sabot_error *error)
{
    struct writing writing = {.vault = vault, .error = error};
    uint32_t looks = rows < UINT32_MAX / LOOKS_PER_ROW ? rows * LOOKS_PER_ROW : UINT32_MAX;

    for (; at->shard < SB_SHARD_COUNT; at->shard++, at->chunk = 0) {
        const struct sb_cells *arena = &vault->cells[at->shard];
        const bool changed = arena->pool != NULL && arena->changed > vault->rows_since;

        writing.shard = at->shard;
        for (; changed && at->chunk < arena->chunk_count; at->chunk++) {
            if (writing.rows >= rows || looks == 0)
                return SABOT_OK;
            looks--;
            if (arena->chunks[at->chunk].memory != NULL &&
                arena->chunks[at->chunk].lead == at->chunk && has_changed(vault, arena, at->chunk))
                SABOT_TRY(sb_cells_each(arena, at->chunk, write_if_dirty, &writing));
        }
    }
    return SABOT_OK;
}

void sb_spill_tell_time(struct sb_vault *vault, const int64_t now_ms[2])
{
    struct sb_rows *rows = vault->config.rows;

    rows->type->clock(rows, SB_TIME_EVENT, now_ms[SB_TIME_EVENT]);
    rows->type->clock(rows, SB_TIME_PROCESSING, now_ms[SB_TIME_PROCESSING]);
}

sabot_status sb_spill_freeze(struct sb_vault *vault, uint32_t until, sabot_error *error)
{
    SB_ASSERT(!vault->frozen);
    while (vault->rows_left)
        SABOT_TRY(sb_spill_write_some(vault, UINT32_MAX, error));
    /* The rows of a checkpoint have all that a replay from it can see: the database drops what has
     * expired by the clocks of the one before, which is committed or given up when the next
     * begins. */
    if (vault->was_frozen)
        sb_spill_tell_time(vault, vault->frozen_ms);
    vault->was_frozen = true;
    vault->frozen_ms[SB_TIME_EVENT] = vault->store.watermark_ms;
    vault->frozen_ms[SB_TIME_PROCESSING] = vault->processing_ms;
    vault->frozen = true;
    vault->no_room = false;
    vault->hand_idle = 0;
    vault->rows_left = true;
    vault->rows_until = until;
    vault->rows_at = (struct sb_spill_place){.shard = 0};
    vault->parity ^= SB_CELL_PARITY;
    return SABOT_OK;
}

sabot_status sb_spill_write_some(struct sb_vault *vault, uint32_t rows, sabot_error *error)
{
    SB_ASSERT(vault->rows_left);
    sb_vault_bury(vault); /* so that the cells of a slab are those that count */
    SABOT_TRY(commit(vault, error));
    SABOT_TRY(collect(vault, &vault->rows_at, rows, error));
    SABOT_TRY(commit(vault, error));
    if (vault->rows_at.shard < SB_SHARD_COUNT)
        return SABOT_OK;
    vault->rows_left = false;
    vault->rows_since = vault->rows_until;
    return SABOT_OK;
}

void sb_store_thaw(struct sb_store *store)
{
    struct sb_vault *vault = sb_vault_of(store);

    vault->frozen = false;
    vault->no_room = false;
    vault->store.has_work |= sb_spill_is_full(vault);
}

bool sb_store_is_held(const struct sb_store *store)
{
    const struct sb_vault *vault = sb_vault_of_const(store);

    return vault->frozen && vault->no_room && sb_spill_is_full(vault);
}

bool sb_store_write_left(struct sb_store *store, uint32_t rows)
{
    struct sb_vault *vault = sb_vault_of(store);

    return vault->rows_left && !vault->imaging.active &&
           sb_spill_write_some(vault, rows, NULL) == SABOT_OK;
}

sabot_status sb_spill_write_all(struct sb_vault *vault, sabot_error *error)
{
    struct sb_spill_place at = {.shard = 0};

    if (vault->config.rows == NULL)
        return SABOT_OK;
    sb_vault_bury(vault);
    SABOT_TRY(collect(vault, &at, UINT32_MAX, error));
    SB_ASSERT(at.shard == SB_SHARD_COUNT);
    return commit(vault, error);
}

/* --- Eviction -----------------------------------------------------------------------------------
 */

/* May the cell leave? Timers that fire soon stay. */
static bool is_cold(const struct sb_vault *vault,
                    const struct sb_state *state,
                    struct sb_cell *cell)
{
    if ((cell->head & SB_CELL_DIRTY) != 0 && !is_writable(vault, cell))
        return false;
    if (state->wheel != NULL)
        return sb_timer_is_far(vault, state, cell, TIMER_NEAR_MS);
    if ((cell->head & SB_CELL_HOT) == 0)
        return true;
    cell->head &= ~(uint32_t)SB_CELL_HOT;
    return false;
}

static sabot_status evict(struct sb_vault *vault,
                          struct sb_state *state,
                          uint32_t shard,
                          struct sb_slot slot,
                          sabot_error *error)
{
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], slot.ref);
    const uint64_t hash = (uint64_t)shard << 57 | slot.tag;

    if (!is_cold(vault, state, cell))
        return SABOT_OK;
    if ((cell->head & SB_CELL_DIRTY) != 0)
        SABOT_TRY(write_cell(vault, state, shard, cell, error));
    note_leaving(vault);
    vault->hand_idle = 0;
    if (state->spec.kind == SB_STATE_MAP)
        sb_entry_remove(vault, state, hash, slot.ref);
    else if (state->wheel != NULL)
        sb_timer_evict(vault, state, hash, slot.ref);
    else
        sb_key_forget(vault, state, hash, slot.ref);
    return SABOT_OK;
}

static uint32_t table_count(const struct sb_vault *vault)
{
    return vault->config.state_count * SB_SHARD_COUNT;
}

static void next_table(struct sb_vault *vault)
{
    vault->hand_at = 0;
    vault->hand_idle++;
    vault->hand = (vault->hand + 1) % table_count(vault);
}

/* Move the hand on by about so many slots. */
static sabot_status turn(struct sb_vault *vault, uint32_t looks, sabot_error *error)
{
    uint32_t tables = 0;

    while (looks > 0 && tables < table_count(vault)) {
        struct sb_state *state = &vault->states[vault->hand / SB_SHARD_COUNT];
        const uint32_t shard = vault->hand % SB_SHARD_COUNT;
        struct sb_slot slot;

        if (!state->backed || !sb_index_walk(index_of(state, shard), &vault->hand_at, &slot)) {
            next_table(vault);
            tables++;
            continue;
        }
        SABOT_TRY(evict(vault, state, shard, slot, error));
        looks--;
    }
    return SABOT_OK;
}

/* What cells take, of what they may take: a chunk whose cells have left in part takes new ones, so
 * free cells don't count, unless they become many. */
static uint64_t used_bytes(const struct sb_vault *vault)
{
    const uint64_t chunks = vault->pool.bytes / 3 * 2;

    return vault->pool.live > chunks ? vault->pool.live : chunks;
}

bool sb_spill_is_full(const struct sb_vault *vault)
{
    return vault->config.rows != NULL && used_bytes(vault) > vault->config.cache_bytes;
}

/* Some cells at once, so that their rows are written together; not many, for records wait. */
static sabot_status make_room(struct sb_vault *vault, sabot_error *error)
{
    const uint64_t most = vault->config.cache_bytes;
    const uint64_t goal = most > ROOM ? most - ROOM : 0;
    uint32_t turns = used_bytes(vault) > most + most / 4 ? TURNS_MAX : 1;
    sabot_status status;

    if (vault->no_room)
        return SABOT_OK;
    status = commit(vault, error);
    if (status != SABOT_OK) { /* nothing may leave whose row can't be written */
        vault->no_room = vault->frozen && !vault->has_left;
        return vault->no_room ? SABOT_OK : status;
    }
    while (used_bytes(vault) > goal && turns-- > 0) {
        for (uint32_t looks = 0; looks < LOOKS && used_bytes(vault) > goal;
             looks += LOOKS_AT_ONCE) {
            SABOT_TRY(turn(vault, LOOKS_AT_ONCE, error));
            sb_vault_bury(vault);
        }
    }
    /* What is left was changed since the freeze: looking again would find no more. */
    vault->no_room = vault->frozen && used_bytes(vault) > most &&
                     vault->hand_idle > IDLE_ROUNDS * table_count(vault);
    return SABOT_OK;
}

sabot_status sb_spill_tidy(struct sb_vault *vault, sabot_error *error)
{
    if (vault->config.rows == NULL)
        return SABOT_OK;
    sb_spill_end_walks(vault);
    sb_arena_reset(&vault->scratch);
    if (sb_spill_is_full(vault))
        SABOT_TRY(make_room(vault, error));
    return try_commit(vault, error);
}

/* --- Walks --------------------------------------------------------------------------------------
 */

sabot_status sb_spill_walk(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           uint64_t number,
                           struct sb_walk *walk,
                           sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    const bool is_list = state->spec.kind == SB_STATE_LIST;
    uint32_t free = 0;

    while (free < SB_WALKS_MAX && vault->walks[free] != NULL)
        free++;
    if (free == SB_WALKS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "state %s of agent %s: more than %d walks at once", state->spec.name,
                           vault->config.owner, SB_WALKS_MAX);
    row_begin_key(vault, state, walk->shard, key.text);
    if (is_list)
        row_add_number(vault, LIST_SEGMENT, 1);
    else
        row_add(vault, walk->prefix.data, walk->prefix.size);
    walk->row_prefix = (uint32_t)vault->row.size;
    if (is_list)
        row_add_number(vault, number, 8);
    SABOT_TRY(try_commit(vault, error));
    SABOT_TRY(rows->type->walk(rows, row_text(vault),
                               (sabot_text){(const char *)vault->row.data, walk->row_prefix},
                               &vault->walks[free], error));
    if (!is_list)
        walk->row_prefix -= (uint32_t)walk->prefix.size;
    walk->rows = free + 1;
    vault->store.has_work = true;
    return SABOT_OK;
}

/* A copy that stays readable until the callback has ended. */
static bool keep(struct sb_vault *vault, sabot_text *text)
{
    char *copy = sb_arena_copy(&vault->scratch, text->data, text->size);

    text->data = copy;
    return copy != NULL;
}

bool sb_spill_next(struct sb_vault *vault,
                   struct sb_walk *walk,
                   sabot_text *key_out,
                   sabot_text *value_out)
{
    struct sb_rows *rows = vault->config.rows;
    struct sb_rows_walk *from = walk->rows == 0 ? NULL : vault->walks[walk->rows - 1];
    sabot_error error;

    if (from == NULL)
        return false;
    if (rows->type->next(from, key_out, value_out)) {
        key_out->data += walk->row_prefix;
        key_out->size -= walk->row_prefix;
        if (keep(vault, key_out) && keep(vault, value_out))
            return true;
        (void)out_of_memory(vault, &error);
        (void)sb_vault_fail(vault, &error);
    }
    vault->walks[walk->rows - 1] = NULL;
    walk->rows = 0;
    if (rows->type->end(from, &error) != SABOT_OK)
        (void)sb_vault_fail(vault, &error);
    return false;
}

void sb_spill_end_walks(struct sb_vault *vault)
{
    sabot_error error;

    for (uint32_t i = 0; i < SB_WALKS_MAX; i++) {
        if (vault->walks[i] == NULL)
            continue;
        if (vault->config.rows->type->end(vault->walks[i], &error) != SABOT_OK)
            (void)sb_vault_fail(vault, &error);
        vault->walks[i] = NULL;
    }
}

/* --- Timers -------------------------------------------------------------------------------------
 */

/* From one of the worker's shards to the next. The rows of the others are there, too, and theirs.
 */
static uint32_t stride(const struct sb_vault *vault)
{
    return vault->config.worker_count == 0 ? 1 : vault->config.worker_count;
}

/* The timers of one shard; *rest_out becomes the time of the first one that was left. */
static sabot_status load_shard(struct sb_vault *vault,
                               struct sb_state *state,
                               uint32_t shard,
                               uint64_t from,
                               uint64_t *rest_out,
                               sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    sabot_status status = SABOT_OK;
    struct sb_rows_walk *walk;
    uint32_t count = 0;
    sabot_text key;
    sabot_text value;

    row_begin(vault, state, shard);
    row_add_number(vault, from, 8);
    SABOT_TRY(rows->type->walk(rows, row_text(vault),
                               (sabot_text){(const char *)vault->row.data, PREFIX}, &walk, error));
    while (status == SABOT_OK && rows->type->next(walk, &key, &value)) {
        const uint64_t time =
            key.size < PREFIX + 8 ? 0 : sb_big_number((const uint8_t *)key.data + PREFIX);
        bool is_new;

        if (key.size < PREFIX + 8) {
            status = bad_row(vault, state, error);
            break;
        }
        if (count == TIMERS_PER_SHARD) {
            *rest_out = time < *rest_out ? time : *rest_out;
            break;
        }
        status = sb_timer_load(vault, state, shard,
                               (sabot_text){key.data + PREFIX + 8, key.size - PREFIX - 8}, time,
                               &is_new, error);
        count += is_new;
    }
    if (status != SABOT_OK) {
        (void)rows->type->end(walk, NULL);
        return status;
    }
    return rows->type->end(walk, error);
}

sabot_status sb_spill_load_timers(struct sb_vault *vault,
                                  struct sb_state *state,
                                  uint64_t from,
                                  uint64_t *rest_out,
                                  sabot_error *error)
{
    *rest_out = UINT64_MAX;
    SABOT_TRY(try_commit(vault, error));
    for (uint32_t shard = vault->config.worker; shard < SB_SHARD_COUNT; shard += stride(vault))
        SABOT_TRY(load_shard(vault, state, shard, from, rest_out, error));
    return SABOT_OK;
}

/* --- Lists that have expired in rows -------------------------------------------------------------
 *
 * The database can't drop them, and perhaps nobody asks for them again. So a sweep goes round the
 * heads of all lists, a few at each call. */

static size_t size_of_key(const char *bytes)
{
    return (size_t)(uint8_t)bytes[0] << 16 | (size_t)(uint8_t)bytes[1] << 8 | (uint8_t)bytes[2];
}

/* The next list in rows: its key is left in state->rows_at, with the byte behind that passes its
 * segments. *key_out.data == NULL: none that has expired. */
static sabot_status next_expired(struct sb_vault *vault,
                                 struct sb_state *state,
                                 int64_t now_ms,
                                 sabot_text *key_out,
                                 sabot_error *error)
{
    static const uint8_t behind = LIST_SEGMENT + 1;
    struct sb_rows *rows = vault->config.rows;
    struct sb_buffer *at = &state->rows_at;
    const bool goes_on = at->size > 0;
    struct sb_rows_walk *walk;
    int64_t time_ms = INT64_MAX;
    sabot_status status = SABOT_OK;
    sabot_text row;
    sabot_text value;
    size_t key_end;

    row_begin(vault, state, state->rows_shard);
    SABOT_TRY(try_commit(vault, error));
    SABOT_TRY(rows->type->walk(
        rows, goes_on ? (sabot_text){(const char *)at->data, at->size} : row_text(vault),
        row_text(vault), &walk, error));
    at->size = 0;
    if (!rows->type->next(walk, &row, &value)) {
        state->rows_shard += stride(vault);
        if (state->rows_shard >= SB_SHARD_COUNT)
            state->rows_shard = vault->config.worker;
        return rows->type->end(walk, error);
    }
    key_end = row.size < PREFIX + 3 ? SIZE_MAX : PREFIX + 3 + size_of_key(row.data + PREFIX);
    if (key_end >= row.size)
        status = bad_row(vault, state, error);
    else if (sb_buffer_append(at, row.data, key_end) != SABOT_OK ||
             sb_buffer_append(at, &behind, 1) != SABOT_OK)
        status = out_of_memory(vault, error);
    else if (row.data[key_end] == LIST_HEAD && take_time(true, &value, &time_ms) &&
             sb_ttl_is_past(now_ms, time_ms, state->spec.ttl_ms))
        *key_out = (sabot_text){(const char *)at->data + PREFIX + 3, key_end - PREFIX - 3};
    if (status != SABOT_OK) {
        (void)rows->type->end(walk, NULL);
        return status;
    }
    return rows->type->end(walk, error);
}

sabot_status sb_spill_sweep_lists(struct sb_vault *vault,
                                  struct sb_state *state,
                                  int64_t now_ms,
                                  sabot_error *error)
{
    for (uint32_t i = 0; i < LISTS_AT_ONCE; i++) {
        struct sb_key key = {{NULL, 0}, 0};
        struct sb_cell *cell = NULL;
        sb_ref ref = 0;

        SABOT_TRY(next_expired(vault, state, now_ms, &key.text, error));
        if (key.text.data == NULL)
            continue;
        key.hash = sb_hash(key.text.data, key.text.size, vault->config.hash_seed);
        if (sb_key_find(vault, state, key, &cell) != 0)
            continue; /* the sweep of memory knows better */
        SABOT_TRY(sb_spill_load_key(vault, state, key, &cell, &ref, error));
        sb_list_erase(vault, state, key.hash, ref);
    }
    return SABOT_OK;
}

/* --- Snapshots ----------------------------------------------------------------------------------
 */

sabot_status sb_spill_each(struct sb_vault *vault,
                           const struct sb_state *state,
                           uint32_t shard,
                           sb_spill_function each,
                           void *context,
                           sabot_error *error)
{
    struct sb_rows *rows = vault->config.rows;
    struct sb_rows_walk *walk;
    sabot_status status = SABOT_OK;
    sabot_text key;
    sabot_text value;

    row_begin(vault, state, shard);
    SABOT_TRY(rows->type->walk(rows, row_text(vault), row_text(vault), &walk, error));
    while (status == SABOT_OK && rows->type->next(walk, &key, &value))
        status = each(context, (sabot_text){key.data + PREFIX, key.size - PREFIX}, value);
    SABOT_TRY(rows->type->end(walk, error));
    return status;
}
