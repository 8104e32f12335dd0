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

/* --- What a run has left that was killed ---------------------------------------------------------
 *
 * Folders are named sabot-APP-PIPELINE-NUMBER, beside checkpoints live-NUMBER, the number of 16
 * hexadecimal digits. */

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
        sb_folder_remove(env, path);
        sb_log(env, SABOT_LOG_INFO, "state", "%s: removed; a run that was killed has left it",
               path);
    }
    sb_string_free(env, path);
    return SABOT_OK;
}

/* Of this pipeline, so that a worker that is killed again and again doesn't fill the disk. */
static void remove_leftovers(const struct sb_state_db *db)
{
    struct leftovers leftovers = {db->env, db->parent, db->prefix};

    (void)!db->env->type->directory_list(db->env->self, db->parent, remove_leftover, &leftovers,
                                         NULL);
}

/* --- For checkpoints -----------------------------------------------------------------------------
 */

static sabot_status prepare(void *context, const char **folder_out, sabot_error *error)
{
    struct sb_state_db *db = context;

    *folder_out = db->path;
    if (db->is_made) /* by a restore that could not come to its end yet */
        sb_folder_remove(db->env, db->path);
    remove_leftovers(db);
    SABOT_TRY(db->env->type->directory_create(db->env->self, db->path, error));
    db->is_made = true;
    return SABOT_OK;
}

static sabot_status start(void *context, bool has_files, sabot_error *error)
{
    struct sb_state_db *db = context;

    return sb_rocksdb_start(db->db, has_files ? SB_ROCKSDB_ADOPT : SB_ROCKSDB_NEW, error);
}

static sabot_status stage(void *context, const char **folder_out, sabot_error *error)
{
    struct sb_state_db *db = context;

    return sb_rocksdb_stage(db->db, folder_out, error);
}

static void unstage(void *context)
{
    struct sb_state_db *db = context;

    sb_rocksdb_unstage(db->db);
}

/* --- From its start to its end -------------------------------------------------------------------
 */

static sabot_status make_names(struct sb_state_db *db,
                               const sabot_app *app,
                               const char *pipeline,
                               sabot_error *error)
{
    const struct sb_env *env = db->env;
    const char *parent = sb_config_text(app->config, "rocksdb.dir");
    const char *state_dir = sb_config_text(app->config, "state.dir");

    if (parent == NULL && state_dir != NULL) {
        db->parent = sb_string_format(env, "%s/%s/%s", state_dir, app->name, pipeline);
        db->prefix = sb_string_copy(env, "live-");
    } else {
        db->parent = sb_string_copy(env, parent == NULL ? "/var/tmp" : parent);
        db->prefix = sb_string_format(env, "sabot-%s-%s-", app->name, pipeline);
    }
    if (db->parent != NULL && db->prefix != NULL)
        db->path =
            sb_string_format(env, "%s/%s%016" PRIx64, db->parent, db->prefix, sb_random(env));
    return db->path != NULL
               ? SABOT_OK
               : sabot_raise(error, SABOT_ERR_MEMORY, "pipeline %s: no memory", pipeline);
}

sabot_status sb_state_db_plan(struct sb_state_db *db,
                              const sabot_app *app,
                              const char *pipeline,
                              uint64_t memory,
                              sabot_error *error)
{
    sabot_status status;

    *db = (struct sb_state_db){.env = app->env};
    db->source = (struct sb_rows_source){open_rows, sb_rocksdb_rows_close, db};
    db->database = (struct sb_database){prepare, start, stage, unstage, db};
    status = make_names(db, app, pipeline, error);
    if (status == SABOT_OK)
        status = sb_rocksdb_create(app->env, db->path, memory, &db->db, error);
    if (status != SABOT_OK)
        sb_state_db_close(db);
    return status;
}

sabot_status sb_state_db_start(struct sb_state_db *db, sabot_error *error)
{
    const char *folder;

    if (db->env == NULL)
        return SABOT_OK;
    SABOT_TRY(prepare(db, &folder, error));
    return start(db, false, error);
}

void sb_state_db_close(struct sb_state_db *db)
{
    const struct sb_env *env = db->env;

    if (env == NULL)
        return;
    sb_rocksdb_close(db->db);
    if (db->is_made)
        sb_folder_remove(env, db->path);
    sb_string_free(env, db->path);
    sb_string_free(env, db->parent);
    sb_string_free(env, db->prefix);
    *db = (struct sb_state_db){.env = NULL};
}
