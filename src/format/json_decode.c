/* SPDX-License-Identifier: Apache-2.0 */
/* json_decode.c - a record into a row of columns: the hot path of the whole engine.
 *
 * Producers write the same fields in the same order again and again. So each member remembers the
 * bytes that stood between its value and the next one the last time, comma, key, colon and blanks
 * together, and which member came then. Most records are nothing but
 *
 *     compare those bytes -> read the value into its column -> compare those bytes -> ...
 *
 * and only where they differ, the key is read by the full syntax, looked up, and remembered. The
 * guess can't be wrong: the same bytes at a place of the same kind always mean the same.
 *
 *   { --first--> member --link--> member --link--> ... }       a nested member is a { of its own
 *                   \--full syntax, when the link differs--/
 *
 * Short texts are copied into their column 16 bytes at a time while being looked through; a column
 * has room for what is copied too much. Everything rare (escapes, long texts, null, nesting of
 * unknown fields) is behind a call.
 *
 * Invariants: nothing at or behind `end` is read; a row is committed after the last byte of the
 * record has been checked, and dropped on any error. Memory: links and scratch, made at creation;
 * none per record but growing text columns. Threads: the decoder's owner. */
#include <math.h>

#include "format/json_block.h"

#include "format/json.h"

#include "format/json_digits.h"

enum {
    DEPTH_MAX = 1024,                       /* of limits.depth_max */
    RECORD_MAX = 1024 * 1024 * 1024,        /* of limits.record_max */
    KEY_SHORT = 2 * SB_JSON_BLOCK,          /* bytes in which a key ends, mostly */
    TEXT_SHORT = 64,                        /* bytes that are copied in blocks */
    KEY_RAW_MAX = SABOT_FIELD_PATH_MAX * 6, /* bytes of the longest known key, escaped */
    NESTING_WORDS = DEPTH_MAX / 64,
};

_Static_assert((int)SB_BATCH_SLACK >= (int)SB_JSON_BLOCK,
               "a column has room behind its last block");

/* An object that is open: where to go on behind it. */
struct frame {
    struct sb_json_object *object;
    struct sb_json_link *link; /* behind the nested member */
    uint32_t strangers;        /* fields so far that the schema doesn't have */
};

struct sb_decoder {
    struct sb_json_reader reader;
    struct sb_builder *builder; /* of the record being decoded */
    uint64_t record;            /* its number */
    const struct sb_env *env;
    const struct sb_schema *schema;
    struct sb_codec_limits limits;
    struct sb_json_tree tree;
    uint64_t nesting[NESTING_WORDS];
    struct frame frames[SABOT_FIELD_DEPTH_MAX];
    uint8_t key[KEY_RAW_MAX];
};

/* --- Values ----------------------------------------------------------------------------------- */

static void clear_nested(struct sb_decoder *decoder, const struct sb_json_member *member)
{
    const struct sb_schema *schema = decoder->schema;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        if (field->path_size > member->path_size && field->path[member->path_size] == '.' &&
            memcmp(field->path, member->path, member->path_size) == 0)
            sb_builder_null(decoder->builder, i);
    }
}

/* A value that does not begin as the member's type does: null, or an error. */
static const uint8_t *read_other(struct sb_decoder *decoder,
                                 const struct sb_json_member *member,
                                 const uint8_t *at)
{
    struct sb_json_reader *reader = &decoder->reader;
    const uint8_t *behind;

    if (*at != '"' && *at != '{' && *at != '[') {
        behind = sb_json_skip(reader, at, 0);
        if (behind == NULL) {
            reader->fault.member = member;
            return NULL;
        }
        if (*at == 'n') {
            if (member->type == SB_JSON_NESTED)
                clear_nested(decoder, member);
            else
                sb_builder_null(decoder->builder, member->field);
            return behind;
        }
    }
    return sb_json_fault(reader, SABOT_ERR_SCHEMA, at, member, NULL);
}

static const uint8_t *no_room(struct sb_decoder *decoder,
                              const struct sb_json_member *member,
                              const uint8_t *at,
                              size_t size)
{
    const struct sb_batch *batch = decoder->builder->batch;

    if (size > SB_BATCH_TEXT_MAX - (size_t)batch->columns[member->field].offsets[batch->rows])
        return sb_json_fault_limit(&decoder->reader, at, member, SB_BATCH_TEXT_MAX,
                                   "bytes in one column of a batch");
    return sb_json_fault(&decoder->reader, SABOT_ERR_MEMORY, at, member, "no memory for the text");
}

