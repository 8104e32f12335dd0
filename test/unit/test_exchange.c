/* SPDX-License-Identifier: Apache-2.0 */
/* test_exchange.c - an edge's sending side: rows to the worker of their shard, back-pressure,
 * marks.
 *
 * Receivers are plain rings that the test pops; each row that comes is compared with what a naive
 * split of the same batch says. */
#include "flow_kit.h"

#include "base/hash.h"
#include "data/key.h"
#include "flow/exchange.h"

enum { TARGETS_MAX = 8, SEED = 99, BATCHES = 300 };

struct stage {
    struct kit *kit;
    struct sb_exchange exchange;
    struct sb_ring rings[TARGETS_MAX];
    uint32_t targets;
    int64_t next_id;              /* of the batch made next */
    int64_t last_id[TARGETS_MAX]; /* that came to a target */
    uint32_t rows;                /* that came at all */
    int64_t last_mark[TARGETS_MAX];
};

static void open_stage(struct stage *stage,
                       struct kit *kit,
                       uint32_t targets,
                       uint32_t slots,
                       uint64_t bytes)
{
    *stage = (struct stage){.kit = kit, .targets = targets};
    assert_int_equal(
        sb_exchange_init(&stage->exchange, kit->env, targets, KIT_KEY, SEED, SB_BATCH_ROWS),
        SABOT_OK);
    for (uint32_t i = 0; i < targets; i++) {
        assert_int_equal(
            sb_ring_init(&stage->rings[i], kit->env, slots, sizeof(struct sb_message), bytes),
            SABOT_OK);
        stage->exchange.targets[i].ring = &stage->rings[i];
        stage->last_id[i] = -1;
    }
}

static void drop_ring(struct sb_ring *ring)
{
    struct sb_message *message;

    while ((message = sb_ring_peek(ring)) != NULL) {
        sb_slice_drop(message->slice);
        sb_ring_pop(ring, message->bytes);
    }
    sb_ring_reset(ring);
}

static void close_stage(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->targets; i++)
        drop_ring(&stage->rings[i]);
    sb_exchange_reset(&stage->exchange);
}

/* The worker that the row of this key belongs to, said once more. */
static uint32_t target_of(const struct sb_batch *batch, uint32_t row, uint32_t targets)
{
    uint8_t scratch[SB_KEY_SCRATCH];
    const sabot_text key = sb_key_of(batch, KIT_KEY, row, scratch);

    return sb_hash_shard(sb_hash(key.data, key.size, SEED)) % targets;
}

static void check_slice(struct stage *stage, uint32_t target, const struct sb_slice *slice)
{
    assert_true(slice->count > 0);
    for (uint32_t i = 0; i < slice->count; i++) {
        const uint32_t row = slice->rows[i];
        const int64_t id = sb_batch_int64(slice->batch, KIT_ID, row);
        uint8_t scratch[SB_KEY_SCRATCH];
        const sabot_text key = sb_key_of(slice->batch, KIT_KEY, row, scratch);

        assert_int_equal(target_of(slice->batch, row, stage->targets), target);
        assert_true(slice->hashes[i] == sb_hash(key.data, key.size, SEED));
        assert_true(id > stage->last_id[target]); /* ids rise in every batch and over them */
        stage->last_id[target] = id;
        stage->rows++;
    }
}

/* Take one message from a target's ring, if there is one. */
static bool take(struct stage *stage, uint32_t target)
{
    struct sb_message *message = sb_ring_peek(&stage->rings[target]);

    if (message == NULL)
        return false;
    if (message->kind == SB_MESSAGE_ROWS) {
        check_slice(stage, target, message->slice);
        sb_slice_drop(message->slice);
    } else {
        assert_true(message->value == stage->last_mark[target] + 1);
        stage->last_mark[target]++;
    }
    sb_ring_pop(&stage->rings[target], message->bytes);
    return true;
}

static void take_all(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->targets; i++) {
        while (take(stage, i)) {}
    }
}

static void send_batch(struct stage *stage, uint32_t rows, int64_t keys)
{
    struct sb_batch *batch = kit_batch(stage->kit, stage->next_id, rows, keys);

    stage->next_id += rows;
    assert_int_equal(sb_exchange_batch(&stage->exchange, batch), SABOT_OK);
    sb_batch_unref(batch);
}

