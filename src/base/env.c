/* SPDX-License-Identifier: Apache-2.0 */
/* env.c - what every environment shares: the log line, the folder above a path, and one that goes.
 *
 * A line may show bytes of a record or of a file name, so control bytes are escaped here, before
 * any environment sees them: nobody writes a second line, or a command to the terminal, by way of
 * data. Threads: any. Memory: the stack. */
#include "base/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LOG_TEXT_MAX = 1024, PATH_TEXT_MAX = 4096 };

/* Bytes from here on that form a control character: of ASCII one, of Latin-1 as UTF-8 writes it (C2
 * 80 .. C2 9F) two. */
static size_t control_size(const char *text)
{
    const unsigned char byte = (unsigned char)text[0];

    if (byte < 0x20 || byte == 0x7f)
        return 1;
    if (byte == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] <= 0x9f)
        return 2;
    return 0;
}

static char *escape_byte(char *out, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";

    *out++ = '\\';
    if (byte == '\n' || byte == '\t' || byte == '\r') {
        *out++ = byte == '\n' ? 'n' : byte == '\t' ? 't' : 'r';
        return out;
    }
    *out++ = 'x';
    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 15];
    return out;
}

/* Copies `text` with control bytes as \n or \x1b. `out` has room for four times the text. */
static void escape(char *out, const char *text)
{
    while (*text != '\0') {
        size_t controls = control_size(text);

        if (controls == 0)
            *out++ = *text++;
        for (; controls > 0; controls--)
            out = escape_byte(out, (unsigned char)*text++);
    }
    *out = '\0';
}

void sb_log(const struct sb_env *env,
            sabot_log_level level,
            const char *who,
            const char *format,
            ...)
{
    char text[LOG_TEXT_MAX];
    char line[4 * LOG_TEXT_MAX];
    va_list arguments;
    int prefix;

    if (level > env->log_level)
        return;
    prefix = snprintf(text, sizeof text, "%.200s: ", who);
    if (prefix < 0)
        prefix = 0;
    va_start(arguments, format);
    const int length = vsnprintf(text + prefix, sizeof text - (size_t)prefix, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof text - prefix)
        memcpy(text + sizeof text - 4, "...", 4);
    escape(line, text);
    env->type->log(env->self, level, line);
}

sabot_status sb_sync_above(const struct sb_env *env, const char *path, sabot_error *error)
{
    char above[PATH_TEXT_MAX];
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    while (size > 0 && path[size - 1] != '/')
        size--;
    while (size > 1 && path[size - 1] == '/')
        size--;
    if (size >= sizeof above)
        return sabot_raise(error, SABOT_ERR_LIMIT, "%.200s...: the path is too long", path);
    (void)snprintf(above, sizeof above, "%.*s", (int)size, path);
    return env->type->directory_sync(env->self, size == 0 ? "." : above, error);
}

struct removal {
    const struct sb_env *env;
    const char *folder;
    bool inner;
};

static sabot_status remove_entry(void *context, const char *name)
{
    const struct removal *removal = context;
    const struct sb_env *env = removal->env;
    char path[PATH_TEXT_MAX];
    struct removal inner = {env, path, true};
    const int size = snprintf(path, sizeof path, "%s/%s", removal->folder, name);

    if (size < 0 || size >= (int)sizeof path ||
        env->type->path_remove(env->self, path, NULL) == SABOT_OK || removal->inner)
        return SABOT_OK;
    (void)!env->type->directory_list(env->self, path, remove_entry, &inner, NULL);
    (void)!env->type->path_remove(env->self, path, NULL);
    return SABOT_OK;
}

void sb_folder_remove(const struct sb_env *env, const char *path)
{
    struct removal removal = {env, path, false};

    (void)!env->type->directory_list(env->self, path, remove_entry, &removal, NULL);
    (void)!env->type->path_remove(env->self, path, NULL);
}
