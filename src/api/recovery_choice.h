/* SPDX-License-Identifier: Apache-2.0 */
/* recovery_choice.h - going on from something else than the checkpoint that counts: another that is
 * kept, a savepoint, or the group's offsets alone.
 *
 *   chosen --checked--> copied into the folder as a new checkpoint --committed--> restored as any
 *
 * So there is one way to restore, and a restart at any moment knows what counts: before the copy is
 * committed (where there are no transactions: is durable) it is what counted before, then it is the
 * copy. What was chosen is only read.
 *
 * A savepoint's nonce stays in the manifests of all that comes after it: the same --restore, given
 * again by whoever starts the worker again, goes on instead of going back.
 *
 * Threads: the run's control; calls wait for the disk. */
#ifndef SB_API_RECOVERY_CHOICE_H
#define SB_API_RECOVERY_CHOICE_H

#include "api/recovery.h"

/* The options that choose, as they are given. */
struct sb_choice {
    const char *restore; /* an id, or a path; NULL: none */
    bool force;
    bool from_offsets;
    bool reset;
    bool drops_state;
};

/* SABOT_ERR_CONFIG: they don't go together. */
SABOT_MUST_CHECK sabot_status sb_choice_read(struct sb_choice *choice,
                                             const sabot_config *config,
                                             sabot_error *error);

/* Does the app have all pipelines of the savepoint that is to be restored? SABOT_ERR_RECOVERY names
 * those that it has not. */
SABOT_MUST_CHECK sabot_status sb_choice_check_pipelines(const struct sb_env *env,
                                                        const struct sb_choice *choice,
                                                        const char *app,
                                                        bool (*has)(const void *context,
                                                                    const char *pipeline),
                                                        const void *context,
                                                        sabot_error *error);

/* With `restore` or `from_offsets`: make what was chosen the newest checkpoint of the folder, if it
 * is not what counts anyway. recovery->restore is what counts; `counted` is how it was found: not
 * SABOT_OK, nobody knows what counts, as `why` says. *adopted_out: there is a new one in
 * recovery->restore, which is to be committed. */
SABOT_MUST_CHECK sabot_status sb_choice_take(struct sb_recovery *recovery,
                                             const struct sb_choice *choice,
                                             const struct sb_graph *graph,
                                             uint64_t hash_seed,
                                             sabot_status counted,
                                             const sabot_error *why,
                                             bool *adopted_out,
                                             sabot_error *error);

/* Say which checkpoints are kept, behind a text that says that something must be chosen. */
void sb_choice_name_kept(const struct sb_ckpt_folder *folder, sabot_error *error);

#endif
