/* SPDX-License-Identifier: Apache-2.0 */
/* memory_log.c - a partition of the embedded log: records in segments, and who needs them.
 *
 *        oldest                                   newest
 *     | segment | segment | segment |  ...  | records  mark room |
 *     ^ begin        ^ hold of a reader        ^ stable   ^ end
 *
 * Writing takes the partition's lock. Reading does not: `stable` is published with release after
 * the bytes, and what lies below never changes again, so a reader that has seen it walks segments
 * alone. It takes the lock once a segment (to pin the next), and when it has nothing to read.
 *
 * Invariants
 *   1. stable = the lowest first offset of an open transaction, or end. It never goes back.
 *   2. Segments lie without a hole: base of the next = end of the one before.
 *   3. The newest segment has room for the mark of every transaction that is open here, and for
 *      the head of size 0 that ends it. So the end of a transaction needs no memory: it can't fail.
 *   4. A segment is dropped only below the lowest hold, so a reader's next record is always there;
 *      one that a reader stands in is freed when the reader leaves it.
 *   5. bytes <= bytes_max, but for a segment of one record that is larger, and for a transaction
 *      that everybody else waits for (no_room).
 *
 * A writer that finds no room and a hold that moves can't miss each other: the writer stores
 * `room_wanted` and then loads the holds, the other side stores its hold and then loads
 * `room_wanted`, all in one total order (seq_cst).
 *
 * Threads: any. Memory: segments from the env, a few kept when they are empty. */
#include "channel/memory_log.h"

#include <string.h>

#include "base/mutant.h"

enum {
    ALIGNMENT = 8,
    END_SIZE = 8, /* of the head of size 0, aligned */
    MARK_SIZE = (int)sizeof(struct sb_log_head),
    OPEN_START = 4,
};

void sb_log_partition_init(struct sb_log_partition *partition,
                           const struct sb_env *env,
                           const struct sb_log_topic *topic,
                           int32_t number,
                           uint64_t bytes_max)
{
    uint64_t segment_size = bytes_max / SB_LOG_SEGMENT_SHARE;

    if (segment_size < SB_LOG_SEGMENT_MIN)
        segment_size = SB_LOG_SEGMENT_MIN;
    if (segment_size > SB_LOG_SEGMENT_MAX)
        segment_size = SB_LOG_SEGMENT_MAX;
    memset(partition, 0, sizeof *partition);
    partition->env = env;
    partition->topic = topic;
    partition->number = number;
    partition->bytes_max = bytes_max;
    partition->segment_size = (uint32_t)(segment_size / ALIGNMENT * ALIGNMENT);
    atomic_store(&partition->group_low, INT64_MAX);
    sb_lock_init(&partition->lock);
}

static void segment_free(const struct sb_env *env, struct sb_log_segment *segment)
{
    env->type->release(env->self, segment->bytes, segment->capacity);
    sb_free(env, segment, sizeof *segment);
}

static void segments_free(const struct sb_env *env, struct sb_log_segment *segment)
{
    while (segment != NULL) {
        struct sb_log_segment *newer = segment->newer;

        segment_free(env, segment);
        segment = newer;
    }
}

void sb_log_partition_reset(struct sb_log_partition *partition)
{
    const struct sb_env *env = partition->env;

    SB_ASSERT(partition->holds == NULL);
    SB_ASSERT(partition->waiters == NULL);
    segments_free(env, partition->oldest);
    segments_free(env, partition->spare);
    sb_free_array(env, partition->open, partition->open_capacity, sizeof *partition->open);
    sb_log_free_offsets(env, partition);
    sb_lock_reset(&partition->lock);
}

/* The partition's lock is held from here on, up to "Calls". */

static void check(const struct sb_log_partition *partition)
{
    SB_ASSERT((partition->oldest == NULL) == (partition->newest == NULL));
    SB_ASSERT(partition->newest == NULL || partition->newest->end == partition->end);
    SB_ASSERT(partition->newest == NULL || !partition->newest->dropped);
}

