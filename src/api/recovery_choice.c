/* SPDX-License-Identifier: Apache-2.0 */
/* recovery_choice.c - another recovery point than the one that counts; recovery_choice.h has the
 * order. */
#include "api/recovery_choice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/catalog.h"
#include "base/parse.h"
#include "ckpt/savepoint.h"
#include "op/process.h"

enum { NAMED_MAX = 3 /* partitions in a text */, KEPT_NAMED_MAX = 8 };

/* What was chosen, open. */
struct chosen {
    struct sb_savepoint savepoint; /* of which it is a part; or unused */
    struct sb_ckpt_folder folder;
    struct sb_restore source; /* its manifest, verified */
    bool is_savepoint;
    bool is_missing; /* the savepoint has nothing of this pipeline */
};

sabot_status sb_choice_read(struct sb_choice *choice,
                            const sabot_config *config,
                            sabot_error *error)
{
    const char *restore = sb_config_text(config, "checkpoint.restore");

    *choice = (struct sb_choice){
        .restore = restore == NULL || *restore == '\0' ? NULL : restore,
        .force = sb_config_bool(config, "checkpoint.force"),
        .from_offsets = sb_config_bool(config, "checkpoint.from_offsets"),
        .reset = sb_config_bool(config, "checkpoint.reset"),
        .drops_state = sb_config_bool(config, "checkpoint.drop_state"),
    };
    if ((choice->restore != NULL) + choice->from_offsets + choice->reset > 1)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "--restore, --from-offsets and --reset: only one of them says where to "
                           "go on");
    if (choice->force && choice->restore == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG, "--force: it goes with --restore only");
    return SABOT_OK;
}

void sb_choice_name_kept(const struct sb_ckpt_folder *folder, sabot_error *error)
{
    struct sb_ckpt_entry *entries;
    uint32_t count;
    uint32_t named = 0;
    size_t size;

    if (error == NULL || sb_ckpt_list(folder, &entries, &count, NULL) != SABOT_OK)
        return;
    for (uint32_t i = 0; i < count && named < KEPT_NAMED_MAX; i++) {
        if (!sb_ckpt_exists(folder, &entries[i]))
            continue;
        size = strlen(error->text);
        (void)snprintf(error->text + size, sizeof error->text - size, "%s %" PRId64,
                       named++ == 0 ? "; checkpoints that are kept, for --restore ID --force:"
                                    : ",",
                       entries[i].id);
    }
    sb_free_array(folder->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
}

/* --- Opening what was chosen ---------------------------------------------------------------------
 */

static void close_chosen(struct chosen *chosen)
{
    sb_restore_reset(&chosen->source);
    sb_savepoint_close(&chosen->savepoint);
}

static sabot_status open_savepoint(struct chosen *chosen,
                                   const struct sb_recovery *recovery,
                                   const char *path,
                                   sabot_error *error)
{
    const struct sb_savepoint_pipeline *pipeline;

    SABOT_TRY(sb_savepoint_open(&chosen->savepoint, recovery->env, path, error));
    if (strcmp(chosen->savepoint.app, recovery->folder.app) != 0)
        return sabot_raise(error, SABOT_ERR_STATE, "savepoint %s is of app %s, not of %s", path,
                           chosen->savepoint.app, recovery->folder.app);
    chosen->is_savepoint = true;
    pipeline = sb_savepoint_find(&chosen->savepoint, recovery->folder.pipeline);
    chosen->is_missing = pipeline == NULL;
    if (pipeline == NULL)
        return SABOT_OK;
    SABOT_TRY(sb_savepoint_folder(&chosen->savepoint, pipeline, &chosen->folder, error));
    sb_restore_init(&chosen->source, recovery->env, &chosen->folder);
    return sb_savepoint_read(&chosen->savepoint, pipeline, &chosen->source.manifest, error);
}

/* The checkpoint with this id. Two may have it when a worker was killed; none can tell them apart.
 */
static sabot_status find_entry(const struct sb_ckpt_folder *folder,
                               int64_t id,
                               struct sb_ckpt_entry *entry_out,
                               sabot_error *error)
{
    struct sb_ckpt_entry *entries;
    uint32_t count;
    uint32_t found = 0;

    SABOT_TRY(sb_ckpt_list(folder, &entries, &count, error));
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].id != id || !sb_ckpt_exists(folder, &entries[i]))
            continue;
        *entry_out = entries[i];
        found++;
    }
    sb_free_array(folder->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    if (found == 1)
        return SABOT_OK;
    (void)sabot_raise(error, SABOT_ERR_STATE,
                      "--restore %" PRId64 ": %s has %s checkpoint %" PRId64, id, folder->path,
                      found == 0 ? "no" : "more than one", id);
    sb_choice_name_kept(folder, error);
    return SABOT_ERR_STATE;
}

