/* SPDX-License-Identifier: Apache-2.0 */
/* mem.c - blocks, strings, buffers and arenas on top of the environment's allocator.
 *
 * Nothing here is on the path of a record: batches take their memory once and keep it.
 * Invariants: a buffer has size <= capacity, and data == NULL exactly when capacity == 0;
 * an arena's newest block has `used` bytes taken, and older blocks are never taken from again.
 * Threads: the owner's. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    BUFFER_MIN = 64,
    BLOCK_MIN = 4096,
    BLOCK_MAX = 1024 * 1024, /* blocks double up to this */
    ARENA_ALIGNMENT = 16,
};

/* More is out of memory: sizes and differences of pointers must fit ptrdiff_t. */
static const size_t SIZE_LIMIT = PTRDIFF_MAX / 2;

void *sb_alloc(const struct sb_env *env, size_t size)
{
    void *memory;

    if (size > SIZE_LIMIT)
        return NULL;
    memory = env->type->allocate(env->self, size, size >= SB_CACHE_LINE ? SB_CACHE_LINE : 16);
    if (memory != NULL)
        memset(memory, 0, size);
    return memory;
}

void *sb_alloc_array(const struct sb_env *env, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    return sb_alloc(env, total);
}

void sb_free(const struct sb_env *env, void *memory, size_t size)
{
    if (memory != NULL)
        env->type->release(env->self, memory, size);
}

void sb_free_array(const struct sb_env *env, void *memory, size_t count, size_t size)
{
    sb_free(env, memory, count * size);
}

/* --- Strings ---------------------------------------------------------------------------------- */

char *sb_string_copy(const struct sb_env *env, const char *string)
{
    return sb_string_copy_size(env, string, strlen(string));
}

