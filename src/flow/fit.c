/* SPDX-License-Identifier: Apache-2.0 */
/* fit.c - a sum, and where it is too large an encoded row; fit.h says why. */
#include "flow/fit.h"

#include "data/key.h"

enum { KEY_SHOWN = 64 /* bytes of a key in an error */ };

uint64_t sb_fit_record_max(const struct sb_node *sink)
{
    const struct sb_port *port = &sink->port;

    return port->type->record_max == NULL ? UINT64_MAX : port->type->record_max(port->channel);
}

sabot_status sb_fit_init(struct sb_fit *fit,
                         const struct sb_graph *graph,
                         uint32_t node,
                         uint32_t output,
                         sabot_error *error)
{
    *fit = (struct sb_fit){.record_max = UINT64_MAX};
    sb_buffer_init(&fit->encoded, graph->env);
    for (uint32_t i = 0; i < graph->edge_count; i++) {
        const struct sb_edge *edge = &graph->edges[i];
        const struct sb_node *to = &graph->nodes[edge->to];

        if (edge->from != node || edge->output != output || to->kind != SB_NODE_SINK ||
            sb_fit_record_max(to) >= fit->record_max)
            continue;
        fit->sink = to;
        fit->record_max = sb_fit_record_max(to);
    }
    if (fit->sink == NULL)
        return SABOT_OK;
    return fit->sink->port.codec->encoder_create(graph->env, fit->sink->port.schema, &fit->encoder,
                                                 error);
}

void sb_fit_reset(struct sb_fit *fit)
{
    if (fit->encoder != NULL)
        fit->sink->port.codec->encoder_destroy(fit->encoder);
    sb_buffer_reset(&fit->encoded);
    *fit = (struct sb_fit){.sink = NULL};
}

/* At least the bytes of the key. */
static uint64_t key_max(const struct sb_port *port, const struct sb_batch *batch, uint32_t row)
{
    const sabot_type type =
        port->key_field == SB_NO_FIELD ? SABOT_BOOL : batch->schema->fields[port->key_field].type;

    if (type != SABOT_UTF8 && type != SABOT_BINARY)
        return SB_KEY_SCRATCH;
    return sb_batch_text(batch, (uint32_t)port->key_field, row).size;
}

sabot_status sb_fit_check(void *context,
                          const struct sb_batch *batch,
                          uint32_t row,
                          sabot_error *error)
{
    struct sb_fit *fit = context;
    const struct sb_port *port = &fit->sink->port;
    char scratch[SB_KEY_SCRATCH];
    sabot_text key = {NULL, 0};
    sabot_status status;
    sabot_error why;

    if (__builtin_expect(key_max(port, batch, row) +
                                 port->codec->encoded_max(fit->encoder, batch, row) <=
                             fit->record_max,
                         1))
        return SABOT_OK;
    fit->encoded.size = 0;
    SABOT_TRY(port->codec->encode(fit->encoder, batch, row, &fit->encoded, error));
    if (port->key_field != SB_NO_FIELD)
        key = sb_key_text(batch, (uint32_t)port->key_field, row, scratch);
    if (key.size + fit->encoded.size <= fit->record_max)
        return SABOT_OK;
    status =
        sb_fit_refuse(fit->sink, key, key.size + fit->encoded.size, batch->event_times[row], &why);
    return sabot_raise(error, status, "channel %s: %s", fit->sink->name, why.text);
}

sabot_status sb_fit_refuse(const struct sb_node *sink,
                           sabot_text key,
                           size_t size,
                           int64_t time_ms,
                           sabot_error *error)
{
    const struct sb_port *port = &sink->port;
    const int key_size = key.size < KEY_SHOWN ? (int)key.size : KEY_SHOWN;

    return sabot_raise(error, SABOT_ERR_LIMIT,
                       "a record of %zu bytes (key \"%.*s\", event time %lld ms); %s%s takes %llu, "
                       "by its max.message.bytes or record.bytes_max: raise them, or emit less",
                       size, key_size, key.data == NULL ? "" : key.data, (long long)time_ms,
                       port->type->topic == NULL ? "" : "topic ",
                       port->type->topic == NULL ? "it" : port->type->topic(port->channel),
                       (unsigned long long)sb_fit_record_max(sink));
}
