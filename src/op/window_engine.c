/* SPDX-License-Identifier: Apache-2.0 */
/* window_engine.c - records into windows, triggers, firings, timers.
 *
 * The model is that of T. Akidau et al., "The Dataflow Model", VLDB 2015: what is computed
 * (aggregates), where in event time (windows), when in processing time (triggers), and how
 * refinements relate (accumulating or discarding).
 *
 *     sb_window_add
 *         units:    the windows that hold the record, each with a unit of its own
 *         panes:    window_pane.c
 *         sessions: window_session.c
 *     sb_window_timer
 *         what is due of each unit at this time; then the next time to wake
 *
 * Threads: the worker's. Memory: the engine's scratch. */
#include "op/window_engine.h"

#include <string.h>

#include "op/window_part.h"
#include "op/window_unit.h"

/* --- Making --------------------------------------------------------------------------------------
 */

sabot_status sb_window_engine_init(struct sb_window_engine *engine,
                                   const struct sb_env *env,
                                   const struct sb_window_plan *plan,
                                   struct sb_store *store,
                                   uint32_t first_state,
                                   sabot_error *error)
{
    *engine = (struct sb_window_engine){
        .env = env,
        .plan = plan,
        .store = store,
        .first_state = first_state,
        .watermark_ms = INT64_MIN,
        .passed_ms = INT64_MIN,
    };
    sb_buffer_init(&engine->bytes, env);
    sb_buffer_init(&engine->texts, env);
    sb_buffer_init(&engine->items, env);
    engine->combined = sb_alloc(env, plan->unit_size);
    engine->record = sb_alloc(env, plan->input->record_size);
    engine->present = sb_alloc(env, SABOT_FIELDS_MAX / 8);
    engine->assigned = sb_alloc_array(env, SABOT_WINDOW_ASSIGN_MAX, sizeof *engine->assigned);
    if (engine->combined == NULL || engine->record == NULL || engine->present == NULL ||
        engine->assigned == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its windows", plan->name);
    return SABOT_OK;
}

void sb_window_engine_reset(struct sb_window_engine *engine)
{
    if (engine->env == NULL)
        return;
    sb_free(engine->env, engine->combined, engine->plan->unit_size);
    sb_free(engine->env, engine->record, engine->plan->input->record_size);
    sb_free(engine->env, engine->present, SABOT_FIELDS_MAX / 8);
    sb_free_array(engine->env, engine->assigned, SABOT_WINDOW_ASSIGN_MAX, sizeof *engine->assigned);
    sb_buffer_reset(&engine->bytes);
    sb_buffer_reset(&engine->texts);
    sb_buffer_reset(&engine->items);
    *engine = (struct sb_window_engine){.env = NULL};
}

void sb_window_engine_time(struct sb_window_engine *engine,
                           int64_t watermark_ms,
                           int64_t passed_ms,
                           int64_t processing_ms)
{
    SB_ASSERT(watermark_ms >= engine->watermark_ms);
    SB_ASSERT(passed_ms >= engine->passed_ms);
    engine->watermark_ms = watermark_ms;
    engine->passed_ms = passed_ms;
    engine->processing_ms = processing_ms;
}

sabot_status sb_window_wake(struct sb_window_engine *engine, int64_t time_ms, sabot_error *error)
{
    struct sb_window_head *head = engine->head;

    SB_ASSERT(time_ms < INT64_MAX);
    if (head->awaits != 0 && head->wake_ms <= time_ms)
        return SABOT_OK;
    head->awaits = 1;
    head->wake_ms = time_ms;
    return sb_timer_set(engine->store, engine->first_state + SB_WINDOW_CLOSE, engine->key,
                        engine->hash, time_ms, error);
}

/* --- What is in a unit ---------------------------------------------------------------------------
 */

static sabot_status fold_input(struct sb_window_engine *engine,
                               struct sb_window_unit *unit,
                               sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;

    SABOT_TRY(sb_parts_add(engine, unit, error));
    for (uint32_t i = 0; i < plan->fold_count; i++)
        SABOT_TRY(sb_fold_add(plan, &plan->folds[i], &engine->input,
                              sb_unit_fold(&plan->folds[i], unit), error));
    return SABOT_OK;
}

sabot_status sb_window_fold(struct sb_window_engine *engine,
                            struct sb_window_unit *unit,
                            sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    struct sb_window_meta *meta = sb_unit_meta(plan, unit);

    unit->records++;
    if (meta != NULL && engine->input.event_time_ms > meta->newest_ms)
        meta->newest_ms = engine->input.event_time_ms;
    if (plan->keeps_records)
        SABOT_TRY(sb_records_add(engine, unit, error));
    return plan->folds_at_firing ? SABOT_OK : fold_input(engine, unit, error);
}

static void clear_folds(const struct sb_window_plan *plan, struct sb_window_unit *unit)
{
    for (uint32_t i = 0; i < plan->fold_count; i++)
        memset(sb_unit_fold(&plan->folds[i], unit), 0, plan->folds[i].size);
}

/* Forget what is in it; it goes on counting its firings. */
static sabot_status purge(struct sb_window_engine *engine,
                          struct sb_window_unit *unit,
                          sabot_error *error)
{
    struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);

    unit->records = 0;
    clear_folds(engine->plan, unit);
    if (meta == NULL)
        return SABOT_OK;
    meta->told = 0;
    meta->newest_ms = INT64_MIN;
    return engine->plan->parts_state == 0 ? SABOT_OK : sb_parts_drop(engine, unit, true, error);
}

