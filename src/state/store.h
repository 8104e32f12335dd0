/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - keyed state, whichever backend holds it: the interface that operators, flow and
 * checkpoints see.
 *
 * A store holds all keyed states of ONE keyed operator on ONE worker thread: those of the shards
 * (base/hash.h) that this thread owns. It never asks who owns a shard; it makes one when a key of
 * it first comes. Every call names a state by its index in the config, a key by its bytes (the
 * text of data/key.h) and the hash of the key, sb_hash(key, seed), which the exchange has computed
 * already.
 *
 *     process.c, per batch     sb_store_time(store, watermark, processing time)
 *     before each row          sb_store_ahead(store, state, hashes of the batch, row, count)
 *     before each callback     sb_store_begin(store, event time of the record)
 *     in the callback          sb_store_read, sb_store_edit, sb_store_put, sb_map_..., sb_timer_...
 *     after it                 sb_store_status(store, error)
 *     at a watermark           sb_store_fire(store, limit, function, context)
 *     at a barrier             sb_store_image_begin(store, config), then sb_store_image_step()
 *
 * Both backends are one piece of code: a table of cells in memory (arena.h, index.h), which is all
 * there is with the memory backend, and which with RocksDB is a write-back cache in front of rows
 * (rows.h). So a cell that is hot costs the same on both.
 *
 * Pointers: what a call of the store gives stays readable, and where it is, until the next
 * sb_store_begin() or sb_store_fire(), whatever else is read, changed, cleared or removed meanwhile
 * (a removed value keeps its old bytes until then).
 *
 * Errors: a read can fail only with RocksDB (and by lack of memory for its cache). The first
 * failure sticks to the store: reads then give zeros, and sb_store_status() tells; nothing that was
 * read after it may be acted on. Changes return a status as well.
 *
 * Ownership: the store owns its memory; the config's texts, schemas, account and rows are borrowed
 * and outlive it. Threads: one, but for the account, which threads share. */
#ifndef SB_STATE_STORE_H
#define SB_STATE_STORE_H

#include "base/hash.h"
#include "data/key.h"
#include "data/schema.h"

enum {
    SB_STATES_MAX = 256,                   /* states of one keyed operator, timers included */
    SB_STATE_VALUE_MAX = 16 * 1024 * 1024, /* bytes of a value, an element, a map's value */
    SB_STATE_KEY_MAX = SB_KEY_MAX,         /* bytes of a key, and of a map's key */
    SB_STATE_FIXED_MAX = 64 * 1024,        /* bytes of a fixed-size struct */
};

/* What a state is. Reducing and aggregating state are kept as a value is; the kind is remembered so
 * that a snapshot isn't restored as something else. */
enum sb_state_kind {
    SB_STATE_VALUE = 1,
    SB_STATE_LIST = 2,
    SB_STATE_MAP = 3,
    SB_STATE_REDUCING = 4,
    SB_STATE_AGGREGATING = 5,
    SB_STATE_TIMERS = 6,
};

enum sb_state_time { SB_TIME_EVENT = 0, SB_TIME_PROCESSING = 1 };

struct sb_state_spec {
    const char *name;
    enum sb_state_kind kind;
    /* The fixed-size struct of a value, element or map's value. NULL: bytes of any size, by get and
     * put. Timers have none. */
    const struct sb_schema *schema;
    /* Bytes of any size that are records packed by this table (row.h): a restore follows its
     * changes. NULL: none of Sabot's business. */
    const struct sb_schema *row_schema;
    /* Time to live: an entry is gone when the clock has come `ttl_ms` past its last refresh. 0:
     * never. Per key; of a map: per entry. In event time a refresh is the record's time, if that is
     * later, and the clock is the greater of the record's time and the watermark: so what a record
     * that isn't late sees depends on the data alone, not on timing. */
    int64_t ttl_ms;
    enum sb_state_time ttl_time; /* timers: the clock that fires them */
    bool ttl_on_read;            /* refreshed by reads, too */
    bool in_memory;              /* kept in memory though the store has rows */
    /* Of a value with a schema: asks for what of it the next callback will touch. NULL: nobody
     * asks. */
    void (*ahead)(const void *value);
};

/* --- The memory of all stores of a process: one number ------------------------------------------
 */

/* Shared by stores on several threads; counts what they hold, and refuses beyond the limit. */
struct sb_account;
/* `limit` 0: no limit. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_account_create(const struct sb_env *env,
                                                uint64_t limit,
                                                struct sb_account **account_out,
                                                sabot_error *error);
void sb_account_destroy(struct sb_account *account); /* all its stores are gone */
uint64_t sb_account_used(const struct sb_account *account);

