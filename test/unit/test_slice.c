/* SPDX-License-Identifier: Apache-2.0 */
/* test_slice.c - slices and their pool: references, reuse, memory that fails, other threads. */
#include "flow_kit.h"

#include "data/slice.h"

static void a_slice_keeps_its_batch(void **state)
{
    struct kit *kit = *state;
    struct sb_batch *batch = kit_batch(kit, 0, 3, 3);
    struct sb_slice_pool pool;
    struct sb_slice *slice;

    sb_slice_pool_init(&pool, kit->env, SB_BATCH_ROWS);
    slice = sb_slice_take(&pool, batch);
    assert_non_null(slice);
    assert_int_equal(slice->count, 0);
    assert_int_equal(atomic_load(&batch->references), 2);
    sb_batch_unref(batch);
    assert_int_equal(sb_batch_int64(slice->batch, KIT_ID, 2), 2);
    sb_slice_drop(slice);
    sb_slice_drop(NULL);
    sb_slice_pool_reset(&pool);
}

static void a_dropped_slice_is_used_again_and_empty(void **state)
{
    struct kit *kit = *state;
    struct sb_batch *batch = kit_batch(kit, 0, 5, 3);
    struct sb_slice_pool pool;
    struct sb_slice *first;
    uint64_t allocations;

    sb_slice_pool_init(&pool, kit->env, SB_BATCH_ROWS);
    first = sb_slice_take(&pool, batch);
    assert_non_null(first);
    first->count = 5;
    sb_slice_drop(first);
    allocations = sb_os_env_allocation_count(kit->env);
    for (int i = 0; i < 100; i++) {
        struct sb_slice *slice = sb_slice_take(&pool, batch);

        assert_ptr_equal(slice, first);
        assert_int_equal(slice->count, 0);
        slice->count = 5;
        sb_slice_drop(slice);
    }
    assert_int_equal(sb_os_env_allocation_count(kit->env), allocations);
    sb_batch_unref(batch);
    sb_slice_pool_reset(&pool);
}

static void the_bytes_of_a_slice_are_its_share_of_the_batch(void **state)
{
    struct kit *kit = *state;
    struct sb_batch *batch = kit_batch(kit, 0, 1000, 3);
    const uint64_t whole = sb_batch_bytes(batch);
    struct sb_slice_pool pool;
    struct sb_slice *slice;

    sb_slice_pool_init(&pool, kit->env, SB_BATCH_ROWS);
    slice = sb_slice_take(&pool, batch);
    assert_non_null(slice);
    slice->count = 1000;
    assert_true(sb_slice_bytes(slice) > whole * 9 / 10);
    assert_true(sb_slice_bytes(slice) <= whole + 1);
    slice->count = 10;
    assert_true(sb_slice_bytes(slice) <= whole / 100 + 1);
    assert_true(sb_slice_bytes(slice) > 0);
    sb_slice_drop(slice);
    sb_batch_unref(batch);
    sb_slice_pool_reset(&pool);
}

static void without_memory_nothing_is_taken_and_nothing_leaks(void **state)
{
    struct kit *kit = *state;
    struct sb_batch *batch = kit_batch(kit, 0, 5, 3);
    struct sb_slice_pool pool;

    sb_slice_pool_init(&pool, kit->env, SB_BATCH_ROWS);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        sb_os_env_fail_allocation(kit->env, nth);
        assert_null(sb_slice_take(&pool, batch));
        sb_os_env_fail_allocation(kit->env, 0);
        assert_int_equal(atomic_load(&batch->references), 1);
    }
    sb_batch_unref(batch);
    sb_slice_pool_reset(&pool);
}

/* --- Threads: one takes, several drop ------------------------------------------------------------
 */

enum { DROPPERS = 3, ROUNDS = 5000 };

struct dropper {
    const struct sb_env *env;
    struct sb_ring ring;
    struct sb_waker *waker;
    struct sb_waker *owner;
    struct sb_thread *thread;
    uint64_t sum; /* read after the join */
    _Atomic bool closed;
};

