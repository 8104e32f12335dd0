/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.c - one channel by hand: `sabot send` and `tap`, and the feeding of an embedded run.
 *
 * A pipe is a reader over all partitions, or a writer, driven by a caller that may wait.
 *
 * What is sent to a run that is not under way yet has no reader: the log would drop the oldest for
 * the newest. So a writing pipe has a reader of its own that reads nothing, `hold`, until the run's
 * have come.
 * Threads: the caller's. */
#include "api/catalog.h"
#include "api/run.h"
#include "channel/memory.h"
#include "data/key.h"

enum { START_POLL_US = 2000 /* how often a sender looks whether the run has begun to read */ };

struct sabot_pipe {
    struct sb_env *own_env; /* NULL: the run's */
    const struct sb_env *env;
    sabot_config *own_config; /* NULL: the run's */
    sabot_app *own_app;       /* NULL: the run's */
    struct sb_log *own_log;   /* NULL: the run's */
    const sabot_channel *declared;
    const struct sb_channel_type *type;
    struct sb_channel *channel;
    struct sb_waker *waker;
    /* writing */
    sabot_run *run;         /* that reads the channel; NULL: a pipe by itself */
    struct sb_reader *hold; /* until the run's readers have come; NULL: they have */
    struct sb_writer *writer;
    struct sb_decoder *decoder;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    /* reading */
    struct sb_reader *reader;
    uint32_t partition_count;
    uint32_t next;          /* partition to look at first */
    struct sb_buffer bytes; /* key and value of the record in the caller's hands */
    sabot_record record;
};

/* --- Opening -------------------------------------------------------------------------------------
 */

static void wait(const sabot_pipe *pipe, int64_t deadline_us)
{
    pipe->env->type->wait(pipe->env->self, pipe->waker, deadline_us);
}

static void pipe_free(sabot_pipe *pipe)
{
    struct sb_env *own_env = pipe->own_env;

    if (pipe->reader != NULL)
        pipe->type->reader_close(pipe->reader);
    if (pipe->hold != NULL)
        pipe->type->reader_close(pipe->hold);
    if (pipe->writer != NULL)
        pipe->type->writer_close(pipe->writer);
    if (pipe->channel != NULL)
        pipe->type->close(pipe->channel);
    if (pipe->decoder != NULL)
        sb_catalog_json()->decoder_destroy(pipe->decoder);
    sb_builder_reset(&pipe->builder);
    if (pipe->pool != NULL)
        sb_batch_pool_destroy(pipe->pool);
    sb_buffer_reset(&pipe->bytes);
    if (pipe->waker != NULL)
        pipe->env->type->waker_destroy(pipe->env->self, pipe->waker);
    if (pipe->own_log != NULL)
        sb_log_destroy(pipe->own_log);
    sb_app_destroy(pipe->own_app);
    sabot_config_destroy(pipe->own_config);
    sb_free(pipe->env, pipe, sizeof *pipe);
    sb_os_env_destroy(own_env);
}

static sabot_status open_reader(sabot_pipe *pipe, struct sb_reader **reader_out, sabot_error *error)
{
    const size_t count = (size_t)pipe->type->partition_count(pipe->channel);
    struct sb_reader_position *positions = sb_alloc_array(pipe->env, count, sizeof *positions);
    sabot_status status;

    if (positions == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for %zu partitions", count);
    for (size_t i = 0; i < count; i++) {
        positions[i].partition = (int32_t)i;
        positions[i].offset = SB_OFFSET_NONE;
    }
    pipe->partition_count = (uint32_t)count;
    status = pipe->type->reader_open(pipe->channel, positions, (uint32_t)count, pipe->waker,
                                     reader_out, error);
    sb_free_array(pipe->env, positions, count, sizeof *positions);
    return status;
}

static sabot_status open_writer(sabot_pipe *pipe, const sabot_config *config, sabot_error *error)
{
    const struct sb_codec_limits limits = {
        .depth_max = (uint32_t)sb_config_int64(config, "json.depth_max"),
        .record_max = (uint32_t)sb_config_int64(config, "record.bytes_max"),
    };
    const struct sb_schema *schema = pipe->declared->schema;

    SABOT_TRY(sb_batch_pool_create(pipe->env, schema, 1, &pipe->pool, error));
    SABOT_TRY(sb_builder_init(&pipe->builder, pipe->pool));
    SABOT_TRY(sb_catalog_json()->decoder_create(pipe->env, schema, &limits, &pipe->decoder, error));
    if (pipe->run != NULL && sb_run_phase(pipe->run) == SB_RUN_PREPARING)
        SABOT_TRY(open_reader(pipe, &pipe->hold, error));
    return pipe->type->writer_open(pipe->channel, NULL, pipe->waker, &pipe->writer, error);
}

static sabot_status open_channel(sabot_pipe *pipe,
                                 const sabot_app *app,
                                 struct sb_log *log,
                                 bool for_writing,
                                 sabot_error *error)
{
    sabot_status status;
    sabot_error why;

    SABOT_TRY(pipe->env->type->waker_create(pipe->env->self, &pipe->waker, error));
    SABOT_TRY(sb_open_channel(app, pipe->declared, !for_writing, for_writing, for_writing, log,
                              pipe->waker, &pipe->type, &pipe->channel, error));
    while ((status = pipe->type->prepare(pipe->channel, &why)) == SABOT_AGAIN)
        wait(pipe, INT64_MAX);
    if (status == SABOT_OK)
        status = for_writing ? open_writer(pipe, app->config, &why)
                             : open_reader(pipe, &pipe->reader, &why);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "channel %s: %s", pipe->declared->name, why.text);
    return SABOT_OK;
}

