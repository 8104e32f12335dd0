/* SPDX-License-Identifier: Apache-2.0 */
/* fraud.c - an app that finds fraud in a stream of bank transactions.
 *
 *   bank-transactions --> score, with the 100 latest transactions of each account --> fraud-alerts
 *
 * VELOCITY        two or more of them happened less than a minute before this one
 * AMOUNT_ANOMALY  this amount is more than 3 standard deviations away from the mean of theirs
 * GEO_IMPOSSIBLE  the last of them was in another city, less than ten minutes away in time
 *
 * A transaction is compared with its account as it was before it (account.h). Both channels are
 * keyed by account number. Without a file or a broker the transactions are made up (source.h).
 * Option fraud.expire_ms: an account without a transaction for so long (event time) is forgotten.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "account.h"
#include "bank.h"
#include "source.h"

enum { VELOCITY_MS = 60000, AMOUNTS_MIN = 5, GEO_MS = 600000, ID_SIZE = 22 };

struct transaction {
    int64_t id, time_ms;
    double amount;
    sabot_text account, user, date, currency, type, city, method, country;
};

static const sabot_field transaction_fields[] = {
    SABOT_FIELD(struct transaction, id, "transaction_id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, account, "account_number", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, user, "user_id", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, date, "transaction_date", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, amount, "transaction_amount", SABOT_FLOAT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, currency, "currency", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, type, "transaction_type", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, city, "branch_city", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transaction, method, "payment_method", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, country, "country", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct transaction, time_ms, "timestamp_ms", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema transaction_schema =
    SABOT_SCHEMA("transaction", 1, struct transaction, transaction_fields);

struct alert {
    sabot_text id, account, type, severity, details, related;
    int64_t transaction, time_ms;
};

static const sabot_field alert_fields[] = {
    SABOT_FIELD(struct alert, id, "alert_id", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, transaction, "transaction_id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, account, "account_number", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, type, "fraud_type", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, severity, "severity", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, details, "details", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, time_ms, "timestamp_ms", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct alert, related, "related_transactions", SABOT_UTF8, SABOT_REQUIRED),
};
static const sabot_schema alert_schema = SABOT_SCHEMA("alert", 1, struct alert, alert_fields);

/* What a rule has found. */
struct finding {
    const char *type, *severity;
    char details[1024];
    char related[ACCOUNT_HISTORY * ID_SIZE]; /* ids of earlier transactions, joined by commas */
};

struct fraud {
    sabot_value *accounts;
    sabot_output *alerts;
};

/* Related are the earlier ones of the minute, in order of arrival. */
static bool velocity(const struct account *past, const struct transaction *now, struct finding *out)
{
    char *end = out->related;
    int32_t count = 0;

    if (account_is_quiet(past, now->time_ms, VELOCITY_MS))
        return false;
    for (int32_t i = 0; i < past->known; i++) {
        const int32_t slot = account_slot(past, i);

        if (time_is_within(now->time_ms, past->times_ms[slot], VELOCITY_MS))
            end += snprintf(end, ID_SIZE, "%s%" PRId64, count++ > 0 ? "," : "", past->ids[slot]);
    }
    if (count < 2)
        return false;
    out->type = "VELOCITY";
    out->severity = "HIGH";
    snprintf(out->details, sizeof out->details, "%d transactions within 60 s", count + 1);
    return true;
}

static bool amount(const struct account *past, const struct transaction *now, struct finding *out)
{
    double mean, deviation, score;

    if (past->known < AMOUNTS_MIN || account_is_usual(past, now->amount))
        return false;
    deviation = account_deviation(past, &mean);
    score = (now->amount - mean) / deviation;
    if (!(deviation > 0 && fabs(score) > 3))
        return false;
    out->type = "AMOUNT_ANOMALY";
    out->severity = score > 4 ? "CRITICAL" : "HIGH";
    out->related[0] = '\0';
    snprintf(out->details, sizeof out->details,
             "%.2f is %.1f deviations %s the mean %.2f of %d transactions", now->amount,
             fabs(score), score < 0 ? "below" : "above", mean, past->known);
    return true;
}

