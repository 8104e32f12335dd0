/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_config.c - a configuration file of any bytes: taken or refused with a place, never half
 * taken.
 *
 * Values that name files ("@PATH") are left out: they would read whatever is on the machine. */
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "api/options.h"
#include "api/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sabot_status on_scalar(void *context,
                              const char *name,
                              const char *value,
                              size_t line,
                              size_t column,
                              sabot_error *error)
{
    sabot_config *config = context;
    sabot_status status = SABOT_OK;

    SB_ASSERT(line > 0 && column > 0);
    SB_ASSERT(strlen(name) <= SB_YAML_NAME_MAX);
    if (value == NULL || value[0] == '@')
        return SABOT_OK;
    if (strncmp(name, "bind.", 5) == 0)
        status = sabot_config_bind(config, name + 5, value, error);
    else
        status = sabot_config_set(config, SABOT_FROM_FILE, name, value, error);
    /* Go on behind a mistake, to see more of the file. */
    SB_ASSERT(status == SABOT_OK || error->text[0] != '\0');
    return SABOT_OK;
}

/* What was taken can be read back, copied, and declared by an app. */
static void look_at(const sabot_config *config, const struct sb_env *env)
{
    sabot_config *copy;
    sabot_option option;
    const char *text;

    for (size_t i = 0; sabot_option_at(i, &option); i++)
        (void)sabot_config_get(config, option.name);
    SB_ASSERT(sb_config_int64(config, "threads") >= 1 && sb_config_int64(config, "threads") <= 64);
    SB_ASSERT(sb_config_enum(config, "log.level") <= SABOT_LOG_DEBUG);
    if (sb_config_clone(config, env, &copy, NULL) != SABOT_OK)
        abort();
    if (sb_config_declare_text(copy, "a", "b", "c", "d", &text, NULL) != SABOT_OK)
        abort();
    const sabot_status status = sb_config_check_unused(copy, "a", NULL);
    SB_ASSERT(status == SABOT_OK || status == SABOT_ERR_CONFIG);
    sabot_config_destroy(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_env *env;
    sabot_config *config;
    sabot_error error;

    if (sb_os_env_create(&env, NULL) != SABOT_OK ||
        sb_config_create(env, &config, NULL) != SABOT_OK)
        abort();
    if (sb_yaml_read("x", (const char *)data, size, on_scalar, config, &error) != SABOT_OK)
        SB_ASSERT(strncmp(error.text, "x:", 2) == 0);
    look_at(config, env);
    sabot_config_destroy(config);
    sb_os_env_destroy(env);
    return 0;
}
