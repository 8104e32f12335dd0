/* SPDX-License-Identifier: Apache-2.0 */
/* app.c - an app of somebody else's in the simulator: include/sabot/sim.h says what it is for.
 *
 * The seed is run without faults first; what is committed then is what must be committed with them.
 * Each input lies in one partition, so that its order is that of its file.
 *
 * An app's writable data is one piece of memory for all processes that are simulated. So it is
 * changed with them: whenever another process goes on, the data of the one before is put away and
 * its own is put in place; a new one finds what the loader had made.
 *
 * Thread: one. Memory: of an environment of its own, below the simulated ones. */
#include <sabot/sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/app.h"
#include "api/catalog.h"
#include "api/module.h"
#include "base/os_module.h"
#include "sim/sim.h"

enum { REGIONS_MAX = 8, RECORDS_MAX = 500, OUTPUT_PARTITIONS = 2, INPUTS_MAX = 16 };
enum { FILE_MAX = 64 * 1024 * 1024, OWN_SLOT = SB_SIM_PROCESSES_MAX, SLOTS };

/* One committed record: key and value behind each other. */
struct committed {
    const char *channel;
    char *bytes;
    size_t key_size;
    size_t value_size;
    bool has_key;
    sabot_record place;
};

struct sabot_committed {
    const struct sb_env *env;
    struct committed *records;
    size_t count;
    size_t capacity;
};

/* The lines of a file. */
struct input {
    struct sb_buffer bytes;
    size_t at;
    size_t left; /* lines */
};

struct trial {
    const struct sb_env *env;
    const sabot_app_entry *entry;
    const sabot_sim_options *options;
    sabot_config *config; /* of the processes */
    sabot_app *app;       /* built for its channels and its invariant */
    struct input inputs[INPUTS_MAX];
    uint32_t input_count;
    uint32_t current_input;
    sabot_committed committed;
    const sabot_committed *expected; /* NULL: anything */
    /* The app's writable data. */
    struct sb_os_region regions[REGIONS_MAX];
    uint32_t region_count;
    size_t data_size;
    uint8_t *images[SLOTS + 1]; /* of each slot; the last: as it was loaded */
    uint32_t slot;              /* whose data is in place */
};

/* --- Writable data ------------------------------------------------------------------------------
 */

static void copy_data(const struct trial *trial, uint8_t *image, bool into_place)
{
    for (uint32_t i = 0; i < trial->region_count; i++) {
        const struct sb_os_region *region = &trial->regions[i];

        if (into_place)
            memcpy(region->start, image, region->size);
        else
            memcpy(image, region->start, region->size);
        image += region->size;
    }
}

/* From now on the data of `slot` is in place. */
static void change_to(struct trial *trial, uint32_t slot, bool is_new)
{
    if (trial->region_count == 0 || (slot == trial->slot && !is_new))
        return;
    copy_data(trial, trial->images[trial->slot], false);
    copy_data(trial, trial->images[is_new ? SLOTS : slot], true);
    trial->slot = slot;
}

static void inside(void *user, uint32_t slot, bool is_new)
{
    change_to(user, slot, is_new);
}

