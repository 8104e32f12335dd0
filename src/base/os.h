/* SPDX-License-Identifier: Apache-2.0 */
/* os.h - the parts of the POSIX environment to each other; nobody else includes it.
 *
 * os.c holds clock, memory, random, log and crash points; os_huge.c a stock of huge pages;
 * os_thread.c steppers and wakers; os_file.c files; os_socket.c sockets. `self` of every function
 * of the environment is a struct sb_os. */
#ifndef SB_BASE_OS_H
#define SB_BASE_OS_H

#include <stdatomic.h>

#include "base/env.h"

enum {
    SB_OS_CRASHES = 2,
    SB_OS_HUGE_PAGE = 2 * 1024 * 1024,
};

/* What a test has planned for the process. */
struct sb_os_crash {
    char *label;  /* NULL: nothing */
    uint64_t hit; /* the call that ends or stops the process, from 1 */
    int signal;   /* SIGKILL, or SIGSTOP for one that freezes */
    _Atomic uint64_t calls;
};

struct sb_os_huge; /* os_huge.c */

struct sb_os {
    struct sb_env env;
    _Atomic uint64_t allocations; /* ever asked for */
    _Atomic uint64_t fail_from;   /* number of the first allocation that fails; 0: none */
    struct sb_os_crash crashes[SB_OS_CRASHES];
    struct sb_os_huge *huge;
    bool log_erases;           /* stderr is a terminal, where a live line may stand */
    uint32_t spinners_max;     /* threads that may spin at once: never all processors */
    _Atomic uint32_t spinners; /* that do now */
};

extern const struct sb_socket_type sb_os_sockets; /* os_socket.c */

/* NULL: no memory. */
struct sb_os_huge *sb_os_huge_create(void);
void sb_os_huge_destroy(struct sb_os_huge *huge); /* NULL: nothing */
/* SB_OS_HUGE_PAGE bytes, aligned so, of any content; free() releases them. NULL: no memory. */
void *sb_os_huge_take(struct sb_os_huge *huge);

int64_t sb_os_now_us(void *self);

sabot_status sb_os_spawn(void *self,
                         const char *name,
                         sb_step_function step,
                         void *context,
                         struct sb_waker *waker,
                         struct sb_thread **thread_out,
                         sabot_error *error);
void sb_os_join(void *self, struct sb_thread *thread);
sabot_status sb_os_waker_create(void *self, struct sb_waker **waker_out, sabot_error *error);
void sb_os_waker_destroy(void *self, struct sb_waker *waker);
void sb_os_wake(struct sb_waker *waker);
void sb_os_wait(void *self, struct sb_waker *waker, int64_t deadline_us);

sabot_status sb_os_file_open(void *self,
                             const char *path,
                             enum sb_open_mode mode,
                             struct sb_file **file_out,
                             sabot_error *error);
sabot_status sb_os_file_standard(void *self, int fd, struct sb_file **file_out, sabot_error *error);
void sb_os_file_close(void *self, struct sb_file *file);
sabot_status sb_os_file_read(struct sb_file *file,
                             void *buffer,
                             size_t size,
                             int64_t offset,
                             size_t *size_out,
                             sabot_error *error);
void sb_os_file_expect(struct sb_file *file, int64_t offset, size_t size);
sabot_status sb_os_file_read_some(struct sb_file *file,
                                  void *buffer,
                                  size_t size,
                                  int64_t timeout_ms,
                                  size_t *size_out,
                                  sabot_error *error);
sabot_status sb_os_file_write(struct sb_file *file,
                              const void *bytes,
                              size_t size,
                              int64_t offset,
                              sabot_error *error);
sabot_status sb_os_file_sync(struct sb_file *file, sabot_error *error);
sabot_status sb_os_file_truncate(struct sb_file *file, uint64_t size, sabot_error *error);
sabot_status sb_os_file_info(struct sb_file *file,
                             struct sb_file_info *info_out,
                             sabot_error *error);
sabot_status sb_os_path_info(void *self,
                             const char *path,
                             struct sb_file_info *info_out,
                             sabot_error *error);
sabot_status sb_os_path_rename(void *self, const char *from, const char *to, sabot_error *error);
sabot_status sb_os_path_link(void *self, const char *from, const char *to, sabot_error *error);
sabot_status sb_os_path_remove(void *self, const char *path, sabot_error *error);
sabot_status sb_os_directory_create(void *self, const char *path, sabot_error *error);
sabot_status sb_os_directory_sync(void *self, const char *path, sabot_error *error);
sabot_status sb_os_directory_list(void *self,
                                  const char *path,
                                  sb_list_function each,
                                  void *context,
                                  sabot_error *error);

#endif
