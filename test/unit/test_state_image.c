/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_image.c - images of state in memory: what is restored is the state at the barrier, to
 * the byte, whatever was changed while the image was made; in chains, after failures, and when
 * bytes are damaged. The oracle is the logical snapshot at the barrier. */
#include "state_suite.h"
#include "test.h"

#include <stdlib.h>

#include "state/image.h"

enum { FILES_MAX = 8, CHECKPOINTS = 14 };

struct rig {
    struct state_rig *state;
    uint64_t random;
    struct tape files[FILES_MAX]; /* a chain */
    uint32_t file_count;
    struct tape next;      /* being made */
    uint64_t chunks;       /* in it */
    uint32_t blocks_out;   /* taken and not given */
    uint32_t refused_part; /* of so many asks one is refused; 0: none */
    bool refuses_must;
};

static uint32_t draw(struct rig *rig, uint32_t bound)
{
    rig->random = sb_hash_int64((int64_t)rig->random, 5);
    return (uint32_t)(rig->random % bound);
}

static void *take(void *context, bool must)
{
    struct rig *rig = context;

    if (must ? rig->refuses_must : rig->refused_part > 0 && draw(rig, rig->refused_part) == 0)
        return NULL;
    rig->blocks_out++;
    return malloc(SB_IMAGE_BLOCK_MAX);
}

static void give(void *context, void *block, uint32_t size)
{
    struct rig *rig = context;

    assert_true(rig->blocks_out-- > 0);
    if (size > 0) {
        const struct sb_image_block *head = block;

        assert_int_equal(head->size, size);
        tape_append(&rig->next, block, size);
        rig->chunks += head->kind == SB_IMAGE_CHUNKS ? head->used : 0;
    }
    free(block);
}

static void begin(struct rig *rig, int64_t id, int64_t base)
{
    const struct sb_image_config config = {
        .node = 3, .worker = 1, .id = id, .base = base, .sink = {take, give, rig}};

    rig->next = (struct tape){.bytes = NULL};
    rig->chunks = 0;
    sb_store_image_begin(state_rig_store(rig->state), &config);
}

/* Steps, with operations between them. */
static void go_on(struct rig *rig, bool changes)
{
    while (sb_store_image_step(state_rig_store(rig->state), 1 + draw(rig, 12)) != SB_IMAGE_DONE) {
        if (changes)
            state_rig_run(rig->state, draw(rig, 40));
    }
}

static void drop_chain(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->file_count; i++)
        tape_reset(&rig->files[i]);
    rig->file_count = 0;
}

static sabot_status open_chain(struct rig *rig, struct sb_image **image_out, sabot_error *error)
{
    static struct sb_image_file files[FILES_MAX];

    for (uint32_t i = 0; i < rig->file_count; i++)
        files[i] = tape_image_file(&rig->files[i]);
    return sb_image_open(state_rig_env(rig->state), files, rig->file_count, 3, image_out, error);
}

static void restore(struct rig *rig, struct sb_store *store)
{
    sabot_error error = {.text = ""};
    struct sb_image *image;

    assert_int_equal(open_chain(rig, &image, &error), SABOT_OK);
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        const sabot_status status = sb_store_restore_image(store, image, shard, &error);

        if (status != SABOT_OK)
            fail_msg("shard %u: %s", shard, error.text);
    }
    sb_image_close(image);
}

static void free_tapes(struct tape tapes[SB_SHARD_COUNT])
{
    for (uint32_t i = 0; i < SB_SHARD_COUNT; i++)
        tape_reset(&tapes[i]);
}

static void assert_same(const struct tape one[SB_SHARD_COUNT],
                        const struct tape other[SB_SHARD_COUNT])
{
    for (uint32_t shard = 0; shard < SB_SHARD_COUNT; shard++) {
        assert_int_equal(one[shard].size, other[shard].size);
        assert_memory_equal(one[shard].bytes, other[shard].bytes, one[shard].size);
    }
}

/* The chain gives what was recorded at its last barrier, in a store of that time. */
static void check_chain(struct rig *rig,
                        struct sb_store *store,
                        const struct tape barrier[SB_SHARD_COUNT])
{
    struct tape restored[SB_SHARD_COUNT];

    restore(rig, store);
    state_rig_record(rig->state, store, restored);
    assert_same(barrier, restored);
    free_tapes(restored);
}