/* Any text, from behind its quote: find its end, then copy. */
static const uint8_t *read_text_long(struct sb_decoder *decoder,
                                     const struct sb_json_member *member,
                                     const uint8_t *at)
{
    struct sb_json_reader *reader = &decoder->reader;
    unsigned seen;
    const uint8_t *close = sb_json_string(reader, at, &seen);
    uint8_t *room;
    size_t size;

    if (close == NULL) {
        reader->fault.member = member;
        return NULL;
    }
    size = (size_t)(close - at);
    room = sb_builder_text_room(decoder->builder, member->field, size);
    if (room == NULL)
        return no_room(decoder, member, at, size);
    if ((seen & SB_JSON_ESCAPES) != 0) {
        const uint8_t *end = sb_json_unescape(reader, at, close, room);

        if (end == NULL) {
            reader->fault.member = member;
            return NULL;
        }
        size = (size_t)(end - room);
    } else {
        memcpy(room, at, size);
    }
    if (member->type == SABOT_BINARY && !sb_json_base64_decode(room, size, &size))
        return sb_json_fault(reader, SABOT_ERR_SCHEMA, at, member,
                             "a binary field is base64 with padding");
    sb_builder_text_done(decoder->builder, member->field, size);
    return close + 1;
}

/* A short text that is not plain ASCII, of which `at` is the block that is not. */
static const uint8_t *read_text_latin(struct sb_decoder *decoder,
                                      const struct sb_json_member *member,
                                      const uint8_t *at,
                                      const uint8_t *start)
{
    const struct sb_json_block block = sb_json_block(at);
    const uint32_t size = block.stops == 0 ? 0 : (uint32_t)__builtin_ctz(block.stops);
    const struct sb_batch *batch = decoder->builder->batch;

    if (block.stops == 0 || at[size] != '"' ||
        !sb_json_block_latin(at, block.high & ((UINT32_C(1) << size) - 1)))
        return read_text_long(decoder, member, start);
    sb_column_text_done(&batch->columns[member->field], batch->rows, (size_t)(at - start) + size);
    return at + size + 1;
}

/* A text: in blocks as long as it is short and plain, else from its beginning once more. */
static inline const uint8_t *read_text(struct sb_decoder *decoder,
                                       const struct sb_json_member *member,
                                       const uint8_t *at)
{
    const struct sb_batch *batch = decoder->builder->batch;
    const uint32_t row = batch->rows;
    struct sb_column *column = &batch->columns[member->field];
    const uint8_t *start = at + 1;
    size_t left;
    uint8_t *room;

    if (*at != '"')
        return read_other(decoder, member, at);
    room = sb_builder_text_room(decoder->builder, member->field, TEXT_SHORT);
    if (room == NULL)
        return no_room(decoder, member, at, TEXT_SHORT);
    left = (size_t)(decoder->reader.end - start);
    left = left < TEXT_SHORT ? left : TEXT_SHORT;
    for (at = start; left >= SB_JSON_BLOCK; at += SB_JSON_BLOCK, left -= SB_JSON_BLOCK) {
        const uint32_t ends = sb_json_block_ends(at);
        uint32_t size;

        memcpy(room, at, SB_JSON_BLOCK);
        room += SB_JSON_BLOCK;
        if (ends == 0)
            continue;
        size = (uint32_t)__builtin_ctz(ends);
        if (at[size] != '"')
            return at[size] < 0x80 ? read_text_long(decoder, member, start)
                                   : read_text_latin(decoder, member, at, start);
        at += size;
        sb_column_text_done(column, row, (size_t)(at - start));
        return at + 1;
    }
    return read_text_long(decoder, member, start);
}

/* Any integer, by the full syntax. */
static const uint8_t *read_int_long(struct sb_decoder *decoder,
                                    const struct sb_json_member *member,
                                    const uint8_t *at)
{
    const uint8_t *start = at;
    struct sb_json_number number;
    int64_t value;

    if (*at != '-' && (*at < '0' || *at > '9'))
        return read_other(decoder, member, at);
    at = sb_json_number(&decoder->reader, at, &number);
    if (at == NULL) {
        decoder->reader.fault.member = member;
        return NULL;
    }
    if (!number.integer)
        return sb_json_fault(&decoder->reader, SABOT_ERR_SCHEMA, start, member,
                             "a number with a fraction or exponent is no integer");
    if (!sb_json_number_int64(&number, &value) ||
        (member->type == SABOT_INT32 && (value < INT32_MIN || value > INT32_MAX)))
        return sb_json_fault(&decoder->reader, SABOT_ERR_SCHEMA, start, member,
                             "the integer is out of range");
    if (member->type == SABOT_INT32)
        sb_builder_int32(decoder->builder, member->field, (int32_t)value);
    else
        sb_builder_int64(decoder->builder, member->field, value);
    return at;
}

