/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - files of a database into checkpoints, and back; see rows.h. */
#include "ckpt/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckpt/bytes.h"

static const char READING[] = "reading-";
static const char FIXED[] = ".sst"; /* never changes once it is there */

enum { PREFIX_SIZE = sizeof SB_CKPT_ROWS_PREFIX - 1, FIXED_SIZE = sizeof FIXED - 1 };

static bool is_fixed(const char *name)
{
    const size_t size = strlen(name);

    return size > FIXED_SIZE && strcmp(name + size - FIXED_SIZE, FIXED) == 0;
}

static sabot_status join(const char *folder,
                         const char *name,
                         char path[SB_CKPT_PATH_MAX],
                         sabot_error *error)
{
    const int size = snprintf(path, SB_CKPT_PATH_MAX, "%s/%s", folder, name);

    if (size < 0 || size >= SB_CKPT_PATH_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", folder);
    return SABOT_OK;
}

/* --- What is known -------------------------------------------------------------------------------
 */

void sb_ckpt_known_reset(struct sb_ckpt_known *known)
{
    if (known->env != NULL)
        sb_free_array(known->env, known->files, known->count, sizeof *known->files);
    known->files = NULL;
    known->count = 0;
}

static int by_name(const void *one, const void *other)
{
    return strcmp(((const struct sb_ckpt_link *)one)->name,
                  ((const struct sb_ckpt_link *)other)->name);
}

static bool is_known_later(const struct sb_manifest_file *file)
{
    return file->kind == SB_FILE_ROWS && is_fixed(file->name) &&
           strlen(file->name) < SB_CKPT_NAME_MAX;
}

void sb_ckpt_known_set(struct sb_ckpt_known *known, const struct sb_manifest *manifest)
{
    uint32_t count = 0;
    uint32_t at = 0;

    sb_ckpt_known_reset(known);
    for (uint32_t i = 0; i < manifest->file_count; i++)
        count += is_known_later(&manifest->files[i]);
    if (count == 0)
        return;
    known->files = sb_alloc_array(known->env, count, sizeof *known->files);
    if (known->files == NULL)
        return;
    known->count = count;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];
        struct sb_ckpt_link *link = &known->files[at];

        if (!is_known_later(file))
            continue;
        *link = (struct sb_ckpt_link){.entry = {manifest->id, manifest->nonce},
                                      .size = file->size,
                                      .checksum = file->checksum};
        memcpy(link->name, file->name, strlen(file->name));
        at++;
    }
    qsort(known->files, count, sizeof *known->files, by_name);
}

static const struct sb_ckpt_link *find_known(const struct sb_ckpt_known *known, const char *name)
{
    struct sb_ckpt_link wanted = {.size = 0};

    if (known == NULL || known->count == 0 || strlen(name) >= sizeof wanted.name)
        return NULL;
    memcpy(wanted.name, name, strlen(name));
    return bsearch(&wanted, known->files, known->count, sizeof wanted, by_name);
}

bool sb_ckpt_has_rows(const struct sb_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->file_count; i++)
        if (manifest->files[i].kind == SB_FILE_ROWS)
            return true;
    return false;
}

/* --- Into a checkpoint ---------------------------------------------------------------------------
 */

struct taking {
    struct sb_ckpt_writer *writer;
    struct sb_manifest *manifest;
    uint32_t room;
    sabot_error *error;
};

static sabot_status count_one(void *context, const char *name)
{
    uint32_t *count = context;

    (void)name;
    return ++*count > SB_CKPT_ROWS_MAX ? SABOT_ERR_LIMIT : SABOT_OK;
}

sabot_status sb_ckpt_count_staged(const struct sb_env *env,
                                  const char *staged,
                                  uint32_t *count_out,
                                  sabot_error *error)
{
    sabot_status status;

    *count_out = 0;
    status = env->type->directory_list(env->self, staged, count_one, count_out, error);
    return status != SABOT_ERR_LIMIT
               ? status
               : sabot_raise(error, status, "%s: more than %d files", staged, SB_CKPT_ROWS_MAX);
}

