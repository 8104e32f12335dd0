/* SPDX-License-Identifier: Apache-2.0 */
/* state_suite.c - the conformance suite of keyed state: random operations against a model, and the
 * cases that random ones seldom meet.
 *
 * The model knows KEYS keys, SUBS keys of a map and SLOTS times of a timer by number, and keeps an
 * array of cells for each state. Its clock is that of the store: the event time of each operation
 * and a watermark behind it. What a read gave is compared again at the end of its callback, since
 * it must stay readable until then. */
#include "state_suite.h"

#include "test.h"

#include "base/mem.h"
#include "state/rows.h"

enum {
    KEYS = 37,
    SUBS = 23,
    SLOTS = 64,        /* times of timers that are used at a time */
    ELEMENTS_MAX = 60, /* a model's list is trimmed at this */
    HELD = 8,          /* reads of a callback that are looked at again */
    TTL_MS = 400,
};

struct fixed {
    int64_t number;
    double real;
    char text[12];
    bool flag;
};

static const sabot_field fixed_fields[] = {
    SABOT_FIELD(struct fixed, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct fixed, real, "real", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct fixed, text, "text", SABOT_CHARS, SABOT_OPTIONAL),
    SABOT_FIELD(struct fixed, flag, "flag", SABOT_BOOL, SABOT_OPTIONAL),
};
static const sabot_schema fixed_table = SABOT_SCHEMA("fixed", 1, struct fixed, fixed_fields);

enum state_number {
    VALUE_FIXED,
    VALUE_FIXED_TTL,
    VALUE_FIXED_WALL,
    VALUE_BYTES,
    VALUE_BYTES_TTL_READ,
    LIST_FIXED,
    LIST_BYTES_TTL,
    MAP_FIXED,
    MAP_FIXED_TTL,
    MAP_BYTES,
    MAP_BYTES_TTL_READ,
    REDUCING,
    TIMERS_EVENT,
    TIMERS_WALL,
    TIMERS_SECOND,
    STATES,
};

#define EVENT_TTL .ttl_ms = TTL_MS, .ttl_time = SB_TIME_EVENT

static const struct sb_state_spec specs[STATES] = {
    [VALUE_FIXED] = {.name = "value-fixed", .kind = SB_STATE_VALUE},
    [VALUE_FIXED_TTL] = {.name = "value-fixed-ttl", .kind = SB_STATE_VALUE, EVENT_TTL},
    [VALUE_FIXED_WALL] = {.name = "value-fixed-wall",
                          .kind = SB_STATE_VALUE,
                          .ttl_ms = TTL_MS,
                          .ttl_time = SB_TIME_PROCESSING},
    [VALUE_BYTES] = {.name = "value-bytes", .kind = SB_STATE_VALUE},
    [VALUE_BYTES_TTL_READ] = {.name = "value-bytes-ttl-read",
                              .kind = SB_STATE_VALUE,
                              EVENT_TTL,
                              .ttl_on_read = true},
    [LIST_FIXED] = {.name = "list-fixed", .kind = SB_STATE_LIST},
    [LIST_BYTES_TTL] = {.name = "list-bytes-ttl", .kind = SB_STATE_LIST, EVENT_TTL},
    [MAP_FIXED] = {.name = "map-fixed", .kind = SB_STATE_MAP},
    [MAP_FIXED_TTL] = {.name = "map-fixed-ttl", .kind = SB_STATE_MAP, EVENT_TTL},
    [MAP_BYTES] = {.name = "map-bytes", .kind = SB_STATE_MAP},
    [MAP_BYTES_TTL_READ] = {.name = "map-bytes-ttl-read",
                            .kind = SB_STATE_MAP,
                            EVENT_TTL,
                            .ttl_on_read = true},
    [REDUCING] = {.name = "reducing", .kind = SB_STATE_REDUCING},
    [TIMERS_EVENT] = {.name = "timers-event", .kind = SB_STATE_TIMERS},
    [TIMERS_WALL] = {.name = "timers-wall",
                     .kind = SB_STATE_TIMERS,
                     .ttl_time = SB_TIME_PROCESSING},
    [TIMERS_SECOND] = {.name = "timers-second", .kind = SB_STATE_TIMERS},
};

static bool is_fixed(uint32_t state)
{
    return state == VALUE_FIXED || state == VALUE_FIXED_TTL || state == VALUE_FIXED_WALL ||
           state == LIST_FIXED || state == MAP_FIXED || state == MAP_FIXED_TTL || state == REDUCING;
}

/* --- The model ----------------------------------------------------------------------------------
 */

struct blob {
    uint8_t *bytes; /* NULL: there is none */
    size_t size;
    int64_t time_ms; /* of the last refresh */
};

struct model_list {
    struct blob elements[ELEMENTS_MAX];
    uint32_t count;
    int64_t time_ms;
};

struct held {
    const void *data;
    struct blob copy;
};

struct state_rig {
    const struct state_backend *backend;
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_account *account;
    struct sb_rows *rows;
    struct sb_store *store;
    uint64_t random;
    int64_t event_ms; /* of the operation */
    int64_t watermark_ms;
    int64_t wall_ms;
    sabot_text keys[KEYS];
    sabot_text subs[SUBS];
    struct blob values[STATES][KEYS];
    struct model_list lists[STATES][KEYS];
    struct blob entries[STATES][KEYS][SUBS];
    bool timers[STATES][KEYS][SLOTS]; /* at base + slot * step */
    uint64_t fired;
    int64_t fired_ms; /* of the last timer fired, per call */
    struct held held[HELD];
    uint32_t held_count;
};

static uint64_t draw(struct state_rig *rig)
{
    rig->random = sb_hash_int64((int64_t)rig->random, 11);
    return rig->random;
}

static uint64_t below(struct state_rig *rig, uint64_t limit)
{
    return draw(rig) % limit;
}

static void blob_set(struct blob *blob, const void *bytes, size_t size)
{
    free(blob->bytes);
    blob->bytes = malloc(size + 1);
    assert_non_null(blob->bytes);
    if (size > 0)
        memcpy(blob->bytes, bytes, size);
    blob->size = size;
}

static void blob_clear(struct blob *blob)
{
    free(blob->bytes);
    blob->bytes = NULL;
    blob->size = 0;
}

static bool blob_is(const struct blob *blob, sabot_text text)
{
    if (blob->bytes == NULL || text.data == NULL)
        return blob->bytes == NULL && text.data == NULL;
    return blob->size == text.size &&
           (text.size == 0 || memcmp(blob->bytes, text.data, text.size) == 0);
}

/* Keys that are likely to go wrong: empty, NULs, 0xFF, prefixes of each other, long. */
static sabot_text make_text(uint32_t number)
{
    static const char *const odd[] = {"",  "\0", "\0\0", "\xff", "\xff\xff",
                                      "a", "ab", "abc",  "ab\0"};
    static const size_t odd_sizes[] = {0, 1, 2, 1, 2, 1, 2, 3, 3};
    char *bytes;
    size_t size;

    if (number < 9)
        return (sabot_text){odd[number], odd_sizes[number]};
    size = number == 9 ? 3000 : 4 + number % 9;
    bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, (int)('a' + number % 3), size);
    bytes[size - 1] = (char)number;
    return (sabot_text){bytes, size};
}

