/* SPDX-License-Identifier: Apache-2.0 */
/* control_savepoint.c - the request "savepoint.create": every pipeline makes a copy with its next
 * checkpoint, or with its last when the run is to stop; when all have, the savepoint is sealed.
 *
 *     path --> folders --> a copy of each coordinator (ckpt/coordinator.h) --> head --> answer
 *
 * With an agent, or an agent and a key, only that much is copied: how state of a run is looked at.
 *
 * One is made at a time. Threads: the run's control. Memory: a struct sb_saving. */
#include "api/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/inspect.h"
#include "ckpt/savepoint.h"
#include "state/rows.h"

struct saving_pipeline {
    struct sb_coordinator *coordinator; /* NULL: it takes no part */
    struct sb_ckpt_folder folder;
    struct sb_coordinator_copy copy;
};

struct sb_saving {
    struct sb_savepoint savepoint; /* of which path, app and pipelines are filled in */
    uint32_t count;
    uint32_t capacity;                 /* as many as the plan's */
    struct saving_pipeline *pipelines; /* of which `count` are filled in */
};

void sb_saving_destroy(const struct sb_env *env, struct sb_saving *saving)
{
    if (saving == NULL)
        return;
    for (uint32_t i = 0; saving->pipelines != NULL && i < saving->count; i++)
        sb_ckpt_folder_close(&saving->pipelines[i].folder);
    sb_free_array(env, saving->pipelines, saving->capacity, sizeof *saving->pipelines);
    sb_arena_reset(&saving->savepoint.arena);
    sb_free(env, saving, sizeof *saving);
}

/* What was written of one that failed goes again. */
static void undo(sabot_run *run)
{
    struct sb_saving *saving = run->saving;
    const struct sb_env *env = run->env;
    char path[SB_CKPT_PATH_MAX];

    for (uint32_t i = 0; i < saving->count; i++) {
        struct saving_pipeline *pipeline = &saving->pipelines[i];

        if (pipeline->folder.path == NULL)
            continue;
        if (pipeline->copy.done && pipeline->copy.result.error.status == SABOT_OK)
            (void)!sb_ckpt_remove(&pipeline->folder, &pipeline->copy.result.entry, NULL);
        (void)!env->type->path_remove(env->self, pipeline->folder.path, NULL);
    }
    (void)snprintf(path, sizeof path, "%s/%s", saving->savepoint.path, run->app->name);
    (void)!env->type->path_remove(env->self, path, NULL);
    (void)!env->type->path_remove(env->self, saving->savepoint.path, NULL);
}

static void end_saving(sabot_run *run)
{
    if (run->saving == NULL)
        return; /* there was no memory for it */
    for (uint32_t i = 0; i < run->saving->count; i++) {
        if (run->saving->pipelines[i].coordinator != NULL)
            run->saving->pipelines[i].coordinator->copy = NULL;
    }
    sb_saving_destroy(run->env, run->saving);
    run->saving = NULL;
}

/* --- What is asked for ---------------------------------------------------------------------------
 */

/* The agent's node in a pipeline; NULL: it has none there. */
static const struct sb_node *find_agent(const struct sb_plan_pipeline *pipeline, const char *agent)
{
    for (uint32_t i = 0; i < pipeline->graph.node_count; i++) {
        const struct sb_node *node = &pipeline->graph.nodes[i];

        if (node->kind == SB_NODE_TASK && strcmp(node->name, agent) == 0)
            return node;
    }
    return NULL;
}

/* The shard of a key that is given as text. */
static sabot_status find_shard(const struct sb_plan_pipeline *pipeline,
                               const struct sb_node *node,
                               const char *key,
                               uint32_t *shard_out,
                               sabot_error *error)
{
    struct sb_buffer bytes;
    sabot_status status;

    if (node->key_field == SB_NO_FIELD)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "agent %s has no key", node->name);
    sb_buffer_init(&bytes, pipeline->flow->env);
    status = sb_inspect_key_parse(&bytes, key, (uint32_t)node->input->fields[node->key_field].type,
                                  error);
    if (status == SABOT_OK)
        *shard_out =
            sb_hash_shard(sb_hash(bytes.data, bytes.size, pipeline->flow->config.hash_seed));
    sb_buffer_reset(&bytes);
    return status;
}

static sabot_status add_pipeline(struct sb_saving *saving,
                                 struct sb_plan_pipeline *planned,
                                 struct sb_account *account,
                                 const struct sb_control_request *request,
                                 sabot_error *error)
{
    struct saving_pipeline *pipeline = &saving->pipelines[saving->count++];
    const char *agent = sb_control_argument(request, "agent");
    const char *key = sb_control_argument(request, "key");
    const char *stop = sb_control_argument(request, "stop");
    const struct sb_node *node = agent == NULL ? NULL : find_agent(planned, agent);

    if (agent != NULL && node == NULL)
        return SABOT_OK;
    if (planned->flow == NULL)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "pipeline %s: its inputs had ended before this run: there is nothing to "
                           "save of it but its last checkpoint",
                           planned->name);
    pipeline->coordinator = &planned->recovery.coordinator;
    pipeline->copy = (struct sb_coordinator_copy){
        .folder = &pipeline->folder,
        .only_task = node == NULL ? NULL : node->name,
        .only_shard = SB_COPY_ALL,
        .account = account,
        .reader = &sb_rocksdb_reader,
        .at_end = stop != NULL && strcmp(stop, "true") == 0,
    };
    if (key != NULL && node != NULL)
        SABOT_TRY(find_shard(planned, node, key, &pipeline->copy.only_shard, error));
    return sb_ckpt_folder_open(&pipeline->folder, planned->flow->env, saving->savepoint.path,
                               planned->recovery.folder.app, planned->name, error);
}

