/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - the configuration: what the user said, checked against the option table.
 *
 * A value is kept once, from the highest place that gave one. One whose name is in no group of the
 * table may be an option of an app: it is kept as text, and checked when the app declares it.
 *
 * Invariants (sb_config_check): counts are those of the lists and within their limits; a value of
 * an option that is known is valid for its row. Threads: one at a time. Memory: a block per value,
 * bind and declaration; values are overwritten before their memory is given back, for some are
 * secrets. */
#include "api/config.h"

#include <string.h>

#include "api/config_parts.h"

void sb_config_check(const sabot_config *config)
{
    SB_ASSERT(config->env != NULL);
    SB_ASSERT(config->given_count <= SB_CONFIG_VALUES_MAX);
    SB_ASSERT(config->bound_count <= SB_CONFIG_BINDS_MAX);
    SB_ASSERT(config->declared_count <= SB_CONFIG_DECLARED_MAX);
    SB_ASSERT((config->given == NULL) == (config->given_count == 0));
    SB_ASSERT((config->bound == NULL) == (config->bound_count == 0));
    SB_ASSERT((config->declared == NULL) == (config->declared_count == 0));
}

/* --- Create and destroy ----------------------------------------------------------------------- */

sabot_status sb_config_create(const struct sb_env *env,
                              sabot_config **config_out,
                              sabot_error *error)
{
    sabot_config *config = sb_alloc(env, sizeof *config);

    *config_out = config;
    if (config == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a configuration");
    config->env = env;
    return SABOT_OK;
}

sabot_config *sabot_config_create(sabot_error *error)
{
    struct sb_env *env;
    sabot_config *config;

    if (sb_os_env_create(&env, error) != SABOT_OK)
        return NULL;
    if (sb_config_create(env, &config, error) != SABOT_OK) {
        sb_os_env_destroy(env);
        return NULL;
    }
    config->owned_env = env;
    return config;
}

/* Volatile: the compiler may not leave out stores to memory that is freed next. */
static void forget(char *text)
{
    for (volatile char *at = text; at != NULL && *at != '\0'; at++)
        *at = '*';
}

static void given_free(const struct sb_env *env, struct sb_given *given)
{
    if (given == NULL)
        return;
    forget(given->text);
    sb_string_free(env, given->name);
    sb_string_free(env, given->text);
    sb_string_free(env, given->place);
    sb_free(env, given, sizeof *given);
}

void sabot_config_destroy(sabot_config *config)
{
    struct sb_env *owned_env;

    if (config == NULL)
        return;
    sb_config_check(config);
    for (struct sb_given *at = config->given, *next; at != NULL; at = next) {
        next = at->next;
        given_free(config->env, at);
    }
    for (struct sb_bound *at = config->bound, *next; at != NULL; at = next) {
        next = at->next;
        sb_bound_free(config->env, at);
    }
    for (struct sb_declared *at = config->declared, *next; at != NULL; at = next) {
        next = at->next;
        sb_declared_free(config->env, at);
    }
    owned_env = config->owned_env;
    sb_free(config->env, config, sizeof *config);
    sb_os_env_destroy(owned_env);
}

/* --- Set -------------------------------------------------------------------------------------- */

struct sb_given *sb_given_find(const sabot_config *config, const char *name)
{
    for (struct sb_given *given = config->given; given != NULL; given = given->next) {
        if (strcmp(given->name, name) == 0)
            return given;
    }
    return NULL;
}

static sabot_status raise_memory(sabot_error *error, const char *name)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the option %s", name);
}

sabot_status sb_config_raise_unknown(const sabot_config *config,
                                     const char *name,
                                     sabot_error *error)
{
    struct sb_nearest search = {.wanted = name};

    if (strncmp(name, "bind.", 5) == 0)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "unknown option \"%s\": a channel is bound by --bind %s=URL, or below "
                           "bind: in a file",
                           name, name + 5);
    sb_nearest_look_at_options(&search);
    for (const struct sb_declared *at = config->declared; at != NULL; at = at->next)
        sb_nearest_look(&search, at->option.name);
    if (search.nearest == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "unknown option \"%s\": `sabot options` lists all", name);
    return sabot_raise(error, SABOT_ERR_CONFIG, "unknown option \"%s\": did you mean \"%s\"?", name,
                       search.nearest);
}

/* Secrets are those of the table, and what is passed on under a name that says so. */
static bool is_secret(const struct sb_option *option, const char *name)
{
    const uint32_t flags = option == NULL ? 0 : option->flags;

    return (flags & SB_OPTION_SECRET) != 0 ||
           ((flags & SB_OPTION_PASSED) != 0 &&
            (strstr(name, "password") != NULL || strstr(name, "secret") != NULL));
}

