/* SPDX-License-Identifier: Apache-2.0 */
/* memory_log.h - what the files of the embedded log share; nobody else includes it.
 *
 *   memory.c         the channel type: URLs, channels, writers
 *   memory_reader.c  readers
 *   memory_log.c     partitions: segments of records, who holds them, who waits
 *   memory_txn.c     what a broker's coordinators do: transactional ids, transactions, groups
 *
 * Locks: the log's, then a partition's; never two partitions' at once. */
#ifndef SB_CHANNEL_MEMORY_LOG_H
#define SB_CHANNEL_MEMORY_LOG_H

#include <stdatomic.h>

#include "base/lock.h"
#include "channel/memory.h"

enum {
    SB_LOG_TOPICS_MAX = 4096,
    SB_LOG_GROUPS_MAX = 1024,
    SB_LOG_PRODUCERS_MAX = 4096,    /* transactional ids */
    SB_LOG_OPEN_MAX = 256,          /* transactions open in one partition */
    SB_LOG_BYTES_DEFAULT = 1 << 26, /* of a topic */
    SB_LOG_BYTES_MIN = 4096,        /* of a partition */
    SB_LOG_SEGMENT_MIN = 512,
    SB_LOG_SEGMENT_MAX = 1 << 20,
    SB_LOG_SEGMENT_SHARE = 8, /* a partition has at least as many */
    SB_LOG_SPARE_MAX = 2,     /* empty segments kept by a partition */
    SB_LOG_ID_MAX = 256,      /* bytes of a group's name or transactional id */
};

/* --- Bytes of a segment -----------------------------------------------------------------------
 *
 * Records lie one behind the other, each aligned to 8. No pointers: a segment can be moved or
 * mapped elsewhere.
 *
 *   head      this struct
 *   key       key_size bytes
 *   value     value_size bytes
 *   headers   each: name_size, value_size (uint32_t), name, value
 *   padding   to a multiple of 8
 *
 * A head of size 0 (4 bytes) says that the next record is in the next segment. */
struct sb_log_head {
    uint32_t size; /* bytes to the next head */
    uint16_t flags;
    uint16_t header_count;
    uint32_t key_size; /* or SB_LOG_NONE */
    uint32_t value_size;
    int64_t timestamp_ms;
    int64_t arrival_us;
    uint64_t txn; /* number of the transaction, 0: none */
};
_Static_assert(sizeof(struct sb_log_head) == 40, "the head is laid out as the table says");

#define SB_LOG_NONE UINT32_MAX

enum {
    SB_LOG_MARK = 1,    /* the end of a transaction: takes an offset, is not shown */
    SB_LOG_ABORTED = 2, /* of an aborted transaction: not shown */
};

/* --- Partitions ------------------------------------------------------------------------------- */

/* The memory of `bytes` and what is known about it. The lock of its partition guards it, except the
 * bytes below `stable`, which never change again. */
struct sb_log_segment {
    struct sb_log_segment *newer;
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t used;
    int64_t base;  /* offset of its first record */
    int64_t end;   /* behind its last one */
    uint32_t pins; /* readers that stand in it */
    bool dropped;  /* no part of the log any more: freed with the last pin */
};

/* A reader, as a partition knows it. */
struct sb_log_hold {
    struct sb_log_hold *next;
    struct sb_waker *waker;
    bool parked;            /* wants to be woken; partition's lock */
    _Atomic int64_t offset; /* needs what is from here on; INT64_MAX: nothing */
};

/* A writer that waits for room. */
struct sb_log_waiter {
    struct sb_log_waiter *next;
    struct sb_waker *waker;
    bool queued; /* partition's lock */
};

/* A transaction with records in a partition. */
struct sb_log_open {
    uint64_t number;
    int64_t first;  /* offset of the first record */
    uint64_t bytes; /* of its records here */
};

/* The committed offset of a group in a partition; the log's lock. */
struct sb_log_offset {
    struct sb_log_offset *next;
    const struct sb_log_group *group;
    int64_t offset; /* or SB_OFFSET_NONE */
    bool is_mark;   /* it holds no records */
    char *metadata;
    uint32_t pending; /* open transactions that will change it */
};

