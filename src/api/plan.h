/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - from an app to pipelines: which channels must be opened, which agents run together.
 *
 * A `memory:` channel that agents of the app both write and read is an exchange inside of a
 * pipeline: batches pass by reference, and no channel is opened for it. Every other channel is
 * opened once for the run.
 *
 * Agents are in one pipeline when they read the same channel, write the same channel, one reads
 * such an exchange that the other writes, or one uses the other's state. So a channel has one
 * reader per worker and is decoded once, and a pipeline is what can be kept consistent as a whole
 * (design: "the unit of consistency"). Agents that only meet at a topic or a file are pipelines of
 * their own.
 *
 * Ownership: the plan owns channels and graphs; the app outlives it. Threads: the run's control. */
#ifndef SB_API_PLAN_H
#define SB_API_PLAN_H

#include "api/app.h"
#include "api/recovery.h"
#include "api/state_db.h"
#include "api/stream.h"
#include "flow/flow.h"

/* A channel of the app in this run. */
struct sb_plan_channel {
    const sabot_channel *declared;
    bool is_read;    /* by agents */
    bool is_written; /* by agents */
    bool is_inside;  /* an exchange: never opened */
    bool feeds_table;
    const struct sb_channel_type *type;
    struct sb_channel *channel; /* NULL: not open */
    bool ready;                 /* prepared */
};

#define SB_PLAN_NO_NODE UINT32_MAX

struct sb_plan_pipeline {
    char name[SABOT_NAME_MAX + 1]; /* of its first agent */
    struct sb_graph graph;
    bool is_made;
    struct sb_flow *flow; /* NULL: not made, or nothing was left to do */
    struct sb_recovery recovery;
    struct sb_state_db db; /* of states that aren't kept in memory */
    uint32_t *nodes;       /* by channel: its sink in the graph, or SB_PLAN_NO_NODE */
};

/* What the operator of an agent runs by. */
struct sb_plan_settings {
    struct sb_keyed_settings keyed;
    struct sb_process_settings process; /* or */
    struct sb_window_settings window;
};

struct sb_plan {
    const struct sb_env *env;
    const sabot_app *app;
    struct sb_plan_channel *channels; /* as many as the app's, in its order */
    struct sb_plan_pipeline *pipelines;
    uint32_t pipeline_count;
    struct sb_plan_settings *settings; /* one an agent */
    struct sb_account *account;        /* of all keyed state */
};

/* Decide, and open the channels: no I/O that can wait. `waker` is woken when a channel has come a
 * step further. SABOT_ERR_CONFIG: a URL is wrong; SABOT_ERR_ARGUMENT: agents in a circle. */
SABOT_MUST_CHECK sabot_status sb_plan_init(struct sb_plan *plan,
                                           const sabot_app *app,
                                           struct sb_log *log,
                                           struct sb_waker *waker,
                                           sabot_error *error);
void sb_plan_reset(struct sb_plan *plan);

/* SABOT_OK: all channels are ready, and fit together. SABOT_AGAIN: not yet. */
SABOT_MUST_CHECK sabot_status sb_plan_prepare(struct sb_plan *plan, sabot_error *error);

/* Make the flows; the channels are ready. `owner` is woken when a worker comes to rest.
 * SABOT_AGAIN: a pipeline finds out what it goes on from; call again when `owner` is woken. */
SABOT_MUST_CHECK sabot_status sb_plan_flows(struct sb_plan *plan,
                                            struct sb_waker *owner,
                                            sabot_error *error);
/* Destroy them, whatever they do. */
void sb_plan_drop_flows(struct sb_plan *plan);

/* With checkpoints, and where there are transactions, records wait for theirs. */
bool sb_plan_stages(const struct sb_plan_channel *channel);

/* Do embedded channels lead from an agent back to itself? A bounded log may then stand still for
 * ever: SABOT_ERR_ARGUMENT names the agents. (A circle without a log is the graph's to refuse.) */
SABOT_MUST_CHECK sabot_status sb_plan_check_circles(const struct sb_plan *plan, sabot_error *error);

/* How the channel of an app is opened in this run (open.c). `append`: what it holds stays. */
SABOT_MUST_CHECK sabot_status sb_open_channel(const sabot_app *app,
                                              const sabot_channel *declared,
                                              bool for_reading,
                                              bool for_writing,
                                              bool append,
                                              struct sb_log *log,
                                              struct sb_waker *waker,
                                              const struct sb_channel_type **type_out,
                                              struct sb_channel **channel_out,
                                              sabot_error *error);

#endif
