/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_operations.c - a million random operations with rows in RocksDB; apart, for it
 * takes its time. */
#include "state_rocksdb.h"

int main(void)
{
    const struct state_backend *rocksdb = state_rocksdb(16 << 20, 16 << 20);

    return rocksdb == NULL ? 77 : state_suite_run_operations(rocksdb);
}
