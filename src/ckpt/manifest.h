/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - what a checkpoint is: the last file that is written of it, and the first that is
 * read.
 *
 * A checkpoint without a whole manifest is none. The manifest names what it belongs to (app,
 * pipeline, id, nonce, owner), every file with its length and checksum, where every partition
 * stands, which run of which file holds each shard of a task, and how long each output is. Its own
 * checksum stands at its end and covers all before. docs/state-format.md has the bytes.
 *
 * Ownership: a manifest holds its texts and arrays in its arena. Threads: its owner's. */
#ifndef SB_CKPT_MANIFEST_H
#define SB_CKPT_MANIFEST_H

#include "flow/checkpoint.h"

enum {
    SB_MANIFEST_FORMAT = 3,
    SB_MANIFEST_BYTES_MAX = 64 * 1024 * 1024,
    SB_MANIFEST_NAME_MAX = 255, /* bytes of a name */
};

/* What a file holds. Those of chunks stand in the manifest in their order, the oldest first. */
enum sb_manifest_file_kind {
    SB_FILE_STATE = 0,
    SB_FILE_CHUNKS = 1,
    SB_FILE_ROWS = 2, /* of a database (rows.h) */
};

struct sb_manifest_file {
    enum sb_manifest_file_kind kind;
    const char *name; /* in the folder of the checkpoint */
    uint64_t size;
    uint64_t checksum; /* XXH3-64 of all its bytes, seed 0 */
};

struct sb_manifest_source {
    const char *channel;
    uint32_t partition_count; /* of the channel when the checkpoint was taken */
    uint32_t position_count;
    struct sb_part_position *positions;
};

struct sb_manifest_shard {
    uint32_t shard;
    uint32_t file; /* index */
    uint64_t start;
    uint64_t size;
};

struct sb_manifest_task {
    const char *name;
    uint32_t key_type;    /* sabot_type of the keys of its state; 0: it has none */
    int64_t watermark_ms; /* that it has seen; INT64_MIN: none */
    bool has_image;       /* its state is in the chunks: blocks of this node */
    uint32_t image_node;
    uint32_t shard_count; /* in their logical form */
    struct sb_manifest_shard *shards;
};

struct sb_manifest_sink {
    const char *channel;
    bool has_length;
    uint64_t length; /* bytes of the output that belong to the checkpoint */
};

struct sb_manifest {
    struct sb_arena arena;
    const char *app;
    const char *pipeline;
    int64_t id;
    uint64_t nonce;  /* drawn for this one checkpoint: its folder's name is never used again */
    uint64_t owner;  /* drawn for the process that wrote it */
    int64_t time_ms; /* wall clock, for people */
    uint64_t hash_seed;
    uint64_t origin;   /* nonce of the savepoint it goes back to; 0: to none */
    uint64_t checksum; /* of its bytes; set by encode and decode */
    bool staged;       /* a transaction writes its output: it counts once the offsets name it */
    bool finished;     /* all inputs had ended: nothing is left to do */
    uint32_t file_count;
    struct sb_manifest_file *files;
    uint32_t source_count;
    struct sb_manifest_source *sources;
    uint32_t task_count;
    struct sb_manifest_task *tasks;
    uint32_t sink_count;
    struct sb_manifest_sink *sinks;
};

void sb_manifest_init(struct sb_manifest *manifest, const struct sb_env *env);
void sb_manifest_reset(struct sb_manifest *manifest);

/* Append the bytes to `out`. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_manifest_encode(struct sb_manifest *manifest,
                                                 struct sb_buffer *out);

/* Read one; `manifest` was initialised. SABOT_ERR_CORRUPT: the bytes are not those that were
 * written; SABOT_ERR_UNSUPPORTED: of a newer format; SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_manifest_decode(struct sb_manifest *manifest,
                                                 const uint8_t *bytes,
                                                 size_t size,
                                                 sabot_error *error);

#endif
