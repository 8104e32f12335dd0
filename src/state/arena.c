/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - cells in slabs, slabs in chunks, chunks in regions.
 *
 * Classes: a slab of one chunk holds n cells of 4096 / n bytes, rounded down to 16; one of four
 * chunks 16384 / n, for the sizes above 1 KiB. So at most a sixth of a cell is lost up to 4 KiB.
 *
 * Invariants: a slab is in the list of its class exactly when it has a free cell; one without a
 * used cell has been given back; chunk 0 has no memory; a chunk's lead names itself or one before.
 * Memory: see the header. The free cells of a slab are linked through their own first words:
 * SB_CELL_FREE and, in its lower half, what struct sb_slab has as cell_free. */
#include "state/arena.h"

#include <string.h>

#include "base/mem.h"
#include "base/mutant.h"

enum {
    REGION_SIZE = 2 * 1024 * 1024,
    REGION_CHUNKS = REGION_SIZE / SB_CHUNK_SIZE,
    REGION_WORDS = REGION_CHUNKS / 64,
    ORDER_MAX = 8,              /* runs of up to 2^8 chunks, half a region, lie in regions */
    SMALL_SLAB_CELL_MAX = 1024, /* bigger cells lie in slabs of WIDE_CHUNKS */
    WIDE_CHUNKS = 4,
    CHUNKS_MIN = 8, /* numbers an arena begins with */
    CLEAR_SMALL = 128,
    CLASS_RUN = SB_CELL_CLASSES,
};

/* --- Pool ---------------------------------------------------------------------------------------
 *
 * A region keeps a bit per chunk. A run of a power of two, up to half a region, lies at a multiple
 * of its size, so that a look at a word or two finds one; any other is a block of its own. */

/* Lies in the first chunk of the region; a region is aligned to its size, so that a chunk finds it.
 */
struct sb_region {
    struct sb_region *next, *previous; /* those with a free chunk */
    uint64_t free[REGION_WORDS];       /* a bit per chunk */
    uint32_t used;                     /* chunks given out */
    uint32_t order_max;                /* no free run of more than 2^order_max chunks */
};

void sb_pool_init(struct sb_pool *pool, const struct sb_env *env, struct sb_account *account)
{
    *pool = (struct sb_pool){.env = env, .account = account};
}

void sb_pool_reset(struct sb_pool *pool)
{
    SB_ASSERT(pool->regions == NULL);
}

static void region_link(struct sb_pool *pool, struct sb_region *region)
{
    region->previous = NULL;
    region->next = pool->regions;
    if (region->next != NULL)
        region->next->previous = region;
    pool->regions = region;
}

static void region_unlink(struct sb_pool *pool, struct sb_region *region)
{
    if (region->previous == NULL)
        pool->regions = region->next;
    else
        region->previous->next = region->next;
    if (region->next != NULL)
        region->next->previous = region->previous;
}

static struct sb_region *region_create(struct sb_pool *pool)
{
    struct sb_region *region = pool->env->type->allocate(pool->env->self, REGION_SIZE, REGION_SIZE);

    if (region == NULL)
        return NULL;
    *region = (struct sb_region){.order_max = ORDER_MAX};
    memset(region->free, 0xff, sizeof region->free);
    region->free[0] &= ~(uint64_t)1;
    region_link(pool, region);
    return region;
}

/* The first free run of 2^order chunks at a multiple of it; 0: none. */
static uint32_t region_find(const struct sb_region *region, uint32_t order)
{
    /* Bits at the multiples of 1, 2, 4, ... 64. */
    static const uint64_t multiples[] = {UINT64_MAX,
                                         UINT64_C(0x5555555555555555),
                                         UINT64_C(0x1111111111111111),
                                         UINT64_C(0x0101010101010101),
                                         UINT64_C(0x0001000100010001),
                                         UINT64_C(0x0000000100000001),
                                         1};
    const uint32_t words = order > 6 ? 1U << (order - 6) : 1;
    const uint32_t within = order > 6 ? 6 : order;

    for (uint32_t word = 0; word < REGION_WORDS; word += words) {
        uint64_t runs = region->free[word];

        for (uint32_t i = 1; i < words; i++)
            runs &= region->free[word + i];
        for (uint32_t i = 0; i < within; i++)
            runs &= runs >> (1U << i);
        runs &= multiples[within];
        if (runs != 0)
            return word * 64 + (uint32_t)__builtin_ctzll(runs);
    }
    return 0;
}

