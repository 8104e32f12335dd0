/* SPDX-License-Identifier: Apache-2.0 */
/* window_part.c - the parts of units in a map of their key.
 *
 * Each is one entry: to add one costs a look-up by hash, to read them all is a walk over a prefix.
 * Threads: the worker's. Memory: the store's, and the engine's scratch. */
#include "op/window_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX_SIZE = 9, TIMED_SIZE = PREFIX_SIZE + 16 };

static uint32_t state_of(const struct sb_window_engine *engine)
{
    SB_ASSERT(engine->plan->parts_state != 0);
    return engine->first_state + engine->plan->parts_state;
}

static void put_prefix(uint8_t out[PREFIX_SIZE], uint32_t kind, int64_t id)
{
    out[0] = (uint8_t)kind;
    sb_put_ordered(out + 1, id);
}

static uint32_t kind_of(const struct sb_window_engine *engine, const struct sb_fold *fold)
{
    return (uint32_t)(fold - engine->plan->folds);
}

static sabot_text bytes_of(const void *data, size_t size)
{
    return (sabot_text){data, size};
}

/* --- One entry -----------------------------------------------------------------------------------
 */

static sabot_text get(struct sb_window_engine *engine, sabot_text entry)
{
    return sb_map_get(engine->store, state_of(engine), engine->key, engine->hash, entry);
}

static sabot_status put(struct sb_window_engine *engine,
                        sabot_text entry,
                        sabot_text value,
                        sabot_error *error)
{
    return sb_map_put(engine->store, state_of(engine), engine->key, engine->hash, entry, value,
                      error);
}

static sabot_status drop(struct sb_window_engine *engine, sabot_text entry, sabot_error *error)
{
    return sb_map_remove(engine->store, state_of(engine), engine->key, engine->hash, entry, error);
}

static sabot_status scan(struct sb_window_engine *engine,
                         sabot_text prefix,
                         struct sb_cursor *cursor,
                         sabot_error *error)
{
    return sb_store_scan(engine->store, state_of(engine), engine->key, engine->hash, prefix, cursor,
                         error);
}

static sabot_status drop_all(struct sb_window_engine *engine, sabot_text prefix, sabot_error *error)
{
    struct sb_cursor cursor;
    sabot_text entry;
    sabot_text value;

    SABOT_TRY(scan(engine, prefix, &cursor, error));
    while (sb_store_next(engine->store, &cursor, &entry, &value))
        SABOT_TRY(drop(engine, entry, error));
    return sb_store_status(engine->store, error);
}

/* --- Values as bytes -----------------------------------------------------------------------------
 */

/* Equal values have equal bytes: there is one zero, and one NaN. */
static sabot_text encode_value(const struct sb_fold *fold,
                               const struct sb_value *value,
                               uint8_t scratch[8])
{
    double number = value->float64;

    switch (fold->takes) {
    case SB_VALUE_TEXT: return value->text;
    case SB_VALUE_FLOAT64:
        if (number == 0)
            number = 0;
        if (__builtin_isnan(number))
            number = __builtin_nan("");
        memcpy(scratch, &number, sizeof number);
        return bytes_of(scratch, 8);
    case SB_VALUE_INT64: break;
    }
    if (fold->type == SABOT_BOOL) {
        scratch[0] = value->int64 != 0;
        return bytes_of(scratch, 1);
    }
    sb_put_ordered(scratch, value->int64);
    return bytes_of(scratch, 8);
}

static struct sb_value decode_value(const struct sb_fold *fold, sabot_text bytes)
{
    struct sb_value value = {.present = true, .text = bytes};

    if (fold->takes == SB_VALUE_FLOAT64)
        memcpy(&value.float64, bytes.data, sizeof value.float64);
    else if (fold->type == SABOT_BOOL)
        value.int64 = bytes.data[0] != 0;
    else if (fold->takes == SB_VALUE_INT64)
        value.int64 = sb_get_ordered((const uint8_t *)bytes.data);
    return value;
}

