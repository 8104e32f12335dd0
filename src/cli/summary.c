/* SPDX-License-Identifier: Apache-2.0 */
/* summary.c - what a run has done, at its end: for people, or as one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

static double rate(const sabot_run_stats *stats)
{
    return stats->run_us <= 0 ? 0 : (double)stats->records_read * 1e6 / (double)stats->run_us;
}

/* --- For people ------------------------------------------------------------------------------- */

static void print_outputs(sabot_run *run)
{
    char number[CLI_NUMBER_SIZE];
    const char *channel;
    uint64_t records;
    size_t width = 0;

    for (size_t i = 0; sabot_run_output(run, i, &channel, &records); i++)
        width = strlen(channel) > width ? strlen(channel) : width;
    for (size_t i = 0; sabot_run_output(run, i, &channel, &records); i++)
        (void)fprintf(stderr, "  %-*s  %s written\n", (int)width, channel,
                      cli_write_count(number, records));
}

static void print_delays(const sabot_run_stats *stats)
{
    char p50[CLI_NUMBER_SIZE], p95[CLI_NUMBER_SIZE], p99[CLI_NUMBER_SIZE], p999[CLI_NUMBER_SIZE];
    char max[CLI_NUMBER_SIZE];

    if (stats->delay_p50_us < 0)
        return;
    (void)fprintf(
        stderr, "  delay p50 %s, p95 %s, p99 %s, p99.9 %s, max %s\n",
        cli_write_time(p50, stats->delay_p50_us), cli_write_time(p95, stats->delay_p95_us),
        cli_write_time(p99, stats->delay_p99_us), cli_write_time(p999, stats->delay_p999_us),
        cli_write_time(max, stats->delay_max_us));
}

void cli_summary_print(sabot_run *run, const char *outcome)
{
    char records[CLI_NUMBER_SIZE], time[CLI_NUMBER_SIZE], speed[CLI_NUMBER_SIZE];
    sabot_run_stats stats;

    sabot_run_get_stats(run, &stats);
    (void)fprintf(stderr, "%s: %s record%s in %s, %s", outcome,
                  cli_write_count(records, stats.records_read), cli_plural(stats.records_read),
                  cli_write_time(time, stats.run_us), cli_write_rate(speed, rate(&stats)));
    if (stats.records_skipped > 0)
        (void)fprintf(stderr, ", %s skipped", cli_write_count(records, stats.records_skipped));
    if (stats.records_late > 0)
        (void)fprintf(stderr, ", %s late", cli_write_count(records, stats.records_late));
    (void)fputc('\n', stderr);
    print_outputs(run);
    print_delays(&stats);
    if (stats.first_record_us >= 0)
        (void)fprintf(stderr, "  first record after %s, peak memory %s\n",
                      cli_write_time(time, stats.first_record_us),
                      cli_write_bytes(records, stats.peak_memory_bytes));
    else
        (void)fprintf(stderr, "  peak memory %s\n",
                      cli_write_bytes(records, stats.peak_memory_bytes));
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* Texts of errors may quote data: what is no plain ASCII goes through as it is, when it is UTF-8.
 */
void cli_print_json_text(const char *text)
{
    (void)putchar('"');
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;

        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte < ' ' || byte == 0x7f)
            printf("\\u%04x", byte);
        else
            (void)putchar(byte);
    }
    (void)putchar('"');
}

/* -1, and the watermark's lowest value, say "unknown". */
static void print_number(const char *name, int64_t number)
{
    if (number == -1 || number == INT64_MIN)
        printf(",\"%s\":null", name);
    else
        printf(",\"%s\":%" PRId64, name, number);
}

static void print_json_outputs(sabot_run *run)
{
    const char *channel;
    uint64_t records;

    printf(",\"outputs\":{");
    for (size_t i = 0; sabot_run_output(run, i, &channel, &records); i++) {
        if (i > 0)
            (void)putchar(',');
        cli_print_json_text(channel);
        printf(":%" PRIu64, records);
    }
    (void)putchar('}');
}

void cli_summary_print_json(sabot_run *run,
                            const char *outcome,
                            int exit_code,
                            const sabot_error *error)
{
    sabot_run_stats stats;

    sabot_run_get_stats(run, &stats);
    printf("{\"outcome\":\"%s\",\"exit\":%d,\"error\":", outcome, exit_code);
    if (error == NULL) {
        printf("null");
    } else {
        printf("{\"status\":\"%s\",\"text\":", sabot_status_name(error->status));
        cli_print_json_text(error->text);
        (void)putchar('}');
    }
    printf(",\"records_read\":%" PRIu64 ",\"records_processed\":%" PRIu64
           ",\"records_skipped\":%" PRIu64 ",\"records_late\":%" PRIu64
           ",\"records_failed\":%" PRIu64 ",\"records_written\":%" PRIu64
           ",\"bytes_read\":%" PRIu64,
           stats.records_read, stats.records_processed, stats.records_skipped, stats.records_late,
           stats.records_failed, stats.records_written, stats.bytes_read);
    print_json_outputs(run);
    printf(",\"checkpoints\":%" PRIu64 ",\"checkpoints_failed\":%" PRIu64, stats.checkpoints,
           stats.checkpoints_failed);
    print_number("checkpoint_age_us", stats.checkpoint_age_us);
    print_number("lag", stats.lag);
    print_number("watermark_ms", stats.watermark_ms);
    print_number("run_us", stats.run_us);
    printf(",\"records_per_second\":%.0f", rate(&stats));
    print_number("first_record_us", stats.first_record_us);
    print_number("delay_p50_us", stats.delay_p50_us);
    print_number("delay_p95_us", stats.delay_p95_us);
    print_number("delay_p99_us", stats.delay_p99_us);
    print_number("delay_p999_us", stats.delay_p999_us);
    print_number("delay_max_us", stats.delay_max_us);
    printf(",\"peak_memory_bytes\":%" PRIu64 "}\n", stats.peak_memory_bytes);
}
