/* SPDX-License-Identifier: Apache-2.0 */
/* mutant.h - planted bugs: what has really happened to others, at the place where it would be ours.
 *
 * The tests are tested with them: in one build of the simulator (SB_MUTANTS) SABOT_MUTANT=k makes
 * the k-th bug real, and seeds of it must fail. Everywhere else SB_MUTANT() is a constant false,
 * and nothing of it is in the code. test/sim/mutants/ holds the seeds that catch each.
 *
 * To plant another: a row at the end of the list, and SB_MUTANT(NAME) where the bug would be. */
#ifndef SB_BASE_MUTANT_H
#define SB_BASE_MUTANT_H

/* clang-format off */
#define SB_MUTANT_LIST(ROW)                                                                       \
    ROW(NONE, "no bug")                                                                           \
    ROW(RESTORE_NEWEST, "the newest checkpoint is restored, not the one that was committed")      \
    ROW(NO_SYNC_OF_FILES, "the files of a checkpoint are not synced")                             \
    ROW(NO_SYNC_OF_FOLDERS, "the folders of a checkpoint are not synced")                         \
    ROW(REMOVE_BEFORE_COMMIT, "old checkpoints are removed before the new one is committed")      \
    ROW(READ_BEFORE_FENCE, "the committed offsets are read before the fence")                     \
    ROW(SEND_AGAIN, "after a commit that timed out the batch is sent again")                      \
    ROW(TIMEOUT_IS_SUCCESS, "a commit that timed out is taken for done")                          \
    ROW(PART_OF_OFFSETS, "only partitions that have moved are committed")                         \
    ROW(SAME_NAME, "a checkpoint of a twin may have the same name")                               \
    ROW(REMOVE_NAMED, "a checkpoint is removed though it is the one that counts")                 \
    ROW(TIDY_AFTER_FREEZE, "a restored worker removes what is newer, whoever wrote it")           \
    ROW(WRITE_ERROR_IGNORED, "a checkpoint that could not be written is committed all the same")  \
    ROW(SYNC_AGAIN, "a sync that has failed is called again, and believed")                       \
    ROW(ABORTABLE_IGNORED, "what can only be aborted is committed")                               \
    ROW(ABORT_GOES_ON, "after an abort the batch is sent from where it stopped")                  \
    ROW(KEPT_DROPPED, "what a failed checkpoint had staged is dropped")                           \
    ROW(STAGE_AFTER_BARRIER, "what was staged before a barrier goes with the next one")           \
    ROW(NOT_ALIGNED, "barriers are not aligned")                                                  \
    ROW(POSITION_AHEAD, "a source reports a record too many as read")                             \
    ROW(POSITION_BEHIND, "a source reports a record too few as read")                             \
    ROW(POSITION_LOST, "sources begin anew after a restore")                                      \
    ROW(SHARD_LOST, "the image of a task is not restored")                                        \
    ROW(SEED_LOST, "the hash seed of a restored state is drawn anew")                             \
    ROW(WATERMARK_LOST, "watermarks are not restored")                                            \
    ROW(TIMERS_LOST, "restored timers are not in the queue")                                      \
    ROW(TIMER_STAYS, "a timer that has fired stays in the state")                                 \
    ROW(RING_WRAPS, "a ring drops a message when it wraps around")                                \
    ROW(WAKE_LOST, "nobody is woken when a checkpoint is gathered")                               \
    ROW(STAGE_NO_MEMORY, "a record that no memory was there for is not staged, and not missed")   \
    ROW(ZOMBIE_COMMITS, "the broker takes a commit of who was fenced")                            \
    ROW(EXPIRED_NOT_FENCED, "the broker says done to a commit of what it has aborted")            \
    ROW(ABORTED_SHOWN, "readers see what was aborted")                                            \
    ROW(OPEN_SHOWN, "readers see what is not committed yet")                                      \
    ROW(CHUNK_NOT_COPIED, "a chunk is changed before the copier of a snapshot has been there")    \
    ROW(CHANGE_NOT_SEEN, "what has changed since the last checkpoint is not in the next")         \
    ROW(PARTITION_TIME_LOST, "the watermarks of partitions are not restored, those of tasks are") \
    ROW(CLOCK_TIMERS_LOST, "restored timers of processing time are not in the queue")             \
    ROW(TABLES_NOT_AWAITED, "streams are read before the tables are loaded")                      \
    ROW(DELETE_IGNORED, "a record without a value leaves the row of its key in the table")        \
    ROW(SESSION_PART_LOST, "sessions that become one lose what the later one had")                \
    ROW(LATENESS_IGNORED, "a window is over when it has fired, whatever lateness it allows")      \
    ROW(LATE_DROPPED, "a late record goes nowhere, though there is a channel for it")             \
    ROW(LATE_AS_PROCESSED, "a late record is counted twice: as late, and as processed")           \
    ROW(FILE_NOT_CUT, "a file keeps the lines that no checkpoint knows of")                       \
    ROW(FILE_NOT_SYNCED, "what a checkpoint says of the length of a file is not synced")          \
    ROW(SAVEPOINT_SHARD_LOST, "a savepoint misses a shard of each task")                          \
    ROW(SAVEPOINT_TIMERS_LOST, "timers of a savepoint are lost when it is restored")              \
    ROW(SAVEPOINT_NOT_SYNCED, "the head of a savepoint is not synced")                            \
    ROW(COPY_NOT_HELD, "a checkpoint is removed while a savepoint is being made of it")           \
    ROW(COPY_CUT_SHORT, "a later checkpoint that fails ends the savepoint that is being made")
/* clang-format on */

enum sb_mutant {
#define SB_MUTANT_ROW(name, text) SB_MUTANT_##name,
    SB_MUTANT_LIST(SB_MUTANT_ROW)
#undef SB_MUTANT_ROW
        SB_MUTANTS_COUNT
};

#ifdef SB_MUTANTS
extern int sb_mutant; /* the one that is real; set once, before anything runs */
#define SB_MUTANT(name) (sb_mutant == SB_MUTANT_##name)
#else
#define SB_MUTANT(name) false
#endif

#endif
