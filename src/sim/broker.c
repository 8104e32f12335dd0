/* SPDX-License-Identifier: Apache-2.0 */
/* broker.c - the channel "sim:": the embedded log behind a client and a network that fail.
 *
 *     process --call--> request --(later)--> the log --(later)--> answer --> process
 *
 * What is asked of a transaction may be lost before or behind the log, may be done long after the
 * process has heard of an error, or after the process is gone; the log's own fencing has to cope.
 * Records go to the log at once, in order, unless the request of one fails: then its transaction
 * can only be aborted, as with Kafka's client.
 *
 * A process's objects are made of two: one of this file, and the log's. Both live in the broker's
 * memory, so that a process that is gone leaves nothing that dangles: its links are closed.
 *
 * Thread: one. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "channel/memory.h"
#include "sim/world.h"

enum {
    QUICK_US = 2000,            /* an ordinary delay */
    SLOW_US = 30 * 1000 * 1000, /* an extraordinary one: three times what a transaction may take */
    TIMEOUT_US = 5 * 1000 * 1000, /* until a client gives up waiting, at most */
    AWAY_US = 15 * 1000 * 1000,
    LATE_DONE_US = 20 * 1000 * 1000, /* what was reported as failed may be done so late */
};

static const struct sb_channel_type *const log_type = &sb_channel_memory;

struct sb_channel {
    struct sb_sim_link link;
    struct sb_sim *sim;
    struct sb_sim_process *process;
    void *inner; /* the log's */
    struct sb_waker *waker;
    bool until_end;
    int64_t ready_us;
    int64_t answer_us; /* of committed() or commit(), 0: not asked */
    struct sb_sim_stall stall;
};

struct sb_reader {
    struct sb_sim_link link;
    struct sb_channel *channel;
    void *inner;
    struct sb_waker *waker;
    int64_t quiet_until_us;
    struct sb_sim_stall stall;
};

struct sb_writer {
    struct sb_sim_link link;
    struct sb_channel *channel;
    struct sb_txn *txn;
    void *inner;
    struct sb_waker *waker;
    bool has_failed;    /* without a transaction: a record was not delivered */
    int64_t flushed_us; /* 0: no flush under way */
    struct sb_sim_stall stall;
};

struct sb_txn {
    struct sb_sim_link link;
    struct sb_sim *sim;
    uint32_t number; /* of the process */
    const char *id;  /* for the log */
    void *inner;
    struct sb_waker *waker; /* NULL: the process is gone */
    struct sb_sim_request request;
    bool has_failed;   /* a record of it was not delivered: it can only be aborted */
    bool is_closed;    /* freed when its request is done */
    sabot_error fatal; /* not SABOT_OK: what every call says */
    char group[2 * SABOT_NAME_MAX + 16];
    struct sb_offset *offsets;
    uint32_t offset_count;
};

/* --- Links and stalls --------------------------------------------------------------------------
 */

static void link_to(struct sb_sim_process *process,
                    struct sb_sim_link *link,
                    void (*close)(struct sb_sim_link *link))
{
    link->close = close;
    link->next = process->links;
    link->link = &process->links;
    if (link->next != NULL)
        link->next->link = &link->next;
    process->links = link;
}

static void unlink_from(struct sb_sim_link *link)
{
    *link->link = link->next;
    if (link->next != NULL)
        link->next->link = link->link;
}

void sb_sim_broker_drop(struct sb_sim_broker *broker, struct sb_sim_process *process)
{
    (void)broker;
    while (process->links != NULL)
        process->links->close(process->links);
}

void sb_sim_stall(struct sb_sim_broker *broker,
                  struct sb_sim_stall *stall,
                  struct sb_waker *waker,
                  int64_t due_us)
{
    stall->waker = waker;
    stall->due_us = due_us;
    if (stall->is_queued)
        return;
    stall->is_queued = true;
    stall->next = broker->stalls;
    broker->stalls = stall;
}

void sb_sim_unstall(struct sb_sim_broker *broker, struct sb_sim_stall *stall)
{
    struct sb_sim_stall **link = &broker->stalls;

    if (!stall->is_queued)
        return;
    while (*link != stall)
        link = &(*link)->next;
    *link = stall->next;
    stall->is_queued = false;
}

