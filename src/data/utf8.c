/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c - is a text well-formed UTF-8?
 *
 * On the path of every text that enters a column. Most text is ASCII: 16 bytes at a time are passed
 * by one test of their high bits (8 without SSE2), and only what is left is read as sequences (RFC
 * 3629, table 3-7 of Unicode):
 *
 *   first    second   third    fourth
 *   00..7F
 *   C2..DF   80..BF
 *   E0       A0..BF   80..BF              no overlong forms
 *   E1..EC   80..BF   80..BF
 *   ED       80..9F   80..BF              no surrogates
 *   EE..EF   80..BF   80..BF
 *   F0       90..BF   80..BF   80..BF     no overlong forms
 *   F1..F3   80..BF   80..BF   80..BF
 *   F4       80..8F   80..BF   80..BF     nothing above U+10FFFF
 *
 * Threads: stateless. */
#include "data/batch.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static uint64_t high_bits(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word & UINT64_C(0x8080808080808080);
}

/* The same of fewer than 8 bytes, by reads that overlap. */
static uint64_t high_bits_short(const uint8_t *bytes, size_t size)
{
    uint32_t first = 0;
    uint32_t last = 0;

    if (size >= 4) {
        memcpy(&first, bytes, sizeof first);
        memcpy(&last, bytes + size - sizeof last, sizeof last);
        return (first | last) & UINT32_C(0x80808080);
    }
    return size == 0 ? 0 : (bytes[0] | bytes[size / 2] | bytes[size - 1]) & 0x80;
}

/* How many of the bytes are ASCII: all, or fewer than there are, but never too many. */
static size_t ascii_prefix(const uint8_t *bytes, size_t size)
{
    size_t done = 0;

#ifdef __SSE2__
    for (; size - done >= 16; done += 16)
        if (_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)(bytes + done))) != 0)
            return done;
#endif
    for (; size - done >= 8; done += 8)
        if (high_bits(bytes + done) != 0)
            return done;
    if (size >= 8)
        return high_bits(bytes + size - 8) == 0 ? size : done;
    return high_bits_short(bytes, size) == 0 ? size : done;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of the sequence at `bytes`, of which `size` > 0 are there; 0: not well-formed. */
static size_t sequence_size(const uint8_t *bytes, size_t size)
{
    const uint8_t first = bytes[0];
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t length;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length > size)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_continuation(bytes[i]))
            return 0;
    return length;
}

bool sb_utf8_valid(const void *bytes, size_t size)
{
    const uint8_t *text = bytes;
    size_t done = 0;

    while (done < size) {
        size_t length = ascii_prefix(text + done, size - done);

        if (length == 0)
            length = sequence_size(text + done, size - done);
        if (length == 0)
            return false;
        done += length;
    }
    return true;
}
