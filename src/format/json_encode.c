/* SPDX-License-Identifier: Apache-2.0 */
/* json_encode.c - a row of columns into a record.
 *
 * The schema is compiled once into a list of steps, in the order in which bytes are written:
 *
 *   OPEN `,"card":{`   FIELD `,"country":` + value   FIELD `,"number":` + value   CLOSE `}`
 *
 * A comma is left out behind a brace, a field that is missing with its key, and an object in which
 * nothing was written as a whole, by going back to where it was opened. Room for everything but
 * long or escaped texts is made once per row.
 *
 * Memory: the steps, made at creation; `out` grows. Threads: the encoder's owner. */
#include <math.h>

#include "format/json_block.h"

#include "format/json.h"

enum {
    VALUE_MAX = 32,  /* bytes of any value but a text */
    ESCAPE_SIZE = 6, /* \u001f */
    LEAD_BLOCK = 32, /* bytes of a lead that are copied, whatever its size */
    TEXT_SLACK = 64, /* room behind a text for blocks and what closes it */
};

enum step_kind { STEP_FIELD, STEP_OPEN, STEP_CLOSE };

struct step {
    enum step_kind kind;
    uint32_t field;
    sabot_type type;
    uint32_t lead_size;
    const uint8_t *lead; /* `,"key":`, with the brace when it opens; then LEAD_BLOCK bytes more */
};

struct sb_encoder {
    const struct sb_env *env;
    const struct sb_schema *schema;
    struct sb_json_tree tree; /* its arena holds the steps too */
    struct step *steps;
    uint32_t step_count;
    size_t room; /* bytes of a row without the content of its texts */
};

static uint8_t *put(uint8_t *out, const void *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return out + size;
}

/* --- Texts ------------------------------------------------------------------------------------ */

static uint8_t *write_escape(uint8_t *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char short_forms[] = "btn\0fr"; /* of 8, 9, 10, 12, 13 */

    *out++ = '\\';
    if (byte == '"' || byte == '\\') {
        *out++ = byte;
        return out;
    }
    if (byte >= '\b' && byte <= '\r' && short_forms[byte - '\b'] != '\0') {
        *out++ = (uint8_t)short_forms[byte - '\b'];
        return out;
    }
    out = put(out, "u00", 3);
    *out++ = (uint8_t)digits[byte >> 4];
    *out++ = (uint8_t)digits[byte & 15];
    return out;
}

/* Copy a text and escape what has to be. `out` has room for six times its size. */
static uint8_t *write_escaped(uint8_t *out, const uint8_t *at, size_t size)
{
    for (const uint8_t *end = at + size; at < end; at++) {
        if (*at == '"' || *at == '\\' || *at < 0x20)
            out = write_escape(out, *at);
        else
            *out++ = *at;
    }
    return out;
}

/* Copy as much of a text as needs no escape; how much that was. Both sides have a block of room
 * behind the text: a column keeps SB_BATCH_SLACK there. */
static size_t copy_plain(uint8_t *out, const uint8_t *at, size_t size)
{
    for (size_t done = 0; done < size; done += SB_JSON_BLOCK) {
        const struct sb_json_block block = sb_json_block(at + done);
        size_t plain;

        memcpy(out + done, at + done, SB_JSON_BLOCK);
        if (block.stops == 0)
            continue;
        plain = done + (size_t)__builtin_ctz(block.stops);
        return plain < size ? plain : size;
    }
    return size;
}

/* Room for `size` more bytes and the rest of the row; false: no memory. */
static bool make_room(const struct sb_encoder *encoder,
                      struct sb_buffer *out,
                      uint8_t **at_io,
                      size_t size)
{
    const size_t used = (size_t)(*at_io - out->data);
    const size_t row_start = out->size;

    if (size > SIZE_MAX / 8 - encoder->room)
        return false;
    if (out->capacity - used >= size + encoder->room)
        return true;
    out->size = used;
    if (sb_buffer_reserve(out, size + encoder->room) != SABOT_OK) {
        out->size = row_start;
        return false;
    }
    out->size = row_start;
    *at_io = out->data + used;
    return true;
}

/* A text in quotes. NULL: no memory. */
static uint8_t *write_text(const struct sb_encoder *encoder,
                           struct sb_buffer *out,
                           uint8_t *at,
                           sabot_text text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    size_t plain;

    if (!make_room(encoder, out, &at, text.size))
        return NULL;
    *at++ = '"';
    plain = copy_plain(at, bytes, text.size);
    at += plain;
    if (plain < text.size) {
        if (!make_room(encoder, out, &at, (text.size - plain) * ESCAPE_SIZE))
            return NULL;
        at = write_escaped(at, bytes + plain, text.size - plain);
    }
    *at++ = '"';
    return at;
}

