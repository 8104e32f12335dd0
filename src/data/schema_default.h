/* SPDX-License-Identifier: Apache-2.0 */
/* schema_default.h - the default of a field, written as in JSON, as a value. For schema.c only. */
#ifndef SB_DATA_SCHEMA_DEFAULT_H
#define SB_DATA_SCHEMA_DEFAULT_H

#include "data/schema.h"

/* Parse `text` by the type of `field` into its default; "null" means none. Texts go into the arena.
 * *reason_out: why it does not parse (SABOT_ERR_SCHEMA); static. SABOT_ERR_MEMORY. */
SABOT_MUST_CHECK sabot_status sb_schema_default_parse(struct sb_arena *arena,
                                                      struct sb_schema_field *field,
                                                      const char *text,
                                                      const char **reason_out);

#endif
