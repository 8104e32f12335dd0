/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_damage.c - snapshots and images whose checksums are right and whose bytes are not:
 * made by who has an error, or means harm. And memory that runs out while they are written or read.
 *
 * Each byte in turn is made another one: what comes is refused with a text, or is read as other
 * state; nothing is followed out of bounds (the sanitizers look) and nothing is left behind. What
 * must have been said by the end of such a sweep stands in a list. */
#include "test.h"

#include "base/mem.h"
#include "state/image.h"
#include "state/row.h"

enum { BYTES_MAX = 192 * 1024, FILES_MAX = 2, SAID_MAX = 64, LARGE = 9000, VALUES = 5 };

struct cell {
    int64_t count;
    char city[8];
    bool flag;
};

struct newer_cell {
    char city[8];
    bool flag;
    int64_t limit;
    int64_t count;
};

struct record {
    int64_t id;
    sabot_text name;
};

struct newer_record {
    sabot_text name;
    int64_t id;
    double share;
};

static const sabot_field cell_fields[] = {
    SABOT_FIELD(struct cell, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct cell, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD(struct cell, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
};
static const sabot_field newer_cell_fields[] = {
    SABOT_FIELD(struct newer_cell, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD(struct newer_cell, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct newer_cell, limit, "limit", SABOT_INT64, "500"),
    SABOT_FIELD(struct newer_cell, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_field record_fields[] = {
    SABOT_FIELD(struct record, id, "id", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct record, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_field newer_record_fields[] = {
    SABOT_FIELD(struct newer_record, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct newer_record, id, "id", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD_DEFAULT(struct newer_record, share, "share", SABOT_FLOAT64, "0.5"),
};

static const sabot_schema cell_table = SABOT_SCHEMA("cell", 1, struct cell, cell_fields);
static const sabot_schema newer_cell_table =
    SABOT_SCHEMA("cell", 2, struct newer_cell, newer_cell_fields);
static const sabot_schema record_table = SABOT_SCHEMA("record", 1, struct record, record_fields);
static const sabot_schema newer_record_table =
    SABOT_SCHEMA("record", 2, struct newer_record, newer_record_fields);

enum { VALUE, BYTES, MORE_BYTES, ROWS, LIST, LIST_BYTES, MAP, MAP_BYTES, TIMERS, STATES };

/* An app that has written the state, a newer one, and one that has none of it any more. */
enum app { SAME, NEWER, OTHER, APPS };

struct fixture {
    struct sb_env *env;
    struct sb_schema *cells[2];
    struct sb_schema *records[2];
    struct sb_account *account;
    struct sb_store *store; /* that was written */
    sabot_text keys[2];     /* of one shard, and one letter apart */
    uint32_t shard;
    uint8_t bytes[BYTES_MAX];
    size_t size;
    size_t read;
    uint64_t fail_at; /* the n-th read or write fails; 0: none */
    uint64_t calls;
    const char *said[SAID_MAX];
    bool heard[SAID_MAX];
    sabot_error error;
};

static uint64_t hash_of(sabot_text key)
{
    return sb_hash(key.data, key.size, 0);
}

/* Two keys of one shard. */
static void choose_keys(struct fixture *fixture)
{
    static char texts[2][3];

    for (int first = 'a'; first <= 'z'; first++) {
        for (int last = 'a'; last < 'z'; last++) {
            (void)snprintf(texts[0], 3, "%c%c", first, last);
            (void)snprintf(texts[1], 3, "%c%c", first, last + 1);
            fixture->keys[0] = (sabot_text){texts[0], 2};
            fixture->keys[1] = (sabot_text){texts[1], 2};
            fixture->shard = sb_hash_shard(hash_of(fixture->keys[0]));
            if (sb_hash_shard(hash_of(fixture->keys[1])) == fixture->shard)
                return;
        }
    }
    fail();
}

/* SABOT_OK, or there is no memory for it. */
static sabot_status open_store(struct fixture *fixture, enum app app, struct sb_store **store_out)
{
    const struct sb_schema *cells = fixture->cells[app == NEWER];
    const struct sb_schema *records = fixture->records[app == NEWER];
    const struct sb_state_spec states[STATES] = {
        [VALUE] = {.name = "value", .kind = SB_STATE_VALUE, .schema = cells, .ttl_ms = 1000},
        [BYTES] = {.name = "bytes1", .kind = SB_STATE_VALUE},
        [MORE_BYTES] = {.name = "bytes2", .kind = SB_STATE_VALUE},
        [ROWS] = {.name = "rows", .kind = SB_STATE_VALUE, .row_schema = records},
        [LIST] = {.name = "list", .kind = SB_STATE_LIST, .schema = cells},
        [LIST_BYTES] = {.name = "listed", .kind = SB_STATE_LIST, .ttl_ms = 1000},
        [MAP] = {.name = "map", .kind = SB_STATE_MAP, .schema = cells, .ttl_ms = 1000},
        [MAP_BYTES] = {.name = "mapped", .kind = SB_STATE_MAP},
        [TIMERS] = {.name = "timers", .kind = SB_STATE_TIMERS},
    };
    const struct sb_state_spec other = {.name = "none", .kind = SB_STATE_VALUE};
    const struct sb_store_config config = {
        .env = fixture->env,
        .owner = "agent",
        .states = app == OTHER ? &other : states,
        .state_count = app == OTHER ? 1 : STATES,
        .account = fixture->account,
        .drops_unknown = app == OTHER,
    };

    return sb_store_create(&config, store_out, &fixture->error);
}

static void fill(const struct fixture *fixture, sabot_text key)
{
    static char large[LARGE];
    struct sb_store *store = fixture->store;
    const uint64_t hash = hash_of(key);
    const sabot_text some = {"some", 4};
    const struct record record = {.id = 7, .name = key};
    char row[64];

    sb_store_time(store, 100, 100);
    assert_int_equal(sb_store_begin(store, 100, NULL), SABOT_OK);
    *(struct cell *)sb_store_edit(store, VALUE, key, hash, NULL) =
        (struct cell){.count = 1, .city = "Arica", .flag = true};
    assert_int_equal(sb_store_put(store, BYTES, key, hash, some, NULL), SABOT_OK);
    assert_int_equal(sb_store_put(store, MORE_BYTES, key, hash,
                                  (sabot_text){large, key.data[1] % 2 == 0 ? 0 : LARGE}, NULL),
                     SABOT_OK);
    assert_true(sb_row_size(fixture->records[0], &record) <= sizeof row);
    sb_row_pack(fixture->records[0], sb_row_checksum(fixture->records[0]), &record, row);
    assert_int_equal(sb_store_put(store, ROWS, key, hash,
                                  (sabot_text){row, sb_row_size(fixture->records[0], &record)},
                                  NULL),
                     SABOT_OK);
    for (int64_t i = 0; i < 3; i++) {
        const struct cell cell = {.count = i, .city = "Iquique"};
        const sabot_text sub = {(const char *)&"xyz"[i], 1};

        assert_int_equal(sb_list_append(store, LIST, key, hash,
                                        (sabot_text){(const char *)&cell, sizeof cell}, NULL),
                         SABOT_OK);
        assert_int_equal(sb_list_append(store, LIST_BYTES, key, hash, some, NULL), SABOT_OK);
        *(struct cell *)sb_map_edit(store, MAP, key, hash, sub, NULL) = cell;
        assert_int_equal(sb_map_put(store, MAP_BYTES, key, hash, sub, some, NULL), SABOT_OK);
        assert_int_equal(sb_timer_set(store, TIMERS, key, hash, 500 + i, NULL), SABOT_OK);
    }
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    *state = fixture;
    if (sb_schema_create(fixture->env, &cell_table, SB_SCHEMA_STATE, &fixture->cells[0], NULL) !=
            SABOT_OK ||
        sb_schema_create(fixture->env, &newer_cell_table, SB_SCHEMA_STATE, &fixture->cells[1],
                         NULL) != SABOT_OK ||
        sb_schema_create(fixture->env, &record_table, SB_SCHEMA_RECORD, &fixture->records[0],
                         NULL) != SABOT_OK ||
        sb_schema_create(fixture->env, &newer_record_table, SB_SCHEMA_RECORD, &fixture->records[1],
                         NULL) != SABOT_OK ||
        sb_account_create(fixture->env, 0, &fixture->account, NULL) != SABOT_OK ||
        open_store(fixture, SAME, &fixture->store) != SABOT_OK)
        return -1;
    choose_keys(fixture);
    fill(fixture, fixture->keys[0]);
    fill(fixture, fixture->keys[1]);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    sb_store_destroy(fixture->store);
    assert_int_equal(sb_account_used(fixture->account), 0);
    sb_account_destroy(fixture->account);
    for (int i = 0; i < 2; i++) {
        sb_schema_destroy(fixture->cells[i]);
        sb_schema_destroy(fixture->records[i]);
    }
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

/* --- What is said ----------------------------------------------------------------------------- */

/* A restore has ended so. It may, if it says why. */
static void hear(struct fixture *fixture, sabot_status status)
{
    if (status == SABOT_OK)
        return;
    assert_int_equal(status, fixture->error.status);
    assert_true(status == SABOT_ERR_CORRUPT || status == SABOT_ERR_SCHEMA ||
                status == SABOT_ERR_CONFIG || status == SABOT_ERR_UNSUPPORTED ||
                status == SABOT_ERR_LIMIT);
    assert_true(fixture->error.text[0] != '\0');
    for (int i = 0; i < SAID_MAX && fixture->said[i] != NULL; i++)
        fixture->heard[i] |= strstr(fixture->error.text, fixture->said[i]) != NULL;
}

static void listen_for(struct fixture *fixture, const char *const *said, size_t count)
{
    assert_true(count < SAID_MAX);
    for (size_t i = 0; i < count; i++)
        fixture->said[i] = said[i];
}

/* How far it is to the next byte that is tried: sanitizers are slow, and see what they see with
 * any.
 */
static size_t stride(void)
{
    if (getenv("SABOT_LONG") != NULL)
        return 1;
#if defined(__SANITIZE_THREAD__)
    return 61;
#elif defined(__SANITIZE_ADDRESS__)
    return 13;
#else
    return 1;
#endif
}

static void expect_heard(const struct fixture *fixture)
{
    int missing = 0;

    for (int i = 0; stride() == 1 && fixture->said[i] != NULL; i++) {
        if (!fixture->heard[i])
            print_error("nobody said \"%s\"\n", fixture->said[i]);
        missing += !fixture->heard[i];
    }
    assert_int_equal(missing, 0);
}

/* The n-th other value of a byte. */
static uint8_t another(uint8_t byte, uint32_t n)
{
    const uint8_t values[VALUES] = {(uint8_t)(byte + 1), 0xff, (uint8_t)(byte - 1), 0,
                                    byte ^ 8u /* another flag */};

    return values[n];
}

/* --- Snapshots -------------------------------------------------------------------------------- */

static sabot_status next_call(struct fixture *fixture, sabot_error *error)
{
    if (++fixture->calls != fixture->fail_at)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_IO, "the disk was told to fail");
}

static sabot_status save(void *context, const void *bytes, size_t size, sabot_error *error)
{
    struct fixture *fixture = context;

    SABOT_TRY(next_call(fixture, error));
    assert_true(fixture->size + size <= sizeof fixture->bytes);
    memcpy(fixture->bytes + fixture->size, bytes, size);
    fixture->size += size;
    return SABOT_OK;
}

static sabot_status load(void *context,
                         void *buffer,
                         size_t size,
                         size_t *size_out,
                         sabot_error *error)
{
    struct fixture *fixture = context;
    const size_t left = fixture->size - fixture->read;

    *size_out = 0;
    SABOT_TRY(next_call(fixture, error));
    *size_out = size < left ? size : left;
    memcpy(buffer, fixture->bytes + fixture->read, *size_out);
    fixture->read += *size_out;
    return SABOT_OK;
}

static sabot_status snapshot(struct fixture *fixture)
{
    const struct sb_byte_sink sink = {save, fixture};

    fixture->size = 0;
    fixture->calls = 0;
    return sb_store_snapshot(fixture->store, fixture->shard, &sink, &fixture->error);
}

static sabot_status restore(struct fixture *fixture, enum app app)
{
    const struct sb_byte_source source = {load, fixture};
    struct sb_store *store;

    fixture->read = 0;
    fixture->calls = 0;
    SABOT_TRY(open_store(fixture, app, &store));
    const sabot_status status = sb_store_restore(store, &source, &fixture->error);
    sb_store_destroy(store);
    return status;
}

static void put_number(uint8_t *to, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* The first block, which is all but the end, gets the checksum of its payload. */
static void sum_up(struct fixture *fixture, size_t payload)
{
    put_number(fixture->bytes, payload, 4);
    put_number(fixture->bytes + 4, sb_hash(fixture->bytes + SB_BLOCK_HEAD, payload, 0), 8);
}

static size_t payload_of(const struct fixture *fixture)
{
    const size_t payload = fixture->size - (size_t)2 * SB_BLOCK_HEAD;

    assert_true(payload < SB_BLOCK_SIZE);
    return payload;
}

/* Where the zeros of the large value begin, which are all the same. */
static size_t zeros_at(const struct fixture *fixture)
{
    for (size_t at = 0; at + 64 < fixture->size; at++) {
        size_t run = 0;

        while (run < 64 && fixture->bytes[at + run] == 0)
            run++;
        if (run == 64)
            return at;
    }
    return fixture->size;
}

static void change_each_byte(struct fixture *fixture, enum app app)
{
    const size_t payload = payload_of(fixture);
    const size_t zeros = zeros_at(fixture);

    assert_int_equal(restore(fixture, app), SABOT_OK);
    for (size_t i = 0; i < payload; i += stride()) {
        uint8_t *byte = &fixture->bytes[SB_BLOCK_HEAD + i];
        const uint8_t whole = *byte;

        if (i > zeros && i < zeros + LARGE - 64)
            continue;
        for (uint32_t n = 0; n < VALUES; n++) {
            *byte = another(whole, n);
            sum_up(fixture, payload);
            hear(fixture, restore(fixture, app));
        }
        *byte = whole;
    }
    sum_up(fixture, payload);
    assert_int_equal(restore(fixture, app), SABOT_OK);
}

static void a_snapshot_with_any_other_byte_is_refused_or_other_state(void **state)
{
    static const char *const said[] = {
        "it is no snapshot of a shard",
        "the snapshot has format 2, this Sabot reads format 1",
        "no such shard or count of states",
        "another hash seed",
        "a name is too long",
        "no such flags of a state",
        "no such kind of state",
        "another kind of state",
        "does not declare: --drop-state",
        "it holds a struct in the snapshot and bytes in the app",
        "it holds bytes in the snapshot and a struct in the app",
        "it holds bytes in the snapshot and rows with texts in the app",
        "a state comes twice",
        "no such count of fields",
        "no such type of a field",
        "no such size of a field",
        "a field has not the size of its type",
        "no such state",
        "a key is too long",
        "a key of another shard",
        "a key comes twice",
        "a value is too large",
        "a row is too short",
        "an entry without a map",
        "a key of timers",
        "a timer of a state that has none",
        "no such row",
        "rows are missing",
        "more was expected",
    };
    struct fixture *fixture = *state;

    listen_for(fixture, said, sizeof said / sizeof *said);
    assert_int_equal(snapshot(fixture), SABOT_OK);
    change_each_byte(fixture, SAME);
    change_each_byte(fixture, NEWER);
    expect_heard(fixture);
}

static void what_nobody_wants_is_passed_over_as_carefully(void **state)
{
    static const char *const said[] = {
        "no such count of fields", "no such size of a field", "a value is too large",
        "a key is too long",       "more was expected",
    };
    struct fixture *fixture = *state;

    listen_for(fixture, said, sizeof said / sizeof *said);
    assert_int_equal(snapshot(fixture), SABOT_OK);
    change_each_byte(fixture, OTHER);
    expect_heard(fixture);
}

static void a_snapshot_that_ends_anywhere_is_refused(void **state)
{
    struct fixture *fixture = *state;
    uint8_t end[SB_BLOCK_HEAD];
    size_t payload;

    assert_int_equal(snapshot(fixture), SABOT_OK);
    payload = payload_of(fixture);
    for (size_t size = 0; size < payload; size += size < zeros_at(fixture) ? stride() : 97) {
        uint8_t kept[2 * SB_BLOCK_HEAD];
        uint8_t *tail = fixture->bytes + SB_BLOCK_HEAD + size;

        /* Cut, and ended well. */
        memcpy(kept, tail, SB_BLOCK_HEAD);
        put_number(end, 0, 4);
        put_number(end + 4, sb_hash("", 0, size == 0 ? 0 : 1), 8);
        memcpy(size == 0 ? fixture->bytes : tail, end, sizeof end);
        if (size > 0)
            sum_up(fixture, size);
        fixture->size = SB_BLOCK_HEAD + size + (size == 0 ? 0 : SB_BLOCK_HEAD);
        for (enum app app = SAME; app < APPS; app++)
            assert_int_equal(restore(fixture, app), SABOT_ERR_CORRUPT);
        memcpy(tail, kept, SB_BLOCK_HEAD);
    }
}

static void each_call_that_fails_ends_a_snapshot_or_a_restore(void **state)
{
    struct fixture *fixture = *state;
    uint64_t n;

    for (n = 1; fixture->calls + 1 >= n; n++) {
        fixture->fail_at = n;
        const sabot_status status = snapshot(fixture);
        assert_int_equal(status, fixture->calls >= n ? SABOT_ERR_IO : SABOT_OK);
    }
    assert_true(n > 2);
    for (enum app app = SAME; app < APPS; app++) {
        fixture->calls = 0;
        for (n = 1; fixture->calls + 1 >= n; n++) {
            fixture->fail_at = n;
            const sabot_status status = restore(fixture, app);
            assert_int_equal(status, fixture->calls >= n ? SABOT_ERR_IO : SABOT_OK);
            if (status != SABOT_OK)
                assert_string_equal(fixture->error.text, "the disk was told to fail");
        }
        assert_true(n > 4);
    }
}

/* Each allocation in turn is the last that is refused, with all that follow. */
static void expect_memory_errors(struct fixture *fixture,
                                 sabot_status (*what)(struct fixture *fixture, enum app app),
                                 enum app app)
{
    sabot_status status = SABOT_ERR_MEMORY;
    uint64_t n;

    for (n = 1; status != SABOT_OK; n++) {
        const uint64_t used = sb_account_used(fixture->account);

        sb_os_env_fail_allocation(fixture->env, n);
        status = what(fixture, app);
        sb_os_env_fail_allocation(fixture->env, 0);
        if (status != SABOT_OK) {
            assert_int_equal(status, SABOT_ERR_MEMORY);
            assert_non_null(strstr(fixture->error.text, "memory"));
        }
        if (sb_account_used(fixture->account) != used)
            fail_msg("allocation %d: memory is still counted", (int)n);
    }
    assert_true(n > 2);
}

static sabot_status snapshot_for(struct fixture *fixture, enum app app)
{
    (void)app;
    return snapshot(fixture);
}

static void memory_that_runs_out_ends_a_snapshot_or_a_restore(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(snapshot(fixture), SABOT_OK); /* timers that were set have their memory now */
    expect_memory_errors(fixture, snapshot_for, SAME);
    for (enum app app = SAME; app < APPS; app++)
        expect_memory_errors(fixture, restore, app);
}

/* --- Images ----------------------------------------------------------------------------------- */

static void *take(void *context, bool must)
{
    (void)context;
    (void)must;
    return calloc(1, SB_IMAGE_BLOCK_MAX);
}

static void give(void *context, void *block, uint32_t size)
{
    if (size > 0)
        assert_int_equal(save(context, block, size, NULL), SABOT_OK);
    free(block);
}

static void make_image(struct fixture *fixture)
{
    const struct sb_image_config config = {.id = 1, .sink = {take, give, fixture}};

    fixture->size = 0;
    sb_store_image_begin(fixture->store, &config);
    while (sb_store_image_step(fixture->store, 1) != SB_IMAGE_DONE) {}
    assert_int_equal(sb_store_image_end(fixture->store, &fixture->error), SABOT_OK);
}

static sabot_status read_at(void *context,
                            uint64_t at,
                            void *buffer,
                            size_t size,
                            sabot_error *error)
{
    struct fixture *fixture = context;

    SABOT_TRY(next_call(fixture, error));
    assert_true(at + size <= fixture->size);
    memcpy(buffer, fixture->bytes + at, size);
    return SABOT_OK;
}

static sabot_status restore_files(struct fixture *fixture, enum app app, uint32_t count)
{
    struct sb_image_file files[SB_IMAGE_FILES_MAX + 1];
    struct sb_image *image = NULL;
    struct sb_store *store;
    sabot_status status;

    for (uint32_t i = 0; i < count; i++)
        files[i] = (struct sb_image_file){"file", fixture->size, read_at, fixture};
    fixture->calls = 0;
    SABOT_TRY(open_store(fixture, app, &store));
    status = sb_image_open(fixture->env, files, count, 0, &image, &fixture->error);
    for (uint32_t shard = 0; status == SABOT_OK && shard < SB_SHARD_COUNT; shard++) {
        if (sb_image_has_shard(image, shard))
            status = sb_store_restore_image(store, image, shard, &fixture->error);
    }
    sb_image_close(image);
    sb_store_destroy(store);
    return status;
}

static sabot_status restore_image(struct fixture *fixture, enum app app)
{
    return restore_files(fixture, app, 1);
}

static struct sb_image_block head_at(const struct fixture *fixture, size_t start)
{
    struct sb_image_block block;

    memcpy(&block, fixture->bytes + start, sizeof block);
    return block;
}

/* The block that a byte is in. */
static struct sb_image_block block_at(const struct fixture *fixture, size_t at, size_t *start_out)
{
    struct sb_image_block block = head_at(fixture, 0);

    *start_out = 0;
    while (at >= *start_out + block.size) {
        *start_out += block.size;
        block = head_at(fixture, *start_out);
    }
    return block;
}

/* The layout is a stream of its own: its first block gets the checksum it needs. */
static void sum_up_layout(struct fixture *fixture, size_t start)
{
    uint8_t *stream = fixture->bytes + start + sizeof(struct sb_image_block);
    const size_t payload = head_at(fixture, start).used - (size_t)2 * SB_BLOCK_HEAD;

    put_number(stream + 4, sb_hash(stream + SB_BLOCK_HEAD, payload, 0), 8);
}

static void change_each_byte_of_the_image(struct fixture *fixture, enum app app)
{
    size_t at = 0;

    assert_int_equal(restore_image(fixture, app), SABOT_OK);
    while (at < fixture->size) {
        size_t start = 0;
        const struct sb_image_block block = block_at(fixture, at, &start);
        const bool in_layout = block.kind == SB_IMAGE_LAYOUT &&
                               at >= start + sizeof block + SB_BLOCK_HEAD &&
                               at < start + block.size - SB_BLOCK_HEAD;
        const bool in_chunk = block.kind == SB_IMAGE_CHUNKS && at >= start + SB_IMAGE_TABLE;
        const uint8_t whole = fixture->bytes[at];

        /* Of chunks that are zeros, a part. */
        for (uint32_t n = 0; n < VALUES && (!in_chunk || whole != 0 || at % 16 == 0); n++) {
            fixture->bytes[at] = another(whole, n);
            if (in_layout)
                sum_up_layout(fixture, start);
            hear(fixture, restore_image(fixture, app));
        }
        fixture->bytes[at] = whole;
        if (in_layout)
            sum_up_layout(fixture, start);
        at += stride();
    }
    assert_int_equal(restore_image(fixture, app), SABOT_OK);
}

static void an_image_with_any_other_byte_is_refused_or_other_state(void **state)
{
    static const char *const said[] = {
        "file: it is damaged: what should be a block is none",
        "no such list",
        "a list that doesn't go on",
        "no such chunk",
        "a chunk comes twice",
        "it lists a chunk that no file has",
        "it lists half of a run",
        "chunks of one run differ",
        "it is no image",
        "the snapshot has format 2, this Sabot reads format 1",
        "another version of Sabot, whose cells are other ones",
        "too many states",
        "no such state",
        "no such table of fields",
        "no such field",
        "no such run",
        "a cell makes no sense",
        "a key of another shard",
        "a segment of a list makes no sense",
        "an entry of a map makes no sense",
    };
    struct fixture *fixture = *state;

    listen_for(fixture, said, sizeof said / sizeof *said);
    make_image(fixture);
    change_each_byte_of_the_image(fixture, SAME);
    expect_heard(fixture);
}

static void an_image_for_a_newer_app_is_read_as_carefully(void **state)
{
    struct fixture *fixture = *state;

    make_image(fixture);
    for (enum app app = SAME; app < APPS; app++)
        assert_int_equal(restore_image(fixture, app), SABOT_OK);
    for (enum app app = SAME; app < APPS; app++)
        expect_memory_errors(fixture, restore_image, app);
}

static void each_read_that_fails_ends_the_restore_of_an_image(void **state)
{
    struct fixture *fixture = *state;

    make_image(fixture);
    for (enum app app = SAME; app < APPS; app++) {
        uint64_t n;

        fixture->calls = 0;
        for (n = 1; fixture->calls + 1 >= n; n++) {
            fixture->fail_at = n;
            const sabot_status status = restore_image(fixture, app);
            assert_int_equal(status, fixture->calls >= n ? SABOT_ERR_IO : SABOT_OK);
        }
        assert_true(n > 4);
    }
}

static void files_of_an_image_are_whole_and_not_too_many(void **state)
{
    struct fixture *fixture = *state;
    size_t whole;

    make_image(fixture);
    whole = fixture->size;
    assert_int_equal(restore_files(fixture, SAME, SB_IMAGE_FILES_MAX), SABOT_OK);
    assert_int_equal(restore_files(fixture, SAME, SB_IMAGE_FILES_MAX + 1), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "it is one of too many files"));
    fixture->size = whole - 1;
    assert_int_equal(restore_image(fixture, SAME), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "what should be a block is none"));
    fixture->size = whole + sizeof(struct sb_image_block) - 1;
    assert_int_equal(restore_image(fixture, SAME), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "half of a block"));
    fixture->size = 0;
    assert_int_equal(restore_image(fixture, SAME), SABOT_ERR_CORRUPT);
    assert_non_null(strstr(fixture->error.text, "it has no layout"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_with_any_other_byte_is_refused_or_other_state),
        TEST(what_nobody_wants_is_passed_over_as_carefully),
        TEST(a_snapshot_that_ends_anywhere_is_refused),
        TEST(each_call_that_fails_ends_a_snapshot_or_a_restore),
        TEST(memory_that_runs_out_ends_a_snapshot_or_a_restore),
        TEST(an_image_with_any_other_byte_is_refused_or_other_state),
        TEST(an_image_for_a_newer_app_is_read_as_carefully),
        TEST(each_read_that_fails_ends_the_restore_of_an_image),
        TEST(files_of_an_image_are_whole_and_not_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
