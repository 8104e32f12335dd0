/* SPDX-License-Identifier: Apache-2.0 */
/* state_suite.h - what every backend of keyed state must do, as tests that run unchanged on each.
 *
 * The oracle is a naive model: arrays of plain values by number of key. A test program names its
 * backend and calls state_suite_run(). */
#ifndef SB_TEST_STATE_SUITE_H
#define SB_TEST_STATE_SUITE_H

#include "tape.h"

struct state_backend {
    const char *name;
    /* The rows behind a new store, NULL for memory; `close` ends them after their store is gone. */
    struct sb_rows *(*open)(struct sb_env *env);
    void (*close)(struct sb_env *env, struct sb_rows *rows);
    uint64_t memory; /* limit of the account of each test, bytes; 0: none */
    uint64_t cache;  /* memory for cells in front of rows */
    uint16_t operator_id;
    bool mixed; /* every third state is kept in memory, though there are rows */
};

/* `second` is the backend that snapshots of the first are restored on, and back. */
int state_suite_run(const struct state_backend *first, const struct state_backend *second);
/* The cases with a million operations, and with a million keys. */
int state_suite_run_operations(const struct state_backend *backend);
int state_suite_run_keys(const struct state_backend *backend);

/* An image whose blocks nobody wants, begun; and from its begin to the thaw, after which the rows
 * have all that is in the store. */
void state_begin_image(struct sb_store *store);
sabot_status state_write_rows(struct sb_store *store, sabot_error *error);

/* --- For tests of one backend alone
 * --------------------------------------------------------------- */

/* A store of every kind of state, and the model of what is in it. */
struct state_rig;
struct state_rig *state_rig_create(const struct state_backend *backend, uint64_t seed);
void state_rig_destroy(struct state_rig *rig);
/* Random operations, each compared with the model. */
void state_rig_run(struct state_rig *rig, uint32_t operations);
/* Everything is compared with the model. */
void state_rig_check(struct state_rig *rig);
/* Snapshot all shards, and go on with a new store of this backend that was restored from them. */
void state_rig_move(struct state_rig *rig, const struct state_backend *backend);

/* The store itself, between two callbacks; an empty one of the same states, in memory, at the same
 * time, which the caller destroys; and the latter in the place of the former, when it holds the
 * same. */
struct sb_store *state_rig_store(struct state_rig *rig);
/* One that the model doesn't know. */
void state_rig_set_timer(struct state_rig *rig, const char *key);
struct sb_env *state_rig_env(struct state_rig *rig);
struct sb_store *state_rig_spare(struct state_rig *rig);
void state_rig_take(struct state_rig *rig, struct sb_store *store);
/* The model as it is now, without a store; one of its states, on these rows; and this one, or one
 * of rig_spare(), as its own. It must go before the rig it is of. */
struct state_rig *state_rig_copy(const struct state_rig *rig);
struct sb_store *state_rig_spare_on(struct state_rig *rig, struct sb_rows *rows);
void state_rig_attach(struct state_rig *copy, struct sb_store *store);
void state_rig_drop(struct state_rig *copy);
/* Everything in the store as bytes, shard by shard, which are freed by the caller. */
void state_rig_record(struct state_rig *rig,
                      struct sb_store *store,
                      struct tape tapes[SB_SHARD_COUNT]);

#endif
