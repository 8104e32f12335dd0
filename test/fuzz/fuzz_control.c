/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_control.c - bytes from anywhere at both ends of the control socket: a worker answers each
 * line it was sent, whole or not, with one line of JSON, or lets the client go; a client takes what
 * comes for an answer, or says why not.
 *
 * The first byte chooses: even, the rest is what two clients send to a worker, in pieces as long as
 * the second byte says; odd, it is what a worker answers. */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <sabot/control.h>

#include "disk.h"
#include "hand.h"

#include "run/control_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PATIENCE_MS = 20 * 1000,
    CLIENTS = 2,
    SENT_MAX = 64 * 1024,
    INPUT_MAX = 2 * SB_CONTROL_REQUEST_MAX
};

/* --- A worker ------------------------------------------------------------------------------------
 *
 * The sockets: a listener at which the clients knock one after the other, and their connections. */

struct sb_socket {
    bool is_open;
    const uint8_t *input;
    size_t size;
    size_t part; /* bytes of a receive */
    char sent[SENT_MAX];
    size_t sent_size;
};

static struct sb_socket listener;
static struct sb_socket bell;
static struct sb_socket clients[CLIENTS];
static uint32_t knocked; /* of the clients */
static struct disk disk;

static sabot_status fake_listen(void *self,
                                const char *path,
                                struct sb_socket **socket_out,
                                sabot_error *error)
{
    (void)self;
    (void)error;
    disk_put(&disk, path, "", 0);
    *socket_out = &listener;
    return SABOT_OK;
}

static sabot_status fake_connect(void *self,
                                 const char *path,
                                 struct sb_socket **socket_out,
                                 sabot_error *error)
{
    (void)self;
    *socket_out = NULL;
    return sabot_raise(error, SABOT_ERR_CLOSED, "%s: nobody", path);
}

static sabot_status fake_accept(void *self,
                                struct sb_socket *socket,
                                struct sb_socket **socket_out,
                                sabot_error *error)
{
    (void)self;
    (void)error;
    SB_ASSERT(socket == &listener);
    if (knocked == CLIENTS)
        return SABOT_AGAIN;
    *socket_out = &clients[knocked++];
    (*socket_out)->is_open = true;
    return SABOT_OK;
}

static sabot_status fake_receive(struct sb_socket *socket,
                                 void *buffer,
                                 size_t size,
                                 size_t *size_out,
                                 sabot_error *error)
{
    size_t part = socket->size < socket->part ? socket->size : socket->part;

    (void)error;
    SB_ASSERT(socket->is_open);
    if (part > size)
        part = size;
    if (part > 0)
        memcpy(buffer, socket->input, part);
    socket->input += part;
    socket->size -= part;
    *size_out = part;
    return SABOT_OK;
}

static sabot_status fake_send(struct sb_socket *socket,
                              const void *bytes,
                              size_t size,
                              size_t *size_out,
                              sabot_error *error)
{
    const size_t part = size < socket->part ? size : socket->part;

    (void)error;
    SB_ASSERT(socket->is_open && socket->sent_size + part < SENT_MAX);
    memcpy(socket->sent + socket->sent_size, bytes, part);
    socket->sent_size += part;
    *size_out = part;
    return SABOT_OK;
}

static sabot_status fake_bell(void *self, struct sb_socket **socket_out, sabot_error *error)
{
    (void)self;
    (void)error;
    *socket_out = &bell;
    return SABOT_OK;
}

static void fake_ring(struct sb_socket *socket)
{
    SB_ASSERT(socket == &bell);
}

static void fake_poll(void *self, struct sb_socket_wait *waits, size_t count, int64_t deadline_us)
{
    (void)self;
    (void)deadline_us;
    for (size_t i = 0; i < count; i++)
        waits[i].is_ready = waits[i].socket != &bell;
}

static void fake_close(void *self, struct sb_socket *socket)
{
    (void)self;
    if (socket != NULL)
        socket->is_open = false;
}

static const struct sb_socket_type sockets = {
    .listen = fake_listen,
    .connect = fake_connect,
    .accept = fake_accept,
    .receive = fake_receive,
    .send = fake_send,
    .bell_create = fake_bell,
    .ring = fake_ring,
    .poll = fake_poll,
    .close = fake_close,
};

static sabot_status echo(void *context, struct sb_control_request *request, sabot_error *error)
{
    const char *text = sb_control_argument(request, "text");

    (void)context;
    if (request->memo[0]++ == 0)
        return SABOT_AGAIN;
    if (text == NULL)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "%s: no text", request->verb);
    SABOT_TRY(sb_buffer_format(&request->answer, "\"text\":"));
    return sb_control_quote(&request->answer, text);
}

/* Nothing, or one line, which is an object. */
static void check_answer(const struct sb_socket *client)
{
    json_error_t why;
    json_t *json;

    SB_ASSERT(!client->is_open);
    if (client->sent_size == 0)
        return;
    SB_ASSERT(memchr(client->sent, '\n', client->sent_size) ==
              client->sent + client->sent_size - 1);
    json = json_loadb(client->sent, client->sent_size, JSON_ALLOW_NUL, &why);
    SB_ASSERT(json_is_object(json) && json_is_boolean(json_object_get(json, "ok")));
    json_decref(json);
}

