/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c - `sabot sim`: the app in a world that fails, seed by seed.
 *
 * A seed that violates something is tried again with one fault after another switched off, and the
 * command that replays the smallest is printed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sabot/sim.h>

#include "cli.h"

enum { FAULTS_SIZE = 256 };

static bool read_seeds(const struct cli_args *args, uint64_t *first_out, uint64_t *last_out)
{
    const char *text = cli_args_value(args, "seed");
    char *end;

    *first_out = 1;
    *last_out = 100;
    if (text == NULL)
        return true;
    *first_out = strtoull(text, &end, 10);
    *last_out = *first_out;
    if (end != text && strncmp(end, "..", 2) == 0) {
        text = end + 2;
        *last_out = strtoull(text, &end, 10);
    }
    if (end != text && *end == '\0' && *first_out <= *last_out)
        return true;
    (void)cli_fail(0, "--seed %s: expected a number, or A..B", cli_args_value(args, "seed"));
    return false;
}

static bool read_options(const struct cli_args *args, sabot_sim_options *options)
{
    const char *until = cli_args_value(args, "until");
    const char *records = cli_args_value(args, "records");
    int64_t number;

    *options = (sabot_sim_options){
        .faults = cli_args_value(args, "faults"),
        .verbose = cli_args_value(args, "verbose") != NULL,
        .any_output = cli_args_value(args, "any-output") != NULL,
    };
    if (until != NULL && !cli_read_number("--until", until, &options->until_ms))
        return false;
    options->until_ms *= 1000;
    if (records == NULL)
        return true;
    if (!cli_read_number("--records", records, &number))
        return false;
    options->records_max = (size_t)number;
    return true;
}

/* `list` without the fault `name`. */
static void leave_out(const char *list, const char *name, char fewer[FAULTS_SIZE])
{
    size_t size = 0;

    fewer[0] = '\0';
    for (const char *at = list; *at != '\0';) {
        const size_t word = strcspn(at, ",");

        if (strlen(name) != word || strncmp(at, name, word) != 0)
            size += (size_t)snprintf(fewer + size, FAULTS_SIZE - size, "%s%.*s",
                                     size == 0 ? "" : ",", (int)word, at);
        at += word;
        at += *at == ',';
    }
    if (size == 0)
        (void)snprintf(fewer, FAULTS_SIZE, "none");
}

static void shrink(const struct cli_setup *setup,
                   sabot_sim_options options,
                   const sabot_sim_result *result,
                   char faults[FAULTS_SIZE])
{
    const char *name;

    (void)snprintf(faults, FAULTS_SIZE, "%s", result->faults);
    options.verbose = false;
    for (size_t i = 0; (name = sabot_sim_fault(i)) != NULL; i++) {
        char fewer[FAULTS_SIZE];
        sabot_sim_result again;
        sabot_error error;

        leave_out(faults, name, fewer);
        options.faults = fewer;
        if (strcmp(fewer, faults) != 0 &&
            sabot_sim_run(setup->entry, setup->module, setup->config, &options, &again, &error) ==
                SABOT_OK &&
            again.violated)
            (void)snprintf(faults, FAULTS_SIZE, "%s", fewer);
    }
}

static int report(const struct cli_setup *setup,
                  const sabot_sim_options *options,
                  const sabot_sim_result *result)
{
    char faults[FAULTS_SIZE];

    (void)fflush(stdout);
    shrink(setup, *options, result, faults);
    (void)cli_fail(0, "seed %" PRIu64 ": %s", options->seed, result->text);
    return cli_fail(CLI_FAILED, "replay it with: sim --seed %" PRIu64 " --faults %s --verbose",
                    options->seed, faults);
}

int cli_sim(const struct cli_setup *setup, const struct cli_args *args)
{
    sabot_sim_options options;
    sabot_sim_result result;
    uint64_t records = 0;
    uint64_t starts = 0;
    uint64_t first, last;
    sabot_error error;

    if (!read_seeds(args, &first, &last) || !read_options(args, &options))
        return CLI_NOT_STARTED;
    for (uint64_t seed = first; seed <= last && cli_signals_seen() == 0; seed++) {
        options.seed = seed;
        if (sabot_sim_run(setup->entry, setup->module, setup->config, &options, &result, &error) !=
            SABOT_OK)
            return cli_fail(CLI_NOT_STARTED, "%s", error.text);
        if (first == last || options.verbose)
            printf("seed %" PRIu64 " hash %016" PRIx64 "\n", seed, result.hash);
        if (result.violated)
            return report(setup, &options, &result);
        records += result.records;
        starts += result.starts;
    }
    if (first != last)
        printf("%" PRIu64 " seeds, %" PRIu64 " starts, %" PRIu64
               " committed records, no violation\n",
               last - first + 1, starts, records);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}
