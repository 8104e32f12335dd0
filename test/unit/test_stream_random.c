/* SPDX-License-Identifier: Apache-2.0 */
/* test_stream_random.c - whole pipelines against a naive reference, on random streams by seed.
 *
 *   memory channel --> source --by key--> window --> results
 *   (1..8 partitions)  (1, 2, 4 workers)         --> late records
 *
 * Each case draws a window (kind, trigger, lateness, accumulation), a backend, partitions, workers,
 * the lateness of the channel, and whether quiet partitions are idle. Records come into a partition
 * a few at a time, out of order, some far too late; between them both clocks pass, partitions fall
 * silent, and speak again. At a random place the run is cut: a checkpoint is gathered, the flow is
 * thrown away, and another with another number of workers and another backend goes on from it. What
 * it goes on from is state in its logical form, as in a savepoint; or images, as of a checkpoint:
 * of all, or of what has changed since one that was made while the stream went on.
 *
 * All is stepped in one thread until nothing moves, so it is known which watermark each record
 * meets: two lines of plain code say what it must be, and the reference of windows what must come
 * of it.
 *
 *     SABOT_STREAM_SEED=n    only that case
 *     SABOT_LONG=1           ten times as many */
#include "window_reference.h"

#include "state_rocksdb.h"
#include "test.h"

#include "channel/memory.h"
#include "flow/flow.h"
#include "op/keyed.h"
#include "op/window.h"

enum {
    CASES = 500,
    CASES_ROCKSDB = 15,
    STEPS_MAX = 50,
    PARTITIONS_MAX = 8,
    WORKERS_MAX = 4,
    KEYS = 5,
    LATE_MAX = 4096,
    IMAGES_MAX = 2, /* all, and what has changed since */
    WINDOW_NODE = 1,
    IDLE_AFTER_MS = 1000,
    CACHE_BYTES = 64 * 1024, /* of cells in front of the database */
    DATABASE_BYTES = 8 * 1024 * 1024,
};

static const sabot_text words[] = {{"a", 1}, {"bee", 3}, {"", 0}, {"zz top", 6}};

static int64_t fake_now_us;
static int64_t fake_wall_ms;

static int64_t now_us(void *self)
{
    (void)self;
    return fake_now_us;
}

static int64_t wall_ms(void *self)
{
    (void)self;
    return fake_wall_ms;
}

/* --- What must be --------------------------------------------------------------------------------
 *
 * The watermark: per partition the newest less the lateness, per worker the least of its active
 * partitions (or the greatest of the idle, when there is no other), and so on over the workers;
 * never back. */

struct partition {
    int64_t newest_ms; /* less the lateness; INT64_MIN: nothing yet */
    int64_t stirred_us;
    bool is_idle;
};

struct level {
    int64_t now_ms;
    bool is_idle;
};

struct oracle {
    struct partition partitions[PARTITIONS_MAX];
    struct level workers[WORKERS_MAX];
    int64_t now_ms;
};

/* Raise `now_ms` by inputs of which some are idle. */
static struct level raise(int64_t now_ms, const struct level *inputs, uint32_t count)
{
    int64_t lowest = INT64_MAX;
    int64_t highest = INT64_MIN;
    uint32_t active = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (inputs[i].is_idle && inputs[i].now_ms > highest)
            highest = inputs[i].now_ms;
        if (inputs[i].is_idle)
            continue;
        active++;
        if (inputs[i].now_ms < lowest)
            lowest = inputs[i].now_ms;
    }
    if (active == 0)
        lowest = highest;
    return (struct level){lowest > now_ms ? lowest : now_ms, active == 0};
}

/* How one flow goes on from the images of another: as they are, rows included, or through their
 * logical form, as from a savepoint. */
enum way { DIRECT, LOGICAL };

struct database {
    struct sb_rocksdb *db; /* NULL: state is in memory */
    char folder[256];
};

struct run {
    uint64_t seed;
    uint64_t random;
    sabot_window_spec spec;
    uint32_t chosen;
    uint32_t partition_count;
    struct sb_clock_rules rules;
    int64_t front_ms;
    int64_t spread_ms;
    int64_t next_id;
    struct oracle oracle;
    struct window_reference *reference;
    /* The pipeline. */
    struct sb_env *os;
    struct sb_env_type env_type;
    struct sb_env env; /* the system's, with the clocks of the test */
    struct sb_waker *waker;
    struct sb_log *log;
    struct sb_channel *channel;
    struct sb_writer *writer;
    struct sb_schema *input;
    struct sb_schema *output;
    struct sb_window_plan *plan;
    sabot_window_aggregate aggregates[WINDOW_AGGREGATES];
    uint32_t aggregate_count;
    struct sb_window_settings settings;
    struct sb_keyed_settings keyed;
    bool in_rocksdb;
    struct sb_rows_source rows_source;
    struct database database; /* of all workers */
    struct sb_graph graph;
    struct sb_flow_config config;
    struct sb_flow *flow;
    struct sb_checkpoint *marked;   /* one that is made beside the stream */
    struct tape images[IMAGES_MAX]; /* of all workers, as they would lie in a file */
    uint32_t image_count;
    struct window_results results;
    int64_t late[LATE_MAX];
    size_t late_count;
    sabot_error error;
};

