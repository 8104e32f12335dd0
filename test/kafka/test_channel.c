/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel.c - the Kafka channel passes the tests of every channel, on a real broker. */
#include "channel_suite.h"
#include "test.h"

static void url(void *context, const char *name, int32_t partitions, char *url_out, size_t size)
{
    (void)context;
    (void)snprintf(url_out, size, "kafka://%s/%s?partitions=%d&replication=1",
                   getenv("SABOT_TEST_BROKER"), name, (int)partitions);
}

int main(void)
{
    static const struct channel_suite suite = {
        .name = "kafka",
        .type = &sb_channel_kafka,
        .url = url,
        .partitions_max = 8,
        .keys = true,
        .headers = true,
        .timestamps = true,
        .nulls = true,
        .live = true,
        .gaps = true,
        .groups = true,
        .transactions = true,
        .many = 2000,
        .rounds = 5,
        .txn_timeout_ms = 1500,
        .patience_ms = 60000,
    };

    return channel_suite_run(&suite);
}
