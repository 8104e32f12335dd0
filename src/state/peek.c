/* SPDX-License-Identifier: Apache-2.0 */
/* peek.c - reading a snapshot by its own tables; snapshot.h has its form.
 *
 * Threads: the caller's. Memory: what peek.h says. */
#include "state/peek.h"

#include <string.h>

static sabot_status damaged(struct sb_peek *peek, const char *what)
{
    sb_in_damaged(&peek->in, what);
    return peek->in.status;
}

static sabot_status no_memory(const struct sb_peek *peek)
{
    return sabot_raise(peek->error, SABOT_ERR_MEMORY, "no memory to read a snapshot");
}

/* --- The head -----------------------------------------------------------------------------------
 */

static sabot_status read_name(struct sb_peek *peek, const char **name_out)
{
    char name[SABOT_FIELD_PATH_MAX + 1];

    sb_in_text(&peek->in, name, sizeof name);
    SABOT_TRY(peek->in.status);
    *name_out = sb_arena_copy(&peek->arena, name, strlen(name));
    return *name_out == NULL ? no_memory(peek) : SABOT_OK;
}

static sabot_status read_field(struct sb_peek *peek, bool in_row, struct sb_peek_field *field)
{
    struct sb_layout_stored stored;

    sb_layout_read_field(&peek->in, in_row, &stored);
    SABOT_TRY(peek->in.status);
    field->path = sb_arena_copy(&peek->arena, stored.path, strlen(stored.path));
    field->type = stored.type;
    field->size = stored.size;
    field->count = stored.count;
    return field->path == NULL ? no_memory(peek) : SABOT_OK;
}

static sabot_status read_table(struct sb_peek *peek, struct sb_peek_state *state)
{
    SABOT_TRY(read_name(peek, &state->schema));
    state->version = sb_in_u32(&peek->in);
    state->field_count = sb_layout_read_count(&peek->in);
    SABOT_TRY(peek->in.status);
    state->fields = sb_arena_alloc(&peek->arena, state->field_count * sizeof *state->fields);
    if (state->fields == NULL)
        return no_memory(peek);
    for (uint32_t i = 0; i < state->field_count; i++) {
        SABOT_TRY(read_field(peek, state->has_rows, &state->fields[i]));
        state->packed_size += state->fields[i].size;
        if (state->packed_size > SB_STATE_FIXED_MAX)
            return damaged(peek, "the fields are too large");
    }
    return SABOT_OK;
}

static sabot_status read_state(struct sb_peek *peek, struct sb_peek_state *state)
{
    uint8_t flags;

    SABOT_TRY(read_name(peek, &state->name));
    state->kind = (enum sb_state_kind)sb_in_u8(&peek->in);
    flags = sb_in_u8(&peek->in);
    SABOT_TRY(peek->in.status);
    if (state->kind < SB_STATE_VALUE || state->kind > SB_STATE_TIMERS)
        return damaged(peek, "no such kind of state");
    if ((flags & ~(SB_SNAP_HAS_TIME | SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS)) != 0)
        return damaged(peek, "no such flags of a state");
    state->has_time = (flags & SB_SNAP_HAS_TIME) != 0;
    state->has_rows = (flags & SB_SNAP_HAS_ROWS) != 0;
    if ((flags & (SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS)) == 0)
        return SABOT_OK;
    return read_table(peek, state);
}

static sabot_status read_head(struct sb_peek *peek)
{
    char magic[sizeof SB_SNAP_MAGIC];
    uint32_t format;

    sb_in_bytes(&peek->in, magic, sizeof magic);
    SABOT_TRY(peek->in.status);
    if (memcmp(magic, SB_SNAP_MAGIC, sizeof magic) != 0)
        return damaged(peek, "it is no snapshot of a shard");
    format = sb_in_u16(&peek->in);
    if (peek->in.status == SABOT_OK && format != SB_SNAP_FORMAT)
        return sabot_raise(peek->error, SABOT_ERR_UNSUPPORTED,
                           "the snapshot has format %u, this Sabot reads format %d", format,
                           SB_SNAP_FORMAT);
    peek->shard = sb_in_u16(&peek->in);
    (void)sb_in_u64(&peek->in); /* the hash seed: the manifest has it as well */
    peek->state_count = sb_in_u16(&peek->in);
    SABOT_TRY(peek->in.status);
    if (peek->shard >= SB_SHARD_COUNT || peek->state_count > SB_STATES_MAX)
        return damaged(peek, "no such shard or count of states");
    peek->states = sb_arena_alloc(&peek->arena, (peek->state_count + 1) * sizeof *peek->states);
    if (peek->states == NULL)
        return no_memory(peek);
    for (uint32_t i = 0; i < peek->state_count; i++)
        SABOT_TRY(read_state(peek, &peek->states[i]));
    return SABOT_OK;
}

sabot_status sb_peek_begin(struct sb_peek *peek,
                           const struct sb_env *env,
                           const struct sb_byte_source *source,
                           sabot_error *error)
{
    *peek = (struct sb_peek){.error = error};
    sb_arena_init(&peek->arena, env);
    sb_buffer_init(&peek->key, env);
    sb_buffer_init(&peek->entry, env);
    sb_buffer_init(&peek->value, env);
    peek->in.env = env; /* so that reset() may follow whatever fails */
    SABOT_TRY(sb_in_init(&peek->in, env, source, error));
    return read_head(peek);
}

