/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - numbers as people write them: in options, and in parameters of URLs.
 *
 * strtod and printf write the decimal point as the locale wants it, and the program around us may
 * have set one: so the point is put in on the way to strtod, and taken out behind printf.
 * Threads: stateless. Memory: the stack. */
#include "base/parse.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

bool sb_parse_bool(const char *text, bool *value_out)
{
    const bool is_true = strcmp(text, "true") == 0;

    if (!is_true && strcmp(text, "false") != 0)
        return false;
    *value_out = is_true;
    return true;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Digits up to the first other byte, counted down or up: so the lowest number has room too. */
static bool parse_digits(const char **text, bool is_negative, int64_t *number_out)
{
    const char *at = *text;
    int64_t number = 0;

    if (!is_digit(*at))
        return false;
    for (; is_digit(*at); at++) {
        const int64_t digit = is_negative ? '0' - *at : *at - '0';

        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    *text = at;
    *number_out = number;
    return true;
}

bool sb_parse_int64(const char *text, int64_t *number_out)
{
    const bool is_negative = *text == '-';
    int64_t number;

    text += is_negative;
    if (!parse_digits(&text, is_negative, &number) || *text != '\0')
        return false;
    *number_out = number;
    return true;
}

bool sb_parse_bytes(const char *text, int64_t *bytes_out)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},          {"B", 1},           {"KiB", 1LL << 10},
                 {"MiB", 1 << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}};
    int64_t bytes;

    if (!parse_digits(&text, false, &bytes))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        if (__builtin_mul_overflow(bytes, units[i].bytes, &bytes))
            return false;
        *bytes_out = bytes;
        return true;
    }
    return false;
}

/* --- Floating point --------------------------------------------------------------------------- */

enum { POINT_MAX = 8 /* bytes of a decimal point */, TEXT_MAX = 512 };

/* What stands between the digits in "0.5" here. */
static size_t find_point(char point_out[POINT_MAX])
{
    char half[POINT_MAX + 2];
    const int size = snprintf(half, sizeof half, "%.1f", 0.5);

    SB_ASSERT(size >= 3 && (size_t)size < sizeof half);
    memcpy(point_out, half + 1, (size_t)size - 2);
    return (size_t)size - 2;
}

/* Replace one text by another in `text`, which has room for it; nothing when it is not there. */
static void replace(char *text, const char *from, size_t from_size, const char *to, size_t to_size)
{
    char *at = text;

    while (*at != '\0' && strncmp(at, from, from_size) != 0)
        at++;
    if (*at == '\0')
        return;
    memmove(at + to_size, at + from_size, strlen(at + from_size) + 1);
    memcpy(at, to, to_size);
}

bool sb_parse_float64(const char *text, double *number_out)
{
    const size_t size = strnlen(text, TEXT_MAX);
    char point[POINT_MAX];
    char local[TEXT_MAX + POINT_MAX];
    char *end;

    if (size == 0 || size == TEXT_MAX || strspn(text, "-.0123456789eE+") != size || *text == '+')
        return false;
    const size_t point_size = find_point(point);
    memcpy(local, text, size + 1);
    replace(local, ".", 1, point, point_size);
    const double number = strtod(local, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *number_out = number;
    return true;
}

void sb_write_float64(char text_out[SB_FLOAT64_TEXT_SIZE], double number)
{
    char point[POINT_MAX];
    const size_t point_size = find_point(point);

    (void)snprintf(text_out, SB_FLOAT64_TEXT_SIZE, "%.15g", number);
    if (strtod(text_out, NULL) != number)
        (void)snprintf(text_out, SB_FLOAT64_TEXT_SIZE, "%.17g", number);
    replace(text_out, point, point_size, ".", 1);
}
