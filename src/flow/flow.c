/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c - making a pipeline real: instances, exchanges and rings; flow.h has the picture.
 *
 * Order of things: all memory first, then instances (sinks before sources, so that an output that
 * can't be opened is known before anything is read), then the wiring. */
#include "flow/flow.h"

#include "base/mutant.h"

static uint32_t node_count(const struct sb_flow *flow)
{
    return flow->graph->node_count;
}

static struct sb_instance *instance_of(const struct sb_flow *flow, uint32_t worker, uint32_t node)
{
    return &flow->instances[(size_t)worker * node_count(flow) + node];
}

static struct sb_ring *ring_of(const struct sb_flow *flow,
                               uint32_t edge,
                               uint32_t from,
                               uint32_t to)
{
    const size_t workers = flow->config.workers;

    return &flow->rings[((size_t)edge * workers + from) * workers + to];
}

/* Rings that lead to the instance of `node` on a worker; 0: there is no instance there. */
static uint32_t input_count(const struct sb_flow *flow, uint32_t node, uint32_t worker)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < flow->graph->edge_count; i++) {
        const struct sb_edge *edge = &flow->graph->edges[i];

        if (edge->to != node)
            continue;
        switch (edge->route) {
        case SB_ROUTE_LOCAL: count++; break;
        case SB_ROUTE_KEY: count += flow->config.workers; break;
        case SB_ROUTE_GATHER: count += worker == 0 ? flow->config.workers : 0; break;
        }
    }
    return count;
}

/* The worker that target number `i` of an edge on worker `from` is on. */
static uint32_t target_worker(const struct sb_edge *edge, uint32_t from, uint32_t i)
{
    switch (edge->route) {
    case SB_ROUTE_LOCAL: return from;
    case SB_ROUTE_KEY: return i;
    case SB_ROUTE_GATHER: break;
    }
    return 0;
}

/* --- Memory --------------------------------------------------------------------------------------
 */

static bool allocate(struct sb_flow *flow)
{
    const struct sb_env *env = flow->env;
    const size_t workers = flow->config.workers;
    const size_t edges = flow->graph->edge_count;

    flow->workers = sb_alloc_array(env, workers, sizeof *flow->workers);
    flow->wakers = sb_alloc_array(env, workers, sizeof *flow->wakers);
    flow->metrics = sb_alloc_array(env, workers, sizeof *flow->metrics);
    flow->instances = sb_alloc_array(env, workers * node_count(flow), sizeof *flow->instances);
    flow->exchanges = sb_alloc_array(env, workers * edges, sizeof *flow->exchanges);
    flow->rings = sb_alloc_array(env, edges * workers * workers, sizeof *flow->rings);
    flow->edges = sb_alloc_array(env, edges, sizeof *flow->edges);
    flow->allocated = flow->workers != NULL && flow->wakers != NULL && flow->metrics != NULL &&
                      flow->instances != NULL && flow->exchanges != NULL && flow->rings != NULL &&
                      flow->edges != NULL;
    return flow->allocated;
}

static void release(struct sb_flow *flow)
{
    const struct sb_env *env = flow->env;
    const size_t workers = flow->config.workers;
    const size_t edges = flow->graph->edge_count;

    sb_free_array(env, flow->workers, workers, sizeof *flow->workers);
    sb_free_array(env, flow->wakers, workers, sizeof *flow->wakers);
    sb_free_array(env, flow->metrics, workers, sizeof *flow->metrics);
    sb_free_array(env, flow->instances, workers * node_count(flow), sizeof *flow->instances);
    sb_free_array(env, flow->exchanges, workers * edges, sizeof *flow->exchanges);
    sb_free_array(env, flow->rings, edges * workers * workers, sizeof *flow->rings);
    sb_free_array(env, flow->edges, edges, sizeof *flow->edges);
    sb_free(env, flow, sizeof *flow);
}

/* --- Wiring --------------------------------------------------------------------------------------
 */

/* Sort the edges by node and output, so that an output's exchanges lie side by side. */
static void sort_edges(struct sb_flow *flow)
{
    const struct sb_graph *graph = flow->graph;

    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct sb_edge *edge = &graph->edges[i];
        uint32_t at = i;

        for (; at > 0; at--) {
            const struct sb_edge *before = &graph->edges[flow->edges[at - 1]];

            if (before->from < edge->from ||
                (before->from == edge->from && before->output <= edge->output))
                break;
            flow->edges[at] = flow->edges[at - 1];
        }
        flow->edges[at] = i;
    }
}

