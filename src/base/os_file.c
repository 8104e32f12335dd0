/* SPDX-License-Identifier: Apache-2.0 */
/* os_file.c - files and folders on POSIX.
 *
 * Reads and writes are whole: a short one is continued, an interrupted one repeated, and one that
 * would block on an inherited non-blocking descriptor waits. Every error names the path, what was
 * tried, where in the file, and the system's reason. Threads: a file may be read and written by
 * several threads at once, if each says its offset. Memory: a struct and the path for an open file.
 */
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

struct sb_file {
    const struct sb_os *os;
    int fd;
    bool owned; /* close the descriptor with the file */
    char *path;
};

/* --- Errors ----------------------------------------------------------------------------------- */

static sabot_status status_of(int code)
{
    switch (code) {
    case ENOENT: return SABOT_ERR_NOT_FOUND;
    case EEXIST: return SABOT_ERR_EXISTS;
    case ENOMEM: return SABOT_ERR_MEMORY;
    case EPIPE: return SABOT_ERR_CLOSED;
    default: return SABOT_ERR_IO;
    }
}

/* What may go away by itself, or by a hand from outside. */
static bool is_retriable(int code)
{
    return code == ENOSPC || code == EDQUOT || code == EMFILE || code == ENFILE || code == ENOMEM;
}

static sabot_status raise_code(sabot_error *error, int code, const char *path, const char *what)
{
    char reason[128];
    const sabot_status status = sabot_raise(error, status_of(code), "%s: cannot %s: %s", path, what,
                                            strerror_r(code, reason, sizeof reason));

    if (error != NULL)
        error->retriable = is_retriable(code);
    return status;
}

static sabot_status raise_two(sabot_error *error,
                              int code,
                              const char *from,
                              const char *what,
                              const char *to)
{
    char reason[128];
    const sabot_status status = sabot_raise(error, status_of(code), "%s: cannot %s %s: %s", from,
                                            what, to, strerror_r(code, reason, sizeof reason));

    if (error != NULL)
        error->retriable = is_retriable(code);
    return status;
}

/* `done` bytes of `size` went well; `offset` is where the call began, -1: a stream. */
static sabot_status raise_at(sabot_error *error,
                             int code,
                             const struct sb_file *file,
                             const char *what,
                             size_t size,
                             int64_t offset,
                             size_t done)
{
    char reason[128];
    const char *text = strerror_r(code, reason, sizeof reason);
    sabot_status status;

    if (offset < 0)
        status = sabot_raise(error, status_of(code), "%s: cannot %s %zu bytes, %zu done: %s",
                             file->path, what, size, done, text);
    else
        status = sabot_raise(error, status_of(code),
                             "%s: cannot %s %zu bytes at offset %lld, %zu done: %s", file->path,
                             what, size, (long long)offset, done, text);
    if (error != NULL)
        error->retriable = is_retriable(code);
    return status;
}

/* --- Open and close --------------------------------------------------------------------------- */

static struct sb_file *file_make(const struct sb_os *os, const char *path)
{
    struct sb_file *file = sb_alloc(&os->env, sizeof *file);

    if (file == NULL)
        return NULL;
    file->os = os;
    file->fd = -1;
    file->path = sb_string_copy(&os->env, path);
    if (file->path == NULL) {
        sb_free(&os->env, file, sizeof *file);
        return NULL;
    }
    return file;
}

static void file_free(struct sb_file *file)
{
    const struct sb_os *os = file->os;

    if (file->owned && file->fd >= 0)
        (void)close(file->fd); /* never repeated: after EINTR Linux has closed it */
    sb_string_free(&os->env, file->path);
    sb_free(&os->env, file, sizeof *file);
}

/* O_NONBLOCK: a named pipe without its other side must not hold up the open. For reading it is then
 * waited for by poll; for writing it is an error (ENXIO). */
