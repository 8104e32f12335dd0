/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - what batch.c and builder.c know of a pool; nobody else includes it. */
#ifndef SB_DATA_POOL_H
#define SB_DATA_POOL_H

#include "data/batch.h"

enum {
    SB_BATCH_TEXT_START = 64 * 1024,  /* bytes of a fresh text column, at most */
    SB_BATCH_TEXT_KEEP = 1024 * 1024, /* a spent text buffer larger than this shrinks again */
};

struct sb_pooled_batch {
    struct sb_batch batch;
    struct sb_pooled_batch *next; /* in a list of spent ones */
};

struct sb_batch_pool {
    const struct sb_env *env;
    const struct sb_schema *schema;
    uint32_t rows_max;
    size_t bitmap_size;   /* of one column, bytes; the distance between two columns' validity */
    size_t text_capacity; /* of a fresh text column, bytes with the slack */
    size_t batch_size;    /* of the one block that holds all but the texts */
    uint32_t text_count;
    uint32_t text_fields[SABOT_FIELDS_MAX]; /* the utf8 and binary ones */
    struct sb_pooled_batch *spare;          /* owner's: spent batches taken off the stack */
    _Atomic uint32_t users;                 /* batches out, and 1 for the owner */
    _Alignas(SB_CACHE_LINE) _Atomic(struct sb_pooled_batch *) spent; /* given back by any thread */
};

/* An empty batch with one reference, all rows missing; NULL: no memory. For the pool's owner only.
 */
struct sb_batch *sb_batch_pool_take(struct sb_batch_pool *pool);

#endif
