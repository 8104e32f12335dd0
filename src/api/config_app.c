/* SPDX-License-Identifier: Apache-2.0 */
/* config_app.c - options that an app declares while it is built: "fraud.count".
 *
 * Each becomes a row like those of the option table, and what the user gave under that name is
 * checked against it, late, with the place where it was given.
 * Threads: one at a time. Memory: a block per option, and its texts. */
#include <float.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/config_parts.h"
#include "base/parse.h"

enum { NUMBER_SIZE = SB_FLOAT64_TEXT_SIZE, RANGE_SIZE = 2 * NUMBER_SIZE + 2 };

struct sb_declared *sb_declared_find(const sabot_config *config, const char *name)
{
    for (struct sb_declared *at = config->declared; at != NULL; at = at->next) {
        if (strcmp(at->option.name, name) == 0)
            return at;
    }
    return NULL;
}

void sb_declared_free(const struct sb_env *env, struct sb_declared *declared)
{
    if (declared == NULL)
        return;
    sb_string_free(env, (char *)declared->option.name);
    sb_string_free(env, (char *)declared->option.range);
    sb_string_free(env, (char *)declared->option.default_value);
    sb_string_free(env, (char *)declared->option.doc);
    sb_free(env, declared, sizeof *declared);
}

/* --- Declaring -------------------------------------------------------------------------------- */

/* "fraud.count" from "fraud" and "count". */
static sabot_status make_name(const sabot_config *config,
                              const char *app,
                              const char *name,
                              char full_out[SB_CONFIG_NAME_MAX + 1],
                              sabot_error *error)
{
    const int size = snprintf(full_out, SB_CONFIG_NAME_MAX + 1, "%s.%s", app, name);

    if (!sb_option_is_name(name, SB_CONFIG_NAME_MAX) || size > SB_CONFIG_NAME_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "option \"%.64s\": a name is made of letters, digits and . _ -, at most "
                           "%d of them with that of the app",
                           name, SB_CONFIG_NAME_MAX);
    if (sb_option_is_grouped(full_out))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "option %s: an app of this name can have no options, for Sabot has some "
                           "that begin so: give the app another name",
                           full_out);
    if (sb_declared_find(config, full_out) != NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG, "option %s: declared twice", full_out);
    if (config->declared_count == SB_CONFIG_DECLARED_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "option %s: an app can have %d", full_out,
                           SB_CONFIG_DECLARED_MAX);
    return SABOT_OK;
}

static struct sb_declared *make_declared(const struct sb_env *env,
                                         const char *name,
                                         const struct sb_option *row)
{
    struct sb_declared *declared = sb_alloc(env, sizeof *declared);

    if (declared == NULL)
        return NULL;
    declared->option = (struct sb_option){
        .name = sb_string_copy(env, name),
        .type = row->type,
        .unit = "",
        .range = sb_string_copy(env, row->range),
        .default_value = sb_string_copy(env, row->default_value),
        .doc = sb_string_copy(env, row->doc),
    };
    if (declared->option.name == NULL || declared->option.range == NULL ||
        declared->option.default_value == NULL || declared->option.doc == NULL) {
        sb_declared_free(env, declared);
        return NULL;
    }
    return declared;
}

/* Check what was given before anybody knew its type. */
static sabot_status check_given(const struct sb_option *option,
                                struct sb_given *given,
                                sabot_error *error)
{
    const sabot_status status = sb_option_parse(option, given->text, &given->value, error);

    if (status != SABOT_OK && given->place != NULL && error != NULL)
        (void)sabot_raise(error, status, "%s: %s", given->place, error->text);
    given->option = status == SABOT_OK ? option : NULL;
    return status;
}

/* `row`: type, range, default and doc of the option. The value of it, and its text. */
static sabot_status declare(sabot_config *config,
                            const char *app,
                            const char *name,
                            const struct sb_option *row,
                            struct sb_option_value *value_out,
                            const char **text_out,
                            sabot_error *error)
{
    char full[SB_CONFIG_NAME_MAX + 1];
    struct sb_declared **end = &config->declared;
    struct sb_declared *declared;
    struct sb_given *given;

    sb_config_check(config);
    SABOT_TRY(make_name(config, app, name, full, error));
    if (sb_option_parse(row, row->default_value, value_out, NULL) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_CONFIG, "option %s: its default %s is not in %s", full,
                           row->default_value, row->range);
    declared = make_declared(config->env, full, row);
    if (declared == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "option %s: no memory", full);
    while (*end != NULL)
        end = &(*end)->next;
    *end = declared;
    config->declared_count++;

    *text_out = declared->option.default_value;
    given = sb_given_find(config, full);
    if (given == NULL)
        return SABOT_OK;
    SABOT_TRY(check_given(&declared->option, given, error));
    *value_out = given->value;
    *text_out = given->text;
    return SABOT_OK;
}

