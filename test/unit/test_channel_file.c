/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_file.c - files of lines as channels: streams, what is refused, threads and memory.
 */
#include "file_stage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- Streams ---------------------------------------------------------------------------------- */

static void a_pipe_is_read_as_it_comes(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    const int fd = stage_pipe(stage, "pipe");
    struct sb_channel *channel = stage_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader = stage_reader(stage, channel, SB_OFFSET_NONE);

    stage_send(fd, "one\ntw");
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    basket_assert(&basket, "0:one;");
    stage_send(fd, "o\n");
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    stage_assert_place(reader, 4, "/pipe: line 2 (byte 4)");
    basket_assert(&basket, "4:two;");
    stage_send(fd, "three");
    assert_int_equal(close(fd), 0);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "8:three;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_reader_stops_while_a_pipe_says_nothing(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    const int fd = stage_pipe(stage, "pipe");
    struct sb_channel *channel = stage_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader = stage_reader(stage, channel, SB_OFFSET_NONE);

    stage_send(fd, "one\ntwo\nthr");
    assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(FILES->lag(reader, 0), -1);
    FILES->stop(reader);
    assert_int_equal(FILES->poll(reader, 0, 10, basket_collect, &basket, NULL), SABOT_END);
    assert_int_equal(stage_position(reader), 4);
    basket_assert(&basket, "0:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

static void a_stream_is_read_once(void **state)
{
    struct stage *stage = *state;
    const int fd = stage_pipe(stage, "pipe");
    struct sb_channel *channel = stage_channel(stage, (struct setup){.file = "pipe"});
    struct sb_reader *reader;

    assert_int_equal(stage_try_reader(stage, channel, 7, &reader), SABOT_ERR_NOT_FOUND);
    reader = stage_reader(stage, channel, SB_OFFSET_BEGIN);
    const struct sb_reader_position here = {.partition = 0, .offset = 0};
    const struct sb_reader_position there = {.partition = 0, .offset = 7};
    assert_int_equal(FILES->seek(reader, &here, &stage->error), SABOT_OK);
    assert_int_equal(FILES->seek(reader, &there, &stage->error), SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "it is a stream");
    FILES->reader_close(reader);
    assert_int_equal(stage_try_reader(stage, channel, SB_OFFSET_NONE, &reader), SABOT_ERR_STATE);
    stage_assert_error(stage, "/pipe: is a stream and was read before");
    FILES->close(channel);
    assert_int_equal(close(fd), 0);
}

/* Run with a descriptor in place of a standard one. */
static int replace(int standard, int fd)
{
    const int saved = dup(standard);

    assert_true(saved >= 0);
    assert_int_equal(dup2(fd, standard), standard);
    return saved;
}

static void restore(int standard, int saved)
{
    assert_int_equal(dup2(saved, standard), standard);
    assert_int_equal(close(saved), 0);
}

static void a_dash_is_standard_input(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;
    sabot_status status;

    for (int kind = 0; kind < 2; kind++) {
        int ends[2];
        int saved;

        /* A pipe, and a file that the shell has opened and read from. */
        stage_put(stage, "in", "head\none\ntwo\n");
        if (kind == 0) {
            assert_int_equal(pipe(ends), 0);
            stage_send(ends[1], "one\ntwo\n");
            assert_int_equal(close(ends[1]), 0);
        } else {
            ends[0] = open(stage_path(stage, "in"), O_RDONLY);
            assert_int_equal(lseek(ends[0], 5, SEEK_SET), 5);
        }
        saved = replace(0, ends[0]);
        channel = stage_channel(stage, (struct setup){.url = "file:-"});
        reader = stage_reader(stage, channel, SB_OFFSET_NONE);
        status = stage_poll(stage, reader, 1, &basket);
        stage_assert_place(reader, 0, "standard input: line 1 (byte 0)");
        if (status == SABOT_OK)
            status = stage_poll_all(stage, reader, &basket);
        FILES->reader_close(reader);
        FILES->close(channel);
        restore(0, saved);
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(status, SABOT_END);
        basket_assert(&basket, "0:one;4:two;");
    }
}

static void standard_input_is_no_folder(void **state)
{
    struct stage *stage = *state;
    const int folder = open(stage->folder, O_RDONLY);
    const int saved = replace(0, folder);
    struct sb_channel *channel;
    const sabot_status status = stage_try_prepare(stage, (struct setup){.url = "file:-"}, &channel);

    restore(0, saved);
    assert_int_equal(close(folder), 0);
    assert_int_equal(status, SABOT_ERR_IO);
    stage_assert_error(stage, "standard input: is a directory, not a file");
}

static void standard_output_is_appended_to(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_writer *writer;
    sabot_status status;
    int saved;
    int fd;

    stage_put(stage, "out", "head\n");
    fd = open(stage_path(stage, "out"), O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    saved = replace(1, fd);
    channel = stage_channel(stage, (struct setup){.url = "file:-", .writing = true});
    writer = stage_writer(stage, channel);
    status = stage_write(stage, writer, "one");
    if (status == SABOT_OK)
        status = stage_flush(stage, writer);
    FILES->writer_close(writer);
    FILES->close(channel);
    restore(1, saved);
    assert_int_equal(close(fd), 0);
    assert_int_equal(status, SABOT_OK);
    stage_assert_file(stage, "out", "head\none\n");
}

/* --- Set-up ----------------------------------------------------------------------------------- */

static void what_cannot_be_opened_is_said_by_prepare(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;

    assert_int_equal(stage_try_prepare(stage, (struct setup){.file = "missing"}, &channel),
                     SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "/missing: cannot open it for reading: No such file or directory");
    assert_int_equal(stage_try_prepare(stage, (struct setup){.file = ""}, &channel), SABOT_ERR_IO);
    stage_assert_error(stage, "is a directory, not a file");
    assert_int_equal(
        stage_try_prepare(stage, (struct setup){.file = "", .writing = true}, &channel),
        SABOT_ERR_IO);
    stage_assert_error(stage, "irectory");
    assert_int_equal(
        stage_try_prepare(stage, (struct setup){.file = "no/out", .writing = true}, &channel),
        SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "/no/out: cannot open it for writing");
    assert_int_equal(
        stage_try_prepare(stage, (struct setup){.url = "file:/dev/null?follow=true"}, &channel),
        SABOT_ERR_CONFIG);
    stage_assert_error(stage, "can't be followed");
    if (geteuid() == 0)
        return; /* root may read everything */
    stage_put(stage, "secret", "one\n");
    assert_int_equal(chmod(stage_path(stage, "secret"), 0), 0);
    assert_int_equal(stage_try_prepare(stage, (struct setup){.file = "secret"}, &channel),
                     SABOT_ERR_IO);
    stage_assert_error(stage, "/secret: cannot open it for reading: Permission denied");
}

static void a_url_that_makes_no_sense_is_refused(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    static const struct {
        const char *url;
        bool writing;
        const char *text;
    } cases[] = {
        {"file:", false, "has no path: write file:PATH"},
        {"file:?follow=true", false, "has no path"},
        {"file:a?follow=1", false, "expected true or false"},
        {"file:a?folow=true", false, "unknown parameter \"folow\"; known: follow"},
        {"file:a?follow=true", true, "follow is for inputs"},
        {"file:-?follow=true", false, "standard input can't be followed"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            stage_try_open(stage, (struct setup){.url = cases[i].url, .writing = cases[i].writing},
                           &channel),
            SABOT_ERR_CONFIG);
        stage_assert_error(stage, cases[i].text);
        stage_assert_error(stage, cases[i].url);
        assert_null(channel);
    }
}

static void a_file_is_not_read_and_written_by_one_app(void **state)
{
    struct stage *stage = *state;
    const struct sb_channel_config config = {
        .name = "loop", .url = "file:a", .for_reading = true, .for_writing = true};
    struct sb_channel *channel;

    assert_int_equal(FILES->open(&stage->env, &config, stage->waker, &channel, &stage->error),
                     SABOT_ERR_CONFIG);
    stage_assert_error(stage, "file:a: the app both reads and writes this channel");
}

static bool are_same(struct stage *stage, struct setup input, struct setup output)
{
    struct sb_channel *one = stage_channel(stage, input);
    struct sb_channel *other = stage_channel(stage, output);
    const bool same = FILES->same(one, other);

    assert_int_equal(FILES->same(other, one), same);
    assert_true(strlen(FILES->guarantee(one)) > 0);
    assert_true(strlen(FILES->guarantee(other)) > 0);
    FILES->close(one);
    FILES->close(other);
    return same;
}

static void a_file_is_the_same_by_any_name(void **state)
{
    struct stage *stage = *state;
    char target[PATH_SIZE];

    stage_put(stage, "in", "one\n");
    stage_put(stage, "other", "one\n");
    (void)snprintf(target, sizeof target, "%s", stage_path(stage, "in"));
    assert_int_equal(symlink(target, stage_path(stage, "soft")), 0);
    assert_int_equal(link(target, stage_path(stage, "hard")), 0);
    const struct setup input = {.file = "in"};
    assert_true(are_same(stage, input, (struct setup){.file = "in", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "./in", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "soft", .writing = true}));
    assert_true(are_same(stage, input, (struct setup){.file = "hard", .writing = true}));
    assert_false(are_same(stage, input, (struct setup){.file = "other", .writing = true}));
    assert_false(are_same(stage, input, (struct setup){.file = "new", .writing = true}));
    assert_false(are_same(stage, (struct setup){.url = "file:/dev/null"},
                          (struct setup){.url = "file:/dev/null", .writing = true}));
    /* A start that is refused has destroyed nothing. */
    stage_assert_file(stage, "in", "one\n");
}

static void readers_are_closed_while_blocks_come(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char text[2000];
    struct sb_channel *channel;

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 10 == 9 ? '\n' : 'x';
    stage_put_bytes(stage, "in", "w", text, sizeof text);
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 7});
    for (uint32_t i = 0; i < 200; i++) {
        struct sb_reader *reader;
        struct sb_waker *waker;
        const struct sb_reader_position position = {.partition = 0, .offset = (int64_t)i * 10};

        /* The waker is gone as soon as the reader is closed. */
        assert_int_equal(stage->type.waker_create(stage->env.self, &waker, NULL), SABOT_OK);
        assert_int_equal(FILES->reader_open(channel, &position, 1, waker, &reader, &stage->error),
                         SABOT_OK);
        for (uint32_t polls = 0; polls < i % 5; polls++)
            assert_true(FILES->poll(reader, 0, 1 + i % 3, basket_collect, &basket, NULL) <=
                        SABOT_END);
        FILES->reader_close(reader);
        stage->type.waker_destroy(stage->env.self, waker);
    }
    FILES->close(channel);
    basket_empty(&basket);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Everything a channel does, from opening to closing; what fails ends it. */
static sabot_status do_everything(struct stage *stage)
{
    struct basket basket = {0};
    struct sb_channel *channel = NULL;
    struct sb_reader *reader = NULL;
    struct sb_writer *writer = NULL;
    sabot_status status;

    status = stage_try_prepare(
        stage, (struct setup){.file = "out", .writing = true, .block_size = 8}, &channel);
    if (status == SABOT_OK)
        status = FILES->writer_open(channel, NULL, stage->waker, &writer, &stage->error);
    if (status == SABOT_OK)
        status = stage_write(stage, writer, "a record of more than one block");
    if (status == SABOT_OK)
        status = stage_flush(stage, writer);
    FILES->writer_close(writer);
    if (channel != NULL)
        FILES->close(channel);
    if (status != SABOT_OK)
        return status;
    channel = NULL;
    status = stage_try_prepare(stage, (struct setup){.file = "out", .block_size = 8}, &channel);
    if (status == SABOT_OK)
        status = stage_try_reader(stage, channel, SB_OFFSET_NONE, &reader);
    if (status == SABOT_OK)
        status = stage_poll_all(stage, reader, &basket);
    FILES->reader_close(reader);
    if (channel != NULL)
        FILES->close(channel);
    basket_empty(&basket);
    return status == SABOT_END ? SABOT_OK : status;
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    struct stage *stage = *state;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth = 0;

    while (status != SABOT_OK) {
        sb_os_env_fail_allocation(stage->os, ++nth);
        memset(&stage->error, 0, sizeof stage->error);
        status = do_everything(stage);
        sb_os_env_fail_allocation(stage->os, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            stage_assert_error(stage, "no memory");
        }
        assert_true(nth < 1000);
    }
    assert_true(nth > 15);
}

static void memory_that_comes_back_lets_a_reader_go_on(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "a record of many blocks\n");
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 2});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    sb_os_env_fail_allocation(stage->os, 1);
    assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_ERR_MEMORY);
    stage_assert_error(stage, "/in: line 1 (byte 0): no memory for 2 bytes of a record");
    sb_os_env_fail_allocation(stage->os, 0);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "0:a record of many blocks;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_make, stage_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pipe_is_read_as_it_comes),
        TEST(a_reader_stops_while_a_pipe_says_nothing),
        TEST(a_stream_is_read_once),
        TEST(a_dash_is_standard_input),
        TEST(standard_input_is_no_folder),
        TEST(standard_output_is_appended_to),
        TEST(what_cannot_be_opened_is_said_by_prepare),
        TEST(a_url_that_makes_no_sense_is_refused),
        TEST(a_file_is_not_read_and_written_by_one_app),
        TEST(a_file_is_the_same_by_any_name),
        TEST(readers_are_closed_while_blocks_come),
        TEST(every_failed_allocation_is_an_error_and_leaks_nothing),
        TEST(memory_that_comes_back_lets_a_reader_go_on),
    };

    return cmocka_run_group_tests_name("channel_file", tests, NULL, NULL);
}
