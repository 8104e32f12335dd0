/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - the disk of disk.h. Small numbers of files: everything is looked for in a row. */
#include "disk.h"

enum { ROOT = 1, NONE = 0 };

struct sb_file {
    struct disk *disk;
    uint32_t node;
    size_t at;
    bool appends;
    char path[256];
};

/* --- Faults ----------------------------------------------------------------------------------- */

/* Every call begins here. */
static sabot_status touch(struct disk *disk, const char *path, sabot_error *error)
{
    disk->calls++;
    if (disk->calls > disk->off_after)
        return sabot_raise(error, SABOT_ERR_IO, "%s: the power is off", path);
    if (disk->calls != disk->fail_at)
        return SABOT_OK;
    disk->failed = true;
    return sabot_raise(error, SABOT_ERR_IO, "%s: %s", path,
                       disk->fault == DISK_EIO ? "Input/output error" : "No space left on device");
}

/* --- Names ------------------------------------------------------------------------------------ */

static struct disk_name *name_in(struct disk *disk, uint32_t folder, const char *text, size_t size)
{
    for (uint32_t i = 0; i < disk->name_count; i++) {
        struct disk_name *name = &disk->names[i];

        if (name->folder == folder && strlen(name->text) == size &&
            memcmp(name->text, text, size) == 0)
            return name;
    }
    return NULL;
}

static struct disk_name *name_make(struct disk *disk, uint32_t folder, const char *text)
{
    struct disk_name *name = name_in(disk, folder, text, strlen(text));

    if (name != NULL)
        return name;
    assert_in_range(disk->name_count, 0, DISK_NAMES_MAX - 1);
    name = &disk->names[disk->name_count++];
    *name = (struct disk_name){.folder = folder, .past_count = 1}; /* it was nothing */
    assert_true(strlen(text) < sizeof name->text);
    memcpy(name->text, text, strlen(text));
    return name;
}

static void name_set(struct disk_name *name, uint32_t node)
{
    assert_in_range(name->past_count, 0, DISK_PAST_MAX - 1);
    name->past[name->past_count++] = name->node;
    name->node = node;
}

/* The folder of a path and the name in it; NONE: there is no such folder. */
static uint32_t walk(struct disk *disk, const char *path, const char **last_out)
{
    uint32_t folder = ROOT;
    const char *slash;

    assert_int_equal(path[0], '/');
    for (path++; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        const struct disk_name *name = name_in(disk, folder, path, (size_t)(slash - path));

        if (name == NULL || name->node == NONE || !disk->nodes[name->node].is_directory)
            return NONE;
        folder = name->node;
    }
    *last_out = path;
    return folder;
}

static uint32_t node_at(struct disk *disk, const char *path)
{
    const char *last = "";
    const uint32_t folder = walk(disk, path, &last);
    const struct disk_name *name;

    if (folder == NONE || last[0] == '\0')
        return folder;
    name = name_in(disk, folder, last, strlen(last));
    return name == NULL ? NONE : name->node;
}

static uint32_t node_make(struct disk *disk, bool is_directory)
{
    for (uint32_t i = ROOT; i < DISK_NODES_MAX; i++) {
        if (!disk->nodes[i].is_used) {
            disk->nodes[i] = (struct disk_node){.is_used = true, .is_directory = is_directory};
            return i;
        }
    }
    fail_msg("the disk has too many files");
    return NONE;
}

static sabot_status raise_missing(sabot_error *error, const char *path)
{
    return sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: No such file or directory", path);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static uint8_t *copy_bytes(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    assert_non_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void set_bytes(struct disk_node *node, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = copy_bytes(bytes, size);

    free(node->bytes);
    node->bytes = copy;
    node->size = size;
}

static void resize(struct disk_node *node, size_t size)
{
    node->bytes = realloc(node->bytes, size + 1);
    assert_non_null(node->bytes);
    if (size > node->size)
        memset(node->bytes + node->size, 0, size - node->size);
    node->size = size;
}

static void make_safe(struct disk_node *node)
{
    free(node->safe);
    node->safe = copy_bytes(node->bytes, node->size);
    node->safe_size = node->size;
}

/* --- Calls on files --------------------------------------------------------------------------- */

