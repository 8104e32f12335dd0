/* SPDX-License-Identifier: Apache-2.0 */
/* window.h - the operator that puts records into windows of event time and tells what is in them.
 *
 * What an app says of a window (sabot/window.h) is checked and compiled once, when the pipeline is
 * built, into a struct sb_window_plan: where which accumulator lies, which states there are, which
 * fields of the result get what. Operators (window.c) and agents (window_agent.c) run by it.
 *
 *     outlet 0   results
 *     outlet 1   if there is one: records that entered no window, as they came
 *
 * Ownership: a plan belongs to its maker and outlives every operator that names it; it borrows the
 * schemas, and the texts and functions of the spec. Threads: immutable once made. */
#ifndef SB_OP_WINDOW_H
#define SB_OP_WINDOW_H

#include <sabot/window.h>

#include "op/operator.h"
#include "state/rows.h"
#include "state/store.h"

struct sb_window_plan;

struct sb_window_config {
    const struct sb_env *env;
    const char *name; /* of the step (of an agent's window: its own), in errors */
    const sabot_window_spec *spec;
    const sabot_window_aggregate *aggregates;
    uint32_t aggregate_count;
    const struct sb_schema *input;  /* of the records */
    int32_t key_field;              /* of the input, or SB_NO_FIELD: all records have one key */
    const struct sb_schema *output; /* of the results; NULL: an agent looks at them itself */
    /* Of the late records; NULL: they go nowhere. Must have the fields and layout of `input`. */
    const struct sb_schema *late;
    const char *prefix; /* of the names of its states, as in "visits."; "" for a step of its own */
};

/* Check and compile. SABOT_ERR_ARGUMENT: what the spec or an aggregate lacks, or can't have
 * together; SABOT_ERR_SCHEMA: a field is missing, or of a type that its use can't have. The error
 * begins with the name. */
SABOT_MUST_CHECK sabot_status sb_window_plan_create(const struct sb_window_config *config,
                                                    struct sb_window_plan **plan_out,
                                                    sabot_error *error);
void sb_window_plan_destroy(struct sb_window_plan *plan); /* NULL: nothing */

/* The keyed states that it needs, for a store, for `sabot state` and for checkpoints. They live as
 * long as the plan. */
const struct sb_state_spec *sb_window_plan_states(const struct sb_window_plan *plan,
                                                  uint32_t *count_out);

/* How the plan stands in words, for `sabot plan`: "tumbling 60000 ms, 5000 ms late, accumulating".
 * Cut to `size`, with a NUL. */
void sb_window_plan_describe(const struct sb_window_plan *plan, char *text_out, size_t size);

/* Settings of the operator; read-only while it runs. */
struct sb_window_settings {
    const struct sb_window_plan *plan; /* whose states are the operator's (keyed.h) */
};

extern const struct sb_operator_type sb_operator_window;

#endif
