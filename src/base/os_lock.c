/* SPDX-License-Identifier: Apache-2.0 */
/* os_lock.c - the lock of the port layer is a POSIX mutex. Threads: any. Memory: the caller's. */
#include <pthread.h>

#include "base/env.h"
#include "base/lock.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct sb_lock), "a lock holds a mutex");
_Static_assert(_Alignof(pthread_mutex_t) <= _Alignof(struct sb_lock), "a lock is aligned for it");

static pthread_mutex_t *mutex_of(struct sb_lock *lock)
{
    return (pthread_mutex_t *)(void *)lock->opaque;
}

void sb_lock_init(struct sb_lock *lock)
{
    const int result = pthread_mutex_init(mutex_of(lock), NULL);

    SB_ASSERT(result == 0);
}

void sb_lock_reset(struct sb_lock *lock)
{
    const int result = pthread_mutex_destroy(mutex_of(lock));

    SB_ASSERT(result == 0);
}

void sb_lock_take(struct sb_lock *lock)
{
    const int result = pthread_mutex_lock(mutex_of(lock));

    SB_ASSERT(result == 0);
}

void sb_lock_drop(struct sb_lock *lock)
{
    const int result = pthread_mutex_unlock(mutex_of(lock));

    SB_ASSERT(result == 0);
}
