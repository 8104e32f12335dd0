/* SPDX-License-Identifier: Apache-2.0 */
/* fit.h - does a row, once encoded, fit the channel that its output goes to?
 *
 *   emit --row--> outlet --guard: sb_fit_check()--> the row stays, or the call has failed
 *   batch --> sink --encoded, size known--> staged or written, or sb_fit_refuse()
 *
 * A transaction that the broker refuses because of one record would fail again and again, so what
 * is too large must never be staged. The agent hears of it where it emits: the error is its call's,
 * and names the record that the call was about. To find out costs a sum of the sizes of a row's
 * texts; only a row that may be too large by that is encoded to be measured. The sink looks again,
 * for rows that no agent has emitted.
 *
 * Thread: the worker's. Memory: an encoder, and a buffer that grows to the largest row measured. */
#ifndef SB_FLOW_FIT_H
#define SB_FLOW_FIT_H

#include "flow/graph.h"

struct sb_fit {
    const struct sb_node *sink; /* NULL: nothing is too large */
    struct sb_encoder *encoder;
    struct sb_buffer encoded;
    uint64_t record_max; /* bytes of key and value */
};

/* Bytes of key and value that the channel of a sink takes; UINT64_MAX: as many as there are. */
uint64_t sb_fit_record_max(const struct sb_node *sink);

/* For an output of a node: of the sinks that it leads to, the one that takes the least counts. */
SABOT_MUST_CHECK sabot_status sb_fit_init(struct sb_fit *fit,
                                          const struct sb_graph *graph,
                                          uint32_t node,
                                          uint32_t output,
                                          sabot_error *error);
void sb_fit_reset(struct sb_fit *fit);

/* The guard of an outlet; `context` is the fit. SABOT_ERR_LIMIT: it is too large; or what the
 * encoder says. */
SABOT_MUST_CHECK sabot_status sb_fit_check(void *context,
                                           const struct sb_batch *batch,
                                           uint32_t row,
                                           sabot_error *error);

/* SABOT_ERR_LIMIT with which record it was, how large, and what the limit is; the channel is the
 * caller's to name. */
SABOT_MUST_CHECK sabot_status sb_fit_refuse(const struct sb_node *sink,
                                            sabot_text key,
                                            size_t size,
                                            int64_t time_ms,
                                            sabot_error *error);

#endif
