/* SPDX-License-Identifier: Apache-2.0 */
/* operator.h - the interface of every operator: what a task does with rows and with time.
 *
 * An operator (process.c: agents; later filter, window, join) is one `struct sb_operator_type`. A
 * task (flow/task.h) owns one instance for each worker thread, feeds it, and sends on what it put
 * into its outlets. The plan's part (`settings`) is read-only and shared by all threads; what
 * changes lives in the instance.
 *
 * An operator never waits and never sees threads. When an outlet has sealed a batch, it stops and
 * says how far it came; the task sends the batch and calls again.
 *
 * Threads: an instance belongs to one worker. */
#ifndef SB_OP_OPERATOR_H
#define SB_OP_OPERATOR_H

#include "data/slice.h"
#include "op/outlet.h"
#include "state/store.h"

struct sb_operator;
struct sb_keyed_settings; /* keyed.h */

struct sb_operator_config {
    const struct sb_env *env;
    const char *name;     /* of the agent or step: state id, metric label, in errors */
    const void *settings; /* of this kind of operator, e.g. struct sb_process_settings */
    const struct sb_keyed_settings *keyed; /* its states; NULL: it has none */
    const struct sb_schema *input;
    int32_t key_field; /* of the input, or SB_NO_FIELD */
    struct sb_outlet *outlets;
    uint32_t outlet_count;
    uint32_t worker; /* this instance gets the shards s with s % worker_count == worker */
    uint32_t worker_count;
    uint64_t hash_seed;
    bool drops_state; /* what a snapshot has of states that are no more is passed over */
};

/* The time that has passed for good at a watermark. Records of its own time may still come, and
 * what waits for that time comes after them. */
static inline int64_t sb_passed_ms(int64_t watermark_ms)
{
    return watermark_ms == INT64_MIN || watermark_ms == INT64_MAX ? watermark_ms : watermark_ms - 1;
}

struct sb_operator_type {
    const char *name; /* "process" */

    SABOT_MUST_CHECK sabot_status (*create)(const struct sb_operator_config *config,
                                            struct sb_operator **operator_out,
                                            sabot_error *error);
    void (*destroy)(struct sb_operator *self);

    /* Handle the rows of the slice from *cursor on, up to `end`, and move it. Stops early when an
     * outlet has a sealed batch. An error names the row's partition and offset; *cursor stands at
     * that row, and the rows before it are done. SABOT_AGAIN: all rows are done, but not what
     * follows from them (timers set for a time that has passed); call again. */
    SABOT_MUST_CHECK sabot_status (*rows)(struct sb_operator *self,
                                          const struct sb_slice *slice,
                                          uint32_t *cursor,
                                          uint32_t end,
                                          sabot_error *error);

    /* No event before `watermark_ms` is expected any more; INT64_MAX: the inputs have ended.
     * SABOT_AGAIN: stopped early because an outlet has a sealed batch; call again. */
    SABOT_MUST_CHECK sabot_status (*watermark)(struct sb_operator *self,
                                               int64_t watermark_ms,
                                               sabot_error *error);

    /* Rows of the slices so far that were late, since the last call: they entered no window, and
     * are not counted as processed. NULL: none ever. */
    uint64_t (*take_late)(struct sb_operator *self);

    /* Timers of processing time; NULL: the operator has none. `due_ms` says when the next one is
     * due on the wall clock, never too late (INT64_MAX: there is none); `clock` does what is due by
     * now, between two slices. SABOT_AGAIN: as above. */
    int64_t (*due_ms)(const struct sb_operator *self);
    SABOT_MUST_CHECK sabot_status (*clock)(struct sb_operator *self, sabot_error *error);

    /* All keyed state of the instance, which other operators of this worker may use; NULL: there is
     * none. Checkpoints take it as an image (state/store.h), so nothing must be kept elsewhere. */
    struct sb_store *(*store)(struct sb_operator *self);
    /* Before the first row: the store that loan number `index` of this operator names. It stays the
     * lender's, whose task is stepped by the same thread and snapshotted at the same moment. */
    void (*borrow)(struct sb_operator *self, uint32_t index, struct sb_store *store);

    /* Before the first row: read one shard in its logical form. */
    SABOT_MUST_CHECK sabot_status (*restore)(struct sb_operator *self,
                                             const struct sb_byte_source *source,
                                             sabot_error *error);
};

#endif
