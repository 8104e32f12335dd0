/* SPDX-License-Identifier: Apache-2.0 */
/* ledger_windows.c - windows of legs: what each firing may say, and what the last one must have.
 *
 * When a window fires hangs on the order in which things come, what is in it does not. So a firing
 * is checked against the one before (the next number, not less than it told, on time once), and at
 * the end the last one of each window must tell all its legs, but for those that came too late:
 * each of them is in a topic of its own, once.
 *
 * Only of tumbling windows may a leg be late, where it is in its window or is not; the others wait
 * for ever. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ledger_model.h"

#define FOR_EVER_MS (4 * FAR_AHEAD_MS)

enum { SIZE_MIN_MS = 200, SIZE_MS = 1800, GAP_MS = 150, LATENESS_MS = 200 };

static const char *const parts[WINDOWS_OF] = {[WINDOWS_BOOK] = "book", [WINDOWS_STREAM] = "stream"};

static const char *const totals[WINDOWS_OF] =
    {[WINDOWS_BOOK] = "book-totals", [WINDOWS_STREAM] = "stream-totals"};
static const char *const lates[WINDOWS_OF] =
    {[WINDOWS_BOOK] = "book-late", [WINDOWS_STREAM] = "stream-late"};

/* --- Making ------------------------------------------------------------------------------------
 */

static void draw_windows(struct windows *windows, struct sb_draw *draw)
{
    static const sabot_window_kind kinds[] = {SABOT_TUMBLING, SABOT_TUMBLING, SABOT_SLIDING,
                                              SABOT_SESSION};

    *windows = (struct windows){.kind = kinds[sb_draw_below(draw, 4)], .lateness_ms = FOR_EVER_MS};
    windows->slide_ms = SIZE_MIN_MS / 4 + sb_draw_below(draw, SIZE_MS / 4);
    windows->size_ms = windows->slide_ms * (1 + sb_draw_below(draw, 4));
    if (windows->kind == SABOT_SESSION)
        windows->size_ms = 1 + sb_draw_below(draw, GAP_MS);
    else if (windows->kind == SABOT_TUMBLING && sb_draw_one_in(draw, 2))
        windows->lateness_ms = sb_draw_below(draw, LATENESS_MS);
}

sabot_status ledger_windows_open(struct ledger *ledger,
                                 struct sb_sim *sim,
                                 enum windows_of which,
                                 sabot_error *error)
{
    static const char *const names[] = {"kind", "size", "slide", "lateness"};
    struct windows *windows = &ledger->windows[which];
    struct sb_draw *draw = sb_sim_draw(sim);
    char name[64];

    draw_windows(windows, draw);
    for (int i = 0; i < 4; i++) {
        const int64_t values[] = {windows->kind, windows->size_ms, windows->slide_ms,
                                  windows->lateness_ms};

        (void)snprintf(name, sizeof name, "ledger.%s_%s", parts[which], names[i]);
        SABOT_TRY(ledger_set(ledger, name, values[i], error));
    }
    SABOT_TRY(
        ledger_topic(ledger, sim, totals[which], 1 + (int32_t)sb_draw_below(draw, 2), NULL, error));
    return ledger_topic(ledger, sim, lates[which], 1, NULL, error);
}

/* --- One firing --------------------------------------------------------------------------------
 */

static struct window *find_window(struct windows *windows,
                                  uint32_t account,
                                  int64_t start_ms,
                                  int64_t end_ms)
{
    const uint64_t hash = sb_draw_mix((uint64_t)start_ms ^ sb_draw_mix((uint64_t)end_ms + account));
    uint32_t at = (uint32_t)hash % WINDOWS_MAX;

    for (uint32_t i = 0; i < WINDOWS_MAX; i++, at = (at + 1) % WINDOWS_MAX) {
        struct window *window = &windows->all[at];

        if (!window->is_used || (window->account == account && window->start_ms == start_ms &&
                                 window->end_ms == end_ms))
            return window;
    }
    return NULL;
}