struct sb_log_partition {
    const struct sb_env *env;
    const struct sb_log_topic *topic;
    int32_t number;
    uint32_t segment_size;
    uint64_t bytes_max;
    struct sb_log_offset *offsets; /* of groups; log's lock */
    _Atomic int64_t group_low;     /* lowest of them; INT64_MAX: none */
    _Atomic bool room_wanted;      /* writers wait */
    /* Records below are readable: written, and of no open transaction (Kafka's last stable
     * offset). */
    _Alignas(SB_CACHE_LINE) _Atomic int64_t stable;
    _Alignas(SB_CACHE_LINE) struct sb_lock lock; /* guards all below */
    int64_t end;                                 /* offset of the next record */
    struct sb_log_segment *oldest;
    struct sb_log_segment *newest;
    struct sb_log_segment *spare;
    uint32_t spare_count;
    uint64_t bytes; /* capacity of the segments that are part of the log */
    struct sb_log_hold *holds;
    uint32_t parked_count;
    struct sb_log_waiter *waiters;
    struct sb_log_open *open;
    uint32_t open_count;
    uint32_t open_capacity;
};

struct sb_log_topic {
    struct sb_log_topic *next;
    char *name;
    int32_t partition_count; /* as a URL said, 0: none has; fixed when there are partitions */
    uint64_t bytes;          /* the same */
    struct sb_log_partition *partitions; /* NULL until prepared */
    _Atomic uint32_t writer_count;       /* open now */
    _Atomic bool had_writer;
};

/* What a writer adds to a record. */
struct sb_log_stamp {
    int64_t timestamp_ms;
    int64_t arrival_us;
    uint64_t txn;
};

void sb_log_partition_init(struct sb_log_partition *partition,
                           const struct sb_env *env,
                           const struct sb_log_topic *topic,
                           int32_t number,
                           uint64_t bytes_max);
void sb_log_partition_reset(struct sb_log_partition *partition);

/* Bytes that a record takes in a segment. */
uint64_t sb_log_size(const struct sb_record *record);

/* Append a record of `size` bytes (sb_log_size).
 *   SABOT_AGAIN       full; `waiter` is woken when there is room
 *   SABOT_ERR_STATE   the stamp's transaction is not open in this partition
 *   SABOT_ERR_LIMIT   its transaction alone would fill the partition
 *   SABOT_ERR_MEMORY */
SABOT_MUST_CHECK sabot_status sb_log_append(struct sb_log_partition *partition,
                                            const struct sb_record *record,
                                            uint32_t size,
                                            const struct sb_log_stamp *stamp,
                                            struct sb_log_waiter *waiter);
/* A transaction begins here; room for its mark is set aside. Results as of append. */
SABOT_MUST_CHECK sabot_status sb_log_open_txn(struct sb_log_partition *partition,
                                              uint64_t number,
                                              struct sb_log_waiter *waiter);
/* It ends: its mark is written, and its records are shown, or hidden for ever. Can't fail. */
void sb_log_end_txn(struct sb_log_partition *partition,
                    uint64_t number,
                    bool committed,
                    int64_t timestamp_ms);

/* The range of offsets: oldest kept, and behind the last. */
void sb_log_range(struct sb_log_partition *partition, int64_t *begin_out, int64_t *end_out);

/* A reader comes at `offset` (or SB_OFFSET_BEGIN, _END), moves, waits, goes.
 * SABOT_ERR_NOT_FOUND: the partition has no such offset. */
SABOT_MUST_CHECK sabot_status sb_log_hold_add(struct sb_log_partition *partition,
                                              struct sb_log_hold *hold,
                                              int64_t offset,
                                              int64_t *offset_out);
SABOT_MUST_CHECK sabot_status sb_log_hold_seek(struct sb_log_partition *partition,
                                               struct sb_log_hold *hold,
                                               int64_t offset,
                                               int64_t *offset_out);
void sb_log_hold_move(struct sb_log_partition *partition, struct sb_log_hold *hold, int64_t offset);
void sb_log_hold_remove(struct sb_log_partition *partition, struct sb_log_hold *hold);
/* Wait for more than `offset`: SABOT_OK there is more, SABOT_END, or SABOT_AGAIN: parked. */
SABOT_MUST_CHECK sabot_status sb_log_park(struct sb_log_partition *partition,
                                          struct sb_log_hold *hold,
                                          int64_t offset);

/* Pin the segment that holds `offset`, which a hold covers and which is below `stable`, in place of
 * `segment` (NULL: none); *at_out is where the record begins. unpin: without another. */
struct sb_log_segment *sb_log_pin(struct sb_log_partition *partition,
                                  struct sb_log_segment *segment,
                                  int64_t offset,
                                  uint32_t *at_out);
void sb_log_unpin(struct sb_log_partition *partition, struct sb_log_segment *segment);

/* Something that holds the partition has moved: let writers try again. */
void sb_log_room(struct sb_log_partition *partition);
/* The last writer has gone: let readers see the end. */
void sb_log_wake_readers(struct sb_log_partition *partition);
void sb_log_waiter_remove(struct sb_log_partition *partition, struct sb_log_waiter *waiter);

