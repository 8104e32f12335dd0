/* SPDX-License-Identifier: Apache-2.0 */
/* tape.h - bytes in memory, for what tests write and read again: a shard in its logical form, or
 * the blocks of an image.
 *
 * Ownership: a tape holds its bytes until tape_reset(). Threads: one at a time. */
#ifndef SB_TEST_TAPE_H
#define SB_TEST_TAPE_H

#include "state/store.h"

struct tape {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    size_t read; /* so far, by a source */
};

void tape_reset(struct tape *tape);
void tape_append(struct tape *tape, const void *bytes, size_t size);

/* What is written goes to the end; what is read comes from the front. */
struct sb_byte_sink tape_sink(struct tape *tape);
struct sb_byte_source tape_source(struct tape *tape);

/* Blocks of an image go to the end; an image is opened on all of them. */
struct sb_image_sink tape_image_sink(struct tape *tape);
struct sb_image_file tape_image_file(struct tape *tape);

/* An image of all that is in the store, between two callbacks. With rows these stand still until
 * sb_store_thaw(). */
void tape_take_image(struct tape *tape, struct sb_store *store, uint32_t node);

#endif
