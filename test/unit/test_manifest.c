/* SPDX-License-Identifier: Apache-2.0 */
/* test_manifest.c - the bytes of a manifest, and what a folder of checkpoints takes for one. */
#include "ckpt_kit.h"
#include "disk.h"

#include "base/hash.h"
#include "ckpt/folder.h"

enum { STATE_SIZE = 100, FLIPS_MIN = 60000 };

struct fixture {
    struct sb_env *os;
    struct kit_random random;
    struct disk disk;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || sb_os_env_create(&f->os, NULL) != SABOT_OK)
        return -1;
    f->random = kit_random_start(f->os);
    disk_make(&f->disk, f->os);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    disk_free(&f->disk);
    sb_os_env_destroy(f->os);
    free(f);
    return 0;
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static void test_what_is_written_is_read(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 500; round++) {
        struct sb_manifest written;
        struct sb_manifest read;
        struct sb_buffer bytes;
        sabot_error error = {.status = SABOT_OK};

        sb_buffer_init(&bytes, f->os);
        ckpt_kit_manifest(&written, f->os, &f->random, 8, STATE_SIZE);
        assert_int_equal(sb_manifest_encode(&written, &bytes), SABOT_OK);
        sb_manifest_init(&read, f->os);
        if (sb_manifest_decode(&read, bytes.data, bytes.size, &error) != SABOT_OK)
            fail_msg("round %d: %s", round, error.text);
        ckpt_kit_assert_equal(&written, &read);
        sb_manifest_reset(&read);
        sb_manifest_reset(&written);
        sb_buffer_reset(&bytes);
    }
}

static void put_number(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* The checksum at the end is right again. */
static void seal(struct sb_buffer *bytes)
{
    put_number(bytes->data + bytes->size - 8, sb_hash(bytes->data, bytes->size - 8, 0), 8);
}

static struct sb_buffer encode(struct fixture *f, struct sb_manifest *manifest)
{
    struct sb_buffer bytes;

    sb_buffer_init(&bytes, f->os);
    assert_int_equal(sb_manifest_encode(manifest, &bytes), SABOT_OK);
    return bytes;
}

static void assert_refused(struct fixture *f,
                           const struct sb_buffer *bytes,
                           sabot_status expected,
                           const char *text)
{
    struct sb_manifest read;
    sabot_error error = {.status = SABOT_OK};

    sb_manifest_init(&read, f->os);
    assert_int_equal(sb_manifest_decode(&read, bytes->data, bytes->size, &error), expected);
    if (strstr(error.text, text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", error.text, text);
    sb_manifest_reset(&read);
}

static void test_a_newer_format_is_refused_and_says_so(void **state)
{
    struct fixture *f = *state;
    struct sb_manifest manifest;
    struct sb_buffer bytes;

    ckpt_kit_manifest(&manifest, f->os, &f->random, 3, STATE_SIZE);
    bytes = encode(f, &manifest);
    put_number(bytes.data + 8, SB_MANIFEST_FORMAT + 1, 4);
    seal(&bytes);
    assert_refused(f, &bytes, SABOT_ERR_UNSUPPORTED, "format 4");
    sb_buffer_reset(&bytes);
    sb_manifest_reset(&manifest);
}

/* Behind a checksum that fits, too, nothing is believed. */
static void test_lists_that_are_longer_than_the_manifest_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_manifest manifest;
    struct sb_buffer bytes;
    size_t files;

    ckpt_kit_manifest(&manifest, f->os, &f->random, 0, STATE_SIZE);
    bytes = encode(f, &manifest);
    files = 8 + 4 + 8 + (2 + 3) + (2 + 4) + 5 * 8 + 4 + 4;
    put_number(bytes.data + files, UINT32_MAX, 4);
    seal(&bytes);
    assert_refused(f, &bytes, SABOT_ERR_CORRUPT, "the number of files");
    sb_buffer_reset(&bytes);
    sb_manifest_reset(&manifest);
}

static void test_a_shard_outside_of_its_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sb_manifest_shard shard = {.shard = 3, .start = 60, .size = STATE_SIZE - 59};
    struct sb_manifest_task task = {.name = "agent", .shard_count = 1, .shards = &shard};
    struct sb_manifest manifest;
    struct sb_buffer bytes;

    ckpt_kit_manifest(&manifest, f->os, &f->random, 0, STATE_SIZE);
    manifest.tasks = &task;
    manifest.task_count = 1;
    bytes = encode(f, &manifest);
    assert_refused(f, &bytes, SABOT_ERR_CORRUPT, "a shard");
    sb_buffer_reset(&bytes);
    shard = (struct sb_manifest_shard){.shard = SB_SHARD_COUNT};
    bytes = encode(f, &manifest);
    assert_refused(f, &bytes, SABOT_ERR_CORRUPT, "a shard");
    sb_buffer_reset(&bytes);
    sb_manifest_reset(&manifest);
}

static void test_a_position_of_no_partition_is_refused(void **state)
{
    static const int32_t wrong[] = {-1, 2, INT32_MIN, INT32_MAX};
    struct fixture *f = *state;
    struct sb_part_position position = {.offset = 7};
    struct sb_manifest_source source = {
        .channel = "in", .partition_count = 2, .position_count = 1, .positions = &position};
    struct sb_manifest manifest;

    ckpt_kit_manifest(&manifest, f->os, &f->random, 0, STATE_SIZE);
    manifest.sources = &source;
    manifest.source_count = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sb_buffer bytes;

        position.partition = wrong[i];
        bytes = encode(f, &manifest);
        assert_refused(f, &bytes, SABOT_ERR_CORRUPT, "a partition");
        sb_buffer_reset(&bytes);
    }
    sb_manifest_reset(&manifest);
}

