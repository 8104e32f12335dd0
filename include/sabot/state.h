/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - an agent's memory: keyed state of every kind, and timers.
 *
 * A state is declared while the app is built and belongs to one agent (another may use it, too);
 * inside of the agent's function (and of its timers) each call means the state of the record's key.
 * Fixed-size structs are kept as cells that are read and edited in place; where a state takes a
 * schema, NULL instead of one means bytes of any size. The same app gives the same results wherever
 * state is kept.
 *
 *     value       sabot_agent_value(): one struct         sabot_value_read, _edit, _clear
 *     blob        sabot_agent_blob(): bytes of any size   sabot_blob_get, _put, _clear
 *     list        sabot_agent_list(): in order            sabot_list_append, _scan, _trim, ...
 *     map         sabot_agent_map(): in order of keys     sabot_map_get, _put, _scan, ...
 *     reducing    sabot_agent_reducing(): one of many     sabot_reducing_add, _read, _clear
 *     aggregating sabot_agent_aggregating(): a summary    sabot_aggregating_add, _result, ...
 *                 (both also of bytes: ..._bytes())
 *     timer       sabot_agent_timer(): a call at a time   sabot_timer_set, _delete
 *
 * Pointers: what a call gives stays readable, and where it is, until the callback returns, whatever
 * else is read, changed or removed meanwhile.
 *
 * Errors stick to the context: after a call that failed, the record fails with that error whatever
 * the function returns. A call outside of the callback, or with a state of another agent
 * that this one does not use, is such
 * an error; so reads need no checks.
 *
 * Threads: declare while building; call on the thread that called the function. */
#ifndef SABOT_STATE_H
#define SABOT_STATE_H

#include <sabot/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_blob sabot_blob;
typedef struct sabot_list sabot_list;
typedef struct sabot_map sabot_map;
typedef struct sabot_reducing sabot_reducing;
typedef struct sabot_aggregating sabot_aggregating;
typedef struct sabot_timer sabot_timer;

enum {
    SABOT_STATE_VALUE_MAX = 16 * 1024 * 1024, /* bytes of a value, an element, a map's value */
    SABOT_STATE_KEY_MAX = 64 * 1024,          /* bytes of a key, and of a map's key */
    SABOT_AGENT_STATES_MAX = 256,             /* of one agent, timers included */
    SABOT_AGENT_USES_MAX = 64,                /* states of others that one agent may use */
};

/* A value of any size. data == NULL: there is none; an empty one has data != NULL and size 0. */
typedef struct sabot_bytes {
    const void *data;
    size_t size;
} sabot_bytes;

/* The key of the record, or of the timer: the text of a text, of a number its digits. Empty: the
 * agent has none. */
SABOT_API sabot_text sabot_key(const sabot_context *context);

/* --- Time to live --------------------------------------------------------------------------------
 */

typedef enum sabot_clock {
    SABOT_EVENT_TIME = 0,      /* of the records; it stands still when they do */
    SABOT_PROCESSING_TIME = 1, /* of the machine, as ms since 1970 */
} sabot_clock;

typedef enum sabot_refresh {
    SABOT_ON_WRITE = 0,
    SABOT_ON_READ_AND_WRITE = 1,
} sabot_refresh;

/* Forget what has not been refreshed for `ttl_ms` (1 or more): a key's value or list; of a map each
 * entry by itself. `name` is that of a state declared before. What has expired is never seen, and
 * its memory comes back. */
SABOT_API void sabot_agent_ttl(sabot_agent *agent,
                               const char *name,
                               int64_t ttl_ms,
                               sabot_clock clock,
                               sabot_refresh refresh);

/* --- Large values --------------------------------------------------------------------------------
 *
 * The beginning of a value is fetched from memory before the agent's function is called with a
 * record of its key. Of a value of hundreds of bytes the function may need more, and would wait for
 * it. Where it will look it knows by the beginning: so it may ask beforehand, with
 * __builtin_prefetch(). */

/* Asks for memory; changes nothing, and keeps nothing of `value`: the key's, or another one's of
 * the state, as it is some records earlier. It is called when a record of the key comes soon, if
 * the value is in memory and has no time to live; not for each record. By the thread of the
 * function. */
typedef void (*sabot_ahead_function)(const void *value);

/* `name` is that of a value state declared before, with a schema. One state of an agent is looked
 * up ahead: the first with such a function, or else the first. */
SABOT_API void sabot_agent_ahead(sabot_agent *agent,
                                 const char *name,
                                 sabot_ahead_function function);

/* --- Shared state --------------------------------------------------------------------------------
 *
 * `agent` may use a state that `owner` has declared, of any kind but timers, by the owner's handle
 * and as if it were its own. Both must be keyed by fields of the same type; what they read may
 * differ. All calls of a key then run on one thread, in the order in which their records arrive,
 * and each sees what the others wrote. The state keeps the owner's name and time: in event time it
 * expires by the owner's watermark, or by the time of the record that looks. */
