/* SPDX-License-Identifier: Apache-2.0 */
/* file_read.c - reading a file of lines: poll finds lines in the blocks that are read ahead.
 *
 * A line that lies in one block is shown where it lies. One that goes on in the next block is
 * gathered in `carry`, which never holds more than the longest record allowed and its CR: of a line
 * that is longer only the bytes are counted.
 *
 * A position remembers the file by what is in it (a print): hashes of its first bytes and of those
 * before the position. A file that was replaced by another is noticed though it is long enough, and
 * one that was copied back from somewhere is taken.
 *
 * Invariants:
 *   1. `start` is where the first line begins that was not taken; only take_line() moves it. What
 *      of that line came before the block at hand is in `carry`, or counted in `skipped`.
 *   2. While `line` is known its bytes stay valid: a block goes back only when the next line is
 *      looked for.
 *
 * Threads: a reader's one thread; the control thread opens it, and frees it when it is closed and
 * its driver has come to rest, so that closing waits for nobody. Memory: the blocks, and `carry`.
 */
#include "channel/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

enum {
    SHOWN_MAX = 1024, /* records a poll shows at most, so that each keeps its line */
    HEAD_MAX = 4096,  /* bytes of the beginning that are in a print */
    TAIL_MAX = 256,   /* bytes before the position */
    PRINT_SIZE = 2 * sizeof(uint64_t),
};

struct line {
    bool known;
    bool is_too_long; /* then there are no bytes of it */
    const uint8_t *data;
    size_t size;         /* without the end of the line */
    uint64_t whole_size; /* also of one that is too long */
    int64_t next;        /* where the next line begins */
};

struct shown {
    int64_t offset;
    uint64_t number;
};

struct sb_reader {
    struct sb_channel *channel;
    struct sb_reader *next; /* in the channel's list; the control thread's */
    struct sb_file_ahead ahead;
    bool is_empty; /* owns no partition: nothing is read */
    bool stopped;
    int64_t start;
    int64_t end;                     /* lines that begin here or later are not read */
    uint64_t number;                 /* of the line at `start`, from 1; 0: unknown since a seek */
    const struct sb_file_slot *slot; /* at hand; NULL: none */
    size_t at;                       /* bytes of it that are done */
    int64_t wall_ms;                 /* when it was read */
    int64_t arrival_us;
    struct sb_buffer carry;
    uint64_t skipped;
    struct line line;
    uint32_t shown_count;
    struct shown shown[SHOWN_MAX]; /* by the last poll */
    _Atomic bool closed;           /* the reader's thread's last word */
};

/* --- Where to begin --------------------------------------------------------------------------- */

/* Where the line begins in which byte `end` lies: a line is not there before its end is, so the
 * latest record of a followed file is the one that is being written. Looks back as far as a record
 * may be long. */
static sabot_status find_line_start(const struct sb_channel *channel,
                                    int64_t end,
                                    int64_t *start_out,
                                    sabot_error *error)
{
    const int64_t least = end - (int64_t)channel->record_max - 1;
    uint8_t bytes[4096];

    while (end > 0 && end > least) {
        const size_t size = end < (int64_t)sizeof bytes ? (size_t)end : sizeof bytes;
        const uint8_t *newline;
        size_t read;

        SABOT_TRY(channel->env->type->file_read(channel->file, bytes, size, end - (int64_t)size,
                                                &read, error));
        newline = memrchr(bytes, '\n', read);
        end -= (int64_t)size;
        if (newline != NULL) {
            *start_out = end + (newline - bytes) + 1;
            return SABOT_OK;
        }
    }
    *start_out = end;
    return SABOT_OK;
}

/* Where a reader stood a line had ended, unless that was the end of the file. */
static sabot_status check_line_start(const struct sb_channel *channel,
                                     int64_t offset,
                                     uint64_t size,
                                     sabot_error *error)
{
    char before = '\n';
    size_t read;

    if (offset == 0 || (uint64_t)offset == size)
        return SABOT_OK;
    SABOT_TRY(channel->env->type->file_read(channel->file, &before, 1, offset - 1, &read, error));
    if (before == '\n')
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "%s: byte %" PRId64 ", to read on from, is in the middle of a line: it was "
                       "changed or replaced",
                       channel->path, offset);
}

/* --- Is it the same file? --------------------------------------------------------------------- */

