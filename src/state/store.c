/* SPDX-License-Identifier: Apache-2.0 */
/* store.c - the life of a store, what happens between callbacks, and cells of keys.
 *
 * Threads: the store's. Memory: tables of all shards at creation (64 bytes a state and shard); the
 * arena of a shard when its first key comes; the rest by chunk. */
#include "state/store.h"

#include "base/mem.h"
#include "state/vault.h"

enum { CELL_AHEAD = 40 }; /* a small cell often lies in two lines */

/* --- Creation -----------------------------------------------------------------------------------
 */

static bool has_keys_cells(enum sb_state_kind kind)
{
    return kind != SB_STATE_MAP && kind != SB_STATE_TIMERS;
}

static sabot_status state_init(struct sb_vault *vault,
                               struct sb_state *state,
                               const struct sb_state_spec *spec)
{
    const bool expires = spec->ttl_ms > 0;

    SB_ASSERT(spec->kind >= SB_STATE_VALUE && spec->kind <= SB_STATE_TIMERS);
    SB_ASSERT(spec->schema == NULL || spec->schema->record_size <= SB_STATE_FIXED_MAX);
    SB_ASSERT(spec->row_schema == NULL || (spec->schema == NULL && spec->kind == SB_STATE_VALUE));
    SB_ASSERT(spec->kind != SB_STATE_TIMERS || (spec->schema == NULL && !expires));
    state->spec = *spec;
    vault->store.shows |= spec->ahead != NULL;
    state->index = (uint32_t)(state - vault->states);
    state->fixed_size = spec->schema == NULL ? 0 : spec->schema->record_size;
    state->keys_expire = expires && has_keys_cells(spec->kind);
    state->entries_expire = expires && spec->kind == SB_STATE_MAP;
    state->key_offset = sizeof(struct sb_cell) + (state->keys_expire ? sizeof(int64_t) : 0);
    state->entry_offset = sizeof(struct sb_cell) + (state->entries_expire ? sizeof(int64_t) : 0);
    if (spec->kind == SB_STATE_TIMERS)
        state->key_offset = sizeof(struct sb_timer);
    state->backed = vault->config.rows != NULL && !spec->in_memory;
    state->hinted =
        !state->keys_expire && spec->kind != SB_STATE_LIST && has_keys_cells(spec->kind);
    sb_buffer_init(&state->rows_at, vault->config.env);
    state->rows_shard = vault->config.worker;
    state->line.owner = vault->config.owner;
    state->line.state = spec->name;
    sb_account_add(vault->config.account, &state->line);
    state->tables = sb_alloc_array(vault->config.env, SB_SHARD_COUNT, sizeof *state->tables);
    if (state->fixed_size > vault->zeros_size)
        vault->zeros_size = state->fixed_size;
    if (state->tables == NULL)
        return SABOT_ERR_MEMORY;
    return spec->kind == SB_STATE_TIMERS ? sb_wheel_create(vault, state) : SABOT_OK;
}

static sabot_status vault_init(struct sb_vault *vault, const struct sb_store_config *config)
{
    vault->config = *config;
    vault->store.watermark_ms = INT64_MIN;
    vault->store.now_ms[SB_TIME_EVENT] = INT64_MIN;
    vault->store.now_ms[SB_TIME_PROCESSING] = INT64_MIN;
    vault->store.refresh_ms[SB_TIME_EVENT] = INT64_MIN;
    vault->store.refresh_ms[SB_TIME_PROCESSING] = INT64_MIN;
    vault->processing_ms = INT64_MIN;
    vault->staged_ms[SB_TIME_EVENT] = INT64_MAX;
    vault->staged_ms[SB_TIME_PROCESSING] = INT64_MAX;
    vault->zeros_size = 16;
    for (uint32_t i = 0; i < SB_HINTS; i++)
        vault->hints[i].state = SB_HINT_NONE;
    sb_pool_init(&vault->pool, config->env, config->account);
    vault->states = sb_alloc_array(config->env, config->state_count, sizeof *vault->states);
    if (vault->states == NULL)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = 0; i < config->state_count; i++)
        SABOT_TRY(state_init(vault, &vault->states[i], &config->states[i]));
    vault->zeros = sb_alloc(config->env, vault->zeros_size);
    if (vault->zeros == NULL)
        return SABOT_ERR_MEMORY;
    SABOT_TRY(sb_imaging_init(vault));
    return sb_spill_init(vault, NULL);
}

