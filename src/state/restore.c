/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - a snapshot of one shard into a store; see snapshot.h for its form.
 *
 * The stream is not trusted: every number is checked before it is used, and what doesn't fit is
 * SABOT_ERR_CORRUPT. States are matched by name, fields by name (layout.h).
 *
 * Threads: the store's. Memory: one block, a value and two keys, and a plan per state. */
#include <stdio.h>

#include "base/mutant.h"
#include "state/row.h"
#include "state/snapshot.h"
#include "state/vault.h"

#include "base/mem.h"

/* A state of the snapshot. */
struct source {
    struct sb_state *state; /* of the store; NULL: it has none of the name, and passes it over */
    enum sb_state_kind kind;
    uint32_t packed_size; /* without a state: bytes of its struct */
    bool has_time;
    bool has_struct;
    bool has_rows;
    uint32_t row_checksum;   /* has_rows: of the app's table */
    struct sb_layout layout; /* has_struct, has_rows */
};

struct reader {
    struct sb_vault *vault;
    struct sb_in in;
    uint32_t shard;
    uint32_t source_count;
    struct source *sources;
    struct source *source; /* of the last key row */
    uint64_t key_hash;
    struct sb_buffer key;
    struct sb_buffer entry;
    struct sb_buffer packed;
    struct sb_buffer record; /* of a row that is packed anew */
    struct sb_buffer value;
    uint64_t rows;
    sabot_error *error;
};

static sabot_status damaged(struct reader *reader, const char *what)
{
    sb_in_damaged(&reader->in, what);
    return reader->in.status;
}

static sabot_text text_of(const struct sb_buffer *buffer)
{
    return (sabot_text){buffer->data == NULL ? "" : (const char *)buffer->data, buffer->size};
}

/* --- The head -----------------------------------------------------------------------------------
 */

static struct sb_state *state_named(struct sb_vault *vault, const char *name)
{
    for (uint32_t i = 0; i < vault->config.state_count; i++)
        if (strcmp(vault->states[i].spec.name, name) == 0)
            return &vault->states[i];
    return NULL;
}

static const char *form_name(bool has_struct, bool has_rows)
{
    if (has_rows)
        return "rows with texts";
    return has_struct ? "a struct" : "bytes";
}

static sabot_status check_state(struct reader *reader,
                                const struct source *source,
                                const char *name,
                                uint8_t kind)
{
    const struct sb_vault *vault = reader->vault;
    const struct sb_state *state = source->state;

    if (state == NULL && vault->config.drops_unknown)
        return SABOT_OK;
    if (state == NULL)
        return sabot_raise(reader->error, SABOT_ERR_SCHEMA,
                           "the snapshot has a state %s that agent %s does not declare: "
                           "--drop-state forgets it",
                           name, vault->config.owner);
    if (kind != (uint8_t)state->spec.kind)
        return sabot_raise(
            reader->error, SABOT_ERR_SCHEMA,
            "state %s of agent %s: another kind of state in the snapshot than in the "
            "app: give it another name",
            name, vault->config.owner);
    if (source->has_struct != (state->fixed_size > 0) ||
        source->has_rows != (state->spec.row_schema != NULL))
        return sabot_raise(reader->error, SABOT_ERR_SCHEMA,
                           "state %s of agent %s: it holds %s in the snapshot and %s in the app",
                           name, vault->config.owner,
                           form_name(source->has_struct, source->has_rows),
                           form_name(state->fixed_size > 0, state->spec.row_schema != NULL));
    return SABOT_OK;
}

/* The table of a struct that nobody wants: how large is it? */
static sabot_status skip_table(struct reader *reader, struct source *source)
{
    struct sb_layout_stored field;
    uint32_t fields;

    sb_in_text(&reader->in, field.path, sizeof field.path); /* the name */
    (void)sb_in_u32(&reader->in);                           /* the version */
    fields = sb_layout_read_count(&reader->in);
    for (uint32_t i = 0; i < fields && reader->in.status == SABOT_OK; i++) {
        sb_layout_read_field(&reader->in, source->has_rows, &field);
        source->packed_size += field.size;
        if (reader->in.status == SABOT_OK && source->packed_size > SB_STATE_FIXED_MAX)
            sb_in_damaged(&reader->in, "the fields are too large");
    }
    return reader->in.status;
}

