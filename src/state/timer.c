/* SPDX-License-Identifier: Apache-2.0 */
/* timer.c - timers: cells, an index, and a queue of times (wheel.h) for each timers state.
 *
 * A timer is a cell with its time and its key, which never changes once it is made. An index finds
 * it by (key, time), so that the same timer isn't set twice and can be deleted. The queue says what
 * comes next: an entry has the time and a mark,
 *
 *     mark    shard (7 bits) | serial of the timer (25 bits) | tag, as the index has it (32 bits)
 *
 * and is only a hint: the timer is there when the index has a cell with that tag, time and serial.
 * So deleting, and evicting to rows, leave the queue alone, and the queue never looks at a cell
 * before its time comes; then some are fetched ahead. (Serials come again after 2^25 timers. An
 * entry that is taken for another timer's has that one's time: it fires then, once, for the
 * timer is gone when its own entry comes.) When more than half of the entries are not wanted any
 * more, the queue is sorted out, some entries at each call.
 *
 * Times are kept with the sign bit flipped, so that their order is that of unsigned numbers.
 *
 * Most places of the index are not in the cache. So a timer that is set is only noted, and its
 * place asked for; when some are noted, or before anybody looks at timers, all of them are entered
 * (sb_timer_settle). By then their places have come, all in the time of one. With rows, and with
 * long keys, a timer is entered at once.
 *
 * Invariants: each timer in memory has an entry in the queue. Order: by time; timers of one time in
 * the order of their states; otherwise undefined. Threads: the store's. Memory: a cell, a place in
 * the index, and one to two entries of 16 bytes for each timer. */
#include "base/mem.h"
#include "base/mutant.h"
#include "state/vault.h"
#include "state/wheel.h"

enum {
    MOVES_PER_FIRE = 64, /* that count as much as one timer fired */
    SIFT_MIN = 4096,     /* entries that are not worth sorting out */
    SIFT_ENTRIES = 16,   /* sorted out at once */
    SERIAL_BITS = 25,
    FETCHED = 64, /* timers whose cells are fetched at once */
};
_Static_assert(sizeof(struct sb_staged_timer) == 64, "a line of the cache");

static uint64_t ordered(int64_t time_ms)
{
    return (uint64_t)time_ms ^ (uint64_t)1 << 63;
}

static struct sb_timer *timer_at(const struct sb_vault *vault, uint32_t shard, sb_ref ref)
{
    return sb_cell_at(&vault->cells[shard], ref);
}

sabot_status sb_wheel_create(struct sb_vault *vault, struct sb_state *state)
{
    struct sb_wheel *wheel = sb_alloc(vault->config.env, sizeof *wheel);

    if (wheel == NULL)
        return SABOT_ERR_MEMORY;
    sb_wheel_init(wheel, vault->config.env, vault->config.account, &state->line);
    wheel->rows_from = UINT64_MAX;
    state->wheel = wheel;
    return SABOT_OK;
}

void sb_wheel_destroy(struct sb_vault *vault, struct sb_state *state)
{
    if (state->wheel == NULL)
        return;
    sb_wheel_reset(state->wheel);
    sb_free(vault->config.env, state->wheel, sizeof *state->wheel);
}

/* --- Entries of the queue -----------------------------------------------------------------------
 */

static uint64_t mark_of(uint64_t timer_hash, uint32_t serial)
{
    return (timer_hash & ~(UINT64_MAX >> 7)) | (uint64_t)serial << 32 | (uint32_t)timer_hash;
}

/* The timer of an entry; 0: it is not wanted any more. A mark serves as a hash for the index. */
static sb_ref find_wanted(const struct sb_vault *vault,
                          const struct sb_state *state,
                          const struct sb_wheel_entry *entry)
{
    const uint32_t shard = sb_hash_shard(entry->mark);
    const uint32_t serial = (uint32_t)(entry->mark >> 32) & ((1U << SERIAL_BITS) - 1);
    struct sb_probe probe = sb_index_probe(&state->tables[shard].keys, entry->mark);
    sb_ref ref;

    while ((ref = sb_index_match(&probe)) != 0) {
        const struct sb_timer *timer = timer_at(vault, shard, ref);

        if (timer->serial == serial && ordered(timer->time_ms) == entry->time &&
            (timer->cell.head & SB_CELL_ABSENT) == 0)
            return ref;
    }
    return 0;
}

/* Read the bytes at some places, so that they are in the cache: all at the same time, for nothing
 * waits for any. Hints alone are dropped when the page is not in the processor's tables, and most
 * pages of the state aren't. Then a hint for what follows, on the same page. */
