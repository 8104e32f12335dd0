/* SPDX-License-Identifier: Apache-2.0 */
/* key.c - keys of rows, as bytes, as text, and as hashes.
 *
 * On the path of a batch at the keyed exchange: one call of sb_key_hashes, branching on the type
 * once. The hash of a row is always that of the bytes sb_key_of gives, so that state finds what the
 * exchange sent. Threads: stateless. Memory: the batch's and the caller's scratch. */
#include "data/key.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/hash.h"

/* Big-endian, the sign bit flipped: byte order is number order. */
static void put_ordered(uint8_t *out, int64_t value)
{
    uint64_t ordered = (uint64_t)value ^ UINT64_C(0x8000000000000000);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    ordered = __builtin_bswap64(ordered);
#endif
    memcpy(out, &ordered, sizeof ordered);
}

static int64_t integer_of(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    if (batch->columns[field].type == SABOT_INT32)
        return sb_batch_int32(batch, field, row);
    return sb_batch_int64(batch, field, row);
}

sabot_text sb_key_of(const struct sb_batch *batch,
                     uint32_t field,
                     uint32_t row,
                     uint8_t scratch[SB_KEY_SCRATCH])
{
    const struct sb_column *column = &batch->columns[field];
    const char *bytes = (const char *)scratch;

    if (!sb_column_has(column, row))
        return (sabot_text){bytes, 0};
    switch (column->type) {
    case SABOT_UTF8:
    case SABOT_BINARY: return sb_batch_text(batch, field, row);
    case SABOT_BOOL: scratch[0] = sb_batch_bool(batch, field, row); return (sabot_text){bytes, 1};
    case SABOT_INT32:
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
        put_ordered(scratch, integer_of(batch, field, row));
        return (sabot_text){bytes, 8};
    case SABOT_FLOAT64:
    case SABOT_CHARS: break;
    }
    SB_ASSERT(column->type == SABOT_UTF8); /* no key: refused when the pipeline was built */
    return (sabot_text){bytes, 0};
}

sabot_text sb_key_text(const struct sb_batch *batch,
                       uint32_t field,
                       uint32_t row,
                       char scratch[SB_KEY_SCRATCH])
{
    const struct sb_column *column = &batch->columns[field];

    SB_ASSERT(column->type != SABOT_FLOAT64);
    if (!sb_column_has(column, row))
        return (sabot_text){NULL, 0};
    if (column->type == SABOT_UTF8 || column->type == SABOT_BINARY)
        return sb_batch_text(batch, field, row);
    if (column->type == SABOT_BOOL)
        return sabot_text_of(sb_batch_bool(batch, field, row) ? "true" : "false");
    const int length = snprintf(scratch, SB_KEY_SCRATCH, "%" PRId64, integer_of(batch, field, row));
    SB_ASSERT(length > 0);
    return (sabot_text){scratch, (size_t)length};
}

/* The rows of a text column: the hash of each run of bytes; a missing one has none. */
static void hash_texts(const struct sb_column *column,
                       uint32_t rows,
                       uint64_t seed,
                       uint64_t *hashes_out)
{
    const uint8_t *bytes = column->values;

    for (uint32_t row = 0; row < rows; row++) {
        const int32_t start = column->offsets[row];

        hashes_out[row] = sb_hash(bytes + start, (size_t)(column->offsets[row + 1] - start), seed);
    }
}

/* The rows of an integer column. */
static void hash_integers(const struct sb_batch *batch,
                          uint32_t field,
                          uint64_t seed,
                          uint64_t *hashes_out)
{
    const struct sb_column *column = &batch->columns[field];
    uint8_t bytes[8];

    for (uint32_t row = 0; row < batch->rows; row++) {
        put_ordered(bytes, integer_of(batch, field, row));
        hashes_out[row] = sb_hash(bytes, sb_column_has(column, row) ? sizeof bytes : 0, seed);
    }
}

void sb_key_hashes(const struct sb_batch *batch,
                   uint32_t field,
                   uint64_t seed,
                   uint64_t *hashes_out)
{
    const struct sb_column *column = &batch->columns[field];
    uint8_t flag;

    switch (column->type) {
    case SABOT_UTF8:
    case SABOT_BINARY: hash_texts(column, batch->rows, seed, hashes_out); return;
    case SABOT_INT32:
    case SABOT_INT64:
    case SABOT_TIMESTAMP: hash_integers(batch, field, seed, hashes_out); return;
    case SABOT_BOOL:
        for (uint32_t row = 0; row < batch->rows; row++) {
            flag = sb_batch_bool(batch, field, row);
            hashes_out[row] = sb_hash(&flag, sb_column_has(column, row), seed);
        }
        return;
    case SABOT_FLOAT64:
    case SABOT_CHARS: break;
    }
    SB_ASSERT(column->type == SABOT_UTF8); /* no key: refused when the pipeline was built */
}
