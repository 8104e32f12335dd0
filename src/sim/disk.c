/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - the disk of disk.h. Files are few: everything is looked for in a row. */
#include "sim/disk.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { ROOT = 1, NONE = 0, PATH_TEXT_MAX = 512, GARBAGE_NODES = 96 };

struct sb_file {
    struct sb_file *next;
    struct sb_sim_disk *disk;
    const void *process;
    uint32_t node;
    size_t at;
    bool appends;
    char path[PATH_TEXT_MAX];
};

/* --- Memory: an under-environment that has none left ends the simulation ------------------------
 */

static void *reserve(const struct sb_sim_disk *disk, size_t size)
{
    void *memory = disk->under->type->allocate(disk->under->self, size == 0 ? 1 : size, 16);

    SB_ASSERT(memory != NULL);
    return memory;
}

static void release(const struct sb_sim_disk *disk, void *memory, size_t size)
{
    if (memory != NULL)
        disk->under->type->release(disk->under->self, memory, size == 0 ? 1 : size);
}

sabot_status sb_sim_disk_init(struct sb_sim_disk *disk,
                              const struct sb_env *under,
                              struct sb_draw *draw)
{
    *disk = (struct sb_sim_disk){.under = under, .draw = draw};
    disk->nodes = sb_alloc_array(under, SB_SIM_NODES_MAX, sizeof *disk->nodes);
    disk->names = sb_alloc_array(under, SB_SIM_NAMES_MAX, sizeof *disk->names);
    if (disk->nodes == NULL || disk->names == NULL)
        return SABOT_ERR_MEMORY;
    disk->nodes[ROOT] = (struct sb_sim_node){.is_used = true, .is_directory = true};
    disk->node_count = ROOT + 1;
    return SABOT_OK;
}

static void free_node(struct sb_sim_disk *disk, struct sb_sim_node *node)
{
    release(disk, node->bytes, node->capacity);
    release(disk, node->safe, node->safe_size);
    *node = (struct sb_sim_node){.is_used = false};
}

void sb_sim_disk_reset(struct sb_sim_disk *disk)
{
    SB_ASSERT(disk->files == NULL);
    for (uint32_t i = 0; disk->nodes != NULL && i < disk->node_count; i++)
        free_node(disk, &disk->nodes[i]);
    sb_free_array(disk->under, disk->nodes, SB_SIM_NODES_MAX, sizeof *disk->nodes);
    sb_free_array(disk->under, disk->names, SB_SIM_NAMES_MAX, sizeof *disk->names);
}

/* --- Faults ------------------------------------------------------------------------------------
 */

static bool is_due(uint32_t *armed)
{
    return *armed > 0 && --*armed == 0;
}

/* Every call begins here. */
static sabot_status touch(struct sb_sim_disk *disk,
                          const char *path,
                          bool needs_room,
                          sabot_error *error)
{
    const bool fails = is_due(&disk->armed);
    const char *why = NULL;

    if (fails || sb_draw_one_in(disk->draw, disk->faults.io)) {
        why = "Input/output error";
        disk->done.io++;
    } else if (needs_room && sb_draw_one_in(disk->draw, disk->faults.space)) {
        why = "No space left on device";
        disk->done.space++;
    }
    if (why == NULL)
        return SABOT_OK;
    return sabot_raise(error, SABOT_ERR_IO, "%s: %s", path, why);
}

/* --- Names -------------------------------------------------------------------------------------
 */

static struct sb_sim_name *name_in(const struct sb_sim_disk *disk,
                                   uint32_t folder,
                                   const char *text,
                                   size_t size)
{
    for (uint32_t i = 0; i < disk->name_count; i++) {
        struct sb_sim_name *name = &disk->names[i];

        if (name->folder == folder && strncmp(name->text, text, size) == 0 &&
            name->text[size] == '\0')
            return name;
    }
    return NULL;
}

static struct sb_sim_name *name_make(struct sb_sim_disk *disk, uint32_t folder, const char *text)
{
    struct sb_sim_name *name = name_in(disk, folder, text, strlen(text));

    if (name != NULL)
        return name;
    SB_ASSERT(disk->name_count < SB_SIM_NAMES_MAX);
    SB_ASSERT(strlen(text) < sizeof name->text);
    name = &disk->names[disk->name_count++];
    *name = (struct sb_sim_name){.folder = folder, .past_count = 1}; /* it was nothing */
    memcpy(name->text, text, strlen(text));
    return name;
}

/* With a past that is too long one of the middle is forgotten. */
static void name_set(struct sb_sim_name *name, uint32_t node)
{
    if (name->past_count == SB_SIM_PAST_MAX)
        name->past_count--;
    name->past[name->past_count++] = name->node;
    name->node = node;
}