/* --- Eviction ------------------------------------------------------------------------------------
 */

static sabot_window_view view_of(const struct sb_window_engine *engine,
                                 struct sb_window_unit *unit,
                                 sabot_window_moment moment)
{
    const struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);
    const bool has_record = moment == SABOT_ON_RECORD || moment == SABOT_ON_LATE_RECORD;

    SB_ASSERT(meta != NULL);
    return (sabot_window_view){
        .moment = moment,
        .bounds = sb_unit_bounds(unit),
        .records = unit->records,
        .fresh = unit->records - meta->told,
        .firings = meta->firings,
        .watermark_ms = engine->watermark_ms,
        .processing_ms = engine->processing_ms,
        .event_time_ms = has_record ? engine->input.event_time_ms : meta->newest_ms,
        .record = has_record ? engine->input.record : NULL,
    };
}

/* What of the records stays is folded anew. `count` of all. */
static sabot_status evict_and_fold(struct sb_window_engine *engine,
                                   struct sb_window_unit *unit,
                                   int64_t count,
                                   sabot_error *error)
{
    const sabot_window_spec *spec = &engine->plan->spec;
    struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);
    const struct sb_window_input input = engine->input;
    const int64_t too_many = spec->evict_count > 0 ? count - spec->evict_count : 0;
    const int64_t oldest_ms = spec->evict_age_ms > 0
                                  ? sb_cut_to_int64((sb_int128)meta->newest_ms - spec->evict_age_ms)
                                  : INT64_MIN;
    const sabot_window_view view = view_of(engine, unit, SABOT_ON_END);
    struct sb_records_walk walk;
    int64_t time_ms;
    sabot_text kept;

    SABOT_TRY(sb_records_walk(engine, meta->id, &walk, error));
    unit->records = 0;
    meta->newest_ms = INT64_MIN;
    for (int64_t i = 0; sb_records_next(engine, &walk, &kept, &time_ms); i++) {
        SABOT_TRY(sb_records_decode(engine, kept, error));
        if (i < too_many || time_ms < oldest_ms ||
            (spec->evictor != NULL && !spec->evictor(&view, engine->record, time_ms, spec->user))) {
            SABOT_TRY(sb_records_remove(engine, &walk, error));
            continue;
        }
        unit->records++;
        meta->newest_ms = time_ms;
        engine->input = (struct sb_window_input){
            .record = engine->record, .present = engine->present, .event_time_ms = time_ms};
        SABOT_TRY(fold_input(engine, unit, error));
    }
    engine->input = input;
    return sb_store_status(engine->store, error);
}

static sabot_status evict(struct sb_window_engine *engine,
                          struct sb_window_unit *unit,
                          sabot_error *error)
{
    if (!engine->plan->folds_at_firing)
        return SABOT_OK;
    SABOT_TRY(sb_parts_drop(engine, unit, false, error));
    clear_folds(engine->plan, unit);
    return evict_and_fold(engine, unit, unit->records, error);
}

