/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.c - `sabot checkpoint ls` and `verify`: what lies in a state directory, and is it
 * whole; and `create`, by the worker that runs there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static const char *const condition_names[] = {
    [SABOT_WHOLE] = "whole",
    [SABOT_DAMAGED] = "damaged",
    [SABOT_PARTIAL] = "partial",
};

/* --- ls --------------------------------------------------------------------------------------- */

struct widths {
    int app;
    int pipeline;
    int bytes;
};

static void widen(int *width, const char *text)
{
    const int size = (int)strlen(text);

    *width = size > *width ? size : *width;
}

static void print_row(const struct widths *widths, const sabot_checkpoint_info *info)
{
    char age[CLI_NUMBER_SIZE];
    char bytes[CLI_NUMBER_SIZE];

    printf("%-*s  %-*s  %6" PRId64 "  %016" PRIx64 "  %6s  %*s  %s%s%s%s\n", widths->app, info->app,
           widths->pipeline, info->pipeline, info->id, info->nonce,
           cli_write_age(age, info->age_ms), widths->bytes,
           info->time_ms == 0 ? "-" : cli_write_count(bytes, info->bytes),
           condition_names[info->condition],
           info->finished && *info->reason == '\0' ? ", finished" : "",
           *info->reason == '\0' ? "" : ": ", info->reason);
}

static void print_table(const sabot_inspection *inspection)
{
    struct widths widths = {.app = 3, .pipeline = 8, .bytes = 5};
    sabot_checkpoint_info info;
    char bytes[CLI_NUMBER_SIZE];

    for (size_t i = 0; sabot_inspection_checkpoint(inspection, i, &info); i++) {
        widen(&widths.app, info.app);
        widen(&widths.pipeline, info.pipeline);
        widen(&widths.bytes, cli_write_count(bytes, info.bytes));
    }
    printf("%-*s  %-*s  %6s  %-16s  %6s  %*s  %s\n", widths.app, "APP", widths.pipeline, "PIPELINE",
           "ID", "NONCE", "AGE", widths.bytes, "BYTES", "CONDITION");
    for (size_t i = 0; sabot_inspection_checkpoint(inspection, i, &info); i++)
        print_row(&widths, &info);
}

static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    cli_print_json_text(text);
}

static void print_json(const sabot_inspection *inspection)
{
    sabot_checkpoint_info info;

    for (size_t i = 0; sabot_inspection_checkpoint(inspection, i, &info); i++) {
        printf("{\"app\":");
        cli_print_json_text(info.app);
        print_text("pipeline", info.pipeline);
        printf(",\"id\":%" PRId64 ",\"nonce\":\"%016" PRIx64 "\"", info.id, info.nonce);
        print_text("condition", condition_names[info.condition]);
        if (*info.reason != '\0')
            print_text("reason", info.reason);
        if (info.time_ms != 0)
            printf(",\"time_ms\":%" PRId64 ",\"age_ms\":%" PRId64 ",\"bytes\":%" PRIu64
                   ",\"finished\":%s",
                   info.time_ms, info.age_ms, info.bytes, info.finished ? "true" : "false");
        printf(",\"moved_aside\":%s", info.moved_aside ? "true" : "false");
        print_text("path", info.path);
        printf("}\n");
    }
}

static int list(const sabot_inspection *inspection, const char *state_dir, bool as_json)
{
    sabot_checkpoint_info info;

    if (!sabot_inspection_checkpoint(inspection, 0, &info))
        (void)fprintf(stderr, "no checkpoints below %s\n", state_dir);
    else if (as_json)
        print_json(inspection);
    else
        print_table(inspection);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}

/* --- verify ----------------------------------------------------------------------------------- */

/* What became of the checkpoints that were looked at. */
struct verdict {
    uint64_t whole;
    uint64_t damaged;
};

