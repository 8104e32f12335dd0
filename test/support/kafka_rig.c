/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_rig.h"

#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

static const struct sb_channel_type *const kafka = &sb_channel_kafka;

int rig_setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    const char *brokers = getenv("SABOT_TEST_BROKER");

    assert_non_null(rig);
    assert_int_equal(sb_os_env_create(&rig->env, &rig->error), SABOT_OK);
    rig->env->log_level = SABOT_LOG_WARN;
    assert_int_equal(rig->env->type->waker_create(rig->env->self, &rig->waker, &rig->error),
                     SABOT_OK);
    if (brokers == NULL)
        fail_msg("SABOT_TEST_BROKER is not set: run by ctest -L kafka");
    (void)snprintf(rig->brokers, sizeof rig->brokers, "%s", brokers);
    (void)snprintf(rig->topic, sizeof rig->topic, "rig-%016" PRIx64, sb_random(rig->env));
    rig->buffer_bytes = 8 << 20;
    rig->record_max = 1 << 20;
    rig->broker_in = rig->broker_out = -1;
    *state = rig;
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *rig = *state;

    if (rig->broker_pid > 0) {
        int code;

        (void)close(rig->broker_in);
        (void)close(rig->broker_out);
        (void)waitpid(rig->broker_pid, &code, 0);
    }
    rig->env->type->waker_destroy(rig->env->self, rig->waker);
    sb_os_env_destroy(rig->env);
    free(rig);
    return 0;
}

/* --- Waiting ---------------------------------------------------------------------------------- */

void rig_wait(struct rig *rig)
{
    const int64_t now_us = sb_now_us(rig->env);
    const int64_t deadline_us = now_us + RIG_PATIENCE_MS * 1000LL;

    rig->env->type->wait(rig->env->self, rig->waker, deadline_us);
    if (sb_now_us(rig->env) >= deadline_us)
        fail_msg("nothing has happened for %d ms", RIG_PATIENCE_MS);
}

void rig_ok(const struct rig *rig, sabot_status status)
{
    if (status != SABOT_OK)
        fail_msg("%s: %s", sabot_status_name(status), rig->error.text);
}

void rig_is(const struct rig *rig, sabot_status status, sabot_status expected, const char *text)
{
    if (status != expected || strstr(rig->error.text, text) == NULL)
        fail_msg("%s: %s; expected %s with \"%s\"", sabot_status_name(status), rig->error.text,
                 sabot_status_name(expected), text);
}

/* --- Channels --------------------------------------------------------------------------------- */

static void options_each(const void *options,
                         const char *prefix,
                         void (*visit)(void *context, const char *name, const char *value),
                         void *context)
{
    for (const struct rig_option *option = options; option->name != NULL; option++) {
        if (strncmp(option->name, prefix, strlen(prefix)) == 0)
            visit(context, option->name, option->value);
    }
}

sabot_status rig_try_open(struct rig *rig,
                          int32_t partitions,
                          int for_what,
                          struct sb_channel **out)
{
    char url[256];
    struct sb_channel_config config = {
        .name = rig->topic,
        .url = url,
        .for_reading = (for_what & RIG_READING) != 0,
        .for_writing = (for_what & RIG_WRITING) != 0,
        .until_end = (for_what & RIG_UNTIL_END) != 0,
        .buffer_bytes = rig->buffer_bytes,
        .record_max = rig->record_max,
        .start = rig->start == NULL ? "earliest" : rig->start,
        .options = rig->options,
        .options_each = rig->options == NULL ? NULL : options_each,
    };

    if (partitions > 0)
        (void)snprintf(url, sizeof url, "kafka://%s/%s?partitions=%" PRId32 "&replication=1",
                       rig->brokers, rig->topic, partitions);
    else
        (void)snprintf(url, sizeof url, "kafka://%s/%s", rig->brokers, rig->topic);
    return kafka->open(rig->env, &config, rig->waker, out, &rig->error);
}