static sabot_status hash_range(const struct sb_channel *channel,
                               int64_t start,
                               int64_t end,
                               uint64_t *hash_out,
                               sabot_error *error)
{
    uint8_t bytes[HEAD_MAX];
    size_t done = 0;

    SB_ASSERT(end - start <= HEAD_MAX);
    while (start + (int64_t)done < end) {
        size_t read;

        SABOT_TRY(channel->env->type->file_read(channel->file, bytes + done,
                                                (size_t)(end - start) - done, start + (int64_t)done,
                                                &read, error));
        if (read == 0)
            break; /* it became shorter */
        done += read;
    }
    *hash_out = sb_hash(bytes, done, 0);
    return SABOT_OK;
}

static sabot_status hash_tail(const struct sb_channel *channel,
                              int64_t offset,
                              uint64_t *hash_out,
                              sabot_error *error)
{
    return hash_range(channel, offset > TAIL_MAX ? offset - TAIL_MAX : 0, offset, hash_out, error);
}

static sabot_status hash_head(const struct sb_channel *channel,
                              int64_t offset,
                              uint64_t *hash_out,
                              sabot_error *error)
{
    return hash_range(channel, 0, offset < HEAD_MAX ? offset : HEAD_MAX, hash_out, error);
}

/* The print of what lies before `offset`; none when it can't be read. */
static void take_print(const struct sb_channel *channel, int64_t offset, sabot_position *print)
{
    uint64_t hashes[2];

    print->size = 0;
    if (!sb_file_is_seekable(channel) || offset == 0)
        return;
    if (hash_head(channel, offset, &hashes[0], NULL) != SABOT_OK ||
        hash_tail(channel, offset, &hashes[1], NULL) != SABOT_OK)
        return;
    memcpy(print->bytes, hashes, sizeof hashes);
    print->size = PRINT_SIZE;
}

static sabot_status check_print(const struct sb_channel *channel,
                                const struct sb_reader_position *position,
                                sabot_error *error)
{
    const int64_t offset = position->offset;
    uint64_t expected[2];
    uint64_t head;
    uint64_t tail;

    if (!sb_file_is_seekable(channel) || position->opaque.size != PRINT_SIZE || offset <= 0)
        return SABOT_OK;
    memcpy(expected, position->opaque.bytes, sizeof expected);
    SABOT_TRY(hash_head(channel, offset, &head, error));
    SABOT_TRY(hash_tail(channel, offset, &tail, error));
    if (head == expected[0] && tail == expected[1])
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "%s: its %s not what was read: it was changed or replaced; put the file "
                       "back, or start anew with --reset",
                       channel->path,
                       head != expected[0] ? "first bytes are" : "bytes before the position are");
}

/* The byte a position stands for. */
static sabot_status resolve(const struct sb_channel *channel,
                            int64_t offset,
                            int64_t *start_out,
                            sabot_error *error)
{
    struct sb_file_info info;

    if (offset == SB_OFFSET_NONE)
        offset = channel->from_end ? SB_OFFSET_END : SB_OFFSET_BEGIN;
    if (offset == SB_OFFSET_BEGIN || !sb_file_is_seekable(channel)) {
        *start_out = 0;
        return SABOT_OK;
    }
    SABOT_TRY(channel->env->type->file_info(channel->file, &info, error));
    if (offset == SB_OFFSET_END && channel->follow)
        return find_line_start(channel, (int64_t)info.size, start_out, error);
    if (offset == SB_OFFSET_END)
        offset = (int64_t)info.size;
    if (offset < 0 || (uint64_t)offset > info.size)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                           "%s: there is no byte %" PRId64 " to read on from, it has %" PRIu64
                           " bytes: it was cut or replaced",
                           channel->path, offset, info.size);
    SABOT_TRY(check_line_start(channel, offset, info.size, error));
    *start_out = offset;
    return SABOT_OK;
}

/* A stream goes on where it stands. */
static sabot_status check_stream_position(const struct sb_channel *channel,
                                          int64_t offset,
                                          int64_t stands_at,
                                          sabot_error *error)
{
    if (sb_file_is_seekable(channel) || offset == stands_at || offset == SB_OFFSET_NONE ||
        offset == SB_OFFSET_END || (offset == SB_OFFSET_BEGIN && stands_at == 0))
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                       "%s: can't be read from byte %" PRId64
                       ": it is a stream, and what was read is gone",
                       channel->path, offset);
}

/* --- Open and close --------------------------------------------------------------------------- */

static void reader_free(struct sb_reader *reader)
{
    const struct sb_env *env = reader->channel->env;

    sb_file_ahead_reset(&reader->ahead);
    sb_buffer_reset(&reader->carry);
    sb_free(env, reader, sizeof *reader);
}

