/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - the parts of the command `sabot` to each other.
 *
 * The command is a program like any that embeds Sabot: it sees include/ only. It reads its
 * arguments (args.c), makes a configuration and loads the app (setup.c), and does one thing:
 * worker.c, send.c, tap.c, plan.c, checkpoint.c, savepoint.c, state.c, or help.c.
 *
 * What is said: stdout has records, or one JSON object; everything else is stderr.
 * Threads: all of it on the first one; the library has its own. */
#ifndef SABOT_CLI_H
#define SABOT_CLI_H

#include <sabot/control.h>
#include <sabot/inspect.h>
#include <sabot/run.h>

/* How the command ends. 128 + n: by a second signal n. */
enum cli_exit {
    CLI_DONE = 0,        /* all read, or stopped */
    CLI_FAILED = 1,      /* while it ran */
    CLI_NOT_STARTED = 2, /* usage, an option, the app, a channel */
    CLI_FENCED = 3,      /* must not be restarted as it is */
    CLI_DAMAGED = 3,     /* what was looked at is damaged */
};

/* --- Arguments (args.c) --------------------------------------------------------------------------
 */

enum cli_command {
    CLI_NONE = 0,
    CLI_WORKER = 1,
    CLI_SEND = 2,
    CLI_TAP = 4,
    CLI_OPTIONS = 8,
    CLI_CHECKPOINT = 16,
    CLI_STATE = 32,
    CLI_SAVEPOINT = 64,
    CLI_PLAN = 128,
    CLI_WHY = 256,
    CLI_SIM = 512,
    CLI_APP_COMMANDS = CLI_WORKER | CLI_SEND | CLI_TAP | CLI_PLAN | CLI_SIM,
    /* At a state directory, or at what a worker does there; they need no app. */
    CLI_LOOK_COMMANDS = CLI_CHECKPOINT | CLI_STATE | CLI_SAVEPOINT | CLI_WHY,
};

/* An option of the command line. */
struct cli_option {
    char letter;             /* 'c'; 0: none */
    const char *name;        /* "threads" */
    const char *argument;    /* "N"; NULL: takes none */
    const char *sets;        /* the option of the table that it sets; NULL: none */
    const char *environment; /* variable that sets it too; NULL: none */
    int commands;            /* that take it: enum cli_command, or-ed */
    const char *doc;
};

/* NULL past the end. */
const struct cli_option *cli_option_at(size_t index);

struct cli_command_info {
    enum cli_command command;
    const char *name;
    const char *operand; /* "CHANNEL"; NULL: none */
    size_t operands_max; /* words behind the command */
    const char *doc;
};
const struct cli_command_info *cli_command_at(size_t index);

/* One option as it was given. */
struct cli_given {
    const struct cli_option *option;
    const char *value; /* NULL: takes none */
};

enum { CLI_OPERANDS_MAX = 4 };

struct cli_args {
    const struct cli_command_info *command; /* NULL: none */
    const char *operands[CLI_OPERANDS_MAX]; /* of the command */
    size_t operand_count;
    struct cli_given *given; /* in their order */
    size_t given_count;
};

/* Take the arguments apart. False: it has said on stderr what is wrong. cli_args_reset() frees. */
bool cli_args_init(struct cli_args *args, int argc, char **argv);
void cli_args_reset(struct cli_args *args);

/* The last value of an option by its long name ("" when it takes none); NULL: not given. */
const char *cli_args_value(const struct cli_args *args, const char *name);

/* A number from 1. False: it has said that `what` is none. */
bool cli_read_number(const char *what, const char *text, int64_t *number_out);

/* --- Help (help.c) -------------------------------------------------------------------------------
 */

/* On stdout: of the command in `args`, or of all when there is none; with the options of the app,
 * if one is named. Returns how the process is to end. */
int cli_help(const struct cli_args *args);
/* The option table, and the options of the app: as text, or as docs/CONFIGURATION.md. */
int cli_list_options(const struct cli_args *args);

/* --- What a command needs (setup.c) --------------------------------------------------------------
 */

struct cli_setup {
    sabot_config *config;
    sabot_module *module;
    const sabot_app_entry *entry;
};

enum cli_app_need {
    CLI_APP_OPTIONAL, /* `entry` is NULL when none is named */
    CLI_APP_NEEDED,
    CLI_APP_UNUSED, /* none is loaded, named or not */
};

/* Option beats environment beats file. False: it has said what is wrong. cli_setup_reset() frees.
 */
