/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - the steps of streams as they were declared, and what becomes of them.
 *
 * A step that does work becomes an agent of the app with an operator of its own in place of a
 * function: it has a name, a channel, a key, states and outputs like any. So pipelines, options for
 * its states, checkpoints and what a worker says of itself know nothing of streams.
 *
 * Ownership: the app's arena, but window plans, which go with the app. Threads: the one that builds
 * the app, then read-only. */
#ifndef SB_API_STREAM_H
#define SB_API_STREAM_H

#include <sabot/stream.h>

#include "op/window.h"

/* A window and its aggregates: one operator. */
struct sb_stream_window {
    sabot_agent *agent; /* that it becomes */
    sabot_window_spec spec;
    const sabot_window_aggregate *aggregates; /* NULL: not yet */
    uint32_t aggregate_count;
    sabot_channel *results; /* NULL: not yet */
    sabot_channel *late;    /* NULL: nowhere */
    struct sb_window_plan *plan;
};

/* The whole app is declared: compile its streams. An error fails the app. */
void sb_app_compile_streams(sabot_app *app);

/* Free what they have made. */
void sb_app_drop_streams(const sabot_app *app);

#endif
