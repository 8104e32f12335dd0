/* SPDX-License-Identifier: Apache-2.0 */
/* control_server.h - how commands reach a worker that runs: requests come in over a socket of the
 * state directory, and the run answers them between two of its steps.
 *
 *     client --line--> READING --whole--> ASKED --the run's step--> ANSWERED --sent--> FREE
 *                      \__ this thread ___/ \__ the run's thread __/ \__ this thread __/
 *
 * A request is one line, VERB and NAME=VALUE behind it, between tabs; the answer is one JSON object
 * and a newline. What a verb does is the run's business (a table of struct sb_control_verb), in its
 * thread: so a verb may look at all that the run may look at, and nothing it does needs a lock.
 *
 *     STATE_DIR/APP/control-<nonce>.sock     the socket of one worker; mode 0600
 *     STATE_DIR/APP/control                  the name of the newest, or its path
 *
 * Names are never shared: a twin has its own socket, and only the file that names it changes hands.
 * Where the path would be too long for a socket, it lies in the runtime folder. What a dead worker
 * has left is removed by the next.
 *
 * Until the run serves, since it is restored, the thread says itself what it is at.
 *
 * A client can't hurt the run: at most SB_CONTROL_CLIENTS_MAX are listened to, each with one
 * request of SB_CONTROL_REQUEST_MAX bytes; who takes longer than SB_CONTROL_PATIENCE_MS to ask, or
 * to take the answer, is let go.
 *
 * Threads: a client belongs to one of the two, by its state. open, begin, serve, stop and close are
 * the run's. */
#ifndef SB_RUN_CONTROL_SERVER_H
#define SB_RUN_CONTROL_SERVER_H

#include <stdatomic.h>

#include "base/mem.h"
#include "base/socket.h"

enum {
    SB_CONTROL_CLIENTS_MAX = 8,
    SB_CONTROL_REQUEST_MAX = 8 * 1024,
    SB_CONTROL_ARGUMENTS_MAX = 8,
    SB_CONTROL_ANSWER_MAX = 4 * 1024 * 1024,
    SB_CONTROL_PATIENCE_MS = 10 * 1000,
    SB_CONTROL_MEMO_MAX = 160, /* a number for each pipeline, and some more */
};

/* What a verb gets, and where it answers. */
struct sb_control_request {
    const char *verb;
    const char *arguments[SB_CONTROL_ARGUMENTS_MAX]; /* "NAME=VALUE" */
    uint32_t argument_count;
    uint64_t memo[SB_CONTROL_MEMO_MAX]; /* the verb's own between two calls; zeros at first */
    struct sb_buffer answer;            /* members of the JSON object: "id":7,"path":"..." */
};

/* The value of an argument; NULL: not given. */
const char *sb_control_argument(const struct sb_control_request *request, const char *name);

struct sb_control_verb {
    const char *name; /* "checkpoint.now" */
    /* SABOT_OK: answered. SABOT_AGAIN: under way, call again with the run's next step. Else the
     * answer is this error. */
    sabot_status (*serve)(void *context, struct sb_control_request *request, sabot_error *error);
};

struct sb_control_server;

struct sb_control_config {
    const struct sb_env *env; /* with sockets */
    const char *state_dir;    /* its folder of the app is there */
    const char *app;
    const struct sb_control_verb *verbs;
    size_t verb_count;
    void *context; /* of the verbs */
    /* What the run does before it serves, for who asks so soon; on the server's thread. NULL: it
     * serves from the first. */
    void (*starting)(void *context, char *text, size_t size);
    struct sb_waker *waker; /* of who calls serve() */
};

SABOT_MUST_CHECK sabot_status sb_control_server_open(const struct sb_control_config *config,
                                                     struct sb_control_server **server_out,
                                                     sabot_error *error);

/* From now on the run serves, and the state directory names it, whoever it has named before: a
 * worker that ends before it comes so far leaves that to another that runs. NULL: nothing. */
SABOT_MUST_CHECK sabot_status sb_control_server_begin(struct sb_control_server *server,
                                                      sabot_error *error);

/* Call the verbs of all requests that wait. True: one was new, whatever it has begun should get its
 * turn at once. NULL: nothing. */
bool sb_control_server_serve(struct sb_control_server *server);

/* The run has ended: nothing new is taken, what waits is answered so. The rest is done by the
 * server's thread. */
void sb_control_server_stop(struct sb_control_server *server);

/* Let answers out, for a short while, and free it. NULL: nothing. */
void sb_control_server_close(struct sb_control_server *server);

/* --- Both sides ----------------------------------------------------------------------------------
 */

/* Append a text in quotes. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_control_quote(struct sb_buffer *out, const char *text);

/* The path of the socket of the worker that serves an app. SABOT_ERR_NOT_FOUND: none has named one.
 */
SABOT_MUST_CHECK sabot_status sb_control_find(const struct sb_env *env,
                                              const char *state_dir,
                                              const char *app,
                                              char *path,
                                              size_t path_size,
                                              sabot_error *error);

#endif
