/* SPDX-License-Identifier: Apache-2.0 */
/* state_db.c - a folder with a database for a pipeline, from its start to its end. */
#include "api/state_db.h"

#include <inttypes.h>

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

sabot_status sb_state_db_open(struct sb_state_db *db,
                              const sabot_app *app,
                              const char *pipeline,
                              uint64_t memory,
                              sabot_error *error)
{
    const struct sb_env *env = app->env;
    sabot_status status;

    *db = (struct sb_state_db){.env = env};
    db->path = sb_string_format(env, "%s/sabot-%s-%s-%016" PRIx64,
                                sb_config_text(app->config, "rocksdb.dir"), app->name, pipeline,
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

void sb_state_db_close(struct sb_state_db *db)
{
    const struct sb_env *env = db->env;
    struct folder folder = {env, db->path};

    if (env == NULL)
        return;
    sb_rocksdb_close(db->db);
    if (db->path != NULL) {
        (void)env->type->directory_list(env->self, db->path, remove_file, &folder, NULL);
        (void)env->type->path_remove(env->self, db->path, NULL);
    }
    sb_string_free(env, db->path);
    *db = (struct sb_state_db){.env = NULL};
}
