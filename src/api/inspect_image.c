/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_image.c - state that lies in a checkpoint as an image (state/image.h), for whoever reads
 * it shard by shard in its logical form: each shard is put together in memory and written as one,
 * or, where its rows are in a database, read from that into a file.
 *
 * Threads: the inspection's. Memory: a shard twice, without rows. */
#include "api/inspect.h"

#include "ckpt/restore.h"
#include "state/peek.h"
#include "state/rows.h"
#include "state/stream.h"

/* What the logical form of a shard is told to. */
struct look {
    const struct sb_env *env;
    sb_inspect_function use;
    void *context;
};

static sabot_status peek_at(const struct look *look,
                            const struct sb_byte_source *source,
                            sabot_error *error)
{
    struct sb_peek peek;
    sabot_status status = sb_peek_begin(&peek, look->env, source, error);

    if (status == SABOT_OK)
        status = look->use(look->context, &peek, error);
    sb_peek_reset(&peek);
    return status;
}

static sabot_status look_at(const struct look *look,
                            struct sb_image *image,
                            uint32_t shard,
                            sabot_error *error)
{
    struct sb_buffer bytes;
    struct sb_buffer_reader reader = {.buffer = &bytes};
    const struct sb_byte_sink sink = {sb_buffer_take, &bytes};
    const struct sb_byte_source source = {sb_buffer_give, &reader};
    sabot_status status;

    sb_buffer_init(&bytes, look->env);
    status = sb_image_write(image, shard, &sink, error);
    if (status == SABOT_OK)
        status = peek_at(look, &source, error);
    sb_buffer_reset(&bytes);
    return status;
}

/* The same of one with rows, by way of a file. */
static sabot_status look_at_rows(const struct look *look,
                                 const struct sb_ckpt_reading *reading,
                                 struct sb_image *image,
                                 uint32_t number,
                                 sabot_error *error)
{
    struct sb_ckpt_shard shard;
    struct sb_byte_source source;
    sabot_status status = sb_ckpt_shard_open(&shard, reading, image, number, &source, error);

    if (status == SABOT_OK)
        status = peek_at(look, &source, error);
    sb_ckpt_shard_close(&shard);
    return status;
}

static sabot_status look_at_all(const struct look *look,
                                const struct sb_ckpt_reading *reading,
                                struct sb_image *image,
                                uint32_t only_shard,
                                sabot_error *error)
{
    const bool has_rows = reading->rows != NULL && sb_image_has_rows(image);

    if (has_rows)
        sb_image_set_rows(image, reading->rows);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        /* The first in any case: it tells which states there are. */
        if (only_shard != shard &&
            (only_shard != SB_INSPECT_ALL || (shard > 0 && !sb_image_has_shard(image, shard))))
            continue;
        if (has_rows)
            SABOT_TRY(look_at_rows(look, reading, image, shard, error));
        else
            SABOT_TRY(look_at(look, image, shard, error));
    }
    return SABOT_OK;
}

sabot_status sb_inspect_image(const struct sb_ckpt_folder *folder,
                              const struct sb_manifest *manifest,
                              const struct sb_manifest_task *task,
                              uint32_t only_shard,
                              sb_inspect_function use,
                              void *context,
                              sabot_error *error)
{
    const struct look look = {folder->env, use, context};
    struct sb_ckpt_reading reading = {.reader = NULL};
    struct sb_image *image = NULL;
    struct sb_chunks chunks;
    sabot_status status = sb_chunks_open(&chunks, folder, manifest, error);

    if (status == SABOT_OK && chunks.count > 0)
        status =
            sb_image_open(folder->env, chunks.files, chunks.count, task->image_node, &image, error);
    if (status == SABOT_OK && image != NULL && sb_image_has_rows(image))
        status = sb_ckpt_read_rows(&reading, folder, manifest, &sb_rocksdb_reader, error);
    if (status == SABOT_OK && image != NULL)
        status = look_at_all(&look, &reading, image, only_shard, error);
    sb_image_close(image);
    sb_ckpt_end_reading(&reading);
    sb_chunks_close(&chunks);
    return status;
}
