/* SPDX-License-Identifier: Apache-2.0 */
/* json_oracle.h - what jansson says a record is, compared with what the decoder made of it. */
#ifndef SB_TEST_JSON_ORACLE_H
#define SB_TEST_JSON_ORACLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "json_random.h"

/* What should become of a record. */
enum json_verdict { JSON_FITS, JSON_UNFIT, JSON_MALFORMED, JSON_UNKNOWN };

/* The value at `path` of the record; NULL: missing or null. *fits_io: an object is none. */
static inline const json_t *json_oracle_find(const json_t *record, const char *path, bool *fits_io)
{
    while (record != NULL && !json_is_null(record)) {
        const char *dot = strchr(path, '.');
        char key[64];

        if (!json_is_object(record)) {
            *fits_io = false;
            return NULL;
        }
        (void)snprintf(key, sizeof key, "%.*s",
                       (int)(dot == NULL ? strlen(path) : (size_t)(dot - path)), path);
        record = json_object_get(record, key);
        if (dot == NULL)
            break;
        path = dot + 1;
    }
    return json_is_null(record) ? NULL : record;
}

/* Is `text` what these bytes are in base64? Written apart from the decoder, letter by letter. */
static inline bool json_oracle_base64(const char *text,
                                      size_t size,
                                      const char *bytes,
                                      size_t count)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (size != (count + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < size; i++) {
        const size_t bit = i * 6;
        unsigned value = 0;

        if (i >= (count * 8 + 5) / 6) {
            if (text[i] != '=')
                return false;
            continue;
        }
        for (size_t j = bit; j < bit + 6; j++)
            value = value << 1 |
                    (j / 8 < count ? (unsigned)((uint8_t)bytes[j / 8] >> (7 - j % 8)) & 1 : 0);
        if (text[i] != letters[value])
            return false;
    }
    return true;
}

/* Does the value fit its field, and is it the one decoded (when `got` is not NULL)? */
static inline bool json_oracle_value(const json_t *value,
                                     enum json_bridge_field field,
                                     const struct json_bridge_value *got)
{
    switch (field) {
    case BRIDGE_FLAG:
        return json_is_boolean(value) && (got == NULL || got->integer == json_is_true(value));
    case BRIDGE_SMALL:
        return json_is_integer(value) && json_integer_value(value) >= INT32_MIN &&
               json_integer_value(value) <= INT32_MAX &&
               (got == NULL || got->integer == json_integer_value(value));
    case BRIDGE_BIG:
    case BRIDGE_TIME:
    case BRIDGE_NUMBER:
        return json_is_integer(value) && (got == NULL || got->integer == json_integer_value(value));
    case BRIDGE_REAL:
        return json_is_number(value) && (got == NULL || got->real == json_number_value(value));
    case BRIDGE_BLOB: /* whether it is base64 is only known from what was decoded */
        return json_is_string(value) &&
               (got == NULL || json_oracle_base64(json_string_value(value),
                                                  json_string_length(value), got->text, got->size));
    case BRIDGE_NAME:
    case BRIDGE_COUNTRY:
    case BRIDGE_OWNER:
        return json_is_string(value) &&
               (got == NULL || (got->size == json_string_length(value) &&
                                memcmp(got->text, json_string_value(value), got->size) == 0));
    case BRIDGE_FIELDS: break;
    }
    return false;
}

static const char *const json_oracle_paths[BRIDGE_FIELDS] = {
    "flag", "small", "big",          "real",        "time",
    "name", "blob",  "card.country", "card.number", "card.owner.name"};

/* `got`: what was decoded, or NULL when it was refused. JSON_FITS then means that all is the same;
 * *why_out names the field that is not. */
static inline enum json_verdict json_oracle(const char *record,
                                            size_t size,
                                            const struct json_bridge_value *got,
                                            const char **why_out)
{
    json_error_t error;
    json_t *root = json_loadb(record, size, JSON_ALLOW_NUL, &error);
    enum json_verdict verdict = JSON_FITS;

    *why_out = "";
    /* It refuses numbers out of range wherever they stand, the decoder only where one is wanted;
     * and it has no keys with a NUL. */
    if (root == NULL && (json_error_code(&error) == json_error_numeric_overflow ||
                         json_error_code(&error) == json_error_null_byte_in_key))
        return JSON_UNKNOWN;
    if (root == NULL)
        return JSON_MALFORMED;
    /* It overlooks a NUL right behind a number. */
    if (memchr(record, '\0', size) != NULL) {
        json_decref(root);
        return JSON_UNKNOWN;
    }
    if (!json_is_object(root))
        verdict = JSON_MALFORMED;
    for (int i = 0; i < BRIDGE_FIELDS && verdict == JSON_FITS; i++) {
        bool fits = true;
        const json_t *value = json_oracle_find(root, json_oracle_paths[i], &fits);

        if (fits && value != NULL)
            fits =
                json_oracle_value(value, (enum json_bridge_field)i, got == NULL ? NULL : &got[i]);
        if (!fits || (got != NULL && got[i].present != (value != NULL))) {
            *why_out = json_oracle_paths[i];
            verdict = JSON_UNFIT;
        }
    }
    json_decref(root);
    return verdict;
}

#endif
