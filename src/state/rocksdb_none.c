/* SPDX-License-Identifier: Apache-2.0 */
/* rocksdb_none.c - a Sabot built without RocksDB says so when it is asked for. */
#include "state/rows.h"

#ifndef SB_HAVE_ROCKSDB

static sabot_status refuse(sabot_error *error)
{
    return sabot_raise(
        error, SABOT_ERR_UNSUPPORTED,
        "state=rocksdb: this Sabot was built without RocksDB; install librocksdb-dev "
        "and build again, or use state=memory");
}

sabot_status sb_rocksdb_create(const struct sb_env *env,
                               const char *directory,
                               uint64_t memory,
                               struct sb_rocksdb **db_out,
                               sabot_error *error)
{
    (void)env;
    (void)directory;
    (void)memory;
    *db_out = NULL;
    return refuse(error);
}

sabot_status sb_rocksdb_open(const struct sb_env *env,
                             const char *directory,
                             uint64_t memory,
                             struct sb_rocksdb **db_out,
                             sabot_error *error)
{
    return sb_rocksdb_create(env, directory, memory, db_out, error);
}

sabot_status sb_rocksdb_start(struct sb_rocksdb *db, enum sb_rocksdb_mode mode, sabot_error *error)
{
    (void)db;
    (void)mode;
    return refuse(error);
}

sabot_status sb_rocksdb_stage(struct sb_rocksdb *db, const char **folder_out, sabot_error *error)
{
    (void)db;
    *folder_out = NULL;
    return refuse(error);
}

void sb_rocksdb_unstage(struct sb_rocksdb *db)
{
    SB_ASSERT(db == NULL);
}

static sabot_status read_open(const struct sb_env *env,
                              const char *folder,
                              struct sb_rows **rows_out,
                              sabot_error *error)
{
    (void)env;
    (void)folder;
    *rows_out = NULL;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                       "the checkpoint has state in RocksDB, and this Sabot was built without it: "
                       "install librocksdb-dev and build again, or go on from a savepoint, which "
                       "any Sabot reads");
}

static void read_close(struct sb_rows *rows)
{
    SB_ASSERT(rows == NULL);
}

const struct sb_rows_reader sb_rocksdb_reader = {.open = read_open, .close = read_close};

sabot_status sb_rocksdb_remove(const struct sb_env *env, const char *directory, sabot_error *error)
{
    (void)env;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                       "state in %s: this Sabot was built without RocksDB", directory);
}

void sb_rocksdb_close(struct sb_rocksdb *db)
{
    SB_ASSERT(db == NULL);
}

sabot_status sb_rocksdb_rows(struct sb_rocksdb *db, struct sb_rows **rows_out, sabot_error *error)
{
    SB_ASSERT(db == NULL);
    *rows_out = NULL;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "this Sabot was built without RocksDB");
}

void sb_rocksdb_rows_close(struct sb_rows *rows_to_close)
{
    SB_ASSERT(rows_to_close == NULL);
}

sabot_status sb_rocksdb_compact(struct sb_rocksdb *db, sabot_error *error)
{
    return sb_rocksdb_flush(db, error);
}

sabot_status sb_rocksdb_flush(struct sb_rocksdb *db, sabot_error *error)
{
    SB_ASSERT(db == NULL);
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "this Sabot was built without RocksDB");
}

#endif