void sb_file_readers_reap(struct sb_channel *channel, bool all)
{
    struct sb_reader **link = &channel->readers;

    while (*link != NULL) {
        struct sb_reader *reader = *link;
        const bool is_closed = atomic_load_explicit(&reader->closed, memory_order_acquire);
        const bool is_rested = atomic_load_explicit(&reader->ahead.rested, memory_order_acquire);

        SB_ASSERT(is_closed || !all);
        if (is_closed && (is_rested || all)) {
            *link = reader->next;
            reader_free(reader);
        } else {
            link = &reader->next;
        }
    }
}

static void begin_at(struct sb_reader *reader, int64_t start)
{
    reader->start = start;
    reader->number = start == 0 ? 1 : 0;
    reader->slot = NULL;
    reader->at = 0;
    reader->carry.size = 0;
    reader->skipped = 0;
    reader->line = (struct line){.known = false};
    reader->shown_count = 0;
}

static sabot_status check_position(const struct sb_channel *channel,
                                   const struct sb_reader_position *position,
                                   sabot_error *error)
{
    if (position->partition != 0)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: has no partition %" PRId32,
                           channel->path, position->partition);
    if (channel->stream_is_read)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%s: is a stream and was read before: what was read is gone",
                           channel->path);
    return check_stream_position(channel, position->offset, 0, error);
}

sabot_status sb_file_reader_open(struct sb_channel *channel,
                                 const struct sb_reader_position *positions,
                                 uint32_t position_count,
                                 struct sb_waker *waker,
                                 struct sb_reader **reader_out,
                                 sabot_error *error)
{
    struct sb_reader *reader;
    sabot_status status = SABOT_OK;
    int64_t start = 0;

    SB_ASSERT(channel->file != NULL && channel->for_reading);
    SB_ASSERT(position_count <= 1);
    *reader_out = NULL;
    sb_file_readers_reap(channel, false);
    if (position_count == 1) {
        SABOT_TRY(check_position(channel, &positions[0], error));
        SABOT_TRY(resolve(channel, positions[0].offset, &start, error));
        SABOT_TRY(check_print(channel, &positions[0], error));
    }
    reader = sb_alloc(channel->env, sizeof *reader);
    if (reader == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a reader", channel->path);
    reader->channel = channel;
    reader->is_empty = position_count == 0;
    reader->end = channel->until_end && sb_file_is_seekable(channel) ? (int64_t)channel->info.size
                                                                     : INT64_MAX;
    sb_buffer_init(&reader->carry, channel->env);
    begin_at(reader, start);
    if (reader->is_empty)
        atomic_init(&reader->ahead.rested, true);
    else
        status = sb_file_ahead_init(&reader->ahead, channel, start, waker, error);
    if (status != SABOT_OK) {
        reader_free(reader);
        return status;
    }
    if (!reader->is_empty && !sb_file_is_seekable(channel))
        channel->stream_is_read = true;
    reader->next = channel->readers;
    channel->readers = reader;
    *reader_out = reader;
    return SABOT_OK;
}

void sb_file_reader_stop(struct sb_reader *reader)
{
    reader->stopped = true;
    if (!reader->is_empty)
        sb_file_ahead_stop(&reader->ahead);
}

void sb_file_reader_close(struct sb_reader *reader)
{
    if (reader == NULL)
        return;
    if (!reader->is_empty)
        sb_file_bell_silence(&reader->ahead.bell);
    sb_file_reader_stop(reader);
    atomic_store_explicit(&reader->closed, true, memory_order_release);
}

/* --- Lines ------------------------------------------------------------------------------------ */

/* The slot at hand, or the next one; NULL: not there yet. */
static const struct sb_file_slot *current_slot(struct sb_reader *reader)
{
    if (reader->slot != NULL)
        return reader->slot;
    reader->slot = sb_file_ahead_peek(&reader->ahead);
    reader->at = 0;
    if (reader->slot != NULL) {
        reader->wall_ms = reader->slot->wall_ms;
        reader->arrival_us = reader->slot->arrival_us;
    }
    return reader->slot;
}

static void drop_slot(struct sb_reader *reader)
{
    sb_file_ahead_pop(&reader->ahead);
    reader->slot = NULL;
}

static void take_line(struct sb_reader *reader)
{
    reader->start = reader->line.next;
    if (reader->number != 0)
        reader->number++;
    reader->carry.size = 0;
    reader->skipped = 0;
    reader->line.known = false;
}

static void place_of_line(const struct sb_reader *reader, char *text_out)
{
    sb_file_place(reader->channel, reader->number, reader->start, text_out, SB_PLACE_MAX);
}

/* Gather a part of a line in `carry`, as long as it may become a record with a CR behind it. */
static sabot_status gather(struct sb_reader *reader,
                           const uint8_t *bytes,
                           size_t size,
                           sabot_error *error)
{
    const uint64_t size_max = (uint64_t)reader->channel->record_max + 1;
    const size_t gathered = reader->carry.size;
    char place[SB_PLACE_MAX];

    if (reader->skipped > 0 || gathered + size > size_max) {
        reader->skipped += gathered + size;
        reader->carry.size = 0;
        return SABOT_OK;
    }
    if (sb_buffer_append(&reader->carry, bytes, size) == SABOT_OK)
        return SABOT_OK;
    place_of_line(reader, place);
    return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for %zu bytes of a record", place,
                       gathered + size);
}