/* Mark a run as free or used: it lies in one word, or is whole words. */
static void region_mark(struct sb_region *region, uint32_t first, uint32_t order, bool free)
{
    const uint32_t words = order > 6 ? 1U << (order - 6) : 1;
    const uint64_t bits =
        order >= 6 ? UINT64_MAX : (((uint64_t)1 << (1U << order)) - 1) << (first % 64);

    for (uint32_t word = first / 64; word < first / 64 + words; word++) {
        SB_ASSERT((region->free[word] & bits) == (free ? 0 : bits));
        region->free[word] ^= bits;
    }
}

static uint8_t *region_take(struct sb_pool *pool, uint32_t order)
{
    struct sb_region *region = pool->regions;
    uint32_t first = 0;

    while (region != NULL) {
        if (region->order_max >= order)
            first = region_find(region, order);
        if (first != 0)
            break;
        if (region->order_max >= order)
            region->order_max = order - 1; /* a linked region has one chunk at least */
        region = region->next;
    }
    if (region == NULL) {
        region = region_create(pool);
        if (region == NULL)
            return NULL;
        first = region_find(region, order);
    }
    region_mark(region, first, order, false);
    region->used += 1U << order;
    if (region->used == REGION_CHUNKS - 1)
        region_unlink(pool, region);
    return (uint8_t *)region + (size_t)first * SB_CHUNK_SIZE;
}

static void region_give(struct sb_pool *pool, uint8_t *memory, uint32_t order)
{
    const uintptr_t offset = (uintptr_t)memory & (REGION_SIZE - 1);
    struct sb_region *region = (struct sb_region *)(void *)(memory - offset);

    if (region->used == REGION_CHUNKS - 1)
        region_link(pool, region);
    region_mark(region, (uint32_t)(offset / SB_CHUNK_SIZE), order, true);
    region->order_max = ORDER_MAX;
    region->used -= 1U << order;
    if (region->used > 0)
        return;
    region_unlink(pool, region);
    pool->env->type->release(pool->env->self, region, REGION_SIZE);
}

static bool fits_region(uint32_t chunks)
{
    return chunks <= 1U << ORDER_MAX && (chunks & (chunks - 1)) == 0;
}

void *sb_pool_take(struct sb_pool *pool, uint32_t chunks)
{
    const uint64_t bytes = (uint64_t)chunks * SB_CHUNK_SIZE;
    void *memory;

    if (!sb_account_reserve(pool->account, bytes))
        return NULL;
    if (fits_region(chunks))
        memory = region_take(pool, (uint32_t)__builtin_ctz(chunks));
    else
        memory = pool->env->type->allocate(pool->env->self, bytes,
                                           bytes < REGION_SIZE ? SB_CHUNK_SIZE : REGION_SIZE);
    if (memory == NULL)
        sb_account_release(pool->account, bytes);
    else
        pool->bytes += bytes;
    return memory;
}

void sb_pool_give(struct sb_pool *pool, void *memory, uint32_t chunks)
{
    const uint64_t bytes = (uint64_t)chunks * SB_CHUNK_SIZE;

    if (fits_region(chunks))
        region_give(pool, memory, (uint32_t)__builtin_ctz(chunks));
    else
        pool->env->type->release(pool->env->self, memory, bytes);
    sb_account_release(pool->account, bytes);
    pool->bytes -= bytes;
}

void *sb_pool_take_table(struct sb_pool *pool, uint64_t bytes)
{
    void *table;

    if (bytes >= SB_CHUNK_SIZE) {
        table = sb_pool_take(pool, (uint32_t)(bytes / SB_CHUNK_SIZE));
        return table == NULL ? NULL : memset(table, 0, bytes);
    }
    if (!sb_account_reserve(pool->account, bytes))
        return NULL;
    table = sb_alloc(pool->env, bytes);
    if (table == NULL)
        sb_account_release(pool->account, bytes);
    else
        pool->bytes += bytes;
    return table;
}

void sb_pool_give_table(struct sb_pool *pool, void *table, uint64_t bytes)
{
    if (table == NULL)
        return;
    if (bytes >= SB_CHUNK_SIZE) {
        sb_pool_give(pool, table, (uint32_t)(bytes / SB_CHUNK_SIZE));
        return;
    }
    sb_free(pool->env, table, bytes);
    sb_account_release(pool->account, bytes);
    pool->bytes -= bytes;
}

