/* SPDX-License-Identifier: Apache-2.0 */
/* json_number.c - numbers, read and written exactly.
 *
 * Reading gives the nearest double, ties to even. What that takes grows with what is written:
 *
 *   up to 2^53 and a power of ten up to 22      both are exact doubles: one rounding (Clinger 1990)
 *   up to 19 digits and a power up to 27        the same with the 64-bit mantissa of long double,
 *                                               unless that lies in the middle of two doubles
 *   all else                                    strtod
 *
 * strtod and snprintf follow the locale of the process, which the app may have set. So the one is
 * only given digits and an exponent, and of the other's output only the digits are used: a decimal
 * point never plays a part.
 *
 * Threads: stateless. Memory: none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/json.h"

#include "format/json_digits.h"

enum {
    EXPONENT_MAX = 100 * 1000 * 1000, /* beyond any number of digits that fits in a record */
    DIGITS_MAX = 800, /* decide any double: halfway between two has 767 digits at most */
    EXACT_POWER_MAX = 22,
    LONG_POWER_MAX = 27,
    SHORT_DIGITS = 15, /* so many digits always survive: text, double, text */
};

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* --- The text of a number --------------------------------------------------------------------- */

static const uint8_t *bad_number(struct sb_json_reader *reader, const uint8_t *at)
{
    return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                         at == reader->end ? "the record ends inside of a number"
                                           : "a digit has to come in a number");
}

/* The exponent behind its e, added to that of the number. */
static const uint8_t *read_exponent(struct sb_json_reader *reader,
                                    const uint8_t *at,
                                    struct sb_json_number *number)
{
    bool negative = false;
    int64_t exponent = 0;

    if (at < reader->end && (*at == '+' || *at == '-'))
        negative = *at++ == '-';
    if (at == reader->end || !is_digit(*at))
        return bad_number(reader, at);
    for (; at < reader->end && is_digit(*at); at++)
        if (exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (*at - '0');
    number->exponent += negative ? -exponent : exponent;
    number->integer = false;
    return at;
}

/* More digits than a mantissa takes: begin again at the first, and keep 19 that matter. */
static const uint8_t *read_long(struct sb_json_reader *reader,
                                const uint8_t *at,
                                struct sb_json_number *number)
{
    const uint64_t full = UINT64_C(1000000000000000000); /* 19 digits */
    const uint8_t *point = NULL;

    number->mantissa = 0;
    number->exponent = 0;
    for (; at < reader->end; at++) {
        if (*at == '.' && point == NULL) {
            point = at;
            if (at + 1 == reader->end || !is_digit(at[1]))
                return bad_number(reader, at + 1);
            continue;
        }
        if (!is_digit(*at))
            break;
        if (number->mantissa < full) {
            number->mantissa = number->mantissa * 10 + (uint64_t)(*at - '0');
            number->exponent -= point != NULL;
        } else {
            number->cut = number->cut || *at != '0';
            number->exponent += point == NULL;
        }
    }
    number->integer = point == NULL;
    return at;
}

static const uint8_t *read_fraction(struct sb_json_reader *reader,
                                    const uint8_t *at,
                                    struct sb_json_number *number)
{
    const size_t integer_digits = (size_t)(at - number->text);
    const uint8_t *digits = at + 1;
    uint64_t fraction;
    size_t count;

    at = sb_json_digits(digits, reader->end, &fraction);
    count = (size_t)(at - digits);
    if (count == 0)
        return bad_number(reader, at);
    if (integer_digits + count > 19 || (at < reader->end && is_digit(*at)))
        return read_long(reader, number->text, number);
    number->mantissa = number->mantissa * sb_json_powers[count] + fraction;
    number->exponent = -(int64_t)count;
    number->integer = false;
    return at;
}

const uint8_t *sb_json_number(struct sb_json_reader *reader,
                              const uint8_t *at,
                              struct sb_json_number *number)
{
    const uint8_t *end = reader->end;

    number->exponent = 0;
    number->integer = true;
    number->cut = false;
    number->negative = *at == '-';
    at += number->negative;
    number->text = at;
    at = sb_json_digits(at, end, &number->mantissa);
    if (at == number->text)
        return bad_number(reader, at);
    if (*number->text == '0' && at - number->text > 1)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, number->text, NULL,
                             "a number has no zeros in front");
    if (at == end)
        return at;
    if (*at == '.')
        at = read_fraction(reader, at, number);
    else if (is_digit(*at))
        at = read_long(reader, number->text, number);
    if (at != NULL && at < end && (*at | 0x20) == 'e')
        at = read_exponent(reader, at + 1, number);
    return at;
}

