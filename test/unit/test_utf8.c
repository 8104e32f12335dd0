/* SPDX-License-Identifier: Apache-2.0 */
/* test_utf8.c - every code point, every malformed lead, and each of them at each place around the
 * fast path. */
#include "test.h"

#include "data/batch.h"

static size_t encode(uint32_t code, uint8_t *out)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xc0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (code & 63));
    return 4;
}

static void every_code_point_but_surrogates_is_valid(void **state)
{
    uint8_t bytes[4];

    (void)state;
    for (uint32_t code = 0; code < 0x1fffff; code++) {
        const bool good = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        const size_t size = encode(code, bytes);

        assert_int_equal(sb_utf8_valid(bytes, size), good);
        for (size_t cut = 1; cut < size; cut++)
            assert_false(sb_utf8_valid(bytes, cut));
    }
}

/* By the definition: the bytes are those which encoding some code point gives. */
static bool valid_pair(uint8_t first, uint8_t second)
{
    uint8_t bytes[4];

    if (first < 0x80 && second < 0x80)
        return true;
    for (uint32_t code = 0x80; code < 0x800; code++) {
        (void)encode(code, bytes);
        if (bytes[0] == first && bytes[1] == second)
            return true;
    }
    return false;
}

static void two_bytes_are_valid_only_as_encoded(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            const uint8_t bytes[2] = {(uint8_t)first, (uint8_t)second};

            assert_int_equal(sb_utf8_valid(bytes, 2), valid_pair(bytes[0], bytes[1]));
        }
    }
}

/* Overlong forms give the same code points as shorter ones. */
static void overlong_forms_are_refused(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x10000; code++) {
        const uint8_t four[] = {0xf0, (uint8_t)(0x80 | code >> 12),
                                (uint8_t)(0x80 | (code >> 6 & 63)), (uint8_t)(0x80 | (code & 63))};
        const uint8_t three[] = {0xe0, four[2], four[3]};
        const uint8_t two[] = {(uint8_t)(0xc0 | code >> 6), four[3]};

        assert_false(sb_utf8_valid(four, 4));
        if (code < 0x800)
            assert_false(sb_utf8_valid(three, 3));
        if (code < 0x80)
            assert_false(sb_utf8_valid(two, 2));
    }
}

static void a_sequence_is_found_wherever_it_stands(void **state)
{
    static const struct {
        const char *bytes;
        bool good;
    } cases[] = {
        {"\xc3\xa9", true},
        {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true},
        {"\x80", false},
        {"\xff", false},
        {"\xed\xa0\x80", false},
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xc3", false},
        {"\xf4\x90\x80\x80", false},
    };
    uint8_t text[80];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t size = strlen(cases[i].bytes);

        for (size_t before = 0; before < 40; before++) {
            for (size_t after = 0; after < 36; after++) {
                memset(text, 'x', sizeof text);
                memcpy(text + before, cases[i].bytes, size);
                assert_int_equal(sb_utf8_valid(text, before + size + after), cases[i].good);
            }
        }
    }
    assert_true(sb_utf8_valid("", 0));
    assert_true(sb_utf8_valid(NULL, 0));
    assert_true(sb_utf8_valid("a\0b", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_but_surrogates_is_valid),
        cmocka_unit_test(two_bytes_are_valid_only_as_encoded),
        cmocka_unit_test(overlong_forms_are_refused),
        cmocka_unit_test(a_sequence_is_found_wherever_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
