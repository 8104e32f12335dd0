/* SPDX-License-Identifier: Apache-2.0 */
/* env.h - the port layer: the only way from Sabot to the world.
 *
 * Clocks, threads, files, random numbers, memory and the end of the process are reached through one
 * handle that is passed down; there are no globals. os.c implements it on POSIX; a simulator
 * implements it in one thread, from a seed, with a virtual clock and a disk that forgets.
 *
 * Concurrency is shaped so that both can run the same code: everything that runs is a *stepper*, an
 * object with a step function that does a bounded piece of work and says what it waits for. In
 * production each stepper has a thread that calls it; in simulation a scheduler picks the next one
 * by the seed. Steppers share nothing but rings, wakers and what a comment names.
 *
 * Ownership: the env outlives everything made with it. Threads: every function may be called by any
 * thread unless said otherwise. */
#ifndef SB_BASE_ENV_H
#define SB_BASE_ENV_H

#include <sabot/context.h>
#include <sabot/status.h>

struct sb_env;
struct sb_thread;
struct sb_waker;
struct sb_file;
struct sb_socket_type;

/* --- Steppers --------------------------------------------------------------------------------- */

enum sb_step_state {
    SB_STEP_AGAIN, /* there is more to do: call again at once */
    SB_STEP_WAIT,  /* nothing to do until woken or until the deadline */
    SB_STEP_DONE,  /* never call again */
};

struct sb_step {
    enum sb_step_state state;
    int64_t deadline_us; /* SB_STEP_WAIT: on the monotonic clock; INT64_MAX: none */
};

typedef struct sb_step (*sb_step_function)(void *context);

static inline struct sb_step sb_step_again(void)
{
    return (struct sb_step){SB_STEP_AGAIN, 0};
}
static inline struct sb_step sb_step_done(void)
{
    return (struct sb_step){SB_STEP_DONE, 0};
}
static inline struct sb_step sb_step_wait(int64_t deadline_us)
{
    return (struct sb_step){SB_STEP_WAIT, deadline_us};
}

/* What two steppers that take turns on one thread need together: the sooner of both. */
static inline struct sb_step sb_step_sooner(struct sb_step a, struct sb_step b)
{
    if (a.state == SB_STEP_AGAIN || b.state == SB_STEP_DONE)
        return a;
    if (b.state == SB_STEP_AGAIN || a.state == SB_STEP_DONE)
        return b;
    return sb_step_wait(a.deadline_us < b.deadline_us ? a.deadline_us : b.deadline_us);
}

/* --- Files ------------------------------------------------------------------------------------ */

enum sb_open_mode {
    SB_OPEN_READ,     /* must exist */
    SB_OPEN_TRUNCATE, /* for writing; created or emptied */
    SB_OPEN_WRITE,    /* for writing; created when missing, kept as it is */
    SB_OPEN_UPDATE,   /* for reading and writing; created when missing, kept as it is */
    SB_OPEN_NEW,      /* for writing; must not exist */
    SB_OPEN_APPEND,   /* for writing at the end, wherever that is; created when missing */
};

enum sb_file_kind { SB_FILE_REGULAR, SB_FILE_DIRECTORY, SB_FILE_STREAM /* pipe, tty, device */ };

struct sb_file_info {
    enum sb_file_kind kind;
    uint64_t size;   /* bytes; regular files */
    uint64_t device; /* with inode: is it the same file? */
    uint64_t inode;
    uint64_t bytes_free; /* of the file system */
};

typedef sabot_status (*sb_list_function)(void *context, const char *name); /* not SABOT_OK: stop */

/* Everything an environment must do. `self` is sb_env.self. Errors name the path and the system's
 * reason. */
struct sb_env_type {
    /* Monotonic time for delays and deadlines (never goes back); wall time only for people and
     * timestamps. */
    int64_t (*now_us)(void *self);
    int64_t (*wall_ms)(void *self);
    /* 64 random bits; from the system in production, from the seed in simulation. */
    uint64_t (*random)(void *self);

    /* Memory. Returns NULL when there is none. Every call can be made to fail by number
     * (env_fail_allocation). */
    void *(*allocate)(void *self, size_t size, size_t alignment);
    void *(*reallocate)(void *self, void *memory, size_t old_size, size_t size);
    void (*release)(void *self, void *memory, size_t size);

    /* Threads: run `step(context)` until it returns SB_STEP_DONE. `waker` wakes its waits. */
    sabot_status (*spawn)(void *self,
                          const char *name,
                          sb_step_function step,
                          void *context,
                          struct sb_waker *waker,
                          struct sb_thread **thread_out,
                          sabot_error *error);
    void (*join)(void *self, struct sb_thread *thread); /* waits for DONE; frees */

    /* Wakers: wake() makes the waiter's current or next wait return. Cheap when it isn't waiting.
     * Async-signal-safe. */
    sabot_status (*waker_create)(void *self, struct sb_waker **waker_out, sabot_error *error);
    void (*waker_destroy)(void *self, struct sb_waker *waker);
    void (*wake)(struct sb_waker *waker);
    /* For the one waiter: sleep until woken or `deadline_us`. */
    void (*wait)(void *self, struct sb_waker *waker, int64_t deadline_us);