SABOT_API void sabot_agent_use(sabot_agent *agent, sabot_agent *owner, const char *name);

/* --- Tables --------------------------------------------------------------------------------------
 *
 * A table holds the last record of each key of a channel, for agents to look up. Only its channel
 * changes it: a record takes the place of the one before with the same key, and a record without a
 * value (null on a topic, or as JSON) deletes its key. The key is that of the channel
 * (sabot_channel_key()), and the channel should be partitioned by it, as a compacted topic is.
 *
 *     customers = sabot_table_create(app, "customers", changes);
 *     sabot_agent_key(enrich, "customer");
 *     sabot_agent_table(enrich, customers);
 *     ...
 *     const struct customer *customer = sabot_table_read(context, customers);
 *
 * A read sees what has arrived: docs/state.md says how table and stream stand to each other in
 * time. A table is kept, bounded, snapshotted and inspected like state; its one state is "row". */
SABOT_API sabot_table *sabot_table_create(sabot_app *app, const char *name, sabot_channel *channel);

/* A record in which this field (SABOT_BOOL) is true deletes its key, too: for channels that have no
 * records without a value, such as files and those that agents write. */
SABOT_API void sabot_table_delete_by(sabot_table *table, const char *path);

/* Forget rows that were not written for `ttl_ms`. */
SABOT_API void sabot_table_ttl(sabot_table *table, int64_t ttl_ms, sabot_clock clock);

/* `agent` reads the table. It must be keyed by a field of the same type as the table. */
SABOT_API void sabot_agent_table(sabot_agent *agent, sabot_table *table);

/* The row of this key as the struct of the channel's schema; NULL: there is none. */
SABOT_API const void *sabot_table_read(sabot_context *context, const sabot_table *table);

/* --- Blobs ---------------------------------------------------------------------------------------
 */

SABOT_API sabot_blob *sabot_agent_blob(sabot_agent *agent, const char *name);

SABOT_API sabot_bytes sabot_blob_get(sabot_context *context, const sabot_blob *blob);
/* The bytes are copied. SABOT_ERR_LIMIT: more than SABOT_STATE_VALUE_MAX. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_blob_put(sabot_context *context,
                                                       const sabot_blob *blob,
                                                       const void *data,
                                                       size_t size);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_blob_clear(sabot_context *context,
                                                         const sabot_blob *blob);

/* --- Lists ---------------------------------------------------------------------------------------
 *
 *     sabot_cursor cursor;
 *     sabot_bytes element;
 *
 *     sabot_list_scan(context, list, &cursor);
 *     while (sabot_list_next(context, &cursor, &element)) { ... }
 */

/* A walk over a list or map; good until the callback returns. Adding and removing meanwhile is
 * allowed: a removed entry is not returned, a new one may or may not be. */
typedef struct sabot_cursor {
    uint64_t opaque[20];
} sabot_cursor;

/* `schema` of the elements; NULL: bytes of any size. */
SABOT_API sabot_list *sabot_agent_list(sabot_agent *agent,
                                       const char *name,
                                       const sabot_schema *schema);

/* At the end. With a schema `size` must be that of its struct. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_list_append(sabot_context *context,
                                                          const sabot_list *list,
                                                          const void *data,
                                                          size_t size);
SABOT_API uint64_t sabot_list_count(sabot_context *context, const sabot_list *list);
/* Drop the oldest elements until at most `keep` are left. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_list_trim(sabot_context *context,
                                                        const sabot_list *list,
                                                        uint64_t keep);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_list_clear(sabot_context *context,
                                                         const sabot_list *list);

/* From the oldest element on. False: there is no other. */
SABOT_API void sabot_list_scan(sabot_context *context,
                               const sabot_list *list,
                               sabot_cursor *cursor);
SABOT_API bool sabot_list_next(sabot_context *context,
                               sabot_cursor *cursor,
                               sabot_bytes *element_out);

/* --- Maps ----------------------------------------------------------------------------------------
 *
 * Entries by a key of their own, any bytes, in byte order.
 */

/* `schema` of the values; NULL: bytes of any size. */
SABOT_API sabot_map *sabot_agent_map(sabot_agent *agent,
                                     const char *name,
                                     const sabot_schema *schema);

/* With a schema, data points to the struct. */
SABOT_API sabot_bytes sabot_map_get(sabot_context *context, const sabot_map *map, sabot_text key);
/* Only with a schema: the entry for changing in place, made and zeroed at the first call. NULL:
 * the call has failed; then return sabot_context_status(). */
