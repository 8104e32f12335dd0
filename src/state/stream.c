/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - blocks of a snapshot, written and read. */
#include "state/stream.h"

#include <string.h>

#include "base/hash.h"

static void put(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *from, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

/* --- Writing ------------------------------------------------------------------------------------
 */

sabot_status sb_out_init(struct sb_out *out,
                         const struct sb_env *env,
                         const struct sb_byte_sink *sink,
                         sabot_error *error)
{
    *out = (struct sb_out){.env = env, .sink = sink, .error = error};
    out->block = sb_alloc(env, SB_BLOCK_HEAD + SB_BLOCK_SIZE);
    if (out->block == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a block of a snapshot");
    return SABOT_OK;
}

/* The block as it is; an empty one is the end. */
static void write_block(struct sb_out *out)
{
    put(out->block, out->used, 4);
    put(out->block + 4, sb_hash(out->block + SB_BLOCK_HEAD, out->used, out->number), 8);
    if (out->status == SABOT_OK)
        out->status =
            out->sink->write(out->sink->context, out->block, SB_BLOCK_HEAD + out->used, out->error);
    out->used = 0;
    out->number++;
}

sabot_status sb_out_finish(struct sb_out *out)
{
    if (out->used > 0)
        write_block(out);
    write_block(out);
    sb_free(out->env, out->block, SB_BLOCK_HEAD + SB_BLOCK_SIZE);
    out->block = NULL;
    return out->status;
}

void sb_out_bytes(struct sb_out *out, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        const size_t room = SB_BLOCK_SIZE - out->used;
        const size_t part = size < room ? size : room;

        memcpy(out->block + SB_BLOCK_HEAD + out->used, from, part);
        out->used += (uint32_t)part;
        from += part;
        size -= part;
        if (out->used == SB_BLOCK_SIZE)
            write_block(out);
    }
}

static void out_number(struct sb_out *out, uint64_t value, size_t size)
{
    uint8_t bytes[8];

    put(bytes, value, size);
    sb_out_bytes(out, bytes, size);
}

void sb_out_u8(struct sb_out *out, uint8_t value)
{
    out_number(out, value, 1);
}

void sb_out_u16(struct sb_out *out, uint16_t value)
{
    out_number(out, value, 2);
}

void sb_out_u32(struct sb_out *out, uint32_t value)
{
    out_number(out, value, 4);
}

void sb_out_u64(struct sb_out *out, uint64_t value)
{
    out_number(out, value, 8);
}

void sb_out_text(struct sb_out *out, const char *text)
{
    const size_t size = strlen(text);

    SB_ASSERT(size <= UINT16_MAX);
    sb_out_u16(out, (uint16_t)size);
    sb_out_bytes(out, text, size);
}

/* --- Reading ------------------------------------------------------------------------------------
 */

sabot_status sb_in_init(struct sb_in *in,
                        const struct sb_env *env,
                        const struct sb_byte_source *source,
                        sabot_error *error)
{
    *in = (struct sb_in){.env = env, .source = source, .error = error};
    in->block = sb_alloc(env, SB_BLOCK_SIZE);
    if (in->block == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a block of a snapshot");
    return SABOT_OK;
}

void sb_in_reset(struct sb_in *in)
{
    sb_free(in->env, in->block, SB_BLOCK_SIZE);
    in->block = NULL;
}

void sb_in_damaged(struct sb_in *in, const char *what)
{
    if (in->status == SABOT_OK)
        in->status = sabot_raise(in->error, SABOT_ERR_CORRUPT,
                                 "the snapshot is damaged in block %llu at byte %u: %s",
                                 (unsigned long long)in->number, in->used, what);
}

static void read_whole(struct sb_in *in, void *bytes, size_t size)
{
    size_t got = 0;

    if (in->status != SABOT_OK)
        return;
    in->status = in->source->read(in->source->context, bytes, size, &got, in->error);
    if (in->status == SABOT_OK && got < size)
        sb_in_damaged(in, "it ends too early");
}

static void read_block(struct sb_in *in)
{
    uint8_t head[SB_BLOCK_HEAD] = {0};
    uint64_t size;

    in->used = 0;
    in->size = 0;
    read_whole(in, head, sizeof head);
    if (in->status != SABOT_OK)
        return;
    size = get(head, 4);
    if (size > SB_BLOCK_SIZE) {
        sb_in_damaged(in, "no such block size");
        return;
    }
    read_whole(in, in->block, size);
    if (in->status == SABOT_OK && get(head + 4, 8) != sb_hash(in->block, size, in->number))
        sb_in_damaged(in, "the checksum differs");
    if (in->status != SABOT_OK)
        return;
    in->size = (uint32_t)size;
    in->ended = size == 0;
    in->number++;
}

void sb_in_bytes(struct sb_in *in, void *bytes, size_t size)
{
    uint8_t *to = bytes;

    while (size > 0 && in->status == SABOT_OK) {
        const size_t left = in->size - in->used;
        const size_t part = size < left ? size : left;

        if (left == 0 && in->ended) {
            sb_in_damaged(in, "more was expected");
            break;
        }
        if (left == 0) {
            read_block(in);
            continue;
        }
        memcpy(to, in->block + in->used, part);
        in->used += (uint32_t)part;
        to += part;
        size -= part;
    }
    if (size > 0)
        memset(to, 0, size);
}

static uint64_t in_number(struct sb_in *in, size_t size)
{
    uint8_t bytes[8];

    sb_in_bytes(in, bytes, size);
    return get(bytes, size);
}

uint8_t sb_in_u8(struct sb_in *in)
{
    return (uint8_t)in_number(in, 1);
}

uint16_t sb_in_u16(struct sb_in *in)
{
    return (uint16_t)in_number(in, 2);
}

uint32_t sb_in_u32(struct sb_in *in)
{
    return (uint32_t)in_number(in, 4);
}

uint64_t sb_in_u64(struct sb_in *in)
{
    return in_number(in, 8);
}

void sb_in_text(struct sb_in *in, char *text, size_t size)
{
    const size_t length = sb_in_u16(in);

    text[0] = '\0';
    if (length >= size) {
        sb_in_damaged(in, "a name is too long");
        return;
    }
    sb_in_bytes(in, text, length);
    text[length] = '\0';
}

void sb_in_end(struct sb_in *in)
{
    if (in->status == SABOT_OK && !in->ended && in->used == in->size)
        read_block(in);
    if (in->status == SABOT_OK && !in->ended)
        sb_in_damaged(in, "there is more than was expected");
}

/* --- Streams in memory --------------------------------------------------------------------------
 */

sabot_status sb_buffer_take(void *context, const void *bytes, size_t size, sabot_error *error)
{
    if (sb_buffer_append(context, bytes, size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for the bytes of a snapshot");
    return SABOT_OK;
}

sabot_status sb_buffer_give(void *context,
                            void *bytes,
                            size_t size,
                            size_t *size_out,
                            sabot_error *error)
{
    struct sb_buffer_reader *reader = context;
    const size_t left = reader->buffer->size - reader->at;

    (void)error;
    *size_out = size < left ? size : left;
    if (*size_out > 0)
        memcpy(bytes, reader->buffer->data + reader->at, *size_out);
    reader->at += *size_out;
    return SABOT_OK;
}
