/* SPDX-License-Identifier: Apache-2.0 */
/* sim_kit.c - a world of a broker and some processes without steps of their own; see sim_kit.h. */
#include "sim_kit.h"

#include "test.h"

enum { TURN_US = 50, IDLE_US = 1000 };

static sabot_status take_record(void *user,
                                const char *topic,
                                const struct sb_record *record,
                                sabot_error *error)
{
    (void)user;
    (void)topic;
    (void)record;
    (void)error;
    return SABOT_OK;
}

struct sim_kit *sim_kit_make(const struct sb_env *under, uint64_t seed)
{
    struct sim_kit *kit = calloc(1, sizeof *kit);
    struct sb_sim *sim;

    assert_non_null(kit);
    sim = &kit->sim;
    kit->plan.record = take_record;
    sim->under = under;
    sim->plan = &kit->plan;
    sim->options.reach = &kit->reach;
    sim->draw.state = sb_draw_mix(seed);
    sim->input_draw.state = sb_draw_mix(seed + 1);
    sim->now_us = 1;
    sb_sim_process_init(&sim->world, sim, 0);
    assert_int_equal(sb_sim_disk_init(&sim->disk, under, &sim->draw), SABOT_OK);
    assert_int_equal(sb_sim_broker_init(&sim->broker, sim, NULL), SABOT_OK);
    return kit;
}

void sim_kit_free(struct sim_kit *kit)
{
    struct sb_sim *sim = &kit->sim;

    for (uint32_t i = 0; i < kit->process_count; i++) {
        if (kit->processes[i]->state != SB_SIM_FREE)
            sb_sim_process_reset(kit->processes[i]);
        sb_sim_process_free_stack(kit->processes[i]);
        free(kit->processes[i]);
    }
    sb_sim_broker_reset(&sim->broker);
    sb_sim_process_reset(&sim->world);
    sb_sim_disk_reset(&sim->disk);
    free(kit);
}

struct sb_sim_process *sim_kit_process(struct sim_kit *kit)
{
    struct sb_sim_process *process = aligned_alloc(
        SB_CACHE_LINE, (sizeof *process + SB_CACHE_LINE - 1) / SB_CACHE_LINE * SB_CACHE_LINE);

    assert_non_null(process);
    assert_true(kit->process_count < SB_SIM_PROCESSES_MAX);
    memset(process, 0, sizeof *process);
    kit->processes[kit->process_count++] = process;
    sb_sim_process_init(process, &kit->sim, kit->process_count);
    return process;
}

void sim_kit_kill(struct sim_kit *kit, struct sb_sim_process *process)
{
    (void)kit;
    sb_sim_process_reset(process);
}

/* What waits for its time. */
static uint32_t count_waits(const struct sb_sim_broker *broker)
{
    uint32_t count = 0;

    for (const struct sb_sim_request *request = broker->requests; request != NULL;
         request = request->next)
        count += 4U + request->is_executed + request->is_answered;
    for (const struct sb_sim_stall *stall = broker->stalls; stall != NULL; stall = stall->next)
        count++;
    return count;
}

void sim_kit_turn(struct sim_kit *kit)
{
    struct sb_sim *sim = &kit->sim;
    struct sb_sim_process *world = &sim->world;
    const uint32_t waits = count_waits(&sim->broker);
    int64_t next_us = sb_sim_broker_step(&sim->broker);
    bool has_run = count_waits(&sim->broker) != waits;

    /* The log's own: it ends transactions that take too long. */
    for (uint32_t i = 0; i < world->stepper_count; i++) {
        struct sb_sim_stepper *stepper = &world->steppers[i];

        if (sb_sim_runnable(stepper, sim->now_us)) {
            world->current = stepper;
            sb_sim_process_enter(world);
            has_run = true;
        } else if (stepper->is_used && stepper->is_waiting && stepper->deadline_us < next_us) {
            next_us = stepper->deadline_us;
        }
    }
    if (has_run || next_us <= sim->now_us)
        sim->now_us += TURN_US;
    else if (next_us < INT64_MAX)
        sim->now_us = next_us;
    else
        sim->now_us += IDLE_US; /* who waits in vain gives up in the end */
}
