/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - the channel `file:`: JSON lines, one file is one partition.
 *
 *     file:data/tx.jsonl               a record a line; blank lines are none
 *     file:data/tx.jsonl?follow=true   an input that waits at the end for more
 *     file:-                           standard input or standard output
 *     file:pipe                        a named pipe or a device: like standard input or output
 *
 * The first and the last link of a path that has no broker: here is what the channel as a whole
 * does; records go through file_read.c and file_write.c.
 *
 *   - A file holds lines and nothing else: no keys, headers, timestamps or transactions.
 *   - An offset is the byte at which a record's line starts.
 *   - An output is created by prepare when it is missing, and emptied by its first writer: a start
 *     that is refused has destroyed nothing. With `append` it is added to instead. What becomes of
 *     standard output the shell has said by > or >>.
 *   - A followed file is followed by what it is, not by its name: when another file takes its name,
 *     the old one is still read.
 *
 * Threads: everything here is the control thread's. Memory: the channel; a reader has blocks of its
 * own, and so has a writer, each within buffer_bytes. */
#include "channel/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { RULE_FOLLOW, RULE_COUNT };

static const struct sb_url_rule rules[RULE_COUNT] = {
    [RULE_FOLLOW] = {"follow", SB_URL_BOOL, 0, 0},
};

/* --- Open and close --------------------------------------------------------------------------- */

static void file_close(struct sb_channel *channel)
{
    const struct sb_env *env = channel->env;

    sb_file_readers_reap(channel, true);
    sb_file_output_close(channel);
    if (channel->file != NULL)
        env->type->file_close(env->self, channel->file);
    sb_url_reset(&channel->url);
    sb_free(env, channel, sizeof *channel);
}

/* Does the URL make sense for what the app does with the channel? */
static sabot_status check_use(const struct sb_channel *channel,
                              const struct sb_channel_config *config,
                              sabot_error *error)
{
    if (channel->url.rest[0] == '\0')
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s has no path: write file:PATH, or file:- for standard input or "
                           "output",
                           config->url);
    if (config->for_reading && config->for_writing)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: the app both reads and writes this channel, which a file can't be "
                           "used for: bind it to memory: or kafka:",
                           config->url);
    if (config->for_writing && channel->url.values[RULE_FOLLOW].given)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: follow is for inputs, and this is an output", config->url);
    if (channel->is_standard && channel->follow)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: standard input can't be followed: it ends when its other side "
                           "ends",
                           config->url);
    return SABOT_OK;
}

static void take_config(struct sb_channel *channel, const struct sb_channel_config *config)
{
    const uint64_t block_size = config->buffer_bytes / SB_FILE_BLOCKS;

    channel->is_standard = strcmp(channel->url.rest, "-") == 0;
    channel->for_reading = !config->for_writing;
    channel->append = config->append;
    channel->follow = sb_url_number(&channel->url, RULE_FOLLOW, 0) != 0;
    channel->until_end = config->until_end;
    channel->from_end =
        channel->follow && config->start != NULL && strcmp(config->start, "latest") == 0;
    channel->record_max = config->record_max;
    channel->block_size = block_size > SB_FILE_BLOCK_MAX ? SB_FILE_BLOCK_MAX : (size_t)block_size;
    if (channel->block_size == 0)
        channel->block_size = 1;
    channel->path = channel->url.rest;
    if (channel->is_standard)
        channel->path = channel->for_reading ? "standard input" : "standard output";
}

static sabot_status file_open(const struct sb_env *env,
                              const struct sb_channel_config *config,
                              struct sb_waker *waker,
                              struct sb_channel **channel_out,
                              sabot_error *error)
{
    struct sb_channel *channel = sb_alloc(env, sizeof *channel);
    sabot_status status;

    (void)waker; /* prepare never says AGAIN */
    *channel_out = NULL;
    if (channel == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for channel %s", config->url);
    channel->env = env;
    status = sb_url_init(&channel->url, env, config->url, rules, RULE_COUNT, error);
    if (status == SABOT_OK) {
        take_config(channel, config);
        status = check_use(channel, config, error);
    }
    if (status != SABOT_OK) {
        file_close(channel);
        return status;
    }
    *channel_out = channel;
    return SABOT_OK;
}

/* --- Prepare ---------------------------------------------------------------------------------- */

static sabot_status open_file(const struct sb_channel *channel,
                              struct sb_file **file_out,
                              sabot_error *error)
{
    const struct sb_env *env = channel->env;
    enum sb_open_mode mode = SB_OPEN_WRITE;

    if (channel->is_standard)
        return env->type->file_standard(env->self, channel->for_reading ? 0 : 1, file_out, error);
    if (channel->for_reading)
        mode = SB_OPEN_READ;
    else if (channel->append)
        mode = SB_OPEN_APPEND;
    return env->type->file_open(env->self, channel->path, mode, file_out, error);
}

static sabot_status check_kind(const struct sb_channel *channel,
                               const struct sb_file_info *info,
                               sabot_error *error)
{
    if (info->kind == SB_FILE_DIRECTORY)
        return sabot_raise(error, SABOT_ERR_IO, "%s: is a directory, not a file", channel->path);
    if (channel->follow && info->kind != SB_FILE_REGULAR)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: is a pipe or device, which can't be followed: it ends when its "
                           "other side ends; leave follow out",
                           channel->path);
    return SABOT_OK;
}

