/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_conformance.c - the simulator's broker passes the suite that a real broker passes: what
 * lies between a process and the log delays what it is asked, and changes nothing of it. */
#include "channel_suite.h"
#include "sim_kit.h"
#include "test.h"

struct context {
    struct sim_kit *kit;
    struct sb_sim_process *process;
};

static void *make(const struct sb_env *env)
{
    struct context *context = calloc(1, sizeof *context);

    assert_non_null(context);
    context->kit = sim_kit_make(env, sb_random(env));
    context->process = sim_kit_process(context->kit);
    return context;
}

static void drop(void *context)
{
    sim_kit_free(((struct context *)context)->kit);
    free(context);
}

static struct sb_env *env_of(void *context)
{
    return &((struct context *)context)->process->env;
}

static void turn(void *context)
{
    sim_kit_turn(((struct context *)context)->kit);
}

static void url_of(void *context, const char *name, int32_t partitions, char *url_out, size_t size)
{
    (void)context;
    (void)snprintf(url_out, size, "sim:%s?partitions=%d", name, (int)partitions);
}

int main(void)
{
    static const struct channel_suite suite = {
        .name = "sim",
        .type = &sb_channel_sim,
        .setup = make,
        .teardown = drop,
        .env = env_of,
        .wait = turn,
        .url = url_of,
        .partitions_max = 8,
        .keys = true,
        .headers = true,
        .timestamps = true,
        .nulls = true,
        .live = true,
        .gaps = true,
        .groups = true,
        .transactions = true,
        .many = 2000,
        .rounds = 20,
        .txn_timeout_ms = 1500,
        .patience_ms = 60000,
    };

    return channel_suite_run(&suite);
}
