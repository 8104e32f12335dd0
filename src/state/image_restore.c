/* SPDX-License-Identifier: Apache-2.0 */
/* image_restore.c - from an image back to a store: chunks into place, and what finds cells in them.
 *
 *     same layout   chunks -> arena, under their old numbers; then each cell that is in use into
 * the index of its state, timers into the wheel as well another one   the same into a store that
 * has the layout of the image, and from that as a stream (snapshot.h) into the one that is wanted
 *
 * The cells are not trusted: sizes and references are checked before anything follows them, and
 * lists and maps are followed once before anybody uses them (image_check.c).
 *
 * Threads: the store's. Memory: with another layout, one shard twice. */
#include "state/vault.h"
#include "state/wheel.h"

struct placer {
    struct sb_vault *vault;
    const struct sb_image *image;
    const struct sb_image_shard *from;
    struct sb_cells *arena;
    uint32_t shard;
    uint64_t parts; /* segments of lists, entries of maps */
    sabot_error *error;
};

static sabot_status damaged(const struct placer *placer, const char *what)
{
    return sb_image_damaged(placer->image, placer->image->file_count - 1, what, placer->error);
}

/* --- Chunks into place --------------------------------------------------------------------------
 */

static sabot_status place_runs(struct placer *placer)
{
    const struct sb_image_shard *from = placer->from;

    for (uint32_t number = 1; number < from->words * 64; number++) {
        const struct sb_image_place *place;
        struct sb_run run;
        sabot_status status;

        if (!sb_image_lists(from, number) || from->places[number].first != number)
            continue;
        place = &from->places[number];
        run = (struct sb_run){place->first, place->chunks, place->tag, place->class};
        for (uint32_t i = 1; i < run.chunks; i++)
            if (!sb_image_lists(from, number + i) || from->places[number + i].first != number)
                return damaged(placer, "a run is not whole");
        status = sb_cells_place(placer->arena, &run);
        if (status == SABOT_ERR_MEMORY)
            return sb_vault_no_memory(
                placer->vault, &placer->vault->states[run.tag / SB_TAGS_PER_STATE], placer->error);
        if (status != SABOT_OK)
            return damaged(placer, "no such run");
    }
    return SABOT_OK;
}

/* How many chunks from this number on lie one behind the other in one file. */
static uint32_t count_together(const struct sb_image_shard *from, uint32_t number)
{
    const struct sb_image_place *first = &from->places[number];
    uint32_t count = 1;

    while (count < SB_IMAGE_BLOCK_CHUNKS && sb_image_lists(from, number + count) &&
           from->places[number + count].file == first->file &&
           from->places[number + count].at == first->at + (uint64_t)count * SB_CHUNK_SIZE)
        count++;
    return count;
}

static sabot_status read_chunks(struct placer *placer)
{
    const struct sb_image_shard *from = placer->from;
    uint8_t *buffer = placer->image->buffer;
    uint32_t together;

    for (uint32_t number = 1; number < from->words * 64; number += together) {
        const struct sb_image_place *place;
        const struct sb_image_file *file;

        together = 1;
        if (!sb_image_lists(from, number))
            continue;
        place = &from->places[number];
        together = count_together(from, number);
        file = &placer->image->files[place->file - 1];
        SABOT_TRY(file->read(file->context, place->at, buffer, (size_t)together * SB_CHUNK_SIZE,
                             placer->error));
        for (uint32_t i = 0; i < together; i++)
            memcpy(placer->arena->chunks[number + i].memory, buffer + (size_t)i * SB_CHUNK_SIZE,
                   SB_CHUNK_SIZE);
    }
    return SABOT_OK;
}

/* --- Cells --------------------------------------------------------------------------------------
 */

static bool is_part(const struct placer *placer,
                    const struct sb_state *state,
                    sb_ref ref,
                    uint32_t size)
{
    return ref == 0 || sb_cell_is(placer->arena, ref, sb_state_tag(state, SB_TAG_PARTS), size);
}

