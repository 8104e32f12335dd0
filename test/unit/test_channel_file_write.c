/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_file_write.c - writing: what is emptied and kept, whole lines from several threads,
 * and a full disk. */
#include "file_stage.h"

#include <unistd.h>

#include "base/hash.h"

/* --- Writing ---------------------------------------------------------------------------------- */

static void an_output_is_emptied_by_its_first_writer_only(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writers[2];

    stage_put(stage, "out", "old\n");
    channel = stage_channel(stage, (struct setup){.file = "out", .writing = true});
    stage_assert_file(stage, "out", "old\n");
    writers[0] = stage_writer(stage, channel);
    stage_assert_file(stage, "out", "");
    assert_int_equal(stage_write(stage, writers[0], "one"), SABOT_OK);
    assert_int_equal(stage_flush(stage, writers[0]), SABOT_OK);
    writers[1] = stage_writer(stage, channel);
    assert_int_equal(stage_write(stage, writers[1], "two"), SABOT_OK);
    assert_int_equal(stage_flush(stage, writers[1]), SABOT_OK);
    stage_assert_file(stage, "out", "one\ntwo\n");
    assert_int_equal(stage_write(stage, writers[0], "three"), SABOT_OK);
    assert_int_equal(stage_flush(stage, writers[0]), SABOT_OK);
    assert_int_equal(stage_flush(stage, writers[0]), SABOT_OK);
    stage_assert_file(stage, "out", "one\ntwo\nthree\n");
    FILES->writer_close(writers[0]);
    FILES->writer_close(writers[1]);
    FILES->close(channel);
}

static void an_output_that_is_appended_to_keeps_what_it_holds(void **state)
{
    struct stage *stage = *state;
    static const char *const before[] = {"", "old\n", "ol"};
    static const char *const after[] = {"one\n", "old\none\n", "ol\none\n"};

    for (size_t i = 0; i < 3; i++) {
        struct sb_channel *channel;
        struct sb_writer *writer;

        stage_put(stage, "out", before[i]);
        channel =
            stage_channel(stage, (struct setup){.file = "out", .writing = true, .append = true});
        writer = stage_writer(stage, channel);
        assert_int_equal(stage_flush(stage, writer), SABOT_OK);
        stage_assert_file(stage, "out", before[i]);
        assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
        assert_int_equal(stage_flush(stage, writer), SABOT_OK);
        stage_assert_file(stage, "out", after[i]);
        /* Others may append as well. */
        stage_append(stage, "out", "other\n");
        assert_int_equal(stage_write(stage, writer, "two"), SABOT_OK);
        FILES->writer_close(writer);
        FILES->close(channel);
        stage_put(stage, "expected", after[i]);
        stage_append(stage, "expected", "other\ntwo\n");
        size_t size;
        char *expected = stage_get(stage, "expected", &size);
        stage_assert_file(stage, "out", expected);
        free(expected);
    }
}

static void what_was_not_flushed_is_written_when_it_is_closed(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer = stage_writer(stage, channel);

    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    FILES->writer_close(writer);
    FILES->close(channel);
    stage_assert_file(stage, "out", "one\n");
}

static void records_of_any_size_are_whole_lines(void **state)
{
    struct stage *stage = *state;
    static const char *const texts[] = {"a", "bc", "defghijklmnopqrs", "t", "uvwxyz0123", "4"};

    for (uint64_t block = 1; block < 20; block++) {
        struct sb_channel *channel = stage_channel(
            stage,
            (struct setup){.file = "out", .writing = true, .block_size = block, .record_max = 16});
        struct sb_writer *writer = stage_writer(stage, channel);

        for (size_t i = 0; i < 6; i++) {
            sabot_status status;

            while ((status = stage_write(stage, writer, texts[i])) == SABOT_AGAIN)
                stage_wait(stage);
            assert_int_equal(status, SABOT_OK);
        }
        assert_int_equal(stage_write(stage, writer, "defghijklmnopqrst"), SABOT_ERR_LIMIT);
        stage_assert_error(stage, "/out: record of 17 bytes is longer than the limit of 16");
        assert_int_equal(stage_flush(stage, writer), SABOT_OK);
        stage_assert_file(stage, "out", "a\nbc\ndefghijklmnopqrs\nt\nuvwxyz0123\n4\n");
        FILES->writer_close(writer);
        FILES->close(channel);
    }
}

