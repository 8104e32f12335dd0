/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - a run to the rest of the api layer.
 *
 *   PREPARING --all channels ready, flows made--> RUNNING --all flows at rest--> ENDED
 *       |                                                                          ^
 *       +-------- an error, or stopped before anything began -----------------------+
 *
 * One stepper moves it on (run.c): on a thread of its own after sabot_run_start(), or on the
 * caller's in sabot_run_step(). What others may look at is published by `phase`: plan and lines are
 * constant from RUNNING on, result and error from ENDED on.
 *
 * Threads: as in include/sabot/run.h. */
#ifndef SB_API_RUN_H
#define SB_API_RUN_H

#include "api/plan.h"
#include "run/control_server.h"

struct sb_saving;

enum sb_run_phase { SB_RUN_PREPARING, SB_RUN_RUNNING, SB_RUN_ENDED };

struct sabot_run {
    struct sb_env *own_env; /* NULL: the environment is somebody else's */
    const struct sb_env *env;
    sabot_config *config;
    sabot_app *app;
    struct sb_log *log;
    struct sb_plan plan;
    struct sb_waker *waker;   /* of the stepper */
    struct sb_waker *caller;  /* of who waits in sabot_run_wait() */
    struct sb_thread *thread; /* NULL: stepped by hand, or not started. The caller's */
    _Atomic bool has_threads; /* the flows run on threads of their own */
    _Atomic int phase;        /* enum sb_run_phase */
    _Atomic bool started;     /* RUNNING was reached */
    _Atomic bool stopping;
    _Atomic bool aborting;             /* destroyed while it runs: the stepper returns at once */
    bool listens;                      /* commands can reach it, or that was tried */
    bool flows_told;                   /* the flows know that they shall stop */
    sabot_status failure;              /* of the pipeline that failed first; SABOT_OK: none has */
    sabot_status result;               /* SABOT_END: ended well */
    sabot_error error;                 /* when it did not */
    int64_t created_us;                /* monotonic clock */
    _Atomic int64_t end_us;            /* when it came to rest; 0: not yet */
    struct sb_control_server *control; /* NULL: no command reaches it. The stepper's */
    struct sb_saving *saving; /* a savepoint being made (control_savepoint.c); NULL: none */
    struct sb_buffer lines;   /* what it does, each with a NUL (describe.c) */
    struct sb_buffer shown;   /* the last answer of sabot_run_plan() */
};

/* The same as sabot_run_create() in a given environment, which must outlive it. */
SABOT_MUST_CHECK sabot_status sb_run_create(const struct sb_env *env,
                                            const sabot_app_entry *entry,
                                            const sabot_config *config,
                                            sabot_run **run_out,
                                            sabot_error *error);

/* The environment of a run or pipe of its own, with the log level of the config. */
SABOT_MUST_CHECK sabot_status sb_run_environment(const sabot_config *config,
                                                 struct sb_env **env_out,
                                                 sabot_error *error);

/* Write the lines of sabot_run_describe(); the channels are ready. */
SABOT_MUST_CHECK sabot_status sb_run_write_lines(sabot_run *run);
/* While it runs: log how much of the inputs is processed again, once it is known. */
void sb_run_tell_replays(sabot_run *run);

static inline enum sb_run_phase sb_run_phase(const sabot_run *run)
{
    return (enum sb_run_phase)atomic_load_explicit(&((sabot_run *)(uintptr_t)run)->phase,
                                                   memory_order_acquire);
}

#endif
