/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - field tables in snapshots, and the way from an older one to the app's. */
#include "state/layout.h"

#include <string.h>

uint32_t sb_layout_packed_size(const struct sb_schema *schema)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < schema->field_count; i++)
        size += schema->fields[i].size;
    return size;
}

void sb_layout_describe(struct sb_out *out, const struct sb_schema *schema)
{
    sb_out_text(out, schema->name);
    sb_out_u32(out, schema->version);
    sb_out_u16(out, (uint16_t)schema->field_count);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct sb_schema_field *field = &schema->fields[i];

        sb_out_text(out, field->path);
        sb_out_u8(out, (uint8_t)field->type);
        sb_out_u32(out, field->size);
        sb_out_u32(out, field->count);
    }
}

void sb_layout_pack(struct sb_out *out, const struct sb_schema *schema, const void *record)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        sb_out_bytes(out, (const uint8_t *)record + schema->fields[i].offset,
                     schema->fields[i].size);
}

/* --- Planning -----------------------------------------------------------------------------------
 */

/* Bytes of an element, of a text in a row: its view; 0: of any size, or no such type. */
static uint32_t size_of_type(sabot_type type)
{
    switch (type) {
    case SABOT_BOOL: return 1;
    case SABOT_INT32: return 4;
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
    case SABOT_FLOAT64: return 8;
    case SABOT_UTF8:
    case SABOT_BINARY: return sizeof(sabot_text);
    case SABOT_CHARS: break;
    }
    return 0;
}

static bool is_text(sabot_type type)
{
    return type == SABOT_UTF8 || type == SABOT_BINARY;
}

uint32_t sb_layout_read_count(struct sb_in *in)
{
    const uint32_t count = sb_in_u16(in);

    if (in->status == SABOT_OK && (count == 0 || count > SABOT_FIELDS_MAX))
        sb_in_damaged(in, "no such count of fields");
    return in->status == SABOT_OK ? count : 0;
}

void sb_layout_read_field(struct sb_in *in, bool in_row, struct sb_layout_stored *field_out)
{
    struct sb_layout_stored *field = field_out;

    sb_in_text(in, field->path, sizeof field->path);
    field->type = (sabot_type)sb_in_u8(in);
    field->size = sb_in_u32(in);
    field->count = sb_in_u32(in);
    if (in->status != SABOT_OK)
        return;
    if ((field->type != SABOT_CHARS && size_of_type(field->type) == 0) ||
        (is_text(field->type) && !in_row))
        sb_in_damaged(in, "no such type of a field");
    else if (field->count == 0 || field->size == 0 || field->size > SB_STATE_FIXED_MAX ||
             field->size % field->count != 0)
        sb_in_damaged(in, "no such size of a field");
    else if (field->type != SABOT_CHARS && field->size / field->count != size_of_type(field->type))
        sb_in_damaged(in, "a field has not the size of its type");
}

struct planner {
    struct sb_layout *layout;
    struct sb_in *in;
    bool in_row;
    const char *state;
    uint32_t version; /* of the stored table */
    bool changed;     /* the tables differ */
    sabot_error *error;
};

static sabot_status check_field(const struct planner *planner,
                                const struct sb_layout_stored *stored,
                                const struct sb_schema_field *field)
{
    const uint32_t old_size = stored->size / stored->count;
    const uint32_t new_size = field->size / field->count;

    if (stored->type != field->type)
        return sabot_raise(
            planner->error, SABOT_ERR_SCHEMA,
            "state %s, field %s: it is %s in the snapshot and %s in the app; a field "
            "of another type needs another name",
            planner->state, field->path, sabot_type_name(stored->type),
            sabot_type_name(field->type));
    if (stored->count > field->count || old_size > new_size ||
        (old_size != new_size && field->type != SABOT_CHARS))
        return sabot_raise(planner->error, SABOT_ERR_SCHEMA,
                           "state %s, field %s: it has %u bytes in the snapshot and %u in the app; "
                           "a field may grow, but not shrink",
                           planner->state, field->path, stored->size, field->size);
    return SABOT_OK;
}

static sabot_status plan_field(struct planner *planner, const struct sb_layout_stored *stored)
{
    struct sb_layout *layout = planner->layout;
    const int32_t index = sb_schema_find(layout->schema, stored->path);
    const struct sb_schema_field *field;
    const uint32_t from = layout->packed_size;

    layout->packed_size += stored->size;
    layout->fields[layout->field_count++] = (struct sb_layout_field){stored->type, stored->size};
    if (index == SB_NO_FIELD) {
        planner->changed = true;
        return SABOT_OK;
    }
    field = &layout->schema->fields[index];
    SABOT_TRY(check_field(planner, stored, field));
    if (!layout->missing[index]) {
        sb_in_damaged(planner->in, "a field comes twice");
        return planner->in->status;
    }
    layout->missing[index] = false;
    planner->changed |= stored->size != field->size || stored->count != field->count;
    layout->steps[layout->step_count++] =
        (struct sb_layout_step){.from = from,
                                .from_size = stored->size / stored->count,
                                .to = field->offset,
                                .to_size = field->size / field->count,
                                .count = stored->count,
                                .is_bool = field->type == SABOT_BOOL};
    return SABOT_OK;
}

