/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - polling, decoding and sealing; source.h has the picture. */
#include "flow/source.h"

#include "base/mutant.h"
#include "data/key.h"

enum { LAG_BATCHES = 16 /* the lag is looked at once in so many batches, and when idle */ };

/* --- Making --------------------------------------------------------------------------------------
 */

/* What whoever looks sees of a partition's time. */
static void show_time(struct sb_source *source, uint32_t index)
{
    const struct sb_watermark_input *input = &source->watermark.inputs[index];
    const struct sb_clock *clock = &source->partitions[index].clock;
    struct sb_source_view *view = &source->partitions[index].view;

    atomic_store_explicit(&view->state, (int)input->state, memory_order_relaxed);
    atomic_store_explicit(&view->watermark_ms, input->time_ms, memory_order_relaxed);
    atomic_store_explicit(&view->quiet_us,
                          clock->quiet_us == 0 ? 0 : clock->quiet_us + source->held_us,
                          memory_order_relaxed);
}

/* Go on where the checkpoint says, if it knows the partition. */
static void restore_position(struct sb_source *source,
                             const struct sb_source_config *config,
                             uint32_t index,
                             struct sb_reader_position *position)
{
    for (uint32_t i = 0; i < config->position_count; i++) {
        const struct sb_part_position *at = &config->positions[i].at;

        if (config->positions[i].node != source->node->index ||
            at->partition != position->partition)
            continue;
        position->offset = SB_MUTANT(POSITION_LOST) ? SB_OFFSET_BEGIN : at->offset;
        position->opaque = at->opaque;
        position->opaque_taken = at->taken;
        atomic_store_explicit(&source->partitions[index].view.follows, SB_LAG_NOT_YET,
                              memory_order_relaxed);
        if (SB_MUTANT(WATERMARK_LOST) || SB_MUTANT(PARTITION_TIME_LOST))
            return;
        source->partitions[index].clock.told_ms = at->watermark_ms;
        (void)sb_watermark_advance(&source->watermark, index, at->watermark_ms);
        show_time(source, index);
        return;
    }
}

static sabot_status open_reader(struct sb_source *source,
                                const struct sb_source_config *config,
                                sabot_error *error)
{
    const struct sb_port *port = &source->node->port;
    const size_t count = source->partition_count;
    struct sb_reader_position *positions = sb_alloc_array(source->env, count, sizeof *positions);
    sabot_status status;

    if (positions == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "channel %s: no memory", source->node->name);
    for (size_t i = 0; i < count; i++) {
        positions[i].partition = (int32_t)(config->worker + i * config->worker_count);
        positions[i].offset = SB_OFFSET_NONE;
        atomic_store_explicit(&source->partitions[i].view.partition, positions[i].partition,
                              memory_order_relaxed);
        restore_position(source, config, (uint32_t)i, &positions[i]);
    }
    status = port->type->reader_open(port->channel, positions, (uint32_t)count, config->waker,
                                     &source->reader, error);
    sb_free_array(source->env, positions, count, sizeof *positions);
    return status;
}

static sabot_status init_partitions(struct sb_source *source,
                                    const struct sb_source_config *config,
                                    sabot_error *error)
{
    const struct sb_port *port = &source->node->port;
    const int32_t total = port->type->partition_count(port->channel);

    SB_ASSERT(total >= 0);
    if ((uint32_t)total > config->worker)
        source->partition_count = ((uint32_t)total - config->worker - 1) / config->worker_count + 1;
    source->partitions =
        sb_alloc_array(source->env, source->partition_count, sizeof *source->partitions);
    if (source->partitions == NULL ||
        sb_watermark_init(&source->watermark, source->env, source->partition_count) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "channel %s: no memory", source->node->name);
    if (port->time.function != NULL) {
        source->record = sb_alloc(source->env, port->schema->record_size);
        if (source->record == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "channel %s: no memory",
                               source->node->name);
    }
    for (uint32_t i = 0; i < source->partition_count; i++) {
        sb_clock_init(&source->partitions[i].clock, &port->time);
        atomic_store_explicit(&source->partitions[i].view.watermark_ms, INT64_MIN,
                              memory_order_relaxed);
        atomic_store_explicit(&source->partitions[i].view.lag, SB_LAG_NOT_YET,
                              memory_order_relaxed);
        SABOT_TRY(sb_builder_init(&source->partitions[i].builder, source->pool));
    }
    return SABOT_OK;
}

