/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - an image of the states in memory, taken while they change; image.h has its form. Those
 * with rows have their own way there (spill.c), which is begun and stepped from here.
 *
 *     begin   raises the epoch of every arena: from now on the first change of a chunk is told
 *     step    the copier goes over shards and their chunks, in order, and copies what has changed
 *             since the base and not since the barrier
 *     change  a chunk that is about to change, and that the copier has not come to, is copied
 *     runs    the list of a shard's chunks is written before the first of them comes or goes
 *
 * Invariants, while it is active: every chunk of the image is copied once, by the copier or by its
 * change, and never after it has changed; what lies before the place of the copier is out; the
 * arenas' epoch is until + 1. A failed image copies nothing more, and costs nothing more.
 *
 * Threads: the store's. Memory: blocks, which the sink gives and bounds. */
#include "state/image.h"

#include "base/mutant.h"
#include "state/vault.h"

enum {
    LOOKS_PER_COPY = 64, /* chunks looked at that cost as much as one copied */
    ROWS_PER_COPY = 4,   /* rows written */
};

/* --- The layout ---------------------------------------------------------------------------------
 */

static void write_fields(struct sb_out *out, const struct sb_schema *schema)
{
    sb_out_text(out, schema->name);
    sb_out_u32(out, schema->version);
    sb_out_u32(out, schema->record_size);
    sb_out_u16(out, (uint16_t)schema->field_count);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        sb_out_text(out, field->path);
        sb_out_u8(out, (uint8_t)field->type);
        sb_out_u32(out, field->offset);
        sb_out_u32(out, field->size);
        sb_out_u32(out, field->count);
    }
}

const uint16_t sb_image_sizes[SB_IMAGE_SIZES] = {sizeof(struct sb_cell), sizeof(struct sb_list),
                                                 sizeof(struct sb_segment), sizeof(struct sb_map),
                                                 sizeof(struct sb_timer)};

static void write_layout(const struct sb_vault *vault, struct sb_out *out)
{
    sb_out_bytes(out, SB_IMAGE_MAGIC, sizeof SB_IMAGE_MAGIC);
    sb_out_u16(out, SB_IMAGE_FORMAT);
    sb_out_u64(out, vault->config.hash_seed);
    sb_out_u16(out, vault->config.rows == NULL ? 0 : vault->config.operator_id);
    for (size_t i = 0; i < SB_IMAGE_SIZES; i++)
        sb_out_u16(out, sb_image_sizes[i]);
    sb_out_u16(out, (uint16_t)vault->config.state_count);
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        const struct sb_state *state = &vault->states[i];

        sb_out_text(out, state->spec.name);
        sb_out_u8(out, (uint8_t)state->spec.kind);
        sb_out_u8(out,
                  (uint8_t)((state->keys_expire || state->entries_expire ? SB_SNAP_HAS_TIME : 0) |
                            (state->fixed_size > 0 ? SB_SNAP_HAS_STRUCT : 0) |
                            (state->spec.row_schema != NULL ? SB_SNAP_HAS_ROWS : 0) |
                            (state->backed ? SB_IMAGE_BACKED : 0)));
        if (state->fixed_size > 0)
            write_fields(out, state->spec.schema);
        if (state->spec.row_schema != NULL)
            write_fields(out, state->spec.row_schema);
    }
}

/* --- Blocks -------------------------------------------------------------------------------------
 */

static struct sb_image_block *take_block(struct sb_imaging *imaging,
                                         enum sb_image_kind kind,
                                         bool must)
{
    struct sb_image_block *block = imaging->sink.take(imaging->sink.context, must);

    if (block != NULL) {
        *block = (struct sb_image_block){.magic = SB_IMAGE_BLOCK_MAGIC,
                                         .kind = (uint8_t)kind,
                                         .worker = (uint8_t)imaging->worker,
                                         .node = (uint16_t)imaging->node};
        return block;
    }
    if (must) {
        imaging->failed = true;
        (void)sabot_raise(&imaging->error, SABOT_ERR_LIMIT,
                          "state changes faster than its snapshot can be written: %llu chunks are "
                          "out; it is tried again",
                          (unsigned long long)imaging->chunks);
    }
    return NULL;
}

