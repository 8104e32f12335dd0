/* SPDX-License-Identifier: Apache-2.0 */
/* app.h - declaring an app: its channels, agents, sources and options.
 *
 * An app is built once, by one function, before anything runs. While it is built, errors stick to
 * the app: calls on a failed app do nothing, and the first error is reported once, with the name of
 * what failed. So a build function needs no checks of its own and ends with
 *
 *     return sabot_app_status(app);
 *
 * Names are resolved while building, never per record.
 *
 * Ownership: all handles belong to the app and live as long as it. Names and texts are copied,
 * except field tables (schema.h), which must outlive the app.
 *
 * Threads: an app is built by one thread. */
#ifndef SABOT_APP_H
#define SABOT_APP_H

#include <sabot/schema.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_app sabot_app;
typedef struct sabot_channel sabot_channel;
typedef struct sabot_agent sabot_agent;
typedef struct sabot_table sabot_table;
typedef struct sabot_value sabot_value;
typedef struct sabot_output sabot_output;
typedef struct sabot_context sabot_context;
typedef struct sabot_source sabot_source;

enum {
    SABOT_NAME_MAX = 128, /* bytes of the name of an app, channel, agent, state: [A-Za-z0-9._-]+ */
    SABOT_POSITION_MAX = 256, /* bytes of a source's position */
    SABOT_ABI_VERSION = 1,    /* raised with every change of this API that old apps can't bear */
};

/* --- The entry of an app in a shared object ------------------------------------------------------
 *
 * `sabot -A build/fraud.so:app` looks up the object `app`, which SABOT_APP defines:
 *
 *     static sabot_status build(sabot_app *app) { ... }
 *     SABOT_APP(app, "fraud", build);
 */
typedef sabot_status (*sabot_app_build)(sabot_app *app);

typedef struct sabot_app_entry {
    char magic[8];        /* "SABOTAPP" */
    uint32_t abi_version; /* SABOT_ABI_VERSION at the time the app was compiled */
    uint32_t size;        /* sizeof(sabot_app_entry) */
    const char *name;     /* of the app */
    sabot_app_build build;
} sabot_app_entry;

#ifdef __cplusplus
#define SABOT_EXTERN_C extern "C"
#else
#define SABOT_EXTERN_C extern
#endif

#define SABOT_APP(symbol, app_name, app_build)                                \
    SABOT_EXTERN_C SABOT_API const sabot_app_entry symbol;                    \
    const sabot_app_entry symbol = {{'S', 'A', 'B', 'O', 'T', 'A', 'P', 'P'}, \
                                    SABOT_ABI_VERSION,                        \
                                    (uint32_t)sizeof(sabot_app_entry),        \
                                    app_name,                                 \
                                    app_build}

/* The first error of the build, or SABOT_OK. */
SABOT_API sabot_status sabot_app_status(const sabot_app *app);

/* Fail the build with an error of the app's own: its text names what is wrong. Returns `status`. */
SABOT_API sabot_status sabot_app_fail(sabot_app *app, sabot_status status, const char *format, ...)
    SABOT_PRINTF(3, 4);

/* Zeroed memory that lives as long as the app: for the handles an agent needs at run time.
 * NULL when the app has failed or there is no memory; the app then has failed, and every later call
 * does nothing. An app's data proper belongs into keyed state. */
SABOT_API void *sabot_app_memory(sabot_app *app, size_t size);

/* --- Options of the app --------------------------------------------------------------------------
 *
 * Declare and read in one: the option is known as "<app>.<name>" to -O, the configuration file,
 * --help and the docs. The value given by the user, or `default_value`. A value out of range fails
 * the build. */
SABOT_API int64_t sabot_app_option_int64(sabot_app *app,
                                         const char *name,
                                         int64_t default_value,
                                         int64_t min,
                                         int64_t max,
                                         const char *doc);
SABOT_API double sabot_app_option_float64(sabot_app *app,
                                          const char *name,
                                          double default_value,
                                          double min,
                                          double max,
                                          const char *doc);
SABOT_API bool sabot_app_option_bool(sabot_app *app,
                                     const char *name,
                                     bool default_value,
                                     const char *doc);
/* The text lives as long as the app. `default_value` may be NULL. */
SABOT_API const char *sabot_app_option_text(sabot_app *app,
                                            const char *name,
                                            const char *default_value,
                                            const char *doc);

/* --- Channels ------------------------------------------------------------------------------------
 *
 * A named, partitioned stream of records. `url` NULL: the default transport of the run (`memory:`,
 * or with `-b kafka://...` the topic of this name). `--bind NAME=URL` beats both. */
SABOT_API sabot_channel *sabot_channel_open(sabot_app *app,
                                            const char *name,
                                            const char *url,
                                            const sabot_schema *schema);

/* The field (SABOT_UTF8, or an integer) whose text is the key of records written to this channel:
 * it picks their partition (murmur2, as other Kafka clients do). Without one, partitions are filled
 * in turn. */
SABOT_API void sabot_channel_key(sabot_channel *channel, const char *path);

/* The field (SABOT_TIMESTAMP or SABOT_INT64, ms) that is the event time of a record. Default: the
 * timestamp the channel keeps for each record. */
SABOT_API void sabot_channel_event_time(sabot_channel *channel, const char *path);

