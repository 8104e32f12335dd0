/* SPDX-License-Identifier: Apache-2.0 */
/* test_graph.c - the order of a pipeline's nodes, circles, and limits. */
#include "flow_kit.h"

#include "flow/graph.h"

struct stage {
    struct sb_graph graph;
    uint32_t place[SB_GRAPH_NODES_MAX]; /* of a node in the order */
};

static uint32_t add(struct sb_graph *graph, enum sb_node_kind kind, const char *name)
{
    const struct sb_node node = {.kind = kind, .name = name, .output_count = SB_NODE_OUTPUTS_MAX};
    uint32_t index;

    assert_int_equal(sb_graph_node(graph, &node, &index, NULL), SABOT_OK);
    return index;
}

static void join(struct sb_graph *graph, uint32_t from, uint32_t to)
{
    const struct sb_edge edge = {.from = from, .to = to, .key_field = SB_NO_FIELD};

    assert_int_equal(sb_graph_edge(graph, &edge, NULL), SABOT_OK);
}

/* Each node once, and each edge from lower to higher. */
static void check_order(struct stage *stage)
{
    const struct sb_graph *graph = &stage->graph;

    memset(stage->place, 0xff, sizeof stage->place);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        assert_in_range(graph->order[i], 0, graph->node_count - 1);
        assert_true(stage->place[graph->order[i]] == UINT32_MAX);
        stage->place[graph->order[i]] = i;
    }
    for (uint32_t i = 0; i < graph->edge_count; i++)
        assert_true(stage->place[graph->edges[i].from] < stage->place[graph->edges[i].to]);
}

static void nodes_stand_in_the_order_of_the_data_however_they_were_added(void **state)
{
    struct kit *kit = *state;
    struct kit_random random = kit_random_start(kit->env);
    static struct stage stage;

    for (uint32_t round = 0; round < 50; round++) {
        const uint32_t nodes = 2 + kit_random_below(&random, 40);
        uint32_t shuffled[64];

        assert_int_equal(sb_graph_init(&stage.graph, kit->env), SABOT_OK);
        for (uint32_t i = 0; i < nodes; i++) {
            const uint32_t at = kit_random_below(&random, i + 1);

            (void)add(&stage.graph, SB_NODE_TASK, "agent");
            shuffled[i] = shuffled[at];
            shuffled[at] = i;
        }
        /* Edges go from lower to higher of a hidden order, so there is no circle. */
        for (uint32_t i = 0; i < 3 * nodes; i++) {
            const uint32_t to = 1 + kit_random_below(&random, nodes - 1);
            const uint32_t from = kit_random_below(&random, to);

            join(&stage.graph, shuffled[from], shuffled[to]);
        }
        assert_int_equal(sb_graph_check(&stage.graph, NULL), SABOT_OK);
        check_order(&stage);
        sb_graph_reset(&stage.graph);
    }
}

static void a_circle_is_refused_with_the_names_in_it(void **state)
{
    struct kit *kit = *state;
    struct sb_graph graph;
    sabot_error error;
    uint32_t source;
    uint32_t first;
    uint32_t second;
    uint32_t third;

    assert_int_equal(sb_graph_init(&graph, kit->env), SABOT_OK);
    source = add(&graph, SB_NODE_SOURCE, "numbers");
    first = add(&graph, SB_NODE_TASK, "before");
    second = add(&graph, SB_NODE_TASK, "chicken");
    third = add(&graph, SB_NODE_TASK, "egg");
    join(&graph, source, first);
    join(&graph, first, second);
    join(&graph, second, third);
    join(&graph, third, second);
    assert_int_equal(sb_graph_check(&graph, &error), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "chicken"));
    assert_non_null(strstr(error.text, "egg"));
    assert_null(strstr(error.text, "before"));
    sb_graph_reset(&graph);
}

static void an_agent_that_feeds_itself_is_a_circle(void **state)
{
    struct kit *kit = *state;
    struct sb_graph graph;
    sabot_error error;
    uint32_t agent;

    assert_int_equal(sb_graph_init(&graph, kit->env), SABOT_OK);
    agent = add(&graph, SB_NODE_TASK, "narcissus");
    join(&graph, agent, agent);
    assert_int_equal(sb_graph_check(&graph, &error), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "narcissus"));
    sb_graph_reset(&graph);
}

static void a_circle_of_many_long_names_is_named_as_far_as_there_is_room(void **state)
{
    static char names[100][SABOT_NAME_MAX + 1];
    struct kit *kit = *state;
    struct sb_graph graph;
    sabot_error error;

    assert_int_equal(sb_graph_init(&graph, kit->env), SABOT_OK);
    for (uint32_t i = 0; i < 100; i++) {
        memset(names[i], 'a' + (int)(i % 26), SABOT_NAME_MAX);
        (void)add(&graph, SB_NODE_TASK, names[i]);
    }
    for (uint32_t i = 0; i < 100; i++)
        join(&graph, i, (i + 1) % 100);
    assert_int_equal(sb_graph_check(&graph, &error), SABOT_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, names[0]));
    sb_graph_reset(&graph);
}

static void too_many_nodes_or_edges_are_refused_by_name(void **state)
{
    struct kit *kit = *state;
    const struct sb_node node = {.kind = SB_NODE_TASK, .name = "straw", .output_count = 1};
    const struct sb_edge edge = {.from = 0, .to = 1, .key_field = SB_NO_FIELD};
    struct sb_graph graph;
    sabot_error error;
    uint32_t index;

    assert_int_equal(sb_graph_init(&graph, kit->env), SABOT_OK);
    for (uint32_t i = 0; i < SB_GRAPH_NODES_MAX; i++)
        assert_int_equal(sb_graph_node(&graph, &node, &index, NULL), SABOT_OK);
    assert_int_equal(sb_graph_node(&graph, &node, &index, &error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(error.text, "straw"));
    for (uint32_t i = 0; i < SB_GRAPH_EDGES_MAX; i++)
        assert_int_equal(sb_graph_edge(&graph, &edge, NULL), SABOT_OK);
    assert_int_equal(sb_graph_edge(&graph, &edge, &error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(error.text, "straw"));
    assert_int_equal(sb_graph_check(&graph, NULL), SABOT_OK);
    sb_graph_reset(&graph);
}

static void without_memory_there_is_no_graph(void **state)
{
    struct kit *kit = *state;
    struct sb_graph graph;

    for (uint64_t nth = 1; nth <= 3; nth++) {
        sb_os_env_fail_allocation(kit->env, nth);
        assert_int_equal(sb_graph_init(&graph, kit->env), SABOT_ERR_MEMORY);
        sb_os_env_fail_allocation(kit->env, 0);
        sb_graph_reset(&graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(nodes_stand_in_the_order_of_the_data_however_they_were_added),
        KIT_TEST(a_circle_is_refused_with_the_names_in_it),
        KIT_TEST(an_agent_that_feeds_itself_is_a_circle),
        KIT_TEST(a_circle_of_many_long_names_is_named_as_far_as_there_is_room),
        KIT_TEST(too_many_nodes_or_edges_are_refused_by_name),
        KIT_TEST(without_memory_there_is_no_graph),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
