/* SPDX-License-Identifier: Apache-2.0 */
/* test_mem.c - blocks, strings, buffers and arenas: alignment, zeroes, growth, and every allocation
 * failed once. */
#include "test.h"

#include "base/mem.h"

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

static void blocks_are_zeroed_and_aligned(void **state)
{
    static const size_t sizes[] = {0, 1, 16, 63, 64, 65, 4096, 1000000};
    const struct sb_env *env = *state;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *block = sb_alloc(env, sizes[i]);

        assert_non_null(block);
        assert_int_equal((uintptr_t)block % (sizes[i] >= 64 ? 64 : 16), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(block[j], 0);
        if (sizes[i] > 0)
            memset(block, 0xff, sizes[i]);
        sb_free(env, block, sizes[i]);
    }
    sb_free(env, NULL, 10);
}

static void a_size_that_overflows_is_out_of_memory(void **state)
{
    const struct sb_env *env = *state;
    struct sb_buffer buffer;
    struct sb_arena arena;

    assert_null(sb_alloc(env, SIZE_MAX));
    assert_null(sb_alloc_array(env, SIZE_MAX / 2, 3));
    assert_null(sb_alloc_array(env, (size_t)1 << 32, (size_t)1 << 32));
    sb_buffer_init(&buffer, env);
    assert_int_equal(sb_buffer_append(&buffer, "abc", 3), SABOT_OK);
    assert_int_equal(sb_buffer_reserve(&buffer, SIZE_MAX), SABOT_ERR_MEMORY);
    assert_int_equal(sb_buffer_reserve(&buffer, SIZE_MAX - 3), SABOT_ERR_MEMORY);
    assert_int_equal(sb_buffer_reserve(&buffer, PTRDIFF_MAX), SABOT_ERR_MEMORY);
    assert_int_equal(buffer.size, 3);
    assert_memory_equal(buffer.data, "abc", 3);
    sb_buffer_reset(&buffer);
    sb_arena_init(&arena, env);
    assert_null(sb_arena_alloc(&arena, SIZE_MAX));
    assert_null(sb_arena_copy(&arena, "", SIZE_MAX));
    sb_arena_reset(&arena);
}

static void strings_are_copied_and_formatted(void **state)
{
    const struct sb_env *env = *state;
    char *whole = sb_string_copy(env, "channel");
    char *part = sb_string_copy_size(env, "channel", 4);
    char *cut = sb_string_copy_size(env, "ab\0cd", 5);
    char *empty = sb_string_copy_size(env, NULL, 0);
    char *formatted = sb_string_format(env, "%s-%d", "part", 12);

    assert_string_equal(whole, "channel");
    assert_string_equal(part, "chan");
    assert_string_equal(cut, "ab");
    assert_string_equal(empty, "");
    assert_string_equal(formatted, "part-12");
    sb_string_free(env, whole);
    sb_string_free(env, part);
    sb_string_free(env, cut);
    sb_string_free(env, empty);
    sb_string_free(env, formatted);
    sb_string_free(env, NULL);
}

static void a_buffer_keeps_what_was_appended_while_it_grows(void **state)
{
    struct sb_buffer buffer;

    sb_buffer_init(&buffer, *state);
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(sb_buffer_append(&buffer, &i, sizeof i), SABOT_OK);
    assert_int_equal(buffer.size, 10000 * sizeof(unsigned));
    for (unsigned i = 0; i < 10000; i++)
        assert_memory_equal(buffer.data + i * sizeof i, &i, sizeof i);
    sb_buffer_reset(&buffer);
    assert_null(buffer.data);
    sb_buffer_reset(&buffer);
}

static void a_buffer_formats_without_keeping_the_nul(void **state)
{
    struct sb_buffer buffer;

    sb_buffer_init(&buffer, *state);
    assert_int_equal(sb_buffer_format(&buffer, "%d:", 12), SABOT_OK);
    assert_int_equal(sb_buffer_format(&buffer, "%0100d", 7), SABOT_OK);
    assert_int_equal(buffer.size, 103);
    assert_memory_equal(buffer.data, "12:000", 6);
    assert_int_equal(buffer.data[102], '7');
    sb_buffer_reset(&buffer);
}

