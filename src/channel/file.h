/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - the parts of the file channel to each other; nobody else includes it.
 *
 * file.c is the channel, file_read.c its readers, file_ahead.c the thread that reads for one,
 * file_write.c its writers.
 *
 *   file --driver thread of a reader--> blocks in a ring --poll--> records, shown in place
 *   records --write--> blocks in a ring, one a writer --driver thread of the channel--> file
 *
 * A ring of blocks needs no way back: block number n lies in place n % SB_FILE_BLOCKS, so it is the
 * sender's again as soon as the ring has room for it. */
#ifndef SB_CHANNEL_FILE_H
#define SB_CHANNEL_FILE_H

#include "base/lock.h"
#include "base/ring.h"
#include "channel/channel.h"
#include "channel/url.h"

enum {
    SB_FILE_BLOCKS = 4,             /* of a ring; a power of two */
    SB_FILE_BLOCK_MAX = 256 * 1024, /* bytes; all blocks of a ring stay in a processor's cache */
};

/* A waker that may be gone tomorrow: who closes a reader or writer takes its waker away. */
struct sb_file_bell {
    struct sb_lock lock; /* guards `waker` */
    struct sb_waker *waker;
};

static inline void sb_file_bell_init(struct sb_file_bell *bell, struct sb_waker *waker)
{
    sb_lock_init(&bell->lock);
    bell->waker = waker;
}

static inline void sb_file_bell_ring(struct sb_file_bell *bell, const struct sb_env *env)
{
    sb_lock_take(&bell->lock);
    if (bell->waker != NULL)
        sb_wake(env, bell->waker);
    sb_lock_drop(&bell->lock);
}

/* From now on it rings for nobody. */
static inline void sb_file_bell_silence(struct sb_file_bell *bell)
{
    sb_lock_take(&bell->lock);
    bell->waker = NULL;
    sb_lock_drop(&bell->lock);
}

/* What all writers of a channel have together: the thread that writes, and its first failure. */
struct sb_file_output {
    struct sb_thread *thread; /* NULL: no writer was opened yet */
    struct sb_waker *waker;   /* the thread's */
    _Atomic uint32_t open;    /* writers not closed */
    _Atomic bool closing;     /* the channel is being closed */
    bool is_named;            /* its name is safe on the disk (thread's) */
    bool wants_newline;       /* the file ends within a line: begin a new one (thread's) */
    _Atomic bool failed;      /* then `error` is valid, and never changes */
    _Atomic uint64_t length; /* bytes of the file: what was there and stays, and what was written */
    sabot_error error;
    _Atomic(struct sb_writer *) arrived; /* a stack of new writers; the thread takes all at once */
    struct sb_writer *writers;           /* the thread's list */
};

struct sb_channel {
    const struct sb_env *env;
    struct sb_url url;
    const char *path; /* as it is called in errors; of url, or static */
    bool is_standard; /* file:- */
    bool for_reading; /* else for writing */
    bool append;      /* what an output holds stays */
    bool follow;      /* wait for more at the end of the file */
    bool until_end;
    bool from_end; /* start=latest of a followed file; another one is read from its beginning */
    uint32_t record_max;
    size_t block_size;
    struct sb_file *file;     /* NULL: not prepared */
    struct sb_file_info info; /* as it was when prepare said OK */
    bool stream_is_read;      /* there was a reader: a stream can't be read twice */
    struct sb_reader *readers;
    struct sb_file_output output;
};

static inline bool sb_file_is_regular(const struct sb_channel *channel)
{
    return channel->info.kind == SB_FILE_REGULAR;
}

/* A stream has no offsets to read at; standard input goes on where the shell has left it. */
static inline bool sb_file_is_seekable(const struct sb_channel *channel)
{
    return sb_file_is_regular(channel) && !channel->is_standard;
}

/* A line of blanks is no record. */
bool sb_file_is_blank(const char *bytes, size_t size);

/* "tx.jsonl: line 17 (byte 3021)"; without the line when it is 0. */
void sb_file_place(const struct sb_channel *channel,
                   uint64_t line,
                   int64_t offset,
                   char *text_out,
                   size_t size);

/* --- file_ahead.c ----------------------------------------------------------------------------- */

enum sb_file_slot_kind {
    SB_FILE_SLOT_DATA,
    SB_FILE_SLOT_END,    /* the file or stream ends here */
    SB_FILE_SLOT_FAILED, /* ahead->failure says why */
};

/* What the driver thread hands over. */
struct sb_file_slot {
    enum sb_file_slot_kind kind;
    uint32_t generation;
    const uint8_t *block;
    size_t size;
    int64_t offset; /* of the block's first byte */
    int64_t wall_ms;
    int64_t arrival_us;
};

