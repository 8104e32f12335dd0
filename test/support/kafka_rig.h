/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_rig.h - what the Kafka tests share: channels that are opened, awaited and read to the end,
 * and a broker of one's own that may be broken.
 *
 * Nothing here sleeps: a call that says SABOT_AGAIN is made again when its waker was woken, for
 * RIG_PATIENCE_MS at most. Topics have a name of their own per test. */
#ifndef SB_TEST_KAFKA_RIG_H
#define SB_TEST_KAFKA_RIG_H

#include "channel/channel.h"

enum { RIG_PATIENCE_MS = 90000, RIG_VALUE_MAX = 64 };

struct rig_option {
    const char *name;
    const char *value;
};

/* What was read of one channel: the numbers in the values, in the order of the partitions. */
struct rig_seen {
    uint32_t partition_count;
    uint64_t counts[8];    /* records per partition */
    int64_t next[8];       /* offset behind the last record */
    uint64_t sum;          /* of all numbers */
    uint64_t out_of_order; /* numbers not larger than the last of their partition */
    int64_t last[8];
};

struct rig {
    struct sb_env *env;
    struct sb_waker *waker; /* of everything */
    char brokers[128];
    char topic[64];
    const struct rig_option *options; /* ends with a NULL name */
    uint64_t buffer_bytes;
    uint32_t record_max;
    const char *start;
    int broker_in; /* pipes of rig_broker() */
    int broker_out;
    int broker_pid;
    sabot_error error;
};

int rig_setup(void **state);
int rig_teardown(void **state);

/* Wait until something has happened. Fails the test when nothing does. */
void rig_wait(struct rig *rig);
/* Fails the test with the error's text when `status` is not SABOT_OK. */
void rig_ok(const struct rig *rig, sabot_status status);
void rig_is(const struct rig *rig, sabot_status status, sabot_status expected, const char *text);

/* `partitions` 0: the topic must be there. */
enum rig_for { RIG_READING = 1, RIG_WRITING = 2, RIG_UNTIL_END = 4 };
sabot_status rig_try_open(struct rig *rig,
                          int32_t partitions,
                          int for_what,
                          struct sb_channel **out);
sabot_status rig_prepare(struct rig *rig, struct sb_channel *channel);
struct sb_channel *rig_open(struct rig *rig, int32_t partitions, int for_what);

struct sb_writer *rig_writer(struct rig *rig, struct sb_channel *channel, struct sb_txn *txn);
/* Values are numbers from `first` on, by turns to the partitions. */
void rig_write(struct rig *rig, struct sb_writer *writer, uint64_t first, uint64_t count);
sabot_status rig_flush(struct rig *rig, struct sb_writer *writer);
/* A topic with `count` numbers. */
void rig_fill(struct rig *rig, int32_t partitions, uint64_t count);

struct sb_reader *rig_reader(struct rig *rig, struct sb_channel *channel, int64_t offset);
/* Read until all partitions have ended, or `count` records were taken. */
void rig_read(struct rig *rig, struct sb_reader *reader, uint64_t count, struct rig_seen *seen);
/* All of the topic that is committed. */
void rig_read_all(struct rig *rig, struct rig_seen *seen);
/* `context` is a struct rig_seen. */
sabot_status rig_see(void *context, const struct sb_record *record);

/* Submit and complete. */
sabot_status rig_fence(struct rig *rig, struct sb_txn *txn);
void rig_begin(struct rig *rig, struct sb_txn *txn);
sabot_status rig_commit(struct rig *rig, struct sb_txn *txn);
sabot_status rig_try_abort(struct rig *rig, struct sb_txn *txn);
void rig_abort(struct rig *rig, struct sb_txn *txn);

/* A broker of the test's own: its address goes to rig->brokers. `verb` is one of broker.py drive:
 * where, start, kill, restart, pause, resume. */
void rig_broker(struct rig *rig, const char *verb);

#endif
