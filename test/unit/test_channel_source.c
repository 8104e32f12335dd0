/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel_source.c - a channel that is filled by a function: order, positions, pace, ends.
 *
 * The function of most tests makes numbered records: record n has the value "n", and its position
 * is the number of the next one. How many it makes in a call changes from call to call, so that a
 * restored run is cut otherwise than the first. */
#include "test.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "channel/channel.h"
#include "format/codec.h"

enum { PATIENCE_US = 60 * 1000 * 1000 };

/* What the function does. */
struct script {
    uint64_t count; /* records, then `status` */
    sabot_status status;
    uint64_t seed;    /* of the sizes of calls */
    uint32_t size;    /* bytes of a value, padded by blanks; 0: as many as needed */
    int64_t due_us;   /* 0: not said */
    bool pace;        /* wish to wait for a time that never comes after the first call */
    bool silent;      /* fail without a text */
    bool two_at_once; /* was seen */
    _Atomic bool inside;
    _Atomic uint64_t calls;
    _Atomic uint64_t written; /* bytes */
    _Atomic uint64_t taken;   /* bytes, kept by the reader */
    _Atomic uint64_t ahead_max;
};

static uint64_t mix(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15ULL);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static uint64_t number_of(const sabot_position *position)
{
    uint64_t number = 0;

    if (position->size == sizeof number)
        memcpy(&number, position->bytes, sizeof number);
    return number;
}

static void set_number(sabot_position *position, uint64_t number)
{
    position->size = sizeof number;
    memcpy(position->bytes, &number, sizeof number);
}

static sabot_status write_number(struct sabot_source *source, struct script *script, uint64_t n)
{
    char value[1024];
    int size = snprintf(value, sizeof value, "%" PRIu64, n);
    uint64_t ahead;

    if ((uint32_t)size < script->size) {
        memset(value + size, ' ', script->size - (uint32_t)size);
        size = (int)script->size;
    }
    if (script->due_us != 0)
        sabot_source_due_us(source, script->due_us + (int64_t)n);
    SABOT_TRY(sabot_source_write(source, (sabot_text){"key", 3}, (sabot_text){value, (size_t)size},
                                 (int64_t)n));
    ahead = atomic_fetch_add(&script->written, (uint64_t)size) + (uint64_t)size -
            atomic_load(&script->taken);
    if (ahead > atomic_load(&script->ahead_max))
        atomic_store(&script->ahead_max, ahead);
    return SABOT_OK;
}

static sabot_status fill_numbers(sabot_source *source,
                                 size_t records_max,
                                 sabot_position *position,
                                 void *user)
{
    struct script *script = user;
    uint64_t n = number_of(position);
    uint64_t left = 1 + mix(&script->seed) % records_max;

    if (atomic_exchange(&script->inside, true))
        script->two_at_once = true;
    atomic_fetch_add(&script->calls, 1);
    for (; left > 0 && n < script->count; left--, n++)
        SABOT_TRY(write_number(source, script, n));
    set_number(position, n);
    if (script->pace)
        sabot_source_wait_until_us(source, INT64_MAX / 2);
    atomic_store(&script->inside, false);
    if (n < script->count || script->status == SABOT_OK)
        return SABOT_OK;
    if (script->status != SABOT_END && !script->silent)
        return sabot_source_fail(source, script->status, "the well is dry at %" PRIu64, n);
    return script->status;
}

/* --- Fixture ---------------------------------------------------------------------------------- */

