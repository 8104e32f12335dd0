/* SPDX-License-Identifier: Apache-2.0 */
/* control_client.c - the other side of control_server.c: one request, one answer.
 *
 * Threads: the caller's, which waits. Memory: the answer, in one block. */
#include <sabot/control.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sabot/app.h>

#include "run/control_server.h"

enum { PATH_SIZE = 4096, RETRY_US = 20 * 1000, ANSWER_MAX = SB_CONTROL_ANSWER_MAX + 64 * 1024 };

struct sabot_answer {
    struct sb_env *env;
    struct sb_buffer line; /* with a NUL for its end */
    struct sb_buffer member;
};

struct exchange {
    const struct sb_env *env;
    const char *path; /* of the socket */
    int64_t deadline_us;
    struct sb_socket *socket;
    sabot_error *error;
};

void sabot_answer_destroy(sabot_answer *answer)
{
    struct sb_env *env;

    if (answer == NULL)
        return;
    env = answer->env;
    sb_buffer_reset(&answer->line);
    sb_buffer_reset(&answer->member);
    sb_free(env, answer, sizeof *answer);
    sb_os_env_destroy(env);
}

const char *sabot_answer_json(const sabot_answer *answer)
{
    return (const char *)answer->line.data;
}

/* --- Members -------------------------------------------------------------------------------------
 *
 * The answer is our own, so a look at its outermost level is enough: no general reader. */

/* Behind the value that begins here: a text, a number, or anything in brackets. */
static const char *skip_value(const char *at)
{
    uint32_t depth = 0;
    bool in_text = false;

    for (; *at != '\0'; at++) {
        if (in_text && *at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            in_text = !in_text;
        else if (!in_text && (*at == '{' || *at == '['))
            depth++;
        else if (!in_text && depth == 0 && (*at == ',' || *at == '}'))
            break;
        else if (!in_text && (*at == '}' || *at == ']'))
            depth--;
    }
    return at;
}

/* NULL: no member of this name. */
static const char *find_member(const char *json, const char *name)
{
    const size_t size = strlen(name);
    const char *at = json;

    while (*at == '{' || *at == ',') {
        const char *key = at + 1;

        if (*key != '"')
            return NULL;
        at = strchr(key + 1, '"');
        if (at == NULL || at[1] != ':')
            return NULL;
        if ((size_t)(at - key) == size + 1 && strncmp(key + 1, name, size) == 0)
            return at + 2;
        at = skip_value(at + 2);
    }
    return NULL;
}

/* A text without quotes; \uXXXX is only written for what is no letter. */
static sabot_status unquote(struct sb_buffer *out, const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        char letter = *at;

        if (letter == '\\' && at[1] == 'u' && end - at > 6) {
            const char digits[3] = {at[4], at[5], '\0'};

            letter = (char)strtoul(digits, NULL, 16);
            at += 5;
        } else if (letter == '\\') {
            letter = *++at;
        }
        SABOT_TRY(sb_buffer_append(out, &letter, 1));
    }
    return sb_buffer_append(out, "", 1);
}

static sabot_status copy_member(struct sb_buffer *out, const char *value)
{
    const char *end = skip_value(value);

    out->size = 0;
    if (*value == '"')
        return unquote(out, value, end);
    SABOT_TRY(sb_buffer_append(out, value, (size_t)(end - value)));
    return sb_buffer_append(out, "", 1);
}

const char *sabot_answer_get(sabot_answer *answer, const char *name)
{
    const char *value = find_member(sabot_answer_json(answer), name);

    if (value == NULL || copy_member(&answer->member, value) != SABOT_OK)
        return NULL;
    return (const char *)answer->member.data;
}

/* --- One exchange --------------------------------------------------------------------------------
 */

static sabot_status raise_timeout(const struct exchange *exchange)
{
    return sabot_raise(exchange->error, SABOT_ERR_TIMEOUT,
                       "%s: the worker has not answered in time", exchange->path);
}

static sabot_status raise_gone(const struct exchange *exchange)
{
    return sabot_raise(exchange->error, SABOT_ERR_CLOSED,
                       "%s: the worker has ended, or let this request go", exchange->path);
}

