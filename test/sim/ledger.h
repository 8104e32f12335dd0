/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.h - the app that the simulator proves the engine with, and what must hold of it.
 *
 *   transfers --> split --> legs --> book: sequence, balance, sum, ids of each account --> entries
 *                                     |-- a timer for each entry ------------------------> alarms
 *                                     |-- now and then one by the clock of the machine -->
 * reminders rates ==> table =============|                                                  +->
 * book-totals
 *                                     \-- windows of the legs ---------------------------+->
 * book-late
 *                                                                                        +->
 * stream-totals entries --> a stream of windows, a pipeline of its own --+-> stream-late
 *
 * Both legs of a transfer are made in one step of `split`, so they belong to one checkpoint
 * wherever its barrier falls: what is committed always adds up to nothing.
 *
 * The seed says whether there is a table, and of what kind windows are, by options of the app.
 *
 *     ledger.c          the input, the entries and timers that must come of it
 *     ledger_windows.c  the windows that must
 *     ledger_state.c    what the last checkpoint must hold
 *     ledger_app.c      the app */
#ifndef SB_TEST_SIM_LEDGER_H
#define SB_TEST_SIM_LEDGER_H

#include <sabot/sabot.h>

enum {
    LEDGER_ALARM_MS = 50,    /* behind an entry, by its time */
    LEDGER_REMIND_MS = 2000, /* behind an entry, by the machine's */
    LEDGER_RECENT = 4,       /* entries that an account remembers in their order */
};

struct ledger;
struct sb_env;
struct sb_sim_plan;

extern const sabot_app_entry ledger_app;

/* One seed of it. */
struct ledger *ledger_create(const struct sb_env *env);
void ledger_destroy(struct ledger *ledger);
void ledger_plan(struct ledger *ledger, struct sb_sim_plan *plan_out);

#endif
