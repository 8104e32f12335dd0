/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - event time of one partition; clock.h has the rules. Times are added saturating: records
 * may carry any. */
#include "flow/clock.h"

static int64_t add(int64_t time_ms, int64_t span_ms)
{
    int64_t sum;

    if (!__builtin_add_overflow(time_ms, span_ms, &sum))
        return sum;
    return span_ms < 0 ? INT64_MIN : INT64_MAX;
}

void sb_clock_init(struct sb_clock *clock, const struct sb_clock_rules *rules)
{
    *clock = (struct sb_clock){.rules = rules, .limit_ms = INT64_MAX, .told_ms = INT64_MIN};
}

void sb_clock_poll(struct sb_clock *clock, int64_t wall_ms)
{
    if (clock->rules->max_future_ms > 0)
        clock->limit_ms = add(wall_ms, clock->rules->max_future_ms);
}

void sb_clock_tell(struct sb_clock *clock, struct sb_batch *batch, int32_t partition, void *record)
{
    const uint32_t row = batch->rows - 1;
    sabot_event_time time = {
        .partition = partition,
        .time_ms = batch->event_times[row],
        .watermark_ms = clock->told_ms,
    };

    sb_batch_record(batch, row, record);
    clock->rules->function(record, &time, clock->rules->user);
    batch->event_times[row] = time.time_ms;
    if (time.watermark_ms > clock->told_ms && !sb_clock_is_future(clock, time.watermark_ms))
        clock->told_ms = time.watermark_ms;
}

/* The newest of the rows that are not in the future. */
static int64_t newest(const struct sb_clock *clock, const struct sb_batch *batch)
{
    int64_t newest_ms = INT64_MIN;

    if (!sb_clock_is_future(clock, batch->event_time_max))
        return batch->event_time_max;
    for (uint32_t i = 0; i < batch->rows; i++) {
        const int64_t time_ms = batch->event_times[i];

        if (time_ms > newest_ms && !sb_clock_is_future(clock, time_ms))
            newest_ms = time_ms;
    }
    return newest_ms;
}

int64_t sb_clock_watermark(const struct sb_clock *clock, const struct sb_batch *batch)
{
    const int64_t time_ms = clock->rules->function != NULL
                                ? clock->told_ms
                                : add(newest(clock, batch), -clock->rules->lateness_ms);

    return time_ms == INT64_MAX ? INT64_MAX - 1 : time_ms;
}

bool sb_clock_quiet(struct sb_clock *clock, int64_t now_us)
{
    if (clock->rules->idle_after_ms == 0)
        return false;
    if (clock->quiet_us == 0)
        clock->quiet_us = now_us;
    return now_us >= sb_clock_idle_us(clock);
}

int64_t sb_clock_idle_us(const struct sb_clock *clock)
{
    if (clock->quiet_us == 0 || clock->rules->idle_after_ms > INT64_MAX / 1000)
        return INT64_MAX;
    return add(clock->quiet_us, clock->rules->idle_after_ms * 1000);
}
