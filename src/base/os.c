/* SPDX-License-Identifier: Apache-2.0 */
/* os.c - the environment of a process on POSIX: clock, memory, random numbers, log, crash points.
 *
 * Invariants: nothing here blocks; every function may be called by any thread.
 * Memory: the system's allocator, reached only through this file. */
#include "base/os.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* --- Clock and random numbers ----------------------------------------------------------------- */

int64_t sb_os_now_us(void *self)
{
    struct timespec now;

    (void)self;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t os_wall_ms(void *self)
{
    struct timespec now;

    (void)self;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t os_random(void *self)
{
    uint64_t value = 0;
    ssize_t size;

    (void)self;
    do
        size = getrandom(&value, sizeof value, 0);
    while (size < 0 && errno == EINTR);
    /* Up to 256 bytes come whole, and the call is as old as the kernels Sabot runs on. */
    SB_ASSERT(size == (ssize_t)sizeof value);
    return value;
}

/* --- Memory ----------------------------------------------------------------------------------- */

static bool allocation_fails(struct sb_os *os)
{
    const uint64_t number =
        atomic_fetch_add_explicit(&os->allocations, 1, memory_order_relaxed) + 1;
    const uint64_t fail_from = atomic_load_explicit(&os->fail_from, memory_order_relaxed);

    return fail_from != 0 && number >= fail_from;
}

static void *os_allocate(void *self, size_t size, size_t alignment)
{
    const struct sb_os *os = self;
    void *memory = NULL;

    if (allocation_fails(self))
        return NULL;
    /* Memory that is aligned to a huge page is meant for one: state is read at random, and with
     * small pages most reads would miss the page tables' cache. */
    if (size == SB_OS_HUGE_PAGE && alignment == SB_OS_HUGE_PAGE)
        return sb_os_huge_take(os->huge);
    if (posix_memalign(&memory, alignment, size == 0 ? 1 : size) != 0)
        return NULL;
    return memory;
}

/* Whoever frees must know the size. The allocator knows it too: roughly, and exactly under
 * AddressSanitizer. */
static void check_size(void *memory, size_t size)
{
    const size_t usable = malloc_usable_size(memory);

#ifdef __SANITIZE_ADDRESS__
    SB_ASSERT(usable == (size == 0 ? 1 : size));
#else
    SB_ASSERT(usable >= size);
#endif
}

static void *os_reallocate(void *self, void *memory, size_t old_size, size_t size)
{
    check_size(memory, old_size);
    if (allocation_fails(self))
        return NULL;
    return realloc(memory, size == 0 ? 1 : size);
}

static void os_release(void *self, void *memory, size_t size)
{
    (void)self;
    check_size(memory, size);
    free(memory);
}

void sb_os_env_fail_allocation(struct sb_env *env, uint64_t nth)
{
    struct sb_os *os = env->self;
    const uint64_t now = atomic_load_explicit(&os->allocations, memory_order_relaxed);

    atomic_store_explicit(&os->fail_from, nth == 0 ? 0 : now + nth, memory_order_relaxed);
}

uint64_t sb_os_env_allocation_count(const struct sb_env *env)
{
    struct sb_os *os = env->self;

    return atomic_load_explicit(&os->allocations, memory_order_relaxed);
}

static uint64_t os_memory_peak(void *self)
{
    struct rusage usage = {0};

    (void)self;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}

/* --- Crash points, trace, log ----------------------------------------------------------------- */

static void meet_crash(struct sb_os_crash *crash, const char *label)
{
    if (strcmp(crash->label, label) != 0)
        return;
    if (atomic_fetch_add_explicit(&crash->calls, 1, memory_order_relaxed) + 1 != crash->hit)
        return;
    /* SIGKILL, as by the kernel: no handler, no exit function, no buffer is written. After SIGSTOP
     * somebody lets it go on. */
    (void)kill(getpid(), crash->signal);
    while (crash->signal == SIGKILL)
        (void)pause();
}

static void os_crash_point(void *self, const char *label)
{
    struct sb_os *os = self;

    for (size_t i = 0; i < SB_OS_CRASHES; i++) {
        if (__builtin_expect(os->crashes[i].label != NULL, 0))
            meet_crash(&os->crashes[i], label);
    }
}

static void os_trace(void *self, const char *what, uint64_t value)
{
    (void)self;
    (void)what;
    (void)value;
}

static void write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(fd, bytes, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* a log that can't be written is lost; there is nobody left to tell */
        bytes += written;
        size -= (size_t)written;
    }
}

enum { LINE_END_MAX = 8 /* bytes: erase to the end of the line, newline, NUL */ };

static void os_log(void *self, sabot_log_level level, const char *line)
{
    static const char *const names[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};
    const struct sb_os *os = self;
    const int64_t now_ms = os_wall_ms(self);
    const time_t seconds = (time_t)(now_ms / 1000);
    struct tm parts;
    char text[4608];

    (void)gmtime_r(&seconds, &parts);
    const size_t head = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    const int length = snprintf(text + head, sizeof text - head - LINE_END_MAX, ".%03dZ %s %s",
                                (int)(now_ms % 1000), names[level & 3], line);
    if (length < 0)
        return;
    /* What a longer line left behind this one is erased. */
    const size_t size = strlen(text);
    (void)snprintf(text + size, sizeof text - size, "%s", os->log_erases ? "\033[K\n" : "\n");
    write_all(STDERR_FILENO, text, strlen(text));
}

void sb_assert_failed(const char *expression, const char *file, int line)
{
    char text[512];
    const int length =
        snprintf(text, sizeof text, "sabot: %s:%d: assertion failed: %s\n", file, line, expression);

    if (length > 0)
        write_all(STDERR_FILENO, text, strlen(text));
    abort();
}

/* --- The environment -------------------------------------------------------------------------- */

static const struct sb_env_type os_type = {
    .now_us = sb_os_now_us,
    .wall_ms = os_wall_ms,
    .random = os_random,
    .allocate = os_allocate,
    .reallocate = os_reallocate,
    .release = os_release,
    .spawn = sb_os_spawn,
    .join = sb_os_join,
    .waker_create = sb_os_waker_create,
    .waker_destroy = sb_os_waker_destroy,
    .wake = sb_os_wake,
    .wait = sb_os_wait,
    .file_open = sb_os_file_open,
    .file_standard = sb_os_file_standard,
    .file_close = sb_os_file_close,
    .file_read = sb_os_file_read,
    .file_expect = sb_os_file_expect,
    .file_read_some = sb_os_file_read_some,
    .file_write = sb_os_file_write,
    .file_sync = sb_os_file_sync,
    .file_truncate = sb_os_file_truncate,
    .file_info = sb_os_file_info,
    .path_info = sb_os_path_info,
    .path_rename = sb_os_path_rename,
    .path_link = sb_os_path_link,
    .path_remove = sb_os_path_remove,
    .directory_create = sb_os_directory_create,
    .directory_sync = sb_os_directory_sync,
    .directory_list = sb_os_directory_list,
    .crash_point = os_crash_point,
    .trace = os_trace,
    .log = os_log,
    .memory_peak = os_memory_peak,
    .sockets = &sb_os_sockets,
};

/* SABOT_CRASH_AT=label:hit, and SABOT_STOP_AT for a process that freezes there. */
static sabot_status plan_crash(struct sb_os *os,
                               struct sb_os_crash *crash,
                               const char *name,
                               int number,
                               sabot_error *error)
{
    const char *plan = getenv(name);
    const char *colon;
    char *end = NULL;

    if (plan == NULL || *plan == '\0')
        return SABOT_OK;
    colon = strrchr(plan, ':');
    errno = 0;
    if (colon != NULL && colon != plan && colon[1] >= '1' && colon[1] <= '9')
        crash->hit = strtoull(colon + 1, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s=%s: expected label:hit with a hit from 1 on, as in "
                           "txn.before_commit:2",
                           name, plan);
    crash->signal = number;
    crash->label = sb_string_copy_size(&os->env, plan, (size_t)(colon - plan));
    if (crash->label == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for %s", name);
    return SABOT_OK;
}

static bool erases_lines(int fd)
{
    const char *terminal = getenv("TERM");

    return isatty(fd) == 1 && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

sabot_status sb_os_env_create(struct sb_env **env_out, sabot_error *error)
{
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct sb_os *os = calloc(1, sizeof *os);

    *env_out = NULL;
    if (os == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the environment (%zu bytes)",
                           sizeof *os);
    os->env = (struct sb_env){.type = &os_type, .self = os, .log_level = SABOT_LOG_INFO};
    os->log_erases = erases_lines(STDERR_FILENO);
    os->spinners_max = processors > 1 ? (uint32_t)processors / 2 : 0;

    os->huge = sb_os_huge_create();

    sabot_status status = os->huge == NULL
                              ? sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a lock")
                              : plan_crash(os, &os->crashes[0], "SABOT_CRASH_AT", SIGKILL, error);

    if (status == SABOT_OK)
        status = plan_crash(os, &os->crashes[1], "SABOT_STOP_AT", SIGSTOP, error);
    if (status != SABOT_OK) {
        sb_os_env_destroy(&os->env);
        return status;
    }
    *env_out = &os->env;
    return SABOT_OK;
}

void sb_os_env_destroy(struct sb_env *env)
{
    struct sb_os *os;

    if (env == NULL)
        return;
    os = env->self;
    for (size_t i = 0; i < SB_OS_CRASHES; i++)
        sb_string_free(env, os->crashes[i].label);
    sb_os_huge_destroy(os->huge);
    free(os);
}