static uint64_t below(struct run *run, uint64_t limit)
{
    uint64_t z = run->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64, G. Steele et al. */

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % limit;
}

static bool chance(struct run *run, uint32_t percent)
{
    return below(run, 100) < percent;
}

static void must(struct run *run, sabot_status status)
{
    if (status != SABOT_OK)
        fail_msg("seed %llu: %s", (unsigned long long)run->seed, run->error.text);
}

/* What partitions, workers and the task must have come to, now. */
static void judge(struct run *run)
{
    struct oracle *oracle = &run->oracle;
    struct level inputs[PARTITIONS_MAX];
    const uint32_t workers = run->config.workers;
    uint32_t live = 0;

    for (uint32_t worker = 0; worker < workers; worker++) {
        uint32_t count = 0;

        for (uint32_t i = worker; i < run->partition_count; i += workers)
            inputs[count++] =
                (struct level){oracle->partitions[i].newest_ms, oracle->partitions[i].is_idle};
        if (count > 0)
            oracle->workers[live++] = raise(oracle->workers[worker].now_ms, inputs, count);
    }
    /* Workers with partitions are the first ones. */
    oracle->now_ms = raise(oracle->now_ms, oracle->workers, live).now_ms;
}

/* --- The ends of the pipeline --------------------------------------------------------------------
 */

/* An operator that keeps what it gets: results, or the ids of late records. */
struct sb_operator {
    struct run *run;
    const struct sb_env *env;
    bool of_results;
};

static sabot_status keep_create(const struct sb_operator_config *config,
                                struct sb_operator **operator_out,
                                sabot_error *error)
{
    (void)error;
    *operator_out = sb_alloc(config->env, sizeof **operator_out);
    assert_non_null(*operator_out);
    **operator_out = (struct sb_operator){
        .run = (struct run *)(uintptr_t)config->settings,
        .env = config->env,
        .of_results = strcmp(config->name, "results") == 0,
    };
    return SABOT_OK;
}

static void keep_destroy(struct sb_operator *self)
{
    sb_free(self->env, self, sizeof *self);
}

static void take_value(const struct sb_batch *batch,
                       uint32_t field,
                       uint32_t row,
                       struct window_value *value)
{
    const struct sb_column *column = &batch->columns[field];
    sabot_text text;

    if (!sb_column_has(column, row))
        return;
    if (column->type == SABOT_FLOAT64) {
        value->kind = 'f';
        value->float64 = sb_batch_float64(batch, field, row);
    } else if (column->type == SABOT_UTF8) {
        text = sb_batch_text(batch, field, row);
        value->kind = 't';
        value->text = malloc(text.size + 1);
        assert_non_null(value->text);
        if (text.data != NULL)
            memcpy(value->text, text.data, text.size);
        value->text[text.size] = '\0';
    } else {
        value->kind = 'i';
        value->int64 = sb_batch_int64(batch, field, row);
    }
}

static void take_result(struct run *run, const struct sb_batch *batch, uint32_t row)
{
    struct window_result *result = window_results_add(&run->results);
    struct window_output output = {0};

    sb_batch_record(batch, row, &output);
    result->key = output.key;
    result->start_ms = output.start_ms;
    result->end_ms = output.end_ms;
    result->firing = output.firing.size == 5   ? SABOT_EARLY
                     : output.firing.size == 7 ? SABOT_ON_TIME
                                               : SABOT_LATE;
    result->number = output.number;
    result->event_time_ms = batch->event_times[row];
    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++)
        take_value(batch, i, row, &result->values[i]);
}

static sabot_status keep_rows(struct sb_operator *self,
                              const struct sb_slice *slice,
                              uint32_t *cursor,
                              uint32_t end,
                              sabot_error *error)
{
    struct run *run = self->run;

    (void)error;
    for (uint32_t i = *cursor; i < end; i++) {
        if (self->of_results) {
            take_result(run, slice->batch, slice->rows[i]);
            continue;
        }
        assert_in_range(run->late_count, 0, LATE_MAX - 1);
        run->late[run->late_count++] = sb_batch_int64(slice->batch, EVENT_ID, slice->rows[i]);
    }
    *cursor = end;
    return SABOT_OK;
}

static sabot_status keep_watermark(struct sb_operator *self,
                                   int64_t watermark_ms,
                                   sabot_error *error)
{
    (void)self;
    (void)watermark_ms;
    (void)error;
    return SABOT_OK;
}

