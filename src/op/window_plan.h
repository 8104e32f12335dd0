/* SPDX-License-Identifier: Apache-2.0 */
/* window_plan.h - a window and its aggregates, compiled: what the parts of the engine share.
 *
 * All that an operator keeps of a key lies in one cell of state, so that a record in order costs
 * one look-up:
 *
 *     cell   unit | unit | struct sb_window_head     the two newest units; a record in order
 *                                                    touches but the first
 *     unit   struct sb_window_unit | struct sb_window_meta, if the plan needs it | accumulators
 *
 * A unit is what records are added to: a pane of a sliding window, else a window. Older ones lie in
 * a map state by (start, end), as the same struct; panes in blocks of SB_WINDOW_BLOCK that follow
 * each other, by number of the block. What has no fixed size (distinct values,
 * collected ones, texts, kept records) lies in a second map, by (kind, id of the unit, ...).
 *
 *     states:  windows  value   the cell
 *              more     map     units that are not in the cell
 *              close    timers  event time: at most one is waited for per key (window_engine.h)
 *              early    timers  processing time, with early_clock
 *              parts    map     what has no fixed size
 *
 * All of them have field tables made here, so that `sabot state` shows them and a new version of
 * the app finds its aggregates by name.
 *
 * Threads: immutable once made. Memory: an arena of the plan, and its schemas. */
#ifndef SB_OP_WINDOW_PLAN_H
#define SB_OP_WINDOW_PLAN_H

#include "op/window.h"
#include "op/window_time.h"

enum {
    SB_WINDOW_CELLS = 0, /* the states, from the first of the plan on */
    SB_WINDOW_MORE = 1,
    SB_WINDOW_CLOSE = 2,
    SB_WINDOW_STATES_MAX = 5,
    SB_WINDOW_SLOTS = 2,  /* units in a cell */
    SB_WINDOW_BLOCK = 16, /* panes in an entry of the map */
};

/* How records come to units. */
enum sb_window_mode {
    SB_WINDOW_OF_UNITS,    /* a unit is a window; a record may be in several */
    SB_WINDOW_OF_PANES,    /* a unit is a pane of a sliding window */
    SB_WINDOW_OF_SESSIONS, /* a unit is a session; they merge */
};

struct sb_window_head {
    int64_t wake_ms;   /* the timer that is waited for, if `awaits` */
    int64_t newest_ms; /* start of the newest unit in the map, if `outside` > 0 */
    int64_t sequence;  /* counts records and units: order of arrival, and ids */
    int32_t outside;   /* units in the map */
    int32_t awaits;    /* 0 or 1 */
};
struct sb_window_unit {
    int64_t start_ms; /* start == end: no unit */
    int64_t end_ms;
    int64_t records;
};
struct sb_window_meta {
    int64_t id;        /* in the keys of its parts */
    int64_t told;      /* of the records, by the last firing */
    int64_t firings;   /* so far */
    int64_t newest_ms; /* largest event time */
    int64_t early_ms;  /* when early_ms has passed, if `early_set` */
    int64_t early_set; /* 0 or 1 */
};

/* Accumulators of fixed size. `values` counts what was not missing. */
struct sb_fold_int64 {
    int64_t values;
    int64_t low; /* the 128-bit sum, as two halves */
    int64_t high;
};
struct sb_fold_number {
    int64_t values;
    union {
        int64_t int64;
        double float64;
    } value;
};
struct sb_fold_variance {
    int64_t values;
    double mean;
    double spread; /* sum of squared distances from the mean */
};
struct sb_fold_at {
    int64_t values;
    int64_t time_ms;
    union {
        int64_t int64;
        double float64;
    } value; /* of a text: in a part */
};

enum sb_value_class { SB_VALUE_INT64, SB_VALUE_FLOAT64, SB_VALUE_TEXT };

