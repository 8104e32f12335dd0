/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - what a run answers on its control socket: the table of its verbs.
 *
 * A verb lives in the file of its part and has a row in control.c. It is called in the run's thread
 * between two steps, with the run as its context, and may look at whatever the run may look at;
 * what takes longer it begins, and says SABOT_AGAIN until it is done.
 *
 * Threads: the run's control. */
#ifndef SB_API_CONTROL_H
#define SB_API_CONTROL_H

#include "api/run.h"

/* With a state directory and threads: let commands reach this run. One that can't be reached runs
 * all the same, and says so. */
void sb_run_listen(sabot_run *run);

#endif
