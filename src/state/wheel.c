/* SPDX-License-Identifier: Apache-2.0 */
/* wheel.c - the queue of times; see wheel.h. */
#include "state/wheel.h"

#include <string.h>

#include "base/mem.h"

enum {
    DIGIT_BITS = 8,
    DUE_MIN = 64,
};

/* Entries of a block: with its head 256 bytes, 1 KiB, 4 KiB. A slot begins with the smallest. */
static const uint32_t block_room[SB_WHEEL_SIZES] = {15, 63, 255};
/* Blocks that are kept for the next slots, for most slots live shortly. */
static const uint32_t block_spare[SB_WHEEL_SIZES] = {512, 256, 8};

void sb_wheel_init(struct sb_wheel *wheel,
                   const struct sb_env *env,
                   struct sb_account *account,
                   struct sb_account_line *line)
{
    *wheel = (struct sb_wheel){.env = env, .account = account, .line = line};
}

/* --- Blocks -------------------------------------------------------------------------------------
 */

static uint64_t block_bytes(uint32_t size)
{
    return sizeof(struct sb_wheel_block) + block_room[size] * sizeof(struct sb_wheel_entry);
}

static bool reserve(struct sb_wheel *wheel, uint64_t bytes)
{
    if (!sb_account_reserve(wheel->account, bytes))
        return false;
    sb_account_count(wheel->line, (int64_t)bytes);
    return true;
}

static void give_back(struct sb_wheel *wheel, uint64_t bytes)
{
    sb_account_release(wheel->account, bytes);
    sb_account_count(wheel->line, -(int64_t)bytes);
}

static struct sb_wheel_block *block_take(struct sb_wheel *wheel, uint32_t size)
{
    struct sb_wheel_block *block = wheel->free[size];

    if (block != NULL) {
        wheel->free[size] = block->next;
        wheel->free_count[size]--;
        return block;
    }
    if (!reserve(wheel, block_bytes(size)))
        return NULL;
    block = sb_alloc(wheel->env, block_bytes(size));
    if (block == NULL) {
        give_back(wheel, block_bytes(size));
        return NULL;
    }
    block->size = size;
    return block;
}

static void block_free(struct sb_wheel *wheel, struct sb_wheel_block *block)
{
    const uint64_t bytes = block_bytes(block->size);

    sb_free(wheel->env, block, bytes);
    give_back(wheel, bytes);
}

static void block_give(struct sb_wheel *wheel, struct sb_wheel_block *block)
{
    const uint32_t size = block->size;

    if (wheel->free_count[size] == block_spare[size]) {
        block_free(wheel, block);
        return;
    }
    block->next = wheel->free[size];
    wheel->free[size] = block;
    wheel->free_count[size]++;
}

static void chain_free(struct sb_wheel *wheel, struct sb_wheel_block *chain)
{
    while (chain != NULL) {
        struct sb_wheel_block *block = chain;

        chain = block->next;
        block_free(wheel, block);
    }
}

void sb_wheel_reset(struct sb_wheel *wheel)
{
    const uint64_t due_bytes = wheel->due_room * sizeof *wheel->due;

    for (uint32_t i = 0; i < SB_WHEEL_SLOTS; i++)
        chain_free(wheel, wheel->slots[i]);
    for (uint32_t i = 0; i < SB_WHEEL_SIZES; i++)
        chain_free(wheel, wheel->free[i]);
    chain_free(wheel, wheel->moving);
    sb_free(wheel->env, wheel->due, due_bytes);
    give_back(wheel, due_bytes);
}

/* The newest entry of a chain; no block of one is empty. */
static const struct sb_wheel_entry *chain_last(const struct sb_wheel_block *chain)
{
    return &chain->entries[chain->count - 1];
}

static void chain_pop(struct sb_wheel *wheel, struct sb_wheel_block **chain)
{
    struct sb_wheel_block *block = *chain;

    if (--block->count > 0)
        return;
    *chain = block->next;
    block_give(wheel, block);
}

static sabot_status chain_push(struct sb_wheel *wheel,
                               struct sb_wheel_block **chain,
                               uint64_t time,
                               uint64_t mark)
{
    struct sb_wheel_block *block = *chain;
    struct sb_wheel_entry *last;

    if (block == NULL || block->count == block_room[block->size]) {
        const uint32_t size = block == NULL                      ? 0
                              : block->size + 1 < SB_WHEEL_SIZES ? block->size + 1
                                                                 : block->size;
        struct sb_wheel_block *newest = block_take(wheel, size);

        if (newest == NULL)
            return SABOT_ERR_MEMORY;
        newest->next = block;
        newest->count = 0;
        *chain = newest;
        block = newest;
    }
    last = &block->entries[block->count++];
    last->time = time;
    last->mark = mark;
    return SABOT_OK;
}