/* The line ends with these bytes; the next begins at `next`. Blank ones are taken at once. */
static sabot_status end_line(struct sb_reader *reader,
                             const uint8_t *bytes,
                             size_t size,
                             int64_t next,
                             sabot_error *error)
{
    uint64_t whole_size = size;

    if (reader->carry.size > 0 || reader->skipped > 0) {
        SABOT_TRY(gather(reader, bytes, size, error));
        bytes = reader->carry.data;
        size = reader->carry.size;
        whole_size = reader->skipped + size;
    }
    if (size > 0 && bytes[size - 1] == '\r') {
        size--;
        whole_size--;
    }
    reader->line = (struct line){
        .known = true,
        .is_too_long = whole_size > reader->channel->record_max,
        .data = bytes,
        .size = size,
        .whole_size = whole_size,
        .next = next,
    };
    if (sb_file_is_blank((const char *)bytes, size) && !reader->line.is_too_long)
        take_line(reader);
    return SABOT_OK;
}

/* Go on to the end of the line, or of the block. */
static sabot_status scan(struct sb_reader *reader,
                         const struct sb_file_slot *slot,
                         sabot_error *error)
{
    const uint8_t *from = slot->block + reader->at;
    const size_t left = slot->size - reader->at;
    const uint8_t *newline = memchr(from, '\n', left);
    const size_t size = newline == NULL ? left : (size_t)(newline - from);
    const size_t at = reader->at + size + (newline == NULL ? 0 : 1);

    if (newline == NULL)
        SABOT_TRY(gather(reader, from, size, error));
    else
        SABOT_TRY(end_line(reader, from, size, slot->offset + (int64_t)at, error));
    reader->at = at;
    return SABOT_OK;
}

/* A slot without data: a line without newline counts, if the file ends behind it. */
static sabot_status finish(struct sb_reader *reader,
                           const struct sb_file_slot *slot,
                           sabot_error *error)
{
    if (slot->kind == SB_FILE_SLOT_FAILED) {
        if (error != NULL)
            *error = reader->ahead.failure;
        return reader->ahead.failure.status;
    }
    if (reader->carry.size == 0 && reader->skipped == 0)
        return SABOT_END;
    return end_line(reader, slot->block, 0, slot->offset, error);
}

/* Make `line` known. AGAIN after some blocks without a record, so that no step takes long. */
static sabot_status find_line(struct sb_reader *reader, sabot_error *error)
{
    uint32_t blocks_left = SB_FILE_BLOCKS;

    while (!reader->line.known) {
        const struct sb_file_slot *slot;

        if (reader->start >= reader->end)
            return SABOT_END;
        slot = current_slot(reader);
        if (slot == NULL)
            return SABOT_AGAIN;
        if (slot->kind != SB_FILE_SLOT_DATA) {
            SABOT_TRY(finish(reader, slot, error));
        } else if (reader->at < slot->size) {
            SABOT_TRY(scan(reader, slot, error));
        } else {
            drop_slot(reader);
            if (--blocks_left == 0) {
                sb_file_bell_ring(&reader->ahead.bell, reader->channel->env);
                return SABOT_AGAIN;
            }
        }
    }
    return SABOT_OK;
}

/* --- Poll ------------------------------------------------------------------------------------- */

/* The line that is known is shown: its number is kept for place(). */
static void note_line(struct sb_reader *reader)
{
    reader->shown[reader->shown_count++] = (struct shown){reader->start, reader->number};
}

