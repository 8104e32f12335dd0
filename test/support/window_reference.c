/* SPDX-License-Identifier: Apache-2.0 */
/* window_reference.c - see the header. Slow and plain on purpose: no panes, no merging of
 * accumulators, no timers; time passes millisecond of interest by millisecond of interest. */
#include "window_reference.h"

#include "test.h"

__extension__ typedef __int128 wide;

/* --- Records and aggregates ----------------------------------------------------------------------
 */

static const sabot_field event_fields[] = {
    SABOT_FIELD(struct window_event, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_event, key, "key", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_event, time_ms, "time", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_event, number, "number", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct window_event, price, "price", SABOT_FLOAT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_event, word, "word", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct window_event, gap_ms, "gap", SABOT_INT64, SABOT_REQUIRED),
};
const sabot_schema window_event_schema =
    SABOT_SCHEMA("event", 1, struct window_event, event_fields);

/* A custom aggregate that depends on all ids and on nothing else: their sum, and how many. */
struct ids {
    int64_t sum;
    int64_t count;
};
static const sabot_field ids_fields[] = {
    SABOT_FIELD(struct ids, sum, "sum", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct ids, count, "count", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema ids_schema = SABOT_SCHEMA("ids", 1, struct ids, ids_fields);

static sabot_status ids_add(void *accumulator, const void *record, void *user)
{
    struct ids *ids = accumulator;

    (void)user;
    ids->sum += ((const struct window_event *)record)->id;
    ids->count++;
    return SABOT_OK;
}

static sabot_status ids_merge(void *accumulator, const void *other, void *user)
{
    struct ids *ids = accumulator;

    (void)user;
    ids->sum += ((const struct ids *)other)->sum;
    ids->count += ((const struct ids *)other)->count;
    return SABOT_OK;
}

static sabot_status ids_result(const void *accumulator, sabot_window_value *value_out, void *user)
{
    const struct ids *ids = accumulator;

    (void)user;
    value_out->int64 = ids->sum * 1000 + ids->count;
    return SABOT_OK;
}

static const sabot_window_custom ids_custom = {
    .schema = &ids_schema,
    .type = SABOT_INT64,
    .add = ids_add,
    .merge = ids_merge,
    .result = ids_result,
};

const sabot_window_aggregate window_aggregates[WINDOW_AGGREGATES] = {
    {.function = SABOT_WINDOW_COUNT, .name = "records"},
    {.function = SABOT_WINDOW_COUNT, .field = "number", .name = "numbers"},
    {.function = SABOT_WINDOW_SUM, .field = "number", .name = "sum"},
    {.function = SABOT_WINDOW_SUM, .field = "price", .name = "total"},
    {.function = SABOT_WINDOW_MIN, .field = "number", .name = "least"},
    {.function = SABOT_WINDOW_MAX, .field = "price", .name = "dearest"},
    {.function = SABOT_WINDOW_MEAN, .field = "number", .name = "mean"},
    {.function = SABOT_WINDOW_VARIANCE, .field = "price", .name = "variance"},
    {.function = SABOT_WINDOW_FIRST, .field = "number", .name = "first"},
    {.function = SABOT_WINDOW_LAST, .field = "word", .name = "last"},
    {.function = SABOT_WINDOW_FIRST, .field = "word", .name = "first_word"},
    {.function = SABOT_WINDOW_COUNT_DISTINCT, .field = "word", .name = "words"},
    {.function = SABOT_WINDOW_COUNT_DISTINCT, .field = "number", .name = "distinct"},
    {.function = SABOT_WINDOW_COLLECT, .field = "number", .name = "all"},
    {.function = SABOT_WINDOW_COLLECT, .field = "word", .name = "all_words"},
    {.function = SABOT_WINDOW_CUSTOM, .name = "ids", .custom = &ids_custom},
};

#define OUTPUT_INT(index, path) \
    SABOT_FIELD(struct window_output, ints[index], path, SABOT_INT64, SABOT_OPTIONAL)
#define OUTPUT_FLOAT(index, path) \
    SABOT_FIELD(struct window_output, floats[index], path, SABOT_FLOAT64, SABOT_OPTIONAL)
#define OUTPUT_TEXT(index, path) \
    SABOT_FIELD(struct window_output, texts[index], path, SABOT_UTF8, SABOT_OPTIONAL)

static const sabot_field output_fields[] = {
    OUTPUT_INT(0, "records"),
    OUTPUT_INT(1, "numbers"),
    OUTPUT_INT(2, "sum"),
    OUTPUT_FLOAT(3, "total"),
    OUTPUT_INT(4, "least"),
    OUTPUT_FLOAT(5, "dearest"),
    OUTPUT_FLOAT(6, "mean"),
    OUTPUT_FLOAT(7, "variance"),
    OUTPUT_INT(8, "first"),
    OUTPUT_TEXT(9, "last"),
    OUTPUT_TEXT(10, "first_word"),
    OUTPUT_INT(11, "words"),
    OUTPUT_INT(12, "distinct"),
    OUTPUT_TEXT(13, "all"),
    OUTPUT_TEXT(14, "all_words"),
    OUTPUT_INT(15, "ids"),
    SABOT_FIELD(struct window_output, key, "key", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_output, start_ms, "window_start", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct window_output, end_ms, "window_end", SABOT_TIMESTAMP, SABOT_REQUIRED),
    SABOT_FIELD(struct window_output, firing, "window_firing", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct window_output, number, "window_number", SABOT_INT64, SABOT_REQUIRED),
};
const sabot_schema window_output_schema =
    SABOT_SCHEMA("result", 1, struct window_output, output_fields);

/* --- Results -------------------------------------------------------------------------------------
 */

struct window_result *window_results_add(struct window_results *results)
{
    struct window_result *result;

    if (results->count == results->capacity) {
        results->capacity = results->capacity == 0 ? 64 : 2 * results->capacity;
        results->items = realloc(results->items, results->capacity * sizeof *results->items);
        assert_non_null(results->items);
    }
    result = &results->items[results->count++];
    memset(result, 0, sizeof *result);
    return result;
}

void window_results_reset(struct window_results *results)
{
    for (size_t i = 0; i < results->count; i++) {
        for (size_t j = 0; j < WINDOW_AGGREGATES; j++)
            free(results->items[i].values[j].text);
    }
    free(results->items);
    *results = (struct window_results){NULL, 0, 0};
}

static int compare_int64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_results(const void *left, const void *right)
{
    const struct window_result *a = left;
    const struct window_result *b = right;
    int order = compare_int64(a->key, b->key);

    order = order != 0 ? order : compare_int64(a->start_ms, b->start_ms);
    order = order != 0 ? order : compare_int64(a->end_ms, b->end_ms);
    return order != 0 ? order : compare_int64(a->number, b->number);
}

void window_results_sort(struct window_results *results)
{
    if (results->count > 0)
        qsort(results->items, results->count, sizeof *results->items, compare_results);
}

static void print_result(const char *who, const struct window_result *result)
{
    print_message("%s: key %lld, [%lld, %lld), firing %d number %lld, at %lld:", who,
                  (long long)result->key, (long long)result->start_ms, (long long)result->end_ms,
                  (int)result->firing, (long long)result->number, (long long)result->event_time_ms);
    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++) {
        const struct window_value *value = &result->values[i];

        if (value->kind == 'i')
            print_message(" %s=%lld", window_aggregates[i].name, (long long)value->int64);
        else if (value->kind == 'f')
            print_message(" %s=%.17g", window_aggregates[i].name, value->float64);
        else if (value->kind == 't')
            print_message(" %s=%s", window_aggregates[i].name, value->text);
    }
    print_message("\n");
}

static bool same_float(double a, double b)
{
    const double larger = (a < 0 ? -a : a) > (b < 0 ? -b : b) ? a : b;
    const double distance = a > b ? a - b : b - a;

    return distance <= 1e-9 * (1 + (larger < 0 ? -larger : larger));
}

static bool same_value(const struct window_value *a, const struct window_value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case 'i': return a->int64 == b->int64;
    case 'f': return same_float(a->float64, b->float64);
    case 't': return strcmp(a->text, b->text) == 0;
    default: return true;
    }
}