static void ask_worker(const uint8_t *data, size_t size, size_t part)
{
    static const struct sb_control_verb verbs[] = {{"echo", echo}};
    static struct sb_env *os;
    struct hand hand;
    struct sb_control_server *server;
    struct sb_control_config config = {
        .state_dir = "/state", .app = "app", .verbs = verbs, .verb_count = 1};

    if (os == NULL && sb_os_env_create(&os, NULL) != SABOT_OK)
        abort();
    disk_make(&disk, os);
    if (disk.env.type->directory_create(disk.env.self, "/state", NULL) != SABOT_OK ||
        disk.env.type->directory_create(disk.env.self, "/state/app", NULL) != SABOT_OK)
        abort();
    hand_make(&hand, &disk.env);
    hand.type.sockets = &sockets;
    config.env = &hand.env;
    knocked = 0;
    for (uint32_t i = 0; i < CLIENTS; i++)
        clients[i] = (struct sb_socket){.input = i == 0 ? data : data + size / 2,
                                        .size = i == 0 ? size / 2 : size - size / 2,
                                        .part = part};
    if (sb_control_server_open(&config, &server, NULL) != SABOT_OK)
        abort();
    while (hand_step(&hand) && (knocked < CLIENTS || clients[0].is_open || clients[1].is_open))
        (void)sb_control_server_serve(server);
    sb_control_server_close(server);
    for (uint32_t i = 0; i < CLIENTS; i++)
        check_answer(&clients[i]);
    disk_free(&disk);
}

/* --- A client ------------------------------------------------------------------------------------
 */

/* A worker of this process: it reads a request, and answers as it is told. */
struct worker {
    char folder[64];
    int fd;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards the two below */
    uint8_t answer[INPUT_MAX];
    size_t size;
};

static void *work(void *context)
{
    struct worker *self = context;

    for (;;) {
        const int fd = accept(self->fd, NULL, NULL);
        char letter = '\0';

        if (fd < 0)
            abort();
        while (letter != '\n') {
            if (read(fd, &letter, 1) != 1)
                abort();
        }
        (void)pthread_mutex_lock(&self->mutex);
        if (self->size > 0)
            (void)!send(fd, self->answer, self->size, MSG_NOSIGNAL);
        (void)pthread_mutex_unlock(&self->mutex);
        (void)close(fd);
    }
    return NULL;
}

static struct worker worker = {.folder = "/tmp/sabot-fuzz-XXXXXX",
                               .mutex = PTHREAD_MUTEX_INITIALIZER};

static void remove_worker(void)
{
    char path[128];

    for (const char *const *name = (const char *const[]){"app/control", "app/socket", "app", NULL};
         *name != NULL; name++) {
        (void)snprintf(path, sizeof path, "%s/%s", worker.folder, *name);
        (void)remove(path);
    }
    (void)remove(worker.folder);
}

static void start_worker(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[128];
    FILE *file;

    if (mkdtemp(worker.folder) == NULL)
        abort();
    (void)snprintf(path, sizeof path, "%s/app", worker.folder);
    if (mkdir(path, S_IRWXU) != 0)
        abort();
    (void)snprintf(path, sizeof path, "%s/app/control", worker.folder);
    file = fopen(path, "w");
    if (file == NULL || fputs("socket\n", file) < 0 || fclose(file) != 0)
        abort();
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/app/socket", worker.folder);
    worker.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(worker.fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(worker.fd, 8) != 0 || atexit(remove_worker) != 0 ||
        pthread_create(&worker.thread, NULL, work, &worker) != 0)
        abort();
}

/* Names that an answer may have are looked for in it; what is found is a text. */
static void ask_as_client(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = {"ok", "error", "status", "text", "id", ""};
    sabot_answer *answer;
    sabot_error error = {.status = SABOT_OK};

    if (worker.fd == 0)
        start_worker();
    (void)pthread_mutex_lock(&worker.mutex);
    memcpy(worker.answer, bytes, size);
    worker.size = size;
    (void)pthread_mutex_unlock(&worker.mutex);
    if (sabot_control_ask(worker.folder, "app", "stats", NULL, 0, PATIENCE_MS, &answer, &error) !=
        SABOT_OK) {
        SB_ASSERT(answer == NULL && error.status != SABOT_OK);
        return;
    }
    SB_ASSERT(strcmp(sabot_answer_get(answer, "ok"), "true") == 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = sabot_answer_get(answer, names[i]);

        SB_ASSERT(text == NULL || strlen(text) < size);
    }
    sabot_answer_destroy(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX)
        return 0;
    if (data[0] % 2 == 0)
        ask_worker(data + 2, size - 2, 1U + data[1]);
    else
        ask_as_client(data + 1, size - 1);
    return 0;
}
