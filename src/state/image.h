/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - the form of an image: the chunks of a store's arenas, as they lie in memory.
 *
 * An image is a run of blocks. Each begins with struct sb_image_block and is as long as that says,
 * so that a file of blocks can be walked without reading them. Numbers are the machine's, which is
 * little-endian (asserted). Three kinds:
 *
 *     LAYOUT   bytes of a stream (stream.h) that says what cells are, over as many blocks as
 * needed: "SBIMAGE" NUL | format (u16) | hash seed (u64) | operator (u16) | bytes of the structs
 * that cells begin with (5 x u16) | states (u16), and of each: name | kind (u8) | flags (u8,
 * SB_SNAP_... and SB_IMAGE_BACKED) | with a struct or rows: its name | version (u32) | bytes (u32)
 * | fields (u16), and of each: path | type (u8) | offset (u32) | bytes (u32) | elements (u32) LISTS
 * which chunks there are: struct sb_image_list, and a bit for each number CHUNKS   a table of
 * SB_IMAGE_BLOCK_CHUNKS struct sb_image_chunk, then so many chunks
 *
 * An image that is based on another has the chunks that have changed since, and lists and layout in
 * full. A chunk counts when the newest image lists it; the newest copy of it is the one that
 * counts.
 *
 * References in cells are numbers of chunks, so that what was read into place needs no change; the
 * indexes and the wheel of timers are made again from the cells. A struct's table is compared with
 * the app's to the last offset: when anything differs the image is read into a store as its own
 * layout has it, and from there cell by cell. */
#ifndef SB_STATE_IMAGE_H
#define SB_STATE_IMAGE_H

#include "state/arena.h"
#include "state/snapshot.h"

enum {
    SB_IMAGE_FORMAT = 1,
    SB_IMAGE_FILES_MAX = 255, /* of a chain */
    SB_IMAGE_SIZES = 5,       /* structs whose size is part of the layout */
};

extern const uint16_t sb_image_sizes[SB_IMAGE_SIZES];

#define SB_IMAGE_MAGIC "SBIMAGE"
#define SB_IMAGE_BLOCK_MAGIC UINT32_C(0x4d494253) /* "SBIM" */

enum { SB_IMAGE_BACKED = 4 }; /* flag of a state: it lies in rows, not here */

enum sb_image_kind { SB_IMAGE_LAYOUT = 1, SB_IMAGE_LISTS = 2, SB_IMAGE_CHUNKS = 3 };

struct sb_image_block {
    uint32_t magic;
    uint8_t kind;
    uint8_t worker; /* who wrote it */
    uint16_t node;  /* of the flow */
    uint32_t used;  /* LAYOUT, LISTS: bytes behind this; CHUNKS: chunks */
    uint32_t size;  /* of the whole block */
};

struct sb_image_list {
    uint32_t shard;
    uint32_t first; /* number of the first bit; a multiple of 64 */
    uint32_t words; /* of 64 bits, which follow */
    uint32_t nothing;
};

struct sb_image_chunk {
    uint32_t number;
    uint32_t first;  /* of the slab or run */
    uint32_t chunks; /* of it */
    uint16_t tag;
    uint8_t class;
    uint8_t shard;
};

enum {
    SB_IMAGE_TABLE =
        sizeof(struct sb_image_block) + SB_IMAGE_BLOCK_CHUNKS * sizeof(struct sb_image_chunk),
};

_Static_assert(sizeof(struct sb_image_block) == 16, "no padding");
_Static_assert(sizeof(struct sb_image_list) == 16, "no padding");
_Static_assert(sizeof(struct sb_image_chunk) == 16, "no padding");
_Static_assert(SB_IMAGE_TABLE + SB_IMAGE_BLOCK_CHUNKS * SB_CHUNK_SIZE == SB_IMAGE_BLOCK_MAX,
               "a block is full when its table is");
_Static_assert(SB_SHARD_COUNT <= 256, "a shard is a byte");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are little-endian");

static inline struct sb_image_chunk *sb_image_table(struct sb_image_block *block)
{
    return (struct sb_image_chunk *)(void *)(block + 1);
}

/* --- An image that is read (image_read.c)
 * ---------------------------------------------------------
 */

/* Where a chunk is, and what it is part of. */
struct sb_image_place {
    uint64_t at; /* in the file */
    uint32_t first;
    uint32_t chunks;
    uint16_t tag;
    uint8_t class;
    uint8_t file; /* 1 + index; 0: not found */
};

struct sb_image_shard {
    uint32_t words; /* of the list */
    uint64_t *list;
    struct sb_image_place *places; /* 64 for each word */
};

struct sb_image {
    const struct sb_env *env;
    struct sb_account *account; /* of the stores that shards are put together in; NULL: none */
    const struct sb_image_file *files;
    uint32_t file_count;
    uint32_t node;
    int32_t layout_worker; /* whose layout is read; -1: nobody's yet */
    struct sb_buffer layout;
    struct sb_image_shard shards[SB_SHARD_COUNT];
    struct sb_arena arena; /* what the layout says */
    uint64_t hash_seed;
    uint32_t operator_id;
    uint32_t state_count;
    struct sb_state_spec *states;
    struct sb_rows *rows; /* of states that are not in the files; NULL: nobody has given them */
    uint8_t *buffer;      /* SB_IMAGE_BLOCK_MAX bytes */
};

static inline bool sb_image_lists(const struct sb_image_shard *shard, uint32_t number)
{
    return number / 64 < shard->words && (shard->list[number / 64] >> (number % 64) & 1) != 0;
}

/* What doesn't fit, in which file. */
sabot_status sb_image_damaged(const struct sb_image *image,
                              uint32_t file,
                              const char *what,
                              sabot_error *error);

#endif
