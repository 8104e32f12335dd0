/* SPDX-License-Identifier: Apache-2.0 */
/* folder.c - writing, finding, reading and removing checkpoints; folder.h has the order of steps.
 */
#include "ckpt/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mutant.h"
#include "ckpt/bytes.h"
#include "ckpt/rows.h"

enum { ENTRY_FORMAT_SIZE = 5 + 16 + 1 + 16 };

static const char CHUNKS_NAME[] = "chunks";
static const char STATE_NAME[] = "state";
static const char MANIFEST_NAME[] = "manifest";
static const char TEMPORARY_NAME[] = "manifest.tmp";
static const char COMMITTED_NAME[] = "committed";

/* --- Paths ---------------------------------------------------------------------------------------
 */

struct path {
    char text[SB_CKPT_PATH_MAX];
};

static struct path path_of(const struct sb_ckpt_folder *folder,
                           const struct sb_ckpt_entry *entry,
                           const char *file)
{
    struct path path;

    /* Cut paths are no risk: open() checked that the longest of them fits. */
    (void)snprintf(path.text, sizeof path.text, "%s/ckpt-%016llx-%016llx%s%s", folder->path,
                   (unsigned long long)entry->id, (unsigned long long)entry->nonce,
                   file == NULL ? "" : "/", file == NULL ? "" : file);
    return path;
}

void sb_ckpt_path(const struct sb_ckpt_folder *folder,
                  const struct sb_ckpt_entry *entry,
                  const char *file,
                  char path[SB_CKPT_PATH_MAX])
{
    const struct path made = path_of(folder, entry, file);

    memcpy(path, made.text, sizeof made.text);
}

static void path_in(const struct sb_ckpt_folder *folder, const char *name, char *path)
{
    (void)snprintf(path, SB_CKPT_PATH_MAX, "%s/%s", folder->path, name);
}

/* "ckpt-<16 hex>-<16 hex>", nothing else. */
static bool parse_entry(const char *name, struct sb_ckpt_entry *entry_out)
{
    char again[ENTRY_FORMAT_SIZE + 1];
    char *end;

    if (strlen(name) != ENTRY_FORMAT_SIZE || strncmp(name, "ckpt-", 5) != 0)
        return false;
    entry_out->id = (int64_t)strtoull(name + 5, &end, 16);
    if (*end != '-')
        return false;
    entry_out->nonce = strtoull(end + 1, NULL, 16);
    (void)snprintf(again, sizeof again, "ckpt-%016llx-%016llx", (unsigned long long)entry_out->id,
                   (unsigned long long)entry_out->nonce);
    return strcmp(name, again) == 0 && entry_out->id > 0;
}

/* --- Folders -------------------------------------------------------------------------------------
 */

static sabot_status make_folder(const struct sb_env *env, const char *path, sabot_error *error)
{
    const sabot_status status = env->type->directory_create(env->self, path, error);

    return status == SABOT_ERR_EXISTS ? SABOT_OK : status;
}

/* STATE_DIR, STATE_DIR/APP and STATE_DIR/APP/PIPELINE, each safe on disk in the one above. */
static sabot_status make_folders(struct sb_ckpt_folder *folder,
                                 const char *state_dir,
                                 sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const sabot_status made = env->type->directory_create(env->self, state_dir, error);
    char path[SB_CKPT_PATH_MAX];
    sabot_status status;

    if (made != SABOT_OK && made != SABOT_ERR_EXISTS)
        return made;
    /* One that was there may lie in a folder that can't be read: it is somebody else's to keep. */
    status = sb_sync_above(env, state_dir, error);
    if (status != SABOT_OK && made == SABOT_OK)
        return status;
    (void)snprintf(path, sizeof path, "%s/%s", state_dir, folder->app);
    SABOT_TRY(make_folder(env, path, error));
    SABOT_TRY(make_folder(env, folder->path, error));
    SABOT_TRY(env->type->directory_sync(env->self, path, error));
    return env->type->directory_sync(env->self, state_dir, error);
}

