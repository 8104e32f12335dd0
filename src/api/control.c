/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - the verbs of a run's control socket. */
#include "api/control.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/why.h"

/* --- stats ---------------------------------------------------------------------------------------
 */

static sabot_status serve_stats(void *context,
                                struct sb_control_request *request,
                                sabot_error *error)
{
    sabot_run *run = context;
    sabot_run_stats stats;
    sabot_status status;

    sabot_run_get_stats(run, &stats);
    status = sb_buffer_format(
        &request->answer,
        "\"records_read\":%" PRIu64 ",\"records_processed\":%" PRIu64
        ",\"records_skipped\":%" PRIu64 ",\"records_failed\":%" PRIu64
        ",\"records_written\":%" PRIu64 ",\"bytes_read\":%" PRIu64 ",\"lag\":%" PRId64
        ",\"watermark_ms\":%" PRId64 ",\"run_us\":%" PRId64 ",\"delay_p50_us\":%" PRId64
        ",\"delay_p99_us\":%" PRId64 ",\"checkpoint_id\":%" PRId64 ",\"checkpoint_age_us\":%" PRId64
        ",\"checkpoints\":%" PRIu64 ",\"checkpoints_failed\":%" PRIu64
        ",\"peak_memory_bytes\":%" PRIu64 ",\"connected\":%s",
        stats.records_read, stats.records_processed, stats.records_skipped, stats.records_failed,
        stats.records_written, stats.bytes_read, stats.lag, stats.watermark_ms, stats.run_us,
        stats.delay_p50_us, stats.delay_p99_us, stats.checkpoint_id, stats.checkpoint_age_us,
        stats.checkpoints, stats.checkpoints_failed, stats.peak_memory_bytes,
        stats.connected ? "true" : "false");
    return status == SABOT_OK ? status : sabot_raise(error, status, "no memory for an answer");
}

/* --- checkpoint.now ------------------------------------------------------------------------------
 */

enum { MEMO_BEGUN = 0, MEMO_IDS = 1 /* by pipeline */ };

_Static_assert(MEMO_IDS + SB_APP_AGENTS_MAX <= SB_CONTROL_MEMO_MAX, "a memo for each pipeline");

/* NULL: the pipeline had nothing to do. */
static struct sb_coordinator *coordinator_at(sabot_run *run, uint32_t index)
{
    struct sb_plan_pipeline *pipeline = &run->plan.pipelines[index];

    return pipeline->flow == NULL ? NULL : &pipeline->recovery.coordinator;
}

static void begin_checkpoints(sabot_run *run, struct sb_control_request *request)
{
    request->memo[MEMO_BEGUN] = 1;
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        if (coordinator_at(run, i) != NULL)
            request->memo[MEMO_IDS + i] = (uint64_t)sb_coordinator_ask(coordinator_at(run, i));
    }
}

static sabot_status list_checkpoints(sabot_run *run, struct sb_control_request *request)
{
    struct sb_buffer *out = &request->answer;
    const char *comma = "";

    SABOT_TRY(sb_buffer_format(out, "\"checkpoints\":["));
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        const struct sb_coordinator *coordinator = coordinator_at(run, i);

        if (coordinator == NULL)
            continue;
        SABOT_TRY(sb_buffer_format(out, "%s{\"pipeline\":\"%s\",\"id\":%" PRId64 "}", comma,
                                   run->plan.pipelines[i].name,
                                   atomic_load(&coordinator->completed_id)));
        comma = ",";
    }
    SABOT_TRY(sb_buffer_format(out, "],\"text\":\""));
    comma = "";
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        const struct sb_coordinator *coordinator = coordinator_at(run, i);

        if (coordinator == NULL)
            continue;
        SABOT_TRY(sb_buffer_format(out, "%s%s/%s: checkpoint %" PRId64, comma, run->app->name,
                                   run->plan.pipelines[i].name,
                                   atomic_load(&coordinator->completed_id)));
        comma = ", ";
    }
    return sb_buffer_format(out, "\"");
}

/* Every pipeline takes one that begins now; the answer is there when all of them count. */
static sabot_status serve_checkpoint(void *context,
                                     struct sb_control_request *request,
                                     sabot_error *error)
{
    sabot_run *run = context;

    if (request->memo[MEMO_BEGUN] == 0)
        begin_checkpoints(run, request);
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        if (request->memo[MEMO_IDS + i] != 0)
            SABOT_TRY(sb_coordinator_asked(coordinator_at(run, i),
                                           (int64_t)request->memo[MEMO_IDS + i], error));
    }
    if (list_checkpoints(run, request) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an answer");
    return SABOT_OK;
}

/* --- The table -----------------------------------------------------------------------------------
 */

static const struct sb_control_verb verbs[] = {
    {"stats", serve_stats},
    {"checkpoint.now", serve_checkpoint},
    {"savepoint.create", sb_serve_savepoint},
    {"why", sb_why_serve},
};

/* On the server's thread, while the run is being prepared. */
static void describe_start(void *context, char *text, size_t size)
{
    const sabot_run *run = context;
    char what[256];

    for (uint32_t i = 0; i < run->plan.pipeline_count; i++) {
        const struct sb_plan_pipeline *pipeline = &run->plan.pipelines[i];

        if (!sb_restore_describe(&pipeline->recovery.progress, what, sizeof what))
            continue;
        (void)snprintf(text, size, "pipeline %s: %s", pipeline->name, what);
        return;
    }
    (void)snprintf(text, size, "its channels are being opened");
}

/* The folder of the sockets. What is missing is made; what fails is said by who opens them. */
static void make_folder(const sabot_run *run, const char *state_dir)
{
    const struct sb_env *env = run->env;
    char *path = sb_string_format(env, "%s/%s", state_dir, run->app->name);

    if (path == NULL)
        return;
    (void)!env->type->directory_create(env->self, state_dir, NULL);
    (void)!env->type->directory_create(env->self, path, NULL);
    sb_string_free(env, path);
}

void sb_run_listen(sabot_run *run)
{
    const char *state_dir = sb_config_text(run->config, "state.dir");
    const struct sb_control_config config = {
        .env = run->env,
        .state_dir = state_dir,
        .app = run->app->name,
        .verbs = verbs,
        .verb_count = sizeof verbs / sizeof verbs[0],
        .context = run,
        .starting = describe_start,
        .waker = run->waker,
    };
    sabot_error error;

    if (run->listens || state_dir == NULL || !run->has_threads || run->env->type->sockets == NULL)
        return;
    run->listens = true;
    make_folder(run, state_dir);
    if (sb_control_server_open(&config, &run->control, &error) != SABOT_OK)
        sb_log(run->env, SABOT_LOG_WARN, run->app->name,
               "no command can reach this worker, it runs without a control socket: %s",
               error.text);
}

void sb_run_serve(sabot_run *run)
{
    sabot_error error;

    if (sb_control_server_begin(run->control, &error) != SABOT_OK)
        sb_log(run->env, SABOT_LOG_WARN, run->app->name, "commands can't find this worker: %s",
               error.text);
}
