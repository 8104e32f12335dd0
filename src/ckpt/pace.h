/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - when the next checkpoint begins; and how long commits took, kept for the next
 * incarnation.
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
    SB_PACE_SHARE = 10, /* writing takes at most one part of so many */
};

/* Not before: the interval after the last one began; and while the pipeline catches up, so long
 * after its end that writing, which took `busy_us`, is at most a tenth. */
int64_t sb_pace_next_us(int64_t begun_us, int64_t now_us, int64_t interval_us, int64_t busy_us);

/* 0: they were fast, or nothing is known. */
int64_t sb_pace_read_ms(const struct sb_ckpt_folder *folder);
void sb_pace_note_ms(const struct sb_ckpt_folder *folder, int64_t slowest_ms);

#endif