void sb_peek_reset(struct sb_peek *peek)
{
    sb_arena_reset(&peek->arena);
    sb_buffer_reset(&peek->key);
    sb_buffer_reset(&peek->entry);
    sb_buffer_reset(&peek->value);
    sb_in_reset(&peek->in);
}

/* --- Rows ---------------------------------------------------------------------------------------
 */

static sabot_status read_bytes(struct sb_peek *peek,
                               struct sb_buffer *buffer,
                               uint32_t size,
                               sabot_text *text_out)
{
    buffer->size = 0;
    if (sb_buffer_reserve(buffer, (size_t)size + 1) != SABOT_OK)
        return no_memory(peek);
    sb_in_bytes(&peek->in, buffer->data, size);
    buffer->size = size;
    *text_out = (sabot_text){(const char *)buffer->data, size};
    return peek->in.status;
}

static sabot_status read_key(struct sb_peek *peek, struct sb_buffer *buffer, sabot_text *text_out)
{
    const uint32_t size = sb_in_u32(&peek->in);

    SABOT_TRY(peek->in.status);
    if (size > SB_STATE_KEY_MAX)
        return damaged(peek, "a key is too long");
    return read_bytes(peek, buffer, size, text_out);
}

static sabot_status read_value(struct sb_peek *peek)
{
    const struct sb_peek_state *state = peek->row.state;
    uint32_t size = state->packed_size;

    if (state->schema == NULL || state->has_rows)
        size = sb_in_u32(&peek->in);
    SABOT_TRY(peek->in.status);
    if (size > SB_STATE_VALUE_MAX)
        return damaged(peek, "a value is too large");
    return read_bytes(peek, &peek->value, size, &peek->row.value);
}

static void read_time(struct sb_peek *peek)
{
    if (peek->row.state->has_time)
        peek->row.time_ms = (int64_t)sb_in_u64(&peek->in);
}

/* Which state, and with that: what is known of a row before it is read. */
static sabot_status begin_row(struct sb_peek *peek)
{
    const uint32_t index = sb_in_u16(&peek->in);

    SABOT_TRY(peek->in.status);
    if (index >= peek->state_count)
        return damaged(peek, "no such state");
    peek->row =
        (struct sb_peek_row){.state = &peek->states[index], .begins_key = true, .element = -1};
    return SABOT_OK;
}

/* SABOT_AGAIN: it has no value of its own, what follows has. */
static sabot_status read_key_row(struct sb_peek *peek)
{
    SABOT_TRY(begin_row(peek));
    if (peek->row.state->kind == SB_STATE_TIMERS)
        return damaged(peek, "a key of timers");
    SABOT_TRY(read_key(peek, &peek->key, &peek->row.key));
    if (peek->row.state->kind == SB_STATE_MAP)
        return SABOT_AGAIN;
    read_time(peek);
    if (peek->row.state->kind != SB_STATE_LIST)
        return read_value(peek);
    peek->elements = sb_in_u64(&peek->in);
    SABOT_TRY(peek->in.status);
    return SABOT_AGAIN;
}

static sabot_status read_element(struct sb_peek *peek)
{
    peek->elements--;
    peek->row.begins_key = ++peek->row.element == 0;
    return read_value(peek);
}

static sabot_status read_entry_row(struct sb_peek *peek)
{
    if (peek->row.state == NULL || peek->row.state->kind != SB_STATE_MAP)
        return damaged(peek, "an entry without a map");
    peek->row.begins_key = !peek->row.has_entry;
    peek->row.has_entry = true;
    SABOT_TRY(read_key(peek, &peek->entry, &peek->row.entry));
    read_time(peek);
    return read_value(peek);
}

static sabot_status read_timer_row(struct sb_peek *peek)
{
    SABOT_TRY(begin_row(peek));
    if (peek->row.state->kind != SB_STATE_TIMERS)
        return damaged(peek, "a timer of a state that has none");
    peek->row.time_ms = (int64_t)sb_in_u64(&peek->in);
    return read_key(peek, &peek->key, &peek->row.key);
}

static sabot_status read_end(struct sb_peek *peek)
{
    if (sb_in_u64(&peek->in) != peek->rows)
        return damaged(peek, "rows are missing");
    sb_in_end(&peek->in);
    return peek->in.status == SABOT_OK ? SABOT_END : peek->in.status;
}

sabot_status sb_peek_next(struct sb_peek *peek)
{
    sabot_status status = SABOT_AGAIN;

    while (status == SABOT_AGAIN) {
        if (peek->elements > 0)
            return read_element(peek);
        const uint8_t row = sb_in_u8(&peek->in);

        SABOT_TRY(peek->in.status);
        switch (row) {
        case SB_SNAP_KEY: status = read_key_row(peek); break;
        case SB_SNAP_ENTRY: status = read_entry_row(peek); break;
        case SB_SNAP_TIMER: status = read_timer_row(peek); break;
        case SB_SNAP_END: return read_end(peek);
        default: return damaged(peek, "no such row");
        }
        peek->rows++;
    }
    return status;
}