static void free_text(sabot_text text, uint32_t number)
{
    if (number >= 9)
        free((void *)(uintptr_t)text.data);
}

/* --- The rig ------------------------------------------------------------------------------------
 */

/* A store on the rows of the rig; `old`: they are those of an earlier one. */
static void create_store(struct state_rig *rig, bool old)
{
    struct sb_state_spec states[STATES];
    const struct sb_store_config config = {.env = rig->env,
                                           .owner = "agent",
                                           .states = states,
                                           .state_count = STATES,
                                           .hash_seed = 77,
                                           .account = rig->account,
                                           .rows = rig->rows,
                                           .operator_id = rig->backend->operator_id,
                                           .cache_bytes = old ? UINT64_MAX : rig->backend->cache};
    sabot_error error = {.text = ""};

    memcpy(states, specs, sizeof states);
    for (uint32_t i = 0; i < STATES; i++) {
        states[i].schema = is_fixed(i) ? rig->schema : NULL;
        states[i].in_memory = rig->backend->mixed && i % 3 == 0;
    }
    assert_int_equal(sb_store_create(&config, &rig->store, &error), SABOT_OK);
    if (old)
        sb_store_adopt_rows(rig->store);
    sb_store_time(rig->store, rig->watermark_ms, rig->wall_ms);
}

static void open_store(struct state_rig *rig, const struct state_backend *backend)
{
    sabot_error error = {.text = ""};

    rig->backend = backend;
    assert_int_equal(sb_account_create(rig->env, backend->memory, &rig->account, &error), SABOT_OK);
    rig->rows = backend->open == NULL ? NULL : backend->open(rig->env);
    create_store(rig, false);
}

static void close_store(struct state_rig *rig)
{
    sb_store_destroy(rig->store);
    if (rig->rows != NULL)
        rig->backend->close(rig->env, rig->rows);
    assert_int_equal(sb_account_used(rig->account), 0);
    sb_account_destroy(rig->account);
}

struct state_rig *state_rig_create(const struct state_backend *backend, uint64_t seed)
{
    struct state_rig *rig = calloc(1, sizeof *rig);
    sabot_error error = {.text = ""};

    assert_non_null(rig);
    print_message("%s: seed %llu\n", backend->name, (unsigned long long)seed);
    rig->random = seed;
    rig->event_ms = 1700000000000;
    rig->watermark_ms = rig->event_ms - 100;
    rig->wall_ms = 1800000000000;
    for (uint32_t i = 0; i < KEYS; i++)
        rig->keys[i] = make_text(i);
    for (uint32_t i = 0; i < SUBS; i++)
        rig->subs[i] = make_text(i);
    assert_int_equal(sb_os_env_create(&rig->env, &error), SABOT_OK);
    assert_int_equal(
        sb_schema_create(rig->env, &fixed_table, SB_SCHEMA_STATE, &rig->schema, &error), SABOT_OK);
    open_store(rig, backend);
    return rig;
}

static struct blob copy_blob(const struct blob *blob)
{
    struct blob copy = {.time_ms = blob->time_ms};

    if (blob->bytes != NULL)
        blob_set(&copy, blob->bytes, blob->size);
    return copy;
}

/* The model as it is now; its store is that of the rig. */
static struct state_rig *copy_model(const struct state_rig *rig)
{
    struct state_rig *copy = malloc(sizeof *copy);

    assert_non_null(copy);
    memcpy(copy, rig, sizeof *copy);
    copy->held_count = 0;
    for (uint32_t state = 0; state < STATES; state++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            copy->values[state][key] = copy_blob(&rig->values[state][key]);
            for (uint32_t i = 0; i < ELEMENTS_MAX; i++)
                copy->lists[state][key].elements[i] =
                    copy_blob(&rig->lists[state][key].elements[i]);
            for (uint32_t sub = 0; sub < SUBS; sub++)
                copy->entries[state][key][sub] = copy_blob(&rig->entries[state][key][sub]);
        }
    }
    return copy;
}

static void free_model(struct state_rig *rig)
{
    for (uint32_t state = 0; state < STATES; state++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            blob_clear(&rig->values[state][key]);
            for (uint32_t i = 0; i < ELEMENTS_MAX; i++)
                blob_clear(&rig->lists[state][key].elements[i]);
            for (uint32_t sub = 0; sub < SUBS; sub++)
                blob_clear(&rig->entries[state][key][sub]);
        }
    }
}

static void release_held(struct state_rig *rig)
{
    for (uint32_t i = 0; i < rig->held_count; i++) {
        assert_memory_equal(rig->held[i].data, rig->held[i].copy.bytes, rig->held[i].copy.size);
        blob_clear(&rig->held[i].copy);
    }
    rig->held_count = 0;
}

void state_rig_destroy(struct state_rig *rig)
{
    release_held(rig);
    close_store(rig);
    sb_schema_destroy(rig->schema);
    sb_os_env_destroy(rig->env);
    free_model(rig);
    for (uint32_t i = 0; i < KEYS; i++)
        free_text(rig->keys[i], i);
    for (uint32_t i = 0; i < SUBS; i++)
        free_text(rig->subs[i], i);
    free(rig);
}

static uint64_t hash_of(const struct state_rig *rig, uint32_t key)
{
    return sb_hash(rig->keys[key].data, rig->keys[key].size, 77);
}

/* Key and hash, as most calls take them. */
#define KEY(rig, key) (rig)->keys[key], hash_of(rig, key)

/* --- The model's clock
 * ---------------------------------------------------------------------------- */

static int64_t now_of(const struct state_rig *rig, uint32_t state)
{
    if (specs[state].ttl_time == SB_TIME_PROCESSING)
        return rig->wall_ms;
    return rig->event_ms > rig->watermark_ms ? rig->event_ms : rig->watermark_ms;
}

static bool is_expired(const struct state_rig *rig, uint32_t state, int64_t time_ms)
{
    return specs[state].ttl_ms > 0 && now_of(rig, state) - time_ms >= specs[state].ttl_ms;
}

/* The time that what is written now gets. */
static int64_t stamp_of(const struct state_rig *rig, uint32_t state)
{
    return specs[state].ttl_time == SB_TIME_PROCESSING ? rig->wall_ms : rig->event_ms;
}

static void refresh(const struct state_rig *rig, uint32_t state, int64_t *time_ms)
{
    if (stamp_of(rig, state) > *time_ms)
        *time_ms = stamp_of(rig, state);
}

/* A cell of the model as an operation now must see it. What has expired isn't there; a change
 * forgets it for good. */
static struct blob *seen(struct state_rig *rig, uint32_t state, struct blob *blob, bool reading)
{
    static struct blob none;

    if (blob->bytes == NULL)
        return blob;
    if (is_expired(rig, state, blob->time_ms)) {
        if (reading)
            return &none;
        blob_clear(blob);
    } else if (reading && specs[state].ttl_on_read) {
        refresh(rig, state, &blob->time_ms);
    }
    return blob;
}

