/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - a run of records stored by column, in the layout of Arrow.
 *
 * A batch is the only thing that carries records between tasks. A builder fills one row by row;
 * sealing hands the columns over, and the batch never changes again. (Apache Arrow columnar
 * format 1.x: validity bitmaps are LSB first, utf8 and binary have int32 offsets, bool is a bitmap.
 * CHARS never occurs in a record.)
 *
 * A row is filled column by column and then committed; until then it can be dropped, so that a
 * record that turns out malformed in its last byte leaves no trace. Within a row, columns come in
 * any order and may be set again (the last wins).
 *
 * Ownership: batches are reference counted; the schema is borrowed and must outlive them. Buffers
 * come from the env; a builder takes spent buffers back from a pool, so that a running flow
 * allocates nothing. Threads: any thread may read a batch or drop a reference; a builder and its
 * pool's taking side belong to one. */
#ifndef SB_DATA_BATCH_H
#define SB_DATA_BATCH_H

#include <stdatomic.h>
#include <string.h>

#include "data/schema.h"

enum {
    SB_BATCH_ROWS = 1024, /* default rows of a batch */
    SB_BATCH_ROWS_MAX = 65536,
    SB_BATCH_TEXT_MAX = 64 * 1024 * 1024, /* bytes of one utf8/binary column of a batch */
    SB_BATCH_SLACK = 64, /* bytes behind a column's values, for decoders that over-copy */
};

struct sb_column {
    sabot_type type;
    uint32_t null_count;
    uint32_t member;   /* offset in the struct of the schema */
    uint8_t *validity; /* one bit a row, 1 = present; always there, padded to 64 bytes;
                        * the columns' bitmaps lie one behind the other */
    void *values; /* bool: bitmap; int32, int64, float64, timestamp: array; utf8, binary: bytes */
    int32_t *offsets;       /* utf8, binary: rows + 1 */
    size_t values_capacity; /* bytes owned; the last SB_BATCH_SLACK are never used */
};

/* What a batch keeps beside the fields. */
struct sb_batch_origin {
    int32_t partition;   /* of the channel it was read from; -1: made by an agent */
    int64_t base_offset; /* of the first row */
    int64_t next_offset; /* where reading goes on behind this batch */
    int64_t arrival_us;  /* when the oldest record arrived (or was due), monotonic clock */
    uint64_t bytes;      /* encoded bytes the batch was decoded from */
    uint32_t skipped;    /* records between base and next offset that were refused and skipped */
};

struct sb_batch {
    _Atomic uint32_t references;
    uint32_t rows;
    uint32_t rows_max;
    const struct sb_schema *schema;
    struct sb_batch_pool *pool;
    struct sb_batch_origin origin;
    int64_t event_time_max;    /* of the rows; INT64_MIN when empty */
    int64_t *event_times;      /* ms, one a row */
    uint32_t *offset_deltas;   /* offset of a row = base_offset + delta */
    struct sb_column *columns; /* one per field of the schema */
    uint32_t delete_count;     /* rows that delete their key; only tables see these (exchange.h) */
    uint8_t *deletes;          /* one bit a row; without a meaning when there are none */
};

/* --- Pool ------------------------------------------------------------------------------------- */

/* Spent batches of one schema, given back by whichever thread drops the last reference (a lock-free
 * stack; only the owner takes, so there is no ABA: Treiber 1986). The pool itself lives until its
 * owner has let go and the last batch is back. */
struct sb_batch_pool;
SABOT_MUST_CHECK sabot_status sb_batch_pool_create(const struct sb_env *env,
                                                   const struct sb_schema *schema,
                                                   uint32_t rows_max,
                                                   struct sb_batch_pool **pool_out,
                                                   sabot_error *error);
void sb_batch_pool_destroy(struct sb_batch_pool *pool);

struct sb_batch *sb_batch_ref(struct sb_batch *batch);
void sb_batch_unref(struct sb_batch *batch); /* NULL: nothing */
/* Bytes a batch stands for in a bounded queue: its columns' used bytes. */
uint64_t sb_batch_bytes(const struct sb_batch *batch);

/* --- Builder ---------------------------------------------------------------------------------- */

