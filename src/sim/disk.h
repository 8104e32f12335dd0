/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h - a disk in memory that fails by the dice, and forgets when its power goes.
 *
 * It promises what POSIX promises and not a bit more:
 *
 *   - bytes that were not synced may be there after a loss of power, or not, sector by sector, a
 *     sector may be torn, and the size of their file is the old or the new one;
 *   - a name that was made, renamed or removed since its folder was synced may be as it is, or as
 *     it was at any time since;
 *   - a sync that failed has lost what it was to save: the next one of that file says OK, and
 *     saves nothing of it.
 *
 * Memory: of the environment below. Thread: one. */
#ifndef SB_SIM_DISK_H
#define SB_SIM_DISK_H

#include "base/env.h"
#include "sim/draw.h"

enum {
    SB_SIM_NODES_MAX = 2048,
    SB_SIM_NAMES_MAX = 4096,
    SB_SIM_PAST_MAX = 16,
    SB_SIM_SECTOR = 512
};

/* A file or folder. */
struct sb_sim_node {
    bool is_used;
    bool is_directory;
    bool is_dirty; /* bytes and safe may differ */
    /* A sync of it has failed: what it was to save is taken for saved, until it is written anew. */
    size_t lost_from;
    size_t lost_to;
    uint8_t *bytes; /* as programs see them */
    size_t size;
    size_t capacity;
    uint8_t *safe; /* as they are after a loss of power */
    size_t safe_size;
    uint32_t open; /* handles */
};

/* A name in a folder, with every node that it had since the folder was synced; 0: none. */
struct sb_sim_name {
    uint32_t folder;
    char text[64];
    uint32_t node;
    uint32_t past[SB_SIM_PAST_MAX];
    uint32_t past_count;
};

/* A number for each way to fail. */
struct sb_sim_disk_faults {
    uint32_t io;    /* any call */
    uint32_t space; /* a call that needs room */
    uint32_t sync;  /* the sync of a file */
};

/* A bit that has flipped, to be put back. */
struct sb_sim_rot {
    uint32_t node; /* 0: none */
    size_t at;
    uint8_t mask;
};

struct sb_sim_disk {
    const struct sb_env *under;
    struct sb_draw *draw;
    struct sb_sim_disk_faults faults; /* a call fails once in so many; 0: never */
    struct sb_sim_disk_faults done;   /* how many have failed */
    uint32_t armed;                   /* the so manieth call from here fails; 0: none is to */
    uint32_t armed_sync;              /* and the so manieth sync */
    struct sb_sim_node *nodes;        /* 1 is the root; 0 is none */
    uint32_t node_count;
    struct sb_sim_name *names;
    uint32_t name_count;
    struct sb_file *files; /* open, of all processes */
    struct sb_sim_rot rot;
};

SABOT_MUST_CHECK sabot_status sb_sim_disk_init(struct sb_sim_disk *disk,
                                               const struct sb_env *under,
                                               struct sb_draw *draw);
void sb_sim_disk_reset(struct sb_sim_disk *disk);

/* A process has ended: its handles are closed. */
void sb_sim_disk_close_all(struct sb_sim_disk *disk, const void *process);
/* The power goes, and comes back. */
void sb_sim_disk_lose_power(struct sb_sim_disk *disk);
/* Flip a bit of a file that is safe; false: there is none. unrot: put it back. */
bool sb_sim_disk_decay(struct sb_sim_disk *disk);
bool sb_sim_disk_mend(struct sb_sim_disk *disk);

/* The calls of an environment, for a process. */
SABOT_MUST_CHECK sabot_status sb_sim_file_open(struct sb_sim_disk *disk,
                                               const void *process,
                                               const char *path,
                                               enum sb_open_mode mode,
                                               struct sb_file **file_out,
                                               sabot_error *error);
void sb_sim_file_close(struct sb_file *file);
SABOT_MUST_CHECK sabot_status sb_sim_file_read(struct sb_file *file,
                                               void *buffer,
                                               size_t size,
                                               int64_t offset,
                                               size_t *size_out,
                                               sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_file_write(struct sb_file *file,
                                                const void *bytes,
                                                size_t size,
                                                int64_t offset,
                                                sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_file_sync(struct sb_file *file, sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_file_truncate(struct sb_file *file,
                                                   uint64_t size,
                                                   sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_file_info(struct sb_file *file,
                                               struct sb_file_info *info_out,
                                               sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_path_info(struct sb_sim_disk *disk,
                                               const char *path,
                                               struct sb_file_info *info_out,
                                               sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_path_rename(struct sb_sim_disk *disk,
                                                 const char *from,
                                                 const char *to,
                                                 sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_path_link(struct sb_sim_disk *disk,
                                               const char *from,
                                               const char *to,
                                               sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_path_remove(struct sb_sim_disk *disk,
                                                 const char *path,
                                                 sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_directory_create(struct sb_sim_disk *disk,
                                                      const char *path,
                                                      sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_directory_sync(struct sb_sim_disk *disk,
                                                    const char *path,
                                                    sabot_error *error);
SABOT_MUST_CHECK sabot_status sb_sim_directory_list(struct sb_sim_disk *disk,
                                                    const char *path,
                                                    sb_list_function each,
                                                    void *context,
                                                    sabot_error *error);

#endif
