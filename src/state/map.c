/* SPDX-License-Identifier: Apache-2.0 */
/* map.c - map state: the entries of a key, found by hash and walked in byte order.
 *
 *     cell of the key (struct sb_map) -> entry -> entry -> ...      the skip list, by key
 *     index of entries, by (key, entry's key) -> entry              one look
 *
 * The height of an entry comes from its hash: one in four is higher than 1, one in sixteen than 2,
 * and so on; so it is the same in every run. An entry's cell is of a fixed size; a value of another
 * size is a new cell in its place, and the old one stays readable until the callback has ended: its
 * tower still leads on, so that a walk that stands on it finds its way.
 *
 * Time to live is that of each entry. A map without entries is none: its key's cell is removed.
 * Threads: the store's. Memory: a cell per key and per entry. */
#include "state/vault.h"

static struct sb_map *map_of(const struct sb_state *state, const struct sb_cell *cell)
{
    return (struct sb_map *)(void *)sb_cell_value(state, cell);
}

/* --- The skip list ------------------------------------------------------------------------------
 */

/* The entries before the place of `key`, one per height; 0: the head of the list. */
static void find_befores(const struct sb_vault *vault,
                         const struct sb_state *state,
                         uint32_t shard,
                         struct sb_map *map,
                         sabot_text key,
                         sb_ref befores[SB_MAP_HEIGHT_MAX])
{
    sb_ref before = 0;

    for (uint32_t height = SB_MAP_HEIGHT_MAX; height-- > 0;) {
        for (;;) {
            const sb_ref next =
                before == 0
                    ? map->tower[height]
                    : sb_entry_of(state, sb_cell_at(&vault->cells[shard], before))->tower[height];
            const struct sb_cell *cell;

            if (next == 0)
                break;
            cell = sb_cell_at(&vault->cells[shard], next);
            if (sb_compare_bytes(sb_entry_key(state, cell), sb_cell_key_size(cell), key.data,
                                 key.size) >= 0)
                break;
            before = next;
        }
        befores[height] = before;
    }
}

/* The reference at a height that leads away from an entry or from the head, for changing it. */
static sb_ref *link_of(struct sb_vault *vault,
                       struct sb_state *state,
                       uint32_t shard,
                       struct sb_map *map,
                       sb_ref before,
                       uint32_t height)
{
    struct sb_entry *entry;

    if (before == 0)
        return &map->tower[height];
    entry = sb_entry_of(state, sb_cell_at(&vault->cells[shard], before));
    sb_cell_change(&vault->cells[shard], before);
    return &entry->tower[height];
}

static void link_entry(struct sb_vault *vault,
                       struct sb_state *state,
                       uint32_t shard,
                       struct sb_map *map,
                       sb_ref ref)
{
    const struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    const sabot_text key = {(const char *)sb_entry_key(state, cell), sb_cell_key_size(cell)};
    sb_ref befores[SB_MAP_HEIGHT_MAX];

    find_befores(vault, state, shard, map, key, befores);
    for (uint32_t height = 0; height < sb_entry_height(cell); height++) {
        sb_ref *link = link_of(vault, state, shard, map, befores[height], height);

        sb_entry_of(state, cell)->tower[height] = *link;
        *link = ref;
    }
    map->count++;
}

static void unlink_entry(struct sb_vault *vault,
                         struct sb_state *state,
                         uint32_t shard,
                         struct sb_map *map,
                         sb_ref ref)
{
    const struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    const sabot_text key = {(const char *)sb_entry_key(state, cell), sb_cell_key_size(cell)};
    sb_ref befores[SB_MAP_HEIGHT_MAX];

    find_befores(vault, state, shard, map, key, befores);
    for (uint32_t height = 0; height < sb_entry_height(cell); height++) {
        sb_ref *link = link_of(vault, state, shard, map, befores[height], height);

        SB_ASSERT(*link == ref);
        *link = sb_entry_of(state, cell)->tower[height];
    }
    SB_ASSERT(map->count > 0);
    map->count--;
}

sb_ref sb_map_seek(const struct sb_vault *vault,
                   const struct sb_state *state,
                   uint32_t shard,
                   const struct sb_map *map,
                   sabot_text from)
{
    sb_ref befores[SB_MAP_HEIGHT_MAX];

    find_befores(vault, state, shard, (struct sb_map *)(uintptr_t)map, from, befores);
    if (befores[0] == 0)
        return map->tower[0];
    return sb_entry_of(state, sb_cell_at(&vault->cells[shard], befores[0]))->tower[0];
}

