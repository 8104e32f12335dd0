/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_txn.c - transactions: a thin shim over librdkafka's, one producer per transactional id.
 *
 * Every call is a job of the driver thread; the caller's state machine (ckpt/txn) decides what
 * comes next. This file only says what an error means:
 *
 *   retriable  the same call again: librdkafka resumes it
 *   abortable  neither flag: abort, begin again
 *   fatal      the producer is of no more use; fenced when its status says so
 *
 * A call that timed out is retriable, and its outcome unknown until it is called again.
 *
 * Threads: calls by one thread; run functions and release by the driver thread. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum { END_SLICE_MS = 1000 };

struct sb_txn {
    struct sb_channel *channel;
    struct sb_kafka_producer *producer;
    struct sb_kafka_job job;
    /* The call under way; a second one at the same time is a bug of the caller. */
    sabot_status (*running)(struct sb_kafka_job *job, sabot_error *error);
    int timeout_ms; /* of one call */
    char *group;    /* offsets */
    rd_kafka_topic_partition_list_t *list;
};

static rd_kafka_t *handle_of(const struct sb_txn *txn)
{
    return sb_kafka_producer_client(txn->producer)->handle;
}

struct sb_kafka_producer *sb_kafka_txn_producer(const struct sb_txn *txn)
{
    return txn->producer;
}

/* --- The calls that block: the driver thread -------------------------------------------------- */

/* What librdkafka's error is to our caller. Takes `cause`. */
static sabot_status judge(const struct sb_txn *txn,
                          const char *what,
                          rd_kafka_error_t *cause,
                          sabot_error *error)
{
    const struct sb_channel *channel = txn->channel;
    sabot_status status;

    if (cause == NULL)
        return SABOT_OK;
    status = sb_kafka_fatal(sb_kafka_producer_client(txn->producer), what, error);
    if (status == SABOT_OK) {
        status = sabot_raise(error, sb_kafka_status(rd_kafka_error_code(cause)),
                             "transaction at %s: %s: %s", channel->brokers, what,
                             rd_kafka_error_string(cause));
        error->retriable = rd_kafka_error_is_retriable(cause);
        error->fatal = rd_kafka_error_is_fatal(cause);
    }
    rd_kafka_error_destroy(cause);
    return status;
}

/* An output topic whose leaders are not known costs its first record a second: ask now. */
static void know_topic(const struct sb_txn *txn)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle_of(txn), txn->channel->topic, NULL);
    const struct rd_kafka_metadata *metadata = NULL;

    if (topic == NULL)
        return;
    (void)rd_kafka_metadata(handle_of(txn), 0, topic, &metadata, txn->timeout_ms);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
}

static sabot_status fence_run(struct sb_kafka_job *job, sabot_error *error)
{
    const struct sb_txn *txn = job->owner;

    SABOT_TRY(
        judge(txn, "fence", rd_kafka_init_transactions(handle_of(txn), txn->timeout_ms), error));
    know_topic(txn);
    return SABOT_OK;
}

static sabot_status begin_run(struct sb_kafka_job *job, sabot_error *error)
{
    const struct sb_txn *txn = job->owner;

    SABOT_TRY(judge(txn, "begin", rd_kafka_begin_transaction(handle_of(txn)), error));
    sb_kafka_producer_forget_failures(txn->producer);
    return SABOT_OK;
}

static sabot_status offsets_run(struct sb_kafka_job *job, sabot_error *error)
{
    const struct sb_txn *txn = job->owner;
    /* A group without members has no generation: the broker lets a lone worker commit. */
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new(txn->group);
    rd_kafka_error_t *cause =
        rd_kafka_send_offsets_to_transaction(handle_of(txn), txn->list, group, txn->timeout_ms);

    rd_kafka_consumer_group_metadata_destroy(group);
    return judge(txn, "offsets", cause, error);
}

/* An end that takes long is waited for slice by slice, so that the driver can do other things in
 * between, and a channel be closed. How long it may take at all the broker says. */
static bool goes_on(struct sb_kafka_job *job, rd_kafka_error_t *cause)
{
    const bool yes = cause != NULL && rd_kafka_error_code(cause) == RD_KAFKA_RESP_ERR__TIMED_OUT &&
                     rd_kafka_error_is_retriable(cause);

    if (yes)
        rd_kafka_error_destroy(cause);
    job->attempts = 0; /* it is one and the same attempt: no backoff grows */
    return yes;
}

