/* SPDX-License-Identifier: Apache-2.0 */
/* file_write.c - writing a file of lines: writers fill blocks, one driver thread writes them.
 *
 * All writers of a channel, one a worker thread, share its file. Each has a ring of blocks of whole
 * lines, and the driver thread writes a block at a time, so that lines never mix. A block is handed
 * over when the next record does not fit any more, or by flush(); flush() is done when the ring is
 * empty, for a slot is popped only after its block has been written.
 *
 * The first failure is the last: what of the block is in the file nobody can say, so that nothing
 * more is written, and every call of every writer says why.
 *
 * A line must be read back as what was written. So a record that holds a newline, ends with a CR or
 * is blank is refused.
 *
 * Threads: a writer's one thread until it is closed, then the driver thread, which writes the rest
 * and frees it. Memory: SB_FILE_BLOCKS blocks a writer; one grows when a record is larger. */
#include "channel/file.h"

#include <inttypes.h>
#include <string.h>

#include "base/mutant.h"

/* A block handed over; without bytes: what was handed over before shall be safe on the disk. */
struct slot {
    const uint8_t *data;
    size_t size;
};

struct block {
    uint8_t *data;
    size_t capacity;
};

struct sb_writer {
    struct sb_channel *channel;
    struct sb_writer *next; /* in the stack of new ones, then in the driver's list */
    struct sb_file_bell bell;
    struct sb_ring ring;
    struct block blocks[SB_FILE_BLOCKS];
    uint32_t pushed;     /* blocks ever; the one at hand is blocks[pushed % SB_FILE_BLOCKS] */
    size_t size;         /* bytes in the block at hand; more than 0 only when it is the writer's */
    bool syncs;          /* a sync was handed over and is not done yet */
    _Atomic bool closed; /* the writer's last word: the rest is the driver's */
};

static struct block *block_at_hand(struct sb_writer *writer)
{
    return &writer->blocks[writer->pushed % SB_FILE_BLOCKS];
}

static void writer_free(struct sb_writer *writer)
{
    const struct sb_env *env = writer->channel->env;

    for (uint32_t i = 0; i < SB_FILE_BLOCKS; i++)
        sb_free(env, writer->blocks[i].data, writer->blocks[i].capacity);
    sb_ring_reset(&writer->ring);
    sb_lock_reset(&writer->bell.lock);
    sb_free(env, writer, sizeof *writer);
}

/* --- The driver thread ------------------------------------------------------------------------ */

static void give_up(struct sb_file_output *output)
{
    output->error.retriable = false;
    output->error.fatal = true;
    atomic_store_explicit(&output->failed, true, memory_order_release);
}

/* Write a block, unless one before it could not be written. */
static void write_out(struct sb_channel *channel, const uint8_t *data, size_t size)
{
    const struct sb_env *env = channel->env;
    struct sb_file_output *output = &channel->output;
    sabot_status status = SABOT_OK;

    if (size == 0 || atomic_load_explicit(&output->failed, memory_order_relaxed))
        return;
    if (output->wants_newline) {
        status = env->type->file_write(channel->file, "\n", 1, -1, &output->error);
        (void)atomic_fetch_add_explicit(&output->length, 1, memory_order_relaxed);
    }
    output->wants_newline = false;
    if (status == SABOT_OK)
        status = env->type->file_write(channel->file, data, size, -1, &output->error);
    if (status == SABOT_OK)
        (void)atomic_fetch_add_explicit(&output->length, size, memory_order_relaxed);
    else
        give_up(output);
}

/* After a failed sync nobody knows what is on the disk, and a second one would say that all is well
 * (Rebello et al.: Can Applications Recover from fsync Failures?, 2020). */
static void sync_out(struct sb_channel *channel)
{
    struct sb_file_output *output = &channel->output;

    if (!sb_file_is_regular(channel) || channel->is_standard || SB_MUTANT(FILE_NOT_SYNCED) ||
        atomic_load_explicit(&output->failed, memory_order_relaxed))
        return;
    /* A file that was made for this run also needs its name. */
    if (channel->env->type->file_sync(channel->file, &output->error) != SABOT_OK ||
        (!output->is_named &&
         sb_sync_above(channel->env, channel->path, &output->error) != SABOT_OK))
        give_up(output);
    output->is_named = true;
}

