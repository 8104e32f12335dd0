/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_keys.c - a million keys with rows in RocksDB; apart, for it takes its time. */
#include "state_rocksdb.h"

int main(void)
{
    const struct state_backend *rocksdb = state_rocksdb(64 << 20, 128 << 20);

    return rocksdb == NULL ? 77 : state_suite_run_keys(rocksdb);
}
