/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image.c - bytes from anywhere as the image of a store, in two files of a chain: put into
 * place, read cell by cell, or refused, and whatever was restored can be written again.
 *
 * A chunk has 4 KiB, so the input is a script that makes the files:
 *
 *     'L'                    the layout of the store itself
 *     'l' size (u16) bytes   a layout, in blocks with the checksums they need
 *     's' size (u16) bytes   lists, as they are
 *     'c' table entry (16)   a block of one chunk, made of
 *         size (u16) bytes   its beginning
 *         period (u8)        the rest repeats so many times 16 of its last bytes; 0: it is zeros
 *     'r' size (u16) bytes   anything, as it is
 *     'n'                    the second file begins */
#include <stdlib.h>
#include <string.h>

#include "state/image.h"
#include "state/vault.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODE = 3, FILES = 2 };

struct fixed {
    int64_t number;
    char text[12];
};

static const sabot_field fields[] = {
    SABOT_FIELD(struct fixed, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct fixed, text, "text", SABOT_CHARS, SABOT_OPTIONAL),
};
static const sabot_schema table = SABOT_SCHEMA("fixed", 3, struct fixed, fields);

struct script {
    struct sb_env *env;
    const uint8_t *at;
    const uint8_t *end;
    struct sb_buffer files[FILES];
    uint32_t file; /* being made */
    const struct sb_buffer *layout;
};

static void put(struct script *script, const void *bytes, size_t size)
{
    if (sb_buffer_append(&script->files[script->file], bytes, size) != SABOT_OK)
        abort();
}

/* At most so many of the bytes that are left. */
static sabot_text take(struct script *script, size_t size)
{
    const size_t left = (size_t)(script->end - script->at);
    const sabot_text taken = {(const char *)script->at, size < left ? size : left};

    script->at += taken.size;
    return taken;
}

static sabot_text take_sized(struct script *script)
{
    const sabot_text size = take(script, 2);

    if (size.size < 2)
        return (sabot_text){"", 0};
    return take(script, (uint8_t)size.data[0] + 256U * (uint8_t)size.data[1]);
}

static void put_block(struct script *script,
                      enum sb_image_kind kind,
                      const void *bytes,
                      size_t size)
{
    const struct sb_image_block block = {
        .magic = SB_IMAGE_BLOCK_MAGIC,
        .kind = (uint8_t)kind,
        .worker = 1,
        .node = NODE,
        .used = (uint32_t)size,
        .size = (uint32_t)(sizeof block + size),
    };

    put(script, &block, sizeof block);
    put(script, bytes, size);
}

static void put_layout(struct script *script, sabot_text bytes)
{
    struct sb_buffer stream = {.env = script->env};
    const struct sb_byte_sink sink = {sb_buffer_take, &stream};
    struct sb_out out;

    if (sb_out_init(&out, script->env, &sink, NULL) != SABOT_OK)
        abort();
    sb_out_bytes(&out, bytes.data, bytes.size);
    if (sb_out_finish(&out) != SABOT_OK)
        abort();
    put_block(script, SB_IMAGE_LAYOUT, stream.data, stream.size);
    sb_buffer_reset(&stream);
}

static void put_chunk(struct script *script)
{
    static const uint8_t others[SB_IMAGE_TABLE];
    const struct sb_image_block block = {
        .magic = SB_IMAGE_BLOCK_MAGIC,
        .kind = SB_IMAGE_CHUNKS,
        .worker = 1,
        .node = NODE,
        .used = 1,
        .size = SB_IMAGE_TABLE + SB_CHUNK_SIZE,
    };
    const sabot_text entry = take(script, sizeof(struct sb_image_chunk));
    const sabot_text bytes = take_sized(script);
    const sabot_text repeat = take(script, 1);
    const size_t period = repeat.size == 0 ? 0 : (size_t)SB_CELL_UNIT * (uint8_t)repeat.data[0];
    uint8_t chunk[SB_CHUNK_SIZE] = {0};

    for (size_t i = 0; i < SB_CHUNK_SIZE; i++) {
        if (i < bytes.size)
            chunk[i] = (uint8_t)bytes.data[i];
        else if (period > 0 && i >= period)
            chunk[i] = chunk[i - period];
    }
    put(script, &block, sizeof block);
    put(script, entry.data, entry.size);
    put(script, others, SB_IMAGE_TABLE - sizeof block - entry.size);
    put(script, chunk, sizeof chunk);
}

