/* SPDX-License-Identifier: Apache-2.0 */
/* commit.c - the calls of a commit, in the order that txn.c says. */
#include "ckpt/commit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/txn.h"
#include "flow/stage.h"

enum { MARK_SIZE = 6 + 4 * 17 + 1 };

static const char MARK_PREFIX[] = "sabot1";

/* What one sink has staged in one epoch. */
struct kept {
    uint32_t node;
    struct sb_buffer bytes;
    struct kept *next;
};

struct sb_commit {
    struct sb_commit_config config;
    char *group;
    const struct sb_port *port; /* of one of the sinks that stage: they are of one cluster */
    struct sb_txn *txn;
    struct sb_writer **writers; /* by node; NULL: not open */
    struct sb_txn_machine machine;
    bool under_way; /* a commit was started */
    bool called;    /* the call of the machine's state is under way */
    /* What waits to be written, oldest first, and how far it has come. */
    struct kept *kept;
    struct kept **kept_end;
    const struct kept *producing;
    size_t produced; /* bytes of that one */
    /* Offsets: read by recover(), and sent by step(). */
    struct sb_offset *offsets;
    uint32_t offset_count;
    uint32_t offset_capacity;
    bool owns_metadata; /* it came from the transport */
    bool has_read;
    char mark[MARK_SIZE];
    sabot_error why;   /* the last call failed */
    sabot_error error; /* not SABOT_OK: it is lost, and every call says so */
};

/* --- Making --------------------------------------------------------------------------------------
 */

static const struct sb_node *staging_sink(const struct sb_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].kind == SB_NODE_SINK && graph->nodes[i].port.stages)
            return &graph->nodes[i];
    }
    return NULL;
}

static void drop_offsets(struct sb_commit *commit)
{
    const struct sb_env *env = commit->config.env;

    for (uint32_t i = 0; commit->owns_metadata && i < commit->offset_count; i++) {
        if (commit->offsets[i].metadata != NULL)
            sb_string_free(env, commit->offsets[i].metadata);
    }
    if (commit->offsets != NULL)
        sb_free_array(env, commit->offsets, commit->offset_capacity, sizeof *commit->offsets);
    commit->offsets = NULL;
    commit->offset_count = 0;
    commit->owns_metadata = false;
}

static void drop_kept(struct sb_commit *commit)
{
    while (commit->kept != NULL) {
        struct kept *kept = commit->kept;

        commit->kept = kept->next;
        sb_buffer_reset(&kept->bytes);
        sb_free(commit->config.env, kept, sizeof *kept);
    }
    commit->kept_end = &commit->kept;
}

void sb_commit_destroy(struct sb_commit *commit)
{
    const struct sb_env *env;

    if (commit == NULL)
        return;
    env = commit->config.env;
    for (uint32_t i = 0; commit->writers != NULL && i < commit->config.graph->node_count; i++) {
        if (commit->writers[i] != NULL)
            commit->config.graph->nodes[i].port.type->writer_close(commit->writers[i]);
    }
    if (commit->txn != NULL)
        commit->port->type->txn_close(commit->txn);
    drop_kept(commit);
    drop_offsets(commit);
    sb_free_array(env, commit->writers, commit->config.graph->node_count, sizeof *commit->writers);
    if (commit->group != NULL)
        sb_string_free(env, commit->group);
    sb_free(env, commit, sizeof *commit);
}

