/* SPDX-License-Identifier: Apache-2.0 */
/* plan_show.c - `sabot plan`: the graph with its effective times; plan_show.h. */
#include "api/plan_show.h"

#include <inttypes.h>

#include "api/run.h"
#include "run/control_server.h"

enum { WINDOW_TEXT_MAX = 512 };

/* --- Times ---------------------------------------------------------------------------------------
 */

void sb_plan_reach_back(const struct sb_graph *graph,
                        uint32_t node,
                        bool reached[SB_GRAPH_NODES_MAX])
{
    bool moved = true;

    reached[node] = true;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < graph->edge_count; i++) {
            const struct sb_edge *edge = &graph->edges[i];

            if (!reached[edge->to] || reached[edge->from])
                continue;
            reached[edge->from] = true;
            moved = true;
        }
    }
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

struct sb_plan_times sb_plan_times_of(const struct sb_graph *graph,
                                      uint32_t node,
                                      const sabot_window_spec *spec)
{
    bool reached[SB_GRAPH_NODES_MAX] = {false};
    struct sb_plan_times times = {.is_known = true};

    sb_plan_reach_back(graph, node, reached);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct sb_clock_rules *rules = &graph->nodes[i].port.time;

        if (!reached[i] || graph->nodes[i].kind != SB_NODE_SOURCE)
            continue;
        times.is_known = times.is_known && rules->function == NULL;
        if (rules->lateness_ms > times.lateness_ms)
            times.lateness_ms = rules->lateness_ms;
    }
    times.fires_ms = times.lateness_ms;
    times.closes_ms = add(times.lateness_ms, spec->allowed_lateness_ms);
    return times;
}

static const char *future_name(sabot_future future)
{
    switch (future) {
    case SABOT_FUTURE_PASS: return "pass";
    case SABOT_FUTURE_SKIP: return "skip";
    case SABOT_FUTURE_FAIL: break;
    }
    return "fail";
}

static const char *route_name(enum sb_route route)
{
    switch (route) {
    case SB_ROUTE_LOCAL: return "local";
    case SB_ROUTE_KEY: return "key";
    case SB_ROUTE_GATHER: break;
    }
    return "gather";
}

/* The agent that a task was made of. */
static const sabot_agent *agent_of(const struct sb_plan *plan, const struct sb_node *node)
{
    for (uint32_t i = 0; i < plan->app->agent_count; i++) {
        if (strcmp(plan->app->agents[i]->name, node->name) == 0)
            return plan->app->agents[i];
    }
    return NULL;
}

static const sabot_channel *channel_of(const struct sb_plan *plan, const struct sb_node *node)
{
    return sb_app_find_channel(plan->app, node->name);
}

static const char *kind_of(const struct sb_plan *plan, const struct sb_node *node)
{
    switch (node->kind) {
    case SB_NODE_SOURCE: return "source";
    case SB_NODE_TASK: return sb_agent_kind(agent_of(plan, node));
    case SB_NODE_SINK: break;
    }
    return "sink";
}

/* Where the states of an agent are kept. */
static const char *backend_of(const sabot_agent *agent)
{
    bool in_memory = false;
    bool in_rocksdb = false;

    for (uint32_t i = 0; i < agent->state_count; i++) {
        in_memory = in_memory || agent->states[i].in_memory;
        in_rocksdb = in_rocksdb || !agent->states[i].in_memory;
    }
    if (in_memory && in_rocksdb)
        return "memory and rocksdb";
    return in_rocksdb ? "rocksdb" : "memory";
}

static const char *field_path(const struct sb_schema *schema, int32_t field)
{
    return schema->fields[field].path;
}

/* --- Text ----------------------------------------------------------------------------------------
 */

static sabot_status write_clock(struct sb_buffer *out, const struct sb_node *node)
{
    const struct sb_clock_rules *rules = &node->port.time;

    if (rules->function != NULL)
        SABOT_TRY(sb_buffer_format(out, "      event time: a function of the app tells it"));
    else if (node->port.event_time_field == SB_NO_FIELD)
        SABOT_TRY(sb_buffer_format(out, "      event time: the channel's timestamp"));
    else
        SABOT_TRY(sb_buffer_format(out, "      event time: field %s",
                                   field_path(node->port.schema, node->port.event_time_field)));
    if (rules->function == NULL)
        SABOT_TRY(sb_buffer_format(out, ", lateness %" PRId64 " ms", rules->lateness_ms));
    if (rules->idle_after_ms == 0)
        SABOT_TRY(sb_buffer_format(out, "\n      a partition is never idle\n"));
    else
        SABOT_TRY(sb_buffer_format(
            out, "\n      a partition is idle after %" PRId64 " ms without a record\n",
            rules->idle_after_ms));
    if (rules->max_future_ms == 0)
        return sb_buffer_format(out, "      no record is of the future\n");
    return sb_buffer_format(
        out, "      a record is of the future %" PRId64 " ms ahead of the clock: %s\n",
        rules->max_future_ms, future_name(rules->future));
}

