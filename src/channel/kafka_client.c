/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_client.c - librdkafka clients: how they are configured, what they log, and whether their
 * brokers are there.
 *
 * Options come in three layers: what Sabot prefers, what the user says ("kafka.NAME=VALUE" sets
 * NAME of librdkafka), and what Sabot's promises stand on, which the user may not set.
 *
 * A broker's state is told by librdkafka at each change (an interceptor). A client is connected
 * when a broker is up, and away when an attempt to connect has failed and none is up; a connection
 * that a broker closes because it is idle is neither.
 *
 * Threads: create and destroy by the control or the driver thread; callbacks by librdkafka's.
 * Memory: one block per client. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <librdkafka/rdkafka.h>

#include "base/parse.h"

enum {
    LOG_WINDOW_US = 10000000,
    LOG_LINES_MAX = 5, /* of librdkafka, per window */
    QUEUE_KBYTES_MIN = 2048,
    QUEUE_KBYTES_MAX = 2097151, /* librdkafka's limit */
    BATCH_BYTES = 1000000,      /* librdkafka's default */
    MESSAGE_BYTES_MAX = 1000000000,
    MESSAGE_OVERHEAD = 1024, /* headers, and what is around a record */
    FETCH_NICE = 5,          /* beside the threads of the process that compute */
};

/* --- Options ---------------------------------------------------------------------------------- */

struct option {
    const char *name;
    const char *value;
};

/* Short ways for a few records, large steps for many: the measurements are in bench/. */
static const struct option preferred[] = {
    {"client.id", "sabot"},
    {"socket.nagle.disable", "true"},
    {"socket.keepalive.enable", "true"},
    {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "1000"},
    {"check.crcs", "true"},
    {NULL, NULL},
};
static const struct option preferred_consumer[] = {
    {"fetch.wait.max.ms", "100"}, /* a partition added waits for the fetch under way */
    {"fetch.error.backoff.ms", "50"},
    {"queued.min.messages", "10000"}, /* of a partition; each takes some 400 bytes beside its own */
    {NULL, NULL},
};
static const struct option preferred_producer[] = {
    {"linger.ms", "0"},
    {"message.timeout.ms", "0"}, /* a broker that is away is waited for */
    {NULL, NULL},
};
static const struct option forced_consumer[] = {
    {"group.id", "sabot"}, /* a name space that nothing is committed to: offsets go by group */
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"allow.auto.create.topics", "false"},
    {"isolation.level", "read_committed"},
    {"enable.partition.eof", "true"},
    {NULL, NULL},
};
static const struct option forced_producer[] = {
    {"enable.idempotence", "true"},
    {"allow.auto.create.topics", "false"},
    {NULL, NULL},
};

/* What the user may not set, and why. */
static const struct option refused[] = {
    {"bootstrap.servers", "brokers are named by the channel's URL"},
    {"metadata.broker.list", "brokers are named by the channel's URL"},
    {"group.id", "a pipeline's group is its own"},
    {"group.instance.id", "Sabot assigns partitions itself"},
    {"partition.assignment.strategy", "Sabot assigns partitions itself"},
    {"enable.auto.commit", "Sabot commits offsets with its checkpoints"},
    {"auto.commit.enable", "Sabot commits offsets with its checkpoints"},
    {"auto.commit.interval.ms", "Sabot commits offsets with its checkpoints"},
    {"enable.auto.offset.store", "Sabot commits offsets with its checkpoints"},
    {"offset.store.method", "Sabot commits offsets with its checkpoints"},
    {"auto.offset.reset", "an offset that is gone is an error; see kafka.start for the first one"},
    {"isolation.level", "only what was committed is read"},
    {"enable.partition.eof", "Sabot needs it to see the end of a partition"},
    {"allow.auto.create.topics", "a topic is created when the URL says ?partitions=N"},
    {"enable.idempotence", "without it records may be doubled or change their order"},
    {"transactional.id", "it belongs to the pipeline"},
    {"transaction.timeout.ms", "it belongs to the pipeline"},
    {"partitioner", "Sabot chooses the partition, as other clients do (murmur2 of the key)"},
    {"delivery.report.only.error", "Sabot counts what was delivered"},
    {"log.queue", "the log goes to Sabot's"},
    {"plugin.library.paths", "no code is loaded by an option"},
};