static sabot_status open_checkpoint(struct chosen *chosen,
                                    const struct sb_recovery *recovery,
                                    const char *id_text,
                                    sabot_error *error)
{
    struct sb_ckpt_entry entry;
    int64_t id;

    if (!sb_parse_int64(id_text, &id) || id < 1)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "--restore %.200s: expected the id of a checkpoint, or the path of a "
                           "savepoint with a / in it",
                           id_text);
    chosen->folder = recovery->folder;
    sb_restore_init(&chosen->source, recovery->env, &chosen->folder);
    SABOT_TRY(find_entry(&recovery->folder, id, &entry, error));
    SABOT_TRY(sb_ckpt_read(&recovery->folder, &entry, &chosen->source.manifest, error));
    return sb_ckpt_verify(&recovery->folder, &chosen->source.manifest, error);
}

/* --- Is it what counts? --------------------------------------------------------------------------
 */

static const struct sb_part_position *find_position(const struct sb_manifest *manifest,
                                                    const char *channel,
                                                    int32_t partition)
{
    for (uint32_t i = 0; i < manifest->source_count; i++) {
        const struct sb_manifest_source *source = &manifest->sources[i];

        for (uint32_t at = 0; strcmp(source->channel, channel) == 0 && at < source->position_count;
             at++) {
            if (source->positions[at].partition == partition)
                return &source->positions[at];
        }
    }
    return NULL;
}

/* Where `counting` has come further than `other`, in words: "in, partition 0, from 10 to 20". */
static uint32_t describe_repeats(const struct sb_manifest *counting,
                                 const struct sb_manifest *other,
                                 char *text,
                                 size_t size)
{
    uint32_t count = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < counting->source_count; i++) {
        const struct sb_manifest_source *source = &counting->sources[i];

        for (uint32_t at = 0; at < source->position_count; at++) {
            const struct sb_part_position *position = &source->positions[at];
            const struct sb_part_position *back =
                find_position(other, source->channel, position->partition);
            const size_t used = strlen(text);

            if (back != NULL && back->offset == position->offset &&
                back->opaque.size == position->opaque.size &&
                memcmp(back->opaque.bytes, position->opaque.bytes, back->opaque.size) == 0)
                continue;
            if (count++ >= NAMED_MAX)
                continue;
            (void)snprintf(text + used, size - used,
                           "%s%s, partition %" PRId32 ", from offset %" PRId64 " to %" PRId64,
                           count == 1 ? "" : "; ", source->channel, position->partition,
                           back == NULL ? 0 : back->offset, position->offset);
        }
    }
    if (count > NAMED_MAX) {
        const size_t used = strlen(text);

        (void)snprintf(text + used, size - used, "; and %u more partitions", count - NAMED_MAX);
    }
    return count;
}

/* Is it the checkpoint that was committed last, or a copy of it? In another state directory, or
 * when that checkpoint is damaged, only the offsets tell. That they are the same is not enough: a
 * timer may have fired since, and nothing was read. */
static bool is_committed(const struct sb_recovery *recovery, const struct sb_manifest *manifest)
{
    const struct sb_commit_mark *mark = &recovery->mark;

    if (recovery->commit == NULL ||
        (recovery->has_mark && (mark->id != manifest->id || mark->owner != manifest->owner)))
        return false;
    return sb_commit_compare(recovery->commit, manifest, NULL) == SABOT_OK;
}