/* Write one block of a writer. False: it has none. */
static bool write_block(struct sb_writer *writer)
{
    const struct slot *slot = sb_ring_peek(&writer->ring);

    if (slot == NULL)
        return false;
    if (slot->size == 0)
        sync_out(writer->channel);
    else
        write_out(writer->channel, slot->data, slot->size);
    sb_ring_pop(&writer->ring, 0);
    sb_file_bell_ring(&writer->bell, writer->channel->env);
    return true;
}

/* Take the new writers into the driver's list. */
static void adopt(struct sb_file_output *output)
{
    struct sb_writer *writer =
        atomic_exchange_explicit(&output->arrived, NULL, memory_order_acquire);

    while (writer != NULL) {
        struct sb_writer *next = writer->next;

        writer->next = output->writers;
        output->writers = writer;
        writer = next;
    }
}

/* A block of each writer in turn; the last bytes of the closed ones. */
static struct sb_step write_step(void *context)
{
    struct sb_channel *channel = context;
    struct sb_file_output *output = &channel->output;
    /* Asked for first: who is closing has handed over all before. */
    const bool is_closing = atomic_load_explicit(&output->closing, memory_order_acquire);
    struct sb_writer **link = &output->writers;
    bool has_worked = false;

    adopt(output);
    while (*link != NULL) {
        struct sb_writer *writer = *link;
        const bool is_closed = atomic_load_explicit(&writer->closed, memory_order_acquire);

        if (write_block(writer)) {
            has_worked = true;
            link = &writer->next;
        } else if (is_closed) {
            write_out(channel, block_at_hand(writer)->data, writer->size);
            *link = writer->next;
            writer_free(writer);
        } else {
            link = &writer->next;
        }
    }
    if (has_worked)
        return sb_step_again();
    return is_closing && output->writers == NULL ? sb_step_done() : sb_step_wait(INT64_MAX);
}

/* --- Open and close --------------------------------------------------------------------------- */

/* A last line that has no end would become one with the first that is written. */
static sabot_status check_last_line(struct sb_channel *channel, sabot_error *error)
{
    const struct sb_env *env = channel->env;
    struct sb_file_info info;
    struct sb_file *file;
    char last = '\n';
    size_t size;
    sabot_status status;

    SABOT_TRY(env->type->file_info(channel->file, &info, error));
    if (info.size == 0)
        return SABOT_OK;
    SABOT_TRY(env->type->file_open(env->self, channel->path, SB_OPEN_READ, &file, error));
    status = env->type->file_read(file, &last, 1, (int64_t)info.size - 1, &size, error);
    env->type->file_close(env->self, file);
    channel->output.wants_newline = last != '\n';
    atomic_store_explicit(&channel->output.length, info.size, memory_order_relaxed);
    return status;
}

/* What stood in the file before the run. */
static sabot_status treat_old_content(struct sb_channel *channel, sabot_error *error)
{
    if (!sb_file_is_regular(channel) || channel->is_standard)
        return SABOT_OK;
    if (channel->append)
        return check_last_line(channel, error);
    return channel->env->type->file_truncate(channel->file, 0, error);
}

/* With the first writer: empty the file, or see to its last line, and start the thread. */
static sabot_status start_output(struct sb_channel *channel, sabot_error *error)
{
    const struct sb_env *env = channel->env;
    struct sb_file_output *output = &channel->output;

    if (output->thread != NULL)
        return SABOT_OK;
    if (output->waker == NULL)
        SABOT_TRY(env->type->waker_create(env->self, &output->waker, error));
    SABOT_TRY(treat_old_content(channel, error));
    return env->type->spawn(env->self, "file-write", write_step, channel, output->waker,
                            &output->thread, error);
}

void sb_file_output_close(struct sb_channel *channel)
{
    const struct sb_env *env = channel->env;
    struct sb_file_output *output = &channel->output;

    SB_ASSERT(atomic_load_explicit(&output->open, memory_order_relaxed) == 0);
    atomic_store_explicit(&output->closing, true, memory_order_release);
    if (output->thread != NULL)
        sb_wake(env, output->waker);
    env->type->join(env->self, output->thread);
    env->type->waker_destroy(env->self, output->waker);
    SB_ASSERT(output->writers == NULL);
    output->thread = NULL;
    output->waker = NULL;
}

