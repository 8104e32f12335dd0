/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - one shard of a store as a stream of bytes; see snapshot.h for its form.
 *
 * Runs between callbacks, on the store's thread. Memory: one block, and 40 bytes for each key of
 * the state being written, to sort them. */
#include "state/snapshot.h"

#include <stdlib.h>

#include "state/vault.h"

struct item {
    const uint8_t *key;
    uint32_t size;
    sb_ref ref;
    int64_t time_ms; /* timers */
};

struct writer {
    struct sb_vault *vault;
    struct sb_state *state;
    uint32_t shard;
    struct sb_out *out;
    uint64_t rows;
    struct sb_buffer last; /* the key of the map being copied */
    bool began;
};

static int by_size_and_bytes(const void *one, const void *other)
{
    const struct item *a = one;
    const struct item *b = other;

    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->size == 0 ? 0 : memcmp(a->key, b->key, a->size);
}

static int by_time_and_bytes(const void *one, const void *other)
{
    const struct item *a = one;
    const struct item *b = other;

    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return sb_compare_bytes(a->key, a->size, b->key, b->size);
}

/* --- Rows ---------------------------------------------------------------------------------------
 */

static void write_value(const struct writer *writer, const void *value, uint32_t size)
{
    if (writer->state->fixed_size > 0) {
        sb_layout_pack(writer->out, writer->state->spec.schema, value);
        return;
    }
    sb_out_u32(writer->out, size);
    sb_out_bytes(writer->out, value, size);
}

static void write_key(struct writer *writer, const struct item *item)
{
    sb_out_u8(writer->out, SB_SNAP_KEY);
    sb_out_u16(writer->out, (uint16_t)writer->state->index);
    sb_out_u32(writer->out, item->size);
    sb_out_bytes(writer->out, item->key, item->size);
    writer->rows++;
}

static void write_list(struct writer *writer, const struct sb_cell *cell, sb_ref ref)
{
    const struct sb_list *list = (const void *)sb_cell_value(writer->state, cell);
    struct sb_walk walk = {.state = writer->state->index,
                           .shard = writer->shard,
                           .owner = ref,
                           .at = list->first_segment};
    sabot_text value;

    sb_out_u64(writer->out, list->next - list->first);
    while (sb_list_next(writer->vault, writer->state, &walk, &value))
        write_value(writer, value.data, (uint32_t)value.size);
}

static void write_map(struct writer *writer, const struct item *item, const struct sb_cell *cell)
{
    const struct sb_state *state = writer->state;
    const struct sb_map *map = (const void *)sb_cell_value(state, cell);
    bool began = false;
    sb_ref ref = map->tower[0];

    while (ref != 0) {
        const struct sb_cell *entry = sb_cell_at(&writer->vault->cells[writer->shard], ref);

        ref = sb_entry_of(state, entry)->tower[0];
        if (state->entries_expire && sb_state_expired(writer->vault, state, entry))
            continue;
        if (!began)
            write_key(writer, item);
        began = true;
        sb_out_u8(writer->out, SB_SNAP_ENTRY);
        sb_out_u32(writer->out, sb_cell_key_size(entry));
        sb_out_bytes(writer->out, sb_entry_key(state, entry), sb_cell_key_size(entry));
        if (state->entries_expire)
            sb_out_u64(writer->out, (uint64_t)sb_cell_time(entry));
        write_value(writer, sb_entry_value(state, entry), entry->size);
        writer->rows++;
    }
}

static void write_timer(struct writer *writer, const struct item *item)
{
    sb_out_u8(writer->out, SB_SNAP_TIMER);
    sb_out_u16(writer->out, (uint16_t)writer->state->index);
    sb_out_u64(writer->out, (uint64_t)item->time_ms);
    sb_out_u32(writer->out, item->size);
    sb_out_bytes(writer->out, item->key, item->size);
    writer->rows++;
}

static void write_item(struct writer *writer, const struct item *item)
{
    const struct sb_state *state = writer->state;
    const struct sb_cell *cell = sb_cell_at(&writer->vault->cells[writer->shard], item->ref);

    if (state->spec.kind == SB_STATE_TIMERS) {
        write_timer(writer, item);
        return;
    }
    if (state->spec.kind == SB_STATE_MAP) {
        write_map(writer, item, cell);
        return;
    }
    if (state->keys_expire && sb_state_expired(writer->vault, state, cell))
        return;
    write_key(writer, item);
    if (state->keys_expire)
        sb_out_u64(writer->out, (uint64_t)sb_cell_time(cell));
    if (state->spec.kind == SB_STATE_LIST)
        write_list(writer, cell, item->ref);
    else
        write_value(writer, sb_cell_value(state, cell), cell->size);
}

/* --- From rows ----------------------------------------------------------------------------------
 *
 * What was dirty has been written, so all is in rows, in the order of the snapshot. */

