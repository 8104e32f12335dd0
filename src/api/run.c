/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - the life of a run: prepare, run, end; run.h has the picture. */
#include "api/run.h"

#include "api/control.h"
#include "channel/memory.h"

/* --- Making --------------------------------------------------------------------------------------
 */

sabot_status sb_run_environment(const sabot_config *config,
                                struct sb_env **env_out,
                                sabot_error *error)
{
    SABOT_TRY(sb_os_env_create(env_out, error));
    (*env_out)->log_level = (sabot_log_level)sb_config_enum(config, "log.level");
    return SABOT_OK;
}

static sabot_status build(sabot_run *run,
                          const sabot_app_entry *entry,
                          const sabot_config *config,
                          sabot_error *error)
{
    const struct sb_env *env = run->env;

    SABOT_TRY(sb_config_clone(config, env, &run->config, error));
    SABOT_TRY(env->type->waker_create(env->self, &run->waker, error));
    SABOT_TRY(env->type->waker_create(env->self, &run->caller, error));
    SABOT_TRY(sb_log_create(env, &run->log, error));
    SABOT_TRY(sb_app_create(env, entry, run->config, &run->app, error));
    if (run->app->agent_count == 0)
        return sabot_raise(error, SABOT_ERR_STATE, "app %s: no agent: there is nothing to run",
                           run->app->name);
    return sb_plan_init(&run->plan, run->app, run->log, run->waker, error);
}

sabot_status sb_run_create(const struct sb_env *env,
                           const sabot_app_entry *entry,
                           const sabot_config *config,
                           sabot_run **run_out,
                           sabot_error *error)
{
    sabot_run *run = sb_alloc(env, sizeof *run);
    sabot_status status;

    *run_out = NULL;
    if (run == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a run");
    run->env = env;
    run->created_us = sb_now_us(env);
    sb_buffer_init(&run->lines, env);
    sb_buffer_init(&run->shown, env);
    status = build(run, entry, config, error);
    if (status != SABOT_OK) {
        sabot_run_destroy(run);
        return status;
    }
    *run_out = run;
    return SABOT_OK;
}

sabot_status sabot_run_create(const sabot_app_entry *entry,
                              const sabot_config *config,
                              sabot_run **run_out,
                              sabot_error *error)
{
    struct sb_env *env;
    sabot_status status;

    *run_out = NULL;
    SABOT_TRY(sb_run_environment(config, &env, error));
    status = sb_run_create(env, entry, config, run_out, error);
    if (status != SABOT_OK) {
        sb_os_env_destroy(env);
        return status;
    }
    SB_ASSERT(*run_out != NULL);
    (*run_out)->own_env = env;
    return SABOT_OK;
}

void sabot_run_destroy(sabot_run *run)
{
    struct sb_env *own_env;

    if (run == NULL)
        return;
    own_env = run->own_env;
    if (run->thread != NULL) {
        atomic_store(&run->aborting, true);
        sb_wake(run->env, run->waker);
        run->env->type->join(run->env->self, run->thread);
    }
    sb_control_server_close(run->control);
    sb_plan_reset(&run->plan);
    sb_saving_destroy(run->env, run->saving);
    sb_app_destroy(run->app);
    if (run->log != NULL)
        sb_log_destroy(run->log);
    if (run->caller != NULL)
        run->env->type->waker_destroy(run->env->self, run->caller);
    if (run->waker != NULL)
        run->env->type->waker_destroy(run->env->self, run->waker);
    sabot_config_destroy(run->config);
    sb_buffer_reset(&run->lines);
    sb_buffer_reset(&run->shown);
    sb_free(run->env, run, sizeof *run);
    sb_os_env_destroy(own_env);
}

/* --- The stepper ---------------------------------------------------------------------------------
 */

static struct sb_step end(sabot_run *run, sabot_status result)
{
    run->result = result;
    sb_control_server_stop(run->control);
    atomic_store(&run->end_us, sb_now_us(run->env));
    atomic_store_explicit(&run->phase, SB_RUN_ENDED, memory_order_release);
    sb_wake(run->env, run->caller);
    return sb_step_done();
}

static sabot_status start_flows(sabot_run *run)
{
    SABOT_TRY(sb_plan_flows(&run->plan, run->waker, &run->error));
    if (sb_run_write_lines(run) != SABOT_OK)
        return sabot_raise(&run->error, SABOT_ERR_MEMORY, "no memory to describe the run");
    for (uint32_t i = 0; run->has_threads && i < run->plan.pipeline_count; i++) {
        if (run->plan.pipelines[i].flow != NULL)
            SABOT_TRY(sb_flow_start(run->plan.pipelines[i].flow, &run->error));
    }
    return SABOT_OK;
}

static struct sb_step prepare(sabot_run *run)
{
    sabot_status status;

    if (atomic_load(&run->stopping))
        return end(run, SABOT_END);
    sb_run_listen(run);
    status = sb_plan_prepare(&run->plan, &run->error);
    if (status == SABOT_OK)
        status = start_flows(run);
    if (status == SABOT_AGAIN)
        return sb_step_wait(INT64_MAX);
    if (status != SABOT_OK) {
        sb_plan_drop_flows(&run->plan); /* some of them may run already */
        return end(run, status);
    }
    sb_run_serve(run);
    atomic_store(&run->started, true);
    atomic_store_explicit(&run->phase, SB_RUN_RUNNING, memory_order_release);
    sb_wake(run->env, run->caller);
    return sb_step_again();
}

static void stop_flows(sabot_run *run)
{
    if (run->flows_told)
        return;
    run->flows_told = true;
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        if (run->plan.pipelines[i].flow != NULL)
            sb_flow_stop(run->plan.pipelines[i].flow);
    }
}

