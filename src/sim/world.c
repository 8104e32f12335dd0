/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - one seed: its faults, its time, who runs next, and what must hold at the end.
 *
 *   draw the faults -> [ a process starts ... is killed, frozen, stopped ... another starts ]*
 *   -> calm: no fault happens any more; what is frozen goes on
 *   -> all input committed as read, no transaction open -> the last process is told to stop
 *   -> it ends well -> the checks of the plan
 *
 * Time moves a little with every step, and jumps to the next deadline when nothing can run.
 *
 * Limits: steps, virtual time, failures once it is calm. Reaching one is a violation: what should
 * have come to rest has not. Thread: one. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/run.h"
#include "sim/world.h"

enum {
    STEPS_MAX = 3 * 1000 * 1000,
    STEP_US = 40,                  /* a step takes, at most */
    FAULTS_US = 25 * 1000 * 1000,  /* they last, at most */
    REST_US = 400 * 1000 * 1000,   /* all must be at rest so long after them */
    RESTART_US = 3 * 1000 * 1000,  /* until a process is started again, at most */
    FREEZE_US = 40 * 1000 * 1000,  /* a process stands still, at most */
    CLOCK_US = 2000 * 1000 * 1000, /* the wall clock is set by, at most */
    CALM_FAILURES_MAX = 4,         /* what happened before may show later */
    RARE_MIN = 8,
    BUSY = 5, /* once in so many seeds people are */
    BUSY_US = 6 * 1000 * 1000,
    VISIT_US = 400 * 1000,
};

static const int64_t WALL_BEGIN_US = INT64_C(1700000000) * 1000 * 1000;

/* --- Small things ------------------------------------------------------------------------------
 */

void sb_sim_hash(struct sb_sim *sim, uint64_t value)
{
    sim->hash = sb_draw_mix(sim->hash ^ value) + 0x9e3779b97f4a7c15U;
}

void sb_sim_hash_bytes(struct sb_sim *sim, const void *bytes, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325U;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3U;
    sb_sim_hash(sim, hash);
}

bool sb_sim_happens(struct sb_sim *sim, enum sb_sim_fault fault)
{
    if (sim->is_calm || sim->rarity[fault] == 0 || !sb_draw_one_in(&sim->draw, sim->rarity[fault]))
        return false;
    sim->happened[fault]++;
    return true;
}

void sb_sim_violate(struct sb_sim *sim, const char *format, ...)
{
    va_list arguments;
    int size;

    if (sim->violated)
        return;
    sim->violated = true;
    sim->is_over = true;
    size = snprintf(sim->text, sizeof sim->text,
                    "at %lld.%06lld s: ", (long long)(sim->now_us / 1000000),
                    (long long)(sim->now_us % 1000000));
    va_start(arguments, format);
    (void)vsnprintf(sim->text + size, sizeof sim->text - (size_t)size, format, arguments);
    va_end(arguments);
    sb_sim_say(sim, NULL, "violated: %s", sim->text);
}

void sb_sim_say(struct sb_sim *sim, const struct sb_sim_process *process, const char *format, ...)
{
    char text[SB_SIM_TEXT_MAX];
    va_list arguments;

    if (!sim->options.verbose)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sb_log(sim->under, SABOT_LOG_INFO, "sim", "%4lld.%06lld %s%u %s",
           (long long)(sim->now_us / 1000000), (long long)(sim->now_us % 1000000),
           process == NULL ? "w" : "p", process == NULL ? 0 : process->number, text);
}

struct sb_sim_label *sb_sim_label(struct sb_sim *sim, const char *name)
{
    return sb_sim_reach_label(sim->options.reach, name);
}

const struct sb_env *sb_sim_env(struct sb_sim *sim)
{
    return &sim->world.env;
}

struct sb_draw *sb_sim_draw(struct sb_sim *sim)
{
    return &sim->input_draw;
}

uint32_t sb_sim_drawn(const struct sb_sim *sim)
{
    return sim->drawn;
}

bool sb_sim_is_busy(const struct sb_sim *sim)
{
    return sim->is_busy;
}

