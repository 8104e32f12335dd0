/* SPDX-License-Identifier: Apache-2.0 */
/* describe.c - what a run says about itself: the first lines, and its counters. */
#include "api/catalog.h"
#include "api/run.h"

/* --- Lines ---------------------------------------------------------------------------------------
 */

/* End the line begun. */
static sabot_status end_line(struct sb_buffer *lines)
{
    return sb_buffer_append(lines, "", 1);
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static sabot_status write_head(const sabot_run *run, struct sb_buffer *lines)
{
    const sabot_config *config = run->config;

    SABOT_TRY(sb_buffer_format(lines, "app %s: %u pipeline%s, %lld thread%s each", run->app->name,
                               run->plan.pipeline_count, plural(run->plan.pipeline_count),
                               (long long)sb_config_int64(config, "threads"),
                               plural(sb_config_int64(config, "threads"))));
    SABOT_TRY(end_line(lines));
    if (sb_config_text(config, "state.dir") != NULL)
        return SABOT_OK;
    SABOT_TRY(sb_buffer_format(lines,
                               "without a state directory nothing is kept: a new start begins at "
                               "the %s record and with empty state",
                               sb_config_enum(config, "kafka.start") == 0 ? "earliest" : "latest"));
    return end_line(lines);
}

/* What a pipeline with a state directory goes on from. */
static sabot_status write_recovery(const sabot_run *run,
                                   const struct sb_plan_pipeline *pipeline,
                                   struct sb_buffer *lines)
{
    const struct sb_recovery *recovery = &pipeline->recovery;
    const struct sb_manifest *manifest = &recovery->restore.manifest;

    if (recovery->env == NULL)
        return SABOT_OK;
    SABOT_TRY(sb_buffer_format(lines, "pipeline %s: state in %s, ", pipeline->name,
                               recovery->folder.path));
    if (!recovery->restore.found)
        SABOT_TRY(sb_buffer_format(lines, "which is empty: it begins at the %s record",
                                   sb_config_enum(run->config, "kafka.start") == 0 ? "earliest"
                                                                                   : "latest"));
    else if (manifest->finished)
        SABOT_TRY(sb_buffer_format(lines,
                                   "its inputs had ended at checkpoint %lld: nothing is left to do",
                                   (long long)manifest->id));
    else
        SABOT_TRY(sb_buffer_format(lines, "goes on from checkpoint %lld, %.1f s old",
                                   (long long)manifest->id,
                                   (double)(sb_wall_ms(run->env) - manifest->time_ms) / 1000));
    return end_line(lines);
}

/* What a restart does to an output, and why. */
static const char *guarantee_of(const sabot_run *run, const struct sb_plan_channel *channel)
{
    if (sb_config_text(run->config, "state.dir") == NULL ||
        sb_catalog_is_memory(channel->declared->url))
        return channel->type->guarantee(channel->channel);
    if (sb_plan_stages(channel))
        return "exactly once: a transaction writes it together with the inputs' offsets";
    if (channel->type->resume == NULL)
        return "at least once: a restart repeats what came after its checkpoint";
    if (!channel->type->can_resume(channel->channel))
        return "at least once: what was written can't be taken back, and a restart repeats what "
               "came after its checkpoint";
    if (sb_config_enum(run->config, "guarantee") == 0)
        return "exactly once: a restart cuts it where its checkpoint ends";
    return "at least once: a restart repeats what came after its checkpoint";
}

static sabot_status write_channel(const sabot_run *run,
                                  const struct sb_plan_channel *channel,
                                  struct sb_buffer *lines)
{
    const sabot_channel *declared = channel->declared;
    const char *role = channel->is_read ? "reads" : "writes";

    if (channel->is_inside) {
        SABOT_TRY(sb_buffer_format(lines, "  passes %s from agent to agent", declared->name));
        return end_line(lines);
    }
    SABOT_TRY(
        sb_buffer_format(lines, "  %-6s %s (%s%s)", role, declared->name, declared->url,
                         channel->type == sb_catalog_source() ? ", the app's own source" : ""));
    if (channel->is_read) {
        const int32_t count = channel->type->partition_count(channel->channel);

        SABOT_TRY(sb_buffer_format(lines, ", %d partition%s", (int)count, plural(count)));
    }
    if (channel->is_written)
        SABOT_TRY(sb_buffer_format(lines, ": %s", guarantee_of(run, channel)));
    return end_line(lines);
}

static sabot_status write_uses(const sabot_agent *agent, struct sb_buffer *lines)
{
    uint32_t states = 0;
    uint32_t tables = 0;

    for (uint32_t i = 0; i < agent->use_count; i++) {
        const sabot_agent *owner = agent->lenders[agent->uses[i].lender];

        if (owner->table == NULL)
            SABOT_TRY(sb_buffer_format(lines, "%s %s of %s", states++ == 0 ? ", uses" : ",",
                                       owner->states[agent->uses[i].index].name, owner->name));
    }
    for (uint32_t i = 0; i < agent->use_count; i++) {
        const sabot_agent *owner = agent->lenders[agent->uses[i].lender];

        if (owner->table != NULL)
            SABOT_TRY(sb_buffer_format(lines, "%s %s", tables++ == 0 ? ", reads table" : ",",
                                       owner->name));
    }
    return SABOT_OK;
}

static sabot_status write_agent(const sabot_agent *agent, struct sb_buffer *lines)
{
    SABOT_TRY(sb_buffer_format(lines, "  %-6s %s on %s", sb_agent_kind(agent), agent->name,
                               agent->channel->name));
    if (agent->key_field != SB_NO_FIELD)
        SABOT_TRY(sb_buffer_format(lines, ", by %s",
                                   agent->channel->schema->fields[agent->key_field].path));
    SABOT_TRY(write_uses(agent, lines));
    for (uint32_t i = 0; i < agent->output_count; i++)
        SABOT_TRY(sb_buffer_format(lines, "%s %s", i == 0 ? ", to" : ",", agent->outputs[i]->name));
    return end_line(lines);
}

sabot_status sb_run_write_lines(sabot_run *run)
{
    struct sb_buffer *lines = &run->lines;

    SABOT_TRY(write_head(run, lines));
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++)
        SABOT_TRY(write_recovery(run, &run->plan.pipelines[i], lines));
    for (uint32_t i = 0; i < run->app->channel_count; i++) {
        if (run->plan.channels[i].is_read || run->plan.channels[i].is_written)
            SABOT_TRY(write_channel(run, &run->plan.channels[i], lines));
    }
    for (uint32_t i = 0; i < run->app->agent_count; i++)
        SABOT_TRY(write_agent(run->app->agents[i], lines));
    return SABOT_OK;
}

