/* SPDX-License-Identifier: Apache-2.0 */
/* state_rocksdb.c - see the header. */
#include "state_rocksdb.h"

#include "test.h"

#include "state/rows.h"

enum { OPEN_MAX = 4 };

/* Those that are open. */
static struct database {
    struct sb_rows *rows; /* NULL: none is */
    struct sb_rocksdb *db;
    char folder[256];
} databases[OPEN_MAX];
static uint64_t database_memory;

static struct database *find(const struct sb_rows *rows)
{
    for (uint32_t i = 0; i < OPEN_MAX; i++)
        if (databases[i].rows == rows)
            return &databases[i];
    fail_msg("too many databases are open");
    return NULL;
}

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
    struct database *database = find(NULL);
    sabot_error error;

    state_rocksdb_folder(database->folder);
    if (sb_rocksdb_open(env, database->folder, database_memory, &database->db, &error) !=
            SABOT_OK ||
        sb_rocksdb_rows(database->db, &database->rows, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    return database->rows;
}

static void close_rows(struct sb_env *env, struct sb_rows *rows)
{
    struct database *database = find(rows);

    sb_rocksdb_rows_close(rows);
    sb_rocksdb_close(database->db);
    state_rocksdb_remove(env, database->folder);
    database->rows = NULL;
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
