/* SPDX-License-Identifier: Apache-2.0 */
/* state_db.h - the database behind the states of a pipeline that aren't kept in memory.
 *
 * One per pipeline, in a new folder below rocksdb.dir, which is removed with it: what outlives the
 * process is in checkpoints. Threads: the run's control; the stores of a pipeline share it. */
#ifndef SB_API_STATE_DB_H
#define SB_API_STATE_DB_H

#include "api/app.h"
#include "state/rows.h"

struct sb_state_db {
    const struct sb_env *env; /* NULL: none */
    char *path;
    struct sb_rocksdb *db;
    struct sb_rows_source source; /* of this database, for the agents of the pipeline */
};

/* Does the agent keep a state outside of memory? */
bool sb_agent_needs_db(const sabot_agent *agent);

/* `memory`: bytes for the database. */
SABOT_MUST_CHECK sabot_status sb_state_db_open(struct sb_state_db *db,
                                               const sabot_app *app,
                                               const char *pipeline,
                                               uint64_t memory,
                                               sabot_error *error);
/* All stores are gone. A database that isn't open: nothing. */
void sb_state_db_close(struct sb_state_db *db);

#endif
