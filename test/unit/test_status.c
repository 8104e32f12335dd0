/* SPDX-License-Identifier: Apache-2.0 */
/* test_status.c - every status has a name and a text, and an error's text is never empty nor cut in
 * a character. */
#include "test.h"

#include <sabot/schema.h>
#include <sabot/status.h>

static void every_status_has_its_name_and_text(void **state)
{
    (void)state;
#define CHECK(name, number, text)                        \
    assert_int_equal(name, number);                      \
    assert_string_equal(sabot_status_name(name), #name); \
    assert_string_equal(sabot_status_text(name), text);
    SABOT_STATUS_LIST(CHECK)
#undef CHECK
}

static void an_unknown_status_has_a_name_too(void **state)
{
    (void)state;
    assert_string_equal(sabot_status_name((sabot_status)9999), "SABOT_ERR_UNKNOWN");
    assert_string_equal(sabot_status_text((sabot_status)9999), "unknown status");
}

static void raise_fills_the_error_and_returns_the_status(void **state)
{
    sabot_error error;

    (void)state;
    memset(&error, 0xff, sizeof error);
    assert_int_equal(sabot_raise(&error, SABOT_ERR_IO, "%s: byte %d", "a.json", 7), SABOT_ERR_IO);
    assert_int_equal(error.status, SABOT_ERR_IO);
    assert_false(error.retriable);
    assert_false(error.fatal);
    assert_string_equal(error.text, "a.json: byte 7");
}

static void raise_without_an_error_returns_the_status(void **state)
{
    (void)state;
    assert_int_equal(sabot_raise(NULL, SABOT_ERR_LIMIT, "%d", 1), SABOT_ERR_LIMIT);
}

static void raise_with_no_text_takes_the_general_one(void **state)
{
    sabot_error error;

    (void)state;
    (void)sabot_raise(&error, SABOT_ERR_LIMIT, "%s", "");
    assert_string_equal(error.text, "a limit was exceeded");
}

static void raise_takes_its_own_text_as_an_argument(void **state)
{
    sabot_error error;

    (void)state;
    (void)sabot_raise(&error, SABOT_ERR_IO, "disk full");
    (void)sabot_raise(&error, error.status, "checkpoint 7: %s", error.text);
    assert_string_equal(error.text, "checkpoint 7: disk full");
}

/* The euro sign has three bytes; shift it over the edge of the text by `before` plain bytes. */
static size_t length_after_cut(size_t before, const char *character)
{
    char text[SABOT_ERROR_TEXT_MAX + 64];
    sabot_error error;
    size_t size = before;

    memset(text, 'x', before);
    while (size + strlen(character) < sizeof text) {
        memcpy(text + size, character, strlen(character));
        size += strlen(character);
    }
    text[size] = '\0';
    (void)sabot_raise(&error, SABOT_ERR_IO, "%s", text);
    assert_memory_equal(error.text, text, strlen(error.text));
    return strlen(error.text);
}

static void raise_cuts_a_long_text_between_characters(void **state)
{
    (void)state;
    assert_int_equal(length_after_cut(0, "x"), 1023);
    assert_int_equal(length_after_cut(0, "\xe2\x82\xac"), 1023);
    assert_int_equal(length_after_cut(1, "\xe2\x82\xac"), 1021);
    assert_int_equal(length_after_cut(2, "\xe2\x82\xac"), 1022);
    assert_int_equal(length_after_cut(0, "\xf0\x9f\x98\x80"), 1020);
    assert_int_equal(length_after_cut(3, "\xf0\x9f\x98\x80"), 1023);
    assert_int_equal(length_after_cut(2, "\xf0\x9f\x98\x80"), 1022);
    assert_int_equal(length_after_cut(0, "\xc3\xa9"), 1022);
    assert_int_equal(length_after_cut(1, "\xc3\xa9"), 1023);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name_and_text),
        cmocka_unit_test(an_unknown_status_has_a_name_too),
        cmocka_unit_test(raise_fills_the_error_and_returns_the_status),
        cmocka_unit_test(raise_without_an_error_returns_the_status),
        cmocka_unit_test(raise_with_no_text_takes_the_general_one),
        cmocka_unit_test(raise_takes_its_own_text_as_an_argument),
        cmocka_unit_test(raise_cuts_a_long_text_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