/* --- Adding --------------------------------------------------------------------------------------
 */

static sabot_status add_distinct(struct sb_window_engine *engine,
                                 const struct sb_fold *fold,
                                 struct sb_window_unit *unit,
                                 sabot_text value,
                                 sabot_error *error)
{
    struct sb_buffer *entry = &engine->items;

    entry->size = 0;
    if (sb_buffer_reserve(entry, PREFIX_SIZE + value.size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for a value of %zu bytes",
                           engine->plan->name, value.size);
    put_prefix(entry->data, kind_of(engine, fold), sb_unit_meta(engine->plan, unit)->id);
    if (value.size > 0)
        memcpy(entry->data + PREFIX_SIZE, value.data, value.size);
    entry->size = PREFIX_SIZE + value.size;
    if (get(engine, bytes_of(entry->data, entry->size)).data != NULL)
        return SABOT_OK;
    SABOT_TRY(sb_store_status(engine->store, error));
    ++*(int64_t *)sb_unit_fold(fold, unit);
    return put(engine, bytes_of(entry->data, entry->size), bytes_of("", 0), error);
}

static void put_timed(uint8_t out[TIMED_SIZE],
                      struct sb_window_engine *engine,
                      uint32_t kind,
                      int64_t id)
{
    put_prefix(out, kind, id);
    sb_put_ordered(out + PREFIX_SIZE, engine->input.event_time_ms);
    sb_put_ordered(out + PREFIX_SIZE + 8, engine->head->sequence++);
}

static sabot_status add_text(struct sb_window_engine *engine,
                             const struct sb_fold *fold,
                             struct sb_window_unit *unit,
                             sabot_text value,
                             sabot_error *error)
{
    const struct sb_fold_at *kept = sb_unit_fold(fold, unit);
    const int64_t time_ms = engine->input.event_time_ms;
    uint8_t entry[PREFIX_SIZE];

    if (kept->values > 0 &&
        (fold->function == SABOT_WINDOW_FIRST ? time_ms >= kept->time_ms : time_ms < kept->time_ms))
        return SABOT_OK;
    put_prefix(entry, kind_of(engine, fold), sb_unit_meta(engine->plan, unit)->id);
    return put(engine, bytes_of(entry, sizeof entry), value, error);
}

static sabot_status add_part(struct sb_window_engine *engine,
                             const struct sb_fold *fold,
                             struct sb_window_unit *unit,
                             sabot_error *error)
{
    const struct sb_value value =
        sb_input_value(engine->plan, &engine->input, (uint32_t)fold->field);
    uint8_t scratch[8];
    uint8_t entry[TIMED_SIZE];
    sabot_text bytes;

    if (!value.present)
        return SABOT_OK;
    bytes = encode_value(fold, &value, scratch);
    if (fold->function == SABOT_WINDOW_COUNT_DISTINCT)
        return add_distinct(engine, fold, unit, bytes, error);
    if (fold->function != SABOT_WINDOW_COLLECT)
        return add_text(engine, fold, unit, bytes, error);
    put_timed(entry, engine, kind_of(engine, fold), sb_unit_meta(engine->plan, unit)->id);
    return put(engine, bytes_of(entry, sizeof entry), bytes, error);
}

sabot_status sb_parts_add(struct sb_window_engine *engine,
                          struct sb_window_unit *unit,
                          sabot_error *error)
{
    for (uint32_t i = 0; i < engine->plan->fold_count; i++) {
        if (engine->plan->folds[i].has_parts)
            SABOT_TRY(add_part(engine, &engine->plan->folds[i], unit, error));
    }
    return SABOT_OK;
}

sabot_status sb_parts_drop(struct sb_window_engine *engine,
                           const struct sb_window_unit *unit,
                           bool records,
                           sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    uint8_t prefix[PREFIX_SIZE];

    for (uint32_t i = 0; i < plan->fold_count; i++) {
        if (!plan->folds[i].has_parts)
            continue;
        put_prefix(prefix, i, sb_unit_look(plan, unit)->id);
        SABOT_TRY(drop_all(engine, bytes_of(prefix, sizeof prefix), error));
    }
    if (!records || !plan->keeps_records)
        return SABOT_OK;
    put_prefix(prefix, SB_PART_RECORDS, sb_unit_look(plan, unit)->id);
    return drop_all(engine, bytes_of(prefix, sizeof prefix), error);
}

/* --- Merging -------------------------------------------------------------------------------------
 */

/* The entries of one kind get the id of the other unit; *moved_out of them were not there yet. */
static sabot_status move(struct sb_window_engine *engine,
                         uint32_t kind,
                         int64_t from,
                         int64_t into,
                         int64_t *moved_out,
                         sabot_error *error)
{
    struct sb_buffer *renamed = &engine->items;
    uint8_t prefix[PREFIX_SIZE];
    struct sb_cursor cursor;
    sabot_text entry;
    sabot_text value;

    *moved_out = 0;
    put_prefix(prefix, kind, from);
    SABOT_TRY(scan(engine, bytes_of(prefix, sizeof prefix), &cursor, error));
    while (sb_store_next(engine->store, &cursor, &entry, &value)) {
        renamed->size = 0;
        if (sb_buffer_append(renamed, entry.data, entry.size) != SABOT_OK)
            return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to merge sessions",
                               engine->plan->name);
        put_prefix(renamed->data, kind, into);
        if (get(engine, bytes_of(renamed->data, renamed->size)).data == NULL) {
            SABOT_TRY(put(engine, bytes_of(renamed->data, renamed->size), value, error));
            ++*moved_out;
        }
        SABOT_TRY(drop(engine, entry, error));
    }
    return sb_store_status(engine->store, error);
}

