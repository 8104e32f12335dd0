/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_json.c - any bytes as a record.
 *
 * Nothing is read behind them, a refused record leaves no row, jansson agrees on what is JSON, and
 * what was taken survives there and back. One decoder lives on, so that what it has learned from
 * one input meets the next. */
#include "json_fixture.h"

#include "json_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what, const char *error)
{
    if (good)
        return;
    (void)fprintf(stderr, "fuzz_json: %s (%s)\n", what, error);
    abort();
}

/* Encode the last row, decode that, encode again: the same bytes. */
static void there_and_back(struct json_fixture *json)
{
    struct sb_buffer one = {.env = json->env};
    struct sb_buffer two = {.env = json->env};

    check(sb_codec_json.encode(json->encoder, json->builder.batch, json->builder.batch->rows - 1,
                               &one, &json->error) == SABOT_OK,
          "an accepted record was not encoded", json->error.text);
    check(json_decode(json, one.data, one.size) == SABOT_OK, "an encoded record was refused",
          json->error.text);
    check(sb_codec_json.encode(json->encoder, json->builder.batch, json->builder.batch->rows - 1,
                               &two, &json->error) == SABOT_OK,
          "a record was not encoded again", json->error.text);
    check(one.size == two.size && memcmp(one.data, two.data, one.size) == 0,
          "a record changed on its way", (const char *)one.data);
    sb_buffer_reset(&one);
    sb_buffer_reset(&two);
}

static void ask_jansson(struct json_bridge *bridge, const char *record, size_t size)
{
    struct json_bridge_value values[BRIDGE_FIELDS];
    const int status = json_bridge_decode(bridge, record, size, values);
    const char *why;
    const enum json_verdict verdict =
        json_oracle(record, size, status == SABOT_OK ? values : NULL, &why);

    if (verdict == JSON_UNKNOWN)
        return;
    if (status == SABOT_OK)
        check(verdict == JSON_FITS, "accepted, but jansson reads it in another way", why);
    if (status == SABOT_ERR_FORMAT)
        check(verdict == JSON_MALFORMED, "refused as malformed, but jansson takes it",
              json_bridge_error(bridge));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct json_fixture json;
    static struct json_bridge *bridge;
    uint32_t rows;

    if (bridge == NULL) {
        json_fixture_open(&json, &wide_table, 64, 1024 * 1024);
        bridge = json_bridge_open();
    }
    sb_builder_truncate(&json.builder, 0);
    rows = sb_builder_rows(&json.builder);
    json.error = (sabot_error){0};
    if (sb_codec_json.decode(json.decoder, (sabot_text){(const char *)data, size}, TIME, 0, 0,
                             &json.builder, &json.error) == SABOT_OK)
        there_and_back(&json);
    else
        check(sb_builder_rows(&json.builder) == rows && json.error.text[0] != '\0',
              "refused without a text, or a row was left", "");
    ask_jansson(bridge, (const char *)data, size);
    return 0;
}
