/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the one option table, and how a value is checked against a row of it.
 *
 * To add an option, add a row: it is then known everywhere, and `tools/docs` writes it down. The
 * code that obeys it reads it by sb_config_int64() and the like (config.h).
 * Invariants: names are unique; every default is a value of its row (test_config.c).
 * Threads: stateless. Memory: none. */
#include "api/options.h"

#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/parse.h"

/* --- The table -------------------------------------------------------------------------------- */

enum {
    PLAIN = 0,
    PASSED = SB_OPTION_PASSED,
    SECRET = SB_OPTION_SECRET | SB_OPTION_PASSED,
};

/* clang-format off */
static const struct sb_option options[] = {
    {"app", SB_OPTION_TEXT, "", "", "", PLAIN,
     "The app to run, PATH:SYMBOL: a shared object and the name its SABOT_APP has in it (-A)."},
    {"broker", SB_OPTION_TEXT, "", "", "", PLAIN,
     "Where the channels are that neither the app nor --bind gives a URL: kafka://HOST:PORT takes "
     "the topic of their name; without a broker they are embedded (-b)."},
    {"threads", SB_OPTION_INT, "", "1..64", "1", PLAIN,
     "Worker threads of a pipeline; results do not depend on their number (-c)."},
    {"until.end", SB_OPTION_BOOL, "", "", "false", PLAIN,
     "End when every input has been read to where it ended at the start (--until-end)."},
    {"state.dir", SB_OPTION_TEXT, "", "", "", PLAIN,
     "Folder for what must outlive the process; without one nothing is kept (--state-dir)."},
    {"checkpoint.interval_ms", SB_OPTION_INT, "ms", "0..3600000", "0", PLAIN,
     "Time between two checkpoints, with a state directory; longer when writing them is slow. "
     "0: 100 where output waits for them (Kafka, exactly-once), else 1000."},
    {"checkpoint.refresh_ms", SB_OPTION_INT, "ms", "1..2147483647", "3600000", PLAIN,
     "An idle pipeline commits its offsets in Kafka again so often: brokers forget old ones."},
    {"checkpoint.staged_bytes", SB_OPTION_BYTES, "bytes", "64KiB..64GiB", "64MiB", PLAIN,
     "Output that may wait for the transaction of its checkpoint; past it inputs wait as well."},
    {"checkpoint.reset", SB_OPTION_BOOL, "", "", "false", PLAIN,
     "Start anew: the checkpoints of the state directory are moved aside, not deleted (--reset)."},
    {"checkpoint.restore", SB_OPTION_TEXT, "", "", "", PLAIN,
     "Go on from this: the id of a kept checkpoint, or the path of a savepoint, which has a / "
     "(--restore)."},
    {"checkpoint.force", SB_OPTION_BOOL, "", "", "false", PLAIN,
     "With checkpoint.restore: also from another than the one that counts; what came behind it is "
     "processed again (--force)."},
    {"checkpoint.from_offsets", SB_OPTION_BOOL, "", "", "false", PLAIN,
     "Go on with empty state at the committed offsets of the consumer group (--from-offsets)."},
    {"checkpoint.drop_state", SB_OPTION_BOOL, "", "", "false", PLAIN,
     "Forget the state, inputs and outputs of a checkpoint or savepoint that the app does not have "
     "any more (--drop-state)."},
    {"guarantee", SB_OPTION_ENUM, "", "exactly-once|at-least-once", "exactly-once", PLAIN,
     "With a state directory: align barriers and write to Kafka in transactions, or neither."},
    {"checkpoint.keep", SB_OPTION_INT, "checkpoints", "1..1000", "3", PLAIN,
     "Checkpoints that stay; older ones are removed when a newer one is complete."},
    {"checkpoint.full_every", SB_OPTION_INT, "checkpoints", "1..64", "16", PLAIN,
     "State is written in full after so many checkpoints, or when changes are as much; 1: always."},
    {"checkpoint.timeout_ms", SB_OPTION_INT, "ms", "1..2147483647", "600000", PLAIN,
     "A checkpoint that is not gathered by then fails, and is tried again; the stream goes on."},
    {"log.level", SB_OPTION_ENUM, "", "error|warn|info|debug", "info", PLAIN,
     "The least important lines that are still logged (-l)."},
    {"time.lateness_ms", SB_OPTION_INT, "ms", "0..", "0", PLAIN,
     "How much older than the newest a record may be and still be on time."},
    {"time.idle_after_ms", SB_OPTION_INT, "ms", "0..", "5000", PLAIN,
     "A partition that is read to its end and had no record for so long holds no watermark back; "
     "0: it always does."},
    {"time.max_future_ms", SB_OPTION_INT, "ms", "0..", "86400000", PLAIN,
     "A record further ahead of the machine's clock never moves the watermark; 0: no bound."},
    {"time.future", SB_OPTION_ENUM, "", "pass|skip|fail", "pass", PLAIN,
     "What such a record does itself: be handled like others, be counted and left out, end the "
     "run."},
    {"channels.*", SB_OPTION_TEXT, "", "", "", PASSED,
     "The same for one channel: channels.CHANNEL.lateness_ms, idle_after_ms, max_future_ms, "
     "future."},
    {"errors.decode", SB_OPTION_ENUM, "", "fail|skip", "fail", PLAIN,
     "What a record does that can't be decoded: end the run, or be counted and left out."},
    {"record.bytes_max", SB_OPTION_BYTES, "bytes", "1KiB..64MiB", "1MiB", PLAIN,
     "Size of the largest record; a larger one is treated as one that can't be decoded."},
    {"json.depth_max", SB_OPTION_INT, "", "1..1024", "64", PLAIN,
     "How deep objects and arrays of a JSON record may be nested."},
    {"batch.rows", SB_OPTION_INT, "records", "1..65536", "1024", PLAIN,
     "Records that are decoded and handled together at most; fewer when the input is slow."},
    {"channel.buffer_bytes", SB_OPTION_BYTES, "bytes", "64KiB..16GiB", "16MiB", PLAIN,
     "Bound of each queue between a channel and the pipeline; a full one holds its writer back."},
    {"ring.bytes", SB_OPTION_BYTES, "bytes", "64KiB..16GiB", "4MiB", PLAIN,
     "Bound of each ring between two threads of a pipeline; a full one holds its writer back."},
    {"state", SB_OPTION_ENUM, "", "memory|rocksdb", "memory", PLAIN,
     "Where keyed state is kept; results are the same. Checkpoints outlive the process, not this."},
    {"states.*", SB_OPTION_TEXT, "", "", "", PASSED,
     "The same for one state: states.AGENT.STATE.backend=memory, or rocksdb."},
    {"tables.load", SB_OPTION_ENUM, "", "first|along", "first", PLAIN,
     "At a start, channels of tables are read up to their end before others are read; or all are "
     "read at once."},
    {"memory", SB_OPTION_BYTES, "bytes", "0..", "0", PLAIN,
     "Bound of keyed state; 0: none, with RocksDB 512 MiB. In memory the run ends past it with an "
     "error; RocksDB stays within it."},
    {"rocksdb.dir", SB_OPTION_TEXT, "", "", "", PLAIN,
     "Folder for the state that RocksDB keeps while the process runs. Not given: the state "
     "directory, so that checkpoints link its files; without one /var/tmp."},
    {"kafka.start", SB_OPTION_ENUM, "", "earliest|latest", "earliest", PLAIN,
     "Where a topic is read from when no position of it is kept."},
    {"kafka.sasl.password", SB_OPTION_TEXT, "", "", "", SECRET,
     "Password for SASL, with kafka.sasl.username."},
    {"kafka.sasl.oauthbearer.client.secret", SB_OPTION_TEXT, "", "", "", SECRET,
     "Client secret for SASL by OAuth."},
    {"kafka.ssl.key.password", SB_OPTION_TEXT, "", "", "", SECRET,
     "Password of the private key for TLS."},
    {"kafka.ssl.key.pem", SB_OPTION_TEXT, "", "", "", SECRET,
     "Private key for TLS, as PEM."},
    {"kafka.ssl.keystore.password", SB_OPTION_TEXT, "", "", "", SECRET,
     "Password of the key store for TLS."},
    {"kafka.*", SB_OPTION_TEXT, "", "", "", PASSED,
     "Any property of librdkafka, passed on as it is: kafka.linger.ms, kafka.security.protocol."},
};
/* clang-format on */

