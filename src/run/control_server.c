/* SPDX-License-Identifier: Apache-2.0 */
/* control_server.c - the thread that talks to clients; control_server.h has the picture. */
#include "run/control_server.h"

#include <stdio.h>
#include <string.h>

#include "data/batch.h"

enum {
    PATH_SIZE = 4096,
    STARTING_TEXT_MAX = 512,
    DRAIN_MS = 2 * 1000, /* to take the last answers, when the run has ended */
    FOLDER_PATH_MAX = PATH_SIZE - 64,
};

enum client_state {
    CLIENT_FREE,
    CLIENT_READING,
    CLIENT_ASKED,    /* the run's */
    CLIENT_ANSWERED, /* request.answer is the whole line */
};

struct client {
    _Atomic int state; /* enum client_state */
    struct sb_socket *socket;
    int64_t deadline_us;
    bool was_served; /* the run's: not for the first time */
    char line[SB_CONTROL_REQUEST_MAX];
    size_t line_size;
    struct sb_control_request request;
    size_t sent;
};

struct sb_control_server {
    struct sb_control_config config;
    uint64_t nonce;
    char *folder; /* STATE_DIR/APP */
    char *path;   /* of the socket; NULL: not there */
    struct sb_socket *listener;
    struct sb_socket *bell;
    struct sb_waker *waker; /* of the thread, which waits in poll() */
    struct sb_thread *thread;
    _Atomic bool serves; /* the run takes requests */
    _Atomic bool stopping;
    int64_t drain_us; /* when stopping: until then */
    struct client clients[SB_CONTROL_CLIENTS_MAX];
};

/* --- Names ---------------------------------------------------------------------------------------
 */

static sabot_status raise_nobody(const char *state_dir, const char *app, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "no worker of app %s runs with the state directory %s", app, state_dir);
}

