/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - how long commits took, kept for the next incarnation.
 *
 *     STATE_DIR/APP/PIPELINE/commit.ms     a number: the slowest commit of the last run, in ms
 *
 * The timeout of transactions is fixed when their producer is made. One that was too short would be
 * too short again after every restart; so what a commit has taken, also one that was lost for it,
 * is added to the next one's. The file is a hint: it may be missing or damaged, and is not there at
 * all while commits are fast.
 *
 * Thread: the caller's; calls wait for the disk. */
#ifndef SB_CKPT_PACE_H
#define SB_CKPT_PACE_H

#include "ckpt/folder.h"

enum {
    SB_PACE_FAST_MS = 1000, /* what is faster is not worth a file */
    SB_PACE_MAX_MS = 5 * 60 * 1000,
};

/* 0: they were fast, or nothing is known. */
int64_t sb_pace_read_ms(const struct sb_ckpt_folder *folder);
void sb_pace_note_ms(const struct sb_ckpt_folder *folder, int64_t slowest_ms);

#endif
