/* SPDX-License-Identifier: Apache-2.0 */
/* peek.h - a snapshot of one shard without the app that made it: its states as its own tables name
 * them, and its rows one by one.
 *
 *     snapshot --> begin: states --> next: row, row, row --> SABOT_END
 *
 * The stream is not trusted, as in restore.c: every number is checked before it is used.
 *
 * Threads: the caller's. Memory: one block, a value and two keys, and the tables. */
#ifndef SB_STATE_PEEK_H
#define SB_STATE_PEEK_H

#include "state/snapshot.h"

struct sb_peek_field {
    const char *path;
    sabot_type type;
    uint32_t size;  /* bytes of all elements */
    uint32_t count; /* elements */
};

struct sb_peek_state {
    const char *name;
    enum sb_state_kind kind;
    bool has_time;
    bool has_rows;      /* its values are packed records (row.h) */
    const char *schema; /* the name of its field table; NULL: bytes of any size */
    uint32_t version;
    uint32_t packed_size; /* of a struct */
    uint32_t field_count;
    struct sb_peek_field *fields;
};

/* What one key, or a part of it, has. Bytes are valid until the next row. */
struct sb_peek_row {
    const struct sb_peek_state *state;
    sabot_text key;
    sabot_text value; /* packed fields, a row, or bytes; timers: none */
    bool begins_key;  /* the first row of this key */
    bool has_entry;   /* of a map */
    sabot_text entry;
    int64_t element; /* of a list; else -1 */
    int64_t time_ms; /* of the timer, or of the last refresh with SB_SNAP_HAS_TIME */
};

struct sb_peek {
    struct sb_in in;
    struct sb_arena arena; /* the tables */
    uint32_t state_count;
    struct sb_peek_state *states;
    struct sb_peek_row row;
    uint64_t elements; /* of a list, that are still to come */
    struct sb_buffer key;
    struct sb_buffer entry;
    struct sb_buffer value;
    uint64_t rows;
    uint32_t shard;
    sabot_error *error;
};

/* Read the head. The source and `error` are used until reset(). After an error, too, call it.
 * SABOT_ERR_CORRUPT, SABOT_ERR_UNSUPPORTED: of a newer format; SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_peek_begin(struct sb_peek *peek,
                                            const struct sb_env *env,
                                            const struct sb_byte_source *source,
                                            sabot_error *error);
/* The next row in peek->row. SABOT_END: that was all, and it was whole. */
SABOT_MUST_CHECK sabot_status sb_peek_next(struct sb_peek *peek);
void sb_peek_reset(struct sb_peek *peek);

#endif
