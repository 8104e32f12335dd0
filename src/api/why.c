/* SPDX-License-Identifier: Apache-2.0 */
/* why.c - `sabot why`: which partition holds a watermark, and why it stands where it does.
 *
 * The watermark of a step is the least of the active partitions that lead to it (flow/watermark.h).
 * So the answer is a look at all of these: the lowest active ones hold it, each for a reason; when
 * the step is lower than they are, what they have read is still on its way.
 *
 * Sources publish how their partitions stand; it may be a moment old. */
#include "api/why.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/plan_show.h"
#include "api/run.h"

enum { HOLDERS_SHOWN_MAX = 8, TIME_TEXT_MAX = 64 };

/* What is asked about: one step of one pipeline, and the inputs that lead there. */
struct question {
    const sabot_run *run;
    const struct sb_plan_pipeline *pipeline;
    const struct sb_node *node;
    bool leads[SB_GRAPH_NODES_MAX];
    int64_t now_us;
    int64_t watermark_ms; /* of the step */
    int64_t lowest_ms;    /* of the active partitions; INT64_MAX: there is none */
    int64_t highest_ms;   /* of all that have said something */
    uint32_t active;      /* partitions */
    uint32_t idle;
    uint32_t ended;
    uint32_t holders; /* active and lowest */
};

/* --- Times ---------------------------------------------------------------------------------------
 */

/* "2024-05-01T12:00:00.000Z (1714564800000)"; beyond the years 1 to 9999 the number alone. Days to
 * dates by eras of 400 years, as H. Hinnant does it. */
static const char *write_time(char text[TIME_TEXT_MAX], int64_t time_ms)
{
    const int64_t first = INT64_C(-62135596800000);
    const int64_t last = INT64_C(253402300799999);
    int64_t days, of_day, era, day_of_era, year_of_era, day_of_year, month;

    if (time_ms == INT64_MIN || time_ms == INT64_MAX || time_ms < first || time_ms > last) {
        (void)snprintf(text, TIME_TEXT_MAX,
                       time_ms == INT64_MIN   ? "none yet"
                       : time_ms == INT64_MAX ? "at the end of time"
                                              : "%" PRId64,
                       time_ms);
        return text;
    }
    days = (time_ms - first) / 86400000 + 306; /* since March 1 of the year 0 */
    of_day = (time_ms - first) % 86400000;
    era = days / 146097;
    day_of_era = days % 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153; /* 0: March */
    (void)snprintf(text, TIME_TEXT_MAX,
                   "%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64
                   ":%02" PRId64 ".%03" PRId64 "Z (%" PRId64 ")",
                   era * 400 + year_of_era + (month >= 10), month < 10 ? month + 3 : month - 9,
                   day_of_year - (153 * month + 2) / 5 + 1, of_day / 3600000, of_day / 60000 % 60,
                   of_day / 1000 % 60, of_day % 1000, time_ms);
    return text;
}

/* --- Looking -------------------------------------------------------------------------------------
 */

static bool leads_there(const struct question *question, const struct sb_flow_partition *partition)
{
    return question->leads[partition->node->index];
}

static bool holds(const struct question *question, const struct sb_flow_partition *partition)
{
    return partition->state == SB_WATERMARK_ACTIVE &&
           partition->watermark_ms == question->lowest_ms;
}

static void count(struct question *question, const struct sb_flow_partition *partition)
{
    question->active += partition->state == SB_WATERMARK_ACTIVE;
    question->idle += partition->state == SB_WATERMARK_IDLE;
    question->ended += partition->state == SB_WATERMARK_ENDED;
    if (partition->watermark_ms > question->highest_ms)
        question->highest_ms = partition->watermark_ms;
    if (partition->state == SB_WATERMARK_ACTIVE && partition->watermark_ms < question->lowest_ms) {
        question->lowest_ms = partition->watermark_ms;
        question->holders = 0;
    }
    question->holders += holds(question, partition);
}

static void look(struct question *question)
{
    const struct sb_flow *flow = question->pipeline->flow;
    struct sb_flow_partition partition;

    sb_plan_reach_back(&question->pipeline->graph, question->node->index, question->leads);
    question->now_us = sb_now_us(question->run->env);
    question->watermark_ms = sb_flow_task_watermark_ms(flow, question->node->index);
    question->lowest_ms = INT64_MAX;
    question->highest_ms = INT64_MIN;
    for (uint32_t i = 0; sb_flow_partition_at(flow, i, &partition); i++) {
        if (leads_there(question, &partition))
            count(question, &partition);
    }
}

