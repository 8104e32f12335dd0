/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_url.c - a channel's URL of any bytes: taken apart within its rules, or refused with a text.
 */
#include <stdlib.h>
#include <string.h>

#include "channel/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULE_COUNT = 4 };

static const struct sb_url_rule rules[RULE_COUNT] = {
    {"partitions", SB_URL_INT, 1, 4096},
    {"bytes", SB_URL_BYTES, 1024, INT64_MAX},
    {"follow", SB_URL_BOOL, 0, 0},
    {"note", SB_URL_TEXT, 0, 0},
};

static void look_at(const struct sb_url *url, const char *text)
{
    const size_t scheme_size = sb_url_scheme(text);

    SB_ASSERT(strlen(url->scheme) == scheme_size);
    SB_ASSERT(strncmp(url->scheme, text, scheme_size) == 0);
    SB_ASSERT(strncmp(url->rest, text + scheme_size + 1, strlen(url->rest)) == 0);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct sb_url_value *value = &url->values[i];

        SB_ASSERT(sb_url_number(url, i, 7) == (value->given ? value->number : 7));
        if (value->given && (rules[i].type == SB_URL_INT || rules[i].type == SB_URL_BYTES))
            SB_ASSERT(value->number >= rules[i].min && value->number <= rules[i].max);
        if (value->given)
            SB_ASSERT(strlen(value->text) <= SB_URL_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_env *env;
    struct sb_url url;
    sabot_error error = {.status = SABOT_OK};
    char *text = malloc(size + 1);

    if (text == NULL || sb_os_env_create(&env, NULL) != SABOT_OK)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (sb_url_init(&url, env, text, rules, RULE_COUNT, &error) == SABOT_OK)
        look_at(&url, text);
    else
        SB_ASSERT(error.status == SABOT_ERR_CONFIG && error.text[0] != '\0' && url.text == NULL);
    sb_url_reset(&url);
    sb_os_env_destroy(env);
    free(text);
    return 0;
}
