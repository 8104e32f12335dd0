/* SPDX-License-Identifier: Apache-2.0 */
/* memory_reader.c - reading the embedded log: records are shown where they lie.
 *
 * A poll looks once at what is readable (`stable`), then walks the segments without a lock: the
 * reader's hold keeps what it has not taken, its pin the segment it stands in. At the end it moves
 * the hold, so that writers may drop what was read.
 *
 *   reading --nothing readable--> parked --write, end of a transaction, last writer gone--> reading
 *
 * Hidden records (aborted ones, marks) are walked over, and the position with them.
 *
 * Invariant: at every return hold = cursor offset, or INT64_MAX when nothing more will be read.
 * Threads: one reader's calls come from one thread. Memory: the reader's own; the bytes shown are
 * the log's and valid during the call that shows them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"

#include "channel/memory_log.h"

/* A partition, as its reader sees it. */
struct cursor {
    struct sb_log_partition *partition;
    struct sb_log_hold hold;
    struct sb_log_segment *segment; /* pinned; NULL: to be found */
    uint32_t at;                    /* byte in it */
    int64_t offset;                 /* of the next record */
    int64_t until;                  /* of the first record not to be read */
};

struct sb_reader {
    const struct sb_env *env;
    uint32_t record_max;
    bool stopped;
    uint32_t cursor_count;
    struct cursor *cursors;
    struct sb_header headers[SB_HEADERS_MAX]; /* of the record being shown */
};

/* --- Open, close, move ------------------------------------------------------------------------ */

static sabot_status raise_not_found(struct sb_log_partition *partition,
                                    int64_t offset,
                                    sabot_error *error)
{
    int64_t begin;
    int64_t end;

    sb_log_range(partition, &begin, &end);
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "%s: partition %" PRId32 " has no offset %" PRId64 ": it goes from %" PRId64
                       " to %" PRId64,
                       partition->topic->name, partition->number, offset, begin, end);
}

static void close_cursors(struct sb_reader *reader, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct cursor *cursor = &reader->cursors[i];

        if (cursor->segment != NULL)
            sb_log_unpin(cursor->partition, cursor->segment);
        sb_log_hold_remove(cursor->partition, &cursor->hold);
    }
}

static sabot_status open_cursor(struct cursor *cursor,
                                const struct sb_channel *channel,
                                const struct sb_reader_position *position,
                                struct sb_waker *waker,
                                sabot_error *error)
{
    const struct sb_log_topic *topic = channel->topic;
    int64_t offset = position->offset;

    if (position->partition < 0 || position->partition >= topic->partition_count)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "%s: no partition %" PRId32 " among %" PRId32,
                           topic->name, position->partition, topic->partition_count);
    if (offset == SB_OFFSET_NONE)
        offset = channel->start_latest ? SB_OFFSET_END : SB_OFFSET_BEGIN;
    cursor->partition = &topic->partitions[position->partition];
    cursor->hold.waker = waker;
    cursor->until = channel->ends == NULL ? INT64_MAX : channel->ends[position->partition];
    if (sb_log_hold_add(cursor->partition, &cursor->hold, offset, &cursor->offset) != SABOT_OK)
        return raise_not_found(cursor->partition, offset, error);
    return SABOT_OK;
}

sabot_status sb_memory_reader_open(struct sb_channel *channel,
                                   const struct sb_reader_position *positions,
                                   uint32_t position_count,
                                   struct sb_waker *waker,
                                   struct sb_reader **reader_out,
                                   sabot_error *error)
{
    const struct sb_env *env = channel->env;
    struct sb_reader *reader = sb_alloc(env, sizeof *reader);

    SB_ASSERT(channel->ready);
    *reader_out = NULL;
    if (reader != NULL)
        reader->cursors = sb_alloc_array(env, position_count, sizeof *reader->cursors);
    if (reader == NULL || reader->cursors == NULL) {
        sb_free(env, reader, sizeof *reader);
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a reader",
                           channel->topic->name);
    }
    reader->env = env;
    reader->record_max = channel->record_max;
    reader->cursor_count = position_count;
    for (uint32_t i = 0; i < position_count; i++) {
        const sabot_status status =
            open_cursor(&reader->cursors[i], channel, &positions[i], waker, error);

        if (status != SABOT_OK) {
            close_cursors(reader, i);
            sb_free_array(env, reader->cursors, position_count, sizeof *reader->cursors);
            sb_free(env, reader, sizeof *reader);
            return status;
        }
    }
    *reader_out = reader;
    return SABOT_OK;
}

