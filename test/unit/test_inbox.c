/* SPDX-License-Identifier: Apache-2.0 */
/* test_inbox.c - several inputs merged into one sequence, by random interleavings.
 *
 * Each input sends a random sequence: rows, rising watermarks, barriers 1, 2, 3.., its end. A row's
 * event time lies above the last watermark of its input, and its text says after how many barriers
 * it was sent. So what comes out can be judged row by row: no row at or below a watermark that was
 * shown (but for an input that was idle and has fallen behind), no row on the wrong side of a
 * barrier, no row while all inputs are said to be idle. */
#include "flow_kit.h"

#include "flow/inbox.h"

enum { INPUTS_MAX = 6, ROUNDS = 150, MESSAGES = 120, SLOTS = 4 };

/* What one input has sent and what of it has come out. */
struct sender {
    struct sb_ring ring;
    int64_t rows_sent;
    int64_t rows_seen;
    int64_t watermark; /* the last sent */
    int64_t barriers;  /* sent */
    uint32_t left;     /* messages to send */
    bool idle;         /* it has said so */
    bool was_idle;     /* at some time */
    bool ended;
};

struct stage {
    struct kit *kit;
    struct kit_random random;
    struct sb_inbox inbox;
    struct sb_slice_pool slices;
    struct sender senders[INPUTS_MAX];
    uint32_t count;
    int64_t watermark; /* shown */
    int64_t barriers;  /* shown */
    bool idles;        /* inputs may be idle */
    bool idle;         /* shown */
    bool ended;
};

static void open_stage(struct stage *stage, uint32_t inputs)
{
    const struct sb_env *env = stage->kit->env;

    memset(stage->senders, 0, sizeof stage->senders);
    stage->count = inputs;
    stage->watermark = INT64_MIN;
    stage->barriers = 0;
    stage->ended = false;
    stage->idle = false;
    assert_int_equal(sb_inbox_init(&stage->inbox, env, inputs), SABOT_OK);
    sb_slice_pool_init(&stage->slices, env, SB_BATCH_ROWS);
    for (uint32_t i = 0; i < inputs; i++) {
        struct sender *sender = &stage->senders[i];

        sender->watermark = INT64_MIN;
        sender->left = kit_random_below(&stage->random, MESSAGES);
        assert_int_equal(
            sb_ring_init(&sender->ring, env, SLOTS, sizeof(struct sb_message), UINT64_MAX),
            SABOT_OK);
        stage->inbox.inputs[i].ring = &sender->ring;
    }
}

static void close_stage(struct stage *stage)
{
    sb_inbox_reset(&stage->inbox);
    sb_slice_pool_reset(&stage->slices);
    for (uint32_t i = 0; i < stage->count; i++)
        sb_ring_reset(&stage->senders[i].ring);
}

/* One row: id = its number in its input, key = the input, text = the barriers before it. */
static struct sb_message make_rows(struct stage *stage, uint32_t input)
{
    struct sender *sender = &stage->senders[input];
    const int64_t base = sender->watermark == INT64_MIN ? 0 : sender->watermark;
    const struct sb_batch_origin origin = {.partition = 0};
    char text[24];
    struct kit_row row = {.id = sender->rows_sent, .key = input, .text = {text, 0}};
    struct sb_batch *batch;
    struct sb_slice *slice;

    row.text.size = (size_t)snprintf(text, sizeof text, "%lld", (long long)sender->barriers);
    row.time_ms = base + 1 + kit_random_below(&stage->random, 50);
    assert_int_equal(sb_builder_record(&stage->kit->builder, &row, row.time_ms, NULL), SABOT_OK);
    assert_int_equal(sb_builder_seal(&stage->kit->builder, &origin, &batch), SABOT_OK);
    slice = sb_slice_take(&stage->slices, batch);
    assert_non_null(slice);
    sb_batch_unref(batch);
    slice->rows[0] = 0;
    slice->count = 1;
    return (struct sb_message){.kind = SB_MESSAGE_ROWS, .slice = slice, .bytes = 1};
}

