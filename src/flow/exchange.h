/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - one edge of the graph as its sending side on one worker: batches in, slices out.
 *
 *   output --batch--> split by key --> slice --> ring to the task on worker 0
 *                                  --> slice --> ring to the task on worker 1 ...
 *          --mark---> to all rings
 *
 * With a key, a row goes to the worker that owns the shard of its key; every instance of the edge
 * agrees on that, so that all rows of a key meet in one task and keep their order. Without a key
 * (to a sink, to an agent without state) rows stay on their worker: one target.
 *
 * A row that deletes its key (batch.h) is no record: only tables get it.
 *
 * A full ring is back-pressure: what it can't take is held here, one message per target, and until
 * all of it is gone the exchange takes nothing new.
 *
 * Thread: the sending worker. Memory: slices from the exchange's pool. */
#ifndef SB_FLOW_EXCHANGE_H
#define SB_FLOW_EXCHANGE_H

#include "flow/message.h"

struct sb_target {
    struct sb_ring *ring;   /* to the receiving task; borrowed */
    struct sb_waker *waker; /* of the receiving worker; NULL: it is our own */
    struct sb_message held; /* could not be pushed yet */
    bool holds;
};

struct sb_exchange {
    const struct sb_env *env;
    struct sb_slice_pool pool;
    int32_t key_field;  /* or SB_NO_FIELD: one target */
    bool takes_deletes; /* set after init: to a table; for others there are no such rows */
    uint64_t hash_seed;
    uint32_t target_count;
    uint32_t holding; /* targets that hold a message */
    struct sb_target *targets;
    struct sb_slice **parts; /* scratch of split: one a target */
    uint64_t *hashes;        /* scratch of split: one a row */
};

/* For batches of up to `rows_max` rows. The caller then sets ring and waker of each target. */
SABOT_MUST_CHECK sabot_status sb_exchange_init(struct sb_exchange *exchange,
                                               const struct sb_env *env,
                                               uint32_t target_count,
                                               int32_t key_field,
                                               uint64_t hash_seed,
                                               uint32_t rows_max);
/* The receivers have dropped all slices by now. */
void sb_exchange_reset(struct sb_exchange *exchange);

/* Both: nothing is held (asserted). The batch is borrowed. SABOT_ERR_MEMORY: nothing was sent. */
SABOT_MUST_CHECK sabot_status sb_exchange_batch(struct sb_exchange *exchange,
                                                struct sb_batch *batch);
void sb_exchange_mark(struct sb_exchange *exchange, const struct sb_message *mark);

/* Push what is held. True: nothing is held any more. */
bool sb_exchange_push(struct sb_exchange *exchange);

#endif
