/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - the key of a row, as bytes.
 *
 * A key field of any type but float64 becomes bytes: text and binary as they are; integers,
 * timestamps as 8 bytes big-endian with the sign bit flipped, so that byte order is number order;
 * bool as one byte. A missing key is the empty key. The same bytes name the key in state, in
 * snapshots and (as decimal text) on a Kafka topic.
 *
 * Threads: stateless. Memory: the bytes point into the batch or into `scratch`. */
#ifndef SB_DATA_KEY_H
#define SB_DATA_KEY_H

#include "data/batch.h"

enum { SB_KEY_SCRATCH = 32, SB_KEY_MAX = 64 * 1024 };

/* Big-endian, the sign bit flipped: byte order is number order. */
static inline void sb_put_ordered(uint8_t out[8], int64_t value)
{
    uint64_t ordered = (uint64_t)value ^ UINT64_C(0x8000000000000000);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    ordered = __builtin_bswap64(ordered);
#endif
    memcpy(out, &ordered, sizeof ordered);
}
static inline int64_t sb_get_ordered(const uint8_t bytes[8])
{
    uint64_t ordered;

    memcpy(&ordered, bytes, sizeof ordered);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    ordered = __builtin_bswap64(ordered);
#endif
    return (int64_t)(ordered ^ UINT64_C(0x8000000000000000));
}

/* The key of one row. */
sabot_text sb_key_of(const struct sb_batch *batch,
                     uint32_t field,
                     uint32_t row,
                     uint8_t scratch[SB_KEY_SCRATCH]);

/* The key as other Kafka clients would write it: text as it is, an integer in decimal. */
sabot_text sb_key_text(const struct sb_batch *batch,
                       uint32_t field,
                       uint32_t row,
                       char scratch[SB_KEY_SCRATCH]);

/* The other way: set the key of the row begun from such a text. SABOT_ERR_SCHEMA: there is none, or
 * it is none of this type; SABOT_ERR_LIMIT, SABOT_ERR_MEMORY. The row is still open then. */
SABOT_MUST_CHECK sabot_status sb_key_set(struct sb_builder *builder,
                                         uint32_t field,
                                         sabot_text text,
                                         sabot_error *error);

/* Hashes of the keys of all rows. */
void sb_key_hashes(const struct sb_batch *batch,
                   uint32_t field,
                   uint64_t seed,
                   uint64_t *hashes_out);

#endif