/* May there be such a window? */
static bool fits(const struct windows *windows, int64_t start_ms, int64_t end_ms)
{
    if (windows->kind == SABOT_SESSION)
        return end_ms - start_ms >= windows->size_ms && start_ms % STEP_MS == 0 &&
               (end_ms - windows->size_ms) % STEP_MS == 0;
    return end_ms - start_ms == windows->size_ms &&
           start_ms % (windows->kind == SABOT_SLIDING ? windows->slide_ms : windows->size_ms) == 0;
}

static sabot_status check_firing(const struct windows *windows,
                                 const struct window *window,
                                 const struct window *now,
                                 bool is_on_time,
                                 const struct sb_record *record,
                                 sabot_error *error)
{
    const bool is_session = windows->kind == SABOT_SESSION;

    if (!fits(windows, now->start_ms, now->end_ms))
        return ledger_raise(record, "there is no such window", error);
    if (is_session ? now->number <= window->number : now->number != window->number + 1)
        return sabot_raise(error, SABOT_ERR_STATE,
                           "%.*s: firing %" PRId64 " of this window came last",
                           (int)record->value.size, record->value.data, window->number);
    if (is_on_time && window->on_time && !is_session)
        return ledger_raise(record, "the window was on time before", error);
    if (now->count < 1 || now->count < window->count)
        return sabot_raise(error, SABOT_ERR_STATE, "%.*s: the window had %" PRId64 " before",
                           (int)record->value.size, record->value.data, window->count);
    return SABOT_OK;
}

static sabot_status see_total(struct ledger *ledger,
                              struct windows *windows,
                              const struct sb_record *record,
                              sabot_error *error)
{
    static const char on_time[] = "\"window_firing\":\"on_time\"";
    const sabot_text value = record->value;
    const bool is_on_time = memmem(value.data, value.size, on_time, sizeof on_time - 1) != NULL;
    struct window now = {.is_used = true};
    struct window *window;

    if (!ledger_number(value, "\"window_start\":", &now.start_ms) ||
        !ledger_number(value, "\"window_end\":", &now.end_ms) ||
        !ledger_number(value, "\"window_number\":", &now.number) ||
        !ledger_number(value, "\"count\":", &now.count) ||
        !ledger_number(value, "\"sum\":", &now.sum) || !ledger_account(ledger, value, &now.account))
        return ledger_raise(record, "no result of a window", error);
    window = find_window(windows, now.account, now.start_ms, now.end_ms);
    if (window == NULL)
        return ledger_raise(record, "there can't be so many windows", error);
    SABOT_TRY(check_firing(windows, window, &now, is_on_time, record, error));
    now.on_time = window->on_time || is_on_time;
    windows->count += !window->is_used;
    *window = now;
    return SABOT_OK;
}

static sabot_status see_late(struct ledger *ledger,
                             enum windows_of which,
                             const struct sb_record *record,
                             sabot_error *error)
{
    struct transfer *transfer;
    bool gives;

    SABOT_TRY(ledger_leg(ledger, record, &transfer, &gives, error));
    if (ledger->windows[which].lateness_ms == FOR_EVER_MS)
        return ledger_raise(record, "nothing can be late here", error);
    if (ledger_marks(ledger, transfer)->late[which][gives])
        return ledger_raise(record, "it was late before", error);
    ledger_marks(ledger, transfer)->late[which][gives] = true;
    return SABOT_OK;
}

sabot_status ledger_windows_see(struct ledger *ledger,
                                const char *topic,
                                const struct sb_record *record,
                                sabot_error *error)
{
    for (int i = 0; i < WINDOWS_OF; i++) {
        if (strcmp(topic, totals[i]) == 0)
            return see_total(ledger, &ledger->windows[i], record, error);
        if (strcmp(topic, lates[i]) == 0)
            return see_late(ledger, (enum windows_of)i, record, error);
    }
    return SABOT_AGAIN;
}

void ledger_windows_begin(struct ledger *ledger)
{
    for (int i = 0; i < WINDOWS_OF; i++) {
        memset(ledger->windows[i].all, 0, sizeof ledger->windows[i].all);
        ledger->windows[i].count = 0;
    }
}

/* --- At the end --------------------------------------------------------------------------------
 */

struct expected {
    int64_t start_ms, end_ms, count, sum;
};