static const struct sb_operator_type keep = {
    .name = "keep",
    .create = keep_create,
    .destroy = keep_destroy,
    .rows = keep_rows,
    .watermark = keep_watermark,
};

/* --- Building ------------------------------------------------------------------------------------
 */

static sabot_status open_rows(void *context, struct sb_rows **rows_out, sabot_error *error)
{
    const struct run *run = context;

    return sb_rocksdb_rows(run->database.db, rows_out, error);
}

static void open_channel(struct run *run)
{
    char url[32];
    struct sb_channel_config config = {
        .name = "events",
        .url = url,
        .for_reading = true,
        .for_writing = true,
        .start = "earliest",
        .record_max = 1 << 20,
        .buffer_bytes = 64 << 20,
    };

    (void)snprintf(url, sizeof url, "memory:?partitions=%u", run->partition_count);
    must(run, sb_log_create(run->os, &run->log, &run->error));
    config.log = run->log;
    must(run, run->os->type->waker_create(run->os->self, &run->waker, &run->error));
    must(run, sb_channel_memory.open(run->os, &config, run->waker, &run->channel, &run->error));
    must(run, sb_channel_memory.prepare(run->channel, &run->error));
    must(run,
         sb_channel_memory.writer_open(run->channel, NULL, run->waker, &run->writer, &run->error));
}

static void make_plan(struct run *run)
{
    struct sb_window_config config = {
        .env = &run->env,
        .name = "windows",
        .spec = &run->spec,
        .aggregates = run->aggregates,
        .input = run->input,
        .key_field = EVENT_KEY,
        .output = run->output,
        .late = run->input,
        .prefix = "",
    };

    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++) {
        if ((run->chosen >> i & 1) != 0)
            run->aggregates[run->aggregate_count++] = window_aggregates[i];
    }
    config.aggregate_count = run->aggregate_count;
    must(run, sb_window_plan_create(&config, &run->plan, &run->error));
    run->settings.plan = run->plan;
    run->keyed.states = sb_window_plan_states(run->plan, &run->keyed.state_count);
}

static void add_node(struct run *run, const struct sb_node *node)
{
    uint32_t index;

    must(run, sb_graph_node(&run->graph, node, &index, &run->error));
}

static void add_edge(struct run *run, uint32_t from, uint32_t output, uint32_t to)
{
    const struct sb_edge edge = {
        .from = from,
        .output = output,
        .to = to,
        .route = from == 0 ? SB_ROUTE_KEY : SB_ROUTE_LOCAL,
        .key_field = from == 0 ? (int32_t)EVENT_KEY : SB_NO_FIELD,
    };

    must(run, sb_graph_edge(&run->graph, &edge, &run->error));
}

static void make_graph(struct run *run)
{
    const struct sb_node source = {
        .kind = SB_NODE_SOURCE,
        .name = "events",
        .port = {.type = &sb_channel_memory,
                 .channel = run->channel,
                 .codec = &sb_codec_json,
                 .schema = run->input,
                 .event_time_field = EVENT_TIME,
                 .time = run->rules,
                 .key_field = SB_NO_FIELD},
        .output_count = 1,
    };
    const struct sb_node window = {
        .kind = SB_NODE_TASK,
        .name = "windows",
        .type = &sb_operator_window,
        .settings = &run->settings,
        .keyed = &run->keyed,
        .input = run->input,
        .key_field = EVENT_KEY,
        .output_count = 2,
        .outputs = {run->output, run->input},
        .output_times = {SB_NO_FIELD, EVENT_TIME},
    };
    struct sb_node end = {
        .kind = SB_NODE_TASK,
        .name = "results",
        .type = &keep,
        .settings = run,
        .input = run->output,
        .key_field = SB_NO_FIELD,
    };

    must(run, sb_graph_init(&run->graph, &run->env));
    add_node(run, &source);
    add_node(run, &window);
    add_node(run, &end);
    end.name = "late";
    end.input = run->input;
    add_node(run, &end);
    add_edge(run, 0, 0, 1);
    add_edge(run, 1, 0, 2);
    add_edge(run, 1, 1, 3);
    must(run, sb_graph_check(&run->graph, &run->error));
}

static void open_database(struct run *run)
{
    state_rocksdb_folder(run->database.folder);
    must(run, sb_rocksdb_open(run->os, run->database.folder, DATABASE_BYTES, &run->database.db,
                              &run->error));
}

static void close_database(struct run *run, struct database *database)
{
    if (database->db == NULL)
        return;
    sb_rocksdb_close(database->db);
    database->db = NULL;
    state_rocksdb_remove(run->os, database->folder);
}

