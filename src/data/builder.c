/* SPDX-License-Identifier: Apache-2.0 */
/* builder.c - rows into columns.
 *
 * The hottest code of this folder: a decoder calls begin and commit millions of times a second. So
 * nothing is done per row that can be done per batch: validity is cleared when a batch is taken,
 * nulls are counted and the largest event time is found when it is sealed, and a row that is open
 * needs no marks, because
 *
 *   1. every bit of validity at or behind `rows` is 0, but for the row that is open;
 *   2. offsets[rows] of a text column is where the open row's text starts, and offsets[rows + 1] is
 *      where it ends, once it is set; commit sees to one that is missing.
 *
 * So dropping a row is clearing its bits, and a text set again starts where the first did. Threads:
 * the builder's owner. Memory: the batch's; text columns grow by doubling. */
#include "data/batch.h"

#include "data/pool.h"

sabot_status sb_builder_init(struct sb_builder *builder, struct sb_batch_pool *pool)
{
    *builder = (struct sb_builder){.pool = pool};
    return SABOT_OK;
}

void sb_builder_reset(struct sb_builder *builder)
{
    sb_batch_unref(builder->batch);
    builder->batch = NULL;
}

sabot_status sb_builder_take(struct sb_builder *builder)
{
    SB_ASSERT(builder->batch == NULL);
    builder->batch = sb_batch_pool_take(builder->pool);
    return builder->batch == NULL ? SABOT_ERR_MEMORY : SABOT_OK;
}

/* --- Fields ----------------------------------------------------------------------------------- */

void sb_builder_null(struct sb_builder *builder, uint32_t field)
{
    sb_column_clear(&builder->batch->columns[field], builder->batch->rows);
}

uint8_t *sb_builder_text_grow(struct sb_builder *builder, uint32_t field, size_t size)
{
    const struct sb_env *env = builder->pool->env;
    struct sb_column *column = &builder->batch->columns[field];
    /* What the open row held in this field is replaced, so only the rows before it are kept. */
    const size_t kept = (size_t)column->offsets[builder->batch->rows];
    const size_t capacity_max = (size_t)SB_BATCH_TEXT_MAX + SB_BATCH_SLACK;
    size_t capacity = column->values_capacity;
    uint8_t *values;

    if (size > SB_BATCH_TEXT_MAX - kept)
        return NULL;
    while (capacity < kept + size + SB_BATCH_SLACK)
        capacity *= 2;
    if (capacity > capacity_max)
        capacity = capacity_max;
    /* Not sb_alloc: megabytes that are about to be written need no zeroes. */
    values = env->type->allocate(env->self, capacity, SB_CACHE_LINE);
    if (values == NULL)
        return NULL;
    memcpy(values, column->values, kept);
    sb_free(env, column->values, column->values_capacity);
    column->values = values;
    column->values_capacity = capacity;
    return values + kept;
}

