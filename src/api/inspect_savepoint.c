/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_savepoint.c - a savepoint from outside: is it whole, what does it hold, and away with it.
 *
 * Threads: the caller's, which waits for the disk. Memory: manifests until it is closed. */
#include <sabot/inspect.h>

#include "base/mem.h"
#include "ckpt/savepoint.h"

struct sabot_savepoint {
    struct sb_env *env;
    struct sb_savepoint savepoint;
    struct sb_manifest *manifests; /* one a pipeline; SB_SAVEPOINT_PIPELINES_MAX */
    uint32_t read;                 /* so many are initialised */
};

void sabot_savepoint_close(sabot_savepoint *savepoint)
{
    struct sb_env *env;

    if (savepoint == NULL)
        return;
    env = savepoint->env;
    for (uint32_t i = 0; i < savepoint->read; i++)
        sb_manifest_reset(&savepoint->manifests[i]);
    sb_free_array(env, savepoint->manifests, SB_SAVEPOINT_PIPELINES_MAX,
                  sizeof *savepoint->manifests);
    sb_savepoint_close(&savepoint->savepoint);
    sb_free(env, savepoint, sizeof *savepoint);
    sb_os_env_destroy(env);
}

/* Its head only. */
static sabot_status open_head(const char *path, sabot_savepoint **savepoint_out, sabot_error *error)
{
    sabot_savepoint *savepoint;
    struct sb_env *env;
    sabot_status status;

    *savepoint_out = NULL;
    SABOT_TRY(sb_os_env_create(&env, error));
    savepoint = sb_alloc(env, sizeof *savepoint);
    if (savepoint == NULL) {
        sb_os_env_destroy(env);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
    }
    savepoint->env = env;
    savepoint->manifests =
        sb_alloc_array(env, SB_SAVEPOINT_PIPELINES_MAX, sizeof *savepoint->manifests);
    if (savepoint->manifests == NULL)
        status = sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
    else
        status = sb_savepoint_open(&savepoint->savepoint, env, path, error);
    if (status == SABOT_OK)
        *savepoint_out = savepoint;
    else
        sabot_savepoint_close(savepoint);
    return status;
}

sabot_status sabot_savepoint_open(const char *path,
                                  sabot_savepoint **savepoint_out,
                                  sabot_error *error)
{
    sabot_error own;
    sabot_savepoint *savepoint;
    sabot_status status;

    *savepoint_out = NULL;
    error = error == NULL ? &own : error;
    SABOT_TRY(open_head(path, &savepoint, error));
    SB_ASSERT(savepoint != NULL);
    status = SABOT_OK;
    for (uint32_t i = 0; i < savepoint->savepoint.pipeline_count && status == SABOT_OK; i++) {
        sb_manifest_init(&savepoint->manifests[savepoint->read++], savepoint->env);
        status = sb_savepoint_read(&savepoint->savepoint, &savepoint->savepoint.pipelines[i],
                                   &savepoint->manifests[i], error);
    }
    if (status == SABOT_OK)
        *savepoint_out = savepoint;
    else
        sabot_savepoint_close(savepoint);
    return status;
}

void sabot_savepoint_get(const sabot_savepoint *savepoint, sabot_savepoint_info *info_out)
{
    const int64_t now_ms = sb_wall_ms(savepoint->env);

    *info_out = (sabot_savepoint_info){
        .path = savepoint->savepoint.path,
        .app = savepoint->savepoint.app,
        .time_ms = savepoint->savepoint.time_ms,
        .pipelines = savepoint->savepoint.pipeline_count,
    };
    info_out->age_ms = now_ms > info_out->time_ms ? now_ms - info_out->time_ms : 0;
    for (uint32_t i = 0; i < savepoint->read; i++) {
        for (uint32_t file = 0; file < savepoint->manifests[i].file_count; file++)
            info_out->bytes += savepoint->manifests[i].files[file].size;
    }
}

bool sabot_savepoint_position_at(const sabot_savepoint *savepoint,
                                 size_t index,
                                 sabot_savepoint_position *position_out)
{
    for (uint32_t i = 0; i < savepoint->read; i++) {
        const struct sb_manifest *manifest = &savepoint->manifests[i];

        for (uint32_t s = 0; s < manifest->source_count; s++) {
            const struct sb_manifest_source *source = &manifest->sources[s];

            if (index >= source->position_count) {
                index -= source->position_count;
                continue;
            }
            *position_out = (sabot_savepoint_position){
                .pipeline = manifest->pipeline,
                .id = manifest->id,
                .channel = source->channel,
                .partition = source->positions[index].partition,
                .offset = source->positions[index].offset,
                .ended = source->positions[index].ended,
            };
            return true;
        }
    }
    return false;
}

sabot_status sabot_savepoint_remove(const char *path, sabot_error *error)
{
    sabot_savepoint *savepoint;
    sabot_status status;

    SABOT_TRY(open_head(path, &savepoint, error));
    SB_ASSERT(savepoint != NULL);
    status = sb_savepoint_remove(&savepoint->savepoint, error);
    sabot_savepoint_close(savepoint);
    return status;
}
