/* SPDX-License-Identifier: Apache-2.0 */
/* scan.c - the cursor: a walk over the elements of a list or the entries of a map.
 *
 * A cursor holds references and no memory of its own; it is good for the callback it was made in.
 * What it opens in rows is closed when the callback has ended. */
#include "state/vault.h"

_Static_assert(sizeof(struct sb_walk) <= sizeof(struct sb_cursor), "a walk fits into a cursor");

sabot_status sb_store_scan(struct sb_store *store,
                           uint32_t index,
                           sabot_text key,
                           uint64_t hash,
                           sabot_text prefix,
                           struct sb_cursor *cursor,
                           sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_state *state = sb_state_of(vault, index);
    struct sb_walk walk = {.state = index, .shard = sb_hash_shard(hash), .prefix = prefix};
    sabot_status status;

    memset(cursor, 0, sizeof *cursor);
    SB_ASSERT(state->spec.kind == SB_STATE_LIST || state->spec.kind == SB_STATE_MAP);
    if (state->spec.kind == SB_STATE_LIST)
        status = sb_list_scan(vault, state, (struct sb_key){key, hash}, &walk, error);
    else
        status = sb_map_scan(vault, state, (struct sb_key){key, hash}, &walk, error);
    SABOT_TRY(status);
    memcpy(cursor, &walk, sizeof walk);
    return SABOT_OK;
}

bool sb_store_next(struct sb_store *store,
                   struct sb_cursor *cursor,
                   sabot_text *key_out,
                   sabot_text *value_out)
{
    struct sb_vault *vault = sb_vault_of(store);
    sabot_text key = {NULL, 0};
    struct sb_state *state;
    struct sb_walk walk;
    bool found;

    memcpy(&walk, cursor, sizeof walk);
    state = sb_state_of(vault, walk.state);
    if (walk.owner == 0 && !walk.has_row)
        return false;
    if (state->spec.kind == SB_STATE_LIST)
        found = sb_list_next(vault, state, &walk, value_out);
    else
        found = sb_map_next(vault, state, &walk, &key, value_out);
    memcpy(cursor, &walk, sizeof walk);
    if (key_out != NULL)
        *key_out = key;
    return found;
}
