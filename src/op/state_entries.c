/* SPDX-License-Identifier: Apache-2.0 */
/* state_entries.c - the public calls of keyed state that has entries: lists and maps.
 *
 * A cursor remembers the call of the app's function that it was begun in: what it walks over may
 * have moved when that has returned, so a later use is refused.
 *
 * Threads: the worker that owns the agent's instance. */
#include "op/state.h"

/* What a sabot_cursor holds. */
struct walk {
    const void *owner; /* the agent that walks; NULL: nothing to walk over */
    struct sb_store *store;
    uint64_t call;
    enum sb_state_kind kind;
    struct sb_cursor cursor;
};
_Static_assert(sizeof(struct walk) <= sizeof(sabot_cursor), "a public cursor holds a walk");

static void scan(sabot_context *context,
                 const struct sb_state_handle *state,
                 sabot_text prefix,
                 sabot_cursor *cursor)
{
    struct walk walk = {
        .owner = context->owner,
        .store = sb_state_store(context, state),
        .call = context->call,
        .kind = state->kind,
    };
    sabot_error error;
    const sabot_status status =
        sb_store_scan(sb_state_store(context, state), state->index, context->key, context->hash,
                      prefix, &walk.cursor, &error);

    if (sb_state_take(context, status, &error) == SABOT_OK &&
        sb_state_check_store(context, walk.store) == SABOT_OK)
        memcpy(cursor, &walk, sizeof walk);
}

static bool next(sabot_context *context,
                 enum sb_state_kind kind,
                 sabot_cursor *cursor,
                 sabot_text *key_out,
                 sabot_text *value_out)
{
    struct walk walk;
    bool found;

    memcpy(&walk, cursor, sizeof walk);
    if (walk.owner == NULL)
        return false; /* the scan has failed, and the context with it */
    if (!context->active || walk.owner != context->owner || walk.call != context->call ||
        walk.kind != kind) {
        (void)sb_context_fail(context, SABOT_ERR_STATE,
                              "a cursor of a %s is used that was not begun as one in this call",
                              sb_state_kind_name(kind));
        return false;
    }
    found = sb_store_next(walk.store, &walk.cursor, key_out, value_out);
    memcpy(cursor, &walk, sizeof walk);
    return sb_state_check_store(context, walk.store) == SABOT_OK && found;
}

/* --- Lists ---------------------------------------------------------------------------------------
 */

static bool list_usable(sabot_context *context, const char *call, const sabot_list *list)
{
    return sb_state_usable(context, call, list == NULL ? NULL : &list->state, SB_STATE_LIST);
}

sabot_status sabot_list_append(sabot_context *context,
                               const sabot_list *list,
                               const void *data,
                               size_t size)
{
    sabot_error error;
    sabot_status status;

    if (!list_usable(context, "append", list))
        return context->error.status;
    SABOT_TRY(sb_state_check_size(context, "append", &list->state, data, size));
    status = sb_list_append(sb_state_store(context, &list->state), list->state.index, context->key,
                            context->hash, (sabot_text){data, size}, &error);
    return sb_state_take(context, status, &error);
}

uint64_t sabot_list_count(sabot_context *context, const sabot_list *list)
{
    uint64_t count;

    if (!list_usable(context, "count", list))
        return 0;
    count = sb_list_count(sb_state_store(context, &list->state), list->state.index, context->key,
                          context->hash);
    (void)sb_state_check_store(context, sb_state_store(context, &list->state));
    return count;
}

sabot_status sabot_list_trim(sabot_context *context, const sabot_list *list, uint64_t keep)
{
    sabot_error error;
    sabot_status status;

    if (!list_usable(context, "trim", list))
        return context->error.status;
    status = sb_list_trim(sb_state_store(context, &list->state), list->state.index, context->key,
                          context->hash, keep, &error);
    return sb_state_take(context, status, &error);
}

sabot_status sabot_list_clear(sabot_context *context, const sabot_list *list)
{
    if (!list_usable(context, "clear", list))
        return context->error.status;
    return sb_state_clear(context, &list->state);
}

void sabot_list_scan(sabot_context *context, const sabot_list *list, sabot_cursor *cursor)
{
    *cursor = (sabot_cursor){{0}};
    if (list_usable(context, "scan", list))
        scan(context, &list->state, (sabot_text){NULL, 0}, cursor);
}

