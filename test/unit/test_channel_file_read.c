/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_file_read.c - reading: what is a record, where it stands, and where reading goes on.
 */
#include "file_stage.h"

#include <unistd.h>

#include "base/hash.h"

/* --- Reading ---------------------------------------------------------------------------------- */

static void each_line_is_a_record_at_its_byte(void **state)
{
    struct stage *stage = *state;
    const struct setup setup = {.file = "in"};

    stage_assert_reads(stage, setup, "one\ntwo\nthree\n", 14, "0:one;4:two;8:three;");
    stage_assert_reads(stage, setup, "", 0, "");
}

static void a_last_line_without_newline_counts(void **state)
{
    struct stage *stage = *state;

    stage_assert_reads(stage, (struct setup){.file = "in"}, "one\ntwo", 7, "0:one;4:two;");
    stage_assert_reads(stage, (struct setup){.file = "in"}, "one", 3, "0:one;");
    stage_assert_reads(stage, (struct setup){.file = "in"}, "one\r", 4, "0:one;");
}

static void blank_lines_are_skipped_and_a_cr_is_cut(void **state)
{
    struct stage *stage = *state;
    const struct setup setup = {.file = "in"};

    stage_assert_reads(stage, setup, "\n\none\n \t\n\r\ntwo\n\n", 16, "2:one;11:two;");
    stage_assert_reads(stage, setup, "a\r\nb\rc\r\n\r\n\r\r\nd\r\r\n", 17, "0:a;3:b\rc;13:d\r;");
    stage_assert_reads(stage, setup, "\n\n  \n", 5, "");
    stage_assert_reads(stage, setup, "   ", 3, "");
}

static void bytes_that_are_no_text_pass_unchanged(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.values_only = true};
    static const char bytes[] = "a\0b\n\xff\xfe\n\0\n";
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put_bytes(stage, "in", "w", bytes, sizeof bytes - 1);
    channel = stage_channel(stage, (struct setup){.file = "in"});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(basket.size, sizeof bytes - 1);
    assert_memory_equal(basket.text, bytes, sizeof bytes - 1);
    basket_empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_line_is_whole_wherever_the_blocks_end(void **state)
{
    struct stage *stage = *state;
    static const char text[] = "a\r\n\nbcdefgh\n  \r\nij\r\n0123456789\nk";

    for (size_t size = 0; size < sizeof text; size++) {
        char *expected;
        struct basket basket = {0};
        struct sb_channel *channel;
        struct sb_reader *reader;

        stage_put_bytes(stage, "in", "w", text, size);
        channel = stage_channel(stage, (struct setup){.file = "in"});
        reader = stage_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
        FILES->reader_close(reader);
        FILES->close(channel);
        expected = basket.text;
        for (uint64_t block = 1; block <= size + 1; block++)
            stage_assert_reads(stage, (struct setup){.file = "in", .block_size = block}, text, size,
                               expected == NULL ? "" : expected);
        free(expected);
    }
}

static void records_carry_the_time_of_reading(void **state)
{
    struct stage *stage = *state;
    const int64_t wall_ms = sb_wall_ms(&stage->env);
    const int64_t now_us = sb_now_us(&stage->env);
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\n");
    channel = stage_channel(stage, (struct setup){.file = "in"});
    assert_true(FILES->finite(channel));
    reader = stage_reader(stage, channel, SB_OFFSET_BEGIN);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    assert_true(basket.timestamp_ms >= wall_ms);
    assert_true(basket.timestamp_ms <= sb_wall_ms(&stage->env));
    assert_true(basket.arrival_us >= now_us);
    assert_true(basket.arrival_us <= sb_now_us(&stage->env));
    basket_empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void the_callback_says_how_far_poll_goes(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.verdict = SABOT_AGAIN, .verdict_at = 2};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\nthree\nfour\nfive\n");
    /* Blocks of 3 bytes: a record shown again must still be there, though its block is gone. */
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 3});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    while (basket.count < 2)
        assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(stage_position(reader), 8);
    basket_assert(&basket, "0:one;4:two;");

    basket.verdict = SABOT_END;
    basket.verdict_at = 1;
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(stage_position(reader), 8);
    basket_empty(&basket);

    basket.verdict = SABOT_ERR_SCHEMA;
    basket.verdict_at = 1;
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_ERR_SCHEMA);
    assert_int_equal(stage_position(reader), 8);
    basket_empty(&basket);

    assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(stage_position(reader), 14);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "8:three;14:four;19:five;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Records that are too long ---------------------------------------------------------------- */

