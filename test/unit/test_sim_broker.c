/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_broker.c - answers of the simulator's broker that are lost, late, or errors: a client
 * hears of it what Kafka's would, and one that keeps the rules commits each record once. */
#include "sim_kit.h"
#include "test.h"

#include <inttypes.h>

enum { TURNS_MAX = 2000000, TIMEOUT_MS = 10000, RECORDS = 8 };

#define SIM (&sb_channel_sim)

struct client {
    struct sim_kit *kit;
    struct sb_sim_process *process;
    struct sb_channel *channel;
    struct sb_writer *writer;
    struct sb_txn *txn;
    sabot_error error; /* of the last call */
};

static struct sb_env *os;

static int make_os(void **state)
{
    (void)state;
    return sb_os_env_create(&os, NULL) == SABOT_OK ? 0 : -1;
}

static int free_os(void **state)
{
    (void)state;
    sb_os_env_destroy(os);
    return 0;
}

/* --- Clients ---------------------------------------------------------------------------------- */

static struct sb_channel *open_channel(struct client *client, struct sb_channel_config config)
{
    const struct sb_env *env = &client->process->env;
    struct sb_waker *waker;
    struct sb_channel *channel;
    sabot_status status;

    config.name = "topic";
    config.url = "sim:topic?partitions=1";
    config.record_max = 1024;
    config.buffer_bytes = 1 << 16;
    config.start = "earliest";
    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    assert_int_equal(SIM->open(env, &config, waker, &channel, &client->error), SABOT_OK);
    while ((status = SIM->prepare(channel, &client->error)) == SABOT_AGAIN)
        sim_kit_turn(client->kit);
    assert_int_equal(status, SABOT_OK);
    return channel;
}

static struct sb_waker *make_waker(const struct client *client)
{
    const struct sb_env *env = &client->process->env;
    struct sb_waker *waker;

    assert_int_equal(env->type->waker_create(env->self, &waker, NULL), SABOT_OK);
    return waker;
}

static void open_client(struct client *client, struct sim_kit *kit)
{
    *client = (struct client){.kit = kit, .process = sim_kit_process(kit)};
    client->channel = open_channel(client, (struct sb_channel_config){.for_writing = true});
    assert_int_equal(SIM->txn_open(client->channel, "id", TIMEOUT_MS, make_waker(client),
                                   &client->txn, &client->error),
                     SABOT_OK);
    assert_int_equal(SIM->writer_open(client->channel, client->txn, make_waker(client),
                                      &client->writer, &client->error),
                     SABOT_OK);
}

/* One call, as often as it takes: until it says something else than "not yet". */
static sabot_status once(struct client *client,
                         sabot_status (*call)(struct sb_txn *txn, sabot_error *error))
{
    client->error = (sabot_error){.status = SABOT_OK};
    for (uint32_t turn = 0; turn < TURNS_MAX; turn++) {
        const sabot_status status = call(client->txn, &client->error);

        if (status != SABOT_AGAIN)
            return status;
        sim_kit_turn(client->kit);
    }
    fail_msg("no answer");
    return SABOT_AGAIN;
}

/* And again, when it may be asked again. */
static sabot_status complete(struct client *client,
                             sabot_status (*call)(struct sb_txn *txn, sabot_error *error))
{
    sabot_status status;

    do
        status = once(client, call);
    while (status != SABOT_OK && client->error.retriable);
    return status;
}

static sabot_status send_offset(struct client *client, int64_t offset)
{
    const struct sb_offset offsets = {.channel = "topic", .partition = 0, .offset = offset};
    sabot_status status;

    do {
        client->error = (sabot_error){.status = SABOT_OK};
        while ((status = SIM->txn_offsets(client->txn, "group", &offsets, 1, &client->error)) ==
               SABOT_AGAIN)
            sim_kit_turn(client->kit);
    } while (status != SABOT_OK && client->error.retriable);
    return status;
}

static sabot_status write_number(struct client *client, int64_t number)
{
    char text[16];
    struct sb_record record = {.value = {text, 0}};
    sabot_status status;

    record.value.size = (size_t)snprintf(text, sizeof text, "%" PRId64, number);
    client->error = (sabot_error){.status = SABOT_OK};
    while ((status = SIM->write(client->writer, &record, &client->error)) == SABOT_AGAIN)
        sim_kit_turn(client->kit);
    SABOT_TRY(status);
    while ((status = SIM->flush(client->writer, &client->error)) == SABOT_AGAIN)
        sim_kit_turn(client->kit);
    return status;
}

/* A transaction of one record and the offset behind it, up to its commit. */
static sabot_status prepare_commit(struct client *client, int64_t number)
{
    SABOT_TRY(once(client, SIM->txn_begin));
    SABOT_TRY(write_number(client, number));
    return send_offset(client, number + 1);
}

