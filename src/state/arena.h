/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - the memory of the cells of one shard: chunks of 4 KiB, addressed by number.
 *
 *     reference   chunk number (24 bits) | unit of 16 bytes in the chunk (8 bits); 0: none
 *     chunk       4 KiB at an address that never changes while one of its cells lives
 *     slab        a chunk, or 4 chunks one behind the other, cut into cells of one size class
 *     run         as many chunks as one large cell needs (more than SB_CELL_SMALL_MAX bytes)
 *
 * Cells never move. So a pointer to one stays good, whatever else is changed, and a snapshot may
 * copy chunks instead of cells: each chunk knows the epoch of its last change, and whoever has
 * begun a snapshot is told (`before_change`) before a chunk changes for the first time after it.
 *
 * What is freed stays readable until sb_cells_bury(): cells that were dropped while a callback ran
 * are linked into a list of the dead through their second word, and no other byte of them changes.
 *
 * Chunks come from a pool, which the arenas and indexes of a store share; it takes regions of 2 MiB
 * from the system, which can then be one page, and gives a region back when all of it is free.
 *
 * Threads: the store's. Memory: reserved from the account by chunk. */
#ifndef SB_STATE_ARENA_H
#define SB_STATE_ARENA_H

#include "state/account.h"

enum {
    SB_CHUNK_SIZE = 4096,
    SB_CELL_UNIT = 16,
    SB_CELL_SMALL_MAX = 8192, /* more gets a run of chunks of its own */
    SB_CELL_CLASSES = 64,     /* size classes; fewer are used */
    SB_RUN_CLASSES = 56,      /* classes of runs: four for each doubling */
    SB_CHUNKS_MAX = 1 << 24,  /* of one arena: 64 GiB */
};

typedef uint32_t sb_ref;

/* --- Pool ---------------------------------------------------------------------------------------
 */

struct sb_region;
struct sb_pool {
    const struct sb_env *env;
    struct sb_account *account;
    struct sb_region *regions; /* those with a free chunk */
    uint64_t bytes;            /* given out */
    uint64_t live;             /* of cells in use */
};

void sb_pool_init(struct sb_pool *pool, const struct sb_env *env, struct sb_account *account);
void sb_pool_reset(struct sb_pool *pool); /* every chunk is back (asserted) */
/* Chunks one behind the other, aligned to a chunk, not zeroed; NULL: no memory. */
void *sb_pool_take(struct sb_pool *pool, uint32_t chunks);
void sb_pool_give(struct sb_pool *pool, void *memory, uint32_t chunks);

/* --- Arena --------------------------------------------------------------------------------------
 */

/* What a look at a cell needs. */
struct sb_chunk {
    uint8_t *memory;    /* NULL: the number is free */
    uint32_t epoch;     /* of the last change */
    uint32_t lead : 31; /* number of the first chunk of the slab or run */
    uint32_t wide : 1;  /* cells may lie across chunks */
};

/* What allocation needs; of the lead of a slab or run. */
struct sb_slab {
    uint32_t next, previous; /* in the list of slabs of the class with a free cell; numbers */
    uint16_t cell_free;      /* the first free cell, 1 + its index in the slab; 0: none */
    uint16_t cells_fresh;    /* cells from here on were never used */
    uint16_t cells_used;
    uint8_t class;       /* of cells; SB_CELL_CLASSES: a run */
    uint32_t chunks;     /* of the slab or run */
    uint32_t free_chunk; /* in the list of free numbers of its run class */
};

struct sb_cells {
    struct sb_pool *pool;
    struct sb_chunk *chunks;
    struct sb_slab *slabs;
    uint32_t chunk_count; /* numbers given out so far; 0 is never used */
    uint32_t chunk_capacity;
    uint32_t epoch;
    sb_ref dead;                           /* the list of the dead */
    uint32_t partial[SB_CELL_CLASSES];     /* slabs with a free cell; 0: none */
    uint32_t free_numbers[SB_RUN_CLASSES]; /* runs of numbers without memory; 0: none */
    /* A snapshot in the making: called before a chunk changes first after it was begun. */
    void (*before_change)(void *context, uint32_t chunk);
    void *before_change_context;
};

SABOT_MUST_CHECK sabot_status sb_cells_init(struct sb_cells *arena, struct sb_pool *pool);
void sb_cells_reset(struct sb_cells *arena); /* frees all cells */

/* A zeroed cell of at least `size` bytes; 0: no memory. */
sb_ref sb_cell_alloc(struct sb_cells *arena, uint32_t size);
/* Free at once, or when the callback has ended. */
void sb_cell_free(struct sb_cells *arena, sb_ref ref);
void sb_cell_drop(struct sb_cells *arena, sb_ref ref);
void sb_cells_bury(struct sb_cells *arena);
/* Bytes that a cell of `size` bytes takes. */
uint32_t sb_cell_size(uint32_t size);

static inline void *sb_cell_at(const struct sb_cells *arena, sb_ref ref)
{
    return arena->chunks[ref >> 8].memory + (size_t)(ref & 255) * SB_CELL_UNIT;
}

/* Read the first bytes of a cell, and of what is needed to free it, so that they are in the cache.
 */
static inline void sb_cell_fetch(const struct sb_cells *arena, sb_ref ref)
{
    const struct sb_chunk *chunk = &arena->chunks[ref >> 8];

    (void)*(const volatile uint8_t *)(chunk->memory + (size_t)(ref & 255) * SB_CELL_UNIT);
    (void)*(const volatile uint8_t *)&arena->slabs[chunk->lead];
}

/* Before any change of a cell. */
void sb_cell_first_change(struct sb_cells *arena, sb_ref ref);
static inline void sb_cell_change(struct sb_cells *arena, sb_ref ref)
{
    const struct sb_chunk *chunk = &arena->chunks[ref >> 8];

    if (__builtin_expect(chunk->epoch != arena->epoch || chunk->wide, 0))
        sb_cell_first_change(arena, ref);
}

#endif
