/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_image.c - state that lies in a checkpoint as an image (state/image.h), for whoever reads
 * it shard by shard in its logical form: each shard is put together in memory and written as one.
 *
 * Threads: the inspection's. Memory: a shard twice. */
#include "api/inspect.h"

#include "ckpt/restore.h"
#include "state/peek.h"

struct copy {
    struct sb_buffer bytes;
    size_t at;
};

static sabot_status write_copy(void *context, const void *bytes, size_t size, sabot_error *error)
{
    struct copy *copy = context;

    if (sb_buffer_append(&copy->bytes, bytes, size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to look at a snapshot");
    return SABOT_OK;
}

static sabot_status read_copy(void *context,
                              void *buffer,
                              size_t size,
                              size_t *size_out,
                              sabot_error *error)
{
    struct copy *copy = context;
    const size_t left = copy->bytes.size - copy->at;

    (void)error;
    *size_out = size < left ? size : left;
    if (*size_out > 0)
        memcpy(buffer, copy->bytes.data + copy->at, *size_out);
    copy->at += *size_out;
    return SABOT_OK;
}

static sabot_status look_at(const struct sb_env *env,
                            struct sb_image *image,
                            uint32_t shard,
                            sb_inspect_function use,
                            void *context,
                            sabot_error *error)
{
    struct copy copy = {.at = 0};
    const struct sb_byte_sink sink = {write_copy, &copy};
    const struct sb_byte_source source = {read_copy, &copy};
    struct sb_peek peek;
    sabot_status status;

    sb_buffer_init(&copy.bytes, env);
    status = sb_image_write(image, shard, &sink, error);
    if (status == SABOT_OK) {
        status = sb_peek_begin(&peek, env, &source, error);
        if (status == SABOT_OK)
            status = use(context, &peek, error);
        sb_peek_reset(&peek);
    }
    sb_buffer_reset(&copy.bytes);
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
