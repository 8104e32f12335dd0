/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - `sabot state ls`, `get` and `dump`: what agents know, from a checkpoint, from a
 * savepoint, or from the worker that runs, which makes a savepoint for it that is removed again. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* The savepoint of one look at a worker, in the state directory: then the process, and the time. */
static const char PEEK[] = ".peek-";

/* What is asked for. */
struct query {
    const sabot_inspection *inspection;
    const char *agent; /* NULL: all */
    const char *state; /* NULL: all */
    const char *key;   /* NULL: all */
    bool as_json;
    int64_t limit; /* rows; INT64_MAX: none */
    int64_t rows;  /* printed */
    int agent_width, state_width;
    const sabot_state_info *info; /* of the rows being printed */
};

static bool is_asked_for(const struct query *query, const sabot_state_info *info)
{
    return (query->agent == NULL || strcmp(query->agent, info->agent) == 0) &&
           (query->state == NULL || strcmp(query->state, info->name) == 0);
}

static void widen(int *width, const char *text)
{
    const int size = (int)strlen(text);

    *width = size > *width ? size : *width;
}

static void print_member(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    cli_print_json_text(text);
}

/* {"app":...,"agent":...,"state":... */
static void print_place(const sabot_state_info *info)
{
    printf("{\"app\":");
    cli_print_json_text(info->app);
    print_member("agent", info->agent);
    print_member("state", info->name);
}

/* --- ls --------------------------------------------------------------------------------------- */

static void print_states_json(const struct query *query)
{
    sabot_state_info info;

    for (size_t i = 0; sabot_inspection_state(query->inspection, i, &info); i++) {
        print_place(&info);
        print_member("kind", info.kind);
        print_member("key_type", info.key_type);
        print_member("schema", info.schema);
        printf(",\"version\":%" PRIu32, info.version);
        print_member("fields", info.fields);
        printf(",\"keys\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64 "}\n", info.keys,
               info.rows, info.bytes);
    }
}

static void print_states_table(const struct query *query)
{
    int kind = 4, key = 3, keys = 4, bytes = 5;
    char keys_text[CLI_NUMBER_SIZE], bytes_text[CLI_NUMBER_SIZE];
    sabot_state_info info;

    for (size_t i = 0; sabot_inspection_state(query->inspection, i, &info); i++) {
        widen(&kind, info.kind);
        widen(&key, info.key_type);
        widen(&keys, cli_write_count(keys_text, info.keys));
        widen(&bytes, cli_write_count(bytes_text, info.bytes));
    }
    printf("%-*s  %-*s  %-*s  %-*s  %*s  %*s  %s\n", query->agent_width, "AGENT",
           query->state_width, "STATE", kind, "KIND", key, "KEY", keys, "KEYS", bytes, "BYTES",
           "VALUE");
    for (size_t i = 0; sabot_inspection_state(query->inspection, i, &info); i++)
        printf("%-*s  %-*s  %-*s  %-*s  %*s  %*s  %s\n", query->agent_width, info.agent,
               query->state_width, info.name, kind, info.kind, key,
               *info.key_type == '\0' ? "-" : info.key_type, keys,
               cli_write_count(keys_text, info.keys), bytes,
               cli_write_count(bytes_text, info.bytes),
               *info.fields == '\0' ? "bytes" : info.fields);
}

static int list(const struct query *query)
{
    sabot_state_info info;

    if (!sabot_inspection_state(query->inspection, 0, &info))
        (void)fprintf(stderr, "no agent has state in it\n");
    else if (query->as_json)
        print_states_json(query);
    else
        print_states_table(query);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}

/* --- get, dump -------------------------------------------------------------------------------- */