sabot_status sb_commit_create(const struct sb_commit_config *config,
                              struct sb_commit **commit_out,
                              sabot_error *error)
{
    const struct sb_env *env = config->env;
    struct sb_commit *commit = sb_alloc(env, sizeof *commit);
    sabot_status status;

    *commit_out = NULL;
    if (commit == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to commit", config->group);
    commit->config = *config;
    commit->kept_end = &commit->kept;
    commit->port = &staging_sink(config->graph)->port;
    commit->group = sb_string_copy(env, config->group);
    commit->writers = sb_alloc_array(env, config->graph->node_count, sizeof *commit->writers);
    if (commit->group == NULL || commit->writers == NULL)
        status = sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to commit", config->group);
    else
        status =
            commit->port->type->txn_open(commit->port->channel, commit->group, config->timeout_ms,
                                         config->waker, &commit->txn, error);
    if (status != SABOT_OK) {
        sb_commit_destroy(commit);
        return status;
    }
    *commit_out = commit;
    return SABOT_OK;
}

/* --- Recovering ----------------------------------------------------------------------------------
 */

static bool is_source(const struct sb_node *node)
{
    return node->kind == SB_NODE_SOURCE && node->port.type->committed != NULL;
}

/* One entry for each partition of each source. */
static sabot_status list_partitions(struct sb_commit *commit, sabot_error *error)
{
    const struct sb_graph *graph = commit->config.graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (is_source(&graph->nodes[i]))
            commit->offset_capacity +=
                (uint32_t)graph->nodes[i].port.type->partition_count(graph->nodes[i].port.channel);
    }
    commit->offsets =
        sb_alloc_array(commit->config.env, commit->offset_capacity, sizeof *commit->offsets);
    if (commit->offsets == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets", commit->group);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_port *port = &graph->nodes[i].port;

        for (int32_t partition = 0;
             is_source(&graph->nodes[i]) && partition < port->type->partition_count(port->channel);
             partition++)
            commit->offsets[commit->offset_count++] = (struct sb_offset){
                .channel = port->type->topic(port->channel),
                .partition = partition,
                .offset = SB_OFFSET_NONE,
            };
    }
    return SABOT_OK;
}

static void format_mark(const struct sb_commit_mark *mark, char text[MARK_SIZE])
{
    (void)snprintf(text, MARK_SIZE, "%s %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
                   MARK_PREFIX, (uint64_t)mark->id, mark->nonce, mark->checksum, mark->owner);
}

/* Only what format_mark() would have written. */
static bool parse_mark(const char *text, struct sb_commit_mark *mark_out)
{
    const size_t number_size = 1 + 16;
    const char *numbers = text + sizeof MARK_PREFIX - 1;
    char again[MARK_SIZE];

    if (strlen(text) != MARK_SIZE - 1)
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

static sabot_status raise_by_hand(const struct sb_commit *commit,
                                  const struct sb_offset *offset,
                                  const char *what,
                                  sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_STATE,
                       "group %s, %s partition %" PRId32 " at offset %" PRId64
                       ": %s: its offsets were changed by hand or have expired; put them back, or "
                       "start anew with --reset",
                       commit->group, offset->channel, offset->partition, offset->offset, what);
}

/* Do all partitions that were committed name the same checkpoint? */
static sabot_status read_marks(const struct sb_commit *commit,
                               bool *found_out,
                               struct sb_commit_mark *mark_out,
                               sabot_error *error)
{
    const char *first = NULL;

    *found_out = false;
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        const struct sb_offset *offset = &commit->offsets[i];

        if (offset->offset == SB_OFFSET_NONE)
            continue;
        if (offset->metadata == NULL || !parse_mark(offset->metadata, mark_out))
            return raise_by_hand(commit, offset, "it names no checkpoint of Sabot", error);
        if (first != NULL && strcmp(first, offset->metadata) != 0)
            return raise_by_hand(commit, offset, "it names another checkpoint than the others",
                                 error);
        first = offset->metadata;
        *found_out = true;
    }
    return SABOT_OK;
}

static sabot_status raise_lost(const struct sb_commit *commit, sabot_error *error)
{
    *error = commit->error;
    return error->status;
}

/* A call has ended: what is next, and why, should that be the end. An abort that goes well may end
 * a commit too: then it is lost because of what it was aborted for. */
static void done(struct sb_commit *commit, sabot_status status, const sabot_error *error)
{
    if (status != SABOT_OK) {
        SB_ASSERT(error->status == status);
        commit->why = *error;
    }
    sb_txn_done(&commit->machine, sb_txn_event_of(status, error));
    if (commit->machine.state == SB_TXN_LOST)
        commit->error = commit->why;
}

sabot_status sb_commit_fence(struct sb_commit *commit, sabot_error *error)
{
    while (commit->machine.state == SB_TXN_FENCE) {
        sb_crash_point(commit->config.env, "txn.before_fence");
        const sabot_status status = commit->port->type->txn_fence(commit->txn, error);

        if (status == SABOT_AGAIN)
            return SABOT_AGAIN;
        sb_crash_point(commit->config.env, "txn.fenced");
        done(commit, status, error);
    }
    return commit->error.status == SABOT_OK ? SABOT_OK : raise_lost(commit, error);
}

