/* SPDX-License-Identifier: Apache-2.0 */
/* timer.c - timers: a hierarchical timing wheel (G. Varghese, T. Lauck, 1987) for each timers
 * state.
 *
 * A timer is a cell with its time and its key. An index finds it by (key, time), so that the same
 * timer isn't set twice and can be deleted; the wheel finds the next one to fire. Of the 64 bits of
 * a time each level of the wheel takes 6, the lowest first:
 *
 *     level 0    64 slots of 1 ms       the timers of this very slot have one time
 *     level 1    64 slots of 64 ms
 *     ...
 *     level 10   16 slots of 2^60 ms
 *
 * A timer is on the level of the highest digit in which its time differs from `now`, in the slot of
 * that digit. When now comes to a slot of a higher level, its timers move down (`draining`), a few
 * at each call, so that no call pays for all; each moves at most once per level. Times that have
 * passed when they are set wait in a heap of their own (`DUE`).
 *
 * Times are kept with the sign bit flipped, so that their order is that of unsigned numbers.
 *
 * Invariants: now <= clock; no timer in a slot of the wheel has a time before now; a slot whose
 * digit is that of now is empty above level 0, unless it is being drained. Order: by time; timers
 * of one time in the order of their states; otherwise undefined. Threads: the store's. Memory: a
 * cell and a place in a slot for each timer. */
#include "base/mem.h"
#include "state/vault.h"

enum {
    DIGIT_BITS = 6,
    DIGITS = 64,
    LEVELS = 11,
    DUE = LEVELS * DIGITS,
    SLOTS = DUE + 1,
    ROOM_MIN = 4,       /* of a slot */
    MOVES_PER_FIRE = 8, /* that count as much as one timer fired */
};

struct wheel_slot {
    uint64_t *items; /* shard << 32 | reference */
    uint32_t count;
    uint32_t room;
};

struct sb_wheel {
    uint64_t now;          /* as ordered() gives it */
    uint32_t draining;     /* a slot above level 0; 0: none */
    uint64_t used[LEVELS]; /* a bit per slot that has timers */
    uint64_t count;        /* timers in it */
    uint64_t rows_from;    /* timers from this time on may be in rows only; UINT64_MAX: none are */
    struct wheel_slot slots[SLOTS];
};

static uint64_t ordered(int64_t time_ms)
{
    return (uint64_t)time_ms ^ (uint64_t)1 << 63;
}

static struct sb_timer *timer_at(const struct sb_vault *vault, uint64_t item)
{
    return sb_cell_at(&vault->cells[item >> 32], (sb_ref)item);
}

static uint64_t time_of(const struct sb_vault *vault, uint64_t item)
{
    return ordered(timer_at(vault, item)->time_ms);
}

sabot_status sb_wheel_create(struct sb_vault *vault, struct sb_state *state)
{
    state->wheel = sb_alloc(vault->config.env, sizeof *state->wheel);
    if (state->wheel == NULL)
        return SABOT_ERR_MEMORY;
    state->wheel->rows_from = state->backed && vault->config.rows_are_old ? 0 : UINT64_MAX;
    return SABOT_OK;
}

static void slot_give(struct sb_vault *vault, struct wheel_slot *slot)
{
    sb_free_array(vault->config.env, slot->items, slot->room, sizeof *slot->items);
    sb_account_release(vault->config.account, slot->room * sizeof *slot->items);
    *slot = (struct wheel_slot){.items = NULL};
}

void sb_wheel_destroy(struct sb_vault *vault, struct sb_state *state)
{
    struct sb_wheel *wheel = state->wheel;

    for (uint32_t i = 0; wheel != NULL && i < SLOTS; i++)
        slot_give(vault, &wheel->slots[i]);
    sb_free(vault->config.env, wheel, sizeof *wheel);
}

/* --- Slots --------------------------------------------------------------------------------------
 */

