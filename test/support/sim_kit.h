/* SPDX-License-Identifier: Apache-2.0 */
/* sim_kit.h - the broker of the simulator by itself: no engine, no seed's story, but processes that
 * use its channels, a clock that moves when somebody waits, and faults that a test turns on.
 *
 *     sim_kit_make --> a process (its env) --> channels of "sim:" --> sim_kit_turn, until it is
 * done
 *
 * Threads: one. Every helper fails the test when it can't do its work. */
#ifndef SB_TEST_SIM_KIT_H
#define SB_TEST_SIM_KIT_H

#include "sim/world.h"

struct sim_kit {
    struct sb_sim sim;
    struct sb_sim_plan plan;
    struct sb_sim_reach reach;
    struct sb_sim_process *processes[SB_SIM_PROCESSES_MAX];
    uint32_t process_count;
};

/* No fault is on: sim.rarity says which happen, once in so many. */
struct sim_kit *sim_kit_make(const struct sb_env *under, uint64_t seed);
void sim_kit_free(struct sim_kit *kit);
/* A new process; `env` of it is what its channels are opened with. */
struct sb_sim_process *sim_kit_process(struct sim_kit *kit);
/* As a kill does: its connections are gone, and its memory. */
void sim_kit_kill(struct sim_kit *kit, struct sb_sim_process *process);
/* What is due happens; when nothing is, the clock moves on to what comes next. */
void sim_kit_turn(struct sim_kit *kit);

#endif