static bool same_result(const struct window_result *a, const struct window_result *b)
{
    bool same = compare_results(a, b) == 0 && a->firing == b->firing &&
                a->event_time_ms == b->event_time_ms;

    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++)
        same = same && same_value(&a->values[i], &b->values[i]);
    return same;
}

bool window_results_equal(struct window_results *got, struct window_results *expected)
{
    size_t i = 0;

    window_results_sort(got);
    window_results_sort(expected);
    while (i < got->count && i < expected->count &&
           same_result(&got->items[i], &expected->items[i]))
        i++;
    if (i == got->count && i == expected->count)
        return true;
    print_message("%zu results, %zu expected; the first that differs is number %zu\n", got->count,
                  expected->count, i);
    if (i < got->count)
        print_result("got     ", &got->items[i]);
    if (i < expected->count)
        print_result("expected", &expected->items[i]);
    return false;
}

/* --- Windows -------------------------------------------------------------------------------------
 */

struct entry {
    struct window_event event;
    int64_t arrival;
};

struct window {
    int64_t key;
    sabot_window_bounds bounds;
    struct entry *entries;
    size_t count;
    size_t told; /* by the last firing */
    int64_t firings;
    int64_t newest_ms;
    bool early_set;
    int64_t early_ms;
};

struct window_reference {
    sabot_window_spec spec;
    uint32_t chosen;
    struct window *windows;
    size_t count;
    int64_t watermark_ms;
    int64_t passed_ms;
    bool passed_any;
    int64_t now_ms;
    int64_t arrivals;
    struct window_results results;
    int64_t *late;
    size_t late_count;
};

