/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.h - an inspection to the files that make it.
 *
 * Ownership: everything it holds is in its arena. Threads: its owner's. */
#ifndef SB_API_INSPECT_H
#define SB_API_INSPECT_H

#include <sabot/inspect.h>

#include "ckpt/folder.h"

struct sb_inspected {
    sabot_checkpoint_info info;
    struct sb_ckpt_folder folder; /* of its pipeline */
    struct sb_ckpt_entry entry;
};

/* A checkpoint whose states are known. */
struct sb_loaded {
    struct sb_loaded *next; /* of another pipeline */
    const struct sb_inspected *checkpoint;
    struct sb_manifest manifest;
};

/* A state of an agent, over all of its shards. */
struct sb_loaded_state {
    struct sb_loaded_state *next;
    sabot_state_info info;
    const struct sb_loaded *loaded;
    const struct sb_manifest_task *task;
};

struct sabot_inspection {
    const struct sb_env *env;
    struct sb_env *own_env; /* the same, made for it; or NULL */
    struct sb_arena arena;
    struct sb_inspected *checkpoints; /* by app, pipeline; newest first */
    uint32_t count;
    struct sb_arena states_arena; /* of what follows */
    struct sb_loaded *loaded;
    struct sb_loaded_state *states;
};

/* As sabot_inspection_open(), of files in a world of the caller's. */
SABOT_MUST_CHECK sabot_status sb_inspection_open(const struct sb_env *env,
                                                 const char *state_dir,
                                                 sabot_inspection **inspection_out,
                                                 sabot_error *error);

/* Forget what is loaded. */
void sb_inspection_unload(sabot_inspection *inspection);

/* --- Images (inspect_image.c) --------------------------------------------------------------------
 */

struct sb_peek;
typedef sabot_status (*sb_inspect_function)(void *context,
                                            struct sb_peek *peek,
                                            sabot_error *error);

#define SB_INSPECT_ALL UINT32_MAX

/* Let `use` read the shards of a task's image one by one, or this one. */
SABOT_MUST_CHECK sabot_status sb_inspect_image(const struct sb_ckpt_folder *folder,
                                               const struct sb_manifest *manifest,
                                               const struct sb_manifest_task *task,
                                               uint32_t only_shard,
                                               sb_inspect_function use,
                                               void *context,
                                               sabot_error *error);

/* --- As JSON (inspect_json.c) --------------------------------------------------------------------
 */

struct sb_peek_row;

/* Append a key of this type (0: unknown), an entry's key, a row's value. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_inspect_key_json(struct sb_buffer *out,
                                                  sabot_text key,
                                                  uint32_t type);
SABOT_MUST_CHECK sabot_status sb_inspect_value_json(struct sb_buffer *out,
                                                    const struct sb_peek_row *row);
/* The bytes of a key that is given as text. SABOT_ERR_ARGUMENT: it is none of this type. */
SABOT_MUST_CHECK sabot_status sb_inspect_key_parse(struct sb_buffer *out,
                                                   const char *text,
                                                   uint32_t type,
                                                   sabot_error *error);

#endif