static struct sb_output *output_of(struct sb_instance *instance, uint32_t output)
{
    if (instance->node->kind == SB_NODE_SOURCE)
        return &instance->source.output;
    return &instance->task.outputs[output];
}

/* Give every output of a worker its run of exchanges. */
static void place_exchanges(struct sb_flow *flow, uint32_t worker)
{
    const struct sb_graph *graph = flow->graph;
    struct sb_exchange *exchanges = &flow->exchanges[(size_t)worker * graph->edge_count];

    for (uint32_t first = 0, next; first < graph->edge_count; first = next) {
        const struct sb_edge *edge = &graph->edges[flow->edges[first]];

        for (next = first + 1; next < graph->edge_count; next++) {
            const struct sb_edge *other = &graph->edges[flow->edges[next]];

            if (other->from != edge->from || other->output != edge->output)
                break;
        }
        sb_output_init(output_of(instance_of(flow, worker, edge->from), edge->output),
                       &exchanges[first], next - first);
    }
}

static struct sb_inbox *inbox_of(struct sb_instance *instance)
{
    return instance->node->kind == SB_NODE_TASK ? &instance->task.inbox : &instance->sink.inbox;
}

/* The first input of `to`'s inbox that still has no ring. */
static struct sb_input *free_input(struct sb_inbox *inbox)
{
    uint32_t at = 0;

    while (inbox->inputs[at].ring != NULL)
        at++;
    SB_ASSERT(at < inbox->count);
    return &inbox->inputs[at];
}

static sabot_status connect(struct sb_flow *flow, uint32_t at, uint32_t from, sabot_error *error)
{
    const uint32_t number = flow->edges[at];
    const struct sb_edge *edge = &flow->graph->edges[number];
    const bool keyed = edge->route == SB_ROUTE_KEY;
    const uint32_t targets = keyed ? flow->config.workers : 1;
    const char *name = flow->graph->nodes[edge->from].name;
    struct sb_exchange *exchange = &flow->exchanges[(size_t)from * flow->graph->edge_count + at];
    const uint32_t rows_max =
        flow->config.batch_rows > SB_BATCH_ROWS ? flow->config.batch_rows : SB_BATCH_ROWS;

    if (sb_exchange_init(exchange, flow->env, targets, keyed ? edge->key_field : SB_NO_FIELD,
                         flow->config.hash_seed, rows_max) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its exchange", name);
    exchange->takes_deletes = edge->takes_deletes;
    for (uint32_t i = 0; i < targets; i++) {
        const uint32_t to = target_worker(edge, from, i);
        struct sb_ring *ring = ring_of(flow, number, from, to);
        struct sb_input *input = free_input(inbox_of(instance_of(flow, to, edge->to)));

        if (sb_ring_init(ring, flow->env, SB_RING_SLOTS, sizeof(struct sb_message),
                         flow->config.ring_bytes) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a ring", name);
        exchange->targets[i].ring = ring;
        exchange->targets[i].waker = to == from ? NULL : flow->wakers[to];
        input->ring = ring;
        inbox_of(instance_of(flow, to, edge->to))->gate.unaligned =
            flow->config.unaligned || SB_MUTANT(NOT_ALIGNED);
        input->sender = to == from ? NULL : flow->wakers[from];
    }
    return SABOT_OK;
}

/* Will nothing ever come to or from this instance? Its worker got no partitions. */
static bool is_silent(const struct sb_instance *instance)
{
    return instance->node->kind == SB_NODE_SOURCE ? instance->source.partition_count == 0
                                                  : instance->task.inbox.watermark.live == 0;
}

/* The end of a silent instance's time is only said when its worker has begun: nobody waits for it.
 */
static void silence(struct sb_flow *flow, uint32_t worker, uint32_t edge)
{
    const struct sb_edge *from = &flow->graph->edges[edge];
    const uint32_t targets = from->route == SB_ROUTE_KEY ? flow->config.workers : 1;

    for (uint32_t i = 0; i < targets; i++) {
        const uint32_t to = target_worker(from, worker, i);
        struct sb_inbox *inbox = inbox_of(instance_of(flow, to, from->to));
        uint32_t input = 0;

        while (inbox->inputs[input].ring != ring_of(flow, edge, worker, to))
            input++;
        sb_watermark_silence(&inbox->watermark, input);
    }
}

/* In the order of the data, so that one that hears only silent ones is known to be so. */
static void silence_all(struct sb_flow *flow)
{
    const struct sb_graph *graph = flow->graph;

    for (uint32_t at = 0; at < graph->node_count; at++) {
        for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
            const struct sb_instance *instance = instance_of(flow, worker, graph->order[at]);

            if (instance->node == NULL || instance->node->kind == SB_NODE_SINK ||
                !is_silent(instance))
                continue;
            for (uint32_t edge = 0; edge < graph->edge_count; edge++) {
                if (graph->edges[edge].from == instance->node->index)
                    silence(flow, worker, edge);
            }
        }
    }
}

static sabot_status wire(struct sb_flow *flow, sabot_error *error)
{
    sort_edges(flow);
    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        place_exchanges(flow, worker);
        for (uint32_t at = 0; at < flow->graph->edge_count; at++)
            SABOT_TRY(connect(flow, at, worker, error));
    }
    silence_all(flow);
    return SABOT_OK;
}

