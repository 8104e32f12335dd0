/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.c - splitting batches by key and handing them over; exchange.h has the picture. */
#include "flow/exchange.h"

#include "base/hash.h"
#include "data/key.h"

sabot_status sb_exchange_init(struct sb_exchange *exchange,
                              const struct sb_env *env,
                              uint32_t target_count,
                              int32_t key_field,
                              uint64_t hash_seed,
                              uint32_t rows_max)
{
    SB_ASSERT(target_count > 0);
    SB_ASSERT(key_field != SB_NO_FIELD || target_count == 1);
    *exchange = (struct sb_exchange){
        .env = env,
        .key_field = key_field,
        .hash_seed = hash_seed,
        .target_count = target_count,
    };
    sb_slice_pool_init(&exchange->pool, env, rows_max);
    exchange->targets = sb_alloc_array(env, target_count, sizeof *exchange->targets);
    exchange->parts = sb_alloc_array(env, target_count, sizeof *exchange->parts);
    exchange->hashes = sb_alloc_array(env, rows_max, sizeof *exchange->hashes);
    if (exchange->targets == NULL || exchange->parts == NULL || exchange->hashes == NULL)
        return SABOT_ERR_MEMORY;
    return SABOT_OK;
}

void sb_exchange_reset(struct sb_exchange *exchange)
{
    const struct sb_env *env = exchange->env;
    const uint32_t count = exchange->target_count;

    if (env == NULL)
        return;
    for (uint32_t i = 0; exchange->targets != NULL && i < count; i++) {
        if (exchange->targets[i].holds)
            sb_slice_drop(exchange->targets[i].held.slice);
    }
    sb_free_array(env, exchange->targets, count, sizeof *exchange->targets);
    sb_free_array(env, exchange->parts, count, sizeof *exchange->parts);
    sb_free_array(env, exchange->hashes, exchange->pool.rows_max, sizeof *exchange->hashes);
    sb_slice_pool_reset(&exchange->pool);
    *exchange = (struct sb_exchange){.env = NULL};
}

static void hold(struct sb_exchange *exchange, uint32_t target, const struct sb_message *message)
{
    SB_ASSERT(!exchange->targets[target].holds);
    exchange->targets[target].held = *message;
    exchange->targets[target].holds = true;
    exchange->holding++;
}

static bool take_parts(struct sb_exchange *exchange, struct sb_batch *batch)
{
    for (uint32_t i = 0; i < exchange->target_count; i++) {
        exchange->parts[i] = sb_slice_take(&exchange->pool, batch);
        if (exchange->parts[i] != NULL)
            continue;
        while (i > 0)
            sb_slice_drop(exchange->parts[--i]);
        return false;
    }
    return true;
}

/* The kernel: each row's number and hash go to the part of the worker that owns its shard. */
static void split(struct sb_slice *const *parts,
                  uint32_t part_count,
                  const uint64_t *hashes,
                  uint32_t rows)
{
    SB_ASSERT(part_count > 0);
    for (uint32_t row = 0; row < rows; row++) {
        struct sb_slice *part = parts[sb_hash_shard(hashes[row]) % part_count];

        part->rows[part->count] = row;
        part->hashes[part->count] = hashes[row];
        part->count++;
    }
}

static void take_all(struct sb_slice *slice, uint32_t rows)
{
    for (uint32_t row = 0; row < rows; row++)
        slice->rows[row] = row;
    slice->count = rows;
}

/* Leave out the rows that delete their key. */
static void leave_out_deletes(struct sb_slice *slice)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < slice->count; i++) {
        if (sb_batch_deletes(slice->batch, slice->rows[i]))
            continue;
        slice->rows[kept] = slice->rows[i];
        slice->hashes[kept] = slice->hashes[i];
        kept++;
    }
    slice->count = kept;
}

static void fill_parts(struct sb_exchange *exchange, const struct sb_batch *batch)
{
    const bool keyed = exchange->key_field != SB_NO_FIELD;
    const uint32_t key_field = (uint32_t)exchange->key_field;

    if (exchange->target_count == 1) {
        if (keyed)
            sb_key_hashes(batch, key_field, exchange->hash_seed, exchange->parts[0]->hashes);
        take_all(exchange->parts[0], batch->rows);
        return;
    }
    sb_key_hashes(batch, key_field, exchange->hash_seed, exchange->hashes);
    split(exchange->parts, exchange->target_count, exchange->hashes, batch->rows);
}

sabot_status sb_exchange_batch(struct sb_exchange *exchange, struct sb_batch *batch)
{
    SB_ASSERT(exchange->holding == 0);
    SB_ASSERT(batch->rows > 0);
    if (!take_parts(exchange, batch))
        return SABOT_ERR_MEMORY;
    fill_parts(exchange, batch);
    for (uint32_t i = 0; i < exchange->target_count; i++) {
        struct sb_message message = {.kind = SB_MESSAGE_ROWS, .slice = exchange->parts[i]};

        if (batch->delete_count > 0 && !exchange->takes_deletes)
            leave_out_deletes(message.slice);
        if (message.slice->count == 0) {
            sb_slice_drop(message.slice);
            continue;
        }
        message.bytes = sb_slice_bytes(message.slice);
        hold(exchange, i, &message);
    }
    return SABOT_OK;
}

void sb_exchange_mark(struct sb_exchange *exchange, const struct sb_message *mark)
{
    SB_ASSERT(exchange->holding == 0);
    SB_ASSERT(mark->kind != SB_MESSAGE_ROWS);
    for (uint32_t i = 0; i < exchange->target_count; i++)
        hold(exchange, i, mark);
}

bool sb_exchange_push(struct sb_exchange *exchange)
{
    for (uint32_t i = 0; exchange->holding > 0 && i < exchange->target_count; i++) {
        struct sb_target *target = &exchange->targets[i];

        if (!target->holds || !sb_ring_push(target->ring, &target->held, target->held.bytes))
            continue;
        target->holds = false;
        exchange->holding--;
        if (target->waker != NULL)
            sb_wake(exchange->env, target->waker);
    }
    return exchange->holding == 0;
}