/* SABOT_AGAIN before `due_us`, and the waker is woken then. */
static sabot_status not_before(struct sb_sim *sim,
                               struct sb_sim_stall *stall,
                               struct sb_waker *waker,
                               int64_t due_us)
{
    if (sim->now_us >= due_us)
        return SABOT_OK;
    sb_sim_stall(&sim->broker, stall, waker, due_us);
    return SABOT_AGAIN;
}

/* When a call that begins now reaches the broker. */
static int64_t draw_arrival(struct sb_sim *sim)
{
    struct sb_sim_broker *broker = &sim->broker;
    int64_t due_us = sim->now_us;

    if (sb_sim_happens(sim, SB_SIM_SLOW))
        due_us += sb_draw_wide(&sim->draw, SLOW_US);
    else if (sb_draw_one_in(&sim->draw, 2))
        due_us += sb_draw_below(&sim->draw, QUICK_US);
    if (broker->away_until_us <= sim->now_us && sb_sim_happens(sim, SB_SIM_AWAY)) {
        broker->away_until_us = sim->now_us + sb_draw_wide(&sim->draw, AWAY_US);
        sb_sim_say(sim, NULL, "the broker is away for %lld us",
                   (long long)(broker->away_until_us - sim->now_us));
    }
    if (due_us < broker->away_until_us)
        due_us = broker->away_until_us + sb_draw_below(&sim->draw, QUICK_US);
    return due_us;
}

/* --- Channels ----------------------------------------------------------------------------------
 */

static void sim_close(struct sb_channel *channel)
{
    if (channel == NULL)
        return;
    unlink_from(&channel->link);
    sb_sim_unstall(&channel->sim->broker, &channel->stall);
    log_type->close(channel->inner);
    sb_free(channel->sim->broker.env, channel, sizeof *channel);
}

static void close_channel(struct sb_sim_link *link)
{
    sim_close((struct sb_channel *)(void *)link);
}

static sabot_status sim_open(const struct sb_env *env,
                             const struct sb_channel_config *config,
                             struct sb_waker *waker,
                             struct sb_channel **channel_out,
                             sabot_error *error)
{
    struct sb_sim_process *process = env->self;
    struct sb_sim *sim;
    struct sb_channel_config inner = *config;
    struct sb_channel *channel;
    struct sb_channel *log_channel;
    char url[SABOT_NAME_MAX + 16];

    *channel_out = NULL;
    if (!sb_sim_is_inside(env))
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: only a simulation knows this scheme",
                           config->url);
    sim = process->sim;
    (void)snprintf(url, sizeof url, "memory:%s", config->url + strlen("sim:"));
    inner.url = url;
    inner.log = sim->broker.log;
    SABOT_TRY(log_type->open(sim->broker.env, &inner, waker, &log_channel, error));
    channel = sb_alloc(sim->broker.env, sizeof *channel);
    SB_ASSERT(channel != NULL);
    *channel = (struct sb_channel){
        .sim = sim,
        .process = process,
        .inner = log_channel,
        .waker = waker,
        .until_end = config->until_end,
        .ready_us = draw_arrival(sim),
    };
    link_to(process, &channel->link, close_channel);
    *channel_out = channel;
    return SABOT_OK;
}

static sabot_status sim_prepare(struct sb_channel *channel, sabot_error *error)
{
    SABOT_TRY(not_before(channel->sim, &channel->stall, channel->waker, channel->ready_us));
    return log_type->prepare(channel->inner, error);
}

static int32_t sim_partition_count(const struct sb_channel *channel)
{
    return log_type->partition_count(channel->inner);
}

static bool sim_finite(const struct sb_channel *channel)
{
    return channel->until_end;
}

static bool sim_connected(const struct sb_channel *channel)
{
    return channel->sim->broker.away_until_us <= channel->sim->now_us;
}

static const char *sim_topic(const struct sb_channel *channel)
{
    return log_type->topic(channel->inner);
}

static const char *sim_cluster(const struct sb_channel *channel)
{
    (void)channel;
    return "simulated";
}

static const char *sim_guarantee(const struct sb_channel *channel)
{
    (void)channel;
    return "a simulation";
}

static bool sim_same(const struct sb_channel *channel, const struct sb_channel *other)
{
    return log_type->same(channel->inner, other->inner);
}

/* --- Readers -----------------------------------------------------------------------------------
 */

static void sim_reader_close(struct sb_reader *reader)
{
    if (reader == NULL)
        return;
    unlink_from(&reader->link);
    sb_sim_unstall(&reader->channel->sim->broker, &reader->stall);
    log_type->reader_close(reader->inner);
    sb_free(reader->channel->sim->broker.env, reader, sizeof *reader);
}

