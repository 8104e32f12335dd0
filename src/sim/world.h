/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - the parts of the simulator to each other; nobody else includes it. sim.h has the
 * picture. */
#ifndef SB_SIM_WORLD_H
#define SB_SIM_WORLD_H

#include <ucontext.h>

#include "run/control_server.h"
#include "sim/sim.h"

/* --- Processes ---------------------------------------------------------------------------------
 *
 *   FREE --start--> RUNNING --its run has ended, and is freed--> ENDED --> FREE
 *                   RUNNING --crash point, kill----------------> KILLED -> FREE
 *                   RUNNING --crash point--> FROZEN --its time--> RUNNING
 *
 * A stepper of it is chosen, and it runs on the process's stack until its step returns, or a crash
 * point leaves it. */
enum sb_sim_state { SB_SIM_FREE, SB_SIM_RUNNING, SB_SIM_FROZEN, SB_SIM_KILLED, SB_SIM_ENDED };

struct sb_sim_stepper {
    bool is_used;
    bool is_done;
    bool is_waiting;
    bool is_running; /* somewhere on the stack */
    int64_t deadline_us;
    sb_step_function step;
    void *context;
    struct sb_waker *waker;
};

/* An allocation; the bytes follow. */
struct sb_sim_block {
    _Alignas(SB_CACHE_LINE) struct sb_sim_block *next;
    struct sb_sim_block **link;
    size_t size;
    size_t head; /* bytes before those that were asked for: this struct at their end */
};

/* Some processes fail at one call: the so manieth behind a label of one part of the engine. So that
 * what is done once in a life fails as often as what is done all the time. */
enum sb_sim_failing { SB_SIM_FAILS_NOT, SB_SIM_FAILS_MEMORY, SB_SIM_FAILS_FILE, SB_SIM_FAILS_SYNC };

/* Of the engine. */
enum sb_sim_part {
    SB_SIM_PART_NOW, /* whatever is next */
    SB_SIM_PART_RESTORE,
    SB_SIM_PART_CKPT,
    SB_SIM_PART_TXN,
    SB_SIM_PART_SAVEPOINT,
    SB_SIM_PART_OPENING, /* what it commits by */
    SB_SIM_PART_LOADING,
    SB_SIM_PART_SHARD,
    SB_SIM_PARTS_ALL, /* those that every process has */
    SB_SIM_PART_CHOOSING = SB_SIM_PARTS_ALL,
    SB_SIM_PART_REHEARSING,
    SB_SIM_PART_WRITING, /* what was chosen, as a checkpoint of its own */
    SB_SIM_PART_NAMING,
    SB_SIM_PART_RESETTING,
    SB_SIM_PART_READING, /* a savepoint; as the following */
    SB_SIM_PART_SEALING,
    SB_SIM_PART_REMOVING,
    SB_SIM_PARTS,
};

struct sb_sim_aim {
    enum sb_sim_failing what; /* FAILS_NOT: none, or not any more */
    enum sb_sim_part part;
    uint32_t labels; /* of it that are passed by first */
    uint32_t calls;  /* behind the label that still work */
    bool stays;      /* memory: all that follow fail too */
};

/* What somebody has asked of a run: a savepoint, or to remove one. */
struct sb_sim_asked {
    bool is_open;
    bool removes;
    bool was_alone;  /* there was no other process when it was asked */
    uint32_t number; /* of the savepoint */
    char path[32];
    char path_argument[48];
    struct sb_control_request request;
};

struct sb_sim_process {
    struct sb_env env;
    struct sb_sim *sim;
    enum sb_sim_state state;
    uint32_t slot;   /* in sim->processes */
    uint32_t number; /* of all of the seed; 0: the broker and the world's own */
    struct sb_sim_stepper steppers[SB_SIM_STEPPERS_MAX];
    uint32_t stepper_count;
    struct sb_sim_stepper *current;
    struct sb_sim_block *blocks;
    ucontext_t context;
    void *stack;
    int64_t thaw_us;
    uint32_t freezes;
    bool is_frozen_inside; /* it goes on in the midst of a step */
    /* Failing allocations: so many are left; UINT32_MAX: no failure planned. */
    uint32_t allocations_left;
    bool allocations_stay_failed;
    uint64_t label_salt; /* which labels it may end at */
    struct sb_sim_aim aim;
    struct sb_sim_link *links; /* what it holds of the broker */
    sabot_run *run;
    sabot_status result;
    sabot_error error;
    bool told_to_stop;
    struct sb_sim_asked asked;
};

void sb_sim_process_init(struct sb_sim_process *process, struct sb_sim *sim, uint32_t number);
/* Is there no memory for this one? Of a driver, which allocates by itself, too. */
bool sb_sim_allocation_fails(struct sb_sim_process *process);
/* Draw at which call of a part it shall fail; not where this fault is off. */
void sb_sim_process_aim(struct sb_sim_process *process, enum sb_sim_part part);
/* Its memory is dropped, its handles and its hold on the broker too. */
void sb_sim_process_reset(struct sb_sim_process *process);
void sb_sim_process_free_stack(struct sb_sim_process *process);
/* Go on with it; returns when its step has, or when it was left. */
void sb_sim_process_enter(struct sb_sim_process *process);
/* Bytes that it has not given back. */
uint64_t sb_sim_process_held(const struct sb_sim_process *process, uint32_t *blocks_out);
SABOT_MUST_CHECK sabot_status sb_sim_process_spawn(struct sb_sim_process *process,
                                                   sb_step_function step,
                                                   void *context,
                                                   struct sb_waker *waker);
