/* SPDX-License-Identifier: Apache-2.0 */
/* plan_show.h - a plan as people and programs read it: pipelines, their nodes and edges, and the
 * times in force, wherever they come from. Threads: the run's control. */
#ifndef SB_API_PLAN_SHOW_H
#define SB_API_PLAN_SHOW_H

#include "api/plan.h"

/* When a window of a node has said its last: so long after its end in the records' own time. */
struct sb_plan_times {
    bool is_known;       /* no function of the app tells the time on the way */
    int64_t lateness_ms; /* the largest of the inputs that lead there */
    int64_t fires_ms;    /* after its end: with the first record so much later than it */
    int64_t closes_ms;   /* the same, for good */
};

/* Mark the nodes from which data goes to `node`, itself included. */
void sb_plan_reach_back(const struct sb_graph *graph,
                        uint32_t node,
                        bool reached[SB_GRAPH_NODES_MAX]);

/* Of the node of an agent with a window. Times that are too large end at INT64_MAX. */
struct sb_plan_times sb_plan_times_of(const struct sb_graph *graph,
                                      uint32_t node,
                                      const sabot_window_spec *spec);

/* Append the text, or one JSON object. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_plan_show_text(const struct sb_plan *plan, struct sb_buffer *out);
SABOT_MUST_CHECK sabot_status sb_plan_show_json(const struct sb_plan *plan, struct sb_buffer *out);

#endif
