/* SPDX-License-Identifier: Apache-2.0 */
/* recovery.c - from the state directory to a pipeline, and on to the next checkpoint. */
#include "api/recovery.h"

#include <stdio.h>

#include "api/recovery_choice.h"
#include "base/mutant.h"
#include "ckpt/pace.h"
#include "state/rows.h"

enum {
    TXN_TIMEOUT_MS = 10 * 1000, /* and what a commit has been seen to take */
    /* Between two checkpoints: short where readers of the output wait for them. */
    INTERVAL_STAGING_MS = 100,
    INTERVAL_MS = 1000,
};

static bool stages(const struct sb_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].kind == SB_NODE_SINK && graph->nodes[i].port.stages)
            return true;
    }
    return false;
}

static int64_t txn_timeout_ms(const struct sb_recovery *recovery)
{
    return TXN_TIMEOUT_MS + sb_pace_read_ms(&recovery->folder);
}

static sabot_status begin(struct sb_recovery *recovery,
                          const struct sb_env *env,
                          const sabot_config *config,
                          const char *app,
                          const struct sb_graph *graph,
                          const struct sb_flow_config *flow,
                          sabot_error *error)
{
    char group[2 * SABOT_NAME_MAX + 16];
    struct sb_commit_config commit = {
        .env = env,
        .graph = graph,
        .group = group,
        .waker = flow->owner,
    };

    SABOT_TRY(sb_ckpt_folder_open(&recovery->folder, env, sb_config_text(config, "state.dir"), app,
                                  flow->name, error));
    recovery->env = env;
    recovery->owner = sb_random(env);
    sb_restore_init(&recovery->restore, env, &recovery->folder);
    recovery->restore.progress = &recovery->progress;
    atomic_store(&recovery->progress.stage, SB_RESTORE_FINDING);
    (void)snprintf(group, sizeof group, "sabot.%s.%s", app, flow->name);
    commit.timeout_ms = txn_timeout_ms(recovery);
    sb_crash_point(env, "restore.opening");
    if (stages(graph))
        SABOT_TRY(sb_commit_create(&commit, &recovery->commit, error));
    else
        SABOT_TRY(sb_follow_create(graph, group, &recovery->follow, error));
    recovery->phase = SB_RECOVERY_FENCING;
    /* Before the fence: whoever is fenced by it must see that it was not the broker's doing. */
    return sb_ckpt_take_owner(&recovery->folder, recovery->owner, error);
}

/* What can't be gone on from is for people to decide: the run must not be started again as it is.
 */
static sabot_status refuse(sabot_status status, sabot_error *error)
{
    if (status != SABOT_ERR_CORRUPT && status != SABOT_ERR_SCHEMA && status != SABOT_ERR_STATE)
        return status;
    if (error != NULL)
        error->status = SABOT_ERR_RECOVERY;
    return SABOT_ERR_RECOVERY;
}

/* The manifest is the commit, if it was so when it was written. */
static sabot_status find_newest(struct sb_restore *restore, sabot_error *error)
{
    SABOT_TRY(sb_restore_find(restore, error));
    if (!restore->found || !restore->manifest.staged)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE,
                       "checkpoint %lld in %s was taken by an exactly-once run: whether its output "
                       "was committed only the offsets in Kafka tell; run with "
                       "-O guarantee=exactly-once, or choose: --restore ID goes on from a "
                       "checkpoint, --reset begins anew",
                       (long long)restore->manifest.id, restore->folder->path);
}

