/* SPDX-License-Identifier: Apache-2.0 */
/* restore.h - from a checkpoint back to a pipeline that goes on where it was taken.
 *
 *   find --> verify every file --> positions, lengths --> (flow is made) --> shards --> go on
 *
 * All bytes are read from the disk once: with `defers` set they are verified by a thread of its own
 * while they are loaded, and the flow, which has not begun, is thrown away when they are damaged.
 * Not so where something is done with them before: an output is cut to what the checkpoint knows of
 * it, a database opens its files, or there is nothing to be loaded. Then all is verified first.
 *
 * Where the manifest is the commit, the newest one that is whole in name is what counts: a folder
 * without a manifest was never a checkpoint, and a manifest that is damaged is refused, never
 * passed over. All of it can be repeated: a restore changes nothing but who owns the folder, and
 * cuts outputs to what the checkpoint knows of them.
 *
 * Thread: the run's control; calls wait for the disk. */
#ifndef SB_CKPT_RESTORE_H
#define SB_CKPT_RESTORE_H

#include <stdatomic.h>

#include "ckpt/chain.h"
#include "ckpt/commit.h"
#include "ckpt/rows.h"
#include "flow/flow.h"

/* How far a restore has come, for whoever looks: written by the restore, read by anybody. */
enum sb_restore_stage {
    SB_RESTORE_NOT_BEGUN,
    SB_RESTORE_FINDING, /* whoever ran before is fenced, and what counts is looked for */
    SB_RESTORE_VERIFYING,
    SB_RESTORE_READING,
    SB_RESTORE_OVER,
};
struct sb_restore_progress {
    _Atomic int stage;
    _Atomic int64_t id;     /* of the checkpoint */
    _Atomic uint64_t total; /* bytes of its files */
    _Atomic uint64_t read;  /* of these, into state */
};

struct sb_restore {
    const struct sb_env *env;
    const struct sb_ckpt_folder *folder;
    struct sb_restore_progress *progress; /* its owner's; NULL: nobody looks */
    struct sb_manifest manifest;
    bool found;      /* else there is none: a start from nothing */
    bool defers;     /* its bytes may be verified while they are loaded, see below */
    bool unverified; /* they are to be */
    bool drops;      /* what it has and the app does not have any more is passed over */
    const struct sb_database *database;  /* of the flow's stores; NULL: they have none */
    const struct sb_rows_reader *reader; /* of the checkpoint's, when it can't be gone on with */
    bool adopted;                        /* the database goes on with the checkpoint's files */
    struct sb_flow_position *positions;
    uint32_t position_count;
    uint32_t position_capacity;
};

void sb_restore_init(struct sb_restore *restore,
                     const struct sb_env *env,
                     const struct sb_ckpt_folder *folder);
void sb_restore_reset(struct sb_restore *restore);

/* "restoring checkpoint 42, 1000 of 2000 bytes". False: nothing is being restored. */
bool sb_restore_describe(const struct sb_restore_progress *progress, char *text, size_t size);

/* Find the checkpoint that counts and check every bit of it, or defer that. SABOT_OK also when
 * there is none. SABOT_ERR_CORRUPT names the file that is damaged, and says which ways there are.
 */
SABOT_MUST_CHECK sabot_status sb_restore_find(struct sb_restore *restore, sabot_error *error);

/* The same where a transaction is the commit: the checkpoint that the committed offsets name, and
 * no other. SABOT_ERR_STATE: it is not there any more; the text has the choices. */
SABOT_MUST_CHECK sabot_status sb_restore_find_named(struct sb_restore *restore,
                                                    const struct sb_commit_mark *mark,
                                                    sabot_error *error);

/* The same where nothing was ever committed: there must be nothing, or only a first checkpoint
 * whose commit did not come about. SABOT_ERR_STATE: there were commits, and their offsets are gone.
 */
SABOT_MUST_CHECK sabot_status sb_restore_find_none(const struct sb_restore *restore,
                                                   sabot_error *error);

/* Remove what is newer than the checkpoint that was found (all, when none was): it was never
 * committed, and whoever wrote it has been fenced. */
void sb_restore_tidy(const struct sb_restore *restore);

/* Does the app still have all agents and channels that it names, with the same keys? Nothing is
 * changed. SABOT_ERR_SCHEMA names those that it has not. */
SABOT_MUST_CHECK sabot_status sb_restore_check(const struct sb_restore *restore,
                                               const struct sb_graph *graph,
                                               sabot_error *error);

/* Match it with the graph: positions by channel, outputs cut. SABOT_ERR_SCHEMA: as above, or a
 * channel has fewer partitions. */
SABOT_MUST_CHECK sabot_status sb_restore_match(struct sb_restore *restore,
                                               const struct sb_graph *graph,
                                               sabot_error *error);

/* Show one shard of each task that the graph has, which has the tables of all: does the app
 * understand it? Before anything is changed for it. */
typedef sabot_status (*sb_restore_reader)(void *context,
                                          const struct sb_node *node,
                                          const struct sb_byte_source *source,
                                          sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_restore_sample(struct sb_restore *restore,
                                                const struct sb_graph *graph,
                                                sb_restore_reader reader,
                                                void *context,
                                                sabot_error *error);

/* Give the shards of all tasks to the flow, before it starts, verified by now or meanwhile, and
 * start its database: with the files of the checkpoint, when all states that have rows in them are
 * the same as then; else with nothing, and what lies in these files is read and written anew, row
 * by row. */
SABOT_MUST_CHECK sabot_status sb_restore_state(struct sb_restore *restore,
                                               struct sb_flow *flow,
                                               sabot_error *error);

/* --- The chunks of a checkpoint
 * -------------------------------------------------------------------
 */

struct sb_chunks_file {
    const struct sb_env *env;
    struct sb_file *file;
    const char *name;
    _Atomic uint64_t *read; /* counts bytes; NULL: nobody looks */
};

/* Its files of chunks, open, as sb_image_open() wants them. It must not be moved. */
struct sb_chunks {
    const struct sb_env *env;
    uint32_t count;
    struct sb_image_file files[SB_CHAIN_MAX];
    struct sb_file *opened[SB_CHAIN_MAX];
    struct sb_chunks_file contexts[SB_CHAIN_MAX];
};

/* The manifest is borrowed. Close in any case. */
SABOT_MUST_CHECK sabot_status sb_chunks_open(struct sb_chunks *chunks,
                                             const struct sb_ckpt_folder *folder,
                                             const struct sb_manifest *manifest,
                                             sabot_error *error);
void sb_chunks_close(struct sb_chunks *chunks);

#endif
