/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - channels, pipelines and their graphs; plan.h says by which rules. */
#include "api/plan.h"

#include <stdio.h>

#include "api/catalog.h"
#include "api/recovery_choice.h"

/* Of memory for state, when states are kept in a database and `memory` isn't given. */
static const uint64_t DB_MEMORY_DEFAULT = (uint64_t)512 * 1024 * 1024;
static const uint64_t CACHE_MIN = (uint64_t)256 * 1024; /* of a store in front of rows */

/* --- Channels ------------------------------------------------------------------------------------
 */

static void note_use(struct sb_plan *plan)
{
    const sabot_app *app = plan->app;

    for (uint32_t i = 0; i < app->channel_count; i++)
        plan->channels[i].declared = app->channels[i];
    for (uint32_t i = 0; i < app->agent_count; i++) {
        const sabot_agent *agent = app->agents[i];

        plan->channels[agent->channel->index].is_read = true;
        plan->channels[agent->channel->index].feeds_table |= agent->table != NULL;
        for (uint32_t output = 0; output < agent->output_count; output++)
            plan->channels[agent->outputs[output]->index].is_written = true;
    }
}

static sabot_status open_channel(struct sb_plan *plan,
                                 struct sb_plan_channel *channel,
                                 struct sb_log *log,
                                 struct sb_waker *waker,
                                 sabot_error *error)
{
    const sabot_channel *declared = channel->declared;
    const bool is_memory = sb_catalog_is_memory(declared->url);

    if (!channel->is_read && !channel->is_written)
        return SABOT_OK; /* declared for send and tap only */
    if (is_memory && channel->is_written && channel->is_read) {
        if (declared->source != NULL)
            return sabot_raise(error, SABOT_ERR_STATE,
                               "channel %s has a source, and agents write to it as well",
                               declared->name);
        channel->is_inside = true;
        return SABOT_OK;
    }
    return sb_open_channel(plan->app, declared, channel->is_read, channel->is_written, false, log,
                           waker, &channel->type, &channel->channel, error);
}

static bool is_open_file(const struct sb_plan_channel *channel)
{
    return channel->channel != NULL && sb_catalog_is_file(channel->declared->url);
}

/* A file is an input or an output, and of one channel. */
static sabot_status check_files(const struct sb_plan *plan, sabot_error *error)
{
    for (uint32_t i = 0; i < plan->app->channel_count; i++) {
        const struct sb_plan_channel *one = &plan->channels[i];

        if (!is_open_file(one) || !one->is_written)
            continue;
        if (one->is_read)
            return sabot_raise(error, SABOT_ERR_CONFIG,
                               "channel %s: %s is both input and output: a file can't be both",
                               one->declared->name, one->declared->url);
        for (uint32_t j = 0; j < plan->app->channel_count; j++) {
            const struct sb_plan_channel *other = &plan->channels[j];

            if (j == i || !is_open_file(other) || !one->type->same(one->channel, other->channel))
                continue;
            return sabot_raise(error, SABOT_ERR_CONFIG,
                               "channels %s and %s: %s and %s are the same file",
                               one->declared->name, other->declared->name, one->declared->url,
                               other->declared->url);
        }
    }
    return SABOT_OK;
}

/* An embedded input that nobody has ever written to would be waited for without end. */
static sabot_status check_inputs(const struct sb_plan *plan, sabot_error *error)
{
    for (uint32_t i = 0; i < plan->app->channel_count; i++) {
        const struct sb_plan_channel *channel = &plan->channels[i];

        if (channel->channel == NULL || !channel->is_read || channel->declared->source != NULL ||
            !sb_catalog_is_memory(channel->declared->url) ||
            channel->type->finite(channel->channel))
            continue;
        return sabot_raise(error, SABOT_ERR_STATE,
                           "channel %s: nothing writes to it (%s); bind it to a file or topic "
                           "(--bind %s=URL), or give it a source",
                           channel->declared->name, channel->declared->url,
                           channel->declared->name);
    }
    return SABOT_OK;
}