/* --- Instances -----------------------------------------------------------------------------------
 */

static sabot_status init_source(struct sb_flow *flow,
                                struct sb_instance *instance,
                                uint32_t worker,
                                sabot_error *error)
{
    const struct sb_source_config config = {
        .env = flow->env,
        .node = instance->node,
        .control = &flow->control,
        .metrics = &flow->metrics[worker],
        .waker = flow->wakers[worker],
        .worker = worker,
        .worker_count = flow->config.workers,
        .rows_max = flow->config.batch_rows,
        .decode_skip = flow->config.decode_skip,
        .loads_tables = flow->config.loads_tables,
        .limits = flow->config.limits,
        .positions = flow->config.positions,
        .position_count = flow->config.position_count,
    };

    return sb_source_init(&instance->source, &config, error);
}

/* Of the source that feeds a task; 0: agents do. */
static uint32_t partitions_of(const struct sb_flow *flow, uint32_t node)
{
    const struct sb_graph *graph = flow->graph;

    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct sb_node *from = &graph->nodes[graph->edges[i].from];

        if (graph->edges[i].to == node && from->kind == SB_NODE_SOURCE)
            return (uint32_t)from->port.type->partition_count(from->port.channel);
    }
    return 0;
}

static sabot_status init_task(struct sb_flow *flow,
                              struct sb_instance *instance,
                              uint32_t worker,
                              sabot_error *error)
{
    const struct sb_task_config config = {
        .env = flow->env,
        .graph = flow->graph,
        .node = instance->node,
        .control = &flow->control,
        .metrics = &flow->metrics[worker],
        .waker = flow->wakers[worker],
        .input_count = input_count(flow, instance->node->index, worker),
        .partition_count = partitions_of(flow, instance->node->index),
        .worker = worker,
        .worker_count = flow->config.workers,
        .hash_seed = flow->config.hash_seed,
        .drops_state = flow->config.drops_state,
    };

    return sb_task_init(&instance->task, &config, error);
}

static sabot_status init_sink(struct sb_flow *flow,
                              struct sb_instance *instance,
                              uint32_t worker,
                              sabot_error *error)
{
    const struct sb_sink_config config = {
        .env = flow->env,
        .node = instance->node,
        .control = &flow->control,
        .metrics = &flow->metrics[worker],
        .waker = flow->wakers[worker],
        .worker = worker,
        .input_count = input_count(flow, instance->node->index, worker),
    };

    return sb_sink_init(&instance->sink, &config, error);
}

static sabot_status init_kind(struct sb_flow *flow, enum sb_node_kind kind, sabot_error *error)
{
    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        for (uint32_t node = 0; node < node_count(flow); node++) {
            struct sb_instance *instance = instance_of(flow, worker, node);

            if (flow->graph->nodes[node].kind != kind ||
                (kind != SB_NODE_SOURCE && input_count(flow, node, worker) == 0))
                continue;
            instance->node = &flow->graph->nodes[node];
            switch (kind) {
            case SB_NODE_SOURCE: SABOT_TRY(init_source(flow, instance, worker, error)); break;
            case SB_NODE_TASK: SABOT_TRY(init_task(flow, instance, worker, error)); break;
            case SB_NODE_SINK: SABOT_TRY(init_sink(flow, instance, worker, error)); break;
            }
        }
    }
    return SABOT_OK;
}

