/* SPDX-License-Identifier: Apache-2.0 */
/* os_thread.c - steppers as threads, and the wakers they sleep on.
 *
 *   IDLE      --wake()-------->  SIGNALLED   the next wait returns at once
 *   IDLE      --wait()-------->  SLEEPING    after spinning for a while
 *   SLEEPING  --wake()-------->  SIGNALLED   and one futex call
 *   SIGNALLED --wait() returns-> IDLE
 *
 * No wake-up is lost: both sides change the state only by atomic exchange. If the waiter goes to
 * SLEEPING first, the exchange of wake() sees it and calls the futex, and a futex not yet waited on
 * doesn't block, for its word has changed. If wake() comes first, the waiter finds SIGNALLED. The
 * exchange also orders memory: what the caller wrote before wake() is seen after the wait. A plain
 * load and store would not do: a second wake() between the two would be overwritten unseen.
 *
 * Spinning: a wake-up of a sleeper costs the caller microseconds, so a waiter watches its state for
 * some tens of microseconds first, if processors are to spare, and as long as that has paid lately.
 *
 * Threads: wake() any thread or signal handler; wait() one. Memory: one cache line a waker. */
#include "base/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    SPIN_US = 30,        /* of one wait */
    SPIN_LOOKS = 64,     /* looks at the state between two looks at the clock */
    SPIN_CREDIT_MAX = 8, /* failures in a row until spinning stops */
    SPIN_RETRY = 32,     /* waits without spinning until it is tried again */
    STACK_MIN = 1024 * 1024,
    GUARD_SIZE = 64 * 1024,
    NAME_MAX_SIZE = 16, /* Linux: with the NUL */
};

enum { WAKER_IDLE, WAKER_SIGNALLED, WAKER_SLEEPING };

struct sb_waker {
    _Alignas(SB_CACHE_LINE) _Atomic uint32_t state;
    uint32_t spin_credit;  /* waiter's: 0 means that spinning has not paid lately */
    uint32_t spin_skipped; /* waiter's: waits since credit ran out */
};

struct sb_thread {
    pthread_t thread;
    struct sb_os *os;
    sb_step_function step;
    void *context;
    struct sb_waker *waker;
    char name[NAME_MAX_SIZE];
};

/* --- Wakers ----------------------------------------------------------------------------------- */

