/* SPDX-License-Identifier: Apache-2.0 */
/* chain.h - the images of checkpoints: written block by block, each based on the one before; and
 * the database beside them.
 *
 *     full -- changes -- changes -- ... -- changes            one file of chunks for each
 *
 * A checkpoint has the files of the whole chain behind it, by links (folder.h). A chain ends, and
 * the next image is a full one, when it has so many files as the option says, or when the changes
 * together are as large as the full image: so a restore reads at most twice the state, and what is
 * written twice is at most as much as what had to be written.
 *
 *     begin --> write, write, ... (blocks, as tasks make them) --> finish: the new end of the chain
 *                                   (stage: of a database)     \-> give_up: the chain is as it was
 *
 * A database is staged when all tasks have reported, and only then may newer rows be written into
 * it: the rule that makes the rows of all tasks, on all threads, those of one barrier.
 *
 * Only what is durable is a base: after a failure the next image has what changed since the last
 * one that came about (store.h keeps the epochs). After a restart the first image is a full one.
 *
 * Thread: the coordinator's; calls wait for the disk. */
#ifndef SB_CKPT_CHAIN_H
#define SB_CKPT_CHAIN_H

#include "ckpt/rows.h"
#include "flow/flow.h"

enum { SB_CHAIN_MAX = 64, SB_CHAIN_BLOCKS = 16 /* written at a step */ };

struct sb_chain {
    const struct sb_env *env;
    const struct sb_ckpt_folder *folder;
    struct sb_flow *flow;
    uint64_t owner;
    uint32_t files_max;                 /* of a chain */
    const struct sb_database *database; /* NULL: no task has rows */
    /* The last durable one: */
    int64_t base; /* its id; 0: there is none to go on from */
    struct sb_ckpt_link links[SB_CHAIN_MAX];
    uint32_t link_count;
    struct sb_ckpt_known known; /* files of the database */
    /* The one in the making: */
    struct sb_ckpt_entry entry;
    bool full;
    const char *staged; /* files of the database as it is in this one; NULL: not yet */
    struct sb_ckpt_writer writer;
    int64_t write_us;    /* how long writing has taken */
    uint64_t bytes;      /* written, when it is finished */
    sabot_error failure; /* of the first block that could not be written: the rest is dropped */
};

void sb_chain_init(struct sb_chain *chain,
                   struct sb_flow *flow,
                   const struct sb_ckpt_folder *folder,
                   uint64_t owner,
                   uint32_t files_max,
                   const struct sb_database *database);
/* What is being written is given up. */
void sb_chain_reset(struct sb_chain *chain);

/* The checkpoint that the images of the next one are to be based on; 0: all of it is written. A
 * chain with nothing in it, since no task has images, goes on for ever. */
int64_t sb_chain_base(const struct sb_chain *chain);

/* A checkpoint of this id, in a folder of its own, based on sb_chain_base(). */
void sb_chain_begin(struct sb_chain *chain, int64_t id);
/* Write the blocks that are there, up to a bound. False: there was none. After a failure, which
 * sticks until begin(), blocks are taken and dropped. SABOT_ERR_FENCED in it: somebody else has
 * taken over. */
bool sb_chain_write(struct sb_chain *chain);
/* The pipeline goes on with the files of this checkpoint's database. */
void sb_chain_adopt(struct sb_chain *chain, const struct sb_manifest *manifest);

/* All tasks have reported: take hold of the database as it is now. */
SABOT_MUST_CHECK sabot_status sb_chain_stage(struct sb_chain *chain, sabot_error *error);
/* Make the checkpoint durable (sb_ckpt_finish()). */
SABOT_MUST_CHECK sabot_status sb_chain_finish(struct sb_chain *chain,
                                              struct sb_manifest *manifest,
                                              sabot_error *error);
void sb_chain_give_up(struct sb_chain *chain);

#endif