static sabot_status show_line(struct sb_reader *reader, sb_record_function each, void *context)
{
    const struct sb_record record = {
        .value = {.data = (const char *)reader->line.data, .size = reader->line.size},
        .offset = reader->start,
        .next_offset = reader->line.next,
        .timestamp_ms = reader->wall_ms,
        .arrival_us = reader->arrival_us,
    };
    sabot_status status;

    note_line(reader);
    status = each(context, &record);
    if (status == SABOT_OK || status == SABOT_AGAIN)
        take_line(reader);
    return status;
}

static sabot_status refuse_line(struct sb_reader *reader, sabot_error *error)
{
    const uint64_t size = reader->line.whole_size;
    char place[SB_PLACE_MAX];

    place_of_line(reader, place);
    note_line(reader);
    take_line(reader);
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "%s: record of %" PRIu64 " bytes is longer than the limit of %" PRIu32
                       " (record.bytes_max)",
                       place, size, reader->channel->record_max);
}

sabot_status sb_file_reader_poll(struct sb_reader *reader,
                                 uint32_t index,
                                 uint32_t records_max,
                                 sb_record_function each,
                                 void *context,
                                 sabot_error *error)
{
    SB_ASSERT(index == 0 && !reader->is_empty);
    SB_ASSERT(records_max > 0);
    reader->shown_count = 0;
    if (reader->stopped)
        return SABOT_END;
    if (records_max > SHOWN_MAX)
        records_max = SHOWN_MAX;
    while (reader->shown_count < records_max) {
        sabot_status status = find_line(reader, error);

        if (status == SABOT_OK && reader->line.is_too_long && reader->shown_count == 0)
            return refuse_line(reader, error);
        if (status != SABOT_OK || reader->line.is_too_long)
            return reader->shown_count > 0 ? SABOT_OK : status;
        status = show_line(reader, each, context);
        if (status == SABOT_AGAIN || status == SABOT_END)
            return SABOT_OK;
        if (status != SABOT_OK)
            return status;
    }
    return SABOT_OK;
}

/* --- Where it stands -------------------------------------------------------------------------- */

void sb_file_reader_position(const struct sb_reader *reader,
                             uint32_t index,
                             struct sb_reader_position *position_out)
{
    SB_ASSERT(index == 0 && !reader->is_empty);
    *position_out = (struct sb_reader_position){.partition = 0, .offset = reader->start};
    take_print(reader->channel, reader->start, &position_out->opaque);
}

/* 0: not known any more. */
static uint64_t line_number(const struct sb_reader *reader, int64_t offset)
{
    uint32_t first = 0;
    uint32_t last = reader->shown_count;

    if (offset == reader->start)
        return reader->number;
    while (first < last) {
        const uint32_t middle = first + (last - first) / 2;

        if (reader->shown[middle].offset == offset)
            return reader->shown[middle].number;
        if (reader->shown[middle].offset < offset)
            first = middle + 1;
        else
            last = middle;
    }
    return 0;
}

void sb_file_reader_place(const struct sb_reader *reader,
                          uint32_t index,
                          int64_t offset,
                          char *text_out,
                          size_t size)
{
    SB_ASSERT(index == 0);
    sb_file_place(reader->channel, line_number(reader, offset), offset, text_out, size);
}

/* How many lines the rest of a file has nobody knows before it is read, but the end can be told. */
int64_t sb_file_reader_lag(const struct sb_reader *reader, uint32_t index)
{
    const int64_t part = (int64_t)(reader->skipped + reader->carry.size);

    SB_ASSERT(index == 0 && !reader->is_empty);
    if (reader->line.known)
        return -1;
    if (reader->start >= reader->end)
        return 0;
    if (reader->slot != NULL && reader->slot->kind == SB_FILE_SLOT_END)
        return part == 0 ? 0 : 1;
    return sb_file_ahead_is_at_end(&reader->ahead, reader->start + part) ? 0 : -1;
}

sabot_status sb_file_reader_seek(struct sb_reader *reader,
                                 const struct sb_reader_position *position,
                                 sabot_error *error)
{
    struct sb_channel *channel = reader->channel;
    int64_t start = 0;

    SB_ASSERT(position->partition == 0 && !reader->is_empty);
    SABOT_TRY(check_stream_position(channel, position->offset, reader->start, error));
    if (!sb_file_is_seekable(channel))
        return SABOT_OK;
    SABOT_TRY(resolve(channel, position->offset, &start, error));
    SABOT_TRY(check_print(channel, position, error));
    begin_at(reader, start);
    sb_file_ahead_seek(&reader->ahead, start);
    return SABOT_OK;
}