enum { OPTION_COUNT = sizeof options / sizeof options[0] };

const struct sb_option *sb_option_at(size_t index)
{
    return index < OPTION_COUNT ? &options[index] : NULL;
}

/* "kafka.*" and "kafka.linger.ms" */
static bool is_of_group(const struct sb_option *group, const char *name)
{
    const size_t size = strlen(group->name);

    return group->name[size - 1] == '*' && strncmp(group->name, name, size - 1) == 0 &&
           name[size - 1] != '\0' && name[size - 1] != '*';
}

const struct sb_option *sb_option_find(const char *name)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(options[i].name, name) == 0 && name[strlen(name) - 1] != '*')
            return &options[i];
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (is_of_group(&options[i], name))
            return &options[i];
    }
    return NULL;
}

bool sb_option_is_grouped(const char *name)
{
    const size_t size = strcspn(name, ".");

    if (size == strlen("bind") && strncmp(name, "bind", size) == 0)
        return true;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strncmp(options[i].name, name, size) == 0 && options[i].name[size] == '.')
            return true;
    }
    return false;
}

bool sb_option_is_name(const char *name, size_t size_max)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t size = strspn(name, allowed);

    return size > 0 && size <= size_max && name[size] == '\0';
}

sabot_option sb_option_show(const struct sb_option *option)
{
    static const char *const types[] = {
        [SB_OPTION_BOOL] = "bool",   [SB_OPTION_INT] = "int",   [SB_OPTION_BYTES] = "bytes",
        [SB_OPTION_FLOAT] = "float", [SB_OPTION_TEXT] = "text", [SB_OPTION_ENUM] = "enum",
    };

    return (sabot_option){
        .name = option->name,
        .type = types[option->type],
        .unit = option->unit,
        .range = option->range,
        .default_value = option->default_value,
        .doc = option->doc,
        .secret = (option->flags & SB_OPTION_SECRET) != 0,
    };
}

