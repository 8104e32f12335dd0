/* SPDX-License-Identifier: Apache-2.0 */
/* watermark.c - what a watermark costs per batch: telling it from the times of a sealed batch,
 * the minimum over partitions, and the way of the mark through the rings of 4 workers into their
 * inboxes, where it is merged with those of the others.
 *
 *     build/bench/watermark
 *
 * All on one thread: CPU time, whatever else the machine does. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "flow/clock.h"
#include "flow/inbox.h"
#include "flow/output.h"

enum { WORKERS = 4, ROUNDS = 1000000, PASSES = 5 };

static struct sb_env *env;

static void must(sabot_status status, const char *what)
{
    if (status == SABOT_OK)
        return;
    fprintf(stderr, "bench/watermark: %s: %s\n", what, sabot_status_name(status));
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* --- A source: one batch of one of its partitions ------------------------------------------------
 */

static double measure_source(uint32_t partitions)
{
    const struct sb_clock_rules rules = {.lateness_ms = 5000, .max_future_ms = 86400000};
    struct sb_watermark watermark;
    struct sb_batch batch = {.rows = 1024};
    struct sb_clock *clocks = calloc(partitions, sizeof *clocks);
    int64_t told = 0;
    double start;

    if (clocks == NULL)
        exit(1);
    must(sb_watermark_init(&watermark, env, partitions), "memory");
    for (uint32_t i = 0; i < partitions; i++)
        sb_clock_init(&clocks[i], &rules);
    start = cpu_ns();
    for (int64_t i = 0; i < ROUNDS; i++) {
        const uint32_t partition = (uint32_t)(i % partitions);

        sb_clock_poll(&clocks[partition], sb_wall_ms(env));
        batch.event_time_max = i;
        told += sb_watermark_advance(&watermark, partition,
                                     sb_clock_watermark(&clocks[partition], &batch));
    }
    start = cpu_ns() - start;
    if (told == 0)
        exit(1);
    sb_watermark_reset(&watermark);
    free(clocks);
    return start / ROUNDS;
}

/* --- The way of a mark ---------------------------------------------------------------------------
 */

struct way {
    struct sb_ring rings[WORKERS][WORKERS]; /* from, to */
    struct sb_exchange exchanges[WORKERS];
    struct sb_output outputs[WORKERS];
    struct sb_inbox inboxes[WORKERS];
};

static void open_way(struct way *way)
{
    for (uint32_t to = 0; to < WORKERS; to++)
        must(sb_inbox_init(&way->inboxes[to], env, WORKERS), "memory");
    for (uint32_t from = 0; from < WORKERS; from++) {
        must(sb_exchange_init(&way->exchanges[from], env, WORKERS, 0, 1, SB_BATCH_ROWS), "memory");
        for (uint32_t to = 0; to < WORKERS; to++) {
            must(sb_ring_init(&way->rings[from][to], env, 64, sizeof(struct sb_message), 1 << 20),
                 "memory");
            way->exchanges[from].targets[to].ring = &way->rings[from][to];
            way->inboxes[to].inputs[from].ring = &way->rings[from][to];
        }
        sb_output_init(&way->outputs[from], &way->exchanges[from], 1);
    }
}

static void close_way(struct way *way)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        sb_inbox_reset(&way->inboxes[i]);
        sb_output_reset(&way->outputs[i]);
        sb_exchange_reset(&way->exchanges[i]);
        for (uint32_t to = 0; to < WORKERS; to++)
            sb_ring_reset(&way->rings[i][to]);
    }
}

/* Each source in turn says a later time; all tasks take it. */
static double measure_way(void)
{
    static struct way way;
    struct sb_message message;
    uint64_t shown = 0;
    double start;

    open_way(&way);
    start = cpu_ns();
    for (int64_t i = 0; i < ROUNDS; i++) {
        const uint32_t from = (uint32_t)(i % WORKERS);

        sb_output_mark(&way.outputs[from], SB_MESSAGE_WATERMARK, i);
        must(sb_output_push(&way.outputs[from]), "push");
        for (uint32_t to = 0; to < WORKERS; to++)
            shown += sb_inbox_take(&way.inboxes[to], &message);
    }
    start = cpu_ns() - start;
    if (shown < (uint64_t)ROUNDS)
        exit(1);
    close_way(&way);
    return start / ROUNDS;
}

static double best(double (*measure)(void))
{
    double least = measure();

    for (uint32_t i = 1; i < PASSES; i++) {
        const double again = measure();

        least = again < least ? again : least;
    }
    return least;
}

static double measure_8(void)
{
    return measure_source(8);
}

static double measure_64(void)
{
    return measure_source(64);
}

int main(void)
{
    double way;

    must(sb_os_env_create(&env, NULL), "start");
    printf("told by a batch, minimum over  8 partitions: %6.0f ns\n", best(measure_8));
    printf("told by a batch, minimum over 64 partitions: %6.0f ns\n", best(measure_64));
    way = best(measure_way);
    printf(
        "a mark to %d workers and merged by all:       %6.0f ns (%.0f ns a worker); goal: 1000\n",
        WORKERS, way, way / WORKERS);
    sb_os_env_destroy(env);
    return 0;
}
