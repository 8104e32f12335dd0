/* SPDX-License-Identifier: Apache-2.0 */
/* follow.h - offsets of inputs that follow the manifests of checkpoints.
 *
 * Where no transaction is the commit (Kafka to files, at-least-once) the manifest is, and nobody
 * reads the group's offsets to restore. They are committed all the same, a moment later and with
 * the mark of their checkpoint: so that the usual tools show how far the pipeline is, and so that a
 * later run may be exactly-once.
 *
 *   manifest durable --offer--> newest waits --one commit at a time for each channel--> group
 *
 * Only the newest counts: one that waits is replaced by the next. A commit that fails is said once,
 * and made up for by the next checkpoint, which comes for that where nothing else asks for one.
 * Nothing waits for any of this, but the end of a run for a moment.
 *
 * Thread: the run's control. */
#ifndef SB_CKPT_FOLLOW_H
#define SB_CKPT_FOLLOW_H

#include "ckpt/offsets.h"

struct sb_follow;

/* *follow_out NULL: no input has offsets that could follow. */
SABOT_MUST_CHECK sabot_status sb_follow_create(const struct sb_graph *graph,
                                               const char *group,
                                               struct sb_follow **follow_out,
                                               sabot_error *error);
void sb_follow_destroy(struct sb_follow *follow);

/* A checkpoint is durable. */
void sb_follow_offer(struct sb_follow *follow, const struct sb_manifest *manifest);

/* Go on, when woken, or from time to time. False: there is nothing left to do, or nobody to tell
 * it. */
bool sb_follow_step(struct sb_follow *follow);

/* How often in a row it has failed, where offsets stand behind the newest checkpoint and nothing is
 * under way: a checkpoint is due, though nothing has changed. 0: they don't. */
uint32_t sb_follow_failures(const struct sb_follow *follow);

#endif