/* --- Its value -------------------------------------------------------------------------------- */

bool sb_json_number_int64(const struct sb_json_number *number, int64_t *value_out)
{
    const uint64_t limit = (uint64_t)INT64_MAX + number->negative;

    SB_ASSERT(number->integer);
    if (number->cut || number->exponent != 0 || number->mantissa > limit)
        return false;
    *value_out = (int64_t)(number->negative ? 0 - number->mantissa : number->mantissa);
    return true;
}

/* Up to DIGITS_MAX significant digits and an exponent, without a point, for strtod. */
static double by_strtod(const uint8_t *at, const uint8_t *end, int64_t exponent_of_text)
{
    char text[DIGITS_MAX + 32];
    size_t size = 0;
    bool behind_point = false;
    bool lost = false;
    int64_t exponent = exponent_of_text;

    for (; at < end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            behind_point = true;
        } else if (size < DIGITS_MAX) {
            if (size > 0 || *at != '0')
                text[size++] = (char)*at;
            exponent -= behind_point;
        } else {
            lost = lost || *at != '0';
            exponent += !behind_point;
        }
    }
    /* What was lost only says that the number is a little larger. */
    if (lost) {
        text[size++] = '1';
        exponent--;
    }
    (void)snprintf(text + size, sizeof text - size, "e%lld", (long long)exponent);
    return size == 0 ? 0 : strtod(text, NULL);
}

#if __LDBL_MANT_DIG__ == 64
/* With 64 bits of mantissa: right unless what comes out is just the middle of two doubles, since it
 * is itself rounded. */
static bool by_long_double(uint64_t mantissa, int64_t exponent, double *value_out)
{
    static const long double long_powers[LONG_POWER_MAX + 1] = {
        1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,  1e7L,  1e8L,  1e9L,
        1e10L, 1e11L, 1e12L, 1e13L, 1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L,
        1e20L, 1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};
    long double value = (long double)mantissa;
    uint64_t bits;

    if (exponent < -LONG_POWER_MAX || exponent > LONG_POWER_MAX)
        return false;
    if (exponent < 0)
        value /= long_powers[-exponent];
    else
        value *= long_powers[exponent];
    memcpy(&bits, &value, sizeof bits);
    *value_out = (double)value;
    return (bits & 0x7ff) != 0x400;
}
#endif

