/* SPDX-License-Identifier: Apache-2.0 */
/* bank.c - makes up the traffic of a bank, some millions of transactions a second.
 *
 * Everything random is drawn by hashing (seed, what it is for, number): no state goes from one
 * record to the next, so a source can go on from any position. What the struct keeps between
 * records is a cache: the frauds of the current block, and the date of the current day.
 *
 * In each block of 1024 records, of one account each:
 *
 *   VELOCITY        4 records, every third one, the first at 0 .. 127
 *   GEO_IMPOSSIBLE  2 records, 200 apart, the first at 256 .. 383
 *   AMOUNT_ANOMALY  1 record at 768 .. 895
 *
 * Integers only, but for the distances between cities. Threads and memory: bank.h. */
#include "bank.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 1024,
    HOUR_MS = 3600000,
    DAY_MS = 86400000,
    LATE_MS = 3000,
    CITIES = 12,
    CITIES_OF_CHILE = 8,
};

enum kind { KIND_VELOCITY, KIND_GEO, KIND_AMOUNT, KIND_NONE };

#define TEXT(literal)                \
    {                                \
        literal, sizeof(literal) - 1 \
    }

struct city {
    sabot_text name;
    double latitude, longitude; /* degrees */
};

/* Chile, from the capital on, then Peru. */
static const struct city cities[CITIES] = {
    {TEXT("Santiago"), -33.4489, -70.6693},    {TEXT("Valparaíso"), -33.0472, -71.6127},
    {TEXT("Concepción"), -36.8201, -73.0444},  {TEXT("La Serena"), -29.9027, -71.2519},
    {TEXT("Antofagasta"), -23.6509, -70.3975}, {TEXT("Temuco"), -38.7359, -72.5904},
    {TEXT("Arica"), -18.4783, -70.3126},       {TEXT("Punta Arenas"), -53.1638, -70.9171},
    {TEXT("Lima"), -12.0464, -77.0428},        {TEXT("Arequipa"), -16.4090, -71.5375},
    {TEXT("Trujillo"), -8.1116, -79.0288},     {TEXT("Cusco"), -13.5320, -71.9675},
};

static const sabot_text types[] = {TEXT("purchase"), TEXT("withdrawal"), TEXT("transfer"),
                                   TEXT("payment"), TEXT("deposit")};
static const sabot_text methods[] = {TEXT("debit_card"), TEXT("credit_card"), TEXT("bank_transfer"),
                                     TEXT("mobile_wallet"), TEXT("cash")};

/* --- Cities ----------------------------------------------------------------------------------- */

static const struct city *find_city(const char *name)
{
    for (int i = 0; i < CITIES; i++) {
        if (strcmp(cities[i].name.data, name) == 0)
            return &cities[i];
    }
    return NULL;
}

double bank_distance_km(const char *one, const char *other)
{
    const double radian = 3.14159265358979323846 / 180;
    const double earth_radius_km = 6371;
    const struct city *from = find_city(one);
    const struct city *to = find_city(other);

    if (from == NULL || to == NULL)
        return 0;
    const double north = sin((to->latitude - from->latitude) * radian / 2);
    const double east = sin((to->longitude - from->longitude) * radian / 2);
    const double haversine =
        north * north + cos(from->latitude * radian) * cos(to->latitude * radian) * east * east;
    return 2 * earth_radius_km * asin(sqrt(haversine));
}

/* --- Chance ----------------------------------------------------------------------------------- */

/* What a number is drawn for; distinct salts make distinct sequences. */
enum salt { SALT_RECORD = 1, SALT_FRAUD = 2, SALT_ACCOUNT = 3 };

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection that leaves no pattern. */
static uint64_t mix(uint64_t bits)
{
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
    return bits ^ bits >> 31;
}

static uint64_t draw(const struct bank *bank, enum salt salt, uint64_t number)
{
    return mix(mix(bank->seed + salt * 0x9e3779b97f4a7c15) ^ number);
}

/* 0 .. count - 1 by 16 bits of a draw, from bit `shift` on. */
static uint64_t choose(uint64_t bits, unsigned int shift, uint64_t count)
{
    return (bits >> shift & 0xffff) * count >> 16;
}

/* --- One transaction -------------------------------------------------------------------------- */

struct holder {
    uint64_t number;
    uint64_t home;  /* its city */
    uint64_t cents; /* its middle amount */
    bool is_chilean;
};

