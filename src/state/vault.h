/* SPDX-License-Identifier: Apache-2.0 */
/* vault.h - the inside of a store, for the files that are the store: store.c, value.c, list.c,
 * map.c, timer.c, ttl.c, snapshot.c, restore.c, spill.c, image.c, image_read.c.
 *
 *     vault --- states[] --- tables[shard] --- index of keys    -> cells of keys
 *        |                                 \-- index of entries -> cells of a map's entries
 *        \----- cells[shard]: the arena of a shard, shared by its states
 *
 * A cell in memory (offsets in bytes; parts in brackets only where the state has them):
 *
 *     0    size of the key (17 bits) | height of the tower (4) | flags (11)
 *     4    size of the value
 *     8    [time of the last refresh, int64: states with a time to live]
 *     ..   [map's entry: reference of the key's cell, then a tower of references, padded to 8]
 *     ..   key, padded to 8
 *     ..   value
 *
 * Invariants: a cell that an index names is not in the list of the dead; a cell without rows behind
 * it (rows.h) is never CELL_ABSENT; no cell is changed before sb_cell_change() (or sb_cell_touch())
 * was told, in each callback anew: a snapshot may have begun since. */
#ifndef SB_STATE_VAULT_H
#define SB_STATE_VAULT_H

#include <string.h>

#include "base/mem.h"
#include "state/image.h"
#include "state/index.h"
#include "state/rows.h"

struct sb_cell {
    uint32_t head;
    uint32_t size; /* bytes of the value */
};

enum {
    SB_CELL_KEY_MASK = (1 << 17) - 1,
    SB_CELL_HEIGHT_SHIFT = 17,
    SB_CELL_HEIGHT_MASK = 15,
    SB_CELL_ABSENT = 1 << 21, /* stands for "there is none" (rows behind it) */
    SB_CELL_DIRTY = 1 << 22,  /* the row behind it is older */
    SB_CELL_HOT = 1 << 23,    /* used since the hand of the clock came by */
    SB_CELL_GONE = 1 << 24,   /* removed while somebody may still look at it */
    SB_CELL_PARITY = 1 << 25, /* dirty: of which generation */
    SB_CELL_ROW = 1 << 26,    /* a row may be there */
    SB_SWEEP_SLOTS = 4096,    /* slots looked at for expired cells, per state and batch */
};

/* The tag of a state's cells in the arena: those of keys (and timers), or what hangs on them, the
 * entries of maps and the segments of lists. */
enum { SB_TAG_KEYS = 0, SB_TAG_PARTS = 1, SB_TAGS_PER_STATE = 2 };

struct sb_table {
    struct sb_index keys;
    struct sb_index entries; /* maps only */
};

struct sb_state {
    struct sb_state_spec spec;
    uint32_t index;        /* in the store */
    uint32_t fixed_size;   /* of a value; 0: any */
    uint32_t key_offset;   /* in the cell of a key */
    uint32_t entry_offset; /* in an entry's cell: of its owner and tower */
    bool hinted;           /* sb_store_fetch() leaves hints for its values */
    bool keys_expire;      /* the cells of keys have a time */
    bool entries_expire;   /* those of entries have one */
    bool backed;           /* there are rows behind the cells */
    uint32_t sweep_shard;  /* where the sweep goes on */
    uint64_t sweep_at;
    uint32_t rows_shard;      /* where the sweep of lists in rows goes on: */
    struct sb_buffer rows_at; /* from this row; empty: from the first of the shard */
    struct sb_table *tables;  /* SB_SHARD_COUNT */
    struct sb_account_line line;
    struct sb_wheel *wheel; /* timers only */
};

/* A barrier that the state was imaged at: what has changed since is of a later epoch. */
struct sb_image_mark {
    int64_t id; /* of the checkpoint; 0: none */
    uint32_t epoch;
};

/* An image in the making (image.c). */
struct sb_imaging {
    struct sb_cells_watch watch;
    struct sb_buffer layout;       /* what stands before the chunks of every image */
    uint32_t epoch;                /* of what changes now, in all arenas */
    struct sb_image_mark marks[2]; /* the newest, and the one that the last image was based on */
    bool active;
    bool failed;
    uint32_t node;                        /* of the flow, */
    uint32_t worker;                      /* and who: whose blocks these are */
    uint32_t since;                       /* chunks that changed in later epochs are taken */
    uint32_t until;                       /* but in none later than this */
    uint32_t shard;                       /* where the copier stands; */
    uint32_t chunk;                       /* 0: before the shard's directory */
    size_t layout_at;                     /* bytes of the layout that are out */
    uint64_t listed[SB_SHARD_COUNT / 64]; /* shards whose directory is out, or that have none */
    uint64_t chunks;                      /* taken so far */
    struct sb_image_sink sink;
    struct sb_image_block *copies; /* being filled; NULL: none */
    struct sb_image_block *lists;
    sabot_error error; /* failed */
};

