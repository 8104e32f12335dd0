/* SPDX-License-Identifier: Apache-2.0 */
/* window.h - event-time windows: which records belong together, what is made of them, and when.
 *
 * A window is described by a constant struct; what it doesn't name is zero and means "no":
 *
 *     static const sabot_window_spec per_minute = {
 *         .kind = SABOT_TUMBLING, .size_ms = 60 * 1000, .allowed_lateness_ms = 5 * 1000,
 *     };
 *     static const sabot_window_spec last_hour = {
 *         .kind = SABOT_SLIDING, .size_ms = 3600 * 1000, .slide_ms = 60 * 1000,
 *     };
 *     static const sabot_window_spec visits = {.kind = SABOT_SESSION, .gap_ms = 30 * 60 * 1000};
 *     static const sabot_window_spec each_hundred = {
 *         .kind = SABOT_GLOBAL, .early_count = 100, .discarding = true,
 *     };
 *
 *     static const sabot_window_aggregate totals[] = {
 *         {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
 *         {.function = SABOT_WINDOW_SUM, .field = "price", .name = "total"},
 *     };
 *
 * A window [start, end) holds times from start to before end. It fires on time when the watermark
 * has reached its end, early by its triggers, and late for each record that comes within the
 * allowed lateness; each result says which of these, and the how manieth of its window it is.
 * Windows are state: they are in every checkpoint. docs/windows.md tells each rule.
 *
 * Ownership: specs and aggregates are copied; their texts and `user` must outlive the app.
 * Threads: the callbacks run on any worker's thread, several at once; `user` is for reading. */
#ifndef SABOT_WINDOW_H
#define SABOT_WINDOW_H

#include <sabot/state.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SABOT_WINDOW_AGGREGATES_MAX = 16, /* of one window */
    SABOT_WINDOW_ASSIGN_MAX = 256,    /* windows that an assigner gives one record */
    SABOT_WINDOW_PANES_MAX = 1000000, /* windows of a sliding spec that hold one record */
};

typedef enum sabot_window_kind {
    SABOT_TUMBLING = 1, /* [k * size + offset, (k + 1) * size + offset) */
    SABOT_SLIDING = 2,  /* of `size`, one begins every `slide` */
    SABOT_SESSION = 3,  /* ends when nothing came for `gap` */
    SABOT_GLOBAL = 4,   /* one for all times: fires by early_count, early_ms or trigger */
    SABOT_ASSIGNED = 5, /* a function says which windows a record is in */
} sabot_window_kind;

/* Times from `start_ms` to before `end_ms`. Bounds beyond the range of int64_t are cut to it. */
typedef struct sabot_window_bounds {
    int64_t start_ms;
    int64_t end_ms;
} sabot_window_bounds;

typedef enum sabot_firing {
    SABOT_EARLY = 1,   /* before the watermark has reached the end */
    SABOT_ON_TIME = 2, /* by the watermark */
    SABOT_LATE = 3,    /* after it */
} sabot_firing;

/* --- Callbacks -----------------------------------------------------------------------------------
 */

/* The gap of a session that this record keeps open, 1 ms or more. */
typedef int64_t (*sabot_window_gap)(const void *record, int64_t event_time_ms, void *user);

/* The windows of a record, up to SABOT_WINDOW_ASSIGN_MAX, each holding at least 1 ms; their number.
 * 0: in none. The same record must give the same windows. */
typedef uint32_t (*sabot_window_assign)(const void *record,
                                        int64_t event_time_ms,
                                        sabot_window_bounds *windows_out,
                                        void *user);

/* Why a trigger is asked. */
typedef enum sabot_window_moment {
    SABOT_ON_RECORD = 1,      /* a record has entered the window, which is not yet over */
    SABOT_ON_LATE_RECORD = 2, /* the same within the allowed lateness */
    SABOT_ON_EARLY_TIME = 3,  /* early_ms has passed */
    SABOT_ON_END = 4,         /* the watermark has reached the end */
} sabot_window_moment;

typedef enum sabot_window_action {
    SABOT_CONTINUE = 0,
    SABOT_FIRE = 1,
    SABOT_PURGE = 2, /* forget what is in the window */
    SABOT_FIRE_AND_PURGE = 3,
} sabot_window_action;

