/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - what the two files of the source channel share; nobody else includes it.
 *
 *   source.c         the channel type and its reader
 *   source_driver.c  the driver that calls the app's function, and sabot_source_*()
 *
 * The driver's records go to the reader in blocks:
 *
 *     fill --> | block being written | --queue--> reader --spent--> back to the driver
 *
 * A block is queued as soon as it is begun, and the reader walks what is `published` of it, which
 * grows at the end of each call of fill. So a record never waits for a block to become full, and
 * two threads share a line only once a call, not once a record.
 *
 * Bytes of a block: entries one behind the other, each aligned to 8, without pointers.
 *
 *   kind RECORD    head, key, value
 *   kind POSITION  head, and as value where the call of fill that made the next records began */
#ifndef SB_CHANNEL_SOURCE_H
#define SB_CHANNEL_SOURCE_H

#include "base/lock.h"
#include "base/ring.h"
#include "channel/channel.h"
#include "format/codec.h"

enum {
    SB_FEED_BLOCK = 256 * 1024, /* bytes of a block, at most, but for a larger record */
    SB_FEED_BLOCK_MIN = 4096,
    SB_FEED_BLOCKS = 16,          /* of the buffer, at least */
    SB_FEED_BLOCKS_MAX = 1 << 16, /* bounds the rings */
    SB_FEED_BYTES_MIN = 64 * 1024,
    SB_FEED_BYTES_DEFAULT = 1 << 26,
    /* How far the function may be ahead when no URL says. More would only leave the caches: a
     * source can wait, it makes its records when they are wanted. */
    SB_FEED_AHEAD = 1 << 22,
    SB_FEED_RECORDS_MAX = 1024, /* of one call of fill */
    SB_FEED_IDLE_US = 1000,     /* pause after a call that wrote nothing and wished for none */
};

enum sb_feed_kind { SB_FEED_RECORD = 1, SB_FEED_POSITION = 2 };

struct sb_feed_entry {
    uint32_t size; /* bytes to the next entry */
    uint32_t kind;
    uint32_t key_size; /* UINT32_MAX: none */
    uint32_t value_size;
    int64_t timestamp_ms;
    int64_t arrival_us;
};
_Static_assert(sizeof(struct sb_feed_entry) == 32, "no padding");

struct sb_feed_block {
    struct sb_feed_block *next; /* in the driver's list of empty ones */
    uint64_t epoch;             /* of the start (or seek) it belongs to */
    uint32_t capacity;
    uint32_t used;                                      /* driver's */
    _Alignas(SB_CACHE_LINE) _Atomic uint32_t published; /* bytes that may be read */
    _Atomic bool sealed;                                /* no more will be published */
    _Alignas(SB_CACHE_LINE) uint8_t bytes[];
};

/* What the reader wants of the driver. */
struct sb_feed_request {
    uint64_t epoch; /* counts starts and seeks */
    bool running;
    bool closing;
    sabot_position position;
};

/* The source of a channel: the driver and what it shares with the reader. */
struct sabot_source {
    const struct sb_env *env;
    char *channel; /* name, for errors */
    sabot_source_fill fill;
    void *user;
    const struct sb_codec_type *codec;
    const struct sb_schema *schema;
    uint64_t bytes_max; /* of blocks with records; the last call of fill may exceed it */
    uint32_t record_max;
    uint32_t records_max; /* of one call: so many of the largest fit into the buffer */
    int64_t records_end;  /* of all: it ends behind so many */
    uint32_t block_size;
    struct sb_thread *thread;
    struct sb_waker *waker;

    /* The driver's own. */
    _Alignas(SB_CACHE_LINE) uint64_t request_seen;
    uint64_t epoch;
    bool running;
    bool closing;
    bool ended;
    sabot_position position;      /* the app's: where it stands */
    sabot_position call_position; /* where this call began */
    bool call_marked;             /* and that is in a block */
    uint32_t call_left;           /* records it may still write */
    sabot_status call_status;     /* SABOT_ERR_MEMORY: a record was lost */
    int64_t due_us;
    int64_t wall_ms; /* of this call; INT64_MIN: not looked yet */
    int64_t wait_until_us;
    struct sb_feed_block *block; /* being written, and queued; NULL: none */
    struct sb_feed_block *empty;
    uint64_t bytes; /* capacity of blocks that are not empty */
    struct sb_encoder *encoder;
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    struct sb_buffer encoded;
    sabot_error error; /* of this call */

    /* Between the two. */
    struct sb_ring queue;                        /* driver to reader: struct sb_feed_block * */
    struct sb_ring spent;                        /* and back */
    _Alignas(SB_CACHE_LINE) _Atomic bool parked; /* the reader waits for records */
    _Atomic bool starved;                        /* the driver waits for blocks */
    _Atomic uint64_t ended_epoch;                /* 0, or the epoch that has ended, and how: */
    sabot_status final_status;
    sabot_error final_error;
    sabot_position final_position;
    _Alignas(SB_CACHE_LINE) _Atomic uint64_t request_number; /* changes of `request` */
    struct sb_lock lock;                                     /* guards the two below */
    struct sb_feed_request request;
    struct sb_waker *reader_waker; /* NULL: no reader */
};

static inline uint32_t sb_feed_entry_size(size_t bytes)
{
    return (uint32_t)((sizeof(struct sb_feed_entry) + bytes + 7) / 8 * 8);
}

struct sb_step sb_feed_step(void *context); /* a struct sabot_source */
/* The driver has come to rest: free what is its own, and all blocks. */
void sb_feed_free_blocks(struct sabot_source *source);

#endif