/* Where the cell of a key is that will soon be used: found by sb_store_fetch(), for states of
 * values without a time to live. It lies at the lowest bits of the hash, and is forgotten when the
 * cell is removed. */
struct sb_hint {
    uint64_t hash;
    struct sb_cell *cell;
    uint8_t *key; /* in the cell */
    sb_ref ref;
    uint32_t state; /* SB_HINT_NONE: there is none */
};
#define SB_HINT_NONE UINT32_MAX

/* Where a walk over slabs stands. */
struct sb_spill_place {
    uint32_t shard;
    uint32_t chunk;
};

/* A timer that was set and is not in the index and the queue yet. */
struct sb_staged_timer {
    uint64_t hash; /* of the key */
    int64_t time_ms;
    uint16_t state;
    uint16_t key_size;
    uint8_t key[44];
};

enum {
    SB_HINTS = 128,
    SB_STAGED_TIMERS = 32,
    SB_WALKS_MAX = 16,
    SB_SEGMENT_ROW_HEAD = 8, /* bytes before the elements in a segment's row */
};

struct sb_vault {
    struct sb_store store; /* first: a store is its vault */
    struct sb_hint hints[SB_HINTS];
    struct sb_staged_timer staged[SB_STAGED_TIMERS];
    uint32_t staged_count;
    int64_t staged_ms[2]; /* by clock: none of them is before this time */
    struct sb_store_config config;
    struct sb_state *states;
    struct sb_pool pool;
    struct sb_cells cells[SB_SHARD_COUNT];
    uint64_t dead_shards[SB_SHARD_COUNT / 64]; /* have cells to bury */
    uint8_t *zeros;                            /* what is read where nothing is */
    size_t zeros_size;
    int64_t processing_ms; /* the wall clock, as sb_store_time() gave it */
    sabot_error error;     /* of the first failure */
    /* With rows (spill.c): */
    struct sb_buffer row;       /* the key of a row, being made */
    struct sb_buffer row_value; /* and its value */
    struct sb_arena scratch;    /* copies of rows for the callback that walks them */
    struct sb_rows_walk *walks[SB_WALKS_MAX];
    uint32_t parity;               /* SB_CELL_PARITY or 0: of what becomes dirty now */
    bool has_adopted;              /* its rows are those of an earlier store */
    bool frozen;                   /* only the older generation may be written */
    bool was_frozen;               /* there are checkpoints of the rows: */
    int64_t frozen_ms[2];          /* the clocks at the last freeze */
    bool rows_left;                /* of the older generation, not all are written: */
    struct sb_spill_place rows_at; /* from here on */
    uint32_t rows_until;           /* the epoch that it ended with; */
    uint32_t rows_since;           /* all that changed up to this one is written */
    bool has_left;                 /* cells whose rows are collected, and not seen by reads yet */
    bool no_room;                  /* frozen: nothing that may be written could leave */
    uint32_t hand;                 /* table that the clock's hand is at */
    uint32_t hand_idle;            /* tables it has passed since a cell left */
    uint64_t hand_at;
    struct sb_imaging imaging;
};

static inline struct sb_vault *sb_vault_of(struct sb_store *store)
{
    return (struct sb_vault *)(void *)store;
}
static inline const struct sb_vault *sb_vault_of_const(const struct sb_store *store)
{
    return (const struct sb_vault *)(const void *)store;
}
static inline struct sb_state *sb_state_of(struct sb_vault *vault, uint32_t state)
{
    SB_ASSERT(state < vault->config.state_count);
    return &vault->states[state];
}

/* --- Cells --------------------------------------------------------------------------------------
 */

