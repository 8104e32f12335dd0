/* SPDX-License-Identifier: Apache-2.0 */
/* window_fold.h - aggregates: a value is added to an accumulator, accumulators are merged, a result
 * is made.
 *
 * Accumulators are structs of fixed size in a unit (window_plan.h), zeroed at first. What has no
 * fixed size is done by window_part.h; here it is only counted.
 *
 * Mean and variance: B. P. Welford, Technometrics 4 (1962); merged by T. Chan, G. Golub and R.
 * LeVeque, "Updating formulae and a pairwise algorithm", 1979.
 *
 * Threads: stateless. */
#ifndef SB_OP_WINDOW_FOLD_H
#define SB_OP_WINDOW_FOLD_H

#include "op/window_plan.h"

/* A value of a field, or the result of an aggregate; which member counts says the class. */
struct sb_value {
    bool present;
    int64_t int64;
    double float64;
    sabot_text text;
};

/* Where the values of a record are. */
struct sb_window_input {
    const struct sb_batch *batch; /* NULL: in the struct */
    uint32_t row;
    const void *record; /* the struct; NULL where the plan doesn't need it */
    const uint8_t
        *present; /* of the struct's fields, a bit each; NULL: all but texts without data */
    int64_t event_time_ms;
};

/* The value of an input's field. */
struct sb_value sb_input_value(const struct sb_window_plan *plan,
                               const struct sb_window_input *input,
                               uint32_t field);

/* Add a record. Parts are not added; the accumulator of a text's first or last is as if it were
 * (the caller compares `time_ms` before). Fails only for custom aggregates. */
SABOT_MUST_CHECK sabot_status sb_fold_add(const struct sb_window_plan *plan,
                                          const struct sb_fold *fold,
                                          const struct sb_window_input *input,
                                          void *accumulator,
                                          sabot_error *error);

/* The same for many rows of a batch, each to its own unit, in order; not for custom aggregates nor
 * for those with parts. */
void sb_fold_add_rows(const struct sb_fold *fold,
                      const struct sb_batch *batch,
                      const uint32_t *rows,
                      struct sb_window_unit *const *units,
                      uint32_t count);

/* Add what is in `other`, whose records are later (of sessions that overlap: began later). */
SABOT_MUST_CHECK sabot_status sb_fold_merge(const struct sb_window_plan *plan,
                                            const struct sb_fold *fold,
                                            void *accumulator,
                                            const void *other,
                                            sabot_error *error);

/* Not for aggregates that give a text or count distinct values. `records` of the unit.
 * SABOT_ERR_LIMIT: a sum doesn't fit. */
SABOT_MUST_CHECK sabot_status sb_fold_result(const struct sb_window_plan *plan,
                                             const struct sb_fold *fold,
                                             const void *accumulator,
                                             int64_t records,
                                             struct sb_value *value_out,
                                             sabot_error *error);

#endif