static void test_a_file_name_that_leads_elsewhere_is_refused(void **state)
{
    static const char *const names[] = {"../state", "/etc/passwd", "a/b", "..", ".", ""};
    struct fixture *f = *state;
    struct sb_manifest manifest;

    ckpt_kit_manifest(&manifest, f->os, &f->random, 0, STATE_SIZE);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sb_buffer bytes;

        manifest.files[0].name = names[i];
        bytes = encode(f, &manifest);
        assert_refused(f, &bytes, SABOT_ERR_CORRUPT, "the name of a file");
        sb_buffer_reset(&bytes);
    }
    sb_manifest_reset(&manifest);
}

/* Bytes at random under a checksum that fits: read or refused, and the sanitizers see the rest. */
static void test_changed_bytes_under_a_right_checksum_do_no_harm(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 3000; round++) {
        struct sb_manifest manifest;
        struct sb_manifest read;
        struct sb_buffer bytes;
        sabot_error error = {.status = SABOT_OK};

        ckpt_kit_manifest(&manifest, f->os, &f->random, 4, STATE_SIZE);
        bytes = encode(f, &manifest);
        for (uint32_t i = kit_random_below(&f->random, 4); i > 0; i--)
            bytes.data[20 + kit_random_below(&f->random, (uint32_t)bytes.size - 28)] =
                (uint8_t)ckpt_kit_random64(&f->random);
        seal(&bytes);
        sb_manifest_init(&read, f->os);
        if (sb_manifest_decode(&read, bytes.data, bytes.size, &error) != SABOT_OK)
            assert_string_not_equal(error.text, "");
        sb_manifest_reset(&read);
        sb_buffer_reset(&bytes);
        sb_manifest_reset(&manifest);
    }
}

/* --- Files ------------------------------------------------------------------------------------ */

struct place {
    struct sb_ckpt_folder folder;
    struct sb_ckpt_entry entry;
    char manifest[256];
    char blocks[256]; /* chunks; of a savepoint its state */
    char linked[256]; /* those of the checkpoint it is based on */
};

