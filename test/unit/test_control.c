/* SPDX-License-Identifier: Apache-2.0 */
/* test_control.c - the control socket: requests get their answers, and no client can hurt the run.
 */
#include "test.h"

#include <sabot/control.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "run/control_server.h"

struct fixture {
    struct sb_env *env;
    char folder[64];
    struct sb_waker *waker;
    struct sb_waker *seen; /* woken by `later` */
    struct sb_control_server *server;
    struct sb_thread *thread; /* stands for the run: serves until `over` */
    _Atomic bool over;
    _Atomic bool may_answer;
    _Atomic uint32_t served;
};

static sabot_status echo(void *context, struct sb_control_request *request, sabot_error *error)
{
    struct fixture *fixture = context;
    const char *text = sb_control_argument(request, "text");

    atomic_fetch_add(&fixture->served, 1);
    if (text == NULL)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "echo: no \"text\"");
    if (sb_buffer_format(&request->answer, "\"inner\":{\"text\":7},\"text\":") != SABOT_OK ||
        sb_control_quote(&request->answer, text) != SABOT_OK ||
        sb_buffer_format(&request->answer, ",\"size\":%zu", strlen(text)) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory");
    return SABOT_OK;
}

static sabot_status later(void *context, struct sb_control_request *request, sabot_error *error)
{
    struct fixture *fixture = context;

    (void)error;
    (void)atomic_fetch_add(&fixture->served, 1);
    sb_wake(fixture->env, fixture->seen);
    request->memo[0]++;
    return atomic_load(&fixture->may_answer) ? SABOT_OK : SABOT_AGAIN;
}

static sabot_status large(void *context, struct sb_control_request *request, sabot_error *error)
{
    (void)context;
    (void)error;
    for (uint32_t i = 0; i < 40000; i++)
        SABOT_TRY(sb_buffer_format(&request->answer, "%s\"n%u\":%u", i == 0 ? "" : ",", i, i));
    return SABOT_OK;
}

static const struct sb_control_verb verbs[] = {{"echo", echo}, {"later", later}, {"large", large}};

static sabot_status open_server(struct fixture *fixture, struct sb_control_server **server_out)
{
    const struct sb_control_config config = {
        .env = fixture->env,
        .state_dir = fixture->folder,
        .app = "app",
        .verbs = verbs,
        .verb_count = sizeof verbs / sizeof verbs[0],
        .context = fixture,
        .waker = fixture->waker,
    };
    sabot_error error;
    const sabot_status status = sb_control_server_open(&config, server_out, &error);

    if (status != SABOT_OK)
        print_message("%s\n", error.text);
    return status;
}

static struct sb_step run_step(void *context)
{
    struct fixture *fixture = context;

    if (atomic_load(&fixture->over)) {
        sb_control_server_stop(fixture->server);
        return sb_step_done();
    }
    (void)sb_control_server_serve(fixture->server);
    return sb_step_wait(INT64_MAX);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char path[128];

    assert_non_null(fixture);
    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/sabot-control-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void)snprintf(path, sizeof path, "%s/app", fixture->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(sb_os_env_create(&fixture->env, NULL), SABOT_OK);
    assert_int_equal(fixture->env->type->waker_create(fixture->env->self, &fixture->waker, NULL),
                     SABOT_OK);
    assert_int_equal(fixture->env->type->waker_create(fixture->env->self, &fixture->seen, NULL),
                     SABOT_OK);
    assert_int_equal(open_server(fixture, &fixture->server), SABOT_OK);
    assert_int_equal(fixture->env->type->spawn(fixture->env->self, "run", run_step, fixture,
                                               fixture->waker, &fixture->thread, NULL),
                     SABOT_OK);
    *state = fixture;
    return 0;
}