/* Tasks that use others' keyed state get at it, and join in units. */
static void lend_state(struct sb_flow *flow, uint32_t worker)
{
    const struct sb_graph *graph = flow->graph;
    uint32_t numbers[SB_GRAPH_NODES_MAX] = {0}; /* of the next loan of a task */

    for (uint32_t i = 0; i < graph->loan_count; i++) {
        const struct sb_loan *loan = &graph->loans[i];
        struct sb_task *from = &instance_of(flow, worker, loan->from)->task;
        struct sb_task *to = &instance_of(flow, worker, loan->to)->task;
        struct sb_store *store = from->node->type->store(from->instance);

        SB_ASSERT(store != NULL);
        to->node->type->borrow(to->instance, numbers[loan->to]++, store);
    }
    for (uint32_t node = 0; node < node_count(flow); node++) {
        struct sb_instance *instance = instance_of(flow, worker, node);

        if (graph->nodes[node].kind == SB_NODE_TASK && graph->nodes[node].unit != node)
            sb_task_join(&instance->task,
                         &instance_of(flow, worker, graph->nodes[node].unit)->task);
    }
}

static sabot_status init_workers(struct sb_flow *flow, sabot_error *error)
{
    const uint32_t nodes = node_count(flow);

    for (uint32_t i = 0; i < flow->config.workers; i++) {
        struct sb_worker *worker = &flow->workers[i];

        *worker = (struct sb_worker){
            .control = &flow->control,
            .index = i,
            .metrics = &flow->metrics[i],
        };
        SABOT_TRY(flow->env->type->waker_create(flow->env->self, &flow->wakers[i], error));
        worker->waker = flow->wakers[i];
        worker->instances = sb_alloc_array(flow->env, nodes, sizeof *worker->instances);
        if (worker->instances == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", flow->config.name);
    }
    return SABOT_OK;
}

/* Each worker's instances in the order in which data travels. */
static void order_instances(struct sb_flow *flow)
{
    for (uint32_t i = 0; i < flow->config.workers; i++) {
        struct sb_worker *worker = &flow->workers[i];

        for (uint32_t at = 0; at < node_count(flow); at++) {
            struct sb_instance *instance = instance_of(flow, i, flow->graph->order[at]);

            if (instance->node != NULL)
                worker->instances[worker->instance_count++] = instance;
        }
    }
}

static uint32_t table_instances(const struct sb_flow *flow)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < node_count(flow); node++)
        count += flow->graph->nodes[node].is_table ? flow->config.workers : 0;
    return count;
}

static sabot_status build(struct sb_flow *flow, sabot_error *error)
{
    SABOT_TRY(init_workers(flow, error));
    flow->control.wakers = flow->wakers;
    flow->control.waker_count = flow->config.workers;
    flow->control.owner = flow->config.owner;
    flow->control.has_checkpoints = flow->config.has_checkpoints;
    flow->control.staged_max = flow->config.staged_max;
    SABOT_TRY(init_kind(flow, SB_NODE_SINK, error));
    SABOT_TRY(init_kind(flow, SB_NODE_TASK, error));
    for (uint32_t worker = 0; worker < flow->config.workers; worker++)
        lend_state(flow, worker);
    if (flow->config.loads_tables)
        atomic_store(&flow->control.tables_loading, table_instances(flow));
    SABOT_TRY(init_kind(flow, SB_NODE_SOURCE, error));
    order_instances(flow);
    return wire(flow, error);
}

sabot_status sb_flow_create(const struct sb_env *env,
                            const struct sb_graph *graph,
                            const struct sb_flow_config *config,
                            struct sb_flow **flow_out,
                            sabot_error *error)
{
    struct sb_flow *flow = sb_alloc(env, sizeof *flow);
    sabot_status status;

    SB_ASSERT(config->workers >= 1);
    SB_ASSERT(config->workers <= SB_WORKERS_MAX);
    *flow_out = NULL;
    if (flow == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name);
    flow->env = env;
    flow->graph = graph;
    flow->config = *config;
    sb_control_init(&flow->control, env, config->name);
    if (allocate(flow))
        status = build(flow, error);
    else
        status = sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", config->name);
    if (status != SABOT_OK) {
        sb_flow_destroy(flow);
        return status;
    }
    *flow_out = flow;
    return SABOT_OK;
}