struct sb_builder {
    struct sb_batch_pool *pool;
    struct sb_batch *batch; /* being filled; NULL until the first row */
};

SABOT_MUST_CHECK sabot_status sb_builder_init(struct sb_builder *builder,
                                              struct sb_batch_pool *pool);
void sb_builder_reset(struct sb_builder *builder);

static inline uint32_t sb_builder_rows(const struct sb_builder *builder)
{
    return builder->batch == NULL ? 0 : builder->batch->rows;
}
static inline bool sb_builder_full(const struct sb_builder *builder)
{
    return builder->batch != NULL && builder->batch->rows == builder->batch->rows_max;
}

/* Begin a row: every column is missing (null). The row before was committed or dropped.
 * SABOT_ERR_MEMORY. The batch must not be full. */
SABOT_MUST_CHECK sabot_status sb_builder_take(struct sb_builder *builder); /* begin's slow path */
static inline SABOT_MUST_CHECK sabot_status sb_builder_begin(struct sb_builder *builder)
{
    if (__builtin_expect(builder->batch == NULL, 0))
        return sb_builder_take(builder);
    SB_ASSERT(builder->batch->rows < builder->batch->rows_max);
    return SABOT_OK;
}
/* Keep the row. Missing optional fields take their default here, or are null with the value zero;
 * *missing_out is the first required field that is missing, then SABOT_ERR_SCHEMA.
 * SABOT_ERR_MEMORY, SABOT_ERR_LIMIT: no room for a default. On an error the row is dropped. */
SABOT_MUST_CHECK sabot_status sb_builder_commit(struct sb_builder *builder,
                                                int64_t event_time_ms,
                                                uint32_t offset_delta,
                                                uint32_t *missing_out);
/* Keep the row as one that says: what was known of its key is deleted. The key is set; fields that
 * aren't are null with the value zero, required or not. */
void sb_builder_commit_delete(struct sb_builder *builder,
                              int64_t event_time_ms,
                              uint32_t offset_delta);
/* Drop the row begun; or all rows from `rows` on (emits of a record that failed). */
void sb_builder_drop(struct sb_builder *builder);
void sb_builder_truncate(struct sb_builder *builder, uint32_t rows);

/* Set a field of the row begun. The type must be that of the field (asserted once per batch by
 * callers). */
static inline void sb_column_mark(struct sb_column *column, uint32_t row)
{
    column->validity[row >> 3] = (uint8_t)(column->validity[row >> 3] | (1u << (row & 7)));
}
static inline bool sb_column_has(const struct sb_column *column, uint32_t row)
{
    return (column->validity[row >> 3] >> (row & 7)) & 1;
}
static inline void sb_column_clear(struct sb_column *column, uint32_t row)
{
    column->validity[row >> 3] = (uint8_t)(column->validity[row >> 3] & ~(1u << (row & 7)));
}
/* The open row's text has so many bytes, which lie where it starts. */
static inline void sb_column_text_done(struct sb_column *column, uint32_t row, size_t size)
{
    const size_t end = (size_t)column->offsets[row] + size;

    SB_ASSERT(end + SB_BATCH_SLACK <= column->values_capacity);
    column->offsets[row + 1] = (int32_t)end;
    sb_column_mark(column, row);
}
static inline void sb_builder_int64(struct sb_builder *builder, uint32_t field, int64_t value)
{
    struct sb_column *column = &builder->batch->columns[field];
    ((int64_t *)column->values)[builder->batch->rows] = value;
    sb_column_mark(column, builder->batch->rows);
}
static inline void sb_builder_int32(struct sb_builder *builder, uint32_t field, int32_t value)
{
    struct sb_column *column = &builder->batch->columns[field];
    ((int32_t *)column->values)[builder->batch->rows] = value;
    sb_column_mark(column, builder->batch->rows);
}
static inline void sb_builder_float64(struct sb_builder *builder, uint32_t field, double value)
{
    struct sb_column *column = &builder->batch->columns[field];
    ((double *)column->values)[builder->batch->rows] = value;
    sb_column_mark(column, builder->batch->rows);
}
static inline void sb_builder_bool(struct sb_builder *builder, uint32_t field, bool value)
{
    struct sb_column *column = &builder->batch->columns[field];
    const uint32_t row = builder->batch->rows;
    uint8_t *byte = (uint8_t *)column->values + (row >> 3);

    *byte = (uint8_t)((*byte & ~(1u << (row & 7))) | (unsigned)value << (row & 7));
    sb_column_mark(column, row);
}
void sb_builder_null(struct sb_builder *builder, uint32_t field);
/* Room for `size` bytes of a text, and for 64 more that may be written but don't count: where to
 * write them; NULL: no memory or over SB_BATCH_TEXT_MAX. Then sb_builder_text_done() with the bytes
 * written, which must not be more. A field set again replaces what it held. */
