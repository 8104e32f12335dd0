/* SPDX-License-Identifier: Apache-2.0 */
/* image_read.c - finding the chunks of an image in its files; image.h has their form.
 *
 *     newest file: lists, layout --> all files, newest first: tables --> a place for each chunk
 *
 * Only heads, tables, lists and the layout are read here: a look into each block. The bytes are not
 * trusted: every number is checked before it is used.
 *
 * Threads: the caller's. Memory: 24 bytes for each number of a chunk, one block, the layout. */
#include "state/image.h"

#include <string.h>

#include "base/mem.h"

sabot_status sb_image_damaged(const struct sb_image *image,
                              uint32_t file,
                              const char *what,
                              sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: it is damaged: %s", image->files[file].name,
                       what);
}

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to restore a snapshot");
}

static sabot_status read_file(const struct sb_image *image,
                              uint32_t file,
                              uint64_t at,
                              size_t size,
                              sabot_error *error)
{
    const struct sb_image_file *from = &image->files[file];

    return from->read(from->context, at, image->buffer, size, error);
}

/* --- Lists --------------------------------------------------------------------------------------
 */

/* Room for so many more words of a shard's list. */
static sabot_status grow_list(struct sb_image *image,
                              struct sb_image_shard *shard,
                              uint32_t words,
                              sabot_error *error)
{
    const uint32_t total = shard->words + words;
    uint64_t *list = sb_alloc_array(image->env, total, sizeof *list);

    if (list == NULL)
        return no_memory(error);
    if (shard->words > 0)
        memcpy(list, shard->list, shard->words * sizeof *list);
    sb_free_array(image->env, shard->list, shard->words, sizeof *list);
    shard->list = list;
    shard->words = total;
    return SABOT_OK;
}

/* The lists of a block, which is in the buffer. */
static sabot_status take_lists(struct sb_image *image,
                               uint32_t file,
                               const struct sb_image_block *block,
                               sabot_error *error)
{
    const uint8_t *at = image->buffer + sizeof *block;
    const uint8_t *end = at + block->used;

    while (at < end) {
        struct sb_image_list list;
        struct sb_image_shard *shard;
        uint32_t words;

        if ((size_t)(end - at) < sizeof list)
            return sb_image_damaged(image, file, "half of a list", error);
        memcpy(&list, at, sizeof list);
        at += sizeof list;
        if (list.shard >= SB_SHARD_COUNT || list.words == 0 ||
            list.words > (size_t)(end - at) / sizeof(uint64_t))
            return sb_image_damaged(image, file, "no such list", error);
        shard = &image->shards[list.shard];
        words = shard->words;
        if (list.first != words * 64 || (words + list.words) > SB_CHUNKS_MAX / 64)
            return sb_image_damaged(image, file, "a list that doesn't go on", error);
        SABOT_TRY(grow_list(image, shard, list.words, error));
        memcpy(shard->list + words, at, list.words * sizeof(uint64_t));
        at += list.words * sizeof(uint64_t);
    }
    return SABOT_OK;
}

/* --- Tables -------------------------------------------------------------------------------------
 */

static sabot_status take_chunk(struct sb_image *image,
                               uint32_t file,
                               const struct sb_image_chunk *chunk,
                               uint64_t at,
                               sabot_error *error)
{
    struct sb_image_shard *shard;
    struct sb_image_place *place;

    if (chunk->shard >= SB_SHARD_COUNT || chunk->first == 0 || chunk->number < chunk->first ||
        chunk->number - chunk->first >= chunk->chunks)
        return sb_image_damaged(image, file, "no such chunk", error);
    shard = &image->shards[chunk->shard];
    if (!sb_image_lists(shard, chunk->number))
        return SABOT_OK; /* given back since */
    if (shard->places == NULL) {
        shard->places =
            sb_alloc_array(image->env, (size_t)shard->words * 64, sizeof *shard->places);
        if (shard->places == NULL)
            return no_memory(error);
    }
    place = &shard->places[chunk->number];
    if (place->file == file + 1)
        return sb_image_damaged(image, file, "a chunk comes twice", error);
    if (place->file != 0)
        return SABOT_OK; /* a newer file has it */
    *place = (struct sb_image_place){
        .at = at,
        .first = chunk->first,
        .chunks = chunk->chunks,
        .tag = chunk->tag,
        .class = chunk->class,
        .file = (uint8_t)(file + 1),
    };
    return SABOT_OK;
}

