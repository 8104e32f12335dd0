/* SPDX-License-Identifier: Apache-2.0 */
/* draw.h - the dice of a simulation: every decision of a seed comes from one stream of numbers.
 *
 * SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine. Thread: one. */
#ifndef SB_SIM_DRAW_H
#define SB_SIM_DRAW_H

#include <stdbool.h>
#include <stdint.h>

struct sb_draw {
    uint64_t state;
};

static inline uint64_t sb_draw_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31);
}

static inline uint64_t sb_draw(struct sb_draw *draw)
{
    draw->state += 0x9e3779b97f4a7c15U;
    return sb_draw_mix(draw->state);
}

/* 0..limit-1; `limit` is small beside 2^32, so that the bias does not matter. */
static inline uint32_t sb_draw_below(struct sb_draw *draw, uint32_t limit)
{
    return (uint32_t)(((sb_draw(draw) >> 32) * limit) >> 32);
}

/* Once in `times` draws; 0: never, and nothing is drawn. */
static inline bool sb_draw_one_in(struct sb_draw *draw, uint32_t times)
{
    return times != 0 && sb_draw_below(draw, times) == 0;
}

/* Small numbers as often as large ones: the exponent is drawn, then the rest. */
static inline uint32_t sb_draw_wide(struct sb_draw *draw, uint32_t limit)
{
    uint32_t below = 2U << sb_draw_below(draw, 31);

    if (below > limit)
        below = limit;
    return sb_draw_below(draw, below);
}

#endif