static bool geo(const struct account *past, const struct transaction *now, struct finding *out)
{
    const int64_t now_ms = now->time_ms;
    char city[ACCOUNT_CITY_SIZE];
    int32_t last;
    int64_t last_ms;

    if (past->known == 0 || account_is_quiet(past, now_ms, GEO_MS) ||
        account_is_in(past, now->city))
        return false;
    last = account_slot(past, past->known - 1);
    last_ms = past->times_ms[last];
    if (!time_is_within(now_ms, last_ms, GEO_MS) && !time_is_within(last_ms, now_ms, GEO_MS))
        return false;
    account_city_name(now->city, city);
    out->type = "GEO_IMPOSSIBLE";
    out->severity = "CRITICAL";
    snprintf(out->related, sizeof out->related, "%" PRId64, past->ids[last]);
    snprintf(out->details, sizeof out->details, "%s, then %s: %.0f km apart, %" PRId64 " s apart",
             past->city, city, bank_distance_km(past->city, city),
             (now_ms > last_ms ? now_ms - last_ms : last_ms - now_ms) / 1000);
    return true;
}

static sabot_status report(sabot_context *context,
                           const struct transaction *now,
                           const struct finding *finding)
{
    const struct fraud *fraud = sabot_user(context);
    struct alert alert = {.transaction = now->id, .account = now->account, .time_ms = now->time_ms};
    char id[64];

    snprintf(id, sizeof id, "%" PRId64 "-%s", now->id, finding->type);
    alert.id = sabot_text_of(id);
    alert.type = sabot_text_of(finding->type);
    alert.severity = sabot_text_of(finding->severity);
    alert.details = sabot_text_of(finding->details);
    alert.related = sabot_text_of(finding->related);
    return sabot_emit(context, fraud->alerts, &alert);
}

static sabot_status score(sabot_context *context, const void *record)
{
    const struct fraud *fraud = sabot_user(context);
    const struct transaction *now = record;
    struct account *account = sabot_value_edit(context, fraud->accounts);
    struct finding finding;
    sabot_status status = SABOT_OK;

    if (account == NULL)
        return sabot_context_status(context);
    if (velocity(account, now, &finding))
        status = report(context, now, &finding);
    if (status == SABOT_OK && amount(account, now, &finding))
        status = report(context, now, &finding);
    if (status == SABOT_OK && geo(account, now, &finding))
        status = report(context, now, &finding);
    if (status == SABOT_OK)
        account_remember(account, now->id, now->time_ms, now->amount, now->city);
    return status;
}

static sabot_status build(sabot_app *app)
{
    struct fraud *fraud = sabot_app_memory(app, sizeof *fraud);
    sabot_channel *input = sabot_channel_open(app, "bank-transactions", NULL, &transaction_schema);
    sabot_channel *alerts = sabot_channel_open(app, "fraud-alerts", NULL, &alert_schema);
    sabot_agent *agent = sabot_agent_create(app, "score", input, score, fraud);
    const int64_t expire_ms = sabot_app_option_int64(
        app, "expire_ms", 0, 0, INT64_MAX, "Forget an account idle for so long; 0: never.");

    if (fraud == NULL)
        return sabot_app_status(app);
    sabot_channel_key(input, "account_number");
    sabot_channel_event_time(input, "timestamp_ms");
    source_attach(app, input);
    sabot_channel_key(alerts, "account_number");
    sabot_channel_event_time(alerts, "timestamp_ms");
    sabot_agent_key(agent, "account_number");
    fraud->accounts = sabot_agent_value(agent, "account", &account_schema);
    sabot_agent_ahead(agent, "account", account_ahead);
    fraud->alerts = sabot_agent_output(agent, alerts);
    if (expire_ms > 0)
        sabot_agent_ttl(agent, "account", expire_ms, SABOT_EVENT_TIME, SABOT_ON_WRITE);
    return sabot_app_status(app);
}

SABOT_APP(app, "fraud", build);
