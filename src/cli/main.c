/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the command `sabot`: run an app, feed it, look at its channels. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

int cli_fail(int code, const char *format, ...)
{
    va_list arguments;
    char text[2 * SABOT_ERROR_TEXT_MAX];

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "sabot: %s\n", text);
    return code;
}

bool cli_flush_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    (void)cli_fail(CLI_FAILED, "standard output: %s", strerror(errno));
    return false;
}

/* A command that runs an app or opens one of its channels, or looks at what a run has kept. */
static int run_command(const struct cli_args *args)
{
    const bool only_looks = (args->command->command & CLI_LOOK_COMMANDS) != 0;
    const bool asks = args->command->command == CLI_WHY ||
                      (only_looks && (strcmp(args->operands[0], "create") == 0 ||
                                      cli_args_value(args, "running") != NULL));
    struct cli_setup setup;
    int code;

    if (!cli_setup_init(&setup, args,
                        asks         ? CLI_APP_OPTIONAL
                        : only_looks ? CLI_APP_UNUSED
                                     : CLI_APP_NEEDED))
        return CLI_NOT_STARTED;
    switch (args->command->command) {
    case CLI_WORKER: code = cli_worker(&setup, args); break;
    case CLI_SEND: code = cli_send(&setup, args); break;
    case CLI_TAP: code = cli_tap(&setup, args); break;
    case CLI_STATE: code = cli_state(&setup, args); break;
    case CLI_SAVEPOINT: code = cli_savepoint(&setup, args); break;
    case CLI_PLAN: code = cli_plan(&setup, args); break;
    case CLI_WHY: code = cli_why(&setup, args); break;
    case CLI_SIM: code = cli_sim(&setup, args); break;
    case CLI_CHECKPOINT: code = cli_checkpoint(&setup, args); break;
    case CLI_NONE:
    case CLI_OPTIONS:
    case CLI_APP_COMMANDS:
    case CLI_LOOK_COMMANDS:
    default: code = CLI_NOT_STARTED; break;
    }
    cli_setup_reset(&setup);
    return code;
}

static int run(const struct cli_args *args)
{
    if (cli_args_value(args, "version") != NULL) {
        printf("sabot %s\n", sabot_version());
        return cli_flush_output() ? CLI_DONE : CLI_FAILED;
    }
    if (cli_args_value(args, "help") != NULL) {
        const int code = cli_help(args);

        return cli_flush_output() ? code : CLI_FAILED;
    }
    if (args->command == NULL)
        return cli_fail(CLI_NOT_STARTED, "no command: `sabot --help` lists them");
    if (args->command->operand != NULL && args->operand_count == 0)
        return cli_fail(CLI_NOT_STARTED, "%s: which %s%s? `sabot %s --help` says more",
                        args->command->name, args->command->operands_max > 1 ? "of " : "",
                        args->command->operand, args->command->name);
    if (args->command->command == CLI_OPTIONS) {
        const int code = cli_list_options(args);

        return cli_flush_output() ? code : CLI_FAILED;
    }
    return run_command(args);
}

int main(int argc, char **argv)
{
    struct cli_args args;
    int code = CLI_NOT_STARTED;

    cli_signals_init();
    if (cli_args_init(&args, argc, argv))
        code = run(&args);
    cli_args_reset(&args);
    return code;
}
