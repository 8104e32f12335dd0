/* SPDX-License-Identifier: Apache-2.0 */
/* state_db.h - the database behind the states of a pipeline that aren't kept in memory.
 *
 * One per pipeline, in a new folder, which is removed with it: what outlives the process is in
 * checkpoints. The folder lies below rocksdb.dir; or else beside the checkpoints, so that their
 * files can be links, and without a state directory below /var/tmp. The database is planned before
 * there are stores, and starts when they are made and nothing has been read from them.
 *
 * Threads: the run's control; the stores of a pipeline share it. */
#ifndef SB_API_STATE_DB_H
#define SB_API_STATE_DB_H

#include "api/app.h"
#include "state/rows.h"

struct sb_state_db {
    const struct sb_env *env; /* NULL: none */
    char *parent;             /* the folder that its folder is made in, */
    char *prefix;             /* and how the names of such folders begin */
    char *path;
    bool is_made; /* its folder */
    struct sb_rocksdb *db;
    struct sb_rows_source source; /* of this database, for the agents of the pipeline */
    struct sb_database database;  /* the same, for its checkpoints */
};

/* Does the agent keep a state outside of memory? */
bool sb_agent_needs_db(const sabot_agent *agent);

/* `memory`: bytes for the database. */
SABOT_MUST_CHECK sabot_status sb_state_db_plan(struct sb_state_db *db,
                                               const sabot_app *app,
                                               const char *pipeline,
                                               uint64_t memory,
                                               sabot_error *error);
/* Start it with nothing in it, where nobody restores it. One that isn't planned: nothing. */
SABOT_MUST_CHECK sabot_status sb_state_db_start(struct sb_state_db *db, sabot_error *error);
/* All stores are gone. A database that isn't planned: nothing. */
void sb_state_db_close(struct sb_state_db *db);

#endif
