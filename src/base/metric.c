/* SPDX-License-Identifier: Apache-2.0 */
/* metric.c - the histogram of delays.
 *
 *   value            bucket               width
 *   0 .. 31          value                1
 *   2^e .. 2^(e+1)   (e-4)*32 + 0 .. 31   2^(e-5)     e = 5 .. 39
 *
 * Larger values are counted in the last bucket; `max` knows the true one. */
#include "base/metric.h"

static uint32_t bucket_of(uint64_t value)
{
    if (value < SB_HISTOGRAM_STEPS)
        return (uint32_t)value;
    const uint32_t exponent = 63 - (uint32_t)__builtin_clzll(value);
    const uint32_t step = (uint32_t)(value >> (exponent - 5)) - SB_HISTOGRAM_STEPS;
    const uint32_t bucket = (exponent - 4) * SB_HISTOGRAM_STEPS + step;

    return bucket < SB_HISTOGRAM_BUCKETS ? bucket : SB_HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t upper_edge(uint32_t bucket)
{
    if (bucket < SB_HISTOGRAM_STEPS)
        return bucket;
    const uint32_t shift = bucket / SB_HISTOGRAM_STEPS - 1;
    const uint64_t step = bucket % SB_HISTOGRAM_STEPS + SB_HISTOGRAM_STEPS;

    return ((step + 1) << shift) - 1;
}

static void raise_max(struct sb_histogram *histogram, uint64_t value)
{
    if (value > sb_counter_get(&histogram->max))
        atomic_store_explicit(&histogram->max.value, value, memory_order_relaxed);
}

void sb_histogram_add(struct sb_histogram *histogram, uint64_t value, uint64_t count)
{
    if (count == 0)
        return;
    sb_counter_add(&histogram->buckets[bucket_of(value)], count);
    raise_max(histogram, value);
}

void sb_histogram_merge(struct sb_histogram *into, const struct sb_histogram *from)
{
    for (uint32_t i = 0; i < SB_HISTOGRAM_BUCKETS; i++)
        sb_counter_add(&into->buckets[i], sb_counter_get(&from->buckets[i]));
    raise_max(into, sb_counter_get(&from->max));
}

/* The bucket in which the value of this rank (from 1) lies. */
static uint32_t bucket_at(const struct sb_histogram *histogram, double rank)
{
    uint64_t below = 0;
    uint32_t last = 0;

    for (uint32_t i = 0; i < SB_HISTOGRAM_BUCKETS; i++) {
        const uint64_t count = sb_counter_get(&histogram->buckets[i]);

        if (count == 0)
            continue;
        below += count;
        last = i;
        if ((double)below >= rank)
            break;
    }
    return last;
}

int64_t sb_histogram_at(const struct sb_histogram *histogram, double fraction)
{
    const uint64_t max = sb_counter_get(&histogram->max);
    uint64_t total = 0;
    uint64_t edge;

    for (uint32_t i = 0; i < SB_HISTOGRAM_BUCKETS; i++)
        total += sb_counter_get(&histogram->buckets[i]);
    if (total == 0)
        return -1;
    const uint32_t bucket = bucket_at(histogram, fraction * (double)total);
    edge = upper_edge(bucket);
    /* The last bucket is open, and nothing lies over the largest value. */
    if (bucket == SB_HISTOGRAM_BUCKETS - 1 || edge > max)
        edge = max;
    return edge > INT64_MAX ? INT64_MAX : (int64_t)edge;
}
