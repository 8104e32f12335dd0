/* SPDX-License-Identifier: Apache-2.0 */
/* json_random.h - random JSON records for the schema of json_fixture.h, by seed; also for C++. */
#ifndef SB_TEST_JSON_RANDOM_H
#define SB_TEST_JSON_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { JSON_RANDOM_MAX = 16 * 1024 }; /* bytes of a record, at most */

/* The next number of a seed, which is not 0. */
uint64_t json_dice(uint64_t *seed, uint64_t sides);

/* A well-formed record into `out`, which has room for JSON_RANDOM_MAX bytes: known fields that
 * mostly fit, in any order and some twice, unknown ones of all shapes. Its size. */
size_t json_random_record(uint64_t *seed, char *out);

/* Change a few bytes of it: flipped, replaced by some that matter, cut, doubled. Its new size. */
size_t json_random_damage(uint64_t *seed, char *record, size_t size);

/* --- The decoder, as C++ may see it ----------------------------------------------------------- */

struct json_bridge;

enum json_bridge_field {
    BRIDGE_FLAG,
    BRIDGE_SMALL,
    BRIDGE_BIG,
    BRIDGE_REAL,
    BRIDGE_TIME,
    BRIDGE_NAME,
    BRIDGE_BLOB,
    BRIDGE_COUNTRY,
    BRIDGE_NUMBER,
    BRIDGE_OWNER,
    BRIDGE_FIELDS,
};

struct json_bridge_value {
    int present;
    int64_t integer;
    double real;
    const char *text; /* valid until the next record */
    size_t size;
};

struct json_bridge *json_bridge_open(void);
void json_bridge_close(struct json_bridge *bridge);
/* The sabot_status of decoding it, and its values when that is 0. */
int json_bridge_decode(struct json_bridge *bridge,
                       const char *record,
                       size_t size,
                       struct json_bridge_value values_out[BRIDGE_FIELDS]);
const char *json_bridge_error(const struct json_bridge *bridge);

#ifdef __cplusplus
}
#endif
#endif
