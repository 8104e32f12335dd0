/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_state.c - what is in the checkpoints of an inspection: states, keys and values.
 *
 *   newest whole checkpoint of each pipeline --> agents --> shards --> states, counted
 *                                                             \--> rows of one, as JSON
 *
 * Every checkpoint is verified before it is used, and each block of a snapshot again when it is
 * read; a worker may remove the checkpoint meanwhile, then reading fails and names the file.
 *
 * Threads: the inspection's. Memory: manifests and tables in an arena; one row at a time. */
#include "api/inspect.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "state/peek.h"

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to look at states");
}

/* --- A shard as a stream -------------------------------------------------------------------------
 */

struct run_of_bytes {
    const struct sb_env *env;
    struct sb_file *file;
    uint64_t at;
    uint64_t end;
};

static sabot_status read_run(void *context,
                             void *buffer,
                             size_t size,
                             size_t *size_out,
                             sabot_error *error)
{
    struct run_of_bytes *run = context;
    const uint64_t left = run->end - run->at;

    SABOT_TRY(run->env->type->file_read(run->file, buffer, size < left ? size : (size_t)left,
                                        (int64_t)run->at, size_out, error));
    run->at += *size_out;
    return SABOT_OK;
}

/* Begin to read one shard, and let `use` do the rest. Errors name the file. */
static sabot_status with_shard(const struct sb_loaded *loaded,
                               const struct sb_manifest_shard *shard,
                               sb_inspect_function use,
                               void *context,
                               sabot_error *error)
{
    const struct sb_inspected *checkpoint = loaded->checkpoint;
    struct run_of_bytes run = {
        .env = checkpoint->folder.env, .at = shard->start, .end = shard->start + shard->size};
    const struct sb_byte_source source = {.read = read_run, .context = &run};
    sabot_error why = {.status = SABOT_OK};
    struct sb_peek peek;
    sabot_status status;

    SABOT_TRY(
        sb_ckpt_open_file(&checkpoint->folder, &loaded->manifest, shard->file, &run.file, error));
    status = sb_peek_begin(&peek, run.env, &source, &why);
    if (status == SABOT_OK)
        status = use(context, &peek, error);
    if (why.status != SABOT_OK) /* of the bytes, not of `use` */
        status = sabot_raise(error, why.status, "%s/%s, shard %u: %s", checkpoint->info.path,
                             loaded->manifest.files[shard->file].name, shard->shard, why.text);
    sb_peek_reset(&peek);
    run.env->type->file_close(run.env->self, run.file);
    return status;
}

/* The same with all shards of a task, or with this one; in whatever form they are. */
static sabot_status with_shards(const struct sb_loaded *loaded,
                                const struct sb_manifest_task *task,
                                uint32_t only_shard,
                                sb_inspect_function use,
                                void *context,
                                sabot_error *error)
{
    const struct sb_inspected *checkpoint = loaded->checkpoint;
    sabot_error why = {.status = SABOT_OK};
    sabot_status status;

    for (uint32_t i = 0; i < task->shard_count; i++)
        if (only_shard == SB_INSPECT_ALL || task->shards[i].shard == only_shard)
            SABOT_TRY(with_shard(loaded, &task->shards[i], use, context, error));
    if (!task->has_image)
        return SABOT_OK;
    status = sb_inspect_image(&checkpoint->folder, &loaded->manifest, task, only_shard, use,
                              context, &why);
    if (why.status == SABOT_OK) /* all is well, or `use` wants no more */
        return status;
    return sabot_raise(error, why.status, "%s: %s", checkpoint->info.path, why.text);
}

/* --- States --------------------------------------------------------------------------------------
 */

static const char *const kind_names[] = {
    [SB_STATE_VALUE] = "value",
    [SB_STATE_LIST] = "list",
    [SB_STATE_MAP] = "map",
    [SB_STATE_REDUCING] = "reducing",
    [SB_STATE_AGGREGATING] = "aggregating",
    [SB_STATE_TIMERS] = "timers",
};