/* --- The end of it -------------------------------------------------------------------------------
 */

static void join(struct sb_flow *flow)
{
    for (uint32_t i = 0; i < flow->running; i++)
        flow->env->type->join(flow->env->self, flow->workers[i].thread);
    flow->running = 0;
}

static void reset_instance(struct sb_instance *instance)
{
    if (instance->node == NULL)
        return;
    switch (instance->node->kind) {
    case SB_NODE_SOURCE: sb_source_reset(&instance->source); break;
    case SB_NODE_TASK: sb_task_reset(&instance->task); break;
    case SB_NODE_SINK: sb_sink_reset(&instance->sink); break;
    }
}

/* Slices are dropped by their receivers, then their pools go, then the batches' pools: so inboxes
 * and held messages before exchanges, and exchanges before the instances that own the batches. */
static void reset_parts(struct sb_flow *flow)
{
    const size_t workers = flow->config.workers;

    for (size_t i = 0; i < workers * node_count(flow); i++) {
        struct sb_instance *instance = &flow->instances[i];

        if (instance->node == NULL || instance->node->kind == SB_NODE_SOURCE)
            continue;
        sb_inbox_reset(inbox_of(instance));
        if (instance->node->kind == SB_NODE_SINK) {
            reset_instance(instance);
            instance->node = NULL;
        } else {
            sb_slice_drop(instance->task.slice);
            instance->task.slice = NULL;
        }
    }
    for (size_t i = 0; i < workers * flow->graph->edge_count; i++)
        sb_exchange_reset(&flow->exchanges[i]);
    for (size_t i = 0; i < workers * node_count(flow); i++)
        reset_instance(&flow->instances[i]);
    for (size_t i = 0; i < flow->graph->edge_count * workers * workers; i++)
        sb_ring_reset(&flow->rings[i]);
}

static void reset_workers(struct sb_flow *flow)
{
    for (uint32_t i = 0; i < flow->config.workers; i++) {
        struct sb_worker *worker = &flow->workers[i];

        sb_free_array(flow->env, worker->instances, node_count(flow), sizeof *worker->instances);
        if (worker->waker != NULL)
            flow->env->type->waker_destroy(flow->env->self, worker->waker);
    }
}

void sb_flow_halt(struct sb_flow *flow)
{
    const sabot_error stopped = {.status = SABOT_ERR_CLOSED, .text = "the run was destroyed"};

    if (flow == NULL || flow->running == 0)
        return;
    atomic_store(&flow->control.aborting, true);
    sb_control_fail(&flow->control, &stopped);
    join(flow);
}

void sb_flow_destroy(struct sb_flow *flow)
{
    if (flow == NULL)
        return;
    sb_flow_halt(flow);
    if (flow->allocated) {
        reset_parts(flow);
        reset_workers(flow);
    }
    sb_control_reset(&flow->control);
    release(flow);
}

/* --- Running -------------------------------------------------------------------------------------
 */

sabot_status sb_flow_start(struct sb_flow *flow, sabot_error *error)
{
    SB_ASSERT(flow->running == 0);
    for (uint32_t i = 0; i < flow->config.workers; i++) {
        struct sb_worker *worker = &flow->workers[i];

        SABOT_TRY(flow->env->type->spawn(flow->env->self, "sabot-worker", sb_worker_step, worker,
                                         worker->waker, &worker->thread, error));
        flow->running++;
    }
    return SABOT_OK;
}

struct sb_step sb_flow_step(struct sb_flow *flow)
{
    struct sb_step together = sb_step_done();

    for (uint32_t i = 0; i < flow->config.workers; i++)
        together = sb_step_sooner(together, sb_worker_step(&flow->workers[i]));
    return together;
}

void sb_flow_stop(struct sb_flow *flow)
{
    sb_control_stop(&flow->control);
}

