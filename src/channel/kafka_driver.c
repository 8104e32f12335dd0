/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_driver.c - the thread of a Kafka channel that makes its blocking calls, one after the
 * other.
 *
 * It also serves the events of the channel's consumer (errors, tokens), and says in the log, once
 * per change and then at growing intervals, that no broker answers.
 *
 * Invariants: a job is in the list exactly while it is WAITING or abandoned. A waker is woken only
 * under the lock, so that an abandoned job never wakes a waker that is gone.
 * Threads: submit, result and abandon any thread, one at a time per job. Memory: jobs lie in their
 * objects. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum {
    SERVE_EVENTS_US = 1000000,   /* at least so often the consumer's events are served */
    SAY_AGAIN_MIN_US = 10000000, /* away: the second line, then twice as long each time */
    SAY_AGAIN_MAX_US = 300000000,
};

static void append(struct sb_kafka_driver *driver, struct sb_kafka_job *job)
{
    struct sb_kafka_job **link = &driver->jobs;

    while (*link != NULL) {
        SB_ASSERT(*link != job);
        link = &(*link)->next;
    }
    job->next = NULL;
    *link = job;
}

static void unlink_job(struct sb_kafka_driver *driver, struct sb_kafka_job *job)
{
    struct sb_kafka_job **link = &driver->jobs;

    while (*link != job) {
        SB_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = job->next;
}

void sb_kafka_job_submit(struct sb_kafka_driver *driver,
                         struct sb_kafka_job *job,
                         sabot_status (*run)(struct sb_kafka_job *job, sabot_error *error))
{
    SB_ASSERT(atomic_load(&job->state) == SB_KAFKA_JOB_IDLE);
    job->run = run;
    job->attempts = 0;
    job->due_us = 0;
    sb_lock_take(&driver->lock);
    atomic_store(&job->state, SB_KAFKA_JOB_WAITING);
    append(driver, job);
    sb_lock_drop(&driver->lock);
    sb_wake(driver->env, driver->waker);
}

sabot_status sb_kafka_job_result(struct sb_kafka_job *job, sabot_error *error)
{
    const uint32_t state = atomic_load_explicit(&job->state, memory_order_acquire);

    SB_ASSERT(state != SB_KAFKA_JOB_IDLE);
    if (state != SB_KAFKA_JOB_DONE)
        return SABOT_AGAIN;
    atomic_store(&job->state, SB_KAFKA_JOB_IDLE);
    if (job->status != SABOT_OK && error != NULL)
        *error = job->error;
    return job->status;
}

void sb_kafka_job_abandon(struct sb_kafka_driver *driver,
                          struct sb_kafka_job *job,
                          void (*release)(struct sb_kafka_job *job))
{
    sb_lock_take(&driver->lock);
    SB_ASSERT(job->release == NULL);
    job->release = release;
    job->waker = NULL;
    job->due_us = 0;
    if (atomic_load(&job->state) != SB_KAFKA_JOB_WAITING)
        append(driver, job);
    sb_lock_drop(&driver->lock);
    sb_wake(driver->env, driver->waker);
}

/* The next job that is due; `*due_us_out` is lowered to when the first of the others is. */
static struct sb_kafka_job *next_job(struct sb_kafka_driver *driver,
                                     int64_t now_us,
                                     int64_t *due_us_out)
{
    struct sb_kafka_job *job;

    sb_lock_take(&driver->lock);
    for (job = driver->jobs; job != NULL; job = job->next) {
        if (job->due_us <= now_us)
            break;
        if (job->due_us < *due_us_out)
            *due_us_out = job->due_us;
    }
    sb_lock_drop(&driver->lock);
    return job;
}

/* Backoff: doubled from try to try, and off by up to a quarter, so that many don't knock at once.
 */
static int64_t retry_after_us(const struct sb_kafka_driver *driver, uint32_t attempts)
{
    int64_t wait_us = SB_KAFKA_RETRY_MIN_MS * 1000LL;

    for (uint32_t i = 1; i < attempts && wait_us < SB_KAFKA_RETRY_MAX_MS * 1000LL; i++)
        wait_us *= 2;
    if (wait_us > SB_KAFKA_RETRY_MAX_MS * 1000LL)
        wait_us = SB_KAFKA_RETRY_MAX_MS * 1000LL;
    return wait_us - (int64_t)(sb_random(driver->env) % (uint64_t)(wait_us / 4));
}

/* Hand the result over. True: the object was closed meanwhile and must be released. */
static bool finish(struct sb_kafka_driver *driver, struct sb_kafka_job *job, sabot_status status)
{
    bool is_abandoned;

    sb_lock_take(&driver->lock);
    is_abandoned = job->release != NULL;
    if (!is_abandoned && status == SABOT_AGAIN) {
        job->attempts++;
        job->due_us = sb_now_us(driver->env) + retry_after_us(driver, job->attempts);
    } else {
        unlink_job(driver, job);
    }
    if (!is_abandoned && status != SABOT_AGAIN) {
        job->status = status;
        atomic_store_explicit(&job->state, SB_KAFKA_JOB_DONE, memory_order_release);
        if (job->waker != NULL)
            sb_wake(driver->env, job->waker);
    }
    sb_lock_drop(&driver->lock);
    return is_abandoned;
}

static void run_job(struct sb_kafka_driver *driver, struct sb_kafka_job *job)
{
    bool is_abandoned;
    sabot_status status = SABOT_AGAIN;

    sb_lock_take(&driver->lock);
    is_abandoned = job->release != NULL;
    sb_lock_drop(&driver->lock);
    if (!is_abandoned && !atomic_load(&driver->stopping))
        status = job->run(job, &job->error);
    if (finish(driver, job, status))
        job->release(job);
}

/* --- Brokers that are away -------------------------------------------------------------------- */

static struct sb_kafka_client *client_away(const struct sb_channel *channel)
{
    if (channel->consumer != NULL && !atomic_load(&channel->consumer->connected))
        return channel->consumer;
    if (channel->producer != NULL &&
        !atomic_load(&sb_kafka_producer_client(channel->producer)->connected))
        return sb_kafka_producer_client(channel->producer);
    return NULL;
}

static void say_away(const struct sb_kafka_driver *driver, const char *reason)
{
    sb_log(driver->env, SABOT_LOG_WARN, driver->channel->name,
           "no broker of %s answers: %s; trying again for as long as it takes, nothing is lost",
           driver->channel->brokers, reason);
}

/* Say what has changed. The first attempt is given a moment: until it has failed, nothing is said.
 */
static void watch_brokers(struct sb_kafka_driver *driver, int64_t now_us, int64_t *due_us)
{
    struct sb_kafka_client *away = client_away(driver->channel);
    char reason[SB_KAFKA_REASON_MAX];

    if (away == NULL) {
        if (driver->said_away)
            sb_log(driver->env, SABOT_LOG_WARN, driver->channel->name,
                   "brokers of %s answer again after %" PRId64 " s", driver->channel->brokers,
                   (now_us - driver->away_since_us) / 1000000);
        driver->said_away = false;
        return;
    }
    if (!sb_kafka_client_reason(away, reason))
        return;
    if (!driver->said_away) {
        driver->away_since_us = now_us;
        driver->say_again_us = now_us + SAY_AGAIN_MIN_US;
        driver->said_away = true;
        say_away(driver, reason);
    } else if (now_us >= driver->say_again_us) {
        const int64_t since_us = now_us - driver->away_since_us;

        driver->say_again_us =
            now_us + (since_us < SAY_AGAIN_MAX_US ? since_us : (int64_t)SAY_AGAIN_MAX_US);
        say_away(driver, reason);
    }
    if (driver->say_again_us < *due_us)
        *due_us = driver->say_again_us;
}

/* --- The thread ------------------------------------------------------------------------------- */

static struct sb_step step(void *context)
{
    struct sb_kafka_driver *driver = context;
    const struct sb_channel *channel = driver->channel;
    const int64_t now_us = sb_now_us(driver->env);
    const bool stopping = atomic_load(&driver->stopping);
    int64_t due_us = now_us + SERVE_EVENTS_US;
    struct sb_kafka_job *job = next_job(driver, now_us, &due_us);

    if (stopping && job == NULL)
        return sb_step_done();
    if (channel->consumer != NULL) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(channel->consumer->handle, 0);

        if (message != NULL)
            rd_kafka_message_destroy(message);
    }
    watch_brokers(driver, now_us, &due_us);
    if (job == NULL)
        return sb_step_wait(due_us);
    run_job(driver, job);
    return sb_step_again();
}

