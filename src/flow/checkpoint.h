/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.h - what one checkpoint gathers: a part from every instance of a flow.
 *
 *   source  when it sends the barrier     where each of its partitions stands
 *   task    when its gate is aligned      its keyed state and timers: an image (state/store.h), in
 *                                         blocks that go by its carrier, while it goes on
 *   sink    when its gate is aligned      what it has staged, or how long its file is
 *
 * Each instance writes into the part that is its own, then reports; who reports last wakes the
 * owner. A task reports when the last block of its image is on its way. From then on the checkpoint
 * is the coordinator's (ckpt/coordinator.h). One is gathered at a time.
 *
 * Threads: a part belongs to its instance until that has reported. */
#ifndef SB_FLOW_CHECKPOINT_H
#define SB_FLOW_CHECKPOINT_H

#include <stdatomic.h>

#include "base/mem.h"

struct sb_control;

/* Where a source's partition stands. */
struct sb_part_position {
    int32_t partition;
    bool ended;
    int64_t offset;        /* of the next record to read */
    int64_t watermark_ms;  /* of the partition */
    sabot_position opaque; /* of a source of the app: where a call of its function began, */
    uint64_t taken;        /* and how many records it had read since */
};

struct sb_part {
    struct sb_buffer bytes;             /* sink: staged records (stage.h) */
    struct sb_part_position *positions; /* source */
    uint32_t count;                     /* positions in use */
    uint32_t capacity;
    uint64_t records;     /* sink: staged */
    uint64_t length;      /* sink: bytes of its file that are part of the checkpoint */
    int64_t watermark_ms; /* task */
    bool has_image;       /* task: its state went by its carrier */
    sabot_error error;    /* not SABOT_OK: the part could not be made; the checkpoint fails */
};

struct sb_checkpoint {
    const struct sb_env *env;
    int64_t id;
    bool last;              /* the sources end behind it */
    int64_t base;           /* images have what has changed since this one; 0: all */
    _Atomic bool abandoned; /* nobody wants its images any more; tasks stop making them */
    uint32_t node_count;
    uint32_t worker_count;
    struct sb_part *parts;    /* workers x nodes */
    _Atomic uint32_t missing; /* instances that have not reported */
};

SABOT_MUST_CHECK sabot_status sb_checkpoint_create(const struct sb_env *env,
                                                   int64_t id,
                                                   uint32_t node_count,
                                                   uint32_t worker_count,
                                                   struct sb_checkpoint **checkpoint_out,
                                                   sabot_error *error);
void sb_checkpoint_destroy(struct sb_checkpoint *checkpoint);

static inline struct sb_part *sb_checkpoint_part(const struct sb_checkpoint *checkpoint,
                                                 uint32_t worker,
                                                 uint32_t node)
{
    return &checkpoint->parts[(size_t)worker * checkpoint->node_count + node];
}

/* One more position of a part. NULL: no memory, noted in the part. */
struct sb_part_position *sb_part_add_position(struct sb_part *part, const struct sb_env *env);

/* The part is done. */
void sb_checkpoint_report(struct sb_control *control);

#endif