static sabot_status plan_fields(struct reader *reader, struct source *source)
{
    const struct sb_state_spec *spec = &source->state->spec;
    char name[2 * SABOT_NAME_MAX + 16];

    (void)snprintf(name, sizeof name, "%s of agent %s", spec->name, reader->vault->config.owner);
    if (source->has_rows)
        source->row_checksum = sb_row_checksum(spec->row_schema);
    return sb_layout_plan(&source->layout, &reader->in, source->has_rows,
                          source->has_rows ? spec->row_schema : spec->schema, name, reader->error);
}

static sabot_status read_state(struct reader *reader, struct source *source)
{
    char name[SABOT_NAME_MAX + 1];
    uint8_t kind;
    uint8_t flags;

    sb_in_text(&reader->in, name, sizeof name);
    kind = sb_in_u8(&reader->in);
    flags = sb_in_u8(&reader->in);
    SABOT_TRY(reader->in.status);
    if ((flags & ~(SB_SNAP_HAS_TIME | SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS)) != 0 ||
        (flags & (SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS)) ==
            (SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS))
        return damaged(reader, "no such flags of a state");
    source->state = state_named(reader->vault, name);
    source->has_time = (flags & SB_SNAP_HAS_TIME) != 0;
    source->has_struct = (flags & SB_SNAP_HAS_STRUCT) != 0;
    source->has_rows = (flags & SB_SNAP_HAS_ROWS) != 0;
    source->kind = (enum sb_state_kind)kind;
    if (kind < SB_STATE_VALUE || kind > SB_STATE_TIMERS)
        return damaged(reader, "no such kind of state");
    SABOT_TRY(check_state(reader, source, name, kind));
    for (const struct source *other = reader->sources; other < source; other++)
        if (source->state != NULL && other->state == source->state)
            return damaged(reader, "a state comes twice");
    if (!source->has_struct && !source->has_rows)
        return SABOT_OK;
    if (source->state == NULL)
        return skip_table(reader, source);
    return plan_fields(reader, source);
}

static sabot_status read_head(struct reader *reader)
{
    const struct sb_env *env = reader->vault->config.env;
    char magic[sizeof SB_SNAP_MAGIC];
    uint32_t format;
    uint64_t seed;

    sb_in_bytes(&reader->in, magic, sizeof magic);
    SABOT_TRY(reader->in.status);
    if (memcmp(magic, SB_SNAP_MAGIC, sizeof magic) != 0)
        return damaged(reader, "it is no snapshot of a shard");
    format = sb_in_u16(&reader->in);
    if (reader->in.status == SABOT_OK && format != SB_SNAP_FORMAT)
        return sabot_raise(reader->error, SABOT_ERR_UNSUPPORTED,
                           "the snapshot has format %u, this Sabot reads format %d", format,
                           SB_SNAP_FORMAT);
    reader->shard = sb_in_u16(&reader->in);
    seed = sb_in_u64(&reader->in);
    reader->source_count = sb_in_u16(&reader->in);
    SABOT_TRY(reader->in.status);
    if (reader->shard >= SB_SHARD_COUNT || reader->source_count > SB_STATES_MAX)
        return damaged(reader, "no such shard or count of states");
    if (seed != reader->vault->config.hash_seed)
        return sabot_raise(reader->error, SABOT_ERR_CONFIG,
                           "the snapshot was made with another hash seed: its keys belong to other "
                           "shards");
    reader->sources = sb_alloc_array(env, SB_STATES_MAX, sizeof *reader->sources);
    if (reader->sources == NULL)
        return sabot_raise(reader->error, SABOT_ERR_MEMORY, "no memory to restore a snapshot");
    for (uint32_t i = 0; i < reader->source_count; i++)
        SABOT_TRY(read_state(reader, &reader->sources[i]));
    return SABOT_OK;
}