/* Of state in the database, which is open, or in memory. */
static void start(struct run *run, bool in_rocksdb, uint32_t workers)
{
    run->in_rocksdb = in_rocksdb;
    run->rows_source = (struct sb_rows_source){open_rows, sb_rocksdb_rows_close, run};
    run->keyed.rows = in_rocksdb ? &run->rows_source : NULL;
    run->keyed.cache_bytes = CACHE_BYTES;
    run->config.workers = workers;
    must(run, sb_flow_create(&run->env, &run->graph, &run->config, &run->flow, &run->error));
    SB_ASSERT(run->flow != NULL);
}

static void end(struct run *run)
{
    sb_flow_destroy(run->flow);
    run->flow = NULL;
}

static void open_run(struct run *run, bool in_rocksdb)
{
    static const uint32_t workers[] = {1, 2, 4};

    fake_now_us = 1;
    fake_wall_ms = 0;
    must(run, sb_os_env_create(&run->os, &run->error));
    run->env_type = *run->os->type;
    run->env_type.now_us = now_us;
    run->env_type.wall_ms = wall_ms;
    run->env = (struct sb_env){&run->env_type, run->os->self, SABOT_LOG_ERROR};
    must(run, sb_schema_create(&run->env, &window_event_schema, SB_SCHEMA_RECORD, &run->input,
                               &run->error));
    must(run, sb_schema_create(&run->env, &window_output_schema, SB_SCHEMA_RECORD, &run->output,
                               &run->error));
    open_channel(run);
    make_plan(run);
    make_graph(run);
    run->config = (struct sb_flow_config){
        .name = "random",
        .batch_rows = 64,
        .ring_bytes = 1 << 20,
        .hash_seed = 7,
        .limits = {.depth_max = 8, .record_max = 1 << 20},
        .has_checkpoints = true,
        .owner = run->waker,
    };
    run->oracle.now_ms = INT64_MIN;
    for (uint32_t i = 0; i < PARTITIONS_MAX; i++)
        run->oracle.partitions[i] = (struct partition){INT64_MIN, fake_now_us, false};
    for (uint32_t i = 0; i < WORKERS_MAX; i++)
        run->oracle.workers[i] = (struct level){INT64_MIN, false};
    if (in_rocksdb)
        open_database(run);
    start(run, in_rocksdb, workers[below(run, 3)]);
}

static void close_run(struct run *run)
{
    end(run);
    close_database(run, &run->database);
    sb_graph_reset(&run->graph);
    sb_window_plan_destroy(run->plan);
    if (run->writer != NULL)
        sb_channel_memory.writer_close(run->writer);
    sb_channel_memory.close(run->channel);
    sb_log_destroy(run->log);
    run->os->type->waker_destroy(run->os->self, run->waker);
    sb_schema_destroy(run->input);
    sb_schema_destroy(run->output);
    for (uint32_t i = 0; i < run->image_count; i++)
        tape_reset(&run->images[i]);
    window_results_reset(&run->results);
    window_reference_destroy(run->reference);
    sb_os_env_destroy(run->os);
}

/* --- Running -------------------------------------------------------------------------------------
 */

static void settle(struct run *run)
{
    while (sb_flow_step(run->flow).state == SB_STEP_AGAIN) {}
    if (atomic_load(&run->flow->control.failed))
        fail_msg("seed %llu: %s", (unsigned long long)run->seed, run->flow->control.error.text);
}

/* Time has been judged: the pipeline and the reference must have come to the same. */
static void agree(struct run *run)
{
    judge(run);
    settle(run);
    if (sb_flow_task_watermark_ms(run->flow, 1) != run->oracle.now_ms)
        fail_msg("seed %llu: the watermark is %lld, and should be %lld",
                 (unsigned long long)run->seed, (long long)sb_flow_task_watermark_ms(run->flow, 1),
                 (long long)run->oracle.now_ms);
    if (run->oracle.now_ms > INT64_MIN)
        window_reference_watermark(run->reference, run->oracle.now_ms);
}

static void write_event(struct run *run, const struct window_event *event, int32_t partition)
{
    char text[256];
    struct sb_record record = {.partition = partition, .timestamp_ms = 1};
    int used = snprintf(text, sizeof text,
                        "{\"id\":%lld,\"key\":%lld,\"time\":%lld,\"price\":%.17g,\"gap\":%lld",
                        (long long)event->id, (long long)event->key, (long long)event->time_ms,
                        event->price, (long long)event->gap_ms);

    if (event->has_number)
        used += snprintf(text + used, sizeof text - (size_t)used, ",\"number\":%lld",
                         (long long)event->number);
    if (event->word.data != NULL)
        used += snprintf(text + used, sizeof text - (size_t)used, ",\"word\":\"%.*s\"",
                         (int)event->word.size, event->word.data);
    used += snprintf(text + used, sizeof text - (size_t)used, "}");
    record.value = (sabot_text){text, (size_t)used};
    must(run, sb_channel_memory.write(run->writer, &record, &run->error));
}

