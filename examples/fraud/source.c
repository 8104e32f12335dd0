/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - the bank as the source of an app's input channel.
 *
 * With a rate it is an open loop: each transaction has its time, whether those before it have been
 * handled or not, and delays are measured from that time. Its position is the index of the next
 * transaction, 8 bytes with the lowest first.
 *
 * Thread: fill's own. Memory: the app's. */
#include "source.h"

#include "bank.h"

struct source {
    struct bank bank;
    uint64_t count; /* transactions to make */
    uint64_t rate;  /* a second; 0: as fast as they are taken */
    bool started;
    int64_t start_us; /* when the transaction start_index was due */
    uint64_t start_index;
};

/* When a transaction is due; INT64_MIN: at once. */
static int64_t due_us(const struct source *source, uint64_t index)
{
    if (source->rate == 0)
        return INT64_MIN;
    return source->start_us + bank_due_us(index - source->start_index, source->rate);
}

/* Write what is due now, `records_max` at most, from `index` on; leaves it behind the last. */
static sabot_status write_due(struct source *source,
                              sabot_source *output,
                              size_t records_max,
                              uint64_t *index)
{
    const int64_t now_us = source->rate > 0 ? sabot_source_clock_us(output) : 0;
    struct bank_record record;

    if (!source->started) {
        source->started = true;
        source->start_us = now_us;
        source->start_index = *index;
    }
    for (size_t i = 0; i < records_max && *index < source->count; i++, ++*index) {
        const int64_t time_us = due_us(source, *index);

        if (time_us > now_us) {
            sabot_source_wait_until_us(output, time_us);
            break;
        }
        if (source->rate > 0)
            sabot_source_due_us(output, time_us);
        bank_make(&source->bank, *index, &record);
        SABOT_TRY(sabot_source_write(output, record.account, record.value, record.time_ms));
    }
    return SABOT_OK;
}

static sabot_status fill(sabot_source *output,
                         size_t records_max,
                         sabot_position *position,
                         void *user)
{
    struct source *source = user;
    uint64_t index = 0;

    for (size_t i = 0; i < position->size; i++)
        index |= (uint64_t)position->bytes[i] << 8 * i;
    SABOT_TRY(write_due(source, output, records_max, &index));
    position->size = sizeof index;
    for (size_t i = 0; i < sizeof index; i++)
        position->bytes[i] = (uint8_t)(index >> 8 * i);
    return index < source->count ? SABOT_OK : SABOT_END;
}

void source_attach(sabot_app *app, sabot_channel *channel)
{
    struct source *source = sabot_app_memory(app, sizeof *source);
    const int64_t count = sabot_app_option_int64(
        app, "count", 1000000, 0, BANK_COUNT_MAX,
        "Transactions to make up; 0: none, the program that embeds the app brings its own.");
    const int64_t seed = sabot_app_option_int64(
        app, "seed", 1, 0, INT64_MAX, "Transactions of one seed are the same on every machine.");
    const int64_t rate = sabot_app_option_int64(
        app, "rate", 0, 0, BANK_RATE_MAX,
        "Transactions a second, whether they are handled in time or not; 0: as fast as possible.");
    const int64_t accounts = sabot_app_option_int64(app, "accounts", 20000, 1, BANK_ACCOUNTS_MAX,
                                                    "Accounts that make the transactions.");

    if (source == NULL || count == 0)
        return;
    bank_init(&source->bank, (uint64_t)seed, (uint64_t)accounts, BANK_START_MS);
    source->count = (uint64_t)count;
    source->rate = (uint64_t)rate;
    sabot_channel_source(channel, fill, source);
}