/* --- Values -------------------------------------------------------------------------------------
 */

static sabot_status read_bytes(struct reader *reader, struct sb_buffer *buffer, uint32_t size)
{
    buffer->size = 0;
    if (sb_buffer_reserve(buffer, size) != SABOT_OK)
        return sabot_raise(reader->error, SABOT_ERR_MEMORY, "no memory to restore a snapshot");
    if (size > 0)
        sb_in_bytes(&reader->in, buffer->data, size);
    buffer->size = size;
    return reader->in.status;
}

static sabot_status read_key(struct reader *reader, struct sb_buffer *buffer)
{
    const uint32_t size = sb_in_u32(&reader->in);

    SABOT_TRY(reader->in.status);
    if (size > SB_STATE_KEY_MAX)
        return damaged(reader, "a key is too long");
    return read_bytes(reader, buffer, size);
}

static sabot_status no_memory(const struct reader *reader)
{
    return sabot_raise(reader->error, SABOT_ERR_MEMORY, "no memory to restore a snapshot");
}

/* The fields of a row one behind the other, texts as sabot_text: as those of a struct are. */
static bool flatten_row(struct sb_row_rest *rest, const struct sb_layout *layout, uint8_t *flat)
{
    for (uint32_t i = 0; i < layout->field_count; i++) {
        const struct sb_layout_field *field = &layout->fields[i];

        if (!sb_row_take(rest, field->type, field->size, flat))
            return false;
        flat += field->size;
    }
    return rest->size == 0;
}

/* The row in `value`, by the app's table: through a struct, when the snapshot has another one. */
static sabot_status migrate_row(struct reader *reader)
{
    const struct source *source = reader->source;
    const struct sb_schema *schema = source->state->spec.row_schema;
    struct sb_row_rest rest;
    uint32_t checksum;
    size_t size;

    if (!sb_row_begin(&rest, text_of(&reader->value), &checksum))
        return damaged(reader, "a row is too short");
    if (checksum == source->row_checksum)
        return SABOT_OK;
    reader->packed.size = 0;
    reader->record.size = 0;
    if (sb_buffer_reserve(&reader->packed, source->layout.packed_size) != SABOT_OK ||
        sb_buffer_reserve(&reader->record, schema->record_size) != SABOT_OK)
        return no_memory(reader);
    if (!flatten_row(&rest, &source->layout, reader->packed.data))
        return damaged(reader, "a row has not the fields of its table");
    memset(reader->record.data, 0, schema->record_size);
    sb_layout_unpack(&source->layout, reader->packed.data, reader->record.data);
    size = sb_row_size(schema, reader->record.data);
    reader->packed.size = 0;
    if (sb_buffer_reserve(&reader->packed, size) != SABOT_OK)
        return no_memory(reader);
    sb_row_pack(schema, source->row_checksum, reader->record.data, reader->packed.data);
    reader->value.size = 0; /* the texts of the struct lay in it until now */
    return sb_buffer_append(&reader->value, reader->packed.data, size) == SABOT_OK
               ? SABOT_OK
               : no_memory(reader);
}

static sabot_status read_value(struct reader *reader)
{
    const struct source *source = reader->source;
    const uint32_t fixed = source->state->fixed_size;
    uint32_t size;

    if (!source->has_struct) {
        size = sb_in_u32(&reader->in);
        SABOT_TRY(reader->in.status);
        if (size > SB_STATE_VALUE_MAX)
            return damaged(reader, "a value is too large");
        SABOT_TRY(read_bytes(reader, &reader->value, size));
        return source->has_rows ? migrate_row(reader) : SABOT_OK;
    }
    SABOT_TRY(read_bytes(reader, &reader->packed, source->layout.packed_size));
    reader->value.size = 0;
    if (sb_buffer_reserve(&reader->value, fixed) != SABOT_OK)
        return sabot_raise(reader->error, SABOT_ERR_MEMORY, "no memory to restore a snapshot");
    memset(reader->value.data, 0, fixed);
    reader->value.size = fixed;
    sb_layout_unpack(&source->layout, reader->packed.data, reader->value.data);
    return SABOT_OK;
}