/* Alone from here on: which checkpoint counts? */
static sabot_status find_counting(struct sb_recovery *recovery, bool reset, sabot_error *error)
{
    struct sb_restore *restore = &recovery->restore;

    recovery->has_mark = false;
    if (recovery->commit != NULL && reset)
        SABOT_TRY(sb_commit_fence(recovery->commit, error));
    else if (recovery->commit != NULL)
        SABOT_TRY(sb_commit_recover(recovery->commit, &recovery->has_mark, &recovery->mark, error));
    if (reset)
        sb_crash_point(recovery->env, "restore.resetting");
    /* Frozen since it came, it would put aside what the next one has committed meanwhile, or choose
     * for it. */
    SABOT_TRY(sb_ckpt_check_owner(&recovery->folder, recovery->owner, error));
    if (reset) {
        SABOT_TRY(sb_ckpt_move_aside(&recovery->folder, error));
        SABOT_TRY(sb_ckpt_take_owner(&recovery->folder, recovery->owner, error));
    }
    if (SB_MUTANT(RESTORE_NEWEST))
        return sb_restore_find(restore, error);
    if (recovery->commit == NULL)
        return find_newest(restore, error);
    /* A folder that was just made may have a note of who was fenced, and slept until now. */
    if (!recovery->has_mark)
        return reset ? SABOT_OK : sb_restore_find_none(restore, error);
    SABOT_TRY(sb_restore_find_named(restore, &recovery->mark, error));
    return sb_commit_compare(recovery->commit, &restore->manifest, error);
}

/* Does this leave something to choose? */
static bool is_refusal(sabot_status status)
{
    return status == SABOT_ERR_CORRUPT || status == SABOT_ERR_STATE;
}

/* What counts, or what was chosen instead. */
static sabot_status find(struct sb_recovery *recovery,
                         const struct sb_choice *choice,
                         const struct sb_graph *graph,
                         uint64_t hash_seed,
                         sabot_error *error)
{
    bool adopted = false;
    sabot_error why = {.status = SABOT_OK};
    sabot_status counted;

    recovery->restore.drops = choice->drops_state;
    /* Whether what counts is damaged matters to a choice. */
    recovery->restore.defers = choice->restore == NULL && !choice->from_offsets;
    counted = find_counting(recovery, choice->reset, &why);
    if (counted != SABOT_OK && !is_refusal(counted)) {
        *error = why;
        return counted;
    }
    if (choice->restore == NULL && !choice->from_offsets) {
        *error = why;
        if (counted != SABOT_OK)
            sb_choice_name_kept(&recovery->folder, error);
        return counted;
    }
    SABOT_TRY(sb_choice_take(recovery, choice, graph, hash_seed, counted, &why, &adopted, error));
    if (adopted && recovery->commit != NULL)
        recovery->phase = SB_RECOVERY_ADOPTING;
    return SABOT_OK;
}

/* Make the copy what counts: with a transaction of nothing but offsets. */
static sabot_status commit_adopted(struct sb_recovery *recovery, sabot_error *error)
{
    uint64_t bytes;

    sb_crash_point(recovery->env, "restore.before_adopting");
    SABOT_TRY(sb_commit_step(recovery->commit, &recovery->restore.manifest, &bytes, error));
    sb_crash_point(recovery->env, "restore.adopted");
    return sb_ckpt_note_commit(&recovery->folder, error);
}

sabot_status sb_recovery_open(struct sb_recovery *recovery,
                              const struct sb_env *env,
                              const sabot_config *config,
                              const char *app,
                              const struct sb_graph *graph,
                              struct sb_flow_config *flow,
                              sabot_error *error)
{
    struct sb_restore *restore = &recovery->restore;
    struct sb_choice choice;

    SABOT_TRY(sb_choice_read(&choice, config, error));
    if (recovery->phase == SB_RECOVERY_NEW)
        SABOT_TRY(begin(recovery, env, config, app, graph, flow, error));
    if (recovery->phase == SB_RECOVERY_FENCING) {
        SABOT_TRY(refuse(find(recovery, &choice, graph, flow->hash_seed, error), error));
        /* Where transactions commit, the first of this run has to prove that it may remove. */
        if (recovery->commit == NULL || SB_MUTANT(TIDY_AFTER_FREEZE))
            sb_restore_tidy(restore);
        if (recovery->phase == SB_RECOVERY_FENCING)
            recovery->phase = SB_RECOVERY_FOUND;
    }
    if (recovery->phase == SB_RECOVERY_ADOPTING) {
        SABOT_TRY(commit_adopted(recovery, error));
        recovery->phase = SB_RECOVERY_FOUND;
    }
    flow->drops_state = choice.drops_state;
    flow->has_checkpoints = true;
    flow->unaligned = sb_config_enum(config, "guarantee") == 1;
    flow->staged_max = (uint64_t)sb_config_int64(config, "checkpoint.staged_bytes");
    if (sb_recovery_finished(recovery))
        atomic_store(&recovery->progress.stage, SB_RESTORE_OVER);
    if (!restore->found || restore->manifest.finished)
        return SABOT_OK;
    SABOT_TRY(refuse(sb_restore_match(restore, graph, error), error));
    flow->positions = restore->positions;
    flow->position_count = restore->position_count;
    if (!SB_MUTANT(SEED_LOST))
        flow->hash_seed = restore->manifest.hash_seed;
    return SABOT_OK;
}

