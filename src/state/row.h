/* SPDX-License-Identifier: Apache-2.0 */
/* row.h - a record in a run of bytes, texts and all: how tables keep what doesn't fit a cell.
 *
 *   u32  checksum of the field table: names, types, order
 *   then each field in the order of the table: bool 1, int32 4, others 8 bytes, little-endian;
 *   a text: u32 size, and its bytes; SB_ROW_NO_TEXT: it is missing
 *
 * A state whose values are such rows says so (sb_state_spec.row_schema): then the field table is in
 * its snapshots, and a restore compares it with the app's and packs old rows anew.
 *
 * Threads: stateless. Memory: the caller's; texts of an unpacked record point into the row. */
#ifndef SB_STATE_ROW_H
#define SB_STATE_ROW_H

#include "base/mem.h"
#include "data/schema.h"

#define SB_ROW_NO_TEXT UINT32_MAX

/* Of names, types and order of the fields. */
uint32_t sb_row_checksum(const struct sb_schema *schema);

size_t sb_row_size(const struct sb_schema *schema, const void *record);
/* `to` has sb_row_size() bytes. */
void sb_row_pack(const struct sb_schema *schema, uint32_t checksum, const void *record, void *to);
/* False: it is no row of this table. */
SABOT_MUST_CHECK bool sb_row_unpack(const struct sb_schema *schema,
                                    uint32_t checksum,
                                    sabot_text row,
                                    void *record);

/* Field by field, for those who don't have the schema. False: the row ends before, or that
 * is no size of the type. */
struct sb_row_rest {
    const uint8_t *at;
    size_t size;
};
SABOT_MUST_CHECK bool sb_row_begin(struct sb_row_rest *rest, sabot_text row, uint32_t *checksum);
/* `member`: `size` bytes; of a text: a sabot_text. */
SABOT_MUST_CHECK bool sb_row_take(struct sb_row_rest *rest,
                                  sabot_type type,
                                  uint32_t size,
                                  void *member);

#endif
