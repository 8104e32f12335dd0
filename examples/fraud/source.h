/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - the bank (bank.h) as the source of an app's input channel. */
#ifndef FRAUD_SOURCE_H
#define FRAUD_SOURCE_H

#include <sabot/app.h>

/* Let the bank fill this channel, as the options of the app say: count, seed, rate, accounts.
 * With a count of 0 it has no source, and can be fed by sabot_run_pipe(). */
void source_attach(sabot_app *app, sabot_channel *channel);

#endif
