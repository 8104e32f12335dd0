/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - `sabot plan`: what the app would run, without running it; `sabot why`: what a watermark
 * or a window waits for, asked of the worker that runs. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

int cli_plan(const struct cli_setup *setup, const struct cli_args *args)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_run *run;
    const char *text;
    int code = CLI_DONE;

    if (sabot_run_create(setup->entry, setup->config, &run, &error) != SABOT_OK)
        return cli_fail(CLI_NOT_STARTED, "%s", error.text);
    if (sabot_run_plan(run, cli_args_value(args, "json") != NULL, &text, &error) != SABOT_OK)
        code = cli_fail(CLI_FAILED, "%s", error.text);
    else
        (void)fputs(text, stdout);
    sabot_run_destroy(run);
    if (!cli_flush_output())
        return CLI_FAILED;
    return code;
}

int cli_why(const struct cli_setup *setup, const struct cli_args *args)
{
    char of[SABOT_NAME_MAX + sizeof "of="];
    char step[SABOT_NAME_MAX + sizeof "step="];
    const char *const arguments[] = {of, step};
    sabot_answer *answer;
    int code;

    (void)snprintf(of, sizeof of, "of=%s", args->operands[0]);
    (void)snprintf(step, sizeof step, "step=%s", args->operand_count > 1 ? args->operands[1] : "");
    if (strcmp(args->operands[0], "watermark") != 0 && strcmp(args->operands[0], "window") != 0)
        return cli_fail(CLI_NOT_STARTED, "why %s: expected watermark or window", args->operands[0]);
    answer = cli_ask(setup, "why", arguments, args->operand_count, &code);
    if (answer == NULL)
        return code;
    if (cli_args_value(args, "json") != NULL)
        printf("%s\n", sabot_answer_json(answer));
    else
        (void)fputs(sabot_answer_get(answer, "text"), stdout);
    sabot_answer_destroy(answer);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}