uint32_t sb_sim_committer(const struct sb_sim *sim)
{
    return sim->committer;
}

void sb_sim_option(struct sb_sim *sim, const char *name, const char *value)
{
    sabot_error error;

    if (sabot_config_set(sim->plan->config, SABOT_FROM_OPTION, name, value, &error) != SABOT_OK)
        sb_sim_violate(sim, "%s", error.text);
}

void sb_sim_ends_by_itself(struct sb_sim *sim)
{
    sim->ends_by_itself = true;
}

void sb_sim_runs_alone(struct sb_sim *sim)
{
    sim->runs_alone = true;
}

void sb_sim_put_file(struct sb_sim *sim, const char *folder, const char *path, sabot_text bytes)
{
    const struct sb_sim_disk_faults faults = sim->disk.faults;
    struct sb_sim_disk *disk = &sim->disk;
    struct sb_file *file;

    disk->faults = (struct sb_sim_disk_faults){.io = 0};
    (void)!sb_sim_directory_create(disk, folder, NULL);
    SB_ASSERT(sb_sim_file_open(disk, &sim->world, path, SB_OPEN_TRUNCATE, &file, NULL) == SABOT_OK);
    SB_ASSERT(sb_sim_file_write(file, bytes.data, bytes.size, 0, NULL) == SABOT_OK &&
              sb_sim_file_sync(file, NULL) == SABOT_OK);
    sb_sim_file_close(file);
    SB_ASSERT(sb_sim_directory_sync(disk, folder, NULL) == SABOT_OK &&
              sb_sim_directory_sync(disk, "/", NULL) == SABOT_OK);
    disk->faults = faults;
}

void sb_sim_list(struct sb_sim *sim, const char *folder, sb_list_function each, void *context)
{
    const struct sb_sim_disk_faults faults = sim->disk.faults;
    const uint32_t armed = sim->disk.armed;

    sim->disk.faults = (struct sb_sim_disk_faults){.io = 0};
    sim->disk.armed = 0;
    (void)!sb_sim_directory_list(&sim->disk, folder, each, context, NULL);
    sim->disk.faults = faults;
    sim->disk.armed = armed;
}

/* --- Which faults ------------------------------------------------------------------------------
 */

/* How rare each is among its chances: the rarest that a seed may draw. */
static const uint32_t rarest[SB_SIM_FAULTS] = {
    [SB_SIM_CRASH] = 4000, [SB_SIM_POWER] = 3000, [SB_SIM_FREEZE] = 6000, [SB_SIM_STOP] = 10000,
    [SB_SIM_THREADS] = 1,  [SB_SIM_SLOW] = 200,   [SB_SIM_LOST] = 60,     [SB_SIM_BROKEN] = 120,
    [SB_SIM_AWAY] = 400,   [SB_SIM_EIO] = 1500,   [SB_SIM_ENOSPC] = 800,  [SB_SIM_FSYNC] = 150,
    [SB_SIM_ROT] = 3,      [SB_SIM_MEMORY] = 3,   [SB_SIM_CLOCK] = 4000,  [SB_SIM_WAKE] = 40,
    [SB_SIM_ABORTS] = 4,   [SB_SIM_RESET] = 12,   [SB_SIM_RESTORE] = 6,   [SB_SIM_OFFSETS] = 8,
    [SB_SIM_SAVE] = 2000,
};

/* What people do. */
static bool is_of_people(uint32_t fault)
{
    return fault == SB_SIM_STOP || fault == SB_SIM_RESET || fault == SB_SIM_RESTORE ||
           fault == SB_SIM_OFFSETS || fault == SB_SIM_SAVE;
}

/* What fails at one call, which is drawn for the occasion. */
static bool is_of_calls(uint32_t fault)
{
    return fault == SB_SIM_EIO || fault == SB_SIM_FSYNC || fault == SB_SIM_MEMORY;
}

