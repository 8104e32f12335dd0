/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - the configuration to the rest of the library: typed values, options of the app, binds.
 *
 * A configuration begins as what the user said (run.h: set, bind, load), each value checked against
 * the one option table (options.h) when it is set. A run takes a clone; while the app is built, it
 * declares its own options there and reads them; afterwards sb_config_check_unused() refuses what
 * nobody knows. From then on it is only read.
 *
 * Ownership: texts are the configuration's, valid until it changes or is destroyed.
 * Threads: one at a time; reading by several threads at once is fine. */
#ifndef SB_API_CONFIG_H
#define SB_API_CONFIG_H

#include <sabot/run.h>

#include "base/env.h"

enum {
    SB_CONFIG_VALUES_MAX = 4096,           /* options set */
    SB_CONFIG_BINDS_MAX = 1024,            /* channels bound */
    SB_CONFIG_DECLARED_MAX = 256,          /* options of an app */
    SB_CONFIG_NAME_MAX = 256,              /* bytes of an option's name */
    SB_CONFIG_VALUE_BYTES_MAX = 64 * 1024, /* bytes of a value, also of one from a file */
};

/* The same as sabot_config_create() in a given environment, which must outlive it. */
SABOT_MUST_CHECK sabot_status sb_config_create(const struct sb_env *env,
                                               sabot_config **config_out,
                                               sabot_error *error);

/* A copy in the environment `env`, without the options that an app has declared. */
SABOT_MUST_CHECK sabot_status sb_config_clone(const sabot_config *config,
                                              const struct sb_env *env,
                                              sabot_config **config_out,
                                              sabot_error *error);

/* --- Values of the table -------------------------------------------------------------------------
 *
 * `name` must be in the table and of that type (asserted). What the user gave, else the default. */
int64_t sb_config_int64(const sabot_config *config, const char *name); /* int, bytes */
bool sb_config_bool(const sabot_config *config, const char *name);
/* NULL when not given and without a default. Secrets in plain: never print it. */
const char *sb_config_text(const sabot_config *config, const char *name);
/* The place of the word in the range of the table: "fail|skip" is 0 or 1. */
size_t sb_config_enum(const sabot_config *config, const char *name);
/* Did the user give it? */
bool sb_config_is_given(const sabot_config *config, const char *name);

/* Values of options that are passed through (their row is "<group>.*"), in the order they were
 * first given; `name` without the group. Stops at, and returns, what is not SABOT_OK. Secrets in
 * plain. */
typedef sabot_status (*sb_config_each_function)(void *context,
                                                const char *name,
                                                const char *value,
                                                sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_config_each(const sabot_config *config,
                                             const char *group,
                                             sb_config_each_function each,
                                             void *context,
                                             sabot_error *error);

/* --- Options of the app --------------------------------------------------------------------------
 *
 * Declare "<app>.<name>" and get its value. SABOT_ERR_CONFIG: a name that is not allowed, or was
 * declared before; a default out of the range; what the user gave is of the wrong type or out of
 * range. */
SABOT_MUST_CHECK sabot_status sb_config_declare_int64(sabot_config *config,
                                                      const char *app,
                                                      const char *name,
                                                      int64_t default_value,
                                                      int64_t min,
                                                      int64_t max,
                                                      const char *doc,
                                                      int64_t *value_out,
                                                      sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_config_declare_float64(sabot_config *config,
                                                        const char *app,
                                                        const char *name,
                                                        double default_value,
                                                        double min,
                                                        double max,
                                                        const char *doc,
                                                        double *value_out,
                                                        sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_config_declare_bool(sabot_config *config,
                                                     const char *app,
                                                     const char *name,
                                                     bool default_value,
                                                     const char *doc,
                                                     bool *value_out,
                                                     sabot_error *error);
/* `default_value` may be NULL; the value is as valid as the configuration. */
SABOT_MUST_CHECK sabot_status sb_config_declare_text(sabot_config *config,
                                                     const char *app,
                                                     const char *name,
                                                     const char *default_value,
                                                     const char *doc,
                                                     const char **value_out,
                                                     sabot_error *error);

/* Declared options, in order, for --help. False past the end. */
bool sb_config_declared_at(const sabot_config *config, size_t index, sabot_option *option_out);

/* After the build: every value given must be known by now. SABOT_ERR_CONFIG names the first that is
 * not, and the nearest name. */
SABOT_MUST_CHECK sabot_status sb_config_check_unused(const sabot_config *config,
                                                     const char *app,
                                                     sabot_error *error);

/* --- Binds ---------------------------------------------------------------------------------------
 */

/* The URL a channel is bound to, NULL: none. */
const char *sb_config_bound(const sabot_config *config, const char *channel);

/* Every bind, so that those which name no channel of the app can be refused. False past the end. */
bool sb_config_bind_at(const sabot_config *config,
                       size_t index,
                       const char **channel_out,
                       const char **url_out);

#endif