struct window_reference *window_reference_create(const sabot_window_spec *spec, uint32_t chosen)
{
    struct window_reference *reference = calloc(1, sizeof *reference);

    assert_non_null(reference);
    reference->spec = *spec;
    reference->chosen = chosen;
    reference->watermark_ms = INT64_MIN;
    reference->passed_ms = INT64_MIN;
    return reference;
}

static void remove_window(struct window_reference *reference, size_t index)
{
    free(reference->windows[index].entries);
    memmove(&reference->windows[index], &reference->windows[index + 1],
            (reference->count - index - 1) * sizeof *reference->windows);
    reference->count--;
}

void window_reference_destroy(struct window_reference *reference)
{
    while (reference->count > 0)
        remove_window(reference, reference->count - 1);
    window_results_reset(&reference->results);
    free(reference->windows);
    free(reference->late);
    free(reference);
}

struct window_results *window_reference_results(struct window_reference *reference)
{
    return &reference->results;
}

const int64_t *window_reference_late(const struct window_reference *reference, size_t *count_out)
{
    *count_out = reference->late_count;
    return reference->late;
}

static int64_t cut(wide value)
{
    if (value < INT64_MIN)
        return INT64_MIN;
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* The last millisecond of no window is the first of all times. */
static int64_t cut_end(wide end)
{
    return end <= INT64_MIN + 1 ? INT64_MIN + 2 : cut(end);
}

static wide floor_divide(wide a, wide b)
{
    return a / b - (a % b != 0 && a < 0);
}

static bool has_passed(const struct window_reference *reference, int64_t time_ms)
{
    return reference->passed_any && time_ms <= reference->passed_ms;
}

static int64_t over_ms(const struct window_reference *reference, int64_t end_ms)
{
    const wide over = (wide)end_ms - 1 + reference->spec.allowed_lateness_ms;

    return over >= INT64_MAX ? INT64_MAX - 1 : (int64_t)over;
}

static struct window *find_window(struct window_reference *reference,
                                  int64_t key,
                                  sabot_window_bounds bounds)
{
    for (size_t i = 0; i < reference->count; i++) {
        struct window *window = &reference->windows[i];

        if (window->key == key && window->bounds.start_ms == bounds.start_ms &&
            window->bounds.end_ms == bounds.end_ms)
            return window;
    }
    reference->windows =
        realloc(reference->windows, (reference->count + 1) * sizeof *reference->windows);
    assert_non_null(reference->windows);
    reference->windows[reference->count] =
        (struct window){.key = key, .bounds = bounds, .newest_ms = INT64_MIN};
    return &reference->windows[reference->count++];
}

static void add_entry(struct window *window, const struct entry *entry)
{
    window->entries = realloc(window->entries, (window->count + 1) * sizeof *window->entries);
    assert_non_null(window->entries);
    window->entries[window->count++] = *entry;
    if (entry->event.time_ms > window->newest_ms)
        window->newest_ms = entry->event.time_ms;
}

static void purge(struct window *window)
{
    window->count = 0;
    window->told = 0;
    window->newest_ms = INT64_MIN;
}

/* --- Aggregates ----------------------------------------------------------------------------------
 */

static int by_time(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    const int order = compare_int64(a->event.time_ms, b->event.time_ms);

    return order != 0 ? order : compare_int64(a->arrival, b->arrival);
}

static void set_int(struct window_value *value, int64_t number)
{
    value->kind = 'i';
    value->int64 = number;
}

static void set_float(struct window_value *value, double number)
{
    value->kind = 'f';
    value->float64 = number;
}

static void set_text(struct window_value *value, const char *text, size_t size)
{
    value->kind = 't';
    value->text = malloc(size + 1);
    assert_non_null(value->text);
    memcpy(value->text, text, size);
    value->text[size] = '\0';
}

static void numbers(const struct window *window, struct window_value *values)
{
    wide sum = 0;
    int64_t count = 0;
    int64_t distinct = 0;
    char all[8192] = "";

    for (size_t i = 0; i < window->count; i++) {
        const struct window_event *event = &window->entries[i].event;
        bool seen = false;

        if (!event->has_number)
            continue;
        for (size_t j = 0; j < i; j++)
            seen = seen || (window->entries[j].event.has_number &&
                            window->entries[j].event.number == event->number);
        distinct += !seen;
        sum += event->number;
        if (count == 0)
            set_int(&values[8], event->number);
        if (count == 0 || event->number < values[4].int64)
            set_int(&values[4], event->number);
        assert_true(strlen(all) + 32 < sizeof all);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%lld", count == 0 ? "[" : ",",
                 (long long)event->number);
        count++;
    }
    set_int(&values[1], count);
    set_int(&values[12], distinct);
    if (count == 0)
        return;
    set_int(&values[2], (int64_t)sum);
    set_float(&values[6], (double)sum / (double)count);
    snprintf(all + strlen(all), sizeof all - strlen(all), "]");
    set_text(&values[13], all, strlen(all));
}

static void prices(const struct window *window, struct window_value *values)
{
    double sum = 0;
    double spread = 0;

    for (size_t i = 0; i < window->count; i++) {
        const double price = window->entries[i].event.price;

        sum += price;
        if (i == 0 || price > values[5].float64)
            set_float(&values[5], price);
    }
    set_float(&values[3], sum);
    for (size_t i = 0; i < window->count; i++) {
        const double distance = window->entries[i].event.price - sum / (double)window->count;

        spread += distance * distance;
    }
    set_float(&values[7], spread / (double)window->count);
}

static bool same_word(sabot_text a, sabot_text b)
{
    return a.data != NULL && b.data != NULL && a.size == b.size &&
           memcmp(a.data, b.data, a.size) == 0;
}

static void words(const struct window *window, struct window_value *values)
{
    int64_t distinct = 0;
    char all[8192] = "";

    for (size_t i = 0; i < window->count; i++) {
        const sabot_text word = window->entries[i].event.word;
        bool seen = false;

        if (word.data == NULL)
            continue;
        for (size_t j = 0; j < i; j++)
            seen = seen || same_word(window->entries[j].event.word, word);
        distinct += !seen;
        if (values[10].kind == 0)
            set_text(&values[10], word.data, word.size);
        free(values[9].text);
        set_text(&values[9], word.data, word.size);
        assert_true(strlen(all) + word.size + 8 < sizeof all);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\"%.*s\"",
                 all[0] == '\0' ? "[" : ",", (int)word.size, word.data);
    }
    set_int(&values[11], distinct);
    if (all[0] == '\0')
        return;
    snprintf(all + strlen(all), sizeof all - strlen(all), "]");
    set_text(&values[14], all, strlen(all));
}

