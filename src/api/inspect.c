/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - which checkpoints lie in a state directory, and are they whole.
 *
 *   STATE_DIR -- folders: apps --> folders: pipelines --> checkpoints --> manifest, sizes
 *
 * Nothing is made or changed on the way. A worker may write meanwhile, and remove what is old: a
 * checkpoint that is gone when it is looked at was never seen.
 *
 * Threads: the inspection's. Memory: one arena; a manifest only while it is looked at. */
#include "api/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDERS_MAX = 1024 /* in one folder */ };

static const char aside_mark[] = ".reset-";

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to look at checkpoints");
}

static char *format_path(struct sb_arena *arena, const char *folder, const char *name)
{
    const size_t size = strlen(folder) + 1 + strlen(name) + 1;
    char *path = sb_arena_alloc(arena, size);

    if (path != NULL)
        (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* --- Folders in a folder -------------------------------------------------------------------------
 */

struct folders {
    struct sb_arena *arena;
    const char *names[FOLDERS_MAX];
    uint32_t count;
    sabot_status status;
};

static sabot_status add_name(void *context, const char *name)
{
    struct folders *folders = context;

    if (name[0] == '.')
        return SABOT_OK;
    if (folders->count == FOLDERS_MAX)
        return folders->status = SABOT_ERR_LIMIT;
    folders->names[folders->count] = sb_arena_copy(folders->arena, name, strlen(name));
    if (folders->names[folders->count++] == NULL)
        return folders->status = SABOT_ERR_MEMORY;
    return SABOT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Their names, sorted; files are among them. */
static sabot_status list_names(const sabot_inspection *inspection,
                               const char *path,
                               struct folders *folders,
                               sabot_error *error)
{
    const struct sb_env *env = inspection->env;
    const sabot_status status =
        env->type->directory_list(env->self, path, add_name, folders, error);

    if (folders->status == SABOT_ERR_LIMIT)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: more than %d entries: is it a state folder?", path, FOLDERS_MAX);
    if (folders->status == SABOT_ERR_MEMORY)
        return no_memory(error);
    SABOT_TRY(status);
    qsort(folders->names, folders->count, sizeof folders->names[0], by_name);
    return SABOT_OK;
}

/* A folder that has gone since it was listed is none. */
static bool is_folder(const sabot_inspection *inspection, const char *path)
{
    const struct sb_env *env = inspection->env;
    struct sb_file_info info;

    return env->type->path_info(env->self, path, &info, NULL) == SABOT_OK &&
           info.kind == SB_FILE_DIRECTORY;
}

/* --- One checkpoint ------------------------------------------------------------------------------
 */

static sabot_status check_size(const struct sb_inspected *checkpoint,
                               const struct sb_manifest *manifest,
                               uint32_t index,
                               sabot_error *error)
{
    const struct sb_env *env = checkpoint->folder.env;
    const struct sb_manifest_file *expected = &manifest->files[index];
    struct sb_file_info info;
    struct sb_file *file;
    sabot_status status;

    status = sb_ckpt_open_file(&checkpoint->folder, manifest, index, &file, error);
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s/%s: it is gone, and the manifest beside it names it",
                           checkpoint->info.path, expected->name);
    SABOT_TRY(status);
    status = env->type->file_info(file, &info, error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    if (info.size != expected->size)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s/%s: it has %llu bytes, and the manifest says %llu",
                           checkpoint->info.path, expected->name, (unsigned long long)info.size,
                           (unsigned long long)expected->size);
    return SABOT_OK;
}

/* The manifest, and whether the files it names are there. */
static sabot_status read_manifest(const struct sb_inspected *checkpoint,
                                  struct sb_manifest *manifest,
                                  sabot_error *error)
{
    SABOT_TRY(sb_ckpt_read(&checkpoint->folder, &checkpoint->entry, manifest, error));
    for (uint32_t i = 0; i < manifest->file_count; i++)
        SABOT_TRY(check_size(checkpoint, manifest, i, error));
    return SABOT_OK;
}

static void describe(sabot_checkpoint_info *info,
                     const struct sb_manifest *manifest,
                     int64_t now_ms)
{
    info->time_ms = manifest->time_ms;
    info->age_ms = now_ms > info->time_ms ? now_ms - info->time_ms : 0;
    info->finished = manifest->finished;
    for (uint32_t i = 0; i < manifest->file_count; i++)
        info->bytes += manifest->files[i].size;
}

/* The manifest is what goes first when a checkpoint is removed, and what comes last. */
static bool has_manifest(const sabot_inspection *inspection, const struct sb_inspected *checkpoint)
{
    const struct sb_env *env = inspection->env;
    char path[SB_CKPT_PATH_MAX];
    struct sb_file_info info;

    (void)snprintf(path, sizeof path, "%s/manifest", checkpoint->info.path);
    return env->type->path_info(env->self, path, &info, NULL) != SABOT_ERR_NOT_FOUND;
}

/* *is_there_out: it is still there. Damage is what is found, no error. */
static sabot_status look_at(sabot_inspection *inspection,
                            struct sb_inspected *checkpoint,
                            bool *is_there_out,
                            sabot_error *error)
{
    sabot_checkpoint_info *info = &checkpoint->info;
    struct sb_manifest manifest;
    sabot_error why = {.status = SABOT_OK};
    sabot_status status;

    sb_manifest_init(&manifest, inspection->env);
    status = read_manifest(checkpoint, &manifest, &why);
    if (status == SABOT_OK)
        describe(info, &manifest, sb_wall_ms(inspection->env));
    sb_manifest_reset(&manifest);
    *is_there_out = status == SABOT_OK || is_folder(inspection, info->path);
    if (status == SABOT_OK || !*is_there_out)
        return SABOT_OK;
    if (status == SABOT_ERR_MEMORY)
        return no_memory(error);
    if (!has_manifest(inspection, checkpoint)) {
        info->condition = SABOT_PARTIAL;
        info->reason = "no manifest: it is being written, or that was cut short";
        return SABOT_OK;
    }
    info->condition = SABOT_DAMAGED;
    info->reason = sb_arena_copy(&inspection->arena, why.text, strlen(why.text));
    return info->reason == NULL ? no_memory(error) : SABOT_OK;
}

static sabot_status add_checkpoint(sabot_inspection *inspection,
                                   const struct sb_inspected *pipeline,
                                   const struct sb_ckpt_entry *entry,
                                   sabot_error *error)
{
    struct sb_inspected *checkpoint = &inspection->checkpoints[inspection->count];
    bool is_there;
    char name[64];

    if (inspection->count == SB_CKPT_LISTED_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: more than %d checkpoints in all",
                           pipeline->folder.path, SB_CKPT_LISTED_MAX);
    *checkpoint = *pipeline;
    checkpoint->entry = *entry;
    checkpoint->info.id = entry->id;
    checkpoint->info.nonce = entry->nonce;
    (void)snprintf(name, sizeof name, "ckpt-%016llx-%016llx", (unsigned long long)entry->id,
                   (unsigned long long)entry->nonce);
    checkpoint->info.path = format_path(&inspection->arena, pipeline->folder.path, name);
    if (checkpoint->info.path == NULL)
        return no_memory(error);
    SABOT_TRY(look_at(inspection, checkpoint, &is_there, error));
    inspection->count += is_there;
    return SABOT_OK;
}

/* --- Pipelines and apps --------------------------------------------------------------------------
 */

/* "PIPELINE.reset-1764101974000" is what --reset makes of PIPELINE. */
static const char *name_before_reset(struct sb_arena *arena, const char *name, bool *moved_out)
{
    const char *mark = NULL;

    for (const char *at = strstr(name, aside_mark); at != NULL; at = strstr(at + 1, aside_mark))
        mark = at;
    *moved_out =
        mark != NULL && mark[sizeof aside_mark - 1] != '\0' &&
        strspn(mark + sizeof aside_mark - 1, "0123456789") == strlen(mark + sizeof aside_mark - 1);
    return *moved_out ? sb_arena_copy(arena, name, (size_t)(mark - name)) : name;
}

static sabot_status add_pipeline(sabot_inspection *inspection,
                                 const char *app,
                                 const char *app_path,
                                 const char *name,
                                 sabot_error *error)
{
    struct sb_arena *arena = &inspection->arena;
    struct sb_inspected pipeline = {
        .info = {.app = app, .pipeline = name, .age_ms = -1, .reason = ""},
        .folder = {.env = inspection->env, .app = app},
    };
    struct sb_ckpt_entry *entries;
    sabot_status status;
    uint32_t count;

    pipeline.folder.pipeline = name_before_reset(arena, name, &pipeline.info.moved_aside);
    pipeline.folder.path = format_path(arena, app_path, name);
    if (pipeline.folder.pipeline == NULL || pipeline.folder.path == NULL)
        return no_memory(error);
    if (!is_folder(inspection, pipeline.folder.path))
        return SABOT_OK;
    SABOT_TRY(sb_ckpt_list(&pipeline.folder, &entries, &count, error));
    status = SABOT_OK;
    for (uint32_t i = 0; i < count && status == SABOT_OK; i++)
        status = add_checkpoint(inspection, &pipeline, &entries[i], error);
    sb_free_array(inspection->env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    return status;
}

static sabot_status add_app(sabot_inspection *inspection,
                            const char *state_dir,
                            const char *app,
                            sabot_error *error)
{
    const char *path = format_path(&inspection->arena, state_dir, app);
    struct folders folders = {.arena = &inspection->arena};

    if (path == NULL)
        return no_memory(error);
    if (!is_folder(inspection, path))
        return SABOT_OK;
    SABOT_TRY(list_names(inspection, path, &folders, error));
    for (uint32_t i = 0; i < folders.count; i++)
        SABOT_TRY(add_pipeline(inspection, app, path, folders.names[i], error));
    return SABOT_OK;
}

static sabot_status look_below(sabot_inspection *inspection,
                               const char *state_dir,
                               sabot_error *error)
{
    struct folders folders = {.arena = &inspection->arena};

    inspection->checkpoints =
        sb_arena_alloc(&inspection->arena, SB_CKPT_LISTED_MAX * sizeof(struct sb_inspected));
    if (inspection->checkpoints == NULL)
        return no_memory(error);
    SABOT_TRY(list_names(inspection, state_dir, &folders, error));
    for (uint32_t i = 0; i < folders.count; i++)
        SABOT_TRY(add_app(inspection, state_dir, folders.names[i], error));
    return SABOT_OK;
}

/* --- The handle ----------------------------------------------------------------------------------
 */

sabot_status sb_inspection_open(const struct sb_env *env,
                                const char *state_dir,
                                sabot_inspection **inspection_out,
                                sabot_error *error)
{
    sabot_inspection *inspection;
    sabot_status status;

    *inspection_out = NULL;
    if (strlen(state_dir) + 2UL * SB_MANIFEST_NAME_MAX + 128 > SB_CKPT_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", state_dir);
    inspection = sb_alloc(env, sizeof *inspection);
    if (inspection == NULL)
        return no_memory(error);
    *inspection = (sabot_inspection){.env = env};
    sb_arena_init(&inspection->arena, env);
    sb_arena_init(&inspection->states_arena, env);
    status = look_below(inspection, state_dir, error);
    if (status == SABOT_OK)
        *inspection_out = inspection;
    else
        sabot_inspection_close(inspection);
    return status;
}

sabot_status sabot_inspection_open(const char *state_dir,
                                   sabot_inspection **inspection_out,
                                   sabot_error *error)
{
    sabot_inspection *inspection;
    sabot_status status;
    struct sb_env *env;

    *inspection_out = NULL;
    SABOT_TRY(sb_os_env_create(&env, error));
    status = sb_inspection_open(env, state_dir, &inspection, error);
    if (inspection == NULL) {
        sb_os_env_destroy(env);
        return status;
    }
    inspection->own_env = env;
    *inspection_out = inspection;
    return SABOT_OK;
}

void sabot_inspection_close(sabot_inspection *inspection)
{
    struct sb_env *own_env;

    if (inspection == NULL)
        return;
    own_env = inspection->own_env;
    sb_inspection_unload(inspection);
    sb_arena_reset(&inspection->arena);
    sb_free(inspection->env, inspection, sizeof *inspection);
    sb_os_env_destroy(own_env);
}

bool sabot_inspection_checkpoint(const sabot_inspection *inspection,
                                 size_t index,
                                 sabot_checkpoint_info *info_out)
{
    if (index >= inspection->count)
        return false;
    *info_out = inspection->checkpoints[index].info;
    return true;
}

sabot_status sabot_inspection_verify(const sabot_inspection *inspection,
                                     size_t index,
                                     sabot_error *error)
{
    const struct sb_inspected *checkpoint;
    struct sb_manifest manifest;
    sabot_status status;

    if (index >= inspection->count)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "no checkpoint has the index %zu", index);
    checkpoint = &inspection->checkpoints[index];
    sb_manifest_init(&manifest, inspection->env);
    status = read_manifest(checkpoint, &manifest, error);
    if (status == SABOT_OK)
        status = sb_ckpt_verify(&checkpoint->folder, &manifest, error);
    sb_manifest_reset(&manifest);
    if (status == SABOT_OK || status == SABOT_ERR_MEMORY || has_manifest(inspection, checkpoint))
        return status;
    return sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: it has no manifest, or none any more",
                       checkpoint->info.path);
}