static sabot_status write_window(const struct sb_plan *plan,
                                 struct sb_buffer *out,
                                 const struct sb_graph *graph,
                                 const struct sb_node *node)
{
    const struct sb_stream_window *window = agent_of(plan, node)->window;
    const struct sb_plan_times times = sb_plan_times_of(graph, node->index, &window->spec);
    char text[WINDOW_TEXT_MAX];

    sb_window_plan_describe(window->plan, text, sizeof text);
    SABOT_TRY(sb_buffer_format(out, "      %s\n", text));
    if (window->spec.kind == SABOT_GLOBAL)
        return sb_buffer_format(out, "      it closes when its inputs have ended\n");
    if (!times.is_known)
        return sb_buffer_format(
            out, "      on time when the watermark is at its end, closed %" PRId64 " ms later\n",
            window->spec.allowed_lateness_ms);
    return sb_buffer_format(out,
                            "      on time when each active partition has a record %" PRId64
                            " ms past its end, closed at %" PRId64 " ms\n",
                            times.fires_ms, times.closes_ms);
}

static sabot_status write_task(const struct sb_plan *plan,
                               struct sb_buffer *out,
                               const struct sb_graph *graph,
                               const struct sb_node *node)
{
    const sabot_agent *agent = agent_of(plan, node);

    if (node->key_field == SB_NO_FIELD)
        SABOT_TRY(sb_buffer_format(out, "      on %s, without a key", agent->channel->name));
    else
        SABOT_TRY(sb_buffer_format(out, "      on %s, by %s", agent->channel->name,
                                   field_path(node->input, node->key_field)));
    if (agent->state_count > 0)
        SABOT_TRY(sb_buffer_format(out, ", state in %s", backend_of(agent)));
    SABOT_TRY(sb_buffer_format(out, "\n"));
    return agent->window == NULL ? SABOT_OK : write_window(plan, out, graph, node);
}

static sabot_status write_edges(struct sb_buffer *out,
                                const struct sb_graph *graph,
                                const struct sb_node *node)
{
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct sb_edge *edge = &graph->edges[i];

        if (edge->from != node->index)
            continue;
        SABOT_TRY(sb_buffer_format(out, "      -> %s", graph->nodes[edge->to].name));
        if (edge->route == SB_ROUTE_KEY)
            SABOT_TRY(sb_buffer_format(out, ", to the thread of its key"));
        if (edge->route == SB_ROUTE_GATHER)
            SABOT_TRY(sb_buffer_format(out, ", all to the first thread"));
        SABOT_TRY(sb_buffer_format(out, "\n"));
    }
    return SABOT_OK;
}

static sabot_status write_node(const struct sb_plan *plan,
                               struct sb_buffer *out,
                               const struct sb_graph *graph,
                               const struct sb_node *node)
{
    SABOT_TRY(sb_buffer_format(out, "  %s %s", kind_of(plan, node), node->name));
    if (node->kind != SB_NODE_TASK)
        SABOT_TRY(sb_buffer_format(out, " (%s)", channel_of(plan, node)->url));
    SABOT_TRY(sb_buffer_format(out, "\n"));
    switch (node->kind) {
    case SB_NODE_SOURCE: SABOT_TRY(write_clock(out, node)); break;
    case SB_NODE_TASK: SABOT_TRY(write_task(plan, out, graph, node)); break;
    case SB_NODE_SINK: break;
    }
    return write_edges(out, graph, node);
}

sabot_status sb_plan_show_text(const struct sb_plan *plan, struct sb_buffer *out)
{
    const int64_t threads = sb_config_int64(plan->app->config, "threads");

    SABOT_TRY(sb_buffer_format(out, "app %s: %u pipeline%s, %" PRId64 " thread%s each\n",
                               plan->app->name, plan->pipeline_count,
                               plan->pipeline_count == 1 ? "" : "s", threads,
                               threads == 1 ? "" : "s"));
    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        const struct sb_graph *graph = &plan->pipelines[i].graph;

        SABOT_TRY(sb_buffer_format(out, "pipeline %s\n", plan->pipelines[i].name));
        for (uint32_t at = 0; at < graph->node_count; at++)
            SABOT_TRY(write_node(plan, out, graph, &graph->nodes[graph->order[at]]));
    }
    return SABOT_OK;
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

static sabot_status put_text(struct sb_buffer *out, const char *name, const char *text)
{
    SABOT_TRY(sb_buffer_format(out, ",\"%s\":", name));
    return sb_control_quote(out, text);
}

static sabot_status put_clock(struct sb_buffer *out, const struct sb_node *node)
{
    const struct sb_clock_rules *rules = &node->port.time;

    if (rules->function == NULL && node->port.event_time_field != SB_NO_FIELD)
        SABOT_TRY(put_text(out, "event_time",
                           field_path(node->port.schema, node->port.event_time_field)));
    else
        SABOT_TRY(sb_buffer_format(out, ",\"event_time\":null"));
    return sb_buffer_format(out,
                            ",\"event_time_function\":%s,\"lateness_ms\":%" PRId64
                            ",\"idle_after_ms\":%" PRId64 ",\"max_future_ms\":%" PRId64
                            ",\"future\":\"%s\"",
                            rules->function == NULL ? "false" : "true", rules->lateness_ms,
                            rules->idle_after_ms, rules->max_future_ms, future_name(rules->future));
}

