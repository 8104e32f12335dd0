/* SPDX-License-Identifier: Apache-2.0 */
/* config_file.c - what the configuration reads from files: whole YAML files, and values "@PATH".
 *
 * A YAML file is taken as a whole or not at all: it is loaded into a copy, which takes the place of
 * the configuration when every line of it is right.
 * Threads: one at a time. Memory: the file while it is read, overwritten before it is given back.
 */
#include <stdio.h>
#include <string.h>

#include "api/config_parts.h"
#include "api/yaml.h"

/* A file as a whole; it may be a pipe. At most one byte more than `size_max` is read. */
static sabot_status read_file(const struct sb_env *env,
                              const char *path,
                              size_t size_max,
                              struct sb_buffer *contents,
                              sabot_error *error)
{
    struct sb_file_info info;
    struct sb_file *file;
    sabot_status status;

    status = env->type->path_info(env->self, path, &info, error);
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, status, "%s: no such file", path);
    SABOT_TRY(status);
    if (info.kind == SB_FILE_DIRECTORY)
        return sabot_raise(error, SABOT_ERR_IO, "%s: is a directory", path);
    if (sb_buffer_reserve(contents, size_max + 1) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to read it", path);
    SABOT_TRY(env->type->file_open(env->self, path, SB_OPEN_READ, &file, error));
    status = env->type->file_read(file, contents->data, size_max + 1, -1, &contents->size, error);
    env->type->file_close(env->self, file);
    return status;
}

static void drop_contents(struct sb_buffer *contents)
{
    if (contents->data != NULL)
        memset(contents->data, 0, contents->size);
    sb_buffer_reset(contents);
}

/* --- Values ----------------------------------------------------------------------------------- */

/* Cut the end of the last line off, refuse what no value may be. */
static sabot_status trim(struct sb_buffer *contents, const char *path, sabot_error *error)
{
    if (contents->size > SB_CONFIG_VALUE_BYTES_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: has more than %d bytes", path,
                           SB_CONFIG_VALUE_BYTES_MAX);
    if (memchr(contents->data, '\0', contents->size) != NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: has a NUL byte", path);
    if (contents->size > 0 && contents->data[contents->size - 1] == '\n')
        contents->size--;
    if (contents->size > 0 && contents->data[contents->size - 1] == '\r')
        contents->size--;
    return SABOT_OK;
}

sabot_status sb_config_read_value(const struct sb_env *env,
                                  const char *name,
                                  const char *path,
                                  char **text_out,
                                  sabot_error *error)
{
    struct sb_buffer contents;
    sabot_status status;

    sb_buffer_init(&contents, env);
    status = read_file(env, path, SB_CONFIG_VALUE_BYTES_MAX, &contents, error);
    if (status == SABOT_OK)
        status = trim(&contents, path, error);
    if (status == SABOT_OK) {
        *text_out = sb_string_copy_size(env, (const char *)contents.data, contents.size);
        if (*text_out == NULL)
            status = sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", path);
    }
    if (status != SABOT_OK && error != NULL)
        (void)sabot_raise(error, status, "%s: %s", name, error->text);
    drop_contents(&contents);
    return status;
}

/* --- YAML ------------------------------------------------------------------------------------- */

struct loading {
    sabot_config *config;
    const char *path;
};

static sabot_status raise_twice(const char *name, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_CONFIG, "\"%s\" stands in this file twice", name);
}

static sabot_status load_bind(sabot_config *config,
                              const char *channel,
                              const char *url,
                              sabot_error *error)
{
    const struct sb_bound *bound = sb_bound_find(config, channel);

    if (bound != NULL && bound->load == config->loads)
        return raise_twice(channel, error);
    return sb_bound_set(config, channel, url, SABOT_FROM_FILE, config->loads, error);
}

static sabot_status on_scalar(void *context,
                              const char *name,
                              const char *value,
                              size_t line,
                              size_t column,
                              sabot_error *error)
{
    const struct loading *loading = context;
    sabot_config *config = loading->config;
    const struct sb_given *given = sb_given_find(config, name);
    char place[320];

    /* "kafka:" with nothing below it, all of it commented out, is no mistake. */
    if (value == NULL && strchr(name, '.') == NULL && sb_option_is_grouped(name))
        return SABOT_OK;
    if (value == NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%.64s has no value", name);
    if (strncmp(name, "bind.", 5) == 0)
        return load_bind(config, name + 5, value, error);
    if (given != NULL && given->load == config->loads)
        return raise_twice(name, error);
    (void)snprintf(place, sizeof place, "%.256s:%zu:%zu", loading->path, line, column);
    return sb_given_set(config, name, value, SABOT_FROM_FILE, place, error);
}

/* The lists change owners; the environment stays whose it is. */
static void swap_lists(sabot_config *left, sabot_config *right)
{
    const sabot_config before = *left;
    struct sb_env *right_env = right->owned_env;

    SB_ASSERT(left->env == right->env);
    *left = *right;
    *right = before;
    left->owned_env = before.owned_env;
    right->owned_env = right_env;
}

static sabot_status load_text(sabot_config *config,
                              const char *path,
                              const struct sb_buffer *text,
                              sabot_error *error)
{
    sabot_config *copy;
    sabot_status status;

    SABOT_TRY(sb_config_clone(config, config->env, &copy, error));
    copy->loads++;
    status = sb_yaml_read(path, (const char *)text->data, text->size, on_scalar,
                          &(struct loading){.config = copy, .path = path}, error);
    if (status == SABOT_OK)
        swap_lists(config, copy);
    sabot_config_destroy(copy);
    return status;
}

sabot_status sabot_config_load(sabot_config *config, const char *path, sabot_error *error)
{
    struct sb_buffer text;
    sabot_status status;

    sb_config_check(config);
    SB_ASSERT(config->declared == NULL);
    sb_buffer_init(&text, config->env);
    status = read_file(config->env, path, SB_YAML_BYTES_MAX, &text, error);
    if (status == SABOT_OK)
        status = load_text(config, path, &text, error);
    drop_contents(&text);
    return status;
}
