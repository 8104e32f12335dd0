/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_json.c - keys and values of a snapshot as JSON, by the types that it names.
 *
 * What is printed can be read by any JSON parser, whatever the bytes are: a key that is no UTF-8
 * becomes "0x..." (so that two keys never look alike), a text of a struct that was cut in the
 * middle of a letter gets U+FFFD there, and a number that JSON doesn't have is a text.
 *
 * Threads: stateless. Memory: the caller's buffer. */
#include "api/inspect.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/parse.h"
#include "data/batch.h"
#include "state/peek.h"
#include "state/row.h"

enum { INTEGER_KEY_SIZE = 8 };

static const uint64_t sign_bit = UINT64_C(0x8000000000000000);

static uint64_t big_endian(const char *bytes)
{
    uint64_t number = 0;

    for (size_t i = 0; i < INTEGER_KEY_SIZE; i++)
        number = number << 8 | (uint8_t)bytes[i];
    return number;
}

static uint64_t little_endian(const uint8_t *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}

/* --- Texts and bytes -----------------------------------------------------------------------------
 */

static sabot_status append_text(struct sb_buffer *out, const char *text)
{
    return sb_buffer_append(out, text, strlen(text));
}

static sabot_status append_hex(struct sb_buffer *out, sabot_text bytes)
{
    SABOT_TRY(append_text(out, "\"0x"));
    for (size_t i = 0; i < bytes.size; i++)
        SABOT_TRY(sb_buffer_format(out, "%02x", (uint8_t)bytes.data[i]));
    return append_text(out, "\"");
}

/* How many bytes the letter at the beginning has; 0: it is none. */
static size_t letter_size(const char *bytes, size_t size)
{
    for (size_t length = 1; length <= 4 && length <= size; length++)
        if (sb_utf8_valid(bytes, length))
            return length;
    return 0;
}

static sabot_status append_string(struct sb_buffer *out, sabot_text text)
{
    SABOT_TRY(append_text(out, "\""));
    for (size_t at = 0; at < text.size;) {
        const char byte = text.data[at];
        const size_t size = letter_size(text.data + at, text.size - at);

        if (size == 0)
            SABOT_TRY(append_text(out, "\xef\xbf\xbd"));
        else if (byte == '"' || byte == '\\')
            SABOT_TRY(sb_buffer_format(out, "\\%c", byte));
        else if (size == 1 && ((uint8_t)byte < ' ' || byte == 0x7f))
            SABOT_TRY(sb_buffer_format(out, "\\u%04x", (unsigned)byte));
        else
            SABOT_TRY(sb_buffer_append(out, text.data + at, size));
        at += size == 0 ? 1 : size;
    }
    return append_text(out, "\"");
}

/* Text when it is one. */
static sabot_status append_guess(struct sb_buffer *out, sabot_text bytes)
{
    if (sb_utf8_valid(bytes.data, bytes.size) && memchr(bytes.data, '\0', bytes.size) == NULL)
        return append_string(out, bytes);
    return append_hex(out, bytes);
}

/* --- Keys ----------------------------------------------------------------------------------------
 */

static bool is_integer(uint32_t type)
{
    return type == SABOT_INT32 || type == SABOT_INT64 || type == SABOT_TIMESTAMP;
}

sabot_status sb_inspect_key_json(struct sb_buffer *out, sabot_text key, uint32_t type)
{
    if (type == SABOT_BINARY)
        return append_hex(out, key);
    if (type == SABOT_UTF8 && sb_utf8_valid(key.data, key.size))
        return append_string(out, key);
    if (key.size == 0 && (is_integer(type) || type == SABOT_BOOL))
        return append_text(out, "null"); /* of records without one */
    if (is_integer(type) && key.size == INTEGER_KEY_SIZE)
        return sb_buffer_format(out, "%" PRId64, (int64_t)(big_endian(key.data) ^ sign_bit));
    if (type == SABOT_BOOL && key.size == 1)
        return append_text(out, key.data[0] != 0 ? "true" : "false");
    return append_guess(out, key);
}

enum { NO_DIGIT = 16 };

static uint32_t digit_value(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit == '\0' ? NULL : strchr(digits, digit);

    return at == NULL ? NO_DIGIT : (uint32_t)(at - digits);
}

