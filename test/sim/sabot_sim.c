/* SPDX-License-Identifier: Apache-2.0 */
/* sabot_sim.c - sabot-sim: the ledger in the simulator, seed by seed.
 *
 *     sabot-sim --seed A[..B] [--faults LIST] [--until SECONDS] [--verbose] [--jobs N]
 *               [--twice] [--reach] [--plain]
 *
 * A seed that violates something ends the program with 1, after it has been tried again with one
 * fault after another switched off (but for --plain): the command that is printed replays the
 * smallest that fails.
 * Each seed is run in a child process, many to a child, so that one that dies is known and tried
 * again as any other that fails. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "ledger.h"
#include "sim/sim.h"

enum { JOBS_MAX = 64 };

struct arguments {
    uint64_t first, last;
    uint32_t faults;
    int64_t until_us;
    bool verbose, twice, reach, plain;
    uint32_t jobs;
};

/* What a child tells its parent, in memory they share. */
struct shared {
    struct sb_sim_reach reach;
    uint64_t seed; /* that it is at, or has failed at */
    uint64_t done; /* seeds that are over */
    bool has_failed;
    uint32_t faults; /* that the failed one has drawn */
    char text[SB_SIM_TEXT_MAX];
};

/* --- Planted bugs ------------------------------------------------------------------------------
 */

#ifdef SB_MUTANTS
int sb_mutant;

static void choose_mutant(void)
{
    static const char *const texts[] = {
#define SB_MUTANT_ROW(name, text) #name ": " text,
        SB_MUTANT_LIST(SB_MUTANT_ROW)
#undef SB_MUTANT_ROW
    };
    const char *number = getenv("SABOT_MUTANT");

    if (number == NULL) {
        for (int i = 1; i < SB_MUTANTS_COUNT; i++)
            (void)printf("%d %s\n", i, texts[i]);
        exit(2);
    }
    sb_mutant = (int)strtol(number, NULL, 10);
    if (sb_mutant < 0 || sb_mutant >= SB_MUTANTS_COUNT) {
        (void)fprintf(stderr, "SABOT_MUTANT=%s: there are %d\n", number, SB_MUTANTS_COUNT - 1);
        exit(2);
    }
}
#else
static void choose_mutant(void) {}
#endif

/* --- Arguments ---------------------------------------------------------------------------------
 */

static void usage(const char *what)
{
    (void)fprintf(stderr,
                  "sabot-sim: %s\n"
                  "usage: sabot-sim --seed A[..B] [--faults all|none|LIST] [--until SECONDS]\n"
                  "                 [--verbose] [--jobs N] [--twice] [--reach] [--plain]\n",
                  what);
    exit(2);
}

static void parse_seeds(const char *text, struct arguments *arguments)
{
    char *end;

    arguments->first = strtoull(text, &end, 10);
    arguments->last = arguments->first;
    if (strncmp(end, "..", 2) == 0)
        arguments->last = strtoull(end + 2, &end, 10);
    if (*end != '\0' || end == text || arguments->last < arguments->first)
        usage("--seed wants a number, or A..B");
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments arguments = {.jobs = 1, .last = 0, .first = 1};
    sabot_error error;

    (void)!sb_sim_faults_parse("all", &arguments.faults, &error);
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(name, "--verbose") == 0)
            arguments.verbose = true;
        else if (strcmp(name, "--twice") == 0)
            arguments.twice = true;
        else if (strcmp(name, "--reach") == 0)
            arguments.reach = true;
        else if (strcmp(name, "--plain") == 0)
            arguments.plain = true;
        else if (strcmp(name, "--seed") == 0 && i++)
            parse_seeds(value, &arguments);
        else if (strcmp(name, "--until") == 0 && i++)
            arguments.until_us = (int64_t)(strtod(value, NULL) * 1e6);
        else if (strcmp(name, "--jobs") == 0 && i++)
            arguments.jobs = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--faults") != 0 || !i++)
            usage(name);
        else if (sb_sim_faults_parse(value, &arguments.faults, &error) != SABOT_OK)
            usage(error.text);
    }
    if (arguments.last < arguments.first)
        usage("which --seed?");
    if (arguments.jobs < 1 || arguments.jobs > JOBS_MAX)
        usage("--jobs is 1..64");
    return arguments;
}