bool sabot_option_at(size_t index, sabot_option *option_out)
{
    const struct sb_option *option = sb_option_at(index);

    if (option == NULL)
        return false;
    *option_out = sb_option_show(option);
    return true;
}

/* --- Values ----------------------------------------------------------------------------------- */

static bool parse_bool(const char *text, int64_t *number_out)
{
    bool value = false;

    if (!sb_parse_bool(text, &value))
        return false;
    *number_out = value;
    return true;
}

static bool parse_word(const char *words, const char *text, int64_t *number_out)
{
    const size_t size = strlen(text);
    int64_t place = 0;

    for (const char *word = words;; word++, place++) {
        const size_t word_size = strcspn(word, "|");

        if (size == word_size && strncmp(word, text, size) == 0) {
            *number_out = place;
            return true;
        }
        word += word_size;
        if (*word == '\0')
            return false;
    }
}

static bool parse_value(const struct sb_option *option,
                        const char *text,
                        struct sb_option_value *value)
{
    switch (option->type) {
    case SB_OPTION_BOOL: return parse_bool(text, &value->number);
    case SB_OPTION_INT: return sb_parse_int64(text, &value->number);
    case SB_OPTION_BYTES: return sb_parse_bytes(text, &value->number);
    case SB_OPTION_FLOAT: return sb_parse_float64(text, &value->real);
    case SB_OPTION_ENUM: return parse_word(option->range, text, &value->number);
    case SB_OPTION_TEXT: break;
    }
    return true;
}

/* Compare in the type of the option: -1, 0, 1. */
static int compare(enum sb_option_type type,
                   const struct sb_option_value *left,
                   const struct sb_option_value *right)
{
    if (type == SB_OPTION_FLOAT)
        return (left->real > right->real) - (left->real < right->real);
    return (left->number > right->number) - (left->number < right->number);
}

