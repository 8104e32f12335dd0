/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - the bytes of a manifest (docs/state-format.md).
 *
 * Numbers are little-endian; a text is its size (u16) and its bytes. The reader trusts nothing: it
 * checks the checksum over all before it looks inside, and after that every size against what is
 * left. */
#include "ckpt/manifest.h"

#include <string.h>

#include "base/hash.h"

static const char magic[8] = "SBCKPT\n";

enum {
    CHECKSUM_SIZE = 8,
    HEAD_SIZE = sizeof magic + 4 + 8,
    FLAG_FINISHED = 1,
    FLAG_ORIGIN = 2,
    FLAG_STAGED = 4,
    POSITION_SIZE_MIN = 4 + 1 + 8 + 8 + 2,
    SHARD_SIZE = 4 + 4 + 8 + 8,
    TASK_SIZE_MIN = 2 + 1 + 8 + 1 + 4 + 4,
    FILE_SIZE_MIN = 1 + 2 + 8 + 8,
};

void sb_manifest_init(struct sb_manifest *manifest, const struct sb_env *env)
{
    *manifest = (struct sb_manifest){.app = NULL};
    sb_arena_init(&manifest->arena, env);
}

void sb_manifest_reset(struct sb_manifest *manifest)
{
    sb_arena_reset(&manifest->arena);
}

/* --- Writing -------------------------------------------------------------------------------------
 */

/* Appends until memory runs out; the first failure sticks. */
struct writer {
    struct sb_buffer *out;
    sabot_status status;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (writer->status == SABOT_OK)
        writer->status = sb_buffer_append(writer->out, bytes, size);
}

static void put_number(struct writer *writer, uint64_t value, size_t size)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    put_bytes(writer, bytes, size);
}

static void put_text(struct writer *writer, const char *text)
{
    const size_t size = strlen(text);

    SB_ASSERT(size <= SB_MANIFEST_NAME_MAX);
    put_number(writer, size, 2);
    put_bytes(writer, text, size);
}

/* What a position has. */
enum { POSITION_ENDED = 1, POSITION_TAKEN = 2 };

static void put_position(struct writer *writer, const struct sb_part_position *position)
{
    put_number(writer, (uint32_t)position->partition, 4);
    put_number(writer,
               (position->ended ? POSITION_ENDED : 0) | (position->taken > 0 ? POSITION_TAKEN : 0),
               1);
    put_number(writer, (uint64_t)position->offset, 8);
    put_number(writer, (uint64_t)position->watermark_ms, 8);
    put_number(writer, position->opaque.size, 2);
    put_bytes(writer, position->opaque.bytes, position->opaque.size);
    if (position->taken > 0)
        put_number(writer, position->taken, 8);
}

static void put_lists(struct writer *writer, const struct sb_manifest *manifest)
{
    put_number(writer, manifest->file_count, 4);
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        put_number(writer, manifest->files[i].kind, 1);
        put_text(writer, manifest->files[i].name);
        put_number(writer, manifest->files[i].size, 8);
        put_number(writer, manifest->files[i].checksum, 8);
    }
    put_number(writer, manifest->source_count, 4);
    for (uint32_t i = 0; i < manifest->source_count; i++) {
        const struct sb_manifest_source *source = &manifest->sources[i];

        put_text(writer, source->channel);
        put_number(writer, source->partition_count, 4);
        put_number(writer, source->position_count, 4);
        for (uint32_t at = 0; at < source->position_count; at++)
            put_position(writer, &source->positions[at]);
    }
    put_number(writer, manifest->task_count, 4);
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        const struct sb_manifest_task *task = &manifest->tasks[i];

        put_text(writer, task->name);
        put_number(writer, task->key_type, 1);
        put_number(writer, (uint64_t)task->watermark_ms, 8);
        put_number(writer, task->has_image, 1);
        put_number(writer, task->image_node, 4);
        put_number(writer, task->shard_count, 4);
        for (uint32_t at = 0; at < task->shard_count; at++) {
            put_number(writer, task->shards[at].shard, 4);
            put_number(writer, task->shards[at].file, 4);
            put_number(writer, task->shards[at].start, 8);
            put_number(writer, task->shards[at].size, 8);
        }
    }
    put_number(writer, manifest->sink_count, 4);
    for (uint32_t i = 0; i < manifest->sink_count; i++) {
        put_text(writer, manifest->sinks[i].channel);
        put_number(writer, manifest->sinks[i].has_length, 1);
        put_number(writer, manifest->sinks[i].length, 8);
    }
}

