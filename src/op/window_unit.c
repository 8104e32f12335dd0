/* SPDX-License-Identifier: Apache-2.0 */
/* window_unit.c - where the units of a key lie.
 *
 * Off the hot path, but for sb_units_begin(): window.c meets the newest unit in the cell by itself.
 * Threads: the worker's. Memory: the store's. */
#include "op/window_unit.h"

#include <string.h>

#include "op/window_part.h"

/* --- The cell ------------------------------------------------------------------------------------
 */

sabot_status sb_units_begin(struct sb_window_engine *engine, sabot_error *error)
{
    void *cell = sb_store_edit(engine->store, engine->first_state + SB_WINDOW_CELLS, engine->key,
                               engine->hash, error);

    if (cell == NULL)
        return error->status;
    engine->head = sb_cell_head(engine->plan, cell);
    return SABOT_OK;
}

static struct sb_window_unit *slot_of(const struct sb_window_engine *engine, uint32_t slot)
{
    return sb_cell_unit(engine->plan, engine->head, slot);
}

static void check(const struct sb_window_engine *engine)
{
    const struct sb_window_unit *first = slot_of(engine, 0);
    const struct sb_window_unit *second = slot_of(engine, 1);

    SB_ASSERT(engine->head->outside >= 0);
    if (!sb_unit_used(second))
        return;
    SB_ASSERT(sb_unit_used(first));
    SB_ASSERT(first->start_ms >= second->start_ms);
}

sabot_status sb_units_end(struct sb_window_engine *engine, sabot_error *error)
{
    struct sb_window_head *head = engine->head;

    check(engine);
    if (sb_unit_used(slot_of(engine, 0)) || head->outside > 0)
        return SABOT_OK;
    engine->head = NULL;
    if (engine->plan->parts_state != 0)
        SABOT_TRY(sb_store_clear(engine->store, engine->first_state + engine->plan->parts_state,
                                 engine->key, engine->hash, error));
    return sb_store_clear(engine->store, engine->first_state + SB_WINDOW_CELLS, engine->key,
                          engine->hash, error);
}

/* --- The map -------------------------------------------------------------------------------------
 */

/* Where in the map a unit lies. */
struct place {
    uint8_t key[16];
    uint32_t index; /* in the entry */
};

static struct place place_of(const struct sb_window_engine *engine, sabot_window_bounds bounds)
{
    const struct sb_window_plan *plan = engine->plan;
    struct place place = {.index = 0};

    if (plan->units_per_entry == 1) {
        sb_put_ordered(place.key, bounds.start_ms);
        sb_put_ordered(place.key + 8, bounds.end_ms);
    } else {
        const sb_int128 number =
            sb_floor_divide((sb_int128)bounds.start_ms - plan->grid.offset_ms, plan->grid.pane_ms);
        const sb_int128 block = sb_floor_divide(number, SB_WINDOW_BLOCK);

        sb_put_ordered(place.key, (int64_t)block);
        sb_put_ordered(place.key + 8, 0);
        place.index = (uint32_t)(number - block * SB_WINDOW_BLOCK);
    }
    return place;
}

static sabot_text text_of(const struct place *place)
{
    return (sabot_text){(const char *)place->key, sizeof place->key};
}

static struct sb_window_unit *unit_in(const struct sb_window_engine *engine,
                                      const void *entry,
                                      uint32_t index)
{
    return (struct sb_window_unit *)((uintptr_t)entry + (uintptr_t)index * engine->plan->unit_size);
}

static struct sb_window_unit *edit_in_map(struct sb_window_engine *engine,
                                          sabot_window_bounds bounds,
                                          sabot_error *error)
{
    const struct place place = place_of(engine, bounds);
    const void *entry = sb_map_edit(engine->store, engine->first_state + SB_WINDOW_MORE,
                                    engine->key, engine->hash, text_of(&place), error);

    return entry == NULL ? NULL : unit_in(engine, entry, place.index);
}

