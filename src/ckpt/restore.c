/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - finding, matching and reading a checkpoint; restore.h has the order. */
#include "ckpt/restore.h"

#include <stdio.h>
#include <string.h>

#include "base/mutant.h"

void sb_restore_init(struct sb_restore *restore,
                     const struct sb_env *env,
                     const struct sb_ckpt_folder *folder)
{
    *restore = (struct sb_restore){.env = env, .folder = folder};
    sb_manifest_init(&restore->manifest, env);
}

void sb_restore_reset(struct sb_restore *restore)
{
    if (restore->env == NULL)
        return;
    sb_manifest_reset(&restore->manifest);
    if (restore->positions != NULL)
        sb_free_array(restore->env, restore->positions, restore->position_capacity,
                      sizeof *restore->positions);
    *restore = (struct sb_restore){.env = NULL};
}

/* --- Progress ------------------------------------------------------------------------------------
 */

/* The checkpoint is known from now on. */
static void note_stage(const struct sb_restore *restore, enum sb_restore_stage stage)
{
    struct sb_restore_progress *progress = restore->progress;
    uint64_t total = 0;

    if (progress == NULL)
        return;
    for (uint32_t i = 0; i < restore->manifest.file_count; i++)
        total += restore->manifest.files[i].size;
    atomic_store(&progress->id, restore->manifest.id);
    atomic_store(&progress->total, total);
    atomic_store(&progress->stage, stage);
}

bool sb_restore_describe(const struct sb_restore_progress *progress, char *text, size_t size)
{
    const long long id = (long long)atomic_load(&progress->id);
    const uint64_t total = atomic_load(&progress->total);
    const uint64_t read = atomic_load(&progress->read);

    switch ((enum sb_restore_stage)atomic_load(&progress->stage)) {
    case SB_RESTORE_NOT_BEGUN:
    case SB_RESTORE_OVER: return false;
    case SB_RESTORE_FINDING:
        (void)snprintf(text, size, "looking for the checkpoint that counts");
        break;
    case SB_RESTORE_VERIFYING:
        (void)snprintf(text, size, "verifying checkpoint %lld, %llu bytes", id,
                       (unsigned long long)total);
        break;
    case SB_RESTORE_READING:
        (void)snprintf(text, size, "restoring checkpoint %lld, %llu of %llu bytes", id,
                       (unsigned long long)(read < total ? read : total),
                       (unsigned long long)total);
        break;
    }
    return true;
}

/* --- Finding -------------------------------------------------------------------------------------
 */

/* What is damaged leaves a choice. */
static sabot_status raise_damage(sabot_status status, const sabot_error *why, sabot_error *error)
{
    return sabot_raise(error, status,
                       "%s; put the checkpoint back from a copy, " SB_RESTORE_CHOICES, why->text);
}

/* Is nothing done with the checkpoint before all of it is loaded? */
static bool may_defer(const struct sb_restore *restore)
{
    const struct sb_manifest *manifest = &restore->manifest;

    if (!restore->defers || manifest->finished || sb_ckpt_has_rows(manifest))
        return false;
    for (uint32_t i = 0; i < manifest->sink_count; i++) {
        if (manifest->sinks[i].has_length)
            return false;
    }
    return true;
}

static sabot_status read_and_verify(struct sb_restore *restore,
                                    const struct sb_ckpt_entry *entry,
                                    sabot_error *error)
{
    sabot_error why;
    sabot_status status = sb_ckpt_read(restore->folder, entry, &restore->manifest, &why);

    sb_crash_point(restore->env, "restore.manifest_read");
    restore->unverified = status == SABOT_OK && may_defer(restore);
    if (status == SABOT_OK && !restore->unverified) {
        note_stage(restore, SB_RESTORE_VERIFYING);
        status = sb_ckpt_verify(restore->folder, &restore->manifest, &why);
    }
    if (status == SABOT_OK || status == SABOT_ERR_NOT_FOUND)
        return status;
    return raise_damage(status, &why, error);
}