static void touch(const void *const *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)*(const volatile uint8_t *)places[i];
    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch((const uint8_t *)places[i] + SB_RUN_AHEAD, 1, 3);
}

struct sifting {
    const struct sb_vault *vault;
    const struct sb_state *state;
};

static bool is_wanted(void *context, const struct sb_wheel_entry *entry)
{
    const struct sifting *sifting = context;

    return find_wanted(sifting->vault, sifting->state, entry) != 0;
}

/* Some steps of sorting out, when there is something to do. */
static void sift(struct sb_vault *vault, struct sb_state *state)
{
    struct sifting sifting = {vault, state};
    struct sb_wheel *wheel = state->wheel;

    if (wheel->sifting || wheel->count - wheel->live > wheel->live + SIFT_MIN)
        sb_wheel_sift(wheel, SIFT_ENTRIES, is_wanted, &sifting);
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
        const struct sb_timer *timer = timer_at(vault, shard, ref);

        if (timer->time_ms == time_ms && sb_cell_key_size(&timer->cell) == key.text.size &&
            sb_same_bytes(sb_cell_key(state, &timer->cell), key.text.data, key.text.size))
            return ref;
    }
    return 0;
}

/* Out of memory; its key stays readable until the callback has ended. `hash`: a mark will do. */
static void timer_drop(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_timer *timer = timer_at(vault, shard, ref);
    const uint32_t bytes = sb_cell_bytes(state, &timer->cell);

    if (state->backed)
        sb_spill_settle(vault, state, shard, &timer->cell);
    state->wheel->live -= (timer->cell.head & SB_CELL_ABSENT) == 0;
    sb_index_remove(&state->tables[shard].keys, &vault->pool, hash, ref);
    sb_vault_drop(vault, state, shard, ref, bytes);
}

/* A new timer in the index, which isn't in the queue: one that says that its row is to be removed,
 * or one that is added to the queue next. */
static sabot_status timer_create(struct sb_vault *vault,
                                 struct sb_state *state,
                                 struct sb_key key,
                                 int64_t time_ms,
                                 sb_ref *ref_out,
                                 sabot_error *error)
{
    const struct sb_key named = {key.text, timer_hash(key.hash, time_ms)};
    struct sb_timer *timer;
    struct sb_cell *cell;

    SABOT_TRY(sb_key_create(vault, state, named, 0, &cell, ref_out, error));
    timer = (struct sb_timer *)(void *)cell;
    timer->time_ms = time_ms;
    if (state->backed && ordered(time_ms) >= state->wheel->rows_from)
        cell->head |= SB_CELL_ROW;
    return SABOT_OK;
}

/* A cell that says that the row of a timer is to be removed. */
static sabot_status tombstone_create(struct sb_vault *vault,
                                     struct sb_state *state,
                                     struct sb_key key,
                                     int64_t time_ms,
                                     sabot_error *error)
{
    sb_ref ref;

    SABOT_TRY(timer_create(vault, state, key, time_ms, &ref, error));
    timer_at(vault, sb_hash_shard(key.hash), ref)->cell.head |= SB_CELL_ABSENT;
    return SABOT_OK;
}

/* It has fired, or is deleted: out of memory; a row is remembered for removal. */
static sabot_status timer_end(struct sb_vault *vault,
                              struct sb_state *state,
                              const struct sb_key *key,
                              sb_ref ref,
                              sabot_error *error)
{
    const uint32_t shard = sb_hash_shard(key->hash);
    struct sb_timer *timer = timer_at(vault, shard, ref);
    const int64_t time_ms = timer->time_ms;
    bool has_row;

    if (state->backed)
        sb_spill_settle(vault, state, shard, &timer->cell);
    has_row = (timer->cell.head & SB_CELL_ROW) != 0;
    timer_drop(vault, state, timer_hash(key->hash, time_ms), ref);
    if (!state->backed || !has_row)
        return SABOT_OK;
    return tombstone_create(vault, state, *key, time_ms, error);
}

static sabot_status timer_add(struct sb_vault *vault,
                              struct sb_state *state,
                              struct sb_key key,
                              int64_t time_ms,
                              sb_ref *ref_out,
                              sabot_error *error)
{
    const uint64_t hash = timer_hash(key.hash, time_ms);
    struct sb_wheel *wheel = state->wheel;

    SABOT_TRY(timer_create(vault, state, key, time_ms, ref_out, error));
    wheel->serial = (wheel->serial + 1) & ((1U << SERIAL_BITS) - 1);
    wheel->live++;
    timer_at(vault, sb_hash_shard(hash), *ref_out)->serial = wheel->serial;
    if (sb_wheel_add(wheel, ordered(time_ms), mark_of(hash, wheel->serial)) == SABOT_OK)
        return SABOT_OK;
    timer_drop(vault, state, hash, *ref_out);
    return sb_vault_no_memory(vault, state, error);
}