/* A file that is written once: a link, or else a copy. */
static sabot_status take_new(struct sb_ckpt_writer *writer,
                             const char *from,
                             const char *to,
                             struct sb_bytes *bytes,
                             sabot_error *error)
{
    const struct sb_env *env = writer->folder->env;

    if (env->type->path_link(env->self, from, to, NULL) != SABOT_OK) {
        SABOT_TRY(sb_bytes_copy(env, from, to, bytes, error));
        sb_crash_point(env, "ckpt.rows_copied");
        return SABOT_OK;
    }
    sb_crash_point(env, "ckpt.rows_linked");
    SABOT_TRY(sb_bytes_seal(env, to, bytes, error));
    sb_crash_point(env, "ckpt.rows_hashed");
    return SABOT_OK;
}

static sabot_status take_file(struct taking *taking, const char *name, const char *given)
{
    struct sb_ckpt_writer *writer = taking->writer;
    const struct sb_env *env = writer->folder->env;
    const struct sb_ckpt_link *known = find_known(writer->known, given);
    struct sb_manifest_file *file = &taking->manifest->files[taking->manifest->file_count];
    struct sb_bytes bytes = {.size = 0};
    char from[SB_CKPT_PATH_MAX];
    char to[SB_CKPT_PATH_MAX];

    sb_ckpt_path(writer->folder, &writer->entry, given, to);
    if (known != NULL) {
        bytes = (struct sb_bytes){known->size, known->checksum};
        sb_ckpt_path(writer->folder, &known->entry, known->name, from);
        SABOT_TRY(env->type->path_link(env->self, from, to, taking->error));
        sb_crash_point(env, "ckpt.rows_linked");
    } else {
        SABOT_TRY(join(writer->staged, name, from, taking->error));
        if (is_fixed(name)) {
            SABOT_TRY(take_new(writer, from, to, &bytes, taking->error));
        } else {
            SABOT_TRY(sb_bytes_copy(env, from, to, &bytes, taking->error));
            sb_crash_point(env, "ckpt.rows_copied");
        }
        writer->rows_size += bytes.size;
    }
    *file = (struct sb_manifest_file){
        .kind = SB_FILE_ROWS,
        .name = sb_arena_copy(&taking->manifest->arena, given, strlen(given)),
        .size = bytes.size,
        .checksum = bytes.checksum,
    };
    if (file->name == NULL)
        return sabot_raise(taking->error, SABOT_ERR_MEMORY, "no memory for a manifest");
    taking->manifest->file_count++;
    return SABOT_OK;
}

static sabot_status take_one(void *context, const char *name)
{
    struct taking *taking = context;
    char given[SB_CKPT_NAME_MAX];
    const int size = snprintf(given, sizeof given, "%s%s", SB_CKPT_ROWS_PREFIX, name);

    if (size < 0 || size >= (int)sizeof given || taking->room-- == 0)
        return sabot_raise(taking->error, SABOT_ERR_LIMIT, "%s/%s: no such file was expected",
                           taking->writer->staged, name);
    return take_file(taking, name, given);
}

sabot_status sb_ckpt_take_rows(struct sb_ckpt_writer *writer,
                               struct sb_manifest *manifest,
                               uint32_t room,
                               sabot_error *error)
{
    const struct sb_env *env = writer->folder->env;
    struct taking taking = {writer, manifest, room, error};

    SABOT_TRY(env->type->directory_list(env->self, writer->staged, take_one, &taking, error));
    sb_crash_point(env, "ckpt.rows_taken");
    return SABOT_OK;
}

/* --- Out of a checkpoint -------------------------------------------------------------------------
 */

sabot_status sb_ckpt_put_rows(const struct sb_ckpt_folder *folder,
                              const struct sb_manifest *manifest,
                              const char *to,
                              sabot_error *error)
{
    const struct sb_env *env = folder->env;
    const struct sb_ckpt_entry entry = {manifest->id, manifest->nonce};

    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const struct sb_manifest_file *file = &manifest->files[i];
        struct sb_bytes bytes;
        char source[SB_CKPT_PATH_MAX];
        char target[SB_CKPT_PATH_MAX];

        if (file->kind != SB_FILE_ROWS)
            continue;
        if (strncmp(file->name, SB_CKPT_ROWS_PREFIX, PREFIX_SIZE) != 0)
            return sabot_raise(error, SABOT_ERR_CORRUPT, "%s: no such name of rows", file->name);
        sb_ckpt_path(folder, &entry, file->name, source);
        SABOT_TRY(join(to, file->name + PREFIX_SIZE, target, error));
        if (!is_fixed(file->name) ||
            env->type->path_link(env->self, source, target, NULL) != SABOT_OK)
            SABOT_TRY(sb_bytes_copy(env, source, target, &bytes, error));
        sb_crash_point(env, "restore.rows_put");
    }
    return SABOT_OK;
}

