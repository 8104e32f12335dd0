/* SPDX-License-Identifier: Apache-2.0 */
/* app_share.c - building an app: agents that use the state of others.
 *
 * A state belongs to the agent that declared it, by whose name it stands in checkpoints. Another
 * agent that uses it gets a loan: the plan then makes the two one unit (flow/graph.h), in which one
 * thread runs all calls of a key.
 *
 * Threads: the one that builds the app. Memory: none. */
#include <stdio.h>

#include "api/app_parts.h"

/* The number of the loan from this owner, made when there is none. SB_LENDERS_MAX: too many. */
static uint32_t loan_from(sabot_agent *agent, sabot_agent *owner)
{
    uint32_t number = 0;

    while (number < agent->lender_count && agent->lenders[number] != owner)
        number++;
    if (number < agent->lender_count || number == SB_LENDERS_MAX)
        return number;
    agent->lenders[agent->lender_count++] = owner;
    return number;
}

static bool uses(const sabot_agent *agent, const sabot_agent *owner, uint32_t index)
{
    for (uint32_t i = 0; i < agent->use_count; i++) {
        if (agent->uses[i].owner == owner && agent->uses[i].index == index)
            return true;
    }
    return false;
}

void sb_app_use(sabot_agent *agent, sabot_agent *owner, uint32_t index)
{
    const uint32_t lender = loan_from(agent, owner);

    if (lender == SB_LENDERS_MAX || agent->use_count == SB_STATE_USES_MAX) {
        (void)sabot_app_fail(agent->app, SABOT_ERR_LIMIT,
                             "agent %s uses more than %d states of others, or those of more than "
                             "%d others",
                             agent->name, SB_STATE_USES_MAX, SB_LENDERS_MAX);
        return;
    }
    if (!uses(agent, owner, index))
        agent->uses[agent->use_count++] =
            (struct sb_state_use){.owner = owner, .index = index, .lender = lender};
}

void sabot_agent_use(sabot_agent *agent, sabot_agent *owner, const char *name)
{
    const struct sb_state_spec *state;
    sabot_app *app;

    if (agent == NULL || sb_app_failed(agent->app) || !sb_app_check_name(agent->app, "state", name))
        return;
    app = agent->app;
    if (owner == NULL || owner->app != app || owner == agent) {
        (void)sabot_app_fail(
            app, SABOT_ERR_ARGUMENT,
            "agent %s: state %s to be used is not one of another agent of this app", agent->name,
            name);
        return;
    }
    state = sb_app_find_state(owner, name);
    if (state == NULL)
        (void)sabot_app_fail(
            app, SABOT_ERR_NOT_FOUND,
            "agent %s: it can't use state %s of agent %s, which has not declared it", agent->name,
            name, owner->name);
    else if (state->kind == SB_STATE_TIMERS)
        (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT,
                             "agent %s: it can't use timer %s of agent %s: timers are not shared",
                             agent->name, name, owner->name);
    else
        sb_app_use(agent, owner, (uint32_t)(state - owner->states));
}

/* How an agent is keyed, in errors: "by account (utf8)". */
struct key_text {
    char text[SABOT_FIELD_PATH_MAX + 32];
};

static struct key_text key_of(const sabot_agent *agent)
{
    const struct sb_schema_field *field;
    struct key_text key = {.text = "without a key"};

    if (agent->key_field == SB_NO_FIELD)
        return key;
    field = &agent->channel->schema->fields[agent->key_field];
    (void)snprintf(key.text, sizeof key.text, "by %s (%s)", field->path,
                   sabot_type_name(field->type));
    return key;
}

static bool keyed_alike(const sabot_agent *agent, const sabot_agent *owner)
{
    return agent->key_field != SB_NO_FIELD && owner->key_field != SB_NO_FIELD &&
           agent->channel->schema->fields[agent->key_field].type ==
               owner->channel->schema->fields[owner->key_field].type;
}

void sb_app_check_uses(sabot_app *app)
{
    for (uint32_t i = 0; i < app->agent_count; i++) {
        const sabot_agent *agent = app->agents[i];

        for (uint32_t use = 0; use < agent->use_count; use++) {
            const sabot_agent *owner = agent->lenders[agent->uses[use].lender];

            if (keyed_alike(agent, owner))
                continue;
            if (owner->table != NULL)
                (void)sabot_app_fail(app, SABOT_ERR_ARGUMENT,
                                     "agent %s can't read table %s: they must be keyed by the same "
                                     "type, and %s is keyed %s, %s %s",
                                     agent->name, owner->name, agent->name, key_of(agent).text,
                                     owner->name, key_of(owner).text);
            else
                (void)sabot_app_fail(
                    app, SABOT_ERR_ARGUMENT,
                    "agent %s can't use state %s of agent %s: they must be keyed by the same type, "
                    "and %s is keyed %s, %s %s",
                    agent->name, owner->states[agent->uses[use].index].name, owner->name,
                    agent->name, key_of(agent).text, owner->name, key_of(owner).text);
        }
    }
}