static void print_row_json(const struct query *query, const sabot_state_row *row)
{
    print_place(query->info);
    printf(",\"key\":%.*s", (int)row->key.size, row->key.data);
    if (row->entry.data != NULL)
        printf(",\"entry\":%.*s", (int)row->entry.size, row->entry.data);
    if (row->element >= 0)
        printf(",\"element\":%" PRId64, row->element);
    if (row->time_ms != 0)
        printf(",\"refreshed_ms\":%" PRId64, row->time_ms);
    printf(",\"value\":");
    (void)fwrite(row->value.data, 1, row->value.size, stdout);
    printf("}\n");
}

/* The quotes of a text say nothing in a table, unless it is empty. */
static sabot_text bare(sabot_text json)
{
    if (json.size > 2 && json.data[0] == '"')
        return (sabot_text){json.data + 1, json.size - 2};
    return json;
}

static void print_row_text(const struct query *query, const sabot_state_row *row)
{
    const sabot_text key = bare(row->key);
    int width = 20;

    printf("%-*s  %-*s  %.*s", query->agent_width, query->info->agent, query->state_width,
           query->info->name, (int)key.size, key.data);
    width -= (int)(key.size < 20 ? key.size : 20);
    if (row->entry.data != NULL)
        width -= printf("[%.*s]", (int)row->entry.size, row->entry.data);
    if (row->element >= 0)
        width -= printf("[%" PRId64 "]", row->element);
    printf("%*s  ", width > 0 ? width : 0, "");
    (void)fwrite(row->value.data, 1, row->value.size, stdout);
    (void)putchar('\n');
}

static sabot_status print_row(void *context, const sabot_state_row *row)
{
    struct query *query = context;

    if (query->rows == query->limit)
        return SABOT_END;
    if (query->rows++ == 0 && !query->as_json)
        printf("%-*s  %-*s  %-20s  %s\n", query->agent_width, "AGENT", query->state_width, "STATE",
               "KEY", "VALUE");
    if (query->as_json)
        print_row_json(query, row);
    else
        print_row_text(query, row);
    return ferror(stdout) || cli_signals_seen() != 0 ? SABOT_END : SABOT_OK;
}

static sabot_status print_rows(struct query *query, bool *is_known_out, sabot_error *error)
{
    sabot_status status = SABOT_OK;
    sabot_state_info info;

    *is_known_out = false;
    for (size_t i = 0; status == SABOT_OK && sabot_inspection_state(query->inspection, i, &info);
         i++) {
        if (!is_asked_for(query, &info))
            continue;
        *is_known_out = true;
        query->info = &info;
        status = sabot_inspection_rows(query->inspection, i, query->key, print_row, query, error);
    }
    return status;
}

static int dump(struct query *query)
{
    sabot_error error = {.status = SABOT_OK};
    bool is_known;
    const sabot_status status = print_rows(query, &is_known, &error);

    if (status == SABOT_END && ferror(stdout) && errno == EPIPE)
        return CLI_DONE; /* as in `dump | head` */
    if (!cli_flush_output())
        return CLI_FAILED;
    if (status != SABOT_OK && status != SABOT_END)
        return cli_fail(status == SABOT_ERR_ARGUMENT  ? CLI_NOT_STARTED
                        : status == SABOT_ERR_CORRUPT ? CLI_DAMAGED
                                                      : CLI_FAILED,
                        "%s", error.text);
    if (!is_known && query->state != NULL)
        return cli_fail(CLI_NOT_STARTED, "no state %s of an agent %s: `sabot state ls` lists them",
                        query->state, query->agent);
    if (!is_known && query->agent != NULL)
        return cli_fail(CLI_NOT_STARTED, "no agent %s with state: `sabot state ls` lists them",
                        query->agent);
    if (query->key != NULL && query->rows == 0)
        return cli_fail(CLI_FAILED, "agent %s, state %s: nothing is kept for key %s", query->agent,
                        query->state, query->key);
    return CLI_DONE;
}

/* --- The command ------------------------------------------------------------------------------ */

enum verb { VERB_LS, VERB_GET, VERB_DUMP, VERB_NONE };

