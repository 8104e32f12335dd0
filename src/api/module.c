/* SPDX-License-Identifier: Apache-2.0 */
/* module.c - loading an app from a shared object: `sabot -A build/fraud.so:app`.
 *
 * Every way in which this fails has a line of its own, in the order in which one would look: is
 * there a file, is it a shared object, can it be loaded, has it that symbol, is that a Sabot app,
 * was it made for this version. Only then is anything of it believed.
 *
 * Threads: any. Memory: one handle, from an environment of its own. */
#include <sabot/run.h>

#include <link.h>
#include <string.h>

#include "api/module.h"
#include "base/mem.h"
#include "base/os_module.h"

struct sabot_module {
    struct sb_env *env;
    void *handle; /* of the loader */
};

static const char magic[8] = {'S', 'A', 'B', 'O', 'T', 'A', 'P', 'P'};

/* Is all there that the object says of itself? The loader maps a file that was cut without asking,
 * and the process dies by a signal at the first touch of what is missing. Everything else that may
 * be wrong with a header the loader sees by itself. */
static sabot_status check_whole(const struct sb_env *env,
                                struct sb_file *file,
                                const char *path,
                                const ElfW(Ehdr) * header,
                                uint64_t file_size,
                                sabot_error *error)
{
    for (uint32_t i = 0; i < header->e_phnum && header->e_phentsize == sizeof(ElfW(Phdr)); i++) {
        const uint64_t offset = header->e_phoff + i * sizeof(ElfW(Phdr));
        ElfW(Phdr) segment = {.p_type = PT_NULL};
        size_t size = 0;

        if (offset < file_size)
            SABOT_TRY(env->type->file_read(file, &segment, sizeof segment, (int64_t)offset, &size,
                                           error));
        if (size == sizeof segment &&
            (segment.p_type != PT_LOAD ||
             (segment.p_offset <= file_size && segment.p_filesz <= file_size - segment.p_offset)))
            continue;
        return sabot_raise(error, SABOT_ERR_FORMAT,
                           "%s: is cut off: of its %u parts the one number %u is not all in its "
                           "%llu bytes; build or copy it again",
                           path, header->e_phnum, i + 1, (unsigned long long)file_size);
    }
    return SABOT_OK;
}

/* Look at the header: the loader's own words on a file that is none of its kind are of little help.
 */
