/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - a field table, checked and ready for use.
 *
 * The public table (sabot/schema.h) is the app's and unchecked. sb_schema is its compiled form:
 * paths split into steps, defaults parsed, sizes proved against the types. Everything behind the
 * API works with this one.
 *
 * Ownership: the sb_schema belongs to its maker and outlives every batch, decoder and store that
 * names it. Threads: immutable after creation. */
#ifndef SB_DATA_SCHEMA_H
#define SB_DATA_SCHEMA_H

#include <sabot/schema.h>

#include "base/mem.h"

enum { SB_NO_FIELD = -1 };

struct sb_schema_field {
    const char *path; /* as in the table */
    size_t path_size;
    uint32_t step_count; /* of the path */
    const char *steps[SABOT_FIELD_DEPTH_MAX];
    size_t step_sizes[SABOT_FIELD_DEPTH_MAX];
    sabot_type type;
    bool required;
    bool has_default;
    uint32_t offset; /* of the member in the struct */
    uint32_t size;   /* of the member in the struct */
    uint32_t count;  /* elements of an array member */
    /* The default, when has_default; one of: */
    int64_t default_int; /* bool, int32, int64, timestamp */
    double default_float;
    sabot_text default_text; /* utf8, binary: decoded */
};

struct sb_schema {
    const struct sb_env *env;
    const char *name;
    uint32_t version;
    const char *when_other; /* of state: no other version is restored; this is what to do then */
    uint32_t record_size;
    uint32_t field_count;
    struct sb_schema_field *fields;
    struct sb_arena arena; /* holds the names and steps */
};

/* What a table is for: a record of a channel may hold sabot_text but no arrays or char[n]; a cell
 * of state the other way round. */
enum sb_schema_use { SB_SCHEMA_RECORD, SB_SCHEMA_STATE };

/* Check and compile. SABOT_ERR_SCHEMA names the field: bad path, size that does not fit the type,
 * member outside of the struct, a path twice or one inside another ("a" and "a.b"), a default that
 * does not parse, a type not for this use. */
SABOT_MUST_CHECK sabot_status sb_schema_create(const struct sb_env *env,
                                               const sabot_schema *table,
                                               enum sb_schema_use use,
                                               struct sb_schema **schema_out,
                                               sabot_error *error);
void sb_schema_destroy(struct sb_schema *schema);

/* The field with this path, or SB_NO_FIELD. */
int32_t sb_schema_find(const struct sb_schema *schema, const char *path);

#endif
