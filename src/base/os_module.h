/* SPDX-License-Identifier: Apache-2.0 */
/* os_module.h - shared objects: the part of the port layer that loads code.
 *
 * It is no part of the environment: code that is loaded runs in this process, simulated or not.
 * Threads: any. Ownership: a handle is the caller's until it is closed. */
#ifndef SB_BASE_OS_MODULE_H
#define SB_BASE_OS_MODULE_H

#include <sabot/status.h>

/* Load the shared object at `path`, all of its symbols resolved. A path, never a name that
 * libraries are searched by. SABOT_ERR_FORMAT: the loader refused, with its own words. */
SABOT_MUST_CHECK sabot_status sb_os_module_open(const char *path,
                                                void **handle_out,
                                                sabot_error *error);
void sb_os_module_close(void *handle);

/* The object of that name and its size in bytes, 0: unknown. NULL: there is none. Valid until the
 * module is closed. */
const void *sb_os_module_symbol(void *handle, const char *name, size_t *size_out);

/* Its writable data, which only its own code changes: at most `region_max` runs of bytes. Returns
 * how many there are. */
struct sb_os_region {
    void *start;
    size_t size;
};
uint32_t sb_os_module_data(void *handle, struct sb_os_region *regions_out, uint32_t region_max);

#endif
