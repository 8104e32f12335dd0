/* SPDX-License-Identifier: Apache-2.0 */
/* json_scan.c - strings, and the whole syntax of values that nobody wants.
 *
 * The decoder's own loop handles what it meets most, short strings without escapes; everything else
 * about strings is here. sb_json_skip() walks a value of any shape without recursion: which of its
 * containers are objects is kept in one bit per level, so hostile nesting costs no stack.
 *
 *            +--------------- , ---------------+
 *            v                                 |
 *   VALUE --scalar---------------------------> BEHIND --closed the outermost--> done
 *     |  ^                                     ^
 *     |  +-- [ -- + -- key : -- { , --+        |
 *     +---- [ ] or { } ------------------------+
 *
 * Memory: the reader's. Threads: the reader's owner. */
#include "format/json_block.h"

#include "format/json.h"

/* --- Strings ---------------------------------------------------------------------------------- */

/* The first byte that is not well-formed in a text that is known not to be; for the error only. */
static const uint8_t *find_not_utf8(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        size_t size = 1;

        while (size <= 4 && size <= (size_t)(end - at) && !sb_utf8_valid(at, size))
            size++;
        if (size > 4 || size > (size_t)(end - at))
            return at;
        at += size;
    }
    return at;
}

/* A quote, backslash or control character at `at`, or there is none up to the end. */
static const uint8_t *next_stop(const struct sb_json_reader *reader,
                                const uint8_t *at,
                                uint32_t *high_io)
{
    for (; reader->end - at >= SB_JSON_BLOCK; at += SB_JSON_BLOCK) {
        const struct sb_json_block block = sb_json_block(at);

        *high_io |= block.high; /* behind the stop too: that only asks for a check too many */
        if (block.stops != 0)
            return at + __builtin_ctz(block.stops);
    }
    for (; at < reader->end; at++) {
        if (*at == '"' || *at == '\\' || *at < 0x20)
            return at;
        *high_io |= *at & 0x80;
    }
    return at;
}

const uint8_t *sb_json_string(struct sb_json_reader *reader, const uint8_t *at, unsigned *seen_out)
{
    const uint8_t *start = at;
    uint32_t high = 0;
    unsigned seen = 0;

    for (at = next_stop(reader, at, &high);; at = next_stop(reader, at, &high)) {
        if (at == reader->end)
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                                 "the record ends inside of a string");
        if (*at == '"')
            break;
        if (*at != '\\')
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                                 "a control character in a string (it has to be escaped)");
        if (reader->end - at < 2)
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                                 "the record ends inside of a string");
        seen |= SB_JSON_ESCAPES;
        at += 2; /* whatever is escaped ends no string; the escape itself is checked later */
    }
    if (high != 0) {
        seen |= SB_JSON_NOT_ASCII;
        if (!sb_utf8_valid(start, (size_t)(at - start)))
            return sb_json_fault(reader, SABOT_ERR_FORMAT, find_not_utf8(start, at), NULL,
                                 "a string is not UTF-8");
    }
    *seen_out = seen;
    return at;
}

static int32_t hex_digit(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1: they are not there. */
static int32_t hex4(const uint8_t *at, const uint8_t *end)
{
    int32_t value = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        const int32_t digit = hex_digit(at[i]);

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The character that the escape at `at`, behind its backslash, stands for; where the escape ends.
 */
static const uint8_t *read_escape(struct sb_json_reader *reader,
                                  const uint8_t *at,
                                  const uint8_t *close,
                                  int32_t *code_out)
{
    static const uint8_t plain[256] = {['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
                                       ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t'};
    const uint8_t *start = at - 1;
    int32_t low;

    *code_out = plain[*at];
    if (*code_out != 0)
        return at + 1;
    if (*at != 'u')
        return sb_json_fault(reader, SABOT_ERR_FORMAT, start, NULL,
                             "an escape that JSON doesn't have");
    *code_out = hex4(at + 1, close);
    if (*code_out < 0)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, start, NULL,
                             "\\u without four hexadecimal digits");
    at += 5;
    if (*code_out < 0xd800 || *code_out > 0xdfff)
        return at;
    low = close - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2, close) : -1;
    if (*code_out > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, start, NULL,
                             "half of a surrogate pair is no character");
    *code_out = 0x10000 + ((*code_out - 0xd800) << 10) + (low - 0xdc00);
    return at + 6;
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

uint8_t *sb_json_unescape(struct sb_json_reader *reader,
                          const uint8_t *at,
                          const uint8_t *close,
                          uint8_t *out)
{
    for (;;) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(close - at));
        const size_t plain = (size_t)((slash == NULL ? close : slash) - at);
        int32_t code;

        memcpy(out, at, plain);
        out += plain;
        if (slash == NULL)
            return out;
        at = read_escape(reader, slash + 1, close, &code);
        if (at == NULL)
            return NULL;
        out = put_utf8(out, (uint32_t)code);
    }
}

bool sb_json_escapes_valid(struct sb_json_reader *reader, const uint8_t *at, const uint8_t *close)
{
    while (at != NULL) {
        const uint8_t *slash = memchr(at, '\\', (size_t)(close - at));
        int32_t code;

        if (slash == NULL)
            return true;
        at = read_escape(reader, slash + 1, close, &code);
    }
    return false;
}

/* --- Values ----------------------------------------------------------------------------------- */

static const uint8_t *skip_string(struct sb_json_reader *reader, const uint8_t *at)
{
    unsigned seen = 0;
    const uint8_t *close = sb_json_string(reader, at, &seen);

    if (close == NULL)
        return NULL;
    if ((seen & SB_JSON_ESCAPES) != 0 && !sb_json_escapes_valid(reader, at, close))
        return NULL;
    return close + 1;
}

static const uint8_t *skip_word(struct sb_json_reader *reader, const uint8_t *at)
{
    static const char *const words[] = {"null", "true", "false"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t size = strlen(words[i]);

        if ((size_t)(reader->end - at) >= size && memcmp(at, words[i], size) == 0)
            return at + size;
    }
    return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "no JSON value begins like this");
}