static void end_run(struct fixture *fixture)
{
    atomic_store(&fixture->over, true);
    sb_wake(fixture->env, fixture->waker);
    fixture->env->type->join(fixture->env->self, fixture->thread);
    fixture->thread = NULL;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->thread != NULL)
        end_run(fixture);
    sb_control_server_close(fixture->server);
    fixture->env->type->waker_destroy(fixture->env->self, fixture->seen);
    fixture->env->type->waker_destroy(fixture->env->self, fixture->waker);
    sb_os_env_destroy(fixture->env);
    assert_int_equal(nftw(fixture->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(fixture);
    return 0;
}

static sabot_status ask(struct fixture *fixture,
                        const char *request,
                        const char *argument,
                        sabot_answer **answer_out,
                        sabot_error *error)
{
    return sabot_control_ask(fixture->folder, NULL, request, &argument, argument != NULL, 20000,
                             answer_out, error);
}

/* A connection without the client's manners. */
static int connect_raw(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[256];
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_int_equal(sb_control_find(fixture->env, fixture->folder, "app", path, sizeof path, NULL),
                     SABOT_OK);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void read_answer(int fd, char *text, size_t size)
{
    size_t used = 0;

    for (;;) {
        const ssize_t got = read(fd, text + used, size - used - 1);

        if (got <= 0)
            break;
        used += (size_t)got;
    }
    text[used] = '\0';
    (void)close(fd);
}

/* --- Requests -------------------------------------------------------------------------------- */

static void a_request_gets_its_answer(void **state)
{
    struct fixture *fixture = *state;
    sabot_answer *answer;
    sabot_error error;

    assert_int_equal(
        ask(fixture, "echo", "text=a \"quoted\\ word, a\x01 and \xc3\xa4", &answer, &error),
        SABOT_OK);
    assert_string_equal(sabot_answer_json(answer),
                        "{\"ok\":true,\"inner\":{\"text\":7},\"text\":\"a \\\"quoted\\\\ word, "
                        "a\\u0001 and \xc3\xa4\",\"size\":26}");
    assert_string_equal(sabot_answer_get(answer, "text"), "a \"quoted\\ word, a\x01 and \xc3\xa4");
    assert_string_equal(sabot_answer_get(answer, "size"), "26");
    assert_string_equal(sabot_answer_get(answer, "inner"), "{\"text\":7}");
    assert_null(sabot_answer_get(answer, "missing"));
    sabot_answer_destroy(answer);
}

static void what_a_verb_refuses_is_the_clients_error(void **state)
{
    struct fixture *fixture = *state;
    sabot_answer *answer;
    sabot_error error;

    assert_int_equal(ask(fixture, "echo", NULL, &answer, &error), SABOT_ERR_ARGUMENT);
    assert_string_equal(error.text, "echo: no \"text\"");
    assert_int_equal(ask(fixture, "bogus", NULL, &answer, &error), SABOT_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "bogus"));
    assert_int_equal(ask(fixture, "echo", "text=a\ttab", &answer, &error), SABOT_ERR_ARGUMENT);
    assert_int_equal(ask(fixture, "echo", "no value", &answer, &error), SABOT_ERR_ARGUMENT);
}

static void an_answer_larger_than_the_sockets_buffer_comes_whole(void **state)
{
    struct fixture *fixture = *state;
    sabot_answer *answer;
    sabot_error error;

    assert_int_equal(ask(fixture, "large", NULL, &answer, &error), SABOT_OK);
    assert_string_equal(sabot_answer_get(answer, "n39999"), "39999");
    sabot_answer_destroy(answer);
}

static void a_request_that_takes_long_is_answered_when_it_is_done(void **state)
{
    struct fixture *fixture = *state;
    char text[256];
    const int fd = connect_raw(fixture);

    assert_int_equal(write(fd, "later\n", 6), 6);
    while (atomic_load(&fixture->served) == 0)
        fixture->env->type->wait(fixture->env->self, fixture->seen, INT64_MAX);
    atomic_store(&fixture->may_answer, true);
    sb_wake(fixture->env, fixture->waker);
    read_answer(fd, text, sizeof text);
    assert_string_equal(text, "{\"ok\":true}\n");
}

static void the_end_of_the_run_answers_who_waits(void **state)
{
    struct fixture *fixture = *state;
    char text[256];
    const int fd = connect_raw(fixture);

    assert_int_equal(write(fd, "later\n", 6), 6);
    while (atomic_load(&fixture->served) == 0)
        fixture->env->type->wait(fixture->env->self, fixture->seen, INT64_MAX);
    end_run(fixture);
    read_answer(fd, text, sizeof text);
    assert_non_null(strstr(text, "the run has ended"));
}

/* --- Clients without manners ----------------------------------------------------------------- */

static void what_is_no_request_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static char much[SB_CONTROL_REQUEST_MAX + 1];
    char text[256];
    int fd = connect_raw(fixture);

    memset(much, 'x', sizeof much);
    assert_true(write(fd, much, sizeof much) > 0);
    read_answer(fd, text, sizeof text);
    assert_non_null(strstr(text, "SABOT_ERR_ARGUMENT"));
    fd = connect_raw(fixture);
    assert_int_equal(write(fd, "ec\0ho\n", 6), 6);
    read_answer(fd, text, sizeof text);
    assert_non_null(strstr(text, "SABOT_ERR_ARGUMENT"));
    fd = connect_raw(fixture);
    assert_int_equal(write(fd, "e\t1\t2\t3\t4\t5\t6\t7\t8\t9\n", 20), 20);
    read_answer(fd, text, sizeof text);
    assert_non_null(strstr(text, "SABOT_ERR_ARGUMENT"));
}

