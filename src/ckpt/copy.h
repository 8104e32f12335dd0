/* SPDX-License-Identifier: Apache-2.0 */
/* copy.h - what a savepoint has of one pipeline: a checkpoint that counts, in its logical form.
 *
 *   checkpoint --every byte is verified--> shard, shard, ... --> file `state` --> manifest
 *                                           image (state/image.h) -> store of its own -> sorted
 * rows
 *
 * A thread of its own does it, while the stream goes on and takes further checkpoints; whoever asks
 * keeps this one from being removed meanwhile (prune.h). Shards are written in the order of their
 * numbers, task by task: what the file holds doesn't depend on the number of workers.
 *
 * Ownership: what the config points to is borrowed until end(). Threads: start, is_done and end are
 * the coordinator's. Memory: one shard of an image, which is counted in the account like the state
 * that it is, its keys while they are sorted, and some bytes for each chunk. */
#ifndef SB_CKPT_COPY_H
#define SB_CKPT_COPY_H

#include "ckpt/folder.h"
#include "state/store.h"

#define SB_COPY_ALL UINT32_MAX

struct sb_copy_config {
    const struct sb_env *env;
    const struct sb_ckpt_folder *from;
    struct sb_ckpt_entry entry;          /* the checkpoint there */
    const struct sb_ckpt_folder *to;     /* below the savepoint's folder */
    const char *only_task;               /* NULL: all of them */
    uint32_t only_shard;                 /* or SB_COPY_ALL */
    struct sb_account *account;          /* NULL: not counted */
    const struct sb_rows_reader *reader; /* of rows that the checkpoint has */
    struct sb_waker *owner;              /* woken when it is done */
};

/* What has become of it. */
struct sb_copy_result {
    sabot_error error;
    struct sb_ckpt_entry entry;
    uint64_t checksum; /* of its manifest */
};

struct sb_copy;

SABOT_MUST_CHECK sabot_status sb_copy_start(const struct sb_copy_config *config,
                                            struct sb_copy **copy_out,
                                            sabot_error *error);
bool sb_copy_is_done(const struct sb_copy *copy);
/* Free it; one that is not done is given up: SABOT_ERR_CLOSED. */
void sb_copy_end(struct sb_copy *copy, struct sb_copy_result *result_out);

#endif
