/* SPDX-License-Identifier: Apache-2.0 */
/* tape.c - see the header. */
#include "tape.h"

#include "test.h"

void tape_reset(struct tape *tape)
{
    free(tape->bytes);
    *tape = (struct tape){.bytes = NULL};
}

void tape_append(struct tape *tape, const void *bytes, size_t size)
{
    if (tape->size + size > tape->capacity) {
        tape->capacity = (tape->size + size) * 2;
        tape->bytes = realloc(tape->bytes, tape->capacity);
        assert_non_null(tape->bytes);
    }
    if (size > 0)
        memcpy(tape->bytes + tape->size, bytes, size);
    tape->size += size;
}

static sabot_status write_bytes(void *context, const void *bytes, size_t size, sabot_error *error)
{
    (void)error;
    tape_append(context, bytes, size);
    return SABOT_OK;
}

static sabot_status read_bytes(void *context,
                               void *buffer,
                               size_t size,
                               size_t *size_out,
                               sabot_error *error)
{
    struct tape *tape = context;
    const size_t left = tape->size - tape->read;

    (void)error;
    *size_out = size < left ? size : left;
    if (*size_out > 0)
        memcpy(buffer, tape->bytes + tape->read, *size_out);
    tape->read += *size_out;
    return SABOT_OK;
}

struct sb_byte_sink tape_sink(struct tape *tape)
{
    return (struct sb_byte_sink){.write = write_bytes, .context = tape};
}

struct sb_byte_source tape_source(struct tape *tape)
{
    tape->read = 0;
    return (struct sb_byte_source){.read = read_bytes, .context = tape};
}

/* --- Images --------------------------------------------------------------------------------------
 */

static void *take_block(void *context, bool must)
{
    (void)context;
    (void)must;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void give_block(void *context, void *block, uint32_t size)
{
    tape_append(context, block, size);
    free(block);
}

static sabot_status read_at(void *context,
                            uint64_t at,
                            void *buffer,
                            size_t size,
                            sabot_error *error)
{
    const struct tape *tape = context;

    if (at > tape->size || size > tape->size - at)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "the tape ends");
    memcpy(buffer, tape->bytes + at, size);
    return SABOT_OK;
}

struct sb_image_sink tape_image_sink(struct tape *tape)
{
    return (struct sb_image_sink){.take = take_block, .give = give_block, .context = tape};
}

struct sb_image_file tape_image_file(struct tape *tape)
{
    return (struct sb_image_file){
        .name = "tape", .size = tape->size, .read = read_at, .context = tape};
}

void tape_take_image(struct tape *tape, struct sb_store *store, uint32_t node)
{
    const struct sb_image_config config = {.node = node, .id = 1, .sink = tape_image_sink(tape)};
    sabot_error error = {.text = ""};

    sb_store_image_begin(store, &config);
    while (sb_store_image_step(store, SB_IMAGE_BLOCK_CHUNKS) != SB_IMAGE_DONE) {}
    if (sb_store_image_end(store, &error) != SABOT_OK)
        fail_msg("%s", error.text);
}