bool cli_setup_init(struct cli_setup *setup, const struct cli_args *args, enum cli_app_need need);
void cli_setup_reset(struct cli_setup *setup);

/* "sabot: TEXT" on stderr, in one line. Returns `code`, so that a failing function ends with it. */
int cli_fail(int code, const char *format, ...) SABOT_PRINTF(2, 3);

/* A text in quotes on stdout, as in JSON. */
void cli_print_json_text(const char *text);

/* Everything written to stdout is out. False: it has said that it is not. */
bool cli_flush_output(void);

/* The state directory of a command that looks at one. NULL: it has said that none is named, or why
 * it can't be looked at. */
sabot_inspection *cli_inspect(const struct cli_setup *setup, const char **state_dir_out);

enum { CLI_PATH_SIZE = 4096 };

/* The worker may have another folder as its own: it gets whole paths. False: it has said why not.
 */
bool cli_absolute(char path_out[CLI_PATH_SIZE], const char *path);
/* The same of the state directory. */
bool cli_state_dir(const struct cli_setup *setup, char path_out[CLI_PATH_SIZE]);

/* Ask the worker that runs with the state directory, as long as it takes: the one of the app, if
 * one is named. NULL: it has said why there is no answer, and *code_out is how to end.
 * sabot_answer_destroy() frees. */
sabot_answer *cli_ask(const struct cli_setup *setup,
                      const char *request,
                      const char *const *arguments,
                      size_t argument_count,
                      int *code_out);

/* "" or "s" */
static inline const char *cli_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* --- Signals (signals.c) -------------------------------------------------------------------------
 *
 * The first SIGTERM or SIGINT asks for a clean stop, the second ends the process at once. */
void cli_signals_init(void);
/* Stop this run when asked to, also when that was before; NULL: none any more. */
void cli_signals_stop(sabot_run *run);
/* The signal that came, 0: none. */
int cli_signals_seen(void);

/* --- The live line and the summary (live.c, summary.c) -------------------------------------------
 */

enum { CLI_RATE_SAMPLES = 5 };

struct cli_live {
    bool is_on; /* stderr is a terminal that can erase a line */
    bool is_shown;
    uint64_t records[CLI_RATE_SAMPLES]; /* read, at each of the last redraws */
    int64_t times_us[CLI_RATE_SAMPLES];
    size_t sample_count;
};

void cli_live_init(struct cli_live *live, bool is_wanted);
void cli_live_draw(struct cli_live *live, sabot_run *run);
void cli_live_erase(struct cli_live *live);

enum { CLI_NUMBER_SIZE = 40 };

/* "2,104,332"; "2.10 M"; "3.2 ms"; "103 MiB" */
const char *cli_write_count(char text_out[CLI_NUMBER_SIZE], uint64_t count);
const char *cli_write_rate(char text_out[CLI_NUMBER_SIZE], double per_second);
const char *cli_write_time(char text_out[CLI_NUMBER_SIZE], int64_t time_us);
/* In the largest unit that leaves two digits or less: "12 s", "5 min", "3 h", "40 d"; "-" when it
 * is negative. */
const char *cli_write_age(char text_out[CLI_NUMBER_SIZE], int64_t age_ms);
const char *cli_write_bytes(char text_out[CLI_NUMBER_SIZE], uint64_t bytes);

/* What a run has done, at its end. `outcome` is "done", "stopped" or "failed". */
void cli_summary_print(sabot_run *run, const char *outcome);
/* The same as one JSON object on stdout; `error` NULL: none. */
void cli_summary_print_json(sabot_run *run,
                            const char *outcome,
                            int exit_code,
                            const sabot_error *error);

/* --- Commands ------------------------------------------------------------------------------------
 *
 * Each returns how the process is to end. */
int cli_worker(const struct cli_setup *setup, const struct cli_args *args);
int cli_send(const struct cli_setup *setup, const struct cli_args *args);
int cli_tap(const struct cli_setup *setup, const struct cli_args *args);
int cli_checkpoint(const struct cli_setup *setup, const struct cli_args *args);
int cli_savepoint(const struct cli_setup *setup, const struct cli_args *args);
int cli_plan(const struct cli_setup *setup, const struct cli_args *args);
int cli_why(const struct cli_setup *setup, const struct cli_args *args);
int cli_state(const struct cli_setup *setup, const struct cli_args *args);
/* What looks at a worker have left in the state directory that were killed. */
void cli_remove_peeks(const char *state_dir);
int cli_sim(const struct cli_setup *setup, const struct cli_args *args);

#endif
