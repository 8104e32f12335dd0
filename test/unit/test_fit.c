/* SPDX-License-Identifier: Apache-2.0 */
/* test_fit.c - what is too large for a channel is refused where it is emitted, to the byte, and the
 * error says all there is to know; what only looks too large is let through. */
#include "flow_kit.h"

#include "flow/fit.h"
#include "format/codec.h"
#include "op/outlet.h"

enum { SINKS_MAX = 2, TEXT_MAX = 300 };

static uint64_t limits[SINKS_MAX];

static uint64_t takes_first(const struct sb_channel *channel)
{
    (void)channel;
    return limits[0];
}

static uint64_t takes_second(const struct sb_channel *channel)
{
    (void)channel;
    return limits[1];
}

static const char *topic(const struct sb_channel *channel)
{
    (void)channel;
    return "alerts";
}

static const struct sb_channel_type types[SINKS_MAX] = {
    {.record_max = takes_first, .topic = topic},
    {.record_max = takes_second},
};
static const struct sb_channel_type takes_all = {.scheme = "any"};

/* An output, and the sinks it leads to. */
struct stage {
    struct kit *kit;
    struct sb_graph graph;
    struct sb_outlet outlet;
    struct sb_fit fit;
    sabot_error error;
};

static void add_sink(struct stage *stage, const struct sb_channel_type *type, int32_t key_field)
{
    const struct sb_node sink = {
        .kind = SB_NODE_SINK,
        .name = type == &types[0] ? "first" : "second",
        .port = {.type = type,
                 .codec = &sb_codec_json,
                 .schema = stage->kit->schema,
                 .key_field = key_field},
    };
    struct sb_edge edge = {.from = 0, .key_field = SB_NO_FIELD};

    assert_int_equal(sb_graph_node(&stage->graph, &sink, &edge.to, &stage->error), SABOT_OK);
    assert_int_equal(sb_graph_edge(&stage->graph, &edge, &stage->error), SABOT_OK);
}

static void begin(struct stage *stage, void **state)
{
    const struct sb_node agent = {.kind = SB_NODE_TASK, .name = "agent", .output_count = 1};
    uint32_t index;

    *stage = (struct stage){.kit = *state};
    limits[0] = limits[1] = UINT64_MAX;
    assert_int_equal(sb_graph_init(&stage->graph, stage->kit->env), SABOT_OK);
    assert_int_equal(sb_graph_node(&stage->graph, &agent, &index, &stage->error), SABOT_OK);
    assert_int_equal(sb_outlet_init(&stage->outlet, stage->kit->env, stage->kit->schema, KIT_TIME,
                                    &stage->error),
                     SABOT_OK);
}

static void guard(struct stage *stage)
{
    assert_int_equal(sb_fit_init(&stage->fit, &stage->graph, 0, 0, &stage->error), SABOT_OK);
    stage->outlet.guard = stage->fit.sink == NULL ? NULL : sb_fit_check;
    stage->outlet.guard_context = &stage->fit;
}

static void end(struct stage *stage)
{
    sb_outlet_reset(&stage->outlet);
    sb_fit_reset(&stage->fit);
    sb_graph_reset(&stage->graph);
}

static sabot_status emit(struct stage *stage, const char *text, size_t size)
{
    const struct kit_row row = {.id = 7, .key = 5, .time_ms = 44, .text = {text, size}};

    return sb_outlet_record(&stage->outlet, &row, 0, &stage->error);
}

/* {"id":7,"key":5,"time":44,"text":"..."} */
static const size_t around_text = sizeof "{\"id\":7,\"key\":5,\"time\":44,\"text\":\"\"}" - 1;

static void a_record_is_refused_from_one_byte_too_many_on(void **state)
{
    char text[TEXT_MAX];

    memset(text, 'x', sizeof text);
    for (size_t size = 0; size < sizeof text; size += 7) {
        struct stage stage;

        begin(&stage, state);
        add_sink(&stage, &types[0], KIT_KEY); /* of one byte */
        limits[0] = around_text + size + 1;
        guard(&stage);
        assert_int_equal(emit(&stage, text, size), SABOT_OK);
        assert_int_equal(emit(&stage, text, size + 1), SABOT_ERR_LIMIT);
        end(&stage);
    }
}

