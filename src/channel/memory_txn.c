/* SPDX-License-Identifier: Apache-2.0 */
/* memory_txn.c - what a broker's coordinators do: transactional ids, transactions, groups.
 *
 *   a txn:         made --fence--> idle --begin--> begun --commit/abort--> idle
 *   a transaction: begun --first record or offset--> open --commit, abort, timeout, fence--> ended
 *
 * A transactional id has an epoch. Fencing raises it, and so does a timeout: a txn whose epoch is
 * not that of its id is fenced for good, whatever it calls. What is open belongs to the id, not to
 * the txn, so a txn that is closed in the middle leaves it behind, as a dead process would, until
 * somebody fences the id or its time is over.
 *
 * All changes of a transaction's state happen under the log's lock, so its offsets and the end of
 * its output show at once to committed(); each partition shows its own end of it (as in Kafka).
 * Committing needs no memory: entries, metadata and marks are set aside when they are announced.
 *
 * Time: a stepper sleeps until the earliest deadline and aborts what is late; it is started by the
 * first txn of a log. The owner of a late transaction hears of it at its next call.
 *
 * Threads: any; all under the log's lock, held for work bounded by one transaction.
 * Memory: from the log's env, freed with the log; results of committed() are the caller's. */
#include <inttypes.h>
#include <string.h>

#include "base/mutant.h"

#include "channel/memory_log.h"

enum { ARRAY_START = 8 };

/* An offset that is committed when the transaction is. */
struct pending {
    struct sb_log_partition *partition;
    struct sb_log_offset *entry;
    int64_t offset;
    bool is_mark;
    char *metadata;
};

/* A transactional id and its open transaction. */
struct sb_log_producer {
    struct sb_log_producer *next;
    char *id;
    uint32_t epoch;
    uint64_t number; /* of the open transaction; 0: none */
    int64_t deadline_us;
    struct sb_log_partition **partitions; /* it has records there */
    uint32_t partition_count;
    uint32_t partition_capacity;
    struct pending *offsets;
    uint32_t offset_count;
    uint32_t offset_capacity;
};

struct sb_txn {
    struct sb_log *log;
    const struct sb_log_topic *topic; /* of the channel it was opened by */
    struct sb_log_producer *producer;
    int64_t timeout_us;
    uint32_t epoch;
    bool fenced;     /* it has called fence, and may begin */
    uint64_t number; /* of the transaction it has begun; 0: none */
};

/* --- Names ------------------------------------------------------------------------------------ */

struct sb_log_topic *sb_log_find_topic(const struct sb_log *log, const char *name)
{
    for (struct sb_log_topic *topic = log->topics; topic != NULL; topic = topic->next) {
        if (strcmp(topic->name, name) == 0)
            return topic;
    }
    return NULL;
}

static sabot_status check_name(const char *what, const char *name, sabot_error *error)
{
    const size_t size = strnlen(name, SB_LOG_ID_MAX + 1);

    if (size == 0 || size > SB_LOG_ID_MAX)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "%s \"%.64s\": 1 to %d bytes are allowed",
                           what, name, SB_LOG_ID_MAX);
    return SABOT_OK;
}

/* NULL: nobody has committed anything for it. */
static struct sb_log_group *find_group(const struct sb_log *log, const char *name)
{
    struct sb_log_group *group = log->groups;

    while (group != NULL && strcmp(group->name, name) != 0)
        group = group->next;
    return group;
}

static sabot_status need_group(struct sb_log *log,
                               const char *name,
                               struct sb_log_group **group_out,
                               sabot_error *error)
{
    struct sb_log_group *group = find_group(log, name);

    *group_out = group;
    if (group != NULL)
        return SABOT_OK;
    SABOT_TRY(check_name("group", name, error));
    if (log->group_count == SB_LOG_GROUPS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "group %s: the log has %d groups already", name,
                           SB_LOG_GROUPS_MAX);
    group = sb_alloc(log->env, sizeof *group);
    if (group != NULL)
        group->name = sb_string_copy(log->env, name);
    if (group == NULL || group->name == NULL) {
        sb_free(log->env, group, sizeof *group);
        return sabot_raise(error, SABOT_ERR_MEMORY, "group %s: no memory", name);
    }
    group->next = log->groups;
    log->groups = group;
    log->group_count++;
    *group_out = group;
    return SABOT_OK;
}