/* Which of them the run before had come to nobody has written down: it can be none, or all. */
static void tell_replay(const sabot_run *run, struct sb_plan_pipeline *pipeline)
{
    struct sb_recovery *recovery = &pipeline->recovery;
    int64_t follows;

    if (pipeline->flow == NULL || recovery->env == NULL || recovery->told ||
        !recovery->restore.found)
        return;
    follows = sb_flow_follows(pipeline->flow);
    if (follows == SB_LAG_NOT_YET)
        return;
    recovery->told = true;
    sb_log(run->env, SABOT_LOG_INFO, pipeline->name,
           "%lld records follow checkpoint %lld: so many at most are processed again",
           (long long)follows, (long long)recovery->restore.manifest.id);
}

void sb_run_tell_replays(sabot_run *run)
{
    for (uint32_t i = 0; i < run->plan.pipeline_count; i++)
        tell_replay(run, &run->plan.pipelines[i]);
}

static bool is_started(const sabot_run *run)
{
    return sb_run_phase(run) != SB_RUN_PREPARING &&
           atomic_load(&((sabot_run *)(uintptr_t)run)->started);
}

bool sabot_run_describe(sabot_run *run, size_t index, const char **line_out)
{
    size_t at = 0;

    *line_out = NULL;
    if (!is_started(run))
        return false;
    for (; index > 0 && at < run->lines.size; index--)
        at += strlen((const char *)run->lines.data + at) + 1;
    if (at >= run->lines.size)
        return false;
    *line_out = (const char *)run->lines.data + at;
    return true;
}

