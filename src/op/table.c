/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - feeding a table and reading its rows; table.h has the picture and the bytes of a row.
 *
 * Threads: the worker that owns the shard. Memory: the store's; the struct of a packed row is the
 * reading context's, and its texts lie in the store until the callback returns. */
#include "op/table.h"

#include "base/mutant.h"
#include "op/state.h"
#include "state/row.h"

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
    const size_t size = sb_row_size(table->schema, record);
    uint8_t small[1024];
    uint8_t *bytes = size <= sizeof small ? small : sb_alloc(context->env, size);
    sabot_error error;
    sabot_status status;

    if (bytes == NULL)
        return sb_context_fail(context, SABOT_ERR_MEMORY, "no memory for a row of %zu bytes", size);
    sb_row_pack(table->schema, table->checksum, record, bytes);
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
        memcpy(&flag, (const uint8_t *)record + table->schema->fields[table->delete_field].offset,
               sizeof flag);
    return context->deletes || flag;
}

sabot_status sb_table_feed(sabot_context *context, const void *record)
{
    const sabot_table *table = sabot_user(context);

    if (SB_MUTANT(DELETE_IGNORED) && context->deletes)
        return SABOT_OK;
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
    if (!sb_row_unpack(table->schema, table->checksum, row, room))
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "table %s: the bytes of a row make no sense; restore from the last "
                           "checkpoint",
                           table->state.agent);
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