static void a_record_over_the_limit_is_an_error_and_can_be_passed(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};

    stage_put(stage, "in", "12345\r\none\n123456\n\n12345678901\r\ntwo\n123456");
    for (uint64_t block = 1; block < 50; block++) {
        struct sb_channel *channel = stage_channel(
            stage, (struct setup){.file = "in", .record_max = 5, .block_size = block});
        struct sb_reader *reader = stage_reader(stage, channel, SB_OFFSET_NONE);

        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        stage_assert_error(stage,
                           "in: line 3 (byte 11): record of 6 bytes is longer than the limit");
        assert_int_equal(stage_position(reader), 18);
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        stage_assert_error(stage, "line 5 (byte 19): record of 1");
        assert_int_equal(stage_position(reader), 32);
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
        stage_assert_error(stage, "line 7 (byte 36)");
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
        assert_int_equal(stage_position(reader), 42);
        basket_assert(&basket, "0:12345;7:one;32:two;");
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void records_before_one_over_the_limit_come_first(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\n123456\nthree\n");
    channel = stage_channel(stage, (struct setup){.file = "in", .record_max = 5});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_OK);
    basket_assert(&basket, "0:one;4:two;");
    assert_int_equal(stage_position(reader), 8);
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_ERR_LIMIT);
    assert_int_equal(stage_position(reader), 15);
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_OK);
    basket_assert(&basket, "15:three;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void ten_megabytes_are_skipped_in_little_memory(void **state)
{
    enum { SIZE = 10 * 1024 * 1024 };
    struct stage *stage = *state;
    struct basket basket = {0};
    char *bytes = malloc(SIZE);
    struct sb_channel *channel;
    struct sb_reader *reader;

    assert_non_null(bytes);
    memset(bytes, 'x', SIZE);
    stage_put(stage, "in", "one\n");
    stage_put_bytes(stage, "in", "a", bytes, SIZE);
    stage_append(stage, "in", "\ntwo\n");
    free(bytes);
    channel = stage_channel(stage, (struct setup){.file = "in", .record_max = 100000});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_LIMIT);
    stage_assert_error(stage, "in: line 2 (byte 4): record of 10485760 bytes");
    assert_int_equal(stage_position(reader), SIZE + 5);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "0:one;10485765:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
    assert_true(stage_memory_peak() < BUFFER + 2 * 100000 + 64 * 1024);
}

