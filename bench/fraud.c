/* SPDX-License-Identifier: Apache-2.0 */
/* fraud.c - how fast the fraud app runs in this process, without files and without a broker.
 *
 * The transactions are put into the app's memory channel, 4 partitions, before the clock starts.
 * Each round measures in turn: a bare loop in one thread that decodes the same records and asks the
 * same questions of the same accounts, but has no partitions, alerts, positions, or anything else
 * that an engine is for; then Sabot with one thread and with two. So the ratios hold even when the
 * machine is busy.
 *
 *     build/bench/fraud [TRANSACTIONS [ROUNDS]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sabot/sabot.h>

#include "../examples/fraud/account.h"
#include "../examples/fraud/bank.h"
#include "base/hash.h"
#include "format/codec.h"

extern const sabot_app_entry app;

enum { ACCOUNTS = 20000, PARTITIONS = 4, ROUNDS_MAX = 99, CONTESTANTS = 3, SLOTS = 1 << 16 };

static void check(sabot_status status, const sabot_error *error)
{
    if (status == SABOT_OK)
        return;
    (void)fprintf(stderr, "bench fraud: %s\n", error->text);
    exit(1);
}

/* Seconds on the wall and of all processors. */
struct lap {
    double wall, processor;
};

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct lap lap_start(void)
{
    return (struct lap){seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static struct lap lap_since(struct lap start)
{
    const struct lap now = lap_start();

    return (struct lap){now.wall - start.wall, now.processor - start.processor};
}

/* --- Sabot ------------------------------------------------------------------------------------ */

static void set(sabot_config *config, const char *name, const char *value)
{
    sabot_error error;

    check(sabot_config_set(config, SABOT_FROM_OPTION, name, value, &error), &error);
}

/* A run whose input has room for so many bytes, to be fed; 0: from the app's own source. */
static sabot_run *make_run(int threads, uint64_t bytes)
{
    sabot_error error;
    sabot_config *config = sabot_config_create(&error);
    sabot_run *run = NULL;
    char text[128];

    check(config == NULL ? SABOT_ERR_MEMORY : SABOT_OK, &error);
    (void)snprintf(text, sizeof text, "%d", threads);
    set(config, "threads", text);
    set(config, "fraud.count", bytes > 0 ? "0" : "1000");
    (void)snprintf(text, sizeof text, "memory:?partitions=%d&bytes=%llu", PARTITIONS,
                   (unsigned long long)bytes);
    if (bytes > 0)
        check(sabot_config_bind(config, "bank-transactions", text, &error), &error);
    check(sabot_run_create(&app, config, &run, &error), &error);
    sabot_config_destroy(config);
    return run;
}

static void feed(sabot_run *run, uint64_t count)
{
    sabot_pipe *pipe = NULL;
    struct bank bank;
    struct bank_record record;
    sabot_error error;

    check(sabot_run_pipe(run, "bank-transactions", true, &pipe, &error), &error);
    bank_init(&bank, 1, ACCOUNTS, BANK_START_MS);
    for (uint64_t i = 0; i < count; i++) {
        bank_make(&bank, i, &record);
        check(sabot_pipe_send(pipe, record.value, &error), &error);
    }
    check(sabot_pipe_close(pipe, &error), &error);
}

static void finish(sabot_run *run)
{
    sabot_error error;
    sabot_status status = SABOT_AGAIN;

    check(sabot_run_start(run, &error), &error);
    while (status == SABOT_AGAIN)
        status = sabot_run_wait(run, -1, &error);
    check(status == SABOT_END ? SABOT_OK : status, &error);
}

static struct lap run_sabot(int threads, uint64_t count, uint64_t *alerts_out)
{
    sabot_run *run = make_run(threads, (1 << 24) + count * BANK_LINE_MAX);
    sabot_run_stats stats;
    struct lap lap;

    feed(run, count);
    lap = lap_start();
    finish(run);
    lap = lap_since(lap);

    sabot_run_get_stats(run, &stats);
    sabot_run_destroy(run);
    if (stats.records_processed != count) {
        (void)fprintf(stderr, "bench fraud: %llu of %llu records were handled\n",
                      (unsigned long long)stats.records_processed, (unsigned long long)count);
        exit(1);
    }
    *alerts_out = stats.records_written;
    return lap;
}

/* From before a run is made to its first record handled, which the app's own source makes. */
static double first_record_ms(void)
{
    sabot_run *run = make_run(1, 0);
    sabot_run_stats stats;

    finish(run);
    sabot_run_get_stats(run, &stats);
    sabot_run_destroy(run);
    return (double)stats.first_record_us / 1000;
}

/* --- The bare loop ---------------------------------------------------------------------------- */

struct transaction {
    int64_t id;
    sabot_text account, user, date;
    double amount;
    sabot_text currency, type, city, method, country;
    int64_t time_ms;
};

static const sabot_field fields[] = {
    SABOT_FIELD(struct transaction, id, "transaction_id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, account, "account_number", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, user, "user_id", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, date, "transaction_date", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, amount, "transaction_amount", SABOT_FLOAT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, currency, "currency", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, type, "transaction_type", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, city, "branch_city", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, method, "payment_method", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, country, "country", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, time_ms, "timestamp_ms", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema table = SABOT_SCHEMA("transaction", 1, struct transaction, fields);

struct bare {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    struct sb_decoder *decoder;
    int32_t time_field;
    struct account *accounts;
    uint64_t *hashes; /* of each account's number */
    uint32_t *slots;  /* of the hash table: which account, from 1; 0: free */
    uint32_t known;
    uint64_t findings;
    char *bytes; /* of all records */
    uint32_t *sizes;
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        (void)fprintf(stderr, "bench fraud: no memory\n");
        exit(1);
    }
    return memory;
}

static void bare_init(struct bare *bare, uint64_t count)
{
    static const struct sb_codec_limits limits = {.depth_max = 64, .record_max = 1 << 20};
    struct bank bank;
    struct bank_record record;
    sabot_error error;
    char *at;

    *bare = (struct bare){.known = 0};
    check(sb_os_env_create(&bare->env, &error), &error);
    check(sb_schema_create(bare->env, &table, SB_SCHEMA_RECORD, &bare->schema, &error), &error);
    check(sb_batch_pool_create(bare->env, bare->schema, SB_BATCH_ROWS, &bare->pool, &error),
          &error);
    check(sb_builder_init(&bare->builder, bare->pool), &error);
    check(sb_codec_json.decoder_create(bare->env, bare->schema, &limits, &bare->decoder, &error),
          &error);
    bare->time_field = sb_schema_find(bare->schema, "timestamp_ms");
    bare->accounts = allocate(ACCOUNTS, sizeof *bare->accounts);
    bare->hashes = allocate(ACCOUNTS, sizeof *bare->hashes);
    bare->slots = allocate(SLOTS, sizeof *bare->slots);
    bare->bytes = allocate(count, BANK_LINE_MAX);
    bare->sizes = allocate(count, sizeof *bare->sizes);
    bank_init(&bank, 1, ACCOUNTS, BANK_START_MS);
    at = bare->bytes;
    for (uint64_t i = 0; i < count; i++) {
        bank_make(&bank, i, &record);
        memcpy(at, record.value.data, record.value.size);
        bare->sizes[i] = (uint32_t)record.value.size;
        at += record.value.size;
    }
}

static void bare_reset(struct bare *bare)
{
    sb_codec_json.decoder_destroy(bare->decoder);
    sb_builder_reset(&bare->builder);
    sb_batch_pool_destroy(bare->pool);
    sb_schema_destroy(bare->schema);
    sb_os_env_destroy(bare->env);
    free(bare->accounts);
    free(bare->hashes);
    free(bare->slots);
    free(bare->bytes);
    free(bare->sizes);
}

static struct account *find_account(struct bare *bare, sabot_text number)
{
    const uint64_t hash = sb_hash(number.data, number.size, 0);

    for (uint64_t i = hash;; i++) {
        uint32_t *slot = &bare->slots[i % SLOTS];

        if (*slot == 0) {
            *slot = ++bare->known;
            bare->hashes[*slot - 1] = hash;
        }
        if (bare->hashes[*slot - 1] == hash)
            return &bare->accounts[*slot - 1];
    }
}

static void ask_batch(struct bare *bare)
{
    static const struct sb_batch_origin nowhere = {.partition = -1};
    static const sabot_error empty = {.text = "no rows"};
    struct sb_batch *batch;
    struct transaction now;

    check(sb_builder_seal(&bare->builder, &nowhere, &batch), &empty);
    for (uint32_t row = 0; row < batch->rows; row++) {
        sb_batch_record(batch, row, &now);
        struct account *account = find_account(bare, now.account);

        bare->findings += account->known >= 5 && !account_is_usual(account, now.amount);
        bare->findings += !account_is_quiet(account, now.time_ms, 60000);
        bare->findings += !account_is_in(account, now.city);
        account_remember(account, now.id, now.time_ms, now.amount, now.city);
    }
    sb_batch_unref(batch);
}

static struct lap run_bare(struct bare *bare, uint64_t count)
{
    const char *at = bare->bytes;
    struct lap lap;
    sabot_error error;

    memset(bare->accounts, 0, ACCOUNTS * sizeof *bare->accounts);
    memset(bare->slots, 0, SLOTS * sizeof *bare->slots);
    bare->known = 0;
    lap = lap_start();
    for (uint64_t i = 0; i < count; i++) {
        const sabot_text bytes = {at, bare->sizes[i]};

        check(sb_codec_json.decode(bare->decoder, bytes, bare->time_field, 0, 0, &bare->builder,
                                   &error),
              &error);
        at += bytes.size;
        if (sb_builder_full(&bare->builder) || i + 1 == count)
            ask_batch(bare);
    }
    return lap_since(lap);
}

/* --- Rounds ----------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
    const double *one = left;
    const double *other = right;

    return (*one > *other) - (*one < *other);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

struct results {
    double wall[CONTESTANTS][ROUNDS_MAX];
    double processor[CONTESTANTS][ROUNDS_MAX];
    double ratio[CONTESTANTS][ROUNDS_MAX]; /* to the bare loop of the same round */
    double first_record_ms[ROUNDS_MAX];
    uint64_t alerts[CONTESTANTS];
};

static void measure(struct results *results, uint64_t count, int rounds)
{
    struct bare bare;

    bare_init(&bare, count);
    for (int i = 0; i < rounds; i++) {
        for (int j = 0; j < CONTESTANTS; j++) {
            const struct lap lap =
                j == 0 ? run_bare(&bare, count) : run_sabot(j, count, &results->alerts[j]);

            results->wall[j][i] = lap.wall;
            results->processor[j][i] = lap.processor;
            results->ratio[j][i] = results->wall[0][i] / lap.wall;
        }
        results->first_record_ms[i] = first_record_ms();
    }
    bare_reset(&bare);
    if (results->alerts[1] != results->alerts[2]) {
        (void)fprintf(stderr, "bench fraud: %llu alerts with one thread, %llu with two\n",
                      (unsigned long long)results->alerts[1],
                      (unsigned long long)results->alerts[2]);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static const char *const names[CONTESTANTS] = {"bare loop", "sabot -c 1", "sabot -c 2"};
    static struct results results;
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
    const int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;

    if (count == 0 || rounds < 1 || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr, "usage: fraud [TRANSACTIONS [ROUNDS, 1..%d]]\n", ROUNDS_MAX);
        return 2;
    }
    measure(&results, count, rounds);
    printf("%llu transactions of %d accounts in %d partitions, %llu alerts; median of %d rounds\n",
           (unsigned long long)count, ACCOUNTS, PARTITIONS, (unsigned long long)results.alerts[1],
           rounds);
    printf("\n%-10s %12s %18s %20s\n", "", "records/s", "CPU s per million", "speed of bare loop");
    for (int j = 0; j < CONTESTANTS; j++)
        printf("%-10s %12.0f %18.3f %20.2f\n", names[j],
               (double)count / median(results.wall[j], rounds),
               median(results.processor[j], rounds) / (double)count * 1e6,
               median(results.ratio[j], rounds));
    printf("\nstart to first record %.2f ms\n", median(results.first_record_ms, rounds));
    return 0;
}
