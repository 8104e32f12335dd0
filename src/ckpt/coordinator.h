/* SPDX-License-Identifier: Apache-2.0 */
/* coordinator.h - the checkpoints of one pipeline: when, and step by step.
 *
 *   IDLE ------- interval passed and something changed, or the inputs have ended ---> GATHERING
 *   GATHERING -- every instance has reported (flow/checkpoint.h); meanwhile the
 *                blocks of images are written as they come (chain.h) ------------------> WRITING
 *   WRITING ---- the manifest is durable (folder.h) ---------------------------------> COMMITTING
 *   COMMITTING - output and offsets are out, where a transaction does that ----------> IDLE or OVER
 *   any -------- it failed: counted, said, and tried again at the next interval -----> IDLE
 *
 * A checkpoint that fails, or takes longer than its timeout, is not fatal: what was staged stays,
 * and goes out with the next one. The last one, which a run ends with, is gathered and written
 * again a few times before the run fails.
 *
 * Nothing has changed: there is no checkpoint and no transaction, but for one in a long while that
 * keeps the offsets of a group from being forgotten.
 *
 * Pace: the next barrier is not before the last commit has ended and the interval has passed. While
 * the pipeline catches up, writing takes at most a tenth of the time: after a slow one the interval
 * is longer (pace.h).
 *
 * Thread: the run's control; a step may wait for the disk. */
#ifndef SB_CKPT_COORDINATOR_H
#define SB_CKPT_COORDINATOR_H

#include "ckpt/chain.h"
#include "ckpt/commit.h"
#include "ckpt/copy.h"
#include "ckpt/folder.h"
#include "ckpt/follow.h"
#include "ckpt/prune.h"
#include "flow/flow.h"

enum sb_coordinator_state {
    SB_COORDINATOR_IDLE,
    SB_COORDINATOR_GATHERING,
    SB_COORDINATOR_WRITING,
    SB_COORDINATOR_COMMITTING,
    SB_COORDINATOR_FOLLOWING, /* the last offsets are on their way, or a copy is being written */
    SB_COORDINATOR_OVER,      /* there will be no other */
};

enum { SB_CHECKPOINT_LAST_TRIES = 5 };

struct sb_coordinator_config {
    const struct sb_env *env;
    struct sb_flow *flow;
    const struct sb_graph *graph;
    const struct sb_ckpt_folder *folder;
    struct sb_commit *commit;           /* NULL: the manifest is the commit */
    struct sb_follow *follow;           /* then, of offsets that follow it; NULL: none */
    const struct sb_database *database; /* of the flow's stores; NULL: they have none */
    const struct sb_manifest *adopted;  /* it goes on with the files of this one; NULL: of none */
    uint64_t owner;                     /* of this process */
    uint64_t hash_seed;
    uint64_t origin;               /* the savepoint that it all goes back to; 0: none */
    struct sb_ckpt_entry restored; /* id 0: none */
    int64_t interval_us;
    int64_t refresh_us; /* with `commit` or `follow`: offsets are committed again so often, though
                           idle */
    int64_t timeout_us; /* of a checkpoint, until it is gathered */
    int64_t leave_us;   /* told to stop: a commit is waited for so long */
    uint32_t keep;      /* checkpoints that stay */
    uint32_t chain_max; /* files of a chain of images */
};

/* A savepoint of one pipeline (copy.h), made from a checkpoint of its own when that counts; so all
 * that was sent on because of it is out. */
struct sb_coordinator_copy {
    const struct sb_ckpt_folder *folder; /* where it goes */
    const char *only_task;               /* as in copy.h */
    uint32_t only_shard;
    struct sb_account *account;
    const struct sb_rows_reader *reader;
    bool at_end; /* of the last checkpoint, and no other */
    bool taken;  /* a checkpoint is under way for it, or it is being written */
    bool done;   /* `result` says how */
    struct sb_copy_result result;
};

struct sb_coordinator {
    struct sb_coordinator_config config;
    enum sb_coordinator_state state;
    int64_t next_id;
    int64_t begun_us;          /* the one in the making */
    int64_t commit_us;         /* when committing began; 0: not yet */
    int64_t slowest_commit_us; /* of this run */
    int64_t stop_us;           /* since when a commit holds up a stop; 0: it does not */
    int64_t next_us;           /* not before */
    int64_t refresh_due_us;    /* then, even when nothing has changed */
    int64_t look_us;           /* not before: whether this worker is still the owner */
    uint64_t changes;          /* counted when the last one began */
    uint64_t reads;            /* likewise, of records read */
    uint32_t tries;            /* of the last one */
    int64_t wanted_id;         /* asked for: at once, and also when nothing has changed */
    int64_t failed_id;         /* of the last that failed, and why */
    sabot_error failure;
    struct sb_coordinator_copy *copy; /* asked for; NULL: none. Its owner's */
    struct sb_copy *copying;          /* that one, being written; NULL: it is not */
    struct sb_checkpoint *checkpoint;
    sabot_error refusal; /* not SABOT_OK: why it is given up, while it is being gathered */
    bool again;          /* it was gathered before: its images are to be made again */
    struct sb_chain chain;
    struct sb_manifest manifest;
    bool has_manifest;
    bool has_noted; /* that there was a commit (folder.h) */
    struct sb_prune prune;
    sabot_error error; /* why it is over: not SABOT_OK, the run fails with it */
    /* For whoever looks; read by anybody. */
    _Atomic uint64_t completed;
    _Atomic uint64_t failed;
    _Atomic int64_t completed_us; /* when the last one was, 0: never */
    _Atomic int64_t completed_id;
    _Atomic uint64_t completed_bytes;
};

SABOT_MUST_CHECK sabot_status sb_coordinator_init(struct sb_coordinator *coordinator,
                                                  const struct sb_coordinator_config *config,
                                                  sabot_error *error);
void sb_coordinator_reset(struct sb_coordinator *coordinator);

struct sb_step sb_coordinator_step(struct sb_coordinator *coordinator);

/* Take a checkpoint that begins after this call, as soon as can be; returns its id. */
int64_t sb_coordinator_ask(struct sb_coordinator *coordinator);
/* What has become of it: SABOT_OK, it counts; SABOT_AGAIN; SABOT_ERR_CLOSED, there will be none;
 * else why it failed. */
SABOT_MUST_CHECK sabot_status sb_coordinator_asked(const struct sb_coordinator *coordinator,
                                                   int64_t id,
                                                   sabot_error *error);

/* Make this copy with a checkpoint that begins after this call. It must stay until it is done.
 * SABOT_ERR_STATE: one is being made already. */
SABOT_MUST_CHECK sabot_status sb_coordinator_copy(struct sb_coordinator *coordinator,
                                                  struct sb_coordinator_copy *copy,
                                                  sabot_error *error);
/* Has it been made, or become impossible? */
bool sb_coordinator_copied(struct sb_coordinator *coordinator);

#endif
