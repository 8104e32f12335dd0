/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c - a sum, and a number in a file; pace.h says which. */
#include "ckpt/pace.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"

int64_t sb_pace_next_us(int64_t begun_us, int64_t now_us, int64_t interval_us, int64_t busy_us)
{
    const int64_t by_interval_us = begun_us + interval_us;
    const int64_t by_share_us = now_us + busy_us * (SB_PACE_SHARE - 1);

    return by_interval_us > by_share_us ? by_interval_us : by_share_us;
}

static void path_of(const struct sb_ckpt_folder *folder, const char *name, char *path)
{
    (void)snprintf(path, SB_CKPT_PATH_MAX, "%s/%s", folder->path, name);
}

int64_t sb_pace_read_ms(const struct sb_ckpt_folder *folder)
{
    const struct sb_env *env = folder->env;
    char path[SB_CKPT_PATH_MAX];
    char text[32] = "";
    struct sb_file *file;
    size_t size = 0;
    int64_t slowest_ms = 0;

    path_of(folder, "commit.ms", path);
    if (env->type->file_open(env->self, path, SB_OPEN_READ, &file, NULL) != SABOT_OK)
        return 0;
    if (env->type->file_read(file, text, sizeof text - 1, 0, &size, NULL) != SABOT_OK)
        size = 0;
    env->type->file_close(env->self, file);
    text[size] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (!sb_parse_int64(text, &slowest_ms) || slowest_ms < 0 || slowest_ms > SB_PACE_MAX_MS)
        return 0;
    return slowest_ms;
}

void sb_pace_note_ms(const struct sb_ckpt_folder *folder, int64_t slowest_ms)
{
    const struct sb_env *env = folder->env;
    const int64_t known_ms = sb_pace_read_ms(folder);
    char temporary[SB_CKPT_PATH_MAX];
    char final[SB_CKPT_PATH_MAX];
    char text[32];
    struct sb_file *file;
    sabot_status status;

    if (slowest_ms < SB_PACE_FAST_MS && known_ms == 0)
        return;
    if (slowest_ms > SB_PACE_MAX_MS)
        slowest_ms = SB_PACE_MAX_MS;
    path_of(folder, "commit.ms.new", temporary);
    path_of(folder, "commit.ms", final);
    (void)snprintf(text, sizeof text, "%lld\n", (long long)slowest_ms);
    if (env->type->file_open(env->self, temporary, SB_OPEN_TRUNCATE, &file, NULL) != SABOT_OK)
        return;
    status = env->type->file_write(file, text, strlen(text), -1, NULL);
    env->type->file_close(env->self, file);
    if (status == SABOT_OK)
        (void)!env->type->path_rename(env->self, temporary, final, NULL);
}
