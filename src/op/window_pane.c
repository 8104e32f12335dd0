/* SPDX-License-Identifier: Apache-2.0 */
/* window_pane.c - sliding windows put together of panes.
 *
 *     windows   |-------- 1 --------|                      size = 3 panes, slide = 1 pane
 *                      |-------- 2 --------|
 *     panes     |  a   |  b  |  c   |  d   |
 *
 * A record is added to the one pane that holds it, however many windows share that. When the
 * watermark passes the last millisecond of a window its panes are combined, in order of time; a
 * pane goes when its last window is over. (A. Arasu and J. Widom, VLDB 2004; "No Pane, No Gain",
 * 2005; "Cutty", CIKM 2016; "Scotty", ICDE 2018.)
 *
 * A record that comes after one of its windows has fired makes each such window fire again that is
 * not over yet; how often a window has fired is then kept beside the panes (window_part.h).
 *
 * Threads: the worker's. Memory: one unit of scratch. */
#include <string.h>

#include "op/window_engine.h"
#include "op/window_part.h"
#include "op/window_unit.h"

/* --- Firing --------------------------------------------------------------------------------------
 */

static sabot_status add_pane(struct sb_window_engine *engine,
                             const struct sb_window_unit *pane,
                             sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    struct sb_window_unit *combined = engine->combined;
    const struct sb_window_meta *meta = sb_unit_look(plan, pane);

    combined->records += pane->records;
    if (meta != NULL && sb_buffer_append(&engine->items, &meta->id, sizeof meta->id) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to combine panes", plan->name);
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        const struct sb_fold *fold = &plan->folds[i];

        SABOT_TRY(sb_fold_merge(plan, fold, sb_unit_fold(fold, combined),
                                (const uint8_t *)pane + fold->offset, error));
    }
    return SABOT_OK;
}

static sabot_status combine(struct sb_window_engine *engine,
                            sabot_window_bounds bounds,
                            sabot_error *error)
{
    const struct sb_window_unit *pane;
    struct sb_unit_walk walk;

    memset(engine->combined, 0, engine->plan->unit_size);
    engine->combined->start_ms = bounds.start_ms;
    engine->combined->end_ms = bounds.end_ms;
    engine->items.size = 0;
    SABOT_TRY(sb_units_walk(engine, &walk, error));
    while ((pane = sb_units_next(engine, &walk)) != NULL && pane->start_ms < bounds.end_ms) {
        if (pane->start_ms >= bounds.start_ms)
            SABOT_TRY(add_pane(engine, pane, error));
    }
    return sb_store_status(engine->store, error);
}

static sabot_status fire(struct sb_window_engine *engine,
                         sb_int128 number,
                         sabot_firing firing,
                         sabot_error *error)
{
    const sabot_window_bounds bounds = sb_window_bounds(&engine->plan->grid, number);
    struct sabot_window_result result = {
        .bounds = bounds,
        .firing = firing,
        .number = 1,
        .event_time_ms = sb_window_last_ms(bounds.end_ms),
    };

    SABOT_TRY(combine(engine, bounds, error));
    if (engine->combined->records == 0)
        return SABOT_OK;
    if (engine->plan->spec.allowed_lateness_ms > 0)
        SABOT_TRY(sb_firings_count(engine, number, &result.number, error));
    return sb_window_tell(engine, engine->combined,
                          (const int64_t *)(const void *)engine->items.data,
                          (uint32_t)(engine->items.size / sizeof(int64_t)), &result, error);
}

/* --- When something is due -----------------------------------------------------------------------
 */

/* The first window that fires on time after `time_ms`. */
static sb_int128 first_after(const struct sb_window_grid *grid, sb_int128 time_ms)
{
    const sb_int128 before = time_ms + 1 - grid->offset_ms - grid->size_ms;

    return sb_floor_divide(before, grid->slide_ms) + 1;
}

/* When a pane is over: with the last of its windows. */
static int64_t over_ms(const struct sb_window_plan *plan, int64_t start_ms)
{
    const sb_int128 last = sb_window_last_of(&plan->grid, start_ms);

    return sb_window_over_ms(plan, sb_window_bounds(&plan->grid, last).end_ms);
}

/* When the first of its windows fires on time after `time_ms`; INT64_MAX: none does. */
static int64_t fires_ms(const struct sb_window_grid *grid, int64_t start_ms, int64_t time_ms)
{
    const sb_int128 first = sb_window_first_of(grid, start_ms);
    const sb_int128 after = first_after(grid, time_ms);
    const sb_int128 number = first > after ? first : after;
    int64_t last_ms;

    if (number > sb_window_last_of(grid, start_ms))
        return INT64_MAX;
    last_ms = sb_window_last_ms(sb_window_bounds(grid, number).end_ms);
    return last_ms > time_ms ? last_ms : INT64_MAX;
}

