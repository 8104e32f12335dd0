/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c - batches, their pool, and reading a row as a struct.
 *
 * A batch is one block of memory, laid out once by layout(): head, columns, event times, offset
 * deltas, bits of deletes, then per column its validity, values and offsets, each at a cache line.
 * Only the bytes of texts are blocks of their own, because they grow.
 *
 *   owner:  take --> builder --> seal --> ... any thread: last unref --> stack `spent`
 *             ^                                                             |
 *             +---------- list `spare` <--- the whole stack at once --------+
 *
 * Invariants: a batch that is taken has no validity bit set, and text columns of size 0.
 * `users` counts batches out and the owner; who lets go last frees the pool. Text columns always
 * own at least the slack, so that an empty text has an address.
 *
 * Threads: taking is the owner's; unref is anybody's. The owner takes the stack as a whole by one
 * exchange, so a node can't come back between a read and a compare: no ABA. Memory: batches stay
 * with the pool until it goes. */
#include "data/batch.h"

#include "data/pool.h"

static bool is_text(sabot_type type)
{
    return type == SABOT_UTF8 || type == SABOT_BINARY;
}

/* Bytes of one value in a column; 0: bits or texts. */
static size_t value_size(sabot_type type)
{
    switch (type) {
    case SABOT_INT32: return sizeof(int32_t);
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
    case SABOT_FLOAT64: return sizeof(int64_t);
    case SABOT_BOOL:
    case SABOT_UTF8:
    case SABOT_BINARY:
    case SABOT_CHARS: break;
    }
    return 0;
}

static size_t round_up(size_t size)
{
    return (size + SB_CACHE_LINE - 1) / SB_CACHE_LINE * SB_CACHE_LINE;
}

/* --- Layout ----------------------------------------------------------------------------------- */

/* Hands out the parts of a block one after the other; without a block it only measures. */
struct carver {
    uint8_t *block;
    size_t used;
};

static void *carve(struct carver *carver, size_t size)
{
    void *part = carver->block == NULL ? NULL : carver->block + carver->used;

    carver->used += round_up(size);
    return part;
}

static void layout_values(const struct sb_batch_pool *pool,
                          struct carver *carver,
                          struct sb_column *column)
{
    const uint32_t rows_max = pool->rows_max;

    if (is_text(column->type)) {
        column->offsets = carve(carver, ((size_t)rows_max + 1) * sizeof(int32_t));
        return;
    }
    column->values_capacity =
        column->type == SABOT_BOOL ? pool->bitmap_size : rows_max * value_size(column->type);
    column->values_capacity += SB_BATCH_SLACK;
    column->values = carve(carver, column->values_capacity);
}

/* The size of a batch's block; with `block`, which is zeroed, also its parts. */
static size_t layout(const struct sb_batch_pool *pool, void *block)
{
    const struct sb_schema *schema = pool->schema;
    struct carver carver = {.block = block};
    struct sb_pooled_batch *pooled = carve(&carver, sizeof *pooled);
    struct sb_column *columns = carve(&carver, schema->field_count * sizeof *columns);
    int64_t *event_times = carve(&carver, pool->rows_max * sizeof *event_times);
    uint32_t *offset_deltas = carve(&carver, pool->rows_max * sizeof *offset_deltas);
    uint8_t *deletes = carve(&carver, pool->bitmap_size);
    uint8_t *bitmaps = carve(&carver, schema->field_count * pool->bitmap_size);

    for (uint32_t i = 0; i < schema->field_count; i++) {
        struct sb_column column = {.type = schema->fields[i].type,
                                   .member = schema->fields[i].offset};

        layout_values(pool, &carver, &column);
        if (pooled == NULL)
            continue;
        column.validity = bitmaps + i * pool->bitmap_size;
        columns[i] = column;
    }
    if (pooled != NULL) {
        pooled->batch.rows_max = pool->rows_max;
        pooled->batch.schema = schema;
        pooled->batch.columns = columns;
        pooled->batch.event_times = event_times;
        pooled->batch.offset_deltas = offset_deltas;
        pooled->batch.deletes = deletes;
    }
    return carver.used;
}