/* Which of the three, with as many words as it takes. VERB_NONE: it has said what is wrong. */
static enum verb read_verb(const struct cli_args *args)
{
    static const struct {
        const char *name, *usage;
        size_t words_min, words_max;
    } verbs[] = {
        [VERB_LS] = {"ls", "state ls", 1, 1},
        [VERB_GET] = {"get", "state get AGENT STATE KEY", 4, 4},
        [VERB_DUMP] = {"dump", "state dump [AGENT [STATE]]", 1, 3},
    };

    for (size_t i = 0; i < VERB_NONE; i++) {
        if (strcmp(args->operands[0], verbs[i].name) != 0)
            continue;
        if (args->operand_count >= verbs[i].words_min && args->operand_count <= verbs[i].words_max)
            return (enum verb)i;
        (void)cli_fail(0, "usage: sabot %s", verbs[i].usage);
        return VERB_NONE;
    }
    (void)cli_fail(0, "state %s: expected ls, get or dump", args->operands[0]);
    return VERB_NONE;
}

/* Which checkpoints are shown, and which newer ones are not, and why. */
static void report(const struct query *query)
{
    sabot_checkpoint_info shown;
    sabot_checkpoint_info other;
    sabot_state_info info;
    size_t last = SIZE_MAX;

    for (size_t i = 0; sabot_inspection_state(query->inspection, i, &info); i++) {
        if (info.checkpoint == last ||
            !sabot_inspection_checkpoint(query->inspection, info.checkpoint, &shown))
            continue;
        last = info.checkpoint;
        for (size_t at = 0; sabot_inspection_checkpoint(query->inspection, at, &other); at++)
            if (other.condition == SABOT_DAMAGED && other.id > shown.id &&
                strcmp(other.app, shown.app) == 0 && strcmp(other.pipeline, shown.pipeline) == 0)
                (void)cli_fail(0, "checkpoint %" PRId64 " is damaged: %s", other.id, other.reason);
        (void)fprintf(stderr, "%s/%s: checkpoint %" PRId64 "\n", shown.app, shown.pipeline,
                      shown.id);
    }
}

static int run(sabot_inspection *inspection, struct query *query, enum verb verb, int64_t id)
{
    sabot_error error = {.status = SABOT_OK};
    const sabot_status status = sabot_inspection_load(inspection, id, &error);
    sabot_state_info info;

    if (status != SABOT_OK)
        return cli_fail(status == SABOT_ERR_CORRUPT ? CLI_DAMAGED : CLI_NOT_STARTED, "%s",
                        error.text);
    query->inspection = inspection;
    for (size_t i = 0; sabot_inspection_state(inspection, i, &info); i++) {
        widen(&query->agent_width, info.agent);
        widen(&query->state_width, info.name);
    }
    report(query);
    return verb == VERB_LS ? list(query) : dump(query);
}

static int look_at(const char *path, struct query *query, enum verb verb)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_inspection *inspection;
    const sabot_status status = sabot_inspection_open(path, &inspection, &error);
    int code;

    if (status != SABOT_OK)
        return cli_fail(CLI_NOT_STARTED, "%s", error.text);
    code = run(inspection, query, verb, 0);
    sabot_inspection_close(inspection);
    return code;
}

static int look_at_savepoint(const char *path, struct query *query, enum verb verb)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_savepoint *savepoint;
    const sabot_status status = sabot_savepoint_open(path, &savepoint, &error);

    if (status != SABOT_OK)
        return cli_fail(status == SABOT_ERR_CORRUPT ? CLI_DAMAGED : CLI_NOT_STARTED, "%s",
                        error.text);
    sabot_savepoint_close(savepoint);
    return look_at(path, query, verb);
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

