/* SPDX-License-Identifier: Apache-2.0 */
/* keyed.c - a store and the rows behind it; see keyed.h. */
#include "op/keyed.h"

sabot_status sb_keyed_open(struct sb_keyed *keyed,
                           const struct sb_operator_config *config,
                           sabot_error *error)
{
    const struct sb_keyed_settings *settings = config->keyed;
    struct sb_store_config store;

    *keyed = (struct sb_keyed){.store = NULL};
    if (settings == NULL || settings->state_count == 0)
        return SABOT_OK;
    if (settings->rows != NULL) {
        SABOT_TRY(settings->rows->open(settings->rows->context, &keyed->rows, error));
        keyed->close_rows = settings->rows->close;
    }
    store = (struct sb_store_config){
        .env = config->env,
        .owner = config->name,
        .states = settings->states,
        .state_count = settings->state_count,
        .hash_seed = config->hash_seed,
        .account = settings->account,
        .rows = keyed->rows,
        .cache_bytes = settings->cache_bytes,
        .operator_id = settings->id,
        .worker = config->worker,
        .worker_count = config->worker_count,
        .drops_unknown = config->drops_state,
    };
    return sb_store_create(&store, &keyed->store, error);
}

void sb_keyed_close(struct sb_keyed *keyed)
{
    sb_store_destroy(keyed->store);
    if (keyed->rows != NULL)
        keyed->close_rows(keyed->rows);
    *keyed = (struct sb_keyed){.store = NULL};
}
