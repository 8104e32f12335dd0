/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_manifest.c - bytes from anywhere as the manifest of a checkpoint: read or refused.
 *
 * The first byte chooses: even, the rest is all there is; odd, it is what stands behind the size,
 * and gets the head and the checksum it needs, so that what is behind them is reached. What was
 * read is written again: that must read as the same. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ckpt/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* The body between a head and a checksum that are right. */
static void frame(const uint8_t *body, size_t size, struct sb_buffer *out)
{
    uint8_t head[8 + 4 + 8] = "SBCKPT\n";
    uint8_t checksum[8];

    put_number(head + 8, SB_MANIFEST_FORMAT, 4);
    put_number(head + 12, sizeof head + size + sizeof checksum, 8);
    if (sb_buffer_append(out, head, sizeof head) != SABOT_OK ||
        sb_buffer_append(out, body, size) != SABOT_OK)
        abort();
    put_number(checksum, sb_hash(out->data, out->size, 0), sizeof checksum);
    if (sb_buffer_append(out, checksum, sizeof checksum) != SABOT_OK)
        abort();
}

/* Read, and written again; false: it was refused. */
static bool rewrite(struct sb_env *env, const struct sb_buffer *bytes, struct sb_buffer *again)
{
    struct sb_manifest manifest;
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    sb_manifest_init(&manifest, env);
    status = sb_manifest_decode(&manifest, bytes->data, bytes->size, &error);
    if (status == SABOT_OK && sb_manifest_encode(&manifest, again) != SABOT_OK)
        abort();
    sb_manifest_reset(&manifest);
    SB_ASSERT(status == error.status);
    SB_ASSERT(status == SABOT_OK || error.text[0] != '\0');
    return status == SABOT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_buffer bytes;
    struct sb_buffer once;
    struct sb_buffer twice;
    struct sb_env *env;

    if (size == 0)
        return 0;
    if (sb_os_env_create(&env, NULL) != SABOT_OK)
        abort();
    sb_buffer_init(&bytes, env);
    sb_buffer_init(&once, env);
    sb_buffer_init(&twice, env);
    if (data[0] % 2 == 1)
        frame(data + 1, size - 1, &bytes);
    else if (sb_buffer_append(&bytes, data + 1, size - 1) != SABOT_OK)
        abort();
    if (rewrite(env, &bytes, &once)) {
        SB_ASSERT(rewrite(env, &once, &twice));
        SB_ASSERT(once.size == twice.size);
        SB_ASSERT(memcmp(once.data, twice.data, once.size) == 0);
    }
    sb_buffer_reset(&bytes);
    sb_buffer_reset(&once);
    sb_buffer_reset(&twice);
    sb_os_env_destroy(env);
    return 0;
}
