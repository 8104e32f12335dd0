/* SPDX-License-Identifier: Apache-2.0 */
/* args.c - the command line: one table of commands, one of options, and how they are read.
 *
 * Options stand before or after the command, as --name=value, --name value, -n value or -nvalue;
 * `--` ends them. So all are collected first, and whether the command takes them is seen when it is
 * known. Names are written out: an abbreviation would change its meaning with the next option. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct cli_command_info commands[] = {
    {CLI_WORKER, "worker", NULL, 0, "run the app"},
    {CLI_SEND, "send", "CHANNEL", 1, "write JSON lines from stdin to a channel of the app"},
    {CLI_TAP, "tap", "CHANNEL", 1, "print the records of a channel of the app, one a line"},
    {CLI_PLAN, "plan", NULL, 0, "print what the app would run, with the times in force"},
    {CLI_WHY, "why", "watermark|window [NAME]", 2,
     "say what event time waits for in the worker that runs with a state directory; NAME: at this "
     "agent or window"},
    {CLI_CHECKPOINT, "checkpoint", "ls|verify [ID]|create", 2,
     "list the checkpoints below a state directory, check every byte of them, or let the worker "
     "that runs there take one"},
    {CLI_SAVEPOINT, "savepoint", "create [PATH]|ls [FOLDER]|show PATH|rm PATH", 2,
     "let the worker that runs save all it knows, apart from its checkpoints; or look at what was "
     "saved, check every byte of it, remove it"},
    {CLI_STATE, "state", "ls|get AGENT STATE KEY|dump [AGENT [STATE]]", 4,
     "list the states in the newest whole checkpoint, in a savepoint or of the worker that runs, "
     "or "
     "print keys and values"},
    {CLI_SIM, "sim", NULL, 0,
     "run the app in a simulated world that fails, seed by seed, and compare what it commits"},
    {CLI_OPTIONS, "options", NULL, 0,
     "list what can be set by -O or in a file, for -A also by the app"},
};

enum {
    WITH_APP = CLI_APP_COMMANDS | CLI_OPTIONS | CLI_LOOK_COMMANDS,
    WITH_STATE = CLI_APP_COMMANDS | CLI_LOOK_COMMANDS,
    ALL = WITH_APP | WITH_STATE,
};

/* clang-format off */
static const struct cli_option options[] = {
    {'A', "app", "PATH.so:SYMBOL", "app", "SABOT_APP", WITH_APP,
     "the app: a shared object, and the name its SABOT_APP has in it"},
    {'b', "broker", "URL", "broker", "SABOT_BROKER", CLI_APP_COMMANDS,
     "where channels without a URL are, kafka://HOST:PORT; default: embedded"},
    {'c', "threads", "N", "threads", NULL, CLI_WORKER | CLI_PLAN,
     "worker threads of a pipeline; default: 1"},
    {'l', "log-level", "LEVEL", "log.level", "SABOT_LOGLEVEL", CLI_APP_COMMANDS,
     "error, warn, info or debug; default: info"},
    {0, "bind", "CHANNEL=URL", NULL, NULL, CLI_APP_COMMANDS,
     "where one channel is: file:PATH, file:-, memory:, kafka://HOST:PORT/TOPIC"},
    {0, "config", "FILE", NULL, "SABOT_CONFIG", WITH_STATE,
     "a YAML file of options, and of binds below bind:"},
    {0, "state-dir", "DIR", "state.dir", "SABOT_STATE_DIR", WITH_STATE,
     "folder for what must outlive the process; default: nothing is kept"},
    {'O', "option", "NAME=VALUE", NULL, NULL, CLI_APP_COMMANDS,
     "any option by its name; VALUE may be @FILE"},
    {0, "until-end", NULL, "until.end", NULL, CLI_WORKER | CLI_TAP,
     "end where the inputs end now"},
    {0, "reset", NULL, "checkpoint.reset", NULL, CLI_WORKER,
     "start anew: checkpoints are moved aside, and inputs are read from kafka.start"},
    {0, "restore", "ID|PATH", "checkpoint.restore", NULL, CLI_WORKER,
     "go on from this kept checkpoint, or from this savepoint (with a / in it)"},
    {0, "force", NULL, "checkpoint.force", NULL, CLI_WORKER,
     "with --restore: also from another than the checkpoint that counts"},
    {0, "from-offsets", NULL, "checkpoint.from_offsets", NULL, CLI_WORKER,
     "go on with empty state at the committed offsets of the consumer group"},
    {0, "drop-state", NULL, "checkpoint.drop_state", NULL, CLI_WORKER,
     "forget the state, inputs and outputs that the app does not have any more"},
    {0, "stop", NULL, NULL, NULL, CLI_SAVEPOINT,
     "of create: and end the worker; nothing is processed behind the savepoint"},
    {0, "json", NULL, NULL, NULL, CLI_WORKER | CLI_PLAN | CLI_LOOK_COMMANDS,
     "print JSON on stdout; of a worker: its summary, as one object at the end"},
    {0, "checkpoint", "ID", NULL, NULL, CLI_STATE,
     "look at this checkpoint; default: the newest that is whole"},
    {0, "savepoint", "PATH", NULL, NULL, CLI_STATE,
     "look at this savepoint"},
    {0, "running", NULL, NULL, NULL, CLI_STATE,
     "ask the worker that runs: what it knows now, all agents of a pipeline at one moment"},
    {0, "limit", "N", NULL, NULL, CLI_STATE,
     "of dump: end after N rows"},
    {0, "count", "N", NULL, NULL, CLI_TAP,
     "end after N records"},
    {0, "seed", "A[..B]", NULL, NULL, CLI_SIM,
     "the seeds to run; default: 1..100"},
    {0, "faults", "LIST", NULL, NULL, CLI_SIM,
     "the faults that a seed may draw: all, none, or names with commas; default: all"},
    {0, "until", "SECONDS", NULL, NULL, CLI_SIM,
     "faults end then, in virtual time; default: the seed says"},
    {0, "records", "N", NULL, NULL, CLI_SIM,
     "take at most N records of each input, file or source of the app; default: 500"},
    {0, "any-output", NULL, NULL, NULL, CLI_SIM,
     "outputs need not be those of the run without faults"},
    {0, "verbose", NULL, NULL, NULL, CLI_SIM,
     "print what happens, and the hash of each seed"},
    {0, "markdown", NULL, NULL, NULL, CLI_OPTIONS,
     "print the list as docs/CONFIGURATION.md"},
    {'h', "help", NULL, NULL, NULL, ALL,
     "print this"},
    {0, "version", NULL, NULL, NULL, ALL,
     "print the version"},
};
/* clang-format on */

