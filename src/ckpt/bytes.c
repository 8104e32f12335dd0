/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.c - a file, block by block; see bytes.h. */
#include "ckpt/bytes.h"

#include "base/hash.h"
#include "base/mem.h"

enum { BLOCK = 1024 * 1024, AHEAD = 16 };

sabot_status sb_bytes_pass(const struct sb_env *env,
                           struct sb_file *from,
                           struct sb_file *to,
                           struct sb_bytes *bytes_out,
                           sabot_error *error)
{
    uint8_t *block = sb_alloc(env, BLOCK);
    sabot_status status = SABOT_OK;
    struct sb_hasher hasher;
    size_t size = BLOCK;

    *bytes_out = (struct sb_bytes){.size = 0};
    if (block == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to read a file of a checkpoint");
    sb_hasher_init(&hasher);
    env->type->file_expect(from, 0, (size_t)AHEAD * BLOCK);
    while (status == SABOT_OK && size == BLOCK) {
        env->type->file_expect(from, (int64_t)bytes_out->size + (int64_t)AHEAD * BLOCK, BLOCK);
        status = env->type->file_read(from, block, BLOCK, (int64_t)bytes_out->size, &size, error);
        if (status == SABOT_OK && to != NULL)
            status = env->type->file_write(to, block, size, -1, error);
        if (status == SABOT_OK) {
            sb_hasher_add(&hasher, block, size);
            bytes_out->size += size;
        }
    }
    sb_free(env, block, BLOCK);
    bytes_out->checksum = sb_hasher_result(&hasher);
    return status;
}

sabot_status sb_bytes_copy(const struct sb_env *env,
                           const char *from,
                           const char *to,
                           struct sb_bytes *bytes_out,
                           sabot_error *error)
{
    struct sb_file *source;
    struct sb_file *target;
    sabot_status status;

    SABOT_TRY(env->type->file_open(env->self, from, SB_OPEN_READ, &source, error));
    status = env->type->file_open(env->self, to, SB_OPEN_NEW, &target, error);
    if (status == SABOT_OK) {
        status = sb_bytes_pass(env, source, target, bytes_out, error);
        if (status == SABOT_OK)
            status = env->type->file_sync(target, error);
        env->type->file_close(env->self, target);
    }
    env->type->file_close(env->self, source);
    return status;
}

sabot_status sb_bytes_seal(const struct sb_env *env,
                           const char *path,
                           struct sb_bytes *bytes_out,
                           sabot_error *error)
{
    struct sb_file *file;
    sabot_status status;

    SABOT_TRY(env->type->file_open(env->self, path, SB_OPEN_READ, &file, error));
    status = env->type->file_sync(file, error);
    if (status == SABOT_OK)
        status = sb_bytes_pass(env, file, NULL, bytes_out, error);
    env->type->file_close(env->self, file);
    return status;
}