/* --- Offsets of groups ------------------------------------------------------------------------ */

void sb_log_free_offsets(const struct sb_env *env, struct sb_log_partition *partition)
{
    while (partition->offsets != NULL) {
        struct sb_log_offset *entry = partition->offsets;

        partition->offsets = entry->next;
        sb_string_free(env, entry->metadata);
        sb_free(env, entry, sizeof *entry);
    }
}

/* NULL: not found, and the error says what. */
static struct sb_log_partition *find_partition(const struct sb_log *log,
                                               const struct sb_log_topic *own,
                                               const struct sb_offset *offset,
                                               sabot_error *error)
{
    const char *name = offset->channel == NULL ? own->name : offset->channel;
    const struct sb_log_topic *topic = sb_log_find_topic(log, name);

    if (topic == NULL || topic->partitions == NULL) {
        (void)sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: the log has no such channel", name);
        return NULL;
    }
    if (offset->partition < 0 || offset->partition >= topic->partition_count) {
        (void)sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: no partition %" PRId32 " among %" PRId32,
                          topic->name, offset->partition, topic->partition_count);
        return NULL;
    }
    return &topic->partitions[offset->partition];
}

static struct sb_log_offset *find_entry(const struct sb_log_partition *partition,
                                        const struct sb_log_group *group)
{
    struct sb_log_offset *entry = partition->offsets;

    while (entry != NULL && entry->group != group)
        entry = entry->next;
    return entry;
}

static sabot_status check_offset(const struct sb_log_partition *partition,
                                 const struct sb_offset *offset,
                                 sabot_error *error)
{
    const char *metadata = offset->metadata;

    if (offset->offset < 0)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "%s: partition %" PRId32 ": offset %" PRId64 " can't be committed",
                           partition->topic->name, partition->number, offset->offset);
    if (metadata != NULL && strnlen(metadata, SB_OFFSET_METADATA_MAX + 1) > SB_OFFSET_METADATA_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: partition %" PRId32 ": metadata of more than %d bytes",
                           partition->topic->name, partition->number, SB_OFFSET_METADATA_MAX);
    return SABOT_OK;
}

/* The group's entry, made when it isn't there. NULL: no memory. */
static struct sb_log_offset *need_entry(const struct sb_env *env,
                                        struct sb_log_partition *partition,
                                        const struct sb_log_group *group)
{
    struct sb_log_offset *entry = find_entry(partition, group);

    if (entry != NULL)
        return entry;
    entry = sb_alloc(env, sizeof *entry);
    if (entry == NULL)
        return NULL;
    entry->group = group;
    entry->offset = SB_OFFSET_NONE;
    entry->next = partition->offsets;
    partition->offsets = entry;
    return entry;
}

/* Check an offset that somebody wants to commit, and set aside what that takes. */
static sabot_status make_pending(const struct sb_log *log,
                                 const struct sb_log_topic *own,
                                 const struct sb_log_group *group,
                                 const struct sb_offset *offset,
                                 struct pending *pending_out,
                                 sabot_error *error)
{
    struct sb_log_partition *partition = find_partition(log, own, offset, error);
    struct sb_log_offset *entry;
    char *metadata = NULL;

    if (partition == NULL)
        return SABOT_ERR_NOT_FOUND;
    SABOT_TRY(check_offset(partition, offset, error));
    if (offset->metadata != NULL)
        metadata = sb_string_copy(log->env, offset->metadata);
    entry = need_entry(log->env, partition, group);
    if (entry == NULL || (metadata == NULL && offset->metadata != NULL)) {
        sb_string_free(log->env, metadata);
        (void)sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for an offset",
                          partition->topic->name);
        return SABOT_ERR_MEMORY;
    }
    *pending_out = (struct pending){partition, entry, offset->offset, offset->is_mark, metadata};
    return SABOT_OK;
}

