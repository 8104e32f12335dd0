/* SPDX-License-Identifier: Apache-2.0 */
/* state_rocksdb.h - RocksDB in a folder of its own as the rows behind a store, for tests. */
#ifndef SB_TEST_STATE_ROCKSDB_H
#define SB_TEST_STATE_ROCKSDB_H

#include "state_suite.h"

/* NULL: this Sabot is built without it. Bytes of cells in front of the rows, and for the database.
 */
const struct state_backend *state_rocksdb(uint64_t cache, uint64_t database);

/* A new empty folder below the build; removed with all files in it by the second. */
void state_rocksdb_folder(char path[256]);
void state_rocksdb_remove(struct sb_env *env, const char *path);

#endif