/* "count int64, name chars[16]" */
static sabot_status write_fields(sabot_inspection *inspection,
                                 const struct sb_peek_state *state,
                                 const char **text_out)
{
    struct sb_buffer text;
    sabot_status status = SABOT_OK;

    sb_buffer_init(&text, inspection->env);
    for (uint32_t i = 0; i < state->field_count && status == SABOT_OK; i++) {
        const struct sb_peek_field *field = &state->fields[i];
        const uint32_t length = field->type == SABOT_CHARS ? field->size : field->count;
        char dimension[16] = "";

        if (length > 1 || field->type == SABOT_CHARS)
            (void)snprintf(dimension, sizeof dimension, "[%u]", length);
        status = sb_buffer_format(&text, "%s%s %s%s", i == 0 ? "" : ", ", field->path,
                                  sabot_type_name(field->type), dimension);
    }
    *text_out = sb_arena_copy(&inspection->states_arena,
                              text.size == 0 ? "" : (const char *)text.data, text.size);
    sb_buffer_reset(&text);
    return *text_out == NULL ? SABOT_ERR_MEMORY : status;
}

static sabot_status describe_state(sabot_inspection *inspection,
                                   const struct sb_peek_state *state,
                                   struct sb_loaded_state *described)
{
    struct sb_arena *arena = &inspection->states_arena;
    const struct sb_inspected *checkpoint = described->loaded->checkpoint;
    const uint32_t key_type = described->task->key_type;

    described->info = (sabot_state_info){
        .checkpoint = (size_t)(checkpoint - inspection->checkpoints),
        .app = checkpoint->info.app,
        .agent = described->task->name,
        .name = sb_arena_copy(arena, state->name, strlen(state->name)),
        .kind = kind_names[state->kind],
        .key_type = key_type == 0 ? "" : sabot_type_name((sabot_type)key_type),
        .schema = "",
        .version = state->version,
        .fields = "",
    };
    if (state->schema != NULL) {
        described->info.schema = sb_arena_copy(arena, state->schema, strlen(state->schema));
        SABOT_TRY(write_fields(inspection, state, &described->info.fields));
    }
    return described->info.name == NULL || described->info.schema == NULL ? SABOT_ERR_MEMORY
                                                                          : SABOT_OK;
}

/* What is known of a task's states while its shards are counted. */
struct counting {
    sabot_inspection *inspection;
    const struct sb_loaded *loaded;
    const struct sb_manifest_task *task;
    struct sb_loaded_state **end; /* of the list of all states */
};

/* The state of this name, made when it is new. NULL: no memory. */
static struct sb_loaded_state *state_of(struct counting *counting,
                                        const struct sb_peek_state *state)
{
    sabot_inspection *inspection = counting->inspection;
    struct sb_loaded_state *found = inspection->states;

    while (found != NULL &&
           (found->task != counting->task || strcmp(found->info.name, state->name) != 0))
        found = found->next;
    if (found != NULL)
        return found;
    found = sb_arena_alloc(&inspection->states_arena, sizeof *found);
    if (found == NULL)
        return NULL;
    found->loaded = counting->loaded;
    found->task = counting->task;
    if (describe_state(inspection, state, found) != SABOT_OK)
        return NULL;
    *counting->end = found;
    counting->end = &found->next;
    return found;
}

static sabot_status count_shard(void *context, struct sb_peek *peek, sabot_error *error)
{
    struct counting *counting = context;
    struct sb_loaded_state *states[SB_STATES_MAX];
    sabot_status status;

    for (uint32_t i = 0; i < peek->state_count; i++) {
        states[i] = state_of(counting, &peek->states[i]);
        if (states[i] == NULL)
            return no_memory(error);
    }
    while ((status = sb_peek_next(peek)) == SABOT_OK) {
        const struct sb_peek_row *row = &peek->row;
        sabot_state_info *info = &states[row->state - peek->states]->info;

        info->keys += row->begins_key;
        info->rows++;
        info->bytes += (row->begins_key ? row->key.size : 0) + row->entry.size + row->value.size;
    }
    return status == SABOT_END ? SABOT_OK : status;
}

/* --- Which checkpoints ---------------------------------------------------------------------------
 */

