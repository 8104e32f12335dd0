/* SPDX-License-Identifier: Apache-2.0 */
/* rocksdb.c - rows in RocksDB: the only file that knows it (C API of 7.8).
 *
 *     put, remove -> write batch --commit--> memtable -> files; no log: checkpoints are what is
 * kept
 *     stage: memtable -> files, and a folder of links to all that there are now
 *
 * Memory: half of what is given for the block cache (index and filter blocks in it), half for two
 * write buffers and the one being flushed. RocksDB allocates, and has threads and files, by itself.
 *
 * The compaction filter drops rows that have expired by the slowest clock of all stores of the
 * database. It is a help, no promise: whoever reads checks the time again.
 *
 * Threads: the database any; a rows its store's. The filter runs on RocksDB's threads: it reads
 * clocks that are atomic, and kinds of rows under a lock. */
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "state/rows.h"

enum {
    MEMORY_MIN = 8 * 1024 * 1024,
    BLOCK_SIZE = 4096,
    BLOOM_BITS = 10,
    TTL_MAX = 256,  /* kinds of rows that expire */
    PREFIX_TTL = 5, /* bytes of a key that say its kind: see spill.c; without the shard */
    OPEN_FILES = 256,
    MANIFEST_MAX = 256 * 1024, /* copied with every checkpoint */
};

struct rocks_rows {
    struct sb_rows rows; /* first */
    struct sb_rocksdb *db;
    rocksdb_writebatch_t *batch;
    size_t pending; /* bytes in it */
    rocksdb_pinnableslice_t *pinned;
    _Atomic int64_t clocks[2];
    struct rocks_rows *next; /* guarded by the database's lock */
};

struct sb_rocksdb {
    const struct sb_env *env;
    char *directory;
    char *staged;  /* a folder in it */
    rocksdb_t *db; /* NULL: not started yet */
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_compactionfilter_t *filter;
    struct sb_lock ends; /* of walks; see link_files() */
    struct sb_lock lock; /* guards rows and ttls */
    struct rocks_rows *rows;
    struct sb_rows_ttl ttls[TTL_MAX];
    uint32_t ttl_count;
};

struct sb_rows_walk {
    struct rocks_rows *rows;
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *read;
    bool began;
    size_t prefix_size;
    uint8_t bound[]; /* the first key behind all that begin with the prefix */
};

/* The prefix with its last byte that can be raised, raised; what follows it is cut. 0: there is no
 * key behind. */
static size_t make_bound(uint8_t *bound, sabot_text prefix)
{
    size_t size = prefix.size;

    if (size > 0)
        memcpy(bound, prefix.data, size);
    while (size > 0 && bound[size - 1] == 0xff)
        size--;
    if (size > 0)
        bound[size - 1]++;
    return size;
}

static sabot_status raise_rocksdb(const struct sb_rocksdb *db,
                                  const char *what,
                                  char *reason,
                                  sabot_error *error)
{
    const bool corrupt = strncmp(reason, "Corruption", 10) == 0;
    const sabot_status status = sabot_raise(error, corrupt ? SABOT_ERR_CORRUPT : SABOT_ERR_IO,
                                            "state in %s: %s: %s%s", db->directory, what, reason,
                                            corrupt ? "; restore from the last checkpoint" : "");

    rocksdb_free(reason);
    return status;
}

/* --- The compaction filter ----------------------------------------------------------------------
 */

/* The slowest clock of all stores: no store can still see what has expired by it. */
static int64_t slowest_clock(struct sb_rocksdb *db, enum sb_state_time clock)
{
    int64_t slowest = INT64_MAX;

    for (struct rocks_rows *rows = db->rows; rows != NULL; rows = rows->next) {
        const int64_t now = atomic_load_explicit(&rows->clocks[clock], memory_order_relaxed);

        slowest = now < slowest ? now : slowest;
    }
    return db->rows == NULL ? INT64_MIN : slowest;
}

/* operator (2) | shard (1) | state (2): the shard doesn't matter. */
static bool same_kind(const struct sb_rows_ttl *ttl, const char *key, size_t size)
{
    return size >= PREFIX_TTL && memcmp(ttl->prefix, key, 2) == 0 &&
           memcmp(ttl->prefix + 3, key + 3, 2) == 0;
}

