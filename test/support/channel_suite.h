/* SPDX-License-Identifier: Apache-2.0 */
/* channel_suite.h - what every transport must do, written against struct sb_channel_type only.
 *
 * A transport fills in a `struct channel_suite` and calls channel_suite_run(), which runs every
 * test that applies as a cmocka group. The embedded log, a real broker and files pass the same
 * tests, so that they can't drift apart.
 *
 * The suite never sleeps: it calls, and on SABOT_AGAIN waits for the waker, at most
 * `patience_ms`. Names of channels are unique in a run ("suite-" and 16 hex digits), so a broker
 * need not be emptied. Random tests print their seed. */
#ifndef SB_TEST_CHANNEL_SUITE_H
#define SB_TEST_CHANNEL_SUITE_H

#include "channel/channel.h"

struct channel_suite {
    const char *name; /* of the transport, for the test report */
    const struct sb_channel_type *type;

    /* Before and after each test, with its environment; what setup returns is handed to the other
     * hooks. NULL: nothing to do. */
    void *(*setup)(const struct sb_env *env);
    void (*teardown)(void *context);
    /* Where there is another environment than the system's: which, and how one waits in it for
     * something to happen. Both or neither. */
    struct sb_env *(*env)(void *context);
    void (*wait)(void *context);
    /* The URL of a channel; the same name is the same log. With `partitions` partitions, created by
     * the first prepare if it isn't there. */
    void (*url)(void *context, const char *name, int32_t partitions, char *url_out, size_t size);
    /* What else a config needs (the log, options). The suite has set name, url, for_reading,
     * for_writing, until_end, buffer_bytes, record_max and start ("earliest"). May be NULL. */
    void (*configure)(void *context, struct sb_channel_config *config);

    /* What the transport can. */
    int32_t partitions_max; /* 1: the tests of several partitions are left out */
    bool keys;
    bool headers;
    bool timestamps;   /* gives back what was written */
    bool nulls;        /* no value is another thing than an empty one */
    bool live;         /* readers see what is flushed while the writer is open, and wait for it */
    bool ends;         /* a reader ends when the last writer has closed (or at the end of a file) */
    bool bounded;      /* a writer gets SABOT_AGAIN once buffer_bytes are written and not read */
    bool gaps;         /* a reader refuses a position behind the end */
    bool groups;       /* commit, committed */
    bool transactions; /* txn_* */

    uint32_t many;          /* records of the larger tests: 2000 */
    uint32_t rounds;        /* random schedules of transactions: some hundred, or a few */
    int64_t txn_timeout_ms; /* a short timeout that a transaction of a test may wait for */
    int64_t patience_ms;    /* longest wait for anything: 60000 */
};

/* Runs the group; the number of failed tests, for main() to return. */
int channel_suite_run(const struct channel_suite *suite);

#endif
