/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.c - the concrete parts, by name. */
#include "api/catalog.h"

#include <stdio.h>
#include <string.h>

#include "channel/url.h"
#include "op/process.h"
#include "op/window.h"
#include "sim/sim.h"

static const struct sb_channel_type *const transports[] = {
    &sb_channel_memory,
    &sb_channel_file,
    &sb_channel_kafka,
};

enum { TRANSPORT_COUNT = sizeof transports / sizeof transports[0] };

static bool has_scheme(const char *url, const char *scheme)
{
    const size_t size = sb_url_scheme(url);

    return size == strlen(scheme) && strncmp(url, scheme, size) == 0;
}

sabot_status sb_catalog_transport(const char *url,
                                  const struct sb_channel_type **type_out,
                                  sabot_error *error)
{
    char known[128] = "";

    *type_out = NULL;
    if (has_scheme(url, sb_channel_sim.scheme)) { /* refused by itself outside of a simulation */
        *type_out = &sb_channel_sim;
        return SABOT_OK;
    }
    for (size_t i = 0; i < TRANSPORT_COUNT; i++) {
        if (has_scheme(url, transports[i]->scheme)) {
            *type_out = transports[i];
            return SABOT_OK;
        }
        (void)snprintf(known + strlen(known), sizeof known - strlen(known),
                       "%s%s:", i == 0 ? "" : ", ", transports[i]->scheme);
    }
    return sabot_raise(error, SABOT_ERR_CONFIG, "URL %s: unknown scheme; known are %s", url, known);
}

bool sb_catalog_is_memory(const char *url)
{
    return has_scheme(url, sb_channel_memory.scheme);
}

bool sb_catalog_is_file(const char *url)
{
    return has_scheme(url, sb_channel_file.scheme);
}

bool sb_catalog_is_standard(const char *url)
{
    const char *rest = url + sb_url_scheme(url) + 1;

    return sb_catalog_is_file(url) && rest[0] == '-' && (rest[1] == '\0' || rest[1] == '?');
}

const struct sb_channel_type *sb_catalog_source(void)
{
    return &sb_channel_source;
}

const struct sb_codec_type *sb_catalog_json(void)
{
    return &sb_codec_json;
}

const struct sb_operator_type *sb_catalog_process(void)
{
    return &sb_operator_process;
}

const struct sb_operator_type *sb_catalog_window(void)
{
    return &sb_operator_window;
}