static void close_reader(struct sb_sim_link *link)
{
    sim_reader_close((struct sb_reader *)(void *)link);
}

static sabot_status sim_reader_open(struct sb_channel *channel,
                                    const struct sb_reader_position *positions,
                                    uint32_t position_count,
                                    struct sb_waker *waker,
                                    struct sb_reader **reader_out,
                                    sabot_error *error)
{
    struct sb_reader *reader;
    struct sb_reader *log_reader;

    *reader_out = NULL;
    SABOT_TRY(log_type->reader_open(channel->inner, positions, position_count, waker, &log_reader,
                                    error));
    reader = sb_alloc(channel->sim->broker.env, sizeof *reader);
    SB_ASSERT(reader != NULL);
    *reader = (struct sb_reader){.channel = channel, .inner = log_reader, .waker = waker};
    link_to(channel->process, &reader->link, close_reader);
    *reader_out = reader;
    return SABOT_OK;
}

static sabot_status sim_poll(struct sb_reader *reader,
                             uint32_t index,
                             uint32_t records_max,
                             sb_record_function each,
                             void *context,
                             sabot_error *error)
{
    struct sb_sim *sim = reader->channel->sim;

    if (sim->now_us >= reader->quiet_until_us &&
        (sb_sim_happens(sim, SB_SIM_SLOW) || sim->broker.away_until_us > sim->now_us))
        reader->quiet_until_us = draw_arrival(sim);
    SABOT_TRY(not_before(sim, &reader->stall, reader->waker, reader->quiet_until_us));
    return log_type->poll(reader->inner, index, records_max, each, context, error);
}

static void sim_position(const struct sb_reader *reader,
                         uint32_t index,
                         struct sb_reader_position *position_out)
{
    log_type->position(reader->inner, index, position_out);
}

static void sim_place(const struct sb_reader *reader,
                      uint32_t index,
                      int64_t offset,
                      char *text_out,
                      size_t size)
{
    log_type->place(reader->inner, index, offset, text_out, size);
}

static int64_t sim_lag(const struct sb_reader *reader, uint32_t index)
{
    return log_type->lag(reader->inner, index);
}

static void sim_stop(struct sb_reader *reader)
{
    reader->quiet_until_us = 0;
    log_type->stop(reader->inner);
}

static sabot_status sim_seek(struct sb_reader *reader,
                             const struct sb_reader_position *position,
                             sabot_error *error)
{
    return log_type->seek(reader->inner, position, error);
}

/* --- Requests of a transaction -----------------------------------------------------------------
 */

static void drop_offsets(struct sb_txn *txn)
{
    const struct sb_env *env = txn->sim->broker.env;

    for (uint32_t i = 0; i < txn->offset_count; i++) {
        sb_string_free(env, (char *)(uintptr_t)txn->offsets[i].channel);
        if (txn->offsets[i].metadata != NULL)
            sb_string_free(env, txn->offsets[i].metadata);
    }
    sb_free_array(env, txn->offsets, txn->offset_count, sizeof *txn->offsets);
    txn->offsets = NULL;
    txn->offset_count = 0;
}

static void free_txn(struct sb_txn *txn)
{
    drop_offsets(txn);
    log_type->txn_close(txn->inner);
    sb_free(txn->sim->broker.env, txn, sizeof *txn);
}

/* At the broker. */
static void execute(struct sb_sim_request *request)
{
    struct sb_txn *txn = request->txn;
    struct sb_sim *sim = txn->sim;

    request->is_executed = true;
    request->status = SABOT_OK;
    if (request->fate == SB_SIM_ANSWERED || request->fate == SB_SIM_LOST_ANSWER ||
        request->fate == SB_SIM_FATAL_DONE) {
        request->status = request->execute(txn, &request->error);
        sb_sim_hash_bytes(sim, request->what, strlen(request->what));
        sb_sim_hash(sim, (uint64_t)request->status);
        sb_sim_say(sim, NULL, "%s of %s: %s", request->what, txn->id,
                   request->status == SABOT_OK ? "done" : request->error.text);
    }
    sb_sim_broker_show(&sim->broker);
}