sabot_status sb_source_init(struct sb_source *source,
                            const struct sb_source_config *config,
                            sabot_error *error)
{
    const struct sb_port *port = &config->node->port;

    *source = (struct sb_source){
        .env = config->env,
        .node = config->node,
        .control = config->control,
        .metrics = config->metrics,
        .worker = config->worker,
        .rows_max = config->rows_max,
        .decode_skip = config->decode_skip,
        .watermark_sent = INT64_MIN,
        .is_loading = config->loads_tables && config->node->feeds_table,
    };
    SABOT_TRY(
        sb_batch_pool_create(source->env, port->schema, config->rows_max, &source->pool, error));
    SABOT_TRY(port->codec->decoder_create(source->env, port->schema, &config->limits,
                                          &source->decoder, error));
    SABOT_TRY(init_partitions(source, config, error));
    if (source->partition_count == 0)
        return SABOT_OK;
    return open_reader(source, config, error);
}

void sb_source_reset(struct sb_source *source)
{
    const struct sb_port *port;

    if (source->env == NULL)
        return;
    port = &source->node->port;
    if (source->reader != NULL)
        port->type->reader_close(source->reader);
    sb_output_reset(&source->output);
    for (uint32_t i = 0; source->partitions != NULL && i < source->partition_count; i++)
        sb_builder_reset(&source->partitions[i].builder);
    sb_free_array(source->env, source->partitions, source->partition_count,
                  sizeof *source->partitions);
    sb_watermark_reset(&source->watermark);
    sb_free(source->env, source->record, port->schema->record_size);
    if (source->decoder != NULL)
        port->codec->decoder_destroy(source->decoder);
    if (source->pool != NULL)
        sb_batch_pool_destroy(source->pool);
    *source = (struct sb_source){.env = NULL};
}

/* --- Ending, failing and passing over ------------------------------------------------------------
 */

/* How much lies behind a checkpoint is told once, when it is known: of a file at its end. */
static void note_follows(struct sb_source *source, uint32_t index, int64_t lag)
{
    struct sb_source_view *view = &source->partitions[index].view;
    const uint32_t rows = sb_builder_rows(&source->partitions[index].builder);

    if (lag < 0 || atomic_load_explicit(&view->follows, memory_order_relaxed) != SB_LAG_NOT_YET)
        return;
    atomic_store_explicit(&view->follows, lag + (int64_t)sb_counter_get(&view->read) + rows,
                          memory_order_relaxed);
}

static void note_lag(struct sb_source *source)
{
    int64_t total = 0;

    for (uint32_t i = 0; i < source->partition_count; i++) {
        const int64_t lag = source->node->port.type->lag(source->reader, i);

        atomic_store_explicit(&source->partitions[i].view.lag, lag, memory_order_relaxed);
        note_follows(source, i, lag);
        total = lag < 0 || total < 0 ? SB_LAG_UNKNOWN : total + lag;
    }
    atomic_store_explicit(&source->lag, total, memory_order_relaxed);
}

/* Whoever writes to the channel is not held back any more by a reader that reads no more. */
static void stop_reading(struct sb_source *source)
{
    if (source->reader == NULL)
        return;
    note_lag(source);
    source->node->port.type->stop(source->reader);
}

static void end(struct sb_source *source)
{
    if (source->state == SB_SOURCE_ENDED)
        return;
    stop_reading(source);
    sb_output_mark(&source->output, SB_MESSAGE_END, 0);
    source->state = SB_SOURCE_ENDED;
}