static void add_file(struct rig *rig, int64_t base)
{
    if (base == 0)
        drop_chain(rig);
    assert_true(rig->file_count < FILES_MAX);
    rig->files[rig->file_count++] = rig->next;
}

/* One checkpoint, which may be given up half way. Returns its id when it came about, else `base`.
 */
static int64_t checkpoint(struct rig *rig, int64_t id, int64_t base)
{
    struct sb_store *spare = state_rig_spare(rig->state);
    struct tape barrier[SB_SHARD_COUNT];
    sabot_error error;

    rig->refused_part = draw(rig, 3) == 0 ? 2 : 0;
    state_rig_record(rig->state, state_rig_store(rig->state), barrier);
    begin(rig, id, base);
    if (draw(rig, 4) == 0) { /* the disk is full, say: half of it, or all, has been for nothing */
        (void)sb_store_image_step(state_rig_store(rig->state), draw(rig, 200));
        state_rig_run(rig->state, draw(rig, 200));
        (void)!sb_store_image_end(state_rig_store(rig->state), NULL);
        tape_reset(&rig->next);
        id = base;
    } else {
        go_on(rig, true);
        assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
        add_file(rig, base);
        check_chain(rig, spare, barrier);
    }
    sb_store_destroy(spare);
    assert_int_equal(rig->blocks_out, 0);
    free_tapes(barrier);
    return id;
}

static struct rig *make_rig(uint64_t seed)
{
    static const struct state_backend memory = {.name = "memory"};
    struct rig *rig = calloc(1, sizeof *rig);

    assert_non_null(rig);
    rig->random = seed;
    rig->state = state_rig_create(&memory, seed);
    return rig;
}

static void free_rig(struct rig *rig)
{
    drop_chain(rig);
    state_rig_destroy(rig->state);
    free(rig);
}

static void an_image_is_the_state_at_its_barrier_in_chains_and_after_failures(void **state)
{
    const uint32_t seeds = getenv("SABOT_LONG") == NULL ? 12 : 400;

    (void)state;
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        struct rig *rig = make_rig(seed);
        int64_t base = 0;

        for (int64_t id = 1; id <= CHECKPOINTS; id++) {
            state_rig_run(rig->state, draw(rig, 3000));
            if (rig->file_count == FILES_MAX || draw(rig, 6) == 0)
                base = 0;
            base = checkpoint(rig, id, base);
        }
        free_rig(rig);
    }
}

static void a_restored_store_goes_on_as_the_one_before(void **state)
{
    (void)state;
    for (uint32_t seed = 100; seed < 104; seed++) {
        struct rig *rig = make_rig(seed);

        for (int64_t id = 1; id <= 6; id++) {
            sabot_error error;

            state_rig_run(rig->state, 2000);
            /* An id that the store knows is a base; after a restore it knows none. */
            begin(rig, id, id % 3 == 1 ? 0 : id - 1);
            go_on(rig, false);
            assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
            add_file(rig, id % 3 == 1 ? 0 : id - 1);
            if (id % 3 == 0) {
                struct sb_store *spare = state_rig_spare(rig->state);

                restore(rig, spare);
                state_rig_take(rig->state, spare);
                state_rig_check(rig->state);
            }
        }
        free_rig(rig);
    }
}

static void a_timer_that_was_just_set_is_in_the_image(void **state)
{
    struct rig *rig = make_rig(200);
    struct sb_store *store = state_rig_store(rig->state);
    struct sb_store *spare = state_rig_spare(rig->state);
    struct tape after[SB_SHARD_COUNT];
    sabot_error error;

    (void)state;
    state_rig_set_timer(rig->state, "soon");
    begin(rig, 1, 0);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(store, &error), SABOT_OK);
    add_file(rig, 0);
    state_rig_record(rig->state, store, after);
    check_chain(rig, spare, after);
    free_tapes(after);
    sb_store_destroy(spare);
    free_rig(rig);
}

