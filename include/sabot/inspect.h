/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - looking at a state directory from outside: which checkpoints are there, and are they
 * whole.
 *
 * No app and no run is needed, and nothing is changed: a worker may go on writing meanwhile. The
 * command `sabot checkpoint` uses nothing but this header:
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

#include <sabot/status.h>

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

#ifdef __cplusplus
}
#endif
#endif
