/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - looking at a state directory from outside: which checkpoints are there, and are they
 * whole, and what is in them.
 *
 * No app and no run is needed, and nothing is changed: a worker may go on writing meanwhile. The
 * commands `sabot checkpoint` and `sabot state` use nothing but this header:
 *
 *     sabot_inspection *inspection;
 *     sabot_checkpoint_info info;
 *     status = sabot_inspection_open("/var/lib/fraud", &inspection, &error);
 *     for (size_t i = 0; sabot_inspection_checkpoint(inspection, i, &info); i++)
 *         printf("%s %lld\n", info.pipeline, (long long)info.id);
 *     sabot_inspection_close(inspection);
 *
 * Ownership: open gives the caller a handle, close takes it back; close(NULL) does nothing. What
 * an info points to is valid until then.
 * Threads: an inspection belongs to one thread; calls wait for the disk. */
#ifndef SABOT_INSPECT_H
#define SABOT_INSPECT_H

#include <sabot/schema.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_inspection sabot_inspection;

typedef enum sabot_condition {
    SABOT_WHOLE = 0,   /* its manifest is right, and all files have their size */
    SABOT_DAMAGED = 1, /* a worker would refuse it */
    SABOT_PARTIAL =
        2, /* no manifest: it is being written, or that was cut short; it never counts */
} sabot_condition;

typedef struct sabot_checkpoint_info {
    const char *app;
    const char *pipeline; /* the folder's name, also of one that --reset has moved aside */
    const char *path;     /* of the checkpoint's folder */
    int64_t id;
    uint64_t nonce;
    int64_t time_ms; /* when it was taken, since 1970; 0: unknown, it is not whole */
    int64_t age_ms;  /* since then; -1: unknown */
    uint64_t bytes;  /* of its files of state */
    bool finished;   /* all inputs had ended: nothing is left to do */
    bool moved_aside;
    sabot_condition condition;
    const char *reason; /* why it is not whole, with the file's name; "" when it is */
} sabot_checkpoint_info;

/* See what is there now. Manifests are read and checked, of other files only the sizes:
 * sabot_inspection_verify() reads them. SABOT_ERR_NOT_FOUND: no such folder; SABOT_ERR_LIMIT: more
 * than 4096 checkpoints. One that is damaged is no error here. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_inspection_open(const char *state_dir,
                                                              sabot_inspection **inspection_out,
                                                              sabot_error *error);
SABOT_API void sabot_inspection_close(sabot_inspection *inspection);

/* One checkpoint: by app, pipeline, and the newest first. False past the end. */
SABOT_API bool sabot_inspection_checkpoint(const sabot_inspection *inspection,
                                           size_t index,
                                           sabot_checkpoint_info *info_out);

/* Read every byte of a checkpoint, as a worker does before it uses one. SABOT_ERR_CORRUPT and
 * SABOT_ERR_IO name the file; SABOT_ERR_NOT_FOUND: it is partial, or a worker has removed it
 * meanwhile; SABOT_ERR_ARGUMENT: no such index. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_inspection_verify(const sabot_inspection *inspection,
                                                                size_t index,
                                                                sabot_error *error);

/* --- What is in them -----------------------------------------------------------------------------
 *
 * A checkpoint carries the names of its states and the tables of their structs: so it is readable
 * without the app, and after the app has changed. */