static sabot_status parse_hex(struct sb_buffer *out, const char *text, sabot_error *error)
{
    for (const char *at = text + 2; *at != '\0'; at += 2) {
        const uint32_t high = digit_value(at[0]);
        const uint32_t low = digit_value(at[1]);
        const uint8_t byte = (uint8_t)(high << 4 | low);

        if (high == NO_DIGIT || low == NO_DIGIT)
            return sabot_raise(error, SABOT_ERR_ARGUMENT,
                               "key %.64s: expected pairs of 0-9 a-f behind 0x", text);
        if (sb_buffer_append(out, &byte, 1) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a key");
    }
    return SABOT_OK;
}

sabot_status sb_inspect_key_parse(struct sb_buffer *out,
                                  const char *text,
                                  uint32_t type,
                                  sabot_error *error)
{
    const bool may_be_hex = type == SABOT_BINARY || type == 0;
    uint8_t bytes[INTEGER_KEY_SIZE];
    size_t size = sizeof bytes;
    int64_t number = 0;
    bool flag = false;

    if (may_be_hex && strncmp(text, "0x", 2) == 0)
        return parse_hex(out, text, error);
    if (may_be_hex || type == SABOT_UTF8) {
        if (sb_buffer_append(out, text, strlen(text)) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a key");
        return SABOT_OK;
    }
    if (strcmp(text, "null") == 0)
        return SABOT_OK;
    if (type == SABOT_BOOL ? !sb_parse_bool(text, &flag) : !sb_parse_int64(text, &number))
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "key %.64s: keys are %s here", text,
                           sabot_type_name((sabot_type)type));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(((uint64_t)number ^ sign_bit) >> (8 * (7 - i)));
    if (type == SABOT_BOOL) {
        bytes[0] = flag;
        size = 1;
    }
    if (sb_buffer_append(out, bytes, size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a key");
    return SABOT_OK;
}

/* --- Values --------------------------------------------------------------------------------------
 */

static sabot_status append_float(struct sb_buffer *out, uint64_t bits)
{
    char text[SB_FLOAT64_TEXT_SIZE];
    double number;

    memcpy(&number, &bits, sizeof number);
    if (isnan(number))
        return append_text(out, "\"NaN\"");
    if (isinf(number))
        return append_text(out, number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    sb_write_float64(text, number);
    return append_text(out, text);
}

static sabot_status append_element(struct sb_buffer *out,
                                   sabot_type type,
                                   const uint8_t *bytes,
                                   size_t size)
{
    const char *text = (const char *)bytes;

    switch (type) {
    case SABOT_BOOL: return append_text(out, bytes[0] != 0 ? "true" : "false");
    case SABOT_INT32:
        return sb_buffer_format(out, "%" PRId32, (int32_t)(uint32_t)little_endian(bytes, 4));
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
        return sb_buffer_format(out, "%" PRId64, (int64_t)little_endian(bytes, 8));
    case SABOT_FLOAT64: return append_float(out, little_endian(bytes, 8));
    case SABOT_CHARS:
    case SABOT_UTF8:
    case SABOT_BINARY: break;
    }
    return append_string(out, (sabot_text){text, strnlen(text, size)});
}

static sabot_status append_field(struct sb_buffer *out,
                                 const struct sb_peek_field *field,
                                 const uint8_t *bytes)
{
    const size_t size = field->size / field->count;

    SABOT_TRY(append_string(out, sabot_text_of(field->path)));
    SABOT_TRY(append_text(out, field->count > 1 ? ":[" : ":"));
    for (uint32_t i = 0; i < field->count; i++) {
        if (i > 0)
            SABOT_TRY(append_text(out, ","));
        SABOT_TRY(append_element(out, field->type, bytes + i * size, size));
    }
    return append_text(out, field->count > 1 ? "]" : "");
}

static sabot_status append_member(struct sb_buffer *out,
                                  const struct sb_peek_field *field,
                                  struct sb_row_rest *rest)
{
    uint64_t member[2]; /* the largest: a text */
    sabot_text text;

    if (field->count != 1 || field->size > sizeof member ||
        !sb_row_take(rest, field->type, field->size, member))
        return SABOT_ERR_CORRUPT;
    if (field->type != SABOT_UTF8 && field->type != SABOT_BINARY)
        return append_field(out, field, (const uint8_t *)member);
    memcpy(&text, member, sizeof text);
    SABOT_TRY(append_string(out, sabot_text_of(field->path)));
    SABOT_TRY(append_text(out, ":"));
    if (text.data == NULL)
        return append_text(out, "null");
    return field->type == SABOT_UTF8 ? append_string(out, text) : append_hex(out, text);
}

/* A packed record. SABOT_ERR_CORRUPT: its bytes make no sense. */
static sabot_status append_row(struct sb_buffer *out, const struct sb_peek_row *row)
{
    struct sb_row_rest rest;
    uint32_t checksum;

    if (!sb_row_begin(&rest, row->value, &checksum))
        return SABOT_ERR_CORRUPT;
    for (uint32_t i = 0; i < row->state->field_count; i++) {
        SABOT_TRY(append_text(out, i == 0 ? "{" : ","));
        SABOT_TRY(append_member(out, &row->state->fields[i], &rest));
    }
    return rest.size == 0 ? append_text(out, "}") : SABOT_ERR_CORRUPT;
}

static sabot_status append_row_or_bytes(struct sb_buffer *out, const struct sb_peek_row *row)
{
    const size_t before = out->size;
    const sabot_status status = append_row(out, row);

    if (status != SABOT_ERR_CORRUPT)
        return status;
    out->size = before;
    return append_hex(out, row->value);
}

sabot_status sb_inspect_value_json(struct sb_buffer *out, const struct sb_peek_row *row)
{
    const uint8_t *at = (const uint8_t *)row->value.data;

    if (row->state->kind == SB_STATE_TIMERS)
        return sb_buffer_format(out, "%" PRId64, row->time_ms);
    if (row->state->schema == NULL)
        return append_guess(out, row->value);
    if (row->state->has_rows)
        return append_row_or_bytes(out, row);
    SABOT_TRY(append_text(out, "{"));
    for (uint32_t i = 0; i < row->state->field_count; i++) {
        if (i > 0)
            SABOT_TRY(append_text(out, ","));
        SABOT_TRY(append_field(out, &row->state->fields[i], at));
        at += row->state->fields[i].size;
    }
    return append_text(out, "}");
}