SABOT_API void *sabot_map_edit(sabot_context *context, const sabot_map *map, sabot_text key);
/* Key and value are copied. With a schema `size` must be that of its struct. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_map_put(sabot_context *context,
                                                      const sabot_map *map,
                                                      sabot_text key,
                                                      const void *data,
                                                      size_t size);
/* SABOT_OK also when there is none. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_map_remove(sabot_context *context,
                                                         const sabot_map *map,
                                                         sabot_text key);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_map_clear(sabot_context *context,
                                                        const sabot_map *map);

/* The entries whose key begins with `prefix` (empty: all), whose bytes must stay as long as the
 * cursor is used. False: there is no other. `key_out` and `value_out` may be NULL. */
SABOT_API void sabot_map_scan(sabot_context *context,
                              const sabot_map *map,
                              sabot_text prefix,
                              sabot_cursor *cursor);
SABOT_API bool sabot_map_next(sabot_context *context,
                              sabot_cursor *cursor,
                              sabot_text *key_out,
                              sabot_bytes *value_out);

/* --- Reducing and aggregating --------------------------------------------------------------------
 *
 * Values that are added to a key and not kept one by one. Reducing keeps one value of the same
 * type; aggregating keeps an accumulator of another type, and makes the result of it when asked.
 *
 *     sum        of int64: refused when it leaves the range
 *     min, max   NaN only when there is no other
 *     count      an int64; the values may be NULL
 *     mean       a double; only aggregating
 */
typedef enum sabot_builtin {
    SABOT_SUM = 1,
    SABOT_MIN = 2,
    SABOT_MAX = 3,
    SABOT_COUNT = 4,
    SABOT_MEAN = 5,
} sabot_builtin;

/* Fold `value` into `kept`, both the struct of the schema. The first value of a key is kept as it
 * is, without a call. */
typedef sabot_status (*sabot_reduce)(sabot_context *context, void *kept, const void *value);

SABOT_API sabot_reducing *sabot_agent_reducing(sabot_agent *agent,
                                               const char *name,
                                               const sabot_schema *schema,
                                               sabot_reduce function);
/* Built in: values and result are one int64_t (double; the count of either is an int64_t). */
SABOT_API sabot_reducing *sabot_agent_reducing_int64(sabot_agent *agent,
                                                     const char *name,
                                                     sabot_builtin builtin);
SABOT_API sabot_reducing *sabot_agent_reducing_float64(sabot_agent *agent,
                                                       const char *name,
                                                       sabot_builtin builtin);

SABOT_API SABOT_MUST_CHECK sabot_status sabot_reducing_add(sabot_context *context,
                                                           const sabot_reducing *reducing,
                                                           const void *value);
/* NULL: nothing was added, or the call has failed. */
SABOT_API const void *sabot_reducing_read(sabot_context *context, const sabot_reducing *reducing);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_reducing_clear(sabot_context *context,
                                                             const sabot_reducing *reducing);

/* Values of any size. The function finds in *kept the bytes so far, and leaves there those that
 * shall be kept: a part of the old ones, the value, or bytes of its own (see sabot_scratch()). They
 * are copied when it has returned. */
typedef sabot_status (*sabot_reduce_bytes)(sabot_context *context,
                                           sabot_bytes *kept,
                                           sabot_bytes value);

SABOT_API sabot_reducing *sabot_agent_reducing_bytes(sabot_agent *agent,
                                                     const char *name,
                                                     sabot_reduce_bytes function);
SABOT_API SABOT_MUST_CHECK sabot_status sabot_reducing_add_bytes(sabot_context *context,
                                                                 const sabot_reducing *reducing,
                                                                 const void *data,
                                                                 size_t size);
/* data == NULL: nothing was added, or the call has failed. */
SABOT_API sabot_bytes sabot_reducing_read_bytes(sabot_context *context,
                                                const sabot_reducing *reducing);

/* Memory to build something in, zeroed, aligned to 16 bytes; good until the agent's function (or
 * its timer's) returns. At most SABOT_STATE_VALUE_MAX bytes. NULL: the call has failed; then return
 * sabot_context_status(). */
SABOT_API void *sabot_scratch(sabot_context *context, size_t size);

/* The accumulator is the struct of the state's schema, zeroed at first; values and result are what
 * the functions take them for. */
typedef struct sabot_aggregate {
    sabot_status (*add)(sabot_context *context, void *accumulator, const void *value);
    /* Another accumulator into this one; NULL: there is no merging. */
    sabot_status (*merge)(sabot_context *context, void *accumulator, const void *other);
    sabot_status (*result)(sabot_context *context, const void *accumulator, void *result);
} sabot_aggregate;

SABOT_API sabot_aggregating *sabot_agent_aggregating(sabot_agent *agent,
                                                     const char *name,
                                                     const sabot_schema *schema,
                                                     const sabot_aggregate *functions);