static int64_t interval_us(const struct sb_recovery *recovery, const sabot_config *config)
{
    int64_t interval_ms = sb_config_int64(config, "checkpoint.interval_ms");

    if (interval_ms == 0)
        interval_ms = recovery->commit != NULL ? INTERVAL_STAGING_MS : INTERVAL_MS;
    return interval_ms * 1000;
}

static struct sb_ckpt_entry restored(const struct sb_recovery *recovery)
{
    return recovery->restore.found ? sb_ckpt_entry_of(&recovery->restore.manifest)
                                   : (struct sb_ckpt_entry){.id = 0};
}

static sabot_status restore_state(struct sb_recovery *recovery,
                                  struct sb_flow *flow,
                                  const struct sb_database *database,
                                  sabot_error *error)
{
    struct sb_restore *restore = &recovery->restore;
    const char *folder;
    sabot_status status;

    sb_ckpt_remove_readings(&recovery->folder);
    restore->database = database;
    restore->reader = &sb_rocksdb_reader;
    if (restore->found) {
        status = sb_restore_state(restore, flow, error);
        if (status == SABOT_ERR_CORRUPT)
            sb_choice_name_kept(&recovery->folder, error);
        return status;
    }
    if (database == NULL)
        return SABOT_OK;
    SABOT_TRY(database->prepare(database->context, &folder, error));
    return database->start(database->context, false, error);
}

sabot_status sb_recovery_attach(struct sb_recovery *recovery,
                                const sabot_config *config,
                                struct sb_flow *flow,
                                const struct sb_database *database,
                                sabot_error *error)
{
    struct sb_coordinator_config coordinator = {
        .env = recovery->env,
        .flow = flow,
        .graph = flow->graph,
        .folder = &recovery->folder,
        .commit = recovery->commit,
        .follow = recovery->follow,
        .database = database,
        .owner = recovery->owner,
        .hash_seed = flow->config.hash_seed,
        .origin = recovery->restore.found ? recovery->restore.manifest.origin : 0,
        .restored = restored(recovery),
        .interval_us = interval_us(recovery, config),
        .refresh_us = sb_config_int64(config, "checkpoint.refresh_ms") * 1000,
        .timeout_us = sb_config_int64(config, "checkpoint.timeout_ms") * 1000,
        .leave_us = txn_timeout_ms(recovery) * 1000,
        .keep = (uint32_t)sb_config_int64(config, "checkpoint.keep"),
        .chain_max = (uint32_t)sb_config_int64(config, "checkpoint.full_every"),
    };

    SABOT_TRY(refuse(restore_state(recovery, flow, database, error), error));
    atomic_store(&recovery->progress.stage, SB_RESTORE_OVER);
    if (recovery->restore.adopted)
        coordinator.adopted = &recovery->restore.manifest;
    return sb_coordinator_init(&recovery->coordinator, &coordinator, error);
}

void sb_recovery_close(struct sb_recovery *recovery)
{
    if (recovery->env == NULL)
        return;
    sb_coordinator_reset(&recovery->coordinator);
    sb_commit_destroy(recovery->commit);
    sb_follow_destroy(recovery->follow);
    sb_restore_reset(&recovery->restore);
    sb_ckpt_folder_close(&recovery->folder);
    recovery->env = NULL;
}