sabot_status sb_plan_prepare(struct sb_plan *plan, sabot_error *error)
{
    bool all = true;

    for (uint32_t i = 0; i < plan->app->channel_count; i++) {
        struct sb_plan_channel *channel = &plan->channels[i];
        sabot_error why;
        sabot_status status;

        if (channel->channel == NULL || channel->ready)
            continue;
        status = channel->type->prepare(channel->channel, &why);
        channel->ready = status == SABOT_OK;
        all = all && channel->ready;
        if (status != SABOT_OK && status != SABOT_AGAIN)
            return sabot_raise(error, status, "channel %s: %s", channel->declared->name, why.text);
    }
    if (!all)
        return SABOT_AGAIN;
    SABOT_TRY(check_inputs(plan, error));
    return check_files(plan, error);
}

/* --- Which agents run together -------------------------------------------------------------------
 */

static bool writes(const sabot_agent *agent, const sabot_channel *channel)
{
    for (uint32_t i = 0; i < agent->output_count; i++) {
        if (agent->outputs[i] == channel)
            return true;
    }
    return false;
}

static bool uses(const sabot_agent *agent, const sabot_agent *owner)
{
    for (uint32_t i = 0; i < agent->lender_count; i++) {
        if (agent->lenders[i] == owner)
            return true;
    }
    return false;
}

static bool belong_together(const struct sb_plan *plan, const sabot_agent *a, const sabot_agent *b)
{
    if (a->channel == b->channel || uses(a, b) || uses(b, a))
        return true;
    if (plan->channels[a->channel->index].is_inside && writes(b, a->channel))
        return true;
    if (plan->channels[b->channel->index].is_inside && writes(a, b->channel))
        return true;
    for (uint32_t i = 0; i < a->output_count; i++) {
        if (writes(b, a->outputs[i]))
            return true;
    }
    return false;
}

/* groups[i]: the lowest agent that agent i is joined with, directly or through others. */
static void group_agents(const struct sb_plan *plan, uint32_t groups[SB_APP_AGENTS_MAX])
{
    const sabot_app *app = plan->app;
    bool moved = true;

    for (uint32_t i = 0; i < app->agent_count; i++)
        groups[i] = i;
    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < app->agent_count; i++) {
            for (uint32_t j = 0; j < app->agent_count; j++) {
                if (groups[j] >= groups[i] ||
                    !belong_together(plan, app->agents[i], app->agents[j]))
                    continue;
                groups[i] = groups[j];
                moved = true;
            }
        }
    }
}

/* --- Graphs --------------------------------------------------------------------------------------
 */

/* What is made while the graph of one pipeline grows. */
struct grower {
    struct sb_plan *plan;
    struct sb_plan_pipeline *pipeline;
    const uint32_t *groups;
    uint32_t group;
    uint32_t sources[SB_APP_CHANNELS_MAX]; /* nodes, or SB_PLAN_NO_NODE */
    uint32_t tasks[SB_APP_AGENTS_MAX];
};

bool sb_plan_stages(const struct sb_plan_channel *channel)
{
    const sabot_config *config = channel->declared->app->config;

    return channel->is_written && channel->type->txn_open != NULL &&
           !sb_catalog_is_memory(channel->declared->url) &&
           sb_config_text(config, "state.dir") != NULL && sb_config_enum(config, "guarantee") == 0;
}

static struct sb_port port_of(const struct sb_plan_channel *channel)
{
    return (struct sb_port){
        .type = channel->type,
        .channel = channel->channel,
        .codec = sb_catalog_json(),
        .schema = channel->declared->schema,
        .event_time_field = channel->declared->event_time_field,
        .time = channel->declared->time,
        .key_field = channel->declared->key_field,
        .takes_deletes = channel->feeds_table,
        .stages = sb_plan_stages(channel),
    };
}

static sabot_status add_port(struct grower *grower,
                             const struct sb_plan_channel *channel,
                             enum sb_node_kind kind,
                             uint32_t *index,
                             sabot_error *error)
{
    const struct sb_node node = {
        .kind = kind,
        .name = channel->declared->name,
        .port = port_of(channel),
        .output_count = kind == SB_NODE_SOURCE ? 1 : 0,
    };

    if (*index != SB_PLAN_NO_NODE)
        return SABOT_OK;
    return sb_graph_node(&grower->pipeline->graph, &node, index, error);
}