/* --- Size classes -------------------------------------------------------------------------------
 */

_Static_assert(sizeof(struct sb_chunk) == 16 && sizeof(struct sb_slab) == 32,
               "tables of a power of two are of a power of two bytes");

struct class
{
    uint16_t size;  /* of a cell */
    uint16_t cells; /* of a slab */
    uint8_t chunks; /* of a slab */
};

/* Cells of a slab, greatest cells last. */
static const struct class classes[] = {
    {16, 256, 1},  {32, 128, 1}, {48, 85, 1},  {64, 64, 1},  {80, 51, 1},   {96, 42, 1},
    {112, 36, 1},  {128, 32, 1}, {144, 28, 1}, {160, 25, 1}, {176, 23, 1},  {192, 21, 1},
    {208, 19, 1},  {224, 18, 1}, {240, 17, 1}, {256, 16, 1}, {272, 15, 1},  {288, 14, 1},
    {304, 13, 1},  {336, 12, 1}, {368, 11, 1}, {400, 10, 1}, {448, 9, 1},   {512, 8, 1},
    {576, 7, 1},   {672, 6, 1},  {816, 5, 1},  {1024, 4, 1}, {1168, 14, 4}, {1360, 12, 4},
    {1632, 10, 4}, {2048, 8, 4}, {2336, 7, 4}, {2720, 6, 4}, {3264, 5, 4},  {4096, 4, 4},
    {5456, 3, 4},  {8192, 2, 4},
};

enum { CLASS_COUNT = sizeof classes / sizeof classes[0] };
_Static_assert(sizeof classes / sizeof classes[0] <= SB_CELL_CLASSES,
               "the arena has a list for each class");

