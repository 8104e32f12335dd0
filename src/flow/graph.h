/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - what a pipeline is made of, before it runs: nodes, and edges between them.
 *
 *   source --edge--> task --edge--> task --edge--> sink
 *   (channel in)     (operator)                    (channel out)
 *
 * A loan is no edge: it says that one task uses keyed state of another. Tasks joined by loans are a
 * unit: on each worker one thread calls them all, and they are snapshotted at one moment (task.h).
 *
 * The caller (api/plan.c) adds nodes in any order, then edges; sb_graph_check() sorts the nodes so
 * that data flows from lower to higher and refuses a circle: with bounded rings it could stand
 * still for ever. A flow (flow.h) makes one instance of every node for each worker.
 *
 * Ownership: the graph copies what it is told; what its pointers name must outlive it.
 * Threads: built by one, then read-only. */
#ifndef SB_FLOW_GRAPH_H
#define SB_FLOW_GRAPH_H

#include "channel/channel.h"
#include "data/schema.h"
#include "flow/clock.h"
#include "format/codec.h"
#include "op/operator.h"

enum {
    SB_GRAPH_NODES_MAX = 256,
    SB_GRAPH_EDGES_MAX = 1024,
    SB_GRAPH_LOANS_MAX = 1024,
    SB_NODE_OUTPUTS_MAX = 16,
};

enum sb_node_kind { SB_NODE_SOURCE, SB_NODE_TASK, SB_NODE_SINK };

/* One end of the pipeline at a channel, and how its records are coded. */
struct sb_port {
    const struct sb_channel_type *type;
    struct sb_channel *channel; /* open; ready before the flow is made */
    const struct sb_codec_type *codec;
    const struct sb_schema *schema;
    int32_t event_time_field;   /* source: or SB_NO_FIELD for the channel's timestamp */
    struct sb_clock_rules time; /* source: how its records move event time */
    int32_t key_field;          /* sink: or SB_NO_FIELD for records without a key */
    bool takes_deletes;         /* source: a record without a value deletes its key, that field */
    bool stages;                /* sink: a transaction writes what it has gathered */
};

struct sb_node {
    uint32_t index; /* in the graph; set by sb_graph_node() */
    uint32_t unit;  /* task: the first node of its unit; set by sb_graph_loan() */
    enum sb_node_kind kind;
    const char *name;                                     /* of the channel or the agent */
    struct sb_port port;                                  /* source, sink */
    const struct sb_operator_type *type;                  /* task */
    const void *settings;                                 /* task: of that operator */
    const struct sb_keyed_settings *keyed;                /* task: its states; NULL: none */
    const struct sb_schema *input;                        /* task */
    int32_t key_field;                                    /* task: of the input, or SB_NO_FIELD */
    bool is_table;                                        /* task: its time is nobody else's */
    bool feeds_table;                                     /* set by sb_graph_check() */
    uint32_t output_count;                                /* source: 1, sink: 0 */
    const struct sb_schema *outputs[SB_NODE_OUTPUTS_MAX]; /* task: of each output's records */
    int32_t output_times[SB_NODE_OUTPUTS_MAX];            /* task: event time field, or none */
};

/* Where the rows of an edge go. */
enum sb_route {
    SB_ROUTE_LOCAL,  /* to the task of the same worker */
    SB_ROUTE_KEY,    /* to the worker that owns the key's shard */
    SB_ROUTE_GATHER, /* to the one task on worker 0: a sink that only one may write */
};

struct sb_edge {
    uint32_t from;   /* node */
    uint32_t output; /* of it */
    uint32_t to;     /* node */
    enum sb_route route;
    int32_t key_field;  /* with SB_ROUTE_KEY */
    bool takes_deletes; /* rows that delete their key go here, too */
};

struct sb_loan {
    uint32_t from; /* task that has the state */
    uint32_t to;   /* task that uses it; its loans are numbered in the order they were added */
};

struct sb_graph {
    const struct sb_env *env;
    struct sb_node *nodes;
    uint32_t node_count;
    struct sb_edge *edges;
    uint32_t edge_count;
    struct sb_loan *loans;
    uint32_t loan_count;
    uint32_t *order; /* nodes as data flows; after the check */
};

SABOT_MUST_CHECK sabot_status sb_graph_init(struct sb_graph *graph, const struct sb_env *env);
void sb_graph_reset(struct sb_graph *graph);

/* Add a copy. SABOT_ERR_LIMIT: too many. *index_out names the node in edges. */
SABOT_MUST_CHECK sabot_status sb_graph_node(struct sb_graph *graph,
                                            const struct sb_node *node,
                                            uint32_t *index_out,
                                            sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_graph_edge(struct sb_graph *graph,
                                            const struct sb_edge *edge,
                                            sabot_error *error);

/* The two tasks are keyed alike. */
SABOT_MUST_CHECK sabot_status sb_graph_loan(struct sb_graph *graph,
                                            const struct sb_loan *loan,
                                            sabot_error *error);

/* SABOT_ERR_ARGUMENT names the nodes of a circle. */
SABOT_MUST_CHECK sabot_status sb_graph_check(struct sb_graph *graph, sabot_error *error);

#endif
