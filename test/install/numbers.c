/* SPDX-License-Identifier: Apache-2.0 */
/* numbers.c - a whole app outside of Sabot's tree: a source of 1000 numbers, an agent, an output.
 *
 * Built by the test of the installation as numbers.so for the command, and into embed.c. */
#include <sabot/sabot.h>

struct number {
    int64_t id;
    int64_t group;
};

static const sabot_field number_fields[] = {
    SABOT_FIELD(struct number, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct number, group, "group", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema number_schema = SABOT_SCHEMA("number", 1, struct number, number_fields);

struct count {
    int64_t seen;
};

static const sabot_field count_fields[] = {
    SABOT_FIELD(struct count, seen, "seen", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema count_schema = SABOT_SCHEMA("count", 1, struct count, count_fields);

struct numbers {
    sabot_value *counts;
    sabot_output *seen;
};

static sabot_status fill(sabot_source *source,
                         size_t records_max,
                         sabot_position *position,
                         void *user)
{
    struct number number = {0, 0};

    (void)user;
    if (position->size != 0)
        number.id = position->bytes[0] | position->bytes[1] << 8;
    for (size_t i = 0; i < records_max && number.id < 1000; i++, number.id++) {
        number.group = number.id % 7;
        SABOT_TRY(sabot_source_emit(source, &number));
    }
    position->size = 2;
    position->bytes[0] = (uint8_t)(number.id & 255);
    position->bytes[1] = (uint8_t)(number.id >> 8);
    return number.id < 1000 ? SABOT_OK : SABOT_END;
}

static sabot_status on_number(sabot_context *context, const void *record)
{
    const struct numbers *numbers = sabot_user(context);
    struct count *count = sabot_value_edit(context, numbers->counts);

    if (count == NULL)
        return sabot_context_status(context);
    count->seen++;
    return sabot_emit(context, numbers->seen, record);
}

static sabot_status build(sabot_app *app)
{
    struct numbers *numbers = sabot_app_memory(app, sizeof *numbers);
    sabot_channel *input = sabot_channel_open(app, "numbers", NULL, &number_schema);
    sabot_channel *output = sabot_channel_open(app, "seen", NULL, &number_schema);
    sabot_agent *agent = sabot_agent_create(app, "count", input, on_number, numbers);

    if (numbers == NULL)
        return sabot_app_status(app);
    sabot_channel_source(input, fill, NULL);
    sabot_agent_key(agent, "group");
    numbers->counts = sabot_agent_value(agent, "count", &count_schema);
    numbers->seen = sabot_agent_output(agent, output);
    return sabot_app_status(app);
}

SABOT_APP(numbers, "numbers", build);
