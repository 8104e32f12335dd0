/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_wheel.c - the queue of times against a plain list: order, nothing lost, nothing twice,
 * whatever is added while it fires and is sorted out. */
#include "test.h"

#include "base/hash.h"
#include "state/wheel.h"

enum { ENTRIES = 3000, /* a multiple of 3 */ ROUNDS = 60000 };

struct fixture {
    struct sb_env *env;
    struct sb_account *account;
    struct sb_account_line line;
    struct sb_wheel wheel;
    uint64_t random;
    uint64_t clock;
    uint64_t times[ENTRIES]; /* by mark */
    bool present[ENTRIES];
    bool wanted[ENTRIES];
    uint64_t count; /* wanted ones */
};

static int make_fixture(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (fixture == NULL || sb_os_env_create(&fixture->env, NULL) != SABOT_OK)
        return -1;
    if (sb_account_create(fixture->env, 0, &fixture->account, NULL) != SABOT_OK)
        return -1;
    sb_wheel_init(&fixture->wheel, fixture->env, fixture->account, &fixture->line);
    *state = fixture;
    return 0;
}

static int free_fixture(void **state)
{
    struct fixture *fixture = *state;

    sb_wheel_reset(&fixture->wheel);
    assert_int_equal(sb_account_used(fixture->account), 0);
    sb_account_destroy(fixture->account);
    sb_os_env_destroy(fixture->env);
    free(fixture);
    return 0;
}

static uint64_t draw(struct fixture *fixture, uint64_t below)
{
    fixture->random = sb_hash_int64((int64_t)fixture->random, 5);
    return fixture->random % below;
}

/* Near and far, before and after now, many of one time. */
static uint64_t draw_time(struct fixture *fixture)
{
    switch (draw(fixture, 6)) {
    case 0: return fixture->clock - draw(fixture, fixture->clock | 1);
    case 1: return fixture->clock + draw(fixture, 4);
    case 2: return fixture->clock + draw(fixture, 100000);
    case 3: return (fixture->clock / 5000 + 1) * 5000;
    case 4: return fixture->clock + draw(fixture, (uint64_t)1 << 40);
    default: return draw(fixture, 2) == 0 ? UINT64_MAX : 0;
    }
}

static void add(struct fixture *fixture)
{
    const uint64_t mark = draw(fixture, ENTRIES);

    if (fixture->present[mark])
        return;
    fixture->times[mark] = draw_time(fixture);
    assert_int_equal(sb_wheel_add(&fixture->wheel, fixture->times[mark], mark), SABOT_OK);
    fixture->present[mark] = true;
    fixture->wanted[mark] = true;
    fixture->count++;
}

static void forget(struct fixture *fixture)
{
    const uint64_t mark = draw(fixture, ENTRIES);

    fixture->count -= fixture->wanted[mark];
    fixture->wanted[mark] = false;
}

static bool is_wanted(void *context, const struct sb_wheel_entry *entry)
{
    struct fixture *fixture = context;

    assert_true(fixture->present[entry->mark]);
    assert_true(fixture->times[entry->mark] == entry->time);
    fixture->present[entry->mark] = fixture->wanted[entry->mark];
    return fixture->wanted[entry->mark];
}

static uint64_t earliest(const struct fixture *fixture)
{
    uint64_t time = UINT64_MAX;

    for (uint32_t i = 0; i < ENTRIES; i++)
        if (fixture->wanted[i] && fixture->times[i] < time)
            time = fixture->times[i];
    return time;
}

/* All that is due, in order; in between some are added. */
static void fire(struct fixture *fixture)
{
    uint64_t last = 0;

    assert_true(sb_wheel_next(&fixture->wheel) <= earliest(fixture));
    for (;;) {
        const struct sb_wheel_entry *entry;
        uint32_t moves = (uint32_t)draw(fixture, 50);
        const sabot_status status = sb_wheel_peek(&fixture->wheel, fixture->clock, &moves, &entry);

        if (status == SABOT_AGAIN)
            continue;
        assert_int_equal(status, SABOT_OK);
        if (entry == NULL)
            break;
        assert_true(entry->time >= last && entry->time <= fixture->clock);
        assert_true(fixture->present[entry->mark]);
        assert_true(fixture->times[entry->mark] == entry->time);
        last = entry->time;
        fixture->present[entry->mark] = false;
        fixture->count -= fixture->wanted[entry->mark];
        fixture->wanted[entry->mark] = false;
        sb_wheel_pop(&fixture->wheel);
        if (draw(fixture, 4) == 0) {
            add(fixture);
            last = 0; /* it may be one that has passed */
        }
    }
    assert_true(earliest(fixture) > fixture->clock || earliest(fixture) == UINT64_MAX);
}

static void what_is_added_comes_in_order_of_time_and_once(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t seed = 4711;

    print_message("seed %llu\n", (unsigned long long)seed);
    fixture->random = seed;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        switch (draw(fixture, 20)) {
        case 0:
            fixture->clock += draw(fixture, (uint64_t)1 << (draw(fixture, 38) + 1));
            fire(fixture);
            break;
        case 1:
        case 2: sb_wheel_sift(&fixture->wheel, 100, is_wanted, fixture); break;
        case 3:
        case 4:
        case 5: forget(fixture); break;
        default: add(fixture); break;
        }
    }
    fixture->clock = UINT64_MAX;
    fire(fixture);
    assert_int_equal(fixture->count, 0);
    assert_int_equal(fixture->wheel.count, 0);
}

static void sorting_out_leaves_what_is_wanted_and_gives_memory_back(void **state)
{
    enum { MANY = 200000 };
    struct sb_wheel *wheel = &((struct fixture *)*state)->wheel;
    struct fixture *fixture = *state;
    uint64_t before;

    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(sb_wheel_add(wheel, 1000000 + i % 3, i % ENTRIES), SABOT_OK);
    before = sb_account_used(fixture->account);
    for (uint32_t i = 0; i < ENTRIES; i++)
        fixture->times[i] = 1000000 + i % 3;
    do {
        memset(fixture->present, 1, sizeof fixture->present);
        sb_wheel_sift(wheel, 1000, is_wanted, fixture);
    } while (wheel->sifting);
    assert_int_equal(wheel->count, 0);
    assert_true(sb_account_used(fixture->account) < before / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_added_comes_in_order_of_time_and_once, make_fixture,
                                        free_fixture),
        cmocka_unit_test_setup_teardown(sorting_out_leaves_what_is_wanted_and_gives_memory_back,
                                        make_fixture, free_fixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
