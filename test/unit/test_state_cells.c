/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_cells.c - the arena of a shard: cells of all sizes that never move or overlap, whose
 * memory comes back, and chunks that know when they changed. */
#include "test.h"

#include "base/hash.h"
#include "state/arena.h"

enum { CELLS = 3000 };

struct fixture {
    struct sb_env *env;
    struct sb_account *account;
    struct sb_pool pool;
    struct sb_cells cells;
    sb_ref refs[CELLS];
    uint8_t *places[CELLS];
    uint32_t sizes[CELLS];
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_account_create(fixture->env, 0, &fixture->account, NULL) != SABOT_OK)
        return -1;
    sb_pool_init(&fixture->pool, fixture->env, fixture->account);
    if (sb_cells_init(&fixture->cells, &fixture->pool, 2) != SABOT_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_cells_reset(&fixture->cells);
    sb_pool_reset(&fixture->pool);
    sb_account_destroy(fixture->account);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static uint32_t random_size(uint64_t random)
{
    switch (random % 8) {
    case 0: return 1 + (uint32_t)(random >> 8) % 20000;
    case 1: return 1 + (uint32_t)(random >> 8) % 2000;
    default: return 1 + (uint32_t)(random >> 8) % 200;
    }
}

static void make_cell(struct fixture *fixture, size_t i, uint32_t size)
{
    const sb_ref ref = sb_cell_alloc(&fixture->cells, 1, size);

    assert_int_not_equal(ref, 0);
    fixture->refs[i] = ref;
    fixture->sizes[i] = size;
    fixture->places[i] = sb_cell_at(&fixture->cells, ref);
    for (uint32_t j = 0; j < size; j++)
        assert_int_equal(fixture->places[i][j], 0);
    memset(fixture->places[i], (int)(i % 251 + 1), size);
}

static void check_cell(const struct fixture *fixture, size_t i)
{
    const uint8_t *bytes = sb_cell_at(&fixture->cells, fixture->refs[i]);

    assert_ptr_equal(bytes, fixture->places[i]);
    for (uint32_t j = 0; j < fixture->sizes[i]; j++)
        assert_int_equal(bytes[j], i % 251 + 1);
}

static void cells_are_zeroed_and_never_move_or_overlap(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 1;

    for (int round = 0; round < 20000; round++) {
        const size_t i = (random = sb_hash_int64((int64_t)random, 3)) % CELLS;

        if (fixture->refs[i] != 0) {
            check_cell(fixture, i);
            sb_cell_free(&fixture->cells, fixture->refs[i]);
            fixture->refs[i] = 0;
        } else {
            make_cell(fixture, i, random_size(random >> 16));
        }
    }
    for (size_t i = 0; i < CELLS; i++)
        if (fixture->refs[i] != 0)
            check_cell(fixture, i);
}

/* Bytes of the tables of an arena, which are kept for the cells that come next. */
static uint64_t table_bytes(const struct fixture *fixture)
{
    return fixture->cells.chunk_capacity * (sizeof(struct sb_chunk) + sizeof(struct sb_slab));
}

static void the_memory_of_freed_cells_comes_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 5;

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < CELLS; i++)
            make_cell(fixture, i, random_size(random = sb_hash_int64((int64_t)random, 3)));
        assert_true(sb_account_used(fixture->account) > CELLS * 100UL);
        for (size_t i = 0; i < CELLS; i++)
            sb_cell_free(&fixture->cells, fixture->refs[(i * 7) % CELLS]);
        assert_int_equal(sb_account_used(fixture->account), table_bytes(fixture));
        assert_true(fixture->cells.chunk_count < 12000); /* numbers are used again */
    }
}

static void a_cell_takes_little_more_than_its_size(void **state)
{
    (void)state;
    for (uint32_t size = 16; size < 100000; size += 7) {
        const uint32_t taken = sb_cell_size(size);

        assert_true(taken >= size);
        if (size > 256 && size <= 4096)
            assert_true(taken <= size + size / 3);
        if (size <= 256)
            assert_true(taken < size + 16);
    }
}

static void dropped_cells_stay_readable_until_they_are_buried(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 100; i++)
        make_cell(fixture, i, 300);
    for (size_t i = 0; i < 100; i++)
        sb_cell_drop(&fixture->cells, fixture->refs[i]);
    for (size_t i = 100; i < 200; i++)
        make_cell(fixture, i, 300);
    for (size_t i = 0; i < 100; i++)
        for (size_t j = 8; j < 300; j++)
            assert_int_equal(fixture->places[i][j], i % 251 + 1);
    sb_cells_bury(&fixture->cells);
    for (size_t i = 100; i < 200; i++)
        sb_cell_free(&fixture->cells, fixture->refs[i]);
    assert_int_equal(sb_account_used(fixture->account), table_bytes(fixture));
}

static void count_chunk(void *context, struct sb_cells *arena, uint32_t chunk)
{
    (void)arena;
    (void)chunk;
    ++*(int *)context;
}

static void pass_over(void *context, struct sb_cells *arena)
{
    (void)context;
    (void)arena;
}

static void a_snapshot_hears_of_a_chunk_before_its_first_change_only(void **state)
{
    struct fixture *fixture = *state;
    int calls = 0;
    const struct sb_cells_watch watch = {count_chunk, pass_over, &calls};

    make_cell(fixture, 0, 100);
    make_cell(fixture, 1, 100);
    make_cell(fixture, 2, 20000);
    fixture->cells.watch = &watch;
    sb_cell_change(&fixture->cells, fixture->refs[0]);
    assert_int_equal(calls, 0); /* made in this epoch */
    fixture->cells.epoch++;
    sb_cell_change(&fixture->cells, fixture->refs[0]);
    sb_cell_change(&fixture->cells, fixture->refs[1]);
    assert_int_equal(calls, 1); /* both lie in one chunk */
    sb_cell_change(&fixture->cells, fixture->refs[2]);
    assert_int_equal(calls, 6); /* a run of five */
    fixture->cells.epoch++;
    sb_cell_free(&fixture->cells, fixture->refs[2]);
    assert_int_equal(calls, 11);
    fixture->cells.watch = NULL;
}

static void without_memory_a_cell_is_refused_and_the_others_stay(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < 50; i++)
        make_cell(fixture, i, 40);
    for (uint64_t nth = 1; nth < 4; nth++) {
        sb_os_env_fail_allocation(fixture->env, nth);
        while (sb_cell_alloc(&fixture->cells, 1, 9000) != 0) {}
        sb_os_env_fail_allocation(fixture->env, 0);
    }
    for (size_t i = 0; i < 50; i++)
        check_cell(fixture, i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cells_are_zeroed_and_never_move_or_overlap),
        TEST(the_memory_of_freed_cells_comes_back),
        TEST(a_cell_takes_little_more_than_its_size),
        TEST(dropped_cells_stay_readable_until_they_are_buried),
        TEST(a_snapshot_hears_of_a_chunk_before_its_first_change_only),
        TEST(without_memory_a_cell_is_refused_and_the_others_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