static sabot_status take_table(struct sb_image *image,
                               uint32_t file,
                               const struct sb_image_block *block,
                               uint64_t at,
                               sabot_error *error)
{
    const struct sb_image_chunk *table =
        (const void *)(image->buffer + sizeof(struct sb_image_block));

    for (uint32_t i = 0; i < block->used; i++)
        SABOT_TRY(take_chunk(image, file, &table[i],
                             at + SB_IMAGE_TABLE + (uint64_t)i * SB_CHUNK_SIZE, error));
    return SABOT_OK;
}

/* --- Blocks -------------------------------------------------------------------------------------
 */

/* Is this a block, and does it end inside of the file? */
static bool is_block(const struct sb_image_block *block, uint64_t left)
{
    if (block->magic != SB_IMAGE_BLOCK_MAGIC || block->size > left ||
        block->size > SB_IMAGE_BLOCK_MAX || block->kind < SB_IMAGE_LAYOUT ||
        block->kind > SB_IMAGE_CHUNKS)
        return false;
    if (block->kind == SB_IMAGE_CHUNKS)
        return block->used > 0 && block->used <= SB_IMAGE_BLOCK_CHUNKS &&
               block->size == SB_IMAGE_TABLE + block->used * SB_CHUNK_SIZE;
    return block->used > 0 && block->size > sizeof *block &&
           block->used == block->size - sizeof *block;
}

/* What a look for lists and layout, or for chunks, takes of a block. */
static sabot_status take_block(struct sb_image *image,
                               uint32_t file,
                               const struct sb_image_block *block,
                               uint64_t at,
                               bool chunks,
                               sabot_error *error)
{
    if (block->node != image->node || (block->kind == SB_IMAGE_CHUNKS) != chunks)
        return SABOT_OK;
    if (chunks) {
        SABOT_TRY(read_file(image, file, at, SB_IMAGE_TABLE, error));
        return take_table(image, file, block, at, error);
    }
    if (block->kind == SB_IMAGE_LAYOUT) {
        if (image->layout_worker < 0)
            image->layout_worker = block->worker;
        if (image->layout_worker != block->worker) /* they are all the same */
            return SABOT_OK;
    }
    SABOT_TRY(read_file(image, file, at, block->size, error));
    if (block->kind == SB_IMAGE_LISTS)
        return take_lists(image, file, block, error);
    return sb_buffer_append(&image->layout, image->buffer + sizeof *block, block->used) == SABOT_OK
               ? SABOT_OK
               : no_memory(error);
}

static sabot_status walk_file(struct sb_image *image,
                              uint32_t file,
                              bool chunks,
                              sabot_error *error)
{
    const uint64_t size = image->files[file].size;
    uint64_t at = 0;

    while (at < size) {
        struct sb_image_block block;

        if (size - at < sizeof block)
            return sb_image_damaged(image, file, "half of a block", error);
        SABOT_TRY(read_file(image, file, at, sizeof block, error));
        memcpy(&block, image->buffer, sizeof block);
        if (!is_block(&block, size - at))
            return sb_image_damaged(image, file, "what should be a block is none", error);
        SABOT_TRY(take_block(image, file, &block, at, chunks, error));
        at += block.size;
    }
    return SABOT_OK;
}

/* Every chunk that is listed was found, and is what the others of its run say. */
static sabot_status check_shard(const struct sb_image *image,
                                const struct sb_image_shard *shard,
                                sabot_error *error)
{
    const uint32_t newest = image->file_count - 1;

    for (uint32_t number = 0; number < shard->words * 64; number++) {
        const struct sb_image_place *place;
        const struct sb_image_place *first;

        if (!sb_image_lists(shard, number))
            continue;
        place = shard->places == NULL ? NULL : &shard->places[number];
        if (place == NULL || place->file == 0)
            return sb_image_damaged(image, newest, "it lists a chunk that no file has", error);
        if (!sb_image_lists(shard, place->first))
            return sb_image_damaged(image, newest, "it lists half of a run", error);
        first = &shard->places[place->first];
        if (first->first != place->first || first->chunks != place->chunks ||
            first->tag != place->tag || first->class != place->class)
            return sb_image_damaged(image, newest, "chunks of one run differ", error);
    }
    return SABOT_OK;
}

/* --- The layout ---------------------------------------------------------------------------------
 */

struct layout_source {
    const struct sb_buffer *buffer;
    size_t at;
};

static sabot_status read_layout(void *context,
                                void *buffer,
                                size_t size,
                                size_t *size_out,
                                sabot_error *error)
{
    struct layout_source *source = context;
    const size_t left = source->buffer->size - source->at;

    (void)error;
    *size_out = size < left ? size : left;
    if (*size_out > 0)
        memcpy(buffer, source->buffer->data + source->at, *size_out);
    source->at += *size_out;
    return SABOT_OK;
}

