/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - the interface of every channel: a named, partitioned log of encoded records.
 *
 * A transport (memory.c, file.c, kafka.c, source.c) is one `struct sb_channel_type`. The rest of Sabot sees only this.
 *
 * Everything is submit and complete: no call here blocks, so no step of a task ever does. Work that blocks in a client
 * library is done by a driver thread of the transport, which wakes the waiter when something has changed. A call that
 * can't go on now returns SABOT_AGAIN; the waker given at open is woken when it may be tried again.
 *
 *   config --open--> channel --prepare (AGAIN..OK)--> ready: partitions known
 *   ready  --reader_open--> reader --poll...--> END      one per worker thread and input: it owns some partitions
 *   ready  --writer_open--> writer --write.../flush-->   one per worker thread and output
 *   ready  --txn_open-->    transactions: fence, begin, (writers) , offsets, commit | abort; committed
 *
 * Ownership: the bytes of a record belong to the transport and are valid during the call that shows them.
 * Threads: a channel's own calls come from the control thread; a reader, a writer, a txn each from one thread at a time. */
#ifndef SB_CHANNEL_CHANNEL_H
#define SB_CHANNEL_CHANNEL_H

#include <sabot/app.h>

#include "base/mem.h"

enum {
    SB_PARTITIONS_MAX = 4096,
    SB_OFFSET_NONE = -1001,     /* no committed offset; begin where the configuration says */
    SB_OFFSET_BEGIN = -2,
    SB_OFFSET_END = -1,
    SB_OFFSET_METADATA_MAX = 4096, /* bytes of text beside a committed offset (Kafka's limit) */
};

struct sb_channel;
struct sb_codec_type;
struct sb_log;
struct sb_reader;
struct sb_schema;
struct sb_writer;
struct sb_txn;

struct sb_header {
    sabot_text name;
    sabot_text value;
};

/* One encoded record. */
struct sb_record {
    sabot_text key; /* data NULL: none */
    sabot_text value;
    const struct sb_header *headers;
    uint32_t header_count;
    int32_t partition;
    int64_t offset;       /* reading: where it stands */
    int64_t next_offset;  /* reading: where the next begins, as far as known (files: the next byte) */
    int64_t timestamp_ms; /* of the channel */
    int64_t arrival_us;   /* reading: when it arrived or was due */
};

/* Where to find a channel and how. */
struct sb_channel_config {
    const char *name; /* the app's name of it */
    const char *url;
    bool for_reading;
    bool for_writing;
    bool until_end;             /* readers end at the end as it was when the run began */
    uint64_t buffer_bytes;      /* bound of each queue of this channel */
    uint32_t record_max;        /* bytes of a record; a longer one is shown as an error, not dropped silently */
    const char *start;          /* "earliest" or "latest": where a reader begins without a position */
    struct sb_log *log;         /* memory.c: the embedded log of the run, shared by its memory channels */
    const struct sb_codec_type *codec; /* source.c: encodes what sabot_source_emit gives */
    const struct sb_schema *schema;    /* source.c: of those structs */
    sabot_source_fill source;   /* source.c */
    void *source_user;
    /* Looks up a driver option by its name ("kafka.linger.ms"), NULL when not set; each visits all options below a prefix. */
    const char *(*option)(const void *options, const char *name);
    void (*options_each)(const void *options,
                         const char *prefix,
                         void (*visit)(void *context, const char *name, const char *value),
                         void *context);
    const void *options;
};

/* The encoded record's way into a batch. Return SABOT_OK to get the next, SABOT_AGAIN to stop after this one (it was
 * taken), SABOT_END to stop before it (it was not taken and is shown again), or an error, which poll forwards. */
typedef sabot_status (*sb_record_function)(void *context, const struct sb_record *record);

/* Where a reader stands in a partition: behind the last record taken. `opaque` only for sources. */
struct sb_reader_position {
    int32_t partition;
    int64_t offset;
    sabot_position opaque;
};

/* An offset to commit, or committed: "the next record to read is `offset`". */
struct sb_offset {
    const char *channel; /* topic as the transport names it */
    int32_t partition;
    int64_t offset;
    char *metadata; /* text, at most SB_OFFSET_METADATA_MAX; NULL: none. In results: env memory, sb_string_free */
};

struct sb_channel_type {
    const char *scheme; /* "kafka" */

    /* Check the URL and make the handle; no I/O that can wait. SABOT_ERR_CONFIG names the part of the URL.
     * `waker` is woken when prepare should be tried again. */
    SABOT_MUST_CHECK sabot_status (*open)(const struct sb_env *env,
                                          const struct sb_channel_config *config,
                                          struct sb_waker *waker,
                                          struct sb_channel **channel_out,
                                          sabot_error *error);
    void (*close)(struct sb_channel *channel);
    /* SABOT_AGAIN: under way (a broker that is away is tried again with backoff, for ever). SABOT_OK: ready.
     * SABOT_ERR_NOT_FOUND: no such topic or file. Idempotent after OK. */
    SABOT_MUST_CHECK sabot_status (*prepare)(struct sb_channel *channel, sabot_error *error);
    int32_t (*partition_count)(const struct sb_channel *channel); /* after prepare */
    bool (*finite)(const struct sb_channel *channel);             /* will its readers end by themselves? */
    bool (*connected)(const struct sb_channel *channel);
    /* What the worker prints: the guarantee as an input or output without checkpoints, and why. Static text. */
    const char *(*guarantee)(const struct sb_channel *channel);
    /* Are these the same file, topic or log? Input = output is refused for files. */
    bool (*same)(const struct sb_channel *channel, const struct sb_channel *other);

