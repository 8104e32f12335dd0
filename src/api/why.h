/* SPDX-License-Identifier: Apache-2.0 */
/* why.h - what event time waits for, asked of a run: the verb `why` of its control socket.
 * Threads: the run's control. */
#ifndef SB_API_WHY_H
#define SB_API_WHY_H

#include "run/control_server.h"

/* Arguments: of=watermark|window, step=NAME (all of them without it). Answers with "text", for
 * people, and "steps", each with its inputs. */
SABOT_MUST_CHECK sabot_status sb_why_serve(void *context,
                                           struct sb_control_request *request,
                                           sabot_error *error);

#endif