/* The text of the unit that has the first (last) one; the other one's goes. */
static sabot_status merge_text(struct sb_window_engine *engine,
                               const struct sb_fold *fold,
                               struct sb_window_unit *unit,
                               struct sb_window_unit *other,
                               sabot_error *error)
{
    const struct sb_fold_at *into = sb_unit_fold(fold, unit);
    const struct sb_fold_at *from = sb_unit_fold(fold, other);
    const uint32_t kind = kind_of(engine, fold);
    int64_t moved;

    if (from->values == 0)
        return SABOT_OK;
    if (into->values == 0 ||
        (fold->function == SABOT_WINDOW_FIRST ? from->time_ms < into->time_ms
                                              : from->time_ms >= into->time_ms)) {
        uint8_t entry[PREFIX_SIZE];

        put_prefix(entry, kind, sb_unit_meta(engine->plan, unit)->id);
        SABOT_TRY(drop(engine, bytes_of(entry, sizeof entry), error));
    }
    return move(engine, kind, sb_unit_meta(engine->plan, other)->id,
                sb_unit_meta(engine->plan, unit)->id, &moved, error);
}

sabot_status sb_parts_merge(struct sb_window_engine *engine,
                            struct sb_window_unit *unit,
                            struct sb_window_unit *other,
                            sabot_error *error)
{
    const struct sb_window_plan *plan = engine->plan;
    int64_t moved = 0;

    for (uint32_t i = 0; i < plan->fold_count; i++) {
        const struct sb_fold *fold = &plan->folds[i];

        if (!fold->has_parts)
            continue;
        if (fold->function == SABOT_WINDOW_FIRST || fold->function == SABOT_WINDOW_LAST) {
            SABOT_TRY(merge_text(engine, fold, unit, other, error));
            continue;
        }
        SABOT_TRY(move(engine, i, sb_unit_meta(plan, other)->id, sb_unit_meta(plan, unit)->id,
                       &moved, error));
        /* What sb_fold_merge() adds: of values that both had there is one. */
        *(int64_t *)sb_unit_fold(fold, other) = moved;
    }
    if (!plan->keeps_records)
        return SABOT_OK;
    return move(engine, SB_PART_RECORDS, sb_unit_meta(plan, other)->id,
                sb_unit_meta(plan, unit)->id, &moved, error);
}