static const char *take_text(struct sb_image *image, struct sb_in *in)
{
    char text[SABOT_FIELD_PATH_MAX + 1];
    char *copy;

    sb_in_text(in, text, sizeof text);
    copy = sb_arena_copy(&image->arena, text, strlen(text));
    if (copy == NULL && in->status == SABOT_OK)
        in->status = no_memory(in->error);
    return copy;
}

static void take_field(struct sb_image *image,
                       struct sb_in *in,
                       uint32_t record_size,
                       struct sb_schema_field *field)
{
    field->path = take_text(image, in);
    field->path_size = field->path == NULL ? 0 : strlen(field->path);
    field->type = (sabot_type)sb_in_u8(in);
    field->offset = sb_in_u32(in);
    field->size = sb_in_u32(in);
    field->count = sb_in_u32(in);
    if (in->status == SABOT_OK &&
        (field->type < SABOT_BOOL || field->type > SABOT_CHARS || field->count == 0 ||
         field->size == 0 || field->size % field->count != 0 || field->offset > record_size ||
         field->size > record_size - field->offset))
        sb_in_damaged(in, "no such field");
}

static const struct sb_schema *take_schema(struct sb_image *image,
                                           struct sb_in *in,
                                           uint32_t size_max)
{
    struct sb_schema *schema = sb_arena_alloc(&image->arena, sizeof *schema);

    if (schema == NULL) {
        in->status = no_memory(in->error);
        return NULL;
    }
    *schema = (struct sb_schema){.env = image->env};
    schema->name = take_text(image, in);
    schema->version = sb_in_u32(in);
    schema->record_size = sb_in_u32(in);
    schema->field_count = sb_in_u16(in);
    if (in->status == SABOT_OK && (schema->record_size == 0 || schema->record_size > size_max ||
                                   schema->field_count > SABOT_FIELDS_MAX))
        sb_in_damaged(in, "no such table of fields");
    if (in->status != SABOT_OK)
        return NULL;
    schema->fields =
        sb_arena_alloc(&image->arena, schema->field_count * sizeof *schema->fields + 1);
    if (schema->fields == NULL) {
        in->status = no_memory(in->error);
        return NULL;
    }
    for (uint32_t i = 0; i < schema->field_count && in->status == SABOT_OK; i++) {
        schema->fields[i] = (struct sb_schema_field){.path = NULL};
        take_field(image, in, schema->record_size, &schema->fields[i]);
    }
    return schema;
}

static void take_state(struct sb_image *image, struct sb_in *in, struct sb_state_spec *state)
{
    uint8_t flags;

    *state = (struct sb_state_spec){.name = take_text(image, in)};
    state->kind = (enum sb_state_kind)sb_in_u8(in);
    flags = sb_in_u8(in);
    if (in->status == SABOT_OK &&
        (state->kind < SB_STATE_VALUE || state->kind > SB_STATE_TIMERS ||
         (flags & ~(SB_SNAP_HAS_TIME | SB_SNAP_HAS_STRUCT | SB_SNAP_HAS_ROWS | SB_IMAGE_BACKED)) !=
             0 ||
         ((flags & SB_SNAP_HAS_ROWS) != 0 &&
          ((flags & SB_SNAP_HAS_STRUCT) != 0 || state->kind != SB_STATE_VALUE)) ||
         (state->kind == SB_STATE_TIMERS && (flags & ~SB_IMAGE_BACKED) != 0)))
        sb_in_damaged(in, "no such state");
    /* How long it lives is not part of it; that it may end makes room for a time. */
    state->ttl_ms = (flags & SB_SNAP_HAS_TIME) != 0 ? INT64_MAX : 0;
    state->in_memory = (flags & SB_IMAGE_BACKED) == 0;
    if (in->status == SABOT_OK && (flags & SB_SNAP_HAS_STRUCT) != 0)
        state->schema = take_schema(image, in, SB_STATE_FIXED_MAX);
    if (in->status == SABOT_OK && (flags & SB_SNAP_HAS_ROWS) != 0)
        state->row_schema = take_schema(image, in, UINT32_MAX);
}

