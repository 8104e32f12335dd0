/* SPDX-License-Identifier: Apache-2.0 */
/* word_count.c - counts words: two agents, joined by a channel inside of the process.
 *
 *   lines --> split --> words --> count, with a number for each word --> counts
 *
 * Each word is reported with its count so far; the last report of a word is its count. */
#include <string.h>

#include <sabot/sabot.h>

struct line {
    sabot_text text;
};
static const sabot_field line_fields[] = {
    SABOT_FIELD(struct line, text, "line", SABOT_UTF8, SABOT_REQUIRED),
};
static const sabot_schema line_schema = SABOT_SCHEMA("line", 1, struct line, line_fields);

struct word {
    sabot_text text;
    int64_t count; /* so far */
};
static const sabot_field word_fields[] = {
    SABOT_FIELD(struct word, text, "word", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct word, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema word_schema = SABOT_SCHEMA("word", 1, struct word, word_fields);

struct tally { /* the state of one word */
    int64_t count;
};
static const sabot_field tally_fields[] = {
    SABOT_FIELD(struct tally, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema tally_schema = SABOT_SCHEMA("tally", 1, struct tally, tally_fields);

struct word_count {
    sabot_output *words, *counts;
    sabot_value *tallies;
};

static bool is_letter(char byte)
{
    return strchr(" \t\r\n.,;:!?\"'()", byte) == NULL;
}

static sabot_status split(sabot_context *context, const void *record)
{
    const struct word_count *app = sabot_user(context);
    const struct line *line = record;
    sabot_status status = SABOT_OK;

    for (size_t end = 0; end < line->text.size && status == SABOT_OK; end++) {
        const size_t start = end;

        while (end < line->text.size && is_letter(line->text.data[end]))
            end++;
        if (end > start) {
            const struct word word = {.text = {line->text.data + start, end - start}};

            status = sabot_emit(context, app->words, &word);
        }
    }
    return status;
}

static sabot_status count(sabot_context *context, const void *record)
{
    const struct word_count *app = sabot_user(context);
    const struct word *word = record;
    struct tally *tally = sabot_value_edit(context, app->tallies);

    if (tally == NULL)
        return sabot_context_status(context);
    tally->count++;
    const struct word counted = {.text = word->text, .count = tally->count};
    return sabot_emit(context, app->counts, &counted);
}

static sabot_status build(sabot_app *app)
{
    struct word_count *handles = sabot_app_memory(app, sizeof *handles);
    sabot_channel *lines = sabot_channel_open(app, "lines", NULL, &line_schema);
    sabot_channel *words = sabot_channel_open(app, "words", "memory:", &word_schema);
    sabot_channel *counts = sabot_channel_open(app, "counts", NULL, &word_schema);
    sabot_agent *splitter = sabot_agent_create(app, "split", lines, split, handles);
    sabot_agent *counter = sabot_agent_create(app, "count", words, count, handles);

    if (handles == NULL)
        return sabot_app_status(app);
    sabot_channel_key(counts, "word");
    handles->words = sabot_agent_output(splitter, words);
    sabot_agent_key(counter, "word");
    handles->tallies = sabot_agent_value(counter, "tally", &tally_schema);
    handles->counts = sabot_agent_output(counter, counts);
    return sabot_app_status(app);
}

SABOT_APP(app, "word_count", build);