/* --- Firing --------------------------------------------------------------------------------------
 */

sabot_status sb_window_tell(struct sb_window_engine *engine,
                            struct sb_window_unit *unit,
                            const int64_t *ids,
                            uint32_t id_count,
                            struct sabot_window_result *result,
                            sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    const char *text;

    engine->texts.size = 0;
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        const struct sb_fold *fold = &plan->folds[i];
        const bool counted = fold->function == SABOT_WINDOW_COUNT_DISTINCT && id_count == 1;

        if (fold->has_parts && !counted)
            SABOT_TRY(sb_parts_result(engine, fold, ids, id_count, &result->values[i], error));
        else if (counted)
            result->values[i] = (struct sb_value){
                .present = true, .int64 = *(const int64_t *)sb_unit_fold(fold, unit)};
        else
            SABOT_TRY(sb_fold_result(plan, fold, sb_unit_fold(fold, unit), unit->records,
                                     &result->values[i], error));
    }
    text = (const char *)engine->texts.data;
    for (uint32_t i = 0; i < plan->fold_count; i++) {
        if (plan->folds[i].function != SABOT_WINDOW_COLLECT || !result->values[i].present)
            continue;
        result->values[i].text.data = text;
        text += result->values[i].text.size;
    }
    result->engine = engine;
    result->records = unit->records;
    return engine->fired(engine->context, result, error);
}

static sabot_status fire(struct sb_window_engine *engine,
                         struct sb_window_unit *unit,
                         sabot_firing firing,
                         sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    struct sb_window_meta *meta = sb_unit_meta(plan, unit);
    struct sabot_window_result result = {
        .bounds = sb_unit_bounds(unit),
        .firing = firing,
        .number = 1,
        .event_time_ms = sb_window_last_ms(unit->end_ms),
    };

    SABOT_TRY(evict(engine, unit, error));
    if (unit->records == 0)
        return SABOT_OK;
    if (meta != NULL) {
        result.number = ++meta->firings;
        result.unit_id = meta->id;
        if (plan->spec.kind == SABOT_GLOBAL)
            result.event_time_ms = meta->newest_ms;
    }
    SABOT_TRY(sb_window_tell(engine, unit, &result.unit_id, 1, &result, error));
    if (plan->spec.discarding)
        return purge(engine, unit, error);
    if (meta != NULL)
        meta->told = unit->records;
    return SABOT_OK;
}

/* --- Triggers ------------------------------------------------------------------------------------
 */

static sabot_status ask(struct sb_window_engine *engine,
                        struct sb_window_unit *unit,
                        sabot_window_moment moment,
                        sabot_firing firing,
                        sabot_error *error)
{
    const sabot_window_spec *spec = &engine->plan->spec;
    const sabot_window_view view = view_of(engine, unit, moment);
    const sabot_window_action action = spec->trigger(&view, spec->user);

    if ((unsigned)action > SABOT_FIRE_AND_PURGE)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "%s: its trigger returned %d, which is no sabot_window_action",
                           engine->plan->name, (int)action);
    if (action == SABOT_FIRE || action == SABOT_FIRE_AND_PURGE)
        SABOT_TRY(fire(engine, unit, firing, error));
    if (action == SABOT_PURGE || action == SABOT_FIRE_AND_PURGE)
        return purge(engine, unit, error);
    return SABOT_OK;
}

/* The next multiple of early_ms that the watermark has to reach, if that is before the end. */
static sabot_status wait_for_event_time(struct sb_window_engine *engine,
                                        const struct sb_window_unit *unit,
                                        struct sb_window_meta *meta,
                                        sabot_error *error)
{
    const int64_t early_ms = engine->plan->spec.early_ms;
    const int64_t time_ms = engine->input.event_time_ms;
    /* The watermark reaches this time or a later one next. */
    const sb_int128 from = time_ms > engine->passed_ms ? time_ms : (sb_int128)engine->passed_ms + 1;
    const sb_int128 next = (sb_floor_divide(from, early_ms) + 1) * early_ms - 1;

    if (next >= sb_window_last_ms(unit->end_ms) ||
        (meta->early_set != 0 && meta->early_ms <= (int64_t)next))
        return SABOT_OK;
    meta->early_set = 1;
    meta->early_ms = (int64_t)next;
    return sb_window_wake(engine, meta->early_ms, error);
}