/* Until the socket is ready, or it is too late. */
static sabot_status wait_for(const struct exchange *exchange, bool for_sending)
{
    const struct sb_env *env = exchange->env;
    struct sb_socket_wait wait = {exchange->socket, for_sending, false};

    while (!wait.is_ready) {
        if (sb_now_us(env) >= exchange->deadline_us)
            return raise_timeout(exchange);
        env->type->sockets->poll(env->self, &wait, 1, exchange->deadline_us);
    }
    return SABOT_OK;
}

/* Too many others wait at the door: knock again. */
static sabot_status connect_to(struct exchange *exchange)
{
    const struct sb_env *env = exchange->env;
    struct sb_waker *waker;
    sabot_status status;

    SABOT_TRY(env->type->waker_create(env->self, &waker, exchange->error));
    for (;;) {
        status = env->type->sockets->connect(env->self, exchange->path, &exchange->socket,
                                             exchange->error);
        if (status != SABOT_AGAIN)
            break;
        if (sb_now_us(env) >= exchange->deadline_us) {
            status = raise_timeout(exchange);
            break;
        }
        env->type->wait(env->self, waker, sb_now_us(env) + RETRY_US);
    }
    env->type->waker_destroy(env->self, waker);
    return status;
}

static sabot_status send_request(const struct exchange *exchange, const struct sb_buffer *request)
{
    size_t sent = 0;

    while (sent < request->size) {
        size_t size;
        const sabot_status status = exchange->env->type->sockets->send(
            exchange->socket, request->data + sent, request->size - sent, &size, exchange->error);

        if (status == SABOT_AGAIN)
            SABOT_TRY(wait_for(exchange, true));
        else
            SABOT_TRY(status == SABOT_ERR_CLOSED ? raise_gone(exchange) : status);
        sent += size;
    }
    return SABOT_OK;
}

static sabot_status receive_answer(const struct exchange *exchange, struct sb_buffer *line)
{
    size_t size = 0;

    while (line->size == 0 || line->data[line->size - 1] != '\n') {
        sabot_status status;

        if (line->size > ANSWER_MAX)
            return sabot_raise(exchange->error, SABOT_ERR_LIMIT, "%s: the answer is too long",
                               exchange->path);
        if (sb_buffer_reserve(line, 64UL * 1024) != SABOT_OK)
            return sabot_raise(exchange->error, SABOT_ERR_MEMORY, "no memory for an answer");
        status = exchange->env->type->sockets->receive(exchange->socket, line->data + line->size,
                                                       64UL * 1024, &size, exchange->error);
        if (status == SABOT_AGAIN) {
            SABOT_TRY(wait_for(exchange, false));
            continue;
        }
        if (status == SABOT_ERR_CLOSED || (status == SABOT_OK && size == 0))
            return raise_gone(exchange);
        SABOT_TRY(status);
        line->size += size;
    }
    line->data[line->size - 1] = '\0';
    return SABOT_OK;
}

/* What the worker says of a request that failed. */
static sabot_status read_refusal(sabot_answer *answer, sabot_error *error)
{
    static const struct {
        const char *name;
        sabot_status status;
    } names[] = {
#define STATUS_ROW(name, number, text) {#name, name},
        SABOT_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
    };
    const char *ok = sabot_answer_get(answer, "ok");
    sabot_status status = SABOT_ERR_FORMAT;
    const char *text;

    if (ok != NULL && strcmp(ok, "true") == 0)
        return SABOT_OK;
    text = sabot_answer_get(answer, "status");
    for (size_t i = 0; text != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (names[i].status >= SABOT_ERR_ARGUMENT && strcmp(names[i].name, text) == 0)
            status = names[i].status;
    }
    text = sabot_answer_get(answer, "error");
    return sabot_raise(error, status, "%s", text == NULL ? "the worker gave no answer" : text);
}

static sabot_status write_request(struct sb_buffer *out,
                                  const char *request,
                                  const char *const *arguments,
                                  size_t argument_count,
                                  sabot_error *error)
{
    sabot_status status = sb_buffer_format(out, "%s", request);

    for (size_t i = 0; i < argument_count && status == SABOT_OK; i++) {
        if (strpbrk(arguments[i], "\t\n") != NULL || strchr(arguments[i], '=') == NULL)
            return sabot_raise(error, SABOT_ERR_ARGUMENT,
                               "%s: expected NAME=VALUE without tabs and line ends", arguments[i]);
        status = sb_buffer_format(out, "\t%s", arguments[i]);
    }
    if (status == SABOT_OK)
        status = sb_buffer_append(out, "\n", 1);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "no memory for a request");
    if (out->size > SB_CONTROL_REQUEST_MAX || argument_count > SB_CONTROL_ARGUMENTS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "a request has at most %d bytes and %d values",
                           SB_CONTROL_REQUEST_MAX, SB_CONTROL_ARGUMENTS_MAX);
    return SABOT_OK;
}

