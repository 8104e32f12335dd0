/* SPDX-License-Identifier: Apache-2.0 */
/* coordinator.c - the steps of a checkpoint; coordinator.h has the states. */
#include "ckpt/coordinator.h"

#include <string.h>

#include "base/mutant.h"
#include "ckpt/pace.h"

enum {
    RETRY_US = 100 * 1000,        /* after a failure of the last one, times the tries */
    FAILURE_US = 1 * 1000 * 1000, /* after a failure of another, at least */
    FOLLOW_US = 5 * 1000 * 1000,  /* an end waits so long for its offsets at most */
    LOOK_US = 1 * 1000 * 1000, /* from one look at the owner to the next, where nothing changes */
    FOLLOW_DOUBLINGS = 12      /* of the interval, until they are tried again */
};

static struct sb_control *control_of(const struct sb_coordinator *coordinator)
{
    return &coordinator->config.flow->control;
}

/* Where no offsets are committed, none are forgotten. */
static int64_t refresh_due_us(const struct sb_coordinator *coordinator, int64_t now_us)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const bool has_offsets = config->commit != NULL || config->follow != NULL;

    return has_offsets ? now_us + config->refresh_us : INT64_MAX;
}

sabot_status sb_coordinator_init(struct sb_coordinator *coordinator,
                                 const struct sb_coordinator_config *config,
                                 sabot_error *error)
{
    *coordinator = (struct sb_coordinator){
        .config = *config,
        .next_id = config->restored.id + 1,
        .next_us = sb_now_us(config->env) + config->interval_us,
    };
    coordinator->refresh_due_us = refresh_due_us(coordinator, sb_now_us(config->env));
    /* Offsets that follow may stand behind what was restored: who died may not have said them. */
    if (config->follow != NULL && config->restored.id > 0)
        coordinator->refresh_due_us = 0;
    sb_chain_init(&coordinator->chain, config->flow, config->folder, config->owner,
                  config->chain_max, config->database);
    if (config->adopted != NULL)
        sb_chain_adopt(&coordinator->chain, config->adopted);
    return sb_prune_init(&coordinator->prune, config->folder, &config->restored, config->keep,
                         error);
}

static void drop(struct sb_coordinator *coordinator)
{
    if (coordinator->has_manifest)
        sb_manifest_reset(&coordinator->manifest);
    coordinator->has_manifest = false;
    control_of(coordinator)->checkpoint = NULL;
    sb_checkpoint_destroy(coordinator->checkpoint);
    coordinator->checkpoint = NULL;
}

void sb_coordinator_reset(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;

    if (config->env == NULL)
        return;
    sb_copy_end(coordinator->copying, NULL);
    sb_chain_reset(&coordinator->chain);
    drop(coordinator);
    sb_prune_reset(&coordinator->prune);
    *coordinator = (struct sb_coordinator){.config = {.env = NULL}};
}

/* --- Beginning -----------------------------------------------------------------------------------
 */

/* What count_changes() never says. */
#define NO_CHANGES UINT64_MAX

/* A number that moves with everything a checkpoint would hold. */
static uint64_t count_changes(const struct sb_coordinator *coordinator)
{
    const struct sb_flow *flow = coordinator->config.flow;
    uint64_t total = 0;

    for (uint32_t i = 0; i < flow->config.workers; i++)
        total += sb_counter_get(&flow->metrics[i].records_read) +
                 sb_counter_get(&flow->metrics[i].records_processed) +
                 sb_counter_get(&flow->metrics[i].records_written);
    return total;
}

static uint64_t count_reads(const struct sb_coordinator *coordinator)
{
    const struct sb_flow *flow = coordinator->config.flow;
    uint64_t total = 0;

    for (uint32_t i = 0; i < flow->config.workers; i++)
        total += sb_counter_get(&flow->metrics[i].records_read);
    return total;
}

/* Does more wait to be read than came since the last barrier? Then what counts is to catch up, and
 * else that output is seen soon. */
static bool is_behind(const struct sb_coordinator *coordinator)
{
    const int64_t lag = sb_flow_lag(coordinator->config.flow);

    return lag < 0 || (uint64_t)lag > count_reads(coordinator) - coordinator->reads;
}