/* --- Entries ------------------------------------------------------------------------------------
 */

struct place {
    uint32_t shard;
    uint64_t entry_hash;
    struct sb_cell *owner; /* the cell of the key; NULL: no map */
    sb_ref owner_ref;
    struct sb_cell *cell; /* of the entry; NULL: none */
    sb_ref ref;
};

static void find(const struct sb_vault *vault,
                 const struct sb_state *state,
                 struct sb_key key,
                 sabot_text entry,
                 struct place *place)
{
    struct sb_probe probe;
    sb_ref ref;

    *place = (struct place){.shard = sb_hash_shard(key.hash),
                            .entry_hash = sb_entry_hash(key.hash, entry)};
    place->owner_ref = sb_key_find(vault, state, key, &place->owner);
    if (place->owner_ref == 0)
        return;
    probe = sb_index_probe(&state->tables[place->shard].entries, place->entry_hash);
    while ((ref = sb_index_match(&probe)) != 0) {
        struct sb_cell *cell = sb_cell_at(&vault->cells[place->shard], ref);

        if (sb_entry_of(state, cell)->owner == place->owner_ref &&
            sb_cell_key_size(cell) == entry.size &&
            sb_same_bytes(sb_entry_key(state, cell), entry.data, entry.size)) {
            place->cell = cell;
            place->ref = ref;
            return;
        }
    }
}

static uint32_t height_of(uint64_t entry_hash)
{
    const uint32_t zeros = (uint32_t)__builtin_ctzll(entry_hash >> 32 | (uint64_t)1 << 25);
    const uint32_t height = 1 + zeros / 2;

    return height > SB_MAP_HEIGHT_MAX ? SB_MAP_HEIGHT_MAX : height;
}

/* A new cell of an entry, in no index yet. The key's cell is made when it isn't there. */
static sabot_status make(struct sb_vault *vault,
                         struct sb_state *state,
                         struct sb_key key,
                         sabot_text entry,
                         uint32_t size,
                         struct place *place,
                         sabot_error *error)
{
    const uint32_t height = height_of(place->entry_hash);
    const uint32_t key_at = state->entry_offset + sb_pad8((uint32_t)sizeof(sb_ref) * (1 + height));
    const uint32_t bytes = key_at + sb_pad8((uint32_t)entry.size) + size;
    struct sb_cell *cell;

    if (entry.size > SB_STATE_KEY_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "state %s of agent %s: a map's key of %zu bytes, %d are allowed",
                           state->spec.name, vault->config.owner, entry.size, SB_STATE_KEY_MAX);
    if (place->owner_ref == 0)
        SABOT_TRY(sb_key_create(vault, state, key, sizeof(struct sb_map), &place->owner,
                                &place->owner_ref, error));
    place->ref = 0;
    if (sb_index_grow(&state->tables[place->shard].entries, &vault->pool, place->shard) == SABOT_OK)
        place->ref =
            sb_cell_alloc(&vault->cells[place->shard], sb_state_tag(state, SB_TAG_PARTS), bytes);
    if (place->ref == 0) {
        if (map_of(state, place->owner)->count == 0)
            sb_key_remove(vault, state, key.hash, place->owner_ref);
        return sb_vault_no_memory(vault, state, error);
    }
    cell = sb_cell_at(&vault->cells[place->shard], place->ref);
    cell->head = (uint32_t)entry.size | height << SB_CELL_HEIGHT_SHIFT;
    cell->size = size;
    if (state->backed)
        cell->head |= SB_CELL_DIRTY | SB_CELL_HOT | vault->parity;
    if (state->entries_expire)
        sb_cell_set_time(cell, vault->store.refresh_ms[state->spec.ttl_time]);
    sb_entry_of(state, cell)->owner = place->owner_ref;
    if (entry.size > 0)
        memcpy(sb_entry_key(state, cell), entry.data, entry.size);
    sb_account_count(&state->line, sb_cell_size(bytes));
    place->cell = cell;
    return SABOT_OK;
}

/* Into the index and the skip list. */
static void enter(struct sb_vault *vault, struct sb_state *state, const struct place *place)
{
    sb_index_insert(&state->tables[place->shard].entries, place->entry_hash, place->ref);
    sb_cell_change(&vault->cells[place->shard], place->owner_ref);
    link_entry(vault, state, place->shard, map_of(state, place->owner), place->ref);
}