/* Remove the unit, and the entry when it was the last one in it. */
static sabot_status remove_from_map(struct sb_window_engine *engine,
                                    sabot_window_bounds bounds,
                                    sabot_error *error)
{
    const struct place place = place_of(engine, bounds);
    struct sb_window_unit *unit = edit_in_map(engine, bounds, error);

    if (unit == NULL)
        return error->status;
    SB_ASSERT(engine->head->outside > 0);
    SB_ASSERT(sb_unit_used(unit));
    engine->head->outside--;
    if (engine->plan->units_per_entry > 1) {
        const void *entry = (const uint8_t *)unit - (size_t)place.index * engine->plan->unit_size;

        memset(unit, 0, engine->plan->unit_size);
        for (uint32_t i = 0; i < engine->plan->units_per_entry; i++) {
            if (sb_unit_used(unit_in(engine, entry, i)))
                return SABOT_OK;
        }
    }
    return sb_map_remove(engine->store, engine->first_state + SB_WINDOW_MORE, engine->key,
                         engine->hash, text_of(&place), error);
}

/* A new unit of the map, all zeros. */
static struct sb_window_unit *add_to_map(struct sb_window_engine *engine,
                                         sabot_window_bounds bounds,
                                         sabot_error *error)
{
    struct sb_window_unit *unit = edit_in_map(engine, bounds, error);
    struct sb_window_head *head = engine->head;

    if (unit == NULL)
        return NULL;
    SB_ASSERT(!sb_unit_used(unit));
    if (head->outside == 0 || bounds.start_ms > head->newest_ms)
        head->newest_ms = bounds.start_ms;
    head->outside++;
    return unit;
}

/* --- Units ---------------------------------------------------------------------------------------
 */

static bool is_unit(const struct sb_window_unit *unit, sabot_window_bounds bounds)
{
    return unit->start_ms == bounds.start_ms && unit->end_ms == bounds.end_ms;
}

sabot_status sb_unit_find(struct sb_window_engine *engine,
                          sabot_window_bounds bounds,
                          struct sb_window_unit **unit_out,
                          sabot_error *error)
{
    const struct sb_window_head *head = engine->head;
    struct place place;
    sabot_text entry;

    *unit_out = NULL;
    SB_ASSERT(bounds.end_ms > bounds.start_ms);
    for (uint32_t i = 0; i < SB_WINDOW_SLOTS; i++) {
        if (is_unit(slot_of(engine, i), bounds)) {
            *unit_out = slot_of(engine, i);
            return SABOT_OK;
        }
    }
    if (head->outside == 0 || bounds.start_ms > head->newest_ms)
        return SABOT_OK;
    place = place_of(engine, bounds);
    entry = sb_map_get(engine->store, engine->first_state + SB_WINDOW_MORE, engine->key,
                       engine->hash, text_of(&place));
    if (entry.data == NULL || !sb_unit_used(unit_in(engine, entry.data, place.index)))
        return sb_store_status(engine->store, error);
    *unit_out = edit_in_map(engine, bounds, error);
    return *unit_out == NULL ? error->status : SABOT_OK;
}

/* Make room in the second slot. */
static sabot_status spill_second(struct sb_window_engine *engine, sabot_error *error)
{
    struct sb_window_unit *second = slot_of(engine, 1);
    struct sb_window_unit *unit;

    if (!sb_unit_used(second))
        return SABOT_OK;
    unit = add_to_map(engine, sb_unit_bounds(second), error);
    if (unit == NULL)
        return error->status;
    memcpy(unit, second, engine->plan->unit_size);
    return SABOT_OK;
}

/* The place of a unit that begins then, by the invariants; its old bytes are of no use. */
static sabot_status make_place(struct sb_window_engine *engine,
                               sabot_window_bounds bounds,
                               struct sb_window_unit **unit_out,
                               sabot_error *error)
{
    struct sb_window_unit *first = slot_of(engine, 0);
    struct sb_window_unit *second = slot_of(engine, 1);
    const struct sb_window_head *head = engine->head;

    if ((head->outside > 0 && bounds.start_ms <= head->newest_ms) ||
        (sb_unit_used(second) && bounds.start_ms < second->start_ms)) {
        *unit_out = add_to_map(engine, bounds, error);
        return *unit_out == NULL ? error->status : SABOT_OK;
    }
    *unit_out = first;
    if (!sb_unit_used(first))
        return SABOT_OK;
    SABOT_TRY(spill_second(engine, error));
    if (bounds.start_ms < first->start_ms)
        *unit_out = second;
    else
        memcpy(second, first, engine->plan->unit_size);
    return SABOT_OK;
}