/* The folder of a path and the name in it; NONE: there is no such folder. */
static uint32_t walk(const struct sb_sim_disk *disk, const char *path, const char **last_out)
{
    uint32_t folder = ROOT;
    const char *slash;

    SB_ASSERT(path[0] == '/');
    *last_out = "";
    for (path++; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        const struct sb_sim_name *name = name_in(disk, folder, path, (size_t)(slash - path));

        if (name == NULL || name->node == NONE || !disk->nodes[name->node].is_directory)
            return NONE;
        folder = name->node;
    }
    *last_out = path;
    return folder;
}

static uint32_t node_at(const struct sb_sim_disk *disk, const char *path)
{
    const char *last;
    const uint32_t folder = walk(disk, path, &last);
    const struct sb_sim_name *name;

    if (folder == NONE || last[0] == '\0')
        return folder;
    name = name_in(disk, folder, last, strlen(last));
    return name == NULL ? NONE : name->node;
}

/* Names that are nothing and were nothing, and nodes that no name can become again. */
static void collect_garbage(struct sb_sim_disk *disk)
{
    bool used[SB_SIM_NODES_MAX] = {[ROOT] = true};
    uint32_t kept = 0;

    for (uint32_t i = 0; i < disk->name_count; i++) {
        const struct sb_sim_name *name = &disk->names[i];

        if (name->node == NONE && name->past_count == 0)
            continue;
        used[name->node] = true;
        used[name->folder] = true;
        for (uint32_t at = 0; at < name->past_count; at++)
            used[name->past[at]] = true;
        disk->names[kept++] = *name;
    }
    disk->name_count = kept;
    for (uint32_t i = ROOT; i < disk->node_count; i++) {
        struct sb_sim_node *node = &disk->nodes[i];

        if (!node->is_used || used[i] || node->open > 0)
            continue;
        if (disk->rot.node == i)
            disk->rot.node = NONE;
        free_node(disk, node);
    }
}

static uint32_t node_make(struct sb_sim_disk *disk, bool is_directory)
{
    uint32_t at = ROOT;

    while (at < disk->node_count && disk->nodes[at].is_used)
        at++;
    SB_ASSERT(at < SB_SIM_NODES_MAX);
    if (at == disk->node_count)
        disk->node_count++;
    disk->nodes[at] = (struct sb_sim_node){.is_used = true, .is_directory = is_directory};
    return at;
}

static sabot_status raise_missing(sabot_error *error, const char *path)
{
    return sabot_raise(error, SABOT_ERR_NOT_FOUND, "%s: No such file or directory", path);
}

/* --- Bytes -------------------------------------------------------------------------------------
 */

/* What is written anew has no flipped bit any more. */
static void note_change(struct sb_sim_disk *disk, struct sb_sim_node *node)
{
    node->is_dirty = true;
    if (node == &disk->nodes[disk->rot.node])
        disk->rot.node = NONE;
}

static void resize(struct sb_sim_disk *disk, struct sb_sim_node *node, size_t size)
{
    note_change(disk, node);
    if (size > node->capacity) {
        const size_t capacity = size > 2 * node->capacity ? size : 2 * node->capacity;
        uint8_t *bytes = reserve(disk, capacity);

        if (node->size > 0)
            memcpy(bytes, node->bytes, node->size);
        release(disk, node->bytes, node->capacity);
        node->bytes = bytes;
        node->capacity = capacity;
    }
    if (size > node->size)
        memset(node->bytes + node->size, 0, size - node->size);
    node->size = size;
    if (size < node->lost_to)
        node->lost_to = size;
}

static bool is_lost(const struct sb_sim_node *node)
{
    return node->lost_from < node->lost_to;
}

/* But for what is taken for safe already. */
static void make_safe(struct sb_sim_disk *disk, struct sb_sim_node *node)
{
    uint8_t *safe;

    if (!node->is_dirty)
        return;
    safe = reserve(disk, node->size);
    if (node->size > 0)
        memcpy(safe, node->bytes, node->size);
    for (size_t i = node->lost_from; i < node->lost_to; i++)
        safe[i] = i < node->safe_size ? node->safe[i] : 0;
    release(disk, node->safe, node->safe_size);
    node->safe = safe;
    node->safe_size = node->size;
    node->is_dirty = is_lost(node);
}

/* All that a sync should have saved. */
static void lose(struct sb_sim_node *node)
{
    size_t from = 0;

    while (from < node->size && from < node->safe_size && node->bytes[from] == node->safe[from])
        from++;
    if (!is_lost(node) || from < node->lost_from)
        node->lost_from = from;
    node->lost_to = node->size;
}