static int64_t begin_of(const struct sb_log_partition *partition)
{
    return partition->oldest == NULL ? partition->end : partition->oldest->base;
}

/* --- Waking ----------------------------------------------------------------------------------- */

static void wake_readers(struct sb_log_partition *partition)
{
    for (struct sb_log_hold *hold = partition->holds; hold != NULL; hold = hold->next) {
        if (hold->parked)
            sb_wake(partition->env, hold->waker);
        hold->parked = false;
    }
    partition->parked_count = 0;
}

static void wake_writers(struct sb_log_partition *partition)
{
    struct sb_log_waiter *waiter = partition->waiters;

    partition->waiters = NULL;
    atomic_store(&partition->room_wanted, false);
    while (waiter != NULL) {
        struct sb_log_waiter *next = waiter->next;

        waiter->queued = false;
        sb_wake(partition->env, waiter->waker);
        waiter = next;
    }
}

static void wait_for_room(struct sb_log_partition *partition, struct sb_log_waiter *waiter)
{
    if (waiter->queued)
        return;
    waiter->queued = true;
    waiter->next = partition->waiters;
    partition->waiters = waiter;
}

/* Show readers what has become readable. */
static void publish(struct sb_log_partition *partition)
{
    int64_t stable = partition->end;

    for (uint32_t i = 0; i < partition->open_count; i++) {
        if (partition->open[i].first < stable && !SB_MUTANT(OPEN_SHOWN))
            stable = partition->open[i].first;
    }
    if (stable == atomic_load_explicit(&partition->stable, memory_order_relaxed))
        return;
    atomic_store_explicit(&partition->stable, stable, memory_order_release);
    if (partition->parked_count > 0)
        wake_readers(partition);
}

/* --- Room ------------------------------------------------------------------------------------- */

/* The lowest offset that somebody needs; INT64_MAX: nobody needs any. */
static int64_t lowest_hold(struct sb_log_partition *partition)
{
    int64_t low = atomic_load(&partition->group_low);

    for (struct sb_log_hold *hold = partition->holds; hold != NULL; hold = hold->next) {
        const int64_t offset = atomic_load(&hold->offset);

        if (offset < low)
            low = offset;
    }
    return low;
}

static void recycle(struct sb_log_partition *partition, struct sb_log_segment *segment)
{
    if (segment->capacity != partition->segment_size ||
        partition->spare_count == SB_LOG_SPARE_MAX) {
        segment_free(partition->env, segment);
        return;
    }
    segment->newer = partition->spare;
    partition->spare = segment;
    partition->spare_count++;
}

static void drop_oldest(struct sb_log_partition *partition)
{
    struct sb_log_segment *segment = partition->oldest;

    partition->oldest = segment->newer;
    if (partition->oldest == NULL)
        partition->newest = NULL;
    SB_ASSERT(partition->bytes >= segment->capacity);
    partition->bytes -= segment->capacity;
    segment->dropped = true;
    segment->newer = NULL;
    if (segment->pins == 0)
        recycle(partition, segment);
}

static struct sb_log_segment *new_segment(struct sb_log_partition *partition, uint32_t capacity)
{
    const struct sb_env *env = partition->env;
    struct sb_log_segment *segment = partition->spare;

    if (segment != NULL && capacity == partition->segment_size) {
        partition->spare = segment->newer;
        partition->spare_count--;
        *segment = (struct sb_log_segment){.bytes = segment->bytes, .capacity = capacity};
    } else {
        segment = sb_alloc(env, sizeof *segment);
        if (segment == NULL)
            return NULL;
        segment->capacity = capacity;
        /* Not sb_alloc: what is about to be written needs no zeroes. */
        segment->bytes = env->type->allocate(env->self, capacity, SB_CACHE_LINE);
        if (segment->bytes == NULL) {
            sb_free(env, segment, sizeof *segment);
            return NULL;
        }
    }
    segment->base = partition->end;
    segment->end = partition->end;
    return segment;
}

/* Readers below find here that the next record is in the next segment. */
static void seal(struct sb_log_segment *segment)
{
    const uint32_t size = 0;

    SB_ASSERT(segment->used + END_SIZE <= segment->capacity);
    memcpy(segment->bytes + segment->used, &size, sizeof size);
}