/* What the user may set within bounds only, and why. */
static const struct bound {
    const char *name;
    int64_t min, max;
    const char *why;
} bounds[] = {
    {"acks", -1, -1, "a record counts when all in-sync replicas have it"},
    {"request.required.acks", -1, -1, "a record counts when all in-sync replicas have it"},
    {"retries", 1, INT32_MAX, "what is not sent again is lost"},
    {"message.send.max.retries", 1, INT32_MAX, "what is not sent again is lost"},
    {"max.in.flight", 1, 5, "with more, brokers can't tell what was doubled"},
    {"max.in.flight.requests.per.connection", 1, 5,
     "with more, brokers can't tell what was doubled"},
};

struct setting {
    rd_kafka_conf_t *conf;
    sabot_status status;
    sabot_error *error;
};

static sabot_status set_one(rd_kafka_conf_t *conf,
                            const char *name,
                            const char *value,
                            sabot_error *error)
{
    char reason[512];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_CONFIG, "option kafka.%s: %s", name, reason);
}

static sabot_status set_all(rd_kafka_conf_t *conf, const struct option *options, sabot_error *error)
{
    for (; options->name != NULL; options++)
        SABOT_TRY(set_one(conf, options->name, options->value, error));
    return SABOT_OK;
}

/* "all" is -1 to librdkafka. */
static sabot_status check_bound(const char *name, const char *value, sabot_error *error)
{
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        const struct bound *bound = &bounds[i];
        int64_t number = strcmp(value, "all") == 0 ? -1 : 0;

        if (strcmp(bound->name, name) != 0 || (number == 0 && !sb_parse_int64(value, &number)))
            continue; /* what is no number is librdkafka's to refuse */
        if (number < bound->min || number > bound->max)
            return sabot_raise(error, SABOT_ERR_CONFIG, "option kafka.%s can't be %s: %s", name,
                               value, bound->why);
    }
    return SABOT_OK;
}

/* One option of the user. "kafka.start" is Sabot's own. */
static void visit_option(void *context, const char *name, const char *value)
{
    static const char prefix[] = "kafka.";
    struct setting *setting = context;

    if (strncmp(name, prefix, sizeof prefix - 1) == 0)
        name += sizeof prefix - 1;
    if (setting->status != SABOT_OK || strcmp(name, "start") == 0)
        return;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcmp(refused[i].name, name) == 0) {
            setting->status =
                sabot_raise(setting->error, SABOT_ERR_CONFIG, "option kafka.%s can't be set: %s",
                            name, refused[i].value);
            return;
        }
    }
    setting->status = check_bound(name, value, setting->error);
    if (setting->status == SABOT_OK)
        setting->status = set_one(setting->conf, name, value, setting->error);
}

static sabot_status set_user(const struct sb_channel *channel,
                             rd_kafka_conf_t *conf,
                             sabot_error *error)
{
    struct setting setting = {conf, SABOT_OK, error};

    if (channel->options_each != NULL)
        channel->options_each(channel->options, "kafka.", visit_option, &setting);
    return setting.status;
}

/* Each queue is bounded by the channel's bytes, and holds at least one large record. */
static sabot_status set_queues(const struct sb_channel *channel,
                               rd_kafka_conf_t *conf,
                               bool is_producer,
                               sabot_error *error)
{
    uint64_t kbytes = channel->buffer_bytes / 1024;
    char text[32];

    if (kbytes < QUEUE_KBYTES_MIN)
        kbytes = QUEUE_KBYTES_MIN;
    if (kbytes > QUEUE_KBYTES_MAX)
        kbytes = QUEUE_KBYTES_MAX;
    (void)snprintf(text, sizeof text, "%" PRIu64, kbytes);
    return set_one(conf, is_producer ? "queue.buffering.max.kbytes" : "queued.max.messages.kbytes",
                   text, error);
}

static sabot_status set_number(rd_kafka_conf_t *conf,
                               const char *name,
                               int64_t value,
                               sabot_error *error)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return set_one(conf, name, text, error);
}