sabot_status sb_restore_find(struct sb_restore *restore, sabot_error *error)
{
    struct sb_ckpt_entry *entries;
    uint32_t count;
    sabot_status status = SABOT_ERR_NOT_FOUND;

    SABOT_TRY(sb_ckpt_list(restore->folder, &entries, &count, error));
    for (uint32_t i = 0; i < count && status == SABOT_ERR_NOT_FOUND; i++)
        status = read_and_verify(restore, &entries[i], error);
    sb_free_array(restore->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    if (status == SABOT_OK) {
        const struct sb_ckpt_entry found = sb_ckpt_entry_of(&restore->manifest);

        status = sb_ckpt_keep(restore->folder, &found, error);
    }
    restore->found = status == SABOT_OK;
    return status == SABOT_ERR_NOT_FOUND ? SABOT_OK : status;
}

sabot_status sb_restore_find_named(struct sb_restore *restore,
                                   const struct sb_commit_mark *mark,
                                   sabot_error *error)
{
    const struct sb_ckpt_entry entry = {.id = mark->id, .nonce = mark->nonce};
    const sabot_status status = read_and_verify(restore, &entry, error);

    sb_crash_point(restore->env, "restore.verified");
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "the committed offsets name checkpoint %lld, nonce %016llx, and %s does "
                           "not have it: put it back from a copy, " SB_RESTORE_CHOICES
                           ", --from-offsets with empty state where the offsets stand",
                           (long long)mark->id, (unsigned long long)mark->nonce,
                           restore->folder->path);
    SABOT_TRY(status);
    if (restore->manifest.checksum != mark->checksum)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "checkpoint %lld in %s is not the one that the committed offsets name: "
                           "its manifest was replaced",
                           (long long)mark->id, restore->folder->path);
    restore->found = true;
    return SABOT_OK;
}

sabot_status sb_restore_find_none(const struct sb_restore *restore, sabot_error *error)
{
    bool had_commit;

    SABOT_TRY(sb_ckpt_had_commit(restore->folder, &had_commit, error));
    if (!had_commit)
        return SABOT_OK;
    return sabot_raise(
        error, SABOT_ERR_STATE,
        "%s has checkpoints that were committed, but the consumer group has no "
        "committed offsets: they have expired or were deleted; put them back, " SB_RESTORE_CHOICES,
        restore->folder->path);
}

void sb_restore_tidy(const struct sb_restore *restore)
{
    const int64_t kept = restore->found ? restore->manifest.id : 0;
    struct sb_ckpt_entry *entries;
    uint32_t count;

    if (sb_ckpt_list(restore->folder, &entries, &count, NULL) != SABOT_OK)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].id > kept ||
            (entries[i].id == kept && entries[i].nonce != restore->manifest.nonce))
            (void)!sb_ckpt_remove(restore->folder, &entries[i], NULL);
        sb_crash_point(restore->env, "restore.tidying");
    }
    sb_free_array(restore->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
}

/* --- Matching ------------------------------------------------------------------------------------
 */

static const struct sb_node *find_node(const struct sb_graph *graph,
                                       enum sb_node_kind kind,
                                       const char *name)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].kind == kind && strcmp(graph->nodes[i].name, name) == 0)
            return &graph->nodes[i];
    }
    return NULL;
}

/* The names of what is gone, as far as there is room. */
struct gone {
    char text[512];
    size_t size;
};

static void note_gone(struct gone *gone, const char *what, const char *name)
{
    const int size = snprintf(gone->text + gone->size, sizeof gone->text - gone->size, "%s%s %s",
                              gone->size == 0 ? "" : ", ", what, name);

    if (size > 0 && (size_t)size < sizeof gone->text - gone->size)
        gone->size += (size_t)size;
}

static sabot_status check_key(const struct sb_manifest_task *task,
                              const struct sb_node *node,
                              sabot_error *error)
{
    const uint32_t type =
        node->key_field == SB_NO_FIELD ? 0 : (uint32_t)node->input->fields[node->key_field].type;

    if (task->key_type == type || task->key_type == 0 || type == 0)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_SCHEMA,
                       "agent %s: its keys are %s now, and were %s when its state was written",
                       task->name, sabot_type_name((sabot_type)type),
                       sabot_type_name((sabot_type)task->key_type));
}

