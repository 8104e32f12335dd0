/* SPDX-License-Identifier: Apache-2.0 */
/* folder.h - where the checkpoints of one pipeline lie, and how they get there.
 *
 *     STATE_DIR/APP/PIPELINE/
 *         ckpt-0000000000000042-9f3c6a0d5e1b7284/    id, nonce
 *             chunks                                  blocks of images (state/image.h)
 *             chunks-000000000000003f                 those of an older one that it is based on
 *             state                                   of a savepoint: shards in their logical
 *                                                     form
 *             rows-000012.sst, ...                    a database (rows.h)
 *             manifest                                last: with it the checkpoint exists
 *         owner                                       the process that writes here now
 *
 * A folder's name has a nonce and is never used twice: a frozen process that wakes up writes into
 * its own. Order of writing (each step a crash point of the tests):
 *
 *     folder -> chunks or state -> links -> fsync of the former -> rows, fsync
 *            -> manifest.tmp, fsync -> fsync of the folder -> rename to manifest
 *            -> fsync of the folder -> fsync of the folder above
 *
 * The files of an older checkpoint are linked, not copied, so that each folder is whole in itself:
 * a file is gone when the last folder that names it is, whichever is removed first, and by whom.
 *
 * Before the rename there is no checkpoint, after the last step it survives a loss of power.
 *
 * Ownership: the handle holds its paths. Threads: the caller's; calls wait for the disk. */
#ifndef SB_CKPT_FOLDER_H
#define SB_CKPT_FOLDER_H

#include "base/hash.h"
#include "ckpt/manifest.h"

enum {
    SB_CKPT_PATH_MAX = 4096,
    SB_CKPT_LISTED_MAX = 4096,
    SB_CKPT_NAME_MAX = 40, /* bytes of a file's name, with the NUL */
};

struct sb_ckpt_known; /* rows.h */

struct sb_ckpt_folder {
    const struct sb_env *env;
    const char *app;
    const char *pipeline;
    char *path; /* STATE_DIR/APP/PIPELINE */
};

/* A checkpoint that is there, by its name; whether it is whole is not known yet. */
struct sb_ckpt_entry {
    int64_t id;
    uint64_t nonce;
};

static inline struct sb_ckpt_entry sb_ckpt_entry_of(const struct sb_manifest *manifest)
{
    return (struct sb_ckpt_entry){.id = manifest->id, .nonce = manifest->nonce};
}

/* Make the folders that are missing. Texts are borrowed. */
SABOT_MUST_CHECK sabot_status sb_ckpt_folder_open(struct sb_ckpt_folder *folder,
                                                  const struct sb_env *env,
                                                  const char *state_dir,
                                                  const char *app,
                                                  const char *pipeline,
                                                  sabot_error *error);
void sb_ckpt_folder_close(struct sb_ckpt_folder *folder);

/* Rename what is here to PIPELINE.reset-<time>, and make an empty folder in its place.
 * SABOT_ERR_FENCED: another process has made one before, and has begun in it. */
SABOT_MUST_CHECK sabot_status sb_ckpt_move_aside(const struct sb_ckpt_folder *folder,
                                                 sabot_error *error);

/* From now on the checkpoints here are written by the process that drew `owner`; who had them
 * before finds out by the second, before it writes or removes: SABOT_ERR_FENCED. */