static struct sb_message next_message(struct stage *stage, uint32_t input)
{
    struct sender *sender = &stage->senders[input];
    const int64_t base = sender->watermark == INT64_MIN ? 0 : sender->watermark;

    if (stage->idles && sender->watermark != INT64_MAX && kit_random_below(&stage->random, 6) == 0)
        return sb_message_mark(sender->idle ? SB_MESSAGE_WATERMARK : SB_MESSAGE_IDLE,
                               sender->watermark);
    if (sender->idle) /* no rows, no new watermark: only a barrier may come */
        return sb_message_mark(SB_MESSAGE_BARRIER, sender->barriers + 1);
    switch (kit_random_below(&stage->random, 8)) {
    case 0: return sb_message_mark(SB_MESSAGE_BARRIER, sender->barriers + 1);
    case 1:
    case 2:
        return sb_message_mark(SB_MESSAGE_WATERMARK,
                               base + 1 + kit_random_below(&stage->random, 20));
    default: return make_rows(stage, input);
    }
}

/* Its time is over or it was stopped; then its end. */
static struct sb_message last_message(struct stage *stage, const struct sender *sender)
{
    if (sender->watermark != INT64_MAX && kit_random_below(&stage->random, 2) == 0)
        return sb_message_mark(SB_MESSAGE_WATERMARK, INT64_MAX);
    return sb_message_mark(SB_MESSAGE_END, 0);
}

/* Let an input send one message, if its ring has room. */
static void send(struct stage *stage, uint32_t input)
{
    struct sender *sender = &stage->senders[input];
    struct sb_message message;

    if (sender->ended || sb_ring_count(&sender->ring) == SLOTS)
        return;
    if (sender->left > 0) {
        sender->left--;
        message = next_message(stage, input);
    } else {
        message = last_message(stage, sender);
    }
    sender->rows_sent += message.kind == SB_MESSAGE_ROWS;
    sender->idle =
        message.kind == SB_MESSAGE_IDLE || (sender->idle && message.kind != SB_MESSAGE_WATERMARK);
    sender->was_idle = sender->was_idle || sender->idle;
    if (message.kind == SB_MESSAGE_WATERMARK)
        sender->watermark = message.value;
    if (message.kind == SB_MESSAGE_BARRIER)
        sender->barriers = message.value;
    sender->ended = message.kind == SB_MESSAGE_END;
    assert_true(sb_ring_push(&sender->ring, &message, message.bytes));
}

static void see_row(struct stage *stage, struct sb_slice *slice)
{
    const struct sb_batch *batch = slice->batch;
    struct sender *sender = &stage->senders[sb_batch_int64(batch, KIT_KEY, 0)];
    const sabot_text text = sb_batch_text(batch, KIT_TEXT, 0);
    char barriers[24] = "";

    assert_in_range(text.size, 1, sizeof barriers - 1);
    for (size_t i = 0; i < text.size; i++)
        barriers[i] = text.data[i];
    assert_true(sb_batch_int64(batch, KIT_ID, 0) == sender->rows_seen++);
    assert_true(batch->event_times[0] > stage->watermark || sender->was_idle);
    assert_false(stage->idle);
    assert_true(strtoll(barriers, NULL, 10) == stage->barriers);
    sb_slice_drop(slice);
}

/* The highest watermark that may be shown: no input, stopped ones included, sent a lower one. */
static int64_t lowest_sent(const struct stage *stage)
{
    int64_t lowest = INT64_MAX;

    for (uint32_t i = 0; i < stage->count; i++) {
        if (stage->senders[i].watermark < lowest && !stage->senders[i].was_idle)
            lowest = stage->senders[i].watermark;
    }
    return lowest;
}

