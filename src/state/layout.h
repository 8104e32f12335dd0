/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - a struct of state in a snapshot: its fields one behind the other, named in the head.
 *
 * A snapshot never has the bytes of a struct as they lie in memory, but those of its fields, in the
 * order of the table: so padding doesn't leak into it, a compiler may lay out the struct otherwise,
 * and a newer version of the app finds its fields by name:
 *
 *     a field that the snapshot lacks     its default, or zero
 *     one that the app has no more        is dropped
 *     chars, and arrays                   may have grown; a smaller one is refused
 *     another type                        is refused
 *     any of these, and the same version  is refused: the version of the table must be raised
 *     a table of ours (when_other)        is refused unless it is of the same version
 *
 * Threads: the caller's. Memory: a plan allocates its steps. */
#ifndef SB_STATE_LAYOUT_H
#define SB_STATE_LAYOUT_H

#include "state/stream.h"

/* One run of bytes, from the packed form into the struct. */
struct sb_layout_step {
    uint32_t from;      /* in the packed form */
    uint32_t from_size; /* of an element */
    uint32_t to;        /* in the struct */
    uint32_t to_size;   /* of an element; not less */
    uint32_t count;     /* elements */
    bool is_bool;       /* any byte but 0 is true */
};

/* A field as the snapshot has it. */
struct sb_layout_field {
    sabot_type type;
    uint32_t size; /* of all elements */
};

struct sb_layout {
    const struct sb_env *env;
    uint32_t packed_size; /* bytes in the snapshot */
    uint32_t step_count;
    struct sb_layout_step *steps;
    uint32_t field_count; /* of the snapshot's table */
    struct sb_layout_field *fields;
    const struct sb_schema *schema; /* of the struct: for the defaults */
    bool has_defaults;              /* fields that the snapshot lacks */
    bool missing[SABOT_FIELDS_MAX];
};

uint32_t sb_layout_packed_size(const struct sb_schema *schema);
/* Write the table. */
void sb_layout_describe(struct sb_out *out, const struct sb_schema *schema);
/* Write a struct. */
void sb_layout_pack(struct sb_out *out, const struct sb_schema *schema, const void *record);

/* A field of a table as it is read, in a struct or, with texts, in a row (row.h). */
struct sb_layout_stored {
    char path[SABOT_FIELD_PATH_MAX + 1];
    sabot_type type;
    uint32_t size; /* of all elements */
    uint32_t count;
};
/* How many fields follow; and each of them, checked. What is no field sticks to `in`. */
uint32_t sb_layout_read_count(struct sb_in *in);
void sb_layout_read_field(struct sb_in *in, bool in_row, struct sb_layout_stored *field_out);

/* Read a table and plan how what it describes becomes the struct of `schema`. Errors name `state`.
 */
SABOT_MUST_CHECK sabot_status sb_layout_plan(struct sb_layout *layout,
                                             struct sb_in *in,
                                             bool in_row,
                                             const struct sb_schema *schema,
                                             const char *state,
                                             sabot_error *error);
void sb_layout_reset(struct sb_layout *layout);
/* `record` is zeroed. */
void sb_layout_unpack(const struct sb_layout *layout, const uint8_t *packed, void *record);

#endif
