/* SPDX-License-Identifier: Apache-2.0 */
/* test_shared_state.c - a state that several agents use: sabot_agent_use().
 *
 *   deposits ----> deposit (has the states) --+------------------> ledger
 *   withdrawals -> withdraw ------------------+                      ^
 *      deposit, withdraw -> echo (memory:) -> audit -----------------+    with `chain`
 *
 * With `chain` the audit gets more than it handles in a round of steps, so that what it has still
 * to do before a barrier piles up: the barrier comes to it long after the others have it.
 *
 * Every call counts itself in a state of each kind and says the count and the sum so far. So the
 * records of a key in the ledger, put in order of their counts, must be one history in which each
 * call saw what the one before wrote, whichever agent that was: no number is missing or there
 * twice, and each sum follows from the one before. A run may be destroyed at any step and go on
 * from its last checkpoint, with other threads and the other backend. */
#include "test.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

#include <sabot/sabot.h>

enum { KEYS = 5, RECORDS = 300, AGENTS = 3, WHO = 4, CALLS_MAX = RECORDS * WHO };

struct entry {
    sabot_text key;
    int64_t who;
    int64_t id;
    int64_t count;
    int64_t sum;
};

static const sabot_field entry_fields[] = {
    SABOT_FIELD(struct entry, key, "key", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, who, "who", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, id, "id", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, sum, "sum", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema entry_schema = SABOT_SCHEMA("entry", 1, struct entry, entry_fields);

struct account {
    int64_t count;
    int64_t sum;
};

static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, sum, "sum", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema account_schema =
    SABOT_SCHEMA("account", 1, struct account, account_fields);

static const char *const state_names[] = {"account", "last", "log", "by_who", "total", "mean"};

struct agent {
    int64_t who;
    struct bank *bank;
    sabot_output *ledger;
    sabot_output *echo; /* NULL: none */
};

struct bank {
    struct agent agents[AGENTS];
    sabot_value *account;
    sabot_blob *last;
    sabot_list *log;
    sabot_map *by_who;
    sabot_reducing *total;
    sabot_aggregating *mean;
    sabot_timer *timer;
    sabot_agent *deposit; /* has the states */
};

/* Of the apps built from now on. */
static struct {
    bool chain;
    sabot_status (*build)(sabot_app *app, struct bank *bank);
} setting;

/* --- The app -------------------------------------------------------------------------------------
 */

static int64_t amount_of(int64_t who, int64_t id)
{
    return who == 0 ? id : who == 1 ? -2 * id : 1000000 * who + id;
}

/* Bytes of any size lie anywhere. */
static int64_t number_in(sabot_bytes bytes)
{
    int64_t number = 0;

    if (bytes.data != NULL)
        memcpy(&number, bytes.data, sizeof number);
    return number;
}

/* How many calls there were by the map, which has an entry for each agent. */
static int64_t count_map(sabot_context *context, const struct bank *bank)
{
    sabot_cursor cursor;
    sabot_bytes value;
    int64_t total = 0;

    sabot_map_scan(context, bank->by_who, sabot_text_of(""), &cursor);
    while (sabot_map_next(context, &cursor, NULL, &value))
        total += number_in(value);
    return total;
}

static sabot_status change_others(sabot_context *context,
                                  const struct bank *bank,
                                  int64_t by,
                                  int64_t amount)
{
    const char who[2] = {(char)('0' + by), '\0'};
    const sabot_bytes before = sabot_map_get(context, bank->by_who, sabot_text_of(who));
    const int64_t mine = number_in(before) + 1;
    const sabot_bytes last = sabot_blob_get(context, bank->last);
    const int64_t count = number_in(last) + 1;

    SABOT_TRY(sabot_map_put(context, bank->by_who, sabot_text_of(who), &mine, sizeof mine));
    SABOT_TRY(sabot_blob_put(context, bank->last, &count, sizeof count));
    SABOT_TRY(sabot_list_append(context, bank->log, &amount, sizeof amount));
    SABOT_TRY(sabot_reducing_add(context, bank->total, &amount));
    return sabot_aggregating_add(context, bank->mean, &amount);
}

/* Do all states tell of the same calls? */
static sabot_status check(sabot_context *context, const struct bank *bank)
{
    const struct account *account = sabot_value_read(context, bank->account);
    const int64_t *total = sabot_reducing_read(context, bank->total);
    const sabot_bytes last = sabot_blob_get(context, bank->last);
    sabot_cursor cursor;
    sabot_bytes element;
    double mean = 0;
    int64_t sum = 0;

    sabot_list_scan(context, bank->log, &cursor);
    while (sabot_list_next(context, &cursor, &element))
        sum += number_in(element);
    if (number_in(last) != account->count)
        return sabot_fail(context, SABOT_ERR_USER, "the blob differs");
    if (sabot_list_count(context, bank->log) != (uint64_t)account->count || sum != account->sum)
        return sabot_fail(context, SABOT_ERR_USER, "the list differs");
    if (count_map(context, bank) != account->count)
        return sabot_fail(context, SABOT_ERR_USER, "the map differs");
    if (total == NULL || *total != account->sum)
        return sabot_fail(context, SABOT_ERR_USER, "the reducing state differs");
    if (!sabot_aggregating_result(context, bank->mean, &mean) ||
        (int64_t)(mean * (double)account->count + (mean < 0 ? -0.5 : 0.5)) != account->sum)
        return sabot_fail(context, SABOT_ERR_USER, "the aggregating state differs");
    return SABOT_OK;
}

static sabot_status post(sabot_context *context, const void *record)
{
    const struct agent *agent = sabot_user(context);
    const struct entry *in = record;
    struct account *account = sabot_value_edit(context, agent->bank->account);
    struct entry out = *in;

    if (account == NULL)
        return sabot_context_status(context);
    out.who = agent->who + in->who; /* 0, 1; of the audit 2 and what came to it */
    account->count++;
    account->sum += amount_of(out.who, in->id);
    SABOT_TRY(change_others(context, agent->bank, out.who, amount_of(out.who, in->id)));
    SABOT_TRY(check(context, agent->bank));
    out.count = account->count;
    out.sum = account->sum;
    if (agent->echo != NULL)
        SABOT_TRY(sabot_emit(context, agent->echo, &out));
    return sabot_emit(context, agent->ledger, &out);
}

static sabot_status on_timer(sabot_context *context, int64_t time_ms)
{
    (void)context;
    (void)time_ms;
    return SABOT_OK;
}

static void declare(sabot_agent *agent, struct bank *bank)
{
    bank->account = sabot_agent_value(agent, "account", &account_schema);
    bank->last = sabot_agent_blob(agent, "last");
    bank->log = sabot_agent_list(agent, "log", NULL);
    bank->by_who = sabot_agent_map(agent, "by_who", NULL);
    bank->total = sabot_agent_reducing_int64(agent, "total", SABOT_SUM);
    bank->mean = sabot_agent_aggregating_int64(agent, "mean", SABOT_MEAN);
    bank->timer = sabot_agent_timer(agent, "timer", SABOT_EVENT_TIME, on_timer);
}

static sabot_agent *add_agent(sabot_app *app,
                              struct bank *bank,
                              int64_t who,
                              const char *name,
                              sabot_channel *in,
                              sabot_channel *ledger)
{
    struct agent *mine = &bank->agents[who];
    sabot_agent *agent = sabot_agent_create(app, name, in, post, mine);

    sabot_agent_key(agent, "key");
    *mine = (struct agent){.who = who, .bank = bank};
    mine->ledger = sabot_agent_output(agent, ledger);
    return agent;
}

static void use_all(sabot_agent *agent, sabot_agent *owner)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        sabot_agent_use(agent, owner, state_names[i]);
}

static sabot_status build(sabot_app *app)
{
    struct bank *bank = sabot_app_memory(app, sizeof *bank);
    sabot_channel *deposits = sabot_channel_open(app, "deposits", NULL, &entry_schema);
    sabot_channel *withdrawals = sabot_channel_open(app, "withdrawals", NULL, &entry_schema);
    sabot_channel *ledger = sabot_channel_open(app, "ledger", NULL, &entry_schema);
    sabot_agent *deposit;
    sabot_agent *withdraw;

    if (bank == NULL)
        return sabot_app_status(app);
    deposit = add_agent(app, bank, 0, "deposit", deposits, ledger);
    bank->deposit = deposit;
    declare(deposit, bank);
    withdraw = add_agent(app, bank, 1, "withdraw", withdrawals, ledger);
    use_all(withdraw, deposit);
    if (setting.chain) {
        sabot_channel *echo = sabot_channel_open(app, "echo", "memory:", &entry_schema);

        bank->agents[0].echo = sabot_agent_output(deposit, echo);
        bank->agents[1].echo = sabot_agent_output(withdraw, echo);
        use_all(add_agent(app, bank, 2, "audit", echo, ledger), deposit);
    }
    return setting.build == NULL ? sabot_app_status(app) : setting.build(app, bank);
}

static const sabot_app_entry bank_app = {"SABOTAPP", SABOT_ABI_VERSION, sizeof(sabot_app_entry),
                                         "bank", build};

/* --- A run ---------------------------------------------------------------------------------------
 */

struct rig {
    char folder[64];
    sabot_config *config;
    sabot_error error;
    uint64_t random;
};

static uint64_t draw(struct rig *rig, uint64_t below)
{
    rig->random = rig->random * 6364136223846793005u + 1442695040888963407u;
    return (rig->random >> 33) % below;
}

static void set(struct rig *rig, const char *name, const char *value)
{
    assert_int_equal(sabot_config_set(rig->config, SABOT_FROM_OPTION, name, value, &rig->error),
                     SABOT_OK);
}

static void bind(struct rig *rig, const char *channel)
{
    char url[160];

    (void)snprintf(url, sizeof url, "file:%s/%s.jsonl", rig->folder, channel);
    assert_int_equal(sabot_config_bind(rig->config, channel, url, &rig->error), SABOT_OK);
}

static void write_input(struct rig *rig, const char *channel)
{
    char path[160];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s.jsonl", rig->folder, channel);
    file = fopen(path, "w");
    assert_non_null(file);
    for (int id = 0; id < RECORDS; id++)
        assert_true(fprintf(file, "{\"key\":\"k%d\",\"id\":%d}\n", id * id % KEYS, id) > 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    *state = rig;
    memset(&setting, 0, sizeof setting);
    if (rig == NULL)
        return -1;
    if (!test_folder(rig->folder, sizeof rig->folder, "shared"))
        return -1;
    rig->config = sabot_config_create(NULL);
    if (rig->config == NULL)
        return -1;
    write_input(rig, "deposits");
    write_input(rig, "withdrawals");
    bind(rig, "deposits");
    bind(rig, "withdrawals");
    bind(rig, "ledger");
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    sabot_config_destroy(rig->config);
    if (nftw(rig->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        return -1;
    free(rig);
    return 0;
}

static sabot_run *make(struct rig *rig)
{
    sabot_run *run;

    if (sabot_run_create(&bank_app, rig->config, &run, &rig->error) != SABOT_OK)
        fail_msg("%s", rig->error.text);
    return run;
}

/* --- The ledger ----------------------------------------------------------------------------------
 */

struct call {
    int who;
    int64_t id;
    int64_t sum;
};

static struct call histories[KEYS][CALLS_MAX + 1]; /* by key and count */
static uint32_t lengths[KEYS];

static int64_t number_of(const char *line, const char *name)
{
    const char *at = strstr(line, name);

    assert_non_null(at);
    return strtoll(at + strlen(name), NULL, 10);
}

static void read_ledger(const struct rig *rig)
{
    char path[160];
    char line[256];
    FILE *file;

    memset(histories, 0, sizeof histories);
    memset(lengths, 0, sizeof lengths);
    (void)snprintf(path, sizeof path, "%s/ledger.jsonl", rig->folder);
    file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const int64_t key = number_of(line, "{\"key\":\"k");
        const int64_t count = number_of(line, "\"count\":");
        const struct call call = {
            .who = (int)number_of(line, "\"who\":"),
            .id = number_of(line, "\"id\":") + 1,
            .sum = number_of(line, "\"sum\":"),
        };

        assert_in_range(key, 0, KEYS - 1);
        assert_in_range(count, 1, CALLS_MAX);
        assert_int_equal(histories[key][count].id, 0); /* no count is there twice */
        histories[key][count] = call;
        lengths[key]++;
    }
    assert_int_equal(fclose(file), 0);
}

/* One history for each key, with all records of all agents in the order of their channels. */
static void check_ledger(const struct rig *rig)
{
    const int agents = setting.chain ? 4 : 2;
    uint32_t total = 0;

    read_ledger(rig);
    for (int key = 0; key < KEYS; key++) {
        int64_t last[WHO] = {0};
        int64_t sum = 0;

        for (uint32_t count = 1; count <= lengths[key]; count++) {
            const struct call *call = &histories[key][count];

            assert_true(call->id > last[call->who]); /* also: no count is missing */
            last[call->who] = call->id;
            sum += amount_of(call->who, call->id - 1);
            assert_int_equal(call->sum, sum);
        }
        total += lengths[key];
    }
    assert_int_equal(total, (uint32_t)(RECORDS * agents));
}

static void choose(struct rig *rig)
{
    static const char *const threads[] = {"1", "2", "4"};

    set(rig, "threads", threads[draw(rig, 3)]);
    set(rig, "state", draw(rig, 2) == 0 ? "memory" : "rocksdb");
    set(rig, "batch.rows", draw(rig, 2) == 0 ? "3" : "50");
}

/* --- Tests ---------------------------------------------------------------------------------------
 */

static void each_agent_sees_what_the_others_wrote(void **state)
{
    struct rig *rig = *state;

    for (int i = 0; i < 12; i++) {
        setting.chain = i % 2 == 0;
        set(rig, "threads", i % 3 == 0 ? "1" : i % 3 == 1 ? "2" : "4");
        set(rig, "state", i < 6 ? "memory" : "rocksdb");
        set(rig, "batch.rows", i % 4 < 2 ? "5" : "1024");
        if (sabot_app_run(&bank_app, rig->config, &rig->error) != SABOT_OK)
            fail_msg("%s", rig->error.text);
        check_ledger(rig);
    }
}

static void runs_destroyed_at_any_step_are_one_history(void **state)
{
    struct rig *rig = *state;
    const char *given = getenv("SABOT_SEED");
    const char *longer = getenv("SABOT_LONG");
    const uint64_t first = given == NULL ? 1 : strtoull(given, NULL, 10);
    const uint64_t seeds = given != NULL ? 1 : longer != NULL ? 200 : 4;

    set(rig, "checkpoint.interval_ms", "1");
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        char path[128];
        sabot_status status = SABOT_AGAIN;

        print_message("seed %llu\n", (unsigned long long)seed);
        rig->random = seed;
        (void)snprintf(path, sizeof path, "%s/state%d", rig->folder, (int)seed);
        set(rig, "state.dir", path);
        setting.chain = draw(rig, 2) == 0;
        for (int runs = 0; status == SABOT_AGAIN && runs < 12; runs++) {
            const uint64_t steps = runs < 11 ? 20 + draw(rig, 300) : UINT64_MAX;
            sabot_run *run;

            choose(rig);
            run = make(rig);
            for (uint64_t i = 0; status == SABOT_AGAIN && i < steps; i++)
                status = sabot_run_step(run, NULL, &rig->error);
            sabot_run_destroy(run);
        }
        if (status != SABOT_END)
            fail_msg("seed %llu: %s", (unsigned long long)seed, rig->error.text);
        check_ledger(rig);
    }
}

/* --- What is refused -----------------------------------------------------------------------------
 */

static void expect_refused(struct rig *rig, const char *const *parts)
{
    sabot_run *run;

    assert_int_not_equal(sabot_run_create(&bank_app, rig->config, &run, &rig->error), SABOT_OK);
    for (; *parts != NULL; parts++) {
        if (strstr(rig->error.text, *parts) == NULL)
            fail_msg("\"%s\" is not in: %s", *parts, rig->error.text);
    }
}

static sabot_agent *stranger(sabot_app *app, const char *key)
{
    sabot_channel *in = sabot_channel_open(app, "more", "memory:", &entry_schema);
    sabot_agent *agent = sabot_agent_create(app, "stranger", in, post, NULL);

    if (key != NULL)
        sabot_agent_key(agent, key);
    return agent;
}

static sabot_status other_key_type(sabot_app *app, struct bank *bank)
{
    sabot_agent_use(stranger(app, "id"), bank->deposit, "account");
    return sabot_app_status(app);
}

static sabot_status no_key(sabot_app *app, struct bank *bank)
{
    sabot_agent_use(stranger(app, NULL), bank->deposit, "account");
    return sabot_app_status(app);
}

static sabot_status unknown_state(sabot_app *app, struct bank *bank)
{
    sabot_agent_use(stranger(app, "key"), bank->deposit, "acount");
    return sabot_app_status(app);
}

static sabot_status a_timer(sabot_app *app, struct bank *bank)
{
    sabot_agent_use(stranger(app, "key"), bank->deposit, "timer");
    return sabot_app_status(app);
}

static sabot_status its_own(sabot_app *app, struct bank *bank)
{
    sabot_agent_use(bank->deposit, bank->deposit, "account");
    return sabot_app_status(app);
}

static sabot_status of_nobody(sabot_app *app, struct bank *bank)
{
    (void)bank;
    sabot_agent_use(stranger(app, "key"), NULL, "account");
    return sabot_app_status(app);
}

static void wrong_uses_are_refused_when_the_app_is_built(void **state)
{
    static const struct {
        sabot_status (*build)(sabot_app *app, struct bank *bank);
        const char *parts[6];
    } cases[] = {
        {other_key_type,
         {"agent stranger", "agent deposit", "state account", "id (int64)", "key (utf8)"}},
        {no_key, {"stranger is keyed without a key", "deposit by key (utf8)"}},
        {unknown_state, {"stranger", "state acount of agent deposit", "not declared"}},
        {a_timer, {"timer timer of agent deposit", "timers are not shared"}},
        {its_own, {"agent deposit: state account", "not one of another agent"}},
        {of_nobody, {"agent stranger: state account", "not one of another agent"}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setting.build = cases[i].build;
        expect_refused(*state, cases[i].parts);
    }
}

/* --- What is said --------------------------------------------------------------------------------
 */

static void a_run_says_who_uses_what(void **state)
{
    struct rig *rig = *state;
    sabot_run *run = make(rig);
    const char *line;
    bool said = false;

    assert_int_equal(sabot_run_start(run, &rig->error), SABOT_OK);
    assert_int_equal(sabot_run_wait(run, -1, &rig->error), SABOT_END);
    for (size_t i = 0; sabot_run_describe(run, i, &line); i++) {
        if (i == 0)
            assert_non_null(strstr(line, "1 pipeline,"));
        said = said || strstr(line, "withdraw on withdrawals, by key, uses account of deposit, "
                                    "last of deposit") != NULL;
    }
    assert_true(said);
    sabot_run_destroy(run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_agent_sees_what_the_others_wrote),
        TEST(runs_destroyed_at_any_step_are_one_history),
        TEST(wrong_uses_are_refused_when_the_app_is_built),
        TEST(a_run_says_who_uses_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