/* Built in: values are int64_t (double). The result: a mean is a double, a count an int64_t, and
 * the others as the values. The accumulator is a struct sabot_sum_int64 (_float64). */
SABOT_API sabot_aggregating *sabot_agent_aggregating_int64(sabot_agent *agent,
                                                           const char *name,
                                                           sabot_builtin builtin);
SABOT_API sabot_aggregating *sabot_agent_aggregating_float64(sabot_agent *agent,
                                                             const char *name,
                                                             sabot_builtin builtin);
typedef struct sabot_sum_int64 {
    int64_t count; /* of values */
    int64_t value; /* their sum, minimum or maximum */
} sabot_sum_int64;
typedef struct sabot_sum_float64 {
    int64_t count;
    double value;
} sabot_sum_float64;

SABOT_API SABOT_MUST_CHECK sabot_status sabot_aggregating_add(sabot_context *context,
                                                              const sabot_aggregating *aggregating,
                                                              const void *value);
SABOT_API SABOT_MUST_CHECK sabot_status
sabot_aggregating_merge(sabot_context *context,
                        const sabot_aggregating *aggregating,
                        const void *accumulator);
/* The accumulator as it is. NULL: nothing was added, or the call has failed. */
SABOT_API const void *sabot_aggregating_read(sabot_context *context,
                                             const sabot_aggregating *aggregating);
/* False: nothing was added, or the call has failed; `result_out` is as it was. */
SABOT_API bool sabot_aggregating_result(sabot_context *context,
                                        const sabot_aggregating *aggregating,
                                        void *result_out);
SABOT_API SABOT_MUST_CHECK sabot_status
sabot_aggregating_clear(sabot_context *context, const sabot_aggregating *aggregating);

/* The accumulator is bytes of any size, empty at first; values are bytes, too. The functions leave
 * the new accumulator as those of reducing state do. */
typedef struct sabot_aggregate_bytes {
    sabot_reduce_bytes add;
    sabot_reduce_bytes merge; /* another accumulator into this one; NULL: there is no merging */
    sabot_status (*result)(sabot_context *context, sabot_bytes accumulator, void *result);
} sabot_aggregate_bytes;

SABOT_API sabot_aggregating *sabot_agent_aggregating_bytes(sabot_agent *agent,
                                                           const char *name,
                                                           const sabot_aggregate_bytes *functions);
SABOT_API SABOT_MUST_CHECK sabot_status
sabot_aggregating_add_bytes(sabot_context *context,
                            const sabot_aggregating *aggregating,
                            const void *data,
                            size_t size);
SABOT_API SABOT_MUST_CHECK sabot_status
sabot_aggregating_merge_bytes(sabot_context *context,
                              const sabot_aggregating *aggregating,
                              const void *accumulator,
                              size_t size);
/* data == NULL: nothing was added, or the call has failed. */
SABOT_API sabot_bytes sabot_aggregating_read_bytes(sabot_context *context,
                                                   const sabot_aggregating *aggregating);
/* False: nothing was added, or the call has failed. */
SABOT_API bool sabot_aggregating_result_bytes(sabot_context *context,
                                              const sabot_aggregating *aggregating,
                                              void *result_out);

/* --- Timers --------------------------------------------------------------------------------------
 *
 * A function that is called for a key at a time. It may do all that the agent's function may, with
 * the state of that key. Timers are state: many per key, each once per time, in every checkpoint.
 *
 * In event time they fire when the watermark has passed their time, in order of time, after all
 * records of that time that are not late; what has expired by the timer's own time is not seen.
 * When the inputs have ended (sabot_watermark_ms() is then INT64_MAX), all that are left fire: a
 * function that always sets the next timer must stop then. In processing time they fire when the
 * machine's clock has come to their time, never before; at the end of the inputs those that are not
 * due are dropped. */
typedef sabot_status (*sabot_timer_function)(sabot_context *context, int64_t time_ms);

/* Several timers of an agent have names and functions of their own. */
SABOT_API sabot_timer *sabot_agent_timer(sabot_agent *agent,
                                         const char *name,
                                         sabot_clock clock,
                                         sabot_timer_function function);

/* Call the timer's function for this key at `time_ms`. The same time again is the same timer. For a
 * time that has passed the call comes as soon as the batch of records at hand is done, before any
 * other record of the agent on this thread; set by a timer, right after it. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_timer_set(sabot_context *context,
                                                        const sabot_timer *timer,
                                                        int64_t time_ms);
/* SABOT_OK also when there is none. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_timer_delete(sabot_context *context,
                                                           const sabot_timer *timer,
                                                           int64_t time_ms);

/* The machine's clock (ms since 1970), read once per batch of records and of timers. */
SABOT_API int64_t sabot_processing_time_ms(const sabot_context *context);

#ifdef __cplusplus
}
#endif
#endif
