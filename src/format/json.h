/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - what the files of the JSON codec share; nobody else includes it.
 *
 *   json.c         the codec type, and the rules of the format
 *   json_tree.c    the paths of a schema as a tree of objects and members
 *   json_decode.c  a record into a row of columns: the hot path
 *   json_scan.c    strings, and the whole syntax of values that nobody wants
 *   json_number.c  numbers, read and written exactly
 *   json_base64.c  binary fields
 *   json_fault.c   a refusal in words
 *   json_encode.c  a row of columns into a record
 *
 * Every reading function gets a position and returns the one behind what it read, or NULL after
 * sb_json_fault() has noted why. No byte at or behind reader.end is ever touched. */
#ifndef SB_FORMAT_JSON_H
#define SB_FORMAT_JSON_H

#include "format/codec.h"

/* --- The tree --------------------------------------------------------------------------------- */

enum {
    SB_JSON_LINK_MAX = 48,              /* bytes of a way that is remembered */
    SB_JSON_LINK_NONE = (int)INT32_MAX, /* size of a link that has learned nothing */
    SB_JSON_STRANGERS = 16,
};

/* Types of members beside those of fields. */
enum { SB_JSON_NESTED = 0, SB_JSON_STRANGER = 100 };

struct sb_json_member;
struct sb_json_object;

/* The decoder's guess: the bytes that stood between two values the last time, as `,"amount":`, and
 * whose value came then. They were read by the full syntax once; where the same bytes stand again,
 * they mean the same. */
struct sb_json_link {
    uint8_t bytes[SB_JSON_LINK_MAX];
    const struct sb_json_member *member;
    uint32_t size; /* SB_JSON_LINK_NONE: matches nothing */
};

struct sb_json_member {
    struct sb_json_link *link;      /* to the one behind it */
    uint32_t type;                  /* a sabot_type, SB_JSON_NESTED or SB_JSON_STRANGER */
    uint32_t field;                 /* of the schema; nested: the first below it */
    struct sb_json_object *object;  /* when nested */
    const char *key;                /* the last step of the path */
    size_t key_size;                /* bytes */
    const char *path;               /* path_size bytes; of a nested object as much as leads there */
    size_t path_size;               /* bytes */
    struct sb_json_member *sibling; /* the next in the order of the schema */
};

struct sb_json_object {
    struct sb_json_link *first;     /* from the brace to the first value */
    struct sb_json_link *strangers; /* behind the n-th field that the schema doesn't have */
    struct sb_json_member *members; /* in the order of the schema; never empty */
    uint32_t member_count;
    uint32_t table_mask;
    struct sb_json_member **table; /* by hash of the key; more than half of it is empty */
    uint64_t record;               /* number of the record that last had it */
    struct sb_json_object *next;   /* in the tree's list of all */
};

struct sb_json_tree {
    struct sb_arena arena;
    struct sb_json_object *root;
    struct sb_json_object *objects; /* all of them */
};

SABOT_MUST_CHECK sabot_status sb_json_tree_init(struct sb_json_tree *tree,
                                                const struct sb_env *env,
                                                const struct sb_schema *schema);
void sb_json_tree_reset(struct sb_json_tree *tree);
/* Stands for all fields that the schema doesn't have. */
extern const struct sb_json_member sb_json_stranger;
/* The member with this key, or sb_json_stranger. */
const struct sb_json_member *sb_json_tree_find(const struct sb_json_object *object,
                                               const uint8_t *key,
                                               size_t size);

/* --- Reading ---------------------------------------------------------------------------------- */

struct sb_json_fault {
    sabot_status status;
    const char *reason;                  /* static; NULL: the value is of another type */
    const uint8_t *at;                   /* in the record */
    const struct sb_json_member *member; /* NULL: between fields, or in one nobody wants */
    size_t limit;                        /* that was exceeded; 0: none */
};

struct sb_json_reader {
    const uint8_t *start;
    const uint8_t *end;
    uint64_t *nesting;  /* bit n: is the n-th open container of a skipped value an object? */
    uint32_t depth_max; /* containers open at once */
    struct sb_json_fault fault;
};

/* Note why the record is refused; always NULL. Only the first reason counts. */
const uint8_t *sb_json_fault(struct sb_json_reader *reader,
                             sabot_status status,
                             const uint8_t *at,
                             const struct sb_json_member *member,
                             const char *reason);
