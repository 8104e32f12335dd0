/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - encoded records that wait for their transaction, one behind the other in a buffer.
 *
 *   key size (u32, SB_STAGE_NO_KEY: none) | value size (u32) | timestamp (i64) | key | value
 *
 * In the byte order of the machine: it never leaves memory. Threads: the owner of the buffer. */
#ifndef SB_FLOW_STAGE_H
#define SB_FLOW_STAGE_H

#include "channel/channel.h"

#define SB_STAGE_NO_KEY UINT32_MAX

/* SABOT_ERR_MEMORY: the buffer is unchanged. */
SABOT_MUST_CHECK sabot_status sb_stage_append(struct sb_buffer *stage,
                                              const struct sb_record *record);

/* The record at *at, which moves behind it; false at the end. Its bytes are the buffer's. */
bool sb_stage_next(const struct sb_buffer *stage, size_t *at, struct sb_record *record_out);

#endif
