/* SPDX-License-Identifier: Apache-2.0 */
/* savepoint.c - `sabot savepoint create`, by the worker that runs; `ls`, `show` and `rm` of what
 * lies in a folder. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli.h"

/* --- create ----------------------------------------------------------------------------------- */

/* STATE_DIR/savepoints, made when it is missing; false: it has said why not. */
static bool write_default_folder(const struct cli_setup *setup, char out[CLI_PATH_SIZE], bool make)
{
    char state_dir[CLI_PATH_SIZE];

    if (!cli_state_dir(setup, state_dir))
        return false;
    if (snprintf(out, CLI_PATH_SIZE, "%s/savepoints", state_dir) >= CLI_PATH_SIZE) {
        (void)cli_fail(0, "%.200s: the path is too long", state_dir);
        return false;
    }
    if (!make || mkdir(out, 0700) == 0 || errno == EEXIST)
        return true;
    (void)cli_fail(0, "%s: %s", out, strerror(errno));
    return false;
}

/* STATE_DIR/savepoints/APP-20261126T001530.123Z */
static bool write_default_path(const struct cli_setup *setup, char out[CLI_PATH_SIZE])
{
    char folder[CLI_PATH_SIZE];
    char now[32];
    struct timespec time;
    struct tm parts;

    if (!write_default_folder(setup, folder, true))
        return false;
    (void)clock_gettime(CLOCK_REALTIME, &time);
    (void)gmtime_r(&time.tv_sec, &parts);
    (void)strftime(now, sizeof now, "%Y%m%dT%H%M%S", &parts);
    if (snprintf(out, CLI_PATH_SIZE, "%s/%s-%s.%03ldZ", folder,
                 setup->entry == NULL ? "savepoint" : setup->entry->name, now,
                 time.tv_nsec / 1000000) < CLI_PATH_SIZE)
        return true;
    (void)cli_fail(0, "%.200s: the path is too long", folder);
    return false;
}

static int create(const struct cli_setup *setup, const char *path, bool stop, bool as_json)
{
    char absolute[CLI_PATH_SIZE];
    char argument[CLI_PATH_SIZE + 8];
    const char *arguments[] = {argument, "stop=true"};
    sabot_answer *answer;
    int code;

    if (path == NULL ? !write_default_path(setup, absolute) : !cli_absolute(absolute, path))
        return CLI_NOT_STARTED;
    (void)snprintf(argument, sizeof argument, "path=%s", absolute);
    answer = cli_ask(setup, "savepoint.create", arguments, stop ? 2 : 1, &code);
    if (answer == NULL)
        return code;
    printf("%s\n", as_json ? sabot_answer_json(answer) : sabot_answer_get(answer, "path"));
    sabot_answer_destroy(answer);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}

/* --- show ------------------------------------------------------------------------------------- */

static void print_json(const sabot_savepoint *savepoint)
{
    sabot_savepoint_position position;
    sabot_savepoint_info info;

    sabot_savepoint_get(savepoint, &info);
    printf("{\"path\":");
    cli_print_json_text(info.path);
    printf(",\"app\":");
    cli_print_json_text(info.app);
    printf(",\"condition\":\"whole\",\"time_ms\":%" PRId64 ",\"age_ms\":%" PRId64
           ",\"bytes\":%" PRIu64 ",\"inputs\":[",
           info.time_ms, info.age_ms, info.bytes);
    for (size_t i = 0; sabot_savepoint_position_at(savepoint, i, &position); i++) {
        printf("%s{\"pipeline\":", i == 0 ? "" : ",");
        cli_print_json_text(position.pipeline);
        printf(",\"id\":%" PRId64 ",\"channel\":", position.id);
        cli_print_json_text(position.channel);
        printf(",\"partition\":%" PRId32 ",\"offset\":%" PRId64 ",\"ended\":%s}",
               position.partition, position.offset, position.ended ? "true" : "false");
    }
    printf("]}\n");
}

static void print_inputs(const sabot_savepoint *savepoint)
{
    sabot_savepoint_position position;

    for (size_t i = 0; sabot_savepoint_position_at(savepoint, i, &position); i++)
        printf("  pipeline %s, checkpoint %" PRId64 ": goes on at %s, partition %" PRId32
               ", offset %" PRId64 "%s\n",
               position.pipeline, position.id, position.channel, position.partition,
               position.offset, position.ended ? ", its end" : "");
}