/* What a function of the app runs by. */
static void set_process(const struct grower *grower, const sabot_agent *agent, struct sb_node *node)
{
    struct sb_process_settings *settings = &grower->plan->settings[agent->index].process;

    *settings = (struct sb_process_settings){
        .owner = agent,
        .function = agent->function,
        .user = agent->user,
        .timers = agent->timers,
        .uses = agent->uses,
        .use_count = agent->use_count,
        .rows_size = agent->rows_size,
        .windows = (const struct sabot_window *const *)agent->windows,
        .window_count = agent->window_count,
    };
    node->type = sb_catalog_process();
    node->settings = settings;
}

/* What the window of a stream runs by. */
static void set_window(const struct grower *grower, const sabot_agent *agent, struct sb_node *node)
{
    struct sb_window_settings *settings = &grower->plan->settings[agent->index].window;

    *settings = (struct sb_window_settings){.plan = agent->window->plan};
    node->type = sb_catalog_window();
    node->settings = settings;
}

/* The states that it has, which are the plan's with a window, placed in memory or not. */
static void set_keyed(const struct grower *grower, const sabot_agent *agent, struct sb_node *node)
{
    struct sb_keyed_settings *keyed = &grower->plan->settings[agent->index].keyed;

    *keyed = (struct sb_keyed_settings){
        .states = agent->states,
        .state_count = agent->state_count,
        .account = grower->plan->account,
        .rows = sb_agent_needs_db(agent) ? &grower->pipeline->db.source : NULL,
        .id = (uint16_t)agent->index,
    };
    node->keyed = keyed;
}

static sabot_status add_agent(struct grower *grower, const sabot_agent *agent, sabot_error *error)
{
    struct sb_node node = {
        .kind = SB_NODE_TASK,
        .name = agent->name,
        .input = agent->channel->schema,
        .key_field = agent->key_field,
        .is_table = agent->table != NULL,
        .output_count = agent->output_count,
    };

    if (agent->window == NULL)
        set_process(grower, agent, &node);
    else
        set_window(grower, agent, &node);
    set_keyed(grower, agent, &node);
    for (uint32_t i = 0; i < agent->output_count; i++) {
        node.outputs[i] = agent->outputs[i]->schema;
        node.output_times[i] = agent->outputs[i]->event_time_field;
    }
    return sb_graph_node(&grower->pipeline->graph, &node, &grower->tasks[agent->index], error);
}

static sabot_status add_nodes(struct grower *grower, sabot_error *error)
{
    struct sb_plan *plan = grower->plan;

    for (uint32_t i = 0; i < plan->app->agent_count; i++) {
        const sabot_agent *agent = plan->app->agents[i];
        const struct sb_plan_channel *input = &plan->channels[agent->channel->index];

        if (grower->groups[i] != grower->group)
            continue;
        SABOT_TRY(add_agent(grower, agent, error));
        if (!input->is_inside)
            SABOT_TRY(add_port(grower, input, SB_NODE_SOURCE,
                               &grower->sources[agent->channel->index], error));
        for (uint32_t output = 0; output < agent->output_count; output++) {
            const uint32_t index = agent->outputs[output]->index;

            if (!plan->channels[index].is_inside)
                SABOT_TRY(add_port(grower, &plan->channels[index], SB_NODE_SINK,
                                   &grower->pipeline->nodes[index], error));
        }
    }
    return SABOT_OK;
}

/* An edge from a node's output to each agent of the pipeline that reads `channel`. */
static sabot_status add_readers(struct grower *grower,
                                uint32_t from,
                                uint32_t output,
                                const sabot_channel *channel,
                                sabot_error *error)
{
    const sabot_app *app = grower->plan->app;

    for (uint32_t i = 0; i < app->agent_count; i++) {
        const struct sb_edge edge = {
            .from = from,
            .output = output,
            .to = grower->tasks[i],
            .route = app->agents[i]->key_field == SB_NO_FIELD ? SB_ROUTE_LOCAL : SB_ROUTE_KEY,
            .key_field = app->agents[i]->key_field,
            .takes_deletes = app->agents[i]->table != NULL,
        };

        if (grower->groups[i] == grower->group && app->agents[i]->channel == channel)
            SABOT_TRY(sb_graph_edge(&grower->pipeline->graph, &edge, error));
    }
    return SABOT_OK;
}

