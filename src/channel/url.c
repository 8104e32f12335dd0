/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - takes channel URLs apart. Runs once per channel, before anything else; everything here is
 * text of the user's, so each mistake is an error that says what was wrong and what would be right.
 * Memory: one copy of the text, cut into strings in place (decoding never makes a text longer). */
#include "channel/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t sb_url_scheme(const char *text)
{
    size_t size = 0;

    if (!is_lower(text[0]))
        return 0;
    while (is_lower(text[size]) || is_digit(text[size]) || text[size] == '+' || text[size] == '-')
        size++;
    return text[size] == ':' ? size : 0;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode %XX in place. A NUL byte would end the text unseen, so %00 is refused. */
static bool decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        const int high = hex_value(from[1]);
        const int low = high < 0 ? -1 : hex_value(from[2]);
        if (low < 0 || high * 16 + low == 0)
            return false;
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = '\0';
    return true;
}

static bool parse_bool(const char *text, int64_t *number_out)
{
    bool value = false;

    if (!sb_parse_bool(text, &value))
        return false;
    *number_out = value;
    return true;
}

static bool in_range(const struct sb_url_rule *rule, int64_t number)
{
    return number >= rule->min && number <= rule->max;
}

static sabot_status set_value(const char *whole,
                              const struct sb_url_rule *rule,
                              struct sb_url_value *value,
                              const char *text,
                              sabot_error *error)
{
    int64_t number = 0;

    if (value->given)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: parameter \"%s\" is given twice", whole,
                           rule->name);
    switch (rule->type) {
    case SB_URL_BOOL:
        if (!parse_bool(text, &number))
            return sabot_raise(error, SABOT_ERR_CONFIG, "%s: %s=%s: expected true or false", whole,
                               rule->name, text);
        break;
    case SB_URL_INT:
        if (!sb_parse_int64(text, &number) || !in_range(rule, number))
            return sabot_raise(error, SABOT_ERR_CONFIG,
                               "%s: %s=%s: expected a number from %" PRId64 " to %" PRId64, whole,
                               rule->name, text, rule->min, rule->max);
        break;
    case SB_URL_BYTES:
        if (!sb_parse_bytes(text, &number) || !in_range(rule, number))
            return sabot_raise(error, SABOT_ERR_CONFIG,
                               "%s: %s=%s: expected bytes, such as 64MiB, from %" PRId64
                               " to %" PRId64,
                               whole, rule->name, text, rule->min, rule->max);
        break;
    case SB_URL_TEXT:
        if (*text == '\0')
            return sabot_raise(error, SABOT_ERR_CONFIG, "%s: %s is empty", whole, rule->name);
        break;
    }
    *value = (struct sb_url_value){.given = true, .number = number, .text = text};
    return SABOT_OK;
}

static sabot_status raise_unknown(const char *whole,
                                  const char *name,
                                  const struct sb_url_rule *rules,
                                  size_t rule_count,
                                  sabot_error *error)
{
    char known[512] = "";
    size_t used = 0;

    if (rule_count == 0)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: unknown parameter \"%s\": this kind of channel takes none", whole,
                           name);
    for (size_t i = 0; i < rule_count && used < sizeof known; i++) {
        const int length =
            snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", rules[i].name);

        used += length < 0 ? 0 : (size_t)length;
    }
    return sabot_raise(error, SABOT_ERR_CONFIG, "%s: unknown parameter \"%s\"; known: %s", whole,
                       name, known);
}

/* One `name=value`. */
static sabot_status parse_parameter(struct sb_url *url,
                                    const char *whole,
                                    char *parameter,
                                    const struct sb_url_rule *rules,
                                    size_t rule_count,
                                    sabot_error *error)
{
    char *equals = strchr(parameter, '=');

    if (equals == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: parameter \"%s\" has no value: write name=value", whole, parameter);
    *equals = '\0';
    if (!decode(parameter) || !decode(equals + 1))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: parameter \"%s\": '%%' must be followed by two hexadecimal digits "
                           "that are not 00",
                           whole, parameter);
    for (size_t i = 0; i < rule_count; i++) {
        if (strcmp(rules[i].name, parameter) == 0)
            return set_value(whole, &rules[i], &url->values[i], equals + 1, error);
    }
    return raise_unknown(whole, parameter, rules, rule_count, error);
}

static sabot_status parse(struct sb_url *url,
                          const char *whole,
                          size_t scheme_size,
                          const struct sb_url_rule *rules,
                          size_t rule_count,
                          sabot_error *error)
{
    char *next;

    url->text[scheme_size] = '\0';
    url->scheme = url->text;
    url->rest = url->text + scheme_size + 1;
    next = strchr(url->text + scheme_size + 1, '?');
    while (next != NULL) {
        char *parameter = next + 1;

        *next = '\0';
        next = strchr(parameter, '&');
        if (next != NULL)
            *next = '\0';
        SABOT_TRY(parse_parameter(url, whole, parameter, rules, rule_count, error));
    }
    return SABOT_OK;
}

sabot_status sb_url_init(struct sb_url *url,
                         const struct sb_env *env,
                         const char *text,
                         const struct sb_url_rule *rules,
                         size_t rule_count,
                         sabot_error *error)
{
    const size_t size = strlen(text);
    const size_t scheme_size = sb_url_scheme(text);
    sabot_status status;

    SB_ASSERT(rule_count <= SB_URL_RULES_MAX);
    *url = (struct sb_url){.env = env};
    if (size > SB_URL_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "channel URL of %zu bytes is longer than %d: %.64s...", size, SB_URL_MAX,
                           text);
    if (scheme_size == 0)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: not a channel URL: write scheme:rest, as in file:data.jsonl", text);
    url->text_size = size + 1;
    url->text = sb_alloc(env, url->text_size);
    if (url->text == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for the URL", text);
    memcpy(url->text, text, size + 1);
    status = parse(url, text, scheme_size, rules, rule_count, error);
    if (status != SABOT_OK)
        sb_url_reset(url);
    return status;
}

void sb_url_reset(struct sb_url *url)
{
    if (url->env != NULL)
        sb_free(url->env, url->text, url->text_size);
    *url = (struct sb_url){.env = url->env};
}

int64_t sb_url_number(const struct sb_url *url, size_t rule, int64_t default_number)
{
    SB_ASSERT(rule < SB_URL_RULES_MAX);
    return url->values[rule].given ? url->values[rule].number : default_number;
}
