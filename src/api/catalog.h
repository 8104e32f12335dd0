/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.h - which transports, formats and operators there are, by name: the only place that names
 * the concrete ones. Threads: constant. */
#ifndef SB_API_CATALOG_H
#define SB_API_CATALOG_H

#include "channel/channel.h"
#include "format/codec.h"
#include "op/operator.h"

/* The transport of a URL. SABOT_ERR_CONFIG: its scheme is not known; lists the known ones. */
SABOT_MUST_CHECK sabot_status sb_catalog_transport(const char *url,
                                                   const struct sb_channel_type **type_out,
                                                   sabot_error *error);

bool sb_catalog_is_memory(const char *url);
bool sb_catalog_is_file(const char *url);
bool sb_catalog_is_standard(const char *url); /* file:-, standard input or output */

/* The transport of a `memory:` channel that the app's own function fills. */
const struct sb_channel_type *sb_catalog_source(void);

const struct sb_codec_type *sb_catalog_json(void);
const struct sb_operator_type *sb_catalog_process(void);
const struct sb_operator_type *sb_catalog_window(void);

#endif
