/* SPDX-License-Identifier: Apache-2.0 */
/* outlet.c - gathering what an operator emits; outlet.h has the picture. */
#include "op/outlet.h"

static void check(const struct sb_outlet *outlet)
{
    SB_ASSERT(outlet->builder_count >= 1);
    SB_ASSERT(outlet->builder_count <= SB_OUTLET_BUILDERS_MAX);
    SB_ASSERT(outlet->open_rows <= SB_OUTLET_ROWS_MAX);
    SB_ASSERT(outlet->kept_rows <= sb_builder_rows(&outlet->builders[0]));
}

sabot_status sb_outlet_init(struct sb_outlet *outlet,
                            const struct sb_env *env,
                            const struct sb_schema *schema,
                            int32_t event_time_field,
                            sabot_error *error)
{
    *outlet = (struct sb_outlet){
        .env = env,
        .schema = schema,
        .event_time_field = event_time_field,
        .builder_count = 1,
        .arrival_us = INT64_MAX,
    };
    SABOT_TRY(sb_batch_pool_create(env, schema, SB_BATCH_ROWS, &outlet->pool, error));
    for (uint32_t i = 0; i < SB_OUTLET_BUILDERS_MAX; i++)
        SABOT_TRY(sb_builder_init(&outlet->builders[i], outlet->pool));
    return SABOT_OK;
}

void sb_outlet_reset(struct sb_outlet *outlet)
{
    struct sb_batch *batch;

    if (outlet->pool == NULL)
        return;
    while ((batch = sb_outlet_take(outlet)) != NULL)
        sb_batch_unref(batch);
    for (uint32_t i = 0; i < SB_OUTLET_BUILDERS_MAX; i++)
        sb_builder_reset(&outlet->builders[i]);
    sb_batch_pool_destroy(outlet->pool);
    outlet->pool = NULL;
}

static int64_t event_time_of(const struct sb_outlet *outlet,
                             const void *record,
                             int64_t event_time_ms)
{
    int64_t own;

    if (outlet->event_time_field == SB_NO_FIELD)
        return event_time_ms;
    memcpy(&own, (const uint8_t *)record + outlet->schema->fields[outlet->event_time_field].offset,
           sizeof own);
    return own;
}

/* The builder that takes the next record: the last one, or a fresh one when that is full. */
static struct sb_builder *open_builder(struct sb_outlet *outlet)
{
    if (sb_builder_full(&outlet->builders[outlet->builder_count - 1])) {
        SB_ASSERT(outlet->builder_count < SB_OUTLET_BUILDERS_MAX);
        outlet->builder_count++;
    }
    return &outlet->builders[outlet->builder_count - 1];
}

static sabot_status check_room(const struct sb_outlet *outlet, sabot_error *error)
{
    if (outlet->open_rows < SB_OUTLET_ROWS_MAX)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "more than %d records emitted from one call: emit fewer, or spread them "
                       "over several records",
                       SB_OUTLET_ROWS_MAX);
}

/* Count the row that was just added to a builder, if it may stay. */
static sabot_status add_row(struct sb_outlet *outlet,
                            struct sb_builder *builder,
                            sabot_error *error)
{
    const uint32_t row = sb_builder_rows(builder) - 1;
    sabot_status status = SABOT_OK;

    if (outlet->guard != NULL)
        status = outlet->guard(outlet->guard_context, builder->batch, row, error);
    if (status == SABOT_OK)
        outlet->open_rows++;
    else
        sb_builder_truncate(builder, row);
    return status;
}

sabot_status sb_outlet_record(struct sb_outlet *outlet,
                              const void *record,
                              int64_t event_time_ms,
                              sabot_error *error)
{
    struct sb_builder *builder;

    SABOT_TRY(check_room(outlet, error));
    builder = open_builder(outlet);
    SABOT_TRY(
        sb_builder_record(builder, record, event_time_of(outlet, record, event_time_ms), error));
    return add_row(outlet, builder, error);
}

