/* SPDX-License-Identifier: Apache-2.0 */
/* sink.c - encoding and writing; sink.h has the picture. */
#include "flow/sink.h"

#include "base/mutant.h"
#include "data/key.h"
#include "flow/fit.h"
#include "flow/stage.h"

sabot_status sb_sink_init(struct sb_sink *sink,
                          const struct sb_sink_config *config,
                          sabot_error *error)
{
    const struct sb_port *port = &config->node->port;

    *sink = (struct sb_sink){
        .env = config->env,
        .node = config->node,
        .control = config->control,
        .metrics = config->metrics,
        .worker = config->worker,
    };
    sb_buffer_init(&sink->encoded, config->env);
    sb_buffer_init(&sink->stage, config->env);
    if (sb_inbox_init(&sink->inbox, config->env, config->input_count) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "channel %s: no memory", sink->node->name);
    sink->record_max = sb_fit_record_max(sink->node);
    SABOT_TRY(port->codec->encoder_create(sink->env, port->schema, &sink->encoder, error));
    if (port->stages)
        return SABOT_OK;
    return port->type->writer_open(port->channel, NULL, config->waker, &sink->writer, error);
}

/* Whoever reads the channel as it is written learns by this that the end has come. */
static void close_writer(struct sb_sink *sink)
{
    if (sink->writer != NULL)
        sink->node->port.type->writer_close(sink->writer);
    sink->writer = NULL;
}

void sb_sink_reset(struct sb_sink *sink)
{
    if (sink->env == NULL)
        return;
    sb_slice_drop(sink->slice);
    close_writer(sink);
    if (sink->encoder != NULL)
        sink->node->port.codec->encoder_destroy(sink->encoder);
    sb_buffer_reset(&sink->encoded);
    sb_buffer_reset(&sink->stage);
    sb_inbox_reset(&sink->inbox);
    *sink = (struct sb_sink){.env = NULL};
}

static void fail(struct sb_sink *sink, sabot_status status, const char *text)
{
    sabot_error error;

    (void)sabot_raise(&error, status, "channel %s: %s", sink->node->name, text);
    sb_control_break(sink->control, &error);
    sink->state = SB_SINK_FAILED;
}

static sabot_status encode(struct sb_sink *sink, uint32_t row, sabot_error *error)
{
    if (sink->has_encoded)
        return SABOT_OK;
    sink->encoded.size = 0;
    SABOT_TRY(sink->node->port.codec->encode(sink->encoder, sink->slice->batch, row, &sink->encoded,
                                             error));
    sink->has_encoded = true;
    return SABOT_OK;
}

/* Keep the record for the transaction of the next checkpoint. */
static sabot_status stage(struct sb_sink *sink, const struct sb_record *record, sabot_error *error)
{
    const size_t before = sink->stage.size;
    bool presses;

    if (sb_stage_append(&sink->stage, record) != SABOT_OK && !SB_MUTANT(STAGE_NO_MEMORY))
        return sabot_raise(error, SABOT_ERR_MEMORY,
                           "no memory to stage a record beside %zu bytes that wait for their "
                           "checkpoint",
                           before);
    sink->staged++;
    (void)atomic_fetch_add(&sink->control->staged, sink->stage.size - before);
    presses = sb_control_presses(sink->control);
    if (presses && !sink->has_pressed)
        sb_wake(sink->env, sink->control->owner);
    sink->has_pressed = presses;
    return SABOT_OK;
}

static sabot_status write_row(struct sb_sink *sink, uint32_t row, sabot_error *error)
{
    const struct sb_port *port = &sink->node->port;
    const struct sb_batch *batch = sink->slice->batch;
    const int64_t time_ms = batch->event_times[row];
    char scratch[SB_KEY_SCRATCH];
    struct sb_record record = {
        .partition = SB_PARTITION_ANY,
        .timestamp_ms = time_ms < 0 ? SB_TIMESTAMP_NOW : time_ms,
    };

    SABOT_TRY(encode(sink, row, error));
    record.value = (sabot_text){(const char *)sink->encoded.data, sink->encoded.size};
    if (port->key_field != SB_NO_FIELD)
        record.key = sb_key_text(batch, (uint32_t)port->key_field, row, scratch);
    if (record.key.size + record.value.size > sink->record_max)
        return sb_fit_refuse(sink->node, record.key, record.key.size + record.value.size, time_ms,
                             error);
    if (port->stages)
        SABOT_TRY(stage(sink, &record, error));
    else
        SABOT_TRY(port->type->write(sink->writer, &record, error));
    sink->has_encoded = false;
    return SABOT_OK;
}

