/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - opening a declared channel with the options of the run. */
#include "api/catalog.h"
#include "api/plan.h"

struct lookup {
    const char *wanted; /* behind the group's dot; NULL: all */
    const char *found;
    void (*visit)(void *context, const char *name, const char *value);
    void *context;
};

static sabot_status look(void *context, const char *name, const char *value, sabot_error *error)
{
    struct lookup *lookup = context;

    (void)error;
    if (lookup->wanted == NULL)
        lookup->visit(lookup->context, name, value);
    else if (strcmp(name, lookup->wanted) == 0)
        lookup->found = value;
    return SABOT_OK;
}

/* Driver options of the transports all lie in the group "kafka". */
static const char *driver_option(const void *options, const char *name)
{
    const sabot_config *config = options;
    const size_t group = strlen("kafka.");
    struct lookup lookup = {.wanted = name + group};

    if (strncmp(name, "kafka.", group) != 0)
        return NULL;
    if (sb_config_each(config, "kafka", look, &lookup, NULL) != SABOT_OK)
        return NULL;
    return lookup.found;
}

static void each_driver_option(const void *options,
                               const char *prefix,
                               void (*visit)(void *context, const char *name, const char *value),
                               void *context)
{
    const sabot_config *config = options;
    struct lookup lookup = {.visit = visit, .context = context};

    if (strcmp(prefix, "kafka.") == 0)
        (void)!sb_config_each(config, "kafka", look, &lookup, NULL);
}

sabot_status sb_open_channel(const sabot_app *app,
                             const sabot_channel *declared,
                             bool for_reading,
                             bool for_writing,
                             bool append,
                             struct sb_log *log,
                             struct sb_waker *waker,
                             const struct sb_channel_type **type_out,
                             struct sb_channel **channel_out,
                             sabot_error *error)
{
    const sabot_config *config = app->config;
    const struct sb_channel_config channel = {
        .name = declared->name,
        .url = declared->url,
        .for_reading = for_reading,
        .for_writing = for_writing,
        .append = append,
        .until_end = sb_config_bool(config, "until.end"),
        .buffer_bytes = (uint64_t)sb_config_int64(config, "channel.buffer_bytes"),
        .record_max = (uint32_t)sb_config_int64(config, "record.bytes_max"),
        .start = sb_config_enum(config, "kafka.start") == 0 ? "earliest" : "latest",
        .log = log,
        .codec = sb_catalog_json(),
        .schema = declared->schema,
        .source = declared->source,
        .source_user = declared->source_user,
        .option = driver_option,
        .options_each = each_driver_option,
        .options = config,
    };
    sabot_error why;
    sabot_status status;

    *channel_out = NULL;
    status = sb_catalog_transport(declared->url, type_out, &why);
    if (status == SABOT_OK && for_reading && declared->source != NULL &&
        sb_catalog_is_memory(declared->url))
        *type_out = sb_catalog_source();
    if (status == SABOT_OK)
        status = (*type_out)->open(app->env, &channel, waker, channel_out, &why);
    if (status != SABOT_OK)
        return sabot_raise(error, status, "channel %s: %s", declared->name, why.text);
    return SABOT_OK;
}