/* A name in its folder. */
static void name_file(char path[256],
                      const char *pipeline,
                      const struct place *place,
                      const char *name)
{
    (void)snprintf(path, 256, "/dir/app/%s/ckpt-%016llx-%016llx/%s", pipeline,
                   (unsigned long long)place->entry.id, (unsigned long long)place->entry.nonce,
                   name);
}

static void fill(struct fixture *f, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)kit_random_below(&f->random, 256);
}

/* Chunks in the folder of a checkpoint that has no manifest any more; a link keeps them. */
static struct sb_ckpt_link write_base(struct fixture *f, const struct sb_ckpt_folder *folder)
{
    struct sb_ckpt_link link = {.entry = {77, ckpt_kit_random64(&f->random)}, .name = "chunks"};
    struct sb_ckpt_writer writer;
    uint8_t bytes[STATE_SIZE];
    sabot_error error = {.status = SABOT_OK};

    fill(f, bytes, sizeof bytes);
    if (sb_ckpt_begin(&writer, folder, &link.entry, &error) != SABOT_OK ||
        sb_ckpt_append(&writer, bytes, sizeof bytes, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    link.size = sizeof bytes;
    link.checksum = sb_hasher_result(&writer.hasher);
    f->disk.type.file_close(&f->disk, writer.blocks);
    return link;
}

/* A checkpoint, or what a savepoint has of a pipeline, on the disk. */
static struct place write_place(struct fixture *f,
                                const char *pipeline,
                                int64_t id,
                                uint32_t entries,
                                enum sb_manifest_file_kind kind)
{
    const bool is_saved = kind == SB_FILE_STATE;
    uint8_t bytes[STATE_SIZE];
    struct sb_manifest manifest;
    struct sb_ckpt_writer writer;
    struct sb_ckpt_link link;
    struct place place;
    sabot_error error = {.status = SABOT_OK};

    fill(f, bytes, sizeof bytes);
    if (sb_ckpt_folder_open(&place.folder, &f->disk.env, "/dir", "app", pipeline, &error) !=
        SABOT_OK)
        fail_msg("%s", error.text);
    do {
        ckpt_kit_manifest(&manifest, &f->disk.env, &f->random, entries, STATE_SIZE);
        if (manifest.source_count >= entries / 2 && manifest.task_count >= entries / 2)
            break;
        sb_manifest_reset(&manifest);
    } while (true);
    manifest.pipeline = pipeline;
    manifest.id = id;
    place.entry = (struct sb_ckpt_entry){.id = id, .nonce = manifest.nonce};
    link = write_base(f, &place.folder);
    if (sb_ckpt_begin(&writer, &place.folder, &place.entry, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    writer.kind = kind;
    if (sb_ckpt_append(&writer, bytes, sizeof bytes, &error) != SABOT_OK ||
        sb_ckpt_finish(&writer, &manifest, &link, is_saved ? 0 : 1, &error) != SABOT_OK)
        fail_msg("%s", error.text);
    (void)!sb_ckpt_remove(&place.folder, &link.entry, NULL);
    name_file(place.manifest, pipeline, &place, "manifest");
    name_file(place.blocks, pipeline, &place, is_saved ? "state" : "chunks");
    name_file(place.linked, pipeline, &place, "chunks-000000000000004d");
    sb_manifest_reset(&manifest);
    return place;
}

static struct place write_one(struct fixture *f, const char *pipeline, int64_t id, uint32_t entries)
{
    return write_place(f, pipeline, id, entries, SB_FILE_CHUNKS);
}

static sabot_status check(const struct place *place, sabot_error *error)
{
    struct sb_manifest manifest;
    sabot_status status;

    sb_manifest_init(&manifest, place->folder.env);
    status = sb_ckpt_read(&place->folder, &place->entry, &manifest, error);
    if (status == SABOT_OK)
        status = sb_ckpt_verify(&place->folder, &manifest, error);
    sb_manifest_reset(&manifest);
    return status;
}

static void assert_found(const struct place *place, const char *file, const char *what, size_t at)
{
    sabot_error error = {.status = SABOT_OK};
    const sabot_status status = check(place, &error);

    if (status != SABOT_ERR_CORRUPT || strstr(error.text, file) == NULL)
        fail_msg("%s: %s %zu: %s: %s", file, what, at, sabot_status_name(status), error.text);
}

static size_t flip_and_cut(struct fixture *f, const struct place *place, const char *file)
{
    size_t size;
    uint8_t *bytes = disk_bytes(&f->disk, file, &size);
    uint8_t *copy = malloc(size);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_found(place, file, "bit", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t shorter = 0; shorter < size; shorter++) {
        disk_put(&f->disk, file, copy, shorter);
        assert_found(place, file, "cut to", shorter);
    }
    disk_put(&f->disk, file, copy, size);
    free(copy);
    return size * 9;
}

static void test_every_bit_and_every_cut_is_found_with_the_name_of_the_file(void **state)
{
    struct fixture *f = *state;
    size_t cases = 0;

    while (cases < FLIPS_MIN) {
        const bool is_saved = cases > 0 && cases < FLIPS_MIN / 2;
        struct place place = write_place(f, "pipe", 1 + (int64_t)cases, 6,
                                         is_saved ? SB_FILE_STATE : SB_FILE_CHUNKS);
        sabot_error error = {.status = SABOT_OK};

        cases += flip_and_cut(f, &place, place.manifest);
        if (cases < FLIPS_MIN / 2) {
            cases += flip_and_cut(f, &place, place.blocks);
            if (!is_saved)
                cases += flip_and_cut(f, &place, place.linked);
        }
        if (check(&place, &error) != SABOT_OK)
            fail_msg("untouched, it is not whole: %s", error.text);
        sb_ckpt_folder_close(&place.folder);
    }
    print_message("%zu cases\n", cases);
}

static void test_bytes_behind_the_end_are_found(void **state)
{
    struct fixture *f = *state;
    struct place place = write_one(f, "pipe", 1, 3);
    const char *const files[] = {place.manifest, place.blocks};

    for (int i = 0; i < 2; i++) {
        size_t size;
        const uint8_t *bytes = disk_bytes(&f->disk, files[i], &size);
        uint8_t *longer = calloc(1, size + 1);

        assert_non_null(longer);
        memcpy(longer, bytes, size);
        disk_put(&f->disk, files[i], longer, size + 1);
        assert_found(&place, files[i], "longer by", 1);
        disk_put(&f->disk, files[i], longer, size);
        free(longer);
    }
    sb_ckpt_folder_close(&place.folder);
}

static void test_a_file_of_the_manifest_that_is_gone_is_damage(void **state)
{
    struct fixture *f = *state;
    struct place place = write_one(f, "pipe", 1, 3);

    assert_int_equal(f->disk.type.path_remove(&f->disk, place.blocks, NULL), SABOT_OK);
    assert_found(&place, place.blocks, "gone", 0);
    sb_ckpt_folder_close(&place.folder);
}

static void copy_file(struct fixture *f, const char *from, const char *to)
{
    size_t size;
    const uint8_t *bytes = disk_bytes(&f->disk, from, &size);
    uint8_t *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    disk_put(&f->disk, to, copy, size);
    free(copy);
}

static void test_what_belongs_elsewhere_is_refused(void **state)
{
    struct fixture *f = *state;
    struct place one = write_one(f, "pipe", 1, 3);
    struct place two = write_one(f, "pipe", 2, 3);
    struct place other = write_one(f, "other", 2, 3);
    struct sb_ckpt_folder stranger = two.folder;
    struct place strange = two;
    char name[128];
    sabot_error error = {.status = SABOT_OK};

    /* An older one under a newer name, with and without its state. */
    copy_file(f, one.manifest, two.manifest);
    assert_found(&two, two.manifest, "of checkpoint", 1);
    copy_file(f, one.blocks, two.blocks);
    assert_found(&two, two.manifest, "of checkpoint", 1);
    /* Of another pipeline. */
    copy_file(f, other.manifest, two.manifest);
    copy_file(f, other.blocks, two.blocks);
    assert_found(&two, two.manifest, "of pipeline other", 2);
    /* Of another app. */
    stranger.app = "another";
    strange = one;
    strange.folder = stranger;
    assert_found(&strange, one.manifest, "of app", 1);
    /* The right state of the wrong checkpoint. */
    sb_ckpt_folder_close(&two.folder);
    two = write_one(f, "pipe", 3, 3);
    copy_file(f, one.blocks, two.blocks);
    assert_found(&two, two.blocks, "of checkpoint", 1);
    /* Of the right id, and another nonce. */
    strange = one;
    strange.entry.nonce ^= 1;
    (void)snprintf(name, sizeof name, "/dir/app/pipe/ckpt-%016llx-%016llx", 1ULL,
                   (unsigned long long)strange.entry.nonce);
    assert_int_equal(f->disk.type.directory_create(&f->disk, name, &error), SABOT_OK);
    (void)snprintf(strange.manifest, sizeof strange.manifest, "%s/manifest", name);
    copy_file(f, one.manifest, strange.manifest);
    assert_found(&strange, strange.manifest, "nonce", 1);
    sb_ckpt_folder_close(&one.folder);
    sb_ckpt_folder_close(&two.folder);
    sb_ckpt_folder_close(&other.folder);
}

static void test_only_the_names_of_checkpoints_are_listed_newest_first(void **state)
{
    static const char *const wrong[] = {
        "ckpt-0000000000000001-00000000000000AB",  "ckpt-0000000000000001-00000000000000a",
        "ckpt-0000000000000000-00000000000000ab",  "ckpt-8000000000000000-00000000000000ab",
        "ckpt-0000000000000001-00000000000000abc", "ckpt-              -1-00000000000000ab",
        "ckpt-000000000000001-000000000000000ab",  "backup",
    };
    struct fixture *f = *state;
    struct place places[3];
    struct sb_ckpt_entry *entries;
    uint32_t count;
    char path[256];

    places[0] = write_one(f, "pipe", 9, 1);
    places[1] = write_one(f, "pipe", 300, 1);
    places[2] = write_one(f, "pipe", 16, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        (void)snprintf(path, sizeof path, "/dir/app/pipe/%s", wrong[i]);
        assert_int_equal(f->disk.type.directory_create(&f->disk, path, NULL), SABOT_OK);
    }
    assert_int_equal(sb_ckpt_list(&places[0].folder, &entries, &count, NULL), SABOT_OK);
    assert_int_equal(count, 3);
    assert_int_equal(entries[0].id, 300);
    assert_int_equal(entries[1].id, 16);
    assert_int_equal(entries[2].id, 9);
    sb_free_array(&f->disk.env, entries, SB_CKPT_LISTED_MAX, sizeof *entries);
    for (int i = 0; i < 3; i++)
        sb_ckpt_folder_close(&places[i].folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_is_read),
        TEST(test_a_newer_format_is_refused_and_says_so),
        TEST(test_lists_that_are_longer_than_the_manifest_are_refused),
        TEST(test_a_shard_outside_of_its_file_is_refused),
        TEST(test_a_position_of_no_partition_is_refused),
        TEST(test_a_file_name_that_leads_elsewhere_is_refused),
        TEST(test_changed_bytes_under_a_right_checksum_do_no_harm),
        TEST(test_every_bit_and_every_cut_is_found_with_the_name_of_the_file),
        TEST(test_bytes_behind_the_end_are_found),
        TEST(test_a_file_of_the_manifest_that_is_gone_is_damage),
        TEST(test_what_belongs_elsewhere_is_refused),
        TEST(test_only_the_names_of_checkpoints_are_listed_newest_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
