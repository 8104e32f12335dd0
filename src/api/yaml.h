/* SPDX-License-Identifier: Apache-2.0 */
/* yaml.h - a configuration file as a run of (dotted name, text).
 *
 *     errors.decode: skip            errors.decode = skip
 *     kafka:
 *       linger.ms: 5                 kafka.linger.ms = 5
 *
 * The part of YAML that is needed: one document, maps, and scalars, which are texts here: what
 * their type is, the option knows. Lists, anchors, aliases, tags and several documents are refused.
 *
 * Ownership: texts are valid during the call. Threads: none but the caller's. */
#ifndef SB_API_YAML_H
#define SB_API_YAML_H

#include <sabot/status.h>

enum {
    SB_YAML_BYTES_MAX = 1024 * 1024, /* of a file */
    SB_YAML_DEPTH_MAX = 16,          /* of maps */
    SB_YAML_NAME_MAX = 512,          /* bytes of a dotted name */
};

/* One scalar. `value` NULL: nothing, null or ~ stands there. Errors of it get the place in front.
 */
typedef sabot_status (*sb_yaml_function)(void *context,
                                         const char *name,
                                         const char *value,
                                         size_t line,
                                         size_t column,
                                         sabot_error *error);

/* Show each scalar of `text` in order; `path` is for errors. SABOT_ERR_CONFIG names line and
 * column: "sabot.yaml:3:5: ..."; SABOT_ERR_MEMORY. Stops at, and returns, what is not SABOT_OK. */
SABOT_MUST_CHECK sabot_status sb_yaml_read(const char *path,
                                           const char *text,
                                           size_t size,
                                           sb_yaml_function each,
                                           void *context,
                                           sabot_error *error);

#endif
