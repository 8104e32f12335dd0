/* SPDX-License-Identifier: Apache-2.0 */
/* operator.c - what people do to a run from outside: they start it with a choice where to go on,
 * ask it for savepoints, and remove these.
 *
 *   SAVING --answered--> SAVED --somebody removes it--> REMOVED
 *     \__ the run ended, or said no: UNSAVED
 *
 * A savepoint is asked for by the verb that the control socket has (api/control.h), and removed by
 * what the command calls, both in a stepper of the process: the broker, the disk and memory fail
 * under it, and it may be killed at any label.
 *
 * What must hold: one that was answered stays whole, whatever comes, until somebody removes it; it
 * is gone on from when it is chosen, and the checks of the plan say whether that was what it had;
 * with the run that was stopped for it, without --force. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "ckpt/savepoint.h"
#include "sim/world.h"

enum { ASK_US = 1500 /* a request is looked at so often */ };

static void say_path(uint32_t number, char *text, size_t size)
{
    (void)snprintf(text, size, "/saves/%u", number);
}

static struct sb_sim_savepoint *savepoint_at(struct sb_sim *sim, int64_t number)
{
    SB_ASSERT(number >= 1 && number <= (int64_t)sim->people.savepoint_count);
    return &sim->people.savepoints[number - 1];
}

/* --- Choices -----------------------------------------------------------------------------------
 *
 * Whoever has begun with one starts the process so again and again, until one of them has
 * committed: then it counts. */

static struct sb_sim_chosen *chosen_of(struct sb_sim *sim, uint32_t number)
{
    return &sim->people.chosen[number < SB_SIM_CHOSEN_MAX ? number : 0];
}

void sb_sim_note_label(struct sb_sim *sim, uint32_t number, const char *name)
{
    if (strcmp(name, "restore.before_adopting") == 0)
        chosen_of(sim, number)->is_adopted = true;
}

/* A savepoint that was restored before is gone on from, not back to. */
void sb_sim_choice_counts(struct sb_sim *sim, uint32_t number)
{
    struct sb_sim_chosen *chosen = chosen_of(sim, number);
    const bool is_savepoint = chosen->choice == SB_SIM_FROM_SAVEPOINT;

    if (chosen->choice == SB_SIM_AS_IT_WAS || chosen->counts)
        return;
    chosen->counts = true;
    sb_sim_say(sim, NULL, "the choice of p%u counts", number);
    if (!is_savepoint || chosen->is_adopted)
        sim->plan->chosen(sim->plan->user, chosen->choice, chosen->which);
    if (is_savepoint && sb_draw_one_in(&sim->draw, 2))
        sim->people.given_again = (uint32_t)chosen->which;
}

/* One that is there; 0: none is. */
static uint32_t some_savepoint(struct sb_sim *sim)
{
    uint32_t found = 0;
    uint32_t count = 0;

    for (uint32_t i = 1; i <= sim->people.savepoint_count; i++) {
        if (savepoint_at(sim, i)->state == SB_SIM_SAVED && sb_draw_one_in(&sim->draw, ++count))
            found = i;
    }
    return found;
}

static void draw_choice(struct sb_sim *sim, struct sb_sim_chosen *chosen)
{
    struct sb_sim_people *people = &sim->people;
    const uint32_t which = 1 + sb_draw_below(&sim->draw, SB_SIM_FROM_SAVEPOINT);
    const enum sb_sim_fault faults[] = {
        [SB_SIM_ANEW] = SB_SIM_RESET,
        [SB_SIM_FROM_CHECKPOINT] = SB_SIM_RESTORE,
        [SB_SIM_FROM_OFFSETS] = SB_SIM_OFFSETS,
        [SB_SIM_FROM_SAVEPOINT] = SB_SIM_RESTORE,
    };

    if (people->stopped_for != 0 && sb_draw_below(&sim->draw, 4) > 0) {
        chosen->choice = SB_SIM_FROM_SAVEPOINT;
        chosen->which = people->stopped_for;
    } else if (sb_sim_happens(sim, faults[which])) {
        chosen->choice = (enum sb_sim_choice)which;
        chosen->which = which == SB_SIM_FROM_SAVEPOINT ? some_savepoint(sim) : 0;
        chosen->is_forced = sb_draw_below(&sim->draw, 4) > 0;
    }
    if (chosen->choice == SB_SIM_FROM_SAVEPOINT && chosen->which == 0)
        chosen->choice = SB_SIM_AS_IT_WAS;
    people->stopped_for = 0;
}