/* The database holds newer rows back no longer. */
static void thaw(struct sb_coordinator *coordinator, int64_t id)
{
    if (coordinator->config.database != NULL)
        sb_control_thaw(control_of(coordinator), id);
}

/* Tasks that still make images for it must not wait for blocks that nobody brings back. */
static struct sb_step over(struct sb_coordinator *coordinator)
{
    thaw(coordinator, INT64_MAX);
    if (coordinator->checkpoint != NULL) {
        atomic_store(&coordinator->checkpoint->abandoned, true);
        sb_flow_wake(coordinator->config.flow);
    }
    coordinator->state = SB_COORDINATOR_OVER;
    return sb_step_done();
}

/* Does a copy wait for this checkpoint? */
static bool wants_copy(const struct sb_coordinator *coordinator, bool last)
{
    const struct sb_coordinator_copy *copy = coordinator->copy;

    return copy != NULL && !copy->done && !copy->taken && (last || !copy->at_end);
}

static void end_copy(struct sb_coordinator *coordinator, const sabot_error *error)
{
    struct sb_coordinator_copy *copy = coordinator->copy;

    if (copy == NULL || copy->done)
        return;
    copy->result.error = *error;
    copy->done = true;
}

static struct sb_step begin(struct sb_coordinator *coordinator, bool last)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const int64_t now_us = sb_now_us(config->env);
    sabot_error error;

    if (sb_checkpoint_create(config->env, coordinator->next_id, config->graph->node_count,
                             config->flow->config.workers, &coordinator->checkpoint,
                             &error) != SABOT_OK) {
        coordinator->next_us = now_us + FAILURE_US;
        return sb_step_wait(coordinator->next_us);
    }
    if (wants_copy(coordinator, last))
        coordinator->copy->taken = true;
    sb_chain_begin(&coordinator->chain, coordinator->next_id);
    coordinator->checkpoint->base = sb_chain_base(&coordinator->chain);
    coordinator->next_id++;
    coordinator->refusal = (sabot_error){.status = SABOT_OK};
    coordinator->again = false;
    coordinator->tries = 0;
    coordinator->begun_us = now_us;
    coordinator->changes = count_changes(coordinator);
    coordinator->reads = count_reads(coordinator);
    coordinator->checkpoint->last = last;
    coordinator->state = SB_COORDINATOR_GATHERING;
    sb_crash_point(config->env, "ckpt.barrier");
    sb_flow_checkpoint(config->flow, coordinator->checkpoint);
    return sb_step_again();
}

/* When a checkpoint is due though nothing has changed: brokers forget offsets; and those that could
 * not be committed are tried again, later and later. */
static int64_t due_without_changes_us(const struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    uint32_t failures = sb_follow_failures(config->follow);
    int64_t again_us;

    if (failures > FOLLOW_DOUBLINGS)
        failures = FOLLOW_DOUBLINGS;
    again_us = coordinator->begun_us + (config->interval_us << failures);
    return failures > 0 && again_us < coordinator->refresh_due_us ? again_us
                                                                  : coordinator->refresh_due_us;
}

/* All sources have come to their end, and wait for the barrier of the last one. */
static bool is_wanted_last(const struct sb_coordinator *coordinator)
{
    return atomic_load(&control_of(coordinator)->sources_waiting) ==
           sb_flow_instances(coordinator->config.flow, SB_NODE_SOURCE);
}

/* SABOT_ERR_FENCED: another worker has taken over, and that is what the run fails with. */
static sabot_status check_owner(struct sb_coordinator *coordinator, sabot_error *error)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const sabot_status status = sb_ckpt_check_owner(config->folder, config->owner, error);

    if (status == SABOT_ERR_FENCED)
        coordinator->error = *error;
    return status;
}

/* Who has nothing to checkpoint would not find out that another worker has taken over. */
static bool is_taken(struct sb_coordinator *coordinator, int64_t now_us)
{
    sabot_error error;

    if (now_us < coordinator->look_us)
        return false;
    coordinator->look_us = now_us + LOOK_US;
    return check_owner(coordinator, &error) == SABOT_ERR_FENCED;
}