static void many_blank_lines_are_no_long_step(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char blanks[4096];
    struct sb_channel *channel;
    struct sb_reader *reader;
    uint32_t pauses = 0;

    memset(blanks, '\n', sizeof blanks);
    stage_put_bytes(stage, "in", "w", blanks, sizeof blanks);
    stage_append(stage, "in", "one\n");
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 64});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    while (FILES->poll(reader, 0, 10, basket_collect, &basket, NULL) == SABOT_AGAIN) {
        pauses++;
        stage_wait(stage);
    }
    assert_true(pauses >= 4096 / (64 * BLOCKS) - 1);
    basket_assert(&basket, "4096:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Places and positions --------------------------------------------------------------------- */

static void a_place_is_file_line_and_byte(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {.verdict = SABOT_END, .verdict_at = 4};
    struct sb_channel *channel;
    struct sb_reader *reader;
    char text[SB_PLACE_MAX];

    stage_put(stage, "in", "one\n\n\ntwo\nthree\n\nfour\n");
    channel = stage_channel(stage, (struct setup){.file = "in"});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll(stage, reader, 100, &basket), SABOT_OK);
    assert_int_equal(basket.count, 3);
    stage_assert_place(reader, 0, "/in: line 1 (byte 0)");
    stage_assert_place(reader, 6, "/in: line 4 (byte 6)");
    stage_assert_place(reader, 10, "/in: line 5 (byte 10)");
    stage_assert_place(reader, 17, "/in: line 7 (byte 17)"); /* shown, not taken */
    stage_assert_place(reader, 3, "/in: byte 3");            /* no record begins there */

    /* Of records before the last poll the line is not known any more. */
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    stage_assert_place(reader, 6, "/in: byte 6");
    FILES->place(reader, 0, 6, text, 8);
    assert_int_equal(strlen(text), 7);
    basket_empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_place_in_a_long_path_keeps_its_end(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    char url[URL_SIZE];
    char text[SB_PLACE_MAX];
    struct sb_channel *channel;
    struct sb_reader *reader;
    size_t size;

    stage_put(stage, "tx.jsonl", "one\n");
    size = (size_t)snprintf(url, sizeof url, "file:%s", stage->folder);
    while (size < 280) {
        memcpy(url + size, "/.", 3);
        size += 2;
    }
    memcpy(url + size, "/tx.jsonl", sizeof "/tx.jsonl");
    channel = stage_channel(stage, (struct setup){.url = url});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    FILES->place(reader, 0, 0, text, sizeof text);
    assert_memory_equal(text, "...", 3);
    stage_assert_place(reader, 0, "/./tx.jsonl: line 1 (byte 0)");
    basket_empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* Records of 10 bytes each, "number 17\n" is one; of the byte at `wrong` a bit is another. */
static void put_numbers_but(struct stage *stage, int first, int count, size_t wrong)
{
    char *text = calloc((size_t)count + 1, 10);

    assert_non_null(text);
    for (int i = 0; i < count; i++) {
        char number[32];

        (void)snprintf(number, sizeof number, "number%3d\n", first + i);
        memcpy(text + (size_t)i * 10, number, 10);
    }
    if (wrong < (size_t)count * 10)
        text[wrong] ^= 1;
    stage_put(stage, "in", text);
    free(text);
}

static void put_numbers(struct stage *stage, int first, int count)
{
    put_numbers_but(stage, first, count, SIZE_MAX);
}

static sabot_status go_on(struct stage *stage, const struct sb_reader_position *position)
{
    struct sb_channel *channel = stage_channel(stage, (struct setup){.file = "in"});
    struct sb_reader *reader;
    const sabot_status status =
        FILES->reader_open(channel, position, 1, stage->waker, &reader, &stage->error);

    FILES->reader_close(reader);
    FILES->close(channel);
    return status;
}

/* The position behind `records` numbers. */
static struct sb_reader_position read_some(struct stage *stage, uint32_t records)
{
    struct sb_channel *channel = stage_channel(stage, (struct setup){.file = "in"});
    struct sb_reader *reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    struct sb_reader_position position;
    struct basket basket = {0};

    while (basket.count < records)
        assert_int_equal(stage_poll(stage, reader, records - basket.count, &basket), SABOT_OK);
    FILES->position(reader, 0, &position);
    assert_int_equal(position.offset, records * 10);
    basket_empty(&basket);
    FILES->reader_close(reader);
    FILES->close(channel);
    return position;
}

static void another_file_is_noticed_though_a_line_ends_there(void **state)
{
    static const uint32_t counts[] = {1, 30, 700};
    struct stage *stage = *state;

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        put_numbers(stage, 100, 800);
        const struct sb_reader_position position = read_some(stage, counts[i]);

        assert_int_equal(go_on(stage, &position), SABOT_OK);
        put_numbers(stage, 100, 900); /* it has grown, or was copied */
        assert_int_equal(go_on(stage, &position), SABOT_OK);
        put_numbers(stage, 99, 900);
        assert_int_equal(go_on(stage, &position), SABOT_ERR_NOT_FOUND);
        stage_assert_error(stage, "first bytes");
    }
}

static void a_change_just_before_the_position_is_noticed(void **state)
{
    struct stage *stage = *state;

    put_numbers(stage, 100, 800);
    const struct sb_reader_position position = read_some(stage, 700);

    put_numbers_but(stage, 100, 800, 6995);
    assert_int_equal(go_on(stage, &position), SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "bytes before the position");
    put_numbers_but(stage, 100, 800, 7001); /* behind it: it was not read yet */
    assert_int_equal(go_on(stage, &position), SABOT_OK);
}

static void reading_goes_on_at_a_position(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\nthree\n");
    channel = stage_channel(stage, (struct setup){.file = "in"});
    reader = stage_reader(stage, channel, 4);
    assert_int_equal(stage_position(reader), 4);
    assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_OK);
    assert_int_equal(basket.next_offset, 8);
    stage_assert_place(reader, 4, "/in: byte 4"); /* nobody has counted the lines before */
    FILES->reader_close(reader);

    reader = stage_reader(stage, channel, 8);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "4:two;8:three;");
    FILES->reader_close(reader);

    reader = stage_reader(stage, channel, 14);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    FILES->reader_close(reader);
    reader = stage_reader(stage, channel, SB_OFFSET_END);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    assert_int_equal(basket.count, 0);
    FILES->reader_close(reader);

    assert_int_equal(stage_try_reader(stage, channel, 15, &reader), SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "/in: there is no byte 15 to read on from, it has 14 bytes");
    assert_null(reader);
    assert_int_equal(stage_try_reader(stage, channel, 5, &reader), SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "/in: byte 5, to read on from, is in the middle of a line");
    assert_null(reader);
    FILES->close(channel);
}