static sabot_status bad_row(const struct writer *writer)
{
    return sabot_raise(
        writer->out->error, SABOT_ERR_CORRUPT,
        "state %s of agent %s: a row makes no sense; restore from the last checkpoint",
        writer->state->spec.name, writer->vault->config.owner);
}

/* The key that a row begins with. False: there is none. */
static bool take_key(sabot_text *row, struct item *item)
{
    const uint8_t *bytes = (const uint8_t *)row->data;

    if (row->size < 3)
        return false;
    item->size = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
    item->key = bytes + 3;
    if (item->size > row->size - 3)
        return false;
    row->data += 3 + item->size;
    row->size -= 3 + item->size;
    return true;
}

/* The time that a value begins with; false: expired, or none there. */
static bool take_time(const struct writer *writer, sabot_text *value, int64_t *time_ms)
{
    struct sb_cell cell[3] = {{0, 0}};

    if (value->size < sizeof *time_ms)
        return false;
    memcpy(time_ms, value->data, sizeof *time_ms);
    value->data += sizeof *time_ms;
    value->size -= sizeof *time_ms;
    sb_cell_set_time(cell, *time_ms);
    return !sb_state_expired(writer->vault, writer->state, cell);
}

static sabot_status copy_value(void *context, sabot_text row, sabot_text value)
{
    struct writer *writer = context;
    struct item item;
    int64_t time_ms = 0;

    if (!take_key(&row, &item) || row.size != 0)
        return bad_row(writer);
    if (writer->state->keys_expire && !take_time(writer, &value, &time_ms))
        return SABOT_OK;
    if (writer->state->fixed_size > 0 && value.size != writer->state->fixed_size)
        return bad_row(writer);
    write_key(writer, &item);
    if (writer->state->keys_expire)
        sb_out_u64(writer->out, (uint64_t)time_ms);
    write_value(writer, value.data, (uint32_t)value.size);
    return writer->out->status;
}

static sabot_status copy_entry(void *context, sabot_text row, sabot_text value)
{
    struct writer *writer = context;
    struct item item;
    int64_t time_ms = 0;

    if (!take_key(&row, &item))
        return bad_row(writer);
    if (writer->state->entries_expire && !take_time(writer, &value, &time_ms))
        return SABOT_OK;
    if (writer->state->fixed_size > 0 && value.size != writer->state->fixed_size)
        return bad_row(writer);
    /* Rows of one map follow each other: the key is written before the first of them. */
    if (!writer->began || item.size != writer->last.size ||
        (item.size > 0 && memcmp(item.key, writer->last.data, item.size) != 0)) {
        write_key(writer, &item);
        writer->began = true;
        writer->last.size = 0;
        if (sb_buffer_append(&writer->last, item.key, item.size) != SABOT_OK)
            return sabot_raise(writer->out->error, SABOT_ERR_MEMORY, "no memory for a snapshot");
    }
    sb_out_u8(writer->out, SB_SNAP_ENTRY);
    sb_out_u32(writer->out, (uint32_t)row.size);
    sb_out_bytes(writer->out, row.data, row.size);
    if (writer->state->entries_expire)
        sb_out_u64(writer->out, (uint64_t)time_ms);
    write_value(writer, value.data, (uint32_t)value.size);
    writer->rows++;
    return writer->out->status;
}

/* The head of a list comes before its segments; with it the whole list is walked. */
static sabot_status copy_list(void *context, sabot_text row, sabot_text value)
{
    struct writer *writer = context;
    struct sb_store *store = &writer->vault->store;
    const uint32_t index = writer->state->index;
    struct sb_cursor cursor;
    struct item item;
    int64_t time_ms = 0;
    sabot_text element;
    sabot_text key;
    uint64_t hash;

    if (!take_key(&row, &item) || row.size == 0)
        return bad_row(writer);
    if (row.data[0] != 0 || (writer->state->keys_expire && !take_time(writer, &value, &time_ms)))
        return SABOT_OK;
    key = (sabot_text){(const char *)item.key, item.size};
    hash = sb_hash(key.data, key.size, writer->vault->config.hash_seed);
    SABOT_TRY(
        sb_store_scan(store, index, key, hash, (sabot_text){NULL, 0}, &cursor, writer->out->error));
    write_key(writer, &item);
    if (writer->state->keys_expire)
        sb_out_u64(writer->out, (uint64_t)time_ms);
    sb_out_u64(writer->out, sb_list_count(store, index, key, hash));
    while (sb_store_next(store, &cursor, NULL, &element))
        write_value(writer, element.data, (uint32_t)element.size);
    SABOT_TRY(sb_store_begin(store, INT64_MIN, writer->out->error));
    return writer->out->status;
}