static sabot_status disk_open(void *self,
                              const char *path,
                              enum sb_open_mode mode,
                              struct sb_file **file_out,
                              sabot_error *error)
{
    struct disk *disk = self;
    const char *last = "";
    uint32_t folder;
    uint32_t node;
    struct sb_file *file;

    *file_out = NULL;
    SABOT_TRY(touch(disk, path, error));
    folder = walk(disk, path, &last);
    node = node_at(disk, path);
    if (folder == NONE || (node == NONE && mode == SB_OPEN_READ))
        return raise_missing(error, path);
    if (node != NONE && mode == SB_OPEN_NEW)
        return sabot_raise(error, SABOT_ERR_EXISTS, "%s: File exists", path);
    if (node != NONE && disk->nodes[node].is_directory)
        return sabot_raise(error, SABOT_ERR_IO, "%s: Is a directory", path);
    if (node == NONE) {
        node = node_make(disk, false);
        name_set(name_make(disk, folder, last), node);
    }
    if (mode == SB_OPEN_TRUNCATE)
        resize(&disk->nodes[node], 0);
    file = calloc(1, sizeof *file);
    assert_non_null(file);
    *file = (struct sb_file){.disk = disk, .node = node, .appends = mode == SB_OPEN_APPEND};
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    disk->open_files++;
    *file_out = file;
    return SABOT_OK;
}

static void disk_close(void *self, struct sb_file *file)
{
    struct disk *disk = self;

    if (file == NULL)
        return;
    disk->open_files--;
    free(file);
}

static sabot_status disk_read(struct sb_file *file,
                              void *buffer,
                              size_t size,
                              int64_t offset,
                              size_t *size_out,
                              sabot_error *error)
{
    const struct disk_node *node = &file->disk->nodes[file->node];
    const size_t from = offset < 0 ? file->at : (size_t)offset;

    *size_out = 0;
    SABOT_TRY(touch(file->disk, file->path, error));
    if (from < node->size)
        *size_out = size < node->size - from ? size : node->size - from;
    if (*size_out > 0)
        memcpy(buffer, node->bytes + from, *size_out);
    if (offset < 0)
        file->at += *size_out;
    return SABOT_OK;
}