static bool are_parts(const struct placer *placer,
                      const struct sb_state *state,
                      const sb_ref *refs,
                      uint32_t count,
                      uint32_t size)
{
    for (uint32_t i = 0; i < count; i++)
        if (!is_part(placer, state, refs[i], size))
            return false;
    return true;
}

/* Does a cell of a key make sense, in `size` bytes? */
static bool check_key(const struct placer *placer,
                      const struct sb_state *state,
                      const struct sb_cell *cell,
                      uint32_t size)
{
    const uint32_t key_size = sb_cell_key_size(cell);
    const void *value;

    if (size < state->key_offset || key_size > SB_STATE_KEY_MAX ||
        sb_pad8(key_size) > size - state->key_offset ||
        cell->size > size - state->key_offset - sb_pad8(key_size) ||
        (cell->head & ~(uint32_t)SB_CELL_KEY_MASK) != 0)
        return false;
    value = sb_cell_value(state, cell);
    if (state->spec.kind == SB_STATE_LIST) {
        const struct sb_list *list = value;

        return cell->size == sizeof *list && list->first < list->next && list->first_segment != 0 &&
               list->last_segment != 0 &&
               is_part(placer, state, list->first_segment, sizeof(struct sb_segment)) &&
               is_part(placer, state, list->last_segment, sizeof(struct sb_segment));
    }
    if (state->spec.kind == SB_STATE_MAP)
        return cell->size == sizeof(struct sb_map) &&
               are_parts(placer, state, ((const struct sb_map *)value)->tower, SB_MAP_HEIGHT_MAX,
                         state->entry_offset);
    if (state->wheel != NULL)
        return cell->size == 0;
    return state->fixed_size == 0 || cell->size == state->fixed_size;
}

static sabot_status adopt_key(void *context, sb_ref ref, uint16_t tag, uint32_t size)
{
    struct placer *placer = context;
    struct sb_vault *vault = placer->vault;
    struct sb_state *state = &vault->states[tag / SB_TAGS_PER_STATE];
    const struct sb_cell *cell = sb_cell_at(placer->arena, ref);
    uint64_t hash;

    if (!check_key(placer, state, cell, size))
        return damaged(placer, "a cell makes no sense");
    sb_account_count(&state->line, size);
    if (state->wheel != NULL)
        return sb_timer_adopt(vault, state, placer->shard, ref, placer->error);
    hash = sb_hash(sb_cell_key(state, cell), sb_cell_key_size(cell), vault->config.hash_seed);
    if (sb_hash_shard(hash) != placer->shard)
        return damaged(placer, "a key of another shard");
    sb_index_insert(&state->tables[placer->shard].keys, hash, ref);
    return SABOT_OK;
}

static bool check_segment(const struct placer *placer,
                          const struct sb_state *state,
                          const struct sb_segment *segment,
                          uint32_t size)
{
    return size >= sizeof *segment && segment->cell.head == 0 &&
           segment->cell.size <= size - sizeof *segment && segment->used <= segment->cell.size &&
           segment->count <= segment->used &&
           is_part(placer, state, segment->next, sizeof *segment);
}

static bool check_entry(const struct placer *placer,
                        const struct sb_state *state,
                        const struct sb_cell *cell,
                        uint32_t size)
{
    const uint32_t height = sb_entry_height(cell);
    const uint32_t key_at = state->entry_offset + sb_pad8((uint32_t)sizeof(sb_ref) * (1 + height));
    const struct sb_entry *entry = sb_entry_of(state, cell);

    return height > 0 && height <= SB_MAP_HEIGHT_MAX && size >= key_at &&
           sb_cell_key_size(cell) <= SB_STATE_KEY_MAX &&
           sb_pad8(sb_cell_key_size(cell)) <= size - key_at &&
           cell->size <= size - key_at - sb_pad8(sb_cell_key_size(cell)) &&
           (state->fixed_size == 0 || cell->size == state->fixed_size) &&
           are_parts(placer, state, entry->tower, height, state->entry_offset) &&
           sb_cell_is(placer->arena, entry->owner, sb_state_tag(state, SB_TAG_KEYS),
                      state->key_offset + (uint32_t)sizeof(struct sb_map)) &&
           (((const struct sb_cell *)sb_cell_at(placer->arena, entry->owner))->head &
            SB_CELL_FREE) == 0;
}