static unsigned char filter_row(
    void *state,
    int level,
    const char *key,
    size_t key_size,
    const char *value,
    size_t value_size,
    char **new_value,
    size_t *new_value_size, /* NOLINT(readability-non-const-parameter) */
    unsigned char *value_changed)
{
    struct sb_rocksdb *db = state;
    unsigned char drop = 0;
    int64_t time_ms;

    (void)level;
    (void)new_value;
    (void)new_value_size;
    *value_changed = 0;
    if (value_size < sizeof time_ms)
        return 0;
    memcpy(&time_ms, value, sizeof time_ms);
    sb_lock_take(&db->lock);
    for (uint32_t i = 0; i < db->ttl_count && drop == 0; i++) {
        const struct sb_rows_ttl *ttl = &db->ttls[i];
        int64_t now_ms;

        if (!same_kind(ttl, key, key_size))
            continue;
        now_ms = slowest_clock(db, ttl->clock);
        drop = now_ms > time_ms && (uint64_t)now_ms - (uint64_t)time_ms >= (uint64_t)ttl->ttl_ms;
    }
    sb_lock_drop(&db->lock);
    return drop;
}

static void filter_destroy(void *state)
{
    (void)state;
}

static const char *filter_name(void *state)
{
    (void)state;
    return "sabot.ttl";
}

/* --- The database -------------------------------------------------------------------------------
 */

static void set_options(struct sb_rocksdb *db, uint64_t memory)
{
    rocksdb_options_t *options = db->options;

    rocksdb_options_set_max_manifest_file_size(options, MANIFEST_MAX);
    rocksdb_options_set_max_open_files(options, OPEN_FILES);
    rocksdb_options_set_write_buffer_size(options, (size_t)(memory / 6));
    rocksdb_options_set_max_write_buffer_number(options, 3);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_info_log_level(options, 4); /* fatal only: errors come back to us */
    rocksdb_options_set_keep_log_file_num(options, 1);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    /* Most keys that are looked for the first time aren't there. */
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.1);
    rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    db->cache = rocksdb_cache_create_lru((size_t)(memory / 2));
    db->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(db->table, db->cache);
    rocksdb_block_based_options_set_block_size(db->table, BLOCK_SIZE);
    /* Index and filters are in the cache, too, so that they don't grow past the limit; in parts of
     * a block's size, for a filter of a whole file would put everything else out. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(db->table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(db->table, 1);
    rocksdb_block_based_options_set_index_type(
        db->table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(db->table, 1);
    rocksdb_block_based_options_set_metadata_block_size(db->table, BLOCK_SIZE);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(db->table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(db->table, 1);
    rocksdb_block_based_options_set_filter_policy(
        db->table, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_options_set_block_based_table_factory(options, db->table);
    db->filter = rocksdb_compactionfilter_create(db, filter_destroy, filter_row, filter_name);
    rocksdb_options_set_compaction_filter(options, db->filter);
    db->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(db->read, 1);
    db->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(db->write, 1);
}

/* Where processors are scarce, compaction gives way to the stream; when the stream waits for it, it
 * has them to itself. Its threads are those of the process, for all databases. */
static void lower_compaction(void)
{
    rocksdb_env_t *threads = rocksdb_create_default_env();

    rocksdb_env_lower_thread_pool_cpu_priority(threads);
    rocksdb_env_destroy(threads);
}

sabot_status sb_rocksdb_create(const struct sb_env *env,
                               const char *directory,
                               uint64_t memory,
                               struct sb_rocksdb **db_out,
                               sabot_error *error)
{
    struct sb_rocksdb *db = sb_alloc(env, sizeof *db);

    *db_out = NULL;
    if (db == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "state in %s: no memory", directory);
    db->env = env;
    sb_lock_init(&db->ends);
    sb_lock_init(&db->lock);
    db->directory = sb_string_copy(env, directory);
    db->staged = sb_string_format(env, "%s/staged", directory);
    if (db->directory == NULL || db->staged == NULL) {
        sb_rocksdb_close(db);
        return sabot_raise(error, SABOT_ERR_MEMORY, "state in %s: no memory", directory);
    }
    db->options = rocksdb_options_create();
    set_options(db, memory < MEMORY_MIN ? MEMORY_MIN : memory);
    lower_compaction();
    *db_out = db;
    return SABOT_OK;
}

sabot_status sb_rocksdb_start(struct sb_rocksdb *db, enum sb_rocksdb_mode mode, sabot_error *error)
{
    char *reason = NULL;

    SB_ASSERT(db->db == NULL);
    rocksdb_options_set_create_if_missing(db->options, mode == SB_ROCKSDB_NEW);
    rocksdb_options_set_error_if_exists(db->options, mode == SB_ROCKSDB_NEW);
    if (mode == SB_ROCKSDB_READ)
        db->db = rocksdb_open_for_read_only(db->options, db->directory, 0, &reason);
    else
        db->db = rocksdb_open(db->options, db->directory, &reason);
    return reason == NULL ? SABOT_OK : raise_rocksdb(db, "cannot open the database", reason, error);
}

