/* SPDX-License-Identifier: Apache-2.0 */
/* json_random.c - random records, well-formed or damaged; see json_random.h. */
#include "json_random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_fixture.h"

enum { PIECE_MAX = 64, SIZE_STOP = JSON_RANDOM_MAX - 4096 };

struct writer {
    uint64_t *seed;
    char *at;
    const char *stop; /* from here on, only what is open is closed */
};

uint64_t json_dice(uint64_t *seed, uint64_t sides)
{
    return (json_random(seed) >> 11) % sides;
}

static uint64_t roll(struct writer *writer, uint64_t sides)
{
    return json_dice(writer->seed, sides);
}

static void put(struct writer *writer, const char *piece)
{
    const size_t size = strlen(piece);

    memcpy(writer->at, piece, size);
    writer->at += size;
}

static void put_space(struct writer *writer)
{
    static const char *const spaces[] = {" ", "\n", "\t", "\r", "  ", "\r\n\t "};

    if (roll(writer, 8) == 0)
        put(writer, spaces[roll(writer, 6)]);
}

static void put_string(struct writer *writer)
{
    static const char *const pieces[] = {"a",
                                         "0123456789abcdef",
                                         "\xc3\xad",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u00e9",
                                         "\\uD83D\\uDe00",
                                         "\\u0000",
                                         "Santiago",
                                         "\x7f",
                                         "\\u20AC",
                                         " and ",
                                         "{\\\"",
                                         "],",
                                         "\xef\xbf\xbf",
                                         "\xed\x9f\xbf"};
    const bool plain = roll(writer, 2) == 0;

    put(writer, "\"");
    for (uint64_t count = roll(writer, 9); count > 0; count--)
        put(writer, plain ? (roll(writer, 2) == 0 ? "x" : "La Serena") : pieces[roll(writer, 20)]);
    put(writer, "\"");
}

static void put_integer(struct writer *writer)
{
    static const char *const edges[] = {"0",
                                        "-0",
                                        "2147483647",
                                        "2147483648",
                                        "-2147483648",
                                        "9223372036854775807",
                                        "-9223372036854775808"};
    char text[PIECE_MAX];
    uint64_t shift;

    if (roll(writer, 12) == 0) {
        put(writer, edges[roll(writer, 7)]);
        return;
    }
    shift = roll(writer, 60) + 1;
    (void)snprintf(text, sizeof text, "%lld",
                   (long long)((int64_t)json_random(writer->seed) >> shift));
    put(writer, text);
}

static void put_real(struct writer *writer)
{
    char text[PIECE_MAX];

    put_integer(writer);
    if (roll(writer, 3) != 0) {
        const int width = (int)roll(writer, 20) + 1;
        const uint64_t shift = roll(writer, 63) + 1;

        (void)snprintf(text, sizeof text, ".%0*lld", width,
                       (long long)(json_random(writer->seed) >> shift));
        put(writer, text);
    }
    if (roll(writer, 3) == 0) {
        static const char *const marks[] = {"e", "E", "e+", "E-", "e-", "E+"};
        const char *mark = marks[roll(writer, 6)];

        (void)snprintf(text, sizeof text, "%s%d", mark, (int)roll(writer, 250));
        put(writer, text);
    }
}

static void put_base64(struct writer *writer)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char group[5] = {0};

    put(writer, "\"");
    for (uint64_t count = roll(writer, 6); count > 0; count--) {
        for (int i = 0; i < 4; i++)
            group[i] = letters[roll(writer, 64)];
        put(writer, group);
    }
    put(writer, roll(writer, 3) == 0 ? "AQ==\"" : roll(writer, 2) == 0 ? "AAE=\"" : "\"");
}

static void put_scalar(struct writer *writer)
{
    static const char *const words[] = {"null", "true", "false"};

    switch (roll(writer, 4)) {
    case 0: put_string(writer); break;
    case 1: put_integer(writer); break;
    case 2: put_real(writer); break;
    default: put(writer, words[roll(writer, 3)]);
    }
}

/* Something that nobody wants, of any shape. */
static void put_unknown(struct writer *writer)
{
    char closing[32];
    size_t depth = 0;

    for (;;) {
        const uint64_t dice = roll(writer, 3);

        put_space(writer);
        if (dice == 0 && depth < sizeof closing && writer->at < writer->stop) {
            const bool is_object = roll(writer, 2) == 0;

            put(writer, is_object ? "{" : "[");
            closing[depth++] = is_object ? '}' : ']';
            if (is_object)
                put(writer, roll(writer, 2) == 0 ? "\"small\" :" : "\"k\":");
            continue;
        }
        put_scalar(writer);
        while (depth > 0 && (roll(writer, 2) == 0 || writer->at >= writer->stop)) {
            put_space(writer);
            *writer->at++ = closing[--depth];
        }
        if (depth == 0)
            return;
        put(writer, closing[depth - 1] == '}' ? ",\"\\u006b\":" : " ,");
    }
}

static void put_known(struct writer *writer, uint64_t field)
{
    if (roll(writer, 15) == 0) {
        put(writer, "null");
        return;
    }
    if (roll(writer, 60) == 0) {
        put_unknown(writer); /* which seldom fits */
        return;
    }
    switch (field) {
    case FLAG: put(writer, roll(writer, 2) == 0 ? "true" : "false"); break;
    case SMALL: put(writer, roll(writer, 2) == 0 ? "-7" : "2147483647"); break;
    case REAL: put_real(writer); break;
    case BIG:
    case TIME:
    case NUMBER: put_integer(writer); break;
    case BLOB: put_base64(writer); break;
    default: put_string(writer);
    }
}