static inline uint16_t sb_state_tag(const struct sb_state *state, uint32_t part)
{
    return (uint16_t)(state->index * SB_TAGS_PER_STATE + part);
}
static inline uint32_t sb_pad8(uint32_t size)
{
    return (size + 7U) & ~7U;
}
static inline uint32_t sb_cell_key_size(const struct sb_cell *cell)
{
    return cell->head & SB_CELL_KEY_MASK;
}
static inline uint8_t *sb_cell_key(const struct sb_state *state, const struct sb_cell *cell)
{
    return (uint8_t *)(uintptr_t)cell + state->key_offset;
}
static inline uint8_t *sb_cell_value(const struct sb_state *state, const struct sb_cell *cell)
{
    return sb_cell_key(state, cell) + sb_pad8(sb_cell_key_size(cell));
}
/* Bytes of the whole cell of a key. */
static inline uint32_t sb_cell_bytes(const struct sb_state *state, const struct sb_cell *cell)
{
    return state->key_offset + sb_pad8(sb_cell_key_size(cell)) + cell->size;
}
static inline int64_t sb_cell_time(const struct sb_cell *cell)
{
    int64_t time_ms;

    memcpy(&time_ms, cell + 1, sizeof time_ms);
    return time_ms;
}
static inline void sb_cell_set_time(struct sb_cell *cell, int64_t time_ms)
{
    memcpy(cell + 1, &time_ms, sizeof time_ms);
}
static inline bool sb_same_bytes(const void *one, const void *other, size_t size)
{
    if (size == 8) {
        uint64_t a;
        uint64_t b;

        memcpy(&a, one, sizeof a);
        memcpy(&b, other, sizeof b);
        return a == b;
    }
    return size == 0 || memcmp(one, other, size) == 0;
}

struct sb_key {
    sabot_text text;
    uint64_t hash;
};

/* The cell of a key; 0: none. */
static inline sb_ref sb_key_find(const struct sb_vault *vault,
                                 const struct sb_state *state,
                                 struct sb_key key,
                                 struct sb_cell **cell_out)
{
    const uint32_t shard = sb_hash_shard(key.hash);
    struct sb_probe probe = sb_index_probe(&state->tables[shard].keys, key.hash);
    sb_ref ref;

    while ((ref = sb_index_match(&probe)) != 0) {
        struct sb_cell *cell = sb_cell_at(&vault->cells[shard], ref);

        if (sb_cell_key_size(cell) == key.text.size &&
            sb_same_bytes(sb_cell_key(state, cell), key.text.data, key.text.size)) {
            *cell_out = cell;
            return ref;
        }
    }
    return 0;
}

/* The hint for a key, when it is right; else NULL. */
static inline const struct sb_hint *sb_key_hint(const struct sb_vault *vault,
                                                uint32_t state,
                                                sabot_text key,
                                                uint64_t hash)
{
    const struct sb_hint *hint = &vault->hints[hash % SB_HINTS];

    if (hint->hash != hash || hint->state != state || sb_cell_key_size(hint->cell) != key.size ||
        !sb_same_bytes(hint->key, key.data, key.size))
        return NULL;
    return hint;
}

/* A new cell of a key with a zeroed value of `size` bytes, in the index, refreshed now. */
sabot_status sb_key_create(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           uint32_t size,
                           struct sb_cell **cell_out,
                           sb_ref *ref_out,
                           sabot_error *error);
/* Is a value of this size allowed? */
sabot_status sb_value_check(const struct sb_vault *vault,
                            const struct sb_state *state,
                            size_t size,
                            sabot_error *error);
/* Forget a key for good: remove it, and with rows remember that there is none. */
sabot_status sb_key_erase(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          sb_ref ref,
                          sabot_error *error);
/* Out of the index; its bytes stay readable until the callback has ended. */
void sb_key_remove(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref);

/* The whole of a key, whatever its kind: its cell, and the segments or entries that hang on it. */
void sb_key_forget(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref);

/* The arena of a shard, made when it is first needed; NULL: no memory. */
struct sb_cells *sb_vault_cells(struct sb_vault *vault, uint32_t shard);
/* A cell whose memory comes back when the callback has ended; `bytes` as it was counted. */
void sb_vault_drop(struct sb_vault *vault,
                   struct sb_state *state,
                   uint32_t shard,
                   sb_ref ref,
                   uint32_t bytes);
/* Free what was dropped. */
void sb_vault_bury(struct sb_vault *vault);
sabot_status sb_vault_no_memory(struct sb_vault *vault,
                                const struct sb_state *state,
                                sabot_error *error);
/* Keep the first failure. */
sabot_status sb_vault_fail(struct sb_vault *vault, const sabot_error *error);

/* --- Lists (list.c) ------------------------------------------------------------------------------
 *
 * The value of a key's cell. Elements have numbers, counted on from 0; they lie in segments, which
 * never grow, so that no element moves. */
