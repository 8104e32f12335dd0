/* SPDX-License-Identifier: Apache-2.0 */
/* flow_channel.h - a channel for the tests of the flow, with every mood that a channel may have.
 *
 * As an input it makes its records itself: record `o` of partition `p` has the id
 * p * KIT_PARTITION + o, so that every record that comes out says where it came from. It shows them
 * in pieces, says SABOT_AGAIN in between, and has a malformed or a too large one where it is told.
 * As an output it keeps what each writer wrote, in order, and may be full now and then.
 *
 * The codec beside it is three integers as they lie in memory.
 *
 * Threads: fields are set before the flow is made; `shown` by anybody; `written` is read when the
 * flow is at rest. */
#ifndef SB_TEST_FLOW_CHANNEL_H
#define SB_TEST_FLOW_CHANNEL_H

#include "channel/channel.h"
#include "flow/inbox.h"
#include "flow_kit.h"
#include "format/codec.h"

enum { KIT_PARTITION = 1000000, KIT_PARTITIONS_MAX = 8, KIT_WRITERS_MAX = 64 };

/* What came out: one record. `epoch` is the number of barriers that its sink had seen by then. */
struct kit_written {
    int64_t id;
    int64_t key;
    int64_t time_ms;
    int64_t epoch;
};

struct sb_writer {
    struct sb_channel *channel;
    struct sb_waker *waker;
    const struct sb_inbox *inbox; /* of its sink; set by the test that wants epochs */
    uint32_t count;
    uint32_t capacity;
    struct kit_written *records;
    uint32_t calls;
    bool flushing;
    bool dirty;
    bool closed;
};

struct sb_channel {
    const struct sb_env *env;
    /* --- input */
    int32_t partitions;
    int64_t keys;                               /* key = id % keys */
    _Atomic uint32_t shown[KIT_PARTITIONS_MAX]; /* records that are there now */
    _Atomic bool open_ended;                    /* behind the last one: more may come */
    uint32_t over;                              /* bit p: but not to partition p */
    int64_t (*time_of)(const struct sb_channel *channel, int64_t id); /* NULL: the offset */
    const void *times;                                                /* for it */
    bool is_away;                                                     /* not connected */
    bool hides_lag;                                                   /* nobody can know it */
    uint32_t piece_max;     /* records of a poll; 0: no limit */
    uint32_t again_every;   /* polls; 0: never without a reason */
    int64_t bad_id;         /* this one is malformed; -1: none */
    int64_t large_id;       /* this one is too large; -1: none */
    uint32_t readers;       /* open */
    _Atomic uint32_t stops; /* readers that were told to stop */
    _Atomic(struct sb_waker *) wakers[KIT_WRITERS_MAX];
    /* --- output */
    uint32_t full_every; /* writes; 0: never full */
    uint32_t fail_at;    /* the n-th write of a writer fails; 0: none */
    bool slow_flush;     /* a flush takes two calls */
    uint32_t writer_count;
    struct sb_writer writers[KIT_WRITERS_MAX];
};

extern const struct sb_channel_type kit_channel_type;
extern const struct sb_codec_type kit_codec;

/* An input of so many partitions and records in each, all shown. */
void kit_input_init(struct sb_channel *channel,
                    const struct kit *kit,
                    int32_t partitions,
                    uint32_t records,
                    int64_t keys);
void kit_output_init(struct sb_channel *channel, const struct kit *kit);
void kit_output_reset(struct sb_channel *channel);

/* Show `records` of each partition, and wake the readers. */
void kit_input_show(struct sb_channel *channel, uint32_t records);
/* Everything is there: what is not shown now never comes. */
void kit_input_finish(struct sb_channel *channel);

/* Records of all writers together. */
uint32_t kit_output_count(const struct sb_channel *channel);

#endif