/* Does a number end here, so that what was read of it is all? */
static inline bool is_whole(const uint8_t *behind, const uint8_t *end)
{
    return behind < end && (*behind == ',' || *behind == '}');
}

/* A number that begins with a zero has no other digit before its point. */
static inline bool has_zeros(const uint8_t *first, const uint8_t *behind)
{
    return *first == '0' && behind - first > 1;
}

/* An integer of 64 bits: at once when it has up to 18 digits. */
static inline const uint8_t *read_int(struct sb_decoder *decoder,
                                      const struct sb_json_member *member,
                                      const uint8_t *at)
{
    const bool negative = *at == '-';
    const uint8_t *digits = at + negative;
    uint64_t value;
    const uint8_t *behind = sb_json_digits(digits, decoder->reader.end, &value);

    if (behind == digits || behind - digits > 18 || has_zeros(digits, behind) ||
        !is_whole(behind, decoder->reader.end))
        return read_int_long(decoder, member, at);
    sb_builder_int64(decoder->builder, member->field, negative ? -(int64_t)value : (int64_t)value);
    return behind;
}

/* Any number, by the full syntax. */
static const uint8_t *read_float_long(struct sb_decoder *decoder,
                                      const struct sb_json_member *member,
                                      const uint8_t *at)
{
    const uint8_t *start = at;
    struct sb_json_number number;
    double value;

    if (*at != '-' && (*at < '0' || *at > '9'))
        return read_other(decoder, member, at);
    at = sb_json_number(&decoder->reader, at, &number);
    if (at == NULL) {
        decoder->reader.fault.member = member;
        return NULL;
    }
    value = sb_json_number_float64(&number, at);
    if (!isfinite(value))
        return sb_json_fault(&decoder->reader, SABOT_ERR_SCHEMA, start, member,
                             "the number is out of the range of float64");
    sb_builder_float64(decoder->builder, member->field, value);
    return at;
}

/* A number: at once when it has up to 15 digits, which are exact in a double as the power of ten
 * is, and no exponent. */
static inline const uint8_t *read_float(struct sb_decoder *decoder,
                                        const struct sb_json_member *member,
                                        const uint8_t *at)
{
    const uint8_t *end = decoder->reader.end;
    const bool negative = *at == '-';
    const uint8_t *digits = at + negative;
    uint64_t mantissa;
    uint64_t fraction;
    const uint8_t *point = sb_json_digits(digits, end, &mantissa);
    const uint8_t *behind = point;
    double value;

    if (point < end && *point == '.') {
        behind = sb_json_digits(point + 1, end, &fraction);
        if (behind - digits > 16 || behind == point + 1)
            return read_float_long(decoder, member, at);
        mantissa = mantissa * sb_json_powers[behind - point - 1] + fraction;
        value = (double)(int64_t)mantissa / sb_json_scales[behind - point - 1];
    } else {
        value = (double)(int64_t)mantissa;
    }
    if (point == digits || behind - digits > 16 || has_zeros(digits, point) ||
        !is_whole(behind, end))
        return read_float_long(decoder, member, at);
    sb_builder_float64(decoder->builder, member->field, negative ? -value : value);
    return behind;
}

static const uint8_t *read_bool(struct sb_decoder *decoder,
                                const struct sb_json_member *member,
                                const uint8_t *at)
{
    const bool value = *at == 't';

    if (!value && *at != 'f')
        return read_other(decoder, member, at);
    at = sb_json_skip(&decoder->reader, at, 0);
    if (at == NULL)
        decoder->reader.fault.member = member;
    else
        sb_builder_bool(decoder->builder, member->field, value);
    return at;
}

/* --- Keys ------------------------------------------------------------------------------------- */

