/* SPDX-License-Identifier: Apache-2.0 */
/* savepoint.c - writing, reading and removing savepoints; savepoint.h has their form. */
#include "ckpt/savepoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mutant.h"

static const char HEAD_NAME[] = "savepoint";
static const char HEAD_LINE[] = "sabot savepoint 1\n";

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
}

/* --- The head ------------------------------------------------------------------------------------
 */

static void head_path(const char *path, const char *ending, char text[SB_CKPT_PATH_MAX])
{
    (void)snprintf(text, SB_CKPT_PATH_MAX, "%s/%s%s", path, HEAD_NAME, ending);
}

static sabot_status format_head(const struct sb_savepoint *savepoint, struct sb_buffer *out)
{
    SABOT_TRY(sb_buffer_format(out, "%sapp %s\ntime %" PRId64 "\n", HEAD_LINE, savepoint->app,
                               savepoint->time_ms));
    for (uint32_t i = 0; i < savepoint->pipeline_count; i++) {
        const struct sb_savepoint_pipeline *pipeline = &savepoint->pipelines[i];

        SABOT_TRY(sb_buffer_format(out, "pipeline %s %" PRId64 " %016" PRIx64 " %016" PRIx64 "\n",
                                   pipeline->name, pipeline->entry.id, pipeline->entry.nonce,
                                   pipeline->checksum));
    }
    return sb_buffer_format(out, "end %016" PRIx64 "\n", sb_hash(out->data, out->size, 0));
}