sabot_status sb_control_find(const struct sb_env *env,
                             const char *state_dir,
                             const char *app,
                             char *path,
                             size_t path_size,
                             sabot_error *error)
{
    char name[PATH_SIZE];
    struct sb_file *file;
    sabot_status status;
    size_t size = 0;

    (void)snprintf(name, sizeof name, "%s/%s/control", state_dir, app);
    status = env->type->file_open(env->self, name, SB_OPEN_READ, &file, error);
    if (status == SABOT_ERR_NOT_FOUND)
        return raise_nobody(state_dir, app, error);
    SABOT_TRY(status);
    status = env->type->file_read(file, name, sizeof name - 1, 0, &size, error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    name[size] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (name[0] == '/')
        (void)snprintf(path, path_size, "%s", name);
    else
        (void)snprintf(path, path_size, "%s/%s/%s", state_dir, app, name);
    return SABOT_OK;
}

static bool is_socket_name(const char *name)
{
    const size_t size = strlen(name);

    return size == strlen("control-0123456789abcdef.sock") &&
           strncmp(name, "control-", strlen("control-")) == 0 &&
           strcmp(name + size - strlen(".sock"), ".sock") == 0;
}

/* Remove the path when nobody listens there any more. True: a twin does, which keeps its own. */
static bool remove_if_dead(const struct sb_env *env, const char *path)
{
    struct sb_socket *connection;
    const sabot_status status = env->type->sockets->connect(env->self, path, &connection, NULL);

    if (status == SABOT_OK)
        env->type->sockets->close(env->self, connection);
    else if (status == SABOT_ERR_CLOSED)
        (void)!env->type->path_remove(env->self, path, NULL);
    return status == SABOT_OK;
}

static sabot_status visit_old(void *context, const char *name)
{
    const struct sb_control_server *server = context;
    char path[PATH_SIZE];

    if (!is_socket_name(name))
        return SABOT_OK;
    (void)snprintf(path, sizeof path, "%s/%s", server->folder, name);
    (void)remove_if_dead(server->config.env, path);
    return SABOT_OK;
}

/* True: the one that is named here lives. */
static bool remove_dead(struct sb_control_server *server)
{
    const struct sb_env *env = server->config.env;
    char path[PATH_SIZE];

    (void)!env->type->directory_list(env->self, server->folder, visit_old, server, NULL);
    return sb_control_find(env, server->config.state_dir, server->config.app, path, sizeof path,
                           NULL) == SABOT_OK &&
           remove_if_dead(env, path); /* it may lie in the runtime folder */
}

/* Say where the socket is, at once for everybody. */
static sabot_status point_here(const struct sb_control_server *server, sabot_error *error)
{
    const struct sb_env *env = server->config.env;
    const size_t folder = strlen(server->folder) + 1;
    const bool is_inside =
        strncmp(server->path, server->folder, folder - 1) == 0 && server->path[folder - 1] == '/';
    char temporary[PATH_SIZE];
    char final[PATH_SIZE];
    struct sb_file *file;
    sabot_status status;

    (void)snprintf(temporary, sizeof temporary, "%s/control.%016llx", server->folder,
                   (unsigned long long)server->nonce);
    (void)snprintf(final, sizeof final, "%s/control", server->folder);
    SABOT_TRY(env->type->file_open(env->self, temporary, SB_OPEN_TRUNCATE, &file, error));
    status = env->type->file_write(file, server->path + (is_inside ? folder : 0),
                                   strlen(server->path) - (is_inside ? folder : 0), -1, error);
    if (status == SABOT_OK)
        status = env->type->file_write(file, "\n", 1, -1, error);
    env->type->file_close(env->self, file);
    if (status == SABOT_OK)
        status = env->type->path_rename(env->self, temporary, final, error);
    if (status != SABOT_OK)
        (void)!env->type->path_remove(env->self, temporary, NULL);
    return status;
}

/* Nobody finds the socket before it listens: until then it has another name, or it would look like
 * that of a dead worker. */
static sabot_status listen_at(struct sb_control_server *server,
                              const char *folder,
                              const char *prefix,
                              sabot_error *error)
{
    const struct sb_env *env = server->config.env;
    char temporary[PATH_SIZE];
    sabot_status status;

    server->path = sb_string_format(env, "%s/%s-%016llx.sock", folder, prefix,
                                    (unsigned long long)server->nonce);
    if (server->path == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the control socket");
    (void)snprintf(temporary, sizeof temporary, "%s/%s-%016llx.new", folder, prefix,
                   (unsigned long long)server->nonce);
    status = strlen(server->path) > SB_SOCKET_PATH_MAX
                 ? SABOT_ERR_LIMIT
                 : env->type->sockets->listen(env->self, temporary, &server->listener, error);
    if (status == SABOT_OK)
        status = env->type->path_rename(env->self, temporary, server->path, error);
    if (status == SABOT_OK)
        return SABOT_OK;
    if (server->listener != NULL)
        (void)!env->type->path_remove(env->self, temporary, NULL);
    sb_string_free(env, server->path);
    server->path = NULL;
    return status;
}

static sabot_status listen_somewhere(struct sb_control_server *server, sabot_error *error)
{
    const struct sb_env *env = server->config.env;
    char folder[PATH_SIZE];
    sabot_status status = listen_at(server, server->folder, "control", error);

    if (status != SABOT_ERR_LIMIT)
        return status;
    env->type->sockets->runtime_folder(env->self, folder, FOLDER_PATH_MAX);
    status = listen_at(server, folder, "sabot", error);
    if (status == SABOT_ERR_LIMIT)
        return sabot_raise(error, status,
                           "%s and %s: their paths are too long for a control socket; set "
                           "XDG_RUNTIME_DIR to a short one",
                           server->folder, folder);
    return status;
}

/* --- Texts ---------------------------------------------------------------------------------------
 */

sabot_status sb_control_quote(struct sb_buffer *out, const char *text)
{
    const bool is_text = sb_utf8_valid(text, strlen(text));

    SABOT_TRY(sb_buffer_append(out, "\"", 1));
    for (; *text != '\0'; text++) {
        const uint8_t byte = (uint8_t)*text;

        if (byte == '"' || byte == '\\')
            SABOT_TRY(sb_buffer_format(out, "\\%c", byte));
        else if (byte < ' ' || byte == 0x7f)
            SABOT_TRY(sb_buffer_format(out, "\\u%04x", byte));
        else if (byte > 0x7f && !is_text)
            SABOT_TRY(sb_buffer_append(out, "?", 1));
        else
            SABOT_TRY(sb_buffer_append(out, text, 1));
    }
    return sb_buffer_append(out, "\"", 1);
}

const char *sb_control_argument(const struct sb_control_request *request, const char *name)
{
    const size_t size = strlen(name);

    for (uint32_t i = 0; i < request->argument_count; i++) {
        const char *argument = request->arguments[i];

        if (strncmp(argument, name, size) == 0 && argument[size] == '=')
            return argument + size + 1;
    }
    return NULL;
}

/* Take a line apart in its place. False: it is no request. */
static bool parse(struct client *client)
{
    struct sb_control_request *request = &client->request;
    char *at = client->line;

    request->argument_count = 0;
    if (memchr(client->line, '\0', client->line_size) != NULL)
        return false;
    client->line[client->line_size - 1] = '\0'; /* was the newline */
    request->verb = at;
    while ((at = strchr(at, '\t')) != NULL) {
        *at++ = '\0';
        if (request->argument_count == SB_CONTROL_ARGUMENTS_MAX)
            return false;
        request->arguments[request->argument_count++] = at;
    }
    return true;
}

/* The answer is whole: {"ok":true,...} or why not. Without memory for it, an empty line. */
static sabot_status write_answer(struct sb_control_request *request,
                                 sabot_status result,
                                 const sabot_error *error)
{
    struct sb_buffer line;

    sb_buffer_init(&line, request->answer.env);
    if (result != SABOT_OK) {
        SABOT_TRY(sb_buffer_format(
            &line, "{\"ok\":false,\"status\":\"%s\",\"error\":", sabot_status_name(result)));
        SABOT_TRY(sb_control_quote(&line, error->text));
    } else {
        SABOT_TRY(sb_buffer_format(&line, "{\"ok\":true%s", request->answer.size > 0 ? "," : ""));
        SABOT_TRY(sb_buffer_append(&line, request->answer.data, request->answer.size));
    }
    SABOT_TRY(sb_buffer_append(&line, "}\n", 2));
    sb_buffer_reset(&request->answer);
    request->answer = line;
    return SABOT_OK;
}

static void answer(const struct sb_control_server *server,
                   struct client *client,
                   sabot_status result,
                   sabot_error *error)
{
    struct sb_control_request *request = &client->request;

    if (result == SABOT_OK && request->answer.size > SB_CONTROL_ANSWER_MAX)
        result = sabot_raise(error, SABOT_ERR_LIMIT, "the answer has %zu bytes, more than %d",
                             request->answer.size, SB_CONTROL_ANSWER_MAX);
    if (write_answer(request, result, error) != SABOT_OK)
        request->answer.size = 0; /* the client sees that the connection ends */
    client->sent = 0;
    client->deadline_us = sb_deadline_us(server->config.env, SB_CONTROL_PATIENCE_MS);
    atomic_store_explicit(&client->state, CLIENT_ANSWERED, memory_order_release);
}

/* --- The run's side ------------------------------------------------------------------------------
 */

static sabot_status call_verb(const struct sb_control_server *server,
                              struct sb_control_request *request,
                              sabot_error *error)
{
    for (size_t i = 0; i < server->config.verb_count; i++) {
        const struct sb_control_verb *verb = &server->config.verbs[i];

        if (strcmp(verb->name, request->verb) == 0)
            return verb->serve(server->config.context, request, error);
    }
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "%.64s: this worker knows no such request",
                       request->verb);
}

static bool is_asked(struct client *client)
{
    return atomic_load_explicit(&client->state, memory_order_acquire) == CLIENT_ASKED;
}

bool sb_control_server_serve(struct sb_control_server *server)
{
    bool was_new = false;

    for (uint32_t i = 0; server != NULL && i < SB_CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];
        sabot_error error = {.status = SABOT_OK};
        sabot_status status;

        if (!is_asked(client))
            continue;
        was_new = was_new || !client->was_served;
        client->was_served = true;
        status = call_verb(server, &client->request, &error);
        if (status == SABOT_AGAIN)
            continue;
        answer(server, client, status, &error);
        server->config.env->type->sockets->ring(server->bell);
    }
    return was_new;
}