/* --- Why a partition holds -----------------------------------------------------------------------
 */

enum reason { IN_FLIGHT, AWAY, HELD_BACK, UNREAD, QUIET, NEWEST };

static enum reason reason_of(const struct sb_flow_partition *partition)
{
    const struct sb_port *port = &partition->node->port;

    if (!port->type->connected(port->channel))
        return AWAY;
    if (partition->is_held)
        return HELD_BACK;
    if (partition->lag > 0 || partition->lag == SB_LAG_NOT_YET)
        return UNREAD;
    return partition->quiet_us != 0 || port->time.idle_after_ms == 0 ? QUIET : NEWEST;
}

static const char *reason_name(enum reason reason)
{
    static const char *const names[] = {
        [IN_FLIGHT] = "in-flight", [AWAY] = "away",   [HELD_BACK] = "held-back",
        [UNREAD] = "unread",       [QUIET] = "quiet", [NEWEST] = "newest",
    };

    return names[reason];
}

static sabot_status write_quiet(const struct question *question,
                                const struct sb_flow_partition *partition,
                                struct sb_buffer *out)
{
    const int64_t idle_after_ms = partition->node->port.time.idle_after_ms;
    const int64_t quiet_ms = (question->now_us - partition->quiet_us) / 1000;

    if (idle_after_ms == 0)
        return sb_buffer_format(out, "all of it is read, and it is never idle (idle_after_ms 0)");
    return sb_buffer_format(
        out, "all of it is read, quiet for %" PRId64 " ms; it is idle after %" PRId64 " ms",
        quiet_ms, idle_after_ms);
}

static sabot_status write_reason(const struct question *question,
                                 const struct sb_flow_partition *partition,
                                 struct sb_buffer *out)
{
    if (partition->watermark_ms == INT64_MIN)
        SABOT_TRY(sb_buffer_format(out, "no record of it was read yet: "));
    switch (reason_of(partition)) {
    case AWAY: return sb_buffer_format(out, "its broker is away");
    case HELD_BACK:
        return sb_buffer_format(out, "its reader is held back: a step behind it is slower, or "
                                     "staged output waits for a commit");
    case UNREAD:
        if (partition->lag == SB_LAG_NOT_YET)
            return sb_buffer_format(out, "how much is in it is not known yet");
        return sb_buffer_format(out, "%" PRId64 " records of it are not read yet", partition->lag);
    case QUIET: return write_quiet(question, partition, out);
    case IN_FLIGHT:
    case NEWEST: break;
    }
    return sb_buffer_format(out, "that is its newest record, less %" PRId64 " ms of lateness",
                            partition->node->port.time.lateness_ms);
}

/* --- Text ----------------------------------------------------------------------------------------
 */

static sabot_status write_holder(const struct question *question,
                                 const struct sb_flow_partition *partition,
                                 struct sb_buffer *out)
{
    const int64_t ahead_ms = question->highest_ms - question->lowest_ms;

    SABOT_TRY(sb_buffer_format(out, "  held by %s, partition %d: ", partition->node->name,
                               (int)partition->partition));
    SABOT_TRY(write_reason(question, partition, out));
    if (question->lowest_ms != INT64_MIN && question->highest_ms > question->lowest_ms)
        SABOT_TRY(sb_buffer_format(out, "; the newest is %" PRId64 " ms ahead", ahead_ms));
    return sb_buffer_format(out, "\n");
}

static sabot_status write_holders(const struct question *question, struct sb_buffer *out)
{
    struct sb_flow_partition partition;
    uint32_t shown = 0;

    for (uint32_t i = 0;
         shown < HOLDERS_SHOWN_MAX && sb_flow_partition_at(question->pipeline->flow, i, &partition);
         i++) {
        if (!leads_there(question, &partition) || !holds(question, &partition))
            continue;
        SABOT_TRY(write_holder(question, &partition, out));
        shown++;
    }
    if (question->holders > shown)
        SABOT_TRY(sb_buffer_format(out, "  and by %u more\n", question->holders - shown));
    return sb_buffer_format(out, "  %u partition%s: %u active, %u idle, %u ended\n",
                            question->active + question->idle + question->ended,
                            question->active + question->idle + question->ended == 1 ? "" : "s",
                            question->active, question->idle, question->ended);
}