static void a_reader_seeks_also_behind_the_end(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\nthree\nfour\n");
    for (uint64_t block = 1; block < 24; block++) {
        channel = stage_channel(stage, (struct setup){.file = "in", .block_size = block});
        reader = stage_reader(stage, channel, 8);
        assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_OK);
        for (int64_t offset = 4; offset >= 0; offset -= 4) {
            const struct sb_reader_position position = {.partition = 0, .offset = offset};

            assert_int_equal(FILES->seek(reader, &position, &stage->error), SABOT_OK);
            assert_int_equal(stage_position(reader), offset);
        }
        assert_int_equal(stage_poll(stage, reader, 1, &basket), SABOT_OK);
        stage_assert_place(reader, 0, "/in: line 1 (byte 0)");
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
        const struct sb_reader_position last = {.partition = 0, .offset = 14};
        assert_int_equal(FILES->seek(reader, &last, &stage->error), SABOT_OK);
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
        const struct sb_reader_position behind = {.partition = 0, .offset = 20};
        assert_int_equal(FILES->seek(reader, &behind, &stage->error), SABOT_ERR_NOT_FOUND);
        basket_assert(&basket, "8:three;0:one;4:two;8:three;14:four;14:four;");
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void a_reader_without_partitions_is_fine(void **state)
{
    struct stage *stage = *state;
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\n");
    channel = stage_channel(stage, (struct setup){.file = "in"});
    assert_int_equal(FILES->reader_open(channel, NULL, 0, stage->waker, &reader, &stage->error),
                     SABOT_OK);
    FILES->stop(reader);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void random_files_are_read_from_random_positions(void **state)
{
    struct stage *stage = *state;
    uint64_t seed = sb_random(&stage->env);

    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint32_t round = 0; round < 100; round++) {
        struct basket whole = {0};
        struct basket parts = {0};
        char bytes[400];
        size_t size;
        struct sb_channel *channel;
        struct sb_reader *reader;
        int64_t offset = SB_OFFSET_NONE;
        sabot_status status = SABOT_OK;

        seed = sb_hash_int64((int64_t)seed, round);
        size = seed % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = "abcdef\r\n\n "[sb_hash_int64((int64_t)i, seed) % 10];
        stage_put_bytes(stage, "in", "w", bytes, size);
        channel = stage_channel(stage, (struct setup){.file = "in"});
        reader = stage_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(stage_poll_all(stage, reader, &whole), SABOT_END);
        FILES->reader_close(reader);
        FILES->close(channel);

        const uint64_t block = 1 + (seed >> 16) % 40;
        channel = stage_channel(stage, (struct setup){.file = "in", .block_size = block});
        while (status == SABOT_OK) {
            reader = stage_reader(stage, channel, offset);
            for (uint64_t i = (seed >> 32) % 4; i < 4 && status == SABOT_OK; i++)
                status = stage_poll(stage, reader, 1 + (uint32_t)((seed >> 40) % 5), &parts);
            offset = stage_position(reader);
            FILES->reader_close(reader);
        }
        assert_int_equal(status, SABOT_END);
        FILES->close(channel);
        assert_string_equal(parts.text == NULL ? "" : parts.text,
                            whole.text == NULL ? "" : whole.text);
        basket_empty(&whole);
        basket_empty(&parts);
    }
}

/* --- Ends ------------------------------------------------------------------------------------- */

static void a_followed_file_waits_for_the_rest_of_the_line(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntw");
    channel = stage_channel(stage, (struct setup){.file = "in", .parameters = "?follow=true"});
    assert_false(FILES->finite(channel));
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    basket_assert(&basket, "0:one;");
    assert_int_equal(FILES->poll(reader, 0, 10, basket_collect, &basket, NULL), SABOT_AGAIN);
    assert_int_equal(stage_position(reader), 4);
    stage_append(stage, "in", "o\nthree\n");
    while (basket.count < 2)
        assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    basket_assert(&basket, "4:two;8:three;");
    stage_append(stage, "in", "four\n");
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    stage_assert_place(reader, 14, "/in: line 4 (byte 14)");
    basket_assert(&basket, "14:four;");

    /* Its lag is known when the end was seen; nobody tells when that is. */
    while (FILES->lag(reader, 0) != 0)
        assert_int_equal(FILES->poll(reader, 0, 10, basket_collect, &basket, NULL), SABOT_AGAIN);
    FILES->stop(reader);
    assert_int_equal(FILES->poll(reader, 0, 10, basket_collect, &basket, NULL), SABOT_END);
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void the_latest_of_a_followed_file_is_the_line_being_written(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    static const char *const texts[] = {"one\ntwo\nthr", "one\ntwo\n", "thr", ""};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sb_channel *channel;
        struct sb_reader *reader;
        char expected[64];

        stage_put(stage, "in", texts[i]);
        channel = stage_channel(
            stage, (struct setup){.file = "in", .parameters = "?follow=true", .start = "latest"});
        reader = stage_reader(stage, channel, SB_OFFSET_NONE);
        stage_append(stage, "in", "ee\n");
        assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
        (void)snprintf(expected, sizeof expected, "%d:%s;", i < 2 ? 8 : 0,
                       i % 2 == 0 ? "three" : "ee");
        basket_assert(&basket, expected);
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void a_followed_file_that_is_cut_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\n");
    channel = stage_channel(stage, (struct setup){.file = "in", .parameters = "?follow=true"});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_OK);
    assert_int_equal(truncate(stage_path(stage, "in"), 4), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stage_poll(stage, reader, 10, &basket), SABOT_ERR_IO);
        stage_assert_error(stage, "/in: was cut from 8 to 4 bytes while it was followed");
    }
    basket_assert(&basket, "0:one;4:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_file_that_is_cut_while_it_is_read_is_an_error(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntwo\nthree\n");
    /* The driver reads ahead no more than four bytes. */
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 1});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(truncate(stage_path(stage, "in"), 6), 0);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_IO);
    stage_assert_error(stage, "/in: was cut from 14 to 6 bytes while it was read");
    basket_assert(&basket, "0:one;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void until_end_is_the_end_when_it_was_prepared(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};

    for (int follow = 0; follow < 2; follow++) {
        struct sb_channel *channel;
        struct sb_reader *reader;

        stage_put(stage, "in", "one\ntwo\n");
        channel = stage_channel(stage, (struct setup){.file = "in",
                                                      .parameters = follow ? "?follow=true" : "",
                                                      .until_end = true});
        assert_true(FILES->finite(channel));
        stage_append(stage, "in", "three\n");
        reader = stage_reader(stage, channel, SB_OFFSET_NONE);
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
        basket_assert(&basket, "0:one;4:two;");
        assert_int_equal(stage_position(reader), 8);
        assert_int_equal(FILES->lag(reader, 0), 0);
        FILES->reader_close(reader);
        FILES->close(channel);
    }
}