sabot_status sb_control_server_begin(struct sb_control_server *server, sabot_error *error)
{
    if (server == NULL || atomic_load(&server->serves))
        return SABOT_OK;
    atomic_store(&server->serves, true);
    return point_here(server, error);
}

void sb_control_server_stop(struct sb_control_server *server)
{
    if (server == NULL || atomic_load(&server->stopping))
        return;
    (void)sb_control_server_serve(server); /* what has just come about */
    server->drain_us = sb_deadline_us(server->config.env, DRAIN_MS);
    atomic_store(&server->stopping, true);
    server->config.env->type->sockets->ring(server->bell);
}

/* --- The thread ----------------------------------------------------------------------------------
 */

static void let_go(struct sb_control_server *server, struct client *client)
{
    server->config.env->type->sockets->close(server->config.env->self, client->socket);
    client->socket = NULL;
    sb_buffer_reset(&client->request.answer);
    atomic_store(&client->state, CLIENT_FREE);
}

static void greet(struct sb_control_server *server)
{
    const struct sb_env *env = server->config.env;

    for (uint32_t i = 0; i < SB_CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];

        if (atomic_load(&client->state) != CLIENT_FREE)
            continue;
        if (env->type->sockets->accept(env->self, server->listener, &client->socket, NULL) !=
            SABOT_OK)
            return;
        client->line_size = 0;
        client->was_served = false;
        client->deadline_us = sb_deadline_us(env, SB_CONTROL_PATIENCE_MS);
        client->request = (struct sb_control_request){.verb = ""};
        sb_buffer_init(&client->request.answer, env);
        atomic_store(&client->state, CLIENT_READING);
    }
}