static bool names_file(const char *value)
{
    return value[0] == '@' && value[1] != '@';
}

static sabot_status check_name(const sabot_config *config,
                               const char *name,
                               const char *value,
                               sabot_config_origin origin,
                               sabot_error *error)
{
    const struct sb_option *option;

    if (!sb_option_is_name(name, SB_CONFIG_NAME_MAX))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "\"%.64s\" is no name of an option: letters, digits and . _ - make one",
                           name);
    option = sb_option_find(name);
    if (option == NULL && (strchr(name, '.') == NULL || sb_option_is_grouped(name)))
        return sb_config_raise_unknown(config, name, error);
    if (is_secret(option, name) && origin == SABOT_FROM_OPTION && !names_file(value))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s is a secret, and everybody can read a command line: write %s=@FILE",
                           name, name);
    return SABOT_OK;
}

/* "@PATH" is the contents of a file, "@@text" the text "@text". */
static sabot_status resolve(const struct sb_env *env,
                            const char *name,
                            const char *value,
                            char **text_out,
                            sabot_error *error)
{
    if (names_file(value))
        return sb_config_read_value(env, name, value + 1, text_out, error);
    if (value[0] == '@')
        value++;
    if (strnlen(value, SB_CONFIG_VALUE_BYTES_MAX + 1) > SB_CONFIG_VALUE_BYTES_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: a value of more than %d bytes", name,
                           SB_CONFIG_VALUE_BYTES_MAX);
    *text_out = sb_string_copy(env, value);
    return *text_out == NULL ? raise_memory(error, name) : SABOT_OK;
}

static sabot_status make_given(const struct sb_env *env,
                               const char *name,
                               const char *value,
                               const char *place,
                               struct sb_given **given_out,
                               sabot_error *error)
{
    struct sb_given *given = sb_alloc(env, sizeof *given);
    sabot_status status;

    *given_out = NULL;
    if (given == NULL)
        return raise_memory(error, name);
    given->option = sb_option_find(name);
    given->name = sb_string_copy(env, name);
    given->place = place == NULL ? NULL : sb_string_copy(env, place);
    if (given->name == NULL || (place != NULL && given->place == NULL))
        status = raise_memory(error, name);
    else
        status = resolve(env, name, value, &given->text, error);
    if (status == SABOT_OK && given->option != NULL)
        status = sb_option_parse(given->option, given->text, &given->value, error);
    if (status != SABOT_OK) {
        given_free(env, given);
        return status;
    }
    *given_out = given;
    return SABOT_OK;
}

/* Put a value in the place of an older one that is not from a higher place, or behind the last. */
static sabot_status keep_given(sabot_config *config,
                               struct sb_given *take_given,
                               sabot_error *error)
{
    struct sb_given **at = &config->given;

    while (*at != NULL && strcmp((*at)->name, take_given->name) != 0)
        at = &(*at)->next;
    if (*at == NULL && config->given_count == SB_CONFIG_VALUES_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: more than %d options are given",
                           take_given->name, SB_CONFIG_VALUES_MAX);
    if (*at != NULL && (*at)->origin > take_given->origin) {
        (*at)->load = take_given->load;
        given_free(config->env, take_given);
        return SABOT_OK;
    }
    if (*at == NULL) {
        config->given_count++;
    } else {
        take_given->next = (*at)->next;
        given_free(config->env, *at);
    }
    *at = take_given;
    return SABOT_OK;
}

sabot_status sb_given_set(sabot_config *config,
                          const char *name,
                          const char *value,
                          sabot_config_origin origin,
                          const char *place,
                          sabot_error *error)
{
    struct sb_given *given;

    sb_config_check(config);
    SABOT_TRY(check_name(config, name, value, origin, error));
    SABOT_TRY(make_given(config->env, name, value, place, &given, error));
    SB_ASSERT(given != NULL);
    given->origin = origin;
    given->load = place == NULL ? 0 : config->loads;
    const sabot_status status = keep_given(config, given, error);
    if (status != SABOT_OK)
        given_free(config->env, given);
    sb_config_check(config);
    return status;
}

sabot_status sabot_config_set(sabot_config *config,
                              sabot_config_origin origin,
                              const char *name,
                              const char *value,
                              sabot_error *error)
{
    return sb_given_set(config, name, value, origin, NULL, error);
}

/* --- Clone ------------------------------------------------------------------------------------ */

