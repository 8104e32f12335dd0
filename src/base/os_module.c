/* SPDX-License-Identifier: Apache-2.0 */
/* os_module.c - shared objects by the dynamic loader.
 *
 * Threads: any; the loader keeps the text of an error per thread. Memory: the loader's. */
#include "base/os_module.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 4096 };

/* The loader's text, without the path if it begins with that. */
static const char *reason(const char *path, const char *text)
{
    const size_t size = strlen(path);

    if (text == NULL)
        return "the loader does not say why";
    return strncmp(text, path, size) == 0 && strncmp(text + size, ": ", 2) == 0 ? text + size + 2
                                                                                : text;
}

sabot_status sb_os_module_open(const char *path, void **handle_out, sabot_error *error)
{
    char place[PATH_SIZE + 2];

    *handle_out = NULL;
    if (strlen(path) >= PATH_SIZE)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND, "%.64s...: path of %zu bytes is too long",
                           path, strlen(path));
    /* Without a slash the loader would search its library folders. */
    (void)snprintf(place, sizeof place, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    *handle_out = dlopen(place, RTLD_NOW | RTLD_LOCAL);
    if (*handle_out == NULL)
        return sabot_raise(error, SABOT_ERR_FORMAT, "%s: cannot be loaded: %s", path,
                           reason(place, dlerror()));
    return SABOT_OK;
}

void sb_os_module_close(void *handle)
{
    if (handle != NULL)
        (void)dlclose(handle);
}

const void *sb_os_module_symbol(void *handle, const char *name, size_t *size_out)
{
    const void *symbol = dlsym(handle, name);
    const ElfW(Sym) *entry = NULL;
    Dl_info info;

    *size_out = 0;
    if (symbol == NULL)
        return NULL;
    /* Only when the loader's answer is this very symbol, not one before it. */
    if (dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) != 0 && entry != NULL &&
        info.dli_saddr == symbol)
        *size_out = entry->st_size;
    return symbol;
}

/* --- Writable data ------------------------------------------------------------------------------
 */

struct search {
    const struct link_map *map;
    struct sb_os_region *regions;
    uint32_t count;
    uint32_t max;
};

static void add_region(struct search *search, uintptr_t start, uintptr_t end)
{
    if (start < end && search->count < search->max)
        search->regions[search->count++] =
            (struct sb_os_region){(void *)start, (size_t)(end - start)};
}

/* Segments that may be written, without what the loader has made read-only since. */
static int add_segments(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    uintptr_t fixed_end = 0;

    (void)size;
    if (info->dlpi_addr != search->map->l_addr)
        return 0;
    for (uint16_t i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_GNU_RELRO)
            fixed_end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    }
    for (uint16_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        const uintptr_t start = info->dlpi_addr + segment->p_vaddr;

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) != 0)
            add_region(search,
                       start < fixed_end && fixed_end <= start + segment->p_memsz ? fixed_end
                                                                                  : start,
                       start + segment->p_memsz);
    }
    return 1;
}

uint32_t sb_os_module_data(void *handle, struct sb_os_region *regions_out, uint32_t region_max)
{
    struct search search = {.regions = regions_out, .max = region_max};

    if (dlinfo(handle, RTLD_DI_LINKMAP, &search.map) != 0)
        return 0;
    (void)dl_iterate_phdr(add_segments, &search);
    return search.count;
}
