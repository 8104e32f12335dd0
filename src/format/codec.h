/* SPDX-License-Identifier: Apache-2.0 */
/* codec.h - encoded records to columns, and back.
 *
 * A decoder turns the bytes of one record into one row of a builder; an encoder turns one row of a
 * batch into bytes. A format (json.c, ...) is one `struct sb_codec_type`; callers know nothing else
 * about it.
 *
 * Ownership: a decoder or encoder belongs to its maker and borrows the schema.
 * Threads: one thread each; they keep scratch and guesses from record to record. */
#ifndef SB_FORMAT_CODEC_H
#define SB_FORMAT_CODEC_H

#include "data/batch.h"

/* Limits against hostile input. */
struct sb_codec_limits {
    uint32_t depth_max;  /* nesting: 64 */
    uint32_t record_max; /* bytes of a record: 1 MiB */
};

struct sb_decoder;
struct sb_encoder;

struct sb_codec_type {
    const char *name; /* "json" */

    SABOT_MUST_CHECK sabot_status (*decoder_create)(const struct sb_env *env,
                                                    const struct sb_schema *schema,
                                                    const struct sb_codec_limits *limits,
                                                    struct sb_decoder **decoder_out,
                                                    sabot_error *error);
    void (*decoder_destroy)(struct sb_decoder *decoder);
    /* Append `bytes` as one row: sb_builder_begin, the fields, defaults of what is missing,
     * sb_builder_commit. `event_time_field`: the field whose value is the event time, or
     * SB_NO_FIELD for `timestamp_ms`. On an error no row is added; the text names byte, field and
     * reason, and shows at most 64 bytes, escaped. SABOT_ERR_FORMAT not well-formed;
     * SABOT_ERR_SCHEMA wrong type, out of range, required field missing; SABOT_ERR_LIMIT  too deep
     * or too large; SABOT_ERR_MEMORY */
    SABOT_MUST_CHECK sabot_status (*decode)(struct sb_decoder *decoder,
                                            sabot_text bytes,
                                            int32_t event_time_field,
                                            int64_t timestamp_ms,
                                            uint32_t offset_delta,
                                            struct sb_builder *builder,
                                            sabot_error *error);

    /* Is it the way of this format to say that there is no record? Of bytes that are there. */
    bool (*is_null)(sabot_text bytes);

    SABOT_MUST_CHECK sabot_status (*encoder_create)(const struct sb_env *env,
                                                    const struct sb_schema *schema,
                                                    struct sb_encoder **encoder_out,
                                                    sabot_error *error);
    void (*encoder_destroy)(struct sb_encoder *encoder);
    /* At least as many bytes as encode makes of the row, from the sizes of its texts alone. */
    uint64_t (*encoded_max)(const struct sb_encoder *encoder,
                            const struct sb_batch *batch,
                            uint32_t row);
    /* Append the record of a row to `out`, without a newline. Missing optional fields are left out.
     * SABOT_ERR_MEMORY; SABOT_ERR_SCHEMA: a value the format can't say (a NaN in JSON); `out` is
     * unchanged then. */
    SABOT_MUST_CHECK sabot_status (*encode)(struct sb_encoder *encoder,
                                            const struct sb_batch *batch,
                                            uint32_t row,
                                            struct sb_buffer *out,
                                            sabot_error *error);
};

extern const struct sb_codec_type sb_codec_json;

#endif