static int open_flags(enum sb_open_mode mode)
{
    switch (mode) {
    case SB_OPEN_READ: return O_RDONLY | O_NONBLOCK;
    case SB_OPEN_TRUNCATE: return O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK;
    case SB_OPEN_WRITE: return O_WRONLY | O_CREAT | O_NONBLOCK;
    case SB_OPEN_UPDATE: return O_RDWR | O_CREAT;
    case SB_OPEN_APPEND: return O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK;
    case SB_OPEN_NEW: break;
    }
    return O_WRONLY | O_CREAT | O_EXCL;
}

static int open_path(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* A folder opens for reading like a file, and fails only when it is read: say it here. */
static sabot_status check_opened(const struct sb_file *file,
                                 enum sb_open_mode mode,
                                 sabot_error *error)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return raise_code(error, errno, file->path, "look at it");
    if (S_ISDIR(status.st_mode))
        return sabot_raise(error, SABOT_ERR_IO, "%s: is a directory, not a file", file->path);
    if ((open_flags(mode) & O_NONBLOCK) != 0 &&
        fcntl(file->fd, F_SETFL, open_flags(mode) & O_APPEND) != 0)
        return raise_code(error, errno, file->path, "set it to blocking");
    return SABOT_OK;
}

sabot_status sb_os_file_open(void *self,
                             const char *path,
                             enum sb_open_mode mode,
                             struct sb_file **file_out,
                             sabot_error *error)
{
    static const char *const verbs[] = {
        [SB_OPEN_READ] = "open it for reading",
        [SB_OPEN_TRUNCATE] = "open it for writing",
        [SB_OPEN_WRITE] = "open it for writing",
        [SB_OPEN_UPDATE] = "open it for reading and writing",
        [SB_OPEN_NEW] = "create it",
        [SB_OPEN_APPEND] = "open it for writing",
    };
    struct sb_file *file = file_make(self, path);
    sabot_status status;

    *file_out = NULL;
    if (file == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to open it", path);
    file->owned = true;
    file->fd = open_path(path, open_flags(mode));
    if (file->fd < 0)
        status = raise_code(error, errno, path, verbs[mode]);
    else
        status = check_opened(file, mode, error);
    if (status != SABOT_OK) {
        file_free(file);
        return status;
    }
    *file_out = file;
    return SABOT_OK;
}

sabot_status sb_os_file_standard(void *self, int fd, struct sb_file **file_out, sabot_error *error)
{
    static const char *const names[] = {"standard input", "standard output", "standard error"};
    char name[32];
    struct sb_file *file;

    *file_out = NULL;
    (void)snprintf(name, sizeof name, "descriptor %d", fd);
    const char *path = fd >= 0 && fd <= 2 ? names[fd] : name;
    if (fcntl(fd, F_GETFD) < 0)
        return raise_code(error, errno, path, "use it");
    file = file_make(self, path);
    if (file == NULL)
        return sabot_raise(error, SABOT_ERR_MEMORY, "%s: no memory to use it", path);
    file->fd = fd;
    *file_out = file;
    return SABOT_OK;
}

void sb_os_file_close(void *self, struct sb_file *file)
{
    (void)self;
    if (file != NULL)
        file_free(file);
}

/* --- Read and write --------------------------------------------------------------------------- */

/* Wait until `events` or `timeout_ms` (-1: for ever). 0: timed out; -1: errno. */
static int wait_for(int fd, short events, int64_t timeout_ms)
{
    const int64_t until_us = timeout_ms < 0 ? -1 : sb_os_now_us(NULL) + timeout_ms * 1000;

    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int64_t left_ms = -1;

        if (until_us >= 0) {
            left_ms = (until_us - sb_os_now_us(NULL) + 999) / 1000;
            left_ms = left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : left_ms;
        }
        const int result = poll(&poll_fd, 1, (int)left_ms);
        if (result > 0)
            return 1;
        if (result == 0 && left_ms < INT_MAX)
            return 0;
        if (result < 0 && errno != EINTR)
            return -1;
    }
}

