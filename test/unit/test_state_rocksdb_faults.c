/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_rocksdb_faults.c - a database whose folder is read-only, full or removed, or whose
 * file has a flipped byte: a clear error, no crash, and no wrong value. */
#include "state_rocksdb.h"

#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/rows.h"

#ifdef SB_HAVE_ROCKSDB

enum { KEYS = 20000, MANY_KEYS = 200000, VALUE_SIZE = 100 };

struct fixture {
    struct sb_env *env;
    char folder[256];
    struct sb_rocksdb *db;
    struct sb_rows *rows;
    struct sb_store *store;
    sabot_error error;
};

static void open_store(struct fixture *fixture)
{
    static const struct sb_state_spec spec = {.name = "blob", .kind = SB_STATE_VALUE};
    const struct sb_store_config config = {.env = fixture->env,
                                           .owner = "agent",
                                           .states = &spec,
                                           .state_count = 1,
                                           .rows = fixture->rows,
                                           .cache_bytes = 1 << 20};

    assert_int_equal(sb_store_create(&config, &fixture->store, NULL), SABOT_OK);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    *state = fixture;
    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    state_rocksdb_folder(fixture->folder);
    if (sb_rocksdb_open(fixture->env, fixture->folder, 16 << 20, &fixture->db, &fixture->error) !=
            SABOT_OK ||
        sb_rocksdb_rows(fixture->db, &fixture->rows, &fixture->error) != SABOT_OK)
        return -1;
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
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static void make_value(uint8_t value[VALUE_SIZE], int64_t number)
{
    memset(value, (int)(number % 251), VALUE_SIZE);
    memcpy(value, &number, sizeof number);
}

/* Put the keys from `from` on. Returns the first error. */
static sabot_status put_keys(struct fixture *fixture, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        uint8_t value[VALUE_SIZE];

        make_value(value, i);
        SABOT_TRY(sb_store_begin(fixture->store, 0, &fixture->error));
        SABOT_TRY(sb_store_put(fixture->store, 0, key, sb_hash(&i, sizeof i, 0),
                               (sabot_text){(const char *)value, sizeof value}, &fixture->error));
    }
    return SABOT_OK;
}

/* Read all keys: what comes is right. Returns the first error. */
static sabot_status read_keys(struct fixture *fixture, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        uint8_t value[VALUE_SIZE];
        sabot_text found;

        make_value(value, i);
        SABOT_TRY(sb_store_begin(fixture->store, 0, &fixture->error));
        found = sb_store_get(fixture->store, 0, key, sb_hash(&i, sizeof i, 0));
        SABOT_TRY(sb_store_status(fixture->store, &fixture->error));
        assert_int_equal(found.size, sizeof value);
        assert_memory_equal(found.data, value, sizeof value);
    }
    return SABOT_OK;
}

static sabot_status write_all(struct fixture *fixture)
{
    SABOT_TRY(state_write_rows(fixture->store, &fixture->error));
    return sb_rocksdb_flush(fixture->db, &fixture->error);
}

/* Flip a byte in the middle of every file of rows. */
static void flip_bytes(const char *folder)
{
    DIR *directory = opendir(folder);
    uint32_t flipped = 0;

    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[600];
        FILE *file;
        int byte;

        if (strstr(entry->d_name, ".sst") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        file = fopen(path, "r+b");
        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        assert_int_equal(fseek(file, ftell(file) / 2, SEEK_SET), 0);
        byte = fgetc(file);
        assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
        assert_int_not_equal(fputc(byte ^ 0x10, file), EOF);
        assert_int_equal(fclose(file), 0);
        flipped++;
    }
    closedir(directory);
    assert_true(flipped > 0);
}

static void a_flipped_byte_is_an_error_and_never_a_wrong_value(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(put_keys(fixture, 0, KEYS), SABOT_OK);
    assert_int_equal(write_all(fixture), SABOT_OK);
    sb_store_destroy(fixture->store);
    open_store(fixture);
    flip_bytes(fixture->folder);
    assert_int_equal(read_keys(fixture, KEYS), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, fixture->folder));
    assert_non_null(strstr(fixture->error.text, "restore from the last checkpoint"));
}

static void a_full_disk_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit limit;
    struct rlimit before;
    sabot_status status;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 65536;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    status = put_keys(fixture, 0, MANY_KEYS);
    if (status == SABOT_OK)
        status = write_all(fixture);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, SABOT_ERR_IO);
    assert_non_null(strstr(fixture->error.text, fixture->folder));
}

static void a_folder_that_is_gone_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    sabot_status status;

    assert_int_equal(put_keys(fixture, 0, KEYS), SABOT_OK);
    state_rocksdb_remove(fixture->env, fixture->folder);
    status = put_keys(fixture, KEYS, MANY_KEYS);
    if (status == SABOT_OK)
        status = write_all(fixture);
    assert_int_equal(status, SABOT_ERR_IO);
    assert_non_null(strstr(fixture->error.text, fixture->folder));
}

static void a_folder_that_may_not_be_written_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct sb_rocksdb *db;
    char folder[256];

    if (geteuid() == 0)
        skip(); /* who may do everything is not refused */
    state_rocksdb_folder(folder);
    assert_int_equal(chmod(folder, 0500), 0);
    assert_int_equal(sb_rocksdb_open(fixture->env, folder, 0, &db, &fixture->error), SABOT_ERR_IO);
    assert_null(db);
    assert_non_null(strstr(fixture->error.text, folder));
    state_rocksdb_remove(fixture->env, folder);
}

static void a_folder_that_has_a_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct sb_rocksdb *db;

    sb_store_destroy(fixture->store);
    fixture->store = NULL;
    sb_rocksdb_rows_close(fixture->rows);
    fixture->rows = NULL;
    sb_rocksdb_close(fixture->db);
    fixture->db = NULL;
    assert_int_not_equal(sb_rocksdb_open(fixture->env, fixture->folder, 0, &db, &fixture->error),
                         SABOT_OK);
    assert_null(db);
    assert_non_null(strstr(fixture->error.text, "exists"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flipped_byte_is_an_error_and_never_a_wrong_value),
        TEST(a_full_disk_is_an_error),
        TEST(a_folder_that_is_gone_is_an_error),
        TEST(a_folder_that_may_not_be_written_is_an_error),
        TEST(a_folder_that_has_a_database_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77;
}

#endif