sabot_status sb_ckpt_folder_open(struct sb_ckpt_folder *folder,
                                 const struct sb_env *env,
                                 const char *state_dir,
                                 const char *app,
                                 const char *pipeline,
                                 sabot_error *error)
{
    sabot_status status;

    *folder = (struct sb_ckpt_folder){.env = env, .app = app, .pipeline = pipeline};
    if (strlen(state_dir) + strlen(app) + strlen(pipeline) + 128 > SB_CKPT_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "state.dir %.200s...: the path is too long",
                           state_dir);
    folder->path = sb_string_format(env, "%s/%s/%s", state_dir, app, pipeline);
    if (folder->path == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory");
    status = make_folders(folder, state_dir, error);
    if (status != SABOT_OK)
        sb_ckpt_folder_close(folder);
    return status;
}

void sb_ckpt_folder_close(struct sb_ckpt_folder *folder)
{
    if (folder->path != NULL)
        sb_string_free(folder->env, folder->path);
    folder->path = NULL;
}

static sabot_status fence(sabot_error *error)
{
    if (error != NULL)
        error->fatal = true;
    return SABOT_ERR_FENCED;
}

sabot_status sb_ckpt_move_aside(const struct sb_ckpt_folder *folder, sabot_error *error)
{
    const struct sb_env *env = folder->env;
    char aside[SB_CKPT_PATH_MAX];
    sabot_status status;

    (void)snprintf(aside, sizeof aside, "%s.reset-%lld", folder->path, (long long)sb_wall_ms(env));
    SABOT_TRY(env->type->path_rename(env->self, folder->path, aside, error));
    sb_crash_point(env, "restore.moved_aside");
    sb_log(env, SABOT_LOG_INFO, folder->pipeline, "the old checkpoints are in %s now", aside);
    status = env->type->directory_create(env->self, folder->path, error);
    if (status == SABOT_ERR_EXISTS) { /* what is in it is not ours to write over */
        (void)sabot_raise(error, SABOT_ERR_FENCED,
                          "%s: another worker has begun in this state directory while this one put "
                          "the old one aside",
                          folder->path);
        return fence(error);
    }
    SABOT_TRY(status);
    return sb_sync_above(env, folder->path, error);
}

/* --- The owner -----------------------------------------------------------------------------------
 */

sabot_status sb_ckpt_take_owner(const struct sb_ckpt_folder *folder,
                                uint64_t owner,
                                sabot_error *error)
{
    const struct sb_env *env = folder->env;
    char temporary[SB_CKPT_PATH_MAX];
    char final[SB_CKPT_PATH_MAX];
    char name[64];
    char text[32];
    struct sb_file *file;
    sabot_status status;

    (void)snprintf(name, sizeof name, "owner.%016llx", (unsigned long long)owner);
    path_in(folder, name, temporary);
    path_in(folder, "owner", final);
    (void)snprintf(text, sizeof text, "%016llx\n", (unsigned long long)owner);
    SABOT_TRY(env->type->file_open(env->self, temporary, SB_OPEN_TRUNCATE, &file, error));
    status = env->type->file_write(file, text, strlen(text), -1, error);
    if (status == SABOT_OK)
        status = env->type->file_sync(file, error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    sb_crash_point(env, "restore.owner_written");
    SABOT_TRY(env->type->path_rename(env->self, temporary, final, error));
    sb_crash_point(env, "restore.owner_taken");
    return env->type->directory_sync(env->self, folder->path, error);
}

sabot_status sb_ckpt_check_owner(const struct sb_ckpt_folder *folder,
                                 uint64_t owner,
                                 sabot_error *error)
{
    const struct sb_env *env = folder->env;
    char path[SB_CKPT_PATH_MAX];
    char expected[32];
    char text[32] = "";
    struct sb_file *file;
    size_t size = 0;
    sabot_status status;

    path_in(folder, "owner", path);
    (void)snprintf(expected, sizeof expected, "%016llx\n", (unsigned long long)owner);
    status = env->type->file_open(env->self, path, SB_OPEN_READ, &file, error);
    if (status == SABOT_OK) {
        status = env->type->file_read(file, text, sizeof text - 1, 0, &size, error);
        env->type->file_close(env->self, file);
    }
    if (status == SABOT_OK && strcmp(text, expected) == 0)
        return SABOT_OK;
    /* Whoever began has written one. It went with the folder, and came back with no other. */
    if (status == SABOT_ERR_NOT_FOUND)
        status = sabot_raise(error, SABOT_ERR_FENCED,
                             "%s: it is gone: another worker has put this state directory aside "
                             "(--reset), or it was removed",
                             path);
    else if (status == SABOT_OK)
        status = sabot_raise(error, SABOT_ERR_FENCED,
                             "%s: another worker has taken over this state directory (it is %.16s, "
                             "this one %.16s)",
                             path, text, expected);
    return status == SABOT_ERR_FENCED ? fence(error) : status;
}

/* --- Was there ever a commit? --------------------------------------------------------------------
 */

sabot_status sb_ckpt_note_commit(const struct sb_ckpt_folder *folder, sabot_error *error)
{
    const struct sb_env *env = folder->env;
    char path[SB_CKPT_PATH_MAX];
    struct sb_file *file;

    path_in(folder, COMMITTED_NAME, path);
    SABOT_TRY(env->type->file_open(env->self, path, SB_OPEN_WRITE, &file, error));
    env->type->file_close(env->self, file);
    return env->type->directory_sync(env->self, folder->path, error);
}

sabot_status sb_ckpt_had_commit(const struct sb_ckpt_folder *folder,
                                bool *had_out,
                                sabot_error *error)
{
    const struct sb_env *env = folder->env;
    char path[SB_CKPT_PATH_MAX];
    struct sb_file_info info;
    sabot_status status;

    path_in(folder, COMMITTED_NAME, path);
    status = env->type->path_info(env->self, path, &info, error);
    *had_out = status == SABOT_OK;
    return status == SABOT_ERR_NOT_FOUND ? SABOT_OK : status;
}

/* --- Writing -------------------------------------------------------------------------------------
 */

/* One more file in the manifest, which has room for it. */
static struct sb_manifest_file *add_file(struct sb_manifest *manifest,
                                         enum sb_manifest_file_kind kind,
                                         const char *name)
{
    struct sb_manifest_file *file = &manifest->files[manifest->file_count++];

    file->kind = kind;
    file->name = sb_arena_copy(&manifest->arena, name, strlen(name));
    return file->name == NULL ? NULL : file;
}

static sabot_status no_memory(sabot_error *error)
{
    return sabot_raise(error, SABOT_ERR_MEMORY, "no memory for a manifest");
}

/* Files of older checkpoints, under names that say of which. */
static sabot_status link_older(const struct sb_ckpt_writer *writer,
                               struct sb_manifest *manifest,
                               const struct sb_ckpt_link *links,
                               size_t link_count,
                               sabot_error *error)
{
    const struct sb_env *env = writer->folder->env;

    for (size_t i = 0; i < link_count; i++) {
        const struct sb_ckpt_link *link = &links[i];
        const struct path from = path_of(writer->folder, &link->entry, link->name);
        struct sb_manifest_file *file;
        struct path to;
        char name[SB_CKPT_NAME_MAX];

        /* One that was linked before keeps its name. */
        if (strcmp(link->name, CHUNKS_NAME) == 0)
            (void)snprintf(name, sizeof name, "%s-%016llx", CHUNKS_NAME,
                           (unsigned long long)link->entry.id);
        else
            (void)snprintf(name, sizeof name, "%s", link->name);
        file = add_file(manifest, SB_FILE_CHUNKS, name);
        if (file == NULL)
            return no_memory(error);
        file->size = link->size;
        file->checksum = link->checksum;
        to = path_of(writer->folder, &writer->entry, name);
        SABOT_TRY(env->type->path_link(env->self, from.text, to.text, error));
        sb_crash_point(env, "ckpt.linked");
    }
    return SABOT_OK;
}

static const char *blocks_name(const struct sb_ckpt_writer *writer)
{
    return writer->kind == SB_FILE_STATE ? STATE_NAME : CHUNKS_NAME;
}

/* The blocks are all there. */
static sabot_status seal_blocks(struct sb_ckpt_writer *writer,
                                struct sb_manifest *manifest,
                                sabot_error *error)
{
    const struct sb_env *env = writer->folder->env;
    struct sb_manifest_file *file;
    sabot_status status;

    if (writer->blocks == NULL)
        return SABOT_OK;
    file = add_file(manifest, writer->kind, blocks_name(writer));
    if (file == NULL)
        return no_memory(error);
    file->size = writer->blocks_size;
    file->checksum = sb_hasher_result(&writer->hasher);
    sb_crash_point(env, "ckpt.chunks_written");
    status = SB_MUTANT(NO_SYNC_OF_FILES) ? SABOT_OK : env->type->file_sync(writer->blocks, error);
    env->type->file_close(env->self, writer->blocks);
    writer->blocks = NULL;
    sb_crash_point(env, "ckpt.chunks_synced");
    return status;
}

static sabot_status write_synced(const struct sb_env *env,
                                 const char *path,
                                 const struct sb_buffer *bytes,
                                 sabot_error *error)
{
    const struct sb_env_type *type = env->type;
    struct sb_file *file;
    sabot_status status;

    SABOT_TRY(type->file_open(env->self, path, SB_OPEN_NEW, &file, error));
    status = type->file_write(file, bytes->data, bytes->size, -1, error);
    sb_crash_point(env, "ckpt.manifest_written");
    if (status == SABOT_OK && !SB_MUTANT(NO_SYNC_OF_FILES))
        status = type->file_sync(file, error);
    if (SB_MUTANT(SYNC_AGAIN) && status != SABOT_OK)
        status = type->file_sync(file, error);
    type->file_close(env->self, file);
    sb_crash_point(env, "ckpt.manifest_synced");
    return status;
}

sabot_status sb_ckpt_keep(const struct sb_ckpt_folder *folder,
                          const struct sb_ckpt_entry *entry,
                          sabot_error *error)
{
    const struct sb_env *env = folder->env;

    SABOT_TRY(env->type->directory_sync(env->self, path_of(folder, entry, NULL).text, error));
    sb_crash_point(env, "ckpt.folder_synced");
    SABOT_TRY(env->type->directory_sync(env->self, folder->path, error));
    sb_crash_point(env, "ckpt.durable");
    return SABOT_OK;
}

static sabot_status write_manifest(const struct sb_ckpt_folder *folder,
                                   struct sb_manifest *manifest,
                                   sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const struct path temporary = path_of(folder, &entry, TEMPORARY_NAME);
    const struct path final = path_of(folder, &entry, MANIFEST_NAME);
    struct sb_buffer bytes;
    sabot_status status;

    sb_buffer_init(&bytes, env);
    status = sb_manifest_encode(manifest, &bytes) == SABOT_OK
                 ? write_synced(env, temporary.text, &bytes, error)
                 : no_memory(error);
    sb_buffer_reset(&bytes);
    /* The names of its files are safe before there is a manifest, or it may outlive one. */
    if (status == SABOT_OK)
        status = env->type->directory_sync(env->self, path_of(folder, &entry, NULL).text, error);
    sb_crash_point(env, "ckpt.names_synced");
    if (status == SABOT_OK)
        status = env->type->path_rename(env->self, temporary.text, final.text, error);
    sb_crash_point(env, "ckpt.manifest_renamed");
    return status;
}

static void remove_quietly(const struct sb_env *env, const char *path)
{
    (void)!env->type->path_remove(env->self, path, NULL);
}

struct removal {
    const struct sb_ckpt_folder *folder;
    const struct sb_ckpt_entry *entry;
};

/* What can be in a checkpoint's folder; anything else is somebody else's. */
static bool is_ours(const char *name)
{
    return strcmp(name, STATE_NAME) == 0 || strcmp(name, TEMPORARY_NAME) == 0 ||
           strncmp(name, CHUNKS_NAME, strlen(CHUNKS_NAME)) == 0 ||
           strncmp(name, SB_CKPT_ROWS_PREFIX, strlen(SB_CKPT_ROWS_PREFIX)) == 0;
}

static sabot_status remove_one(void *context, const char *name)
{
    const struct removal *removal = context;

    if (is_ours(name))
        remove_quietly(removal->folder->env, path_of(removal->folder, removal->entry, name).text);
    return SABOT_OK;
}

/* The manifest goes first: half of a checkpoint is none. */
static void remove_parts(const struct sb_ckpt_folder *folder, const struct sb_ckpt_entry *entry)
{
    const struct sb_env *env = folder->env;
    const struct path path = path_of(folder, entry, NULL);
    struct removal removal = {folder, entry};

    remove_quietly(env, path_of(folder, entry, MANIFEST_NAME).text);
    sb_crash_point(env, "ckpt.remove_manifest_gone");
    (void)!env->type->directory_list(env->self, path.text, remove_one, &removal, NULL);
    remove_quietly(env, path.text);
}

/* What a failed write has left. It would be the newest: after a loss of power its manifest must not
 * be back beside a state that is gone. When that can't be had, all of it stays. */
static void undo(const struct sb_ckpt_folder *folder, const struct sb_ckpt_entry *entry)
{
    const struct sb_env *env = folder->env;
    const struct path path = path_of(folder, entry, NULL);
    const struct path manifest = path_of(folder, entry, MANIFEST_NAME);

    if (env->type->path_remove(env->self, manifest.text, NULL) == SABOT_OK &&
        env->type->directory_sync(env->self, path.text, NULL) != SABOT_OK)
        return;
    remove_parts(folder, entry);
}

sabot_status sb_ckpt_begin(struct sb_ckpt_writer *writer,
                           const struct sb_ckpt_folder *folder,
                           const struct sb_ckpt_entry *entry,
                           sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct path path = path_of(folder, entry, NULL);

    *writer = (struct sb_ckpt_writer){.folder = NULL};
    SABOT_TRY(env->type->directory_create(env->self, path.text, error));
    sb_crash_point(env, "ckpt.folder_made");
    writer->folder = folder;
    writer->entry = *entry;
    writer->kind = SB_FILE_CHUNKS;
    sb_hasher_init(&writer->hasher);
    return SABOT_OK;
}

sabot_status sb_ckpt_append(struct sb_ckpt_writer *writer,
                            const void *block,
                            size_t size,
                            sabot_error *error)
{
    const struct sb_env *env = writer->folder->env;

    if (writer->blocks == NULL)
        SABOT_TRY(env->type->file_open(
            env->self, path_of(writer->folder, &writer->entry, blocks_name(writer)).text,
            SB_OPEN_NEW, &writer->blocks, error));
    sb_hasher_add(&writer->hasher, block, size);
    writer->blocks_size += size;
    SABOT_TRY(env->type->file_write(writer->blocks, block, size, -1, error));
    sb_crash_point(env, "ckpt.chunks_appended");
    return SABOT_OK;
}

static void close_blocks(struct sb_ckpt_writer *writer)
{
    const struct sb_env *env = writer->folder->env;

    if (writer->blocks != NULL)
        env->type->file_close(env->self, writer->blocks);
    writer->blocks = NULL;
}

void sb_ckpt_abandon(struct sb_ckpt_writer *writer)
{
    if (writer->folder == NULL)
        return;
    close_blocks(writer);
    undo(writer->folder, &writer->entry);
    writer->folder = NULL;
}

static sabot_status finish(struct sb_ckpt_writer *writer,
                           struct sb_manifest *manifest,
                           const struct sb_ckpt_link *links,
                           size_t link_count,
                           sabot_error *error)
{
    const struct sb_ckpt_folder *folder = writer->folder;
    const struct sb_env *env = folder->env;
    uint32_t rows = 0;
    size_t room;

    if (writer->staged != NULL)
        SABOT_TRY(sb_ckpt_count_staged(env, writer->staged, &rows, error));
    room = (link_count + rows + 1) * sizeof *manifest->files;
    manifest->file_count = 0;
    manifest->files = sb_arena_alloc(&manifest->arena, room);
    if (manifest->files == NULL)
        return no_memory(error);
    memset(manifest->files, 0, room);
    SABOT_TRY(link_older(writer, manifest, links, link_count, error));
    SABOT_TRY(seal_blocks(writer, manifest, error));
    if (writer->staged != NULL)
        SABOT_TRY(sb_ckpt_take_rows(writer, manifest, rows, error));
    SABOT_TRY(write_manifest(folder, manifest, error));
    if (SB_MUTANT(NO_SYNC_OF_FOLDERS))
        return SABOT_OK;
    return sb_ckpt_keep(folder, &writer->entry, error);
}

sabot_status sb_ckpt_finish(struct sb_ckpt_writer *writer,
                            struct sb_manifest *manifest,
                            const struct sb_ckpt_link *links,
                            size_t link_count,
                            sabot_error *error)
{
    const sabot_status status = finish(writer, manifest, links, link_count, error);

    SB_ASSERT(manifest->id == writer->entry.id && manifest->nonce == writer->entry.nonce);
    if (status != SABOT_OK)
        sb_ckpt_abandon(writer);
    writer->folder = NULL;
    return status;
}

sabot_status sb_ckpt_write(const struct sb_ckpt_folder *folder,
                           struct sb_manifest *manifest,
                           sabot_error *error)
{
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    struct sb_ckpt_writer writer;

    SABOT_TRY(sb_ckpt_begin(&writer, folder, &entry, error));
    return sb_ckpt_finish(&writer, manifest, NULL, 0, error);
}

/* --- Copying -------------------------------------------------------------------------------------
 */

static sabot_status copy_bytes(const struct sb_env *env,
                               struct sb_file *from,
                               struct sb_file *to,
                               const struct sb_manifest_file *expected,
                               const char *path,
                               sabot_error *error)
{
    struct sb_bytes bytes;

    SABOT_TRY(sb_bytes_pass(env, from, to, &bytes, error));
    if (bytes.size != expected->size || bytes.checksum != expected->checksum)
        return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: bytes have changed", path);
    return SABOT_OK;
}

static sabot_status copy_file(const struct sb_ckpt_folder *folder,
                              const struct sb_manifest *manifest,
                              const struct sb_ckpt_folder *from,
                              const struct sb_manifest *from_manifest,
                              uint32_t index,
                              sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const struct path path = path_of(folder, &entry, manifest->files[index].name);
    struct sb_file *source;
    struct sb_file *target;
    sabot_status status;

    SABOT_TRY(sb_ckpt_open_file(from, from_manifest, index, &source, error));
    status = env->type->file_open(env->self, path.text, SB_OPEN_NEW, &target, error);
    if (status == SABOT_OK) {
        status = copy_bytes(env, source, target, &from_manifest->files[index], path.text, error);
        sb_crash_point(env, "restore.file_copied");
        if (status == SABOT_OK)
            status = env->type->file_sync(target, error);
        env->type->file_close(env->self, target);
    }
    env->type->file_close(env->self, source);
    return status;
}

static sabot_status copy_all(const struct sb_ckpt_folder *folder,
                             struct sb_manifest *manifest,
                             const struct sb_ckpt_folder *from,
                             const struct sb_manifest *from_manifest,
                             sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const struct path path = path_of(folder, &entry, NULL);

    SABOT_TRY(env->type->directory_create(env->self, path.text, error));
    sb_crash_point(env, "restore.folder_made");
    for (uint32_t i = 0; i < manifest->file_count; i++)
        SABOT_TRY(copy_file(folder, manifest, from, from_manifest, i, error));
    SABOT_TRY(write_manifest(folder, manifest, error));
    SABOT_TRY(env->type->directory_sync(env->self, path.text, error));
    SABOT_TRY(env->type->directory_sync(env->self, folder->path, error));
    sb_crash_point(env, "restore.copied");
    return SABOT_OK;
}

sabot_status sb_ckpt_copy(const struct sb_ckpt_folder *folder,
                          struct sb_manifest *manifest,
                          const struct sb_ckpt_folder *from,
                          const struct sb_manifest *from_manifest,
                          sabot_error *error)
{
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const sabot_status status = copy_all(folder, manifest, from, from_manifest, error);

    if (status != SABOT_OK && status != SABOT_ERR_EXISTS)
        undo(folder, &entry);
    return status;
}

/* --- Finding -------------------------------------------------------------------------------------
 */

struct listing {
    struct sb_ckpt_entry *entries;
    uint32_t count;
};

static sabot_status add_entry(void *context, const char *name)
{
    struct listing *listing = context;

    if (listing->count == SB_CKPT_LISTED_MAX)
        return SABOT_ERR_LIMIT;
    if (parse_entry(name, &listing->entries[listing->count]))
        listing->count++;
    return SABOT_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct sb_ckpt_entry *one = a;
    const struct sb_ckpt_entry *other = b;

    if (one->id != other->id)
        return one->id < other->id ? 1 : -1;
    return one->nonce < other->nonce ? 1 : one->nonce > other->nonce ? -1 : 0;
}

sabot_status sb_ckpt_list(const struct sb_ckpt_folder *folder,
                          struct sb_ckpt_entry **entries_out,
                          uint32_t *count_out,
                          sabot_error *error)
{
    const struct sb_env *env = folder->env;
    struct listing listing = {.count = 0};
    sabot_status status;

    *entries_out = NULL;
    *count_out = 0;
    listing.entries = sb_alloc_array(env, SB_CKPT_LISTED_MAX, sizeof *listing.entries);
    if (listing.entries == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "no memory to list checkpoints");
    status = env->type->directory_list(env->self, folder->path, add_entry, &listing, error);
    if (status == SABOT_ERR_LIMIT)
        status = sabot_raise(error, status, "%s: more than %d checkpoints: remove some by hand",
                             folder->path, SB_CKPT_LISTED_MAX);
    if (status != SABOT_OK) {
        sb_free_array(env, listing.entries, SB_CKPT_LISTED_MAX, sizeof *listing.entries);
        return status;
    }
    qsort(listing.entries, listing.count, sizeof *listing.entries, newest_first);
    *entries_out = listing.entries;
    *count_out = listing.count;
    return SABOT_OK;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

static sabot_status read_whole(const struct sb_env *env,
                               const char *path,
                               struct sb_buffer *bytes,
                               sabot_error *error)
{
    const struct sb_env_type *type = env->type;
    struct sb_file_info info;
    struct sb_file *file;
    sabot_status status;

    SABOT_TRY(type->file_open(env->self, path, SB_OPEN_READ, &file, error));
    status = type->file_info(file, &info, error);
    if (status == SABOT_OK && info.size > SB_MANIFEST_BYTES_MAX)
        status = sabot_raise(error, SABOT_ERR_CORRUPT, "%s: %llu bytes are too many", path,
                             (unsigned long long)info.size);
    if (status == SABOT_OK && sb_buffer_reserve(bytes, (size_t)info.size + 1) != SABOT_OK)
        status = sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory", path);
    if (status == SABOT_OK)
        status = type->file_read(file, bytes->data, (size_t)info.size, 0, &bytes->size, error);
    type->file_close(env->self, file);
    return status;
}

/* Is it what its place says it is? */
static sabot_status check_place(const struct sb_ckpt_folder *folder,
                                const struct sb_ckpt_entry *entry,
                                const struct sb_manifest *manifest,
                                const char *path,
                                sabot_error *error)
{
    if (strcmp(manifest->app, folder->app) != 0 ||
        strcmp(manifest->pipeline, folder->pipeline) != 0)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: it belongs to pipeline %s of app %s, not to %s of %s", path,
                           manifest->pipeline, manifest->app, folder->pipeline, folder->app);
    if (manifest->id != entry->id || manifest->nonce != entry->nonce)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: it is of checkpoint %lld, nonce %016llx: it was moved here", path,
                           (long long)manifest->id, (unsigned long long)manifest->nonce);
    return SABOT_OK;
}

sabot_status sb_ckpt_read(const struct sb_ckpt_folder *folder,
                          const struct sb_ckpt_entry *entry,
                          struct sb_manifest *manifest,
                          sabot_error *error)
{
    const struct path path = path_of(folder, entry, MANIFEST_NAME);
    struct sb_buffer bytes;
    sabot_error why;
    sabot_status status;

    sb_buffer_init(&bytes, folder->env);
    status = read_whole(folder->env, path.text, &bytes, error);
    if (status == SABOT_OK) {
        status = sb_manifest_decode(manifest, bytes.data, bytes.size, &why);
        if (status != SABOT_OK)
            (void)sabot_raise(error, status, "%s: %s", path.text, why.text);
    }
    if (status == SABOT_OK)
        status = check_place(folder, entry, manifest, path.text, error);
    sb_buffer_reset(&bytes);
    return status;
}

static sabot_status verify_file(const struct sb_ckpt_folder *folder,
                                const struct sb_manifest *manifest,
                                uint32_t index,
                                sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const struct sb_manifest_file *expected = &manifest->files[index];
    const struct path path = path_of(folder, &entry, expected->name);
    struct sb_bytes bytes;
    struct sb_file *file;
    sabot_status status;

    status = sb_ckpt_open_file(folder, manifest, index, &file, error);
    if (status == SABOT_ERR_NOT_FOUND) /* where there is a manifest, this is damage */
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: it is gone, and the manifest beside it names it", path.text);
    SABOT_TRY(status);
    status = sb_bytes_pass(env, file, NULL, &bytes, error);
    env->type->file_close(env->self, file);
    SABOT_TRY(status);
    if (bytes.size != expected->size)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: it has %llu bytes, and the manifest says %llu", path.text,
                           (unsigned long long)bytes.size, (unsigned long long)expected->size);
    if (bytes.checksum != expected->checksum)
        return sabot_raise(error, SABOT_ERR_CORRUPT,
                           "%s: its checksum is wrong: bytes have changed", path.text);
    return SABOT_OK;
}