/* --- Making and freeing ----------------------------------------------------------------------- */

static void batch_free(struct sb_batch_pool *pool, struct sb_pooled_batch *pooled)
{
    for (uint32_t i = 0; i < pool->text_count; i++) {
        struct sb_column *column = &pooled->batch.columns[pool->text_fields[i]];

        sb_free(pool->env, column->values, column->values_capacity);
    }
    sb_free(pool->env, pooled, pool->batch_size);
}

static struct sb_pooled_batch *batch_make(struct sb_batch_pool *pool)
{
    struct sb_pooled_batch *pooled = sb_alloc(pool->env, pool->batch_size);

    if (pooled == NULL)
        return NULL;
    (void)layout(pool, pooled);
    pooled->batch.pool = pool;
    for (uint32_t i = 0; i < pool->text_count; i++) {
        struct sb_column *column = &pooled->batch.columns[pool->text_fields[i]];

        column->values = sb_alloc(pool->env, pool->text_capacity);
        if (column->values == NULL) {
            batch_free(pool, pooled);
            return NULL;
        }
        column->values_capacity = pool->text_capacity;
    }
    return pooled;
}

/* One huge record must not pin its memory for ever: large text buffers shrink. Without memory they
 * stay. */
static void shrink_texts(const struct sb_batch_pool *pool, struct sb_batch *batch)
{
    for (uint32_t i = 0; i < pool->text_count; i++) {
        struct sb_column *column = &batch->columns[pool->text_fields[i]];

        if (column->values_capacity <= SB_BATCH_TEXT_KEEP)
            continue;
        void *values = sb_alloc(pool->env, pool->text_capacity);
        if (values == NULL)
            continue;
        sb_free(pool->env, column->values, column->values_capacity);
        column->values = values;
        column->values_capacity = pool->text_capacity;
    }
}

static void find_texts(struct sb_batch_pool *pool)
{
    for (uint32_t i = 0; i < pool->schema->field_count; i++) {
        const struct sb_schema_field *field = &pool->schema->fields[i];

        SB_ASSERT(field->type != SABOT_CHARS);
        SB_ASSERT(field->count == 1);
        if (is_text(field->type))
            pool->text_fields[pool->text_count++] = i;
    }
}

sabot_status sb_batch_pool_create(const struct sb_env *env,
                                  const struct sb_schema *schema,
                                  uint32_t rows_max,
                                  struct sb_batch_pool **pool_out,
                                  sabot_error *error)
{
    struct sb_batch_pool *pool;

    SB_ASSERT(rows_max > 0);
    SB_ASSERT(rows_max <= SB_BATCH_ROWS_MAX);
    *pool_out = NULL;
    pool = sb_alloc(env, sizeof *pool);
    if (pool == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for batches of %s", schema->name);
    pool->env = env;
    pool->schema = schema;
    pool->rows_max = rows_max;
    pool->text_capacity = round_up((size_t)rows_max * 16);
    if (pool->text_capacity > SB_BATCH_TEXT_START)
        pool->text_capacity = SB_BATCH_TEXT_START;
    pool->text_capacity += SB_BATCH_SLACK;
    find_texts(pool);
    pool->bitmap_size = round_up(((size_t)rows_max + 7) / 8);
    pool->batch_size = layout(pool, NULL);
    atomic_init(&pool->users, 1);
    *pool_out = pool;
    return SABOT_OK;
}

static void free_list(struct sb_batch_pool *pool, struct sb_pooled_batch *list)
{
    while (list != NULL) {
        struct sb_pooled_batch *next = list->next;

        batch_free(pool, list);
        list = next;
    }
}

/* Nobody else is left when this is called: no batch is out, and the owner has let go. */
static void pool_free(struct sb_batch_pool *pool)
{
    free_list(pool, pool->spare);
    free_list(pool, atomic_load_explicit(&pool->spent, memory_order_acquire));
    sb_free(pool->env, pool, sizeof *pool);
}

static void pool_release(struct sb_batch_pool *pool)
{
    const uint32_t users = atomic_fetch_sub_explicit(&pool->users, 1, memory_order_acq_rel);

    SB_ASSERT(users > 0);
    if (users == 1)
        pool_free(pool);
}

void sb_batch_pool_destroy(struct sb_batch_pool *pool)
{
    if (pool != NULL)
        pool_release(pool);
}

/* --- Taking and giving back ------------------------------------------------------------------- */

struct sb_batch *sb_batch_pool_take(struct sb_batch_pool *pool)
{
    struct sb_pooled_batch *pooled = pool->spare;

    if (pooled == NULL)
        pooled = atomic_exchange_explicit(&pool->spent, NULL, memory_order_acquire);
    if (pooled != NULL) {
        pool->spare = pooled->next;
    } else {
        pooled = batch_make(pool);
        if (pooled == NULL)
            return NULL;
    }
    struct sb_batch *batch = &pooled->batch;
    memset(batch->columns[0].validity, 0, pool->schema->field_count * pool->bitmap_size);
    for (uint32_t i = 0; i < pool->schema->field_count; i++) {
        struct sb_column *column = &batch->columns[i];

        column->null_count = 0;
        if (column->offsets != NULL)
            column->offsets[0] = 0;
    }
    pooled->next = NULL;
    batch->rows = 0;
    batch->delete_count = 0;
    atomic_store_explicit(&batch->references, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->users, 1, memory_order_relaxed);
    return batch;
}

struct sb_batch *sb_batch_ref(struct sb_batch *batch)
{
    const uint32_t before = atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);

    SB_ASSERT(before > 0);
    return batch;
}