/* May the failed call be repeated? An interrupted one at once, one that would block after waiting.
 */
static bool may_repeat(int fd, short events)
{
    if (errno == EINTR)
        return true;
    if (errno != EAGAIN)
        return false;
    return wait_for(fd, events, -1) > 0;
}

sabot_status sb_os_file_read(struct sb_file *file,
                             void *buffer,
                             size_t size,
                             int64_t offset,
                             size_t *size_out,
                             sabot_error *error)
{
    uint8_t *bytes = buffer;
    size_t done = 0;

    *size_out = 0;
    while (done < size) {
        const ssize_t result = offset < 0 ? read(file->fd, bytes + done, size - done)
                                          : pread(file->fd, bytes + done, size - done,
                                                  (off_t)(offset + (int64_t)done));

        if (result == 0)
            break;
        if (result > 0)
            done += (size_t)result;
        else if (!may_repeat(file->fd, POLLIN))
            return raise_at(error, errno, file, "read", size, offset, done);
    }
    *size_out = done;
    return SABOT_OK;
}

void sb_os_file_expect(struct sb_file *file, int64_t offset, size_t size)
{
    (void)posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
}

sabot_status sb_os_file_read_some(struct sb_file *file,
                                  void *buffer,
                                  size_t size,
                                  int64_t timeout_ms,
                                  size_t *size_out,
                                  sabot_error *error)
{
    *size_out = 0;
    for (;;) {
        const int ready = wait_for(file->fd, POLLIN, timeout_ms);

        if (ready == 0)
            return SABOT_AGAIN;
        if (ready < 0)
            return raise_at(error, errno, file, "wait for", size, -1, 0);
        const ssize_t result = read(file->fd, buffer, size);
        if (result >= 0) {
            *size_out = (size_t)result;
            return SABOT_OK;
        }
        /* Another reader of the same pipe was faster, or a signal came: wait again. */
        if (errno != EINTR && errno != EAGAIN)
            return raise_at(error, errno, file, "read", size, -1, 0);
    }
}

sabot_status sb_os_file_write(struct sb_file *file,
                              const void *bytes,
                              size_t size,
                              int64_t offset,
                              sabot_error *error)
{
    const uint8_t *from = bytes;
    size_t done = 0;

    while (done < size) {
        const ssize_t result = offset < 0 ? write(file->fd, from + done, size - done)
                                          : pwrite(file->fd, from + done, size - done,
                                                   (off_t)(offset + (int64_t)done));

        if (result > 0)
            done += (size_t)result;
        else if (result == 0)
            return raise_at(error, EIO, file, "write", size, offset, done);
        else if (!may_repeat(file->fd, POLLOUT))
            return raise_at(error, errno, file, "write", size, offset, done);
    }
    return SABOT_OK;
}

sabot_status sb_os_file_sync(struct sb_file *file, sabot_error *error)
{
    int result;

    do
        result = fsync(file->fd);
    while (result != 0 && errno == EINTR);
    /* A pipe or a terminal has nothing to sync. */
    if (result == 0 || errno == EINVAL || errno == ENOTSUP)
        return SABOT_OK;
    const sabot_status status = raise_code(error, errno, file->path, "sync it to the disk");
    /* The kernel may have dropped the pages: a second sync that succeeds would prove nothing. */
    if (error != NULL)
        error->fatal = true;
    return status;
}

sabot_status sb_os_file_truncate(struct sb_file *file, uint64_t size, sabot_error *error)
{
    int result;

    if (size > INT64_MAX)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%s: cannot set its size to %llu bytes",
                           file->path, (unsigned long long)size);
    do
        result = ftruncate(file->fd, (off_t)size);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return raise_at(error, errno, file, "cut to", (size_t)size, -1, 0);
    return SABOT_OK;
}

/* --- What is there ---------------------------------------------------------------------------- */

static void info_of(const struct stat *status,
                    const struct statvfs *system,
                    struct sb_file_info *info_out)
{
    enum sb_file_kind kind = SB_FILE_STREAM;

