/* SPDX-License-Identifier: Apache-2.0 */
/* test_os.c - the environment of a process: clocks, steppers and wakers, files and folders, log,
 * crash points.
 *
 * Threads hand their findings to the test's own one; nothing here waits by sleeping. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

struct fixture {
    struct sb_env *env;
    char folder[64];
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    (void)snprintf(fixture->folder, sizeof fixture->folder, "test_os.XXXXXX");
    if (mkdtemp(fixture->folder) == NULL)
        return -1;
    *state = fixture;
    return 0;
}

static sabot_status remove_entry(void *context, const char *name)
{
    const struct fixture *fixture = context;
    char path[400];

    (void)snprintf(path, sizeof path, "%s/%s", fixture->folder, name);
    return fixture->env->type->path_remove(fixture->env->self, path, NULL);
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;

    (void)env->type->directory_list(env->self, fixture->folder, remove_entry, fixture, NULL);
    (void)rmdir(fixture->folder);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static const char *path_of(const struct fixture *fixture, const char *name)
{
    static char paths[4][400];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", fixture->folder, name);
    return path;
}

/* --- Clock, random ---------------------------------------------------------------------------- */

static void the_clock_never_goes_back(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    int64_t last = sb_now_us(env);

    for (int i = 0; i < 10000; i++) {
        const int64_t now = sb_now_us(env);

        assert_true(now >= last);
        last = now;
    }
    assert_true(sb_wall_ms(env) > INT64_C(1700000000000));
}

static void random_numbers_differ(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;

    assert_int_not_equal(sb_random(env), sb_random(env));
    assert_true(env->type->memory_peak(env->self) > 100000);
}

/* --- Steppers and wakers ---------------------------------------------------------------------- */

enum { ROUNDS = 20000 };

struct player {
    const struct sb_env *env;
    struct sb_waker *mine;
    struct sb_waker *other;
    _Atomic uint64_t *ball; /* even: the first player's turn */
    uint64_t odd;           /* 0 or 1 */
    uint64_t played;
    uint64_t steps;
};

static struct sb_step play(void *context)
{
    struct player *player = context;
    const uint64_t ball = atomic_load_explicit(player->ball, memory_order_relaxed);

    player->steps++;
    if (ball >= 2UL * ROUNDS) {
        sb_wake(player->env, player->other);
        return sb_step_done();
    }
    if (ball % 2 != player->odd)
        return sb_step_wait(INT64_MAX);
    player->played++;
    atomic_store_explicit(player->ball, ball + 1, memory_order_relaxed);
    sb_wake(player->env, player->other);
    return ball % 3 == 0 ? sb_step_again() : sb_step_wait(INT64_MAX);
}

/* A lost wake-up would leave both asleep for ever: the test would not end. */
static void two_steppers_play_ping_pong_without_losing_a_wake_up(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    _Atomic uint64_t ball = 0;
    struct player players[2];
    struct sb_thread *threads[2];
    struct sb_waker *wakers[2];

    for (size_t i = 0; i < 2; i++)
        assert_int_equal(env->type->waker_create(env->self, &wakers[i], NULL), SABOT_OK);
    for (size_t i = 0; i < 2; i++) {
        players[i] = (struct player){
            .env = env, .mine = wakers[i], .other = wakers[1 - i], .ball = &ball, .odd = i};
        assert_int_equal(
            env->type->spawn(env->self, "player", play, &players[i], wakers[i], &threads[i], NULL),
            SABOT_OK);
    }
    for (size_t i = 0; i < 2; i++)
        env->type->join(env->self, threads[i]);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(players[i].played, ROUNDS);
        env->type->waker_destroy(env->self, wakers[i]);
    }
}

enum { SENDERS = 3, SENDS = 5000 };

struct crowd {
    const struct sb_env *env;
    struct sb_waker *waker;
    _Atomic uint64_t sent;
    uint64_t seen;
};

static struct sb_step send_some(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < SENDS; i++) {
        atomic_fetch_add_explicit(&crowd->sent, 1, memory_order_relaxed);
        sb_wake(crowd->env, crowd->waker);
    }
    return sb_step_done();
}

static struct sb_step receive_all(void *context)
{
    struct crowd *crowd = context;