sabot_status sb_store_create(const struct sb_store_config *config,
                             struct sb_store **store_out,
                             sabot_error *error)
{
    struct sb_vault *vault = sb_alloc(config->env, sizeof *vault);

    *store_out = NULL;
    SB_ASSERT(config->state_count <= SB_STATES_MAX);
    if (vault == NULL || vault_init(vault, config) != SABOT_OK) {
        if (vault != NULL)
            sb_store_destroy(&vault->store);
        return sabot_raise(error, SABOT_ERR_MEMORY,
                           "agent %s: no memory for the tables of %u states", config->owner,
                           config->state_count);
    }
    *store_out = &vault->store;
    return SABOT_OK;
}

static void state_reset(struct sb_vault *vault, struct sb_state *state)
{
    for (uint32_t i = 0; state->tables != NULL && i < SB_SHARD_COUNT; i++) {
        sb_index_reset(&state->tables[i].keys, &vault->pool);
        sb_index_reset(&state->tables[i].entries, &vault->pool);
    }
    sb_free_array(vault->config.env, state->tables, SB_SHARD_COUNT, sizeof *state->tables);
    sb_wheel_destroy(vault, state);
    if (state->rows_at.env != NULL)
        sb_buffer_reset(&state->rows_at);
    sb_account_remove(vault->config.account, &state->line);
}

void sb_store_destroy(struct sb_store *store)
{
    struct sb_vault *vault = sb_vault_of(store);
    const struct sb_env *env;

    if (store == NULL)
        return;
    env = vault->config.env;
    sb_spill_reset(vault);
    sb_imaging_reset(vault);
    for (uint32_t i = 0; vault->states != NULL && i < vault->config.state_count; i++)
        state_reset(vault, &vault->states[i]);
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++)
        sb_cells_reset(&vault->cells[i]);
    sb_pool_reset(&vault->pool);
    sb_free_array(env, vault->states, vault->config.state_count, sizeof *vault->states);
    sb_free(env, vault->zeros, vault->zeros_size);
    sb_free(env, vault, sizeof *vault);
}

/* --- Errors -------------------------------------------------------------------------------------
 */

sabot_status sb_vault_fail(struct sb_vault *vault, const sabot_error *error)
{
    if (vault->store.failure == SABOT_OK) {
        vault->error = *error;
        vault->store.failure = error->status;
    }
    return error->status;
}

sabot_status sb_store_failure(const struct sb_store *store, sabot_error *error)
{
    const struct sb_vault *vault = sb_vault_of_const(store);

    if (error != NULL)
        *error = vault->error;
    return store->failure;
}

sabot_status sb_vault_no_memory(struct sb_vault *vault,
                                const struct sb_state *state,
                                sabot_error *error)
{
    const uint64_t limit = sb_account_limit(vault->config.account);
    const uint64_t used = limit == 0 ? 0 : sb_account_used(vault->config.account);
    char holders[512];

    sb_account_describe(vault->config.account, holders, sizeof holders);
    if (limit == 0 || used < limit / 2)
        return sabot_raise(error, SABOT_ERR_MEMORY, "state %s of agent %s: no memory left%s%s",
                           state->spec.name, vault->config.owner,
                           *holders == '\0' ? "" : "; held: ", holders);
    return sabot_raise(error, SABOT_ERR_MEMORY,
                       "state %s of agent %s: the limit memory=%llu bytes is reached; held: %s; "
                       "give more, let entries expire, or keep state on disk with state=rocksdb",
                       state->spec.name, vault->config.owner, (unsigned long long)limit, holders);
}

/* --- Between callbacks --------------------------------------------------------------------------
 */

