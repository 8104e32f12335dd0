/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_offsets.c - offsets of a consumer group apart from a transaction, and its live members.
 *
 * They go through the Admin API, which names the group in the request: no client per group is
 * needed, and nobody joins anything. A group that is looked up must have no members: they would
 * commit offsets beside ours, and a broker lets a lone worker's transaction pass all the same.
 *
 * Threads: calls by the control thread, one at a time; `offsets_run` by the driver thread. Memory:
 * one block per call, with librdkafka's list. */
#include "channel/kafka.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum { MEMBERS_NAMED = 3, MEMBERS_SIZE = 512 };

/* Offsets of a group being committed or looked up. */
struct sb_kafka_offsets {
    struct sb_kafka_job job;
    struct sb_channel *channel;
    bool is_commit;
    char *group;
    rd_kafka_topic_partition_list_t *list; /* asked for; the answer replaces it */
};

void sb_kafka_offsets_free(struct sb_kafka_offsets *offsets)
{
    const struct sb_env *env;

    if (offsets == NULL)
        return;
    env = offsets->channel->env;
    if (offsets->list != NULL)
        rd_kafka_topic_partition_list_destroy(offsets->list);
    sb_string_free(env, offsets->group);
    sb_free(env, offsets, sizeof *offsets);
}

rd_kafka_topic_partition_list_t *sb_kafka_offset_list(const struct sb_channel *channel,
                                                      const struct sb_offset *offsets,
                                                      uint32_t offset_count)
{
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)offset_count);

    for (uint32_t i = 0; i < offset_count; i++) {
        const struct sb_offset *from = &offsets[i];
        rd_kafka_topic_partition_t *to = rd_kafka_topic_partition_list_add(
            list, from->channel == NULL ? channel->topic : from->channel, from->partition);

        to->offset = from->offset;
        if (from->metadata == NULL)
            continue;
        /* librdkafka frees it as its own. */
        to->metadata_size = strlen(from->metadata);
        to->metadata = rd_kafka_mem_malloc(client->handle, to->metadata_size + 1);
        if (to->metadata == NULL) {
            rd_kafka_topic_partition_list_destroy(list);
            return NULL;
        }
        memcpy(to->metadata, from->metadata, to->metadata_size + 1);
    }
    return list;
}

/* --- Members ----------------------------------------------------------------------------------
 */

static sabot_status raise_members(const struct sb_kafka_offsets *offsets,
                                  const rd_kafka_ConsumerGroupDescription_t *group,
                                  sabot_error *error)
{
    const size_t count = rd_kafka_ConsumerGroupDescription_member_count(group);
    char names[MEMBERS_SIZE] = "";
    size_t size = 0;

    for (size_t i = 0; i < count && i < MEMBERS_NAMED && size < sizeof names; i++) {
        const rd_kafka_MemberDescription_t *member =
            rd_kafka_ConsumerGroupDescription_member(group, i);

        size += (size_t)snprintf(names + size, sizeof names - size, "%s%s on %s",
                                 i == 0 ? "" : ", ", rd_kafka_MemberDescription_client_id(member),
                                 rd_kafka_MemberDescription_host(member));
    }
    return sabot_raise(error, SABOT_ERR_STATE,
                       "group %s at %s has %zu live member%s: %s%s; they read the same topics and "
                       "commit offsets beside this worker: end them, or let them use another group",
                       offsets->group, offsets->channel->brokers, count, count == 1 ? "" : "s",
                       names, count > MEMBERS_NAMED ? ", ..." : "");
}