/* Each record that Sabot lets through fits librdkafka's limit, and no batch is larger than the
 * topic takes, as far as that is known yet. */
static sabot_status set_sizes(const struct sb_channel *channel,
                              rd_kafka_conf_t *conf,
                              sabot_error *error)
{
    const int64_t batch_max = channel->facts.is_known ? channel->facts.batch_max : INT64_MAX;
    int64_t message_max = (int64_t)channel->record_max + MESSAGE_OVERHEAD;

    if (message_max < BATCH_BYTES)
        message_max = BATCH_BYTES;
    if (message_max > MESSAGE_BYTES_MAX)
        message_max = MESSAGE_BYTES_MAX;
    SABOT_TRY(set_number(conf, "message.max.bytes", message_max, error));
    return set_number(conf, "batch.size", batch_max < BATCH_BYTES ? batch_max : BATCH_BYTES, error);
}

static sabot_status set_transaction(rd_kafka_conf_t *conf,
                                    const char *transactional_id,
                                    int64_t timeout_ms,
                                    sabot_error *error)
{
    SABOT_TRY(set_one(conf, "transactional.id", transactional_id, error));
    SABOT_TRY(set_number(conf, "transaction.timeout.ms", timeout_ms, error));
    /* Neither a record nor a retry may outlive the transaction. */
    SABOT_TRY(set_number(conf, "message.timeout.ms", timeout_ms, error));
    return set_number(conf, "retry.backoff.ms", 5, error);
}

static sabot_status set_options(const struct sb_channel *channel,
                                rd_kafka_conf_t *conf,
                                bool is_producer,
                                const char *transactional_id,
                                int64_t timeout_ms,
                                sabot_error *error)
{
    SABOT_TRY(set_all(conf, preferred, error));
    SABOT_TRY(set_all(conf, is_producer ? preferred_producer : preferred_consumer, error));
    SABOT_TRY(set_queues(channel, conf, is_producer, error));
    if (is_producer)
        SABOT_TRY(set_sizes(channel, conf, error));
    if (transactional_id != NULL)
        SABOT_TRY(set_transaction(conf, transactional_id, timeout_ms, error));
    SABOT_TRY(set_user(channel, conf, error));
    SABOT_TRY(set_all(conf, is_producer ? forced_producer : forced_consumer, error));
    return set_one(conf, "bootstrap.servers", channel->brokers, error);
}

/* --- Log -------------------------------------------------------------------------------------- */

/* May a line be written now? At most LOG_LINES_MAX per window; `*dropped_out`: lines left out
 * since.
 */
static bool may_log(struct sb_kafka_client *client, uint32_t *dropped_out)
{
    const int64_t now_us = sb_now_us(client->channel->env);
    bool may;

    *dropped_out = 0;
    sb_lock_take(&client->lock);
    if (now_us >= client->log_window_us + LOG_WINDOW_US) {
        client->log_window_us = now_us;
        client->log_lines = 0;
        *dropped_out = client->log_dropped;
        client->log_dropped = 0;
    }
    may = client->log_lines < LOG_LINES_MAX;
    if (may)
        client->log_lines++;
    else
        client->log_dropped++;
    sb_lock_drop(&client->lock);
    return may;
}

/* Failures to connect are kept as the reason that the driver's own line gives. */
static void note_reason(struct sb_kafka_client *client, const char *text)
{
    const char *reason = strstr(text, ": ");

    if (reason != NULL && strncmp(text, "[thrd:", 6) == 0)
        text = reason + 2;
    sb_lock_take(&client->lock);
    (void)snprintf(client->reason, sizeof client->reason, "%s", text);
    sb_lock_drop(&client->lock);
}

