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

/* With a state directory and threads: let commands reach this run, which are told what it is at
 * until it serves them. One that can't be reached runs all the same, and says so. Called again:
 * nothing. */
void sb_run_listen(sabot_run *run);
/* It runs: what comes from now on is for its verbs. */
void sb_run_serve(sabot_run *run);

/* What a savepoint in the making holds, when no coordinator works on it any more. NULL: nothing. */
void sb_saving_destroy(const struct sb_env *env, struct sb_saving *saving);

/* --- Verbs of other files ------------------------------------------------------------------------
 */

/* "savepoint.create": path=PATH [stop=true] [agent=NAME [key=KEY]]. */
sabot_status sb_serve_savepoint(void *context,
                                struct sb_control_request *request,
                                sabot_error *error);

#endif