/* How long it took from the arrival of the oldest record behind these rows: once per slice. */
static void note_delay(struct sb_sink *sink, uint32_t rows)
{
    const int64_t arrival_us = sink->slice->batch->origin.arrival_us;
    const int64_t delay_us = sb_now_us(sink->env) - arrival_us;

    sb_counter_add(&sink->records, rows);
    sb_counter_add(&sink->metrics->records_written, rows);
    if (arrival_us != INT64_MAX && delay_us >= 0)
        sb_histogram_add(&sink->metrics->delay_us, (uint64_t)delay_us, rows);
}

/* True: something was written, or given up. */
static bool write_slice(struct sb_sink *sink)
{
    const uint32_t before = sink->cursor;
    sabot_status status = SABOT_OK;
    sabot_error error;

    while (sink->state == SB_SINK_OPEN && sink->cursor < sink->slice->count) {
        status = write_row(sink, sink->slice->rows[sink->cursor], &error);
        if (status == SABOT_AGAIN)
            break;
        if (status == SABOT_OK) {
            sink->cursor++;
            continue;
        }
        sb_counter_add(&sink->metrics->records_failed, 1);
        fail(sink, status, error.text);
    }
    sb_crash_point(sink->env, "sink.written");
    if (sink->cursor > before) {
        sink->dirty = !sink->node->port.stages;
        note_delay(sink, sink->cursor - before);
    }
    if (status == SABOT_AGAIN)
        return sink->cursor > before;
    sb_slice_drop(sink->slice);
    sink->slice = NULL;
    sink->has_encoded = false;
    return true;
}

static bool flush(struct sb_sink *sink)
{
    sabot_error error;
    sabot_status status;

    if (!sink->dirty || sink->state == SB_SINK_FAILED)
        return true;
    status = sink->node->port.type->flush(sink->writer, &error);
    if (status == SABOT_AGAIN)
        return false;
    if (status != SABOT_OK)
        fail(sink, status, error.text);
    sink->dirty = false;
    return true;
}

static void give_stage(struct sb_sink *sink, struct sb_part *part)
{
    sb_buffer_reset(&part->bytes);
    part->bytes = sink->stage;
    part->records = sink->staged;
    sb_buffer_init(&sink->stage, sink->env);
    sink->staged = 0;
}

/* What was staged or written up to the barrier is the sink's part of the checkpoint. False: what
 * was written is not safe yet. */
static bool pass_barrier(struct sb_sink *sink)
{
    const struct sb_channel_type *type = sink->node->port.type;
    struct sb_checkpoint *checkpoint = sb_control_checkpoint(sink->control, sink->barrier);
    struct sb_part *part = sb_checkpoint_part(checkpoint, sink->worker, sink->node->index);
    sabot_status status = SABOT_OK;
    sabot_error error;

    if (sink->state == SB_SINK_FAILED) {
        (void)sabot_raise(&part->error, SABOT_ERR_STATE, "%s has failed", sink->node->name);
    } else if (sink->writer != NULL) {
        status = type->sync == NULL ? type->flush(sink->writer, &error)
                                    : type->sync(sink->writer, &part->length, &error);
        if (status == SABOT_AGAIN)
            return false;
        sink->dirty = false;
    }
    if (status != SABOT_OK) {
        (void)sabot_raise(&part->error, status, "%s: %s", sink->node->name, error.text);
        fail(sink, status, error.text);
    }
    if (!SB_MUTANT(STAGE_AFTER_BARRIER) || sink->barrier % 3 != 0)
        give_stage(sink, part);
    sink->barrier = 0;
    sb_crash_point(sink->env, "sink.barrier");
    sb_checkpoint_report(sink->control);
    sb_inbox_reopen(&sink->inbox);
    return true;
}

static void handle(struct sb_sink *sink, const struct sb_message *message)
{
    switch (message->kind) {
    case SB_MESSAGE_ROWS:
        sink->slice = message->slice;
        sink->cursor = 0;
        (void)write_slice(sink);
        break;
    case SB_MESSAGE_WATERMARK:
    case SB_MESSAGE_IDLE:
    case SB_MESSAGE_LOADED: break;
    case SB_MESSAGE_BARRIER: sink->barrier = message->value; break;
    case SB_MESSAGE_END:
        sink->dirty = sink->writer !=
                      NULL; /* at the end, ask in any case: a late failure shows up at a flush */
        if (sink->state == SB_SINK_OPEN)
            sink->state = SB_SINK_ENDING;
        break;
    }
}

bool sb_sink_step(struct sb_sink *sink)
{
    struct sb_message message;

    if (sb_sink_done(sink))
        return false;
    if (sink->slice != NULL)
        return write_slice(sink);
    if (sink->barrier != 0)
        return pass_barrier(sink);
    if (sb_inbox_take(&sink->inbox, &message)) {
        handle(sink, &message);
        return true;
    }
    if (flush(sink) && sb_inbox_ended(&sink->inbox)) {
        close_writer(sink);
        sink->state = SB_SINK_ENDED;
        return true;
    }
    return false;
}

bool sb_sink_done(const struct sb_sink *sink)
{
    return sink->state == SB_SINK_ENDED;
}
