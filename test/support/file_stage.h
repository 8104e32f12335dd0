/* SPDX-License-Identifier: Apache-2.0 */
/* file_stage.h - what the tests of file channels share: a folder, channels on files in it, and a
 * basket for the records that come out. Every helper fails the test when it can't do its work. */
#ifndef SB_TEST_FILE_STAGE_H
#define SB_TEST_FILE_STAGE_H

#include "test.h"

#include "channel/channel.h"

#define FILES (&sb_channel_file)

enum {
    BLOCKS = 4, /* of a ring: buffer_bytes is that many times the size of a block */
    BUFFER = 256 * 1024,
    PATH_SIZE = 256,
    URL_SIZE = 320,
};

struct stage {
    struct sb_env *os;
    struct sb_env_type type;
    struct sb_env env; /* of `os`, but for memory, which is counted */
    struct sb_waker *waker;
    char folder[64];
    sabot_error error; /* of the last call */
};

int stage_make(void **state);
int stage_free(void **state);   /* fails when memory was lost */
size_t stage_memory_peak(void); /* bytes of channels, readers and writers since stage_make() */
void stage_wait(struct stage *stage); /* for the waker */

/* --- Files in the folder ---------------------------------------------------------------------- */

const char *stage_path(const struct stage *stage, const char *name); /* valid until the next call */
void stage_put(const struct stage *stage, const char *name, const char *text);
void stage_append(const struct stage *stage, const char *name, const char *text);
/* `mode` as of fopen(). */
void stage_put_bytes(const struct stage *stage,
                     const char *name,
                     const char *mode,
                     const char *bytes,
                     size_t size);
/* The whole file with a NUL behind it; the caller frees. */
char *stage_get(const struct stage *stage, const char *name, size_t *size_out);
void stage_assert_file(const struct stage *stage, const char *name, const char *text);
/* A named pipe, its other side open for reading and writing, so that no open waits. */
int stage_pipe(const struct stage *stage, const char *name);
void stage_send(int fd, const char *text);

/* --- Channels --------------------------------------------------------------------------------- */

struct setup {
    const char *file;       /* in the folder */
    const char *url;        /* or a whole URL */
    const char *parameters; /* "?follow=true" */
    const char *start;
    bool writing;
    bool append;
    bool until_end;
    uint64_t block_size; /* 0: as it comes */
    uint32_t record_max; /* 0: 1 MiB */
};

sabot_status stage_try_open(struct stage *stage, struct setup setup, struct sb_channel **channel);
/* Open it and prepare it; on an error nothing is left. */
sabot_status stage_try_prepare(struct stage *stage,
                               struct setup setup,
                               struct sb_channel **channel_out);
struct sb_channel *stage_channel(struct stage *stage, struct setup setup);
sabot_status stage_try_reader(struct stage *stage,
                              struct sb_channel *channel,
                              int64_t offset,
                              struct sb_reader **reader_out);
struct sb_reader *stage_reader(struct stage *stage, struct sb_channel *channel, int64_t offset);
struct sb_writer *stage_writer(struct stage *stage, struct sb_channel *channel);
int64_t stage_position(const struct sb_reader *reader);
sabot_status stage_write(struct stage *stage, struct sb_writer *writer, const char *text);
sabot_status stage_flush(struct stage *stage, struct sb_writer *writer);
void stage_assert_error(const struct stage *stage, const char *part);
/* The place of a record ends like this. */
void stage_assert_place(const struct sb_reader *reader, int64_t offset, const char *end);

/* --- Records ---------------------------------------------------------------------------------- */

/* What was shown, each record as "offset:value;". */
struct basket {
    char *text;
    size_t size;
    size_t capacity;
    uint32_t count;
    int64_t next_offset; /* these of the last record */
    int64_t timestamp_ms;
    int64_t arrival_us;
    sabot_status verdict; /* on the record number... */
    uint32_t verdict_at;  /* ...this, from 1; 0: none */
    uint32_t asked;       /* records shown, also those not taken */
    bool values_only;     /* each as "value\n" */
};

/* An sb_record_function; the context is a basket. */
sabot_status basket_collect(void *context, const struct sb_record *record);
void basket_empty(struct basket *basket);
void basket_assert(struct basket *basket, const char *text); /* and empty it */

/* Poll until it says something else than "not now"; or until it is not well any more. */
sabot_status stage_poll(struct stage *stage,
                        struct sb_reader *reader,
                        uint32_t records_max,
                        struct basket *basket);
sabot_status stage_poll_all(struct stage *stage, struct sb_reader *reader, struct basket *basket);
/* A file of `bytes` read to its end shows `expected`. */
void stage_assert_reads(struct stage *stage,
                        struct setup setup,
                        const char *bytes,
                        size_t size,
                        const char *expected);

#endif