char *sb_string_copy_size(const struct sb_env *env, const char *bytes, size_t size)
{
    /* A string ends at its first NUL; what lies behind it could not be read, nor freed by length.
     */
    const size_t length = size == 0 ? 0 : strnlen(bytes, size);
    char *copy = sb_alloc(env, length + 1);

    if (copy != NULL && length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

char *sb_string_format(const struct sb_env *env, const char *format, ...)
{
    va_list arguments;
    char *string;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return NULL;
    string = sb_alloc(env, (size_t)length + 1);
    if (string == NULL)
        return NULL;
    va_start(arguments, format);
    (void)vsnprintf(string, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return string;
}

void sb_string_free(const struct sb_env *env, char *string)
{
    if (string != NULL)
        sb_free(env, string, strlen(string) + 1);
}

/* --- Buffers ---------------------------------------------------------------------------------- */

static void buffer_check(const struct sb_buffer *buffer)
{
    SB_ASSERT(buffer->env != NULL);
    SB_ASSERT(buffer->size <= buffer->capacity);
    SB_ASSERT((buffer->data == NULL) == (buffer->capacity == 0));
}

void sb_buffer_init(struct sb_buffer *buffer, const struct sb_env *env)
{
    *buffer = (struct sb_buffer){.env = env};
}

void sb_buffer_reset(struct sb_buffer *buffer)
{
    if (buffer->env == NULL)
        return;
    buffer_check(buffer);
    sb_free(buffer->env, buffer->data, buffer->capacity);
    *buffer = (struct sb_buffer){.env = buffer->env};
}

sabot_status sb_buffer_reserve(struct sb_buffer *buffer, size_t size)
{
    const struct sb_env *env = buffer->env;
    size_t capacity = buffer->capacity < BUFFER_MIN ? BUFFER_MIN : buffer->capacity;
    size_t need;
    uint8_t *data;

    buffer_check(buffer);
    if (size <= buffer->capacity - buffer->size)
        return SABOT_OK;
    if (__builtin_add_overflow(buffer->size, size, &need) || need > SIZE_LIMIT)
        return SABOT_ERR_MEMORY;
    while (capacity < need)
        capacity *= 2;
    if (buffer->data == NULL)
        data = env->type->allocate(env->self, capacity, SB_CACHE_LINE);
    else
        data = env->type->reallocate(env->self, buffer->data, buffer->capacity, capacity);
    if (data == NULL)
        return SABOT_ERR_MEMORY;
    buffer->data = data;
    buffer->capacity = capacity;
    buffer_check(buffer);
    return SABOT_OK;
}

sabot_status sb_buffer_append(struct sb_buffer *buffer, const void *bytes, size_t size)
{
    SABOT_TRY(sb_buffer_reserve(buffer, size));
    if (size > 0)
        memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    return SABOT_OK;
}

sabot_status sb_buffer_format(struct sb_buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return SABOT_ERR_ARGUMENT;
    /* One byte more than is kept: vsnprintf ends its text with a NUL. */
    SABOT_TRY(sb_buffer_reserve(buffer, (size_t)length + 1));
    va_start(arguments, format);
    (void)vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
    return SABOT_OK;
}

/* --- Arenas ----------------------------------------------------------------------------------- */

struct sb_arena_block {
    struct sb_arena_block *older;
    size_t size; /* bytes that follow this head */
};

_Static_assert(sizeof(struct sb_arena_block) % ARENA_ALIGNMENT == 0, "blocks start aligned");

void sb_arena_init(struct sb_arena *arena, const struct sb_env *env)
{
    *arena = (struct sb_arena){.env = env};
}

void sb_arena_reset(struct sb_arena *arena)
{
    struct sb_arena_block *block = arena->blocks;

    while (block != NULL) {
        struct sb_arena_block *older = block->older;

        sb_free(arena->env, block, sizeof *block + block->size);
        block = older;
    }
    *arena = (struct sb_arena){.env = arena->env};
}

void sb_arena_rewind(struct sb_arena *arena)
{
    struct sb_arena_block *newest = arena->blocks;
    struct sb_arena older = {.env = arena->env};

    if (newest == NULL || newest->size > BLOCK_MAX) {
        sb_arena_reset(arena);
        return;
    }
    older.blocks = newest->older;
    sb_arena_reset(&older);
    memset(newest + 1, 0, arena->used);
    newest->older = NULL;
    arena->used = 0;
    arena->allocated = sizeof *newest + newest->size;
}

static struct sb_arena_block *arena_grow(struct sb_arena *arena, size_t size)
{
    struct sb_arena_block *block = sb_alloc(arena->env, sizeof *block + size);

    if (block == NULL)
        return NULL;
    block->size = size;
    arena->allocated += sizeof *block + size;
    return block;
}

/* A block of its own goes behind the newest one, whose room is then still used. */
static void *arena_alloc_large(struct sb_arena *arena, size_t size)
{
    struct sb_arena_block *block = arena_grow(arena, size);

    if (block == NULL)
        return NULL;
    if (arena->blocks == NULL) {
        arena->blocks = block;
        arena->used = size;
    } else {
        block->older = arena->blocks->older;
        arena->blocks->older = block;
    }
    return block + 1;
}

void *sb_arena_alloc(struct sb_arena *arena, size_t size)
{
    size_t next = BLOCK_MIN - sizeof(struct sb_arena_block);
    struct sb_arena_block *block = arena->blocks;
    void *memory;

    if (size > SIZE_LIMIT)
        return NULL;
    size = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (block == NULL || size > block->size - arena->used) {
        if (block != NULL)
            next = block->size >= BLOCK_MAX / 2 ? BLOCK_MAX : block->size * 2;
        if (size > next / 4)
            return arena_alloc_large(arena, size);
        block = arena_grow(arena, next);
        if (block == NULL)
            return NULL;
        block->older = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
    }
    memory = (uint8_t *)(block + 1) + arena->used;
    arena->used += size;
    SB_ASSERT(arena->used <= block->size);
    return memory;
}

char *sb_arena_copy(struct sb_arena *arena, const char *bytes, size_t size)
{
    char *copy = size > SIZE_LIMIT ? NULL : sb_arena_alloc(arena, size + 1);

    if (copy != NULL && size > 0)
        memcpy(copy, bytes, size);
    return copy;
}
