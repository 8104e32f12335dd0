/* SPDX-License-Identifier: Apache-2.0 */
/* kafka.h - the parts of the Kafka channel to each other; nobody else includes it.
 *
 *   kafka.c          the channel: URL, prepare, the table of calls
 *   kafka_offsets.c  committed offsets of a group, and its members
 *   kafka_facts.c    limits of the topic and the cluster, and what may lose data
 *   kafka_client.c   a librdkafka client: options, log, are the brokers there?
 *   kafka_driver.c   the thread that makes every blocking call
 *   kafka_reader.c   partitions of a topic to records
 *   kafka_writer.c   records to a topic
 *   kafka_txn.c      transactions
 *
 * Threads. librdkafka has about four of its own per client, so clients are few: one consumer per
 * channel that is read (readers of all worker threads share it, each with the queues of its own
 * partitions), one producer per channel that is written (shared by its writers), one producer per
 * transactional id. One driver thread per channel makes the calls that may block. Worker threads
 * take records straight from a partition's queue and hand records straight to the producer; neither
 * blocks. librdkafka's threads only ever wake somebody, write a log line or note a broker's state.
 *
 * The types of librdkafka are named by their struct tags here, so that its header stays in the .c
 * files. */
#ifndef SB_CHANNEL_KAFKA_H
#define SB_CHANNEL_KAFKA_H

#include <stdatomic.h>

#include "base/lock.h"
#include "channel/channel.h"
#include "channel/url.h"

struct rd_kafka_s;
struct rd_kafka_message_s;
struct rd_kafka_queue_s;
struct rd_kafka_topic_s;
struct rd_kafka_topic_partition_list_s;

enum {
    SB_KAFKA_BROKERS_MAX = 64,    /* whose state is followed, per client */
    SB_KAFKA_TOPIC_MAX = 249,     /* bytes of a topic's name: Kafka's limit */
    SB_KAFKA_REASON_MAX = 256,    /* bytes kept of why a broker can't be reached */
    SB_KAFKA_CALL_MS = 10000,     /* a blocking call, when brokers are there */
    SB_KAFKA_CALL_AWAY_MS = 1000, /* and when none is: closing waits for it */
    SB_KAFKA_RETRY_MIN_MS = 50,   /* backoff of the driver's own retries */
    SB_KAFKA_RETRY_MAX_MS = 2000,
};

/* --- Jobs of the driver thread -------------------------------------------------------------------
 *
 *   IDLE --submit--> WAITING --driver--> (run returns AGAIN: WAITING, after a backoff)
 *                                    --> DONE --job_result--> IDLE
 *
 * A job lies inside of the object it works on. While it is WAITING the object belongs to the driver
 * thread, else to its owner; the state is the hand-over. An object that is closed is handed to the
 * driver for good (job_abandon), which frees it when no call on it is running any more. */
enum sb_kafka_job_state { SB_KAFKA_JOB_IDLE, SB_KAFKA_JOB_WAITING, SB_KAFKA_JOB_DONE };

struct sb_kafka_job {
    struct sb_kafka_job *next;
    /* On the driver thread. SABOT_AGAIN: call again after a while. */
    sabot_status (*run)(struct sb_kafka_job *job, sabot_error *error);
    void (*release)(struct sb_kafka_job *job); /* abandoned: free the object */
    void *owner;                               /* the object */
    struct sb_waker *waker;                    /* woken when done; NULL: nobody */
    _Atomic uint32_t state;
    uint32_t attempts;
    int64_t due_us; /* not before */
    sabot_status status;
    sabot_error error;
};

struct sb_kafka_driver {
    const struct sb_env *env;
    struct sb_channel *channel;
    struct sb_waker *waker;
    struct sb_thread *thread;
    _Atomic bool stopping;
    struct sb_lock lock;       /* guards the list, and release and waker of each job */
    struct sb_kafka_job *jobs; /* in the order they came */
    /* Driver thread only: what was said about brokers. */
    bool said_away;
    int64_t away_since_us;
    int64_t say_again_us;
};