/* --- Results -------------------------------------------------------------------------------------
 */

static sabot_status append(struct sb_window_engine *engine,
                           const void *bytes,
                           size_t size,
                           sabot_error *error)
{
    struct sb_buffer *texts = &engine->texts;

    if (texts->size + size > SB_BATCH_TEXT_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT,
                           "%s: more than %d bytes are collected: smaller windows, or keep_records",
                           engine->plan->name, SB_BATCH_TEXT_MAX);
    if (sb_buffer_append(texts, bytes, size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory for %zu collected bytes",
                           engine->plan->name, texts->size + size);
    return SABOT_OK;
}

/* A text as JSON writes it (RFC 8259). */
static sabot_status append_string(struct sb_window_engine *engine,
                                  sabot_text text,
                                  sabot_error *error)
{
    char escaped[8];
    size_t plain = 0;

    SABOT_TRY(append(engine, "\"", 1, error));
    for (size_t i = 0; i < text.size; i++) {
        const unsigned char byte = (unsigned char)text.data[i];
        int length;

        if (byte >= ' ' && byte != '"' && byte != '\\')
            continue;
        SABOT_TRY(append(engine, text.data + plain, i - plain, error));
        plain = i + 1;
        length = byte < ' ' ? snprintf(escaped, sizeof escaped, "\\u%04x", byte)
                            : snprintf(escaped, sizeof escaped, "\\%c", byte);
        SABOT_TRY(append(engine, escaped, (size_t)length, error));
    }
    SABOT_TRY(append(engine, text.data + plain, text.size - plain, error));
    return append(engine, "\"", 1, error);
}

/* Bytes that are no text: base64 (RFC 4648). */
static sabot_status append_binary(struct sb_window_engine *engine,
                                  sabot_text bytes,
                                  sabot_error *error)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    SABOT_TRY(append(engine, "\"", 1, error));
    for (size_t i = 0; i < bytes.size; i += 3) {
        const size_t left = bytes.size - i < 3 ? bytes.size - i : 3;
        uint32_t bits = 0;
        char four[4];

        for (size_t j = 0; j < left; j++)
            bits |= (uint32_t)(unsigned char)bytes.data[i + j] << (16 - 8 * j);
        for (uint32_t j = 0; j < 4; j++)
            four[j] = j <= left ? digits[(bits >> (18 - 6 * j)) & 63] : '=';
        SABOT_TRY(append(engine, four, sizeof four, error));
    }
    return append(engine, "\"", 1, error);
}

static sabot_status append_value(struct sb_window_engine *engine,
                                 const struct sb_fold *fold,
                                 const struct sb_value *value,
                                 sabot_error *error)
{
    char number[40];
    int length;

    if (fold->type == SABOT_UTF8)
        return append_string(engine, value->text, error);
    if (fold->type == SABOT_BINARY)
        return append_binary(engine, value->text, error);
    if (fold->type == SABOT_BOOL)
        return append(engine, value->int64 != 0 ? "true" : "false", value->int64 != 0 ? 4 : 5,
                      error);
    if (fold->takes == SB_VALUE_FLOAT64 && !__builtin_isfinite(value->float64))
        return append(engine, "null", 4, error);
    length = fold->takes == SB_VALUE_FLOAT64
                 ? snprintf(number, sizeof number, "%.17g", value->float64)
                 : snprintf(number, sizeof number, "%lld", (long long)value->int64);
    return append(engine, number, (size_t)length, error);
}

