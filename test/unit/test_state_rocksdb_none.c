/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_none.c - what a Sabot that was built without RocksDB says, in one that may
 * have it: its file is built here under other names. */
#undef SB_HAVE_ROCKSDB
#define sb_rocksdb_create none_create
#define sb_rocksdb_open none_open
#define sb_rocksdb_start none_start
#define sb_rocksdb_remove none_remove
#define sb_rocksdb_close none_close
#define sb_rocksdb_rows none_rows
#define sb_rocksdb_rows_close none_rows_close
#define sb_rocksdb_stage none_stage
#define sb_rocksdb_unstage none_unstage
#define sb_rocksdb_reader none_reader
#define sb_rocksdb_flush none_flush
#define sb_rocksdb_compact none_compact
#include "state/rocksdb_none.c" /* NOLINT(bugprone-suspicious-include) */

#include "test.h"

static void assert_said(const sabot_error *error, const char *words)
{
    if (strstr(error->text, words) == NULL)
        fail_msg("no \"%s\" in: %s", words, error->text);
}

static void state_in_rocksdb_is_refused_and_the_way_out_is_named(void **state)
{
    struct sb_rocksdb *db = (struct sb_rocksdb *)(void *)state;
    sabot_error error = {.text = ""};

    assert_int_equal(none_create(NULL, "folder", 1 << 20, &db, &error), SABOT_ERR_UNSUPPORTED);
    assert_null(db);
    assert_said(&error, "built without RocksDB");
    assert_said(&error, "librocksdb-dev");
    assert_said(&error, "state=memory");
    assert_int_equal(none_open(NULL, "folder", 1 << 20, &db, &error), SABOT_ERR_UNSUPPORTED);
    none_close(db);
}

static void a_checkpoint_with_rows_is_refused_and_savepoints_are_named(void **state)
{
    struct sb_rows *rows = (struct sb_rows *)(void *)state;
    sabot_error error = {.text = ""};

    assert_int_equal(none_reader.open(NULL, "folder", &rows, &error), SABOT_ERR_UNSUPPORTED);
    assert_null(rows);
    assert_said(&error, "built without it");
    assert_said(&error, "savepoint");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_in_rocksdb_is_refused_and_the_way_out_is_named),
        cmocka_unit_test(a_checkpoint_with_rows_is_refused_and_savepoints_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
