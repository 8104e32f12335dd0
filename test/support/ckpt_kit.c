/* SPDX-License-Identifier: Apache-2.0 */
/* ckpt_kit.c - the manifests of ckpt_kit.h. */
#include "ckpt_kit.h"

#include "base/hash.h"

uint64_t ckpt_kit_random64(struct kit_random *random)
{
    uint64_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 16 | kit_random_below(random, 1 << 16);
    return value;
}

/* Borders as often as anything else. */
static uint64_t any_number(struct kit_random *random)
{
    static const uint64_t borders[] = {0, 1, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX, 1 << 20};

    if (kit_random_below(random, 3) == 0)
        return borders[kit_random_below(random, sizeof borders / sizeof *borders)];
    return ckpt_kit_random64(random);
}

static const char *any_name(struct sb_manifest *manifest, struct kit_random *random)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_\xc3\xa9";
    char text[SB_MANIFEST_NAME_MAX];
    uint32_t size = kit_random_below(random, 4) == 0 ? SB_MANIFEST_NAME_MAX : 12;
    char *copy;

    size = 1 + kit_random_below(random, size);
    for (uint32_t i = 0; i < size; i++)
        text[i] = letters[kit_random_below(random, sizeof letters - 1)];
    copy = sb_arena_copy(&manifest->arena, text, size);
    assert_non_null(copy);
    return copy;
}

static void *some(struct sb_manifest *manifest, uint32_t count, size_t size)
{
    void *array = sb_arena_alloc(&manifest->arena, (size_t)count * size + 1);

    assert_non_null(array);
    return array;
}

static void draw_sources(struct sb_manifest *manifest, struct kit_random *random, uint32_t entries)
{
    manifest->source_count = kit_random_below(random, entries + 1);
    manifest->sources = some(manifest, manifest->source_count, sizeof *manifest->sources);
    for (uint32_t i = 0; i < manifest->source_count; i++) {
        struct sb_manifest_source *source = &manifest->sources[i];

        source->channel = any_name(manifest, random);
        source->position_count = kit_random_below(random, entries + 1);
        source->partition_count = source->position_count + kit_random_below(random, 2);
        source->positions = some(manifest, source->position_count, sizeof *source->positions);
        for (uint32_t at = 0; at < source->position_count; at++) {
            struct sb_part_position *position = &source->positions[at];

            position->partition = (int32_t)at;
            position->ended = kit_random_below(random, 2) == 0;
            position->offset = (int64_t)any_number(random);
            position->watermark_ms = (int64_t)any_number(random);
            position->taken = kit_random_below(random, 2) == 0 ? 0 : any_number(random);
            position->opaque.size =
                kit_random_below(random, 2) == 0 ? 0 : kit_random_below(random, 257);
            for (size_t byte = 0; byte < position->opaque.size; byte++)
                position->opaque.bytes[byte] = (uint8_t)kit_random_below(random, 256);
        }
    }
}

static void draw_tasks(struct sb_manifest *manifest,
                       struct kit_random *random,
                       uint32_t entries,
                       uint64_t state_size)
{
    manifest->task_count = kit_random_below(random, entries + 1);
    manifest->tasks = some(manifest, manifest->task_count, sizeof *manifest->tasks);
    for (uint32_t i = 0; i < manifest->task_count; i++) {
        struct sb_manifest_task *task = &manifest->tasks[i];

        task->name = any_name(manifest, random);
        task->key_type = (uint32_t)kit_random_below(random, SABOT_CHARS + 1);
        task->watermark_ms = (int64_t)any_number(random);
        task->shard_count = kit_random_below(random, entries + 1);
        task->shards = some(manifest, task->shard_count, sizeof *task->shards);
        for (uint32_t at = 0; at < task->shard_count; at++) {
            const uint64_t start = kit_random_below(random, (uint32_t)state_size + 1);
            const uint64_t size = kit_random_below(random, (uint32_t)(state_size - start) + 1);

            task->shards[at] = (struct sb_manifest_shard){
                .shard = at % SB_SHARD_COUNT, .start = start, .size = size};
        }
    }
}

static void draw_sinks(struct sb_manifest *manifest, struct kit_random *random, uint32_t entries)
{
    manifest->sink_count = kit_random_below(random, entries + 1);
    manifest->sinks = some(manifest, manifest->sink_count, sizeof *manifest->sinks);
    for (uint32_t i = 0; i < manifest->sink_count; i++)
        manifest->sinks[i] = (struct sb_manifest_sink){
            .channel = any_name(manifest, random),
            .has_length = kit_random_below(random, 2) == 0,
            .length = any_number(random),
        };
}

