/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - one incarnation: its environment, its stack, and how it is left.
 *
 * Every call of base/env.h is answered here, for the process that `self` is. Steppers run one at a
 * time, on the stack of their process; a crash point that ends or freezes it switches back to the
 * world, and the stack stays as it is: dropped, or gone on with later.
 *
 * Invariants: only the process that was entered runs; number 0, which holds the broker, has no
 * stack of its own, never fails and never ends. */
#include <stdio.h>
#include <string.h>

#include "sim/world.h"

enum {
    STACK_SIZE = 512 * 1024,
    FOCUS = 24, /* of so many labels one is the process's own: it ends there */
    FOCUS_RARITY = 3,
    ARM_RARITY = 250, /* at another label a call soon after it fails */
    ARM_CALLS = 8,
    FREEZES_MAX = 2, /* of one process */
    FREEZE_NEW_RARITY = 40,
    FREEZE_ASIDE_RARITY = 2,
    LATE_THREADS = 5, /* once in so many */
    LATE_US = 500 * 1000,
    /* How far behind a label a process may fail that was chosen for it. */
    LABELS_MAX = 40,
};

struct sb_waker {
    bool is_set;
};

static struct sb_sim_process *process_of(void *self)
{
    return self;
}

/* --- Memory ------------------------------------------------------------------------------------
 */

bool sb_sim_allocation_fails(struct sb_sim_process *process)
{
    struct sb_sim *sim = process->sim;

    if (process->allocations_left == UINT32_MAX || sim->is_calm)
        return false;
    if (process->allocations_left > 0) {
        process->allocations_left--;
        return false;
    }
    if (!process->allocations_stay_failed)
        process->allocations_left = UINT32_MAX;
    sim->happened[SB_SIM_MEMORY]++;
    return true;
}

static void link_block(struct sb_sim_process *process, struct sb_sim_block *block)
{
    block->next = process->blocks;
    block->link = &process->blocks;
    if (block->next != NULL)
        block->next->link = &block->next;
    process->blocks = block;
}

static void unlink_block(struct sb_sim_block *block)
{
    *block->link = block->next;
    if (block->next != NULL)
        block->next->link = block->link;
}

static void *process_allocate(void *self, size_t size, size_t alignment)
{
    struct sb_sim_process *process = process_of(self);
    const struct sb_env *under = process->sim->under;
    const size_t head =
        alignment > sizeof(struct sb_sim_block) ? alignment : sizeof(struct sb_sim_block);
    struct sb_sim_block *block;
    uint8_t *memory;

    if (sb_sim_allocation_fails(process))
        return NULL;
    memory = under->type->allocate(under->self, head + size, head);
    SB_ASSERT(memory != NULL);
    block = (struct sb_sim_block *)(void *)(memory + head) - 1;
    block->size = size;
    block->head = head;
    link_block(process, block);
    return block + 1;
}

static void process_release(void *self, void *memory, size_t size)
{
    const struct sb_env *under = process_of(self)->sim->under;
    struct sb_sim_block *block = memory;

    if (memory == NULL)
        return;
    block--;
    SB_ASSERT(block->size == size);
    unlink_block(block);
    under->type->release(under->self, (uint8_t *)memory - block->head, block->head + size);
}

static void *process_reallocate(void *self, void *memory, size_t old_size, size_t size)
{
    void *larger = process_allocate(self, size, 16);

    if (larger == NULL || memory == NULL)
        return larger;
    memcpy(larger, memory, old_size < size ? old_size : size);
    process_release(self, memory, old_size);
    return larger;
}

uint64_t sb_sim_process_held(const struct sb_sim_process *process, uint32_t *blocks_out)
{
    uint64_t held = 0;

    *blocks_out = 0;
    for (const struct sb_sim_block *block = process->blocks; block != NULL; block = block->next) {
        held += block->size;
        (*blocks_out)++;
    }
    return held;
}

/* --- Clocks and dice ---------------------------------------------------------------------------
 */

static int64_t process_now_us(void *self)
{
    return process_of(self)->sim->now_us;
}

static int64_t process_wall_ms(void *self)
{
    const struct sb_sim *sim = process_of(self)->sim;

    return (sim->now_us + sim->wall_offset_us) / 1000;
}

static uint64_t process_random(void *self)
{
    return sb_draw(&process_of(self)->sim->draw);
}