static sabot_status commit_run(struct sb_kafka_job *job, sabot_error *error)
{
    const struct sb_txn *txn = job->owner;
    rd_kafka_error_t *cause = rd_kafka_commit_transaction(handle_of(txn), END_SLICE_MS);

    return goes_on(job, cause) ? SABOT_AGAIN : judge(txn, "commit", cause, error);
}

static sabot_status abort_run(struct sb_kafka_job *job, sabot_error *error)
{
    const struct sb_txn *txn = job->owner;
    rd_kafka_error_t *cause = rd_kafka_abort_transaction(handle_of(txn), END_SLICE_MS);

    return goes_on(job, cause) ? SABOT_AGAIN : judge(txn, "abort", cause, error);
}

/* --- Life ------------------------------------------------------------------------------------- */

static void drop_offsets(struct sb_txn *txn)
{
    if (txn->list != NULL)
        rd_kafka_topic_partition_list_destroy(txn->list);
    sb_string_free(txn->channel->env, txn->group);
    txn->list = NULL;
    txn->group = NULL;
}

static void release(struct sb_kafka_job *job)
{
    struct sb_txn *txn = job->owner;

    sb_kafka_producer_destroy(txn->producer);
    drop_offsets(txn);
    sb_free(txn->channel->env, txn, sizeof *txn);
}

sabot_status sb_kafka_txn_open(struct sb_channel *channel,
                               const char *transactional_id,
                               int64_t timeout_ms,
                               struct sb_waker *waker,
                               struct sb_txn **txn_out,
                               sabot_error *error)
{
    struct sb_txn *txn = sb_alloc(channel->env, sizeof *txn);
    sabot_status status;

    *txn_out = NULL;
    if (timeout_ms > channel->facts.transaction_ms_max)
        timeout_ms = channel->facts.transaction_ms_max; /* or the broker refuses it */
    if (txn == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a transaction");
    txn->channel = channel;
    txn->timeout_ms = timeout_ms < SB_KAFKA_CALL_MS ? (int)timeout_ms : SB_KAFKA_CALL_MS;
    txn->job.owner = txn;
    txn->job.waker = waker;
    status = sb_kafka_producer_create(channel, transactional_id, timeout_ms, &txn->producer, error);
    if (status != SABOT_OK) {
        sb_free(channel->env, txn, sizeof *txn);
        return status;
    }
    *txn_out = txn;
    return SABOT_OK;
}

void sb_kafka_txn_close(struct sb_txn *txn)
{
    if (txn != NULL)
        sb_kafka_job_abandon(&txn->channel->driver, &txn->job, release);
}

/* --- Submit and complete ---------------------------------------------------------------------- */

static sabot_status submit(struct sb_txn *txn,
                           sabot_status (*run)(struct sb_kafka_job *job, sabot_error *error),
                           sabot_error *error)
{
    if (txn->running == NULL) {
        txn->running = run;
        sb_kafka_job_submit(&txn->channel->driver, &txn->job, run);
    }
    SB_ASSERT(txn->running == run);
    const sabot_status status = sb_kafka_job_result(&txn->job, error);

    if (status != SABOT_AGAIN)
        txn->running = NULL;
    return status;
}

sabot_status sb_kafka_txn_fence(struct sb_txn *txn, sabot_error *error)
{
    return submit(txn, fence_run, error);
}

sabot_status sb_kafka_txn_begin(struct sb_txn *txn, sabot_error *error)
{
    return submit(txn, begin_run, error);
}

sabot_status sb_kafka_txn_offsets(struct sb_txn *txn,
                                  const char *group,
                                  const struct sb_offset *offsets,
                                  uint32_t offset_count,
                                  sabot_error *error)
{
    sabot_status status;

    if (offset_count == 0)
        return SABOT_OK;
    if (txn->running == NULL) {
        SB_ASSERT(txn->list == NULL);
        txn->group = sb_string_copy(txn->channel->env, group);
        txn->list = sb_kafka_offset_list(txn->channel, offsets, offset_count);
        if (txn->group == NULL || txn->list == NULL) {
            drop_offsets(txn);
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for offsets");
        }
    }
    status = submit(txn, offsets_run, error);
    if (status != SABOT_AGAIN)
        drop_offsets(txn);
    return status;
}

sabot_status sb_kafka_txn_commit(struct sb_txn *txn, sabot_error *error)
{
    return submit(txn, commit_run, error);
}

sabot_status sb_kafka_txn_abort(struct sb_txn *txn, sabot_error *error)
{
    return submit(txn, abort_run, error);
}