/* With checkpoints an output that can be cut has one writer, so that it has one length. */
static bool is_gathered(const struct sb_plan_channel *channel, const sabot_app *app)
{
    return !channel->is_inside && channel->type->sync != NULL &&
           sb_config_text(app->config, "state.dir") != NULL;
}

static sabot_status add_output_edge(struct grower *grower,
                                    const sabot_agent *agent,
                                    uint32_t output,
                                    sabot_error *error)
{
    const sabot_app *app = grower->plan->app;
    const sabot_channel *channel = agent->outputs[output];
    const struct sb_edge edge = {
        .from = grower->tasks[agent->index],
        .output = output,
        .to = grower->pipeline->nodes[channel->index],
        .route = is_gathered(&grower->plan->channels[channel->index], app) ? SB_ROUTE_GATHER
                                                                           : SB_ROUTE_LOCAL,
    };

    if (grower->plan->channels[channel->index].is_inside)
        return add_readers(grower, edge.from, output, channel, error);
    return sb_graph_edge(&grower->pipeline->graph, &edge, error);
}

static sabot_status add_loans(struct grower *grower, const sabot_agent *agent, sabot_error *error)
{
    for (uint32_t i = 0; i < agent->lender_count; i++) {
        const struct sb_loan loan = {
            .from = grower->tasks[agent->lenders[i]->index],
            .to = grower->tasks[agent->index],
        };

        SABOT_TRY(sb_graph_loan(&grower->pipeline->graph, &loan, error));
    }
    return SABOT_OK;
}

static sabot_status add_edges(struct grower *grower, sabot_error *error)
{
    const sabot_app *app = grower->plan->app;

    for (uint32_t i = 0; i < app->channel_count; i++) {
        if (grower->sources[i] != SB_PLAN_NO_NODE)
            SABOT_TRY(add_readers(grower, grower->sources[i], 0, app->channels[i], error));
    }
    for (uint32_t i = 0; i < app->agent_count; i++) {
        if (grower->groups[i] != grower->group)
            continue;
        SABOT_TRY(add_loans(grower, app->agents[i], error));
        for (uint32_t output = 0; output < app->agents[i]->output_count; output++)
            SABOT_TRY(add_output_edge(grower, app->agents[i], output, error));
    }
    return SABOT_OK;
}

/* Pipelines that have a database. */
static uint64_t count_dbs(const struct grower *grower)
{
    const sabot_app *app = grower->plan->app;
    bool has_db[SB_APP_AGENTS_MAX] = {false};
    uint64_t count = 0;

    for (uint32_t i = 0; i < app->agent_count; i++)
        has_db[grower->groups[i]] |= sb_agent_needs_db(app->agents[i]);
    for (uint32_t i = 0; i < app->agent_count; i++)
        count += has_db[i];
    return count;
}

/* Memory for the cells in front of a database of so many stores, and as much for the database: what
 * is given for state, in equal parts for the pipelines that have one. */
static sabot_status share_memory(const struct grower *grower,
                                 uint64_t stores,
                                 uint64_t *memory_out,
                                 sabot_error *error)
{
    const int64_t memory = sb_config_int64(grower->plan->app->config, "memory");
    const uint64_t given = memory == 0 ? DB_MEMORY_DEFAULT : (uint64_t)memory;
    const uint64_t shares = 2 * count_dbs(grower);
    const uint64_t least = CACHE_MIN * stores * shares;

    SB_ASSERT(shares > 0 && stores > 0);
    *memory_out = given / shares;
    if (*memory_out / stores >= CACHE_MIN)
        return SABOT_OK;
    return sabot_raise(
        error, SABOT_ERR_CONFIG,
        "memory=%llu: pipeline %s has state in RocksDB on each thread of each agent, "
        "%llu in all, and %llu bytes of cache for each, which is too little to work "
        "with: memory=%llu at least, or fewer threads",
        (unsigned long long)given, grower->pipeline->name, (unsigned long long)stores,
        (unsigned long long)(*memory_out / stores), (unsigned long long)least);
}

