/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_file_suite.c - files pass the suite that every channel passes, as far as lines can:
 * once as inputs that end, once as inputs that are followed. */
#include "test.h"

#include <unistd.h>

#include "channel_suite.h"

struct folder {
    const struct sb_env *env;
    char path[64];
    char url[256]; /* of the channel being opened */
};

static bool follow;

static void *make_folder(const struct sb_env *env)
{
    struct folder *folder = calloc(1, sizeof *folder);

    if (folder == NULL)
        return NULL;
    folder->env = env;
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/sabot-suite-XXXXXX");
    if (mkdtemp(folder->path) == NULL)
        abort();
    return folder;
}

static sabot_status remove_entry(void *context, const char *name)
{
    const struct folder *folder = context;
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return folder->env->type->path_remove(folder->env->self, path, NULL);
}

static void remove_folder(void *context)
{
    struct folder *folder = context;
    const struct sb_env *env = folder->env;

    if (env->type->directory_list(env->self, folder->path, remove_entry, folder, NULL) == SABOT_OK)
        (void)rmdir(folder->path);
    free(folder);
}

static void url_of(void *context, const char *name, int32_t partitions, char *url_out, size_t size)
{
    const struct folder *folder = context;

    (void)partitions;
    (void)snprintf(url_out, size, "file:%s/%s", folder->path, name);
}

static void configure(void *context, struct sb_channel_config *config)
{
    struct folder *folder = context;

    if (!follow || !config->for_reading)
        return;
    (void)snprintf(folder->url, sizeof folder->url, "%s?follow=true", config->url);
    config->url = folder->url;
}

int main(void)
{
    struct channel_suite suite = {
        .name = "file",
        .type = &sb_channel_file,
        .setup = make_folder,
        .teardown = remove_folder,
        .url = url_of,
        .configure = configure,
        .partitions_max = 1,
        .ends = true,
        .gaps = true,
        .many = 20000,
        .patience_ms = 60000,
    };
    int failed = channel_suite_run(&suite);

    follow = true;
    suite.name = "file?follow=true";
    suite.live = true;
    suite.ends = false;
    failed += channel_suite_run(&suite);
    return failed;
}
