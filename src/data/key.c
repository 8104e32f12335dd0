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
        sb_put_ordered(scratch, integer_of(batch, field, row));
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

/* A whole decimal number, as sb_key_text writes it. */
static bool parse_integer(sabot_text text, int64_t *value_out)
{
    const bool negative = text.size > 0 && text.data[0] == '-';
    int64_t value = 0;

    if (text.size == (size_t)negative)
        return false;
    for (size_t i = negative; i < text.size; i++) {
        const int digit = text.data[i] - '0';

        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit, &value))
            return false; /* counted downwards: there is one more below zero */
    }
    *value_out = value;
    return negative || !__builtin_sub_overflow(0, value, value_out);
}

static sabot_status set_text(struct sb_builder *builder,
                             uint32_t field,
                             sabot_text text,
                             sabot_error *error)
{
    const struct sb_schema_field *of = &builder->batch->schema->fields[field];
    sabot_status status;

    if (of->type == SABOT_UTF8 && !sb_utf8_valid(text.data, text.size))
        return sabot_raise(error, SABOT_ERR_SCHEMA, "its key (%zu bytes), the %s, is not UTF-8",
                           text.size, of->path);
    status = text.size > SB_KEY_MAX ? SABOT_ERR_LIMIT
                                    : sb_builder_text(builder, field, text.data, text.size);
    if (status == SABOT_OK)
        return SABOT_OK;
    return sabot_raise(error, status, "its key, the %s, has %zu bytes: %s", of->path, text.size,
                       sabot_status_text(status));
}

sabot_status sb_key_set(struct sb_builder *builder,
                        uint32_t field,
                        sabot_text text,
                        sabot_error *error)
{
    const struct sb_schema_field *of = &builder->batch->schema->fields[field];
    int64_t value = 0;

    if (text.data == NULL)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "it has no key, which would be the %s",
                           of->path);
    if (of->type == SABOT_UTF8 || of->type == SABOT_BINARY)
        return set_text(builder, field, text, error);
    SB_ASSERT(of->type == SABOT_INT32 || of->type == SABOT_INT64 || of->type == SABOT_TIMESTAMP);
    if (!parse_integer(text, &value) ||
        (of->type == SABOT_INT32 && (value < INT32_MIN || value > INT32_MAX)))
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "its key of %zu bytes is no %s in decimal, as the %s would be",
                           text.size, sabot_type_name(of->type), of->path);
    if (of->type == SABOT_INT32)
        sb_builder_int32(builder, field, (int32_t)value);
    else
        sb_builder_int64(builder, field, value);
    return SABOT_OK;
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
        sb_put_ordered(bytes, integer_of(batch, field, row));
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
