/* SPDX-License-Identifier: Apache-2.0 */
/* config_bind.c - which channel of the app is where: --bind, and `bind:` of a file.
 *
 * Only the form is checked here. Whether the app has that channel, and what the URL means, is seen
 * when the run is made.
 * Threads: one at a time. Memory: a block per channel. */
#include <string.h>

#include "api/config_parts.h"
#include "channel/url.h"

struct sb_bound *sb_bound_find(const sabot_config *config, const char *channel)
{
    for (struct sb_bound *bound = config->bound; bound != NULL; bound = bound->next) {
        if (strcmp(bound->channel, channel) == 0)
            return bound;
    }
    return NULL;
}

void sb_bound_free(const struct sb_env *env, struct sb_bound *bound)
{
    if (bound == NULL)
        return;
    sb_string_free(env, bound->channel);
    sb_string_free(env, bound->url);
    sb_free(env, bound, sizeof *bound);
}

static sabot_status check_form(const char *channel, const char *url, sabot_error *error)
{
    if (!sb_option_is_name(channel, SABOT_NAME_MAX))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "bind: \"%.64s\" is no name of a channel: letters, digits and . _ - "
                           "make one",
                           channel);
    if (sb_url_scheme(url) == 0 || strlen(url) > SB_URL_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "bind: %s=%.128s: not the URL of a channel: write scheme:rest, as in "
                           "file:data.jsonl",
                           channel, url);
    return SABOT_OK;
}

static struct sb_bound *make_bound(const struct sb_env *env, const char *channel, const char *url)
{
    struct sb_bound *bound = sb_alloc(env, sizeof *bound);

    if (bound == NULL)
        return NULL;
    bound->channel = sb_string_copy(env, channel);
    bound->url = sb_string_copy(env, url);
    if (bound->channel == NULL || bound->url == NULL) {
        sb_bound_free(env, bound);
        return NULL;
    }
    return bound;
}

sabot_status sb_bound_set(sabot_config *config,
                          const char *channel,
                          const char *url,
                          sabot_config_origin origin,
                          uint64_t load,
                          sabot_error *error)
{
    struct sb_bound **at = &config->bound;
    struct sb_bound *bound;

    SABOT_TRY(check_form(channel, url, error));
    while (*at != NULL && strcmp((*at)->channel, channel) != 0)
        at = &(*at)->next;
    if (*at != NULL && (*at)->origin > origin) {
        (*at)->load = load;
        return SABOT_OK;
    }
    if (*at == NULL && config->bound_count == SB_CONFIG_BINDS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "bind: %s: more than %d channels are bound",
                           channel, SB_CONFIG_BINDS_MAX);
    bound = make_bound(config->env, channel, url);
    if (bound == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "bind: %s: no memory", channel);
    bound->origin = origin;
    bound->load = load;
    if (*at == NULL) {
        config->bound_count++;
    } else {
        bound->next = (*at)->next;
        sb_bound_free(config->env, *at);
    }
    *at = bound;
    return SABOT_OK;
}

sabot_status sabot_config_bind(sabot_config *config,
                               const char *channel,
                               const char *url,
                               sabot_error *error)
{
    sb_config_check(config);
    return sb_bound_set(config, channel, url, SABOT_FROM_OPTION, 0, error);
}

const char *sb_config_bound(const sabot_config *config, const char *channel)
{
    const struct sb_bound *bound = sb_bound_find(config, channel);

    return bound == NULL ? NULL : bound->url;
}

bool sb_config_bind_at(const sabot_config *config,
                       size_t index,
                       const char **channel_out,
                       const char **url_out)
{
    const struct sb_bound *bound = config->bound;

    for (; bound != NULL && index > 0; index--)
        bound = bound->next;
    if (bound == NULL)
        return false;
    *channel_out = bound->channel;
    *url_out = bound->url;
    return true;
}