static sabot_status wait_for_early_time(struct sb_window_engine *engine,
                                        const struct sb_window_unit *unit,
                                        struct sb_window_meta *meta,
                                        sabot_error *error)
{
    if (engine->plan->spec.early_clock == SABOT_EVENT_TIME)
        return wait_for_event_time(engine, unit, meta, error);
    if (meta->early_set != 0)
        return SABOT_OK;
    meta->early_set = 1;
    meta->early_ms = sb_time_add(engine->processing_ms, engine->plan->spec.early_ms);
    if (meta->early_ms == INT64_MAX)
        meta->early_ms = INT64_MAX - 1;
    return sb_timer_set(engine->store, engine->first_state + engine->plan->early_state, engine->key,
                        engine->hash, meta->early_ms, error);
}

sabot_status sb_window_entered(struct sb_window_engine *engine,
                               struct sb_window_unit *unit,
                               sabot_error *error)
{
    const sabot_window_spec *spec = &engine->plan->spec;
    const bool is_late = sb_window_passed(engine, sb_window_last_ms(unit->end_ms));
    const sabot_firing firing = is_late ? SABOT_LATE : SABOT_EARLY;
    struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);

    if (meta == NULL)
        return SABOT_OK; /* it fires at its end only */
    if (spec->early_ms > 0 && !is_late)
        SABOT_TRY(wait_for_early_time(engine, unit, meta, error));
    if (spec->trigger != NULL)
        return ask(engine, unit, is_late ? SABOT_ON_LATE_RECORD : SABOT_ON_RECORD, firing, error);
    if (is_late || (spec->early_count > 0 && unit->records - meta->told >= spec->early_count))
        return fire(engine, unit, firing, error);
    return SABOT_OK;
}

/* --- Windows with a unit of their own ------------------------------------------------------------
 */

static sabot_status add_to_window(struct sb_window_engine *engine,
                                  sabot_window_bounds bounds,
                                  sabot_error *error)
{
    const int64_t last_ms = sb_window_last_ms(bounds.end_ms);
    struct sb_window_unit *unit = NULL;

    SABOT_TRY(sb_unit_find(engine, bounds, &unit, error));
    if (unit == NULL) {
        SABOT_TRY(sb_unit_open(engine, bounds, &unit, error));
        SABOT_TRY(sb_window_wake(engine,
                                 sb_window_passed(engine, last_ms)
                                     ? sb_window_over_ms(engine->plan, bounds.end_ms)
                                     : last_ms,
                                 error));
    }
    SABOT_TRY(sb_window_fold(engine, unit, error));
    return sb_window_entered(engine, unit, error);
}

/* Count the windows that were given, and the ones of them that live. */
struct entry {
    uint32_t given;
    uint32_t entered;
};

static sabot_status enter(struct sb_window_engine *engine,
                          sabot_window_bounds bounds,
                          struct entry *entry,
                          sabot_error *error)
{
    entry->given++;
    if (sb_window_is_over(engine, bounds.end_ms))
        return SABOT_OK;
    entry->entered++;
    return add_to_window(engine, bounds, error);
}

static sabot_status enter_assigned(struct sb_window_engine *engine,
                                   struct entry *entry,
                                   sabot_error *error)
{
    const sabot_window_spec *spec = &engine->plan->spec;
    const uint32_t count = spec->assign(engine->input.record, engine->input.event_time_ms,
                                        engine->assigned, spec->user);

    if (count > SABOT_WINDOW_ASSIGN_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: a record in %u windows, %d are allowed",
                           engine->plan->name, count, SABOT_WINDOW_ASSIGN_MAX);
    for (uint32_t i = 0; i < count; i++) {
        sabot_window_bounds bounds = engine->assigned[i];

        if (bounds.end_ms <= bounds.start_ms)
            return sabot_raise(
                error, SABOT_ERR_ARGUMENT, "%s: a window from %lld to %lld ms holds nothing",
                engine->plan->name, (long long)bounds.start_ms, (long long)bounds.end_ms);
        bounds.end_ms = sb_cut_end(bounds.end_ms);
        SABOT_TRY(enter(engine, bounds, entry, error));
    }
    return SABOT_OK;
}