static void written(struct state_rig *rig, uint32_t state, struct blob *blob, sabot_text bytes)
{
    const bool fresh = blob->bytes == NULL || is_expired(rig, state, blob->time_ms);

    blob_set(blob, bytes.data, bytes.size);
    if (fresh)
        blob->time_ms = stamp_of(rig, state);
    else
        refresh(rig, state, &blob->time_ms);
}

/* Remember what a read gave. */
static void hold(struct state_rig *rig, sabot_text text)
{
    struct held *held;

    if (text.data == NULL || rig->held_count == HELD)
        return;
    held = &rig->held[rig->held_count++];
    held->data = text.data;
    blob_set(&held->copy, text.data, text.size);
}

static void begin(struct state_rig *rig)
{
    sabot_error error = {.text = ""};

    release_held(rig);
    rig->event_ms += (int64_t)below(rig, 30) - 12;
    if (below(rig, 16) == 0) {
        const int64_t mark = rig->event_ms - 20;

        rig->watermark_ms = mark > rig->watermark_ms ? mark : rig->watermark_ms;
        rig->wall_ms += (int64_t)below(rig, 60);
        sb_store_time(rig->store, rig->watermark_ms, rig->wall_ms);
    }
    if (sb_store_begin(rig->store, rig->event_ms, &error) != SABOT_OK)
        fail_msg("begin: %s", error.text);
}

static struct fixed random_fixed(struct state_rig *rig)
{
    struct fixed fixed;

    memset(&fixed, 0, sizeof fixed); /* the padding, too: values are compared as bytes */
    fixed.number = (int64_t)draw(rig);
    fixed.real = (double)below(rig, 1000) / 7;
    fixed.flag = below(rig, 2) == 1;
    memset(fixed.text, (int)('a' + below(rig, 26)), below(rig, sizeof fixed.text));
    return fixed;
}

/* Bytes of a random size, mostly small. */
static sabot_text random_bytes(struct state_rig *rig)
{
    static uint8_t bytes[70000];
    size_t size = below(rig, 40);

    if (below(rig, 50) == 0)
        size = below(rig, 2000);
    if (below(rig, 2000) == 0)
        size = below(rig, sizeof bytes);
    memset(bytes, (int)below(rig, 256), size);
    if (size >= 8)
        memcpy(bytes, &rig->random, sizeof rig->random);
    return (sabot_text){(const char *)bytes, size};
}

static void expect_ok(sabot_status status, const sabot_error *error)
{
    if (status != SABOT_OK)
        fail_msg("%s: %s", sabot_status_name(status), error->text);
}

/* --- Values -------------------------------------------------------------------------------------
 */

static void check_value(struct state_rig *rig, uint32_t state, uint32_t key)
{
    static const struct fixed zeros;
    const struct blob *blob = seen(rig, state, &rig->values[state][key], true);
    sabot_text text;

    if (is_fixed(state)) {
        const void *cell = sb_store_read(rig->store, state, KEY(rig, key));

        if (blob->bytes == NULL)
            assert_memory_equal(cell, &zeros, sizeof zeros);
        else
            assert_memory_equal(cell, blob->bytes, sizeof zeros);
        return;
    }
    text = sb_store_get(rig->store, state, KEY(rig, key));
    assert_true(blob_is(blob, text));
    hold(rig, text);
}

static void change_value(struct state_rig *rig, uint32_t state, uint32_t key)
{
    struct blob *blob = seen(rig, state, &rig->values[state][key], false);
    sabot_error error = {.text = ""};

    if (below(rig, 5) == 0) {
        expect_ok(sb_store_clear(rig->store, state, KEY(rig, key), &error), &error);
        blob_clear(blob);
    } else if (is_fixed(state)) {
        const struct fixed fixed = random_fixed(rig);
        void *cell = sb_store_edit(rig->store, state, KEY(rig, key), &error);

        assert_non_null(cell);
        if (blob->bytes != NULL) {
            assert_memory_equal(cell, blob->bytes, sizeof fixed);
        } else {
            static const struct fixed zeros;

            assert_memory_equal(cell, &zeros, sizeof zeros);
        }
        memcpy(cell, &fixed, sizeof fixed);
        written(rig, state, blob, (sabot_text){(const char *)&fixed, sizeof fixed});
    } else {
        const sabot_text bytes = random_bytes(rig);

        expect_ok(sb_store_put(rig->store, state, KEY(rig, key), bytes, &error), &error);
        written(rig, state, blob, bytes);
    }
}

/* --- Lists --------------------------------------------------------------------------------------
 */

static void list_clear(struct model_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        blob_clear(&list->elements[i]);
    list->count = 0;
}

static struct model_list *seen_list(struct state_rig *rig,
                                    uint32_t state,
                                    uint32_t key,
                                    bool reading)
{
    static struct model_list none;
    struct model_list *list = &rig->lists[state][key];

    if (list->count == 0 || !is_expired(rig, state, list->time_ms))
        return list;
    if (reading)
        return &none;
    list_clear(list);
    return list;
}

static void list_keep(struct model_list *list, uint32_t keep)
{
    const uint32_t dropped = list->count > keep ? list->count - keep : 0;

    for (uint32_t i = 0; i < dropped; i++)
        blob_clear(&list->elements[i]);
    for (uint32_t i = dropped; i < list->count; i++) {
        list->elements[i - dropped] = list->elements[i];
        if (dropped > 0)
            list->elements[i] = (struct blob){.bytes = NULL};
    }
    list->count -= dropped;
}

static void check_list(struct state_rig *rig, uint32_t state, uint32_t key)
{
    const struct model_list *list = seen_list(rig, state, key, true);
    struct sb_cursor cursor;
    sabot_error error = {.text = ""};
    sabot_text value;

    assert_int_equal(sb_list_count(rig->store, state, KEY(rig, key)), list->count);
    expect_ok(
        sb_store_scan(rig->store, state, KEY(rig, key), (sabot_text){NULL, 0}, &cursor, &error),
        &error);
    for (uint32_t i = 0; i < list->count; i++) {
        assert_true(sb_store_next(rig->store, &cursor, NULL, &value));
        assert_true(blob_is(&list->elements[i], value));
    }
    assert_false(sb_store_next(rig->store, &cursor, NULL, &value));
    if (list->count > 0)
        hold(rig, value);
}

static void change_list(struct state_rig *rig, uint32_t state, uint32_t key)
{
    struct model_list *list = seen_list(rig, state, key, false);
    const struct fixed fixed = random_fixed(rig);
    sabot_text bytes = {(const char *)&fixed, sizeof fixed};
    sabot_error error = {.text = ""};
    const uint64_t choice = below(rig, 20);

    if (choice == 0) {
        expect_ok(sb_store_clear(rig->store, state, KEY(rig, key), &error), &error);
        list_clear(list);
    } else if (choice < 3 || list->count == ELEMENTS_MAX) {
        const uint32_t keep = (uint32_t)below(rig, ELEMENTS_MAX);

        expect_ok(sb_list_trim(rig->store, state, KEY(rig, key), keep, &error), &error);
        list_keep(list, keep);
    } else {
        if (!is_fixed(state))
            bytes = random_bytes(rig);
        expect_ok(sb_list_append(rig->store, state, KEY(rig, key), bytes, &error), &error);
        if (list->count == 0)
            list->time_ms = stamp_of(rig, state);
        refresh(rig, state, &list->time_ms);
        blob_set(&list->elements[list->count++], bytes.data, bytes.size);
    }
}