void sb_memory_reader_close(struct sb_reader *reader)
{
    if (reader == NULL)
        return;
    close_cursors(reader, reader->cursor_count);
    sb_free_array(reader->env, reader->cursors, reader->cursor_count, sizeof *reader->cursors);
    sb_free(reader->env, reader, sizeof *reader);
}

static struct cursor *cursor_at(const struct sb_reader *reader, uint32_t index)
{
    SB_ASSERT(index < reader->cursor_count);
    return &reader->cursors[index];
}

sabot_status sb_memory_seek(struct sb_reader *reader,
                            const struct sb_reader_position *position,
                            sabot_error *error)
{
    for (uint32_t i = 0; i < reader->cursor_count; i++) {
        struct cursor *cursor = &reader->cursors[i];

        if (cursor->partition->number != position->partition)
            continue;
        if (sb_log_hold_seek(cursor->partition, &cursor->hold, position->offset, &cursor->offset) !=
            SABOT_OK)
            return raise_not_found(cursor->partition, position->offset, error);
        if (reader->stopped)
            sb_log_hold_move(cursor->partition, &cursor->hold, INT64_MAX);
        if (cursor->segment != NULL)
            sb_log_unpin(cursor->partition, cursor->segment);
        cursor->segment = NULL;
        return SABOT_OK;
    }
    return sabot_raise(error, SABOT_ERR_ARGUMENT, "this reader has no partition %" PRId32,
                       position->partition);
}

void sb_memory_stop(struct sb_reader *reader)
{
    reader->stopped = true;
    for (uint32_t i = 0; i < reader->cursor_count; i++)
        sb_log_hold_move(reader->cursors[i].partition, &reader->cursors[i].hold, INT64_MAX);
}

/* --- Where it stands -------------------------------------------------------------------------- */

void sb_memory_position(const struct sb_reader *reader,
                        uint32_t index,
                        struct sb_reader_position *position_out)
{
    const struct cursor *cursor = cursor_at(reader, index);

    *position_out = (struct sb_reader_position){
        .partition = cursor->partition->number,
        .offset = cursor->offset,
    };
}

void sb_memory_place(const struct sb_reader *reader,
                     uint32_t index,
                     int64_t offset,
                     char *text_out,
                     size_t size)
{
    (void)snprintf(text_out, size, "partition %" PRId32 ", offset %" PRId64,
                   cursor_at(reader, index)->partition->number, offset);
}

/* What can be read without taking a lock. */
static int64_t readable_end(const struct cursor *cursor)
{
    const int64_t stable = atomic_load_explicit(&cursor->partition->stable, memory_order_acquire);

    return stable < cursor->until ? stable : cursor->until;
}

int64_t sb_memory_lag(const struct sb_reader *reader, uint32_t index)
{
    const struct cursor *cursor = cursor_at(reader, index);
    const int64_t lag = readable_end(cursor) - cursor->offset;

    return lag < 0 ? 0 : lag;
}

/* --- Poll ------------------------------------------------------------------------------------- */

static const struct sb_log_head *head_of(const struct cursor *cursor)
{
    return (const struct sb_log_head *)(const void *)(cursor->segment->bytes + cursor->at);
}

static sabot_text stored_text(const uint8_t *bytes, uint32_t size)
{
    if (size == SB_LOG_NONE)
        return (sabot_text){NULL, 0};
    return (sabot_text){(const char *)bytes, size};
}

static void read_headers(struct sb_reader *reader, const uint8_t *from, uint32_t count)
{
    SB_ASSERT(count <= SB_HEADERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct sb_header *header = &reader->headers[i];
        uint32_t sizes[2];

        memcpy(sizes, from, sizeof sizes);
        from += sizeof sizes;
        header->name = stored_text(from, sizes[0]);
        from += header->name.size;
        header->value = stored_text(from, sizes[1]);
        from += header->value.size;
    }
}

