/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - running an app: configuration, loading, and the run itself.
 *
 * The command `sabot` uses nothing but this header and app.h; a program that embeds Sabot uses the
 * same:
 *
 *     sabot_config *config = sabot_config_create(&error);
 *     sabot_config_set(config, SABOT_FROM_OPTION, "threads", "2", &error);
 *     status = sabot_app_run(&my_app, config, &error);
 *
 * or, for its own loop: sabot_run_create(), sabot_run_step() until SABOT_END, sabot_run_destroy().
 *
 * Ownership: *_create gives the caller a handle, *_destroy takes it back; destroy(NULL) does
 * nothing.
 * Threads: a config belongs to one thread; a run's calls to the thread that made it, except
 * sabot_run_stop(), which any thread may call. */
#ifndef SABOT_RUN_H
#define SABOT_RUN_H

#include <sabot/app.h>
#include <sabot/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_config sabot_config;
typedef struct sabot_run sabot_run;
typedef struct sabot_module sabot_module;

/* "0.1.0" */
SABOT_API const char *sabot_version(void);

/* --- Configuration -------------------------------------------------------------------------------
 *
 * Values by dotted name, each from one of four places; the higher place wins, whatever the order of
 * the calls. One table in the library names every option. Options of an app ("fraud.count") are
 * known once the app is built; before that a name is accepted when its first part is no group of
 * the table. */
typedef enum sabot_config_origin {
    SABOT_FROM_DEFAULT = 0,
    SABOT_FROM_FILE = 1,
    SABOT_FROM_ENVIRONMENT = 2,
    SABOT_FROM_OPTION = 3,
} sabot_config_origin;

SABOT_API sabot_config *sabot_config_create(sabot_error *error);
SABOT_API void sabot_config_destroy(sabot_config *config);

/* Set one option. `value` "@PATH" stands for the contents of that file (one trailing newline cut),
 * "@@text" for "@text". SABOT_ERR_CONFIG: unknown name (the text suggests the nearest), value of
 * the wrong type or out of range, or a secret given inline with SABOT_FROM_OPTION. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_config_set(sabot_config *config,
                                                         sabot_config_origin origin,
                                                         const char *name,
                                                         const char *value,
                                                         sabot_error *error);

/* Bind a channel of the app to a URL (--bind NAME=URL). */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_config_bind(sabot_config *config,
                                                          const char *channel,
                                                          const char *url,
                                                          sabot_error *error);

/* Read a YAML file: nested maps or dotted names; `bind:` is a map of channel to URL. It is taken
 * as a whole or not at all; errors name line and column. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_config_load(sabot_config *config,
                                                          const char *path,
                                                          sabot_error *error);

/* The value of an option as text, NULL when it has none. Secrets read as "***". Valid until the
 * config changes. */
SABOT_API const char *sabot_config_get(const sabot_config *config, const char *name);

/* One row of the option table, for --help and the docs. False when `index` is past the end. */
typedef struct sabot_option {
    const char *name;          /* "checkpoint.interval_ms" */
    const char *type;          /* "int", "bytes", "bool", "text", "enum" */
    const char *unit;          /* "ms", "bytes", "" */
    const char *range;         /* "1..3600000", or the words of an enum, or "" */
    const char *default_value; /* as text; "" when none */
    const char *doc;           /* one sentence */
    bool secret;
} sabot_option;

SABOT_API bool sabot_option_at(size_t index, sabot_option *option_out);

/* Show the options that an app declares, in their order. The app is built for it, with defaults,
 * and destroyed; nothing is opened. Rows are valid during the call. */
typedef void (*sabot_option_function)(void *context, const sabot_option *option);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_app_options(const sabot_app_entry *entry,
                                                          sabot_option_function each,
                                                          void *context,
                                                          sabot_error *error);

