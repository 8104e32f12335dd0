/* SPDX-License-Identifier: Apache-2.0 */
/* context.h - what an agent's function may do while it handles a record.
 *
 * Ownership: the context and every pointer got from it are valid until the function returns,
 * whatever else it touches. Threads: the context belongs to the thread that called the function. */
#ifndef SABOT_CONTEXT_H
#define SABOT_CONTEXT_H

#include <sabot/app.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The pointer given to sabot_agent_create(). Several threads may read through it at once: keep
 * handles and settings there, never data that records change. */
SABOT_API void *sabot_user(const sabot_context *context);

/* The value of this key for reading. Never NULL: a key that has no cell yet reads as all zeros.
 * Changing it through a cast is an error that is not noticed. */
SABOT_API const void *sabot_value_read(sabot_context *context, const sabot_value *value);

/* The value of this key for changing in place: made and zeroed at the first call for the key,
 * marked as changed. NULL when there is no memory left; then return sabot_context_status(). */
SABOT_API void *sabot_value_edit(sabot_context *context, const sabot_value *value);

/* Forget the value of this key. Pointers to it are of no more use. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_value_clear(sabot_context *context,
                                                          const sabot_value *value);

/* Send one record, the struct of the output channel's schema, to an output. It is copied, and
 * leaves when the function has returned SABOT_OK; a record whose function fails emits nothing.
 *
 * Returns SABOT_OK
 *         SABOT_ERR_LIMIT     more than SABOT_EMIT_MAX records from one call, or one too large
 *         SABOT_ERR_SCHEMA    a required text is missing, or a text is not UTF-8
 *         SABOT_ERR_MEMORY */
enum { SABOT_EMIT_MAX = 65536 };
SABOT_API SABOT_MUST_CHECK sabot_status sabot_emit(sabot_context *context,
                                                   const sabot_output *output,
                                                   const void *record);

/* Event time of the record (ms), and the watermark at this task: no earlier event is expected.
 * The watermark is INT64_MIN before the first. */
SABOT_API int64_t sabot_event_time_ms(const sabot_context *context);
SABOT_API int64_t sabot_watermark_ms(const sabot_context *context);

/* Where the record came from: partition and offset in its channel. */
SABOT_API int32_t sabot_record_partition(const sabot_context *context);
SABOT_API int64_t sabot_record_offset(const sabot_context *context);

/* The first error of this call (SABOT_OK: none yet), and a way to fail with a text of the app's
 * own. */
SABOT_API sabot_status sabot_context_status(const sabot_context *context);
SABOT_API sabot_status sabot_fail(sabot_context *context,
                                  sabot_status status,
                                  const char *format,
                                  ...) SABOT_PRINTF(3, 4);

/* Write a line to the log of the run, under the agent's name. */
typedef enum sabot_log_level {
    SABOT_LOG_ERROR = 0,
    SABOT_LOG_WARN = 1,
    SABOT_LOG_INFO = 2,
    SABOT_LOG_DEBUG = 3,
} sabot_log_level;

SABOT_API void sabot_log(sabot_context *context, sabot_log_level level, const char *format, ...)
    SABOT_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif
#endif
