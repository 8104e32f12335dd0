/* SPDX-License-Identifier: Apache-2.0 */
/* offsets.c - offsets with the mark of their checkpoint; offsets.h says what they are for. */
#include "ckpt/offsets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"

static const char MARK_PREFIX[] = "sabot1";

void sb_offsets_init(struct sb_offsets *offsets,
                     const struct sb_graph *graph,
                     const char *group,
                     const struct sb_channel_type *type,
                     const struct sb_channel *only)
{
    *offsets = (struct sb_offsets){
        .env = graph->env, .graph = graph, .group = group, .type = type, .only = only};
}

void sb_offsets_reset(struct sb_offsets *offsets)
{
    for (uint32_t i = 0; offsets->owns_metadata && i < offsets->count; i++) {
        if (offsets->list[i].metadata != NULL)
            sb_string_free(offsets->env, offsets->list[i].metadata);
    }
    if (offsets->list != NULL)
        sb_free_array(offsets->env, offsets->list, offsets->capacity, sizeof *offsets->list);
    offsets->list = NULL;
    offsets->count = 0;
    offsets->capacity = 0;
    offsets->is_anchor = false;
    offsets->owns_metadata = false;
}

/* --- Which partitions ----------------------------------------------------------------------------
 */

static bool has_offsets(const struct sb_offsets *offsets, const struct sb_node *node)
{
    return node->kind == SB_NODE_SOURCE && node->port.type == offsets->type &&
           node->port.type->committed != NULL &&
           (offsets->only == NULL || offsets->only == node->port.channel);
}

static void add_partitions(struct sb_offsets *offsets, const struct sb_port *port)
{
    const int32_t count = port->type->partition_count(port->channel);

    for (int32_t partition = 0; partition < count; partition++)
        offsets->list[offsets->count++] = (struct sb_offset){
            .channel = port->type->topic(port->channel),
            .partition = partition,
            .offset = SB_OFFSET_NONE,
        };
}

sabot_status sb_offsets_list(struct sb_offsets *offsets, const char *topic, sabot_error *error)
{
    const struct sb_graph *graph = offsets->graph;

    sb_offsets_reset(offsets);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (has_offsets(offsets, &graph->nodes[i]))
            offsets->capacity +=
                (uint32_t)graph->nodes[i].port.type->partition_count(graph->nodes[i].port.channel);
    }
    offsets->is_anchor = offsets->capacity == 0;
    if (offsets->is_anchor)
        offsets->capacity = 1;
    offsets->list = sb_alloc_array(offsets->env, offsets->capacity, sizeof *offsets->list);
    if (offsets->list == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets", offsets->group);
    if (offsets->is_anchor)
        offsets->list[offsets->count++] =
            (struct sb_offset){.channel = topic, .offset = SB_OFFSET_NONE, .is_mark = true};
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (has_offsets(offsets, &graph->nodes[i]))
            add_partitions(offsets, &graph->nodes[i].port);
    }
    SB_ASSERT(offsets->count == offsets->capacity);
    return SABOT_OK;
}

/* The position of a partition in a manifest; NULL: it isn't there. */
static const struct sb_part_position *find_position(const struct sb_offsets *offsets,
                                                    const struct sb_manifest *manifest,
                                                    const struct sb_offset *offset)
{
    const struct sb_graph *graph = offsets->graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_node *node = &graph->nodes[i];

        if (!has_offsets(offsets, node) ||
            strcmp(node->port.type->topic(node->port.channel), offset->channel) != 0)
            continue;
        for (uint32_t s = 0; s < manifest->source_count; s++) {
            const struct sb_manifest_source *source = &manifest->sources[s];

            for (uint32_t at = 0;
                 strcmp(source->channel, node->name) == 0 && at < source->position_count; at++) {
                if (source->positions[at].partition == offset->partition)
                    return &source->positions[at];
            }
        }
    }
    return NULL;
}

/* --- Marks ---------------------------------------------------------------------------------------
 */

static void format_mark(const struct sb_commit_mark *mark, char text[SB_COMMIT_MARK_SIZE])
{
    (void)snprintf(text, SB_COMMIT_MARK_SIZE,
                   "%s %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64, MARK_PREFIX,
                   (uint64_t)mark->id, mark->nonce, mark->checksum, mark->owner);
}

/* Only what format_mark() would have written. */
static bool parse_mark(const char *text, struct sb_commit_mark *mark_out)
{
    const size_t number_size = 1 + 16;
    const char *numbers = text + sizeof MARK_PREFIX - 1;
    char again[SB_COMMIT_MARK_SIZE];

    if (strlen(text) != SB_COMMIT_MARK_SIZE - 1)
        return false;
    *mark_out = (struct sb_commit_mark){
        .id = (int64_t)strtoull(numbers, NULL, 16),
        .nonce = strtoull(numbers + number_size, NULL, 16),
        .checksum = strtoull(numbers + 2 * number_size, NULL, 16),
        .owner = strtoull(numbers + 3 * number_size, NULL, 16),
    };
    format_mark(mark_out, again);
    return mark_out->id > 0 && strcmp(text, again) == 0;
}

