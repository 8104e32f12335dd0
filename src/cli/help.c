/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - what the command says about itself, all of it from its tables and the option table. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

enum {
    WIDTH = 80,
    COLUMN = 30, /* where explanations begin */
    INDENT = 6,  /* of them below a name */
    LABEL_SIZE = 160,
};

/* Words of `text` from column `at` on, later lines indented to `indent`, and the end of the line.
 */
static void print_wrapped(const char *text, size_t at, size_t indent)
{
    while (*text != '\0') {
        const size_t size = strcspn(text, " ");

        if (at > indent && at + 1 + size > WIDTH) {
            printf("\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            (void)putchar(' ');
            at++;
        }
        printf("%.*s", (int)size, text);
        at += size;
        text += size + (text[size] == ' ');
    }
    (void)putchar('\n');
}

/* A label, and behind or below it what it means. */
static void print_row(const char *label, const char *text)
{
    size_t at = strlen(label);

    printf("%s", label);
    if (at > COLUMN - 2) {
        (void)putchar('\n');
        at = 0;
    }
    printf("%*s", (int)(COLUMN - at), "");
    print_wrapped(text, COLUMN, COLUMN);
}

/* --- Commands --------------------------------------------------------------------------------- */

static void print_option_rows(int of_commands)
{
    const struct cli_option *option;
    char label[LABEL_SIZE];

    printf("\nOptions:\n");
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++) {
        char letter[] = "-x, ";

        if ((option->commands & of_commands) == 0)
            continue;
        letter[1] = option->letter;
        (void)snprintf(label, sizeof label, "  %s--%s%s%s", option->letter != 0 ? letter : "    ",
                       option->name, option->argument == NULL ? "" : " ",
                       option->argument == NULL ? "" : option->argument);
        print_row(label, option->doc);
    }
}

static void print_environment(int of_commands)
{
    const struct cli_option *option;
    char label[LABEL_SIZE];

    printf("\nEnvironment (an option beats it, and it beats the file):\n");
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++) {
        char text[LABEL_SIZE];

        if (option->environment == NULL || (option->commands & of_commands) == 0)
            continue;
        (void)snprintf(label, sizeof label, "  %s", option->environment);
        (void)snprintf(text, sizeof text, "as --%s", option->name);
        print_row(label, text);
    }
}

static void print_exit(const struct cli_command_info *command)
{
    printf("\nExit status:\n");
    print_row("  0", command->command == CLI_WORKER
                         ? "all inputs have ended, or it was stopped and has finished its work"
                         : "done");
    print_row("  1",
              command->command == CLI_SIM ? "something was violated" : "failed while running");
    print_row("  2", (command->command & CLI_LOOK_COMMANDS) != 0
                         ? "did not start: usage, an option, no such folder or checkpoint"
                         : "did not start: usage, an option, the app, a channel");
    if ((command->command & CLI_LOOK_COMMANDS) != 0)
        print_row("  3", "a checkpoint is damaged");
    if (command->command != CLI_WORKER)
        return;
    print_row("  3", "another instance has taken over: do not restart it as it is");
    print_row("  128+N", "a second signal N; the first SIGTERM or SIGINT stops cleanly");
}

static void print_all(void)
{
    const struct cli_command_info *command;
    char label[LABEL_SIZE];

    printf("sabot %s - stream processing for C\n\n"
           "Usage: sabot -A PATH.so:SYMBOL COMMAND [OPTION]...\n\nCommands:\n",
           sabot_version());
    for (size_t i = 0; (command = cli_command_at(i)) != NULL; i++) {
        (void)snprintf(label, sizeof label, "  %s%s%s", command->name,
                       command->operand == NULL ? "" : " ",
                       command->operand == NULL ? "" : command->operand);
        print_row(label, command->doc);
    }
    printf("\n`sabot COMMAND --help` says more about one. For example:\n\n"
           "  sabot -A build/fraud.so:app worker\n"
           "  sabot -A build/fraud.so:app worker -b kafka://localhost:9092 -c 4\n"
           "  sabot -A build/fraud.so:app worker --bind bank-transactions=file:tx.jsonl \\\n"
           "      --bind fraud-alerts=file:-\n");
}

static void print_command(const struct cli_command_info *command)
{
    printf("Usage: sabot%s %s%s%s [OPTION]...\n\n",
           (command->command & CLI_APP_COMMANDS) != 0 ? " -A PATH.so:SYMBOL" : "", command->name,
           command->operand == NULL ? "" : " ", command->operand == NULL ? "" : command->operand);
    printf("sabot %s: %s.\n", command->name, command->doc);
    print_option_rows((int)command->command);
    if (command->command == CLI_OPTIONS)
        return;
    print_environment((int)command->command);
    print_exit(command);
}

/* --- The option table ------------------------------------------------------------------------- */

static void print_plain(const sabot_option *option)
{
    printf("  %s=%s", option->name, *option->range != '\0' ? option->range : option->type);
    if (*option->default_value != '\0')
        printf("  (default %s)", option->default_value);
    printf("%s\n%*s", option->secret ? "  (secret: as @FILE, or in a file)" : "", INDENT, "");
    print_wrapped(option->doc, INDENT, INDENT);
}