static sabot_status plan_fields(struct planner *planner)
{
    struct sb_layout *layout = planner->layout;
    const uint32_t count = sb_layout_read_count(planner->in);

    for (uint32_t i = 0; i < layout->schema->field_count; i++)
        layout->missing[i] = true;
    for (uint32_t i = 0; i < count && planner->in->status == SABOT_OK; i++) {
        struct sb_layout_stored stored;

        sb_layout_read_field(planner->in, planner->in_row, &stored);
        SABOT_TRY(planner->in->status);
        SABOT_TRY(plan_field(planner, &stored));
        if (layout->packed_size > SB_STATE_FIXED_MAX)
            sb_in_damaged(planner->in, "the fields are too large");
    }
    for (uint32_t i = 0; i < layout->schema->field_count; i++)
        layout->has_defaults |= layout->missing[i];
    planner->changed |= layout->has_defaults;
    return planner->in->status;
}

static sabot_status refuse_other(const struct planner *planner)
{
    return sabot_raise(planner->error, SABOT_ERR_SCHEMA, "state %s: %s", planner->state,
                       planner->layout->schema->when_other);
}

static sabot_status check_version(const struct planner *planner)
{
    const struct sb_schema *schema = planner->layout->schema;

    if (schema->when_other != NULL && planner->changed)
        return refuse_other(planner);
    if (planner->version > schema->version)
        return sabot_raise(
            planner->error, SABOT_ERR_SCHEMA,
            "state %s: the snapshot has version %u of %s, the app version %u: it was "
            "written by a newer app",
            planner->state, planner->version, schema->name, schema->version);
    if (planner->changed && planner->version == schema->version)
        return sabot_raise(planner->error, SABOT_ERR_SCHEMA,
                           "state %s: the fields of %s differ from those in the snapshot, but both "
                           "are version %u: raise the version of the table",
                           planner->state, schema->name, schema->version);
    return SABOT_OK;
}

sabot_status sb_layout_plan(struct sb_layout *layout,
                            struct sb_in *in,
                            bool in_row,
                            const struct sb_schema *schema,
                            const char *state,
                            sabot_error *error)
{
    struct planner planner = {
        .layout = layout, .in = in, .in_row = in_row, .state = state, .error = error};
    char name[SABOT_FIELD_PATH_MAX + 1];

    *layout = (struct sb_layout){.env = in->env, .schema = schema};
    layout->steps = sb_alloc_array(in->env, SABOT_FIELDS_MAX, sizeof *layout->steps);
    layout->fields = sb_alloc_array(in->env, SABOT_FIELDS_MAX, sizeof *layout->fields);
    if (layout->steps == NULL || layout->fields == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "state %s: no memory to restore it", state);
    sb_in_text(in, name, sizeof name); /* the struct may have been renamed */
    planner.version = sb_in_u32(in);
    if (in->status == SABOT_OK && schema->when_other != NULL && planner.version != schema->version)
        return refuse_other(&planner);
    SABOT_TRY(plan_fields(&planner));
    return check_version(&planner);
}

void sb_layout_reset(struct sb_layout *layout)
{
    if (layout->env != NULL) {
        sb_free_array(layout->env, layout->steps, SABOT_FIELDS_MAX, sizeof *layout->steps);
        sb_free_array(layout->env, layout->fields, SABOT_FIELDS_MAX, sizeof *layout->fields);
    }
    *layout = (struct sb_layout){.env = NULL};
}

/* --- Unpacking ----------------------------------------------------------------------------------
 */

static void set_default(const struct sb_schema_field *field, uint8_t *to)
{
    const int32_t small = (int32_t)field->default_int;
    const bool flag = field->default_int != 0;

    if (!field->has_default)
        return;
    switch (field->type) {
    case SABOT_BOOL: memcpy(to, &flag, sizeof flag); break;
    case SABOT_INT32: memcpy(to, &small, sizeof small); break;
    case SABOT_INT64:
    case SABOT_TIMESTAMP: memcpy(to, &field->default_int, sizeof field->default_int); break;
    case SABOT_FLOAT64: memcpy(to, &field->default_float, sizeof field->default_float); break;
    case SABOT_UTF8:
    case SABOT_BINARY: memcpy(to, &field->default_text, sizeof field->default_text); break;
    case SABOT_CHARS:
        if (field->default_text.size > 0 && field->default_text.size <= field->size)
            memcpy(to, field->default_text.data, field->default_text.size);
        break;
    }
}

void sb_layout_unpack(const struct sb_layout *layout, const uint8_t *packed, void *record)
{
    uint8_t *to = record;

    for (uint32_t i = 0; i < layout->step_count; i++) {
        const struct sb_layout_step *step = &layout->steps[i];

        for (uint32_t j = 0; j < step->count; j++)
            memcpy(to + step->to + (size_t)j * step->to_size,
                   packed + step->from + (size_t)j * step->from_size, step->from_size);
        for (uint32_t j = 0; step->is_bool && j < step->count; j++)
            to[step->to + j] = to[step->to + j] != 0;
    }
    for (uint32_t i = 0; layout->has_defaults && i < layout->schema->field_count; i++)
        if (layout->missing[i])
            set_default(&layout->schema->fields[i], to + layout->schema->fields[i].offset);
}