/* Commit: the entry takes the metadata over. What the group no longer needs may make room. */
static void apply(const struct sb_env *env, struct pending *pending)
{
    struct sb_log_partition *partition = pending->partition;
    int64_t low = INT64_MAX;

    sb_string_free(env, pending->entry->metadata);
    pending->entry->offset = pending->offset;
    pending->entry->is_mark = pending->is_mark;
    pending->entry->metadata = pending->metadata;
    pending->metadata = NULL;
    for (const struct sb_log_offset *at = partition->offsets; at != NULL; at = at->next) {
        if (at->offset != SB_OFFSET_NONE && !at->is_mark && at->offset < low)
            low = at->offset;
    }
    atomic_store(&partition->group_low, low);
    sb_log_room(partition);
}

static sabot_status commit_all(struct sb_channel *channel,
                               const char *group_name,
                               const struct sb_offset *offsets,
                               uint32_t offset_count,
                               struct pending *pending,
                               sabot_error *error)
{
    const struct sb_log *log = channel->log;
    struct sb_log_group *group;

    SABOT_TRY(need_group(channel->log, group_name, &group, error));
    for (uint32_t i = 0; i < offset_count; i++)
        SABOT_TRY(make_pending(log, channel->topic, group, &offsets[i], &pending[i], error));
    for (uint32_t i = 0; i < offset_count; i++)
        apply(log->env, &pending[i]);
    return SABOT_OK;
}