static uint32_t class_of(uint32_t size)
{
    uint32_t low = 0;
    uint32_t high = CLASS_COUNT - 1;

    if (size <= 304) /* one class for each multiple of 16 up to here */
        return size == 0 ? 0 : (size - 1) / SB_CELL_UNIT;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;

        if (classes[middle].size < size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t chunks_of(uint32_t size)
{
    return (size + SB_CHUNK_SIZE - 1) / SB_CHUNK_SIZE;
}

uint32_t sb_cell_size(uint32_t size)
{
    if (size > SB_CELL_SMALL_MAX)
        return chunks_of(size) * SB_CHUNK_SIZE;
    return classes[class_of(size)].size;
}

/* --- Numbers of chunks --------------------------------------------------------------------------
 *
 * Runs of numbers are handed out by class, a few numbers more than needed, so that a run that was
 * freed fits the next one of its class. */

/* The class of a run, and the numbers it gets: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ... */
static uint32_t run_class(uint32_t chunks, uint32_t *numbers_out)
{
    uint32_t step = 1;
    uint32_t class = chunks - 1;

    if (chunks > 8) {
        const uint32_t doubling = 31U - (uint32_t)__builtin_clz(chunks - 1); /* 2^d < chunks */

        step = 1U << (doubling - 2);
        class = 4 * (doubling - 1) + (chunks - 1 - (1U << doubling)) / step;
    }
    *numbers_out = (chunks + step - 1) / step * step;
    SB_ASSERT(class < SB_RUN_CLASSES);
    return class;
}

static void tables_give(const struct sb_cells *arena)
{
    const uint64_t capacity = arena->chunk_capacity;

    sb_pool_give_table(arena->pool, arena->chunks, capacity * sizeof *arena->chunks);
    sb_pool_give_table(arena->pool, arena->slabs, capacity * sizeof *arena->slabs);
}

/* Room for so many numbers. What is copied is a hundredth of what the chunks hold. */
static sabot_status chunks_grow(struct sb_cells *arena, uint32_t need)
{
    struct sb_cells before = *arena;
    uint64_t capacity = arena->chunk_capacity == 0 ? CHUNKS_MIN : arena->chunk_capacity;

    if (need > SB_CHUNKS_MAX)
        return SABOT_ERR_LIMIT;
    while (capacity < need)
        capacity *= 2;
    arena->chunk_capacity = (uint32_t)capacity;
    arena->chunks = sb_pool_take_table(arena->pool, capacity * sizeof *arena->chunks);
    arena->slabs = sb_pool_take_table(arena->pool, capacity * sizeof *arena->slabs);
    if (arena->chunks == NULL || arena->slabs == NULL) {
        tables_give(arena);
        arena->chunk_capacity = before.chunk_capacity;
        arena->chunks = before.chunks;
        arena->slabs = before.slabs;
        return SABOT_ERR_MEMORY;
    }
    if (arena->chunk_count > 0) {
        memcpy(arena->chunks, before.chunks, arena->chunk_count * sizeof *arena->chunks);
        memcpy(arena->slabs, before.slabs, arena->chunk_count * sizeof *arena->slabs);
    }
    tables_give(&before);
    return SABOT_OK;
}

/* The first of a run of numbers; 0: no memory. */
static uint32_t numbers_take(struct sb_cells *arena, uint32_t chunks)
{
    uint32_t numbers;
    const uint32_t class = run_class(chunks, &numbers);
    uint32_t first = arena->free_numbers[class];

    if (first != 0) {
        arena->free_numbers[class] = arena->slabs[first].free_chunk;
        return first;
    }
    if (arena->chunk_count + numbers > arena->chunk_capacity &&
        chunks_grow(arena, arena->chunk_count + numbers) != SABOT_OK)
        return 0;
    first = arena->chunk_count;
    arena->chunk_count += numbers;
    return first;
}

static void numbers_give(struct sb_cells *arena, uint32_t first, uint32_t chunks)
{
    uint32_t numbers;
    const uint32_t class = run_class(chunks, &numbers);

    for (uint32_t i = 0; i < chunks; i++)
        arena->chunks[first + i].memory = NULL;
    arena->slabs[first].free_chunk = arena->free_numbers[class];
    arena->free_numbers[class] = first;
}

/* Before chunks change: tell a snapshot that hasn't heard of them. */
static void chunks_change(struct sb_cells *arena, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        if (arena->chunks[i].epoch == arena->epoch)
            continue;
        if (arena->watch != NULL)
            arena->watch->change(arena->watch->context, arena, i);
        arena->chunks[i].epoch = arena->epoch;
    }
    if (!SB_MUTANT(CHANGE_NOT_SEEN) || arena->changed == 0)
        arena->changed = arena->epoch;
}

static void runs_change(struct sb_cells *arena)
{
    if (arena->watch != NULL)
        arena->watch->runs(arena->watch->context, arena);
    arena->changed = arena->epoch;
}

static void set_free(uint8_t *cell, uint16_t next)
{
    const uint32_t word = SB_CELL_FREE | next;

    memcpy(cell, &word, sizeof word);
}

/* A slab's cells say that they are free, before the first of them is used. */
static void mark_free(const struct sb_cells *arena, uint32_t lead)
{
    const uint8_t class = arena->slabs[lead].class;
    uint8_t *memory = arena->chunks[lead].memory;

    for (uint32_t i = 0; i < classes[class].cells; i++)
        set_free(memory + (size_t)i * classes[class].size, 0);
}

/* Write down what the chunks of a run are. */
static void run_describe(struct sb_cells *arena, const struct sb_run *run, void *memory)
{
    uint8_t *at = memory;

    for (uint32_t i = 0; i < run->chunks; i++)
        arena->chunks[run->first + i] = (struct sb_chunk){
            .memory = at + (size_t)i * SB_CHUNK_SIZE,
            .epoch = arena->epoch,
            .lead = run->first & (SB_CHUNKS_MAX - 1),
            .class = run->class & UINT32_C(127),
            .wide = run->chunks > 1,
        };
    arena->slabs[run->first] =
        (struct sb_slab){.class = run->class, .tag = run->tag, .chunks = run->chunks};
}

/* Numbers with memory, all of the current epoch; 0: no memory. */
static uint32_t run_take(struct sb_cells *arena, uint32_t chunks, uint16_t tag, uint8_t class)
{
    struct sb_run run = {.chunks = chunks, .tag = tag, .class = class};
    uint8_t *memory;

    runs_change(arena);
    run.first = numbers_take(arena, chunks);
    if (run.first == 0)
        return 0;
    memory = sb_pool_take(arena->pool, chunks);
    if (memory == NULL) {
        numbers_give(arena, run.first, chunks);
        return 0;
    }
    run_describe(arena, &run, memory);
    if (class != CLASS_RUN)
        mark_free(arena, run.first);
    return run.first;
}

static void run_give(struct sb_cells *arena, uint32_t first)
{
    const uint32_t chunks = arena->slabs[first].chunks;

    runs_change(arena);
    chunks_change(arena, first, first + chunks - 1);
    sb_pool_give(arena->pool, arena->chunks[first].memory, chunks);
    numbers_give(arena, first, chunks);
}

/* --- Slabs --------------------------------------------------------------------------------------
 */

static uint32_t *partial_of(struct sb_cells *arena, uint16_t tag, uint8_t class)
{
    return &arena->partial[(size_t)tag * CLASS_COUNT + class];
}

static void slab_link(struct sb_cells *arena, uint32_t number)
{
    struct sb_slab *slab = &arena->slabs[number];
    const uint32_t next = *partial_of(arena, slab->tag, slab->class);

    slab->previous = 0;
    slab->next = next;
    if (next != 0)
        arena->slabs[next].previous = number;
    *partial_of(arena, slab->tag, slab->class) = number;
}

static void slab_unlink(struct sb_cells *arena, uint32_t number)
{
    const struct sb_slab *slab = &arena->slabs[number];

    if (slab->previous == 0)
        *partial_of(arena, slab->tag, slab->class) = slab->next;
    else
        arena->slabs[slab->previous].next = slab->next;
    if (slab->next != 0)
        arena->slabs[slab->next].previous = slab->previous;
}

static bool slab_full(const struct sb_slab *slab)
{
    return slab->cell_free == 0 && slab->cells_fresh == classes[slab->class].cells;
}

static sb_ref ref_of(uint32_t lead, uint32_t offset)
{
    return (lead + offset / SB_CHUNK_SIZE) << 8 | offset % SB_CHUNK_SIZE / SB_CELL_UNIT;
}

static uint16_t next_free(const uint8_t *cell)
{
    uint32_t word;

    memcpy(&word, cell, sizeof word);
    return (uint16_t)word;
}

static sb_ref slab_take(struct sb_cells *arena, uint32_t lead)
{
    struct sb_slab *slab = &arena->slabs[lead];
    const uint32_t size = classes[slab->class].size;
    uint8_t *memory = arena->chunks[lead].memory;
    uint32_t index = slab->cells_fresh;

    SB_ASSERT(!slab_full(slab));
    if (slab->cell_free != 0) {
        index = slab->cell_free - 1U;
        slab->cell_free = next_free(memory + (size_t)index * size);
        if (slab->cell_free != 0) /* it is seldom in the cache when it is wanted */
            __builtin_prefetch(memory + (size_t)(slab->cell_free - 1U) * size, 1, 3);
    } else {
        slab->cells_fresh++;
    }
    slab->cells_used++;
    if (slab_full(slab))
        slab_unlink(arena, lead);
    return ref_of(lead, index * size);
}

static void slab_give(struct sb_cells *arena, uint32_t lead, sb_ref ref)
{
    struct sb_slab *slab = &arena->slabs[lead];
    const uint32_t size = classes[slab->class].size;
    const uint32_t offset = ((ref >> 8) - lead) * SB_CHUNK_SIZE + (ref & 255) * SB_CELL_UNIT;
    const bool was_full = slab_full(slab);

    SB_ASSERT(slab->cells_used > 0);
    SB_ASSERT(offset % size == 0);
    set_free(sb_cell_at(arena, ref), slab->cell_free);
    slab->cell_free = (uint16_t)(offset / size + 1);
    slab->cells_used--;
    if (slab->cells_used == 0) {
        if (!was_full)
            slab_unlink(arena, lead);
        run_give(arena, lead);
    } else if (was_full) {
        slab_link(arena, lead);
    }
}

/* --- Cells --------------------------------------------------------------------------------------
 */

sabot_status sb_cells_init(struct sb_cells *arena, struct sb_pool *pool, uint32_t tags)
{
    SB_ASSERT(tags > 0 && tags <= SB_CELL_TAGS_MAX);
    *arena = (struct sb_cells){.pool = pool, .tags = tags};
    arena->partial = sb_alloc_array(pool->env, (size_t)tags * CLASS_COUNT, sizeof *arena->partial);
    if (arena->partial == NULL || chunks_grow(arena, CHUNKS_MIN) != SABOT_OK) {
        sb_cells_reset(arena);
        return SABOT_ERR_MEMORY;
    }
    arena->chunk_count = 1; /* reference 0 is none */
    return SABOT_OK;
}

void sb_cells_reset(struct sb_cells *arena)
{
    if (arena->pool == NULL)
        return;
    arena->watch = NULL;
    for (uint32_t i = 1; i < arena->chunk_count; i++)
        if (arena->chunks[i].memory != NULL && arena->chunks[i].lead == i)
            run_give(arena, i);
    tables_give(arena);
    sb_free_array(arena->pool->env, arena->partial, (size_t)arena->tags * CLASS_COUNT,
                  sizeof *arena->partial);
    *arena = (struct sb_cells){.pool = NULL};
}

/* A cell: most have few units, for which a call would be dear. */
static void clear(uint8_t *cell, uint32_t size)
{
    if (size > CLEAR_SMALL) {
        memset(cell, 0, size);
        return;
    }
    for (uint32_t at = 0; at < size; at += SB_CELL_UNIT)
        memset(cell + at, 0, SB_CELL_UNIT);
}

sb_ref sb_cell_alloc(struct sb_cells *arena, uint32_t tag, uint32_t size)
{
    uint32_t class;
    uint32_t lead;
    sb_ref ref;

    SB_ASSERT(tag < arena->tags);
    if (size > SB_CELL_SMALL_MAX) {
        lead = run_take(arena, chunks_of(size), (uint16_t)tag, CLASS_RUN);
        if (lead == 0)
            return 0;
        memset(arena->chunks[lead].memory, 0, size);
        arena->pool->live += sb_cell_size(size);
        return lead << 8;
    }
    class = class_of(size);
    lead = *partial_of(arena, (uint16_t)tag, (uint8_t) class);
    if (lead == 0) {
        lead = run_take(arena, classes[class].chunks, (uint16_t)tag, (uint8_t) class);
        if (lead == 0)
            return 0;
        slab_link(arena, lead);
    }
    ref = slab_take(arena, lead);
    arena->pool->live += classes[class].size;
    sb_cell_change(arena, ref);
    clear(sb_cell_at(arena, ref), classes[class].size);
    return ref;
}

void sb_cell_free(struct sb_cells *arena, sb_ref ref)
{
    const uint32_t lead = arena->chunks[ref >> 8].lead;

    SB_ASSERT(arena->chunks[lead].memory != NULL);
    if (arena->slabs[lead].class == CLASS_RUN) {
        arena->pool->live -= (uint64_t)arena->slabs[lead].chunks * SB_CHUNK_SIZE;
        run_give(arena, lead);
        return;
    }
    arena->pool->live -= classes[arena->slabs[lead].class].size;
    sb_cell_change(arena, ref);
    slab_give(arena, lead, ref);
}

/* The dead are linked through the second word of the cell; see the header. */
void sb_cell_drop(struct sb_cells *arena, sb_ref ref)
{
    uint8_t *cell = sb_cell_at(arena, ref);

    sb_cell_change(arena, ref);
    memcpy(cell + 4, &arena->dead, sizeof arena->dead);
    arena->dead = ref;
}

void sb_cells_bury(struct sb_cells *arena)
{
    while (arena->dead != 0) {
        const sb_ref ref = arena->dead;

        memcpy(&arena->dead, (uint8_t *)sb_cell_at(arena, ref) + 4, sizeof arena->dead);
        sb_cell_free(arena, ref);
    }
}

void sb_cell_first_change(struct sb_cells *arena, sb_ref ref)
{
    const uint32_t number = ref >> 8;
    const struct sb_chunk *chunk = &arena->chunks[number];
    uint32_t last = number;

    if (chunk->class == CLASS_RUN)
        last = chunk->lead + arena->slabs[chunk->lead].chunks - 1;
    else if (chunk->wide) /* the slab is not looked at: it would be a miss of the cache each time */
        last += ((ref & 255) * SB_CELL_UNIT + classes[chunk->class].size - 1) / SB_CHUNK_SIZE;
    chunks_change(arena, number, last);
}

/* --- Chunks put back into place
 * -------------------------------------------------------------------
 */

/* Runs of one class of size have so many chunks; slabs that of their class. */
static bool is_run(const struct sb_cells *arena, const struct sb_run *run)
{
    if (run->first == 0 || run->chunks == 0 || run->tag >= arena->tags ||
        run->chunks > SB_CHUNKS_MAX - run->first)
        return false;
    return run->class == CLASS_RUN ||
           (run->class < CLASS_COUNT && run->chunks == classes[run->class].chunks);
}

sabot_status sb_cells_place(struct sb_cells *arena, const struct sb_run *run)
{
    const uint32_t end = run->first + run->chunks;
    uint8_t *memory;

    if (!is_run(arena, run))
        return SABOT_ERR_CORRUPT;
    if (end > arena->chunk_capacity && chunks_grow(arena, end) != SABOT_OK)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = run->first; i < end && i < arena->chunk_count; i++)
        if (arena->chunks[i].memory != NULL)
            return SABOT_ERR_CORRUPT;
    memory = sb_pool_take(arena->pool, run->chunks);
    if (memory == NULL)
        return SABOT_ERR_MEMORY;
    run_describe(arena, run, memory);
    arena->changed = arena->epoch;
    if (end > arena->chunk_count)
        arena->chunk_count = end;
    return SABOT_OK;
}