/* The run doesn't serve yet: say what it is at. */
static void answer_early(struct sb_control_server *server, struct client *client)
{
    char text[STARTING_TEXT_MAX] = "";
    sabot_error error;

    server->config.starting(server->config.context, text, sizeof text);
    answer(server, client,
           sabot_raise(&error, SABOT_ERR_STATE, "the worker is starting: %s; ask again", text),
           &error);
}

/* What has come of the request; when it is whole, it is the run's. */
static void read_request(struct sb_control_server *server, struct client *client)
{
    const struct sb_env *env = server->config.env;
    sabot_error error = {.status = SABOT_OK};
    size_t size;
    const sabot_status status =
        env->type->sockets->receive(client->socket, client->line + client->line_size,
                                    sizeof client->line - client->line_size, &size, NULL);

    if (status == SABOT_AGAIN)
        return;
    if (status != SABOT_OK || size == 0) {
        let_go(server, client);
        return;
    }
    client->line_size += size;
    if (client->line[client->line_size - 1] != '\n' && client->line_size < sizeof client->line)
        return;
    if (client->line[client->line_size - 1] != '\n' || !parse(client)) {
        answer(server, client,
               sabot_raise(&error, SABOT_ERR_ARGUMENT, "no request: one line of at most %d bytes",
                           SB_CONTROL_REQUEST_MAX),
               &error);
        return;
    }
    if (!atomic_load(&server->serves)) {
        answer_early(server, client);
        return;
    }
    atomic_store_explicit(&client->state, CLIENT_ASKED, memory_order_release);
    sb_wake(env, server->config.waker);
}

static void send_answer(struct sb_control_server *server, struct client *client)
{
    const struct sb_buffer *line = &client->request.answer;
    size_t size;
    sabot_status status = SABOT_OK;

    while (status == SABOT_OK && client->sent < line->size) {
        status = server->config.env->type->sockets->send(client->socket, line->data + client->sent,
                                                         line->size - client->sent, &size, NULL);
        client->sent += size;
    }
    if (status != SABOT_AGAIN)
        let_go(server, client);
}

/* What the thread waits for: the bell, new clients, and those that it owns. */
static size_t list_waits(struct sb_control_server *server,
                         struct sb_socket_wait *waits,
                         struct client **clients,
                         int64_t *deadline_us)
{
    size_t count = 0;
    bool has_place = false;

    for (uint32_t i = 0; i < SB_CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];
        const int state = atomic_load_explicit(&client->state, memory_order_acquire);

        has_place = has_place || state == CLIENT_FREE;
        if (state == CLIENT_FREE || state == CLIENT_ASKED)
            continue;
        waits[count] = (struct sb_socket_wait){client->socket, state == CLIENT_ANSWERED, false};
        clients[count++] = client;
        if (client->deadline_us < *deadline_us)
            *deadline_us = client->deadline_us;
    }
    waits[count++] = (struct sb_socket_wait){server->bell, false, false};
    if (has_place && server->listener != NULL)
        waits[count++] = (struct sb_socket_wait){server->listener, false, false};
    return count;
}

static void handle_client(struct sb_control_server *server, struct client *client, bool is_ready)
{
    if (is_ready && atomic_load(&client->state) == CLIENT_READING)
        read_request(server, client);
    else if (is_ready)
        send_answer(server, client);
    else if (client->deadline_us <= sb_now_us(server->config.env))
        let_go(server, client);
}

