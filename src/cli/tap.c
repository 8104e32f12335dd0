/* SPDX-License-Identifier: Apache-2.0 */
/* tap.c - `sabot tap CHANNEL`: the values of a channel's records on stdout, one a line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { WAIT_MS = 250 };

/* --count N, UINT64_MAX without it. */
static bool read_count(const struct cli_args *args, uint64_t *count_out)
{
    const char *text = cli_args_value(args, "count");
    char *end;

    *count_out = UINT64_MAX;
    if (text == NULL)
        return true;
    errno = 0;
    *count_out = strtoull(text, &end, 10);
    if (errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' && *count_out > 0)
        return true;
    (void)cli_fail(0, "--count: %.64s: expected a number from 1", text);
    return false;
}

enum write_state { WRITE_OK, WRITE_CLOSED, WRITE_FAILED };

/* A reader that has seen enough, as in `tap | head`, is no error. */
static enum write_state check_output(bool is_written)
{
    if (is_written)
        return WRITE_OK;
    if (errno == EPIPE)
        return WRITE_CLOSED;
    (void)cli_fail(0, "standard output: %s", strerror(errno));
    return WRITE_FAILED;
}

static enum write_state write_record(const sabot_record *record)
{
    return check_output(fwrite(record->value.data, 1, record->value.size, stdout) ==
                            record->value.size &&
                        fputc('\n', stdout) != EOF);
}

/* Until the channel ends, `count` records are there, or a signal. */
static int take_records(sabot_pipe *pipe, uint64_t count)
{
    sabot_error error = {.status = SABOT_OK};
    enum write_state state = WRITE_OK;
    int64_t wait_ms = 0;

    while (count > 0 && state == WRITE_OK && cli_signals_seen() == 0) {
        sabot_record record;
        const sabot_status status = sabot_pipe_take(pipe, wait_ms, &record, &error);

        if (status == SABOT_OK) {
            state = write_record(&record);
            count--;
            wait_ms = 0;
        } else if (status == SABOT_AGAIN) {
            /* What has come is shown before it is waited for more. */
            state = check_output(fflush(stdout) == 0);
            wait_ms = WAIT_MS;
        } else if (status == SABOT_END) {
            break;
        } else {
            (void)fflush(stdout);
            return cli_fail(CLI_FAILED, "%s", error.text);
        }
    }
    if (state == WRITE_OK)
        state = check_output(fflush(stdout) == 0);
    return state == WRITE_FAILED ? CLI_FAILED : CLI_DONE;
}

int cli_tap(const struct cli_setup *setup, const struct cli_args *args)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_pipe *pipe;
    uint64_t count;
    int code;

    if (!read_count(args, &count))
        return CLI_NOT_STARTED;
    if (sabot_pipe_open(setup->entry, setup->config, args->operands[0], false, &pipe, &error) !=
        SABOT_OK)
        return cli_fail(CLI_NOT_STARTED, "%s", error.text);
    code = take_records(pipe, count);
    if (sabot_pipe_close(pipe, &error) != SABOT_OK && code == CLI_DONE)
        code = cli_fail(CLI_FAILED, "%s", error.text);
    return code;
}