/* --- Maps ---------------------------------------------------------------------------------------
 */

static void check_entry(struct state_rig *rig, uint32_t state, uint32_t key, uint32_t sub)
{
    const struct blob *blob = seen(rig, state, &rig->entries[state][key][sub], true);
    const sabot_text text = sb_map_get(rig->store, state, KEY(rig, key), rig->subs[sub]);

    assert_true(blob_is(blob, text));
    if (!is_fixed(state))
        hold(rig, text);
}

static int compare_texts(sabot_text one, sabot_text other)
{
    const size_t common = one.size < other.size ? one.size : other.size;
    const int order = common == 0 ? 0 : memcmp(one.data, other.data, common);

    return order != 0 ? order : (one.size > other.size) - (one.size < other.size);
}

/* The numbers of the entries that a walk must give, in order. */
static uint32_t expected_walk(struct state_rig *rig,
                              uint32_t state,
                              uint32_t key,
                              sabot_text prefix,
                              uint32_t order[SUBS])
{
    uint32_t count = 0;

    for (uint32_t sub = 0; sub < SUBS; sub++) {
        const sabot_text text = rig->subs[sub];
        uint32_t at = count;

        if (text.size < prefix.size ||
            (prefix.size > 0 && memcmp(text.data, prefix.data, prefix.size) != 0))
            continue;
        if (seen(rig, state, &rig->entries[state][key][sub], true)->bytes == NULL)
            continue;
        for (; at > 0 && compare_texts(rig->subs[order[at - 1]], text) > 0; at--)
            order[at] = order[at - 1];
        order[at] = sub;
        count++;
    }
    return count;
}

static void check_map(struct state_rig *rig, uint32_t state, uint32_t key, sabot_text prefix)
{
    uint32_t order[SUBS];
    const uint32_t count = expected_walk(rig, state, key, prefix, order);
    struct sb_cursor cursor;
    sabot_error error = {.text = ""};
    sabot_text sub;
    sabot_text value;

    expect_ok(sb_store_scan(rig->store, state, KEY(rig, key), prefix, &cursor, &error), &error);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(sb_store_next(rig->store, &cursor, &sub, &value));
        assert_int_equal(compare_texts(sub, rig->subs[order[i]]), 0);
        assert_true(blob_is(&rig->entries[state][key][order[i]], value));
    }
    assert_false(sb_store_next(rig->store, &cursor, &sub, &value));
}

/* Walk, and remove and put on the way: what is removed ahead of the walk isn't given any more. */
static void walk_and_change(struct state_rig *rig, uint32_t state, uint32_t key)
{
    uint32_t order[SUBS];
    const uint32_t count = expected_walk(rig, state, key, (sabot_text){NULL, 0}, order);
    sabot_error error = {.text = ""};
    struct sb_cursor cursor;
    sabot_text sub;
    sabot_text value;

    expect_ok(
        sb_store_scan(rig->store, state, KEY(rig, key), (sabot_text){NULL, 0}, &cursor, &error),
        &error);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t victim = order[below(rig, count)];

        if (rig->entries[state][key][order[i]].bytes == NULL)
            continue; /* removed before the walk came to it */
        assert_true(sb_store_next(rig->store, &cursor, &sub, &value));
        assert_int_equal(compare_texts(sub, rig->subs[order[i]]), 0);
        if (below(rig, 3) != 0)
            continue;
        expect_ok(sb_map_remove(rig->store, state, KEY(rig, key), rig->subs[victim], &error),
                  &error);
        blob_clear(&rig->entries[state][key][victim]);
    }
    assert_false(sb_store_next(rig->store, &cursor, &sub, &value));
}

static void change_map(struct state_rig *rig, uint32_t state, uint32_t key)
{
    const uint32_t sub = (uint32_t)below(rig, SUBS);
    struct blob *blob = seen(rig, state, &rig->entries[state][key][sub], false);
    const struct fixed fixed = random_fixed(rig);
    sabot_text bytes = {(const char *)&fixed, sizeof fixed};
    sabot_error error = {.text = ""};
    const uint64_t choice = below(rig, 40);

    if (choice == 0) {
        expect_ok(sb_store_clear(rig->store, state, KEY(rig, key), &error), &error);
        for (uint32_t i = 0; i < SUBS; i++)
            blob_clear(&rig->entries[state][key][i]);
    } else if (choice < 10) {
        expect_ok(sb_map_remove(rig->store, state, KEY(rig, key), rig->subs[sub], &error), &error);
        blob_clear(blob);
    } else if (choice < 25 && is_fixed(state)) {
        void *cell = sb_map_edit(rig->store, state, KEY(rig, key), rig->subs[sub], &error);

        assert_non_null(cell);
        memcpy(cell, &fixed, sizeof fixed);
        written(rig, state, blob, bytes);
    } else {
        if (!is_fixed(state))
            bytes = random_bytes(rig);
        expect_ok(sb_map_put(rig->store, state, KEY(rig, key), rig->subs[sub], bytes, &error),
                  &error);
        written(rig, state, blob, bytes);
    }
}

static void use_map(struct state_rig *rig, uint32_t state, uint32_t key)
{
    const sabot_text sub = rig->subs[below(rig, SUBS)];

    switch (below(rig, 12)) {
    case 0: check_map(rig, state, key, (sabot_text){NULL, 0}); break;
    case 1: check_map(rig, state, key, (sabot_text){sub.data, sub.size < 2 ? sub.size : 2}); break;
    case 2: walk_and_change(rig, state, key); break;
    case 3:
    case 4:
    case 5: check_entry(rig, state, key, (uint32_t)below(rig, SUBS)); break;
    default: change_map(rig, state, key); break;
    }
}

/* --- Timers -------------------------------------------------------------------------------------
 */

/* Slot n of a timer is a time near and far, before and after now. */
static int64_t slot_time(uint32_t state, uint32_t slot)
{
    const int64_t base = specs[state].ttl_time == SB_TIME_EVENT ? 1700000000000 : 1800000000000;

    if (slot == 0)
        return INT64_MIN;
    if (slot == 1)
        return INT64_MAX;
    if (slot == 2)
        return -1;
    return base + (int64_t)slot * (int64_t)slot * (slot % 2 == 0 ? 7919 : 611);
}

static int64_t clock_of(const struct state_rig *rig, uint32_t state)
{
    return specs[state].ttl_time == SB_TIME_EVENT ? rig->watermark_ms : rig->wall_ms;
}

