/* SPDX-License-Identifier: Apache-2.0 */
/* flow_kit.h - what the tests of the flow share: one simple kind of record, batches of it, and
 * random numbers from a seed that is printed.
 *
 * Threads: the test's own. */
#ifndef SB_TEST_FLOW_KIT_H
#define SB_TEST_FLOW_KIT_H

#include "test.h"

#include "data/batch.h"
#include "flow/message.h"

struct kit_row {
    int64_t id;
    int64_t key;
    int64_t time_ms;
    sabot_text text;
};

enum { KIT_ID, KIT_KEY, KIT_TIME, KIT_TEXT };

extern const sabot_schema kit_table;

struct kit {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_batch_pool *pool; /* batches of SB_BATCH_ROWS rows */
    struct sb_builder builder;
};

/* A fixture of cmocka: *state is a struct kit. */
int kit_setup(void **state);
int kit_teardown(void **state);

#define KIT_TEST(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

/* A sealed batch of `rows` rows with one reference: ids from `first_id` on, key = id % keys,
 * time = id. */
struct sb_batch *kit_batch(struct kit *kit, int64_t first_id, uint32_t rows, int64_t keys);

/* Random numbers. The seed is SABOT_TEST_SEED, or a fresh one; it is printed. */
struct kit_random {
    uint64_t state;
};

struct kit_random kit_random_start(const struct sb_env *env);
uint32_t kit_random_below(struct kit_random *random, uint32_t end);

#endif
