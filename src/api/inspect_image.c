/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_image.c - state that lies in a checkpoint as an image (state/image.h), for whoever reads
 * it shard by shard in its logical form: each shard is put together in memory and written as one.
 *
 * Threads: the inspection's. Memory: a shard twice. */
#include "api/inspect.h"

#include "ckpt/restore.h"
#include "state/peek.h"
#include "state/stream.h"

static sabot_status look_at(const struct sb_env *env,
                            struct sb_image *image,
                            uint32_t shard,
                            sb_inspect_function use,
                            void *context,
                            sabot_error *error)
{
    struct sb_buffer bytes;
    struct sb_buffer_reader reader = {.buffer = &bytes};
    const struct sb_byte_sink sink = {sb_buffer_take, &bytes};
    const struct sb_byte_source source = {sb_buffer_give, &reader};
    struct sb_peek peek;
    sabot_status status;

    sb_buffer_init(&bytes, env);
    status = sb_image_write(image, shard, &sink, error);
    if (status == SABOT_OK) {
        status = sb_peek_begin(&peek, env, &source, error);
        if (status == SABOT_OK)
            status = use(context, &peek, error);
        sb_peek_reset(&peek);
    }
    sb_buffer_reset(&bytes);
    return status;
}

sabot_status sb_inspect_image(const struct sb_ckpt_folder *folder,
                              const struct sb_manifest *manifest,
                              const struct sb_manifest_task *task,
                              uint32_t only_shard,
                              sb_inspect_function use,
                              void *context,
                              sabot_error *error)
{
    struct sb_image *image = NULL;
    struct sb_chunks chunks;
    sabot_status status = sb_chunks_open(&chunks, folder, manifest, error);

    if (status == SABOT_OK && chunks.count > 0)
        status =
            sb_image_open(folder->env, chunks.files, chunks.count, task->image_node, &image, error);
    for (uint32_t shard = 0; status == SABOT_OK && image != NULL && shard < SB_SHARD_COUNT;
         shard++) {
        /* The first in any case: it tells which states there are. */
        if (only_shard == shard ||
            (only_shard == SB_INSPECT_ALL && (shard == 0 || sb_image_has_shard(image, shard))))
            status = look_at(folder->env, image, shard, use, context, error);
    }
    sb_image_close(image);
    sb_chunks_close(&chunks);
    return status;
}