static uint8_t *write_binary(const struct sb_encoder *encoder,
                             struct sb_buffer *out,
                             uint8_t *at,
                             sabot_text text)
{
    if (!make_room(encoder, out, &at, sb_json_base64_size(text.size)))
        return NULL;
    *at++ = '"';
    at = sb_json_base64_encode(at, (const uint8_t *)text.data, text.size);
    *at++ = '"';
    return at;
}

/* --- Rows ------------------------------------------------------------------------------------- */

/* The value of a field that is there. NULL: no memory. */
static uint8_t *write_value(const struct sb_encoder *encoder,
                            const struct step *step,
                            const struct sb_batch *batch,
                            uint32_t row,
                            struct sb_buffer *out,
                            uint8_t *at)
{
    const uint32_t field = step->field;

    switch (step->type) {
    case SABOT_UTF8: return write_text(encoder, out, at, sb_batch_text(batch, field, row));
    case SABOT_BINARY: return write_binary(encoder, out, at, sb_batch_text(batch, field, row));
    case SABOT_INT32: return sb_json_write_int64(at, sb_batch_int32(batch, field, row));
    case SABOT_INT64:
    case SABOT_TIMESTAMP: return sb_json_write_int64(at, sb_batch_int64(batch, field, row));
    case SABOT_FLOAT64: return sb_json_write_float64(at, sb_batch_float64(batch, field, row));
    case SABOT_BOOL:
        return sb_batch_bool(batch, field, row) ? put(at, "true", 4) : put(at, "false", 5);
    case SABOT_CHARS: break;
    }
    SB_ASSERT(step->type != SABOT_CHARS); /* a record has none */
    return NULL;
}

/* The key of a step, with a comma unless it is the first of its object. */
static uint8_t *write_lead(uint8_t *at, const struct step *step)
{
    const uint32_t first = at[-1] == '{';

    const uint8_t *lead = step->lead + first;
    const size_t size = step->lead_size - first;

    memcpy(at, lead, LEAD_BLOCK); /* of a fixed size: no call */
    if (size > LEAD_BLOCK)
        memcpy(at + LEAD_BLOCK, lead + LEAD_BLOCK, size - LEAD_BLOCK);
    return at + size;
}

/* Every byte of a text may need the longest escape; base64 makes less of one than that. */
uint64_t sb_json_encoded_max(const struct sb_encoder *encoder,
                             const struct sb_batch *batch,
                             uint32_t row)
{
    uint64_t total = encoder->room;

    SB_ASSERT(row < batch->rows);
    for (uint32_t i = 0; i < batch->schema->field_count; i++) {
        const struct sb_column *column = &batch->columns[i];

        if (column->offsets != NULL)
            total += (uint64_t)(column->offsets[row + 1] - column->offsets[row]) * ESCAPE_SIZE + 4;
    }
    return total;
}

static bool is_unspeakable(const struct step *step, const struct sb_batch *batch, uint32_t row)
{
    return step->type == SABOT_FLOAT64 && !isfinite(sb_batch_float64(batch, step->field, row));
}

static sabot_status refuse_value(const struct sb_encoder *encoder,
                                 const struct step *step,
                                 double value,
                                 sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_SCHEMA,
                       "record of %s, field %s: JSON has no way to write %s", encoder->schema->name,
                       encoder->schema->fields[step->field].path,
                       isnan(value) ? "NaN"
                       : value > 0  ? "infinity"
                                    : "-infinity");
}