static void a_buffer_that_cannot_grow_is_unchanged(void **state)
{
    struct sb_env *env = *state;
    uint8_t filler[64] = {1, 2, 3};
    struct sb_buffer buffer;

    sb_buffer_init(&buffer, env);
    sb_os_env_fail_allocation(env, 1);
    assert_int_equal(sb_buffer_append(&buffer, "a", 1), SABOT_ERR_MEMORY);
    assert_null(buffer.data);
    sb_os_env_fail_allocation(env, 2);
    assert_int_equal(sb_buffer_append(&buffer, filler, sizeof filler), SABOT_OK);
    assert_int_equal(sb_buffer_append(&buffer, "a", 1), SABOT_ERR_MEMORY);
    assert_int_equal(sb_buffer_format(&buffer, "%d", 12), SABOT_ERR_MEMORY);
    assert_int_equal(buffer.size, sizeof filler);
    assert_memory_equal(buffer.data, filler, sizeof filler);
    sb_os_env_fail_allocation(env, 0);
    assert_int_equal(sb_buffer_append(&buffer, "a", 1), SABOT_OK);
    sb_buffer_reset(&buffer);
}

static void an_arena_gives_zeroed_blocks_that_do_not_overlap(void **state)
{
    enum { COUNT = 3000 };
    static uint8_t *blocks[COUNT];
    static size_t sizes[COUNT];
    struct sb_arena arena;

    sb_arena_init(&arena, *state);
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 97 == 0 ? 3000 + i : i % 41; /* some get a block of their own */
        blocks[i] = sb_arena_alloc(&arena, sizes[i]);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(blocks[i][j], i & 0xff);
    assert_true(arena.allocated < 400000);
    sb_arena_reset(&arena);
    assert_int_equal(arena.allocated, 0);
}

static void an_arena_copies_strings(void **state)
{
    struct sb_arena arena;
    char *copy;

    sb_arena_init(&arena, *state);
    copy = sb_arena_copy(&arena, "abcdef", 3);
    assert_string_equal(copy, "abc");
    assert_string_equal(sb_arena_copy(&arena, NULL, 0), "");
    sb_arena_reset(&arena);
}

static void an_arena_without_memory_stays_usable(void **state)
{
    struct sb_env *env = *state;
    struct sb_arena arena;

    sb_arena_init(&arena, env);
    sb_os_env_fail_allocation(env, 1);
    assert_null(sb_arena_alloc(&arena, 10));
    assert_null(sb_arena_alloc(&arena, 100000));
    sb_os_env_fail_allocation(env, 0);
    assert_non_null(sb_arena_alloc(&arena, 10));
    sb_os_env_fail_allocation(env, 1);
    assert_non_null(sb_arena_alloc(&arena, 100)); /* out of the block that is there */
    assert_null(sb_arena_alloc(&arena, 100000));
    assert_non_null(sb_arena_alloc(&arena, 100));
    sb_os_env_fail_allocation(env, 0);
    sb_arena_reset(&arena);
}

static void allocations_are_counted_and_fail_from_the_nth_on(void **state)
{
    struct sb_env *env = *state;
    const uint64_t before = sb_os_env_allocation_count(env);
    void *first;

    sb_os_env_fail_allocation(env, 2);
    first = sb_alloc(env, 8);
    assert_non_null(first);
    assert_null(sb_alloc(env, 8));
    assert_null(sb_alloc(env, 8));
    assert_int_equal(sb_os_env_allocation_count(env), before + 3);
    sb_os_env_fail_allocation(env, 0);
    sb_free(env, first, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_env, free_env)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_are_zeroed_and_aligned),
        TEST(a_size_that_overflows_is_out_of_memory),
        TEST(strings_are_copied_and_formatted),
        TEST(a_buffer_keeps_what_was_appended_while_it_grows),
        TEST(a_buffer_formats_without_keeping_the_nul),
        TEST(a_buffer_that_cannot_grow_is_unchanged),
        TEST(an_arena_gives_zeroed_blocks_that_do_not_overlap),
        TEST(an_arena_copies_strings),
        TEST(an_arena_without_memory_stays_usable),
        TEST(allocations_are_counted_and_fail_from_the_nth_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
