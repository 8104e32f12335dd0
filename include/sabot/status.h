/* SPDX-License-Identifier: Apache-2.0 */
/* status.h - how every call of Sabot says what happened.
 *
 * A call returns a sabot_status. When it takes a `sabot_error *` as its last argument, the detail
 * goes there: the same status and a text that says what failed, with which value, where, and what
 * to do.
 *
 * Ownership: a sabot_error is the caller's memory and is never allocated; NULL is allowed
 * everywhere. Threads: everything here is stateless. */
#ifndef SABOT_STATUS_H
#define SABOT_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks on declarations: exported from the library; the result must be looked at; printf-like. */
#if defined(__GNUC__)
#define SABOT_API __attribute__((visibility("default")))
#define SABOT_MUST_CHECK __attribute__((warn_unused_result))
#define SABOT_PRINTF(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#else
#define SABOT_API
#define SABOT_MUST_CHECK
#define SABOT_PRINTF(format_index, first_index)
#endif

/* Every status: name, number, text. Numbers are part of the ABI and never change. */
#define SABOT_STATUS_LIST(X)                                   \
    X(SABOT_OK, 0, "ok")                                       \
    X(SABOT_AGAIN, 1, "not now, try again when woken")         \
    X(SABOT_END, 2, "end of data")                             \
    X(SABOT_ERR_ARGUMENT, 10, "bad argument")                  \
    X(SABOT_ERR_MEMORY, 11, "out of memory")                   \
    X(SABOT_ERR_LIMIT, 12, "a limit was exceeded")             \
    X(SABOT_ERR_STATE, 13, "not allowed now")                  \
    X(SABOT_ERR_FORMAT, 14, "malformed data")                  \
    X(SABOT_ERR_SCHEMA, 15, "data does not fit the schema")    \
    X(SABOT_ERR_NOT_FOUND, 16, "not found")                    \
    X(SABOT_ERR_EXISTS, 17, "exists already")                  \
    X(SABOT_ERR_IO, 18, "input or output failed")              \
    X(SABOT_ERR_UNSUPPORTED, 19, "not supported here")         \
    X(SABOT_ERR_CONFIG, 20, "bad option")                      \
    X(SABOT_ERR_ABI, 21, "built for another version of Sabot") \
    X(SABOT_ERR_BROKER, 22, "the broker refused")              \
    X(SABOT_ERR_FENCED, 23, "another instance has taken over") \
    X(SABOT_ERR_TIMEOUT, 24, "timed out")                      \
    X(SABOT_ERR_USER, 25, "the app's function failed")         \
    X(SABOT_ERR_EMPTY, 26, "empty")                            \
    X(SABOT_ERR_CORRUPT, 27, "stored data is damaged")         \
    X(SABOT_ERR_CLOSED, 28, "closed")                          \
    X(SABOT_ERR_RECOVERY, 29, "going on from the checkpoint needs a decision")

typedef enum sabot_status {
#define SABOT_STATUS_ENUM(name, number, text) name = number,
    SABOT_STATUS_LIST(SABOT_STATUS_ENUM)
#undef SABOT_STATUS_ENUM
} sabot_status;

enum { SABOT_ERROR_TEXT_MAX = 1024 };

/* What went wrong. `retriable`: the same call may work later. `fatal`: the object is of no more
 * use. */
typedef struct sabot_error {
    sabot_status status;
    bool retriable;
    bool fatal;
    char text[SABOT_ERROR_TEXT_MAX]; /* NUL-terminated, never empty when status is an error */
} sabot_error;

/* The name of a status ("SABOT_ERR_IO") and its general text. Never NULL; static memory. */
SABOT_API const char *sabot_status_name(sabot_status status);
SABOT_API const char *sabot_status_text(sabot_status status);

/* Fill `error` (may be NULL) and return `status`, so that a failing function ends with one line:
 *     return sabot_raise(error, SABOT_ERR_IO, "%s: cannot read at byte %zu: %s", ...);
 * A text longer than SABOT_ERROR_TEXT_MAX is cut. */
SABOT_API sabot_status sabot_raise(sabot_error *error, sabot_status status, const char *format, ...)
    SABOT_PRINTF(3, 4);

/* The same with the arguments as a va_list. */
SABOT_API sabot_status sabot_raise_list(sabot_error *error,
                                        sabot_status status,
                                        const char *format,
                                        va_list arguments) SABOT_PRINTF(3, 0);

/* Forward a failure: leaves the calling function with the status unless it is SABOT_OK. */
#define SABOT_TRY(call)                         \
    do {                                        \
        const sabot_status sabot_try_ = (call); \
        if (sabot_try_ != SABOT_OK)             \
            return sabot_try_;                  \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