static struct sb_step idle(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    struct sb_control *control = control_of(coordinator);
    const int64_t now_us = sb_now_us(config->env);
    int64_t due_us;

    if (atomic_load(&control->broken))
        return over(coordinator);
    if (is_wanted_last(coordinator))
        return begin(coordinator, true);
    if (coordinator->wanted_id == coordinator->next_id || wants_copy(coordinator, false))
        return begin(coordinator, false);
    if (now_us < coordinator->next_us && !sb_control_presses(control))
        return sb_step_wait(coordinator->next_us);
    (void)sb_follow_step(config->follow); /* how is the commit that is under way? */
    due_us = due_without_changes_us(coordinator);
    if (count_changes(coordinator) == coordinator->changes && now_us < due_us) {
        if (is_taken(coordinator, now_us))
            return over(coordinator);
        coordinator->next_us = now_us + config->interval_us;
        if (coordinator->next_us > due_us)
            coordinator->next_us = due_us;
        return sb_step_wait(coordinator->next_us);
    }
    return begin(coordinator, false);
}

/* --- The manifest --------------------------------------------------------------------------------
 */

static void *allot(struct sb_coordinator *coordinator, uint32_t count, size_t size)
{
    return sb_arena_alloc(&coordinator->manifest.arena, (size_t)count * size + 1);
}

static uint32_t count_positions(const struct sb_coordinator *coordinator, uint32_t node)
{
    uint32_t count = 0;

    for (uint32_t worker = 0; worker < coordinator->checkpoint->worker_count; worker++)
        count += sb_checkpoint_part(coordinator->checkpoint, worker, node)->count;
    return count;
}

static bool describe_source(struct sb_coordinator *coordinator, const struct sb_node *node)
{
    struct sb_manifest *manifest = &coordinator->manifest;
    struct sb_manifest_source *source = &manifest->sources[manifest->source_count++];
    const uint32_t count = count_positions(coordinator, node->index);

    source->channel = node->name;
    source->partition_count = (uint32_t)node->port.type->partition_count(node->port.channel);
    source->positions = allot(coordinator, count, sizeof *source->positions);
    if (source->positions == NULL)
        return false;
    for (uint32_t worker = 0; worker < coordinator->checkpoint->worker_count; worker++) {
        const struct sb_part *part =
            sb_checkpoint_part(coordinator->checkpoint, worker, node->index);

        for (uint32_t i = 0; i < part->count; i++)
            source->positions[source->position_count++] = part->positions[i];
    }
    return true;
}

/* Inputs fall silent at another moment for each worker, so one may have come further than others:
 * what has fired there has fired, and its time must not go back. Whose inputs are over needs none.
 */
static int64_t latest_ms(const struct sb_checkpoint *checkpoint, uint32_t node)
{
    int64_t latest = INT64_MIN;
    bool is_over = true;

    for (uint32_t worker = 0; worker < checkpoint->worker_count; worker++) {
        const int64_t time_ms = sb_checkpoint_part(checkpoint, worker, node)->watermark_ms;

        if (time_ms != INT64_MAX && time_ms > latest)
            latest = time_ms;
        is_over = is_over && time_ms == INT64_MAX;
    }
    return is_over ? INT64_MAX : latest;
}

static void describe_task(struct sb_coordinator *coordinator, const struct sb_node *node)
{
    struct sb_manifest *manifest = &coordinator->manifest;
    struct sb_manifest_task *task = &manifest->tasks[manifest->task_count++];

    task->name = node->name;
    task->watermark_ms = latest_ms(coordinator->checkpoint, node->index);
    if (node->key_field != SB_NO_FIELD)
        task->key_type = (uint32_t)node->input->fields[node->key_field].type;
    task->image_node = node->index;
    for (uint32_t worker = 0; worker < coordinator->checkpoint->worker_count; worker++) {
        const struct sb_part *part =
            sb_checkpoint_part(coordinator->checkpoint, worker, node->index);

        task->has_image |= part->has_image;
    }
}

static void describe_sink(struct sb_coordinator *coordinator, const struct sb_node *node)
{
    struct sb_manifest *manifest = &coordinator->manifest;
    struct sb_manifest_sink *sink = &manifest->sinks[manifest->sink_count++];

    sink->channel = node->name;
    sink->length = sb_checkpoint_part(coordinator->checkpoint, 0, node->index)->length;
    sink->has_length =
        !node->port.stages && node->port.type->sync != NULL && sink->length != SB_LENGTH_NONE;
}

