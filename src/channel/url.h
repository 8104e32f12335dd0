/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - where a channel is, and how it is opened: `scheme:rest?name=value&name=value`.
 *
 *     memory:                                         the channel of the app's name
 *     memory:transactions?partitions=4&bytes=64MiB
 *     file:data/tx.jsonl?follow=true                  a path, literally, up to the `?`
 *     file:-                                          standard input or output
 *     kafka://host:9092,other:9092/topic?partitions=3&replication=1
 *
 * A transport says by a table of rules which parameters it knows; anything else is an error that
 * names the parameter and lists the known ones. Names and values are percent-decoded, `rest` is
 * taken as it is.
 *
 * Ownership: a url holds its own copy of the text. Threads: none but the caller's. */
#ifndef SB_CHANNEL_URL_H
#define SB_CHANNEL_URL_H

#include "base/mem.h"

enum { SB_URL_MAX = 4096 /* bytes */, SB_URL_RULES_MAX = 16 };

enum sb_url_type {
    SB_URL_BOOL,  /* true, false */
    SB_URL_INT,   /* decimal */
    SB_URL_BYTES, /* decimal, with B, KiB, MiB, GiB or TiB behind it, or nothing */
    SB_URL_TEXT,  /* not empty */
};

/* A parameter that a transport knows. */
struct sb_url_rule {
    const char *name;
    enum sb_url_type type;
    int64_t min; /* int, bytes: the range */
    int64_t max;
};

struct sb_url_value {
    bool given;
    int64_t number;   /* bool, int, bytes */
    const char *text; /* as it was given, decoded */
};

struct sb_url {
    const struct sb_env *env;
    char *text;                                   /* the memory of all strings here */
    size_t text_size;                             /* of that memory */
    const char *scheme;                           /* "file" */
    const char *rest;                             /* "data/tx.jsonl" */
    struct sb_url_value values[SB_URL_RULES_MAX]; /* by the index of the rule */
};

/* The length of the scheme of a URL, 0 when it has none. */
size_t sb_url_scheme(const char *text);

/* Take a URL apart. SABOT_ERR_CONFIG names the part that is wrong; SABOT_ERR_MEMORY. The scheme is
 * not judged. */
SABOT_MUST_CHECK sabot_status sb_url_init(struct sb_url *url,
                                          const struct sb_env *env,
                                          const char *text,
                                          const struct sb_url_rule *rules,
                                          size_t rule_count,
                                          sabot_error *error);
void sb_url_reset(struct sb_url *url);

/* The number of a bool, int or bytes parameter (by the index of its rule), or `default_number` when
 * not given. */
int64_t sb_url_number(const struct sb_url *url, size_t rule, int64_t default_number);

#endif