static void draw_chosen(struct sb_sim *sim, uint32_t number)
{
    const struct sb_sim_plan *plan = sim->plan;
    struct sb_sim_people *people = &sim->people;
    struct sb_sim_chosen *chosen = chosen_of(sim, number);
    const struct sb_sim_chosen *last = chosen_of(sim, people->choosing);

    if (people->choosing != 0 && !last->counts) {
        *chosen = *last;
        chosen->is_adopted = false;
        if (chosen->choice == SB_SIM_FROM_CHECKPOINT &&
            !plan->may_choose(plan->user, chosen->choice, &chosen->which))
            chosen->choice = SB_SIM_AS_IT_WAS;
    } else if (sim->broker.commits > 0) {
        draw_choice(sim, chosen);
        if (!plan->may_choose(plan->user, chosen->choice, &chosen->which))
            chosen->choice = SB_SIM_AS_IT_WAS;
    }
    people->choosing = chosen->choice == SB_SIM_AS_IT_WAS ? 0 : number;
    if (people->choosing != 0)
        people->given_again = 0;
    chosen->is_again = people->given_again != 0;
}

static void set_flag(struct sb_sim *sim, const char *name, bool value)
{
    sb_sim_option(sim, name, value ? "true" : "false");
}

/* It is done seldom: something fails in it more often. */
static void aim_at_choice(struct sb_sim_process *process, enum sb_sim_choice choice)
{
    static const enum sb_sim_part taking[] = {
        SB_SIM_PART_CHOOSING, SB_SIM_PART_WRITING,    SB_SIM_PART_WRITING,
        SB_SIM_PART_NAMING,   SB_SIM_PART_REHEARSING, SB_SIM_PART_READING,
    };
    struct sb_draw *draw = &process->sim->draw;

    if (choice == SB_SIM_AS_IT_WAS || sb_draw_one_in(draw, 4))
        return;
    if (choice == SB_SIM_ANEW)
        sb_sim_process_aim(process, SB_SIM_PART_RESETTING);
    else
        sb_sim_process_aim(process,
                           taking[sb_draw_below(draw, choice == SB_SIM_FROM_SAVEPOINT ? 6 : 4)]);
}

/* Nobody looks at a savepoint all the time, either. */
static void aim_at_savepoint(struct sb_sim_process *process, bool removes)
{
    struct sb_draw *draw = &process->sim->draw;
    const uint32_t drawn = sb_draw_below(draw, 8);

    if (removes)
        sb_sim_process_aim(process, drawn < 1 ? SB_SIM_PART_READING : SB_SIM_PART_REMOVING);
    else if (drawn < 6)
        sb_sim_process_aim(process, drawn == 0  ? SB_SIM_PART_NOW
                                    : drawn < 4 ? SB_SIM_PART_SAVEPOINT
                                                : SB_SIM_PART_SEALING);
}

void sb_sim_choose(struct sb_sim *sim, struct sb_sim_process *process)
{
    const struct sb_sim_chosen *chosen = chosen_of(sim, process->number);
    char where[32] = "";

    if (sim->plan->may_choose == NULL || process->number >= SB_SIM_CHOSEN_MAX)
        return;
    draw_chosen(sim, process->number);
    aim_at_choice(process, chosen->choice);
    if (chosen->choice == SB_SIM_FROM_CHECKPOINT)
        (void)snprintf(where, sizeof where, "%lld", (long long)chosen->which);
    else if (chosen->choice == SB_SIM_FROM_SAVEPOINT)
        say_path((uint32_t)chosen->which, where, sizeof where);
    else if (chosen->is_again)
        say_path(sim->people.given_again, where, sizeof where);
    sb_sim_option(sim, "checkpoint.restore", where);
    set_flag(sim, "checkpoint.force", chosen->is_forced && where[0] != '\0' && !chosen->is_again);
    set_flag(sim, "checkpoint.reset", chosen->choice == SB_SIM_ANEW);
    set_flag(sim, "checkpoint.from_offsets", chosen->choice == SB_SIM_FROM_OFFSETS);
    if (chosen->choice != SB_SIM_AS_IT_WAS || chosen->is_again)
        sb_sim_say(sim, NULL, "choice %d %s%s%s", (int)chosen->choice, where,
                   chosen->is_forced ? " by force" : "", chosen->is_again ? " again" : "");
}

/* A checkpoint that counts anyway is not committed once more, nor is a savepoint that was restored
 * before: it is over when the run goes on. */
static bool is_choosing(struct sb_sim *sim, const struct sb_sim_process *process)
{
    const struct sb_sim_chosen *chosen = chosen_of(sim, process->number);

    if (chosen->choice == SB_SIM_AS_IT_WAS || chosen->counts || process->state != SB_SIM_RUNNING ||
        process->result != SABOT_OK)
        return false;
    return chosen->choice == SB_SIM_ANEW || chosen->choice == SB_SIM_FROM_OFFSETS ||
           process->run == NULL || sb_run_phase(process->run) != SB_RUN_RUNNING;
}