/* Drop old segments until one of `capacity` bytes fits, as far as nobody needs them. The newest
 * stays: *last_out says that it must go as well, once it has a successor. */
static bool trim(struct sb_log_partition *partition, uint64_t capacity, bool *last_out)
{
    const int64_t low = lowest_hold(partition);

    *last_out = false;
    while (partition->bytes > 0 && partition->bytes + capacity > partition->bytes_max) {
        if (partition->oldest->end > low)
            return false;
        if (partition->oldest == partition->newest) {
            *last_out = true;
            break;
        }
        drop_oldest(partition);
    }
    return true;
}

static struct sb_log_open *find_open(const struct sb_log_partition *partition, uint64_t number)
{
    for (uint32_t i = 0; i < partition->open_count; i++) {
        if (partition->open[i].number == number)
            return &partition->open[i];
    }
    return NULL;
}

/* No room: wait, unless all others wait for this transaction. That is so when everything readable
 * was read by those who hold the partition, and this one is what keeps the rest from being
 * readable. Then it may go on over the bound, until its own records would fill the partition. */
static sabot_status no_room(struct sb_log_partition *partition,
                            uint64_t size,
                            uint64_t txn,
                            struct sb_log_waiter *waiter)
{
    const int64_t stable = atomic_load_explicit(&partition->stable, memory_order_relaxed);
    const struct sb_log_open *open = find_open(partition, txn);

    if (open == NULL || open->first > stable || lowest_hold(partition) < stable) {
        wait_for_room(partition, waiter);
        return SABOT_AGAIN;
    }
    return open->bytes + size > partition->bytes_max ? SABOT_ERR_LIMIT : SABOT_OK;
}

/* Begin a new segment for `size` bytes beside what must be set aside for `marks`. */
static sabot_status roll(struct sb_log_partition *partition,
                         uint64_t size,
                         uint32_t marks,
                         uint64_t txn,
                         struct sb_log_waiter *waiter)
{
    const uint64_t need = size + (uint64_t)marks * MARK_SIZE + END_SIZE;
    const uint64_t capacity = need > partition->segment_size ? need : partition->segment_size;
    struct sb_log_segment *segment;
    bool drop_last;

    if (!trim(partition, capacity, &drop_last)) {
        /* Say so, and look again: a hold may have moved meanwhile. */
        atomic_store(&partition->room_wanted, true);
        if (!trim(partition, capacity, &drop_last))
            SABOT_TRY(no_room(partition, size, txn, waiter));
    }
    SB_ASSERT(capacity <= UINT32_MAX);
    segment = new_segment(partition, (uint32_t)capacity);
    if (segment == NULL)
        return SABOT_ERR_MEMORY;
    if (partition->newest == NULL) {
        partition->oldest = segment;
    } else {
        seal(partition->newest);
        partition->newest->newer = segment;
    }
    partition->newest = segment;
    partition->bytes += capacity;
    if (drop_last)
        drop_oldest(partition);
    return SABOT_OK;
}

static bool has_room(const struct sb_log_partition *partition, uint64_t size, uint32_t marks)
{
    const struct sb_log_segment *newest = partition->newest;

    return newest != NULL &&
           size + (uint64_t)marks * MARK_SIZE + END_SIZE <= newest->capacity - newest->used;
}

/* --- Records ---------------------------------------------------------------------------------- */

static struct sb_log_head *head_at(const struct sb_log_segment *segment, uint32_t at)
{
    return (struct sb_log_head *)(void *)(segment->bytes + at);
}

uint64_t sb_log_size(const struct sb_record *record)
{
    uint64_t size = sizeof(struct sb_log_head) + record->key.size + record->value.size;

    for (uint32_t i = 0; i < record->header_count; i++)
        size += 2 * sizeof(uint32_t) + record->headers[i].name.size + record->headers[i].value.size;
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t size)
{
    if (bytes != NULL && size > 0)
        memcpy(to, bytes, size);
    return to + size;
}

