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
