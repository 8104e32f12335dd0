/* SPDX-License-Identifier: Apache-2.0 */
/* kafka.c - what Sabot on Kafka is measured against: programs that do nothing but use librdkafka.
 *
 *     kafka                                   the whole benchmark: bench/kafka.py with a broker
 *     kafka count BROKERS TOPIC               read a topic of 3 partitions to its end and count
 *     kafka forward BROKERS FROM TO           what comes in one topic goes to the other, until
 *                                             killed
 *     kafka staged BROKERS FROM TO MS         the same in transactions with its offsets, each as
 *                                             short as can be, so often
 *     kafka delays BROKERS FROM TO RATE N     write transactions at a rate, read what is committed
 *                                             of them, and say how long each took from when it was
 *                                             due
 *
 * The transactions of `delays` are all fast ones of one account each, so that every one of them but
 * the first two is an alert with its id. Time is open loop: a late record does not delay the next.
 * Results are one JSON object on stdout. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

enum { PARTITIONS = 3, ACCOUNTS = 16, WARM_UP = 400, PATIENCE_MS = 60000 };

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench kafka: %s: %s\n", what, why);
    exit(1);
}

static double clock_s(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

/* --- librdkafka ------------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) != RD_KAFKA_CONF_OK)
        die(name, reason);
}

static rd_kafka_t *client_with(rd_kafka_type_t type, const char *brokers, const char *transactions)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *handle;

    set(conf, "bootstrap.servers", brokers);
    set(conf, "socket.nagle.disable", "true");
    set(conf, "log_level", "4");
    if (type == RD_KAFKA_CONSUMER) {
        set(conf, "group.id", "bench");
        set(conf, "enable.auto.commit", "false");
        set(conf, "enable.auto.offset.store", "false");
        set(conf, "enable.partition.eof", "true");
        set(conf, "auto.offset.reset", "error");
        set(conf, "check.crcs", "true");
        set(conf, "isolation.level", "read_committed");
        set(conf, "fetch.wait.max.ms", "100");
    } else {
        set(conf, "enable.idempotence", "true");
        set(conf, "linger.ms", "0");
    }
    if (transactions != NULL) {
        set(conf, "transactional.id", transactions);
        set(conf, "retry.backoff.ms", "5");
    }
    handle = rd_kafka_new(type, conf, reason, sizeof reason);
    if (handle == NULL)
        die("client", reason);
    return handle;
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers)
{
    return client_with(type, brokers, NULL);
}

/* All partitions of a topic through one queue. */
struct input {
    rd_kafka_t *handle;
    rd_kafka_queue_t *queue;
};

static struct input input_open(const char *brokers, const char *topic, int64_t offset)
{
    struct input input = {.handle = client(RD_KAFKA_CONSUMER, brokers)};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);

    input.queue = rd_kafka_queue_new(input.handle);
    for (int i = 0; i < PARTITIONS; i++) {
        rd_kafka_queue_t *queue = rd_kafka_queue_get_partition(input.handle, topic, i);

        rd_kafka_queue_forward(queue, input.queue);
        rd_kafka_queue_destroy(queue);
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    }
    if (rd_kafka_assign(input.handle, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die(topic, "can't assign");
    rd_kafka_topic_partition_list_destroy(list);
    return input;
}

/* --- count ------------------------------------------------------------------------------------ */

struct counted {
    uint64_t records;
    uint64_t bytes;
    uint32_t ended;
};

static void on_counted(rd_kafka_message_t *message, void *context)
{
    struct counted *counted = context;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        counted->ended++;
    else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("count", rd_kafka_message_errstr(message));
    else {
        counted->records++;
        counted->bytes += message->len;
    }
}

static int count(const char *brokers, const char *topic)
{
    const double start_s = now_s();
    const struct input input = input_open(brokers, topic, 0);
    struct counted counted = {0};

    while (counted.ended < PARTITIONS)
        (void)rd_kafka_consume_callback_queue(input.queue, 100, on_counted, &counted);
    (void)printf(
        "{\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"processor_s\":%.6f}\n",
        counted.records, counted.bytes, now_s() - start_s, clock_s(CLOCK_PROCESS_CPUTIME_ID));
    return 0;
}

/* --- forward ---------------------------------------------------------------------------------- */

struct forward {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
};

static void on_forward(rd_kafka_message_t *message, void *context)
{
    const struct forward *forward = context;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("forward", rd_kafka_message_errstr(message));
    if (rd_kafka_produce(forward->topic, message->partition, RD_KAFKA_MSG_F_COPY, message->payload,
                         message->len, message->key, message->key_len, NULL) != 0)
        die("forward", rd_kafka_err2str(rd_kafka_last_error()));
    (void)rd_kafka_poll(forward->producer, 0);
}

__attribute__((noreturn)) static void forward(const char *brokers, const char *from, const char *to)
{
    struct forward forward = {.producer = client(RD_KAFKA_PRODUCER, brokers)};
    const struct input input = input_open(brokers, from, RD_KAFKA_OFFSET_BEGINNING);

    forward.topic = rd_kafka_topic_new(forward.producer, to, NULL);
    for (;;)
        (void)rd_kafka_consume_callback_queue(input.queue, 1000, on_forward, &forward);
}

/* --- staged ----------------------------------------------------------------------------------- */

enum { STAGED_MAX = 65536 };

/* What came since the last transaction. */
struct staged {
    rd_kafka_t *producer;
    rd_kafka_topic_t *topic;
    rd_kafka_message_t *messages[STAGED_MAX]; /* ours until they are produced */
    size_t count;
    int64_t next[PARTITIONS]; /* offset behind the last of each partition; -1: none */
};

static void no_error(const char *what, rd_kafka_error_t *error)
{
    if (error != NULL)
        die(what, rd_kafka_error_string(error));
}

static void stage(struct staged *staged, rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        rd_kafka_message_destroy(message);
        return;
    }
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || staged->count == STAGED_MAX)
        die("staged", rd_kafka_message_errstr(message));
    staged->next[message->partition] = message->offset + 1;
    staged->messages[staged->count++] = message;
}

