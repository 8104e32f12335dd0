/* SPDX-License-Identifier: Apache-2.0 */
/* rocksdb_none.c - a Sabot built without RocksDB says so when it is asked for. */
#include "state/rows.h"

#ifndef SB_HAVE_ROCKSDB

sabot_status sb_rocksdb_open(const struct sb_env *env,
                             const char *directory,
                             uint64_t memory,
                             struct sb_rocksdb **db_out,
                             sabot_error *error)
{
    (void)env;
    (void)directory;
    (void)memory;
    *db_out = NULL;
    return sabot_raise(
        error, SABOT_ERR_UNSUPPORTED,
        "state=rocksdb: this Sabot was built without RocksDB; install librocksdb-dev "
        "and build again, or use state=memory");
}

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

sabot_status sb_rocksdb_flush(struct sb_rocksdb *db, sabot_error *error)
{
    SB_ASSERT(db == NULL);
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "this Sabot was built without RocksDB");
}

#endif
