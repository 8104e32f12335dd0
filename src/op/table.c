/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - feeding a table and reading its rows; table.h has the picture and the bytes of a row.
 *
 * Threads: the worker that owns the shard. Memory: the store's; the struct of a packed row is the
 * reading context's, and its texts lie in the store until the callback returns. */
#include "op/table.h"

#include "base/hash.h"
#include "op/state.h"

enum { CHECKSUM_SIZE = sizeof(uint32_t) };

static bool is_text(const struct sb_schema_field *field)
{
    return field->type == SABOT_UTF8 || field->type == SABOT_BINARY;
}

uint32_t sb_table_checksum(const struct sb_schema *schema)
{
    uint64_t checksum = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        checksum = sb_hash(field->path, field->path_size, checksum + field->type);
    }
    return (uint32_t)checksum;
}

/* --- Packed rows ---------------------------------------------------------------------------------
 */

static const uint8_t *member_of(const struct sb_schema_field *field, const void *record)
{
    return (const uint8_t *)record + field->offset;
}

static size_t packed_size(const struct sb_schema *schema, const void *record)
{
    size_t size = CHECKSUM_SIZE;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];
        sabot_text text;

        if (!is_text(field)) {
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

static void pack(const sabot_table *table, const void *record, uint8_t *to)
{
    const struct sb_schema *schema = table->schema;

    to = put(to, &table->checksum, CHECKSUM_SIZE);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];
        uint32_t size;
        sabot_text text;

        if (!is_text(field)) {
            to = put(to, member_of(field, record), field->size);
            continue;
        }
        memcpy(&text, member_of(field, record), sizeof text);
        size = text.data == NULL ? SB_TABLE_NO_TEXT : (uint32_t)text.size;
        to = put(to, &size, sizeof size);
        if (text.data != NULL)
            to = put(to, text.data, text.size);
    }
}

/* The bytes of a row that are not read yet. */
struct rest {
    const uint8_t *at;
    size_t size;
};

static bool get(struct rest *rest, void *to, size_t size)
{
    if (size > rest->size)
        return false;
    memcpy(to, rest->at, size);
    rest->at += size;
    rest->size -= size;
    return true;
}

static bool get_text(struct rest *rest, uint8_t *member)
{
    sabot_text text = {NULL, 0};
    uint32_t size;

    if (!get(rest, &size, sizeof size))
        return false;
    if (size != SB_TABLE_NO_TEXT) {
        if (size > rest->size)
            return false;
        text = (sabot_text){(const char *)rest->at, size};
        rest->at += size;
        rest->size -= size;
    }
    memcpy(member, &text, sizeof text);
    return true;
}

/* Fill the struct; its texts point into the bytes. False: they are no row of this table. */
static bool unpack(const sabot_table *table, sabot_text bytes, uint8_t *record)
{
    const struct sb_schema *schema = table->schema;
    struct rest rest = {(const uint8_t *)bytes.data, bytes.size};
    uint32_t checksum;

    if (!get(&rest, &checksum, CHECKSUM_SIZE) || checksum != table->checksum)
        return false;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];
        uint8_t *member = record + field->offset;

        if (!(is_text(field) ? get_text(&rest, member) : get(&rest, member, field->size)))
            return false;
    }
    return rest.size == 0;
}

/* --- Feeding -------------------------------------------------------------------------------------
 */

static sabot_status put_cell(sabot_context *context, const sabot_table *table, const void *record)
{
    sabot_error error;
    void *cell =
        sb_store_edit(context->store, table->state.index, context->key, context->hash, &error);

    if (cell == NULL)
        return sb_context_fail(context, error.status, "%s", error.text);
    memcpy(cell, record, table->state.size);
    return SABOT_OK;
}

static sabot_status put_packed(sabot_context *context, const sabot_table *table, const void *record)
{
    const size_t size = packed_size(table->schema, record);
    uint8_t small[1024];
    uint8_t *bytes = size <= sizeof small ? small : sb_alloc(context->env, size);
    sabot_error error;
    sabot_status status;

    if (bytes == NULL)
        return sb_context_fail(context, SABOT_ERR_MEMORY, "no memory for a row of %zu bytes", size);
    pack(table, record, bytes);
    status = sb_store_put(context->store, table->state.index, context->key, context->hash,
                          (sabot_text){(const char *)bytes, size}, &error);
    if (bytes != small)
        sb_free(context->env, bytes, size);
    return sb_state_take(context, status, &error);
}

static bool is_deleted(const sabot_context *context, const sabot_table *table, const void *record)
{
    bool flag = false;

    if (table->delete_field != SB_NO_FIELD)
        memcpy(&flag, member_of(&table->schema->fields[table->delete_field], record), sizeof flag);
    return context->deletes || flag;
}

sabot_status sb_table_feed(sabot_context *context, const void *record)
{
    const sabot_table *table = sabot_user(context);

    if (is_deleted(context, table, record))
        return sb_state_clear(context, &table->state);
    return table->is_packed ? put_packed(context, table, record) : put_cell(context, table, record);
}

/* --- Reading -------------------------------------------------------------------------------------
 */

static const struct sb_state_use *use_of(const sabot_context *context, const sabot_table *table)
{
    for (uint32_t i = 0; i < context->use_count; i++) {
        if (context->uses[i].owner == table->state.owner)
            return &context->uses[i];
    }
    return NULL;
}

static const void *refuse(sabot_context *context, const sabot_table *table)
{
    if (!context->active)
        (void)sb_context_fail(context, SABOT_ERR_STATE,
                              "read outside of the call that the context was given to");
    else if (table == NULL)
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT, "read of no table");
    else
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                              "read of table %s, which agent %s does not read: see "
                              "sabot_agent_table()",
                              table->state.agent, context->agent);
    return NULL;
}

sabot_status sb_table_look_up(const sabot_table *table,
                              struct sb_store *store,
                              sabot_text key,
                              uint64_t hash,
                              void *room,
                              const void **row_out,
                              sabot_error *error)
{
    const sabot_text row = sb_store_get(store, table->state.index, key, hash);

    *row_out = NULL;
    SABOT_TRY(sb_store_status(store, error));
    if (row.data == NULL || !table->is_packed) {
        *row_out = row.data;
        return SABOT_OK;
    }
    if (!unpack(table, row, room))
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "table %s: this row was kept by another field table than schema %s has "
                           "now; fill the table anew from its channel",
                           table->state.agent, table->schema->name);
    *row_out = room;
    return SABOT_OK;
}

const void *sabot_table_read(sabot_context *context, const sabot_table *table)
{
    const struct sb_state_use *use = table == NULL ? NULL : use_of(context, table);
    const void *row;
    sabot_error error;
    sabot_status status;

    if (use == NULL || !context->active)
        return refuse(context, table);
    status =
        sb_table_look_up(table, context->lent[use->lender], context->key, context->hash,
                         table->is_packed ? context->rows + use->row_start : NULL, &row, &error);
    return sb_state_take(context, status, &error) == SABOT_OK ? row : NULL;
}