/* --- What is committed ------------------------------------------------------------------------ */

static int64_t committed_offset(struct client *client)
{
    struct sb_offset offset = {.channel = "topic"};
    sabot_status status;

    while ((status = SIM->committed(client->channel, "group", &offset, 1, &client->error)) ==
           SABOT_AGAIN)
        sim_kit_turn(client->kit);
    assert_int_equal(status, SABOT_OK);
    sb_string_free(&client->process->env, offset.metadata);
    return offset.offset == SB_OFFSET_NONE ? 0 : offset.offset;
}

struct shown {
    int64_t count;
    bool in_order;
};

static sabot_status show(void *context, const struct sb_record *record)
{
    struct shown *shown = context;
    char text[16] = "";

    assert_true(record->value.size < sizeof text);
    memcpy(text, record->value.data, record->value.size);
    shown->in_order = shown->in_order && strtoll(text, NULL, 10) == shown->count;
    shown->count++;
    return SABOT_OK;
}

/* How many records are shown: 0, 1, 2 ..., each once. */
static int64_t count_shown(struct sim_kit *kit)
{
    struct client client = {.kit = kit, .process = sim_kit_process(kit)};
    const struct sb_reader_position position = {.offset = SB_OFFSET_BEGIN};
    struct shown shown = {.in_order = true};
    struct sb_reader *reader;
    sabot_status status;

    client.channel =
        open_channel(&client, (struct sb_channel_config){.for_reading = true, .until_end = true});
    assert_int_equal(
        SIM->reader_open(client.channel, &position, 1, make_waker(&client), &reader, &client.error),
        SABOT_OK);
    while ((status = SIM->poll(reader, 0, 100, show, &shown, &client.error)) != SABOT_END) {
        assert_true(status == SABOT_OK || status == SABOT_AGAIN);
        sim_kit_turn(kit);
    }
    assert_true(shown.in_order);
    sim_kit_kill(kit, client.process);
    return shown.count;
}

/* No fault any more, and what was on its way has arrived. */
static void come_to_rest(struct sim_kit *kit)
{
    memset(kit->sim.rarity, 0, sizeof kit->sim.rarity);
    kit->sim.broker.away_until_us = 0;
    for (uint32_t turn = 0; kit->sim.broker.requests != NULL; turn++) {
        assert_true(turn < TURNS_MAX);
        sim_kit_turn(kit);
    }
}

/* --- Answers ---------------------------------------------------------------------------------- */

/* The client can't tell whether its request was lost, or the answer: it asks again. */
static void a_lost_answer_is_a_timeout_and_who_asks_again_gets_it(void **state)
{
    uint32_t lost_requests = 0;
    uint32_t lost_answers = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_kit *kit = sim_kit_make(os, seed);
        struct client client;

        open_client(&client, kit);
        assert_int_equal(complete(&client, SIM->txn_fence), SABOT_OK);
        assert_int_equal(prepare_commit(&client, 0), SABOT_OK);
        kit->sim.rarity[SB_SIM_LOST] = 1;
        assert_int_equal(once(&client, SIM->txn_commit), SABOT_ERR_IO);
        assert_true(client.error.retriable && !client.error.fatal);
        kit->sim.rarity[SB_SIM_LOST] = 0;
        if (count_shown(kit) == 0)
            lost_requests++;
        else
            lost_answers++;
        assert_int_equal(once(&client, SIM->txn_commit), SABOT_OK);
        assert_int_equal(count_shown(kit), 1);
        assert_int_equal(committed_offset(&client), 1);
        assert_int_equal(prepare_commit(&client, 1), SABOT_OK);
        assert_int_equal(once(&client, SIM->txn_commit), SABOT_OK);
        assert_int_equal(count_shown(kit), 2);
        sim_kit_free(kit);
    }
    assert_true(lost_requests > 0 && lost_answers > 0);
}

/* Not retriable and not fatal: it was not done, and can only be aborted. Fatal: every later call
 * says the same; it may be done even later, but never once another has fenced. */
