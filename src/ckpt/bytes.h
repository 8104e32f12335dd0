/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h - all bytes of a file, on their way through a hash: to check it, or to copy it.
 *
 * Thread: the caller's; calls wait for the disk. Memory: one block. */
#ifndef SB_CKPT_BYTES_H
#define SB_CKPT_BYTES_H

#include "base/env.h"

struct sb_bytes {
    uint64_t size;
    uint64_t checksum; /* XXH3-64, seed 0 */
};

/* From the beginning of `from` to its end, and into `to`, if that is not NULL. */
SABOT_MUST_CHECK sabot_status sb_bytes_pass(const struct sb_env *env,
                                            struct sb_file *from,
                                            struct sb_file *to,
                                            struct sb_bytes *bytes_out,
                                            sabot_error *error);

/* The same by paths; the new file is synced. */
SABOT_MUST_CHECK sabot_status sb_bytes_copy(const struct sb_env *env,
                                            const char *from,
                                            const char *to,
                                            struct sb_bytes *bytes_out,
                                            sabot_error *error);
/* Sync a file that is there, and hash it. */
SABOT_MUST_CHECK sabot_status sb_bytes_seal(const struct sb_env *env,
                                            const char *path,
                                            struct sb_bytes *bytes_out,
                                            sabot_error *error);

#endif