/* Into the index and the queue, unless it is there. */
static sabot_status timer_enter(struct sb_vault *vault,
                                struct sb_state *state,
                                struct sb_key key,
                                int64_t time_ms,
                                sabot_error *error)
{
    const sb_ref before = timer_find(vault, state, key, time_ms);
    const uint32_t shard = sb_hash_shard(key.hash);
    sb_ref ref;

    if (before != 0 && (timer_at(vault, shard, before)->cell.head & SB_CELL_ABSENT) == 0)
        return SABOT_OK;
    if (before != 0)
        timer_drop(vault, state, timer_hash(key.hash, time_ms), before);
    SABOT_TRY(timer_add(vault, state, key, time_ms, &ref, error));
    if (before != 0)
        timer_at(vault, shard, ref)->cell.head |= SB_CELL_ROW;
    sift(vault, state);
    return SABOT_OK;
}

/* --- Timers that are noted, but not entered yet -------------------------------------------------
 */

/* Fetch the places of the index that they need. */
static void fetch_staged(const struct sb_vault *vault)
{
    const void *places[2 * SB_STAGED_TIMERS];
    uint32_t count = 0;

    for (uint32_t i = 0; i < vault->staged_count; i++) {
        const struct sb_staged_timer *timer = &vault->staged[i];

        count +=
            sb_index_places(&vault->states[timer->state].tables[sb_hash_shard(timer->hash)].keys,
                            timer_hash(timer->hash, timer->time_ms), places + count);
    }
    touch(places, count);
}

sabot_status sb_timer_settle(struct sb_vault *vault, sabot_error *error)
{
    uint32_t done = 0;
    sabot_status status = SABOT_OK;

    fetch_staged(vault);
    for (; done < vault->staged_count; done++) {
        const struct sb_staged_timer *timer = &vault->staged[done];
        const struct sb_key key = {{(const char *)timer->key, timer->key_size}, timer->hash};

        status = timer_enter(vault, &vault->states[timer->state], key, timer->time_ms, error);
        if (status != SABOT_OK)
            break;
    }
    vault->staged_count -= done;
    if (vault->staged_count == 0)
        vault->staged_ms[SB_TIME_EVENT] = vault->staged_ms[SB_TIME_PROCESSING] = INT64_MAX;
    memmove(vault->staged, vault->staged + done, vault->staged_count * sizeof *vault->staged);
    return status;
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
    struct sb_staged_timer *timer;

    SB_ASSERT(state->spec.kind == SB_STATE_TIMERS);
    if (state->backed || key.size > sizeof timer->key)
        return timer_enter(vault, state, (struct sb_key){key, hash}, time_ms, error);
    if (vault->staged_count == SB_STAGED_TIMERS)
        SABOT_TRY(sb_timer_settle(vault, error));
    timer = &vault->staged[vault->staged_count++];
    timer->hash = hash;
    timer->time_ms = time_ms;
    timer->state = (uint16_t)index;
    timer->key_size = (uint16_t)key.size;
    if (time_ms < vault->staged_ms[state->spec.ttl_time])
        vault->staged_ms[state->spec.ttl_time] = time_ms;
    if (key.size > 0)
        memcpy(timer->key, key.data, key.size);
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
    sb_ref ref;

    SB_ASSERT(state->spec.kind == SB_STATE_TIMERS);
    SABOT_TRY(sb_timer_settle(vault, error));
    ref = timer_find(vault, state, named, time_ms);
    sift(vault, state);
    if (ref == 0)
        return !state->backed || ordered(time_ms) < state->wheel->rows_from
                   ? SABOT_OK
                   : tombstone_create(vault, state, named, time_ms, error);
    if ((timer_at(vault, sb_hash_shard(hash), ref)->cell.head & SB_CELL_ABSENT) != 0)
        return SABOT_OK;
    return timer_end(vault, state, &named, ref, error);
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
           time - state->wheel->now > (uint64_t)near_ms;
}

