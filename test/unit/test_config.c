/* SPDX-License-Identifier: Apache-2.0 */
/* test_config.c - the option table, values from every place, files, and what an app declares. */
#include "test.h"

#include <float.h>
#include <math.h>
#include <unistd.h>

#include "api/config.h"
#include "api/options.h"
#include "channel/url.h"

struct fixture {
    struct sb_env *env;
    sabot_config *config;
    char folder[64];
    char path[128]; /* of the file in it */
    sabot_error error;
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    (void)snprintf(fixture->folder, sizeof fixture->folder, "/tmp/sabot_config.XXXXXX");
    if (mkdtemp(fixture->folder) == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK ||
        sb_config_create(fixture->env, &fixture->config, NULL) != SABOT_OK)
        return -1;
    (void)snprintf(fixture->path, sizeof fixture->path, "%s/file", fixture->folder);
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sabot_config_destroy(fixture->config);
    sb_os_env_destroy(fixture->env);
    (void)unlink(fixture->path);
    (void)rmdir(fixture->folder);
    free(fixture);
    return 0;
}

static void write_file(const struct fixture *fixture, const char *bytes, size_t size)
{
    FILE *file = fopen(fixture->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void set(struct fixture *fixture, const char *name, const char *value)
{
    if (sabot_config_set(fixture->config, SABOT_FROM_OPTION, name, value, &fixture->error) !=
        SABOT_OK)
        fail_msg("%s=%s: %s", name, value, fixture->error.text);
}

static void assert_refused(struct fixture *fixture, sabot_status status, const char *text)
{
    assert_int_equal(status, SABOT_ERR_CONFIG);
    assert_int_equal(fixture->error.status, SABOT_ERR_CONFIG);
    if (strstr(fixture->error.text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, fixture->error.text);
}

static void assert_set_refused(struct fixture *fixture,
                               const char *name,
                               const char *value,
                               const char *text)
{
    assert_refused(
        fixture, sabot_config_set(fixture->config, SABOT_FROM_OPTION, name, value, &fixture->error),
        text);
}

static void load(struct fixture *fixture, const char *text)
{
    write_file(fixture, text, strlen(text));
    if (sabot_config_load(fixture->config, fixture->path, &fixture->error) != SABOT_OK)
        fail_msg("%s", fixture->error.text);
}

/* `text` follows "PATH:" in the error. */
static void assert_load_refused(struct fixture *fixture,
                                const char *yaml,
                                size_t size,
                                const char *text)
{
    char expected[512];

    write_file(fixture, yaml, size);
    (void)snprintf(expected, sizeof expected, "%s:%s", fixture->path, text);
    assert_refused(fixture, sabot_config_load(fixture->config, fixture->path, &fixture->error),
                   expected);
}

/* --- The table -------------------------------------------------------------------------------- */

static void every_row_is_complete_and_its_default_is_valid(void **state)
{
    const struct sb_option *option;
    struct sb_option_value value;
    sabot_error error;

    (void)state;
    for (size_t i = 0; (option = sb_option_at(i)) != NULL; i++) {
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(option->name, sb_option_at(j)->name);
        assert_true(strlen(option->name) <= SB_CONFIG_NAME_MAX);
        assert_true(strlen(option->doc) > 10);
        assert_int_equal(option->doc[strlen(option->doc) - 1], '.');
        if (option->name[strlen(option->name) - 1] != '*')
            assert_ptr_equal(sb_option_find(option->name), option);
        if (option->type == SB_OPTION_TEXT || *option->default_value != '\0')
            assert_int_equal(sb_option_parse(option, option->default_value, &value, &error),
                             SABOT_OK);
        else
            fail_msg("%s has no default", option->name);
    }
}

static void the_public_table_shows_the_same_rows(void **state)
{
    sabot_option option;
    size_t count = 0;
    bool has_errors = false;

    (void)state;
    while (sabot_option_at(count, &option)) {
        if (strcmp(option.name, "errors.decode") == 0) {
            has_errors = true;
            assert_string_equal(option.type, "enum");
            assert_string_equal(option.range, "fail|skip");
            assert_string_equal(option.default_value, "fail");
        }
        if (strcmp(option.name, "kafka.sasl.password") == 0)
            assert_true(option.secret);
        count++;
    }
    assert_true(has_errors);
    assert_null(sb_option_at(count));
}

/* --- Values ----------------------------------------------------------------------------------- */

static void an_option_that_is_not_given_has_its_default(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(sb_config_int64(fixture->config, "threads"), 1);
    assert_int_equal(sb_config_int64(fixture->config, "record.bytes_max"), 1 << 20);
    assert_int_equal(sb_config_enum(fixture->config, "log.level"), SABOT_LOG_INFO);
    assert_false(sb_config_bool(fixture->config, "until.end"));
    assert_null(sb_config_text(fixture->config, "broker"));
    assert_null(sabot_config_get(fixture->config, "broker"));
    assert_null(sabot_config_get(fixture->config, "no.such.option"));
    assert_string_equal(sabot_config_get(fixture->config, "threads"), "1");
    assert_false(sb_config_is_given(fixture->config, "threads"));
}

static void values_are_read_by_the_type_of_their_option(void **state)
{
    struct fixture *fixture = *state;

    set(fixture, "threads", "64");
    set(fixture, "record.bytes_max", "64MiB");
    set(fixture, "ring.bytes", "65536");
    set(fixture, "channel.buffer_bytes", "64KiB");
    set(fixture, "memory", "3GiB");
    set(fixture, "log.level", "debug");
    set(fixture, "errors.decode", "skip");
    set(fixture, "until.end", "true");
    set(fixture, "broker", "kafka://a:9092");
    assert_int_equal(sb_config_int64(fixture->config, "threads"), 64);
    assert_int_equal(sb_config_int64(fixture->config, "record.bytes_max"), 64 << 20);
    assert_int_equal(sb_config_int64(fixture->config, "ring.bytes"), 65536);
    assert_int_equal(sb_config_int64(fixture->config, "channel.buffer_bytes"), 65536);
    assert_int_equal(sb_config_int64(fixture->config, "memory"), 3LL << 30);
    assert_int_equal(sb_config_enum(fixture->config, "log.level"), SABOT_LOG_DEBUG);
    assert_string_equal(sb_config_text(fixture->config, "errors.decode"), "skip");
    assert_true(sb_config_bool(fixture->config, "until.end"));
    assert_string_equal(sb_config_text(fixture->config, "broker"), "kafka://a:9092");
    assert_true(sb_config_is_given(fixture->config, "threads"));

    set(fixture, "broker", "");
    assert_null(sb_config_text(fixture->config, "broker"));
}

static void a_wrong_value_is_told_what_is_expected(void **state)
{
    static const struct {
        const char *name;
        const char *value;
        const char *text;
    } cases[] = {
        {"threads", "0", "threads=0: expected a whole number in 1..64"},
        {"threads", "65", "threads=65: expected a whole number in 1..64"},
        {"threads", "", "threads=: expected a whole number in 1..64"},
        {"threads", "two", "expected a whole number in 1..64"},
        {"threads", "1x", "expected a whole number in 1..64"},
        {"threads", " 1", "expected a whole number in 1..64"},
        {"threads", "+1", "expected a whole number in 1..64"},
        {"threads", "-", "expected a whole number in 1..64"},
        {"threads", "99999999999999999999", "expected a whole number in 1..64"},
        {"memory", "-1", "expected a number of bytes, such as 64MiB in 0.."},
        {"memory", "1MB", "expected a number of bytes"},
        {"memory", "9000000TiB", "expected a number of bytes"},
        {"memory", "MiB", "expected a number of bytes"},
        {"record.bytes_max", "65MiB", "in 1KiB..64MiB"},
        {"record.bytes_max", "1023", "in 1KiB..64MiB"},
        {"until.end", "yes", "until.end=yes: expected true or false"},
        {"errors.decode", "ignore", "errors.decode=ignore: expected one of fail|skip"},
        {"errors.decode", "fai", "expected one of fail|skip"},
        {"errors.decode", "fail|skip", "expected one of fail|skip"},
        {"errors.decode", "", "expected one of fail|skip"},
        {"log.level", "a\nb", "log.level=a?b: expected one of"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_set_refused(*state, cases[i].name, cases[i].value, cases[i].text);
    assert_string_equal(sabot_config_get(((struct fixture *)*state)->config, "threads"), "1");
}

static void an_unknown_name_suggests_the_nearest(void **state)
{
    static const struct {
        const char *name;
        const char *text;
    } cases[] = {
        {"thread", "unknown option \"thread\": did you mean \"threads\"?"},
        {"htreads", "did you mean \"threads\"?"},
        {"errors.decod", "did you mean \"errors.decode\"?"},
        {"decode", "did you mean \"errors.decode\"?"},
        {"log.levle", "did you mean \"log.level\"?"},
        {"batch.row", "did you mean \"batch.rows\"?"},
        {"xyzzy", "unknown option \"xyzzy\": `sabot options` lists all"},
        {"log.xyzzyxyzzy", "`sabot options` lists all"},
        {"bind.tx", "bound by --bind tx=URL"},
        {"", "is no name of an option"},
        {"a b", "is no name of an option"},
        {"kafka.", "unknown option \"kafka.\""},
        {"kafka.*", "is no name of an option"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_set_refused(*state, cases[i].name, "1", cases[i].text);
}

static void the_higher_place_wins_whatever_the_order(void **state)
{
    struct fixture *fixture = *state;
    static const sabot_config_origin origins[] = {SABOT_FROM_FILE, SABOT_FROM_ENVIRONMENT,
                                                  SABOT_FROM_OPTION};
    static const char *const values[] = {"2", "3", "4"};
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        sabot_config *config = sabot_config_create(NULL);

        for (size_t j = 0; j < 3; j++) {
            const int k = orders[i][j];

            assert_int_equal(
                sabot_config_set(config, origins[k], "threads", values[k], &fixture->error),
                SABOT_OK);
        }
        assert_int_equal(sb_config_int64(config, "threads"), 4);
        sabot_config_destroy(config);
    }
}

static void of_one_place_the_last_wins(void **state)
{
    set(*state, "threads", "2");
    set(*state, "threads", "3");
    assert_int_equal(sb_config_int64(((struct fixture *)*state)->config, "threads"), 3);
}

static void a_value_can_come_from_a_file(void **state)
{
    struct fixture *fixture = *state;
    char value[160];

    (void)snprintf(value, sizeof value, "@%s", fixture->path);
    write_file(fixture, "kafka://a:1\n", 12);
    set(fixture, "broker", value);
    assert_string_equal(sb_config_text(fixture->config, "broker"), "kafka://a:1");
    write_file(fixture, "x\n\r\n", 4);
    set(fixture, "broker", value);
    assert_string_equal(sb_config_text(fixture->config, "broker"), "x\n");
    write_file(fixture, "", 0);
    set(fixture, "kafka.client.id", value);
    assert_string_equal(sabot_config_get(fixture->config, "kafka.client.id"), "");
    set(fixture, "kafka.client.id", "@@me");
    assert_string_equal(sabot_config_get(fixture->config, "kafka.client.id"), "@me");

    write_file(fixture, "a\0b", 3);
    assert_set_refused(fixture, "broker", value, "has a NUL byte");
    assert_int_equal(sabot_config_set(fixture->config, SABOT_FROM_OPTION, "broker",
                                      "@/nowhere/at all", &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(fixture->error.text, "broker: /nowhere/at all: "));
    assert_int_equal(
        sabot_config_set(fixture->config, SABOT_FROM_OPTION, "broker", "@/tmp", &fixture->error),
        SABOT_ERR_IO);
}

static void an_endless_file_is_not_read_to_its_end(void **state)
{
    assert_set_refused(*state, "broker", "@/dev/zero", "has more than 65536 bytes");
}

static void secrets_are_refused_on_the_command_line_and_never_shown(void **state)
{
    static const char *const names[] = {"kafka.sasl.password", "kafka.ssl.key.pem",
                                        "kafka.plugin.password", "kafka.some.secret"};
    struct fixture *fixture = *state;
    char value[160];

    (void)snprintf(value, sizeof value, "@%s", fixture->path);
    write_file(fixture, "hunter2\n", 8);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_set_refused(fixture, names[i], "hunter2", "is a secret");
        assert_null(strstr(fixture->error.text, "hunter2"));
        assert_set_refused(fixture, names[i], "@@hunter2", "is a secret");
        set(fixture, names[i], value);
        assert_string_equal(sabot_config_get(fixture->config, names[i]), "***");
        assert_string_equal(sb_config_text(fixture->config, names[i]), "hunter2");
    }
    assert_int_equal(sabot_config_set(fixture->config, SABOT_FROM_ENVIRONMENT,
                                      "kafka.ssl.key.password", "hunter2", &fixture->error),
                     SABOT_OK);
    load(fixture, "kafka.ssl.keystore.password: hunter2\n");
}

static sabot_status collect(void *context, const char *name, const char *value, sabot_error *error)
{
    char *text = context;
    const size_t size = strlen(text);

    (void)error;
    (void)snprintf(text + size, 256 - size, "%s=%s;", name, value);
    return strcmp(name, "stop") == 0 ? SABOT_END : SABOT_OK;
}

static void a_group_is_passed_on_without_the_options_of_the_table(void **state)
{
    struct fixture *fixture = *state;
    char text[256] = "";

    set(fixture, "kafka.linger.ms", "5");
    set(fixture, "kafka.start", "latest");
    set(fixture, "kafka.client.id", "me");
    set(fixture, "kafka.linger.ms", "6");
    assert_int_equal(sb_config_each(fixture->config, "kafka", collect, text, NULL), SABOT_OK);
    assert_string_equal(text, "linger.ms=6;client.id=me;");
    assert_int_equal(sb_config_enum(fixture->config, "kafka.start"), 1);
    set(fixture, "kafka.stop", "1");
    set(fixture, "kafka.more", "1");
    assert_int_equal(sb_config_each(fixture->config, "kafka", collect, text, NULL), SABOT_END);
    assert_null(strstr(text, "more"));
}

static void there_is_a_limit_to_how_many_options_are_given(void **state)
{
    struct fixture *fixture = *state;
    char name[32];

    for (int i = 0; i < SB_CONFIG_VALUES_MAX; i++) {
        (void)snprintf(name, sizeof name, "kafka.x%d", i);
        set(fixture, name, "1");
    }
    assert_int_equal(
        sabot_config_set(fixture->config, SABOT_FROM_OPTION, "threads", "2", &fixture->error),
        SABOT_ERR_LIMIT);
    set(fixture, name, "2");
}

static void a_value_and_a_name_have_a_limit(void **state)
{
    struct fixture *fixture = *state;
    char *value = malloc(SB_CONFIG_VALUE_BYTES_MAX + 2);
    char name[SB_CONFIG_NAME_MAX + 2];
    int64_t number;

    assert_non_null(value);
    memset(value, 'v', SB_CONFIG_VALUE_BYTES_MAX + 1);
    value[SB_CONFIG_VALUE_BYTES_MAX + 1] = '\0';
    assert_set_refused(fixture, "broker", value, "broker: a value of more than 65536 bytes");
    value[SB_CONFIG_VALUE_BYTES_MAX] = '\0';
    set(fixture, "broker", value);
    memset(name, 'n', sizeof name);
    name[SB_CONFIG_NAME_MAX - 2] = '\0';
    assert_int_equal(
        sb_config_declare_int64(fixture->config, "a", name, 1, 0, 2, "", &number, &fixture->error),
        SABOT_OK);
    assert_refused(
        fixture,
        sb_config_declare_int64(fixture->config, "ab", name, 1, 0, 2, "", &number, &fixture->error),
        "a name is made of letters, digits");
    free(value);
}

static void a_group_ends_at_its_dot(void **state)
{
    struct fixture *fixture = *state;
    char text[256] = "";

    set(fixture, "kafka.client.id", "me");
    assert_int_equal(sb_config_each(fixture->config, "kaf", collect, text, NULL), SABOT_OK);
    assert_string_equal(text, "");
    assert_int_equal(sb_config_each(fixture->config, "kafka.client", collect, text, NULL),
                     SABOT_OK);
    assert_string_equal(text, "id=me;");
}

static void an_end_of_a_line_is_no_part_of_a_value_from_a_file(void **state)
{
    static const struct {
        const char *bytes;
        const char *value;
    } cases[] = {{"b:1\r\n", "b:1"}, {"b:1\n\n", "b:1\n"}, {"b:1\r", "b:1"}, {"b:1", "b:1"}};
    struct fixture *fixture = *state;
    char value[160];

    (void)snprintf(value, sizeof value, "@%s", fixture->path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(fixture, cases[i].bytes, strlen(cases[i].bytes));
        set(fixture, "broker", value);
        assert_string_equal(sabot_config_get(fixture->config, "broker"), cases[i].value);
    }
    write_file(fixture, "\r\n", 2);
    assert_int_equal(
        sabot_config_set(fixture->config, SABOT_FROM_OPTION, "fraud.note", value, &fixture->error),
        SABOT_OK);
    assert_string_equal(sabot_config_get(fixture->config, "fraud.note"), "");
}

/* --- Binds ------------------------------------------------------------------------------------ */

static void binds_have_limits(void **state)
{
    struct fixture *fixture = *state;
    char *url = malloc(SB_URL_MAX + 2);
    char name[32];

    assert_non_null(url);
    memset(url, 'x', SB_URL_MAX + 1);
    memcpy(url, "file:", 5);
    url[SB_URL_MAX + 1] = '\0';
    assert_refused(fixture, sabot_config_bind(fixture->config, "a", url, &fixture->error),
                   "not the URL of a channel");
    url[SB_URL_MAX] = '\0';
    assert_int_equal(sabot_config_bind(fixture->config, "a", url, &fixture->error), SABOT_OK);
    for (uint32_t i = 1; i < SB_CONFIG_BINDS_MAX; i++) {
        (void)snprintf(name, sizeof name, "x%u", i);
        assert_int_equal(sabot_config_bind(fixture->config, name, "file:y", NULL), SABOT_OK);
    }
    assert_int_equal(sabot_config_bind(fixture->config, "b", "file:y", &fixture->error),
                     SABOT_ERR_LIMIT);
    assert_non_null(strstr(fixture->error.text, "bind: b: more than 1024 channels are bound"));
    assert_int_equal(sabot_config_bind(fixture->config, "a", "file:z", NULL), SABOT_OK);
    free(url);
}

static void a_bind_on_the_command_line_beats_that_of_a_file(void **state)
{
    struct fixture *fixture = *state;
    const char *channel;
    const char *url;

    assert_int_equal(sabot_config_bind(fixture->config, "a", "file:1", &fixture->error), SABOT_OK);
    load(fixture, "bind:\n  a: file:2\n  b.c: file:3\n");
    assert_int_equal(sabot_config_bind(fixture->config, "a", "file:4", &fixture->error), SABOT_OK);
    assert_string_equal(sb_config_bound(fixture->config, "a"), "file:4");
    assert_string_equal(sb_config_bound(fixture->config, "b.c"), "file:3");
    assert_null(sb_config_bound(fixture->config, "c"));
    assert_true(sb_config_bind_at(fixture->config, 1, &channel, &url));
    assert_string_equal(channel, "b.c");
    assert_string_equal(url, "file:3");
    assert_false(sb_config_bind_at(fixture->config, 2, &channel, &url));
}

static void a_bind_needs_a_channel_and_a_url(void **state)
{
    struct fixture *fixture = *state;

    assert_refused(fixture, sabot_config_bind(fixture->config, "a", "tx.jsonl", &fixture->error),
                   "a=tx.jsonl: not the URL of a channel");
    assert_refused(fixture, sabot_config_bind(fixture->config, "", "file:x", &fixture->error),
                   "no name of a channel");
    assert_refused(fixture, sabot_config_bind(fixture->config, "../x", "file:x", &fixture->error),
                   "no name of a channel");
}

/* --- Files ------------------------------------------------------------------------------------ */

static void a_file_has_nested_maps_and_dotted_names(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, "# what runs\n"
                  "threads: 3\n"
                  "errors.decode: skip\n"
                  "log:\n"
                  "  level: \"debug\"\n"
                  "record: {bytes_max: 2MiB}\n"
                  "kafka:\n"
                  "  linger.ms: 010\n"
                  "  sasl:\n"
                  "    mechanism: 'no'\n"
                  "state:\n"
                  "bind:\n");
    assert_int_equal(sb_config_int64(fixture->config, "threads"), 3);
    assert_string_equal(sb_config_text(fixture->config, "errors.decode"), "skip");
    assert_string_equal(sb_config_text(fixture->config, "log.level"), "debug");
    assert_int_equal(sb_config_int64(fixture->config, "record.bytes_max"), 2 << 20);
    assert_string_equal(sb_config_text(fixture->config, "kafka.linger.ms"), "010");
    assert_string_equal(sb_config_text(fixture->config, "kafka.sasl.mechanism"), "no");
}

static void an_empty_file_says_nothing(void **state)
{
    load(*state, "");
    load(*state, "# nothing\n");
    load(*state, "---\n...\n");
    load(*state, "{}\n");
}

static void a_mistake_in_a_file_is_told_with_line_and_column(void **state)
{
    static const struct {
        const char *yaml;
        const char *text;
    } cases[] = {
        {"threads: 1\nlog:\n  levle: info\n", "3:10: unknown option \"log.levle\": did you mean"},
        {"threads: many\n", "1:10: threads=many: expected a whole number in 1..64"},
        {"threads:\n", "1:9: threads has no value"},
        {"log.level: ~\n", "1:12: log.level has no value"},
        {"thread:\n", "1:8: thread has no value"},
        {"threads: 1\nthreads: 2\n", "2:10: \"threads\" stands in this file twice"},
        {"log.level: info\nlog:\n  level: info\n", "3:10: \"log.level\" stands in this file twice"},
        {"bind: {a: 'file:1', a: 'file:2'}\n", "1:24: \"a\" stands in this file twice"},
        {"bind:\n  a: x\n", "2:6: bind: a=x: not the URL"},
        {"threads: [1]\n", "1:10: a list"},
        {"- threads\n", "1:1: a list"},
        {"threads\n", "1:1: expected options"},
        {"threads: &a 1\nlog.level: *a\n", "1:10: anchors are not supported"},
        {"x: *a\n", "1:4: aliases are not supported"},
        {"log: &a {}\n", "1:6: anchors are not supported"},
        {"threads: !!int 1\n", "1:10: tags are not supported"},
        {"log: !x {}\n", "1:6: tags are not supported"},
        {"? {a: b}\n: c\n", "1:3: a map can't be the name"},
        {"'': 1\n", "1:1: an option without a name"},
        {"threads: 1\n---\nthreads: 1\n", "2:1: a second document"},
        {"threads: \"1\\0\"\n", "1:10: a NUL byte"},
        {"threads: 1\n\tlog: 1\n", "2:1: "},
        {"threads: {\n", "2:1: did not find expected node content"},
        {"a b: 1\n", "1:6: \"a b\" is no name of an option"},
        {"broker: '@/nowhere'\n", "1:9: broker: /nowhere: "},
        {"a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}}}}}}}}}\n",
         "nested too deeply"},
        {"threads: \xff\n", " byte 9: "},
        {"log.level: null\n", "1:12: log.level has no value"},
        {"broker: 'null'\nthreads: 'x\n", "unexpected end of stream"},
        {"threads: @x\n", "1:10: found character that cannot start any token"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[256];

        write_file(fixture, cases[i].yaml, strlen(cases[i].yaml));
        const sabot_status status =
            sabot_config_load(fixture->config, fixture->path, &fixture->error);
        assert_int_not_equal(status, SABOT_OK);
        (void)snprintf(expected, sizeof expected, "%s:", fixture->path);
        if (strncmp(fixture->error.text, expected, strlen(expected)) != 0 ||
            strstr(fixture->error.text, cases[i].text) == NULL)
            fail_msg("%s\"%s\" is not in \"%s\"", cases[i].yaml, cases[i].text,
                     fixture->error.text);
    }
}

static void a_name_in_a_file_has_a_limit(void **state)
{
    char yaml[700];

    memset(yaml, 'a', sizeof yaml);
    (void)snprintf(yaml + 600, sizeof yaml - 600, ": 1\n");
    assert_load_refused(*state, yaml, 604, "1:1: the name of the option is too long");
    (void)snprintf(yaml + 300, sizeof yaml - 300, ": 1\n");
    assert_load_refused(*state, yaml, 304, "1:303: ");
}

static void a_file_is_taken_as_a_whole_or_not_at_all(void **state)
{
    struct fixture *fixture = *state;

    load(fixture, "threads: 5\nbind: {a: 'file:1'}\n");
    assert_load_refused(fixture, "threads: 6\nbind: {a: 'file:2'}\nxyzzy: 1\n", 40, "3:8: unknown");
    assert_int_equal(sb_config_int64(fixture->config, "threads"), 5);
    assert_string_equal(sb_config_bound(fixture->config, "a"), "file:1");
    load(fixture, "threads: 7\n");
    assert_int_equal(sb_config_int64(fixture->config, "threads"), 7);
}

static void a_file_that_can_not_be_read_is_named(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(sabot_config_load(fixture->config, "/nowhere.yaml", &fixture->error),
                     SABOT_ERR_NOT_FOUND);
    assert_non_null(strstr(fixture->error.text, "/nowhere.yaml: "));
    assert_int_equal(sabot_config_load(fixture->config, "/tmp", &fixture->error), SABOT_ERR_IO);
    assert_refused(fixture, sabot_config_load(fixture->config, "/dev/zero", &fixture->error),
                   "/dev/zero: more than");
}

/* --- Options of the app ----------------------------------------------------------------------- */

static sabot_status declare_count(struct fixture *fixture, int64_t *value_out)
{
    return sb_config_declare_int64(fixture->config, "fraud", "count", 1000, 1, INT64_MAX,
                                   "Records to make.", value_out, &fixture->error);
}

static void an_app_declares_options_and_gets_their_values(void **state)
{
    struct fixture *fixture = *state;
    int64_t count;
    double rate;
    bool loud;
    const char *text;
    sabot_option option;

    load(fixture, "fraud:\n  count: 7\n  rate: 2.5\n");
    set(fixture, "fraud.loud", "true");
    assert_int_equal(declare_count(fixture, &count), SABOT_OK);
    assert_int_equal(sb_config_declare_float64(fixture->config, "fraud", "rate", 0.1, 0, INFINITY,
                                               NULL, &rate, &fixture->error),
                     SABOT_OK);
    assert_int_equal(sb_config_declare_bool(fixture->config, "fraud", "loud", false, "Loud.", &loud,
                                            &fixture->error),
                     SABOT_OK);
    assert_int_equal(sb_config_declare_text(fixture->config, "fraud", "city", NULL, "City.", &text,
                                            &fixture->error),
                     SABOT_OK);
    assert_int_equal(count, 7);
    assert_true(rate == 2.5);
    assert_true(loud);
    assert_null(text);
    assert_int_equal(sb_config_check_unused(fixture->config, "fraud", &fixture->error), SABOT_OK);

    assert_true(sb_config_declared_at(fixture->config, 0, &option));
    assert_string_equal(option.name, "fraud.count");
    assert_string_equal(option.range, "1..");
    assert_string_equal(option.default_value, "1000");
    assert_true(sb_config_declared_at(fixture->config, 1, &option));
    assert_string_equal(option.range, "0..");
    assert_string_equal(option.default_value, "0.1");
    assert_false(sb_config_declared_at(fixture->config, 4, &option));
    assert_string_equal(sabot_config_get(fixture->config, "fraud.rate"), "2.5");
    assert_string_equal(sabot_config_get(fixture->config, "fraud.count"), "7");
}

static void a_wrong_value_of_an_app_is_told_with_its_place(void **state)
{
    struct fixture *fixture = *state;
    char expected[256];
    int64_t count = 0;

    load(fixture, "fraud.count: many\n");
    (void)snprintf(expected, sizeof expected,
                   "%s:1:14: fraud.count=many: expected a whole number in 1..", fixture->path);
    assert_refused(fixture, declare_count(fixture, &count), expected);
}

static void an_unknown_option_of_an_app_suggests_the_nearest(void **state)
{
    struct fixture *fixture = *state;
    int64_t count;

    set(fixture, "fraud.cuont", "7");
    assert_refused(fixture, sb_config_check_unused(fixture->config, "fraud", &fixture->error),
                   "(the app fraud has no options)");
    assert_int_equal(declare_count(fixture, &count), SABOT_OK);
    assert_int_equal(count, 1000);
    assert_refused(fixture, sb_config_check_unused(fixture->config, "fraud", &fixture->error),
                   "unknown option \"fraud.cuont\": did you mean \"fraud.count\"?");
}

static void a_declaration_that_makes_no_sense_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int64_t number;
    double real;

    assert_int_equal(declare_count(fixture, &number), SABOT_OK);
    assert_refused(fixture, declare_count(fixture, &number), "fraud.count: declared twice");
    assert_refused(fixture,
                   sb_config_declare_int64(fixture->config, "kafka", "x", 1, 0, 2, "", &number,
                                           &fixture->error),
                   "kafka.x: an app of this name can have no options");
    assert_refused(fixture,
                   sb_config_declare_int64(fixture->config, "bind", "x", 1, 0, 2, "", &number,
                                           &fixture->error),
                   "bind.x: an app of this name can have no options");
    assert_refused(fixture,
                   sb_config_declare_int64(fixture->config, "fraud", "x", 3, 0, 2, "", &number,
                                           &fixture->error),
                   "fraud.x: its default 3 is not in 0..2");
    assert_refused(fixture,
                   sb_config_declare_float64(fixture->config, "fraud", "x", (double)NAN, 0, 2, "",
                                             &real, &fixture->error),
                   "fraud.x: its default nan is not in 0..2");
    assert_refused(fixture,
                   sb_config_declare_int64(fixture->config, "fraud", "a b", 1, 0, 2, "", &number,
                                           &fixture->error),
                   "option \"a b\": a name is made of");
}

static void an_app_declares_a_limited_number_of_options(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    int64_t number;

    for (uint32_t i = 0; i < SB_CONFIG_DECLARED_MAX; i++) {
        (void)snprintf(name, sizeof name, "x%u", i);
        assert_int_equal(
            sb_config_declare_int64(fixture->config, "a", name, 1, 0, 2, NULL, &number, NULL),
            SABOT_OK);
    }
    assert_int_equal(sb_config_declare_int64(fixture->config, "a", "more", 1, 0, 2, NULL, &number,
                                             &fixture->error),
                     SABOT_ERR_LIMIT);
    assert_non_null(strstr(fixture->error.text, "option a.more: an app can have 256"));
}

static void each_type_of_an_option_of_an_app_is_checked(void **state)
{
    struct fixture *fixture = *state;
    const char *text;
    double real;
    bool flag;

    set(fixture, "a.real", "much");
    set(fixture, "a.flag", "perhaps");
    assert_refused(fixture,
                   sb_config_declare_float64(fixture->config, "a", "real", 1, 0, 2, NULL, &real,
                                             &fixture->error),
                   "a.real=much: expected a number");
    assert_refused(
        fixture,
        sb_config_declare_bool(fixture->config, "a", "flag", false, NULL, &flag, &fixture->error),
        "a.flag=perhaps: expected true or false");
    assert_int_not_equal(
        sb_config_declare_bool(fixture->config, "a", "flag", false, NULL, &flag, NULL), SABOT_OK);
    assert_int_equal(sb_config_declare_text(fixture->config, "a", "none", NULL, NULL, &text, NULL),
                     SABOT_OK);
    assert_null(text);
    assert_int_equal(sb_config_declare_text(fixture->config, "a", "empty", "", NULL, &text, NULL),
                     SABOT_OK);
    assert_string_equal(text, "");
    assert_refused(
        fixture,
        sb_config_declare_text(fixture->config, "a", "empty", "", NULL, &text, &fixture->error),
        "declared twice");
}

static void ends_of_a_range_are_kept_exactly(void **state)
{
    struct fixture *fixture = *state;
    double real;
    int64_t number;
    sabot_option option;

    set(fixture, "a.low", "-9223372036854775808");
    set(fixture, "a.real", "0.30000000000000004");
    assert_int_equal(sb_config_declare_int64(fixture->config, "a", "low", 0, INT64_MIN, 0, "",
                                             &number, &fixture->error),
                     SABOT_OK);
    assert_true(number == INT64_MIN);
    assert_int_equal(sb_config_declare_float64(fixture->config, "a", "real", 0.25, -DBL_MAX,
                                               0.1 + 0.2, "", &real, &fixture->error),
                     SABOT_OK);
    assert_true(real == 0.1 + 0.2);
    assert_true(sb_config_declared_at(fixture->config, 0, &option));
    assert_string_equal(option.range, "..0");
    assert_true(sb_config_declared_at(fixture->config, 1, &option));
    assert_string_equal(option.range, "..0.30000000000000004");
}

/* --- Clones and memory ------------------------------------------------------------------------ */

static void a_clone_has_the_values_but_not_the_declarations(void **state)
{
    struct fixture *fixture = *state;
    sabot_config *copy;
    sabot_option option;
    int64_t count;

    load(fixture, "threads: 4\nfraud.count: 9\nbind: {a: 'file:1'}\n");
    assert_int_equal(declare_count(fixture, &count), SABOT_OK);
    assert_int_equal(sb_config_clone(fixture->config, fixture->env, &copy, &fixture->error),
                     SABOT_OK);
    assert_int_equal(sb_config_int64(copy, "threads"), 4);
    assert_string_equal(sb_config_bound(copy, "a"), "file:1");
    assert_false(sb_config_declared_at(copy, 0, &option));
    assert_int_equal(sb_config_declare_int64(copy, "fraud", "count", 1, 0, 9, "", &count, NULL),
                     SABOT_OK);
    assert_int_equal(count, 9);
    sabot_config_destroy(copy);
}

/* Everything a configuration does, once. */
static sabot_status use(const struct fixture *fixture, sabot_error *error)
{
    sabot_config *config;
    sabot_config *copy = NULL;
    const char *text;
    sabot_status status;

    SABOT_TRY(sb_config_create(fixture->env, &config, error));
    status = sabot_config_load(config, fixture->path, error);
    if (status == SABOT_OK)
        status = sabot_config_set(config, SABOT_FROM_OPTION, "a.b", "c", error);
    if (status == SABOT_OK)
        status = sabot_config_bind(config, "d", "file:e", error);
    if (status == SABOT_OK)
        status = sb_config_clone(config, fixture->env, &copy, error);
    if (status == SABOT_OK)
        status = sb_config_declare_text(copy, "a", "b", "x", "Doc.", &text, error);
    sabot_config_destroy(copy);
    sabot_config_destroy(config);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    struct fixture *fixture = *state;
    sabot_status status = SABOT_ERR_MEMORY;

    write_file(fixture, "threads: 4\nbind: {a: 'file:1'}\n", 31);
    for (uint64_t nth = 1; status != SABOT_OK; nth++) {
        fixture->error = (sabot_error){.status = SABOT_OK};
        sb_os_env_fail_allocation(fixture->env, nth);
        status = use(fixture, &fixture->error);
        sb_os_env_fail_allocation(fixture->env, 0);
        assert_true(status == SABOT_OK || status == SABOT_ERR_MEMORY);
        assert_int_equal(fixture->error.status, status);
        assert_true(nth < 1000);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)
    const struct CMUnitTest tests[] = {
        TEST(every_row_is_complete_and_its_default_is_valid),
        TEST(the_public_table_shows_the_same_rows),
        TEST(an_option_that_is_not_given_has_its_default),
        TEST(values_are_read_by_the_type_of_their_option),
        TEST(a_wrong_value_is_told_what_is_expected),
        TEST(an_unknown_name_suggests_the_nearest),
        TEST(the_higher_place_wins_whatever_the_order),
        TEST(of_one_place_the_last_wins),
        TEST(a_value_can_come_from_a_file),
        TEST(an_endless_file_is_not_read_to_its_end),
        TEST(secrets_are_refused_on_the_command_line_and_never_shown),
        TEST(a_group_is_passed_on_without_the_options_of_the_table),
        TEST(there_is_a_limit_to_how_many_options_are_given),
        TEST(a_bind_on_the_command_line_beats_that_of_a_file),
        TEST(a_bind_needs_a_channel_and_a_url),
        TEST(binds_have_limits),
        TEST(a_value_and_a_name_have_a_limit),
        TEST(a_group_ends_at_its_dot),
        TEST(an_end_of_a_line_is_no_part_of_a_value_from_a_file),
        TEST(an_app_declares_a_limited_number_of_options),
        TEST(each_type_of_an_option_of_an_app_is_checked),
        TEST(a_file_has_nested_maps_and_dotted_names),
        TEST(an_empty_file_says_nothing),
        TEST(a_mistake_in_a_file_is_told_with_line_and_column),
        TEST(a_name_in_a_file_has_a_limit),
        TEST(a_file_is_taken_as_a_whole_or_not_at_all),
        TEST(a_file_that_can_not_be_read_is_named),
        TEST(an_app_declares_options_and_gets_their_values),
        TEST(a_wrong_value_of_an_app_is_told_with_its_place),
        TEST(an_unknown_option_of_an_app_suggests_the_nearest),
        TEST(a_declaration_that_makes_no_sense_is_refused),
        TEST(ends_of_a_range_are_kept_exactly),
        TEST(a_clone_has_the_values_but_not_the_declarations),
        TEST(every_allocation_may_fail),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
