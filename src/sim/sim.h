/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h - the simulator: the real engine in one thread, from a seed, in a world that fails.
 *
 *     world.c     the clock, who runs next, which faults a seed has, crash and restart
 *     process.c   an environment (base/env.h) and the stack on which one incarnation runs
 *     disk.c      files that forget what was not synced
 *     broker.c    the embedded log behind a network that delays, loses and repeats
 *     operator.c  who starts it with a choice, and asks for savepoints
 *     reach.c     which labels were come by
 *     input.c     records into the topics, also those of transactions that are aborted
 *
 *          +----------------------- world: one seed ------------------------+
 *          |  process 1 (crashed)   process 2 (frozen)   process 3 (runs)   |
 *          |      run, flows, coordinator: all the engine, unchanged        |
 *          |          | sb_env                    | "sim:" channels         |
 *          |        disk                       broker: the embedded log     |
 *          +----------------------------------------------------------------+
 *
 * A seed first draws which faults there are and how strong; everything after comes from the same
 * dice. Faults end at a time; then everything must come to rest: no lag, no open transaction, and
 * what is committed must be what the checks say (struct sb_sim_plan).
 *
 * A process is what a kill ends: all steppers that were spawned in its environment, all of its
 * memory, its handles. It runs on a stack of its own, so that it can be left, or kept frozen and
 * gone on with, in the midst of a call: at any crash point.
 *
 * The hash of a seed is over decisions, labels, and the bytes of committed records. Nothing in it
 * depends on addresses, on the machine, or on the time it takes.
 *
 * Thread: one. Memory: from the environment below, which never fails; what a process allocates is
 * counted, and all of it must be gone when it ends in order. */
#ifndef SB_SIM_SIM_H
#define SB_SIM_SIM_H

#include <sabot/run.h>

#include "base/env.h"
#include "base/mem.h"
#include "channel/channel.h"
#include "sim/disk.h"

enum {
    SB_SIM_PROCESSES_MAX = 64,
    SB_SIM_STEPPERS_MAX = 256, /* of one process */
    SB_SIM_LABELS_MAX = 512,
    SB_SIM_TEXT_MAX = 1024,
};

/* --- Faults ------------------------------------------------------------------------------------
 */

enum sb_sim_fault {
    SB_SIM_CRASH,   /* a process is killed, at a label or between two steps */
    SB_SIM_POWER,   /* and what it did not sync may be gone */
    SB_SIM_FREEZE,  /* it stands still at a label, and goes on when another has taken its place */
    SB_SIM_STOP,    /* it is told to stop, and started again */
    SB_SIM_THREADS, /* another number of workers with each start */
    SB_SIM_SLOW,    /* answers of the broker come late, sometimes later than a transaction may */
    SB_SIM_LOST,    /* a request or its answer is lost */
    SB_SIM_BROKEN,  /* a request fails: to be aborted, or for good, done or not */
    SB_SIM_AWAY,    /* the broker answers nothing for a while */
    SB_SIM_EIO,
    SB_SIM_ENOSPC,
    SB_SIM_FSYNC,
    SB_SIM_ROT,
    SB_SIM_MEMORY, /* an allocation fails, or all from one on */
    SB_SIM_CLOCK,  /* the wall clock is set */
    SB_SIM_WAKE,   /* steppers run that nobody has woken */
    SB_SIM_ABORTS, /* whoever writes the input aborts some of its transactions */
    SB_SIM_RESET,  /* it is started with --reset */
    SB_SIM_RESTORE,
    SB_SIM_OFFSETS, /* with --from-offsets */
    SB_SIM_SAVE,    /* savepoints are asked for, gone on from, and removed */
    SB_SIM_FAULTS,
};

/* Where somebody has chosen to go on, in place of what counts. */
enum sb_sim_choice {
    SB_SIM_AS_IT_WAS,
    SB_SIM_ANEW,
    SB_SIM_FROM_CHECKPOINT,
    SB_SIM_FROM_OFFSETS,
    SB_SIM_FROM_SAVEPOINT,
};

const char *sb_sim_fault_name(enum sb_sim_fault fault);
/* "all", "none", or names with commas between. SABOT_ERR_CONFIG: there is no such fault. */
SABOT_MUST_CHECK sabot_status sb_sim_faults_parse(const char *list,
                                                  uint32_t *faults_out,
                                                  sabot_error *error);

/* The other way round, cut at `size`. */
void sb_sim_faults_write(uint32_t faults, char *list_out, size_t size);

/* --- Labels ------------------------------------------------------------------------------------
 */

/* Which crash points and traces were come by; over many seeds. */
struct sb_sim_label {
    char name[64];
    uint64_t hits;
    uint64_t ends;    /* processes killed here */
    uint64_t freezes; /* and frozen */
};

struct sb_sim_reach {
    struct sb_sim_label labels[SB_SIM_LABELS_MAX];
    uint32_t count;
    uint64_t faults[SB_SIM_FAULTS]; /* that have happened */
    uint64_t seeds;
    uint64_t starts;
    uint64_t checkpoints;
    uint64_t records; /* committed */
    int64_t virtual_us;
};

struct sb_sim_label *sb_sim_reach_label(struct sb_sim_reach *reach, const char *name);

/* --- What a simulation is of -------------------------------------------------------------------
 */

struct sb_sim;
struct sb_sim_topic;

/* A record for the input. */
struct sb_sim_input {
    int32_t partition; /* or SB_PARTITION_ANY */
    sabot_text key;
    sabot_text value;
    int64_t timestamp_ms;
};