/* --- The heap of what is due --------------------------------------------------------------------
 */

static sabot_status due_grow(struct sb_wheel *wheel)
{
    const uint32_t room = wheel->due_room == 0 ? DUE_MIN : wheel->due_room * 2;
    const uint64_t bytes = (uint64_t)wheel->due_room * sizeof *wheel->due;
    struct sb_wheel_entry *due;

    if (wheel->due_room > UINT32_MAX / 4 || !reserve(wheel, room * sizeof *due))
        return SABOT_ERR_MEMORY;
    due = sb_alloc_array(wheel->env, room, sizeof *due);
    if (due == NULL) {
        give_back(wheel, room * sizeof *due);
        return SABOT_ERR_MEMORY;
    }
    if (wheel->due_count > 0)
        memcpy(due, wheel->due, wheel->due_count * sizeof *due);
    sb_free(wheel->env, wheel->due, bytes);
    give_back(wheel, bytes);
    wheel->due = due;
    wheel->due_room = room;
    return SABOT_OK;
}

static sabot_status due_push(struct sb_wheel *wheel, uint64_t time, uint64_t mark)
{
    struct sb_wheel_entry *due;
    uint32_t at = wheel->due_count;

    if (at == wheel->due_room)
        SABOT_TRY(due_grow(wheel));
    due = wheel->due;
    for (; at > 0 && due[(at - 1) / 2].time > time; at = (at - 1) / 2)
        due[at] = due[(at - 1) / 2];
    due[at] = (struct sb_wheel_entry){time, mark};
    wheel->due_count++;
    return SABOT_OK;
}

static void due_pop(struct sb_wheel *wheel)
{
    struct sb_wheel_entry *due = wheel->due;
    const struct sb_wheel_entry last = due[--wheel->due_count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= wheel->due_count)
            break;
        if (child + 1 < wheel->due_count && due[child + 1].time < due[child].time)
            child++;
        if (due[child].time >= last.time)
            break;
        due[at] = due[child];
        at = child;
    }
    due[at] = last;
}

/* --- Slots --------------------------------------------------------------------------------------
 */

static void mark_used(struct sb_wheel *wheel, uint32_t slot, bool used)
{
    const uint64_t bit = (uint64_t)1 << (slot % 64);
    uint64_t *word = &wheel->used[slot / SB_WHEEL_DIGITS][slot % SB_WHEEL_DIGITS / 64];

    *word = used ? *word | bit : *word & ~bit;
}

static uint32_t digit_of(uint64_t time, uint32_t level)
{
    return (uint32_t)(time >> (level * DIGIT_BITS)) & (SB_WHEEL_DIGITS - 1);
}

sabot_status sb_wheel_add(struct sb_wheel *wheel, uint64_t time, uint64_t mark)
{
    const uint64_t differing = time ^ wheel->now;
    sabot_status status;

    if (time < wheel->now) {
        status = due_push(wheel, time, mark);
    } else {
        const uint32_t level =
            differing == 0 ? 0 : (63U - (uint32_t)__builtin_clzll(differing)) / DIGIT_BITS;
        const uint32_t slot = level * SB_WHEEL_DIGITS + digit_of(time, level);

        status = chain_push(wheel, &wheel->slots[slot], time, mark);
        if (status == SABOT_OK)
            mark_used(wheel, slot, true);
    }
    wheel->count += status == SABOT_OK;
    return status;
}

/* The first used slot of a level from a digit on; SB_WHEEL_DIGITS: none. */
static uint32_t find_used(const struct sb_wheel *wheel, uint32_t level, uint32_t digit)
{
    for (uint32_t word = digit / 64; word < SB_WHEEL_WORDS; word++) {
        const uint64_t from = word == digit / 64 ? UINT64_MAX << (digit % 64) : UINT64_MAX;
        const uint64_t used = wheel->used[level][word] & from;

        if (used != 0)
            return word * 64 + (uint32_t)__builtin_ctzll(used);
    }
    return SB_WHEEL_DIGITS;
}