/* Nothing more will be read. With checkpoints, the end waits for the last of them. */
static void finish(struct sb_source *source)
{
    struct sb_control *control = source->control;

    if (!control->has_checkpoints) {
        end(source);
        return;
    }
    if (source->state != SB_SOURCE_OPEN)
        return;
    stop_reading(source);
    source->state = SB_SOURCE_WAITING;
    (void)atomic_fetch_add(&control->sources_waiting, 1);
    sb_wake(source->env, control->owner);
}

static void fail(struct sb_source *source, const sabot_error *error)
{
    sb_control_fail(source->control, error);
    finish(source);
}

/* The first of many is worth a line, the thousandth is not: at powers of two. */
static void log_skip(const struct sb_source *source, const char *text)
{
    if ((source->skipped & (source->skipped - 1)) == 0)
        sb_log(source->env, SABOT_LOG_WARN, source->node->name, "skipped (%llu so far): %s",
               (unsigned long long)source->skipped, text);
}

static void count_skip(struct sb_source *source, const char *text)
{
    struct sb_source_partition *partition = &source->partitions[source->polled];

    source->skipped++;
    partition->origin.skipped++;
    sb_counter_add(&source->metrics->records_skipped, 1);
    sb_counter_add(&partition->view.skipped, 1);
    log_skip(source, text);
}

static void place_of(const struct sb_source *source, int64_t offset, char *text, size_t size)
{
    source->node->port.type->place(source->reader, source->polled, offset, text, size);
}

/* --- Decoding ------------------------------------------------------------------------------------
 */

static void begin_batch(struct sb_source_partition *partition, const struct sb_record *record)
{
    partition->origin = (struct sb_batch_origin){
        .partition = record->partition,
        .base_offset = record->offset,
        .arrival_us = record->arrival_us,
        .skipped = partition->origin.skipped, /* those too large to be shown */
    };
    partition->begun = true;
}

/* A record was refused: pass over it, or stop here with where and why in `error`. */
static sabot_status refuse(struct sb_source *source,
                           const struct sb_record *record,
                           bool skip,
                           const sabot_error *why,
                           sabot_error *error)
{
    char place[SB_PLACE_MAX];

    if (!skip) {
        source->refused_offset = record->offset;
        *error = *why;
        return why->status;
    }
    place_of(source, record->offset, place, sizeof place);
    (void)sabot_raise(error, why->status, "%s: %s", place, why->text);
    count_skip(source, error->text);
    return SABOT_OK;
}

struct decoding {
    struct sb_source *source;
    struct sb_source_partition *partition;
    bool full; /* the batch takes no more */
    sabot_error *error;
};

static bool is_full(const struct sb_source *source, const struct sb_source_partition *partition)
{
    return sb_builder_full(&partition->builder) ||
           partition->origin.bytes >= SB_SOURCE_BATCH_BYTES ||
           partition->origin.skipped >= source->rows_max;
}

/* The record just decoded is dated in the future: it stays, goes, or ends the run. */
static sabot_status judge_future(const struct decoding *decoding,
                                 const struct sb_record *record,
                                 int64_t time_ms)
{
    struct sb_source *source = decoding->source;
    struct sb_builder *builder = &decoding->partition->builder;
    const struct sb_clock_rules *rules = &source->node->port.time;
    sabot_error why;

    if (rules->future == SABOT_FUTURE_PASS)
        return SABOT_OK;
    sb_builder_truncate(builder, sb_builder_rows(builder) - 1);
    (void)sabot_raise(&why, SABOT_ERR_SCHEMA,
                      "its event time %lld ms is more than %lld ms ahead of the clock "
                      "(time.max_future_ms)",
                      (long long)time_ms, (long long)rules->max_future_ms);
    return refuse(source, record, rules->future == SABOT_FUTURE_SKIP, &why, decoding->error);
}

/* When did the record just decoded happen? */
static sabot_status tell_time(const struct decoding *decoding, const struct sb_record *record)
{
    const struct sb_source *source = decoding->source;
    struct sb_source_partition *partition = decoding->partition;
    struct sb_batch *batch = partition->builder.batch;
    int64_t time_ms;

    if (sb_batch_deletes(batch, batch->rows - 1))
        return SABOT_OK; /* no record, no time */
    if (source->record != NULL)
        sb_clock_tell(&partition->clock, batch, record->partition, source->record);
    time_ms = batch->event_times[batch->rows - 1];
    return sb_clock_is_future(&partition->clock, time_ms) ? judge_future(decoding, record, time_ms)
                                                          : SABOT_OK;
}

