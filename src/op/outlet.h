/* SPDX-License-Identifier: Apache-2.0 */
/* outlet.h - where an operator puts the records of one output, until its task sends them on.
 *
 * Records are gathered in builders. What one call of an agent emits becomes part of the output only
 * when the call has succeeded: sb_outlet_keep() keeps it, sb_outlet_undo() takes it back. So a full
 * builder can't be sealed at once; the call goes on in the next one, and keep seals.
 *
 *   record --> builder(s) --keep--> full ones sealed --> `sealed`, taken by the task
 *                         --undo--> gone
 *   end of a slice: seal() --> what is left is sealed too
 *
 * Invariants: only builders[0] holds records that were kept, kept_rows of them, and the other
 * builders are the open call's. `sealed` is emptied by the task before the operator goes on, so it
 * never holds more than one call and one rest.
 *
 * What an output leads to may refuse a record, for its size: the guard says so while the call can
 * still be told.
 *
 * Thread: the worker that owns the task. Memory: batches come from the outlet's pool. */
#ifndef SB_OP_OUTLET_H
#define SB_OP_OUTLET_H

#include "data/batch.h"

enum {
    SB_OUTLET_ROWS_MAX = SB_BATCH_ROWS_MAX, /* records of one call */
    SB_OUTLET_BUILDERS_MAX = SB_OUTLET_ROWS_MAX / SB_BATCH_ROWS + 2,
};

struct sb_outlet {
    const struct sb_env *env;
    const struct sb_schema *schema; /* of the records */
    struct sb_batch_pool *pool;
    int32_t event_time_field; /* field that is the event time, or SB_NO_FIELD */
    struct sb_builder builders[SB_OUTLET_BUILDERS_MAX];
    uint32_t builder_count; /* in use, at least 1 */
    uint32_t kept_rows;     /* of builders[0], by calls that have succeeded */
    uint32_t open_rows;     /* by the call that is not done yet, in all builders */
    int64_t arrival_us;     /* of the oldest record that caused what is gathered; INT64_MAX: none */
    struct sb_batch *sealed[SB_OUTLET_BUILDERS_MAX + 1]; /* oldest first */
    uint32_t sealed_count;
    /* May the row that was just added stay? NULL: any may. */
    sabot_status (*guard)(void *context,
                          const struct sb_batch *batch,
                          uint32_t row,
                          sabot_error *error);
    void *guard_context;
};

/* For records of `schema`, in batches of SB_BATCH_ROWS rows. */
SABOT_MUST_CHECK sabot_status sb_outlet_init(struct sb_outlet *outlet,
                                             const struct sb_env *env,
                                             const struct sb_schema *schema,
                                             int32_t event_time_field,
                                             sabot_error *error);
void sb_outlet_reset(struct sb_outlet *outlet);

/* What is emitted next is caused by a record that arrived then. */
static inline void sb_outlet_arrival(struct sb_outlet *outlet, int64_t arrival_us)
{
    if (arrival_us < outlet->arrival_us)
        outlet->arrival_us = arrival_us;
}

/* Add a record (the struct of the schema, copied) to the open call. Its event time is its own
 * field's, where the outlet has one, else `event_time_ms`.
 * SABOT_ERR_LIMIT: more than SB_OUTLET_ROWS_MAX from one call, or a text too long; others of
 * sb_builder_record and of the guard. On an error nothing was added. */
SABOT_MUST_CHECK sabot_status sb_outlet_record(struct sb_outlet *outlet,
                                               const void *record,
                                               int64_t event_time_ms,
                                               sabot_error *error);

/* The same column by column: a row is begun in *builder_out, its fields are set there, and it is
 * committed or (undo) dropped with the call. SABOT_ERR_SCHEMA: a required field is missing. */
SABOT_MUST_CHECK sabot_status sb_outlet_begin(struct sb_outlet *outlet,
                                              struct sb_builder **builder_out,
                                              sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_outlet_commit(struct sb_outlet *outlet,
                                               struct sb_builder *builder,
                                               int64_t event_time_ms,
                                               sabot_error *error);

/* The call has succeeded: its records stay. Or it has failed: they go. */
void sb_outlet_keep(struct sb_outlet *outlet);
void sb_outlet_undo(struct sb_outlet *outlet);

/* Seal what was kept, so that it leaves now. */
void sb_outlet_seal(struct sb_outlet *outlet);

/* The oldest sealed batch with its reference, or NULL. */
struct sb_batch *sb_outlet_take(struct sb_outlet *outlet);

#endif