/* The app, its input, and what must hold. `user` is given to every function. */
struct sb_sim_plan {
    const sabot_app_entry *entry;
    sabot_config *config; /* changed: threads, state.dir, bindings of each start */
    void *user;
    /* Topics, by sb_sim_topic(); the dice are of a seed's input, not of its faults. */
    SABOT_MUST_CHECK sabot_status (*open)(void *user, struct sb_sim *sim, sabot_error *error);
    /* The process of a slot goes on now; `is_new`: it has just begun. NULL: nothing. */
    void (*inside)(void *user, uint32_t slot, bool is_new);
    /* A run has ended as it was told to, and still knows what it did. NULL: nothing. */
    SABOT_MUST_CHECK sabot_status (*stopped)(void *user, sabot_run *run, sabot_error *error);
    /* One committed record of an output topic, in the order of its partition. */
    SABOT_MUST_CHECK sabot_status (*record)(void *user,
                                            const char *topic,
                                            const struct sb_record *record,
                                            sabot_error *error);
    /* A transaction was committed, and all of its records were shown. NULL: nothing. */
    SABOT_MUST_CHECK sabot_status (*commit)(void *user, sabot_error *error);
    /* May somebody choose? `which`: the savepoint; the checkpoint, which is asked again whenever it
     * is tried again; 0: it is for the plan to say. NULL: nobody chooses. */
    bool (*may_choose)(void *user, enum sb_sim_choice choice, int64_t *which);
    /* The first commit of a process that was started with a choice: before its records are shown.
     */
    void (*chosen)(void *user, enum sb_sim_choice choice, int64_t which);
    /* Savepoint `number` was made, of a checkpoint that a process has committed. NULL: nobody asks
     * for savepoints. */
    void (*saved)(void *user, uint32_t number, uint32_t process, int64_t checkpoint);
    /* All input was committed as read: has all come of it that is to come? Time goes on until then.
     * NULL: yes. */
    SABOT_MUST_CHECK sabot_status (*settled)(void *user, sabot_error *error);
    /* All is at rest, and the last process has ended. */
    SABOT_MUST_CHECK sabot_status (*end)(void *user, struct sb_sim *sim, sabot_error *error);
};

/* A topic of the broker. Input: `next` gives its records, in order, until SABOT_END. Output: `next`
 * NULL, its committed records go to plan->record. `index` is given to `next`. */
typedef sabot_status (*sb_sim_next)(void *user, uint32_t index, struct sb_sim_input *input_out);
SABOT_MUST_CHECK sabot_status sb_sim_topic(struct sb_sim *sim,
                                           const char *name,
                                           int32_t partitions,
                                           sb_sim_next next,
                                           uint32_t index,
                                           sabot_error *error);

/* The first records of an input are there before anything runs. */
SABOT_MUST_CHECK sabot_status sb_sim_topic_begin(struct sb_sim *sim,
                                                 const char *name,
                                                 uint32_t count);
/* The app reads an output as well: it is at rest when all of it was committed as read. */
void sb_sim_topic_is_read(struct sb_sim *sim, const char *name);

/* What was committed with the offset of its first partition. False: none was. */
bool sb_sim_topic_metadata(struct sb_sim *sim, const char *name, char *text_out, size_t size);

/* A file on the disk of the simulation, safe, before anything runs; its folder is made. */
void sb_sim_put_file(struct sb_sim *sim, const char *folder, const char *path, sabot_text bytes);
/* The names in a folder of that disk, to somebody for whom nothing fails. */
void sb_sim_list(struct sb_sim *sim, const char *folder, sb_list_function each, void *context);
/* Inputs end: the run is not told to stop when all is at rest, it ends. */
void sb_sim_ends_by_itself(struct sb_sim *sim);
/* Nothing but the supervisor keeps two processes from running at once: one that stands still is not
 * taken for dead. */
void sb_sim_runs_alone(struct sb_sim *sim);

struct sb_sim_options {
    uint64_t seed;
    uint32_t faults;            /* bits that may be drawn */
    int64_t until_us;           /* faults end then; 0: the seed says when */
    bool verbose;               /* the log, and what happens */
    struct sb_sim_reach *reach; /* NULL: not counted */
};

struct sb_sim_result {
    uint64_t hash;
    uint32_t faults; /* that the seed has drawn */
    bool violated;
    char text[SB_SIM_TEXT_MAX]; /* what was violated, and when */
    int64_t virtual_us;
    uint64_t steps;
    uint32_t starts;
};

/* Run one seed. Not SABOT_OK: the simulation itself could not be made. */
SABOT_MUST_CHECK sabot_status sb_sim_run(const struct sb_env *under,
                                         const struct sb_sim_plan *plan,
                                         const struct sb_sim_options *options,
                                         struct sb_sim_result *result_out,
                                         sabot_error *error);

/* For sb_sim_plan.end: the environment of the world, whose disk is the one of the run; and the
 * dice of its input. */
const struct sb_env *sb_sim_env(struct sb_sim *sim);
struct sb_draw *sb_sim_draw(struct sb_sim *sim);
uint32_t sb_sim_drawn(const struct sb_sim *sim); /* bits of faults */
/* People never rest: choices and savepoints all the time. */
bool sb_sim_is_busy(const struct sb_sim *sim);
/* For sb_sim_plan.commit: the number of the process that has committed. */
uint32_t sb_sim_committer(const struct sb_sim *sim);

extern const struct sb_channel_type sb_channel_sim;

#endif