sabot_status sb_os_waker_create(void *self, struct sb_waker **waker_out, sabot_error *error)
{
    const struct sb_os *os = self;
    struct sb_waker *waker = sb_alloc(&os->env, sizeof *waker);

    *waker_out = NULL;
    if (waker == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a waker");
    waker->spin_credit = SPIN_CREDIT_MAX;
    *waker_out = waker;
    return SABOT_OK;
}

void sb_os_waker_destroy(void *self, struct sb_waker *waker)
{
    const struct sb_os *os = self;

    if (waker == NULL)
        return;
    SB_ASSERT(atomic_load(&waker->state) != WAKER_SLEEPING);
    sb_free(&os->env, waker, sizeof *waker);
}

void sb_os_wake(struct sb_waker *waker)
{
    const int saved = errno; /* a signal handler must leave it alone */

    if (atomic_exchange_explicit(&waker->state, WAKER_SIGNALLED, memory_order_acq_rel) ==
        WAKER_SLEEPING)
        (void)syscall(SYS_futex, &waker->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

/* Take the signal, if there is one. */
static bool take_signal(struct sb_waker *waker)
{
    if (atomic_load_explicit(&waker->state, memory_order_relaxed) != WAKER_SIGNALLED)
        return false;
    return atomic_exchange_explicit(&waker->state, WAKER_IDLE, memory_order_acq_rel) ==
           WAKER_SIGNALLED;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool watch(struct sb_waker *waker, int64_t until_us)
{
    do {
        for (uint32_t look = 0; look < SPIN_LOOKS; look++) {
            if (take_signal(waker))
                return true;
            relax();
        }
    } while (sb_os_now_us(NULL) < until_us);
    return false;
}

/* Spin, if it is likely to pay. True: signalled. */
static bool spin(struct sb_os *os, struct sb_waker *waker, int64_t now_us, int64_t deadline_us)
{
    const int64_t until_us = deadline_us - now_us > SPIN_US ? now_us + SPIN_US : deadline_us;
    bool signalled = false;

    if (waker->spin_credit == 0 && ++waker->spin_skipped < SPIN_RETRY)
        return false;
    waker->spin_skipped = 0;
    if (atomic_fetch_add_explicit(&os->spinners, 1, memory_order_relaxed) < os->spinners_max) {
        signalled = watch(waker, until_us);
        if (signalled)
            waker->spin_credit = SPIN_CREDIT_MAX;
        else if (waker->spin_credit > 0)
            waker->spin_credit--;
    }
    atomic_fetch_sub_explicit(&os->spinners, 1, memory_order_relaxed);
    return signalled;
}

static void sleep_on(struct sb_waker *waker, int64_t deadline_us)
{
    const struct timespec deadline = {.tv_sec = (time_t)(deadline_us / 1000000),
                                      .tv_nsec = (long)(deadline_us % 1000000) * 1000};
    uint32_t expected = WAKER_IDLE;

    if (!atomic_compare_exchange_strong_explicit(&waker->state, &expected, WAKER_SLEEPING,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    /* The kernel compares the word once more under its own lock, then sleeps: an absolute,
     * monotonic deadline. */
    while (atomic_load_explicit(&waker->state, memory_order_relaxed) == WAKER_SLEEPING) {
        const long result =
            syscall(SYS_futex, &waker->state, FUTEX_WAIT_BITSET_PRIVATE, WAKER_SLEEPING,
                    deadline_us == INT64_MAX ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);

        if (result < 0 && errno == ETIMEDOUT)
            return;
        SB_ASSERT(result == 0 || errno == EAGAIN || errno == EINTR);
    }
}

void sb_os_wait(void *self, struct sb_waker *waker, int64_t deadline_us)
{
    struct sb_os *os = self;
    int64_t now_us;

    if (take_signal(waker))
        return;
    now_us = sb_os_now_us(NULL);
    if (deadline_us <= now_us)
        return;
    if (spin(os, waker, now_us, deadline_us))
        return;
    sleep_on(waker, deadline_us);
    (void)atomic_exchange_explicit(&waker->state, WAKER_IDLE, memory_order_acq_rel);
}

/* --- Steppers --------------------------------------------------------------------------------- */

static void *thread_main(void *argument)
{
    struct sb_thread *thread = argument;

    (void)pthread_setname_np(pthread_self(), thread->name);
    for (;;) {
        const struct sb_step step = thread->step(thread->context);

        switch (step.state) {
        case SB_STEP_AGAIN: break;
        case SB_STEP_WAIT: sb_os_wait(thread->os, thread->waker, step.deadline_us); break;
        case SB_STEP_DONE: return NULL;
        }
    }
}

/* Signals are for the process's main thread, except those that a thread's own instruction raises.
 */
static void signals_to_block(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        (void)sigdelset(set, own[i]);
}

static int start(struct sb_thread *thread)
{
    pthread_attr_t attributes;
    sigset_t blocked;
    sigset_t before;
    size_t stack_size = 0;
    int result = pthread_attr_init(&attributes);

    if (result != 0)
        return result;
    (void)pthread_attr_getstacksize(&attributes, &stack_size);
    if (stack_size < STACK_MIN)
        (void)pthread_attr_setstacksize(&attributes, STACK_MIN);
    (void)pthread_attr_setguardsize(&attributes, GUARD_SIZE);

    /* A new thread inherits the mask of its maker, so that no signal can slip in before it sets its
     * own. */
    signals_to_block(&blocked);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &before);
    result = pthread_create(&thread->thread, &attributes, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return result;
}

sabot_status sb_os_spawn(void *self,
                         const char *name,
                         sb_step_function step,
                         void *context,
                         struct sb_waker *waker,
                         struct sb_thread **thread_out,
                         sabot_error *error)
{
    struct sb_os *os = self;
    struct sb_thread *thread;
    char reason[128];
    int result;

    SB_ASSERT(step != NULL);
    SB_ASSERT(waker != NULL);
    *thread_out = NULL;
    thread = sb_alloc(&os->env, sizeof *thread);
    if (thread == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for thread %s", name);
    thread->os = os;
    thread->step = step;
    thread->context = context;
    thread->waker = waker;
    (void)snprintf(thread->name, sizeof thread->name, "%.15s", name);
    result = start(thread);
    if (result != 0) {
        sb_free(&os->env, thread, sizeof *thread);
        return sabot_raise(error, SABOT_ERR_MEMORY,
                           "cannot start thread %s: %s; see the limits of memory and threads "
                           "(ulimit -u, ulimit -v)",
                           name, strerror_r(result, reason, sizeof reason));
    }
    *thread_out = thread;
    return SABOT_OK;
}

void sb_os_join(void *self, struct sb_thread *thread)
{
    const struct sb_os *os = self;
    int result;

    if (thread == NULL)
        return;
    result = pthread_join(thread->thread, NULL);
    SB_ASSERT(result == 0);
    sb_free(&os->env, thread, sizeof *thread);
}
