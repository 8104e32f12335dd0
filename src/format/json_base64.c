/* SPDX-License-Identifier: Apache-2.0 */
/* json_base64.c - binary fields in JSON (RFC 4648, section 4). Threads: stateless. */
#include "format/json.h"

static const uint8_t letters[64] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 64 and more: no letter of base64. */
static uint32_t letter_value(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26u;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52u;
    return letter == '+' ? 62 : letter == '/' ? 63 : 64;
}

/* Four letters of which `padding` are missing at the end. False: they say nothing. */
static bool decode_group(const uint8_t *group, size_t padding, uint8_t *out)
{
    uint32_t word = 0;

    for (size_t i = 0; i < 4; i++) {
        const uint32_t value = i < 4 - padding ? letter_value(group[i]) : 0;

        if (value >= 64)
            return false;
        word = word << 6 | value;
    }
    if ((word & ((UINT32_C(1) << (8 * padding)) - 1)) != 0)
        return false;
    for (size_t i = 0; i < 3 - padding; i++)
        out[i] = (uint8_t)(word >> (16 - 8 * i));
    return true;
}

bool sb_json_base64_decode(uint8_t *bytes, size_t size, size_t *size_out)
{
    uint8_t *out = bytes;
    size_t padding = 0;

    *size_out = 0;
    if (size == 0)
        return true;
    if (size % 4 != 0)
        return false;
    while (padding < 2 && bytes[size - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i + 4 < size; i += 4, out += 3)
        if (!decode_group(bytes + i, 0, out))
            return false;
    if (!decode_group(bytes + size - 4, padding, out))
        return false;
    *size_out = size / 4 * 3 - padding;
    return true;
}

uint8_t *sb_json_base64_encode(uint8_t *out, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        const size_t count = size < 3 ? size : 3;
        uint32_t word = 0;

        for (size_t i = 0; i < 3; i++)
            word = word << 8 | (i < count ? bytes[i] : 0u);
        for (size_t i = 0; i < 4; i++)
            out[i] = i <= count ? letters[word >> (18 - 6 * i) & 63] : '=';
        out += 4;
        bytes += count;
        size -= count;
    }
    return out;
}