struct sb_list {
    uint64_t first; /* number of the oldest element */
    uint64_t next;  /* number of the next one to come; first < next */
    sb_ref first_segment;
    sb_ref last_segment;
    /* With rows: */
    uint64_t memory_first; /* number of the first element in memory; those before are in rows */
    uint64_t rows_first;   /* no row begins before this number */
};

struct sb_segment {
    struct sb_cell cell; /* .size: bytes of the elements' room */
    uint64_t first;      /* number of its first element */
    uint32_t count;      /* elements */
    uint32_t used;       /* bytes */
    sb_ref next;         /* segment; 0: the last */
    uint32_t written;    /* elements that are in its row */
};

/* No elements any more. In memory the cell goes with them; with rows it says that there are none,
 * and keeps the next number, so that the rows of the old elements are told from new ones. */
void sb_list_erase(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref);
void sb_list_drop_segments(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           struct sb_list *list);

/* --- Shards put into place (image_check.c) -------------------------------------------------------
 */

/* A segment that is to be come by. */
void sb_segment_mark(struct sb_segment *segment);
/* Follow every list and map: is each whole, with so many marked segments and entries in all? */
SABOT_MUST_CHECK bool sb_parts_are_whole(const struct sb_vault *vault,
                                         uint32_t shard,
                                         uint64_t parts);

/* --- Maps (map.c) --------------------------------------------------------------------------------
 *
 * The value of a key's cell: the head of a skip list (W. Pugh, 1990) of the entries' cells in byte
 * order of their keys. The index of entries finds one without walking it. */
enum { SB_MAP_HEIGHT_MAX = 8 };

struct sb_map {
    sb_ref tower[SB_MAP_HEIGHT_MAX];
    uint64_t count; /* entries in memory */
};

/* What lies between the head of an entry's cell and its key. */
struct sb_entry {
    sb_ref owner;   /* the cell of the key */
    sb_ref tower[]; /* the next entry at each height */
};

static inline uint32_t sb_entry_height(const struct sb_cell *cell)
{
    return cell->head >> SB_CELL_HEIGHT_SHIFT & SB_CELL_HEIGHT_MASK;
}
static inline struct sb_entry *sb_entry_of(const struct sb_state *state, const struct sb_cell *cell)
{
    return (struct sb_entry *)(void *)((uint8_t *)(uintptr_t)cell + state->entry_offset);
}
static inline uint8_t *sb_entry_key(const struct sb_state *state, const struct sb_cell *cell)
{
    return (uint8_t *)(uintptr_t)cell + state->entry_offset +
           sb_pad8((uint32_t)sizeof(sb_ref) * (1 + sb_entry_height(cell)));
}
static inline uint8_t *sb_entry_value(const struct sb_state *state, const struct sb_cell *cell)
{
    return sb_entry_key(state, cell) + sb_pad8(sb_cell_key_size(cell));
}
static inline uint32_t sb_entry_bytes(const struct sb_state *state, const struct sb_cell *cell)
{
    return (uint32_t)(sb_entry_value(state, cell) - (const uint8_t *)cell) + cell->size;
}

/* Byte order, the shorter first. */
static inline int sb_compare_bytes(const void *one, size_t one_size, const void *other, size_t size)
{
    const size_t common = one_size < size ? one_size : size;
    const int order = common == 0 ? 0 : memcmp(one, other, common);

    if (order != 0)
        return order;
    return one_size < size ? -1 : one_size > size;
}

/* The hash of an entry: its shard is the key's. */
static inline uint64_t sb_entry_hash(uint64_t key_hash, sabot_text entry)
{
    return (key_hash & ~(UINT64_MAX >> 7)) | sb_hash(entry.data, entry.size, key_hash) >> 7;
}

/* The first entry in order that isn't less than `from`; 0: none. */
sb_ref sb_map_seek(const struct sb_vault *vault,
                   const struct sb_state *state,
                   uint32_t shard,
                   const struct sb_map *map,
                   sabot_text from);
/* Remove an entry, and the key's cell with the last one. */
void sb_entry_remove(struct sb_vault *vault,
                     struct sb_state *state,
                     uint64_t entry_hash,
                     sb_ref ref);
sabot_status sb_map_clear(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          sabot_error *error);
void sb_map_drop_entries(struct sb_vault *vault,
                         struct sb_state *state,
                         uint64_t key_hash,
                         struct sb_map *map);

/* --- Walks (scan.c) -----------------------------------------------------------------------------
 */