/* --- The store ----------------------------------------------------------------------------------
 */

struct sb_rows; /* rows.h: the database behind the cells; made by rocksdb.c */

/* The database that the stores of a pipeline share, as checkpoints see it. Threads: the run's
 * control; stage() while no store writes, as between SB_IMAGE_DONE and thaw(). */
struct sb_database {
    /* Make the folder for its files. Those of a checkpoint may be put there. */
    sabot_status (*prepare)(void *context, const char **folder_out, sabot_error *error);
    /* `has_files`: goes on with these. Before this no rows are used. */
    sabot_status (*start)(void *context, bool has_files, sabot_error *error);
    /* All that was written, as files that never change any more, in a folder of their own, which
     * stays until unstage(). */
    sabot_status (*stage)(void *context, const char **folder_out, sabot_error *error);
    void (*unstage)(void *context);
    void *context;
};

/* Reading the files of such a database, of which none is changed. */
struct sb_rows_reader {
    sabot_status (*open)(const struct sb_env *env,
                         const char *folder,
                         struct sb_rows **rows_out,
                         sabot_error *error);
    void (*close)(struct sb_rows *rows); /* NULL: nothing */
};

struct sb_store_config {
    const struct sb_env *env;
    const char *owner; /* the agent's name, for errors */
    const struct sb_state_spec *states;
    uint32_t state_count;
    uint64_t hash_seed;         /* of the hashes of keys */
    struct sb_account *account; /* NULL: not counted */
    struct sb_rows *rows;       /* NULL: the memory backend */
    uint64_t cache_bytes;       /* with rows: memory for cells in front of them */
    uint16_t operator_id;       /* of the pipeline: where its rows begin */
    /* With rows, which the stores of all workers share: the shards s with s % worker_count ==
     * worker are this one's, and it looks for what is in rows there alone. 0: all are. */
    uint32_t worker;
    uint32_t worker_count;
    bool drops_unknown; /* a snapshot's states that are not declared are passed over */
};

/* The part of a store that the inline functions below need. */
struct sb_store {
    int64_t watermark_ms;  /* of the task */
    int64_t now_ms[2];     /* by enum sb_state_time: the clocks that entries expire by */
    int64_t refresh_ms[2]; /* the time that an entry gets when it is refreshed now */
    bool has_work;         /* sb_store_begin has something to do */
    bool shows;            /* a state has a function that looks ahead */
    sabot_status failure;  /* the first failure, which sticks */
};

SABOT_MUST_CHECK sabot_status sb_store_create(const struct sb_store_config *config,
                                              struct sb_store **store_out,
                                              sabot_error *error);
void sb_store_destroy(struct sb_store *store); /* NULL: nothing */

/* --- Around the callbacks -----------------------------------------------------------------------
 */

/* The clocks, once per batch. Neither goes back. */
void sb_store_time(struct sb_store *store, int64_t watermark_ms, int64_t processing_ms);

/* Between two callbacks: nothing that the store gave before is valid after. Frees what was removed,
 * takes a step of the sweep for expired entries, and with rows writes and drops what is cold. */
SABOT_MUST_CHECK sabot_status sb_store_tidy(struct sb_store *store, sabot_error *error);
static inline SABOT_MUST_CHECK sabot_status sb_store_begin(struct sb_store *store,
                                                           int64_t event_time_ms,
                                                           sabot_error *error)
{
    const int64_t watermark_ms = store->watermark_ms;

    store->now_ms[SB_TIME_EVENT] = event_time_ms > watermark_ms ? event_time_ms : watermark_ms;
    store->refresh_ms[SB_TIME_EVENT] = event_time_ms == INT64_MIN ? watermark_ms : event_time_ms;
    if (__builtin_expect(store->has_work, 0))
        return sb_store_tidy(store, error);
    return SABOT_OK;
}

/* The first failure and its text; SABOT_OK: none. */
SABOT_MUST_CHECK sabot_status sb_store_failure(const struct sb_store *store, sabot_error *error);
static inline SABOT_MUST_CHECK sabot_status sb_store_status(const struct sb_store *store,
                                                            sabot_error *error)
{
    if (__builtin_expect(store->failure != SABOT_OK, 0))
        return sb_store_failure(store, error);
    return SABOT_OK;
}

/* A hint, of keys that come soon: fetch the slot of the index for a farther one, and the cell that
 * the slot names for a nearer one. */