/* In percent. In busy seeds people never rest, and less goes wrong by itself. */
static uint32_t chance_of(uint32_t fault, bool is_busy)
{
    if (fault == SB_SIM_ROT)
        return 20;
    if (!is_busy)
        return 45;
    if (fault == SB_SIM_FREEZE)
        return 30;
    return is_of_people(fault) || is_of_calls(fault) ? 85 : 10;
}

static void draw_faults(struct sb_sim *sim)
{
    const bool is_busy = sb_draw_one_in(&sim->draw, BUSY);

    sim->is_busy = is_busy;
    if (is_busy)
        sb_sim_say(sim, NULL, "people never rest");
    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++) {
        const bool is_on = sb_draw_below(&sim->draw, 100) < chance_of(i, is_busy);
        const uint32_t power = sb_draw_below(&sim->draw, 5);
        uint32_t rarity = 1 + rarest[i] / (1U << (is_busy && is_of_people(i) ? 4 : power));

        if (is_busy && is_of_calls(i))
            rarity = 16 * rarest[i];
        if (is_on && (sim->options.faults & (1U << i)) != 0) {
            sim->drawn |= 1U << i;
            sim->rarity[i] = rarity < RARE_MIN && rarest[i] > RARE_MIN ? RARE_MIN : rarity;
        }
    }
    sim->calm_us = sim->options.until_us;
    if (sim->calm_us == 0)
        sim->calm_us = 1000000 + (is_busy ? BUSY_US / 2 + sb_draw_below(&sim->draw, BUSY_US)
                                          : sb_draw_wide(&sim->draw, FAULTS_US));
    sim->disk.faults = (struct sb_sim_disk_faults){
        .io = sim->rarity[SB_SIM_EIO],
        .space = sim->rarity[SB_SIM_ENOSPC],
        .sync = sim->rarity[SB_SIM_FSYNC],
    };
}

/* --- Processes ---------------------------------------------------------------------------------
 */

static uint32_t count_in(const struct sb_sim *sim, enum sb_sim_state state)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++)
        count += sim->processes[i] != NULL && sim->processes[i]->state == state;
    return count;
}

/* The first thing that a process does, on its own stack. */
static struct sb_step boot(void *context)
{
    struct sb_sim_process *process = context;
    const struct sb_sim_plan *plan = process->sim->plan;

    process->result =
        sb_run_create(&process->env, plan->entry, plan->config, &process->run, &process->error);
    if (process->result == SABOT_OK)
        process->result = sabot_run_start(process->run, &process->error);
    return sb_step_done();
}

/* And the last. */
static struct sb_step bury(void *context)
{
    struct sb_sim_process *process = context;

    sabot_run_destroy(process->run);
    process->run = NULL;
    process->state = SB_SIM_ENDED;
    return sb_step_done();
}

static void draw_process(struct sb_sim *sim, struct sb_sim_process *process)
{
    process->label_salt = sb_draw(&sim->draw);
    if (!sim->is_busy) /* there it is for what people do */
        sb_sim_process_aim(process, (enum sb_sim_part)sb_draw_below(&sim->draw, SB_SIM_PARTS_ALL));
    if (sb_sim_happens(sim, SB_SIM_MEMORY)) {
        sim->happened[SB_SIM_MEMORY]--; /* counted when it fails */
        process->allocations_left = sb_draw_wide(&sim->draw, 20000);
        process->allocations_stay_failed = sb_draw_one_in(&sim->draw, 3);
    }
}

static void start_process(struct sb_sim *sim)
{
    struct sb_sim_process *process = NULL;
    uint32_t slot = 0;
    char threads[8];

    for (uint32_t i = 0; process == NULL && i < SB_SIM_PROCESSES_MAX; i++) {
        if (sim->processes[i] == NULL) {
            sim->processes[i] = sb_alloc(sim->under, sizeof *process);
            SB_ASSERT(sim->processes[i] != NULL);
        }
        if (sim->processes[i]->state == SB_SIM_FREE) {
            process = sim->processes[i];
            slot = i;
        }
    }
    SB_ASSERT(process != NULL);
    sb_sim_process_init(process, sim, ++sim->starts);
    process->slot = slot;
    draw_process(sim, process);
    sb_sim_choose(sim, process);
    if (sim->rarity[SB_SIM_THREADS] != 0) {
        (void)snprintf(threads, sizeof threads, "%u", 1 + sb_draw_below(&sim->draw, 3));
        sb_sim_option(sim, "threads", threads);
        sim->happened[SB_SIM_THREADS]++;
    }
    sb_sim_say(sim, process, "starts");
    sim->start_us = INT64_MAX;
    SB_ASSERT(sb_sim_process_spawn(process, boot, process, NULL) == SABOT_OK);
}