static bool is_free(const uint8_t *cell)
{
    uint32_t word;

    memcpy(&word, cell, sizeof word);
    return (word & SB_CELL_FREE) != 0;
}

uint32_t sb_cells_count(const struct sb_cells *arena, uint32_t first)
{
    const uint8_t class = arena->slabs[first].class;
    uint32_t count = 0;

    if (class == CLASS_RUN)
        return 1;
    for (uint32_t i = 0; i < classes[class].cells; i++)
        count += !is_free(arena->chunks[first].memory + (size_t)i * classes[class].size);
    return count;
}

sabot_status sb_cells_adopt(struct sb_cells *arena,
                            uint32_t first,
                            sb_cell_function each,
                            void *context)
{
    struct sb_slab *slab = &arena->slabs[first];
    uint8_t *memory = arena->chunks[first].memory;
    uint32_t size;

    if (slab->class == CLASS_RUN) {
        arena->pool->live += (uint64_t)slab->chunks * SB_CHUNK_SIZE;
        return each(context, first << 8, slab->tag, slab->chunks * SB_CHUNK_SIZE);
    }
    size = classes[slab->class].size;
    slab->cells_fresh = classes[slab->class].cells;
    for (uint32_t i = slab->cells_fresh; i-- > 0;) {
        uint8_t *cell = memory + (size_t)i * size;

        if (is_free(cell)) {
            set_free(cell, slab->cell_free);
            slab->cell_free = (uint16_t)(i + 1);
            continue;
        }
        slab->cells_used++;
        arena->pool->live += size;
        SABOT_TRY(each(context, ref_of(first, i * size), slab->tag, size));
    }
    SB_ASSERT(slab->cells_used > 0); /* it would have been given back */
    if (slab->cell_free != 0)
        slab_link(arena, first);
    return SABOT_OK;
}