sabot_status sb_offsets_set(struct sb_offsets *offsets,
                            const char *topic,
                            const struct sb_manifest *manifest,
                            sabot_error *error)
{
    const struct sb_commit_mark mark = {manifest->id, manifest->nonce, manifest->checksum,
                                        manifest->owner};

    uint32_t known = 0;

    SABOT_TRY(sb_offsets_list(offsets, topic, error));
    format_mark(&mark, offsets->mark);
    for (uint32_t i = 0; i < offsets->count; i++) {
        const struct sb_part_position *position =
            find_position(offsets, manifest, &offsets->list[i]);

        if (!offsets->is_anchor && position == NULL)
            continue; /* newer than the savepoint that was restored */
        offsets->list[known] = offsets->list[i];
        offsets->list[known].offset = offsets->is_anchor ? manifest->id : position->offset;
        offsets->list[known++].metadata = offsets->mark;
    }
    offsets->count = known;
    while (SB_MUTANT(PART_OF_OFFSETS) && offsets->count > 1 &&
           offsets->list[offsets->count - 1].offset == 0)
        offsets->count--;
    return SABOT_OK;
}

/* --- Without a checkpoint ------------------------------------------------------------------------
 */

static sabot_status describe_source(const struct sb_offsets *offsets,
                                    const struct sb_node *node,
                                    struct sb_manifest_source *source,
                                    struct sb_arena *arena)
{
    const char *topic = node->port.type->topic(node->port.channel);

    source->channel = node->name;
    source->partition_count = (uint32_t)node->port.type->partition_count(node->port.channel);
    source->positions = sb_arena_alloc(arena, source->partition_count * sizeof *source->positions);
    if (source->positions == NULL)
        return SABOT_ERR_MEMORY;
    for (uint32_t i = 0; i < offsets->count; i++) {
        const struct sb_offset *offset = &offsets->list[i];

        if (offset->offset == SB_OFFSET_NONE || strcmp(offset->channel, topic) != 0)
            continue;
        source->positions[source->position_count++] = (struct sb_part_position){
            .partition = offset->partition,
            .offset = offset->offset,
            .watermark_ms = INT64_MIN,
        };
    }
    return SABOT_OK;
}

sabot_status sb_offsets_describe(const struct sb_offsets *offsets,
                                 struct sb_manifest *manifest,
                                 sabot_error *error)
{
    const struct sb_graph *graph = offsets->graph;
    uint32_t positions = 0;

    manifest->sources =
        sb_arena_alloc(&manifest->arena, graph->node_count * sizeof *manifest->sources);
    if (manifest->sources == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets", offsets->group);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        struct sb_manifest_source *source = &manifest->sources[manifest->source_count];

        if (offsets->is_anchor || !has_offsets(offsets, &graph->nodes[i]))
            continue;
        if (describe_source(offsets, &graph->nodes[i], source, &manifest->arena) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets",
                               offsets->group);
        manifest->source_count++;
        positions += source->position_count;
    }
    if (positions > 0)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE,
                       "--from-offsets: group %s has no committed offset of any input",
                       offsets->group);
}

/* --- Do they fit? --------------------------------------------------------------------------------
 */

static sabot_status raise_by_hand(const struct sb_offsets *offsets,
                                  const struct sb_offset *offset,
                                  const char *what,
                                  sabot_error *error)
{
    char stands[48] = "without an offset";

    if (offset->offset != SB_OFFSET_NONE)
        (void)snprintf(stands, sizeof stands, "at offset %" PRId64, offset->offset);
    return sabot_raise(
        error, SABOT_ERR_STATE,
        "group %s, %s partition %" PRId32
        " %s: %s: its offsets were changed by hand or have expired; " SB_COMMIT_CHOICES,
        offsets->group, offset->channel, offset->partition, stands, what);
}

sabot_status sb_offsets_mark(const struct sb_offsets *offsets,
                             bool *found_out,
                             struct sb_commit_mark *mark_out,
                             sabot_error *error)
{
    const char *first = NULL;

    *found_out = false;
    for (uint32_t i = 0; i < offsets->count; i++) {
        const struct sb_offset *offset = &offsets->list[i];

        if (offset->offset == SB_OFFSET_NONE)
            continue;
        if (offset->metadata == NULL || !parse_mark(offset->metadata, mark_out))
            return raise_by_hand(offsets, offset, "it names no checkpoint of Sabot", error);
        if (first != NULL && strcmp(first, offset->metadata) != 0)
            return raise_by_hand(offsets, offset, "it names another checkpoint than the others",
                                 error);
        first = offset->metadata;
        *found_out = true;
    }
    return SABOT_OK;
}

sabot_status sb_offsets_compare(const struct sb_offsets *offsets,
                                const struct sb_manifest *manifest,
                                sabot_error *error)
{
    for (uint32_t i = 0; i < offsets->count; i++) {
        const struct sb_offset *offset = &offsets->list[i];
        const struct sb_part_position *position = find_position(offsets, manifest, offset);
        int64_t expected = SB_OFFSET_NONE; /* a partition that is new */

        if (offsets->is_anchor)
            expected = manifest->id;
        else if (position != NULL)
            expected = position->offset;
        if (offset->offset != expected)
            return raise_by_hand(offsets, offset, "its checkpoint stands elsewhere", error);
    }
    return SABOT_OK;
}