static sabot_status adopt_part(void *context, sb_ref ref, uint16_t tag, uint32_t size)
{
    struct placer *placer = context;
    struct sb_state *state = &placer->vault->states[tag / SB_TAGS_PER_STATE];
    const struct sb_cell *cell = sb_cell_at(placer->arena, ref);
    const struct sb_cell *owner;
    uint64_t key_hash;

    sb_account_count(&state->line, size);
    placer->parts++;
    if (state->spec.kind == SB_STATE_LIST) {
        if (!check_segment(placer, state, (const void *)cell, size))
            return damaged(placer, "a segment of a list makes no sense");
        sb_segment_mark(sb_cell_at(placer->arena, ref));
        return SABOT_OK;
    }
    if (state->spec.kind != SB_STATE_MAP || !check_entry(placer, state, cell, size))
        return damaged(placer, "an entry of a map makes no sense");
    owner = sb_cell_at(placer->arena, sb_entry_of(state, cell)->owner);
    key_hash = sb_hash(sb_cell_key(state, owner), sb_cell_key_size(owner),
                       placer->vault->config.hash_seed);
    sb_index_insert(&state->tables[placer->shard].entries,
                    sb_entry_hash(key_hash, (sabot_text){(const char *)sb_entry_key(state, cell),
                                                         sb_cell_key_size(cell)}),
                    ref);
    return SABOT_OK;
}

/* Every index gets the room it needs at once. */
static sabot_status reserve(struct placer *placer)
{
    struct sb_vault *vault = placer->vault;
    uint64_t counts[SB_STATES_MAX * SB_TAGS_PER_STATE] = {0};

    for (uint32_t i = 1; i < placer->arena->chunk_count; i++) {
        uint32_t count;

        if (placer->arena->chunks[i].memory == NULL || placer->arena->chunks[i].lead != i)
            continue;
        count = sb_cells_count(placer->arena, i);
        if (count == 0)
            return damaged(placer, "a run without a cell");
        counts[placer->arena->slabs[i].tag] += count;
    }
    for (uint32_t i = 0; i < vault->config.state_count; i++) {
        struct sb_state *state = &vault->states[i];
        struct sb_table *table = &state->tables[placer->shard];
        sabot_status status =
            sb_index_reserve(&table->keys, &vault->pool, counts[sb_state_tag(state, SB_TAG_KEYS)]);

        if (status == SABOT_OK && state->spec.kind == SB_STATE_MAP)
            status = sb_index_reserve(&table->entries, &vault->pool,
                                      counts[sb_state_tag(state, SB_TAG_PARTS)]);
        if (status != SABOT_OK)
            return sb_vault_no_memory(vault, state, placer->error);
    }
    return SABOT_OK;
}

/* Keys before what hangs on them: an entry's hash is made of its key's. */
static sabot_status adopt(struct placer *placer)
{
    struct sb_cells *arena = placer->arena;

    for (uint32_t part = SB_TAG_KEYS; part < SB_TAGS_PER_STATE; part++) {
        for (uint32_t i = 1; i < arena->chunk_count; i++) {
            if (arena->chunks[i].memory == NULL || arena->chunks[i].lead != i ||
                arena->slabs[i].tag % SB_TAGS_PER_STATE != part)
                continue;
            SABOT_TRY(
                sb_cells_adopt(arena, i, part == SB_TAG_KEYS ? adopt_key : adopt_part, placer));
        }
    }
    sb_cells_settle(arena);
    if (!sb_parts_are_whole(placer->vault, placer->shard, placer->parts))
        return damaged(placer, "a list or a map is not whole");
    return SABOT_OK;
}

