/* SPDX-License-Identifier: Apache-2.0 */
/* hand.h - an environment without threads: what is spawned takes its steps when the test says so,
 * so that driver threads and what waits for them run in one thread, in an order that never changes.
 *
 * Files, memory and clocks are those of the environment it is made with. Wakers wake nobody, for
 * nobody sleeps. Threads: one at a time in a process has such an environment. */
#ifndef SB_TEST_HAND_H
#define SB_TEST_HAND_H

#include "base/env.h"

enum { HAND_STEPPERS_MAX = 8 };

struct sb_thread {
    sb_step_function step; /* NULL: the place is free */
    void *context;
    bool is_done;
};

struct hand {
    struct sb_env_type type;
    struct sb_env env; /* what is tested gets this */
    struct sb_thread steppers[HAND_STEPPERS_MAX];
};

void hand_make(struct hand *hand, const struct sb_env *under);
/* Everyone takes a step. False: none has more to do. */
bool hand_step(struct hand *hand);

#endif
