/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h - the app that the simulator proves the engine with, and what must hold of it.
 *
 *   transfers --> split --> legs --> book: sequence, balance, sum, ids of each account --> entries
 *                                     \-- a timer for each entry ------------------------> alarms
 *
 * Both legs of a transfer are made in one step of `split`, so they belong to one checkpoint
 * wherever its barrier falls: what is committed always adds up to nothing. */
#ifndef SB_TEST_SIM_LEDGER_H
#define SB_TEST_SIM_LEDGER_H

#include "sim/sim.h"

struct ledger;

/* One seed of it. */
struct ledger *ledger_create(const struct sb_env *env);
void ledger_destroy(struct ledger *ledger);
void ledger_plan(struct ledger *ledger, struct sb_sim_plan *plan_out);

#endif