static bool take(struct stage *stage)
{
    struct sb_message message;

    if (!sb_inbox_take(&stage->inbox, &message))
        return false;
    assert_false(stage->ended);
    switch (message.kind) {
    case SB_MESSAGE_ROWS: see_row(stage, message.slice); break;
    case SB_MESSAGE_WATERMARK:
        assert_true(message.value > stage->watermark ||
                    (stage->idle && message.value == stage->watermark));
        assert_true(message.value <= lowest_sent(stage));
        stage->watermark = message.value;
        stage->idle = false;
        break;
    case SB_MESSAGE_IDLE:
        assert_true(message.value > stage->watermark ||
                    (!stage->idle && message.value == stage->watermark));
        stage->watermark = message.value;
        stage->idle = true;
        break;
    case SB_MESSAGE_LOADED: fail(); break; /* nobody has sent it */
    case SB_MESSAGE_BARRIER:
        assert_true(message.value == stage->barriers + 1);
        for (uint32_t i = 0; i < stage->count; i++)
            assert_true(stage->senders[i].ended || stage->senders[i].barriers >= message.value);
        assert_true(sb_inbox_take(&stage->inbox, &message)); /* again, until it is reopened */
        assert_int_equal(message.kind, SB_MESSAGE_BARRIER);
        assert_true(message.value == stage->barriers + 1);
        stage->barriers++;
        sb_inbox_reopen(&stage->inbox);
        break;
    case SB_MESSAGE_END: stage->ended = true; break;
    }
    return true;
}

static void check_end(const struct stage *stage)
{
    int64_t barriers = 0;

    for (uint32_t i = 0; i < stage->count; i++) {
        assert_true(stage->senders[i].rows_seen == stage->senders[i].rows_sent);
        if (stage->senders[i].barriers > barriers)
            barriers = stage->senders[i].barriers;
    }
    assert_true(stage->barriers == barriers);
    assert_true(stage->idles || stage->watermark == lowest_sent(stage));
    assert_true(sb_inbox_ended(&stage->inbox));
}

static void any_interleaving_shows_each_mark_once_and_behind_its_rows(void **state)
{
    static struct stage stage;

    stage.kit = *state;
    stage.random = kit_random_start(stage.kit->env);
    for (uint32_t round = 0; round < 2 * ROUNDS; round++) {
        stage.idles = round % 2 == 1;
        open_stage(&stage, 1 + kit_random_below(&stage.random, INPUTS_MAX));
        while (!stage.ended) {
            send(&stage, kit_random_below(&stage.random, stage.count));
            if (kit_random_below(&stage.random, 2) == 0)
                (void)take(&stage);
        }
        assert_false(take(&stage));
        check_end(&stage);
        close_stage(&stage);
    }
}

static void an_input_with_a_barrier_is_held_until_the_others_have_it(void **state)
{
    static struct stage stage;
    struct sb_message message = sb_message_mark(SB_MESSAGE_BARRIER, 1);

    stage.kit = *state;
    stage.random = kit_random_start(stage.kit->env);
    open_stage(&stage, 2);
    assert_true(sb_ring_push(&stage.senders[0].ring, &message, 1));
    stage.senders[0].barriers = 1;
    for (uint32_t i = 0; i < SLOTS - 1; i++) {
        message = make_rows(&stage, 0);
        stage.senders[0].rows_sent++;
        assert_true(sb_ring_push(&stage.senders[0].ring, &message, 1));
    }
    assert_false(take(&stage));
    assert_int_equal(sb_ring_count(&stage.senders[0].ring), SLOTS - 1);
    message = make_rows(&stage, 1);
    stage.senders[1].rows_sent++;
    assert_true(sb_ring_push(&stage.senders[1].ring, &message, 1));
    assert_true(take(&stage));
    assert_true(stage.senders[1].rows_seen == 1);
    assert_false(take(&stage));
    stage.senders[1].barriers = 1;
    message = sb_message_mark(SB_MESSAGE_BARRIER, 1);
    assert_true(sb_ring_push(&stage.senders[1].ring, &message, 1));
    assert_true(take(&stage));
    assert_true(stage.barriers == 1);
    for (uint32_t i = 0; i < SLOTS - 1; i++)
        assert_true(take(&stage));
    assert_true(stage.senders[0].rows_seen == SLOTS - 1);
    close_stage(&stage);
}

