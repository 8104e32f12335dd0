/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_fields.c - any field table: refused with a text that names it, or proved; and what a proved
 * one says is so. Records are read and written by it, within the struct it describes.
 *
 *     RECORD|STATE version record_size name
 *     type offset size count flags path [default]     one line for each field
 *                                                      an empty line
 *     a record as JSON                                 if it is a table of records */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "format/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = SABOT_FIELDS_MAX + 2, RECORD_SIZE_MAX = 4096 };

struct table {
    sabot_schema schema;
    enum sb_schema_use use;
    sabot_field fields[FIELDS_MAX];
    const char *record; /* the rest of the input */
};

static uint32_t take_number(char **line)
{
    const char *word = strsep(line, " ");

    return word == NULL ? 0 : (uint32_t)strtoul(word, NULL, 10);
}

static void take_head(struct table *table, char *line)
{
    const char *use = strsep(&line, " ");

    table->use = strcmp(use, "STATE") == 0 ? SB_SCHEMA_STATE : SB_SCHEMA_RECORD;
    table->schema.version = take_number(&line);
    table->schema.record_size = take_number(&line) % (RECORD_SIZE_MAX + 1);
    table->schema.name = line; /* NULL: none */
}

static void take_table(struct table *table, char *text)
{
    char *line = strsep(&text, "\n");

    take_head(table, line);
    table->schema.fields = table->fields;
    while ((line = strsep(&text, "\n")) != NULL && line[0] != '\0') {
        sabot_field *field = &table->fields[table->schema.field_count];

        if (table->schema.field_count == FIELDS_MAX)
            return;
        table->schema.field_count++;
        field->type = (sabot_type)take_number(&line);
        field->offset = take_number(&line);
        field->size = take_number(&line);
        field->count = take_number(&line);
        field->flags = take_number(&line);
        field->path = strsep(&line, " ");
        field->default_text = line;
    }
    table->record = text;
}

static void check_field(const struct sb_schema *schema, uint32_t index)
{
    const struct sb_schema_field *field = &schema->fields[index];

    SB_ASSERT(sb_schema_find(schema, field->path) == (int32_t)index);
    SB_ASSERT((uint64_t)field->offset + field->size <= schema->record_size);
    SB_ASSERT(field->step_count > 0 && field->step_count <= SABOT_FIELD_DEPTH_MAX);
    for (uint32_t i = 0; i < field->step_count; i++) {
        SB_ASSERT(field->steps[i] >= field->path && field->step_sizes[i] > 0);
        SB_ASSERT(field->steps[i] + field->step_sizes[i] <= field->path + field->path_size);
    }
    SB_ASSERT(!field->has_default || (!field->required && field->count == 1));
    for (uint32_t i = 0; i < index; i++)
        SB_ASSERT(schema->fields[i].offset + schema->fields[i].size <= field->offset ||
                  field->offset + field->size <= schema->fields[i].offset);
}

/* Into a struct of exactly the size that the table says, and as JSON again. */
static void show(const struct sb_env *env, const struct sb_schema *schema, struct sb_batch *batch)
{
    struct sb_buffer out = {.env = env};
    struct sb_encoder *encoder;
    void *record = calloc(1, schema->record_size);

    if (record == NULL || sb_codec_json.encoder_create(env, schema, &encoder, NULL) != SABOT_OK)
        abort();
    sb_batch_record(batch, 0, record);
    if (sb_codec_json.encode(encoder, batch, 0, &out, NULL) != SABOT_OK)
        abort();
    sb_codec_json.encoder_destroy(encoder);
    sb_buffer_reset(&out);
    free(record);
}

static void decode(const struct sb_env *env, const struct sb_schema *schema, const char *text)
{
    const struct sb_codec_limits limits = {64, 1024 * 1024};
    struct sb_batch_pool *pool;
    struct sb_builder builder;
    struct sb_decoder *decoder;
    sabot_error error = {.status = SABOT_OK};

    if (sb_batch_pool_create(env, schema, 64, &pool, NULL) != SABOT_OK ||
        sb_builder_init(&builder, pool) != SABOT_OK ||
        sb_codec_json.decoder_create(env, schema, &limits, &decoder, NULL) != SABOT_OK)
        abort();
    if (sb_codec_json.decode(decoder, sabot_text_of(text), SB_NO_FIELD, 0, 0, &builder, &error) ==
        SABOT_OK)
        show(env, schema, builder.batch);
    else
        SB_ASSERT(error.text[0] != '\0');
    sb_codec_json.decoder_destroy(decoder);
    sb_builder_reset(&builder);
    sb_batch_pool_destroy(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sb_env *env;
    struct table table = {.record = NULL};
    struct sb_schema *schema;
    sabot_error error = {.status = SABOT_OK};
    char *text = malloc(size + 1);

    if (text == NULL || (env == NULL && sb_os_env_create(&env, NULL) != SABOT_OK))
        abort();
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    take_table(&table, text);
    if (sb_schema_create(env, &table.schema, table.use, &schema, &error) == SABOT_OK) {
        for (uint32_t i = 0; i < schema->field_count; i++)
            check_field(schema, i);
        if (table.use == SB_SCHEMA_RECORD && table.record != NULL)
            decode(env, schema, table.record);
        sb_schema_destroy(schema);
    } else {
        SB_ASSERT(error.status == SABOT_ERR_SCHEMA && schema == NULL);
        SB_ASSERT(strstr(error.text, "schema ") != NULL);
    }
    free(text);
    return 0;
}
