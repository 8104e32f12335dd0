/* SPDX-License-Identifier: Apache-2.0 */
/* _counter.c - the app of the tests of `sabot sim`: numbers the words that come by.
 *
 * `counter.where` says where it counts: in its state, as it should; or in a variable of its own,
 * which a process that is started again knows nothing of. Compiled by sim.py as a user would. */
#include <string.h>

#include <sabot/sabot.h>

struct word {
    sabot_text word;
    int64_t number;
};
static const sabot_field word_fields[] = {
    SABOT_FIELD(struct word, word, "word", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct word, number, "number", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema word_schema = SABOT_SCHEMA("word", 1, struct word, word_fields);

struct count {
    int64_t count;
};
static const sabot_field count_fields[] = {
    SABOT_FIELD(struct count, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema count_schema = SABOT_SCHEMA("count", 1, struct count, count_fields);

/* What an app must not do: to keep something here. */
static struct {
    bool in_state;
    int64_t count;
    sabot_value *counts;
    sabot_output *output;
} counter;

static sabot_status number_word(sabot_context *context, const void *record)
{
    struct word word = *(const struct word *)record;
    struct count *count = sabot_value_edit(context, counter.counts);

    if (count == NULL)
        return sabot_context_status(context);
    word.number = counter.in_state ? ++count->count : ++counter.count;
    return sabot_emit(context, counter.output, &word);
}

static sabot_status check(void *user,
                          const sabot_committed *committed,
                          bool at_end,
                          sabot_error *error)
{
    const int64_t *limit = user;
    sabot_record record;

    (void)at_end;
    if (!sabot_committed_record(committed, "numbered", (size_t)*limit, &record))
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE, "there are more than %lld records",
                       (long long)*limit);
}

static sabot_status build(sabot_app *app)
{
    const char *where = sabot_app_option_text(app, "where", "state", "state, or variable.");
    int64_t *limit = sabot_app_memory(app, sizeof *limit);
    sabot_channel *words = sabot_channel_open(app, "words", NULL, &word_schema);
    sabot_channel *numbered = sabot_channel_open(app, "numbered", NULL, &word_schema);
    sabot_agent *agent = sabot_agent_create(app, "counter", words, number_word, NULL);

    if (limit == NULL)
        return sabot_app_status(app);
    *limit = sabot_app_option_int64(app, "limit", 1000000, 1, 1000000, "Records that may come.");
    counter.in_state = strcmp(where, "state") == 0;
    counter.counts = sabot_agent_value(agent, "counts", &count_schema);
    counter.output = sabot_agent_output(agent, numbered);
    sabot_agent_key(agent, "word");
    sabot_app_invariant(app, check, limit);
    return sabot_app_status(app);
}

SABOT_APP(app, "counter", build);