uint8_t *sb_builder_text_grow(struct sb_builder *builder,
                              uint32_t field,
                              size_t size); /* slow path */
static inline uint8_t *sb_builder_text_room(struct sb_builder *builder, uint32_t field, size_t size)
{
    struct sb_column *column = &builder->batch->columns[field];
    const size_t start = (size_t)column->offsets[builder->batch->rows];

    if (__builtin_expect(size > column->values_capacity - SB_BATCH_SLACK - start, 0))
        return sb_builder_text_grow(builder, field, size);
    return (uint8_t *)column->values + start;
}
static inline void sb_builder_text_done(struct sb_builder *builder, uint32_t field, size_t size)
{
    sb_column_text_done(&builder->batch->columns[field], builder->batch->rows, size);
}
/* The same with a copy. SABOT_ERR_MEMORY or SABOT_ERR_LIMIT. */
SABOT_MUST_CHECK sabot_status sb_builder_text(struct sb_builder *builder,
                                              uint32_t field,
                                              const void *bytes,
                                              size_t size);
/* A whole row from the struct of the schema. Texts are checked to be UTF-8. Begins and commits. */
SABOT_MUST_CHECK sabot_status sb_builder_record(struct sb_builder *builder,
                                                const void *record,
                                                int64_t event_time_ms,
                                                sabot_error *error);

/* A row of another batch, whose schema has the same fields (their names may differ), into the row
 * that was begun: a value that is missing there stays missing. */
SABOT_MUST_CHECK sabot_status sb_builder_copy(struct sb_builder *builder,
                                              const struct sb_batch *from,
                                              uint32_t row,
                                              sabot_error *error);

/* Hand the rows over as a batch with one reference; the builder is empty then. SABOT_ERR_EMPTY: no
 * rows. */
SABOT_MUST_CHECK sabot_status sb_builder_seal(struct sb_builder *builder,
                                              const struct sb_batch_origin *origin,
                                              struct sb_batch **batch_out);

/* --- Reading ---------------------------------------------------------------------------------- */

static inline int64_t sb_batch_int64(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    return ((const int64_t *)batch->columns[field].values)[row];
}
static inline int32_t sb_batch_int32(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    return ((const int32_t *)batch->columns[field].values)[row];
}
static inline double sb_batch_float64(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    return ((const double *)batch->columns[field].values)[row];
}
static inline bool sb_batch_bool(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    return (((const uint8_t *)batch->columns[field].values)[row >> 3] >> (row & 7)) & 1;
}
static inline sabot_text sb_batch_text(const struct sb_batch *batch, uint32_t field, uint32_t row)
{
    const struct sb_column *column = &batch->columns[field];
    const int32_t start = column->offsets[row];

    if (!sb_column_has(column, row))
        return (sabot_text){NULL, 0};
    return (sabot_text){(const char *)column->values + start,
                        (size_t)(column->offsets[row + 1] - start)};
}
/* Does the row delete its key? */
static inline bool sb_batch_deletes(const struct sb_batch *batch, uint32_t row)
{
    return batch->delete_count > 0 && ((batch->deletes[row >> 3] >> (row & 7)) & 1) != 0;
}
static inline int64_t sb_batch_offset(const struct sb_batch *batch, uint32_t row)
{
    return batch->origin.base_offset + batch->offset_deltas[row];
}

/* Fill the struct of the schema from a row. Texts point into the batch. What is missing reads as
 * zero, false, or a text with data == NULL. Members that the schema doesn't name are left alone. */
void sb_batch_record(const struct sb_batch *batch, uint32_t row, void *record_out);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sb_utf8_valid(const void *bytes, size_t size);

#endif
