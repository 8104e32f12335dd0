/* SPDX-License-Identifier: Apache-2.0 */
/* live.c - the live line of a worker, and how numbers are written for people.
 *
 * The line is drawn over itself and ends at its own beginning, so that a line of the log takes its
 * place and the next drawing comes below. It is never wider than the terminal. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

/* --- Numbers ---------------------------------------------------------------------------------- */

const char *cli_write_count(char text_out[CLI_NUMBER_SIZE], uint64_t count)
{
    char digits[24];
    const size_t size = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, count);
    char *at = text_out;

    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return text_out;
}

/* Three digits: "2.10", "21.0", "210". */
static void write_short(char text_out[CLI_NUMBER_SIZE], double number, const char *unit)
{
    const int decimals = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;

    (void)snprintf(text_out, CLI_NUMBER_SIZE, "%.*f %s", decimals, number, unit);
}

const char *cli_write_rate(char text_out[CLI_NUMBER_SIZE], double per_second)
{
    if (per_second >= 999500)
        write_short(text_out, per_second / 1e6, "M/s");
    else if (per_second >= 9995)
        write_short(text_out, per_second / 1e3, "k/s");
    else
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%.0f /s", per_second);
    return text_out;
}

const char *cli_write_time(char text_out[CLI_NUMBER_SIZE], int64_t time_us)
{
    if (time_us >= 999500)
        write_short(text_out, (double)time_us / 1e6, "s");
    else if (time_us >= 1000)
        write_short(text_out, (double)time_us / 1e3, "ms");
    else
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%" PRId64 " us", time_us);
    return text_out;
}

const char *cli_write_age(char text_out[CLI_NUMBER_SIZE], int64_t age_ms)
{
    const int64_t seconds = age_ms / 1000;

    if (age_ms < 0)
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "-");
    else if (seconds < 100)
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 100L * 60)
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < 100L * 3600)
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        (void)snprintf(text_out, CLI_NUMBER_SIZE, "%" PRId64 " d", seconds / 86400);
    return text_out;
}

const char *cli_write_bytes(char text_out[CLI_NUMBER_SIZE], uint64_t bytes)
{
    if (bytes >= 1023ULL << 20)
        write_short(text_out, (double)bytes / (1 << 30), "GiB");
    else
        write_short(text_out, (double)bytes / (1 << 20), "MiB");
    return text_out;
}

/* --- The line --------------------------------------------------------------------------------- */

enum { LINE_SIZE = 512, WIDTH_DEFAULT = 80 };

void cli_live_init(struct cli_live *live, bool is_wanted)
{
    const char *terminal = getenv("TERM");

    *live = (struct cli_live){
        .is_on = is_wanted && isatty(STDERR_FILENO) == 1 && terminal != NULL &&
                 strcmp(terminal, "dumb") != 0,
    };
}

/* Records per second over the last redraws. */
static double measure_rate(struct cli_live *live, const sabot_run_stats *stats)
{
    const size_t newest = live->sample_count % CLI_RATE_SAMPLES;
    size_t oldest = 0;

    live->records[newest] = stats->records_read;
    live->times_us[newest] = stats->run_us;
    live->sample_count++;
    if (live->sample_count >= CLI_RATE_SAMPLES)
        oldest = live->sample_count % CLI_RATE_SAMPLES;
    const int64_t time_us = live->times_us[newest] - live->times_us[oldest];
    const uint64_t records = live->records[newest] - live->records[oldest];
    if (time_us <= 0)
        return stats->run_us <= 0 ? 0 : (double)stats->records_read * 1e6 / (double)stats->run_us;
    return (double)records * 1e6 / (double)time_us;
}

static void append(char line[LINE_SIZE], const char *format, ...) SABOT_PRINTF(2, 3);
static void append(char line[LINE_SIZE], const char *format, ...)
{
    const size_t size = strlen(line);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(line + size, LINE_SIZE - size, format, arguments);
    va_end(arguments);
}

/* What was written: under the name of the output when there is one. */
static void append_outputs(char line[LINE_SIZE], sabot_run *run, uint64_t records_written)
{
    char number[CLI_NUMBER_SIZE];
    const char *channel;
    const char *other;
    uint64_t records;

    if (!sabot_run_output(run, 0, &channel, &records))
        return;
    if (sabot_run_output(run, 1, &other, &records))
        channel = "written";
    append(line, "   %s %s", channel, cli_write_count(number, records_written));
}

static void write_line(char line[LINE_SIZE], struct cli_live *live, sabot_run *run)
{
    char number[CLI_NUMBER_SIZE];
    sabot_run_stats stats;

    sabot_run_get_stats(run, &stats);
    line[0] = '\0';
    if (!stats.connected)
        append(line, " broker away");
    if (!stats.started) {
        append(line, " %s", stats.connected ? "starting" : "- waiting for it");
        return;
    }
    append(line, "%s %s records", stats.connected ? "" : "  ",
           cli_write_count(number, stats.records_read));
    append(line, "   %s", cli_write_rate(number, measure_rate(live, &stats)));
    append_outputs(line, run, stats.records_written);
    if (stats.delay_p99_us >= 0)
        append(line, "   p99 %s", cli_write_time(number, stats.delay_p99_us));
    if (stats.checkpoint_age_us >= 0)
        append(line, "   checkpoint %s ago", cli_write_time(number, stats.checkpoint_age_us));
    if (stats.lag >= 0)
        append(line, "   lag %s", cli_write_count(number, (uint64_t)stats.lag));
    if (stats.records_skipped > 0)
        append(line, "   skipped %s", cli_write_count(number, stats.records_skipped));
    if (stats.connected)
        append(line, "   connected");
}

static size_t terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col;
}

void cli_live_draw(struct cli_live *live, sabot_run *run)
{
    char line[LINE_SIZE];

    if (!live->is_on)
        return;
    write_line(line, live, run);
    /* The last column stays free: a character there would wrap on some terminals. */
    const size_t width = terminal_width();
    if (strlen(line) > width - 1)
        line[width - 1] = '\0';
    (void)fprintf(stderr, "%s\033[K\r", line);
    live->is_shown = true;
}

void cli_live_erase(struct cli_live *live)
{
    if (live->is_shown)
        (void)fputs("\r\033[K", stderr);
    live->is_shown = false;
}
