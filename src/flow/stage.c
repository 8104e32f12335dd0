/* SPDX-License-Identifier: Apache-2.0 */
/* stage.c - records in a buffer; stage.h has their form. */
#include "flow/stage.h"

#include <string.h>

struct head {
    uint32_t key_size;
    uint32_t value_size;
    int64_t timestamp_ms;
};

_Static_assert(sizeof(struct head) == 16, "no padding");

sabot_status sb_stage_append(struct sb_buffer *stage, const struct sb_record *record)
{
    const struct head head = {
        .key_size = record->key.data == NULL ? SB_STAGE_NO_KEY : (uint32_t)record->key.size,
        .value_size = (uint32_t)record->value.size,
        .timestamp_ms = record->timestamp_ms,
    };

    SABOT_TRY(sb_buffer_reserve(stage, sizeof head + record->key.size + record->value.size));
    SABOT_TRY(sb_buffer_append(stage, &head, sizeof head));
    SABOT_TRY(sb_buffer_append(stage, record->key.data, record->key.size));
    return sb_buffer_append(stage, record->value.data, record->value.size);
}

bool sb_stage_next(const struct sb_buffer *stage, size_t *at, struct sb_record *record_out)
{
    const char *bytes = (const char *)stage->data + *at;
    struct head head;
    size_t key_size;

    if (*at == stage->size)
        return false;
    SB_ASSERT(stage->size - *at >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    bytes += sizeof head;
    key_size = head.key_size == SB_STAGE_NO_KEY ? 0 : head.key_size;
    SB_ASSERT(stage->size - *at - sizeof head >= key_size + head.value_size);
    *record_out = (struct sb_record){
        .key = {head.key_size == SB_STAGE_NO_KEY ? NULL : bytes, key_size},
        .value = {bytes + key_size, head.value_size},
        .partition = SB_PARTITION_ANY,
        .timestamp_ms = head.timestamp_ms,
    };
    *at += sizeof head + key_size + head.value_size;
    return true;
}
