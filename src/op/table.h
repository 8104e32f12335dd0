/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - a table: the last record of each key of a channel, for agents to look up.
 *
 *   channel --row--> sb_table_feed() --> the table's state --sabot_table_read()--> other agents
 *
 * A table is run like an agent (process.c) whose function is sb_table_feed() and whose one state is
 * the row of a key. Agents that read it have it on loan (graph.h), so each read is one look into
 * the store by the thread that also feeds it.
 *
 * A row without texts is a cell: the struct itself. Others are packed (state/row.h), so that they
 * are of any size, and filled into a struct when they are read.
 *
 * Threads: the app's one while building, then read by all. Memory: the app's arena. */
#ifndef SB_OP_TABLE_H
#define SB_OP_TABLE_H

#include "op/context.h"

struct sabot_table {
    struct sb_state_handle state; /* the row; its owner is the table's own agent */
    const struct sb_schema *schema;
    bool is_packed;
    uint32_t checksum;    /* sb_row_checksum() */
    int32_t delete_field; /* true in it deletes the key; or SB_NO_FIELD */
};

/* The function of the table's agent; its `user` is the table. */
sabot_status sb_table_feed(sabot_context *context, const void *record);

/* The row of a key, for whoever has the store: a cell, or filled into `room`, which is large and
 * aligned enough for the struct. It stays as long as what the store gives. *row_out NULL: there is
 * none. SABOT_ERR_CORRUPT: it is no row; errors of the store. */
SABOT_MUST_CHECK sabot_status sb_table_look_up(const sabot_table *table,
                                               struct sb_store *store,
                                               sabot_text key,
                                               uint64_t hash,
                                               void *room,
                                               const void **row_out,
                                               sabot_error *error);

#endif
