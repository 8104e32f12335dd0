/* SPDX-License-Identifier: Apache-2.0 */
/* carrier.c - two rings and a count; carrier.h says what they bound. */
#include "flow/carrier.h"

sabot_status sb_carrier_init(struct sb_carrier *carrier,
                             const struct sb_env *env,
                             struct sb_store *store,
                             struct sb_waker *task,
                             struct sb_waker *writer)
{
    *carrier = (struct sb_carrier){.env = env, .store = store, .task = task, .writer = writer};
    carrier->spares = sb_alloc_array(env, SB_CARRIER_MAX, sizeof *carrier->spares);
    if (carrier->spares == NULL)
        return SABOT_ERR_MEMORY;
    SABOT_TRY(
        sb_ring_init(&carrier->full, env, SB_CARRIER_MAX, sizeof(struct sb_carried), UINT64_MAX));
    return sb_ring_init(&carrier->empty, env, SB_CARRIER_MAX, sizeof(void *), UINT64_MAX);
}

static void free_block(struct sb_carrier *carrier, void *block)
{
    SB_ASSERT(carrier->made > 0);
    carrier->env->type->release(carrier->env->self, block, SB_IMAGE_BLOCK_MAX);
    if (carrier->made-- > SB_CARRIER_KEPT)
        sb_store_unhold(carrier->store, SB_IMAGE_BLOCK_MAX);
}

/* What has come back. */
static void *pop_empty(struct sb_carrier *carrier)
{
    void **slot;
    void *block;

    if (carrier->spare_count > 0)
        return carrier->spares[--carrier->spare_count];
    slot = sb_ring_peek(&carrier->empty);
    if (slot == NULL)
        return NULL;
    block = *slot;
    sb_ring_pop(&carrier->empty, 1);
    return block;
}

void sb_carrier_reset(struct sb_carrier *carrier)
{
    struct sb_carried carried;
    void *block;

    if (carrier->env == NULL)
        return;
    while (sb_carrier_next(carrier, &carried))
        free_block(carrier, carried.block);
    while ((block = pop_empty(carrier)) != NULL)
        free_block(carrier, block);
    SB_ASSERT(carrier->made == 0);
    sb_ring_reset(&carrier->full);
    sb_ring_reset(&carrier->empty);
    sb_free_array(carrier->env, carrier->spares, SB_CARRIER_MAX, sizeof *carrier->spares);
    *carrier = (struct sb_carrier){.env = NULL};
}

uint32_t sb_carrier_out(const struct sb_carrier *carrier)
{
    return carrier->made - carrier->spare_count - sb_ring_count(&carrier->empty);
}

bool sb_carrier_is_awaited(const struct sb_carrier *carrier)
{
    return sb_carrier_out(carrier) > carrier->filled;
}

static void *take(struct sb_carrier *carrier, uint32_t limit)
{
    const bool counts = carrier->made >= SB_CARRIER_KEPT;
    void *block;

    if (carrier->made > 0 && sb_carrier_out(carrier) >= limit)
        return NULL;
    block = pop_empty(carrier);
    if (block != NULL || (counts && !sb_store_hold(carrier->store, SB_IMAGE_BLOCK_MAX)))
        return block;
    block = carrier->env->type->allocate(carrier->env->self, SB_IMAGE_BLOCK_MAX, SB_CACHE_LINE);
    if (block != NULL)
        carrier->made++;
    else if (counts)
        sb_store_unhold(carrier->store, SB_IMAGE_BLOCK_MAX);
    return block;
}

void *sb_carrier_take(struct sb_carrier *carrier, uint32_t limit)
{
    void *block = take(carrier, limit);

    if (block != NULL)
        carrier->filled++;
    return block;
}

void sb_carrier_give(struct sb_carrier *carrier, void *block, uint32_t size)
{
    const struct sb_carried carried = {block, size};
    bool pushed;

    SB_ASSERT(carrier->filled > 0);
    carrier->filled--;
    if (size == 0) {
        carrier->spares[carrier->spare_count++] = block;
        return;
    }
    pushed = sb_ring_push(&carrier->full, &carried, 1);
    SB_ASSERT(pushed); /* a ring has room for every block there is */
    if (carrier->writer != NULL)
        sb_wake(carrier->env, carrier->writer);
}

void sb_carrier_trim(struct sb_carrier *carrier)
{
    while (carrier->made > SB_CARRIER_KEPT) {
        void *block = pop_empty(carrier);

        if (block == NULL)
            return;
        free_block(carrier, block);
    }
}

bool sb_carrier_next(struct sb_carrier *carrier, struct sb_carried *carried_out)
{
    const struct sb_carried *carried = sb_ring_peek(&carrier->full);

    if (carried == NULL)
        return false;
    *carried_out = *carried;
    sb_ring_pop(&carrier->full, 1);
    return true;
}

void sb_carrier_back(struct sb_carrier *carrier, void *block)
{
    const bool pushed = sb_ring_push(&carrier->empty, &block, 1);

    SB_ASSERT(pushed); /* as above */
    sb_wake(carrier->env, carrier->task);
}
