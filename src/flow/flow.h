/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h - a pipeline that runs: the graph, made real for a number of workers.
 *
 *            worker 0                        worker 1
 *   source (partitions 0, 2..)       source (partitions 1, 3..)
 *        |        \                     /         |
 *        |         +-------- x --------+          |      a ring for each pair, where rows are keyed
 *   task (shards 0, 2..)             task (shards 1, 3..)
 *        |                                        |
 *   sink (a writer)                  sink (a writer)
 *
 * Life: create (opens writers, then readers) -> start, or step by hand -> ended or failed ->
 * destroy. The flow ends by itself when all sources have ended, after stop, and after a failure;
 * in each case what is in flight is finished and flushed.
 *
 * Ownership: the flow borrows the graph and its channels. Threads: the maker's, but for
 * sb_flow_stop(), which any thread or signal handler may call. */
#ifndef SB_FLOW_FLOW_H
#define SB_FLOW_FLOW_H

#include "flow/worker.h"

enum { SB_WORKERS_MAX = 64, SB_RING_SLOTS = 64 };

struct sb_flow_config {
    const char *name;    /* of the pipeline */
    uint32_t workers;    /* threads: 1..SB_WORKERS_MAX */
    uint32_t batch_rows; /* of a source's batch, at most */
    uint64_t ring_bytes; /* bound of each ring between two tasks */
    uint64_t hash_seed;  /* keys to shards */
    bool loads_tables;   /* before streams are read */
    bool decode_skip;    /* errors.decode=skip */
    struct sb_codec_limits limits;
    struct sb_waker *owner; /* woken when a worker has come to rest, or a checkpoint is gathered */
    /* Where sources go on, after a restore; those that are not named begin where the options say.
     */
    const struct sb_flow_position *positions;
    uint32_t position_count;
    bool drops_state;     /* restoring passes over the states that are not declared any more */
    bool unaligned;       /* barriers hold nothing back: at least once */
    bool has_checkpoints; /* sources end by a last barrier only: somebody takes checkpoints */
    uint64_t staged_max;  /* bytes staged by sinks; beyond it sources wait for a commit */
};

struct sb_flow {
    const struct sb_env *env;
    const struct sb_graph *graph;
    struct sb_flow_config config;
    struct sb_control control;
    struct sb_worker *workers;
    struct sb_waker **wakers;
    struct sb_flow_metrics *metrics; /* one a worker */
    struct sb_instance *instances;   /* workers x nodes */
    struct sb_exchange *exchanges;   /* workers x edges, those of one output side by side */
    struct sb_ring *rings;           /* edges x workers (from) x workers (to) */
    uint32_t *edges;                 /* numbers of the graph's edges, sorted by output */
    bool allocated;                  /* all of these are there */
    uint32_t running;                /* workers that have a thread */
};

SABOT_MUST_CHECK sabot_status sb_flow_create(const struct sb_env *env,
                                             const struct sb_graph *graph,
                                             const struct sb_flow_config *config,
                                             struct sb_flow **flow_out,
                                             sabot_error *error);
/* Stops it at once if it still runs: what is in flight is lost. */
void sb_flow_destroy(struct sb_flow *flow);
/* The first half of it: the workers come to rest at once. NULL: nothing. */
void sb_flow_halt(struct sb_flow *flow);

/* One thread for each worker. */
SABOT_MUST_CHECK sabot_status sb_flow_start(struct sb_flow *flow, sabot_error *error);

/* Instead of start: one round of every worker on the calling thread. */
struct sb_step sb_flow_step(struct sb_flow *flow);

void sb_flow_stop(struct sb_flow *flow);

/* How many instances of a kind there are, over all workers. */
uint32_t sb_flow_instances(const struct sb_flow *flow, enum sb_node_kind kind);

/* Start gathering a checkpoint; the owner is woken when all parts are there. */
void sb_flow_checkpoint(struct sb_flow *flow, struct sb_checkpoint *checkpoint);

/* Workers that sleep look around: a checkpoint was given up. */
void sb_flow_wake(struct sb_flow *flow);

/* The blocks of a task's images; NULL: it has none. */
struct sb_carrier *sb_flow_carrier(const struct sb_flow *flow, uint32_t worker, uint32_t node);

/* The flow has come to rest: begin to gather the images once more, for the same checkpoint; then
 * make a piece of them at each step, on the caller's thread. */
void sb_flow_image_again(struct sb_flow *flow, struct sb_checkpoint *checkpoint);
void sb_flow_image_step(struct sb_flow *flow);

/* The keyed state of a task on a worker; NULL: it has none. */
struct sb_store *sb_flow_store(const struct sb_flow *flow, uint32_t worker, uint32_t node);

/* Before the start: put a shard of an image into the state of the worker that owns it. */
SABOT_MUST_CHECK sabot_status sb_flow_restore_image(struct sb_flow *flow,
                                                    uint32_t node,
                                                    uint32_t shard,
                                                    struct sb_image *image,
                                                    sabot_error *error);

/* Before the start: give a shard of a task's state back to the worker that owns it. */
SABOT_MUST_CHECK sabot_status sb_flow_restore(struct sb_flow *flow,
                                              uint32_t node,
                                              uint32_t shard,
                                              const struct sb_byte_source *source,
                                              sabot_error *error);

/* The same: how far time had come at a task. What was late there stays late. */
void sb_flow_restore_time(struct sb_flow *flow, uint32_t node, int64_t watermark_ms);

/* SABOT_AGAIN: it goes on. SABOT_END: it has ended well. Else it has failed, and is at rest. */
SABOT_MUST_CHECK sabot_status sb_flow_status(struct sb_flow *flow, sabot_error *error);

/* Records not read yet by this flow, as far as channels know; -1: unknown. */
int64_t sb_flow_lag(const struct sb_flow *flow);
/* Records that follow what was restored, whether or not they were processed before; or
 * SB_LAG_NOT_YET. */
int64_t sb_flow_follows(const struct sb_flow *flow);
/* Lowest watermark of all tasks but tables, as last seen; INT64_MIN: none yet. */
int64_t sb_flow_watermark_ms(const struct sb_flow *flow);
/* The same of one task. */
int64_t sb_flow_task_watermark_ms(const struct sb_flow *flow, uint32_t node);

/* How a partition of an input stands, as last seen. */
struct sb_flow_partition {
    const struct sb_node *node; /* the source */
    int32_t partition;
    enum sb_watermark_state state;
    int64_t watermark_ms; /* INT64_MIN: it has said nothing */
    int64_t lag;          /* records not read yet, or SB_LAG_UNKNOWN, SB_LAG_NOT_YET */
    int64_t quiet_us;     /* since when it has nothing, monotonic clock; 0: it has, or not known */
    bool is_held;         /* its reader can't read on: what follows is slower, or a commit */
    uint64_t read;        /* records, by this run; of these: */
    uint64_t skipped;
    uint64_t failed;
    uint64_t deletes; /* they delete a key, and only tables get them */
};

/* By index, over all inputs; false past the end. Any thread. */
bool sb_flow_partition_at(const struct sb_flow *flow,
                          uint32_t index,
                          struct sb_flow_partition *partition_out);

/* What became of the records of a partition in a task that its source feeds. */
struct sb_flow_tally {
    uint64_t processed;
    uint64_t late;
    uint64_t failed;
};
struct sb_flow_tally sb_flow_tally(const struct sb_flow *flow, uint32_t node, int32_t partition);

/* Records written to a sink (the graph's node) by all workers. */
uint64_t sb_flow_written(const struct sb_flow *flow, uint32_t node);

#endif