/* --- Counters ------------------------------------------------------------------------------------
 */

static void add_metrics(sabot_run_stats *stats,
                        struct sb_histogram *delays,
                        const struct sb_flow_metrics *metrics)
{
    stats->records_read += sb_counter_get(&metrics->records_read);
    stats->records_processed += sb_counter_get(&metrics->records_processed);
    stats->records_late += sb_counter_get(&metrics->records_late);
    stats->records_skipped += sb_counter_get(&metrics->records_skipped);
    stats->records_failed += sb_counter_get(&metrics->records_failed);
    stats->records_written += sb_counter_get(&metrics->records_written);
    stats->bytes_read += sb_counter_get(&metrics->bytes_read);
    sb_histogram_merge(delays, &metrics->delay_us);
}

static void add_flow(const sabot_run *run,
                     const struct sb_flow *flow,
                     sabot_run_stats *stats,
                     struct sb_histogram *delays)
{
    const int64_t first_us =
        atomic_load(&((struct sb_flow *)(uintptr_t)flow)->control.first_record_us);
    const int64_t lag = sb_flow_lag(flow);
    const int64_t watermark_ms = sb_flow_watermark_ms(flow);

    for (uint32_t i = 0; i < flow->config.workers; i++)
        add_metrics(stats, delays, &flow->metrics[i]);
    stats->lag = lag < 0 || stats->lag < 0 ? -1 : stats->lag + lag;
    if (watermark_ms < stats->watermark_ms)
        stats->watermark_ms = watermark_ms;
    if (first_us != 0 &&
        (stats->first_record_us < 0 || first_us - run->created_us < stats->first_record_us))
        stats->first_record_us = first_us - run->created_us;
}

static void add_checkpoints(const sabot_run *run,
                            struct sb_coordinator *coordinator,
                            sabot_run_stats *stats)
{
    const int64_t completed_us = atomic_load(&coordinator->completed_us);
    const int64_t id = atomic_load(&coordinator->completed_id);
    const int64_t age_us = completed_us == 0 ? -1 : sb_now_us(run->env) - completed_us;

    stats->checkpoints += atomic_load(&coordinator->completed);
    stats->checkpoints_failed += atomic_load(&coordinator->failed);
    if (stats->checkpoint_id == 0 || id < stats->checkpoint_id)
        stats->checkpoint_id = id;
    if (age_us > stats->checkpoint_age_us)
        stats->checkpoint_age_us = age_us;
}

static void add_pipeline(const sabot_run *run,
                         struct sb_plan_pipeline *pipeline,
                         sabot_run_stats *stats,
                         struct sb_histogram *delays)
{
    if (pipeline->flow == NULL)
        return;
    add_flow(run, pipeline->flow, stats, delays);
    if (pipeline->recovery.env != NULL)
        add_checkpoints(run, &pipeline->recovery.coordinator, stats);
}

static bool all_connected(const struct sb_plan *plan)
{
    for (uint32_t i = 0; i < plan->app->channel_count; i++) {
        const struct sb_plan_channel *channel = &plan->channels[i];

        if (channel->channel != NULL && !channel->type->connected(channel->channel))
            return false;
    }
    return true;
}

