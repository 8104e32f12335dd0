/* SPDX-License-Identifier: Apache-2.0 */
/* state_db.c - a folder with a database for a pipeline, from its start to its end. */
#include "api/state_db.h"

#include <inttypes.h>
#include <string.h>

bool sb_agent_needs_db(const sabot_agent *agent)
{
    for (uint32_t i = 0; i < agent->state_count; i++) {
        if (!agent->states[i].in_memory)
            return true;
    }
    return false;
}

static sabot_status open_rows(void *context, struct sb_rows **rows_out, sabot_error *error)
{
    const struct sb_state_db *db = context;

    return sb_rocksdb_rows(db->db, rows_out, error);
}

struct folder {
    const struct sb_env *env;
    const char *path;
};

static sabot_status remove_file(void *context, const char *name)
{
    const struct folder *folder = context;
    char *path = sb_string_format(folder->env, "%s/%s", folder->path, name);

    if (path != NULL)
        (void)folder->env->type->path_remove(folder->env->self, path, NULL);
    sb_string_free(folder->env, path);
    return SABOT_OK;
}

/* The database and its folder; nothing happens to one that is open elsewhere. */
static void remove_folder(const struct sb_env *env, const char *path)
{
    struct folder folder = {env, path};

    (void)env->type->directory_list(env->self, path, remove_file, &folder, NULL);
    (void)env->type->path_remove(env->self, path, NULL);
}

/* --- What a run has left that was killed ---------------------------------------------------------
 *
 * Folders are named sabot-APP-PIPELINE-NUMBER, the number of 16 hexadecimal digits. */

enum { NUMBER_DIGITS = 16 };

struct leftovers {
    const struct sb_env *env;
    const char *parent;
    const char *prefix;
};

static sabot_status remove_leftover(void *context, const char *name)
{
    const struct leftovers *leftovers = context;
    const size_t prefix_size = strlen(leftovers->prefix);
    const struct sb_env *env = leftovers->env;
    char *path;

    if (strncmp(name, leftovers->prefix, prefix_size) != 0 ||
        strspn(name + prefix_size, "0123456789abcdef") != NUMBER_DIGITS ||
        name[prefix_size + NUMBER_DIGITS] != '\0')
        return SABOT_OK;
    path = sb_string_format(env, "%s/%s", leftovers->parent, name);
    if (path != NULL && sb_rocksdb_remove(env, path, NULL) == SABOT_OK) {
        remove_folder(env, path);
        sb_log(env, SABOT_LOG_INFO, "state", "%s: removed; a run that was killed has left it",
               path);
    }
    sb_string_free(env, path);
    return SABOT_OK;
}

/* Of this pipeline, so that a worker that is killed again and again doesn't fill the disk. */
static void remove_leftovers(const struct sb_env *env,
                             const char *parent,
                             const char *app,
                             const char *pipeline)
{
    char *prefix = sb_string_format(env, "sabot-%s-%s-", app, pipeline);
    struct leftovers leftovers = {env, parent, prefix};

    if (prefix != NULL)
        (void)env->type->directory_list(env->self, parent, remove_leftover, &leftovers, NULL);
    sb_string_free(env, prefix);
}

sabot_status sb_state_db_open(struct sb_state_db *db,
                              const sabot_app *app,
                              const char *pipeline,
                              uint64_t memory,
                              sabot_error *error)
{
    const struct sb_env *env = app->env;
    const char *parent = sb_config_text(app->config, "rocksdb.dir");
    sabot_status status;

    *db = (struct sb_state_db){.env = env};
    remove_leftovers(env, parent, app->name, pipeline);
    db->path = sb_string_format(env, "%s/sabot-%s-%s-%016" PRIx64, parent, app->name, pipeline,
                                sb_random(env));
    if (db->path == NULL) {
        status = sabot_raise(error, SABOT_ERR_MEMORY, "pipeline %s: no memory", pipeline);
    } else {
        status = env->type->directory_create(env->self, db->path, error);
        if (status == SABOT_OK)
            status = sb_rocksdb_open(env, db->path, memory, &db->db, error);
    }
    if (status != SABOT_OK) {
        sb_state_db_close(db);
        return status;
    }
    db->source = (struct sb_rows_source){open_rows, sb_rocksdb_rows_close, db};
    return SABOT_OK;
}

void sb_state_db_close(struct sb_state_db *db)
{
    const struct sb_env *env = db->env;

    if (env == NULL)
        return;
    sb_rocksdb_close(db->db);
    if (db->path != NULL)
        remove_folder(env, db->path);
    sb_string_free(env, db->path);
    *db = (struct sb_state_db){.env = NULL};
}
