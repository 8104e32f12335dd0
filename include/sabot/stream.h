/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - streams: from a channel through named steps to a channel, without a function for each
 * record.
 *
 *     static const sabot_window_spec per_minute = {.kind = SABOT_TUMBLING, .size_ms = 60 * 1000};
 *     static const sabot_window_aggregate counts[] = {
 *         {.function = SABOT_WINDOW_COUNT, .name = "clicks"},
 *     };
 *
 *     sabot_stream *clicks = sabot_stream_key(sabot_stream_from(channel), "user");
 *     sabot_stream *minutes = sabot_stream_window(clicks, "per-minute", &per_minute);
 *
 *     sabot_stream_late(minutes, late_clicks);
 *     sabot_stream_to(sabot_stream_aggregate(minutes, counts, 1), results);
 *
 * A stream is a description, read from the end: each call makes a new one and leaves the one it was
 * given, so that several may go on from it. Nothing runs before the app is built.
 *
 * A step that does work has a name: the id of its state in checkpoints and savepoints, its label in
 * what a worker says, the pipeline's when it comes first. Keep it, and the app may change around
 * it. Names are shared with agents: an app has each once.
 *
 * Errors stick to the app, as everywhere while it is built (app.h), and name the step.
 *
 * Ownership: streams belong to the app. Threads: an app is built by one thread. */
#ifndef SABOT_STREAM_H
#define SABOT_STREAM_H

#include <sabot/window.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sabot_stream sabot_stream;

/* The records of a channel. */
SABOT_API sabot_stream *sabot_stream_from(sabot_channel *channel);

/* The same records, by a field: what follows is done for each of its values apart, in the order of
 * the channel. Any type but float64. */
SABOT_API sabot_stream *sabot_stream_key(sabot_stream *stream, const char *path);

/* Their windows (window.h), for each key. The spec is copied; what it points to must outlive the
 * app. */
SABOT_API sabot_stream *sabot_stream_window(sabot_stream *stream,
                                            const char *name,
                                            const sabot_window_spec *spec);

/* Of windows: records that come too late for any go to this channel, whose records have the same
 * fields; a value that is missing stays missing. Without it they are counted and dropped. */
SABOT_API void sabot_stream_late(sabot_stream *windows, sabot_channel *channel);

/* What is made of the records of each window: one record each time it fires, with the fields key,
 * window_start, window_end, those of the aggregates, window_firing and window_number; the
 * channel it goes to names those that it wants (window.h). Aggregates are copied; their texts must
 * outlive the app. */
SABOT_API sabot_stream *sabot_stream_aggregate(sabot_stream *windows,
                                               const sabot_window_aggregate *aggregates,
                                               size_t aggregate_count);

/* To a channel: the end of the stream. The fields of its schema are found by name; one that the
 * stream doesn't have, or has with another type, fails the app. */
SABOT_API void sabot_stream_to(sabot_stream *stream, sabot_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