static uint8_t *put_headers(uint8_t *to, const struct sb_record *record)
{
    for (uint32_t i = 0; i < record->header_count; i++) {
        const struct sb_header *header = &record->headers[i];
        const uint32_t sizes[2] = {
            (uint32_t)header->name.size,
            header->value.data == NULL ? SB_LOG_NONE : (uint32_t)header->value.size,
        };

        to = put(to, sizes, sizeof sizes);
        to = put(to, header->name.data, header->name.size);
        to = put(to, header->value.data, header->value.size);
    }
    return to;
}

static uint32_t stored_size(sabot_text text)
{
    return text.data == NULL ? SB_LOG_NONE : (uint32_t)text.size;
}

/* Take the next offset for `size` bytes at the end of the newest segment. */
static struct sb_log_head *take(struct sb_log_partition *partition, uint32_t size)
{
    struct sb_log_segment *segment = partition->newest;
    struct sb_log_head *head;

    SB_ASSERT(segment != NULL);
    head = head_at(segment, segment->used);
    SB_ASSERT(size + END_SIZE <= segment->capacity - segment->used);
    segment->used += size;
    segment->end = ++partition->end;
    return head;
}

static sabot_status append(struct sb_log_partition *partition,
                           const struct sb_record *record,
                           uint32_t size,
                           const struct sb_log_stamp *stamp,
                           struct sb_log_waiter *waiter)
{
    struct sb_log_open *open = stamp->txn == 0 ? NULL : find_open(partition, stamp->txn);
    struct sb_log_head *head;
    uint8_t *to;

    if (stamp->txn != 0 && open == NULL)
        return SABOT_ERR_STATE;
    if (!has_room(partition, size, partition->open_count))
        SABOT_TRY(roll(partition, size, partition->open_count, stamp->txn, waiter));
    if (open != NULL)
        open->bytes += size;
    head = take(partition, size);
    *head = (struct sb_log_head){
        .size = size,
        .header_count = (uint16_t)record->header_count,
        .key_size = stored_size(record->key),
        .value_size = stored_size(record->value),
        .timestamp_ms = stamp->timestamp_ms,
        .arrival_us = stamp->arrival_us,
        .txn = stamp->txn,
    };
    to = put((uint8_t *)(head + 1), record->key.data, record->key.size);
    to = put(to, record->value.data, record->value.size);
    (void)put_headers(to, record);
    publish(partition);
    return SABOT_OK;
}

/* --- Transactions ----------------------------------------------------------------------------- */

static sabot_status reserve_open(struct sb_log_partition *partition)
{
    const uint32_t capacity = partition->open_capacity;
    const uint32_t grown = capacity == 0 ? OPEN_START : capacity * 2;
    struct sb_log_open *open;

    if (partition->open_count < capacity)
        return SABOT_OK;
    if (capacity >= SB_LOG_OPEN_MAX)
        return SABOT_ERR_LIMIT;
    open = sb_alloc_array(partition->env, grown, sizeof *open);
    if (open == NULL)
        return SABOT_ERR_MEMORY;
    if (capacity > 0)
        memcpy(open, partition->open, capacity * sizeof *open);
    sb_free_array(partition->env, partition->open, capacity, sizeof *open);
    partition->open = open;
    partition->open_capacity = grown;
    return SABOT_OK;
}

static sabot_status open_txn(struct sb_log_partition *partition,
                             uint64_t number,
                             struct sb_log_waiter *waiter)
{
    SB_ASSERT(find_open(partition, number) == NULL);
    SABOT_TRY(reserve_open(partition));
    if (!has_room(partition, 0, partition->open_count + 1))
        SABOT_TRY(roll(partition, 0, partition->open_count + 1, number, waiter));
    partition->open[partition->open_count++] = (struct sb_log_open){
        .number = number,
        .first = partition->end,
    };
    return SABOT_OK;
}