static sabot_status copy_timer(void *context, sabot_text row, sabot_text value)
{
    struct writer *writer = context;
    struct item item;

    (void)value;
    if (row.size < 8)
        return bad_row(writer);
    item.time_ms = (int64_t)(sb_big_number((const uint8_t *)row.data) ^ (uint64_t)1 << 63);
    item.key = (const uint8_t *)row.data + 8;
    item.size = (uint32_t)row.size - 8;
    write_timer(writer, &item);
    return writer->out->status;
}

static sabot_status copy_rows(struct writer *writer, sabot_error *error)
{
    sb_spill_function each = copy_value;
    sabot_status status;

    if (writer->state->spec.kind == SB_STATE_MAP)
        each = copy_entry;
    else if (writer->state->spec.kind == SB_STATE_LIST)
        each = copy_list;
    else if (writer->state->wheel != NULL)
        each = copy_timer;
    writer->began = false;
    sb_buffer_init(&writer->last, writer->vault->config.env);
    status = sb_spill_each(writer->vault, writer->state, writer->shard, each, writer, error);
    sb_buffer_reset(&writer->last);
    return status;
}

/* --- The shard ----------------------------------------------------------------------------------
 */

static void write_head(const struct sb_vault *vault, uint32_t shard, struct sb_out *out)
{
    sb_out_bytes(out, SB_SNAP_MAGIC, sizeof SB_SNAP_MAGIC);
    sb_out_u16(out, SB_SNAP_FORMAT);
    sb_out_u16(out, (uint16_t)shard);
    sb_out_u64(out, vault->config.hash_seed);
    sb_out_u16(out, (uint16_t)vault->config.state_count);
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];
        const bool has_time = state->keys_expire || state->entries_expire;

        sb_out_text(out, state->spec.name);
        sb_out_u8(out, (uint8_t)state->spec.kind);
        sb_out_u8(out, (uint8_t)((has_time ? SB_SNAP_HAS_TIME : 0) |
                                 (state->fixed_size > 0 ? SB_SNAP_HAS_STRUCT : 0) |
                                 (state->spec.row_schema != NULL ? SB_SNAP_HAS_ROWS : 0)));
        if (state->fixed_size > 0)
            sb_layout_describe(out, state->spec.schema);
        if (state->spec.row_schema != NULL)
            sb_layout_describe(out, state->spec.row_schema);
    }
}

static sabot_status write_state(struct writer *writer, sabot_error *error)
{
    const struct sb_env *env = writer->vault->config.env;
    const struct sb_index *index = &writer->state->tables[writer->shard].keys;
    const uint32_t count = index->count;
    struct item *items;
    struct sb_slot slot;
    uint64_t at = 0;
    uint32_t filled = 0;

    if (count == 0)
        return SABOT_OK;
    items = sb_alloc_array(env, count, sizeof *items);
    if (items == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY,
                           "state %s of agent %s: no memory to sort %u keys for a snapshot",
                           writer->state->spec.name, writer->vault->config.owner, count);
    while (sb_index_walk(index, &at, &slot)) {
        const struct sb_cell *cell = sb_cell_at(&writer->vault->cells[writer->shard], slot.ref);

        SB_ASSERT(filled < count);
        items[filled++] = (struct item){
            .key = sb_cell_key(writer->state, cell),
            .size = sb_cell_key_size(cell),
            .ref = slot.ref,
            .time_ms = writer->state->wheel == NULL ? 0 : sb_cell_time(cell),
        };
    }
    qsort(items, filled, sizeof *items,
          writer->state->wheel == NULL ? by_size_and_bytes : by_time_and_bytes);
    for (uint32_t i = 0; i < filled && writer->out->status == SABOT_OK; i++)
        write_item(writer, &items[i]);
    sb_free_array(env, items, count, sizeof *items);
    return writer->out->status;
}

sabot_status sb_store_snapshot(struct sb_store *store,
                               uint32_t shard,
                               const struct sb_byte_sink *sink,
                               sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct writer writer = {.vault = vault, .shard = shard};
    sabot_status status = SABOT_OK;
    sabot_status written;
    struct sb_out out;

    SB_ASSERT(shard < SB_SHARD_COUNT);
    /* The clock of event time is the watermark now: there is no record. */
    SABOT_TRY(sb_store_begin(store, INT64_MIN, error));
    SABOT_TRY(sb_timer_settle(vault, error));
    SABOT_TRY(sb_spill_write_all(vault, error));
    SABOT_TRY(sb_out_init(&out, vault->config.env, sink, error));
    writer.out = &out;
    write_head(vault, shard, &out);
    for (uint32_t i = 0; i < vault->config.state_count && status == SABOT_OK; i++) {
        writer.state = &vault->states[i];
        status = writer.state->backed ? copy_rows(&writer, error) : write_state(&writer, error);
    }
    sb_out_u8(&out, SB_SNAP_END);
    sb_out_u64(&out, writer.rows);
    written = sb_out_finish(&out);
    return status != SABOT_OK ? status : written;
}
