/* SPDX-License-Identifier: Apache-2.0 */
/* os_socket.c - Unix domain sockets: base/socket.h on Linux.
 *
 * All descriptors are non-blocking and are not inherited. A path gets its mode from the socket
 * before it is bound to it, so there is no moment at which others could connect; and whoever
 * connects is asked for the user it runs as.
 *
 * Threads: a socket belongs to one, ring() is for any. Memory: a struct for each. */
#include "base/socket.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"

enum { BACKLOG = 16, POLLED_MAX = 64 };

struct sb_socket {
    int fd;
    bool is_bell;
};

_Static_assert(SB_SOCKET_PATH_MAX + 1 == sizeof((struct sockaddr_un){.sun_family = 0}.sun_path),
               "a path with its NUL fills sun_path");

static sabot_status raise_code(sabot_error *error, int code, const char *path, const char *what)
{
    char reason[128];
    sabot_status status = SABOT_ERR_IO;

    if (code == ENOENT)
        status = SABOT_ERR_NOT_FOUND;
    else if (code == EADDRINUSE)
        status = SABOT_ERR_EXISTS;
    else if (code == ECONNREFUSED || code == EPIPE || code == ECONNRESET)
        status = SABOT_ERR_CLOSED;
    return sabot_raise(error, status, "%s: cannot %s: %s", path, what,
                       strerror_r(code, reason, sizeof reason));
}

static sabot_status make(void *self, int fd, struct sb_socket **socket_out, sabot_error *error)
{
    const struct sb_os *os = self;
    struct sb_socket *made;

    *socket_out = NULL;
    if (fd < 0)
        return raise_code(error, errno, "control socket", "make one");
    made = sb_alloc(&os->env, sizeof *made);
    if (made == NULL) {
        (void)close(fd);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a socket");
    }
    made->fd = fd;
    *socket_out = made;
    return SABOT_OK;
}

static void os_close(void *self, struct sb_socket *closed)
{
    const struct sb_os *os = self;

    if (closed == NULL)
        return;
    (void)close(closed->fd);
    sb_free(&os->env, closed, sizeof *closed);
}

static sabot_status make_stream(void *self,
                                const char *path,
                                struct sockaddr_un *address,
                                struct sb_socket **socket_out,
                                sabot_error *error)
{
    *socket_out = NULL;
    if (strlen(path) > SB_SOCKET_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: the path of a socket has at most %d bytes, this one has %zu", path,
                           SB_SOCKET_PATH_MAX, strlen(path));
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, strlen(path));
    return make(self, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), socket_out,
                error);
}

/* --- Listening and connecting ----------------------------------------------------------------- */

static sabot_status os_listen(void *self,
                              const char *path,
                              struct sb_socket **socket_out,
                              sabot_error *error)
{
    struct sockaddr_un address;
    struct sb_socket *made;
    sabot_status status;

    SABOT_TRY(make_stream(self, path, &address, &made, error));
    SB_ASSERT(made != NULL);
    /* On Linux the path gets the mode that the socket has when it is bound. */
    if (fchmod(made->fd, S_IRUSR | S_IWUSR) != 0 ||
        bind(made->fd, (struct sockaddr *)&address, sizeof address) != 0)
        status = raise_code(error, errno, path, "listen there");
    else if (listen(made->fd, BACKLOG) != 0) {
        status = raise_code(error, errno, path, "listen there");
        (void)unlink(path);
    } else {
        *socket_out = made;
        return SABOT_OK;
    }
    os_close(self, made);
    *socket_out = NULL;
    return status;
}

static sabot_status os_connect(void *self,
                               const char *path,
                               struct sb_socket **socket_out,
                               sabot_error *error)
{
    struct sockaddr_un address;
    struct sb_socket *made;
    int code;

    SABOT_TRY(make_stream(self, path, &address, &made, error));
    SB_ASSERT(made != NULL);
    if (connect(made->fd, (struct sockaddr *)&address, sizeof address) == 0) {
        *socket_out = made;
        return SABOT_OK;
    }
    code = errno;
    os_close(self, made);
    *socket_out = NULL;
    return code == EAGAIN ? SABOT_AGAIN : raise_code(error, code, path, "connect");
}