void ckpt_kit_manifest(struct sb_manifest *manifest,
                       const struct sb_env *env,
                       struct kit_random *random,
                       uint32_t entries,
                       uint64_t state_size)
{
    sb_manifest_init(manifest, env);
    manifest->app = "app";
    manifest->pipeline = "pipe";
    manifest->id = 1 + (int64_t)(ckpt_kit_random64(random) >> 2);
    manifest->nonce = ckpt_kit_random64(random);
    manifest->owner = any_number(random);
    manifest->time_ms = (int64_t)any_number(random);
    manifest->hash_seed = any_number(random);
    manifest->finished = kit_random_below(random, 2) == 0;
    manifest->files = some(manifest, 1, sizeof *manifest->files);
    manifest->file_count = 1;
    manifest->files[0] = (struct sb_manifest_file){
        .name = "state", .size = state_size, .checksum = any_number(random)};
    draw_sources(manifest, random, entries);
    draw_tasks(manifest, random, entries, state_size);
    draw_sinks(manifest, random, entries);
}

/* --- Writing ---------------------------------------------------------------------------------- */

sabot_status ckpt_kit_write(const struct sb_ckpt_folder *folder,
                            struct sb_manifest *manifest,
                            enum sb_manifest_file_kind kind,
                            sabot_text bytes,
                            sabot_error *error)
{
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    struct sb_ckpt_writer writer;
    sabot_status status;

    SABOT_TRY(sb_ckpt_begin(&writer, folder, &entry, error));
    writer.kind = kind;
    status = sb_ckpt_append(&writer, bytes.data, bytes.size, error);
    if (status == SABOT_OK)
        return sb_ckpt_finish(&writer, manifest, NULL, 0, error);
    sb_ckpt_abandon(&writer);
    return status;
}

/* --- Comparing -------------------------------------------------------------------------------- */

static void assert_same_sources(const struct sb_manifest *one, const struct sb_manifest *other)
{
    assert_int_equal(one->source_count, other->source_count);
    for (uint32_t i = 0; i < one->source_count; i++) {
        const struct sb_manifest_source *a = &one->sources[i];
        const struct sb_manifest_source *b = &other->sources[i];

        assert_string_equal(a->channel, b->channel);
        assert_int_equal(a->partition_count, b->partition_count);
        assert_int_equal(a->position_count, b->position_count);
        for (uint32_t at = 0; at < a->position_count; at++) {
            assert_int_equal(a->positions[at].partition, b->positions[at].partition);
            assert_int_equal(a->positions[at].ended, b->positions[at].ended);
            assert_int_equal(a->positions[at].offset, b->positions[at].offset);
            assert_int_equal(a->positions[at].watermark_ms, b->positions[at].watermark_ms);
            assert_true(a->positions[at].taken == b->positions[at].taken);
            assert_int_equal(a->positions[at].opaque.size, b->positions[at].opaque.size);
            assert_memory_equal(a->positions[at].opaque.bytes, b->positions[at].opaque.bytes,
                                a->positions[at].opaque.size);
        }
    }
}

static void assert_same_tasks(const struct sb_manifest *one, const struct sb_manifest *other)
{
    assert_int_equal(one->task_count, other->task_count);
    for (uint32_t i = 0; i < one->task_count; i++) {
        const struct sb_manifest_task *a = &one->tasks[i];
        const struct sb_manifest_task *b = &other->tasks[i];

        assert_string_equal(a->name, b->name);
        assert_int_equal(a->key_type, b->key_type);
        assert_true(a->watermark_ms == b->watermark_ms);
        assert_int_equal(a->shard_count, b->shard_count);
        for (uint32_t at = 0; at < a->shard_count; at++) {
            assert_int_equal(a->shards[at].shard, b->shards[at].shard);
            assert_int_equal(a->shards[at].file, b->shards[at].file);
            assert_int_equal(a->shards[at].start, b->shards[at].start);
            assert_int_equal(a->shards[at].size, b->shards[at].size);
        }
    }
}

void ckpt_kit_assert_equal(const struct sb_manifest *one, const struct sb_manifest *other)
{
    assert_string_equal(one->app, other->app);
    assert_string_equal(one->pipeline, other->pipeline);
    assert_int_equal(one->id, other->id);
    assert_int_equal(one->nonce, other->nonce);
    assert_int_equal(one->owner, other->owner);
    assert_int_equal(one->time_ms, other->time_ms);
    assert_int_equal(one->hash_seed, other->hash_seed);
    assert_int_equal(one->checksum, other->checksum);
    assert_int_equal(one->finished, other->finished);
    assert_int_equal(one->file_count, other->file_count);
    for (uint32_t i = 0; i < one->file_count; i++) {
        assert_string_equal(one->files[i].name, other->files[i].name);
        assert_int_equal(one->files[i].size, other->files[i].size);
        assert_int_equal(one->files[i].checksum, other->files[i].checksum);
    }
    assert_same_sources(one, other);
    assert_same_tasks(one, other);
    assert_int_equal(one->sink_count, other->sink_count);
    for (uint32_t i = 0; i < one->sink_count; i++) {
        assert_string_equal(one->sinks[i].channel, other->sinks[i].channel);
        assert_int_equal(one->sinks[i].has_length, other->sinks[i].has_length);
        assert_int_equal(one->sinks[i].length, other->sinks[i].length);
    }
}