static sabot_status collect(struct sb_window_engine *engine,
                            const struct sb_fold *fold,
                            const int64_t *ids,
                            uint32_t id_count,
                            struct sb_value *value_out,
                            sabot_error *error)
{
    const size_t start = engine->texts.size;
    uint8_t prefix[PREFIX_SIZE];
    const char *separator = "[";
    struct sb_cursor cursor;
    sabot_text bytes;

    for (uint32_t i = 0; i < id_count; i++) {
        put_prefix(prefix, kind_of(engine, fold), ids[i]);
        SABOT_TRY(scan(engine, bytes_of(prefix, sizeof prefix), &cursor, error));
        while (sb_store_next(engine->store, &cursor, NULL, &bytes)) {
            const struct sb_value value = decode_value(fold, bytes);

            SABOT_TRY(append(engine, separator, 1, error));
            SABOT_TRY(append_value(engine, fold, &value, error));
            separator = ",";
        }
    }
    value_out->present = *separator == ',';
    if (value_out->present)
        SABOT_TRY(append(engine, "]", 1, error));
    /* Where the text begins: the buffer may still move. sb_window_tell() makes it a pointer. */
    value_out->text = (sabot_text){NULL, engine->texts.size - start};
    return sb_store_status(engine->store, error);
}

/* A distinct value of a pane, for sorting. */
static int compare_texts(const void *a, const void *b)
{
    const sabot_text *left = a;
    const sabot_text *right = b;
    const size_t size = left->size < right->size ? left->size : right->size;
    const int order = size == 0 ? 0 : memcmp(left->data, right->data, size);

    if (order != 0)
        return order;
    return (left->size > right->size) - (left->size < right->size);
}

/* Of several panes: all values, sorted; equal ones stand together. */
static sabot_status count_distinct(struct sb_window_engine *engine,
                                   const struct sb_fold *fold,
                                   const int64_t *ids,
                                   uint32_t id_count,
                                   struct sb_value *value_out,
                                   sabot_error *error)
{
    struct sb_buffer *items = &engine->bytes;
    uint8_t prefix[PREFIX_SIZE];
    struct sb_cursor cursor;
    sabot_text entry;
    sabot_text value;
    size_t count;

    items->size = 0;
    for (uint32_t i = 0; i < id_count; i++) {
        put_prefix(prefix, kind_of(engine, fold), ids[i]);
        SABOT_TRY(scan(engine, bytes_of(prefix, sizeof prefix), &cursor, error));
        while (sb_store_next(engine->store, &cursor, &entry, &value)) {
            entry = bytes_of(entry.data + PREFIX_SIZE, entry.size - PREFIX_SIZE);
            if (sb_buffer_append(items, &entry, sizeof entry) != SABOT_OK)
                return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to count %s",
                                   engine->plan->name, fold->name);
        }
    }
    count = items->size / sizeof(sabot_text);
    if (count > 0)
        qsort(items->data, count, sizeof(sabot_text), compare_texts);
    value_out->int64 = 0;
    for (size_t i = 0; i < count; i++) {
        const sabot_text *texts = (const sabot_text *)(const void *)items->data;

        if (i == 0 || compare_texts(&texts[i - 1], &texts[i]) != 0)
            value_out->int64++;
    }
    return sb_store_status(engine->store, error);
}

/* The text of the first (last) unit that has one: units come in order of time. */
static sabot_status find_text(struct sb_window_engine *engine,
                              const struct sb_fold *fold,
                              const int64_t *ids,
                              uint32_t id_count,
                              struct sb_value *value_out,
                              sabot_error *error)
{
    uint8_t entry[PREFIX_SIZE];

    value_out->present = false;
    for (uint32_t i = 0; i < id_count && !value_out->present; i++) {
        const uint32_t at = fold->function == SABOT_WINDOW_FIRST ? i : id_count - 1 - i;

        put_prefix(entry, kind_of(engine, fold), ids[at]);
        value_out->text = get(engine, bytes_of(entry, sizeof entry));
        value_out->present = value_out->text.data != NULL;
    }
    return sb_store_status(engine->store, error);
}

sabot_status sb_parts_result(struct sb_window_engine *engine,
                             const struct sb_fold *fold,
                             const int64_t *ids,
                             uint32_t id_count,
                             struct sb_value *value_out,
                             sabot_error *error)
{
    *value_out = (struct sb_value){.present = true};
    if (fold->function == SABOT_WINDOW_COLLECT)
        return collect(engine, fold, ids, id_count, value_out, error);
    if (fold->function == SABOT_WINDOW_COUNT_DISTINCT)
        return count_distinct(engine, fold, ids, id_count, value_out, error);
    return find_text(engine, fold, ids, id_count, value_out, error);
}