/* An end of a range that bounds nothing is not written. */
static void write_end(char text_out[NUMBER_SIZE], int64_t number)
{
    text_out[0] = '\0';
    if (number != INT64_MIN && number != INT64_MAX)
        (void)snprintf(text_out, NUMBER_SIZE, "%" PRId64, number);
}

sabot_status sb_config_declare_int64(sabot_config *config,
                                     const char *app,
                                     const char *name,
                                     int64_t default_value,
                                     int64_t min,
                                     int64_t max,
                                     const char *doc,
                                     int64_t *value_out,
                                     sabot_error *error)
{
    char low[NUMBER_SIZE], high[NUMBER_SIZE], default_text[NUMBER_SIZE], range[RANGE_SIZE];
    struct sb_option_value value;
    const char *text = NULL;

    write_end(low, min);
    write_end(high, max);
    (void)snprintf(range, sizeof range, "%s..%s", low, high);
    (void)snprintf(default_text, sizeof default_text, "%" PRId64, default_value);
    SABOT_TRY(declare(config, app, name,
                      &(struct sb_option){.type = SB_OPTION_INT,
                                          .range = strcmp(range, "..") == 0 ? "" : range,
                                          .default_value = default_text,
                                          .doc = doc == NULL ? "" : doc},
                      &value, &text, error));
    *value_out = value.number;
    return SABOT_OK;
}

sabot_status sb_config_declare_float64(sabot_config *config,
                                       const char *app,
                                       const char *name,
                                       double default_value,
                                       double min,
                                       double max,
                                       const char *doc,
                                       double *value_out,
                                       sabot_error *error)
{
    char low[NUMBER_SIZE] = "", high[NUMBER_SIZE] = "", default_text[NUMBER_SIZE];
    char range[RANGE_SIZE];
    struct sb_option_value value;
    const char *text = NULL;

    if (min > -DBL_MAX)
        sb_write_float64(low, min);
    if (max < DBL_MAX)
        sb_write_float64(high, max);
    (void)snprintf(range, sizeof range, "%s..%s", low, high);
    sb_write_float64(default_text, default_value);
    SABOT_TRY(declare(config, app, name,
                      &(struct sb_option){.type = SB_OPTION_FLOAT,
                                          .range = strcmp(range, "..") == 0 ? "" : range,
                                          .default_value = default_text,
                                          .doc = doc == NULL ? "" : doc},
                      &value, &text, error));
    *value_out = value.real;
    return SABOT_OK;
}

sabot_status sb_config_declare_bool(sabot_config *config,
                                    const char *app,
                                    const char *name,
                                    bool default_value,
                                    const char *doc,
                                    bool *value_out,
                                    sabot_error *error)
{
    struct sb_option_value value;
    const char *text = NULL;

    SABOT_TRY(declare(config, app, name,
                      &(struct sb_option){.type = SB_OPTION_BOOL,
                                          .range = "",
                                          .default_value = default_value ? "true" : "false",
                                          .doc = doc == NULL ? "" : doc},
                      &value, &text, error));
    *value_out = value.number != 0;
    return SABOT_OK;
}

sabot_status sb_config_declare_text(sabot_config *config,
                                    const char *app,
                                    const char *name,
                                    const char *default_value,
                                    const char *doc,
                                    const char **value_out,
                                    sabot_error *error)
{
    struct sb_option_value value;
    const char *text = NULL;

    SABOT_TRY(
        declare(config, app, name,
                &(struct sb_option){.type = SB_OPTION_TEXT,
                                    .range = "",
                                    .default_value = default_value == NULL ? "" : default_value,
                                    .doc = doc == NULL ? "" : doc},
                &value, &text, error));
    SB_ASSERT(text != NULL);
    /* NULL and "" differ as a default, and look the same in the table. */
    *value_out = *text == '\0' && default_value == NULL ? NULL : text;
    return SABOT_OK;
}

bool sb_config_declared_at(const sabot_config *config, size_t index, sabot_option *option_out)
{
    const struct sb_declared *declared = config->declared;

    for (; declared != NULL && index > 0; index--)
        declared = declared->next;
    if (declared == NULL)
        return false;
    *option_out = sb_option_show(&declared->option);
    return true;
}

/* --- Names that nobody knows ------------------------------------------------------------------ */

sabot_status sb_config_check_unused(const sabot_config *config, const char *app, sabot_error *error)
{
    for (const struct sb_given *given = config->given; given != NULL; given = given->next) {
        if (given->option != NULL)
            continue;
        (void)sb_config_raise_unknown(config, given->name, error);
        if (error != NULL && config->declared == NULL)
            (void)sabot_raise(error, SABOT_ERR_CONFIG, "%s (the app %s has no options)",
                              error->text, app);
        if (error != NULL && given->place != NULL)
            (void)sabot_raise(error, SABOT_ERR_CONFIG, "%s: %s", given->place, error->text);
        return SABOT_ERR_CONFIG;
    }
    return SABOT_OK;
}