const struct cli_option *cli_option_at(size_t index)
{
    return index < sizeof options / sizeof options[0] ? &options[index] : NULL;
}

const struct cli_command_info *cli_command_at(size_t index)
{
    return index < sizeof commands / sizeof commands[0] ? &commands[index] : NULL;
}

/* --- Suggestions ------------------------------------------------------------------------------ */

enum { COMPARED_MAX = 16 /* bytes of a word that are compared */ };

/* Letters to insert, remove or replace to get from one word to another. */
static size_t edits(const char *from, size_t from_size, const char *to)
{
    size_t row[COMPARED_MAX + 1];
    const size_t to_size = strnlen(to, COMPARED_MAX);

    from_size = from_size < COMPARED_MAX ? from_size : COMPARED_MAX;
    for (size_t j = 0; j <= to_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= from_size; i++) {
        size_t corner = row[0];

        row[0] = i;
        for (size_t j = 1; j <= to_size; j++) {
            size_t best = corner + (from[i - 1] != to[j - 1]);

            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[to_size];
}

/* Keep the nearer of two words. `*distance` begins with how far a word may be to be meant. */
static void keep_nearer(const char *wanted,
                        size_t size,
                        const char *word,
                        const char **nearest,
                        size_t *distance)
{
    const size_t found = edits(wanted, size, word);

    if (found < *distance) {
        *distance = found;
        *nearest = word;
    }
}

static bool fail_command(const char *name)
{
    const size_t size = strlen(name);
    const char *nearest = NULL;
    size_t distance = size / 2 + 1;

    for (size_t i = 0; cli_command_at(i) != NULL; i++)
        keep_nearer(name, size, commands[i].name, &nearest, &distance);
    if (nearest == NULL)
        (void)cli_fail(0, "unknown command \"%s\": `sabot --help` lists them", name);
    else
        (void)cli_fail(0, "unknown command \"%s\": did you mean \"%s\"?", name, nearest);
    return false;
}

/* `name` without its dashes, `size` bytes of it. */
static bool fail_option(const char *name, size_t size)
{
    const char *nearest = NULL;
    size_t distance = size / 2 + 1;

    for (size_t i = 0; cli_option_at(i) != NULL; i++)
        keep_nearer(name, size, options[i].name, &nearest, &distance);
    if (nearest == NULL)
        (void)cli_fail(0, "unknown option \"--%.*s\": `sabot --help` lists them", (int)size, name);
    else
        (void)cli_fail(0, "unknown option \"--%.*s\": did you mean \"--%s\"?", (int)size, name,
                       nearest);
    return false;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static void add(struct cli_args *args, const struct cli_option *option, const char *value)
{
    args->given[args->given_count++] = (struct cli_given){.option = option, .value = value};
}

/* The value of an option: behind it, or the next argument. */
static bool take_value(const char *shown,
                       const char *attached,
                       int argc,
                       char **argv,
                       int *at,
                       const char **value_out)
{
    if (attached != NULL) {
        *value_out = attached;
        return true;
    }
    if (*at + 1 >= argc) {
        (void)cli_fail(0, "%s: a value is missing behind it", shown);
        return false;
    }
    *value_out = argv[++*at];
    return true;
}

static bool read_long(struct cli_args *args, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    const size_t size = strcspn(name, "=");
    const char *attached = name[size] == '=' ? name + size + 1 : NULL;
    const struct cli_option *option = NULL;
    const char *value = NULL;

    for (size_t i = 0; option == NULL && cli_option_at(i) != NULL; i++) {
        if (strlen(options[i].name) == size && strncmp(options[i].name, name, size) == 0)
            option = &options[i];
    }
    if (option == NULL)
        return fail_option(name, size);
    if (option->argument == NULL && attached != NULL) {
        (void)cli_fail(0, "--%s: takes no value", option->name);
        return false;
    }
    if (option->argument != NULL && !take_value(argv[*at], attached, argc, argv, at, &value))
        return false;
    add(args, option, value);
    return true;
}

/* -c 4, -c4; letters without a value are not run together. */
static bool read_short(struct cli_args *args, int argc, char **argv, int *at)
{
    const char *text = argv[*at];
    const struct cli_option *option = NULL;
    const char *value = NULL;

    for (size_t i = 0; option == NULL && cli_option_at(i) != NULL; i++) {
        if (options[i].letter != 0 && options[i].letter == text[1])
            option = &options[i];
    }
    if (option == NULL || (option->argument == NULL && text[2] != '\0')) {
        (void)cli_fail(0, "unknown option \"%s\": `sabot --help` lists them", text);
        return false;
    }
    if (option->argument != NULL &&
        !take_value(text, text[2] == '\0' ? NULL : text + 2, argc, argv, at, &value))
        return false;
    add(args, option, value);
    return true;
}

/* The command, or what it is about. */
static bool read_word(struct cli_args *args, const char *word)
{
    if (args->command == NULL) {
        for (size_t i = 0; cli_command_at(i) != NULL; i++) {
            if (strcmp(commands[i].name, word) == 0)
                args->command = &commands[i];
        }
        return args->command != NULL || fail_command(word);
    }
    if (args->operand_count == args->command->operands_max) {
        (void)cli_fail(0, "%s: \"%s\" is one word too many", args->command->name, word);
        return false;
    }
    args->operands[args->operand_count++] = word;
    return true;
}

static bool check_given(const struct cli_args *args)
{
    for (size_t i = 0; args->command != NULL && i < args->given_count; i++) {
        const struct cli_option *option = args->given[i].option;

        if ((option->commands & (int)args->command->command) == 0) {
            (void)cli_fail(0, "%s: takes no --%s: `sabot %s --help` lists what it takes",
                           args->command->name, option->name, args->command->name);
            return false;
        }
    }
    return true;
}

bool cli_args_init(struct cli_args *args, int argc, char **argv)
{
    bool has_options = true;

    *args = (struct cli_args){.given = calloc((size_t)argc + 1, sizeof *args->given)};
    if (args->given == NULL) {
        (void)cli_fail(0, "no memory");
        return false;
    }
    for (int at = 1; at < argc; at++) {
        const char *text = argv[at];
        bool is_right;

        if (has_options && strcmp(text, "--") == 0) {
            has_options = false;
            continue;
        }
        if (has_options && strncmp(text, "--", 2) == 0)
            is_right = read_long(args, argc, argv, &at);
        else if (has_options && text[0] == '-' && text[1] != '\0')
            is_right = read_short(args, argc, argv, &at);
        else
            is_right = read_word(args, text);
        if (!is_right)
            return false;
    }
    return check_given(args);
}

void cli_args_reset(struct cli_args *args)
{
    free(args->given);
    *args = (struct cli_args){.given = NULL};
}

const char *cli_args_value(const struct cli_args *args, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < args->given_count; i++) {
        if (strcmp(args->given[i].option->name, name) == 0)
            value = args->given[i].value == NULL ? "" : args->given[i].value;
    }
    return value;
}

bool cli_read_number(const char *what, const char *text, int64_t *number_out)
{
    char *end;

    errno = 0;
    *number_out = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' && *number_out > 0)
        return true;
    (void)cli_fail(0, "%s: %.64s: expected a number from 1", what, text);
    return false;
}