/* --- Records -------------------------------------------------------------------------------------
 */

static uint32_t fixed_size(sabot_type type)
{
    switch (type) {
    case SABOT_BOOL: return 1;
    case SABOT_INT32: return sizeof(int32_t);
    case SABOT_INT64:
    case SABOT_TIMESTAMP:
    case SABOT_FLOAT64: return sizeof(int64_t);
    case SABOT_UTF8:
    case SABOT_BINARY:
    case SABOT_CHARS: break;
    }
    return 0;
}

static sabot_status keep(struct sb_window_engine *engine,
                         const void *bytes,
                         size_t size,
                         sabot_error *error)
{
    if (size > 0 && sb_buffer_append(&engine->bytes, bytes, size) != SABOT_OK)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to keep a record",
                           engine->plan->name);
    return SABOT_OK;
}

static sabot_status keep_field(struct sb_window_engine *engine, uint32_t index, sabot_error *error)
{
    const struct sb_schema_field *field = &engine->plan->input->fields[index];
    const uint8_t *member = (const uint8_t *)engine->input.record + field->offset;
    const uint32_t fixed = fixed_size(field->type);
    sabot_text text;
    uint32_t size;

    if (fixed > 0)
        return keep(engine, member, fixed, error);
    memcpy(&text, member, sizeof text);
    size = (uint32_t)text.size;
    if (text.size > SB_STATE_VALUE_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: a text of %zu bytes is too large to keep",
                           engine->plan->name, text.size);
    SABOT_TRY(keep(engine, &size, sizeof size, error));
    return keep(engine, text.data, text.size, error);
}

static sabot_status encode_record(struct sb_window_engine *engine, sabot_error *error)
{
    const struct sb_schema *schema = engine->plan->input;
    const uint32_t head[2] = {schema->version, schema->field_count};
    uint8_t present[SABOT_FIELDS_MAX / 8] = {0};

    engine->bytes.size = 0;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (sb_input_value(engine->plan, &engine->input, i).present)
            present[i >> 3] = (uint8_t)(present[i >> 3] | 1u << (i & 7));
    }
    SABOT_TRY(keep(engine, head, sizeof head, error));
    SABOT_TRY(keep(engine, present, (schema->field_count + 7) / 8, error));
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if ((present[i >> 3] >> (i & 7)) & 1)
            SABOT_TRY(keep_field(engine, i, error));
    }
    return SABOT_OK;
}

sabot_status sb_records_add(struct sb_window_engine *engine,
                            const struct sb_window_unit *unit,
                            sabot_error *error)
{
    uint8_t entry[TIMED_SIZE];

    SABOT_TRY(encode_record(engine, error));
    put_timed(entry, engine, SB_PART_RECORDS, sb_unit_look(engine->plan, unit)->id);
    return put(engine, bytes_of(entry, sizeof entry),
               bytes_of(engine->bytes.data, engine->bytes.size), error);
}

sabot_status sb_records_walk(struct sb_window_engine *engine,
                             int64_t unit_id,
                             struct sb_records_walk *walk,
                             sabot_error *error)
{
    put_prefix(walk->prefix, SB_PART_RECORDS, unit_id);
    return scan(engine, bytes_of(walk->prefix, sizeof walk->prefix), &walk->cursor, error);
}

bool sb_records_next(struct sb_window_engine *engine,
                     struct sb_records_walk *walk,
                     sabot_text *kept_out,
                     int64_t *event_time_ms_out)
{
    if (!sb_store_next(engine->store, &walk->cursor, &walk->entry, kept_out))
        return false;
    SB_ASSERT(walk->entry.size == TIMED_SIZE);
    *event_time_ms_out = sb_get_ordered((const uint8_t *)walk->entry.data + PREFIX_SIZE);
    return true;
}

