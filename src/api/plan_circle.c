/* SPDX-License-Identifier: Apache-2.0 */
/* plan_circle.c - agents that feed each other through embedded channels.
 *
 *   ping --memory:there--> pong --memory:back--> ping
 *
 * Channels of different names may be one topic of the embedded log. It is bounded: when both ends
 * of a circle wait for room, nobody goes on. So a circle is refused before anything runs.
 *
 * Threads: the caller's. Memory: none. */
#include <stdio.h>
#include <string.h>

#include "api/catalog.h"
#include "api/plan.h"

/* Is what is written to the one read from the other? */
static bool is_one_log(const struct sb_plan_channel *written, const struct sb_plan_channel *read)
{
    if (written == read)
        return written->is_inside;
    return written->channel != NULL && read->channel != NULL &&
           sb_catalog_is_memory(written->declared->url) &&
           sb_catalog_is_memory(read->declared->url) && written->type == read->type &&
           written->type->same(written->channel, read->channel);
}

static bool feeds(const struct sb_plan *plan, const sabot_agent *from, const sabot_agent *to)
{
    for (uint32_t i = 0; i < from->output_count; i++) {
        if (is_one_log(&plan->channels[from->outputs[i]->index],
                       &plan->channels[to->channel->index]))
            return true;
    }
    return false;
}

struct circle {
    const struct sb_plan *plan;
    bool is_out[SB_APP_AGENTS_MAX]; /* it can't be in a circle */
};

/* Has an agent both a feeder and somebody to feed among those that may be in a circle? */
static bool may_be_in(const struct circle *circle, uint32_t index)
{
    const sabot_app *app = circle->plan->app;
    bool is_fed = false;
    bool is_feeding = false;

    for (uint32_t i = 0; i < app->agent_count; i++) {
        if (circle->is_out[i])
            continue;
        is_fed = is_fed || feeds(circle->plan, app->agents[i], app->agents[index]);
        is_feeding = is_feeding || feeds(circle->plan, app->agents[index], app->agents[i]);
    }
    return is_fed && is_feeding;
}

static sabot_status raise_circle(const struct circle *circle, sabot_error *error)
{
    const sabot_app *app = circle->plan->app;
    char names[256] = "";
    size_t size = 0;

    for (uint32_t i = 0; i < app->agent_count && size < sizeof names; i++) {
        if (!circle->is_out[i])
            size += (size_t)snprintf(names + size, sizeof names - size, "%s%s",
                                     size == 0 ? "" : ", ", app->agents[i]->name);
    }
    return sabot_raise(error, SABOT_ERR_ARGUMENT,
                       "agents feed each other through memory: channels in a circle: %s; a full "
                       "channel would stop them for ever: let one of the channels be a topic",
                       names);
}

sabot_status sb_plan_check_circles(const struct sb_plan *plan, sabot_error *error)
{
    const sabot_app *app = plan->app;
    struct circle circle = {.plan = plan};
    uint32_t left = app->agent_count;
    uint32_t before;

    do {
        before = left;
        for (uint32_t i = 0; i < app->agent_count; i++) {
            if (circle.is_out[i] || may_be_in(&circle, i))
                continue;
            circle.is_out[i] = true;
            left--;
        }
    } while (left < before);
    return left == 0 ? SABOT_OK : raise_circle(&circle, error);
}