/* A key by the full syntax, from behind its quote. */
static const uint8_t *read_key_long(struct sb_decoder *decoder,
                                    const struct sb_json_object *object,
                                    const uint8_t *at,
                                    const struct sb_json_member **member_out)
{
    struct sb_json_reader *reader = &decoder->reader;
    const uint8_t *key = at;
    unsigned seen;
    const uint8_t *close = sb_json_string(reader, at, &seen);
    size_t size;

    *member_out = &sb_json_stranger;
    if (close == NULL)
        return NULL;
    size = (size_t)(close - at);
    if ((seen & SB_JSON_ESCAPES) != 0) {
        const uint8_t *end;

        if (size > sizeof decoder->key) /* no key that long is in a schema */
            return sb_json_escapes_valid(reader, at, close) ? close + 1 : NULL;
        end = sb_json_unescape(reader, at, close, decoder->key);
        if (end == NULL)
            return NULL;
        key = decoder->key;
        size = (size_t)(end - decoder->key);
    }
    *member_out = sb_json_tree_find(object, key, size);
    return close + 1;
}

/* The member that a key names: at once when it is short and plain. */
static inline const uint8_t *read_key(struct sb_decoder *decoder,
                                      const struct sb_json_object *object,
                                      const uint8_t *at,
                                      const struct sb_json_member **member_out)
{
    if (decoder->reader.end - at >= KEY_SHORT) {
        const uint32_t ends = sb_json_block_ends(at) | sb_json_block_ends(at + SB_JSON_BLOCK)
                                                           << SB_JSON_BLOCK;
        const uint32_t size = ends == 0 ? 0 : (uint32_t)__builtin_ctz(ends);

        if (ends != 0 && at[size] == '"') {
            *member_out = sb_json_tree_find(object, at, size);
            return at + size + 1;
        }
    }
    return read_key_long(decoder, object, at, member_out);
}

static const uint8_t *ends_early(struct sb_decoder *decoder)
{
    return sb_json_fault(&decoder->reader, SABOT_ERR_FORMAT, decoder->reader.end, NULL,
                         "the record ends inside of an object");
}

static void learn(struct sb_json_link *link,
                  const struct sb_json_member *member,
                  const uint8_t *way,
                  size_t size,
                  const uint8_t *end)
{
    link->member = member;
    link->size = SB_JSON_LINK_NONE;
    if (size > SB_JSON_LINK_MAX)
        return;
    link->size = (uint32_t)size;
    if (end - way >= SB_JSON_LINK_MAX)
        memcpy(link->bytes, way, SB_JSON_LINK_MAX); /* of a fixed size: no call */
    else
        memcpy(link->bytes, way, size);
}

/* What the link does not say: the way from behind a value, or behind the brace, to the next value,
 * which the link then remembers; or behind the closing brace of the object. */
static const uint8_t *read_way(struct sb_decoder *decoder,
                               const struct sb_json_object *object,
                               struct sb_json_link *link,
                               const uint8_t *at,
                               bool *closed_out)
{
    struct sb_json_reader *reader = &decoder->reader;
    const uint8_t *end = reader->end;
    const uint8_t *start = at;
    const bool first = link == object->first;
    const struct sb_json_member *member;

    if (at < end && *at <= ' ')
        at = sb_json_space(at, end);
    if (at == end)
        return ends_early(decoder);
    *closed_out = *at == '}';
    if (*closed_out)
        return at + 1;
    if (!first) {
        if (*at != ',')
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "a comma or } has to come");
        at = sb_json_space(at + 1, end);
        if (at == end)
            return ends_early(decoder);
    }
    if (*at != '"')
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                             first ? "a key in quotes or } has to come"
                                   : "a key in quotes has to come");
    at = read_key(decoder, object, at + 1, &member);
    if (at == NULL)
        return NULL;
    at = sb_json_space(at, end);
    if (at == end)
        return ends_early(decoder);
    if (*at != ':')
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, member, "a colon has to come");
    at = sb_json_space(at + 1, end);
    if (at == end)
        return ends_early(decoder);
    learn(link, member, start, (size_t)(at - start), end);
    return at;
}

/* --- Objects ---------------------------------------------------------------------------------- */

