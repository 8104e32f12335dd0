/* SPDX-License-Identifier: Apache-2.0 */
/* window_engine.h - the windows of one operator or agent on one worker: what happens to a record
 * and when time passes.
 *
 *     record --> unit(s) it belongs to (window_unit.h) --> accumulators (window_fold.h),
 *                                                          parts (window_part.h)
 *            --> trigger --> fire: results made, `fired` called --> purge, if discarding
 *     timer  --> what is due: early firings, firings on time, units that are over removed
 *
 * Time: a unit waits for one event-time timer of its key. The head of the key's cell knows which
 * one (`wake_ms`); when it fires, everything that is due then is done and the next one is set. So a
 * timer is set when a unit opens or a window has fired, never per record; one that is not the
 * awaited is left over from a unit that ends earlier now, and does nothing.
 *
 * Invariants: between calls no unit in state has its last timer behind `passed_ms`, so a record
 * that finds its unit is never late; a cell without units is removed.
 *
 * Threads: the worker's. Memory: scratch of one record and one unit, made once. */
#ifndef SB_OP_WINDOW_ENGINE_H
#define SB_OP_WINDOW_ENGINE_H

#include "base/mutant.h"
#include "op/window_fold.h"

/* What a firing tells. Valid during the call of `fired`. */
struct sabot_window_result {
    struct sb_window_engine *engine;
    sabot_window_bounds bounds;
    sabot_firing firing;
    int64_t number;
    int64_t records;
    int64_t event_time_ms;
    int64_t unit_id; /* whose records are kept */
    struct sb_value values[SABOT_WINDOW_AGGREGATES_MAX];
};

typedef sabot_status (*sb_window_fired)(void *context,
                                        const struct sabot_window_result *result,
                                        sabot_error *error);

struct sb_window_engine {
    const struct sb_env *env;
    const struct sb_window_plan *plan;
    struct sb_store *store;
    uint32_t first_state; /* the plan's states in the store begin here */
    sb_window_fired fired;
    void *context; /* for it */

    int64_t watermark_ms;
    int64_t passed_ms; /* no record of this time or before is expired by more than lateness */
    int64_t processing_ms;

    /* Of the call that runs. */
    sabot_text key;
    uint64_t hash;
    struct sb_window_head *head; /* the cell; NULL: not looked up */
    struct sb_window_input input;

    /* Scratch. */
    struct sb_window_unit *combined; /* of panes */
    void *record;                    /* a kept record as a struct */
    uint8_t *present;                /* its fields */
    struct sb_buffer bytes;          /* a record being kept */
    struct sb_buffer texts;          /* of the result: collected values */
    struct sb_buffer items;          /* ids of panes; distinct values */
    sabot_window_bounds *assigned;   /* by the spec's function */
};

/* `store` has the plan's states from `first_state` on. */
SABOT_MUST_CHECK sabot_status sb_window_engine_init(struct sb_window_engine *engine,
                                                    const struct sb_env *env,
                                                    const struct sb_window_plan *plan,
                                                    struct sb_store *store,
                                                    uint32_t first_state,
                                                    sabot_error *error);
void sb_window_engine_reset(struct sb_window_engine *engine);

/* The clocks, before records and timers. `passed_ms`: the time that has passed for good. */
void sb_window_engine_time(struct sb_window_engine *engine,
                           int64_t watermark_ms,
                           int64_t passed_ms,
                           int64_t processing_ms);

/* One record of a key. *late_out: it entered no window because all of its windows are over.
 * SABOT_ERR_ARGUMENT: a gap or a window that a callback gave is none. */
SABOT_MUST_CHECK sabot_status sb_window_add(struct sb_window_engine *engine,
                                            sabot_text key,
                                            uint64_t hash,
                                            const struct sb_window_input *input,
                                            bool *late_out,
                                            sabot_error *error);

/* A timer of state `index` (of the store) has fired. */
SABOT_MUST_CHECK sabot_status sb_window_timer(struct sb_window_engine *engine,
                                              uint32_t index,
                                              sabot_text key,
                                              uint64_t hash,
                                              int64_t time_ms,
                                              sabot_error *error);

/* --- Shared by the files of the engine -----------------------------------------------------------
 */

/* Ask for a timer of this key at `time_ms`, unless an earlier one is awaited. */
SABOT_MUST_CHECK sabot_status sb_window_wake(struct sb_window_engine *engine,
                                             int64_t time_ms,
                                             sabot_error *error);

/* Fold the input into a unit: records, accumulators, parts. */
SABOT_MUST_CHECK sabot_status sb_window_fold(struct sb_window_engine *engine,
                                             struct sb_window_unit *unit,
                                             sabot_error *error);
/* Then: what its trigger says. */
SABOT_MUST_CHECK sabot_status sb_window_entered(struct sb_window_engine *engine,
                                                struct sb_window_unit *unit,
                                                sabot_error *error);

/* Make the results of a unit and tell them. `ids` of the units that it stands for, in order of
 * time. */
SABOT_MUST_CHECK sabot_status sb_window_tell(struct sb_window_engine *engine,
                                             struct sb_window_unit *unit,
                                             const int64_t *ids,
                                             uint32_t id_count,
                                             struct sabot_window_result *result,
                                             sabot_error *error);

/* Has the watermark passed this time? INT64_MIN: nothing has passed. */
static inline bool sb_window_passed(const struct sb_window_engine *engine, int64_t time_ms)
{
    return time_ms <= engine->passed_ms && engine->passed_ms != INT64_MIN;
}
/* When a window that ends then is over, lateness included. Never INT64_MAX, which is no time for a
 * timer. */
static inline int64_t sb_window_over_ms(const struct sb_window_plan *plan, int64_t end_ms)
{
    const int64_t over_ms = sb_time_add(sb_window_last_ms(end_ms), plan->spec.allowed_lateness_ms);

    return over_ms == INT64_MAX ? INT64_MAX - 1 : over_ms;
}
static inline bool sb_window_is_over(const struct sb_window_engine *engine, int64_t end_ms)
{
    return sb_window_passed(
        engine, SB_MUTANT(LATENESS_IGNORED) ? end_ms : sb_window_over_ms(engine->plan, end_ms));
}

/* window_pane.c */
SABOT_MUST_CHECK sabot_status sb_pane_add(struct sb_window_engine *engine,
                                          bool *late_out,
                                          sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_pane_timer(struct sb_window_engine *engine,
                                            int64_t time_ms,
                                            sabot_error *error);
/* window_session.c */
SABOT_MUST_CHECK sabot_status sb_session_add(struct sb_window_engine *engine,
                                             bool *late_out,
                                             sabot_error *error);

#endif
