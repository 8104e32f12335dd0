/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.h - how far event time has come: the minimum over inputs.
 *
 * Used at both ends: a source keeps one over its partitions, a task one over its input rings. An
 * input starts at INT64_MIN (nothing known), only goes forward, and leaves the minimum when it has
 * ended. When all have ended the minimum stays what it was. (Akidau et al.: The Dataflow Model,
 * 2015; the minimum over inputs is Flink's and Millwheel's rule.)
 *
 * Invariant: `now` never goes back and never exceeds that of an input that has not ended.
 * Thread: its owner's. Memory: one array, at init. */
#ifndef SB_FLOW_WATERMARK_H
#define SB_FLOW_WATERMARK_H

#include "base/mem.h"

struct sb_watermark_input {
    int64_t time_ms;
    bool ended;
};

struct sb_watermark {
    const struct sb_env *env;
    struct sb_watermark_input *inputs;
    uint32_t count;
    uint32_t live; /* inputs that have not ended */
    int64_t now;   /* ms; INT64_MIN: nothing known yet */
};

/* `count` may be 0: then nothing is ever known. */
SABOT_MUST_CHECK sabot_status sb_watermark_init(struct sb_watermark *watermark,
                                                const struct sb_env *env,
                                                uint32_t count);
void sb_watermark_reset(struct sb_watermark *watermark);

/* Input `index` is at `time_ms`; an older time changes nothing. True: `now` went forward. */
bool sb_watermark_advance(struct sb_watermark *watermark, uint32_t index, int64_t time_ms);

/* Input `index` has ended. True: `now` went forward. */
bool sb_watermark_end(struct sb_watermark *watermark, uint32_t index);

#endif