static sabot_status make_blocks(struct sb_writer *writer, sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;
    const struct sb_env *env = channel->env;
    sabot_status status = sb_ring_init(&writer->ring, env, SB_FILE_BLOCKS, sizeof(struct slot), 0);

    for (uint32_t i = 0; i < SB_FILE_BLOCKS && status == SABOT_OK; i++) {
        writer->blocks[i].data = sb_alloc(env, channel->block_size);
        if (writer->blocks[i].data == NULL)
            status = SABOT_ERR_MEMORY;
        else
            writer->blocks[i].capacity = channel->block_size;
    }
    if (status != SABOT_OK)
        return sabot_raise(error, status, "%s: no memory for %d blocks of %zu bytes", channel->path,
                           SB_FILE_BLOCKS, channel->block_size);
    return SABOT_OK;
}

sabot_status sb_file_writer_open(struct sb_channel *channel,
                                 struct sb_txn *txn,
                                 struct sb_waker *waker,
                                 struct sb_writer **writer_out,
                                 sabot_error *error)
{
    struct sb_file_output *output = &channel->output;
    struct sb_writer *writer;
    sabot_status status;

    SB_ASSERT(channel->file != NULL && !channel->for_reading);
    *writer_out = NULL;
    if (txn != NULL)
        return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "%s: a file has no transactions",
                           channel->path);
    writer = sb_alloc(channel->env, sizeof *writer);
    if (writer == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a writer", channel->path);
    writer->channel = channel;
    sb_file_bell_init(&writer->bell, waker);
    status = make_blocks(writer, error);
    if (status == SABOT_OK)
        status = start_output(channel, error);
    if (status != SABOT_OK) {
        writer_free(writer);
        return status;
    }
    atomic_fetch_add_explicit(&output->open, 1, memory_order_relaxed);
    writer->next = atomic_load_explicit(&output->arrived, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&output->arrived, &writer->next, writer,
                                                  memory_order_release, memory_order_relaxed)) {}
    *writer_out = writer;
    return SABOT_OK;
}

void sb_file_writer_close(struct sb_writer *writer)
{
    struct sb_channel *channel;

    if (writer == NULL)
        return;
    channel = writer->channel;
    sb_file_bell_silence(&writer->bell);
    atomic_store_explicit(&writer->closed, true, memory_order_release);
    /* The writer may be gone by now. */
    sb_wake(channel->env, channel->output.waker);
    atomic_fetch_sub_explicit(&channel->output.open, 1, memory_order_relaxed);
}

/* --- Write ------------------------------------------------------------------------------------ */

static sabot_status check_output(const struct sb_writer *writer, sabot_error *error)
{
    struct sb_file_output *output = &writer->channel->output;

    if (!atomic_load_explicit(&output->failed, memory_order_acquire))
        return SABOT_OK;
    if (error != NULL)
        *error = output->error;
    return output->error.status;
}

/* Is it a record that a line can hold? */
static sabot_status check_record(const struct sb_writer *writer,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;
    const sabot_text value = record->value;

    if (record->partition != SB_PARTITION_ANY && record->partition != 0)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "%s: has no partition %" PRId32,
                           channel->path, record->partition);
    if (value.size > channel->record_max)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: record of %zu bytes is longer than the limit of %" PRIu32
                           " (record.bytes_max)",
                           channel->path, value.size, channel->record_max);
    if (value.data == NULL || sb_file_is_blank(value.data, value.size))
        return sabot_raise(error, SABOT_ERR_FORMAT,
                           "%s: a record without a value can't be written to a file of lines",
                           channel->path);
    if (value.data[value.size - 1] == '\r' || memchr(value.data, '\n', value.size) != NULL)
        return sabot_raise(error, SABOT_ERR_FORMAT,
                           "%s: a record that holds the end of a line can't be written to a file "
                           "of lines",
                           channel->path);
    return SABOT_OK;
}

static bool is_full(const struct sb_writer *writer)
{
    return sb_ring_count(&writer->ring) == SB_FILE_BLOCKS;
}