/* SABOT_ERR_STATE: it has members. SABOT_AGAIN: ask again. Who may not ask is not refused. */
static sabot_status judge_members(const struct sb_kafka_offsets *offsets,
                                  rd_kafka_event_t *event,
                                  sabot_error *error)
{
    const rd_kafka_ConsumerGroupDescription_t **groups;
    const rd_kafka_error_t *cause;
    rd_kafka_resp_err_t code =
        event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    size_t count = 0;

    if (sb_kafka_is_transient(code))
        return SABOT_AGAIN;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return SABOT_OK;
    groups = rd_kafka_DescribeConsumerGroups_result_groups(
        rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    SB_ASSERT(count == 1);
    cause = rd_kafka_ConsumerGroupDescription_error(groups[0]);
    if (cause != NULL && sb_kafka_is_transient(rd_kafka_error_code(cause)))
        return SABOT_AGAIN;
    if (cause == NULL && rd_kafka_ConsumerGroupDescription_member_count(groups[0]) > 0)
        return raise_members(offsets, groups[0], error);
    return SABOT_OK;
}

static sabot_status check_members(const struct sb_kafka_offsets *offsets,
                                  rd_kafka_t *handle,
                                  rd_kafka_queue_t *queue,
                                  sabot_error *error)
{
    const char *name = offsets->group;
    rd_kafka_event_t *event;
    sabot_status status;

    rd_kafka_DescribeConsumerGroups(handle, &name, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, SB_KAFKA_CALL_MS);
    status = judge_members(offsets, event, error);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    return status;
}

/* --- Offsets ----------------------------------------------------------------------------------
 */

static const rd_kafka_group_result_t *group_result(const struct sb_kafka_offsets *offsets,
                                                   rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_group_result_t **groups =
        offsets->is_commit ? rd_kafka_AlterConsumerGroupOffsets_result_groups(
                                 rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count)
                           : rd_kafka_ListConsumerGroupOffsets_result_groups(
                                 rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);

    SB_ASSERT(count == 1);
    return groups[0];
}

/* The worst of what the answer says; the list takes the partitions of the answer. */
static rd_kafka_resp_err_t take_answer(struct sb_kafka_offsets *offsets, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code =
        event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    const rd_kafka_topic_partition_list_t *answer;
    const rd_kafka_group_result_t *group;

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return code;
    group = group_result(offsets, event);
    if (rd_kafka_group_result_error(group) != NULL)
        return rd_kafka_error_code(rd_kafka_group_result_error(group));
    answer = rd_kafka_group_result_partitions(group);
    for (int i = 0; answer != NULL && i < answer->cnt; i++) {
        if (answer->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return answer->elems[i].err;
    }
    if (!offsets->is_commit && answer != NULL) {
        rd_kafka_topic_partition_list_destroy(offsets->list);
        offsets->list = rd_kafka_topic_partition_list_copy(answer);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void ask(const struct sb_kafka_offsets *offsets, rd_kafka_t *handle, rd_kafka_queue_t *queue)
{
    if (offsets->is_commit) {
        rd_kafka_AlterConsumerGroupOffsets_t *request =
            rd_kafka_AlterConsumerGroupOffsets_new(offsets->group, offsets->list);

        rd_kafka_AlterConsumerGroupOffsets(handle, &request, 1, NULL, queue);
        rd_kafka_AlterConsumerGroupOffsets_destroy(request);
        return;
    }
    rd_kafka_ListConsumerGroupOffsets_t *request =
        rd_kafka_ListConsumerGroupOffsets_new(offsets->group, offsets->list);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);

    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
    rd_kafka_ListConsumerGroupOffsets(handle, &request, 1, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(request);
}

static sabot_status offsets_run(struct sb_kafka_job *job, sabot_error *error)
{
    struct sb_kafka_offsets *offsets = job->owner;
    const struct sb_channel *channel = offsets->channel;
    const struct sb_kafka_client *client = sb_kafka_control(channel);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->handle);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    sabot_status status = SABOT_OK;

    if (!offsets->is_commit)
        status = check_members(offsets, client->handle, queue, error);
    if (status == SABOT_OK) {
        ask(offsets, client->handle, queue);
        rd_kafka_event_t *event = rd_kafka_queue_poll(queue, SB_KAFKA_CALL_MS);
        code = take_answer(offsets, event);
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
    SABOT_TRY(status);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return SABOT_OK;
    if (sb_kafka_is_transient(code))
        return SABOT_AGAIN;
    return sabot_raise(error, sb_kafka_status(code), "group %s at %s: can't %s offsets: %s%s",
                       offsets->group, channel->brokers,
                       offsets->is_commit ? "commit" : "read the committed", rd_kafka_err2str(code),
                       code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID
                           ? "; the group has members: end the other consumers of it"
                           : "");
}

/* NULL: no memory. */
static struct sb_kafka_offsets *offsets_create(struct sb_channel *channel,
                                               bool is_commit,
                                               const char *group,
                                               const struct sb_offset *offsets,
                                               uint32_t offset_count)
{
    struct sb_kafka_offsets *call = sb_alloc(channel->env, sizeof *call);

    if (call == NULL)
        return NULL;
    call->channel = channel;
    call->is_commit = is_commit;
    call->group = sb_string_copy(channel->env, group);
    call->list = sb_kafka_offset_list(channel, offsets, offset_count);
    call->job.owner = call;
    call->job.waker = channel->waker;
    if (call->group == NULL || call->list == NULL) {
        sb_kafka_offsets_free(call);
        return NULL;
    }
    return call;
}

static sabot_status give_offset(const struct sb_channel *channel,
                                const rd_kafka_topic_partition_list_t *list,
                                struct sb_offset *offset,
                                sabot_error *error)
{
    const rd_kafka_topic_partition_t *found = rd_kafka_topic_partition_list_find(
        (rd_kafka_topic_partition_list_t *)list,
        offset->channel == NULL ? channel->topic : offset->channel, offset->partition);

    offset->offset = SB_OFFSET_NONE;
    offset->metadata = NULL;
    if (found == NULL || found->offset < 0)
        return SABOT_OK;
    if (found->metadata_size > 0) {
        offset->metadata = sb_string_copy_size(channel->env, found->metadata, found->metadata_size);
        if (offset->metadata == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for offsets");
    }
    offset->offset = found->offset;
    return SABOT_OK;
}

/* Submit, or go on with, the one call at a time. When it is done the answer is the caller's to
 * free, in `offsets_out`. */
static sabot_status offsets_call(struct sb_channel *channel,
                                 bool is_commit,
                                 const char *group,
                                 const struct sb_offset *offsets,
                                 uint32_t offset_count,
                                 struct sb_kafka_offsets **offsets_out,
                                 sabot_error *error)
{
    struct sb_kafka_offsets *call = channel->offsets;
    sabot_status status;

    *offsets_out = NULL;
    if (call == NULL) {
        call = offsets_create(channel, is_commit, group, offsets, offset_count);
        if (call == NULL)
            return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for offsets");
        channel->offsets = call;
        sb_kafka_job_submit(&channel->driver, &call->job, offsets_run);
    }
    SB_ASSERT(call->is_commit == is_commit);
    status = sb_kafka_job_result(&call->job, error);
    if (status == SABOT_AGAIN)
        return status;
    channel->offsets = NULL;
    *offsets_out = call;
    return status;
}

sabot_status sb_kafka_commit(struct sb_channel *channel,
                             const char *group,
                             const struct sb_offset *offsets,
                             uint32_t offset_count,
                             sabot_error *error)
{
    struct sb_kafka_offsets *answer;
    sabot_status status;

    if (offset_count == 0)
        return SABOT_OK;
    status = offsets_call(channel, true, group, offsets, offset_count, &answer, error);
    sb_kafka_offsets_free(answer);
    return status;
}

sabot_status sb_kafka_committed(struct sb_channel *channel,
                                const char *group,
                                struct sb_offset *offsets,
                                uint32_t offset_count,
                                sabot_error *error)
{
    struct sb_kafka_offsets *answer;
    sabot_status status;
    uint32_t given = 0;

    if (offset_count == 0)
        return SABOT_OK;
    status = offsets_call(channel, false, group, offsets, offset_count, &answer, error);
    while (answer != NULL && status == SABOT_OK && given < offset_count) {
        status = give_offset(channel, answer->list, &offsets[given], error);
        given += status == SABOT_OK;
    }
    for (uint32_t i = 0; i < given && status != SABOT_OK; i++) {
        sb_string_free(channel->env, offsets[i].metadata);
        offsets[i].metadata = NULL;
    }
    sb_kafka_offsets_free(answer);
    return status;
}