bool sabot_list_next(sabot_context *context, sabot_cursor *cursor, sabot_bytes *element_out)
{
    sabot_text element = {NULL, 0};
    const bool found = next(context, SB_STATE_LIST, cursor, NULL, &element);

    *element_out = (sabot_bytes){element.data, element.size};
    return found;
}

/* --- Maps ----------------------------------------------------------------------------------------
 */

static bool map_usable(sabot_context *context,
                       const char *call,
                       const sabot_map *map,
                       sabot_text entry)
{
    if (!sb_state_usable(context, call, map == NULL ? NULL : &map->state, SB_STATE_MAP))
        return false;
    if (entry.data != NULL || entry.size == 0)
        return true;
    (void)sb_context_fail(context, SABOT_ERR_ARGUMENT, "%s of state %s: no key", call,
                          map->state.name);
    return false;
}

/* An empty key may come without bytes. */
static sabot_text entry_of(sabot_text key)
{
    return key.data == NULL ? (sabot_text){"", 0} : key;
}

sabot_bytes sabot_map_get(sabot_context *context, const sabot_map *map, sabot_text key)
{
    sabot_text value;

    if (!map_usable(context, "get", map, key))
        return (sabot_bytes){NULL, 0};
    value = sb_map_get(sb_state_store(context, &map->state), map->state.index, context->key,
                       context->hash, entry_of(key));
    (void)sb_state_check_store(context, sb_state_store(context, &map->state));
    return (sabot_bytes){value.data, value.size};
}

void *sabot_map_edit(sabot_context *context, const sabot_map *map, sabot_text key)
{
    sabot_error error;
    void *cell;

    if (!map_usable(context, "edit", map, key))
        return NULL;
    if (map->state.size == 0) {
        (void)sb_context_fail(context, SABOT_ERR_ARGUMENT,
                              "edit of state %s, which has no schema: use put", map->state.name);
        return NULL;
    }
    cell = sb_map_edit(sb_state_store(context, &map->state), map->state.index, context->key,
                       context->hash, entry_of(key), &error);
    if (cell == NULL)
        (void)sb_context_fail(context, error.status, "%s", error.text);
    return cell;
}

sabot_status sabot_map_put(sabot_context *context,
                           const sabot_map *map,
                           sabot_text key,
                           const void *data,
                           size_t size)
{
    sabot_error error;
    sabot_status status;

    if (!map_usable(context, "put", map, key))
        return context->error.status;
    SABOT_TRY(sb_state_check_size(context, "put", &map->state, data, size));
    status = sb_map_put(sb_state_store(context, &map->state), map->state.index, context->key,
                        context->hash, entry_of(key), (sabot_text){data, size}, &error);
    return sb_state_take(context, status, &error);
}

sabot_status sabot_map_remove(sabot_context *context, const sabot_map *map, sabot_text key)
{
    sabot_error error;
    sabot_status status;

    if (!map_usable(context, "remove", map, key))
        return context->error.status;
    status = sb_map_remove(sb_state_store(context, &map->state), map->state.index, context->key,
                           context->hash, entry_of(key), &error);
    return sb_state_take(context, status, &error);
}

sabot_status sabot_map_clear(sabot_context *context, const sabot_map *map)
{
    if (!map_usable(context, "clear", map, (sabot_text){NULL, 0}))
        return context->error.status;
    return sb_state_clear(context, &map->state);
}

void sabot_map_scan(sabot_context *context,
                    const sabot_map *map,
                    sabot_text prefix,
                    sabot_cursor *cursor)
{
    *cursor = (sabot_cursor){{0}};
    if (map_usable(context, "scan", map, prefix))
        scan(context, &map->state, entry_of(prefix), cursor);
}

bool sabot_map_next(sabot_context *context,
                    sabot_cursor *cursor,
                    sabot_text *key_out,
                    sabot_bytes *value_out)
{
    sabot_text key = {NULL, 0};
    sabot_text value = {NULL, 0};
    const bool found = next(context, SB_STATE_MAP, cursor, &key, &value);

    if (key_out != NULL)
        *key_out = key;
    if (value_out != NULL)
        *value_out = (sabot_bytes){value.data, value.size};
    return found;
}