static sabot_status add_to_units(struct sb_window_engine *engine,
                                 bool *late_out,
                                 sabot_error *error)
{
    const struct sb_window_grid *grid = &engine->plan->grid;
    const int64_t time_ms = engine->input.event_time_ms;
    struct entry entry = {0, 0};

    if (engine->plan->spec.kind == SABOT_GLOBAL) {
        SABOT_TRY(enter(engine, (sabot_window_bounds){INT64_MIN, INT64_MAX}, &entry, error));
    } else if (engine->plan->spec.kind == SABOT_ASSIGNED) {
        SABOT_TRY(enter_assigned(engine, &entry, error));
    } else {
        const sb_int128 last = sb_window_last_of(grid, time_ms);

        for (sb_int128 number = sb_window_first_of(grid, time_ms); number <= last; number++)
            SABOT_TRY(enter(engine, sb_window_bounds(grid, number), &entry, error));
    }
    *late_out = entry.given > 0 && entry.entered == 0;
    return SABOT_OK;
}

/* --- Records -------------------------------------------------------------------------------------
 */

sabot_status sb_window_add(struct sb_window_engine *engine,
                           sabot_text key,
                           uint64_t hash,
                           const struct sb_window_input *input,
                           bool *late_out,
                           sabot_error *error)
{
    engine->key = key;
    engine->hash = hash;
    engine->input = *input;
    engine->input.event_time_ms = sb_time_inside(input->event_time_ms);
    *late_out = false;
    SABOT_TRY(sb_units_begin(engine, error));
    switch (engine->plan->mode) {
    case SB_WINDOW_OF_UNITS: SABOT_TRY(add_to_units(engine, late_out, error)); break;
    case SB_WINDOW_OF_PANES: SABOT_TRY(sb_pane_add(engine, late_out, error)); break;
    case SB_WINDOW_OF_SESSIONS: SABOT_TRY(sb_session_add(engine, late_out, error)); break;
    }
    SABOT_TRY(sb_units_end(engine, error));
    return sb_store_status(engine->store, error);
}

/* --- Timers --------------------------------------------------------------------------------------
 */

/* When something is due of a unit whose last millisecond `has_passed`. */
static int64_t due_ms(const struct sb_window_engine *engine,
                      const struct sb_window_unit *unit,
                      bool has_passed)
{
    const struct sb_window_meta *meta = sb_unit_look(engine->plan, unit);
    const int64_t end_ms = has_passed ? sb_window_over_ms(engine->plan, unit->end_ms)
                                      : sb_window_last_ms(unit->end_ms);

    if (meta != NULL && meta->early_set != 0 &&
        engine->plan->spec.early_clock == SABOT_EVENT_TIME && meta->early_ms < end_ms)
        return meta->early_ms;
    return end_ms;
}

static sabot_status fire_early(struct sb_window_engine *engine,
                               struct sb_window_unit *unit,
                               sabot_error *error)
{
    struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);

    meta->early_set = 0;
    if (unit->records == meta->told)
        return SABOT_OK;
    if (engine->plan->spec.trigger != NULL)
        return ask(engine, unit, SABOT_ON_EARLY_TIME, SABOT_EARLY, error);
    return fire(engine, unit, SABOT_EARLY, error);
}

/* What is due of a unit at its event time `time_ms`. */
static sabot_status act(struct sb_window_engine *engine,
                        struct sb_window_unit *unit,
                        int64_t time_ms,
                        sabot_error *error)
{
    const int64_t last_ms = sb_window_last_ms(unit->end_ms);
    struct sb_window_meta *meta = sb_unit_meta(engine->plan, unit);

    if (last_ms == time_ms) {
        if (meta != NULL)
            meta->early_set = 0;
        if (engine->plan->spec.trigger != NULL)
            SABOT_TRY(ask(engine, unit, SABOT_ON_END, SABOT_ON_TIME, error));
        else
            SABOT_TRY(fire(engine, unit, SABOT_ON_TIME, error));
    } else if (last_ms > time_ms) {
        return fire_early(engine, unit, error);
    }
    if (sb_window_over_ms(engine->plan, unit->end_ms) > time_ms)
        return SABOT_OK;
    return sb_unit_close(engine, unit, error);
}