static sabot_status fill(sabot_run *run,
                         const struct sb_control_request *request,
                         sabot_error *error)
{
    struct sb_saving *saving = run->saving;
    bool has_any = false;

    SB_ASSERT(saving != NULL);
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++)
        SABOT_TRY(add_pipeline(saving, &run->plan.pipelines[i], run->plan.account, request, error));
    for (uint32_t i = 0; i < saving->count; i++) {
        struct saving_pipeline *pipeline = &saving->pipelines[i];

        if (pipeline->coordinator == NULL)
            continue;
        has_any = true;
        SABOT_TRY(sb_coordinator_copy(pipeline->coordinator, &pipeline->copy, error));
    }
    if (!has_any)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "the app has no agent %s",
                           sb_control_argument(request, "agent"));
    return SABOT_OK;
}

static sabot_status make_saving(sabot_run *run, const char *path, sabot_error *error)
{
    struct sb_saving *saving = sb_alloc(run->env, sizeof *saving);

    if (saving == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
    run->saving = saving;
    sb_arena_init(&saving->savepoint.arena, run->env);
    saving->capacity = run->plan.pipeline_count;
    saving->savepoint.env = run->env;
    saving->savepoint.app = run->app->name;
    saving->savepoint.time_ms = sb_wall_ms(run->env);
    saving->savepoint.path = sb_arena_copy(&saving->savepoint.arena, path, strlen(path));
    saving->savepoint.pipelines = sb_arena_alloc(
        &saving->savepoint.arena, run->plan.pipeline_count * sizeof *saving->savepoint.pipelines);
    saving->pipelines =
        sb_alloc_array(run->env, run->plan.pipeline_count, sizeof *saving->pipelines);
    if (saving->savepoint.path == NULL || saving->savepoint.pipelines == NULL ||
        saving->pipelines == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
    return SABOT_OK;
}

/* --- The steps -----------------------------------------------------------------------------------
 */

static sabot_status begin(sabot_run *run, struct sb_control_request *request, sabot_error *error)
{
    const char *path = sb_control_argument(request, "path");
    const char *stop = sb_control_argument(request, "stop");
    sabot_status status;

    if (path == NULL || path[0] != '/')
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "savepoint.create: expected path=/...");
    if (run->saving != NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "a savepoint is being made already: %s",
                           run->saving->savepoint.path);
    status = make_saving(run, path, error);
    if (status == SABOT_OK)
        status = sb_savepoint_begin(run->env, path, error);
    if (status != SABOT_OK) {
        end_saving(run);
        return status;
    }
    SB_ASSERT(run->saving != NULL);
    status = fill(run, request, error);
    if (status != SABOT_OK) {
        undo(run);
        end_saving(run);
        return status;
    }
    request->memo[0] = 1;
    if (stop != NULL && strcmp(stop, "true") == 0)
        sabot_run_stop(run);
    return SABOT_AGAIN;
}

static sabot_status answer(const sabot_run *run, struct sb_buffer *out)
{
    const struct sb_savepoint *savepoint = &run->saving->savepoint;

    SABOT_TRY(sb_buffer_format(out, "\"path\":"));
    SABOT_TRY(sb_control_quote(out, savepoint->path));
    SABOT_TRY(sb_buffer_format(out, ",\"pipelines\":["));
    for (uint32_t i = 0; i < savepoint->pipeline_count; i++)
        SABOT_TRY(sb_buffer_format(out, "%s{\"pipeline\":\"%s\",\"id\":%" PRId64 "}",
                                   i == 0 ? "" : ",", savepoint->pipelines[i].name,
                                   savepoint->pipelines[i].entry.id));
    return sb_buffer_format(out, "]");
}

static sabot_status finish(sabot_run *run, struct sb_control_request *request, sabot_error *error)
{
    struct sb_saving *saving = run->saving;
    struct sb_savepoint *savepoint = &saving->savepoint;

    for (uint32_t i = 0; i < saving->count; i++) {
        const struct saving_pipeline *pipeline = &saving->pipelines[i];

        if (pipeline->coordinator == NULL)
            continue;
        if (pipeline->copy.result.error.status != SABOT_OK) {
            *error = pipeline->copy.result.error;
            return error->status;
        }
        savepoint->pipelines[savepoint->pipeline_count++] = (struct sb_savepoint_pipeline){
            .name = run->plan.pipelines[i].name,
            .entry = pipeline->copy.result.entry,
            .checksum = pipeline->copy.result.checksum,
        };
    }
    SABOT_TRY(sb_savepoint_seal(savepoint, error));
    if (answer(run, &request->answer) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an answer");
    return SABOT_OK;
}

sabot_status sb_serve_savepoint(void *context,
                                struct sb_control_request *request,
                                sabot_error *error)
{
    sabot_run *run = context;
    bool done = true;
    sabot_status status;

    if (request->memo[0] == 0)
        return begin(run, request, error);
    for (uint32_t i = 0; i < run->saving->count; i++) {
        struct saving_pipeline *pipeline = &run->saving->pipelines[i];

        done =
            (pipeline->coordinator == NULL || sb_coordinator_copied(pipeline->coordinator)) && done;
    }
    if (!done)
        return SABOT_AGAIN;
    status = finish(run, request, error);
    if (status != SABOT_OK)
        undo(run);
    end_saving(run);
    return status;
}