sabot_status sb_restore_check(const struct sb_restore *restore,
                              const struct sb_graph *graph,
                              sabot_error *error)
{
    const struct sb_manifest *manifest = &restore->manifest;
    struct gone gone = {.size = 0};

    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_manifest_task *task = &manifest->tasks[i];
        const struct sb_node *node = find_node(graph, SB_NODE_TASK, task->name);

        if (node == NULL)
            note_gone(&gone, "the agent", task->name);
        else
            SABOT_TRY(check_key(task, node, error));
    }
    for (uint32_t i = 0; i < manifest->source_count; i++) {
        if (find_node(graph, SB_NODE_SOURCE, manifest->sources[i].channel) == NULL)
            note_gone(&gone, "the input", manifest->sources[i].channel);
    }
    for (uint32_t i = 0; i < manifest->sink_count; i++) {
        if (find_node(graph, SB_NODE_SINK, manifest->sinks[i].channel) == NULL)
            note_gone(&gone, "the output", manifest->sinks[i].channel);
    }
    if (gone.size == 0 || restore->drops)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_SCHEMA,
                       "checkpoint %lld of pipeline %s has what the app does not have any more: "
                       "%s; --drop-state goes on without",
                       (long long)manifest->id, manifest->pipeline, gone.text);
}

static sabot_status match_source(struct sb_restore *restore,
                                 const struct sb_graph *graph,
                                 const struct sb_manifest_source *source,
                                 sabot_error *error)
{
    const struct sb_node *node = find_node(graph, SB_NODE_SOURCE, source->channel);
    int32_t partitions;

    if (node == NULL)
        return SABOT_OK; /* sb_restore_check() has looked */
    partitions = node->port.type->partition_count(node->port.channel);
    if ((uint32_t)partitions < source->partition_count)
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "channel %s has %d partitions, and had %u at checkpoint %lld: it is "
                           "another one",
                           source->channel, (int)partitions, source->partition_count,
                           (long long)restore->manifest.id);
    for (uint32_t i = 0; i < source->position_count; i++)
        restore->positions[restore->position_count++] = (struct sb_flow_position){
            .node = node->index,
            .at = source->positions[i],
        };
    return SABOT_OK;
}

static sabot_status match_sink(const struct sb_restore *restore,
                               const struct sb_graph *graph,
                               const struct sb_manifest_sink *sink,
                               sabot_error *error)
{
    const struct sb_node *node = find_node(graph, SB_NODE_SINK, sink->channel);

    if (node == NULL)
        return SABOT_OK; /* sb_restore_check() has looked */
    if (!sink->has_length || node->port.type->resume == NULL)
        return SABOT_OK;
    sb_crash_point(restore->env, "restore.before_cut");
    return node->port.type->resume(node->port.channel, sink->length, error);
}

sabot_status sb_restore_match(struct sb_restore *restore,
                              const struct sb_graph *graph,
                              sabot_error *error)
{
    const struct sb_manifest *manifest = &restore->manifest;

    SABOT_TRY(sb_restore_check(restore, graph, error));
    for (uint32_t i = 0; i < manifest->source_count; i++)
        restore->position_capacity += manifest->sources[i].position_count;
    restore->positions =
        sb_alloc_array(restore->env, restore->position_capacity, sizeof *restore->positions);
    if (restore->positions == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to restore");
    for (uint32_t i = 0; i < manifest->source_count; i++)
        SABOT_TRY(match_source(restore, graph, &manifest->sources[i], error));
    for (uint32_t i = 0; i < manifest->sink_count; i++)
        SABOT_TRY(match_sink(restore, graph, &manifest->sinks[i], error));
    sb_crash_point(restore->env, "restore.matched");
    return SABOT_OK;
}

/* --- State ---------------------------------------------------------------------------------------
 */

/* A run of a file, read from the front. */
struct run {
    struct sb_file *file;
    const struct sb_env *env;
    uint64_t at;
    uint64_t left;
};

/* Exactly so much of a file of chunks. */
static sabot_status read_chunks(void *context,
                                uint64_t at,
                                void *buffer,
                                size_t size,
                                sabot_error *error)
{
    const struct sb_chunks_file *file = context;
    size_t got;

    SABOT_TRY(file->env->type->file_read(file->file, buffer, size, (int64_t)at, &got, error));
    if (file->read != NULL)
        (void)atomic_fetch_add_explicit(file->read, got, memory_order_relaxed);
    if (got == size)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: it ends too soon", file->name);
}

static sabot_status read_run(void *context,
                             void *buffer,
                             size_t size,
                             size_t *size_out,
                             sabot_error *error)
{
    struct run *run = context;
    const size_t wanted = run->left < size ? (size_t)run->left : size;

    SABOT_TRY(
        run->env->type->file_read(run->file, buffer, wanted, (int64_t)run->at, size_out, error));
    run->at += *size_out;
    run->left -= *size_out;
    return SABOT_OK;
}

/* --- Images --------------------------------------------------------------------------------------
 */

sabot_status sb_chunks_open(struct sb_chunks *chunks,
                            const struct sb_ckpt_folder *folder,
                            const struct sb_manifest *manifest,
                            sabot_error *error)
{
    *chunks = (struct sb_chunks){.env = folder->env};
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];
        struct sb_image_file *to = &chunks->files[chunks->count];

        if (file->kind != SB_FILE_CHUNKS)
            continue;
        if (chunks->count == SB_CHAIN_MAX)
            return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: checkpoint %lld has too many files",
                               folder->path, (long long)manifest->id);
        SABOT_TRY(sb_ckpt_open_file(folder, manifest, i, &chunks->opened[chunks->count], error));
        chunks->contexts[chunks->count] =
            (struct sb_chunks_file){folder->env, chunks->opened[chunks->count], file->name, NULL};
        *to = (struct sb_image_file){.name = file->name,
                                     .size = file->size,
                                     .read = read_chunks,
                                     .context = &chunks->contexts[chunks->count]};
        chunks->count++;
    }
    return SABOT_OK;
}