typedef struct sabot_window_view {
    sabot_window_moment moment;
    sabot_window_bounds bounds;
    int64_t records;       /* in the window */
    int64_t fresh;         /* of these, that came since it last fired */
    int64_t firings;       /* so far */
    int64_t watermark_ms;  /* INT64_MIN: there was none */
    int64_t processing_ms; /* the machine's clock, read once per batch */
    int64_t event_time_ms; /* of the record */
    const void *record;    /* NULL: no record is why */
} sabot_window_view;

typedef sabot_window_action (*sabot_window_trigger)(const sabot_window_view *view, void *user);

/* Before a firing, of a window that keeps its records: does this one stay? They are asked in order
 * of event time, then of arrival. What doesn't stay is gone for good. */
typedef bool (*sabot_window_evictor)(const sabot_window_view *view,
                                     const void *record,
                                     int64_t event_time_ms,
                                     void *user);

/* --- What a window is ----------------------------------------------------------------------------
 */

typedef struct sabot_window_spec {
    sabot_window_kind kind;
    int64_t size_ms;   /* tumbling, sliding */
    int64_t slide_ms;  /* sliding */
    int64_t offset_ms; /* tumbling, sliding: windows begin at multiples of size (slide) plus this */

    /* Session: the gap of each record is the callback's, or the field's (an integer, ms), or
     * gap_ms, whichever is given first. Records less than a gap apart are one session. */
    int64_t gap_ms;
    const char *gap_field;
    sabot_window_gap gap;

    sabot_window_assign assign; /* assigned */

    /* A window lives on this long (event time) after it has fired on time, and each record that
     * still comes for it makes it fire late. Later ones enter no window: they are late. */
    int64_t allowed_lateness_ms;

    /* false, accumulating: each firing tells all that came so far. true: what came since the last
     * one. */
    bool discarding;

    /* Early firings, each only when something came since the last one. 0: none. */
    int64_t early_count;     /* when so many records came since the last one */
    int64_t early_ms;        /* event time: when the watermark passes a multiple of it;
                              * processing time: this long after the first record of each */
    sabot_clock early_clock; /* of early_ms */

    /* Decides in place of early_count, of the firing at the end and of late firings. */
    sabot_window_trigger trigger;

    /* Keep the records, for evictors and for an agent that looks at them. A sliding window keeps
     * each of them once for every window that it is in. */
    bool keep_records;
    int64_t evict_count;  /* keep the newest of them only; 0: all */
    int64_t evict_age_ms; /* keep those no older than this before the newest; 0: all */
    sabot_window_evictor evictor;

    void *user; /* for the callbacks */
} sabot_window_spec;

/* --- Aggregates ----------------------------------------------------------------------------------
 *
 *     function         of a field of                      result
 *     COUNT            any type; NULL: of all records     int64
 *     SUM              int32, int64 / float64             int64 / float64
 *     MIN, MAX         int32, int64, timestamp / float64  int64 (timestamp) / float64
 *     MEAN, VARIANCE   int32, int64, float64              float64
 *     FIRST, LAST      any type                           as the field; of int32 an int64
 *     COUNT_DISTINCT   any type                           int64, exact
 *     COLLECT          any type                           utf8: a JSON array in order of time
 *     CUSTOM           the whole record                   int64 or float64, as it says
 *
 * Missing values don't count. Of no value at all the result is missing (a count is 0). First, last
 * and collect go by event time, then by arrival. A sum of integers is kept in 128 bits; one that
 * doesn't fit its result fails. Sums of float64 are made in order of arrival, per pane of a sliding
 * window. NaN is the minimum or maximum only when there is no other. Variance is that of the
 * population. */
typedef enum sabot_window_function {
    SABOT_WINDOW_COUNT = 1,
    SABOT_WINDOW_SUM = 2,
    SABOT_WINDOW_MIN = 3,
    SABOT_WINDOW_MAX = 4,
    SABOT_WINDOW_MEAN = 5,
    SABOT_WINDOW_VARIANCE = 6,
    SABOT_WINDOW_FIRST = 7,
    SABOT_WINDOW_LAST = 8,
    SABOT_WINDOW_COUNT_DISTINCT = 9,
    SABOT_WINDOW_COLLECT = 10,
    SABOT_WINDOW_CUSTOM = 11,
} sabot_window_function;

/* What an aggregate has made. */
typedef union sabot_window_value {
    int64_t int64;
    double float64;
    sabot_text text;
} sabot_window_value;

/* The accumulator is the struct of `schema` (of state: flat), zeroed at first. A function returns
 * SABOT_OK, or an error that the record then fails with. */