static uint32_t key_number(const struct state_rig *rig, sabot_text key)
{
    for (uint32_t i = 0; i < KEYS; i++)
        if (compare_texts(rig->keys[i], key) == 0)
            return i;
    fail_msg("a timer fired for a key of %zu bytes that has none", key.size);
    return 0;
}

static sabot_status note_timer(void *context,
                               uint32_t state,
                               sabot_text key,
                               uint64_t hash,
                               int64_t time_ms,
                               sabot_error *error)
{
    struct state_rig *rig = context;
    const uint32_t number = key_number(rig, key);
    uint32_t slot = 0;

    (void)error;
    while (slot < SLOTS && slot_time(state, slot) != time_ms)
        slot++;
    assert_true(slot < SLOTS);
    assert_true(hash == hash_of(rig, number));
    assert_true(rig->timers[state][number][slot]); /* once */
    assert_true(time_ms <= clock_of(rig, state));
    if (specs[state].ttl_time == SB_TIME_EVENT) {
        assert_true(time_ms >= rig->fired_ms); /* in order of time */
        rig->fired_ms = time_ms;
    }
    rig->timers[state][number][slot] = false;
    rig->fired++;
    return below(rig, 10) == 0 ? SABOT_AGAIN : SABOT_OK;
}

static void fire_all(struct state_rig *rig)
{
    sabot_error error = {.text = ""};
    sabot_status status;

    release_held(rig);
    rig->fired_ms = INT64_MIN;
    do
        status = sb_store_fire(rig->store, 1 + (uint32_t)below(rig, 9), note_timer, rig, &error);
    while (status == SABOT_AGAIN);
    expect_ok(status, &error);
    expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
    for (uint32_t state = TIMERS_EVENT; state <= TIMERS_SECOND; state++)
        for (uint32_t key = 0; key < KEYS; key++)
            for (uint32_t slot = 0; slot < SLOTS; slot++)
                if (rig->timers[state][key][slot])
                    assert_true(slot_time(state, slot) > clock_of(rig, state));
}

static void check_next_timer(struct state_rig *rig, enum sb_state_time clock)
{
    const int64_t next = sb_store_next_timer(rig->store, clock);

    for (uint32_t state = TIMERS_EVENT; state <= TIMERS_SECOND; state++)
        for (uint32_t key = 0; key < KEYS; key++)
            for (uint32_t slot = 0; slot < SLOTS; slot++)
                if (specs[state].ttl_time == clock && rig->timers[state][key][slot])
                    assert_true(next <= slot_time(state, slot));
}

static void use_timer(struct state_rig *rig, uint32_t state, uint32_t key)
{
    const uint32_t slot = (uint32_t)below(rig, SLOTS);
    const int64_t time_ms = slot_time(state, slot);
    sabot_error error = {.text = ""};

    if (below(rig, 100) == 0) {
        fire_all(rig);
        check_next_timer(rig, SB_TIME_EVENT);
        check_next_timer(rig, SB_TIME_PROCESSING);
    } else if (below(rig, 3) == 0) {
        expect_ok(sb_timer_delete(rig->store, state, KEY(rig, key), time_ms, &error), &error);
        rig->timers[state][key][slot] = false;
    } else {
        expect_ok(sb_timer_set(rig->store, state, KEY(rig, key), time_ms, &error), &error);
        rig->timers[state][key][slot] = true;
    }
}

/* --- All of it ----------------------------------------------------------------------------------
 */

static void use_state(struct state_rig *rig)
{
    const uint32_t state = (uint32_t)below(rig, STATES);
    const uint32_t key = (uint32_t)below(rig, KEYS);

    switch (specs[state].kind) {
    case SB_STATE_VALUE:
    case SB_STATE_REDUCING:
    case SB_STATE_AGGREGATING:
        if (below(rig, 2) == 0)
            check_value(rig, state, key);
        else
            change_value(rig, state, key);
        break;
    case SB_STATE_LIST:
        if (below(rig, 4) == 0)
            check_list(rig, state, key);
        else
            change_list(rig, state, key);
        break;
    case SB_STATE_MAP: use_map(rig, state, key); break;
    case SB_STATE_TIMERS: use_timer(rig, state, key); break;
    }
}

void state_rig_run(struct state_rig *rig, uint32_t operations)
{
    for (uint32_t i = 0; i < operations; i++) {
        if (i % 4 == 0)
            begin(rig);
        use_state(rig);
        assert_int_equal(rig->store->failure, SABOT_OK);
    }
    release_held(rig);
}

void state_rig_check(struct state_rig *rig)
{
    begin(rig);
    for (uint32_t state = 0; state < STATES; state++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            if (specs[state].kind == SB_STATE_LIST)
                check_list(rig, state, key);
            else if (specs[state].kind == SB_STATE_MAP)
                check_map(rig, state, key, (sabot_text){NULL, 0});
            else if (specs[state].kind != SB_STATE_TIMERS)
                check_value(rig, state, key);
        }
    }
    fire_all(rig);
}

/* --- Snapshots ----------------------------------------------------------------------------------
 */

void state_rig_record(struct state_rig *rig,
                      struct sb_store *store,
                      struct tape tapes[SB_SHARD_COUNT])
{
    sabot_error error = {.text = ""};

    release_held(rig);
    /* What has expired by the time of a record isn't gone by the watermark: make them one. */
    rig->event_ms = rig->watermark_ms;
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        const struct sb_byte_sink sink = tape_sink(&tapes[shard]);

        tapes[shard] = (struct tape){.bytes = NULL};
        expect_ok(sb_store_snapshot(store, shard, &sink, &error), &error);
    }
}

struct sb_store *state_rig_store(struct state_rig *rig)
{
    return rig->store;
}

void state_rig_set_timer(struct state_rig *rig, const char *key)
{
    sabot_error error = {.text = ""};

    expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, (sabot_text){key, strlen(key)},
                           sb_hash(key, strlen(key), 77), INT64_C(1) << 40, &error),
              &error);
}

struct sb_env *state_rig_env(struct state_rig *rig)
{
    return rig->env;
}

struct sb_store *state_rig_spare_on(struct state_rig *rig, struct sb_rows *rows)
{
    struct sb_store *store = rig->store;
    struct sb_rows *own = rig->rows;
    struct sb_store *spare;

    rig->rows = rows;
    create_store(rig, false);
    spare = rig->store;
    rig->store = store;
    rig->rows = own;
    return spare;
}

struct sb_store *state_rig_spare(struct state_rig *rig)
{
    return state_rig_spare_on(rig, NULL);
}

struct state_rig *state_rig_copy(const struct state_rig *rig)
{
    struct state_rig *copy = copy_model(rig);

    copy->store = NULL;
    copy->rows = NULL;
    return copy;
}

void state_rig_attach(struct state_rig *copy, struct sb_store *store)
{
    release_held(copy);
    copy->store = store;
}

void state_rig_drop(struct state_rig *copy)
{
    release_held(copy);
    free_model(copy);
    free(copy);
}

void state_rig_take(struct state_rig *rig, struct sb_store *store)
{
    release_held(rig);
    sb_store_destroy(rig->store);
    rig->store = store;
}