/* Nothing new any more: the path goes, and with it the way here. */
static void stop_listening(struct sb_control_server *server)
{
    const struct sb_env *env = server->config.env;
    char pointed[PATH_SIZE];

    if (server->listener == NULL || server->path == NULL)
        return;
    env->type->sockets->close(env->self, server->listener);
    server->listener = NULL;
    (void)!env->type->path_remove(env->self, server->path, NULL);
    if (sb_control_find(env, server->config.state_dir, server->config.app, pointed, sizeof pointed,
                        NULL) != SABOT_OK ||
        strcmp(pointed, server->path) != 0)
        return;
    (void)snprintf(pointed, sizeof pointed, "%s/control", server->folder);
    (void)!env->type->path_remove(env->self, pointed, NULL);
}

/* With the run at its end: requests that still come to be whole get an answer, and so do those that
 * waited. True: all are gone. */
static bool drain(struct sb_control_server *server)
{
    bool is_empty = true;

    stop_listening(server);
    for (uint32_t i = 0; i < SB_CONTROL_CLIENTS_MAX; i++) {
        struct client *client = &server->clients[i];
        sabot_error error;

        if (is_asked(client))
            answer(server, client, sabot_raise(&error, SABOT_ERR_CLOSED, "the run has ended"),
                   &error);
        if (atomic_load(&client->state) == CLIENT_READING)
            let_go(server, client);
        is_empty = is_empty && atomic_load(&client->state) == CLIENT_FREE;
    }
    return is_empty || sb_now_us(server->config.env) >= server->drain_us;
}

/* A driver thread: it may wait, in poll() and nowhere else. */
static struct sb_step server_step(void *context)
{
    struct sb_control_server *server = context;
    const struct sb_env *env = server->config.env;
    const bool stopping = atomic_load(&server->stopping);
    struct sb_socket_wait waits[SB_CONTROL_CLIENTS_MAX + 2];
    struct client *clients[SB_CONTROL_CLIENTS_MAX + 2] = {NULL};
    int64_t deadline_us = INT64_MAX;
    size_t count;

    if (stopping && drain(server))
        return sb_step_done();
    if (stopping)
        deadline_us = server->drain_us;
    count = list_waits(server, waits, clients, &deadline_us);
    env->type->sockets->poll(env->self, waits, count, deadline_us);
    for (size_t i = 0; i < count; i++) {
        if (clients[i] != NULL)
            handle_client(server, clients[i], waits[i].is_ready);
        else if (waits[i].is_ready && waits[i].socket == server->listener)
            greet(server);
    }
    return sb_step_again();
}

/* --- Opening and closing -------------------------------------------------------------------------
 */

static sabot_status open_all(struct sb_control_server *server, sabot_error *error)
{
    const struct sb_env *env = server->config.env;
    bool has_twin;

    server->folder = sb_string_format(env, "%s/%s", server->config.state_dir, server->config.app);
    if (server->folder == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the control socket");
    if (strlen(server->folder) > FOLDER_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long",
                           server->folder);
    has_twin = remove_dead(server);
    SABOT_TRY(listen_somewhere(server, error));
    SABOT_TRY(env->type->sockets->bell_create(env->self, &server->bell, error));
    SABOT_TRY(env->type->waker_create(env->self, &server->waker, error));
    atomic_store(&server->serves, server->config.starting == NULL);
    if (!has_twin || server->config.starting == NULL)
        SABOT_TRY(point_here(server, error));
    return env->type->spawn(env->self, "sabot-control", server_step, server, server->waker,
                            &server->thread, error);
}

sabot_status sb_control_server_open(const struct sb_control_config *config,
                                    struct sb_control_server **server_out,
                                    sabot_error *error)
{
    struct sb_control_server *server = sb_alloc(config->env, sizeof *server);
    sabot_status status;

    *server_out = NULL;
    if (server == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the control socket");
    server->config = *config;
    server->nonce = sb_random(config->env);
    status = open_all(server, error);
    if (status == SABOT_OK)
        *server_out = server;
    else
        sb_control_server_close(server);
    return status;
}

void sb_control_server_close(struct sb_control_server *server)
{
    const struct sb_env *env;

    if (server == NULL)
        return;
    env = server->config.env;
    if (server->thread != NULL) {
        sb_control_server_stop(server);
        env->type->join(env->self, server->thread);
    }
    stop_listening(server);
    for (uint32_t i = 0; i < SB_CONTROL_CLIENTS_MAX; i++) {
        if (server->clients[i].socket != NULL)
            let_go(server, &server->clients[i]);
    }
    env->type->sockets->close(env->self, server->bell);
    env->type->waker_destroy(env->self, server->waker);
    sb_string_free(env, server->path);
    sb_string_free(env, server->folder);
    sb_free(env, server, sizeof *server);
}
