/* SPDX-License-Identifier: Apache-2.0 */
/* test_txn.c - the order of the calls of a commit: every transition, and walks at random. */
#include "flow_kit.h"

#include "ckpt/txn.h"

enum { WALKS = 20000, STEPS_MAX = 200 };

static const enum sb_txn_event events[] = {SB_TXN_OK, SB_TXN_RETRIABLE, SB_TXN_ABORTABLE,
                                           SB_TXN_FATAL};

static void test_every_state_and_event_leads_where_the_drawing_says(void **state)
{
    static const struct {
        enum sb_txn_state from;
        enum sb_txn_state to[4]; /* as `events` */
    } table[] = {
        {SB_TXN_FENCE, {SB_TXN_READY, SB_TXN_FENCE, SB_TXN_LOST, SB_TXN_LOST}},
        {SB_TXN_BEGIN, {SB_TXN_OFFSETS, SB_TXN_BEGIN, SB_TXN_LOST, SB_TXN_LOST}},
        {SB_TXN_OFFSETS, {SB_TXN_PRODUCE, SB_TXN_OFFSETS, SB_TXN_ABORT, SB_TXN_LOST}},
        {SB_TXN_PRODUCE, {SB_TXN_COMMIT, SB_TXN_PRODUCE, SB_TXN_ABORT, SB_TXN_LOST}},
        {SB_TXN_COMMIT, {SB_TXN_READY, SB_TXN_COMMIT, SB_TXN_ABORT, SB_TXN_LOST}},
        {SB_TXN_ABORT, {SB_TXN_BEGIN, SB_TXN_ABORT, SB_TXN_LOST, SB_TXN_LOST}},
    };

    (void)state;
    for (size_t row = 0; row < sizeof table / sizeof *table; row++) {
        for (size_t event = 0; event < 4; event++) {
            struct sb_txn_machine machine = {.state = table[row].from, .tries = 1};

            sb_txn_done(&machine, events[event]);
            if (machine.state != table[row].to[event])
                fail_msg("state %d, event %d: %d", (int)table[row].from, (int)event,
                         (int)machine.state);
        }
    }
}

static void test_a_start_leads_from_ready_to_begin(void **state)
{
    struct sb_txn_machine machine = {.state = SB_TXN_READY, .tries = 4};

    (void)state;
    sb_txn_start(&machine);
    assert_int_equal(machine.state, SB_TXN_BEGIN);
    assert_int_equal(machine.tries, 1);
}

static void test_the_last_try_that_is_aborted_is_lost(void **state)
{
    struct sb_txn_machine machine = {.state = SB_TXN_READY};

    (void)state;
    sb_txn_start(&machine);
    for (int i = 1; i <= SB_TXN_TRIES; i++) {
        assert_int_equal(machine.state, SB_TXN_BEGIN);
        sb_txn_done(&machine, SB_TXN_OK);
        sb_txn_done(&machine, SB_TXN_ABORTABLE);
        assert_int_equal(machine.state, SB_TXN_ABORT);
        sb_txn_done(&machine, SB_TXN_OK);
    }
    assert_int_equal(machine.state, SB_TXN_LOST);
}