void sabot_run_get_stats(sabot_run *run, sabot_run_stats *stats_out)
{
    struct sb_histogram delays = {0};
    const int64_t end_us = atomic_load(&run->end_us);

    *stats_out = (sabot_run_stats){
        .watermark_ms = INT64_MAX,
        .first_record_us = -1,
        .checkpoint_age_us = -1,
        .run_us = (end_us == 0 ? sb_now_us(run->env) : end_us) - run->created_us,
        .peak_memory_bytes = run->env->type->memory_peak(run->env->self),
        .connected = all_connected(&run->plan),
    };
    stats_out->started = is_started(run);
    if (!stats_out->started)
        stats_out->watermark_ms = INT64_MIN;
    for (uint32_t i = 0; stats_out->started && i < run->plan.pipeline_count; i++)
        add_pipeline(run, &run->plan.pipelines[i], stats_out, &delays);
    stats_out->delay_p50_us = sb_histogram_at(&delays, 0.5);
    stats_out->delay_p95_us = sb_histogram_at(&delays, 0.95);
    stats_out->delay_p99_us = sb_histogram_at(&delays, 0.99);
    stats_out->delay_p999_us = sb_histogram_at(&delays, 0.999);
    stats_out->delay_max_us =
        stats_out->delay_p50_us < 0 ? -1 : (int64_t)sb_counter_get(&delays.max);
}

/* The edge by which the agent gets the partition's records. */
static void take_account(const struct sb_flow *flow,
                         const struct sb_flow_partition *partition,
                         const struct sb_edge *edge,
                         sabot_account *account_out)
{
    const struct sb_flow_tally tally = sb_flow_tally(flow, edge->to, partition->partition);

    *account_out = (sabot_account){
        .channel = partition->node->name,
        .partition = partition->partition,
        .agent = flow->graph->nodes[edge->to].name,
        .read = partition->read,
        .processed = tally.processed,
        .filtered = edge->takes_deletes ? 0 : partition->deletes,
        .late = tally.late,
        .skipped = partition->skipped,
        .failed = partition->failed + tally.failed,
    };
}

/* The accounts of a flow, one after the other; *index becomes less by those that were passed. */
static bool find_account(const struct sb_flow *flow, size_t *index, sabot_account *account_out)
{
    const struct sb_graph *graph = flow->graph;
    struct sb_flow_partition partition;

    for (uint32_t at = 0; sb_flow_partition_at(flow, at, &partition); at++) {
        for (uint32_t i = 0; i < graph->edge_count; i++) {
            const struct sb_edge *edge = &graph->edges[i];

            if (edge->from != partition.node->index ||
                graph->nodes[edge->to].kind != SB_NODE_TASK || (*index)-- > 0)
                continue;
            take_account(flow, &partition, edge, account_out);
            return true;
        }
    }
    return false;
}

bool sabot_run_account(sabot_run *run, size_t index, sabot_account *account_out)
{
    *account_out = (sabot_account){.read = 0};
    for (uint32_t i = 0; is_started(run) && i < run->plan.pipeline_count; i++) {
        const struct sb_flow *flow = run->plan.pipelines[i].flow;

        if (flow != NULL && find_account(flow, &index, account_out))
            return true;
    }
    return false;
}

bool sabot_run_output(sabot_run *run, size_t index, const char **channel_out, uint64_t *records_out)
{
    *channel_out = NULL;
    *records_out = 0;
    for (uint32_t i = 0; i < run->app->channel_count; i++) {
        const struct sb_plan_channel *channel = &run->plan.channels[i];

        if (!channel->is_written || channel->is_inside || index-- > 0)
            continue;
        *channel_out = channel->declared->name;
        for (uint32_t p = 0; is_started(run) && p < run->plan.pipeline_count; p++) {
            const struct sb_plan_pipeline *pipeline = &run->plan.pipelines[p];

            if (pipeline->flow != NULL && pipeline->nodes[i] != SB_PLAN_NO_NODE)
                *records_out += sb_flow_written(pipeline->flow, pipeline->nodes[i]);
        }
        return true;
    }
    return false;
}

bool sabot_run_uses_stdout(const sabot_run *run)
{
    for (uint32_t i = 0; i < run->app->channel_count; i++) {
        const struct sb_plan_channel *channel = &run->plan.channels[i];

        if (channel->is_written && !channel->is_inside &&
            sb_catalog_is_standard(channel->declared->url))
            return true;
    }
    return false;
}