static void compute(const struct window_reference *reference,
                    const struct window *window,
                    struct window_value *values)
{
    struct ids ids = {0, 0};

    set_int(&values[0], (int64_t)window->count);
    numbers(window, values);
    prices(window, values);
    words(window, values);
    for (size_t i = 0; i < window->count; i++) {
        ids.sum += window->entries[i].event.id;
        ids.count++;
    }
    set_int(&values[15], ids.sum * 1000 + ids.count);
    for (uint32_t i = 0; i < WINDOW_AGGREGATES; i++) {
        if ((reference->chosen >> i) & 1)
            continue;
        free(values[i].text);
        values[i] = (struct window_value){.kind = 0};
    }
}

/* --- Firing --------------------------------------------------------------------------------------
 */

static sabot_window_view view_of(const struct window_reference *reference,
                                 const struct window *window,
                                 sabot_window_moment moment,
                                 const struct window_event *event)
{
    return (sabot_window_view){
        .moment = moment,
        .bounds = window->bounds,
        .records = (int64_t)window->count,
        .fresh = (int64_t)window->count - (int64_t)window->told,
        .firings = window->firings,
        .watermark_ms = reference->watermark_ms,
        .processing_ms = reference->now_ms,
        .event_time_ms = event == NULL ? window->newest_ms : event->time_ms,
        .record = event,
    };
}

