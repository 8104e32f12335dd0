/* SPDX-License-Identifier: Apache-2.0 */
/* orders.c - what each customer owes: a table, and a state that two agents share.
 *
 *   customers -> the table "customer": who they are now
 *                  | looked up
 *   orders ------> bill -----> balances
 *                  | its state "account" is used
 *   payments ----> settle ---> balances */
#include <sabot/sabot.h>

struct customer {
    sabot_text id;
    sabot_text name;
    bool gone;
};
static const sabot_field customer_fields[] = {
    SABOT_FIELD(struct customer, id, "id", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct customer, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct customer, gone, "gone", SABOT_BOOL, SABOT_OPTIONAL),
};
static const sabot_schema customer_schema =
    SABOT_SCHEMA("customer", 1, struct customer, customer_fields);

struct amount { /* an order, or a payment */
    sabot_text customer;
    int64_t cents;
};
static const sabot_field amount_fields[] = {
    SABOT_FIELD(struct amount, customer, "customer", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct amount, cents, "cents", SABOT_INT64, SABOT_REQUIRED),
};
static const sabot_schema amount_schema = SABOT_SCHEMA("amount", 1, struct amount, amount_fields);

struct account { /* the state of a customer */
    int64_t changes;
    int64_t owed_cents;
};
static const sabot_field account_fields[] = {
    SABOT_FIELD(struct account, changes, "changes", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct account, owed_cents, "owed_cents", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema account_schema =
    SABOT_SCHEMA("account", 1, struct account, account_fields);

struct balance {
    sabot_text customer;
    sabot_text name; /* of a customer who is not known: none */
    int64_t change;  /* the how manyth: orders and payments leave by ways of their own */
    int64_t owed_cents;
};
static const sabot_field balance_fields[] = {
    SABOT_FIELD(struct balance, customer, "customer", SABOT_UTF8, SABOT_REQUIRED),
    SABOT_FIELD(struct balance, name, "name", SABOT_UTF8, SABOT_OPTIONAL),
    SABOT_FIELD(struct balance, change, "change", SABOT_INT64, SABOT_OPTIONAL),
    SABOT_FIELD(struct balance, owed_cents, "owed_cents", SABOT_INT64, SABOT_OPTIONAL),
};
static const sabot_schema balance_schema =
    SABOT_SCHEMA("balance", 1, struct balance, balance_fields);

struct orders {
    sabot_table *customers;
    sabot_value *account; /* of the agent "bill" */
    sabot_output *billed;
    sabot_output *settled;
};

/* Change what the customer owes, and say what it is now. */
static sabot_status add(sabot_context *context,
                        const struct orders *app,
                        const sabot_output *output,
                        int64_t cents)
{
    const struct customer *customer = sabot_table_read(context, app->customers);
    struct account *account = sabot_value_edit(context, app->account);
    struct balance balance = {.customer = sabot_key(context)};

    if (account == NULL)
        return sabot_context_status(context);
    account->owed_cents += cents;
    account->changes++;
    balance.owed_cents = account->owed_cents;
    balance.change = account->changes;
    if (customer != NULL)
        balance.name = customer->name;
    return sabot_emit(context, output, &balance);
}

static sabot_status bill(sabot_context *context, const void *record)
{
    const struct orders *app = sabot_user(context);

    return add(context, app, app->billed, ((const struct amount *)record)->cents);
}

static sabot_status settle(sabot_context *context, const void *record)
{
    const struct orders *app = sabot_user(context);

    return add(context, app, app->settled, -((const struct amount *)record)->cents);
}

static sabot_status build(sabot_app *app)
{
    struct orders *handles = sabot_app_memory(app, sizeof *handles);
    sabot_channel *customers = sabot_channel_open(app, "customers", NULL, &customer_schema);
    sabot_channel *orders = sabot_channel_open(app, "orders", NULL, &amount_schema);
    sabot_channel *payments = sabot_channel_open(app, "payments", NULL, &amount_schema);
    sabot_channel *balances = sabot_channel_open(app, "balances", NULL, &balance_schema);
    sabot_agent *biller = sabot_agent_create(app, "bill", orders, bill, handles);
    sabot_agent *settler = sabot_agent_create(app, "settle", payments, settle, handles);

    if (handles == NULL)
        return sabot_app_status(app);
    sabot_channel_key(customers, "id");
    handles->customers = sabot_table_create(app, "customer", customers);
    sabot_table_delete_by(handles->customers, "gone");

    sabot_agent_key(biller, "customer");
    handles->account = sabot_agent_value(biller, "account", &account_schema);
    sabot_agent_table(biller, handles->customers);
    handles->billed = sabot_agent_output(biller, balances);

    sabot_agent_key(settler, "customer");
    sabot_agent_use(settler, biller, "account");
    sabot_agent_table(settler, handles->customers);
    handles->settled = sabot_agent_output(settler, balances);
    return sabot_app_status(app);
}

SABOT_APP(app, "orders", build);