void sb_store_time(struct sb_store *store, int64_t watermark_ms, int64_t processing_ms)
{
    struct sb_vault *vault = sb_vault_of(store);

    if (watermark_ms > store->watermark_ms)
        store->watermark_ms = watermark_ms;
    if (processing_ms > vault->processing_ms)
        vault->processing_ms = processing_ms;
    store->now_ms[SB_TIME_PROCESSING] = vault->processing_ms;
    store->refresh_ms[SB_TIME_PROCESSING] = vault->processing_ms;
    if (vault->config.rows != NULL && !vault->was_frozen)
        sb_spill_tell_time(vault, (const int64_t[2]){store->watermark_ms, vault->processing_ms});
    sb_vault_sweep(vault);
}

void sb_vault_bury(struct sb_vault *vault)
{
    for (uint32_t word = 0; word < SB_SHARD_COUNT / 64; word++) {
        for (; vault->dead_shards[word] != 0;
             vault->dead_shards[word] &= vault->dead_shards[word] - 1) {
            const uint32_t bit = (uint32_t)__builtin_ctzll(vault->dead_shards[word]);

            sb_cells_bury(&vault->cells[word * 64 + bit]);
        }
    }
}

sabot_status sb_store_tidy(struct sb_store *store, sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    sabot_status status;

    sb_vault_bury(vault);
    status = sb_spill_tidy(vault, error);
    if (status != SABOT_OK && error != NULL)
        (void)sb_vault_fail(vault, error);
    store->has_work = sb_spill_is_full(vault);
    return sb_store_status(store, error);
}

/* --- Cells of keys ------------------------------------------------------------------------------
 */

struct sb_cells *sb_vault_cells(struct sb_vault *vault, uint32_t shard)
{
    struct sb_cells *cells = &vault->cells[shard];

    if (cells->pool != NULL)
        return cells;
    if (sb_cells_init(cells, &vault->pool, vault->config.state_count * SB_TAGS_PER_STATE) !=
        SABOT_OK)
        return NULL;
    cells->epoch = vault->imaging.epoch;
    cells->watch = &vault->imaging.watch;
    return cells;
}

void sb_vault_drop(struct sb_vault *vault,
                   struct sb_state *state,
                   uint32_t shard,
                   sb_ref ref,
                   uint32_t bytes)
{
    sb_account_count(&state->line, -(int64_t)sb_cell_size(bytes));
    sb_cell_drop(&vault->cells[shard], ref);
    vault->dead_shards[shard / 64] |= (uint64_t)1 << (shard % 64);
    vault->store.has_work = true;
}

sabot_status sb_key_create(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           uint32_t size,
                           struct sb_cell **cell_out,
                           sb_ref *ref_out,
                           sabot_error *error)
{
    const uint32_t shard = sb_hash_shard(key.hash);
    const uint32_t bytes = state->key_offset + sb_pad8((uint32_t)key.text.size) + size;
    struct sb_cells *cells = sb_vault_cells(vault, shard);
    struct sb_index *index = &state->tables[shard].keys;
    struct sb_cell *cell;
    sb_ref ref = 0;

    *cell_out = NULL;
    *ref_out = 0;
    if (key.text.size > SB_STATE_KEY_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "state %s of agent %s: a key of %zu bytes, %d are allowed",
                           state->spec.name, vault->config.owner, key.text.size, SB_STATE_KEY_MAX);
    if (cells != NULL && sb_index_grow(index, &vault->pool, shard) == SABOT_OK)
        ref = sb_cell_alloc(cells, sb_state_tag(state, SB_TAG_KEYS), bytes);
    if (ref == 0)
        return sb_vault_no_memory(vault, state, error);
    cell = sb_cell_at(cells, ref);
    cell->head = (uint32_t)key.text.size;
    cell->size = size;
    if (state->backed && state->spec.kind != SB_STATE_MAP)
        cell->head |= SB_CELL_DIRTY | SB_CELL_HOT | vault->parity;
    if (sb_spill_is_full(vault))
        vault->store.has_work = true;
    if (state->keys_expire)
        sb_cell_set_time(cell, vault->store.refresh_ms[state->spec.ttl_time]);
    if (key.text.size > 0)
        memcpy(sb_cell_key(state, cell), key.text.data, key.text.size);
    sb_index_insert(index, key.hash, ref);
    sb_account_count(&state->line, sb_cell_size(bytes));
    *cell_out = cell;
    *ref_out = ref;
    return SABOT_OK;
}

