/* SPDX-License-Identifier: Apache-2.0 */
/* savepoint.h - a recovery point that belongs to the user: state in its logical form, apart from
 * the checkpoints of any worker.
 *
 *     PATH/
 *         savepoint                             what it is; last: with it the savepoint exists
 *         APP/PIPELINE/ckpt-<id>-<nonce>/       as in a state directory (folder.h), one a pipeline
 *             state                             shards of all tasks, in order: the same for any -c
 *             manifest
 *
 * `savepoint` is text, and only what format_head() writes is one:
 *
 *     sabot savepoint 1
 *     app NAME
 *     time MILLISECONDS
 *     pipeline NAME ID NONCE CHECKSUM           one a pipeline, CHECKSUM being its manifest's
 *     end CHECKSUM                              XXH3-64 of all lines above
 *
 * Nothing here is shared with a checkpoint, and no worker changes or removes any of it.
 *
 * Ownership: a savepoint that was opened holds its texts. Threads: the caller's; calls wait for the
 * disk. */
#ifndef SB_CKPT_SAVEPOINT_H
#define SB_CKPT_SAVEPOINT_H

#include "ckpt/folder.h"

enum { SB_SAVEPOINT_PIPELINES_MAX = 256, SB_SAVEPOINT_HEAD_MAX = 256 * 1024 };

struct sb_savepoint_pipeline {
    const char *name;
    struct sb_ckpt_entry entry;
    uint64_t checksum; /* of its manifest */
};

struct sb_savepoint {
    const struct sb_env *env;
    struct sb_arena arena;
    const char *path;
    const char *app;
    int64_t time_ms;
    uint32_t pipeline_count;
    struct sb_savepoint_pipeline *pipelines;
};

/* --- Writing -------------------------------------------------------------------------------------
 *
 * What each pipeline has is written between the two, below the folder (copy.h). */

/* Make the folder. SABOT_ERR_EXISTS: there is something of this name. */
SABOT_MUST_CHECK sabot_status sb_savepoint_begin(const struct sb_env *env,
                                                 const char *path,
                                                 sabot_error *error);

/* All pipelines are written: it exists from now on. */
SABOT_MUST_CHECK sabot_status sb_savepoint_seal(const struct sb_savepoint *savepoint,
                                                sabot_error *error);

/* --- Reading -------------------------------------------------------------------------------------
 */

/* SABOT_ERR_NOT_FOUND: there is no savepoint; SABOT_ERR_CORRUPT: its head is damaged. Close it in
 * any case. */
SABOT_MUST_CHECK sabot_status sb_savepoint_open(struct sb_savepoint *savepoint,
                                                const struct sb_env *env,
                                                const char *path,
                                                sabot_error *error);
void sb_savepoint_close(struct sb_savepoint *savepoint);

/* The head's text, which is not trusted; errors name `path`. `savepoint` has an arena. */
SABOT_MUST_CHECK sabot_status sb_savepoint_parse(struct sb_savepoint *savepoint,
                                                 const char *text,
                                                 size_t size,
                                                 const char *path,
                                                 sabot_error *error);

/* NULL: it has none of this name. */
const struct sb_savepoint_pipeline *sb_savepoint_find(const struct sb_savepoint *savepoint,
                                                      const char *pipeline);

/* The folder of a pipeline; texts are the savepoint's. */
SABOT_MUST_CHECK sabot_status sb_savepoint_folder(struct sb_savepoint *savepoint,
                                                  const struct sb_savepoint_pipeline *pipeline,
                                                  struct sb_ckpt_folder *folder,
                                                  sabot_error *error);

/* Read and check the manifest, which was initialised, and every byte of what it names. */
SABOT_MUST_CHECK sabot_status sb_savepoint_read(struct sb_savepoint *savepoint,
                                                const struct sb_savepoint_pipeline *pipeline,
                                                struct sb_manifest *manifest,
                                                sabot_error *error);

/* Remove it: its head first. Files that are not its own stay, and are named. */
SABOT_MUST_CHECK sabot_status sb_savepoint_remove(struct sb_savepoint *savepoint,
                                                  sabot_error *error);

#endif
