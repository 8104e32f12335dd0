/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h - a disk in memory that fails when it is told to, and forgets when its power goes.
 *
 * It is an environment: memory, clock, random numbers and log are those of the one it is made with;
 * files and folders are its own. It promises what POSIX promises and not a bit more:
 *
 *   - bytes that were not synced may be there after a loss of power, or not, sector by sector, and
 *     the size of their file is the old or the new one;
 *   - a name that was made, renamed or removed since its folder was synced may be as it is, or as
 * it was at any time since;
 *   - a sync that failed has lost what it was to save: a second one of that file says OK and saves
 *     nothing.
 *
 * Every call on files counts. One of them can be made to fail, and from one on the machine can be
 * off: then calls fail and do nothing, as if the program had ended in between.
 *
 * Threads: one. No wakers, no threads, no streams. Every helper fails the test when it can't do its
 * work. */
#ifndef SB_TEST_DISK_H
#define SB_TEST_DISK_H

#include "flow_kit.h"

#include "base/mem.h"

enum { DISK_NODES_MAX = 256, DISK_NAMES_MAX = 512, DISK_PAST_MAX = 32, DISK_SECTOR = 512 };

enum disk_fault { DISK_EIO, DISK_ENOSPC };

struct disk_node {
    bool is_used;
    bool is_directory;
    uint8_t *bytes; /* as programs see them */
    size_t size;
    uint8_t *safe; /* as they were synced */
    size_t safe_size;
    bool lost; /* a sync of it has failed */
};

/* A name in a folder, with every node that it had since the folder was synced; 0: none. */
struct disk_name {
    uint32_t folder;
    char text[64];
    uint32_t node;
    uint32_t past[DISK_PAST_MAX];
    uint32_t past_count;
};

struct disk {
    struct sb_env_type type;
    struct sb_env env; /* what is tested gets this */
    const struct sb_env *under;
    struct disk_node nodes[DISK_NODES_MAX]; /* 1 is the root; 0 is none */
    struct disk_name names[DISK_NAMES_MAX];
    uint32_t name_count;
    uint32_t open_files;
    uint64_t calls;   /* so far */
    uint64_t fail_at; /* this call fails, from 1; 0: none */
    enum disk_fault fault;
    bool failed;        /* it has */
    bool failed_sync;   /* it was a sync of a file */
    uint64_t off_after; /* of the calls that are made so many still work; UINT64_MAX: all */
    bool synced_again;  /* a file whose sync had failed */
};

void disk_make(struct disk *disk, const struct sb_env *under);
void disk_free(struct disk *disk);

/* The power goes, and comes back: what was not safe is there or not, as `random` has it. */
void disk_lose_power(struct disk *disk, struct kit_random *random);

/* The bytes of a file, to be changed by hand; NULL: no such file. */
uint8_t *disk_bytes(struct disk *disk, const char *path, size_t *size_out);
/* A file of exactly these bytes, made when missing. */
void disk_put(struct disk *disk, const char *path, const void *bytes, size_t size);

#endif