static void evict(const struct window_reference *reference, struct window *window)
{
    const sabot_window_spec *spec = &reference->spec;
    const sabot_window_view view = view_of(reference, window, SABOT_ON_END, NULL);
    const wide oldest = (wide)window->newest_ms - spec->evict_age_ms;
    const size_t all = window->count;

    if (spec->evict_count == 0 && spec->evict_age_ms == 0 && spec->evictor == NULL)
        return;
    window->count = 0;
    window->newest_ms = INT64_MIN;
    for (size_t i = 0; i < all; i++) {
        const struct entry entry = window->entries[i];

        if (spec->evict_count > 0 && (int64_t)(all - i) > spec->evict_count)
            continue;
        if (spec->evict_age_ms > 0 && entry.event.time_ms < oldest)
            continue;
        if (spec->evictor != NULL &&
            !spec->evictor(&view, &entry.event, entry.event.time_ms, spec->user))
            continue;
        window->entries[window->count++] = entry;
        window->newest_ms = entry.event.time_ms;
    }
}

static void fire(struct window_reference *reference, struct window *window, sabot_firing firing)
{
    struct window_result *result;

    if (window->count > 0)
        qsort(window->entries, window->count, sizeof *window->entries, by_time);
    evict(reference, window);
    if (window->count == 0)
        return;
    result = window_results_add(&reference->results);
    result->key = window->key;
    result->start_ms = window->bounds.start_ms;
    result->end_ms = window->bounds.end_ms;
    result->firing = firing;
    result->number = ++window->firings;
    result->event_time_ms =
        reference->spec.kind == SABOT_GLOBAL ? window->newest_ms : window->bounds.end_ms - 1;
    compute(reference, window, result->values);
    window->told = window->count;
    if (reference->spec.discarding)
        purge(window);
}

static void ask(struct window_reference *reference,
                struct window *window,
                sabot_window_moment moment,
                const struct window_event *event,
                sabot_firing firing)
{
    const sabot_window_view view = view_of(reference, window, moment, event);
    const sabot_window_action action = reference->spec.trigger(&view, reference->spec.user);

    if (action == SABOT_FIRE || action == SABOT_FIRE_AND_PURGE)
        fire(reference, window, firing);
    if (action == SABOT_PURGE || action == SABOT_FIRE_AND_PURGE)
        purge(window);
}

static void set_early(struct window_reference *reference,
                      struct window *window,
                      const struct window_event *event)
{
    const sabot_window_spec *spec = &reference->spec;
    wide from = event->time_ms;
    wide next;

    if (spec->early_clock == SABOT_PROCESSING_TIME) {
        if (!window->early_set)
            window->early_ms = cut((wide)reference->now_ms + spec->early_ms);
        window->early_set = true;
        return;
    }
    if (reference->passed_any && reference->passed_ms >= from)
        from = (wide)reference->passed_ms + 1;
    next = (floor_divide(from, spec->early_ms) + 1) * spec->early_ms - 1;
    if (next >= (wide)window->bounds.end_ms - 1 ||
        (window->early_set && window->early_ms <= (int64_t)next))
        return;
    window->early_set = true;
    window->early_ms = (int64_t)next;
}