sabot_status rig_prepare(struct rig *rig, struct sb_channel *channel)
{
    sabot_status status;

    while ((status = kafka->prepare(channel, &rig->error)) == SABOT_AGAIN)
        rig_wait(rig);
    return status;
}

struct sb_channel *rig_open(struct rig *rig, int32_t partitions, int for_what)
{
    struct sb_channel *channel;

    rig_ok(rig, rig_try_open(rig, partitions, for_what, &channel));
    rig_ok(rig, rig_prepare(rig, channel));
    return channel;
}

/* --- Writing ---------------------------------------------------------------------------------- */

struct sb_writer *rig_writer(struct rig *rig, struct sb_channel *channel, struct sb_txn *txn)
{
    struct sb_writer *writer;

    rig_ok(rig, kafka->writer_open(channel, txn, rig->waker, &writer, &rig->error));
    return writer;
}

void rig_write(struct rig *rig, struct sb_writer *writer, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        char value[RIG_VALUE_MAX];
        const int size = snprintf(value, sizeof value, "%" PRIu64, i);
        const struct sb_record record = {.value = {value, (size_t)size},
                                         .partition = SB_PARTITION_ANY,
                                         .timestamp_ms = SB_TIMESTAMP_NOW};
        sabot_status status;

        while ((status = kafka->write(writer, &record, &rig->error)) == SABOT_AGAIN)
            rig_wait(rig);
        rig_ok(rig, status);
    }
}

sabot_status rig_flush(struct rig *rig, struct sb_writer *writer)
{
    sabot_status status;

    while ((status = kafka->flush(writer, &rig->error)) == SABOT_AGAIN)
        rig_wait(rig);
    return status;
}

void rig_fill(struct rig *rig, int32_t partitions, uint64_t count)
{
    struct sb_channel *channel = rig_open(rig, partitions, RIG_WRITING);
    struct sb_writer *writer = rig_writer(rig, channel, NULL);

    rig_write(rig, writer, 0, count);
    rig_ok(rig, rig_flush(rig, writer));
    kafka->writer_close(writer);
    kafka->close(channel);
}

/* --- Reading ---------------------------------------------------------------------------------- */

struct sb_reader *rig_reader(struct rig *rig, struct sb_channel *channel, int64_t offset)
{
    struct sb_reader_position positions[8];
    struct sb_reader *reader;
    const int32_t count = kafka->partition_count(channel);

    assert_in_range(count, 1, 8);
    for (int32_t i = 0; i < count; i++)
        positions[i] = (struct sb_reader_position){.partition = i, .offset = offset};
    rig_ok(rig, kafka->reader_open(channel, positions, (uint32_t)count, rig->waker, &reader,
                                   &rig->error));
    return reader;
}

sabot_status rig_see(void *context, const struct sb_record *record)
{
    struct rig_seen *seen = context;
    char text[RIG_VALUE_MAX] = "";
    int64_t number;

    SB_ASSERT(record->value.size < sizeof text && record->partition < 8);
    memcpy(text, record->value.data, record->value.size);
    number = strtoll(text, NULL, 10);
    if (seen->counts[record->partition] > 0 && number <= seen->last[record->partition])
        seen->out_of_order++;
    seen->last[record->partition] = number;
    seen->counts[record->partition]++;
    seen->next[record->partition] = record->next_offset;
    seen->sum += (uint64_t)number;
    return SABOT_OK;
}

static uint64_t total(const struct rig_seen *seen)
{
    uint64_t count = 0;

    for (size_t i = 0; i < 8; i++)
        count += seen->counts[i];
    return count;
}