static void give_block(struct sb_imaging *imaging, struct sb_image_block **block)
{
    struct sb_image_block *full = *block;

    *block = NULL;
    if (full == NULL)
        return;
    if (full->kind == SB_IMAGE_CHUNKS) {
        memset(sb_image_table(full) + full->used, 0,
               (SB_IMAGE_BLOCK_CHUNKS - full->used) * sizeof(struct sb_image_chunk));
        full->size = SB_IMAGE_TABLE + full->used * SB_CHUNK_SIZE;
    } else {
        full->size = (uint32_t)sizeof *full + full->used;
    }
    imaging->sink.give(imaging->sink.context, full, imaging->failed ? 0 : full->size);
}

/* False: there is no block for it. */
static bool copy_chunk(struct sb_vault *vault, uint32_t shard, uint32_t number, bool must)
{
    struct sb_imaging *imaging = &vault->imaging;
    const struct sb_cells *arena = &vault->cells[shard];
    const struct sb_chunk *chunk = &arena->chunks[number];
    const struct sb_slab *slab = &arena->slabs[chunk->lead];
    struct sb_image_block *block = imaging->copies;

    if (block == NULL) {
        block = take_block(imaging, SB_IMAGE_CHUNKS, must);
        if (block == NULL)
            return false;
        imaging->copies = block;
    }
    sb_image_table(block)[block->used] = (struct sb_image_chunk){
        .number = number,
        .first = chunk->lead,
        .chunks = slab->chunks,
        .tag = slab->tag,
        .class = slab->class,
        .shard = (uint8_t)shard,
    };
    memcpy((uint8_t *)block + SB_IMAGE_TABLE + (size_t)block->used * SB_CHUNK_SIZE, chunk->memory,
           SB_CHUNK_SIZE);
    imaging->chunks++;
    if (++block->used == SB_IMAGE_BLOCK_CHUNKS)
        give_block(imaging, &imaging->copies);
    return true;
}

/* --- What is part of an image -------------------------------------------------------------------
 */

/* In memory only, with nothing behind it. */
static bool is_imaged(const struct sb_vault *vault, const struct sb_cells *arena, uint32_t number)
{
    const struct sb_chunk *chunk = &arena->chunks[number];

    return chunk->memory != NULL &&
           !vault->states[arena->slabs[chunk->lead].tag / SB_TAGS_PER_STATE].backed;
}

static bool is_listed(const struct sb_imaging *imaging, uint32_t shard)
{
    return (imaging->listed[shard / 64] >> (shard % 64) & 1) != 0;
}

/* 64 bits of a shard's list. */
static uint64_t list_word(const struct sb_vault *vault, const struct sb_cells *arena, uint32_t at)
{
    uint64_t word = 0;

    for (uint32_t i = at; i < at + 64 && i < arena->chunk_count; i++)
        word |= (uint64_t)is_imaged(vault, arena, i) << (i - at);
    return word;
}

/* Room for a list of one word at least, in the block of lists. */
static bool open_lists(struct sb_imaging *imaging, bool must)
{
    const size_t least = sizeof(struct sb_image_list) + sizeof(uint64_t);

    if (imaging->lists != NULL &&
        sizeof *imaging->lists + imaging->lists->used + least > SB_IMAGE_BLOCK_MAX)
        give_block(imaging, &imaging->lists);
    if (imaging->lists == NULL)
        imaging->lists = take_block(imaging, SB_IMAGE_LISTS, must);
    return imaging->lists != NULL;
}

/* Which chunks a shard has at the barrier. */
static bool list_shard(struct sb_vault *vault, uint32_t shard, bool must)
{
    struct sb_imaging *imaging = &vault->imaging;
    const struct sb_cells *arena = &vault->cells[shard];

    for (uint32_t first = 0; first < arena->chunk_count;) {
        struct sb_image_list list = {.shard = shard, .first = first};
        uint8_t *to;
        uint32_t room;

        /* Half of a list is none: from the second block on it must go on. */
        if (!open_lists(imaging, must || first > 0))
            return false;
        to = (uint8_t *)(imaging->lists + 1) + imaging->lists->used;
        room = SB_IMAGE_BLOCK_MAX - (uint32_t)sizeof *imaging->lists - imaging->lists->used -
               (uint32_t)sizeof list;
        for (; first < arena->chunk_count && (list.words + 1) * sizeof(uint64_t) <= room;
             first += 64) {
            const uint64_t word = list_word(vault, arena, first);

            memcpy(to + sizeof list + list.words * sizeof word, &word, sizeof word);
            list.words++;
        }
        memcpy(to, &list, sizeof list);
        imaging->lists->used += (uint32_t)(sizeof list + list.words * sizeof(uint64_t));
    }
    imaging->listed[shard / 64] |= (uint64_t)1 << (shard % 64);
    return true;
}

