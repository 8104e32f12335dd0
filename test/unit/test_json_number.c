/* SPDX-License-Identifier: Apache-2.0 */
/* test_json_number.c - numbers are read as strtod reads them, to the last bit, and written in as
 * few digits as read back; whatever the locale. */
#include "json_fixture.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>

#include "format/json.h"

#include "format/json_block.h"

enum { ROUNDS = 1000 * 1000 };

/* Read `text` as part of a record that ends behind it. */
static double read_float(const char *text)
{
    char record[2000];
    struct sb_json_number number;
    struct sb_json_reader reader = {.start = (const uint8_t *)record};
    const int size = snprintf(record, sizeof record, "{\"\":%s", text);
    const uint8_t *end;

    assert_true(size > 0 && (size_t)size < sizeof record);
    reader.end = reader.start + size;
    end = sb_json_number(&reader, reader.start + 4, &number);
    if (end != reader.end)
        print_error("%s\n", text);
    assert_ptr_equal(end, reader.end);
    return sb_json_number_float64(&number, end);
}

static void assert_as_strtod(const char *text)
{
    const double expected = strtod(text, NULL);
    const double value = read_float(text);

    if (value != expected)
        print_error("%s: %.17g, strtod: %.17g\n", text, value, expected);
    assert_memory_equal(&value, &expected, sizeof value);
}

static double random_double(uint64_t *seed)
{
    for (;;) {
        const uint64_t bits = json_random(seed);
        double value;

        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            return value;
    }
}

static void doubles_of_all_sizes_are_read_as_strtod_does(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        const uint64_t dice = json_random(&seed);

        const uint64_t whole = json_random_short(&seed);
        const uint64_t fraction = json_random_short(&seed);

        /* Any double with 1 to 20 digits; or digits and a point, as people write. */
        if (dice % 2 == 0)
            (void)snprintf(text, sizeof text, "%.*e", (int)(dice / 2 % 20), random_double(&seed));
        else
            (void)snprintf(text, sizeof text, "%s%" PRIu64 ".%0*" PRIu64,
                           dice / 2 % 3 == 0 ? "-" : "", whole, (int)(dice / 1024 % 12 + 1),
                           fraction);
        assert_as_strtod(text);
    }
}

static void digits_with_exponents_are_read_as_strtod_does(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS / 2; i++) {
        const int exponent = (int)(json_random(&seed) % 80) - 40;
        char text[64];

        (void)snprintf(text, sizeof text, "%" PRIu64 "e%d", json_random_short(&seed), exponent);
        assert_as_strtod(text);
    }
}

/* The exact middle between two doubles, a little more and a little less: what needs all digits. */
static void the_middle_of_two_doubles_is_read_as_strtod_does(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS / 100; i++) {
        const double value = fabs(random_double(&seed));
        const double above = nextafter(value, INFINITY);
        char text[1500];
        int size;

        if (!isfinite(above))
            continue;
        size = snprintf(text, sizeof text, "%.1100Lg", ((long double)value + above) / 2);
        if (memchr(text, 'e', (size_t)size) == NULL && memchr(text, '.', (size_t)size) == NULL)
            (void)snprintf(text + size, sizeof text - (size_t)size, ".0");
        assert_as_strtod(text);
        if (memchr(text, 'e', (size_t)size) != NULL)
            continue;
        memcpy(text + strlen(text), "00000000000000000000001", 24);
        assert_as_strtod(text);
    }
}

static void very_long_numbers_are_read_as_strtod_does(void **state)
{
    static const char *const pieces[] = {"0",        "1", "9", "5", "000000000000000000000000",
                                         "123456789"};
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS / 100; i++) {
        char text[1600] = "1";
        size_t size = 1;
        const uint64_t length = json_random(&seed) % 1400;
        const uint64_t point = json_random(&seed) % 1400;

        if (json_random(&seed) % 3 == 0)
            text[0] = '0';
        while (size < length + 2) {
            if (text[0] == '0' && size == 1)
                size += (size_t)snprintf(text + size, 3, ".0");
            if (size >= point && strchr(text, '.') == NULL)
                size += (size_t)snprintf(text + size, 3, ".5");
            size += (size_t)snprintf(text + size, 30, "%s", pieces[json_random(&seed) % 6]);
        }
        (void)snprintf(text + size, 20, "e%d", (int)(json_random(&seed) % 3000) - 1500);
        assert_as_strtod(text);
    }
}

