/* SPDX-License-Identifier: Apache-2.0 */
/* output.c - the queue before the exchanges; output.h has the picture. */
#include "flow/output.h"

void sb_output_init(struct sb_output *output,
                    struct sb_exchange *exchanges,
                    uint32_t exchange_count)
{
    *output = (struct sb_output){.exchanges = exchanges, .exchange_count = exchange_count};
}

void sb_output_reset(struct sb_output *output)
{
    for (; output->count > 0; output->count--) {
        sb_batch_unref(output->items[output->first].batch);
        output->first = (output->first + 1) % SB_OUTPUT_QUEUE_MAX;
    }
}

static struct sb_output_item *append(struct sb_output *output)
{
    SB_ASSERT(output->count < SB_OUTPUT_QUEUE_MAX);
    return &output->items[(output->first + output->count++) % SB_OUTPUT_QUEUE_MAX];
}

void sb_output_batch(struct sb_output *output, struct sb_batch *take_batch)
{
    *append(output) = (struct sb_output_item){.batch = take_batch};
}

void sb_output_mark(struct sb_output *output, enum sb_message_kind kind, int64_t value)
{
    *append(output) = (struct sb_output_item){.mark = sb_message_mark(kind, value)};
}

static bool push_exchanges(struct sb_output *output)
{
    bool all = true;

    for (uint32_t i = 0; i < output->exchange_count; i++)
        all = sb_exchange_push(&output->exchanges[i]) && all;
    return all;
}

/* Hand the head of the queue to every exchange. */
static sabot_status hand_over(struct sb_output *output)
{
    struct sb_output_item *item = &output->items[output->first];
    sabot_status status = SABOT_OK;

    for (uint32_t i = 0; i < output->exchange_count; i++) {
        if (item->batch == NULL)
            sb_exchange_mark(&output->exchanges[i], &item->mark);
        else if (!output->lossy)
            status = sb_exchange_batch(&output->exchanges[i], item->batch);
        output->lossy = output->lossy || status != SABOT_OK;
    }
    sb_batch_unref(item->batch);
    output->first = (output->first + 1) % SB_OUTPUT_QUEUE_MAX;
    output->count--;
    return status;
}

sabot_status sb_output_push(struct sb_output *output)
{
    while (push_exchanges(output)) {
        if (output->count == 0)
            return SABOT_OK;
        SABOT_TRY(hand_over(output));
    }
    return SABOT_AGAIN;
}

bool sb_output_empty(const struct sb_output *output)
{
    for (uint32_t i = 0; i < output->exchange_count; i++) {
        if (output->exchanges[i].holding > 0)
            return false;
    }
    return output->count == 0;
}