static void print_verdict(const sabot_checkpoint_info *info,
                          bool as_json,
                          sabot_condition condition,
                          const char *reason)
{
    if (!as_json) {
        printf("%s/%s %" PRId64 ": %s\n", info->app, info->pipeline, info->id,
               condition_names[condition]);
        if (condition == SABOT_DAMAGED)
            (void)cli_fail(CLI_DAMAGED, "%s", reason);
        return;
    }
    printf("{\"app\":");
    cli_print_json_text(info->app);
    print_text("pipeline", info->pipeline);
    printf(",\"id\":%" PRId64 ",\"nonce\":\"%016" PRIx64 "\"", info->id, info->nonce);
    print_text("condition", condition_names[condition]);
    if (*reason != '\0')
        print_text("reason", reason);
    printf("}\n");
}

static void verify_one(const sabot_inspection *inspection,
                       size_t index,
                       const sabot_checkpoint_info *info,
                       bool as_json,
                       struct verdict *verdict)
{
    sabot_error error = {.status = SABOT_OK};
    const sabot_status status = sabot_inspection_verify(inspection, index, &error);

    if (status == SABOT_ERR_NOT_FOUND) { /* never a checkpoint, or removed meanwhile */
        print_verdict(info, as_json, SABOT_PARTIAL, error.text);
        return;
    }
    if (status == SABOT_OK)
        verdict->whole++;
    else
        verdict->damaged++;
    print_verdict(info, as_json, status == SABOT_OK ? SABOT_WHOLE : SABOT_DAMAGED,
                  status == SABOT_OK ? "" : error.text);
}

static int verify(const sabot_inspection *inspection,
                  const char *state_dir,
                  int64_t id,
                  bool as_json)
{
    struct verdict verdict = {.whole = 0};
    sabot_checkpoint_info info;

    for (size_t i = 0; sabot_inspection_checkpoint(inspection, i, &info); i++)
        if (id == 0 || info.id == id)
            verify_one(inspection, i, &info, as_json, &verdict);
    if (!cli_flush_output())
        return CLI_FAILED;
    if (verdict.damaged > 0)
        return CLI_DAMAGED;
    if (verdict.whole > 0)
        return CLI_DONE;
    if (id != 0)
        return cli_fail(CLI_NOT_STARTED, "no whole checkpoint %" PRId64 " below %s", id, state_dir);
    return cli_fail(CLI_NOT_STARTED, "no whole checkpoint below %s", state_dir);
}

/* --- create ----------------------------------------------------------------------------------- */

static int create(const struct cli_setup *setup, bool as_json)
{
    int code;
    sabot_answer *answer = cli_ask(setup, "checkpoint.now", NULL, 0, &code);

    if (answer == NULL)
        return code;
    if (as_json)
        printf("%s\n", sabot_answer_json(answer));
    else
        (void)fprintf(stderr, "%s\n", sabot_answer_get(answer, "text"));
    sabot_answer_destroy(answer);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}

/* --- The command ------------------------------------------------------------------------------ */

int cli_checkpoint(const struct cli_setup *setup, const struct cli_args *args)
{
    const bool as_json = cli_args_value(args, "json") != NULL;
    const bool is_list = strcmp(args->operands[0], "ls") == 0;
    const bool is_create = strcmp(args->operands[0], "create") == 0;
    sabot_inspection *inspection;
    const char *state_dir;
    int64_t id = 0; /* all */
    int code;

    if (!is_list && !is_create && strcmp(args->operands[0], "verify") != 0)
        return cli_fail(CLI_NOT_STARTED, "checkpoint %s: expected ls, verify or create",
                        args->operands[0]);
    if ((is_list || is_create) && args->operand_count > 1)
        return cli_fail(CLI_NOT_STARTED, "checkpoint %s: \"%s\" is one word too many",
                        args->operands[0], args->operands[1]);
    if (is_create)
        return create(setup, as_json);
    if (args->operand_count > 1 && !cli_read_number("checkpoint verify", args->operands[1], &id))
        return CLI_NOT_STARTED;
    inspection = cli_inspect(setup, &state_dir);
    if (inspection == NULL)
        return CLI_NOT_STARTED;
    code =
        is_list ? list(inspection, state_dir, as_json) : verify(inspection, state_dir, id, as_json);
    sabot_inspection_close(inspection);
    return code;
}