static void make_files(struct script *script)
{
    while (script->at < script->end) {
        const uint8_t kind = *script->at++;
        sabot_text bytes;

        if (kind == 'L') {
            put_block(script, SB_IMAGE_LAYOUT, script->layout->data, script->layout->size);
        } else if (kind == 'l') {
            put_layout(script, take_sized(script));
        } else if (kind == 's') {
            bytes = take_sized(script);
            put_block(script, SB_IMAGE_LISTS, bytes.data, bytes.size);
        } else if (kind == 'c') {
            put_chunk(script);
        } else if (kind == 'r') {
            bytes = take_sized(script);
            put(script, bytes.data, bytes.size);
        } else if (kind == 'n' && script->file + 1 < FILES) {
            script->file++;
        }
    }
}

static sabot_status read_file(void *context,
                              uint64_t at,
                              void *buffer,
                              size_t size,
                              sabot_error *error)
{
    const struct sb_buffer *file = context;

    (void)error;
    SB_ASSERT(at <= file->size && size <= file->size - at);
    memcpy(buffer, file->data + at, size);
    return SABOT_OK;
}

static sabot_status drop(void *context, const void *bytes, size_t size, sabot_error *error)
{
    (void)context;
    (void)bytes;
    (void)size;
    (void)error;
    return SABOT_OK;
}

/* Into place; then all of it as a stream, and some of it changed. */
static sabot_status restore(struct sb_image *image, struct sb_store *store, sabot_error *error)
{
    const struct sb_byte_sink sink = {drop, NULL};

    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        if (!sb_image_has_shard(image, shard))
            continue;
        SABOT_TRY(sb_store_restore_image(store, image, shard, error));
        SABOT_TRY(sb_store_snapshot(store, shard, &sink, error));
    }
    return SABOT_OK;
}

static sabot_status cell_by_cell(struct sb_image *image, sabot_error *error)
{
    const struct sb_byte_sink sink = {drop, NULL};

    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        if (sb_image_has_shard(image, shard))
            SABOT_TRY(sb_image_write(image, shard, &sink, error));
    }
    return SABOT_OK;
}

static void open_files(struct script *script, struct sb_store *store)
{
    struct sb_image_file files[FILES];
    struct sb_image *image;
    sabot_error error = {.status = SABOT_OK};
    sabot_status status;

    for (uint32_t i = 0; i <= script->file; i++)
        files[i] =
            (struct sb_image_file){"chunks", script->files[i].size, read_file, &script->files[i]};
    status = sb_image_open(script->env, files, script->file + 1, NODE, &image, &error);
    if (status == SABOT_OK) {
        status = restore(image, store, &error);
        SB_ASSERT(status == SABOT_OK || (status == error.status && error.text[0] != '\0'));
        status = cell_by_cell(image, &error);
    }
    SB_ASSERT(status == SABOT_OK || (status == error.status && error.text[0] != '\0'));
    sb_image_close(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sb_env *env;
    static struct sb_schema *schema;
    struct script script = {.at = data, .end = data + size};
    struct sb_store *store;
    struct sb_account *account;

    if (env == NULL && (sb_os_env_create(&env, NULL) != SABOT_OK ||
                        sb_schema_create(env, &table, SB_SCHEMA_STATE, &schema, NULL) != SABOT_OK))
        abort();
    const struct sb_state_spec states[] = {
        {.name = "v", .kind = SB_STATE_VALUE, .schema = schema},
        {.name = "b", .kind = SB_STATE_VALUE, .ttl_ms = 100},
        {.name = "l", .kind = SB_STATE_LIST, .schema = schema},
        {.name = "m", .kind = SB_STATE_MAP, .ttl_ms = 100},
        {.name = "t", .kind = SB_STATE_TIMERS},
    };
    struct sb_store_config config = {
        .env = env, .owner = "agent", .states = states, .state_count = 5};

    if (sb_account_create(env, 256ULL * 1024 * 1024, &account, NULL) != SABOT_OK)
        abort();
    config.account = account;
    if (sb_store_create(&config, &store, NULL) != SABOT_OK)
        abort();
    script.env = env;
    script.layout = &sb_vault_of(store)->imaging.layout;
    for (uint32_t i = 0; i < FILES; i++)
        sb_buffer_init(&script.files[i], env);
    make_files(&script);
    open_files(&script, store);
    for (uint32_t i = 0; i < FILES; i++)
        sb_buffer_reset(&script.files[i]);
    sb_store_destroy(store);
    SB_ASSERT(sb_account_used(account) == 0);
    sb_account_destroy(account);
    return 0;
}