static sabot_status open_as(const struct sb_env *env,
                            const char *directory,
                            uint64_t memory,
                            enum sb_rocksdb_mode mode,
                            struct sb_rocksdb **db_out,
                            sabot_error *error)
{
    struct sb_rocksdb *db;
    sabot_status status;

    *db_out = NULL;
    SABOT_TRY(sb_rocksdb_create(env, directory, memory, &db, error));
    SB_ASSERT(db != NULL);
    status = sb_rocksdb_start(db, mode, error);
    if (status == SABOT_OK)
        *db_out = db;
    else
        sb_rocksdb_close(db);
    return status;
}

sabot_status sb_rocksdb_open(const struct sb_env *env,
                             const char *directory,
                             uint64_t memory,
                             struct sb_rocksdb **db_out,
                             sabot_error *error)
{
    return open_as(env, directory, memory, SB_ROCKSDB_NEW, db_out, error);
}

void sb_rocksdb_close(struct sb_rocksdb *db)
{
    if (db == NULL)
        return;
    SB_ASSERT(db->rows == NULL);
    if (db->db != NULL)
        rocksdb_close(db->db);
    if (db->options != NULL) {
        rocksdb_writeoptions_destroy(db->write);
        rocksdb_readoptions_destroy(db->read);
        rocksdb_options_destroy(db->options);
        rocksdb_block_based_options_destroy(db->table);
        rocksdb_cache_destroy(db->cache);
        rocksdb_compactionfilter_destroy(db->filter);
    }
    sb_lock_reset(&db->ends);
    sb_lock_reset(&db->lock);
    sb_string_free(db->env, db->directory);
    sb_string_free(db->env, db->staged);
    sb_free(db->env, db, sizeof *db);
}

/* RocksDB locks a database that is open, and makes CURRENT when it has the lock: so one without is
 * not opened yet, and one that is locked is alive, in this process or in another. */
sabot_status sb_rocksdb_remove(const struct sb_env *env, const char *directory, sabot_error *error)
{
    rocksdb_options_t *options;
    struct sb_file_info info;
    char *current = sb_string_format(env, "%s/CURRENT", directory);
    char *reason = NULL;
    sabot_status status = SABOT_ERR_MEMORY;

    if (current == NULL)
        return sabot_raise(error, status, "state in %s: no memory", directory);
    status = env->type->path_info(env->self, current, &info, NULL);
    sb_string_free(env, current);
    if (status != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_STATE, "state in %s: there is no database", directory);
    options = rocksdb_options_create();
    rocksdb_destroy_db(options, directory, &reason);
    rocksdb_options_destroy(options);
    if (reason == NULL)
        return SABOT_OK;
    status = sabot_raise(error, SABOT_ERR_STATE, "state in %s: %s", directory, reason);
    rocksdb_free(reason);
    return status;
}

sabot_status sb_rocksdb_flush(struct sb_rocksdb *db, sabot_error *error)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *reason = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(db->db, options, &reason);
    rocksdb_flushoptions_destroy(options);
    return reason == NULL ? SABOT_OK : raise_rocksdb(db, "cannot write", reason, error);
}

sabot_status sb_rocksdb_compact(struct sb_rocksdb *db, sabot_error *error)
{
    SABOT_TRY(sb_rocksdb_flush(db, error));
    rocksdb_compact_range(db->db, NULL, 0, NULL, 0);
    return SABOT_OK;
}

/* --- Checkpoints ---------------------------------------------------------------------------------
 */

/* A checkpoint waits until nobody looks for files to remove. RocksDB 7.8 does not tell it when an
 * iterator that has ended has found none (its change 14069, 2025): it would wait for ever. While
 * the removal of files is off, none looks; and none is in the middle of looking when it is turned
 * off, for walks end under this lock. Its own threads tell by themselves. */
static void link_files(struct sb_rocksdb *db, rocksdb_checkpoint_t *checkpoint, char **reason)
{
    char *ignored = NULL;

    sb_lock_take(&db->ends);
    rocksdb_disable_file_deletions(db->db, reason);
    sb_lock_drop(&db->ends);
    if (*reason != NULL)
        return;
    rocksdb_checkpoint_create(checkpoint, db->staged, 0, reason);
    rocksdb_enable_file_deletions(db->db, 0, &ignored); /* files stay, until the next time */
    if (ignored != NULL)
        rocksdb_free(ignored);
}

