/* SPDX-License-Identifier: Apache-2.0 */
/* task.c - the path of a batch through one operator: sb_task_step(). */
#include "flow/task.h"

#include "base/mutant.h"

enum {
    CLOCK_LOOK_MS = 1000, /* the wall clock may be set: it is looked at so often for a timer */
    IMAGE_CHUNKS = 32,    /* copied at a step, between two pieces of other work */
    ROWS_COPIED = 256,    /* of a step, while an image is made */
    ROWS_PRESSED = 32,    /* of a step that may have to wait for copies to be written */
    LEFT_ROWS = 128,      /* written at a step, of an image that was given up */
};

/* What is too large for where an output leads is refused where it is emitted. */
static sabot_status guard_output(struct sb_task *task,
                                 const struct sb_graph *graph,
                                 uint32_t output,
                                 sabot_error *error)
{
    struct sb_fit *fit = &task->fits[output];

    SABOT_TRY(sb_fit_init(fit, graph, task->node->index, output, error));
    if (fit->sink != NULL) {
        task->outlets[output].guard = sb_fit_check;
        task->outlets[output].guard_context = fit;
    }
    return SABOT_OK;
}

static sabot_status init_outputs(struct sb_task *task,
                                 const struct sb_graph *graph,
                                 sabot_error *error)
{
    const struct sb_node *node = task->node;

    task->outlets = sb_alloc_array(task->env, node->output_count, sizeof *task->outlets);
    task->outputs = sb_alloc_array(task->env, node->output_count, sizeof *task->outputs);
    task->fits = sb_alloc_array(task->env, node->output_count, sizeof *task->fits);
    if (task->outlets == NULL || task->outputs == NULL || task->fits == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its outputs", node->name);
    task->output_count = node->output_count;
    for (uint32_t i = 0; i < node->output_count; i++) {
        SABOT_TRY(sb_outlet_init(&task->outlets[i], task->env, node->outputs[i],
                                 node->output_times[i], error));
        SABOT_TRY(guard_output(task, graph, i, error));
    }
    return SABOT_OK;
}

sabot_status sb_task_init(struct sb_task *task,
                          const struct sb_task_config *config,
                          sabot_error *error)
{
    const struct sb_node *node = config->node;
    struct sb_operator_config operator_config = {
        .env = config->env,
        .name = node->name,
        .settings = node->settings,
        .keyed = node->keyed,
        .input = node->input,
        .key_field = node->key_field,
        .outlet_count = node->output_count,
        .worker = config->worker,
        .worker_count = config->worker_count,
        .hash_seed = config->hash_seed,
        .drops_state = config->drops_state,
    };

    *task = (struct sb_task){
        .env = config->env,
        .node = node,
        .control = config->control,
        .metrics = config->metrics,
        .worker = config->worker,
        .watermark_ms = INT64_MIN,
        .watermark_seen = INT64_MIN,
    };
    if (sb_inbox_init(&task->inbox, config->env, config->input_count) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its inputs", node->name);
    task->tally_count = config->partition_count;
    task->tallies = sb_alloc_array(task->env, task->tally_count, sizeof *task->tallies);
    if (task->tallies == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its counters", node->name);
    task->own_unit = (struct sb_unit){.first = task, .live = 1};
    task->unit = &task->own_unit;
    SABOT_TRY(init_outputs(task, config->graph, error));
    operator_config.outlets = task->outlets;
    SABOT_TRY(node->type->create(&operator_config, &task->instance, error));
    if (node->type->store != NULL)
        task->store = node->type->store(task->instance);
    if (task->store == NULL)
        return SABOT_OK;
    if (sb_carrier_init(&task->carrier, config->env, task->store, config->waker,
                        config->control->owner) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for its snapshots", node->name);
    return SABOT_OK;
}

void sb_task_reset(struct sb_task *task)
{
    if (task->env == NULL)
        return;
    sb_slice_drop(task->slice);
    sb_free_array(task->env, task->tallies, task->tally_count, sizeof *task->tallies);
    if (task->image != NULL)
        (void)!sb_store_image_end(task->store, NULL);
    sb_carrier_reset(&task->carrier);
    if (task->instance != NULL)
        task->node->type->destroy(task->instance);
    for (uint32_t i = 0; i < task->output_count; i++) {
        sb_outlet_reset(&task->outlets[i]);
        sb_fit_reset(&task->fits[i]);
        sb_output_reset(&task->outputs[i]);
    }
    sb_free_array(task->env, task->outlets, task->node->output_count, sizeof *task->outlets);
    sb_free_array(task->env, task->outputs, task->node->output_count, sizeof *task->outputs);
    sb_free_array(task->env, task->fits, task->node->output_count, sizeof *task->fits);
    sb_inbox_reset(&task->inbox);
    *task = (struct sb_task){.env = NULL};
}

void sb_task_join(struct sb_task *task, struct sb_task *first)
{
    SB_ASSERT(task->unit == &task->own_unit);
    SB_ASSERT(task->next_in_unit == NULL);
    task->unit = first->unit;
    task->next_in_unit = first->next_in_unit;
    first->next_in_unit = task;
    first->unit->live++;
}

/* What was kept leaves, what was emitted by a call that failed does not; from now on everything
 * that comes is dropped. */
static void fail(struct sb_task *task, const sabot_error *error)
{
    sb_control_break(task->control, error);
    task->firing = false;
    if (task->state == SB_TASK_OPEN)
        task->state = SB_TASK_FAILED;
}

/* Send on what the operator and the marks before have left. True: all of it is gone. */
static bool push(struct sb_task *task)
{
    bool all = true;
    sabot_error error;

    for (uint32_t i = 0; i < task->output_count; i++) {
        sabot_status status = sb_output_push(&task->outputs[i]);

        if (status == SABOT_ERR_MEMORY) {
            (void)sabot_raise(&error, status, "agent %s: no memory to hand over a batch",
                              task->node->name);
            fail(task, &error);
            status = sb_output_push(&task->outputs[i]); /* what is left are marks */
        }
        all = all && status == SABOT_OK;
    }
    return all;
}

/* Move sealed batches from the operator's outlets to the outputs. `seal`: partial ones too. */
static void collect(struct sb_task *task, bool seal)
{
    struct sb_batch *batch;

    for (uint32_t i = 0; i < task->output_count; i++) {
        if (seal)
            sb_outlet_seal(&task->outlets[i]);
        while ((batch = sb_outlet_take(&task->outlets[i])) != NULL)
            sb_output_batch(&task->outputs[i], batch);
    }
}

static void send_mark(struct sb_task *task, enum sb_message_kind kind, int64_t value)
{
    for (uint32_t i = 0; i < task->output_count; i++)
        sb_output_mark(&task->outputs[i], kind, value);
}

/* Each row is processed, or late; and one may have failed. */
static void count_rows(struct sb_task *task, uint64_t rows, bool failed)
{
    const struct sb_operator_type *type = task->node->type;
    const uint64_t late = type->take_late == NULL ? 0 : type->take_late(task->instance);
    const int32_t partition = task->slice->batch->origin.partition;
    struct sb_tally *tally;

    SB_ASSERT(late <= rows);
    sb_counter_add(&task->metrics->records_processed, rows - late);
    sb_counter_add(&task->metrics->records_late, late);
    sb_counter_add(&task->metrics->records_failed, failed);
    if (partition < 0 || (uint32_t)partition >= task->tally_count)
        return;
    tally = &task->tallies[partition];
    sb_counter_add(&tally->processed, SB_MUTANT(LATE_AS_PROCESSED) ? rows : rows - late);
    sb_counter_add(&tally->late, late);
    sb_counter_add(&tally->failed, failed);
}

/* Do copies for an image wait to be written, so many in a task of the unit? */
static bool has_copies_out(const struct sb_task *self, uint32_t count)
{
    for (const struct sb_task *task = self->unit->first; task != NULL; task = task->next_in_unit) {
        if (task->image != NULL && sb_carrier_out(&task->carrier) >= count &&
            !atomic_load_explicit(&task->image->abandoned, memory_order_relaxed))
            return true;
    }
    return false;
}

/* Where a step ends with its rows. Those that are copied before they change come some at a time,
 * and few when they may soon have to wait for the writer: a pause is then for the copies of these,
 * and not for all that a batch of rows changes. */
static uint32_t rows_end(const struct sb_task *task)
{
    const uint32_t left = task->slice->count - task->cursor;
    uint32_t most = left;

    if (has_copies_out(task, 0))
        most = has_copies_out(task, SB_CARRIER_STALL / 2) ? ROWS_PRESSED : ROWS_COPIED;
    return task->cursor + (left < most ? left : most);
}

/* Rows of the slice in hand, as far as the outputs have room. */
static void handle_rows(struct sb_task *task)
{
    const uint32_t before = task->cursor;
    sabot_status status = SABOT_OK;
    sabot_error error;

    if (task->state == SB_TASK_OPEN) {
        status = task->node->type->rows(task->instance, task->slice, &task->cursor, rows_end(task),
                                        &error);
        count_rows(task, task->cursor - before, status != SABOT_OK && status != SABOT_AGAIN);
    } else {
        task->cursor = task->slice->count;
    }
    if (status == SABOT_AGAIN || (status == SABOT_OK && task->cursor < task->slice->count)) {
        collect(task, false);
        return;
    }
    if (status != SABOT_OK)
        fail(task, &error);
    sb_slice_drop(task->slice);
    task->slice = NULL;
    collect(task, true);
}

static void handle_watermark(struct sb_task *task)
{
    sabot_status status = SABOT_OK;
    sabot_error error;

    if (task->state == SB_TASK_OPEN && task->watermark_ms > INT64_MIN)
        status = task->node->type->watermark(task->instance, task->watermark_ms, &error);
    task->firing = status == SABOT_AGAIN;
    if (status != SABOT_OK && status != SABOT_AGAIN)
        fail(task, &error);
    collect(task, !task->firing);
    if (!task->firing)
        send_mark(task, task->is_idle ? SB_MESSAGE_IDLE : SB_MESSAGE_WATERMARK, task->watermark_ms);
}

/* The wall clock's time of the next timer, in a task that may call it; INT64_MAX: none. */
static int64_t due_ms(const struct sb_task *task)
{
    if (task->state != SB_TASK_OPEN || task->clock_stands || task->node->type->due_ms == NULL)
        return INT64_MAX;
    return task->node->type->due_ms(task->instance);
}

static bool is_due(const struct sb_task *task)
{
    const int64_t time_ms = due_ms(task);

    return time_ms != INT64_MAX && time_ms <= sb_wall_ms(task->env);
}

static void handle_clock(struct sb_task *task)
{
    sabot_error error;
    const sabot_status status = task->node->type->clock(task->instance, &error);

    if (status != SABOT_OK && status != SABOT_AGAIN)
        fail(task, &error);
    collect(task, status != SABOT_AGAIN || !is_due(task));
}

/* --- Images -------------------------------------------------------------------------------------
 */

static void *take_block(void *context, bool must)
{
    return sb_carrier_take(context, must ? SB_CARRIER_MAX : SB_CARRIER_COPIER);
}

static void give_block(void *context, void *block, uint32_t size)
{
    sb_carrier_give(context, block, size);
}

/* The database was checkpointed, or nobody will do that any more. */
static void try_thaw(struct sb_task *task)
{
    if (task->frozen_by == 0 ||
        atomic_load_explicit(&task->control->thawed, memory_order_acquire) < task->frozen_by)
        return;
    sb_store_thaw(task->store);
    task->frozen_by = 0;
}

static void begin_image(struct sb_task *task, struct sb_checkpoint *checkpoint)
{
    const struct sb_image_config config = {
        .node = task->node->index,
        .worker = task->worker,
        .id = checkpoint->id,
        .base = checkpoint->base,
        .sink = {take_block, give_block, &task->carrier},
    };

    SB_ASSERT(task->image == NULL);
    if (task->frozen_by != 0)
        sb_store_thaw(task->store); /* one is gathered at a time: that one is over */
    sb_store_image_begin(task->store, &config);
    task->image = checkpoint;
    task->frozen_by = checkpoint->id;
    sb_checkpoint_part(checkpoint, task->worker, task->node->index)->has_image = true;
    sb_crash_point(task->env, "task.image_begun");
}

static void end_image(struct sb_task *task, bool starved)
{
    struct sb_part *part = sb_checkpoint_part(task->image, task->worker, task->node->index);
    sabot_error error = {.status = SABOT_OK};

    if (sb_store_image_end(task->store, &error) != SABOT_OK && starved)
        (void)sabot_raise(&part->error, SABOT_ERR_MEMORY,
                          "%s: no memory for a block of its snapshot", task->node->name);
    else if (error.status != SABOT_OK)
        (void)sabot_raise(&part->error, error.status, "%s: %s", task->node->name, error.text);
    task->image = NULL;
    sb_crash_point(task->env, "task.image_done");
    sb_checkpoint_report(task->control);
}

/* No image is being made: blocks and rows that the last one has left. False: there are none. */
static bool step_rest(struct sb_task *task)
{
    if (task->store == NULL)
        return false;
    if (task->carrier.made > SB_CARRIER_KEPT)
        sb_carrier_trim(&task->carrier);
    return sb_store_write_left(task->store, LEFT_ROWS);
}

/* A piece of the image. False: there is nothing to do, or no block to do it with, and one will come
 * back. When none will, there is no memory for one: the image is given up. */
static bool step_image(struct sb_task *task)
{
    const bool awaits = sb_carrier_is_awaited(&task->carrier);
    enum sb_image_progress progress = SB_IMAGE_DONE;
    bool starved;

    if (task->image == NULL)
        return step_rest(task);
    if (!atomic_load_explicit(&task->image->abandoned, memory_order_relaxed))
        progress = sb_store_image_step(task->store, IMAGE_CHUNKS);
    starved = progress == SB_IMAGE_WAITS && !awaits;
    if (starved)
        progress = SB_IMAGE_DONE;
    if (progress == SB_IMAGE_DONE)
        end_image(task, starved);
    return progress != SB_IMAGE_WAITS;
}

/* What changes must be copied first, and too many copies wait to be written; or what has changed
 * since the barrier fills the memory, and may not be written yet: nothing may change that the tasks
 * of the unit share. That ends when all tasks of the flow have the barrier, which none that waits
 * keeps from them: it has passed it on, and whoever has not is not behind it. */
static bool must_wait(const struct sb_task *self)
{
    if (has_copies_out(self, SB_CARRIER_STALL))
        return true;
    for (const struct sb_task *task = self->unit->first; task != NULL; task = task->next_in_unit) {
        if (task->frozen_by != 0 && sb_store_is_held(task->store))
            return true;
    }
    return false;
}

bool sb_task_image_again(struct sb_task *task, struct sb_checkpoint *checkpoint)
{
    struct sb_part *part = sb_checkpoint_part(checkpoint, task->worker, task->node->index);

    if (!part->has_image)
        return false;
    part->error = (sabot_error){.status = SABOT_OK};
    begin_image(task, checkpoint);
    return true;
}

/* --- Barriers -----------------------------------------------------------------------------------
 */

/* What the task holds now is its part of the checkpoint; its inputs go on. */
static void take_part(struct sb_task *task, int64_t barrier)
{
    struct sb_checkpoint *checkpoint = sb_control_checkpoint(task->control, barrier);
    struct sb_part *part = sb_checkpoint_part(checkpoint, task->worker, task->node->index);

    part->watermark_ms = task->watermark_ms;
    task->clock_stands = checkpoint->last; /* what came of a timer now would be of no checkpoint */
    sb_crash_point(task->env, "task.before_snapshot");
    if (task->state == SB_TASK_FAILED)
        (void)sabot_raise(&part->error, SABOT_ERR_STATE, "%s has failed", task->node->name);
    else if (task->store != NULL)
        begin_image(task, checkpoint);
    sb_crash_point(task->env, "task.snapshot");
    if (task->image == NULL)
        sb_checkpoint_report(task->control);
    sb_inbox_reopen(&task->inbox);
}

/* Have all tasks of the unit come to the barrier? Then all are snapshotted. */
static void try_unit(struct sb_unit *unit)
{
    if (unit->waiting == 0 || unit->waiting < unit->live)
        return;
    unit->waiting = 0;
    for (struct sb_task *task = unit->first; task != NULL; task = task->next_in_unit) {
        if (!task->waits)
            continue; /* it has ended */
        task->waits = false;
        take_part(task, task->inbox.gate.epoch);
    }
}

/* All inputs have delivered the barrier. The mark goes on before the snapshot: another task of the
 * unit may wait for it. */
static void handle_barrier(struct sb_task *task, int64_t barrier)
{
    send_mark(task, SB_MESSAGE_BARRIER, barrier);
    task->waits = true;
    task->unit->waiting++;
    try_unit(task->unit);
}

static void note_first_record(struct sb_task *task)
{
    int64_t none = 0;

    if (atomic_load_explicit(&task->control->first_record_us, memory_order_relaxed) == 0)
        (void)atomic_compare_exchange_strong(&task->control->first_record_us, &none,
                                             sb_now_us(task->env));
}

static void handle(struct sb_task *task, const struct sb_message *message)
{
    switch (message->kind) {
    case SB_MESSAGE_ROWS:
        note_first_record(task);
        task->slice = message->slice;
        task->cursor = 0;
        handle_rows(task);
        break;
    case SB_MESSAGE_WATERMARK:
    case SB_MESSAGE_IDLE:
        task->is_idle = message->kind == SB_MESSAGE_IDLE;
        task->watermark_ms = message->value;
        atomic_store_explicit(&task->watermark_seen, message->value, memory_order_relaxed);
        handle_watermark(task);
        break;
    case SB_MESSAGE_LOADED:
        send_mark(task, SB_MESSAGE_LOADED, 0);
        if (task->node->is_table)
            sb_control_loaded(task->control);
        break;
    case SB_MESSAGE_BARRIER: handle_barrier(task, message->value); break;
    case SB_MESSAGE_END:
        send_mark(task, SB_MESSAGE_END, 0);
        task->state = SB_TASK_ENDED;
        task->unit->live--;
        try_unit(task->unit);
        break;
    }
}

/* Timers of processing time and messages in turn, so that neither waits for the other's end. */
static bool handle_next(struct sb_task *task)
{
    struct sb_message message;

    if (task->waits)
        return false; /* until the unit is snapshotted, by a step of another task */
    if (!task->clock_had_turn && is_due(task)) {
        task->clock_had_turn = true;
        handle_clock(task);
        return true;
    }
    if (sb_inbox_take(&task->inbox, &message)) {
        task->clock_had_turn = false;
        handle(task, &message);
        return true;
    }
    if (!task->clock_had_turn || !is_due(task))
        return false;
    handle_clock(task);
    return true;
}

void sb_task_restore_time(struct sb_task *task, int64_t watermark_ms)
{
    /* One that hears only of workers without partitions has no time, and nobody waits for its. */
    if (watermark_ms == INT64_MIN || watermark_ms == INT64_MAX || task->inbox.watermark.live == 0)
        return;
    task->inbox.watermark.now = watermark_ms;
    task->watermark_ms = watermark_ms;
    atomic_store_explicit(&task->watermark_seen, watermark_ms, memory_order_relaxed);
    task->firing = true; /* the operator and those behind it hear of it first */
}

bool sb_task_step(struct sb_task *task)
{
    const bool copied = step_image(task);
    bool moved = true;

    try_thaw(task);
    if (!push(task) || must_wait(task))
        return copied; /* back-pressure: woken when a ring has room, or a block is back */
    if (task->slice != NULL)
        handle_rows(task);
    else if (task->firing)
        handle_watermark(task);
    else
        moved = handle_next(task);
    if (moved)
        (void)push(task);
    return moved || copied;
}

static bool has_sent_all(const struct sb_task *task)
{
    for (uint32_t i = 0; i < task->output_count; i++) {
        if (!sb_output_empty(&task->outputs[i]))
            return false;
    }
    return true;
}

int64_t sb_task_deadline_us(const struct sb_task *task)
{
    const int64_t time_ms = due_ms(task);
    int64_t wait_ms = CLOCK_LOOK_MS;
    int64_t wall_ms;

    /* With something to send it is a ring that wakes it. */
    if (time_ms == INT64_MAX || task->waits || !has_sent_all(task))
        return INT64_MAX;
    wall_ms = sb_wall_ms(task->env);
    if (time_ms < wall_ms + CLOCK_LOOK_MS)
        wait_ms = time_ms > wall_ms ? time_ms - wall_ms : 0;
    return sb_now_us(task->env) + wait_ms * 1000;
}

bool sb_task_done(const struct sb_task *task)
{
    return task->state == SB_TASK_ENDED && task->image == NULL && has_sent_all(task);
}