sabot_status sb_builder_text(struct sb_builder *builder,
                             uint32_t field,
                             const void *bytes,
                             size_t size)
{
    const struct sb_column *column = &builder->batch->columns[field];
    uint8_t *room = sb_builder_text_room(builder, field, size);

    if (room == NULL)
        return size > SB_BATCH_TEXT_MAX - (size_t)column->offsets[builder->batch->rows]
                   ? SABOT_ERR_LIMIT
                   : SABOT_ERR_MEMORY;
    if (size > 0)
        memcpy(room, bytes, size);
    sb_builder_text_done(builder, field, size);
    return SABOT_OK;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static void write_zero(struct sb_builder *builder, uint32_t field)
{
    struct sb_column *column = &builder->batch->columns[field];
    const uint32_t row = builder->batch->rows;
    uint8_t *bits = column->values;

    switch (column->type) {
    case SABOT_BOOL: bits[row >> 3] = (uint8_t)(bits[row >> 3] & ~(1u << (row & 7))); break;
    case SABOT_INT32: ((int32_t *)column->values)[row] = 0; break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
    case SABOT_FLOAT64: ((int64_t *)column->values)[row] = 0; break;
    case SABOT_UTF8:
    case SABOT_BINARY: column->offsets[row + 1] = column->offsets[row]; break;
    case SABOT_CHARS: break;
    }
}

/* An optional field that is missing: its default, or a null whose value is zero, so that readers
 * need no branch. */
static sabot_status fill_missing(struct sb_builder *builder, uint32_t field)
{
    const struct sb_schema_field *of = &builder->batch->schema->fields[field];

    if (!of->has_default) {
        write_zero(builder, field);
        return SABOT_OK;
    }
    switch (of->type) {
    case SABOT_BOOL: sb_builder_bool(builder, field, of->default_int != 0); break;
    case SABOT_INT32: sb_builder_int32(builder, field, (int32_t)of->default_int); break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: sb_builder_int64(builder, field, of->default_int); break;
    case SABOT_FLOAT64: sb_builder_float64(builder, field, of->default_float); break;
    case SABOT_UTF8:
    case SABOT_BINARY:
        return sb_builder_text(builder, field, of->default_text.data, of->default_text.size);
    case SABOT_CHARS: break;
    }
    return SABOT_OK;
}

/* Is every field of the open row there? The bitmaps lie one behind the other. */
static bool row_is_whole(const struct sb_batch *batch, size_t stride)
{
    const uint8_t *byte = batch->columns[0].validity + (batch->rows >> 3);
    const uint32_t field_count = batch->schema->field_count;
    unsigned all = 0xff;

    for (uint32_t i = 0; i < field_count; i++, byte += stride)
        all &= *byte;
    return (all >> (batch->rows & 7)) & 1;
}

/* Find the first required field that is missing, or complete the optional ones. */
static sabot_status complete_row(struct sb_builder *builder, uint32_t *missing_out)
{
    const struct sb_schema *schema = builder->batch->schema;
    const struct sb_column *columns = builder->batch->columns;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (sb_column_has(&columns[i], builder->batch->rows))
            continue;
        if (schema->fields[i].required) {
            *missing_out = i;
            return SABOT_ERR_SCHEMA;
        }
        SABOT_TRY(fill_missing(builder, i));
    }
    return SABOT_OK;
}

static void append_row(struct sb_builder *builder, int64_t event_time_ms, uint32_t offset_delta)
{
    struct sb_batch *batch = builder->batch;
    const uint32_t row = batch->rows;

    batch->event_times[row] = event_time_ms;
    batch->offset_deltas[row] = offset_delta;
    batch->rows = row + 1;
}

/* Batches without deletes, nearly all, leave the bits alone: the first delete clears them. */
void sb_builder_commit_delete(struct sb_builder *builder,
                              int64_t event_time_ms,
                              uint32_t offset_delta)
{
    struct sb_batch *batch = builder->batch;
    const uint32_t row = batch->rows;

    for (uint32_t i = 0; i < batch->schema->field_count; i++) {
        if (!sb_column_has(&batch->columns[i], row))
            write_zero(builder, i);
    }
    if (batch->delete_count++ == 0)
        memset(batch->deletes, 0, builder->pool->bitmap_size);
    batch->deletes[row >> 3] = (uint8_t)(batch->deletes[row >> 3] | (1u << (row & 7)));
    append_row(builder, event_time_ms, offset_delta);
}

sabot_status sb_builder_commit(struct sb_builder *builder,
                               int64_t event_time_ms,
                               uint32_t offset_delta,
                               uint32_t *missing_out)
{
    if (!row_is_whole(builder->batch, builder->pool->bitmap_size)) {
        const sabot_status status = complete_row(builder, missing_out);

        if (status != SABOT_OK) {
            sb_builder_drop(builder);
            return status;
        }
    }
    append_row(builder, event_time_ms, offset_delta);
    return SABOT_OK;
}

void sb_builder_drop(struct sb_builder *builder)
{
    struct sb_batch *batch = builder->batch;

    if (batch == NULL || batch->rows == batch->rows_max)
        return;
    for (uint32_t i = 0; i < batch->schema->field_count; i++)
        sb_builder_null(builder, i);
}