sabot_status sb_records_remove(struct sb_window_engine *engine,
                               const struct sb_records_walk *walk,
                               sabot_error *error)
{
    return drop(engine, walk->entry, error);
}

static sabot_status damaged(const struct sb_window_engine *engine, sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: a kept record of %s is damaged",
                       engine->plan->name, engine->plan->input->name);
}

/* Bytes that are read one after the other. */
struct reader {
    const uint8_t *at;
    size_t left;
};

static bool take(struct reader *reader, void *out, size_t size)
{
    if (reader->left < size)
        return false;
    memcpy(out, reader->at, size);
    reader->at += size;
    reader->left -= size;
    return true;
}

static bool take_field(struct reader *reader, const struct sb_schema_field *field, uint8_t *record)
{
    const uint32_t fixed = fixed_size(field->type);
    uint32_t size;
    sabot_text text;

    if (fixed > 0)
        return take(reader, record + field->offset, fixed);
    if (!take(reader, &size, sizeof size) || size > reader->left)
        return false;
    text = (sabot_text){(const char *)reader->at, size};
    reader->at += size;
    reader->left -= size;
    memcpy(record + field->offset, &text, sizeof text);
    return true;
}

sabot_status sb_records_decode(struct sb_window_engine *engine, sabot_text kept, sabot_error *error)
{
    const struct sb_schema *schema = engine->plan->input;
    struct reader reader = {(const uint8_t *)kept.data, kept.size};
    uint32_t head[2];

    if (!take(&reader, head, sizeof head))
        return damaged(engine, error);
    if (head[0] != schema->version || head[1] != schema->field_count)
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "%s: a record was kept by version %u of %s with %u fields, which has "
                           "version %u and %u now: let its windows end before the table is changed",
                           engine->plan->name, head[0], schema->name, head[1], schema->version,
                           schema->field_count);
    memset(engine->record, 0, schema->record_size);
    if (!take(&reader, engine->present, (schema->field_count + 7) / 8))
        return damaged(engine, error);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (((engine->present[i >> 3] >> (i & 7)) & 1) &&
            !take_field(&reader, &schema->fields[i], engine->record))
            return damaged(engine, error);
    }
    return reader.left == 0 ? SABOT_OK : damaged(engine, error);
}

/* --- Firings -------------------------------------------------------------------------------------
 */

sabot_status sb_firings_count(struct sb_window_engine *engine,
                              sb_int128 number,
                              int64_t *firings_out,
                              sabot_error *error)
{
    uint8_t entry[PREFIX_SIZE];
    uint8_t value[8];
    sabot_text kept;

    put_prefix(entry, SB_PART_FIRINGS, sb_cut_to_int64(number));
    kept = get(engine, bytes_of(entry, sizeof entry));
    SABOT_TRY(sb_store_status(engine->store, error));
    *firings_out = kept.size == 8 ? sb_get_ordered((const uint8_t *)kept.data) + 1 : 1;
    sb_put_ordered(value, *firings_out);
    return put(engine, bytes_of(entry, sizeof entry), bytes_of(value, sizeof value), error);
}

sabot_status sb_firings_drop(struct sb_window_engine *engine, int64_t time_ms, sabot_error *error)
{
    static const uint8_t prefix[1] = {SB_PART_FIRINGS};
    struct sb_cursor cursor;
    sabot_text entry;
    sabot_window_bounds bounds;
    sabot_text value;

    SABOT_TRY(scan(engine, bytes_of(prefix, sizeof prefix), &cursor, error));
    while (sb_store_next(engine->store, &cursor, &entry, &value)) {
        SB_ASSERT(entry.size == PREFIX_SIZE);
        bounds =
            sb_window_bounds(&engine->plan->grid, sb_get_ordered((const uint8_t *)entry.data + 1));
        if (sb_window_over_ms(engine->plan, bounds.end_ms) > time_ms)
            break;
        SABOT_TRY(drop(engine, entry, error));
    }
    return sb_store_status(engine->store, error);
}