/* librdkafka calls errors what passes by itself, so its errors are our warnings. */
static sabot_log_level level_of(int level, const char *facility)
{
    static const char *const quiet[] = {"FAIL", "ERROR", "CONFWARN", "GETPID", "TERMINATE"};

    for (size_t i = 0; i < sizeof quiet / sizeof quiet[0]; i++) {
        if (strcmp(facility, quiet[i]) == 0)
            return SABOT_LOG_DEBUG;
    }
    if (level <= 4)
        return SABOT_LOG_WARN;
    return level <= 6 ? SABOT_LOG_INFO : SABOT_LOG_DEBUG;
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    struct sb_kafka_client *client = rd_kafka_opaque(handle);
    const struct sb_channel *channel = client->channel;
    const sabot_log_level sabot_level = level_of(level, facility);
    uint32_t dropped;

    if (atomic_load(&client->closing))
        return;
    if (strcmp(facility, "FAIL") == 0)
        note_reason(client, text);
    if (sabot_level > channel->env->log_level)
        return;
    if (sabot_level < SABOT_LOG_DEBUG && !may_log(client, &dropped))
        return;
    if (sabot_level < SABOT_LOG_DEBUG && dropped > 0)
        sb_log(channel->env, sabot_level, channel->name, "librdkafka: %" PRIu32 " lines left out",
               dropped);
    sb_log(channel->env, sabot_level, channel->name, "librdkafka: %s: %s", facility, text);
}

/* --- Are the brokers there? ------------------------------------------------------------------- */

static struct sb_kafka_broker *find_broker(struct sb_kafka_client *client,
                                           const char *name,
                                           int port)
{
    struct sb_kafka_broker *broker;

    for (uint32_t i = 0; i < client->broker_count; i++) {
        broker = &client->brokers[i];
        if (broker->port == port && strcmp(broker->name, name) == 0)
            return broker;
    }
    if (client->broker_count == SB_KAFKA_BROKERS_MAX || strlen(name) >= sizeof broker->name)
        return NULL;
    broker = &client->brokers[client->broker_count++];
    memcpy(broker->name, name, strlen(name) + 1);
    broker->port = port;
    return broker;
}

/* The next state of a broker by the name that librdkafka has for it. */
static enum sb_kafka_broker_state next_state(enum sb_kafka_broker_state state, const char *name)
{
    if (strcmp(name, "UP") == 0)
        return SB_KAFKA_BROKER_UP;
    if (strcmp(name, "DOWN") == 0)
        return state == SB_KAFKA_BROKER_TRYING ? SB_KAFKA_BROKER_AWAY : SB_KAFKA_BROKER_UNKNOWN;
    if (strcmp(name, "CONNECT") == 0)
        return SB_KAFKA_BROKER_TRYING;
    return state;
}

