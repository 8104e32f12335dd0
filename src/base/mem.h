/* SPDX-License-Identifier: Apache-2.0 */
/* mem.h - memory through the environment: single blocks, growing buffers, arenas.
 *
 * Sizes are counted in checked arithmetic; a size that overflows is out of memory.
 * Ownership: who allocates frees, with the same env. Threads: a buffer or arena belongs to one
 * thread. */
#ifndef SB_BASE_MEM_H
#define SB_BASE_MEM_H

#include "base/env.h"

enum { SB_CACHE_LINE = 64 };

/* Zeroed memory, aligned to 64 bytes when `size` >= 64, else to 16. NULL when there is none. */
void *sb_alloc(const struct sb_env *env, size_t size);
void *sb_alloc_array(const struct sb_env *env, size_t count, size_t size);
/* `size` as it was given to sb_alloc. free(NULL) does nothing. */
void sb_free(const struct sb_env *env, void *memory, size_t size);
void sb_free_array(const struct sb_env *env, void *memory, size_t count, size_t size);

/* A copy of a string; freed by sb_free_string. */
char *sb_string_copy(const struct sb_env *env, const char *string);
char *sb_string_copy_size(const struct sb_env *env, const char *bytes, size_t size);
char *sb_string_format(const struct sb_env *env, const char *format, ...) SABOT_PRINTF(2, 3);
void sb_string_free(const struct sb_env *env, char *string);

/* A growing run of bytes. Zero-initialise with the env: (struct sb_buffer){.env = env}. Contents
 * are not zeroed. */
struct sb_buffer {
    const struct sb_env *env;
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* bytes owned */
};

void sb_buffer_init(struct sb_buffer *buffer, const struct sb_env *env);
void sb_buffer_reset(struct sb_buffer *buffer); /* frees */
/* Room for `size` more bytes. SABOT_ERR_MEMORY: unchanged. */
SABOT_MUST_CHECK sabot_status sb_buffer_reserve(struct sb_buffer *buffer, size_t size);
SABOT_MUST_CHECK sabot_status sb_buffer_append(struct sb_buffer *buffer,
                                               const void *bytes,
                                               size_t size);
SABOT_MUST_CHECK sabot_status sb_buffer_format(struct sb_buffer *buffer, const char *format, ...)
    SABOT_PRINTF(2, 3);

/* Memory that is freed all at once. Blocks grow from 4 KiB; a large request gets a block of its
 * own. */
struct sb_arena_block;
struct sb_arena {
    const struct sb_env *env;
    struct sb_arena_block *blocks; /* newest first */
    size_t used;                   /* bytes of the newest block */
    size_t allocated;              /* bytes of all blocks */
};

void sb_arena_init(struct sb_arena *arena, const struct sb_env *env);
void sb_arena_reset(struct sb_arena *arena); /* frees all */
/* The same, but a block that isn't large stays, to be used again. */
void sb_arena_rewind(struct sb_arena *arena);
void *sb_arena_alloc(struct sb_arena *arena,
                     size_t size); /* zeroed, 16-byte aligned; NULL: no memory */
char *sb_arena_copy(struct sb_arena *arena, const char *bytes, size_t size); /* adds a NUL */

#endif