static int64_t add_times(int64_t a, int64_t b)
{
    int64_t sum;

    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return b > 0 ? INT64_MAX : INT64_MIN;
}

static void one_event(struct run *run, uint32_t partition)
{
    struct partition *of = &run->oracle.partitions[partition];
    const int64_t back_ms = (int64_t)below(run, (uint64_t)run->spread_ms);
    struct window_event event = {
        .id = run->next_id++,
        .key = (int64_t)below(run, KEYS) - 1,
        .time_ms = add_times(run->front_ms, -back_ms),
        .price = (double)(int64_t)below(run, 200) / 4 - 20,
        .gap_ms = 1 + (int64_t)below(run, 40),
        .has_number = chance(run, 80),
    };
    int64_t newest_ms;

    if (event.has_number)
        event.number = (int64_t)below(run, 12) - 5;
    if (chance(run, 80))
        event.word = words[below(run, sizeof words / sizeof words[0])];
    run->front_ms = add_times(run->front_ms, (int64_t)below(run, 12));
    write_event(run, &event, (int32_t)partition);
    window_reference_record(run->reference, &event);
    newest_ms = add_times(event.time_ms, -run->rules.lateness_ms);
    if (newest_ms == INT64_MAX)
        newest_ms--;
    if (newest_ms > of->newest_ms)
        of->newest_ms = newest_ms;
    of->stirred_us = fake_now_us;
    of->is_idle = false;
}

/* A few records of one partition: one batch, behind which the watermark moves. */
static void some_records(struct run *run)
{
    const uint32_t partition = (uint32_t)below(run, run->partition_count);

    for (uint64_t i = 1 + below(run, 4); i > 0; i--)
        one_event(run, partition);
    agree(run);
}

/* Time passes without a record. */
static void some_silence(struct run *run)
{
    fake_now_us += (int64_t)below(run, 900) * 1000;
    for (uint32_t i = 0; i < run->partition_count; i++) {
        struct partition *partition = &run->oracle.partitions[i];

        if (run->rules.idle_after_ms > 0 &&
            fake_now_us - partition->stirred_us >= run->rules.idle_after_ms * 1000)
            partition->is_idle = true;
    }
    agree(run);
}

static void some_wall_time(struct run *run)
{
    fake_wall_ms += (int64_t)below(run, 15);
    window_reference_clock(run->reference, fake_wall_ms);
    settle(run);
}

/* --- Cuts ----------------------------------------------------------------------------------------
 */

static void restore_logical(struct run *run, struct sb_image *image, uint32_t shard)
{
    struct tape tape = {.bytes = NULL};
    const struct sb_byte_sink sink = tape_sink(&tape);
    struct sb_byte_source source;

    must(run, sb_image_write(image, shard, &sink, &run->error));
    source = tape_source(&tape);
    must(run, sb_flow_restore(run->flow, WINDOW_NODE, shard, &source, &run->error));
    tape_reset(&tape);
}

/* The rows of the flow before are those of this one. */
static void adopt_rows(struct run *run, const struct sb_image *image)
{
    for (uint32_t worker = 0; worker < run->config.workers; worker++) {
        struct sb_store *store = sb_flow_store(run->flow, worker, WINDOW_NODE);

        assert_true(sb_store_fits(store, image));
        sb_store_adopt_rows(store);
    }
}

static void restore_images(struct run *run, enum way way, struct database *from)
{
    struct sb_image_file files[IMAGES_MAX];
    struct sb_rows *rows = NULL;
    struct sb_image *image;

    for (uint32_t i = 0; i < run->image_count; i++)
        files[i] = tape_image_file(&run->images[i]);
    must(run, sb_image_open(&run->env, files, run->image_count, WINDOW_NODE, &image, &run->error));
    if (sb_image_has_rows(image) && way == DIRECT)
        adopt_rows(run, image);
    if (sb_image_has_rows(image) && way == LOGICAL) {
        must(run, sb_rocksdb_rows(from->db, &rows, &run->error));
        sb_image_set_rows(image, rows);
    }
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        if (!sb_image_has_shard(image, shard))
            continue;
        if (way == LOGICAL)
            restore_logical(run, image, shard);
        else
            must(run, sb_flow_restore_image(run->flow, WINDOW_NODE, shard, image, &run->error));
    }
    sb_image_close(image);
    sb_rocksdb_rows_close(rows);
}

static void restore_time(struct run *run, const struct sb_checkpoint *checkpoint)
{
    int64_t watermark_ms = INT64_MAX;

    for (uint32_t worker = 0; worker < checkpoint->worker_count; worker++) {
        const struct sb_part *part = sb_checkpoint_part(checkpoint, worker, WINDOW_NODE);

        if (part->watermark_ms < watermark_ms)
            watermark_ms = part->watermark_ms;
    }
    sb_flow_restore_time(run->flow, WINDOW_NODE, watermark_ms);
}