/* The ends of a range are written like its values: "1KiB..64MiB". A missing one bounds nothing. */
static bool is_in_range(const struct sb_option *option, const struct sb_option_value *value)
{
    const char *dots = strstr(option->range, "..");
    struct sb_option_value end = {0, 0};
    char low[40];

    if (option->type == SB_OPTION_ENUM || dots == NULL)
        return true;
    const size_t size = (size_t)(dots - option->range);
    SB_ASSERT(size < sizeof low);
    memcpy(low, option->range, size);
    low[size] = '\0';
    if (parse_value(option, low, &end) && compare(option->type, value, &end) < 0)
        return false;
    return !parse_value(option, dots + 2, &end) || compare(option->type, value, &end) <= 0;
}

/* A value as an error may quote it: short, on one line. */
struct quoted {
    char text[68];
};

static struct quoted quote(const char *text)
{
    struct quoted quoted;
    const size_t size = strnlen(text, 64);

    for (size_t i = 0; i < size; i++)
        quoted.text[i] = (char)((unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
    memcpy(quoted.text + size, "...", 4);
    if (text[size] == '\0')
        quoted.text[size] = '\0';
    return quoted;
}

sabot_status sb_option_parse(const struct sb_option *option,
                             const char *text,
                             struct sb_option_value *value_out,
                             sabot_error *error)
{
    static const char *const expected[] = {
        [SB_OPTION_BOOL] = "true or false",
        [SB_OPTION_INT] = "a whole number",
        [SB_OPTION_BYTES] = "a number of bytes, such as 64MiB",
        [SB_OPTION_FLOAT] = "a number",
        [SB_OPTION_TEXT] = "a text",
        [SB_OPTION_ENUM] = "one of",
    };
    struct sb_option_value value = {0, 0};

    if (parse_value(option, text, &value) && is_in_range(option, &value)) {
        *value_out = value;
        return SABOT_OK;
    }
    return sabot_raise(error, SABOT_ERR_CONFIG, "%s=%s: expected %s%s%s", option->name,
                       (option->flags & SB_OPTION_SECRET) != 0 ? "***" : quote(text).text,
                       expected[option->type],
                       option->type == SB_OPTION_ENUM ? " "
                       : *option->range != '\0'       ? " in "
                                                      : "",
                       option->range);
}

/* --- Suggestions ------------------------------------------------------------------------------ */

enum { COMPARED_MAX = 64 /* bytes of a name that are compared */ };

/* Edits (insert, remove, replace a letter, swap two neighbours) from one name to another. */
static size_t edits(const char *from, const char *to)
{
    /* Rows of the table of distances between prefixes: the one before last, the last, this one. */
    size_t rows[3][COMPARED_MAX + 1];
    const size_t from_size = strnlen(from, COMPARED_MAX);
    const size_t to_size = strnlen(to, COMPARED_MAX);

    for (size_t j = 0; j <= to_size; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= from_size; i++) {
        size_t *row = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3];
        const size_t *before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= to_size; j++) {
            size_t best = last[j - 1] + (from[i - 1] != to[j - 1]);

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[from_size % 3][to_size];
}

void sb_nearest_look(struct sb_nearest *search, const char *candidate)
{
    const size_t size = strnlen(search->wanted, COMPARED_MAX);
    const char *last_part = strrchr(candidate, '.');
    size_t distance = edits(search->wanted, candidate);

    /* Whoever writes "decode" may mean "errors.decode". */
    if (last_part != NULL) {
        const size_t shortened = edits(search->wanted, last_part + 1) + 1;

        distance = shortened < distance ? shortened : distance;
    }
    if (distance > (size + 2) / 3 || (search->nearest != NULL && distance >= search->distance))
        return;
    search->nearest = candidate;
    search->distance = distance;
}

void sb_nearest_look_at_options(struct sb_nearest *search)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        sb_nearest_look(search, options[i].name);
}