/* With a state that isn't kept in memory: a database, and memory for each instance's cells. */
static sabot_status open_db(struct grower *grower, sabot_error *error)
{
    struct sb_plan *plan = grower->plan;
    const uint64_t workers = (uint64_t)sb_config_int64(plan->app->config, "threads");
    uint64_t stores = 0;
    uint64_t memory;

    for (uint32_t i = 0; i < plan->app->agent_count; i++) {
        if (grower->groups[i] == grower->group && sb_agent_needs_db(plan->app->agents[i]))
            stores += workers;
    }
    if (stores == 0)
        return SABOT_OK;
    SABOT_TRY(share_memory(grower, stores, &memory, error));
    for (uint32_t i = 0; i < plan->app->agent_count; i++) {
        if (grower->groups[i] == grower->group)
            plan->settings[i].keyed.cache_bytes = memory / stores;
    }
    return sb_state_db_plan(&grower->pipeline->db, plan->app, grower->pipeline->name, memory,
                            error);
}

static sabot_status grow_pipeline(struct sb_plan *plan,
                                  const uint32_t *groups,
                                  uint32_t group,
                                  sabot_error *error)
{
    struct sb_plan_pipeline *pipeline = &plan->pipelines[plan->pipeline_count++];
    struct grower grower = {.plan = plan, .pipeline = pipeline, .groups = groups, .group = group};
    const uint32_t channels = plan->app->channel_count;

    (void)snprintf(pipeline->name, sizeof pipeline->name, "%s", plan->app->agents[group]->name);
    pipeline->nodes = sb_alloc_array(plan->env, channels, sizeof *pipeline->nodes);
    if (sb_graph_init(&pipeline->graph, plan->env) != SABOT_OK || pipeline->nodes == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "pipeline %s: no memory", pipeline->name);
    for (uint32_t i = 0; i < channels; i++) {
        grower.sources[i] = SB_PLAN_NO_NODE;
        pipeline->nodes[i] = SB_PLAN_NO_NODE;
    }
    SABOT_TRY(add_nodes(&grower, error));
    SABOT_TRY(open_db(&grower, error));
    SABOT_TRY(add_edges(&grower, error));
    return sb_graph_check(&pipeline->graph, error);
}

/* --- Making and freeing --------------------------------------------------------------------------
 */

static sabot_status fill(struct sb_plan *plan,
                         struct sb_log *log,
                         struct sb_waker *waker,
                         sabot_error *error)
{
    const sabot_app *app = plan->app;
    uint32_t groups[SB_APP_AGENTS_MAX] = {0};

    SABOT_TRY(sb_account_create(plan->env, (uint64_t)sb_config_int64(app->config, "memory"),
                                &plan->account, error));
    note_use(plan);
    for (uint32_t i = 0; i < app->channel_count; i++)
        SABOT_TRY(open_channel(plan, &plan->channels[i], log, waker, error));
    group_agents(plan, groups);
    for (uint32_t i = 0; i < app->agent_count; i++) {
        if (groups[i] == i)
            SABOT_TRY(grow_pipeline(plan, groups, i, error));
    }
    return sb_plan_check_circles(plan, error);
}

sabot_status sb_plan_init(struct sb_plan *plan,
                          const sabot_app *app,
                          struct sb_log *log,
                          struct sb_waker *waker,
                          sabot_error *error)
{
    const struct sb_env *env = app->env;

    *plan = (struct sb_plan){.env = env, .app = app};
    plan->channels = sb_alloc_array(env, app->channel_count, sizeof *plan->channels);
    plan->pipelines = sb_alloc_array(env, app->agent_count, sizeof *plan->pipelines);
    plan->settings = sb_alloc_array(env, app->agent_count, sizeof *plan->settings);
    if (plan->channels == NULL || plan->pipelines == NULL || plan->settings == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "app %s: no memory", app->name);
    return fill(plan, log, waker, error);
}

void sb_plan_drop_flows(struct sb_plan *plan)
{
    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        struct sb_plan_pipeline *pipeline = &plan->pipelines[i];

        sb_flow_halt(pipeline->flow);
        sb_recovery_close(&pipeline->recovery);
        sb_flow_destroy(pipeline->flow);
        pipeline->flow = NULL;
    }
}