/* A record without a value, in a channel that feeds a table. */
static bool is_delete(const struct sb_port *port, const struct sb_record *record)
{
    return port->takes_deletes &&
           (record->value.data == NULL || port->codec->is_null(record->value));
}

/* The row says which key is deleted. It has no time of its own, and moves no watermark. */
static sabot_status take_delete(const struct sb_port *port,
                                const struct sb_record *record,
                                uint32_t offset_delta,
                                struct sb_builder *builder,
                                sabot_error *error)
{
    sabot_status status = sb_builder_begin(builder);
    sabot_error why;

    if (status != SABOT_OK)
        return sabot_raise(error, status, "no memory for a batch");
    status = sb_key_set(builder, (uint32_t)port->key_field, record->key, &why);
    if (status != SABOT_OK) {
        sb_builder_drop(builder);
        return sabot_raise(error, status, "it has no value, so it deletes its key: %s", why.text);
    }
    sb_builder_commit_delete(builder, INT64_MIN, offset_delta);
    return SABOT_OK;
}

static sabot_status decode(const struct sb_source *source,
                           const struct sb_record *record,
                           uint32_t offset_delta,
                           struct sb_builder *builder,
                           sabot_error *error)
{
    const struct sb_port *port = &source->node->port;

    if (is_delete(port, record))
        return take_delete(port, record, offset_delta, builder, error);
    return port->codec->decode(source->decoder, record->value, port->event_time_field,
                               record->timestamp_ms, offset_delta, builder, error);
}

/* The way of each record: from the transport's memory into the columns of the batch. */
static sabot_status take_record(void *context, const struct sb_record *record)
{
    struct decoding *decoding = context;
    struct sb_source *source = decoding->source;
    struct sb_source_partition *partition = decoding->partition;
    struct sb_batch_origin *origin = &partition->origin;
    sabot_error why;
    sabot_status status;

    if (!partition->begun)
        begin_batch(partition, record);
    if ((uint64_t)(record->offset - origin->base_offset) > UINT32_MAX) {
        decoding->full = true; /* too far from the first row: it begins the next batch */
        return SABOT_END;
    }
    status = decode(source, record, (uint32_t)(record->offset - origin->base_offset),
                    &partition->builder, &why);
    if (__builtin_expect(status != SABOT_OK, 0)) {
        if (status == SABOT_ERR_MEMORY) {
            *decoding->error = why;
            return status;
        }
        SABOT_TRY(refuse(source, record, source->decode_skip, &why, decoding->error));
    } else {
        SABOT_TRY(tell_time(decoding, record));
    }
    origin->next_offset = record->next_offset;
    origin->bytes += record->value.size;
    decoding->full = is_full(source, partition);
    return decoding->full ? SABOT_AGAIN : SABOT_OK;
}

/* --- One partition -------------------------------------------------------------------------------
 */

/* Say how far time has come, behind the batches that it speaks of. */
static void send_watermark(struct sb_source *source)
{
    const struct sb_watermark *watermark = &source->watermark;

    if (source->state != SB_SOURCE_OPEN)
        return;
    if (sb_watermark_is_idle(watermark)) {
        if (!source->idle_sent)
            sb_output_mark(&source->output, SB_MESSAGE_IDLE, watermark->now);
        source->idle_sent = true;
    } else if (watermark->now > source->watermark_sent) {
        source->idle_sent = false;
        sb_output_mark(&source->output, SB_MESSAGE_WATERMARK, watermark->now);
    }
    source->watermark_sent = watermark->now;
}

/* Records come again: whoever waits for no record of this source waits for them now. */
static void send_awake(struct sb_source *source)
{
    if (!source->idle_sent)
        return;
    source->idle_sent = false;
    sb_output_mark(&source->output, SB_MESSAGE_WATERMARK, source->watermark_sent);
}

