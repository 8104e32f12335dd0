/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the one option table, and how a value is checked against a row of it.
 *
 * Everything that names an option comes from this table: -O, the configuration file, --help and
 * docs/CONFIGURATION.md. A row is text all through, its range too, so that what is printed is what
 * is checked. Options of an app are rows of the same kind, made while it is built (config.h).
 *
 * Ownership: rows of the table are static. Threads: stateless. */
#ifndef SB_API_OPTIONS_H
#define SB_API_OPTIONS_H

#include <sabot/run.h>

enum sb_option_type {
    SB_OPTION_BOOL,  /* true, false */
    SB_OPTION_INT,   /* decimal */
    SB_OPTION_BYTES, /* decimal, with B, KiB, MiB, GiB or TiB behind it, or nothing */
    SB_OPTION_FLOAT, /* as C reads it; finite */
    SB_OPTION_TEXT,
    SB_OPTION_ENUM, /* one of the words of its range */
};

enum {
    SB_OPTION_SECRET = 1, /* refused on the command line, never printed */
    SB_OPTION_PASSED = 2, /* handed on as it is to whom the group belongs */
};

struct sb_option {
    const char *name; /* "errors.decode"; "kafka.*": all of that group that have no row */
    enum sb_option_type type;
    const char *unit;          /* "bytes", "" */
    const char *range;         /* numbers: "1..64", "0..", ""; enums: "fail|skip" */
    const char *default_value; /* "": none */
    uint32_t flags;            /* SB_OPTION_SECRET, SB_OPTION_PASSED */
    const char *doc;           /* one sentence */
};

/* What a text of the option's type means. */
struct sb_option_value {
    int64_t number; /* bool, int, bytes; enum: the place of the word */
    double real;    /* float */
};

/* NULL past the end. */
const struct sb_option *sb_option_at(size_t index);

/* The row of a name, or that of its group; NULL: unknown. */
const struct sb_option *sb_option_find(const char *name);

/* Is the first part of this name a group of the table (or "bind")? Apps can't have it then. */
bool sb_option_is_grouped(const char *name);

/* May this be a name at all: letters, digits and . _ - and at most `size_max` bytes? */
bool sb_option_is_name(const char *name, size_t size_max);

/* A row as the public table shows it. */
sabot_option sb_option_show(const struct sb_option *option);

/* Read and check a value. SABOT_ERR_CONFIG says what is expected. */
SABOT_MUST_CHECK sabot_status sb_option_parse(const struct sb_option *option,
                                              const char *text,
                                              struct sb_option_value *value_out,
                                              sabot_error *error);

/* --- Suggestions ---------------------------------------------------------------------------------
 *
 * The nearest of many names: start with {.wanted = name}, look at each, take `nearest`: NULL when
 * none is near enough to have been meant. */
struct sb_nearest {
    const char *wanted;
    const char *nearest;
    size_t distance; /* of the nearest, in edits */
};

void sb_nearest_look(struct sb_nearest *search, const char *candidate);
/* All rows of the table. */
void sb_nearest_look_at_options(struct sb_nearest *search);

#endif