static uint32_t slot_of(const struct sb_wheel *wheel, uint64_t time)
{
    const uint64_t differing = time ^ wheel->now;
    uint32_t level;

    if (time < wheel->now)
        return DUE;
    level = differing == 0 ? 0 : (63U - (uint32_t)__builtin_clzll(differing)) / DIGIT_BITS;
    return level * DIGITS + (uint32_t)(time >> (level * DIGIT_BITS) & (DIGITS - 1));
}

static sabot_status slot_grow(struct sb_vault *vault, struct wheel_slot *slot)
{
    const uint32_t room = slot->room == 0 ? ROOM_MIN : slot->room * 2;
    const uint64_t bytes = (uint64_t)(room - slot->room) * sizeof *slot->items;
    uint64_t *items;

    if (slot->room > UINT32_MAX / 4 || !sb_account_reserve(vault->config.account, bytes))
        return SABOT_ERR_MEMORY;
    items = sb_alloc_array(vault->config.env, room, sizeof *items);
    if (items == NULL) {
        sb_account_release(vault->config.account, bytes);
        return SABOT_ERR_MEMORY;
    }
    if (slot->count > 0)
        memcpy(items, slot->items, slot->count * sizeof *items);
    sb_free_array(vault->config.env, slot->items, slot->room, sizeof *items);
    slot->items = items;
    slot->room = room;
    return SABOT_OK;
}

/* Put an item where it is now said to be. */
static void set_place(struct sb_vault *vault, uint64_t item, uint32_t slot, uint32_t at)
{
    struct sb_timer *timer = timer_at(vault, item);

    sb_cell_change(&vault->cells[item >> 32], (sb_ref)item);
    timer->slot = slot;
    timer->at = at;
}

/* Move the item at `at` of the heap up to its place. */
static void heap_up(struct sb_vault *vault, struct wheel_slot *due, uint32_t at)
{
    const uint64_t item = due->items[at];
    const uint64_t time = time_of(vault, item);

    while (at > 0 && time_of(vault, due->items[(at - 1) / 2]) > time) {
        due->items[at] = due->items[(at - 1) / 2];
        set_place(vault, due->items[at], DUE, at);
        at = (at - 1) / 2;
    }
    due->items[at] = item;
    set_place(vault, item, DUE, at);
}

static void heap_down(struct sb_vault *vault, struct wheel_slot *due, uint32_t at)
{
    const uint64_t item = due->items[at];
    const uint64_t time = time_of(vault, item);

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= due->count)
            break;
        if (child + 1 < due->count &&
            time_of(vault, due->items[child + 1]) < time_of(vault, due->items[child]))
            child++;
        if (time_of(vault, due->items[child]) >= time)
            break;
        due->items[at] = due->items[child];
        set_place(vault, due->items[at], DUE, at);
        at = child;
    }
    due->items[at] = item;
    set_place(vault, item, DUE, at);
}

static sabot_status wheel_add(struct sb_vault *vault, struct sb_wheel *wheel, uint64_t item)
{
    const uint32_t index = slot_of(wheel, time_of(vault, item));
    struct wheel_slot *slot = &wheel->slots[index];

    if (slot->count == slot->room)
        SABOT_TRY(slot_grow(vault, slot));
    slot->items[slot->count++] = item;
    if (index == DUE) {
        heap_up(vault, slot, slot->count - 1);
    } else {
        set_place(vault, item, index, slot->count - 1);
        wheel->used[index / DIGITS] |= (uint64_t)1 << (index % DIGITS);
    }
    return SABOT_OK;
}

static void wheel_remove(struct sb_vault *vault, struct sb_wheel *wheel, uint64_t item)
{
    const uint32_t index = timer_at(vault, item)->slot;
    const uint32_t at = timer_at(vault, item)->at;
    struct wheel_slot *slot = &wheel->slots[index];

    SB_ASSERT(at < slot->count && slot->items[at] == item);
    wheel->count--;
    slot->count--;
    if (at < slot->count) {
        slot->items[at] = slot->items[slot->count];
        if (index != DUE) {
            set_place(vault, slot->items[at], index, at);
        } else {
            const uint64_t moved = slot->items[at];

            heap_down(vault, slot, at);
            if (slot->items[at] == moved)
                heap_up(vault, slot, at);
        }
    }
    if (slot->count > 0)
        return;
    slot_give(vault, slot);
    if (index != DUE)
        wheel->used[index / DIGITS] &= ~((uint64_t)1 << (index % DIGITS));
}