    crowd->seen = atomic_load_explicit(&crowd->sent, memory_order_relaxed);
    return crowd->seen == (uint64_t)SENDERS * SENDS ? sb_step_done() : sb_step_wait(INT64_MAX);
}

static void many_wakers_of_one_stepper_lose_nothing(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    struct crowd crowd = {.env = env};
    struct sb_waker *idle[SENDERS];
    struct sb_thread *threads[SENDERS + 1];

    assert_int_equal(env->type->waker_create(env->self, &crowd.waker, NULL), SABOT_OK);
    assert_int_equal(env->type->spawn(env->self, "receiver", receive_all, &crowd, crowd.waker,
                                      &threads[SENDERS], NULL),
                     SABOT_OK);
    for (size_t i = 0; i < SENDERS; i++) {
        assert_int_equal(env->type->waker_create(env->self, &idle[i], NULL), SABOT_OK);
        assert_int_equal(
            env->type->spawn(env->self, "sender", send_some, &crowd, idle[i], &threads[i], NULL),
            SABOT_OK);
    }
    for (size_t i = 0; i <= SENDERS; i++)
        env->type->join(env->self, threads[i]);
    assert_int_equal(crowd.seen, SENDERS * SENDS);
    for (size_t i = 0; i < SENDERS; i++)
        env->type->waker_destroy(env->self, idle[i]);
    env->type->waker_destroy(env->self, crowd.waker);
}

static void a_wake_before_the_wait_is_kept_and_used_once(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    struct sb_waker *waker;

    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    sb_wake(env, waker);
    sb_wake(env, waker);
    env->type->wait(env->self, waker, INT64_MAX); /* returns, or the test hangs */
    const int64_t deadline_us = sb_now_us(env) + 2000;
    env->type->wait(env->self, waker, deadline_us); /* the two wakes were one */
    assert_true(sb_now_us(env) >= deadline_us);
    env->type->waker_destroy(env->self, waker);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    struct sb_waker *waker;

    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    for (int64_t delay_us = -1000; delay_us <= 3000; delay_us += 500) {
        const int64_t deadline_us = sb_now_us(env) + delay_us;

        env->type->wait(env->self, waker, deadline_us);
        assert_true(sb_now_us(env) >= deadline_us);
    }
    env->type->wait(env->self, waker, INT64_MIN);
    env->type->waker_destroy(env->self, waker);
}

struct witness {
    char name[32];
    bool blocks_term;
    bool blocks_segv;
    size_t stack_size;
};

static struct sb_step testify(void *context)
{
    struct witness *witness = context;
    pthread_attr_t attributes;
    sigset_t mask;

    (void)pthread_getname_np(pthread_self(), witness->name, sizeof witness->name);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    witness->blocks_term = sigismember(&mask, SIGTERM) == 1;
    witness->blocks_segv = sigismember(&mask, SIGSEGV) == 1;
    (void)pthread_getattr_np(pthread_self(), &attributes);
    (void)pthread_attr_getstacksize(&attributes, &witness->stack_size);
    (void)pthread_attr_destroy(&attributes);
    return sb_step_done();
}

static void a_stepper_has_a_name_a_stack_and_no_signals(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    struct witness witness = {0};
    struct sb_thread *thread;
    struct sb_waker *waker;
    sigset_t mask;

    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    assert_int_equal(env->type->spawn(env->self, "a name that is too long", testify, &witness,
                                      waker, &thread, NULL),
                     SABOT_OK);
    env->type->join(env->self, thread);
    env->type->waker_destroy(env->self, waker);
    assert_string_equal(witness.name, "a name that is ");
    assert_true(witness.blocks_term);
    assert_false(witness.blocks_segv);
    assert_true(witness.stack_size >= 1024UL * 1024);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGTERM), 0); /* ours is as it was */
}