/* An image of a store that was restored, and in which nothing has changed since, has all. */
static void what_was_restored_is_in_the_next_image(void **state)
{
    struct rig *rig = make_rig(5);
    struct tape barrier[SB_SHARD_COUNT];
    sabot_error error;

    (void)state;
    state_rig_run(rig->state, 2000);
    state_rig_record(rig->state, state_rig_store(rig->state), barrier);
    for (int64_t id = 1; id <= 3; id++) {
        struct sb_store *spare = state_rig_spare(rig->state);

        begin(rig, id, 0);
        go_on(rig, false);
        assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
        add_file(rig, 0);
        check_chain(rig, spare, barrier);
        state_rig_take(rig->state, spare);
    }
    free_tapes(barrier);
    free_rig(rig);
}

static void only_what_has_changed_is_written_again(void **state)
{
    struct rig *rig = make_rig(7);
    sabot_error error;
    uint64_t all;

    (void)state;
    state_rig_run(rig->state, 20000);
    begin(rig, 1, 0);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
    all = rig->chunks;
    add_file(rig, 0);
    begin(rig, 2, 1);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
    assert_int_equal(rig->chunks, 0);
    assert_true(all > 100);
    add_file(rig, 1);
    state_rig_run(rig->state, 4);
    begin(rig, 3, 2);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
    assert_true(rig->chunks < all / 2);
    add_file(rig, 2);
    free_rig(rig);
}

static void without_a_block_the_image_fails_and_the_state_goes_on(void **state)
{
    struct rig *rig = make_rig(9);
    struct tape barrier[SB_SHARD_COUNT];
    struct sb_store *spare;
    sabot_error error = {.text = ""};

    (void)state;
    state_rig_run(rig->state, 5000);
    rig->refuses_must = true;
    begin(rig, 1, 0);
    state_rig_run(rig->state, 500); /* something changes before the copier has come to it */
    assert_int_equal(sb_store_image_step(state_rig_store(rig->state), 1), SB_IMAGE_DONE);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_ERR_LIMIT);
    assert_non_null(strstr(error.text, "faster than"));
    assert_int_equal(rig->blocks_out, 0);
    tape_reset(&rig->next);
    rig->refuses_must = false;
    state_rig_check(rig->state);
    state_rig_record(rig->state, state_rig_store(rig->state), barrier);
    spare = state_rig_spare(rig->state);
    begin(rig, 2, 1); /* 1 is known, and has failed: the caller must not name it; 0 is all */
    assert_int_not_equal(sb_store_image_end(state_rig_store(rig->state), NULL), SABOT_OK);
    begin(rig, 3, 0);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
    add_file(rig, 0);
    check_chain(rig, spare, barrier);
    sb_store_destroy(spare);
    free_tapes(barrier);
    free_rig(rig);
}

/* Any byte of it: refused with a text, or read as something else; never more. */
static void damaged_bytes_are_never_followed(void **state)
{
    struct rig *rig = make_rig(11);
    uint32_t refused = 0;
    sabot_error error;

    (void)state;
    state_rig_run(rig->state, 3000);
    begin(rig, 1, 0);
    go_on(rig, false);
    assert_int_equal(sb_store_image_end(state_rig_store(rig->state), &error), SABOT_OK);
    add_file(rig, 0);
    for (uint32_t i = 0; i < 400; i++) {
        uint8_t *byte =
            &rig->files[0].bytes[draw(rig, i < 200 ? 4096 : (uint32_t)rig->files[0].size)];
        const uint8_t before = *byte;
        struct sb_store *store = state_rig_spare(rig->state);
        struct sb_image *image;
        sabot_status status;

        *byte ^= (uint8_t)(1 + draw(rig, 255));
        status = open_chain(rig, &image, &error);
        for (uint32_t shard = 0; status == SABOT_OK && shard < SB_SHARD_COUNT; shard++)
            status = sb_store_restore_image(store, image, shard, &error);
        refused += status != SABOT_OK;
        sb_image_close(image);
        sb_store_destroy(store);
        *byte = before;
    }
    assert_true(refused > 50);
    free_rig(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_is_the_state_at_its_barrier_in_chains_and_after_failures),
        cmocka_unit_test(a_restored_store_goes_on_as_the_one_before),
        cmocka_unit_test(a_timer_that_was_just_set_is_in_the_image),
        cmocka_unit_test(what_was_restored_is_in_the_next_image),
        cmocka_unit_test(only_what_has_changed_is_written_again),
        cmocka_unit_test(without_a_block_the_image_fails_and_the_state_goes_on),
        cmocka_unit_test(damaged_bytes_are_never_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
