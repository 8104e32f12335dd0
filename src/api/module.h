/* SPDX-License-Identifier: Apache-2.0 */
/* module.h - a loaded app to the rest of the house. */
#ifndef SB_API_MODULE_H
#define SB_API_MODULE_H

#include <sabot/run.h>

/* For os_module.h. */
void *sb_module_handle(sabot_module *module);

#endif