static uint64_t flags_of(const struct sb_manifest *manifest)
{
    return (manifest->finished ? FLAG_FINISHED : 0u) | (manifest->origin != 0 ? FLAG_ORIGIN : 0u) |
           (manifest->staged ? FLAG_STAGED : 0u);
}

sabot_status sb_manifest_encode(struct sb_manifest *manifest, struct sb_buffer *out)
{
    struct writer writer = {.out = out};
    const size_t start = out->size;
    uint64_t total;

    put_bytes(&writer, magic, sizeof magic);
    put_number(&writer, SB_MANIFEST_FORMAT, 4);
    put_number(&writer, 0, 8); /* the size, known at the end */
    put_text(&writer, manifest->app);
    put_text(&writer, manifest->pipeline);
    put_number(&writer, (uint64_t)manifest->id, 8);
    put_number(&writer, manifest->nonce, 8);
    put_number(&writer, manifest->owner, 8);
    put_number(&writer, (uint64_t)manifest->time_ms, 8);
    put_number(&writer, manifest->hash_seed, 8);
    put_number(&writer, SB_SHARD_COUNT, 4);
    put_number(&writer, flags_of(manifest), 4);
    if (manifest->origin != 0)
        put_number(&writer, manifest->origin, 8);
    put_lists(&writer, manifest);
    if (writer.status != SABOT_OK)
        return writer.status;
    total = out->size - start + CHECKSUM_SIZE;
    for (size_t i = 0; i < 8; i++)
        out->data[start + sizeof magic + 4 + i] = (uint8_t)(total >> (8 * i));
    manifest->checksum = sb_hash(out->data + start, out->size - start, 0);
    put_number(&writer, manifest->checksum, 8);
    return writer.status;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

/* Takes from the front; the first failure sticks, and everything after it reads as zero. */
struct reader {
    const uint8_t *at;
    size_t left;
    struct sb_manifest *manifest;
    sabot_status status;
    const char *what; /* that was wrong */
};

static void spoil(struct reader *reader, sabot_status status, const char *what)
{
    if (reader->status == SABOT_OK) {
        reader->status = status;
        reader->what = what;
    }
    reader->left = 0;
}

static const uint8_t *take(struct reader *reader, size_t size, const char *what)
{
    const uint8_t *bytes = reader->at;

    if (reader->left < size) {
        spoil(reader, SABOT_ERR_CORRUPT, what);
        return NULL;
    }
    reader->at += size;
    reader->left -= size;
    return bytes;
}

static uint64_t take_number(struct reader *reader, size_t size, const char *what)
{
    const uint8_t *bytes = take(reader, size, what);
    uint64_t value = 0;

    for (size_t i = 0; bytes != NULL && i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static const char *take_text(struct reader *reader, const char *what)
{
    const size_t size = (size_t)take_number(reader, 2, what);
    const uint8_t *bytes = take(reader, size, what);
    char *copy = NULL;

    if (bytes != NULL && (size > SB_MANIFEST_NAME_MAX || memchr(bytes, '\0', size) != NULL))
        spoil(reader, SABOT_ERR_CORRUPT, what);
    else if (bytes != NULL)
        copy = sb_arena_copy(&reader->manifest->arena, (const char *)bytes, size);
    if (copy == NULL)
        spoil(reader, SABOT_ERR_MEMORY, what);
    return copy == NULL ? "" : copy;
}

/* An array of `count` elements that take at least `size_min` bytes each. NULL also when empty. */
static void *take_array(struct reader *reader,
                        uint32_t *count_out,
                        size_t size_min,
                        size_t element_size,
                        const char *what)
{
    const uint32_t count = (uint32_t)take_number(reader, 4, what);
    void *array;

    *count_out = 0;
    if (count > reader->left / size_min) {
        spoil(reader, SABOT_ERR_CORRUPT, what);
        return NULL;
    }
    if (count == 0)
        return NULL;
    array = sb_arena_alloc(&reader->manifest->arena, count * element_size);
    if (array == NULL)
        spoil(reader, SABOT_ERR_MEMORY, what);
    else
        *count_out = count;
    return array;
}

static void take_position(struct reader *reader,
                          uint32_t partition_count,
                          struct sb_part_position *position)
{
    const uint32_t partition = (uint32_t)take_number(reader, 4, "a partition");
    uint64_t has;
    const uint8_t *bytes;

    if (partition >= partition_count || partition > INT32_MAX)
        spoil(reader, SABOT_ERR_CORRUPT, "a partition");
    position->partition = (int32_t)partition;
    has = take_number(reader, 1, "a partition");
    if (has > (POSITION_ENDED | POSITION_TAKEN))
        spoil(reader, SABOT_ERR_CORRUPT, "a partition");
    position->ended = (has & POSITION_ENDED) != 0;
    position->offset = (int64_t)take_number(reader, 8, "an offset");
    position->watermark_ms = (int64_t)take_number(reader, 8, "a watermark");
    position->opaque.size = (size_t)take_number(reader, 2, "a source's position");
    if (position->opaque.size > SABOT_POSITION_MAX)
        spoil(reader, SABOT_ERR_CORRUPT, "a source's position");
    bytes = take(reader, position->opaque.size, "a source's position");
    if (bytes != NULL)
        memcpy(position->opaque.bytes, bytes, position->opaque.size);
    if ((has & POSITION_TAKEN) != 0)
        position->taken = take_number(reader, 8, "a source's position");
}

static void take_sources(struct reader *reader)
{
    struct sb_manifest *manifest = reader->manifest;

    manifest->sources = take_array(reader, &manifest->source_count, 2 + 4 + 4,
                                   sizeof *manifest->sources, "the number of inputs");
    for (uint32_t i = 0; i < manifest->source_count; i++) {
        struct sb_manifest_source *source = &manifest->sources[i];

        source->channel = take_text(reader, "the name of an input");
        source->partition_count = (uint32_t)take_number(reader, 4, "a number of partitions");
        source->positions = take_array(reader, &source->position_count, POSITION_SIZE_MIN,
                                       sizeof *source->positions, "a number of positions");
        for (uint32_t at = 0; at < source->position_count; at++)
            take_position(reader, source->partition_count, &source->positions[at]);
    }
}

/* A shard's run lies inside of its file. */
static void check_shard(struct reader *reader, const struct sb_manifest_shard *shard)
{
    const struct sb_manifest *manifest = reader->manifest;

    if (reader->status != SABOT_OK)
        return;
    if (shard->shard >= SB_SHARD_COUNT || shard->file >= manifest->file_count ||
        shard->start > manifest->files[shard->file].size ||
        shard->size > manifest->files[shard->file].size - shard->start)
        spoil(reader, SABOT_ERR_CORRUPT, "a shard");
}

static void take_tasks(struct reader *reader)
{
    struct sb_manifest *manifest = reader->manifest;

    manifest->tasks = take_array(reader, &manifest->task_count, TASK_SIZE_MIN,
                                 sizeof *manifest->tasks, "the number of agents");
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        struct sb_manifest_task *task = &manifest->tasks[i];

        task->name = take_text(reader, "the name of an agent");
        task->key_type = (uint32_t)take_number(reader, 1, "the type of a key");
        task->watermark_ms = (int64_t)take_number(reader, 8, "a watermark");
        task->has_image = take_number(reader, 1, "an image") != 0;
        task->image_node = (uint32_t)take_number(reader, 4, "an image");
        task->shards = take_array(reader, &task->shard_count, SHARD_SIZE, sizeof *task->shards,
                                  "a number of shards");
        for (uint32_t at = 0; at < task->shard_count; at++) {
            task->shards[at].shard = (uint32_t)take_number(reader, 4, "a shard");
            task->shards[at].file = (uint32_t)take_number(reader, 4, "a shard");
            task->shards[at].start = take_number(reader, 8, "a shard");
            task->shards[at].size = take_number(reader, 8, "a shard");
            check_shard(reader, &task->shards[at]);
        }
    }
}

/* Of a file that lies in the folder of the checkpoint itself. */
static bool is_file_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

static void take_files(struct reader *reader)
{
    struct sb_manifest *manifest = reader->manifest;

    manifest->files = take_array(reader, &manifest->file_count, FILE_SIZE_MIN,
                                 sizeof *manifest->files, "the number of files");
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        manifest->files[i].kind =
            (enum sb_manifest_file_kind)take_number(reader, 1, "the kind of a file");
        if (manifest->files[i].kind > SB_FILE_ROWS)
            spoil(reader, SABOT_ERR_CORRUPT, "the kind of a file");
        manifest->files[i].name = take_text(reader, "the name of a file");
        manifest->files[i].size = take_number(reader, 8, "the size of a file");
        manifest->files[i].checksum = take_number(reader, 8, "the checksum of a file");
        if (!is_file_name(manifest->files[i].name))
            spoil(reader, SABOT_ERR_CORRUPT, "the name of a file");
    }
}

static void take_sinks(struct reader *reader)
{
    struct sb_manifest *manifest = reader->manifest;

    manifest->sinks = take_array(reader, &manifest->sink_count, 2 + 1 + 8, sizeof *manifest->sinks,
                                 "the number of outputs");
    for (uint32_t i = 0; i < manifest->sink_count; i++) {
        manifest->sinks[i].channel = take_text(reader, "the name of an output");
        manifest->sinks[i].has_length = take_number(reader, 1, "an output") != 0;
        manifest->sinks[i].length = take_number(reader, 8, "the length of an output");
    }
}

static void take_all(struct reader *reader)
{
    struct sb_manifest *manifest = reader->manifest;
    uint32_t flags;

    manifest->app = take_text(reader, "the name of the app");
    manifest->pipeline = take_text(reader, "the name of the pipeline");
    manifest->id = (int64_t)take_number(reader, 8, "the id");
    manifest->nonce = take_number(reader, 8, "the nonce");
    manifest->owner = take_number(reader, 8, "the owner");
    manifest->time_ms = (int64_t)take_number(reader, 8, "the time");
    manifest->hash_seed = take_number(reader, 8, "the hash seed");
    if (take_number(reader, 4, "the number of shards") != SB_SHARD_COUNT)
        spoil(reader, SABOT_ERR_CORRUPT, "the number of shards");
    flags = (uint32_t)take_number(reader, 4, "the flags");
    manifest->finished = (flags & FLAG_FINISHED) != 0;
    manifest->staged = (flags & FLAG_STAGED) != 0;
    if ((flags & FLAG_ORIGIN) != 0)
        manifest->origin = take_number(reader, 8, "the origin");

    take_files(reader);
    take_sources(reader);
    take_tasks(reader);
    take_sinks(reader);
    if (reader->left != 0)
        spoil(reader, SABOT_ERR_CORRUPT, "its end");
}

/* Head and checksum: are these the bytes that were written? */
static sabot_status check_whole(const uint8_t *bytes, size_t size, sabot_error *error)
{
    struct reader reader = {.at = bytes, .left = size};
    uint64_t format;
    uint64_t total;
    uint64_t checksum;

    if (size < HEAD_SIZE + CHECKSUM_SIZE || memcmp(bytes, magic, sizeof magic) != 0)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "this is no manifest (%zu bytes)", size);
    (void)take(&reader, sizeof magic, "");
    format = take_number(&reader, 4, "");
    total = take_number(&reader, 8, "");
    reader.at = bytes + size - CHECKSUM_SIZE;
    reader.left = CHECKSUM_SIZE;
    checksum = take_number(&reader, CHECKSUM_SIZE, "");
    if (total != size)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "it has %zu bytes, and should have %llu", size,
                           (unsigned long long)total);
    if (checksum != sb_hash(bytes, size - CHECKSUM_SIZE, 0))
        return sabot_raise(error, SABOT_ERR_CORRUPT, "its checksum is wrong: bytes have changed");
    if (format != SB_MANIFEST_FORMAT)
        return sabot_raise(error, SABOT_ERR_UNSUPPORTED,
                           "it has format %llu, this version reads %d: use the Sabot that wrote it",
                           (unsigned long long)format, SB_MANIFEST_FORMAT);
    return SABOT_OK;
}

sabot_status sb_manifest_decode(struct sb_manifest *manifest,
                                const uint8_t *bytes,
                                size_t size,
                                sabot_error *error)
{
    struct reader reader = {.manifest = manifest};

    SABOT_TRY(check_whole(bytes, size, error));
    reader.at = bytes + HEAD_SIZE;
    reader.left = size - HEAD_SIZE - CHECKSUM_SIZE;
    take_all(&reader);
    manifest->checksum = sb_hash(bytes, size - CHECKSUM_SIZE, 0);
    if (reader.status == SABOT_ERR_MEMORY)
        return sabot_raise(error, reader.status, "no memory for a manifest of %zu bytes", size);
    if (reader.status != SABOT_OK)
        return sabot_raise(error, reader.status, "%s does not fit", reader.what);
    return SABOT_OK;
}