/* Is the other side this user, or root? */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static sabot_status os_accept(void *self,
                              struct sb_socket *listener,
                              struct sb_socket **socket_out,
                              sabot_error *error)
{
    *socket_out = NULL;
    for (;;) {
        const int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return SABOT_AGAIN;
        if (fd >= 0 && is_trusted(fd))
            return make(self, fd, socket_out, error);
        if (fd < 0)
            return raise_code(error, errno, "control socket", "accept a connection");
        (void)close(fd);
    }
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static sabot_status os_receive(struct sb_socket *from,
                               void *buffer,
                               size_t size,
                               size_t *size_out,
                               sabot_error *error)
{
    ssize_t got;

    *size_out = 0;
    do
        got = recv(from->fd, buffer, size, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return SABOT_AGAIN;
    if (got < 0)
        return raise_code(error, errno, "control socket", "receive");
    *size_out = (size_t)got;
    return SABOT_OK;
}

static sabot_status os_send(struct sb_socket *to,
                            const void *bytes,
                            size_t size,
                            size_t *size_out,
                            sabot_error *error)
{
    ssize_t sent;

    *size_out = 0;
    do
        sent = send(to->fd, bytes, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        return SABOT_AGAIN;
    if (sent < 0)
        return raise_code(error, errno, "control socket", "send");
    *size_out = (size_t)sent;
    return SABOT_OK;
}

/* --- Bells and waiting ------------------------------------------------------------------------ */

static sabot_status os_bell_create(void *self, struct sb_socket **socket_out, sabot_error *error)
{
    SABOT_TRY(make(self, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), socket_out, error));
    SB_ASSERT(*socket_out != NULL);
    (*socket_out)->is_bell = true;
    return SABOT_OK;
}

static void os_ring(struct sb_socket *bell)
{
    const uint64_t one = 1;
    const ssize_t written = write(bell->fd, &one, sizeof one);

    SB_ASSERT(written == (ssize_t)sizeof one || errno == EAGAIN);
}

static void take_ring(const struct sb_socket *bell)
{
    uint64_t rings;
    const ssize_t got = read(bell->fd, &rings, sizeof rings);

    SB_ASSERT(got == (ssize_t)sizeof rings || errno == EAGAIN);
}

static int timeout_ms(int64_t deadline_us)
{
    int64_t left_us;

    if (deadline_us == INT64_MAX)
        return -1;
    left_us = deadline_us - sb_os_now_us(NULL);
    if (left_us <= 0)
        return 0;
    return left_us > INT64_C(1000) * 3600 * 1000 ? 3600 * 1000 : (int)(left_us / 1000 + 1);
}

static void os_poll(void *self, struct sb_socket_wait *waits, size_t count, int64_t deadline_us)
{
    struct pollfd polled[POLLED_MAX];

    (void)self;
    SB_ASSERT(count <= POLLED_MAX);
    for (size_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = waits[i].socket->fd,
                                    .events = waits[i].for_sending ? POLLOUT : POLLIN};
    const int ready = poll(polled, count, timeout_ms(deadline_us));

    SB_ASSERT(ready >= 0 || errno == EINTR || errno == ENOMEM);
    for (size_t i = 0; i < count; i++) {
        waits[i].is_ready = ready > 0 && polled[i].revents != 0;
        if (waits[i].is_ready && waits[i].socket->is_bell)
            take_ring(waits[i].socket);
    }
}

static void os_runtime_folder(void *self, char *path, size_t size)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");

    (void)self;
    (void)snprintf(path, size, "%s", folder == NULL || *folder != '/' ? "/tmp" : folder);
}

const struct sb_socket_type sb_os_sockets = {
    .listen = os_listen,
    .connect = os_connect,
    .accept = os_accept,
    .receive = os_receive,
    .send = os_send,
    .bell_create = os_bell_create,
    .ring = os_ring,
    .poll = os_poll,
    .close = os_close,
    .runtime_folder = os_runtime_folder,
};