static void each_row_goes_once_to_the_worker_of_its_shard_in_order(void **state)
{
    struct stage stage;

    for (uint32_t targets = 1; targets <= TARGETS_MAX; targets++) {
        open_stage(&stage, *state, targets, 4, UINT64_MAX);
        for (uint32_t i = 0; i < 20; i++) {
            send_batch(&stage, 1 + i * 53 % SB_BATCH_ROWS, 1 + i * 17);
            assert_true(sb_exchange_push(&stage.exchange));
            take_all(&stage);
        }
        assert_int_equal(stage.rows, stage.next_id);
        close_stage(&stage);
    }
}

static void full_rings_hold_what_comes_and_lose_nothing(void **state)
{
    struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    struct stage stage;
    uint32_t sent = 0;
    uint32_t held = 0;
    int64_t marks = 0;

    open_stage(&stage, kit, 5, 2, 3000);
    while (sent < BATCHES) {
        if (sb_exchange_push(&stage.exchange)) {
            if (kit_random_below(&random, 3) == 0) {
                const struct sb_message mark = sb_message_mark(SB_MESSAGE_WATERMARK, ++marks);

                sb_exchange_mark(&stage.exchange, &mark);
            } else {
                send_batch(&stage, 1 + kit_random_below(&random, 300),
                           1 + kit_random_below(&random, 40));
                sent++;
            }
        } else {
            held++;
        }
        (void)take(&stage, kit_random_below(&random, stage.targets));
    }
    while (!sb_exchange_push(&stage.exchange))
        take_all(&stage);
    take_all(&stage);
    assert_true(held > 0);
    assert_int_equal(stage.rows, stage.next_id);
    for (uint32_t i = 0; i < stage.targets; i++)
        assert_true(stage.last_mark[i] == marks);
    close_stage(&stage);
}

static void a_ring_is_bounded_in_bytes_and_takes_a_large_slice_when_empty(void **state)
{
    struct stage stage;

    open_stage(&stage, *state, 1, 64, 2000);
    send_batch(&stage, 1000, 1); /* more than 2000 bytes */
    assert_true(sb_exchange_push(&stage.exchange));
    send_batch(&stage, 1, 1);
    assert_false(sb_exchange_push(&stage.exchange));
    assert_int_equal(sb_ring_count(&stage.rings[0]), 1);
    assert_true(take(&stage, 0));
    assert_true(sb_exchange_push(&stage.exchange));
    assert_true(take(&stage, 0));
    assert_int_equal(stage.rows, 1001);
    close_stage(&stage);
}

static void a_mark_goes_to_every_target(void **state)
{
    struct stage stage;
    struct sb_message mark = sb_message_mark(SB_MESSAGE_BARRIER, 1);

    open_stage(&stage, *state, 7, 4, UINT64_MAX);
    sb_exchange_mark(&stage.exchange, &mark);
    assert_true(sb_exchange_push(&stage.exchange));
    for (uint32_t i = 0; i < stage.targets; i++) {
        assert_true(take(&stage, i));
        assert_true(stage.last_mark[i] == 1);
        assert_false(take(&stage, i));
    }
    close_stage(&stage);
}

static void without_a_key_all_rows_go_to_the_one_target(void **state)
{
    struct kit *kit = *state;
    struct sb_exchange exchange;
    struct sb_ring ring;
    struct sb_batch *batch = kit_batch(kit, 0, 777, 5);
    struct sb_message *message;

    assert_int_equal(sb_exchange_init(&exchange, kit->env, 1, SB_NO_FIELD, SEED, SB_BATCH_ROWS),
                     SABOT_OK);
    assert_int_equal(sb_ring_init(&ring, kit->env, 4, sizeof(struct sb_message), UINT64_MAX),
                     SABOT_OK);
    exchange.targets[0].ring = &ring;
    assert_int_equal(sb_exchange_batch(&exchange, batch), SABOT_OK);
    sb_batch_unref(batch);
    assert_true(sb_exchange_push(&exchange));
    message = sb_ring_peek(&ring);
    assert_non_null(message);
    assert_int_equal(message->slice->count, 777);
    for (uint32_t i = 0; i < 777; i++)
        assert_int_equal(message->slice->rows[i], i);
    drop_ring(&ring);
    sb_exchange_reset(&exchange);
}

/* Every third row deletes its key. */
static struct sb_batch *batch_with_deletes(struct kit *kit, uint32_t rows)
{
    static const struct sb_batch_origin nowhere = {.partition = -1};
    struct sb_batch *batch;
    uint32_t missing;

