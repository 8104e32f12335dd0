/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - value, reducing and aggregating state: one cell per key.
 *
 * The hot path of an agent: a read or an edit of a key that is there is one look into the index,
 * one comparison of keys, and for an edit one look at the epoch of the chunk. Nothing is allocated,
 * locked or copied.
 *
 * Threads: the store's. Memory: a cell per key. */
#include "state/vault.h"

static bool is_value(const struct sb_state *state)
{
    return state->spec.kind == SB_STATE_VALUE || state->spec.kind == SB_STATE_REDUCING ||
           state->spec.kind == SB_STATE_AGGREGATING;
}

/* Keep the failure of a read, which has no other way to tell. */
static struct sb_cell *failed(struct sb_vault *vault, const sabot_error *error)
{
    (void)sb_vault_fail(vault, error);
    return NULL;
}

/* The cell of a key that may be returned, refreshed when reads do; NULL: there is none. */
static struct sb_cell *visible(struct sb_vault *vault, struct sb_state *state, struct sb_key key)
{
    struct sb_cell *cell;
    sabot_error error;
    sb_ref ref;

    if (sb_key_locate(vault, state, key, &cell, &ref, &error) != SABOT_OK)
        return failed(vault, &error);
    if (ref == 0 || (!state->keys_expire && !state->backed))
        return cell;
    if ((cell->head & SB_CELL_ABSENT) != 0)
        return NULL;
    if (state->keys_expire && sb_state_expired(vault, state, cell))
        return NULL;
    if (state->keys_expire && state->spec.ttl_on_read)
        sb_state_refresh(vault, state, sb_hash_shard(key.hash), ref, cell);
    return cell;
}

/* Without a hint. */
static __attribute__((noinline)) const void *read_cell(struct sb_store *store,
                                                       uint32_t index,
                                                       sabot_text key,
                                                       uint64_t hash)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_cell *cell;

    SB_ASSERT(is_value(state) && state->fixed_size > 0);
    cell = visible(vault, state, (struct sb_key){key, hash});
    return cell == NULL ? vault->zeros : sb_cell_value(state, cell);
}

const void *sb_store_read(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash)
{
    const struct sb_vault *vault = sb_vault_of(store);
    const struct sb_hint *hint = sb_key_hint(vault, index, key, hash);

    if (__builtin_expect(hint == NULL || (hint->cell->head & SB_CELL_ABSENT) != 0, 0))
        return read_cell(store, index, key, hash);
    if (__builtin_expect(vault->config.rows != NULL, 0) && vault->states[index].backed)
        hint->cell->head |= SB_CELL_HOT;
    return hint->key + sb_pad8((uint32_t)key.size);
}

bool sb_store_has(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    struct sb_cursor cursor;
    sabot_text value;

    if (state->spec.kind != SB_STATE_MAP)
        return visible(vault, state, (struct sb_key){key, hash}) != NULL;
    /* All entries may have expired. */
    return sb_store_scan(store, index, key, hash, (sabot_text){NULL, 0}, &cursor, NULL) ==
               SABOT_OK &&
           sb_store_next(store, &cursor, NULL, &value);
}

sabot_text sb_store_get(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_cell *cell = visible(vault, state, (struct sb_key){key, hash});

    SB_ASSERT(is_value(state));
    if (cell == NULL)
        return (sabot_text){NULL, 0};
    return (sabot_text){(const char *)sb_cell_value(state, cell), cell->size};
}

/* Without a hint. */
static __attribute__((noinline)) void *edit_cell(struct sb_store *store,
                                                 uint32_t index,
                                                 sabot_text text,
                                                 uint64_t hash,
                                                 sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key key = {text, hash};
    const uint32_t shard = sb_hash_shard(key.hash);
    struct sb_cell *cell;
    sb_ref ref;

    SB_ASSERT(is_value(state) && state->fixed_size > 0);
    if (sb_key_locate(vault, state, key, &cell, &ref, error) != SABOT_OK)
        return NULL;
    if (ref != 0 && (cell->head & SB_CELL_ABSENT) != 0) {
        sb_key_remove(vault, state, key.hash, ref);
        ref = 0;
    }
    if (ref == 0) {
        if (sb_key_create(vault, state, key, state->fixed_size, &cell, &ref, error) != SABOT_OK)
            return NULL;
        return sb_cell_value(state, cell);
    }
    sb_cell_touch(vault, state, shard, ref, cell);
    if (state->keys_expire) {
        if (sb_state_expired(vault, state, cell))
            memset(sb_cell_value(state, cell), 0, cell->size);
        sb_state_refresh(vault, state, shard, ref, cell);
    }
    return sb_cell_value(state, cell);
}

void *sb_store_edit(struct sb_store *store,
                    uint32_t index,
                    sabot_text key,
                    uint64_t hash,
                    sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    const struct sb_hint *hint = sb_key_hint(vault, index, key, hash);
    const uint32_t shard = sb_hash_shard(hash);

    if (__builtin_expect(hint == NULL || (hint->cell->head & SB_CELL_ABSENT) != 0, 0))
        return edit_cell(store, index, key, hash, error);
    if (__builtin_expect(vault->config.rows == NULL, 1))
        sb_cell_change(&vault->cells[shard], hint->ref);
    else
        sb_cell_touch(vault, &vault->states[index], shard, hint->ref, hint->cell);
    return hint->key + sb_pad8((uint32_t)key.size);
}

sabot_status sb_store_put(struct sb_store *store,
                          uint32_t index,
                          sabot_text key,
                          uint64_t hash,
                          sabot_text value,
                          sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    struct sb_cell *before = NULL;
    struct sb_cell *cell;
    sb_ref before_ref;
    sb_ref ref;

    SB_ASSERT(is_value(state));
    SABOT_TRY(sb_value_check(vault, state, value.size, error));
    if (state->keys_expire) /* the time of the cell before counts */
        SABOT_TRY(sb_key_locate(vault, state, named, &before, &before_ref, error));
    else
        before_ref = sb_key_find(vault, state, named, &before);
    SABOT_TRY(sb_key_create(vault, state, named, (uint32_t)value.size, &cell, &ref, error));
    if (value.size > 0)
        memcpy(sb_cell_value(state, cell), value.data, value.size);
    if (before_ref == 0)
        return SABOT_OK;
    if (state->keys_expire && (before->head & SB_CELL_ABSENT) == 0 &&
        sb_cell_time(before) > sb_cell_time(cell))
        sb_cell_set_time(cell, sb_cell_time(before));
    sb_key_remove(vault, state, hash, before_ref); /* readable until the callback has ended */
    return SABOT_OK;
}

sabot_status sb_store_clear(struct sb_store *store,
                            uint32_t index,
                            sabot_text key,
                            uint64_t hash,
                            sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    const struct sb_key named = {key, hash};
    struct sb_cell *cell = NULL;

    if (state->spec.kind == SB_STATE_LIST)
        return sb_list_trim(store, index, key, hash, 0, error);
    if (state->spec.kind == SB_STATE_MAP)
        return sb_map_clear(vault, state, named, error);
    return sb_key_erase(vault, state, named, sb_key_find(vault, state, named, &cell), error);
}