static void plan_start(struct sb_sim *sim)
{
    const int64_t due_us =
        sim->now_us + sb_draw_wide(&sim->draw, sim->is_busy ? VISIT_US : RESTART_US);

    if (due_us < sim->start_us)
        sim->start_us = due_us;
}

/* Nobody runs any more: after a while somebody starts another. */
static void after_end(struct sb_sim *sim)
{
    if (count_in(sim, SB_SIM_RUNNING) == 0)
        plan_start(sim);
}

static void kill_process(struct sb_sim *sim, struct sb_sim_process *process)
{
    sb_sim_process_reset(process);
    after_end(sim);
}

static void lose_power(struct sb_sim *sim)
{
    sb_sim_say(sim, NULL, "the power goes");
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        if (sim->processes[i] != NULL && sim->processes[i]->state != SB_SIM_FREE)
            sb_sim_process_reset(sim->processes[i]);
    }
    sb_sim_disk_lose_power(&sim->disk);
    sim->start_us = INT64_MAX;
    plan_start(sim);
}

static void freeze(struct sb_sim *sim, struct sb_sim_process *process)
{
    process->thaw_us =
        sim->now_us + (sb_draw_one_in(&sim->draw, 2) ? sb_draw_wide(&sim->draw, FREEZE_US)
                                                     : sb_draw_below(&sim->draw, RESTART_US));
    if (sim->options.until_us == 0 && process->thaw_us > sim->calm_us)
        process->thaw_us = sim->calm_us;
    process->is_frozen_inside = true;
    /* Is it taken for dead? */
    if (!sim->runs_alone && sb_draw_below(&sim->draw, 3) > 0)
        after_end(sim);
}

/* --- The end of a process ----------------------------------------------------------------------
 */

/* May a process end like this, so that the next one goes on? */
static bool may_fail(struct sb_sim *sim, const struct sb_sim_process *process)
{
    const sabot_status result = process->result;

    /* Another one took over, or the broker gave up on it; or a fault was told as it is. */
    if (result == SABOT_ERR_FENCED || result == SABOT_ERR_IO || result == SABOT_ERR_MEMORY ||
        result == SABOT_ERR_LIMIT)
        return true;
    /* A stop does not wait for ever for a broker that is away. */
    if (result == SABOT_ERR_TIMEOUT && process->told_to_stop)
        return true;
    /* What one of two restores the other may have removed: only one of them shall go on. */
    if (result != SABOT_ERR_SCHEMA &&
        (process->number != sim->starts ||
         count_in(sim, SB_SIM_RUNNING) + count_in(sim, SB_SIM_FROZEN) > 0))
        return true;
    if (result != SABOT_ERR_RECOVERY && result != SABOT_ERR_CORRUPT &&
        result != SABOT_ERR_NOT_FOUND)
        return process->error.retriable;
    if (sb_sim_give_up_choice(sim, process))
        return true;
    if (!sb_sim_disk_mend(&sim->disk))
        return false;
    sb_sim_say(sim, NULL, "the flipped bit is put back");
    return true;
}

static void check_leaks(struct sb_sim *sim, const struct sb_sim_process *process)
{
    uint32_t blocks;
    const uint64_t held = sb_sim_process_held(process, &blocks);

    if (held > 0)
        sb_sim_violate(sim, "a process that ended in order has not freed %llu bytes in %u blocks",
                       (unsigned long long)held, blocks);
}

