/* SPDX-License-Identifier: Apache-2.0 */
/* test_ring.c - order and bounds of the ring, alone and between two threads. */
#include "test.h"

#include "base/hash.h"
#include "base/ring.h"

static int make_env(void **state)
{
    struct sb_env *env;

    if (sb_os_env_create(&env, NULL) != SABOT_OK)
        return -1;
    *state = env;
    return 0;
}

static int free_env(void **state)
{
    sb_os_env_destroy(*state);
    return 0;
}

static void slots_come_out_in_order_around_the_end(void **state)
{
    struct sb_ring ring;
    uint32_t pushed = 0;
    uint32_t popped = 0;

    assert_int_equal(sb_ring_init(&ring, *state, 4, sizeof pushed, UINT64_MAX), SABOT_OK);
    assert_null(sb_ring_peek(&ring));
    for (uint32_t round = 0; round < 100; round++) {
        const uint32_t count = round % 4 + 1;

        for (uint32_t i = 0; i < count; i++, pushed++)
            assert_true(sb_ring_push(&ring, &pushed, 1));
        assert_int_equal(sb_ring_count(&ring), count);
        assert_int_equal(sb_ring_push(&ring, &pushed, 1), count < 4);
        if (count < 4)
            pushed++;
        for (; popped < pushed; popped++) {
            const uint32_t *slot = sb_ring_peek(&ring);

            assert_non_null(slot);
            assert_int_equal(*slot, popped);
            assert_ptr_equal(sb_ring_peek(&ring), slot);
            sb_ring_pop(&ring, 1);
        }
        assert_null(sb_ring_peek(&ring));
        assert_int_equal(sb_ring_count(&ring), 0);
    }
    sb_ring_reset(&ring);
    sb_ring_reset(&ring);
}

static void bytes_are_bounded_but_one_large_slot_passes(void **state)
{
    struct sb_ring ring;
    uint8_t slot = 0;

    assert_int_equal(sb_ring_init(&ring, *state, 8, 1, 100), SABOT_OK);
    assert_true(sb_ring_push(&ring, &slot, 60));
    assert_false(sb_ring_push(&ring, &slot, 41));
    assert_true(sb_ring_push(&ring, &slot, 40));
    assert_true(sb_ring_push(&ring, &slot, 0)); /* a mark stands for no bytes */
    assert_false(sb_ring_push(&ring, &slot, 1));
    for (uint64_t bytes = 60; bytes > 0; bytes = bytes == 60 ? 40 : 0) {
        assert_non_null(sb_ring_peek(&ring));
        sb_ring_pop(&ring, bytes);
    }
    assert_false(sb_ring_push(&ring, &slot, 101)); /* the mark is still there */
    assert_non_null(sb_ring_peek(&ring));
    sb_ring_pop(&ring, 0);
    assert_true(sb_ring_push(&ring, &slot, UINT64_MAX));
    assert_false(sb_ring_push(&ring, &slot, 0));
    assert_non_null(sb_ring_peek(&ring));
    sb_ring_pop(&ring, UINT64_MAX);
    assert_true(sb_ring_push(&ring, &slot, 100));
    sb_ring_reset(&ring);
}

static void a_ring_without_memory_is_not_made(void **state)
{
    struct sb_env *env = *state;
    struct sb_ring ring;

    sb_os_env_fail_allocation(env, 1);
    assert_int_equal(sb_ring_init(&ring, env, 8, 16, 100), SABOT_ERR_MEMORY);
    sb_ring_reset(&ring);
    sb_os_env_fail_allocation(env, 0);
    assert_int_equal(sb_ring_init(&ring, env, UINT32_C(1) << 31, UINT32_MAX, 1), SABOT_ERR_MEMORY);
}

/* --- Two threads ------------------------------------------------------------------------------ */

enum { STRESS_COUNT = 300000 };

struct message {
    uint64_t number;
    uint64_t check;
    uint64_t bytes;
};

struct stress {
    const struct sb_env *env;
    struct sb_ring ring;
    struct sb_waker *sender;
    struct sb_waker *receiver;
    uint64_t sent;
    uint64_t received;
    uint64_t wrong;
    uint64_t order; /* a hash over the numbers as they came */
};

static uint64_t order_after(uint64_t order, uint64_t number)
{
    return sb_hash_int64((int64_t)number, order);
}

/* The waker is set only by the other side's push or pop, so a wait needs no deadline. */
static struct sb_step send_step(void *context)
{
    struct stress *stress = context;

    for (int i = 0; i < 7; i++) {
        const uint64_t number = stress->sent;
        const struct message message = {number, sb_hash_int64((int64_t)number, 1), number % 50};

        if (number == STRESS_COUNT)
            return sb_step_done();
        if (!sb_ring_push(&stress->ring, &message, message.bytes))
            return sb_step_wait(INT64_MAX);
        stress->sent++;
        sb_wake(stress->env, stress->receiver);
    }
    return sb_step_again();
}

static struct sb_step receive_step(void *context)
{
    struct stress *stress = context;
    const struct message *message;

    while ((message = sb_ring_peek(&stress->ring)) != NULL) {
        const uint64_t bytes = message->bytes;

        stress->wrong += message->check != sb_hash_int64((int64_t)message->number, 1);
        stress->order = order_after(stress->order, message->number);
        stress->received++;
        sb_ring_pop(&stress->ring, bytes);
        sb_wake(stress->env, stress->sender);
    }
    return stress->received == STRESS_COUNT ? sb_step_done() : sb_step_wait(INT64_MAX);
}

static void two_threads_hand_over_everything_in_order(void **state)
{
    static struct stress stress;
    const struct sb_env *env = *state;
    struct sb_thread *threads[2];
    uint64_t order = 0;

    memset(&stress, 0, sizeof stress);
    stress.env = env;
    assert_int_equal(sb_ring_init(&stress.ring, env, 16, sizeof(struct message), 200), SABOT_OK);
    assert_int_equal(env->type->waker_create(env->self, &stress.sender, NULL), SABOT_OK);
    assert_int_equal(env->type->waker_create(env->self, &stress.receiver, NULL), SABOT_OK);
    assert_int_equal(
        env->type->spawn(env->self, "sender", send_step, &stress, stress.sender, &threads[0], NULL),
        SABOT_OK);
    assert_int_equal(env->type->spawn(env->self, "receiver", receive_step, &stress, stress.receiver,
                                      &threads[1], NULL),
                     SABOT_OK);
    env->type->join(env->self, threads[0]);
    env->type->join(env->self, threads[1]);
    for (uint64_t i = 0; i < STRESS_COUNT; i++)
        order = order_after(order, i);
    assert_int_equal(stress.received, STRESS_COUNT);
    assert_int_equal(stress.wrong, 0);
    assert_true(stress.order == order);
    env->type->waker_destroy(env->self, stress.sender);
    env->type->waker_destroy(env->self, stress.receiver);
    sb_ring_reset(&stress.ring);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_env, free_env)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(slots_come_out_in_order_around_the_end),
        TEST(bytes_are_bounded_but_one_large_slot_passes),
        TEST(a_ring_without_memory_is_not_made),
        TEST(two_threads_hand_over_everything_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
