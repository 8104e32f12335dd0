/* SPDX-License-Identifier: Apache-2.0 */
/* schema_default.c - a small reader of one JSON scalar, for the defaults of fields.
 *
 * Runs once per field when an app is built; it is apart from the JSON decoder because data lies
 * below format. It takes exactly what JSON takes: no blanks around, no leading zeros, no
 * hexadecimal numbers, no bare words. Memory: decoded texts in the schema's arena. Threads:
 * stateless. */
#include "data/schema_default.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/batch.h"

enum {
    NUMBER_MAX = 512,      /* bytes of a written number */
    EXPONENT_MAX = 100000, /* beyond any double */
    EXPONENT_SIZE = 24,    /* bytes of "e-100512" and more */
};

/* --- Numbers ---------------------------------------------------------------------------------- */

static const char *skip_digits(const char *text)
{
    while (*text >= '0' && *text <= '9')
        text++;
    return text;
}

/* -?(0|[1-9][0-9]*): where it ends; NULL: there is none. */
static const char *skip_integer(const char *text)
{
    if (*text == '-')
        text++;
    if (*text == '0')
        return text + 1;
    return *text >= '1' && *text <= '9' ? skip_digits(text) : NULL;
}

static bool is_number(const char *text)
{
    text = skip_integer(text);
    if (text == NULL)
        return false;
    if (*text == '.') {
        const char *digits = text + 1;

        text = skip_digits(digits);
        if (text == digits)
            return false;
    }
    if (*text == 'e' || *text == 'E') {
        const char *digits = text[1] == '+' || text[1] == '-' ? text + 2 : text + 1;

        text = skip_digits(digits);
        if (text == digits)
            return false;
    }
    return *text == '\0';
}

static sabot_status parse_int(struct sb_schema_field *field,
                              const char *text,
                              const char **reason_out)
{
    const char *end = skip_integer(text);
    long long value;

    *reason_out = "it is not an integer";
    if (end == NULL || *end != '\0')
        return SABOT_ERR_SCHEMA;
    errno = 0;
    value = strtoll(text, NULL, 10);
    *reason_out = "it is out of range";
    if (errno != 0)
        return SABOT_ERR_SCHEMA;
    if (field->type == SABOT_INT32 && (value < INT32_MIN || value > INT32_MAX))
        return SABOT_ERR_SCHEMA;
    field->default_int = value;
    return SABOT_OK;
}

/* Bounded, so that it can be added to: beyond it every number is zero or out of range. */
static long written_exponent(const char *text)
{
    const long exponent = strtol(text, NULL, 10);

    if (exponent > EXPONENT_MAX)
        return EXPONENT_MAX;
    return exponent < -EXPONENT_MAX ? -EXPONENT_MAX : exponent;
}

/* The nearest double, whatever locale the app has set: strtod gets the digits and an exponent, and
 * never a decimal point. `text` is a number as in JSON. */
static double nearest_double(const char *text)
{
    char plain[NUMBER_MAX + EXPONENT_SIZE];
    size_t size = 0;
    long exponent = 0;
    bool fraction = false;

    for (; *text != '\0' && *text != 'e' && *text != 'E'; text++) {
        if (*text == '.') {
            fraction = true;
            continue;
        }
        exponent -= fraction;
        plain[size++] = *text;
    }
    if (*text != '\0')
        exponent += written_exponent(text + 1);
    (void)snprintf(plain + size, EXPONENT_SIZE, "e%ld", exponent);
    return strtod(plain, NULL);
}

static sabot_status parse_float(struct sb_schema_field *field,
                                const char *text,
                                const char **reason_out)
{
    *reason_out = "it is not a number";
    if (!is_number(text))
        return SABOT_ERR_SCHEMA;
    *reason_out = "it has too many digits";
    if (strlen(text) >= NUMBER_MAX)
        return SABOT_ERR_SCHEMA;
    field->default_float = nearest_double(text);
    *reason_out = "it is out of range";
    return isfinite(field->default_float) ? SABOT_OK : SABOT_ERR_SCHEMA;
}

static sabot_status parse_bool(struct sb_schema_field *field,
                               const char *text,
                               const char **reason_out)
{
    *reason_out = "it is neither true nor false";
    field->default_int = strcmp(text, "true") == 0;
    if (field->default_int == 0 && strcmp(text, "false") != 0)
        return SABOT_ERR_SCHEMA;
    return SABOT_OK;
}

/* --- Strings ---------------------------------------------------------------------------------- */

/* Four hexadecimal digits; -1: they are not. */
static int32_t hex4(const char *text)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        const char digit = text[i];

        if (digit >= '0' && digit <= '9')
            value = value * 16 + (digit - '0');
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            value = value * 16 + ((digit | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static uint8_t *put_utf8(uint8_t *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (uint8_t)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (uint8_t)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = (uint8_t)(0xe0 | code >> 12);
        } else {
            *out++ = (uint8_t)(0xf0 | code >> 18);
            *out++ = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        }
        *out++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    }
    *out++ = (uint8_t)(0x80 | (code & 0x3f));
    return out;
}