static void print_line(const sabot_savepoint *savepoint)
{
    char age[CLI_NUMBER_SIZE];
    char bytes[CLI_NUMBER_SIZE];
    sabot_savepoint_info info;

    sabot_savepoint_get(savepoint, &info);
    printf("%s: app %s, %s old, %s bytes, whole\n", info.path, info.app,
           cli_write_age(age, info.age_ms), cli_write_count(bytes, info.bytes));
}

/* Says what is wrong; how to end. */
static int fail_open(sabot_status status, const sabot_error *error)
{
    return cli_fail(status == SABOT_ERR_CORRUPT ? CLI_DAMAGED : CLI_NOT_STARTED, "%s", error->text);
}

static int show(const char *path, bool as_json)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_savepoint *savepoint;
    const sabot_status status = sabot_savepoint_open(path, &savepoint, &error);

    if (status != SABOT_OK)
        return fail_open(status, &error);
    if (as_json) {
        print_json(savepoint);
    } else {
        print_line(savepoint);
        print_inputs(savepoint);
    }
    sabot_savepoint_close(savepoint);
    return cli_flush_output() ? CLI_DONE : CLI_FAILED;
}

/* --- ls --------------------------------------------------------------------------------------- */

/* One entry of the folder, if it is a savepoint. */
static int list_one(const char *folder, const char *name, bool as_json, size_t *count)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_savepoint *savepoint;
    char path[CLI_PATH_SIZE];
    sabot_status status;

    if (name[0] == '.' || snprintf(path, sizeof path, "%s/%s", folder, name) >= CLI_PATH_SIZE)
        return CLI_DONE;
    status = sabot_savepoint_open(path, &savepoint, &error);
    if (status == SABOT_ERR_NOT_FOUND || status == SABOT_ERR_IO)
        return CLI_DONE; /* something else, or one whose making was cut short */
    ++*count;
    if (status != SABOT_OK)
        return fail_open(status, &error);
    if (as_json)
        print_json(savepoint);
    else
        print_line(savepoint);
    sabot_savepoint_close(savepoint);
    return CLI_DONE;
}

static int list(const struct cli_setup *setup, const char *given, bool as_json)
{
    char folder[CLI_PATH_SIZE];
    struct dirent **entries;
    size_t found = 0;
    int code = CLI_DONE;
    int count;

    if (given == NULL ? !write_default_folder(setup, folder, false)
                      : snprintf(folder, sizeof folder, "%s", given) < 0)
        return CLI_NOT_STARTED;
    count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0 && (given != NULL || errno != ENOENT))
        return cli_fail(CLI_NOT_STARTED, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        const int one = list_one(folder, entries[i]->d_name, as_json, &found);

        code = one == CLI_DONE ? code : one;
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (found == 0)
        (void)fprintf(stderr, "no savepoints in %s\n", folder);
    return cli_flush_output() ? code : CLI_FAILED;
}

/* --- The command ------------------------------------------------------------------------------ */

static int remove_one(const char *path)
{
    sabot_error error = {.status = SABOT_OK};
    const sabot_status status = sabot_savepoint_remove(path, &error);

    if (status == SABOT_OK)
        return CLI_DONE;
    return cli_fail(status == SABOT_ERR_NOT_FOUND ? CLI_NOT_STARTED : CLI_FAILED, "%s", error.text);
}

int cli_savepoint(const struct cli_setup *setup, const struct cli_args *args)
{
    const bool as_json = cli_args_value(args, "json") != NULL;
    const bool stop = cli_args_value(args, "stop") != NULL;
    const char *verb = args->operands[0];
    const char *path = args->operand_count > 1 ? args->operands[1] : NULL;

    if (stop && strcmp(verb, "create") != 0)
        return cli_fail(CLI_NOT_STARTED, "savepoint %s: takes no --stop", verb);
    if (strcmp(verb, "create") == 0)
        return create(setup, path, stop, as_json);
    if (strcmp(verb, "ls") == 0)
        return list(setup, path, as_json);
    if (strcmp(verb, "show") != 0 && strcmp(verb, "rm") != 0)
        return cli_fail(CLI_NOT_STARTED, "savepoint %s: expected create, ls, show or rm", verb);
    if (path == NULL)
        return cli_fail(CLI_NOT_STARTED, "usage: sabot savepoint %s PATH", verb);
    return strcmp(verb, "show") == 0 ? show(path, as_json) : remove_one(path);
}
