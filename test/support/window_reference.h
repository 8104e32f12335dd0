/* SPDX-License-Identifier: Apache-2.0 */
/* window_reference.h - windows as naively as can be: every window has a list of its records, and
 * every firing computes everything anew from it.
 *
 * The oracle of tests of windows. It knows one type of record and one list of aggregates, and is
 * told what happens in order: records, watermarks, the machine's clock. What it fires is compared
 * with what the operator (test_window_random.c) or a whole pipeline made of the same. */
#ifndef SB_TEST_WINDOW_REFERENCE_H
#define SB_TEST_WINDOW_REFERENCE_H

#include <sabot/window.h>

/* A record. A missing number is zero here, as it is in the struct of an app. */
struct window_event {
    int64_t id;
    int64_t key;
    int64_t time_ms;
    int64_t number;
    double price;
    sabot_text word; /* data == NULL: missing */
    int64_t gap_ms;
    bool has_number; /* not a field */
};

extern const sabot_schema window_event_schema;
enum { EVENT_ID, EVENT_KEY, EVENT_TIME, EVENT_NUMBER, EVENT_PRICE, EVENT_WORD, EVENT_GAP };

/* All aggregates there are; a test takes some of them, by bits. */
enum { WINDOW_AGGREGATES = 16 };
extern const sabot_window_aggregate window_aggregates[WINDOW_AGGREGATES];

/* The result as a record: key, window_start, window_end, window_firing, window_number, and a field
 * for each aggregate. */
struct window_output {
    int64_t key;
    int64_t start_ms;
    int64_t end_ms;
    sabot_text firing;
    int64_t number;
    int64_t ints[WINDOW_AGGREGATES];
    double floats[WINDOW_AGGREGATES];
    sabot_text texts[WINDOW_AGGREGATES];
};
extern const sabot_schema window_output_schema;

/* One value of a result. */
struct window_value {
    char kind; /* 0: missing, 'i', 'f', 't' */
    int64_t int64;
    double float64;
    char *text; /* owned */
};
struct window_result {
    int64_t key;
    int64_t start_ms;
    int64_t end_ms;
    sabot_firing firing;
    int64_t number;
    int64_t event_time_ms;
    struct window_value values[WINDOW_AGGREGATES];
};

struct window_results {
    struct window_result *items;
    size_t count;
    size_t capacity;
};
struct window_result *window_results_add(struct window_results *results);
void window_results_reset(struct window_results *results);
/* By key, window, number. */
void window_results_sort(struct window_results *results);
/* Do both hold the same, in any order? Otherwise says what differs, and returns false. */
bool window_results_equal(struct window_results *got, struct window_results *expected);

struct window_reference;
/* `chosen`: bits of the aggregates. Texts of events must outlive it. */
struct window_reference *window_reference_create(const sabot_window_spec *spec, uint32_t chosen);
void window_reference_destroy(struct window_reference *reference);
void window_reference_record(struct window_reference *reference, const struct window_event *event);
void window_reference_watermark(struct window_reference *reference, int64_t watermark_ms);
void window_reference_clock(struct window_reference *reference, int64_t now_ms);
struct window_results *window_reference_results(struct window_reference *reference);
/* Ids of the records that entered no window, in order. */
const int64_t *window_reference_late(const struct window_reference *reference, size_t *count_out);

#endif