/* Without --force: is it the same as what counts? Else the text says what would be repeated. */
static sabot_status check_force(const struct sb_recovery *recovery,
                                const struct sb_choice *choice,
                                const struct chosen *chosen,
                                sabot_status counted,
                                const sabot_error *why,
                                sabot_error *error)
{
    const struct sb_restore *restore = &recovery->restore;
    const char *again;
    char repeats[512];

    if (choice->force || is_committed(recovery, &chosen->source.manifest))
        return SABOT_OK;
    if (counted != SABOT_OK)
        return sabot_raise(
            error, SABOT_ERR_STATE,
            "--restore %.200s needs --force here, for which checkpoint counts is not "
            "known: %.600s",
            choice->restore, why->text);
    if (!restore->found && chosen->is_savepoint)
        return SABOT_OK;
    if (!restore->found)
        return sabot_raise(
            error, SABOT_ERR_STATE,
            "--restore %s: that checkpoint was never committed; --force goes on from "
            "it all the same",
            choice->restore);
    again = repeats;
    if (describe_repeats(&restore->manifest, &chosen->source.manifest, repeats, sizeof repeats) ==
        0) {
        if (recovery->commit == NULL)
            return SABOT_OK;
        again = "no records, but timers that have fired since fire again";
    }
    return sabot_raise(error, SABOT_ERR_STATE,
                       "--restore %.200s is not the checkpoint that counts, which is %" PRId64
                       ": with --force these are read again: %s; topics get what follows from them "
                       "a second time, files are cut back",
                       choice->restore, restore->manifest.id, again);
}

/* --- Does the app understand it? -----------------------------------------------------------------
 */

struct rehearsal {
    const struct sb_env *env;
    uint64_t hash_seed;
    bool drops_state;
};

/* Into a store of its own, which is thrown away. */
static sabot_status rehearse_agent(void *context,
                                   const struct sb_node *node,
                                   const struct sb_byte_source *source,
                                   sabot_error *error)
{
    const struct rehearsal *rehearsal = context;
    const struct sb_keyed_settings *keyed = node->keyed;
    struct sb_store_config config = {
        .env = rehearsal->env,
        .owner = node->name,
        .hash_seed = rehearsal->hash_seed,
        .drops_unknown = rehearsal->drops_state,
    };
    struct sb_store *store;
    sabot_status status;

    if (keyed == NULL || keyed->state_count == 0)
        return SABOT_OK;
    config.states = keyed->states;
    config.state_count = keyed->state_count;
    SABOT_TRY(sb_store_create(&config, &store, error));
    status = sb_store_restore(store, source, error);
    sb_store_destroy(store);
    return status;
}

/* Before anything counts that an app can't read. */
static sabot_status rehearse(struct chosen *chosen,
                             const struct sb_choice *choice,
                             const struct sb_graph *graph,
                             sabot_error *error)
{
    struct rehearsal rehearsal = {
        .env = chosen->source.env,
        .hash_seed = chosen->source.manifest.hash_seed,
        .drops_state = choice->drops_state,
    };

    chosen->source.drops = choice->drops_state;
    SABOT_TRY(sb_restore_check(&chosen->source, graph, error));
    return sb_restore_sample(&chosen->source, graph, rehearse_agent, &rehearsal, error);
}

/* --- Taking it -----------------------------------------------------------------------------------
 */

