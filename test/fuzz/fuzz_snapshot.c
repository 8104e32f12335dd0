/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_snapshot.c - bytes from anywhere as the snapshot of a shard: restored or refused, never a
 * crash; and shown by its own tables, which take all that a restore takes.
 *
 * The first byte chooses: even, the rest is the whole stream; odd, it is the payload of blocks,
 * which get the checksums they need, so that what stands behind them is reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/inspect.h"
#include "base/mem.h"
#include "state/peek.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fixed {
    int64_t number;
    double real;
    char text[12];
    bool flag;
    int32_t numbers[3];
};

static const sabot_field fields[] = {
    SABOT_FIELD(struct fixed, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct fixed, real, "real", SABOT_FLOAT64, "1.5"),
    SABOT_FIELD_DEFAULT(struct fixed, text, "text", SABOT_CHARS, "\"none\""),
    SABOT_FIELD(struct fixed, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD_ARRAY(struct fixed, numbers, "numbers", SABOT_INT32),
};
static const sabot_schema table = SABOT_SCHEMA("fixed", 3, struct fixed, fields);

struct row {
    int64_t id;
    sabot_text name;
    bool flag;
};

static const sabot_field row_fields[] = {
    SABOT_FIELD(struct row, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD_DEFAULT(struct row, name, "name", SABOT_UTF8, "\"nobody\""),
    SABOT_FIELD(struct row, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
};
static const sabot_schema row_table = SABOT_SCHEMA("row", 2, struct row, row_fields);

struct tape {
    uint8_t *bytes;
    size_t size;
    size_t read;
};

static sabot_status tape_read(void *context,
                              void *buffer,
                              size_t size,
                              size_t *size_out,
                              sabot_error *error)
{
    struct tape *tape = context;
    const size_t left = tape->size - tape->read;

    (void)error;
    *size_out = size < left ? size : left;
    if (*size_out > 0)
        memcpy(buffer, tape->bytes + tape->read, *size_out);
    tape->read += *size_out;
    return SABOT_OK;
}

static void put_number(struct tape *tape, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        tape->bytes[tape->size++] = (uint8_t)(value >> (8 * i));
}

/* The payload in blocks of at most 300 bytes, and the end. */
static void frame(struct tape *tape, const uint8_t *payload, size_t size)
{
    uint64_t number = 0;

    for (;;) {
        const size_t part = size < 300 ? size : 300;

        put_number(tape, part, 4);
        put_number(tape, sb_hash(payload, part, number++), 8);
        if (part > 0)
            memcpy(tape->bytes + tape->size, payload, part);
        tape->size += part;
        if (part == 0)
            return;
        payload += part;
        size -= part;
    }
}

static sabot_status restore(struct sb_env *env,
                            const struct sb_schema *schema,
                            const struct sb_schema *row_schema,
                            struct tape *tape)
{
    const struct sb_state_spec states[] = {
        {.name = "v", .kind = SB_STATE_VALUE, .schema = schema},
        {.name = "b", .kind = SB_STATE_VALUE, .ttl_ms = 100},
        {.name = "l", .kind = SB_STATE_LIST, .schema = schema},
        {.name = "m", .kind = SB_STATE_MAP, .ttl_ms = 100},
        {.name = "t", .kind = SB_STATE_TIMERS},
        {.name = "r", .kind = SB_STATE_VALUE, .row_schema = row_schema},
    };
    struct sb_store_config config = {.env = env,
                                     .owner = "agent",
                                     .states = states,
                                     .state_count = sizeof states / sizeof states[0]};
    const struct sb_byte_source source = {tape_read, tape};
    struct sb_account *account;
    struct sb_store *store;
    sabot_error error;

    if (sb_account_create(env, 64ULL * 1024 * 1024, &account, &error) != SABOT_OK)
        abort();
    config.account = account;
    if (sb_store_create(&config, &store, &error) != SABOT_OK)
        abort();
    const sabot_status status = sb_store_restore(store, &source, &error);
    if (status != SABOT_OK && (status != error.status || error.text[0] == '\0'))
        abort();
    sb_store_destroy(store);
    if (sb_account_used(account) != 0)
        abort();
    sb_account_destroy(account);
    return status;
}

/* Every row as JSON. */
static sabot_status show(struct sb_env *env, struct tape *tape, sabot_error *why)
{
    const struct sb_byte_source source = {tape_read, tape};
    struct sb_buffer out = {.env = env};
    struct sb_peek peek;
    sabot_status status;

    tape->read = 0;
    status = sb_peek_begin(&peek, env, &source, why);
    while (status == SABOT_OK && (status = sb_peek_next(&peek)) == SABOT_OK) {
        out.size = 0;
        if (sb_inspect_key_json(&out, peek.row.key, 0) != SABOT_OK ||
            sb_inspect_value_json(&out, &peek.row) != SABOT_OK)
            abort();
    }
    if (status != SABOT_END && (status != why->status || why->text[0] == '\0'))
        abort();
    sb_peek_reset(&peek);
    sb_buffer_reset(&out);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tape tape = {.bytes = malloc(size + (size / 300 + 3) * 12)};
    struct sb_schema *schema;
    struct sb_schema *row_schema;
    struct sb_env *env;
    sabot_error error;

    if (size == 0 || tape.bytes == NULL) {
        free(tape.bytes);
        return 0;
    }
    if (sb_os_env_create(&env, &error) != SABOT_OK ||
        sb_schema_create(env, &table, SB_SCHEMA_STATE, &schema, &error) != SABOT_OK ||
        sb_schema_create(env, &row_table, SB_SCHEMA_RECORD, &row_schema, &error) != SABOT_OK)
        abort();
    if (data[0] % 2 == 1) {
        frame(&tape, data + 1, size - 1);
    } else {
        memcpy(tape.bytes, data + 1, size - 1);
        tape.size = size - 1;
    }
    const sabot_status restored = restore(env, schema, row_schema, &tape);
    if (show(env, &tape, &error) != SABOT_END && restored == SABOT_OK) {
        (void)fprintf(stderr, "fuzz_snapshot: restored, but not shown: %s\n", error.text);
        abort();
    }
    sb_schema_destroy(row_schema);
    sb_schema_destroy(schema);
    sb_os_env_destroy(env);
    free(tape.bytes);
    return 0;
}