/* The time of the last refresh becomes that of what is written next; a state that got a time to
 * live since counts from the restore on. */
static sabot_status read_time(struct reader *reader)
{
    struct sb_store *store = &reader->vault->store;
    const enum sb_state_time clock = reader->source->state->spec.ttl_time;

    store->refresh_ms[clock] =
        clock == SB_TIME_EVENT ? store->watermark_ms : reader->vault->processing_ms;
    if (reader->source->has_time)
        store->refresh_ms[clock] = (int64_t)sb_in_u64(&reader->in);
    return reader->in.status;
}

/* --- Rows ---------------------------------------------------------------------------------------
 */

static sabot_status read_source(struct reader *reader)
{
    const uint32_t index = sb_in_u16(&reader->in);

    SABOT_TRY(reader->in.status);
    if (index >= reader->source_count)
        return damaged(reader, "no such state");
    reader->source = &reader->sources[index];
    return SABOT_OK;
}

/* A key, which must be of the shard. */
static sabot_status read_shard_key(struct reader *reader)
{
    SABOT_TRY(read_key(reader, &reader->key));
    reader->key_hash = sb_hash(reader->key.data, reader->key.size, reader->vault->config.hash_seed);
    if (sb_hash_shard(reader->key_hash) != reader->shard)
        return damaged(reader, "a key of another shard");
    return SABOT_OK;
}

/* --- Passing over --------------------------------------------------------------------------------
 */

static sabot_status skip_value(struct reader *reader)
{
    uint32_t size = reader->source->packed_size;

    if (!reader->source->has_struct) {
        size = sb_in_u32(&reader->in);
        SABOT_TRY(reader->in.status);
        if (size > SB_STATE_VALUE_MAX)
            return damaged(reader, "a value is too large");
    }
    return read_bytes(reader, &reader->value, size);
}

static void skip_time(struct reader *reader)
{
    if (reader->source->has_time)
        (void)sb_in_u64(&reader->in);
}

/* What stands behind the key. */
static sabot_status skip_key_row(struct reader *reader)
{
    uint64_t count = 1;

    if (reader->source->kind == SB_STATE_MAP)
        return SABOT_OK;
    skip_time(reader);
    if (reader->source->kind == SB_STATE_LIST)
        count = sb_in_u64(&reader->in);
    for (uint64_t i = 0; i < count && reader->in.status == SABOT_OK; i++)
        SABOT_TRY(skip_value(reader));
    return reader->in.status;
}

static sabot_status skip_entry_row(struct reader *reader)
{
    SABOT_TRY(read_key(reader, &reader->entry));
    skip_time(reader);
    return skip_value(reader);
}

static sabot_status read_list(struct reader *reader)
{
    struct sb_store *store = &reader->vault->store;
    const uint32_t state = reader->source->state->index;
    const uint64_t count = sb_in_u64(&reader->in);

    for (uint64_t i = 0; i < count && reader->in.status == SABOT_OK; i++) {
        SABOT_TRY(read_value(reader));
        SABOT_TRY(sb_list_append(store, state, text_of(&reader->key), reader->key_hash,
                                 text_of(&reader->value), reader->error));
    }
    return reader->in.status;
}

static sabot_status read_key_row(struct reader *reader)
{
    struct sb_store *store = &reader->vault->store;
    uint32_t state;

    SABOT_TRY(read_source(reader));
    if (reader->source->kind == SB_STATE_TIMERS)
        return damaged(reader, "a key of timers");
    SABOT_TRY(read_shard_key(reader));
    if (reader->source->state == NULL)
        return skip_key_row(reader);
    state = reader->source->state->index;
    if (reader->source->state->spec.kind == SB_STATE_MAP)
        return SABOT_OK;
    if (sb_store_has(store, state, text_of(&reader->key), reader->key_hash))
        return damaged(reader, "a key comes twice");
    SABOT_TRY(read_time(reader));
    if (reader->source->state->spec.kind == SB_STATE_LIST)
        return read_list(reader);
    SABOT_TRY(read_value(reader));
    return sb_store_put(store, state, text_of(&reader->key), reader->key_hash,
                        text_of(&reader->value), reader->error);
}