/* Behind all that was ever here. */
static sabot_status next_id(const struct sb_recovery *recovery, int64_t *id_out, sabot_error *error)
{
    struct sb_ckpt_entry *entries;
    uint32_t count;

    SABOT_TRY(sb_ckpt_list(&recovery->folder, &entries, &count, error));
    *id_out = count == 0 ? 1 : entries[0].id + 1;
    sb_free_array(recovery->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    if (recovery->restore.found && *id_out <= recovery->restore.manifest.id)
        *id_out = recovery->restore.manifest.id + 1;
    return SABOT_OK;
}

/* An output that was begun anew has nothing that could be cut. */
static sabot_status forget_lengths(struct sb_manifest *manifest,
                                   struct sb_arena *arena,
                                   const struct sb_graph *graph)
{
    struct sb_manifest_sink *sinks =
        sb_arena_alloc(arena, (manifest->sink_count + 1) * sizeof *sinks);

    if (sinks == NULL)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = 0; i < manifest->sink_count; i++) {
        sinks[i] = manifest->sinks[i];
        for (uint32_t n = 0; n < graph->node_count; n++) {
            const struct sb_node *node = &graph->nodes[n];

            if (node->kind == SB_NODE_SINK && strcmp(node->name, sinks[i].channel) == 0 &&
                node->port.type->is_empty != NULL && node->port.type->is_empty(node->port.channel))
                sinks[i].length = 0;
        }
    }
    manifest->sinks = sinks;
    return SABOT_OK;
}

/* It is written: from here on it is a checkpoint like any. */
static sabot_status read_back(struct sb_recovery *recovery,
                              const struct sb_manifest *written,
                              sabot_error *error)
{
    const struct sb_ckpt_entry entry = {.id = written->id, .nonce = written->nonce};
    struct sb_restore *restore = &recovery->restore;
    const bool drops = restore->drops;

    sb_restore_reset(restore);
    sb_restore_init(restore, recovery->env, &recovery->folder);
    restore->drops = drops;
    SABOT_TRY(sb_ckpt_read(&recovery->folder, &entry, &restore->manifest, error));
    restore->found = true;
    return SABOT_OK;
}

static sabot_status fill_in(struct sb_recovery *recovery,
                            struct sb_manifest *manifest,
                            sabot_error *error)
{
    sb_crash_point(recovery->env, "restore.writing");
    SABOT_TRY(next_id(recovery, &manifest->id, error));
    manifest->app = recovery->folder.app;
    manifest->pipeline = recovery->folder.pipeline;
    manifest->nonce = sb_random(recovery->env);
    manifest->owner = recovery->owner;
    manifest->staged = recovery->commit != NULL;
    manifest->time_ms = sb_wall_ms(recovery->env);
    return SABOT_OK;
}

static sabot_status adopt(struct sb_recovery *recovery,
                          struct chosen *chosen,
                          const struct sb_graph *graph,
                          sabot_error *error)
{
    struct sb_manifest manifest = chosen->source.manifest; /* texts and arena stay the other's */

    if (chosen->is_savepoint)
        manifest.origin = chosen->source.manifest.nonce;
    SABOT_TRY(fill_in(recovery, &manifest, error));
    if (forget_lengths(&manifest, &chosen->source.manifest.arena, graph) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to restore");
    SABOT_TRY(sb_ckpt_copy(&recovery->folder, &manifest, &chosen->folder, &chosen->source.manifest,
                           error));
    sb_log(recovery->env, SABOT_LOG_INFO, recovery->folder.pipeline,
           "checkpoint %" PRId64 " is a copy of checkpoint %" PRId64 " in %s", manifest.id,
           chosen->source.manifest.id, chosen->folder.path);
    return read_back(recovery, &manifest, error);
}

static sabot_status take_restore(struct sb_recovery *recovery,
                                 const struct sb_choice *choice,
                                 const struct sb_graph *graph,
                                 struct chosen *chosen,
                                 sabot_status counted,
                                 const sabot_error *why,
                                 bool *adopted_out,
                                 sabot_error *error)
{
    const struct sb_restore *restore = &recovery->restore;
    const bool has_counting = counted == SABOT_OK && restore->found;

    if (chosen->is_missing) { /* a pipeline that is newer than the savepoint */
        if (counted != SABOT_OK)
            *error = *why;
        return counted;
    }
    if (has_counting && !chosen->is_savepoint &&
        restore->manifest.nonce == chosen->source.manifest.nonce)
        return SABOT_OK;
    if (has_counting && !choice->force && chosen->is_savepoint &&
        restore->manifest.origin == chosen->source.manifest.nonce) {
        sb_log(recovery->env, SABOT_LOG_INFO, recovery->folder.pipeline,
               "savepoint %s was restored before: checkpoint %" PRId64
               " goes back to it, and is gone on from",
               choice->restore, restore->manifest.id);
        return SABOT_OK;
    }
    SABOT_TRY(check_force(recovery, choice, chosen, counted, why, error));
    sb_crash_point(recovery->env, "restore.rehearsing");
    SABOT_TRY(rehearse(chosen, choice, graph, error));
    SABOT_TRY(adopt(recovery, chosen, graph, error));
    *adopted_out = true;
    return SABOT_OK;
}

static sabot_status take_offsets(struct sb_recovery *recovery,
                                 uint64_t hash_seed,
                                 bool *adopted_out,
                                 sabot_error *error)
{
    struct sb_manifest manifest;
    sabot_status status;

    if (recovery->commit == NULL)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "--from-offsets: pipeline %s commits no offsets to a consumer group",
                           recovery->folder.pipeline);
    sb_manifest_init(&manifest, recovery->env);
    manifest.hash_seed = hash_seed;
    status = sb_commit_describe(recovery->commit, &manifest, error);
    if (status == SABOT_OK)
        status = fill_in(recovery, &manifest, error);
    if (status == SABOT_OK)
        status = sb_ckpt_write(&recovery->folder, &manifest, error);
    if (status == SABOT_OK)
        status = read_back(recovery, &manifest, error);
    if (status == SABOT_OK)
        sb_log(recovery->env, SABOT_LOG_INFO, recovery->folder.pipeline,
               "checkpoint %" PRId64 " is empty, at the offsets of the group", manifest.id);
    *adopted_out = status == SABOT_OK;
    sb_manifest_reset(&manifest);
    return status;
}

