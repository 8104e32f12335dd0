/* SPDX-License-Identifier: Apache-2.0 */
/* window_time.h - which windows hold a time, and which times a window holds.
 *
 * Windows of a fixed size have a number k: window k is [k * slide + offset, k * slide + offset +
 * size). They share panes, the longest pieces that no window's edge cuts: of length gcd(size,
 * slide), from `offset` on (Li, Maier et al., "No Pane, No Gain", SIGMOD Record 2005; stream
 * slicing: Traub et al., "Scotty", ICDE 2018). So a record is added to one pane, and a window is
 * put together of its panes.
 *
 * All arithmetic is done in 128 bits and cut to int64 at the end, so that there is no time for
 * which it is wrong. Time passes a millisecond when the watermark is beyond it.
 *
 * Threads: stateless. */
#ifndef SB_OP_WINDOW_TIME_H
#define SB_OP_WINDOW_TIME_H

#include <sabot/window.h>

#include "base/env.h"

__extension__ typedef __int128 sb_int128;

/* Sizes are 1 or more; offset is anything. */
struct sb_window_grid {
    int64_t size_ms;
    int64_t slide_ms; /* of tumbling windows the size */
    int64_t offset_ms;
    int64_t pane_ms;
};

/* Round down, whatever the sign; `by` > 0. */
static inline sb_int128 sb_floor_divide(sb_int128 value, int64_t by)
{
    if (__builtin_expect(value >= INT64_MIN && value <= INT64_MAX, 1)) {
        const int64_t small = (int64_t)value;
        const int64_t quotient = small / by;

        return (sb_int128)quotient - (small % by < 0);
    }
    return value / by - (value % by < 0);
}

static inline int64_t sb_cut_to_int64(sb_int128 value)
{
    if (value < INT64_MIN)
        return INT64_MIN;
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static inline int64_t sb_time_add(int64_t time_ms, int64_t more_ms)
{
    return sb_cut_to_int64((sb_int128)time_ms + more_ms);
}

/* The two ends of time have no window of their own: a time there counts as the one beside it. So no
 * window that is cut is empty, and none ends at a millisecond that means "no watermark yet". */
static inline int64_t sb_time_inside(int64_t time_ms)
{
    if (time_ms == INT64_MIN)
        return INT64_MIN + 1;
    return time_ms == INT64_MAX ? INT64_MAX - 1 : time_ms;
}
static inline int64_t sb_cut_start(sb_int128 start)
{
    return sb_time_inside(sb_cut_to_int64(start));
}
static inline int64_t sb_cut_end(sb_int128 end)
{
    return end <= INT64_MIN + 1 ? INT64_MIN + 2 : sb_cut_to_int64(end);
}

/* The last millisecond of a window that ends then, by which it fires. */
static inline int64_t sb_window_last_ms(int64_t end_ms)
{
    return end_ms - 1;
}

static inline sb_int128 sb_window_start(const struct sb_window_grid *grid, sb_int128 number)
{
    return number * grid->slide_ms + grid->offset_ms;
}
static inline sabot_window_bounds sb_window_bounds(const struct sb_window_grid *grid,
                                                   sb_int128 number)
{
    const sb_int128 start = sb_window_start(grid, number);

    return (sabot_window_bounds){sb_cut_start(start), sb_cut_end(start + grid->size_ms)};
}

/* The first and last window that hold a time; none when first > last. */
static inline sb_int128 sb_window_last_of(const struct sb_window_grid *grid, int64_t time_ms)
{
    return sb_floor_divide((sb_int128)time_ms - grid->offset_ms, grid->slide_ms);
}
static inline sb_int128 sb_window_first_of(const struct sb_window_grid *grid, int64_t time_ms)
{
    const sb_int128 before = (sb_int128)time_ms - grid->offset_ms - grid->size_ms;

    return sb_floor_divide(before, grid->slide_ms) + 1;
}

static inline sabot_window_bounds sb_window_pane(const struct sb_window_grid *grid, int64_t time_ms)
{
    const sb_int128 number = sb_floor_divide((sb_int128)time_ms - grid->offset_ms, grid->pane_ms);
    const sb_int128 start = number * grid->pane_ms + grid->offset_ms;

    return (sabot_window_bounds){sb_cut_start(start), sb_cut_end(start + grid->pane_ms)};
}

static inline int64_t sb_greatest_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

#endif
