/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_spec.c - PATH:SYMBOL of any bytes: no app, and an error of one of the kinds that are
 * promised.
 *
 * Paths are kept out of the way of real files, whose code would be run: they lie below a folder
 * that does not exist. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sabot/run.h>

#include "base/env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char folder[] = "/nonexistent.sabot/";
    sabot_module *module;
    const sabot_app_entry *entry;
    sabot_error error = {.status = SABOT_OK};
    char *spec;

    spec = malloc(sizeof folder + size);
    if (spec == NULL)
        abort();
    memcpy(spec, folder, sizeof folder - 1);
    if (size > 0)
        memcpy(spec + sizeof folder - 1, data, size);
    spec[sizeof folder - 1 + size] = '\0';
    const sabot_status status = sabot_module_open(spec, &module, &entry, &error);
    SB_ASSERT(status == SABOT_ERR_CONFIG || status == SABOT_ERR_NOT_FOUND ||
              status == SABOT_ERR_IO);
    SB_ASSERT(error.status == status && error.text[0] != '\0');
    SB_ASSERT(module == NULL && entry == NULL);
    free(spec);
    return 0;
}