static void a_client_that_hangs_up_is_no_harm(void **state)
{
    struct fixture *fixture = *state;
    sabot_answer *answer;
    sabot_error error;

    atomic_store(&fixture->may_answer, true);
    for (int i = 0; i < 50; i++) {
        const int fd = connect_raw(fixture);

        if (i % 3 > 0)
            assert_true(write(fd, i % 3 == 1 ? "lat" : "large\n", i % 3 == 1 ? 3 : 6) > 0);
        (void)close(fd);
    }
    assert_int_equal(ask(fixture, "echo", "text=still here", &answer, &error), SABOT_OK);
    sabot_answer_destroy(answer);
}

static void more_clients_than_there_are_places_wait_at_the_door(void **state)
{
    struct fixture *fixture = *state;
    int silent[SB_CONTROL_CLIENTS_MAX];
    char text[256];
    int fd;

    for (int i = 0; i < SB_CONTROL_CLIENTS_MAX; i++)
        silent[i] = connect_raw(fixture);
    fd = connect_raw(fixture);
    assert_int_equal(write(fd, "echo\ttext=late\n", 15), 15);
    (void)close(silent[3]); /* its place is free again */
    read_answer(fd, text, sizeof text);
    assert_non_null(strstr(text, "late"));
    for (int i = 0; i < SB_CONTROL_CLIENTS_MAX; i++)
        if (i != 3)
            (void)close(silent[i]);
}

/* --- Names ----------------------------------------------------------------------------------- */