struct fixture {
    struct sb_env *env;
    struct sb_waker *waker;
    struct script script;
    struct sb_channel_config config;
    struct sb_channel *channel;
    struct sb_reader *reader;
    sabot_error error;
    /* What was shown. */
    uint64_t count;
    uint64_t next; /* the number that must come */
    uint64_t wrong;
    uint64_t limit; /* stop behind so many */
    size_t key_size;
    int64_t arrival_us;
    char last[64];
};

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->env, NULL) != SABOT_OK ||
        f->env->type->waker_create(f->env->self, &f->waker, NULL) != SABOT_OK)
        return -1;
    f->script.count = 1000;
    f->script.status = SABOT_END;
    f->limit = UINT64_MAX;
    f->key_size = 3;
    f->config = (struct sb_channel_config){
        .name = "numbers",
        .url = "memory:",
        .for_reading = true,
        .record_max = 1 << 16,
        .start = "earliest",
        .source = fill_numbers,
        .source_user = &f->script,
    };
    *state = f;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *f = *state;

    sb_channel_source.reader_close(f->reader);
    sb_channel_source.close(f->channel);
    f->env->type->waker_destroy(f->env->self, f->waker);
    sb_os_env_destroy(f->env);
    free(f);
    return 0;
}

static void open_channel(struct fixture *f)
{
    assert_int_equal(sb_channel_source.open(f->env, &f->config, f->waker, &f->channel, &f->error),
                     SABOT_OK);
    assert_int_equal(sb_channel_source.prepare(f->channel, &f->error), SABOT_OK);
    assert_int_equal(sb_channel_source.partition_count(f->channel), 1);
}

static void open_reader(struct fixture *f, const struct sb_reader_position *position)
{
    const struct sb_reader_position none = {.offset = SB_OFFSET_NONE};

    assert_int_equal(sb_channel_source.reader_open(f->channel, position == NULL ? &none : position,
                                                   1, f->waker, &f->reader, &f->error),
                     SABOT_OK);
}

static void close_reader(struct fixture *f)
{
    sb_channel_source.reader_close(f->reader);
    f->reader = NULL;
}

static sabot_status check_record(void *context, const struct sb_record *record)
{
    struct fixture *f = context;

    if (f->count == f->limit)
        return SABOT_END;
    (void)snprintf(f->last, sizeof f->last, "%.*s",
                   (int)(record->value.size < 60 ? record->value.size : 60), record->value.data);
    if (strtoull(f->last, NULL, 10) != f->next ||
        (f->key_size > 0 && record->timestamp_ms != (int64_t)f->next) ||
        record->offset != (int64_t)f->next || record->key.size != f->key_size)
        f->wrong++;
    f->next++;
    f->count++;
    f->arrival_us = record->arrival_us;
    atomic_fetch_add(&f->script.taken, record->value.size);
    return f->count == f->limit ? SABOT_AGAIN : SABOT_OK;
}

/* Read until `limit` records were shown, the end, or an error. */
static sabot_status read_on(struct fixture *f, uint64_t limit, uint32_t records_max)
{
    const int64_t deadline_us = sb_now_us(f->env) + PATIENCE_US;

    f->limit = limit;
    f->count = 0;
    while (f->count < limit) {
        const sabot_status status =
            sb_channel_source.poll(f->reader, 0, records_max, check_record, f, &f->error);

        if (status == SABOT_AGAIN) {
            assert_true(sb_now_us(f->env) < deadline_us);
            f->env->type->wait(f->env->self, f->waker, deadline_us);
        } else if (status != SABOT_OK) {
            return status;
        }
    }
    return SABOT_OK;
}

/* --- Order, ends ------------------------------------------------------------------------------ */

static void records_come_in_order_and_then_the_end(void **state)
{
    struct fixture *f = *state;

    f->script.count = 100000;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 1000), SABOT_END);
    assert_int_equal(read_on(f, UINT64_MAX, 1000), SABOT_END);
    assert_int_equal(f->next, 100000);
    assert_int_equal(f->wrong, 0);
    assert_false(f->script.two_at_once);
}

