/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.h - how far event time has come: the minimum over the inputs that are active.
 *
 * Used at both ends: a source keeps one over its partitions, a task one over its input rings.
 *
 *   ACTIVE <--quiet / speaks again--> IDLE
 *      |                               |
 *      +--------> ENDED <--------------+      its time is over, or it said INT64_MAX
 *
 * An active input holds `now` back, at INT64_MIN as long as it has said nothing; an idle one does
 * not, and an ended one never again. When none is active, `now` is the greatest that an idle one
 * had said, as if that one had fallen silent last, so that the order in which they do doesn't
 * matter; there it stays. However far the ended ones had come says nothing: those that are idle may
 * still speak. Only when all have ended is time over: INT64_MAX. An input that speaks again behind
 * `now` holds it until it has caught up.
 *
 * (Akidau et al.: The Dataflow Model, 2015, and MillWheel, 2013: the minimum over inputs. Idleness
 * in band, the greatest of idle inputs, and an end that doesn't outshine them: as Flink does after
 * FLINK-38477.)
 *
 * Invariants: `now` never goes back; when it moves it moves to the least of the active inputs, or
 * without one to the greatest of the idle.
 * Thread: its owner's. Memory: one array, at init. */
#ifndef SB_FLOW_WATERMARK_H
#define SB_FLOW_WATERMARK_H

#include "base/mem.h"

enum sb_watermark_state { SB_WATERMARK_ACTIVE, SB_WATERMARK_IDLE, SB_WATERMARK_ENDED };

struct sb_watermark_input {
    int64_t time_ms; /* the largest it has said; INT64_MIN: nothing */
    enum sb_watermark_state state;
};

struct sb_watermark {
    const struct sb_env *env;
    struct sb_watermark_input *inputs;
    uint32_t count;
    uint32_t active; /* inputs in that state */
    uint32_t live;   /* active or idle */
    int64_t now;     /* ms; INT64_MIN: nothing known yet; INT64_MAX: time is over */
};

/* `count` may be 0: then nothing is ever known. */
SABOT_MUST_CHECK sabot_status sb_watermark_init(struct sb_watermark *watermark,
                                                const struct sb_env *env,
                                                uint32_t count);
void sb_watermark_reset(struct sb_watermark *watermark);

/* Input `index` speaks: it is active, and at `time_ms`; an older time doesn't put it back, and
 * INT64_MAX ends it. True: `now` went forward. */
bool sb_watermark_advance(struct sb_watermark *watermark, uint32_t index, int64_t time_ms);

/* Input `index` is quiet, at `time_ms` or where it was: nothing waits for it. True: `now` went
 * forward. */
bool sb_watermark_idle(struct sb_watermark *watermark, uint32_t index, int64_t time_ms);

/* Input `index` has ended. True: `now` went forward. */
bool sb_watermark_end(struct sb_watermark *watermark, uint32_t index);

/* Before the first: input `index` will never have anything, and nothing waits for its end. */
void sb_watermark_silence(struct sb_watermark *watermark, uint32_t index);

/* Some inputs are left, and all of them are quiet. */
static inline bool sb_watermark_is_idle(const struct sb_watermark *watermark)
{
    return watermark->active == 0 && watermark->live > 0;
}

#endif
