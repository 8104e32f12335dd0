/* SPDX-License-Identifier: Apache-2.0 */
/* app_table.c - building an app: tables, and the agents that read them.
 *
 * A table is declared as an agent of ours: it reads the channel, its key is the channel's, and its
 * one state, "row", is used by the agents that read the table (app_share.c).
 *
 * Threads: the one that builds the app. Memory: the app's arena, but the schema of the state. */
#include "api/app_parts.h"

#include "state/row.h"

/* Rows with texts, or larger than a cell may be, are packed (op/table.h). */
static bool needs_packing(const struct sb_schema *schema)
{
    bool has_text = false;

    for (uint32_t i = 0; i < schema->field_count; i++)
        has_text |= schema->fields[i].type == SABOT_UTF8 || schema->fields[i].type == SABOT_BINARY;
    return has_text || schema->record_size > SB_STATE_FIXED_MAX;
}

/* The table's own agent. */
static sabot_agent *agent_of(const sabot_table *table)
{
    return (sabot_agent *)(uintptr_t)table->state.owner;
}

sabot_table *sabot_table_create(sabot_app *app, const char *name, sabot_channel *channel)
{
    sabot_agent *agent = sb_app_agent(app, "table", name, channel, sb_table_feed, NULL);
    sabot_table *table;
    bool is_packed;

    if (agent == NULL)
        return NULL;
    is_packed = needs_packing(channel->schema);
    table = sb_app_state(agent, "row", SB_STATE_VALUE, is_packed ? NULL : channel->declared,
                         sizeof *table);
    if (table == NULL)
        return NULL;
    table->schema = channel->schema;
    table->is_packed = is_packed;
    table->checksum = sb_row_checksum(channel->schema);
    if (is_packed)
        agent->states[table->state.index].row_schema = channel->schema;
    table->delete_field = SB_NO_FIELD;
    agent->user = table;
    agent->table = table;
    return table;
}

void sabot_table_delete_by(sabot_table *table, const char *path)
{
    sabot_app *app;

    if (table == NULL)
        return;
    app = agent_of(table)->app;
    if (!sb_app_failed(app))
        table->delete_field = sb_app_field(app, table->schema, "deletes of table",
                                           table->state.agent, path, 1u << SABOT_BOOL);
}

void sabot_table_ttl(sabot_table *table, int64_t ttl_ms, sabot_clock clock)
{
    if (table != NULL)
        sabot_agent_ttl(agent_of(table), table->state.name, ttl_ms, clock, SABOT_ON_WRITE);
}

static uint32_t round_up(uint32_t size)
{
    const uint32_t alignment = (uint32_t) _Alignof(max_align_t);

    return (size + alignment - 1) / alignment * alignment;
}

void sabot_agent_table(sabot_agent *agent, sabot_table *table)
{
    const uint32_t uses = agent == NULL ? 0 : agent->use_count;

    if (agent == NULL || sb_app_failed(agent->app))
        return;
    if (table == NULL || agent_of(table)->app != agent->app) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_ARGUMENT,
                             "agent %s: the table that it reads is none of this app", agent->name);
        return;
    }
    sb_app_use(agent, agent_of(table), table->state.index);
    if (sb_app_failed(agent->app) || agent->use_count == uses || !table->is_packed)
        return;
    agent->uses[uses].row_start = agent->rows_size;
    agent->rows_size += round_up(table->schema->record_size);
}

void sb_app_key_tables(sabot_app *app)
{
    for (uint32_t i = 0; i < app->agent_count; i++) {
        sabot_agent *agent = app->agents[i];

        if (agent->table == NULL)
            continue;
        agent->key_field = agent->channel->key_field;
        if (agent->key_field == SB_NO_FIELD)
            (void)sabot_app_fail(app, SABOT_ERR_STATE,
                                 "table %s: its channel %s has no key: see sabot_channel_key()",
                                 agent->name, agent->channel->name);
    }
}