/* The block at hand goes to the driver; an empty one is the wish for a sync. */
static void hand_over(struct sb_writer *writer)
{
    const struct slot slot = {.data = block_at_hand(writer)->data, .size = writer->size};
    const bool pushed = sb_ring_push(&writer->ring, &slot, 0);

    SB_ASSERT(pushed);
    writer->pushed++;
    writer->size = 0;
    sb_wake(writer->channel->env, writer->channel->output.waker);
}

/* A larger block for one large record. */
static sabot_status grow(struct sb_writer *writer, size_t capacity, sabot_error *error)
{
    const struct sb_env *env = writer->channel->env;
    struct block *block = block_at_hand(writer);
    uint8_t *data = sb_alloc(env, capacity);

    SB_ASSERT(writer->size == 0);
    if (data == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a record of %zu bytes",
                           writer->channel->path, capacity - 1);
    sb_free(env, block->data, block->capacity);
    *block = (struct block){data, capacity};
    return SABOT_OK;
}

sabot_status sb_file_writer_write(struct sb_writer *writer,
                                  const struct sb_record *record,
                                  sabot_error *error)
{
    const size_t size = record->value.size;
    struct block *block = block_at_hand(writer);

    SABOT_TRY(check_output(writer, error));
    SABOT_TRY(check_record(writer, record, error));
    if (writer->size > 0 && size >= block->capacity - writer->size)
        hand_over(writer);
    if (writer->size == 0) {
        if (is_full(writer))
            return SABOT_AGAIN;
        block = block_at_hand(writer);
        if (size >= block->capacity)
            SABOT_TRY(grow(writer, size + 1, error));
    }
    memcpy(block->data + writer->size, record->value.data, size);
    block->data[writer->size + size] = '\n';
    writer->size += size + 1;
    return SABOT_OK;
}

sabot_status sb_file_writer_flush(struct sb_writer *writer, sabot_error *error)
{
    if (writer->size > 0)
        hand_over(writer);
    if (sb_ring_count(&writer->ring) > 0) {
        SABOT_TRY(check_output(writer, error));
        return SABOT_AGAIN;
    }
    return check_output(writer, error); /* a failure is seen no later than its popped block */
}

sabot_status sb_file_writer_sync(struct sb_writer *writer, uint64_t *length_out, sabot_error *error)
{
    const struct sb_channel *channel = writer->channel;

    if (!writer->syncs) {
        if (writer->size > 0)
            hand_over(writer);
        if (is_full(writer))
            return SABOT_AGAIN; /* woken when a block has been written */
        hand_over(writer);
        writer->syncs = true;
    }
    SABOT_TRY(sb_file_writer_flush(writer, error));
    writer->syncs = false;
    *length_out = sb_file_is_regular(channel) && !channel->is_standard
                      ? atomic_load_explicit(&channel->output.length, memory_order_relaxed)
                      : SB_LENGTH_NONE;
    return SABOT_OK;
}

bool sb_file_can_resume(const struct sb_channel *channel)
{
    return sb_file_is_regular(channel) && !channel->is_standard;
}

bool sb_file_is_empty(const struct sb_channel *channel)
{
    struct sb_file_info info;

    if (!sb_file_can_resume(channel))
        return false;
    return channel->env->type->file_info(channel->file, &info, NULL) == SABOT_OK && info.size == 0;
}

sabot_status sb_file_resume(struct sb_channel *channel, uint64_t length, sabot_error *error)
{
    const struct sb_env_type *type = channel->env->type;
    struct sb_file_info info;
    struct sb_file *file;

    SB_ASSERT(channel->output.thread == NULL);
    if (!sb_file_can_resume(channel))
        return SABOT_OK;
    SABOT_TRY(type->file_info(channel->file, &info, error));
    if (info.size < length)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: it has %" PRIu64 " bytes, and %" PRIu64
                           " were written to it: it was changed or replaced",
                           channel->path, info.size, length);
    if (!SB_MUTANT(FILE_NOT_CUT))
        SABOT_TRY(type->file_truncate(channel->file, length, error));
    SABOT_TRY(type->file_sync(channel->file, error));
    SABOT_TRY(type->file_open(channel->env->self, channel->path, SB_OPEN_APPEND, &file, error));
    type->file_close(channel->env->self, channel->file);
    channel->file = file;
    channel->append = true;
    atomic_store_explicit(&channel->output.length, length, memory_order_relaxed);
    return SABOT_OK;
}