/* Is it the environment of a process? */
bool sb_sim_is_inside(const struct sb_env *env);
bool sb_sim_runnable(const struct sb_sim_stepper *stepper, int64_t now_us);

/* --- The broker --------------------------------------------------------------------------------
 *
 * The embedded log, and what a client library and a network put between it and a process: every
 * call that Kafka's client makes by itself is submitted, done, and answered, each at a time of its
 * own, or not at all. */

/* What a process holds of the broker, newest first; closed when the process is gone. */
struct sb_sim_link {
    struct sb_sim_link *next;
    struct sb_sim_link **link;
    void (*close)(struct sb_sim_link *link);
};

/* Somebody to be woken at a time. */
struct sb_sim_stall {
    struct sb_sim_stall *next;
    struct sb_waker *waker;
    int64_t due_us;
    bool is_queued;
};

/* How a request goes. */
enum sb_sim_fate {
    SB_SIM_ANSWERED,
    SB_SIM_LOST_ANSWER,  /* done; the client hears of a timeout, and may ask again */
    SB_SIM_LOST_REQUEST, /* not done; the same for the client */
    SB_SIM_ABORTABLE,    /* not done */
    SB_SIM_FATAL,        /* not done; the client is of no more use */
    SB_SIM_FATAL_DONE,   /* the same, and it was done, or will be */
};

/* Of a transaction, one at a time. */
struct sb_sim_request {
    struct sb_sim_request *next;
    sabot_status (*execute)(struct sb_txn *txn, sabot_error *error);
    struct sb_txn *txn;
    const char *what;
    enum sb_sim_fate fate;
    bool is_open;     /* submitted, and its result not taken yet */
    bool is_flying;   /* in the broker's list */
    bool is_executed; /* or never will be */
    bool is_answered;
    int64_t execute_us;
    int64_t answer_us;
    sabot_status status;
    sabot_error error;
};

/* A transaction of the input that is open, and how it will end. */
enum sb_sim_txn_mode { SB_SIM_TXN_NONE, SB_SIM_TXN_COMMITS, SB_SIM_TXN_ABORTS };

struct sb_sim_topic_entry {
    char name[SABOT_NAME_MAX + 1];
    char group[2 * SABOT_NAME_MAX + 16]; /* that last committed offsets of it */
    sb_sim_next next;                    /* NULL: an output */
    uint32_t index;                      /* for `next` */
    int32_t partitions;
    int64_t due_us; /* inputs: of the next records */
    bool is_fed;    /* all of its input is in */
    bool is_read;   /* an output that the app reads as well */
    enum sb_sim_txn_mode mode;
    /* Of the log: */
    void *channel;
    void *reader; /* outputs: what was committed */
    void *writer; /* inputs */
    void *txn;
    void *txn_writer;
};

enum { SB_SIM_TOPICS_MAX = 16 };

struct sb_sim_broker {
    struct sb_sim *sim;
    const struct sb_env *env; /* of process 0, where the log lives */
    struct sb_log *log;
    struct sb_waker *waker; /* of the world's own readers and writers: nobody sleeps */
    struct sb_sim_topic_entry topics[SB_SIM_TOPICS_MAX];
    uint32_t topic_count;
    struct sb_sim_request *requests; /* under way */
    struct sb_sim_stall *stalls;
    int64_t away_until_us;
    uint64_t records; /* committed, that were shown */
    uint64_t commits;
    sabot_error shown; /* what a check has found */
};

SABOT_MUST_CHECK sabot_status sb_sim_broker_init(struct sb_sim_broker *broker,
                                                 struct sb_sim *sim,
                                                 sabot_error *error);
void sb_sim_broker_reset(struct sb_sim_broker *broker);
/* The connections of a process are gone; what it has asked for may still happen. */
void sb_sim_broker_drop(struct sb_sim_broker *broker, struct sb_sim_process *process);
/* What is due: requests, answers, input. Returns when it wants to be called again. */
int64_t sb_sim_broker_step(struct sb_sim_broker *broker);
/* Show committed records that were not shown yet; a check that fails is a violation. */
void sb_sim_broker_show(struct sb_sim_broker *broker);
void sb_sim_stall(struct sb_sim_broker *broker,
                  struct sb_sim_stall *stall,
                  struct sb_waker *waker,
                  int64_t due_us);
void sb_sim_unstall(struct sb_sim_broker *broker, struct sb_sim_stall *stall);

