/* SPDX-License-Identifier: Apache-2.0 */
/* _echo.c - the app of the tests of the command: what comes in goes out; a negative id fails. */
#include <sabot/sabot.h>

struct item {
    int64_t id;
    sabot_text name;
};

static const sabot_field item_fields[] = {
    SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct item, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_schema item_schema = SABOT_SCHEMA("item", 1, struct item, item_fields);

struct echo {
    sabot_output *output;
    int64_t times;
};

static sabot_status on_item(sabot_context *context, const void *record)
{
    const struct echo *echo = sabot_user(context);
    const struct item *item = record;

    if (item->id < 0)
        return sabot_fail(context, SABOT_ERR_USER, "id %lld is negative", (long long)item->id);
    for (int64_t i = 0; i < echo->times; i++)
        SABOT_TRY(sabot_emit(context, echo->output, item));
    return SABOT_OK;
}

static sabot_status build(sabot_app *app)
{
    struct echo *echo = sabot_app_memory(app, sizeof *echo);
    sabot_channel *input = sabot_channel_open(app, "in", NULL, &item_schema);
    sabot_channel *output = sabot_channel_open(app, "out", NULL, &item_schema);
    sabot_agent *agent = sabot_agent_create(app, "echo", input, on_item, echo);

    if (echo == NULL)
        return sabot_app_status(app);
    echo->times = sabot_app_option_int64(app, "times", 1, 0, 10, "How often each item goes out.");
    echo->output = sabot_agent_output(agent, output);
    return sabot_app_status(app);
}

static sabot_status build_nothing(sabot_app *app)
{
    return sabot_app_fail(app, SABOT_ERR_USER, "the moon is not full");
}

SABOT_APP(app, "echo", build);
SABOT_APP(broken, "broken", build_nothing);

/* Made for a later version. */
const sabot_app_entry later = {{'S', 'A', 'B', 'O', 'T', 'A', 'P', 'P'},
                               SABOT_ABI_VERSION + 1,
                               (uint32_t)sizeof(sabot_app_entry),
                               "later",
                               build};
const int number = 7;
