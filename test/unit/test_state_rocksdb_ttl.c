/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_ttl.c - rows that expire, and checkpoints: what a replay from the last
 * committed one can see is never dropped by a compaction, however far time has come; after the next
 * one it is. */
#include "state_rocksdb.h"

#include "test.h"

#include "state/rows.h"

#ifdef SB_HAVE_ROCKSDB

enum { KEYS = 2000, TTL_MS = 1000, BEFORE_MS = 10000, LATER_MS = 11500 };

struct fixture {
    struct sb_env *env;
    char folder[256];
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    struct sb_store *store;
    sabot_error error;
};

static void expect_ok(const struct fixture *fixture, sabot_status status)
{
    if (status != SABOT_OK)
        fail_msg("%s", fixture->error.text);
}

static void open_store(struct fixture *fixture, bool old)
{
    static const struct sb_state_spec specs[] = {
        {.name = "event", .kind = SB_STATE_VALUE, .ttl_ms = TTL_MS, .ttl_time = SB_TIME_EVENT},
        {.name = "clock", .kind = SB_STATE_VALUE, .ttl_ms = TTL_MS, .ttl_time = SB_TIME_PROCESSING},
    };
    struct sb_store_config config = {.env = fixture->env,
                                     .owner = "agent",
                                     .states = specs,
                                     .state_count = 2,
                                     .cache_bytes = 1 << 20};

    expect_ok(fixture, sb_rocksdb_rows(fixture->db, &fixture->rows, &fixture->error));
    config.rows = fixture->rows;
    expect_ok(fixture, sb_store_create(&config, &fixture->store, &fixture->error));
    if (old)
        sb_store_adopt_rows(fixture->store);
}

static void close_all(struct fixture *fixture)
{
    sb_store_destroy(fixture->store);
    sb_rocksdb_rows_close(fixture->rows);
    sb_rocksdb_close(fixture->db);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    *state = fixture;
    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    state_rocksdb_folder(fixture->folder);
    if (sb_rocksdb_open(fixture->env, fixture->folder, 16 << 20, &fixture->db, &fixture->error) !=
        SABOT_OK)
        return -1;
    open_store(fixture, false);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    close_all(fixture);
    state_rocksdb_remove(fixture->env, fixture->folder);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

/* Keys from a number on, in both states, at a time of both clocks. */
static void put_keys(struct fixture *fixture, int64_t from, int64_t now_ms)
{
    sb_store_time(fixture->store, now_ms, now_ms);
    for (int64_t i = from; i < from + KEYS; i++)
        for (uint32_t state = 0; state < 2; state++) {
            const sabot_text bytes = {(const char *)&i, sizeof i};

            expect_ok(fixture, sb_store_begin(fixture->store, now_ms, &fixture->error));
            expect_ok(fixture, sb_store_put(fixture->store, state, bytes, sb_hash(&i, sizeof i, 0),
                                            bytes, &fixture->error));
        }
}

/* Keys of a state from 0 on that a record of this time sees. */
static int count_seen(struct fixture *fixture, uint32_t state, int64_t now_ms)
{
    int seen = 0;

    for (int64_t i = 0; i < KEYS; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        sabot_text found;

        expect_ok(fixture, sb_store_begin(fixture->store, now_ms, &fixture->error));
        found = sb_store_get(fixture->store, state, key, sb_hash(&i, sizeof i, 0));
        expect_ok(fixture, sb_store_status(fixture->store, &fixture->error));
        seen += found.size == sizeof i && memcmp(found.data, &i, sizeof i) == 0;
    }
    return seen;
}

/* Rows in the database, of both states. */
static int count_rows(struct fixture *fixture)
{
    static const char operator_id[2];
    const struct sb_rows_type *type = fixture->rows->type;
    struct sb_rows_walk *walk;
    sabot_text key;
    sabot_text value;
    int count = 0;

    expect_ok(fixture, type->walk(fixture->rows, (sabot_text){operator_id, 2},
                                  (sabot_text){operator_id, 2}, &walk, &fixture->error));
    while (type->next(walk, &key, &value))
        count++;
    expect_ok(fixture, type->end(walk, &fixture->error));
    return count;
}

/* A checkpoint: all rows are in files, and the clocks at its barrier are known. */
static void checkpoint(struct fixture *fixture)
{
    expect_ok(fixture, sb_store_begin(fixture->store, INT64_MIN, &fixture->error));
    expect_ok(fixture, state_write_rows(fixture->store, &fixture->error));
}

static void compact(struct fixture *fixture)
{
    expect_ok(fixture, sb_rocksdb_compact(fixture->db, &fixture->error));
}

static void what_a_replay_from_the_last_checkpoint_can_see_is_not_compacted_away(void **state)
{
    struct fixture *fixture = *state;

    put_keys(fixture, 0, BEFORE_MS);
    checkpoint(fixture);
    put_keys(fixture, KEYS, LATER_MS); /* by now the first ones have expired */
    compact(fixture);
    assert_int_equal(count_seen(fixture, 0, LATER_MS), 0);
    assert_true(count_rows(fixture) >= 2 * KEYS);
    checkpoint(fixture); /* begun: it need not come about */
    compact(fixture);
    assert_int_equal(count_rows(fixture), 4 * KEYS);

    checkpoint(fixture); /* the one before is committed */
    compact(fixture);
    assert_int_equal(count_rows(fixture), 2 * KEYS);
}

static void a_crash_after_a_compaction_finds_all_in_the_files_of_the_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    const char *staged;
    char kept[300];

    put_keys(fixture, 0, BEFORE_MS);
    checkpoint(fixture);
    expect_ok(fixture, sb_rocksdb_stage(fixture->db, &staged, &fixture->error));
    snprintf(kept, sizeof kept, "%s-kept", fixture->folder);
    expect_ok(fixture,
              fixture->env->type->path_rename(fixture->env->self, staged, kept, &fixture->error));
    put_keys(fixture, KEYS, LATER_MS);
    checkpoint(fixture);
    put_keys(fixture, INT64_C(2) * KEYS, LATER_MS);
    checkpoint(fixture);
    compact(fixture);
    assert_int_equal(count_rows(fixture), 4 * KEYS); /* the first are gone from the live ones */

    close_all(fixture);
    state_rocksdb_remove(fixture->env, fixture->folder);
    snprintf(fixture->folder, sizeof fixture->folder, "%.250s", kept);
    expect_ok(fixture, sb_rocksdb_create(fixture->env, fixture->folder, 16 << 20, &fixture->db,
                                         &fixture->error));
    expect_ok(fixture, sb_rocksdb_start(fixture->db, SB_ROCKSDB_ADOPT, &fixture->error));
    open_store(fixture, true);
    sb_store_time(fixture->store, BEFORE_MS, BEFORE_MS);
    assert_int_equal(count_seen(fixture, 0, BEFORE_MS + TTL_MS - 1), KEYS);
    assert_int_equal(count_seen(fixture, 1, BEFORE_MS), KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_a_replay_from_the_last_checkpoint_can_see_is_not_compacted_away, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_crash_after_a_compaction_finds_all_in_the_files_of_the_checkpoint, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77;
}

#endif