static void until_end_takes_a_line_that_was_begun_as_a_whole(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\ntw");
    channel = stage_channel(stage, (struct setup){.file = "in", .until_end = true});
    stage_append(stage, "in", "o\nthree\n");
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_END);
    basket_assert(&basket, "0:one;4:two;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

/* --- Failures --------------------------------------------------------------------------------- */

static _Atomic int reads_left;

/* Like a disk that is about to break. */
static sabot_status failing_read(struct sb_file *file,
                                 void *buffer,
                                 size_t size,
                                 int64_t offset,
                                 size_t *size_out,
                                 sabot_error *error)
{
    (void)file;
    (void)offset;
    *size_out = 0;
    if (reads_left-- <= 0)
        return sabot_raise(error, SABOT_ERR_IO, "in: Input/output error");
    memset(buffer, '\n', size);
    memset(buffer, 'x', size - 1);
    *size_out = size;
    return SABOT_OK;
}

static void a_disk_that_breaks_is_said_by_every_poll(void **state)
{
    struct stage *stage = *state;
    struct basket basket = {0};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "");
    stage->type.file_read = failing_read;
    reads_left = 3;
    channel = stage_channel(stage, (struct setup){.file = "in", .block_size = 4});
    reader = stage_reader(stage, channel, SB_OFFSET_NONE);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(stage_poll_all(stage, reader, &basket), SABOT_ERR_IO);
        stage_assert_error(stage, "in: Input/output error");
        assert_int_equal(stage_position(reader), 12);
    }
    basket_assert(&basket, "0:xxx;4:xxx;8:xxx;");
    FILES->reader_close(reader);
    FILES->close(channel);
}