void sb_key_remove(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    const uint32_t bytes = sb_cell_bytes(state, cell);

    if (state->backed && state->spec.kind != SB_STATE_MAP)
        sb_spill_settle(vault, state, shard, cell);
    vault->hints[hash % SB_HINTS].state = SB_HINT_NONE;
    sb_index_remove(&state->tables[shard].keys, &vault->pool, hash, ref);
    sb_cell_change(&vault->cells[shard], ref);
    cell->head |= SB_CELL_GONE;
    sb_vault_drop(vault, state, shard, ref, bytes);
}

void sb_key_forget(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref)
{
    const uint32_t shard = sb_hash_shard(hash);
    struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);
    void *value = sb_cell_value(state, cell);

    sb_cell_change(&vault->cells[shard], ref);
    if (state->spec.kind == SB_STATE_LIST)
        sb_list_drop_segments(vault, state, shard, value);
    else if (state->spec.kind == SB_STATE_MAP)
        sb_map_drop_entries(vault, state, hash, value);
    sb_key_remove(vault, state, hash, ref);
}

sabot_status sb_key_erase(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          sb_ref ref,
                          sabot_error *error)
{
    struct sb_cell *cell =
        ref == 0 ? NULL : sb_cell_at(&vault->cells[sb_hash_shard(key.hash)], ref);
    sb_ref tombstone;

    if (cell != NULL)
        sb_key_forget(vault, state, key.hash, ref);
    if (!state->backed)
        return SABOT_OK;
    SABOT_TRY(sb_key_create(vault, state, key, 0, &cell, &tombstone, error));
    SB_ASSERT(cell != NULL);
    cell->head |= SB_CELL_ABSENT;
    return SABOT_OK;
}

sabot_status sb_value_check(const struct sb_vault *vault,
                            const struct sb_state *state,
                            size_t size,
                            sabot_error *error)
{
    SB_ASSERT(state->fixed_size == 0 || state->fixed_size == size);
    if (size <= SB_STATE_VALUE_MAX)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "state %s of agent %s: a value of %zu bytes, %d are allowed",
                       state->spec.name, vault->config.owner, size, SB_STATE_VALUE_MAX);
}

void sb_store_show(const struct sb_store *store, uint32_t index, uint64_t hash)
{
    const struct sb_vault *vault = sb_vault_of_const(store);
    const struct sb_state *state = &vault->states[index];
    const struct sb_hint *hint = &vault->hints[hash % SB_HINTS];

    if (state->spec.ahead != NULL && hint->hash == hash && hint->state == index &&
        (hint->cell->head & SB_CELL_ABSENT) == 0)
        state->spec.ahead(sb_cell_value(state, hint->cell));
}

void sb_store_fetch(struct sb_store *store, uint32_t index, uint64_t far_hash, uint64_t near_hash)
{
    struct sb_vault *vault = sb_vault_of(store);
    const struct sb_state *state = &vault->states[index];
    const uint32_t shard = sb_hash_shard(near_hash);
    const struct sb_index *near = &state->tables[shard].keys;
    struct sb_hint *hint = &vault->hints[near_hash % SB_HINTS];
    struct sb_probe probe;
    uint8_t *cell;
    sb_ref ref;

    sb_index_prefetch(&state->tables[sb_hash_shard(far_hash)].keys, far_hash);
    probe = sb_index_probe(near, near_hash);
    ref = sb_index_match(&probe);
    if (ref == 0 || state->wheel != NULL)
        return;
    cell = sb_cell_at(&vault->cells[shard], ref);
    __builtin_prefetch(cell, 1, 3);
    __builtin_prefetch(cell + CELL_AHEAD, 1, 3);
    if (!state->hinted)
        return;
    hint->hash = near_hash;
    hint->cell = (void *)cell;
    hint->key = cell + state->key_offset;
    hint->ref = ref;
    hint->state = index;
}
