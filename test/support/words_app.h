/* SPDX-License-Identifier: Apache-2.0 */
/* words_app.h - the app of the tests of runs and pipes: it counts words.
 *
 *   words --> count (by word, with state) --> counted --> mark --> results      as a chain
 *   words --> count (by word, with state) -------------------------> results    else
 *
 * Record n has the word "w<n % 7>" and comes out once, with times = n / 7 + 1: so each result can
 * be judged by itself, and only one thread that has a key's records in order gives them all.
 *
 * Threads: the setting is read when an app is built; everything else is the run's. */
#ifndef SB_TEST_WORDS_APP_H
#define SB_TEST_WORDS_APP_H

#include "test.h"

#include <sabot/sabot.h>

enum { WORDS = 7, WORDS_MAX = 20000 };

struct word {
    sabot_text word;
    int64_t id;
    int64_t times;
    int64_t time_ms;
};

struct words_setting {
    bool chain;
    bool has_source;      /* the app makes the records itself */
    int64_t source_count; /* how many; -1: no end */
    int64_t fail_id;      /* the agent fails at this record; -1: never */
    const char *in;       /* URLs; NULL: the default */
    const char *out;
};

extern struct words_setting words_setting; /* of the apps built from now on */
extern const sabot_app_entry words_app;

/* A folder, a configuration, and the paths of an input and an output in the folder. */
struct words {
    char folder[64];
    char in[128];
    char out[128];
    sabot_config *config;
    sabot_error error;
};

/* A fixture of cmocka; the setting is back at its defaults. */
int words_setup(void **state);
int words_teardown(void **state);

#define WORDS_TEST(name) cmocka_unit_test_setup_teardown(name, words_setup, words_teardown)

/* Bind the app's input and output to the two files. */
void words_bind_files(struct words *words);
void words_set(struct words *words, const char *name, const char *value);

/* The text of record `id` as JSON; its size. */
size_t words_format(char *text, size_t size, int64_t id);
/* Write records 0..count-1 to the input file. */
void words_write(const struct words *words, int64_t count);

/* What came out: seen[id] is how often record `id` did. Every text is checked by itself. */
struct words_seen {
    uint32_t seen[WORDS_MAX];
    uint32_t count;
};
void words_see(struct words_seen *seen, const char *text, size_t size);
void words_read(const struct words *words, struct words_seen *seen);
/* Each of 0..count-1 once, and nothing else. */
void words_expect(const struct words_seen *seen, int64_t count);

#endif