static sabot_status exchange_lines(struct exchange *exchange,
                                   const struct sb_buffer *request,
                                   struct sb_buffer *line)
{
    const struct sb_env *env = exchange->env;
    sabot_status status = connect_to(exchange);

    if (status == SABOT_ERR_NOT_FOUND || status == SABOT_ERR_CLOSED)
        return sabot_raise(exchange->error, SABOT_ERR_NOT_FOUND,
                           "%s: no worker listens there: it has ended", exchange->path);
    SABOT_TRY(status);
    status = send_request(exchange, request);
    if (status == SABOT_OK)
        status = receive_answer(exchange, line);
    env->type->sockets->close(env->self, exchange->socket);
    return status;
}

/* --- Which worker --------------------------------------------------------------------------------
 */

struct apps {
    const struct sb_env *env;
    const char *state_dir;
    char name[SABOT_NAME_MAX + 1];
    uint32_t count;
};

static sabot_status visit_app(void *context, const char *name)
{
    struct apps *apps = context;
    char path[PATH_SIZE];
    struct sb_file_info info;

    if (strlen(name) > SABOT_NAME_MAX)
        return SABOT_OK;
    (void)snprintf(path, sizeof path, "%s/%s/control", apps->state_dir, name);
    if (apps->env->type->path_info(apps->env->self, path, &info, NULL) != SABOT_OK)
        return SABOT_OK;
    apps->count++;
    (void)snprintf(apps->name, sizeof apps->name, "%s", name);
    return SABOT_OK;
}

/* The one app that has a worker. */
static sabot_status find_app(struct apps *apps, sabot_error *error)
{
    const struct sb_env *env = apps->env;

    SABOT_TRY(env->type->directory_list(env->self, apps->state_dir, visit_app, apps, error));
    if (apps->count == 0)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND, "no worker runs with the state directory %s",
                           apps->state_dir);
    if (apps->count > 1)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "%u apps have workers in %s: name one by -A PATH.so:SYMBOL", apps->count,
                           apps->state_dir);
    return SABOT_OK;
}

static sabot_status ask(sabot_answer *answer,
                        const char *state_dir,
                        const char *app,
                        const struct sb_buffer *request,
                        int64_t timeout_ms,
                        sabot_error *error)
{
    struct apps apps = {.env = answer->env, .state_dir = state_dir};
    char path[PATH_SIZE];
    struct exchange exchange = {
        .env = answer->env,
        .path = path,
        .deadline_us = sb_deadline_us(answer->env, timeout_ms),
        .error = error,
    };

    if (app == NULL) {
        SABOT_TRY(find_app(&apps, error));
        app = apps.name;
    }
    SABOT_TRY(sb_control_find(answer->env, state_dir, app, path, sizeof path, error));
    SABOT_TRY(exchange_lines(&exchange, request, &answer->line));
    return read_refusal(answer, error);
}

sabot_status sabot_control_ask(const char *state_dir,
                               const char *app,
                               const char *request,
                               const char *const *arguments,
                               size_t argument_count,
                               int64_t timeout_ms,
                               sabot_answer **answer_out,
                               sabot_error *error)
{
    sabot_answer *answer;
    struct sb_buffer line;
    struct sb_env *env;
    sabot_status status;

    *answer_out = NULL;
    if (strlen(state_dir) + SABOT_NAME_MAX + 128 > PATH_SIZE)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", state_dir);
    SABOT_TRY(sb_os_env_create(&env, error));
    answer = sb_alloc(env, sizeof *answer);
    if (answer == NULL) {
        sb_os_env_destroy(env);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an answer");
    }
    answer->env = env;
    sb_buffer_init(&answer->line, env);
    sb_buffer_init(&answer->member, env);
    sb_buffer_init(&line, env);
    status = write_request(&line, request, arguments, argument_count, error);
    if (status == SABOT_OK)
        status = ask(answer, state_dir, app, &line, timeout_ms, error);
    sb_buffer_reset(&line);
    if (status == SABOT_OK)
        *answer_out = answer;
    else
        sabot_answer_destroy(answer);
    return status;
}