/* Clear the bits from `first` up to `end`. */
static void clear_bits(uint8_t *bits, uint32_t first, uint32_t end)
{
    for (; first < end && (first & 7) != 0; first++)
        bits[first >> 3] = (uint8_t)(bits[first >> 3] & ~(1u << (first & 7)));
    if (first < end)
        memset(bits + (first >> 3), 0, ((size_t)end + 7) / 8 - (first >> 3));
}

void sb_builder_truncate(struct sb_builder *builder, uint32_t rows)
{
    struct sb_batch *batch = builder->batch;

    if (batch == NULL) {
        SB_ASSERT(rows == 0);
        return;
    }
    SB_ASSERT(rows <= batch->rows);
    sb_builder_drop(builder);
    for (uint32_t i = 0; i < batch->schema->field_count; i++)
        clear_bits(batch->columns[i].validity, rows, batch->rows);
    for (uint32_t row = rows; row < batch->rows; row++)
        batch->delete_count -= sb_batch_deletes(batch, row);
    if (batch->delete_count > 0)
        clear_bits(batch->deletes, rows, batch->rows);
    batch->rows = rows;
}

/* --- A struct as a row ------------------------------------------------------------------------ */

static sabot_status set_text(struct sb_builder *builder,
                             uint32_t field,
                             const sabot_text *text,
                             sabot_error *error)
{
    const struct sb_schema *schema = builder->batch->schema;
    const struct sb_schema_field *of = &schema->fields[field];
    sabot_status status;

    if (text->data == NULL && text->size > 0)
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "record of %s: %s has %zu bytes, but its data is NULL", schema->name,
                           of->path, text->size);
    if (text->data == NULL && of->required)
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "record of %s: %s is required, but its data is NULL", schema->name,
                           of->path);
    if (text->data == NULL)
        return SABOT_OK;
    if (of->type == SABOT_UTF8 && !sb_utf8_valid(text->data, text->size))
        return sabot_raise(error, SABOT_ERR_SCHEMA, "record of %s: %s (%zu bytes) is not UTF-8",
                           schema->name, of->path, text->size);
    status = sb_builder_text(builder, field, text->data, text->size);
    if (status == SABOT_ERR_LIMIT)
        return sabot_raise(
            error, status,
            "record of %s: %s has %zu bytes; the texts of a batch may have %d together",
            schema->name, of->path, text->size, SB_BATCH_TEXT_MAX);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "record of %s: no memory for %s (%zu bytes)",
                           schema->name, of->path, text->size);
    return SABOT_OK;
}

static sabot_status set_member(struct sb_builder *builder,
                               uint32_t field,
                               const void *record,
                               sabot_error *error)
{
    const struct sb_schema_field *of = &builder->batch->schema->fields[field];
    const uint8_t *member = (const uint8_t *)record + of->offset;
    sabot_text text;
    int64_t long_value;
    int32_t int_value;
    double float_value;

    switch (of->type) {
    case SABOT_BOOL:
        /* As a byte: what is neither 0 nor 1 is no bool to the compiler. */
        sb_builder_bool(builder, field, *member != 0);
        break;
    case SABOT_INT32:
        memcpy(&int_value, member, sizeof int_value);
        sb_builder_int32(builder, field, int_value);
        break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
        memcpy(&long_value, member, sizeof long_value);
        sb_builder_int64(builder, field, long_value);
        break;
    case SABOT_FLOAT64:
        memcpy(&float_value, member, sizeof float_value);
        sb_builder_float64(builder, field, float_value);
        break;
    case SABOT_UTF8:
    case SABOT_BINARY:
        memcpy(&text, member, sizeof text);
        return set_text(builder, field, &text, error);
    case SABOT_CHARS: break;
    }
    return SABOT_OK;
}

