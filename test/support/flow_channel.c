/* SPDX-License-Identifier: Apache-2.0 */
/* flow_channel.c - the flow's test channel and its codec; flow_channel.h says what they can do. */
#include "flow_channel.h"

/* --- Codec ---------------------------------------------------------------------------------------
 */

struct sb_decoder {
    const struct sb_env *env;
};

struct sb_encoder {
    const struct sb_env *env;
};

static sabot_status decoder_create(const struct sb_env *env,
                                   const struct sb_schema *schema,
                                   const struct sb_codec_limits *limits,
                                   struct sb_decoder **decoder_out,
                                   sabot_error *error)
{
    (void)schema;
    (void)limits;
    *decoder_out = sb_alloc(env, sizeof **decoder_out);
    if (*decoder_out == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a decoder");
    (*decoder_out)->env = env;
    return SABOT_OK;
}

static void decoder_destroy(struct sb_decoder *decoder)
{
    sb_free(decoder->env, decoder, sizeof *decoder);
}

static sabot_status decode(struct sb_decoder *decoder,
                           sabot_text bytes,
                           int32_t event_time_field,
                           int64_t timestamp_ms,
                           uint32_t offset_delta,
                           struct sb_builder *builder,
                           sabot_error *error)
{
    int64_t fields[3];
    uint32_t missing;

    (void)decoder;
    if (bytes.size != sizeof fields)
        return sabot_raise(error, SABOT_ERR_FORMAT, "%zu bytes are no record", bytes.size);
    memcpy(fields, bytes.data, sizeof fields);
    if (sb_builder_begin(builder) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a batch");
    for (uint32_t i = 0; i < 3; i++)
        sb_builder_int64(builder, i, fields[i]);
    return sb_builder_commit(
        builder, event_time_field == SB_NO_FIELD ? timestamp_ms : fields[event_time_field],
        offset_delta, &missing);
}

static sabot_status encoder_create(const struct sb_env *env,
                                   const struct sb_schema *schema,
                                   struct sb_encoder **encoder_out,
                                   sabot_error *error)
{
    (void)schema;
    *encoder_out = sb_alloc(env, sizeof **encoder_out);
    if (*encoder_out == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an encoder");
    (*encoder_out)->env = env;
    return SABOT_OK;
}

static void encoder_destroy(struct sb_encoder *encoder)
{
    sb_free(encoder->env, encoder, sizeof *encoder);
}

static uint64_t encoded_max(const struct sb_encoder *encoder,
                            const struct sb_batch *batch,
                            uint32_t row)
{
    (void)encoder;
    (void)batch;
    (void)row;
    return 3 * sizeof(int64_t);
}

static sabot_status encode(struct sb_encoder *encoder,
                           const struct sb_batch *batch,
                           uint32_t row,
                           struct sb_buffer *out,
                           sabot_error *error)
{
    int64_t fields[3];

    (void)encoder;
    for (uint32_t i = 0; i < 3; i++)
        fields[i] = sb_batch_int64(batch, i, row);
    if (sb_buffer_append(out, fields, sizeof fields) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a record");
    return SABOT_OK;
}

const struct sb_codec_type kit_codec = {
    .name = "kit",
    .decoder_create = decoder_create,
    .decoder_destroy = decoder_destroy,
    .decode = decode,
    .encoder_create = encoder_create,
    .encoder_destroy = encoder_destroy,
    .encoded_max = encoded_max,
    .encode = encode,
};

/* --- The channel ---------------------------------------------------------------------------------
 */

void kit_input_init(struct sb_channel *channel,
                    const struct kit *kit,
                    int32_t partitions,
                    uint32_t records,
                    int64_t keys)
{
    assert_in_range(partitions, 0, KIT_PARTITIONS_MAX);
    *channel = (struct sb_channel){
        .env = kit->env,
        .partitions = partitions,
        .keys = keys,
        .bad_id = -1,
        .large_id = -1,
    };
    for (int32_t i = 0; i < partitions; i++) {
        atomic_store(&channel->shown[i], records);
    }
}

static void wake_readers(struct sb_channel *channel)
{
    for (uint32_t i = 0; i < KIT_WRITERS_MAX; i++) {
        struct sb_waker *waker = atomic_load(&channel->wakers[i]);

        if (waker != NULL)
            sb_wake(channel->env, waker);
    }
}

void kit_input_show(struct sb_channel *channel, uint32_t records)
{
    for (int32_t i = 0; i < channel->partitions; i++)
        atomic_store(&channel->shown[i], records);
    wake_readers(channel);
}

void kit_input_finish(struct sb_channel *channel)
{
    atomic_store(&channel->open_ended, false);
    wake_readers(channel);
}

void kit_output_init(struct sb_channel *channel, const struct kit *kit)
{
    *channel = (struct sb_channel){.env = kit->env};
}

void kit_output_reset(struct sb_channel *channel)
{
    for (uint32_t i = 0; i < channel->writer_count; i++)
        free(channel->writers[i].records);
}

uint32_t kit_output_count(const struct sb_channel *channel)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < channel->writer_count; i++)
        count += channel->writers[i].count;
    return count;
}

static int32_t partition_count(const struct sb_channel *channel)
{
    return channel->partitions;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

struct reading {
    int32_t partition;
    uint32_t next;
};

struct sb_reader {
    struct sb_channel *channel;
    struct sb_waker *waker;
    bool stopped;
    uint32_t polls;
    uint32_t count;
    struct reading readings[KIT_PARTITIONS_MAX];
};

static sabot_status reader_open(struct sb_channel *channel,
                                const struct sb_reader_position *positions,
                                uint32_t position_count,
                                struct sb_waker *waker,
                                struct sb_reader **reader_out,
                                sabot_error *error)
{
    struct sb_reader *reader = sb_alloc(channel->env, sizeof *reader);

    *reader_out = NULL;
    if (reader == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a reader");
    *reader = (struct sb_reader){.channel = channel, .waker = waker, .count = position_count};
    for (uint32_t i = 0; i < position_count; i++)
        reader->readings[i].partition = positions[i].partition;
    atomic_store(&channel->wakers[positions[0].partition], waker);
    channel->readers++;
    *reader_out = reader;
    return SABOT_OK;
}

static void reader_close(struct sb_reader *reader)
{
    reader->channel->readers--;
    atomic_store(&reader->channel->wakers[reader->readings[0].partition], NULL);
    sb_free(reader->channel->env, reader, sizeof *reader);
}

static sabot_status show(struct sb_reader *reader,
                         struct reading *reading,
                         sb_record_function each,
                         void *context)
{
    const struct sb_channel *channel = reader->channel;
    const int64_t id = (int64_t)reading->partition * KIT_PARTITION + reading->next;
    const int64_t time_ms =
        channel->time_of == NULL ? reading->next : channel->time_of(channel, id);
    const int64_t fields[3] = {id, id % channel->keys, time_ms};
    const struct sb_record record = {
        .value = {(const char *)fields, id == channel->bad_id ? 5 : sizeof fields},
        .partition = reading->partition,
        .offset = reading->next,
        .next_offset = reading->next + 1,
        .timestamp_ms = time_ms,
        .arrival_us = 1,
    };
    const sabot_status status = each(context, &record);

    if (status == SABOT_OK || status == SABOT_AGAIN)
        reading->next++;
    return status;
}

static sabot_status poll(struct sb_reader *reader,
                         uint32_t index,
                         uint32_t records_max,
                         sb_record_function each,
                         void *context,
                         sabot_error *error)
{
    const struct sb_channel *channel = reader->channel;
    struct reading *reading = &reader->readings[index];
    /* In this order: what was shown before the end was closed must be seen. */
    const bool open_ended =
        atomic_load(&channel->open_ended) && (channel->over >> reading->partition & 1) == 0;
    const uint32_t shown = reader->stopped ? 0 : atomic_load(&channel->shown[reading->partition]);
    const uint32_t piece_max = channel->piece_max == 0 ? records_max : channel->piece_max;
    sabot_status status = SABOT_OK;
    uint32_t taken = 0;

    SB_ASSERT(records_max > 0);
    SB_ASSERT(index < reader->count);
    if (channel->again_every > 0 && ++reader->polls % channel->again_every == 0) {
        sb_wake(channel->env, reader->waker);
        return SABOT_AGAIN;
    }
    if (reading->next >= shown)
        return open_ended && !reader->stopped ? SABOT_AGAIN : SABOT_END;
    while (status == SABOT_OK && reading->next < shown && taken < records_max &&
           taken < piece_max) {
        if ((int64_t)reading->partition * KIT_PARTITION + reading->next == channel->large_id) {
            if (taken > 0)
                return SABOT_OK;
            reading->next++;
            return sabot_raise(error, SABOT_ERR_LIMIT, "partition %d, offset %u: too large",
                               (int)reading->partition, reading->next - 1);
        }
        status = show(reader, reading, each, context);
        taken++;
    }
    return status == SABOT_AGAIN || status == SABOT_END ? SABOT_OK : status;
}

static void position(const struct sb_reader *reader,
                     uint32_t index,
                     struct sb_reader_position *position_out)
{
    *position_out = (struct sb_reader_position){
        .partition = reader->readings[index].partition,
        .offset = reader->readings[index].next,
    };
}

static void place(const struct sb_reader *reader,
                  uint32_t index,
                  int64_t offset,
                  char *text_out,
                  size_t size)
{
    (void)snprintf(text_out, size, "partition %d, offset %lld",
                   (int)reader->readings[index].partition, (long long)offset);
}

static bool connected(const struct sb_channel *channel)
{
    return !channel->is_away;
}

static int64_t lag(const struct sb_reader *reader, uint32_t index)
{
    const struct reading *reading = &reader->readings[index];

    if (reader->channel->hides_lag)
        return SB_LAG_UNKNOWN;
    return (int64_t)atomic_load(&reader->channel->shown[reading->partition]) - reading->next;
}

static void stop(struct sb_reader *reader)
{
    if (!reader->stopped)
        (void)atomic_fetch_add(&reader->channel->stops, 1);
    reader->stopped = true;
}

/* --- Writing -------------------------------------------------------------------------------------
 */

static sabot_status writer_open(struct sb_channel *channel,
                                struct sb_txn *txn,
                                struct sb_waker *waker,
                                struct sb_writer **writer_out,
                                sabot_error *error)
{
    struct sb_writer *writer;

    (void)error;
    assert_null(txn);
    assert_in_range(channel->writer_count, 0, KIT_WRITERS_MAX - 1);
    writer = &channel->writers[channel->writer_count++];
    *writer = (struct sb_writer){.channel = channel, .waker = waker};
    *writer_out = writer;
    return SABOT_OK;
}

static void writer_close(struct sb_writer *writer)
{
    writer->closed = true;
}

static int64_t epoch_of(const struct sb_writer *writer)
{
    const struct sb_gate *gate;

    if (writer->inbox == NULL)
        return 0;
    gate = &writer->inbox->gate;
    return gate->state == SB_GATE_OPEN ? gate->epoch : gate->epoch - 1;
}

static void keep(struct sb_writer *writer, const struct sb_record *record)
{
    struct kit_written *kept;

    if (writer->count == writer->capacity) {
        writer->capacity = writer->capacity == 0 ? 256 : 2 * writer->capacity;
        writer->records = realloc(writer->records, writer->capacity * sizeof *writer->records);
        SB_ASSERT(writer->records != NULL);
    }
    kept = &writer->records[writer->count++];
    SB_ASSERT(record->value.size == 3 * sizeof(int64_t));
    memcpy(kept, record->value.data, 3 * sizeof(int64_t));
    kept->epoch = epoch_of(writer);
}

static sabot_status write(struct sb_writer *writer,
                          const struct sb_record *record,
                          sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;

    SB_ASSERT(!writer->closed);
    if (channel->full_every > 0 && ++writer->calls % channel->full_every == 0) {
        sb_wake(channel->env, writer->waker);
        return SABOT_AGAIN;
    }
    if (channel->fail_at > 0 && writer->count + 1 == channel->fail_at)
        return sabot_raise(error, SABOT_ERR_IO, "the disk is full");
    keep(writer, record);
    writer->dirty = true;
    writer->flushing = false;
    return SABOT_OK;
}

static sabot_status flush(struct sb_writer *writer, sabot_error *error)
{
    (void)error;
    SB_ASSERT(!writer->closed);
    if (writer->channel->slow_flush && !writer->flushing) {
        writer->flushing = true;
        sb_wake(writer->channel->env, writer->waker);
        return SABOT_AGAIN;
    }
    writer->flushing = false;
    writer->dirty = false;
    return SABOT_OK;
}

const struct sb_channel_type kit_channel_type = {
    .scheme = "kit",
    .partition_count = partition_count,
    .reader_open = reader_open,
    .reader_close = reader_close,
    .poll = poll,
    .position = position,
    .place = place,
    .lag = lag,
    .connected = connected,
    .stop = stop,
    .writer_open = writer_open,
    .writer_close = writer_close,
    .write = write,
    .flush = flush,
};