static void replay(struct state_rig *rig, struct tape tapes[SB_SHARD_COUNT])
{
    sabot_error error = {.text = ""};

    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        const struct sb_byte_source source = tape_source(&tapes[shard]);

        expect_ok(sb_store_restore(rig->store, &source, &error), &error);
        assert_int_equal(tapes[shard].read, tapes[shard].size);
    }
}

void state_rig_move(struct state_rig *rig, const struct state_backend *backend)
{
    struct tape before[SB_SHARD_COUNT];
    struct tape after[SB_SHARD_COUNT];

    state_rig_record(rig, rig->store, before);
    close_store(rig);
    open_store(rig, backend);
    replay(rig, before);
    state_rig_record(rig, rig->store, after);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        assert_int_equal(before[shard].size, after[shard].size);
        assert_memory_equal(before[shard].bytes, after[shard].bytes, before[shard].size);
        tape_reset(&before[shard]);
        tape_reset(&after[shard]);
    }
}

/* --- The suite ----------------------------------------------------------------------------------
 */

static const struct state_backend *first_backend;
static const struct state_backend *second_backend;

static void a_million_random_operations_agree_with_the_model(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 20260101);

    (void)state;
    for (int i = 0; i < 10; i++) {
        state_rig_run(rig, test_cases(100000));
        state_rig_check(rig);
    }
    assert_true(rig->fired > 1000);
    state_rig_destroy(rig);
}

static void a_snapshot_restores_on_either_backend_and_is_equal_there(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 4711);

    (void)state;
    for (int i = 0; i < 6; i++) {
        state_rig_run(rig, test_cases(20000));
        state_rig_move(rig, i % 2 == 0 ? second_backend : first_backend);
        state_rig_check(rig);
    }
    state_rig_destroy(rig);
}

static void a_million_keys_are_all_found_again(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 1);
    sabot_error error = {.text = ""};

    (void)state;
    for (int64_t i = 0; i < 1000000; i++) {
        const uint64_t hash = sb_hash(&i, sizeof i, 77);
        struct fixed *cell;

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        cell = sb_store_edit(rig->store, VALUE_FIXED, (sabot_text){(const char *)&i, sizeof i},
                             hash, &error);
        assert_non_null(cell);
        assert_int_equal(cell->number, 0);
        cell->number = i + 1;
    }
    for (int64_t i = 0; i < 1000000; i += 17) {
        const uint64_t hash = sb_hash(&i, sizeof i, 77);
        const struct fixed *cell;

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        cell =
            sb_store_read(rig->store, VALUE_FIXED, (sabot_text){(const char *)&i, sizeof i}, hash);
        assert_int_equal(cell->number, i + 1);
    }
    state_rig_destroy(rig);
}

static void values_of_a_megabyte_come_back_whole_in_every_kind(void **state)
{
    enum { SIZE = 1024 * 1024 };
    struct state_rig *rig = state_rig_create(first_backend, 1);
    char *bytes = malloc(SIZE);
    struct sb_cursor cursor;
    sabot_error error = {.text = ""};
    sabot_text value;

    (void)state;
    assert_non_null(bytes);
    for (uint32_t i = 0; i < 5; i++) {
        const sabot_text big = {bytes, SIZE - i};

        memset(bytes, (int)('a' + i), SIZE);
        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        expect_ok(sb_store_put(rig->store, VALUE_BYTES, KEY(rig, i), big, &error), &error);
        expect_ok(sb_list_append(rig->store, LIST_BYTES_TTL, KEY(rig, 0), big, &error), &error);
        expect_ok(sb_map_put(rig->store, MAP_BYTES, KEY(rig, 0), rig->subs[i], big, &error),
                  &error);
    }
    expect_ok(sb_store_scan(rig->store, LIST_BYTES_TTL, KEY(rig, 0), (sabot_text){NULL, 0}, &cursor,
                            &error),
              &error);
    for (uint32_t i = 0; i < 5; i++) {
        memset(bytes, (int)('a' + i), SIZE);
        value = sb_store_get(rig->store, VALUE_BYTES, KEY(rig, i));
        assert_int_equal(value.size, SIZE - i);
        assert_memory_equal(value.data, bytes, value.size);
        value = sb_map_get(rig->store, MAP_BYTES, KEY(rig, 0), rig->subs[i]);
        assert_int_equal(value.size, SIZE - i);
        assert_memory_equal(value.data, bytes, value.size);
        assert_true(sb_store_next(rig->store, &cursor, NULL, &value));
        assert_int_equal(value.size, SIZE - i);
        assert_memory_equal(value.data, bytes, value.size);
    }
    free(bytes);
    state_rig_destroy(rig);
}

static void too_large_keys_and_values_are_refused(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 1);
    const size_t size = SB_STATE_VALUE_MAX + 1;
    char *bytes = calloc(1, size);
    const sabot_text small = {bytes, 10};
    const sabot_text value = {bytes, size};
    const sabot_text key = {bytes, SB_STATE_KEY_MAX + 1};
    const uint64_t hash = sb_hash(bytes, key.size, 77);
    sabot_error error = {.text = ""};

    (void)state;
    assert_non_null(bytes);
    assert_int_equal(sb_store_put(rig->store, VALUE_BYTES, KEY(rig, 0), value, &error),
                     SABOT_ERR_LIMIT);
    assert_non_null(strstr(error.text, "state value-bytes of agent agent: a value of 16777217"));
    assert_int_equal(sb_list_append(rig->store, LIST_BYTES_TTL, KEY(rig, 0), value, &error),
                     SABOT_ERR_LIMIT);
    assert_int_equal(sb_map_put(rig->store, MAP_BYTES, KEY(rig, 0), small, value, &error),
                     SABOT_ERR_LIMIT);
    assert_int_equal(sb_map_put(rig->store, MAP_BYTES, KEY(rig, 0), key, small, &error),
                     SABOT_ERR_LIMIT);
    assert_int_equal(sb_store_put(rig->store, VALUE_BYTES, key, hash, small, &error),
                     SABOT_ERR_LIMIT);
    assert_int_equal(sb_timer_set(rig->store, TIMERS_EVENT, key, hash, 1, &error), SABOT_ERR_LIMIT);
    state_rig_check(rig);
    free(bytes);
    state_rig_destroy(rig);
}

static sabot_status count_timer(void *context,
                                uint32_t state,
                                sabot_text key,
                                uint64_t hash,
                                int64_t time_ms,
                                sabot_error *error)
{
    int64_t *last = context;

    (void)state;
    (void)key;
    (void)hash;
    (void)error;
    assert_true(time_ms >= last[0]);
    last[0] = time_ms;
    last[1]++;
    return SABOT_OK;
}