static sabot_status read_entry_row(struct reader *reader)
{
    if (reader->source == NULL || reader->source->kind != SB_STATE_MAP)
        return damaged(reader, "an entry without a map");
    if (reader->source->state == NULL)
        return skip_entry_row(reader);
    SABOT_TRY(read_key(reader, &reader->entry));
    SABOT_TRY(read_time(reader));
    SABOT_TRY(read_value(reader));
    return sb_map_put(&reader->vault->store, reader->source->state->index, text_of(&reader->key),
                      reader->key_hash, text_of(&reader->entry), text_of(&reader->value),
                      reader->error);
}

static sabot_status read_timer_row(struct reader *reader)
{
    int64_t time_ms;

    SABOT_TRY(read_source(reader));
    if (reader->source->kind != SB_STATE_TIMERS)
        return damaged(reader, "a timer of a state that has none");
    time_ms = (int64_t)sb_in_u64(&reader->in);
    SABOT_TRY(read_shard_key(reader));
    if (reader->source->state == NULL || SB_MUTANT(TIMERS_LOST))
        return SABOT_OK;
    if (SB_MUTANT(SAVEPOINT_TIMERS_LOST))
        return SABOT_OK;
    return sb_timer_set(&reader->vault->store, reader->source->state->index, text_of(&reader->key),
                        reader->key_hash, time_ms, reader->error);
}

static sabot_status read_rows(struct reader *reader)
{
    for (;;) {
        const uint8_t row = sb_in_u8(&reader->in);

        SABOT_TRY(reader->in.status);
        SABOT_TRY(sb_store_begin(&reader->vault->store, INT64_MIN, reader->error));
        switch (row) {
        case SB_SNAP_KEY: SABOT_TRY(read_key_row(reader)); break;
        case SB_SNAP_ENTRY: SABOT_TRY(read_entry_row(reader)); break;
        case SB_SNAP_TIMER: SABOT_TRY(read_timer_row(reader)); break;
        case SB_SNAP_END:
            if (sb_in_u64(&reader->in) != reader->rows)
                return damaged(reader, "rows are missing");
            sb_in_end(&reader->in);
            return reader->in.status;
        default: return damaged(reader, "no such row");
        }
        reader->rows++;
    }
}

static void reader_reset(struct reader *reader)
{
    const struct sb_env *env = reader->vault->config.env;

    for (uint32_t i = 0; reader->sources != NULL && i < SB_STATES_MAX; i++)
        sb_layout_reset(&reader->sources[i].layout);
    sb_free_array(env, reader->sources, SB_STATES_MAX, sizeof *reader->sources);
    sb_buffer_reset(&reader->key);
    sb_buffer_reset(&reader->entry);
    sb_buffer_reset(&reader->packed);
    sb_buffer_reset(&reader->record);
    sb_buffer_reset(&reader->value);
    sb_in_reset(&reader->in);
}

sabot_status sb_store_restore(struct sb_store *store,
                              const struct sb_byte_source *source,
                              sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct reader reader = {.vault = vault, .error = error};
    sabot_status status;

    SABOT_TRY(sb_in_init(&reader.in, vault->config.env, source, error));
    sb_buffer_init(&reader.key, vault->config.env);
    sb_buffer_init(&reader.entry, vault->config.env);
    sb_buffer_init(&reader.packed, vault->config.env);
    sb_buffer_init(&reader.record, vault->config.env);
    sb_buffer_init(&reader.value, vault->config.env);
    status = read_head(&reader);
    if (status == SABOT_OK)
        status = read_rows(&reader);
    if (status == SABOT_OK)
        status = sb_timer_settle(vault, error);
    reader_reset(&reader);
    store->refresh_ms[SB_TIME_PROCESSING] = vault->processing_ms;
    return status;
}
