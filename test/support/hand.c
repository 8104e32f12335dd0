/* SPDX-License-Identifier: Apache-2.0 */
/* hand.c - steppers in a table; see hand.h. */
#include "hand.h"

#include <string.h>

static struct hand *the_hand; /* calls come with the `self` of the environment below */

static sabot_status spawn(void *self,
                          const char *name,
                          sb_step_function step,
                          void *context,
                          struct sb_waker *waker,
                          struct sb_thread **thread_out,
                          sabot_error *error)
{
    (void)self;
    (void)waker;
    for (uint32_t i = 0; i < HAND_STEPPERS_MAX; i++) {
        struct sb_thread *stepper = &the_hand->steppers[i];

        if (stepper->step != NULL)
            continue;
        *stepper = (struct sb_thread){.step = step, .context = context};
        *thread_out = stepper;
        return SABOT_OK;
    }
    return sabot_raise(error, SABOT_ERR_LIMIT, "%s: too many steppers", name);
}

static void join(void *self, struct sb_thread *thread)
{
    (void)self;
    if (thread == NULL)
        return;
    while (!thread->is_done)
        thread->is_done = thread->step(thread->context).state == SB_STEP_DONE;
    *thread = (struct sb_thread){.step = NULL};
}

static sabot_status waker_create(void *self, struct sb_waker **waker_out, sabot_error *error)
{
    (void)error;
    *waker_out = self;
    return SABOT_OK;
}

static void waker_destroy(void *self, struct sb_waker *waker)
{
    (void)self;
    (void)waker;
}

static void wake(struct sb_waker *waker)
{
    (void)waker;
}

static void wait(void *self, struct sb_waker *waker, int64_t deadline_us)
{
    (void)self;
    (void)waker;
    (void)deadline_us;
}

void hand_make(struct hand *hand, const struct sb_env *under)
{
    *hand = (struct hand){.type = *under->type, .env = *under};
    hand->type.spawn = spawn;
    hand->type.join = join;
    hand->type.waker_create = waker_create;
    hand->type.waker_destroy = waker_destroy;
    hand->type.wake = wake;
    hand->type.wait = wait;
    hand->env.type = &hand->type;
    the_hand = hand;
}

bool hand_step(struct hand *hand)
{
    bool goes_on = false;

    for (uint32_t i = 0; i < HAND_STEPPERS_MAX; i++) {
        struct sb_thread *stepper = &hand->steppers[i];
        struct sb_step step;

        if (stepper->step == NULL || stepper->is_done)
            continue;
        step = stepper->step(stepper->context);
        stepper->is_done = step.state == SB_STEP_DONE;
        goes_on = goes_on || step.state == SB_STEP_AGAIN;
    }
    return goes_on;
}