static rd_kafka_resp_err_t on_broker_state(rd_kafka_t *handle,
                                           int32_t id,
                                           const char *protocol,
                                           const char *name,
                                           int port,
                                           const char *state,
                                           void *context)
{
    struct sb_kafka_client *client = context;
    struct sb_kafka_broker *broker;
    bool is_up = false;
    bool is_away = false;
    bool was;

    (void)handle, (void)id, (void)protocol;
    if (port == 0 || atomic_load(&client->closing))
        return RD_KAFKA_RESP_ERR_NO_ERROR; /* coordinators are brokers known otherwise, too */
    sb_lock_take(&client->lock);
    was = atomic_load(&client->connected);
    broker = find_broker(client, name, port);
    if (broker != NULL)
        broker->state = next_state(broker->state, state);
    for (uint32_t i = 0; i < client->broker_count; i++) {
        is_up = is_up || client->brokers[i].state == SB_KAFKA_BROKER_UP;
        is_away = is_away || client->brokers[i].state == SB_KAFKA_BROKER_AWAY;
    }
    if (is_up || is_away)
        atomic_store(&client->connected, is_up);
    if (is_up != was || is_away)
        sb_wake(client->channel->env, client->channel->driver.waker);
    sb_lock_drop(&client->lock);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* Where processors are scarce, who fetches gives way to who processes: between the two lies a queue
 * of records, and a worker that loses its processor each time a fetch has come is the slowest part
 * of the whole. A wish: a refusal changes nothing but speed. By the thread itself. */
static rd_kafka_resp_err_t on_thread(rd_kafka_t *handle,
                                     rd_kafka_thread_type_t type,
                                     const char *name,
                                     void *context)
{
    (void)handle, (void)name, (void)context;
    if (type == RD_KAFKA_THREAD_BROKER)
        (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + FETCH_NICE);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* --- Events of the client as a whole ---------------------------------------------------------- */

static rd_kafka_resp_err_t on_new(rd_kafka_t *handle,
                                  const rd_kafka_conf_t *conf,
                                  void *context,
                                  char *reason,
                                  size_t reason_size)
{
    const struct sb_kafka_client *client = context;

    (void)conf;
    if (reason_size > 0)
        reason[0] = '\0';
    if (!client->is_producer)
        (void)rd_kafka_interceptor_add_on_thread_start(handle, "sabot", on_thread, NULL);
    return rd_kafka_interceptor_add_on_broker_state_change(handle, "sabot", on_broker_state,
                                                           context);
}

static void on_consumer_event(rd_kafka_t *handle, void *context)
{
    const struct sb_kafka_client *client = context;

    (void)handle;
    sb_wake(client->channel->env, client->channel->driver.waker);
}

/* Errors of a client as a whole come as broker states and log lines; the queue only needs a
 * reader. */
static void on_error(rd_kafka_t *handle, int code, const char *reason, void *context)
{
    struct sb_kafka_client *client = context;

    (void)handle, (void)code;
    if (!atomic_load(&client->closing))
        sb_log(client->channel->env, SABOT_LOG_DEBUG, client->channel->name, "librdkafka: %s",
               reason);
}

bool sb_kafka_client_reason(struct sb_kafka_client *client, char reason_out[SB_KAFKA_REASON_MAX])
{
    sb_lock_take(&client->lock);
    memcpy(reason_out, client->reason, SB_KAFKA_REASON_MAX);
    sb_lock_drop(&client->lock);
    return reason_out[0] != '\0';
}

int sb_kafka_call_ms(const struct sb_kafka_client *client)
{
    return atomic_load(&client->connected) ? SB_KAFKA_CALL_MS : SB_KAFKA_CALL_AWAY_MS;
}

/* --- Queues that drain ------------------------------------------------------------------------ */

/* A value of the configuration; NULL: no memory, or no such value. */
static char *text_of(const struct sb_kafka_client *client,
                     const rd_kafka_conf_t *conf,
                     const char *name)
{
    size_t size = 0;
    char *text;

    if (rd_kafka_conf_get(conf, name, NULL, &size) != RD_KAFKA_CONF_OK)
        return sb_string_copy(client->channel->env, "");
    text = sb_alloc(client->channel->env, size);
    if (text != NULL)
        (void)rd_kafka_conf_get(conf, name, text, &size);
    return text;
}

static uint64_t number_of(const rd_kafka_conf_t *conf, const char *name)
{
    char text[32];
    size_t size = sizeof text;

    return rd_kafka_conf_get(conf, name, text, &size) == RD_KAFKA_CONF_OK ? strtoull(text, NULL, 10)
                                                                          : 0;
}

/* Keep what of the configuration is needed later. librdkafka since 2.2 looks at a full queue again
 * by itself, as often as it is told. */
static sabot_status note_options(struct sb_kafka_client *client,
                                 rd_kafka_conf_t *conf,
                                 sabot_error *error)
{
    client->queue_messages = number_of(conf, "queued.min.messages");
    client->queue_bytes = number_of(conf, "queued.max.messages.kbytes") * 1024;
    client->batch_bytes = client->is_producer ? number_of(conf, "batch.size") : 0;
    client->must_wake =
        rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "10", NULL, 0) == RD_KAFKA_CONF_UNKNOWN;
    client->sasl_user = text_of(client, conf, "sasl.username");
    client->sasl_password = text_of(client, conf, "sasl.password");
    if (client->sasl_user == NULL || client->sasl_password == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "channel %s: no memory for a Kafka client",
                           client->channel->name);
    return SABOT_OK;
}

/* A thread of librdkafka 2.0 that has found its queues full sleeps for up to a second, whoever
 * drains them. The only call that wakes it and does nothing else sets the credentials, here to what
 * they are: they matter when a connection is made, and only to SASL. */
void sb_kafka_client_wake(const struct sb_kafka_client *client)
{
    if (client->must_wake)
        rd_kafka_error_destroy(rd_kafka_sasl_set_credentials(client->handle, client->sasl_user,
                                                             client->sasl_password));
}

/* --- Life ------------------------------------------------------------------------------------- */

static sabot_status start(struct sb_kafka_client *client, rd_kafka_conf_t *conf, sabot_error *error)
{
    rd_kafka_queue_t *queue;
    char reason[512];

    client->handle = rd_kafka_new(client->is_producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf,
                                  reason, sizeof reason);
    if (client->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "no Kafka client: %s; see the kafka.* "
                           "options",
                           reason);
    }
    if (client->is_producer)
        return SABOT_OK;
    (void)rd_kafka_poll_set_consumer(client->handle);
    queue = rd_kafka_queue_get_consumer(client->handle);
    rd_kafka_queue_cb_event_enable(queue, on_consumer_event, client);
    rd_kafka_queue_destroy(queue);
    return SABOT_OK;
}