/* Bytes that are written are to be saved again. */
static void find_again(struct sb_sim_node *node, size_t from, size_t to)
{
    if (from <= node->lost_from && to > node->lost_from)
        node->lost_from = to;
    else if (from < node->lost_to && to >= node->lost_to)
        node->lost_to = from;
}

/* --- Calls on files ----------------------------------------------------------------------------
 */

sabot_status sb_sim_file_open(struct sb_sim_disk *disk,
                              const void *process,
                              const char *path,
                              enum sb_open_mode mode,
                              struct sb_file **file_out,
                              sabot_error *error)
{
    const char *last;
    uint32_t folder;
    uint32_t node;
    struct sb_file *file;

    *file_out = NULL;
    SABOT_TRY(touch(disk, path, mode != SB_OPEN_READ, error));
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
        resize(disk, &disk->nodes[node], 0);
    file = sb_alloc(disk->under, sizeof *file);
    SB_ASSERT(file != NULL);
    *file = (struct sb_file){
        .next = disk->files,
        .disk = disk,
        .process = process,
        .node = node,
        .appends = mode == SB_OPEN_APPEND,
    };
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    disk->files = file;
    disk->nodes[node].open++;
    *file_out = file;
    return SABOT_OK;
}

void sb_sim_file_close(struct sb_file *file)
{
    struct sb_file **link;

    if (file == NULL)
        return;
    link = &file->disk->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    file->disk->nodes[file->node].open--;
    sb_free(file->disk->under, file, sizeof *file);
}

void sb_sim_disk_close_all(struct sb_sim_disk *disk, const void *process)
{
    struct sb_file *file = disk->files;

    while (file != NULL) {
        struct sb_file *next = file->next;

        if (file->process == process)
            sb_sim_file_close(file);
        file = next;
    }
}

sabot_status sb_sim_file_read(struct sb_file *file,
                              void *buffer,
                              size_t size,
                              int64_t offset,
                              size_t *size_out,
                              sabot_error *error)
{
    const struct sb_sim_node *node = &file->disk->nodes[file->node];
    const size_t from = offset < 0 ? file->at : (size_t)offset;

    *size_out = 0;
    SABOT_TRY(touch(file->disk, file->path, false, error));
    if (from < node->size)
        *size_out = size < node->size - from ? size : node->size - from;
    if (*size_out > 0)
        memcpy(buffer, node->bytes + from, *size_out);
    if (offset < 0)
        file->at += *size_out;
    return SABOT_OK;
}

sabot_status sb_sim_file_write(struct sb_file *file,
                               const void *bytes,
                               size_t size,
                               int64_t offset,
                               sabot_error *error)
{
    struct sb_sim_node *node = &file->disk->nodes[file->node];
    const size_t from = file->appends ? node->size : offset < 0 ? file->at : (size_t)offset;
    const sabot_status status = touch(file->disk, file->path, true, error);

    /* What fails has written a part. */
    if (status != SABOT_OK && size > 0)
        size = sb_draw_below(file->disk->draw, (uint32_t)size);
    if (from + size > node->size)
        resize(file->disk, node, from + size);
    if (size > 0)
        memcpy(node->bytes + from, bytes, size);
    find_again(node, from, from + size);
    note_change(file->disk, node);
    if (offset < 0)
        file->at = from + size;
    return status;
}

/* After a sync that failed the system counts the pages as clean: nothing will write them. */
sabot_status sb_sim_file_sync(struct sb_file *file, sabot_error *error)
{
    struct sb_sim_disk *disk = file->disk;
    struct sb_sim_node *node = &disk->nodes[file->node];

    if (is_due(&disk->armed_sync) || sb_draw_one_in(disk->draw, disk->faults.sync)) {
        disk->done.sync++;
        lose(node);
        if (error != NULL)
            error->fatal = true;
        return sabot_raise(error, SABOT_ERR_IO, "%s: fsync: Input/output error", file->path);
    }
    SABOT_TRY(touch(disk, file->path, false, error));
    make_safe(disk, node);
    return SABOT_OK;
}

sabot_status sb_sim_file_truncate(struct sb_file *file, uint64_t size, sabot_error *error)
{
    SABOT_TRY(touch(file->disk, file->path, true, error));
    resize(file->disk, &file->disk->nodes[file->node], (size_t)size);
    return SABOT_OK;
}

