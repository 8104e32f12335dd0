/* SPDX-License-Identifier: Apache-2.0 */
/* json_fault.c - why a record is refused, in words.
 *
 * The hot path only notes a place and a reason; the text is made once, at the end:
 *
 *   byte 57, field transaction_amount: a string, but float64 is wanted; near "amount":"12","curr
 *
 * Bytes count from 0. What is shown of the record are at most 64 bytes from shortly before the
 * place, everything but printable ASCII escaped. Threads: stateless. */
#include <stdio.h>

#include "format/json.h"

enum { SHOWN_MAX = 64, SHOWN_BEFORE = 24 };

const uint8_t *sb_json_fault(struct sb_json_reader *reader,
                             sabot_status status,
                             const uint8_t *at,
                             const struct sb_json_member *member,
                             const char *reason)
{
    if (reader->fault.status == SABOT_OK)
        reader->fault = (struct sb_json_fault){status, reason, at, member, 0};
    return NULL;
}

const uint8_t *sb_json_fault_limit(struct sb_json_reader *reader,
                                   const uint8_t *at,
                                   const struct sb_json_member *member,
                                   size_t limit,
                                   const char *what)
{
    if (reader->fault.status == SABOT_OK)
        reader->fault = (struct sb_json_fault){SABOT_ERR_LIMIT, what, at, member, limit};
    return NULL;
}

/* What a value is, by its first byte. */
static const char *kind_of(uint8_t first)
{
    switch (first) {
    case '"': return "a string";
    case '{': return "an object";
    case '[': return "an array";
    case 't':
    case 'f': return "a bool";
    default: return "a number";
    }
}

static const char *wanted(const struct sb_json_member *member)
{
    return member->type == SB_JSON_NESTED ? "an object" : sabot_type_name((sabot_type)member->type);
}

/* The reason into `text`. */
static void describe(const struct sb_json_fault *fault, char *text, size_t size)
{
    if (fault->limit > 0)
        (void)snprintf(text, size, "%s: %zu are allowed", fault->reason, fault->limit);
    else if (fault->reason == NULL)
        (void)snprintf(text, size, "%s, but %s is wanted", kind_of(*fault->at),
                       wanted(fault->member));
    else
        (void)snprintf(text, size, "%s", fault->reason);
}

/* "; near ..." into `text`, which has room for all of it escaped. */
static void show_record(const struct sb_json_reader *reader, const uint8_t *at, char *text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = at - reader->start > SHOWN_BEFORE ? at - SHOWN_BEFORE : reader->start;
    const uint8_t *to = reader->end - from > SHOWN_MAX ? from + SHOWN_MAX : reader->end;

    *text = '\0';
    if (from == to)
        return;
    memcpy(text, "; near ", 7);
    text += 7;
    for (; from < to; from++) {
        if (*from >= 0x20 && *from < 0x7f && *from != '\\') {
            *text++ = (char)*from;
            continue;
        }
        *text++ = '\\';
        if (*from == '\\') {
            *text++ = '\\';
            continue;
        }
        *text++ = 'x';
        *text++ = digits[*from >> 4];
        *text++ = digits[*from & 15];
    }
    *text = '\0';
}

sabot_status sb_json_refuse(const struct sb_json_reader *reader, sabot_error *error)
{
    const struct sb_json_fault *fault = &reader->fault;
    const struct sb_json_member *member = fault->member;
    char reason[128];
    char shown[8 + SHOWN_MAX * 4];

    SB_ASSERT(fault->status != SABOT_OK);
    SB_ASSERT(fault->at >= reader->start);
    SB_ASSERT(fault->at <= reader->end);
    describe(fault, reason, sizeof reason);
    show_record(reader, fault->at, shown);
    if (member == NULL || member->path == NULL)
        return sabot_raise(error, fault->status, "byte %zu: %s%s",
                           (size_t)(fault->at - reader->start), reason, shown);
    return sabot_raise(error, fault->status, "byte %zu, field %.*s: %s%s",
                       (size_t)(fault->at - reader->start), (int)member->path_size, member->path,
                       reason, shown);
}
