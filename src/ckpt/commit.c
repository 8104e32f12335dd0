/* SPDX-License-Identifier: Apache-2.0 */
/* commit.c - the calls of a commit, in the order that txn.c says. */
#include "ckpt/commit.h"

#include <string.h>

#include "base/mutant.h"
#include "ckpt/txn.h"
#include "flow/stage.h"

/* What one sink has staged in one epoch. */
struct kept {
    uint32_t node;
    struct sb_buffer bytes;
    struct kept *next;
};

struct sb_commit {
    struct sb_commit_config config;
    char *group;
    const struct sb_port *port; /* of the sink that takes the smallest records; see choose_port() */
    const char *anchor;         /* topic: see offsets.h */
    struct sb_txn *txn;
    struct sb_writer **writers; /* by node; NULL: not a sink that stages */
    struct sb_txn_machine machine;
    bool under_way; /* a commit was started */
    bool called;    /* the call of the machine's state is under way */
    /* What waits to be written, oldest first, and how far it has come. */
    struct kept *kept;
    struct kept **kept_end;
    const struct kept *producing;
    size_t produced;           /* bytes of that one */
    struct sb_offsets offsets; /* read by recover(), and sent by step() */
    bool has_read;
    sabot_error why;   /* the last call failed */
    sabot_error error; /* not SABOT_OK: it is lost, and every call says so */
};

/* --- Making --------------------------------------------------------------------------------------
 */

static bool stages(const struct sb_node *node)
{
    return node->kind == SB_NODE_SINK && node->port.stages;
}

static uint64_t record_max_of(const struct sb_port *port)
{
    return port->type->record_max == NULL ? UINT64_MAX : port->type->record_max(port->channel);
}

/* One producer writes to all sinks. It belongs to the one that takes the smallest records, so that
 * its batches are not too large for any of them. */
static void choose_port(struct sb_commit *commit)
{
    const struct sb_graph *graph = commit->config.graph;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_port *port = &graph->nodes[i].port;

        if (!stages(&graph->nodes[i]))
            continue;
        if (commit->port == NULL)
            commit->anchor = port->type->topic(port->channel);
        if (commit->port == NULL || record_max_of(port) < record_max_of(commit->port))
            commit->port = port;
    }
}

/* What is committed together must be in one cluster. */
static sabot_status check_clusters(const struct sb_commit *commit, sabot_error *error)
{
    const struct sb_graph *graph = commit->config.graph;
    const struct sb_channel_type *type = commit->port->type;
    const struct sb_node *first = NULL;

    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_node *node = &graph->nodes[i];

        if (node->kind == SB_NODE_TASK || node->port.type != type || type->cluster == NULL ||
            type->cluster(node->port.channel) == NULL)
            continue;
        if (first == NULL)
            first = node;
        if (strcmp(type->cluster(first->port.channel), type->cluster(node->port.channel)) == 0)
            continue;
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "pipeline %s: channel %s is in cluster %s, and channel %s in %s: a "
                           "transaction, and with it exactly-once, can't span two clusters; bring "
                           "both into one, or run with -O guarantee=at-least-once",
                           commit->group, first->name, type->cluster(first->port.channel),
                           node->name, type->cluster(node->port.channel));
    }
    return SABOT_OK;
}

static sabot_status open_all(struct sb_commit *commit, sabot_error *error)
{
    const struct sb_commit_config *config = &commit->config;
    const struct sb_graph *graph = config->graph;

    commit->group = sb_string_copy(config->env, config->group);
    commit->writers = sb_alloc_array(config->env, graph->node_count, sizeof *commit->writers);
    if (commit->group == NULL || commit->writers == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to commit", config->group);
    choose_port(commit);
    sb_offsets_init(&commit->offsets, graph, commit->group, commit->port->type, NULL);
    SABOT_TRY(check_clusters(commit, error));
    SABOT_TRY(commit->port->type->txn_open(commit->port->channel, commit->group, config->timeout_ms,
                                           config->waker, &commit->txn, error));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_port *port = &graph->nodes[i].port;

        if (stages(&graph->nodes[i]))
            SABOT_TRY(port->type->writer_open(port->channel, commit->txn, config->waker,
                                              &commit->writers[i], error));
    }
    return SABOT_OK;
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
    sb_offsets_reset(&commit->offsets);
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
    status = open_all(commit, error);
    if (status != SABOT_OK) {
        sb_commit_destroy(commit);
        return status;
    }
    *commit_out = commit;
    return SABOT_OK;
}

