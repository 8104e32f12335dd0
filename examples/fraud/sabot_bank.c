/* SPDX-License-Identifier: Apache-2.0 */
/* sabot_bank.c - the program sabot-bank: the bank's transactions as JSON lines, or into any
 * channel.
 *
 * Without --to they go to stdout. With --to URL they are sent as an app's output would be: with the
 * account number as the key, so that they find the partitions that other clients would pick; a
 * topic's own timestamps are those of sending. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sabot/sabot.h>

#include "bank.h"

static const char usage[] =
    "usage: sabot-bank [--seed N] [--count N] [--rate N] [--accounts N] [--start MS] [--to URL]\n"
    "Makes up transactions of banks in Chile and Peru, frauds among them, one JSON object a line.\n"
    "\n"
    "  --seed N      transactions of one seed are the same on every machine (1)\n"
    "  --count N     how many (1000000)\n"
    "  --rate N      how many a second; 0: as fast as possible (0)\n"
    "  --accounts N  of how many accounts (20000)\n"
    "  --start MS    time of the first, in ms since 1970 (1740787200000, 2025-03-01; with --to a\n"
    "                broker: now, for it deletes what is older than its topic keeps)\n"
    "  --to URL      a channel to send them to: file:PATH, kafka://HOST:PORT/TOPIC (stdout)\n"
    "  --help        this text\n";

/* Times of 13 digits, with room for those that follow. */
#define START_MIN_MS UINT64_C(1001000000000)
#define START_MAX_MS UINT64_C(5000000000000)

struct arguments {
    uint64_t seed, count, rate, accounts;
    int64_t start_ms;
    const char *url;
};

/* --- An app of one channel, to send to ---------------------------------------------------------
 */

static const char CHANNEL[] = "bank-transactions";

struct envelope {
    sabot_text account;
};

static const sabot_field envelope_fields[] = {
    SABOT_FIELD(struct envelope, account, "account_number", SABOT_UTF8, SABOT_REQUIRED),
};
static const sabot_schema envelope_schema =
    SABOT_SCHEMA("envelope", 1, struct envelope, envelope_fields);

static sabot_status build(sabot_app *app)
{
    sabot_channel *channel = sabot_channel_open(app, CHANNEL, NULL, &envelope_schema);

    sabot_channel_key(channel, "account_number");
    return sabot_app_status(app);
}

SABOT_APP(bank_app, "bank", build);

/* --- Pace ------------------------------------------------------------------------------------- */

static int64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Wait until a record is due. What was written before must be out by then. */
static void wait_until(int64_t time_us)
{
    const struct timespec time = {.tv_sec = time_us / 1000000, .tv_nsec = time_us % 1000000 * 1000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
        continue;
}

/* --- Where to --------------------------------------------------------------------------------- */

static sabot_status to_stdout(const struct arguments *arguments,
                              struct bank *bank,
                              sabot_error *error)
{
    const int64_t start_us = clock_us();
    struct bank_record record;
    bool good = true;

    for (uint64_t i = 0; i < arguments->count && good; i++) {
        if (arguments->rate > 0) {
            const int64_t due_us = start_us + bank_due_us(i, arguments->rate);

            if (due_us > clock_us()) {
                good = fflush(stdout) == 0;
                wait_until(due_us);
            }
        }
        bank_make(bank, i, &record);
        good = good && fwrite(record.value.data, record.value.size, 1, stdout) == 1 &&
               putc('\n', stdout) != EOF;
    }
    if (good && fflush(stdout) == 0)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_IO, "cannot write to stdout: %s", strerror(errno));
}

static sabot_status send_all(const struct arguments *arguments,
                             struct bank *bank,
                             sabot_pipe *pipe,
                             sabot_error *error)
{
    const int64_t start_us = clock_us();
    struct bank_record record;

    for (uint64_t i = 0; i < arguments->count; i++) {
        if (arguments->rate > 0)
            wait_until(start_us + bank_due_us(i, arguments->rate));
        bank_make(bank, i, &record);
        SABOT_TRY(sabot_pipe_send(pipe, record.value, error));
    }
    return SABOT_OK;
}

static sabot_status to_channel(const struct arguments *arguments,
                               struct bank *bank,
                               sabot_error *error)
{
    sabot_config *config = sabot_config_create(error);
    sabot_pipe *pipe = NULL;
    sabot_error of_close;
    sabot_status status, closed;

    if (config == NULL)
        return SABOT_ERR_MEMORY;
    status = sabot_config_bind(config, CHANNEL, arguments->url, error);
    if (status == SABOT_OK)
        status = sabot_pipe_open(&bank_app, config, CHANNEL, true, &pipe, error);
    if (status == SABOT_OK) {
        status = send_all(arguments, bank, pipe, error);
        closed = sabot_pipe_close(pipe, &of_close);
        if (status == SABOT_OK && closed != SABOT_OK)
            status = sabot_raise(error, closed, "%s", of_close.text);
    }
    sabot_config_destroy(config);
    return status;
}

/* --- The command line ------------------------------------------------------------------------- */

/* A number of an option; ends the program when it is none, or not in the range. */
static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;

    errno = 0;
    const uint64_t value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max) {
        fprintf(stderr, "sabot-bank: --%s %s: not a number from %llu to %llu\n", option, text,
                (unsigned long long)min, (unsigned long long)max);
        exit(2);
    }
    return value;
}

/* A broker deletes what is older than its topic keeps, and looks at the time of the record. */
static int64_t default_start_ms(const char *url)
{
    const bool is_broker = url != NULL && strncmp(url, "kafka:", strlen("kafka:")) == 0;

    return is_broker ? (int64_t)time(NULL) * 1000 : BANK_START_MS;
}

static struct arguments parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},  {"count", required_argument, NULL, 'c'},
        {"rate", required_argument, NULL, 'r'},  {"accounts", required_argument, NULL, 'a'},
        {"start", required_argument, NULL, 'S'}, {"to", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0},
    };
    struct arguments arguments = {.seed = 1, .count = 1000000, .accounts = 20000, .start_ms = -1};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's': arguments.seed = number("seed", optarg, 0, INT64_MAX); break;
        case 'c': arguments.count = number("count", optarg, 0, BANK_COUNT_MAX); break;
        case 'r': arguments.rate = number("rate", optarg, 0, BANK_RATE_MAX); break;
        case 'a': arguments.accounts = number("accounts", optarg, 1, BANK_ACCOUNTS_MAX); break;
        case 'S':
            arguments.start_ms = (int64_t)number("start", optarg, START_MIN_MS, START_MAX_MS);
            break;
        case 't': arguments.url = optarg; break;
        case 'h': fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (optind != argc) {
        fprintf(stderr, "sabot-bank: %s: there are options only\n%s", argv[optind], usage);
        exit(2);
    }
    if (arguments.start_ms < 0)
        arguments.start_ms = default_start_ms(arguments.url);
    return arguments;
}

int main(int argc, char **argv)
{
    const struct arguments arguments = parse(argc, argv);
    static char buffer[1 << 16];
    struct bank bank;
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    bank_init(&bank, arguments.seed, arguments.accounts, arguments.start_ms);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    status = arguments.url == NULL ? to_stdout(&arguments, &bank, &error)
                                   : to_channel(&arguments, &bank, &error);
    if (status == SABOT_OK)
        return 0;
    fprintf(stderr, "sabot-bank: %s\n", error.text);
    return status == SABOT_ERR_CONFIG ? 2 : 1;
}
