/* SPDX-License-Identifier: Apache-2.0 */
/* window_kit.h - the operator of windows by itself: fed by hand, its results taken, moved to a new
 * instance through an image. */
#ifndef SB_TEST_WINDOW_KIT_H
#define SB_TEST_WINDOW_KIT_H

#include "op/keyed.h"
#include "op/window.h"
#include "state_suite.h"
#include "window_reference.h"

struct window_kit;

/* The wall clock is the kit's. `backend` of the state; `chosen`: bits of window_aggregates. */
struct window_kit *window_kit_create(const sabot_window_spec *spec,
                                     uint32_t chosen,
                                     const struct state_backend *backend);
void window_kit_destroy(struct window_kit *kit);

/* A row, part of the next batch; the batch is fed by flush, as are watermark and clock. */
void window_kit_record(struct window_kit *kit, const struct window_event *event);
void window_kit_flush(struct window_kit *kit);
void window_kit_watermark(struct window_kit *kit, int64_t watermark_ms);
void window_kit_clock(struct window_kit *kit, int64_t now_ms);
/* Take an image, end the instance, and go on with one on `backend` restored from it. */
void window_kit_move(struct window_kit *kit, const struct state_backend *backend);

struct window_results *window_kit_results(struct window_kit *kit);
const int64_t *window_kit_late(const struct window_kit *kit, size_t *count_out);
/* Rows that the operator has counted as late. */
uint64_t window_kit_late_counted(const struct window_kit *kit);
/* The error of a flush that is expected to fail. */
const sabot_error *window_kit_fails(struct window_kit *kit);
/* Does the state hold nothing? By the bytes of its shards in their logical form. */
bool window_kit_is_empty(struct window_kit *kit);

/* Random numbers by seed (splitmix64, G. Steele et al., OOPSLA 2014). */
uint64_t window_random(uint64_t *state);
uint64_t window_below(uint64_t *state, uint64_t limit);

#endif