static void draw_fate(struct sb_sim *sim, struct sb_sim_request *request)
{
    request->fate = SB_SIM_ANSWERED;
    request->execute_us = draw_arrival(sim);
    request->answer_us = request->execute_us;
    if (sb_draw_one_in(&sim->draw, 4))
        request->answer_us += sb_draw_below(&sim->draw, QUICK_US);
    if (sb_sim_happens(sim, SB_SIM_LOST)) {
        request->fate = sb_draw_one_in(&sim->draw, 2) ? SB_SIM_LOST_ANSWER : SB_SIM_LOST_REQUEST;
        request->answer_us = sim->now_us + sb_draw_wide(&sim->draw, TIMEOUT_US);
    } else if (sb_sim_happens(sim, SB_SIM_BROKEN)) {
        static const enum sb_sim_fate fates[] = {SB_SIM_ABORTABLE, SB_SIM_ABORTABLE, SB_SIM_FATAL,
                                                 SB_SIM_FATAL_DONE};

        request->fate = fates[sb_draw_below(&sim->draw, 4)];
        request->answer_us = sim->now_us + sb_draw_wide(&sim->draw, TIMEOUT_US);
        if (request->fate == SB_SIM_FATAL_DONE && sb_draw_one_in(&sim->draw, 2))
            request->execute_us = sim->now_us + sb_draw_wide(&sim->draw, LATE_DONE_US);
    }
    if (request->fate == SB_SIM_LOST_REQUEST || request->fate == SB_SIM_ABORTABLE ||
        request->fate == SB_SIM_FATAL)
        request->execute_us = sim->now_us; /* as much as ever will be */
    sb_sim_hash(sim, (uint64_t)request->fate);
}

static sabot_status do_fence(struct sb_txn *txn, sabot_error *error)
{
    return log_type->txn_fence(txn->inner, error);
}

static void submit(struct sb_txn *txn,
                   const char *what,
                   sabot_status (*function)(struct sb_txn *txn, sabot_error *error))
{
    struct sb_sim *sim = txn->sim;
    struct sb_sim_request *request = &txn->request;

    *request = (struct sb_sim_request){
        .execute = function,
        .txn = txn,
        .what = what,
        .is_open = true,
    };
    draw_fate(sim, request);
    if (function == do_fence && sim->rarity[SB_SIM_SLOW] != 0 && !sim->is_calm &&
        request->fate == SB_SIM_ANSWERED && sb_draw_one_in(&sim->draw, 3)) {
        /* Two that become the only one at the same time are worth more than chance gives. */
        request->execute_us += sb_draw_below(&sim->draw, TIMEOUT_US);
        request->answer_us += TIMEOUT_US;
    }
    if (request->execute_us <= sim->now_us)
        execute(request);
    request->is_answered = request->is_executed && request->answer_us <= sim->now_us;
    if (request->is_answered)
        return;
    request->is_flying = true;
    request->next = sim->broker.requests;
    sim->broker.requests = request;
}

static sabot_status raise_client(const struct sb_sim_request *request,
                                 bool retriable,
                                 bool fatal,
                                 const char *text,
                                 sabot_error *error)
{
    (void)sabot_raise(error, SABOT_ERR_IO, "%s of %s: %s", request->what, request->txn->id, text);
    if (error != NULL) {
        error->retriable = retriable;
        error->fatal = fatal;
    }
    return SABOT_ERR_IO;
}

/* What the client library says of an answered request. */
static sabot_status take_answer(struct sb_txn *txn, sabot_error *error)
{
    struct sb_sim_request *request = &txn->request;

    switch (request->fate) {
    case SB_SIM_ANSWERED: break;
    case SB_SIM_LOST_ANSWER: /* the next call is about the same request */
        request->fate = SB_SIM_ANSWERED;
        request->is_answered = request->is_executed;
        return raise_client(request, true, false, "timed out (simulated)", error);
    case SB_SIM_LOST_REQUEST:
        request->is_open = false;
        return raise_client(request, true, false, "timed out (simulated)", error);
    case SB_SIM_ABORTABLE:
        request->is_open = false;
        return raise_client(request, false, false, "failed (simulated)", error);
    case SB_SIM_FATAL:
    case SB_SIM_FATAL_DONE:
        request->is_open = false;
        (void)raise_client(request, false, true, "the client has failed (simulated)", &txn->fatal);
        *error = txn->fatal;
        return error->status;
    }
    request->is_open = false;
    if (request->status == SABOT_OK)
        return SABOT_OK;
    if (request->status == SABOT_ERR_FENCED)
        txn->fatal = request->error;
    *error = request->error;
    return request->status;
}