/* Verify it and keep its manifest. */
static sabot_status load_checkpoint(sabot_inspection *inspection, size_t index, sabot_error *error)
{
    struct sb_loaded *loaded = sb_arena_alloc(&inspection->states_arena, sizeof *loaded);
    struct sb_loaded **end = &inspection->loaded;

    if (loaded == NULL)
        return no_memory(error);
    SABOT_TRY(sabot_inspection_verify(inspection, index, error));
    while (*end != NULL)
        end = &(*end)->next;
    loaded->checkpoint = &inspection->checkpoints[index];
    sb_manifest_init(&loaded->manifest, inspection->env);
    *end = loaded; /* from here on unload() resets it */
    return sb_ckpt_read(&loaded->checkpoint->folder, &loaded->checkpoint->entry, &loaded->manifest,
                        error);
}

/* The pipeline of this checkpoint has one that is loaded. */
static bool is_loaded(const sabot_inspection *inspection, const struct sb_inspected *checkpoint)
{
    const struct sb_loaded *loaded = inspection->loaded;

    while (loaded != NULL && strcmp(loaded->checkpoint->folder.path, checkpoint->folder.path) != 0)
        loaded = loaded->next;
    return loaded != NULL;
}

static sabot_status try_checkpoint(sabot_inspection *inspection,
                                   size_t index,
                                   int64_t id,
                                   sabot_error *error)
{
    sabot_checkpoint_info *info = &inspection->checkpoints[index].info;
    sabot_status status;

    if (info->moved_aside || (id != 0 && info->id != id) ||
        is_loaded(inspection, &inspection->checkpoints[index]))
        return SABOT_OK;
    if (info->condition == SABOT_DAMAGED && id != 0)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "%s", info->reason);
    if (info->condition != SABOT_WHOLE)
        return SABOT_OK;
    status = load_checkpoint(inspection, index, error);
    if (status == SABOT_OK || status == SABOT_ERR_MEMORY || id != 0)
        return status;
    info->condition = status == SABOT_ERR_NOT_FOUND ? SABOT_PARTIAL : SABOT_DAMAGED;
    info->reason = error == NULL
                       ? "its bytes have changed"
                       : sb_arena_copy(&inspection->arena, error->text, strlen(error->text));
    return info->reason == NULL ? no_memory(error) : SABOT_OK;
}

/* None could be loaded: for want of any, or because all are damaged. */
static sabot_status raise_none(const sabot_inspection *inspection, sabot_error *error)
{
    for (uint32_t i = 0; i < inspection->count; i++) {
        const sabot_checkpoint_info *info = &inspection->checkpoints[i].info;

        if (info->condition == SABOT_DAMAGED && !info->moved_aside)
            return sabot_raise(error, SABOT_ERR_CORRUPT, "no checkpoint is whole: %s",
                               info->reason);
    }
    return sabot_raise(error, SABOT_ERR_NOT_FOUND, "no whole checkpoint is there");
}

static sabot_status load_all(sabot_inspection *inspection, int64_t id, sabot_error *error)
{
    struct counting counting = {.inspection = inspection, .end = &inspection->states};

    for (uint32_t i = 0; i < inspection->count; i++)
        SABOT_TRY(try_checkpoint(inspection, i, id, error));
    if (inspection->loaded == NULL && id != 0)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND, "no whole checkpoint %lld is there",
                           (long long)id);
    if (inspection->loaded == NULL)
        return raise_none(inspection, error);
    for (counting.loaded = inspection->loaded; counting.loaded != NULL;
         counting.loaded = counting.loaded->next) {
        const struct sb_manifest *manifest = &counting.loaded->manifest;

        for (uint32_t task = 0; task < manifest->task_count; task++) {
            counting.task = &manifest->tasks[task];
            SABOT_TRY(with_shards(counting.loaded, counting.task, SB_INSPECT_ALL, count_shard,
                                  &counting, error));
        }
    }
    return SABOT_OK;
}

void sb_inspection_unload(sabot_inspection *inspection)
{
    for (struct sb_loaded *loaded = inspection->loaded; loaded != NULL; loaded = loaded->next)
        sb_manifest_reset(&loaded->manifest);
    inspection->loaded = NULL;
    inspection->states = NULL;
    sb_arena_reset(&inspection->states_arena);
}

sabot_status sabot_inspection_load(sabot_inspection *inspection, int64_t id, sabot_error *error)
{
    sabot_error own = {.status = SABOT_OK};
    sabot_status status;

    sb_inspection_unload(inspection);
    status = load_all(inspection, id, error == NULL ? &own : error);
    if (status != SABOT_OK)
        sb_inspection_unload(inspection);
    return status;
}

