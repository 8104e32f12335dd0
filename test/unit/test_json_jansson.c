/* SPDX-License-Identifier: Apache-2.0 */
/* test_json_jansson.c - the decoder and jansson agree on which records are JSON and what is in
 * them: on a corpus of files, on random records by seed, and on damaged ones. */
#include "json_fixture.h"

#include <dirent.h>

#include "json_oracle.h"

enum { RECORDS = 20000, FILE_MAX = 4096 };

static void agree(struct json_bridge *bridge, const char *record, size_t size, int counts[4])
{
    struct json_bridge_value values[BRIDGE_FIELDS];
    const int status = json_bridge_decode(bridge, record, size, values);
    const char *why;
    const enum json_verdict verdict =
        json_oracle(record, size, status == SABOT_OK ? values : NULL, &why);
    bool agreed = verdict == JSON_UNKNOWN;

    if (status == SABOT_OK)
        agreed = agreed || verdict == JSON_FITS;
    else if (status == SABOT_ERR_FORMAT)
        agreed = agreed || verdict == JSON_MALFORMED;
    else /* it may be malformed behind what does not fit; base64 and duplicates are our rules */
        agreed = agreed || verdict != JSON_FITS ||
                 strstr(json_bridge_error(bridge), "base64") != NULL ||
                 strstr(json_bridge_error(bridge), "is wanted") != NULL ||
                 strstr(json_bridge_error(bridge), "integer") != NULL;
    if (!agreed)
        print_error("%s: %s; jansson: %d %s\n%.*s\n", sabot_status_name((sabot_status)status),
                    json_bridge_error(bridge), verdict, why, (int)size, record);
    assert_true(agreed);
    counts[status == SABOT_OK ? 0 : status == SABOT_ERR_FORMAT ? 1 : 2]++;
    counts[3] += verdict == JSON_UNKNOWN;
}

static void random_records_mean_the_same(void **state)
{
    struct json_bridge *bridge = json_bridge_open();
    char *record = malloc(JSON_RANDOM_MAX);
    uint64_t seed = json_seed();
    int counts[4] = {0};

    (void)state;
    for (int i = 0; i < RECORDS; i++)
        agree(bridge, record, json_random_record(&seed, record), counts);
    print_message("%d accepted, %d unfit\n", counts[0], counts[2]);
    assert_int_equal(counts[1], 0);
    assert_true(counts[0] > RECORDS / 3);
    assert_true(counts[2] > RECORDS / 20);
    free(record);
    json_bridge_close(bridge);
}

static void damaged_records_are_refused_by_both_or_mean_the_same(void **state)
{
    struct json_bridge *bridge = json_bridge_open();
    char *record = malloc(JSON_RANDOM_MAX);
    uint64_t seed = json_seed();
    int counts[4] = {0};

    (void)state;
    for (int i = 0; i < 2 * RECORDS; i++) {
        const size_t size = json_random_record(&seed, record);

        agree(bridge, record, json_random_damage(&seed, record, size), counts);
    }
    print_message("%d accepted, %d malformed, %d unfit, %d not comparable\n", counts[0], counts[1],
                  counts[2], counts[3]);
    assert_true(counts[0] > RECORDS / 10);
    assert_true(counts[1] > RECORDS / 2);
    assert_true(counts[3] < RECORDS / 20);
    free(record);
    json_bridge_close(bridge);
}

/* y_: JSON that fits; n_: not JSON; s_: JSON that does not fit the schema. */
static void every_file_of_the_corpus_is_judged_by_its_name(void **state)
{
    const char *root = getenv("SABOT_SOURCE_DIR");
    struct json_bridge *bridge = json_bridge_open();
    struct dirent **entries;
    char folder[4000];
    int count;

    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/test/data/json", root == NULL ? ".." : root);
    count = scandir(folder, &entries, NULL, alphasort);
    assert_true(count > 50);
    for (int i = 0; i < count; i++) {
        const char kind = entries[i]->d_name[0];
        struct json_bridge_value values[BRIDGE_FIELDS];
        char path[4400];
        char record[FILE_MAX];
        int counts[4] = {0};
        FILE *file;
        size_t size;
        int status;

        (void)snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (kind == '.')
            continue;
        file = fopen(path, "rb");
        assert_non_null(file);
        size = fread(record, 1, sizeof record, file);
        (void)fclose(file);
        status = json_bridge_decode(bridge, record, size, values);
        if (status != (kind == 'y' ? SABOT_OK : kind == 's' ? SABOT_ERR_SCHEMA : SABOT_ERR_FORMAT))
            print_error("%s: %s %s\n", path, sabot_status_name((sabot_status)status),
                        json_bridge_error(bridge));
        assert_int_equal(status, kind == 'y'   ? SABOT_OK
                                 : kind == 's' ? SABOT_ERR_SCHEMA
                                               : SABOT_ERR_FORMAT);
        agree(bridge, record, size, counts);
    }
    free(entries);
    json_bridge_close(bridge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_of_the_corpus_is_judged_by_its_name),
        cmocka_unit_test(random_records_mean_the_same),
        cmocka_unit_test(damaged_records_are_refused_by_both_or_mean_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