/* A nested member: behind the brace of its object, if it is one. */
static const uint8_t *enter(struct sb_decoder *decoder,
                            const struct sb_json_member *member,
                            const uint8_t *at,
                            uint32_t depth)
{
    if (*at != '{')
        return read_other(decoder, member, at);
    if (depth >= decoder->limits.depth_max)
        return sb_json_fault_limit(&decoder->reader, at, member, decoder->limits.depth_max,
                                   "objects and arrays inside of each other");
    if (member->object->record == decoder->record)
        clear_nested(decoder, member); /* the last one wins */
    member->object->record = decoder->record;
    return at + 1;
}

/* The value of a field, which is no text. */
static inline const uint8_t *read_field(struct sb_decoder *decoder,
                                        const struct sb_json_member *member,
                                        const uint8_t *at)
{
    switch (member->type) {
    case SABOT_INT64:
    case SABOT_TIMESTAMP: return read_int(decoder, member, at);
    case SABOT_FLOAT64: return read_float(decoder, member, at);
    case SABOT_INT32: return read_int_long(decoder, member, at);
    case SABOT_BOOL: return read_bool(decoder, member, at);
    default:
        SB_ASSERT(member->type == SABOT_BINARY);
        return *at == '"' ? read_text_long(decoder, member, at + 1)
                          : read_other(decoder, member, at);
    }
}

/* From behind a value, or behind a brace, to the next value, whose member the link then says; or
 * behind the closing brace. */
static inline const uint8_t *follow(struct sb_decoder *decoder,
                                    const struct sb_json_object *object,
                                    struct sb_json_link *link,
                                    const uint8_t *at,
                                    bool *closed_out)
{
    const uint8_t *end = decoder->reader.end;

    *closed_out = false;
    if ((size_t)(end - at) > link->size && sb_json_same(at, link->bytes, link->size)) {
        at += link->size;
        if (__builtin_expect(*at > ' ', 1))
            return at;
        /* The link ends where a value began; this time there is more space before it. */
        at = sb_json_space(at, end);
        return at == end ? ends_early(decoder) : at;
    }
    return read_way(decoder, object, link, at, closed_out);
}

/* The members of the record's object, from behind its brace; where it ends. */
static const uint8_t *read_object(struct sb_decoder *decoder, const uint8_t *at)
{
    struct frame *frame = decoder->frames;
    struct sb_json_link *link = decoder->tree.root->first;

    *frame = (struct frame){decoder->tree.root, NULL, 0};
    while (at != NULL) {
        const struct sb_json_member *member;
        bool closed;

        at = follow(decoder, frame->object, link, at, &closed);
        if (at == NULL)
            break;
        if (closed) {
            if (frame == decoder->frames)
                return at;
            frame--;
            link = frame->link;
            continue;
        }
        member = link->member;
        link = member->link;
        if (member->type == SABOT_UTF8) {
            at = read_text(decoder, member, at);
        } else if (__builtin_expect(member->type == SB_JSON_STRANGER, 0)) {
            link = &frame->object->strangers[frame->strangers % SB_JSON_STRANGERS];
            frame->strangers++;
            at = sb_json_skip(&decoder->reader, at, (uint32_t)(frame - decoder->frames) + 1);
        } else if (__builtin_expect(member->type == SB_JSON_NESTED, 0)) {
            const bool is_object = *at == '{';

            at = enter(decoder, member, at, (uint32_t)(frame - decoder->frames) + 1);
            if (is_object) {
                frame->link = link;
                link = member->object->first;
                *++frame = (struct frame){member->object, NULL, 0};
            }
        } else {
            at = read_field(decoder, member, at);
        }
    }
    return NULL;
}

/* --- Records ---------------------------------------------------------------------------------- */

/* The whole record; where it ends, or NULL. */
static const uint8_t *read_record(struct sb_decoder *decoder)
{
    struct sb_json_reader *reader = &decoder->reader;
    const uint8_t *at = sb_json_space(reader->start, reader->end);

    if (at == reader->end)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "the record is empty");
    if (*at != '{') {
        if (reader->end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
            return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                                 "a record has no byte-order mark");
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL,
                             "a record is an object, beginning with {");
    }
    at = read_object(decoder, at + 1);
    if (at == NULL)
        return NULL;
    at = sb_json_space(at, reader->end);
    if (at != reader->end)
        return sb_json_fault(reader, SABOT_ERR_FORMAT, at, NULL, "bytes behind the record");
    return at;
}

