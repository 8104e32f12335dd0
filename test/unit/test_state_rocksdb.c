/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb.c - the conformance suite of keyed state with rows in RocksDB, and so little
 * memory in front of them that cells come and go all the time. */
#include "state_rocksdb.h"

int main(void)
{
    static const struct state_backend memory = {.name = "memory"};
    const struct state_backend *rocksdb = state_rocksdb(3 << 20, 16 << 20);

    return rocksdb == NULL ? 77 : state_suite_run(rocksdb, &memory);
}