/* topics.c: input into them, and what is left to read of them. */
int64_t sb_sim_feed(struct sb_sim_broker *broker);
/* Is all input in, was all of it committed as read, and is no transaction open? Else the reason. */
bool sb_sim_topics_at_rest(struct sb_sim_broker *broker, char *reason, size_t size);
void sb_sim_topics_close(struct sb_sim_broker *broker);

/* --- People (operator.c) -----------------------------------------------------------------------
 */

enum { SB_SIM_CHOSEN_MAX = 256, SB_SIM_SAVEPOINTS_MAX = 12 };

/* What a process was started with; it counts from its first commit on. */
struct sb_sim_chosen {
    enum sb_sim_choice choice;
    int64_t which; /* the checkpoint, or the savepoint's number */
    bool is_forced;
    bool is_adopted; /* the process commits what was chosen */
    bool is_again;   /* none, but the savepoint that was restored before is given once more */
    bool counts;
};

enum sb_sim_saving { SB_SIM_UNSAVED, SB_SIM_SAVING, SB_SIM_SAVED, SB_SIM_REMOVED };

struct sb_sim_savepoint {
    enum sb_sim_saving state;
    bool stops;       /* the run */
    uint64_t commits; /* of the broker when it was there */
};

struct sb_sim_people {
    struct sb_sim_chosen chosen[SB_SIM_CHOSEN_MAX]; /* by number of the process */
    uint32_t choosing;                              /* the last that was started so, or 0 */
    struct sb_sim_savepoint savepoints[SB_SIM_SAVEPOINTS_MAX]; /* number 1 is the first */
    uint32_t savepoint_count;
    int64_t next_us;      /* when they come, in a busy seed */
    uint32_t stopped_for; /* a savepoint: where to go on; 0: none */
    uint32_t given_again; /* the savepoint that was restored; 0: none */
};

/* Set the options of a process that is to start: where it shall go on. */
void sb_sim_choose(struct sb_sim *sim, struct sb_sim_process *process);
/* A process has come by a label. */
void sb_sim_note_label(struct sb_sim *sim, uint32_t number, const char *name);
/* A process has committed: what it was started with is true from now on. */
void sb_sim_choice_counts(struct sb_sim *sim, uint32_t number);
/* Somebody has begun with a choice, and it does not count yet. */
bool sb_sim_is_choosing(struct sb_sim *sim);
/* Somebody who came later has begun anew and died, and may have put aside what this one has: people
 * try that again. */
bool sb_sim_is_overtaken(struct sb_sim *sim, const struct sb_sim_process *process);
/* A process has refused to go on from what was chosen. May it? Then it is as it was. */
bool sb_sim_give_up_choice(struct sb_sim *sim, const struct sb_sim_process *process);
/* Somebody wants a savepoint, or one removed. */
void sb_sim_ask(struct sb_sim *sim, struct sb_sim_process *process);
/* All that are there are whole. */
void sb_sim_check_savepoints(struct sb_sim *sim);

/* --- The world ---------------------------------------------------------------------------------
 */

struct sb_sim {
    const struct sb_env *under;
    const struct sb_sim_plan *plan;
    struct sb_sim_options options;
    struct sb_draw draw;       /* of what happens */
    struct sb_draw input_draw; /* of what is read */
    uint64_t hash;
    uint64_t steps;
    int64_t now_us;
    int64_t wall_offset_us;
    uint32_t drawn;                 /* faults of this seed */
    uint32_t rarity[SB_SIM_FAULTS]; /* once in so many; 0: off */
    uint64_t happened[SB_SIM_FAULTS];
    bool is_busy;    /* people never rest */
    bool is_calm;    /* faults are over */
    int64_t calm_us; /* when they are */
    struct sb_sim_disk disk;
    struct sb_sim_broker broker;
    struct sb_sim_process world; /* number 0 */
    struct sb_sim_process *processes[SB_SIM_PROCESSES_MAX];
    ucontext_t context;
    uint32_t starts;
    uint32_t calm_failures;
    struct sb_sim_people people;
    uint32_t committer; /* the process whose commit is being shown */
    int64_t start_us;   /* of the next process; INT64_MAX: none is planned */
    bool ends_by_itself;
    bool runs_alone;
    bool is_stopping; /* at the end: the last process shall stop, and none is started */
    bool is_over;
    bool violated;
    char text[SB_SIM_TEXT_MAX];
};

void sb_sim_hash(struct sb_sim *sim, uint64_t value);
void sb_sim_hash_bytes(struct sb_sim *sim, const void *bytes, size_t size);
/* Does it happen? Never when it is off, or when all is calm. */
bool sb_sim_happens(struct sb_sim *sim, enum sb_sim_fault fault);
void sb_sim_violate(struct sb_sim *sim, const char *format, ...) SABOT_PRINTF(2, 3);
void sb_sim_say(struct sb_sim *sim, const struct sb_sim_process *process, const char *format, ...)
    SABOT_PRINTF(3, 4);
/* An option of the processes that start from now on. */
void sb_sim_option(struct sb_sim *sim, const char *name, const char *value);
struct sb_sim_label *sb_sim_label(struct sb_sim *sim, const char *name);

#endif