static void thousands_of_timers_per_key_fire_in_order(void **state)
{
    enum { TIMERS = 100000 };
    struct state_rig *rig = state_rig_create(first_backend, 9);
    int64_t last[2] = {INT64_MIN, 0};
    sabot_error error = {.text = ""};
    sabot_status status;

    (void)state;
    for (uint32_t i = 0; i < TIMERS; i++) {
        const int64_t time_ms = rig->event_ms + (int64_t)(draw(rig) % 100000000);

        if (i % 64 == 0)
            expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, KEY(rig, i % KEYS), time_ms, &error),
                  &error);
    }
    for (int64_t step = 0; step <= 100; step++) {
        sb_store_time(rig->store, rig->event_ms + step * 1000000, 0);
        do
            status = sb_store_fire(rig->store, 1000, count_timer, last, &error);
        while (status == SABOT_AGAIN);
        expect_ok(status, &error);
    }
    /* A few are the same key and time, and so one timer. */
    assert_true(last[1] > TIMERS - 100 && last[1] <= TIMERS);
    assert_true(sb_store_next_timer(rig->store, SB_TIME_EVENT) == INT64_MAX);
    state_rig_destroy(rig);
}

struct noted {
    struct state_rig *rig;
    int64_t times_ms[16];
    int count;
};

static sabot_status note_and_set(void *context,
                                 uint32_t state,
                                 sabot_text key,
                                 uint64_t hash,
                                 int64_t time_ms,
                                 sabot_error *error)
{
    struct noted *noted = context;
    struct state_rig *rig = noted->rig;

    assert_true(noted->count < 16);
    noted->times_ms[noted->count++] = time_ms;
    if (noted->count > 1)
        return SABOT_OK;
    SABOT_TRY(sb_timer_set(rig->store, state, key, hash, time_ms + 1000000, error));
    SABOT_TRY(sb_timer_set(rig->store, state, key, hash, time_ms, error));
    return sb_timer_set(rig->store, state, key, hash, time_ms + 3, error);
}

/* Timers that are set are entered some at once: nobody may see that. */
static void a_timer_that_was_just_set_is_there_for_whoever_looks(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 14);
    const int64_t base_ms = rig->event_ms + 1000;
    const int64_t expected_ms[6] = {0, 0, 2, 3, 6, 8};
    struct noted noted = {.rig = rig};
    sabot_error error = {.text = ""};

    (void)state;
    expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
    for (int64_t i = 5; i-- > 0;)
        for (int twice = 0; twice < 2; twice++)
            expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, KEY(rig, 1), base_ms + 2 * i, &error),
                      &error);
    assert_true(sb_store_next_timer(rig->store, SB_TIME_EVENT) <= base_ms);
    expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, KEY(rig, 1), base_ms - 1, &error), &error);
    expect_ok(sb_timer_delete(rig->store, TIMERS_EVENT, KEY(rig, 1), base_ms - 1, &error), &error);
    expect_ok(sb_timer_delete(rig->store, TIMERS_EVENT, KEY(rig, 1), base_ms + 4, &error), &error);
    sb_store_time(rig->store, base_ms + 1000, 0);
    /* The first one that fires sets three: one that is past, one between the others, one later. */
    expect_ok(sb_store_fire(rig->store, 100, note_and_set, &noted, &error), &error);
    assert_int_equal(noted.count, 6);
    for (int i = 0; i < 6; i++)
        assert_int_equal(noted.times_ms[i] - base_ms, expected_ms[i]);
    assert_true(sb_store_next_timer(rig->store, SB_TIME_EVENT) <= base_ms + 1000000);
    state_rig_destroy(rig);
}

static void timers_that_find_no_memory_are_told_when_they_are_looked_for_and_are_kept(void **state)
{
    int64_t last[2] = {INT64_MIN, 0};
    sabot_error error = {.text = ""};
    struct state_rig *rig;

    (void)state;
    if (first_backend->open != NULL)
        skip(); /* there a timer is entered at once */
    rig = state_rig_create(first_backend, 15);
    sb_os_env_fail_allocation(rig->env, 1);
    for (int64_t i = 0; i < 20; i++)
        expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, (sabot_text){(const char *)&i, sizeof i},
                               sb_hash(&i, sizeof i, 77), rig->event_ms + 1, &error),
                  &error);
    assert_true(sb_store_next_timer(rig->store, SB_TIME_EVENT) == INT64_MIN);
    assert_int_equal(sb_store_fire(rig->store, 100, count_timer, last, &error), SABOT_ERR_MEMORY);
    assert_int_equal(last[1], 0);
    sb_os_env_fail_allocation(rig->env, 0);
    sb_store_time(rig->store, rig->event_ms + 1, 0);
    expect_ok(sb_store_fire(rig->store, 100, count_timer, last, &error), &error);
    assert_int_equal(last[1], 20);
    state_rig_destroy(rig);
}

/* As a session does whose end moves on with each record. */
static void timers_that_are_deleted_take_no_memory(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 10);
    int64_t last[2] = {INT64_MIN, 0};
    sabot_error error = {.text = ""};
    uint64_t after_few = 0;
    sabot_status status;

    (void)state;
    for (int64_t i = 0; i < 400000; i++) {
        const int64_t time_ms = rig->event_ms + 1800000 + i / 10;
        const uint32_t key = (uint32_t)(i % KEYS);

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        if (i >= KEYS)
            expect_ok(sb_timer_delete(rig->store, TIMERS_EVENT, KEY(rig, key),
                                      rig->event_ms + 1800000 + (i - KEYS) / 10, &error),
                      &error);
        expect_ok(sb_timer_set(rig->store, TIMERS_EVENT, KEY(rig, key), time_ms, &error), &error);
        if (i == 40000)
            after_few = sb_account_used(rig->account);
    }
    assert_true(sb_account_used(rig->account) <= after_few + (uint64_t)256 * 1024);
    sb_store_time(rig->store, rig->event_ms + 10000000, 0);
    do
        status = sb_store_fire(rig->store, 1000, count_timer, last, &error);
    while (status == SABOT_AGAIN);
    expect_ok(status, &error);
    assert_int_equal(last[1], KEYS);
    state_rig_destroy(rig);
}

static void the_memory_of_expired_entries_comes_back(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 3);
    const uint64_t before = sb_account_used(rig->account);
    sabot_error error = {.text = ""};
    uint64_t full;

    (void)state;
    for (int64_t i = 0; i < 20000; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        const uint64_t hash = sb_hash(&i, sizeof i, 77);

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        assert_non_null(sb_store_edit(rig->store, VALUE_FIXED_TTL, key, hash, &error));
        expect_ok(sb_list_append(rig->store, LIST_BYTES_TTL, key, hash, key, &error), &error);
        expect_ok(sb_map_put(rig->store, MAP_BYTES_TTL_READ, key, hash, key, key, &error), &error);
    }
    full = sb_account_used(rig->account);
    for (int i = 0; i < 200; i++) {
        sb_store_time(rig->store, rig->event_ms + TTL_MS, 0);
        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
    }
    assert_true(sb_account_used(rig->account) < before + (full - before) / 10);
    state_rig_destroy(rig);
}