static void a_record_that_is_no_line_is_refused(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer = stage_writer(stage, channel);
    static const char *const texts[] = {"a\nb", "\n", "a\r", "", " \t"};
    const struct sb_record none = {.partition = SB_PARTITION_ANY};
    const struct sb_record elsewhere = {.value = {"one", 3}, .partition = 1};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(stage_write(stage, writer, texts[i]), SABOT_ERR_FORMAT);
        stage_assert_error(stage, "/out: a record ");
    }
    assert_int_equal(FILES->write(writer, &none, &stage->error), SABOT_ERR_FORMAT);
    assert_int_equal(FILES->write(writer, &elsewhere, &stage->error), SABOT_ERR_ARGUMENT);
    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    assert_int_equal(stage_flush(stage, writer), SABOT_OK);
    stage_assert_file(stage, "out", "one\n");
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void a_full_pipe_holds_the_writer_back(void **state)
{
    enum { PIPE_BYTES = 65536, MUCH = 1048576 };
    struct stage *stage = *state;
    const int fd = stage_pipe(stage, "pipe");
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "pipe", .writing = true, .block_size = 1024});
    struct sb_writer *writer = stage_writer(stage, channel);
    char text[101];
    char bytes[4096];
    size_t written = 0;
    size_t read_back = 0;

    memset(text, 'x', 100);
    text[100] = '\0';
    /* The driver may be slower than we are: full for good is only when the pipe is. */
    while (written < MUCH) {
        const sabot_status status = stage_write(stage, writer, text);

        if (status == SABOT_AGAIN && written > PIPE_BYTES)
            break;
        if (status == SABOT_AGAIN)
            stage_wait(stage);
        else
            written += 101;
    }
    assert_true(written < MUCH);
    assert_int_equal(FILES->flush(writer, &stage->error), SABOT_AGAIN);
    while (read_back < written) {
        const ssize_t size = read(fd, bytes, sizeof bytes);

        assert_true(size > 0);
        read_back += (size_t)size;
        assert_true(FILES->flush(writer, &stage->error) <= SABOT_AGAIN);
    }
    assert_int_equal(read_back, written);
    assert_int_equal(stage_flush(stage, writer), SABOT_OK);
    FILES->writer_close(writer);
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

static void a_full_disk_is_said_by_every_later_call(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.url = "file:/dev/full", .writing = true});
    struct sb_writer *writer = stage_writer(stage, channel);
    struct sb_writer *other = stage_writer(stage, channel);

    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stage_flush(stage, i < 2 ? writer : other), SABOT_ERR_IO);
        stage_assert_error(stage, "/dev/full: cannot write 4 bytes");
        stage_assert_error(stage, "No space left on device");
        assert_true(stage->error.fatal);
        assert_false(stage->error.retriable);
        memset(&stage->error, 0, sizeof stage->error);
        assert_int_equal(stage_write(stage, other, "two"), SABOT_ERR_IO);
        stage_assert_error(stage, "No space left on device");
    }
    FILES->writer_close(writer);
    FILES->writer_close(other);
    FILES->close(channel);
}

static void a_pipe_without_a_reader_is_an_error(void **state)
{
    struct stage *stage = *state;
    const int fd = stage_pipe(stage, "pipe");
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "pipe", .writing = true});
    struct sb_writer *writer = stage_writer(stage, channel);

    assert_int_equal(close(fd), 0);
    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    assert_int_equal(stage_flush(stage, writer), SABOT_ERR_CLOSED);
    stage_assert_error(stage, "/pipe: cannot write 4 bytes, 0 done: Broken pipe");
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void a_file_has_no_transactions(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "out", .writing = true});
    struct sb_writer *writer;

    assert_int_equal(
        FILES->writer_open(channel, (struct sb_txn *)stage, stage->waker, &writer, &stage->error),
        SABOT_ERR_UNSUPPORTED);
    assert_null(writer);
    assert_null(FILES->txn_open);
    assert_null(FILES->commit);
    FILES->close(channel);
}

/* --- What a checkpoint asks for --------------------------------------------------------------- */