SABOT_MUST_CHECK sabot_status sb_ckpt_take_owner(const struct sb_ckpt_folder *folder,
                                                 uint64_t owner,
                                                 sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_ckpt_check_owner(const struct sb_ckpt_folder *folder,
                                                  uint64_t owner,
                                                  sabot_error *error);

/* Writing one, piece by piece: begin; append blocks; finish, or abandon. */
struct sb_ckpt_writer {
    const struct sb_ckpt_folder *folder; /* NULL: nothing is being written */
    struct sb_ckpt_entry entry;
    struct sb_file *blocks; /* NULL: none has come yet */
    uint64_t blocks_size;
    struct sb_hasher hasher; /* of them */
    /* Set between begin and finish, the first before any block: */
    enum sb_manifest_file_kind kind; /* blocks are the file `chunks`; else `state` */
    const char *staged; /* a folder with the files of a database; NULL: there is none */
    const struct sb_ckpt_known *known; /* of these, what an older checkpoint has */
    uint64_t rows_size;                /* bytes of those that none has */
};

/* A file of an older checkpoint that a new one names. */
struct sb_ckpt_link {
    struct sb_ckpt_entry entry;  /* whose folder it is in */
    char name[SB_CKPT_NAME_MAX]; /* there */
    uint64_t size;
    uint64_t checksum;
};

SABOT_MUST_CHECK sabot_status sb_ckpt_begin(struct sb_ckpt_writer *writer,
                                            const struct sb_ckpt_folder *folder,
                                            const struct sb_ckpt_entry *entry,
                                            sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_ckpt_append(struct sb_ckpt_writer *writer,
                                             const void *block,
                                             size_t size,
                                             sabot_error *error);
/* Make it durable: the blocks behind those of `links`, which are chunks of older checkpoints, the
 * oldest first; and the manifest, whose files are filled in here: the state or chunks in order,
 * then rows. The writer is free then, also after an error; then what was written
 * is removed, as far as that works, and nothing of it counts. */
SABOT_MUST_CHECK sabot_status sb_ckpt_finish(struct sb_ckpt_writer *writer,
                                             struct sb_manifest *manifest,
                                             const struct sb_ckpt_link *links,
                                             size_t link_count,
                                             sabot_error *error);
/* Nothing of it counts; NULL folder: nothing. */
void sb_ckpt_abandon(struct sb_ckpt_writer *writer);

/* All of it at once: of a pipeline without state. */
SABOT_MUST_CHECK sabot_status sb_ckpt_write(const struct sb_ckpt_folder *folder,
                                            struct sb_manifest *manifest,
                                            sabot_error *error);

/* The same, from a checkpoint that is there: its files are copied, and checked on the way. All else
 * is as `manifest` says, whose files are those of `from`. */
SABOT_MUST_CHECK sabot_status sb_ckpt_copy(const struct sb_ckpt_folder *folder,
                                           struct sb_manifest *manifest,
                                           const struct sb_ckpt_folder *from,
                                           const struct sb_manifest *from_manifest,
                                           sabot_error *error);

/* What is there, newest first (id, then nonce). At most SB_CKPT_LISTED_MAX; the array is freed by
 * the caller with sb_free_array(env, entries, SB_CKPT_LISTED_MAX, sizeof *entries). */
SABOT_MUST_CHECK sabot_status sb_ckpt_list(const struct sb_ckpt_folder *folder,
                                           struct sb_ckpt_entry **entries_out,
                                           uint32_t *count_out,
                                           sabot_error *error);

/* Say, once and for good, that a checkpoint of this folder was committed by a transaction; and was
 * that ever said? Without committed offsets that tells "they are gone" from "there never were any".
 */
SABOT_MUST_CHECK sabot_status sb_ckpt_note_commit(const struct sb_ckpt_folder *folder,
                                                  sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_ckpt_had_commit(const struct sb_ckpt_folder *folder,
                                                 bool *had_out,
                                                 sabot_error *error);

/* The path of a file of a checkpoint; NULL: of its folder. */
void sb_ckpt_path(const struct sb_ckpt_folder *folder,
                  const struct sb_ckpt_entry *entry,
                  const char *file,
                  char path[SB_CKPT_PATH_MAX]);

/* Has it a manifest? Else it was never a checkpoint, or is none any more. */
bool sb_ckpt_exists(const struct sb_ckpt_folder *folder, const struct sb_ckpt_entry *entry);

/* Read and check a manifest; `manifest` was initialised. SABOT_ERR_NOT_FOUND: there is none;
 * SABOT_ERR_CORRUPT names the file: damaged, or of another app, pipeline, id or nonce. */
SABOT_MUST_CHECK sabot_status sb_ckpt_read(const struct sb_ckpt_folder *folder,
                                           const struct sb_ckpt_entry *entry,
                                           struct sb_manifest *manifest,
                                           sabot_error *error);

/* Check size and checksum of every file that the manifest names. */
SABOT_MUST_CHECK sabot_status sb_ckpt_verify(const struct sb_ckpt_folder *folder,
                                             const struct sb_manifest *manifest,
                                             sabot_error *error);

/* Open a file of a checkpoint for reading. */
SABOT_MUST_CHECK sabot_status sb_ckpt_open_file(const struct sb_ckpt_folder *folder,
                                                const struct sb_manifest *manifest,
                                                uint32_t file,
                                                struct sb_file **file_out,
                                                sabot_error *error);

/* Make the names of a checkpoint outlive a loss of power: the last step of writing one; and the
 * first of going on from one that counts by being there, for who renamed its manifest may have died
 * then. */
SABOT_MUST_CHECK sabot_status sb_ckpt_keep(const struct sb_ckpt_folder *folder,
                                           const struct sb_ckpt_entry *entry,
                                           sabot_error *error);

/* Remove a checkpoint: its manifest first, so that half of one is none. */
SABOT_MUST_CHECK sabot_status sb_ckpt_remove(const struct sb_ckpt_folder *folder,
                                             const struct sb_ckpt_entry *entry,
                                             sabot_error *error);

#endif