static void a_record_that_needs_escapes_counts_as_it_is_written(void **state)
{
    static const char text[] = "a\"b\nc\001";
    struct stage stage;

    begin(&stage, state);
    add_sink(&stage, &types[0], KIT_TEXT); /* the key is not escaped */
    limits[0] = around_text + sizeof text - 1 + 1 + 1 + 5 + sizeof text - 1;
    guard(&stage);
    assert_int_equal(emit(&stage, text, sizeof text - 1), SABOT_OK);
    stage.fit.record_max = --limits[0];
    assert_int_equal(emit(&stage, text, sizeof text - 1), SABOT_ERR_LIMIT);
    end(&stage);
}

static void what_is_refused_is_named_and_not_emitted(void **state)
{
    struct stage stage;
    struct sb_batch *batch;
    char text[TEXT_MAX];

    memset(text, 'x', sizeof text);
    begin(&stage, state);
    add_sink(&stage, &types[0], KIT_KEY);
    limits[0] = 100;
    guard(&stage);
    assert_int_equal(emit(&stage, text, 10), SABOT_OK);
    assert_int_equal(emit(&stage, text, 200), SABOT_ERR_LIMIT);
    assert_string_equal(stage.error.text,
                        "channel first: a record of 237 bytes (key \"5\", event time 44 ms); topic "
                        "alerts takes 100, by its max.message.bytes or record.bytes_max: raise "
                        "them, or emit less");
    assert_int_equal(emit(&stage, text, 11), SABOT_OK);
    sb_outlet_keep(&stage.outlet);
    sb_outlet_seal(&stage.outlet);
    batch = sb_outlet_take(&stage.outlet);
    assert_non_null(batch);
    assert_int_equal(batch->rows, 2);
    assert_int_equal(sb_batch_text(batch, KIT_TEXT, 1).size, 11);
    sb_batch_unref(batch);
    end(&stage);
}

static void of_several_channels_the_one_that_takes_least_counts(void **state)
{
    struct stage stage;

    for (int i = 0; i < SINKS_MAX; i++) {
        begin(&stage, state);
        add_sink(&stage, &takes_all, SB_NO_FIELD);
        add_sink(&stage, &types[0], SB_NO_FIELD);
        add_sink(&stage, &types[1], SB_NO_FIELD);
        limits[i] = 20;
        limits[1 - i] = 30;
        guard(&stage);
        assert_int_equal(emit(&stage, "", 0), SABOT_ERR_LIMIT);
        assert_non_null(strstr(stage.error.text, i == 0 ? "channel first" : "channel second"));
        assert_non_null(strstr(stage.error.text, i == 0 ? "topic alerts takes 20" : "it takes 20"));
        end(&stage);
    }
}

static void channels_that_take_anything_ask_for_nothing(void **state)
{
    struct stage stage;

    begin(&stage, state);
    guard(&stage);
    assert_null(stage.fit.sink);
    sb_fit_reset(&stage.fit);
    add_sink(&stage, &takes_all, SB_NO_FIELD);
    add_sink(&stage, &types[0], SB_NO_FIELD);
    guard(&stage);
    assert_null(stage.fit.sink);
    end(&stage);
}

static void what_can_not_be_measured_for_want_of_memory_is_an_error(void **state)
{
    struct stage stage;
    char text[TEXT_MAX];

    memset(text, 'x', sizeof text);
    begin(&stage, state);
    add_sink(&stage, &types[0], SB_NO_FIELD);
    limits[0] = 100;
    sb_os_env_fail_allocation(stage.kit->env, 1);
    assert_int_equal(sb_fit_init(&stage.fit, &stage.graph, 0, 0, &stage.error), SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(stage.kit->env, 0);
    guard(&stage);
    assert_int_equal(emit(&stage, text, 1), SABOT_OK); /* the batch is there */
    sb_buffer_reset(&stage.fit.encoded);
    sb_os_env_fail_allocation(stage.kit->env, 1);
    assert_int_equal(emit(&stage, text, 20), SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(stage.kit->env, 0);
    end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(a_record_is_refused_from_one_byte_too_many_on),
        KIT_TEST(a_record_that_needs_escapes_counts_as_it_is_written),
        KIT_TEST(what_is_refused_is_named_and_not_emitted),
        KIT_TEST(of_several_channels_the_one_that_takes_least_counts),
        KIT_TEST(channels_that_take_anything_ask_for_nothing),
        KIT_TEST(what_can_not_be_measured_for_want_of_memory_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