sabot_status sb_kafka_driver_init(struct sb_kafka_driver *driver,
                                  struct sb_channel *channel,
                                  sabot_error *error)
{
    driver->env = channel->env;
    driver->channel = channel;
    sb_lock_init(&driver->lock);
    return driver->env->type->waker_create(driver->env->self, &driver->waker, error);
}

sabot_status sb_kafka_driver_start(struct sb_kafka_driver *driver, sabot_error *error)
{
    return driver->env->type->spawn(driver->env->self, "kafka", step, driver, driver->waker,
                                    &driver->thread, error);
}

void sb_kafka_driver_stop(struct sb_kafka_driver *driver)
{
    if (driver->thread == NULL)
        return;
    /* What is still asked for belongs to the channel, which is going; the rest is abandoned. */
    sb_lock_take(&driver->lock);
    for (struct sb_kafka_job *job = driver->jobs; job != NULL; job = job->next)
        job->waker = NULL;
    sb_lock_drop(&driver->lock);
    atomic_store(&driver->stopping, true);
    sb_wake(driver->env, driver->waker);
    driver->env->type->join(driver->env->self, driver->thread);
    driver->thread = NULL;
}

void sb_kafka_driver_reset(struct sb_kafka_driver *driver)
{
    if (driver->env == NULL)
        return;
    if (driver->waker != NULL)
        driver->env->type->waker_destroy(driver->env->self, driver->waker);
    sb_lock_reset(&driver->lock);
    *driver = (struct sb_kafka_driver){0};
}