static void what_is_written_reads_back_in_as_few_digits_as_can_be(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS / 2; i++) {
        uint8_t text[SB_JSON_FLOAT_SIZE + 1];
        char shorter[64];
        double value = random_double(&seed);
        double back;
        size_t digits = 0;
        size_t size;

        if (i % 2 == 0)
            value = (double)(int64_t)(json_random(&seed) >> 20) / (double)(1 << i % 20);
        size = (size_t)(sb_json_write_float64(text, value) - text);
        assert_in_range(size, 1, SB_JSON_FLOAT_SIZE);
        text[size] = '\0';
        back = strtod((const char *)text, NULL);
        assert_memory_equal(&back, &value, sizeof value);
        back = read_float((const char *)text);
        assert_memory_equal(&back, &value, sizeof value);
        for (size_t j = 0; j < size && text[j] != 'e'; j++)
            digits += text[j] >= '0' && text[j] <= '9' && (digits > 0 || text[j] != '0');
        if (digits < 2 || text[size - 1] == '0')
            continue;
        (void)snprintf(shorter, sizeof shorter, "%.*e", (int)digits - 2, value);
        back = strtod(shorter, NULL);
        assert_memory_not_equal(&back, &value, sizeof value);
    }
}

static void doubles_are_written_as_people_would(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {-1.5, "-1.5"},
                 {100, "100"},
                 {125000.5, "125000.5"},
                 {0.1, "0.1"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {1e15, "1000000000000000"},
                 {9007199254740993.0, "9007199254740992"},
                 {1e20, "100000000000000000000"},
                 {1e21, "1e21"},
                 {1.5e300, "1.5e300"},
                 {0.000001, "0.000001"},
                 {0.0000015, "0.0000015"},
                 {0.0000001, "1e-7"},
                 {-1.25e-9, "-1.25e-9"},
                 {5e-324, "5e-324"},
                 {2.2250738585072014e-308, "2.2250738585072014e-308"},
                 {1.7976931348623157e308, "1.7976931348623157e308"},
                 {-1.7976931348623157e308, "-1.7976931348623157e308"},
                 {123456789012345.6, "123456789012345.6"},
                 {-33.4569, "-33.4569"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t text[SB_JSON_FLOAT_SIZE + 1];

        *sb_json_write_float64(text, cases[i].value) = '\0';
        assert_string_equal((const char *)text, cases[i].text);
    }
}

static void integers_are_written_and_read_back(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        const int64_t value =
            i == 0   ? INT64_MIN
            : i == 1 ? INT64_MAX
            : i == 2 ? 0
                     : (int64_t)(json_random_short(&seed) * (i % 2 == 0 ? 1 : UINT64_MAX));
        uint8_t text[SB_JSON_INT_SIZE + 1];
        char expected[32];

        *sb_json_write_int64(text, value) = '\0';
        (void)snprintf(expected, sizeof expected, "%" PRId64, value);
        assert_string_equal((const char *)text, expected);
    }
}

/* Sets the locale to one that writes 1,5 where there is one. */
static void a_locale_has_no_say(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "es_CL.UTF-8", "fr_FR.UTF-8", "de_DE"};
    uint8_t text[SB_JSON_FLOAT_SIZE + 1];
    bool found = false;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]) != NULL;
    *sb_json_write_float64(text, 0.1 + 0.2) = '\0';
    assert_string_equal((const char *)text, "0.30000000000000004");
    assert_true(read_float("1234567890.12345678901234567890") == 1234567890.12345678901234567890);
    assert_true(read_float("1.2345678901234567e-200") == 1.2345678901234567e-200);
    (void)setlocale(LC_NUMERIC, "C");
    if (!found)
        skip();
}

static void both_ways_to_look_at_a_block_agree(void **state)
{
    uint64_t seed = json_seed();

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[SB_JSON_BLOCK];

        for (int j = 0; j < SB_JSON_BLOCK; j++)
            bytes[j] = (uint8_t)(json_random(&seed) >> 33);
        const struct sb_json_block one = sb_json_block(bytes);
        const struct sb_json_block other = sb_json_block_plain(bytes);

        assert_int_equal(one.stops, other.stops);
        assert_int_equal(one.high, other.high);
        if (one.high != 0 && sb_json_block_latin(bytes, one.high))
            assert_true(sb_utf8_valid(bytes, sizeof bytes));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_of_all_sizes_are_read_as_strtod_does),
        cmocka_unit_test(digits_with_exponents_are_read_as_strtod_does),
        cmocka_unit_test(the_middle_of_two_doubles_is_read_as_strtod_does),
        cmocka_unit_test(very_long_numbers_are_read_as_strtod_does),
        cmocka_unit_test(what_is_written_reads_back_in_as_few_digits_as_can_be),
        cmocka_unit_test(doubles_are_written_as_people_would),
        cmocka_unit_test(integers_are_written_and_read_back),
        cmocka_unit_test(a_locale_has_no_say),
        cmocka_unit_test(both_ways_to_look_at_a_block_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