sabot_status sb_builder_record(struct sb_builder *builder,
                               const void *record,
                               int64_t event_time_ms,
                               sabot_error *error)
{
    const struct sb_schema *schema = builder->pool->schema;
    sabot_status status = sb_builder_begin(builder);
    uint32_t missing = 0;

    if (status != SABOT_OK)
        return sabot_raise(error, status, "record of %s: no memory for a batch", schema->name);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        status = set_member(builder, i, record, error);
        if (status != SABOT_OK) {
            sb_builder_drop(builder);
            return status;
        }
    }
    status = sb_builder_commit(builder, event_time_ms, builder->batch->rows, &missing);
    SB_ASSERT(status != SABOT_ERR_SCHEMA); /* a missing text was refused above */
    if (status != SABOT_OK)
        return sabot_raise(error, status, "record of %s: no room for its defaults", schema->name);
    return SABOT_OK;
}

/* --- A row of another batch as a row ---------------------------------------------------------- */

static sabot_status copy_field(struct sb_builder *builder,
                               const struct sb_batch *from,
                               uint32_t field,
                               uint32_t row)
{
    sabot_text text;

    switch (from->columns[field].type) {
    case SABOT_BOOL: sb_builder_bool(builder, field, sb_batch_bool(from, field, row)); break;
    case SABOT_INT32: sb_builder_int32(builder, field, sb_batch_int32(from, field, row)); break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: sb_builder_int64(builder, field, sb_batch_int64(from, field, row)); break;
    case SABOT_FLOAT64:
        sb_builder_float64(builder, field, sb_batch_float64(from, field, row));
        break;
    case SABOT_UTF8:
    case SABOT_BINARY:
        text = sb_batch_text(from, field, row);
        return sb_builder_text(builder, field, text.data, text.size);
    case SABOT_CHARS: break;
    }
    return SABOT_OK;
}

sabot_status sb_builder_copy(struct sb_builder *builder,
                             const struct sb_batch *from,
                             uint32_t row,
                             sabot_error *error)
{
    const struct sb_schema *schema = builder->pool->schema;

    SB_ASSERT(schema->field_count == from->schema->field_count);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        sabot_status status;

        SB_ASSERT(schema->fields[i].type == from->columns[i].type);
        if (!sb_column_has(&from->columns[i], row))
            continue;
        status = copy_field(builder, from, i, row);
        if (status != SABOT_OK) {
            sb_builder_drop(builder);
            return sabot_raise(error, status, "record of %s: no room for %s", schema->name,
                               schema->fields[i].path);
        }
    }
    return SABOT_OK;
}

/* --- Sealing ---------------------------------------------------------------------------------- */

static uint32_t count_bits(const uint8_t *bits, uint32_t rows)
{
    uint32_t count = 0;

    /* The bitmap is padded to 64 bytes, and its bits behind the rows are 0. */
    for (uint32_t i = 0; i < rows; i += 64) {
        uint64_t word;

        memcpy(&word, bits + i / 8, sizeof word);
        count += (uint32_t)__builtin_popcountll(word);
    }
    return count;
}

static int64_t largest(const int64_t *times, uint32_t rows)
{
    int64_t max = INT64_MIN;

    for (uint32_t i = 0; i < rows; i++)
        max = times[i] > max ? times[i] : max;
    return max;
}

sabot_status sb_builder_seal(struct sb_builder *builder,
                             const struct sb_batch_origin *origin,
                             struct sb_batch **batch_out)
{
    struct sb_batch *batch = builder->batch;

    *batch_out = NULL;
    sb_builder_drop(builder); /* a row begun and not committed is no row */
    if (batch == NULL || batch->rows == 0)
        return SABOT_ERR_EMPTY;
    for (uint32_t i = 0; i < batch->schema->field_count; i++) {
        struct sb_column *column = &batch->columns[i];

        column->null_count = batch->rows - count_bits(column->validity, batch->rows);
        SB_ASSERT(column->null_count <= batch->rows);
    }
    batch->event_time_max = largest(batch->event_times, batch->rows);
    batch->origin = *origin;
    builder->batch = NULL;
    *batch_out = batch;
    return SABOT_OK;
}