/* A '|' would end the cell. */
static void print_cell(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

static void print_markdown_row(const sabot_option *option)
{
    printf("| `%s` | %s", option->name, option->type);
    if (*option->range != '\0') {
        printf(", ");
        print_cell(option->range);
    }
    if (*option->unit != '\0' && strcmp(option->unit, option->type) != 0)
        printf(" %s", option->unit);
    printf(" | ");
    if (*option->default_value != '\0')
        printf("`%s`", option->default_value);
    printf(" | %s%s |\n", option->doc, option->secret ? " Secret." : "");
}

static const char markdown_head[] =
    "# Configuration\n"
    "\n"
    "Made from the option table in `src/api/options.c` by `tools/docs`; do not edit.\n"
    "\n"
    "An option has a dotted name and is given in one of four places. The higher one wins, in\n"
    "whatever order they are read:\n"
    "\n"
    "1. the command line: `-O errors.decode=skip`, or a short form such as `-c 4`\n"
    "2. the environment, for the few that have a variable\n"
    "3. the YAML file of `--config`: nested maps or dotted names, and `bind:` for channels\n"
    "4. the default\n"
    "\n"
    "```yaml\n"
    "threads: 4\n"
    "errors.decode: skip\n"
    "kafka:\n"
    "  linger.ms: 5\n"
    "  sasl.password: \"@/run/secrets/kafka\"\n"
    "bind:\n"
    "  bank-transactions: file:tx.jsonl\n"
    "fraud:                   # options of the app named fraud\n"
    "  count: 1000\n"
    "```\n"
    "\n"
    "Any value may be `@FILE`: the contents of that file, without the end of its last line; a "
    "text\n"
    "that begins with `@` is written with two. Secrets are refused on the command line unless "
    "they\n"
    "are given so, and are never printed. A name that nobody knows is an error which suggests the\n"
    "nearest. Options of an app stand under its name and are declared by it "
    "(`sabot_app_option_...`\n"
    "in `include/sabot/app.h`).\n"
    "\n"
    "A file has one document of maps and scalars, at most 1 MiB; lists, anchors, aliases and tags\n"
    "are refused, and a file with a mistake is not taken at all. Bytes are written as a number,\n"
    "with `KiB`, `MiB`, `GiB` or `TiB` behind it or nothing. `sabot -A APP options` lists those "
    "of\n"
    "an app too.\n"
    "\n";
static const char table_head[] = "| name | type, range | default | what it does |\n"
                                 "|---|---|---|---|\n";

static void print_markdown_options(void)
{
    const struct cli_option *option;

    printf("\n## On the command line\n\n"
           "| option | variable | same as | what it does |\n"
           "|---|---|---|---|\n");
    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++) {
        if ((option->commands & (CLI_APP_COMMANDS | CLI_LOOK_COMMANDS)) == 0)
            continue;
        printf("| `");
        if (option->letter != 0)
            printf("-%c`, `", option->letter);
        printf("--%s%s%s` | ", option->name, option->argument == NULL ? "" : " ",
               option->argument == NULL ? "" : option->argument);
        if (option->environment != NULL)
            printf("`%s`", option->environment);
        printf(" | ");
        if (option->sets != NULL)
            printf("`%s`", option->sets);
        printf(" | %s |\n", option->doc);
    }
}

/* Of the library, or of an app. */
static void print_option(void *context, const sabot_option *option)
{
    const bool *as_markdown = context;

    if (*as_markdown)
        print_markdown_row(option);
    else
        print_plain(option);
}

static void print_table(bool as_markdown)
{
    sabot_option option;

    for (size_t i = 0; sabot_option_at(i, &option); i++)
        print_option(&as_markdown, &option);
}

/* Nothing when no app is named. */
static int print_app_options(const struct cli_args *args, bool as_markdown)
{
    struct cli_setup setup;
    sabot_error error = {.status = SABOT_OK};
    int code = CLI_DONE;

    if (!cli_setup_init(&setup, args, CLI_APP_OPTIONAL))
        return CLI_NOT_STARTED;
    if (setup.entry != NULL) {
        if (as_markdown)
            printf("\n## Of the app %s\n\n%s", setup.entry->name, table_head);
        else
            printf("\nOptions of the app %s:\n\n", setup.entry->name);
        if (sabot_app_options(setup.entry, print_option, &as_markdown, &error) != SABOT_OK)
            code = cli_fail(CLI_NOT_STARTED, "%s", error.text);
    }
    cli_setup_reset(&setup);
    return code;
}

int cli_list_options(const struct cli_args *args)
{
    const bool as_markdown = cli_args_value(args, "markdown") != NULL;

    if (!as_markdown) {
        print_table(false);
        return print_app_options(args, false);
    }
    printf("%s%s", markdown_head, table_head);
    print_table(true);
    print_markdown_options();
    return print_app_options(args, true);
}

int cli_help(const struct cli_args *args)
{
    const struct cli_command_info *command = args->command;

    if (command == NULL) {
        print_all();
        return CLI_DONE;
    }
    print_command(command);
    if (command->command != CLI_WORKER)
        return CLI_DONE;
    printf("\nOptions by name, for -O NAME=VALUE and the file of --config:\n\n");
    print_table(false);
    return print_app_options(args, false);
}