/* --- One seed ----------------------------------------------------------------------------------
 */

static struct sb_sim_result run_seed(const struct sb_env *env,
                                     const struct arguments *arguments,
                                     uint64_t seed,
                                     struct sb_sim_reach *reach)
{
    struct ledger *ledger = ledger_create(env);
    const struct sb_sim_options options = {
        .seed = seed,
        .faults = arguments->faults,
        .until_us = arguments->until_us,
        .verbose = arguments->verbose,
        .reach = reach,
    };
    struct sb_sim_result result;
    struct sb_sim_plan plan;
    sabot_error error;

    ledger_plan(ledger, &plan);
    if (sb_sim_run(env, &plan, &options, &result, &error) != SABOT_OK) {
        result.violated = true;
        (void)snprintf(result.text, sizeof result.text, "it can't be simulated: %.900s",
                       error.text);
    }
    ledger_destroy(ledger);
    return result;
}

static void note_failure(struct shared *shared, uint64_t seed, const struct sb_sim_result *result)
{
    shared->seed = seed;
    shared->faults = result->faults;
    (void)snprintf(shared->text, sizeof shared->text, "%s", result->text);
    shared->has_failed = true;
}

/* A child: every jobs-th seed from the job's number on. */
static void run_seeds(const struct arguments *arguments, uint32_t job, struct shared *shared)
{
    const bool shows = arguments->verbose || arguments->first == arguments->last;
    struct sb_env *env;
    sabot_error error;

    if (sb_os_env_create(&env, &error) != SABOT_OK)
        exit(2);
    for (uint64_t seed = arguments->first + job; seed <= arguments->last && !shared->has_failed;
         seed += arguments->jobs) {
        struct sb_sim_result result;

        shared->seed = seed;
        result = run_seed(env, arguments, seed, &shared->reach);
        if (arguments->twice && !result.violated) {
            const struct sb_sim_result again = run_seed(env, arguments, seed, &shared->reach);

            if (again.hash != result.hash) {
                result.violated = true;
                (void)snprintf(result.text, sizeof result.text,
                               "hash %016" PRIx64 ", and %016" PRIx64 " when run again",
                               result.hash, again.hash);
            }
        }
        if (shows)
            (void)printf("seed %" PRIu64 " hash %016" PRIx64 "\n", seed, result.hash);
        if (result.violated)
            note_failure(shared, seed, &result);
        shared->done++;
    }
    sb_os_env_destroy(env);
    (void)fflush(stdout);
    exit(shared->has_failed ? 1 : 0);
}

/* --- Many --------------------------------------------------------------------------------------
 */