sabot_status sb_flow_status(struct sb_flow *flow, sabot_error *error)
{
    if (atomic_load(&flow->control.workers_done) < flow->config.workers)
        return SABOT_AGAIN;
    if (!atomic_load(&flow->control.failed))
        return SABOT_END;
    if (error != NULL)
        *error = flow->control.error;
    return flow->control.error.status;
}

/* --- Checkpoints ---------------------------------------------------------------------------------
 */

uint32_t sb_flow_instances(const struct sb_flow *flow, enum sb_node_kind kind)
{
    uint32_t count = 0;

    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++)
        count += flow->instances[i].node != NULL && flow->instances[i].node->kind == kind;
    return count;
}

void sb_flow_checkpoint(struct sb_flow *flow, struct sb_checkpoint *checkpoint)
{
    SB_ASSERT(checkpoint->node_count == node_count(flow));
    SB_ASSERT(checkpoint->worker_count == flow->config.workers);
    sb_control_barrier(&flow->control, checkpoint,
                       sb_flow_instances(flow, SB_NODE_SOURCE) +
                           sb_flow_instances(flow, SB_NODE_TASK) +
                           sb_flow_instances(flow, SB_NODE_SINK));
}

void sb_flow_wake(struct sb_flow *flow)
{
    for (uint32_t i = 0; i < flow->config.workers; i++)
        sb_wake(flow->env, flow->wakers[i]);
}

struct sb_carrier *sb_flow_carrier(const struct sb_flow *flow, uint32_t worker, uint32_t node)
{
    struct sb_instance *instance = instance_of(flow, worker, node);

    if (instance->node == NULL || instance->node->kind != SB_NODE_TASK ||
        instance->task.store == NULL)
        return NULL;
    return &instance->task.carrier;
}

void sb_flow_image_again(struct sb_flow *flow, struct sb_checkpoint *checkpoint)
{
    SB_ASSERT(atomic_load(&checkpoint->missing) == 0);
    atomic_store(&checkpoint->abandoned, false);
    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        struct sb_instance *instance = &flow->instances[i];

        if (instance->node != NULL && instance->node->kind == SB_NODE_TASK &&
            sb_task_image_again(&instance->task, checkpoint))
            (void)atomic_fetch_add(&checkpoint->missing, 1);
    }
}

void sb_flow_image_step(struct sb_flow *flow)
{
    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        struct sb_instance *instance = &flow->instances[i];

        if (instance->node != NULL && instance->node->kind == SB_NODE_TASK &&
            instance->task.image != NULL)
            (void)sb_task_step(&instance->task);
    }
}

struct sb_store *sb_flow_store(const struct sb_flow *flow, uint32_t worker, uint32_t node)
{
    const struct sb_instance *instance = instance_of(flow, worker, node);

    SB_ASSERT(instance->node->kind == SB_NODE_TASK);
    return instance->task.store;
}

sabot_status sb_flow_restore_image(struct sb_flow *flow,
                                   uint32_t node,
                                   uint32_t shard,
                                   struct sb_image *image,
                                   sabot_error *error)
{
    struct sb_store *store = sb_flow_store(flow, shard % flow->config.workers, node);

    SB_ASSERT(flow->running == 0);
    if (store == NULL)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "agent %s has no state any more",
                           flow->graph->nodes[node].name);
    return sb_store_restore_image(store, image, shard, error);
}

sabot_status sb_flow_restore(struct sb_flow *flow,
                             uint32_t node,
                             uint32_t shard,
                             const struct sb_byte_source *source,
                             sabot_error *error)
{
    struct sb_instance *instance = instance_of(flow, shard % flow->config.workers, node);

    SB_ASSERT(instance->node->kind == SB_NODE_TASK);
    SB_ASSERT(flow->running == 0);
    return instance->node->type->restore(instance->task.instance, source, error);
}

void sb_flow_restore_time(struct sb_flow *flow, uint32_t node, int64_t watermark_ms)
{
    SB_ASSERT(flow->running == 0);
    if (SB_MUTANT(WATERMARK_LOST))
        return;
    for (uint32_t worker = 0; worker < flow->config.workers; worker++)
        sb_task_restore_time(&instance_of(flow, worker, node)->task, watermark_ms);
}

/* --- Looking in ----------------------------------------------------------------------------------
 */