/* When a slot begins, by the digits of now above its own. */
static uint64_t slot_start(const struct sb_wheel *wheel, uint32_t slot)
{
    const uint32_t level = slot / SB_WHEEL_DIGITS;
    const uint32_t shift = level * DIGIT_BITS;
    const uint64_t above =
        level + 1 == SB_WHEEL_LEVELS ? 0 : wheel->now >> (shift + DIGIT_BITS) << DIGIT_BITS;

    return (above | slot % SB_WHEEL_DIGITS) << shift;
}

/* The next slot that has entries, now's own of level 0 included; SB_WHEEL_SLOTS: none. */
static uint32_t next_slot(const struct sb_wheel *wheel)
{
    for (uint32_t level = 0; level < SB_WHEEL_LEVELS; level++) {
        const uint32_t found = find_used(wheel, level, digit_of(wheel->now, level));

        if (found < SB_WHEEL_DIGITS)
            return level * SB_WHEEL_DIGITS + found;
    }
    return SB_WHEEL_SLOTS;
}

/* Take all entries of a slot, to be added again. */
static void detach(struct sb_wheel *wheel, uint32_t slot)
{
    SB_ASSERT(wheel->moving == NULL);
    wheel->moving = wheel->slots[slot];
    wheel->moving_from = slot_start(wheel, slot);
    wheel->slots[slot] = NULL;
    mark_used(wheel, slot, false);
}

static sabot_status move_one(struct sb_wheel *wheel)
{
    const struct sb_wheel_entry *entry = chain_last(wheel->moving);

    SABOT_TRY(sb_wheel_add(wheel, entry->time, entry->mark));
    wheel->count--;
    chain_pop(wheel, &wheel->moving);
    return SABOT_OK;
}

static sabot_status move_down(struct sb_wheel *wheel, uint32_t *moves)
{
    wheel->sifting = false; /* what is left of the slot comes next: there is no time to sort it */
    while (wheel->moving != NULL) {
        if (*moves == 0)
            return SABOT_AGAIN;
        --*moves;
        SABOT_TRY(move_one(wheel));
    }
    return SABOT_OK;
}

/* --- The front ----------------------------------------------------------------------------------
 */

/* Fill `ready` from slots of level 0, now's own first. */
static void fetch(struct sb_wheel *wheel, uint64_t limit)
{
    wheel->ready_at = 0;
    wheel->ready_count = 0;
    for (;;) {
        const uint32_t slot = find_used(wheel, 0, digit_of(wheel->now, 0));
        struct sb_wheel_block **chain = &wheel->slots[slot];

        if (slot == SB_WHEEL_DIGITS || slot_start(wheel, slot) > limit)
            return;
        wheel->now = slot_start(wheel, slot);
        while (*chain != NULL && wheel->ready_count < SB_WHEEL_READY) {
            wheel->ready[wheel->ready_count++] = *chain_last(*chain);
            chain_pop(wheel, chain);
        }
        if (*chain != NULL)
            return;
        mark_used(wheel, slot, false);
        if (wheel->ready_count == SB_WHEEL_READY)
            return;
    }
}

/* Entries of one slot of level 1, in order of time, into `ready`. */
static void sort_ready(struct sb_wheel *wheel, const struct sb_wheel_entry *entries, uint32_t count)
{
    uint16_t first[SB_WHEEL_DIGITS]; /* entry of a digit, where `used` has its bit */
    uint16_t next[SB_WHEEL_READY];   /* of the same digit */
    uint64_t used[SB_WHEEL_WORDS] = {0};

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t digit = digit_of(entries[i].time, 0);
        const uint64_t bit = (uint64_t)1 << (digit % 64);

        next[i] = (used[digit / 64] & bit) != 0 ? first[digit] : SB_WHEEL_READY;
        used[digit / 64] |= bit;
        first[digit] = (uint16_t)i;
    }
    for (uint32_t word = 0; word < SB_WHEEL_WORDS; word++)
        for (; used[word] != 0; used[word] &= used[word] - 1)
            for (uint32_t i = first[word * 64 + (uint32_t)__builtin_ctzll(used[word])];
                 i < SB_WHEEL_READY; i = next[i])
                wheel->ready[wheel->ready_count++] = entries[i];
}

