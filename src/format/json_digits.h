/* SPDX-License-Identifier: Apache-2.0 */
/* json_digits.h - decimal digits, 8 at a time; for the JSON codec only.
 *
 * (Eight digits in one word: the well-known trick of Johnny Lee and Daniel Lemire.) */
#ifndef SB_FORMAT_JSON_DIGITS_H
#define SB_FORMAT_JSON_DIGITS_H

#include <stdint.h>
#include <string.h>

static const uint64_t sb_json_powers[20] = {1,
                                            10,
                                            100,
                                            1000,
                                            10000,
                                            100000,
                                            1000000,
                                            10000000,
                                            100000000,
                                            1000000000,
                                            10000000000,
                                            100000000000,
                                            1000000000000,
                                            10000000000000,
                                            100000000000000,
                                            1000000000000000,
                                            10000000000000000,
                                            100000000000000000,
                                            1000000000000000000,
                                            UINT64_C(10000000000000000000)};

static const double sb_json_scales[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                          1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                          1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* Up to 8 digits at the beginning of a word of 8 bytes: their value; *count_out: how many. */
static inline uint32_t sb_json_digits8(uint64_t word, uint32_t *count_out)
{
    const uint64_t values = word ^ UINT64_C(0x3030303030303030);
    /* The high bit of a byte: it is no digit. A carry only reaches bytes behind such a one. */
    const uint64_t others =
        ((values + UINT64_C(0x7676767676767676)) | values) & UINT64_C(0x8080808080808080);
    const uint32_t count = others == 0 ? 8 : (uint32_t)__builtin_ctzll(others) / 8;
    uint64_t sum;

    *count_out = count;
    if (count == 0)
        return 0;
    sum = values << (64 - 8 * count); /* as if zeros stood before them */
    sum = (sum * 10 + (sum >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    sum = (sum * 100 + (sum >> 16)) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(sum * 10000 + (sum >> 32));
}

/* As many digits as stand at `at`, at most 19; their number is the difference to the result. At
 * least 4 bytes of the same record lie before `at`, as before any value of an object. */
static inline const uint8_t *sb_json_digits(const uint8_t *at,
                                            const uint8_t *end,
                                            uint64_t *value_out)
{
    const uint8_t *start = at;
    uint64_t value = 0;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    while (at - start <= 8) {
        const size_t left = (size_t)(end - at);
        uint64_t word;
        uint32_t count;
        uint32_t part;

        if (left >= 8) {
            memcpy(&word, at, sizeof word);
        } else if (left >= 4) {
            memcpy(&word, end - 8, sizeof word);
            word >>= 8 * (8 - left); /* zeros come in behind: no digits */
        } else {
            break;
        }
        part = sb_json_digits8(word, &count);
        value = value * sb_json_powers[count] + part;
        at += count;
        if (count < 8) {
            *value_out = value;
            return at;
        }
    }
#endif
    for (; at - start < 19 && at < end && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *value_out = value;
    return at;
}

#endif