/* --- Told by the arenas -------------------------------------------------------------------------
 */

static void on_change(void *context, struct sb_cells *arena, uint32_t chunk)
{
    struct sb_vault *vault = context;
    const struct sb_imaging *imaging = &vault->imaging;
    const uint32_t shard = (uint32_t)(arena - vault->cells);

    if (!imaging->active || imaging->failed || arena->chunks[chunk].epoch <= imaging->since)
        return;
    if (shard < imaging->shard || (shard == imaging->shard && chunk < imaging->chunk))
        return; /* the copier was here */
    if (is_imaged(vault, arena, chunk) && !SB_MUTANT(CHUNK_NOT_COPIED))
        (void)copy_chunk(vault, shard, chunk, true);
}

static void on_runs(void *context, struct sb_cells *arena)
{
    struct sb_vault *vault = context;
    const uint32_t shard = (uint32_t)(arena - vault->cells);

    if (vault->imaging.active && !vault->imaging.failed && !is_listed(&vault->imaging, shard))
        (void)list_shard(vault, shard, true);
}

/* --- The copier ---------------------------------------------------------------------------------
 */

sabot_status sb_imaging_init(struct sb_vault *vault)
{
    struct sb_imaging *imaging = &vault->imaging;
    const struct sb_byte_sink sink = {sb_buffer_take, &imaging->layout};
    struct sb_out out;

    imaging->watch = (struct sb_cells_watch){on_change, on_runs, vault};
    imaging->epoch = 1;
    sb_buffer_init(&imaging->layout, vault->config.env);
    SABOT_TRY(sb_out_init(&out, vault->config.env, &sink, NULL));
    write_layout(vault, &out);
    return sb_out_finish(&out);
}

void sb_imaging_reset(struct sb_vault *vault)
{
    (void)!sb_store_image_end(&vault->store, NULL);
    if (vault->imaging.layout.env != NULL)
        sb_buffer_reset(&vault->imaging.layout);
}

bool sb_store_hold(struct sb_store *store, uint64_t bytes)
{
    return sb_account_reserve(sb_vault_of(store)->config.account, bytes);
}

void sb_store_unhold(struct sb_store *store, uint64_t bytes)
{
    sb_account_release(sb_vault_of(store)->config.account, bytes);
}

/* The epoch of the barrier of a checkpoint; 0: not known. */
static uint32_t epoch_of(const struct sb_imaging *imaging, int64_t id)
{
    for (uint32_t i = 0; i < 2; i++)
        if (id != 0 && imaging->marks[i].id == id)
            return imaging->marks[i].epoch;
    return 0;
}

void sb_store_image_begin(struct sb_store *store, const struct sb_image_config *config)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_imaging *imaging = &vault->imaging;

    SB_ASSERT(!imaging->active);
    SB_ASSERT(imaging->epoch < UINT32_MAX && config->node <= UINT16_MAX &&
              config->worker <= UINT8_MAX);
    imaging->failed = sb_timer_settle(vault, &imaging->error) != SABOT_OK;
    sb_vault_bury(vault); /* what nobody can see is not part of it */
    imaging->node = config->node;
    imaging->worker = config->worker;
    imaging->sink = config->sink;
    imaging->since = epoch_of(imaging, config->base);
    imaging->until = imaging->epoch++;
    imaging->marks[1] =
        (struct sb_image_mark){imaging->since == 0 ? 0 : config->base, imaging->since};
    imaging->marks[0] = (struct sb_image_mark){config->id, imaging->until};
    imaging->shard = 0;
    imaging->chunk = 0;
    imaging->layout_at = 0;
    imaging->chunks = 0;
    imaging->active = true;
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++) {
        const uint64_t bit = (uint64_t)1 << (i % 64);

        if (vault->cells[i].pool == NULL) {
            imaging->listed[i / 64] |= bit;
            continue;
        }
        imaging->listed[i / 64] &= ~bit;
        vault->cells[i].epoch = imaging->epoch;
    }
    if (vault->config.rows != NULL &&
        sb_spill_freeze(vault, imaging->until, &imaging->error) != SABOT_OK)
        imaging->failed = true;
}