    for (uint32_t i = 0; i < rows; i++) {
        assert_int_equal(sb_builder_begin(&kit->builder), SABOT_OK);
        for (uint32_t field = KIT_ID; field <= KIT_TIME; field++)
            sb_builder_int64(&kit->builder, field, i);
        assert_int_equal(sb_builder_text(&kit->builder, KIT_TEXT, "t", 1), SABOT_OK);
        if (i % 3 == 0)
            sb_builder_commit_delete(&kit->builder, INT64_MIN, i);
        else
            assert_int_equal(sb_builder_commit(&kit->builder, i, i, &missing), SABOT_OK);
    }
    assert_int_equal(sb_builder_seal(&kit->builder, &nowhere, &batch), SABOT_OK);
    return batch;
}

static void only_tables_get_the_rows_that_delete(void **state)
{
    struct stage stage;

    for (uint32_t i = 0; i < 4; i++) {
        struct sb_batch *batch = batch_with_deletes(*state, 300);

        open_stage(&stage, *state, i < 2 ? 1 : 5, 8, 1 << 20);
        stage.exchange.takes_deletes = i % 2 == 0;
        assert_int_equal(sb_exchange_batch(&stage.exchange, batch), SABOT_OK);
        assert_true(sb_exchange_push(&stage.exchange));
        take_all(&stage);
        assert_int_equal(stage.rows, i % 2 == 0 ? 300 : 200);
        sb_batch_unref(batch);
        batch = batch_with_deletes(*state, 1); /* nothing else in it */
        assert_int_equal(sb_exchange_batch(&stage.exchange, batch), SABOT_OK);
        assert_true(sb_exchange_push(&stage.exchange));
        for (uint32_t target = 0; target < stage.targets; target++)
            stage.last_id[target] = -1;
        take_all(&stage);
        assert_int_equal(stage.rows, i % 2 == 0 ? 301 : 200);
        sb_batch_unref(batch);
        close_stage(&stage);
    }
}

static void what_is_held_goes_with_the_exchange(void **state)
{
    struct stage stage;

    open_stage(&stage, *state, 3, 1, UINT64_MAX);
    send_batch(&stage, 500, 50);
    assert_true(sb_exchange_push(&stage.exchange));
    send_batch(&stage, 500, 50);
    assert_false(sb_exchange_push(&stage.exchange));
    close_stage(&stage);
}

static void without_memory_nothing_is_sent(void **state)
{
    struct kit *kit = *state;
    struct sb_batch *batch = kit_batch(kit, 0, 100, 50);
    struct stage stage;

    /* Each slice takes three allocations: fail inside of the first, and of the last. */
    for (uint64_t nth = 1; nth <= 9; nth++) {
        open_stage(&stage, kit, 3, 4, UINT64_MAX);
        sb_os_env_fail_allocation(kit->env, nth);
        assert_int_equal(sb_exchange_batch(&stage.exchange, batch), SABOT_ERR_MEMORY);
        sb_os_env_fail_allocation(kit->env, 0);
        assert_int_equal(atomic_load(&batch->references), 1);
        assert_true(sb_exchange_push(&stage.exchange));
        for (uint32_t i = 0; i < stage.targets; i++)
            assert_null(sb_ring_peek(&stage.rings[i]));
        assert_int_equal(sb_exchange_batch(&stage.exchange, batch), SABOT_OK);
        close_stage(&stage);
    }
    sb_batch_unref(batch);
}

static void making_one_without_memory_leaks_nothing(void **state)
{
    struct kit *kit = *state;
    struct sb_exchange exchange;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t nth;

    for (nth = 1; status != SABOT_OK; nth++) {
        sb_os_env_fail_allocation(kit->env, nth);
        status = sb_exchange_init(&exchange, kit->env, 3, KIT_KEY, SEED, SB_BATCH_ROWS);
        sb_os_env_fail_allocation(kit->env, 0);
        sb_exchange_reset(&exchange);
    }
    assert_int_equal(nth, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(each_row_goes_once_to_the_worker_of_its_shard_in_order),
        KIT_TEST(full_rings_hold_what_comes_and_lose_nothing),
        KIT_TEST(a_ring_is_bounded_in_bytes_and_takes_a_large_slice_when_empty),
        KIT_TEST(a_mark_goes_to_every_target),
        KIT_TEST(without_a_key_all_rows_go_to_the_one_target),
        KIT_TEST(only_tables_get_the_rows_that_delete),
        KIT_TEST(what_is_held_goes_with_the_exchange),
        KIT_TEST(without_memory_nothing_is_sent),
        KIT_TEST(making_one_without_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