/* What is due of a unit; *next_out is when there is more, INT64_MAX: it is closed. */
static sabot_status visit(struct sb_window_engine *engine,
                          const struct sb_window_unit *seen,
                          int64_t time_ms,
                          int64_t *next_out,
                          sabot_error *error)
{
    const int64_t last_ms = sb_window_last_ms(seen->end_ms);
    const bool closes =
        last_ms <= time_ms && sb_window_over_ms(engine->plan, seen->end_ms) <= time_ms;
    struct sb_window_unit *unit;

    *next_out = due_ms(engine, seen, last_ms < time_ms);
    if (*next_out > time_ms)
        return SABOT_OK;
    unit = sb_unit_edit(engine, seen, error);
    if (unit == NULL)
        return error->status;
    SABOT_TRY(act(engine, unit, time_ms, error));
    *next_out = closes ? INT64_MAX : due_ms(engine, unit, last_ms <= time_ms);
    return SABOT_OK;
}

static sabot_status unit_timer(struct sb_window_engine *engine, int64_t time_ms, sabot_error *error)
{
    const struct sb_window_unit *seen;
    int64_t wake_ms = INT64_MAX;
    struct sb_unit_walk walk;

    SABOT_TRY(sb_units_walk(engine, &walk, error));
    while ((seen = sb_units_next(engine, &walk)) != NULL) {
        int64_t next_ms;

        SABOT_TRY(visit(engine, seen, time_ms, &next_ms, error));
        wake_ms = next_ms < wake_ms ? next_ms : wake_ms;
    }
    return wake_ms == INT64_MAX ? SABOT_OK : sb_window_wake(engine, wake_ms, error);
}

/* Early firings by the machine's clock. */
static sabot_status early_timer(struct sb_window_engine *engine,
                                int64_t time_ms,
                                sabot_error *error)
{
    const struct sb_window_unit *seen;
    struct sb_unit_walk walk;

    SABOT_TRY(sb_units_walk(engine, &walk, error));
    while ((seen = sb_units_next(engine, &walk)) != NULL) {
        const struct sb_window_meta *meta = sb_unit_look(engine->plan, seen);
        struct sb_window_unit *unit;

        if (meta->early_set == 0 || meta->early_ms > time_ms)
            continue;
        unit = sb_unit_edit(engine, seen, error);
        if (unit == NULL)
            return error->status;
        SABOT_TRY(fire_early(engine, unit, error));
    }
    return SABOT_OK;
}

static sabot_status close_timer(struct sb_window_engine *engine,
                                int64_t time_ms,
                                sabot_error *error)
{
    if (engine->head->awaits == 0 || engine->head->wake_ms != time_ms)
        return SABOT_OK; /* of a unit that is not there any more */
    engine->head->awaits = 0;
    if (engine->plan->mode == SB_WINDOW_OF_PANES)
        return sb_pane_timer(engine, time_ms, error);
    return unit_timer(engine, time_ms, error);
}

sabot_status sb_window_timer(struct sb_window_engine *engine,
                             uint32_t index,
                             sabot_text key,
                             uint64_t hash,
                             int64_t time_ms,
                             sabot_error *error)
{
    engine->key = key;
    engine->hash = hash;
    engine->input = (struct sb_window_input){.event_time_ms = time_ms};
    if (!sb_store_has(engine->store, engine->first_state + SB_WINDOW_CELLS, key, hash))
        return sb_store_status(engine->store, error);
    SABOT_TRY(sb_units_begin(engine, error));
    if (index == engine->first_state + SB_WINDOW_CLOSE)
        SABOT_TRY(close_timer(engine, time_ms, error));
    else
        SABOT_TRY(early_timer(engine, time_ms, error));
    SABOT_TRY(sb_units_end(engine, error));
    return sb_store_status(engine->store, error);
}
