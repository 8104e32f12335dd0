/* SPDX-License-Identifier: Apache-2.0 */
/* inbox.c - merging the inputs of a task; inbox.h has the picture. */
#include "flow/inbox.h"

sabot_status sb_inbox_init(struct sb_inbox *inbox, const struct sb_env *env, uint32_t input_count)
{
    *inbox = (struct sb_inbox){
        .env = env, .count = input_count, .live = input_count, .loading = input_count};
    inbox->inputs = sb_alloc_array(env, input_count, sizeof *inbox->inputs);
    if (inbox->inputs == NULL)
        return SABOT_ERR_MEMORY;
    SABOT_TRY(sb_gate_init(&inbox->gate, env, input_count));
    return sb_watermark_init(&inbox->watermark, env, input_count);
}

void sb_inbox_reset(struct sb_inbox *inbox)
{
    struct sb_message *message;

    if (inbox->env == NULL)
        return;
    for (uint32_t i = 0; inbox->inputs != NULL && i < inbox->count; i++) {
        struct sb_ring *ring = inbox->inputs[i].ring;

        while (ring != NULL && (message = sb_ring_peek(ring)) != NULL) {
            sb_slice_drop(message->slice);
            sb_ring_pop(ring, message->bytes);
        }
    }
    sb_free_array(inbox->env, inbox->inputs, inbox->count, sizeof *inbox->inputs);
    sb_gate_reset(&inbox->gate);
    sb_watermark_reset(&inbox->watermark);
    *inbox = (struct sb_inbox){.env = NULL};
}

/* Time as input `index` sees it, merged with the others. True: the message is to be shown, as
 * changed here: the task's own time has moved, or nothing holds it back any more, or again. */
static bool merge_time(struct sb_inbox *inbox, uint32_t index, struct sb_message *message)
{
    struct sb_watermark *watermark = &inbox->watermark;
    const bool was_idle = sb_watermark_is_idle(watermark);
    const bool moved = message->kind == SB_MESSAGE_IDLE
                           ? sb_watermark_idle(watermark, index, message->value)
                           : sb_watermark_advance(watermark, index, message->value);
    const bool is_idle = sb_watermark_is_idle(watermark);

    *message = sb_message_mark(is_idle ? SB_MESSAGE_IDLE : SB_MESSAGE_WATERMARK, watermark->now);
    return moved || is_idle != was_idle;
}

/* Merge a message of input `index` with the others. True: it is to be shown, as changed here. */
static bool merge(struct sb_inbox *inbox, uint32_t index, struct sb_message *message)
{
    switch (message->kind) {
    case SB_MESSAGE_ROWS: return true;
    case SB_MESSAGE_WATERMARK:
    case SB_MESSAGE_IDLE: return merge_time(inbox, index, message);
    case SB_MESSAGE_LOADED: return --inbox->loading == 0;
    case SB_MESSAGE_BARRIER:
        (void)sb_gate_barrier(&inbox->gate, index, message->value);
        return false; /* shown by sb_inbox_take() when it is aligned */
    case SB_MESSAGE_END: break;
    }
    /* One input less may complete a barrier, or be the end. Of time it says nothing: an input whose
     * time is over said so by INT64_MAX, and one that was stopped goes on another day. */
    inbox->live--;
    sb_gate_end(&inbox->gate, index);
    return inbox->live == 0;
}

static bool take_from(struct sb_inbox *inbox, uint32_t index, struct sb_message *message_out)
{
    struct sb_input *input = &inbox->inputs[index];
    const struct sb_message *message;

    while (!sb_gate_holds(&inbox->gate, index) && (message = sb_ring_peek(input->ring)) != NULL) {
        *message_out = *message;
        sb_ring_pop(input->ring, message_out->bytes);
        if (input->sender != NULL)
            sb_wake(inbox->env, input->sender);
        if (merge(inbox, index, message_out))
            return true;
        if (inbox->gate.state == SB_GATE_ALIGNED)
            return false;
    }
    return false;
}

bool sb_inbox_take(struct sb_inbox *inbox, struct sb_message *message_out)
{
    for (uint32_t i = 0; inbox->gate.state != SB_GATE_ALIGNED && i < inbox->count; i++) {
        const uint32_t index = inbox->next;

        inbox->next = index + 1 == inbox->count ? 0 : index + 1;
        if (take_from(inbox, index, message_out))
            return true;
    }
    if (inbox->gate.state != SB_GATE_ALIGNED)
        return false;
    *message_out = sb_message_mark(SB_MESSAGE_BARRIER, inbox->gate.epoch);
    return true;
}