/* Its run has ended, and has given everything back. */
static void bury_process(struct sb_sim *sim, struct sb_sim_process *process)
{
    const sabot_status result = process->result;

    sb_sim_hash(sim, (uint64_t)result);
    sb_sim_say(sim, process, "ends: %s",
               result == SABOT_END ? "as it was told to" : process->error.text);
    check_leaks(sim, process);
    if (result == SABOT_END && !process->told_to_stop && !sim->ends_by_itself)
        sb_sim_violate(sim, "a process ended, and nobody had told it to");
    if (result == SABOT_END && !process->told_to_stop) {
        sim->is_over = true; /* there is no input left */
    } else if (sim->is_stopping) {
        sim->is_over = result == SABOT_END;
        sim->is_stopping = false; /* it failed: the next one shall do better */
    }
    if (result != SABOT_END && !may_fail(sim, process))
        sb_sim_violate(sim, "a process gave up: %s", process->error.text);
    sb_sim_process_reset(process);
    if (result != SABOT_END && sim->is_calm && count_in(sim, SB_SIM_RUNNING) == 0 &&
        ++sim->calm_failures > CALM_FAILURES_MAX)
        sb_sim_violate(sim, "without any fault a process failed once more: %s",
                       process->error.text);
    after_end(sim);
}

static void note_end(struct sb_sim *sim, struct sb_sim_process *process)
{
    const struct sb_sim_plan *plan = sim->plan;
    sabot_error error;

    process->result = process->run->result;
    process->error = process->run->error;
    if (process->result == SABOT_END && plan->stopped != NULL &&
        plan->stopped(plan->user, process->run, &error) != SABOT_OK)
        sb_sim_violate(sim, "a run has ended: %s", error.text);
}

/* What became of a process in its step. */
static void look_after(struct sb_sim *sim, struct sb_sim_process *process)
{
    switch (process->state) {
    case SB_SIM_KILLED:
        if (sb_sim_happens(sim, SB_SIM_POWER)) {
            lose_power(sim);
            return;
        }
        kill_process(sim, process);
        return;
    case SB_SIM_FROZEN: freeze(sim, process); return;
    case SB_SIM_ENDED: bury_process(sim, process); return;
    case SB_SIM_FREE:
    case SB_SIM_RUNNING: break;
    }
    if (process->result == SABOT_OK && process->run != NULL &&
        sb_run_phase(process->run) == SB_RUN_ENDED)
        note_end(sim, process);
    /* Who has asked for something is answered yet. */
    if (process->result == SABOT_OK || process->current->step == bury || process->asked.is_open)
        return;
    for (uint32_t i = 0; i < process->stepper_count; i++) {
        if (process->steppers[i].is_used && process->steppers[i].step == bury)
            return;
    }
    SB_ASSERT(sb_sim_process_spawn(process, bury, process, NULL) == SABOT_OK);
}

/* --- Who is next -------------------------------------------------------------------------------
 */

struct choice {
    struct sb_sim_process *process;
    struct sb_sim_stepper *stepper;
};

enum { CHOICES_MAX = 512 };

struct choices {
    struct choice all[CHOICES_MAX];
    uint32_t count;
    int64_t next_us; /* when somebody may run who may not now */
};

static void offer(struct choices *choices, struct sb_sim *sim, struct sb_sim_process *process)
{
    if (process == NULL || process->state != SB_SIM_RUNNING)
        return;
    if (process->is_frozen_inside) { /* thawed: it goes on where it was */
        choices->all[choices->count++] = (struct choice){process, process->current};
        return;
    }
    for (uint32_t i = 0; i < process->stepper_count; i++) {
        struct sb_sim_stepper *stepper = &process->steppers[i];
        const bool wakes = stepper->is_used && stepper->is_waiting && !stepper->is_done &&
                           sim->rarity[SB_SIM_WAKE] != 0 && sb_sim_happens(sim, SB_SIM_WAKE);

        if (wakes || sb_sim_runnable(stepper, sim->now_us))
            choices->all[choices->count++] = (struct choice){process, stepper};
        else if (stepper->is_used && stepper->is_waiting && !stepper->is_done &&
                 stepper->deadline_us < choices->next_us)
            choices->next_us = stepper->deadline_us;
    }
}

