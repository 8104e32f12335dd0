/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - names and texts of statuses, and the one place where an error's text is made.
 *
 * Everything derives from SABOT_STATUS_LIST, so a new status can't be forgotten here.
 * Threads: stateless. Memory: the caller's sabot_error only; texts are formatted on the stack. */
#include <sabot/status.h>

#include <stdio.h>
#include <string.h>

const char *sabot_status_name(sabot_status status)
{
    switch (status) {
#define STATUS_NAME(name, number, text) \
    case name: return #name;
        SABOT_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "SABOT_ERR_UNKNOWN";
}

const char *sabot_status_text(sabot_status status)
{
    switch (status) {
#define STATUS_TEXT(name, number, text) \
    case name: return text;
        SABOT_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

/* The length of `text` without a UTF-8 sequence that the cut at its end broke. */
static size_t whole_characters(const char *text, size_t size)
{
    size_t start = size;
    size_t need = 1;

    while (start > 0 && size - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0)
        return size;
    const unsigned char lead = (unsigned char)text[start - 1];
    if (lead >= 0xf0)
        need = 4;
    else if (lead >= 0xe0)
        need = 3;
    else if (lead >= 0xc0)
        need = 2;
    return size - start + 1 < need ? start - 1 : size;
}

sabot_status sabot_raise_list(sabot_error *error,
                              sabot_status status,
                              const char *format,
                              va_list arguments)
{
    /* Not formatted in place: callers put a prefix before a text by passing error->text itself. */
    char text[SABOT_ERROR_TEXT_MAX];
    size_t size;

    if (error == NULL)
        return status;

    const int length = vsnprintf(text, sizeof text, format, arguments);
    if (length <= 0)
        (void)snprintf(text, sizeof text, "%s", sabot_status_text(status));
    size = strlen(text);
    if (length >= (int)sizeof text)
        size = whole_characters(text, size);

    error->status = status;
    error->retriable = false;
    error->fatal = false;
    memcpy(error->text, text, size);
    error->text[size] = '\0';
    return status;
}

sabot_status sabot_raise(sabot_error *error, sabot_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)sabot_raise_list(error, status, format, arguments);
    va_end(arguments);
    return status;
}
