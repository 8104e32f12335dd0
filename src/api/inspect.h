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

struct sabot_inspection {
    struct sb_env *env;
    struct sb_arena arena;
    struct sb_inspected *checkpoints; /* by app, pipeline; newest first */
    uint32_t count;
};

#endif
