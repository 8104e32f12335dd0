/* SPDX-License-Identifier: Apache-2.0 */
/* _ledger.c - the app of the exactly-once tests: a transfer is two entries, one for each account.
 *
 *   transfers --> split --> legs --> book, with a sequence and a balance of each account -->
 * entries
 *
 * Both entries of a transfer are made in the same step of `split`, so they belong to the same
 * checkpoint wherever its barrier falls: what is committed always adds up to nothing. An entry says
 * what the state was after it, so that whoever reads the entries sees whether state and output have
 * parted. Compiled by _ledger.py as a user would.
 *
 * `ledger.name` is the name of the first agent, and with it of the pipeline and of its group: many
 * ledgers run beside each other on one broker. `ledger.pause_ms` makes time for things to happen.
 * `ledger.padding` and `ledger.padded_id` make one entry too large for its topic. */
#include <poll.h>
#include <string.h>

#include <sabot/sabot.h>

enum { PADDING_MAX = 4 * 1024 * 1024 };

struct transfer {
    int64_t id, amount, time_ms;
    sabot_text from, to, note;
};
static const sabot_field transfer_fields[] = {
    SABOT_FIELD(struct transfer, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, from, "from", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, to, "to", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct transfer, note, "note", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_schema transfer_schema =
    SABOT_SCHEMA("transfer", 1, struct transfer, transfer_fields);

struct entry {
    int64_t id, amount, time_ms;
    sabot_text account, padding;
    int64_t sequence, balance; /* of the account, with this entry */
};
static const sabot_field entry_fields[] = {
    SABOT_FIELD(struct entry, id, "id", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, account, "account", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, amount, "amount", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, time_ms, "time_ms", SABOT_INT64, SABOT_REQUIRED),
    SABOT_FIELD(struct entry, sequence, "sequence", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, balance, "balance", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct entry, padding, "padding", SABOT_UTF8, SABOT_OPTIONAL),
};
static const sabot_schema entry_schema = SABOT_SCHEMA("entry", 1, struct entry, entry_fields);

struct account {
    int64_t sequence, balance;
};
static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, sequence, "sequence", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, balance, "balance", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema account_schema =
    SABOT_SCHEMA("account", 1, struct account, account_fields);

struct ledger {
    sabot_value *accounts;
    sabot_output *legs, *entries;
    int64_t pause_ms, padded_id;
    size_t padding_size;
    char *padding;
};

static sabot_status split(sabot_context *context, const void *record)
{
    const struct ledger *ledger = sabot_user(context);
    const struct transfer *transfer = record;
    struct entry leg = {.id = transfer->id, .time_ms = transfer->time_ms};
    sabot_status status;

    if (ledger->pause_ms > 0)
        (void)poll(NULL, 0, (int)ledger->pause_ms);
    leg.account = transfer->from;
    leg.amount = -transfer->amount;
    status = sabot_emit(context, ledger->legs, &leg);
    if (status != SABOT_OK)
        return status;
    leg.account = transfer->to;
    leg.amount = transfer->amount;
    return sabot_emit(context, ledger->legs, &leg);
}

static sabot_status book(sabot_context *context, const void *record)
{
    const struct ledger *ledger = sabot_user(context);
    struct entry entry = *(const struct entry *)record;
    struct account *account = sabot_value_edit(context, ledger->accounts);

    if (account == NULL)
        return sabot_context_status(context);
    account->balance += entry.amount;
    entry.sequence = ++account->sequence;
    entry.balance = account->balance;
    if (entry.id == ledger->padded_id)
        entry.padding = (sabot_text){ledger->padding, ledger->padding_size};
    return sabot_emit(context, ledger->entries, &entry);
}

static void read_options(sabot_app *app, struct ledger *ledger)
{
    ledger->pause_ms =
        sabot_app_option_int64(app, "pause_ms", 0, 0, 60000, "What a transfer takes.");
    ledger->padded_id =
        sabot_app_option_int64(app, "padded_id", -1, -1, INT64_MAX, "Its entries are padded.");
    ledger->padding_size =
        (size_t)sabot_app_option_int64(app, "padding", 0, 0, PADDING_MAX, "Bytes of padding.");
    ledger->padding = sabot_app_memory(app, ledger->padding_size + 1);
    if (ledger->padding != NULL)
        memset(ledger->padding, '.', ledger->padding_size);
}

static sabot_status build(sabot_app *app)
{
    struct ledger *ledger = sabot_app_memory(app, sizeof *ledger);
    const char *name = sabot_app_option_text(app, "name", "ledger", "Of the pipeline.");
    sabot_channel *transfers = sabot_channel_open(app, "transfers", NULL, &transfer_schema);
    sabot_channel *legs = sabot_channel_open(app, "legs", "memory:", &entry_schema);
    sabot_channel *entries = sabot_channel_open(app, "entries", NULL, &entry_schema);
    sabot_agent *splitter = sabot_agent_create(app, name, transfers, split, ledger);
    sabot_agent *bookkeeper = sabot_agent_create(app, "book", legs, book, ledger);

    if (ledger == NULL)
        return sabot_app_status(app);
    read_options(app, ledger);
    sabot_channel_key(transfers, "from");
    sabot_channel_event_time(transfers, "time_ms");
    sabot_channel_key(entries, "account");
    sabot_agent_key(bookkeeper, "account");
    ledger->accounts = sabot_agent_value(bookkeeper, "account", &account_schema);
    ledger->legs = sabot_agent_output(splitter, legs);
    ledger->entries = sabot_agent_output(bookkeeper, entries);
    return sabot_app_status(app);
}

SABOT_APP(app, "ledger", build);