void sb_store_fetch(struct sb_store *store, uint32_t index, uint64_t far_hash, uint64_t near_hash);
/* A hint: let the state's `ahead`, if it has one, fetch more of a cell that was fetched. */
void sb_store_show(const struct sb_store *store, uint32_t index, uint64_t hash);

/* Rows between the request for a line of the index, for the cell it names, for more of the cell,
 * and their use. */
enum { SB_ROWS_FAR = 16, SB_ROWS_NEAR = 8, SB_ROWS_SOON = 4 };

/* A hint: row `at` of `count` comes now. Of three behind it, by the hashes of their keys, fetch
 * what each needs next: it finds in the caches what was asked for some rows before. */
static inline void sb_store_ahead(struct sb_store *store,
                                  uint32_t index,
                                  const uint64_t *hashes,
                                  uint32_t at,
                                  uint32_t count)
{
    sb_store_fetch(store, index, hashes[at + SB_ROWS_FAR < count ? at + SB_ROWS_FAR : at],
                   hashes[at + SB_ROWS_NEAR < count ? at + SB_ROWS_NEAR : at]);
    if (store->shows && at + SB_ROWS_SOON < count)
        sb_store_show(store, index, hashes[at + SB_ROWS_SOON]);
}

/* --- Values -------------------------------------------------------------------------------------
 */

/* The cell of a key, of the fixed size of the schema. Never NULL: zeros when there is none. */
const void *sb_store_read(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash);
/* For changing in place: made and zeroed at the first call for the key. NULL: `error` says why
 * (no memory, and which state holds how much; the key is too long). */
void *sb_store_edit(struct sb_store *store,
                    uint32_t index,
                    sabot_text key,
                    uint64_t hash,
                    sabot_error *error);
/* Is there a cell? A value that was edited and left all zeros is one. */
bool sb_store_has(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash);
/* Forget the key: a value; a whole list; a whole map. */
SABOT_MUST_CHECK sabot_status sb_store_clear(struct sb_store *store,
                                             uint32_t index,
                                             sabot_text key,
                                             uint64_t hash,
                                             sabot_error *error);
/* Bytes of any size (a state without a schema). data == NULL: there is none; an empty value has
 * data != NULL and size 0. */
sabot_text sb_store_get(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash);
SABOT_MUST_CHECK sabot_status sb_store_put(struct sb_store *store,
                                           uint32_t index,
                                           sabot_text key,
                                           uint64_t hash,
                                           sabot_text value,
                                           sabot_error *error);

/* --- Lists and maps -----------------------------------------------------------------------------
 */

/* A walk over a list in order of appending, or over a map in byte order of its keys. Ended by the
 * end of the callback, if not before. What is put or removed meanwhile is allowed: a removed entry
 * is not returned, a new one may or may not be. */
struct sb_cursor {
    uint64_t opaque[16];
};
/* Begin. `prefix`: only entries of a map whose key begins with it; of lists and of all: size 0. Its
 * bytes and those of `key` stay good as long as the cursor. */
SABOT_MUST_CHECK sabot_status sb_store_scan(struct sb_store *store,
                                            uint32_t index,
                                            sabot_text key,
                                            uint64_t hash,
                                            sabot_text prefix,
                                            struct sb_cursor *cursor,
                                            sabot_error *error);
/* False at the end. `key_out` (of a map's entry; empty for a list) may be NULL. */
bool sb_store_next(struct sb_store *store,
                   struct sb_cursor *cursor,
                   sabot_text *key_out,
                   sabot_text *value_out);

SABOT_MUST_CHECK sabot_status sb_list_append(struct sb_store *store,
                                             uint32_t index,
                                             sabot_text key,
                                             uint64_t hash,
                                             sabot_text value,
                                             sabot_error *error);
uint64_t sb_list_count(struct sb_store *store, uint32_t index, sabot_text key, uint64_t hash);
/* Drop the oldest elements until at most `keep` are left. */
SABOT_MUST_CHECK sabot_status sb_list_trim(struct sb_store *store,
                                           uint32_t index,
                                           sabot_text key,
                                           uint64_t hash,
                                           uint64_t keep,
                                           sabot_error *error);

/* One entry of the map of a key. data == NULL: there is none. */
sabot_text sb_map_get(struct sb_store *store,
                      uint32_t index,
                      sabot_text key,
                      uint64_t hash,
                      sabot_text entry);