sabot_status sb_json_encode(struct sb_encoder *encoder,
                            const struct sb_batch *batch,
                            uint32_t row,
                            struct sb_buffer *out,
                            sabot_error *error)
{
    size_t opened[SABOT_FIELD_DEPTH_MAX]; /* bytes before each object that is open */
    uint32_t depth = 0;
    uint8_t *at;

    SB_ASSERT(batch->schema == encoder->schema);
    SB_ASSERT(row < batch->rows);
    if (sb_buffer_reserve(out, encoder->room) != SABOT_OK)
        goto no_memory;
    at = out->data + out->size;
    *at++ = '{';
    for (uint32_t i = 0; i < encoder->step_count; i++) {
        const struct step *step = &encoder->steps[i];

        if (step->kind == STEP_OPEN) {
            SB_ASSERT(depth < SABOT_FIELD_DEPTH_MAX);
            opened[depth++] = (size_t)(at - out->data);
            at = write_lead(at, step);
        } else if (step->kind == STEP_CLOSE) {
            SB_ASSERT(depth > 0);
            depth--;
            if (at[-1] == '{')
                at = out->data + opened[depth];
            else
                *at++ = '}';
        } else if (sb_column_has(&batch->columns[step->field], row)) {
            if (is_unspeakable(step, batch, row))
                return refuse_value(encoder, step, sb_batch_float64(batch, step->field, row),
                                    error);
            at = write_value(encoder, step, batch, row, out, write_lead(at, step));
            if (at == NULL)
                goto no_memory;
        }
    }
    *at++ = '}';
    out->size = (size_t)(at - out->data);
    SB_ASSERT(out->size <= out->capacity);
    return SABOT_OK;
no_memory:
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a record of %s",
                       encoder->schema->name);
}

/* --- Compiling -------------------------------------------------------------------------------- */

/* `,"key":` and for an object its brace. */
static sabot_status make_lead(struct sb_arena *arena,
                              const struct sb_json_member *member,
                              struct step *step)
{
    uint8_t *lead = sb_arena_alloc(arena, member->key_size * ESCAPE_SIZE + 5 + LEAD_BLOCK);
    uint8_t *end;

    if (lead == NULL)
        return SABOT_ERR_MEMORY;
    step->lead = lead;
    *lead++ = ',';
    *lead++ = '"';
    end = write_escaped(lead, (const uint8_t *)member->key, member->key_size);
    *end++ = '"';
    *end++ = ':';
    if (step->kind == STEP_OPEN)
        *end++ = '{';
    step->lead_size = (uint32_t)(end - step->lead);
    return SABOT_OK;
}

/* The steps of the tree, depth first. */
static sabot_status compile(struct sb_encoder *encoder)
{
    const struct sb_json_member *behind[SABOT_FIELD_DEPTH_MAX]; /* each object that is open */
    const struct sb_json_member *member = encoder->tree.root->members;
    uint32_t depth = 0;

    while (member != NULL || depth > 0) {
        struct step *step = &encoder->steps[encoder->step_count++];

        if (member == NULL) {
            step->kind = STEP_CLOSE;
            member = behind[--depth];
            continue;
        }
        step->kind = member->type == SB_JSON_NESTED ? STEP_OPEN : STEP_FIELD;
        step->field = member->field;
        step->type = (sabot_type)member->type;
        SABOT_TRY(make_lead(&encoder->tree.arena, member, step));
        encoder->room += step->lead_size + VALUE_MAX;
        if (step->kind == STEP_OPEN) {
            behind[depth++] = member->sibling;
            member = member->object->members;
        } else {
            member = member->sibling;
        }
    }
    return SABOT_OK;
}

static sabot_status prepare(struct sb_encoder *encoder)
{
    /* Each step of a path at most opens and closes an object. */
    const size_t steps_max = (size_t)encoder->schema->field_count * SABOT_FIELD_DEPTH_MAX * 2;

    encoder->room = 2 + TEXT_SLACK;
    SABOT_TRY(sb_json_tree_init(&encoder->tree, encoder->env, encoder->schema));
    encoder->steps = sb_arena_alloc(&encoder->tree.arena, steps_max * sizeof *encoder->steps);
    if (encoder->steps == NULL)
        return SABOT_ERR_MEMORY;
    return compile(encoder);
}

sabot_status sb_json_encoder_create(const struct sb_env *env,
                                    const struct sb_schema *schema,
                                    struct sb_encoder **encoder_out,
                                    sabot_error *error)
{
    struct sb_encoder *encoder = sb_alloc(env, sizeof *encoder);

    *encoder_out = NULL;
    if (encoder != NULL) {
        encoder->env = env;
        encoder->schema = schema;
        sb_arena_init(&encoder->tree.arena, env);
    }
    if (encoder == NULL || prepare(encoder) != SABOT_OK) {
        sb_json_encoder_destroy(encoder);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an encoder of %s", schema->name);
    }
    *encoder_out = encoder;
    return SABOT_OK;
}

void sb_json_encoder_destroy(struct sb_encoder *encoder)
{
    if (encoder == NULL)
        return;
    sb_json_tree_reset(&encoder->tree);
    sb_free(encoder->env, encoder, sizeof *encoder);
}
