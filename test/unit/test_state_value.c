/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_value.c - value state in memory: cells in place, and pointers that stay good. */
#include "test.h"

#include "state/store.h"

struct account {
    int64_t count;
    double sum;
    char city[16];
};

static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, count, "count", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, sum, "sum", SABOT_FLOAT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, city, "city", SABOT_CHARS, SABOT_OPTIONAL),
};
static const sabot_schema account_table =
    SABOT_SCHEMA("account", 1, struct account, account_fields);

enum { ACCOUNT, BYTES };

struct fixture {
    struct sb_env *env;
    struct sb_schema *schema;
    struct sb_account *account;
    struct sb_store *store;
};

static void open_store(struct fixture *fixture, uint64_t limit)
{
    const struct sb_state_spec states[] = {
        {.name = "account", .kind = SB_STATE_VALUE, .schema = fixture->schema},
        {.name = "bytes", .kind = SB_STATE_VALUE},
    };
    struct sb_store_config config = {
        .env = fixture->env, .owner = "score", .states = states, .state_count = 2};

    assert_int_equal(sb_account_create(fixture->env, limit, &fixture->account, NULL), SABOT_OK);
    config.account = fixture->account;
    assert_int_equal(sb_store_create(&config, &fixture->store, NULL), SABOT_OK);
}

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_schema_create(fixture->env, &account_table, SB_SCHEMA_STATE, &fixture->schema, NULL) !=
        SABOT_OK)
        return -1;
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_store_destroy(fixture->store);
    sb_account_destroy(fixture->account);
    sb_schema_destroy(fixture->schema);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static struct account *edit(struct fixture *fixture, const char *key)
{
    const sabot_text text = sabot_text_of(key);
    struct account *account =
        sb_store_edit(fixture->store, ACCOUNT, text, sb_hash(text.data, text.size, 0), NULL);

    assert_non_null(account);
    return account;
}

static const struct account *read_account(struct fixture *fixture, const char *key)
{
    const sabot_text text = sabot_text_of(key);

    return sb_store_read(fixture->store, ACCOUNT, text, sb_hash(text.data, text.size, 0));
}

static void a_key_without_a_cell_reads_as_zeros(void **state)
{
    static const struct account zeros;
    struct fixture *fixture = *state;

    open_store(fixture, 0);
    assert_memory_equal(read_account(fixture, "a"), &zeros, sizeof zeros);
    edit(fixture, "a")->count = 1;
    assert_memory_equal(read_account(fixture, "b"), &zeros, sizeof zeros);
    assert_int_equal(read_account(fixture, "a")->count, 1);
}

static void a_cell_stays_where_it_is_while_a_million_others_are_made(void **state)
{
    struct fixture *fixture = *state;
    struct account *first;

    open_store(fixture, 0);
    first = edit(fixture, "first");
    first->count = 7;
    for (int64_t i = 0; i < 1000000; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        struct account *account =
            sb_store_edit(fixture->store, ACCOUNT, key, sb_hash(&i, sizeof i, 0), NULL);

        assert_non_null(account);
        assert_int_equal(account->count, 0);
        account->count = i + 1;
    }
    for (int64_t i = 0; i < 1000000; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};
        const struct account *account =
            sb_store_read(fixture->store, ACCOUNT, key, sb_hash(&i, sizeof i, 0));

        assert_int_equal(account->count, i + 1);
    }
    assert_ptr_equal(edit(fixture, "first"), first);
    assert_int_equal(first->count, 7);
}

static void what_was_cleared_stays_readable_until_the_next_callback(void **state)
{
    struct fixture *fixture = *state;
    const sabot_text key = sabot_text_of("k");
    const uint64_t hash = sb_hash("k", 1, 0);
    sabot_text before;

    open_store(fixture, 0);
    assert_int_equal(sb_store_put(fixture->store, BYTES, key, hash, sabot_text_of("one"), NULL),
                     SABOT_OK);
    before = sb_store_get(fixture->store, BYTES, key, hash);
    assert_int_equal(sb_store_put(fixture->store, BYTES, key, hash, sabot_text_of("two"), NULL),
                     SABOT_OK);
    assert_memory_equal(before.data, "one", 3);
    assert_memory_equal(sb_store_get(fixture->store, BYTES, key, hash).data, "two", 3);
    assert_int_equal(sb_store_clear(fixture->store, BYTES, key, hash, NULL), SABOT_OK);
    assert_memory_equal(before.data, "one", 3);
    assert_null(sb_store_get(fixture->store, BYTES, key, hash).data);
    assert_int_equal(sb_store_begin(fixture->store, 0, NULL), SABOT_OK);
}

static void at_the_limit_the_error_says_which_state_holds_what(void **state)
{
    struct fixture *fixture = *state;
    sabot_error error = {.status = SABOT_OK};

    open_store(fixture, 4ULL * 1024 * 1024);
    for (int64_t i = 0; error.status == SABOT_OK; i++) {
        const sabot_text key = {(const char *)&i, sizeof i};

        assert_true(i < 1000000);
        (void)sb_store_edit(fixture->store, ACCOUNT, key, sb_hash(&i, sizeof i, 0), &error);
    }
    assert_int_equal(error.status, SABOT_ERR_MEMORY);
    assert_non_null(strstr(error.text, "memory=4194304"));
    assert_non_null(strstr(error.text, "score.account 2."));
    assert_non_null(strstr(error.text, "state=rocksdb"));
    assert_true(sb_account_used(fixture->account) <= 4ULL * 1024 * 1024);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_without_a_cell_reads_as_zeros),
        TEST(a_cell_stays_where_it_is_while_a_million_others_are_made),
        TEST(what_was_cleared_stays_readable_until_the_next_callback),
        TEST(at_the_limit_the_error_says_which_state_holds_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
