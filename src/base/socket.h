/* SPDX-License-Identifier: Apache-2.0 */
/* socket.h - connections between processes of one machine, as a part of the port layer.
 *
 * A socket has a path, and only the user who made it (and root) may connect. Nothing blocks but
 * poll(), which is for a thread that does nothing else: what waits for others there is rung by a
 * bell, a socket that nobody connects to. An environment without sockets (a simulator) has
 * sb_env_type.sockets == NULL.
 *
 * Ownership: whoever gets a socket closes it. Threads: a socket belongs to one, but ring() is for
 * any. */
#ifndef SB_BASE_SOCKET_H
#define SB_BASE_SOCKET_H

#include "base/env.h"

enum {
    SB_SOCKET_PATH_MAX = 107, /* bytes: more than so many the system does not take */
};

struct sb_socket;

/* One socket that poll() looks at. */
struct sb_socket_wait {
    struct sb_socket *socket;
    bool for_sending; /* wait until it takes bytes, not until it has some */
    bool is_ready;    /* out; also when the other side has gone */
};

struct sb_socket_type {
    /* Make the path, mode 0600, and listen. SABOT_ERR_EXISTS: there is something; SABOT_ERR_LIMIT:
     * the path is too long. The path stays when the socket is closed. */
    sabot_status (*listen)(void *self,
                           const char *path,
                           struct sb_socket **socket_out,
                           sabot_error *error);
    /* SABOT_ERR_NOT_FOUND: no such path. SABOT_ERR_CLOSED: nobody listens there any more.
     * SABOT_AGAIN: somebody does, and too many wait already. */
    sabot_status (*connect)(void *self,
                            const char *path,
                            struct sb_socket **socket_out,
                            sabot_error *error);
    /* SABOT_AGAIN: nobody waits. Who is not this user is turned away unseen. */
    sabot_status (*accept)(void *self,
                           struct sb_socket *listener,
                           struct sb_socket **socket_out,
                           sabot_error *error);
    /* SABOT_AGAIN: not now. *size_out == 0: the other side has said all. SABOT_ERR_CLOSED: gone. */
    sabot_status (*receive)(struct sb_socket *socket,
                            void *buffer,
                            size_t size,
                            size_t *size_out,
                            sabot_error *error);
    /* Some of the bytes. SABOT_AGAIN: none now. SABOT_ERR_CLOSED: the other side has gone. */
    sabot_status (*send)(struct sb_socket *socket,
                         const void *bytes,
                         size_t size,
                         size_t *size_out,
                         sabot_error *error);
    /* A socket that ring() makes ready, once for any number of calls. poll() takes the ring. */
    sabot_status (*bell_create)(void *self, struct sb_socket **socket_out, sabot_error *error);
    void (*ring)(struct sb_socket *bell);
    /* Wait until one is ready, or `deadline_us`. */
    void (*poll)(void *self, struct sb_socket_wait *waits, size_t count, int64_t deadline_us);
    void (*close)(void *self, struct sb_socket *socket);
    /* A folder for what must not outlive the machine's run, with a short path. */
    void (*runtime_folder)(void *self, char *path, size_t size);
};

#endif