static void disk_expect(struct sb_file *file, int64_t offset, size_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

static sabot_status disk_write(struct sb_file *file,
                               const void *bytes,
                               size_t size,
                               int64_t offset,
                               sabot_error *error)
{
    struct disk_node *node = &file->disk->nodes[file->node];
    const size_t from = file->appends ? node->size : offset < 0 ? file->at : (size_t)offset;
    const sabot_status status = touch(file->disk, file->path, error);

    /* What fails has written a part. */
    if (status != SABOT_OK)
        size = file->disk->calls > file->disk->off_after ? 0 : size / 2;
    if (from + size > node->size)
        resize(node, from + size);
    if (size > 0)
        memcpy(node->bytes + from, bytes, size);
    if (offset < 0)
        file->at = from + size;
    return status;
}

static sabot_status disk_sync(struct sb_file *file, sabot_error *error)
{
    struct disk *disk = file->disk;
    struct disk_node *node = &disk->nodes[file->node];
    const sabot_status status = touch(disk, file->path, error);

    if (node->lost && status == SABOT_OK)
        disk->synced_again = true;
    if (status == SABOT_OK && !node->lost)
        make_safe(node);
    if (disk->calls == disk->fail_at) {
        disk->failed_sync = true;
        node->lost = true;
        if (error != NULL)
            error->fatal = true;
    }
    return status;
}

static sabot_status disk_truncate(struct sb_file *file, uint64_t size, sabot_error *error)
{
    SABOT_TRY(touch(file->disk, file->path, error));
    resize(&file->disk->nodes[file->node], (size_t)size);
    return SABOT_OK;
}

static void describe(const struct disk *disk, uint32_t node, struct sb_file_info *info_out)
{
    *info_out = (struct sb_file_info){
        .kind = disk->nodes[node].is_directory ? SB_FILE_DIRECTORY : SB_FILE_REGULAR,
        .size = disk->nodes[node].size,
        .inode = node,
    };
}

static sabot_status disk_file_info(struct sb_file *file,
                                   struct sb_file_info *info_out,
                                   sabot_error *error)
{
    SABOT_TRY(touch(file->disk, file->path, error));
    describe(file->disk, file->node, info_out);
    return SABOT_OK;
}

/* --- Calls on paths --------------------------------------------------------------------------- */

static sabot_status disk_path_info(void *self,
                                   const char *path,
                                   struct sb_file_info *info_out,
                                   sabot_error *error)
{
    struct disk *disk = self;
    uint32_t node;

    SABOT_TRY(touch(disk, path, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    describe(disk, node, info_out);
    return SABOT_OK;
}

static sabot_status disk_rename(void *self, const char *from, const char *to, sabot_error *error)
{
    struct disk *disk = self;
    const char *last_from = "";
    const char *last_to = "";
    uint32_t node;
    uint32_t folder_from;
    uint32_t folder_to;

    SABOT_TRY(touch(disk, from, error));
    node = node_at(disk, from);
    folder_from = walk(disk, from, &last_from);
    folder_to = walk(disk, to, &last_to);
    if (node == NONE || folder_to == NONE)
        return raise_missing(error, from);
    name_set(name_make(disk, folder_to, last_to), node);
    name_set(name_make(disk, folder_from, last_from), NONE);
    return SABOT_OK;
}

static sabot_status disk_link(void *self, const char *from, const char *to, sabot_error *error)
{
    struct disk *disk = self;
    const char *last = "";
    uint32_t folder;
    uint32_t node;

    SABOT_TRY(touch(disk, from, error));
    node = node_at(disk, from);
    folder = walk(disk, to, &last);
    if (node == NONE || folder == NONE)
        return raise_missing(error, from);
    if (node_at(disk, to) != NONE)
        return sabot_raise(error, SABOT_ERR_EXISTS, "%s: File exists", to);
    name_set(name_make(disk, folder, last), node);
    return SABOT_OK;
}

static bool is_empty(const struct disk *disk, uint32_t folder)
{
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == folder && disk->names[i].node != NONE)
            return false;
    }
    return true;
}

static sabot_status disk_remove(void *self, const char *path, sabot_error *error)
{
    struct disk *disk = self;
    const char *last = "";
    uint32_t folder;
    uint32_t node;

    SABOT_TRY(touch(disk, path, error));
    folder = walk(disk, path, &last);
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    if (disk->nodes[node].is_directory && !is_empty(disk, node))
        return sabot_raise(error, SABOT_ERR_IO, "%s: Directory not empty", path);
    name_set(name_make(disk, folder, last), NONE);
    return SABOT_OK;
}

static sabot_status disk_directory_create(void *self, const char *path, sabot_error *error)
{
    struct disk *disk = self;
    const char *last = "";
    uint32_t folder;

    SABOT_TRY(touch(disk, path, error));
    folder = walk(disk, path, &last);
    if (folder == NONE)
        return raise_missing(error, path);
    if (node_at(disk, path) != NONE)
        return sabot_raise(error, SABOT_ERR_EXISTS, "%s: File exists", path);
    name_set(name_make(disk, folder, last), node_make(disk, true));
    return SABOT_OK;
}

static sabot_status disk_directory_sync(void *self, const char *path, sabot_error *error)
{
    struct disk *disk = self;
    uint32_t node;

    SABOT_TRY(touch(disk, path, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == node)
            disk->names[i].past_count = 0;
    }
    return SABOT_OK;
}

static sabot_status disk_directory_list(void *self,
                                        const char *path,
                                        sb_list_function each,
                                        void *context,
                                        sabot_error *error)
{
    struct disk *disk = self;
    uint32_t node;

    SABOT_TRY(touch(disk, path, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == node && disk->names[i].node != NONE)
            SABOT_TRY(each(context, disk->names[i].text));
    }
    return SABOT_OK;
}

/* --- The rest of the environment -------------------------------------------------------------- */

static const struct sb_env *under(void *self)
{
    return ((struct disk *)self)->under;
}

static int64_t disk_now_us(void *self)
{
    return sb_now_us(under(self));
}

static int64_t disk_wall_ms(void *self)
{
    return sb_wall_ms(under(self));
}

static uint64_t disk_random(void *self)
{
    return sb_random(under(self));
}

static void *disk_allocate(void *self, size_t size, size_t alignment)
{
    return under(self)->type->allocate(under(self)->self, size, alignment);
}

static void *disk_reallocate(void *self, void *memory, size_t old_size, size_t size)
{
    return under(self)->type->reallocate(under(self)->self, memory, old_size, size);
}

static void disk_release(void *self, void *memory, size_t size)
{
    under(self)->type->release(under(self)->self, memory, size);
}

static void disk_crash_point(void *self, const char *label)
{
    (void)self;
    (void)label;
}

static void disk_log(void *self, sabot_log_level level, const char *line)
{
    (void)self;
    (void)level;
    (void)line;
}

void disk_make(struct disk *disk, const struct sb_env *under)
{
    memset(disk, 0, sizeof *disk);
    disk->type = (struct sb_env_type){
        .now_us = disk_now_us,
        .wall_ms = disk_wall_ms,
        .random = disk_random,
        .allocate = disk_allocate,
        .reallocate = disk_reallocate,
        .release = disk_release,
        .file_open = disk_open,
        .file_close = disk_close,
        .file_read = disk_read,
        .file_expect = disk_expect,
        .file_write = disk_write,
        .file_sync = disk_sync,
        .file_truncate = disk_truncate,
        .file_info = disk_file_info,
        .path_info = disk_path_info,
        .path_rename = disk_rename,
        .path_link = disk_link,
        .path_remove = disk_remove,
        .directory_create = disk_directory_create,
        .directory_sync = disk_directory_sync,
        .directory_list = disk_directory_list,
        .crash_point = disk_crash_point,
        .log = disk_log,
    };
    disk->env = (struct sb_env){.type = &disk->type, .self = disk};
    disk->under = under;
    disk->off_after = UINT64_MAX;
    assert_int_equal(node_make(disk, true), ROOT);
}

void disk_free(struct disk *disk)
{
    assert_int_equal(disk->open_files, 0);
    for (uint32_t i = 0; i < DISK_NODES_MAX; i++) {
        free(disk->nodes[i].bytes);
        free(disk->nodes[i].safe);
    }
}

/* --- Power ------------------------------------------------------------------------------------ */

/* Sectors as they were, or as they became; a size as it was, or as it became. */
static void forget_bytes(struct disk_node *node, struct kit_random *random)
{
    const size_t size = kit_random_below(random, 2) == 0 ? node->size : node->safe_size;
    uint8_t *bytes = calloc(1, size + 1);

    assert_non_null(bytes);
    for (size_t at = 0; at < size; at += DISK_SECTOR) {
        const bool is_new = kit_random_below(random, 2) == 0;
        const uint8_t *from = is_new ? node->bytes : node->safe;
        const size_t from_size = is_new ? node->size : node->safe_size;
        size_t part = size - at < DISK_SECTOR ? size - at : DISK_SECTOR;

        if (at >= from_size)
            continue; /* a hole */
        part = part < from_size - at ? part : from_size - at;
        memcpy(bytes + at, from + at, part);
    }
    free(node->bytes);
    node->bytes = bytes;
    node->size = size;
    node->lost = false;
    make_safe(node);
}

static bool is_safe(const struct disk_node *node)
{
    return node->size == node->safe_size &&
           (node->size == 0 || memcmp(node->bytes, node->safe, node->size) == 0);
}

void disk_lose_power(struct disk *disk, struct kit_random *random)
{
    assert_int_equal(disk->open_files, 0);
    for (uint32_t i = 0; i < disk->name_count; i++) {
        struct disk_name *name = &disk->names[i];
        const uint32_t which = kit_random_below(random, name->past_count + 1);

        if (which < name->past_count)
            name->node = name->past[which];
        name->past_count = 0;
    }
    for (uint32_t i = ROOT; i < DISK_NODES_MAX; i++) {
        if (disk->nodes[i].is_used && !disk->nodes[i].is_directory && !is_safe(&disk->nodes[i]))
            forget_bytes(&disk->nodes[i], random);
    }
    disk->off_after = UINT64_MAX;
}

/* --- By hand ---------------------------------------------------------------------------------- */

uint8_t *disk_bytes(struct disk *disk, const char *path, size_t *size_out)
{
    const uint32_t node = node_at(disk, path);

    *size_out = node == NONE ? 0 : disk->nodes[node].size;
    return node == NONE ? NULL : disk->nodes[node].bytes;
}

void disk_put(struct disk *disk, const char *path, const void *bytes, size_t size)
{
    const char *last = "";
    const uint32_t folder = walk(disk, path, &last);
    uint32_t node = node_at(disk, path);

    assert_int_not_equal(folder, NONE);
    if (node == NONE) {
        node = node_make(disk, false);
        name_set(name_make(disk, folder, last), node);
    }
    set_bytes(&disk->nodes[node], bytes, size);
    make_safe(&disk->nodes[node]);
}
