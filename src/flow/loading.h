/* SPDX-License-Identifier: Apache-2.0 */
/* loading.h - tables are loaded before streams are read.
 *
 *   source that feeds a table --rows, LOADED--> ... --> task that is a table --> control: one less
 *   other sources of the pipeline: wait until control says that no table is loading
 *
 * A partition is loaded when its reader has come to where the partition ended at the start of the
 * run; where nobody can know its end (an app's own source), when it has ended or is idle. The mark
 * LOADED goes with the rows, through agents that write the table's channel, so that a table has all
 * of them when it says so. It is on its way once in a run, also after a restore: then it is short.
 *
 * Barriers pass meanwhile; a checkpoint taken while tables load has part of them, and streams at
 * their start. */
#ifndef SB_FLOW_LOADING_H
#define SB_FLOW_LOADING_H

#include "flow/graph.h"

enum { SB_LOADING_POLL_US = 10000 /* until the end of a partition is known */ };

/* Of one partition. */
struct sb_loading {
    bool known;
    int64_t end; /* offset behind the last record to load */
};

/* Has all been read that was there at the start? `is_over`: it has ended, or is idle. */
bool sb_loading_done(struct sb_loading *loading,
                     const struct sb_port *port,
                     const struct sb_reader *reader,
                     uint32_t index,
                     bool is_over);

#endif