double sb_json_number_float64(const struct sb_json_number *number, const uint8_t *end)
{
    const uint64_t exact = UINT64_C(1) << 53;
    const int64_t exponent = number->exponent;
    double value;

    if (!number->cut && number->mantissa <= exact && exponent >= -EXACT_POWER_MAX &&
        exponent <= EXACT_POWER_MAX) {
        value = (double)number->mantissa;
        value = exponent < 0 ? value / sb_json_scales[-exponent] : value * sb_json_scales[exponent];
        return number->negative ? -value : value;
    }
#if __LDBL_MANT_DIG__ == 64
    if (!number->cut && by_long_double(number->mantissa, exponent, &value))
        return number->negative ? -value : value;
#endif
    if (number->cut) {
        /* The exponent of the text itself: without what the mantissa's digits took of it. */
        struct sb_json_number again = {.text = number->text};
        struct sb_json_reader reader = {.end = end};

        (void)read_long(&reader, number->text, &again);
        value = by_strtod(number->text, end, exponent - again.exponent);
    } else {
        char text[64];

        (void)snprintf(text, sizeof text, "%llue%lld", (unsigned long long)number->mantissa,
                       (long long)exponent);
        value = strtod(text, NULL);
    }
    return number->negative ? -value : value;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                            "25262728293031323334353637383940414243444546474849"
                            "50515253545556575859606162636465666768697071727374"
                            "75767778798081828384858687888990919293949596979899";

static uint32_t count_digits(uint64_t value)
{
    /* 1233/4096 is the logarithm of 2, a little too small: right, or one too few. */
    const uint32_t count = (64 - (uint32_t)__builtin_clzll(value | 1)) * 1233 >> 12;

    return count + (value >= sb_json_powers[count] || value == 0);
}

static uint8_t *write_digits(uint8_t *out, uint64_t value)
{
    uint8_t *end = out + count_digits(value);

    for (out = end; value >= 100; value /= 100) {
        out -= 2;
        memcpy(out, pairs + value % 100 * 2, 2);
    }
    if (value >= 10)
        memcpy(out - 2, pairs + value * 2, 2);
    else
        out[-1] = (uint8_t)('0' + value);
    return end;
}

uint8_t *sb_json_write_int64(uint8_t *out, int64_t value)
{
    if (value < 0) {
        *out++ = '-';
        return write_digits(out, 0 - (uint64_t)value);
    }
    return write_digits(out, (uint64_t)value);
}

/* Is `value` the double nearest to *mantissa_out / 10^scale? Both of these are exact doubles, so
 * the division rounds but once, as reading does. */
static bool has_scale(double value, int32_t scale, uint64_t *mantissa_out)
{
    *mantissa_out = (uint64_t)(value * sb_json_scales[scale] + 0.5);
    return (double)*mantissa_out / sb_json_scales[scale] == value;
}

/* The shortest decimal of a double is mantissa * 10^exponent. No two decimals of up to 15 digits
 * are the same double, so that one that fits is the only one: try cents first, then 15 digits. */
static bool shortest_of_15(double value, uint64_t *mantissa_out, int32_t *exponent_out)
{
    int32_t scale = 2;
    uint64_t mantissa;

    if (value >= 1e15 || value < 1e-7)
        return false;
    if (value >= 1e13 || !has_scale(value, scale, &mantissa)) {
        for (scale = 0; value * sb_json_scales[scale] < 1e14;)
            scale++;
        if (!has_scale(value, scale, &mantissa))
            return false;
    }
    for (; mantissa % 10 == 0; mantissa /= 10)
        scale--;
    *mantissa_out = mantissa;
    *exponent_out = -scale;
    return true;
}

/* Any other: print with more and more digits until it reads back. */
static void shortest(double value, uint64_t *mantissa_out, int32_t *exponent_out)
{
    /* Denormal doubles may need fewer than 15. */
    for (int digits = isnormal(value) ? SHORT_DIGITS : 1;; digits++) {
        char text[64];
        const char *at = text;
        uint64_t mantissa = 0;
        long exponent;

        (void)snprintf(text, sizeof text, "%.*e", digits - 1, value);
        for (; *at != 'e'; at++)
            if (is_digit((uint8_t)*at))
                mantissa = mantissa * 10 + (uint64_t)(*at - '0');
        exponent = strtol(at + 1, NULL, 10) - (digits - 1);
        (void)snprintf(text, sizeof text, "%llue%ld", (unsigned long long)mantissa, exponent);
        SB_ASSERT(digits <= 17);
        if (strtod(text, NULL) != value)
            continue;
        for (; mantissa % 10 == 0; mantissa /= 10)
            exponent++;
        *mantissa_out = mantissa;
        *exponent_out = (int32_t)exponent;
        return;
    }
}

/* As JavaScript does: with an exponent only when the number is very small or very large. */
static uint8_t *write_decimal(uint8_t *out, uint64_t mantissa, int32_t exponent)
{
    uint8_t digits[20] = {0};
    const int32_t count = (int32_t)(write_digits(digits, mantissa) - digits);
    int32_t point = count + exponent; /* so many digits stand before it */

    if (point > 21 || point <= -6) {
        *out++ = digits[0];
        if (count > 1) {
            *out++ = '.';
            memcpy(out, digits + 1, (size_t)count - 1);
            out += count - 1;
        }
        *out++ = 'e';
        return sb_json_write_int64(out, point - 1);
    }
    if (point <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (; point < 0; point++)
            *out++ = '0';
        memcpy(out, digits, (size_t)count);
        return out + count;
    }
    if (point >= count) {
        memcpy(out, digits, (size_t)count);
        memset(out + count, '0', (size_t)(point - count));
        return out + point;
    }
    memcpy(out, digits, (size_t)point);
    out[point] = '.';
    memcpy(out + point + 1, digits + point, (size_t)(count - point));
    return out + count + 1;
}

uint8_t *sb_json_write_float64(uint8_t *out, double value)
{
    uint64_t mantissa = 0;
    int32_t exponent = 0;

    SB_ASSERT(isfinite(value));
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
    }
    if (value != 0 && !shortest_of_15(value, &mantissa, &exponent))
        shortest(value, &mantissa, &exponent);
    return write_decimal(out, mantissa, exponent);
}