/* Some of them are made by the thread that keeps a stock; nobody can tell. */
static void memory_of_a_huge_page_is_aligned_and_its_owners_alone(void **state)
{
    enum { PAGES = 24, SIZE = 2 * 1024 * 1024 };
    struct sb_env *env = ((struct fixture *)*state)->env;
    uint8_t *pages[PAGES];

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < PAGES; i++) {
            pages[i] = env->type->allocate(env->self, SIZE, SIZE);
            assert_non_null(pages[i]);
            assert_int_equal((uintptr_t)pages[i] % SIZE, 0);
            pages[i][0] = (uint8_t)i;
            pages[i][SIZE - 1] = (uint8_t)i;
        }
        for (int i = 0; i < PAGES; i++) {
            assert_int_equal(pages[i][0], i);
            assert_int_equal(pages[i][SIZE - 1], i);
            env->type->release(env->self, pages[i], SIZE);
        }
    }
    sb_os_env_fail_allocation(env, 1);
    assert_null(env->type->allocate(env->self, SIZE, SIZE));
    sb_os_env_fail_allocation(env, 0);
}

static void threads_and_wakers_without_memory_say_so(void **state)
{
    struct sb_env *env = ((struct fixture *)*state)->env;
    struct sb_thread *thread = (struct sb_thread *)&thread;
    struct sb_waker *none = (struct sb_waker *)&none;
    struct sb_waker *waker;
    sabot_error error;

    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    sb_os_env_fail_allocation(env, 1);
    assert_int_equal(env->type->waker_create(env->self, &none, &error), SABOT_ERR_MEMORY);
    assert_null(none);
    assert_int_equal(env->type->spawn(env->self, "x", testify, NULL, waker, &thread, &error),
                     SABOT_ERR_MEMORY);
    assert_null(thread);
    assert_string_equal(error.text, "no memory for thread x");
    sb_os_env_fail_allocation(env, 0);
    env->type->waker_destroy(env->self, waker);
    env->type->waker_destroy(env->self, NULL);
    env->type->join(env->self, NULL);
}

/* --- Files ------------------------------------------------------------------------------------ */

static struct sb_file *open_file(const struct fixture *fixture,
                                 const char *name,
                                 enum sb_open_mode mode)
{
    const struct sb_env *env = fixture->env;
    struct sb_file *file;
    sabot_error error = {0};
    const sabot_status status =
        env->type->file_open(env->self, path_of(fixture, name), mode, &file, &error);

    if (status != SABOT_OK)
        print_error("%s\n", error.text);
    assert_int_equal(status, SABOT_OK);
    return file;
}