/* The newest may have ended, and one that stood still before it goes on. */
bool sb_sim_is_choosing(struct sb_sim *sim)
{
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        if (sim->processes[i] != NULL && is_choosing(sim, sim->processes[i]))
            return true;
    }
    return false;
}

bool sb_sim_is_overtaken(struct sb_sim *sim, const struct sb_sim_process *process)
{
    const struct sb_sim_chosen *last = chosen_of(sim, sim->people.choosing);

    return sim->people.choosing > process->number && last->choice == SB_SIM_ANEW && !last->counts;
}

/* May a savepoint be refused? Not when it is whole, and nothing was committed since the run was
 * stopped for it, or with --force. */
static bool may_refuse(struct sb_sim *sim, const struct sb_sim_chosen *chosen)
{
    const int64_t number = chosen->is_again ? (int64_t)sim->people.given_again : chosen->which;
    const struct sb_sim_savepoint *savepoint = number == 0 ? NULL : savepoint_at(sim, number);

    if (savepoint == NULL || savepoint->state != SB_SIM_SAVED)
        return true;
    if (chosen->is_again || chosen->is_forced)
        return false;
    return !savepoint->stops || savepoint->commits != sim->broker.commits;
}

bool sb_sim_give_up_choice(struct sb_sim *sim, const struct sb_sim_process *process)
{
    const struct sb_sim_chosen *chosen = chosen_of(sim, process->number);
    const bool is_savepoint = chosen->choice == SB_SIM_FROM_SAVEPOINT || chosen->is_again;

    if (process->number != sim->starts)
        return false;
    if (is_savepoint && !may_refuse(sim, chosen))
        return false;
    /* The checkpoint that was chosen is gone, or there are two of its number. */
    if (!is_savepoint && chosen->choice != SB_SIM_FROM_CHECKPOINT)
        return false;
    sb_sim_say(sim, NULL, "the choice of p%u is given up", process->number);
    sim->people.choosing = 0;
    sim->people.given_again = 0;
    return true;
}

/* --- Savepoints --------------------------------------------------------------------------------
 */

static sabot_status remove_savepoint(struct sb_sim_process *process, sabot_error *error)
{
    struct sb_savepoint savepoint;
    sabot_status status;

    status = sb_savepoint_open(&savepoint, &process->env, process->asked.path, error);
    if (status == SABOT_OK)
        status = sb_savepoint_remove(&savepoint, error);
    sb_savepoint_close(&savepoint);
    return status;
}

/* Nobody has come since, and nobody was there who could wake up and take over. */
static bool is_alone(const struct sb_sim *sim, const struct sb_sim_process *process)
{
    return process->asked.was_alone && process->number == sim->starts;
}

static bool has_others(const struct sb_sim *sim, const struct sb_sim_process *process)
{
    for (uint32_t i = 0; i < SB_SIM_PROCESSES_MAX; i++) {
        const struct sb_sim_process *other = sim->processes[i];

        if (other != NULL && other != process && other->state != SB_SIM_FREE)
            return true;
    }
    return false;
}

/* Which checkpoint is it? The plan knows what that has. */
static void note_saved(struct sb_sim *sim, const struct sb_sim_process *process)
{
    const struct sb_sim_plan *plan = sim->plan;
    struct sb_sim_savepoint *saved = savepoint_at(sim, process->asked.number);
    const char *id = strstr((const char *)process->asked.request.answer.data, "\"id\":");

    SB_ASSERT(id != NULL);
    saved->state = SB_SIM_SAVED;
    /* Of one that may have a twin it is what was there before others committed: at no count. */
    saved->commits = is_alone(sim, process) ? sim->broker.commits : UINT64_MAX;
    if (saved->stops)
        sim->people.stopped_for = process->asked.number;
    plan->saved(plan->user, process->asked.number, process->number,
                strtoll(id + strlen("\"id\":"), NULL, 10));
}

/* A checkpoint that a savepoint is made of stays: nobody but another process, or a flipped bit, can
 * have taken it away. */
static void note_unsaved(struct sb_sim *sim,
                         const struct sb_sim_process *process,
                         const sabot_error *error)
{
    savepoint_at(sim, process->asked.number)->state = SB_SIM_UNSAVED;
    if (!is_alone(sim, process))
        return;
    if (error->status == SABOT_ERR_NOT_FOUND)
        sb_sim_violate(sim, "what a savepoint is made of is gone: %s", error->text);
    if (error->status == SABOT_ERR_CORRUPT && sim->disk.rot.node == 0)
        sb_sim_violate(sim, "a savepoint can't be made: %s", error->text);
}