static void thaw(struct sb_sim *sim, struct choices *choices)
{
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        struct sb_sim_process *process = sim->processes[i];

        if (process == NULL || process->state != SB_SIM_FROZEN)
            continue;
        if (process->thaw_us <= sim->now_us || sim->is_calm)
            process->state = SB_SIM_RUNNING;
        else if (process->thaw_us < choices->next_us)
            choices->next_us = process->thaw_us;
    }
}

static void gather(struct sb_sim *sim, struct choices *choices, int64_t broker_us)
{
    choices->count = 0;
    choices->next_us = broker_us < sim->start_us ? broker_us : sim->start_us;
    if (!sim->is_calm && sim->calm_us < choices->next_us)
        choices->next_us = sim->calm_us;
    thaw(sim, choices);
    offer(choices, sim, &sim->world);
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++)
        offer(choices, sim, sim->processes[i]);
}

static void run_one(struct sb_sim *sim, const struct choices *choices)
{
    const uint32_t at = sb_draw_below(&sim->draw, choices->count);
    const struct choice *choice = &choices->all[at];

    sb_sim_hash(sim, ((uint64_t)choice->process->number << 16) | at);
    choice->process->current = choice->stepper;
    choice->process->is_frozen_inside = false;
    if (sim->plan->inside != NULL && choice->process->number != 0)
        sim->plan->inside(sim->plan->user, choice->process->slot, choice->stepper->step == boot);
    sb_sim_process_enter(choice->process);
    sim->now_us += 1 + sb_draw_below(&sim->draw, STEP_US);
    if (choice->process->number != 0)
        look_after(sim, choice->process);
}

/* --- What happens between two steps ------------------------------------------------------------
 */

static struct sb_sim_process *some_running(const struct sb_sim *sim)
{
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        struct sb_sim_process *process = sim->processes[i];

        if (process != NULL && process->state == SB_SIM_RUNNING && !process->is_frozen_inside)
            return process;
    }
    return NULL;
}

/* Twins that have nothing to do never learn that they are. All but the newest are killed. */
static void kill_twins(struct sb_sim *sim)
{
    struct sb_sim_process *newest = some_running(sim);

    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        struct sb_sim_process *process = sim->processes[i];

        if (process == NULL || process == newest || process->state != SB_SIM_RUNNING)
            continue;
        if (process->number > newest->number) {
            struct sb_sim_process *older = newest;

            newest = process;
            process = older;
        }
        sb_sim_say(sim, process, "is killed: there is a newer one");
        sb_sim_process_reset(process);
    }
}

static void tell_to_stop(struct sb_sim_process *process)
{
    if (process->run == NULL || process->told_to_stop || process->result != SABOT_OK)
        return;
    sb_sim_say(process->sim, process, "is told to stop");
    process->told_to_stop = true;
    sabot_run_stop(process->run);
}

/* In a busy seed people come again and again, whatever else happens. */
static void visit(struct sb_sim *sim, struct sb_sim_process *process)
{
    const uint32_t what = sb_draw_below(&sim->draw, 4);

    sim->people.next_us = sim->now_us + sb_draw_below(&sim->draw, VISIT_US);
    if (process == NULL || process->asked.is_open)
        return; /* for an answer they wait */
    if (what <= 1 && sim->rarity[SB_SIM_SAVE] != 0 && sim->plan->saved != NULL)
        sb_sim_ask(sim, process);
    else if (what >= 2 && sim->rarity[SB_SIM_STOP] != 0)
        tell_to_stop(process);
}

