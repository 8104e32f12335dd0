/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - asking a worker that runs: the control socket of its state directory.
 *
 * A worker with a state directory listens there, for its own user only. One request gets one
 * answer, a JSON object; `sabot savepoint`, `checkpoint create` and `state` use nothing else:
 *
 *     const char *arguments[] = {"agent=score"};
 *     sabot_answer *answer;
 *     status = sabot_control_ask("/var/lib/fraud", "fraud", "stats", arguments, 1, 5000, &answer,
 *                                &error);
 *     puts(sabot_answer_json(answer));
 *     sabot_answer_destroy(answer);
 *
 * docs/inspect.md lists the requests. Threads: any; a call blocks until the answer is there. */
#ifndef SABOT_CONTROL_H
#define SABOT_CONTROL_H

#include <sabot/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_answer sabot_answer;

/* Ask the worker of `app` (NULL: there is one app below the state directory). `arguments` are
 * "NAME=VALUE" without tabs or line ends. `timeout_ms` -1: as long as it takes.
 * SABOT_ERR_NOT_FOUND   no worker runs there
 * SABOT_ERR_CLOSED      it ended before it answered
 * SABOT_ERR_TIMEOUT     no answer within `timeout_ms`
 * else                  what the worker answered, with its text */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_control_ask(const char *state_dir,
                                                          const char *app,
                                                          const char *request,
                                                          const char *const *arguments,
                                                          size_t argument_count,
                                                          int64_t timeout_ms,
                                                          sabot_answer **answer_out,
                                                          sabot_error *error);
SABOT_API void sabot_answer_destroy(sabot_answer *answer);

/* The whole answer, {"ok":true,...}, in one line without its end. */
SABOT_API const char *sabot_answer_json(const sabot_answer *answer);

/* A member of the answer: a text without its quotes and escapes, anything else as it is in JSON.
 * NULL: it has none of this name. Valid until the next call. */
SABOT_API const char *sabot_answer_get(sabot_answer *answer, const char *name);

#ifdef __cplusplus
}
#endif
#endif