sabot_status sb_savepoint_begin(const struct sb_env *env, const char *path, sabot_error *error)
{
    if (strlen(path) + 3UL * SB_MANIFEST_NAME_MAX > SB_CKPT_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", path);
    SABOT_TRY(env->type->directory_create(env->self, path, error));
    return sb_sync_above(env, path, error);
}

static sabot_status write_head(const struct sb_savepoint *savepoint,
                               const struct sb_buffer *text,
                               sabot_error *error)
{
    const struct sb_env *env = savepoint->env;
    char temporary[SB_CKPT_PATH_MAX];
    char final[SB_CKPT_PATH_MAX];
    struct sb_file *file;
    sabot_status status;

    head_path(savepoint->path, ".tmp", temporary);
    head_path(savepoint->path, "", final);
    SABOT_TRY(env->type->file_open(env->self, temporary, SB_OPEN_NEW, &file, error));
    status = env->type->file_write(file, text->data, text->size, -1, error);
    sb_crash_point(env, "savepoint.head_written");
    if (status == SABOT_OK && !SB_MUTANT(SAVEPOINT_NOT_SYNCED))
        status = env->type->file_sync(file, error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    SABOT_TRY(env->type->directory_sync(env->self, savepoint->path, error));
    sb_crash_point(env, "savepoint.names_synced");
    SABOT_TRY(env->type->path_rename(env->self, temporary, final, error));
    sb_crash_point(env, "savepoint.head_renamed");
    return env->type->directory_sync(env->self, savepoint->path, error);
}

sabot_status sb_savepoint_seal(const struct sb_savepoint *savepoint, sabot_error *error)
{
    struct sb_buffer text;
    sabot_status status;

    sb_crash_point(savepoint->env, "savepoint.sealing");
    sb_buffer_init(&text, savepoint->env);
    if (format_head(savepoint, &text) != SABOT_OK)
        status = no_memory(error);
    else
        status = write_head(savepoint, &text, error);
    sb_buffer_reset(&text);
    return status;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

/* The word that ends at `stop`, which is cut out of the text. NULL: there is none. */
static char *take_word(char **at, char stop)
{
    char *word = *at;
    char *end = strchr(word, stop);

    if (end == NULL || end == word)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return word;
}

static bool take_prefix(char **at, const char *prefix)
{
    if (strncmp(*at, prefix, strlen(prefix)) != 0)
        return false;
    *at += strlen(prefix);
    return true;
}

static bool parse_pipeline(struct sb_savepoint *savepoint, char **at)
{
    struct sb_savepoint_pipeline *pipeline = &savepoint->pipelines[savepoint->pipeline_count];
    const char *id;
    const char *nonce;
    const char *checksum;

    if (savepoint->pipeline_count == SB_SAVEPOINT_PIPELINES_MAX)
        return false;
    pipeline->name = take_word(at, ' ');
    id = pipeline->name == NULL ? NULL : take_word(at, ' ');
    nonce = id == NULL ? NULL : take_word(at, ' ');
    checksum = nonce == NULL ? NULL : take_word(at, '\n');
    if (checksum == NULL || strchr(pipeline->name, '/') != NULL || pipeline->name[0] == '.')
        return false;
    pipeline->entry.id = strtoll(id, NULL, 10);
    pipeline->entry.nonce = strtoull(nonce, NULL, 16);
    pipeline->checksum = strtoull(checksum, NULL, 16);
    savepoint->pipeline_count++;
    return pipeline->entry.id > 0;
}

/* The text is cut into pieces, which the savepoint keeps. */
static bool parse_head(struct sb_savepoint *savepoint, char *text)
{
    const char *word;

    if (!take_prefix(&text, HEAD_LINE) || !take_prefix(&text, "app "))
        return false;
    savepoint->app = take_word(&text, '\n');
    if (savepoint->app == NULL || strchr(savepoint->app, '/') != NULL ||
        !take_prefix(&text, "time "))
        return false;
    word = take_word(&text, '\n');
    if (word == NULL)
        return false;
    savepoint->time_ms = strtoll(word, NULL, 10);
    while (take_prefix(&text, "pipeline ")) {
        if (!parse_pipeline(savepoint, &text))
            return false;
    }
    return savepoint->pipeline_count > 0;
}

/* A head of a later form begins as ours does, but for the number. */
static bool is_newer(const char *text, size_t size)
{
    const size_t number = strlen("sabot savepoint ");

    return size > number && memcmp(text, HEAD_LINE, number) == 0 && text[number] > '1' &&
           text[number] <= '9';
}

/* Only what format_head() would have written is a head. */
sabot_status sb_savepoint_parse(struct sb_savepoint *savepoint,
                                const char *text,
                                size_t size,
                                const char *path,
                                sabot_error *error)
{
    char *pieces = sb_arena_copy(&savepoint->arena, text, size);
    struct sb_buffer again;
    bool is_same = false;
    sabot_status status = SABOT_OK;

    savepoint->pipelines = sb_arena_alloc(&savepoint->arena, SB_SAVEPOINT_PIPELINES_MAX *
                                                                 sizeof *savepoint->pipelines);
    if (pieces == NULL || savepoint->pipelines == NULL)
        return no_memory(error);
    if (is_newer(text, size))
        return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                           "%s: it is of a newer format: use the Sabot that wrote it", path);
    sb_buffer_init(&again, savepoint->env);
    if (parse_head(savepoint, pieces)) {
        status = format_head(savepoint, &again);
        is_same = again.size == size && memcmp(again.data, text, size) == 0;
    }
    sb_buffer_reset(&again);
    if (status != SABOT_OK)
        return no_memory(error);
    return is_same ? SABOT_OK
                   : sabot_raise(error, SABOT_ERR_CORRUPT, "%s: bytes have changed", path);
}

static sabot_status read_head(struct sb_savepoint *savepoint,
                              const char *path,
                              struct sb_buffer *text,
                              sabot_error *error)
{
    const struct sb_env *env = savepoint->env;
    struct sb_file *file;
    sabot_status status;

    status = env->type->file_open(env->self, path, SB_OPEN_READ, &file, error);
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, status, "%s: there is no savepoint: it has no file `savepoint`",
                           savepoint->path);
    SABOT_TRY(status);
    status = sb_buffer_reserve(text, SB_SAVEPOINT_HEAD_MAX + 1);
    if (status != SABOT_OK)
        status = no_memory(error);
    else
        status = env->type->file_read(file, text->data, SB_SAVEPOINT_HEAD_MAX + 1, 0, &text->size,
                                      error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    if (text->size > SB_SAVEPOINT_HEAD_MAX)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: it is too long", path);
    return sb_savepoint_parse(savepoint, (const char *)text->data, text->size, path, error);
}

sabot_status sb_savepoint_open(struct sb_savepoint *savepoint,
                               const struct sb_env *env,
                               const char *path,
                               sabot_error *error)
{
    char head[SB_CKPT_PATH_MAX];
    struct sb_buffer text;
    sabot_status status;

    *savepoint = (struct sb_savepoint){.env = env};
    sb_arena_init(&savepoint->arena, env);
    if (strlen(path) + 3UL * SB_MANIFEST_NAME_MAX > SB_CKPT_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", path);
    savepoint->path = sb_arena_copy(&savepoint->arena, path, strlen(path));
    if (savepoint->path == NULL)
        return no_memory(error);
    sb_crash_point(env, "savepoint.opening");
    head_path(path, "", head);
    sb_buffer_init(&text, env);
    status = read_head(savepoint, head, &text, error);
    sb_buffer_reset(&text);
    return status;
}

void sb_savepoint_close(struct sb_savepoint *savepoint)
{
    if (savepoint->env != NULL)
        sb_arena_reset(&savepoint->arena);
    *savepoint = (struct sb_savepoint){.env = NULL};
}

const struct sb_savepoint_pipeline *sb_savepoint_find(const struct sb_savepoint *savepoint,
                                                      const char *pipeline)
{
    for (uint32_t i = 0; i < savepoint->pipeline_count; i++) {
        if (strcmp(savepoint->pipelines[i].name, pipeline) == 0)
            return &savepoint->pipelines[i];
    }
    return NULL;
}

sabot_status sb_savepoint_folder(struct sb_savepoint *savepoint,
                                 const struct sb_savepoint_pipeline *pipeline,
                                 struct sb_ckpt_folder *folder,
                                 sabot_error *error)
{
    const size_t size =
        strlen(savepoint->path) + strlen(savepoint->app) + strlen(pipeline->name) + 3;

    *folder = (struct sb_ckpt_folder){
        .env = savepoint->env,
        .app = savepoint->app,
        .pipeline = pipeline->name,
        .path = sb_arena_alloc(&savepoint->arena, size),
    };
    if (folder->path == NULL)
        return no_memory(error);
    (void)snprintf(folder->path, size, "%s/%s/%s", savepoint->path, savepoint->app, pipeline->name);
    return SABOT_OK;
}

sabot_status sb_savepoint_read(struct sb_savepoint *savepoint,
                               const struct sb_savepoint_pipeline *pipeline,
                               struct sb_manifest *manifest,
                               sabot_error *error)
{
    struct sb_ckpt_folder folder;
    sabot_error why;
    sabot_status status;

    SABOT_TRY(sb_savepoint_folder(savepoint, pipeline, &folder, error));
    status = sb_ckpt_read(&folder, &pipeline->entry, manifest, &why);
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "savepoint %s: %s", savepoint->path, why.text);
    if (status != SABOT_OK) {
        *error = why;
        return status;
    }
    if (manifest->checksum != pipeline->checksum)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "savepoint %s: the manifest of pipeline %s was replaced",
                           savepoint->path, pipeline->name);
    return sb_ckpt_verify(&folder, manifest, error);
}

/* --- Removing ------------------------------------------------------------------------------------
 */

sabot_status sb_savepoint_remove(struct sb_savepoint *savepoint, sabot_error *error)
{
    const struct sb_env *env = savepoint->env;
    char path[SB_CKPT_PATH_MAX];

    sb_crash_point(env, "savepoint.removing");
    head_path(savepoint->path, "", path);
    SABOT_TRY(env->type->path_remove(env->self, path, error));
    for (uint32_t i = 0; i < savepoint->pipeline_count; i++) {
        struct sb_ckpt_folder folder;

        SABOT_TRY(sb_savepoint_folder(savepoint, &savepoint->pipelines[i], &folder, error));
        SABOT_TRY(sb_ckpt_remove(&folder, &savepoint->pipelines[i].entry, error));
        SABOT_TRY(env->type->path_remove(env->self, folder.path, error));
    }
    (void)snprintf(path, sizeof path, "%s/%s", savepoint->path, savepoint->app);
    SABOT_TRY(env->type->path_remove(env->self, path, error));
    return env->type->path_remove(env->self, savepoint->path, error);
}
