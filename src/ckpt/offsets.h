/* SPDX-License-Identifier: Apache-2.0 */
/* offsets.h - the offsets of a pipeline's inputs in a consumer group, and what they say of its
 * checkpoint.
 *
 * There is one for each partition of each input of one kind. They carry, as their metadata, which
 * checkpoint they belong to; so what is restored is what was committed, and not what happens to lie
 * on the disk:
 *
 *     "sabot1 ID NONCE CHECKSUM OWNER", four numbers of 16 hexadecimal digits
 *
 * The anchor. A pipeline from files to Kafka has inputs without offsets; its transaction has to
 * carry the mark all the same. Then the one offset is that of partition 0 of an output: nobody
 * reads that topic in the pipeline's group, so the number is free, and it is the checkpoint's id.
 *
 * Ownership: the list and its texts are the handle's. Thread: its owner's. */
#ifndef SB_CKPT_OFFSETS_H
#define SB_CKPT_OFFSETS_H

#include "ckpt/manifest.h"
#include "flow/graph.h"

enum { SB_COMMIT_MARK_SIZE = 6 + 4 * 17 + 1 };

/* Ways on, in errors: from a checkpoint that is not what it should be, and from offsets that don't
 * fit one. */
#define SB_RESTORE_CHOICES                                                                    \
    "or choose: --restore ID goes on from another checkpoint (sabot checkpoint ls), --reset " \
    "begins anew"
#define SB_COMMIT_CHOICES                                                                      \
    "put them back, or choose: --restore ID goes on from a checkpoint, --from-offsets begins " \
    "with empty state where they stand, --reset begins anew"

/* What the offsets of a group say about their checkpoint. */
struct sb_commit_mark {
    int64_t id;
    uint64_t nonce;
    uint64_t checksum; /* of the manifest */
    uint64_t owner;
};

struct sb_offsets {
    const struct sb_env *env;
    const struct sb_graph *graph;
    const char *group;
    const struct sb_channel_type *type; /* of the inputs that have offsets here */
    const struct sb_channel *only;      /* this input alone; NULL: all of the type */
    struct sb_offset *list;             /* NULL: none yet */
    uint32_t count;
    uint32_t capacity;
    bool is_anchor;     /* no input has offsets: the one there is stands for the checkpoint */
    bool owns_metadata; /* it came from the transport */
    char mark[SB_COMMIT_MARK_SIZE]; /* metadata of what was set */
};

/* `group` is borrowed. */
void sb_offsets_init(struct sb_offsets *offsets,
                     const struct sb_graph *graph,
                     const char *group,
                     const struct sb_channel_type *type,
                     const struct sb_channel *only);
void sb_offsets_reset(struct sb_offsets *offsets);

/* One entry, without an offset, for each partition; where there is none, the anchor at `topic`.
 * The caller has them filled in by `committed`, and sets owns_metadata. */
SABOT_MUST_CHECK sabot_status sb_offsets_list(struct sb_offsets *offsets,
                                              const char *topic,
                                              sabot_error *error);

/* The same, with the positions of a manifest, marked as its own; without the partitions that it
 * does not know. */
SABOT_MUST_CHECK sabot_status sb_offsets_set(struct sb_offsets *offsets,
                                             const char *topic,
                                             const struct sb_manifest *manifest,
                                             sabot_error *error);

/* Describe the inputs in a manifest as they stand here: a start without a checkpoint. Partitions
 * without an offset are left out. SABOT_ERR_STATE: no input has an offset. */
SABOT_MUST_CHECK sabot_status sb_offsets_describe(const struct sb_offsets *offsets,
                                                  struct sb_manifest *manifest,
                                                  sabot_error *error);

/* Do all that were committed name the same checkpoint? SABOT_OK: *found_out says whether there are
 * any, and `mark_out` which. SABOT_ERR_STATE: they disagree, or carry no mark: they were changed by
 * hand, or by another program; the text has the choices. */
SABOT_MUST_CHECK sabot_status sb_offsets_mark(const struct sb_offsets *offsets,
                                              bool *found_out,
                                              struct sb_commit_mark *mark_out,
                                              sabot_error *error);

/* Are they those of this manifest? SABOT_ERR_STATE names the first partition that differs. */
SABOT_MUST_CHECK sabot_status sb_offsets_compare(const struct sb_offsets *offsets,
                                                 const struct sb_manifest *manifest,
                                                 sabot_error *error);

#endif