static sabot_status sync_all(struct stage *stage, struct sb_writer *writer, uint64_t *length_out)
{
    sabot_status status;

    *length_out = 12345;
    while ((status = FILES->sync(writer, length_out, &stage->error)) == SABOT_AGAIN)
        stage_wait(stage);
    return status;
}

static void a_sync_says_how_long_the_file_is(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    uint64_t expected = 0;
    uint64_t length;

    /* Blocks of 8 bytes: a sync begins with the ring empty, half full and full. */
    channel = stage_channel(stage, (struct setup){.file = "out", .writing = true, .block_size = 8});
    writer = stage_writer(stage, channel);
    for (uint32_t count = 0; count < 12; count++) {
        for (uint32_t i = 0; i < count; i++) {
            while (stage_write(stage, writer, "record") == SABOT_AGAIN)
                stage_wait(stage);
            expected += 7;
        }
        assert_int_equal(sync_all(stage, writer, &length), SABOT_OK);
        assert_int_equal(length, expected);
    }
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void an_output_goes_on_at_a_length(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    uint64_t length;

    stage_put(stage, "out", "one\ntwo\nthr");
    channel = stage_channel(stage, (struct setup){.file = "out", .writing = true});
    assert_int_equal(FILES->resume(channel, 12, &stage->error), SABOT_ERR_CORRUPT);
    stage_assert_error(stage, "/out: it has 11 bytes, and 12 were written to it");
    stage_assert_file(stage, "out", "one\ntwo\nthr");
    assert_int_equal(FILES->resume(channel, 4, &stage->error), SABOT_OK);
    stage_assert_file(stage, "out", "one\n");
    writer = stage_writer(stage, channel);
    assert_int_equal(sync_all(stage, writer, &length), SABOT_OK);
    assert_int_equal(length, 4);
    assert_int_equal(stage_write(stage, writer, "three"), SABOT_OK);
    assert_int_equal(sync_all(stage, writer, &length), SABOT_OK);
    assert_int_equal(length, 10);
    stage_assert_file(stage, "out", "one\nthree\n");
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void what_was_there_before_counts_too(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    uint64_t length;

    stage_put(stage, "out", "ol"); /* gets the end of its line first */
    channel = stage_channel(stage, (struct setup){.file = "out", .writing = true, .append = true});
    writer = stage_writer(stage, channel);
    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    assert_int_equal(sync_all(stage, writer, &length), SABOT_OK);
    assert_int_equal(length, 7);
    FILES->writer_close(writer);
    FILES->close(channel);
}

static void a_stream_has_no_length(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.url = "file:/dev/null", .writing = true});
    struct sb_writer *writer;
    uint64_t length;

    assert_int_equal(FILES->resume(channel, 100, &stage->error), SABOT_OK);
    writer = stage_writer(stage, channel);
    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    assert_int_equal(sync_all(stage, writer, &length), SABOT_OK);
    assert_true(length == SB_LENGTH_NONE);
    FILES->writer_close(writer);
    FILES->close(channel);
}

static sabot_status failing_sync(struct sb_file *file, sabot_error *error)
{
    (void)file;
    return sabot_raise(error, SABOT_ERR_IO, "out: cannot sync it to the disk: Input/output error");
}

static void a_sync_that_failed_never_succeeds(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    uint64_t length;

    channel = stage_channel(stage, (struct setup){.file = "out", .writing = true});
    writer = stage_writer(stage, channel);
    assert_int_equal(stage_write(stage, writer, "one"), SABOT_OK);
    stage->type.file_sync = failing_sync;
    assert_int_equal(sync_all(stage, writer, &length), SABOT_ERR_IO);
    stage->type.file_sync = stage->os->type->file_sync;
    assert_int_equal(sync_all(stage, writer, &length), SABOT_ERR_IO);
    stage_assert_error(stage, "cannot sync it to the disk");
    assert_int_equal(stage_flush(stage, writer), SABOT_ERR_IO);
    assert_int_equal(stage_write(stage, writer, "two"), SABOT_ERR_IO);
    assert_true(stage->error.fatal);
    FILES->writer_close(writer);
    FILES->close(channel);
}

/* --- Threads ---------------------------------------------------------------------------------- */

enum { WRITERS = 4, LINES = 3000 };