/* --- Wakers and steppers -----------------------------------------------------------------------
 */

static sabot_status process_waker_create(void *self,
                                         struct sb_waker **waker_out,
                                         sabot_error *error)
{
    const struct sb_sim_process *process = process_of(self);

    *waker_out = sb_alloc(&process->env, sizeof **waker_out);
    if (*waker_out == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a waker");
    return SABOT_OK;
}

static void process_waker_destroy(void *self, struct sb_waker *waker)
{
    sb_free(&process_of(self)->env, waker, sizeof *waker);
}

static void process_wake(struct sb_waker *waker)
{
    waker->is_set = true;
}

/* Nothing that is stepped may block; who waits has steppers, and the world runs them. */
static void process_wait(void *self, struct sb_waker *waker, int64_t deadline_us)
{
    (void)self;
    (void)waker;
    (void)deadline_us;
    SB_ASSERT(false);
}

bool sb_sim_runnable(const struct sb_sim_stepper *stepper, int64_t now_us)
{
    if (!stepper->is_used || stepper->is_done || stepper->is_running)
        return false;
    return !stepper->is_waiting || stepper->deadline_us <= now_us ||
           (stepper->waker != NULL && stepper->waker->is_set);
}

sabot_status sb_sim_process_spawn(struct sb_sim_process *process,
                                  sb_step_function step,
                                  void *context,
                                  struct sb_waker *waker)
{
    uint32_t at = 0;

    while (at < process->stepper_count && process->steppers[at].is_used)
        at++;
    if (at == SB_SIM_STEPPERS_MAX)
        return SABOT_ERR_LIMIT;
    if (at == process->stepper_count)
        process->stepper_count++;
    process->steppers[at] = (struct sb_sim_stepper){
        .is_used = true,
        .step = step,
        .context = context,
        .waker = waker,
    };
    return SABOT_OK;
}

/* In a busy seed a thread may not get its turn for a while. */
static void start_late(const struct sb_sim_process *process, struct sb_sim_stepper *stepper)
{
    struct sb_sim *sim = process->sim;

    if (!sim->is_busy || sim->is_calm || !sb_draw_one_in(&sim->draw, LATE_THREADS))
        return;
    stepper->is_waiting = true;
    stepper->deadline_us = sim->now_us + sb_draw_below(&sim->draw, LATE_US);
}

static sabot_status process_spawn(void *self,
                                  const char *name,
                                  sb_step_function step,
                                  void *context,
                                  struct sb_waker *waker,
                                  struct sb_thread **thread_out,
                                  sabot_error *error)
{
    struct sb_sim_process *process = process_of(self);
    uint32_t at = 0;

    *thread_out = NULL;
    /* A thread needs memory, and may not get it. */
    if (sb_sim_allocation_fails(process))
        return sabot_raise(error, SABOT_ERR_LIMIT, "no thread for %s", name);
    while (at < process->stepper_count && process->steppers[at].is_used)
        at++;
    if (sb_sim_process_spawn(process, step, context, waker) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_LIMIT, "no thread for %s: there are %d already", name,
                           SB_SIM_STEPPERS_MAX);
    start_late(process, &process->steppers[at]);
    *thread_out = (struct sb_thread *)(void *)&process->steppers[at];
    return SABOT_OK;
}

static void step(struct sb_sim_stepper *stepper)
{
    struct sb_step next;

    if (stepper->waker != NULL)
        stepper->waker->is_set = false;
    stepper->is_running = true;
    next = stepper->step(stepper->context);
    stepper->is_running = false;
    stepper->is_done = next.state == SB_STEP_DONE;
    stepper->is_waiting = next.state == SB_STEP_WAIT;
    stepper->deadline_us = next.deadline_us;
}

/* Whoever joins has told it to end: it needs nobody else for that. */
static void process_join(void *self, struct sb_thread *thread)
{
    struct sb_sim_stepper *stepper = (struct sb_sim_stepper *)(void *)thread;

    (void)self;
    if (thread == NULL)
        return;
    for (uint32_t i = 0; !stepper->is_done; i++) {
        SB_ASSERT(i < 1000000);
        step(stepper);
    }
    stepper->is_used = false;
}

/* --- Parts of the engine -----------------------------------------------------------------------
 */

/* Of the engine; what is done seldom in it has a part of its own. */
static const struct {
    const char *label; /* how its labels begin; nothing: from now on */
    uint32_t calls;    /* that it makes, at most; 0: whatever there may be */
} parts[SB_SIM_PARTS] = {
    [SB_SIM_PART_NOW] = {"", 0},
    [SB_SIM_PART_RESTORE] = {"restore", 0},
    [SB_SIM_PART_CKPT] = {"ckpt", 0},
    [SB_SIM_PART_TXN] = {"txn", 0},
    [SB_SIM_PART_SAVEPOINT] = {"savepoint", 16},
    [SB_SIM_PART_OPENING] = {"restore.opening", 16},
    [SB_SIM_PART_LOADING] = {"restore.matched", 0},
    [SB_SIM_PART_SHARD] = {"restore.shard", 16},
    [SB_SIM_PART_CHOOSING] = {"restore.choosing", 80},
    [SB_SIM_PART_REHEARSING] = {"restore.rehearsing", 40},
    [SB_SIM_PART_WRITING] = {"restore.writing", 8},
    [SB_SIM_PART_NAMING] = {"ckpt.manifest_renamed", 3},
    [SB_SIM_PART_RESETTING] = {"restore.resetting", 8},
    [SB_SIM_PART_READING] = {"savepoint.opening", 4},
    [SB_SIM_PART_SEALING] = {"savepoint.sealing", 6},
    [SB_SIM_PART_REMOVING] = {"savepoint.removing", 10},
};

static bool is_part(enum sb_sim_part part, const char *name)
{
    return strncmp(name, parts[part].label, strlen(parts[part].label)) == 0;
}

/* --- Being left --------------------------------------------------------------------------------
 */

static void leave(struct sb_sim_process *process, enum sb_sim_state state)
{
    struct sb_sim *sim = process->sim;

    process->state = state;
    (void)swapcontext(&process->context, &sim->context);
}

/* Each process has labels of its own where faults come sooner, so that rare ones have their turn.
 */
static bool comes_at(struct sb_sim *sim,
                     const struct sb_sim_process *process,
                     enum sb_sim_fault fault,
                     uint64_t label,
                     uint32_t rarity)
{
    const bool is_focus = sb_draw_mix(label ^ process->label_salt ^ (uint64_t)fault) % FOCUS == 0;

    if (sim->is_calm || sim->rarity[fault] == 0)
        return false;
    if (is_focus && sb_draw_one_in(&sim->draw, FOCUS_RARITY))
        return true;
    return sb_draw_one_in(&sim->draw, rarity);
}

static bool is_killed_at(struct sb_sim *sim, const struct sb_sim_process *process, uint64_t label)
{
    return comes_at(sim, process, SB_SIM_CRASH, label, sim->rarity[SB_SIM_CRASH]);
}

/* One that stands still before it goes on from what it has read is the most dangerous, or while it
 * has nothing but an empty folder. Before it is the owner it has not begun, and would only start
 * later: with a choice that others have made since. */
static bool is_frozen_at(struct sb_sim *sim,
                         const struct sb_sim_process *process,
                         const char *name,
                         uint64_t label)
{
    uint32_t rarity = sim->rarity[SB_SIM_FREEZE];

    if (process->freezes == FREEZES_MAX || is_part(SB_SIM_PART_OPENING, name))
        return false;
    if (strcmp(name, "restore.moved_aside") == 0)
        rarity = FREEZE_ASIDE_RARITY;
    else if (is_part(SB_SIM_PART_RESTORE, name) || strcmp(name, "txn.offsets_read") == 0)
        rarity = FREEZE_NEW_RARITY;
    return comes_at(sim, process, SB_SIM_FREEZE, label, rarity);
}

/* --- Failing where it is rare ------------------------------------------------------------------
 */

static void fail_after(struct sb_sim_process *process,
                       enum sb_sim_failing what,
                       uint32_t calls,
                       bool stays)
{
    struct sb_sim_disk *disk = &process->sim->disk;

    switch (what) {
    case SB_SIM_FAILS_MEMORY:
        process->allocations_left = calls;
        process->allocations_stay_failed = stays;
        break;
    case SB_SIM_FAILS_FILE: disk->armed = 1 + calls; break;
    case SB_SIM_FAILS_SYNC: disk->armed_sync = 1 + calls; break;
    case SB_SIM_FAILS_NOT: break;
    }
}

static bool is_on(const struct sb_sim *sim, enum sb_sim_failing what)
{
    static const enum sb_sim_fault faults[] = {
        [SB_SIM_FAILS_MEMORY] = SB_SIM_MEMORY,
        [SB_SIM_FAILS_FILE] = SB_SIM_EIO,
        [SB_SIM_FAILS_SYNC] = SB_SIM_FSYNC,
    };

    return !sim->is_calm && what != SB_SIM_FAILS_NOT && sim->rarity[faults[what]] != 0;
}

/* One of `limit`, the first ones more often: half of the time as often as twice as many behind. */
static uint32_t draw_early(struct sb_draw *draw, uint32_t limit)
{
    uint32_t below = 1;

    if (sb_draw_one_in(draw, 2))
        return sb_draw_below(draw, limit);
    while (below < limit && sb_draw_below(draw, 6) > 0)
        below *= 2;
    return sb_draw_below(draw, below < limit ? below : limit);
}

/* As many calls as a part makes, more or less. */
static uint32_t draw_calls(struct sb_draw *draw, enum sb_sim_failing what, enum sb_sim_part part)
{
    static const uint32_t most[] = {
        [SB_SIM_FAILS_NOT] = 1,
        [SB_SIM_FAILS_MEMORY] = 400,
        [SB_SIM_FAILS_FILE] = 80,
        [SB_SIM_FAILS_SYNC] = 8,
    };
    const uint32_t calls = parts[part].calls;

    return draw_early(draw, calls != 0 && calls < most[what] ? calls : most[what]);
}

/* A savepoint is opened twice when it is gone on from. */
static uint32_t draw_labels(struct sb_draw *draw, enum sb_sim_part part)
{
    if (part <= SB_SIM_PART_SAVEPOINT || part == SB_SIM_PART_SHARD)
        return draw_early(draw, LABELS_MAX);
    return part == SB_SIM_PART_READING ? sb_draw_below(draw, 2) : 0;
}

/* One of those that are on; nothing now and then. */
static enum sb_sim_failing draw_failing(const struct sb_sim *sim, struct sb_draw *draw)
{
    const uint32_t drawn = sb_draw_below(draw, 12);

    if (drawn == 0)
        return SB_SIM_FAILS_NOT;
    for (uint32_t i = 0; i < SB_SIM_FAILS_SYNC; i++) {
        const enum sb_sim_failing what =
            (enum sb_sim_failing)(SB_SIM_FAILS_MEMORY + (drawn + i) % SB_SIM_FAILS_SYNC);

        if (is_on(sim, what))
            return what;
    }
    return SB_SIM_FAILS_NOT;
}

void sb_sim_process_aim(struct sb_sim_process *process, enum sb_sim_part part)
{
    struct sb_draw *draw = &process->sim->draw;
    const enum sb_sim_failing what = draw_failing(process->sim, draw);
    const bool is_now = part == SB_SIM_PART_NOW;
    const struct sb_sim_aim aim = {
        .what = is_now ? SB_SIM_FAILS_NOT : what,
        .part = part,
        .labels = draw_labels(draw, part),
        .calls = draw_calls(draw, what, part),
        .stays = part < SB_SIM_PARTS_ALL && sb_draw_one_in(draw, 4),
    };

    process->aim = aim;
    if (is_now)
        fail_after(process, what, aim.calls, aim.stays);
}

/* What follows on a label of checkpoints or recovery is where errors are rarely seen: one of the
 * next allocations or calls of the disk fails. In a busy seed only one that was aimed at: what
 * people ask for shall come to its end. */
static void arm(struct sb_sim *sim,
                struct sb_sim_process *process,
                const char *name,
                uint64_t label)
{
    struct sb_sim_aim *aim = &process->aim;

    if (!is_part(SB_SIM_PART_RESTORE, name) && !is_part(SB_SIM_PART_CKPT, name) &&
        !is_part(SB_SIM_PART_TXN, name) && !is_part(SB_SIM_PART_SAVEPOINT, name))
        return;
    if (is_on(sim, aim->what) && is_part(aim->part, name)) {
        if (aim->labels-- == 0) {
            fail_after(process, aim->what, aim->calls, aim->stays);
            aim->what = SB_SIM_FAILS_NOT;
        }
        return;
    }
    if (sim->is_busy)
        return;
    if (process->allocations_left == UINT32_MAX &&
        comes_at(sim, process, SB_SIM_MEMORY, label, ARM_RARITY))
        fail_after(process, SB_SIM_FAILS_MEMORY, sb_draw_below(&sim->draw, ARM_CALLS),
                   sb_draw_one_in(&sim->draw, 4));
    if (sim->disk.armed == 0 && comes_at(sim, process, SB_SIM_EIO, label, ARM_RARITY))
        fail_after(process, SB_SIM_FAILS_FILE, sb_draw_below(&sim->draw, ARM_CALLS), false);
}

static void process_crash_point(void *self, const char *name)
{
    struct sb_sim_process *process = process_of(self);
    struct sb_sim *sim = process->sim;
    struct sb_sim_label *label;
    uint64_t text = 0;

    if (process->number == 0)
        return;
    label = sb_sim_label(sim, name);
    for (const char *at = name; *at != '\0'; at++)
        text = text * 31 + (uint8_t)*at;
    sb_sim_hash(sim, text);
    label->hits++;
    sb_sim_note_label(sim, process->number, name);
    if (is_killed_at(sim, process, text)) {
        label->ends++;
        sb_sim_say(sim, process, "killed at %s", name);
        sim->happened[SB_SIM_CRASH]++;
        leave(process, SB_SIM_KILLED);
    }
    if (is_frozen_at(sim, process, name, text)) {
        process->freezes++;
        label->freezes++;
        sb_sim_say(sim, process, "frozen at %s", name);
        sim->happened[SB_SIM_FREEZE]++;
        leave(process, SB_SIM_FROZEN);
        sb_sim_say(sim, process, "goes on at %s", name);
    }
    arm(sim, process, name, text);
}

static void process_trace(void *self, const char *what, uint64_t value)
{
    struct sb_sim *sim = process_of(self)->sim;

    sb_sim_label(sim, what)->hits++;
    sb_sim_hash_bytes(sim, what, strlen(what));
    sb_sim_hash(sim, value);
}

static void process_log(void *self, sabot_log_level level, const char *line)
{
    (void)level;
    sb_sim_say(process_of(self)->sim, process_of(self), "%s", line);
}

static uint64_t process_memory_peak(void *self)
{
    (void)self;
    return 0;
}

/* --- Files: the disk is the machine's, of all processes ----------------------------------------
 */

static struct sb_sim_disk *disk_of(void *self)
{
    return &process_of(self)->sim->disk;
}

static sabot_status process_file_open(void *self,
                                      const char *path,
                                      enum sb_open_mode mode,
                                      struct sb_file **file_out,
                                      sabot_error *error)
{
    return sb_sim_file_open(disk_of(self), self, path, mode, file_out, error);
}

static sabot_status process_file_standard(void *self,
                                          int fd,
                                          struct sb_file **file_out,
                                          sabot_error *error)
{
    (void)self;
    *file_out = NULL;
    return sabot_raise(error, SABOT_ERR_UNSUPPORTED, "a simulation has no stream %d", fd);
}

static void process_file_close(void *self, struct sb_file *file)
{
    (void)self;
    sb_sim_file_close(file);
}

/* Time passes by steps: there is nothing to fetch early. */
static void process_file_expect(struct sb_file *file, int64_t offset, size_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

static sabot_status process_file_read_some(struct sb_file *file,
                                           void *buffer,
                                           size_t size,
                                           int64_t timeout_ms,
                                           size_t *size_out,
                                           sabot_error *error)
{
    (void)timeout_ms;
    return sb_sim_file_read(file, buffer, size, -1, size_out, error);
}

static sabot_status process_path_info(void *self,
                                      const char *path,
                                      struct sb_file_info *info_out,
                                      sabot_error *error)
{
    return sb_sim_path_info(disk_of(self), path, info_out, error);
}

static sabot_status process_path_rename(void *self,
                                        const char *from,
                                        const char *to,
                                        sabot_error *error)
{
    return sb_sim_path_rename(disk_of(self), from, to, error);
}

static sabot_status process_path_link(void *self,
                                      const char *from,
                                      const char *to,
                                      sabot_error *error)
{
    return sb_sim_path_link(disk_of(self), from, to, error);
}

static sabot_status process_path_remove(void *self, const char *path, sabot_error *error)
{
    return sb_sim_path_remove(disk_of(self), path, error);
}

static sabot_status process_directory_create(void *self, const char *path, sabot_error *error)
{
    return sb_sim_directory_create(disk_of(self), path, error);
}

static sabot_status process_directory_sync(void *self, const char *path, sabot_error *error)
{
    return sb_sim_directory_sync(disk_of(self), path, error);
}

static sabot_status process_directory_list(void *self,
                                           const char *path,
                                           sb_list_function each,
                                           void *context,
                                           sabot_error *error)
{
    return sb_sim_directory_list(disk_of(self), path, each, context, error);
}

static const struct sb_env_type process_type = {
    .now_us = process_now_us,
    .wall_ms = process_wall_ms,
    .random = process_random,
    .allocate = process_allocate,
    .reallocate = process_reallocate,
    .release = process_release,
    .spawn = process_spawn,
    .join = process_join,
    .waker_create = process_waker_create,
    .waker_destroy = process_waker_destroy,
    .wake = process_wake,
    .wait = process_wait,
    .file_open = process_file_open,
    .file_standard = process_file_standard,
    .file_close = process_file_close,
    .file_read = sb_sim_file_read,
    .file_expect = process_file_expect,
    .file_read_some = process_file_read_some,
    .file_write = sb_sim_file_write,
    .file_sync = sb_sim_file_sync,
    .file_truncate = sb_sim_file_truncate,
    .file_info = sb_sim_file_info,
    .path_info = process_path_info,
    .path_rename = process_path_rename,
    .path_link = process_path_link,
    .path_remove = process_path_remove,
    .directory_create = process_directory_create,
    .directory_sync = process_directory_sync,
    .directory_list = process_directory_list,
    .crash_point = process_crash_point,
    .trace = process_trace,
    .log = process_log,
    .memory_peak = process_memory_peak,
};

bool sb_sim_is_inside(const struct sb_env *env)
{
    return env->type == &process_type;
}

/* --- Life --------------------------------------------------------------------------------------
 */

/* The bottom of the stack of a process: a step, and back to the world, for ever. */
static void run_steps(unsigned high, unsigned low)
{
    struct sb_sim_process *process =
        (struct sb_sim_process *)(((uintptr_t)high << 32) | (uintptr_t)low);

    for (;;) {
        step(process->current);
        leave(process, process->state);
    }
}

void sb_sim_process_init(struct sb_sim_process *process, struct sb_sim *sim, uint32_t number)
{
    void *stack = process->stack;
    const uintptr_t address = (uintptr_t)process;

    *process = (struct sb_sim_process){
        .env = {.type = &process_type, .self = process, .log_level = SABOT_LOG_INFO},
        .sim = sim,
        .state = SB_SIM_RUNNING,
        .number = number,
        .stack = stack,
        .allocations_left = UINT32_MAX,
    };
    if (number == 0)
        return;
    if (process->stack == NULL)
        process->stack = sim->under->type->allocate(sim->under->self, STACK_SIZE, SB_CACHE_LINE);
    SB_ASSERT(process->stack != NULL);
    SB_ASSERT(getcontext(&process->context) == 0);
    process->context.uc_stack.ss_sp = process->stack;
    process->context.uc_stack.ss_size = STACK_SIZE;
    process->context.uc_link = NULL;
    makecontext(&process->context, (void (*)(void))(uintptr_t)run_steps, 2,
                (unsigned)((uint64_t)address >> 32), (unsigned)(address & UINT32_MAX));
}

void sb_sim_process_enter(struct sb_sim_process *process)
{
    if (process->number == 0)
        step(process->current);
    else
        (void)swapcontext(&process->sim->context, &process->context);
}

void sb_sim_process_reset(struct sb_sim_process *process)
{
    struct sb_sim *sim = process->sim;

    sb_sim_broker_drop(&sim->broker, process);
    sb_sim_disk_close_all(&sim->disk, process);
    while (process->blocks != NULL)
        process_release(process, process->blocks + 1, process->blocks->size);
    process->state = SB_SIM_FREE;
    process->stepper_count = 0;
    process->run = NULL;
}

void sb_sim_process_free_stack(struct sb_sim_process *process)
{
    const struct sb_env *under = process->sim->under;

    if (process->stack != NULL)
        under->type->release(under->self, process->stack, STACK_SIZE);
    process->stack = NULL;
}