/* Mark the records of a transaction from `first` on as aborted. Nobody reads there yet. */
static void hide(struct sb_log_partition *partition, uint64_t number, int64_t first)
{
    struct sb_log_segment *segment = partition->oldest;

    while (segment != NULL && segment->end <= first)
        segment = segment->newer;
    for (; segment != NULL; segment = segment->newer) {
        struct sb_log_head *head;

        for (uint32_t at = 0; at < segment->used; at += head->size) {
            head = head_at(segment, at);
            if (head->txn == number)
                head->flags |= SB_LOG_ABORTED;
        }
    }
}

static void end_txn(struct sb_log_partition *partition,
                    uint64_t number,
                    bool committed,
                    int64_t timestamp_ms)
{
    const struct sb_log_open *found = find_open(partition, number);
    const size_t index = found == NULL ? 0 : (size_t)(found - partition->open);

    SB_ASSERT(found != NULL);
    if (!committed)
        hide(partition, number, found->first);
    *take(partition, MARK_SIZE) = (struct sb_log_head){
        .size = MARK_SIZE,
        .flags = SB_LOG_MARK,
        .key_size = SB_LOG_NONE,
        .value_size = SB_LOG_NONE,
        .timestamp_ms = timestamp_ms,
        .txn = number,
    };
    partition->open[index] = partition->open[--partition->open_count];
    publish(partition);
    /* A writer may have waited behind this transaction with no reader left to tell it. */
    if (partition->waiters != NULL)
        wake_writers(partition);
}

/* --- Calls ------------------------------------------------------------------------------------ */

sabot_status sb_log_append(struct sb_log_partition *partition,
                           const struct sb_record *record,
                           uint32_t size,
                           const struct sb_log_stamp *stamp,
                           struct sb_log_waiter *waiter)
{
    sabot_status status;

    sb_lock_take(&partition->lock);
    check(partition);
    status = append(partition, record, size, stamp, waiter);
    check(partition);
    sb_lock_drop(&partition->lock);
    return status;
}

sabot_status sb_log_open_txn(struct sb_log_partition *partition,
                             uint64_t number,
                             struct sb_log_waiter *waiter)
{
    sabot_status status;

    sb_lock_take(&partition->lock);
    check(partition);
    status = open_txn(partition, number, waiter);
    check(partition);
    sb_lock_drop(&partition->lock);
    return status;
}

void sb_log_end_txn(struct sb_log_partition *partition,
                    uint64_t number,
                    bool committed,
                    int64_t timestamp_ms)
{
    sb_lock_take(&partition->lock);
    check(partition);
    end_txn(partition, number, committed, timestamp_ms);
    check(partition);
    sb_lock_drop(&partition->lock);
}

void sb_log_range(struct sb_log_partition *partition, int64_t *begin_out, int64_t *end_out)
{
    sb_lock_take(&partition->lock);
    *begin_out = begin_of(partition);
    *end_out = partition->end;
    sb_lock_drop(&partition->lock);
}

/* The end of a partition is the end of what can be read. */
static sabot_status resolve(struct sb_log_partition *partition, int64_t offset, int64_t *offset_out)
{
    const int64_t begin = begin_of(partition);

    if (offset == SB_OFFSET_BEGIN)
        offset = begin;
    else if (offset == SB_OFFSET_END)
        offset = atomic_load_explicit(&partition->stable, memory_order_relaxed);
    if (offset < begin || offset > partition->end)
        return SABOT_ERR_NOT_FOUND;
    *offset_out = offset;
    return SABOT_OK;
}

sabot_status sb_log_hold_add(struct sb_log_partition *partition,
                             struct sb_log_hold *hold,
                             int64_t offset,
                             int64_t *offset_out)
{
    sabot_status status;

    sb_lock_take(&partition->lock);
    status = resolve(partition, offset, offset_out);
    if (status == SABOT_OK) {
        atomic_store(&hold->offset, *offset_out);
        hold->parked = false;
        hold->next = partition->holds;
        partition->holds = hold;
    }
    sb_lock_drop(&partition->lock);
    return status;
}

