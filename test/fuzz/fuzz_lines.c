/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_lines.c - any bytes as a file of records: each line comes once, in order, with its place,
 * and what is too long is refused and stepped over; reading goes on from every position.
 *
 * The first four bytes choose the size of a block, the longest record, how many records a poll
 * shows, and behind which record another reader takes over; the rest is the file. */
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "hand.h"

#include "channel/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES (&sb_channel_file)
static const char path[] = "/lines";

enum { HEAD = 4 };

struct lines {
    struct hand hand;
    const uint8_t *bytes;
    size_t size;
    uint32_t record_max;
    uint32_t poll_max;
    struct sb_channel *channel;
    struct sb_reader *reader;
    size_t at;       /* of the line that comes next, blank ones included */
    uint32_t shown;  /* records, and refusals */
    uint32_t polled; /* records of this poll */
};

/* The line at `at`: its bytes without the end, and where the next one begins. */
static sabot_text line_at(const struct lines *lines, size_t at, size_t *next_out)
{
    const uint8_t *from = lines->bytes + at;
    const uint8_t *newline = memchr(from, '\n', lines->size - at);
    size_t size = newline == NULL ? lines->size - at : (size_t)(newline - from);

    *next_out = at + size + (newline != NULL);
    if (size > 0 && from[size - 1] == '\r')
        size--;
    return (sabot_text){(const char *)from, size};
}

/* Step over blank lines. False: there is no line left. */
static bool find_line(struct lines *lines, sabot_text *line_out, size_t *next_out)
{
    while (lines->at < lines->size) {
        *line_out = line_at(lines, lines->at, next_out);
        if (line_out->size > lines->record_max)
            return true;
        for (size_t i = 0; i < line_out->size; i++) {
            if (strchr(" \t\r", line_out->data[i]) == NULL || line_out->data[i] == '\0')
                return true;
        }
        lines->at = *next_out;
    }
    return false;
}

static sabot_status take(void *context, const struct sb_record *record)
{
    struct lines *lines = context;
    sabot_text line;
    size_t next;
    char place[SB_PLACE_MAX];

    SB_ASSERT(find_line(lines, &line, &next));
    SB_ASSERT(record->offset == (int64_t)lines->at && record->next_offset == (int64_t)next);
    SB_ASSERT(record->value.size == line.size && line.size <= lines->record_max);
    SB_ASSERT(memcmp(record->value.data, line.data, line.size) == 0);
    FILES->place(lines->reader, 0, record->offset, place, sizeof place);
    SB_ASSERT(strncmp(place, "/lines: ", 8) == 0);
    lines->at = next;
    lines->shown++;
    lines->polled++;
    SB_ASSERT(lines->polled <= lines->poll_max);
    return SABOT_OK;
}

static void open_reader(struct lines *lines, const struct sb_reader_position *position)
{
    sabot_error error;

    if (FILES->reader_open(lines->channel, position, 1, NULL, &lines->reader, &error) != SABOT_OK)
        abort();
}

/* Another reader goes on from where this one stands; one that knows another file does not. */
static void take_over(struct lines *lines)
{
    struct sb_reader_position position;
    struct sb_reader *refused;
    sabot_error error;

    FILES->position(lines->reader, 0, &position);
    FILES->stop(lines->reader);
    FILES->reader_close(lines->reader);
    open_reader(lines, &position);
    if (position.offset == 0)
        return;
    position.opaque.bytes[0] ^= 1;
    SB_ASSERT(FILES->reader_open(lines->channel, &position, 1, NULL, &refused, &error) ==
              SABOT_ERR_NOT_FOUND);
}

static void read_all(struct lines *lines, uint32_t take_over_at)
{
    sabot_text line;
    size_t next;

    for (;;) {
        sabot_error error = {.status = SABOT_OK};
        sabot_status status;

        if (lines->shown >= take_over_at) {
            take_over(lines);
            take_over_at = UINT32_MAX;
        }
        lines->polled = 0;
        status = FILES->poll(lines->reader, 0, lines->poll_max, take, lines, &error);
        if (status == SABOT_AGAIN) {
            (void)hand_step(&lines->hand);
        } else if (status == SABOT_ERR_LIMIT) {
            SB_ASSERT(find_line(lines, &line, &next) && line.size > lines->record_max);
            lines->at = next;
            lines->shown++;
        } else if (status != SABOT_OK) {
            SB_ASSERT(status == SABOT_END);
            break;
        }
    }
    SB_ASSERT(!find_line(lines, &line, &next));
    SB_ASSERT(FILES->lag(lines->reader, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct disk disk;
    static struct sb_env *os;
    struct lines lines = {.reader = NULL};
    struct sb_channel_config config = {.name = "lines", .url = "file:/lines", .for_reading = true};
    const struct sb_reader_position begin = {.offset = SB_OFFSET_BEGIN};

    if (size < HEAD)
        return 0;
    if (os == NULL && sb_os_env_create(&os, NULL) != SABOT_OK)
        abort();
    if (disk.under == NULL)
        disk_make(&disk, os);
    disk_put(&disk, path, data + HEAD, size - HEAD);
    hand_make(&lines.hand, &disk.env);
    lines.bytes = data + HEAD;
    lines.size = size - HEAD;
    lines.record_max = 1U + data[1];
    lines.poll_max = 1U + data[2] % 7;
    config.buffer_bytes = 4 * (UINT64_C(1) + data[0] % 64);
    config.record_max = lines.record_max;
    if (FILES->open(&lines.hand.env, &config, NULL, &lines.channel, NULL) != SABOT_OK ||
        FILES->prepare(lines.channel, NULL) != SABOT_OK)
        abort();
    open_reader(&lines, &begin);
    read_all(&lines, data[3]);
    FILES->reader_close(lines.reader);
    FILES->close(lines.channel);
    return 0;
}