void sb_chunks_close(struct sb_chunks *chunks)
{
    for (uint32_t i = 0; i < chunks->count; i++)
        chunks->env->type->file_close(chunks->env->self, chunks->opened[i]);
    chunks->count = 0;
}

/* What a restore of state has open. */
struct restoring {
    struct sb_restore *restore;
    struct sb_flow *flow;
    struct sb_chunks chunks;
    struct sb_image **images; /* one a task of the manifest; NULL: it has none */
    struct sb_ckpt_reading reading;
};

static sabot_status open_images(struct restoring *restoring, sabot_error *error)
{
    const struct sb_restore *restore = restoring->restore;
    const struct sb_manifest *manifest = &restore->manifest;

    restoring->images =
        sb_alloc_array(restore->env, manifest->task_count, sizeof(struct sb_image *));
    if (restoring->images == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to restore");
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_manifest_task *task = &manifest->tasks[i];

        if (!task->has_image || SB_MUTANT(SHARD_LOST))
            continue;
        if (restoring->chunks.count == 0)
            return sabot_raise(
                error, SABOT_ERR_CORRUPT,
                "checkpoint %lld: agent %s has an image, but there is no file of chunks",
                (long long)manifest->id, task->name);
        SABOT_TRY(sb_image_open(restore->env, restoring->chunks.files, restoring->chunks.count,
                                task->image_node, &restoring->images[i], error));
    }
    return SABOT_OK;
}

static sabot_status convert_shard(const struct restoring *restoring,
                                  struct sb_image *image,
                                  uint32_t node,
                                  uint32_t shard,
                                  sabot_error *error)
{
    struct sb_ckpt_shard logical;
    struct sb_byte_source source;
    sabot_status status =
        sb_ckpt_shard_open(&logical, &restoring->reading, image, shard, &source, error);

    if (status == SABOT_OK)
        status = sb_flow_restore(restoring->flow, node, shard, &source, error);
    sb_ckpt_shard_close(&logical);
    return status;
}

static sabot_status restore_image(const struct restoring *restoring,
                                  struct sb_image *image,
                                  uint32_t node,
                                  sabot_error *error)
{
    const bool converts = restoring->reading.rows != NULL && sb_image_has_rows(image);

    if (converts)
        sb_image_set_rows(image, restoring->reading.rows);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        if (!sb_image_has_shard(image, shard))
            continue;
        sb_crash_point(restoring->restore->env, "restore.shard");
        if (converts)
            SABOT_TRY(convert_shard(restoring, image, node, shard, error));
        else
            SABOT_TRY(sb_flow_restore_image(restoring->flow, node, shard, image, error));
    }
    return SABOT_OK;
}

/* --- The database --------------------------------------------------------------------------------
 */

