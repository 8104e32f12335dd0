/* SPDX-License-Identifier: Apache-2.0 */
/* commit.h - output and offsets, out together: the transaction that is the commit of a checkpoint.
 *
 * What sinks have staged stays here until a transaction has written it: that of its own checkpoint,
 * or, when that one failed, of a later. The offsets carry the mark of their checkpoint (offsets.h).
 *
 * Thread: the run's control; nothing here waits. */
#ifndef SB_CKPT_COMMIT_H
#define SB_CKPT_COMMIT_H

#include "ckpt/offsets.h"
#include "flow/control.h"

struct sb_commit;

struct sb_commit_config {
    const struct sb_env *env;
    const struct sb_graph *graph; /* at least one of its sinks stages */
    const char *group;            /* namespace of the offsets, and the transactional id */
    int64_t timeout_ms;           /* of a transaction */
    struct sb_waker *waker;       /* of who steps */
};

/* The channels of the graph are ready. SABOT_ERR_CONFIG: they are in different clusters, or their
 * options don't fit together. */
SABOT_MUST_CHECK sabot_status sb_commit_create(const struct sb_commit_config *config,
                                               struct sb_commit **commit_out,
                                               sabot_error *error);
void sb_commit_destroy(struct sb_commit *commit);

/* Fence whoever had the id, then read the committed offsets of all sources. SABOT_AGAIN: under way.
 * SABOT_ERR_STATE: the group has live members, which the text names. */
SABOT_MUST_CHECK sabot_status sb_commit_fence(struct sb_commit *commit, sabot_error *error);

/* The same, and what the offsets say (sb_offsets_mark). */
SABOT_MUST_CHECK sabot_status sb_commit_recover(struct sb_commit *commit,
                                                bool *found_out,
                                                struct sb_commit_mark *mark_out,
                                                sabot_error *error);

/* Are the offsets that recover() has read those of this manifest? SABOT_ERR_STATE names the first
 * partition that differs. */
SABOT_MUST_CHECK sabot_status sb_commit_compare(const struct sb_commit *commit,
                                                const struct sb_manifest *manifest,
                                                sabot_error *error);

/* Describe the inputs as they stand in the group, which recover() has read (sb_offsets_describe).
 */
SABOT_MUST_CHECK sabot_status sb_commit_describe(const struct sb_commit *commit,
                                                 struct sb_manifest *manifest,
                                                 sabot_error *error);

/* Take what the sinks of a gathered checkpoint have staged. */
void sb_commit_keep(struct sb_commit *commit, struct sb_checkpoint *checkpoint);

/* Bytes that were kept and are not committed yet. */
uint64_t sb_commit_bytes(const struct sb_commit *commit);

/* Commit the checkpoint of a durable manifest, with all that was kept. SABOT_AGAIN: under way, call
 * again when woken. SABOT_OK: committed, *bytes_out of what was staged are written. An error:
 * SABOT_ERR_FENCED, another has taken over; else the outcome is unknown, and only a new incarnation
 * can find it out. */
SABOT_MUST_CHECK sabot_status sb_commit_step(struct sb_commit *commit,
                                             const struct sb_manifest *manifest,
                                             uint64_t *bytes_out,
                                             sabot_error *error);

#endif
