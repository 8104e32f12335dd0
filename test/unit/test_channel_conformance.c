/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_conformance.c - the embedded log passes the suite that a real broker passes. */
#include "test.h"

#include <inttypes.h>

#include "channel/memory.h"
#include "channel_suite.h"

static void *make_log(const struct sb_env *env)
{
    struct sb_log *log;

    return sb_log_create(env, &log, NULL) == SABOT_OK ? log : NULL;
}

static void free_log(void *context)
{
    sb_log_destroy(context);
}

static void url_of(void *context, const char *name, int32_t partitions, char *url_out, size_t size)
{
    (void)context;
    (void)snprintf(url_out, size, "memory:%s?partitions=%" PRId32, name, partitions);
}

static void configure(void *context, struct sb_channel_config *config)
{
    config->log = context;
}

int main(void)
{
    static const struct channel_suite suite = {
        .name = "memory",
        .type = &sb_channel_memory,
        .setup = make_log,
        .teardown = free_log,
        .url = url_of,
        .configure = configure,
        .partitions_max = SB_PARTITIONS_MAX,
        .keys = true,
        .headers = true,
        .timestamps = true,
        .nulls = true,
        .live = true,
        .ends = true,
        .bounded = true,
        .gaps = true,
        .groups = true,
        .transactions = true,
        .many = 20000,
        .rounds = 300,
        .txn_timeout_ms = 20,
        .patience_ms = 60000,
    };

    return channel_suite_run(&suite);
}