/* --- Timers -------------------------------------------------------------------------------------
 */

/* The hash of a timer: its shard is the key's. */
static uint64_t timer_hash(uint64_t key_hash, int64_t time_ms)
{
    uint64_t mixed = (key_hash ^ (uint64_t)time_ms * UINT64_C(0x9e3779b97f4a7c15)) *
                     UINT64_C(0xc2b2ae3d27d4eb4f);

    mixed ^= mixed >> 32;
    return (key_hash & ~(UINT64_MAX >> 7)) | mixed >> 7;
}

static sb_ref timer_find(const struct sb_vault *vault,
                         const struct sb_state *state,
                         struct sb_key key,
                         int64_t time_ms)
{
    const uint32_t shard = sb_hash_shard(key.hash);
    struct sb_probe probe =
        sb_index_probe(&state->tables[shard].keys, timer_hash(key.hash, time_ms));
    sb_ref ref;

    while ((ref = sb_index_match(&probe)) != 0) {
        const struct sb_timer *timer = sb_cell_at(&vault->cells[shard], ref);

        if (timer->time_ms == time_ms && sb_cell_key_size(&timer->cell) == key.text.size &&
            sb_same_bytes(sb_cell_key(state, &timer->cell), key.text.data, key.text.size))
            return ref;
    }
    return 0;
}

/* Out of memory; its key stays readable until the callback has ended. */
static void timer_drop(struct sb_vault *vault, struct sb_state *state, uint64_t hash, uint64_t item)
{
    const uint32_t shard = (uint32_t)(item >> 32);
    struct sb_timer *timer = timer_at(vault, item);
    const uint32_t bytes = sb_cell_bytes(state, &timer->cell);

    if (state->backed)
        sb_spill_settle(vault, state, shard, &timer->cell);
    sb_index_remove(&state->tables[shard].keys, &vault->pool, hash, (sb_ref)item);
    sb_vault_drop(vault, state, shard, (sb_ref)item, bytes);
}

/* A new timer in the index: one that is set, or one that says that its row is to be removed. */
static sabot_status timer_create(struct sb_vault *vault,
                                 struct sb_state *state,
                                 struct sb_key key,
                                 int64_t time_ms,
                                 uint64_t *item_out,
                                 sabot_error *error)
{
    const struct sb_key named = {key.text, timer_hash(key.hash, time_ms)};
    struct sb_cell *cell;
    sb_ref ref;

    SABOT_TRY(sb_key_create(vault, state, named, 0, &cell, &ref, error));
    ((struct sb_timer *)(void *)cell)->time_ms = time_ms;
    if (ordered(time_ms) >= state->wheel->rows_from)
        cell->head |= SB_CELL_ROW;
    *item_out = (uint64_t)sb_hash_shard(key.hash) << 32 | ref;
    return SABOT_OK;
}

/* It has fired, or is deleted: out of the wheel and of memory; a row is remembered for removal. */
static sabot_status timer_end(struct sb_vault *vault,
                              struct sb_state *state,
                              struct sb_key key,
                              uint64_t item,
                              sabot_error *error)
{
    struct sb_timer *timer = timer_at(vault, item);
    const int64_t time_ms = timer->time_ms;
    uint64_t tombstone;
    bool has_row;

    if (state->backed)
        sb_spill_settle(vault, state, (uint32_t)(item >> 32), &timer->cell);
    has_row = (timer->cell.head & SB_CELL_ROW) != 0;
    wheel_remove(vault, state->wheel, item);
    timer_drop(vault, state, timer_hash(key.hash, time_ms), item);
    if (!state->backed || !has_row)
        return SABOT_OK;
    SABOT_TRY(timer_create(vault, state, key, time_ms, &tombstone, error));
    timer_at(vault, tombstone)->cell.head |= SB_CELL_ABSENT;
    return SABOT_OK;
}

