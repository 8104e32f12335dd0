/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - the version of the library, as the build was told. */
#include <sabot/run.h>

const char *sabot_version(void)
{
    return SB_VERSION;
}