static struct sb_checkpoint *begin_checkpoint(struct run *run)
{
    struct sb_checkpoint *checkpoint;

    must(run, sb_checkpoint_create(&run->env, 1 + run->image_count, 4, run->config.workers,
                                   &checkpoint, &run->error));
    checkpoint->base = run->image_count;
    sb_flow_checkpoint(run->flow, checkpoint);
    return checkpoint;
}

/* All that it gathers is there, and so are the blocks of its images. */
static void end_checkpoint(struct run *run, const struct sb_checkpoint *checkpoint)
{
    struct tape *tape = &run->images[run->image_count++];

    settle(run);
    assert_int_equal(atomic_load(&checkpoint->missing), 0);
    run->flow->control.checkpoint = NULL;
    for (uint32_t worker = 0; worker < run->config.workers; worker++) {
        struct sb_carrier *carrier = sb_flow_carrier(run->flow, worker, WINDOW_NODE);
        struct sb_carried carried;

        must(run, sb_checkpoint_part(checkpoint, worker, WINDOW_NODE)->error.status);
        while (sb_carrier_next(carrier, &carried)) {
            tape_append(tape, carried.block, carried.size);
            sb_carrier_back(carrier, carried.block);
        }
    }
}

/* A checkpoint that is made while the stream goes on. */
static void begin_mark(struct run *run)
{
    run->marked = begin_checkpoint(run);
}

static void end_mark(struct run *run)
{
    if (run->marked == NULL)
        return;
    end_checkpoint(run, run->marked);
    sb_control_thaw(&run->flow->control, run->marked->id);
    sb_checkpoint_destroy(run->marked);
    run->marked = NULL;
}

static void take_positions(struct run *run,
                           const struct sb_checkpoint *checkpoint,
                           struct sb_flow_position *positions)
{
    run->config.position_count = 0;
    for (uint32_t worker = 0; worker < run->config.workers; worker++) {
        const struct sb_part *part = sb_checkpoint_part(checkpoint, worker, 0);

        for (uint32_t i = 0; i < part->count; i++)
            positions[run->config.position_count++] =
                (struct sb_flow_position){.node = 0, .at = part->positions[i]};
    }
    run->config.positions = positions;
}

/* A checkpoint, and another flow that goes on from it. */
static void cut(struct run *run, enum way way, bool in_rocksdb, uint32_t workers)
{
    struct sb_flow_position positions[PARTITIONS_MAX];
    struct database from = {.db = NULL};
    struct sb_checkpoint *checkpoint;

    end_mark(run);
    checkpoint = begin_checkpoint(run);
    end_checkpoint(run, checkpoint);
    take_positions(run, checkpoint, positions);
    end(run);
    if (way == LOGICAL) {
        from = run->database;
        run->database.db = NULL;
    }
    if (in_rocksdb && run->database.db == NULL)
        open_database(run);
    start(run, in_rocksdb, workers);
    restore_images(run, way, &from);
    close_database(run, &from);
    restore_time(run, checkpoint);
    sb_checkpoint_destroy(checkpoint);
    /* All partitions are active again; workers know what their partitions had come to. */
    for (uint32_t i = 0; i < run->partition_count; i++) {
        run->oracle.partitions[i].is_idle = false;
        run->oracle.partitions[i].stirred_us = fake_now_us;
    }
    for (uint32_t i = 0; i < WORKERS_MAX; i++)
        run->oracle.workers[i] = (struct level){INT64_MIN, false};
    agree(run);
}

/* --- Cases ---------------------------------------------------------------------------------------
 */

static sabot_window_action trigger(const sabot_window_view *view, void *user)
{
    (void)user;
    switch (view->moment) {
    case SABOT_ON_RECORD:
        return view->fresh >= 3     ? SABOT_FIRE
               : view->records >= 7 ? SABOT_FIRE_AND_PURGE
                                    : SABOT_CONTINUE;
    case SABOT_ON_LATE_RECORD: return view->event_time_ms % 2 == 0 ? SABOT_FIRE : SABOT_CONTINUE;
    case SABOT_ON_EARLY_TIME: return view->firings % 2 == 0 ? SABOT_FIRE : SABOT_FIRE_AND_PURGE;
    case SABOT_ON_END: break;
    }
    return view->records % 5 == 4 ? SABOT_CONTINUE : SABOT_FIRE;
}

static uint32_t assign(const void *record,
                       int64_t event_time_ms,
                       sabot_window_bounds *windows_out,
                       void *user)
{
    const struct window_event *event = record;
    const uint32_t count = (uint32_t)(event->id % 4);

    (void)user;
    if (event_time_ms < INT64_MIN / 2 || event_time_ms > INT64_MAX / 2)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        const int64_t start_ms = event_time_ms / 10 * 10 - (int64_t)i * 20;

        windows_out[i] = (sabot_window_bounds){start_ms, start_ms + 35 + (int64_t)i};
    }
    return count;
}