static void disturb(struct sb_sim *sim)
{
    struct sb_sim_process *process = some_running(sim);

    if (sim->is_busy && sim->now_us >= sim->people.next_us)
        visit(sim, process);
    if (sb_sim_happens(sim, SB_SIM_POWER))
        lose_power(sim);
    else if (process != NULL && sb_sim_happens(sim, SB_SIM_CRASH)) {
        sb_sim_say(sim, process, "killed between two steps");
        kill_process(sim, process);
    } else if (process != NULL && sb_sim_happens(sim, SB_SIM_STOP)) {
        tell_to_stop(process);
    } else if (process != NULL && sim->plan->saved != NULL && sb_sim_happens(sim, SB_SIM_SAVE)) {
        sb_sim_ask(sim, process);
    }
    if (sb_sim_happens(sim, SB_SIM_CLOCK)) {
        sim->wall_offset_us +=
            (int64_t)sb_draw_wide(&sim->draw, CLOCK_US) * (sb_draw_one_in(&sim->draw, 2) ? 1 : -1);
        sb_sim_say(sim, NULL, "the clock is set");
    }
}

/* Before a process starts its disk may have decayed. */
static void start_when_due(struct sb_sim *sim)
{
    if (sim->start_us > sim->now_us || sim->is_over)
        return;
    if (sb_sim_happens(sim, SB_SIM_ROT) && sb_sim_disk_decay(&sim->disk))
        sb_sim_say(sim, NULL, "a bit on the disk has flipped");
    start_process(sim);
}

static void calm_down(struct sb_sim *sim)
{
    if (sim->is_calm || (sim->now_us < sim->calm_us && !sim->is_over))
        return;
    sim->is_calm = true;
    sim->disk.faults = (struct sb_sim_disk_faults){.io = 0};
    sim->disk.armed = 0;
    sim->disk.armed_sync = 0;
    sim->broker.away_until_us = 0;
    sb_sim_say(sim, NULL, "no more faults");
}

/* Is all committed that is to be? Else the reason. */
static bool is_at_rest(struct sb_sim *sim, char reason[SB_SIM_TEXT_MAX])
{
    const struct sb_sim_plan *plan = sim->plan;
    sabot_error error;

    if (sb_sim_is_choosing(sim)) {
        (void)snprintf(reason, SB_SIM_TEXT_MAX, "what was chosen was not committed");
        return false;
    }
    sb_sim_broker_show(&sim->broker);
    if (!sb_sim_topics_at_rest(&sim->broker, reason, SB_SIM_TEXT_MAX))
        return false;
    if (plan->settled == NULL || plan->settled(plan->user, &error) == SABOT_OK)
        return true;
    (void)snprintf(reason, SB_SIM_TEXT_MAX, "%s", error.text);
    return false;
}

/* All input is committed: the last process stops. */
static void end_when_at_rest(struct sb_sim *sim)
{
    struct sb_sim_process *process = some_running(sim);
    char reason[SB_SIM_TEXT_MAX] = "it has not ended";

    if (!sim->is_calm || sim->is_over)
        return;
    if (sim->now_us > sim->calm_us + REST_US) {
        (void)is_at_rest(sim, reason);
        sb_sim_violate(sim, "it does not come to rest: %s", reason);
        return;
    }
    if (process == NULL || sim->is_stopping || sim->ends_by_itself || !is_at_rest(sim, reason))
        return;
    kill_twins(sim);
    process = some_running(sim);
    if (process == NULL || process->run == NULL || process->result != SABOT_OK ||
        sb_run_phase(process->run) == SB_RUN_PREPARING)
        return; /* it has not cut its files yet */
    if (sb_sim_is_overtaken(sim, process)) {
        sb_sim_say(sim, process, "is killed: somebody has begun anew since");
        kill_process(sim, process);
        return;
    }
    sim->is_stopping = true;
    tell_to_stop(process);
}

static void turn(struct sb_sim *sim)
{
    struct choices choices;
    const int64_t broker_us = sb_sim_broker_step(&sim->broker);

    calm_down(sim);
    start_when_due(sim);
    gather(sim, &choices, broker_us);
    if (choices.count == 0) {
        if (choices.next_us == INT64_MAX)
            sb_sim_violate(sim, "nothing will ever happen again");
        else if (choices.next_us > sim->now_us)
            sim->now_us = choices.next_us;
        end_when_at_rest(sim);
        return;
    }
    run_one(sim, &choices);
    if (!sim->is_calm)
        disturb(sim);
    else if ((sim->steps & 63) == 0)
        end_when_at_rest(sim);
    if (++sim->steps > STEPS_MAX)
        sb_sim_violate(sim, "it goes round and round: %d steps", STEPS_MAX);
}

