/* SPDX-License-Identifier: Apache-2.0 */
/* ckpt_kit.h - what the tests of checkpoints share: manifests drawn at random, compared field by
 * field.
 *
 * Threads: the test's own. */
#ifndef SB_TEST_CKPT_KIT_H
#define SB_TEST_CKPT_KIT_H

#include "flow_kit.h"

#include "ckpt/folder.h"

/* A manifest of app "app", pipeline "pipe", and everything else at random, with up to `entries` of
 * each list; its shards lie in a file of `state_size` bytes. `manifest` is initialised here. */
void ckpt_kit_manifest(struct sb_manifest *manifest,
                       const struct sb_env *env,
                       struct kit_random *random,
                       uint32_t entries,
                       uint64_t state_size);

/* A checkpoint or savepoint whose one file of this kind has these bytes. */
sabot_status ckpt_kit_write(const struct sb_ckpt_folder *folder,
                            struct sb_manifest *manifest,
                            enum sb_manifest_file_kind kind,
                            sabot_text bytes,
                            sabot_error *error);

/* Fails the test at the first difference; arenas are not compared. */
void ckpt_kit_assert_equal(const struct sb_manifest *one, const struct sb_manifest *other);

uint64_t ckpt_kit_random64(struct kit_random *random);

#endif