/* An object's members: those fields from `first` to `last`, and strangers, in any order. */
static void put_members(struct writer *writer, uint64_t first, uint64_t last, bool more)
{
    static const char *const keys[] = {"flag", "small", "big",     "real",   "time",
                                       "name", "blob",  "country", "number", "name"};
    static const char *const escaped[] = {
        "\\u0066lag", "sm\\u0061ll", "bi\\u0067",     "\\u0072eal",   "tim\\u0065",
        "n\\u0061me", "b\\u006cob",  "c\\u006funtry", "numbe\\u0072", "n\\u0061me"};

    for (uint64_t count = roll(writer, 14); count > 0 && writer->at < writer->stop; count--) {
        const uint64_t field = first + roll(writer, last - first + 1);

        if (more)
            put(writer, ",");
        more = true;
        put_space(writer);
        put(writer, "\"");
        if (roll(writer, 5) == 0) {
            put(writer, roll(writer, 2) == 0 ? "smal" : "\xc3\xad");
            put(writer, "\":");
            put_unknown(writer);
        } else {
            put(writer, roll(writer, 20) == 0 ? escaped[field] : keys[field]);
            put(writer, "\"");
            put_space(writer);
            put(writer, ":");
            put_space(writer);
            put_known(writer, field);
        }
        put_space(writer);
    }
}

size_t json_random_record(uint64_t *seed, char *out)
{
    struct writer writer = {.at = out, .stop = out + SIZE_STOP};

    writer.seed = seed;
    put_space(&writer);
    put(&writer, "{\"x\":1");
    put_members(&writer, FLAG, BLOB, true);
    for (uint64_t cards = roll(&writer, 3); cards > 0; cards--) {
        put(&writer, ",\"card\":");
        if (roll(&writer, 20) == 0) {
            put(&writer, "null");
            continue;
        }
        put(&writer, "{\"y\":[]");
        put_members(&writer, COUNTRY, NUMBER, true);
        for (uint64_t owners = roll(&writer, 3); owners > 0; owners--) {
            put(&writer, ",\"owner\":{");
            put_members(&writer, OWNER, OWNER, false);
            put(&writer, "}");
        }
        put(&writer, "}");
        put_members(&writer, FLAG, BLOB, true);
    }
    put(&writer, "}");
    put_space(&writer);
    return (size_t)(writer.at - out);
}

size_t json_random_damage(uint64_t *seed, char *record, size_t size)
{
    static const char telling[] = "{}[]\",:\\ue+-.0192tfn \t\n\x80\xc3\xed\xff\x1f";

    for (uint64_t count = json_dice(seed, 3) + 1; count > 0 && size > 0; count--) {
        const size_t at = json_dice(seed, size);

        switch (json_dice(seed, 5)) {
        case 0: record[at] = (char)(record[at] ^ (1 << json_dice(seed, 8))); break;
        case 1: record[at] = telling[json_dice(seed, sizeof telling)]; break; /* also a NUL */
        case 2: size = json_dice(seed, 4) == 0 ? at : size; break;
        case 3:
            memmove(record + at, record + at + 1, size - at - 1);
            size--;
            break;
        default:
            if (size == JSON_RANDOM_MAX)
                break;
            memmove(record + at + 1, record + at, size - at);
            size++;
        }
    }
    return size;
}

/* --- The bridge ------------------------------------------------------------------------------- */

struct json_bridge {
    struct json_fixture fixture;
};

struct json_bridge *json_bridge_open(void)
{
    struct json_bridge *bridge = malloc(sizeof *bridge);

    json_fixture_open(&bridge->fixture, &wide_table, 64, 1024 * 1024);
    return bridge;
}

void json_bridge_close(struct json_bridge *bridge)
{
    json_fixture_close(&bridge->fixture);
    free(bridge);
}

static struct json_bridge_value text_value(sabot_text text)
{
    return (struct json_bridge_value){text.data != NULL, 0, 0, text.data, text.size};
}

int json_bridge_decode(struct json_bridge *bridge,
                       const char *record,
                       size_t size,
                       struct json_bridge_value values[BRIDGE_FIELDS])
{
    struct json_fixture *json = &bridge->fixture;
    const sabot_status status = json_decode(json, record, size);
    struct wide row;

    if (status != SABOT_OK)
        return (int)status;
    row = json_row(json);
    values[FLAG] = (struct json_bridge_value){.integer = row.flag};
    values[SMALL] = (struct json_bridge_value){.integer = row.small};
    values[BIG] = (struct json_bridge_value){.integer = row.big};
    values[REAL] = (struct json_bridge_value){.real = row.real};
    values[TIME] = (struct json_bridge_value){.integer = row.time};
    values[NAME] = text_value(row.name);
    values[BLOB] = text_value(row.blob);
    values[COUNTRY] = text_value(row.country);
    values[NUMBER] = (struct json_bridge_value){.integer = row.number};
    values[OWNER] = text_value(row.owner);
    for (uint32_t i = 0; i < BRIDGE_FIELDS; i++)
        values[i].present = json_has(json, i);
    return 0;
}

const char *json_bridge_error(const struct json_bridge *bridge)
{
    return bridge->fixture.error.text;
}