    /* Files. "-" is no special name here. Reads and writes are whole: a short one is continued;
     * *size_out is less than `size` only at the end of the file. offset -1: at the current position
     * (streams). */
    sabot_status (*file_open)(void *self,
                              const char *path,
                              enum sb_open_mode mode,
                              struct sb_file **file_out,
                              sabot_error *error);
    sabot_status (*file_standard)(void *self,
                                  int fd,
                                  struct sb_file **file_out,
                                  sabot_error *error);
    void (*file_close)(void *self, struct sb_file *file);
    sabot_status (*file_read)(struct sb_file *file,
                              void *buffer,
                              size_t size,
                              int64_t offset,
                              size_t *size_out,
                              sabot_error *error);
    /* These bytes will be read soon: whoever can begins to fetch them. Never waits for them. */
    void (*file_expect)(struct sb_file *file, int64_t offset, size_t size);
    /* One read of a stream: blocks until some bytes, the end (*size_out == 0) or `timeout_ms`
     * (SABOT_AGAIN). */
    sabot_status (*file_read_some)(struct sb_file *file,
                                   void *buffer,
                                   size_t size,
                                   int64_t timeout_ms,
                                   size_t *size_out,
                                   sabot_error *error);
    sabot_status (*file_write)(struct sb_file *file,
                               const void *bytes,
                               size_t size,
                               int64_t offset,
                               sabot_error *error);
    sabot_status (*file_sync)(struct sb_file *file, sabot_error *error);
    sabot_status (*file_truncate)(struct sb_file *file, uint64_t size, sabot_error *error);
    sabot_status (*file_info)(struct sb_file *file,
                              struct sb_file_info *info_out,
                              sabot_error *error);
    sabot_status (*path_info)(void *self,
                              const char *path,
                              struct sb_file_info *info_out,
                              sabot_error *error);
    sabot_status (*path_rename)(void *self, const char *from, const char *to, sabot_error *error);
    sabot_status (*path_link)(void *self, const char *from, const char *to, sabot_error *error);
    sabot_status (*path_remove)(void *self,
                                const char *path,
                                sabot_error *error); /* file or empty directory */
    sabot_status (*directory_create)(void *self,
                                     const char *path,
                                     sabot_error *error); /* mode 0700 */
    sabot_status (*directory_sync)(void *self, const char *path, sabot_error *error);
    sabot_status (*directory_list)(void *self,
                                   const char *path,
                                   sb_list_function each,
                                   void *context,
                                   sabot_error *error);

    /* A labelled point where a test may end the process, or a simulation may end the incarnation.
     */
    void (*crash_point)(void *self, const char *label);
    /* Decisions worth comparing between two runs of one seed; a no-op in production. */
    void (*trace)(void *self, const char *what, uint64_t value);

    /* One line to the log, without newline. */
    void (*log)(void *self, sabot_log_level level, const char *line);
    /* Peak resident memory of the process, bytes. */
    uint64_t (*memory_peak)(void *self);
    /* Connections to other processes (socket.h); NULL: there are none. */
    const struct sb_socket_type *sockets;
};

/* The handle. The hash seed is drawn once, or fixed by whoever makes the environment. */
struct sb_env {
    const struct sb_env_type *type;
    void *self;
    sabot_log_level log_level;
};

/* The environment of a process on POSIX. */
SABOT_MUST_CHECK sabot_status sb_os_env_create(struct sb_env **env_out, sabot_error *error);
void sb_os_env_destroy(struct sb_env *env);
/* Tests: let the n-th allocation from now on fail (0: none), and all after it until called again.
 * Counts them. */
void sb_os_env_fail_allocation(struct sb_env *env, uint64_t nth);
uint64_t sb_os_env_allocation_count(const struct sb_env *env);

/* --- Short names ------------------------------------------------------------------------------ */

static inline int64_t sb_now_us(const struct sb_env *env)
{
    return env->type->now_us(env->self);
}
static inline int64_t sb_wall_ms(const struct sb_env *env)
{
    return env->type->wall_ms(env->self);
}
/* `timeout_ms` from now, as a deadline; negative: none. */
static inline int64_t sb_deadline_us(const struct sb_env *env, int64_t timeout_ms)
{
    const int64_t now_us = sb_now_us(env);

    if (timeout_ms < 0 || timeout_ms > (INT64_MAX - now_us) / 1000)
        return INT64_MAX;
    return now_us + timeout_ms * 1000;
}
static inline uint64_t sb_random(const struct sb_env *env)
{
    return env->type->random(env->self);
}
static inline void sb_wake(const struct sb_env *env, struct sb_waker *waker)
{
    env->type->wake(waker);
}

/* "txn.before_commit": in builds of tests SABOT_CRASH_AT=label:hit ends the process here at the
 * hit-th time. */
static inline void sb_crash_point(const struct sb_env *env, const char *label)
{
    env->type->crash_point(env->self, label);
}
static inline void sb_trace(const struct sb_env *env, const char *what, uint64_t value)
{
    env->type->trace(env->self, what, value);
}

/* Make the name of a file or folder safe: sync the folder that it is in. */
SABOT_MUST_CHECK sabot_status sb_sync_above(const struct sb_env *env,
                                            const char *path,
                                            sabot_error *error);

/* Remove a folder with the files in it, and in its folders, as far as that works. */
void sb_folder_remove(const struct sb_env *env, const char *path);

/* Log when `level` is on. `who` is a channel, an agent, a part; the line is "who: text". */
void sb_log(const struct sb_env *env,
            sabot_log_level level,
            const char *who,
            const char *format,
            ...) SABOT_PRINTF(4, 5);

/* Assertions stay on in release: they are for our own bugs, never for input. */
void sb_assert_failed(const char *expression, const char *file, int line) __attribute__((noreturn));
#define SB_ASSERT(expression)                      \
    (__builtin_expect(!!(expression), 1) ? (void)0 \
                                         : sb_assert_failed(#expression, __FILE__, __LINE__))

#endif
