/* SPDX-License-Identifier: Apache-2.0 */
/* test_parse.c - numbers as people write them: what is taken, what is not, and in any locale. */
#include "test.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/parse.h"

static void whole_numbers_are_taken_in_their_range(void **state)
{
    static const char *const wrong[] = {
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "1x",
        "0x1",
        "--1",
        "1.0",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999999",
    };
    int64_t number;

    (void)state;
    assert_true(sb_parse_int64("9223372036854775807", &number));
    assert_true(number == INT64_MAX);
    assert_true(sb_parse_int64("-9223372036854775808", &number));
    assert_true(number == INT64_MIN);
    assert_true(sb_parse_int64("-0", &number));
    assert_int_equal(number, 0);
    assert_true(sb_parse_int64("007", &number));
    assert_int_equal(number, 7);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sb_parse_int64(wrong[i], &number));
        assert_int_equal(number, 7);
    }
}

static void bytes_have_binary_units(void **state)
{
    static const char *const wrong[] = {"",      "-1",    "KiB",    "1kib",       "1MB",
                                        "1 KiB", "1KiBx", "1.5KiB", "8388608TiB", "1K"};
    int64_t bytes;

    (void)state;
    assert_true(sb_parse_bytes("0", &bytes));
    assert_int_equal(bytes, 0);
    assert_true(sb_parse_bytes("8388607TiB", &bytes));
    assert_true(bytes == INT64_C(8388607) << 40);
    assert_true(sb_parse_bytes("3GiB", &bytes));
    assert_true(bytes == INT64_C(3) << 30);
    assert_true(sb_parse_bytes("5B", &bytes));
    assert_int_equal(bytes, 5);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(sb_parse_bytes(wrong[i], &bytes));
        assert_int_equal(bytes, 5);
    }
}

static void truth_is_one_of_two_words(void **state)
{
    bool value = false;

    (void)state;
    assert_true(sb_parse_bool("true", &value));
    assert_true(value);
    assert_true(sb_parse_bool("false", &value));
    assert_false(value);
    assert_false(sb_parse_bool("yes", &value));
    assert_false(sb_parse_bool("", &value));
    assert_false(sb_parse_bool("True", &value));
}

static void fractions_are_finite_and_decimal(void **state)
{
    static const char *const wrong[] = {"",      ".",   "-",  "1.5.5", "nan", "inf", "1e999",
                                        "0x1p3", "1,5", "1 ", "e5",    "1e",  "+1",  "1.5f"};
    char long_text[600];
    double number;

    (void)state;
    assert_true(sb_parse_float64("-2.5e-3", &number));
    assert_true(number == -2.5e-3);
    assert_true(sb_parse_float64("1e+3", &number));
    assert_true(number == 1000);
    assert_true(sb_parse_float64(".5", &number));
    assert_true(number == 0.5);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (sb_parse_float64(wrong[i], &number))
            fail_msg("\"%s\" is taken as %g", wrong[i], number);
        assert_true(number == 0.5);
    }
    memset(long_text, '1', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    assert_false(sb_parse_float64(long_text, &number));
}

static void check_round_trip(double number, const char *expected)
{
    char text[SB_FLOAT64_TEXT_SIZE];
    double again;

    sb_write_float64(text, number);
    if (expected != NULL)
        assert_string_equal(text, expected);
    assert_true(sb_parse_float64(text, &again));
    assert_true(again == number);
}

static void a_fraction_is_written_as_short_as_it_is_read_back(void **state)
{
    (void)state;
    check_round_trip(0.1, "0.1");
    check_round_trip(0.1 + 0.2, "0.30000000000000004");
    check_round_trip(100, "100");
    check_round_trip(-0.0, "-0");
    check_round_trip(DBL_MAX, NULL);
    check_round_trip(-DBL_MIN, NULL);
    check_round_trip(5e-324, NULL);
}

static void the_locale_has_no_say(void **state)
{
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "es_ES.UTF-8", "de_DE"};
    bool is_set = false;

    (void)state;
    for (size_t i = 0; !is_set && i < sizeof locales / sizeof locales[0]; i++)
        is_set = setlocale(LC_NUMERIC, locales[i]) != NULL;
    if (!is_set)
        skip();
    check_round_trip(0.5, "0.5");
    check_round_trip(-1234.25, "-1234.25");
    assert_non_null(setlocale(LC_NUMERIC, "C"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers_are_taken_in_their_range),
        cmocka_unit_test(bytes_have_binary_units),
        cmocka_unit_test(truth_is_one_of_two_words),
        cmocka_unit_test(fractions_are_finite_and_decimal),
        cmocka_unit_test(a_fraction_is_written_as_short_as_it_is_read_back),
        cmocka_unit_test(the_locale_has_no_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