/* --- Loading an app from a shared object ---------------------------------------------------------
 *
 * `spec` is "PATH:SYMBOL"; the last ':' splits; PATH is a file, libraries are not searched.
 * SABOT_ERR_NOT_FOUND   no such file, or no such symbol in it
 * SABOT_ERR_FORMAT      not an ELF shared object, or the symbol is no Sabot app
 * SABOT_ERR_ABI         made for another version of this API */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_module_open(const char *spec,
                                                          sabot_module **module_out,
                                                          const sabot_app_entry **entry_out,
                                                          sabot_error *error);
SABOT_API void sabot_module_close(sabot_module *module);

/* --- The run -------------------------------------------------------------------------------------
 *
 * Build the app with the configuration, open its channels and plan its pipelines. Nothing is read
 * yet. The config may be destroyed afterwards. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_create(const sabot_app_entry *entry,
                                                         const sabot_config *config,
                                                         sabot_run **run_out,
                                                         sabot_error *error);

/* Start the threads. Wait then until the run has ended or `timeout_ms` (-1: no limit) has passed.
 * Wait returns SABOT_AGAIN  it goes on
 *              SABOT_END    every input has ended, or the run was stopped, and all output is out
 *              an error     the run has failed; all threads have come to rest. With
 *                           error->retriable a new run of the same app, without checkpoint.reset,
 *                           goes on from the last checkpoint */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_start(sabot_run *run, sabot_error *error);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_wait(sabot_run *run,
                                                       int64_t timeout_ms,
                                                       sabot_error *error);

/* Instead of start and wait: do some work on the calling thread. `wait_us_out` (may be NULL): how
 * long nothing will happen unless woken; 0 = call again at once. Returns as wait does; SABOT_AGAIN
 * means call again. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_step(sabot_run *run,
                                                       int64_t *wait_us_out,
                                                       sabot_error *error);

/* Take no more input, finish what is in flight, flush. Any thread; also from a signal handler. */
SABOT_API void sabot_run_stop(sabot_run *run);

/* Stop at once if it still runs, free everything. */
SABOT_API void sabot_run_destroy(sabot_run *run);

/* create, start, wait, destroy. SABOT_OK when the run ended well. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_app_run(const sabot_app_entry *entry,
                                                      const sabot_config *config,
                                                      sabot_error *error);

/* What a run has done so far. Counters of all agents together; delays are from the time a record
 * arrived (for a source: was due) to the time what it caused was handed to its output; each is an
 * upper bound per batch. */
typedef struct sabot_run_stats {
    uint64_t records_read;      /* records taken from inputs */
    uint64_t records_processed; /* handled by an agent with SABOT_OK */
    uint64_t records_late;      /* came too late for all of their windows */
    uint64_t records_skipped;   /* refused by the decoder, or of the future, and left out */
    uint64_t records_failed;    /* ended the run */
    uint64_t records_written;   /* handed to the outputs of the app */
    uint64_t bytes_read;        /* encoded bytes of records_read */
    int64_t lag;                /* records not read yet, as far as channels know; -1: unknown */
    int64_t watermark_ms;       /* lowest of all agents; INT64_MIN: none yet */
    int64_t run_us;             /* since start */
    int64_t first_record_us;    /* from create to the first record handled; -1: none yet */
    int64_t delay_p50_us, delay_p95_us, delay_p99_us, delay_p999_us, delay_max_us; /* -1: none */
    int64_t checkpoint_id;     /* the last complete one, lowest of all pipelines; 0: none */
    int64_t checkpoint_age_us; /* since then, oldest of all pipelines; -1: none */
    uint64_t checkpoints;      /* completed by this run */
    uint64_t checkpoints_failed;
    uint64_t peak_memory_bytes; /* of the process */
    bool connected;             /* false while a broker is away */
    bool started;               /* inputs and outputs are open: records flow, or have flowed */
} sabot_run_stats;

SABOT_API void sabot_run_get_stats(sabot_run *run, sabot_run_stats *stats_out);

/* What became of the records of one partition of an input, in one agent that reads it (a step of a
 * stream, a table). When the run has ended well,
 *
 *     read = processed + filtered + late + skipped + failed
 *
 * and before that what is missing is on its way. `sabot_run_stats` adds up all agents. */