static void take_head(struct sb_image *image, struct sb_in *in)
{
    char magic[sizeof SB_IMAGE_MAGIC];
    uint32_t format;

    sb_in_bytes(in, magic, sizeof magic);
    format = sb_in_u16(in);
    if (in->status == SABOT_OK && memcmp(magic, SB_IMAGE_MAGIC, sizeof magic) != 0)
        sb_in_damaged(in, "it is no image");
    if (in->status == SABOT_OK && format != SB_IMAGE_FORMAT)
        in->status = sabot_raise(in->error, SABOT_ERR_UNSUPPORTED,
                                 "the snapshot has format %u, this Sabot reads format %d", format,
                                 SB_IMAGE_FORMAT);
    image->hash_seed = sb_in_u64(in);
    image->operator_id = sb_in_u16(in);
    for (size_t i = 0; i < SB_IMAGE_SIZES; i++) {
        if (sb_in_u16(in) != sb_image_sizes[i] && in->status == SABOT_OK)
            in->status = sabot_raise(in->error, SABOT_ERR_UNSUPPORTED,
                                     "the snapshot was made by another version of Sabot, whose "
                                     "cells are other ones: use that, or a savepoint of it");
    }
    image->state_count = sb_in_u16(in);
    if (in->status == SABOT_OK && image->state_count > SB_STATES_MAX)
        sb_in_damaged(in, "too many states");
}

static sabot_status parse_layout(struct sb_image *image, sabot_error *error)
{
    struct layout_source from = {.buffer = &image->layout};
    const struct sb_byte_source source = {read_layout, &from};
    sabot_error why = {.status = SABOT_OK};
    struct sb_in in;

    if (sb_in_init(&in, image->env, &source, &why) != SABOT_OK)
        return no_memory(error);
    take_head(image, &in);
    image->states = sb_arena_alloc(&image->arena, SB_STATES_MAX * sizeof *image->states);
    if (image->states == NULL) {
        sb_in_reset(&in);
        return no_memory(error);
    }
    for (uint32_t i = 0; in.status == SABOT_OK && i < image->state_count; i++)
        take_state(image, &in, &image->states[i]);
    if (in.status == SABOT_OK)
        sb_in_end(&in);
    sb_in_reset(&in);
    if (in.status == SABOT_OK)
        return SABOT_OK;
    return sabot_raise(error, in.status, "%s: %s", image->files[image->file_count - 1].name,
                       why.text);
}

/* --- Opening ------------------------------------------------------------------------------------
 */

static sabot_status read_all(struct sb_image *image, sabot_error *error)
{
    SABOT_TRY(walk_file(image, image->file_count - 1, false, error));
    if (image->layout.size == 0)
        return sb_image_damaged(image, image->file_count - 1, "it has no layout", error);
    SABOT_TRY(parse_layout(image, error));
    for (uint32_t i = image->file_count; i-- > 0;)
        SABOT_TRY(walk_file(image, i, true, error));
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++)
        SABOT_TRY(check_shard(image, &image->shards[i], error));
    return SABOT_OK;
}

sabot_status sb_image_open(const struct sb_env *env,
                           const struct sb_image_file *files,
                           uint32_t file_count,
                           uint32_t node,
                           struct sb_image **image_out,
                           sabot_error *error)
{
    struct sb_image *image = sb_alloc(env, sizeof *image);
    sabot_status status;

    SB_ASSERT(file_count > 0);
    *image_out = NULL;
    if (image == NULL)
        return no_memory(error);
    *image = (struct sb_image){
        .env = env, .files = files, .file_count = file_count, .node = node, .layout_worker = -1};
    sb_buffer_init(&image->layout, env);
    sb_arena_init(&image->arena, env);
    image->buffer = sb_alloc(env, SB_IMAGE_BLOCK_MAX);
    if (image->buffer == NULL)
        status = no_memory(error);
    else if (file_count > SB_IMAGE_FILES_MAX)
        status = sb_image_damaged(image, 0, "it is one of too many files", error);
    else
        status = read_all(image, error);
    if (status != SABOT_OK) {
        sb_image_close(image);
        return status;
    }
    *image_out = image;
    return SABOT_OK;
}

void sb_image_close(struct sb_image *image)
{
    const struct sb_env *env;

    if (image == NULL)
        return;
    env = image->env;
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++) {
        struct sb_image_shard *shard = &image->shards[i];

        sb_free_array(env, shard->list, shard->words, sizeof *shard->list);
        sb_free_array(env, shard->places, (size_t)shard->words * 64, sizeof *shard->places);
    }
    sb_buffer_reset(&image->layout);
    sb_arena_reset(&image->arena);
    sb_free(env, image->buffer, SB_IMAGE_BLOCK_MAX);
    sb_free(env, image, sizeof *image);
}

void sb_image_set_account(struct sb_image *image, struct sb_account *account)
{
    image->account = account;
}

bool sb_image_has_shard(const struct sb_image *image, uint32_t shard)
{
    return image->shards[shard].words > 0 || image->rows != NULL;
}

bool sb_image_has_rows(const struct sb_image *image)
{
    for (uint32_t i = 0; i < image->state_count; i++)
        if (!image->states[i].in_memory)
            return true;
    return false;
}

void sb_image_set_rows(struct sb_image *image, struct sb_rows *rows)
{
    image->rows = rows;
}