static const uint8_t *skip_scalar(struct sb_json_reader *reader, const uint8_t *at)
{
    struct sb_json_number number;

    if (*at == '"')
        return skip_string(reader, at + 1);
    if (*at == '-' || (*at >= '0' && *at <= '9'))
        return sb_json_number(reader, at, &number);
    return skip_word(reader, at);
}

/* The first byte of what comes next, which has to come. */
static const uint8_t *next(struct sb_json_reader *reader, const uint8_t *at)
{
    at = sb_json_space(at, reader->end);
    if (at == reader->end)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                             "the record ends inside of an object or array");
    return at;
}

/* `"key" :` and the space around it. */
static const uint8_t *skip_key(struct sb_json_reader *reader, const uint8_t *at)
{
    if (*at != '"')
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "a key in quotes has to come");
    at = skip_string(reader, at + 1);
    if (at != NULL)
        at = next(reader, at);
    if (at == NULL)
        return NULL;
    if (*at != ':')
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "a colon has to come");
    return next(reader, at + 1);
}

static void note_container(struct sb_json_reader *reader, uint32_t depth, bool is_object)
{
    const uint64_t bit = UINT64_C(1) << (depth % 64);

    if (is_object)
        reader->nesting[depth / 64] |= bit;
    else
        reader->nesting[depth / 64] &= ~bit;
}

static bool in_object(const struct sb_json_reader *reader, uint32_t depth)
{
    return (reader->nesting[depth / 64] >> (depth % 64)) & 1;
}

/* Behind a value that is `depth` containers deep: close those that end here, and go to the next
 * value; or stop behind the outermost, at depth `base`. */
static const uint8_t *skip_behind(struct sb_json_reader *reader,
                                  const uint8_t *at,
                                  uint32_t base,
                                  uint32_t *depth_io)
{
    while (*depth_io > base) {
        const bool is_object = in_object(reader, *depth_io - 1);

        at = next(reader, at);
        if (at == NULL)
            return NULL;
        if (*at == ',') {
            at = next(reader, at + 1);
            return at != NULL && is_object ? skip_key(reader, at) : at;
        }
        if (*at != (is_object ? '}' : ']'))
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                                 is_object ? "a comma or } has to come"
                                           : "a comma or ] has to come");
        at++;
        (*depth_io)--;
    }
    return at;
}

/* Open a container: behind it when it is empty, else at its first value (*depth_io is one more). */
static const uint8_t *skip_open(struct sb_json_reader *reader,
                                const uint8_t *at,
                                uint32_t *depth_io,
                                bool *empty_out)
{
    const bool is_object = *at == '{';

    if (*depth_io == reader->depth_max)
        return sb_json_fault_limit(reader, at, NULL, reader->depth_max,
                                   "objects and arrays inside of each other");
    at = next(reader, at + 1);
    if (at == NULL)
        return NULL;
    *empty_out = *at == (is_object ? '}' : ']');
    if (*empty_out)
        return at + 1;
    note_container(reader, (*depth_io)++, is_object);
    return is_object ? skip_key(reader, at) : at;
}

const uint8_t *sb_json_skip(struct sb_json_reader *reader, const uint8_t *at, uint32_t depth)
{
    const uint32_t base = depth;

    do {
        bool done = true;

        if (*at == '{' || *at == '[')
            at = skip_open(reader, at, &depth, &done);
        else
            at = skip_scalar(reader, at);
        if (at != NULL && done) {
            at = skip_behind(reader, at, base, &depth);
            if (depth == base)
                return at;
        }
    } while (at != NULL);
    return NULL;
}