static void describe(const struct sb_sim_disk *disk, uint32_t node, struct sb_file_info *info_out)
{
    *info_out = (struct sb_file_info){
        .kind = disk->nodes[node].is_directory ? SB_FILE_DIRECTORY : SB_FILE_REGULAR,
        .size = disk->nodes[node].size,
        .inode = node,
        .bytes_free = 1 << 30,
    };
}

sabot_status sb_sim_file_info(struct sb_file *file,
                              struct sb_file_info *info_out,
                              sabot_error *error)
{
    SABOT_TRY(touch(file->disk, file->path, false, error));
    describe(file->disk, file->node, info_out);
    return SABOT_OK;
}

/* --- Calls on paths ----------------------------------------------------------------------------
 */

sabot_status sb_sim_path_info(struct sb_sim_disk *disk,
                              const char *path,
                              struct sb_file_info *info_out,
                              sabot_error *error)
{
    uint32_t node;

    SABOT_TRY(touch(disk, path, false, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    describe(disk, node, info_out);
    return SABOT_OK;
}

sabot_status sb_sim_path_rename(struct sb_sim_disk *disk,
                                const char *from,
                                const char *to,
                                sabot_error *error)
{
    const char *last_from;
    const char *last_to;
    uint32_t node;
    uint32_t folder_from;
    uint32_t folder_to;

    SABOT_TRY(touch(disk, from, true, error));
    node = node_at(disk, from);
    folder_from = walk(disk, from, &last_from);
    folder_to = walk(disk, to, &last_to);
    if (node == NONE || folder_to == NONE)
        return raise_missing(error, from);
    name_set(name_make(disk, folder_to, last_to), node);
    name_set(name_make(disk, folder_from, last_from), NONE);
    return SABOT_OK;
}

sabot_status sb_sim_path_link(struct sb_sim_disk *disk,
                              const char *from,
                              const char *to,
                              sabot_error *error)
{
    const char *last;
    uint32_t node;
    uint32_t folder;

    SABOT_TRY(touch(disk, from, true, error));
    node = node_at(disk, from);
    folder = walk(disk, to, &last);
    if (node == NONE || folder == NONE)
        return raise_missing(error, from);
    if (node_at(disk, to) != NONE)
        return sabot_raise(error, SABOT_ERR_EXISTS, "%s: File exists", to);
    name_set(name_make(disk, folder, last), node);
    return SABOT_OK;
}

static bool is_empty(const struct sb_sim_disk *disk, uint32_t folder)
{
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == folder && disk->names[i].node != NONE)
            return false;
    }
    return true;
}

sabot_status sb_sim_path_remove(struct sb_sim_disk *disk, const char *path, sabot_error *error)
{
    const char *last;
    uint32_t folder;
    uint32_t node;

    SABOT_TRY(touch(disk, path, false, error));
    folder = walk(disk, path, &last);
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    if (disk->nodes[node].is_directory && !is_empty(disk, node))
        return sabot_raise(error, SABOT_ERR_IO, "%s: Directory not empty", path);
    name_set(name_make(disk, folder, last), NONE);
    return SABOT_OK;
}

sabot_status sb_sim_directory_create(struct sb_sim_disk *disk, const char *path, sabot_error *error)
{
    const char *last;
    uint32_t folder;

    SABOT_TRY(touch(disk, path, true, error));
    folder = walk(disk, path, &last);
    if (folder == NONE)
        return raise_missing(error, path);
    if (node_at(disk, path) != NONE)
        return sabot_raise(error, SABOT_ERR_EXISTS, "%s: File exists", path);
    name_set(name_make(disk, folder, last), node_make(disk, true));
    return SABOT_OK;
}

sabot_status sb_sim_directory_sync(struct sb_sim_disk *disk, const char *path, sabot_error *error)
{
    uint32_t node;

    SABOT_TRY(touch(disk, path, false, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == node)
            disk->names[i].past_count = 0;
    }
    if (disk->node_count > GARBAGE_NODES)
        collect_garbage(disk);
    return SABOT_OK;
}

sabot_status sb_sim_directory_list(struct sb_sim_disk *disk,
                                   const char *path,
                                   sb_list_function each,
                                   void *context,
                                   sabot_error *error)
{
    uint32_t node;

    SABOT_TRY(touch(disk, path, false, error));
    node = node_at(disk, path);
    if (node == NONE)
        return raise_missing(error, path);
    for (uint32_t i = 0; i < disk->name_count; i++) {
        if (disk->names[i].folder == node && disk->names[i].node != NONE)
            SABOT_TRY(each(context, disk->names[i].text));
    }
    return SABOT_OK;
}

/* --- Power -------------------------------------------------------------------------------------
 */