/* --- Event time ----------------------------------------------------------------------------------
 *
 * The watermark of a channel that is read says: no record before this time is expected any more. It
 * is the newest event time of a partition, less the lateness; the least of all partitions counts
 * that are not idle (docs/event-time.md). What is set here is the app's choice, which the options
 * channels.NAME.lateness_ms and the like override; without it time.lateness_ms and the like count.
 */

/* How much older than the newest a record may be and still be on time: 0 or more. */
SABOT_API void sabot_channel_lateness(sabot_channel *channel, int64_t lateness_ms);

/* A partition that is read to its end and had no record for so long holds no watermark back, until
 * the next comes. 0: it always does. */
SABOT_API void sabot_channel_idle_after(sabot_channel *channel, int64_t idle_after_ms);

/* Records whose time is further ahead of the machine's clock (0: no bound). They never move the
 * watermark; what becomes of themselves: */
typedef enum sabot_future {
    SABOT_FUTURE_PASS = 0, /* they are handled like others */
    SABOT_FUTURE_SKIP = 1, /* they are left out and counted as skipped */
    SABOT_FUTURE_FAIL = 2, /* the run fails */
} sabot_future;

SABOT_API void sabot_channel_max_future(sabot_channel *channel,
                                        int64_t max_future_ms,
                                        sabot_future policy);

/* Instead of a field and a lateness: a function that says when a record happened, and how far time
 * has come by it. It is called for every record, in the order of its partition, by several threads
 * at once for several partitions; `record` is the struct of the channel's schema. */
typedef struct sabot_event_time {
    int32_t partition;
    int64_t time_ms;      /* in: of the field, or the channel's timestamp; out: of the record */
    int64_t watermark_ms; /* in: of the partition (INT64_MIN: none yet); out: as it is, or higher */
} sabot_event_time;

typedef void (*sabot_time_function)(const void *record, sabot_event_time *time, void *user);

SABOT_API void sabot_channel_time(sabot_channel *channel, sabot_time_function function, void *user);

/* --- Sources -------------------------------------------------------------------------------------
 *
 * A function of the app that makes the records of a channel. It is used when the channel's
 * transport is `memory:`; a channel bound to a file or a topic ignores it.
 *
 * Called on a thread of its own, again and again, never by two threads at once: it writes up to
 * `records_max` records by sabot_source_write() and returns. It may block. `position` says where it
 * stands. It is empty (size 0) at the very start; the function moves it past what it wrote. After a
 * recovery it is called with an older position, and must make the same records again.
 *
 * Returns SABOT_OK     go on (it may have written nothing)
 *         SABOT_END    what was written is the last; it is not called again
 *         an error     the run fails with it (use sabot_source_fail() for the text) */
typedef struct sabot_position {
    size_t size; /* bytes used */
    uint8_t bytes[SABOT_POSITION_MAX];
} sabot_position;

typedef sabot_status (*sabot_source_fill)(sabot_source *source,
                                          size_t records_max,
                                          sabot_position *position,
                                          void *user);

/* `user` is handed to each call of `fill`. */
SABOT_API void sabot_channel_source(sabot_channel *channel, sabot_source_fill fill, void *user);

/* Inside of fill: one encoded record. `key` may be empty. `timestamp_ms` is the channel's
 * timestamp. The bytes are copied. Returns SABOT_OK, SABOT_ERR_LIMIT (more than records_max, or too
 * large), SABOT_ERR_MEMORY. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_source_write(sabot_source *source,
                                                           sabot_text key,
                                                           sabot_text value,
                                                           int64_t timestamp_ms);

/* Inside of fill: one record as the struct of the channel's schema; it is encoded like any other.
 */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_source_emit(sabot_source *source, const void *record);

/* Inside of fill: the records written next were due at this time (microseconds of
 * sabot_source_clock_us). Delays are measured from it (open loop); without it, from the time of the
 * call. */
SABOT_API void sabot_source_due_us(sabot_source *source, int64_t due_us);

/* Inside of fill: the monotonic clock of the run, and a wish not to be called before a time on it.
 */
SABOT_API int64_t sabot_source_clock_us(sabot_source *source);
SABOT_API void sabot_source_wait_until_us(sabot_source *source, int64_t time_us);

/* Inside of fill: say why it fails; returns `status`. */
SABOT_API sabot_status sabot_source_fail(sabot_source *source,
                                         sabot_status status,
                                         const char *format,
                                         ...) SABOT_PRINTF(3, 4);

/* --- Agents --------------------------------------------------------------------------------------
 *
 * A function that is called for each record of a channel, in the order of the channel per key.
 * `record` is the struct of the channel's schema; it and every text in it are valid until the
 * function returns. `context` (context.h) is the way to state, outputs and time. */
typedef sabot_status (*sabot_agent_function)(sabot_context *context, const void *record);

SABOT_API sabot_agent *sabot_agent_create(sabot_app *app,
                                          const char *name,
                                          sabot_channel *channel,
                                          sabot_agent_function function,
                                          void *user);

/* The field whose value is the key of the agent's state. Records of one key are handled one after
 * the other. Any type but float64. Without a key the agent has no state. */
SABOT_API void sabot_agent_key(sabot_agent *agent, const char *path);

/* A value state: one cell per key, of the struct that `schema` describes (flat: no pointers, no
 * sabot_text). */
SABOT_API sabot_value *sabot_agent_value(sabot_agent *agent,
                                         const char *name,
                                         const sabot_schema *schema);

/* An output of the agent to a channel. */
SABOT_API sabot_output *sabot_agent_output(sabot_agent *agent, sabot_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