sabot_status sb_memory_commit(struct sb_channel *channel,
                              const char *group,
                              const struct sb_offset *offsets,
                              uint32_t offset_count,
                              sabot_error *error)
{
    struct sb_log *log = channel->log;
    struct pending *pending;
    sabot_status status;

    if (offset_count == 0)
        return SABOT_OK;
    pending = sb_alloc_array(log->env, offset_count, sizeof *pending);
    if (pending == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to commit offsets");
    sb_lock_take(&log->lock);
    status = commit_all(channel, group, offsets, offset_count, pending, error);
    sb_lock_drop(&log->lock);
    for (uint32_t i = 0; i < offset_count; i++)
        sb_string_free(log->env, pending[i].metadata);
    sb_free_array(log->env, pending, offset_count, sizeof *pending);
    return status;
}

/* Is any of these about to change by a transaction that is open? */
static sabot_status find_pending(struct sb_channel *channel,
                                 const struct sb_log_group *group,
                                 const struct sb_offset *offsets,
                                 uint32_t offset_count,
                                 bool *pending_out,
                                 sabot_error *error)
{
    *pending_out = false;
    for (uint32_t i = 0; i < offset_count; i++) {
        const struct sb_log_partition *partition =
            find_partition(channel->log, channel->topic, &offsets[i], error);
        const struct sb_log_offset *entry;

        if (partition == NULL)
            return SABOT_ERR_NOT_FOUND;
        entry = group == NULL ? NULL : find_entry(partition, group);
        *pending_out |= entry != NULL && entry->pending > 0;
    }
    return SABOT_OK;
}

static sabot_status fill_committed(struct sb_channel *channel,
                                   const struct sb_log_group *group,
                                   struct sb_offset *offset,
                                   sabot_error *error)
{
    const struct sb_log_partition *partition =
        find_partition(channel->log, channel->topic, offset, error);
    const struct sb_log_offset *entry = NULL;

    SB_ASSERT(partition != NULL); /* find_pending() has looked */
    if (group != NULL)
        entry = find_entry(partition, group);
    offset->offset = entry == NULL ? SB_OFFSET_NONE : entry->offset;
    offset->metadata = NULL;
    if (entry == NULL || entry->metadata == NULL)
        return SABOT_OK;
    offset->metadata = sb_string_copy(channel->env, entry->metadata);
    if (offset->metadata == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an offset's metadata");
    return SABOT_OK;
}

static sabot_status read_committed(struct sb_channel *channel,
                                   const char *group_name,
                                   struct sb_offset *offsets,
                                   uint32_t offset_count,
                                   sabot_error *error)
{
    const struct sb_log_group *group = find_group(channel->log, group_name);
    bool pending;

    SABOT_TRY(find_pending(channel, group, offsets, offset_count, &pending, error));
    channel->waiting = pending;
    if (pending)
        return SABOT_AGAIN;
    for (uint32_t i = 0; i < offset_count; i++) {
        const sabot_status status = fill_committed(channel, group, &offsets[i], error);

        if (status == SABOT_OK)
            continue;
        for (uint32_t k = 0; k < i; k++) {
            sb_string_free(channel->env, offsets[k].metadata);
            offsets[k].metadata = NULL;
        }
        return status;
    }
    return SABOT_OK;
}

sabot_status sb_memory_committed(struct sb_channel *channel,
                                 const char *group,
                                 struct sb_offset *offsets,
                                 uint32_t offset_count,
                                 sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&channel->log->lock);
    status = read_committed(channel, group, offsets, offset_count, error);
    sb_lock_drop(&channel->log->lock);
    return status;
}

/* --- The end of a transaction; the log's lock is held ----------------------------------------- */

static void end_transaction(struct sb_log *log, struct sb_log_producer *producer, bool committed)
{
    const int64_t wall_ms = sb_wall_ms(log->env);

    if (producer->number == 0)
        return;
    for (uint32_t i = 0; i < producer->offset_count; i++) {
        struct pending *pending = &producer->offsets[i];

        SB_ASSERT(pending->entry->pending > 0);
        pending->entry->pending--;
        if (committed)
            apply(log->env, pending);
        sb_string_free(log->env, pending->metadata);
        pending->metadata = NULL;
    }
    for (uint32_t i = 0; i < producer->partition_count; i++)
        sb_log_end_txn(producer->partitions[i], producer->number, committed, wall_ms);
    sb_trace(log->env, committed ? "log.commit" : "log.abort", producer->number);
    producer->number = 0;
    producer->partition_count = 0;
    producer->offset_count = 0;
    producer->deadline_us = INT64_MAX;
    for (struct sb_channel *channel = log->channels; channel != NULL; channel = channel->next) {
        if (channel->waiting)
            sb_wake(log->env, channel->waker);
        channel->waiting = false;
    }
}

/* A transaction that is late is aborted, and its owner fenced. */
static bool expire(struct sb_log *log, struct sb_log_producer *producer, int64_t now_us)
{
    if (producer->number == 0 || now_us < producer->deadline_us)
        return false;
    end_transaction(log, producer, false);
    producer->epoch += SB_MUTANT(EXPIRED_NOT_FENCED) ? 0 : 1;
    return true;
}

static struct sb_step timer_step(void *context)
{
    struct sb_log *log = context;
    const int64_t now_us = sb_now_us(log->env);
    int64_t next_us = INT64_MAX;
    bool closing;

    sb_lock_take(&log->lock);
    for (struct sb_log_producer *at = log->producers; at != NULL; at = at->next) {
        (void)expire(log, at, now_us);
        if (at->deadline_us < next_us)
            next_us = at->deadline_us;
    }
    log->timer_deadline_us = next_us;
    closing = log->closing;
    sb_lock_drop(&log->lock);
    return closing ? sb_step_done() : sb_step_wait(next_us);
}

static sabot_status start_timer(struct sb_log *log, sabot_error *error)
{
    const struct sb_env_type *type = log->env->type;
    sabot_status status;

    if (log->timer != NULL)
        return SABOT_OK;
    log->timer_deadline_us = INT64_MAX;
    SABOT_TRY(type->waker_create(log->env->self, &log->timer_waker, error));
    status = type->spawn(log->env->self, "memory-log", timer_step, log, log->timer_waker,
                         &log->timer, error);
    if (status != SABOT_OK) {
        type->waker_destroy(log->env->self, log->timer_waker);
        log->timer_waker = NULL;
    }
    return status;
}

/* --- Transactional ids ------------------------------------------------------------------------ */

static sabot_status find_producer(struct sb_log *log,
                                  const char *id,
                                  struct sb_log_producer **producer_out,
                                  sabot_error *error)
{
    struct sb_log_producer *producer = log->producers;

    while (producer != NULL && strcmp(producer->id, id) != 0)
        producer = producer->next;
    *producer_out = producer;
    if (producer != NULL)
        return SABOT_OK;
    if (log->producer_count == SB_LOG_PRODUCERS_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "transactional id %s: the log has %d of them already", id,
                           SB_LOG_PRODUCERS_MAX);
    producer = sb_alloc(log->env, sizeof *producer);
    if (producer != NULL)
        producer->id = sb_string_copy(log->env, id);
    if (producer == NULL || producer->id == NULL) {
        sb_free(log->env, producer, sizeof *producer);
        return sabot_raise(error, SABOT_ERR_MEMORY, "transactional id %s: no memory", id);
    }
    producer->deadline_us = INT64_MAX;
    producer->next = log->producers;
    log->producers = producer;
    log->producer_count++;
    *producer_out = producer;
    return SABOT_OK;
}

static void free_producer(const struct sb_env *env, struct sb_log_producer *producer)
{
    for (uint32_t i = 0; i < producer->offset_count; i++)
        sb_string_free(env, producer->offsets[i].metadata);
    sb_free_array(env, producer->offsets, producer->offset_capacity, sizeof *producer->offsets);
    sb_free_array(env, producer->partitions, producer->partition_capacity,
                  sizeof *producer->partitions);
    sb_string_free(env, producer->id);
    sb_free(env, producer, sizeof *producer);
}

void sb_log_free_coordinators(struct sb_log *log)
{
    const struct sb_env *env = log->env;

    if (log->timer != NULL) {
        sb_lock_take(&log->lock);
        log->closing = true;
        sb_lock_drop(&log->lock);
        sb_wake(env, log->timer_waker);
        env->type->join(env->self, log->timer);
        env->type->waker_destroy(env->self, log->timer_waker);
    }
    while (log->producers != NULL) {
        struct sb_log_producer *producer = log->producers;

        log->producers = producer->next;
        free_producer(env, producer);
    }
    while (log->groups != NULL) {
        struct sb_log_group *group = log->groups;

        log->groups = group->next;
        sb_string_free(env, group->name);
        sb_free(env, group, sizeof *group);
    }
}

sabot_status sb_memory_txn_open(struct sb_channel *channel,
                                const char *transactional_id,
                                int64_t timeout_ms,
                                struct sb_waker *waker,
                                struct sb_txn **txn_out,
                                sabot_error *error)
{
    struct sb_log *log = channel->log;
    struct sb_txn *txn;
    sabot_status status;

    (void)waker; /* every call here is complete when it returns */
    *txn_out = NULL;
    SABOT_TRY(check_name("transactional id", transactional_id, error));
    if (timeout_ms <= 0 || timeout_ms > INT32_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "transactional id %s: a timeout of %" PRId64 " ms is out of range",
                           transactional_id, timeout_ms);
    txn = sb_alloc(log->env, sizeof *txn);
    if (txn == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a transaction");
    txn->log = log;
    txn->topic = channel->topic;
    txn->timeout_us = timeout_ms * 1000;
    sb_lock_take(&log->lock);
    status = start_timer(log, error);
    if (status == SABOT_OK)
        status = find_producer(log, transactional_id, &txn->producer, error);
    sb_lock_drop(&log->lock);
    if (status != SABOT_OK) {
        sb_free(log->env, txn, sizeof *txn);
        return status;
    }
    *txn_out = txn;
    return SABOT_OK;
}

void sb_memory_txn_close(struct sb_txn *txn)
{
    if (txn != NULL)
        sb_free(txn->log->env, txn, sizeof *txn);
}

sabot_status sb_memory_txn_fence(struct sb_txn *txn, sabot_error *error)
{
    struct sb_log_producer *producer = txn->producer;

    if (txn->fenced)
        return sb_txn_check(txn, error);
    sb_lock_take(&txn->log->lock);
    end_transaction(txn->log, producer, false);
    txn->epoch = ++producer->epoch;
    txn->fenced = true;
    sb_lock_drop(&txn->log->lock);
    return SABOT_OK;
}

/* --- Transactions; the log's lock is held ----------------------------------------------------- */

static sabot_status raise_fenced(const struct sb_txn *txn, sabot_error *error)
{
    (void)sabot_raise(error, SABOT_ERR_FENCED,
                      "transactional id %s: fenced: another instance has taken it over, or a "
                      "transaction took longer than %" PRId64 " ms",
                      txn->producer->id, txn->timeout_us / 1000);
    if (error != NULL)
        error->fatal = true;
    return SABOT_ERR_FENCED;
}

/* Is it still the one with this id, and in time? */
static sabot_status check_owner(struct sb_txn *txn, sabot_error *error)
{
    if (!txn->fenced)
        return sabot_raise(error, SABOT_ERR_STATE, "transactional id %s: call fence first",
                           txn->producer->id);
    if (txn->epoch == txn->producer->epoch)
        (void)expire(txn->log, txn->producer, sb_now_us(txn->log->env));
    if (SB_MUTANT(ZOMBIE_COMMITS))
        return SABOT_OK;
    return txn->epoch == txn->producer->epoch ? SABOT_OK : raise_fenced(txn, error);
}

static sabot_status check_begun(struct sb_txn *txn, sabot_error *error)
{
    SABOT_TRY(check_owner(txn, error));
    if (txn->number == 0)
        return sabot_raise(error, SABOT_ERR_STATE, "transactional id %s: no transaction was begun",
                           txn->producer->id);
    return SABOT_OK;
}

/* The transaction has something in it from now on, and its time runs. */
static void open_transaction(struct sb_txn *txn)
{
    struct sb_log_producer *producer = txn->producer;
    struct sb_log *log = txn->log;

    if (producer->number != 0)
        return;
    producer->number = txn->number;
    producer->deadline_us = sb_now_us(log->env) + txn->timeout_us;
    if (producer->deadline_us < log->timer_deadline_us) {
        log->timer_deadline_us = producer->deadline_us;
        sb_wake(log->env, log->timer_waker);
    }
}

/* Room for one more element. */
static void *grow(const struct sb_env *env,
                  void *array,
                  uint32_t count,
                  uint32_t *capacity,
                  size_t size)
{
    const uint32_t grown = *capacity == 0 ? ARRAY_START : *capacity * 2;
    void *larger;

    if (count < *capacity)
        return array;
    larger = sb_alloc_array(env, grown, size);
    if (larger == NULL)
        return NULL;
    if (count > 0)
        memcpy(larger, array, count * size);
    sb_free_array(env, array, *capacity, size);
    *capacity = grown;
    return larger;
}

static sabot_status join(struct sb_txn *txn,
                         struct sb_log_partition *partition,
                         struct sb_log_waiter *waiter,
                         sabot_error *error)
{
    struct sb_log_producer *producer = txn->producer;
    void *grown;

    SABOT_TRY(check_begun(txn, error));
    grown = grow(txn->log->env, producer->partitions, producer->partition_count,
                 &producer->partition_capacity, sizeof *producer->partitions);
    if (grown == NULL)
        return SABOT_ERR_MEMORY;
    producer->partitions = grown;
    SABOT_TRY(sb_log_open_txn(partition, txn->number, waiter));
    producer->partitions[producer->partition_count++] = partition;
    open_transaction(txn);
    return SABOT_OK;
}

static sabot_status add_offset(struct sb_txn *txn,
                               const struct sb_log_group *group,
                               const struct sb_offset *offset,
                               sabot_error *error)
{
    struct sb_log_producer *producer = txn->producer;
    const struct sb_env *env = txn->log->env;
    struct pending pending = {0};
    void *grown;

    grown = grow(env, producer->offsets, producer->offset_count, &producer->offset_capacity,
                 sizeof *producer->offsets);
    if (grown == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for an offset");
    producer->offsets = grown;
    SABOT_TRY(make_pending(txn->log, txn->topic, group, offset, &pending, error));
    for (uint32_t i = 0; i < producer->offset_count; i++) {
        struct pending *earlier = &producer->offsets[i];

        if (earlier->entry == pending.entry) {
            sb_string_free(env, earlier->metadata);
            *earlier = pending;
            return SABOT_OK;
        }
    }
    pending.entry->pending++;
    producer->offsets[producer->offset_count++] = pending;
    open_transaction(txn);
    return SABOT_OK;
}

static sabot_status add_offsets(struct sb_txn *txn,
                                const char *group_name,
                                const struct sb_offset *offsets,
                                uint32_t offset_count,
                                sabot_error *error)
{
    struct sb_log_group *group;

    SABOT_TRY(check_begun(txn, error));
    SABOT_TRY(need_group(txn->log, group_name, &group, error));
    for (uint32_t i = 0; i < offset_count; i++)
        SABOT_TRY(add_offset(txn, group, &offsets[i], error));
    return SABOT_OK;
}

static sabot_status finish(struct sb_txn *txn, bool committed, sabot_error *error)
{
    SABOT_TRY(check_begun(txn, error));
    end_transaction(txn->log, txn->producer, committed);
    txn->number = 0;
    return SABOT_OK;
}

/* --- Calls ------------------------------------------------------------------------------------ */

sabot_status sb_txn_join(struct sb_txn *txn,
                         struct sb_log_partition *partition,
                         struct sb_log_waiter *waiter,
                         sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = join(txn, partition, waiter, error);
    sb_lock_drop(&txn->log->lock);
    return status;
}

uint64_t sb_txn_number(const struct sb_txn *txn)
{
    return txn->number;
}

const struct sb_log *sb_txn_log(const struct sb_txn *txn)
{
    return txn->log;
}

sabot_status sb_txn_check(struct sb_txn *txn, sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = check_owner(txn, error);
    sb_lock_drop(&txn->log->lock);
    return status;
}

sabot_status sb_memory_txn_begin(struct sb_txn *txn, sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = check_owner(txn, error);
    if (status == SABOT_OK && txn->number != 0)
        status =
            sabot_raise(error, SABOT_ERR_STATE,
                        "transactional id %s: a transaction was begun already", txn->producer->id);
    if (status == SABOT_OK)
        txn->number = ++txn->log->txn_last;
    sb_lock_drop(&txn->log->lock);
    return status;
}

sabot_status sb_memory_txn_offsets(struct sb_txn *txn,
                                   const char *group,
                                   const struct sb_offset *offsets,
                                   uint32_t offset_count,
                                   sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = add_offsets(txn, group, offsets, offset_count, error);
    sb_lock_drop(&txn->log->lock);
    return status;
}

sabot_status sb_memory_txn_commit(struct sb_txn *txn, sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = finish(txn, true, error);
    sb_lock_drop(&txn->log->lock);
    return status;
}

sabot_status sb_memory_txn_abort(struct sb_txn *txn, sabot_error *error)
{
    sabot_status status;

    sb_lock_take(&txn->log->lock);
    status = finish(txn, false, error);
    sb_lock_drop(&txn->log->lock);
    return status;
}