/* Load the states of one checkpoint of each pipeline, after every byte of it was verified: of the
 * one with this id, or (id 0) of the newest that is whole. What turns out to be damaged is marked
 * so for sabot_inspection_checkpoint(). What is moved aside is not looked at. What was loaded
 * before is forgotten. SABOT_ERR_NOT_FOUND: there is none; SABOT_ERR_CORRUPT: the one with the id
 * is damaged, or all are. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_inspection_load(sabot_inspection *inspection,
                                                              int64_t id,
                                                              sabot_error *error);

typedef struct sabot_state_info {
    size_t checkpoint; /* the index of where it lies */
    const char *app;
    const char *agent;
    const char *name;
    const char *kind;     /* "value", "list", "map", "reducing", "aggregating", "timers" */
    const char *key_type; /* "utf8", "int64"...; "" for an agent without a key */
    const char *schema;   /* the name of its struct; "" for bytes */
    uint32_t version;     /* of that */
    const char *fields;   /* "count int64, name chars[16]"; "" for bytes */
    uint64_t keys;
    uint64_t rows;  /* keys; of lists elements, of maps entries */
    uint64_t bytes; /* of keys and values as they are stored */
} sabot_state_info;

/* One state of what is loaded, by agent as the checkpoint has them. False past the end. */
SABOT_API bool sabot_inspection_state(const sabot_inspection *inspection,
                                      size_t index,
                                      sabot_state_info *info_out);

/* A row of a state, as JSON texts: keys as text, number or bool by their type, what can't be told
 * as text when it is UTF-8, else as "0x..."; structs as objects with a member for each field. Valid
 * during the call. */
typedef struct sabot_state_row {
    sabot_text key;
    sabot_text entry; /* the key inside of a map; else data == NULL */
    sabot_text value; /* of timers: when they fire, ms */
    int64_t element;  /* of a list, from 0; else -1 */
    int64_t time_ms;  /* of the last refresh, where there is a time to live; else 0 */
} sabot_state_row;

/* Not SABOT_OK: enough. */
typedef sabot_status (*sabot_state_function)(void *context, const sabot_state_row *row);

/* Every row of a state, in no order that means anything; or those of one key, given as text, or as
 * "0x..." where keys are binary or of no known type. Returns SABOT_OK at the end, else what `each`
 * returned. SABOT_ERR_ARGUMENT: no such index, or `key` is none of this type. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_inspection_rows(const sabot_inspection *inspection,
                                                              size_t index,
                                                              const char *key,
                                                              sabot_state_function each,
                                                              void *context,
                                                              sabot_error *error);

/* --- Savepoints ----------------------------------------------------------------------------------
 *
 * A savepoint is a folder of its own, which belongs to the user (docs/recovery.md). It is laid out
 * as a state directory with one checkpoint a pipeline: an inspection of its path shows its states.
 */

typedef struct sabot_savepoint sabot_savepoint;

typedef struct sabot_savepoint_info {
    const char *path;
    const char *app;
    int64_t time_ms; /* when it was taken, since 1970 */
    int64_t age_ms;
    uint64_t bytes; /* of its files of state */
    size_t pipelines;
} sabot_savepoint_info;

/* Where one partition of an input stands in it. */
typedef struct sabot_savepoint_position {
    const char *pipeline;
    int64_t id; /* of the checkpoint that was taken with it */
    const char *channel;
    int32_t partition;
    int64_t offset; /* of the next record to read */
    bool ended;
} sabot_savepoint_position;

/* Open one and check every byte of it. SABOT_ERR_NOT_FOUND: `path` has no file `savepoint`: it is
 * none, or its making was cut short. SABOT_ERR_CORRUPT names the file that is damaged. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_savepoint_open(const char *path,
                                                             sabot_savepoint **savepoint_out,
                                                             sabot_error *error);
SABOT_API void sabot_savepoint_close(sabot_savepoint *savepoint);
SABOT_API void sabot_savepoint_get(const sabot_savepoint *savepoint,
                                   sabot_savepoint_info *info_out);
/* False past the end. */
SABOT_API bool sabot_savepoint_position_at(const sabot_savepoint *savepoint,
                                           size_t index,
                                           sabot_savepoint_position *position_out);

/* Remove one, damaged or not. What is no savepoint is refused, and files in its folder that are not
 * its own stay. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_savepoint_remove(const char *path,
                                                               sabot_error *error);

#ifdef __cplusplus
}
#endif
#endif