void sb_timer_evict(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const struct sb_timer *timer = timer_at(vault, sb_hash_shard(hash), ref);
    const uint64_t time = ordered(timer->time_ms);
    struct sb_wheel *wheel = state->wheel;

    if ((timer->cell.head & SB_CELL_ABSENT) == 0)
        wheel->rows_from = time < wheel->rows_from ? time : wheel->rows_from;
    timer_drop(vault, state, hash, ref);
    sift(vault, state);
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
    struct sb_timer *timer;
    sb_ref ref;

    *new_out = false;
    if (sb_hash_shard(named.hash) != shard)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "state %s of agent %s: the row of a timer is in another shard than its "
                           "key; restore from the last checkpoint",
                           state->spec.name, vault->config.owner);
    if (timer_find(vault, state, named, time_ms) != 0)
        return SABOT_OK;
    SABOT_TRY(timer_add(vault, state, named, time_ms, &ref, error));
    timer = timer_at(vault, shard, ref);
    timer->cell.head &= ~(uint32_t)SB_CELL_DIRTY;
    timer->cell.head |= SB_CELL_ROW;
    *new_out = true;
    return SABOT_OK;
}

/* --- After a restore ----------------------------------------------------------------------------
 */

sabot_status sb_timer_adopt(struct sb_vault *vault,
                            struct sb_state *state,
                            uint32_t shard,
                            sb_ref ref,
                            sabot_error *error)
{
    const struct sb_timer *timer = timer_at(vault, shard, ref);
    const uint32_t size = sb_cell_key_size(&timer->cell);
    const uint64_t key_hash =
        sb_hash(sb_cell_key(state, &timer->cell), size, vault->config.hash_seed);
    const uint64_t hash = timer_hash(key_hash, timer->time_ms);
    struct sb_index *index = &state->tables[shard].keys;

    if (SB_MUTANT(TIMERS_LOST) ||
        (SB_MUTANT(CLOCK_TIMERS_LOST) && state->spec.ttl_time == SB_TIME_PROCESSING))
        return SABOT_OK;
    if (sb_hash_shard(key_hash) != shard || timer->serial >> SERIAL_BITS != 0)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "state %s of agent %s: a timer is in another shard than its key",
                           state->spec.name, vault->config.owner);
    if (sb_index_grow(index, &vault->pool, shard) != SABOT_OK ||
        sb_wheel_add(state->wheel, ordered(timer->time_ms), mark_of(hash, timer->serial)) !=
            SABOT_OK)
        return sb_vault_no_memory(vault, state, error);
    sb_index_insert(index, hash, ref);
    state->wheel->live++;
    return SABOT_OK;
}

/* --- Firing -------------------------------------------------------------------------------------
 */

/* Fetch what the timers that come next need: their places in the index, then their cells. */
static void fetch_ahead(const struct sb_vault *vault, const struct sb_state *state)
{
    const struct sb_wheel *wheel = state->wheel;
    const struct sb_wheel_entry *entries = wheel->ready + wheel->ready_at;
    const uint32_t left = wheel->ready_count - wheel->ready_at;
    const uint32_t count = left < FETCHED ? left : FETCHED;
    const void *places[2 * FETCHED] = {NULL}; /* gcc 12 at -O1 does not see that they are set */
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++)
        found += sb_index_places(&state->tables[sb_hash_shard(entries[i].mark)].keys,
                                 entries[i].mark, places + found);
    touch(places, found);
    found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t shard = sb_hash_shard(entries[i].mark);
        const struct sb_index *index = &state->tables[shard].keys;
        struct sb_probe probe = sb_index_probe(index, entries[i].mark);
        const sb_ref ref = sb_index_match(&probe);

        if (ref == 0)
            continue;
        places[found++] = sb_cell_at(&vault->cells[shard], ref);
        places[found++] = sb_cell_slab(&vault->cells[shard], ref);
    }
    touch(places, found);
}

/* The entry that comes next by a clock; NULL in *entry_out: none. SABOT_AGAIN: too many moves. */
static sabot_status peek(struct sb_vault *vault,
                         struct sb_state *state,
                         uint64_t clock,
                         uint32_t *moves,
                         const struct sb_wheel_entry **entry_out,
                         sabot_error *error)
{
    struct sb_wheel *wheel = state->wheel;

    for (;;) {
        const uint64_t rows_from = wheel->rows_from;
        sabot_status status = SABOT_OK;

        *entry_out = NULL;
        if (rows_from > 0) /* what lies in rows only comes after all that is before it */
            status =
                sb_wheel_peek(wheel, rows_from <= clock ? rows_from - 1 : clock, moves, entry_out);
        if (status == SABOT_ERR_MEMORY)
            return sabot_raise(error, status, "agent %s: no memory for its timers",
                               vault->config.owner);
        SABOT_TRY(status);
        if (wheel->ready_at % FETCHED == 0 && *entry_out == &wheel->ready[wheel->ready_at])
            fetch_ahead(vault, state);
        if (*entry_out != NULL || rows_from > clock || rows_from == UINT64_MAX)
            return SABOT_OK;
        SABOT_TRY(sb_spill_load_timers(vault, state, rows_from, &wheel->rows_from, error));
    }
}

