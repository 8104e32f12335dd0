/* SPDX-License-Identifier: Apache-2.0 */
/* setup.c - the configuration of a command, from all its places, and the app. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* NAME=VALUE taken apart. False: there is no such thing in it. */
static bool split(const char *text, char name_out[SABOT_ERROR_TEXT_MAX], const char **value_out)
{
    const size_t size = strcspn(text, "=");

    if (size == 0 || size >= SABOT_ERROR_TEXT_MAX || text[size] != '=')
        return false;
    memcpy(name_out, text, size);
    name_out[size] = '\0';
    *value_out = text + size + 1;
    return true;
}

/* --bind CHANNEL=URL and -O NAME=VALUE. */
static sabot_status apply_pair(sabot_config *config,
                               const struct cli_given *given,
                               sabot_error *error)
{
    char name[SABOT_ERROR_TEXT_MAX];
    const char *value;

    if (!split(given->value, name, &value))
        return sabot_raise(error, SABOT_ERR_CONFIG, "%.256s: expected %s", given->value,
                           given->option->argument);
    if (strcmp(given->option->name, "bind") == 0)
        return sabot_config_bind(config, name, value, error);
    return sabot_config_set(config, SABOT_FROM_OPTION, name, value, error);
}

/* The text begins with the name of the option: say only by which short form it was given. */
static bool fail_option(const struct cli_option *option, const sabot_error *error)
{
    const bool is_bind = strncmp(error->text, "bind: ", 6) == 0;

    if (option->letter != 0)
        (void)cli_fail(0, "-%c: %s", option->letter, error->text);
    else
        (void)cli_fail(0, "--%s: %s", option->name, error->text + (is_bind ? 6 : 0));
    return false;
}

static bool apply_options(sabot_config *config, const struct cli_args *args)
{
    sabot_error error = {.status = SABOT_OK};

    for (size_t i = 0; i < args->given_count; i++) {
        const struct cli_given *given = &args->given[i];
        const struct cli_option *option = given->option;
        sabot_status status = SABOT_OK;

        if (option->sets != NULL)
            status = sabot_config_set(config, SABOT_FROM_OPTION, option->sets,
                                      given->value == NULL ? "true" : given->value, &error);
        else if (strcmp(option->name, "bind") == 0 || strcmp(option->name, "option") == 0)
            status = apply_pair(config, given, &error);
        if (status != SABOT_OK)
            return fail_option(option, &error);
    }
    return true;
}

/* A variable that is set to nothing is not set. */
static const char *variable(const char *name)
{
    const char *value = name == NULL ? NULL : getenv(name);

    return value == NULL || *value == '\0' ? NULL : value;
}

static bool apply_environment(sabot_config *config)
{
    sabot_error error = {.status = SABOT_OK};
    const struct cli_option *option;

    for (size_t i = 0; (option = cli_option_at(i)) != NULL; i++) {
        const char *value = variable(option->environment);

        if (value == NULL || option->sets == NULL)
            continue;
        if (sabot_config_set(config, SABOT_FROM_ENVIRONMENT, option->sets, value, &error) !=
            SABOT_OK) {
            (void)cli_fail(0, "%s: %s", option->environment, error.text);
            return false;
        }
    }
    return true;
}

static bool apply_file(sabot_config *config, const struct cli_args *args)
{
    const char *path = cli_args_value(args, "config");
    sabot_error error = {.status = SABOT_OK};

    if (path == NULL)
        path = variable("SABOT_CONFIG");
    if (path == NULL || sabot_config_load(config, path, &error) == SABOT_OK)
        return true;
    (void)cli_fail(0, "%s", error.text);
    return false;
}

static bool open_app(struct cli_setup *setup, bool is_needed)
{
    const char *app = sabot_config_get(setup->config, "app");
    sabot_error error = {.status = SABOT_OK};

    if (app == NULL || *app == '\0') {
        if (!is_needed)
            return true;
        (void)cli_fail(0, "which app? Name one by -A PATH.so:SYMBOL, or in SABOT_APP");
        return false;
    }
    if (sabot_module_open(app, &setup->module, &setup->entry, &error) == SABOT_OK)
        return true;
    (void)cli_fail(0, "%s", error.text);
    return false;
}

bool cli_setup_init(struct cli_setup *setup, const struct cli_args *args, enum cli_app_need need)
{
    sabot_error error = {.status = SABOT_OK};

    *setup = (struct cli_setup){.config = sabot_config_create(&error)};
    if (setup->config == NULL) {
        (void)cli_fail(0, "%s", error.text);
        return false;
    }
    if (apply_options(setup->config, args) && apply_environment(setup->config) &&
        apply_file(setup->config, args) &&
        (need == CLI_APP_UNUSED || open_app(setup, need == CLI_APP_NEEDED)))
        return true;
    cli_setup_reset(setup);
    return false;
}

void cli_setup_reset(struct cli_setup *setup)
{
    sabot_module_close(setup->module);
    sabot_config_destroy(setup->config);
    *setup = (struct cli_setup){.config = NULL};
}

/* NULL: it has said that none is named. */
static const char *state_dir_of(const struct cli_setup *setup)
{
    const char *state_dir = sabot_config_get(setup->config, "state.dir");

    if (state_dir != NULL && *state_dir != '\0')
        return state_dir;
    (void)cli_fail(0, "which state directory? Name it by --state-dir, or in SABOT_STATE_DIR");
    return NULL;
}

bool cli_absolute(char out[CLI_PATH_SIZE], const char *path)
{
    char here[CLI_PATH_SIZE / 2];
    int size;

    if (path[0] == '/')
        size = snprintf(out, CLI_PATH_SIZE, "%s", path);
    else if (getcwd(here, sizeof here) == NULL)
        size = CLI_PATH_SIZE;
    else
        size = snprintf(out, CLI_PATH_SIZE, "%s/%s", here, path);
    if (size < CLI_PATH_SIZE)
        return true;
    (void)cli_fail(0, "%.200s: the path is too long", path);
    return false;
}

bool cli_state_dir(const struct cli_setup *setup, char path_out[CLI_PATH_SIZE])
{
    const char *state_dir = state_dir_of(setup);

    return state_dir != NULL && cli_absolute(path_out, state_dir);
}

sabot_answer *cli_ask(const struct cli_setup *setup,
                      const char *request,
                      const char *const *arguments,
                      size_t argument_count,
                      int *code_out)
{
    const char *state_dir = state_dir_of(setup);
    const char *app = setup->entry == NULL ? NULL : setup->entry->name;
    sabot_error error = {.status = SABOT_OK};
    sabot_answer *answer;
    sabot_status status;

    *code_out = CLI_NOT_STARTED;
    if (state_dir == NULL)
        return NULL;
    status =
        sabot_control_ask(state_dir, app, request, arguments, argument_count, -1, &answer, &error);
    if (status == SABOT_OK)
        return answer;
    *code_out = status == SABOT_ERR_NOT_FOUND || status == SABOT_ERR_ARGUMENT ? CLI_NOT_STARTED
                                                                              : CLI_FAILED;
    (void)cli_fail(0, "%s", error.text);
    return NULL;
}

sabot_inspection *cli_inspect(const struct cli_setup *setup, const char **state_dir_out)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_inspection *inspection = NULL;

    *state_dir_out = state_dir_of(setup);
    if (*state_dir_out != NULL &&
        sabot_inspection_open(*state_dir_out, &inspection, &error) != SABOT_OK)
        (void)cli_fail(0, "%s", error.text);
    return inspection;
}