static sabot_status place_shard(struct sb_vault *vault,
                                const struct sb_image *image,
                                uint32_t shard,
                                sabot_error *error)
{
    struct placer placer = {
        .vault = vault,
        .image = image,
        .from = &image->shards[shard],
        .arena = sb_vault_cells(vault, shard),
        .shard = shard,
        .error = error,
    };

    if (placer.arena == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory to restore its state",
                           vault->config.owner);
    SB_ASSERT(placer.arena->chunk_count == 1);
    SABOT_TRY(place_runs(&placer));
    SABOT_TRY(read_chunks(&placer));
    SABOT_TRY(reserve(&placer));
    return adopt(&placer);
}

/* --- Cell by cell -------------------------------------------------------------------------------
 */

sabot_status sb_image_write(struct sb_image *image,
                            uint32_t shard,
                            const struct sb_byte_sink *sink,
                            sabot_error *error)
{
    const struct sb_store_config config = {
        .env = image->env,
        .owner = image->files[image->file_count - 1].name,
        .states = image->states,
        .state_count = image->state_count,
        .hash_seed = image->hash_seed,
        .account = image->account,
        .rows = image->rows,
        .cache_bytes = UINT64_MAX,
        .operator_id = (uint16_t)image->operator_id,
    };
    struct sb_store *store;
    sabot_status status = SABOT_OK;

    if (image->rows == NULL && sb_image_has_rows(image))
        return sb_image_damaged(image, image->file_count - 1, "the files of its rows are missing",
                                error);
    SABOT_TRY(sb_store_create(&config, &store, error));
    sb_store_adopt_rows(store);
    if (sb_image_has_shard(image, shard))
        status = place_shard(sb_vault_of(store), image, shard, error);
    if (status == SABOT_OK)
        status = sb_store_snapshot(store, shard, sink, error);
    sb_store_destroy(store);
    return status;
}

static sabot_status convert(struct sb_store *store,
                            struct sb_image *image,
                            uint32_t shard,
                            sabot_error *error)
{
    struct sb_buffer bytes;
    struct sb_buffer_reader reader = {.buffer = &bytes};
    const struct sb_byte_sink sink = {sb_buffer_take, &bytes};
    const struct sb_byte_source source = {sb_buffer_give, &reader};
    sabot_status status;

    sb_buffer_init(&bytes, image->env);
    status = sb_image_write(image, shard, &sink, error);
    if (status == SABOT_OK)
        status = sb_store_restore(store, &source, error);
    sb_buffer_reset(&bytes);
    return status;
}

bool sb_store_fits(const struct sb_store *store, const struct sb_image *image)
{
    const struct sb_buffer *layout = &sb_vault_of_const(store)->imaging.layout;

    return layout->size == image->layout.size &&
           memcmp(layout->data, image->layout.data, layout->size) == 0;
}

void sb_store_adopt_rows(struct sb_store *store)
{
    struct sb_vault *vault = sb_vault_of(store);

    vault->has_adopted = true;
    for (uint32_t i = 0; i < vault->config.state_count; i++)
        if (vault->states[i].wheel != NULL && vault->states[i].backed)
            vault->states[i].wheel->rows_from = 0; /* all of them may be there */
}

sabot_status sb_store_restore_image(struct sb_store *store,
                                    struct sb_image *image,
                                    uint32_t shard,
                                    sabot_error *error)
{
    struct sb_vault *vault = sb_vault_of(store);

    if (!sb_store_fits(store, image) || (sb_image_has_rows(image) && !vault->has_adopted))
        return convert(store, image, shard, error);
    return sb_image_has_shard(image, shard) ? place_shard(vault, image, shard, error) : SABOT_OK;
}