/* --- A seed ------------------------------------------------------------------------------------
 */

static sabot_status open_world(struct sb_sim *sim, sabot_error *error)
{
    sim->draw.state = sb_draw_mix(sim->options.seed + 0x5ab07);
    sim->input_draw.state = sb_draw_mix(sim->options.seed + 0x1235813);
    sim->wall_offset_us = WALL_BEGIN_US;
    sb_sim_process_init(&sim->world, sim, 0);
    if (sb_sim_disk_init(&sim->disk, sim->under, &sim->draw) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a disk");
    draw_faults(sim);
    sb_sim_put_file(sim, "/saves", "/saves/.made", (sabot_text){"", 0});
    SABOT_TRY(sb_sim_broker_init(&sim->broker, sim, error));
    return sim->plan->open(sim->plan->user, sim, error);
}

static void close_world(struct sb_sim *sim)
{
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        if (sim->processes[i] == NULL)
            continue;
        if (sim->processes[i]->state != SB_SIM_FREE)
            sb_sim_process_reset(sim->processes[i]);
        sb_sim_process_free_stack(sim->processes[i]);
        sb_free(sim->under, sim->processes[i], sizeof *sim->processes[i]);
    }
    if (sim->broker.log != NULL)
        sb_sim_broker_reset(&sim->broker);
    sb_sim_process_reset(&sim->world);
    sb_sim_disk_reset(&sim->disk);
}

static void count(const struct sb_sim *sim)
{
    struct sb_sim_reach *reach = sim->options.reach;

    for (uint32_t i = 0; i < SB_SIM_FAULTS; i++)
        reach->faults[i] += sim->happened[i];
    reach->faults[SB_SIM_EIO] += sim->disk.done.io;
    reach->faults[SB_SIM_ENOSPC] += sim->disk.done.space;
    reach->faults[SB_SIM_FSYNC] += sim->disk.done.sync;
    reach->seeds++;
    reach->starts += sim->starts;
    reach->records += sim->broker.records;
    reach->virtual_us += sim->now_us;
}

static void run_world(struct sb_sim *sim)
{
    sabot_error error;

    while (!sim->is_over)
        turn(sim);
    calm_down(sim); /* a run that ends by itself may have come first */
    sb_sim_broker_show(&sim->broker);
    (void)sb_sim_disk_mend(&sim->disk); /* a bit that nobody has read */
    if (!sim->violated)
        sb_sim_check_savepoints(sim);
    if (!sim->violated && sim->plan->end(sim->plan->user, sim, &error) != SABOT_OK)
        sb_sim_violate(sim, "at the end: %s", error.text);
}

sabot_status sb_sim_run(const struct sb_env *under,
                        const struct sb_sim_plan *plan,
                        const struct sb_sim_options *options,
                        struct sb_sim_result *result_out,
                        sabot_error *error)
{
    struct sb_sim *sim = sb_alloc(under, sizeof *sim);
    sabot_status status;

    *result_out = (struct sb_sim_result){.hash = 0};
    SB_ASSERT(options->reach != NULL);
    if (sim == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a simulation");
    sim->under = under;
    sim->plan = plan;
    sim->options = *options;
    status = open_world(sim, error);
    if (status == SABOT_OK) {
        run_world(sim);
        count(sim);
        *result_out = (struct sb_sim_result){
            .hash = sim->hash,
            .faults = sim->drawn,
            .violated = sim->violated,
            .virtual_us = sim->now_us,
            .steps = sim->steps,
            .starts = sim->starts,
        };
        (void)snprintf(result_out->text, sizeof result_out->text, "%s", sim->text);
    }
    close_world(sim);
    sb_free(under, sim, sizeof *sim);
    return status;
}