sabot_status sb_cells_each(const struct sb_cells *arena,
                           uint32_t first,
                           sb_cell_function each,
                           void *context)
{
    const struct sb_slab *slab = &arena->slabs[first];
    const uint8_t *memory = arena->chunks[first].memory;
    uint32_t size;

    if (slab->class == CLASS_RUN)
        return each(context, first << 8, slab->tag, slab->chunks * SB_CHUNK_SIZE);
    size = classes[slab->class].size;
    for (uint32_t i = 0; i < slab->cells_fresh; i++)
        if (!is_free(memory + (size_t)i * size))
            SABOT_TRY(each(context, ref_of(first, i * size), slab->tag, size));
    return SABOT_OK;
}

void sb_cells_settle(struct sb_cells *arena)
{
    for (uint32_t i = arena->chunk_count; i-- > 1;)
        if (arena->chunks[i].memory == NULL)
            numbers_give(arena, i, 1);
}

bool sb_cell_is(const struct sb_cells *arena, sb_ref ref, uint16_t tag, uint32_t size)
{
    const uint32_t number = ref >> 8;
    const struct sb_slab *slab;
    uint32_t offset;

    if (number == 0 || number >= arena->chunk_count || arena->chunks[number].memory == NULL)
        return false;
    slab = &arena->slabs[arena->chunks[number].lead];
    if (slab->tag != tag)
        return false;
    offset = (number - arena->chunks[number].lead) * SB_CHUNK_SIZE + (ref & 255) * SB_CELL_UNIT;
    if (slab->class == CLASS_RUN)
        return offset == 0 && size <= slab->chunks * SB_CHUNK_SIZE;
    return !is_free(sb_cell_at(arena, ref)) && offset % classes[slab->class].size == 0 &&
           offset / classes[slab->class].size < classes[slab->class].cells &&
           size <= classes[slab->class].size;
}