/* --- Reading -------------------------------------------------------------------------------------
 */

sabot_status sb_ckpt_read_rows(struct sb_ckpt_reading *reading,
                               const struct sb_ckpt_folder *folder,
                               const struct sb_manifest *manifest,
                               const struct sb_rows_reader *reader,
                               sabot_error *error)
{
    const struct sb_env *env = folder->env;

    *reading = (struct sb_ckpt_reading){.env = env, .reader = reader};
    if (!sb_ckpt_has_rows(manifest))
        return SABOT_OK;
    (void)snprintf(reading->folder, sizeof reading->folder, "%s/%s%016llx", folder->path, READING,
                   (unsigned long long)sb_random(env));
    SABOT_TRY(env->type->directory_create(env->self, reading->folder, error));
    SABOT_TRY(sb_ckpt_put_rows(folder, manifest, reading->folder, error));
    SABOT_TRY(reader->open(env, reading->folder, &reading->rows, error));
    sb_crash_point(env, "restore.rows_read");
    return SABOT_OK;
}

void sb_ckpt_end_reading(struct sb_ckpt_reading *reading)
{
    if (reading->reader == NULL || reading->folder[0] == '\0')
        return;
    reading->reader->close(reading->rows);
    sb_folder_remove(reading->env, reading->folder);
    reading->rows = NULL;
    reading->folder[0] = '\0';
}

static sabot_status write_shard(void *context, const void *bytes, size_t size, sabot_error *error)
{
    const struct sb_ckpt_shard *shard = context;

    return shard->env->type->file_write(shard->file, bytes, size, -1, error);
}

static sabot_status read_shard(void *context,
                               void *buffer,
                               size_t size,
                               size_t *size_out,
                               sabot_error *error)
{
    struct sb_ckpt_shard *shard = context;

    SABOT_TRY(shard->env->type->file_read(shard->file, buffer, size, (int64_t)shard->at, size_out,
                                          error));
    shard->at += *size_out;
    return SABOT_OK;
}

sabot_status sb_ckpt_shard_open(struct sb_ckpt_shard *shard,
                                const struct sb_ckpt_reading *reading,
                                struct sb_image *image,
                                uint32_t number,
                                struct sb_byte_source *source_out,
                                sabot_error *error)
{
    const struct sb_env *env = reading->env;
    const struct sb_byte_sink sink = {write_shard, shard};
    sabot_status status;

    *shard = (struct sb_ckpt_shard){.env = env};
    *source_out = (struct sb_byte_source){read_shard, shard};
    SABOT_TRY(join(reading->folder, "shard", shard->path, error));
    SABOT_TRY(env->type->file_open(env->self, shard->path, SB_OPEN_NEW, &shard->file, error));
    status = sb_image_write(image, number, &sink, error);
    env->type->file_close(env->self, shard->file);
    shard->file = NULL;
    SABOT_TRY(status);
    return env->type->file_open(env->self, shard->path, SB_OPEN_READ, &shard->file, error);
}

void sb_ckpt_shard_close(struct sb_ckpt_shard *shard)
{
    if (shard->env == NULL)
        return;
    if (shard->file != NULL)
        shard->env->type->file_close(shard->env->self, shard->file);
    (void)!shard->env->type->path_remove(shard->env->self, shard->path, NULL);
    shard->file = NULL;
}

static sabot_status remove_reading(void *context, const char *name)
{
    const struct sb_ckpt_folder *folder = context;
    char path[SB_CKPT_PATH_MAX];

    if (strncmp(name, READING, sizeof READING - 1) == 0 &&
        join(folder->path, name, path, NULL) == SABOT_OK)
        sb_folder_remove(folder->env, path);
    return SABOT_OK;
}

void sb_ckpt_remove_readings(const struct sb_ckpt_folder *folder)
{
    struct sb_ckpt_folder copy = *folder;

    (void)!folder->env->type->directory_list(folder->env->self, folder->path, remove_reading, &copy,
                                             NULL);
}
