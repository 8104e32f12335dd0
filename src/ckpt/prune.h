/* SPDX-License-Identifier: Apache-2.0 */
/* prune.h - which checkpoints go when a newer one is complete.
 *
 *   sb_prune_look()   before the commit: what is there
 *   the commit        proves that until now nobody has taken over
 *   sb_prune()        of what was looked at, the rest goes
 *
 * In this order, because the process may be frozen at any point, and go on when another has taken
 * over and committed checkpoints of its own: those were not there when it looked, or its commit
 * would have failed. What was there and is not of its own line belongs to processes that were
 * fenced, and can't be committed any more.
 *
 * One that is held stays beyond that, until it is let go of: it goes with the next that is
 * complete.
 *
 * Thread: the run's control. Memory: what was seen, and a row of its own checkpoints. */
#ifndef SB_CKPT_PRUNE_H
#define SB_CKPT_PRUNE_H

#include "ckpt/folder.h"

struct sb_prune {
    const struct sb_ckpt_folder *folder;
    struct sb_ckpt_entry restored; /* id 0: none */
    struct sb_ckpt_entry held;     /* stays as well, while it is being read; id 0: none */
    uint32_t keep;                 /* checkpoints that stay */
    struct sb_ckpt_entry *own;     /* of this process, the last `keep` of them, in a ring */
    uint64_t own_count;
    struct sb_ckpt_entry *seen;
    uint32_t seen_count;
};

SABOT_MUST_CHECK sabot_status sb_prune_init(struct sb_prune *prune,
                                            const struct sb_ckpt_folder *folder,
                                            const struct sb_ckpt_entry *restored,
                                            uint32_t keep,
                                            sabot_error *error);
void sb_prune_reset(struct sb_prune *prune);

/* What can't be seen now is removed another time. */
void sb_prune_look(struct sb_prune *prune);

/* `done` is complete: the newest `keep` stay, and what is not removed now is tried again. */
void sb_prune(struct sb_prune *prune, const struct sb_ckpt_entry *done);

#endif