/* --- The log ---------------------------------------------------------------------------------- */

struct sb_log_group {
    struct sb_log_group *next;
    char *name;
};

/* A channel, as the log knows it: somebody to wake when a transaction ends. */
struct sb_channel {
    const struct sb_env *env;
    struct sb_log *log;
    struct sb_log_topic *topic;
    struct sb_waker *waker;
    struct sb_channel *next; /* log's lock */
    bool waiting;            /* in committed(); log's lock */
    bool until_end;
    bool start_latest;
    bool ready;
    uint32_t record_max;
    uint64_t bytes_default; /* of the topic, when no URL says */
    int64_t *ends;          /* until_end: of each partition, when prepared */
};

struct sb_log {
    const struct sb_env *env;
    struct sb_lock lock; /* guards all below */
    struct sb_log_topic *topics;
    uint32_t topic_count;
    struct sb_channel *channels;
    struct sb_log_group *groups;
    uint32_t group_count;
    struct sb_log_producer *producers;
    uint32_t producer_count;
    uint64_t txn_last; /* number of the latest transaction */
    /* The stepper that aborts transactions which take too long; there from the first txn on. */
    struct sb_thread *timer;
    struct sb_waker *timer_waker;
    int64_t timer_deadline_us; /* until when it sleeps */
    bool closing;
};

/* The log's lock is held. NULL: no such topic. */
struct sb_log_topic *sb_log_find_topic(const struct sb_log *log, const char *name);

/* A writer of `txn` writes to this partition for the first time in its transaction. Results as of
 * append, or SABOT_ERR_FENCED. On SABOT_OK the number of the transaction. */
SABOT_MUST_CHECK sabot_status sb_txn_join(struct sb_txn *txn,
                                          struct sb_log_partition *partition,
                                          struct sb_log_waiter *waiter,
                                          sabot_error *error);
/* The number of its open transaction, 0: none was begun. */
uint64_t sb_txn_number(const struct sb_txn *txn);
const struct sb_log *sb_txn_log(const struct sb_txn *txn);
/* SABOT_OK, or why the txn is of no more use. */
SABOT_MUST_CHECK sabot_status sb_txn_check(struct sb_txn *txn, sabot_error *error);
/* Frees groups and producers; stops the timer. */
void sb_log_free_coordinators(struct sb_log *log);
void sb_log_free_offsets(const struct sb_env *env, struct sb_log_partition *partition);

/* --- Calls of the channel type that live in other files than memory.c --- */

SABOT_MUST_CHECK sabot_status sb_memory_reader_open(struct sb_channel *channel,
                                                    const struct sb_reader_position *positions,
                                                    uint32_t position_count,
                                                    struct sb_waker *waker,
                                                    struct sb_reader **reader_out,
                                                    sabot_error *error);
void sb_memory_reader_close(struct sb_reader *reader);
SABOT_MUST_CHECK sabot_status sb_memory_poll(struct sb_reader *reader,
                                             uint32_t index,
                                             uint32_t records_max,
                                             sb_record_function each,
                                             void *context,
                                             sabot_error *error);
void sb_memory_position(const struct sb_reader *reader,
                        uint32_t index,
                        struct sb_reader_position *position_out);
void sb_memory_place(const struct sb_reader *reader,
                     uint32_t index,
                     int64_t offset,
                     char *text_out,
                     size_t size);
int64_t sb_memory_lag(const struct sb_reader *reader, uint32_t index);
void sb_memory_stop(struct sb_reader *reader);
SABOT_MUST_CHECK sabot_status sb_memory_seek(struct sb_reader *reader,
                                             const struct sb_reader_position *position,
                                             sabot_error *error);

SABOT_MUST_CHECK sabot_status sb_memory_txn_open(struct sb_channel *channel,
                                                 const char *transactional_id,
                                                 int64_t timeout_ms,
                                                 struct sb_waker *waker,
                                                 struct sb_txn **txn_out,
                                                 sabot_error *error);
void sb_memory_txn_close(struct sb_txn *txn);
SABOT_MUST_CHECK sabot_status sb_memory_txn_fence(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_txn_begin(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_txn_offsets(struct sb_txn *txn,
                                                    const char *group,
                                                    const struct sb_offset *offsets,
                                                    uint32_t offset_count,
                                                    sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_txn_commit(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_txn_abort(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_commit(struct sb_channel *channel,
                                               const char *group,
                                               const struct sb_offset *offsets,
                                               uint32_t offset_count,
                                               sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_memory_committed(struct sb_channel *channel,
                                                  const char *group,
                                                  struct sb_offset *offsets,
                                                  uint32_t offset_count,
                                                  sabot_error *error);

#endif
