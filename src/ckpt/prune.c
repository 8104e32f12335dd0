/* SPDX-License-Identifier: Apache-2.0 */
/* prune.c - removing checkpoints; prune.h says when, and why that is safe. */
#include "ckpt/prune.h"

#include "base/mutant.h"

sabot_status sb_prune_init(struct sb_prune *prune,
                           const struct sb_ckpt_folder *folder,
                           const struct sb_ckpt_entry *restored,
                           uint32_t keep,
                           sabot_error *error)
{
    SB_ASSERT(keep > 0);
    *prune = (struct sb_prune){.folder = folder, .restored = *restored, .keep = keep};
    prune->own = sb_alloc_array(folder->env, keep, sizeof *prune->own);
    if (prune->own == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to keep checkpoints in view");
    return SABOT_OK;
}

static void forget(struct sb_prune *prune)
{
    sb_free_array(prune->folder->env, prune->seen, SB_CKPT_LISTED_MAX, sizeof *prune->seen);
    prune->seen = NULL;
    prune->seen_count = 0;
}

void sb_prune_reset(struct sb_prune *prune)
{
    if (prune->folder == NULL)
        return;
    forget(prune);
    sb_free_array(prune->folder->env, prune->own, prune->keep, sizeof *prune->own);
    *prune = (struct sb_prune){.folder = NULL};
}

void sb_prune_look(struct sb_prune *prune)
{
    forget(prune);
    (void)!sb_ckpt_list(prune->folder, &prune->seen, &prune->seen_count, NULL);
}

static bool same(const struct sb_ckpt_entry *one, const struct sb_ckpt_entry *other)
{
    return one->id == other->id && one->nonce == other->nonce;
}

/* Was it made by this process, restored by it, or committed before that? */
static bool is_of_our_line(const struct sb_prune *prune, const struct sb_ckpt_entry *entry)
{
    if (entry->id < prune->restored.id || same(entry, &prune->restored))
        return true;
    for (uint64_t i = 0; i < prune->own_count && i < prune->keep; i++) {
        if (same(entry, &prune->own[i]))
            return true;
    }
    return false;
}

void sb_prune(struct sb_prune *prune, const struct sb_ckpt_entry *done)
{
    const struct sb_env *env = prune->folder->env;
    uint32_t kept = 1; /* `done` itself */

    prune->own[prune->own_count++ % prune->keep] = *done;
    for (uint32_t i = 0; i < prune->seen_count; i++) {
        const struct sb_ckpt_entry *entry = &prune->seen[i];

        if (same(entry, &prune->held) || (same(entry, done) && !SB_MUTANT(REMOVE_NAMED)))
            continue;
        if (is_of_our_line(prune, entry) && sb_ckpt_exists(prune->folder, entry) &&
            kept < prune->keep) {
            kept++;
            continue;
        }
        sb_crash_point(env, "ckpt.before_remove");
        (void)!sb_ckpt_remove(prune->folder, entry, NULL);
        sb_crash_point(env, "ckpt.removed");
    }
    forget(prune);
}
