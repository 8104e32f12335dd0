/* SPDX-License-Identifier: Apache-2.0 */
/* chain.c - blocks from carriers into files, and which files make an image; see chain.h. */
#include "ckpt/chain.h"

#include <string.h>

#include "base/mutant.h"

void sb_chain_init(struct sb_chain *chain,
                   struct sb_flow *flow,
                   const struct sb_ckpt_folder *folder,
                   uint64_t owner,
                   uint32_t files_max,
                   const struct sb_database *database)
{
    SB_ASSERT(files_max >= 1 && files_max <= SB_CHAIN_MAX);
    *chain = (struct sb_chain){
        .env = folder->env,
        .folder = folder,
        .flow = flow,
        .owner = owner,
        .files_max = files_max,
        .database = database,
        .known = {.env = folder->env},
    };
}

void sb_chain_adopt(struct sb_chain *chain, const struct sb_manifest *manifest)
{
    sb_ckpt_known_set(&chain->known, manifest);
}

static void unstage(struct sb_chain *chain)
{
    if (chain->staged != NULL)
        chain->database->unstage(chain->database->context);
    chain->staged = NULL;
}

void sb_chain_reset(struct sb_chain *chain)
{
    if (chain->env == NULL)
        return;
    sb_ckpt_abandon(&chain->writer);
    unstage(chain);
    sb_ckpt_known_reset(&chain->known);
    chain->env = NULL;
}

static bool is_long(const struct sb_chain *chain)
{
    uint64_t changes = 0;

    if (chain->link_count >= chain->files_max)
        return true;
    for (uint32_t i = 1; i < chain->link_count; i++)
        changes += chain->links[i].size;
    return chain->link_count > 1 && changes >= chain->links[0].size;
}

int64_t sb_chain_base(const struct sb_chain *chain)
{
    return is_long(chain) ? 0 : chain->base;
}

void sb_chain_begin(struct sb_chain *chain, int64_t id)
{
    SB_ASSERT(chain->writer.folder == NULL);
    chain->full = sb_chain_base(chain) == 0;
    chain->entry =
        (struct sb_ckpt_entry){.id = id, .nonce = SB_MUTANT(SAME_NAME) ? 1 : sb_random(chain->env)};
    chain->write_us = 0;
    chain->bytes = 0;
    chain->failure = (sabot_error){.status = SABOT_OK};
}

static sabot_status open_writer(struct sb_chain *chain, sabot_error *error)
{
    if (chain->writer.folder != NULL)
        return SABOT_OK;
    SABOT_TRY(sb_ckpt_check_owner(chain->folder, chain->owner, error));
    return sb_ckpt_begin(&chain->writer, chain->folder, &chain->entry, error);
}

static void write_block(struct sb_chain *chain, const struct sb_carried *carried)
{
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    if (chain->failure.status != SABOT_OK)
        return;
    status = open_writer(chain, &error);
    if (status == SABOT_OK)
        status = sb_ckpt_append(&chain->writer, carried->block, carried->size, &error);
    if (status != SABOT_OK) {
        chain->failure = error;
        sb_ckpt_abandon(&chain->writer);
    }
}

/* Of one task, some blocks. */
static uint32_t write_some(struct sb_chain *chain, struct sb_carrier *carrier, uint32_t blocks)
{
    struct sb_carried carried;
    uint32_t count = 0;

    while (count < blocks && sb_carrier_next(carrier, &carried)) {
        write_block(chain, &carried);
        sb_carrier_back(carrier, carried.block);
        count++;
    }
    return count;
}

bool sb_chain_write(struct sb_chain *chain)
{
    const struct sb_flow *flow = chain->flow;
    const int64_t begun_us = sb_now_us(chain->env);
    uint32_t left = SB_CHAIN_BLOCKS;

    for (uint32_t worker = 0; worker < flow->config.workers; worker++) {
        for (uint32_t node = 0; node < flow->graph->node_count; node++) {
            struct sb_carrier *carrier = sb_flow_carrier(flow, worker, node);

            if (carrier != NULL)
                left -= write_some(chain, carrier, left);
        }
    }
    if (left < SB_CHAIN_BLOCKS)
        chain->write_us += sb_now_us(chain->env) - begun_us;
    return left < SB_CHAIN_BLOCKS;
}

/* What the next one is based on: the files of chunks of this one, which is durable. */
static void take_files(struct sb_chain *chain, const struct sb_manifest *manifest)
{
    chain->base = manifest->id;
    chain->link_count = 0;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];
        struct sb_ckpt_link *link = &chain->links[chain->link_count];

        if (file->kind != SB_FILE_CHUNKS)
            continue;
        SB_ASSERT(chain->link_count < SB_CHAIN_MAX && strlen(file->name) < sizeof link->name);
        *link = (struct sb_ckpt_link){
            .entry = chain->entry, .size = file->size, .checksum = file->checksum};
        memcpy(link->name, file->name, strlen(file->name));
        chain->link_count++;
    }
}

sabot_status sb_chain_stage(struct sb_chain *chain, sabot_error *error)
{
    const int64_t begun_us = sb_now_us(chain->env);
    const struct sb_database *database = chain->database;
    sabot_status status;

    SB_ASSERT(database != NULL && chain->staged == NULL);
    sb_crash_point(chain->env, "ckpt.rows_asked");
    status = database->stage(database->context, &chain->staged, error);
    sb_crash_point(chain->env, "ckpt.rows_staged");
    if (status != SABOT_OK)
        unstage(chain);
    chain->write_us += sb_now_us(chain->env) - begun_us;
    return status;
}

sabot_status sb_chain_finish(struct sb_chain *chain,
                             struct sb_manifest *manifest,
                             sabot_error *error)
{
    const int64_t begun_us = sb_now_us(chain->env);
    const uint32_t links = chain->full ? 0 : chain->link_count;
    sabot_status status = chain->failure.status;

    SB_ASSERT(manifest->id == chain->entry.id && manifest->nonce == chain->entry.nonce);
    if (status != SABOT_OK)
        *error = chain->failure;
    else
        status = open_writer(chain, error);
    if (status == SABOT_OK) {
        chain->writer.staged = chain->staged;
        chain->writer.known = &chain->known;
        status = sb_ckpt_finish(&chain->writer, manifest, chain->links, links, error);
        chain->bytes = chain->writer.blocks_size + chain->writer.rows_size;
    }
    unstage(chain);
    chain->write_us += sb_now_us(chain->env) - begun_us;
    if (status != SABOT_OK) {
        /* A link that can't be had must not be asked for for ever. */
        if (links > 0)
            chain->base = 0;
        sb_ckpt_known_reset(&chain->known);
        return status;
    }
    take_files(chain, manifest);
    sb_ckpt_known_set(&chain->known, manifest);
    return SABOT_OK;
}

void sb_chain_give_up(struct sb_chain *chain)
{
    unstage(chain);
    sb_ckpt_abandon(&chain->writer);
}
