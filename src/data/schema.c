/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - from an app's field table to a checked schema.
 *
 * Runs when an app is built, never on the path of a batch. The table comes from outside: whatever
 * is wrong with it is an error with the schema, the field and the reason, so that what comes behind
 * may rely on it:
 *
 *   1. 1 .. SABOT_FIELDS_MAX fields; each path has 1 .. SABOT_FIELD_DEPTH_MAX steps, none empty,
 * and is UTF-8.
 *   2. No path is another one, or lies inside of another one.
 *   3. Each member has the size and alignment of its type, lies in the struct, and shares no byte
 * with another.
 *   4. A field with a default is optional, and the default is a value of its type.
 *
 * Memory: one struct and an arena. Threads: immutable once made. */
#include "data/schema.h"

#include <string.h>

#include "data/batch.h"
#include "data/schema_default.h"

const char *sabot_type_name(sabot_type type)
{
    switch (type) {
    case SABOT_BOOL: return "bool";
    case SABOT_INT32: return "int32";
    case SABOT_INT64: return "int64";
    case SABOT_FLOAT64: return "float64";
    case SABOT_TIMESTAMP: return "timestamp";
    case SABOT_UTF8: return "utf8";
    case SABOT_BINARY: return "binary";
    case SABOT_CHARS: return "chars";
    }
    return "unknown";
}

/* What the checks of one field need; errors name both. */
struct subject {
    const sabot_schema *table;
    const sabot_field *field;
    size_t index;
    sabot_error *error;
};

static sabot_status SABOT_PRINTF(2, 3)
    refuse(const struct subject *subject, const char *format, ...)
{
    const char *path = subject->field->path == NULL ? "?" : subject->field->path;
    sabot_error reason;
    va_list arguments;

    va_start(arguments, format);
    (void)sabot_raise_list(&reason, SABOT_ERR_SCHEMA, format, arguments);
    va_end(arguments);
    return sabot_raise(subject->error, SABOT_ERR_SCHEMA, "schema %s, field %zu (%.300s): %s",
                       subject->table->name, subject->index + 1, path, reason.text);
}

static sabot_status no_memory(const sabot_schema *table, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "schema %s: no memory for its %zu fields",
                       table->name, table->field_count);
}

/* --- Paths ------------------------------------------------------------------------------------ */

static sabot_status split_path(struct sb_schema *schema,
                               struct sb_schema_field *field,
                               const struct subject *subject)
{
    const char *path = subject->field->path;
    const char *step;

    if (path == NULL || *path == '\0')
        return refuse(subject, "the path is empty");
    field->path_size = strlen(path);
    if (field->path_size > SABOT_FIELD_PATH_MAX)
        return refuse(subject, "the path has %zu bytes, %d are allowed", field->path_size,
                      SABOT_FIELD_PATH_MAX);
    if (!sb_utf8_valid(path, field->path_size))
        return refuse(subject, "the path is not UTF-8");
    field->path = sb_arena_copy(&schema->arena, path, field->path_size);
    if (field->path == NULL)
        return no_memory(subject->table, subject->error);

    step = field->path;
    for (;;) {
        const size_t size = strcspn(step, ".");

        if (size == 0)
            return refuse(subject, "the path has an empty step: dots stand between names only");
        if (field->step_count == SABOT_FIELD_DEPTH_MAX)
            return refuse(subject, "the path has more than %d steps", SABOT_FIELD_DEPTH_MAX);
        field->steps[field->step_count] = step;
        field->step_sizes[field->step_count++] = size;
        if (step[size] == '\0')
            return SABOT_OK;
        step += size + 1;
    }
}

/* True when `outer` is `inner` or a step on its way. */
static bool path_contains(const struct sb_schema_field *outer, const struct sb_schema_field *inner)
{
    if (outer->path_size > inner->path_size)
        return false;
    if (memcmp(outer->path, inner->path, outer->path_size) != 0)
        return false;
    return inner->path[outer->path_size] == '\0' || inner->path[outer->path_size] == '.';
}

/* --- Members ---------------------------------------------------------------------------------- */