/* A slot of level 1 that has few entries, all of them due: they needn't go by level 0. */
static bool fetch_whole(struct sb_wheel *wheel, uint32_t slot, uint64_t limit)
{
    struct sb_wheel_entry entries[SB_WHEEL_READY];
    struct sb_wheel_block **chain = &wheel->slots[slot];
    uint32_t count = 0;

    if (slot / SB_WHEEL_DIGITS != 1 || slot_start(wheel, slot) + SB_WHEEL_DIGITS - 1 > limit)
        return false;
    for (const struct sb_wheel_block *block = *chain; block != NULL; block = block->next)
        count += block->count;
    if (count > SB_WHEEL_READY)
        return false;
    for (count = 0; *chain != NULL;) {
        struct sb_wheel_block *block = *chain;

        memcpy(entries + count, block->entries, block->count * sizeof *entries);
        count += block->count;
        *chain = block->next;
        block_give(wheel, block);
    }
    mark_used(wheel, slot, false);
    wheel->ready_at = 0;
    wheel->ready_count = 0;
    sort_ready(wheel, entries, count);
    wheel->now = wheel->ready[count - 1].time;
    return true;
}

/* Go on to the next entries that are not after `limit`. */
static sabot_status advance(struct sb_wheel *wheel, uint64_t limit, uint32_t *moves)
{
    for (;;) {
        uint32_t slot;

        SABOT_TRY(move_down(wheel, moves));
        slot = next_slot(wheel);
        if (slot == SB_WHEEL_SLOTS || slot_start(wheel, slot) > limit) {
            wheel->now = limit > wheel->now ? limit : wheel->now;
            return SABOT_OK;
        }
        if (fetch_whole(wheel, slot, limit))
            return SABOT_OK;
        wheel->now = slot_start(wheel, slot);
        if (slot < SB_WHEEL_DIGITS) {
            fetch(wheel, limit);
            return SABOT_OK;
        }
        detach(wheel, slot);
    }
}

static bool due_is_first(const struct sb_wheel *wheel)
{
    return wheel->due_count > 0 && (wheel->ready_at == wheel->ready_count ||
                                    wheel->due[0].time <= wheel->ready[wheel->ready_at].time);
}

sabot_status sb_wheel_peek(struct sb_wheel *wheel,
                           uint64_t limit,
                           uint32_t *moves,
                           const struct sb_wheel_entry **entry_out)
{
    *entry_out = NULL;
    if (wheel->due_count == 0 && wheel->ready_at == wheel->ready_count)
        SABOT_TRY(advance(wheel, limit, moves));
    if (due_is_first(wheel))
        *entry_out = &wheel->due[0];
    else if (wheel->ready_at < wheel->ready_count)
        *entry_out = &wheel->ready[wheel->ready_at];
    return SABOT_OK;
}

void sb_wheel_pop(struct sb_wheel *wheel)
{
    if (due_is_first(wheel))
        due_pop(wheel);
    else
        wheel->ready_at++;
    wheel->count--;
}

uint64_t sb_wheel_next(const struct sb_wheel *wheel)
{
    const uint32_t slot = next_slot(wheel);
    uint64_t earliest = slot == SB_WHEEL_SLOTS ? UINT64_MAX : slot_start(wheel, slot);

    if (wheel->moving != NULL && wheel->moving_from < earliest)
        earliest = wheel->moving_from;
    if (wheel->ready_at < wheel->ready_count)
        earliest = wheel->ready[wheel->ready_at].time;
    if (wheel->due_count > 0 && wheel->due[0].time < earliest)
        earliest = wheel->due[0].time;
    return earliest;
}

/* --- Sorting out --------------------------------------------------------------------------------
 */

void sb_wheel_sift(struct sb_wheel *wheel,
                   uint32_t count,
                   bool (*wanted)(void *context, const struct sb_wheel_entry *entry),
                   void *context)
{
    if (!wheel->sifting && wheel->moving != NULL)
        return; /* the slot that comes next is on its way */
    if (!wheel->sifting)
        wheel->sift_at = 0;
    wheel->sifting = true;
    while (count > 0) {
        if (wheel->moving == NULL) {
            while (wheel->sift_at < SB_WHEEL_SLOTS && wheel->slots[wheel->sift_at] == NULL)
                wheel->sift_at++;
            wheel->sifting = wheel->sift_at < SB_WHEEL_SLOTS;
            if (!wheel->sifting)
                return;
            detach(wheel, wheel->sift_at++);
        }
        count--;
        if (wanted(context, chain_last(wheel->moving))) {
            if (move_one(wheel) != SABOT_OK)
                return; /* it stays where it is; another time */
        } else {
            wheel->count--;
            chain_pop(wheel, &wheel->moving);
        }
    }
}
