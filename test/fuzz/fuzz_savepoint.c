/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_savepoint.c - bytes from anywhere as the head of a savepoint: read or refused.
 *
 * The first byte chooses: even, the rest is all there is; odd, it gets the last line, with the
 * checksum that it needs, so that what is behind that is reached. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ckpt/savepoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_head(struct sb_env *env, const struct sb_buffer *text)
{
    struct sb_savepoint savepoint = {.env = env};
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    sb_arena_init(&savepoint.arena, env);
    status = sb_savepoint_parse(&savepoint, (const char *)text->data, text->size, "head", &error);
    SB_ASSERT(status == error.status);
    if (status == SABOT_OK) {
        SB_ASSERT(savepoint.pipeline_count > 0);
        SB_ASSERT(sb_savepoint_find(&savepoint, savepoint.pipelines[0].name) != NULL);
        SB_ASSERT(strchr(savepoint.app, '/') == NULL);
    } else {
        SB_ASSERT(strncmp(error.text, "head: ", 6) == 0);
    }
    sb_arena_reset(&savepoint.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_buffer text;
    struct sb_env *env;

    if (size == 0 || size > SB_SAVEPOINT_HEAD_MAX)
        return 0;
    if (sb_os_env_create(&env, NULL) != SABOT_OK)
        abort();
    sb_buffer_init(&text, env);
    if (sb_buffer_append(&text, data + 1, size - 1) != SABOT_OK)
        abort();
    if (data[0] % 2 == 1 && sb_buffer_format(&text, "end %016" PRIx64 "\n",
                                             sb_hash(text.data, text.size, 0)) != SABOT_OK)
        abort();
    if (text.size > 0)
        read_head(env, &text);
    sb_buffer_reset(&text);
    sb_os_env_destroy(env);
    return 0;
}