static sabot_status call(struct sb_txn *txn,
                         const char *what,
                         sabot_status (*function)(struct sb_txn *txn, sabot_error *error),
                         sabot_error *error)
{
    struct sb_sim_request *request = &txn->request;

    if (txn->fatal.status != SABOT_OK) {
        *error = txn->fatal;
        return error->status;
    }
    if (!request->is_open)
        submit(txn, what, function);
    SB_ASSERT(request->execute == function);
    return request->is_answered ? take_answer(txn, error) : SABOT_AGAIN;
}

/* What has become due of a request. True: nothing more will. */
static bool step_request(struct sb_sim *sim, struct sb_sim_request *request)
{
    struct sb_txn *txn = request->txn;

    if (!request->is_executed && request->execute_us <= sim->now_us)
        execute(request);
    if (!request->is_answered && request->is_open && request->answer_us <= sim->now_us &&
        (request->is_executed || request->fate != SB_SIM_ANSWERED)) {
        request->is_answered = true;
        if (txn->waker != NULL)
            sb_wake(sim->broker.env, txn->waker);
    }
    return request->is_executed && (request->is_answered || txn->is_closed);
}

/* --- Transactions ------------------------------------------------------------------------------
 */

static void sim_txn_close(struct sb_txn *txn)
{
    if (txn == NULL)
        return;
    unlink_from(&txn->link);
    txn->waker = NULL;
    txn->is_closed = true;
    /* What is on its way arrives, or is lost with the process. */
    if (txn->request.is_flying && !txn->request.is_executed && sb_draw_one_in(&txn->sim->draw, 2))
        txn->request.is_executed = true;
    if (!txn->request.is_flying)
        free_txn(txn);
}

static void close_txn(struct sb_sim_link *link)
{
    sim_txn_close((struct sb_txn *)(void *)link);
}

static sabot_status sim_txn_open(struct sb_channel *channel,
                                 const char *transactional_id,
                                 int64_t timeout_ms,
                                 struct sb_waker *waker,
                                 struct sb_txn **txn_out,
                                 sabot_error *error)
{
    struct sb_txn *txn;
    struct sb_txn *log_txn;

    *txn_out = NULL;
    if (sb_sim_allocation_fails(channel->process))
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a transaction");
    SABOT_TRY(
        log_type->txn_open(channel->inner, transactional_id, timeout_ms, waker, &log_txn, error));
    txn = sb_alloc(channel->sim->broker.env, sizeof *txn);
    SB_ASSERT(txn != NULL);
    *txn = (struct sb_txn){
        .sim = channel->sim,
        .number = channel->process->number,
        .id = "the transaction",
        .inner = log_txn,
        .waker = waker,
    };
    link_to(channel->process, &txn->link, close_txn);
    *txn_out = txn;
    return SABOT_OK;
}

static sabot_status sim_txn_fence(struct sb_txn *txn, sabot_error *error)
{
    return call(txn, "fence", do_fence, error);
}

/* Nobody is asked: the client only notes it. */
static sabot_status sim_txn_begin(struct sb_txn *txn, sabot_error *error)
{
    sabot_status status;

    if (txn->fatal.status != SABOT_OK) {
        *error = txn->fatal;
        return error->status;
    }
    txn->has_failed = false;
    status = log_type->txn_begin(txn->inner, error);
    if (status == SABOT_ERR_FENCED)
        txn->fatal = *error;
    return status;
}

static void copy_offsets(struct sb_txn *txn,
                         const char *group,
                         const struct sb_offset *offsets,
                         uint32_t offset_count)
{
    const struct sb_env *env = txn->sim->broker.env;

    drop_offsets(txn);
    (void)snprintf(txn->group, sizeof txn->group, "%s", group);
    txn->offsets = sb_alloc_array(env, offset_count, sizeof *offsets);
    txn->offset_count = offset_count;
    for (uint32_t i = 0; i < offset_count; i++) {
        txn->offsets[i] = offsets[i];
        txn->offsets[i].channel = sb_string_copy(env, offsets[i].channel);
        if (offsets[i].metadata != NULL)
            txn->offsets[i].metadata = sb_string_copy(env, offsets[i].metadata);
    }
}