static sabot_status file_prepare(struct sb_channel *channel, sabot_error *error)
{
    const struct sb_env *env = channel->env;
    struct sb_file_info info;
    struct sb_file *file = NULL;
    sabot_status status;

    if (channel->file != NULL)
        return SABOT_OK;
    status = open_file(channel, &file, error);
    if (status == SABOT_OK)
        status = env->type->file_info(file, &info, error);
    if (status == SABOT_OK)
        status = check_kind(channel, &info, error);
    if (status == SABOT_OK) {
        channel->file = file;
        channel->info = info;
        return SABOT_OK;
    }
    if (file != NULL)
        env->type->file_close(env->self, file);
    return status;
}

/* --- What it is ------------------------------------------------------------------------------- */

static int32_t file_partition_count(const struct sb_channel *channel)
{
    SB_ASSERT(channel->file != NULL);
    return 1;
}

static bool file_finite(const struct sb_channel *channel)
{
    return !channel->follow || channel->until_end;
}

static bool file_connected(const struct sb_channel *channel)
{
    (void)channel;
    return true;
}

static const char *file_guarantee(const struct sb_channel *channel)
{
    if (channel->for_reading)
        return sb_file_is_regular(channel)
                   ? "each record once a run, which begins anew at every start: without a state "
                     "directory no position is kept"
                   : "each record at most once: what was read from a stream can't be read again";
    return sb_file_is_regular(channel) && !channel->is_standard
               ? "each result once in a run that ends well: the file is begun anew at every start"
               : "each result once in a run that ends well: what a failed run wrote can't be taken "
                 "back";
}

/* Of pipes and devices it can't be said: both ends of a terminal are one device. */
static bool file_same(const struct sb_channel *channel, const struct sb_channel *other)
{
    return sb_file_is_regular(channel) && sb_file_is_regular(other) &&
           channel->info.device == other->info.device && channel->info.inode == other->info.inode;
}

bool sb_file_is_blank(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != ' ' && bytes[i] != '\t' && bytes[i] != '\r')
            return false;
    }
    return true;
}

void sb_file_place(const struct sb_channel *channel,
                   uint64_t line,
                   int64_t offset,
                   char *text_out,
                   size_t size)
{
    enum { NAME_MAX_SIZE = 160 }; /* the end of a long path tells more than its beginning */
    const size_t length = strlen(channel->path);
    const bool is_long = length > NAME_MAX_SIZE;
    const char *name = is_long ? channel->path + length - NAME_MAX_SIZE : channel->path;

    if (line == 0)
        (void)snprintf(text_out, size, "%s%s: byte %" PRId64, is_long ? "..." : "", name, offset);
    else
        (void)snprintf(text_out, size, "%s%s: line %" PRIu64 " (byte %" PRId64 ")",
                       is_long ? "..." : "", name, line, offset);
}

const struct sb_channel_type sb_channel_file = {
    .scheme = "file",
    .open = file_open,
    .close = file_close,
    .prepare = file_prepare,
    .partition_count = file_partition_count,
    .finite = file_finite,
    .connected = file_connected,
    .guarantee = file_guarantee,
    .same = file_same,
    .reader_open = sb_file_reader_open,
    .reader_close = sb_file_reader_close,
    .poll = sb_file_reader_poll,
    .position = sb_file_reader_position,
    .place = sb_file_reader_place,
    .lag = sb_file_reader_lag,
    .stop = sb_file_reader_stop,
    .seek = sb_file_reader_seek,
    .writer_open = sb_file_writer_open,
    .writer_close = sb_file_writer_close,
    .write = sb_file_writer_write,
    .flush = sb_file_writer_flush,
    .sync = sb_file_writer_sync,
    .can_resume = sb_file_can_resume,
    .is_empty = sb_file_is_empty,
    .resume = sb_file_resume,
};
