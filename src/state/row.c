/* SPDX-License-Identifier: Apache-2.0 */
/* row.c - records packed into bytes, and out of them; row.h has the form. */
#include "state/row.h"

#include <string.h>

#include "base/hash.h"

enum { CHECKSUM_SIZE = sizeof(uint32_t) };

static bool is_text(sabot_type type)
{
    return type == SABOT_UTF8 || type == SABOT_BINARY;
}

uint32_t sb_row_checksum(const struct sb_schema *schema)
{
    uint64_t checksum = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        checksum = sb_hash(field->path, field->path_size, checksum + field->type);
    }
    return (uint32_t)checksum;
}

/* --- In -----------------------------------------------------------------------------------------
 */

static const uint8_t *member_of(const struct sb_schema_field *field, const void *record)
{
    return (const uint8_t *)record + field->offset;
}

size_t sb_row_size(const struct sb_schema *schema, const void *record)
{
    size_t size = CHECKSUM_SIZE;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];
        sabot_text text;

        if (!is_text(field->type)) {
            size += field->size;
            continue;
        }
        memcpy(&text, member_of(field, record), sizeof text);
        size += sizeof(uint32_t) + (text.data == NULL ? 0 : text.size);
    }
    return size;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(to, bytes, size);
    return to + size;
}

void sb_row_pack(const struct sb_schema *schema, uint32_t checksum, const void *record, void *to)
{
    uint8_t *at = put(to, &checksum, CHECKSUM_SIZE);

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];
        uint32_t size;
        sabot_text text;

        if (!is_text(field->type)) {
            at = put(at, member_of(field, record), field->size);
            continue;
        }
        memcpy(&text, member_of(field, record), sizeof text);
        size = text.data == NULL ? SB_ROW_NO_TEXT : (uint32_t)text.size;
        at = put(at, &size, sizeof size);
        if (text.data != NULL)
            at = put(at, text.data, text.size);
    }
}

/* --- Out ----------------------------------------------------------------------------------------
 */

static bool get(struct sb_row_rest *rest, void *to, size_t size)
{
    if (size > rest->size)
        return false;
    memcpy(to, rest->at, size);
    rest->at += size;
    rest->size -= size;
    return true;
}

bool sb_row_begin(struct sb_row_rest *rest, sabot_text row, uint32_t *checksum)
{
    *rest = (struct sb_row_rest){(const uint8_t *)row.data, row.size};
    return get(rest, checksum, CHECKSUM_SIZE);
}

bool sb_row_take(struct sb_row_rest *rest, sabot_type type, uint32_t size, void *member)
{
    sabot_text text = {NULL, 0};
    uint32_t text_size;

    if (!is_text(type))
        return get(rest, member, size);
    if (size != sizeof text || !get(rest, &text_size, sizeof text_size))
        return false;
    if (text_size != SB_ROW_NO_TEXT) {
        if (text_size > rest->size)
            return false;
        text = (sabot_text){(const char *)rest->at, text_size};
        rest->at += text_size;
        rest->size -= text_size;
    }
    memcpy(member, &text, sizeof text);
    return true;
}

bool sb_row_unpack(const struct sb_schema *schema, uint32_t checksum, sabot_text row, void *record)
{
    struct sb_row_rest rest;
    uint32_t kept;

    if (!sb_row_begin(&rest, row, &kept) || kept != checksum)
        return false;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        if (!sb_row_take(&rest, field->type, field->size, (uint8_t *)record + field->offset))
            return false;
    }
    return rest.size == 0;
}