static void only_the_user_may_connect(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    struct stat info;

    assert_int_equal(sb_control_find(fixture->env, fixture->folder, "app", path, sizeof path, NULL),
                     SABOT_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_twin_has_its_own_socket_and_takes_the_name(void **state)
{
    struct fixture *fixture = *state;
    struct sb_control_server *twin;
    char first[256];
    char second[256];
    struct stat info;

    assert_int_equal(
        sb_control_find(fixture->env, fixture->folder, "app", first, sizeof first, NULL), SABOT_OK);
    assert_int_equal(open_server(fixture, &twin), SABOT_OK);
    assert_int_equal(
        sb_control_find(fixture->env, fixture->folder, "app", second, sizeof second, NULL),
        SABOT_OK);
    assert_string_not_equal(first, second);
    assert_int_equal(stat(first, &info), 0);
    end_run(fixture); /* the first one ends: the name stays the twin's */
    sb_control_server_close(fixture->server);
    fixture->server = NULL;
    assert_int_equal(stat(first, &info), -1);
    assert_int_equal(
        sb_control_find(fixture->env, fixture->folder, "app", first, sizeof first, NULL), SABOT_OK);
    assert_string_equal(first, second);
    sb_control_server_close(twin);
    assert_int_equal(
        sb_control_find(fixture->env, fixture->folder, "app", first, sizeof first, NULL),
        SABOT_ERR_NOT_FOUND);
}

static void what_a_dead_worker_has_left_is_removed(void **state)
{
    struct fixture *fixture = *state;
    struct sb_control_server *next;
    struct sb_socket *dead;
    char path[256];
    struct stat info;
    sabot_answer *answer;
    sabot_error error;

    (void)snprintf(path, sizeof path, "%s/app/control-0123456789abcdef.sock", fixture->folder);
    assert_int_equal(fixture->env->type->sockets->listen(fixture->env->self, path, &dead, NULL),
                     SABOT_OK);
    fixture->env->type->sockets->close(fixture->env->self, dead); /* its path stays */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(open_server(fixture, &next), SABOT_OK);
    assert_int_equal(stat(path, &info), -1);
    sb_control_server_close(next);
    assert_int_equal(ask(fixture, "echo", "text=x", &answer, &error), SABOT_ERR_NOT_FOUND);
}

static void a_path_too_long_for_a_socket_is_named_in_the_file(void **state)
{
    struct fixture *fixture = *state;
    char short_folder[sizeof fixture->folder];
    char path[512];
    struct sb_control_server *server;
    struct sb_control_config config = {
        .env = fixture->env,
        .app = "app",
        .verbs = verbs,
        .verb_count = 1,
        .context = fixture,
        .waker = fixture->waker,
    };
    char state_dir[256];

    (void)snprintf(short_folder, sizeof short_folder, "%s", fixture->folder);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", short_folder, 1), 0);
    (void)snprintf(state_dir, sizeof state_dir, "%s/%0120d", short_folder, 0);
    assert_int_equal(mkdir(state_dir, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/app", state_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    config.state_dir = state_dir;
    assert_int_equal(sb_control_server_open(&config, &server, NULL), SABOT_OK);
    assert_int_equal(sb_control_find(fixture->env, state_dir, "app", path, sizeof path, NULL),
                     SABOT_OK);
    assert_memory_equal(path, short_folder, strlen(short_folder));
    assert_non_null(strstr(path, "/sabot-"));
    sb_control_server_close(server);
    assert_int_equal(sb_control_find(fixture->env, state_dir, "app", path, sizeof path, NULL),
                     SABOT_ERR_NOT_FOUND);
}

static void say_what(void *context, char *text, size_t size)
{
    const struct fixture *fixture = context;

    (void)snprintf(text, size, "of %s, 7 of 9 bytes", fixture->folder);
}

static struct sb_control_config starting_config(struct fixture *fixture)
{
    return (struct sb_control_config){
        .env = fixture->env,
        .state_dir = fixture->folder,
        .app = "app",
        .verbs = verbs,
        .verb_count = sizeof verbs / sizeof verbs[0],
        .context = fixture,
        .starting = say_what,
        .waker = fixture->waker,
    };
}

static sabot_status ask_once(struct fixture *fixture, sabot_error *error)
{
    sabot_answer *answer;
    const sabot_status status = ask(fixture, "echo", "text=x", &answer, error);

    sabot_answer_destroy(answer);
    return status;
}

static void until_the_run_serves_its_thread_says_what_it_is_at(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_control_config config = starting_config(fixture);
    struct sb_control_server *server;
    sabot_error error;

    end_run(fixture);
    sb_control_server_close(fixture->server);
    fixture->server = NULL;
    assert_int_equal(sb_control_server_open(&config, &server, NULL), SABOT_OK);
    assert_int_equal(ask_once(fixture, &error), SABOT_ERR_STATE);
    assert_non_null(strstr(error.text, "the worker is starting: of "));
    assert_non_null(strstr(error.text, "7 of 9 bytes"));
    assert_int_equal(atomic_load(&fixture->served), 0);
    sb_control_server_close(server);
}

static void a_worker_that_starts_leaves_the_name_to_one_that_runs(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_control_config config = starting_config(fixture);
    struct sb_control_server *server;
    sabot_error error;

    assert_int_equal(sb_control_server_open(&config, &server, NULL), SABOT_OK);
    assert_int_equal(ask_once(fixture, &error), SABOT_OK);
    sb_control_server_close(server); /* it did not come so far */
    assert_int_equal(ask_once(fixture, &error), SABOT_OK);
    assert_int_equal(sb_control_server_open(&config, &server, NULL), SABOT_OK);
    assert_int_equal(sb_control_server_begin(server, &error), SABOT_OK);
    sb_control_server_close(server);
    assert_int_equal(ask_once(fixture, &error), SABOT_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(until_the_run_serves_its_thread_says_what_it_is_at, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_starts_leaves_the_name_to_one_that_runs,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_gets_its_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_verb_refuses_is_the_clients_error, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_larger_than_the_sockets_buffer_comes_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_request_that_takes_long_is_answered_when_it_is_done,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_run_answers_who_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_request_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_client_that_hangs_up_is_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(more_clients_than_there_are_places_wait_at_the_door, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_the_user_may_connect, setup, teardown),
        cmocka_unit_test_setup_teardown(a_twin_has_its_own_socket_and_takes_the_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_a_dead_worker_has_left_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_path_too_long_for_a_socket_is_named_in_the_file, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