static void send_offsets(const struct staged *staged, const char *from)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
    rd_kafka_consumer_group_metadata_t *group = rd_kafka_consumer_group_metadata_new("bench");

    for (int i = 0; i < PARTITIONS; i++) {
        if (staged->next[i] >= 0)
            rd_kafka_topic_partition_list_add(list, from, i)->offset = staged->next[i];
    }
    no_error("offsets", rd_kafka_send_offsets_to_transaction(staged->producer, list, group, -1));
    rd_kafka_consumer_group_metadata_destroy(group);
    rd_kafka_topic_partition_list_destroy(list);
}

static void commit_staged(struct staged *staged, const char *from)
{
    if (staged->count == 0)
        return;
    no_error("begin", rd_kafka_begin_transaction(staged->producer));
    send_offsets(staged, from);
    for (size_t i = 0; i < staged->count; i++) {
        rd_kafka_message_t *message = staged->messages[i];

        if (rd_kafka_produce(staged->topic, message->partition, RD_KAFKA_MSG_F_COPY,
                             message->payload, message->len, message->key, message->key_len,
                             NULL) != 0)
            die("staged", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_message_destroy(message);
    }
    staged->count = 0;
    no_error("commit", rd_kafka_commit_transaction(staged->producer, -1));
}

__attribute__((noreturn)) static void stage_all(const char *brokers,
                                                const char *from,
                                                const char *to,
                                                double interval_s)
{
    static struct staged staged;
    struct rd_kafka_metadata const *metadata;
    const struct input input = input_open(brokers, from, RD_KAFKA_OFFSET_BEGINNING);
    double next_s = now_s() + interval_s;

    staged.producer = client_with(RD_KAFKA_PRODUCER, brokers, to);
    staged.topic = rd_kafka_topic_new(staged.producer, to, NULL);
    for (int i = 0; i < PARTITIONS; i++)
        staged.next[i] = -1;
    no_error("init", rd_kafka_init_transactions(staged.producer, PATIENCE_MS));
    if (rd_kafka_metadata(staged.producer, 0, staged.topic, &metadata, PATIENCE_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
        die("staged", to);
    rd_kafka_metadata_destroy(metadata);
    for (;;) {
        const double left_s = next_s - now_s();
        rd_kafka_message_t *message =
            left_s <= 0 ? NULL : rd_kafka_consume_queue(input.queue, (int)(left_s * 1e3) + 1);

        if (message != NULL)
            stage(&staged, message);
        if (now_s() < next_s)
            continue;
        next_s = now_s() + interval_s;
        commit_staged(&staged, from);
    }
}

/* --- delays ----------------------------------------------------------------------------------- */

struct delays {
    const char *brokers;
    const char *from;
    double rate;
    uint64_t count; /* with the warm-up */
    double start_s; /* when the first is due */
    double *seen_s; /* when the result came; 0: not yet */
    uint64_t seen;
};

static double due_s(const struct delays *delays, uint64_t id)
{
    return delays->start_s + (double)id / delays->rate;
}

/* A record that makes an alert: fast, but of the usual amount and place. */
static void produce_one(const struct delays *delays, rd_kafka_topic_t *topic, uint64_t id)
{
    char key[32];
    char value[512];
    const int key_size = snprintf(key, sizeof key, "CL-%08" PRIu64, id % ACCOUNTS);
    const int size = snprintf(
        value, sizeof value,
        "{\"transaction_id\":%" PRIu64 ",\"account_number\":\"%s\",\"user_id\":\"user-1\","
        "\"transaction_date\":\"2025-03-01T00:00:00Z\",\"transaction_amount\":100.0,"
        "\"currency\":\"CLP\",\"transaction_type\":\"transfer\",\"branch_city\":\"Santiago\","
        "\"payment_method\":\"debit_card\",\"country\":\"Chile\",\"timestamp_ms\":%" PRIu64 "}",
        id, key, UINT64_C(1740787200000) + id);

    (void)delays;
    if (rd_kafka_produce(topic, (int32_t)(id % ACCOUNTS % PARTITIONS), RD_KAFKA_MSG_F_COPY, value,
                         (size_t)size, key, (size_t)key_size, NULL) != 0)
        die("delays", rd_kafka_err2str(rd_kafka_last_error()));
}

static void *produce_all(void *context)
{
    const struct delays *delays = context;
    rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, delays->brokers);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, delays->from, NULL);

    for (uint64_t id = 0; id < delays->count; id++) {
        const double due = due_s(delays, id);
        const struct timespec at = {.tv_sec = (time_t)due,
                                    .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        produce_one(delays, topic, id);
        (void)rd_kafka_poll(producer, 0);
    }
    (void)rd_kafka_flush(producer, PATIENCE_MS);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    return NULL;
}

static void on_result(rd_kafka_message_t *message, void *context)
{
    static const char name[] = "\"transaction_id\":";
    struct delays *delays = context;
    char text[1024];
    const char *at;
    uint64_t id;

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
        return;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR || message->len >= sizeof text)
        die("delays", rd_kafka_message_errstr(message));
    memcpy(text, message->payload, message->len);
    text[message->len] = '\0';
    at = strstr(text, name);
    if (at == NULL)
        die("a result without an id", text);
    id = strtoull(at + sizeof name - 1, NULL, 10);
    if (id >= delays->count || delays->seen_s[id] > 0)
        return;
    delays->seen_s[id] = now_s();
    delays->seen++;
}

static int by_size(const void *left, const void *right)
{
    const double difference = *(const double *)left - *(const double *)right;

    return (difference > 0) - (difference < 0);
}

static void report(const struct delays *delays)
{
    double *sorted = calloc(delays->count, sizeof *sorted);
    size_t size = 0;

    if (sorted == NULL)
        die("delays", "no memory");
    for (uint64_t id = WARM_UP; id < delays->count; id++) {
        if (delays->seen_s[id] > 0)
            sorted[size++] = (delays->seen_s[id] - due_s(delays, id)) * 1e3;
    }
    if (size == 0)
        die("delays", "no result came");
    qsort(sorted, size, sizeof *sorted, by_size);
    (void)printf("{\"results\":%zu,\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,"
                 "\"max_ms\":%.3f}\n",
                 size, sorted[size / 2], sorted[size * 95 / 100], sorted[size * 99 / 100],
                 sorted[size - 1]);
    free(sorted);
}

static int measure(const char *brokers, const char *from, const char *to, char **numbers)
{
    struct delays delays = {
        .brokers = brokers, .from = from, .rate = strtod(numbers[0], NULL), .start_s = now_s() + 1};
    const struct input input = input_open(brokers, to, RD_KAFKA_OFFSET_BEGINNING);
    pthread_t producer;
    uint64_t wanted;
    double last_s;

    delays.count = WARM_UP + strtoull(numbers[1], NULL, 10);
    delays.seen_s = calloc(delays.count, sizeof *delays.seen_s);
    /* The first two of an account are no alerts; a forwarder passes them on. */
    wanted = delays.count - (uint64_t)2 * ACCOUNTS;
    last_s = due_s(&delays, delays.count) + PATIENCE_MS / 1e3;
    if (delays.seen_s == NULL || pthread_create(&producer, NULL, produce_all, &delays) != 0)
        die("delays", "no memory");
    while (delays.seen < wanted && now_s() < last_s)
        (void)rd_kafka_consume_callback_queue(input.queue, 100, on_result, &delays);
    (void)pthread_join(producer, NULL);
    report(&delays);
    return 0;
}

int main(int argc, char **argv)
{
    int code;

    if (argc == 1) {
        (void)execlp("python3", "python3", "test/kafka/broker.py", "run", "--", "python3",
                     "bench/kafka.py", argv[0], (char *)NULL);
        die("python3", strerror(errno));
    }
    if (argc == 4 && strcmp(argv[1], "count") == 0)
        code = count(argv[2], argv[3]);
    else if (argc == 5 && strcmp(argv[1], "forward") == 0)
        forward(argv[2], argv[3], argv[4]);
    else if (argc == 6 && strcmp(argv[1], "staged") == 0)
        stage_all(argv[2], argv[3], argv[4], strtod(argv[5], NULL) / 1e3);
    else if (argc == 7 && strcmp(argv[1], "delays") == 0)
        code = measure(argv[2], argv[3], argv[4], argv + 5);
    else
        die(argv[1], "count BROKERS TOPIC | forward BROKERS FROM TO | staged BROKERS FROM TO MS | "
                     "delays BROKERS FROM TO RATE N");
    (void)fflush(stdout);
    _exit(code); /* clients close slowly, and nothing is left to do */
}
