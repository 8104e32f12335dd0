/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - the interface of every channel: a named, partitioned log of encoded records.
 *
 * A transport (memory.c, file.c, kafka.c, source.c) is one `struct sb_channel_type`. The rest of
 * Sabot sees only this.
 *
 * Everything is submit and complete: no call here blocks, so no step of a task ever does. Work that
 * blocks in a client library is done by a driver thread of the transport, which wakes the waiter
 * when something has changed. A call that can't go on now returns SABOT_AGAIN; the waker given at
 * open is woken when it may be tried again.
 *
 *   config --open--> channel --prepare (AGAIN..OK)--> ready: its partitions are known
 *   ready  --reader_open--> reader --poll...--> END
 *   ready  --writer_open--> writer --write..., flush-->
 *   ready  --txn_open-----> txn --fence--> (begin, writers, offsets, commit or abort)...
 *
 * One reader per worker thread and input (it owns some of the partitions), one writer per worker
 * thread and output, one txn per pipeline.
 *
 * Order of a run: open all, prepare all, compare by same(), then writers (an output file is emptied
 * when its first writer opens, not before), then readers. Close in reverse: readers, writers and
 * txns before their channel. Closing a channel waits until its driver thread has come to rest; no
 * other call waits.
 *
 * Ownership: the bytes of a record belong to the transport and are valid during the call that shows
 * them; strings of a config need to live only during open, what its other pointers name until
 * close. A waker must outlive the object it was given to, and may be woken for nothing.
 *
 * Threads: a channel's own calls come from the control thread; a reader, a writer, a txn each from
 * one thread at a time. */
#ifndef SB_CHANNEL_CHANNEL_H
#define SB_CHANNEL_CHANNEL_H

#include <sabot/app.h>

#include "base/mem.h"

#define SB_LENGTH_NONE UINT64_MAX /* of an output that is a stream, not a file */

enum {
    SB_PARTITIONS_MAX = 4096,
    SB_HEADERS_MAX = 256,   /* of one record; more are SABOT_ERR_LIMIT at write */
    SB_PLACE_MAX = 256,     /* bytes that the text of a place needs at most, with its NUL */
    SB_PARTITION_ANY = -1,  /* writing: by key, or in turn without a key */
    SB_TIMESTAMP_NOW = -1,  /* writing: the wall clock at the time of the write */
    SB_OFFSET_NONE = -1001, /* no committed offset; begin where the configuration says */
    SB_OFFSET_BEGIN = -2,
    SB_OFFSET_END = -1,
    SB_OFFSET_METADATA_MAX = 4096, /* bytes of text beside a committed offset (Kafka's limit) */
    SB_LAG_UNKNOWN = -1,           /* nobody can know */
    SB_LAG_NOT_YET = -2,           /* it will be known: the reader still looks where things stand */
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

/* One encoded record. A key or value with data NULL is none, which is another thing than an empty
 * one where the transport can tell (memory, kafka); a file has neither keys, headers nor
 * timestamps, and drops them. */
struct sb_record {
    sabot_text key;
    sabot_text value;
    const struct sb_header *headers;
    uint32_t header_count;
    int32_t partition;    /* writing: or SB_PARTITION_ANY */
    int64_t offset;       /* reading: where it stands */
    int64_t next_offset;  /* reading: where the next begins, as far as known (file: next byte) */
    int64_t timestamp_ms; /* of the channel (file: when it was read); writing: or _NOW */
    int64_t arrival_us;   /* reading: when it arrived or was due, monotonic clock */
};

/* Where to find a channel and how. */
struct sb_channel_config {
    const char *name; /* the app's name of it */
    const char *url;
    bool for_reading;
    bool for_writing;
    bool append;           /* writing: a file keeps what is in it (other logs always do) */
    bool until_end;        /* readers end at the end as it was when prepare said OK */
    bool with_headers;     /* readers show headers; else they may leave them out, which is faster */
    uint64_t buffer_bytes; /* bound of each queue of this channel */
    uint32_t record_max;   /* bytes of a record; a longer one is an error, never dropped silently */
    const char *start;     /* "earliest" or "latest": where a reader begins without a position */
    /* memory.c: the embedded log of the run (memory.h), shared by all of its memory channels. */
    struct sb_log *log;
    const struct sb_codec_type *codec; /* source.c: encodes what sabot_source_emit gives */
    const struct sb_schema *schema;    /* source.c: of those structs */
    sabot_source_fill source;          /* source.c */
    void *source_user;
    /* Looks up a driver option by its name ("kafka.linger.ms"), NULL when not set; each visits all
     * options below a prefix. */
    const char *(*option)(const void *options, const char *name);
    void (*options_each)(const void *options,
                         const char *prefix,
                         void (*visit)(void *context, const char *name, const char *value),
                         void *context);
    const void *options;
};

/* The encoded record's way into a batch. Returns
 *   SABOT_OK     taken; show the next
 *   SABOT_AGAIN  taken; stop after this one
 *   SABOT_END    not taken: stop before it, it is shown again by the next poll
 *   an error     not taken; poll forwards it (the callback has filled in the error's text) */
typedef sabot_status (*sb_record_function)(void *context, const struct sb_record *record);

/* Where a reader stands in a partition: behind the last record taken. Where a transport has records
 * that are not shown (aborted ones, marks of transactions), it may stand behind those too. `opaque`
 * is kept and given back as it is: of a file it says what was in it, so that another one is
 * noticed; of a source, where a call of its function began, and with `opaque_taken` how many
 * records from there on were taken; `offset` is then the running number of the next record. */
struct sb_reader_position {
    int32_t partition;
    int64_t offset;
    sabot_position opaque;
    uint64_t opaque_taken;
};

/* An offset to commit, or committed: "the next record to read is `offset`". */
struct sb_offset {
    const char *channel; /* topic as the transport names it */
    int32_t partition;
    int64_t offset;
    bool is_mark; /* for its metadata alone: nobody reads on from there, and no record is kept */
    /* Text of at most SB_OFFSET_METADATA_MAX bytes; NULL: none. In results memory of the channel's
     * env: the caller frees it by sb_string_free. */
    char *metadata;
};

struct sb_channel_type {
    const char *scheme; /* "kafka" */