static void a_file_is_written_read_and_cut(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file *file = open_file(fixture, "a", SB_OPEN_TRUNCATE);
    struct sb_file_info info;
    char bytes[16];
    size_t size;

    assert_int_equal(env->type->file_write(file, "hello", 5, -1, NULL), SABOT_OK);
    assert_int_equal(env->type->file_write(file, " world", 6, -1, NULL), SABOT_OK);
    assert_int_equal(env->type->file_write(file, "W", 1, 6, NULL), SABOT_OK);
    assert_int_equal(env->type->file_sync(file, NULL), SABOT_OK);
    assert_int_equal(env->type->file_truncate(file, 9, NULL), SABOT_OK);
    env->type->file_close(env->self, file);

    file = open_file(fixture, "a", SB_OPEN_READ);
    assert_int_equal(env->type->file_read(file, bytes, 5, -1, &size, NULL), SABOT_OK);
    assert_int_equal(size, 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(env->type->file_read(file, bytes, sizeof bytes, -1, &size, NULL), SABOT_OK);
    assert_int_equal(size, 4);
    assert_memory_equal(bytes, " Wor", 4);
    assert_int_equal(env->type->file_read(file, bytes, sizeof bytes, 7, &size, NULL), SABOT_OK);
    assert_int_equal(size, 2);
    assert_int_equal(env->type->file_read(file, bytes, sizeof bytes, 100, &size, NULL), SABOT_OK);
    assert_int_equal(size, 0);
    assert_int_equal(env->type->file_info(file, &info, NULL), SABOT_OK);
    assert_int_equal(info.kind, SB_FILE_REGULAR);
    assert_int_equal(info.size, 9);
    assert_true(info.bytes_free > 0);
    env->type->file_close(env->self, file);
    env->type->file_close(env->self, NULL);
}

static void open_modes_keep_empty_or_refuse(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file *file = open_file(fixture, "a", SB_OPEN_NEW);
    struct sb_file_info info;
    struct stat status;
    sabot_error error;

    assert_int_equal(env->type->file_write(file, "abc", 3, -1, NULL), SABOT_OK);
    env->type->file_close(env->self, file);
    assert_int_equal(stat(path_of(fixture, "a"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    assert_int_equal(
        env->type->file_open(env->self, path_of(fixture, "a"), SB_OPEN_NEW, &file, &error),
        SABOT_ERR_EXISTS);
    assert_null(file);
    file = open_file(fixture, "a", SB_OPEN_UPDATE);
    assert_int_equal(env->type->file_info(file, &info, NULL), SABOT_OK);
    assert_int_equal(info.size, 3);
    env->type->file_close(env->self, file);
    file = open_file(fixture, "a", SB_OPEN_APPEND);
    assert_int_equal(truncate(path_of(fixture, "a"), 5), 0); /* somebody else changes it */
    assert_int_equal(env->type->file_write(file, "de", 2, -1, NULL), SABOT_OK);
    assert_int_equal(env->type->file_info(file, &info, NULL), SABOT_OK);
    assert_int_equal(info.size, 7);
    env->type->file_close(env->self, file);
    file = open_file(fixture, "a", SB_OPEN_TRUNCATE);
    assert_int_equal(env->type->file_info(file, &info, NULL), SABOT_OK);
    assert_int_equal(info.size, 0);
    env->type->file_close(env->self, file);
}

static void errors_name_path_operation_and_reason(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file *file;
    struct sb_file_info info;
    sabot_error error;
    char bytes[4];
    size_t size = 9;

    assert_int_equal(
        env->type->file_open(env->self, path_of(fixture, "none"), SB_OPEN_READ, &file, &error),
        SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "none: cannot open it for reading: No such file"));
    assert_null(file);
    assert_int_equal(env->type->file_open(env->self, fixture->folder, SB_OPEN_READ, &file, &error),
                     SABOT_ERR_IO);
    assert_non_null(strstr(error.text, "is a directory"));
    assert_int_equal(
        env->type->file_open(env->self, fixture->folder, SB_OPEN_TRUNCATE, &file, &error),
        SABOT_ERR_IO);
    assert_int_equal(env->type->path_info(env->self, path_of(fixture, "none"), &info, &error),
                     SABOT_ERR_NOT_FOUND);
    file = open_file(fixture, "w", SB_OPEN_TRUNCATE);
    assert_int_equal(env->type->file_read(file, bytes, 4, 8, &size, &error), SABOT_ERR_IO);
    assert_non_null(strstr(error.text, "w: cannot read 4 bytes at offset 8, 0 done: Bad file"));
    assert_int_equal(size, 0);
    env->type->file_close(env->self, file);
}

static void a_full_disk_is_an_error_that_may_go_away(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file *file;
    sabot_error error;

    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(env->type->file_open(env->self, "/dev/full", SB_OPEN_UPDATE, &file, NULL),
                     SABOT_OK);
    assert_int_equal(env->type->file_write(file, "abc", 3, -1, &error), SABOT_ERR_IO);
    assert_true(error.retriable);
    assert_non_null(strstr(error.text, "/dev/full: cannot write 3 bytes, 0 done: No space left"));
    env->type->file_close(env->self, file);
}

static void paths_are_renamed_linked_and_removed(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file_info one;
    struct sb_file_info two;
    sabot_error error;

    env->type->file_close(env->self, open_file(fixture, "a", SB_OPEN_NEW));
    assert_int_equal(
        env->type->path_rename(env->self, path_of(fixture, "a"), path_of(fixture, "b"), NULL),
        SABOT_OK);
    assert_int_equal(
        env->type->path_link(env->self, path_of(fixture, "b"), path_of(fixture, "c"), NULL),
        SABOT_OK);
    assert_int_equal(env->type->path_info(env->self, path_of(fixture, "b"), &one, NULL), SABOT_OK);
    assert_int_equal(env->type->path_info(env->self, path_of(fixture, "c"), &two, NULL), SABOT_OK);
    assert_int_equal(one.inode, two.inode);
    assert_int_equal(one.device, two.device);
    assert_int_equal(
        env->type->path_link(env->self, path_of(fixture, "b"), path_of(fixture, "c"), &error),
        SABOT_ERR_EXISTS);
    assert_int_equal(env->type->path_remove(env->self, path_of(fixture, "b"), NULL), SABOT_OK);
    assert_int_equal(env->type->path_remove(env->self, path_of(fixture, "b"), &error),
                     SABOT_ERR_NOT_FOUND);
    assert_int_equal(
        env->type->path_rename(env->self, path_of(fixture, "b"), path_of(fixture, "d"), &error),
        SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "b: cannot rename it to "));
}

static sabot_status collect(void *context, const char *name)
{
    char *names = context;

    assert_int_equal(strlen(name), 1);
    if (name[0] == 'z')
        return SABOT_END;
    names[name[0] - 'a'] = name[0];
    return SABOT_OK;
}

static void a_folder_is_made_listed_synced_and_removed(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    char names[26] = {0};
    struct sb_file_info info;
    struct stat status;
    sabot_error error;

    assert_int_equal(env->type->directory_create(env->self, path_of(fixture, "d"), NULL), SABOT_OK);
    assert_int_equal(env->type->directory_create(env->self, path_of(fixture, "d"), &error),
                     SABOT_ERR_EXISTS);
    assert_int_equal(stat(path_of(fixture, "d"), &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    env->type->file_close(env->self, open_file(fixture, "b", SB_OPEN_NEW));
    env->type->file_close(env->self, open_file(fixture, "c", SB_OPEN_NEW));
    assert_int_equal(env->type->directory_sync(env->self, fixture->folder, NULL), SABOT_OK);
    assert_int_equal(env->type->directory_sync(env->self, path_of(fixture, "b"), &error),
                     SABOT_ERR_IO);
    assert_int_equal(env->type->directory_list(env->self, fixture->folder, collect, names, NULL),
                     SABOT_OK);
    assert_memory_equal(names, "\0bcd\0", 5);
    assert_int_equal(env->type->path_info(env->self, path_of(fixture, "d"), &info, NULL), SABOT_OK);
    assert_int_equal(info.kind, SB_FILE_DIRECTORY);
    env->type->file_close(env->self, open_file(fixture, "z", SB_OPEN_NEW));
    assert_int_equal(env->type->directory_list(env->self, fixture->folder, collect, names, NULL),
                     SABOT_END);
    env->type->file_close(env->self, open_file(fixture, "d/x", SB_OPEN_NEW));
    assert_int_equal(env->type->path_remove(env->self, path_of(fixture, "d"), &error),
                     SABOT_ERR_IO);
    assert_int_equal(env->type->path_remove(env->self, path_of(fixture, "d/x"), NULL), SABOT_OK);
    assert_int_equal(env->type->path_remove(env->self, path_of(fixture, "d"), NULL), SABOT_OK);
    assert_int_equal(
        env->type->directory_list(env->self, path_of(fixture, "d"), collect, names, &error),
        SABOT_ERR_NOT_FOUND);
}

static void a_stream_is_read_by_pieces_with_a_timeout(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct sb_file_info info;
    struct sb_file *file;
    char bytes[8];
    size_t size = 7;

    assert_int_equal(mkfifo(path_of(fixture, "p"), 0600), 0);
    file = open_file(fixture, "p", SB_OPEN_READ); /* without a writer: does not block */
    assert_int_equal(env->type->file_info(file, &info, NULL), SABOT_OK);
    assert_int_equal(info.kind, SB_FILE_STREAM);
    assert_int_equal(env->type->file_read_some(file, bytes, sizeof bytes, 1, &size, NULL),
                     SABOT_AGAIN);
    assert_int_equal(size, 0);
    const int fd = open(path_of(fixture, "p"), O_WRONLY);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(env->type->file_read_some(file, bytes, sizeof bytes, -1, &size, NULL),
                     SABOT_OK);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "abc", 3);
    assert_int_equal(env->type->file_read_some(file, bytes, sizeof bytes, 0, &size, NULL),
                     SABOT_AGAIN);
    (void)close(fd);
    assert_int_equal(env->type->file_read_some(file, bytes, sizeof bytes, 60000, &size, NULL),
                     SABOT_OK);
    assert_int_equal(size, 0);
    assert_int_equal(env->type->file_sync(file, NULL), SABOT_OK);
    env->type->file_close(env->self, file);
}

struct pump {
    int fd;
    size_t size;
};

static void *pump_slowly(void *argument)
{
    const struct pump *pump = argument;

    for (size_t i = 0; i < pump->size; i++) {
        const char byte = (char)('a' + i % 26);

        if (write(pump->fd, &byte, 1) != 1)
            return argument;
    }
    (void)close(pump->fd);
    return NULL;
}

static void short_reads_of_a_nonblocking_pipe_are_continued(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    struct pump pump = {.size = 30000};
    static char bytes[40000];
    struct sb_file *file;
    pthread_t thread;
    void *failed;
    size_t size;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    pump.fd = fds[1];
    assert_int_equal(env->type->file_standard(env->self, fds[0], &file, NULL), SABOT_OK);
    assert_int_equal(pthread_create(&thread, NULL, pump_slowly, &pump), 0);
    assert_int_equal(env->type->file_read(file, bytes, 20000, -1, &size, NULL), SABOT_OK);
    assert_int_equal(size, 20000);
    assert_int_equal(env->type->file_read(file, bytes + 20000, 20000, -1, &size, NULL), SABOT_OK);
    assert_int_equal(size, 10000);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    for (size_t i = 0; i < 30000; i++)
        assert_int_equal(bytes[i], 'a' + i % 26);
    env->type->file_close(env->self, file);
    assert_int_equal(close(fds[0]), 0); /* a standard stream is not closed with its file */
}

static void *drain(void *argument)
{
    const int fd = *(const int *)argument;
    static char bytes[200000];
    size_t size = 0;
    ssize_t result;

    while ((result = read(fd, bytes + size, sizeof bytes - size)) > 0)
        size += (size_t)result;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (char)('a' + i % 26))
            return NULL;
    return (void *)(uintptr_t)size;
}

static void short_writes_to_a_nonblocking_pipe_are_continued(void **state)
{
    const struct fixture *fixture = *state;
    const struct sb_env *env = fixture->env;
    static char bytes[150000];
    struct sb_file *file;
    pthread_t thread;
    void *drained;
    int fds[2];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + i % 26);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(env->type->file_standard(env->self, fds[1], &file, NULL), SABOT_OK);
    assert_int_equal(pthread_create(&thread, NULL, drain, &fds[0]), 0);
    assert_int_equal(env->type->file_write(file, bytes, sizeof bytes, -1, NULL), SABOT_OK);
    env->type->file_close(env->self, file);
    assert_int_equal(close(fds[1]), 0);
    assert_int_equal(pthread_join(thread, &drained), 0);
    assert_int_equal((uintptr_t)drained, sizeof bytes);
    (void)close(fds[0]);
}

static void a_standard_stream_that_is_closed_is_an_error(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    struct sb_file *file = (struct sb_file *)&file;
    sabot_error error;

    assert_int_equal(env->type->file_standard(env->self, 987, &file, &error), SABOT_ERR_IO);
    assert_null(file);
    assert_non_null(strstr(error.text, "descriptor 987: cannot use it: Bad file"));
}

static void opening_without_memory_leaves_nothing(void **state)
{
    const struct fixture *fixture = *state;
    struct sb_env *env = fixture->env;
    sabot_status status = SABOT_ERR_MEMORY;
    struct sb_file *file = NULL;
    uint64_t nth = 0;

    while (status == SABOT_ERR_MEMORY) {
        assert_null(file);
        sb_os_env_fail_allocation(env, ++nth);
        status =
            env->type->file_open(env->self, path_of(fixture, "a"), SB_OPEN_TRUNCATE, &file, NULL);
    }
    assert_int_equal(status, SABOT_OK);
    assert_int_equal(nth, 3);
    sb_os_env_fail_allocation(env, 0);
    env->type->file_close(env->self, file);
}

/* --- Log and crash points --------------------------------------------------------------------- */

/* Run `body` in a child with standard error in a pipe; its wait status, and what it wrote. */
static int run_child(void (*body)(void *), void *context, char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;
    int status = 0;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    (void)fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        body(context);
        _exit(0);
    }
    (void)close(fds[1]);
    while (used + 1 < size && (got = read(fds[0], text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    (void)close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void log_some(void *context)
{
    struct sb_env *env = context;
    char text[3000];

    sb_log(env, SABOT_LOG_INFO, "orders", "read %d", 12);
    sb_log(env, SABOT_LOG_DEBUG, "orders", "not on");
    sb_log(env, SABOT_LOG_ERROR, "a", "x\ny\x1b[2J\x7f\xc2\x9b\xc3\xa9");
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    sb_log(env, SABOT_LOG_WARN, "a", "%s", text);
}

static void the_log_writes_single_clean_lines(void **state)
{
    const struct sb_env *env = ((struct fixture *)*state)->env;
    char text[8192];
    char *line = text;

    assert_int_equal(run_child(log_some, (void *)(uintptr_t)env, text, sizeof text), 0);
    assert_int_equal(text[4], '-');
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[23], 'Z');
    assert_memory_equal(text + 24, " INFO  orders: read 12\n", 23);
    line = strchr(line, '\n') + 1;
    assert_memory_equal(line + 24, " ERROR a: x\\ny\\x1b[2J\\x7f\\xc2\\x9b\xc3\xa9\n", 36);
    line = strchr(line, '\n') + 1;
    assert_memory_equal(line + 24, " WARN  a: \\n\\n", 14);
    assert_string_equal(line + strlen(line) - 4, "...\n");
    assert_true(strlen(line) < 2200);
    line = strchr(line, '\n') + 1;
    assert_int_equal(*line, '\0');
}

static void reach_crash_points(void *context)
{
    struct sb_env *env;

    (void)setenv("SABOT_CRASH_AT", context, 1);
    if (sb_os_env_create(&env, NULL) != SABOT_OK)
        _exit(9);
    for (int i = 1; i <= 3; i++) {
        (void)dprintf(STDERR_FILENO, "%d", i);
        sb_crash_point(env, "txn.other");
        sb_crash_point(env, "txn.before_commit");
    }
    sb_os_env_destroy(env);
}

static void a_crash_point_ends_the_process_at_its_hit(void **state)
{
    char plan[] = "txn.before_commit:2";
    char never[] = "txn.before_commit:4";
    char text[64];
    int status;

    (void)state;
    status = run_child(reach_crash_points, plan, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_string_equal(text, "12");
    status = run_child(reach_crash_points, never, text, sizeof text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_string_equal(text, "123");
}

static void a_malformed_crash_plan_is_refused(void **state)
{
    static char plans[][32] = {"label",   ":1",       "label:",  "label:0",
                               "label:x", "label:1x", "label:-1"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        const int status = run_child(reach_crash_points, plans[i], text, sizeof text);

        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 9);
    }
}

static void fail_an_assertion(void *context)
{
    const bool holds = context != NULL;

    SB_ASSERT(holds);
}

static void a_failed_assertion_says_where_and_aborts(void **state)
{
    char text[4096];
    const int status = run_child(fail_an_assertion, NULL, text, sizeof text);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "assertion failed: holds\n"));
    assert_non_null(strstr(text, "test_os.c:"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_clock_never_goes_back),
        TEST(random_numbers_differ),
        TEST(two_steppers_play_ping_pong_without_losing_a_wake_up),
        TEST(many_wakers_of_one_stepper_lose_nothing),
        TEST(a_wake_before_the_wait_is_kept_and_used_once),
        TEST(a_wait_ends_at_its_deadline),
        TEST(a_stepper_has_a_name_a_stack_and_no_signals),
        TEST(threads_and_wakers_without_memory_say_so),
        TEST(a_file_is_written_read_and_cut),
        TEST(open_modes_keep_empty_or_refuse),
        TEST(errors_name_path_operation_and_reason),
        TEST(a_full_disk_is_an_error_that_may_go_away),
        TEST(paths_are_renamed_linked_and_removed),
        TEST(a_folder_is_made_listed_synced_and_removed),
        TEST(a_stream_is_read_by_pieces_with_a_timeout),
        TEST(short_reads_of_a_nonblocking_pipe_are_continued),
        TEST(short_writes_to_a_nonblocking_pipe_are_continued),
        TEST(memory_of_a_huge_page_is_aligned_and_its_owners_alone),
        TEST(a_standard_stream_that_is_closed_is_an_error),
        TEST(opening_without_memory_leaves_nothing),
        TEST(the_log_writes_single_clean_lines),
        TEST(a_crash_point_ends_the_process_at_its_hit),
        TEST(a_malformed_crash_plan_is_refused),
        TEST(a_failed_assertion_says_where_and_aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