static void it_ends_behind_the_records_of_its_url(void **state)
{
    struct fixture *f = *state;
    struct sb_reader_position position;

    f->config.url = "memory:numbers?records=500";
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 333, 100), SABOT_OK);
    sb_channel_source.position(f->reader, 0, &position);
    close_reader(f);
    open_reader(f, &position);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_END);
    assert_int_equal(f->next, 500);
    assert_int_equal(f->wrong, 0);
    sb_channel_source.position(f->reader, 0, &position);
    assert_int_equal(position.offset, 500);
}

static void a_source_that_makes_nothing_ends(void **state)
{
    struct fixture *f = *state;

    f->script.count = 0;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 10), SABOT_END);
    assert_int_equal(f->next, 0);
}

static void an_error_comes_behind_the_records_before_it(void **state)
{
    struct fixture *f = *state;

    f->script.count = 77;
    f->script.status = SABOT_ERR_IO;
    open_channel(f);
    open_reader(f, NULL);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(read_on(f, UINT64_MAX, 10), SABOT_ERR_IO);
        assert_int_equal(f->next, 77);
        assert_string_equal(f->error.text, "source of numbers: the well is dry at 77");
    }
}

static void an_error_without_a_text_gets_one(void **state)
{
    struct fixture *f = *state;

    f->script.status = SABOT_ERR_USER;
    f->script.silent = true;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 10), SABOT_ERR_USER);
    assert_string_equal(f->error.text, "source of numbers: the app's function failed");
}

static void a_record_bears_the_time_it_was_due(void **state)
{
    struct fixture *f = *state;
    const int64_t before_us = sb_now_us(f->env);

    f->script.count = 10;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 10, 1), SABOT_OK);
    assert_true(f->arrival_us >= before_us);
    assert_true(f->arrival_us <= sb_now_us(f->env));
    close_reader(f);
    f->script.due_us = 5000;
    f->next = 0;
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 10, 1), SABOT_OK);
    assert_int_equal(f->arrival_us, 5009);
}

/* --- Pace and bounds -------------------------------------------------------------------------- */

static void a_paced_record_does_not_wait_for_a_full_block(void **state)
{
    struct fixture *f = *state;

    f->script.pace = true;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 1, 1), SABOT_OK); /* the next call is years away */
    sb_channel_source.stop(f->reader);
    assert_int_equal(read_on(f, UINT64_MAX, 1), SABOT_END);
    assert_int_equal(atomic_load(&f->script.calls), 1); /* and closing does not wait for it */
}

static void the_function_is_not_called_while_the_reader_is_behind(void **state)
{
    struct fixture *f = *state;

    f->script.count = 100000;
    f->script.size = 900;
    f->config.url = "memory:?bytes=256KiB";
    f->config.record_max = 1000;
    open_channel(f);
    open_reader(f, NULL);
    while (read_on(f, 1000, 50) == SABOT_OK)
        continue;
    assert_int_equal(f->next, 100000);
    assert_int_equal(f->wrong, 0);
    /* The buffer, and one call beyond. */
    assert_true(atomic_load(&f->script.ahead_max) <= 524288);
}

static sabot_status fill_too_much(sabot_source *source,
                                  size_t records_max,
                                  sabot_position *position,
                                  void *user)
{
    struct script *script = user;
    const sabot_text large = {(const char *)script, sizeof *script};

    (void)position;
    if (script->size == 0)
        return sabot_source_write(source, large, large, 0);
    for (size_t i = 0; i < records_max; i++)
        SABOT_TRY(write_number(source, script, i));
    return write_number(source, script, records_max);
}

static void a_record_too_large_or_too_many_is_refused(void **state)
{
    struct fixture *f = *state;

    f->config.source = fill_too_much;
    f->config.record_max = sizeof f->script;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "is the limit"));
    assert_int_equal(f->next, 0);
    close_reader(f);
    f->script.size = 10;
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "records asked for"));
    assert_true(f->next > 0);
    assert_int_equal(f->wrong, 0);
}