/* One sector as it was, as it became, or torn between both; `size` bytes are wanted of it. */
static void keep_sector(struct sb_sim_disk *disk,
                        const struct sb_sim_node *node,
                        uint8_t *bytes,
                        size_t at,
                        size_t size)
{
    const uint32_t fate = sb_draw_below(disk->draw, 9);
    size_t is_new_until = fate == 0  ? sb_draw_below(disk->draw, SB_SIM_SECTOR)
                          : fate > 4 ? size
                                     : 0;

    for (size_t i = 0; i < size; i++) {
        const bool is_new = i < is_new_until;
        const size_t known = is_new ? node->size : node->safe_size;

        bytes[at + i] = at + i >= known ? 0 : is_new ? node->bytes[at + i] : node->safe[at + i];
    }
}

static void forget_bytes(struct sb_sim_disk *disk, struct sb_sim_node *node)
{
    const size_t size = sb_draw_below(disk->draw, 2) == 0 ? node->size : node->safe_size;
    uint8_t *bytes = reserve(disk, size);

    for (size_t at = 0; at < size; at += SB_SIM_SECTOR)
        keep_sector(disk, node, bytes, at,
                    size - at < SB_SIM_SECTOR ? size - at : (size_t)SB_SIM_SECTOR);
    release(disk, node->bytes, node->capacity);
    node->bytes = bytes;
    node->size = size;
    node->capacity = size;
    node->is_dirty = true;
    make_safe(disk, node);
}

void sb_sim_disk_lose_power(struct sb_sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->name_count; i++) {
        struct sb_sim_name *name = &disk->names[i];
        const uint32_t which = sb_draw_below(disk->draw, name->past_count + 1);

        if (which < name->past_count)
            name->node = name->past[which];
        name->past_count = 0;
    }
    for (uint32_t i = ROOT; i < disk->node_count; i++) {
        struct sb_sim_node *node = &disk->nodes[i];

        node->lost_from = node->lost_to = 0;
        if (node->is_used && !node->is_directory && node->is_dirty)
            forget_bytes(disk, node);
    }
    collect_garbage(disk);
}

/* --- Decay -------------------------------------------------------------------------------------
 */

/* The folder below the root that a file lies in; NULL: none, it has no name. */
static const char *root_folder(const struct sb_sim_disk *disk, uint32_t node)
{
    const char *text = NULL;

    while (node != ROOT) {
        uint32_t at = 0;

        while (at < disk->name_count && disk->names[at].node != node)
            at++;
        if (at == disk->name_count)
            return NULL;
        text = disk->names[at].text;
        node = disk->names[at].folder;
    }
    return text;
}

/* Files that are read and written by the app have no checksums: nobody could tell. */
static bool may_decay(const struct sb_sim_disk *disk, uint32_t at)
{
    const struct sb_sim_node *node = &disk->nodes[at];
    const char *folder;

    if (!node->is_used || node->is_directory || node->is_dirty || node->open != 0)
        return false;
    folder = root_folder(disk, at);
    return folder != NULL && (strcmp(folder, "state") == 0 || strcmp(folder, "saves") == 0);
}

/* Each byte of each file is as likely. */
bool sb_sim_disk_decay(struct sb_sim_disk *disk)
{
    size_t total = 0;
    size_t at;

    for (uint32_t i = ROOT; i < disk->node_count; i++)
        total += may_decay(disk, i) ? disk->nodes[i].size : 0;
    if (total == 0 || disk->rot.node != NONE)
        return false;
    at = sb_draw_below(disk->draw, (uint32_t)total);
    for (uint32_t i = ROOT; i < disk->node_count; i++) {
        struct sb_sim_node *node = &disk->nodes[i];

        if (!may_decay(disk, i))
            continue;
        if (at >= node->size) {
            at -= node->size;
            continue;
        }
        disk->rot = (struct sb_sim_rot){
            .node = i,
            .at = at,
            .mask = (uint8_t)(1U << sb_draw_below(disk->draw, 8)),
        };
        node->bytes[at] ^= disk->rot.mask;
        node->safe[at] ^= disk->rot.mask;
        return true;
    }
    return false;
}

bool sb_sim_disk_mend(struct sb_sim_disk *disk)
{
    struct sb_sim_node *node = &disk->nodes[disk->rot.node];
    const struct sb_sim_rot rot = disk->rot;

    disk->rot = (struct sb_sim_rot){.node = NONE};
    if (rot.node == NONE || !node->is_used || rot.at >= node->size || rot.at >= node->safe_size)
        return rot.node != NONE;
    node->bytes[rot.at] ^= rot.mask;
    node->safe[rot.at] ^= rot.mask;
    return true;
}
