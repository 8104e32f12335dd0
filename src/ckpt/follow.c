/* SPDX-License-Identifier: Apache-2.0 */
/* follow.c - one commit at a time for each input; follow.h says what for. */
#include "ckpt/follow.h"

/* An input whose transport keeps offsets of groups. */
struct follower {
    const struct sb_node *node;
    struct sb_offsets offsets; /* the newest */
    bool waits;                /* they are to be committed */
    bool under_way;            /* a commit is; of these or of older ones */
    bool behind;               /* there were newer ones, which failed */
    uint32_t failures;         /* in a row */
};

struct sb_follow {
    const struct sb_env *env;
    char *group;
    uint32_t count;
    struct follower *followers;
};

static bool may_follow(const struct sb_node *node)
{
    return node->kind == SB_NODE_SOURCE && node->port.type->commit != NULL &&
           node->port.type->cluster != NULL && node->port.type->cluster(node->port.channel) != NULL;
}

static sabot_status fill(struct sb_follow *follow,
                         const struct sb_graph *graph,
                         const char *group,
                         sabot_error *error)
{
    follow->group = sb_string_copy(follow->env, group);
    follow->followers = sb_alloc_array(follow->env, follow->count, sizeof *follow->followers);
    if (follow->group == NULL || follow->followers == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets", group);
    for (uint32_t i = 0, at = 0; i < graph->node_count; i++) {
        const struct sb_node *node = &graph->nodes[i];

        if (!may_follow(node))
            continue;
        follow->followers[at].node = node;
        sb_offsets_init(&follow->followers[at++].offsets, graph, follow->group, node->port.type,
                        node->port.channel);
    }
    return SABOT_OK;
}

sabot_status sb_follow_create(const struct sb_graph *graph,
                              const char *group,
                              struct sb_follow **follow_out,
                              sabot_error *error)
{
    struct sb_follow *follow;
    uint32_t count = 0;
    sabot_status status;

    *follow_out = NULL;
    for (uint32_t i = 0; i < graph->node_count; i++)
        count += may_follow(&graph->nodes[i]);
    if (count == 0)
        return SABOT_OK;
    follow = sb_alloc(graph->env, sizeof *follow);
    if (follow == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for offsets", group);
    follow->env = graph->env;
    follow->count = count;
    status = fill(follow, graph, group, error);
    if (status != SABOT_OK) {
        sb_follow_destroy(follow);
        return status;
    }
    *follow_out = follow;
    return SABOT_OK;
}

void sb_follow_destroy(struct sb_follow *follow)
{
    const struct sb_env *env;

    if (follow == NULL)
        return;
    env = follow->env;
    for (uint32_t i = 0; follow->followers != NULL && i < follow->count; i++)
        sb_offsets_reset(&follow->followers[i].offsets);
    if (follow->followers != NULL)
        sb_free_array(env, follow->followers, follow->count, sizeof *follow->followers);
    if (follow->group != NULL)
        sb_string_free(env, follow->group);
    sb_free(env, follow, sizeof *follow);
}

/* Said once for each time that it begins to fail. */
static void fail(struct follower *follower,
                 const struct sb_follow *follow,
                 const sabot_error *error)
{
    if (follower->failures++ == 0)
        sb_log(follow->env, SABOT_LOG_WARN, follower->node->name,
               "the offsets of group %s don't follow the checkpoints, nothing is lost: %s",
               follow->group, error->text);
    follower->behind = !follower->waits;
}

void sb_follow_offer(struct sb_follow *follow, const struct sb_manifest *manifest)
{
    sabot_error error;

    if (follow == NULL)
        return;
    for (uint32_t i = 0; i < follow->count; i++) {
        struct follower *follower = &follow->followers[i];
        const sabot_status status = sb_offsets_set(&follower->offsets, NULL, manifest, &error);

        follower->waits = status == SABOT_OK;
        follower->behind = false;
        if (status != SABOT_OK)
            fail(follower, follow, &error);
    }
    (void)sb_follow_step(follow);
}

/* The transport copies what a commit begins with; later calls only ask how it goes. */
static void go_on(struct follower *follower, const struct sb_follow *follow)
{
    const struct sb_port *port = &follower->node->port;
    sabot_error error;

    while (follower->under_way || follower->waits) {
        follower->waits = follower->waits && follower->under_way;
        const sabot_status status = port->type->commit(
            port->channel, follow->group, follower->offsets.list, follower->offsets.count, &error);

        follower->under_way = status == SABOT_AGAIN;
        if (status == SABOT_AGAIN)
            return;
        if (status != SABOT_OK)
            fail(follower, follow, &error);
        else if (!follower->behind)
            follower->failures = 0;
    }
}

bool sb_follow_step(struct sb_follow *follow)
{
    bool goes_on = false;

    for (uint32_t i = 0; follow != NULL && i < follow->count; i++) {
        struct follower *follower = &follow->followers[i];
        const struct sb_port *port = &follower->node->port;

        go_on(follower, follow);
        goes_on = goes_on || (follower->under_way && port->type->connected(port->channel));
    }
    return goes_on;
}

uint32_t sb_follow_failures(const struct sb_follow *follow)
{
    uint32_t most = 0;

    for (uint32_t i = 0; follow != NULL && i < follow->count; i++) {
        const struct follower *follower = &follow->followers[i];

        if (follower->behind && follower->failures > most)
            most = follower->failures;
    }
    return most;
}