sabot_status sb_unit_open(struct sb_window_engine *engine,
                          sabot_window_bounds bounds,
                          struct sb_window_unit **unit_out,
                          sabot_error *error)
{
    struct sb_window_meta *meta;
    struct sb_window_unit *unit = NULL;

    *unit_out = NULL;
    SB_ASSERT(bounds.end_ms > bounds.start_ms);
    SABOT_TRY(make_place(engine, bounds, &unit, error));
    memset(unit, 0, engine->plan->unit_size);
    unit->start_ms = bounds.start_ms;
    unit->end_ms = bounds.end_ms;
    meta = sb_unit_meta(engine->plan, unit);
    if (meta != NULL) {
        meta->id = engine->head->sequence++;
        meta->newest_ms = INT64_MIN;
    }
    check(engine);
    *unit_out = unit;
    return SABOT_OK;
}

sabot_status sb_unit_forget(struct sb_window_engine *engine,
                            sabot_window_bounds bounds,
                            sabot_error *error)
{
    struct sb_window_unit *first = slot_of(engine, 0);
    struct sb_window_unit *second = slot_of(engine, 1);

    if (is_unit(second, bounds)) {
        memset(second, 0, engine->plan->unit_size);
    } else if (is_unit(first, bounds)) {
        memcpy(first, second, engine->plan->unit_size);
        memset(second, 0, engine->plan->unit_size);
    } else {
        return remove_from_map(engine, bounds, error);
    }
    check(engine);
    return SABOT_OK;
}

sabot_status sb_unit_close(struct sb_window_engine *engine,
                           const struct sb_window_unit *unit,
                           sabot_error *error)
{
    if (engine->plan->parts_state != 0)
        SABOT_TRY(sb_parts_drop(engine, unit, true, error));
    return sb_unit_forget(engine, sb_unit_bounds(unit), error);
}

/* --- Walks ---------------------------------------------------------------------------------------
 */

sabot_status sb_units_walk(struct sb_window_engine *engine,
                           struct sb_unit_walk *walk,
                           sabot_error *error)
{
    walk->slot = SB_WINDOW_SLOTS - 1;
    if (engine->head->outside == 0)
        return SABOT_OK;
    walk->slot = SB_WINDOW_SLOTS;
    walk->next = engine->plan->units_per_entry;
    return sb_store_scan(engine->store, engine->first_state + SB_WINDOW_MORE, engine->key,
                         engine->hash, (sabot_text){NULL, 0}, &walk->cursor, error);
}

/* The next unit in the map; NULL: there is no other. */
static const struct sb_window_unit *next_in_map(struct sb_window_engine *engine,
                                                struct sb_unit_walk *walk)
{
    for (;;) {
        while (walk->next < engine->plan->units_per_entry) {
            const struct sb_window_unit *unit = unit_in(engine, walk->entry.data, walk->next++);

            if (sb_unit_used(unit))
                return unit;
        }
        if (!sb_store_next(engine->store, &walk->cursor, NULL, &walk->entry))
            return NULL;
        walk->next = 0;
    }
}

const struct sb_window_unit *sb_units_next(struct sb_window_engine *engine,
                                           struct sb_unit_walk *walk)
{
    if (walk->slot == SB_WINDOW_SLOTS) {
        const struct sb_window_unit *unit = next_in_map(engine, walk);

        if (unit != NULL)
            return unit;
        walk->slot = SB_WINDOW_SLOTS - 1;
    }
    while (walk->slot >= 0) {
        const struct sb_window_unit *unit = slot_of(engine, (uint32_t)walk->slot--);

        if (sb_unit_used(unit))
            return unit;
    }
    return NULL;
}

struct sb_window_unit *sb_unit_edit(struct sb_window_engine *engine,
                                    const struct sb_window_unit *unit,
                                    sabot_error *error)
{
    for (uint32_t i = 0; i < SB_WINDOW_SLOTS; i++) {
        if (unit == slot_of(engine, i))
            return slot_of(engine, i);
    }
    return edit_in_map(engine, sb_unit_bounds(unit), error);
}