static const struct sb_loaded_state *state_at(const sabot_inspection *inspection, size_t index)
{
    const struct sb_loaded_state *state = inspection->states;

    for (size_t i = 0; i < index && state != NULL; i++)
        state = state->next;
    return state;
}

bool sabot_inspection_state(const sabot_inspection *inspection,
                            size_t index,
                            sabot_state_info *info_out)
{
    const struct sb_loaded_state *state = state_at(inspection, index);

    if (state != NULL)
        *info_out = state->info;
    return state != NULL;
}

/* --- Rows ----------------------------------------------------------------------------------------
 */

struct selection {
    const struct sb_loaded_state *state;
    bool has_key;
    struct sb_buffer wanted; /* the key's bytes */
    struct sb_buffer key;    /* as JSON */
    struct sb_buffer entry;
    struct sb_buffer value;
    sabot_state_function each;
    void *context;
};

static sabot_text text_of(const struct sb_buffer *buffer)
{
    return (sabot_text){(const char *)buffer->data, buffer->size};
}

static bool is_wanted(const struct selection *selection, const struct sb_peek_row *row)
{
    if (strcmp(row->state->name, selection->state->info.name) != 0)
        return false;
    return !selection->has_key ||
           (row->key.size == selection->wanted.size &&
            (row->key.size == 0 ||
             memcmp(row->key.data, selection->wanted.data, row->key.size) == 0));
}

static sabot_status give_row(struct selection *selection, const struct sb_peek_row *row)
{
    sabot_state_row given = {
        .element = row->element,
        .time_ms = row->state->has_time ? row->time_ms : 0,
    };

    selection->key.size = 0;
    selection->entry.size = 0;
    selection->value.size = 0;
    SABOT_TRY(sb_inspect_key_json(&selection->key, row->key, selection->state->task->key_type));
    if (row->has_entry)
        SABOT_TRY(sb_inspect_key_json(&selection->entry, row->entry, 0));
    SABOT_TRY(sb_inspect_value_json(&selection->value, row));
    given.key = text_of(&selection->key);
    given.value = text_of(&selection->value);
    if (row->has_entry)
        given.entry = text_of(&selection->entry);
    return selection->each(selection->context, &given);
}

static sabot_status give_shard(void *context, struct sb_peek *peek, sabot_error *error)
{
    struct selection *selection = context;
    sabot_status status;

    while ((status = sb_peek_next(peek)) == SABOT_OK) {
        if (!is_wanted(selection, &peek->row))
            continue;
        status = give_row(selection, &peek->row);
        if (status == SABOT_ERR_MEMORY)
            return no_memory(error);
        SABOT_TRY(status);
    }
    return status == SABOT_END ? SABOT_OK : status;
}

/* All shards, or the one that has the key. */
static sabot_status give_rows(struct selection *selection, const char *key, sabot_error *error)
{
    const struct sb_loaded_state *state = selection->state;
    const struct sb_manifest *manifest = &state->loaded->manifest;
    uint32_t shard = SB_INSPECT_ALL;

    if (selection->has_key) {
        SABOT_TRY(sb_inspect_key_parse(&selection->wanted, key, state->task->key_type, error));
        shard = sb_hash_shard(
            sb_hash(selection->wanted.data, selection->wanted.size, manifest->hash_seed));
    }
    return with_shards(state->loaded, state->task, shard, give_shard, selection, error);
}

sabot_status sabot_inspection_rows(const sabot_inspection *inspection,
                                   size_t index,
                                   const char *key,
                                   sabot_state_function each,
                                   void *context,
                                   sabot_error *error)
{
    struct selection selection = {.state = state_at(inspection, index),
                                  .has_key = key != NULL,
                                  .each = each,
                                  .context = context};
    sabot_status status;

    if (selection.state == NULL)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "no state has the index %zu", index);
    sb_buffer_init(&selection.wanted, inspection->env);
    sb_buffer_init(&selection.key, inspection->env);
    sb_buffer_init(&selection.entry, inspection->env);
    sb_buffer_init(&selection.value, inspection->env);
    status = give_rows(&selection, key, error);
    sb_buffer_reset(&selection.wanted);
    sb_buffer_reset(&selection.key);
    sb_buffer_reset(&selection.entry);
    sb_buffer_reset(&selection.value);
    return status;
}
