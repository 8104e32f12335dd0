/* SPDX-License-Identifier: Apache-2.0 */
/* test_metric.c - the histogram: every value is known to 1/32, quantiles agree with a sorted array.
 */
#include "test.h"

#include "base/metric.h"

static struct sb_histogram histogram;

static int clear(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    return 0;
}

static void an_empty_histogram_has_no_quantile(void **state)
{
    (void)state;
    assert_int_equal(sb_histogram_at(&histogram, 0.5), -1);
    sb_histogram_add(&histogram, 5, 0);
    assert_int_equal(sb_histogram_at(&histogram, 0.5), -1);
}

/* Up to the last step, which takes all that is larger. A large value is there too, so that the
 * largest one does not hide the upper edge of a step. */
static void a_value_is_known_to_three_percent(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < UINT64_C(63) << 34; value += 1 + value / 50) {
        memset(&histogram, 0, sizeof histogram);
        sb_histogram_add(&histogram, value, 1);
        sb_histogram_add(&histogram, UINT64_C(1) << 50, 1);
        const uint64_t found = (uint64_t)sb_histogram_at(&histogram, 0.5);

        assert_true(found >= value);
        assert_true(found - value <= value / 32);
        memset(&histogram, 0, sizeof histogram);
    }
}

static void the_largest_value_is_exact(void **state)
{
    static const uint64_t values[] = {
        0, 31, 32, 1000001, (UINT64_C(1) << 40) - 1, UINT64_C(1) << 40, UINT64_C(1) << 62};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        sb_histogram_add(&histogram, values[i], 3);
        assert_int_equal(sb_histogram_at(&histogram, 1.0), values[i]);
    }
    sb_histogram_add(&histogram, UINT64_MAX, 1);
    assert_true(sb_histogram_at(&histogram, 1.0) == INT64_MAX);
}

static void quantiles_are_those_of_the_sorted_values(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 1000; value++)
        sb_histogram_add(&histogram, value * 1000, 1);
    for (int per_mille = 1; per_mille <= 1000; per_mille++) {
        const int64_t exact = (int64_t)per_mille * 1000;
        const int64_t found = sb_histogram_at(&histogram, per_mille / 1000.0);

        assert_true(found >= exact);
        assert_true(found <= exact + exact / 32 + 1);
    }
    assert_true(sb_histogram_at(&histogram, 0.0) >= 1000);
}

static void merging_adds_counts_and_keeps_the_larger_maximum(void **state)
{
    static struct sb_histogram other;

    (void)state;
    memset(&other, 0, sizeof other);
    sb_histogram_add(&histogram, 10, 3);
    sb_histogram_add(&other, 20, 1);
    sb_histogram_add(&other, 777777, 1);
    sb_histogram_merge(&histogram, &other);
    assert_int_equal(sb_histogram_at(&histogram, 0.6), 10);
    assert_int_equal(sb_histogram_at(&histogram, 0.8), 20);
    assert_int_equal(sb_histogram_at(&histogram, 1.0), 777777);
    memset(&other, 0, sizeof other);
    sb_histogram_merge(&histogram, &other);
    assert_int_equal(sb_histogram_at(&histogram, 1.0), 777777);
}

static void a_counter_adds_up(void **state)
{
    struct sb_counter counter = {0};

    (void)state;
    sb_counter_add(&counter, 3);
    sb_counter_add(&counter, 4);
    assert_int_equal(sb_counter_get(&counter), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_histogram_has_no_quantile, clear),
        cmocka_unit_test_setup(a_value_is_known_to_three_percent, clear),
        cmocka_unit_test_setup(the_largest_value_is_exact, clear),
        cmocka_unit_test_setup(quantiles_are_those_of_the_sorted_values, clear),
        cmocka_unit_test_setup(merging_adds_counts_and_keeps_the_larger_maximum, clear),
        cmocka_unit_test(a_counter_adds_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