static void draw_window(struct run *run)
{
    sabot_window_spec *spec = &run->spec;

    spec->kind = (sabot_window_kind)(1 + below(run, 5));
    switch (spec->kind) {
    case SABOT_TUMBLING: spec->size_ms = 1 + (int64_t)below(run, 60); break;
    case SABOT_SLIDING:
        spec->slide_ms = 1 + (int64_t)below(run, 20);
        spec->size_ms = spec->slide_ms * (1 + (int64_t)below(run, 6));
        break;
    case SABOT_SESSION:
        spec->gap_ms = 1 + (int64_t)below(run, 30);
        spec->gap_field = chance(run, 30) ? "gap" : NULL;
        break;
    case SABOT_ASSIGNED: spec->assign = assign; break;
    case SABOT_GLOBAL: spec->early_count = 1 + (int64_t)below(run, 5); break;
    }
    if (spec->size_ms > 0 && chance(run, 40))
        spec->offset_ms = (int64_t)below(run, 200) - 100;
    if (chance(run, 50))
        spec->allowed_lateness_ms = (int64_t)below(run, 50);
    spec->discarding = chance(run, 40);
    if (chance(run, 20))
        spec->early_count = 1 + (int64_t)below(run, 4);
    if (chance(run, 30)) {
        spec->early_ms = 1 + (int64_t)below(run, 20);
        spec->early_clock = chance(run, 50) ? SABOT_EVENT_TIME : SABOT_PROCESSING_TIME;
    }
    if (chance(run, 20)) {
        spec->trigger = trigger;
        spec->early_count = 0;
    }
}

static void draw_stream(struct run *run)
{
    static const int64_t bases[] = {
        0, -50, 1700000000000, INT64_C(253402300799999), INT64_MAX - 40, INT64_MIN + 40,
    };

    run->front_ms = bases[chance(run, 50) ? below(run, 2) : below(run, 6)];
    run->spread_ms = 1 + (int64_t)below(run, 80);
    run->chosen = chance(run, 40) ? UINT32_C(0x1ff) : 1 + (uint32_t)below(run, 65535);
    run->partition_count = 1 + (uint32_t)below(run, PARTITIONS_MAX);
    run->rules = (struct sb_clock_rules){
        .lateness_ms = chance(run, 70) ? (int64_t)below(run, 60) : 0,
        .idle_after_ms = chance(run, 50) ? IDLE_AFTER_MS : 0,
    };
}

static void print_case(const struct run *run)
{
    const sabot_window_spec *spec = &run->spec;

    print_message("seed %llu: kind %d size %lld slide %lld offset %lld gap %lld, allowed lateness "
                  "%lld%s, early %lld records, %lld ms (clock %d)%s; %u partitions, %u workers, "
                  "lateness %lld, idle after %lld, %s\n",
                  (unsigned long long)run->seed, (int)spec->kind, (long long)spec->size_ms,
                  (long long)spec->slide_ms, (long long)spec->offset_ms, (long long)spec->gap_ms,
                  (long long)spec->allowed_lateness_ms, spec->discarding ? " discarding" : "",
                  (long long)spec->early_count, (long long)spec->early_ms, (int)spec->early_clock,
                  spec->trigger == NULL ? "" : " trigger", run->partition_count,
                  run->config.workers, (long long)run->rules.lateness_ms,
                  (long long)run->rules.idle_after_ms, run->in_rocksdb ? "rocksdb" : "memory");
}

