/* SPDX-License-Identifier: Apache-2.0 */
/* flow_kit.c - the fixture of the flow's tests; flow_kit.h says what is in it. */
#include "flow_kit.h"

static const sabot_field kit_fields[] = {
    SABOT_FIELD(struct kit_row, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct kit_row, key, "key", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct kit_row, time_ms, "time", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct kit_row, text, "text", SABOT_UTF8, SABOT_OPTIONAL),
};
const sabot_schema kit_table = SABOT_SCHEMA("kit", 1, struct kit_row, kit_fields);

int kit_setup(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    *state = kit;
    if (kit == NULL || sb_os_env_create(&kit->env, NULL) != SABOT_OK)
        return -1;
    if (sb_schema_create(kit->env, &kit_table, SB_SCHEMA_RECORD, &kit->schema, NULL) != SABOT_OK)
        return -1;
    if (sb_batch_pool_create(kit->env, kit->schema, SB_BATCH_ROWS, &kit->pool, NULL) != SABOT_OK)
        return -1;
    return sb_builder_init(&kit->builder, kit->pool) == SABOT_OK ? 0 : -1;
}

int kit_teardown(void **state)
{
    struct kit *kit = *state;

    sb_builder_reset(&kit->builder);
    sb_batch_pool_destroy(kit->pool);
    sb_schema_destroy(kit->schema);
    sb_os_env_destroy(kit->env);
    free(kit);
    return 0;
}

struct sb_batch *kit_batch(struct kit *kit, int64_t first_id, uint32_t rows, int64_t keys)
{
    const struct sb_batch_origin origin = {.partition = 0, .base_offset = first_id};
    struct sb_batch *batch = NULL;

    for (uint32_t i = 0; i < rows; i++) {
        const int64_t id = first_id + i;
        const struct kit_row row = {.id = id, .key = id % keys, .time_ms = id};

        assert_int_equal(sb_builder_record(&kit->builder, &row, id, NULL), SABOT_OK);
    }
    assert_int_equal(sb_builder_seal(&kit->builder, &origin, &batch), SABOT_OK);
    return batch;
}

struct kit_random kit_random_start(const struct sb_env *env)
{
    const char *fixed = getenv("SABOT_TEST_SEED");
    const uint64_t seed = fixed != NULL ? strtoull(fixed, NULL, 10) : sb_random(env) | 1;

    print_message("SABOT_TEST_SEED=%llu\n", (unsigned long long)seed);
    return (struct kit_random){.state = seed};
}

/* Of G. Marsaglia, with the multiplier of S. Vigna: xorshift64*. */
uint32_t kit_random_below(struct kit_random *random, uint32_t end)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (uint32_t)((random->state * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % end;
}