static struct sb_step step_request(void *context)
{
    struct sb_sim_process *process = context;
    struct sb_sim_asked *asked = &process->asked;
    struct sb_sim *sim = process->sim;
    const bool is_over = sb_run_phase(process->run) == SB_RUN_ENDED;
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    if (asked->removes)
        status = remove_savepoint(process, &error);
    else if (is_over && asked->request.memo[0] == 0)
        status = sabot_raise(&error, SABOT_ERR_CLOSED, "the run has ended");
    else
        status = sb_serve_savepoint(process->run, &asked->request, &error);
    if (status == SABOT_AGAIN && savepoint_at(sim, asked->number)->stops)
        process->told_to_stop = true;
    if (status == SABOT_AGAIN && !is_over)
        return sb_step_wait(sim->now_us + ASK_US);
    sb_sim_say(sim, process, "%s of %s: %s", asked->removes ? "the removal" : "the savepoint",
               asked->path, status == SABOT_OK ? "done" : error.text);
    if (!asked->removes && status == SABOT_OK)
        note_saved(sim, process);
    else if (!asked->removes)
        note_unsaved(sim, process, &error);
    sb_buffer_reset(&asked->request.answer);
    asked->is_open = false;
    return sb_step_done();
}

static void ask(struct sb_sim_process *process, uint32_t number, bool removes)
{
    struct sb_sim_asked *asked = &process->asked;

    *asked = (struct sb_sim_asked){
        .is_open = true,
        .removes = removes,
        .was_alone = !has_others(process->sim, process),
        .number = number,
        .request = {.verb = "savepoint.create", .arguments = {asked->path_argument}},
    };
    say_path(number, asked->path, sizeof asked->path);
    (void)snprintf(asked->path_argument, sizeof asked->path_argument, "path=%s", asked->path);
    asked->request.argument_count = 1;
    if (savepoint_at(process->sim, number)->stops)
        asked->request.arguments[asked->request.argument_count++] = "stop=true";
    sb_buffer_init(&asked->request.answer, &process->env);
    aim_at_savepoint(process, removes);
    if (sb_sim_process_spawn(process, step_request, process, NULL) != SABOT_OK)
        asked->is_open = false;
}

void sb_sim_ask(struct sb_sim *sim, struct sb_sim_process *process)
{
    struct sb_sim_people *people = &sim->people;
    const uint32_t old = some_savepoint(sim);

    if (process->run == NULL || process->asked.is_open || process->result != SABOT_OK ||
        sb_run_phase(process->run) != SB_RUN_RUNNING)
        return;
    /* A run that is about to end hardly ever makes one. */
    if (process->told_to_stop && sb_draw_below(&sim->draw, 4) > 0)
        return;
    if (old != 0 && sb_draw_one_in(&sim->draw, 2)) {
        savepoint_at(sim, old)->state = SB_SIM_REMOVED;
        ask(process, old, true);
        return;
    }
    if (people->savepoint_count == SB_SIM_SAVEPOINTS_MAX)
        return;
    people->savepoints[people->savepoint_count++] = (struct sb_sim_savepoint){
        .state = SB_SIM_SAVING,
        .stops = !process->told_to_stop && sb_draw_one_in(&sim->draw, 3),
    };
    ask(process, people->savepoint_count, false);
}

/* --- At the end --------------------------------------------------------------------------------
 */

static sabot_status read_savepoint(struct sb_sim *sim, uint32_t number, sabot_error *error)
{
    struct sb_savepoint savepoint;
    char path[32];
    sabot_status status;

    say_path(number, path, sizeof path);
    status = sb_savepoint_open(&savepoint, &sim->world.env, path, error);
    for (uint32_t i = 0; status == SABOT_OK && i < savepoint.pipeline_count; i++) {
        struct sb_manifest manifest;

        sb_manifest_init(&manifest, &sim->world.env);
        status = sb_savepoint_read(&savepoint, &savepoint.pipelines[i], &manifest, error);
        sb_manifest_reset(&manifest);
    }
    sb_savepoint_close(&savepoint);
    return status;
}

void sb_sim_check_savepoints(struct sb_sim *sim)
{
    sabot_error error;

    for (uint32_t i = 1; i <= sim->people.savepoint_count; i++) {
        if (savepoint_at(sim, i)->state == SB_SIM_SAVED &&
            read_savepoint(sim, i, &error) != SABOT_OK)
            sb_sim_violate(sim, "a savepoint that was made is not whole: %s", error.text);
    }
}
