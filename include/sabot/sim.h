/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h - an app in the simulator: many ways in which its world may fail, each from a seed.
 *
 * The engine and the app run unchanged, in one thread, in virtual time. Channels that are read lie
 * on a simulated broker and are filled from the files they are bound to; those that are written lie
 * there as well. From the seed come who runs next, kills and freezes of the process at any point,
 * losses of power, a disk that fails and decays, late and lost answers of the broker. After the
 * faults all must come to rest, and what is committed then must be
 *
 *     - the same records as in a run of the same seed without faults, in whatever order, and
 *     - what the app's own check says, after every commit and at the end.
 *
 * `sabot -A app.so:app sim --seed 1..1000 --bind transactions=file:transactions.jsonl`
 *
 * Of each input, and of a source that is the app's own, the first 500 records are taken. A seed
 * gives the same on every machine. An app must keep what it knows in its state: its writable data
 * is put back to what it was when it was loaded, each time a process starts.
 *
 * Threads: one. */
#ifndef SABOT_SIM_H
#define SABOT_SIM_H

#include <sabot/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- The app's own check ------------------------------------------------------------------------
 */

/* All that is committed so far. */
typedef struct sabot_committed sabot_committed;

/* Record `index` of an output channel, in the order of commits. False: there are no more of them,
 * or no such channel. Valid during the call of the check. */
SABOT_API bool sabot_committed_record(const sabot_committed *committed,
                                      const char *channel,
                                      size_t index,
                                      sabot_record *record_out);

/* Must hold after every commit, and at the end (`at_end`: all input was read, and all timers fired
 * that were due). Not SABOT_OK: `error` says what does not hold (sabot_raise()). */
typedef sabot_status (*sabot_invariant_function)(void *user,
                                                 const sabot_committed *committed,
                                                 bool at_end,
                                                 sabot_error *error);

/* While the app is built. Only the simulator calls it. */
SABOT_API void sabot_app_invariant(sabot_app *app, sabot_invariant_function function, void *user);

/* --- Running a seed ------------------------------------------------------------------------------
 */

typedef struct sabot_sim_options {
    uint64_t seed;
    const char *faults; /* "all", "none", or names with commas; NULL: all */
    int64_t until_ms;   /* virtual time at which faults end; 0: the seed says */
    size_t records_max; /* of each input, file or source of the app; 0: 500 */
    bool verbose;       /* what happens, on stderr */
    bool any_output;    /* outputs need not be those of the run without faults */
} sabot_sim_options;

typedef struct sabot_sim_result {
    uint64_t hash;    /* of all that happened */
    char faults[256]; /* that the seed has drawn, as `faults` above takes them */
    bool violated;
    char text[1024];  /* what was violated, and when */
    uint64_t records; /* committed */
    uint32_t starts;  /* of processes */
    int64_t virtual_ms;
} sabot_sim_result;

/* `module` is what the entry is of; NULL: it is linked in, and has no writable data to put back.
 * The config is that of a worker; where state lies, and threads with the fault "threads", are the
 * simulator's. Not SABOT_OK: it could not be simulated; a violation is in the result. */
SABOT_API SABOT_MUST_CHECK sabot_status sabot_sim_run(const sabot_app_entry *entry,
                                                      sabot_module *module,
                                                      const sabot_config *config,
                                                      const sabot_sim_options *options,
                                                      sabot_sim_result *result_out,
                                                      sabot_error *error);

/* The name of a fault, for help; NULL past the end. */
SABOT_API const char *sabot_sim_fault(size_t index);

#ifdef __cplusplus
}
#endif
#endif
