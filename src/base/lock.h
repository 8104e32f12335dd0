/* SPDX-License-Identifier: Apache-2.0 */
/* lock.h - a lock for the few places where threads share more than a ring: held for a bounded
 * number of steps, never across a call that can wait, so that no step of a task blocks on it for
 * long.
 *
 * What a lock guards stands where it is declared. In the simulator all run in one thread and a lock
 * is never contended. Memory: inside of its owner, nothing to free but by reset. */
#ifndef SB_BASE_LOCK_H
#define SB_BASE_LOCK_H

#include <stdint.h>

/* Room for the system's mutex, so that its header stays in the port layer. */
struct sb_lock {
    uint64_t opaque[8];
};

void sb_lock_init(struct sb_lock *lock);
void sb_lock_reset(struct sb_lock *lock); /* nobody holds it */
void sb_lock_take(struct sb_lock *lock);  /* not by who holds it already */
void sb_lock_drop(struct sb_lock *lock);

#endif
