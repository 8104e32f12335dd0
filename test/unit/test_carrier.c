/* SPDX-License-Identifier: Apache-2.0 */
/* test_carrier.c - blocks between a task and its writer: how many there may be, and whose memory
 * they are. */
#include "test.h"

#include "flow/carrier.h"

struct fixture {
    struct sb_env *env;
    struct sb_account *account;
    struct sb_store *store;
    struct sb_waker *waker;
    struct sb_carrier carrier;
};

static int make_fixture(void **state, uint64_t limit)
{
    struct sb_state_spec spec = {.name = "cells", .kind = SB_STATE_VALUE};
    struct sb_store_config config = {.owner = "agent", .states = &spec, .state_count = 1};
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK ||
        sb_account_create(f->env, limit, &f->account, NULL) != SABOT_OK)
        return -1;
    config.env = f->env;
    config.account = f->account;
    *state = f;
    if (sb_store_create(&config, &f->store, NULL) != SABOT_OK ||
        f->env->type->waker_create(f->env->self, &f->waker, NULL) != SABOT_OK)
        return -1;
    return sb_carrier_init(&f->carrier, f->env, f->store, f->waker, NULL) == SABOT_OK ? 0 : -1;
}

static int setup(void **state)
{
    return make_fixture(state, 0);
}

/* The limit is less than a block. */
static int setup_poor(void **state)
{
    return make_fixture(state, 4096);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sb_carrier_reset(&f->carrier);
    assert_int_equal(sb_account_used(f->account), 0);
    sb_store_destroy(f->store);
    sb_account_destroy(f->account);
    f->env->type->waker_destroy(f->env->self, f->waker);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

static void blocks_go_round_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct sb_carried carried;
    void *blocks[3];

    for (uint32_t i = 0; i < 3; i++) {
        blocks[i] = sb_carrier_take(&f->carrier, 3);
        assert_non_null(blocks[i]);
    }
    assert_null(sb_carrier_take(&f->carrier, 3)); /* as many as may be out */
    for (uint32_t i = 0; i < 3; i++)
        sb_carrier_give(&f->carrier, blocks[i], 100 + i);
    assert_int_equal(sb_carrier_out(&f->carrier), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(sb_carrier_next(&f->carrier, &carried));
        assert_ptr_equal(carried.block, blocks[i]);
        assert_int_equal(carried.size, 100 + i);
        sb_carrier_back(&f->carrier, carried.block);
    }
    assert_false(sb_carrier_next(&f->carrier, &carried));
    assert_int_equal(sb_carrier_out(&f->carrier), 0);
    assert_ptr_equal(sb_carrier_take(&f->carrier, 3), blocks[0]); /* used again */
    sb_carrier_give(&f->carrier, blocks[0], 0);                   /* it came to nothing */
    assert_int_equal(sb_carrier_out(&f->carrier), 0);
    assert_int_equal(f->carrier.made, 3);
}

static void what_is_back_is_freed_but_for_a_few(void **state)
{
    struct fixture *f = *state;
    struct sb_carried carried;

    for (uint32_t i = 0; i < SB_CARRIER_STALL; i++)
        sb_carrier_give(&f->carrier, sb_carrier_take(&f->carrier, SB_CARRIER_MAX), 1);
    assert_int_equal(f->carrier.made, SB_CARRIER_STALL);
    assert_int_equal(sb_account_used(f->account),
                     (uint64_t)(SB_CARRIER_STALL - SB_CARRIER_KEPT) * SB_IMAGE_BLOCK_MAX);
    sb_carrier_trim(&f->carrier);
    assert_int_equal(f->carrier.made, SB_CARRIER_STALL); /* all of them are out */
    while (sb_carrier_next(&f->carrier, &carried))
        sb_carrier_back(&f->carrier, carried.block);
    sb_carrier_trim(&f->carrier);
    assert_int_equal(f->carrier.made, SB_CARRIER_KEPT);
    assert_int_equal(sb_account_used(f->account), 0);
}

static void a_snapshot_has_some_blocks_also_when_memory_has_come_to_its_limit(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < SB_CARRIER_KEPT; i++)
        sb_carrier_give(&f->carrier, sb_carrier_take(&f->carrier, SB_CARRIER_MAX), 1);
    assert_null(sb_carrier_take(&f->carrier, SB_CARRIER_MAX));
    assert_int_equal(sb_carrier_out(&f->carrier), SB_CARRIER_KEPT);
}

static void a_block_that_there_is_no_memory_for_is_none_and_not_counted(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < SB_CARRIER_KEPT + 2; i++) {
        const uint64_t used = sb_account_used(f->account);

        sb_os_env_fail_allocation(f->env, 1);
        assert_null(sb_carrier_take(&f->carrier, SB_CARRIER_MAX));
        sb_os_env_fail_allocation(f->env, 0);
        assert_int_equal(f->carrier.made, i);
        assert_int_equal(sb_account_used(f->account), used);
        sb_carrier_give(&f->carrier, sb_carrier_take(&f->carrier, SB_CARRIER_MAX), 1);
    }
}

static void a_carrier_is_made_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_carrier carrier;

    for (uint64_t n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->env, n);
        status = sb_carrier_init(&carrier, f->env, f->store, f->waker, NULL);
        sb_os_env_fail_allocation(f->env, 0);
        sb_carrier_reset(&carrier);
        assert_true(n < 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_go_round_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_back_is_freed_but_for_a_few, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_snapshot_has_some_blocks_also_when_memory_has_come_to_its_limit, setup_poor,
            teardown),
        cmocka_unit_test_setup_teardown(a_block_that_there_is_no_memory_for_is_none_and_not_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_carrier_is_made_whole_or_not_at_all, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
