/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - an agent on one worker: a row becomes a struct, the app's function is called with it.
 *
 *   slice --row--> struct --function(context, struct)--> state (state/store.h)
 *   timer that is due -----function(context, time)-----> outlets: kept if it succeeded
 *
 * What is the same for a batch is done once per batch; per row there are the struct, the key, two
 * prefetches of state some rows ahead, and the call.
 *
 * Thread: the worker's. Memory: one struct of the schema and the store. */
#include "op/process.h"

enum {
    FIRE_MAX = 1024, /* timers of one step */
    KEY_SHOWN = 64,  /* bytes of a key in an error */
};

static const uint32_t NO_STATE = UINT32_MAX;

struct sb_operator {
    const struct sb_env *env;
    const struct sb_process_settings *settings;
    const struct sb_keyed_settings *states; /* NULL: it has none */
    const char *name;
    int32_t key_field;
    uint32_t record_size;
    void *record;                 /* the struct that the function sees */
    uint32_t ahead;               /* the state that is prefetched, or NO_STATE */
    struct sb_store *ahead_store; /* that has it */
    bool has_timers;
    bool has_event_ttl;                /* of a state, in event time */
    const struct sb_state_spec *timer; /* that is being called; NULL: a record is */
    int64_t timer_ms;
    struct sb_keyed keyed;
    struct sabot_context context;
    bool drops_state; /* restored: what is no more is passed over */
};

/* --- Making --------------------------------------------------------------------------------------
 */

static void destroy(struct sb_operator *self)
{
    if (self == NULL)
        return;
    sb_agent_windows_destroy(&self->context);
    sb_keyed_close(&self->keyed);
    if (self->context.rows != NULL)
        sb_free(self->env, self->context.rows, self->settings->rows_size);
    sb_context_reset(&self->context);
    sb_free(self->env, self->record, self->record_size);
    sb_free(self->env, self, sizeof *self);
}

/* What of the states matters to rows and to time. */
static void look_at_states(struct sb_operator *self)
{
    self->ahead = NO_STATE;
    for (uint32_t i = 0; self->states != NULL && i < self->states->state_count; i++) {
        const struct sb_state_spec *state = &self->states->states[i];

        if (state->kind == SB_STATE_TIMERS)
            self->has_timers = true;
        else if (self->ahead == NO_STATE ||
                 (state->ahead != NULL && self->states->states[self->ahead].ahead == NULL))
            self->ahead = i;
        if (state->ttl_ms > 0 && state->ttl_time == SB_TIME_EVENT)
            self->has_event_ttl = true;
    }
}

static sabot_status create_store(struct sb_operator *self,
                                 const struct sb_operator_config *config,
                                 sabot_error *error)
{
    const struct sb_process_settings *settings = self->settings;

    SABOT_TRY(sb_keyed_open(&self->keyed, config, error));
    self->context.store = self->keyed.store;
    self->ahead_store = self->keyed.store;
    return sb_agent_windows_create(&self->context, settings->windows, settings->window_count,
                                   error);
}

