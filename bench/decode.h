/* SPDX-License-Identifier: Apache-2.0 */
/* decode.h - what the contestants of bench/decode.c share: plain columns that C and C++ can fill.
 */
#ifndef SB_BENCH_DECODE_H
#define SB_BENCH_DECODE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FIELD_COUNT = 11, PLAIN_ROWS = 1024, PLAIN_TEXT = 64 * PLAIN_ROWS };

/* A transaction's columns in plain arrays: less work than a batch's, to the benefit of peers. */
struct plain_columns {
    uint32_t rows;
    int64_t id[PLAIN_ROWS];
    double amount[PLAIN_ROWS];
    int64_t time_ms[PLAIN_ROWS];
    int32_t offsets[8][PLAIN_ROWS + 1];
    char text[8][PLAIN_TEXT];
};

/* `padded`: more than 64 readable bytes follow the record. False: refused. */
int simdjson_in_order(const char *padded, size_t size, struct plain_columns *columns);
int simdjson_any_order(const char *padded, size_t size, struct plain_columns *columns);

#ifdef __cplusplus
}
#endif
#endif
