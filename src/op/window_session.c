/* SPDX-License-Identifier: Apache-2.0 */
/* window_session.c - sessions: a record keeps one open for its gap, and may join several.
 *
 *     before    |--- a ---|       |--- b ---|
 *     record          |--- gap ---|.                overlaps both
 *     after     |--------------- a --------|        b's content and firings are a's now
 *
 * Sessions of a key never overlap, so their order is that of their starts, and stays so when one
 * grows. A session's timer is not moved when it grows: when it fires it finds the session's end
 * later, and is set anew.
 *
 * Threads: the worker's. Memory: one unit of scratch. */
#include <string.h>

#include "base/mutant.h"
#include "op/window_engine.h"
#include "op/window_part.h"
#include "op/window_unit.h"

static bool overlap(const struct sb_window_unit *unit, sabot_window_bounds bounds)
{
    return unit->start_ms < bounds.end_ms && unit->end_ms > bounds.start_ms;
}

/* The first session that overlaps the bounds; NULL: none. */
static sabot_status find_overlap(struct sb_window_engine *engine,
                                 sabot_window_bounds bounds,
                                 const struct sb_window_unit **unit_out,
                                 sabot_error *error)
{
    const struct sb_window_unit *unit;
    struct sb_unit_walk walk;

    *unit_out = NULL;
    SABOT_TRY(sb_units_walk(engine, &walk, error));
    while ((unit = sb_units_next(engine, &walk)) != NULL) {
        if (overlap(unit, bounds)) {
            *unit_out = unit;
            return SABOT_OK;
        }
    }
    return sb_store_status(engine->store, error);
}

/* The session in scratch takes in a later one. */
static sabot_status merge(struct sb_window_engine *engine,
                          struct sb_window_unit *other,
                          sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    struct sb_window_unit *unit = engine->combined;
    struct sb_window_meta *into = sb_unit_meta(plan, unit);
    const struct sb_window_meta *from = sb_unit_look(plan, other);

    if (plan->parts_state != 0)
        SABOT_TRY(sb_parts_merge(engine, unit, other, error));
    unit->records += other->records;
    for (uint32_t i = 0; i < plan->fold_count && !SB_MUTANT(SESSION_PART_LOST); i++)
        SABOT_TRY(sb_fold_merge(plan, &plan->folds[i], sb_unit_fold(&plan->folds[i], unit),
                                sb_unit_fold(&plan->folds[i], other), error));
    if (into == NULL)
        return SABOT_OK;
    into->told += from->told;
    into->firings = from->firings > into->firings ? from->firings : into->firings;
    into->newest_ms = from->newest_ms > into->newest_ms ? from->newest_ms : into->newest_ms;
    if (from->early_set != 0 && (into->early_set == 0 || from->early_ms < into->early_ms)) {
        into->early_set = 1;
        into->early_ms = from->early_ms;
    }
    return SABOT_OK;
}

static void widen(sabot_window_bounds *bounds, const struct sb_window_unit *unit)
{
    if (unit->start_ms < bounds->start_ms)
        bounds->start_ms = unit->start_ms;
    if (unit->end_ms > bounds->end_ms)
        bounds->end_ms = unit->end_ms;
}

/* All sessions that overlap `bounds` become one, which lies anew; `first` is the first of them. */
static sabot_status join(struct sb_window_engine *engine,
                         const struct sb_window_unit *first,
                         sabot_window_bounds bounds,
                         struct sb_window_unit **unit_out,
                         sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const sabot_window_bounds record = bounds;
    const struct sb_window_unit *seen = first;

    memcpy(engine->combined, first, plan->unit_size);
    for (bool is_first = true; seen != NULL; is_first = false) {
        widen(&bounds, seen);
        if (!is_first) {
            struct sb_window_unit *other = sb_unit_edit(engine, seen, error);

            if (other == NULL)
                return error->status;
            SABOT_TRY(merge(engine, other, error));
        }
        SABOT_TRY(sb_unit_forget(engine, sb_unit_bounds(seen), error));
        SABOT_TRY(find_overlap(engine, record, &seen, error));
    }
    SABOT_TRY(sb_unit_open(engine, bounds, unit_out, error));
    memcpy(*unit_out, engine->combined, plan->unit_size);
    (*unit_out)->start_ms = bounds.start_ms;
    (*unit_out)->end_ms = bounds.end_ms;
    return SABOT_OK;
}

/* Is it the newest session, alone, in its slot? Then it grows where it is. */
static bool grows_in_place(const struct sb_window_engine *engine, const struct sb_window_unit *unit)
{
    return unit == sb_cell_unit(engine->plan, engine->head, 0);
}

static sabot_status gap_of(struct sb_window_engine *engine, int64_t *gap_out, sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const sabot_window_spec *spec = &plan->spec;

    *gap_out = spec->gap_ms;
    if (spec->gap != NULL) {
        *gap_out = spec->gap(engine->input.record, engine->input.event_time_ms, spec->user);
    } else if (plan->gap_field != SB_NO_FIELD) {
        const struct sb_value value =
            sb_input_value(plan, &engine->input, (uint32_t)plan->gap_field);

        if (value.present)
            *gap_out = value.int64;
    }
    if (*gap_out < 1)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "%s: a session with a gap of %lld ms: 1 or more is needed", plan->name,
                           (long long)*gap_out);
    return SABOT_OK;
}

sabot_status sb_session_add(struct sb_window_engine *engine, bool *late_out, sabot_error *error)
{
    const int64_t time_ms = engine->input.event_time_ms;
    const struct sb_window_unit *first;
    struct sb_window_unit *unit = NULL;
    sabot_window_bounds bounds;
    int64_t last_ms;
    int64_t gap_ms;

    SABOT_TRY(gap_of(engine, &gap_ms, error));
    bounds = (sabot_window_bounds){time_ms, sb_cut_end((sb_int128)time_ms + gap_ms)};
    SABOT_TRY(find_overlap(engine, bounds, &first, error));
    *late_out = first == NULL && sb_window_is_over(engine, bounds.end_ms);
    if (*late_out)
        return SABOT_OK;
    if (first == NULL) {
        SABOT_TRY(sb_unit_open(engine, bounds, &unit, error));
    } else if (grows_in_place(engine, first)) {
        unit = sb_cell_unit(engine->plan, engine->head, 0);
        widen(&bounds, unit);
        unit->start_ms = bounds.start_ms;
        unit->end_ms = bounds.end_ms;
    } else {
        SABOT_TRY(join(engine, first, bounds, &unit, error));
    }
    SB_ASSERT(unit != NULL);
    SABOT_TRY(sb_window_fold(engine, unit, error));
    last_ms = sb_window_last_ms(unit->end_ms);
    SABOT_TRY(sb_window_wake(
        engine,
        sb_window_passed(engine, last_ms) ? sb_window_over_ms(engine->plan, unit->end_ms) : last_ms,
        error));
    return sb_window_entered(engine, unit, error);
}
