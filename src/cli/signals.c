/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - SIGTERM and SIGINT: the first stops cleanly, the second at once.
 *
 * A handler has nothing but what is global, so this file has the only variables of the command that
 * are. A signal may come before there is a run: it is remembered, and the run stopped when it is
 * named. (1) handler: count; (2) handler: stop the run, if there is one; (3) main: name the run;
 * (4) main: stop it, if one was counted. Whatever the order, one of (2) and (4) sees both. */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "cli.h"

static _Atomic int first_signal;         /* 0: none yet */
static _Atomic(sabot_run *) run_to_stop; /* NULL: none */

static void on_signal(int number)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&first_signal, &none, number))
        _exit(128 + number);
    sabot_run *run = atomic_load(&run_to_stop);
    if (run != NULL)
        sabot_run_stop(run);
}

void cli_signals_init(void)
{
    struct sigaction stop = {.sa_handler = on_signal}; /* no SA_RESTART: reads and waits end */
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGTERM, &stop, NULL);
    (void)sigaction(SIGINT, &stop, NULL);
    /* A reader that went away is an error of the write. */
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

void cli_signals_stop(sabot_run *run)
{
    atomic_store(&run_to_stop, run);
    if (run != NULL && cli_signals_seen() != 0)
        sabot_run_stop(run);
}

int cli_signals_seen(void)
{
    return atomic_load(&first_signal);
}