static sabot_status find(sabot_pipe *pipe,
                         const sabot_app *app,
                         const char *channel,
                         sabot_error *error)
{
    pipe->declared = sb_app_find_channel(app, channel);
    if (pipe->declared == NULL)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND, "app %s has no channel %s", app->name,
                           channel);
    return SABOT_OK;
}

static sabot_status open_alone(sabot_pipe *pipe,
                               const sabot_app_entry *entry,
                               const sabot_config *config,
                               const char *channel,
                               bool for_writing,
                               sabot_error *error)
{
    SABOT_TRY(sb_config_clone(config, pipe->env, &pipe->own_config, error));
    SABOT_TRY(sb_app_create(pipe->env, entry, pipe->own_config, &pipe->own_app, error));
    SABOT_TRY(find(pipe, pipe->own_app, channel, error));
    if (sb_catalog_is_memory(pipe->declared->url))
        return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                           "channel %s is %s, which lives inside of one run; bind it to a file or "
                           "a topic (--bind %s=URL)",
                           channel, pipe->declared->url, channel);
    SABOT_TRY(sb_log_create(pipe->env, &pipe->own_log, error));
    return open_channel(pipe, pipe->own_app, pipe->own_log, for_writing, error);
}

static sabot_pipe *pipe_make(const struct sb_env *env, sabot_error *error)
{
    sabot_pipe *pipe = sb_alloc(env, sizeof *pipe);

    if (pipe == NULL) {
        (void)sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a pipe");
        return NULL;
    }
    pipe->env = env;
    sb_buffer_init(&pipe->bytes, env);
    return pipe;
}

sabot_status sabot_pipe_open(const sabot_app_entry *entry,
                             const sabot_config *config,
                             const char *channel,
                             bool for_writing,
                             sabot_pipe **pipe_out,
                             sabot_error *error)
{
    struct sb_env *env;
    sabot_pipe *pipe;
    sabot_status status;

    *pipe_out = NULL;
    SABOT_TRY(sb_run_environment(config, &env, error));
    pipe = pipe_make(env, error);
    if (pipe == NULL) {
        sb_os_env_destroy(env);
        return SABOT_ERR_MEMORY;
    }
    pipe->own_env = env;
    status = open_alone(pipe, entry, config, channel, for_writing, error);
    if (status != SABOT_OK) {
        pipe_free(pipe);
        return status;
    }
    *pipe_out = pipe;
    return SABOT_OK;
}

static sabot_status check_run_channel(const sabot_run *run,
                                      const sabot_channel *declared,
                                      bool for_writing,
                                      sabot_error *error)
{
    const struct sb_plan_channel *channel = &run->plan.channels[declared->index];

    if (!sb_catalog_is_memory(declared->url))
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "channel %s is %s: a pipe of a run is for memory: channels; open this "
                           "one by sabot_pipe_open()",
                           declared->name, declared->url);
    if (channel->is_inside)
        return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                           "channel %s passes from agent to agent inside of the run",
                           declared->name);
    if (for_writing && declared->source != NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "channel %s is filled by the app's own source",
                           declared->name);
    return SABOT_OK;
}

sabot_status sabot_run_pipe(sabot_run *run,
                            const char *channel,
                            bool for_writing,
                            sabot_pipe **pipe_out,
                            sabot_error *error)
{
    sabot_pipe *pipe;
    sabot_status status;

    *pipe_out = NULL;
    pipe = pipe_make(run->env, error);
    if (pipe == NULL)
        return SABOT_ERR_MEMORY;
    pipe->run = run;
    status = find(pipe, run->app, channel, error);
    if (status == SABOT_OK)
        status = check_run_channel(run, pipe->declared, for_writing, error);
    if (status == SABOT_OK)
        status = open_channel(pipe, run->app, run->log, for_writing, error);
    if (status != SABOT_OK) {
        pipe_free(pipe);
        return status;
    }
    *pipe_out = pipe;
    return SABOT_OK;
}

/* --- Sending -------------------------------------------------------------------------------------
 */

static sabot_status decode(sabot_pipe *pipe,
                           sabot_text value,
                           struct sb_batch **batch_out,
                           sabot_error *error)
{
    static const struct sb_batch_origin nowhere = {.partition = -1};

    SABOT_TRY(sb_catalog_json()->decode(pipe->decoder, value, pipe->declared->event_time_field,
                                        SB_TIMESTAMP_NOW, 0, &pipe->builder, error));
    return sb_builder_seal(&pipe->builder, &nowhere, batch_out);
}