void cli_remove_peeks(const char *state_dir)
{
    DIR *folder = opendir(state_dir);
    const struct dirent *entry;

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        char path[CLI_PATH_SIZE];
        long process;

        if (strncmp(entry->d_name, PEEK, strlen(PEEK)) != 0)
            continue;
        process = strtol(entry->d_name + strlen(PEEK), NULL, 10);
        if (process <= 0 || kill((pid_t)process, 0) == 0 || errno != ESRCH)
            continue;
        if (snprintf(path, sizeof path, "%s/%s", state_dir, entry->d_name) < CLI_PATH_SIZE)
            (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    (void)closedir(folder);
}

/* Of one agent, and of one key the shard that it is in, as far as that is all that is wanted. */
static int look_at_worker(const struct cli_setup *setup, struct query *query, enum verb verb)
{
    char path[CLI_PATH_SIZE], folder[CLI_PATH_SIZE];
    char path_argument[CLI_PATH_SIZE + 8], agent[CLI_PATH_SIZE], key[CLI_PATH_SIZE];
    const char *arguments[] = {path_argument, agent, key};
    const size_t count = query->agent == NULL ? 1 : query->key == NULL ? 2 : 3;
    sabot_error error = {.status = SABOT_OK};
    sabot_answer *answer;
    struct timespec now;
    int code;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (!cli_state_dir(setup, folder))
        return CLI_NOT_STARTED;
    cli_remove_peeks(folder);
    if (snprintf(path, sizeof path, "%s/%s%ld-%ld", folder, PEEK, (long)getpid(), now.tv_nsec) >=
        CLI_PATH_SIZE)
        return cli_fail(CLI_NOT_STARTED, "%.200s: the path is too long", folder);
    (void)snprintf(path_argument, sizeof path_argument, "path=%s", path);
    (void)snprintf(agent, sizeof agent, "agent=%s", query->agent == NULL ? "" : query->agent);
    (void)snprintf(key, sizeof key, "key=%s", query->key == NULL ? "" : query->key);
    answer = cli_ask(setup, "savepoint.create", arguments, count, &code);
    if (answer == NULL)
        return code;
    sabot_answer_destroy(answer);
    code = look_at(path, query, verb);
    if (sabot_savepoint_remove(path, &error) != SABOT_OK)
        (void)cli_fail(0, "%s", error.text);
    return code;
}

int cli_state(const struct cli_setup *setup, const struct cli_args *args)
{
    const enum verb verb = read_verb(args);
    const char *checkpoint = cli_args_value(args, "checkpoint");
    const char *savepoint = cli_args_value(args, "savepoint");
    const char *limit = cli_args_value(args, "limit");
    struct query query = {
        .agent = args->operand_count > 1 ? args->operands[1] : NULL,
        .state = args->operand_count > 2 ? args->operands[2] : NULL,
        .key = args->operand_count > 3 ? args->operands[3] : NULL,
        .as_json = cli_args_value(args, "json") != NULL,
        .limit = INT64_MAX,
        .agent_width = 5,
        .state_width = 5,
    };
    sabot_inspection *inspection;
    const char *state_dir;
    int64_t id = 0;
    int code;

    if (verb == VERB_NONE ||
        (checkpoint != NULL && !cli_read_number("--checkpoint", checkpoint, &id)) ||
        (limit != NULL && !cli_read_number("--limit", limit, &query.limit)))
        return CLI_NOT_STARTED;
    if ((checkpoint != NULL) + (savepoint != NULL) + (cli_args_value(args, "running") != NULL) > 1)
        return cli_fail(CLI_NOT_STARTED,
                        "--checkpoint, --savepoint and --running: only one of them");
    if (savepoint != NULL)
        return look_at_savepoint(savepoint, &query, verb);
    if (cli_args_value(args, "running") != NULL)
        return look_at_worker(setup, &query, verb);
    inspection = cli_inspect(setup, &state_dir);
    if (inspection == NULL)
        return CLI_NOT_STARTED;
    code = run(inspection, &query, verb, id);
    sabot_inspection_close(inspection);
    return code;
}