/* Out of both; its bytes and its tower stay readable until the callback has ended. */
static void take_out(struct sb_vault *vault,
                     struct sb_state *state,
                     struct sb_map *map,
                     uint64_t entry_hash,
                     sb_ref ref)
{
    const uint32_t shard = sb_hash_shard(entry_hash);
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    const uint32_t bytes = sb_entry_bytes(state, cell);

    if (state->backed)
        sb_spill_settle(vault, state, shard, cell);
    unlink_entry(vault, state, shard, map, ref);
    sb_index_remove(&state->tables[shard].entries, &vault->pool, entry_hash, ref);
    sb_cell_change(&vault->cells[shard], ref);
    cell->head |= SB_CELL_GONE;
    sb_vault_drop(vault, state, shard, ref, bytes);
}

void sb_entry_remove(struct sb_vault *vault,
                     struct sb_state *state,
                     uint64_t entry_hash,
                     sb_ref ref)
{
    struct sb_cells *cells = &vault->cells[sb_hash_shard(entry_hash)];
    const sb_ref owner_ref = sb_entry_of(state, sb_cell_at(cells, ref))->owner;
    struct sb_cell *owner = sb_cell_at(cells, owner_ref);

    sb_cell_change(cells, owner_ref);
    take_out(vault, state, map_of(state, owner), entry_hash, ref);
    if (map_of(state, owner)->count == 0) {
        const uint64_t hash =
            sb_hash(sb_cell_key(state, owner), sb_cell_key_size(owner), vault->config.hash_seed);

        sb_key_remove(vault, state, hash, owner_ref);
    }
}

void sb_map_drop_entries(struct sb_vault *vault,
                         struct sb_state *state,
                         uint64_t key_hash,
                         struct sb_map *map)
{
    const uint32_t shard = sb_hash_shard(key_hash);

    while (map->tower[0] != 0) {
        const sb_ref ref = map->tower[0];
        const struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
        const sabot_text entry = {(const char *)sb_entry_key(state, cell), sb_cell_key_size(cell)};

        take_out(vault, state, map, sb_entry_hash(key_hash, entry), ref);
    }
}

/* Find an entry; from its row, when it isn't in memory: then it may be one that says there is none.
 */
static sabot_status locate(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           sabot_text entry,
                           struct place *place,
                           sabot_error *error)
{
    sabot_text value;
    int64_t time_ms = 0;

    find(vault, state, key, entry, place);
    if (!state->backed)
        return SABOT_OK;
    if (place->ref != 0) {
        place->cell->head |= SB_CELL_HOT;
        return SABOT_OK;
    }
    SABOT_TRY(sb_spill_get_entry(vault, state, key, entry, &value, &time_ms, error));
    SABOT_TRY(make(vault, state, key, entry, (uint32_t)value.size, place, error));
    place->cell->head &= ~(uint32_t)SB_CELL_DIRTY;
    if (value.data == NULL)
        place->cell->head |= SB_CELL_ABSENT;
    if (state->entries_expire)
        sb_cell_set_time(place->cell, time_ms);
    if (value.data != NULL && value.size > 0)
        memcpy(sb_entry_value(state, place->cell), value.data, value.size);
    enter(vault, state, place);
    return SABOT_OK;
}

/* May it be returned? Then it is refreshed, when reads do that. */
static bool entry_visible(struct sb_vault *vault,
                          struct sb_state *state,
                          uint32_t shard,
                          struct sb_cell *cell,
                          sb_ref ref)
{
    if ((cell->head & (SB_CELL_ABSENT | SB_CELL_GONE)) != 0)
        return false;
    if (!state->entries_expire)
        return true;
    if (sb_state_expired(vault, state, cell))
        return false;
    if (state->spec.ttl_on_read)
        sb_state_refresh(vault, state, shard, ref, cell);
    return true;
}

/* Put a new cell in the place of the old one; `old` 0: there is none in memory. */
static void replace(struct sb_vault *vault,
                    struct sb_state *state,
                    const struct place *place,
                    sb_ref old_ref)
{
    if (old_ref != 0) {
        const struct sb_cell *old = sb_cell_at(&vault->cells[place->shard], old_ref);

        if (state->entries_expire && (old->head & SB_CELL_ABSENT) == 0 &&
            sb_cell_time(old) > sb_cell_time(place->cell))
            sb_cell_set_time(place->cell, sb_cell_time(old));
        sb_cell_change(&vault->cells[place->shard], place->owner_ref);
        take_out(vault, state, map_of(state, place->owner), place->entry_hash, old_ref);
    }
    enter(vault, state, place);
}

/* --- Calls --------------------------------------------------------------------------------------
 */