    if (S_ISREG(status->st_mode))
        kind = SB_FILE_REGULAR;
    else if (S_ISDIR(status->st_mode))
        kind = SB_FILE_DIRECTORY;
    *info_out = (struct sb_file_info){
        .kind = kind,
        .size = kind == SB_FILE_REGULAR ? (uint64_t)status->st_size : 0,
        .device = (uint64_t)status->st_dev,
        .inode = (uint64_t)status->st_ino,
        .bytes_free = (uint64_t)system->f_bavail * (uint64_t)system->f_frsize,
    };
}

sabot_status sb_os_file_info(struct sb_file *file,
                             struct sb_file_info *info_out,
                             sabot_error *error)
{
    struct statvfs system;
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return raise_code(error, errno, file->path, "look at it");
    /* A pipe has no file system of its own to ask. */
    if (fstatvfs(file->fd, &system) != 0)
        memset(&system, 0, sizeof system);
    info_of(&status, &system, info_out);
    return SABOT_OK;
}

sabot_status sb_os_path_info(void *self,
                             const char *path,
                             struct sb_file_info *info_out,
                             sabot_error *error)
{
    struct statvfs system;
    struct stat status;

    (void)self;
    if (stat(path, &status) != 0)
        return raise_code(error, errno, path, "look at it");
    if (statvfs(path, &system) != 0)
        memset(&system, 0, sizeof system);
    info_of(&status, &system, info_out);
    return SABOT_OK;
}

sabot_status sb_os_path_rename(void *self, const char *from, const char *to, sabot_error *error)
{
    (void)self;
    if (rename(from, to) != 0)
        return raise_two(error, errno, from, "rename it to", to);
    return SABOT_OK;
}

sabot_status sb_os_path_link(void *self, const char *from, const char *to, sabot_error *error)
{
    (void)self;
    if (link(from, to) != 0)
        return raise_two(error, errno, from, "link it to", to);
    return SABOT_OK;
}

sabot_status sb_os_path_remove(void *self, const char *path, sabot_error *error)
{
    (void)self;
    if (unlink(path) == 0)
        return SABOT_OK;
    /* Linux says EISDIR for a folder, POSIX EPERM. */
    if ((errno == EISDIR || errno == EPERM) && rmdir(path) == 0)
        return SABOT_OK;
    return raise_code(error, errno, path, "remove it");
}

/* --- Folders ---------------------------------------------------------------------------------- */

sabot_status sb_os_directory_create(void *self, const char *path, sabot_error *error)
{
    (void)self;
    if (mkdir(path, 0700) != 0)
        return raise_code(error, errno, path, "create the directory");
    return SABOT_OK;
}

sabot_status sb_os_directory_sync(void *self, const char *path, sabot_error *error)
{
    const int fd = open_path(path, O_RDONLY | O_DIRECTORY);
    int result;
    int code;

    (void)self;
    if (fd < 0)
        return raise_code(error, errno, path, "open the directory");
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    code = errno;
    (void)close(fd);
    if (result == 0 || code == EINVAL || code == ENOTSUP)
        return SABOT_OK;
    const sabot_status status = raise_code(error, code, path, "sync the directory to the disk");
    if (error != NULL)
        error->fatal = true;
    return status;
}

static bool is_self_or_parent(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

sabot_status sb_os_directory_list(void *self,
                                  const char *path,
                                  sb_list_function each,
                                  void *context,
                                  sabot_error *error)
{
    DIR *directory = opendir(path);
    sabot_status status = SABOT_OK;

    (void)self;
    if (directory == NULL)
        return raise_code(error, errno, path, "list the directory");
    while (status == SABOT_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);

        if (entry == NULL && errno != 0)
            status = raise_code(error, errno, path, "list the directory");
        if (entry == NULL)
            break;
        if (!is_self_or_parent(entry->d_name))
            status = each(context, entry->d_name);
    }
    (void)closedir(directory);
    return status;
}