static void test_a_status_with_its_error_is_one_event(void **state)
{
    static const struct {
        sabot_status status;
        bool retriable;
        bool fatal;
        enum sb_txn_event event;
    } table[] = {
        {SABOT_OK, false, false, SB_TXN_OK},
        {SABOT_OK, true, true, SB_TXN_OK}, /* what an earlier call has left counts for nothing */
        {SABOT_ERR_BROKER, false, false, SB_TXN_ABORTABLE},
        {SABOT_ERR_BROKER, true, false, SB_TXN_RETRIABLE},
        {SABOT_ERR_TIMEOUT, true, false, SB_TXN_RETRIABLE},
        {SABOT_ERR_BROKER, false, true, SB_TXN_FATAL},
        {SABOT_ERR_BROKER, true, true, SB_TXN_FATAL},
        {SABOT_ERR_FENCED, false, false, SB_TXN_FATAL},
        {SABOT_ERR_FENCED, true, false, SB_TXN_FATAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const sabot_error error = {
            .status = table[i].status, .retriable = table[i].retriable, .fatal = table[i].fatal};

        assert_int_equal(sb_txn_event_of(table[i].status, &error), table[i].event);
    }
}

/* --- Walks ------------------------------------------------------------------------------------ */

/* What a broker would know. */
struct broker {
    bool fenced;
    bool open;
    bool offsets;
    bool produced;
    uint32_t begun; /* transactions since the start */
};

/* The call of the state was made and went well. */
static void execute(struct broker *broker, enum sb_txn_state call)
{
    switch (call) {
    case SB_TXN_FENCE: broker->fenced = true; break;
    case SB_TXN_BEGIN:
        assert_true(broker->fenced);
        assert_false(broker->open);
        *broker = (struct broker){.fenced = true, .open = true, .begun = broker->begun + 1};
        assert_in_range(broker->begun, 1, SB_TXN_TRIES);
        break;
    case SB_TXN_OFFSETS:
        assert_true(broker->open);
        broker->offsets = true;
        break;
    case SB_TXN_PRODUCE:
        assert_true(broker->offsets);
        broker->produced = true;
        break;
    case SB_TXN_COMMIT:
        assert_true(broker->open);
        assert_true(broker->offsets);
        assert_true(broker->produced);
        broker->open = false;
        break;
    case SB_TXN_ABORT: broker->open = false; break;
    case SB_TXN_READY:
    case SB_TXN_LOST: fail_msg("there is no call in state %d", (int)call);
    }
}

/* One of a mood: in some everything works, in some next to nothing. */
static enum sb_txn_event draw(struct kit_random *random, uint32_t mood)
{
    if (kit_random_below(random, 8) >= mood)
        return SB_TXN_OK;
    if (kit_random_below(random, 30) == 0)
        return SB_TXN_FATAL;
    return kit_random_below(random, 2) == 0 ? SB_TXN_RETRIABLE : SB_TXN_ABORTABLE;
}

/* Commits that were made. */
static uint32_t walk(struct kit_random *random)
{
    const uint32_t mood = kit_random_below(random, 8);
    struct sb_txn_machine machine = {.state = SB_TXN_FENCE};
    struct broker broker = {.fenced = false};
    uint32_t commits = 0;

    for (int step = 0; step < STEPS_MAX && machine.state != SB_TXN_LOST; step++) {
        const enum sb_txn_state call = machine.state;
        enum sb_txn_event event;

        if (call == SB_TXN_READY) {
            assert_false(broker.open);
            broker.begun = 0;
            sb_txn_start(&machine);
            continue;
        }
        event = draw(random, mood);
        if (event == SB_TXN_OK)
            execute(&broker, call);
        sb_txn_done(&machine, event);
        if (event == SB_TXN_FATAL)
            assert_int_equal(machine.state, SB_TXN_LOST);
        commits += call == SB_TXN_COMMIT && event == SB_TXN_OK;
    }
    return commits;
}

static void test_nothing_is_committed_without_offsets_and_records(void **state)
{
    struct sb_env *env;
    struct kit_random random;
    uint64_t commits = 0;

    (void)state;
    assert_int_equal(sb_os_env_create(&env, NULL), SABOT_OK);
    random = kit_random_start(env);
    for (int i = 0; i < WALKS; i++)
        commits += walk(&random);
    assert_true(commits > WALKS);
    print_message("%d walks, %llu commits\n", WALKS, (unsigned long long)commits);
    sb_os_env_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_state_and_event_leads_where_the_drawing_says),
        cmocka_unit_test(test_a_start_leads_from_ready_to_begin),
        cmocka_unit_test(test_the_last_try_that_is_aborted_is_lost),
        cmocka_unit_test(test_a_status_with_its_error_is_one_event),
        cmocka_unit_test(test_nothing_is_committed_without_offsets_and_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
