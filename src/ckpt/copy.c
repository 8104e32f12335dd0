/* SPDX-License-Identifier: Apache-2.0 */
/* copy.c - the thread that writes a savepoint's part of a pipeline, a shard at a step.
 *
 *   OPENING ---> COPYING, of each task each shard ---> SEALING ---> DONE
 *      \____________ an error, or told to end _____________________/ */
#include "ckpt/copy.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mutant.h"
#include "ckpt/restore.h"

enum copy_state { OPENING, COPYING, SEALING };

struct sb_copy {
    struct sb_copy_config config;
    enum copy_state state;
    struct sb_manifest from;
    struct sb_manifest manifest; /* of the copy; texts and positions are `from`'s */
    struct sb_chunks chunks;
    struct sb_image *image;         /* of the task in hand; NULL: it has none */
    struct sb_ckpt_reading reading; /* of the rows; begins with the first task that has some */
    struct sb_ckpt_writer writer;
    uint32_t task;  /* of `from`, in hand */
    uint32_t shard; /* of it, the next */
    struct sb_copy_result result;
    struct sb_waker *waker;
    struct sb_thread *thread;
    _Atomic bool ends; /* it is to be given up */
    _Atomic bool done; /* the thread does no more */
};

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a savepoint");
}

/* --- Opening -------------------------------------------------------------------------------------
 */

/* The manifest of the copy: all but the files and the shards is as in the checkpoint. */
static sabot_status draft(struct sb_copy *copy, sabot_error *error)
{
    struct sb_manifest *manifest = &copy->manifest;
    const struct sb_env *env = copy->config.env;

    *manifest = copy->from;
    sb_arena_init(&manifest->arena, env);
    manifest->nonce = sb_random(env);
    manifest->origin = 0;
    manifest->task_count = 0;
    manifest->tasks =
        sb_arena_alloc(&manifest->arena, (copy->from.task_count + 1UL) * sizeof *manifest->tasks);
    return manifest->tasks == NULL ? no_memory(error) : SABOT_OK;
}

static sabot_status open_all(struct sb_copy *copy, sabot_error *error)
{
    const struct sb_copy_config *config = &copy->config;
    struct sb_ckpt_entry entry;

    SABOT_TRY(sb_ckpt_read(config->from, &config->entry, &copy->from, error));
    SABOT_TRY(sb_ckpt_verify(config->from, &copy->from, error));
    sb_crash_point(config->env, "savepoint.reading");
    SABOT_TRY(sb_chunks_open(&copy->chunks, config->from, &copy->from, error));
    SABOT_TRY(draft(copy, error));
    entry = sb_ckpt_entry_of(&copy->manifest);
    SABOT_TRY(sb_ckpt_begin(&copy->writer, config->to, &entry, error));
    copy->writer.kind = SB_FILE_STATE;
    copy->state = COPYING;
    return SABOT_OK;
}

/* --- Copying -------------------------------------------------------------------------------------
 */

static sabot_status begin_task(struct sb_copy *copy, sabot_error *error)
{
    const struct sb_manifest_task *from = &copy->from.tasks[copy->task];
    struct sb_manifest_task *task = &copy->manifest.tasks[copy->manifest.task_count];

    *task = *from;
    task->has_image = false;
    task->shard_count = 0;
    task->shards = sb_arena_alloc(&copy->manifest.arena, SB_SHARD_COUNT * sizeof *task->shards);
    if (task->shards == NULL)
        return no_memory(error);
    copy->manifest.task_count++;
    if (!from->has_image)
        return SABOT_OK;
    SABOT_TRY(sb_image_open(copy->config.env, copy->chunks.files, copy->chunks.count,
                            from->image_node, &copy->image, error));
    sb_image_set_account(copy->image, copy->config.account);
    if (!sb_image_has_rows(copy->image))
        return SABOT_OK;
    if (copy->reading.rows == NULL)
        SABOT_TRY(sb_ckpt_read_rows(&copy->reading, copy->config.from, &copy->from,
                                    copy->config.reader, error));
    sb_image_set_rows(copy->image, copy->reading.rows);
    return SABOT_OK;
}

static sabot_status append(void *context, const void *bytes, size_t size, sabot_error *error)
{
    struct sb_copy *copy = context;

    return sb_ckpt_append(&copy->writer, bytes, size, error);
}

static sabot_status copy_shard(struct sb_copy *copy, uint32_t number, sabot_error *error)
{
    const struct sb_byte_sink sink = {.write = append, .context = copy};
    struct sb_manifest_task *task = &copy->manifest.tasks[copy->manifest.task_count - 1];
    const uint64_t start = copy->writer.blocks_size;

    sb_crash_point(copy->config.env, "savepoint.shard");
    if (SB_MUTANT(SAVEPOINT_SHARD_LOST) && number % 4 == 0)
        return SABOT_OK;
    if (copy->image == NULL)
        return SABOT_OK; /* a task without state */
    SABOT_TRY(sb_image_write(copy->image, number, &sink, error));
    task->shards[task->shard_count++] = (struct sb_manifest_shard){
        .shard = number, .start = start, .size = copy->writer.blocks_size - start};
    return SABOT_OK;
}