/* A file that is read ahead. Zeroed: none, and reset() of it is fine. */
struct sb_file_ahead {
    const struct sb_channel *channel;
    struct sb_file_bell bell; /* the reader's waker */
    struct sb_thread *thread;
    struct sb_waker *waker; /* the thread's */
    uint8_t *blocks;
    struct sb_ring ring;
    sabot_error failure; /* the driver's until it is handed over by SB_FILE_SLOT_FAILED */

    /* The driver's. */
    int64_t offset; /* of the next byte to be read */
    uint32_t generation;
    uint32_t pushed; /* slots ever */
    bool ended;      /* nothing to do until a seek */
    int64_t wait_us; /* of the last look at a followed file */

    uint32_t reader_generation; /* the reader's */

    /* Both threads'. */
    _Alignas(SB_CACHE_LINE) _Atomic bool stopping;
    _Atomic bool rested; /* the driver's last word */
    _Atomic uint32_t seek_generation;
    _Atomic int64_t seek_offset;
    _Atomic int64_t end_seen; /* where the driver found nothing more to read; -1: nowhere yet */
};

/* Begin to read at `offset`; `waker` is woken for each slot. */
sabot_status sb_file_ahead_init(struct sb_file_ahead *ahead,
                                const struct sb_channel *channel,
                                int64_t offset,
                                struct sb_waker *waker,
                                sabot_error *error);
void sb_file_ahead_reset(struct sb_file_ahead *ahead); /* after stop; waits for the thread */
/* The oldest slot, valid until it is popped; NULL: nothing there yet. */
const struct sb_file_slot *sb_file_ahead_peek(struct sb_file_ahead *ahead);
void sb_file_ahead_pop(struct sb_file_ahead *ahead);
/* What was peeked is gone; the next slot begins at `offset`. */
void sb_file_ahead_seek(struct sb_file_ahead *ahead, int64_t offset);
void sb_file_ahead_stop(struct sb_file_ahead *ahead);
/* Was `offset` the end of the file when it was last looked at? */
bool sb_file_ahead_is_at_end(const struct sb_file_ahead *ahead, int64_t offset);

/* --- file_read.c: see struct sb_channel_type -------------------------------------------------- */

sabot_status sb_file_reader_open(struct sb_channel *channel,
                                 const struct sb_reader_position *positions,
                                 uint32_t position_count,
                                 struct sb_waker *waker,
                                 struct sb_reader **reader_out,
                                 sabot_error *error);
void sb_file_reader_close(struct sb_reader *reader);
sabot_status sb_file_reader_poll(struct sb_reader *reader,
                                 uint32_t index,
                                 uint32_t records_max,
                                 sb_record_function each,
                                 void *context,
                                 sabot_error *error);
void sb_file_reader_position(const struct sb_reader *reader,
                             uint32_t index,
                             struct sb_reader_position *position_out);
void sb_file_reader_place(const struct sb_reader *reader,
                          uint32_t index,
                          int64_t offset,
                          char *text_out,
                          size_t size);
int64_t sb_file_reader_lag(const struct sb_reader *reader, uint32_t index);
void sb_file_reader_stop(struct sb_reader *reader);
sabot_status sb_file_reader_seek(struct sb_reader *reader,
                                 const struct sb_reader_position *position,
                                 sabot_error *error);
/* Free the closed readers of a channel whose threads have come to rest; `all`: wait for them. */
void sb_file_readers_reap(struct sb_channel *channel, bool all);

/* --- file_write.c ----------------------------------------------------------------------------- */

sabot_status sb_file_writer_open(struct sb_channel *channel,
                                 struct sb_txn *txn,
                                 struct sb_waker *waker,
                                 struct sb_writer **writer_out,
                                 sabot_error *error);
void sb_file_writer_close(struct sb_writer *writer);
sabot_status sb_file_writer_write(struct sb_writer *writer,
                                  const struct sb_record *record,
                                  sabot_error *error);
sabot_status sb_file_writer_flush(struct sb_writer *writer, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_file_writer_sync(struct sb_writer *writer,
                                                  uint64_t *length_out,
                                                  sabot_error *error);
bool sb_file_can_resume(const struct sb_channel *channel);
bool sb_file_is_empty(const struct sb_channel *channel);
SABOT_MUST_CHECK sabot_status sb_file_resume(struct sb_channel *channel,
                                             uint64_t length,
                                             sabot_error *error);
/* Wait until the driver thread has written what closed writers left, and free it. */
void sb_file_output_close(struct sb_channel *channel);

#endif
