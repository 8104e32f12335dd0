/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_index.c - the index of cells: it finds all it has, while it grows and shrinks in
 * steps. */
#include "test.h"

#include "base/hash.h"
#include "state/index.h"

enum { KEYS = 20000 };

struct fixture {
    struct sb_env *env;
    struct sb_account *account;
    struct sb_pool pool;
    struct sb_index index;
    bool present[KEYS + 1];
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_account_create(fixture->env, 0, &fixture->account, NULL) != SABOT_OK)
        return -1;
    sb_pool_init(&fixture->pool, fixture->env, fixture->account);
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_index_reset(&fixture->index, &fixture->pool);
    sb_account_destroy(fixture->account);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

/* The hash of a key; many share their low bits, some all 32 of the tag. */
static uint64_t hash_of(uint32_t key)
{
    return key % 3 == 0 ? sb_hash_int64(key / 3, 1) & 0xffff : sb_hash_int64(key, 2);
}

static bool is_there(const struct fixture *fixture, uint32_t key)
{
    struct sb_probe probe = sb_index_probe(&fixture->index, hash_of(key));
    sb_ref ref;

    while ((ref = sb_index_match(&probe)) != 0)
        if (ref == key)
            return true;
    return false;
}

static void toggle(struct fixture *fixture, uint32_t key)
{
    assert_int_equal(is_there(fixture, key), fixture->present[key]);
    if (fixture->present[key]) {
        sb_index_remove(&fixture->index, &fixture->pool, hash_of(key), key);
    } else {
        assert_int_equal(sb_index_grow(&fixture->index, &fixture->pool, 0), SABOT_OK);
        sb_index_insert(&fixture->index, hash_of(key), key);
    }
    fixture->present[key] = !fixture->present[key];
    assert_int_equal(is_there(fixture, key), fixture->present[key]);
}

static void what_was_inserted_is_found_until_it_is_removed(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 42;

    for (int i = 0; i < 200000; i++) {
        random = sb_hash_int64((int64_t)random, 7);
        toggle(fixture, (uint32_t)(random % KEYS) + 1);
    }
    for (uint32_t key = 1; key <= KEYS; key++)
        assert_int_equal(is_there(fixture, key), fixture->present[key]);
}

static void a_walk_meets_every_cell_once(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t seen[KEYS + 1];
    struct sb_slot slot;
    uint64_t at = 0;

    memset(seen, 0, sizeof seen);
    for (uint32_t key = 1; key <= KEYS; key++)
        toggle(fixture, key);
    assert_int_equal(fixture->index.count, KEYS);
    while (sb_index_walk(&fixture->index, &at, &slot))
        seen[slot.ref]++;
    for (uint32_t key = 1; key <= KEYS; key++)
        assert_int_equal(seen[key], 1);
}

static void an_emptied_index_gives_its_memory_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t full;

    for (uint32_t key = 1; key <= KEYS; key++)
        toggle(fixture, key);
    full = sb_account_used(fixture->account);
    assert_true(full >= KEYS * sizeof(struct sb_slot));
    for (uint32_t key = 1; key <= KEYS; key++)
        toggle(fixture, key);
    assert_int_equal(fixture->index.count, 0);
    assert_true(sb_account_used(fixture->account) < full / 100);
}

static void an_index_that_cannot_grow_is_unchanged(void **state)
{
    struct fixture *fixture = *state;
    uint32_t key = 1;

    sb_os_env_fail_allocation(fixture->env, 3);
    while (sb_index_grow(&fixture->index, &fixture->pool, 0) == SABOT_OK) {
        sb_index_insert(&fixture->index, hash_of(key), key);
        fixture->present[key++] = true;
    }
    sb_os_env_fail_allocation(fixture->env, 0);
    for (uint32_t i = 1; i < 1000; i++)
        assert_int_equal(is_there(fixture, i), i < key);
    toggle(fixture, key);
}

/* Memory that has been used before, so that what isn't cleared is seen. */
static void soil(struct fixture *fixture, void *runs[], uint32_t count, uint32_t chunks)
{
    for (uint32_t i = 0; i < count; i++) {
        runs[i] = sb_pool_take(&fixture->pool, chunks);
        memset(runs[i], 0xa5, (size_t)chunks * SB_CHUNK_SIZE);
    }
    for (uint32_t i = 1; i < count; i++) /* the first keeps the region */
        sb_pool_give(&fixture->pool, runs[i], chunks);
}

static void a_large_array_is_cleared_bit_by_bit_before_it_is_used(void **state)
{
    struct fixture *fixture = *state;
    struct sb_index *index = &fixture->index;
    void *runs[7];
    uint32_t moves = 0;

    soil(fixture, runs, 7, 64);
    for (uint32_t key = 1; key <= KEYS; key++) {
        const uint32_t slots = index->mask + 1;
        const struct sb_slot *next = index->old == NULL ? index->next : NULL;
        const uint32_t clear = next == NULL ? 0 : next->tag;

        toggle(fixture, key);
        if (slots < 4096)
            continue;
        if (index->mask + 1 != slots) { /* at once, or as good as that */
            assert_true(clear >= slots * 2 - 64);
            moves++;
        } else if (index->old == NULL && index->next != NULL) {
            assert_true(index->next->tag <= clear + 64);
        }
    }
    assert_int_equal(moves, 4);
    for (uint32_t key = 1; key <= KEYS; key++)
        assert_true(is_there(fixture, key));
    sb_pool_give(&fixture->pool, runs[0], 64);
}

static void indexes_of_different_shards_grow_at_different_times(void **state)
{
    struct fixture *fixture = *state;
    uint32_t began[2] = {0};

    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t key = 1; key <= KEYS; key++) {
            assert_int_equal(sb_index_grow(&fixture->index, &fixture->pool, i * 127), SABOT_OK);
            sb_index_insert(&fixture->index, hash_of(key), key);
            if (began[i] == 0 && fixture->index.mask == 16383 && fixture->index.old == NULL &&
                fixture->index.next != NULL)
                began[i] = key;
        }
        sb_index_reset(&fixture->index, &fixture->pool);
    }
    assert_true(began[0] >= 16384 / 16 * 9);
    assert_true(began[1] > began[0] + 16384 / 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_inserted_is_found_until_it_is_removed),
        TEST(a_walk_meets_every_cell_once),
        TEST(an_emptied_index_gives_its_memory_back),
        TEST(an_index_that_cannot_grow_is_unchanged),
        TEST(a_large_array_is_cleared_bit_by_bit_before_it_is_used),
        TEST(indexes_of_different_shards_grow_at_different_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