static bool describe_nodes(struct sb_coordinator *coordinator)
{
    const struct sb_graph *graph = coordinator->config.graph;
    struct sb_manifest *manifest = &coordinator->manifest;
    bool ok = true;

    manifest->sources = allot(coordinator, graph->node_count, sizeof *manifest->sources);
    manifest->tasks = allot(coordinator, graph->node_count, sizeof *manifest->tasks);
    manifest->sinks = allot(coordinator, graph->node_count, sizeof *manifest->sinks);
    if (manifest->sources == NULL || manifest->tasks == NULL || manifest->sinks == NULL)
        return false;
    for (uint32_t i = 0; ok && i < graph->node_count; i++) {
        const struct sb_node *node = &graph->nodes[i];

        switch (node->kind) {
        case SB_NODE_SOURCE: ok = describe_source(coordinator, node); break;
        case SB_NODE_TASK: describe_task(coordinator, node); break;
        case SB_NODE_SINK: describe_sink(coordinator, node); break;
        }
    }
    return ok;
}

/* All inputs have ended by themselves, and nothing is left for another run. */
static bool is_finished(const struct sb_coordinator *coordinator)
{
    const struct sb_manifest *manifest = &coordinator->manifest;

    for (uint32_t i = 0; i < manifest->source_count; i++) {
        for (uint32_t at = 0; at < manifest->sources[i].position_count; at++) {
            if (!manifest->sources[i].positions[at].ended)
                return false;
        }
    }
    return coordinator->checkpoint->last;
}

static sabot_status describe(struct sb_coordinator *coordinator, sabot_error *error)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    struct sb_manifest *manifest = &coordinator->manifest;

    sb_manifest_init(manifest, config->env);
    coordinator->has_manifest = true;
    manifest->app = config->folder->app;
    manifest->pipeline = config->folder->pipeline;
    manifest->id = coordinator->checkpoint->id;
    manifest->nonce = coordinator->chain.entry.nonce;
    manifest->owner = config->owner;
    manifest->time_ms = sb_wall_ms(config->env);
    manifest->hash_seed = config->hash_seed;
    manifest->origin = config->origin;
    manifest->staged = config->commit != NULL;
    if (!describe_nodes(coordinator))
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a manifest");
    manifest->finished = is_finished(coordinator);
    return SABOT_OK;
}

/* --- Gathered, written, committed ----------------------------------------------------------------
 */

/* Say so, and try again later: at once for the last one, which nobody else will make up for. */
static struct sb_step fail(struct sb_coordinator *coordinator, const sabot_error *why)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const int64_t now_us = sb_now_us(config->env);
    const bool last = coordinator->checkpoint->last;

    (void)atomic_fetch_add(&coordinator->failed, 1);
    coordinator->failed_id = coordinator->checkpoint->id;
    coordinator->failure = *why;
    sb_log(config->env, SABOT_LOG_WARN, config->folder->pipeline,
           "checkpoint %lld failed, nothing is lost: %s", (long long)coordinator->checkpoint->id,
           why->text);
    sb_chain_give_up(&coordinator->chain);
    thaw(coordinator, coordinator->checkpoint->id);
    if (last && ++coordinator->tries < SB_CHECKPOINT_LAST_TRIES) {
        coordinator->state = SB_COORDINATOR_GATHERING;
        coordinator->again = true;
        coordinator->next_us = now_us + (int64_t)coordinator->tries * RETRY_US;
        return sb_step_wait(coordinator->next_us);
    }
    if (last) {
        coordinator->error = *why;
        return over(coordinator);
    }
    /* One that is being written is of an earlier checkpoint. */
    if (coordinator->copy != NULL && coordinator->copy->taken &&
        (coordinator->copying == NULL || SB_MUTANT(COPY_CUT_SHORT)))
        end_copy(coordinator, why);
    drop(coordinator);
    coordinator->state = SB_COORDINATOR_IDLE;
    coordinator->changes = NO_CHANGES; /* what it would have held still waits */
    coordinator->next_us =
        now_us + (config->interval_us > FAILURE_US ? config->interval_us : FAILURE_US);
    /* The sources may have said so while this one was being written: nobody says it again. */
    return is_wanted_last(coordinator) ? sb_step_again() : sb_step_wait(coordinator->next_us);
}