static inline enum sb_value_class sb_value_class_of(sabot_type type)
{
    if (type == SABOT_FLOAT64)
        return SB_VALUE_FLOAT64;
    return type == SABOT_UTF8 || type == SABOT_BINARY ? SB_VALUE_TEXT : SB_VALUE_INT64;
}

/* An aggregate, compiled. */
struct sb_fold {
    sabot_window_function function;
    const char *name;
    int32_t field;   /* of the input, or SB_NO_FIELD */
    sabot_type type; /* of the field */
    enum sb_value_class takes;
    enum sb_value_class gives;
    uint32_t offset; /* of the accumulator in a unit */
    uint32_t size;
    bool has_parts;
    sabot_window_custom custom;
    struct sb_schema *custom_schema;
    int32_t output_field; /* of the output, or SB_NO_FIELD */
};

/* Kinds of parts: the index of a fold, or one of these. */
enum { SB_PART_RECORDS = 250, SB_PART_FIRINGS = 251 };

struct sb_window_plan {
    const struct sb_env *env;
    const char *name;
    sabot_window_spec spec;
    enum sb_window_mode mode;
    struct sb_window_grid grid;
    const struct sb_schema *input;
    const struct sb_schema *output; /* or NULL */
    int32_t key_field;
    int32_t gap_field; /* or SB_NO_FIELD */

    uint32_t fold_count;
    struct sb_fold folds[SABOT_WINDOW_AGGREGATES_MAX];
    bool keeps_records;
    bool folds_at_firing; /* of what evictors leave */
    bool needs_record;    /* the struct, for callbacks and for keeping it */
    bool is_columnar;     /* a record that meets its unit needs but columns and the unit */

    uint32_t meta_offset; /* in a unit; 0: none */
    uint32_t unit_size;
    uint32_t units_per_entry; /* of the map */
    uint32_t cell_size;
    uint32_t early_state; /* from the first of the plan on; 0: none */
    uint32_t parts_state;
    uint32_t state_count;
    struct sb_state_spec states[SB_WINDOW_STATES_MAX];
    struct sb_schema *cell_schema;
    struct sb_schema *unit_schema;

    /* Fields of the output, or SB_NO_FIELD. */
    int32_t key_output;
    int32_t start_output;
    int32_t end_output;
    int32_t firing_output;
    int32_t number_output;
    struct sb_arena arena;
};

static inline struct sb_window_meta *sb_unit_meta(const struct sb_window_plan *plan,
                                                  struct sb_window_unit *unit)
{
    return plan->meta_offset == 0
               ? NULL
               : (struct sb_window_meta *)(void *)((uint8_t *)unit + plan->meta_offset);
}
static inline const struct sb_window_meta *sb_unit_look(const struct sb_window_plan *plan,
                                                        const struct sb_window_unit *unit)
{
    return sb_unit_meta(plan, (struct sb_window_unit *)(uintptr_t)unit);
}
static inline void *sb_unit_fold(const struct sb_fold *fold, struct sb_window_unit *unit)
{
    return (uint8_t *)unit + fold->offset;
}
static inline struct sb_window_unit *sb_cell_unit(const struct sb_window_plan *plan,
                                                  struct sb_window_head *head,
                                                  uint32_t slot)
{
    return (struct sb_window_unit *)(void *)((uint8_t *)head -
                                             (size_t)(SB_WINDOW_SLOTS - slot) * plan->unit_size);
}
/* The head of a cell. */
static inline struct sb_window_head *sb_cell_head(const struct sb_window_plan *plan, void *cell)
{
    return (struct sb_window_head *)(void *)((uint8_t *)cell +
                                             (size_t)SB_WINDOW_SLOTS * plan->unit_size);
}
static inline bool sb_unit_used(const struct sb_window_unit *unit)
{
    return unit->end_ms > unit->start_ms;
}
static inline sabot_window_bounds sb_unit_bounds(const struct sb_window_unit *unit)
{
    return (sabot_window_bounds){unit->start_ms, unit->end_ms};
}

#endif
