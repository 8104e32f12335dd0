/* SPDX-License-Identifier: Apache-2.0 */
/* metric.h - counters written by one thread and read by any, and a histogram of delays.
 *
 * The histogram is log-linear (as HdrHistogram, G. Tene): 32 steps per power of two, so a value is
 * known to 3 %; 1 us to 2^40 us. Threads: one writer; readers get a torn but monotone picture. */
#ifndef SB_BASE_METRIC_H
#define SB_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

struct sb_counter {
    _Atomic uint64_t value;
};

static inline void sb_counter_add(struct sb_counter *counter, uint64_t n)
{
    atomic_store_explicit(&counter->value,
                          atomic_load_explicit(&counter->value, memory_order_relaxed) + n,
                          memory_order_relaxed);
}
static inline uint64_t sb_counter_get(const struct sb_counter *counter)
{
    return atomic_load_explicit(&((struct sb_counter *)(uintptr_t)counter)->value,
                                memory_order_relaxed);
}

enum { SB_HISTOGRAM_STEPS = 32, SB_HISTOGRAM_BUCKETS = 36 * SB_HISTOGRAM_STEPS };

struct sb_histogram {
    struct sb_counter buckets[SB_HISTOGRAM_BUCKETS];
    struct sb_counter max;
};

void sb_histogram_add(struct sb_histogram *histogram, uint64_t value, uint64_t count);
/* Add what `from` holds to `into` (the reader's own). */
void sb_histogram_merge(struct sb_histogram *into, const struct sb_histogram *from);
/* The value below which `fraction` (0..1) of all lie: the upper edge of its step. -1: empty. */
int64_t sb_histogram_at(const struct sb_histogram *histogram, double fraction);

#endif
