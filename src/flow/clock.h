/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - how the records of one partition move event time on.
 *
 *   record --event time--> is it in the future? --> pass, skip, fail
 *   batch  --newest that isn't, less the lateness--> the partition's watermark (watermark.h)
 *   quiet for idle_after, and caught up --> idle
 *
 * A record further ahead of the wall clock than max_future never moves time: it is a wrong clock
 * somewhere, and would make all that is right late. What becomes of the record itself is the
 * policy. Watermarks of data end below INT64_MAX, which says that time is over.
 *
 * Quiet time counts only while the reader could have read: not while its outputs are full or its
 * batches wait for a commit (Flink learned that by FLINK-35886), and not while records are known to
 * wait in the channel.
 *
 * Thread: the source's. */
#ifndef SB_FLOW_CLOCK_H
#define SB_FLOW_CLOCK_H

#include <sabot/app.h>

#include "data/batch.h"

/* What is declared of a channel; read-only. All zero: no lateness, never idle, no bound. */
struct sb_clock_rules {
    int64_t lateness_ms;
    int64_t idle_after_ms; /* 0: never */
    int64_t max_future_ms; /* 0: no bound */
    sabot_future future;
    sabot_time_function function; /* the app's own; NULL: the newest record, less the lateness */
    void *user;
};

struct sb_clock {
    const struct sb_clock_rules *rules;
    int64_t limit_ms; /* what is later is in the future; as of the poll that runs */
    int64_t told_ms;  /* by the app's function: its highest watermark; INT64_MIN: none */
    int64_t quiet_us; /* since when the partition is quiet, on the source's clock; 0: it isn't */
};

void sb_clock_init(struct sb_clock *clock, const struct sb_clock_rules *rules);

/* A poll begins: the wall clock is now at. */
void sb_clock_poll(struct sb_clock *clock, int64_t wall_ms);

/* Let the app's function say the time of the last row of the batch that is being built. `record` is
 * room for a struct of the schema. */
void sb_clock_tell(struct sb_clock *clock, struct sb_batch *batch, int32_t partition, void *record);

static inline bool sb_clock_is_future(const struct sb_clock *clock, int64_t time_ms)
{
    return __builtin_expect(time_ms > clock->limit_ms, 0);
}

/* The watermark behind a sealed batch: INT64_MIN when it says nothing. */
int64_t sb_clock_watermark(const struct sb_clock *clock, const struct sb_batch *batch);

/* The partition had nothing, at `now_us`, and is caught up. True: it has been quiet for so long
 * that it is idle. */
bool sb_clock_quiet(struct sb_clock *clock, int64_t now_us);

/* When it will be, if nothing comes; INT64_MAX: never. */
int64_t sb_clock_idle_us(const struct sb_clock *clock);

static inline void sb_clock_stir(struct sb_clock *clock)
{
    clock->quiet_us = 0;
}

#endif