/* The error of a part; of two, the one that making the image again can't mend. */
static const struct sb_part *part_with_error(const struct sb_checkpoint *checkpoint)
{
    const size_t count = (size_t)checkpoint->node_count * checkpoint->worker_count;
    const struct sb_part *found = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct sb_part *part = &checkpoint->parts[i];

        if (part->error.status != SABOT_OK && (found == NULL || !part->has_image))
            found = part;
    }
    return found;
}

/* Nobody wants this checkpoint any more: tasks are told, and it fails when all have heard. */
static void refuse(struct sb_coordinator *coordinator, const sabot_error *why)
{
    if (coordinator->refusal.status != SABOT_OK)
        return;
    coordinator->refusal = *why;
    atomic_store(&coordinator->checkpoint->abandoned, true);
    sb_flow_wake(coordinator->config.flow);
}

/* When it has taken too long. */
static int64_t give_up_us(const struct sb_coordinator *coordinator)
{
    const int64_t timeout_us = coordinator->config.timeout_us;

    if (coordinator->refusal.status != SABOT_OK || coordinator->checkpoint->last ||
        timeout_us > INT64_MAX - coordinator->begun_us)
        return INT64_MAX;
    return coordinator->begun_us + timeout_us;
}

/* The last one again, of a flow that has come to rest: its tasks still have what it is made of.
 * SABOT_AGAIN: not yet, until *until_us. */
static sabot_status gather_again(struct sb_coordinator *coordinator, int64_t *until_us)
{
    *until_us = INT64_MAX;
    if (sb_flow_status(coordinator->config.flow, NULL) == SABOT_AGAIN)
        return SABOT_AGAIN;
    *until_us = coordinator->next_us;
    if (sb_now_us(coordinator->config.env) < coordinator->next_us)
        return SABOT_AGAIN;
    coordinator->again = false;
    coordinator->refusal = (sabot_error){.status = SABOT_OK};
    sb_chain_begin(&coordinator->chain, coordinator->checkpoint->id);
    coordinator->checkpoint->base = sb_chain_base(&coordinator->chain);
    sb_flow_image_again(coordinator->config.flow, coordinator->checkpoint);
    return SABOT_OK;
}

static struct sb_step gathered(struct sb_coordinator *coordinator)
{
    const struct sb_part *part = part_with_error(coordinator->checkpoint);

    sb_crash_point(coordinator->config.env, "ckpt.gathered");
    if (coordinator->config.commit != NULL)
        sb_commit_keep(coordinator->config.commit, coordinator->checkpoint);
    if (part == NULL && coordinator->refusal.status == SABOT_OK) {
        coordinator->state = SB_COORDINATOR_WRITING;
        return sb_step_again();
    }
    /* A part that is missing can't be made up for by writing again. */
    if (part != NULL && !part->has_image)
        coordinator->tries = SB_CHECKPOINT_LAST_TRIES;
    return fail(coordinator,
                coordinator->refusal.status != SABOT_OK ? &coordinator->refusal : &part->error);
}

static struct sb_step gather(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const bool at_rest = sb_flow_status(config->flow, NULL) != SABOT_AGAIN;
    sabot_error error;
    int64_t until_us;
    bool missing;

    if (coordinator->again && gather_again(coordinator, &until_us) == SABOT_AGAIN)
        return sb_step_wait(until_us);
    if (at_rest && coordinator->tries > 0)
        sb_flow_image_step(config->flow);
    missing = atomic_load(&coordinator->checkpoint->missing) > 0; /* first: then all is there */
    if (sb_chain_write(&coordinator->chain)) {
        if (coordinator->chain.failure.status == SABOT_ERR_FENCED) {
            coordinator->error = coordinator->chain.failure;
            return over(coordinator);
        }
        if (coordinator->chain.failure.status != SABOT_OK)
            refuse(coordinator, &coordinator->chain.failure);
        return sb_step_again();
    }
    if (!missing)
        return gathered(coordinator);
    if (coordinator->tries > 0)
        return sb_step_again();
    /* A flow that broke down may come to rest before all of it has seen the barrier. */
    if (at_rest)
        return over(coordinator);
    if (sb_now_us(config->env) >= give_up_us(coordinator)) {
        (void)sabot_raise(&error, SABOT_ERR_TIMEOUT,
                          "it was not gathered after %lld ms (checkpoint.timeout_ms): an agent or "
                          "an output holds it up",
                          (long long)(config->timeout_us / 1000));
        refuse(coordinator, &error);
    }
    return sb_step_wait(give_up_us(coordinator));
}