sabot_status sb_kafka_client_create(struct sb_channel *channel,
                                    bool is_producer,
                                    const char *transactional_id,
                                    int64_t transaction_timeout_ms,
                                    struct sb_kafka_client **client_out,
                                    sabot_error *error)
{
    struct sb_kafka_client *client = sb_alloc(channel->env, sizeof *client);
    rd_kafka_conf_t *conf;
    sabot_status status;

    *client_out = NULL;
    if (client == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a Kafka client");
    client->channel = channel;
    client->is_producer = is_producer;
    client->is_transactional = transactional_id != NULL;
    client->log_window_us = INT64_MIN / 2;
    sb_lock_init(&client->lock);
    conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    if (is_producer)
        rd_kafka_conf_set_dr_msg_cb(conf, sb_kafka_on_delivery);
    (void)rd_kafka_conf_interceptor_add_on_new(conf, "sabot", on_new, client);
    status =
        set_options(channel, conf, is_producer, transactional_id, transaction_timeout_ms, error);
    if (status == SABOT_OK)
        status = note_options(client, conf, error);
    if (status != SABOT_OK)
        rd_kafka_conf_destroy(conf);
    else
        status = start(client, conf, error);
    if (status != SABOT_OK) {
        sb_kafka_client_destroy(client);
        return status;
    }
    *client_out = client;
    return SABOT_OK;
}

void sb_kafka_client_destroy(struct sb_kafka_client *client)
{
    if (client == NULL)
        return;
    atomic_store(&client->closing, true);
    if (client->handle != NULL && client->is_producer) {
        /* What was not flushed is given up: nobody waits for it. */
        (void)rd_kafka_purge(client->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                                 RD_KAFKA_PURGE_F_NON_BLOCKING);
        rd_kafka_destroy(client->handle);
    } else if (client->handle != NULL) {
        /* Never a member of a group: there is none to leave, and leaving may hang. */
        rd_kafka_destroy_flags(client->handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    }
    sb_string_free(client->channel->env, client->sasl_user);
    sb_string_free(client->channel->env, client->sasl_password);
    sb_lock_reset(&client->lock);
    sb_free(client->channel->env, client, sizeof *client);
}

/* --- Errors ----------------------------------------------------------------------------------- */

bool sb_kafka_is_transient(int code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__WAIT_CACHE:
    case RD_KAFKA_RESP_ERR__IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__RETRY:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
    case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED: return true;
    default: return false;
    }
}

sabot_status sb_kafka_status(int code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT: return SABOT_ERR_TIMEOUT;
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: return SABOT_ERR_IO;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: return SABOT_ERR_NOT_FOUND;
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return SABOT_ERR_LIMIT;
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED: return SABOT_ERR_FENCED;
    case RD_KAFKA_RESP_ERR__STATE: return SABOT_ERR_STATE;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR_INVALID_MSG: return SABOT_ERR_CORRUPT;
    case RD_KAFKA_RESP_ERR__INVALID_ARG: return SABOT_ERR_ARGUMENT;
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION: return SABOT_ERR_UNSUPPORTED;
    default: return SABOT_ERR_BROKER;
    }
}