sabot_text sb_map_get(struct sb_store *store,
                      uint32_t index,
                      sabot_text key,
                      uint64_t hash,
                      sabot_text entry)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    struct place place;
    sabot_error error;

    SB_ASSERT(state->spec.kind == SB_STATE_MAP);
    if (locate(vault, state, (struct sb_key){key, hash}, entry, &place, &error) != SABOT_OK)
        (void)sb_vault_fail(vault, &error);
    else if (place.cell != NULL && entry_visible(vault, state, place.shard, place.cell, place.ref))
        return (sabot_text){(const char *)sb_entry_value(state, place.cell), place.cell->size};
    return (sabot_text){NULL, 0};
}

void *sb_map_edit(struct sb_store *store,
                  uint32_t index,
                  sabot_text key,
                  uint64_t hash,
                  sabot_text entry,
                  sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    struct place place;
    sb_ref old;

    SB_ASSERT(state->spec.kind == SB_STATE_MAP && state->fixed_size > 0);
    if (locate(vault, state, named, entry, &place, error) != SABOT_OK)
        return NULL;
    old = place.ref;
    if (place.cell == NULL || (place.cell->head & SB_CELL_ABSENT) != 0) {
        if (make(vault, state, named, entry, state->fixed_size, &place, error) != SABOT_OK)
            return NULL;
        SB_ASSERT(place.cell != NULL);
        replace(vault, state, &place, old);
        return sb_entry_value(state, place.cell);
    }
    sb_cell_touch(vault, state, place.shard, place.ref, place.cell);
    if (state->entries_expire) {
        if (sb_state_expired(vault, state, place.cell))
            memset(sb_entry_value(state, place.cell), 0, place.cell->size);
        sb_state_refresh(vault, state, place.shard, place.ref, place.cell);
    }
    return sb_entry_value(state, place.cell);
}

sabot_status sb_map_put(struct sb_store *store,
                        uint32_t index,
                        sabot_text key,
                        uint64_t hash,
                        sabot_text entry,
                        sabot_text value,
                        sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    struct place place;
    sb_ref old;

    SB_ASSERT(state->spec.kind == SB_STATE_MAP);
    SABOT_TRY(sb_value_check(vault, state, value.size, error));
    if (state->entries_expire) /* the time of the entry before counts */
        SABOT_TRY(locate(vault, state, named, entry, &place, error));
    else
        find(vault, state, named, entry, &place);
    old = place.ref;
    SABOT_TRY(make(vault, state, named, entry, (uint32_t)value.size, &place, error));
    if (value.size > 0)
        memcpy(sb_entry_value(state, place.cell), value.data, value.size);
    replace(vault, state, &place, old);
    return SABOT_OK;
}

sabot_status sb_map_remove(struct sb_store *store,
                           uint32_t index,
                           sabot_text key,
                           uint64_t hash,
                           sabot_text entry,
                           sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    struct place place;
    sb_ref old;

    SB_ASSERT(state->spec.kind == SB_STATE_MAP);
    find(vault, state, named, entry, &place);
    old = place.ref;
    if (state->backed) { /* a cell that says there is none */
        SABOT_TRY(make(vault, state, named, entry, 0, &place, error));
        SB_ASSERT(place.cell != NULL);
        place.cell->head |= SB_CELL_ABSENT;
        replace(vault, state, &place, old);
    } else if (old != 0) {
        sb_entry_remove(vault, state, place.entry_hash, old);
    }
    return SABOT_OK;
}

/* --- Walking ------------------------------------------------------------------------------------
 *
 * With rows two walks in one: over the entries in memory and over rows, both in byte order. Of two
 * with the same key the one in memory is the truth, also when it says that there is none. */

sabot_status sb_map_scan(struct sb_vault *vault,
                         struct sb_state *state,
                         struct sb_key key,
                         struct sb_walk *walk,
                         sabot_error *error)
{
    struct sb_cell *cell = NULL;

    walk->key = key;
    walk->owner = sb_key_find(vault, state, key, &cell);
    if (walk->owner != 0)
        walk->at = sb_map_seek(vault, state, walk->shard, map_of(state, cell), walk->prefix);
    if (!state->backed)
        return SABOT_OK;
    SABOT_TRY(sb_spill_walk(vault, state, key, 0, walk, error));
    walk->has_row = sb_spill_next(vault, walk, &walk->row_key, &walk->row_value);
    return SABOT_OK;
}