/* Rows of one state, as they are now. */
static uint32_t count_rows(struct state_rig *rig, uint32_t state)
{
    static const char operator_id[2];
    sabot_error error = {.text = ""};
    struct sb_rows_walk *walk;
    uint32_t count = 0;
    sabot_text key;
    sabot_text value;

    expect_ok(rig->rows->type->walk(rig->rows, (sabot_text){operator_id, 2},
                                    (sabot_text){operator_id, 2}, &walk, &error),
              &error);
    while (rig->rows->type->next(walk, &key, &value))
        count += (uint8_t)key.data[3] == 0 && (uint8_t)key.data[4] == state;
    expect_ok(rig->rows->type->end(walk, &error), &error);
    return count;
}

static void *take_block(void *context, bool must)
{
    (void)context;
    (void)must;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void drop_block(void *context, void *block, uint32_t size)
{
    (void)context;
    (void)size;
    free(block);
}

void state_begin_image(struct sb_store *store)
{
    const struct sb_image_config config = {.id = 1, .sink = {take_block, drop_block, NULL}};

    sb_store_image_begin(store, &config);
}

sabot_status state_write_rows(struct sb_store *store, sabot_error *error)
{
    sabot_status status;

    state_begin_image(store);
    while (sb_store_image_step(store, 100) != SB_IMAGE_DONE)
        ;
    status = sb_store_image_end(store, error);
    sb_store_thaw(store);
    return status;
}

static void write_all(struct state_rig *rig)
{
    sabot_error error = {.text = ""};

    expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
    expect_ok(state_write_rows(rig->store, &error), &error);
}

static void lists_that_have_expired_leave_no_rows_though_nobody_asks_for_them(void **state)
{
    enum { LISTS = 300 };
    struct state_rig *rig;
    sabot_error error = {.text = ""};

    (void)state;
    if (first_backend->open == NULL)
        skip();
    rig = state_rig_create(first_backend, 31);
    for (int64_t i = 0; i < (int64_t)LISTS * 3; i++) {
        const int64_t number = i % LISTS;
        const sabot_text key = {(const char *)&number, sizeof number};

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        expect_ok(sb_list_append(rig->store, LIST_BYTES_TTL, key, sb_hash(key.data, key.size, 77),
                                 key, &error),
                  &error);
        if (i % LISTS == LISTS - 1)
            write_all(rig); /* so that some have more than one segment in rows */
    }
    assert_true(count_rows(rig, LIST_BYTES_TTL) >= 2 * LISTS);
    sb_store_destroy(rig->store);
    create_store(rig, true); /* with nothing in memory */
    for (int i = 0; i < LISTS + SB_SHARD_COUNT; i++)
        sb_store_time(rig->store, rig->event_ms + TTL_MS, 0);
    write_all(rig);
    assert_int_equal(count_rows(rig, LIST_BYTES_TTL), 0);
    state_rig_destroy(rig);
}

static void without_memory_an_operation_fails_and_nothing_is_lost(void **state)
{
    struct state_rig *rig = state_rig_create(first_backend, 12);
    sabot_error error = {.text = ""};
    uint32_t failed = 0;

    (void)state;
    state_rig_run(rig, 5000);
    for (uint64_t nth = 1; nth <= 40; nth++) {
        const int64_t number = -(int64_t)nth;
        const sabot_text key = {(const char *)&number, sizeof number};
        const uint64_t hash = sb_hash(&number, sizeof number, 77);

        expect_ok(sb_store_begin(rig->store, rig->event_ms, &error), &error);
        sb_os_env_fail_allocation(rig->env, 1 + nth % 3);
        failed += sb_store_edit(rig->store, VALUE_FIXED, key, hash, &error) == NULL;
        failed += sb_store_put(rig->store, VALUE_BYTES, key, hash, key, &error) != SABOT_OK;
        failed +=
            sb_list_append(rig->store, LIST_FIXED, key, hash,
                           (sabot_text){(const char *)&(struct fixed){0}, sizeof(struct fixed)},
                           &error) != SABOT_OK;
        failed += sb_map_put(rig->store, MAP_BYTES, key, hash, key, key, &error) != SABOT_OK;
        failed += sb_timer_set(rig->store, TIMERS_EVENT, key, hash, INT64_MAX - (int64_t)nth,
                               &error) != SABOT_OK;
        sb_os_env_fail_allocation(rig->env, 0);
    }
    assert_true(failed > 10);
    assert_int_equal(error.status, SABOT_ERR_MEMORY);
    for (uint32_t key = 0; key < KEYS; key++) {
        check_list(rig, LIST_FIXED, key);
        check_value(rig, VALUE_FIXED, key);
        check_map(rig, MAP_BYTES, key, (sabot_text){NULL, 0});
    }
    state_rig_destroy(rig);
}

/* What a checkpoint of the database would hold: a new store on the same rows sees the state of the
 * freeze, though the first one has gone on. */
static void rows_hold_the_state_of_the_freeze_while_the_store_goes_on(void **state)
{
    struct state_rig *rig;
    sabot_error error = {.text = ""};

    (void)state;
    if (first_backend->open == NULL)
        skip();
    rig = state_rig_create(first_backend, 815);
    for (int round = 0; round < 6; round++) {
        struct state_rig *frozen;

        state_rig_run(rig, 3000);
        frozen = copy_model(rig);
        state_begin_image(rig->store);
        while (sb_store_image_step(rig->store, 1) != SB_IMAGE_DONE)
            state_rig_run(rig, 3);
        expect_ok(sb_store_image_end(rig->store, &error), &error);
        state_rig_run(rig, 2000);
        create_store(frozen, true);
        state_rig_check(frozen);
        release_held(frozen);
        sb_store_destroy(frozen->store);
        free_model(frozen);
        free(frozen);
        sb_store_thaw(rig->store);
        state_rig_check(rig);
    }
    state_rig_destroy(rig);
}

int state_suite_run(const struct state_backend *first, const struct state_backend *second)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_restores_on_either_backend_and_is_equal_there),
        cmocka_unit_test(values_of_a_megabyte_come_back_whole_in_every_kind),
        cmocka_unit_test(too_large_keys_and_values_are_refused),
        cmocka_unit_test(thousands_of_timers_per_key_fire_in_order),
        cmocka_unit_test(timers_that_are_deleted_take_no_memory),
        cmocka_unit_test(a_timer_that_was_just_set_is_there_for_whoever_looks),
        cmocka_unit_test(timers_that_find_no_memory_are_told_when_they_are_looked_for_and_are_kept),
        cmocka_unit_test(the_memory_of_expired_entries_comes_back),
        cmocka_unit_test(lists_that_have_expired_leave_no_rows_though_nobody_asks_for_them),
        cmocka_unit_test(rows_hold_the_state_of_the_freeze_while_the_store_goes_on),
        cmocka_unit_test(without_memory_an_operation_fails_and_nothing_is_lost),
    };

    first_backend = first;
    second_backend = second;
    return cmocka_run_group_tests_name(first->name, tests, NULL, NULL);
}

int state_suite_run_operations(const struct state_backend *backend)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_random_operations_agree_with_the_model),
    };

    first_backend = backend;
    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL);
}

int state_suite_run_keys(const struct state_backend *backend)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_keys_are_all_found_again),
    };

    first_backend = backend;
    return cmocka_run_group_tests_name(backend->name, tests, NULL, NULL);
}