/* Seal what the partition has and queue it. True: there was something. */
static bool seal(struct sb_source *source, uint32_t index)
{
    struct sb_source_partition *partition = &source->partitions[index];
    const struct sb_batch_origin *origin = &partition->origin;
    const uint64_t records = sb_builder_rows(&partition->builder) + origin->skipped;
    struct sb_batch *batch;

    if (!partition->begun && origin->skipped == 0)
        return false;
    partition->begun = false;
    sb_clock_stir(&partition->clock);
    sb_counter_add(&source->metrics->bytes_read, origin->bytes);
    sb_counter_add(&source->metrics->records_read, records);
    sb_counter_add(&partition->view.read, records);
    if (sb_builder_seal(&partition->builder, origin, &batch) != SABOT_OK)
        return origin->skipped > 0; /* nothing but refused records */
    sb_counter_add(&partition->view.deletes, batch->delete_count);
    (void)sb_watermark_advance(&source->watermark, index,
                               sb_clock_watermark(&partition->clock, batch));
    send_awake(source);
    sb_output_batch(&source->output, batch);
    source->batches++;
    return true;
}

/* Fill the batch of a partition. Returns what the last poll said; with `refused_offset` set, the
 * error is the decoder's. */
static sabot_status fill(struct sb_source *source, uint32_t index, sabot_error *error)
{
    const struct sb_channel_type *type = source->node->port.type;
    struct sb_source_partition *partition = &source->partitions[index];
    struct decoding decoding = {.source = source, .partition = partition, .error = error};
    sabot_status status = SABOT_OK;

    source->polled = index;
    source->refused_offset = -1;
    partition->origin = (struct sb_batch_origin){.partition = -1};
    sb_clock_poll(&partition->clock,
                  source->node->port.time.max_future_ms > 0 ? sb_wall_ms(source->env) : 0);
    while (status == SABOT_OK && !decoding.full) {
        const uint32_t rows = sb_builder_rows(&partition->builder);

        status = type->poll(source->reader, index, source->rows_max - rows, take_record, &decoding,
                            error);
        if (status == SABOT_ERR_LIMIT && source->refused_offset < 0 && source->decode_skip) {
            count_skip(source, error->text); /* too large; the reader is behind it */
            decoding.full = is_full(source, partition);
            status = SABOT_OK;
        }
    }
    sb_crash_point(source->env, "source.polled");
    return status;
}

static void raise_and_fail(struct sb_source *source, sabot_status status, const sabot_error *error)
{
    /* Refused by the decoder, or by the channel as too large: a record that was read, and failed.
     */
    const bool is_record = source->refused_offset >= 0 || status == SABOT_ERR_LIMIT;
    struct sb_source_view *view = &source->partitions[source->polled].view;
    char place[SB_PLACE_MAX];
    sabot_error placed;

    sb_counter_add(&source->metrics->records_read, is_record);
    sb_counter_add(&source->metrics->records_failed, is_record);
    sb_counter_add(&view->read, is_record);
    sb_counter_add(&view->failed, is_record);
    if (source->refused_offset >= 0) {
        place_of(source, source->refused_offset, place, sizeof place);
        (void)sabot_raise(&placed, status, "channel %s: %s: %s", source->node->name, place,
                          error->text);
    } else {
        (void)sabot_raise(&placed, status, "channel %s: %s", source->node->name, error->text);
    }
    fail(source, &placed);
}

/* Monotonic time, without the time in which the source could not read. */
static int64_t clock_us(const struct sb_source *source)
{
    return sb_now_us(source->env) - source->held_us;
}

/* Has everything been read that is there? Where nobody can know, there is nothing now. */
static bool is_caught_up(const struct sb_source *source, uint32_t index)
{
    const struct sb_port *port = &source->node->port;
    const int64_t lag = port->type->lag(source->reader, index);

    return (lag == 0 || lag == SB_LAG_UNKNOWN) && port->type->connected(port->channel);
}