/* The next entry in memory with the prefix, if it may be returned; it is passed in any case. */
static bool next_cell(struct sb_vault *vault,
                      struct sb_state *state,
                      struct sb_walk *walk,
                      sabot_text *key_out,
                      sabot_text *value_out)
{
    struct sb_cell *cell = sb_cell_at(&vault->cells[walk->shard], walk->at);
    const sb_ref ref = walk->at;

    walk->at = sb_entry_of(state, cell)->tower[0];
    if (walk->all ? (cell->head & (SB_CELL_ABSENT | SB_CELL_GONE)) != 0
                  : !entry_visible(vault, state, walk->shard, cell, ref))
        return false;
    *key_out = (sabot_text){(const char *)sb_entry_key(state, cell), sb_cell_key_size(cell)};
    *value_out = (sabot_text){(const char *)sb_entry_value(state, cell), cell->size};
    return true;
}

/* The entry of the row that the walk stands on; it is passed in any case. */
static bool next_row(struct sb_vault *vault,
                     struct sb_state *state,
                     struct sb_walk *walk,
                     sabot_text *key_out,
                     sabot_text *value_out)
{
    struct place place;
    sabot_error error;

    *key_out = walk->row_key;
    *value_out = walk->row_value;
    walk->has_row = sb_spill_next(vault, walk, &walk->row_key, &walk->row_value);
    find(vault, state, walk->key, *key_out, &place);
    if (place.cell == NULL && (walk->all || !state->entries_expire))
        return true;
    /* Put into memory since, or to be refreshed there. */
    if (locate(vault, state, walk->key, *key_out, &place, &error) != SABOT_OK) {
        (void)sb_vault_fail(vault, &error);
        return false;
    }
    *value_out = (sabot_text){(const char *)sb_entry_value(state, place.cell), place.cell->size};
    if (walk->all)
        return (place.cell->head & SB_CELL_ABSENT) == 0;
    return entry_visible(vault, state, place.shard, place.cell, place.ref);
}

/* Does the entry in memory come before the row (-1), after it (1), or is it the same (0)? */
static int compare_walks(const struct sb_vault *vault,
                         const struct sb_state *state,
                         const struct sb_walk *walk)
{
    const struct sb_cell *cell;

    if (!walk->has_row || walk->at == 0)
        return walk->has_row ? 1 : -1;
    cell = sb_cell_at(&vault->cells[walk->shard], walk->at);
    return sb_compare_bytes(sb_entry_key(state, cell), sb_cell_key_size(cell), walk->row_key.data,
                            walk->row_key.size);
}

static void end_at_prefix(const struct sb_vault *vault,
                          const struct sb_state *state,
                          struct sb_walk *walk)
{
    const struct sb_cell *cell;

    if (walk->at == 0)
        return;
    cell = sb_cell_at(&vault->cells[walk->shard], walk->at);
    if (sb_cell_key_size(cell) < walk->prefix.size ||
        !sb_same_bytes(sb_entry_key(state, cell), walk->prefix.data, walk->prefix.size))
        walk->at = 0;
}

bool sb_map_next(struct sb_vault *vault,
                 struct sb_state *state,
                 struct sb_walk *walk,
                 sabot_text *key_out,
                 sabot_text *value_out)
{
    for (;;) {
        int order;
        bool found;

        end_at_prefix(vault, state, walk);
        if (walk->at == 0 && !walk->has_row)
            return false;
        order = compare_walks(vault, state, walk);
        if (order == 0)
            walk->has_row = sb_spill_next(vault, walk, &walk->row_key, &walk->row_value);
        if (order <= 0)
            found = next_cell(vault, state, walk, key_out, value_out);
        else
            found = next_row(vault, state, walk, key_out, value_out);
        if (found)
            return true;
    }
}

/* With rows each entry is removed for itself: what is in memory, and what is in rows only. */
static sabot_status clear_rows(struct sb_vault *vault,
                               struct sb_state *state,
                               struct sb_key key,
                               sabot_error *error)
{
    struct sb_walk walk = {.state = state->index, .shard = sb_hash_shard(key.hash), .all = true};
    sabot_text entry;
    sabot_text value;

    SABOT_TRY(sb_map_scan(vault, state, key, &walk, error));
    while (sb_map_next(vault, state, &walk, &entry, &value))
        SABOT_TRY(sb_map_remove(&vault->store, state->index, key.text, key.hash, entry, error));
    return sb_store_status(&vault->store, error);
}

sabot_status sb_map_clear(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          sabot_error *error)
{
    struct sb_cell *cell = NULL;
    const sb_ref ref = sb_key_find(vault, state, key, &cell);

    if (state->backed)
        return clear_rows(vault, state, key, error);
    if (ref != 0)
        sb_key_forget(vault, state, key.hash, ref);
    return SABOT_OK;
}