/* Every task has written the rows that it had at the barrier, and no newer ones. */
static sabot_status stage(struct sb_coordinator *coordinator, sabot_error *error)
{
    if (coordinator->config.database == NULL)
        return SABOT_OK;
    SABOT_TRY(sb_chain_stage(&coordinator->chain, error));
    thaw(coordinator, coordinator->checkpoint->id);
    sb_crash_point(coordinator->config.env, "ckpt.rows_thawed");
    return SABOT_OK;
}

static struct sb_step write(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    sabot_error error;
    sabot_status status;

    sb_crash_point(config->env, "ckpt.before_write");
    if (coordinator->has_manifest)
        sb_manifest_reset(&coordinator->manifest);
    coordinator->has_manifest = false;
    status = check_owner(coordinator, &error);
    if (status == SABOT_ERR_FENCED)
        return over(coordinator);
    if (status == SABOT_OK)
        status = stage(coordinator, &error);
    if (status == SABOT_OK)
        status = describe(coordinator, &error);
    if (status == SABOT_OK)
        status = sb_chain_finish(&coordinator->chain, &coordinator->manifest, &error);
    if (status != SABOT_OK && !SB_MUTANT(WRITE_ERROR_IGNORED))
        return fail(coordinator, &error);
    sb_prune_look(&coordinator->prune);
    if (SB_MUTANT(REMOVE_BEFORE_COMMIT)) {
        const struct sb_ckpt_entry made = sb_ckpt_entry_of(&coordinator->manifest);

        sb_prune(&coordinator->prune, &made);
    }
    coordinator->state = SB_COORDINATOR_COMMITTING;
    return sb_step_again();
}

/* Once a run: what can't be noted now is noted with the next one. */
static void note_commit(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    sabot_error error;

    if (config->commit == NULL || coordinator->has_noted)
        return;
    coordinator->has_noted = sb_ckpt_note_commit(config->folder, &error) == SABOT_OK;
    if (!coordinator->has_noted)
        sb_log(config->env, SABOT_LOG_WARN, config->folder->pipeline, "%s", error.text);
}

/* The checkpoint counts: it stays until the copy that was asked for has been made of it. */
static void start_copy(struct sb_coordinator *coordinator, const struct sb_ckpt_entry *done)
{
    const struct sb_coordinator_copy *copy = coordinator->copy;
    struct sb_copy_config config;
    sabot_error error;

    if (copy == NULL || copy->done || !copy->taken || coordinator->copying != NULL)
        return;
    config = (struct sb_copy_config){
        .env = coordinator->config.env,
        .from = coordinator->config.folder,
        .entry = *done,
        .to = copy->folder,
        .only_task = copy->only_task,
        .only_shard = copy->only_shard,
        .account = copy->account,
        .reader = copy->reader,
        .owner = control_of(coordinator)->owner,
    };
    if (sb_copy_start(&config, &coordinator->copying, &error) == SABOT_OK)
        coordinator->prune.held =
            SB_MUTANT(COPY_NOT_HELD) ? (struct sb_ckpt_entry){.id = 0} : *done;
    else
        end_copy(coordinator, &error);
}

/* It was made, or is given up. */
static void finish_copy(struct sb_coordinator *coordinator)
{
    struct sb_copy_result result;

    if (coordinator->copying == NULL)
        return;
    sb_copy_end(coordinator->copying, &result);
    coordinator->copying = NULL;
    coordinator->prune.held = (struct sb_ckpt_entry){.id = 0};
    if (coordinator->copy == NULL || coordinator->copy->done)
        return;
    coordinator->copy->result = result;
    coordinator->copy->done = true;
}

