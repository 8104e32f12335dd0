/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - what stands behind the cells of a store: rows of bytes in order of their keys.
 *
 * The only implementation for use is rocksdb.c. One struct sb_rows serves one store; many share a
 * database. What is put or removed is collected, and seen by reads from commit() on.
 *
 * Threads: one rows is its store's; the database behind may be shared. Memory: a text that get() or
 * next() gave is good until the next call of that function on the same object. */
#ifndef SB_STATE_ROWS_H
#define SB_STATE_ROWS_H

#include "base/mem.h"
#include "state/store.h"

struct sb_rows_walk; /* a walk over rows in order */

/* Rows that expire by themselves: those that begin with `prefix` have the time of their last
 * refresh (8 bytes, as the machine has them) first in their value. */
struct sb_rows_ttl {
    uint8_t prefix[8];
    size_t prefix_size;
    int64_t ttl_ms;
    enum sb_state_time clock;
};

struct sb_rows_type {
    /* value_out->data == NULL: there is no such row. */
    sabot_status (*get)(struct sb_rows *rows,
                        sabot_text key,
                        sabot_text *value_out,
                        sabot_error *error);
    void (*put)(struct sb_rows *rows, sabot_text key, sabot_text value);
    void (*remove)(struct sb_rows *rows, sabot_text key);
    size_t (*pending)(const struct sb_rows *rows); /* bytes collected */
    sabot_status (*commit)(struct sb_rows *rows, sabot_error *error);

    /* The rows from `from` on whose keys begin with `prefix`. */
    sabot_status (*walk)(struct sb_rows *rows,
                         sabot_text from,
                         sabot_text prefix,
                         struct sb_rows_walk **walk_out,
                         sabot_error *error);
    /* False at the end or after an error, which end() returns. */
    bool (*next)(struct sb_rows_walk *walk, sabot_text *key_out, sabot_text *value_out);
    sabot_status (*end)(struct sb_rows_walk *walk, sabot_error *error);

    /* Rows of this kind may go once they have expired by the clock told last. */
    sabot_status (*expire)(struct sb_rows *rows, const struct sb_rows_ttl *ttl, sabot_error *error);
    void (*clock)(struct sb_rows *rows, enum sb_state_time clock, int64_t now_ms);
};

struct sb_rows {
    const struct sb_rows_type *type;
};

/* Where a store gets its rows: each operator on each worker opens its own. */
struct sb_rows_source {
    sabot_status (*open)(void *context, struct sb_rows **rows_out, sabot_error *error);
    void (*close)(struct sb_rows *rows);
    void *context;
};

/* --- RocksDB (rocksdb.c) -------------------------------------------------------------------------
 *
 * One database per pipeline. Nothing is logged: after a crash the directory is worth nothing, and
 * opening one that has a database in it is refused. */
struct sb_rocksdb;

enum sb_rocksdb_mode {
    SB_ROCKSDB_NEW,   /* the directory must not exist, or have no database in it */
    SB_ROCKSDB_ADOPT, /* goes on with the files of a checkpoint, which nobody else has */
    SB_ROCKSDB_READ,  /* the same, and changes none of them */
};

/* A database that is not there yet: rows can be opened, and used from start() on. `memory`: bytes
 * for its cache and its write buffers together. SABOT_ERR_UNSUPPORTED: this Sabot was built without
 * RocksDB. */
SABOT_MUST_CHECK sabot_status sb_rocksdb_create(const struct sb_env *env,
                                                const char *directory,
                                                uint64_t memory,
                                                struct sb_rocksdb **db_out,
                                                sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_rocksdb_start(struct sb_rocksdb *db,
                                               enum sb_rocksdb_mode mode,
                                               sabot_error *error);
/* Both, with a new one; `directory` is made. */
SABOT_MUST_CHECK sabot_status sb_rocksdb_open(const struct sb_env *env,
                                              const char *directory,
                                              uint64_t memory,
                                              struct sb_rocksdb **db_out,
                                              sabot_error *error);
/* Remove a database that nobody has open, with its directory: what a process that was killed has
 * left. SABOT_ERR_STATE: somebody has it open, or is just making it; nothing was done. */
SABOT_MUST_CHECK sabot_status sb_rocksdb_remove(const struct sb_env *env,
                                                const char *directory,
                                                sabot_error *error);
/* All its rows are gone. The directory stays. */
void sb_rocksdb_close(struct sb_rocksdb *db);
SABOT_MUST_CHECK sabot_status sb_rocksdb_rows(struct sb_rocksdb *db,
                                              struct sb_rows **rows_out,
                                              sabot_error *error);
void sb_rocksdb_rows_close(struct sb_rows *rows_to_close);
/* Write all that was committed into files, and link these into a folder of their own, which stays
 * until unstage(): a database of its own, of what was committed by now. Any thread but those that
 * write meanwhile. */
SABOT_MUST_CHECK sabot_status sb_rocksdb_stage(struct sb_rocksdb *db,
                                               const char **folder_out,
                                               sabot_error *error);
void sb_rocksdb_unstage(struct sb_rocksdb *db);
extern const struct sb_rows_reader sb_rocksdb_reader;
/* Write all that was committed into files; and write these anew, without what has expired; for
 * tests. */
SABOT_MUST_CHECK sabot_status sb_rocksdb_flush(struct sb_rocksdb *db, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_rocksdb_compact(struct sb_rocksdb *db, sabot_error *error);

#endif
