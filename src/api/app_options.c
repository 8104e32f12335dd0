/* SPDX-License-Identifier: Apache-2.0 */
/* app_options.c - what an app lets its user set, for --help and the like.
 *
 * Options are declared while an app is built, so it is built, by itself: no channel is opened.
 * Threads: the caller's. Memory: an environment, a configuration and an app for as long as it
 * takes. */
#include "api/app.h"

static sabot_status show(const struct sb_env *env,
                         const sabot_app_entry *entry,
                         sabot_config *config,
                         sabot_option_function each,
                         void *context,
                         sabot_error *error)
{
    sabot_app *app;
    sabot_option option;

    SABOT_TRY(sb_app_create(env, entry, config, &app, error));
    for (size_t i = 0; sb_config_declared_at(config, i, &option); i++)
        each(context, &option);
    sb_app_destroy(app);
    return SABOT_OK;
}

sabot_status sabot_app_options(const sabot_app_entry *entry,
                               sabot_option_function each,
                               void *context,
                               sabot_error *error)
{
    struct sb_env *env;
    sabot_config *config;
    sabot_status status;

    SABOT_TRY(sb_os_env_create(&env, error));
    status = sb_config_create(env, &config, error);
    if (status == SABOT_OK)
        status = show(env, entry, config, each, context, error);
    sabot_config_destroy(config);
    sb_os_env_destroy(env);
    return status;
}