/* False: there is no block for it. */
static bool write_out_layout(struct sb_imaging *imaging)
{
    while (imaging->layout_at < imaging->layout.size) {
        const size_t left = imaging->layout.size - imaging->layout_at;
        const size_t room = SB_IMAGE_BLOCK_MAX - sizeof(struct sb_image_block);
        struct sb_image_block *block = take_block(imaging, SB_IMAGE_LAYOUT, false);

        if (block == NULL)
            return false;
        block->used = (uint32_t)(left < room ? left : room);
        memcpy(block + 1, imaging->layout.data + imaging->layout_at, block->used);
        imaging->layout_at += block->used;
        give_block(imaging, &block);
    }
    return true;
}

/* The chunks of the shard that the copier stands in. False: it stopped for lack of a block, or of
 * what it may do. */
static bool copy_shard(struct sb_vault *vault, uint32_t *looks)
{
    struct sb_imaging *imaging = &vault->imaging;
    const struct sb_cells *arena = &vault->cells[imaging->shard];

    for (; imaging->chunk < arena->chunk_count; imaging->chunk++) {
        const uint32_t epoch = arena->chunks[imaging->chunk].epoch;

        if (*looks == 0)
            return false;
        --*looks;
        if (epoch <= imaging->since || epoch > imaging->until ||
            !is_imaged(vault, arena, imaging->chunk))
            continue;
        if (!copy_chunk(vault, imaging->shard, imaging->chunk, false))
            return false;
        *looks -= *looks < LOOKS_PER_COPY ? *looks : LOOKS_PER_COPY;
    }
    return true;
}

static bool step_shard(struct sb_vault *vault, uint32_t *looks)
{
    struct sb_imaging *imaging = &vault->imaging;
    const struct sb_cells *arena = &vault->cells[imaging->shard];

    if (arena->pool != NULL) {
        if (!is_listed(imaging, imaging->shard) && !list_shard(vault, imaging->shard, false))
            return false;
        if (imaging->chunk == 0)
            imaging->chunk = arena->changed > imaging->since ? 1 : arena->chunk_count;
        if (!copy_shard(vault, looks))
            return false;
    }
    imaging->shard++;
    imaging->chunk = 0;
    return true;
}

/* The rows of the generation that has ended. False: there are more. */
static bool step_rows(struct sb_vault *vault, uint32_t chunks)
{
    struct sb_imaging *imaging = &vault->imaging;

    if (imaging->failed || !vault->rows_left)
        return true;
    if (sb_spill_write_some(vault, chunks * ROWS_PER_COPY, &imaging->error) == SABOT_OK)
        return !vault->rows_left;
    imaging->failed = true;
    return true;
}

enum sb_image_progress sb_store_image_step(struct sb_store *store, uint32_t chunks)
{
    struct sb_vault *vault = sb_vault_of(store);
    struct sb_imaging *imaging = &vault->imaging;
    uint32_t looks = chunks > UINT32_MAX / LOOKS_PER_COPY ? UINT32_MAX : chunks * LOOKS_PER_COPY;

    SB_ASSERT(imaging->active);
    if (!imaging->failed && !write_out_layout(imaging))
        return SB_IMAGE_WAITS;
    while (!imaging->failed && imaging->shard < SB_SHARD_COUNT) {
        if (step_shard(vault, &looks))
            continue;
        if (imaging->failed)
            break;
        return looks == 0 ? SB_IMAGE_GOES_ON : SB_IMAGE_WAITS;
    }
    if (!step_rows(vault, chunks))
        return SB_IMAGE_GOES_ON;
    give_block(imaging, &imaging->copies);
    give_block(imaging, &imaging->lists);
    return SB_IMAGE_DONE;
}

sabot_status sb_store_image_end(struct sb_store *store, sabot_error *error)
{
    struct sb_imaging *imaging = &sb_vault_of(store)->imaging;
    const bool done = imaging->shard == SB_SHARD_COUNT && !sb_vault_of(store)->rows_left;

    if (!imaging->active)
        return SABOT_OK;
    imaging->active = false;
    if (!imaging->failed && done)
        return SABOT_OK;
    if (!imaging->failed)
        (void)sabot_raise(&imaging->error, SABOT_ERR_CLOSED, "the snapshot was given up");
    imaging->failed = true;
    give_block(imaging, &imaging->copies);
    give_block(imaging, &imaging->lists);
    if (error != NULL)
        *error = imaging->error;
    return imaging->error.status;
}