static sabot_status fill_bad_position(sabot_source *source,
                                      size_t records_max,
                                      sabot_position *position,
                                      void *user)
{
    (void)source;
    (void)records_max;
    (void)user;
    position->size = SABOT_POSITION_MAX + 1;
    return SABOT_OK;
}

static void a_position_too_large_is_refused(void **state)
{
    struct fixture *f = *state;

    f->config.source = fill_bad_position;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_ERR_LIMIT);
    assert_non_null(strstr(f->error.text, "position of 257 bytes"));
}

/* --- Positions -------------------------------------------------------------------------------- */

static void every_position_is_one_to_go_on_from(void **state)
{
    struct fixture *f = *state;
    const uint64_t seed = sb_random(f->env);

    print_message("seed %" PRIu64 "\n", seed);
    f->script.seed = seed;
    f->script.count = 200;
    for (uint64_t taken = 0; taken <= 200; taken++) {
        struct sb_reader_position position;
        struct sb_reader_position again;

        open_channel(f);
        open_reader(f, NULL);
        f->next = 0;
        assert_int_equal(read_on(f, taken, 7), SABOT_OK);
        sb_channel_source.position(f->reader, 0, &position);
        assert_int_equal(position.offset, taken);
        close_reader(f);
        sb_channel_source.close(f->channel);

        open_channel(f);
        open_reader(f, &position);
        sb_channel_source.position(f->reader, 0, &again);
        assert_int_equal(again.offset, taken);
        assert_int_equal(again.opaque_taken, position.opaque_taken);
        assert_int_equal(number_of(&again.opaque), number_of(&position.opaque));
        assert_int_equal(read_on(f, UINT64_MAX, 7), SABOT_END);
        assert_int_equal(f->next, 200);
        assert_int_equal(f->wrong, 0);
        sb_channel_source.position(f->reader, 0, &position);
        assert_int_equal(number_of(&position.opaque), 200);
        assert_int_equal(position.opaque_taken, 0);
        close_reader(f);
        sb_channel_source.close(f->channel);
        f->channel = NULL;
    }
}

static void a_seek_starts_the_function_again(void **state)
{
    struct fixture *f = *state;
    const uint64_t seed = sb_random(f->env);
    uint64_t random = seed;
    struct sb_reader_position positions[4] = {{.offset = SB_OFFSET_NONE}};
    uint64_t numbers[4] = {0};

    print_message("seed %" PRIu64 "\n", seed);
    f->script.seed = seed;
    f->script.count = 3000;
    open_channel(f);
    open_reader(f, NULL);
    for (uint32_t round = 0; round < 200; round++) {
        const uint32_t from = (uint32_t)(mix(&random) % 4);
        const uint32_t to = (uint32_t)(mix(&random) % 4);

        assert_int_equal(sb_channel_source.seek(f->reader, &positions[from], &f->error), SABOT_OK);
        f->next = numbers[from];
        if (read_on(f, 1 + mix(&random) % 500, 100) == SABOT_END)
            assert_int_equal(f->next, 3000);
        sb_channel_source.position(f->reader, 0, &positions[to]);
        numbers[to] = f->next;
        assert_int_equal(f->wrong, 0);
    }
    assert_false(f->script.two_at_once);
}

static void a_source_that_makes_fewer_records_again_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct sb_reader_position position = {.offset = 500, .opaque_taken = 500};

    f->script.count = 499;
    open_channel(f);
    open_reader(f, &position);
    assert_int_equal(read_on(f, UINT64_MAX, 7), SABOT_ERR_USER);
    assert_non_null(strstr(f->error.text, "same records"));
    position.opaque.size = SABOT_POSITION_MAX + 1;
    assert_int_equal(sb_channel_source.seek(f->reader, &position, &f->error), SABOT_ERR_CORRUPT);
}