static struct holder holder_of(const struct bank *bank, uint64_t number)
{
    const uint64_t bits = draw(bank, SALT_ACCOUNT, number);
    struct holder holder = {.number = number, .home = choose(bits, 0, CITIES)};

    holder.is_chilean = holder.home < CITIES_OF_CHILE;
    holder.cents = holder.is_chilean ? 500000 + choose(bits, 16, 60000) * 100 /* 5,000 pesos on */
                                     : 2000 + choose(bits, 16, 40000);        /* 20 soles on */
    return holder;
}

static void plan_frauds(struct bank *bank, uint64_t block)
{
    static const struct bank_fraud plans[BANK_FRAUDS] = {
        [KIND_VELOCITY] = {.first = 0, .stride = 3, .count = 4},
        [KIND_GEO] = {.first = 256, .stride = 200, .count = 2},
        [KIND_AMOUNT] = {.first = 768, .stride = 1, .count = 1},
    };

    for (uint64_t kind = 0; kind < BANK_FRAUDS; kind++) {
        const uint64_t bits = draw(bank, SALT_FRAUD, block * BANK_FRAUDS + kind);

        bank->frauds[kind] = plans[kind];
        bank->frauds[kind].first += choose(bits, 0, 128);
        bank->frauds[kind].account = (bits >> 16) % bank->accounts;
    }
    bank->block = block;
}

/* The fraud that a record belongs to, and which of its records it is. */
static enum kind fraud_of(struct bank *bank, uint64_t index, uint64_t *step_out)
{
    const uint64_t offset = index % BLOCK;

    if (index / BLOCK != bank->block)
        plan_frauds(bank, index / BLOCK);
    for (enum kind kind = KIND_VELOCITY; kind < KIND_NONE; kind++) {
        const struct bank_fraud *fraud = &bank->frauds[kind];
        const uint64_t distance = offset - fraud->first;

        if (offset >= fraud->first && distance < fraud->count * fraud->stride &&
            distance % fraud->stride == 0) {
            *step_out = distance / fraud->stride;
            return kind;
        }
    }
    *step_out = 0;
    return KIND_NONE;
}

/* Records follow each other so that an account has one in an hour. */
static int64_t time_of(const struct bank *bank, uint64_t index, uint64_t bits)
{
    const uint64_t step_ms = bank->accounts < HOUR_MS ? HOUR_MS / bank->accounts : 1;

    return bank->start_ms + (int64_t)(index * step_ms + choose(bits, 0, step_ms));
}

struct payment {
    struct holder holder;
    int64_t time_ms;
    uint64_t id, cents, city, type, method;
};

static struct payment payment_of(struct bank *bank, uint64_t index)
{
    const uint64_t bits = draw(bank, SALT_RECORD, index);
    const uint64_t more = mix(bits);
    struct payment payment = {.id = index + 1};
    uint64_t step;
    const enum kind kind = fraud_of(bank, index, &step);

    payment.holder = holder_of(bank, kind == KIND_NONE ? (bits >> 16) % bank->accounts
                                                       : bank->frauds[kind].account);
    payment.time_ms = time_of(bank, index, bits);
    payment.city = payment.holder.home;
    payment.cents = payment.holder.cents * (60 + choose(more, 0, 81)) / 100;
    payment.type = choose(more, 16, sizeof types / sizeof types[0]);
    payment.method = choose(more, 32, sizeof methods / sizeof methods[0]);

    if (kind == KIND_AMOUNT)
        payment.cents *= 12 + choose(bits, 48, 16);
    /* A journey: seldom, and for a fraud the second place at once. */
    if ((kind == KIND_GEO && step > 0) || (kind == KIND_NONE && choose(more, 48, 256) == 0))
        payment.city = (payment.holder.home + 1 + choose(bits, 32, CITIES - 1)) % CITIES;
    if (kind == KIND_NONE && choose(more, 40, 64) == 0)
        payment.time_ms -= (int64_t)choose(bits, 24, LATE_MS);
    /* With few accounts there are minutes between records, too long for a fraud. */
    if (step > 0) {
        const uint64_t first = index - step * bank->frauds[kind].stride;
        const int64_t latest_ms = time_of(bank, first, 0) + (int64_t)step * 10000;

        if (payment.time_ms > latest_ms)
            payment.time_ms = latest_ms;
    }
    if (payment.holder.is_chilean)
        payment.cents -= payment.cents % 100; /* the peso has no cents */
    return payment;
}

