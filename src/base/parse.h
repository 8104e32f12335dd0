/* SPDX-License-Identifier: Apache-2.0 */
/* parse.h - numbers as people write them: in options, and in parameters of URLs.
 *
 * A text is taken as a whole or not at all: no blanks, no sign but '-', nothing behind it. The
 * locale of the process has no say. On false the output is unchanged.
 *
 * Threads: stateless. Memory: none. */
#ifndef SB_BASE_PARSE_H
#define SB_BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

enum { SB_FLOAT64_TEXT_SIZE = 32 /* bytes of a double as text, with its NUL */ };

/* "true", "false" */
bool sb_parse_bool(const char *text, bool *value_out);
/* Decimal. False: out of range, too. */
bool sb_parse_int64(const char *text, int64_t *number_out);
/* Decimal, with B, KiB, MiB, GiB or TiB behind it, or nothing; not negative. */
bool sb_parse_bytes(const char *text, int64_t *bytes_out);
/* As in C, but no hexadecimal; finite. */
bool sb_parse_float64(const char *text, double *number_out);

/* As short as it can be read back; `number` is not NaN. */
void sb_write_float64(char text_out[SB_FLOAT64_TEXT_SIZE], double number);

#endif