/* The same for SABOT_ERR_LIMIT: of `what`, a plural, no more than `limit` are allowed. */
const uint8_t *sb_json_fault_limit(struct sb_json_reader *reader,
                                   const uint8_t *at,
                                   const struct sb_json_member *member,
                                   size_t limit,
                                   const char *what);
/* The noted reason in words, into `error`; returns its status. */
sabot_status sb_json_refuse(const struct sb_json_reader *reader, sabot_error *error);

static inline const uint8_t *sb_json_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* What sb_json_string() saw on its way. */
enum { SB_JSON_ESCAPES = 1, SB_JSON_NOT_ASCII = 2 };

/* The closing quote of the string that begins at `at`, behind its opening quote. Checked: no
 * control characters, UTF-8. With escapes in it, one of the two below has to follow. */
const uint8_t *sb_json_string(struct sb_json_reader *reader, const uint8_t *at, unsigned *seen_out);
/* Decode the escapes from `at` to `close` into `out`, which is never longer: where it ends. */
uint8_t *sb_json_unescape(struct sb_json_reader *reader,
                          const uint8_t *at,
                          const uint8_t *close,
                          uint8_t *out);
/* Only check them. */
bool sb_json_escapes_valid(struct sb_json_reader *reader, const uint8_t *at, const uint8_t *close);

/* Pass a value of any type, `depth` containers deep; all of its syntax is checked. */
const uint8_t *sb_json_skip(struct sb_json_reader *reader, const uint8_t *at, uint32_t depth);

/* --- Numbers ---------------------------------------------------------------------------------- */

enum {
    SB_JSON_INT_SIZE = 20,   /* bytes of the longest int64 */
    SB_JSON_FLOAT_SIZE = 25, /* bytes of the longest double, as written */
};

/* The value is mantissa * 10^exponent, unless `cut`: then digits are missing in the mantissa. */
struct sb_json_number {
    const uint8_t *text; /* from the first digit */
    uint64_t mantissa;
    int64_t exponent;
    bool negative;
    bool integer; /* neither fraction nor exponent */
    bool cut;
};

const uint8_t *sb_json_number(struct sb_json_reader *reader,
                              const uint8_t *at,
                              struct sb_json_number *number_out);
/* False: out of range. */
bool sb_json_number_int64(const struct sb_json_number *number, int64_t *value_out);
/* The nearest double (ties to even), as strtod; infinite when out of range. */
double sb_json_number_float64(const struct sb_json_number *number, const uint8_t *end);

/* Write a value; where it ends. `value` of float64 is finite. */
uint8_t *sb_json_write_int64(uint8_t *out, int64_t value);
uint8_t *sb_json_write_float64(uint8_t *out, double value);

/* --- Base64 (RFC 4648, section 4, with padding) ------------------------------------------------
 */

/* Decode over itself. False: malformed, or a value that is not written in the one canonical way. */
bool sb_json_base64_decode(uint8_t *bytes, size_t size, size_t *size_out);
static inline size_t sb_json_base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}
uint8_t *sb_json_base64_encode(uint8_t *out, const uint8_t *bytes, size_t size);

/* --- The codec -------------------------------------------------------------------------------- */

sabot_status sb_json_decoder_create(const struct sb_env *env,
                                    const struct sb_schema *schema,
                                    const struct sb_codec_limits *limits,
                                    struct sb_decoder **decoder_out,
                                    sabot_error *error);
void sb_json_decoder_destroy(struct sb_decoder *decoder);
sabot_status sb_json_decode(struct sb_decoder *decoder,
                            sabot_text bytes,
                            int32_t event_time_field,
                            int64_t timestamp_ms,
                            uint32_t offset_delta,
                            struct sb_builder *builder,
                            sabot_error *error);
sabot_status sb_json_encoder_create(const struct sb_env *env,
                                    const struct sb_schema *schema,
                                    struct sb_encoder **encoder_out,
                                    sabot_error *error);
void sb_json_encoder_destroy(struct sb_encoder *encoder);
uint64_t sb_json_encoded_max(const struct sb_encoder *encoder,
                             const struct sb_batch *batch,
                             uint32_t row);
sabot_status sb_json_encode(struct sb_encoder *encoder,
                            const struct sb_batch *batch,
                            uint32_t row,
                            struct sb_buffer *out,
                            sabot_error *error);

#endif