static sabot_status timer_add(struct sb_vault *vault,
                              struct sb_state *state,
                              struct sb_key key,
                              int64_t time_ms,
                              uint64_t *item_out,
                              sabot_error *error)
{
    SABOT_TRY(timer_create(vault, state, key, time_ms, item_out, error));
    if (wheel_add(vault, state->wheel, *item_out) == SABOT_OK) {
        state->wheel->count++;
        return SABOT_OK;
    }
    timer_drop(vault, state, timer_hash(key.hash, time_ms), *item_out);
    return sb_vault_no_memory(vault, state, error);
}

sabot_status sb_timer_set(struct sb_store *store,
                          uint32_t index,
                          sabot_text key,
                          uint64_t hash,
                          int64_t time_ms,
                          sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    const sb_ref ref = timer_find(vault, state, named, time_ms);
    const uint64_t before = (uint64_t)sb_hash_shard(hash) << 32 | ref;
    uint64_t item;

    SB_ASSERT(state->spec.kind == SB_STATE_TIMERS);
    if (ref != 0 && (timer_at(vault, before)->cell.head & SB_CELL_ABSENT) == 0)
        return SABOT_OK;
    if (ref != 0)
        timer_drop(vault, state, timer_hash(hash, time_ms), before);
    SABOT_TRY(timer_add(vault, state, named, time_ms, &item, error));
    if (ref != 0)
        timer_at(vault, item)->cell.head |= SB_CELL_ROW;
    return SABOT_OK;
}

sabot_status sb_timer_delete(struct sb_store *store,
                             uint32_t index,
                             sabot_text key,
                             uint64_t hash,
                             int64_t time_ms,
                             sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    const sb_ref ref = timer_find(vault, state, named, time_ms);
    uint64_t item = (uint64_t)sb_hash_shard(hash) << 32 | ref;

    SB_ASSERT(state->spec.kind == SB_STATE_TIMERS);
    if (ref != 0 && (timer_at(vault, item)->cell.head & SB_CELL_ABSENT) == 0)
        return timer_end(vault, state, named, item, error);
    if (ref != 0 || ordered(time_ms) < state->wheel->rows_from)
        return SABOT_OK;
    SABOT_TRY(timer_create(vault, state, named, time_ms, &item, error));
    timer_at(vault, item)->cell.head |= SB_CELL_ABSENT;
    return SABOT_OK;
}

/* --- With rows: timers that are far off need not be in memory -----------------------------------
 */

bool sb_timer_is_far(const struct sb_vault *vault,
                     const struct sb_state *state,
                     const struct sb_cell *cell,
                     int64_t near_ms)
{
    const struct sb_timer *timer = (const void *)cell;
    const uint64_t time = ordered(timer->time_ms);

    (void)vault;
    if ((cell->head & SB_CELL_ABSENT) != 0)
        return true;
    return time < UINT64_MAX && time > state->wheel->now &&
           time - state->wheel->now > (uint64_t)near_ms && timer->slot != state->wheel->draining;
}

void sb_timer_evict(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const uint64_t item = (uint64_t)sb_hash_shard(hash) << 32 | ref;
    const struct sb_timer *timer = timer_at(vault, item);
    const uint64_t time = ordered(timer->time_ms);

    if ((timer->cell.head & SB_CELL_ABSENT) == 0) {
        wheel_remove(vault, state->wheel, item);
        state->wheel->rows_from = time < state->wheel->rows_from ? time : state->wheel->rows_from;
    }
    timer_drop(vault, state, hash, item);
}