static void stop_keeps_the_position(void **state)
{
    struct fixture *f = *state;
    struct sb_reader_position position;
    char text[SB_PLACE_MAX];

    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 123, 7), SABOT_OK);
    sb_channel_source.stop(f->reader);
    assert_int_equal(read_on(f, UINT64_MAX, 7), SABOT_END);
    sb_channel_source.position(f->reader, 0, &position);
    assert_int_equal(position.offset, 123);
    sb_channel_source.place(f->reader, 0, 122, text, sizeof text);
    assert_string_equal(text, "partition 0, offset 122");
}

static sabot_status refuse(void *context, const struct sb_record *record)
{
    (void)record;
    return *(const sabot_status *)context;
}

static void a_record_that_is_refused_is_shown_again(void **state)
{
    struct fixture *f = *state;
    const sabot_status statuses[] = {SABOT_END, SABOT_ERR_FORMAT};

    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, 10, 10), SABOT_OK);
    for (uint32_t i = 0; i < 2; i++) {
        sabot_status answer = statuses[i];
        sabot_status status;

        while ((status = sb_channel_source.poll(f->reader, 0, 10, refuse, &answer, &f->error)) ==
               SABOT_AGAIN)
            f->env->type->wait(f->env->self, f->waker, INT64_MAX);
        assert_int_equal(status, i == 0 ? SABOT_OK : SABOT_ERR_FORMAT);
    }
    assert_int_equal(read_on(f, 10, 10), SABOT_OK);
    assert_int_equal(f->next, 20);
    assert_int_equal(f->wrong, 0);
}

/* --- Emit ------------------------------------------------------------------------------------- */

struct number {
    int64_t value;
};

static const sabot_field number_fields[] = {
    SABOT_FIELD(struct number, value, "value", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema number_table = SABOT_SCHEMA("number", 1, struct number, number_fields);

struct sb_encoder {
    const struct sb_env *env;
};

static sabot_status encoder_create(const struct sb_env *env,
                                   const struct sb_schema *schema,
                                   struct sb_encoder **encoder_out,
                                   sabot_error *error)
{
    (void)schema;
    (void)error;
    *encoder_out = sb_alloc(env, sizeof **encoder_out);
    if (*encoder_out == NULL)
        return SABOT_ERR_MEMORY;
    (*encoder_out)->env = env;
    return SABOT_OK;
}

static void encoder_destroy(struct sb_encoder *encoder)
{
    sb_free(encoder->env, encoder, sizeof *encoder);
}

static sabot_status encode(struct sb_encoder *encoder,
                           const struct sb_batch *batch,
                           uint32_t row,
                           struct sb_buffer *out,
                           sabot_error *error)
{
    const int64_t value = sb_batch_int64(batch, 0, row);

    (void)encoder;
    if (value == 13)
        return sabot_raise(error, SABOT_ERR_SCHEMA, "13 can't be said");
    return sb_buffer_format(out, "%" PRId64, value);
}

static const struct sb_codec_type decimal_codec = {.name = "decimal",
                                                   .encoder_create = encoder_create,
                                                   .encoder_destroy = encoder_destroy,
                                                   .encode = encode};

static sabot_status fill_structs(sabot_source *source,
                                 size_t records_max,
                                 sabot_position *position,
                                 void *user)
{
    const struct script *script = user;
    uint64_t n = number_of(position);

    for (; records_max > 0 && n < script->count; records_max--, n++)
        SABOT_TRY(sabot_source_emit(source, &(struct number){(int64_t)n}));
    set_number(position, n);
    return n == script->count ? SABOT_END : SABOT_OK;
}

static void a_struct_is_encoded(void **state)
{
    struct fixture *f = *state;
    struct sb_schema *schema;

    assert_int_equal(sb_schema_create(f->env, &number_table, SB_SCHEMA_RECORD, &schema, &f->error),
                     SABOT_OK);
    f->config.codec = &decimal_codec;
    f->config.schema = schema;
    f->config.source = fill_structs;
    f->key_size = 0;
    f->script.count = 13;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_END);
    assert_int_equal(f->next, 13);
    assert_int_equal(f->wrong, 0);
    assert_string_equal(f->last, "12");
    close_reader(f);
    f->script.count = 20;
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_ERR_SCHEMA);
    assert_string_equal(f->error.text, "source of numbers: 13 can't be said");
    close_reader(f);
    sb_channel_source.close(f->channel);
    f->channel = NULL;
    sb_schema_destroy(schema);
}