sabot_status sb_ckpt_verify(const struct sb_ckpt_folder *folder,
                            const struct sb_manifest *manifest,
                            sabot_error *error)
{
    for (uint32_t i = 0; i < manifest->file_count; i++)
        SABOT_TRY(verify_file(folder, manifest, i, error));
    return SABOT_OK;
}

sabot_status sb_ckpt_open_file(const struct sb_ckpt_folder *folder,
                               const struct sb_manifest *manifest,
                               uint32_t file,
                               struct sb_file **file_out,
                               sabot_error *error)
{
    const struct sb_ckpt_entry entry = sb_ckpt_entry_of(manifest);
    const struct path path = path_of(folder, &entry, manifest->files[file].name);

    SB_ASSERT(file < manifest->file_count);
    return folder->env->type->file_open(folder->env->self, path.text, SB_OPEN_READ, file_out,
                                        error);
}

bool sb_ckpt_exists(const struct sb_ckpt_folder *folder, const struct sb_ckpt_entry *entry)
{
    const struct sb_env *env = folder->env;
    const struct path path = path_of(folder, entry, MANIFEST_NAME);
    struct sb_file_info info;

    return env->type->path_info(env->self, path.text, &info, NULL) != SABOT_ERR_NOT_FOUND;
}

/* --- Removing ------------------------------------------------------------------------------------
 */

sabot_status sb_ckpt_remove(const struct sb_ckpt_folder *folder,
                            const struct sb_ckpt_entry *entry,
                            sabot_error *error)
{
    struct sb_file_info info;

    remove_parts(folder, entry);
    if (folder->env->type->path_info(folder->env->self, path_of(folder, entry, NULL).text, &info,
                                     NULL) == SABOT_ERR_NOT_FOUND)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_IO, "%s: cannot be removed as a whole",
                       path_of(folder, entry, NULL).text);
}
