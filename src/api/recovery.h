/* SPDX-License-Identifier: Apache-2.0 */
/* recovery.h - a pipeline with a state directory: what it goes on from, and the checkpoints it
 * takes.
 *
 *   NEW --folder--> FENCING --alone, offsets read--> FOUND --the flow is made--> attach --> step
 *         \------- without transactions ----------/ |
 *                                  ADOPTING <- another was chosen
 *
 * Where a transaction commits, whoever ran before is fenced first, and what its last commit names
 * is what is restored. Else the newest manifest is. Without a state directory nothing here is used.
 *
 * Threads: the run's control. */
#ifndef SB_API_RECOVERY_H
#define SB_API_RECOVERY_H

#include "api/config.h"
#include "ckpt/coordinator.h"
#include "ckpt/restore.h"

enum sb_recovery_phase {
    SB_RECOVERY_NEW,
    SB_RECOVERY_FENCING,
    SB_RECOVERY_ADOPTING, /* what was chosen (recovery_choice.h) is being committed */
    SB_RECOVERY_FOUND,
};

struct sb_recovery {
    const struct sb_env *env; /* NULL: no state directory */
    enum sb_recovery_phase phase;
    uint64_t owner; /* drawn for this run */
    bool told;      /* how much is processed again */
    struct sb_ckpt_folder folder;
    struct sb_restore restore;
    struct sb_restore_progress progress; /* of that */
    struct sb_commit *commit;            /* NULL: the manifest is the commit */
    bool has_mark;                       /* the committed offsets name a checkpoint: */
    struct sb_commit_mark mark;
    struct sb_follow *follow; /* of offsets that follow it; NULL: none */
    struct sb_coordinator coordinator;
};

/* What is restored: `flow` gets where its sources go on, and the hash seed of the state.
 * SABOT_AGAIN: under way, call again when flow->owner is woken. */
SABOT_MUST_CHECK sabot_status sb_recovery_open(struct sb_recovery *recovery,
                                               const struct sb_env *env,
                                               const sabot_config *config,
                                               const char *app,
                                               const struct sb_graph *graph,
                                               struct sb_flow_config *flow,
                                               sabot_error *error);
/* `database`: of the flow's stores, which is started; NULL: they have none. */
SABOT_MUST_CHECK sabot_status sb_recovery_attach(struct sb_recovery *recovery,
                                                 const sabot_config *config,
                                                 struct sb_flow *flow,
                                                 const struct sb_database *database,
                                                 sabot_error *error);
/* When the flow's workers are at rest. */
void sb_recovery_close(struct sb_recovery *recovery);

/* The run before has done all there is: its inputs had ended. */
static inline bool sb_recovery_finished(const struct sb_recovery *recovery)
{
    return recovery->env != NULL && recovery->restore.found && recovery->restore.manifest.finished;
}

#endif