/* With a schema: the entry's cell for changing in place, made and zeroed at the first call. */
void *sb_map_edit(struct sb_store *store,
                  uint32_t index,
                  sabot_text key,
                  uint64_t hash,
                  sabot_text entry,
                  sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_map_put(struct sb_store *store,
                                         uint32_t index,
                                         sabot_text key,
                                         uint64_t hash,
                                         sabot_text entry,
                                         sabot_text value,
                                         sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_map_remove(struct sb_store *store,
                                            uint32_t index,
                                            sabot_text key,
                                            uint64_t hash,
                                            sabot_text entry,
                                            sabot_error *error);

/* --- Timers -------------------------------------------------------------------------------------
 */

/* Register a timer of this key: it fires once, when the clock of the state (event time: the
 * watermark; processing time) has reached `time_ms`. The same key and time is one timer. */
SABOT_MUST_CHECK sabot_status sb_timer_set(struct sb_store *store,
                                           uint32_t index,
                                           sabot_text key,
                                           uint64_t hash,
                                           int64_t time_ms,
                                           sabot_error *error);
/* SABOT_OK also when there is none. */
SABOT_MUST_CHECK sabot_status sb_timer_delete(struct sb_store *store,
                                              uint32_t index,
                                              sabot_text key,
                                              uint64_t hash,
                                              int64_t time_ms,
                                              sabot_error *error);

/* A timer has fired and is gone. Whatever a callback may do is allowed, setting timers included.
 * SABOT_OK: go on. SABOT_AGAIN: this one is done, but stop here. Else: stop with this error. */
typedef sabot_status (*sb_timer_function)(void *context,
                                          uint32_t index, /* of the timers */
                                          sabot_text key,
                                          uint64_t hash,
                                          int64_t time_ms,
                                          sabot_error *error);
/* Fire what is due by sb_store_time(), in order of time per clock, at most `limit` timers; begins a
 * callback (sb_store_begin) for each. SABOT_AGAIN: stopped by the function or by the limit. */
SABOT_MUST_CHECK sabot_status sb_store_fire(struct sb_store *store,
                                            uint32_t limit,
                                            sb_timer_function function,
                                            void *context,
                                            sabot_error *error);
/* No timer of this clock is due before this time; INT64_MAX: there is none. A lower bound. */
int64_t sb_store_next_timer(struct sb_store *store, enum sb_state_time clock);

/* --- Snapshots ----------------------------------------------------------------------------------
 */

/* Where a snapshot goes to and comes from. Read: *size_out < size only at the end. */
struct sb_byte_sink {
    sabot_status (*write)(void *context, const void *bytes, size_t size, sabot_error *error);
    void *context;
};
struct sb_byte_source {
    sabot_status (
        *read)(void *context, void *buffer, size_t size, size_t *size_out, sabot_error *error);
    void *context;
};

/* All states and timers of one shard as a stream of bytes (docs/state.md), equal on both backends.
 * Between callbacks only. */
SABOT_MUST_CHECK sabot_status sb_store_snapshot(struct sb_store *store,
                                                uint32_t shard,
                                                const struct sb_byte_sink *sink,
                                                sabot_error *error);
/* Read one shard into the store, which holds nothing of it yet. States are matched by name, fields
 * by name: an added field takes its default, a removed one is dropped. SABOT_ERR_SCHEMA: the table
 * has changed and its version was not raised; a field changed its type; a state has another kind or
 * is not known. SABOT_ERR_CORRUPT: the bytes are damaged. After an error the store is of no more
 * use. */
SABOT_MUST_CHECK sabot_status sb_store_restore(struct sb_store *store,
                                               const struct sb_byte_source *source,
                                               sabot_error *error);

/* --- Images -------------------------------------------------------------------------------------
 *
 * What a checkpoint takes of a store while the stream goes on. Of states in memory: their chunks as
 * they were at the barrier (image.h has the form). step() copies some chunks into blocks; and
 * whoever changes a chunk that has not had its turn copies it first. Of states with rows: step()
 * writes what was changed before the barrier into the database, and what is changed after it stays
 * in memory until thaw(). So from DONE to thaw() the database holds the state of the barrier, and
 * can be checkpointed, once that is so for all stores that share it.
 *
 * begin() costs the same however large the state is. Between callbacks, on the store's thread.
 *
 *     begin ---> step, step, ... (and callbacks between them) ---> SB_IMAGE_DONE ---> end
 *                with rows: the next begin is not before -----------------------------> thaw
 */

enum {
    SB_IMAGE_BLOCK_CHUNKS = 63,
    SB_IMAGE_BLOCK_MAX = 1024 + SB_IMAGE_BLOCK_CHUNKS * 4096, /* bytes of a block */
};

/* Where blocks come from, and go to. */
struct sb_image_sink {
    /* SB_IMAGE_BLOCK_MAX bytes to fill; NULL: there are none now. `must`: a callback waits for it,
     * and the image is given up without. */
    void *(*take)(void *context, bool must);
    /* It is full: `size` bytes count. 0: it was not needed. */
    void (*give)(void *context, void *block, uint32_t size);
    void *context;
};

enum sb_image_progress {
    SB_IMAGE_GOES_ON,
    SB_IMAGE_WAITS, /* for a block */
    SB_IMAGE_DONE,  /* or it has failed: end() says */
};

/* Count memory that is held for it, as blocks are. False: the limit is reached. */
SABOT_MUST_CHECK bool sb_store_hold(struct sb_store *store, uint64_t bytes);
void sb_store_unhold(struct sb_store *store, uint64_t bytes);

struct sb_image_config {
    uint32_t node;   /* of the flow, */
    uint32_t worker; /* and on which thread: both are told in each block */
    int64_t id;      /* of the checkpoint, from 1 */
    int64_t base;    /* only what has changed since this one, when this store made its image; else,
                        and with 0, all */
    struct sb_image_sink sink;
};
void sb_store_image_begin(struct sb_store *store, const struct sb_image_config *config);
/* Copy up to so many chunks, or write a few times as many rows. */
enum sb_image_progress sb_store_image_step(struct sb_store *store, uint32_t chunks);
/* SABOT_OK: all was given to the sink. Before SB_IMAGE_DONE: it is given up. */
SABOT_MUST_CHECK sabot_status sb_store_image_end(struct sb_store *store, sabot_error *error);
/* With rows: the database was checkpointed, or that was given up: newer rows may be written. */
void sb_store_thaw(struct sb_store *store);
/* Nothing should be changed any more before thaw(): what was changed since the barrier has filled
 * the memory for it. */
bool sb_store_is_held(const struct sb_store *store);
/* Rows of an image that was given up, which the next one would have to wait for: write a few. */
bool sb_store_write_left(struct sb_store *store, uint32_t rows);

/* A file of blocks, to be read. */
struct sb_image_file {
    const char *name;
    uint64_t size;
    /* Exactly `size` bytes. */
    sabot_status (*read)(void *context, uint64_t at, void *buffer, size_t size, sabot_error *error);
    void *context;
};

/* The images of a chain of checkpoints, as one. */
struct sb_image;

/* `files`: the oldest first, which has all; what a later one has is newer. Borrowed. Only blocks of
 * `node` count. SABOT_ERR_CORRUPT names the file; SABOT_ERR_UNSUPPORTED: of another version. */
SABOT_MUST_CHECK sabot_status sb_image_open(const struct sb_env *env,
                                            const struct sb_image_file *files,
                                            uint32_t file_count,
                                            uint32_t node,
                                            struct sb_image **image_out,
                                            sabot_error *error);
void sb_image_close(struct sb_image *image);
bool sb_image_has_shard(const struct sb_image *image, uint32_t shard);

/* Has it states whose rows are in a database? Then it is of use with these alone: */
bool sb_image_has_rows(const struct sb_image *image);
/* for sb_image_write(), those of the checkpoint's files, which are borrowed; */
void sb_image_set_rows(struct sb_image *image, struct sb_rows *rows);
/* for sb_store_restore_image(), those that the store has already, of an image of just its states.
 */
bool sb_store_fits(const struct sb_store *store, const struct sb_image *image);
void sb_store_adopt_rows(struct sb_store *store);

/* Put a shard into a store that holds nothing of it yet: as it lies in the image when the states
 * are the same, else cell by cell, as sb_store_restore() does, with its errors. */
SABOT_MUST_CHECK sabot_status sb_store_restore_image(struct sb_store *store,
                                                     struct sb_image *image,
                                                     uint32_t shard,
                                                     sabot_error *error);
/* Write a shard as sb_store_snapshot() would have at the barrier; what has expired is in it. The
 * shard is put together in memory, which counts in the account that was set, if one was. */
void sb_image_set_account(struct sb_image *image, struct sb_account *account);
SABOT_MUST_CHECK sabot_status sb_image_write(struct sb_image *image,
                                             uint32_t shard,
                                             const struct sb_byte_sink *sink,
                                             sabot_error *error);

#endif