/* The code behind "\u", surrogate pairs put together; *text_io moves on. -1: malformed. */
static int32_t unicode_escape(const char **text_io)
{
    const char *text = *text_io;
    const int32_t high = hex4(text);
    int32_t low;

    *text_io = text + 4;
    if (high < 0xd800 || high > 0xdfff)
        return high;
    if (high > 0xdbff || text[4] != '\\' || text[5] != 'u')
        return -1;
    low = hex4(text + 6);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *text_io = text + 10;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* The character behind a backslash; *text_io moves on. -1: no such escape. */
static int32_t escape(const char **text_io)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char name = **text_io;
    const char *found = name == '\0' ? NULL : strchr(names, name);

    if (name == '\0')
        return -1;
    (*text_io)++;
    if (name == 'u')
        return unicode_escape(text_io);
    return found == NULL ? -1 : values[found - names];
}

/* A JSON string into the arena. It never gets longer than it is written. */
static sabot_status parse_string(struct sb_arena *arena,
                                 const char *text,
                                 sabot_text *out,
                                 const char **reason_out)
{
    uint8_t *bytes = sb_arena_alloc(arena, strlen(text) + 1);
    uint8_t *end = bytes;

    if (bytes == NULL)
        return SABOT_ERR_MEMORY;
    *reason_out = "it is not a string in double quotes";
    if (*text++ != '"')
        return SABOT_ERR_SCHEMA;
    while (*text != '"') {
        int32_t code = (uint8_t)*text++;

        if (code < 0x20)
            return SABOT_ERR_SCHEMA;
        if (code != '\\') {
            *end++ = (uint8_t)code;
            continue;
        }
        code = escape(&text);
        *reason_out = "an escape in the string is not one of JSON";
        if (code < 0)
            return SABOT_ERR_SCHEMA;
        end = put_utf8(end, (uint32_t)code);
        *reason_out = "it is not a string in double quotes";
    }
    if (text[1] != '\0')
        return SABOT_ERR_SCHEMA;
    *reason_out = "it is not UTF-8";
    if (!sb_utf8_valid(bytes, (size_t)(end - bytes)))
        return SABOT_ERR_SCHEMA;
    *out = (sabot_text){(const char *)bytes, (size_t)(end - bytes)};
    return SABOT_OK;
}

static int base64_value(char letter)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = letter == '\0' ? NULL : strchr(letters, letter);

    return found == NULL ? -1 : (int)(found - letters);
}

/* Base64 with padding (RFC 4648, section 4), decoded over itself. */
static bool decode_base64(uint8_t *bytes, size_t size, size_t *size_out)
{
    size_t padding = 0;
    size_t done = 0;

    if (size % 4 != 0)
        return false;
    while (padding < 2 && padding < size && bytes[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < size; i += 4) {
        const size_t letters = i + 4 == size ? 4 - padding : 4;
        uint32_t word = 0;

        for (size_t j = 0; j < 4; j++) {
            const int value = j < letters ? base64_value((char)bytes[i + j]) : 0;

            if (value < 0)
                return false;
            word = word << 6 | (uint32_t)value;
        }
        /* Bits that no byte takes must be zero, so that each value is written in one way. */
        if ((letters == 2 && (word & 0xffff) != 0) || (letters == 3 && (word & 0xff) != 0))
            return false;
        for (size_t j = 0; j + 1 < letters; j++)
            bytes[done++] = (uint8_t)(word >> (16 - 8 * j));
    }
    *size_out = done;
    return true;
}

static sabot_status parse_text(struct sb_arena *arena,
                               struct sb_schema_field *field,
                               const char *text,
                               const char **reason_out)
{
    sabot_text *value = &field->default_text;

    SABOT_TRY(parse_string(arena, text, value, reason_out));
    if (field->type == SABOT_BINARY) {
        *reason_out = "it is not base64 with padding";
        if (!decode_base64((uint8_t *)(uintptr_t)value->data, value->size, &value->size))
            return SABOT_ERR_SCHEMA;
    }
    if (field->type == SABOT_CHARS) {
        *reason_out = "it is longer than the member";
        if (value->size > field->size)
            return SABOT_ERR_SCHEMA;
        *reason_out = "it holds a NUL";
        if (memchr(value->data, '\0', value->size) != NULL)
            return SABOT_ERR_SCHEMA;
    }
    return SABOT_OK;
}

sabot_status sb_schema_default_parse(struct sb_arena *arena,
                                     struct sb_schema_field *field,
                                     const char *text,
                                     const char **reason_out)
{
    if (strcmp(text, "null") == 0)
        return SABOT_OK;
    field->has_default = true;
    switch (field->type) {
    case SABOT_BOOL: return parse_bool(field, text, reason_out);
    case SABOT_INT32:
    case SABOT_INT64:
    case SABOT_TIMESTAMP: return parse_int(field, text, reason_out);
    case SABOT_FLOAT64: return parse_float(field, text, reason_out);
    case SABOT_UTF8:
    case SABOT_BINARY:
    case SABOT_CHARS: break;
    }
    return parse_text(arena, field, text, reason_out);
}
