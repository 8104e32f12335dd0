/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - the beginning of the path: a channel's partitions, decoded into batches.
 *
 *   reader --poll--> record --decode--> builder (one a partition) --seal--> batch --> output
 *
 * A worker reads the partitions p with p % workers == its number; each partition fills batches of
 * its own, so that a batch has one origin. A batch is sealed when it is full, or when its partition
 * has nothing more right now: at low rates a record waits for no other.
 *
 * The watermark is the minimum over partitions, each by its clock (clock.h, watermark.h): idle and
 * ended ones hold nothing back. When all are idle, IDLE says so to whoever merges it with others;
 * when all have ended, INT64_MAX says that time is over; when the run is stopped, nothing says so,
 * for more events may come another day. A restored partition is active whatever it was: what piled
 * up meanwhile must not be late.
 *
 * What feeds a table is read first; other sources wait until tables are loaded (loading.h).
 *
 *   OPEN    --nothing more, stop, failure--> ENDED    without checkpoints, or when they are broken
 *   OPEN    --nothing more, stop, failure--> WAITING  with checkpoints
 *   WAITING --the last barrier was sent----> ENDED
 *
 * A record that can't be decoded: `errors.decode` says whether the run fails, after all that came
 * before in its partition has been sent on, or passes over it and counts it.
 *
 * Thread: the worker's. */
#ifndef SB_FLOW_SOURCE_H
#define SB_FLOW_SOURCE_H

#include "flow/clock.h"
#include "flow/control.h"
#include "flow/graph.h"
#include "flow/loading.h"
#include "flow/output.h"
#include "flow/watermark.h"

enum { SB_SOURCE_BATCH_BYTES = 4 * 1024 * 1024 /* encoded; more ends a batch early */ };

enum sb_source_state {
    SB_SOURCE_OPEN,
    SB_SOURCE_WAITING, /* nothing more to read; the last barrier is still to come */
    SB_SOURCE_ENDED,
};

/* Where a partition goes on after a restore. */
struct sb_flow_position {
    uint32_t node; /* the source in the graph */
    struct sb_part_position at;
};

/* What anybody may look at, a step behind. */
struct sb_source_view {
    _Atomic int32_t partition;
    _Atomic int state; /* enum sb_watermark_state */
    _Atomic int64_t watermark_ms;
    _Atomic int64_t lag;      /* as the channel says it */
    _Atomic int64_t follows;  /* restored: records behind that, as first known; else 0 */
    _Atomic int64_t quiet_us; /* since when it is quiet, monotonic clock; 0: it isn't */
    struct sb_counter read;   /* records; of these: */
    struct sb_counter skipped;
    struct sb_counter failed;
    struct sb_counter deletes; /* they delete a key, and only tables get them */
};

struct sb_source_partition {
    struct sb_builder builder;
    struct sb_batch_origin origin; /* of the batch being built */
    bool begun;                    /* origin is valid */
    bool ended;
    struct sb_loading loading;
    struct sb_clock clock;
    struct sb_source_view view;
};

struct sb_source_config {
    const struct sb_env *env;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    struct sb_waker *waker; /* of the worker */
    uint32_t worker;
    uint32_t worker_count;
    uint32_t rows_max; /* of a batch */
    bool decode_skip;  /* errors.decode=skip */
    bool loads_tables; /* tables.load_first=true */
    struct sb_codec_limits limits;
    const struct sb_flow_position *positions; /* of a restore */
    uint32_t position_count;
};

struct sb_source {
    const struct sb_env *env;
    const struct sb_node *node;
    struct sb_control *control;
    struct sb_flow_metrics *metrics;
    uint32_t worker;
    uint32_t rows_max;
    bool decode_skip;
    struct sb_reader *reader; /* NULL: no partition is this worker's */
    struct sb_decoder *decoder;
    struct sb_batch_pool *pool;
    uint32_t partition_count; /* of this worker */
    struct sb_source_partition *partitions;
    uint32_t next; /* partition to look at first */
    void *record;  /* room for a struct of the schema; NULL: no function of the app tells time */
    struct sb_watermark watermark;
    int64_t watermark_sent; /* the last mark */
    bool idle_sent;         /* it was IDLE */
    bool is_loading;        /* it feeds a table, and has not said LOADED */
    int64_t held_since_us;  /* it can't read since then; 0: it can */
    int64_t held_us;        /* in all, before that: its clock stood still */
    _Atomic bool is_held;   /* for anybody */
    struct sb_output output;
    int64_t barrier; /* the last one sent */
    enum sb_source_state state;
    uint64_t skipped;    /* by this source */
    uint64_t batches;    /* sent */
    _Atomic int64_t lag; /* records not read yet, as far as known; -1: unknown. Read by anybody */
    /* Of the poll that runs: */
    uint32_t polled;        /* index of the partition */
    int64_t refused_offset; /* of the record that the decoder refused; -1: none */
};

/* Opens the reader; the channel is ready. */
SABOT_MUST_CHECK sabot_status sb_source_init(struct sb_source *source,
                                             const struct sb_source_config *config,
                                             sabot_error *error);
void sb_source_reset(struct sb_source *source);

/* A bounded piece of work: at most one batch. False: nothing to do until woken. */
bool sb_source_step(struct sb_source *source);
/* When to step although nothing has come: a partition is idle then, or a table may be loaded
 * (INT64_MAX: never). After a step that did nothing. */
int64_t sb_source_deadline_us(const struct sb_source *source);
bool sb_source_done(const struct sb_source *source);

#endif
