/* SPDX-License-Identifier: Apache-2.0 */
/* os_huge.c - huge pages, made ready by a thread of their own before state needs them.
 *
 *     thread --allocate, touch--> stock of some pages --take--> whoever allocates 2 MiB
 *
 * The kernel clears a huge page when it is touched first, and may have to move others out of the
 * way for it: milliseconds, in which a worker would do nothing. So once a process has taken some, a
 * thread keeps a few in stock. Who finds the stock empty gets memory as it comes, in small pages.
 *
 * Invariants: the thread never holds the lock while it makes a page; what is in stock has been
 * touched and belongs to nobody.
 * Threads: take() any; create and destroy the environment's. Memory: STOCK pages, once it runs. */
#include "base/os.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"

enum {
    STOCK = 8,         /* pages: what a worker takes in a tenth of a second */
    BEGIN_AFTER = 4,   /* pages taken; who needs less does without the thread */
    TOUCH_STEP = 4096, /* where the kernel gives small pages, each is touched */
};

struct sb_os_huge {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool runs;
    bool ends;
    uint32_t taken; /* until the thread runs */
    uint32_t count;
    void *stock[STOCK];
};

static void *allocate(void)
{
    void *memory = NULL;

    return posix_memalign(&memory, SB_OS_HUGE_PAGE, SB_OS_HUGE_PAGE) == 0 ? memory : NULL;
}

/* A wish: where the kernel has no huge page it is memory that has been touched. */
static void *make_page(void)
{
    void *page = allocate();
    volatile uint8_t *bytes = page;

    if (page == NULL)
        return NULL;
    (void)madvise(page, SB_OS_HUGE_PAGE, MADV_HUGEPAGE);
    for (size_t at = 0; at < SB_OS_HUGE_PAGE; at += TOUCH_STEP)
        bytes[at] = 0;
    return page;
}

static void *keep_stock(void *context)
{
    struct sb_os_huge *huge = context;
    bool fails = false; /* no memory: until somebody takes a page again */
    const struct sched_param no_priority = {0};

    (void)pthread_setname_np(pthread_self(), "sabot-pages");
    /* A worker that takes a page wakes this thread, and must not lose its processor by that. */
    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
    (void)pthread_mutex_lock(&huge->lock);
    while (!huge->ends) {
        void *page;

        if (huge->count == STOCK || fails) {
            (void)pthread_cond_wait(&huge->wake, &huge->lock);
            fails = false;
            continue;
        }
        (void)pthread_mutex_unlock(&huge->lock);
        page = make_page();
        (void)pthread_mutex_lock(&huge->lock);
        fails = page == NULL;
        if (page != NULL)
            huge->stock[huge->count++] = page;
    }
    (void)pthread_mutex_unlock(&huge->lock);
    return NULL;
}

/* With the lock. Signals are for other threads. Without a thread all goes on as before. */
static void begin(struct sb_os_huge *huge)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    huge->runs = pthread_create(&huge->thread, NULL, keep_stock, huge) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    huge->taken = 0; /* when there was none, it is tried again later */
}

struct sb_os_huge *sb_os_huge_create(void)
{
    struct sb_os_huge *huge = calloc(1, sizeof *huge);

    if (huge == NULL)
        return NULL;
    (void)pthread_mutex_init(&huge->lock, NULL);
    (void)pthread_cond_init(&huge->wake, NULL);
    return huge;
}

void sb_os_huge_destroy(struct sb_os_huge *huge)
{
    if (huge == NULL)
        return;
    (void)pthread_mutex_lock(&huge->lock);
    huge->ends = true;
    (void)pthread_cond_signal(&huge->wake);
    (void)pthread_mutex_unlock(&huge->lock);
    if (huge->runs)
        (void)pthread_join(huge->thread, NULL);
    for (uint32_t i = 0; i < huge->count; i++)
        free(huge->stock[i]);
    (void)pthread_cond_destroy(&huge->wake);
    (void)pthread_mutex_destroy(&huge->lock);
    free(huge);
}

void *sb_os_huge_take(struct sb_os_huge *huge)
{
    void *page = NULL;

    (void)pthread_mutex_lock(&huge->lock);
    if (huge->count > 0)
        page = huge->stock[--huge->count];
    if (huge->runs)
        (void)pthread_cond_signal(&huge->wake);
    else if (++huge->taken >= BEGIN_AFTER)
        begin(huge);
    (void)pthread_mutex_unlock(&huge->lock);
    return page == NULL ? allocate() : page;
}