static struct sb_step drop_slices(void *context)
{
    struct dropper *dropper = context;
    const bool closed = atomic_load(&dropper->closed);
    struct sb_slice **slot;

    while ((slot = sb_ring_peek(&dropper->ring)) != NULL) {
        struct sb_slice *slice = *slot;

        for (uint32_t i = 0; i < slice->count; i++)
            dropper->sum += (uint64_t)sb_batch_int64(slice->batch, KIT_ID, slice->rows[i]);
        sb_slice_drop(slice);
        sb_ring_pop(&dropper->ring, 1);
        sb_wake(dropper->env, dropper->owner);
    }
    return closed ? sb_step_done() : sb_step_wait(INT64_MAX);
}

static void start_droppers(const struct kit *kit, struct dropper *droppers, struct sb_waker *owner)
{
    for (uint32_t i = 0; i < DROPPERS; i++) {
        struct dropper *dropper = &droppers[i];

        dropper->env = kit->env;
        dropper->owner = owner;
        assert_int_equal(
            sb_ring_init(&dropper->ring, kit->env, 8, sizeof(struct sb_slice *), UINT64_MAX),
            SABOT_OK);
        assert_int_equal(kit->env->type->waker_create(kit->env->self, &dropper->waker, NULL),
                         SABOT_OK);
        assert_int_equal(kit->env->type->spawn(kit->env->self, "dropper", drop_slices, dropper,
                                               dropper->waker, &dropper->thread, NULL),
                         SABOT_OK);
    }
}

static uint64_t end_droppers(const struct kit *kit, struct dropper *droppers)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < DROPPERS; i++) {
        atomic_store(&droppers[i].closed, true);
        sb_wake(kit->env, droppers[i].waker);
        kit->env->type->join(kit->env->self, droppers[i].thread);
        kit->env->type->waker_destroy(kit->env->self, droppers[i].waker);
        sb_ring_reset(&droppers[i].ring);
        sum += droppers[i].sum;
    }
    return sum;
}

static void slices_come_back_from_other_threads(void **state)
{
    static struct dropper droppers[DROPPERS];
    struct kit *kit = *state;
    struct sb_slice_pool pool;
    struct sb_waker *owner;
    uint64_t expected = 0;

    assert_int_equal(kit->env->type->waker_create(kit->env->self, &owner, NULL), SABOT_OK);
    start_droppers(kit, droppers, owner);
    sb_slice_pool_init(&pool, kit->env, SB_BATCH_ROWS);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct sb_batch *batch = kit_batch(kit, round, 1 + round % 7, 3);
        struct dropper *dropper = &droppers[round % DROPPERS];
        struct sb_slice *slice = sb_slice_take(&pool, batch);

        assert_non_null(slice);
        for (uint32_t row = 0; row < batch->rows; row++)
            slice->rows[slice->count++] = row;
        for (uint32_t row = 0; row < batch->rows; row++)
            expected += round + row;
        sb_batch_unref(batch);
        while (!sb_ring_push(&dropper->ring, &slice, 1))
            kit->env->type->wait(kit->env->self, owner, INT64_MAX);
        sb_wake(kit->env, dropper->waker);
    }
    assert_true(end_droppers(kit, droppers) == expected);
    /* Bounded by what was under way, not by what there was. */
    assert_true(pool.made <= DROPPERS * 8 + DROPPERS + 1);
    kit->env->type->waker_destroy(kit->env->self, owner);
    sb_slice_pool_reset(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(a_slice_keeps_its_batch),
        KIT_TEST(a_dropped_slice_is_used_again_and_empty),
        KIT_TEST(the_bytes_of_a_slice_are_its_share_of_the_batch),
        KIT_TEST(without_memory_nothing_is_taken_and_nothing_leaks),
        KIT_TEST(slices_come_back_from_other_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
