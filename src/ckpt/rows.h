/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - the files of a database (state/rows.h) in checkpoints.
 *
 *     the database --stage--> its folder of links
 *                                 --take--> rows-000012.sst, rows-MANIFEST-000005, ...
 *                                           in the folder of the checkpoint
 *                                               --put--> a folder to open a database in
 *
 * Files whose names end in .sst are written once and never change: they are linked, and hashed when
 * they are new. One that the last checkpoint has already is linked from there, with the checksum
 * that is known of it: the names of a database are never used twice. Where links are impossible,
 * on another file system, a new file is copied. All others are small, and copied.
 *
 * Thread: the run's control, or an inspection's; calls wait for the disk. */
#ifndef SB_CKPT_ROWS_H
#define SB_CKPT_ROWS_H

#include "ckpt/folder.h"
#include "state/store.h"

enum { SB_CKPT_ROWS_MAX = 65536 /* files of a database */ };
#define SB_CKPT_ROWS_PREFIX "rows-" /* of their names in a checkpoint */

/* Files that the last checkpoint has. */
struct sb_ckpt_known {
    const struct sb_env *env;
    struct sb_ckpt_link *files;
    uint32_t count;
};

void sb_ckpt_known_reset(struct sb_ckpt_known *known);
/* Those of this checkpoint. Without memory: none, and all are hashed again. */
void sb_ckpt_known_set(struct sb_ckpt_known *known, const struct sb_manifest *manifest);

/* Has the checkpoint a database? */
bool sb_ckpt_has_rows(const struct sb_manifest *manifest);

/* How many files lie in a folder. */
SABOT_MUST_CHECK sabot_status sb_ckpt_count_staged(const struct sb_env *env,
                                                   const char *staged,
                                                   uint32_t *count_out,
                                                   sabot_error *error);
/* Take the files of writer->staged, durably, and name them in the manifest, which has room. */
SABOT_MUST_CHECK sabot_status sb_ckpt_take_rows(struct sb_ckpt_writer *writer,
                                                struct sb_manifest *manifest,
                                                uint32_t room,
                                                sabot_error *error);
/* Put them into `to`, an empty folder, as the database has named them. */
SABOT_MUST_CHECK sabot_status sb_ckpt_put_rows(const struct sb_ckpt_folder *folder,
                                               const struct sb_manifest *manifest,
                                               const char *to,
                                               sabot_error *error);

/* --- Reading the rows of a checkpoint, of which nothing is changed -------------------------------
 */

/* Links to them in a folder of its own, beside the checkpoint, which is removed at the end. */
struct sb_ckpt_reading {
    const struct sb_env *env;
    const struct sb_rows_reader *reader;
    struct sb_rows *rows; /* NULL: the checkpoint has none */
    char folder[SB_CKPT_PATH_MAX];
};

/* End it in any case. SABOT_ERR_UNSUPPORTED: this Sabot can't read them. */
SABOT_MUST_CHECK sabot_status sb_ckpt_read_rows(struct sb_ckpt_reading *reading,
                                                const struct sb_ckpt_folder *folder,
                                                const struct sb_manifest *manifest,
                                                const struct sb_rows_reader *reader,
                                                sabot_error *error);
void sb_ckpt_end_reading(struct sb_ckpt_reading *reading);

/* One shard of an image in its logical form, as a file that is read from the front: with rows it
 * may be larger than memory. */
struct sb_ckpt_shard {
    const struct sb_env *env;
    struct sb_file *file;
    uint64_t at;
    char path[SB_CKPT_PATH_MAX];
};
SABOT_MUST_CHECK sabot_status sb_ckpt_shard_open(struct sb_ckpt_shard *shard,
                                                 const struct sb_ckpt_reading *reading,
                                                 struct sb_image *image,
                                                 uint32_t number,
                                                 struct sb_byte_source *source_out,
                                                 sabot_error *error);
void sb_ckpt_shard_close(struct sb_ckpt_shard *shard);

/* What readings have left that were killed. */
void sb_ckpt_remove_readings(const struct sb_ckpt_folder *folder);

#endif