static void read_record(struct sb_reader *reader,
                        const struct cursor *cursor,
                        struct sb_record *record_out)
{
    const struct sb_log_head *head = head_of(cursor);
    const uint8_t *bytes = (const uint8_t *)(head + 1);

    record_out->key = stored_text(bytes, head->key_size);
    bytes += record_out->key.size;
    record_out->value = stored_text(bytes, head->value_size);
    bytes += record_out->value.size;
    record_out->headers = reader->headers;
    record_out->header_count = head->header_count;
    if (head->header_count > 0)
        read_headers(reader, bytes, head->header_count);
    record_out->partition = cursor->partition->number;
    record_out->offset = cursor->offset;
    record_out->next_offset = cursor->offset + 1;
    record_out->timestamp_ms = head->timestamp_ms;
    record_out->arrival_us = head->arrival_us;
}

static void advance(struct cursor *cursor)
{
    cursor->at += head_of(cursor)->size;
    cursor->offset++;
}

/* Stand on a head of a record: find the first segment, or go on to the next. */
static void enter(struct cursor *cursor)
{
    if (cursor->segment == NULL || head_of(cursor)->size == 0)
        cursor->segment =
            sb_log_pin(cursor->partition, cursor->segment, cursor->offset, &cursor->at);
    SB_ASSERT(head_of(cursor)->size > 0);
}

static sabot_status raise_too_large(const struct sb_reader *reader,
                                    const struct cursor *cursor,
                                    const struct sb_record *record,
                                    sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "%s: partition %" PRId32 ", offset %" PRId64
                       ": record of %zu bytes, %" PRIu32 " is the limit",
                       cursor->partition->topic->name, cursor->partition->number, record->offset,
                       record->key.size + record->value.size, reader->record_max);
}

/* Show records below `limit`. SABOT_AGAIN: there were none but hidden ones. */
static sabot_status walk(struct sb_reader *reader,
                         struct cursor *cursor,
                         int64_t limit,
                         uint32_t records_max,
                         sb_record_function each,
                         void *context,
                         sabot_error *error)
{
    uint32_t shown = 0;

    while (cursor->offset < limit && shown < records_max) {
        struct sb_record record;
        sabot_status status;

        enter(cursor);
        if ((head_of(cursor)->flags & (SB_LOG_MARK | SB_LOG_ABORTED)) != 0 &&
            !(SB_MUTANT(ABORTED_SHOWN) && (head_of(cursor)->flags & SB_LOG_MARK) == 0)) {
            advance(cursor);
            continue;
        }
        read_record(reader, cursor, &record);
        if (record.key.size + record.value.size > reader->record_max) {
            if (shown > 0)
                return SABOT_OK;
            advance(cursor);
            return raise_too_large(reader, cursor, &record, error);
        }
        status = each(context, &record);
        if (status == SABOT_END)
            return SABOT_OK;
        if (status != SABOT_OK && status != SABOT_AGAIN)
            return status;
        advance(cursor);
        shown++;
        if (status == SABOT_AGAIN)
            return SABOT_OK;
    }
    return shown == 0 ? SABOT_AGAIN : SABOT_OK;
}

/* Nothing to read now: SABOT_OK when there is after all, AGAIN (parked), or END. */
static sabot_status wait_or_end(struct cursor *cursor)
{
    if (cursor->offset >= cursor->until) {
        sb_log_hold_move(cursor->partition, &cursor->hold, INT64_MAX);
        return SABOT_END;
    }
    return sb_log_park(cursor->partition, &cursor->hold, cursor->offset);
}

sabot_status sb_memory_poll(struct sb_reader *reader,
                            uint32_t index,
                            uint32_t records_max,
                            sb_record_function each,
                            void *context,
                            sabot_error *error)
{
    struct cursor *cursor = cursor_at(reader, index);
    sabot_status status = SABOT_AGAIN;

    SB_ASSERT(records_max > 0);
    if (reader->stopped)
        return SABOT_END;
    while (status == SABOT_AGAIN) {
        const int64_t limit = readable_end(cursor);

        if (cursor->offset >= limit) {
            SABOT_TRY(wait_or_end(cursor));
            continue;
        }
        status = walk(reader, cursor, limit, records_max, each, context, error);
        sb_log_hold_move(cursor->partition, &cursor->hold, cursor->offset);
    }
    return status;
}