sabot_status sb_outlet_begin(struct sb_outlet *outlet,
                             struct sb_builder **builder_out,
                             sabot_error *error)
{
    SABOT_TRY(check_room(outlet, error));
    *builder_out = open_builder(outlet);
    if (sb_builder_begin(*builder_out) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "record of %s: no memory for a batch",
                           outlet->schema->name);
    return SABOT_OK;
}

sabot_status sb_outlet_commit(struct sb_outlet *outlet,
                              struct sb_builder *builder,
                              int64_t event_time_ms,
                              sabot_error *error)
{
    const int32_t time_field = outlet->event_time_field;
    const uint32_t row = builder->batch->rows;
    uint32_t missing = 0;
    sabot_status status;

    if (time_field != SB_NO_FIELD && sb_column_has(&builder->batch->columns[time_field], row))
        event_time_ms = sb_batch_int64(builder->batch, (uint32_t)time_field, row);
    status = sb_builder_commit(builder, event_time_ms, row, &missing);
    if (status == SABOT_ERR_SCHEMA)
        return sabot_raise(error, status, "record of %s: %s is required, but there is no value",
                           outlet->schema->name, outlet->schema->fields[missing].path);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "record of %s: no room for its defaults",
                           outlet->schema->name);
    return add_row(outlet, builder, error);
}

static void seal_builder(struct sb_outlet *outlet, struct sb_builder *builder)
{
    const struct sb_batch_origin origin = {.partition = -1, .arrival_us = outlet->arrival_us};
    struct sb_batch *batch;

    if (sb_builder_seal(builder, &origin, &batch) != SABOT_OK)
        return; /* empty */
    SB_ASSERT(outlet->sealed_count < SB_OUTLET_BUILDERS_MAX + 1);
    outlet->sealed[outlet->sealed_count++] = batch;
}

void sb_outlet_keep(struct sb_outlet *outlet)
{
    if (outlet->open_rows == 0)
        return;
    check(outlet);
    outlet->open_rows = 0;
    for (uint32_t i = 0; i + 1 < outlet->builder_count; i++)
        seal_builder(outlet, &outlet->builders[i]);
    if (outlet->builder_count > 1) {
        /* The last one goes on as the first; both are plain handles of the same pool. */
        const struct sb_builder first = outlet->builders[0];

        outlet->builders[0] = outlet->builders[outlet->builder_count - 1];
        outlet->builders[outlet->builder_count - 1] = first;
        outlet->builder_count = 1;
    }
    if (sb_builder_full(&outlet->builders[0]))
        seal_builder(outlet, &outlet->builders[0]);
    outlet->kept_rows = sb_builder_rows(&outlet->builders[0]);
}

void sb_outlet_undo(struct sb_outlet *outlet)
{
    check(outlet);
    for (uint32_t i = 1; i < outlet->builder_count; i++)
        sb_builder_truncate(&outlet->builders[i], 0);
    if (outlet->builders[0].batch != NULL)
        sb_builder_truncate(&outlet->builders[0], outlet->kept_rows);
    outlet->builder_count = 1;
    outlet->open_rows = 0;
}

void sb_outlet_seal(struct sb_outlet *outlet)
{
    SB_ASSERT(outlet->open_rows == 0);
    seal_builder(outlet, &outlet->builders[0]);
    outlet->kept_rows = 0;
    outlet->arrival_us = INT64_MAX;
}

struct sb_batch *sb_outlet_take(struct sb_outlet *outlet)
{
    struct sb_batch *batch;

    if (outlet->sealed_count == 0)
        return NULL;
    batch = outlet->sealed[0];
    outlet->sealed_count--;
    memmove(&outlet->sealed[0], &outlet->sealed[1],
            outlet->sealed_count * sizeof outlet->sealed[0]);
    return batch;
}