void sb_batch_unref(struct sb_batch *batch)
{
    struct sb_pooled_batch *pooled = (struct sb_pooled_batch *)(void *)batch;
    struct sb_batch_pool *pool;

    if (batch == NULL)
        return;
    const uint32_t before = atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel);
    SB_ASSERT(before > 0);
    if (before > 1)
        return;
    pool = batch->pool;
    shrink_texts(pool, batch);
    pooled->next = atomic_load_explicit(&pool->spent, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&pool->spent, &pooled->next, pooled,
                                                  memory_order_release, memory_order_relaxed)) {}
    pool_release(pool);
}

uint64_t sb_batch_bytes(const struct sb_batch *batch)
{
    const uint64_t rows = batch->rows;
    uint64_t bytes = rows * (sizeof(int64_t) + sizeof(uint32_t));

    for (uint32_t i = 0; i < batch->schema->field_count; i++) {
        const struct sb_column *column = &batch->columns[i];

        bytes += (rows + 7) / 8;
        if (is_text(column->type))
            bytes += (uint64_t)column->offsets[rows] + (rows + 1) * sizeof(int32_t);
        else if (column->type == SABOT_BOOL)
            bytes += (rows + 7) / 8;
        else
            bytes += rows * value_size(column->type);
    }
    return bytes;
}

/* --- A row as a struct ------------------------------------------------------------------------ */

void sb_batch_record(const struct sb_batch *batch, uint32_t row, void *record_out)
{
    const uint32_t field_count = batch->schema->field_count;

    /* Columns know the offsets of their members: the fields of a schema are large, and would be
     * another line of the cache each. */
    for (uint32_t i = 0; i < field_count; i++) {
        const struct sb_column *column = &batch->columns[i];
        uint8_t *member = (uint8_t *)record_out + column->member;
        sabot_text text;
        bool flag;

        /* A missing value is zero in its column: commit has seen to it. */
        switch (column->type) {
        case SABOT_INT32:
            memcpy(member, (const int32_t *)column->values + row, sizeof(int32_t));
            break;
        case SABOT_INT64:
        case SABOT_TIMESTAMP:
        case SABOT_FLOAT64:
            memcpy(member, (const int64_t *)column->values + row, sizeof(int64_t));
            break;
        case SABOT_BOOL:
            flag = sb_batch_bool(batch, i, row);
            memcpy(member, &flag, sizeof flag);
            break;
        case SABOT_UTF8:
        case SABOT_BINARY:
            text = sb_batch_text(batch, i, row);
            memcpy(member, &text, sizeof text);
            break;
        case SABOT_CHARS: break;
        }
    }
}