static sabot_status check_elf(const struct sb_env *env,
                              struct sb_file *file,
                              const char *path,
                              uint64_t file_size,
                              sabot_error *error)
{
    static const unsigned char own_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    ElfW(Ehdr) header = {.e_phnum = 0};
    size_t size = 0;

    SABOT_TRY(env->type->file_read(file, &header, sizeof header, 0, &size, error));
    if (size < SELFMAG || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return sabot_raise(error, SABOT_ERR_FORMAT, "%s: is not a shared object (no ELF file)",
                           path);
    if (size < sizeof header || header.e_ident[EI_CLASS] != own_class)
        return SABOT_OK; /* of another machine, or too short for anything: the loader says so */
    return check_whole(env, file, path, &header, file_size, error);
}

static sabot_status check_file(const struct sb_env *env, const char *path, sabot_error *error)
{
    struct sb_file_info info;
    struct sb_file *file;

    sabot_status status = env->type->path_info(env->self, path, &info, error);
    if (status == SABOT_ERR_NOT_FOUND)
        return sabot_raise(error, status, "%s: no such file", path);
    SABOT_TRY(status);
    if (info.kind == SB_FILE_DIRECTORY)
        return sabot_raise(error, SABOT_ERR_FORMAT, "%s: is a directory, not a shared object",
                           path);
    if (info.kind != SB_FILE_REGULAR)
        return sabot_raise(error, SABOT_ERR_FORMAT, "%s: is not a regular file", path);
    SABOT_TRY(env->type->file_open(env->self, path, SB_OPEN_READ, &file, error));
    status = check_elf(env, file, path, info.size, error);
    env->type->file_close(env->self, file);
    return status;
}

/* What stands behind the magic is believed only when the size and the version say so. */
static sabot_status check_entry(const char *path,
                                const char *symbol,
                                const void *object,
                                size_t size,
                                sabot_error *error)
{
    const sabot_app_entry *entry = object;

    if (size < offsetof(sabot_app_entry, name) ||
        (uintptr_t)object % _Alignof(sabot_app_entry) != 0 ||
        memcmp(object, magic, sizeof magic) != 0)
        return sabot_raise(error, SABOT_ERR_FORMAT,
                           "%s: \"%s\" is not a Sabot app: it must be made by SABOT_APP(%s, ...)",
                           path, symbol, symbol);
    if (entry->abi_version != SABOT_ABI_VERSION || entry->size != sizeof *entry ||
        size < sizeof *entry)
        return sabot_raise(
            error, SABOT_ERR_ABI,
            "%s: \"%s\" is built for version %u of Sabot's interface (%u bytes), and "
            "this sabot %s has version %d (%zu bytes): build it again",
            path, symbol, entry->abi_version, entry->size, sabot_version(), SABOT_ABI_VERSION,
            sizeof *entry);
    if (entry->name == NULL || entry->build == NULL)
        return sabot_raise(error, SABOT_ERR_FORMAT,
                           "%s: the app \"%s\" has no name or no function that builds it", path,
                           symbol);
    return SABOT_OK;
}

static sabot_status load(sabot_module *module,
                         const char *path,
                         const char *symbol,
                         const sabot_app_entry **entry_out,
                         sabot_error *error)
{
    const void *object;
    size_t size;

    SABOT_TRY(check_file(module->env, path, error));
    SABOT_TRY(sb_os_module_open(path, &module->handle, error));
    object = sb_os_module_symbol(module->handle, symbol, &size);
    if (object == NULL)
        return sabot_raise(error, SABOT_ERR_NOT_FOUND,
                           "%s: has no symbol \"%s\": is there a SABOT_APP(%s, ...) in its source?",
                           path, symbol, symbol);
    SABOT_TRY(check_entry(path, symbol, object, size, error));
    *entry_out = object;
    return SABOT_OK;
}

/* Everything that is done with the environment in hand. */
static sabot_status open_in(struct sb_env *env,
                            const char *spec,
                            size_t path_size,
                            sabot_module **module_out,
                            const sabot_app_entry **entry_out,
                            sabot_error *error)
{
    sabot_module *module = sb_alloc(env, sizeof *module);
    char *path = sb_string_copy_size(env, spec, path_size);
    sabot_status status;

    if (module == NULL || path == NULL) {
        status = sabot_raise(error, SABOT_ERR_MEMORY, "%.*s: no memory to load it", (int)path_size,
                             spec);
    } else {
        module->env = env;
        status = load(module, path, spec + path_size + 1, entry_out, error);
    }
    sb_string_free(env, path);
    if (status == SABOT_OK) {
        *module_out = module;
        return SABOT_OK;
    }
    if (module != NULL)
        sb_os_module_close(module->handle);
    sb_free(env, module, sizeof *module);
    return status;
}

sabot_status sabot_module_open(const char *spec,
                               sabot_module **module_out,
                               const sabot_app_entry **entry_out,
                               sabot_error *error)
{
    const char *colon = strrchr(spec, ':');
    struct sb_env *env;
    sabot_status status;

    *module_out = NULL;
    *entry_out = NULL;
    if (colon == NULL || colon == spec || colon[1] == '\0' || strchr(colon, '/') != NULL)
        return sabot_raise(error, SABOT_ERR_CONFIG,
                           "%s: an app is named by PATH:SYMBOL, as in build/fraud.so:app", spec);
    SABOT_TRY(sb_os_env_create(&env, error));
    status = open_in(env, spec, (size_t)(colon - spec), module_out, entry_out, error);
    if (status != SABOT_OK)
        sb_os_env_destroy(env);
    return status;
}

void sabot_module_close(sabot_module *module)
{
    struct sb_env *env;

    if (module == NULL)
        return;
    env = module->env;
    sb_os_module_close(module->handle);
    sb_free(env, module, sizeof *module);
    sb_os_env_destroy(env);
}

void *sb_module_handle(sabot_module *module)
{
    return module->handle;
}
