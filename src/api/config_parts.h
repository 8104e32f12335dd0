/* SPDX-License-Identifier: Apache-2.0 */
/* config_parts.h - the parts of the configuration to each other; nobody else includes it.
 *
 * config.c holds values and the handle, config_bind.c binds, config_file.c what is read from files,
 * config_app.c the options of an app. */
#ifndef SB_API_CONFIG_PARTS_H
#define SB_API_CONFIG_PARTS_H

#include "api/config.h"
#include "api/options.h"
#include "base/mem.h"

/* What the user gave for one option. */
struct sb_given {
    struct sb_given *next;
    char *name;
    char *text;                     /* the value; of "@PATH" the contents */
    char *place;                    /* "sabot.yaml:3:5"; NULL: not from a file */
    const struct sb_option *option; /* NULL: not known yet */
    struct sb_option_value value;   /* of `text`, when the option is known */
    sabot_config_origin origin;
    uint64_t load; /* number of the file it was last in; 0: none */
};

struct sb_bound {
    struct sb_bound *next;
    char *channel;
    char *url;
    sabot_config_origin origin;
    uint64_t load;
};

/* An option of the app. The texts of `option` are its own. */
struct sb_declared {
    struct sb_declared *next;
    struct sb_option option;
};

struct sabot_config {
    const struct sb_env *env;
    struct sb_env *owned_env; /* when it was made by sabot_config_create() */
    struct sb_given *given;   /* in the order in which they were first given, as all lists here */
    struct sb_bound *bound;
    struct sb_declared *declared;
    size_t given_count;
    size_t bound_count;
    size_t declared_count;
    uint64_t loads; /* files loaded so far */
};

void sb_config_check(const sabot_config *config);

/* NULL: not given. */
struct sb_given *sb_given_find(const sabot_config *config, const char *name);

/* Check name and value, and keep them unless a higher place gave one. `place` may be NULL. */
SABOT_MUST_CHECK sabot_status sb_given_set(sabot_config *config,
                                           const char *name,
                                           const char *value,
                                           sabot_config_origin origin,
                                           const char *place,
                                           sabot_error *error);

/* NULL: the app has declared no such option. */
struct sb_declared *sb_declared_find(const sabot_config *config, const char *name);
void sb_declared_free(const struct sb_env *env, struct sb_declared *declared);

/* NULL: not bound. */
struct sb_bound *sb_bound_find(const sabot_config *config, const char *channel);
void sb_bound_free(const struct sb_env *env, struct sb_bound *bound);

/* Bind a channel unless a higher place did. `load`: see struct sb_bound. */
SABOT_MUST_CHECK sabot_status sb_bound_set(sabot_config *config,
                                           const char *channel,
                                           const char *url,
                                           sabot_config_origin origin,
                                           uint64_t load,
                                           sabot_error *error);

/* An error that suggests the nearest name. */
sabot_status sb_config_raise_unknown(const sabot_config *config,
                                     const char *name,
                                     sabot_error *error);

/* The contents of the file that a value "@PATH" names, without the end of its last line; freed by
 * sb_string_free(). */
SABOT_MUST_CHECK sabot_status sb_config_read_value(const struct sb_env *env,
                                                   const char *name,
                                                   const char *path,
                                                   char **text_out,
                                                   sabot_error *error);

#endif
