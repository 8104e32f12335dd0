/* SPDX-License-Identifier: Apache-2.0 */
/* test_follow.c - offsets follow the manifests: the newest wins, one commit at a time, and a
 * failure is made up for. On the embedded log, whose commit says what it is told to. */
#include "test.h"

#include "channel/memory.h"
#include "ckpt/follow.h"

enum { PARTITIONS = 2 };

#define GROUP "sabot.app.pipe"

/* What the next commits say before they are made. */
static struct {
    sabot_status status;
    uint32_t times;
    uint32_t made;
} mood;

static sabot_status moody_commit(struct sb_channel *channel,
                                 const char *group,
                                 const struct sb_offset *offsets,
                                 uint32_t offset_count,
                                 sabot_error *error)
{
    if (mood.times > 0) {
        mood.times--;
        return mood.status == SABOT_AGAIN ? SABOT_AGAIN
                                          : sabot_raise(error, mood.status, "it was told to fail");
    }
    mood.made++;
    return sb_channel_memory.commit(channel, group, offsets, offset_count, error);
}

static const char *cluster_of(const struct sb_channel *channel)
{
    (void)channel;
    return "one";
}

struct fixture {
    struct sb_env *env;
    struct sb_waker *waker;
    struct sb_log *log;
    struct sb_channel_type type;
    struct sb_node node;
    struct sb_graph graph;
    struct sb_follow *follow;
    struct sb_manifest_source source;
    struct sb_part_position positions[PARTITIONS];
    sabot_error error;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sb_channel_config config = {
        .name = "in",
        .url = "memory:in?partitions=2",
        .for_reading = true,
        .record_max = 1 << 20,
        .buffer_bytes = 1 << 20,
        .start = "earliest",
    };
    struct sb_channel *channel;

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK ||
        f->env->type->waker_create(f->env->self, &f->waker, NULL) != SABOT_OK ||
        sb_log_create(f->env, &f->log, NULL) != SABOT_OK)
        return -1;
    memset(&mood, 0, sizeof mood);
    f->env->log_level = SABOT_LOG_ERROR;
    config.log = f->log;
    if (sb_channel_memory.open(f->env, &config, f->waker, &channel, NULL) != SABOT_OK ||
        sb_channel_memory.prepare(channel, NULL) != SABOT_OK)
        return -1;
    f->type = sb_channel_memory;
    f->type.commit = moody_commit;
    f->type.cluster = cluster_of;
    f->node = (struct sb_node){
        .kind = SB_NODE_SOURCE, .name = "in", .port = {.type = &f->type, .channel = channel}};
    f->graph = (struct sb_graph){.env = f->env, .nodes = &f->node, .node_count = 1};
    f->source = (struct sb_manifest_source){.channel = "in",
                                            .partition_count = PARTITIONS,
                                            .position_count = PARTITIONS,
                                            .positions = f->positions};
    if (sb_follow_create(&f->graph, GROUP, &f->follow, NULL) != SABOT_OK || f->follow == NULL)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sb_follow_destroy(f->follow);
    sb_channel_memory.close(f->node.port.channel);
    sb_log_destroy(f->log);
    f->env->type->waker_destroy(f->env->self, f->waker);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

static void offer(struct fixture *f, int64_t id)
{
    const struct sb_manifest manifest = {.id = id,
                                         .nonce = 7,
                                         .checksum = 13,
                                         .owner = 99,
                                         .source_count = 1,
                                         .sources = &f->source};

    for (int32_t i = 0; i < PARTITIONS; i++)
        f->positions[i] = (struct sb_part_position){.partition = i, .offset = id * 10 + i};
    sb_follow_offer(f->follow, &manifest);
}

/* The checkpoint that the group's offsets name, 0: none. They are its positions. */
static int64_t followed(struct fixture *f)
{
    struct sb_offsets offsets;
    struct sb_commit_mark mark;
    bool found;

    sb_offsets_init(&offsets, &f->graph, GROUP, &f->type, NULL);
    assert_int_equal(sb_offsets_list(&offsets, NULL, &f->error), SABOT_OK);
    assert_int_equal(sb_channel_memory.committed(f->node.port.channel, GROUP, offsets.list,
                                                 offsets.count, &f->error),
                     SABOT_OK);
    offsets.owns_metadata = true;
    assert_int_equal(sb_offsets_mark(&offsets, &found, &mark, &f->error), SABOT_OK);
    for (uint32_t i = 0; found && i < offsets.count; i++)
        assert_int_equal(offsets.list[i].offset, mark.id * 10 + i);
    sb_offsets_reset(&offsets);
    return found ? mark.id : 0;
}

static void each_checkpoint_is_followed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(followed(f), 0);
    for (int64_t id = 1; id <= 3; id++) {
        offer(f, id);
        assert_false(sb_follow_step(f->follow));
        assert_int_equal(followed(f), id);
    }
}