/* The next window whose end the watermark has not reached, where ends lie on a grid. */
static sabot_status write_next_end(const struct question *question,
                                   const sabot_window_spec *spec,
                                   struct sb_buffer *out)
{
    const int64_t step_ms = spec->kind == SABOT_SLIDING ? spec->slide_ms : spec->size_ms;
    const int64_t at_ms = question->watermark_ms;
    char text[TIME_TEXT_MAX];
    int64_t end_ms;
    int64_t over_ms;

    if ((spec->kind != SABOT_TUMBLING && spec->kind != SABOT_SLIDING) || at_ms == INT64_MIN ||
        at_ms == INT64_MAX)
        return SABOT_OK;
    /* The least offset + size + k * step that is more than the watermark. */
    if (__builtin_sub_overflow(at_ms, spec->offset_ms % step_ms + spec->size_ms % step_ms,
                               &over_ms))
        return SABOT_OK;
    over_ms %= step_ms;
    over_ms += over_ms < 0 ? step_ms : 0;
    if (__builtin_add_overflow(at_ms, step_ms - over_ms, &end_ms))
        return SABOT_OK;
    return sb_buffer_format(
        out, "  the next window to fire on time ends at %s, %" PRId64 " ms further\n",
        write_time(text, end_ms), end_ms - at_ms);
}

static sabot_status write_answer(const struct question *question,
                                 const sabot_agent *agent,
                                 struct sb_buffer *out)
{
    char text[TIME_TEXT_MAX];
    char lowest[TIME_TEXT_MAX];

    SABOT_TRY(sb_buffer_format(out, "%s %s: watermark %s\n", sb_agent_kind(agent),
                               question->node->name, write_time(text, question->watermark_ms)));
    if (agent->window != NULL)
        SABOT_TRY(write_next_end(question, &agent->window->spec, out));
    if (question->active + question->idle == 0)
        return sb_buffer_format(out, "  all its inputs have ended\n");
    if (question->active == 0)
        return sb_buffer_format(
            out, "  all %u partitions are idle: it stays until a record comes\n", question->idle);
    if (question->watermark_ms < question->lowest_ms)
        SABOT_TRY(sb_buffer_format(out, "  its inputs are at %s: what was read is on its way\n",
                                   write_time(lowest, question->lowest_ms)));
    else if (question->watermark_ms > question->lowest_ms)
        SABOT_TRY(sb_buffer_format(
            out, "  its inputs are at %s: one that was idle, or is restored, catches up\n",
            write_time(lowest, question->lowest_ms)));
    return write_holders(question, out);
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

static sabot_status put_time(struct sb_buffer *out, const char *name, int64_t time_ms)
{
    if (time_ms == INT64_MIN)
        return sb_buffer_format(out, ",\"%s\":null", name);
    return sb_buffer_format(out, ",\"%s\":%" PRId64, name, time_ms);
}

static sabot_status put_partition(const struct question *question,
                                  const struct sb_flow_partition *partition,
                                  struct sb_buffer *out)
{
    static const char *const states[] = {
        [SB_WATERMARK_ACTIVE] = "active",
        [SB_WATERMARK_IDLE] = "idle",
        [SB_WATERMARK_ENDED] = "ended",
    };

    SABOT_TRY(sb_buffer_format(out, "{\"channel\":\"%s\",\"partition\":%d,\"state\":\"%s\"",
                               partition->node->name, (int)partition->partition,
                               states[partition->state]));
    SABOT_TRY(put_time(out, "watermark_ms", partition->watermark_ms));
    SABOT_TRY(put_time(out, "lag", partition->lag < 0 ? INT64_MIN : partition->lag));
    SABOT_TRY(put_time(out, "quiet_ms",
                       partition->quiet_us == 0 ? INT64_MIN
                                                : (question->now_us - partition->quiet_us) / 1000));
    SABOT_TRY(
        sb_buffer_format(out, ",\"holds\":%s", holds(question, partition) ? "true" : "false"));
    if (partition->state == SB_WATERMARK_ACTIVE)
        SABOT_TRY(sb_buffer_format(out, ",\"reason\":\"%s\"", reason_name(reason_of(partition))));
    return sb_buffer_format(out, "}");
}

static sabot_status put_answer(const struct question *question,
                               const sabot_agent *agent,
                               struct sb_buffer *out)
{
    struct sb_flow_partition partition;
    const char *comma = "";