static void a_failed_commit_is_aborted_or_ends_the_client(void **state)
{
    uint32_t aborted = 0;
    uint32_t never = 0;
    uint32_t done = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct sim_kit *kit = sim_kit_make(os, seed);
        struct client client;
        struct client next;

        open_client(&client, kit);
        assert_int_equal(complete(&client, SIM->txn_fence), SABOT_OK);
        assert_int_equal(prepare_commit(&client, 0), SABOT_OK);
        kit->sim.rarity[SB_SIM_BROKEN] = 1;
        assert_int_equal(once(&client, SIM->txn_commit), SABOT_ERR_IO);
        assert_false(client.error.retriable);
        kit->sim.rarity[SB_SIM_BROKEN] = 0;
        if (!client.error.fatal) {
            assert_int_equal(complete(&client, SIM->txn_abort), SABOT_OK);
            come_to_rest(kit);
            assert_int_equal(count_shown(kit), 0);
            assert_int_equal(committed_offset(&client), 0);
            aborted++;
            sim_kit_free(kit);
            continue;
        }
        assert_int_equal(once(&client, SIM->txn_abort), SABOT_ERR_IO);
        assert_true(client.error.fatal);
        assert_int_equal(once(&client, SIM->txn_begin), SABOT_ERR_IO);
        assert_int_equal(write_number(&client, 9), SABOT_ERR_IO);
        open_client(&next, kit);
        assert_int_equal(complete(&next, SIM->txn_fence), SABOT_OK);
        const int64_t outcome = committed_offset(&next);

        come_to_rest(kit);
        assert_int_equal(committed_offset(&next), outcome);
        assert_int_equal(count_shown(kit), outcome);
        never += outcome == 0;
        done += outcome == 1;
        sim_kit_free(kit);
    }
    assert_true(aborted > 0 && never > 0 && done > 0);
}

/* A request that takes longer than the transaction may is too late, and the client is fenced. */
static void an_answer_later_than_the_transaction_may_take_is_a_fence(void **state)
{
    uint32_t late = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_kit *kit = sim_kit_make(os, seed);
        struct client client;
        sabot_status status;

        open_client(&client, kit);
        assert_int_equal(complete(&client, SIM->txn_fence), SABOT_OK);
        assert_int_equal(prepare_commit(&client, 0), SABOT_OK);
        kit->sim.rarity[SB_SIM_SLOW] = 1;
        status = once(&client, SIM->txn_commit);
        kit->sim.rarity[SB_SIM_SLOW] = 0;
        assert_true(status == SABOT_OK || status == SABOT_ERR_FENCED);
        if (status == SABOT_ERR_FENCED) {
            assert_true(client.error.fatal);
            assert_int_equal(once(&client, SIM->txn_abort), SABOT_ERR_FENCED);
            late++;
        }
        assert_int_equal(count_shown(kit), status == SABOT_OK);
        assert_int_equal(committed_offset(&client), status == SABOT_OK);
        sim_kit_free(kit);
    }
    assert_true(late > 0 && late < 40);
}

/* --- All of them ------------------------------------------------------------------------------ */

/* Commit from the committed offset on, until all are, or the client is of no more use. `draw`: it
 * may be left in the midst of a transaction. */
static void commit_all(struct client *client, struct sb_draw *draw)
{
    if (complete(client, SIM->txn_fence) != SABOT_OK)
        return;
    for (int64_t at = committed_offset(client); at < RECORDS;) {
        sabot_status status = prepare_commit(client, at);

        if (draw != NULL && sb_draw_one_in(draw, 10))
            return;
        if (status == SABOT_OK)
            status = complete(client, SIM->txn_commit);
        if (status == SABOT_OK) {
            at++;
        } else if (client->error.fatal || complete(client, SIM->txn_abort) != SABOT_OK) {
            return;
        }
    }
}

static void whoever_keeps_the_rules_commits_each_record_once(void **state)
{
    const uint64_t seeds = getenv("SABOT_LONG") == NULL ? 200 : 20000;

    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct sim_kit *kit = sim_kit_make(os, seed);
        struct sb_draw draw = {.state = sb_draw_mix(seed + 77)};
        struct client client;

        kit->sim.rarity[SB_SIM_LOST] = 4;
        kit->sim.rarity[SB_SIM_BROKEN] = 8;
        kit->sim.rarity[SB_SIM_SLOW] = 6;
        kit->sim.rarity[SB_SIM_AWAY] = 20;
        for (uint32_t i = 0; i < 12; i++) {
            open_client(&client, kit);
            commit_all(&client, &draw);
            if (sb_draw_one_in(&draw, 2)) /* else its requests are still on their way as a twin's */
                sim_kit_kill(kit, client.process);
        }
        memset(kit->sim.rarity, 0, sizeof kit->sim.rarity);
        open_client(&client, kit);
        commit_all(&client, NULL);
        come_to_rest(kit);
        if (committed_offset(&client) != RECORDS || count_shown(kit) != RECORDS)
            fail_msg("seed %" PRIu64 ": not each record once", seed);
        sim_kit_free(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_answer_is_a_timeout_and_who_asks_again_gets_it),
        cmocka_unit_test(a_failed_commit_is_aborted_or_ends_the_client),
        cmocka_unit_test(an_answer_later_than_the_transaction_may_take_is_a_fence),
        cmocka_unit_test(whoever_keeps_the_rules_commits_each_record_once),
    };

    return cmocka_run_group_tests(tests, make_os, free_os);
}