sabot_status sb_timer_load(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           sabot_text key,
                           uint64_t time,
                           bool *new_out,
                           sabot_error *error)
{
    const int64_t time_ms = (int64_t)(time ^ (uint64_t)1 << 63);
    const struct sb_key named = {key, sb_hash(key.data, key.size, vault->config.hash_seed)};
    uint64_t item;

    *new_out = false;
    if (sb_hash_shard(named.hash) != shard)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "state %s of agent %s: the row of a timer is in another shard than its "
                           "key; restore from the last checkpoint",
                           state->spec.name, vault->config.owner);
    if (timer_find(vault, state, named, time_ms) != 0)
        return SABOT_OK;
    SABOT_TRY(timer_add(vault, state, named, time_ms, &item, error));
    timer_at(vault, item)->cell.head &= ~(uint32_t)SB_CELL_DIRTY;
    timer_at(vault, item)->cell.head |= SB_CELL_ROW;
    *new_out = true;
    return SABOT_OK;
}

/* --- Firing -------------------------------------------------------------------------------------
 */

enum look { LOOK_READY, LOOK_NONE, LOOK_BUSY };

/* The next slot behind now that has timers, and the time it begins at; 0: none. */
static uint32_t next_slot(const struct sb_wheel *wheel, uint64_t *start_out)
{
    for (uint32_t level = 0; level < LEVELS; level++) {
        const uint32_t shift = level * DIGIT_BITS;
        const uint32_t digit = (uint32_t)(wheel->now >> shift & (DIGITS - 1));
        const uint64_t behind = digit == DIGITS - 1 ? 0 : UINT64_MAX << (digit + 1);
        const uint64_t used = wheel->used[level] & behind;

        if (used != 0) {
            const uint64_t found = (uint64_t)__builtin_ctzll(used);
            const uint64_t above = level == LEVELS - 1 ? 0 : wheel->now >> (shift + DIGIT_BITS);

            *start_out = (above << DIGIT_BITS | found) << shift;
            return level * DIGITS + (uint32_t)found;
        }
    }
    return 0;
}

/* Move timers of the slot being drained down to their levels. */
static sabot_status drain(struct sb_vault *vault,
                          struct sb_wheel *wheel,
                          uint32_t *moves,
                          sabot_error *error)
{
    const uint32_t index = wheel->draining;
    struct wheel_slot *slot = &wheel->slots[index];

    while (index != 0 && slot->count > 0) {
        if (*moves == 0)
            return SABOT_AGAIN;
        --*moves;
        if (slot->count > 8)
            __builtin_prefetch(timer_at(vault, slot->items[slot->count - 8]), 1, 3);
        if (wheel_add(vault, wheel, slot->items[slot->count - 1]) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory for its timers",
                               vault->config.owner);
        slot->count--;
    }
    if (index == 0)
        return SABOT_OK;
    slot_give(vault, slot);
    wheel->used[index / DIGITS] &= ~((uint64_t)1 << (index % DIGITS));
    wheel->draining = 0;
    return SABOT_OK;
}

/* Go on to the next timer that is due. SABOT_OK: *ready_out tells. SABOT_AGAIN: too many moves. */
static sabot_status advance(struct sb_vault *vault,
                            struct sb_state *state,
                            uint64_t clock,
                            uint32_t *moves,
                            bool *ready_out,
                            sabot_error *error)
{
    struct sb_wheel *wheel = state->wheel;

    *ready_out = false;
    for (;;) {
        uint64_t start = 0;
        uint32_t slot;

        SABOT_TRY(drain(vault, wheel, moves, error));
        *ready_out =
            wheel->slots[DUE].count > 0 || wheel->slots[wheel->now & (DIGITS - 1)].count > 0;
        if (*ready_out)
            return SABOT_OK;
        slot = next_slot(wheel, &start);
        if (wheel->rows_from != UINT64_MAX && wheel->rows_from <= clock &&
            (slot == 0 || wheel->rows_from <= start)) {
            SABOT_TRY(
                sb_spill_load_timers(vault, state, wheel->rows_from, &wheel->rows_from, error));
            continue;
        }
        if (slot == 0 || start > clock) {
            wheel->now = clock > wheel->now ? clock : wheel->now;
            return SABOT_OK;
        }
        wheel->now = start;
        wheel->draining = slot < DIGITS ? 0 : slot;
    }
}