/* Are the states that have rows the same, as are those who have them? */
static bool fits(const struct restoring *restoring)
{
    const struct sb_manifest *manifest = &restoring->restore->manifest;

    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_image *image = restoring->images[i];
        const struct sb_node *node;
        const struct sb_store *store;

        if (image == NULL || !sb_image_has_rows(image))
            continue;
        node = find_node(restoring->flow->graph, SB_NODE_TASK, manifest->tasks[i].name);
        store = node == NULL ? NULL : sb_flow_store(restoring->flow, 0, node->index);
        if (store == NULL || !sb_store_fits(store, image))
            return false;
    }
    return true;
}

static void adopt_rows(const struct restoring *restoring)
{
    const struct sb_manifest *manifest = &restoring->restore->manifest;
    const struct sb_flow *flow = restoring->flow;

    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_node *node = find_node(flow->graph, SB_NODE_TASK, manifest->tasks[i].name);

        if (restoring->images[i] == NULL || !sb_image_has_rows(restoring->images[i]))
            continue;
        for (uint32_t worker = 0; worker < flow->config.workers; worker++)
            sb_store_adopt_rows(sb_flow_store(flow, worker, node->index));
    }
}

static sabot_status start_database(struct restoring *restoring, sabot_error *error)
{
    struct sb_restore *restore = restoring->restore;
    const struct sb_database *database = restore->database;
    const bool has_rows = sb_ckpt_has_rows(&restore->manifest);
    const char *folder;

    restore->adopted = database != NULL && has_rows && fits(restoring);
    if (database != NULL) {
        SABOT_TRY(database->prepare(database->context, &folder, error));
        if (restore->adopted)
            SABOT_TRY(sb_ckpt_put_rows(restore->folder, &restore->manifest, folder, error));
        SABOT_TRY(database->start(database->context, restore->adopted, error));
        sb_crash_point(restore->env, "restore.rows_started");
    }
    if (restore->adopted) {
        adopt_rows(restoring);
        return SABOT_OK;
    }
    if (has_rows)
        sb_log(restore->env, SABOT_LOG_INFO, restore->manifest.pipeline,
               "its states are others than in checkpoint %lld, or kept elsewhere: they are "
               "written anew",
               (long long)restore->manifest.id);
    return sb_ckpt_read_rows(&restoring->reading, restore->folder, &restore->manifest,
                             restore->reader, error);
}

/* --- Logical shards ------------------------------------------------------------------------------
 */

/* Let `reader` read one shard. */
static sabot_status with_shard(struct sb_restore *restore,
                               const struct sb_node *node,
                               const struct sb_manifest_shard *shard,
                               sb_restore_reader reader,
                               void *context,
                               sabot_error *error)
{
    struct run run = {.env = restore->env, .at = shard->start, .left = shard->size};
    const struct sb_byte_source source = {.read = read_run, .context = &run};
    sabot_status status;

    SABOT_TRY(
        sb_ckpt_open_file(restore->folder, &restore->manifest, shard->file, &run.file, error));
    status = reader(context, node, &source, error);
    restore->env->type->file_close(restore->env->self, run.file);
    return status;
}

sabot_status sb_restore_sample(struct sb_restore *restore,
                               const struct sb_graph *graph,
                               sb_restore_reader reader,
                               void *context,
                               sabot_error *error)
{
    const struct sb_manifest *manifest = &restore->manifest;

    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_manifest_task *task = &manifest->tasks[i];
        const struct sb_node *node = find_node(graph, SB_NODE_TASK, task->name);

        if (node != NULL && task->shard_count > 0)
            SABOT_TRY(with_shard(restore, node, &task->shards[0], reader, context, error));
    }
    return SABOT_OK;
}

/* Where a shard goes. */
struct target {
    struct sb_flow *flow;
    uint32_t shard;
};

static sabot_status give_to_flow(void *context,
                                 const struct sb_node *node,
                                 const struct sb_byte_source *source,
                                 sabot_error *error)
{
    const struct target *target = context;

    return sb_flow_restore(target->flow, node->index, target->shard, source, error);
}