/* --- Records -------------------------------------------------------------------------------------
 */

static sabot_status open_pane(struct sb_window_engine *engine,
                              sabot_window_bounds pane,
                              struct sb_window_unit **unit_out,
                              sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const int64_t next_ms = fires_ms(&plan->grid, pane.start_ms, engine->passed_ms);
    const int64_t end_ms = over_ms(plan, pane.start_ms);

    SABOT_TRY(sb_unit_open(engine, pane, unit_out, error));
    return sb_window_wake(engine, next_ms < end_ms ? next_ms : end_ms, error);
}

/* Windows of this record that have fired already and are not over. */
static sabot_status fire_late(struct sb_window_engine *engine, sabot_error *error)
{
    const struct sb_window_grid *grid = &engine->plan->grid;
    const int64_t time_ms = engine->input.event_time_ms;
    const sb_int128 last = sb_window_last_of(grid, time_ms);

    for (sb_int128 number = sb_window_first_of(grid, time_ms); number <= last; number++) {
        const int64_t end_ms = sb_window_bounds(grid, number).end_ms;

        if (!sb_window_passed(engine, sb_window_last_ms(end_ms)))
            break;
        if (!sb_window_is_over(engine, end_ms))
            SABOT_TRY(fire(engine, number, SABOT_LATE, error));
    }
    return SABOT_OK;
}

sabot_status sb_pane_add(struct sb_window_engine *engine, bool *late_out, sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const int64_t time_ms = engine->input.event_time_ms;
    const sabot_window_bounds pane = sb_window_pane(&plan->grid, time_ms);
    const sb_int128 last = sb_window_last_of(&plan->grid, time_ms);
    struct sb_window_unit *unit = NULL;

    *late_out = sb_window_is_over(engine, sb_window_bounds(&plan->grid, last).end_ms);
    if (*late_out)
        return SABOT_OK;
    SABOT_TRY(sb_unit_find(engine, pane, &unit, error));
    if (unit == NULL)
        SABOT_TRY(open_pane(engine, pane, &unit, error));
    SABOT_TRY(sb_window_fold(engine, unit, error));
    return plan->spec.allowed_lateness_ms > 0 ? fire_late(engine, error) : SABOT_OK;
}

/* --- Timers --------------------------------------------------------------------------------------
 */

/* Windows whose last millisecond this is: one, but at the end of time, where all are cut. */
static sabot_status fire_on_time(struct sb_window_engine *engine,
                                 int64_t time_ms,
                                 sabot_error *error)
{
    const struct sb_window_grid *grid = &engine->plan->grid;
    sb_int128 last = first_after(grid, time_ms) - 1;

    if (time_ms == INT64_MAX - 1)
        last = sb_window_last_of(grid, INT64_MAX - 1);
    for (sb_int128 number = first_after(grid, (sb_int128)time_ms - 1); number <= last; number++)
        SABOT_TRY(fire(engine, number, SABOT_ON_TIME, error));
    return SABOT_OK;
}

/* Close the panes that are over, the oldest; find when something is due of the others. The first
 * one that still fires tells when: those behind it fire no sooner. */
static sabot_status close_panes(struct sb_window_engine *engine,
                                int64_t time_ms,
                                int64_t *wake_out,
                                sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const struct sb_window_unit *pane;
    struct sb_unit_walk walk;
    int64_t next_ms = INT64_MAX;

    *wake_out = INT64_MAX;
    SABOT_TRY(sb_units_walk(engine, &walk, error));
    while (next_ms == INT64_MAX && (pane = sb_units_next(engine, &walk)) != NULL) {
        const int64_t end_ms = over_ms(plan, pane->start_ms);

        if (end_ms <= time_ms) {
            SABOT_TRY(sb_unit_close(engine, pane, error));
            continue;
        }
        next_ms = fires_ms(&plan->grid, pane->start_ms, time_ms);
        *wake_out = end_ms < *wake_out ? end_ms : *wake_out;
    }
    *wake_out = next_ms < *wake_out ? next_ms : *wake_out;
    return sb_store_status(engine->store, error);
}

sabot_status sb_pane_timer(struct sb_window_engine *engine, int64_t time_ms, sabot_error *error)
{
    int64_t wake_ms;

    SABOT_TRY(fire_on_time(engine, time_ms, error));
    SABOT_TRY(close_panes(engine, time_ms, &wake_ms, error));
    if (engine->plan->spec.allowed_lateness_ms > 0)
        SABOT_TRY(sb_firings_drop(engine, time_ms, error));
    return wake_ms == INT64_MAX ? SABOT_OK : sb_window_wake(engine, wake_ms, error);
}
