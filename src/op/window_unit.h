/* SPDX-License-Identifier: Apache-2.0 */
/* window_unit.h - the units of a key: found, opened, walked in order of time, closed.
 *
 *     slot 0    newest          in the cell of the key: what records in order meet
 *     slot 1    second newest
 *     map       all others, by (start, end) big-endian; of panes 16 in an entry, each in its place
 *
 * Invariants: slot 1 is used only if slot 0 is, and began no later. Units in the map begin no later
 * than head->newest_ms; a unit that begins later is not looked for there. So a key whose records
 * come in order never touches the map unless it has more than two units at a time.
 *
 * Pointers to units are good until the next unit is opened or closed. Threads: the worker's. */
#ifndef SB_OP_WINDOW_UNIT_H
#define SB_OP_WINDOW_UNIT_H

#include "op/window_engine.h"

/* Look up the cell of the key, made when there is none. */
SABOT_MUST_CHECK sabot_status sb_units_begin(struct sb_window_engine *engine, sabot_error *error);
/* After the last change: a cell without units goes. */
SABOT_MUST_CHECK sabot_status sb_units_end(struct sb_window_engine *engine, sabot_error *error);

/* The unit with these bounds; NULL in *unit_out: there is none. */
SABOT_MUST_CHECK sabot_status sb_unit_find(struct sb_window_engine *engine,
                                           sabot_window_bounds bounds,
                                           struct sb_window_unit **unit_out,
                                           sabot_error *error);
/* A new one, which is not there yet, with nothing in it. */
SABOT_MUST_CHECK sabot_status sb_unit_open(struct sb_window_engine *engine,
                                           sabot_window_bounds bounds,
                                           struct sb_window_unit **unit_out,
                                           sabot_error *error);
/* Remove it with its parts. */
SABOT_MUST_CHECK sabot_status sb_unit_close(struct sb_window_engine *engine,
                                            const struct sb_window_unit *unit,
                                            sabot_error *error);
/* Remove it, but leave its parts; it was copied before. */
SABOT_MUST_CHECK sabot_status sb_unit_forget(struct sb_window_engine *engine,
                                             sabot_window_bounds bounds,
                                             sabot_error *error);

/* In order of their starts. The unit last got may be edited and closed meanwhile. */
struct sb_unit_walk {
    struct sb_cursor cursor;
    sabot_text entry; /* of the map, that is being walked */
    uint32_t next;    /* unit in it */
    int32_t slot;     /* next one in the cell; SB_WINDOW_SLOTS: the map comes first */
};
SABOT_MUST_CHECK sabot_status sb_units_walk(struct sb_window_engine *engine,
                                            struct sb_unit_walk *walk,
                                            sabot_error *error);
/* NULL: there is no other. For reading. */
const struct sb_window_unit *sb_units_next(struct sb_window_engine *engine,
                                           struct sb_unit_walk *walk);
/* The same unit for changing; NULL: `error` says why. */
struct sb_window_unit *sb_unit_edit(struct sb_window_engine *engine,
                                    const struct sb_window_unit *unit,
                                    sabot_error *error);

#endif
