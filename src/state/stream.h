/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - the bytes of a snapshot: numbers and runs of bytes in blocks that carry their
 * checksum.
 *
 *     block    size of the payload (u32, 1..65536) | sb_hash of the payload, seeded by its number
 *              (u64) | payload
 *     the end  a block of size 0
 *
 * Numbers are little-endian. A value may lie across blocks. A reader gives out no byte of a block
 * whose checksum it hasn't checked; so damage is SABOT_ERR_CORRUPT, whatever it hits.
 *
 * An error sticks: later calls do nothing and return it, so that callers may check once.
 * Threads: the caller's. Memory: one block. */
#ifndef SB_STATE_STREAM_H
#define SB_STATE_STREAM_H

#include "base/mem.h"
#include "state/store.h"

enum { SB_BLOCK_SIZE = 64 * 1024, SB_BLOCK_HEAD = 12 };

struct sb_out {
    const struct sb_env *env;
    const struct sb_byte_sink *sink;
    uint8_t *block; /* head and payload */
    uint32_t used;  /* of the payload */
    uint64_t number;
    sabot_status status;
    sabot_error *error;
};

SABOT_MUST_CHECK sabot_status sb_out_init(struct sb_out *out,
                                          const struct sb_env *env,
                                          const struct sb_byte_sink *sink,
                                          sabot_error *error);
/* Write what is left and the end; then free. Returns the first error. */
SABOT_MUST_CHECK sabot_status sb_out_finish(struct sb_out *out);

void sb_out_bytes(struct sb_out *out, const void *bytes, size_t size);
void sb_out_u8(struct sb_out *out, uint8_t value);
void sb_out_u16(struct sb_out *out, uint16_t value);
void sb_out_u32(struct sb_out *out, uint32_t value);
void sb_out_u64(struct sb_out *out, uint64_t value);
void sb_out_text(struct sb_out *out, const char *text); /* u16 size, bytes */

struct sb_in {
    const struct sb_env *env;
    const struct sb_byte_source *source;
    uint8_t *block;
    uint32_t size; /* of the payload */
    uint32_t used;
    uint64_t number;
    bool ended;
    sabot_status status;
    sabot_error *error;
};

SABOT_MUST_CHECK sabot_status sb_in_init(struct sb_in *in,
                                         const struct sb_env *env,
                                         const struct sb_byte_source *source,
                                         sabot_error *error);
void sb_in_reset(struct sb_in *in);

/* After an error numbers read as 0 and bytes as zeros. */
void sb_in_bytes(struct sb_in *in, void *bytes, size_t size);
uint8_t sb_in_u8(struct sb_in *in);
uint16_t sb_in_u16(struct sb_in *in);
uint32_t sb_in_u32(struct sb_in *in);
uint64_t sb_in_u64(struct sb_in *in);
/* A text of at most `size` - 1 bytes, NUL-terminated. */
void sb_in_text(struct sb_in *in, char *text, size_t size);
/* Nothing must follow. */
void sb_in_end(struct sb_in *in);
/* The stream says what it can't: sticks as SABOT_ERR_CORRUPT. */
void sb_in_damaged(struct sb_in *in, const char *what);

/* --- Streams in memory ---------------------------------------------------------------------------
 */

/* The write of a sink whose context is a struct sb_buffer: appends. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_buffer_take(void *context,
                                             const void *bytes,
                                             size_t size,
                                             sabot_error *error);

/* A buffer that is read from its beginning. */
struct sb_buffer_reader {
    const struct sb_buffer *buffer;
    size_t at; /* read so far */
};
/* The read of a source whose context is a struct sb_buffer_reader. */
SABOT_MUST_CHECK sabot_status
sb_buffer_give(void *context, void *bytes, size_t size, size_t *size_out, sabot_error *error);

#endif
