/* SPDX-License-Identifier: Apache-2.0 */
/* json_block.h - 16 bytes of a string at one look; for the JSON codec only.
 *
 * SSE2 is part of every x86-64 CPU, so nothing is asked at run time; elsewhere the same is done in
 * two 64-bit words. Bit n of a result is about byte n. */
#ifndef SB_FORMAT_JSON_BLOCK_H
#define SB_FORMAT_JSON_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { SB_JSON_BLOCK = 16 };

struct sb_json_block {
    uint32_t stops; /* quotes, backslashes, control characters */
    uint32_t high;  /* not ASCII */
};

/* The same byte by byte: the fallback, and the oracle of the other in tests. */
static inline struct sb_json_block sb_json_block_plain(const uint8_t *bytes)
{
    struct sb_json_block block = {0, 0};

    for (uint32_t i = 0; i < SB_JSON_BLOCK; i++) {
        const uint8_t byte = bytes[i];

        block.stops |= (uint32_t)(byte == '"' || byte == '\\' || byte < 0x20) << i;
        block.high |= (uint32_t)(byte >> 7) << i;
    }
    return block;
}

static inline struct sb_json_block sb_json_block(const uint8_t *bytes)
{
#ifdef __SSE2__
    const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    const __m128i control = _mm_set1_epi8(0x1f);
    const __m128i stops = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))),
                                       _mm_cmpeq_epi8(_mm_min_epu8(block, control), block));

    return (struct sb_json_block){(uint32_t)_mm_movemask_epi8(stops),
                                  (uint32_t)_mm_movemask_epi8(block)};
#else
    return sb_json_block_plain(bytes);
#endif
}

/* Bytes that end the simplest look: stops, and what is not ASCII. */
static inline uint32_t sb_json_block_ends(const uint8_t *bytes)
{
#ifdef __SSE2__
    const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    /* As signed numbers, control characters and what is not ASCII are below a blank. */
    const __m128i ends = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                   _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))),
                                      _mm_cmplt_epi8(block, _mm_set1_epi8(' ')));

    return (uint32_t)_mm_movemask_epi8(ends);
#else
    const struct sb_json_block block = sb_json_block_plain(bytes);

    return block.stops | block.high;
#endif
}

/* Of 16 bytes, those of `among` that are not ASCII are `high`: are they all sequences of two bytes,
 * C2..DF 80..BF? Most text of European languages is. False: not, or not known. */
static inline bool sb_json_block_latin(const uint8_t *bytes, uint32_t high)
{
#ifdef __SSE2__
    const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    /* As signed numbers 80..BF are less than C0, and those less than C2. */
    const uint32_t below_c0 =
        (uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(block, _mm_set1_epi8((char)0xc0)));
    const uint32_t below_c2 =
        (uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(block, _mm_set1_epi8((char)0xc2)));
    const uint32_t below_e0 =
        (uint32_t)_mm_movemask_epi8(_mm_cmplt_epi8(block, _mm_set1_epi8((char)0xe0)));
    const uint32_t leads = high & below_e0 & ~below_c2;
    const uint32_t tails = high & below_c0;

    return leads << 1 == tails && (leads | tails) == high;
#else
    (void)bytes;
    return high == 0;
#endif
}

/* Are `size` bytes the same? Both are read exactly that far. */
static inline bool sb_json_same(const uint8_t *one, const uint8_t *other, size_t size)
{
#ifdef __SSE2__
    if (size >= 16 && size <= 48) {
        const size_t last = size - 16;
        __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)one),
                                      _mm_loadu_si128((const __m128i *)(const void *)other));

        same = _mm_and_si128(
            same, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(one + last)),
                                 _mm_loadu_si128((const __m128i *)(const void *)(other + last))));
        if (size > 32)
            same = _mm_and_si128(
                same, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(one + 16)),
                                     _mm_loadu_si128((const __m128i *)(const void *)(other + 16))));
        return _mm_movemask_epi8(same) == 0xffff;
    }
#endif
    if (size >= 8 && size <= 16) {
        uint64_t first[2];
        uint64_t last[2];

        memcpy(&first[0], one, 8);
        memcpy(&first[1], other, 8);
        memcpy(&last[0], one + size - 8, 8);
        memcpy(&last[1], other + size - 8, 8);
        return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
    }
    if (size >= 4 && size < 8) {
        uint32_t first[2];
        uint32_t last[2];

        memcpy(&first[0], one, 4);
        memcpy(&first[1], other, 4);
        memcpy(&last[0], one + size - 4, 4);
        memcpy(&last[1], other + size - 4, 4);
        return ((first[0] ^ first[1]) | (last[0] ^ last[1])) == 0;
    }
    return memcmp(one, other, size) == 0;
}

#endif