void rig_read(struct rig *rig, struct sb_reader *reader, uint64_t count, struct rig_seen *seen)
{
    bool has_ended = false;

    while (!has_ended && total(seen) < count) {
        bool took = false;

        has_ended = true;
        for (uint32_t i = 0; i < seen->partition_count; i++) {
            const sabot_status status = kafka->poll(reader, i, 1000, rig_see, seen, &rig->error);

            if (status != SABOT_OK && status != SABOT_AGAIN && status != SABOT_END)
                rig_ok(rig, status);
            took = took || status == SABOT_OK;
            has_ended = has_ended && status == SABOT_END;
        }
        if (!took && !has_ended)
            rig_wait(rig);
    }
}

void rig_read_all(struct rig *rig, struct rig_seen *seen)
{
    struct sb_channel *channel = rig_open(rig, 0, RIG_READING | RIG_UNTIL_END);
    struct sb_reader *reader = rig_reader(rig, channel, SB_OFFSET_BEGIN);

    *seen = (struct rig_seen){.partition_count = (uint32_t)kafka->partition_count(channel)};
    rig_read(rig, reader, UINT64_MAX, seen);
    kafka->reader_close(reader);
    kafka->close(channel);
}

/* --- Transactions ----------------------------------------------------------------------------- */

static sabot_status rig_await(struct rig *rig,
                              sabot_status (*call)(struct sb_txn *txn, sabot_error *error),
                              struct sb_txn *txn)
{
    sabot_status status;

    do {
        while ((status = call(txn, &rig->error)) == SABOT_AGAIN)
            rig_wait(rig);
    } while (status != SABOT_OK && rig->error.retriable);
    return status;
}

sabot_status rig_fence(struct rig *rig, struct sb_txn *txn)
{
    return rig_await(rig, kafka->txn_fence, txn);
}

void rig_begin(struct rig *rig, struct sb_txn *txn)
{
    rig_ok(rig, rig_await(rig, kafka->txn_begin, txn));
}

sabot_status rig_commit(struct rig *rig, struct sb_txn *txn)
{
    return rig_await(rig, kafka->txn_commit, txn);
}

sabot_status rig_try_abort(struct rig *rig, struct sb_txn *txn)
{
    return rig_await(rig, kafka->txn_abort, txn);
}

void rig_abort(struct rig *rig, struct sb_txn *txn)
{
    rig_ok(rig, rig_try_abort(rig, txn));
}

/* --- A broker of one's own -------------------------------------------------------------------- */

static void broker_spawn(struct rig *rig)
{
    char script[512];
    char *arguments[] = {(char *)"python3", script, (char *)"drive", NULL};
    posix_spawn_file_actions_t actions;
    int in[2];
    int out[2];

    assert_non_null(getenv("SABOT_SOURCE_DIR"));
    (void)snprintf(script, sizeof script, "%s/test/kafka/broker.py", getenv("SABOT_SOURCE_DIR"));
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    (void)posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    (void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int fd = 0; fd < 2; fd++) {
        (void)posix_spawn_file_actions_addclose(&actions, in[fd]);
        (void)posix_spawn_file_actions_addclose(&actions, out[fd]);
    }
    assert_int_equal(posix_spawnp(&rig->broker_pid, "python3", &actions, NULL, arguments, environ),
                     0);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(in[0]);
    (void)close(out[1]);
    rig->broker_in = in[1];
    rig->broker_out = out[0];
}

void rig_broker(struct rig *rig, const char *verb)
{
    char answer[128];
    size_t size = 0;

    if (rig->broker_pid == 0)
        broker_spawn(rig);
    assert_int_equal(dprintf(rig->broker_in, "%s\n", verb), (int)strlen(verb) + 1);
    do {
        const ssize_t got = read(rig->broker_out, answer + size, sizeof answer - 1 - size);

        if (got <= 0)
            fail_msg("the broker's driver has ended at \"%s\"", verb);
        size += (size_t)got;
    } while (answer[size - 1] != '\n');
    answer[size - 1] = '\0';
    assert_memory_equal(answer, "ok ", 3);
    (void)snprintf(rig->brokers, sizeof rig->brokers, "%s", answer + 3);
}
