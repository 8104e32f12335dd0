/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - the memory of the cells of one shard: chunks of 4 KiB, addressed by number.
 *
 *     reference   chunk number (24 bits) | unit of 16 bytes in the chunk (8 bits); 0: none
 *     chunk       4 KiB at an address that never changes while one of its cells lives
 *     slab        a chunk, or 4 chunks one behind the other, cut into cells of one size class
 *     run         as many chunks as one large cell needs (more than SB_CELL_SMALL_MAX bytes)
 *
 * Cells never move. So a pointer to one stays good, whatever else is changed, and a snapshot may
 * copy chunks instead of cells (image.h): each chunk knows the epoch of its last change, and
 * whoever has begun a snapshot is told before a chunk changes for the first time after it, and
 * before the first run is taken or given back.
 *
 * Chunks explain themselves, so that a snapshot needs no list of cells: a slab holds cells of one
 * tag only (what a tag says is the user's affair), and a free cell has SB_CELL_FREE in its first
 * word, which no cell in use has.
 *
 * What is freed stays readable until sb_cells_bury(): cells that were dropped while a callback ran
 * are linked into a list of the dead through their second word, and no other byte of them changes.
 *
 * Chunks come from a pool, which the arenas and indexes of a store share; it takes regions of 2 MiB
 * from the system, which can then be one page, and gives a region back when all of it is free.
 *
 * Threads: the store's. Memory: reserved from the account by chunk, and 48 bytes a number of one,
 * which stay for the chunks that come next. */
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
    SB_CELL_TAGS_MAX = 512,   /* kinds of cells of one arena */
};

#define SB_CELL_FREE (UINT32_C(1) << 31) /* in the first word of a cell */

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
/* A zeroed table of a power of two bytes; NULL: no memory. A small one is a block of its own; from
 * a chunk on it lies in the regions: a look into it seldom misses the page tables, and taking it
 * seldom waits for the kernel. */
void *sb_pool_take_table(struct sb_pool *pool, uint64_t bytes);
void sb_pool_give_table(struct sb_pool *pool, void *table, uint64_t bytes);

/* --- Arena --------------------------------------------------------------------------------------
 */

/* What a look at a cell, and each change of it, needs: four of them in a cache line. */
struct sb_chunk {
    uint8_t *memory;    /* NULL: the number is free */
    uint32_t epoch;     /* of the last change */
    uint32_t lead : 24; /* number of the first chunk of the slab or run */
    uint32_t class : 7; /* as in the slab */
    uint32_t wide : 1;  /* cells may lie across chunks */
};

/* What allocation needs; of the lead of a slab or run. */
struct sb_slab {
    uint32_t next, previous; /* in the list of slabs of the class with a free cell; numbers */
    uint16_t cell_free;      /* the first free cell, 1 + its index in the slab; 0: none */
    uint16_t cells_fresh;    /* cells from here on were never used */
    uint16_t cells_used;
    uint16_t tag;        /* of its cells */
    uint8_t class;       /* of cells; SB_CELL_CLASSES: a run */
    uint32_t chunks;     /* of the slab or run */
    uint32_t free_chunk; /* in the list of free numbers of its run class */
    uint32_t spare;
};

struct sb_cells;

/* A snapshot in the making. */
struct sb_cells_watch {
    /* Before a chunk changes first after the epoch was raised. */
    void (*change)(void *context, struct sb_cells *arena, uint32_t chunk);
    /* Before a run of chunks is taken or given back. */
    void (*runs)(void *context, struct sb_cells *arena);
    void *context;
};

struct sb_cells {
    struct sb_pool *pool;
    struct sb_chunk *chunks;
    struct sb_slab *slabs;
    uint32_t chunk_count; /* numbers given out so far; 0 is never used */
    uint32_t chunk_capacity;
    uint32_t epoch;   /* raised by whoever begins a snapshot */
    uint32_t changed; /* the epoch of the last change of all */
    sb_ref dead;      /* the list of the dead */
    uint32_t tags;
    uint32_t *partial; /* of each tag and class: slabs with a free cell; 0: none */
    uint32_t free_numbers[SB_RUN_CLASSES]; /* runs of numbers without memory; 0: none */
    const struct sb_cells_watch *watch;    /* NULL: nobody looks */
};

SABOT_MUST_CHECK sabot_status sb_cells_init(struct sb_cells *arena,
                                            struct sb_pool *pool,
                                            uint32_t tags);
void sb_cells_reset(struct sb_cells *arena); /* frees all cells */

/* A zeroed cell of at least `size` bytes; 0: no memory. */
sb_ref sb_cell_alloc(struct sb_cells *arena, uint32_t tag, uint32_t size);
/* Free at once, or when the callback has ended. */
void sb_cell_free(struct sb_cells *arena, sb_ref ref);
void sb_cell_drop(struct sb_cells *arena, sb_ref ref);
void sb_cells_bury(struct sb_cells *arena);
/* Bytes that a cell of `size` bytes takes. */
uint32_t sb_cell_size(uint32_t size);

/* --- Chunks put back into place
 * -------------------------------------------------------------------
 *
 * By a restore, into an arena without cells: place() every run under its old number, fill its
 * memory, adopt() it; at the end settle(). */

/* What a run is. */
struct sb_run {
    uint32_t first;  /* number */
    uint32_t chunks; /* of the slab or run */
    uint16_t tag;
    uint8_t class;
};
/* SABOT_ERR_CORRUPT: there is no such run, or something lies there. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_cells_place(struct sb_cells *arena, const struct sb_run *run);
/* Look at each cell of the run that is in use, of which there is one at least (sb_cells_count());
 * the function must not make or free any. */
typedef sabot_status (*sb_cell_function)(void *context, sb_ref ref, uint16_t tag, uint32_t size);
SABOT_MUST_CHECK sabot_status sb_cells_adopt(struct sb_cells *arena,
                                             uint32_t first,
                                             sb_cell_function each,
                                             void *context);
/* How many cells of it are in use, before it is adopted. */
uint32_t sb_cells_count(const struct sb_cells *arena, uint32_t first);
/* The same with one that is in use, and stays as it is. */
SABOT_MUST_CHECK sabot_status sb_cells_each(const struct sb_cells *arena,
                                            uint32_t first,
                                            sb_cell_function each,
                                            void *context);
/* Numbers that lie between the runs can be used again. */
void sb_cells_settle(struct sb_cells *arena);
/* Is this a cell that was placed: of this tag, with room for so many bytes? */
bool sb_cell_is(const struct sb_cells *arena, sb_ref ref, uint16_t tag, uint32_t size);

static inline void *sb_cell_at(const struct sb_cells *arena, sb_ref ref)
{
    return arena->chunks[ref >> 8].memory + (size_t)(ref & 255) * SB_CELL_UNIT;
}

/* Where that is which is needed to free a cell. */
static inline const void *sb_cell_slab(const struct sb_cells *arena, sb_ref ref)
{
    return &arena->slabs[arena->chunks[ref >> 8].lead];
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