static struct shared *share(uint32_t count)
{
    void *memory = mmap(NULL, count * sizeof(struct shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("sabot-sim: mmap");
        exit(2);
    }
    return memory;
}

/* Run all jobs; a child that dies has failed at the seed it was at. */
static void run_jobs(const struct arguments *arguments, struct shared *shared)
{
    pid_t children[JOBS_MAX];

    (void)fflush(stdout);
    for (uint32_t job = 0; job < arguments->jobs; job++) {
        children[job] = fork();
        if (children[job] == 0)
            run_seeds(arguments, job, &shared[job]);
    }
    for (uint32_t job = 0; job < arguments->jobs; job++) {
        int status = 0;

        if (waitpid(children[job], &status, 0) < 0 || !WIFSIGNALED(status))
            continue;
        shared[job].has_failed = true;
        (void)snprintf(shared[job].text, sizeof shared[job].text, "it died of signal %d (%s)",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
}

static const struct shared *first_failure(const struct shared *shared, uint32_t jobs)
{
    const struct shared *first = NULL;

    for (uint32_t job = 0; job < jobs; job++) {
        if (shared[job].has_failed && (first == NULL || shared[job].seed < first->seed))
            first = &shared[job];
    }
    return first;
}

/* --- Shrinking ---------------------------------------------------------------------------------
 */

static bool fails_with(const struct arguments *arguments, uint64_t seed, uint32_t faults)
{
    struct arguments one = *arguments;
    struct shared *shared = share(1);
    bool failed;

    one.first = one.last = seed;
    one.jobs = 1;
    one.faults = faults;
    one.verbose = false;
    if (freopen("/dev/null", "w", stdout) == NULL)
        exit(2);
    run_jobs(&one, shared);
    failed = shared->has_failed;
    (void)munmap(shared, sizeof *shared);
    return failed;
}

static uint32_t shrink(const struct arguments *arguments, uint64_t seed)
{
    uint32_t faults = arguments->faults;

    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++) {
        const uint32_t fewer = faults & ~(1U << i);

        if (fewer != faults && fails_with(arguments, seed, fewer))
            faults = fewer;
    }
    return faults;
}

static void print_failure(const struct arguments *arguments, const struct shared *failure)
{
    uint32_t faults = 0;
    bool first = true;

    (void)fprintf(stderr, "seed %" PRIu64 ": %s\n", failure->seed, failure->text);
    if (arguments->plain)
        return;
    faults = shrink(arguments, failure->seed);
    (void)fprintf(stderr, "replay: sabot-sim --seed %" PRIu64 " --faults ", failure->seed);
    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++) {
        if ((faults & (1U << i)) == 0)
            continue;
        (void)fprintf(stderr, "%s%s", first ? "" : ",", sb_sim_fault_name((enum sb_sim_fault)i));
        first = false;
    }
    (void)fprintf(stderr, "%s --verbose\n", first ? "none" : "");
}

/* --- Reach -------------------------------------------------------------------------------------
 */

static void add_reach(struct sb_sim_reach *total, const struct sb_sim_reach *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        struct sb_sim_label *label = sb_sim_reach_label(total, part->labels[i].name);

        label->hits += part->labels[i].hits;
        label->ends += part->labels[i].ends;
        label->freezes += part->labels[i].freezes;
    }
    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++)
        total->faults[i] += part->faults[i];
    total->seeds += part->seeds;
    total->starts += part->starts;
    total->records += part->records;
    total->virtual_us += part->virtual_us;
}

static void print_reach(const struct sb_sim_reach *reach)
{
    (void)printf("seeds %" PRIu64 "\nstarts %" PRIu64 "\nrecords %" PRIu64
                 "\nvirtual_seconds %" PRId64 "\n",
                 reach->seeds, reach->starts, reach->records, reach->virtual_us / 1000000);
    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++)
        (void)printf("fault %s %" PRIu64 "\n", sb_sim_fault_name((enum sb_sim_fault)i),
                     reach->faults[i]);
    for (uint32_t i = 0; i < reach->count; i++)
        (void)printf("label %s %" PRIu64 " killed %" PRIu64 " frozen %" PRIu64 "\n",
                     reach->labels[i].name, reach->labels[i].hits, reach->labels[i].ends,
                     reach->labels[i].freezes);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct shared *shared;
    const struct shared *failure;
    uint64_t done = 0;

    choose_mutant();
    arguments = parse(argc, argv);
    shared = share(arguments.jobs + 1);

    run_jobs(&arguments, shared);
    failure = first_failure(shared, arguments.jobs);
    if (failure != NULL) {
        print_failure(&arguments, failure);
        return 1;
    }
    for (uint32_t job = 0; job < arguments.jobs; job++) {
        add_reach(&shared[arguments.jobs].reach, &shared[job].reach);
        done += shared[job].done;
    }
    if (arguments.reach)
        print_reach(&shared[arguments.jobs].reach);
    if (arguments.first != arguments.last)
        (void)printf("%" PRIu64 " seeds, no violation\n", done);
    return 0;
}