static sabot_status restore_task(const struct restoring *restoring,
                                 uint32_t index,
                                 sabot_error *error)
{
    struct sb_restore *restore = restoring->restore;
    const struct sb_manifest_task *task = &restore->manifest.tasks[index];
    const struct sb_node *node = find_node(restoring->flow->graph, SB_NODE_TASK, task->name);
    struct target target = {.flow = restoring->flow};

    if (node == NULL)
        return SABOT_OK; /* dropped: sb_restore_match() has looked */
    sb_flow_restore_time(restoring->flow, node->index, task->watermark_ms);
    if (restoring->images[index] != NULL)
        SABOT_TRY(restore_image(restoring, restoring->images[index], node->index, error));
    for (uint32_t at = 0; at < task->shard_count; at++) {
        sb_crash_point(restore->env, "restore.shard");
        target.shard = task->shards[at].shard;
        SABOT_TRY(with_shard(restore, node, &task->shards[at], give_to_flow, &target, error));
    }
    return SABOT_OK;
}

static void end_restoring(struct restoring *restoring)
{
    const struct sb_restore *restore = restoring->restore;
    const uint32_t count = restore->manifest.task_count;

    for (uint32_t i = 0; restoring->images != NULL && i < count; i++)
        sb_image_close(restoring->images[i]);
    sb_free_array(restore->env, restoring->images, count, sizeof(struct sb_image *));
    sb_ckpt_end_reading(&restoring->reading);
    sb_chunks_close(&restoring->chunks);
}

/* --- Verifying beside it -------------------------------------------------------------------------
 */

struct verifying {
    const struct sb_restore *restore;
    sabot_status status;
    sabot_error error;
    struct sb_waker *waker;
    struct sb_thread *thread;
};

static struct sb_step verify(void *context)
{
    struct verifying *verifying = context;
    const struct sb_restore *restore = verifying->restore;

    verifying->status = sb_ckpt_verify(restore->folder, &restore->manifest, &verifying->error);
    return sb_step_done();
}

/* Where there is no thread for it, it is done first. */
static void begin_verifying(struct verifying *verifying, const struct sb_restore *restore)
{
    const struct sb_env *env = restore->env;

    *verifying = (struct verifying){.restore = restore, .status = SABOT_OK};
    if (!restore->unverified)
        return;
    if (env->type->waker_create(env->self, &verifying->waker, NULL) != SABOT_OK ||
        env->type->spawn(env->self, "sabot-verify", verify, verifying, verifying->waker,
                         &verifying->thread, NULL) != SABOT_OK)
        (void)verify(verifying);
}

/* `loaded`: how loading has ended; of two failures that of the bytes is the cause. */
static sabot_status end_verifying(struct verifying *verifying,
                                  sabot_status loaded,
                                  sabot_error *error)
{
    const struct sb_env *env = verifying->restore->env;

    if (verifying->thread != NULL)
        env->type->join(env->self, verifying->thread);
    if (verifying->waker != NULL)
        env->type->waker_destroy(env->self, verifying->waker);
    if (verifying->status == SABOT_OK)
        return loaded;
    return raise_damage(verifying->status, &verifying->error, error);
}

static sabot_status load(struct sb_restore *restore, struct sb_flow *flow, sabot_error *error)
{
    struct restoring restoring = {.restore = restore, .flow = flow};
    sabot_status status =
        sb_chunks_open(&restoring.chunks, restore->folder, &restore->manifest, error);

    note_stage(restore, SB_RESTORE_READING);
    for (uint32_t i = 0; restore->progress != NULL && i < restoring.chunks.count; i++)
        restoring.chunks.contexts[i].read = &restore->progress->read;
    if (status == SABOT_OK)
        status = open_images(&restoring, error);
    if (status == SABOT_OK)
        status = start_database(&restoring, error);
    for (uint32_t i = 0; status == SABOT_OK && i < restore->manifest.task_count; i++)
        status = restore_task(&restoring, i, error);
    end_restoring(&restoring);
    return status;
}

sabot_status sb_restore_state(struct sb_restore *restore, struct sb_flow *flow, sabot_error *error)
{
    struct verifying verifying;
    sabot_status status;

    begin_verifying(&verifying, restore);
    status = load(restore, flow, error);
    SABOT_TRY(end_verifying(&verifying, status, error));
    restore->unverified = false;
    sb_crash_point(restore->env, "restore.complete");
    return SABOT_OK;
}