static void entered(struct window_reference *reference,
                    struct window *window,
                    const struct window_event *event)
{
    const sabot_window_spec *spec = &reference->spec;
    const bool late = has_passed(reference, window->bounds.end_ms - 1);
    const sabot_firing firing = late ? SABOT_LATE : SABOT_EARLY;

    if (spec->early_ms > 0 && !late)
        set_early(reference, window, event);
    if (spec->trigger != NULL)
        ask(reference, window, late ? SABOT_ON_LATE_RECORD : SABOT_ON_RECORD, event, firing);
    else if (late || (spec->early_count > 0 &&
                      (int64_t)(window->count - window->told) >= spec->early_count))
        fire(reference, window, firing);
}

/* --- Records -------------------------------------------------------------------------------------
 */

static uint32_t assign(const struct window_reference *reference,
                       const struct window_event *event,
                       sabot_window_bounds *windows)
{
    const sabot_window_spec *spec = &reference->spec;
    const wide slide = spec->kind == SABOT_SLIDING ? spec->slide_ms : spec->size_ms;
    uint32_t count = 0;
    wide start;

    if (spec->kind == SABOT_GLOBAL) {
        windows[0] = (sabot_window_bounds){INT64_MIN, INT64_MAX};
        return 1;
    }
    if (spec->kind == SABOT_ASSIGNED)
        return spec->assign(event, event->time_ms, windows, spec->user);
    start = floor_divide((wide)event->time_ms - spec->offset_ms, slide) * slide + spec->offset_ms;
    for (; start + spec->size_ms > event->time_ms; start -= slide)
        windows[count++] = (sabot_window_bounds){start <= INT64_MIN ? INT64_MIN + 1 : cut(start),
                                                 cut_end(start + spec->size_ms)};
    return count;
}

static void add_late(struct window_reference *reference, const struct window_event *event)
{
    reference->late =
        realloc(reference->late, (reference->late_count + 1) * sizeof *reference->late);
    assert_non_null(reference->late);
    reference->late[reference->late_count++] = event->id;
}

static void add_to_session(struct window_reference *reference, const struct entry *entry)
{
    const sabot_window_spec *spec = &reference->spec;
    const struct window_event *event = &entry->event;
    const int64_t gap_ms = spec->gap != NULL         ? spec->gap(event, event->time_ms, spec->user)
                           : spec->gap_field != NULL ? event->gap_ms
                                                     : spec->gap_ms;
    const sabot_window_bounds own = {event->time_ms, cut_end((wide)event->time_ms + gap_ms)};
    struct window merged = {.key = event->key, .bounds = own, .newest_ms = INT64_MIN};
    struct window *window;
    bool found = false;

    for (size_t i = 0; i < reference->count;) {
        window = &reference->windows[i];
        if (window->key != event->key || window->bounds.start_ms >= own.end_ms ||
            window->bounds.end_ms <= own.start_ms) {
            i++;
            continue;
        }
        found = true;
        for (size_t j = 0; j < window->count; j++)
            add_entry(&merged, &window->entries[j]);
        merged.told += window->told;
        if (window->firings > merged.firings)
            merged.firings = window->firings;
        if (window->early_set && (!merged.early_set || window->early_ms < merged.early_ms))
            merged.early_ms = window->early_ms;
        merged.early_set = merged.early_set || window->early_set;
        if (window->bounds.start_ms < merged.bounds.start_ms)
            merged.bounds.start_ms = window->bounds.start_ms;
        if (window->bounds.end_ms > merged.bounds.end_ms)
            merged.bounds.end_ms = window->bounds.end_ms;
        remove_window(reference, i);
    }
    if (!found && has_passed(reference, over_ms(reference, own.end_ms))) {
        add_late(reference, event);
        return;
    }
    window = find_window(reference, event->key, merged.bounds);
    *window = merged;
    add_entry(window, entry);
    entered(reference, window, event);
}