/* --- Recovering ----------------------------------------------------------------------------------
 */

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

static sabot_status fence(struct sb_commit *commit, sabot_error *error)
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

sabot_status sb_commit_fence(struct sb_commit *commit, sabot_error *error)
{
    const struct sb_port *port = commit->port;

    if (!SB_MUTANT(READ_BEFORE_FENCE) || commit->has_read)
        SABOT_TRY(fence(commit, error));
    if (commit->offsets.list == NULL)
        SABOT_TRY(sb_offsets_list(&commit->offsets, commit->anchor, error));
    if (!commit->has_read) {
        SABOT_TRY(port->type->committed(port->channel, commit->group, commit->offsets.list,
                                        commit->offsets.count, error));
        commit->has_read = true;
        commit->offsets.owns_metadata = true;
        sb_crash_point(commit->config.env, "txn.offsets_read");
    }
    if (SB_MUTANT(READ_BEFORE_FENCE))
        SABOT_TRY(fence(commit, error));
    return SABOT_OK;
}

sabot_status sb_commit_recover(struct sb_commit *commit,
                               bool *found_out,
                               struct sb_commit_mark *mark_out,
                               sabot_error *error)
{
    SABOT_TRY(sb_commit_fence(commit, error));
    return sb_offsets_mark(&commit->offsets, found_out, mark_out, error);
}

sabot_status sb_commit_compare(const struct sb_commit *commit,
                               const struct sb_manifest *manifest,
                               sabot_error *error)
{
    return sb_offsets_compare(&commit->offsets, manifest, error);
}

sabot_status sb_commit_describe(const struct sb_commit *commit,
                                struct sb_manifest *manifest,
                                sabot_error *error)
{
    return sb_offsets_describe(&commit->offsets, manifest, error);
}

/* --- Keeping -------------------------------------------------------------------------------------
 */

void sb_commit_keep(struct sb_commit *commit, struct sb_checkpoint *checkpoint)
{
    if (SB_MUTANT(KEPT_DROPPED))
        drop_kept(commit);
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

/* Write what was kept, from where it stopped. */
static sabot_status produce(struct sb_commit *commit, sabot_error *error)
{
    while (commit->producing != NULL) {
        const struct kept *kept = commit->producing;
        const struct sb_channel_type *type = commit->config.graph->nodes[kept->node].port.type;
        struct sb_record record;
        size_t at = commit->produced;

        sb_crash_point(commit->config.env, "txn.producing");
        while (sb_stage_next(&kept->bytes, &at, &record)) {
            SABOT_TRY(type->write(commit->writers[kept->node], &record, error));
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
        if (SB_MUTANT(ABORT_GOES_ON) && commit->machine.tries > 1)
            return type->txn_begin(commit->txn, error);
        commit->producing = commit->kept;
        commit->produced = 0;
        return type->txn_begin(commit->txn, error);
    case SB_TXN_OFFSETS:
        return type->txn_offsets(commit->txn, commit->group, commit->offsets.list,
                                 commit->offsets.count, error);
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

uint64_t sb_commit_bytes(const struct sb_commit *commit)
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
        SABOT_TRY(sb_offsets_set(&commit->offsets, commit->anchor, manifest, error));
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
    *bytes_out = sb_commit_bytes(commit);
    drop_kept(commit);
    return SABOT_OK;
}