static sabot_status keep_data(struct trial *trial, sabot_module *module, sabot_error *error)
{
    if (module == NULL)
        return SABOT_OK;
    trial->region_count = sb_os_module_data(sb_module_handle(module), trial->regions, REGIONS_MAX);
    for (uint32_t i = 0; i < trial->region_count; i++)
        trial->data_size += trial->regions[i].size;
    for (uint32_t i = 0; i <= SLOTS; i++) {
        trial->images[i] = sb_alloc(trial->env, trial->data_size + 1);
        if (trial->images[i] == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the data of the app");
        copy_data(trial, trial->images[i], false);
    }
    trial->slot = OWN_SLOT;
    return SABOT_OK;
}

/* --- Committed records --------------------------------------------------------------------------
 */

static void forget(sabot_committed *committed)
{
    for (size_t i = 0; i < committed->count; i++)
        sb_free(committed->env, committed->records[i].bytes,
                committed->records[i].key_size + committed->records[i].value_size + 1);
    sb_free_array(committed->env, committed->records, committed->capacity,
                  sizeof *committed->records);
    *committed = (sabot_committed){.env = committed->env};
}

static sabot_status remember(sabot_committed *committed,
                             const char *channel,
                             const struct sb_record *record,
                             sabot_error *error)
{
    struct committed *kept;

    if (committed->count == committed->capacity) {
        const size_t capacity = committed->capacity == 0 ? 256 : 2 * committed->capacity;
        struct committed *records = sb_alloc_array(committed->env, capacity, sizeof *records);

        if (records == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for %zu records", capacity);
        if (committed->records != NULL)
            memcpy(records, committed->records, committed->count * sizeof *records);
        sb_free_array(committed->env, committed->records, committed->capacity, sizeof *records);
        committed->records = records;
        committed->capacity = capacity;
    }
    kept = &committed->records[committed->count];
    *kept = (struct committed){
        .channel = channel,
        .bytes = sb_alloc(committed->env, record->key.size + record->value.size + 1),
        .key_size = record->key.size,
        .value_size = record->value.size,
        .has_key = record->key.data != NULL,
    };
    if (kept->bytes == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a record");
    if (record->key.data != NULL)
        memcpy(kept->bytes, record->key.data, record->key.size);
    if (record->value.data != NULL)
        memcpy(kept->bytes + record->key.size, record->value.data, record->value.size);
    kept->place = (sabot_record){
        .key = {kept->has_key ? kept->bytes : NULL, kept->key_size},
        .value = {kept->bytes + kept->key_size, kept->value_size},
        .partition = record->partition,
        .offset = record->offset,
        .timestamp_ms = record->timestamp_ms,
    };
    committed->count++;
    return SABOT_OK;
}

bool sabot_committed_record(const sabot_committed *committed,
                            const char *channel,
                            size_t index,
                            sabot_record *record_out)
{
    for (size_t i = 0; i < committed->count; i++) {
        if (strcmp(committed->records[i].channel, channel) != 0 || index-- > 0)
            continue;
        *record_out = committed->records[i].place;
        return true;
    }
    return false;
}

static int order_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const size_t size = a_size < b_size ? a_size : b_size;
    const int order = size == 0 ? 0 : memcmp(a, b, size);

    if (order != 0)
        return order;
    return (a_size > b_size) - (a_size < b_size);
}

static int order_records(const void *a, const void *b)
{
    const struct committed *one = a;
    const struct committed *other = b;
    const int order = strcmp(one->channel, other->channel);

    if (order != 0)
        return order;
    return order_bytes(one->bytes, one->key_size + one->value_size, other->bytes,
                       other->key_size + other->value_size);
}

static void sort(sabot_committed *committed)
{
    if (committed->count > 0)
        qsort(committed->records, committed->count, sizeof *committed->records, order_records);
}

/* Both are sorted. */
static sabot_status compare(const sabot_committed *got,
                            const sabot_committed *expected,
                            sabot_error *error)
{
    for (size_t i = 0; i < got->count || i < expected->count; i++) {
        const struct committed *one = i < got->count ? &got->records[i] : NULL;
        const struct committed *other = i < expected->count ? &expected->records[i] : NULL;
        int order = one == NULL ? 1 : -1;

        if (one != NULL && other != NULL)
            order = order_records(one, other);
        if (order == 0)
            continue;
        if (order < 0)
            other = one;
        SB_ASSERT(other != NULL);
        return sabot_raise(
            error, SABOT_ERR_STATE,
            "channel %s, of %zu records in all: %.*s: %s than in the run without "
            "faults, which has %zu",
            other->channel, got->count, (int)other->value_size, other->bytes + other->key_size,
            order < 0 ? "is there more often" : "is there less often", expected->count);
    }
    return SABOT_OK;
}

/* --- Input --------------------------------------------------------------------------------------
 */

static sabot_status read_file(struct trial *trial, const sabot_channel *channel, sabot_error *error)
{
    const struct sb_env *env = trial->env;
    struct input *input = &trial->inputs[trial->input_count];
    const char *path = strchr(channel->url, ':') + 1;
    const size_t size = strcspn(path, "?");
    char name[4096];
    struct sb_file_info info;
    struct sb_file *file;
    size_t read = 0;
    sabot_status status;

    if (trial->input_count == INPUTS_MAX || size >= sizeof name)
        return sabot_raise(error, SABOT_ERR_LIMIT, "channel %s: %d inputs are the limit",
                           channel->name, INPUTS_MAX);
    (void)snprintf(name, sizeof name, "%.*s", (int)size, path);
    sb_buffer_init(&input->bytes, env);
    trial->input_count++;
    SABOT_TRY(env->type->file_open(env->self, name, SB_OPEN_READ, &file, error));
    status = env->type->file_info(file, &info, error);
    if (status == SABOT_OK && info.size > FILE_MAX)
        info.size = FILE_MAX;
    if (status == SABOT_OK)
        status = sb_buffer_reserve(&input->bytes, (size_t)info.size);
    if (status == SABOT_OK)
        status = env->type->file_read(file, input->bytes.data, (size_t)info.size, 0, &read, error);
    env->type->file_close(env->self, file);
    input->bytes.size = read;
    return status;
}

/* The inputs are fed in turn, each by a function of its own. */
static sabot_status next_line(struct input *input, struct sb_sim_input *input_out)
{
    const char *line = (const char *)input->bytes.data + input->at;
    const size_t rest = input->bytes.size - input->at;
    const char *end = rest == 0 ? NULL : memchr(line, '\n', rest);
    const size_t size = end == NULL ? rest : (size_t)(end - line);

    if (rest == 0 || input->left == 0)
        return SABOT_END;
    input->left--;
    input->at += size + (end != NULL);
    *input_out = (struct sb_sim_input){
        .partition = 0,
        .value = {line, size},
        .timestamp_ms = SB_TIMESTAMP_NOW,
    };
    return SABOT_OK;
}

static sabot_status next_input(void *user, uint32_t index, struct sb_sim_input *input_out)
{
    struct trial *trial = user;

    return next_line(&trial->inputs[index], input_out);
}

/* --- What the world asks ------------------------------------------------------------------------
 */

static bool is_read(const struct trial *trial, const sabot_channel *channel)
{
    for (uint32_t i = 0; i < trial->app->agent_count; i++) {
        if (trial->app->agents[i]->channel == channel)
            return true;
    }
    return false;
}

static bool is_written(const struct trial *trial, const sabot_channel *channel)
{
    for (uint32_t i = 0; i < trial->app->agent_count; i++) {
        const sabot_agent *agent = trial->app->agents[i];

        for (uint32_t output = 0; output < agent->output_count; output++) {
            if (agent->outputs[output] == channel)
                return true;
        }
    }
    return false;
}

/* A source that is the app's own must end: there is no other way to know that all is done. */
static bool has_source(const struct trial *trial)
{
    for (uint32_t i = 0; i < trial->app->channel_count; i++) {
        if (trial->app->channels[i]->source != NULL &&
            sb_catalog_is_memory(trial->app->channels[i]->url))
            return true;
    }
    return false;
}

static size_t records_of(const struct trial *trial)
{
    return trial->options->records_max == 0 ? RECORDS_MAX : trial->options->records_max;
}

/* A source that is the app's own makes as many records as there are of a file. */
static sabot_status bind_source(struct trial *trial,
                                const sabot_channel *channel,
                                sabot_error *error)
{
    char url[2 * SABOT_NAME_MAX + 64];

    if (strchr(channel->url, '?') != NULL)
        return SABOT_OK; /* it says more than we know */
    (void)snprintf(url, sizeof url, "memory:%s?records=%zu", channel->name, records_of(trial));
    return sabot_config_bind(trial->config, channel->name, url, error);
}

static sabot_status open_channel(struct trial *trial,
                                 struct sb_sim *sim,
                                 const sabot_channel *channel,
                                 sabot_error *error)
{
    const bool reads = is_read(trial, channel);
    const bool writes = is_written(trial, channel);
    const bool is_memory = sb_catalog_is_memory(channel->url);
    char url[SABOT_NAME_MAX + 16];

    if ((!reads && !writes) || (is_memory && reads && writes))
        return SABOT_OK;
    if (is_memory && reads && channel->source != NULL)
        return bind_source(trial, channel, error);
    (void)snprintf(url, sizeof url, "sim:%s", channel->name);
    if (writes) {
        SABOT_TRY(sb_sim_topic(sim, channel->name, OUTPUT_PARTITIONS, NULL, 0, error));
        return sabot_config_bind(trial->config, channel->name, url, error);
    }
    if (!sb_catalog_is_file(channel->url))
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "channel %s: its records come from a file here: --bind %s=file:PATH",
                           channel->name, channel->name);
    trial->inputs[trial->current_input].at = 0;
    trial->inputs[trial->current_input].left = records_of(trial);
    SABOT_TRY(sb_sim_topic(sim, channel->name, 1, next_input, trial->current_input++, error));
    return sabot_config_bind(trial->config, channel->name, url, error);
}

static sabot_status open_trial(void *user, struct sb_sim *sim, sabot_error *error)
{
    struct trial *trial = user;

    trial->current_input = 0;
    if (has_source(trial))
        sb_sim_ends_by_itself(sim);
    for (uint32_t i = 0; i < trial->app->channel_count; i++)
        SABOT_TRY(open_channel(trial, sim, trial->app->channels[i], error));
    return sabot_config_set(trial->config, SABOT_FROM_OPTION, "state.dir", "/state", error);
}

static sabot_status see_record(void *user,
                               const char *topic,
                               const struct sb_record *record,
                               sabot_error *error)
{
    struct trial *trial = user;
    const sabot_channel *channel = sb_app_find_channel(trial->app, topic);

    return remember(&trial->committed, channel == NULL ? topic : channel->name, record, error);
}

static sabot_status check(struct trial *trial, bool at_end, sabot_error *error)
{
    const sabot_app *app = trial->app;
    const uint32_t slot = trial->slot;
    sabot_status status;

    if (app->invariant == NULL)
        return SABOT_OK;
    change_to(trial, OWN_SLOT, false);
    *error = (sabot_error){.status = SABOT_OK};
    status = app->invariant(app->invariant_user, &trial->committed, at_end, error);
    change_to(trial, slot, false);
    if (status != SABOT_OK && error->status == SABOT_OK)
        return sabot_raise(error, status, "the app's own check fails, and does not say why");
    return status;
}

static sabot_status see_commit(void *user, sabot_error *error)
{
    return check(user, false, error);
}

static sabot_status see_end(void *user, struct sb_sim *sim, sabot_error *error)
{
    struct trial *trial = user;

    (void)sim;
    SABOT_TRY(check(trial, true, error));
    sort(&trial->committed);
    if (trial->expected == NULL || trial->options->any_output)
        return SABOT_OK;
    return compare(&trial->committed, trial->expected, error);
}

/* --- A seed -------------------------------------------------------------------------------------
 */

static sabot_status open_inputs(struct trial *trial, sabot_error *error)
{
    for (uint32_t i = 0; i < trial->app->channel_count; i++) {
        const sabot_channel *channel = trial->app->channels[i];

        if (is_read(trial, channel) && !is_written(trial, channel) &&
            sb_catalog_is_file(channel->url))
            SABOT_TRY(read_file(trial, channel, error));
    }
    return SABOT_OK;
}

static sabot_status prepare(struct trial *trial,
                            sabot_module *module,
                            const sabot_config *config,
                            sabot_error *error)
{
    SABOT_TRY(keep_data(trial, module, error));
    SABOT_TRY(sb_config_clone(config, trial->env, &trial->config, error));
    SABOT_TRY(sb_app_create(trial->env, trial->entry, trial->config, &trial->app, error));
    return open_inputs(trial, error);
}

static sabot_status run(struct trial *trial,
                        uint32_t faults,
                        struct sb_sim_reach *reach,
                        struct sb_sim_result *result_out,
                        sabot_error *error)
{
    const struct sb_sim_plan plan = {
        .entry = trial->entry,
        .config = trial->config,
        .user = trial,
        .open = open_trial,
        .inside = inside,
        .record = see_record,
        .commit = see_commit,
        .end = see_end,
    };
    const struct sb_sim_options options = {
        .seed = trial->options->seed,
        .faults = faults,
        .until_us = trial->options->until_ms * 1000,
        .verbose = trial->options->verbose && faults != 0,
        .reach = reach,
    };
    const sabot_status status = sb_sim_run(trial->env, &plan, &options, result_out, error);

    change_to(trial, OWN_SLOT, false);
    return status;
}

static void describe(const struct sb_sim_result *result, sabot_sim_result *result_out)
{
    *result_out = (sabot_sim_result){
        .hash = result->hash,
        .violated = result->violated,
        .starts = result->starts,
        .virtual_ms = result->virtual_us / 1000,
    };
    (void)snprintf(result_out->text, sizeof result_out->text, "%s", result->text);
    sb_sim_faults_write(result->faults, result_out->faults, sizeof result_out->faults);
}

static sabot_status try_seed(struct trial *trial,
                             struct sb_sim_reach *reach,
                             sabot_sim_result *result_out,
                             sabot_error *error)
{
    const char *list = trial->options->faults == NULL ? "all" : trial->options->faults;
    sabot_committed expected;
    struct sb_sim_result result;
    uint32_t faults;
    sabot_status status;

    SABOT_TRY(sb_sim_faults_parse(list, &faults, error));
    SABOT_TRY(run(trial, 0, reach, &result, error));
    describe(&result, result_out);
    result_out->records = trial->committed.count;
    if (result.violated || faults == 0)
        return SABOT_OK;
    expected = trial->committed;
    trial->committed = (sabot_committed){.env = trial->env};
    trial->expected = &expected;
    status = run(trial, faults, reach, &result, error);
    describe(&result, result_out);
    result_out->records = trial->committed.count;
    forget(&expected);
    return status;
}

static void end(struct trial *trial)
{
    const struct sb_env *env = trial->env;

    change_to(trial, OWN_SLOT, false);
    sb_app_destroy(trial->app);
    sabot_config_destroy(trial->config);
    forget(&trial->committed);
    for (uint32_t i = 0; i < trial->input_count; i++)
        sb_buffer_reset(&trial->inputs[i].bytes);
    if (trial->images[SLOTS] != NULL)
        copy_data(trial, trial->images[SLOTS], true);
    for (uint32_t i = 0; i <= SLOTS; i++)
        sb_free(env, trial->images[i], trial->data_size + 1);
}

sabot_status sabot_sim_run(const sabot_app_entry *entry,
                           sabot_module *module,
                           const sabot_config *config,
                           const sabot_sim_options *options,
                           sabot_sim_result *result_out,
                           sabot_error *error)
{
    struct sb_sim_reach *reach;
    struct trial *trial;
    struct sb_env *env;
    sabot_status status;

    *result_out = (sabot_sim_result){.hash = 0};
    SABOT_TRY(sb_os_env_create(&env, error));
    reach = sb_alloc(env, sizeof *reach);
    trial = sb_alloc(env, sizeof *trial);
    if (reach == NULL || trial == NULL) {
        status = sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a simulation");
    } else {
        *trial = (struct trial){
            .env = env,
            .entry = entry,
            .options = options,
            .committed = {.env = env},
        };
        status = prepare(trial, module, config, error);
        if (status == SABOT_OK)
            status = try_seed(trial, reach, result_out, error);
        end(trial);
    }
    sb_free(env, trial, sizeof *trial);
    sb_free(env, reach, sizeof *reach);
    sb_os_env_destroy(env);
    return status;
}

const char *sabot_sim_fault(size_t index)
{
    return index < SB_SIM_FAULTS ? sb_sim_fault_name((enum sb_sim_fault)index) : NULL;
}