static sabot_status create(const struct sb_operator_config *config,
                           struct sb_operator **operator_out,
                           sabot_error *error)
{
    const struct sb_process_settings *settings = config->settings;
    struct sb_operator *self = sb_alloc(config->env, sizeof *self);
    sabot_status status;

    *operator_out = NULL;
    if (self == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory", config->name);
    *self = (struct sb_operator){
        .env = config->env,
        .settings = settings,
        .states = config->keyed,
        .name = config->name,
        .key_field = config->key_field,
        .drops_state = config->drops_state,
        .record_size = config->input->record_size,
        .context =
            {
                .env = config->env,
                .agent = config->name,
                .owner = settings->owner,
                .user = settings->user,
                .outlets = config->outlets,
                .outlet_count = config->outlet_count,
                .uses = settings->uses,
                .use_count = settings->use_count,
                .watermark_ms = INT64_MIN,
            },
    };
    look_at_states(self);
    self->record = sb_alloc(config->env, self->record_size);
    if (settings->rows_size > 0)
        self->context.rows = sb_alloc(config->env, settings->rows_size);
    if (self->record == NULL || (settings->rows_size > 0 && self->context.rows == NULL))
        status = sabot_raise(error, SABOT_ERR_MEMORY, "agent %s: no memory", config->name);
    else
        status = create_store(self, config, error);
    if (status != SABOT_OK) {
        destroy(self);
        return status;
    }
    *operator_out = self;
    return SABOT_OK;
}

/* --- State of others -----------------------------------------------------------------------------
 */

static struct sb_store *store_of(struct sb_operator *self)
{
    return self->context.store;
}

/* What is looked up for every row is fetched ahead: the agent's own state, or else another's. */
static void borrow(struct sb_operator *self, uint32_t index, struct sb_store *store)
{
    sabot_context *context = &self->context;

    SB_ASSERT(index == context->lent_count);
    SB_ASSERT(index < SB_LENDERS_MAX);
    context->lent[context->lent_count++] = store;
    for (uint32_t i = 0; i < context->use_count && self->ahead == NO_STATE; i++) {
        if (context->uses[i].lender != index)
            continue;
        self->ahead = context->uses[i].index;
        self->ahead_store = store;
    }
}

/* The wall clock, in each store that the next calls may use. The watermark of a store is that of
 * its own task. */
static void pass_time(struct sb_operator *self)
{
    sabot_context *context = &self->context;

    context->processing_ms = sb_wall_ms(self->env);
    for (uint32_t i = 0; i < context->lent_count; i++)
        sb_store_time(context->lent[i], context->lent[i]->watermark_ms, context->processing_ms);
    sb_agent_windows_time(context);
}

/* Between two calls of the app: what others' stores gave is of no more use. */
static sabot_status begin_lent(sabot_context *context, sabot_error *error)
{
    for (uint32_t i = 0; i < context->lent_count; i++)
        SABOT_TRY(sb_store_begin(context->lent[i], context->event_time_ms, error));
    return SABOT_OK;
}

/* --- Rows ----------------------------------------------------------------------------------------
 */

static bool has_sealed(const sabot_context *context)
{
    for (uint32_t i = 0; i < context->outlet_count; i++) {
        if (context->outlets[i].sealed_count > 0)
            return true;
    }
    return false;
}

/* A key as an error shows it: short, on one line. */
struct shown {
    char text[KEY_SHOWN + sizeof "..."];
};

static struct shown show(sabot_text key)
{
    struct shown shown;
    const size_t size = key.size < KEY_SHOWN ? key.size : KEY_SHOWN;

    for (size_t i = 0; i < size; i++)
        shown.text[i] = key.data[i] >= ' ' && key.data[i] <= '~' ? key.data[i] : '?';
    memcpy(shown.text + size, size < key.size ? "..." : "", size < key.size ? sizeof "..." : 1);
    return shown;
}

/* Say where: the app's text, or the store's, stands behind the agent, partition and offset. */
static sabot_status raise_place(const struct sb_operator *self,
                                sabot_status status,
                                const char *text,
                                sabot_error *error)
{
    const sabot_context *context = &self->context;

    if (self->timer != NULL)
        return sabot_raise(error, status, "agent %s: timer %s of key \"%s\" at %lld ms: %s",
                           self->name, self->timer->name, show(context->key).text,
                           (long long)self->timer_ms, text);
    if (context->partition < 0)
        return sabot_raise(error, status, "agent %s: %s", self->name, text);
    return sabot_raise(error, status, "agent %s: partition %d, offset %lld: %s", self->name,
                       (int)context->partition, (long long)context->offset, text);
}

/* The first failure of a store that sticks, as one of the call. */
static sabot_status check_store(sabot_context *context, const struct sb_store *store)
{
    sabot_error error;
    const sabot_status status = sb_store_status(store, &error);

    return status == SABOT_OK ? SABOT_OK : sb_context_fail(context, status, "%s", error.text);
}

static sabot_status check_stores(sabot_context *context)
{
    if (context->store != NULL)
        SABOT_TRY(check_store(context, context->store));
    for (uint32_t i = 0; i < context->lent_count; i++)
        SABOT_TRY(check_store(context, context->lent[i]));
    return SABOT_OK;
}

/* After the function: keep what it emitted, or undo it and say why. */
static sabot_status finish_call(struct sb_operator *self, sabot_status status, sabot_error *error)
{
    sabot_context *context = &self->context;

    if (status == SABOT_OK)
        status = context->error.status;
    if (status == SABOT_OK)
        status = check_stores(context);
    if (__builtin_expect(status == SABOT_OK, 1)) {
        for (uint32_t i = 0; i < context->outlet_count; i++)
            sb_outlet_keep(&context->outlets[i]);
        return SABOT_OK;
    }
    for (uint32_t i = 0; i < context->outlet_count; i++)
        sb_outlet_undo(&context->outlets[i]);
    if (context->error.status != SABOT_OK)
        return raise_place(self, context->error.status, context->error.text, error);
    /* Marks of the library are no way to fail; without a text the number must do. */
    if (status == SABOT_AGAIN || status == SABOT_END)
        status = SABOT_ERR_USER;
    return raise_place(self, status, sabot_status_text(status), error);
}

static sabot_status call(struct sb_operator *self,
                         const struct sb_slice *slice,
                         uint32_t at,
                         sabot_error *error)
{
    const struct sb_batch *batch = slice->batch;
    const uint32_t row = slice->rows[at];
    sabot_context *context = &self->context;
    uint8_t scratch[SB_KEY_SCRATCH];
    sabot_status status;

    sb_batch_record(batch, row, self->record);
    context->event_time_ms = batch->event_times[row];
    context->offset = sb_batch_offset(batch, row);
    context->hash = slice->hashes[at];
    context->deletes = sb_batch_deletes(batch, row);
    if (self->key_field != SB_NO_FIELD)
        context->key = sb_key_of(batch, (uint32_t)self->key_field, row, scratch);
    context->error.status = SABOT_OK;
    if (context->store != NULL)
        SABOT_TRY(sb_store_begin(context->store, context->event_time_ms, error));
    SABOT_TRY(begin_lent(context, error));
    context->call++;
    context->active = true;
    status = self->settings->function(context, self->record);
    context->active = false;
    return finish_call(self, status, error);
}

/* --- Timers --------------------------------------------------------------------------------------
 */

/* One timer, for sb_store_fire(): like a row, without a record. */
static sabot_status on_timer(void *argument,
                             uint32_t index,
                             sabot_text key,
                             uint64_t hash,
                             int64_t time_ms,
                             sabot_error *error)
{
    struct sb_operator *self = argument;
    sabot_context *context = &self->context;
    sabot_status status;

    self->timer = &self->states->states[index];
    self->timer_ms = time_ms;
    context->key = key;
    context->hash = hash;
    if (self->timer->ttl_time == SB_TIME_EVENT)
        context->event_time_ms = time_ms;
    else if (context->watermark_ms == INT64_MIN)
        context->event_time_ms = context->processing_ms;
    else if (context->watermark_ms != INT64_MAX)
        context->event_time_ms = context->watermark_ms;
    context->error.status = SABOT_OK;
    SABOT_TRY(begin_lent(context, error));
    context->call++;
    context->active = true;
    status = sb_agent_windows_own(context, index) ? sb_agent_windows_timer(context, index, time_ms)
                                                  : self->settings->timers[index](context, time_ms);
    context->active = false;
    status = finish_call(self, status, error);
    self->timer = NULL;
    if (status == SABOT_OK && has_sealed(context))
        return SABOT_AGAIN;
    return status;
}

static void begin_timers(struct sb_operator *self)
{
    sabot_context *context = &self->context;
    const int64_t now_us = sb_now_us(self->env);

    context->partition = -1;
    context->offset = -1;
    pass_time(self);
    for (uint32_t i = 0; i < context->outlet_count; i++)
        sb_outlet_arrival(&context->outlets[i], now_us);
}

/* Time passes from timer to timer, so that each sees what has not expired by its own time, however
 * far the watermark has come. */
static sabot_status fire_in_turn(struct sb_operator *self, sabot_error *error)
{
    const sabot_context *context = &self->context;
    struct sb_store *store = context->store;

    for (uint32_t turns = 0; turns < FIRE_MAX; turns++) {
        const int64_t next_ms = sb_store_next_timer(store, SB_TIME_EVENT);

        if (next_ms > sb_passed_ms(context->watermark_ms) || next_ms == INT64_MAX) {
            /* The end of the inputs is no time by which anything expires. */
            if (context->watermark_ms != INT64_MAX)
                sb_store_time(store, sb_passed_ms(context->watermark_ms), context->processing_ms);
            return SABOT_OK;
        }
        sb_store_time(store, next_ms, context->processing_ms);
        SABOT_TRY(sb_store_fire(store, FIRE_MAX, on_timer, self, error));
    }
    return SABOT_AGAIN;
}

/* Timers of event time that are due by the watermark. */
static sabot_status fire_passed(struct sb_operator *self, sabot_error *error)
{
    const sabot_context *context = &self->context;

    begin_timers(self);
    if (self->has_event_ttl)
        return fire_in_turn(self, error);
    sb_store_time(context->store, sb_passed_ms(context->watermark_ms), context->processing_ms);
    return sb_store_fire(context->store, FIRE_MAX, on_timer, self, error);
}

/* After a batch: timers that its records have set for a time that had passed already. */
static sabot_status fire_overdue(struct sb_operator *self, sabot_error *error)
{
    const sabot_context *context = &self->context;

    if (!self->has_timers ||
        sb_store_next_timer(context->store, SB_TIME_EVENT) > sb_passed_ms(context->watermark_ms) ||
        context->watermark_ms == INT64_MIN)
        return SABOT_OK;
    return has_sealed(context) ? SABOT_AGAIN : fire_passed(self, error);
}

static sabot_status rows(struct sb_operator *self,
                         const struct sb_slice *slice,
                         uint32_t *cursor,
                         uint32_t end,
                         sabot_error *error)
{
    const struct sb_batch_origin *origin = &slice->batch->origin;
    sabot_context *context = &self->context;

    context->partition = origin->partition;
    for (uint32_t i = 0; i < context->outlet_count; i++)
        sb_outlet_arrival(&context->outlets[i], origin->arrival_us);
    pass_time(self);
    if (context->store != NULL)
        sb_store_time(context->store, sb_passed_ms(context->watermark_ms), context->processing_ms);
    for (; *cursor < end && !has_sealed(context); (*cursor)++) {
        if (self->ahead != NO_STATE)
            sb_store_ahead(self->ahead_store, self->ahead, slice->hashes, *cursor, slice->count);
        SABOT_TRY(call(self, slice, *cursor, error));
    }
    return *cursor < slice->count ? SABOT_OK : fire_overdue(self, error);
}

static sabot_status watermark(struct sb_operator *self, int64_t watermark_ms, sabot_error *error)
{
    sabot_context *context = &self->context;

    SB_ASSERT(watermark_ms >= context->watermark_ms);
    context->watermark_ms = watermark_ms;
    return self->has_timers ? fire_passed(self, error) : SABOT_OK;
}

static int64_t due_ms(const struct sb_operator *self)
{
    return self->has_timers ? sb_store_next_timer(self->context.store, SB_TIME_PROCESSING)
                            : INT64_MAX;
}

static sabot_status on_clock(struct sb_operator *self, sabot_error *error)
{
    sabot_context *context = &self->context;

    begin_timers(self);
    sb_store_time(context->store, context->store->watermark_ms, context->processing_ms);
    return sb_store_fire(context->store, FIRE_MAX, on_timer, self, error);
}

/* --- Checkpoints ---------------------------------------------------------------------------------
 */

static sabot_status restore(struct sb_operator *self,
                            const struct sb_byte_source *source,
                            sabot_error *error)
{
    if (self->context.store == NULL && self->drops_state)
        return SABOT_OK;
    if (self->context.store == NULL)
        return sabot_raise(error, SABOT_ERR_SCHEMA,
                           "agent %s has no state any more: --drop-state forgets it", self->name);
    return sb_store_restore(self->context.store, source, error);
}

const struct sb_operator_type sb_operator_process = {
    .name = "process",
    .create = create,
    .destroy = destroy,
    .rows = rows,
    .watermark = watermark,
    .due_ms = due_ms,
    .clock = on_clock,
    .store = store_of,
    .borrow = borrow,
    .restore = restore,
};