int64_t sb_flow_lag(const struct sb_flow *flow)
{
    int64_t total = 0;

    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        const struct sb_instance *instance = &flow->instances[i];
        int64_t lag;

        if (instance->node == NULL || instance->node->kind != SB_NODE_SOURCE)
            continue;
        lag = atomic_load_explicit(&instance->source.lag, memory_order_relaxed);
        if (lag < 0)
            return -1;
        total += lag;
    }
    return total;
}

int64_t sb_flow_follows(const struct sb_flow *flow)
{
    int64_t total = 0;

    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        const struct sb_instance *instance = &flow->instances[i];
        const struct sb_source *source = &instance->source;

        if (instance->node == NULL || instance->node->kind != SB_NODE_SOURCE)
            continue;
        for (uint32_t j = 0; j < source->partition_count; j++) {
            const int64_t follows =
                atomic_load_explicit(&source->partitions[j].view.follows, memory_order_relaxed);

            if (follows < 0)
                return SB_LAG_NOT_YET;
            total += follows;
        }
    }
    return total;
}

int64_t sb_flow_watermark_ms(const struct sb_flow *flow)
{
    int64_t lowest = INT64_MAX;

    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        const struct sb_instance *instance = &flow->instances[i];
        int64_t now;

        if (instance->node == NULL || instance->node->kind != SB_NODE_TASK ||
            instance->node->is_table)
            continue;
        now = atomic_load_explicit(&instance->task.watermark_seen, memory_order_relaxed);
        lowest = now < lowest ? now : lowest;
    }
    return lowest;
}

int64_t sb_flow_task_watermark_ms(const struct sb_flow *flow, uint32_t node)
{
    int64_t lowest = INT64_MAX;

    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        const struct sb_instance *instance = instance_of(flow, worker, node);
        const int64_t now =
            atomic_load_explicit(&instance->task.watermark_seen, memory_order_relaxed);

        SB_ASSERT(instance->node->kind == SB_NODE_TASK);
        lowest = now < lowest ? now : lowest;
    }
    return lowest;
}

bool sb_flow_partition_at(const struct sb_flow *flow,
                          uint32_t index,
                          struct sb_flow_partition *partition_out)
{
    for (size_t i = 0; i < (size_t)flow->config.workers * node_count(flow); i++) {
        const struct sb_instance *instance = &flow->instances[i];
        const struct sb_source *source = &instance->source;
        const struct sb_source_view *view;

        if (instance->node == NULL || instance->node->kind != SB_NODE_SOURCE)
            continue;
        if (index >= source->partition_count) {
            index -= source->partition_count;
            continue;
        }
        view = &source->partitions[index].view;
        *partition_out = (struct sb_flow_partition){
            .node = instance->node,
            .partition = atomic_load_explicit(&view->partition, memory_order_relaxed),
            .state =
                (enum sb_watermark_state)atomic_load_explicit(&view->state, memory_order_relaxed),
            .watermark_ms = atomic_load_explicit(&view->watermark_ms, memory_order_relaxed),
            .lag = atomic_load_explicit(&view->lag, memory_order_relaxed),
            .quiet_us = atomic_load_explicit(&view->quiet_us, memory_order_relaxed),
            .is_held = atomic_load_explicit(&source->is_held, memory_order_relaxed),
            .read = sb_counter_get(&view->read),
            .skipped = sb_counter_get(&view->skipped),
            .failed = sb_counter_get(&view->failed),
            .deletes = sb_counter_get(&view->deletes),
        };
        return true;
    }
    return false;
}

struct sb_flow_tally sb_flow_tally(const struct sb_flow *flow, uint32_t node, int32_t partition)
{
    struct sb_flow_tally total = {.processed = 0};

    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        const struct sb_task *task = &instance_of(flow, worker, node)->task;
        const struct sb_tally *tally;

        SB_ASSERT(task->node->kind == SB_NODE_TASK && (uint32_t)partition < task->tally_count);
        tally = &task->tallies[partition];
        total.processed += sb_counter_get(&tally->processed);
        total.late += sb_counter_get(&tally->late);
        total.failed += sb_counter_get(&tally->failed);
    }
    return total;
}

uint64_t sb_flow_written(const struct sb_flow *flow, uint32_t node)
{
    uint64_t total = 0;

    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        if (instance_of(flow, worker, node)->node != NULL)
            total += sb_counter_get(&instance_of(flow, worker, node)->sink.records);
    }
    return total;
}