/* A partition had nothing. True: it has become idle. */
static bool note_quiet(struct sb_source *source, uint32_t index)
{
    struct sb_source_partition *partition = &source->partitions[index];
    bool is_idle;

    if (partition->clock.rules->idle_after_ms == 0 ||
        source->watermark.inputs[index].state != SB_WATERMARK_ACTIVE)
        return false;
    if (!is_caught_up(source, index)) {
        sb_clock_stir(&partition->clock);
        return false;
    }
    is_idle = sb_clock_quiet(&partition->clock, clock_us(source));
    show_time(source, index);
    if (!is_idle)
        return false;
    (void)sb_watermark_idle(&source->watermark, index, INT64_MIN);
    return true;
}

/* True: something happened. */
static bool read_partition(struct sb_source *source, uint32_t index)
{
    struct sb_source_partition *partition = &source->partitions[index];
    sabot_error error;
    sabot_status status;
    bool moved;

    if (partition->ended)
        return false;
    status = fill(source, index, &error);
    moved = seal(source, index);
    if (status == SABOT_AGAIN && !moved)
        moved = note_quiet(source, index);
    if (status == SABOT_END) {
        partition->ended = true;
        (void)sb_watermark_end(&source->watermark, index);
        moved = true;
    } else if (status != SABOT_OK && status != SABOT_AGAIN) {
        raise_and_fail(source, status, &error);
        moved = true;
    }
    if (moved)
        show_time(source, index);
    return moved;
}

/* --- The step ------------------------------------------------------------------------------------
 */

/* Tables have what was there at the start: say so behind it, once. True: said. */
static bool send_loaded(struct sb_source *source)
{
    if (!source->is_loading || source->state != SB_SOURCE_OPEN)
        return false;
    for (uint32_t i = 0; i < source->partition_count; i++) {
        if (!sb_loading_done(&source->partitions[i].loading, &source->node->port, source->reader, i,
                             source->watermark.inputs[i].state != SB_WATERMARK_ACTIVE))
            return false;
    }
    source->is_loading = false;
    sb_output_mark(&source->output, SB_MESSAGE_LOADED, 0);
    return true;
}

static bool read(struct sb_source *source)
{
    bool moved = false;

    for (uint32_t i = 0; i < source->partition_count && !moved; i++) {
        const uint32_t index = source->next;

        source->next = index + 1 == source->partition_count ? 0 : index + 1;
        moved = read_partition(source, index);
    }
    if (!moved || source->batches % LAG_BATCHES == 0)
        note_lag(source);
    send_watermark(source);
    moved = send_loaded(source) || moved;
    if (source->state == SB_SOURCE_OPEN && source->watermark.live == 0) {
        if (source->partition_count == 0)
            sb_output_mark(&source->output, SB_MESSAGE_WATERMARK, INT64_MAX);
        finish(source);
        moved = true;
    }
    return moved;
}

/* Where each partition stands, behind what was sent on. */
static void report(struct sb_source *source, struct sb_checkpoint *checkpoint)
{
    struct sb_part *part = sb_checkpoint_part(checkpoint, source->worker, source->node->index);

    for (uint32_t i = 0; i < source->partition_count; i++) {
        struct sb_part_position *position = sb_part_add_position(part, source->env);
        struct sb_reader_position at;

        if (position == NULL)
            break;
        source->node->port.type->position(source->reader, i, &at);
        *position = (struct sb_part_position){
            .partition = at.partition,
            .ended = source->partitions[i].ended,
            .offset = at.offset + SB_MUTANT(POSITION_AHEAD) -
                      (SB_MUTANT(POSITION_BEHIND) && at.offset > 0),
            .watermark_ms = source->watermark.inputs[i].time_ms,
            .opaque = at.opaque,
            .taken = at.opaque_taken,
        };
    }
    sb_checkpoint_report(source->control);
}

