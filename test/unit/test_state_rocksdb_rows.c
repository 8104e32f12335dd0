/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_rows.c - rows that no store has written: a snapshot of them names the state
 * and is none; and a snapshot of good rows without memory, or whose writer fails. Walks over rows
 * end while the database is staged. */
#include "state_rocksdb.h"

#include "test.h"

#include "base/mem.h"
#include "state/rows.h"
#include "state/stream.h"

#ifdef SB_HAVE_ROCKSDB

struct cell {
    int64_t number;
};

static const sabot_field cell_fields[] = {
    SABOT_FIELD(struct cell, number, "number", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema cell_table = SABOT_SCHEMA("cell", 1, struct cell, cell_fields);

enum { VALUE, VALUE_TTL, MAP, MAP_TTL, LIST, LIST_TTL, TIMERS, STATES };

struct fixture {
    struct sb_env *env;
    char folder[256];
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    struct sb_schema *schema;
    struct sb_store *store;
    struct sb_buffer bytes; /* of the last snapshot */
    uint32_t writes_left;   /* before the sink fails */
    sabot_error error;
};

static const sabot_text key = {"k", 1};

static uint64_t hash(void)
{
    return sb_hash(key.data, key.size, 0);
}

static void open_store(struct fixture *fixture)
{
    const struct sb_state_spec states[STATES] = {
        [VALUE] = {.name = "value", .kind = SB_STATE_VALUE, .schema = fixture->schema},
        [VALUE_TTL] = {.name = "value-ttl", .kind = SB_STATE_VALUE, .ttl_ms = 1000},
        [MAP] = {.name = "map", .kind = SB_STATE_MAP, .schema = fixture->schema},
        [MAP_TTL] = {.name = "map-ttl", .kind = SB_STATE_MAP, .ttl_ms = 1000},
        [LIST] = {.name = "list", .kind = SB_STATE_LIST},
        [LIST_TTL] = {.name = "list-ttl", .kind = SB_STATE_LIST, .ttl_ms = 1000},
        [TIMERS] = {.name = "timers", .kind = SB_STATE_TIMERS},
    };
    const struct sb_store_config config = {.env = fixture->env,
                                           .owner = "agent",
                                           .states = states,
                                           .state_count = STATES,
                                           .rows = fixture->rows,
                                           .cache_bytes = 1 << 20};

    assert_int_equal(sb_store_create(&config, &fixture->store, &fixture->error), SABOT_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    *state = fixture;
    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK ||
        sb_schema_create(fixture->env, &cell_table, SB_SCHEMA_STATE, &fixture->schema, NULL) !=
            SABOT_OK)
        return -1;
    state_rocksdb_folder(fixture->folder);
    if (sb_rocksdb_open(fixture->env, fixture->folder, 16 << 20, &fixture->db, &fixture->error) !=
            SABOT_OK ||
        sb_rocksdb_rows(fixture->db, &fixture->rows, &fixture->error) != SABOT_OK)
        return -1;
    sb_buffer_init(&fixture->bytes, fixture->env);
    fixture->writes_left = UINT32_MAX;
    open_store(fixture);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sb_store_destroy(fixture->store);
    sb_rocksdb_rows_close(fixture->rows);
    sb_rocksdb_close(fixture->db);
    state_rocksdb_remove(fixture->env, fixture->folder);
    sb_buffer_reset(&fixture->bytes);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static sabot_status keep(void *context, const void *bytes, size_t size, sabot_error *error)
{
    struct fixture *fixture = context;

    if (fixture->writes_left-- == 0)
        return sabot_raise(error, SABOT_ERR_IO, "the disk is full");
    return sb_buffer_take(&fixture->bytes, bytes, size, error);
}

static sabot_status snapshot(struct fixture *fixture)
{
    const struct sb_byte_sink sink = {keep, fixture};

    fixture->bytes.size = 0;
    return sb_store_snapshot(fixture->store, sb_hash_shard(hash()), &sink, &fixture->error);
}

/* --- Rows that make no sense ------------------------------------------------------------------ */

struct row {
    uint32_t state;
    const char *key; /* behind operator, shard and state */
    size_t size;
    size_t value; /* bytes of it, all of them zeros */
};

#define ROW(state, key, value)            \
    {                                     \
        state, key, sizeof key - 1, value \
    }

static void put(struct fixture *fixture, const struct row *row, bool is_there)
{
    static const char zeros[32];
    char name[64] = {0, 0, (char)sb_hash_shard(hash()), 0, (char)row->state};
    const sabot_text row_key = {name, 5 + row->size};

    memcpy(name + 5, row->key, row->size);
    if (is_there)
        fixture->rows->type->put(fixture->rows, row_key, (sabot_text){zeros, row->value});
    else
        fixture->rows->type->remove(fixture->rows, row_key);
    assert_int_equal(fixture->rows->type->commit(fixture->rows, &fixture->error), SABOT_OK);
}

static void a_row_that_makes_no_sense_is_named_and_the_snapshot_is_none(void **state)
{
    static const char *const names[STATES] = {"value", "value-ttl", "map",   "map-ttl",
                                              "list",  "list-ttl",  "timers"};
    static const struct row wrong[] = {
        ROW(VALUE, "", 8),
        ROW(VALUE, "\0\0", 8),     /* half of a size */
        ROW(VALUE, "\0\0\2k", 8),  /* a key that ends too soon */
        ROW(VALUE, "\0\0\1kk", 8), /* more than a key */
        ROW(VALUE, "\0\0\1k", 7),  /* no such struct */
        ROW(VALUE_TTL, "\0\0\1kk", 8),
        ROW(MAP, "\0\0", 8),
        ROW(MAP, "\0\1\0k", 8),
        ROW(MAP, "\0\0\1kentry", 9),
        ROW(LIST, "\0", 8),
        ROW(LIST, "\0\0\1k", 24),         /* neither its head nor a segment */
        ROW(TIMERS, "\0\0\0\0\0\0\0", 0), /* half of a time */
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[128];

        put(fixture, &wrong[i], true);
        (void)snprintf(text, sizeof text, "state %s of agent agent: a row makes no sense",
                       names[wrong[i].state]);
        assert_int_equal(snapshot(fixture), SABOT_ERR_CORRUPT);
        if (strstr(fixture->error.text, text) == NULL)
            fail_msg("row %d: %s", (int)i, fixture->error.text);
        put(fixture, &wrong[i], false);
        assert_int_equal(snapshot(fixture), SABOT_OK);
    }
}

static void a_row_without_its_time_has_expired(void **state)
{
    static const struct row timeless[] = {
        ROW(VALUE_TTL, "\0\0\1k", 7),
        ROW(MAP_TTL, "\0\0\1kentry", 7),
        ROW(LIST_TTL, "\0\0\1k\0", 7),
    };
    struct fixture *fixture = *state;
    size_t empty;

    assert_int_equal(snapshot(fixture), SABOT_OK);
    empty = fixture->bytes.size;
    for (size_t i = 0; i < sizeof timeless / sizeof *timeless; i++) {
        put(fixture, &timeless[i], true);
        assert_int_equal(snapshot(fixture), SABOT_OK);
        assert_int_equal(fixture->bytes.size, empty);
    }
}

/* --- Good rows -------------------------------------------------------------------------------- */

static void fill(struct fixture *fixture)
{
    struct sb_store *store = fixture->store;
    static char large[40000];

    sb_store_time(store, 100, 100);
    assert_int_equal(sb_store_begin(store, 100, NULL), SABOT_OK);
    ((struct cell *)sb_store_edit(store, VALUE, key, hash(), NULL))->number = 1;
    assert_int_equal(sb_store_put(store, VALUE_TTL, key, hash(), key, NULL), SABOT_OK);
    for (int64_t i = 0; i < 3; i++) {
        const sabot_text sub = {(const char *)&"xyz"[i], 1};

        ((struct cell *)sb_map_edit(store, MAP, key, hash(), sub, NULL))->number = i;
        assert_int_equal(sb_map_put(store, MAP_TTL, key, hash(), sub, key, NULL), SABOT_OK);
        assert_int_equal(
            sb_list_append(store, LIST, key, hash(), (sabot_text){large, sizeof large}, NULL),
            SABOT_OK);
        assert_int_equal(sb_list_append(store, LIST_TTL, key, hash(), sub, NULL), SABOT_OK);
        assert_int_equal(sb_timer_set(store, TIMERS, key, hash(), 500 + i, NULL), SABOT_OK);
    }
    assert_int_equal(snapshot(fixture), SABOT_OK);
}

/* A new store of the same rows, with nothing in its memory. */
static void open_anew(struct fixture *fixture)
{
    sb_store_destroy(fixture->store);
    open_store(fixture);
    sb_store_time(fixture->store, 100, 100);
}

static void memory_that_runs_out_ends_a_snapshot_of_rows(void **state)
{
    struct fixture *fixture = *state;
    struct sb_buffer whole;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    fill(fixture);
    whole = fixture->bytes;
    sb_buffer_init(&fixture->bytes, fixture->env);
    for (n = 1; status != SABOT_OK; n++) {
        open_anew(fixture);
        sb_os_env_fail_allocation(fixture->env, n);
        status = snapshot(fixture);
        sb_os_env_fail_allocation(fixture->env, 0);
        if (status != SABOT_OK)
            assert_int_equal(status, SABOT_ERR_MEMORY);
        assert_true(n < 200);
    }
    assert_true(n > 5);
    assert_int_equal(fixture->bytes.size, whole.size);
    assert_memory_equal(fixture->bytes.data, whole.data, whole.size);
    sb_buffer_reset(&whole);
}

static void a_writer_that_fails_ends_a_snapshot_of_rows(void **state)
{
    struct fixture *fixture = *state;
    uint32_t n = 0;

    fill(fixture);
    do
        fixture->writes_left = n++;
    while (snapshot(fixture) == SABOT_ERR_IO);
    assert_true(n > 3);
    assert_string_equal(fixture->error.text, "the disk is full");
}

/* --- Workers that share a database ------------------------------------------------------------ */

static struct sb_store *open_worker(struct fixture *fixture, uint32_t worker, uint32_t workers)
{
    const struct sb_state_spec states[] = {
        {.name = "timers", .kind = SB_STATE_TIMERS},
        {.name = "list", .kind = SB_STATE_LIST, .ttl_ms = 100},
    };
    const struct sb_store_config config = {.env = fixture->env,
                                           .owner = "agent",
                                           .states = states,
                                           .state_count = 2,
                                           .rows = fixture->rows,
                                           .cache_bytes = 1 << 20,
                                           .operator_id = 9,
                                           .worker = worker,
                                           .worker_count = workers};
    struct sb_store *store;

    assert_int_equal(sb_store_create(&config, &store, &fixture->error), SABOT_OK);
    return store;
}

static uint64_t fired[2]; /* by worker; what was not its own counts a thousand */

static sabot_status count_fired(void *context,
                                uint32_t index,
                                sabot_text name,
                                uint64_t name_hash,
                                int64_t time_ms,
                                sabot_error *error)
{
    const uint32_t worker = *(const uint32_t *)context;

    (void)index;
    (void)name;
    (void)time_ms;
    (void)error;
    fired[worker] += sb_hash_shard(name_hash) % 2 == worker ? 1 : 1000;
    return SABOT_OK;
}

/* After a restore the timers of all are in rows; each worker fires its own. */
static void workers_that_go_on_with_one_database_keep_to_their_own_shards(void **state)
{
    enum { NAMES = 200 };
    struct fixture *fixture = *state;
    struct sb_store *store = open_worker(fixture, 0, 0);
    uint64_t own[2] = {0, 0};

    sb_store_time(store, 100, 100);
    for (int64_t i = 0; i < NAMES; i++) {
        const sabot_text name = {(const char *)&i, sizeof i};
        const uint64_t name_hash = sb_hash(&i, sizeof i, 0);

        assert_int_equal(sb_store_begin(store, 100, NULL), SABOT_OK);
        assert_int_equal(sb_timer_set(store, 0, name, name_hash, 500 + i, NULL), SABOT_OK);
        assert_int_equal(sb_list_append(store, 1, name, name_hash, name, NULL), SABOT_OK);
        own[sb_hash_shard(name_hash) % 2]++;
    }
    assert_int_equal(
        sb_store_snapshot(store, 0, &(const struct sb_byte_sink){keep, fixture}, &fixture->error),
        SABOT_OK); /* which writes all into rows */
    sb_store_destroy(store);
    for (uint32_t worker = 0; worker < 2; worker++) {
        store = open_worker(fixture, worker, 2);
        sb_store_adopt_rows(store);
        sb_store_time(store, 1000, 1000);
        assert_int_equal(sb_store_fire(store, UINT32_MAX, count_fired, &worker, &fixture->error),
                         SABOT_OK);
        for (int i = 0; i < NAMES; i++) /* and the lists that have expired are swept */
            assert_int_equal(sb_store_begin(store, 1000 + i, &fixture->error), SABOT_OK);
        sb_store_destroy(store);
        assert_int_equal(fired[worker], own[worker]);
    }
}

static const sabot_text walked = {"walked", 6};

struct walker {
    struct sb_rows *rows;
    sabot_status status;
    _Atomic bool stopping;
    sabot_error error;
};

static struct sb_step walk_once(void *context)
{
    struct walker *walker = context;
    const struct sb_rows_type *type = walker->rows->type;
    struct sb_rows_walk *walk;
    sabot_text found, value;

    if (walker->stopping || walker->status != SABOT_OK)
        return sb_step_done();
    walker->status = type->walk(walker->rows, walked, walked, &walk, &walker->error);
    if (walker->status == SABOT_OK) {
        while (type->next(walk, &found, &value))
            ;
        walker->status = type->end(walk, &walker->error);
    }
    return sb_step_again();
}

static struct sb_rows *make_rows(struct sb_rocksdb *db)
{
    struct sb_rows *rows;

    assert_int_equal(sb_rocksdb_rows(db, &rows, NULL), SABOT_OK);
    return rows;
}

/* RocksDB 7.8 forgets to say that an iterator that has ended found no file to remove (its change
 * 14069), and a checkpoint that waits for it waits for ever. */
static void a_walk_that_ends_holds_no_checkpoint_up(void **state)
{
    enum { WALKERS = 2, CHECKPOINTS = 500 };
    struct fixture *fixture = *state;
    struct sb_env *env = fixture->env;
    struct walker walkers[WALKERS] = {{.rows = NULL}};
    struct sb_thread *threads[WALKERS];
    struct sb_waker *waker;
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    char folder[256];

    assert_true(test_folder(folder, sizeof folder, "walks"));
    assert_int_equal(sb_rocksdb_open(env, folder, 16 << 20, &db, &fixture->error), SABOT_OK);
    rows = make_rows(db);
    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    for (int i = 0; i < WALKERS; i++) {
        walkers[i].rows = make_rows(db);
        assert_int_equal(
            env->type->spawn(env->self, "walker", walk_once, &walkers[i], waker, &threads[i], NULL),
            SABOT_OK);
    }
    for (int i = 0; i < CHECKPOINTS; i++) {
        const char *staged;

        rows->type->put(rows, walked, key);
        assert_int_equal(rows->type->commit(rows, &fixture->error), SABOT_OK);
        assert_int_equal(sb_rocksdb_stage(db, &staged, &fixture->error), SABOT_OK);
    }
    for (int i = 0; i < WALKERS; i++) {
        walkers[i].stopping = true;
        env->type->join(env->self, threads[i]);
        assert_int_equal(walkers[i].status, SABOT_OK);
        sb_rocksdb_rows_close(walkers[i].rows);
    }
    env->type->waker_destroy(env->self, waker);
    sb_rocksdb_rows_close(rows);
    sb_rocksdb_unstage(db);
    sb_rocksdb_close(db);
    state_rocksdb_remove(env, folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_row_that_makes_no_sense_is_named_and_the_snapshot_is_none),
        TEST(a_row_without_its_time_has_expired),
        TEST(memory_that_runs_out_ends_a_snapshot_of_rows),
        TEST(a_writer_that_fails_ends_a_snapshot_of_rows),
        TEST(workers_that_go_on_with_one_database_keep_to_their_own_shards),
        TEST(a_walk_that_ends_holds_no_checkpoint_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77; /* built without RocksDB */
}

#endif
