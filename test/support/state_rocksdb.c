/* SPDX-License-Identifier: Apache-2.0 */
/* state_rocksdb.c - see the header. One database at a time. */
#include "state_rocksdb.h"

#include "test.h"

#include "state/rows.h"

static struct sb_rocksdb *db;
static char directory[256];
static uint64_t database_memory;

void state_rocksdb_folder(char path[256])
{
    const char *base = getenv("SABOT_BUILD_DIR");

    snprintf(path, 256, "%s/state_rocksdb_XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(path));
}

struct folder {
    struct sb_env *env;
    const char *path;
};

static sabot_status remove_file(void *context, const char *name)
{
    const struct folder *folder = context;
    char path[600];

    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    (void)folder->env->type->path_remove(folder->env->self, path, NULL);
    return SABOT_OK;
}

void state_rocksdb_remove(struct sb_env *env, const char *path)
{
    struct folder folder = {env, path};

    (void)env->type->directory_list(env->self, path, remove_file, &folder, NULL);
    (void)env->type->path_remove(env->self, path, NULL);
}

static struct sb_rows *open_rows(struct sb_env *env)
{
    struct sb_rows *rows = NULL;
    sabot_error error;

    state_rocksdb_folder(directory);
    if (sb_rocksdb_open(env, directory, database_memory, &db, &error) != SABOT_OK ||
        sb_rocksdb_rows(db, &rows, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    return rows;
}

static void close_rows(struct sb_env *env, struct sb_rows *rows)
{
    sb_rocksdb_rows_close(rows);
    sb_rocksdb_close(db);
    db = NULL;
    state_rocksdb_remove(env, directory);
}

const struct state_backend *state_rocksdb(uint64_t cache, uint64_t database)
{
    static struct state_backend backend = {
        .name = "rocksdb", .open = open_rows, .close = close_rows};

    backend.cache = cache;
    database_memory = database;
#ifdef SB_HAVE_ROCKSDB
    return &backend;
#else
    return NULL;
#endif
}