/* A commit has ended, this way or that. */
static void note_pace(struct sb_coordinator *coordinator, bool is_last)
{
    const int64_t took_us = sb_now_us(coordinator->config.env) - coordinator->commit_us;

    if (coordinator->commit_us != 0 && took_us > coordinator->slowest_commit_us)
        coordinator->slowest_commit_us = took_us;
    coordinator->commit_us = 0;
    if (is_last)
        sb_pace_note_ms(coordinator->config.folder, coordinator->slowest_commit_us / 1000);
}

/* The last checkpoint is complete. */
static struct sb_step follow(struct sb_coordinator *coordinator)
{
    const bool follows = sb_follow_step(coordinator->config.follow) &&
                         sb_now_us(coordinator->config.env) < coordinator->next_us;

    if (follows)
        return sb_step_wait(coordinator->next_us);
    if (coordinator->copying != NULL)
        return sb_step_wait(INT64_MAX); /* it wakes us when it is done */
    return over(coordinator);
}

static struct sb_step complete(struct sb_coordinator *coordinator)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const int64_t now_us = sb_now_us(config->env);
    const int64_t busy_us = coordinator->chain.write_us;
    const bool last = coordinator->checkpoint->last;
    const struct sb_ckpt_entry done = sb_ckpt_entry_of(&coordinator->manifest);

    sb_crash_point(config->env, "ckpt.committed");
    note_commit(coordinator);
    sb_follow_offer(config->follow, &coordinator->manifest);
    sb_prune(&coordinator->prune, &done);
    sb_crash_point(config->env, "ckpt.complete");
    atomic_store(&coordinator->completed_id, coordinator->manifest.id);
    atomic_store(&coordinator->completed_us, now_us);
    atomic_store(&coordinator->completed_bytes, coordinator->chain.bytes);
    (void)atomic_fetch_add(&coordinator->completed, 1);
    start_copy(coordinator, &done);
    drop(coordinator);
    if (last) {
        coordinator->state = SB_COORDINATOR_FOLLOWING;
        coordinator->next_us = now_us + FOLLOW_US;
        return follow(coordinator);
    }
    coordinator->tries = 0;
    coordinator->state = SB_COORDINATOR_IDLE;
    coordinator->refresh_due_us = refresh_due_us(coordinator, now_us);
    coordinator->next_us = sb_pace_next_us(coordinator->begun_us, now_us, config->interval_us,
                                           is_behind(coordinator) ? busy_us : 0);
    return sb_step_again();
}

/* Whether the commit has come through is not known. Another worker has taken over: that is the end.
 * Else the broker has given up on us, and a new run finds out what was committed and goes on. */
static struct sb_step lose(struct sb_coordinator *coordinator, const sabot_error *why)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    sabot_error taken;

    sb_crash_point(config->env, "txn.lost");
    note_pace(coordinator, true);
    coordinator->error = *why;
    coordinator->error.retriable = true;
    (void)check_owner(coordinator, &taken);
    return over(coordinator);
}

/* Told to stop while the broker does not answer a commit. It is waited for as long as a transaction
 * may take: what has become of it by then is the broker's to say, to whoever asks next. SABOT_OK:
 * not yet, until *until_us. */
static sabot_status check_patience(struct sb_coordinator *coordinator,
                                   int64_t *until_us,
                                   sabot_error *error)
{
    const struct sb_coordinator_config *config = &coordinator->config;
    const int64_t now_us = sb_now_us(config->env);

    *until_us = INT64_MAX;
    if (!sb_control_stopping(control_of(coordinator)))
        return SABOT_OK;
    if (coordinator->stop_us == 0)
        coordinator->stop_us = now_us;
    *until_us = coordinator->stop_us + config->leave_us;
    if (now_us < *until_us)
        return SABOT_OK;
    return sabot_raise(
        error, SABOT_ERR_TIMEOUT,
        "pipeline %s was told to stop, but the commit of checkpoint %lld, with %llu bytes of "
        "output, is not answered after %lld ms: whether it came through the next start finds out, "
        "and goes on from there; nothing is lost",
        config->folder->pipeline, (long long)coordinator->manifest.id,
        (unsigned long long)sb_commit_bytes(config->commit),
        (long long)((now_us - coordinator->commit_us) / 1000));
}