/* The channel is full. SABOT_OK: try again. SABOT_AGAIN: nobody but the caller moves the run. */
static sabot_status wait_for_room(sabot_pipe *pipe)
{
    if (pipe->hold != NULL && sb_run_phase(pipe->run) != SB_RUN_PREPARING) {
        pipe->type->reader_close(pipe->hold);
        pipe->hold = NULL;
        return SABOT_OK;
    }
    if (pipe->run != NULL && !atomic_load(&pipe->run->has_threads))
        return SABOT_AGAIN;
    /* Nobody wakes a pipe when the run's readers come. */
    wait(pipe, pipe->hold == NULL ? INT64_MAX : sb_now_us(pipe->env) + START_POLL_US);
    return SABOT_OK;
}

static sabot_status write(sabot_pipe *pipe, const struct sb_record *record, sabot_error *error)
{
    sabot_status status;

    while ((status = pipe->type->write(pipe->writer, record, error)) == SABOT_AGAIN)
        SABOT_TRY(wait_for_room(pipe));
    return status;
}

sabot_status sabot_pipe_send(sabot_pipe *pipe, sabot_text value, sabot_error *error)
{
    struct sb_record record = {.value = value, .partition = SB_PARTITION_ANY};
    char scratch[SB_KEY_SCRATCH];
    struct sb_batch *batch;
    sabot_status status;

    if (pipe->writer == NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "the pipe was opened for reading");
    SABOT_TRY(decode(pipe, value, &batch, error));
    record.timestamp_ms = batch->event_times[0] < 0 ? SB_TIMESTAMP_NOW : batch->event_times[0];
    if (pipe->declared->key_field != SB_NO_FIELD)
        record.key = sb_key_text(batch, (uint32_t)pipe->declared->key_field, 0, scratch);
    status = write(pipe, &record, error);
    sb_batch_unref(batch);
    return status;
}

sabot_status sabot_pipe_delete(sabot_pipe *pipe, sabot_text key, sabot_error *error)
{
    const struct sb_record record = {
        .key = key,
        .partition = SB_PARTITION_ANY,
        .timestamp_ms = SB_TIMESTAMP_NOW,
    };

    if (pipe->writer == NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "the pipe was opened for reading");
    if (pipe->declared->key_field == SB_NO_FIELD || key.data == NULL)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "channel %s: a delete needs a key, and a channel that has keys",
                           pipe->declared->name);
    return write(pipe, &record, error);
}

/* --- Taking --------------------------------------------------------------------------------------
 */

/* Copy the record: what the transport shows is valid only now. */
static sabot_status keep(void *context, const struct sb_record *record)
{
    sabot_pipe *pipe = context;

    pipe->bytes.size = 0;
    SABOT_TRY(sb_buffer_append(&pipe->bytes, record->key.data, record->key.size));
    SABOT_TRY(sb_buffer_append(&pipe->bytes, record->value.data, record->value.size));
    pipe->record = (sabot_record){
        .partition = record->partition,
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
        .key = {record->key.data == NULL ? NULL : (const char *)pipe->bytes.data, record->key.size},
        .value = {record->value.data == NULL ? NULL
                                             : (const char *)pipe->bytes.data + record->key.size,
                  record->value.size},
    };
    return SABOT_AGAIN;
}

/* One look at every partition. SABOT_AGAIN: none has a record now. */
static sabot_status look(sabot_pipe *pipe, sabot_error *error)
{
    uint32_t ended = 0;

    for (uint32_t i = 0; i < pipe->partition_count; i++) {
        const uint32_t index = pipe->next;
        const sabot_status status = pipe->type->poll(pipe->reader, index, 1, keep, pipe, error);

        pipe->next = index + 1 == pipe->partition_count ? 0 : index + 1;
        if (status == SABOT_END)
            ended++;
        else if (status != SABOT_AGAIN)
            return status;
    }
    return ended == pipe->partition_count ? SABOT_END : SABOT_AGAIN;
}

sabot_status sabot_pipe_take(sabot_pipe *pipe,
                             int64_t timeout_ms,
                             sabot_record *record_out,
                             sabot_error *error)
{
    const int64_t deadline_us = sb_deadline_us(pipe->env, timeout_ms);
    sabot_status status;

    if (pipe->reader == NULL)
        return sabot_raise(error, SABOT_ERR_STATE, "the pipe was opened for writing");
    while ((status = look(pipe, error)) == SABOT_AGAIN) {
        if (sb_now_us(pipe->env) >= deadline_us)
            return SABOT_AGAIN;
        wait(pipe, deadline_us);
    }
    if (status == SABOT_OK)
        *record_out = pipe->record;
    return status;
}

sabot_status sabot_pipe_close(sabot_pipe *pipe, sabot_error *error)
{
    sabot_status status = SABOT_OK;

    if (pipe == NULL)
        return SABOT_OK;
    while (pipe->writer != NULL && (status = pipe->type->flush(pipe->writer, error)) == SABOT_AGAIN)
        wait(pipe, INT64_MAX);
    pipe_free(pipe);
    return status;
}