static void end_task(struct sb_copy *copy)
{
    sb_image_close(copy->image);
    copy->image = NULL;
    copy->shard = 0;
    copy->task++;
}

/* Of one task, one shard; or a task that is not wanted. */
static sabot_status copy_some(struct sb_copy *copy, sabot_error *error)
{
    const struct sb_copy_config *config = &copy->config;

    if (copy->task == copy->from.task_count) {
        copy->state = SEALING;
        return SABOT_OK;
    }
    if (config->only_task != NULL &&
        strcmp(copy->from.tasks[copy->task].name, config->only_task) != 0) {
        end_task(copy);
        return SABOT_OK;
    }
    if (copy->shard == 0)
        SABOT_TRY(begin_task(copy, error));
    if (config->only_shard == SB_COPY_ALL || config->only_shard == copy->shard)
        SABOT_TRY(copy_shard(copy, copy->shard, error));
    if (++copy->shard == SB_SHARD_COUNT)
        end_task(copy);
    return SABOT_OK;
}

/* --- The thread ----------------------------------------------------------------------------------
 */

/* Nothing is held any more but the result. */
static struct sb_step rest(struct sb_copy *copy)
{
    const struct sb_env *env = copy->config.env;

    sb_ckpt_abandon(&copy->writer);
    sb_image_close(copy->image);
    copy->image = NULL;
    sb_ckpt_end_reading(&copy->reading);
    if (copy->chunks.env != NULL)
        sb_chunks_close(&copy->chunks);
    atomic_store(&copy->done, true);
    sb_wake(env, copy->config.owner);
    return sb_step_done();
}

static sabot_status seal(struct sb_copy *copy, sabot_error *error)
{
    SABOT_TRY(sb_ckpt_finish(&copy->writer, &copy->manifest, NULL, 0, error));
    copy->result.entry = sb_ckpt_entry_of(&copy->manifest);
    copy->result.checksum = copy->manifest.checksum;
    return SABOT_OK;
}

static struct sb_step step(void *context)
{
    struct sb_copy *copy = context;
    sabot_error *error = &copy->result.error;
    sabot_status status = SABOT_OK;

    if (atomic_load(&copy->ends)) {
        (void)sabot_raise(error, SABOT_ERR_CLOSED, "the run has ended before the savepoint");
        return rest(copy);
    }
    switch (copy->state) {
    case OPENING: status = open_all(copy, error); break;
    case COPYING: status = copy_some(copy, error); break;
    case SEALING:
        status = seal(copy, error);
        if (status == SABOT_OK)
            return rest(copy);
        break;
    }
    SB_ASSERT(status == SABOT_OK || error->status != SABOT_OK); /* else it would look made */
    return status == SABOT_OK ? sb_step_again() : rest(copy);
}

/* --- For the coordinator -------------------------------------------------------------------------
 */

sabot_status sb_copy_start(const struct sb_copy_config *config,
                           struct sb_copy **copy_out,
                           sabot_error *error)
{
    const struct sb_env *env = config->env;
    struct sb_copy *copy = sb_alloc(env, sizeof *copy);
    sabot_status status;

    *copy_out = NULL;
    if (copy == NULL)
        return no_memory(error);
    *copy = (struct sb_copy){.config = *config};
    sb_manifest_init(&copy->from, env);
    sb_arena_init(&copy->manifest.arena, env);
    status = env->type->waker_create(env->self, &copy->waker, error);
    if (status == SABOT_OK)
        status = env->type->spawn(env->self, "sabot-savepoint", step, copy, copy->waker,
                                  &copy->thread, error);
    if (status == SABOT_OK)
        *copy_out = copy;
    else
        sb_copy_end(copy, NULL);
    return status;
}

bool sb_copy_is_done(const struct sb_copy *copy)
{
    return atomic_load(&copy->done);
}

void sb_copy_end(struct sb_copy *copy, struct sb_copy_result *result_out)
{
    const struct sb_env *env;

    if (copy == NULL)
        return;
    env = copy->config.env;
    atomic_store(&copy->ends, true);
    if (copy->thread != NULL)
        env->type->join(env->self, copy->thread);
    if (result_out != NULL)
        *result_out = copy->result;
    if (copy->waker != NULL)
        env->type->waker_destroy(env->self, copy->waker);
    sb_arena_reset(&copy->manifest.arena);
    sb_manifest_reset(&copy->from);
    sb_free(env, copy, sizeof *copy);
}