sabot_status sb_log_hold_seek(struct sb_log_partition *partition,
                              struct sb_log_hold *hold,
                              int64_t offset,
                              int64_t *offset_out)
{
    sabot_status status;

    sb_lock_take(&partition->lock);
    status = resolve(partition, offset, offset_out);
    if (status == SABOT_OK)
        atomic_store(&hold->offset, *offset_out);
    sb_lock_drop(&partition->lock);
    if (status == SABOT_OK)
        sb_log_room(partition);
    return status;
}

void sb_log_hold_move(struct sb_log_partition *partition, struct sb_log_hold *hold, int64_t offset)
{
    atomic_store(&hold->offset, offset);
    sb_log_room(partition);
}

void sb_log_hold_remove(struct sb_log_partition *partition, struct sb_log_hold *hold)
{
    struct sb_log_hold **link = &partition->holds;

    sb_lock_take(&partition->lock);
    while (*link != hold)
        link = &(*link)->next;
    *link = hold->next;
    partition->parked_count -= hold->parked ? 1 : 0;
    sb_lock_drop(&partition->lock);
    sb_log_room(partition);
}

sabot_status sb_log_park(struct sb_log_partition *partition,
                         struct sb_log_hold *hold,
                         int64_t offset)
{
    const struct sb_log_topic *topic = partition->topic;
    sabot_status status = SABOT_AGAIN;

    sb_lock_take(&partition->lock);
    if (offset < atomic_load_explicit(&partition->stable, memory_order_relaxed)) {
        status = SABOT_OK;
    } else if (offset >= partition->end && atomic_load(&topic->had_writer) &&
               atomic_load(&topic->writer_count) == 0) {
        status = SABOT_END;
    } else if (!hold->parked) {
        hold->parked = true;
        partition->parked_count++;
    }
    sb_lock_drop(&partition->lock);
    return status;
}

static void unpin(struct sb_log_partition *partition, struct sb_log_segment *segment)
{
    if (segment == NULL)
        return;
    SB_ASSERT(segment->pins > 0);
    segment->pins--;
    if (segment->pins == 0 && segment->dropped)
        recycle(partition, segment);
}

struct sb_log_segment *sb_log_pin(struct sb_log_partition *partition,
                                  struct sb_log_segment *segment,
                                  int64_t offset,
                                  uint32_t *at_out)
{
    uint32_t at = 0;

    sb_lock_take(&partition->lock);
    unpin(partition, segment);
    segment = partition->oldest;
    while (segment != NULL && segment->end <= offset)
        segment = segment->newer;
    SB_ASSERT(segment != NULL);
    SB_ASSERT(segment->base <= offset);
    segment->pins++;
    for (int64_t next = segment->base; next < offset; next++)
        at += head_at(segment, at)->size;
    sb_lock_drop(&partition->lock);
    *at_out = at;
    return segment;
}

void sb_log_unpin(struct sb_log_partition *partition, struct sb_log_segment *segment)
{
    sb_lock_take(&partition->lock);
    unpin(partition, segment);
    sb_lock_drop(&partition->lock);
}

void sb_log_room(struct sb_log_partition *partition)
{
    int64_t low;

    if (!atomic_load(&partition->room_wanted))
        return;
    sb_lock_take(&partition->lock);
    low = lowest_hold(partition);
    /* Woken also without room when nothing is left to read: then an open transaction is in the way,
     * and its writer may go on all the same. */
    if (partition->oldest == NULL || partition->oldest->end <= low ||
        low >= atomic_load_explicit(&partition->stable, memory_order_relaxed))
        wake_writers(partition);
    sb_lock_drop(&partition->lock);
}

void sb_log_wake_readers(struct sb_log_partition *partition)
{
    sb_lock_take(&partition->lock);
    wake_readers(partition);
    sb_lock_drop(&partition->lock);
}

void sb_log_waiter_remove(struct sb_log_partition *partition, struct sb_log_waiter *waiter)
{
    struct sb_log_waiter **link = &partition->waiters;

    sb_lock_take(&partition->lock);
    if (waiter->queued) {
        while (*link != waiter)
            link = &(*link)->next;
        *link = waiter->next;
        waiter->queued = false;
    }
    sb_lock_drop(&partition->lock);
}
