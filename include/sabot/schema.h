/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - field tables: how a C struct, a record on a channel and a cell of state describe
 * themselves.
 *
 * One table serves all three. For a record it binds members of the struct to fields of the record
 * (a path into nested JSON); for state it names what a cell holds, so that state can be printed,
 * moved between backends and carried over to a newer version of the app by field name.
 *
 *     struct transaction { int64_t id; sabot_text account; double amount; };
 *
 *     static const sabot_field transaction_fields[] = {
 *         SABOT_FIELD(struct transaction, id, "transaction_id", SABOT_INT64, SABOT_REQUIRED),
 *         SABOT_FIELD(struct transaction, account, "account_number", SABOT_UTF8, SABOT_REQUIRED),
 *         SABOT_FIELD(struct transaction, amount, "amount", SABOT_FLOAT64, SABOT_OPTIONAL),
 *     };
 *     static const sabot_schema transaction_schema =
 *         SABOT_SCHEMA("transaction", 1, struct transaction, transaction_fields);
 *
 * Ownership: tables are constant and must outlive the app (static data of the app).
 * Threads: read-only. */
#ifndef SABOT_SCHEMA_H
#define SABOT_SCHEMA_H

#include <sabot/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A run of bytes that belongs to somebody else. In a record it is valid until the callback returns.
 * UTF-8 where the field is SABOT_UTF8; not NUL-terminated. A missing optional text has data ==
 * NULL. */
typedef struct sabot_text {
    const char *data;
    size_t size; /* bytes */
} sabot_text;

/* Types of a field, and the C type of the struct member it is bound to. Numbers are stored: fixed.
 */
typedef enum sabot_type {
    SABOT_BOOL = 1,      /* bool */
    SABOT_INT32 = 2,     /* int32_t */
    SABOT_INT64 = 3,     /* int64_t */
    SABOT_FLOAT64 = 4,   /* double */
    SABOT_TIMESTAMP = 5, /* int64_t, milliseconds since 1970-01-01T00:00:00Z */
    SABOT_UTF8 = 6,      /* sabot_text; records only */
    SABOT_BINARY = 7,    /* sabot_text; records only; base64 (RFC 4648) in JSON */
    SABOT_CHARS = 8,     /* char[n], NUL-padded UTF-8; state only */
} sabot_type;

enum {
    SABOT_OPTIONAL =
        0, /* missing or null: the default, or else zero / an empty text with data == NULL */
    SABOT_REQUIRED = 1, /* missing or null: the record is refused */
};

enum {
    SABOT_FIELDS_MAX = 256,     /* fields of one schema */
    SABOT_FIELD_PATH_MAX = 255, /* bytes of a path */
    SABOT_FIELD_DEPTH_MAX = 8,  /* steps of a path: "a.b.c" has 3 */
};

/* One row of a field table. Fill it by the macros below. */
typedef struct sabot_field {
    const char *path; /* name, with '.' between the steps into nested objects */
    sabot_type type;  /* what it is */
    uint32_t flags;   /* SABOT_REQUIRED or SABOT_OPTIONAL */
    uint32_t offset;  /* of the member in the struct, bytes */
    uint32_t size;    /* of the member, bytes */
    uint32_t count;   /* elements: 1, or the length of an array member (state only) */
    const char
        *default_text; /* value of a missing optional field, written as in JSON; NULL: zero */
} sabot_field;

/* A field table with its name. `version` is raised whenever the table of a stored type changes. */
typedef struct sabot_schema {
    const char *name;
    uint32_t version; /* from 1 */
    uint32_t record_size;
    const sabot_field *fields;
    size_t field_count;
} sabot_schema;

#define SABOT_MEMBER_SIZE(record, member) ((uint32_t)sizeof(((record *)0)->member))

#define SABOT_FIELD(record, member, path, type, flags)                                            \
    {                                                                                             \
        path, type, flags, (uint32_t)offsetof(record, member), SABOT_MEMBER_SIZE(record, member), \
            1, NULL                                                                               \
    }

/* An optional field with a default, written as in JSON: "0", "true", "\"CLP\"". */
#define SABOT_FIELD_DEFAULT(record, member, path, type, default_json)   \
    {                                                                   \
        path, type, SABOT_OPTIONAL, (uint32_t)offsetof(record, member), \
            SABOT_MEMBER_SIZE(record, member), 1, default_json          \
    }

/* An array member of a state struct: double amounts[100]. */
#define SABOT_FIELD_ARRAY(record, member, path, type)                                       \
    {                                                                                       \
        path, type, SABOT_OPTIONAL, (uint32_t)offsetof(record, member),                     \
            SABOT_MEMBER_SIZE(record, member),                                              \
            SABOT_MEMBER_SIZE(record, member[0]) == 0                                       \
                ? 0                                                                         \
                : SABOT_MEMBER_SIZE(record, member) / SABOT_MEMBER_SIZE(record, member[0]), \
            NULL                                                                            \
    }

#define SABOT_SCHEMA(name, version, record, fields)                                           \
    {                                                                                         \
        name, version, (uint32_t)sizeof(record), fields, sizeof(fields) / sizeof((fields)[0]) \
    }

/* The name of a type as docs and errors print it ("int64"). Never NULL. */
SABOT_API const char *sabot_type_name(sabot_type type);

/* A NUL-terminated string as a text. The bytes are borrowed. */
static inline sabot_text sabot_text_of(const char *string)
{
    sabot_text text;

    text.data = string;
    text.size = 0;
    while (string != NULL && string[text.size] != '\0')
        text.size++;
    return text;
}

#ifdef __cplusplus
}
#endif
#endif
