/* SPDX-License-Identifier: Apache-2.0 */
/* words_app.c - counting words, and judging what came out; words_app.h says how. */
#include "words_app.h"

#include <unistd.h>

#include "base/mem.h"

static const sabot_field word_fields[] = {
    SABOT_FIELD(struct word, word, "word", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct word, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct word, times, "times", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct word, time_ms, "time", SABOT_TIMESTAMP, SABOT_OPTIONAL),
};
static const sabot_schema word_schema = SABOT_SCHEMA("word", 1, struct word, word_fields);

struct seen {
    int64_t times;
};

static const sabot_field seen_fields[] = {
    SABOT_FIELD(struct seen, times, "times", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema seen_schema = SABOT_SCHEMA("seen", 1, struct seen, seen_fields);

struct app {
    struct words_setting setting;
    sabot_value *seen;
    sabot_output *counted;
    sabot_output *results;
};

static const struct words_setting default_setting = {.fail_id = -1};
struct words_setting words_setting = {.fail_id = -1};

/* --- The app -------------------------------------------------------------------------------------
 */

static sabot_status count(sabot_context *context, const void *record)
{
    const struct app *app = sabot_user(context);
    struct word word = *(const struct word *)record;
    struct seen *seen = sabot_value_edit(context, app->seen);

    if (seen == NULL)
        return sabot_context_status(context);
    word.times = ++seen->times;
    SABOT_TRY(sabot_emit(context, app->counted, &word));
    if (word.id == app->setting.fail_id)
        return sabot_fail(context, SABOT_ERR_USER, "word %lld is one too many", (long long)word.id);
    return SABOT_OK;
}

static sabot_status mark(sabot_context *context, const void *record)
{
    const struct app *app = sabot_user(context);

    return sabot_emit(context, app->results, record);
}

static sabot_status fill(sabot_source *source,
                         size_t records_max,
                         sabot_position *position,
                         void *user)
{
    const struct app *app = user;
    int64_t id = 0;
    char text[16];

    if (position->size > 0)
        memcpy(&id, position->bytes, sizeof id);
    for (size_t i = 0; i < records_max && id != app->setting.source_count; i++, id++) {
        const int size = snprintf(text, sizeof text, "w%lld", (long long)(id % WORDS));
        const struct word word = {.word = {text, (size_t)size}, .id = id, .time_ms = id};

        SABOT_TRY(sabot_source_emit(source, &word));
    }
    memcpy(position->bytes, &id, sizeof id);
    position->size = sizeof id;
    return id == app->setting.source_count ? SABOT_END : SABOT_OK;
}

static sabot_status build(sabot_app *app)
{
    struct app *mine = sabot_app_memory(app, sizeof *mine);
    sabot_channel *words = sabot_channel_open(app, "words", words_setting.in, &word_schema);
    sabot_channel *results = sabot_channel_open(app, "results", words_setting.out, &word_schema);
    sabot_channel *counted;
    sabot_agent *agent = sabot_agent_create(app, "count", words, count, mine);

    if (mine == NULL)
        return sabot_app_status(app);
    mine->setting = words_setting;
    if (mine->setting.has_source)
        sabot_channel_source(words, fill, mine);
    sabot_channel_event_time(words, "time");
    sabot_channel_event_time(results, "time");
    sabot_channel_key(words, "word");
    sabot_channel_key(results, "word");
    sabot_agent_key(agent, "word");
    mine->seen = sabot_agent_value(agent, "seen", &seen_schema);
    if (mine->setting.chain) {
        counted = sabot_channel_open(app, "counted", "memory:", &word_schema);
        mine->counted = sabot_agent_output(agent, counted);
        agent = sabot_agent_create(app, "mark", counted, mark, mine);
        mine->results = sabot_agent_output(agent, results);
    } else {
        mine->counted = sabot_agent_output(agent, results);
    }
    return sabot_app_status(app);
}

const sabot_app_entry words_app = {"SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry),
                                   "wordcount", build};

/* --- The fixture ---------------------------------------------------------------------------------
 */

int words_setup(void **state)
{
    struct words *words = calloc(1, sizeof *words);

    *state = words;
    words_setting = default_setting;
    if (words == NULL)
        return -1;
    if (!test_folder(words->folder, sizeof words->folder, "words"))
        return -1;
    (void)snprintf(words->in, sizeof words->in, "%s/in.jsonl", words->folder);
    (void)snprintf(words->out, sizeof words->out, "%s/out.jsonl", words->folder);
    words->config = sabot_config_create(NULL);
    return words->config == NULL ? -1 : 0;
}

int words_teardown(void **state)
{
    struct words *words = *state;

    sabot_config_destroy(words->config);
    (void)unlink(words->in);
    (void)unlink(words->out);
    (void)rmdir(words->folder);
    free(words);
    return 0;
}

static void bind(struct words *words, const char *channel, const char *path)
{
    char url[160];

    (void)snprintf(url, sizeof url, "file:%s", path);
    assert_int_equal(sabot_config_bind(words->config, channel, url, &words->error), SABOT_OK);
}

void words_bind_files(struct words *words)
{
    bind(words, "words", words->in);
    bind(words, "results", words->out);
}

void words_set(struct words *words, const char *name, const char *value)
{
    assert_int_equal(sabot_config_set(words->config, SABOT_FROM_OPTION, name, value, &words->error),
                     SABOT_OK);
}

size_t words_format(char *text, size_t size, int64_t id)
{
    return (size_t)snprintf(text, size, "{\"id\": %lld, \"time\": %lld, \"word\": \"w%lld\"}",
                            (long long)id, (long long)id, (long long)(id % WORDS));
}

void words_write(const struct words *words, int64_t count)
{
    FILE *file = fopen(words->in, "w");
    char text[128];

    assert_non_null(file);
    for (int64_t id = 0; id < count; id++) {
        (void)words_format(text, sizeof text, id);
        assert_true(fprintf(file, "%s\n", text) > 0);
    }
    assert_int_equal(fclose(file), 0);
}

/* --- Judging -------------------------------------------------------------------------------------
 */

/* The text of a result says its id; everything else follows from that. */
void words_see(struct words_seen *seen, const char *text, size_t size)
{
    char copy[256];
    char expected[256];
    const char *digits;
    long long id;

    assert_in_range(size, 1, sizeof copy - 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    digits = strstr(copy, "\"id\":");
    assert_non_null(digits);
    id = strtoll(digits + strlen("\"id\":"), NULL, 10);
    assert_in_range(id, 0, WORDS_MAX - 1);
    (void)snprintf(expected, sizeof expected,
                   "{\"word\":\"w%lld\",\"id\":%lld,\"times\":%lld,\"time\":%lld}", id % WORDS, id,
                   id / WORDS + 1, id);
    assert_string_equal(copy, expected);
    seen->seen[id]++;
    seen->count++;
}

void words_read(const struct words *words, struct words_seen *seen)
{
    FILE *file = fopen(words->out, "r");
    char line[256];

    assert_non_null(file);
    memset(seen, 0, sizeof *seen);
    while (fgets(line, sizeof line, file) != NULL)
        words_see(seen, line, strcspn(line, "\n"));
    assert_int_equal(fclose(file), 0);
}

void words_expect(const struct words_seen *seen, int64_t count)
{
    assert_int_equal(seen->count, count);
    for (int64_t id = 0; id < WORDS_MAX; id++)
        assert_int_equal(seen->seen[id], id < count ? 1 : 0);
}