/* What was read from a file once is not read again. */
static sabot_status clone_given(sabot_config *to, const struct sb_given *from, sabot_error *error)
{
    struct sb_given *given = sb_alloc(to->env, sizeof *given);
    sabot_status status = SABOT_OK;

    if (given == NULL)
        return raise_memory(error, from->name);
    given->name = sb_string_copy(to->env, from->name);
    given->text = sb_string_copy(to->env, from->text);
    given->place = from->place == NULL ? NULL : sb_string_copy(to->env, from->place);
    given->option = sb_option_find(from->name);
    given->value = from->value;
    given->origin = from->origin;
    given->load = from->load;
    if (given->name == NULL || given->text == NULL || (from->place != NULL && given->place == NULL))
        status = raise_memory(error, from->name);
    else
        status = keep_given(to, given, error);
    if (status != SABOT_OK)
        given_free(to->env, given);
    return status;
}

static sabot_status clone_lists(sabot_config *to, const sabot_config *from, sabot_error *error)
{
    for (const struct sb_given *at = from->given; at != NULL; at = at->next)
        SABOT_TRY(clone_given(to, at, error));
    for (const struct sb_bound *at = from->bound; at != NULL; at = at->next)
        SABOT_TRY(sb_bound_set(to, at->channel, at->url, at->origin, at->load, error));
    to->loads = from->loads;
    return SABOT_OK;
}

sabot_status sb_config_clone(const sabot_config *config,
                             const struct sb_env *env,
                             sabot_config **config_out,
                             sabot_error *error)
{
    sabot_config *copy;

    sb_config_check(config);
    *config_out = NULL;
    SABOT_TRY(sb_config_create(env, &copy, error));
    const sabot_status status = clone_lists(copy, config, error);
    if (status != SABOT_OK) {
        sabot_config_destroy(copy);
        return status;
    }
    *config_out = copy;
    return SABOT_OK;
}

/* --- Get -------------------------------------------------------------------------------------- */

const char *sabot_config_get(const sabot_config *config, const char *name)
{
    const struct sb_given *given = sb_given_find(config, name);
    const struct sb_declared *declared = sb_declared_find(config, name);
    const struct sb_option *option = declared == NULL ? sb_option_find(name) : &declared->option;

    if (given != NULL)
        return is_secret(option, name) ? "***" : given->text;
    return option == NULL || *option->default_value == '\0' ? NULL : option->default_value;
}

/* What an option of the table stands at: given, or its default. */
static int64_t number_of(const sabot_config *config, const struct sb_option *option)
{
    const struct sb_given *given = sb_given_find(config, option->name);
    struct sb_option_value value = {0, 0};

    if (given != NULL)
        return given->value.number;
    const sabot_status status = sb_option_parse(option, option->default_value, &value, NULL);
    SB_ASSERT(status == SABOT_OK);
    return value.number;
}

int64_t sb_config_int64(const sabot_config *config, const char *name)
{
    const struct sb_option *option = sb_option_find(name);

    SB_ASSERT(option != NULL);
    SB_ASSERT(option->type == SB_OPTION_INT || option->type == SB_OPTION_BYTES);
    return number_of(config, option);
}

bool sb_config_bool(const sabot_config *config, const char *name)
{
    const struct sb_option *option = sb_option_find(name);

    SB_ASSERT(option != NULL && option->type == SB_OPTION_BOOL);
    return number_of(config, option) != 0;
}

size_t sb_config_enum(const sabot_config *config, const char *name)
{
    const struct sb_option *option = sb_option_find(name);

    SB_ASSERT(option != NULL && option->type == SB_OPTION_ENUM);
    return (size_t)number_of(config, option);
}

const char *sb_config_text(const sabot_config *config, const char *name)
{
    const struct sb_option *option = sb_option_find(name);
    const struct sb_given *given = sb_given_find(config, name);
    const char *text;

    SB_ASSERT(option != NULL && (option->type == SB_OPTION_TEXT || option->type == SB_OPTION_ENUM));
    text = given == NULL ? option->default_value : given->text;
    return *text == '\0' ? NULL : text;
}

bool sb_config_is_given(const sabot_config *config, const char *name)
{
    return sb_given_find(config, name) != NULL;
}

sabot_status sb_config_each(const sabot_config *config,
                            const char *group,
                            sb_config_each_function each,
                            void *context,
                            sabot_error *error)
{
    const size_t size = strlen(group);

    for (const struct sb_given *given = config->given; given != NULL; given = given->next) {
        if (given->option != NULL && (given->option->flags & SB_OPTION_PASSED) != 0 &&
            strncmp(given->name, group, size) == 0 && given->name[size] == '.')
            SABOT_TRY(each(context, given->name + size + 1, given->text, error));
    }
    return SABOT_OK;
}