static sabot_status put_window(const struct sb_plan *plan,
                               struct sb_buffer *out,
                               const struct sb_graph *graph,
                               const struct sb_node *node)
{
    const struct sb_stream_window *window = agent_of(plan, node)->window;
    const struct sb_plan_times times = sb_plan_times_of(graph, node->index, &window->spec);
    char text[WINDOW_TEXT_MAX];

    sb_window_plan_describe(window->plan, text, sizeof text);
    SABOT_TRY(put_text(out, "window", text));
    SABOT_TRY(sb_buffer_format(out, ",\"allowed_lateness_ms\":%" PRId64,
                               window->spec.allowed_lateness_ms));
    if (window->spec.kind == SABOT_GLOBAL || !times.is_known)
        return sb_buffer_format(out, ",\"fires_after_ms\":null,\"closes_after_ms\":null");
    return sb_buffer_format(out, ",\"fires_after_ms\":%" PRId64 ",\"closes_after_ms\":%" PRId64,
                            times.fires_ms, times.closes_ms);
}

static sabot_status put_task(const struct sb_plan *plan,
                             struct sb_buffer *out,
                             const struct sb_graph *graph,
                             const struct sb_node *node)
{
    const sabot_agent *agent = agent_of(plan, node);

    SABOT_TRY(put_text(out, "channel", agent->channel->name));
    if (node->key_field == SB_NO_FIELD)
        SABOT_TRY(sb_buffer_format(out, ",\"key\":null"));
    else
        SABOT_TRY(put_text(out, "key", field_path(node->input, node->key_field)));
    SABOT_TRY(put_text(out, "state", agent->state_count == 0 ? "none" : backend_of(agent)));
    return agent->window == NULL ? SABOT_OK : put_window(plan, out, graph, node);
}

static sabot_status put_node(const struct sb_plan *plan,
                             struct sb_buffer *out,
                             const struct sb_graph *graph,
                             const struct sb_node *node)
{
    SABOT_TRY(sb_buffer_format(out, "{\"kind\":\"%s\"", kind_of(plan, node)));
    SABOT_TRY(put_text(out, "name", node->name));
    if (node->kind != SB_NODE_TASK)
        SABOT_TRY(put_text(out, "url", channel_of(plan, node)->url));
    switch (node->kind) {
    case SB_NODE_SOURCE: SABOT_TRY(put_clock(out, node)); break;
    case SB_NODE_TASK: SABOT_TRY(put_task(plan, out, graph, node)); break;
    case SB_NODE_SINK: break;
    }
    return sb_buffer_format(out, "}");
}

static sabot_status put_pipeline(const struct sb_plan *plan,
                                 struct sb_buffer *out,
                                 const struct sb_plan_pipeline *pipeline)
{
    const struct sb_graph *graph = &pipeline->graph;

    SABOT_TRY(sb_buffer_format(out, "{\"name\":\"%s\",\"nodes\":[", pipeline->name));
    for (uint32_t i = 0; i < graph->node_count; i++) {
        SABOT_TRY(sb_buffer_format(out, "%s", i == 0 ? "" : ","));
        SABOT_TRY(put_node(plan, out, graph, &graph->nodes[graph->order[i]]));
    }
    SABOT_TRY(sb_buffer_format(out, "],\"edges\":["));
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct sb_edge *edge = &graph->edges[i];

        SABOT_TRY(sb_buffer_format(
            out, "%s{\"from\":\"%s\",\"output\":%u,\"to\":\"%s\",\"route\":\"%s\"}",
            i == 0 ? "" : ",", graph->nodes[edge->from].name, edge->output,
            graph->nodes[edge->to].name, route_name(edge->route)));
    }
    return sb_buffer_format(out, "]}");
}

sabot_status sb_plan_show_json(const struct sb_plan *plan, struct sb_buffer *out)
{
    SABOT_TRY(sb_buffer_format(out, "{\"app\":\"%s\",\"threads\":%" PRId64 ",\"pipelines\":[",
                               plan->app->name, sb_config_int64(plan->app->config, "threads")));
    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        SABOT_TRY(sb_buffer_format(out, "%s", i == 0 ? "" : ","));
        SABOT_TRY(put_pipeline(plan, out, &plan->pipelines[i]));
    }
    return sb_buffer_format(out, "]}");
}

sabot_status sabot_run_plan(sabot_run *run, bool as_json, const char **text_out, sabot_error *error)
{
    struct sb_buffer *shown = &run->shown;
    sabot_status status;

    *text_out = NULL;
    shown->size = 0;
    status = as_json ? sb_plan_show_json(&run->plan, shown) : sb_plan_show_text(&run->plan, shown);
    if (status == SABOT_OK && as_json)
        status = sb_buffer_append(shown, "\n", 1);
    if (status == SABOT_OK)
        status = sb_buffer_append(shown, "", 1);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "no memory for the plan");
    *text_out = (const char *)shown->data;
    return SABOT_OK;
}
