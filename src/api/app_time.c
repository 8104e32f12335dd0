/* SPDX-License-Identifier: Apache-2.0 */
/* app_time.c - how the channels of an app tell event time: the public calls, and the options
 * `time.*` and `channels.<channel>.*` that stand behind them and above them.
 *
 * Of each setting the first that is given counts: the channel's option, the app's call, the option
 * for all channels. Threads: the one that builds the app. Memory: none. */
#include <stdio.h>

#include "api/app_parts.h"
#include "api/options.h"

_Static_assert((int)SABOT_FUTURE_PASS == 0 && (int)SABOT_FUTURE_SKIP == 1 &&
                   (int)SABOT_FUTURE_FAIL == 2,
               "the words of the option time.future are in this order");

/* --- The app's calls -----------------------------------------------------------------------------
 */

static bool check_span(sabot_channel *channel, const char *what, int64_t span_ms)
{
    if (channel == NULL || sb_app_failed(channel->app))
        return false;
    if (span_ms < 0)
        (void)sabot_app_fail(channel->app, SABOT_ERR_ARGUMENT,
                             "channel %s: %s of %lld ms: 0 or more", channel->name, what,
                             (long long)span_ms);
    return span_ms >= 0;
}

void sabot_channel_lateness(sabot_channel *channel, int64_t lateness_ms)
{
    if (!check_span(channel, "a lateness", lateness_ms))
        return;
    channel->time.lateness_ms = lateness_ms;
    channel->time_set.lateness = true;
}

void sabot_channel_idle_after(sabot_channel *channel, int64_t idle_after_ms)
{
    if (!check_span(channel, "idle", idle_after_ms))
        return;
    channel->time.idle_after_ms = idle_after_ms;
    channel->time_set.idle_after = true;
}

void sabot_channel_max_future(sabot_channel *channel, int64_t max_future_ms, sabot_future policy)
{
    if (!check_span(channel, "a future", max_future_ms))
        return;
    if ((int)policy < (int)SABOT_FUTURE_PASS || (int)policy > (int)SABOT_FUTURE_FAIL) {
        (void)sabot_app_fail(channel->app, SABOT_ERR_ARGUMENT, "channel %s: %d is no sabot_future",
                             channel->name, (int)policy);
        return;
    }
    channel->time.max_future_ms = max_future_ms;
    channel->time.future = policy;
    channel->time_set.max_future = true;
    channel->time_set.future = true;
}

void sabot_channel_time(sabot_channel *channel, sabot_time_function function, void *user)
{
    if (channel == NULL || sb_app_failed(channel->app))
        return;
    if (function == NULL) {
        (void)sabot_app_fail(channel->app, SABOT_ERR_ARGUMENT,
                             "channel %s: a time without a function", channel->name);
        return;
    }
    channel->time.function = function;
    channel->time.user = user;
}

/* --- Options -------------------------------------------------------------------------------------
 */

enum setting { LATENESS, IDLE_AFTER, MAX_FUTURE, FUTURE, SETTING_COUNT };

static const char *const setting_names[SETTING_COUNT] = {
    [LATENESS] = "time.lateness_ms",
    [IDLE_AFTER] = "time.idle_after_ms",
    [MAX_FUTURE] = "time.max_future_ms",
    [FUTURE] = "time.future",
};

/* "lateness_ms", of a channel's option. */
static const char *short_name(enum setting setting)
{
    return setting_names[setting] + sizeof "time." - 1;
}

static void set(sabot_channel *channel, enum setting setting, int64_t value)
{
    switch (setting) {
    case LATENESS: channel->time.lateness_ms = value; break;
    case IDLE_AFTER: channel->time.idle_after_ms = value; break;
    case MAX_FUTURE: channel->time.max_future_ms = value; break;
    case FUTURE: channel->time.future = (sabot_future)value; break;
    case SETTING_COUNT: break;
    }
}

/* Is `name` "<channel>.<setting>"? A channel's name may have dots. */
static bool names_setting(const char *name, const sabot_channel *channel, enum setting setting)
{
    char full[SABOT_NAME_MAX + SB_CONFIG_NAME_MAX];

    (void)snprintf(full, sizeof full, "%s.%s", channel->name, short_name(setting));
    return strcmp(full, name) == 0;
}

static sabot_status set_one(sabot_channel *channel,
                            enum setting setting,
                            const char *name,
                            const char *value,
                            sabot_error *error)
{
    /* Checked as its row of the table says, under the name that was given. */
    struct sb_option row = *sb_option_find(setting_names[setting]);
    struct sb_option_value parsed;
    char full[SB_CONFIG_NAME_MAX + sizeof "channels."];

    (void)snprintf(full, sizeof full, "channels.%s", name);
    row.name = full;
    SABOT_TRY(sb_option_parse(&row, value, &parsed, error));
    set(channel, setting, parsed.number);
    return SABOT_OK;
}

/* One option of the group. */
static sabot_status set_for_channel(void *context,
                                    const char *name,
                                    const char *value,
                                    sabot_error *error)
{
    sabot_app *app = context;

    for (uint32_t i = 0; i < app->channel_count; i++) {
        for (int setting = 0; setting < SETTING_COUNT; setting++) {
            if (names_setting(name, app->channels[i], (enum setting)setting))
                return set_one(app->channels[i], (enum setting)setting, name, value, error);
        }
    }
    return sabot_raise(error, SABOT_ERR_CONFIG,
                       "channels.%s=%s: the app has no such channel, or there is no such setting: "
                       "channels.CHANNEL.lateness_ms, idle_after_ms, max_future_ms or future",
                       name, value);
}

void sb_app_set_time(sabot_app *app)
{
    const sabot_config *config = app->config;
    sabot_error error;

    for (uint32_t i = 0; i < app->channel_count; i++) {
        sabot_channel *channel = app->channels[i];

        if (!channel->time_set.lateness)
            channel->time.lateness_ms = sb_config_int64(config, setting_names[LATENESS]);
        if (!channel->time_set.idle_after)
            channel->time.idle_after_ms = sb_config_int64(config, setting_names[IDLE_AFTER]);
        if (!channel->time_set.max_future)
            channel->time.max_future_ms = sb_config_int64(config, setting_names[MAX_FUTURE]);
        if (!channel->time_set.future)
            channel->time.future = (sabot_future)sb_config_enum(config, setting_names[FUTURE]);
    }
    if (sb_config_each(config, "channels", set_for_channel, app, &error) != SABOT_OK)
        (void)sabot_app_fail(app, error.status, "%s", error.text);
}