static void note_groups(struct sb_sim_broker *broker,
                        const char *group,
                        const struct sb_offset *offsets,
                        uint32_t offset_count)
{
    for (uint32_t i = 0; i < offset_count; i++) {
        for (uint32_t at = 0; at < broker->topic_count; at++) {
            struct sb_sim_topic_entry *topic = &broker->topics[at];

            if (strcmp(topic->name, offsets[i].channel) == 0)
                (void)snprintf(topic->group, sizeof topic->group, "%s", group);
        }
    }
}

static sabot_status do_offsets(struct sb_txn *txn, sabot_error *error)
{
    note_groups(&txn->sim->broker, txn->group, txn->offsets, txn->offset_count);
    return log_type->txn_offsets(txn->inner, txn->group, txn->offsets, txn->offset_count, error);
}

static sabot_status sim_txn_offsets(struct sb_txn *txn,
                                    const char *group,
                                    const struct sb_offset *offsets,
                                    uint32_t offset_count,
                                    sabot_error *error)
{
    if (!txn->request.is_open)
        copy_offsets(txn, group, offsets, offset_count);
    return call(txn, "offsets", do_offsets, error);
}

static sabot_status do_commit(struct sb_txn *txn, sabot_error *error)
{
    struct sb_sim_broker *broker = &txn->sim->broker;
    const struct sb_sim_plan *plan = txn->sim->plan;

    SABOT_TRY(log_type->txn_commit(txn->inner, error));
    broker->commits++;
    txn->sim->committer = txn->number;
    sb_sim_choice_counts(txn->sim, txn->number);
    sb_sim_broker_show(broker);
    if (broker->shown.status == SABOT_OK && plan->commit != NULL &&
        plan->commit(plan->user, &broker->shown) != SABOT_OK)
        sb_sim_violate(txn->sim, "after a commit: %s", broker->shown.text);
    return SABOT_OK;
}

static sabot_status raise_failed(const char *what, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_IO, "%s: a record was not delivered (simulated)", what);
}

static sabot_status sim_txn_commit(struct sb_txn *txn, sabot_error *error)
{
    if (txn->has_failed)
        return raise_failed("commit", error);
    return call(txn, "commit", do_commit, error);
}

static sabot_status do_abort(struct sb_txn *txn, sabot_error *error)
{
    return log_type->txn_abort(txn->inner, error);
}

static sabot_status sim_txn_abort(struct sb_txn *txn, sabot_error *error)
{
    /* A call that has failed is given up. */
    if (txn->request.is_open && txn->request.execute != do_abort && txn->request.is_answered)
        txn->request.is_open = false;
    txn->has_failed = false;
    return call(txn, "abort", do_abort, error);
}

/* --- Writers -----------------------------------------------------------------------------------
 */

static void sim_writer_close(struct sb_writer *writer)
{
    if (writer == NULL)
        return;
    unlink_from(&writer->link);
    sb_sim_unstall(&writer->channel->sim->broker, &writer->stall);
    log_type->writer_close(writer->inner);
    sb_free(writer->channel->sim->broker.env, writer, sizeof *writer);
}

static void close_writer(struct sb_sim_link *link)
{
    sim_writer_close((struct sb_writer *)(void *)link);
}

static sabot_status sim_writer_open(struct sb_channel *channel,
                                    struct sb_txn *txn,
                                    struct sb_waker *waker,
                                    struct sb_writer **writer_out,
                                    sabot_error *error)
{
    struct sb_writer *writer;
    struct sb_writer *log_writer;

    *writer_out = NULL;
    if (sb_sim_allocation_fails(channel->process))
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a writer");
    SABOT_TRY(log_type->writer_open(channel->inner, txn == NULL ? NULL : txn->inner, waker,
                                    &log_writer, error));
    writer = sb_alloc(channel->sim->broker.env, sizeof *writer);
    SB_ASSERT(writer != NULL);
    *writer = (struct sb_writer){
        .channel = channel,
        .txn = txn,
        .inner = log_writer,
        .waker = waker,
    };
    link_to(channel->process, &writer->link, close_writer);
    *writer_out = writer;
    return SABOT_OK;
}

