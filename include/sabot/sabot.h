/* SPDX-License-Identifier: Apache-2.0 */
/* sabot.h - everything: declaring an app (app.h, schema.h), handling records (context.h,
 * state.h), streams and windows (stream.h, window.h), running (run.h), asking a run (control.h),
 * looking at what it has kept (inspect.h), a world that fails (sim.h). */
#ifndef SABOT_H
#define SABOT_H

#include <sabot/app.h>
#include <sabot/context.h>
#include <sabot/control.h>
#include <sabot/inspect.h>
#include <sabot/run.h>
#include <sabot/schema.h>
#include <sabot/sim.h>
#include <sabot/state.h>
#include <sabot/status.h>
#include <sabot/stream.h>
#include <sabot/window.h>

#endif