/* It ends without an answer. No new run of this process would fare better. */
static struct sb_step leave(struct sb_coordinator *coordinator, const sabot_error *why)
{
    note_pace(coordinator, true);
    coordinator->error = *why;
    return over(coordinator);
}

static struct sb_step commit(struct sb_coordinator *coordinator)
{
    struct sb_commit *transaction = coordinator->config.commit;
    uint64_t bytes;
    int64_t until_us;
    sabot_error error;
    sabot_status status;

    if (transaction == NULL)
        return complete(coordinator);
    if (coordinator->commit_us == 0)
        coordinator->commit_us = sb_now_us(coordinator->config.env);
    status = sb_commit_step(transaction, &coordinator->manifest, &bytes, &error);
    if (status == SABOT_AGAIN)
        return check_patience(coordinator, &until_us, &error) == SABOT_OK
                   ? sb_step_wait(until_us)
                   : leave(coordinator, &error);
    if (status == SABOT_OK) {
        coordinator->stop_us = 0; /* the next one has its own */
        note_pace(coordinator, coordinator->checkpoint->last);
        sb_control_committed(control_of(coordinator), bytes);
        return complete(coordinator);
    }
    return lose(coordinator, &error);
}

struct sb_step sb_coordinator_step(struct sb_coordinator *coordinator)
{
    (void)sb_follow_step(coordinator->config.follow);
    if (coordinator->copying != NULL && sb_copy_is_done(coordinator->copying))
        finish_copy(coordinator);
    switch (coordinator->state) {
    case SB_COORDINATOR_IDLE: return idle(coordinator);
    case SB_COORDINATOR_GATHERING: return gather(coordinator);
    case SB_COORDINATOR_WRITING: return write(coordinator);
    case SB_COORDINATOR_COMMITTING: return commit(coordinator);
    case SB_COORDINATOR_FOLLOWING: return follow(coordinator);
    case SB_COORDINATOR_OVER: break;
    }
    return sb_step_done();
}

int64_t sb_coordinator_ask(struct sb_coordinator *coordinator)
{
    coordinator->wanted_id = coordinator->next_id;
    return coordinator->wanted_id;
}

sabot_status sb_coordinator_asked(const struct sb_coordinator *coordinator,
                                  int64_t id,
                                  sabot_error *error)
{
    if (atomic_load(&coordinator->completed_id) >= id)
        return SABOT_OK;
    if (coordinator->failed_id >= id)
        return sabot_raise(error, coordinator->failure.status, "checkpoint %lld failed: %s",
                           (long long)coordinator->failed_id, coordinator->failure.text);
    if (coordinator->state == SB_COORDINATOR_OVER)
        return sabot_raise(error, SABOT_ERR_CLOSED, "pipeline %s has ended",
                           coordinator->config.folder->pipeline);
    return SABOT_AGAIN;
}

sabot_status sb_coordinator_copy(struct sb_coordinator *coordinator,
                                 struct sb_coordinator_copy *copy,
                                 sabot_error *error)
{
    if (coordinator->copy != NULL && !coordinator->copy->done)
        return sabot_raise(error, SABOT_ERR_STATE, "pipeline %s: a savepoint is being made already",
                           coordinator->config.folder->pipeline);
    copy->taken = false;
    copy->done = false;
    coordinator->copy = copy;
    return SABOT_OK;
}

bool sb_coordinator_copied(struct sb_coordinator *coordinator)
{
    sabot_error error;

    SB_ASSERT(coordinator->copy != NULL);
    if (coordinator->state == SB_COORDINATOR_OVER)
        finish_copy(coordinator);
    if (coordinator->state == SB_COORDINATOR_OVER && !coordinator->copy->done) {
        (void)sabot_raise(
            &error, SABOT_ERR_CLOSED, "pipeline %s has ended before its savepoint%s%s",
            coordinator->config.folder->pipeline, coordinator->error.status == SABOT_OK ? "" : ": ",
            coordinator->error.status == SABOT_OK ? "" : coordinator->error.text);
        end_copy(coordinator, &error);
    }
    return coordinator->copy->done;
}