/* --- Its line --------------------------------------------------------------------------------- */

static inline char *put_text(char *at, sabot_text text)
{
    memcpy(at, text.data, text.size);
    return at + text.size;
}

static inline char *put(char *at, const char *text)
{
    return put_text(at, (sabot_text){text, strlen(text)});
}

/* Exactly `count` digits. */
static inline char *put_digits(char *at, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + count;
}

static char *put_number(char *at, uint64_t value)
{
    int count = 1;

    for (uint64_t rest = value; rest >= 10; rest /= 10)
        count++;
    return put_digits(at, value, count);
}

/* The date of a day since 1970-01-01, from 2000-03-01 on (H. Hinnant's days from civil, turned
 * round). */
static void write_date(char date[12], int64_t day)
{
    const uint64_t days = (uint64_t)(day - 11017);
    const uint64_t era = days / 146097; /* of 400 years */
    const uint64_t of_era = days % 146097;
    const uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    const uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    const uint64_t month = (5 * of_year + 2) / 153; /* from March */
    char *at = date;

    at = put_digits(at, 2000 + 400 * era + year + (month >= 10), 4);
    at = put(at, "-");
    at = put_digits(at, month < 10 ? month + 3 : month - 9, 2);
    at = put(at, "-");
    at = put_digits(at, of_year - (153 * month + 2) / 5 + 1, 2);
    put(at, "T");
}

static char *put_time(struct bank *bank, char *at, int64_t time_ms)
{
    const int64_t day = time_ms / DAY_MS;
    const uint64_t seconds = (uint64_t)(time_ms % DAY_MS) / 1000;

    if (day != bank->day) {
        write_date(bank->date, day);
        bank->day = day;
    }
    memcpy(at, bank->date, 11);
    at = put_digits(at + 11, seconds / 3600, 2);
    at = put(at, ":");
    at = put_digits(at, seconds / 60 % 60, 2);
    at = put(at, ":");
    at = put_digits(at, seconds % 60, 2);
    return put(at, "Z");
}

void bank_make(struct bank *bank, uint64_t index, struct bank_record *record_out)
{
    const struct payment payment = payment_of(bank, index);
    const struct holder *holder = &payment.holder;
    char *at = bank->line;

    at = put(at, "{\"transaction_id\":");
    at = put_number(at, payment.id);
    at = put(at, ",\"account_number\":\"");
    record_out->account.data = at;
    at = put(at, holder->is_chilean ? "CL-" : "PE-");
    at = put_digits(at, holder->number, 8);
    record_out->account.size = (size_t)(at - record_out->account.data);
    at = put(at, "\",\"user_id\":\"user-");
    at = put_digits(at, holder->number / 2, 7);
    at = put(at, "\",\"transaction_date\":\"");
    at = put_time(bank, at, payment.time_ms);
    at = put(at, "\",\"transaction_amount\":");
    at = put_number(at, payment.cents / 100);
    at = put(at, ".");
    at = put_digits(at, payment.cents % 100, 2);
    at = put(at, holder->is_chilean ? ",\"currency\":\"CLP\"" : ",\"currency\":\"PEN\"");
    at = put(at, ",\"transaction_type\":\"");
    at = put_text(at, types[payment.type]);
    at = put(at, "\",\"branch_city\":\"");
    at = put_text(at, cities[payment.city].name);
    at = put(at, "\",\"payment_method\":\"");
    at = put_text(at, methods[payment.method]);
    at = put(at, payment.city < CITIES_OF_CHILE ? "\",\"country\":\"Chile\""
                                                : "\",\"country\":\"Perú\"");
    at = put(at, ",\"timestamp_ms\":");
    at = put_digits(at, (uint64_t)payment.time_ms, 13);
    at = put(at, "}");
    record_out->value = (sabot_text){bank->line, (size_t)(at - bank->line)};
    record_out->time_ms = payment.time_ms;
}

void bank_init(struct bank *bank, uint64_t seed, uint64_t accounts, int64_t start_ms)
{
    *bank = (struct bank){.seed = seed, .accounts = accounts, .start_ms = start_ms, .day = -1};
    plan_frauds(bank, 0);
}

int64_t bank_due_us(uint64_t index, uint64_t rate)
{
    return (int64_t)(index / rate * 1000000 + index % rate * 1000000 / rate);
}
