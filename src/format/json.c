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

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The word null, alone. */
static bool is_null(sabot_text bytes)
{
    static const char word[] = {'n', 'u', 'l', 'l'};

    for (; bytes.size > 0 && is_space(bytes.data[0]); bytes.size--)
        bytes.data++;
    while (bytes.size > 0 && is_space(bytes.data[bytes.size - 1]))
        bytes.size--;
    return bytes.size == sizeof word && memcmp(bytes.data, word, sizeof word) == 0;
}

const struct sb_codec_type sb_codec_json = {
    .name = "json",
    .decoder_create = sb_json_decoder_create,
    .decoder_destroy = sb_json_decoder_destroy,
    .decode = sb_json_decode,
    .is_null = is_null,
    .encoder_create = sb_json_encoder_create,
    .encoder_destroy = sb_json_encoder_destroy,
    .encoded_max = sb_json_encoded_max,
    .encode = sb_json_encode,
};