/* The state whose timer is the next on this clock; NULL in *state_out: none is due. */
static sabot_status find_next(struct sb_vault *vault,
                              enum sb_state_time clock,
                              uint32_t *moves,
                              struct sb_state **state_out,
                              struct sb_wheel_entry *entry_out,
                              sabot_error *error)
{
    const int64_t now_ms =
        clock == SB_TIME_EVENT ? vault->store.watermark_ms : vault->processing_ms;

    *state_out = NULL;
    *entry_out = (struct sb_wheel_entry){.time = UINT64_MAX};
    if (vault->staged_ms[clock] <= now_ms) /* a callback has set it */
        SABOT_TRY(sb_timer_settle(vault, error));
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        struct sb_state *state = &vault->states[i];
        const struct sb_wheel_entry *entry;

        if (state->wheel == NULL || state->spec.ttl_time != clock)
            continue;
        SABOT_TRY(peek(vault, state, ordered(now_ms), moves, &entry, error));
        if (entry != NULL && (*state_out == NULL || entry->time < entry_out->time)) {
            *entry_out = *entry;
            *state_out = state;
        }
    }
    return SABOT_OK;
}

/* Fire the timer of an entry that was removed from the queue. */
static sabot_status fire(struct sb_vault *vault,
                         struct sb_state *state,
                         uint32_t shard,
                         sb_ref ref,
                         sb_timer_function function,
                         void *context,
                         sabot_error *error)
{
    const struct sb_timer *timer = timer_at(vault, shard, ref);
    const int64_t time_ms = timer->time_ms;
    struct sb_key key = {
        {(const char *)sb_cell_key(state, &timer->cell), sb_cell_key_size(&timer->cell)}, 0};

    key.hash = sb_hash(key.text.data, key.text.size, vault->config.hash_seed);
    /* The time of a timer of processing time is none of event time. */
    SABOT_TRY(sb_store_begin(&vault->store,
                             state->spec.ttl_time == SB_TIME_EVENT ? time_ms : INT64_MIN, error));
    if (!SB_MUTANT(TIMER_STAYS))
        SABOT_TRY(timer_end(vault, state, &key, ref, error));
    return function(context, state->index, key.text, key.hash, time_ms, error);
}

sabot_status sb_store_fire(struct sb_store *store,
                           uint32_t limit,
                           sb_timer_function function,
                           void *context,
                           sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    uint32_t moves = limit > UINT32_MAX / MOVES_PER_FIRE ? UINT32_MAX : limit * MOVES_PER_FIRE;

    SABOT_TRY(sb_timer_settle(vault, error));
    for (int clock = SB_TIME_EVENT; clock <= SB_TIME_PROCESSING; clock++) {
        for (;;) {
            struct sb_wheel_entry entry;
            struct sb_state *state;
            sb_ref ref;

            SABOT_TRY(find_next(vault, (enum sb_state_time)clock, &moves, &state, &entry, error));
            if (state == NULL)
                break;
            ref = find_wanted(vault, state, &entry);
            if (ref != 0 && limit-- == 0)
                return SABOT_AGAIN;
            sb_wheel_pop(state->wheel);
            if (ref != 0)
                SABOT_TRY(
                    fire(vault, state, sb_hash_shard(entry.mark), ref, function, context, error));
        }
    }
    return SABOT_OK;
}

int64_t sb_store_next_timer(struct sb_store *store, enum sb_state_time clock)
{
    struct sb_vault *vault = sb_vault_of(store);
    uint64_t earliest = UINT64_MAX;

    if (sb_timer_settle(vault, NULL) != SABOT_OK)
        return INT64_MIN; /* firing says why */
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];
        uint64_t next;

        if (state->wheel == NULL || state->spec.ttl_time != clock)
            continue;
        next = sb_wheel_next(state->wheel);
        next = state->wheel->rows_from < next ? state->wheel->rows_from : next;
        earliest = next < earliest ? next : earliest;
    }
    return (int64_t)(earliest ^ (uint64_t)1 << 63);
}