/* A run that is stopped goes on another day, with records that may be older than what the other
 * inputs have seen. */
static void an_input_that_was_stopped_holds_time_where_it_was(void **state)
{
    const struct kit *kit = *state;
    struct sb_ring rings[2];
    struct sb_inbox inbox;
    struct sb_message message;

    assert_int_equal(sb_inbox_init(&inbox, kit->env, 2), SABOT_OK);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(
            sb_ring_init(&rings[i], kit->env, 8, sizeof(struct sb_message), UINT64_MAX), SABOT_OK);
        inbox.inputs[i].ring = &rings[i];
        message = sb_message_mark(SB_MESSAGE_WATERMARK, i == 0 ? 100 : 200);
        assert_true(sb_ring_push(&rings[i], &message, 1));
    }
    assert_true(sb_inbox_take(&inbox, &message));
    assert_true(message.value == 100);
    message = sb_message_mark(SB_MESSAGE_END, 0);
    assert_true(sb_ring_push(&rings[0], &message, 1));
    message = sb_message_mark(SB_MESSAGE_WATERMARK, 300);
    assert_true(sb_ring_push(&rings[1], &message, 1));
    assert_false(sb_inbox_take(&inbox, &message));
    assert_true(inbox.watermark.now == 100);
    sb_inbox_reset(&inbox);
    sb_ring_reset(&rings[0]);
    sb_ring_reset(&rings[1]);
}

static void inputs_are_served_in_turn(void **state)
{
    static struct stage stage;

    stage.kit = *state;
    stage.random = kit_random_start(stage.kit->env);
    open_stage(&stage, 3);
    for (uint32_t i = 0; i < 3 * SLOTS; i++) {
        const struct sb_message message = make_rows(&stage, i % 3);

        stage.senders[i % 3].rows_sent++;
        assert_true(sb_ring_push(&stage.senders[i % 3].ring, &message, 1));
    }
    for (int64_t turn = 1; turn <= SLOTS; turn++) {
        for (uint32_t i = 0; i < 3; i++)
            assert_true(take(&stage));
        for (uint32_t i = 0; i < 3; i++)
            assert_true(stage.senders[i].rows_seen == turn);
    }
    close_stage(&stage);
}

static void what_was_not_taken_goes_with_the_inbox(void **state)
{
    static struct stage stage;
    struct sb_message message;

    stage.kit = *state;
    stage.random = kit_random_start(stage.kit->env);
    open_stage(&stage, 2);
    message = make_rows(&stage, 1);
    assert_true(sb_ring_push(&stage.senders[1].ring, &message, 1));
    message = sb_message_mark(SB_MESSAGE_END, 0);
    assert_true(sb_ring_push(&stage.senders[1].ring, &message, 1));
    close_stage(&stage);
}

static void making_one_without_memory_leaks_nothing(void **state)
{
    struct kit *kit = *state;
    struct sb_inbox inbox;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth;

    for (nth = 1; status != SABOT_OK; nth++) {
        sb_os_env_fail_allocation(kit->env, nth);
        status = sb_inbox_init(&inbox, kit->env, 3);
        sb_os_env_fail_allocation(kit->env, 0);
        sb_inbox_reset(&inbox);
    }
    assert_int_equal(nth, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(any_interleaving_shows_each_mark_once_and_behind_its_rows),
        KIT_TEST(an_input_with_a_barrier_is_held_until_the_others_have_it),
        KIT_TEST(an_input_that_was_stopped_holds_time_where_it_was),
        KIT_TEST(inputs_are_served_in_turn),
        KIT_TEST(what_was_not_taken_goes_with_the_inbox),
        KIT_TEST(making_one_without_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