static sabot_status check_window(struct ledger *ledger,
                                 enum windows_of which,
                                 uint32_t account,
                                 const struct expected *expected,
                                 sabot_error *error)
{
    struct windows *windows = &ledger->windows[which];
    const struct window *window =
        find_window(windows, account, expected->start_ms, expected->end_ms);

    if (window != NULL && window->is_used && window->count == expected->count &&
        window->sum == expected->sum)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_STATE,
                       "%s: window %" PRId64 "..%" PRId64 " of account a%" PRIu32 " has %" PRId64
                       " legs of %" PRId64 ", and its last firing told %" PRId64 " of %" PRId64,
                       parts[which], expected->start_ms, expected->end_ms, account, expected->count,
                       expected->sum, window == NULL ? 0 : window->count,
                       window == NULL ? 0 : window->sum);
}

/* The legs of an account in some windows, one after the other by time. */
static const struct transfer *leg_of(struct ledger *ledger,
                                     enum windows_of which,
                                     uint32_t account,
                                     uint32_t id,
                                     int64_t *amount_out)
{
    const struct transfer *transfer = &ledger->transfers[id];
    const bool gives = transfer->to == account;

    if (!ledger_counts(ledger, id) || (!gives && transfer->from != account) ||
        ledger_marks(ledger, transfer)->late[which][gives])
        return NULL;
    *amount_out = gives ? transfer->amount : -transfer->amount;
    return transfer;
}

static sabot_status end_sessions(struct ledger *ledger,
                                 enum windows_of which,
                                 uint32_t account,
                                 sabot_error *error)
{
    const int64_t gap_ms = ledger->windows[which].size_ms;
    struct expected session = {.count = 0};
    int64_t amount;

    for (uint32_t id = 0; id < ledger->ordinary; id++) {
        const struct transfer *leg = leg_of(ledger, which, account, id, &amount);

        if (leg == NULL)
            continue;
        if (session.count > 0 && leg->time_ms >= session.end_ms) {
            SABOT_TRY(check_window(ledger, which, account, &session, error));
            session.count = 0;
        }
        if (session.count == 0)
            session = (struct expected){.start_ms = leg->time_ms};
        session.end_ms = leg->time_ms + gap_ms;
        session.count++;
        session.sum += amount;
    }
    return session.count == 0 ? SABOT_OK : check_window(ledger, which, account, &session, error);
}

static sabot_status end_spans(struct ledger *ledger,
                              enum windows_of which,
                              uint32_t account,
                              sabot_error *error)
{
    const struct windows *windows = &ledger->windows[which];
    const int64_t slide_ms = windows->kind == SABOT_SLIDING ? windows->slide_ms : windows->size_ms;
    const int64_t last_ms = (int64_t)ledger->ordinary * STEP_MS;
    const int64_t overlaps = windows->size_ms / slide_ms;
    int64_t amount;

    for (int64_t start_ms = -overlaps * slide_ms; start_ms < last_ms; start_ms += slide_ms) {
        struct expected span = {.start_ms = start_ms, .end_ms = start_ms + windows->size_ms};

        for (int64_t id = start_ms < 0 ? 0 : (start_ms + STEP_MS - 1) / STEP_MS;
             id * STEP_MS < span.end_ms && id < (int64_t)ledger->ordinary; id++) {
            if (leg_of(ledger, which, account, (uint32_t)id, &amount) == NULL)
                continue;
            span.count++;
            span.sum += amount;
        }
        if (span.count > 0)
            SABOT_TRY(check_window(ledger, which, account, &span, error));
    }
    return SABOT_OK;
}

sabot_status ledger_windows_end(struct ledger *ledger, sabot_error *error)
{
    for (int which = 0; which < WINDOWS_OF; which++) {
        const sabot_window_kind kind = ledger->windows[which].kind;

        for (uint32_t account = 0; kind != 0 && account < ledger->account_count; account++) {
            if (kind == SABOT_SESSION)
                SABOT_TRY(end_sessions(ledger, (enum windows_of)which, account, error));
            else
                SABOT_TRY(end_spans(ledger, (enum windows_of)which, account, error));
        }
    }
    return SABOT_OK;
}
