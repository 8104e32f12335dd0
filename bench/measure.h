/* SPDX-License-Identifier: Apache-2.0 */
/* measure.h - what benchmarks share: a clock, random numbers, percentiles. */
#ifndef SB_BENCH_MEASURE_H
#define SB_BENCH_MEASURE_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* xorshift64 (G. Marsaglia, 2003); the same numbers in each run. */
static inline uint64_t draw(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static inline int by_number(const void *one, const void *other)
{
    const int64_t a = *(const int64_t *)one;
    const int64_t b = *(const int64_t *)other;

    return a < b ? -1 : a > b;
}

/* Of nanoseconds, or of ratios in millionths: thousandths of them, which are sorted here. */
static inline double percentile(int64_t *samples, size_t count, double share)
{
    qsort(samples, count, sizeof *samples, by_number);
    return count == 0 ? 0 : (double)samples[(size_t)((double)(count - 1) * share)] / 1000;
}

#endif