sabot_status sb_commit_recover(struct sb_commit *commit,
                               bool *found_out,
                               struct sb_commit_mark *mark_out,
                               sabot_error *error)
{
    const struct sb_port *port = commit->port;

    SABOT_TRY(sb_commit_fence(commit, error));
    if (commit->offsets == NULL)
        SABOT_TRY(list_partitions(commit, error));
    if (!commit->has_read) {
        SABOT_TRY(port->type->committed(port->channel, commit->group, commit->offsets,
                                        commit->offset_count, error));
        commit->has_read = true;
        commit->owns_metadata = true;
        sb_crash_point(commit->config.env, "txn.offsets_read");
    }
    return read_marks(commit, found_out, mark_out, error);
}

/* The position of a partition in a manifest; NULL: it isn't there. */
static const struct sb_part_position *find_position(const struct sb_commit *commit,
                                                    const struct sb_manifest *manifest,
                                                    const struct sb_offset *offset)
{
    const struct sb_graph *graph = commit->config.graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_node *node = &graph->nodes[i];

        if (!is_source(node) ||
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

sabot_status sb_commit_compare(const struct sb_commit *commit,
                               const struct sb_manifest *manifest,
                               sabot_error *error)
{
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        const struct sb_offset *offset = &commit->offsets[i];
        const struct sb_part_position *position = find_position(commit, manifest, offset);

        if (position == NULL && offset->offset == SB_OFFSET_NONE)
            continue; /* a partition that is new */
        if (position == NULL || offset->offset != position->offset)
            return raise_by_hand(commit, offset, "its checkpoint stands elsewhere", error);
    }
    return SABOT_OK;
}

/* --- Keeping -------------------------------------------------------------------------------------
 */

void sb_commit_keep(struct sb_commit *commit, struct sb_checkpoint *checkpoint)
{
    for (uint32_t worker = 0; worker < checkpoint->worker_count; worker++) {
        for (uint32_t node = 0; node < checkpoint->node_count; node++) {
            struct sb_part *part = sb_checkpoint_part(checkpoint, worker, node);
            struct kept *kept;

            if (!commit->config.graph->nodes[node].port.stages || part->bytes.size == 0)
                continue;
            kept = sb_alloc(commit->config.env, sizeof *kept);
            if (kept == NULL) {
                (void)sabot_raise(&commit->error, SABOT_ERR_MEMORY,
                                  "%s: no memory to keep what was staged", commit->group);
                return;
            }
            kept->node = node;
            kept->bytes = part->bytes;
            sb_buffer_init(&part->bytes, commit->config.env);
            *commit->kept_end = kept;
            commit->kept_end = &kept->next;
        }
    }
}

/* --- Committing ----------------------------------------------------------------------------------
 */

static sabot_status set_offsets(struct sb_commit *commit,
                                const struct sb_manifest *manifest,
                                sabot_error *error)
{
    const struct sb_commit_mark mark = {manifest->id, manifest->nonce, manifest->checksum,
                                        manifest->owner};

    drop_offsets(commit);
    commit->offset_capacity = 0;
    SABOT_TRY(list_partitions(commit, error));
    format_mark(&mark, commit->mark);
    for (uint32_t i = 0; i < commit->offset_count; i++) {
        const struct sb_part_position *position =
            find_position(commit, manifest, &commit->offsets[i]);

        SB_ASSERT(position != NULL);
        commit->offsets[i].offset = position->offset;
        commit->offsets[i].metadata = commit->mark;
    }
    return SABOT_OK;
}

static sabot_status writer_of(struct sb_commit *commit,
                              uint32_t node,
                              struct sb_writer **writer_out,
                              sabot_error *error)
{
    const struct sb_port *port = &commit->config.graph->nodes[node].port;

    if (commit->writers[node] == NULL)
        SABOT_TRY(port->type->writer_open(port->channel, commit->txn, commit->config.waker,
                                          &commit->writers[node], error));
    *writer_out = commit->writers[node];
    return SABOT_OK;
}

/* Write what was kept, from where it stopped. */
static sabot_status produce(struct sb_commit *commit, sabot_error *error)
{
    while (commit->producing != NULL) {
        const struct kept *kept = commit->producing;
        const struct sb_channel_type *type = commit->config.graph->nodes[kept->node].port.type;
        struct sb_writer *writer;
        struct sb_record record;
        size_t at = commit->produced;

        sb_crash_point(commit->config.env, "txn.producing");
        SABOT_TRY(writer_of(commit, kept->node, &writer, error));
        while (sb_stage_next(&kept->bytes, &at, &record)) {
            SABOT_TRY(type->write(writer, &record, error));
            commit->produced = at;
        }
        commit->producing = kept->next;
        commit->produced = 0;
    }
    for (uint32_t i = 0; i < commit->config.graph->node_count; i++) {
        if (commit->writers[i] != NULL)
            SABOT_TRY(commit->config.graph->nodes[i].port.type->flush(commit->writers[i], error));
    }
    return SABOT_OK;
}

/* The call of the machine's state. */
static sabot_status call(struct sb_commit *commit, sabot_error *error)
{
    const struct sb_channel_type *type = commit->port->type;

    switch (commit->machine.state) {
    case SB_TXN_BEGIN:
        commit->producing = commit->kept;
        commit->produced = 0;
        return type->txn_begin(commit->txn, error);
    case SB_TXN_OFFSETS:
        return type->txn_offsets(commit->txn, commit->group, commit->offsets, commit->offset_count,
                                 error);
    case SB_TXN_PRODUCE: return produce(commit, error);
    case SB_TXN_COMMIT: return type->txn_commit(commit->txn, error);
    case SB_TXN_ABORT: return type->txn_abort(commit->txn, error);
    case SB_TXN_FENCE:
    case SB_TXN_READY:
    case SB_TXN_LOST: break;
    }
    SB_ASSERT(false);
    return SABOT_ERR_STATE;
}

enum moment { BEFORE, UNDER_WAY, BEHIND };

/* The crash points around the call of a state. */
static void crash_point(const struct sb_commit *commit, enum sb_txn_state state, enum moment when)
{
    static const char *const labels[][3] = {
        [SB_TXN_BEGIN] = {"txn.before_begin", "txn.in_begin", "txn.begun"},
        [SB_TXN_OFFSETS] = {"txn.before_offsets", "txn.in_offsets", "txn.offsets_sent"},
        [SB_TXN_PRODUCE] = {"txn.before_produce", "txn.in_produce", "txn.produced"},
        [SB_TXN_COMMIT] = {"txn.before_commit", "txn.in_commit", "txn.committed"},
        [SB_TXN_ABORT] = {"txn.before_abort", "txn.in_abort", "txn.aborted"},
    };

    sb_crash_point(commit->config.env, labels[state][when]);
}

static uint64_t kept_bytes(const struct sb_commit *commit)
{
    uint64_t total = 0;

    for (const struct kept *kept = commit->kept; kept != NULL; kept = kept->next)
        total += kept->bytes.size;
    return total;
}

sabot_status sb_commit_step(struct sb_commit *commit,
                            const struct sb_manifest *manifest,
                            uint64_t *bytes_out,
                            sabot_error *error)
{
    *bytes_out = 0;
    if (commit->error.status != SABOT_OK)
        return raise_lost(commit, error);
    if (!commit->under_way) {
        SABOT_TRY(set_offsets(commit, manifest, error));
        sb_txn_start(&commit->machine);
        commit->under_way = true;
    }
    while (commit->machine.state != SB_TXN_READY) {
        const enum sb_txn_state state = commit->machine.state;
        sabot_status status;

        if (!commit->called)
            crash_point(commit, state, BEFORE);
        status = call(commit, error);
        commit->called = status == SABOT_AGAIN;
        if (status == SABOT_AGAIN) {
            crash_point(commit, state, UNDER_WAY);
            return SABOT_AGAIN;
        }
        if (status == SABOT_OK)
            crash_point(commit, state, BEHIND);
        else
            sb_log(commit->config.env, SABOT_LOG_WARN, commit->group, "%s", error->text);
        done(commit, status, error);
        if (commit->machine.state == SB_TXN_LOST)
            return raise_lost(commit, error);
    }
    commit->under_way = false;
    *bytes_out = kept_bytes(commit);
    drop_kept(commit);
    return SABOT_OK;
}