static sabot_status sim_write(struct sb_writer *writer,
                              const struct sb_record *record,
                              sabot_error *error)
{
    struct sb_txn *txn = writer->txn;
    sabot_status status;

    if (txn == NULL) {
        writer->has_failed =
            writer->has_failed || sb_sim_happens(writer->channel->sim, SB_SIM_BROKEN);
        return writer->has_failed ? SABOT_OK : log_type->write(writer->inner, record, error);
    }
    if (txn->fatal.status != SABOT_OK) {
        *error = txn->fatal;
        return error->status;
    }
    if (txn->has_failed || sb_sim_happens(writer->channel->sim, SB_SIM_BROKEN)) {
        txn->has_failed = true; /* taken, and lost on its way: said at the flush */
        return SABOT_OK;
    }
    status = log_type->write(writer->inner, record, error);
    if (status == SABOT_ERR_FENCED)
        txn->fatal = *error;
    return status;
}

static sabot_status sim_flush(struct sb_writer *writer, sabot_error *error)
{
    struct sb_sim *sim = writer->channel->sim;

    if (writer->flushed_us == 0)
        writer->flushed_us = draw_arrival(sim);
    SABOT_TRY(not_before(sim, &writer->stall, writer->waker, writer->flushed_us));
    writer->flushed_us = 0;
    if (writer->txn != NULL && writer->txn->fatal.status != SABOT_OK) {
        *error = writer->txn->fatal;
        return error->status;
    }
    if (writer->has_failed || (writer->txn != NULL && writer->txn->has_failed))
        return raise_failed("flush", error);
    return log_type->flush(writer->inner, error);
}

/* --- Committed offsets -------------------------------------------------------------------------
 */

/* The log's answer is in the broker's memory; the caller frees its own. */
static sabot_status take_metadata(struct sb_channel *channel,
                                  struct sb_offset *offsets,
                                  uint32_t offset_count,
                                  sabot_error *error)
{
    sabot_status status = SABOT_OK;

    for (uint32_t i = 0; i < offset_count; i++) {
        char *metadata = offsets[i].metadata;

        if (metadata == NULL)
            continue;
        offsets[i].metadata =
            status == SABOT_OK ? sb_string_copy(&channel->process->env, metadata) : NULL;
        sb_string_free(channel->sim->broker.env, metadata);
        if (offsets[i].metadata == NULL)
            status = sabot_raise(error, SABOT_ERR_MEMORY, "no memory for committed offsets");
    }
    for (uint32_t i = 0; status != SABOT_OK && i < offset_count; i++) {
        sb_string_free(&channel->process->env, offsets[i].metadata);
        offsets[i].metadata = NULL;
    }
    return status;
}

static sabot_status sim_committed(struct sb_channel *channel,
                                  const char *group,
                                  struct sb_offset *offsets,
                                  uint32_t offset_count,
                                  sabot_error *error)
{
    if (channel->answer_us == 0)
        channel->answer_us = draw_arrival(channel->sim);
    SABOT_TRY(not_before(channel->sim, &channel->stall, channel->waker, channel->answer_us));
    SABOT_TRY(log_type->committed(channel->inner, group, offsets, offset_count, error));
    channel->answer_us = 0;
    return take_metadata(channel, offsets, offset_count, error);
}

static sabot_status sim_commit(struct sb_channel *channel,
                               const char *group,
                               const struct sb_offset *offsets,
                               uint32_t offset_count,
                               sabot_error *error)
{
    if (channel->answer_us == 0)
        channel->answer_us = draw_arrival(channel->sim);
    SABOT_TRY(not_before(channel->sim, &channel->stall, channel->waker, channel->answer_us));
    channel->answer_us = 0;
    note_groups(&channel->sim->broker, group, offsets, offset_count);
    return log_type->commit(channel->inner, group, offsets, offset_count, error);
}

const struct sb_channel_type sb_channel_sim = {
    .scheme = "sim",
    .open = sim_open,
    .close = sim_close,
    .prepare = sim_prepare,
    .partition_count = sim_partition_count,
    .finite = sim_finite,
    .connected = sim_connected,
    .topic = sim_topic,
    .cluster = sim_cluster,
    .guarantee = sim_guarantee,
    .same = sim_same,
    .reader_open = sim_reader_open,
    .reader_close = sim_reader_close,
    .poll = sim_poll,
    .position = sim_position,
    .place = sim_place,
    .lag = sim_lag,
    .stop = sim_stop,
    .seek = sim_seek,
    .writer_open = sim_writer_open,
    .writer_close = sim_writer_close,
    .write = sim_write,
    .flush = sim_flush,
    .txn_open = sim_txn_open,
    .txn_close = sim_txn_close,
    .txn_fence = sim_txn_fence,
    .txn_begin = sim_txn_begin,
    .txn_offsets = sim_txn_offsets,
    .txn_commit = sim_txn_commit,
    .txn_abort = sim_txn_abort,
    .commit = sim_commit,
    .committed = sim_committed,
};