    SABOT_TRY(sb_buffer_format(out, "{\"name\":\"%s\",\"kind\":\"%s\",\"pipeline\":\"%s\"",
                               question->node->name, sb_agent_kind(agent),
                               question->pipeline->name));
    SABOT_TRY(put_time(out, "watermark_ms", question->watermark_ms));
    SABOT_TRY(sb_buffer_format(out, ",\"inputs\":["));
    for (uint32_t i = 0; sb_flow_partition_at(question->pipeline->flow, i, &partition); i++) {
        if (!leads_there(question, &partition))
            continue;
        SABOT_TRY(sb_buffer_format(out, "%s", comma));
        SABOT_TRY(put_partition(question, &partition, out));
        comma = ",";
    }
    return sb_buffer_format(out, "]}");
}

/* --- The verb ------------------------------------------------------------------------------------
 */

/* What is asked for, and the two forms of the answer. */
struct answer {
    const sabot_run *run;
    bool of_windows;
    const char *step; /* NULL: all */
    uint32_t found;
    struct sb_buffer text;
    struct sb_buffer steps;
};

static sabot_status answer_agent(struct answer *answer,
                                 const struct sb_plan_pipeline *pipeline,
                                 const struct sb_node *node,
                                 const sabot_agent *agent)
{
    struct question question = {.run = answer->run, .pipeline = pipeline, .node = node};

    SABOT_TRY(sb_buffer_format(&answer->steps, "%s", answer->found == 0 ? "" : ","));
    answer->found++;
    look(&question);
    SABOT_TRY(write_answer(&question, agent, &answer->text));
    return put_answer(&question, agent, &answer->steps);
}

static sabot_status answer_pipeline(struct answer *answer, const struct sb_plan_pipeline *pipeline)
{
    const sabot_app *app = answer->run->app;

    if (pipeline->flow == NULL)
        return SABOT_OK; /* nothing was left to do */
    for (uint32_t i = 0; i < pipeline->graph.node_count; i++) {
        const struct sb_node *node = &pipeline->graph.nodes[i];

        for (uint32_t at = 0; node->kind == SB_NODE_TASK && at < app->agent_count; at++) {
            const sabot_agent *agent = app->agents[at];

            if (strcmp(agent->name, node->name) != 0 ||
                (answer->of_windows && agent->window == NULL) ||
                (answer->step != NULL && strcmp(answer->step, node->name) != 0))
                continue;
            SABOT_TRY(answer_agent(answer, pipeline, node, agent));
        }
    }
    return SABOT_OK;
}

static sabot_status fill(struct answer *answer, struct sb_buffer *out)
{
    for (uint32_t i = 0; i < answer->run->plan.pipeline_count; i++)
        SABOT_TRY(answer_pipeline(answer, &answer->run->plan.pipelines[i]));
    SABOT_TRY(sb_buffer_append(&answer->text, "", 1));
    SABOT_TRY(sb_buffer_format(out, "\"text\":"));
    SABOT_TRY(sb_control_quote(out, (const char *)answer->text.data));
    SABOT_TRY(sb_buffer_format(out, ",\"steps\":["));
    SABOT_TRY(sb_buffer_append(out, answer->steps.data, answer->steps.size));
    return sb_buffer_format(out, "]");
}

sabot_status sb_why_serve(void *context, struct sb_control_request *request, sabot_error *error)
{
    const sabot_run *run = context;
    const char *of = sb_control_argument(request, "of");
    struct answer answer = {
        .run = run,
        .of_windows = of != NULL && strcmp(of, "window") == 0,
        .step = sb_control_argument(request, "step"),
    };
    sabot_status status;

    sb_buffer_init(&answer.text, run->env);
    sb_buffer_init(&answer.steps, run->env);
    status = fill(&answer, &request->answer);
    sb_buffer_reset(&answer.text);
    sb_buffer_reset(&answer.steps);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "no memory for an answer");
    if (answer.found > 0)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_NOT_FOUND, "app %s runs no %s%s%s now", run->app->name,
                       answer.of_windows ? "window" : "agent or window",
                       answer.step == NULL ? "" : " ", answer.step == NULL ? "" : answer.step);
}
