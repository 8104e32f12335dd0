/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - the graph of a pipeline, and its order. */
#include "flow/graph.h"

#include <stdio.h>

enum { CIRCLE_TEXT_MAX = 512 };

sabot_status sb_graph_init(struct sb_graph *graph, const struct sb_env *env)
{
    *graph = (struct sb_graph){.env = env};
    graph->nodes = sb_alloc_array(env, SB_GRAPH_NODES_MAX, sizeof *graph->nodes);
    graph->edges = sb_alloc_array(env, SB_GRAPH_EDGES_MAX, sizeof *graph->edges);
    graph->loans = sb_alloc_array(env, SB_GRAPH_LOANS_MAX, sizeof *graph->loans);
    graph->order = sb_alloc_array(env, SB_GRAPH_NODES_MAX, sizeof *graph->order);
    if (graph->nodes == NULL || graph->edges == NULL || graph->loans == NULL ||
        graph->order == NULL)
        return SABOT_ERR_MEMORY;
    return SABOT_OK;
}

void sb_graph_reset(struct sb_graph *graph)
{
    if (graph->env == NULL)
        return;
    sb_free_array(graph->env, graph->nodes, SB_GRAPH_NODES_MAX, sizeof *graph->nodes);
    sb_free_array(graph->env, graph->edges, SB_GRAPH_EDGES_MAX, sizeof *graph->edges);
    sb_free_array(graph->env, graph->loans, SB_GRAPH_LOANS_MAX, sizeof *graph->loans);
    sb_free_array(graph->env, graph->order, SB_GRAPH_NODES_MAX, sizeof *graph->order);
    *graph = (struct sb_graph){.env = NULL};
}

sabot_status sb_graph_node(struct sb_graph *graph,
                           const struct sb_node *node,
                           uint32_t *index_out,
                           sabot_error *error)
{
    if (graph->node_count == SB_GRAPH_NODES_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: more than %d channels and agents together",
                           node->name, SB_GRAPH_NODES_MAX);
    SB_ASSERT(node->output_count <= SB_NODE_OUTPUTS_MAX);
    graph->nodes[graph->node_count] = *node;
    graph->nodes[graph->node_count].index = graph->node_count;
    graph->nodes[graph->node_count].unit = graph->node_count;
    *index_out = graph->node_count++;
    return SABOT_OK;
}

sabot_status sb_graph_edge(struct sb_graph *graph, const struct sb_edge *edge, sabot_error *error)
{
    if (graph->edge_count == SB_GRAPH_EDGES_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: more than %d outputs and inputs together",
                           graph->nodes[edge->from].name, SB_GRAPH_EDGES_MAX);
    SB_ASSERT(edge->from < graph->node_count);
    SB_ASSERT(edge->to < graph->node_count);
    SB_ASSERT(edge->output < graph->nodes[edge->from].output_count);
    graph->edges[graph->edge_count++] = *edge;
    return SABOT_OK;
}

sabot_status sb_graph_loan(struct sb_graph *graph, const struct sb_loan *loan, sabot_error *error)
{
    uint32_t one;
    uint32_t other;

    SB_ASSERT(loan->from < graph->node_count);
    SB_ASSERT(loan->to < graph->node_count);
    SB_ASSERT(graph->nodes[loan->from].kind == SB_NODE_TASK);
    SB_ASSERT(graph->nodes[loan->to].kind == SB_NODE_TASK);
    if (graph->loan_count == SB_GRAPH_LOANS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: more than %d uses of others' state together",
                           graph->nodes[loan->to].name, SB_GRAPH_LOANS_MAX);
    graph->loans[graph->loan_count++] = *loan;
    one = graph->nodes[loan->from].unit;
    other = graph->nodes[loan->to].unit;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].unit == (one > other ? one : other))
            graph->nodes[i].unit = one > other ? other : one;
    }
    return SABOT_OK;
}

static bool is_ordered(const struct sb_graph *graph, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (graph->order[i] == node)
            return true;
    }
    return false;
}

/* May `node` come next: does everything it reads from stand before it? */
static bool is_ready(const struct sb_graph *graph, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        if (graph->edges[i].to == node && !is_ordered(graph, count, graph->edges[i].from))
            return false;
    }
    return true;
}

static sabot_status raise_circle(const struct sb_graph *graph, uint32_t count, sabot_error *error)
{
    char names[CIRCLE_TEXT_MAX];
    int used = 0;

    names[0] = '\0';
    for (uint32_t i = 0; i < graph->node_count && used < CIRCLE_TEXT_MAX; i++) {
        if (graph->nodes[i].kind != SB_NODE_TASK || is_ordered(graph, count, i))
            continue;
        used += snprintf(names + used, (size_t)(CIRCLE_TEXT_MAX - used), "%s%s",
                         used == 0 ? "" : ", ", graph->nodes[i].name);
    }
    return sabot_raise(error, SABOT_ERR_ARGUMENT,
                       "agents feed each other in a circle through memory: channels (among: %s); "
                       "use a topic for one of these channels",
                       names);
}

/* From where data goes back to where it comes from; a table feeds itself. */
static void mark_feeders(struct sb_graph *graph)
{
    for (uint32_t at = graph->node_count; at-- > 0;) {
        struct sb_node *node = &graph->nodes[graph->order[at]];

        node->feeds_table = node->is_table;
        for (uint32_t i = 0; i < graph->edge_count; i++) {
            const struct sb_edge *edge = &graph->edges[i];

            if (edge->from == node->index && graph->nodes[edge->to].feeds_table)
                node->feeds_table = true;
        }
    }
}

sabot_status sb_graph_check(struct sb_graph *graph, sabot_error *error)
{
    uint32_t count = 0;

    /* Graphs are small and checked once: the plain way (Kahn 1962 without its queue) will do. */
    while (count < graph->node_count) {
        uint32_t node = 0;

        while (node < graph->node_count &&
               (is_ordered(graph, count, node) || !is_ready(graph, count, node)))
            node++;
        if (node == graph->node_count)
            return raise_circle(graph, count, error);
        graph->order[count++] = node;
    }
    mark_feeders(graph);
    return SABOT_OK;
}
