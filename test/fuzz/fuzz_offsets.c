/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_offsets.c - any text as the metadata of committed offsets: a mark of ours, the same on all
 * of them, or refused with the partition and the ways on.
 *
 * Lines are the metadata of partition 0, 1, ...; an empty one has an offset without any. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/offsets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PARTITIONS = 8 };

/* What was taken for a mark is written as it was read. */
static void check_mark(const struct sb_offsets *offsets, const struct sb_commit_mark *mark)
{
    char text[128];

    (void)snprintf(text, sizeof text,
                   "sabot1 %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64,
                   (uint64_t)mark->id, mark->nonce, mark->checksum, mark->owner);
    SB_ASSERT(mark->id > 0);
    for (uint32_t i = 0; i < offsets->count; i++)
        SB_ASSERT(strcmp(offsets->list[i].metadata, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sb_offset list[PARTITIONS];
    const struct sb_graph graph = {.node_count = 0};
    struct sb_offsets offsets = {.graph = &graph, .group = "group", .list = list};
    struct sb_manifest manifest = {.id = 1};
    struct sb_commit_mark mark;
    sabot_error error = {.status = SABOT_OK};
    bool found;
    char *text = malloc(size + 1);
    char *rest = text;

    if (text == NULL)
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    while (rest != NULL && offsets.count < PARTITIONS) {
        char *line = strsep(&rest, "\n");

        list[offsets.count] = (struct sb_offset){.channel = "topic",
                                                 .partition = (int32_t)offsets.count,
                                                 .offset = 1,
                                                 .metadata = line[0] == '\0' ? NULL : line};
        offsets.count++;
    }
    offsets.is_anchor = true;
    const sabot_status status = sb_offsets_mark(&offsets, &found, &mark, &error);

    SB_ASSERT(status == SABOT_OK || (status == SABOT_ERR_STATE && error.status == status));
    if (status == SABOT_OK) {
        SB_ASSERT(found);
        check_mark(&offsets, &mark);
    } else {
        SB_ASSERT(strncmp(error.text, "group group, topic partition ", 29) == 0);
    }
    (void)!sb_offsets_compare(&offsets, &manifest, &error);
    free(text);
    return 0;
}
