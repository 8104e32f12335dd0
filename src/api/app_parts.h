/* SPDX-License-Identifier: Apache-2.0 */
/* app_parts.h - what the files that build an app share (app.c, app_state.c, app_time.c,
 * app_backend.c).
 *
 * Threads: the one that builds the app. Memory: the app's arena. */
#ifndef SB_API_APP_PARTS_H
#define SB_API_APP_PARTS_H

#include "api/app.h"

/* No app, or one that has failed: calls do nothing. */
bool sb_app_failed(const sabot_app *app);

/* Zeroed, as long as the app. NULL: the app has failed. */
void *sb_app_alloc(sabot_app *app, size_t size);
const char *sb_app_copy(sabot_app *app, const char *text);

/* [A-Za-z0-9._-]+; otherwise the app fails. `kind` of thing it names. */
bool sb_app_check_name(sabot_app *app, const char *kind, const char *name);

/* Compile a field table. NULL: the app has failed. Its owner is the caller. */
struct sb_schema *sb_app_schema(sabot_app *app,
                                const char *kind,
                                const char *name,
                                const sabot_schema *table,
                                enum sb_schema_use use);

/* The field of a path, if its type is one of `types` (a set of bits); fails the app otherwise. */
int32_t sb_app_field(sabot_app *app,
                     const struct sb_schema *schema,
                     const char *what,
                     const char *name,
                     const char *path,
                     uint32_t types);

/* An agent, or what is run like one: `kind` of thing it is, in errors. Without a function it gets
 * an operator of its own. NULL: the app has failed. */
sabot_agent *sb_app_agent(sabot_app *app,
                          const char *kind,
                          const char *name,
                          sabot_channel *channel,
                          sabot_agent_function function,
                          void *user);

/* Declare a state of the agent and make its handle, `size` bytes that begin with a struct
 * sb_state_handle. `table` NULL: bytes of any size. NULL: the app has failed. */
void *sb_app_state(sabot_agent *agent,
                   const char *name,
                   enum sb_state_kind kind,
                   const sabot_schema *table,
                   size_t size);

/* Can a state of this name be declared? Otherwise the app has failed. */
bool sb_app_check_new_state(sabot_agent *agent, const char *name);

/* Is this state one of a window of the agent? */
bool sb_app_is_of_window(const sabot_agent *agent, const struct sb_state_spec *state);
/* Free what the windows of agents are. */
void sb_app_drop_windows(const sabot_app *app);

/* Now that keys are known: tables are keyed as their channels. */
void sb_app_key_tables(sabot_app *app);

/* The state of this name; NULL: none. */
struct sb_state_spec *sb_app_find_state(sabot_agent *agent, const char *name);

/* `agent` may use this state of `owner`; too many fail the app. */
void sb_app_use(sabot_agent *agent, sabot_agent *owner, uint32_t index);

/* Are agents that share state keyed alike? Otherwise the app fails. */
void sb_app_check_uses(sabot_app *app);

/* The words of the option `state`. */
enum { SB_STATE_IN_MEMORY = 0, SB_STATE_IN_ROCKSDB = 1 };

/* Decide for every channel how its records move event time; an option for no channel fails the app.
 */
void sb_app_set_time(sabot_app *app);

/* Decide for every state where it is kept; an option for no state fails the app. */
void sb_app_place_states(sabot_app *app);

#endif
