/* SPDX-License-Identifier: Apache-2.0 */
/* channel_suite_internal.h - what the files of the conformance suite share. Every helper fails the
 * test when the channel does not do what it says, or nothing at all. */
#ifndef SB_TEST_CHANNEL_SUITE_INTERNAL_H
#define SB_TEST_CHANNEL_SUITE_INTERNAL_H

#include "channel_suite.h"
#include "test.h"

enum { SUITE_PARTITIONS_MAX = 8, SUITE_TESTS_MAX = 64 };

enum suite_waker {
    SUITE_WRITING, /* of a channel opened to write */
    SUITE_READING, /* of a channel opened to read */
    SUITE_WRITER,
    SUITE_READER,
    SUITE_TXN,
    SUITE_OTHER_TXN,
    SUITE_WAKERS,
};

/* A record that was shown. */
struct suite_record {
    int32_t partition;
    int64_t offset;
    int64_t next_offset;
    int64_t timestamp_ms;
    int64_t arrival_us;
    bool has_value;
    size_t value_size;
    char value[257]; /* the first bytes */
};

struct suite {
    struct sb_env *os;
    struct sb_env *env; /* of the channels */
    void *context;      /* of the transport */
    struct sb_waker *wakers[SUITE_WAKERS];
    char name[32]; /* of this test's channel */
    sabot_error error;
    uint32_t stops;      /* full stops written */
    sabot_status answer; /* what is said to records that are shown */
    struct suite_record *taken;
    uint32_t taken_count;
    uint32_t taken_capacity;
};

extern const struct channel_suite *channel_suite; /* the one being run */

int suite_setup(void **state);
int suite_teardown(void **state);
int64_t suite_deadline(const struct suite *s);
void suite_wait(const struct suite *s, enum suite_waker which, int64_t deadline_us);
void suite_ok(const struct suite *s, sabot_status status);

struct sb_channel *suite_open_as(struct suite *s,
                                 enum suite_waker waker,
                                 const char *name,
                                 int32_t partitions,
                                 const struct sb_channel_config *like);
struct sb_channel *suite_open_writing(struct suite *s, const char *name, int32_t partitions);
struct sb_channel *suite_open_reading(struct suite *s, const char *name, int32_t partitions);
struct sb_channel *suite_open_until_end(struct suite *s, const char *name, int32_t partitions);
void suite_close(struct sb_channel *channel);

struct sb_writer *suite_writer(struct suite *s, struct sb_channel *channel, struct sb_txn *txn);
sabot_status suite_try_write(struct suite *s,
                             struct sb_writer *writer,
                             const struct sb_record *record);
sabot_status suite_try_flush(struct suite *s, struct sb_writer *writer);
void suite_write(struct suite *s, struct sb_writer *writer, int32_t partition, const char *value);
void suite_write_number(struct suite *s, struct sb_writer *writer, int32_t partition, uint32_t n);
void suite_flush(struct suite *s, struct sb_writer *writer);
void suite_writer_close(struct sb_writer *writer);

struct sb_reader *suite_reader(struct suite *s, struct sb_channel *channel);
struct sb_reader *suite_reader_at(struct suite *s,
                                  struct sb_channel *channel,
                                  const struct sb_reader_position *positions,
                                  uint32_t count);
void suite_reader_close(struct sb_reader *reader);
sabot_status suite_poll(struct suite *s, struct sb_reader *reader, uint32_t index, uint32_t max);
sabot_status suite_poll_wait(struct suite *s,
                             struct sb_reader *reader,
                             uint32_t index,
                             uint32_t max);
/* Take exactly `count` records of the first `partitions` positions into s->taken. */
void suite_take(struct suite *s, struct sb_reader *reader, uint32_t partitions, uint32_t count);
/* Everything that is committed now, by a reader of its own. */
void suite_read_all(struct suite *s, const char *name, int32_t partitions);
uint32_t suite_number(const struct suite_record *record);

void suite_commit(struct suite *s,
                  struct sb_channel *channel,
                  const char *group,
                  const struct sb_offset *offsets,
                  uint32_t count);
void suite_expect_offset(struct suite *s,
                         struct sb_channel *channel,
                         const char *group,
                         int32_t partition,
                         int64_t offset,
                         const char *metadata);

/* The tests with transactions; returns how many. */
size_t channel_suite_txn_tests(struct CMUnitTest *tests, size_t tests_max);

#endif