/* What a cursor holds. */
struct sb_walk {
    uint32_t state;
    uint32_t shard;
    sb_ref owner;      /* the cell of the key; 0: nothing to walk */
    sb_ref at;         /* segment or entry that comes next; 0: the end */
    uint32_t element;  /* of the segment */
    uint32_t offset;   /* of the element in the segment */
    sabot_text prefix; /* of a map's keys */
    /* With rows: */
    struct sb_key key;   /* of the map */
    uint32_t rows;       /* 1 + place in the vault's walks; 0: none, or at the end */
    uint32_t row_prefix; /* bytes of a row's key before the segment's number or the entry's key */
    bool has_row;        /* row_key and row_value are the next row */
    bool all;            /* expired entries, too */
    sabot_text row_key;
    sabot_text row_value;
};

sabot_status sb_list_scan(struct sb_vault *vault,
                          struct sb_state *state,
                          struct sb_key key,
                          struct sb_walk *walk,
                          sabot_error *error);
bool sb_list_next(struct sb_vault *vault,
                  struct sb_state *state,
                  struct sb_walk *walk,
                  sabot_text *value_out);
sabot_status sb_map_scan(struct sb_vault *vault,
                         struct sb_state *state,
                         struct sb_key key,
                         struct sb_walk *walk,
                         sabot_error *error);
bool sb_map_next(struct sb_vault *vault,
                 struct sb_state *state,
                 struct sb_walk *walk,
                 sabot_text *key_out,
                 sabot_text *value_out);

/* --- Timers (timer.c) ----------------------------------------------------------------------------
 */

/* The cell of a timer; its key follows. */
struct sb_timer {
    struct sb_cell cell;
    int64_t time_ms;
    uint32_t serial; /* of its entry in the queue */
    uint32_t spare;
};

SABOT_MUST_CHECK sabot_status sb_wheel_create(struct sb_vault *vault, struct sb_state *state);
void sb_wheel_destroy(struct sb_vault *vault, struct sb_state *state);

/* Enter the timers that are only noted, before anybody looks. SABOT_ERR_MEMORY: the rest stays. */
SABOT_MUST_CHECK sabot_status sb_timer_settle(struct sb_vault *vault, sabot_error *error);

bool sb_timer_is_far(const struct sb_vault *vault,
                     const struct sb_state *state,
                     const struct sb_cell *cell,
                     int64_t near_ms);
/* Out of memory; its row is written. */
void sb_timer_evict(struct sb_vault *vault, struct sb_state *state, uint64_t hash, sb_ref ref);
/* From its row; nothing happens when it is in memory: *new_out. */
sabot_status sb_timer_load(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           sabot_text key,
                           uint64_t time,
                           bool *new_out,
                           sabot_error *error);

/* Into the index and the queue: a timer whose cell a restore has put back into place. */
sabot_status sb_timer_adopt(struct sb_vault *vault,
                            struct sb_state *state,
                            uint32_t shard,
                            sb_ref ref,
                            sabot_error *error);

/* --- Images (image.c) ----------------------------------------------------------------------------
 */

sabot_status sb_imaging_init(struct sb_vault *vault);
void sb_imaging_reset(struct sb_vault *vault);

/* --- Rows behind the cells (spill.c) ------------------------------------------------------------
 */

sabot_status sb_spill_init(struct sb_vault *vault, sabot_error *error);
void sb_spill_reset(struct sb_vault *vault);
/* The clocks by which the database may drop rows. */
void sb_spill_tell_time(struct sb_vault *vault, const int64_t now_ms[2]);
/* Make the cell of a key that isn't in memory, from its row; SB_CELL_ABSENT when there is none. */
sabot_status sb_spill_load_key(struct sb_vault *vault,
                               struct sb_state *state,
                               struct sb_key key,
                               struct sb_cell **cell_out,
                               sb_ref *ref_out,
                               sabot_error *error);
/* The row of an entry that isn't in memory. data == NULL: there is none. */
sabot_status sb_spill_get_entry(struct sb_vault *vault,
                                struct sb_state *state,
                                struct sb_key key,
                                sabot_text entry,
                                sabot_text *value_out,
                                int64_t *time_out,
                                sabot_error *error);
/* Before a cell is removed from memory: one of the older generation is written as it was. */
void sb_spill_settle(struct sb_vault *vault,
                     struct sb_state *state,
                     uint32_t shard,
                     struct sb_cell *cell);
/* A cell that says there is none: write that, when it is dirty and may be. True: it may go, for
 * that is seen by reads. */