    /* Check the URL and make the handle; no I/O that can wait. SABOT_ERR_CONFIG names the part of
     * the URL. `waker` is woken when prepare should be tried again. */
    SABOT_MUST_CHECK sabot_status (*open)(const struct sb_env *env,
                                          const struct sb_channel_config *config,
                                          struct sb_waker *waker,
                                          struct sb_channel **channel_out,
                                          sabot_error *error);
    void (*close)(struct sb_channel *channel);
    /* SABOT_AGAIN: under way (a broker that is away is tried again with backoff, for ever).
     * SABOT_OK: ready. SABOT_ERR_NOT_FOUND: no such topic or file; SABOT_ERR_IO: a directory, no
     * permission. Idempotent after OK. */
    SABOT_MUST_CHECK sabot_status (*prepare)(struct sb_channel *channel, sabot_error *error);
    int32_t (*partition_count)(const struct sb_channel *channel); /* after prepare */
    /* Will its readers end by themselves? After prepare. */
    bool (*finite)(const struct sb_channel *channel);
    bool (*connected)(const struct sb_channel *channel); /* false while a broker is away */
    /* Its name as the transport knows it, in offsets; NULL where there are no committed offsets. */
    const char *(*topic)(const struct sb_channel *channel);
    /* Which cluster or log it is in: what is committed together must be in one. After prepare;
     * NULL: not known. The member may be NULL. */
    const char *(*cluster)(const struct sb_channel *channel);
    /* Bytes of key and value that a record to be written may have; larger ones are SABOT_ERR_LIMIT.
     * After prepare. NULL: as many as an encoder makes. */
    uint64_t (*record_max)(const struct sb_channel *channel);
    /* What the worker prints: the guarantee as an input or output without checkpoints, and why.
     * Static text. */
    const char *(*guarantee)(const struct sb_channel *channel);
    /* Are these the same file, topic or log? After prepare. Input = output is refused for files. */
    bool (*same)(const struct sb_channel *channel, const struct sb_channel *other);

    /* --- reading. `positions`: one per partition this reader owns; offset SB_OFFSET_NONE:
     * config.start. A position that the channel no longer has (its data is gone, or lies behind the
     * end) is SABOT_ERR_NOT_FOUND, here or at the first poll: never a silent jump elsewhere. Only
     * what was committed is read. */
    SABOT_MUST_CHECK sabot_status (*reader_open)(struct sb_channel *channel,
                                                 const struct sb_reader_position *positions,
                                                 uint32_t position_count,
                                                 struct sb_waker *waker,
                                                 struct sb_reader **reader_out,
                                                 sabot_error *error);
    void (*reader_close)(struct sb_reader *reader);
    /* Show up to `records_max` records of one partition (`index` into positions) to `each`.
     *   SABOT_OK         some were taken, or `each` stopped it
     *   SABOT_AGAIN      none there now; the waker is woken when there is more, or the end
     *   SABOT_END        none, and no more will come
     *   SABOT_ERR_LIMIT  the next record is too large; the position is behind it, so that the
     *                    caller may go on: skip it
     *   another error    of `each`, or the partition is broken: every later poll says the same
     * Records taken before an error of the channel are reported by OK first, the error by the next
     * call. Errors name the place. */
    SABOT_MUST_CHECK sabot_status (*poll)(struct sb_reader *reader,
                                          uint32_t index,
                                          uint32_t records_max,
                                          sb_record_function each,
                                          void *context,
                                          sabot_error *error);
    void (*position)(const struct sb_reader *reader,
                     uint32_t index,
                     struct sb_reader_position *position_out);
    /* Say where a record stands, for the texts of errors: "tx.jsonl: line 17 (byte 3021)",
     * "partition 2, offset 17". `offset` is that of a record shown by the last poll of this
     * partition; of an older one some transports know less (no line). Writes at most `size` bytes
     * (SB_PLACE_MAX is enough) with a NUL. */
    void (*place)(const struct sb_reader *reader,
                  uint32_t index,
                  int64_t offset,
                  char *text_out,
                  size_t size);
    /* Records not taken yet, as far as known; or SB_LAG_UNKNOWN, SB_LAG_NOT_YET. */
    int64_t (*lag)(const struct sb_reader *reader, uint32_t index);
    /* Take no more input: poll returns SABOT_END from now on. The position stays behind the last
     * record taken. */
    void (*stop)(struct sb_reader *reader);
    SABOT_MUST_CHECK sabot_status (*seek)(struct sb_reader *reader,
                                          const struct sb_reader_position *position,
                                          sabot_error *error);

