/* SPDX-License-Identifier: Apache-2.0 */
/* test_hash.c - stored hashes never change: vectors of Apache Kafka and of XXH3 itself. */
#include "test.h"

#include "base/hash.h"

static void murmur2_is_kafkas(void **state)
{
    static const struct {
        const char *key;
        int32_t hash;
    } vectors[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        assert_int_equal((int32_t)sb_murmur2(vectors[i].key, strlen(vectors[i].key)),
                         vectors[i].hash);
}

static void the_partition_of_a_key_is_kafkas(void **state)
{
    (void)state;
    /* -973932308 & 0x7fffffff = 1173551340; % 12 = 0; % 7 = 3 */
    assert_int_equal(sb_partition_of_key("21", 2, 12), 1173551340 % 12);
    assert_int_equal(sb_partition_of_key("21", 2, 7), 1173551340 % 7);
    assert_int_equal(sb_partition_of_key("abc", 3, 12), 479470107 % 12);
    assert_int_equal(sb_partition_of_key("", 0, 1), 0);
}

/* Of the xxHash project: XXH3_64bits("", 0) with seed 0, and the same with the sanity seed of its
 * self-test. */
static void xxh3_gives_its_published_values(void **state)
{
    (void)state;
    assert_true(sb_hash("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(sb_hash("", 0, UINT64_C(0x9E3779B185EBCA8D)) == UINT64_C(0xA8A6B918B2F0364A));
}

static void an_integer_hashes_as_its_eight_bytes(void **state)
{
    const uint8_t bytes[8] = {0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12};

    (void)state;
    assert_true(sb_hash_int64(INT64_C(0x123456789abcdef0), 7) == sb_hash(bytes, 8, 7));
    assert_true(sb_hash_int64(1, 7) != sb_hash_int64(1, 8));
}

static void the_shard_is_the_top_of_the_hash(void **state)
{
    (void)state;
    assert_int_equal(sb_hash_shard(0), 0);
    assert_int_equal(sb_hash_shard(UINT64_MAX), SB_SHARD_COUNT - 1);
    assert_int_equal(sb_hash_shard(UINT64_C(1) << 57), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(murmur2_is_kafkas),
        cmocka_unit_test(the_partition_of_a_key_is_kafkas),
        cmocka_unit_test(xxh3_gives_its_published_values),
        cmocka_unit_test(an_integer_hashes_as_its_eight_bytes),
        cmocka_unit_test(the_shard_is_the_top_of_the_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