bool sb_spill_write_absent(struct sb_vault *vault,
                           struct sb_state *state,
                           uint32_t shard,
                           struct sb_cell *cell);
bool sb_spill_is_full(const struct sb_vault *vault);
sabot_status sb_spill_tidy(struct sb_vault *vault, sabot_error *error);
/* A generation ends here, after the changes of epoch `until`. One that was not written in whole,
 * because its checkpoint was given up, is written now; when that fails, nothing ends. */
sabot_status sb_spill_freeze(struct sb_vault *vault, uint32_t until, sabot_error *error);
/* Some rows of it, until rows_left is false. After an error, which is of the database, it may be
 * called again. */
sabot_status sb_spill_write_some(struct sb_vault *vault, uint32_t rows, sabot_error *error);
/* All that is dirty; while it is frozen, of the older generation. */
sabot_status sb_spill_write_all(struct sb_vault *vault, sabot_error *error);
/* Walk the rows of a list's segments from a number on, or of a map's entries with walk->prefix. */
sabot_status sb_spill_walk(struct sb_vault *vault,
                           struct sb_state *state,
                           struct sb_key key,
                           uint64_t number,
                           struct sb_walk *walk,
                           sabot_error *error);
/* The next row: its key without what all have. */
bool sb_spill_next(struct sb_vault *vault,
                   struct sb_walk *walk,
                   sabot_text *key_out,
                   sabot_text *value_out);
void sb_spill_end_walks(struct sb_vault *vault);
/* Load timers from a time on, some of each shard; *rest_out: where the others begin. */
sabot_status sb_spill_load_timers(struct sb_vault *vault,
                                  struct sb_state *state,
                                  uint64_t from,
                                  uint64_t *rest_out,
                                  sabot_error *error);
/* Every row of a shard of a state, in order; the key without operator, shard and state. */
typedef sabot_status (*sb_spill_function)(void *context, sabot_text key, sabot_text value);
sabot_status sb_spill_each(struct sb_vault *vault,
                           const struct sb_state *state,
                           uint32_t shard,
                           sb_spill_function each,
                           void *context,
                           sabot_error *error);
/* Look at some lists that lie in rows, and end those that have expired at `now_ms`. */
sabot_status sb_spill_sweep_lists(struct sb_vault *vault,
                                  struct sb_state *state,
                                  int64_t now_ms,
                                  sabot_error *error);
uint64_t sb_big_number(const uint8_t bytes[8]);

/* The cell of a key, from its row when it isn't in memory; *ref_out 0: none. With rows it may be
 * one that says there is none. */
static inline sabot_status sb_key_locate(struct sb_vault *vault,
                                         struct sb_state *state,
                                         struct sb_key key,
                                         struct sb_cell **cell_out,
                                         sb_ref *ref_out,
                                         sabot_error *error)
{
    *cell_out = NULL;
    *ref_out = sb_key_find(vault, state, key, cell_out);
    if (!state->backed)
        return SABOT_OK;
    if (*ref_out == 0)
        return sb_spill_load_key(vault, state, key, cell_out, ref_out, error);
    (*cell_out)->head |= SB_CELL_HOT;
    return SABOT_OK;
}
/* Before any change of a cell of a key or entry. */
static inline void sb_cell_touch(struct sb_vault *vault,
                                 struct sb_state *state,
                                 uint32_t shard,
                                 sb_ref ref,
                                 struct sb_cell *cell)
{
    sb_cell_change(&vault->cells[shard], ref);
    if (__builtin_expect(!state->backed, 1))
        return;
    if (__builtin_expect(vault->frozen, 0))
        sb_spill_settle(vault, state, shard, cell);
    cell->head =
        (cell->head & ~(uint32_t)SB_CELL_PARITY) | SB_CELL_DIRTY | SB_CELL_HOT | vault->parity;
}

/* --- Time to live (ttl.c) -----------------------------------------------------------------------
 */

bool sb_ttl_is_past(int64_t now_ms, int64_t time_ms, int64_t ttl_ms);
bool sb_state_expired(const struct sb_vault *vault,
                      const struct sb_state *state,
                      const struct sb_cell *cell);
/* The cell is used now. */
void sb_state_refresh(struct sb_vault *vault,
                      struct sb_state *state,
                      uint32_t shard,
                      sb_ref ref,
                      struct sb_cell *cell);
/* Drop some of what has expired. */
void sb_vault_sweep(struct sb_vault *vault);

#endif