typedef struct sabot_window_custom {
    const sabot_schema *schema;
    sabot_type type; /* of the result: SABOT_INT64, SABOT_FLOAT64 */
    sabot_status (*add)(void *accumulator, const void *record, void *user);
    /* Two accumulators of disjoint records, `other` the later ones, into the first. */
    sabot_status (*merge)(void *accumulator, const void *other, void *user);
    sabot_status (*result)(const void *accumulator, sabot_window_value *value_out, void *user);
    void *user;
} sabot_window_custom;

typedef struct sabot_window_aggregate {
    sabot_window_function function;
    const char *field; /* of the record; NULL: COUNT of all records, CUSTOM */
    const char *name;  /* of its field in the result; [A-Za-z0-9_-]+ */
    const sabot_window_custom *custom;
} sabot_window_aggregate;

/* --- Results as records --------------------------------------------------------------------------
 *
 * A stream writes each result as a record of its output channel. The channel's schema names what it
 * wants: the key by the path of the key field, the aggregates by their names (all of them), and
 *
 *     window_start, window_end   timestamp or int64; both must be there
 *     window_firing              utf8: "early", "on_time", "late"
 *     window_number              int64: 1 is the first firing of its window
 *
 * The event time of a result is the last millisecond of its window; of the global one, the time of
 * its newest record. */

/* --- Windows of an agent -------------------------------------------------------------------------
 *
 * An agent puts records into windows of its own over its keyed state, and is called when one fires:
 *
 *     static sabot_status closed(sabot_context *context, const sabot_window_result *result)
 *     {
 *         int64_t clicks;
 *
 *         if (sabot_window_result_int64(result, 0, &clicks)) ...       the first of its aggregates
 *     }
 *
 *     visits = sabot_agent_window(agent, "visits", &spec, totals, 2, closed);     while building
 *     return sabot_window_add(context, visits, record);                  for each record of a key
 */
typedef struct sabot_window sabot_window;
typedef struct sabot_window_result sabot_window_result;

/* A window of the context's key has fired. It may do what the agent's function may, but not add
 * records to the window that fires. The result is good until it returns. */
typedef sabot_status (*sabot_window_fired)(sabot_context *context,
                                           const sabot_window_result *result);

/* Of records of the agent's channel, by the agent's key, which must be named before. */
SABOT_API sabot_window *sabot_agent_window(sabot_agent *agent,
                                           const char *name,
                                           const sabot_window_spec *spec,
                                           const sabot_window_aggregate *aggregates,
                                           size_t aggregate_count,
                                           sabot_window_fired fired);

/* Put a record (the struct of the channel's schema; its time is that of the record being handled)
 * into the windows it belongs to; those that fire by it do so at once. *late_out (may be NULL) says
 * that it came too late for all of them. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_window_add(sabot_context *context,
                                                         const sabot_window *window,
                                                         const void *record,
                                                         bool *late_out);

SABOT_API sabot_window_bounds sabot_window_result_bounds(const sabot_window_result *result);
SABOT_API sabot_firing sabot_window_result_firing(const sabot_window_result *result);
/* The how manieth firing of its window, from 1; and how many records it tells of. */
SABOT_API int64_t sabot_window_result_number(const sabot_window_result *result);
SABOT_API int64_t sabot_window_result_records(const sabot_window_result *result);
/* The result of an aggregate by its place in the list. False: there was no value, or it is of
 * another type; `value_out` is as it was. */
SABOT_API bool sabot_window_result_int64(const sabot_window_result *result,
                                         size_t index,
                                         int64_t *value_out);
SABOT_API bool sabot_window_result_float64(const sabot_window_result *result,
                                           size_t index,
                                           double *value_out);
SABOT_API bool sabot_window_result_text(const sabot_window_result *result,
                                        size_t index,
                                        sabot_text *value_out);
/* The records of a window that keeps them: `function` is called with each, by event time, then by
 * arrival, until it returns something else than SABOT_OK, which is returned. `record` is the struct
 * of the channel's schema, good until the function returns. */
typedef sabot_status (*sabot_window_record_function)(sabot_context *context,
                                                     const void *record,
                                                     int64_t event_time_ms,
                                                     void *user);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_window_records(sabot_context *context,
                                                             const sabot_window_result *result,
                                                             sabot_window_record_function function,
                                                             void *user);

#ifdef __cplusplus
}
#endif
#endif