/* --- The broker --------------------------------------------------------------------------------
 */

sabot_status sb_sim_broker_init(struct sb_sim_broker *broker,
                                struct sb_sim *sim,
                                sabot_error *error)
{
    *broker = (struct sb_sim_broker){.sim = sim, .env = &sim->world.env};
    SABOT_TRY(broker->env->type->waker_create(broker->env->self, &broker->waker, error));
    return sb_log_create(broker->env, &broker->log, error);
}

void sb_sim_broker_reset(struct sb_sim_broker *broker)
{
    while (broker->requests != NULL) {
        struct sb_sim_request *request = broker->requests;

        broker->requests = request->next;
        free_txn(request->txn);
    }
    SB_ASSERT(broker->stalls == NULL);
    sb_sim_topics_close(broker);
    sb_log_destroy(broker->log);
}

static int64_t step_stalls(struct sb_sim_broker *broker)
{
    struct sb_sim_stall **link = &broker->stalls;
    int64_t next_us = INT64_MAX;

    while (*link != NULL) {
        struct sb_sim_stall *stall = *link;

        if (stall->due_us <= broker->sim->now_us) {
            *link = stall->next;
            stall->is_queued = false;
            sb_wake(broker->env, stall->waker);
            continue;
        }
        next_us = stall->due_us < next_us ? stall->due_us : next_us;
        link = &stall->next;
    }
    return next_us;
}

static int64_t next_of(const struct sb_sim *sim, const struct sb_sim_request *request)
{
    int64_t next_us = INT64_MAX;

    if (!request->is_executed)
        next_us = request->execute_us;
    if (!request->is_answered && request->is_open && request->answer_us > sim->now_us &&
        request->answer_us < next_us)
        next_us = request->answer_us;
    return next_us;
}

static int64_t step_requests(struct sb_sim_broker *broker)
{
    struct sb_sim_request **link = &broker->requests;
    int64_t next_us = INT64_MAX;

    while (*link != NULL) {
        struct sb_sim_request *request = *link;

        if (step_request(broker->sim, request)) {
            *link = request->next;
            request->is_flying = false;
            if (request->txn->is_closed)
                free_txn(request->txn);
            continue;
        }
        if (next_of(broker->sim, request) < next_us)
            next_us = next_of(broker->sim, request);
        link = &request->next;
    }
    return next_us;
}

int64_t sb_sim_broker_step(struct sb_sim_broker *broker)
{
    const int64_t requests_us = step_requests(broker);
    const int64_t stalls_us = step_stalls(broker);
    const int64_t feed_us = sb_sim_feed(broker);
    int64_t next_us = requests_us < stalls_us ? requests_us : stalls_us;

    next_us = feed_us < next_us ? feed_us : next_us;
    return next_us;
}

/* --- What was committed ------------------------------------------------------------------------
 */

struct showing {
    struct sb_sim_broker *broker;
    const char *topic;
};

static sabot_status show_record(void *context, const struct sb_record *record)
{
    const struct showing *showing = context;
    struct sb_sim_broker *broker = showing->broker;
    const struct sb_sim_plan *plan = broker->sim->plan;

    broker->records++;
    sb_sim_hash_bytes(broker->sim, record->key.data, record->key.size);
    sb_sim_hash_bytes(broker->sim, record->value.data, record->value.size);
    if (broker->shown.status == SABOT_OK &&
        plan->record(plan->user, showing->topic, record, &broker->shown) != SABOT_OK)
        sb_sim_violate(broker->sim, "%s, partition %d, offset %lld: %s", showing->topic,
                       (int)record->partition, (long long)record->offset, broker->shown.text);
    return SABOT_OK;
}

void sb_sim_broker_show(struct sb_sim_broker *broker)
{
    for (uint32_t i = 0; i < broker->topic_count; i++) {
        struct sb_sim_topic_entry *topic = &broker->topics[i];
        struct showing showing = {.broker = broker, .topic = topic->name};

        for (int32_t at = 0; topic->reader != NULL && at < topic->partitions; at++) {
            sabot_error error;

            while (log_type->poll(topic->reader, (uint32_t)at, UINT32_MAX, show_record, &showing,
                                  &error) == SABOT_OK)
                ;
        }
    }
}
