/* SPDX-License-Identifier: Apache-2.0 */
/* send.c - `sabot send CHANNEL`: JSON lines from stdin to a channel of the app.
 *
 * The first line that is refused ends it, by its number; what stood before it is sent. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { LINE_BYTES_MAX = 64 * 1024 * 1024, LINE_BYTES_FIRST = 4096 };

struct line {
    char *bytes;
    size_t size;
    size_t capacity;
    uint64_t number; /* from 1 */
};

enum line_state { LINE_READ, LINE_END, LINE_FAILED };

static bool grow(struct line *line)
{
    const size_t capacity = line->capacity == 0 ? LINE_BYTES_FIRST : line->capacity * 2;
    char *bytes;

    if (capacity > LINE_BYTES_MAX) {
        (void)cli_fail(0, "line %" PRIu64 ": longer than %d bytes", line->number, LINE_BYTES_MAX);
        return false;
    }
    bytes = realloc(line->bytes, capacity);
    if (bytes == NULL) {
        (void)cli_fail(0, "line %" PRIu64 ": no memory for it", line->number);
        return false;
    }
    line->bytes = bytes;
    line->capacity = capacity;
    return true;
}

/* The next line without its end; the last one need not have any. */
static enum line_state read_line(struct line *line)
{
    int byte;

    line->size = 0;
    line->number++;
    while ((byte = getc_unlocked(stdin)) != EOF && byte != '\n') {
        if (line->size == line->capacity && !grow(line))
            return LINE_FAILED;
        line->bytes[line->size++] = (char)byte;
    }
    if (byte == '\n')
        return LINE_READ;
    /* A line that a signal has cut is not sent: nobody knows its rest. */
    if (ferror(stdin) && errno == EINTR)
        return LINE_END;
    if (ferror(stdin)) {
        (void)cli_fail(0, "standard input: %s", strerror(errno));
        return LINE_FAILED;
    }
    return line->size > 0 ? LINE_READ : LINE_END;
}

static bool is_blank(const struct line *line)
{
    for (size_t i = 0; i < line->size; i++) {
        if (strchr(" \t\r", line->bytes[i]) == NULL || line->bytes[i] == '\0')
            return false;
    }
    return true;
}

/* All lines up to the end of stdin, a signal, or the first that is refused. */
static bool send_lines(sabot_pipe *pipe, uint64_t *sent_out)
{
    struct line line = {.bytes = NULL};
    sabot_error error = {.status = SABOT_OK};
    enum line_state state = LINE_READ;

    while (state == LINE_READ && cli_signals_seen() == 0) {
        state = read_line(&line);
        if (state != LINE_READ || is_blank(&line))
            continue;
        const sabot_text value = {.data = line.bytes, .size = line.size};
        if (sabot_pipe_send(pipe, value, &error) != SABOT_OK) {
            (void)cli_fail(0, "line %" PRIu64 ": %s", line.number, error.text);
            state = LINE_FAILED;
        } else {
            (*sent_out)++;
        }
    }
    free(line.bytes);
    return state != LINE_FAILED;
}

int cli_send(const struct cli_setup *setup, const struct cli_args *args)
{
    char number[CLI_NUMBER_SIZE];
    sabot_error error = {.status = SABOT_OK};
    sabot_pipe *pipe;
    uint64_t sent = 0;
    int code = CLI_DONE;

    if (sabot_pipe_open(setup->entry, setup->config, args->operands[0], true, &pipe, &error) !=
        SABOT_OK)
        return cli_fail(CLI_NOT_STARTED, "%s", error.text);
    if (!send_lines(pipe, &sent))
        code = CLI_FAILED;
    if (sabot_pipe_close(pipe, &error) != SABOT_OK)
        code = cli_fail(CLI_FAILED, "%s", error.text);
    (void)fprintf(stderr, "%s record%s sent to %s\n", cli_write_count(number, sent),
                  cli_plural(sent), args->operands[0]);
    return code;
}