/* --- Misuse ----------------------------------------------------------------------------------- */

static void a_source_has_one_partition_one_reader_and_no_writer(void **state)
{
    struct fixture *f = *state;
    const struct sb_reader_position position = {.offset = SB_OFFSET_NONE};
    struct sb_reader *reader;
    struct sb_writer *writer;

    f->config.url = "memory:?partitions=2";
    assert_int_equal(sb_channel_source.open(f->env, &f->config, f->waker, &f->channel, &f->error),
                     SABOT_ERR_CONFIG);
    f->config.url = "memory:";
    f->config.for_writing = true;
    assert_int_equal(sb_channel_source.open(f->env, &f->config, f->waker, &f->channel, &f->error),
                     SABOT_ERR_CONFIG);
    f->config.for_writing = false;
    open_channel(f);
    open_reader(f, NULL);
    assert_int_equal(
        sb_channel_source.reader_open(f->channel, &position, 1, f->waker, &reader, &f->error),
        SABOT_ERR_STATE);
    assert_int_equal(sb_channel_source.writer_open(f->channel, NULL, f->waker, &writer, &f->error),
                     SABOT_ERR_UNSUPPORTED);
    assert_true(strlen(sb_channel_source.guarantee(f->channel)) > 0);
}

static void without_memory_a_channel_is_not_made(void **state)
{
    struct fixture *f = *state;

    for (uint64_t nth = 1;; nth++) {
        sb_os_env_fail_allocation(f->env, nth);
        const sabot_status status =
            sb_channel_source.open(f->env, &f->config, f->waker, &f->channel, &f->error);
        sb_os_env_fail_allocation(f->env, 0);
        if (status == SABOT_OK)
            break;
        assert_int_equal(status, SABOT_ERR_MEMORY);
        assert_null(f->channel);
    }
}

static void a_block_without_memory_ends_the_source(void **state)
{
    struct fixture *f = *state;

    open_channel(f);
    sb_os_env_fail_allocation(f->env, 3); /* the reader and its thread get theirs */
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_ERR_MEMORY);
    sb_os_env_fail_allocation(f->env, 0);
    assert_int_equal(f->next, 0);
    close_reader(f);
    open_reader(f, NULL);
    assert_int_equal(read_on(f, UINT64_MAX, 100), SABOT_END);
    assert_int_equal(f->next, 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_come_in_order_and_then_the_end),
        TEST(it_ends_behind_the_records_of_its_url),
        TEST(a_source_that_makes_nothing_ends),
        TEST(an_error_comes_behind_the_records_before_it),
        TEST(an_error_without_a_text_gets_one),
        TEST(a_record_bears_the_time_it_was_due),
        TEST(a_paced_record_does_not_wait_for_a_full_block),
        TEST(the_function_is_not_called_while_the_reader_is_behind),
        TEST(a_record_too_large_or_too_many_is_refused),
        TEST(a_position_too_large_is_refused),
        TEST(every_position_is_one_to_go_on_from),
        TEST(a_seek_starts_the_function_again),
        TEST(a_source_that_makes_fewer_records_again_is_an_error),
        TEST(stop_keeps_the_position),
        TEST(a_record_that_is_refused_is_shown_again),
        TEST(a_struct_is_encoded),
        TEST(a_source_has_one_partition_one_reader_and_no_writer),
        TEST(without_memory_a_channel_is_not_made),
        TEST(a_block_without_memory_ends_the_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
