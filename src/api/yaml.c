/* SPDX-License-Identifier: Apache-2.0 */
/* yaml.c - a configuration file as a run of (dotted name, text), by libyaml's events.
 *
 * Events, not libyaml's document: they are never expanded, so that a small file stays small. The
 * path to where the events stand is one text, "kafka.linger.ms", cut back when a map ends.
 * Invariants: depth <= SB_YAML_DEPTH_MAX; name is NUL-terminated and ends[depth - 1] <= its length.
 * Threads: the caller's. Memory: libyaml's, by the system's allocator; ours is on the stack. */
#include "api/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/env.h"

struct reader {
    yaml_parser_t parser;
    const char *path;
    sb_yaml_function each;
    void *context;
    size_t depth;                   /* maps that are open */
    size_t ends[SB_YAML_DEPTH_MAX]; /* length of the name of each open map */
    bool has_key;                   /* the name is that of a value which comes next */
    bool has_document;
    char name[SB_YAML_NAME_MAX + 1];
};

/* --- Errors ----------------------------------------------------------------------------------- */

static sabot_status raise_at(const struct reader *reader,
                             yaml_mark_t mark,
                             sabot_error *error,
                             const char *text)
{
    return sabot_raise(error, SABOT_ERR_CONFIG, "%s:%zu:%zu: %s", reader->path, mark.line + 1,
                       mark.column + 1, text);
}

static sabot_status raise_syntax(const struct reader *reader, sabot_error *error)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;

    if (parser->error == YAML_MEMORY_ERROR)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to read it", reader->path);
    if (parser->error == YAML_READER_ERROR)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: byte %zu: %s", reader->path,
                           parser->problem_offset, problem);
    if (parser->context == NULL)
        return raise_at(reader, parser->problem_mark, error, problem);
    return sabot_raise(error, SABOT_ERR_CONFIG, "%s:%zu:%zu: %s (%s at line %zu)", reader->path,
                       parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem,
                       parser->context, parser->context_mark.line + 1);
}

/* --- Events ----------------------------------------------------------------------------------- */

static void reader_check(const struct reader *reader)
{
    SB_ASSERT(reader->depth <= SB_YAML_DEPTH_MAX);
    SB_ASSERT(reader->depth == 0 ||
              reader->ends[reader->depth - 1] <= strnlen(reader->name, sizeof reader->name));
    SB_ASSERT(reader->depth > 0 || !reader->has_key);
}

static sabot_status on_map_start(struct reader *reader, yaml_mark_t mark, sabot_error *error)
{
    if (reader->depth > 0 && !reader->has_key)
        return raise_at(reader, mark, error, "a map can't be the name of an option");
    if (reader->depth == SB_YAML_DEPTH_MAX)
        return raise_at(reader, mark, error, "maps are nested too deeply");
    reader->ends[reader->depth++] = strlen(reader->name);
    reader->has_key = false;
    return SABOT_OK;
}

static void on_map_end(struct reader *reader)
{
    SB_ASSERT(reader->depth > 0 && !reader->has_key);
    reader->depth--;
    reader->name[reader->depth > 0 ? reader->ends[reader->depth - 1] : 0] = '\0';
}

/* The name becomes that of the map, a dot and the key. */
static sabot_status on_key(struct reader *reader,
                           const char *key,
                           size_t size,
                           yaml_mark_t mark,
                           sabot_error *error)
{
    size_t end = reader->ends[reader->depth - 1];

    if (size == 0)
        return raise_at(reader, mark, error, "an option without a name");
    if (end + 1 + size > SB_YAML_NAME_MAX)
        return raise_at(reader, mark, error, "the name of the option is too long");
    if (end > 0)
        reader->name[end++] = '.';
    memcpy(reader->name + end, key, size);
    reader->name[end + size] = '\0';
    reader->has_key = true;
    return SABOT_OK;
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static sabot_status on_value(struct reader *reader, const yaml_event_t *event, sabot_error *error)
{
    const char *value = is_null(event) ? NULL : (const char *)event->data.scalar.value;
    const yaml_mark_t mark = event->start_mark;
    const sabot_status status =
        reader->each(reader->context, reader->name, value, mark.line + 1, mark.column + 1, error);

    reader->has_key = false;
    reader->name[reader->ends[reader->depth - 1]] = '\0';
    if (status != SABOT_OK && error != NULL)
        (void)sabot_raise(error, status, "%s:%zu:%zu: %s", reader->path, mark.line + 1,
                          mark.column + 1, error->text);
    return status;
}

static sabot_status on_scalar(struct reader *reader, const yaml_event_t *event, sabot_error *error)
{
    const char *text = (const char *)event->data.scalar.value;
    const size_t size = event->data.scalar.length;

    if (event->data.scalar.anchor != NULL)
        return raise_at(reader, event->start_mark, error, "anchors are not supported here");
    if (event->data.scalar.tag != NULL)
        return raise_at(reader, event->start_mark, error, "tags are not supported here");
    if (strlen(text) != size)
        return raise_at(reader, event->start_mark, error, "a NUL byte in a text");
    if (reader->depth == 0)
        return is_null(event) ? SABOT_OK
                              : raise_at(reader, event->start_mark, error,
                                         "expected options, as in errors.decode: skip");
    if (!reader->has_key)
        return on_key(reader, text, size, event->start_mark, error);
    return on_value(reader, event, error);
}

static sabot_status on_event(struct reader *reader, const yaml_event_t *event, sabot_error *error)
{
    const yaml_mark_t mark = event->start_mark;

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->has_document)
            return raise_at(reader, mark, error, "a second document: one file has one");
        reader->has_document = true;
        return SABOT_OK;
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor != NULL)
            return raise_at(reader, mark, error, "anchors are not supported here");
        if (event->data.mapping_start.tag != NULL)
            return raise_at(reader, mark, error, "tags are not supported here");
        return on_map_start(reader, mark, error);
    case YAML_MAPPING_END_EVENT: on_map_end(reader); return SABOT_OK;
    case YAML_SCALAR_EVENT: return on_scalar(reader, event, error);
    case YAML_SEQUENCE_START_EVENT:
        return raise_at(reader, mark, error, "a list: options are texts and numbers");
    case YAML_ALIAS_EVENT: return raise_at(reader, mark, error, "aliases are not supported here");
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: break;
    }
    return SABOT_OK;
}

static sabot_status read_events(struct reader *reader, sabot_error *error)
{
    yaml_event_t event;
    bool is_end = false;

    /* Each event takes at least a byte or closes one that did, so the loop ends with the text. */
    while (!is_end) {
        reader_check(reader);
        if (yaml_parser_parse(&reader->parser, &event) == 0)
            return raise_syntax(reader, error);
        is_end = event.type == YAML_STREAM_END_EVENT;
        const sabot_status status = on_event(reader, &event, error);
        yaml_event_delete(&event);
        SABOT_TRY(status);
    }
    SB_ASSERT(reader->depth == 0);
    return SABOT_OK;
}

sabot_status sb_yaml_read(const char *path,
                          const char *text,
                          size_t size,
                          sb_yaml_function each,
                          void *context,
                          sabot_error *error)
{
    struct reader reader = {.path = path, .each = each, .context = context};

    if (size > SB_YAML_BYTES_MAX)
        return sabot_raise(error, SABOT_ERR_CONFIG, "%s: more than %d bytes", path,
                           SB_YAML_BYTES_MAX);
    if (yaml_parser_initialize(&reader.parser) == 0)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to read it", path);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    const sabot_status status = read_events(&reader, error);
    yaml_parser_delete(&reader.parser);
    return status;
}