/* True: a barrier was ordered, and is on its way. */
static bool send_barrier(struct sb_source *source)
{
    const int64_t barrier = atomic_load_explicit(&source->control->barrier, memory_order_acquire);
    struct sb_checkpoint *checkpoint;
    bool last;

    if (barrier <= source->barrier)
        return false;
    checkpoint = sb_control_checkpoint(source->control, barrier);
    last = checkpoint->last; /* it may be gone after the report */
    source->barrier = barrier;
    report(source, checkpoint);
    sb_crash_point(source->env, "source.reported");
    sb_output_mark(&source->output, SB_MESSAGE_BARRIER, barrier);
    sb_crash_point(source->env, "source.barrier_sent");
    if (last)
        end(source);
    return true;
}

/* True: something was ordered, and done. */
static bool obey(struct sb_source *source)
{
    struct sb_control *control = source->control;

    if (send_barrier(source))
        return true;
    if (source->state == SB_SOURCE_WAITING) {
        if (!atomic_load_explicit(&control->broken, memory_order_relaxed))
            return false;
        end(source);
        return true;
    }
    if (!sb_control_stopping(control))
        return false;
    finish(source);
    return true;
}

/* Tables are loaded before streams are read. And more would be staged than may be: wait for a
 * commit. */
static bool must_wait(const struct sb_source *source)
{
    const struct sb_control *control = source->control;

    if (!source->node->feeds_table && !SB_MUTANT(TABLES_NOT_AWAITED) &&
        atomic_load_explicit(&((struct sb_control *)(uintptr_t)control)->tables_loading,
                             memory_order_acquire) > 0)
        return true;
    return control->staged_max > 0 &&
           atomic_load_explicit(&((struct sb_control *)(uintptr_t)control)->staged,
                                memory_order_relaxed) > control->staged_max;
}

static bool push(struct sb_source *source)
{
    sabot_status status = sb_output_push(&source->output);
    sabot_error error;

    if (status == SABOT_ERR_MEMORY && source->state != SB_SOURCE_ENDED) {
        (void)sabot_raise(&error, status, "channel %s: no memory to hand over a batch",
                          source->node->name);
        sb_control_break(source->control, &error);
        end(source);
        status = sb_output_push(&source->output); /* what is left are marks */
    }
    return status == SABOT_OK;
}

/* It can't read on; its clock stands still. */
static bool hold(struct sb_source *source)
{
    if (source->held_since_us == 0) {
        source->held_since_us = sb_now_us(source->env);
        atomic_store_explicit(&source->is_held, true, memory_order_relaxed);
    }
    return false;
}

static void release(struct sb_source *source)
{
    if (source->held_since_us == 0)
        return;
    source->held_us += sb_now_us(source->env) - source->held_since_us;
    source->held_since_us = 0;
    atomic_store_explicit(&source->is_held, false, memory_order_relaxed);
}

bool sb_source_step(struct sb_source *source)
{
    if (!push(source))
        return hold(source); /* back-pressure: woken when a ring has room */
    if (source->state == SB_SOURCE_ENDED)
        return false;
    if (!obey(source)) {
        if (source->state != SB_SOURCE_OPEN)
            return false;
        if (must_wait(source))
            return hold(source);
        release(source);
        if (!read(source))
            return false;
    }
    (void)push(source);
    return true;
}

int64_t sb_source_deadline_us(const struct sb_source *source)
{
    int64_t earliest_us = INT64_MAX;

    if (source->state != SB_SOURCE_OPEN || source->held_since_us != 0)
        return INT64_MAX;
    for (uint32_t i = 0; i < source->partition_count; i++) {
        const int64_t idle_us = sb_clock_idle_us(&source->partitions[i].clock);

        if (source->watermark.inputs[i].state == SB_WATERMARK_ACTIVE && idle_us < earliest_us)
            earliest_us = idle_us;
    }
    if (source->is_loading)
        return sb_now_us(source->env) + SB_LOADING_POLL_US;
    return earliest_us == INT64_MAX ? INT64_MAX : earliest_us + source->held_us;
}

bool sb_source_done(const struct sb_source *source)
{
    return source->state == SB_SOURCE_ENDED && sb_output_empty(&source->output);
}
