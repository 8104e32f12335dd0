/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - the JSON codec: one record is one object (RFC 8259).
 *
 *   field      in a record                        refused (SABOT_ERR_SCHEMA)
 *   bool       true, false                        anything else
 *   int32/64,  an integer in range                1.0, 1e3: written as fractions they are none
 *   timestamp
 *   float64    any number; nearest double         beyond the largest double
 *   utf8       a string
 *   binary     a string of base64 with padding    other letters, bits left over
 *   a.b        {"a":{"b":...}}                     an "a" that is neither object nor null
 *
 * null is the same as missing. Fields that the schema doesn't have are passed, but their syntax is
 * checked in full. Of duplicate keys the last wins, each must fit: a second {"a":{...}} replaces
 * the first as a whole, so that fields which only the first had are missing.
 *
 * Not well-formed, thus SABOT_ERR_FORMAT: bytes behind the object, a byte-order mark, NUL and other
 * control characters in strings, what is not UTF-8, half a surrogate pair, NaN, comments. "\u0000"
 * is a character like others.
 *
 * Written: members in the order of the schema, those of one object together; a missing field is
 * left out, and an object without members too; of a double the fewest digits that read back as the
 * same double; UTF-8 as it is. */
#include "format/json.h"

const struct sb_codec_type sb_codec_json = {
    .name = "json",
    .decoder_create = sb_json_decoder_create,
    .decoder_destroy = sb_json_decoder_destroy,
    .decode = sb_json_decode,
    .encoder_create = sb_json_encoder_create,
    .encoder_destroy = sb_json_encoder_destroy,
    .encode = sb_json_encode,
};