static void while_a_commit_is_under_way_only_the_newest_waits(void **state)
{
    struct fixture *f = *state;

    mood.status = SABOT_AGAIN;
    mood.times = 4;
    offer(f, 1);
    offer(f, 2);
    offer(f, 3);
    assert_true(sb_follow_step(f->follow));
    assert_int_equal(followed(f), 0);
    assert_false(sb_follow_step(f->follow));
    assert_int_equal(followed(f), 3);
    assert_int_equal(mood.made, 2); /* the first, and then the newest */
}

static void a_commit_that_fails_is_made_up_for_by_the_next(void **state)
{
    struct fixture *f = *state;

    mood.status = SABOT_ERR_BROKER;
    mood.times = 2;
    offer(f, 1);
    assert_int_equal(sb_follow_failures(f->follow), 1);
    offer(f, 2);
    assert_false(sb_follow_step(f->follow));
    assert_int_equal(sb_follow_failures(f->follow), 2);
    assert_int_equal(followed(f), 0);
    offer(f, 3);
    assert_int_equal(followed(f), 3);
    assert_int_equal(sb_follow_failures(f->follow), 0);
}

static void a_pipeline_without_offsets_has_none_to_follow(void **state)
{
    struct fixture *f = *state;
    struct sb_follow *follow;

    f->type.cluster = NULL;
    assert_int_equal(sb_follow_create(&f->graph, GROUP, &follow, &f->error), SABOT_OK);
    assert_null(follow);
    sb_follow_offer(follow, NULL);
    assert_false(sb_follow_step(follow));
    sb_follow_destroy(follow);
}

/* Its cluster is away: nobody waits for it. */
static bool is_away(const struct sb_channel *channel)
{
    (void)channel;
    return false;
}

static void a_commit_to_a_cluster_that_is_away_holds_nobody_up(void **state)
{
    struct fixture *f = *state;

    f->type.connected = is_away;
    mood.status = SABOT_AGAIN;
    mood.times = 2;
    offer(f, 1);
    assert_false(sb_follow_step(f->follow));
    assert_int_equal(followed(f), 0);
    assert_false(sb_follow_step(f->follow));
    assert_int_equal(followed(f), 1);
}

static const char *no_cluster(const struct sb_channel *channel)
{
    (void)channel;
    return NULL;
}

/* Next to the one: an agent, an output, and inputs that keep no offsets. */
static void only_inputs_with_offsets_are_followed(void **state)
{
    struct fixture *f = *state;
    struct sb_channel_type without_commit = f->type;
    struct sb_channel_type without_cluster = f->type;
    struct sb_node nodes[5] = {f->node, f->node, f->node, f->node, f->node};
    const struct sb_graph graph = {.env = f->env, .nodes = nodes, .node_count = 5};
    struct sb_follow *follow = f->follow;

    nodes[0].kind = SB_NODE_TASK;
    nodes[1].kind = SB_NODE_SINK;
    without_commit.commit = NULL;
    nodes[2].port.type = &without_commit;
    without_cluster.cluster = no_cluster;
    nodes[3].port.type = &without_cluster;
    assert_int_equal(sb_follow_create(&graph, GROUP, &f->follow, &f->error), SABOT_OK);
    offer(f, 1);
    assert_int_equal(mood.made, 1);
    assert_int_equal(followed(f), 1);
    sb_follow_destroy(f->follow);
    f->follow = follow;
}

static void memory_that_runs_out_is_an_error_or_made_up_for_by_the_next_offer(void **state)
{
    struct fixture *f = *state;
    struct sb_follow *follow;
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        sb_os_env_fail_allocation(f->env, n);
        status = sb_follow_create(&f->graph, GROUP, &follow, &f->error);
        sb_os_env_fail_allocation(f->env, 0);
        if (status != SABOT_OK) {
            assert_null(follow);
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_string_equal(f->error.text, GROUP ": no memory for offsets");
        }
    }
    assert_int_equal(n, 5);
    sb_follow_destroy(follow);
    sb_os_env_fail_allocation(f->env, 1);
    offer(f, 1);
    assert_false(sb_follow_step(f->follow));
    sb_os_env_fail_allocation(f->env, 0);
    assert_int_equal(mood.made, 0);
    assert_int_equal(sb_follow_failures(f->follow), 1);
    offer(f, 2);
    assert_int_equal(followed(f), 2);
    assert_int_equal(sb_follow_failures(f->follow), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_checkpoint_is_followed),
        TEST(while_a_commit_is_under_way_only_the_newest_waits),
        TEST(a_commit_that_fails_is_made_up_for_by_the_next),
        TEST(a_pipeline_without_offsets_has_none_to_follow),
        TEST(a_commit_to_a_cluster_that_is_away_holds_nobody_up),
        TEST(only_inputs_with_offsets_are_followed),
        TEST(memory_that_runs_out_is_an_error_or_made_up_for_by_the_next_offer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