/* Size and alignment of one element. CHARS: any size. */
static uint32_t element_size(sabot_type type)
{
    switch (type) {
    case SABOT_BOOL: return sizeof(bool);
    case SABOT_INT32: return sizeof(int32_t);
    case SABOT_INT64:
    case SABOT_TIMESTAMP: return sizeof(int64_t);
    case SABOT_FLOAT64: return sizeof(double);
    case SABOT_UTF8:
    case SABOT_BINARY: return sizeof(sabot_text);
    case SABOT_CHARS: break;
    }
    return 0;
}

static uint32_t element_alignment(sabot_type type)
{
    switch (type) {
    case SABOT_BOOL:
    case SABOT_CHARS: break;
    case SABOT_INT32: return _Alignof(int32_t);
    case SABOT_INT64:
    case SABOT_TIMESTAMP: return _Alignof(int64_t);
    case SABOT_FLOAT64: return _Alignof(double);
    case SABOT_UTF8:
    case SABOT_BINARY: return _Alignof(sabot_text);
    }
    return 1;
}

static sabot_status check_use(const struct subject *subject, enum sb_schema_use use)
{
    const sabot_field *field = subject->field;
    const char *name = sabot_type_name(field->type);

    switch (field->type) {
    case SABOT_UTF8:
    case SABOT_BINARY:
        if (use == SB_SCHEMA_STATE)
            return refuse(subject, "state can't hold %s, which points to other memory: use chars",
                          name);
        break;
    case SABOT_CHARS:
        if (use == SB_SCHEMA_RECORD)
            return refuse(subject, "a record can't hold chars: use utf8 with a sabot_text");
        break;
    case SABOT_BOOL:
    case SABOT_INT32:
    case SABOT_INT64:
    case SABOT_FLOAT64:
    case SABOT_TIMESTAMP: break;
    default: return refuse(subject, "there is no type with number %d", (int)field->type);
    }
    if (use == SB_SCHEMA_RECORD && field->count != 1)
        return refuse(subject, "a record can't hold an array (of %u elements)", field->count);
    return SABOT_OK;
}

static sabot_status check_member(const struct subject *subject)
{
    const sabot_field *field = subject->field;
    const uint64_t end = (uint64_t)field->offset + field->size;

    if (field->count == 0 || field->size == 0)
        return refuse(subject, "the member has no elements");
    if (field->size % field->count != 0)
        return refuse(subject, "%u bytes are no array of %u elements", field->size, field->count);
    const uint32_t size = field->size / field->count;
    if (field->type == SABOT_CHARS && size == 1 && field->count > 1)
        return refuse(subject, "a char[%u] is one element: declare it by SABOT_FIELD",
                      field->count);
    if (field->type != SABOT_CHARS && size != element_size(field->type))
        return refuse(subject, "a member of %u bytes can't hold %s, which has %u", size,
                      sabot_type_name(field->type), element_size(field->type));
    if (end > subject->table->record_size)
        return refuse(subject,
                      "the member ends at byte %llu of a struct of %u: is it another struct's?",
                      (unsigned long long)end, subject->table->record_size);
    if (field->offset % element_alignment(field->type) != 0)
        return refuse(subject, "the member is not aligned: packed structs are not supported");
    return SABOT_OK;
}

static sabot_status set_default(struct sb_schema *schema,
                                struct sb_schema_field *field,
                                const struct subject *subject)
{
    const char *text = subject->field->default_text;
    const char *reason = "";
    sabot_status status;

    if (text == NULL)
        return SABOT_OK;
    if (field->required)
        return refuse(subject, "a required field can't have a default");
    if (field->count != 1)
        return refuse(subject, "an array can't have a default");
    status = sb_schema_default_parse(&schema->arena, field, text, &reason);
    if (status == SABOT_ERR_MEMORY)
        return no_memory(subject->table, subject->error);
    if (status != SABOT_OK)
        return refuse(subject, "the default %.100s is no %s as JSON writes it: %s", text,
                      sabot_type_name(field->type), reason);
    return SABOT_OK;
}

/* --- The schema ------------------------------------------------------------------------------- */