typedef struct sabot_account {
    const char *channel;
    int32_t partition;
    const char *agent;
    uint64_t read;
    uint64_t processed; /* handled with SABOT_OK */
    uint64_t filtered;  /* they delete a key of a table, which is no record to this agent */
    uint64_t late;      /* came too late for all of its windows */
    uint64_t skipped;   /* refused by the decoder, or of the future, and left out */
    uint64_t failed;    /* ended the run */
} sabot_account;

/* By index, false past the end; before the run has started there are none. Texts are valid until
 * the run ends. */
SABOT_API bool sabot_run_account(sabot_run *run, size_t index, sabot_account *account_out);

/* One line per thing the run does, as `worker` prints first: pipelines, channels with their URL and
 * partitions, agents, guarantee per output and why. False past the end. The text is valid until the
 * run ends. */
SABOT_API bool sabot_run_describe(sabot_run *run, size_t index, const char **line_out);

/* What the run is made of, from its creation on: pipelines, their steps, and the times in force:
 * lateness, idleness, windows and when they close. As text for people, or as one JSON object. Valid
 * until the next call or the run's end. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_plan(sabot_run *run,
                                                       bool as_json,
                                                       const char **text_out,
                                                       sabot_error *error);

/* Records written per output channel (by index; false past the end). */
SABOT_API bool sabot_run_output(sabot_run *run,
                                size_t index,
                                const char **channel_out,
                                uint64_t *records_out);

/* Does an output go to standard output (file:-)? Then nothing else should be written there. */
SABOT_API bool sabot_run_uses_stdout(const sabot_run *run);

/* --- Records by hand -----------------------------------------------------------------------------
 *
 * Write encoded records to a channel of the app, or read some, apart from any run: `sabot send` and
 * `tap`. The channel is the one the app declares, bound as the config says. A file that is written
 * to keeps what it holds. */
typedef struct sabot_pipe sabot_pipe;

SABOT_API SABOT_MUST_CHECK sabot_status sabot_pipe_open(const sabot_app_entry *entry,
                                                        const sabot_config *config,
                                                        const char *channel,
                                                        bool for_writing,
                                                        sabot_pipe **pipe_out,
                                                        sabot_error *error);

/* The same for a `memory:` channel inside of a run (created, started or not): how a program that
 * embeds Sabot feeds and reads its app. A memory channel that was fed by pipes is finite: it ends
 * when the last of them is closed. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_run_pipe(sabot_run *run,
                                                       const char *channel,
                                                       bool for_writing,
                                                       sabot_pipe **pipe_out,
                                                       sabot_error *error);

/* Send one JSON record: checked against the schema, keyed and partitioned as an agent's output
 * would be. SABOT_ERR_FORMAT, SABOT_ERR_SCHEMA: refused, nothing sent. Blocks while the channel is
 * full; but a run that has no threads of its own (stepped by hand, or not started yet) could be
 * waited for in vain: SABOT_AGAIN then, nothing was sent; step or start it, and send again. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_pipe_send(sabot_pipe *pipe,
                                                        sabot_text value,
                                                        sabot_error *error);

/* Send a record without a value, which deletes its key from tables that the channel feeds. `key` is
 * the text of the channel's key: of a number its digits. A file can't hold such records:
 * SABOT_ERR_FORMAT. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_pipe_delete(sabot_pipe *pipe,
                                                          sabot_text key,
                                                          sabot_error *error);

/* The next record. SABOT_AGAIN after `timeout_ms` without one, SABOT_END at the end of a finite
 * channel. Texts are valid until the next call. */
typedef struct sabot_record {
    sabot_text key;
    sabot_text value;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
} sabot_record;

SABOT_API SABOT_MUST_CHECK sabot_status sabot_pipe_take(sabot_pipe *pipe,
                                                        int64_t timeout_ms,
                                                        sabot_record *record_out,
                                                        sabot_error *error);

/* Flush what was sent; then free. After an error the pipe is freed all the same. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_pipe_close(sabot_pipe *pipe, sabot_error *error);

#ifdef __cplusplus
}
#endif
#endif
