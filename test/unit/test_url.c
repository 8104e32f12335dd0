/* SPDX-License-Identifier: Apache-2.0 */
/* test_url.c - channel URLs: what is taken apart how, and what each mistake is told. */
#include "test.h"

#include "channel/url.h"

enum { PARTITIONS, BYTES, FOLLOW, NOTE, RULE_COUNT };

static const struct sb_url_rule rules[RULE_COUNT] = {
    [PARTITIONS] = {"partitions", SB_URL_INT, 1, 4096},
    [BYTES] = {"bytes", SB_URL_BYTES, 1024, INT64_MAX},
    [FOLLOW] = {"follow", SB_URL_BOOL, 0, 0},
    [NOTE] = {"note", SB_URL_TEXT, 0, 0},
};

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

static void a_url_is_a_scheme_a_rest_and_parameters(void **state)
{
    struct sb_url url;
    sabot_error error;

    assert_int_equal(sb_url_init(&url, *state, "memory:name?partitions=4&bytes=64MiB&follow=true",
                                 rules, RULE_COUNT, &error),
                     SABOT_OK);
    assert_string_equal(url.scheme, "memory");
    assert_string_equal(url.rest, "name");
    assert_int_equal(sb_url_number(&url, PARTITIONS, 1), 4);
    assert_int_equal(sb_url_number(&url, BYTES, 1), 64 << 20);
    assert_int_equal(sb_url_number(&url, FOLLOW, 0), 1);
    assert_false(url.values[NOTE].given);
    sb_url_reset(&url);

    assert_int_equal(sb_url_init(&url, *state, "memory:", rules, RULE_COUNT, &error), SABOT_OK);
    assert_string_equal(url.rest, "");
    assert_int_equal(sb_url_number(&url, PARTITIONS, 7), 7);
    sb_url_reset(&url);
    sb_url_reset(&url);
}

static void parameters_are_percent_decoded_but_the_rest_is_literal(void **state)
{
    struct sb_url url;
    sabot_error error;

    assert_int_equal(sb_url_init(&url, *state, "file:a%20b&c=d/+.jsonl?no%74e=%26%3D%3f+%e2%82%ac",
                                 rules, RULE_COUNT, &error),
                     SABOT_OK);
    assert_string_equal(url.rest, "a%20b&c=d/+.jsonl");
    assert_string_equal(url.values[NOTE].text, "&=?+\xe2\x82\xac");
    sb_url_reset(&url);
}

static void every_mistake_is_named(void **state)
{
    static const struct {
        const char *url;
        const char *text; /* in the error */
    } cases[] = {
        {"", "not a channel URL"},
        {"tx.jsonl", "not a channel URL"},
        {"/tmp/tx.jsonl", "not a channel URL"},
        {"File:x", "not a channel URL"},
        {"a_b:x", "not a channel URL"},
        {"a~b:x", "not a channel URL"},
        {"memory:x?%zz=1", "two hexadecimal digits"},
        {"memory:x?%6e%6ft%=1", "two hexadecimal digits"},
        {"memory:x?partition=3",
         "unknown parameter \"partition\"; known: partitions, bytes, follow, note"},
        {"memory:x?partitions", "parameter \"partitions\" has no value"},
        {"memory:x?", "parameter \"\" has no value"},
        {"memory:x?partitions=", "partitions=: expected a number from 1 to 4096"},
        {"memory:x?partitions=0", "partitions=0: expected a number from 1 to 4096"},
        {"memory:x?partitions=4097", "expected a number from 1 to 4096"},
        {"memory:x?partitions=-1", "expected a number from 1 to 4096"},
        {"memory:x?partitions=3x", "expected a number"},
        {"memory:x?partitions=99999999999999999999", "expected a number"},
        {"memory:x?bytes=64MB", "expected bytes, such as 64MiB"},
        {"memory:x?bytes=MiB", "expected bytes"},
        {"memory:x?bytes=9000000TiB", "expected bytes"},
        {"memory:x?bytes=1000", "from 1024"},
        {"memory:x?follow=yes", "follow=yes: expected true or false"},
        {"memory:x?note=", "note is empty"},
        {"memory:x?note=a&note=b", "parameter \"note\" is given twice"},
        {"memory:x?note=%", "two hexadecimal digits"},
        {"memory:x?note=%4", "two hexadecimal digits"},
        {"memory:x?note=%zz", "two hexadecimal digits"},
        {"memory:x?note=%00", "two hexadecimal digits"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sb_url url;
        sabot_error error;

        assert_int_equal(sb_url_init(&url, *state, cases[i].url, rules, RULE_COUNT, &error),
                         SABOT_ERR_CONFIG);
        assert_null(url.text);
        if (strstr(error.text, cases[i].text) == NULL)
            fail_msg("%s: \"%s\" is not in \"%s\"", cases[i].url, cases[i].text, error.text);
    }
}

static void a_channel_without_parameters_says_so(void **state)
{
    struct sb_url url;
    sabot_error error;

    assert_int_equal(sb_url_init(&url, *state, "x:y?a=b", NULL, 0, &error), SABOT_ERR_CONFIG);
    assert_non_null(strstr(error.text, "takes none"));
}

static void an_endless_url_is_refused(void **state)
{
    char text[SB_URL_MAX + 2];
    struct sb_url url;
    sabot_error error;

    memset(text, 'a', sizeof text);
    text[4] = ':';
    text[sizeof text - 1] = '\0';
    assert_int_equal(sb_url_init(&url, *state, text, rules, RULE_COUNT, &error), SABOT_ERR_CONFIG);
    text[sizeof text - 2] = '\0';
    assert_int_equal(sb_url_init(&url, *state, text, rules, RULE_COUNT, &error), SABOT_OK);
    sb_url_reset(&url);
}

static void no_memory_is_an_error(void **state)
{
    struct sb_env *env = *state;
    struct sb_url url;
    sabot_error error;

    sb_os_env_fail_allocation(env, 1);
    assert_int_equal(sb_url_init(&url, env, "memory:x", rules, RULE_COUNT, &error),
                     SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(env, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_is_a_scheme_a_rest_and_parameters),
        cmocka_unit_test(parameters_are_percent_decoded_but_the_rest_is_literal),
        cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(a_channel_without_parameters_says_so),
        cmocka_unit_test(an_endless_url_is_refused),
        cmocka_unit_test(no_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_env, free_env);
}