/* One pipeline a step further. SABOT_AGAIN: it goes on; SABOT_END; or its failure. */
static sabot_status watch_pipeline(struct sb_plan_pipeline *pipeline,
                                   struct sb_step *step,
                                   sabot_error *error)
{
    struct sb_coordinator *coordinator = &pipeline->recovery.coordinator;
    struct sb_step next = sb_step_done();
    sabot_status status;

    if (pipeline->flow == NULL)
        return SABOT_END;
    if (pipeline->recovery.env != NULL)
        next = sb_coordinator_step(coordinator);
    if (coordinator->error.status != SABOT_OK)
        sb_control_break(&pipeline->flow->control, &coordinator->error);
    *step = sb_step_sooner(*step, next);
    status = sb_flow_status(pipeline->flow, error);
    if (status == SABOT_AGAIN && next.state == SB_STEP_DONE)
        *step = sb_step_sooner(*step, sb_step_wait(INT64_MAX));
    return next.state == SB_STEP_DONE ? status : SABOT_AGAIN;
}

/* Wait for all pipelines; the first failure stops the others and is the run's. */
static struct sb_step watch(sabot_run *run)
{
    struct sb_step step = sb_step_done();
    bool at_rest = true;

    if (atomic_load(&run->stopping))
        stop_flows(run);
    sb_run_tell_replays(run);
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        sabot_error error;
        const sabot_status status = watch_pipeline(&run->plan.pipelines[i], &step, &error);

        if (status == SABOT_AGAIN) {
            at_rest = false;
        } else if (status != SABOT_END) {
            stop_flows(run);
            if (run->failure != SABOT_OK)
                continue;
            run->failure = status;
            run->error = error;
        }
    }
    if (sb_control_server_serve(run->control))
        step = sb_step_again(); /* what was asked for begins at once */
    if (!at_rest)
        return step;
    return end(run, run->failure == SABOT_OK ? SABOT_END : run->failure);
}

static struct sb_step run_step(void *context)
{
    sabot_run *run = context;

    if (atomic_load(&run->aborting))
        return sb_step_done();
    switch (sb_run_phase(run)) {
    case SB_RUN_PREPARING: return prepare(run);
    case SB_RUN_RUNNING: return watch(run);
    case SB_RUN_ENDED: break;
    }
    return sb_step_done();
}

/* --- For the caller ------------------------------------------------------------------------------
 */

sabot_status sabot_run_start(sabot_run *run, sabot_error *error)
{
    sabot_status status;

    if (run->has_threads || sb_run_phase(run) != SB_RUN_PREPARING)
        return sabot_raise(error, SABOT_ERR_STATE, "the run was started before");
    run->has_threads = true; /* before there is a thread that looks */
    status = run->env->type->spawn(run->env->self, "sabot-run", run_step, run, run->waker,
                                   &run->thread, error);
    if (status != SABOT_OK)
        run->has_threads = false;
    return status;
}

static sabot_status result_of(const sabot_run *run, sabot_error *error)
{
    if (run->result != SABOT_END && error != NULL)
        *error = run->error;
    return run->result;
}

sabot_status sabot_run_wait(sabot_run *run, int64_t timeout_ms, sabot_error *error)
{
    const int64_t deadline_us = sb_deadline_us(run->env, timeout_ms);

    if (!run->has_threads)
        return sabot_raise(error, SABOT_ERR_STATE, "the run was not started");
    while (sb_run_phase(run) != SB_RUN_ENDED) {
        if (deadline_us != INT64_MAX && sb_now_us(run->env) >= deadline_us)
            return SABOT_AGAIN;
        run->env->type->wait(run->env->self, run->caller, deadline_us);
    }
    return result_of(run, error);
}

sabot_status sabot_run_step(sabot_run *run, int64_t *wait_us_out, sabot_error *error)
{
    struct sb_step step;

    if (wait_us_out != NULL)
        *wait_us_out = 0;
    if (run->has_threads)
        return sabot_raise(error, SABOT_ERR_STATE, "the run has threads of its own");
    step = run_step(run);
    for (uint32_t i = 0; sb_run_phase(run) == SB_RUN_RUNNING && i < run->plan.pipeline_count; i++) {
        if (run->plan.pipelines[i].flow != NULL)
            step = sb_step_sooner(step, sb_flow_step(run->plan.pipelines[i].flow));
    }
    if (sb_run_phase(run) == SB_RUN_ENDED)
        return result_of(run, error);
    if (wait_us_out != NULL && step.state == SB_STEP_WAIT) {
        const int64_t left_us = step.deadline_us - sb_now_us(run->env);

        *wait_us_out = step.deadline_us == INT64_MAX ? INT64_MAX : left_us > 0 ? left_us : 0;
    }
    return SABOT_AGAIN;
}

void sabot_run_stop(sabot_run *run)
{
    atomic_store(&run->stopping, true);
    sb_wake(run->env, run->waker);
}

sabot_status sabot_app_run(const sabot_app_entry *entry,
                           const sabot_config *config,
                           sabot_error *error)
{
    sabot_run *run;
    sabot_status status;

    SABOT_TRY(sabot_run_create(entry, config, &run, error));
    status = sabot_run_start(run, error);
    if (status == SABOT_OK)
        status = sabot_run_wait(run, -1, error);
    sabot_run_destroy(run);
    return status == SABOT_END ? SABOT_OK : status;
}