/* The event time of the open row. */
static int64_t event_time(const struct sb_decoder *decoder, int32_t field, int64_t timestamp_ms)
{
    const struct sb_batch *batch = decoder->builder->batch;
    const struct sb_schema_field *of;

    if (field == SB_NO_FIELD)
        return timestamp_ms;
    of = &decoder->schema->fields[field];
    SB_ASSERT(of->type == SABOT_TIMESTAMP || of->type == SABOT_INT64);
    if (sb_column_has(&batch->columns[field], batch->rows))
        return ((const int64_t *)batch->columns[field].values)[batch->rows];
    return of->has_default ? of->default_int : timestamp_ms;
}

static sabot_status refuse_commit(struct sb_decoder *decoder,
                                  sabot_status status,
                                  uint32_t missing,
                                  sabot_error *error)
{
    const struct sb_schema_field *fields = decoder->schema->fields;
    const struct sb_json_member member = {.path = fields[missing].path,
                                          .path_size = fields[missing].path_size};

    if (status == SABOT_ERR_SCHEMA)
        (void)sb_json_fault(&decoder->reader, status, decoder->reader.end, &member,
                            "it is required, but missing or null");
    else
        (void)sb_json_fault(&decoder->reader, status, decoder->reader.end, NULL,
                            "no room for the defaults of missing fields");
    return sb_json_refuse(&decoder->reader, error);
}

static sabot_status refuse_size(const struct sb_decoder *decoder, size_t size, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_LIMIT, "the record has %zu bytes, %u are allowed", size,
                       decoder->limits.record_max);
}

sabot_status sb_json_decode(struct sb_decoder *decoder,
                            sabot_text bytes,
                            int32_t event_time_field,
                            int64_t timestamp_ms,
                            uint32_t offset_delta,
                            struct sb_builder *builder,
                            sabot_error *error)
{
    struct sb_json_reader *reader = &decoder->reader;
    uint32_t missing = 0;
    sabot_status status;

    if (bytes.size > decoder->limits.record_max)
        return refuse_size(decoder, bytes.size, error);
    if (sb_builder_begin(builder) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a batch of %s",
                           decoder->schema->name);
    SB_ASSERT(builder->batch->schema == decoder->schema);
    reader->start = (const uint8_t *)(bytes.data == NULL ? "" : bytes.data);
    reader->end = reader->start + bytes.size;
    decoder->builder = builder;
    decoder->record++;
    if (__builtin_expect(read_record(decoder) == NULL, 0)) {
        sb_builder_drop(builder);
        status = sb_json_refuse(reader, error);
        reader->fault = (struct sb_json_fault){0};
        return status;
    }
    timestamp_ms = event_time(decoder, event_time_field, timestamp_ms);
    status = sb_builder_commit(builder, timestamp_ms, offset_delta, &missing);
    if (__builtin_expect(status != SABOT_OK, 0)) {
        status = refuse_commit(decoder, status, missing, error);
        reader->fault = (struct sb_json_fault){0};
    }
    return status;
}

sabot_status sb_json_decoder_create(const struct sb_env *env,
                                    const struct sb_schema *schema,
                                    const struct sb_codec_limits *limits,
                                    struct sb_decoder **decoder_out,
                                    sabot_error *error)
{
    struct sb_decoder *decoder;

    *decoder_out = NULL;
    if (limits->depth_max == 0 || limits->depth_max > DEPTH_MAX)
        return sabot_raise(error, SABOT_ERR_ARGUMENT, "json: a depth of %u: 1 to %d are possible",
                           limits->depth_max, DEPTH_MAX);
    if (limits->record_max == 0 || limits->record_max > RECORD_MAX)
        return sabot_raise(error, SABOT_ERR_ARGUMENT,
                           "json: records of %u bytes: 1 to %d are possible", limits->record_max,
                           RECORD_MAX);
    decoder = sb_alloc(env, sizeof *decoder);
    if (decoder == NULL || sb_json_tree_init(&decoder->tree, env, schema) != SABOT_OK) {
        sb_free(env, decoder, sizeof *decoder);
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a decoder of %s", schema->name);
    }
    decoder->env = env;
    decoder->schema = schema;
    decoder->limits = *limits;
    decoder->reader.nesting = decoder->nesting;
    decoder->reader.depth_max = limits->depth_max;
    *decoder_out = decoder;
    return SABOT_OK;
}

void sb_json_decoder_destroy(struct sb_decoder *decoder)
{
    if (decoder == NULL)
        return;
    sb_json_tree_reset(&decoder->tree);
    sb_free(decoder->env, decoder, sizeof *decoder);
}