    /* --- writing. `txn` NULL: each record stands for itself. Else every record belongs to the
     * transaction that is open at the time, and there must be one (SABOT_ERR_STATE). Records of one
     * writer keep their order in each partition. */
    SABOT_MUST_CHECK sabot_status (*writer_open)(struct sb_channel *channel,
                                                 struct sb_txn *txn,
                                                 struct sb_waker *waker,
                                                 struct sb_writer **writer_out,
                                                 sabot_error *error);
    /* What was written but not flushed may still go out, or may be lost. */
    void (*writer_close)(struct sb_writer *writer);
    /* Take one record (copied). Without a partition: by key (murmur2 of its bytes), or in turn
     * without a key. SABOT_AGAIN: full, nothing taken; woken when there is room. SABOT_ERR_LIMIT:
     * larger than the channel takes. An earlier record that failed for good shows up here and at
     * flush, again and again. */
    SABOT_MUST_CHECK sabot_status (*write)(struct sb_writer *writer,
                                           const struct sb_record *record,
                                           sabot_error *error);
    /* Everything written is out (acknowledged, in the file): SABOT_OK; SABOT_AGAIN: under way. Call
     * again when woken. */
    SABOT_MUST_CHECK sabot_status (*flush)(struct sb_writer *writer, sabot_error *error);

    /* Everything written is out, and will be there after a crash of the machine: SABOT_OK, and how
     * many bytes of the file that makes (SB_LENGTH_NONE: it can't be cut); SABOT_AGAIN: under way.
     * NULL where there is nothing more to say than flush says. */
    SABOT_MUST_CHECK sabot_status (*sync)(struct sb_writer *writer,
                                          uint64_t *length_out,
                                          sabot_error *error);
    /* Before the first writer opens: what is written goes behind the first `length` bytes of the
     * output, and what lies behind them now is cut. SABOT_ERR_CORRUPT: it is shorter. NULL where
     * outputs can't be cut. */
    SABOT_MUST_CHECK sabot_status (*resume)(struct sb_channel *channel,
                                            uint64_t length,
                                            sabot_error *error);
    /* Beside resume: can this output be cut? Not a stream, a device or a pipe. */
    bool (*can_resume)(const struct sb_channel *channel);
    /* Beside resume: does the output hold nothing, as one that is begun anew? */
    bool (*is_empty)(const struct sb_channel *channel);

    /* --- transactions: NULL where the transport has none (then everything below is). One at a time
     * per txn. A txn may be used by writers of other channels of the same cluster or log.
     *
     * Submit and complete: the first call submits; SABOT_AGAIN: under way, call the same again when
     * woken. Errors carry retriable (same call again), fatal (throw the txn away, open a new one),
     * else abort. A timeout is no verdict: the outcome is unknown.
     *
     * SABOT_ERR_FENCED, fatal: another has taken the id over, or the transaction took longer than
     * `timeout_ms` and was aborted by the broker; the two can't be told apart. Every later call of
     * the txn and of its writers says the same, abort too. */
    SABOT_MUST_CHECK sabot_status (*txn_open)(struct sb_channel *channel,
                                              const char *transactional_id,
                                              int64_t timeout_ms,
                                              struct sb_waker *waker,
                                              struct sb_txn **txn_out,
                                              sabot_error *error);
    void (*txn_close)(struct sb_txn *txn);
    /* Become the only one with this id: older ones are fenced, their open transaction aborted.
     * First call of a txn. */
    SABOT_MUST_CHECK sabot_status (*txn_fence)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_begin)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_offsets)(struct sb_txn *txn,
                                                 const char *group,
                                                 const struct sb_offset *offsets,
                                                 uint32_t offset_count,
                                                 sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_commit)(struct sb_txn *txn, sabot_error *error);
    SABOT_MUST_CHECK sabot_status (*txn_abort)(struct sb_txn *txn, sabot_error *error);

    /* --- committed offsets of a group, apart from a transaction (at-least-once). Same submit and
     * complete, one call at a time per channel; the waker is the one given at open.
     * offsets[].channel NULL: this channel.
     *
     * committed: fills offset and metadata of each, SB_OFFSET_NONE where there is none; it waits
     * for open transactions on them (stable reads, KIP-447). SABOT_ERR_STATE: the group has live
     * members, consumers that may commit offsets of their own; the text names them. */
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