static sabot_status compile_field(struct sb_schema *schema,
                                  enum sb_schema_use use,
                                  const struct subject *subject)
{
    const sabot_field *from = subject->field;
    struct sb_schema_field *field = &schema->fields[subject->index];

    SABOT_TRY(split_path(schema, field, subject));
    SABOT_TRY(check_use(subject, use));
    SABOT_TRY(check_member(subject));
    if (from->flags != SABOT_REQUIRED && from->flags != SABOT_OPTIONAL)
        return refuse(subject, "the flags %u are neither SABOT_REQUIRED nor SABOT_OPTIONAL",
                      from->flags);
    field->type = from->type;
    field->required = from->flags == SABOT_REQUIRED;
    field->offset = from->offset;
    field->size = from->size;
    field->count = from->count;
    return set_default(schema, field, subject);
}

static sabot_status check_pairs(const struct sb_schema *schema, struct subject *subject)
{
    for (uint32_t i = 1; i < schema->field_count; i++) {
        const struct sb_schema_field *one = &schema->fields[i];

        subject->index = i;
        subject->field = &subject->table->fields[i];
        for (uint32_t j = 0; j < i; j++) {
            const struct sb_schema_field *other = &schema->fields[j];

            if (path_contains(one, other) && path_contains(other, one))
                return refuse(subject, "field %u has the same path", j + 1);
            if (path_contains(one, other) || path_contains(other, one))
                return refuse(subject,
                              "a path can't lie inside of another one, as with field %u (%s)",
                              j + 1, other->path);
            if (one->offset < other->offset + other->size &&
                other->offset < one->offset + one->size)
                return refuse(subject, "the member shares bytes with that of field %u (%s)", j + 1,
                              other->path);
        }
    }
    return SABOT_OK;
}

static sabot_status check_table(const sabot_schema *table, sabot_error *error)
{
    if (table == NULL)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "the schema is NULL");
    if (table->name == NULL || *table->name == '\0')
        return sabot_raise(error, SABOT_ERR_SCHEMA, "the schema has no name");
    if (strlen(table->name) > SABOT_FIELD_PATH_MAX ||
        !sb_utf8_valid(table->name, strlen(table->name)))
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "schema %.100s: the name is not UTF-8 of at most %d bytes", table->name,
                           SABOT_FIELD_PATH_MAX);
    if (table->version == 0)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "schema %s: versions count from 1",
                           table->name);
    if (table->fields == NULL || table->field_count == 0)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "schema %s: it has no fields", table->name);
    if (table->field_count > SABOT_FIELDS_MAX)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "schema %s: it has %zu fields, %d are allowed",
                           table->name, table->field_count, SABOT_FIELDS_MAX);
    return SABOT_OK;
}

static sabot_status compile(struct sb_schema *schema,
                            const sabot_schema *table,
                            enum sb_schema_use use,
                            sabot_error *error)
{
    struct subject subject = {.table = table, .error = error};

    schema->name = sb_arena_copy(&schema->arena, table->name, strlen(table->name));
    schema->fields = sb_arena_alloc(&schema->arena, table->field_count * sizeof *schema->fields);
    if (schema->name == NULL || schema->fields == NULL)
        return no_memory(table, error);
    schema->version = table->version;
    schema->record_size = table->record_size;
    schema->field_count = (uint32_t)table->field_count;
    for (subject.index = 0; subject.index < table->field_count; subject.index++) {
        subject.field = &table->fields[subject.index];
        SABOT_TRY(compile_field(schema, use, &subject));
    }
    return check_pairs(schema, &subject);
}

sabot_status sb_schema_create(const struct sb_env *env,
                              const sabot_schema *table,
                              enum sb_schema_use use,
                              struct sb_schema **schema_out,
                              sabot_error *error)
{
    struct sb_schema *schema;
    sabot_status status;

    *schema_out = NULL;
    SABOT_TRY(check_table(table, error));
    schema = sb_alloc(env, sizeof *schema);
    if (schema == NULL)
        return no_memory(table, error);
    schema->env = env;
    sb_arena_init(&schema->arena, env);
    status = compile(schema, table, use, error);
    if (status != SABOT_OK) {
        sb_schema_destroy(schema);
        return status;
    }
    *schema_out = schema;
    return SABOT_OK;
}

void sb_schema_destroy(struct sb_schema *schema)
{
    if (schema == NULL)
        return;
    sb_arena_reset(&schema->arena);
    sb_free(schema->env, schema, sizeof *schema);
}

int32_t sb_schema_find(const struct sb_schema *schema, const char *path)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (strcmp(schema->fields[i].path, path) == 0)
            return (int32_t)i;
    return SB_NO_FIELD;
}