static void a_file_has_one_partition(void **state)
{
    struct stage *stage = *state;
    const struct sb_reader_position position = {.partition = 1, .offset = SB_OFFSET_NONE};
    struct sb_channel *channel;
    struct sb_reader *reader;

    stage_put(stage, "in", "one\n");
    channel = stage_channel(stage, (struct setup){.file = "in"});
    assert_int_equal(
        FILES->reader_open(channel, &position, 1, stage->waker, &reader, &stage->error),
        SABOT_ERR_NOT_FOUND);
    stage_assert_error(stage, "/in: has no partition 1");
    assert_null(reader);
    FILES->close(channel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_make, stage_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_line_is_a_record_at_its_byte),
        TEST(a_last_line_without_newline_counts),
        TEST(blank_lines_are_skipped_and_a_cr_is_cut),
        TEST(bytes_that_are_no_text_pass_unchanged),
        TEST(a_line_is_whole_wherever_the_blocks_end),
        TEST(records_carry_the_time_of_reading),
        TEST(the_callback_says_how_far_poll_goes),
        TEST(a_record_over_the_limit_is_an_error_and_can_be_passed),
        TEST(records_before_one_over_the_limit_come_first),
        TEST(ten_megabytes_are_skipped_in_little_memory),
        TEST(many_blank_lines_are_no_long_step),
        TEST(a_place_is_file_line_and_byte),
        TEST(a_place_in_a_long_path_keeps_its_end),
        TEST(another_file_is_noticed_though_a_line_ends_there),
        TEST(a_change_just_before_the_position_is_noticed),
        TEST(reading_goes_on_at_a_position),
        TEST(a_reader_seeks_also_behind_the_end),
        TEST(a_reader_without_partitions_is_fine),
        TEST(random_files_are_read_from_random_positions),
        TEST(a_followed_file_waits_for_the_rest_of_the_line),
        TEST(the_latest_of_a_followed_file_is_the_line_being_written),
        TEST(a_followed_file_that_is_cut_is_an_error),
        TEST(a_file_that_is_cut_while_it_is_read_is_an_error),
        TEST(until_end_is_the_end_when_it_was_prepared),
        TEST(until_end_takes_a_line_that_was_begun_as_a_whole),
        TEST(a_disk_that_breaks_is_said_by_every_poll),
        TEST(a_file_has_one_partition),
    };

    return cmocka_run_group_tests_name("channel_file_read", tests, NULL, NULL);
}