sabot_status sb_rocksdb_stage(struct sb_rocksdb *db, const char **folder_out, sabot_error *error)
{
    rocksdb_checkpoint_t *checkpoint;
    char *reason = NULL;

    *folder_out = db->staged;
    sb_rocksdb_unstage(db); /* what was left, if any */
    SABOT_TRY(sb_rocksdb_flush(db, error));
    sb_crash_point(db->env, "ckpt.rows_flushed");
    checkpoint = rocksdb_checkpoint_object_create(db->db, &reason);
    if (reason == NULL) {
        link_files(db, checkpoint, &reason);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    return reason == NULL ? SABOT_OK : raise_rocksdb(db, "cannot be checkpointed", reason, error);
}

void sb_rocksdb_unstage(struct sb_rocksdb *db)
{
    sb_folder_remove(db->env, db->staged);
}

/* --- Rows ---------------------------------------------------------------------------------------
 */

static struct rocks_rows *rocks_of(struct sb_rows *rows)
{
    return (struct rocks_rows *)(void *)rows;
}

static void unpin(struct rocks_rows *rows)
{
    if (rows->pinned != NULL)
        rocksdb_pinnableslice_destroy(rows->pinned);
    rows->pinned = NULL;
}

static sabot_status get(struct sb_rows *self,
                        sabot_text key,
                        sabot_text *value_out,
                        sabot_error *error)
{
    struct rocks_rows *rows = rocks_of(self);
    char *reason = NULL;

    *value_out = (sabot_text){NULL, 0};
    unpin(rows);
    rows->pinned = rocksdb_get_pinned(rows->db->db, rows->db->read, key.data, key.size, &reason);
    if (reason != NULL)
        return raise_rocksdb(rows->db, "cannot read", reason, error);
    if (rows->pinned != NULL)
        value_out->data = rocksdb_pinnableslice_value(rows->pinned, &value_out->size);
    return SABOT_OK;
}

static void put(struct sb_rows *self, sabot_text key, sabot_text value)
{
    struct rocks_rows *rows = rocks_of(self);

    rocksdb_writebatch_put(rows->batch, key.data, key.size, value.data == NULL ? "" : value.data,
                           value.size);
    rows->pending += key.size + value.size;
}

static void remove_row(struct sb_rows *self, sabot_text key)
{
    struct rocks_rows *rows = rocks_of(self);

    rocksdb_writebatch_delete(rows->batch, key.data, key.size);
    rows->pending += key.size;
}

static size_t pending(const struct sb_rows *self)
{
    return ((const struct rocks_rows *)(const void *)self)->pending;
}

static sabot_status commit(struct sb_rows *self, sabot_error *error)
{
    struct rocks_rows *rows = rocks_of(self);
    char *reason = NULL;

    if (rows->pending == 0)
        return SABOT_OK;
    rocksdb_write(rows->db->db, rows->db->write, rows->batch, &reason);
    if (reason != NULL)
        return raise_rocksdb(rows->db, "cannot write", reason, error);
    rocksdb_writebatch_clear(rows->batch);
    rows->pending = 0;
    return SABOT_OK;
}

/* --- Walks --------------------------------------------------------------------------------------
 */

static sabot_status walk(struct sb_rows *self,
                         sabot_text from,
                         sabot_text prefix,
                         struct sb_rows_walk **walk_out,
                         sabot_error *error)
{
    struct rocks_rows *rows = rocks_of(self);
    struct sb_rows_walk *walk = sb_alloc(rows->db->env, sizeof *walk + prefix.size);
    size_t bound;

    *walk_out = NULL;
    if (walk == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "state in %s: no memory for a walk",
                           rows->db->directory);
    walk->rows = rows;
    walk->prefix_size = prefix.size;
    bound = make_bound(walk->bound, prefix);
    walk->read = rocksdb_readoptions_create();
    if (bound > 0) /* else it would look for the next row through all that was removed */
        rocksdb_readoptions_set_iterate_upper_bound(walk->read, (const char *)walk->bound, bound);
    rocksdb_readoptions_set_verify_checksums(walk->read, 1);
    walk->iterator = rocksdb_create_iterator(rows->db->db, walk->read);
    rocksdb_iter_seek(walk->iterator, from.data, from.size);
    *walk_out = walk;
    return SABOT_OK;
}

static bool next(struct sb_rows_walk *walk, sabot_text *key_out, sabot_text *value_out)
{
    if (walk->began && rocksdb_iter_valid(walk->iterator))
        rocksdb_iter_next(walk->iterator);
    walk->began = true;
    if (!rocksdb_iter_valid(walk->iterator))
        return false;
    SB_ASSERT(walk->prefix_size > 0);
    key_out->data = rocksdb_iter_key(walk->iterator, &key_out->size);
    value_out->data = rocksdb_iter_value(walk->iterator, &value_out->size);
    return true;
}

static sabot_status end(struct sb_rows_walk *walk, sabot_error *error)
{
    struct sb_rocksdb *db = walk->rows->db;
    char *reason = NULL;

    rocksdb_iter_get_error(walk->iterator, &reason);
    sb_lock_take(&db->ends);
    rocksdb_iter_destroy(walk->iterator);
    sb_lock_drop(&db->ends);
    rocksdb_readoptions_destroy(walk->read);
    sb_free(db->env, walk, sizeof *walk + walk->prefix_size);
    return reason == NULL ? SABOT_OK : raise_rocksdb(db, "cannot read", reason, error);
}

/* --- Time to live -------------------------------------------------------------------------------
 */

static sabot_status expire(struct sb_rows *self, const struct sb_rows_ttl *ttl, sabot_error *error)
{
    struct sb_rocksdb *db = rocks_of(self)->db;
    sabot_status status = SABOT_OK;
    bool known = false;

    SB_ASSERT(ttl->prefix_size == PREFIX_TTL);
    sb_lock_take(&db->lock);
    for (uint32_t i = 0; i < db->ttl_count && !known; i++)
        known = same_kind(&db->ttls[i], (const char *)ttl->prefix, PREFIX_TTL);
    if (!known && db->ttl_count == TTL_MAX)
        status = SABOT_ERR_LIMIT;
    else if (!known)
        db->ttls[db->ttl_count++] = *ttl;
    sb_lock_drop(&db->lock);
    if (status != SABOT_OK)
        (void)sabot_raise(error, status, "more than %d states with a time to live", TTL_MAX);
    return status;
}

static void set_clock(struct sb_rows *self, enum sb_state_time clock, int64_t now_ms)
{
    atomic_store_explicit(&rocks_of(self)->clocks[clock], now_ms, memory_order_relaxed);
}

static const struct sb_rows_type sb_store_rocksdb = {
    .get = get,
    .put = put,
    .remove = remove_row,
    .pending = pending,
    .commit = commit,
    .walk = walk,
    .next = next,
    .end = end,
    .expire = expire,
    .clock = set_clock,
};

sabot_status sb_rocksdb_rows(struct sb_rocksdb *db, struct sb_rows **rows_out, sabot_error *error)
{
    struct rocks_rows *rows = sb_alloc(db->env, sizeof *rows);

    *rows_out = NULL;
    if (rows == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "state in %s: no memory", db->directory);
    rows->rows.type = &sb_store_rocksdb;
    rows->db = db;
    rows->batch = rocksdb_writebatch_create();
    atomic_init(&rows->clocks[SB_TIME_EVENT], INT64_MIN);
    atomic_init(&rows->clocks[SB_TIME_PROCESSING], INT64_MIN);
    sb_lock_take(&db->lock);
    rows->next = db->rows;
    db->rows = rows;
    sb_lock_drop(&db->lock);
    *rows_out = &rows->rows;
    return SABOT_OK;
}

void sb_rocksdb_rows_close(struct sb_rows *rows_to_close)
{
    struct rocks_rows *rows = rocks_of(rows_to_close);
    struct rocks_rows **link;

    if (rows_to_close == NULL)
        return;
    sb_lock_take(&rows->db->lock);
    link = &rows->db->rows;
    while (*link != rows)
        link = &(*link)->next;
    *link = rows->next;
    sb_lock_drop(&rows->db->lock);
    unpin(rows);
    rocksdb_writebatch_destroy(rows->batch);
    sb_free(rows->db->env, rows, sizeof *rows);
}

/* --- Reading a checkpoint ------------------------------------------------------------------------
 */

static sabot_status read_open(const struct sb_env *env,
                              const char *folder,
                              struct sb_rows **rows_out,
                              sabot_error *error)
{
    struct sb_rocksdb *db;
    sabot_status status;

    *rows_out = NULL;
    SABOT_TRY(open_as(env, folder, MEMORY_MIN, SB_ROCKSDB_READ, &db, error));
    status = sb_rocksdb_rows(db, rows_out, error);
    if (status != SABOT_OK)
        sb_rocksdb_close(db);
    return status;
}

static void read_close(struct sb_rows *rows)
{
    struct sb_rocksdb *db = rows == NULL ? NULL : rocks_of(rows)->db;

    sb_rocksdb_rows_close(rows);
    sb_rocksdb_close(db);
}

const struct sb_rows_reader sb_rocksdb_reader = {.open = read_open, .close = read_close};