/* The timer that fires next, of a wheel that is ready. */
static uint64_t next_item(const struct sb_wheel *wheel)
{
    const struct wheel_slot *due = &wheel->slots[DUE];
    const struct wheel_slot *current = &wheel->slots[wheel->now & (DIGITS - 1)];

    return due->count > 0 ? due->items[0] : current->items[current->count - 1];
}

/* The state whose timer is the next on this clock; NULL in *state_out: none is due. */
static sabot_status find_next(struct sb_vault *vault,
                              enum sb_state_time clock,
                              uint32_t *moves,
                              struct sb_state **state_out,
                              sabot_error *error)
{
    const int64_t now_ms =
        clock == SB_TIME_EVENT ? vault->store.watermark_ms : vault->processing_ms;
    uint64_t best = 0;

    *state_out = NULL;
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        struct sb_state *state = &vault->states[i];
        uint64_t time;
        bool ready;

        if (state->wheel == NULL || state->spec.ttl_time != clock)
            continue;
        SABOT_TRY(advance(vault, state, ordered(now_ms), moves, &ready, error));
        if (!ready)
            continue;
        time = time_of(vault, next_item(state->wheel));
        if (*state_out == NULL || time < best) {
            best = time;
            *state_out = state;
        }
    }
    return SABOT_OK;
}

/* Fire one timer of a state that is ready. */
static sabot_status fire(struct sb_vault *vault,
                         struct sb_state *state,
                         sb_timer_function function,
                         void *context,
                         sabot_error *error)
{
    const uint64_t item = next_item(state->wheel);
    const struct sb_timer *timer = timer_at(vault, item);
    const int64_t time_ms = timer->time_ms;
    const sabot_text key = {(const char *)sb_cell_key(state, &timer->cell),
                            sb_cell_key_size(&timer->cell)};
    const uint64_t hash = sb_hash(key.data, key.size, vault->config.hash_seed);

    /* The time of a timer of processing time is none of event time. */
    SABOT_TRY(sb_store_begin(&vault->store,
                             state->spec.ttl_time == SB_TIME_EVENT ? time_ms : INT64_MIN, error));
    SABOT_TRY(timer_end(vault, state, (struct sb_key){key, hash}, item, error));
    return function(context, state->index, key, hash, time_ms, error);
}

sabot_status sb_store_fire(struct sb_store *store,
                           uint32_t limit,
                           sb_timer_function function,
                           void *context,
                           sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    uint32_t moves = limit > UINT32_MAX / MOVES_PER_FIRE ? UINT32_MAX : limit * MOVES_PER_FIRE;

    for (int clock = SB_TIME_EVENT; clock <= SB_TIME_PROCESSING; clock++) {
        for (;;) {
            struct sb_state *state;
            const sabot_status status =
                find_next(vault, (enum sb_state_time)clock, &moves, &state, error);

            if (status != SABOT_OK)
                return status;
            if (state == NULL)
                break;
            if (limit-- == 0)
                return SABOT_AGAIN;
            SABOT_TRY(fire(vault, state, function, context, error));
        }
    }
    return SABOT_OK;
}

int64_t sb_store_next_timer(const struct sb_store *store, enum sb_state_time clock)
{
    const struct sb_vault *vault = sb_vault_of_const(store);
    uint64_t earliest = UINT64_MAX;

    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];
        const struct sb_wheel *wheel = state->wheel;
        uint64_t start = 0;

        if (wheel == NULL || state->spec.ttl_time != clock)
            continue;
        earliest = wheel->rows_from < earliest ? wheel->rows_from : earliest;
        if (wheel->slots[DUE].count > 0)
            start = time_of(vault, wheel->slots[DUE].items[0]);
        else if (wheel->draining != 0 || wheel->slots[wheel->now & (DIGITS - 1)].count > 0)
            start = wheel->now;
        else if (next_slot(wheel, &start) == 0)
            continue;
        earliest = start < earliest ? start : earliest;
    }
    return (int64_t)(earliest ^ (uint64_t)1 << 63);
}