void window_reference_record(struct window_reference *reference, const struct window_event *event)
{
    struct entry entry = {*event, reference->arrivals++};
    sabot_window_bounds windows[SABOT_WINDOW_ASSIGN_MAX];
    uint32_t count;
    uint32_t lived = 0;

    /* The two ends of time count as the times beside them. */
    if (event->time_ms == INT64_MIN)
        entry.event.time_ms++;
    if (event->time_ms == INT64_MAX)
        entry.event.time_ms--;
    event = &entry.event;
    if (reference->spec.kind == SABOT_SESSION) {
        add_to_session(reference, &entry);
        return;
    }
    count = assign(reference, event, windows);
    for (uint32_t i = 0; i < count; i++) {
        struct window *window;

        if (has_passed(reference, over_ms(reference, windows[i].end_ms)))
            continue;
        lived++;
        window = find_window(reference, event->key, windows[i]);
        add_entry(window, &entry);
        entered(reference, window, event);
    }
    if (count > 0 && lived == 0)
        add_late(reference, event);
}

/* --- Time ----------------------------------------------------------------------------------------
 */

static void fire_early(struct window_reference *reference, struct window *window)
{
    window->early_set = false;
    if (window->count == window->told)
        return;
    if (reference->spec.trigger != NULL)
        ask(reference, window, SABOT_ON_EARLY_TIME, NULL, SABOT_EARLY);
    else
        fire(reference, window, SABOT_EARLY);
}

/* What is due of a window at exactly this time. True: it is over. */
static bool act(struct window_reference *reference, struct window *window, int64_t time_ms)
{
    const int64_t last_ms = window->bounds.end_ms - 1;

    if (last_ms == time_ms) {
        window->early_set = false;
        if (reference->spec.trigger != NULL)
            ask(reference, window, SABOT_ON_END, NULL, SABOT_ON_TIME);
        else
            fire(reference, window, SABOT_ON_TIME);
    } else if (last_ms > time_ms && window->early_set && window->early_ms == time_ms &&
               reference->spec.early_clock == SABOT_EVENT_TIME) {
        fire_early(reference, window);
    }
    return last_ms <= time_ms && over_ms(reference, window->bounds.end_ms) <= time_ms;
}

/* The first time after `after` (any: if not `bounded`) at which something is due. */
static bool next_due(const struct window_reference *reference,
                     bool bounded,
                     int64_t after,
                     int64_t *due_out)
{
    bool found = false;

    for (size_t i = 0; i < reference->count; i++) {
        const struct window *window = &reference->windows[i];
        const int64_t candidates[] = {
            window->bounds.end_ms - 1,
            over_ms(reference, window->bounds.end_ms),
            window->early_set && reference->spec.early_clock == SABOT_EVENT_TIME
                ? window->early_ms
                : window->bounds.end_ms - 1,
        };

        for (size_t j = 0; j < sizeof candidates / sizeof candidates[0]; j++) {
            if ((bounded && candidates[j] <= after) || (found && candidates[j] >= *due_out))
                continue;
            *due_out = candidates[j];
            found = true;
        }
    }
    return found;
}

void window_reference_watermark(struct window_reference *reference, int64_t watermark_ms)
{
    const bool bounded = reference->passed_any;
    int64_t time_ms = reference->passed_ms;
    int64_t due_ms = 0;

    reference->watermark_ms = watermark_ms;
    if (watermark_ms <= INT64_MIN + 1)
        return;
    reference->passed_ms = watermark_ms == INT64_MAX ? INT64_MAX : watermark_ms - 1;
    reference->passed_any = true;
    for (bool any = bounded; next_due(reference, any, time_ms, &due_ms); any = true) {
        if (due_ms > reference->passed_ms)
            return;
        time_ms = due_ms;
        for (size_t i = 0; i < reference->count;) {
            if (act(reference, &reference->windows[i], time_ms))
                remove_window(reference, i);
            else
                i++;
        }
    }
}

void window_reference_clock(struct window_reference *reference, int64_t now_ms)
{
    reference->now_ms = now_ms;
    if (reference->spec.early_ms == 0 || reference->spec.early_clock != SABOT_PROCESSING_TIME)
        return;
    for (size_t i = 0; i < reference->count; i++) {
        struct window *window = &reference->windows[i];

        if (window->early_set && window->early_ms <= now_ms)
            fire_early(reference, window);
    }
}