struct author {
    struct sb_writer *writer;
    struct sb_waker *waker;
    struct sb_thread *thread;
    uint32_t number;
    uint32_t written;
    sabot_status status;
};

/* "number line xxx...", of changing length. */
static sabot_status write_line(struct author *author)
{
    char text[128];
    const int head = snprintf(text, sizeof text, "%u %u ", author->number, author->written);
    const size_t fill = 1 + sb_hash_int64(author->written, author->number) % 60;
    const struct sb_record record = {.value = {text, (size_t)head + fill},
                                     .partition = SB_PARTITION_ANY};

    memset(text + head, 'a' + (int)author->number, fill);
    return FILES->write(author->writer, &record, NULL);
}

static struct sb_step write_step(void *context)
{
    struct author *author = context;

    author->status = SABOT_OK;
    if (author->written < LINES) {
        author->status = write_line(author);
        if (author->status == SABOT_OK)
            author->written++;
    }
    if (author->status == SABOT_OK && (author->written == LINES || author->written % 97 == 0))
        author->status = FILES->flush(author->writer, NULL);
    if (author->status == SABOT_AGAIN)
        return sb_step_wait(INT64_MAX);
    return author->status != SABOT_OK || author->written == LINES ? sb_step_done()
                                                                  : sb_step_again();
}

/* Each line whole, and those of each author in order. */
static void check_lines(char *bytes)
{
    uint32_t next[WRITERS] = {0};
    char *line = bytes;

    while (*line != '\0') {
        char *end = strchr(line, '\n');
        char *at;
        unsigned long number;
        unsigned long count;

        assert_non_null(end);
        number = strtoul(line, &at, 10);
        count = strtoul(at, &at, 10);
        assert_true(number < WRITERS);
        assert_int_equal(count, next[number]);
        next[number]++;
        assert_int_equal(end - at, 2 + sb_hash_int64((int64_t)count, number) % 60);
        assert_int_equal(strspn(at, (char[]){' ', (char)('a' + number), '\0'}), end - at);
        line = end + 1;
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        assert_int_equal(next[i], LINES);
}

static void lines_of_several_threads_never_mix(void **state)
{
    struct stage *stage = *state;
    struct author authors[WRITERS] = {0};
    struct sb_channel *channel =
        stage_channel(stage, (struct setup){.file = "out", .writing = true, .block_size = 500});
    size_t size;

    for (uint32_t i = 0; i < WRITERS; i++) {
        struct author *author = &authors[i];

        author->number = i;
        assert_int_equal(stage->type.waker_create(stage->env.self, &author->waker, NULL), SABOT_OK);
        assert_int_equal(FILES->writer_open(channel, NULL, author->waker, &author->writer, NULL),
                         SABOT_OK);
        assert_int_equal(stage->type.spawn(stage->env.self, "author", write_step, author,
                                           author->waker, &author->thread, NULL),
                         SABOT_OK);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        stage->type.join(stage->env.self, authors[i].thread);
        assert_int_equal(authors[i].status, SABOT_OK);
        FILES->writer_close(authors[i].writer);
        stage->type.waker_destroy(stage->env.self, authors[i].waker);
    }
    FILES->close(channel);
    char *bytes = stage_get(stage, "out", &size);
    check_lines(bytes);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_make, stage_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_output_is_emptied_by_its_first_writer_only),
        TEST(an_output_that_is_appended_to_keeps_what_it_holds),
        TEST(what_was_not_flushed_is_written_when_it_is_closed),
        TEST(records_of_any_size_are_whole_lines),
        TEST(a_record_that_is_no_line_is_refused),
        TEST(a_full_pipe_holds_the_writer_back),
        TEST(a_full_disk_is_said_by_every_later_call),
        TEST(a_pipe_without_a_reader_is_an_error),
        TEST(a_file_has_no_transactions),
        TEST(a_sync_says_how_long_the_file_is),
        TEST(an_output_goes_on_at_a_length),
        TEST(what_was_there_before_counts_too),
        TEST(a_stream_has_no_length),
        TEST(a_sync_that_failed_never_succeeds),
        TEST(lines_of_several_threads_never_mix),
    };

    return cmocka_run_group_tests_name("channel_file_write", tests, NULL, NULL);
}