    /* --- reading. `positions`: one per partition this reader owns; offset SB_OFFSET_NONE: config.start. */
    SABOT_MUST_CHECK sabot_status (*reader_open)(struct sb_channel *channel,
                                                 const struct sb_reader_position *positions,
                                                 uint32_t position_count,
                                                 struct sb_waker *waker,
                                                 struct sb_reader **reader_out,
                                                 sabot_error *error);
    void (*reader_close)(struct sb_reader *reader);
    /* Show up to `records_max` records of one partition (`index` into positions) to `each`, in order.
     *   SABOT_OK     some were taken    SABOT_AGAIN  none there now
     *   SABOT_END    no more will come  an error     SABOT_ERR_LIMIT: record too large (position stays behind it,
     *                                                so that it can be skipped); else the partition is broken */
    SABOT_MUST_CHECK sabot_status (*poll)(struct sb_reader *reader,
                                          uint32_t index,
                                          uint32_t records_max,
                                          sb_record_function each,
                                          void *context,
                                          sabot_error *error);
    void (*position)(const struct sb_reader *reader, uint32_t index, struct sb_reader_position *position_out);
    /* Records not taken yet, as far as known; -1: unknown. */
    int64_t (*lag)(const struct sb_reader *reader, uint32_t index);
    /* Take no more input: poll returns SABOT_END from now on. */
    void (*stop)(struct sb_reader *reader);
    SABOT_MUST_CHECK sabot_status (*seek)(struct sb_reader *reader,
                                          const struct sb_reader_position *position,
                                          sabot_error *error);

    /* --- writing. `txn` NULL: each record stands for itself. */
    SABOT_MUST_CHECK sabot_status (*writer_open)(struct sb_channel *channel,
                                                 struct sb_txn *txn,
                                                 struct sb_waker *waker,
                                                 struct sb_writer **writer_out,
                                                 sabot_error *error);
    void (*writer_close)(struct sb_writer *writer);
    /* Take one record (copied). partition -1: by key (murmur2), or in turn without a key.
     * SABOT_AGAIN: full, nothing taken. SABOT_ERR_LIMIT: larger than the channel takes. An earlier record that failed for
     * good shows up here and at flush. */
    SABOT_MUST_CHECK sabot_status (*write)(struct sb_writer *writer,
                                           const struct sb_record *record,
                                           sabot_error *error);
    /* Everything written is out (acknowledged, in the file): SABOT_OK; SABOT_AGAIN: under way. Call again when woken. */
    SABOT_MUST_CHECK sabot_status (*flush)(struct sb_writer *writer, sabot_error *error);

    /* --- transactions: NULL where the transport has none (then everything below is). One at a time per txn.
     * Submit and complete: the first call submits; SABOT_AGAIN: under way, call the same again when woken. Errors carry
     * retriable (same call again), fatal (throw the txn away, open a new one), else abort. A timeout is no verdict: the outcome is unknown. */
    SABOT_MUST_CHECK sabot_status (*txn_open)(struct sb_channel *channel,
                                              const char *transactional_id,
                                              int64_t timeout_ms,
                                              struct sb_waker *waker,
                                              struct sb_txn **txn_out,
                                              sabot_error *error);
    void (*txn_close)(struct sb_txn *txn);
    /* Become the only one with this id: older ones are fenced, their open transaction aborted. First call of a txn. */
    SABOT_MUST_CHECK sabot_status (*txn_fence)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_begin)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_offsets)(struct sb_txn *txn,
                                                 const char *group,
                                                 const struct sb_offset *offsets,
                                                 uint32_t offset_count,
                                                 sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_commit)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_abort)(struct sb_txn *txn, sabot_error *error);

    /* --- committed offsets of a group, apart from a transaction (at-least-once). Same submit and complete.
     * committed: fills offset and metadata of each, SB_OFFSET_NONE where there is none; it waits for open
     * transactions on them (stable reads, KIP-447). */
    SABOT_MUST_CHECK sabot_status (*commit)(struct sb_channel *channel,
                                            const char *group,
                                            const struct sb_offset *offsets,
                                            uint32_t offset_count,
                                            sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*committed)(struct sb_channel *channel,
                                               const char *group,
                                               struct sb_offset *offsets,
                                               uint32_t offset_count,
                                               sabot_error *error);
};

extern const struct sb_channel_type sb_channel_memory;
extern const struct sb_channel_type sb_channel_file;
extern const struct sb_channel_type sb_channel_kafka;
extern const struct sb_channel_type sb_channel_source;

#endif