sabot_status sb_choice_take(struct sb_recovery *recovery,
                            const struct sb_choice *choice,
                            const struct sb_graph *graph,
                            uint64_t hash_seed,
                            sabot_status counted,
                            const sabot_error *why,
                            bool *adopted_out,
                            sabot_error *error)
{
    struct chosen chosen = {.is_savepoint = false};
    sabot_error own;
    sabot_status status;

    *adopted_out = false;
    error = error == NULL ? &own : error;
    sb_crash_point(recovery->env, "restore.choosing");
    if (choice->from_offsets)
        return take_offsets(recovery, hash_seed, adopted_out, error);
    if (strchr(choice->restore, '/') != NULL)
        status = open_savepoint(&chosen, recovery, choice->restore, error);
    else
        status = open_checkpoint(&chosen, recovery, choice->restore, error);
    if (status == SABOT_OK)
        status = take_restore(recovery, choice, graph, &chosen, counted, why, adopted_out, error);
    close_chosen(&chosen);
    return status;
}

/* --- The app as a whole --------------------------------------------------------------------------
 */

sabot_status sb_choice_check_pipelines(const struct sb_env *env,
                                       const struct sb_choice *choice,
                                       const char *app,
                                       bool (*has)(const void *context, const char *pipeline),
                                       const void *context,
                                       sabot_error *error)
{
    struct sb_savepoint savepoint;
    sabot_status status;

    if (choice->restore == NULL || strchr(choice->restore, '/') == NULL || choice->drops_state)
        return SABOT_OK;
    status = sb_savepoint_open(&savepoint, env, choice->restore, error);
    for (uint32_t i = 0; status == SABOT_OK && i < savepoint.pipeline_count; i++) {
        if (strcmp(savepoint.app, app) == 0 && !has(context, savepoint.pipelines[i].name))
            status = sabot_raise(error, SABOT_ERR_RECOVERY,
                                 "savepoint %s has pipeline %s, which the app does not have any "
                                 "more; --drop-state goes on without",
                                 choice->restore, savepoint.pipelines[i].name);
    }
    sb_savepoint_close(&savepoint);
    if (status == SABOT_ERR_CORRUPT && error != NULL)
        error->status = SABOT_ERR_RECOVERY;
    return status == SABOT_ERR_CORRUPT ? SABOT_ERR_RECOVERY : status;
}