void sb_plan_reset(struct sb_plan *plan)
{
    if (plan->env == NULL)
        return;
    sb_plan_drop_flows(plan);
    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        struct sb_plan_pipeline *pipeline = &plan->pipelines[i];

        sb_state_db_close(&pipeline->db);
        sb_graph_reset(&pipeline->graph);
        sb_free_array(plan->env, pipeline->nodes, plan->app->channel_count,
                      sizeof *pipeline->nodes);
    }
    for (uint32_t i = 0; plan->channels != NULL && i < plan->app->channel_count; i++) {
        if (plan->channels[i].channel != NULL)
            plan->channels[i].type->close(plan->channels[i].channel);
    }
    if (plan->account != NULL)
        sb_account_destroy(plan->account);
    sb_free_array(plan->env, plan->channels, plan->app->channel_count, sizeof *plan->channels);
    sb_free_array(plan->env, plan->pipelines, plan->app->agent_count, sizeof *plan->pipelines);
    sb_free_array(plan->env, plan->settings, plan->app->agent_count, sizeof *plan->settings);
    *plan = (struct sb_plan){.env = NULL};
}

static sabot_status make_flow(struct sb_plan *plan,
                              struct sb_plan_pipeline *pipeline,
                              struct sb_flow_config flow,
                              sabot_error *error)
{
    const sabot_config *config = plan->app->config;
    struct sb_recovery *recovery = &pipeline->recovery;

    if (sb_config_text(config, "state.dir") != NULL)
        SABOT_TRY(sb_recovery_open(recovery, plan->env, config, plan->app->name, &pipeline->graph,
                                   &flow, error));
    pipeline->is_made = true;
    if (sb_recovery_finished(recovery))
        return SABOT_OK;
    SABOT_TRY(sb_flow_create(plan->env, &pipeline->graph, &flow, &pipeline->flow, error));
    if (recovery->env == NULL)
        return sb_state_db_start(&pipeline->db, error);
    return sb_recovery_attach(recovery, config, pipeline->flow,
                              pipeline->db.env == NULL ? NULL : &pipeline->db.database, error);
}

static bool has_pipeline(const void *context, const char *name)
{
    const struct sb_plan *plan = context;

    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        if (strcmp(plan->pipelines[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Before the first of them is restored: is there a place for all that the savepoint has? */
static sabot_status check_choice(const struct sb_plan *plan, sabot_error *error)
{
    const sabot_config *config = plan->app->config;
    struct sb_choice choice;

    if (plan->pipelines[0].recovery.phase != SB_RECOVERY_NEW)
        return SABOT_OK;
    SABOT_TRY(sb_choice_read(&choice, config, error));
    if (sb_config_text(config, "state.dir") == NULL && choice.restore == NULL &&
        !choice.from_offsets)
        return SABOT_OK;
    if (sb_config_text(config, "state.dir") == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "--restore and --from-offsets need a state directory (--state-dir)");
    return sb_choice_check_pipelines(plan->env, &choice, plan->app->name, has_pipeline, plan,
                                     error);
}

sabot_status sb_plan_flows(struct sb_plan *plan, struct sb_waker *owner, sabot_error *error)
{
    const sabot_config *config = plan->app->config;
    struct sb_flow_config flow = {
        .workers = (uint32_t)sb_config_int64(config, "threads"),
        .batch_rows = (uint32_t)sb_config_int64(config, "batch.rows"),
        .ring_bytes = (uint64_t)sb_config_int64(config, "ring.bytes"),
        .hash_seed = sb_random(plan->env),
        .loads_tables = sb_config_enum(config, "tables.load") == 0,
        .decode_skip = sb_config_enum(config, "errors.decode") == 1,
        .limits = {.depth_max = (uint32_t)sb_config_int64(config, "json.depth_max"),
                   .record_max = (uint32_t)sb_config_int64(config, "record.bytes_max")},
        .owner = owner,
    };

    SABOT_TRY(check_choice(plan, error));
    for (uint32_t i = 0; i < plan->pipeline_count; i++) {
        flow.name = plan->pipelines[i].name;
        if (!plan->pipelines[i].is_made)
            SABOT_TRY(make_flow(plan, &plan->pipelines[i], flow, error));
    }
    return SABOT_OK;
}
