/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - `sabot worker`: run the app until its inputs end, or somebody stops it. */
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

enum {
    REDRAW_MS = 250,
    FIRST_LOOK_MS = 10, /* until then: the first lines come at once */
    RUNS_MAX = 5,       /* one behind the other without a checkpoint between them */
};

/* How a failed call ends the process: a run that never began did not start. */
static int code_of(sabot_status status, bool has_started)
{
    if (status == SABOT_ERR_FENCED || status == SABOT_ERR_RECOVERY)
        return CLI_FENCED;
    return has_started ? CLI_FAILED : CLI_NOT_STARTED;
}

/* What is said once, while the run goes on. */
struct progress {
    struct cli_live live;
    bool is_described;
    bool is_stopping;
};

/* The first lines, as soon as everything is open. */
static void describe(struct progress *progress, sabot_run *run)
{
    const char *line;

    if (progress->is_described || !sabot_run_describe(run, 0, &line))
        return;
    cli_live_erase(&progress->live);
    for (size_t i = 0; sabot_run_describe(run, i, &line); i++)
        (void)fprintf(stderr, "%s\n", line);
    progress->is_described = true;
}

static void report(struct progress *progress, sabot_run *run)
{
    describe(progress, run);
    if (cli_signals_seen() != 0 && !progress->is_stopping) {
        cli_live_erase(&progress->live);
        (void)fprintf(stderr, "stopping: what is in flight is finished; a second signal ends it "
                              "at once\n");
        progress->is_stopping = true;
    }
    cli_live_draw(&progress->live, run);
}

/* Start, and report until the run has ended. SABOT_END: well. */
static sabot_status start_and_wait(sabot_run *run, struct progress *progress, sabot_error *error)
{
    sabot_status status;

    cli_signals_stop(run);
    status = sabot_run_start(run, error);
    if (status == SABOT_OK)
        status = SABOT_AGAIN;
    for (int64_t waited_ms = 0; status == SABOT_AGAIN;) {
        const int64_t wait_ms = waited_ms < REDRAW_MS ? FIRST_LOOK_MS : REDRAW_MS;

        status = sabot_run_wait(run, wait_ms, error);
        waited_ms += wait_ms;
        if (status == SABOT_AGAIN && waited_ms >= REDRAW_MS)
            report(progress, run);
        else
            describe(progress, run);
    }
    cli_signals_stop(NULL);
    cli_live_erase(&progress->live);
    return status;
}

static int end(sabot_run *run, sabot_status status, bool as_json, const sabot_error *error)
{
    const char *outcome = cli_signals_seen() != 0 ? "stopped" : "done";
    const bool has_failed = status != SABOT_END;
    sabot_run_stats stats;
    int code = CLI_DONE;

    sabot_run_get_stats(run, &stats);
    if (has_failed) {
        code = code_of(status, stats.started);
        outcome = stats.started ? "failed" : "not started";
    }
    if (stats.started)
        cli_summary_print(run, outcome);
    else if (!has_failed)
        (void)fprintf(stderr, "%s before it had begun\n", outcome);
    if (has_failed)
        (void)cli_fail(code, "%s", error->text);
    if (as_json) {
        cli_summary_print_json(run, outcome, code, has_failed ? error : NULL);
        if (!cli_flush_output() && code == CLI_DONE)
            code = CLI_FAILED;
    }
    return code;
}

/* Has the run been lost on the way to the broker, and is another one likely to fare better? Who was
 * fenced twice in a row shares the id with somebody who is alive. `fruitless` counts. */
static bool is_lost(sabot_run *run, sabot_status status, const sabot_error *error, int *fruitless)
{
    sabot_run_stats stats;

    if (status == SABOT_END || !error->retriable || cli_signals_seen() != 0)
        return false;
    sabot_run_get_stats(run, &stats);
    *fruitless = stats.checkpoints > 0 ? 1 : *fruitless + 1;
    return stats.started && *fruitless < (status == SABOT_ERR_FENCED ? 2 : RUNS_MAX);
}

/* Put a new run into the place of one that was lost. Where it was told to begin has done its work
 * when there was a checkpoint since. */
static sabot_status begin_anew(const struct cli_setup *setup,
                               const char *why,
                               sabot_run **run,
                               sabot_error *error)
{
    static const struct {
        const char *name, *none;
    } choices[] = {
        {"checkpoint.reset", "false"},
        {"checkpoint.restore", ""},
        {"checkpoint.force", "false"},
        {"checkpoint.from_offsets", "false"},
    };
    sabot_run_stats stats;

    (void)fprintf(stderr, "%s\ngoing on from the last checkpoint\n", why);
    sabot_run_get_stats(*run, &stats);
    sabot_run_destroy(*run);
    *run = NULL;
    if (stats.checkpoints > 0) {
        for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
            SABOT_TRY(sabot_config_set(setup->config, SABOT_FROM_OPTION, choices[i].name,
                                       choices[i].none, error));
    }
    return sabot_run_create(setup->entry, setup->config, run, error);
}

int cli_worker(const struct cli_setup *setup, const struct cli_args *args)
{
    const bool as_json = cli_args_value(args, "json") != NULL;
    const char *state_dir = sabot_config_get(setup->config, "state.dir");
    sabot_error error = {.status = SABOT_OK};
    struct progress progress = {.is_described = false};
    sabot_run *run;
    sabot_status status;
    int fruitless = 0;
    int code;

    status = sabot_run_create(setup->entry, setup->config, &run, &error);
    if (status != SABOT_OK)
        return cli_fail(code_of(status, false), "%s", error.text);
    if (as_json && sabot_run_uses_stdout(run)) {
        sabot_run_destroy(run);
        return cli_fail(CLI_NOT_STARTED,
                        "--json: an output is bound to file:-, and both want stdout: bind it "
                        "elsewhere, or leave --json out");
    }
    if (state_dir != NULL)
        cli_remove_peeks(state_dir);
    /* Records that scroll by on the same terminal leave no place for a line. */
    cli_live_init(&progress.live, !(sabot_run_uses_stdout(run) && isatty(STDOUT_FILENO) == 1));
    status = start_and_wait(run, &progress, &error);
    while (is_lost(run, status, &error, &fruitless)) {
        sabot_error why = error;

        progress.is_described = false;
        status = begin_anew(setup, why.text, &run, &error);
        if (status != SABOT_OK)
            return cli_fail(code_of(status, false), "%s", error.text);
        status = start_and_wait(run, &progress, &error);
    }
    code = end(run, status, as_json, &error);
    sabot_run_destroy(run);
    return code;
}
