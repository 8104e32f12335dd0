/* SPDX-License-Identifier: Apache-2.0 */
/* window_part.h - what a unit holds and has no fixed size: distinct values, collected values,
 * texts, and the records themselves.
 *
 * Parts lie in one map of the key, by bytes that sort as they are read:
 *
 *     kind (1)  id of the unit (8)                          first, last: the text
 *     kind (1)  id of the unit (8)  value                   distinct: nothing
 *     kind (1)  id of the unit (8)  time (8)  arrival (8)   collect: the value; records: the record
 *     kind (1)  number of the window (8)                    its firings, when made of panes
 *
 * Numbers are big-endian with the sign bit flipped; the kind is the index of the aggregate, or one
 * of SB_PART_.... A value of 8 bytes is a number (of float64 its bits), a bool is one byte.
 *
 * A record is kept as: version of its schema (4 bytes), number of its fields (4), a bit for each
 * that is there, then those in order: 1, 4 or 8 bytes, a text as its size (4) and bytes; all in the
 * order of bytes of the machine.
 *
 * Threads: the worker's. Memory: the store's, and the engine's scratch. */
#ifndef SB_OP_WINDOW_PART_H
#define SB_OP_WINDOW_PART_H

#include "op/window_engine.h"

/* Add the parts of the engine's input for the aggregates that have some; call it before
 * sb_fold_add. */
SABOT_MUST_CHECK sabot_status sb_parts_add(struct sb_window_engine *engine,
                                           struct sb_window_unit *unit,
                                           sabot_error *error);
/* Forget those of a unit; `records`: and its records. */
SABOT_MUST_CHECK sabot_status sb_parts_drop(struct sb_window_engine *engine,
                                            const struct sb_window_unit *unit,
                                            bool records,
                                            sabot_error *error);
/* All of `other` becomes a part of `unit`; call it before sb_fold_merge. */
SABOT_MUST_CHECK sabot_status sb_parts_merge(struct sb_window_engine *engine,
                                             struct sb_window_unit *unit,
                                             struct sb_window_unit *other,
                                             sabot_error *error);

/* The result of an aggregate that gives a text or counts distinct values, of all units together.
 * The text is good until the next result. */
SABOT_MUST_CHECK sabot_status sb_parts_result(struct sb_window_engine *engine,
                                              const struct sb_fold *fold,
                                              const int64_t *ids,
                                              uint32_t id_count,
                                              struct sb_value *value_out,
                                              sabot_error *error);

/* --- Records ------------------------------------------------------------------------------------
 */

/* Keep the engine's input. */
SABOT_MUST_CHECK sabot_status sb_records_add(struct sb_window_engine *engine,
                                             const struct sb_window_unit *unit,
                                             sabot_error *error);

/* In order of event time, then of arrival. */
struct sb_records_walk {
    struct sb_cursor cursor;
    uint8_t prefix[9];
    sabot_text entry; /* of the record last got */
};
SABOT_MUST_CHECK sabot_status sb_records_walk(struct sb_window_engine *engine,
                                              int64_t unit_id,
                                              struct sb_records_walk *walk,
                                              sabot_error *error);
/* The next one as it is kept; false: there is no other. */
bool sb_records_next(struct sb_window_engine *engine,
                     struct sb_records_walk *walk,
                     sabot_text *kept_out,
                     int64_t *event_time_ms_out);
/* As a struct, in the engine's scratch. */
SABOT_MUST_CHECK sabot_status sb_records_decode(struct sb_window_engine *engine,
                                                sabot_text kept,
                                                sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_records_remove(struct sb_window_engine *engine,
                                                const struct sb_records_walk *walk,
                                                sabot_error *error);

/* --- Firings of windows made of panes
 * ------------------------------------------------------------- */

/* Count one more of this window; *firings_out with it. */
SABOT_MUST_CHECK sabot_status sb_firings_count(struct sb_window_engine *engine,
                                               sb_int128 number,
                                               int64_t *firings_out,
                                               sabot_error *error);
/* Forget those of windows that are over at `time_ms`. */
SABOT_MUST_CHECK sabot_status sb_firings_drop(struct sb_window_engine *engine,
                                              int64_t time_ms,
                                              sabot_error *error);

#endif
