/* SPDX-License-Identifier: Apache-2.0 */
/* keyed.h - the keyed state of an operator: what the plan says of it, and the store that an
 * instance has of it.
 *
 * Threads: what the plan says is read-only and shared; a store belongs to its instance. */
#ifndef SB_OP_KEYED_H
#define SB_OP_KEYED_H

#include "op/operator.h"
#include "state/rows.h"
#include "state/store.h"

/* Of all instances. */
struct sb_keyed_settings {
    const struct sb_state_spec *states;
    uint32_t state_count;
    struct sb_account *account;        /* of all state of the process; NULL: not counted */
    const struct sb_rows_source *rows; /* behind states that aren't kept in memory; NULL: all are */
    uint64_t cache_bytes;              /* of each instance, in front of its rows */
    uint16_t id;                       /* of the operator, in the keys of its rows */
};

/* Of one instance. Zeros: it has none. */
struct sb_keyed {
    struct sb_store *store; /* NULL: the operator has no state */
    struct sb_rows *rows;   /* behind it; NULL: all is in memory */
    void (*close_rows)(struct sb_rows *rows);
};

/* By `config->keyed`; the caller closes it also after an error. */
SABOT_MUST_CHECK sabot_status sb_keyed_open(struct sb_keyed *keyed,
                                            const struct sb_operator_config *config,
                                            sabot_error *error);
void sb_keyed_close(struct sb_keyed *keyed);

#endif