static int compare_ids(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left;
    const int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

static void check_all(struct run *run)
{
    size_t count;
    const int64_t *late = window_reference_late(run->reference, &count);

    if (!window_results_equal(&run->results, window_reference_results(run->reference))) {
        print_case(run);
        fail_msg("seed %llu: other results", (unsigned long long)run->seed);
    }
    /* Workers hand them on side by side. */
    qsort(run->late, run->late_count, sizeof run->late[0], compare_ids);
    if (count != run->late_count ||
        (count > 0 && memcmp(late, run->late, count * sizeof *late) != 0)) {
        print_case(run);
        fail_msg("seed %llu: %zu late records, and %zu expected", (unsigned long long)run->seed,
                 run->late_count, count);
    }
}

static void one_case(uint64_t seed, bool with_rocksdb)
{
    static const uint32_t workers[] = {1, 2, 4};
    static struct run run;
    bool in_rocksdb;
    bool then_in_rocksdb;
    enum way way;
    uint64_t steps;
    uint64_t mark_at;
    uint64_t cut_at;

    memset(&run, 0, sizeof run);
    run.seed = run.random = seed;
    draw_window(&run);
    draw_stream(&run);
    in_rocksdb = with_rocksdb && chance(&run, 70);
    then_in_rocksdb = with_rocksdb && (!in_rocksdb || chance(&run, 50));
    steps = 5 + below(&run, STEPS_MAX);
    cut_at = below(&run, steps);
    way = (in_rocksdb && !then_in_rocksdb) || chance(&run, 50) ? LOGICAL : DIRECT;
    mark_at = below(&run, steps);
    run.reference = window_reference_create(&run.spec, run.chosen);
    open_run(&run, in_rocksdb);
    settle(&run);
    for (uint64_t i = 0; i < steps; i++) {
        const uint64_t what = below(&run, 100);

        if (i == mark_at && i < cut_at)
            begin_mark(&run);
        if (what < 75)
            some_records(&run);
        else if (what < 88)
            some_silence(&run);
        else
            some_wall_time(&run);
        if (i == cut_at)
            cut(&run, way, then_in_rocksdb, workers[below(&run, 3)]);
    }
    /* The channel ends, and with it time. */
    sb_channel_memory.writer_close(run.writer);
    run.writer = NULL;
    settle(&run);
    assert_true(sb_flow_task_watermark_ms(run.flow, 1) == INT64_MAX);
    window_reference_watermark(run.reference, INT64_MAX);
    check_all(&run);
    close_run(&run);
}

static uint64_t first_seed(uint64_t *count)
{
    const char *only = getenv("SABOT_STREAM_SEED");

    if (only != NULL) {
        *count = 1;
        return strtoull(only, NULL, 10);
    }
    *count = test_cases((uint32_t)*count);
    return 1;
}

static void whole_pipelines_give_what_the_reference_gives(void **state)
{
    uint64_t count = CASES;
    const uint64_t first = first_seed(&count);

    (void)state;
    for (uint64_t i = 0; i < count; i++)
        one_case(first + i, false);
}

static void whole_pipelines_give_it_with_rocksdb_too(void **state)
{
    uint64_t count = CASES_ROCKSDB;
    const uint64_t first = first_seed(&count);

    (void)state;
    if (state_rocksdb(0, 0) == NULL)
        skip();
    for (uint64_t i = 0; i < count; i++)
        one_case(first + i, true);
}

/* Blocks that wait to be written, as it were. */
static void give_blocks(struct sb_carrier *carrier, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        void *block = sb_carrier_take(carrier, SB_CARRIER_MAX);

        assert_non_null(block);
        sb_carrier_give(carrier, block, 1);
    }
}

static void write_blocks(struct sb_carrier *carrier, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct sb_carried carried;

        assert_true(sb_carrier_next(carrier, &carried));
        assert_int_equal(carried.size, 1); /* those of the image lie behind them */
        sb_carrier_back(carrier, carried.block);
    }
}

static uint64_t rows_handled(const struct run *run)
{
    const struct sb_tally *tally = &run->flow->instances[WINDOW_NODE].task.tallies[0];

    return sb_counter_get(&tally->processed) + sb_counter_get(&tally->late);
}

/* The most rows that the window handles at a step, of one batch. */
static uint64_t most_rows_at_a_step(struct run *run, uint32_t batch)
{
    uint64_t done = rows_handled(run);
    uint64_t most = 0;

    for (uint32_t i = 0; i < batch; i++)
        one_event(run, 0);
    while (sb_flow_step(run->flow).state == SB_STEP_AGAIN) {
        const uint64_t now = rows_handled(run);

        most = now - done > most ? now - done : most;
        done = now;
    }
    return most;
}

static void rows_come_few_at_a_time_while_copies_wait(void **state)
{
    enum { BATCH = 64, PRESSED = SB_CARRIER_STALL / 2 };
    static struct run run;
    struct sb_carrier *carrier;

    (void)state;
    memset(&run, 0, sizeof run);
    run.seed = run.random = 1;
    draw_window(&run);
    draw_stream(&run);
    run.reference = window_reference_create(&run.spec, run.chosen);
    open_run(&run, false);
    end(&run);
    start(&run, false, 1);
    settle(&run);
    begin_mark(&run);
    settle(&run);
    end_mark(&run);
    assert_int_equal(most_rows_at_a_step(&run, BATCH), BATCH);
    carrier = sb_flow_carrier(run.flow, 0, WINDOW_NODE);
    give_blocks(carrier, PRESSED);
    begin_mark(&run);
    settle(&run);
    assert_true(most_rows_at_a_step(&run, BATCH) <= BATCH / 2);
    write_blocks(carrier, PRESSED);
    end_mark(&run);
    assert_int_equal(most_rows_at_a_step(&run, BATCH), BATCH);
    close_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pipelines_give_what_the_reference_gives),
        cmocka_unit_test(whole_pipelines_give_it_with_rocksdb_too),
        cmocka_unit_test(rows_come_few_at_a_time_while_copies_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