/* The waker first, for clients wake it; the thread when they are there. */
SABOT_MUST_CHECK sabot_status sb_kafka_driver_init(struct sb_kafka_driver *driver,
                                                   struct sb_channel *channel,
                                                   sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_driver_start(struct sb_kafka_driver *driver,
                                                    sabot_error *error);
/* Waits until the call under way has returned; releases what was abandoned. The waker stays until
 * the clients are gone: sb_kafka_driver_reset(). */
void sb_kafka_driver_stop(struct sb_kafka_driver *driver);
void sb_kafka_driver_reset(struct sb_kafka_driver *driver);
void sb_kafka_job_submit(struct sb_kafka_driver *driver,
                         struct sb_kafka_job *job,
                         sabot_status (*run)(struct sb_kafka_job *job, sabot_error *error));
/* SABOT_AGAIN: under way. Else the result, once; the job is idle then. It must have been submitted.
 */
SABOT_MUST_CHECK sabot_status sb_kafka_job_result(struct sb_kafka_job *job, sabot_error *error);
/* Give the object away: `release` is called by the driver thread. Its waker is not woken any more.
 */
void sb_kafka_job_abandon(struct sb_kafka_driver *driver,
                          struct sb_kafka_job *job,
                          void (*release)(struct sb_kafka_job *job));

/* --- Clients -------------------------------------------------------------------------------------
 */

enum sb_kafka_broker_state {
    SB_KAFKA_BROKER_UNKNOWN, /* not tried yet, or closed while idle */
    SB_KAFKA_BROKER_TRYING,
    SB_KAFKA_BROKER_UP,
    SB_KAFKA_BROKER_AWAY, /* the last attempt to connect failed */
};

struct sb_kafka_broker {
    char name[96];
    int port;
    enum sb_kafka_broker_state state;
};

struct sb_kafka_client {
    struct sb_channel *channel;
    struct rd_kafka_s *handle;
    bool is_producer;
    bool is_transactional;
    bool must_wake;  /* see sb_kafka_client_wake() */
    char *sasl_user; /* as librdkafka has them */
    char *sasl_password;
    uint64_t queue_messages; /* a partition's queue is full with so many records, */
    uint64_t queue_bytes;    /* or so many bytes */
    uint64_t batch_bytes;    /* a producer's batches */
    _Atomic bool closing;    /* broker states are of no interest any more */
    _Atomic bool connected;
    struct sb_lock lock; /* guards what follows; taken by librdkafka's threads */
    uint32_t broker_count;
    struct sb_kafka_broker brokers[SB_KAFKA_BROKERS_MAX];
    char reason[SB_KAFKA_REASON_MAX]; /* why the last attempt failed */
    int64_t log_window_us;            /* rate limit of librdkafka's lines */
    uint32_t log_lines;               /* in this window */
    uint32_t log_dropped;
};

/* `transactional_id` NULL: a consumer or an idempotent producer; else the facts are known.
 * SABOT_ERR_CONFIG names the option. */
SABOT_MUST_CHECK sabot_status sb_kafka_client_create(struct sb_channel *channel,
                                                     bool is_producer,
                                                     const char *transactional_id,
                                                     int64_t transaction_timeout_ms,
                                                     struct sb_kafka_client **client_out,
                                                     sabot_error *error);
void sb_kafka_client_destroy(struct sb_kafka_client *client);
/* Why the last attempt to connect failed. False: none has failed yet. */
bool sb_kafka_client_reason(struct sb_kafka_client *client, char reason_out[SB_KAFKA_REASON_MAX]);
/* A queue has drained: fetch again. Cheap, but not for every record. Any thread. */
void sb_kafka_client_wake(const struct sb_kafka_client *client);
/* How long a blocking call may take now. */
int sb_kafka_call_ms(const struct sb_kafka_client *client);

/* Errors: the status that stands for an error code of librdkafka; is it one that passes by itself?
 */
sabot_status sb_kafka_status(int code);
bool sb_kafka_is_transient(int code);

/* --- The channel ---------------------------------------------------------------------------------
 */

struct sb_kafka_offsets; /* a commit or a look-up under way (kafka_offsets.c) */

/* What the cluster said before anything ran. */
struct sb_kafka_facts {
    bool is_known;
    bool compacts; /* the topic; both may be */
    bool deletes;
    bool unclean;               /* a leader may be elected that misses records */
    char cluster[64];           /* id; "": not known */
    int32_t broker;             /* one that can be asked */
    int64_t batch_max;          /* bytes; INT64_MAX: not known */
    int64_t retention_ms;       /* -1: for ever, or not known */
    int64_t retention_bytes;    /* likewise */
    int64_t transaction_ms_max; /* INT64_MAX: not known */
    int64_t offsets_minutes;    /* how long offsets are kept; 0: not known */
};

struct sb_channel {
    const struct sb_env *env;
    char *name;    /* the app's name of it: who speaks in the log */
    char *brokers; /* host:port,... */
    char *topic;
    int32_t partitions_wanted; /* ?partitions; 0: not given */
    int32_t replication;       /* ?replication; -1: the broker's default */
    bool for_reading;
    bool for_writing;
    bool until_end;
    bool with_headers;
    bool start_at_end; /* start=latest */
    uint64_t buffer_bytes;
    uint32_t record_max;
    /* Options of the user: pointers of the config, which live until close. */
    void (*options_each)(const void *options,
                         const char *prefix,
                         void (*visit)(void *context, const char *name, const char *value),
                         void *context);
    const void *options;
    struct sb_waker *waker;
    struct sb_kafka_driver driver;
    struct sb_kafka_client *consumer;   /* for reading */
    struct sb_kafka_producer *producer; /* for writing */
    struct sb_kafka_job prepare;
    bool prepare_submitted;
    bool ready;
    bool topic_created; /* driver */
    struct sb_kafka_facts facts;
    int32_t partition_count;
    int64_t *ends;                    /* until_end: one per partition */
    struct sb_kafka_offsets *offsets; /* NULL: no call under way */
    /* Driver thread: which partitions the shared consumer reads. */
    bool *taken;
};

/* The client for look-ups: the consumer, else the producer. */
struct sb_kafka_client *sb_kafka_control(const struct sb_channel *channel);

/* Ask the cluster for its facts; driver thread. SABOT_AGAIN: a broker is away. */
SABOT_MUST_CHECK sabot_status sb_kafka_learn(struct sb_channel *channel, sabot_error *error);
const char *sb_kafka_cluster(const struct sb_channel *channel);
uint64_t sb_kafka_record_max(const struct sb_channel *channel);
/* Key and value of a record to be written. */
SABOT_MUST_CHECK sabot_status sb_kafka_check_size(const struct sb_channel *channel,
                                                  size_t size,
                                                  sabot_error *error);

/* Offsets of partitions at a time: SB_OFFSET_BEGIN or _END in each element's offset is replaced.
 * Driver thread. SABOT_AGAIN: a broker is away. */
SABOT_MUST_CHECK sabot_status sb_kafka_resolve(struct sb_channel *channel,
                                               struct rd_kafka_topic_partition_list_s *list,
                                               sabot_error *error);

/* Committed offsets (kafka_offsets.c). */
SABOT_MUST_CHECK sabot_status sb_kafka_commit(struct sb_channel *channel,
                                              const char *group,
                                              const struct sb_offset *offsets,
                                              uint32_t offset_count,
                                              sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_committed(struct sb_channel *channel,
                                                 const char *group,
                                                 struct sb_offset *offsets,
                                                 uint32_t offset_count,
                                                 sabot_error *error);
void sb_kafka_offsets_free(struct sb_kafka_offsets *offsets);

/* Offsets to librdkafka's list, with copies of the metadata; NULL: no memory. */
struct rd_kafka_topic_partition_list_s *sb_kafka_offset_list(const struct sb_channel *channel,
                                                             const struct sb_offset *offsets,
                                                             uint32_t offset_count);

/* --- Producers -----------------------------------------------------------------------------------
 */

struct sb_kafka_producer; /* kafka_writer.c: a client and who writes through it */

SABOT_MUST_CHECK sabot_status sb_kafka_producer_create(struct sb_channel *channel,
                                                       const char *transactional_id,
                                                       int64_t transaction_timeout_ms,
                                                       struct sb_kafka_producer **producer_out,
                                                       sabot_error *error);
void sb_kafka_producer_destroy(struct sb_kafka_producer *producer);
struct sb_kafka_client *sb_kafka_producer_client(const struct sb_kafka_producer *producer);
/* A new transaction: what failed in the last one is forgotten. */
void sb_kafka_producer_forget_failures(struct sb_kafka_producer *producer);
/* The fatal error of a client, when it has one: fills `error`. SABOT_OK: none. */
SABOT_MUST_CHECK sabot_status sb_kafka_fatal(const struct sb_kafka_client *client,
                                             const char *what,
                                             sabot_error *error);

/* librdkafka says what became of a record. */
void sb_kafka_on_delivery(struct rd_kafka_s *handle,
                          const struct rd_kafka_message_s *message,
                          void *context);

/* The producer of a transaction. */
struct sb_kafka_producer *sb_kafka_txn_producer(const struct sb_txn *txn);

/* --- The calls of the table, by file -------------------------------------------------------------
 */

SABOT_MUST_CHECK sabot_status sb_kafka_reader_open(struct sb_channel *channel,
                                                   const struct sb_reader_position *positions,
                                                   uint32_t position_count,
                                                   struct sb_waker *waker,
                                                   struct sb_reader **reader_out,
                                                   sabot_error *error);
void sb_kafka_reader_close(struct sb_reader *reader);
SABOT_MUST_CHECK sabot_status sb_kafka_poll(struct sb_reader *reader,
                                            uint32_t index,
                                            uint32_t records_max,
                                            sb_record_function each,
                                            void *context,
                                            sabot_error *error);
void sb_kafka_position(const struct sb_reader *reader,
                       uint32_t index,
                       struct sb_reader_position *position_out);
void sb_kafka_place(const struct sb_reader *reader,
                    uint32_t index,
                    int64_t offset,
                    char *text_out,
                    size_t size);
int64_t sb_kafka_lag(const struct sb_reader *reader, uint32_t index);
void sb_kafka_stop(struct sb_reader *reader);
SABOT_MUST_CHECK sabot_status sb_kafka_seek(struct sb_reader *reader,
                                            const struct sb_reader_position *position,
                                            sabot_error *error);

SABOT_MUST_CHECK sabot_status sb_kafka_writer_open(struct sb_channel *channel,
                                                   struct sb_txn *txn,
                                                   struct sb_waker *waker,
                                                   struct sb_writer **writer_out,
                                                   sabot_error *error);
void sb_kafka_writer_close(struct sb_writer *writer);
SABOT_MUST_CHECK sabot_status sb_kafka_write(struct sb_writer *writer,
                                             const struct sb_record *record,
                                             sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_flush(struct sb_writer *writer, sabot_error *error);

SABOT_MUST_CHECK sabot_status sb_kafka_txn_open(struct sb_channel *channel,
                                                const char *transactional_id,
                                                int64_t timeout_ms,
                                                struct sb_waker *waker,
                                                struct sb_txn **txn_out,
                                                sabot_error *error);
void sb_kafka_txn_close(struct sb_txn *txn);
SABOT_MUST_CHECK sabot_status sb_kafka_txn_fence(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_txn_begin(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_txn_offsets(struct sb_txn *txn,
                                                   const char *group,
                                                   const struct sb_offset *offsets,
                                                   uint32_t offset_count,
                                                   sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_txn_commit(struct sb_txn *txn, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_kafka_txn_abort(struct sb_txn *txn, sabot_error *error);

#endif
